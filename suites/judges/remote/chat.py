"""Requests to an OpenAI-compatible chat endpoint: one attempt, its reply or the kind of its failure."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import json
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from suites.judges.redaction import redact

if TYPE_CHECKING:
    import openai

DEFAULT_KEY = "OPENAI_API_KEY"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KEY_FORM = re.compile(
    r"(?:sk|pk|rk|gsk|hf|xai|ghp|gho|glpat|github_pat|AIza)[_A-Za-z0-9]{16,}|(?=.*\d)[A-Za-z0-9]{24,}"
)
_MODERATION = re.compile(r"moderat|flagged|content.?(?:policy|filter)|safety|guardrail|blocked", re.IGNORECASE)
_NOT_SENT = frozenset(["ConnectError", "ProxyError", "UnsupportedProtocol", "LocalProtocolError"])


@dataclass(frozen=True)
class Failure:
    """An attempt without a reply.

    Parameters
    ----------
    reason : str
    scope : {"question", "judge"}
        Whether the question fails alone, or all questions would.
    retry : bool
        Whether another attempt may succeed.
    billed : bool
        Whether the server may have done the work.
    wait : float, optional
        Seconds that the server asks to wait before the next attempt.
    """

    reason: str
    scope: Literal["question", "judge"]
    retry: bool = False
    billed: bool = False
    wait: float | None = None


def is_loopback(base_url: str) -> bool:
    """Whether a URL names this machine.

    Examples
    --------
    >>> [is_loopback(url) for url in ("http://127.0.0.1:8000/v1", "http://[::1]/v1", "https://localhost.example/v1")]
    [True, True, False]
    """
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_url(base_url: str) -> None:
    """Raise ValueError unless a base URL is https, or http on this machine, without user, query and fragment.

    Such parts may be keys, and a key or a prompt sent over plain http can be read on the way.
    """
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("base_url: not a URL (https://HOST/v1)") from None
    if url.scheme not in ("http", "https") or not host:
        raise ValueError(f"base_url: {redact(base_url)!r} is no URL (https://HOST/v1)")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError("base_url: no user, password, query or fragment; a key belongs into an environment variable")
    if url.scheme == "http" and not is_loopback(base_url):
        raise ValueError(f"base_url: plain http is for servers on this machine; use https for {host}")


def require_key_name(key: str) -> None:
    """Raise ValueError unless a key's setting is the name of an environment variable; the value is not shown."""
    if not _NAME.fullmatch(key) or _KEY_FORM.match(key):
        raise ValueError(
            "key: not the name of an environment variable (letters, digits, underscores); never the key itself"
        )


@dataclass
class ChatClient:
    """Sends chat completions, with the client library's own retries off and a deadline for the whole attempt.

    Parameters
    ----------
    base_url : str
    model : str
    key_name : str or None
        Environment variable of the key; None sends no key.
    timeout : float
        Seconds from the first byte sent to the last one received.
    """

    base_url: str
    model: str
    key_name: str | None
    timeout: float
    answered: bool = False

    def __post_init__(self) -> None:
        import openai

        self.key = (os.environ.get(self.key_name) or "").strip() if self.key_name else ""
        if not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            raise ValueError(f"the key in ${self.key_name} holds characters that no key has")
        # Without a key the header is omitted: the library has no client without one.
        self._headers: Any = {} if self.key else {"Authorization": openai.Omit()}
        self._client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self.key or "none", timeout=self.timeout, max_retries=0
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def attempt(self, messages: list[dict[str, str]], settings: Mapping[str, Any]) -> SimpleNamespace | Failure:
        """One request: the reply's JSON object with attributes for fields, or why there is none."""
        import openai

        body: Any = {"model": self.model, "messages": messages, **settings, "extra_headers": self._headers}
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._client.chat.completions.with_raw_response.create(**body)
        except (TimeoutError, openai.APITimeoutError):
            return Failure(f"timeout after {self.timeout:g} s", "question", retry=True, billed=True)
        except openai.APIStatusError as error:
            return self._refused(error)
        except openai.APIConnectionError as error:
            cause = self.redacted(error.__cause__ or error)
            if type(error.__cause__).__name__ in _NOT_SENT:
                return Failure(f"cannot be reached ({cause})", "judge", retry=True)
            return Failure(f"the connection broke: {cause}", "question", retry=True, billed=True)
        except openai.OpenAIError as error:
            return Failure(self.redacted(error), "judge")
        except UnicodeEncodeError:
            return Failure("a text with half of a surrogate pair, which cannot be sent", "question")
        try:
            reply = json.loads(response.content, object_hook=lambda fields: SimpleNamespace(**fields))
        except (ValueError, RecursionError):
            return Failure("a reply that is no chat completion: not JSON", "question", billed=True)
        if not isinstance(reply, SimpleNamespace):
            return Failure("a reply that is no chat completion: not a JSON object", "question", billed=True)
        self.answered = True
        return reply

    def _refused(self, error: openai.APIStatusError) -> Failure:
        """The failure that an HTTP status means."""
        status, said = error.status_code, self.redacted(error)
        match status:
            case 401:
                return Failure(self._key_refused(status), "judge")
            case 403 if _MODERATION.search(said) or self.answered:
                return Failure(f"HTTP 403: {said}", "question")
            case 403:
                return Failure(f"{self._key_refused(status)}: {said}", "judge")
            case 402:
                return Failure(f"the account's quota is used up ({said})", "judge")
            case 404:
                return Failure(f"no such model or path (HTTP 404: {said})", "judge")
            case 429 if error.code == "insufficient_quota":
                return Failure(f"the account's quota is used up ({said})", "judge")
            case 429:
                return Failure(
                    "rate limit (HTTP 429)", "question", retry=True, wait=retry_after(error.response.headers)
                )
            case 408 | 409 | 425:
                return Failure(f"HTTP {status}", "question", retry=True, wait=retry_after(error.response.headers))
            case 400 | 413 | 414 | 422 | 431 | 451:
                return Failure(f"HTTP {status}: {said}", "question")
            case _ if status >= 500:
                return Failure(f"HTTP {status}", "question", retry=True, wait=retry_after(error.response.headers))
            case _:
                return Failure(f"HTTP {status}: {said}", "judge")

    def _key_refused(self, status: int) -> str:
        if self.key_name is None:
            return f"the server requires a key: name its environment variable in endpoint.key (HTTP {status})"
        return f"the key in ${self.key_name} {'is refused' if self.key else 'is not set'} (HTTP {status})"

    def redacted(self, said: object) -> str:
        """The first line of a message, without keys."""
        return redact((str(said).splitlines() or [""])[0], self.key)[:200]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks clients to wait before the next attempt, from a Retry-After of seconds or a date.

    Examples
    --------
    >>> retry_after({"retry-after": "1.5"}), retry_after({"retry-after-ms": "250"}), retry_after({"retry-after": "soon"})
    (1.5, 0.25, None)
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"})
    0.0
    """
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                continue
        if not math.isnan(seconds):
            return max(0.0, seconds)
    return None
