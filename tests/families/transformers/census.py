"""Every class that transformers lists for a task, with the default configuration of its type."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from olive_build.errors import StepError
from olive_build.families.transformers.example_inputs import SETTINGS, example_inputs
from olive_build.families.transformers.shrink import ANY, small_config
from olive_build.families.transformers.small_model import DoesNotFit, made, run, small_model
from olive_build.families.transformers.task_of import TASKS, tasks_of

TABLE = Path(__file__).with_name("census.yaml")
# Bare models, and classes that are in none of the lists.
OTHERS = {
    "BertModel": "bert",
    "Dinov2Model": "dinov2",
    "DistilBertModel": "distilbert",
    "ModernBertModel": "modernbert",
    "MPNetModel": "mpnet",
    "ResNetModel": "resnet",
    "ViTModel": "vit",
    "XLMRobertaModel": "xlm-roberta",
    "AutoformerForPrediction": "autoformer",
    "InformerForPrediction": "informer",
    "PatchTSTForPrediction": "patchtst",
    "TimeSeriesTransformerForPrediction": "time_series_transformer",
    "ViTMAEForPreTraining": "vit_mae",
    "VitPoseForPoseEstimation": "vitpose",
}


@cache
def table() -> dict[str, Any]:
    """What is known of classes: what a default configuration lacks, and which are refused."""
    loaded: dict[str, Any] = yaml.safe_load(TABLE.read_text("utf-8"))
    return loaded


@dataclass(frozen=True)
class Pair:
    """A class and the type of its configuration; the class has one task."""

    name: str
    model_type: str

    @property
    def task(self) -> str:
        return tasks_of(self.name)[0]

    @property
    def likeness(self) -> tuple[bool, bool]:
        """How well the type fits: the class is named after it, and it is of a text model alone."""
        plain = self.model_type.removesuffix("_text").replace("-", "").replace("_", "")
        return self.name.lower().startswith(plain), self.model_type.endswith("_text")

    def configuration(self) -> Any:
        """The default configuration, with what every checkpoint of the type has besides."""
        known = table()["lacking"]
        lacking = known.get(self.name) or known.get(self.model_type, {})
        config = CONFIG_MAPPING[self.model_type](**lacking)
        if getattr(config, "pad_token_id", 0) is None:
            config.pad_token_id = 0
        starts = getattr(config, "decoder_start_token_id", None) is not None
        if getattr(config, "is_encoder_decoder", False) and not starts:
            config.decoder_start_token_id = 0
        config.architectures = [self.name]
        return config


def pairs() -> tuple[Pair, ...]:
    """All pairs but those of image-text-to-text, whose texts have places for an image."""
    left_out = table()["tasks_left_out"]
    found: dict[str, Pair] = {}
    for pair in _all_pairs():
        # A class can serve several types; the one that it is named after comes first.
        if pair.name not in found or pair.likeness > found[pair.name].likeness:
            found[pair.name] = pair
    return tuple(pair for pair in found.values() if pair.task not in left_out)


def _all_pairs() -> Iterator[Pair]:
    left_out = table()["types_left_out"]
    for listed in TASKS:
        mapping = getattr(modeling_auto, f"MODEL_FOR_{listed}_MAPPING_NAMES")
        for model_type, names in mapping.items():
            name = names if isinstance(names, str) else names[0]
            is_known = model_type in CONFIG_MAPPING and model_type not in left_out
            if is_known and tasks_of(name):
                yield Pair(name, model_type)
    for name, model_type in OTHERS.items():
        yield Pair(name, model_type)


def drawn(pair: Pair, by: str, of: int = 10) -> bool:
    """Whether a commit draws this pair: one of ten."""
    digest = hashlib.sha256(f"{by} {pair.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % of == 0


def check(pair: Pair) -> None:
    """Run a pair's miniature at all settings, or see that it is refused where that is known."""
    kind, config = getattr(transformers, pair.name), pair.configuration()
    if pair.name in table()["refused"]:
        with pytest.raises((DoesNotFit, StepError)):
            made(config, kind, pair.task, ANY, small_config)
        return
    model, shrunk = small_model(config, kind, pair.task)
    assert (type(shrunk.config), shrunk.how) == (CONFIG_MAPPING[pair.model_type], "small")
    try:
        _run_at_all_settings(model, pair.task, fixed_pixels=False)
    except (RuntimeError, ValueError, AssertionError):
        # Sizes of images are dynamic only where PyTorch takes others.
        _run_at_all_settings(model, pair.task, fixed_pixels=True)


def _run_at_all_settings(model: Any, task: str, *, fixed_pixels: bool) -> None:
    for seed, setting in enumerate(SETTINGS):
        inputs = example_inputs(model, task, setting, seed=seed, fixed_pixels=fixed_pixels)
        outputs = run(model, inputs)
        assert outputs
        for name, value in outputs.items():
            assert not (torch.isnan(value).any()), name
