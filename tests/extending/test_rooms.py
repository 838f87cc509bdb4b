"""What the product has many of is found by walking, in folders that a program joins too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

JOINED = """
import sys
from pathlib import Path
from olive_build import rooms
rooms.extend(Path(sys.argv[1]))
rooms.extend(Path(sys.argv[1]))  # twice is once
print(rooms.module("rewrites", "toy_rule").NAME, rooms.module("families", "toy").spec.NAME)
print(rooms.extensions() == (Path(sys.argv[1]),), "toy_rule" in rooms.names("rewrites"))
"""


def joined(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that joins a folder, in a process of its own: what is joined stays joined."""
    command = [sys.executable, "-c", JOINED, str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_folder_of_the_same_rooms_is_found_as_ours(tmp_path: Path) -> None:
    (tmp_path / "rewrites").mkdir()
    (tmp_path / "rewrites" / "toy_rule.py").write_text("NAME = 'rule'")
    (tmp_path / "families" / "toy").mkdir(parents=True)
    (tmp_path / "families" / "toy" / "__init__.py").write_text("from . import spec")
    (tmp_path / "families" / "toy" / "spec.py").write_text("NAME = 'family'")
    done = joined(tmp_path)
    assert done.stdout.split() == ["rule", "family", "True", "True"], done.stderr


def test_a_thing_of_ours_is_never_hidden_by_another_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "rewrites").mkdir()
    (tmp_path / "rewrites" / "padding_mask.py").write_text("")
    done = joined(tmp_path)
    assert "has padding_mask, and so has olive_build/rewrites" in done.stderr


def test_what_is_wrong_with_a_folder_is_an_error_of_usage(tmp_path: Path) -> None:
    from tests.extending.test_verb import called

    done = called("list", folder=tmp_path / "gone")
    assert (done.returncode, "because: there is no folder" in done.stderr) == (2, True)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "oops.py").write_text("x = 1\ndef (:\n")
    done = called("schema", "--check", folder=tmp_path)
    assert done.returncode == 2 and f"at:      {tmp_path}/methods/oops.py, line 2" in done.stderr
    for text, why in {
        "1 / 0\n": "ZeroDivisionError: division by zero",
        "import no_such_package\n": "ModuleNotFoundError: No module named 'no_such_package'",
        "from olive_build.methods import Nothing\n": "ImportError: cannot import name 'Nothing'",
        "def f():\n    raise OSError(2, 'none', '/x')\nf()\n": "FileNotFoundError",
    }.items():
        (tmp_path / "methods" / "oops.py").write_text(text)
        done = called("schema", "--check", folder=tmp_path)
        assert done.returncode == 2 and f"because: {why}" in done.stderr, done.stderr
        assert f"at:      {tmp_path}/methods/oops.py, line" in done.stderr
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "empty.py").touch()
    done = called("empty", folder=tmp_path)
    assert done.returncode == 2 and "a file of an extension has no `command`" in done.stderr
    (tmp_path / "methods" / "oops.py").rename(tmp_path / "methods" / "auto.py")
    done = called("list", folder=tmp_path)
    assert done.returncode == 2 and "methods has auto, and so has" in done.stderr


def test_what_a_room_lacks_is_named() -> None:
    from olive_build import rooms

    with pytest.raises(LookupError, match="nothing in olive_build/rewrites is called 'nothing'"):
        rooms.module("rewrites", "nothing")


def test_only_a_program_joins_a_folder_and_its_processes_are_told() -> None:
    product = Path(__file__).resolve().parents[2] / "olive_build"
    joining = {
        path.relative_to(product).as_posix()
        for path in product.rglob("*.py")
        if "rooms.extend(" in path.read_text(encoding="utf-8")
    }
    told = {"bundle/measured_again.py", "engine/worker.py", "steps/latency_child.py"}
    told |= {"families/transformers/rung.py"}
    assert joining == {"cli/_joined.py", *told}


def test_every_toy_is_in_the_docs_and_none_in_the_product() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "extending.md").read_text(encoding="utf-8")
    toys = {path.stem for path in (root / "tests/extending/toy").rglob("*")}
    told = re.findall(r"`(\w+)`", " ".join(re.findall(r"Toys?: ([^.]*)\.", text)))
    assert len(told) >= 11 and {*told} <= toys
    product = [
        path for path in (root / "olive_build").rglob("*") if path.suffix in (".py", ".yaml")
    ]
    known = "\n".join(path.read_text(encoding="utf-8") for path in product)
    assert not [name for name in told if "toy" in name and name in known]
