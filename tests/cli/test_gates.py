"""Gates on size, time and memory through real builds: what passes, what stops a build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny_recipe import RECIPE, Project, built

TIMED = RECIPE.replace("timing: false", "timing: true")
DESKTOP = ("--target", "desktop")


def proof(project: Project) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((project.bundle("desktop") / "proof.json").read_text())
    return data


def gates(project: Project, variant: str = "int8") -> dict[str, dict[str, Any]]:
    return {item["figure"]: item for item in proof(project)["variants"][variant]["gates"]}


def with_budgets(recipe: str, text: str) -> str:
    return recipe.replace("targets:\n", f"  budgets:\n    int8: {text}\ntargets:\n")


def test_a_timed_build_measures_time_loading_and_memory_of_every_variant(project: Project) -> None:
    project.write_recipe(
        with_budgets(TIMED, "{slowdown: 1000, load_ratio: 1000}").replace("[int8]", "[int8, fp32]")
    )
    built(project, *DESKTOP)
    for name, others in (("int8", {"fp32 graph", "pytorch"}), ("fp32", {"pytorch"})):
        found = proof(project)["variants"][name]
        assert (found["latency"][0]["tokens"], found["latency"][0]["threads"]) == (16, 1)
        for row in (*found["latency"], found["load"]):
            assert set(row["ratio_to"]) == others
            assert set(row["milliseconds"]) == {"this file", *others}
            assert 7 <= row["rounds"] <= 44
            own = row["milliseconds"]["this file"]
            assert 0 < own["median_from"] <= own["median"] <= own["median_to"]
        assert set(found["memory"]) == {"this file", *others}
        assert all(row["process"] > 0 for rows in found["memory"].values() for row in rows)
    assert gates(project)["load_ratio"]["status"] == "passed"
    assert "slowdown" not in gates(project, "fp32")


def test_what_is_slower_or_larger_than_its_budget_stops_the_build(project: Project) -> None:
    budgets = "{slowdown: 0.001, speedup: {16: 100000}, load_ms: 0.001, memory_mb: 0.001}"
    project.write_recipe(with_budgets(TIMED, budgets))
    result = project.run("build", "tiny", *DESKTOP)
    assert result.code == 5
    for text in (
        "at most 0.001: failed",
        "int8: speedup at 16 ",
        "at least 100000: failed",
        "int8: load_ms ",
        "int8: memory_mb ",
    ):
        assert text in result.err
    assert not project.bundle("desktop").exists()


def test_a_budget_on_a_length_that_the_model_does_not_take_is_a_plan_error(
    project: Project,
) -> None:
    project.write_recipe(with_budgets(TIMED, "{speedup: {99999: 2}}"))
    result = project.run("plan", "tiny", *DESKTOP)
    assert result.code == 3
    assert "a budget names 99999 tokens, and the model takes" in result.err


def test_a_length_that_a_budget_names_is_timed(project: Project) -> None:
    project.write_recipe(with_budgets(TIMED, "{speedup: {24: 0.0001}, slowdown: 1000}"))
    built(project, *DESKTOP)
    rows = proof(project)["variants"]["int8"]["latency"]
    assert 24 in {row["tokens"] for row in rows}
    assert (gates(project)["speedup"]["size"], gates(project)["speedup"]["status"]) == (
        24,
        "passed",
    )


def test_what_is_not_timed_is_not_measured_and_not_a_failure(project: Project) -> None:
    budgets = "{speedup: 100000, load_ms: 0.001, memory_mb: 0.001, memory_ratio: 0.1}"
    project.write_recipe(with_budgets(RECIPE, budgets))
    built(project, *DESKTOP)
    found = gates(project)
    for name in ("speedup", "load_ms", "memory_mb", "memory_ratio", "slowdown"):
        assert found[name]["status"] == "not measured"
        assert found[name]["note"] == "the recipe says verify.timing: false"


REGRESSION = with_budgets(RECIPE, "{regression: {size: 1.02, quality: 0.001, latency: 1.1}}")


def test_a_build_is_held_to_the_one_that_it_replaces(project: Project) -> None:
    project.write_recipe(REGRESSION)
    built(project, *DESKTOP)
    first = proof(project)
    assert first["previous"] is None
    assert gates(project)["regression of size"]["note"] == "no previous build"
    assert gates(project)["regression of size"]["status"] == "passed"
    # The same again: it stays what it is, and is not compared with itself.
    assert "up to date: " in project.run("build", "tiny", *DESKTOP).out
    assert proof(project) == first
    # A larger file is stopped, and what was published stays.
    larger = REGRESSION.replace(
        "targets:\n", "variants:\n  int8: {quantize: {method: fp16}}\ntargets:\n"
    )
    project.write_recipe(larger)
    result = project.run("build", "tiny", *DESKTOP)
    assert result.code == 5
    assert "int8: regression of size 1." in result.err
    assert "at most 1.02: failed" in result.err
    assert proof(project) == first
    # Allowed, it is published with what it was compared with; again, nothing changes.
    project.write_recipe(larger.replace("size: 1.02", "size: 9"))
    built(project, *DESKTOP)
    second = proof(project)
    assert (
        second["previous"]["variants"]["int8"]["size_bytes"]
        == (first["variants"]["int8"]["size_bytes"])
    )
    assert gates(project)["regression of size"]["value"] > 1.02
    assert gates(project)["regression of latency"]["note"] == "not both builds measured it"
    assert "up to date: " in project.run("build", "tiny", *DESKTOP).out
    assert proof(project) == second


def test_a_published_proof_that_cannot_be_read_is_no_previous_build(project: Project) -> None:
    project.write_recipe(REGRESSION)
    built(project, *DESKTOP)
    path: Path = project.bundle("desktop") / "proof.json"
    path.write_text("{", encoding="utf-8")
    built(project, *DESKTOP)
    assert gates(project)["regression of size"]["note"] == "no previous build"


def test_int8_says_what_it_does_without_vnni(project: Project) -> None:
    result = project.run("build", "tiny", *DESKTOP)
    assert result.code == 0, result.err
    found = proof(project)["variants"]["int8"]["without_vnni"]
    assert found["products"] > 0
    assert found["status"] in ("emulated", "same")
    assert (found["status"] == "emulated") == (found["weight_pairs_at_risk"] > 0)
    if found["status"] == "emulated":
        assert -1 <= found["quality"]["cosine_p1"] <= 1
        assert "desktop int8 on x86 without VNNI, emulated: cosine, lowest " in result.out
    readme = (project.bundle("desktop") / "README.md").read_text()
    assert "## Which processors" in readme
    assert "session.x64quantprecision" in readme
    built(project, *DESKTOP, "--set", "quantize={method: dynamic-int8, reduce_range: true}")
    found = proof(project)["variants"]["int8"]["without_vnni"]
    assert (found["status"], found["weight_pairs_at_risk"]) == ("same", 0)
