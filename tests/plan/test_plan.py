"""The plans of shipped recipes, as golden texts, and what a plan shares and keeps apart."""

from __future__ import annotations

import os
from dataclasses import replace
from inspect import isabstract
from pathlib import Path
from typing import Any

import pytest

from olive_build import rooms
from olive_build.bundle.purpose import Purpose
from olive_build.engine.step import Step
from olive_build.errors import PlanError
from olive_build.families.sentence_embedding.modules import Normalize, Pooling
from olive_build.families.sentence_embedding.settings import Settings
from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts
from olive_build.families.whisper.spec import inspect
from olive_build.methods import Method
from olive_build.methods.auto import Auto
from olive_build.methods.dynamic_int8 import DynamicInt8
from olive_build.methods.fp16 import Fp16
from olive_build.methods.static_int8 import StaticInt8
from olive_build.methods.steps.tables import QuantizeEmbeddings
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.methods.weight_only import WeightOnly
from olive_build.plan import STAGES
from olive_build.plan.planner import make_plan
from olive_build.plan.types import DESCRIPTION, LATENCY, MEMORY, QUALITY, Inspected, Model, Plan
from olive_build.recipe.build import Budgets, ComponentBuild, Variant
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve, resolve_all
from olive_build.steps.measuring import MeasureFootprint, MeasureLatency
from olive_build.steps.samples import CalibrationInputs

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("all-minilm-l6-v2.plan.txt")
WHISPER_GOLDEN = Path(__file__).with_name("whisper-digits.plan.txt")
FACTS = SentenceEmbeddingFacts(
    architecture="bert",
    layers=6,
    heads=12,
    hidden=384,
    dimensions=384,
    transformer="",
    modules=(
        Pooling(("mean",), True),
        Normalize("sentence_embedding", "sentence_embedding"),
    ),
    settings=Settings(256, False, "", None, False, ()),
    no_graph="",
    notes=(),
    inputs=("input_ids", "attention_mask", "token_type_ids"),
    client_files=("config.json", "tokenizer.json", "tokenizer_config.json"),
)


def plan_of(*overrides: str, smoke: bool = False, facts: SentenceEmbeddingFacts = FACTS) -> Plan:
    loaded = load_recipe(ROOT / "recipes" / "all-minilm-l6-v2.yaml", overrides=overrides)
    model = Model("/models/minilm", "a" * 64, "package x", "1.0", facts)
    inspected = [
        Inspected(build, model, samples("sentences.jsonl", "calibration.jsonl"))
        for build in resolve_all(loaded)
    ]
    return make_plan(inspected, smoke=smoke)


def samples(data: str, calibration: str) -> dict[str, tuple[str, str]]:
    digests = {"data": (f"/data/{data}", "b" * 64)}
    return digests | {"calibration": (f"/data/{calibration}", "c" * 64)}


def text_of(plan: Plan) -> str:
    names = {node.id: node.slot for node in plan.graph.nodes}
    names.update({leaf.id: Path(leaf.path).name for leaf in plan.graph.leaves})
    lines = []
    for node in plan.graph.nodes:
        inputs = ", ".join(f"{name}: {names[source]}" for name, source in node.inputs)
        lines.append(f"{node.slot}\n    {node.step!r}\n    {inputs}\n")
    return "".join(lines)


