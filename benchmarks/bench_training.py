"""The figures of training artifacts: a step against PyTorch eager, and making them at full size.

Steps of three recipes are timed in turn with PyTorch's on the same batch, each in a process of its
own; memory is all that the process ever held. wav2vec2-base at its true size has seeded weights,
since what it says does not matter to the time that its artifacts take.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import PAIRS, ROOT, THREADS, Figure, finished, spread

if TYPE_CHECKING:
    from olive_build.recipe.build import TargetBuild

CHILD = str(Path(__file__).with_name("training_child.py"))
# The recipe trains what lies above the encoder; a layer of it more is the harder case. Whether that
# knows an owner is not what is measured here.
LAST_LAYER = (
    'train.requires_grad=["projector.*","wav2vec2.encoder.layers.2.*"]',
    "train.personalisation.equal_error_rate=0.49",
    "train.personalisation.errors_at_margin=0.49",
)
# By recipe: the target whose bundle is taken, what the table calls it, and what is set.
CASES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "digits-cnn": ("desktop", "digits CNN, all layers", ()),
    "my-voice": ("desktop", "small wav2vec2, last layer and head", LAST_LAYER),
    "topics-lora": ("desktop", "BERT, LoRA and head", ()),
}
AS_FAST, A_THIRD = 1.0, 1 / 3
FULL_SIZE = "wav2vec2-speaker-verification"
ARTIFACT_SECONDS, FIXED_MB, TIMES_WEIGHTS = 60.0, 600.0, 4.0
MEGABYTE = 1e6
SEEDED = """recipe: 1
name: wav2vec2-seeded
description: The speaker verifier at its true size, with seeded weights
extends: {base}
model:
  source: path
  sources:
    path: {{folder: model}}
"""


@dataclass(frozen=True)
class Peer:
    """What a process of training_child.py runs; `kind` is onnxruntime or pytorch."""

    name: str
    kind: str
    command: tuple[str, ...]
    more: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the first line that its process reads."""
        return {"name": self.name, "kind": self.kind, **self.more}


def training_figures(environment: Mapping[str, str], scratch: Path) -> list[Figure]:
    """Build the three recipes, and time their steps."""
    from olive_build.recipe.load import load_recipe
    from olive_build.recipe.resolve import resolve

    figures = []
    for recipe, (target, said, settings) in CASES.items():
        outputs = scratch / "training" / "outputs"
        words = ["build", recipe, "--target", target, "--outputs", str(outputs)]
        finished([*words, *(word for each in settings for word in ("--set", each))], environment)
        loaded = load_recipe(ROOT / "recipes" / f"{recipe}.yaml", overrides=settings)
        peers = _peers(resolve(loaded, target), outputs / recipe / target, scratch / "training")
        figures += _steps(said, peers, scratch / "training.log")
    return figures


def _peers(build: TargetBuild, bundle: Path, scratch: Path) -> list[Peer]:
    """Return both candidates, which are given the same batch."""
    import numpy as np

    from olive_build.engine.fingerprint import to_fields
    from olive_build.families import family_module, module_of
    from olive_build.recipe.build import PathSource
    from olive_build.recipe.sections.train import training_of
    from olive_build.toolchains.provision import python_of

    train = training_of(build).train
    assert isinstance(build.source, PathSource)
    folder = ROOT / "recipes" / build.source.folder
    side, shapes = family_module(build.family, "training_side").side, dict(build.shapes)
    batch = shapes.get("batch_size", train.batch_size)
    feeds = side.examples(folder, batch, shapes, 0)
    path = scratch / f"{build.recipe}.npz"
    labels = np.arange(batch) % (train.head.classes if train.head else 2)
    np.savez(path, labels=labels.astype(np.int64), **{f"input.{k}": v for k, v in feeds.items()})
    given = {"batch": str(path), "order": list(side.inputs), "train": to_fields(train)}
    ours = {**given, "path": str(bundle / "training")}
    theirs = {**given, "path": str(folder), "training": module_of(build.family, "training_side")}
    return [
        Peer("this bundle", "onnxruntime", (str(python_of("training")), "-P", CHILD), ours),
        Peer("pytorch", "pytorch", (sys.executable, "-P", CHILD), theirs),
    ]


def _steps(said: str, peers: list[Peer], log: Path) -> list[Figure]:
    """Time the steps of both in turn, and take the memory of both processes."""
    from olive_build.proof.latency import compare_running, started

    speeds: dict[int, list[float]] = {threads: [] for threads in THREADS}
    memory = []
    for _ in range(PAIRS):
        with started(peers, log) as children:
            for row in compare_running(children, {1: "step"}, THREADS):
                speeds[row["threads"]].append(1 / row["ratio_to"]["pytorch"]["median"])
            peaks = {child.name: child.ask({"do": "memory"})["peak_bytes"] for child in children}
            memory.append(peaks["this bundle"] / peaks["pytorch"])
    figures = [
        Figure(
            f"{said}: step, times PyTorch's speed, {threads} thread{'s' * (threads > 1)}",
            statistics.median(ratios),
            AS_FAST,
            "at least",
            spread(ratios),
        )
        for threads, ratios in speeds.items()
    ]
    what = f"{said}: memory of the process / PyTorch's"
    return [*figures, Figure(what, statistics.median(memory), A_THIRD, "at most", spread(memory))]


def full_size_figures(environment: Mapping[str, str], scratch: Path) -> list[Figure]:
    """Make the artifacts of wav2vec2-base, and read what the steps after the export took."""
    recipe, weights_mb = seeded_recipe(scratch / "wav2vec2")
    words = ["build", str(recipe), "--target", "android", "--until", "compose", "--json"]
    done = json.loads(finished([*words, "--force"], environment))
    kinds = ("prepare-training", "artifacts")
    steps = [item for item in done["steps"] if item["slot"].rpartition("/")[2] in kinds]
    seconds = sum(item["seconds"] for item in steps)
    peak = max(item["peak_bytes"] for item in steps) / MEGABYTE
    limit = FIXED_MB + TIMES_WEIGHTS * weights_mb
    return [
        Figure(
            "wav2vec2-base: artifacts after the export, s", seconds, ARTIFACT_SECONDS, "at most"
        ),
        Figure(f"wav2vec2-base ({weights_mb:.0f} MB): peak of it, MB", peak, limit, "at most"),
    ]


def seeded_recipe(folder: Path) -> tuple[Path, float]:
    """Write a model of wav2vec2-base's shape, seeded, and its recipe; return it and the MB."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(num_labels=8, use_weighted_layer_sum=True)
    model = transformers.Wav2Vec2ForSequenceClassification(config)
    model.save_pretrained(str(folder / "model"))
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(str(folder / "model"))
    base, path = folder / f"{FULL_SIZE}.yaml", folder / "wav2vec2-seeded.yaml"
    (folder / "pyproject.toml").touch()  # paths in a recipe stay inside a repository
    base.write_bytes((ROOT / "recipes" / base.name).read_bytes())
    path.write_text(SEEDED.format(base=base.name), encoding="utf-8")
    return path, sum(p.numel() * p.element_size() for p in model.parameters()) / MEGABYTE
