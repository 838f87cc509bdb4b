"""`olive-build bench`: bundles side by side with PyTorch, the fp32 graph, files and peers.

What a bundle with another purpose is benched by, its room says (`Purpose.bench`).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from olive_build import rooms
from olive_build.bundle.purpose import purpose_in
from olive_build.engine.machine import this_machine
from olive_build.engine.store import Store
from olive_build.errors import UsageError
from olive_build.families import family_module
from olive_build.families.registry import Family
from olive_build.proof.benchmark import Shape, benchmark
from olive_build.record.codec import encode
from olive_build.record.files import require_files
from olive_build.record.read import read_manifest
from olive_build.report.blocks import Kind, by_place, table
from olive_build.report.contestants import Field, gather
from olive_build.report.render.terminal import print_block
from olive_build.report.style import paint

LARGEST = 100_000
SECONDS = 1.0
TIMES = ("p50 ms", "p90", "p99", "items/s", "x")


@dataclass(frozen=True)
class Bench:
    """What is measured; what is empty or None is left to the family, or to the defaults."""

    recipes: Path
    outputs: Path
    against: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    seconds: float | None = None
    model_roots: tuple[Path, ...] = ()


def run_bench(bundles: Sequence[Path], asked: Bench, *, as_json: bool) -> int:
    """Measure, show, and return the exit code: 0, since a bench judges nothing."""
    module = _own_bench(bundles)
    for folder in bundles:
        require_files(read_manifest(folder), folder)
    if module:
        for name, why in module.NOT_HERE.items():
            if getattr(asked, name):
                raise UsageError(f"--{name} is not for {module.BUNDLES}", hint=why)
        code: int = module.bench(bundles, asked.batches, asked.threads, as_json=as_json)
        return code
    with Store() as store:
        field = gather(
            bundles,
            asked.against,
            store,
            recipes=asked.recipes,
            outputs=asked.outputs,
            model_roots=asked.model_roots,
        )
        store.stamps.save()
    if max(asked.batches, default=1) > 1 and not field.family.batches:
        raise UsageError(
            f"a model of {field.family.name} is given one of its {field.family.samples} at a time, "
            f"not {max(asked.batches)}",
            hint="leave --batches out",
        )
    sizes = _sizes(asked.lengths, field)
    sample = family_module(field.family.name, "sample")
    texts = {size: sample.text_of(Path(field.model.folder), size) for size in sizes}
    progress = _Progress()
    # It stays where a process failed; the error names it.
    log = Path(tempfile.mkdtemp(prefix="olive-build-bench-")) / "candidates.log"
    result = benchmark(
        field.contestants,
        texts,
        _shapes(sizes, asked.batches or (1,), asked.threads or (1,), field.family),
        seconds=asked.seconds or SECONDS,
        say=progress.say,
        unit=field.family.size_unit,
        log=log,
    )
    progress.close()
    shutil.rmtree(log.parent, ignore_errors=True)
    result = {"machine": encode(this_machine()), "unit": field.family.size_unit, **result}
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _print(result)
    return 0


def _own_bench(bundles: Sequence[Path]) -> ModuleType | None:
    """Return what benches the bundles by themselves, if anything does.

    Raises UsageError where some are benched so and others are not.
    """
    named = [purpose_in(read_manifest(folder)).bench for folder in bundles]
    alone = next(filter(None, named), "")
    if not alone:
        return None
    module = rooms.look_up(alone)
    if set(named) != {alone}:
        raise UsageError(
            f"{module.BUNDLES} are not benched beside others",
            where=", ".join(map(str, bundles)),
            why=module.WHY_ALONE,
            hint=f"bench {bundles[named.index(alone)]} by itself",
        )
    bench: ModuleType = module
    return bench


def numbers(text: str | None, option: str) -> tuple[int, ...]:
    """Return the numbers of a list such as 16,128. Raises UsageError for anything else."""
    if text is None:
        return ()
    found = [part.strip() for part in text.split(",")]
    wrong = [part for part in found if not (part.isascii() and part.isdigit() and int(part[:9]))]
    if wrong or any(int(part) > LARGEST for part in found):
        raise UsageError(
            f"{option} is a list of whole numbers from 1 to {LARGEST}, not '{text}'",
            hint=f"write {option} 1,8",
        )
    return tuple(dict.fromkeys(map(int, found)))


def _sizes(lengths: Sequence[int], field: Field) -> tuple[int, ...]:
    longest = field.model.facts.longest
    if longest is not None and any(size > longest for size in lengths):
        raise UsageError(
            f"the model takes {longest} {field.family.size_unit} at most, not {max(lengths)}",
            hint=f"name lengths up to {longest}",
        )
    chosen = lengths or [min(size, longest or size) for size in field.family.sizes]
    return tuple(dict.fromkeys(chosen))


def _shapes(
    sizes: Sequence[int], batches: Sequence[int], threads: Sequence[int], family: Family
) -> list[Shape]:
    counts_items = family.size_unit == "images"
    return [
        Shape(size, batch, count, batch * size if counts_items else batch)
        for count, batch, size in product(threads, batches, sizes)
    ]


class _Progress:
    """What is measured now, on a terminal alone: a bench takes a while."""

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[2K  {text}")
            sys.stderr.flush()

    def close(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K")


def _print(result: dict[str, Any]) -> None:
    machine = result["machine"]
    click.echo(f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['features'])}")
    names = list(result["load"]["milliseconds"])
    first = names[0]
    # What is the same in all rows is told once, and leaves room.
    setup = {name: {row[name] for row in result["rows"]} for name in ("batch", "threads")}
    varied = [name for name, values in setup.items() if len(values) > 1]
    alike = [f"{name} {values.pop()}" for name, values in setup.items() if name not in varied]
    if alike:
        click.echo(", ".join(alike))
    rows = []
    for row in result["rows"]:
        setting = [str(row[name]) for name in ("tokens", *varied)]
        rows += [[*setting, *_line(row, name, first)] for name in names]
    settings = _numbers(result["unit"], *varied)
    columns = by_place(*settings, ("candidate", ""), *_numbers(*TIMES), ("between", ""))
    print_block(table("speeds", "", rows, *columns))
    click.echo()
    rows = [_resources(result, name, first) for name in names]
    columns = by_place(
        ("candidate", ""), *_numbers("load ms", "x"), ("between", ""), *_numbers("peak MB")
    )
    print_block(table("resources", "", rows, *columns))
    click.echo(
        "\np50 to p99: of all calls, - where there were fewer than 100. x, between: how many times "
        f"as\nfast as {first}, the median of the rounds' ratios and its interval. peak MB: above a "
        "process\nthat has its libraries only, at the largest size and batch."
    )
    for note in noisy(result):
        click.echo(paint(note, "yellow"))


def _numbers(*titles: str) -> list[tuple[str, Kind]]:
    return [(title, "number") for title in titles]


def _line(row: dict[str, Any], name: str, first: str) -> list[str]:
    item = row["candidates"][name]
    p99 = "-" if item["p99"] is None else f"{item['p99']:.2f}"
    return [
        name,
        f"{item['p50']:.2f}",
        f"{item['p90']:.2f}",
        p99,
        f"{item['items_per_second']:.1f}",
        *_times(row, name, first),
    ]


def _times(row: dict[str, Any], name: str, first: str) -> tuple[str, str]:
    if name == first:
        return "1.00", ""
    ratio = row["ratio_to"][name]
    return f"{ratio['median']:.2f}", f"{ratio['median_from']:.2f} to {ratio['median_to']:.2f}"


def _resources(result: dict[str, Any], name: str, first: str) -> list[str]:
    memory = result["memory"][name]
    return [
        name,
        f"{result['load']['milliseconds'][name]['median']:.1f}",
        *_times(result["load"], name, first),
        "-" if memory is None else f"{memory['median']:.1f}",
    ]


def noisy(result: dict[str, Any]) -> list[str]:
    """Return a note for each shape at which even the steadiest candidate was unsteady."""
    return [
        f"the machine was noisy at {row['tokens']} {result['unit']}, batch {row['batch']}, threads "
        f"{row['threads']}: quartiles {row['noise']:.0%} of the median apart"
        for row in result["rows"]
        if row["noisy"]
    ]
