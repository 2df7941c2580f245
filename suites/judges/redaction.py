"""Redaction of keys in everything that a judge writes: replies, revisions, reasons and error messages."""

from __future__ import annotations

import base64
import json
import os
import re
from urllib.parse import quote

REDACTED = "[redacted]"
SHORTEST = 6
"""Characters of the shortest value that counts as a key; shorter ones would blot out ordinary words."""
_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|gsk|hf|xai|ghp|gho|glpat|github_pat)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}"
    r"|(?<=\bBearer )[^\s\"']{6,}|(?<=://)[^\s/@\"']+(?=@)"
)


def redact(text: str, *keys: str | None) -> str:
    """A text without keys: those given, those in environment variables named like one, and strings of a key's form.

    A key is also found JSON-escaped, percent-encoded and in Base64.

    Examples
    --------
    >>> redact("Incorrect API key: open-sesame", "open-sesame")
    'Incorrect API key: [redacted]'
    >>> redact("https://me:pass@host/v1 said Bearer abcdef123")
    'https://[redacted]@host/v1 said Bearer [redacted]'
    """
    values = {key for key in keys if key}
    values |= {value for name, value in os.environ.items() if _NAMES.search(name)}
    forms = {form for value in values if len(value.strip()) >= SHORTEST for form in _forms(value.strip())}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return _SHAPES.sub(REDACTED, text)


def _forms(value: str) -> set[str]:
    raw = value.encode(errors="surrogateescape")
    return {
        value,
        json.dumps(value)[1:-1],
        quote(raw, safe=""),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
