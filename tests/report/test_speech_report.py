"""Word error rates where people read them: the table of a build, and the report's page."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from olive_build.report.building import quality_text, told_of_all
from olive_build.report.builds import find_build, read_bundle
from olive_build.report.numbers import limit_text, text_of
from olive_build.report.render.html import to_html
from olive_build.report.reporting import report_page
from olive_build.report.sections import changes

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import variant_proof
from small_bundle import Page, gate, latency, variant, write_bundle

HEARD = {"wer": 0.0241, "wer_loss": 0.12, "wer_to_reference": 0.004, "generate_agreement": 0.975}
COSINES = {"cosine_lowest": 0.98, "cosine_p1": 0.99, "cosine_mean": 0.995}


def reported(*qualities: dict[str, Any]) -> Any:
    proofs = [
        SimpleNamespace(proof=variant_proof({"quality": {"onnx": quality}}))
        for quality in qualities
    ]
    return SimpleNamespace(bundles=[SimpleNamespace(proofs=proofs)])


def heard(wer: float, size_bytes: int, **more: Any) -> dict[str, Any]:
    """Return a variant of proof.json whose figures are of words."""
    figures = {**HEARD, "wer": wer}
    gates = [gate("wer_loss", 0.12, 0.5, "passed"), gate("wer", wer, 0.05, "passed")]
    for item in gates:
        item["bound"] = "at most"
    return variant(0.99, size_bytes, [latency(0.25)]) | {
        "limits": {"wer": 0.05, "wer_loss": 0.5},
        "quality": {"onnx": {**figures, "single": figures, "clips": 120}},
        "gates": gates,
        **more,
    }


def report_of(folder: Path) -> Page:
    return Page(to_html(report_page(find_build(str(folder), folder))))


def test_the_column_of_quality_tells_the_worst_of_the_files() -> None:
    def text(*forms: dict[str, float]) -> str:
        quality = {str(number): form for number, form in enumerate(forms)}
        return quality_text(variant_proof({"quality": quality}))

    better = {**HEARD, "wer": 0.02, "generate_agreement": 0.96}
    assert text(HEARD) == "word error rate 2.41 %"
    assert text(better, HEARD) == text(HEARD, better) == "word error rate 2.41 %"
    assert text({**HEARD, "wer": 0.0}) == "word error rate 0.00 %"


def test_figures_that_are_told_of_all_are_named_by_the_head() -> None:
    assert told_of_all(reported()) == told_of_all(reported(HEARD, COSINES)) == ()
    named = told_of_all(reported(HEARD, HEARD))
    assert [figure.name for figure in named] == ["wer"]
    (judged,) = reported(HEARD).bundles[0].proofs
    assert quality_text(judged.proof, named) == "2.41 %"


def test_a_figure_that_failed_by_little_is_told_apart_from_its_limit() -> None:
    missed = gate("cosine_lowest", 0.9999998, 0.9999999, "failed")
    quality = {"onnx": {**COSINES, "cosine_lowest": 0.9999998}}
    proof = variant_proof({"quality": quality, "gates": [missed]})
    named = told_of_all(reported(COSINES, COSINES))
    assert [figure.name for figure in named] == ["cosine_lowest"]
    assert quality_text(proof, named) == "0.9999998"
    assert quality_text(proof).endswith(" 0.9999998")


@pytest.mark.parametrize(
    ("figure", "value", "text", "limit"),
    [
        ("wer", 0.0241, "2.41 %", "2.41 %"),
        ("wer_to_reference", 0.004, "0.40 %", "0.4 %"),
        ("generate_agreement", 0.975, "97.50 %", "97.5 %"),
        ("wer_loss", 0.12, "0.12 points", "0.12 points"),
        ("wer_loss", -0.5, "\u22120.50 points", "-0.5 points"),
    ],
)
def test_figures_of_words_have_their_units(
    figure: str, value: float, text: str, limit: str
) -> None:
    assert (text_of(figure, value), limit_text(figure, value)) == (text, limit)


def test_the_page_shows_each_figure_and_draws_less_as_better(tmp_path: Path) -> None:
    variants = {"fp32": heard(0.023, 80_000_000), "int8": heard(0.0241, 25_000_000)}
    page = report_of(write_bundle(tmp_path / "desktop", variants))
    assert not {*HEARD.values()} - {*page.figures}
    for text in ("2.41 %", "WER", "Above PyTorch", "at most 5 %", "at most 0.5 points"):
        assert text in page.text
    for text in ("word error rate: less is better", "int8 \u2264 5 %", "Down and to the left"):
        assert text in page.text
    assert "Up and to the" not in page.text


def test_two_builds_are_compared_by_their_words_and_fewer_errors_are_better(tmp_path: Path) -> None:
    folders = [
        write_bundle(tmp_path / name / "desktop", {"int8": heard(wer, 25_000_000)})
        for name, wer in (("old", 0.03), ("new", 0.02))
    ]
    old, new = (read_bundle(folder).variants[0] for folder in folders)
    found = {item.title: item for item in changes(old, new, same_machine=True)}
    wer = found["word error rate"]
    assert (wer.old_text, wer.new_text, wer.change) == ("3.00 %", "2.00 %", "\u22121.00 %")
    assert wer.verdict == "better"
    assert found["generated alike"].verdict == "same"
    (_, back, *_) = changes(new, old, same_machine=True)
    assert (back.title, back.verdict) == ("word error rate", "worse")
