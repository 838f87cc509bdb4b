"""What `train` says is held against the model's own layers before anything is planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from olive_build.engine.store import Store
from olive_build.errors import PlanError
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.plan.inspecting import inspect_models
from olive_build.plan.types import Request
from olive_build.recipe.build import PathSource, TargetBuild
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from olive_build.recipe.sections.train import Training
from olive_build.training.settings import Head

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
FIVE = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT that tells texts apart: its classifier reads what its pooler gives."""
    found = tmp_path_factory.mktemp("recipe")
    (found / "bert").mkdir()
    write_miniature(found / "bert")
    return found


def build_of(**changes: Any) -> TargetBuild:
    build = resolve(load_recipe(RECIPES / "topics-lora.yaml"), "desktop")
    build = replace(build, source=PathSource("bert"))
    return learning(build, lora=None, head=None, requires_grad=("classifier.*",), **changes)


def learning(build: TargetBuild, **changes: Any) -> TargetBuild:
    """Return the build with other fields of its `train`."""
    found = build.section(Training)
    assert found
    return replace(build, sections=(replace(found, train=replace(found.train, **changes)),))


def said(build: TargetBuild, store: Store, folder: Path) -> list[str]:
    """Return what is reported while the model is inspected."""
    lines: list[str] = []
    inspect_models([Request(build, folder)], store, smoke=False, report=lines.append)
    return lines


def test_what_fits_is_looked_at_once(store: Store, folder: Path) -> None:
    build = build_of(frozen=("bert.embeddings.*",))
    looked = "looking into the model first: topics-lora/check-training"
    assert said(build, store, folder)[-1] == looked
    assert said(build, store, folder) == []
    # Whether it fits is not asked of another target's files.
    assert said(replace(build, target="web"), store, folder) == []


def test_a_pattern_that_names_nothing_is_refused(store: Store, folder: Path) -> None:
    with pytest.raises(PlanError) as caught:
        said(build_of(frozen=("bert.embedings.*",)), store, folder)
    error = caught.value
    assert error.what == "'bert.embedings.*' matches no parameter"
    assert error.where == "topics-lora, train.frozen"
    assert "the nearest are bert.embeddings." in (error.why or "")


def test_a_head_that_is_not_the_last_layer_is_refused(store: Store, folder: Path) -> None:
    head = Head("bert.pooler.dense", 5, FIVE)
    with pytest.raises(PlanError) as caught:
        said(learning(build_of(), head=head), store, folder)
    error = caught.value
    assert error.what == "the new head 'bert.pooler.dense' is not the model's last layer"
    assert error.where == "topics-lora, train.head.replace"
    assert (error.why or "").startswith("what follows does not take 5 numbers: ")
    assert "the last linear layer in the model's list is 'classifier'" in (error.hint or "")
