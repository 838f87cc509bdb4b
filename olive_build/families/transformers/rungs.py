"""The ways in which a network becomes a graph, the plainest first. None of them is believed.

transformers' own exporter (huggingface/transformers, src/transformers/exporters) knows patches for
many architectures, and is wrong for some that the plain way gets right; so each is tried, and held
to PyTorch at several sizes. Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from olive_build.errors import StepError
from olive_build.families.transformers.trace import (
    Free,
    Settings,
    Traced,
    flat,
    output_axes,
    run,
    settings_of,
)
from olive_build.olive_bridge import TorchExport, convert

# Of the largest number that PyTorch gives; sums in another order stay far below.
TOLERANCE = 1e-4
# Outputs that say nothing: no number as large as this, or the same for all samples.
SMALLEST = 1e-5
# No network computes such numbers: they stand for what must not be chosen.
MASKED = 1e30


@dataclass(frozen=True)
class Rung:
    """A way to export: `by` which exporter, with which `attention`, and which axes are `free`."""

    name: str
    by: str = "plain"
    attention: str | None = None
    optimize: bool = True
    free: Free = "all"


RUNGS = {
    rung.name: rung
    for rung in (
        Rung("plain"),
        Rung("transformers", by="transformers"),
        Rung("unoptimized", by="transformers", optimize=False),
        Rung("eager", attention="eager"),
        Rung("batch-only", free="batch"),
        Rung("batch-only-transformers", by="transformers", free="batch"),
        Rung("fixed", free="none"),
    )
}


def export(traced: Traced, rung: Rung, opset: int, out: Path) -> dict[str, Any]:
    """Write `out`/model.onnx, and return which axes are free and how far it is from PyTorch.

    Raises StepError where the graph is not PyTorch's at one of the settings, or proves nothing.
    """
    settings = settings_of(traced, rung.free)
    axes = output_axes(traced, settings)
    expected = [run(traced, feeds) for feeds in settings.feeds]
    _check_says_something(expected)
    if rung.by == "plain":
        _plain(traced, settings, axes, opset, out)
    else:
        _by_transformers(traced, rung, settings, axes, opset, out)
    return {
        "axes": {name: list(of.values()) for name, of in settings.axes.items() if of},
        "difference": _difference(out / "model.onnx", settings, expected),
    }


def _plain(
    traced: Traced,
    settings: Settings,
    axes: Mapping[str, Mapping[int, str]],
    opset: int,
    out: Path,
) -> None:
    names, outputs = settings.names, tuple(axes)
    module = flat(traced, names, outputs)
    convert(
        TorchExport(
            load=lambda: module,
            example=lambda: settings.feeds[0],
            inputs=names,
            outputs=outputs,
            dynamic_axes={**settings.axes, **axes},
        ),
        opset=opset,
        out=out,
    )


def _by_transformers(
    traced: Traced,
    rung: Rung,
    settings: Settings,
    axes: Mapping[str, Mapping[int, str]],
    opset: int,
    out: Path,
) -> None:
    import onnx_ir
    from transformers.exporters import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    from olive_build.families.transformers.exported import keep

    auto = torch.export.Dim.AUTO
    shapes = {name: dict.fromkeys(of, auto) for name, of in settings.axes.items()}
    config = OnnxConfig(dynamic_shapes=shapes, optimize=rung.optimize, opset_version=opset)
    tensors = {name: torch.from_numpy(value) for name, value in settings.feeds[0].items()}
    program = OnnxExporter().export(traced.model, {**tensors, **traced.quiet}, config)
    keep(onnx_ir.to_proto(program.program), tuple(axes), {**settings.axes, **axes}, out)


def _check_says_something(expected: list[dict[str, Any]]) -> None:
    """Raise StepError for outputs without size or spread: every graph would agree with them."""
    for name, value in expected[0].items():
        if np.abs(value).max() < SMALLEST or np.ptp(value) < SMALLEST:
            raise StepError(
                f"the model's output {name} proves nothing",
                why=f"its largest number is {np.abs(value).max():.2g}, and its numbers differ by "
                f"{np.ptp(value):.2g}",
            )


def _difference(path: Path, settings: Settings, expected: list[dict[str, Any]]) -> float:
    """Return the largest difference from PyTorch over its largest number, of all settings."""
    from olive_build.clients.onnxruntime_client import open_session, run_named

    session = open_session(path)
    names = [value.name for value in session.get_outputs()]
    worst = 0.0
    for feeds, wanted in zip(settings.feeds, expected, strict=True):
        found = dict(zip(names, run_named(session, feeds), strict=True))
        for name, value in wanted.items():
            size = " x ".join(map(str, next(iter(feeds.values())).shape))
            if found[name].shape != value.shape:
                raise StepError(
                    f"the exported graph's {name} is {list(found[name].shape)} at {size}",
                    why=f"PyTorch's is {list(value.shape)}",
                )
            apart = relative_difference(found[name], value)
            if not apart <= TOLERANCE:
                raise StepError(
                    f"the exported graph's {name} differs from PyTorch's by {apart:.2g} at {size}",
                    why=f"more than {TOLERANCE:.0e} of its largest number is no rounding",
                )
            worst = max(worst, apart)
    return worst


def relative_difference(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Return the largest difference over the largest number, of arrays of one shape.

    Masked numbers, infinite or near the lowest there is, count in neither; where others than the
    expected ones are masked, the difference is infinite.
    """
    masked = np.abs(expected) > MASKED
    if not np.array_equal(masked, np.abs(found) > MASKED):
        return float("inf")
    one, other = (np.where(masked, 0, value).astype(np.float64) for value in (found, expected))
    return float(np.abs(one - other).max() / np.abs(other).max())
