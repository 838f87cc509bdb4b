"""outputs/index.json: every published bundle with its digest and verdict, for pipelines."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from olive_build.engine.locks import wait_lock
from olive_build.engine.trees import replace_file
from olive_build.errors import BundleError
from olive_build.record.read import MANIFEST, read_record, to_bytes

INDEX = "index.json"


def write_index(outputs: Path) -> None:
    """Write index.json from the bundles below `outputs`; other folders are left out.

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
        with suppress(BundleError):
            entries.append(entry(folder, outputs))
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
    """Return one bundle's line of the index. Raises BundleError where it cannot be read."""
    record = read_record(folder, whole=False)
    manifest, proof = record.manifest, record.proof
    return {
        "path": folder.relative_to(outputs).as_posix(),
        "recipe": manifest.recipe,
        "target": manifest.target,
        "provider": manifest.provider,
        "smoke": manifest.smoke,
        "status": manifest.status,
        "manifest_sha256": record.manifest_sha256,
        "proof_sha256": record.proof_sha256,
        "size_bytes": sum(manifest.sizes.values()),
        "variants": {
            name: {
                "verdict": proof.variants[name].verdict,
                "size_bytes": proof.variants[name].size_bytes,
                "file": next(iter(variant.models.values())),
            }
            for name, variant in manifest.variants.items()
        },
    }
