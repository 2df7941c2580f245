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
from typing import ClassVar, Self

from suites.custom.scorer import Running, Scored, scorer
from suites.judges.redaction import redact
from suites.judges.remote.chat import require_key_name, require_url

ATTEMPTS = 3
RETRIED = (408, 425, 429, 500, 502, 503, 504)


@scorer("http")
@dataclass(frozen=True)
class Http:
    """The number that a server returns for a prompt and a response.

    It is sent ``{"prompt": ..., "response": ...}`` as JSON by POST and returns ``{"value": number}``. A failed attempt is
    repeated twice. A response without a value is an error of its item, without keys in the reason.

    Parameters
    ----------
    http : str
        The address; plain http only on this machine.
    key : str, optional
        Name of the environment variable that holds a bearer token.
    version : str
        Of the server's scorer: another one is another objective, and is scored anew.
    timeout : float, in (0, inf)
        Seconds for one attempt.
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
            except (urllib.error.URLError, TimeoutError, OSError) as error:
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
        with urllib.request.urlopen(urllib.request.Request(self.http, body, headers), timeout=self.timeout) as reply:
            content: bytes = reply.read()
            return content


def _read(content: bytes) -> Scored:
    try:
        reply = json.loads(content)
    except ValueError:
        return Scored(None, "a reply that is not JSON")
    value = reply.get("value") if isinstance(reply, dict) else reply
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Scored(None, f"a reply without a number: {str(reply)[:80]}")
    return Scored(float(value))
