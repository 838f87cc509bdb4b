"""The build before this one: what of its proof a new bundle is compared with.

The previous build is the bundle that lies where the new one will be published. Where that is the
same bundle already, it says itself what it was compared with, so building again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from olive_build.bundle.manifest import MANIFEST, MOST_BYTES, PROOF
from olive_build.proof.regression import summary
from olive_build.untrusted import read_bytes

REFERENCE = "reference/"


def previous_build(folder: Path | None, manifest: bytes) -> dict[str, Any] | None:
    """Return the summaries of the build before the one with this manifest; None without one.

    A bundle that cannot be read is none: `verify` says what is wrong with it.
    """
    if folder is None:
        return None
    try:
        published = read_bytes(folder / MANIFEST, MOST_BYTES)
        proof = json.loads(read_bytes(folder / PROOF, MOST_BYTES))
        if published == manifest and "previous" in proof:
            before: dict[str, Any] | None = proof["previous"]
            return before
        return {
            "manifest_sha256": hashlib.sha256(published).hexdigest(),
            "machine": proof["machine"]["fingerprint"],
            "inputs": reference_digests(json.loads(published)["files"]),
            "variants": {name: summary(item) for name, item in proof["variants"].items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def reference_digests(files: list[dict[str, Any]]) -> list[str]:
    """Return the digests of the inputs that quality was measured on, by the manifest's files."""
    return sorted(item["sha256"] for item in files if item["path"].startswith(REFERENCE))
