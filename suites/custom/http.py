"""A scorer behind an HTTP address of the user's."""

from __future__ import annotations

import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, ClassVar, Self

from suites.custom.scorer import Running, Scored, scorer
from suites.judges.redaction import redact
from suites.judges.remote.chat import require_key_name, require_url

ATTEMPTS = 3
LONGEST_REPLY = 64 * 1024
"""Bytes of a reply, at most; a number has a few."""
RETRIED = (408, 425, 429, 500, 502, 503, 504)


@scorer("http")
@dataclass(frozen=True)
class Http:
    """The number that a server returns for a prompt and a response.

    It is sent ``{"prompt": ..., "response": ...}`` as JSON by POST and returns ``{"value": number}``. A failed attempt is
    repeated twice. A response without a value is an error of its item, without keys in the reason. A redirection is a failure:
    the key and the texts go to the address that the experiment names and to no other.

    Parameters
    ----------
    http : str
        The address; plain http only on this machine.
    key : str, optional
        Name of the environment variable that holds a bearer token.
    version : str
        Of the server's scorer: another one is another objective, and is scored anew.
    timeout : float, in (0, inf)
        Seconds for one attempt, its reply included.
    concurrency : int
        Requests at a time.
    """

    http: str
    key: str | None = None
    version: str = ""
    timeout: float = 30.0
    concurrency: int = 4

    code: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_url(self.http)
        if self.key is not None:
            require_key_name(self.key)
        if not self.timeout > 0 or self.concurrency < 1:
            raise ValueError("timeout and concurrency: should be more than 0")

    @property
    def sources(self) -> Mapping[str, str]:
        return {}

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        return self

    def score(self, prompts: Sequence[str], responses: Sequence[str], running: Running) -> list[Scored]:
        with ThreadPoolExecutor(self.concurrency) as threads:
            return list(threads.map(self._value, prompts, responses))

    def _value(self, prompt: str, response: str) -> Scored:
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                return _read(self._send(prompt, response))
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}"
                if error.code not in RETRIED:
                    break
            except (OSError, HTTPException) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt + 1 < ATTEMPTS:
                time.sleep(0.2 * 2**attempt)
        return Scored(None, redact(reason, self._token)[:200])

    @property
    def _token(self) -> str | None:
        return os.environ.get(self.key) if self.key else None

    def _send(self, prompt: str, response: str) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = json.dumps({"prompt": prompt, "response": response}).encode()
        deadline, content = time.monotonic() + self.timeout, b""
        with _OPENER.open(urllib.request.Request(self.http, body, headers), timeout=self.timeout) as reply:
            while part := reply.read1(LONGEST_REPLY):
                content += part
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no whole reply within {self.timeout:g} s")
                if len(content) > LONGEST_REPLY:
                    raise OSError(f"a reply of more than {LONGEST_REPLY // 1024} KiB")
            if reply.length:
                raise OSError("a reply that is cut")
        return content


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Makes a redirection an error; urllib would send the key on to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirection)


def _read(content: bytes) -> Scored:
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError):
        return Scored(None, "a reply that is not JSON")
    value = reply.get("value") if isinstance(reply, dict) else reply
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    return Scored(number) if math.isfinite(number) else Scored(None, f"a reply without a number: {str(reply)[:80]}")
