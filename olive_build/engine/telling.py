"""What a step tells while it runs, from its process to whoever watches the run."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[str], None] = print


def tell(text: str) -> None:
    """Tell a line of the step that runs in this process; outside of a worker it is printed."""
    _listener(text)


def listen(listener: Callable[[str], None]) -> None:
    """Send everything that is told from now on to `listener`."""
    global _listener  # noqa: PLW0603 - a process runs one step at a time
    _listener = listener
