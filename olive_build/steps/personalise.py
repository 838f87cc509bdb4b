"""Whether a model that was made its owner's tells the owner from others, for several owners."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.training.settings import Train

PERSONALISED = "personalised.json"
# So many clips are scored at once where the graph's batch is free.
FREE_BATCH = 32


@dataclass(frozen=True)
class Personalise(Step):
    """Write personalised.json: equal error rates. Inputs: artifacts, trials (a file of clips).

    `epochs` is None for the recipe's own; where it is a number, one owner stands for all. Raises
    StepError for trials that prove nothing, of which there are too few, or that give no numbers.
    An owner's clip is accepted where its score is above `margin`. It measures: sums differ between
    processors.
    """

    trials: str
    train: Train
    epochs: int | None
    margin: float

    worker = "training"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.training.personalise import Clips, personalise

        artifacts = inputs["artifacts"]
        described = json.loads((artifacts / "training.json").read_text(encoding="utf-8"))
        trials = rooms.look_up(self.trials).read_trials(inputs["trials"], described["data"])
        batch = described["inputs"][0]["axes"][0]
        fixed = isinstance(batch, int)
        clips = Clips(
            trials.inputs, trials.speakers, trials.roles, batch if fixed else FREE_BATCH, fixed
        )
        owners = clips.owners if self.epochs is None else clips.owners[:1]
        epochs = self.train.epochs if self.epochs is None else self.epochs
        found = personalise(
            artifacts, self.train, clips, epochs=epochs, owners=owners, margin=self.margin
        )
        write_json(out / PERSONALISED, found)
