"""The samples that a build is proved on and calibrated with: found, digested, never the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from olive_build.engine.store import Store
from olive_build.errors import PlanError
from olive_build.plan.inspecting import inspect_models
from olive_build.plan.types import Inspected, Request
from olive_build.recipe.build import DataSource, TargetBuild
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("cache")) as opened:
        yield opened


def build_of(recipe: str) -> TargetBuild:
    return resolve(load_recipe(RECIPES / f"{recipe}.yaml"), "desktop")


def inspected(build: TargetBuild, store: Store, folder: Path, *, smoke: bool = False) -> Inspected:
    (found,) = inspect_models([Request(build, folder)], store, smoke=smoke, report=print)
    return found


def test_a_recipes_own_images_are_those_of_its_folder(store: Store) -> None:
    found = inspected(build_of("characters"), store, RECIPES)
    data, calibration = found.samples["data"], found.samples["calibration"]
    assert Path(data[0]) == RECIPES / "characters" / "test.npz"
    assert Path(calibration[0]) == RECIPES / "characters" / "calibration.npz"
    assert data[1] != calibration[1]


def test_a_copy_of_the_proofs_data_is_no_calibration(store: Store, tmp_path: Path) -> None:
    shutil.copytree(RECIPES / "characters", tmp_path / "characters")
    test, copy = (tmp_path / "characters" / name for name in ("test.npz", "calibration.npz"))
    copy.write_bytes(test.read_bytes())
    with pytest.raises(PlanError, match="the calibration holds the proof's own data") as caught:
        inspected(build_of("characters"), store, tmp_path)
    assert caught.value.where == str(copy)
    assert str(test) in (caught.value.why or "")


@pytest.mark.parametrize("field", ["data", "calibration"])
def test_a_file_that_is_gone_is_named(store: Store, field: str) -> None:
    build = replace(build_of("characters"), **{field: DataSource(None, "gone.npz")})
    with pytest.raises(PlanError, match="file does not exist") as caught:
        inspected(build, store, RECIPES)
    assert caught.value.where == str(RECIPES / "gone.npz")


def test_a_miniature_of_images_brings_its_own_and_is_told_of_when_it_is_made(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspected(build_of("characters"), store, RECIPES, smoke=True)
    assert capsys.readouterr().out == "making a miniature of image-classification once\n"
    inspected(build_of("characters"), store, RECIPES, smoke=True)
    assert not capsys.readouterr().out
    folders = {Path(path).parent for path, _ in found.samples.values()}
    assert folders == {Path(found.model.folder)}


def test_targets_have_one_miniature_with_the_layers_that_any_names_and_the_recipes_texts(
    store: Store,
) -> None:
    loaded = load_recipe(RECIPES / "all-minilm-l6-v2.yaml")
    requests = [Request(resolve(loaded, target), RECIPES) for target in ("web", "desktop")]
    web, desktop = inspect_models(requests, store, smoke=True, report=print)
    assert web.model == desktop.model
    assert web.model.miniature
    assert web.model.facts.layers == 6
    names = {name: Path(path).name for name, (path, _) in web.samples.items()}
    assert names == {"data": "sentences.jsonl", "calibration": "calibration-sentences.jsonl"}


def test_int8_of_a_convolutional_network_is_what_its_provider_can_do(store: Store) -> None:
    said: list[str] = []
    web = "web: {variants: [q8], provider: webgpu}"
    targets = f"targets={{desktop: {{variants: [int8]}}, {web}}}"
    settings = ["variants={}", targets, "verify.budgets={}"]
    loaded = load_recipe(RECIPES / "characters.yaml", overrides=settings)
    requests = [Request(resolve(loaded, target), RECIPES) for target in ("desktop", "web")]
    found = inspect_models(requests, store, smoke=False, report=said.append)
    methods = [item.build.variants[0].quantize for item in found]
    assert [method and method.method for method in methods] == ["static-int8", "weight-only"]
    assert [item.build.variants[0].precision for item in found] == ["w8a8", "weight-int8"]
    assert said[0] == (
        "characters/desktop/int8: static-int8, since the model has its weights in convolutions"
    )


def test_a_method_that_the_recipe_names_is_kept_for_convolutions(store: Store) -> None:
    settings = ["variants.int8.quantize={method: dynamic-int8}", "verify.budgets={}"]
    loaded = load_recipe(RECIPES / "characters.yaml", overrides=settings)
    (found,) = inspect_models(
        [Request(resolve(loaded, "desktop"), RECIPES)], store, smoke=False, report=print
    )
    method = found.build.variants[0].quantize
    assert method is not None
    assert method.method == "dynamic-int8"
