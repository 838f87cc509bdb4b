"""Small seeded models as transformers saves them, and folders of them that were changed by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from olive_build.errors import PlanError

WEIGHTS = "model.safetensors"
Tensors = dict[str, torch.Tensor]
BERT: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
WAV2VEC2: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "vocab_size": 32,
}


def save(model: Any, folder: Path) -> Path:
    """Save a seeded model as transformers does."""
    model.eval().save_pretrained(str(folder))
    return folder


def bert(kind: str, **settings: Any) -> Any:
    """Return a seeded BERT of two layers of the class `kind`."""
    torch.manual_seed(0)
    return getattr(transformers, kind)(transformers.BertConfig(**BERT, **settings))


def changed(
    folder: Path,
    out: Path,
    change: Callable[[Tensors], Tensors] = lambda tensors: tensors,
    **config: Any,
) -> Path:
    """Return a copy of a folder with other tensors, and other values in config.json."""
    shutil.copytree(folder, out, dirs_exist_ok=True)
    tensors = change(load_file(folder / WEIGHTS))
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    path = out / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config), encoding="utf-8")
    return out


def without(*parts: str) -> Callable[[Tensors], Tensors]:
    """Return a change that takes out every tensor whose name has one of `parts` in it."""
    return lambda tensors: {
        name: value for name, value in tensors.items() if not any(part in name for part in parts)
    }


def refusal(call: Callable[[], object]) -> str:
    """Return the text that a user reads of the PlanError that a call must raise."""
    with pytest.raises(PlanError) as caught:
        call()
    return caught.value.render()
