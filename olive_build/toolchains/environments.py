"""The toolchains: what their locks pin, where their environments lie, whether these are whole."""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from olive_build.engine.store import default_root

VARIABLE = "OLIVE_BUILD_TOOLCHAINS"
"""Environment variable that names the folder of all environments."""
STAMP = "toolchain.json"
FILES = "files.json"
# What Python runs or loads by itself where it lies among the libraries.
CODE = (".py", ".pyc", ".pth", ".so", ".pyd", ".dll", ".dylib")


@dataclass(frozen=True)
class Toolchain:
    """What is known of a toolchain beside its lock."""

    leads: str
    """The distribution for whose sake it is an environment of its own."""
    imports: tuple[str, ...]
    """Modules whose import shows that the native libraries work on this machine."""
    systems: tuple[tuple[str, str], ...]
    """Where `leads` has wheels: (sys.platform, platform.machine() in lower case)."""
    systems_text: str
    """The same for people."""
    download_mb: int
    size_mb: int


TOOLCHAINS: Mapping[str, Toolchain] = {
    "training": Toolchain(
        leads="onnxruntime-training-cpu",
        imports=("numpy", "onnx", "onnxruntime"),
        # https://pypi.org/project/onnxruntime-training-cpu/1.19.2/#files
        systems=(
            ("linux", "x86_64"),
            ("darwin", "x86_64"),
            ("darwin", "arm64"),
            ("win32", "amd64"),
        ),
        systems_text="Linux with glibc on x86-64, macOS, and Windows on x86-64",
        download_mb=35,
        size_mb=135,
    )
}


def lock_of(toolchain: str) -> Path:
    """Return the file that pins the toolchain's packages. Raises LookupError for another name."""
    if toolchain not in TOOLCHAINS:
        raise LookupError(f"no toolchain is called {toolchain!r}")
    return Path(__file__).with_name(f"{toolchain}.lock")


@cache
def pins(toolchain: str) -> Mapping[str, str]:
    """Return the lock's packages: normalized name (PEP 503) -> version."""
    lines = (line.partition(" --hash")[0] for line in _locked(toolchain))
    pairs = (line.partition("==") for line in lines)
    return {_normal(name): version.strip() for name, _, version in pairs}


def _locked(toolchain: str) -> tuple[str, ...]:
    """Return the lock's lines, a package each, with the hashes of its wheels."""
    text = lock_of(toolchain).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (" ".join(line.partition("#")[0].split()) for line in text.splitlines())
    return tuple(line for line in lines if line)


def version_of(toolchain: str, distribution: str) -> str:
    """Return the version that the lock pins, "absent" if it pins none; nothing need be made."""
    return pins(toolchain).get(_normal(distribution), "absent")


def root() -> Path:
    """Return the folder of all environments: $OLIVE_BUILD_TOOLCHAINS, or beside the cache."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).absolute()
    return default_root() / "toolchains"


def folder_of(toolchain: str) -> Path:
    """Return where the environment for this Python and this lock lies, made or not."""
    place = f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
    return root() / f"{toolchain}-{place}-{_digest(toolchain)[:12]}"


def python_in(folder: Path) -> Path:
    """Return the interpreter of an environment; not resolved, as its place is what it goes by."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_inside(toolchain: str) -> bool:
    """Whether this process runs in the toolchain's environment."""
    stamp = read_stamp(Path(sys.prefix))
    return stamp is not None and stamp.get("lock") == _digest(toolchain)


def read_stamp(folder: Path) -> dict[str, object] | None:
    """Return what was noted of an environment when it was made, None if nothing is."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def write_stamp(toolchain: str, folder: Path) -> None:
    """Note in an environment which lock it holds, how large it is, and what was installed."""
    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    files = json.dumps(_files_of(folder)).encode()
    (folder / FILES).write_bytes(files)
    stamp = {
        "toolchain": toolchain,
        "lock": _digest(toolchain),
        "size_bytes": size,
        "files": sha256(files).hexdigest(),
    }
    (folder / STAMP).write_text(json.dumps(stamp, indent=2, sort_keys=True) + "\n", "utf-8")


def missing_from(toolchain: str, folder: Path) -> tuple[str, ...]:
    """Return what the environment lacks of what the lock pins, as texts; empty if it is whole.

    Names and versions are compared; whether the files within a package are whole only its import
    shows.
    """
    if not python_in(folder).exists():  # also where the Python that it was made from is gone
        return ("its Python",)
    found = _installed(folder)
    return tuple(
        f"{name} {version}" + (f" (it has {found[name]})" if name in found else "")
        for name, version in pins(toolchain).items()
        if found.get(name) != version
    )


def changed_in(folder: Path) -> tuple[str, ...]:
    """Return which files of an environment are not as they were made, as `name: what`.

    Reads every byte: a second.
    """
    try:
        content = (folder / FILES).read_bytes()
        made: dict[str, str] = json.loads(content)
    except (OSError, ValueError):
        return (f"{FILES}: missing",)
    if (read_stamp(folder) or {}).get("files") != sha256(content).hexdigest():
        return (f"{FILES}: changed",)
    found = _files_of(folder)
    wrong = (
        f"{name}: {'changed' if name in found else 'missing'}"
        for name, digest in made.items()
        if found.get(name) != digest
    )
    code = (name for name in found.keys() - made.keys() if name.endswith(CODE))
    return (*wrong, *(f"{name}: added" for name in sorted(code)))


def _files_of(folder: Path) -> dict[str, str]:
    """Return what an environment holds: relative name -> sha256, of a link of where it leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name in (STAMP, FILES) or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        found[path.relative_to(folder).as_posix()] = sha256(content).hexdigest()
    return found


def _library(folder: Path) -> Path:
    inner = "Lib" if os.name == "nt" else f"lib/python{sysconfig.get_python_version()}"
    return folder / inner / "site-packages"


def _installed(folder: Path) -> dict[str, str]:
    """Return the installed distributions by their .dist-info folders: name -> version."""
    named = _library(folder).glob("*.dist-info")
    whole = (path.stem.rpartition("-") for path in named if (path / "METADATA").is_file())
    return {_normal(name): version for name, _, version in whole}


def _digest(toolchain: str) -> str:
    """Return a digest of what is pinned; a comment in the lock makes no other environment."""
    return sha256("\n".join(sorted(_locked(toolchain))).encode()).hexdigest()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
