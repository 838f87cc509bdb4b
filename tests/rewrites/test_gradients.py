"""The list of operators with a gradient says what the toolchain does, of each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradient_cases import TRAINED, Case
from gradient_layer_cases import CRASHING, FIXED, LAYERS, REFUSED
from onnx import helper
from toolchain_gradients import Outcome, outcomes

from olive_build.rewrites.clean import SCOPES
from olive_build.rewrites.gradients import TRAINABLE, layer_of, operators_without_gradient

RIGHT: dict[str, Case] = {**TRAINED, **LAYERS}


@pytest.fixture(scope="module")
def found(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    trials = {name: case.trial(free=True) for name, case in RIGHT.items()}
    trials |= {name: case.trial() for name, case in {**FIXED, **REFUSED}.items()}
    trials |= {name: case.trial(free=True) for name, case in CRASHING.items()}
    folder = tmp_path_factory.mktemp("gradients")
    return outcomes(training_python, trials, folder, alone=tuple(CRASHING))


@pytest.mark.parametrize("name", [*RIGHT, *FIXED])
def test_what_is_allowed_has_the_gradient_of_pytorch(name: str, found: dict[str, Outcome]) -> None:
    case, free = {**RIGHT, **FIXED}[name], name in RIGHT
    assert operators_without_gradient(case.trial(free=free).model, ["w"]) == []
    assert found[name].right, found[name]


@pytest.mark.parametrize("name", [*REFUSED, *CRASHING])
def test_what_is_refused_fails_in_the_toolchain_or_is_wrong(
    name: str, found: dict[str, Outcome]
) -> None:
    case = {**REFUSED, **CRASHING}[name]
    findings = operators_without_gradient(case.trial(free=name in CRASHING).model, ["w"])
    assert [finding.parameters for finding in findings] == [("w",)]
    assert findings[0].reason
    assert not found[name].right, found[name]


def test_every_operator_of_the_list_was_tried() -> None:
    tried = {node.op_type for case in (*RIGHT.values(), *FIXED.values()) for node in case.nodes}
    assert tried >= TRAINABLE


def test_what_is_not_on_the_way_is_not_asked_for() -> None:
    case = REFUSED["InstanceNormalization"]
    assert operators_without_gradient(case.trial().model, []) == []


def test_a_batch_normalization_is_found_even_when_all_below_it_is_frozen() -> None:
    findings = operators_without_gradient(REFUSED["BatchNormalization"].trial().model, [])
    assert [finding.operator for finding in findings] == ["BatchNormalization"]


def test_a_parameter_that_the_outputs_do_not_depend_on_is_found() -> None:
    model = TRAINED["Relu"].trial().model
    model.graph.initializer.add(name="unused", data_type=1, dims=[0])
    (finding,) = operators_without_gradient(model, ["w", "unused"])
    assert (finding.operator, finding.parameters) == ("", ("unused",))


def traced(*scopes: str) -> object:
    node = helper.make_node("Relu", ["a"], ["b"])
    node.metadata_props.add(key=SCOPES, value=repr([*scopes]))
    return node


@pytest.mark.parametrize(
    ("scopes", "layer"),
    [
        (("", "model", "model.encoder", "model.encoder.norm", "n"), "encoder.norm"),
        # An activation has no parameters; the module round it has.
        (("", "model", "model.encoder", "model.encoder.act", "n"), "encoder.act"),
        (("", "elsewhere.act", "n"), "elsewhere.act"),
        (("",), ""),
    ],
)
def test_a_layer_is_named_as_its_parameters_are(scopes: tuple[str, ...], layer: str) -> None:
    assert layer_of(traced(*scopes), {"encoder", "encoder.norm"}) == layer  # type: ignore[arg-type]
