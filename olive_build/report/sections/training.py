"""Training: what learns and how, what a step costs, how near PyTorch and how well it learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

from olive_build.record.manifest import Loss, Optimizer, Training, Variant
from olive_build.record.proof import Cost, ErrorRate, StepCost, Trained, VariantProof
from olive_build.report.blocks import (
    Block,
    Cell,
    Chart,
    Content,
    Fact,
    Section,
    Table,
    Text,
    code,
    table,
)
from olive_build.report.builds import Build, VariantView
from olive_build.report.charts import Bar, Bars, from_zero
from olive_build.report.comparison import Change, change, percent
from olive_build.report.numbers import (
    figure,
    figure_columns,
    megabytes,
    number,
    signed,
    size,
    text_of,
    title_of,
)
from olive_build.report.sections import Capability

TIME = "{:.3g} ms"
RATE = "equal_error_rate"
# Figures that are numbers by themselves.
PROVED = ("losses_difference", "eval_difference", "trained_difference", "inference_difference")
ABOUT = (
    "A device goes on learning with these files. The figures are those of the build, in the "
    "training runtime; times and memory are those of the machine under Provenance. "
    "`olive-build verify` runs the inference model again, with --train three training steps too; "
    "`olive-build bench` times training again. Nothing else of it is repeated."
)
AnyCost = Cost | StepCost


@dataclass(frozen=True)
class _Learner:
    """The bundle of a target that goes on learning: its manifest's section, and what was found."""

    target: str
    training: Training
    made: Variant
    proof: VariantProof
    trained: Trained

    @property
    def costs(self) -> tuple[AnyCost, ...]:
        return costs_of(self.trained)

    @property
    def figures(self) -> dict[str, float]:
        """How far training is from PyTorch's at most."""
        found = {name: getattr(self.trained, name) for name in PROVED}
        found |= {
            "gradient_difference": self.trained.gradients.worst,
            "parameters_difference": self.trained.parameters.worst,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def stored(self) -> str:
        """Of how many values those that learn are a part; empty where all learn."""
        return f"{self.made.stored_values:,}" if self.training.frozen else ""


def _learners(build: Build) -> list[_Learner]:
    return [
        _Learner(bundle.target, bundle.manifest.training, item.made, item.proof, trained)
        for bundle in build.bundles
        if bundle.manifest.training
        for item in bundle.variants
        if (trained := item.proof.training)
    ]


def costs_of(trained: Trained) -> tuple[AnyCost, ...]:
    """Return what a step costs on one thread, and on all cores where those are more."""
    cost = trained.cost
    if cost.all_cores is None or cost.all_cores.threads == cost.threads:
        return (cost,)
    return cost, cost.all_cores


def rates_of(trained: Trained) -> dict[str, ErrorRate]:
    """Return the equal error rates of all owners together, then of each; none without trials."""
    found = trained.personalised
    return {"all owners": found.pooled, **dict(sorted(found.owners.items()))} if found else {}


def _place(cost: AnyCost) -> str:
    return f"{cost.threads} thread{'s' * (cost.threads > 1)}"


def _between(one: ErrorRate) -> str:
    return f"{one.low * 100:.1f} to {one.high * 100:.1f} %"


def facts(build: Build) -> Iterator[Fact]:
    """Yield what a step costs, what learns, how well owners are told apart at worst."""
    found = _learners(build)
    if not found:
        return
    costs = [(min(item.costs, key=lambda cost: cost.threads), item) for item in found]
    cost, one = min(costs, key=lambda item: item[0].milliseconds_per_step)
    remark = f"{_place(cost)}, {megabytes(cost.peak_bytes)}"
    remark += f"; {one.target}" if len(found) > 1 else ""
    time = cost.milliseconds_per_step
    yield Fact("A training step", number(time, TIME, remark))
    values = one.training.trainable_values
    whole = f"of {one.stored} values" if one.stored else "all of its values"
    yield Fact("Learns", number(values, "{:,}", whole))
    rates = [item.trained.personalised.pooled for item in found if item.trained.personalised]
    if rates:
        worst = max(rates, key=lambda item: item.rate)
        yield Fact(
            "Equal error rate", number(worst.rate, text_of(RATE, worst.rate), _between(worst))
        )


def of_one(build: Build) -> Iterator[Section]:
    """Yield settings, costs, differences and error rates."""
    found = _learners(build)
    if found:
        blocks: list[Block] = [Text(ABOUT, "note"), _settings(found), _costs(found), _proved(found)]
        for item in found:
            blocks += _error_rates(item, several=len(build.bundles) > 1)
        yield Section("training", "Training", tuple(blocks))


def _settings(found: Sequence[_Learner]) -> Table:
    """Return what learns and how, equal lines of several bundles as one."""
    lines: dict[tuple[str, Content], list[str]] = {}
    for item in found:
        said: dict[str, Content] = {"Learns": _learns(item)}
        said |= {what: Cell(value) for what, value in _said(item.training).items()}
        for line in said.items():
            lines.setdefault(line, []).append(item.target)
    return table(
        "training-settings",
        "What learns, and how, unless an application says otherwise.",
        lines.items(),
        ("What", "name", lambda item: item[0][0]),
        ("Value", "long", lambda item: item[0][1]),
        ("Bundles", "", lambda it: "all" if len(it[1]) == len(found) else ", ".join(it[1])),
    )


def _learns(item: _Learner) -> Cell:
    names = tuple(one.name for one in item.training.trainable)
    of_all = f" of {item.stored}" if item.stored else ""
    many = "s" * (len(names) > 1)
    said = f"{item.training.trainable_values:,}{of_all} values, in {len(names)} parameter{many}"
    return Cell(said, names=names)


def _said(training: Training) -> dict[str, str]:
    """Return loss, optimizer and the rest as they are read."""
    fixed, labels = training.fixed_batch, training.labels
    batch = (
        f"{fixed}, fixed in the graphs" if fixed else f"{training.batch_size}; the graphs take any"
    )
    found = {
        "Loss": _with(training.loss),
        "Optimizer": _with(training.optimizer),
        "Batch": batch,
        "Epochs": str(training.epochs),
    }
    return found | ({"Classes": f"{len(labels)}: {', '.join(labels)}"} if labels else {})


def _with(settings: Loss | Optimizer) -> str:
    """Return `adamw: lr 0.003, betas 0.9 0.999`; what is not set is left out."""
    given = {item.name: getattr(settings, item.name) for item in fields(settings)}
    name = given.pop("name")
    said = [
        f"{key.replace('_', ' ')} {_text(value)}"
        for key, value in given.items()
        if value not in (None, ())
    ]
    return f"{name}: {', '.join(said)}" if said else str(name)


def _text(value: object) -> str:
    return " ".join(map(_text, value)) if isinstance(value, tuple) else str(value)


def _costs(found: Sequence[_Learner]) -> Table:
    caption = (
        "Loss, gradients and optimizer on the proof's first batch: the median, in a process that "
        "has the training runtime alone."
    )
    return table(
        "training-costs",
        caption,
        [(item.target, cost) for item in found for cost in item.costs],
        ("A step of", "name", lambda row: row[0]),
        ("Threads", "number", lambda row: number(row[1].threads, "{}")),
        ("Time", "number", lambda row: number(row[1].milliseconds_per_step, TIME)),
        ("Peak memory", "number", lambda row: size(row[1].peak_bytes)),
        (
            "Above the runtime's own",
            "number",
            lambda row: size(row[1].peak_bytes - row[1].baseline_bytes),
        ),
    )


def _proved(found: Sequence[_Learner]) -> Table:
    return table(
        "training-proof",
        "The largest differences that were found; the limits are under Gates.",
        found,
        ("Proved of", "name", lambda item: item.target),
        ("Steps", "number", lambda item: str(item.trained.steps)),
        *figure_columns(dict.fromkeys(name for item in found for name in item.figures)),
        ("Gradient that differs most", "long", lambda item: code(item.trained.gradients.parameter)),
    )


def _error_rates(item: _Learner, *, several: bool) -> list[Block]:
    """Return the equal error rates of a bundle as bars and as a table; none without trials."""
    found = rates_of(item.trained)
    if not found:
        return []
    name, whose = f"rates-{item.target}", f" of {item.target}" * several
    bars = _rate_bars(found, item.proof)
    edges = [value for bar in bars for value in (bar.value, bar.high, bar.limit) if value]
    said = "; ".join(f"{bar.label}: {bar.text}" for bar in bars)
    caption = (
        f"Owners told from others after learning{whose}, at one threshold for all, and at each "
        "one's own. The line over a bar is where the rate lies with 95 % confidence; the dashed "
        "mark is the budget."
    )
    axis = from_zero("equal error rate in %: less is better", edges)
    chart = Chart(name, Bars(axis, bars), f"Equal error rates{whose}. {said}.", caption)
    return [chart, _rate_table(name, found)]


def _rate_bars(found: Mapping[str, ErrorRate], proof: VariantProof) -> tuple[Bar, ...]:
    limit = next((100 * gate.limit for gate in proof.gates if gate.figure == RATE), None)
    return tuple(
        Bar(
            name,
            100 * one.rate,
            text_of(RATE, one.rate),
            100 * one.low,
            100 * one.high,
            # The budget is of all together.
            None if count else limit,
            int(count > 0),
        )
        for count, (name, one) in enumerate(found.items())
    )


def _rate_table(name: str, found: Mapping[str, ErrorRate]) -> Table:
    return table(
        f"{name}-table",
        "Clips that were not learned from; other owners' count as impostors' too.",
        found.items(),
        ("Owner", "name", lambda item: item[0]),
        ("Equal error rate", "number", lambda item: figure(RATE, {RATE: item[1].rate})),
        ("Between", "number", lambda item: _between(item[1])),
        ("Trials of the owner", "number", lambda item: str(item[1].owners)),
        ("of impostors", "number", lambda item: f"{item[1].impostors:,}"),
    )


def changes(old: VariantView, new: VariantView, _same_machine: bool) -> Iterator[Change]:
    """Yield time and memory of a step on each number of threads, and the equal error rate.

    A cost is a single run without an interval, so another one is neither better nor worse; a rate
    is so called where the intervals of both lie apart.
    """
    both = old.proof.training, new.proof.training
    before, after = (
        {cost.threads: cost for cost in costs_of(item)} if item else {} for item in both
    )
    for threads in sorted({*before, *after}):
        yield from _cost_changes(before.get(threads), after.get(threads))
    pooled = [item.personalised.pooled if item and item.personalised else None for item in both]
    if pooled != [None, None]:
        yield _rate_change(*pooled)


def _cost_changes(old: AnyCost | None, new: AnyCost | None) -> Iterator[Change]:
    place = next(_place(item) for item in (old, new) if item)
    times, peaks = (
        [getattr(item, name) if item else None for item in (old, new)]
        for name in ("milliseconds_per_step", "peak_bytes")
    )
    for title, (one, other), text in (
        (f"a training step, {place}", times, TIME.format),
        (f"peak memory of training, {place}", peaks, megabytes),
    ):
        verdict = "same" if one == other else "unclear"
        yield change(title, one, other, text, percent(one, other), verdict)


def _rate_change(old: ErrorRate | None, new: ErrorRate | None) -> Change:
    amount, verdict = "", "same"
    if old and new and old.rate != new.rate:
        moved = new.rate - old.rate
        amount = signed(moved, text_of(RATE, abs(moved)))
        apart = old.high < new.low or new.high < old.low
        verdict = "unclear" if not apart else "worse" if moved > 0 else "better"
    before, after = old.rate if old else None, new.rate if new else None
    return change(title_of(RATE), before, after, partial(text_of, RATE), amount, verdict)


CAPABILITY = Capability(25, of_one, facts=facts, changes=changes)
