"""The build before this one: what of its proof a new bundle is compared with.

The previous build is the bundle that lies where the new one will be published. Where that is the
same bundle already, it says itself what it was compared with, so building again changes nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from olive_build.errors import BundleError
from olive_build.proof.regression import summary
from olive_build.record.manifest import Manifest
from olive_build.record.proof import Previous
from olive_build.record.read import read_record

REFERENCE = "reference/"


def previous_build(folder: Path | None, manifest: bytes) -> Previous | None:
    """Return the summaries of the build before the one with this manifest; None without one.

    A bundle that cannot be read is none: `verify` says what is wrong with it.
    """
    if folder is None:
        return None
    try:
        found = read_record(folder, whole=False)
    except BundleError:
        return None
    if found.manifest_sha256 == hashlib.sha256(manifest).hexdigest() and found.proof.is_compared:
        return found.proof.previous
    return Previous(
        found.manifest_sha256,
        found.proof.machine.fingerprint,
        reference_digests(found.manifest),
        {name: summary(item) for name, item in found.proof.variants.items()},
    )


def reference_digests(manifest: Manifest) -> tuple[str, ...]:
    """Return the digests of the inputs that quality was measured on."""
    return tuple(sorted(item.sha256 for item in manifest.files if item.path.startswith(REFERENCE)))
