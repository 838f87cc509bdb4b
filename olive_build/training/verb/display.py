"""A training as a person sees it: a line that moves on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from olive_build.report.style import paint

BAR = 24
# So often the moving line is drawn at most, in seconds.
REDRAWN = 0.1


class Display:
    """Shows the events of `training.train_child`; as JSON, each is a line of its own."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._live = sys.stdout.isatty() and not as_json
        self._drawn = 0.0
        self._begun = time.monotonic()
        self._losses: list[float] = []
        self._epoch = ""

    def note(self, text: str) -> None:
        """Print something that is not an event of training."""
        self.end(text, {"note": text})

    def end(self, text: str, event: dict[str, Any]) -> None:
        """Print how it ended: a text for people, an event for pipelines."""
        if self._as_json:
            self._json(event)
        else:
            self._line(text)

    def event(self, event: dict[str, Any]) -> None:
        """Show what happened."""
        if self._as_json:
            self._json(event)
        elif "step" in event:
            self._losses.append(event["loss"])
            self._epoch = f"epoch {event['epoch']} of {event['epochs']}"
            self._draw(event)
        elif "evaluated" in event and not self._losses:
            self._line(f"before training: held out: {judged(event['evaluated'])}")
        elif "evaluated" in event:
            self._line(f"{self._trained()}, held out: {judged(event['evaluated'])}")
            self._losses = []
        elif "saved" in event and self._losses:
            # Nothing is held out, so no evaluation told of the epoch.
            self._line(self._trained())
            self._losses = []

    def close(self) -> None:
        """Clear the line that moves."""
        if self._live:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()

    def _trained(self) -> str:
        mean = sum(self._losses) / len(self._losses)
        return f"{self._epoch}: loss {mean:.4g}"

    def _draw(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        if not self._live or now - self._drawn < REDRAWN:
            return
        self._drawn = now
        step, steps = event["step"], event["steps"]
        full = BAR * step // steps
        bar = paint("█" * full, "green") + paint("░" * (BAR - full), "dim")
        left = (now - self._begun) / step * (steps - step)
        sys.stdout.write(
            f"\r\x1b[2K  {self._epoch}  {bar}  {step}/{steps}  loss {event['loss']:.4g}  "
            f"{event['milliseconds']:.1f} ms a step  {duration(left)} left"
        )
        sys.stdout.flush()

    def _line(self, text: str) -> None:
        self.close()
        click.echo(text)

    def _json(self, event: dict[str, Any]) -> None:
        click.echo(json.dumps(event))


def judged(found: dict[str, Any]) -> str:
    """Return what is told of an evaluation: `loss 0.41, 87.5% right, equal error rate 5.0%`."""
    right, rate = found["accuracy"], found["equal_error_rate"]
    parts = [f"loss {found['loss']:.4g}"]
    parts += [f"{right:.1%} right"] if right is not None else []
    parts += [f"equal error rate {rate:.1%}"] if rate is not None else []
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as people say it: 4.2 s, or 1:05 min."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{seconds:.1f} s"
