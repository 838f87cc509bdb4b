"""A step that merges a LoRA adapter into the weights of a model's folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.engine.step import Step

if TYPE_CHECKING:
    import torch

    from olive_build.families.peft_adapter import Merge


@dataclass(frozen=True)
class MergeAdapter(Step):
    """Write the model's folder with the adapter in its weights: W + scale B A, in fp32.

    Inputs: source (model folder), adapter (as PEFT saves it). Tensors that the adapter does not
    change keep their bytes. Raises PlanError where the two do not fit each other.
    """

    worker = "torch"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file

        from olive_build.families.peft_adapter import WEIGHTS, read_merge

        source = inputs["source"]
        merge = read_merge(source, inputs["adapter"])
        changed = {merge.folder / name for name in merge.files}
        for path in sorted(source.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
            if path.is_file() and path not in changed and not hidden:
                target = out / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        adapter = load_file(inputs["adapter"] / WEIGHTS)
        for path in sorted(changed):
            tensors = load_file(path)
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
            for name in tensors:
                tensors[name] = _merged(name, tensors[name], merge, adapter)
            target = out / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, target, metadata=metadata)


def _merged(
    name: str, weight: torch.Tensor, merge: Merge, adapter: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Return a tensor of the model with what the adapter does to it, in PEFT's order of sums."""
    if name in merge.replaced:
        weight = adapter[merge.replaced[name]].float()
    product = merge.products.get(name)
    if product is None:
        return weight
    a, b = adapter[product.a].float(), adapter[product.b].float()
    # Kernels of convolutions are matrices over their flattened inputs.
    change = (b.flatten(1) @ a.flatten(1)).reshape(b.shape[0], *a.shape[1:])
    change = change.T if product.transposed else change
    return (weight.float() + change * product.scale).contiguous()
