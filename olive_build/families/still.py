"""Models that compute the same in every call: nothing is dropped, masked or skipped by chance.

Imported in worker processes only. What is exported for training has no random operator in it, and
PyTorch's losses can be held against it step by step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from olive_build.families.dependence import Run
from olive_build.families.loading import Loaded, from_files

# Wav2Vec2's kind of models: masks over time and features, drawn anew in every step.
MASKS = ("mask_time_prob", "mask_feature_prob")


def load_still(kind: Any, folder: Path, run: Run, head: str | None) -> Loaded:
    """Return the model of a transformers' auto class `kind`: fp32, eval mode, nothing at random.

    Attention is the plain one, which exports to plain operators. `run` and `head` are those of
    `from_files`, which raises PlanError for files that do not make the model.
    """
    config = transformers.AutoConfig.from_pretrained(str(folder))
    for name, value in config.to_dict().items():
        if is_chance(name) and isinstance(value, int | float):
            setattr(config, name, 0.0)
    if hasattr(config, "apply_spec_augment"):
        config.apply_spec_augment = False
    loaded = from_files(kind, folder, run, head=head, config=config, attn_implementation="eager")
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return loaded


def is_chance(name: str) -> bool:
    """Say whether a field of a configuration is how often something is left out by chance."""
    return name in MASKS or "dropout" in name or name in ("layerdrop", "drop_path_rate")
