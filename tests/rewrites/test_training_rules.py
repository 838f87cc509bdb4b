"""Each rewrite for training keeps the numbers, counts what it did, and says what it declined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from cpu_graphs import run
from gradient_cases import Case, ints, node, one
from gradient_layer_cases import CRASHING, LAYERS, POOL, REFUSED, SCALE, normal
from onnx import helper
from toolchain_gradients import Outcome, Trial, outcomes
from torch.nn import functional

from olive_build.rewrites.gradients import operators_without_gradient
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.training_rules import RULES

SELU = one("Selu", functional.selu)
CAST = Case(
    [
        node("CastLike", ["one", "h"], ["same"]),
        node("CastLike", ["h", "double"], ["d"]),
        node("CastLike", ["d", "h"], ["f"]),
        node("Mul", ["f", "same"], ["y"]),
    ],
    torch.clone,
    stored={"one": np.float32(1), "double": np.float64(1)},
)
SEQUENCE = Case(
    [
        node("SplitToSequence", ["h", "n"], ["parts"], axis=2),
        node("SequenceAt", ["parts", "last"], ["b"]),
        node("SequenceAt", ["parts", "first"], ["a"]),
        node("Mul", ["a", "b"], ["y"]),
    ],
    lambda h: h[..., :2] * h[..., 2:],
    stored={"n": np.int64(2), "first": np.int64(0), "last": np.int64(-1)},
)
WEIGHT = normal(16, 1, 3)
DEPTHWISE = one(
    "Conv",
    lambda h: functional.conv1d(
        functional.pad(h, (1, 2)), torch.tensor(WEIGHT), stride=2, dilation=2, groups=16
    ),
    "c",
    group=16,
    pads=[1, 2],
    strides=[2],
    dilations=[2],
    kernel_shape=[3],
    shape=(16, 21),
    stored={"c": WEIGHT},
)
LINE_POOL = one(
    "AveragePool",
    lambda h: functional.avg_pool1d(h, 2, 2),
    kernel_shape=[2],
    strides=[2],
    shape=(4, 9),
)
# Rule -> what it is for, and how often it applies.
APPLIES: dict[str, tuple[str, Case, int]] = {
    "cast like": ("cast-like", CAST, 3),
    "sequence": ("sequence-as-split", SEQUENCE, 1),
    # Selu's definition is of operators that have a gradient; HardSwish's is of HardSigmoid.
    "selu": ("write-out", SELU, 1),
    "hard swish": ("write-out", REFUSED["HardSwish"], 2),
    "elu": ("write-out", REFUSED["Elu"], 1),
    "prelu": ("write-out", REFUSED["PRelu"], 1),
    "gelu by tanh": ("write-out", REFUSED["Gelu by tanh"], 1),
    "group normalization": ("write-out", REFUSED["GroupNormalization"], 1),
    "sum": ("sum-as-add", REFUSED["Sum"], 1),
    "exponent": ("float-exponent", REFUSED["Pow of an integer"], 1),
    "split": ("split-as-slices", REFUSED["Split read in part"], 1),
    "average": ("average-pool-as-convolution", CRASHING["AveragePool with a free batch"], 1),
    "average of a line": ("average-pool-as-convolution", LINE_POOL, 1),
    "groups": ("lift-grouped-convolution", CRASHING["Conv in groups over one axis"], 1),
    "depthwise": ("lift-grouped-convolution", DEPTHWISE, 1),
    "normalization": ("three-output-layer-norm", REFUSED["LayerNormalization with one output"], 1),
}


def prepared(trial: Trial) -> dict[str, Rewritten]:
    return {name: rule(trial.model, ["w"]) for name, rule in RULES.items()}


@pytest.fixture(scope="module")
def found(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    trials = {name: case.trial(free=True) for name, (_, case, _) in APPLIES.items()}
    for trial in trials.values():
        prepared(trial)
    return outcomes(training_python, trials, tmp_path_factory.mktemp("rules"))


@pytest.mark.parametrize("name", APPLIES)
def test_a_rule_applies_and_keeps_the_numbers(name: str) -> None:
    rule, case, count = APPLIES[name]
    trial = case.trial(free=True)
    before = run(trial.model, trial.feeds)[0]
    results = prepared(trial)
    assert results[rule] == Rewritten(count)
    onnx.checker.check_model(trial.model, full_check=True)
    np.testing.assert_allclose(run(trial.model, trial.feeds)[0], before, atol=2e-6)
    assert operators_without_gradient(trial.model, ["w"]) == []


@pytest.mark.parametrize("name", APPLIES)
def test_after_a_rule_the_toolchain_has_the_gradient_of_pytorch(
    name: str, found: dict[str, Outcome]
) -> None:
    assert found[name].right, found[name]


# The others are only another way to write the same, wherever it is.
@pytest.mark.parametrize(
    "name", [n for n, (r, *_) in APPLIES.items() if r not in ("cast-like", "sequence-as-split")]
)
def test_what_is_not_trained_stays_as_it_is(name: str) -> None:
    rule, case, _ = APPLIES[name]
    model = case.trial(free=True).model
    before = model.SerializeToString()
    assert RULES[rule](model, []) == Rewritten(0)
    assert model.SerializeToString() == before


def test_a_lifted_convolution_keeps_its_weight_as_a_parameter() -> None:
    model = DEPTHWISE.trial().model
    RULES["lift-grouped-convolution"](model, ["w", "c"])
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "c")
    assert list(weight.dims) == [16, 1, 3]
    assert [n.op_type for n in model.graph.node] == [
        "Mul",
        "Unsqueeze",
        "Unsqueeze",
        "Conv",
        "Squeeze",
    ]


def test_a_convolution_in_groups_of_which_only_the_weight_is_trained_stays() -> None:
    model = DEPTHWISE.trial().model
    assert RULES["lift-grouped-convolution"](model, ["c"]) == Rewritten(0)
    assert operators_without_gradient(model, ["c"]) == []


def test_a_convolution_in_groups_over_two_axes_stays() -> None:
    model = LAYERS["Conv in groups over two axes"].trial().model
    assert RULES["lift-grouped-convolution"](model, ["w"]) == Rewritten(0)


def unknown(case: Case, name: str) -> Any:
    """Return the model with a stored value made an input, so that it is not known."""
    model = case.trial(free=True).model
    tensor = next(t for t in model.graph.initializer if t.name == name)
    model.graph.initializer.remove(tensor)
    model.graph.input.append(
        helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))
    )
    return model


def test_what_a_rule_does_not_understand_it_declines_with_a_reason() -> None:
    cut = one("AveragePool", torch.clone, ceil_mode=1, **POOL).model(
        normal(4, 6, 6), ["b", 4, 6, 6], 4
    )
    bare = one("AveragePool", torch.clone, **POOL).model(normal(4, 6, 6), ["b", 4, 6, 6], 4)
    declined = {
        "three-output-layer-norm": unknown(REFUSED["LayerNormalization with one output"], "s"),
        "float-exponent": unknown(REFUSED["Pow of an integer"], "c"),
        "sequence-as-split": unknown(SEQUENCE, "n"),
        "lift-grouped-convolution": CRASHING["Conv in groups over three axes"].trial().model,
    }
    reasons = {
        "three-output-layer-norm": "it has no bias, and its scale is no stored value",
        "float-exponent": "its exponent is computed, or its type not known",
        "sequence-as-split": "its parts, or the places read, are not known",
        "lift-grouped-convolution": "it is not over one axis",
    }
    for name, model in declined.items():
        before = model.SerializeToString()
        result = RULES[name](model, ["w"])
        assert (result.count, result.declined[0].partition(": ")[2]) == (0, reasons[name])
        assert model.SerializeToString() == before
    pool = RULES["average-pool-as-convolution"]
    assert "ceil_mode" in pool(cut, ["w"]).declined[0]
    assert "does not count its padding" in pool(bare, ["w"]).declined[0]


def test_a_cast_to_a_type_that_is_not_known_is_declined() -> None:
    model = CAST.trial().model
    model.graph.node.append(node("SequenceAt", ["s", "one"], ["t"]))
    model.graph.node.append(node("CastLike", ["h", "t"], ["z"], name="odd"))
    assert RULES["cast-like"](model, ["w"]).declined == ("odd: the type of 't' is not known",)


def test_a_split_of_unknown_sizes_is_declined() -> None:
    case = Case(
        [node("Split", ["h", "n"], ["a", "y"], "cut", axis=2)],
        lambda h: h[..., 2:],
        stored={"n": ints(2, 2)},
    )
    result = RULES["split-as-slices"](unknown(case, "n"), ["w"])
    assert result == Rewritten(0, ("cut: the sizes of its parts are not known",))


def test_a_trained_parameter_that_nobody_reads_is_left_to_be_reported() -> None:
    model = SELU.trial().model
    model.graph.initializer.add(name="unread", data_type=1, dims=[0])
    RULES["drop-unread"](model, ["w", "unread"])
    assert "unread" in {tensor.name for tensor in model.graph.initializer}


def test_a_normalization_with_a_bias_keeps_it() -> None:
    case = one("LayerNormalization", torch.clone, "s", "s", stored={"s": SCALE})
    model = case.trial().model
    assert RULES["three-output-layer-norm"](model, ["w"]) == Rewritten(1)
    assert list(model.graph.node[1].input) == ["h", "s", "s"]
    assert list(model.graph.node[1].output) == ["y", "y_mean", "y_inverse_deviation"]
    assert RULES["three-output-layer-norm"](model, ["w"]) == Rewritten(0)
