"""An environment for each peer, below .peers/: Python's venv, exact versions from a .lock file.

torch is left out of the locks: the caller says which build of it is installed (see the Makefile),
since an open range takes gigabytes of CUDA.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAMP = ".made-from"


class PeerError(Exception):
    """A peer cannot be installed, or made no model; the text says why."""


def environment(name: str, torch: Sequence[str], root: Path) -> Path:
    """Return the interpreter of a peer's environment, made where it is not there yet.

    `torch` are pip's words that install torch. Raises PeerError with pip's own reason.
    """
    lock = HERE / f"{name}.lock"
    folder = root / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(lock.read_bytes() + "\n".join(torch).encode()).hexdigest()
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], f"no environment for {name}")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    install = [*pip, "install", "--quiet"]
    _run([*install, *torch, "--constraint", str(lock)], f"torch cannot be installed for {name}")
    # --no-deps: the lock names everything, and no range in it may ask for another torch.
    _run(
        [*install, "--no-deps", "--only-binary", ":all:", "--requirement", str(lock)],
        f"the packages of {lock.name} cannot be installed",
    )
    _run([*pip, "check"], f"the packages of {lock.name} do not fit together")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def locked_version(name: str, package: str) -> str:
    """Return the exact version that a peer's lock names for a package."""
    for line in (HERE / f"{name}.lock").read_text(encoding="utf-8").splitlines():
        found, _, version = line.partition("==")
        if found == package:
            return version
    raise PeerError(f"{name}.lock does not name {package}")


def _run(command: Sequence[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = "\n".join(lines) or (done.stdout + done.stderr).strip()[-2000:]
        raise PeerError(f"{failure}: {said}")
