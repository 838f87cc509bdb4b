"""What is done to copies of a training bundle, one change a copy, each by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.training.checkpoint_file import read_checkpoint

MODELS = ("training_model", "eval_model", "optimizer_model")
# The ORT form of changed .onnx files, and checkpoints that the runtime wrote otherwise.
REMAKE = """
from olive_build.training.ort_form import convert_to_ort
from olive_build.training.runtime import training_runtime
from olive_build.training.session import TrainingSession
import numpy as np
base = Path(sys.argv[1])
for folder in sorted(base.glob("ort-*")):
    artifacts, made = folder / "training", folder / "made"
    made.mkdir()
    names = ("training_model", "eval_model", "optimizer_model")
    models = [artifacts / f"{name}.onnx" for name in names]
    convert_to_ort(models, folder / "inference" / "model.onnx", made)
    for name in names:
        (made / f"{name}.ort").rename(artifacts / f"{name}.ort")
        (artifacts / f"{name}.good").rename(artifacts / f"{name}.onnx")
    (made / "required_operators.config").unlink()
    made.rmdir()
steps = np.load(base / "good" / "steps.npz")
batch = [steps["input.0.x"]], steps["target.0"]
for name, whole in (("trained", False), ("with-moments", True)):
    session = TrainingSession(base / "good" / "training")
    if not whole:
        session.step(*batch)
        save = training_runtime().CheckpointState.save_checkpoint
        save(session._state, str(base / name / "training" / "checkpoint"), False)
    else:
        before = session.parameters()
        session.step(*batch)
        for key, value in before.items():
            session._state.parameters[key] = value
        session.save_checkpoint(base / name / "training" / "checkpoint")
"""
Change = Callable[[Path], None]


@dataclass(frozen=True)
class Tampering:
    """What is done to a copy's folder, and whether reading the files is enough to see it."""

    change: Change
    read: bool


def model(name: str, change: Callable[[Any], None]) -> Change:
    """Change an .onnx file; where the copy is named ort-..., its .ort twin alone."""

    def changed(folder: Path) -> None:
        path = folder / "training" / f"{name}.onnx"
        if folder.name.startswith("ort-"):
            for other in MODELS:
                shutil.copy(path.with_name(f"{other}.onnx"), path.with_name(f"{other}.good"))
        loaded = onnx.load(str(path))
        change(loaded.graph)
        onnx.save(loaded, str(path))

    return changed


def setting(name: str, value: float | int) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        (item,) = [a for a in graph.node[-1].attribute if a.name == name]
        item.CopyFrom(helper.make_attribute(name, value))

    return change


def swapped(one: int, other: int) -> Callable[[Any], None]:
    """Swap two inputs of the optimizer's operator."""

    def change(graph: Any) -> None:
        ends = graph.node[-1].input
        ends[one], ends[other] = ends[other], ends[one]

    return change


def decayed(graph: Any) -> None:
    """Scale the rate on its way to the optimizer."""
    graph.initializer.append(helper.make_tensor("more", 1, [1], [1.5]))
    graph.node.insert(0, helper.make_node("Mul", ["learning_rate", "more"], ["scaled"]))
    graph.node[1].input[0] = "scaled"


def gradient(factor: float, parameter: str) -> Callable[[Any], None]:
    """Multiply a gradient before it is added up."""

    def change(graph: Any) -> None:
        nodes = list(enumerate(graph.node))
        index, node = next(
            (i, n)
            for i, n in nodes
            if n.op_type.startswith("InPlaceAcc") and n.input[0].startswith(parameter)
        )
        graph.initializer.append(helper.make_tensor("factor", 1, [], [factor]))
        graph.node.insert(index, helper.make_node("Mul", [node.input[1], "factor"], ["other"]))
        graph.node[index + 1].input[1] = "other"

    return change


def kept(graph: Any) -> None:
    """Never reset the gradients that are added up."""
    graph.initializer.append(numpy_helper.from_array(np.array([False]), "never"))
    for node in graph.node:
        if node.op_type.startswith("InPlaceAcc"):
            node.input[2] = "never"


def scaled(output: str, factor: float = 1.25) -> Callable[[Any], None]:
    """Multiply an output by so much; what reads it inside is left."""

    def change(graph: Any) -> None:
        for node in graph.node:
            node.output[:] = [f"{n}.own" if n == output else n for n in node.output]
            node.input[:] = [f"{n}.own" if n == output else n for n in node.input]
        graph.initializer.append(helper.make_tensor("by", 1, [], [factor]))
        graph.node.append(helper.make_node("Mul", [f"{output}.own", "by"], [output]))

    return change


