"""A part of a report that a program joins is shown wherever ours are: HTML, a terminal, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "report"))
from small_bundle import Page, variant, write_bundle  # noqa: E402

PROGRAM = """
import sys
from pathlib import Path
from olive_build.cli import main
main(sys.argv[2:], extensions=(Path(sys.argv[1]),))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "desktop"
    return write_bundle(folder, {"int8": variant(0.99, 25_000_000, None)})


def reported(*words: str, joined: Path = HERE / "toy") -> str:
    command = [sys.executable, "-c", PROGRAM, str(joined), "report", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def test_a_page_links_and_draws_it(bundle: Path, tmp_path: Path) -> None:
    reported(str(bundle), "--output", str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "#licences" in [value for _, name, value in page.attributes if name == "href"]
    assert {"licences", "licences-caption", "letters-title"} <= set(page.ids)
    assert "Licences &amp; their letters." in text
    assert 'class="bar s0"' in text
    assert 3.0 in page.figures


def test_a_terminal_shows_it(bundle: Path) -> None:
    text = reported(str(bundle), "--format", "text")
    assert "\nBudgets   all hold (1 variant, 1 target)\n" in text
    assert "\nLicences  1\n" in text
    part = text.partition("\nLicences\n")[2]
    assert "Licences & their letters." in part
    assert "MIT  \u2588" in part
    assert "3 letters" in part


def test_json_has_it_by_its_keys(bundle: Path) -> None:
    found = json.loads(reported(str(bundle), "--format", "json"))
    (section,) = [item for item in found["sections"] if item["id"] == "licences"]
    said, chart, table = section["blocks"]
    assert said == {"kind": "text", "text": "Licences & their letters."}
    assert chart["drawing"]["bars"][0]["value"] == 3
    assert table["rows"] == [{"Licence": "MIT", "Length": 3}]
    assert found["facts"]["Licences"] == 1


def test_it_compares_two_builds_too(bundle: Path) -> None:
    text = reported(str(bundle), str(bundle), "--format", "text")
    assert "The licence is unchanged." in text
    assert "\nletters of the name      4       4          changed\n" in text
    assert "\nOnly in one       1 (figures)\n" in text


def test_without_the_program_it_is_not_there(bundle: Path, tmp_path: Path) -> None:
    found = json.loads(reported(str(bundle), "--format", "json", joined=tmp_path))
    assert "licences" not in [item["id"] for item in found["sections"]]
