"""Folders that sentence-transformers saved, over its switches: equal to its encode, or refused.

Never a third outcome; and nine of ten are built. The transformer is one, exported once: what is
judged is what stands before and after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import OliveBuildError
from olive_build.families.sentence_embedding import modules as ours
from olive_build.families.sentence_embedding.compose import compose, tokenizer, with_embedding
from olive_build.families.sentence_embedding.miniature import write_miniature
from olive_build.families.sentence_embedding.spec import inspect
from olive_build.families.sentence_embedding.texts import edge_texts
from olive_build.families.sentence_embedding.torch_side import encode, torch_export
from olive_build.olive_bridge import convert
from olive_build.proof.embedding import largest_difference
from tests.families.sentence_folders import (
    HIDDEN,
    as_transformers_saves,
    edit,
    older_pooling,
    older_types,
    save,
    transformer_in_a_folder,
)

TOLERANCE = 1e-4
BUILT = 0.9
OPSET = 20
TEXTS = ("The people of this city were happy to see that NEW house", "old river", "a b c d e f g")
PROMPT = {"prompts": {"query": "a new: ", "other": "b: "}, "default_prompt_name": "query"}
MODES = ours.POOLINGS


def pooling(mode: Any = "mean", **settings: Any) -> library.Pooling:
    return library.Pooling(HIDDEN, mode, **settings)


def dense(takes: int = HIDDEN, gives: int = 24, **settings: Any) -> library.Dense:
    return library.Dense(takes, gives, **settings)


def cases() -> Iterator[tuple[str, list[torch.nn.Module], dict[str, Any], list[Any]]]:
    """Yield a name, the modules after the transformer, the class's settings, changes to files."""
    for mode, keeps, prompt in product(MODES, (True, False), ({}, PROMPT)):
        name = f"{mode} include_prompt={keeps} prompt={bool(prompt)}"
        yield name, [pooling(mode, include_prompt=keeps)], prompt, []
    for modes in (("mean", "max"), ("cls", "lasttoken"), ("weightedmean", "mean"), MODES):
        yield f"{modes}", [pooling(modes), library.Normalize()], {}, []
    for older in ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "lasttoken"):
        yield f"older {older}", [pooling()], {}, [older_pooling(older), older_types]
    yield "older two", [pooling()], {}, [older_pooling("max_tokens", "cls_token"), older_types]
    yield "older none", [pooling()], {}, [older_pooling(), older_types]
    for path, name in ours.ACTIVATIONS.items():
        function = getattr(torch.nn, path.rpartition(".")[2])()
        yield f"Dense {name}", [pooling(), dense(activation_function=function)], {}, []
    yield "Dense no bias", [pooling(), dense(bias=False), library.Normalize()], {}, []
    yield "Dense residual", [pooling(), dense(gives=HIDDEN, use_residual=True)], {}, []
    yield "Dense residual narrow", [pooling(), dense(use_residual=True)], {}, []
    tokens = dense(module_input_name="token_embeddings")
    yield "Dense on tokens", [tokens, library.Pooling(24)], {}, []
    yield "Dense twice", [pooling(), dense(), dense(24, 48), library.Normalize()], {}, []
    yield "Normalize tokens", [library.Normalize("token_embeddings"), pooling()], {}, []
    yield "LayerNorm", [pooling(), library.LayerNorm(HIDDEN)], {}, []
    yield "Dropout", [pooling(), library.Dropout(0.5), library.Normalize()], {}, []
    for size in (16, HIDDEN, 100):
        yield f"truncate_dim {size}", [pooling(), library.Normalize()], {"truncate_dim": size}, []
    yield from file_cases()
    yield from refused_cases()


