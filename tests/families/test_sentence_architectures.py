"""Tokenizers of other architectures: mpnet's goes into the file, RoBERTa's is shipped beside it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library
from tokenizers import pre_tokenizers

from olive_build.bundle.readme import code_sections
from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import PlanError
from olive_build.families.library_tokenizer import write_client_tokenizer
from olive_build.families.sentence_embedding.compose import compose, tokenizer, with_embedding
from olive_build.families.sentence_embedding.miniature import _vocabulary
from olive_build.families.sentence_embedding.spec import EXAMPLES, inspect
from olive_build.families.sentence_embedding.texts import edge_texts
from olive_build.families.sentence_embedding.torch_side import torch_export
from olive_build.olive_bridge import convert
from olive_build.plan.planner import make_plan
from olive_build.plan.types import Inspected, Model
from olive_build.proof.embedding import largest_difference
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all
from olive_build.steps.describe import describe

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def save(folder: Path, model: torch.nn.Module, fast: transformers.PreTrainedTokenizerFast) -> Path:
    model.eval().save_pretrained(folder)
    fast.save_pretrained(folder)
    parts = [library.Transformer(str(folder)), library.Pooling(SIZES["hidden_size"])]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [*SPECIAL, *_vocabulary()[5:]]
    ids = {word: index for index, word in enumerate(words)}
    fast = transformers.MPNetTokenizer(vocab=ids, model_max_length=40)
    torch.manual_seed(0)
    config = transformers.MPNetConfig(
        vocab_size=len(words), max_position_embeddings=64, pad_token_id=1, **SIZES
    )
    folder = tmp_path_factory.mktemp("mpnet")
    return save(folder, transformers.MPNetModel(config), fast)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {word: index for index, word in enumerate((*SPECIAL, *letters))}
    fast = transformers.RobertaTokenizer(vocab=ids, merges=[], model_max_length=40)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=len(ids), max_position_embeddings=66, type_vocab_size=1, **SIZES
    )
    folder = tmp_path_factory.mktemp("roberta")
    return save(folder, transformers.RobertaModel(config), fast)


def test_mpnets_tokenizer_goes_into_the_file(mpnet: Path, tmp_path: Path) -> None:
    convert(torch_export(mpnet, "model"), opset=20, out=tmp_path)
    parts = {
        "model": onnx.load(tmp_path / "model.onnx"),
        "tokenizer": tokenizer(mpnet, 20),
    }
    onnx.save(compose(parts, mpnet, {}), tmp_path / "whole.onnx")
    texts = ["the people of this city", *edge_texts(40)]
    (found,) = open_session(tmp_path / "whole.onnx").run(None, {"text": np.array(texts, object)})
    model = SentenceTransformer(str(mpnet), device="cpu")
    assert largest_difference(found, np.stack([model.encode(text) for text in texts])) <= 1e-4


def plan_for(folder: Path, target: str, *overrides: str) -> None:
    loaded = load_recipe(ROOT / "recipes" / "all-minilm-l6-v2.yaml", overrides=overrides)
    builds = [build for build in resolve_all(loaded) if build.target == target]
    model = Model(str(folder), "a" * 64, "path", "", inspect(folder))
    plain = (replace(builds[0], variants=builds[0].variants[:1]),)
    make_plan(
        [
            Inspected(build, model, {"data": ("/d", "b" * 64), "calibration": ("/c", "c" * 64)})
            for build in plain
        ]
    )


def test_a_tokenizer_without_a_graph_is_refused_by_the_plan_with_the_remedy(
    roberta: Path, tmp_path: Path
) -> None:
    plan_for(roberta, "android")  # byte-level BPE has a graph
    folder = tmp_path / "model"
    shutil.copytree(roberta, folder)
    path = folder / "tokenizer.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["model"]["ignore_merges"] = True
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        plan_for(folder, "android")
    assert "target android" in str(caught.value.where)
    assert "ignore_merges" in str(caught.value.why)
    assert "write `compose: none`" in str(caught.value.hint)
    plan_for(folder, "android", "targets.android.compose=none")
    plan_for(folder, "web")


@pytest.mark.parametrize("architecture", ["mpnet", "modernbert", "deberta-v2", "t5"])
def test_attention_that_is_not_known_to_fuse_stays_plain_and_is_told(
    architecture: str, mpnet: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(mpnet, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": architecture}))
    facts = inspect(folder)
    assert any(f"that of {architecture} is not known to fuse" in note for note in facts.notes)
    loaded = load_recipe(ROOT / "recipes" / "all-minilm-l6-v2.yaml")
    build = next(build for build in resolve_all(loaded) if build.target == "windows")
    model = Model(str(folder), "a" * 64, "path", "", facts)
    inspected = Inspected(build, model, {"data": ("/d", "b" * 64), "calibration": ("/c", "c" * 64)})
    kinds = {type(node.step).__name__ for node in make_plan([inspected]).graph.nodes}
    assert "Export" in kinds
    assert "FuseAttention" not in kinds


@pytest.mark.parametrize("projected", [False, True])
def test_the_python_for_tokens_gives_the_librarys_vectors_as_pasted(
    projected: bool, roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a README shows for a graph whose texts the application makes tokens of."""
    folder = tmp_path / "model"
    parts = [library.Transformer(str(roberta)), library.Pooling(32, "cls"), library.Normalize()]
    parts += [library.Dense(32, 8)] if projected else []
    settings = {"prompts": {"q": "ask: "}, "default_prompt_name": "q"}
    model = SentenceTransformer(modules=parts, device="cpu", **settings)
    model.max_seq_length = 12
    model.save(str(folder), create_model_card=False)
    facts = inspect(folder)
    convert(torch_export(folder, "model"), opset=20, out=tmp_path)
    graph = onnx.load(tmp_path / "model.onnx")
    onnx.save(with_embedding(graph, folder) if projected else graph, tmp_path / "model.onnx")
    write_client_tokenizer(folder, facts.tokenizer, tmp_path)
    described = describe(tmp_path / "model.onnx")
    variant = {"files": {"onnx": "model.onnx"}, **described}
    said = {
        "recipe": "it",
        "model": {"family": "sentence-embedding"},
        "target": "desktop",
        "provider": "cpu",
        "variants": {"fp32": variant},
    }
    (code,) = re.findall(r"```python\n(.*?)```", code_sections(manifest(said), facts), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    exec(code, known)  # noqa: S102 - what a user pastes is what is tried
    assert largest_difference(known["vectors"], model.encode(list(EXAMPLES))) <= 1e-4
