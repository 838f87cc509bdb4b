"""What the library answers to samples: the judge of all that is built of a model.

Imported in worker processes only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olive_build.engine.telling import tell
from olive_build.errors import StepError
from olive_build.families.transformers.library import Library, Record
from olive_build.families.transformers.task import Task
from olive_build.proof.references.task import TaskReference

# Each sample is stored with its outputs, and run one by one and in batches.
MOST_SAMPLES = 96


def reference(folder: Path, data: Path, task: Task, **options: Any) -> TaskReference:
    """Return what the library gives its model for the samples in `data`, and gets from it.

    Of more than MOST_SAMPLES the evenly spread ones are taken. Raises StepError for bad data, and
    where our reading of an answer is another than the library's.
    """
    library = Library(folder, task)
    samples = task.read(data)
    step = max(1, -(-len(samples) // MOST_SAMPLES))
    chosen = [sample for sample in samples[::step] if library.takes(sample)]
    if left := len(samples[::step]) - len(chosen):
        tell(f"{left} samples are longer than the model reads, and are left out")
    if not chosen:
        raise StepError(
            "all samples are longer than the model reads",
            where=str(data),
            why=f"it reads {library.most_tokens} tokens",
            hint="give shorter ones: `verify: {data: {file: ...}}`",
        )
    records = [library.record(sample) for sample in chosen]
    for record in records:
        _check_answer(library, record)
    return TaskReference(
        task=task.name,
        known=library.known,
        pads=library.pads,
        feeds=[_given(record) for record in records],
        outputs=[_kept(library, record) for record in records],
        whole={
            name: [record.outputs[name].shape for record in records] for name in records[0].outputs
        },
    )


def _given(record: Record) -> dict[str, Any]:
    return {**record.feeds, **record.beside}


def _kept(library: Library, record: Record) -> dict[str, Any]:
    return dict(library.task.kept(record.outputs, _given(record), library.known))


def _check_answer(library: Library, record: Record) -> None:
    """Raise StepError where our reading of the library's outputs is not what the library says."""
    task, known = library.task, library.known
    feeds = _given(record)
    theirs = task.theirs(record.answer, record.outputs, feeds, known)
    if theirs is None:
        return
    ours = task.answer(_kept(library, record), feeds, known)
    if not task.is_same(ours, theirs, known):
        raise StepError(
            f"transformers' answer is not the one that is read from its outputs ({task.name})",
            why=f"it says {theirs!r:.200}, and we read {ours!r:.200}",
            hint="this is a fault of the build: please report it with the model's configuration "
            "files",
        )