def assert_golden(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was rewritten; read the difference")
    assert text == path.read_text(encoding="utf-8")


def test_the_plan_of_the_shipped_recipe() -> None:
    assert_golden(GOLDEN, text_of(plan_of()))


def kinds(plan: Plan) -> list[str]:
    return [type(node.step).__name__ for node in plan.graph.nodes]


def test_work_that_targets_share_is_one_node() -> None:
    found = kinds(plan_of())
    for kind in ("Export", "FuseAttention", "BuildPart", "FixShapes"):
        assert found.count(kind) == 1
    assert found.count("Reference") == 2  # the npu's texts are cut at its fixed length
    assert found.count("QuantizeDynamicInt8") == 3  # fast, faithful; plain for web, android and ios
    assert found.count("ConvertToOrt") == 2  # android's and ios's are the same


def test_only_what_has_its_provider_here_is_timed() -> None:
    nodes = plan_of().graph.nodes
    timed = [node.slot for node in nodes if isinstance(node.step, MeasureLatency)]
    assert timed == [f"all-minilm-l6-v2/fused/{name}/latency" for name in ("fast", "faithful")]
    assert "MeasureLatency" not in kinds(plan_of("verify.timing=false"))


def test_a_target_is_measured_for_a_minute_at_most_and_limited_memory_to_its_end() -> None:
    nodes = plan_of().graph.nodes
    steps = [n.step for n in nodes if isinstance(n.step, MeasureLatency | MeasureFootprint)]
    assert sum(step.seconds or 0.0 for step in steps) == 60
    ends = {n.slot: n.step.seconds for n in nodes if isinstance(n.step, MeasureFootprint)}
    assert [slot for slot, end in ends.items() if end is None] == [
        "all-minilm-l6-v2/fused/footprint-pytorch"
    ]
    for limit in ("memory_mb: 900", "memory_ratio: 2", "regression: {memory: 1.1}"):
        limited = plan_of(f"targets.desktop.verify.budgets={{fast: {{{limit}}}}}").graph.nodes
        found = [n.step for n in limited if isinstance(n.step, MeasureFootprint)]
        assert {step.seconds for step in found} == {None}


def test_of_a_miniature_nothing_is_timed() -> None:
    plan, smoke = plan_of(), plan_of(smoke=True)
    gone = {node.slot for node in plan.graph.nodes} - {node.slot for node in smoke.graph.nodes}
    assert {slot.rpartition("/")[2].partition("-")[0] for slot in gone} == {"latency", "footprint"}


def test_nothing_longer_than_the_model_takes_is_timed() -> None:
    plan = plan_of(facts=replace(FACTS, settings=replace(FACTS.settings, max_length=64)))
    steps = [n.step for n in plan.graph.nodes if isinstance(n.step, MeasureLatency)]
    assert [step.tokens for step in steps] == [(16, 64)] * 2


def test_settings_of_one_target_have_slots_of_their_own() -> None:
    plan = plan_of("targets.ios.quantize={method: dynamic-int8, per_channel: false}")
    slots = [node.slot for node in plan.graph.nodes]
    assert len(set(slots)) == len(slots)
    assert "all-minilm-l6-v2/ios/plain/int8/compose" in slots


def test_a_cpu_of_another_platform_is_not_this_one() -> None:
    plan = plan_of("targets.windows.provider=cpu")
    windows = next(b for b in plan.bundles if b.build.target == "windows")
    assert [variant.measuring(LATENCY) for variant in windows.variants] == [{}]
    assert Purpose().status("windows", "cpu").startswith("prepared, not run")
    assert Purpose().status("desktop", "cpu").startswith("proved")


@pytest.mark.parametrize(("compose", "takes"), [("single-file", "text"), ("none", "tokens")])
def test_pytorch_is_timed_on_what_the_file_is_given(compose: str, takes: str) -> None:
    plan = plan_of(f"targets.desktop.compose={compose}")
    steps = [node.step for node in plan.graph.nodes if type(node.step).__name__ == "MeasureLatency"]
    assert [step.takes for step in steps] == [takes] * 2  # type: ignore[attr-defined]


def test_two_passes_at_one_place_run_in_the_order_of_the_recipe() -> None:
    passes = (
        "passes=[{pass: OnnxPeepholeOptimizer, after: export}, "
        "{pass: OnnxOpVersionConversion, after: export, options: {target_opset: 19}}]"
    )
    plan = plan_of(passes)
    by_id = {node.id: node for node in plan.graph.nodes}
    fuse = next(node for node in plan.graph.nodes if type(node.step).__name__ == "FuseAttention")
    second = by_id[dict(fuse.inputs)["model"]]
    first = by_id[dict(second.inputs)["model"]]
    names = [node.step.name for node in (first, second)]  # type: ignore[attr-defined]
    assert names == ["OnnxPeepholeOptimizer", "OnnxOpVersionConversion"]


def test_a_pass_for_one_variant_leaves_the_others_alone() -> None:
    plan = plan_of(
        "targets.web.passes=[{pass: OnnxPeepholeOptimizer, after: export, variants: [q8]}]"
    )
    bundle = next(b for b in plan.bundles if b.build.target == "web")
    by_id = {node.id: node for node in plan.graph.nodes}

    def ancestors(node_id: str) -> set[str]:
        node = by_id.get(node_id)
        if node is None:
            return set()
        above = {kind for _, source in node.inputs for kind in ancestors(source)}
        return {type(node.step).__name__, *above}

    with_pass = {v.variant.name for v in bundle.variants if "OlivePass" in ancestors(v.model)}
    assert with_pass == {"q8"}


def test_a_model_without_attention_has_nothing_to_fuse() -> None:
    found = kinds(plan_of(facts=replace(FACTS, layers=0)))
    assert not {"FuseAttention", "SeparateProjection"} & set(found)
    assert "FuseAttention" in kinds(plan_of())


def test_a_variant_is_compared_with_its_fp32_graph_and_that_graph_with_pytorch_alone() -> None:
    plan = plan_of()
    by_id = {node.id: dict(node.inputs) for node in plan.graph.nodes}
    seen = set()
    for bundle in plan.bundles:
        for variant in bundle.variants:
            is_fp32 = variant.model == variant.fp32
            seen.add(is_fp32)
            for node in variant.measuring(QUALITY).values():
                baseline = by_id[node].get("baseline")
                assert (baseline is None) == is_fp32
                assert is_fp32 or by_id[baseline or ""]["model"] == variant.fp32
    assert seen == {True, False}


def all_steps(kind: type[Step] = Step) -> list[type[Step]]:
    """Return the classes of steps in our rooms."""
    for room in ("steps", "methods.steps", "training.steps"):
        for name in rooms.names(room):
            rooms.module(room, name)
    below = [step for child in kind.__subclasses__() for step in (child, *all_steps(child))]
    return [s for s in below if "tiny_steps" not in s.__module__ and not isabstract(s)]


def test_every_step_belongs_to_a_stage_that_a_build_can_end_with() -> None:
    without = {step.__name__ for step in all_steps() if step.stage not in STAGES}
    # A pass belongs to the stage that its recipe names; the rest is not part of a build.
    assert without == {
        *("OlivePass", "Miniature", "LoadCheck", "MergeAdapter", "CheckTraining", "ReadModel"),
        *("MeasureDamage", "MeasureSpeed"),
    }


def whisper_plan(method: Method | None = None, **changes: Any) -> Plan:
    """The plan of whisper-digits, or of its desktop target with one variant by `method`."""
    recipe = ROOT / "recipes" / "whisper-digits.yaml"
    facts = inspect(recipe.with_name("whisper-digits") / "model")
    model = Model("/models/whisper", "a" * 64, "path", "", facts)
    builds = resolve_all(load_recipe(recipe))
    if method is not None:
        variant = Variant("it", "int8", method, "gated", None, Budgets())
        builds = (replace(builds[0], variants=(variant,), **changes),)
    files = samples("test.npz", "calibration.npz")
    return make_plan([Inspected(build, model, files) for build in builds])


def test_the_plan_of_a_model_of_several_graphs() -> None:
    assert_golden(WHISPER_GOLDEN, text_of(whisper_plan()))


def test_components_are_exported_once_and_quantized_before_they_are_joined() -> None:
    plan = whisper_plan()
    found = kinds(plan)
    assert found.count("Export") == 3  # encoder, first step, later steps; for all targets
    assert found.count("ShareTiedWeight") == 2
    assert found.count("BuildPart") == 2  # sound to log-mel, ids to text
    by_id = {node.id: node for node in plan.graph.nodes}
    joined = [node for node in plan.graph.nodes if type(node.step).__name__ in ("Compose", "Join")]
    assert {type(node.step).__name__ for node in joined} == {"Compose", "Join"}
    for node in joined:
        for name, source in node.inputs:
            if name not in ("source", "audio", "detokenizer"):
                assert type(by_id[source].step).__name__ not in ("BuildPart", "Compose", "Join")
    assert "CalibrationInputs" not in found


def test_parts_of_a_layout_of_several_files_are_proved_together() -> None:
    plan = whisper_plan()
    web = next(bundle for bundle in plan.bundles if bundle.build.target == "web")
    files = {"encoder_model", "decoder_model_merged"}
    assert {name for variant in web.variants for name in variant.graphs} == files
    assert {name for variant in web.variants for name in variant.measuring(DESCRIPTION)} == files
    by_id = {node.id: dict(node.inputs) for node in plan.graph.nodes}
    run = by_id[by_id[web.variants[0].measuring(QUALITY)["onnx"]]["outputs"]]
    assert {"source", "audio", "detokenizer", *(f"model.{file}" for file in files)} <= set(run)


INT8 = DynamicInt8(per_token="none")
FP16 = Fp16()
STATIC = StaticInt8()
BLOCKS = WeightOnly(accuracy_level=0)


@pytest.mark.parametrize(
    "method",
    [
        replace(INT8, smooth=True),
        replace(INT8, rounding="gptq"),
        replace(BLOCKS, smooth=True),
        replace(BLOCKS, algorithm="gptq"),
        STATIC,
    ],
    ids=["smooth", "rounding", "blocks, smooth", "blocks, gptq", "static-int8"],
)
def test_the_components_before_one_are_run_for_its_calibration_inputs(method: Method) -> None:
    plan = whisper_plan(method)
    slots = {node.id: node.slot for node in plan.graph.nodes}
    found = {
        node.step.component: {slots[i] for n, i in node.inputs if n not in ("source", "data")}
        for node in plan.graph.nodes
        if isinstance(node.step, CalibrationInputs)
    }
    export = "whisper-digits/{}/export".format
    assert found == {
        "encoder": set(),
        "decoder": {export("encoder")},
        "decoder_with_past": {export("encoder"), export("decoder")},
    }
    for node in plan.graph.nodes:
        for name, source in node.inputs:
            if name == "calibration":
                assert slots[source].split("/")[1] in node.slot.split("/")


def test_no_search_is_planned() -> None:
    with pytest.raises(PlanError):
        whisper_plan(Auto(10.0, 0))


@pytest.mark.parametrize("method", [INT8, BLOCKS, replace(BLOCKS, algorithm="k-quant"), FP16])
def test_methods_that_look_at_weights_alone_are_planned(method: Method) -> None:
    assert "CalibrationInputs" not in kinds(whisper_plan(method))


def test_a_table_that_a_product_reads_too_has_int8_rows_beside_blocks_of_weights() -> None:
    steps = [node.step for node in whisper_plan(BLOCKS).graph.nodes]
    assert len([step for step in steps if isinstance(step, QuantizeEmbeddings)]) == 3
    assert not any(step.embeddings for step in steps if isinstance(step, QuantizeWeights))
    kept = [node.step for node in whisper_plan(replace(BLOCKS, embeddings=False)).graph.nodes]
    assert not any(isinstance(step, QuantizeEmbeddings) for step in kept)


def mixed_plan(*overrides: str) -> Plan:
    """The plan of whisper-digits' desktop: fp16, but for what the overrides say of components."""
    recipe = ROOT / "recipes" / "whisper-digits.yaml"
    said = ("variants.mixed.quantize={method: fp16}", "targets.desktop.variants=[mixed]")
    build = resolve(load_recipe(recipe, overrides=(*said, *overrides)), "desktop")
    facts = inspect(recipe.with_name("whisper-digits") / "model")
    model = Model("/models/whisper", "a" * 64, "path", "", facts)
    files = samples("test.npz", "calibration.npz")
    return make_plan([Inspected(build, model, files)])


def by_slot(plan: Plan, stage: str) -> dict[str, Any]:
    """The steps of a stage by component."""
    found = [node for node in plan.graph.nodes if node.slot.endswith(f"/{stage}")]
    return {node.slot.split("/")[-2]: node.step for node in found}


def test_each_component_is_planned_by_what_is_said_of_it() -> None:
    plan = mixed_plan(
        "variants.mixed.components={encoder: {quantize: {method: dynamic-int8}}}",
        "targets.desktop.components={decoder: {fuse: {attention: plain}}}",
    )
    found = {name: type(step).__name__ for name, step in by_slot(plan, "quantize").items()}
    fp16 = dict.fromkeys(("decoder", "decoder_with_past"), "ConvertToFp16")
    assert found == {"encoder": "QuantizeDynamicInt8", **fp16}
    assert set(by_slot(plan, "fuse")) == {"encoder", "decoder_with_past"}


def test_passes_of_a_component_are_planned_for_it_alone() -> None:
    said = "components.encoder.passes=[{pass: OnnxPeepholeOptimizer, before: quantize}]"
    slots = [node.slot for node in mixed_plan(said).graph.nodes]
    passes = {slot.split("/")[-2] for slot in slots if slot.endswith("OnnxPeepholeOptimizer")}
    assert passes == {"encoder"}


def test_what_the_model_has_no_component_for_is_refused_with_what_it_has() -> None:
    build = resolve(load_recipe(ROOT / "recipes" / "all-minilm-l6-v2.yaml"), "desktop")
    build = replace(build, components=(ComponentBuild("encoder", 18, (), "plain"),))
    model = Model("/models/minilm", "a" * 64, "package x", "1.0", FACTS)
    with pytest.raises(PlanError, match="no component 'encoder'") as caught:
        make_plan(
            [Inspected(build, model, {"data": ("/d", "b" * 64), "calibration": ("/c", "c" * 64)})]
        )
    assert caught.value.why == "it is a bert with model"


def test_a_layout_of_several_files_is_timed_and_weighed_as_one() -> None:
    plan = mixed_plan("targets.desktop.compose=split")
    files = {"encoder_model", "decoder_model_merged"}
    around = {"source", "audio", "detokenizer"}
    found = [node for node in plan.graph.nodes if isinstance(node.step, MeasureLatency)]
    (latency,) = found
    assert isinstance(latency.step, MeasureLatency) and latency.step.several
    assert (latency.step.takes, latency.step.several.parts) == ("audio", ("audio", "detokenizer"))
    both = {f"{prefix}.{file}" for prefix in ("model", "baseline") for file in files}
    assert {name for name, _ in latency.inputs} == both | around
    (variant,) = plan.bundles[0].variants
    by_id = {node.id: {name for name, _ in node.inputs} for node in plan.graph.nodes}
    weighed = {part: by_id[node] for part, node in variant.measuring(MEMORY).items()}
    model = {f"model.{file}" for file in files} | around
    assert weighed == {"this file": model, "fp32 graph": model, "pytorch": {"source"}}
