"""ONNX -> ORT format, with the list of operators and types that a reduced runtime must keep."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.errors import StepError, first_line

MODEL_NAME = "model.onnx"
ORT_MODEL = "model.ort"
REQUIRED_OPERATORS = "required_operators.config"
# It is a FlatBuffer, whose places are signed numbers of 32 bits, and knows no other files.
LARGEST_ORT = 2**31 - 1
STYLES = {"fixed": "Fixed", "runtime": "Runtime"}


@dataclass(frozen=True)
class ConvertToOrt(Step):
    """Write model.ort and required_operators.config. Inputs: model.

    `style` "fixed" bakes the CPU's optimizations in; "runtime" keeps the operators that another
    provider takes and stores the CPU's optimizations beside them (replayed when the session sets
    session.enable_saved_runtime_optimizations). The config names operators with their types, for
    --include_ops_by_config of a reduced build. Raises StepError when it lacks an operator or a
    type of the graph.
    """

    style: str

    worker = "onnxruntime"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.clients.onnxruntime_client import open_session
        from olive_build.onnx_files.data_files import copy_model
        from olive_build.proof.required_operators import missing_from_config
        from olive_build.steps.model_check import MODEL, read

        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            folder = Path(scratch)
            copy_model(inputs["model"] / MODEL, folder)
            _require_size(folder)
            optimized = self._convert(folder)
            shutil.move(_only(folder, "*.ort"), out / ORT_MODEL)
            shutil.move(_only(folder, "*.config"), out / REQUIRED_OPERATORS)
            missing = missing_from_config(read(optimized), out / REQUIRED_OPERATORS)
        _normalize(out / REQUIRED_OPERATORS)
        if missing:
            raise StepError(
                f"the required-operators config lacks {missing[0]}",
                where=REQUIRED_OPERATORS,
                why="a reduced runtime built with it could not load the model",
            )
        open_session(out / ORT_MODEL)

    def _convert(self, folder: Path) -> Path:
        from onnxruntime.tools.convert_onnx_models_to_ort import (
            OptimizationStyle,
            convert_onnx_models_to_ort,
        )

        from olive_build.clients.onnxruntime_client import extensions_library

        try:
            convert_onnx_models_to_ort(
                folder / MODEL_NAME,
                optimization_styles=[OptimizationStyle[STYLES[self.style]]],
                custom_op_library_path=Path(extensions_library()),
                target_platform="arm",
                save_optimized_onnx_model=True,
                enable_type_reduction=True,
            )
        except Exception as error:
            raise StepError(
                "onnxruntime cannot convert the model to ORT format",
                where=MODEL_NAME,
                why=first_line(error),
            ) from error
        return _only(folder, "*.optimized.onnx")


def _require_size(folder: Path) -> None:
    """Raise StepError for a model that ORT format cannot hold."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LARGEST_ORT:
        raise StepError(
            "the model is too large for ORT format",
            where=MODEL_NAME,
            why=f"it has {size / 1e9:.1f} GB; an .ort file is one FlatBuffer, which ends at 2.1 GB "
            "and has no weights beside it",
            hint="write `formats: [onnx]` for this target, or quantize to fewer bits",
        )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise StepError(
            f"the conversion to ORT format wrote {len(found)} files {pattern}",
            why=f"one was expected; there are {', '.join(path.name for path in folder.iterdir())}",
        )
    return found[0]


def _normalize(config: Path) -> None:
    # The first lines hold the folder and the command; they would differ between machines.
    lines = config.read_text(encoding="utf-8").splitlines()
    kept = sorted(line for line in lines if line.strip() and not line.startswith("#"))
    config.write_text("\n".join(kept) + "\n", encoding="utf-8")
