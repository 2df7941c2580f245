"""Terms of a judge behind an endpoint: address, price, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from suites.judges.remote.chat import DEFAULT_KEY, is_loopback, require_key_name, require_url


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens.

    Examples
    --------
    >>> Price(input=2.0, output=8.0).cost(1000, 500)
    0.006
    """

    input: float = 0.0
    output: float = 0.0

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Dollars of one request."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


@dataclass(frozen=True)
class Endpoint:
    """Address of a judge, and the terms of its use.

    Parameters
    ----------
    base_url : str
        E.g. ``https://api.openai.com/v1``; plain http only for a server on this machine.
    key : str, optional
        Name of the environment variable that holds the key; ``OPENAI_API_KEY`` if not given, and none for a server on
        this machine.
    revision : str, optional
        The model (with the system fingerprint where the server gives one) that the server must report; if not given,
        the one that its first answer reported.
    pin : {"fingerprint", "model"}
        Whether a change of the system fingerprint alone is a change of the judge.
    price : Price
    max_cost : float
        Dollars this judge may cost in one store, all runs together.
    concurrency : int
        Questions under way at a time, per stage.
    requests_per_minute : float, optional
        All processes together.
    timeout : float
        Seconds for one whole attempt.
    max_retries : int
        Further attempts after a timeout, a rate limit, a broken connection or a server error, after an exponential
        back-off or the server's Retry-After.
    max_failed : float
        Share of the questions that may stay without an answer; with more the judge gives up.
    token_limit : {"max_tokens", "max_completion_tokens"}, optional
        The request's field for the longest reply; None leaves it out, for a judge without a price per output token.
    temperature : float, optional
        None leaves it out, for servers that refuse it.
    """

    base_url: str
    key: str | None = None
    revision: str | None = None
    pin: Literal["fingerprint", "model"] = "fingerprint"
    price: Price = Price()
    max_cost: float = 0.0
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout: float = 60.0
    max_retries: int = 5
    max_failed: float = 0.1
    token_limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        require_url(self.base_url)
        if self.key is not None:
            require_key_name(self.key)
        if self.token_limit is None and self.price.output:
            raise ValueError(
                "token_limit: without a limit the cost of a reply has no bound; leave the output price out too"
            )

    @classmethod
    def load(cls, terms: Mapping[str, Any], limits: Mapping[str, Any]) -> Endpoint:
        """An endpoint from the two mappings of an experiment: what its answers depend on, and what they do not.

        Examples
        --------
        >>> Endpoint.load({"base_url": "http://127.0.0.1/v1"}, {"price": {"input": 2.0}, "timeout": 5.0}).price
        Price(input=2.0, output=0.0)
        """
        return cls(**terms, **{**limits, "price": Price(**limits.get("price", {}))})

    @property
    def key_name(self) -> str | None:
        """Environment variable of the key that is sent, None where none is."""
        return self.key or (None if is_loopback(self.base_url) else DEFAULT_KEY)
