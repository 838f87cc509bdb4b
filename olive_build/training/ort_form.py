"""The training artifacts in ORT format, with one config of operators for a reduced build."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from olive_build.errors import StepError, first_line
from olive_build.training.captured import captured
from olive_build.training.ort_order import put_in_order

REQUIRED_OPERATORS = "required_operators.config"


def convert_to_ort(models: Sequence[Path], out: Path) -> None:
    """Write NAME.ort for each NAME.onnx, and required_operators.config for all of them together.

    The config names operators and their types, for --include_ops_by_config and
    --enable_reduced_operator_type_support of a training build. Raises StepError when a model
    cannot be converted, or when the config lacks what one of them has.
    """
    from olive_build.proof.required_operators import missing_from_config

    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch)
        for model in models:
            shutil.copy(model, folder / model.name)
        _convert(folder)
        config = next(iter(folder.glob("required_operators*.config")))
        _normalize(config)
        for model in models:
            optimized = onnx.load(str(folder / f"{model.stem}.optimized.onnx"))
            for lacking in missing_from_config(optimized, config):
                raise StepError(
                    f"the required-operators config lacks {lacking}",
                    where=f"{model.stem}.ort",
                    why="a reduced runtime built with it could not load the model",
                )
            put_in_order(folder / f"{model.stem}.ort")
            shutil.move(folder / f"{model.stem}.ort", out / f"{model.stem}.ort")
        shutil.move(config, out / REQUIRED_OPERATORS)


def _convert(folder: Path) -> None:
    from onnxruntime.tools.convert_onnx_models_to_ort import (
        OptimizationStyle,
        convert_onnx_models_to_ort,
    )

    try:
        with captured():
            convert_onnx_models_to_ort(
                folder,
                optimization_styles=[OptimizationStyle.Fixed],
                target_platform="arm",
                save_optimized_onnx_model=True,
                enable_type_reduction=True,
            )
    except Exception as error:
        raise StepError(
            "onnxruntime cannot convert the training artifacts to ORT format",
            why=first_line(error),
            hint="take `ort` out of the target's formats",
        ) from error


def _normalize(config: Path) -> None:
    # The first lines hold the folder and the command; they would differ between machines.
    lines = config.read_text(encoding="utf-8").splitlines()
    kept = sorted(line for line in lines if line.strip() and not line.startswith("#"))
    config.write_text("\n".join(kept) + "\n", encoding="utf-8")
