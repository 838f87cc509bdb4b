"""`olive-build bench` on the tiny model: what it prints, and what it says of bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny_recipe import ROOT, Project

QUICK = ("--seconds", "0.03")


@pytest.fixture
def bundle(published: Project) -> str:
    return str(published.bundle("desktop").relative_to(published.folder))


def test_a_bench_has_all_figures_at_each_size(published: Project, bundle: str) -> None:
    result = published.run(
        "bench", bundle, "--against", "pytorch", "--against", "fp32", "--lengths", "8,16",
        "--batches", "1,3", "--threads", "1,2", *QUICK, "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    found = result.json
    names = {"pytorch", "fp32 graph", "int8"}
    shapes = [(row["threads"], row["batch"], row["tokens"]) for row in found["rows"]]
    assert shapes == [(t, b, n) for t in (1, 2) for b in (1, 3) for n in (8, 16)]
    for row in found["rows"]:
        assert set(row["candidates"]) == set(row["milliseconds"]) == names
        assert set(row["ratio_to"]) == names - {"pytorch"}
        for item in row["candidates"].values():
            assert 0 < item["p50"] <= item["p90"]
            assert item["items_per_second"] > 0
            assert (item["p99"] is None) == (item["calls"] < 100)
    assert set(found["load"]["milliseconds"]) == set(found["memory"]) == names
    assert found["machine"]["cores"] >= 1


def test_the_tables_are_for_people(published: Project, bundle: str) -> None:
    web = str(published.bundle("web").relative_to(published.folder))
    result = published.run("bench", bundle, web, "--lengths", "8", *QUICK)
    assert result.code == 0, result.err
    assert result.err == ""  # what the candidates print is in a log
    for name in ("tiny/desktop/int8", "tiny/web/fp32", "tiny/web/q8"):
        assert name in result.out
    for head in ("p50 ms", "items/s", "load ms", "peak MB", "fast as tiny/desktop/int8"):
        assert head in result.out


def test_a_file_of_ones_own_takes_part(published: Project, bundle: str) -> None:
    own = published.folder / "own.onnx"
    own.write_bytes((published.bundle("web") / "onnx" / "model.onnx").read_bytes())
    result = published.run("bench", bundle, "--against", "own.onnx", *QUICK, "--json")
    assert result.code == 0, result.err
    assert set(result.json["load"]["milliseconds"]) == {"own.onnx", "int8"}


def test_a_peer_runs_in_its_own_environment(published: Project, bundle: str) -> None:
    """The interpreter is this one and the model ours; the process is the peers' script."""
    folder = published.folder / "outputs" / "peers" / "ours" / "tiny"
    folder.mkdir(parents=True)
    model = published.bundle("web") / "onnx" / "model.onnx"
    (folder / "model.onnx").write_bytes(model.read_bytes())
    manifest = {
        "peer": "ours",
        "version": "1.0",
        "kind": "onnx",
        "model": "model.onnx",
        "python": sys.executable,
        "size_bytes": 1,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    script = published.folder / "benchmarks" / "peers"
    script.parent.mkdir()
    script.symlink_to(ROOT / "benchmarks" / "peers", target_is_directory=True)
    result = published.run("bench", bundle, "--against", "ours", "--lengths", "8", *QUICK, "--json")
    assert result.code == 0, result.err
    assert set(result.json["rows"][0]["candidates"]) == {"ours (1.0)", "int8"}
    (folder / "model.onnx").unlink()
    result = published.run("bench", bundle, "--against", "ours")
    assert result.code == 2
    assert "the output of the peer 'ours' is not complete" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lengths", "0"), "--lengths is a list of whole numbers from 1 to 100000, not '0'"),
        (("--batches", "1,x"), "--batches is a list of whole numbers"),
        (("--threads", "-1"), "--threads is a list of whole numbers"),
        (("--lengths", "999999999999"), "--lengths is a list of whole numbers"),
        (("--lengths", "9999"), "the model takes"),
        (("--against", "optimum"), "nothing is known as 'optimum' to bench against"),
        (("--against", "no.onnx"), "there is no file 'no.onnx'"),
        (("--against", "../../x"), "nothing is known as '../../x' to bench against"),
    ],
)
def test_bad_words_are_usage_errors(
    published: Project, bundle: str, words: tuple[str, str], message: str
) -> None:
    result = published.run("bench", bundle, *words)
    assert result.code == 2
    assert message in result.err


def test_what_is_no_bundle_or_a_damaged_one_is_said(published: Project, bundle: str) -> None:
    result = published.run("bench", "recipes")
    assert (result.code, "this is no bundle" in result.err) == (6, True)
    path = Path(published.bundle("desktop")) / "manifest.json"
    data = json.loads(path.read_text())
    del data["model"]["digest"]
    path.write_text(json.dumps(data))
    result = published.run("bench", bundle)
    assert result.code == 6
    assert "model: `digest` is missing" in result.err


def test_a_bundle_of_another_model_than_the_recipes_is_refused(
    published: Project, bundle: str
) -> None:
    path = Path(published.bundle("desktop")) / "manifest.json"
    data = json.loads(path.read_text())
    data["model"]["digest"] = "0" * 64
    path.write_text(json.dumps(data))
    result = published.run("bench", bundle)
    assert result.code == 2
    assert "the recipe 'tiny' builds another model than the bundle's" in result.err


def test_a_file_that_does_not_load_is_an_error_with_its_log(
    published: Project, bundle: str
) -> None:
    (published.folder / "bad.onnx").write_bytes(b"no model")
    result = published.run("bench", bundle, "--against", "bad.onnx", *QUICK)
    assert result.code == 4
    assert "timing bad.onnx failed" in result.err
    log = Path(result.err.partition("at:")[2].splitlines()[0].strip())
    assert "onnxruntime cannot load bad.onnx" in log.read_text()
