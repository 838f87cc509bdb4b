"""A tenth of the matrix, drawn by the commit, and what its document says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.architectures.matrix import results
from tests.architectures.pairs import drawn, pairs
from tests.architectures.table import NOT_BUILT, document, documented
from tests.cli.test_smoke import commit

ROOT = Path(__file__).resolve().parents[2]
# Of processor time: then no more pairs are begun.
SECONDS = 100


def test_what_is_documented_as_working_works(tmp_path: Path) -> None:
    """As many of a tenth as there is time for, those in the order that the commit draws."""
    said = documented()
    chosen = [pair.name for pair in drawn(commit()) if said[pair.name] != NOT_BUILT]
    found = built(tmp_path / "results.jsonl", chosen)
    assert found
    wrong = {name: line["why"] for name, line in found.items() if line["verdict"] != said[name]}
    assert not wrong


def built(path: Path, names: list[str]) -> dict[str, dict]:
    """Return the results of these pairs, from a process of their own: it forks."""
    command = [sys.executable, "-m", "tests.architectures.matrix", "--no-table"]
    command += ["--results", str(path), "--only", ",".join(names), "--seconds", str(SECONDS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return results(path)


def test_the_document_has_every_pair_once() -> None:
    assert list(documented()) == [pair.name for pair in sorted(pairs(), key=lambda pair: pair.task)]


def test_there_are_enough_pairs_and_types_and_three_of_a_task() -> None:
    found = pairs()
    assert len({pair.name for pair in found}) == len(found) >= 150
    assert len({pair.model_type for pair in found}) >= 100
    tasks = Counter(pair.task for pair in found)
    # transformers has no more classes of these whose miniature runs.
    fewer = {task for task, count in tasks.items() if count < 3}
    assert fewer == {
        "document-question-answering",
        "image-to-image",
        "mask-generation",
        "table-question-answering",
        "time-series-classification",
        "time-series-regression",
        "visual-question-answering",
    }


def test_a_document_tells_results_and_reasons() -> None:
    name = pairs()[0].name
    line = {
        "name": name,
        "type": "x",
        "verdict": "fails",
        "why": "export: no | way\nat all",
        "versions": {"torch": "2"},
        "when": "2026-01-02",
    }
    text = document({name: line})
    assert "| fails |" in text
    assert f"- **{name}**: fails: export: no / way at all" in text
    assert "Built 2026-01-02 (1 pairs) with torch 2." in text
    assert f"{len(pairs()) - 1} are {NOT_BUILT}" in text
