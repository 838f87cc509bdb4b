"""Read a bundle's manifest and proof: the only code that opens bundles of unknown origin.

Of a bundle plain files inside its folder are read, manifest.json and proof.json at most of a size.
What they say becomes types, or one kind of error that says where and why.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from olive_build.errors import BundleError
from olive_build.onnx_files.data_files import data_problem
from olive_build.record.codec import Damaged, decode, encode
from olive_build.record.manifest import MANIFEST_VERSION, Manifest
from olive_build.record.proof import PROOF_VERSION, Proof
from olive_build.untrusted import Unreadable, parse_json, plain_below, read_bytes, strange_below

MANIFEST, PROOF, SEAL = "manifest.json", "proof.json", "proof.json.sha256"
# The largest manifest or proof that is read; those of this project have some 100 kB.
MOST_BYTES = 1 << 22
# Values of either by the signs before them; those of this project have some 10,000.
MOST_VALUES = 200_000
_MOST_SEAL = 1 << 10
# What the manifest of a bundle has, of whichever version; a web page's manifest.json has not.
_OURS = {"manifest_version", "recipe", "target", "variants", "files"}
_SHOWN = 3
AGAIN = "build or download the bundle again"

T = TypeVar("T", Manifest, Proof)


@dataclass(frozen=True)
class Record:
    """A bundle's folder, its manifest and its proof, and the digests of both files."""

    folder: Path
    manifest: Manifest
    proof: Proof
    manifest_sha256: str
    proof_sha256: str


def read_record(folder: Path, *, whole: bool = True) -> Record:
    """Return what lies in a bundle's folder; both files name the same variants.

    Raises BundleError as `read_manifest` does; unless `whole`, only these two files are looked at.
    """
    manifest, text = _read(folder, MANIFEST, Manifest)
    if whole:
        _require_plain(folder)
    proof, proved = _read(folder, PROOF, Proof)
    if odd := sorted({*manifest.variants} ^ {*proof.variants}):
        raise BundleError(
            f"{MANIFEST} and {PROOF} name other variants",
            where=str(folder),
            why=f"{odd[0]} is in one of them alone",
            hint=AGAIN,
        )
    return Record(folder, manifest, proof, _sha256(text), _sha256(proved))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a bundle.

    Raises BundleError where there is none, where it is damaged or of another version, and where the
    folder holds anything but folders and plain files.
    """
    manifest, _ = _read(folder, MANIFEST, Manifest)
    _require_plain(folder)
    return manifest


def read_proof(folder: Path) -> Proof:
    """Return the proof of a bundle. Raises BundleError as `read_manifest` does."""
    return _read(folder, PROOF, Proof)[0]


def to_bytes(value: Any) -> bytes:
    """Return a record, or plain data, as JSON: sorted keys, two spaces, a newline at the end."""
    data = encode(value)
    if isinstance(value, Proof) and value.is_compared:
        data.setdefault("previous", None)
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def seal_of(proof: bytes) -> bytes:
    """Return what proof.json.sha256 holds, as `sha256sum --check` reads it."""
    return f"{_sha256(proof)}  {PROOF}\n".encode()


def seal_holds(folder: Path, proof_sha256: str) -> bool | None:
    """Whether proof.json is the one that was sealed; None where there is no seal."""
    try:
        return read_bytes(folder / SEAL, _MOST_SEAL) == f"{proof_sha256}  {PROOF}\n".encode()
    except FileNotFoundError:
        return None
    except OSError:
        return False


def file_of(folder: Path, name: str) -> Path:
    """Return the path of a file that a manifest names.

    Raises BundleError where it is none, or lies elsewhere than in the bundle.
    """
    try:
        return plain_below(folder, name)
    except OSError as error:
        raise BundleError(
            "the manifest names what is no file of the bundle",
            where=str(folder / MANIFEST),
            why=f"{repr(name)[:100]}: {error.strerror or error}",
            hint=AGAIN,
        ) from error


def require_own_weights(path: Path) -> None:
    """Raise BundleError for a graph of a bundle whose weights lie elsewhere."""
    if problem := data_problem(path) if path.suffix == ".onnx" else None:
        raise BundleError(
            "a model of the bundle is not to be opened", where=str(path), why=problem, hint=AGAIN
        )


def is_bundle(folder: Path) -> bool:
    """Whether a folder's manifest.json is one of ours, of whichever version.

    Raises Unreadable and OSError where it cannot be read.
    """
    found = parse_json(read_bytes(folder / MANIFEST, MOST_BYTES), MOST_VALUES)
    return isinstance(found, dict) and found.keys() >= _OURS


def _read(folder: Path, name: str, kind: type[T]) -> tuple[T, bytes]:
    path = folder / name
    try:
        text = read_bytes(path, MOST_BYTES)
        data = parse_json(text, MOST_VALUES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(
            "this is no bundle",
            where=str(folder),
            why=f"there is no {name}",
            hint="give the folder that holds manifest.json, such as outputs/<recipe>/<target>",
        ) from error
    except OSError as error:
        why = str(error) if isinstance(error, Unreadable) else error.strerror or str(error)
        raise BundleError(f"{name} cannot be read", where=str(path), why=why, hint=AGAIN) from error
    return _typed(kind, data, path), text


def _typed(kind: type[T], data: object, path: Path) -> T:
    found = _current(kind, data, path)
    try:
        return decode(kind, found)
    except Damaged as error:
        raise BundleError(
            f"{path.name} is damaged",
            where=str(path),
            why=str(error),
            hint=f"{AGAIN}; do not use one that olive-build did not make",
        ) from error


def _current(kind: type[T], data: object, path: Path) -> object:
    """Return the data as the current version has it. Raises BundleError for a version unknown."""
    key, versions = (
        ("manifest_version", (MANIFEST_VERSION,))
        if kind is Manifest
        else ("proof_version", (1, PROOF_VERSION))
    )
    if not isinstance(data, dict):
        return data
    version = data.get(key)
    if isinstance(version, bool) or version not in versions:
        raise BundleError(
            f"the {path.stem}'s version is {version!r:.40}",
            where=str(path),
            why=f"this olive-build reads version {' and '.join(map(str, versions))}",
            hint="use the olive-build that made the bundle, or build it again",
        )
    # Version 1 of the proof lacks fields that version 2 may leave out, and has no others.
    return {**data, key: versions[-1]}


def _require_plain(folder: Path) -> None:
    if strange := strange_below(folder):
        raise BundleError(
            "the bundle holds what is no plain file",
            where=str(folder),
            why="\n".join(strange[:_SHOWN])
            + f"\nand {len(strange) - _SHOWN} more" * (len(strange) > _SHOWN),
            hint=f"{AGAIN}; copy files in place of links to them",
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
