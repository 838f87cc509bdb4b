"""Two builds side by side: which bundles and variants belong together, and how figures changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from olive_build.report.blocks import NONE
from olive_build.report.builds import Build, BundleView, VariantView
from olive_build.report.numbers import signed

# Seven digits are kept in the figures of quality.
SMALLEST = 5e-7


@dataclass(frozen=True)
class Change:
    """One figure of one variant in both builds, None where a build lacks it."""

    title: str
    old: float | None
    new: float | None
    old_text: str
    new_text: str
    change: str
    verdict: str


def change(
    title: str,
    old: float | None,
    new: float | None,
    text: Callable[[float], str],
    amount: str,
    verdict: str,
) -> Change:
    """Return how a figure is told: `changed` where one build lacks it, whatever the verdict."""
    texts = [NONE if value is None else text(value) for value in (old, new)]
    if (old is None) != (new is None):
        amount, verdict = NONE, "changed"
    return Change(title, old, new, texts[0], texts[1], amount, verdict)


def percent(old: float | None, new: float | None) -> str:
    """Return a change in percent of what was."""
    if old is None or new is None:
        return NONE
    share = (new - old) / old
    return signed(share, f"{abs(share):.1%}")


def judged(old: float | None, new: float | None, *, less_is_better: bool) -> str:
    """Return `better`, `worse`, `same`, or `changed` where only one build has the figure."""
    if old is None or new is None:
        return "same" if old is new else "changed"
    if abs(new - old) <= SMALLEST:
        return "same"
    return "better" if (new < old) == less_is_better else "worse"


@dataclass(frozen=True)
class BundlePair:
    """One target's bundle in both builds."""

    target: str
    old: BundleView
    new: BundleView

    @property
    def same_machine(self) -> bool:
        """Whether both were measured on machines with one fingerprint."""
        return self.old.machine.fingerprint == self.new.machine.fingerprint

    def variants(self) -> Iterator[tuple[str, VariantView | None, VariantView | None]]:
        """Yield each variant's name with what it was and what it is."""
        old = {item.name: item for item in self.old.variants}
        new = {item.name: item for item in self.new.variants}
        for name in dict.fromkeys((*old, *new)):
            yield name, old.get(name), new.get(name)


@dataclass(frozen=True)
class Comparison:
    """Two builds: the first is what was, the second what is."""

    old: Build
    new: Build

    @property
    def pairs(self) -> list[BundlePair]:
        """The bundles of both builds by target; two bundles are a pair in any case."""
        if self._of_bundles:
            one, other = self.old.bundles[0], self.new.bundles[0]
            same = one.target == other.target
            target = other.target if same else f"{one.target}, then {other.target}"
            return [BundlePair(target, one, other)]
        before = {item.target: item for item in self.old.bundles}
        return [
            BundlePair(item.target, before[item.target], item)
            for item in self.new.bundles
            if item.target in before
        ]

    @property
    def only_in_one(self) -> list[str]:
        """What a reader must know of targets that only one build has."""
        if self._of_bundles:
            return []
        before, after = ({item.target for item in build.bundles} for build in (self.old, self.new))
        gone = [f"{name}: only in the first build" for name in sorted(before - after)]
        return gone + [f"{name}: only in the second build" for name in sorted(after - before)]

    @property
    def _of_bundles(self) -> bool:
        return self.old.is_bundle and self.new.is_bundle
