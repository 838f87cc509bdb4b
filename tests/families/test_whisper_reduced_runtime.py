"""What a reduced mobile runtime must keep for a composed Whisper: search, its parts, text."""

from __future__ import annotations

from pathlib import Path

import onnx
from composed_whisper import Built

from olive_build.proof.required_operators import read_config
from olive_build.rewrites.clean import graphs
from olive_build.steps.convert_ort import REQUIRED_OPERATORS, ConvertToOrt
from olive_build.targets.partition import partition


def test_the_config_names_the_search_what_is_inside_it_and_the_extensions(
    built: Built, tmp_path: Path
) -> None:
    path = built.single("int8")
    out = tmp_path / "out"
    out.mkdir()
    ConvertToOrt("fixed").run({"model": path.parent}, out)
    named = set(read_config(out / REQUIRED_OPERATORS))
    assert ("com.microsoft", "WhisperBeamSearch") in named
    whole, *inside = graphs(onnx.load(str(path)).graph)
    text = {(node.domain, node.op_type) for node in whole.node if node.domain == "ai.onnx.contrib"}
    assert text and text <= named
    # Kernels that the outermost graph has none of: they are inside the search alone.
    own = {node.op_type for graph in inside for node in graph.node}
    own -= {node.op_type for node in whole.node}
    assert {"LayerNormalization", "QGemm"} <= own
    assert {("", "LayerNormalization"), ("com.microsoft", "QGemm")} <= named


def test_the_estimate_says_what_is_taken_of_encoder_and_decoder(built: Built) -> None:
    model = onnx.load(str(built.single("fp32")))
    found = partition(model, "xnnpack")
    parts = {item.graph: item for item in found.inside if item.operator == "WhisperBeamSearch"}
    assert set(parts) == {"encoder", "decoder"}
    assert all(0 < part.taken_nodes < part.nodes and part.weight_share for part in parts.values())
    assert "WhisperBeamSearch" in {item.operator for item in found.breaks}
    assert "inside WhisperBeamSearch, which stays on the CPU itself: encoder " in found.text
    kept = partition(model, "coreml")
    assert not any(part.taken_nodes for part in kept.inside)
    assert "EnableOnSubgraphs" in kept.text
