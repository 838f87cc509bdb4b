"""The published JSON schemas of manifest.json and proof.json, made from their types.

`python -m olive_build.record.schema` writes them beside this file; with `--check` it says whether
they are up to date, and returns 2 where they are not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from olive_build.record.codec import schema
from olive_build.record.manifest import Manifest
from olive_build.record.proof import Proof

FOLDER = Path(__file__).parent
KINDS = {"manifest.schema.json": Manifest, "proof.schema.json": Proof}


def schemas() -> dict[str, str]:
    """Return the text of each schema by the name of its file."""
    return {
        name: json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"
        for name, kind in KINDS.items()
    }


def main(words: list[str]) -> int:
    """Write the schemas, or with `--check` hold them against the types."""
    found = 0
    for name, text in schemas().items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in words:
            sys.stderr.write(f"{path} is out of date; run `python -m olive_build.record.schema`\n")
            found = 2
        else:
            path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"{path} written\n")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
