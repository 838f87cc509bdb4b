"""Is this machine fit to build? Each check says what to do."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Literal

import click

from olive_build.engine.machine import this_machine
from olive_build.engine.store import ANOTHER, default_root, why_not_written
from olive_build.errors import EXIT_DONE, EXIT_USAGE, UsageError
from olive_build.report.numbers import megabytes
from olive_build.report.style import paint
from olive_build.toolchains.environments import (
    TOOLCHAINS,
    changed_in,
    folder_of,
    missing_from,
    pins,
    read_stamp,
)
from olive_build.toolchains.install import has_wheels, import_fault, where_to_build

SUPPORTED = ((3, 11), (3, 12))
# A cold build of a model of 90 MB for five targets takes 1.3 GB of memory and 1.5 GB of disk.
NEEDED_MEMORY_GB = 4
NEEDED_DISK_GB = 5
COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    status: Literal["ok", "warning", "error"]
    found: str
    hint: str = ""


def run_doctor(*, as_json: bool) -> int:
    """Print the checks; return 2 when one of them is an error."""
    checks = [*_python(), *_packages(), *_toolchains(), *_machine(), *_cache()]
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            status = paint(f"{check.status:<8}", COLOURS[check.status])
            click.echo(f"{status} {check.what}: {check.found}")
            if check.hint and check.status != "ok":
                click.echo(f"         {check.hint}")
    return EXIT_USAGE if any(item.status == "error" for item in checks) else EXIT_DONE


def _python() -> Iterator[Check]:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] in SUPPORTED
    hint = "" if good else "make setup PYTHON=python3.11 makes an environment with a supported one"
    yield Check("Python", "ok" if good else "error", found, hint)


def _packages() -> Iterator[Check]:
    wrong = []
    pinned = dict(_pins())
    for name, wanted in pinned.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "missing"
        # A local suffix names the build of the same release: 2.13.0+cpu is 2.13.0.
        if found.partition("+")[0] != wanted:
            wrong.append(f"{name} {found}, locked {wanted}")
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        yield Check("packages", "error", shown, "make setup installs the locked versions")
    else:
        yield Check("packages", "ok", f"{len(pinned)} as locked")


def _pins() -> Iterator[tuple[str, str]]:
    text = files("olive_build").joinpath("toolchains", "build.lock").read_text(encoding="utf-8")
    for line in text.splitlines():
        name, _, wanted = line.partition("#")[0].partition(";")[0].strip().partition("==")
        if name and wanted:
            yield name.strip(), wanted.strip()


def _toolchains() -> Iterator[Check]:
    for name, known in TOOLCHAINS.items():
        what, folder, stamp = f"{name} toolchain", folder_of(name), read_stamp(folder_of(name))
        wanted = f"{known.leads} {pins(name)[known.leads]}"
        if stamp is None and not has_wheels(name):
            text = f"not made: {wanted} has no wheel for this system"
            yield Check(
                what, "warning", text, f"only recipes that train need it; {where_to_build(name)}"
            )
        elif stamp is None:
            text = f"not made yet, would be {folder}"
            hint = f"a recipe with a section `train` makes it ({known.download_mb} MB to download)"
            yield Check(what, "warning", text, f"{hint}; make toolchains does it ahead")
        elif fault := _fault(name):
            hint = "make toolchains makes it anew"
            yield Check(what, "error", f"{fault}, in {folder}", hint)
        else:
            python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            size = megabytes(int(str(stamp.get("size_bytes", 0))))
            yield Check(what, "ok", f"{wanted} on {python}, {size} in {folder}")


def _fault(toolchain: str) -> str | None:
    """Return in one line what is wrong with an environment that was made, None if it works."""
    missing = missing_from(toolchain, folder_of(toolchain))
    if missing:
        return f"it lacks {', '.join(missing)}"
    changed = changed_in(folder_of(toolchain))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"its files are not those that were installed: {changed[0]}{more}"
    fault = import_fault(toolchain, folder_of(toolchain))
    return f"it does not work: {fault.splitlines()[-1]}" if fault else None


def _machine() -> Iterator[Check]:
    machine = this_machine()
    features = ", ".join(machine.features) or "none of those that matter"
    yield Check("processor", "ok", f"{machine.cpu}, {machine.cores} cores; {features}")
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        low = memory < NEEDED_MEMORY_GB
        hint = f"a build of a small model needs {NEEDED_MEMORY_GB} GB; try --jobs 1"
        yield Check("memory", "warning" if low else "ok", f"{memory:.0f} GB", hint)


def _cache() -> Iterator[Check]:
    try:
        root = default_root()
    except UsageError as error:
        yield Check("cache", "error", f"{error.what}: {error.why}", ANOTHER)
        return
    existing = next(path for path in (root, *root.parents) if path.exists())
    if why := why_not_written(root):
        verb = "written" if existing == root else "made"
        yield Check("cache", "error", f"{root} cannot be {verb}: {why}", ANOTHER)
        return
    free = shutil.disk_usage(existing).free / 1e9
    low = free < NEEDED_DISK_GB
    yield Check(
        "cache",
        "warning" if low else "ok",
        f"{root}, {free:.0f} GB free",
        "olive-build cache gc --max-age-days 7 makes room",
    )
