"""The static check: each finding's text, and what a graph requires of the runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build.targets import DataError, load_provider, load_target
from olive_build.targets.check import Finding, check_operators
from olive_build.targets.requirement import (
    TABLE,
    load_runtimes,
    required_packages,
    required_runtime,
    version_key,
)

PLAIN = {"": {"MatMul": 48, "Softmax": 6, "Add": 62, "Gather": 3}}
FUSED = {"ai.onnx": {"MatMul": 18}, "com.microsoft": {"Attention": 6, "BiasGelu": 6}}
INT8 = {"ai.onnx": {"MatMulInteger": 36, "DynamicQuantizeLinear": 24, "Add": 62}}


def check(
    operators: dict[str, dict[str, int]],
    target: str,
    provider: str | None = None,
    opset: int = 18,
    ir: int = 10,
    dynamic: bool = True,
) -> tuple[Finding, ...]:
    loaded = load_target(target)
    return check_operators(
        operators,
        opset,
        ir,
        target=loaded,
        provider=load_provider(provider or loaded.default_provider),
        has_dynamic_shapes=dynamic,
    )


def errors(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def notes(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.what for finding in findings if finding.severity == "note"]


@pytest.mark.parametrize("target", ["desktop", "web", "android", "ios", "windows", "npu"])
def test_a_plain_graph_passes_everywhere(target: str) -> None:
    assert errors(check(PLAIN, target, dynamic=False)) == []


@pytest.mark.parametrize("target", ["desktop", "web", "android", "ios"])
def test_dynamic_int8_passes(target: str) -> None:
    assert errors(check(INT8, target)) == []


def test_opset_above_the_runtime() -> None:
    (finding,) = errors(check(PLAIN, "android", "cpu", opset=22))
    assert finding == Finding(
        "error",
        "opset 22 is above 21",
        "com.microsoft.onnxruntime:onnxruntime-android 1.18.0, the lowest for android, "
        "loads opset 21 at most",
        "export with opset 18",
    )


def test_opset_above_the_provider() -> None:
    (finding,) = errors(check(PLAIN, "windows", opset=21))
    assert finding.what == "opset 21 is above 20"
    assert finding.why == "DirectML has kernels up to opset 20"
    assert errors(check(PLAIN, "windows", "cpu", opset=21)) == []


def test_ir_above_the_runtime() -> None:
    (finding,) = errors(check(PLAIN, "desktop", ir=11))
    assert finding.what == "IR 11 is above 10"
    assert "onnxruntime 1.22.0, the lowest for desktop, loads IR 10 at most" in finding.why
    assert finding.hint == "write the model with IR 10"


def test_a_tokenizer_in_the_web() -> None:
    (finding,) = errors(check({**PLAIN, "ai.onnx.contrib": {"BertTokenizer": 1}}, "web"))
    assert finding.what == "1 node of the domain ai.onnx.contrib: BertTokenizer"
    assert finding.why.endswith("and no package with onnxruntime-extensions")
    assert finding.hint.startswith("leave the tokenizer out")


@pytest.mark.parametrize("target", ["desktop", "android", "ios", "windows"])
def test_a_tokenizer_in_an_app(target: str) -> None:
    assert errors(check({**PLAIN, "ai.onnx.contrib": {"BertTokenizer": 1}}, target)) == []


def test_a_foreign_domain() -> None:
    (finding,) = errors(check({**PLAIN, "org.example": {"Twice": 2, "Once": 1}}, "desktop"))
    assert finding.what == "3 nodes of the domain org.example: Twice x2, Once"
    assert finding.why == "the runtime of desktop has ai.onnx, ai.onnx.ml, com.microsoft"


def test_a_domain_without_nodes_is_no_matter() -> None:
    assert errors(check({**PLAIN, "org.pytorch.aten": {}}, "desktop")) == []


@pytest.mark.parametrize(
    ("target", "provider", "title"),
    [
        ("android", "xnnpack", "XNNPACK"),
        ("ios", "coreml", "Core ML"),
        ("web", "webgpu", "WebGPU"),
        ("desktop", "openvino", "Intel OpenVINO"),
    ],
)
def test_fused_attention_cuts_a_partition(target: str, provider: str, title: str) -> None:
    (finding,) = errors(check(FUSED, target, provider))
    assert finding == Finding(
        "error",
        "6 nodes of fused attention: Attention x6",
        f"{title}: {load_provider(provider).no_attention_because}",
        "build this target with `fuse: {attention: plain}`",
    )


@pytest.mark.parametrize(
    ("target", "provider"), [("desktop", "cpu"), ("windows", "directml"), ("desktop", "cuda")]
)
def test_fused_attention_where_it_has_kernels(target: str, provider: str) -> None:
    assert errors(check(FUSED, target, provider)) == []


def test_attention_of_onnx_is_not_the_fused_one() -> None:
    assert errors(check({"ai.onnx": {"Attention": 6}}, "desktop", "openvino")) == []


def test_fixed_shapes_where_they_must_be() -> None:
    (finding,) = errors(check(PLAIN, "npu"))
    assert finding == Finding(
        "error",
        "the graph has dynamic shapes",
        "Qualcomm QNN: it takes only values of a fixed size",
        "give this target `export: {shapes: ...}` with a size for each axis",
    )
    assert errors(check(PLAIN, "npu", dynamic=False)) == []


@pytest.mark.parametrize("provider", ["nnapi", "xnnpack"])
def test_fixed_shapes_where_they_only_help(provider: str) -> None:
    found = check(PLAIN, "android", provider)
    assert errors(found) == []
    assert "the graph has dynamic shapes" in notes(found)
    assert "the graph has dynamic shapes" not in notes(
        check(PLAIN, "android", provider, dynamic=False)
    )


def test_an_operator_that_nothing_has() -> None:
    (finding,) = errors(check({**PLAIN, "com.microsoft": {"Imaginary": 2}}, "desktop"))
    assert finding.what == "no kernel is known for Imaginary x2 of com.microsoft"
    assert finding.why == "neither CPU nor the CPU provider has one"


def test_an_onnx_operator_without_a_kernel_is_noted() -> None:
    found = check({"": {"Imaginary": 1}}, "desktop")
    assert errors(found) == []
    assert "no kernel is known for Imaginary of ai.onnx" in notes(found)


def test_the_partition_is_estimated() -> None:
    (note,) = [f for f in check(PLAIN, "android", dynamic=False) if f.severity == "note"]
    assert note.what == (
        "XNNPACK takes at most 54 of 119 nodes, 65 run on the CPU: Add x62, Gather x3"
    )
    assert note.why.startswith("estimated from the operators that it has kernels for, under")
    assert "Softmax (last axis, of a fixed size)" in note.why


def test_the_partition_of_the_cpu_is_everything() -> None:
    assert notes(check(PLAIN, "desktop")) == ["CPU takes at most 119 of 119 nodes"]


def test_constants_are_not_counted() -> None:
    graph = {"": {"MatMul": 1, "Constant": 9}}
    assert notes(check(graph, "desktop")) == ["CPU takes at most 1 of 1 nodes"]


def test_gelu_of_opset_20_leaves_directml() -> None:
    found = notes(check({"": {"MatMul": 2, "Gelu": 1}}, "windows", opset=20))
    assert found == ["DirectML takes at most 2 of 3 nodes, 1 runs on the CPU: Gelu"]


def test_a_file_above_the_lowest_runtime_is_noted() -> None:
    graph = {"com.microsoft": {"GatherBlockQuantized": 3, "MatMulNBits": 36}}
    found = [f for f in check(graph, "desktop") if "needs onnxruntime" in f.what]
    assert [f.what for f in found] == ["it needs onnxruntime 1.23.0, over onnxruntime 1.22.0"]
    assert "'bits' is unknown before" in found[0].why
    assert [w for w in notes(check(graph, "web")) if "needs onnxruntime" in w] == []


def test_errors_come_first() -> None:
    severities = [f.severity for f in check(FUSED, "android", opset=30, ir=99)]
    assert severities == sorted(severities)
    assert severities.count("error") == 4


@pytest.mark.parametrize(
    ("operators", "opset", "ir", "version", "because"),
    [
        (PLAIN, 18, 8, "1.15.1", "opset 18 and IR 8"),
        (PLAIN, 20, 9, "1.17.0", "opset 20 and IR 9"),
        (PLAIN, 18, 10, "1.18.0", "opset 18 and IR 10"),
        (PLAIN, 22, 10, "1.21.0", "opset 22 and IR 10"),
        (FUSED, 18, 10, "1.22.0", "com.microsoft Attention: a mask"),
        (PLAIN, 99, 10, "1.31.1", "opset 99 and IR 10 are above what 1.31.1 reads"),
    ],
)
def test_required_runtime(
    operators: dict[str, dict[str, int]], opset: int, ir: int, version: str, because: str
) -> None:
    needed = required_runtime(operators, opset, ir)
    assert needed.version == version
    assert needed.because.startswith(because)


def test_eight_bits_need_more_than_four() -> None:
    graph = {"com.microsoft": {"MatMulNBits": 1}}
    assert required_runtime(graph, 18, 10).version == "1.18.0"
    assert required_runtime(graph, 18, 10, bits=8).version == "1.23.0"


def test_packages_are_raised_to_what_a_graph_needs() -> None:
    needed = required_runtime({"com.microsoft": {"GatherBlockQuantized": 1}}, 18, 10)
    (package,) = required_packages(load_target("android"), "xnnpack", needed)
    assert (package.lowest, package.onnxruntime) == ("1.23.0", "1.23.0")
    assert "GatherBlockQuantized" in package.why
    unchanged = load_target("web").packages
    assert required_packages(load_target("web"), "wasm", needed) == unchanged


def test_packages_of_another_numbering_are_not_guessed() -> None:
    needed = required_runtime({}, 26, 13)
    names = [p.name for p in required_packages(load_target("web"), "wasm", needed)]
    assert names == ["onnxruntime-web"]


def test_lowest_packages_load_what_is_built_by_default() -> None:
    for name in ("desktop", "web", "android", "ios", "windows"):
        target = load_target(name)
        graph = FUSED if target.attention == "fused" else PLAIN
        needed = required_runtime(graph, target.opset_default, target.ir_max)
        for package in target.packages:
            assert version_key(package.onnxruntime) >= version_key(needed.version), package


def test_ceilings_are_those_of_the_lowest_packages() -> None:
    releases = load_runtimes(TABLE).releases
    for name in ("desktop", "web", "android", "ios", "windows", "npu"):
        target = load_target(name)
        lowest = min(version_key(package.onnxruntime) for package in target.packages)
        reads = [release for release in releases if version_key(release.version) <= lowest][-1]
        assert (target.opset_max, target.ir_max) == (reads.opset, reads.ir), name


def test_a_bad_table_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("source: s\nreleases: {1.2.3: {opset: 1}}\noperators: {}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"'releases\.1\.2\.3\.ir' is missing in table\.yaml"):
        load_runtimes(path)
