"""Schema of the scorers: judges of preference and classifiers of toxicity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import nearest
from harness.spec.strict import Few, Label, Path, Positive, Strict, Weight

Dollars = Annotated[float, Field(ge=0, le=1e9)]


class Price(Strict):
    """Dollars per million tokens."""

    input: Dollars
    output: Dollars


class Endpoint(Strict):
    """Address and limits of an OpenAI-compatible judge (`suites.judges.remote.terms.Endpoint`)."""

    base_url: Path
    key: str | None = None
    """Name of the environment variable that holds the key: OPENAI_API_KEY, and none for a server on this machine."""
    revision: Label | None = None
    pin: Literal["fingerprint", "model"] = "fingerprint"
    price: Price | None = None
    max_cost: Dollars = 0.0
    """Dollars. A run that is expected to cost more is refused; a judge that reaches the cap stops."""
    concurrency: Few = 4
    requests_per_minute: Positive | None = None
    timeout: Positive = 60.0
    max_retries: Annotated[int, Field(ge=0, le=1000)] = 5
    max_failed: Weight = 0.1
    token_limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    """The request's field for the longest reply; null leaves it out."""
    temperature: Annotated[float, Field(ge=0, le=100)] | None = 0.0
    """null leaves it out, for servers that refuse it."""

    @property
    def local(self) -> bool:
        """Whether it is a server on this machine, which needs neither key nor price."""
        from suites.judges.remote.chat import is_loopback

        return is_loopback(self.base_url)

    @model_validator(mode="after")
    def _priced(self) -> Endpoint:
        from suites.judges.remote.chat import require_key_name, require_url

        require_url(self.base_url)
        if self.key is not None:
            require_key_name(self.key)
        if self.token_limit is None and self.price is not None and self.price.output:
            raise ValueError("token_limit: without a limit the cost of a reply has no bound")
        if not self.local and (self.price is None or not self.max_cost):
            raise ValueError(
                "a judge that is not on this machine needs a 'price' (input and output, dollars per million tokens) and "
                "a 'max_cost' in dollars"
            )
        return self


class Judge(Strict):
    """The judge that decides a win: the world's users, a Bradley-Terry reward model, or a language model."""

    kind: str
    """A kind of judge (`suites.judges.registry`)."""
    model: Path | None = None
    training: dict[str, Any] = {}
    frozen: bool = False
    """Whether a reward model that is trained here is a head on the states of the frozen base."""
    prompt: Path | None = None
    """A language model's: a shipped template's name (upo if not given) or the path of one's own."""
    backend: Literal["hf", "vllm"] | None = None
    """A local language model's; hf if not given."""
    endpoint: Endpoint | None = None
    second: Judge | None = None
    """A second judge of the same comparisons, as the objective ``win_rate_second``; shows whether the ranking depends on
    the judge."""

    @field_validator("kind")
    @classmethod
    def _registered(cls, kind: str) -> str:
        from suites.judges.registry import judges

        if kind not in judges():
            raise ValueError(f"unknown judge {kind!r}{nearest(kind, judges())}")
        return kind

    @property
    def needs(self) -> tuple[str, ...]:
        """What a judge of this kind is made from (`suites.judges.registry.NEEDS`)."""
        from suites.judges.registry import judges

        return judges()[self.kind].needs

    @model_validator(mode="after")
    def _complete(self) -> Judge:
        if "model" in self.needs and self.model is None:
            raise ValueError(f"a judge of kind {self.kind} needs a 'model'")
        if ("endpoint" in self.needs) != (self.endpoint is not None):
            raise ValueError(
                f"'endpoint' (base_url ...) belongs to a judge of kind {_kinds_with('endpoint')}, which needs it"
            )
        if self.frozen and ("training" not in self.needs or self.model is not None):
            raise ValueError("'frozen' belongs to a judge that is trained here: kind reward_model without a 'model'")
        for key in ("prompt", "backend"):
            if getattr(self, key) is not None and key not in self.needs:
                raise ValueError(f"{key!r} belongs to a judge of kind {_kinds_with(key)}")
        if self.second is not None and "training" in self.second.needs and self.second.model is None:
            raise ValueError(
                "second: a second reward model must be named ('model'): trained here, it would know the same pairs"
            )
        if self.second is not None and self.second.second is not None:
            raise ValueError("second: there is no third judge")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """Settings that the verdicts depend on, for a comparison of runs: without prices and limits."""
        how: dict[str, Any] = {
            "endpoint": {name: True for name in Endpoint.model_fields if name not in ("base_url", "revision", "pin")}
        }
        # A key that older versions do not know is left out at its default, so that runs of both can be compared.
        own_key = {} if self.frozen else {"frozen": True}
        identity = self.model_dump(exclude_none=True, exclude={**how, **own_key, "second": {**how, "frozen": True}})
        for judge, own in ((self, identity), (self.second, identity.get("second"))):
            if own and judge and judge.endpoint and judge.endpoint.temperature != 0.0:
                own["endpoint"]["temperature"] = judge.endpoint.temperature
        return identity


def _kinds_with(need: str) -> str:
    """The kinds of judge that have a need, in words."""
    from suites.judges.registry import judges

    return " or ".join(sorted((name for name, kind in judges().items() if need in kind.needs), reverse=True))


class HeldOutToxicity(Strict):
    """A second toxicity scorer that is never the reward: Detoxify (`model`), or one trained on other labels."""

    model: Path | None = None
    labelled: Path | None = None
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_of(self) -> HeldOutToxicity:
        if (self.model is None) == (self.labelled is None):
            raise ValueError("give either 'model' or 'labelled'")
        return self


class Toxicity(Strict):
    """Detoxify by a hub name (`model`), or a small classifier trained on the world's or the user's labels."""

    model: Path | None = None
    labelled: Path | None = None
    required: bool = True
    """If false and neither of the two is given, the run measures the other objectives alone, and the report says so."""
    training: dict[str, Any] = {}
    held_out: HeldOutToxicity | None = None
