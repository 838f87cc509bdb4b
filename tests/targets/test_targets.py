"""The data of targets and providers: complete, sourced, strict, and quick to load."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from olive_build import targets
from olive_build.errors import UsageError
from olive_build.targets import DataError, load_provider, load_target
from olive_build.targets.model import ACCURACY_LEVELS, BLOCK_BITS, PRECISIONS
from olive_build.targets.reading import read_mapping

DATA = Path(targets.__file__).parent
TARGETS = ("android", "desktop", "ios", "npu", "web", "windows")
PROVIDERS = (
    "coreml", "cpu", "cuda", "directml", "nnapi", "openvino", "qnn", "wasm", "webgpu", "xnnpack",
)  # fmt: skip


def test_names() -> None:
    assert targets.target_names() == TARGETS
    assert targets.provider_names() == PROVIDERS


@pytest.mark.parametrize(
    ("name", "layout", "variants", "attention", "compose", "provider", "language"),
    [
        ("desktop", "plain", ("fast",), "fused", "single-file", "cpu", "python"),
        (
            "web",
            "transformers.js",
            ("fp32", "fp16", "q8"),
            "plain",
            "none",
            "wasm",
            "transformers_js",
        ),
        ("android", "mobile", ("int8", "fp32"), "plain", "single-file", "xnnpack", "kotlin"),
        ("ios", "mobile", ("int8", "fp32"), "plain", "single-file", "coreml", "swift"),
        ("windows", "plain", ("fp16",), "fused", "single-file", "directml", "csharp"),
        ("npu", "plain", ("w8a16",), "plain", "none", "qnn", "python"),
    ],
)  # fmt: skip
def test_defaults(
    name: str,
    layout: str,
    variants: tuple[str, ...],
    attention: str,
    compose: str,
    provider: str,
    language: str,
) -> None:
    target = load_target(name)
    assert target.name == name
    assert (target.layout, target.default_variants) == (layout, variants)
    assert (target.attention, target.compose) == (attention, compose)
    assert (target.default_provider, target.language) == (provider, language)
    assert target.default_formats == (("onnx", "ort") if layout == "mobile" else ("onnx",))


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_a_source_for_everything(name: str) -> None:
    target = load_target(name)
    for package in (*target.packages, *target.extension_packages, *target.training_packages):
        assert package.why and package.source, package
        assert package.lowest[0].isdigit()
    assert target.claims
    assert all(claim.what and len(claim.source) > 10 for claim in target.claims)


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_lists_exists(name: str) -> None:
    target = load_target(name)
    for provider in target.providers:
        assert load_provider(provider).name == provider
        assert target.packages_for(provider)
    fused = load_provider(target.default_provider).contrib_attention
    assert target.attention == "plain" or fused


def test_one_opset_for_all_targets() -> None:
    loaded = [load_target(name) for name in TARGETS]
    assert {target.opset_default for target in loaded} == {18}
    for target in loaded:
        ceilings = [load_provider(provider).opset_max for provider in target.providers]
        assert all(ceiling is None or target.opset_default <= ceiling for ceiling in ceilings)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_has_sources_and_operators(name: str) -> None:
    provider = load_provider(name)
    assert provider.claims
    assert all(claim.what and claim.source for claim in provider.claims)
    operators = provider.operators()
    keys = [(operator.domain, operator.name) for operator in operators]
    assert ("ai.onnx", "MatMul") in keys
    assert len(set(keys)) == len(keys)
    attention = ("com.microsoft", "Attention") in keys
    assert attention or not provider.contrib_attention
    assert provider.contrib_attention == (provider.no_attention_because == "")
    assert (provider.shapes == "any") == (provider.shapes_because == "")


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_decided_with_a_source(name: str, precision: str) -> None:
    support = load_provider(name).support_of(precision)
    assert support.runs in ("native", "fallback", "refused")
    assert len(support.how) > 10
    known = ("https://", "measured: ", "assumed", "onnxruntime 1.31.1 wheel")
    assert any(text in support.source for text in known), support.source


REFUSED = [
    (name, item.precision)
    for name in PROVIDERS
    for item in load_provider(name).support
    if item.runs == "refused"
]


@pytest.mark.parametrize(("name", "precision"), REFUSED)
def test_what_is_written_instead_runs_there(name: str, precision: str) -> None:
    import yaml

    from olive_build.methods import precision_of
    from olive_build.recipe.quantize import layered

    provider = load_provider(name)
    written = yaml.safe_load(provider.support_of(precision).instead)["quantize"]
    other = precision_of(layered([written], written["method"]))
    assert other != precision
    assert provider.support_of(other).runs != "refused"


@pytest.mark.parametrize("name", PROVIDERS)
def test_blocks_have_a_level_with_a_kernel_or_a_reason(name: str) -> None:
    provider = load_provider(name)
    allowed = {
        bits for precision, bits in BLOCK_BITS.items()
        if provider.support_of(precision).runs != "refused"
    }  # fmt: skip
    assert {item.bits for item in provider.blocks} == allowed
    for item in provider.blocks:
        assert bool(item.otherwise) == (item.levels != ACCURACY_LEVELS)
        assert not item.levels or provider.block_level(item.bits) in item.levels
        assert any(text in item.source for text in ("https://", "measured: ", "assumed"))


def test_what_is_known_of_kernels_for_blocks() -> None:
    assert [load_provider("cpu").block_level(bits) for bits in (4, 8)] == [0, 4]
    assert [load_provider("webgpu").block_level(bits) for bits in (4, 8)] == [0, 0]
    assert [item.levels for item in load_provider("wasm").blocks] == [(), ()]
    assert load_provider("qnn").blocks == ()


@pytest.mark.parametrize("target", TARGETS)
def test_no_default_variant_has_blocks_without_a_kernel(target: str) -> None:
    loaded = load_target(target)
    blocks = load_provider(loaded.default_provider).blocks
    lacking = {"q4", "q4f16"} if any(not item.levels for item in blocks) else set()
    assert not lacking & set(loaded.default_variants)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("levels: [4]", "levels: [5]", r"'blocks\.weight-int8\.levels' has 5, not one of 0, 1"),
        ("levels: [4]", "levels: [4, 4]", "must be a list of different whole numbers"),
        ("levels: [4]", "levels: ['4']", "must be a list of different whole numbers"),
        ("  weight-int8: {levels", "  w8a8: {levels", r"'blocks\.w8a8' has no place in cpu\.yaml"),
        ("  int4: {levels: [0, ", "  fp32: {levels: [0, ", r"'blocks\.fp32' has no place"),
    ],
)
def test_wrong_data_of_blocks_is_an_error(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    text = (DATA / "providers" / "cpu.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "cpu.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        targets.read_provider(path)


def test_what_a_provider_must_refuse() -> None:
    assert {
        ("qnn", "int8"), ("qnn", "int4"), ("xnnpack", "fp16"), ("webgpu", "w8a8"),
        ("directml", "w8a16"), ("nnapi", "w8a16"),
    } <= set(REFUSED)  # fmt: skip
    assert load_provider("qnn").precisions == ("fp16", "w8a8", "w8a16")
    assert load_provider("qnn").needs_fixed_shapes
    assert not load_provider("webgpu").contrib_attention
    assert "mask" in load_provider("webgpu").no_attention_because


def test_a_precision_left_out_is_an_error_of_the_data(tmp_path: Path) -> None:
    text = (DATA / "providers" / "qnn.yaml").read_text(encoding="utf-8")
    path = tmp_path / "qnn.yaml"
    path.write_text(text.replace("  fp16:", "  fp61:"), encoding="utf-8")
    with pytest.raises(DataError, match=r"'precisions\.fp16' is missing in qnn\.yaml"):
        targets.read_provider(path)


def test_a_refusal_without_a_way_out_is_an_error_of_the_data(tmp_path: Path) -> None:
    text = (DATA / "providers" / "cuda.yaml").read_text(encoding="utf-8")
    path = tmp_path / "cuda.yaml"
    path.write_text(text.replace("    instead:", "    #"), encoding="utf-8")
    with pytest.raises(DataError, match=r"'precisions\.w8a16\.instead' is missing"):
        targets.read_provider(path)


def test_default_variants_are_for_their_provider() -> None:
    needs = {"q8": "int8", "q4": "int4", "fast": "int8"}  # others are named as their precision
    for name in TARGETS:
        target = load_target(name)
        provider = load_provider(target.default_provider)
        runs = provider.precisions + provider.precisions_by_fallback
        assert all(needs.get(variant, variant) in runs for variant in target.default_variants)


def test_wasm_has_the_operators_of_the_cpu() -> None:
    assert load_provider("wasm").operators() == load_provider("cpu").operators()


def test_operators_match_the_installed_runtime() -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kernels = state.get_registered_ep_kernel_defs("CPUExecutionProvider")
    here = {(kernel.domain or "ai.onnx", kernel.op_name) for kernel in kernels}
    listed = {(entry.domain, entry.name) for entry in load_provider("cpu").operators()}
    assert listed == {key for key in here if key[0] != "com.microsoft.nchwc"}


@pytest.mark.parametrize("kind", [load_target, load_provider])
def test_unknown_names_say_what_was_meant(kind: object) -> None:
    name, near = ("androit", "android") if kind is load_target else ("direct-ml", "directml")
    with pytest.raises(UsageError) as caught:
        kind(name)  # type: ignore[operator]
    assert name in caught.value.what
    assert caught.value.hint == f"did you mean '{near}'?"
    assert near in (caught.value.why or "")


def test_an_unlike_name_gets_no_guess() -> None:
    with pytest.raises(UsageError) as caught:
        load_target("refrigerator")
    assert caught.value.hint is None


def test_a_path_is_not_a_name() -> None:
    with pytest.raises(UsageError):
        load_target("providers/cpu")


def test_loading_is_quick_and_kept() -> None:
    load_target("desktop")  # PyYAML itself is imported once
    load_target.cache_clear()
    started = time.perf_counter()
    first = load_target("web")
    assert time.perf_counter() - started < 0.05
    assert load_target("web") is first


def test_import_is_light() -> None:
    heavy = "yaml torch onnx onnxruntime numpy transformers pydantic click olive"
    code = (
        "import sys, olive_build.targets, olive_build.targets.check;"
        f"print([m for m in {heavy.split()} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


GOOD_TARGET = (DATA / "desktop.yaml").read_text(encoding="utf-8")
GOOD_PROVIDER = (DATA / "providers" / "cpu.yaml").read_text(encoding="utf-8")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("opset_max:", "opset_maximum:", "'opset_max' is missing"),
        ("language: python", "language: python\ncolour: red", "'colour' is unknown; known here: "),
        ("opset_max: 22", "opset_max: high", "'opset_max' must be a whole number above zero"),
        ("opset_max: 22", "opset_max: true", "'opset_max' must be a whole number above zero"),
        ("opset_default: 18", "opset_default: 99", "opset_default 99 is above opset_max 22"),
        ("layout: plain", "layout: flat", "'layout' is 'flat', not one of plain, "),
        ("[cpu, cuda, openvino]", "[cpu, gpu]", "'providers' is 'gpu', not one of coreml, "),
        ("[cpu, cuda, openvino]", "[cpu, cpu]", "'providers' has an entry twice"),
        ("default_provider: cpu", "default_provider: wasm", "'default_provider' is 'wasm'"),
        ("formats: [onnx]", "formats: onnx", "'formats' must be a list"),
        ("title: Desktop and server", "title: ''", "'title' must be a text"),
        ("title: Desktop and server", "title: [a]", "'title' must be a text"),
        ("    ecosystem: pypi\n", "", "'packages[0].ecosystem' is missing"),
        ("ecosystem: pypi", "ecosystem: cargo", "'packages[0].ecosystem' is 'cargo'"),
        ("lowest: 1.22.0", "lowest: 1.22", "'packages[0].lowest' must be a text"),
        ("training_packages:", "trained_packages:", "'training_packages' is missing"),
        ("    lowest: 1.19.2\n", "", "'training_packages[0].lowest' is missing"),
        ("    onnxruntime: 1.19.2\n", "", "training-cpu does not say which onnxruntime"),
        ("title: Desktop", "title: x\ntitle: Desktop", "key 'title' twice"),
        ("\nclaims:", "\nclaims: [{what: x}]\nothers:", "'claims[0].source' is missing"),
        ("\nclaims:", "\nclaims: []\nothers:", "'others' is unknown"),
    ],
)
def test_a_bad_target_file_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD_TARGET
    path = write(tmp_path / "desktop.yaml", GOOD_TARGET.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        targets.read_target(path)
    assert message in caught.value.what
    assert "desktop.yaml" in caught.value.what
    assert str(path) in (caught.value.where or "")


def test_a_target_without_claims_is_refused(tmp_path: Path) -> None:
    text = GOOD_TARGET[: GOOD_TARGET.index("claims:")] + "claims: []\n"
    with pytest.raises(DataError, match=r"no claim in desktop\.yaml"):
        targets.read_target(write(tmp_path / "desktop.yaml", text))


def test_a_provider_needs_a_package(tmp_path: Path) -> None:
    text = GOOD_TARGET.replace("ir_max", "ir_max", 1).replace("    providers: [cuda]\n", "", 1)
    only_cuda = text.replace("lowest: 1.22.0\n", "lowest: 1.22.0\n    providers: [cuda]\n")
    path = write(tmp_path / "desktop.yaml", only_cuda.replace("    providers: [openvino]\n", ""))
    with pytest.raises(DataError, match="no package for provider cpu"):
        targets.read_target(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  int4:", "  int3:", "'precisions.int3' is unknown"),
        ("runs: fallback", "runs: slowly", "'precisions.fp16.runs' is 'slowly', not one of"),
        ("opset_max: null", "opset_max: none", "'opset_max' must be a whole number"),
        ("opset_max: null\n", "", "'opset_max' is missing"),
        ("shapes: any", "shapes: some", "'shapes' is 'some', not one of any, "),
        ("shapes: any", "shapes: fixed", "'shapes_because' is missing"),
        ("axes: true", "axes: 1", "'takes_symbolic_axes' must be true or false"),
    ],
)
def test_a_bad_provider_file_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD_PROVIDER
    path = write(tmp_path / "cpu.yaml", GOOD_PROVIDER.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        targets.read_provider(path)
    assert message in caught.value.what
    assert "cpu.yaml" in caught.value.what


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("domains: {ai.onnx: {Add: null}}", "'source' is missing"),
        ("source: s\ndomains: []", "'domains' must be a mapping"),
        ("source: s\ndomains: {ai.onnx: [Add]}", "'domains.ai.onnx' is not a mapping"),
        ("source: s\ndomains: {ai.onnx: {Add: 2}}", "'domains.ai.onnx.Add' must be a text"),
        ("source: s\ndomains: {ai.onnx: {Add: null, Add: null}}", "key 'Add' twice"),
        ("- a list", "is not a mapping"),
        ("a: [1", "is not YAML"),
        ("", "is not a mapping"),
    ],
)
def test_a_bad_operator_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "cpu.operators.yaml", text)
    with pytest.raises(DataError) as caught:
        targets.read_operators(path)
    assert message in caught.value.what
    assert "cpu.operators.yaml" in caught.value.what


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"cannot read x\.yaml"):
        read_mapping(path)
    with pytest.raises(DataError, match=r"cannot read none\.yaml"):
        read_mapping(tmp_path / "none.yaml")


def test_no_data_file_lies_unread() -> None:
    stems = {path.stem for path in (DATA / "providers").glob("*.operators.yaml")}
    used = {load_provider(name).operators_of for name in PROVIDERS}
    assert {stem.removesuffix(".operators") for stem in stems} == used
