"""A target's `train` while it is read: the fields that win, and where each of them is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from olive_build.recipe.codes import Code
from olive_build.recipe.place import TRAIN, Place
from olive_build.recipe.train import TrainSpec
from olive_build.recipe.tree import KeyPath


@dataclass(frozen=True)
class Section:
    """`fields` are the target's over the recipe's, each as a whole; None where neither has it."""

    place: Place
    fields: TrainSpec

    def where(self, *path: str | int) -> KeyPath:
        """Return where the field at `path` is written: the target's, the recipe's, or `train`."""
        own: KeyPath = ("targets", self.place.target.name, TRAIN)
        for layer in (own, (TRAIN,)):
            if path and self._given((*layer, path[0])):
                whole = (*layer, *path)
                return whole if self.place.context.written(whole) else (*layer, path[0])
        return own if self._given(own) and not self._given((TRAIN,)) else self._common(own)

    def is_targets(self, field: str) -> bool:
        """Return whether the target itself gives a field."""
        return self._given(("targets", self.place.target.name, TRAIN, field))

    def is_lost(self, *path: str | int) -> bool:
        """Return whether something at or below `path` had a wrong type, so that nobody knows it."""
        whole = ((TRAIN, *path), ("targets", self.place.target.name, TRAIN, *path))
        gone = self.place.context.dropped
        return any(
            here[: len(lost)] == lost or lost[: len(here)] == here
            for here in whole
            for lost in gone
        )

    def add(
        self,
        code: Code,
        path: Sequence[str | int],
        message: str,
        *,
        hint: str,
        notes: Sequence[str] = (),
        key: bool = False,
        also: tuple[KeyPath, str] | None = None,
    ) -> None:
        """Report something about the field at `path`; about `train` where it is not written."""
        at = self.where(*path)
        key = key or at[-1] == TRAIN
        self.place.context.add(code, at, message, hint=hint, notes=notes, key=key, also=also)

    def _common(self, own: KeyPath) -> KeyPath:
        return (TRAIN,) if self._given((TRAIN,)) else own[:2]

    def _given(self, path: KeyPath) -> bool:
        node = self.place.context.tree.find(path)
        return node is not None and node.value is not None


def section_of(place: Place) -> Section:
    """Return the `train` of a target, whose fields win over the recipe's."""
    own, common = place.spec.train or TrainSpec(), place.context.recipe.train or TrainSpec()
    given = {name: getattr(own, name) for name in TrainSpec.model_fields}
    merged = {k: getattr(common, k) if v is None else v for k, v in given.items()}
    return Section(place, TrainSpec.model_construct(**merged))
