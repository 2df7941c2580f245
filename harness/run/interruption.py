"""Interruption of a run by Ctrl-C or SIGTERM: noted at once, obeyed where nothing is half done."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from types import FrameType


@dataclass
class Interruption:
    """Whether a run was asked to end."""

    requested: bool = False

    def request(self, *_: object) -> None:
        """Handle a signal; the second one ends the run where it is."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Note Ctrl-C and SIGTERM in the block, unless they are ignored, or the thread cannot handle signals."""
    asked = Interruption()
    with ExitStack() as stack:
        if current_thread() is main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.enter_context(_handled(number, asked.request))
        yield asked


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM in the block is handled as Ctrl-C is."""
    with _handled(signal.SIGTERM, signal.default_int_handler):
        yield


@contextmanager
def _handled(number: signal.Signals, handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = signal.getsignal(number)
    if before is not signal.SIG_IGN:
        signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
