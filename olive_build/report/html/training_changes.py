"""What a step of training costs and how well owners are told apart, in two builds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from olive_build.record.proof import Cost, ErrorRate, StepCost
from olive_build.report.html.changes import Change, percent
from olive_build.report.html.numbers import megabytes, signed, text_of, title_of
from olive_build.report.html.training_view import TrainingView, place_of

NONE = "\u2013"
RATE = "equal_error_rate"
Text = Callable[[float], str]


def training_changes(old: TrainingView | None, new: TrainingView | None) -> Iterator[Change]:
    """Yield time and memory of a step on each number of threads, and the equal error rate.

    A cost is a single run without an interval, so another one is neither better nor worse; a rate
    is so called where the intervals of both lie apart.
    """
    before, after = (
        {item.threads: item for item in view.costs} if view else {} for view in (old, new)
    )
    for threads in sorted({*before, *after}):
        yield from _costs(before.get(threads), after.get(threads))
    rates = _all_owners(old), _all_owners(new)
    if rates != (None, None):
        yield _rate(rates[0], rates[1])


def _all_owners(view: TrainingView | None) -> ErrorRate | None:
    named = view.error_rate if view else None
    return named.rate if named else None


def _costs(old: Cost | StepCost | None, new: Cost | StepCost | None) -> Iterator[Change]:
    place = next(place_of(item) for item in (old, new) if item)
    yield _cost(
        f"a training step, {place}",
        old.milliseconds_per_step if old else None,
        new.milliseconds_per_step if new else None,
        lambda value: f"{value:.3g} ms",
    )
    yield _cost(
        f"peak memory of training, {place}",
        old.peak_bytes if old else None,
        new.peak_bytes if new else None,
        megabytes,
    )


def _cost(title: str, old: float | None, new: float | None, text: Text) -> Change:
    one, other = (NONE if value is None else text(value) for value in (old, new))
    if old is None or new is None:
        return Change(title, old, new, one, other, NONE, "changed")
    verdict = "same" if old == new else "unclear"
    return Change(title, old, new, one, other, percent(old, new), verdict)


def _rate(old: ErrorRate | None, new: ErrorRate | None) -> Change:
    title = title_of(RATE)
    before, after = old.rate if old else None, new.rate if new else None
    one, other = (NONE if value is None else text_of(RATE, value) for value in (before, after))
    if old is None or new is None:
        return Change(title, before, after, one, other, NONE, "changed")
    moved = new.rate - old.rate
    apart = old.high < new.low or new.high < old.low
    verdict = "unclear" if not apart else "worse" if moved > 0 else "better"
    amount = signed(moved, text_of(RATE, abs(moved)))
    return Change(title, before, after, one, other, amount, verdict if moved else "same")
