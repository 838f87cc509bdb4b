"""`olive-build train`: a training bundle learns on this machine, as it would on a device."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import EXIT_DONE, EXIT_INTERRUPTED, ProofError, StepError
from olive_build.report.blocks import by_place, table
from olive_build.report.charts import loss_plot
from olive_build.report.render.terminal import block_lines
from olive_build.toolchains import provision
from olive_build.training.verb.bundle import TrainingBundle, open_bundle
from olive_build.training.verb.display import Display, duration
from olive_build.training.verb.examples import Examples, read_examples
from olive_build.training.verb.process import TOOLCHAIN, train
from olive_build.training.verb.written import (
    CHECKPOINT,
    INFERENCE,
    PLOT,
    RECORD,
    Earlier,
    History,
    Settings,
    Typed,
    check_output,
    earlier,
    put_in_place,
    record,
    settle,
    work_folder,
)

# The exported model may differ by this from the evaluation model, of its largest output.
TOLERANCE = 1e-5
# A last loss that is so many times the first is not that of a model that learns.
DIVERGED = 10
DATA, LOG, COMPARED = "data.npz", "train.log", "compared.npz"


@dataclass(frozen=True)
class Job:
    """One training: of what, with what, how, into which folder."""

    bundle: TrainingBundle
    examples: Examples
    settings: Settings
    before: Earlier
    checkpoint: Path | None
    data: Path
    output: Path

    @property
    def planned(self) -> int:
        """The number of the last epoch that is to be done."""
        return self.before.history.epochs + self.settings.epochs

    def request(self, work: Path) -> dict[str, Any]:
        """Return what `training.train_child` is asked."""
        training = self.bundle.training
        return {
            "artifacts": str(self.bundle.artifacts.absolute()),
            "form": training.form,
            "checkpoint": str(self.checkpoint.absolute()) if self.checkpoint else None,
            "data": str(work / DATA),
            "out": str(work),
            "inputs": [item.name for item in training.inputs],
            "outputs": list(training.outputs),
            "loss_output": training.loss_output,
            "loss": {
                "name": training.loss.name,
                "class_weights": list(training.loss.class_weights),
            },
            "margin": training.margin,
            "trainable": {name: list(shape) for name, shape in training.shapes.items()},
            "fixed_batch": training.fixed_batch,
            "batch_size": self.settings.batch_size,
            "learning_rate": self.settings.learning_rate,
            "seed": self.settings.seed,
            "epochs": self.settings.epochs,
            "epochs_before": self.before.history.epochs,
        }


@dataclass(frozen=True)
class Asked:
    """What was typed: the data, where the output goes, the checkpoint to go on from, settings."""

    data: Path
    output: Path | None
    resume: Path | None
    typed: Typed


def run_training(folder: Path, asked: Asked, *, as_json: bool) -> int:
    """Train as the command line chose, show it, write the output, and return the exit code."""
    bundle = open_bundle(folder)
    output = asked.output or default_output(bundle)
    check_output(output, folder)
    before = earlier(asked.resume, bundle)
    settings = settle(bundle, asked.typed, before)
    display = Display(as_json=as_json)
    if bundle.manifest.smoke:
        display.note("a miniature: it shows that training runs, and nothing of the model")
    examples = read_examples(bundle, asked.data, settings.hold_out, settings.seed)
    if examples.split.note:
        display.note(examples.split.note)
    if before.data not in (None, examples.digest):
        display.note(
            "the data is not that of the earlier training: what was held out then may be learned "
            "from now"
        )
    if over := examples.left_out(bundle.training.fixed_batch):
        display.note(
            f"each epoch leaves {over} of {len(examples.split.learned)} examples out, by chance: "
            f"the graphs take {bundle.training.fixed_batch} at a time"
        )
    job = Job(bundle, examples, settings, before, asked.resume, asked.data, output)
    provision.python_of(TOOLCHAIN, report=display.note)
    with work_folder(output) as work:
        return _run(job, display, work)


def _run(job: Job, display: Display, work: Path) -> int:
    history = deepcopy(job.before.history)
    job.examples.write(work / DATA)
    done: dict[str, Any] = {}
    begun = time.monotonic()
    events = train(job.request(work), work / LOG)
    try:
        with closing(events):
            for event in events:
                history.take(event)
                if "saved" in event:
                    last = f"{CHECKPOINT}-{history.epochs - 1}"
                    (work / last).unlink(missing_ok=True)
                done = event.get("done", done)
                display.event(event)
    except KeyboardInterrupt:
        return _interrupted(job, display, work, history)
    except StepError as error:
        _keep_after(error, job, work, history)
        raise
    finally:
        display.close()
    difference = compare(job, work)
    figures = {
        **done,
        "seconds": time.monotonic() - begun,
        "inference_difference": difference,
        "loss_first": history.losses[0],
        "loss_last": history.losses[-1],
    }
    _write(job, work, history, figures, {INFERENCE: work / INFERENCE})
    _show(job, display, history, figures)
    return EXIT_DONE


def _interrupted(job: Job, display: Display, work: Path, history: History) -> int:
    """Keep the epochs that were finished in this run, where there are any."""
    display.close()
    kept = _keep(job, work, history)
    if kept is None:
        text = "interrupted before an epoch was finished; nothing was written"
        display.end(text, {"interrupted": {"epochs": history.epochs, "output": None}})
        return EXIT_INTERRUPTED
    text = (
        f"interrupted after epoch {kept.epochs} of {job.planned}, whose checkpoint is kept; go on "
        f"with:\n  {_command(job)}"
    )
    display.end(text, {"interrupted": {"epochs": kept.epochs, "output": str(job.output)}})
    return EXIT_INTERRUPTED


def _keep_after(error: StepError, job: Job, work: Path, history: History) -> None:
    """Keep the epochs that were finished before the error, and let its hint say so."""
    kept = _keep(job, work, history)
    if kept:
        told = (
            f"epoch {kept.epochs} of {job.planned} is kept in {job.output}; go on from it with:\n"
            f"  {_command(job)}"
        )
        error.hint = f"{error.hint}\n{told}" if error.hint else told


def _keep(job: Job, work: Path, history: History) -> History | None:
    """Write the last epoch that this run finished; return the history up to it, None without."""
    kept = history.whole()
    if kept.epochs == job.before.history.epochs:
        return None
    _write(job, work, kept, {"loss_first": kept.losses[0], "loss_last": kept.losses[-1]}, {})
    return kept


def _write(
    job: Job,
    work: Path,
    history: History,
    figures: Mapping[str, Any],
    further: dict[str, Path | str],
) -> None:
    """Put the output in place: the last saved checkpoint, the picture, the record."""
    manifest, split = job.bundle.manifest, job.examples.split
    data = {
        "folder": str(job.data),
        "digest": job.examples.digest,
        "learned_from": job.examples.counts(split.learned),
        "held_out": job.examples.counts(split.held),
    }
    title = f"{manifest.recipe} for {manifest.target}: loss over {len(history.losses)} steps"
    judged = [(item.step, item.loss) for item in history.judged]
    text = record(
        job.bundle, job.settings, history, planned=job.planned, data=data, figures=figures
    )
    files: dict[str, Path | str] = {
        CHECKPOINT: work / f"{CHECKPOINT}-{history.epochs}",
        PLOT: loss_plot(title, history.losses, judged),
        RECORD: text,
        **further,
    }
    put_in_place(files, work, job.output)


def compare(job: Job, work: Path) -> float:
    """Return how far the exported model is from the evaluation model, in onnxruntime of today.

    Raises ProofError beyond the tolerance.
    """
    import numpy as np
    import onnxruntime

    training, rows = job.bundle.training, job.examples.compared
    session = onnxruntime.InferenceSession(
        str(work / INFERENCE), providers=["CPUExecutionProvider"]
    )
    batch = training.fixed_batch or job.settings.batch_size
    worst, largest = 0.0, 1.0
    with np.load(work / COMPARED) as expected:
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            # A batch that is fixed is filled up; what fills it is not looked at.
            feeds = {
                name: array[np.resize(part, batch) if training.fixed_batch else part]
                for name, array in job.examples.inputs.items()
            }
            given = session.run(list(training.outputs), feeds)
            for name, output in zip(training.outputs, given, strict=True):
                wanted = expected[name][start : start + batch]
                _check_comparable(name, output[: len(part)], wanted, len(rows))
                worst = max(worst, float(np.abs(output[: len(part)] - wanted).max()))
                largest = max(largest, float(np.abs(wanted).max()))
    if not worst <= TOLERANCE * largest:
        raise ProofError(
            "the exported model does not do what the trained one does",
            where=f"{INFERENCE}, on {len(rows)} examples in onnxruntime {onnxruntime.__version__}",
            why=f"outputs differ by up to {worst:.2g}; the limit is {TOLERANCE * largest:.2g}",
            hint="do not use it; this is a bug of the exporting or of the running runtime",
        )
    return worst


def _check_comparable(name: str, output: Any, wanted: Any, examples: int) -> None:
    """Raise ProofError unless an output has the wanted shape and both hold finite numbers alone."""
    import numpy as np

    where = f"{INFERENCE}, on {examples} examples"
    if not np.isfinite(wanted).all():
        raise ProofError(
            "the trained model gives what is no finite number",
            where=where,
            why=f"its output `{name}` is infinite or NaN after the last step",
            hint="train again with a lower --learning-rate, and look at the examples",
        )
    if output.shape != wanted.shape or not np.isfinite(output).all():
        shapes = f"`{name}` is {list(output.shape)}; {list(wanted.shape)} is expected"
        raise ProofError(
            "the exported model does not do what the trained one does",
            where=where,
            why=shapes if output.shape != wanted.shape else f"`{name}` is infinite or NaN",
            hint="do not use it; this is a bug of the exporting or of the running runtime",
        )


def _show(job: Job, display: Display, history: History, figures: Mapping[str, Any]) -> None:
    """Print the tables, and what to do next."""
    first, last = history.losses[0], history.losses[-1]
    if last > DIVERGED * first:
        display.note(
            f"warning: training diverged, its loss went from {first:.4g} to {last:.4g}; lower the "
            f"learning rate, such as --learning-rate {job.settings.learning_rate / 10:g}"
        )
    judged = [asdict(item) for item in history.judged]
    told = {**figures, "judged": judged, "output": str(job.output)}
    lines = [
        "",
        *_examples_table(job, history),
        "",
        *_figures_table(job, history, figures),
        "",
        f"try it: {job.output / INFERENCE} runs in any onnxruntime; the loss: {job.output / PLOT}",
        f"go on: {_command(job)}",
    ]
    display.end("\n".join(lines), {"trained": told})


def _examples_table(job: Job, history: History) -> Iterator[str]:
    examples, labels = job.examples, job.bundle.training.labels
    learned = examples.counts(examples.split.learned)
    held = examples.counts(examples.split.held)
    heads = ["learned from", "held out"]
    # Of numbers there are no classes, and all examples are told together.
    names = [name for name in labels if name in learned] or list(learned)
    rows = [[name, str(learned[name]), str(held[name])] for name in names]
    if history.judged and history.judged[-1].shares:
        heads.append("of those right, before -> after")
        for row in rows:
            number = labels.index(row[0])
            shares = [item.shares[number] for item in (history.judged[0], history.judged[-1])]
            row.append(" -> ".join("none" if share is None else f"{share:.1%}" for share in shares))
    columns = by_place(("examples of", ""), *((head, "number") for head in heads))
    return block_lines(table("examples", "", rows, *columns))


def _figures_table(job: Job, history: History, figures: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ["epochs, in all", str(history.epochs)],
        ["steps", str(figures["steps"])],
        ["time", duration(figures["seconds"])],
        ["a step", f"{figures['milliseconds_per_step']:.2f} ms"],
        ["loss, first -> last step", f"{history.losses[0]:.4g} -> {history.losses[-1]:.4g}"],
    ]
    if history.judged:
        first, last = history.judged[0], history.judged[-1]
        rows.append(["held-out loss, before -> after", f"{first.loss:.4g} -> {last.loss:.4g}"])
        of_classes = ", mean of classes" if last.shares else ""
        for name, before, after in (
            (f"held out and right{of_classes}", first.accuracy, last.accuracy),
            ("equal error rate, held out", first.equal_error_rate, last.equal_error_rate),
        ):
            if before is not None and after is not None:
                rows.append([f"{name}, before -> after", f"{before:.1%} -> {after:.1%}"])
    rows.append(["exported model off by", f"{figures['inference_difference']:.1e}"])
    return block_lines(table("figures", "", rows, *by_place(("training", ""), ("", "number"))))


def _command(job: Job) -> str:
    """Return the command that goes on from what was written, into the same folder."""
    words = ["olive-build", "train", job.bundle.folder, "--data", job.data]
    words += ["--resume", job.output / CHECKPOINT]
    if job.output != default_output(job.bundle):
        words += ["--output", job.output]
    return shlex.join(map(str, words))


def default_output(bundle: TrainingBundle) -> Path:
    """Return where the output goes that nobody named."""
    return Path(f"{bundle.manifest.recipe}-trained")
