"""`olive-build report` over bundles that were built for real, from the tiny model."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from tiny_recipe import Project

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))
from small_bundle import Page


def test_a_recipes_page_has_the_figures_of_every_proof(published: Project) -> None:
    result = published.run("report", "tiny")
    assert result.code == 0, result.err
    path = published.folder / "outputs" / "tiny" / "report.html"
    assert result.out == f"written: {path.relative_to(published.folder)}\n"
    page = Page(path.read_text(encoding="utf-8"))
    for target in ("desktop", "web"):
        proof = json.loads((published.bundle(target) / "proof.json").read_text())
        for proved in proof["variants"].values():
            assert proved["size_bytes"] in page.figures
            assert proved["quality"]["onnx"]["cosine_p1"] in page.figures
            measured = [gate["value"] for gate in proved["gates"] if gate["value"] is not None]
            assert measured
            assert set(measured) <= set(page.figures)
    assert published.run("verify", str(published.bundle("web"))).code == 0


def test_the_steps_are_those_that_made_the_files(published: Project) -> None:
    built = published.run("build", "tiny", "--json").json
    assert published.run("report", str(published.bundle("desktop")), "--output", "a.html").code == 0
    text = (published.folder / "a.html").read_text(encoding="utf-8")
    steps = text.partition('<section id="steps"')[2].partition("</section>")[0]
    shown = [item.replace("\u200b", "") for item in re.findall(r'class="code">([^<]*)<', steps)]
    for kind in ("export", "quantize", "compose", "reference", "quality-onnx"):
        assert [slot for slot in shown if slot.endswith(kind)], kind
    # Tests share a cache: another recipe's miniature may have the bytes of this model, and then its
    # steps made them too.
    shown = [slot for slot in shown if slot.startswith("tiny/")]
    slots = {step["slot"]: step for step in built["steps"]}
    assert set(shown) <= set(slots)
    # Those of the web's variants made nothing of this bundle.
    assert not [slot for slot in shown if "/q8/" in slot]
    figures = Page(steps).figures
    for slot in shown:
        assert any(abs(slots[slot]["seconds"] - value) < 1e-3 for value in figures), slot


def test_the_same_build_gives_the_same_page(published: Project) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        assert published.run("report", "tiny", "--output", name).code == 0
        pages.append((published.folder / name).read_bytes())
    assert pages[0] == pages[1]


def test_two_bundles_are_compared(published: Project) -> None:
    folders = [str(published.bundle(target)) for target in ("desktop", "web")]
    result = published.run("report", *folders)
    assert result.code == 0, result.err
    path = published.folder / "outputs" / "tiny" / "comparison.html"
    text = Page(path.read_text(encoding="utf-8")).text
    assert "Comparison of two builds" in text
    assert "only in the second build" in text  # web has variants that desktop has not


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["other"], 2, "there is no bundle of 'other'"),
        (["tiny", "tiny", "tiny"], 2, "3 things cannot be compared"),
        (["tiny", "--output", "outputs/tiny/web/a.html"], 2, "not written into a bundle"),
        (["tiny", "--output", "new/folder/a.html"], 2, "there is no folder for the report"),
        (["tiny", "--output", "recipes"], 2, "is a directory"),
        (["tiny", "--attribution", "pyproject.toml"], 2, "layers by damage cannot be read"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_shown_is_said(
    published: Project, words: list[str], code: int, message: str
) -> None:
    result = published.run("report", *words)
    assert result.code == code
    assert message in result.err
    assert not (published.folder / "new").exists()


def test_a_damaged_proof_is_named(published: Project) -> None:
    path = published.bundle("web") / "proof.json"
    path.write_text('{"proof_version": 2, "variants": {"fp32": 3}}', encoding="utf-8")
    result = published.run("report", "tiny")
    assert result.code == 6
    assert "proof.json is damaged" in result.err
    assert "outputs/tiny/web" in result.err
    path.write_text("{", encoding="utf-8")
    assert "proof.json cannot be read" in published.run("report", "tiny").err
