"""`train` -> Train: what a target's files learn, with nothing left to decide."""

from __future__ import annotations

from pathlib import Path

from olive_build.families.registry import Family
from olive_build.recipe.build import DataSource, Personalisation
from olive_build.recipe.codes import Code
from olive_build.recipe.place import Place
from olive_build.recipe.shapes import given_shapes
from olive_build.recipe.trained_section import Section, section_of
from olive_build.recipe.training_checks import (
    CROSS_ENTROPY,
    check_patterns,
    check_something_learns,
    head_of,
    lora_of,
    loss_of,
    rename_of,
)
from olive_build.recipe.training_numbers import BELOW_HALF, COUNT, SEED, check_number
from olive_build.recipe.training_optimizer import optimizer_of
from olive_build.training.settings import Train

BATCH_SIZE, EPOCHS = 8, 10
BATCH_AXIS = "batch_size"
# The only family with owners: the proof needs voices.
PERSONALISED = ("audio-classification",)
TRIALS_SUFFIX = ".npz"


def train_for(place: Place, family: Family) -> Train | None:
    """Return what a target's files learn and how; None where neither it nor the recipe trains.

    Reports everything that the section cannot mean, but for names that only the model knows.
    """
    if not place.trains:
        return None
    section = section_of(place)
    fields, loss = section.fields, loss_of(section)
    train = Train(
        requires_grad=check_patterns(section, fields.requires_grad, "requires_grad"),
        frozen=check_patterns(section, fields.frozen, "frozen"),
        head=head_of(section),
        lora=lora_of(section),
        loss=loss,
        optimizer=optimizer_of(section),
        rename=rename_of(section, loss),
        batch_size=_batch_size(section),
        epochs=EPOCHS if fields.epochs is None else fields.epochs,
        seed=fields.seed or 0,
        nominal_checkpoint=bool(fields.nominal_checkpoint),
    )
    check_number(section, ("epochs",), train.epochs, COUNT)
    check_number(section, ("seed",), train.seed, SEED)
    check_something_learns(section)
    _check_personalisation(section, family, train)
    return train


def personalisation_for(place: Place) -> Personalisation | None:
    """Return what a target's personalised model is tried on and held to, if anything."""
    spec = section_of(place).fields.personalisation
    if spec is None:
        return None
    path = section_of(place).where("personalisation", "trials", "file")
    found = place.context.file(spec.trials.file, path)
    file = place.context.relative(found) if found else spec.trials.file
    trials = DataSource(None, file)
    return Personalisation(trials, spec.equal_error_rate, spec.margin, spec.errors_at_margin)


def _batch_size(section: Section) -> int:
    given, fixed = section.fields.batch_size, given_shapes(section.place).get(BATCH_AXIS)
    if given is None:
        return BATCH_SIZE if fixed is None else fixed
    sound = check_number(section, (BATCH_AXIS,), given, COUNT)
    if sound and fixed is not None and given != fixed:
        name = section.place.target.name
        shapes = (*section.place.where("export", "shapes"), BATCH_AXIS)
        section.add(
            Code.CONFLICT,
            (BATCH_AXIS,),
            f"`batch_size` is {given}, and the graphs for '{name}' take {fixed} at once",
            hint=f"leave it out, or write {fixed}",
            notes=(
                "`export.shapes` fixes the size, and no other batch would fit",
                f"`targets.{name}.train` can say it for '{name}' alone",
            ),
            also=(shapes, "the fixed size"),
        )
    return given


def _check_personalisation(section: Section, family: Family, train: Train) -> None:
    spec, path = section.fields.personalisation, ("personalisation",)
    if spec is None:
        return
    if family.name not in PERSONALISED:
        message = f"`personalisation` says nothing to models of {family.name}"
        notes = (f"it is for {', '.join(PERSONALISED)}: it tells an owner's voice from others'",)
        section.add(Code.CANNOT_RUN, path, message, hint="remove it", notes=notes, key=True)
        return
    check_number(section, (*path, "equal_error_rate"), spec.equal_error_rate, BELOW_HALF)
    if spec.errors_at_margin is not None:
        check_number(section, (*path, "errors_at_margin"), spec.errors_at_margin, BELOW_HALF)
    _check_trials(section, spec.trials.file)
    if train.loss.name != CROSS_ENTROPY and not section.is_lost("loss"):
        section.add(
            Code.CONFLICT,
            ("loss", "method"),
            f"`personalisation` needs cross-entropy, not {train.loss.name}",
            hint="write `method: cross-entropy`, or remove `personalisation`",
            notes=("a trial is scored by how far the second class, the owner, is above the first",),
            also=(section.where(*path), "the proof that needs it"),
        )
    if train.head is not None and train.head.classes != 2:
        section.add(
            Code.CONFLICT,
            ("head", "classes"),
            f"`personalisation` needs 2 classes, and the head has {train.head.classes}",
            hint="write `classes: 2`, or remove `personalisation`",
            notes=("the first is everybody else, the second the owner",),
            also=(section.where(*path), "the proof that needs it"),
        )


def _check_trials(section: Section, text: str) -> None:
    path = ("personalisation", "trials", "file")
    found = section.place.context.file(text, section.where(*path))
    if found is None:
        return
    if Path(text).suffix != TRIALS_SUFFIX:
        message, hint = f"'{text}' is no {TRIALS_SUFFIX} file", "use numpy.savez_compressed"
        section.add(Code.BAD_PATH, path, message, hint=hint)
    elif not found.is_file():
        message, hint = f"there is no file '{text}'", "give its path relative to this file"
        section.add(Code.BAD_PATH, path, message, hint=hint)
