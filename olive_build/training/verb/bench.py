"""`olive-build bench` of training bundles: what a training step costs on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import click

from olive_build.engine.machine import this_machine
from olive_build.errors import BundleError, StepError, UsageError
from olive_build.record.codec import encode
from olive_build.report.blocks import table
from olive_build.report.render.terminal import print_block
from olive_build.toolchains import provision
from olive_build.training.verb.bundle import TrainingBundle, open_bundle
from olive_build.training.verb.process import TOOLCHAIN, asked

COST = "olive_build.training.cost"
REFERENCE = "reference"
BUNDLES = "training bundles"
WHY_ALONE = "of a training bundle steps of training are timed, of another one inference"
# What is said of files that run has no meaning where steps are timed.
NOT_HERE = {
    "against": "--against names what runs a model; PyTorch's training step stands in `make bench`",
    "seconds": "a step is done some 20 times, whatever it takes; leave --seconds out",
    "lengths": "a step is timed on the inputs that the bundle holds; leave --lengths out",
}


def bench(
    bundles: Sequence[Path],
    batches: Sequence[int],
    threads: Sequence[int],
    *,
    as_json: bool,
) -> int:
    """Time a step of each bundle at each batch and number of threads; print it, and return 0.

    Raises UsageError for a batch that the graphs do not take,
    BundleError for a damaged bundle, StepError where a step does not run.
    """
    opened = [open_bundle(folder) for folder in bundles]
    planned = [(bundle, batch) for bundle in opened for batch in _batches(bundle, batches)]
    provision.python_of(TOOLCHAIN, report=lambda text: click.echo(text, err=True))
    rows = [
        _measured(bundle, batch, count)
        for (bundle, batch), count in product(planned, threads or (1,))
    ]
    result = {"machine": encode(this_machine()), "training": rows}
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _print(result)
    return 0


def _batches(bundle: TrainingBundle, chosen: Sequence[int]) -> Sequence[int]:
    fixed = bundle.training.fixed_batch
    wrong = [batch for batch in chosen if fixed and batch != fixed]
    if wrong:
        raise UsageError(
            f"the graphs of {bundle.folder} take {fixed} at a time, not {wrong[0]}",
            why="its recipe fixed batch_size",
            hint="leave --batches out, or build the bundle with a free batch",
        )
    return chosen or (bundle.training.first_batch,)


def _measured(bundle: TrainingBundle, batch: int, threads: int) -> dict[str, Any]:
    """Return a row: what `training.cost` says of a process that trains and does nothing else."""
    with tempfile.TemporaryDirectory(prefix="olive-build-bench-") as scratch:
        path = Path(scratch) / "batch.npz"
        _write_batch(bundle, batch, path)
        words = (str(bundle.artifacts.absolute()), str(path), str(threads))
        cost, why = asked(COST, *words)
    if cost is None:
        raise StepError(
            "a training step cannot be timed",
            where=f"{bundle.folder}, batch {batch}, threads {threads}",
            why=why,
            hint="`olive-build verify` says whether the bundle is whole; a smaller --batches takes "
            "less memory",
        )
    name = f"{bundle.manifest.recipe}/{bundle.manifest.target}"
    per_second = batch * 1e3 / cost["milliseconds_per_step"]
    return {"bundle": name, "batch": batch, "examples_per_second": per_second, **cost}


def _write_batch(bundle: TrainingBundle, batch: int, path: Path) -> None:
    """Write the inputs of the bundle's reference, repeated as needed, and then a target."""
    import numpy as np

    from olive_build.proof.reference import read_reference
    from olive_build.proof.references.logits import LogitsReference

    training = bundle.training
    try:
        reference = read_reference(bundle.folder / REFERENCE)
        if not isinstance(reference, LogitsReference):
            raise TypeError(f"it is a reference of {reference.samples}, without inputs")
        inputs = [reference.feeds[item.name] for item in training.inputs]
    except (KeyError, TypeError) as error:
        raise BundleError(
            "the bundle's stored inputs cannot be read",
            where=str(bundle.folder / REFERENCE),
            why=f"{type(error).__name__}: {error}",
            hint="`olive-build verify` says which file was changed; build the bundle again",
        ) from error
    rows = np.resize(np.arange(len(inputs[0])), batch)
    shape = (batch, *(int(axis) for axis in training.goal.axes[1:]))
    target = np.zeros(shape, training.goal.type)
    if training.has_classes:
        target = np.resize(np.arange(max(len(training.labels), 1)), shape).astype(target.dtype)
    # Positional: names of a model's inputs could be those of np.savez's own arguments.
    np.savez(path, *(values[rows] for values in inputs), target)


def _print(result: Mapping[str, Any]) -> None:
    machine = result["machine"]
    click.echo(f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['features'])}")
    rows: list[dict[str, Any]] = result["training"]
    shown = table(
        "steps",
        "",
        rows,
        ("training step of", "", lambda row: row["bundle"]),
        ("batch", "number", lambda row: str(row["batch"])),
        ("threads", "number", lambda row: str(row["threads"])),
        ("ms a step", "number", lambda row: f"{row['milliseconds_per_step']:.2f}"),
        ("examples/s", "number", lambda row: f"{row['examples_per_second']:.1f}"),
        ("peak MB", "number", lambda row: f"{row['peak_bytes'] / 1e6:.1f}"),
        ("of it", "number", lambda it: f"{(it['peak_bytes'] - it['baseline_bytes']) / 1e6:.1f}"),
    )
    print_block(shown)
    click.echo(
        "\nms a step: the median of up to 20 steps, each with loss, gradients and optimizer, on "
        "inputs\nthat the bundle holds. peak MB: of a process that has the training runtime alone; "
        "of it: above\nthat process before it loaded the bundle. A build's own are in proof.json, "
        "those of PyTorch in\n`make bench`."
    )
