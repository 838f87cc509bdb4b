"""What a language model's plan shares, and what its precisions do by default."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.causal_lm.spec import CausalLmFacts
from olive_build.methods.steps.fp16 import ConvertToFp16
from olive_build.plan.planner import make_plan
from olive_build.plan.types import Inspected, Model, Plan
from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "lamini-neo-125m.yaml"
FACTS = CausalLmFacts(
    architecture="gpt_neo",
    positions=2048,
    bos=50256,
    eos=(50256,),
    pad=None,
    sizes=Sizes(((12, 64),) * 12, ((12, 64),) * 12, 50257, True),
    tied=True,
    client_files=("config.json",),
    inputs=("input_ids",),
)
WEB = ("fp32", "fp16", "q8", "q4", "q4f16")


def plan_of(facts: CausalLmFacts = FACTS, *overrides: str) -> Plan:
    builds = resolve_all(load_recipe(RECIPE, overrides=overrides))
    model = Model("/models/neo", "a" * 64, "hub", "1", facts)
    files = {
        "data": ("/data/test.jsonl", "b" * 64),
        "calibration": ("/data/calibration.jsonl", "c" * 64),
    }
    return make_plan([Inspected(build, model, files) for build in builds])


def kinds(plan: Plan) -> Counter[str]:
    return Counter(type(node.step).__name__ for node in plan.graph.nodes)


def test_the_recipe_builds_what_each_client_asks_for() -> None:
    plan = plan_of()
    variants = {
        bundle.build.target: tuple(item.variant.name for item in bundle.variants)
        for bundle in plan.bundles
    }
    assert variants == {"web": WEB, "desktop": ("fp32", "int8")}


def test_work_is_done_once() -> None:
    found = kinds(plan_of())
    for kind in (
        "Export",
        "ShareTiedWeight",
        "QuantizeTiedTables",
        "QuantizeWeights",
        "FuseCachedAttention",
    ):
        assert found[kind] == 1, kind
    assert (
        not found["FuseAttention"]
        and not found["SeparateProjection"]
        and not found["SimplifyForCpu"]
    )


def test_a_browser_gets_plain_attention() -> None:
    plan = plan_of()
    by_id = {node.id: node for node in plan.graph.nodes}
    web = next(bundle for bundle in plan.bundles if bundle.build.target == "web")
    pending = [by_id[item.model] for item in web.variants]
    while pending:
        node = pending.pop()
        assert type(node.step).__name__ != "FuseCachedAttention"
        pending += [by_id[source] for _, source in node.inputs if source in by_id]


def test_untied_tables_are_left_to_the_quantizer_of_weights() -> None:
    found = kinds(plan_of(replace(FACTS, tied=False)))
    assert (
        not found["QuantizeTiedTables"]
        and not found["ShareTiedWeight"]
        and found["QuantizeWeights"] == 1
    )


def test_caches_are_as_exact_as_what_computes_them() -> None:
    halves = [n.step for n in plan_of().graph.nodes if isinstance(n.step, ConvertToFp16)]
    assert len(halves) == 2 and not any(step.keep_io_types for step in halves)
    asked = plan_of(FACTS, "variants.fp16.quantize={method: fp16, keep_io_types: true}")
    halves = [n.step for n in asked.graph.nodes if isinstance(n.step, ConvertToFp16)]
    assert sorted(step.keep_io_types for step in halves) == [False, True]


def test_int8_arithmetic_of_blocks_is_refused_for_the_web() -> None:
    level = "variants.q4.quantize={method: weight-only, accuracy_level: 4}"
    with pytest.raises(RecipeErrors) as caught:
        plan_of(FACTS, level)
    (found,) = caught.value.diagnostics
    assert "accuracy_level 4 gives wrong results for 'web'" in found.message
