"""A bundle for an NPU, of the miniature: fixed shapes, 16-bit activations, what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import onnx
import pytest
from tiny_recipe import RECIPE, Project, built

from olive_build.rewrites.fix_shapes import unknown_dimensions

LENGTH = 32
TARGETS = f"""\
targets:
  npu:
    export:
      shapes: {{batch_size: 1, sequence_length: {LENGTH}}}
    variants: [w8a16, fp32]
"""


@pytest.fixture
def npu(new_project: Callable[..., Project]) -> Project:
    work = new_project()
    work.write_recipe(RECIPE.partition("targets:")[0] + TARGETS)
    return built(work)


def test_the_bundle_is_for_fixed_sizes_and_says_what_the_provider_takes(npu: Project) -> None:
    bundle = npu.bundle("npu")
    manifest = json.loads((bundle / "manifest.json").read_text())
    proof = json.loads((bundle / "proof.json").read_text())
    assert manifest["status"].startswith("prepared, not run")
    for name, variant in manifest["variants"].items():
        assert {tuple(value["axes"]) for value in variant["inputs"]} == {(1, LENGTH)}
        partition = proof["variants"][name]["partition"]
        assert (partition["partitions"], partition["node_share"]) == (1, 1.0)
        assert partition["weight_share"] == 1.0
        assert f"- {name}: {partition['text']}" in (bundle / "README.md").read_text()
    fp32 = onnx.load(str(bundle / "fp32" / "model.onnx"))
    assert not {node.op_type for node in fp32.graph.node} & {"Shape", "Range", "Expand"}
    pairs = manifest["variants"]["w8a16"]["operators"]["com.microsoft"]
    assert pairs["QuantizeLinear"] > 20 and pairs["DequantizeLinear"] > pairs["QuantizeLinear"]
    packages = {item["name"]: item["lowest"] for item in manifest["runtime"]["packages"]}
    assert packages == {"onnxruntime": "1.24.1", "onnxruntime-qnn": "2.3.0"}
    assert (bundle / "tokenizer.json").is_file()


def test_texts_are_cut_at_the_fixed_length_for_the_reference_too(npu: Project) -> None:
    """Else a file would be blamed for what it was never given."""
    from olive_build.proof.reference import read_reference

    reference = read_reference(npu.bundle("npu") / "reference")
    assert max(len(ids) for ids in reference.token_ids) == LENGTH
    proof = json.loads((npu.bundle("npu") / "proof.json").read_text())
    quality = proof["variants"]["fp32"]["quality"]["onnx"]
    assert quality["cosine_lowest"] > 0.99999
    assert npu.run("verify", str(npu.bundle("npu"))).code == 0


def test_a_length_that_the_model_has_no_positions_for(new_project: Callable[..., Project]) -> None:
    work = new_project()
    text = RECIPE.partition("targets:")[0] + TARGETS.replace(f"length: {LENGTH}", "length: 4000")
    work.write_recipe(text)
    result = work.run("build", "tiny")
    assert result.code == 4
    assert "values have no fixed shape" in result.err
    assert "no longer than its positions" in result.err


def test_the_plan_fixes_shapes_once_before_it_quantizes(npu: Project) -> None:
    result = npu.run("plan", "tiny", "--json")
    assert result.code == 0, result.err
    kinds = [step["kind"] for step in json.loads(result.out)["steps"]]
    assert sum("fix_shapes" in kind for kind in kinds) == 1
    fixed = onnx.load(str(npu.bundle("npu") / "fp32" / "model.onnx"))
    assert [name for name in unknown_dimensions(fixed) if name.startswith("input_ids")] == []