def turned(graph: Any) -> None:
    """Give the graph's first two inputs in the other order."""
    first, second = (helper.make_tensor_value_info("", 1, []) for _ in range(2))
    first.CopyFrom(graph.input[0])
    second.CopyFrom(graph.input[1])
    graph.input[0].CopyFrom(second)
    graph.input[1].CopyFrom(first)


def value(kind: str, name: str, checkpoint: str = "checkpoint") -> Change:
    """Change one value of a checkpoint, by a thousandth."""

    def change(folder: Path) -> None:
        found = read_checkpoint(folder / "training" / checkpoint, writable=True)
        getattr(found, kind)[name].data.view("<f4")[0] += 1e-3

    return change


def content(path: str, data: bytes) -> Change:
    return lambda folder: (folder / path).write_bytes(data) and None  # type: ignore[return-value]


def copied(source: str, path: str) -> Change:
    return lambda folder: shutil.copy(folder / source, folder / path) and None  # type: ignore[return-value]


def replaced(path: str, old: float, new: float) -> Change:
    """Put another fp32 number where one stands in a file."""

    def change(folder: Path) -> None:
        data = (folder / path).read_bytes()
        before, after = (np.float32(number).tobytes() for number in (old, new))
        assert data.count(before) >= 1
        (folder / path).write_bytes(data.replace(before, after))

    return change


def nothing(_: Path) -> None:
    """The toolchain writes the checkpoint of this copy."""


OPTIMIZER, TRAINING, EVAL = MODELS[2], MODELS[0], MODELS[1]
CASES = {
    **{
        f"{form}{name}": Tampering(model(OPTIMIZER, setting(name, number)), read=True)
        for form in ("", "ort-")
        for name, number in (
            *(("alpha", 0.5), ("beta", 0.99), ("epsilon", 1e-6), ("weight_decay", 0.5)),
            ("adam_mode", 1),
        )
    },
    "correct_bias": Tampering(model(OPTIMIZER, setting("correct_bias", 0)), read=True),
    "moments-swapped": Tampering(model(OPTIMIZER, swapped(4, 5)), read=True),
    "gradients-swapped": Tampering(model(OPTIMIZER, swapped(3, 4)), read=True),
    "rate-scaled": Tampering(model(OPTIMIZER, decayed), read=True),
    "ort-rate-scaled": Tampering(model(OPTIMIZER, decayed), read=True),
    "sign": Tampering(model(TRAINING, gradient(-1, "head.weight")), read=False),
    "ort-sign": Tampering(model(TRAINING, gradient(-1, "high.weight")), read=False),
    "gradient-scaled": Tampering(model(TRAINING, gradient(2, "high.bias")), read=False),
    "gradients-kept": Tampering(model(TRAINING, kept), read=False),
    "loss": Tampering(model(TRAINING, scaled("loss")), read=False),
    "inputs-turned": Tampering(model(TRAINING, turned), read=True),
    "eval-loss": Tampering(model(EVAL, scaled("loss")), read=False),
    "eval-logits": Tampering(model(EVAL, scaled("logits")), read=False),
    "ort-eval-logits": Tampering(model(EVAL, scaled("logits")), read=False),
    "eval-is-training": Tampering(
        copied("training/training_model.onnx", "training/eval_model.onnx"), read=False
    ),
    **{
        f"junk-{path}": Tampering(content(f"training/{path}", b"junk"), read=True)
        for path in ("checkpoint", "nominal_checkpoint")
    },
    **{
        f"junk-{name}.{form}": Tampering(content(f"training/{name}.{form}", b"junk" * 9), read=True)
        for name in MODELS
        for form in ("onnx", "ort")
    },
    "empty-checkpoint": Tampering(content("training/checkpoint", b""), read=True),
    "weight": Tampering(value("trainable", "head.weight"), read=True),
    "frozen-weight": Tampering(value("frozen", "low.weight"), read=False),
    "rate": Tampering(replaced("training/checkpoint", 0.01, 0.02), read=True),
    "trained": Tampering(nothing, read=True),
    "with-moments": Tampering(nothing, read=True),
    "nominal-is-whole": Tampering(
        copied("training/checkpoint", "training/nominal_checkpoint"), read=True
    ),
    "checkpoint-is-nominal": Tampering(
        copied("training/nominal_checkpoint", "training/checkpoint"), read=True
    ),
    "nominal-value": Tampering(value("trainable", "head.weight", "nominal_checkpoint"), read=True),
    "nominal-rate": Tampering(replaced("training/nominal_checkpoint", 0.01, 0.02), read=True),
}
