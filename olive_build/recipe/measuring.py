"""Checks of what `verify` measures on: the metric, the samples, and that none serves twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olive_build.families.registry import FAMILIES, Family, family_of_task
from olive_build.proof import figures
from olive_build.recipe import model
from olive_build.recipe.build import DataSource
from olive_build.recipe.context import Context, Place
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.suggest import did_you_mean, listed
from olive_build.recipe.tree import KeyPath

_ENTRIES = {
    "texts": 'write one {"text": ...} a line',
    "images": "save `images` and `labels` with numpy.savez_compressed",
    "clips": "save `audio`, `lengths` and `texts` with numpy.savez_compressed",
}


def check_measuring(context: Context, where: KeyPath, verify: model.VerifySpec | None) -> None:
    """Report a metric or samples, of the recipe's `verify` or a target's, that cannot be used."""
    family = _family(context)
    if verify is None or family is None:
        return
    if verify.metric is not None:
        context.known("metric", verify.metric, family.metrics, (*where, "metric"), key=False)
    for field, given, built_in in (
        ("data", verify.data, family.data),
        ("calibration", verify.calibration, family.calibration),
    ):
        if isinstance(given, model.DataFileSpec):
            _check_file(context, given.file, (*where, field, "file"), family)
        elif given is not None and given not in built_in:
            own = f"for a file of your own write {{file: my{family.data_suffix}}}"
            context.add(
                Code.UNKNOWN_NAME,
                (*where, field),
                f"unknown {field} '{given}'",
                hint=did_you_mean(given, built_in, own),
                notes=(f"built in for {family.name}: {listed(built_in) or 'none'}",),
            )


def check_figures(context: Context, where: KeyPath, budgets: Sequence[str]) -> None:
    """Report budgets on a quality that the recipe's family does not have."""
    family = _family(context)
    measured = figures.of_metrics(family.metrics) if family else ()
    for key in budgets:
        figure = key.rpartition(".")[2]
        if family and figure in figures.of_quality() and figure not in measured:
            context.add(
                Code.CANNOT_RUN,
                (*where, *key.split(".")),
                f"'{figure}' is not measured for models of {family.name}",
                hint="remove it, or use one that is measured",
                notes=(f"measured there: {listed(measured)}",),
                key=True,
            )


def _family(context: Context) -> Family | None:
    named = context.recipe.model
    return FAMILIES.get(named.family or "") or family_of_task(named.task or "")


def _check_file(context: Context, text: str, here: KeyPath, family: Family) -> None:
    found = context.file(text, here)
    if found is None:
        return
    if Path(text).suffix != family.data_suffix:
        message = f"'{text}' is no {family.data_suffix} file"
        context.add(Code.BAD_PATH, here, message, hint=_entries(family))
    elif not found.is_file():
        message, hint = f"there is no file '{text}'", "give its path relative to this file"
        context.add(Code.BAD_PATH, here, message, hint=hint)


def _entries(family: Family) -> str:
    """Return how a file of a family's samples is made."""
    return _ENTRIES.get(family.samples, f"save {family.samples} as {family.data_suffix}")


def samples(place: Place, family: Family) -> tuple[DataSource, DataSource]:
    """Return what a target is proved on and what quantizers may look at.

    Reports one that neither the recipe nor the family gives, and a file that is given for both.
    """
    data = _chosen(place, family, "data", family.data)
    calibration = _chosen(place, family, "calibration", family.calibration)
    if data.file is not None and data == calibration:
        place.add(
            Code.CONFLICT,
            _where(place, "calibration"),
            f"the calibration is the proof's own data, '{Path(data.file).name}'",
            hint=f"give {family.samples} of their own to one of the two",
            notes=("a quantizer would be proved on what it was fit to",),
        )
    return data, calibration


def _chosen(place: Place, family: Family, field: str, built_in: tuple[str, ...]) -> DataSource:
    own, common = place.spec.verify, place.context.recipe.verify
    given = getattr(own, field) if own else None
    given = given if given is not None else getattr(common, field)
    if isinstance(given, model.DataFileSpec):
        found = place.context.file(given.file, (*_where(place, field), "file"))
        return DataSource(None, place.context.relative(found) if found else given.file)
    if given is None and not built_in:
        _report_missing(place, family, field)
    return DataSource(given or next(iter(built_in), None), None)


def _report_missing(place: Place, family: Family, field: str) -> None:
    named: KeyPath = ("model", "family" if place.context.recipe.model.family else "task")
    here: KeyPath = ("verify", field)
    targets: KeyPath = ("targets", place.target.name, *here)
    if any(gone in place.context.dropped for gone in (here, targets)):
        return
    use = "measured on" if field == "data" else "calibrated with"
    place.add(
        Code.MISSING_FIELD,
        named,
        f"there are no {family.samples} that a build could be {use}",
        hint=f"add `verify: {{{field}: {{file: my{family.data_suffix}}}}}`",
        notes=(f"{family.name} has no built-in {family.samples}: they depend on the model",),
    )


def _where(place: Place, field: str) -> KeyPath:
    own: KeyPath = ("targets", place.target.name, "verify", field)
    return own if place.context.written(own) else ("verify", field)
