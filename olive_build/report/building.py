"""A build as a person sees it: a line a step, then the table of bundles."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import click

from olive_build.build import BuildReport, BundleResult, Options, build
from olive_build.bundle.assemble import Judged
from olive_build.bundle.purpose import purpose_proved
from olive_build.engine.events import (
    Event,
    NotReproducible,
    Outcome,
    Provisioning,
    RunStarted,
    StepFinished,
    StepStarted,
    StepTold,
    StillRunning,
    Waiting,
)
from olive_build.engine.store import Store
from olive_build.errors import OliveBuildError, printable
from olive_build.proof.figures import Figure, find, worst
from olive_build.record.codec import encode
from olive_build.record.proof import PYTORCH, Latency, VariantProof
from olive_build.report.blocks import by_place, table
from olive_build.report.numbers import megabytes
from olive_build.report.render.terminal import print_block, say
from olive_build.report.searched import check_can_write, write_searched
from olive_build.report.style import COLUMNS, paint
from olive_build.select import Selection, select
from olive_build.steps.notes import notes_in

# Behind a speed that was timed while the machine did other things as well.
NOISY = " ?"
STATUS_COLOUR = {"ran": "green", "cached": "dim", "failed": "red", "skipped": "yellow"}


def run_build(
    selected: Selection, options: Options, *, write_recipe: Path | None, as_json: bool
) -> int:
    """Build what the command line chose, show it, and return the exit code.

    The recipe with what its searches chose goes to `write_recipe`.
    """
    # Pipelines read JSON from stdout; people's lines then go to stderr.
    progress = Progress(to_stderr=as_json)
    not_valid: list[BundleResult] = []

    def left_out(name: str, error: OliveBuildError) -> None:
        recipe = Path(name).stem
        progress.say(f"{recipe} is left out: {error.what}")
        not_valid.append(BundleResult(recipe, "", "failed", options.outputs / recipe, error=error))

    stops_alone = options.keep_going and len(set(selected.recipe)) > 1
    requests = select(selected, left_out if stops_alone else None)
    if write_recipe:
        check_can_write(selected, options.until, requests)
    with Store() as store:
        result = build(requests, store, options, on_event=progress.show, report=progress.say)
        if write_recipe:
            write_searched(selected, requests, store, write_recipe)
            progress.say(f"written: {write_recipe}")
    progress.close()
    result.bundles += not_valid
    _name_the_explanation(result, selected)
    if as_json:
        import json

        click.echo(json.dumps(to_json(result), indent=2))
        print_undecided(result)
    else:
        print_result(result, progress)
    print_errors(result)
    return result.exit_code


def _name_the_explanation(result: BuildReport, selected: Selection) -> None:
    """Add to the hint of each bundle that lost too much the command that says in which layers."""
    chosen = ["--smoke"] * selected.smoke
    chosen += ["--source", selected.source] if selected.source else []
    chosen += [word for item in selected.overrides for word in ("--set", item)]
    if selected.recipes != Path("recipes"):
        chosen += ["--recipes", str(selected.recipes)]
    for item in result.bundles:
        for variant in item.lossy:
            typed = next(word for word in selected.recipe if Path(word).stem == item.recipe)
            words = [typed, "--target", item.target, "--variant", variant, *chosen]
            command = shlex.join(["olive-build", "explain", "--quality", *words])
            assert item.error is not None
            told = f"which layers of {variant} lose it: {command}"
            item.error.hint = "\n".join(filter(None, (item.error.hint, told)))


def print_errors(result: BuildReport) -> None:
    """Print why each target failed, with the log of the step where a step did."""
    logs = {id(outcome.error): outcome.log for outcome in result.outcomes.values()}
    failed: dict[int, list[BundleResult]] = {}
    for item in result.bundles:
        failed.setdefault(id(item.error), []).append(item)
    for items in failed.values():
        error = items[0].error
        if error:
            text, log = error.render(), logs.get(id(error))
            if log and str(log) not in text:
                text += f"\n  log:     {log}"
            targets = ", ".join(item.target for item in items)
            who = f"{items[0].recipe}, target {targets}" if targets else items[0].recipe
            click.echo(f"\n{who}:\n{text}", err=True)


class Progress:
    """A line for each step as it ends; on a terminal, what runs now is shown below them.

    Each line says which of how many steps ended; those that were found done count, without a line.
    """

    def __init__(self, *, to_stderr: bool) -> None:
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._live = self._stream.isatty()
        self._running: dict[str, float] = {}
        self._began = time.monotonic()
        self._steps = self._ended = 0
        self.cached = 0
        self.ran = 0

    @property
    def elapsed(self) -> str:
        """The time since it began, as minutes and seconds."""
        return _clock(time.monotonic() - self._began)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self._line(text)

    def show(self, event: Event) -> None:
        """Print what happened."""
        match event:
            case RunStarted():
                self._steps, self._ended = event.steps, 0
            case StillRunning():
                self._status()
            case StepStarted():
                self._running[event.slot] = time.monotonic()
                self._status()
            case StepTold():
                self._line(f"{'':>9}  {event.slot}: {printable(event.text)}")
            case StepFinished():
                self._finished(event)
            case NotReproducible():
                files = ", ".join(event.files)
                self._line(f"  not reproducible: {event.slot} gave other bytes for {files}")
            case Waiting():
                self._line(f"  waiting for another build, which makes {event.slot}")
            case Provisioning():
                self._line(f"  {event.text}")

    def close(self) -> None:
        """Clear the line of what runs now."""
        self._running.clear()
        self._status()

    def _finished(self, event: StepFinished) -> None:
        outcome = event.outcome
        self._running.pop(outcome.slot, None)
        self._ended += 1
        if outcome.status == "cached":
            self.cached += 1
            # The last one is told, or a build would seem to end before its end.
            if self._ended < self._steps or not self.ran:
                self._status()
                return
        self.ran += outcome.status == "ran"
        status = paint(f"{outcome.status:<7}", STATUS_COLOUR.get(outcome.status, ""), self._stream)
        head, cost = f"{self._place:>9}  {status}  ", ""
        if outcome.status == "ran":
            memory = megabytes(outcome.peak_bytes) if outcome.peak_bytes else "-"
            cost = f"{outcome.seconds:.1f} s {memory:>9} peak"
        elif outcome.status == "skipped":
            cost = f"after {outcome.blocked_by}"
        # Before the slot are 20 columns; colours have none. What has no room goes below.
        left = COLUMNS - 20 - len(outcome.slot)
        if len(cost) < left:
            self._line(f"{head}{outcome.slot}{cost:>{left}}" if cost else f"{head}{outcome.slot}")
        else:
            self._line(f"{head}{outcome.slot}\n{cost:>{COLUMNS}}")

    @property
    def _place(self) -> str:
        return f"{self._ended} of {self._steps}" if self._steps else ""

    def _line(self, text: str) -> None:
        clear = "\r\x1b[2K" if self._live else ""
        self._stream.write(f"{clear}{text}\n")
        self._status()

    def _status(self) -> None:
        if self._live:
            now = time.monotonic()
            room = get_terminal_size().columns - 1
            running = [f"{slot} {_clock(now - since)}" for slot, since in self._running.items()]
            told = f"{self._place:>9}  {self.elapsed}  {', '.join(running)}"
            if len(told) > room:  # one whole name says more than two that are cut
                told = f"{self._place:>9}  {self.elapsed}  {running[0]}"[:room] if running else ""
            self._stream.write(f"\r\x1b[2K{told}" if running else "\r\x1b[2K")
        self._stream.flush()


def _clock(seconds: float) -> str:
    """Return a time as `1:05` or `2:01:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_result(result: BuildReport, progress: Progress) -> None:
    """Print how many steps ran and the table of bundles."""
    failed = sum(outcome.status == "failed" for outcome in result.outcomes.values())
    click.echo(
        f"steps: {progress.ran} ran, {progress.cached} cached"
        + f", {failed} failed" * bool(failed)
        + f", in {progress.elapsed}"
    )
    named = told_of_all(result)
    columns = by_place(
        ("recipe", ""),
        ("target", ""),
        ("variant", ""),
        ("size", "number"),
        ("of fp32", "number"),
        (", ".join(figure.title for figure in named) or "quality", ""),
        ("speed", ""),
        ("verdict", ""),
    )
    click.echo()
    rows = [row for item in result.bundles for row in bundle_rows(item, named)]
    print_block(table("bundles", "", rows, *columns))
    sizes = {
        text: None for item in result.bundles for p in item.proofs if (text := speed_size(p.proof))
    }
    if sizes:
        say(f"speed: x PyTorch on one thread, at {', '.join(sizes)}; -: not measured here")
    if any(speed_text(p).endswith(NOISY) for item in result.bundles for p in item.proofs):
        say(
            f"{NOISY.strip()}: the machine was busy with something else while this was timed: "
            "the speed is uncertain; on an idle machine `build --force` measures again"
        )
    for item in result.bundles:
        if item.status in ("published", "up to date"):
            click.echo(f"{item.status}: {item.folder}")
    print_undecided(result)
    for item in result.bundles:
        for variant in item.proofs:
            if partition := variant.proof.partition:
                say(f"estimated, {item.target} {variant.name}: {partition.text}")
    _print_notes(result)


def _print_notes(result: BuildReport) -> None:
    """Print what was computed otherwise, left out, or may be slow."""
    for note in sorted({text for item in result.bundles for text in without_vnni(item)}):
        say(note)
    for outcome in result.outcomes.values():
        for note in _notes(outcome):
            say(f"{outcome.slot}: {note}")
    waived = {
        f"{variant.name}: {gate.note}"
        for item in result.bundles
        for variant in item.proofs
        for gate in variant.proof.gates
        if gate.status == "waived"
    }
    for note in sorted(waived):
        say(f"speed not gated, {note}")


def _notes(outcome: Outcome) -> tuple[str, ...]:
    """Return what a step left out, be it now or in the build that cached it."""
    return notes_in(outcome.artifact.path) if outcome.artifact else ()


def print_undecided(result: BuildReport) -> None:
    """Print what noise left open in each published bundle."""
    for item in result.bundles:
        for variant in item.proofs if item.error is None else ():
            for gate in variant.proof.undecided:
                text = f"UNDECIDED: {item.recipe}, {item.target}, {variant.name}: {gate.text()}"
                click.echo(paint(text, "yellow", sys.stderr), err=True)


def without_vnni(item: BundleResult) -> list[str]:
    """Print what each variant in 8 bits does on an x86 CPU without VNNI."""
    found = []
    for variant in item.proofs:
        result = variant.proof.without_vnni
        name = f"{item.target} {variant.name} on x86 without VNNI"
        if result and result.quality:
            found.append(f"{name}, emulated: {in_words(worst([result.quality.figures]))}")
        elif result and result.status == "not measured":
            found.append(f"{name}: not measured, {result.note}")
    return found


def bundle_rows(item: BundleResult, named: Sequence[Figure] = ()) -> list[list[str]]:
    """Return the table's rows of one bundle, a row for each variant; see `quality_text`."""
    if not item.proofs:
        return [[item.recipe, item.target or "-", "-", "-", "-", "-", "-", item.status]]
    return [
        [
            item.recipe,
            item.target,
            variant.name,
            megabytes(variant.proof.size_bytes),
            f"{variant.proof.ratio:.1%}",
            quality_text(variant.proof, named),
            speed_text(variant),
            variant.proof.verdict,
        ]
        for variant in item.proofs
    ]


def quality_text(proof: VariantProof, named: Sequence[Figure] = ()) -> str:
    """Return the worst of the variant's files; `named` are the figures that the head names."""
    if text := purpose_proved(proof).quality(proof):
        return text
    found = worst_of(proof)
    if named:
        return ", ".join(_told_apart(figure, found[figure.name], proof) for figure in named)
    return ", ".join(
        f"{figure.title} {_told_apart(figure, found[figure.name], proof)}" for figure in told(found)
    )


def _told_apart(figure: Figure, value: float, proof: VariantProof) -> str:
    """Return a figure; one that failed its gate with the digits that tell it from the limit."""
    text = figure.text(value)
    failed = [gate for gate in proof.failed if gate.figure == figure.name]
    if failed and text == figure.text(failed[0].limit):
        return failed[0].told_apart()[0]
    return text


def worst_of(proof: VariantProof) -> dict[str, float]:
    """Return the worst of a variant's files, figure by figure."""
    return worst([item.figures for item in proof.quality.values()])


def in_words(found: Mapping[str, float]) -> str:
    """Return figures with their names: `word error rate 2.41 %, generated alike 97.50 %`."""
    return ", ".join(f"{find(name).title} {find(name).text(found[name])}" for name in found)


def told(found: Collection[str]) -> tuple[Figure, ...]:
    """Return those of the figures of a file that say most in models like its own."""
    figures = [find(name) for name in found]
    metrics = set[str]().union(*(figure.metrics for figure in figures))
    for figure in figures:
        metrics &= {*figure.metrics}
    return tuple(figure for figure in figures if metrics & {*figure.told})


def told_of_all(result: BuildReport) -> tuple[Figure, ...]:
    """Return the figures that are told of every variant; none where they differ."""
    rows = {
        () if purpose_proved(proof).quality(proof) else told(worst_of(proof))
        for item in result.bundles
        for proof in (variant.proof for variant in item.proofs)
    }
    return rows.pop() if len(rows) == 1 else ()


def speed_text(variant: Judged) -> str:
    """Return how many times as fast as PyTorch eager it is, at its smallest size on one thread.

    It ends in NOISY where the machine was so noisy that another measurement may differ.
    """
    proof = variant.proof
    if text := purpose_proved(proof).cost(proof):
        return text
    if not proof.latency:
        return "is fp32" if variant.is_fp32_graph else "-"
    row = _smallest(proof.latency)
    return f"{1 / row.ratio_to[PYTORCH].median:.1f} x" + NOISY * row.noisy


def speed_size(proof: VariantProof) -> str | None:
    """Return the size at which `speed_text` compares, such as `16 tokens`; None without one."""
    if not proof.latency:
        return None
    row = _smallest(proof.latency)
    unit = row.unit.removesuffix("s") if row.tokens == 1 else row.unit
    return f"{row.tokens} {unit}"


def _smallest(rows: Sequence[Latency]) -> Latency:
    return min(rows, key=lambda row: (row.threads, row.tokens))


def to_json(result: BuildReport) -> dict[str, Any]:
    """Return the build's result for a pipeline."""
    return {
        "exit_code": result.exit_code,
        "bundles": [
            {
                "recipe": item.recipe,
                "target": item.target or None,
                "status": item.status,
                "path": str(item.folder),
                "error": item.error.as_json() if item.error else None,
                "variants": {variant.name: encode(variant.proof) for variant in item.proofs},
            }
            for item in result.bundles
        ],
        "steps": [
            {
                "slot": outcome.slot,
                "status": outcome.status,
                "seconds": round(outcome.seconds, 3),
                "peak_bytes": outcome.peak_bytes,
                "size_bytes": outcome.size_bytes,
                "reasons": [reason.text() for reason in outcome.reasons],
                "log": str(outcome.log) if outcome.log else None,
                "key": outcome.key,
                "notes": list(_notes(outcome)),
            }
            for outcome in result.outcomes.values()
        ],
    }
