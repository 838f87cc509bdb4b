"""What ends a verb from outside: Ctrl-C, a pipeline's SIGTERM, the SIGHUP of a closed terminal."""

from __future__ import annotations

import os
import signal
import time

from olive_build.errors import EXIT_INTERRUPTED

# What a build needs to end its workers and clear up is less; what hangs longer is left.
PATIENCE_SECONDS = 5.0

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_came: float | None = None


class Interrupt(KeyboardInterrupt):
    """A signal that ends the verb.

    A plain KeyboardInterrupt that passes code in a text, such as dataclasses compile, lets
    `python -m` end by SIGINT whatever the exit code: `run_eval_code_obj` in Python/pythonrun.c.
    """


def listen() -> None:
    """Let the first signal raise Interrupt; later ones don't disturb the clean-up.

    One that comes when that takes too long ends the process at once. What is ignored already, as by
    nohup, stays so.
    """
    global _came  # noqa: PLW0603 (a handler has no other place to remember anything)
    _came = None
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def came() -> bool:
    """Whether this process was told to end."""
    return _came is not None


def ignore() -> None:
    """Ignore further signals: the exit code is settled."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_signal: int, _frame: object) -> None:
    global _came  # noqa: PLW0603
    if _came is None:
        _came = time.monotonic()
        raise Interrupt
    if time.monotonic() - _came > PATIENCE_SECONDS:
        os._exit(EXIT_INTERRUPTED)
