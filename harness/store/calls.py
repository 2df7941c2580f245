"""Log of calls to models: a call that it holds is replayed, not made again."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Calls:
    """Calls by role and request, one line of JSON each, on the disk before their reply is used.

    A procedure that is deterministic given its replies continues after a kill by running again with the same log: finished
    calls are replayed. A last line that a kill cut off is dropped.

    Parameters
    ----------
    path : Path
        The log; made by the first call.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "calls.jsonl"
    >>> Calls(path)("judge", {"answer": "yes"}, lambda: 4.0)
    4.0
    >>> again = Calls(path)
    >>> again("judge", {"answer": "yes"}, lambda: 1 / 0)
    4.0
    >>> again.made["judge"], again.used["judge"]
    (0, 1)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: Counter[str] = Counter()
        """Calls made by this object, by role."""
        self.used: Counter[str] = Counter()
        """Different calls asked of this object, by role, made or replayed."""
        self._replies: dict[str, Any] = {}
        self._seen: set[str] = set()
        if path.exists():
            self._read()

    def __call__(self, role: str, request: Any, make: Callable[[], Any]) -> Any:
        """The reply to a request, which is JSON as the reply is; `make` is called where the log has none."""
        text = json.dumps([role, request], ensure_ascii=False, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self._replies:
            reply = make()
            self._append({"key": key, "role": role, "request": request, "reply": reply})
            self._replies[key] = reply
            self.made[role] += 1
        if key not in self._seen:
            self._seen.add(key)
            self.used[role] += 1
        return self._replies[key]

    def _read(self) -> None:
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            with self.path.open("r+b") as file:
                file.truncate(end)
        for line in whole[:end].decode("utf-8").splitlines():
            call = json.loads(line)
            self._replies[call["key"]] = call["reply"]

    def _append(self, call: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(call, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
