"""outputs/index.json: every published bundle with its digest and verdict, for pipelines."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from olive_build.bundle.layout import models
from olive_build.bundle.manifest import MANIFEST, MOST_BYTES, PROOF, check_names, to_bytes
from olive_build.engine.locks import wait_lock
from olive_build.engine.trees import replace_file
from olive_build.errors import BundleError
from olive_build.untrusted import read_bytes

INDEX = "index.json"
NO_BUNDLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(StopIteration, RecursionError, BundleError),
)


def write_index(outputs: Path) -> None:
    """Write index.json from the bundles that lie below `outputs` now; what is none is left out.

    Raises BundleError when it cannot be written. An index that is right is not touched.
    """
    path = outputs / INDEX
    try:
        if not path.is_file() or path.read_bytes() != _index(outputs):
            with wait_lock(outputs / ".index.lock"):
                replace_file(path, _index(outputs))
    except OSError as error:
        raise BundleError(
            "the index of bundles cannot be written",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="choose another folder with --outputs",
        ) from error


def _index(outputs: Path) -> bytes:
    entries = []
    for folder in published(outputs):
        # Damaged by someone, or being replaced by another build, which writes the index again.
        with suppress(*NO_BUNDLE):
            found = entry(folder, outputs)
            to_bytes(found)  # texts that are none, and objects without end, are not written either
            entries.append(found)
    return to_bytes({"index_version": 1, "bundles": entries})


def published(outputs: Path) -> list[Path]:
    """Return the folders of all bundles below `outputs`, smoke builds included, sorted."""
    found = (path.parent for path in outputs.glob("*/*/" + MANIFEST))
    smoke = (path.parent for path in outputs.glob("smoke/*/*/" + MANIFEST))
    return sorted(
        path
        for path in {*found, *smoke}
        if not any(part.startswith(".") for part in path.relative_to(outputs).parts)
    )


def entry(folder: Path, outputs: Path) -> dict[str, Any]:
    """Return one bundle's line of the index."""
    manifest_bytes = read_bytes(folder / MANIFEST, MOST_BYTES)
    manifest = json.loads(manifest_bytes)
    check_names(manifest, folder / MANIFEST)
    proof_bytes = read_bytes(folder / PROOF, MOST_BYTES)
    proof = json.loads(proof_bytes)
    return {
        "path": folder.relative_to(outputs).as_posix(),
        "recipe": manifest["recipe"],
        "target": manifest["target"],
        "provider": manifest["provider"],
        "smoke": manifest["smoke"],
        "status": manifest["status"],
        "manifest_sha256": hashlib.sha256(manifest_bytes).hexdigest(),
        "proof_sha256": hashlib.sha256(proof_bytes).hexdigest(),
        "size_bytes": sum(item["size_bytes"] for item in manifest["files"]),
        "variants": {
            name: {
                "verdict": variant["verdict"],
                "size_bytes": variant["size_bytes"],
                "file": next(iter(models(manifest["variants"][name]["files"]).values())),
            }
            for name, variant in proof["variants"].items()
        },
    }
