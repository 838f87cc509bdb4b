"""A recipe with an adapter: what is built is the merged model, and the record says of what."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tiny_recipe import RECIPE, Project

RANK, ALPHA = 2, 6
WITH_ADAPTER = RECIPE.replace(
    "      folder: model\n", "      folder: model\n  adapter: {path: {folder: adapter}}\n"
).replace("  web:\n    variants: [fp32, q8]\n", "")
CONFIG = {
    "peft_type": "LORA",
    "r": RANK,
    "lora_alpha": ALPHA,
    "target_modules": ["query", "value"],
    "bias": "none",
}


def write_adapter(model: Path, folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """Write an adapter for the attention of an encoder as PEFT would; return its tensors."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if name.endswith(("query.weight", "value.weight")):
            module = f"base_model.model.{name.removesuffix('.weight')}"
            outer, inner = weight.shape
            a = torch.randn(RANK, inner, generator=generator)
            b = torch.randn(outer, RANK, generator=generator)
            tensors |= {f"{module}.lora_A.weight": a / 4, f"{module}.lora_B.weight": b / 4}
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return tensors


@pytest.fixture
def adapted(project: Project) -> tuple[Project, dict[str, torch.Tensor]]:
    recipes = project.folder / "recipes"
    tensors = write_adapter(recipes / "model", recipes / "adapter", seed=1)
    project.write_recipe(WITH_ADAPTER)
    return project, tensors


def encoded(model: Path, adapter: dict[str, torch.Tensor], texts: list[str]) -> np.ndarray:
    """Return what sentence-transformers gives with W x + alpha / r B A x in each changed layer."""
    sentences = SentenceTransformer(str(model), device="cpu")
    modules = dict(sentences[0].auto_model.named_modules())
    with torch.no_grad():
        for name, a in adapter.items():
            if name.endswith("lora_A.weight"):
                layer = modules[
                    name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                ]
                b = adapter[name.replace("lora_A", "lora_B")]
                layer.weight += ALPHA / RANK * b @ a
    return np.asarray(sentences.encode(texts))


def test_the_bundle_is_of_the_merged_model(
    adapted: tuple[Project, dict[str, torch.Tensor]],
) -> None:
    project, tensors = adapted
    built = project.run("build", "tiny", "--set", "targets.desktop.variants=[fp32]")
    assert built.code == 0, built.out + built.err
    bundle = project.bundle("desktop")
    model = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["model"]
    assert model["adapter"]["origin"] == "folder"
    assert len({model["digest"], model["adapter"]["digest"], model["adapter"]["base"]}) == 3
    from olive_build.clients.onnxruntime_client import open_session

    texts = ["How is the weather?", "The parcel has not arrived."]
    session = open_session(next(bundle.rglob("model.onnx")))
    (name,) = (item.name for item in session.get_inputs())
    (ours,) = session.run(None, {name: np.array(texts)})
    source = project.folder / "recipes" / "model"
    np.testing.assert_allclose(ours, encoded(source, tensors, texts), atol=1e-4)
    assert np.abs(ours - encoded(source, {}, texts)).max() > 1e-2


def test_another_adapter_is_another_model_and_a_miniature_has_none(
    adapted: tuple[Project, dict[str, torch.Tensor]],
) -> None:
    project, _ = adapted
    recipes = project.folder / "recipes"

    def digest() -> str:
        planned = project.run("plan", "tiny", "--json")
        assert planned.code == 0, planned.err
        return json.dumps(planned.json)

    before, again = digest(), digest()
    write_adapter(recipes / "model", recipes / "adapter", seed=2)
    assert before == again != digest()
    smoke = project.run("plan", "tiny", "--smoke")
    assert smoke.code == 0
    assert "the miniature is built without the adapter" in smoke.out + smoke.err


def test_an_adapter_that_does_not_fit_is_an_error_of_the_plan(
    adapted: tuple[Project, dict[str, torch.Tensor]],
) -> None:
    project, tensors = adapted
    path = project.folder / "recipes" / "adapter" / "adapter_model.safetensors"
    save_file({name: value[:, :-1].contiguous() for name, value in tensors.items()}, path)
    planned = project.run("plan", "tiny")
    assert planned.code == 3
    assert "to fix:" in planned.err and "adapter" in planned.err
    path.rename(path.with_name("adapter_model.bin"))
    validated = project.run("validate", "tiny")
    assert validated.code == 2 and "R023" in validated.err
