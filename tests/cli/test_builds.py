"""Builds of a tiny model through the real command line, steps and workers."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_recipe import RECIPE, Workplace

pytestmark = pytest.mark.xdist_group("tiny-builds")


def built(workplace: Workplace, *words: str) -> Workplace:
    result = workplace.run("build", "tiny", *words)
    assert result.code == 0, result.out + result.err
    return workplace


def test_a_build_publishes_whole_bundles_and_an_index(workplace: Workplace) -> None:
    built(workplace)
    index = json.loads((workplace.folder / "outputs" / "index.json").read_text())
    assert [item["path"] for item in index["bundles"]] == ["tiny/desktop", "tiny/web"]
    for item in index["bundles"]:
        folder = workplace.folder / "outputs" / item["path"]
        manifest = (folder / "manifest.json").read_bytes()
        assert hashlib.sha256(manifest).hexdigest() == item["manifest_sha256"]
        files = {f["path"]: f for f in json.loads(manifest)["files"]}
        there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert there == {*files, "manifest.json", "proof.json"}
        for path, entry in files.items():
            content = (folder / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["sha256"]
            assert len(content) == entry["size_bytes"]
        assert all(v["verdict"] == "passed" for v in item["variants"].values())
    assert (workplace.bundle("web") / "onnx" / "model_quantized.onnx").is_file()
    assert (workplace.bundle("web") / "tokenizer.json").is_file()


def test_nothing_changed_runs_nothing_and_writes_nothing(workplace: Workplace) -> None:
    built(workplace)
    before = {p: p.stat().st_mtime_ns for p in (workplace.folder / "outputs").rglob("*")}
    result = workplace.run("build", "tiny")
    assert "steps: 0 ran" in result.out
    assert result.out.count("up to date: ") == 2
    after = {p: p.stat().st_mtime_ns for p in (workplace.folder / "outputs").rglob("*")}
    assert after == before


def test_the_same_recipe_gives_the_same_bytes_in_another_place(
    new_workplace: Callable[..., Workplace], tmp_path: Path
) -> None:
    manifests = []
    for name in ("one", "two"):
        work = new_workplace(name, cache=tmp_path / f"cache-{name}")
        work.write_recipe()
        built(work, "--target", "desktop")
        manifests.append((work.bundle("desktop") / "manifest.json").read_bytes())
        assert str(tmp_path).encode() not in manifests[-1]
        model = (work.bundle("desktop") / "int8" / "model.onnx").read_bytes()
        assert str(tmp_path).encode() not in model
    assert manifests[0] == manifests[1]


def test_out_of_budget_is_exit_5_and_leaves_what_was_published(workplace: Workplace) -> None:
    built(workplace, "--target", "desktop")
    before = (workplace.bundle("desktop") / "manifest.json").read_bytes()
    result = workplace.run(
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
    assert (workplace.bundle("desktop") / "manifest.json").read_bytes() == before


def test_larger_than_the_size_budget_is_exit_5(workplace: Workplace) -> None:
    result = workplace.run(
        "build", "tiny", "--target", "desktop", "--set", "verify.budgets.int8.size_ratio=0.1"
    )
    assert result.code == 5
    assert "size_ratio 0.4" in result.err
    assert not workplace.bundle("desktop").exists()


FAILING = RECIPE.replace(
    "  web:\n    variants: [fp32, q8]\n",
    "  web:\n    variants: [q8]\n    quantize: {method: dynamic-int8, exclude: ['no/such/*']}\n",
)


def test_one_target_that_fails_stops_the_build_unless_it_keeps_going(
    workplace: Workplace,
) -> None:
    workplace.write_recipe(FAILING)
    result = workplace.run("build", "tiny", "--keep-going", "--json")
    assert result.code == 4
    status = {item["target"]: item["status"] for item in result.json["bundles"]}
    assert status == {"desktop": "published", "web": "failed"}
    error = next(item["error"] for item in result.json["bundles"] if item["error"])
    assert error["what"] == "exclude pattern 'no/such/*' matches no node"
    assert result.json["exit_code"] == 4


def test_until_a_stage_publishes_nothing(workplace: Workplace) -> None:
    result = workplace.run("build", "tiny", "--until", "quantize", "--json")
    assert result.code == 0
    assert not (workplace.folder / "outputs").exists()
    kinds = {step["slot"].rpartition("/")[2] for step in result.json["steps"]}
    assert "quantize" in kinds
    assert not kinds & {"compose", "describe", "quality-onnx", "latency"}


def test_a_pass_that_changes_nothing_fails_the_build(workplace: Workplace) -> None:
    passes = "passes:\n  - {pass: OnnxPeepholeOptimizer, after: export}\n"
    workplace.write_recipe(RECIPE.replace("verify:\n", f"{passes}verify:\n"))
    result = workplace.run("build", "tiny", "--target", "web")
    assert result.code == 4
    assert "OnnxPeepholeOptimizer" in result.err
    assert "changed nothing" in result.err or "unchanged" in result.err


def test_a_pass_of_the_recipe_is_in_the_graph_that_ships(workplace: Workplace) -> None:
    passes = (
        "passes:\n  - pass: OnnxIODataTypeConverter\n    after: export\n"
        "    options: {source_dtype: 1, target_dtype: 10, name_pattern: last_hidden_state}\n"
    )
    workplace.write_recipe(RECIPE.replace("verify:\n", f"{passes}verify:\n"))
    built(workplace, "--target", "web", "--set", "targets.web.variants=[fp32]")
    manifest = json.loads((workplace.bundle("web") / "manifest.json").read_text())
    assert manifest["variants"]["fp32"]["outputs"][0]["type"] == "float16"


def test_data_of_the_users_own_is_read_and_a_bad_line_is_named(workplace: Workplace) -> None:
    data = workplace.folder / "recipes" / "mine.jsonl"
    data.write_text('{"text": "One."}\n{"text": 2}\n', encoding="utf-8")
    setting = ("--set", "verify.data={file: mine.jsonl}")
    result = workplace.run("build", "tiny", "--target", "web", *setting)
    assert result.code == 4
    assert "a line of the proof's data is no text" in result.err
    assert "mine.jsonl:2" in result.err
    data.write_text('{"text": "One."}\n{"text": "Another one."}\n', encoding="utf-8")
    built(workplace, "--target", "web", *setting)
    proof = json.loads((workplace.bundle("web") / "proof.json").read_text())
    assert proof["variants"]["fp32"]["quality"]["onnx"]["texts"] == 2


def test_explain_names_the_field_that_changed(workplace: Workplace) -> None:
    built(workplace, "--target", "web")
    assert "0 of 7 steps would run" in workplace.run("explain", "tiny", "--target", "web").out
    result = workplace.run(
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


def test_force_runs_everything_again_and_says_nothing_of_other_bytes(workplace: Workplace) -> None:
    built(workplace, "--target", "web")
    result = workplace.run("build", "tiny", "--target", "web", "--force")
    assert "0 cached" in result.out
    assert "not reproducible" not in result.out


def test_ctrl_c_stops_within_a_second_and_the_next_build_goes_on(
    new_workplace: Callable[..., Workplace], tmp_path: Path
) -> None:
    work = new_workplace(cache=tmp_path / "cache")
    work.write_recipe()
    process = subprocess.Popen(
        work.command("build", "tiny"),
        cwd=work.folder,
        env=work.all_variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    first = process.stdout.readline()  # the first step has ended
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - asked < 2
    assert process.returncode == 130
    assert "the next build goes on from there" in err
    assert not (work.folder / "outputs" / "tiny").exists()
    done = first.split()[1]
    result = work.run("build", "tiny", "--json")
    assert result.code == 0
    status = {step["slot"]: step["status"] for step in result.json["steps"]}
    assert status[done] == "cached"


def test_smoke_has_the_steps_of_the_real_build(workplace: Workplace) -> None:
    def steps(*words: str) -> list[tuple[str, str]]:
        plan = workplace.run("plan", "tiny", "--json", "--set", "verify.timing=true", *words).json
        return [(step["slot"], step["kind"]) for step in plan["steps"]]

    assert steps("--smoke") == steps()


def test_no_host_is_looked_up_and_no_file_of_telemetry_is_written(
    new_workplace: Callable[..., Workplace], tmp_path: Path
) -> None:
    spy = tmp_path / "spy"
    spy.mkdir()
    log = tmp_path / "hosts.txt"
    (spy / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.getaddrinfo', 'socket.gethostbyname', 'socket.connect'):\n"
        f"        open({str(log)!r}, 'a').write(f'{{event}} {{args}}\\n')\n"
        "sys.addaudithook(hook)\n",
        encoding="utf-8",
    )
    home = tmp_path / "home"
    home.mkdir()
    work = new_workplace(cache=tmp_path / "cache")
    work.write_recipe()
    paths = f"{spy}:{work.all_variables()['PYTHONPATH']}"
    work.environment = {"PYTHONPATH": paths, "HOME": str(home), "XDG_CACHE_HOME": ""}
    built(work, "--target", "desktop")
    assert not log.exists(), log.read_text()
    written = [p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()]
    assert not [p for p in written if "microsoft" in p.lower() or "deviceid" in p.lower()], written


# -- verify and diff


@pytest.fixture
def published(workplace: Workplace) -> Workplace:
    return built(workplace)


def test_verify_recomputes_every_figure(published: Workplace) -> None:
    folders = [str(published.bundle(target)) for target in ("desktop", "web")]
    result = published.run("verify", *folders, "--json")
    assert result.code == 0, result.err
    for bundle in result.json:
        proof = json.loads((Path(bundle["path"]) / "proof.json").read_text())
        for file in bundle["files"]:
            recorded = proof["variants"][file["variant"]]["quality"]["onnx"]
            assert file["figures"] == recorded


def test_verify_needs_no_torch(published: Workplace) -> None:
    blocker = published.folder / "no_torch"
    for name in ("torch", "transformers", "olive", "onnx", "tokenizers"):
        (blocker / name).mkdir(parents=True)
        (blocker / name / "__init__.py").write_text("raise ImportError('not for verify')\n")
    paths = f"{blocker}:{published.all_variables()['PYTHONPATH']}"
    published.environment = {"PYTHONPATH": paths}
    result = published.run("verify", str(published.bundle("desktop")))
    assert result.code == 0, result.err


def test_a_flipped_byte_is_found(published: Workplace) -> None:
    model = published.bundle("desktop") / "int8" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    result = published.run("verify", str(published.bundle("desktop")))
    assert result.code == 6
    assert "int8/model.onnx: its bytes were changed" in result.err


def test_a_flipped_byte_is_repaired_by_the_next_build(published: Workplace) -> None:
    model = published.bundle("desktop") / "int8" / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    result = published.run("build", "tiny", "--target", "desktop")
    assert "published: " in result.out
    assert model.read_bytes() == good


@pytest.mark.parametrize("change", ["missing", "extra", "shorter"])
def test_other_files_than_the_manifest_says_are_found(published: Workplace, change: str) -> None:
    folder = published.bundle("desktop")
    readme = folder / "README.md"
    if change == "missing":
        readme.unlink()
    elif change == "extra":
        (folder / "int8" / "evil.dll").write_bytes(b"x")
    else:
        readme.write_bytes(readme.read_bytes()[:-1])
    result = published.run("verify", str(folder))
    assert result.code == 6
    expected = {
        "missing": "README.md: missing",
        "extra": "int8/evil.dll: not in the manifest",
        "shorter": "README.md: has ",
    }
    assert expected[change] in result.err


def forge(folder: Path, path: str, content: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (folder / path).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == path:
            entry["sha256"] = hashlib.sha256(content).hexdigest()
            entry["size_bytes"] = len(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_wrong_model_with_right_digests_is_found(published: Workplace) -> None:
    folder = published.bundle("desktop")
    model = onnx.load(str(folder / "int8" / "model.onnx"))
    weight = max(model.graph.initializer, key=lambda t: len(t.raw_data) * (t.data_type == 3))
    changed = np.flip(numpy_helper.to_array(weight), axis=0).copy()
    weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    forge(folder, "int8/model.onnx", model.SerializeToString())
    result = published.run("verify", str(folder))
    assert result.code == 5
    assert "the bundle does not do what its proof says" in result.err
    assert "int8/model.onnx: cosine" in result.err


def test_a_model_that_does_not_load_is_a_failed_proof_not_a_crash(published: Workplace) -> None:
    folder = published.bundle("desktop")
    forge(folder, "int8/model.onnx", b"garbage")
    result = published.run("verify", str(folder))
    assert result.code == 5
    assert "onnxruntime cannot load model.onnx" in result.err


@pytest.mark.parametrize("name", ["manifest.json", "proof.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"manifest_version": 1}', b"\xff"])
def test_a_damaged_manifest_or_proof_is_a_clear_error(
    published: Workplace, name: str, content: bytes | None
) -> None:
    path = published.bundle("desktop") / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    result = published.run("verify", str(published.bundle("desktop")))
    assert result.code == 6
    assert result.err.startswith("error: ")
    assert "\n  to fix: " in result.err


def test_verify_of_no_bundle_says_what_a_bundle_is(workplace: Workplace) -> None:
    result = workplace.run("verify", "recipes")
    assert result.code == 6
    assert "there is no manifest.json" in result.err


def test_diff_shows_settings_and_figures(published: Workplace) -> None:
    old = published.folder / "old"
    shutil.copytree(published.bundle("desktop"), old)
    assert published.run("diff", "old", str(published.bundle("desktop"))).out.startswith(
        "no difference"
    )
    built(
        published,
        "--target",
        "desktop",
        "--set",
        "quantize={method: dynamic-int8, per_channel: false}",
    )
    result = published.run("diff", "old", str(published.bundle("desktop")))
    assert result.code == 0
    assert "int8: quantize per_channel" in result.out
    assert "int8.onnx: cosine_mean" in result.out
