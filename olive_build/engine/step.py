"""What a step is: one piece of work, which says of itself where it runs and what it is for.

Every step reaches this module, so it imports nothing of ours: a change here makes all of them anew.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar


class Step(ABC):
    """A frozen dataclass whose fields are the whole of its settings.

    Fields are str, int, float, bool, None, tuples and frozen dataclasses of these, so that they
    can be hashed into the cache key and sent to a worker. What else is in the key follows from the
    class: the code of ours that it reaches and the versions of the libraries that this imports.
    """

    worker: ClassVar[str]
    """Which kind of worker process runs it; workers of one kind share what they have imported."""
    stage: ClassVar[str] = ""
    """The stage of a build that it belongs to; "" for what a recipe places, or is of no build."""
    measures: ClassVar[bool] = False
    """True: its result depends on the machine, whose fingerprint the engine adds to the key."""
    exclusive: ClassVar[bool] = False
    """True: nothing else runs at the same time (a step that measures time)."""

    @abstractmethod
    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        """Write files below `out` (an empty folder); `inputs` are read-only."""

    @property
    def kind(self) -> str:
        """The import path of its class, by which a worker finds it: "module:Class"."""
        return f"{type(self).__module__}:{type(self).__qualname__}"


def write_json(path: Path, value: object) -> None:
    """Write what a step found so that equal values are equal bytes."""
    text = json.dumps(value, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
