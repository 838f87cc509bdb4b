"""Builds of a tiny model through the real command line, steps and workers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from tiny_recipe import RECIPE, Project, built


def test_a_build_publishes_whole_bundles_and_an_index(project: Project) -> None:
    built(project)
    index = json.loads((project.folder / "outputs" / "index.json").read_text())
    assert [item["path"] for item in index["bundles"]] == ["tiny/desktop", "tiny/web"]
    for item in index["bundles"]:
        folder = project.folder / "outputs" / item["path"]
        manifest = (folder / "manifest.json").read_bytes()
        assert hashlib.sha256(manifest).hexdigest() == item["manifest_sha256"]
        files = {f["path"]: f for f in json.loads(manifest)["files"]}
        there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert there == {*files, "manifest.json", "proof.json", "proof.json.sha256"}
        for path, entry in files.items():
            content = (folder / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["sha256"]
            assert len(content) == entry["size_bytes"]
        assert all(v["verdict"] == "passed" for v in item["variants"].values())
    assert (project.bundle("web") / "onnx" / "model_quantized.onnx").is_file()
    assert (project.bundle("web") / "tokenizer.json").is_file()


def test_nothing_changed_runs_nothing_and_writes_nothing(project: Project) -> None:
    built(project)
    before = {p: p.stat().st_mtime_ns for p in (project.folder / "outputs").rglob("*")}
    result = project.run("build", "tiny")
    assert "steps: 0 ran" in result.out
    assert result.out.count("up to date: ") == 2
    after = {p: p.stat().st_mtime_ns for p in (project.folder / "outputs").rglob("*")}
    assert after == before


def test_a_folder_of_the_users_is_refused_before_anything_runs(project: Project) -> None:
    project.bundle("web").mkdir(parents=True)
    (project.bundle("web") / "thesis.txt").write_text("years of work")
    result = project.run("build", "tiny")
    assert result.code == 6
    assert "a bundle would take the place of what is not one" in result.err
    assert "at:      outputs/tiny/web" in result.err
    assert "move it away, or choose another folder with --outputs" in result.err
    assert "steps:" not in result.out and not project.bundle("desktop").exists()
    result = project.run("build", "tiny", "--keep-going")
    assert result.code == 6 and "published: outputs/tiny/desktop" in result.out
    assert [path.name for path in project.bundle("web").iterdir()] == ["thesis.txt"]


def test_a_pipe_in_another_bundle_hangs_no_build(project: Project) -> None:
    built(project)
    odd = project.folder / "outputs" / "other" / "web"
    odd.mkdir(parents=True)
    os.mkfifo(odd / "manifest.json")
    (project.bundle("web") / "proof.json").unlink()
    os.mkfifo(project.bundle("web") / "proof.json")
    result = project.run("build", "tiny")
    assert result.code == 0 and "published: outputs/tiny/web" in result.out
    index = json.loads((project.folder / "outputs" / "index.json").read_text())
    assert [item["path"] for item in index["bundles"]] == ["tiny/desktop", "tiny/web"]


def test_a_changed_digit_in_the_cache_is_measured_again(project: Project) -> None:
    built(project, "--target", "desktop")
    proof = (project.bundle("desktop") / "proof.json").read_bytes()
    project.cache = shutil.copytree(project.cache, project.folder / "cache")
    changed = 0
    for path in project.cache.glob("v1/artifacts/*/*/quality.json"):
        figures = path.read_text()
        path.chmod(0o644)
        path.write_text(re.sub(r'("cosine_p1": [0-9.]+)[0-9]', r"\g<1>1", figures))
        changed += path.read_text() != figures
    assert changed
    result = project.run("build", "tiny", "--target", "desktop")
    assert re.search(r"ran +tiny/\S*quality", result.out), result.out
    assert (project.bundle("desktop") / "proof.json").read_bytes() == proof


def test_out_of_budget_is_exit_5_and_leaves_what_was_published(project: Project) -> None:
    built(project, "--target", "desktop")
    before = (project.bundle("desktop") / "manifest.json").read_bytes()
    result = project.run(
        "build",
        "tiny",
        "--target",
        "desktop",
        "--set",
        "verify.budgets.int8.cosine_lowest=0.9999999",
    )
    assert result.code == 5
    assert "error: the bundle is out of its budgets and was not published" in result.err
    assert "int8: cosine_lowest 0.99" in result.err
    assert "at least 1: failed" in result.err or "at least 0.9999999: failed" in result.err
    assert (project.bundle("desktop") / "manifest.json").read_bytes() == before


def test_larger_than_the_size_budget_is_exit_5(project: Project) -> None:
    result = project.run(
        "build", "tiny", "--target", "desktop", "--set", "verify.budgets.int8.size_ratio=0.1"
    )
    assert result.code == 5
    assert re.search(r"size_ratio 0\.[3-6]", result.err)
    assert not project.bundle("desktop").exists()


FAILING = RECIPE.replace(
    "  web:\n    variants: [fp32, q8]\n",
    "  web:\n    variants: [q8]\n    quantize: {method: dynamic-int8, exclude: ['no/such/*']}\n",
)


def test_one_target_that_fails_stops_the_build_unless_it_keeps_going(
    project: Project,
) -> None:
    project.write_recipe(FAILING)
    result = project.run("build", "tiny", "--keep-going", "--json")
    assert result.code == 4
    status = {item["target"]: item["status"] for item in result.json["bundles"]}
    assert status == {"desktop": "published", "web": "failed"}
    error = next(item["error"] for item in result.json["bundles"] if item["error"])
    assert error["what"] == "exclude pattern 'no/such/*' matches no node"
    assert result.json["exit_code"] == 4


def test_of_several_recipes_one_that_cannot_be_planned_stops_itself_alone(
    project: Project,
) -> None:
    budgets = "timing: true\n  budgets: {int8: {speedup: {99999: 2}}}"  # no model takes so much
    project.write_recipe(RECIPE.replace("timing: false", budgets), "other")
    result = project.run("build", "other", "tiny", "--target", "desktop")
    assert (result.code, project.bundle("desktop").exists()) == (3, False)
    result = project.run("build", "other", "tiny", "--target", "desktop", "--keep-going")
    assert result.code == 3
    assert project.bundle("desktop").exists()
    assert "other cannot be planned, and is left out: " in result.out
    assert "\nother, target desktop:\nerror: " in result.err


def test_of_several_recipes_one_that_is_not_valid_stops_itself_alone(project: Project) -> None:
    project.write_recipe(RECIPE.replace("timing: false", "tining: false"), "other")
    words = ("build", "other", "tiny", "nowhere", "--target", "desktop")
    result = project.run(*words)
    assert (result.code, project.bundle("desktop").exists()) == (2, False)
    result = project.run(*words, "--keep-going")
    assert result.code == 2
    assert "published: outputs/tiny/desktop" in result.out
    assert "other is left out: 1 error in recipes/other.yaml" in result.out
    assert "\nother:\nerror[R001]: " in result.err
    assert "\nnowhere:\nerror: there is no recipe 'nowhere'" in result.err
    rows = project.run(*words, "--keep-going", "--json").json["bundles"]
    assert [(row["recipe"], row["target"], row["status"]) for row in rows] == [
        ("tiny", "desktop", "up to date"),
        ("other", None, "failed"),
        ("nowhere", None, "failed"),
    ]
    result = project.run("build", "other", "nowhere", "--keep-going")
    assert result.code == 2 and "\nother:\nerror[R001]: " in result.err


def test_a_bundle_is_published_as_soon_as_it_is_done(project: Project) -> None:
    result = project.run("build", "tiny", "--jobs", "1", "--force")
    assert result.code == 0, result.err
    steps = result.out.partition("\nsteps: ")[0]
    assert max(map(len, result.out.splitlines())) <= 80
    assert re.search(r"^ *(\d+) of \1  ", steps, re.MULTILINE)
    before, published, after = result.out.partition("published: outputs/tiny/")
    assert published and " ran " in before
    assert " ran " in after.partition("steps: ")[0]


def test_a_plan_says_in_words_what_each_step_does(project: Project) -> None:
    text = project.run("plan", "tiny").out
    assert max(map(len, text.splitlines())) <= 80
    step = text.partition("tiny/plain/q8/quantize\n")[2].partition("tiny/")[0]
    assert "Write model.onnx with MatMulInteger" in step
    assert "per_channel: true, weight_type: int8" in " ".join(step.split())
    assert "olive_build." not in text
    (fields,) = (
        item["fields"]
        for item in project.run("plan", "tiny", "--json").json["steps"]
        if item["slot"] == "tiny/export"
    )
    assert fields["torch_side"] == "olive_build.families.sentence_embedding.torch_side"


def test_until_a_stage_publishes_nothing(project: Project) -> None:
    result = project.run("build", "tiny", "--until", "quantize", "--json")
    assert result.code == 0
    assert not (project.folder / "outputs").exists()
    kinds = {step["slot"].rpartition("/")[2] for step in result.json["steps"]}
    assert "quantize" in kinds
    assert not kinds & {"compose", "describe", "quality-onnx", "latency"}


def test_a_pass_that_changes_nothing_fails_the_build(project: Project) -> None:
    passes = "passes:\n  - {pass: OnnxPeepholeOptimizer, after: export}\n"
    project.write_recipe(RECIPE.replace("verify:\n", f"{passes}verify:\n"))
    result = project.run("build", "tiny", "--target", "web")
    assert result.code == 4
    assert "OnnxPeepholeOptimizer" in result.err
    assert "changed nothing" in result.err or "unchanged" in result.err


def test_a_pass_of_the_recipe_is_in_the_graph_that_ships(project: Project) -> None:
    passes = (
        "passes:\n  - pass: OnnxIODataTypeConverter\n    after: export\n"
        "    options: {source_dtype: 1, target_dtype: 10, name_pattern: last_hidden_state}\n"
    )
    project.write_recipe(RECIPE.replace("verify:\n", f"{passes}verify:\n"))
    # Numbers in float16 are not within fp32's limit, which the recipe has to lift.
    lifted = ("--set", "verify.budgets.fp32.embedding_difference=0.001")
    built(project, "--target", "web", "--set", "targets.web.variants=[fp32]", *lifted)
    manifest = json.loads((project.bundle("web") / "manifest.json").read_text())
    assert manifest["variants"]["fp32"]["outputs"][0]["type"] == "float16"


def test_data_of_the_users_own_is_read_and_a_bad_line_is_named(project: Project) -> None:
    data = project.folder / "recipes" / "mine.jsonl"
    data.write_text('{"text": "One."}\n{"text": 2}\n', encoding="utf-8")
    setting = ("--set", "verify.data={file: mine.jsonl}")
    result = project.run("build", "tiny", "--target", "web", *setting)
    assert result.code == 4
    assert "a line of the proof's data is no text" in result.err
    assert "mine.jsonl:2" in result.err
    log = Path(result.err.partition("\n  log:     ")[2].splitlines()[0])
    assert "a line of the proof's data is no text" in log.read_text()
    data.write_text('{"text": "One."}\n{"text": "Another one."}\n', encoding="utf-8")
    built(project, "--target", "web", *setting)
    proof = json.loads((project.bundle("web") / "proof.json").read_text())
    assert proof["variants"]["fp32"]["quality"]["onnx"]["texts"] == 2


def test_explain_names_the_field_that_changed(project: Project) -> None:
    built(project, "--target", "web")
    assert "\n0 of 12 steps would run" in project.run("explain", "tiny", "--target", "web").out
    result = project.run(
        "explain",
        "tiny",
        "--target",
        "web",
        "--set",
        "quantize={method: dynamic-int8, reduce_range: true}",
    )
    assert "reduce_range changed: False -> True" in result.out
    assert "tiny/plain/q8/quantize" in result.out
    assert "cached tiny/export" in result.out
