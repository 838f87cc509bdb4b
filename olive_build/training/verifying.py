"""What can be said of a training bundle's files without running them: no toolchain, no onnx.

The checkpoint is opened and held against what PyTorch began with, the optimizer's files against the
recipe's optimizer, and each graph against the inputs that an application gives it. Whether a step
does what PyTorch's does is told by taking it: `verify --train`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.errors import OliveBuildError, ProofError
from olive_build.record.manifest import (
    CHECKPOINT,
    NOMINAL_CHECKPOINT,
    TRAINING_GRAPHS,
    Training,
)
from olive_build.record.proof import Gate
from olive_build.steps.convert_ort import REQUIRED_OPERATORS
from olive_build.training.graph_reader import read_graph
from olive_build.training.optimizer_check import OptimizerGraph, optimizer_differences
from olive_build.training.settings import LEARNING_RATE, RATE_SCALE, Optimizer
from olive_build.training.steps.make import STORED_STEPS
from olive_build.training.verb.process import asked
from olive_build.training.verdict import repeated_gates

if TYPE_CHECKING:
    from olive_build.training.checkpoint_file import CheckpointFile
    from olive_build.training.stored_steps import StoredSteps

REFERENCE, FOLDER = "reference", "training"
MOST_TOLD = 3
CHILD = "olive_build.training.verify_child"
# How long the stored steps take at most: these, and more for each byte of the files.
REPEAT_SECONDS, SECONDS_PER_BYTE = 300.0, 2e-6


def training_problems(folder: Path, training: Training) -> list[str]:
    """Return a line for each thing that is wrong with a bundle's training files.

    Raises BundleError where the stored steps cannot be read.
    """
    from olive_build.training.stored_steps import read_stored

    misplaced = _misplaced(training)
    if misplaced:
        return misplaced
    stored = read_stored(folder / REFERENCE / STORED_STEPS)
    found: list[str] = []
    _told(found, training.files[CHECKPOINT], lambda: _of_checkpoint(folder, training, stored))
    if NOMINAL_CHECKPOINT in training.files:
        _told(found, training.files[NOMINAL_CHECKPOINT], lambda: _of_nominal(folder, training))
    optimizer = _optimizer(training)
    for role, path in training.files.items():
        if role.removesuffix("_ort") in TRAINING_GRAPHS:
            _told(found, path, lambda: _of_graph(folder, training, role, optimizer))  # noqa: B023
    return found


def _told(found: list[str], path: str, look: Callable[[], Sequence[str]]) -> None:
    """Add what a look at a file finds, or why it cannot be looked at."""
    try:
        lines = list(look())
    except OliveBuildError as error:
        lines = [f"{error.what}: {error.why}"]
    more = [f"and {len(lines) - MOST_TOLD} more"] if len(lines) > MOST_TOLD else []
    found += [f"{path}: {line}" for line in (*lines[:MOST_TOLD], *more)]


def _misplaced(training: Training) -> list[str]:
    """Return the files that are not where the runtime's files lie in every bundle."""
    places = {name: f"{name}.onnx" for name in TRAINING_GRAPHS}
    places |= {f"{name}_ort": f"{name}.ort" for name in TRAINING_GRAPHS}
    places |= {CHECKPOINT: CHECKPOINT, NOMINAL_CHECKPOINT: NOMINAL_CHECKPOINT}
    places["required_operators"] = REQUIRED_OPERATORS
    return [
        f"{path}: is no place for `{role}`"
        for role, path in training.files.items()
        if path != f"{FOLDER}/{places.get(role)}"
    ]


def _optimizer(training: Training) -> Optimizer:
    """Return the recipe's optimizer as the manifest has it."""
    told = training.optimizer
    if told.name == "sgd":
        return Optimizer("sgd", told.lr)
    assert told.betas is not None and told.eps is not None and told.weight_decay is not None
    return Optimizer("adamw", told.lr, told.betas, told.eps, told.weight_decay)


def _of_checkpoint(folder: Path, training: Training, stored: StoredSteps) -> list[str]:
    from olive_build.training.checkpoint_file import read_checkpoint

    checkpoint = read_checkpoint(folder / training.files[CHECKPOINT])
    if checkpoint.nominal:
        return ["it is a nominal one and holds no values"]
    found = [f"it trains {text}" for text in _names(checkpoint.trainable, stored.begun, "PyTorch")]
    found += [
        f"it trains {text}"
        for text in _names(checkpoint.trainable, training.shapes, "the manifest")
    ]
    tensors = {**checkpoint.trainable, **checkpoint.frozen}
    found += [f"`{name}` has not all its values" for name, t in tensors.items() if not t.is_whole]
    found += ["it holds an optimizer's state: it was trained"] if checkpoint.moments else []
    found += _of_properties(checkpoint, training)
    return found or _of_values(checkpoint, training, stored)


