"""The error for a model that cannot be trained: which layer, which parameters, what to do.

Here, on the machine that builds, and not on the device that would train.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import onnx

from olive_build.errors import StepError
from olive_build.rewrites.gradients import NoGradient

# What onnxruntime-training 1.19.2 reads, and what its gradients were measured for.
HIGHEST_IR = 10
LOWEST_OPSET, HIGHEST_OPSET = 18, 21
SHOWN = 5


def require_versions(model: onnx.ModelProto) -> None:
    """Raise StepError unless onnxruntime-training 1.19.2 reads this IR version and this opset."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if model.ir_version > HIGHEST_IR or not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise StepError(
            f"onnxruntime-training cannot read IR version {model.ir_version} with opset {opset}",
            why=f"1.19.2, its last release, reads IR versions up to {HIGHEST_IR} and opsets up to "
            f"{HIGHEST_OPSET}; gradients were checked from opset {LOWEST_OPSET} on",
            hint=f"set `opset: {LOWEST_OPSET}` in the recipe",
        )


def refuse(findings: Sequence[NoGradient], trainable: Collection[str]) -> None:
    """Raise StepError where there are findings: every layer by name, the parameters below it."""
    if not findings:
        return
    lost = [name for finding in findings if not finding.operator for name in finding.parameters]
    stopped = [finding for finding in findings if finding.operator]
    if not stopped:
        raise StepError(
            f"the outputs do not depend on {_some([f'`{name}`' for name in lost])}",
            why="a parameter that changes nothing has no gradient",
            hint="leave it out of `train: requires_grad`, or name it in `train: frozen`",
        )
    if any(finding.operator == "BatchNormalization" for finding in stopped):
        stopped = [finding for finding in stopped if finding.operator == "BatchNormalization"]
        hint = "fold it into the convolution or linear layer before it, or replace it"
    else:
        hint = _hint(stopped, trainable)
    raise StepError(
        f"no gradient gets through {_some(list(dict.fromkeys(map(_place, stopped))))}",
        where=_some([f"node `{finding.node}`" for finding in stopped]),
        why="; ".join(dict.fromkeys(f"{f.operator}: {f.reason}" for f in stopped)),
        hint=hint,
    )


def patterns_for(names: Collection[str], trainable: Collection[str]) -> list[str]:
    """Return shell patterns that match `names` and no other trainable parameter, short ones first.

    A module of which everything that is trainable is among `names` becomes `module.*`.
    """
    others = set(trainable) - set(names)
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        prefixes = (".".join(parts[:end]) + "." for end in range(1, len(parts)))
        whole = (p for p in prefixes if not any(o.startswith(p) for o in others))
        found.setdefault(next((f"{p}*" for p in whole), name))
    return list(found)


def _hint(stopped: Sequence[NoGradient], trainable: Collection[str]) -> str:
    upstream = dict.fromkeys(name for finding in stopped for name in finding.parameters)
    patterns = [f"'{pattern}'" for pattern in patterns_for(list(upstream), trainable)]
    frozen = f"freeze what lies below with `train: frozen: [{', '.join(patterns)}]`"
    if len(upstream) < len(trainable):
        return f"{frozen}, or replace the layer"
    return "replace the layer: all that is to be trained lies below it"


def _place(finding: NoGradient) -> str:
    return f"`{finding.layer}` ({finding.operator})" if finding.layer else finding.operator


def _some(texts: Iterable[str]) -> str:
    listed = list(texts)
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more} more" if more > 0 else "")
