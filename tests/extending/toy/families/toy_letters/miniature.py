"""A model of letters with seeded weights, in the files that the family reads."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from olive_build.families.toy_letters.spec import CONFIG, WEIGHTS
from olive_build.families.toy_letters.torch_side import Letters

WIDTH, DIMENSIONS = 16, 8


def write_miniature(out: Path, layers: int = 0) -> None:
    """Write configuration and weights below `out`."""
    torch.manual_seed(0)
    model = Letters(WIDTH, DIMENSIONS)
    with torch.no_grad():
        model.decoder.weight *= 0.05  # so that tanh is far from its ends
    save_file(model.state_dict(), out / WEIGHTS)
    described = {"width": WIDTH, "dimensions": DIMENSIONS}
    (out / CONFIG).write_text(json.dumps(described) + "\n", encoding="utf-8")
