"""The section `train`: defaults, what wins for a target, and what a training build is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from olive_build.errors import RecipeError
from olive_build.recipe.build import (
    Budgets,
    DataSource,
    TargetBuild,
    Variant,
)
from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve, resolve_all
from olive_build.recipe.sections.train import Personalisation, Training, training_of
from olive_build.recipe.sections.train.fields import NOT_IN_ADAMW, NOT_IN_SGD
from olive_build.training.settings import Head, Lora, Loss, Optimizer, Train

Write = Callable[..., Path]
REPOSITORY = Path(__file__).parents[2]
MODEL: dict[str, Any] = {
    "family": "image-classification",
    "licence": "x",
    "source": "hub",
    "sources": {"hub": {"repo": "a/b", "revision": "c" * 40}},
}
HEAD = {"replace": "classifier", "classes": 2}


def recipe(train: dict[str, Any] | None, **other: Any) -> str:
    head = {"recipe": 1, "name": "it", "description": "x", "model": MODEL, "targets": {"ios": {}}}
    return json.dumps(head | ({"train": train} if train is not None else {}) | other)


def built(path: Path, target: str = "ios") -> TargetBuild:
    return resolve(load_recipe(path), target)


def trained(path: Path, target: str = "ios") -> Train:
    return training_of(built(path, target)).train


def refused(path: Path) -> str:
    with pytest.raises(RecipeError) as raised:
        resolve_all(load_recipe(path))
    assert isinstance(raised.value, RecipeErrors)
    return " ".join(raised.value.render().split())


def test_what_is_left_out_has_its_default(written: Write) -> None:
    assert trained(written(recipe({"requires_grad": ["classifier.*"]}))) == Train(
        requires_grad=("classifier.*",),
        frozen=(),
        head=None,
        lora=None,
        loss=Loss("cross-entropy", (), None),
        optimizer=Optimizer("adamw", 1e-3, (0.9, 0.999), 1e-8, 0.01),
        rename=(),
        batch_size=8,
        epochs=10,
        seed=0,
        nominal_checkpoint=False,
    )


def test_everything_that_can_be_said(written: Write) -> None:
    section = {
        "requires_grad": ["a.*", "b.*"],
        "frozen": ["a.c.*"],
        "head": HEAD | {"labels": ["other", "owner"]},
        "lora": {"modules": ["*.query"], "rank": 4, "alpha": 16},
        "loss": {"method": "cross-entropy", "class_weights": [1, 4], "output": "output"},
        "optimizer": {"method": "adamw", "lr": 1e-4, "betas": [0.8, 0.9], "eps": 1e-6}
        | {"weight_decay": 0, "amsgrad": False, "maximize": False},
        "rename": {"pixel_values": "input", "logits": "output"},
        "batch_size": 4,
        "epochs": 3,
        "seed": 7,
        "nominal_checkpoint": True,
    }
    assert trained(written(recipe(section))) == Train(
        requires_grad=("a.*", "b.*"),
        frozen=("a.c.*",),
        head=Head("classifier", 2, ("other", "owner")),
        lora=Lora(("*.query",), 4, 16.0),
        loss=Loss("cross-entropy", (1.0, 4.0), "output"),
        optimizer=Optimizer("adamw", 1e-4, (0.8, 0.9), 1e-6, 0.0),
        rename=(("logits", "output"), ("pixel_values", "input")),
        batch_size=4,
        epochs=3,
        seed=7,
        nominal_checkpoint=True,
    )


def test_the_order_of_names_is_no_other_build(written: Write) -> None:
    first = {"head": HEAD, "rename": {"pixel_values": "input", "logits": "output"}}
    second = {"head": HEAD, "rename": {"logits": "output", "pixel_values": "input"}}
    assert built(written(recipe(first))) == built(written(recipe(second)))


def test_classes_without_names_are_numbered(written: Write) -> None:
    head = trained(written(recipe({"head": {"replace": "fc", "classes": 3}}))).head
    assert head == Head("fc", 3, ("class-0", "class-1", "class-2"))


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("sgd", "SGD")])
def test_defaults_of_optimizers_are_those_of_pytorch(written: Write, name: str, kind: str) -> None:
    import torch

    section = {"head": HEAD, "optimizer": {"method": name}}
    found = trained(written(recipe(section))).optimizer
    defaults = getattr(torch.optim, kind)([torch.nn.Parameter(torch.zeros(1))]).defaults
    for option in ("lr", *(("betas", "eps", "weight_decay") if name == "adamw" else ())):
        assert getattr(found, option) == defaults[option], option
    # What is known and refused is an option there, and what is accepted is its default.
    neutral = {key: defaults[key] for key in (NOT_IN_SGD if name == "sgd" else NOT_IN_ADAMW)}
    assert not any(neutral.values())
    again = {"head": HEAD, "optimizer": {"method": name, **neutral}}
    assert trained(written(recipe(again))).optimizer == found


@pytest.mark.parametrize("method", ["cross-entropy", "mse", "bce-with-logits", "l1"])
def test_every_loss_and_a_single_output(written: Write, method: str) -> None:
    classes = 2 if method == "cross-entropy" else 1
    section = {"head": HEAD | {"classes": classes}, "loss": {"method": method}}
    assert trained(written(recipe(section))).loss == Loss(method)  # type: ignore[arg-type]


def test_a_targets_fields_win_each_as_a_whole(written: Write) -> None:
    common = {
        "head": HEAD,
        "optimizer": {"method": "adamw", "lr": 0.5, "eps": 1e-3},
        "epochs": 4,
        "lora": {"modules": ["*.query"]},
    }
    own = {"optimizer": {"method": "adamw", "lr": 0.1}, "seed": 3, "lora": None}
    path = written(recipe(common, targets={"ios": {}, "web": {"train": own}}))
    ios, web = trained(path), trained(path, "web")
    assert (ios.optimizer.lr, ios.optimizer.eps, ios.seed) == (0.5, 1e-3, 0)
    assert (web.optimizer.lr, web.optimizer.eps, web.seed) == (0.1, 1e-8, 3)
    assert ios.head == web.head and ios.epochs == web.epochs == 4
    assert web.lora == ios.lora == Lora(("*.query",), 8, 8.0)


def test_only_the_target_that_has_a_section_trains(written: Write) -> None:
    verify = {"data": {"file": "d.npz"}, "calibration": {"file": "c.npz"}}
    for name in ("d.npz", "c.npz"):
        written("", name)
    targets = {"ios": {"train": {"head": HEAD}}, "desktop": {"variants": ["fp32"]}}
    path = written(recipe(None, targets=targets, verify=verify, variants={"int8": {}}))
    ios, desktop = resolve_all(load_recipe(path))
    assert ios.section(Training) is not None and ios.data == DataSource(None, None)
    assert desktop.section(Training) is None and desktop.data == DataSource(None, "d.npz")
    assert [variant.name for variant in desktop.variants] == ["fp32"]
    # A training build makes no variant of the recipe's: the one that nobody builds is named.
    (warning,) = load_recipe(path).warnings
    assert warning.message == "no target builds the variant 'int8'"
    assert warning.notes == ("built: fp32",)


@pytest.mark.parametrize(
    ("target", "provider", "formats", "layout"),
    [
        ("ios", "cpu", ("onnx", "ort"), "mobile"),
        ("android", "cpu", ("onnx", "ort"), "mobile"),
        ("desktop", "cpu", ("onnx",), "plain"),
        ("windows", "cpu", ("onnx",), "plain"),
        ("web", "wasm", ("onnx",), "plain"),
    ],
)
def test_what_a_training_build_is(
    written: Write, target: str, provider: str, formats: tuple[str, ...], layout: str
) -> None:
    build = built(written(recipe({"head": HEAD}, targets={target: {}})), target)
    assert (build.provider, build.formats, build.layout) == (provider, formats, layout)
    budgets = Budgets.of({"logits_difference": 1e-4})
    assert build.variants == (Variant("inference", "fp32", None, "gated", None, budgets),)
    assert budgets.limits() == {"logits_difference": 1e-4}
    assert (build.compose, build.attention, build.passes) == ("none", "plain", ())
    assert (build.metric, build.timing, build.opset) == ("logits", False, 18)
    assert build.data == build.calibration == DataSource(None, None)
    assert training_of(build).personalisation is None
    assert hash(build) == hash(built(written(recipe({"head": HEAD}, targets={target: {}})), target))
    assert (
        json.loads(json.dumps(asdict(build)))["sections"][0]["train"]["head"]["replace"]
        == "classifier"
    )


def test_the_provider_may_be_named_and_formats_chosen(written: Write) -> None:
    targets = {"android": {"provider": "cpu", "formats": ["ort"]}}
    build = built(written(recipe({"head": HEAD}, targets=targets)), "android")
    assert (build.provider, build.formats) == ("cpu", ("ort",))


def test_a_fixed_batch_is_the_batch_of_a_step(written: Write) -> None:
    fixed = {"ios": {"export": {"shapes": {"batch_size": 3}}}, "web": {}}
    path = written(recipe({"head": HEAD}, targets=fixed))
    assert (trained(path).batch_size, trained(path, "web").batch_size) == (3, 8)
    same = written(recipe({"head": HEAD, "batch_size": 3}, targets=fixed))
    assert (trained(same).batch_size, trained(same, "web").batch_size) == (3, 3)
    other = refused(written(recipe({"head": HEAD, "batch_size": 8}, targets=fixed)))
    assert "`batch_size` is 8, and the graphs for 'ios' take 3 at once" in other


def test_ten_seconds_of_sound_are_an_axis(written: Write) -> None:
    shapes = {"batch_size": 1, "samples": 160_000}
    model = MODEL | {"family": "audio-classification"}
    path = written(recipe({"head": HEAD}, model=model, export={"shapes": shapes}))
    assert built(path).shapes == (("batch_size", 1), ("samples", 160_000))


def test_trials_are_relative_to_the_recipe(written: Write) -> None:
    written("", "voices/trials.npz")
    section = {"head": HEAD, "personalisation": {"trials": {"file": "../voices/trials.npz"}}}
    model = MODEL | {"family": "audio-classification"}
    path = written(recipe(section, model=model), "recipes/it.yaml")
    build = built(path)
    trials = DataSource(None, "../voices/trials.npz")
    assert training_of(build).personalisation == Personalisation(trials, 0.05, 0.0, None)
    more = {"equal_error_rate": 0.1, "margin": 0.5, "errors_at_margin": 0.2}
    again = section["personalisation"] | more  # type: ignore[operator]
    path = written(recipe(section | {"personalisation": again}, model=model), "recipes/it.yaml")
    assert training_of(built(path)).personalisation == Personalisation(trials, 0.1, 0.5, 0.2)


def test_a_target_may_switch_off_what_the_exceptions_are_of(written: Write) -> None:
    common = {"requires_grad": ["a.*"], "frozen": ["a.b.*"], "head": HEAD}
    targets: dict[str, Any] = {"ios": {}, "web": {"train": {"requires_grad": []}}}
    train = trained(written(recipe(common, targets=targets)), "web")
    assert train.requires_grad == () and train.frozen == ("a.b.*",)


@pytest.mark.parametrize("target", ["desktop", "web"])
def test_the_runtime_that_trains_sets_the_ceiling_of_the_opset(written: Write, target: str) -> None:
    assert (
        built(written(recipe({"head": HEAD}, targets={target: {}}, export={"opset": 21})), target)
    ).opset == 21
    said = refused(written(recipe({"head": HEAD}, targets={target: {}}, export={"opset": 22})))
    assert "opset 22 is above 21, the highest that can be trained" in said
    assert "onnxruntime-training 1.19.2, the last release, loads opset 21 and IR 10" in said


@pytest.mark.parametrize(
    "name", ["input", "_a1", "fun", "count", "val", "function", "batch", "Target"]
)
def test_names_that_only_a_language_keeps_are_taken(written: Write, name: str) -> None:
    section = {"head": HEAD, "rename": {"pixel_values": name}}
    assert trained(written(recipe(section))).rename == (("pixel_values", name),)


@pytest.mark.parametrize("own", [True, False])
def test_what_trains_has_an_opset_that_is_exported(written: Write, own: bool) -> None:
    export = {"export": {"opset": 17}}
    targets: dict[str, Any] = {"ios": export if own else {}}
    others = {} if own else export
    said = refused(written(recipe({"head": HEAD}, targets=targets, **others)))
    assert "opset 17 is below 18, the lowest that can be trained" in said
    assert "use 18 to 21" in said
    lowest: dict[str, Any] = {"ios": {"export": {"opset": 18}}}
    assert built(written(recipe({"head": HEAD}, targets=lowest))).opset == 18


NAMES = st.sampled_from(["a.*", "b.c", "labels", "*", "", "a b"])
COUNTS = st.integers(0, 4)
NUMBERS = st.sampled_from([-1.0, 0, 1e-8, 0.5, 0.9, 1, 2.5, 1e300])
FLAGS = st.booleans()


def some(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    # Two fields at most, or nearly all would be refused.
    def chosen(names: list[str]) -> st.SearchStrategy[Any]:
        return st.fixed_dictionaries(fixed | {name: optional[name] for name in names})

    fixed = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in required.items()}
    return st.lists(st.sampled_from(sorted(optional)), max_size=2, unique=True).flatmap(chosen)


TRAINED = some(
    {"requires_grad": st.lists(NAMES, min_size=1, max_size=2)},
    frozen=st.lists(NAMES, max_size=2),
    head=some({"replace": "fc", "classes": COUNTS}, labels=st.lists(NAMES, max_size=4)),
    lora=some({"modules": st.lists(NAMES, max_size=2)}, rank=COUNTS, alpha=NUMBERS),
    loss=st.one_of(
        some(
            {"method": "cross-entropy"},
            class_weights=st.lists(NUMBERS, max_size=3),
            output=NAMES,
        ),
        some({"method": st.sampled_from(["mse", "l1", "hinge"])}, output=NAMES),
    ),
    optimizer=st.one_of(
        some(
            {"method": "adamw"},
            lr=NUMBERS,
            eps=NUMBERS,
            betas=st.lists(NUMBERS, max_size=3),
            weight_decay=NUMBERS,
            amsgrad=FLAGS,
        ),
        some({"method": "sgd"}, lr=NUMBERS, momentum=NUMBERS, nesterov=FLAGS),
    ),
    rename=st.dictionaries(NAMES, NAMES, max_size=2),
    batch_size=COUNTS,
    epochs=COUNTS,
    seed=st.integers(-1, 4),
    nominal_checkpoint=FLAGS,
)
OWN: st.SearchStrategy[Any] = st.just({}) | TRAINED


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@given(common=TRAINED, own=OWN, shapes=st.none() | COUNTS, audio=FLAGS)
def test_what_is_accepted_means_something(
    written: Write, common: Any, own: Any, shapes: int | None, audio: bool
) -> None:
    family = "audio-classification" if audio else "image-classification"
    export = {"shapes": {"batch_size": shapes} | ({"samples": 400} if audio else {})}
    others = {"export": export} if shapes is not None else {}
    targets = {"ios": {"train": own}, "desktop": {}}
    path = written(recipe(common, model=MODEL | {"family": family}, targets=targets, **others))
    refusal: RecipeErrors | None = None
    builds: tuple[TargetBuild, ...] = ()
    try:
        builds = resolve_all(load_recipe(path))
    except RecipeErrors as errors:
        refusal = errors
    event("refused" if refusal else "accepted")
    if refusal is not None:
        assert refusal.diagnostics and all(found.hint for found in refusal.diagnostics)
    for build in builds:
        assert_sound(training_of(build).train, shapes)


def assert_sound(train: Train, fixed: int | None) -> None:
    assert train is not None and hash(train)
    assert train.requires_grad or train.head or train.lora
    assert len(set(train.requires_grad)) == len(train.requires_grad)
    assert not set(train.requires_grad) & set(train.frozen)
    if train.head is not None:
        assert len(train.head.labels) == train.head.classes >= 1
        assert train.head.classes >= 2 or train.loss.name != "cross-entropy"
        assert len(train.loss.class_weights) in (0, train.head.classes)
    assert all(weight > 0 for weight in train.loss.class_weights)
    assert train.optimizer.lr > 0 and train.optimizer.eps > 0
    assert all(0 <= beta < 1 for beta in train.optimizer.betas)
    assert len({new for _, new in train.rename}) == len(train.rename)
    assert train.batch_size == fixed if fixed is not None else train.batch_size >= 1
    assert train.epochs >= 1 and train.seed >= 0
