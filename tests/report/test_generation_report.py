"""Perplexity and texts written alike where people read them: the table of a build, and the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import variant_proof

from olive_build.build import BuildReport, BundleResult
from olive_build.bundle.assemble import Assembled, Judged
from olive_build.report.building import (
    Progress,
    print_result,
    quality_text,
    speed_size,
    speed_text,
    told,
)
from olive_build.report.numbers import limit_text, short_title, text_of, title_of

WRITTEN = {
    "perplexity": 21.3456,
    "perplexity_ratio": 1.0123,
    "token_agreement": 0.97,
    "generate_agreement": 0.9,
}


def test_the_column_of_quality_has_perplexity_beside_pytorchs_and_what_is_alike() -> None:
    proof = variant_proof({"quality": {"onnx": WRITTEN}})
    named = told(WRITTEN)
    assert quality_text(proof, named) == "21.35, 90.00 %"
    assert [figure.title for figure in named][-1] == "generated alike"


def test_a_file_that_searches_by_itself_has_no_perplexity() -> None:
    assert [figure.name for figure in told({"generate_agreement": 0.96875})] == [
        "generate_agreement"
    ]


def test_the_speed_that_is_told_is_that_of_a_token() -> None:
    ratio = {"ratio_to": {"pytorch": {"median": 0.5, "low": 0.5, "high": 0.5}}, "milliseconds": {}}
    rows = [{"tokens": n, "threads": t, **ratio} for n in (128, 1) for t in (2, 1)]
    proof = variant_proof({"latency": rows})
    assert speed_text(Judged("int8", proof)) == "2.0 x"
    assert speed_size(proof) == "1 token"


@pytest.mark.parametrize("noisy", [True, False])
def test_a_speed_that_was_timed_on_a_noisy_machine_is_marked_and_the_mark_explained(
    noisy: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ratio = {"ratio_to": {"pytorch": {"median": 0.5, "low": 0.5, "high": 0.5}}, "milliseconds": {}}
    proof = variant_proof({"latency": [{"tokens": 1, "threads": 1, "noisy": noisy, **ratio}]})
    made = Assembled([], b"", b"", (Judged("int8", proof),))
    bundle = BundleResult("tiny", "desktop", "published", Path("out"), made)
    print_result(BuildReport([bundle]), Progress(to_stderr=False))
    told = capsys.readouterr().out
    assert ("2.0 x ?" in told) == noisy
    assert ("?: the machine was busy with something else" in told) == noisy


@pytest.mark.parametrize(
    ("figure", "value", "text", "limit"),
    [
        ("perplexity", 21.3456, "21.35", "21.3456"),
        ("perplexity", 1234.56, "1,235", "1234.56"),
        ("perplexity_ratio", 1.00012, "1.0001 \u00d7", "1.00012 \u00d7"),
        ("token_agreement", 0.975, "97.50 %", "97.5 %"),
        ("generate_agreement", 1.0, "100.00 %", "100 %"),
    ],
)
def test_figures_are_written_with_what_they_are(
    figure: str, value: float, text: str, limit: str
) -> None:
    assert (text_of(figure, value), limit_text(figure, value)) == (text, limit)
    assert "_" not in title_of(figure) + short_title(figure)
