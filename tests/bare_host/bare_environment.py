"""An environment with the three packages of a phone in the lock's versions, kept in .bare."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bare"
LOCK = ROOT / "olive_build" / "toolchains" / "build.lock"
# onnxruntime names more that it needs (flatbuffers, packaging, protobuf) and imports none of them.
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-extensions")


def pinned() -> list[str]:
    """Return the lock's lines for the packages."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if re.split("==", line)[0] in PACKAGES]
    assert len(found) == len(PACKAGES), found
    return found


def bare_environment() -> Path:
    """Return its Python; it is made when there is none, or the lock or the Python is another.

    About 4 s with the wheels in pip's cache, and nothing the next time.
    """
    FOLDER.mkdir(exist_ok=True)
    python, stamp = FOLDER / "venv" / "bin" / "python", FOLDER / "installed"
    wanted = "\n".join([sys.version, *pinned()])
    with (FOLDER / "lock").open("w") as lock:
        # Processes of one test run come here together.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(FOLDER / "venv", ignore_errors=True)
            venv.create(FOLDER / "venv", with_pip=False, symlinks=True)
            _install(python)
            stamp.write_text(wanted, encoding="utf-8")
    return python


def _install(python: Path) -> None:
    """Install with the pip of this environment, so that the bare one needs none."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    into = ["--python", str(python), "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*pip, *into, *pinned()], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
