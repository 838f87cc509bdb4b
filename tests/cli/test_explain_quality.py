"""Where a published variant loses fidelity: from the cache of steps, and from a copied bundle."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from tiny_recipe import RECIPE, Project, built

TWO_OF_TEXT = RECIPE.replace("variants: [int8]", "variants: [int8, fp32]")


def test_a_bundle_shows_its_stages_and_a_change_that_builds(published: Project) -> None:
    result = published.run("explain", "--quality", str(published.bundle("desktop")), "--json")
    assert result.code == 0, result.err
    found = result.json
    steps = [stage["step"] for stage in found["stages"]]
    assert steps[0] == "export"
    assert steps[-1] == "compose"
    assert steps.index("fuse") < steps.index("quantize") < steps.index("compose")
    figures = {stage["step"]: stage["figures"] for stage in found["stages"]}
    assert figures["export"]["cosine_lowest"] > 0.99999
    assert figures["quantize"]["cosine_mean"] < figures["export"]["cosine_mean"]
    # Composing adds the tokenizer and pooling, and must cost nothing.
    assert figures["compose"]["cosine_mean"] == pytest.approx(
        figures["quantize"]["cosine_mean"], abs=1e-6
    )
    nodes = [layer["node"] for layer in found["layers"]]
    assert any(node.startswith("encoder.layer.0.") for node in nodes)
    assert abs(sum(layer["share"] for layer in found["layers"]) - 1) < 1e-6

    assert found["suggestions"][0]["loss_after"] < found["suggestions"][0]["loss_before"]
    recipe = yaml.safe_load(RECIPE) | yaml.safe_load(found["recipe_change"])
    published.write_recipe(yaml.safe_dump(recipe, sort_keys=False))
    again = published.run("build", "tiny", "--target", "desktop")
    assert again.code == 0, again.err


def test_the_table_and_the_plot_of_a_bundle(published: Project) -> None:
    picture = published.folder / "layers.svg"
    words = ("--samples", "12", "--plot", str(picture))
    result = published.run("explain", "--quality", str(published.bundle("web")), *words)
    assert result.code == 0, result.err
    assert "on 12 texts of the proof" in result.out
    assert "tiny/" in result.out.splitlines()[0]
    assert f"plot: {picture}" in result.out
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def copied(project: Project, target: str) -> Path:
    """Return the bundle in a place where there is neither its recipe nor what was cached."""
    folder = project.folder / "elsewhere" / target
    shutil.copytree(project.bundle(target), folder)
    shutil.rmtree(project.folder / "recipes")
    project.cache = project.folder / "empty"
    return folder


def test_a_copied_bundle_is_compared_with_its_own_fp32_variant(published: Project) -> None:
    folder = copied(published, "web")
    result = published.run("explain", "--quality", str(folder), "--variant", "q8")
    assert result.code == 0, result.err
    assert "without the build's stages: " in result.out
    assert "the recipe 'tiny', which the bundle names, is not among yours" in result.out
    assert "encoder.layer." in result.out


def test_a_copied_bundle_that_takes_text_is_compared_too(project: Project) -> None:
    project.write_recipe(TWO_OF_TEXT)
    built(project, "--target", "desktop")
    result = project.run("explain", "--quality", str(copied(project, "desktop")), "--json")
    assert result.code == 0, result.err
    assert result.json["stages"] == []
    assert any("encoder.layer." in layer["node"] for layer in result.json["layers"])


def test_a_copied_bundle_without_fp32_says_what_is_missing(published: Project) -> None:
    folder = copied(published, "desktop")
    result = published.run("explain", "--quality", str(folder))
    assert result.code == 6
    assert "the bundle alone does not say where 'int8' loses fidelity" in result.err
    assert "it holds no fp32 variant to compare with" in result.err
    assert "explain --quality FP32.onnx X.onnx" in result.err


def test_a_variant_that_the_bundle_lacks_is_refused(published: Project) -> None:
    words = ("explain", "--quality", str(published.bundle("web")), "--variant", "q3")
    result = published.run(*words)
    assert result.code == 2
    assert "there is no variant 'q3'" in result.err
    assert "there are fp32, q8" in result.err


def test_a_damaged_manifest_is_named(published: Project) -> None:
    manifest = published.bundle("web") / "manifest.json"
    manifest.write_text('{"variants": {"q8": 3}}', encoding="utf-8")
    result = published.run("explain", "--quality", str(published.bundle("web")))
    assert result.code == 6
    assert "manifest.json" in result.err


def test_a_bundle_out_of_its_budgets_names_the_command_that_says_where(project: Project) -> None:
    """It was not published: what the command compares are the steps in the cache."""
    project.write_recipe(
        RECIPE.replace("targets:\n", "  budgets: {int8: {cosine_p1: 1.0}}\ntargets:\n")
    )
    result = project.run("build", "tiny", "--target", "desktop")
    assert result.code == 5, result.err
    command = result.err.partition("which layers of int8 lose it: ")[2].splitlines()[0]
    assert command == "olive-build explain --quality tiny --target desktop --variant int8"
    explained = project.run(*shlex.split(command)[1:], "--json")
    assert explained.code == 0, explained.err
    assert explained.json["layers"]
    assert explained.json["stages"]
    result = project.run("explain", "--quality", "tiny")
    assert result.code == 2 and "name it with --target" in result.err
    project.cache = project.folder / "empty"
    result = project.run("explain", "--quality", "tiny", "--target", "desktop")
    assert result.code == 2 and "the cache does not have what the build made" in result.err
