"""The samples that a build is proved on and calibrated with: found, digested, never the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from olive_build.engine.store import Store
from olive_build.errors import PlanError
from olive_build.inspect_model import Request, inspect_models
from olive_build.plan import Inspected
from olive_build.recipe.build import DataSource, TargetBuild
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


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
    assert Path(found.data) == RECIPES / "characters" / "test.npz"
    assert Path(found.calibration) == RECIPES / "characters" / "calibration.npz"
    assert found.data_digest != found.calibration_digest


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


def test_a_miniature_of_images_brings_its_own(store: Store) -> None:
    found = inspected(build_of("characters"), store, RECIPES, smoke=True)
    assert Path(found.data).parent == Path(found.calibration).parent == Path(found.model.folder)


def test_a_miniature_of_texts_takes_those_of_the_recipe(store: Store) -> None:
    found = inspected(build_of("all-minilm-l6-v2"), store, RECIPES, smoke=True)
    assert Path(found.data).name == "sentences.jsonl"
    assert Path(found.calibration).name == "calibration.jsonl"