def _names(found: Mapping[str, Any], wanted: Mapping[str, Any], whose: str) -> list[str]:
    return [f"`{name}`, unlike {whose}" for name in sorted(set(found) - set(wanted))] + [
        f"no `{name}`, unlike {whose}" for name in sorted(set(wanted) - set(found))
    ]


def _of_properties(checkpoint: CheckpointFile, training: Training) -> list[str]:
    rate = checkpoint.properties.get(LEARNING_RATE)
    others = sorted(set(checkpoint.properties) - {LEARNING_RATE, RATE_SCALE})
    found = [f"it has a property `{name}`" for name in others]
    if not isinstance(rate, float) or not math.isclose(rate, training.optimizer.lr, rel_tol=1e-6):
        found.append(f"its learning rate is {rate}, not {training.optimizer.lr:g}")
    return found


def _of_values(checkpoint: CheckpointFile, training: Training, stored: StoredSteps) -> list[str]:
    """Hold shapes against the manifest's, and values against those that PyTorch began with."""
    found = [
        f"`{name}` is {list(tensor.shape)}, not {list(training.shapes[name])}"
        for name, tensor in checkpoint.trainable.items()
        if tensor.shape != training.shapes[name]
    ]
    return found + [
        f"`{name}` has other values than PyTorch began with"
        for name, tensor in checkpoint.trainable.items()
        if tensor.digest() != stored.begun[name]
    ]


def _of_nominal(folder: Path, training: Training) -> list[str]:
    """Hold a nominal checkpoint against the whole one: names, and zeros for values."""
    from olive_build.training.checkpoint_file import read_checkpoint

    nominal = read_checkpoint(folder / training.files[NOMINAL_CHECKPOINT])
    whole = read_checkpoint(folder / training.files[CHECKPOINT])
    found = [] if nominal.nominal else ["it is no nominal one"]
    for kind, one, other in (
        ("trains", nominal.trainable, whole.trainable),
        ("freezes", nominal.frozen, whole.frozen),
    ):
        if set(one) != set(other):
            found.append(f"it {kind} other parameters than the checkpoint")
        found += [f"`{name}` has a value" for name, tensor in one.items() if tensor.data.any()]
    if nominal.properties != whole.properties or nominal.moments:
        found.append("it has another learning rate or state than the checkpoint")
    return found


def _of_graph(folder: Path, training: Training, role: str, optimizer: Optimizer) -> list[str]:
    graph = read_graph(folder / training.files[role])
    if role.startswith(TRAINING_GRAPHS[-1]):
        from olive_build.training.checkpoint_file import read_checkpoint

        properties = read_checkpoint(folder / training.files[CHECKPOINT]).properties
        # What they are where the checkpoint has none.
        found = ((LEARNING_RATE, math.nan), (RATE_SCALE, 1.0))
        rates = [properties.get(name, otherwise) for name, otherwise in found]
        rate, scale = (value if isinstance(value, float) else math.nan for value in rates)
        return optimizer_differences(graph, optimizer, rate, scale)
    return _of_ends(graph, training, role)


def _of_ends(graph: OptimizerGraph, training: Training, role: str) -> list[str]:
    given = (*(item.name for item in training.inputs), training.goal.name)
    if graph.inputs[: len(given)] != given:
        begins = ", ".join(graph.inputs[: len(given)]) or "nothing"
        return [f"it takes {begins}, not {', '.join(given)}"]
    lacking = sorted(set(training.shapes) - set(graph.inputs))
    found = [f"it does not take `{name}`, which learns" for name in lacking]
    missing = [name for name in training.outputs if name not in graph.outputs]
    if role.startswith("eval") and missing:
        found.append(f"it gives no {', '.join(missing)}")
    return found


def train_again(folder: Path) -> tuple[Gate, ...]:
    """Repeat the stored steps of a bundle that was looked at, and judge them as a build does.

    Takes the training toolchain, and makes it where there is none. Raises ProofError where a step
    does not do what PyTorch's did, or does not run.
    """
    size = sum(path.stat().st_size for path in (folder / FOLDER).iterdir())
    seconds = REPEAT_SECONDS + SECONDS_PER_BYTE * size
    found, why = asked(CHILD, str(folder.absolute()), seconds=seconds)
    if found is None:
        raise _refused(folder, f"the training runtime does not run its files: {why}")
    if "error" in found:
        raise _refused(folder, f"{found['error']['what']}: {found['error']['why']}")
    gates = tuple(repeated_gates(found))
    failed = [gate.text() for gate in gates if gate.status == "failed"]
    if failed:
        raise _refused(folder, "\n".join(failed))
    return gates


def _refused(folder: Path, why: str) -> ProofError:
    return ProofError(
        "the bundle does not train as PyTorch did",
        where=str(folder),
        why=why,
        hint="do not ship it; build it again, and find out who changed the file",
    )
