"""The PyTorch side of a sentence-embedding model: what is exported, and what it must agree with.

What it must agree with is SentenceTransformer.encode, with everything in the folder as that library
has it. Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.errors import StepError, first_line
from olive_build.families.loading import Loaded, check_complete, from_files
from olive_build.families.sentence_embedding.settings import NO_LIMIT
from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts, inspect
from olive_build.families.sentence_embedding.texts import edge_texts, read_texts
from olive_build.olive_bridge import TorchExport
from olive_build.proof.references.embedding import EmbeddingReference

OUTPUT = "last_hidden_state"
# Traced with sizes that are no powers of two, so that no axis is taken for a constant.
EXAMPLE_SHAPE = (2, 17)
PROBE_SHAPES = ((1, 16), (2, 7), (3, 33))


class Encoder(torch.nn.Module):
    """The transformer with named inputs and one output, and what follows it.

    last_hidden_state is [batch_size, sequence_length, hidden]; `after` are the library's modules.
    """

    def __init__(self, model: torch.nn.Module, after: Sequence[torch.nn.Module] = ()) -> None:
        super().__init__()
        self.model = model
        self.after = torch.nn.ModuleList(after)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden


def library_model(folder: Path, attention: str | None = None) -> Any:
    """Return the SentenceTransformer of a folder, in fp32 on the CPU.

    Raises StepError where that library cannot load it, PlanError where an output reads a tensor
    that the files do not have.
    """
    from sentence_transformers import SentenceTransformer

    wanted = {"dtype": torch.float32, "use_safetensors": True}
    try:
        model = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            model_kwargs=wanted | ({"attn_implementation": attention} if attention else {}),
        ).eval()
    except Exception as error:
        raise StepError(
            "sentence-transformers cannot load the model",
            where=str(folder),
            why=first_line(error),
            hint="SentenceTransformer(folder) must work: save the model again with that library",
        ) from error
    check_complete(model[0].model, folder, partial(_hidden, folder))
    return model


def load(folder: Path) -> Encoder:
    """Return the model in eval mode, fp32, with the attention that exports to plain operators."""
    first, *after = library_model(folder, attention="eager")
    return Encoder(first.model, after).eval()


def loading(folder: Path) -> Loaded:
    """Return the transformer with what is to be said of its files; see `from_files`."""
    place = folder / inspect(folder).transformer
    run = partial(_hidden, folder)
    return from_files(_kind(place), place, run, attn_implementation="eager")


def _kind(place: Path) -> Any:
    """Return the class that sentence-transformers loads: an encoder alone where one was saved."""
    names = transformers.AutoConfig.from_pretrained(str(place)).architectures or [""]
    if names[0].endswith("EncoderModel") and hasattr(transformers, names[0]):
        return getattr(transformers, names[0])
    return transformers.AutoModel


def _hidden(folder: Path, model: torch.nn.Module) -> torch.Tensor:
    """Return what the transformer says of seeded inputs, by which it is seen what it reads."""
    given = probe(folder, inspect(folder), PROBE_SHAPES[0])
    hidden: torch.Tensor = Encoder(model)(**{k: torch.from_numpy(v) for k, v in given.items()})
    return hidden


def torch_export(folder: Path, component: str) -> TorchExport:
    """Return what Olive's conversion needs; batch and sequence are dynamic."""
    facts = inspect(folder)
    axes = {0: "batch_size", 1: "sequence_length"}
    return TorchExport(
        load=lambda: load(folder),
        example=lambda: probe(folder, facts, EXAMPLE_SHAPE),
        inputs=facts.inputs,
        outputs=(OUTPUT,),
        dynamic_axes=dict.fromkeys((*facts.inputs, OUTPUT), axes),
        probes=lambda: [probe(folder, facts, shape) for shape in PROBE_SHAPES],
    )


def probe(
    folder: Path, facts: SentenceEmbeddingFacts, shape: tuple[int, int]
) -> dict[str, npt.NDArray[np.int64]]:
    """Return seeded inputs [batch_size, sequence_length]; the last row is padded at its end."""
    place = str(folder / facts.transformer)
    vocabulary = transformers.AutoConfig.from_pretrained(place).vocab_size
    ids = np.random.default_rng(0).integers(0, vocabulary, shape, dtype=np.int64)
    mask = np.ones(shape, np.int64)
    if shape[0] > 1:
        mask[-1, shape[1] // 2 :] = 0
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}
    return {name: inputs[name] for name in facts.inputs}


