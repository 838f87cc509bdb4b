"""What a manifest says of a variant of several files, taken together."""

from __future__ import annotations

from olive_build.bundle.graphs import merged
from olive_build.record.manifest import Graph, Told, Value


def described(values: int, operator: str, estimate: str = "") -> Graph:
    return Graph(
        inputs=(Value(f"{operator}_x", "float", (1,)),),
        outputs=(),
        ir_version=values,
        opsets={"ai.onnx": 18},
        operators={"ai.onnx": {"MatMul": 2, operator: 1}},
        stored_values=values,
        partition=Told(estimate) if estimate else None,
    )


def test_one_file_is_described_as_it_is() -> None:
    only = described(9, "Conv", "takes all")
    assert merged({"model": only}) == only


def test_operators_and_values_of_several_files_add_up() -> None:
    parts = {"encoder": described(9, "Conv"), "decoder": described(10, "If")}
    found = merged(parts)
    assert found.operators == {"ai.onnx": {"MatMul": 4, "Conv": 1, "If": 1}}
    assert (found.stored_values, found.ir_version) == (19, 10)
    assert found.inputs == parts["encoder"].inputs
    assert found.graphs == parts
    assert found.graph("decoder") == parts["decoder"] and found.graph("other") == found
    assert found.partition is None


def test_what_a_provider_takes_is_told_of_each_file() -> None:
    found = merged(
        {"encoder": described(9, "Conv", "takes all"), "decoder": described(9, "If", "takes none")}
    )
    assert found.partition == Told("encoder: takes all; decoder: takes none")
