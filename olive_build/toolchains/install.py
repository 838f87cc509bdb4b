"""Fills an environment from a lock with venv and pip, and says what to do where that fails."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from olive_build.errors import StepError
from olive_build.toolchains.environments import TOOLCHAINS, lock_of, pins, python_in

# They would have pip install into another place, or Python look for packages in one.
_ASTRAY = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_PREFIX",
    "PIP_PYTHON",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_USER",
)
_OLDEST_PIP = (22, 3)  # the first with --python
_SHOWN_LINES = 6


def install(toolchain: str, folder: Path) -> None:
    """Make a virtual environment with exactly the lock's packages, and import them in it.

    Raises StepError with the end of what venv, pip or the import said.
    """
    _require_pip(toolchain)
    # pip stays outside: 10 MB and 3 s less, and nothing in there but what the lock names.
    done = _call([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)])
    if done.returncode:
        raise _error(toolchain, done, "check that Python's module venv is installed")
    command = [sys.executable, "-I", "-m", "pip", "--python", str(python_in(folder))]
    command += ["--disable-pip-version-check", "--no-input", "install", "--quiet"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--requirement", str(lock_of(toolchain))]
    done = _call(command)
    if done.returncode:
        raise _error(toolchain, done, _how_to_install(toolchain))
    why = import_fault(toolchain, folder)
    if why:
        raise StepError(
            f"the {toolchain} toolchain was installed and does not work",
            where=str(folder.parent),
            why=why,
            hint=f"its libraries are built for another system than this one, or a library of the "
            f"system is missing\n{where_to_build(toolchain)}",
        )


def import_fault(toolchain: str, folder: Path) -> str | None:
    """Import the toolchain's libraries in its Python; return why that fails, None if it works."""
    leads, imports = TOOLCHAINS[toolchain].leads, TOOLCHAINS[toolchain].imports
    program = f"import {', '.join(imports)}; print({imports[-1]}.__version__)"
    try:
        done = _call([str(python_in(folder)), "-I", "-c", program])
    except OSError as error:
        return f"its Python does not start: {error}"
    if done.returncode < 0:
        return f"importing {', '.join(imports)} kills its Python with signal {-done.returncode}"
    if done.returncode:
        return _end(done)
    found, wanted = done.stdout.split()[-1], pins(toolchain)[leads]
    return None if found == wanted else f"{imports[-1]} in it is {found}, and not {leads} {wanted}"


def _require_pip(toolchain: str) -> None:
    try:
        found = metadata.version("pip")
    except metadata.PackageNotFoundError:
        found = "none"
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST_PIP:
        oldest = ".".join(map(str, _OLDEST_PIP))
        raise StepError(
            f"the {toolchain} toolchain cannot be made without pip {oldest} or newer",
            where=sys.prefix,
            why=f"this environment has {'no pip' if found == 'none' else f'pip {found}'}",
            hint=f"{sys.executable} -m ensurepip --upgrade, or install it as the rest was "
            "(`uv pip install pip`)",
        )


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _ASTRAY}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )


def _error(toolchain: str, done: subprocess.CompletedProcess[str], hint: str) -> StepError:
    return StepError(
        f"the {toolchain} toolchain could not be installed",
        where=str(lock_of(toolchain)),
        why=_end(done),
        hint=hint,
    )


def _end(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last lines that say something."""
    lines = [line.rstrip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return "\n".join(lines[-_SHOWN_LINES:]) or f"it ended with status {done.returncode}"


def _how_to_install(toolchain: str) -> str:
    """Return what helps when pip finds no packages: another system, network, index or machine."""
    lock, version = lock_of(toolchain), ".".join(map(str, sys.version_info[:2]))
    known = TOOLCHAINS[toolchain]
    lines = [
        f"pip was asked for the {known.download_mb} MB of wheels that this file names: check the",
        "network, or name an index or a folder of yours in PIP_INDEX_URL or PIP_FIND_LINKS, and",
        "build again; `make toolchains` (python -m olive_build.toolchains) makes it ahead",
        f"without a network: on a machine with this system and Python {version},",
        f"  pip download --no-deps --only-binary :all: -d wheels -r {lock.name}",
        "and here, with the folder `wheels`:",
        "  PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels make toolchains",
    ]
    return "\n".join(([] if has_wheels(toolchain) else [where_to_build(toolchain)]) + lines)


def has_wheels(toolchain: str) -> bool:
    """Whether the distribution that leads has wheels for this system."""
    system = (sys.platform, platform.machine().lower())
    musl = sys.platform == "linux" and platform.libc_ver()[0] != "glibc"
    return system in TOOLCHAINS[toolchain].systems and not musl


def where_to_build(toolchain: str) -> str:
    """Return where the toolchain is available, and whether this system is one of those."""
    leads = TOOLCHAINS[toolchain].leads
    given = f"{leads} {pins(toolchain)[leads]} has wheels for {TOOLCHAINS[toolchain].systems_text}"
    here = f"{platform.system()} on {platform.machine()}"
    if has_wheels(toolchain):
        return given
    return f"{given}; none for this system ({here}): build on one of these, WSL and containers too"