def reference(folder: Path, data: Path, sequence_length: int | None = None) -> EmbeddingReference:
    """Return what SentenceTransformer.encode gives for the texts in `data`, and for strange ones.

    Texts are cut at `sequence_length`, as they are for a file of that fixed length. Raises
    StepError for bad data, and where the library cuts texts elsewhere than the facts say.
    """
    facts, texts = inspect(folder), read_texts(data)
    strange = edge_texts(facts.max_length)
    library = library_model(folder)
    _check_length(folder, library, facts)
    if sequence_length is not None:
        library.max_seq_length = min(sequence_length, library.max_seq_length or sequence_length)
    everything = [*texts, *strange]
    return EmbeddingReference(
        tuple(everything),
        tuple(encode(library, everything)),
        # Alone, so that nothing hangs on what else is in a batch.
        np.stack([library.encode(text, batch_size=1) for text in everything]).astype(np.float32),
        facts.pooling,
        facts.normalize,
        len(strange),
    )


def _check_length(folder: Path, library: Any, facts: SentenceEmbeddingFacts) -> None:
    texts = library[0].processing_kwargs.get("text") or {}
    found = texts.get("max_length", library.max_seq_length)
    found = None if found is None or found >= NO_LIMIT else found
    if found != facts.max_length:
        raise StepError(
            f"the library cuts texts at {found or 'no'} tokens, and the graph at "
            f"{facts.max_length or 'none'}",
            where=str(folder),
            why="the folder's files were read otherwise than sentence-transformers reads them",
            hint="write `max_seq_length` into sentence_bert_config.json, and report the folder",
        )


def encode(library: Any, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """Return the token ids that the library feeds its transformer with, text by text."""
    prompt = library.prompts.get(library.default_prompt_name)
    return [
        library.preprocess([text], prompt=prompt)["input_ids"][0].numpy().astype(np.int64)
        for text in texts
    ]


def _unpadded(facts: SentenceEmbeddingFacts, ids: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
    rows = torch.from_numpy(ids)
    inputs = {
        "input_ids": rows,
        "attention_mask": torch.ones_like(rows),
        "token_type_ids": torch.zeros_like(rows),
    }
    return {name: inputs[name] for name in facts.inputs}


def runner(
    folder: Path, model: Encoder, takes: str, text: str, size: int, batch: int
) -> Callable[[], Any]:
    """Return a call that runs `text`, `batch` times at once, in PyTorch eager, for timing.

    `takes` is `text`, for all that an application does, or `tokens`, for the model alone. Raises
    ValueError when the text has not `size` tokens.
    """
    tokenize = _tokenizer(folder)
    ids = tokenize([text] * batch)
    if ids.shape[1] != size:
        raise ValueError(f"the text has not {size} tokens for this tokenizer")
    if takes == "text":
        return text_runner(model, inspect(folder), tokenize, [text] * batch)
    return token_runner(model, _unpadded(inspect(folder), ids))


def _tokenizer(folder: Path) -> Callable[[list[str]], npt.NDArray[np.int64]]:
    facts = inspect(folder)
    place = str(folder / facts.transformer)
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, use_fast=True)
    limit = {"truncation": True, "max_length": facts.max_length} if facts.max_length else {}

    def tokenize(texts: list[str]) -> npt.NDArray[np.int64]:
        prompted = [facts.settings.prompt + text for text in texts]
        return np.asarray(tokenizer(prompted, **limit)["input_ids"], np.int64)

    return tokenize


def text_runner(
    model: Encoder,
    facts: SentenceEmbeddingFacts,
    tokenize: Callable[[list[str]], npt.NDArray[np.int64]],
    texts: list[str],
) -> Callable[[], Any]:
    """Return a call that embeds `texts` of one length in PyTorch eager, for timing.

    It does what an application does: tokenize, run, and what follows the transformer.
    """

    def run() -> torch.Tensor:
        inputs = _unpadded(facts, tokenize(texts))
        with torch.inference_mode():
            features: dict[str, Any] = {**inputs, "token_embeddings": model(**inputs)}
            for module in model.after:
                features = module(features)
        embedding: torch.Tensor = features["sentence_embedding"]
        return embedding

    return run


def token_runner(model: Encoder, inputs: dict[str, torch.Tensor]) -> Callable[[], Any]:
    """Return a call that runs the model alone on token ids, for timing."""

    def run() -> torch.Tensor:
        with torch.inference_mode():
            hidden: torch.Tensor = model(**inputs)
        return hidden

    return run