def file_cases() -> Iterator[tuple[str, list[torch.nn.Module], dict[str, Any], list[Any]]]:
    """Yield what is said in files of a folder: lengths, case, classes, layouts."""

    def own(**changes: Any) -> Any:
        return lambda folder: edit(folder / "sentence_bert_config.json", **changes)

    def tokens(**changes: Any) -> Any:
        return lambda folder: edit(folder / "tokenizer_config.json", **changes)

    kinds = ("BertTokenizer", "PreTrainedTokenizerFast", ...)
    for lower, in_config, kind in product((True, False, ...), (True, False, ...), kinds):
        changes = [own(do_lower_case=lower), tokens(do_lower_case=in_config, tokenizer_class=kind)]
        yield f"case {lower} {in_config} {kind}", [pooling()], {}, changes
    for length, limit in product((8, None, ...), (12, 300, ...)):
        changes = [own(max_seq_length=length), tokens(model_max_length=limit)]
        yield f"length {length} {limit}", [pooling()], {}, changes
    yield "keywords", [pooling()], {}, [own(tokenizer_args={"model_max_length": 9})]
    yield "call", [pooling()], {}, [own(processing_kwargs={"text": {"max_length": 7}})]
    yield "dtype", [pooling()], {}, [own(model_args={"torch_dtype": "float32"})]
    yield (
        "older files",
        [pooling(), library.Normalize()],
        {},
        [own(modality_config=...), older_types],
    )
    yield "in a folder", [pooling("cls")], {}, [transformer_in_a_folder]
    yield "transformers'", [pooling()], {}, [as_transformers_saves]
    yield "similarity", [pooling()], {"similarity_fn_name": "dot"}, []


def refused_cases() -> Iterator[tuple[str, list[torch.nn.Module], dict[str, Any], list[Any]]]:
    """Yield what is refused by name."""

    def own(**changes: Any) -> Any:
        return lambda folder: edit(folder / "sentence_bert_config.json", **changes)

    yield "refused CNN", [library.CNN(HIDDEN, HIDDEN), pooling("mean")], {}, []
    yield "refused LSTM", [library.LSTM(HIDDEN, HIDDEN // 2), pooling()], {}, []
    layers = library.WeightedLayerPooling(HIDDEN, num_hidden_layers=2, layer_start=1)
    yield "refused WeightedLayerPooling", [layers, pooling()], {}, []
    task = own(processing_kwargs={"text": {"padding": "max_length"}})
    yield "refused padding", [pooling()], {}, [task]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT whose weights are large enough to tell texts apart."""
    folder = tmp_path_factory.mktemp("base")
    write_miniature(folder)
    return folder


@pytest.fixture(scope="module")
def exported(base: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("exported")
    convert(torch_export(base, "model"), opset=OPSET, out=out)
    return (out / "model.onnx").read_bytes()


def outcome(folder: Path, exported: bytes) -> str:
    """Return `built` where both forms give what encode does, `refused`, or what is wrong."""
    try:
        facts = inspect(folder)
        parts = {"model": onnx.load_from_string(exported), "tokenizer": tokenizer(folder, OPSET)}
        whole = compose(parts, folder, {})
        bare = with_embedding(onnx.load_from_string(exported), folder)
    except OliveBuildError as error:
        return f"refused: {error.what}" if error.why else "refused without a reason"
    model = SentenceTransformer(str(folder), device="cpu")
    texts = [*TEXTS, *edge_texts(facts.max_length)]
    expected = np.stack([model.encode(text) for text in texts])
    texts_in, tokens_in = opened(whole, folder), opened(bare, folder)
    found = {
        "text": texts_in.run(None, {"text": np.array(texts, object)})[0],
        "tokens": np.concatenate([tokens_run(tokens_in, ids) for ids in encode(model, texts)]),
    }
    for form, values in found.items():
        if values.shape != expected.shape:
            return f"wrong: {form} {values.shape}, {expected.shape}"
        if largest_difference(values, expected) > TOLERANCE:
            return f"wrong: {form} {largest_difference(values, expected):.2g}"
    return "built"


def opened(model: onnx.ModelProto, folder: Path) -> Any:
    path = folder / "composed.onnx"
    onnx.save(model, path)
    return open_session(path)


def tokens_run(session: Any, ids: np.ndarray) -> np.ndarray:
    feeds = {"input_ids": ids[None], "attention_mask": np.ones_like(ids[None])}
    feeds["token_type_ids"] = np.zeros_like(ids[None])
    return session.run(["sentence_embedding"], feeds)[0]


def test_every_folder_is_equal_to_the_library_or_refused(
    base: Path, exported: bytes, tmp_path: Path
) -> None:
    found = {}
    for number, (name, after, settings, changes) in enumerate(cases()):
        folder = save(base, tmp_path / str(number), after, **settings)
        for change in changes:
            change(folder)
        found[name] = outcome(folder, exported)
    wrong = {
        name: what
        for name, what in found.items()
        if what.partition(":")[0] not in ("built", "refused")
    }
    assert wrong == {}
    unexpected = {
        name: what
        for name, what in found.items()
        if name.startswith("refused") != what.startswith("refused")
    }
    assert unexpected == {}
    assert sum(what == "built" for what in found.values()) >= BUILT * len(found)
