"""What a bundle is for is asked of its record; the room that trains is for those that train."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent / "record"
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from samples import manifest
from olive_build.bundle.purpose import purpose_in
said = json.loads(sys.argv[2])
found = type(purpose_in(manifest(said))).__name__
print(json.dumps([found, "olive_build.training.bundling" in sys.modules]))
"""


def purpose_of(said: dict[str, object]) -> list[object]:
    """Return the purpose's class in a process of its own, and whether the room was imported."""
    words = [sys.executable, "-c", PROGRAM, str(SAMPLES), json.dumps(said)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: list[object] = json.loads(done.stdout)
    return found


def test_an_ordinary_bundle_does_not_import_the_room_that_trains() -> None:
    assert purpose_of({}) == ["Purpose", False]


def test_a_bundle_that_trains_does() -> None:
    assert purpose_of({"training": {}}) == ["ForTraining", True]
