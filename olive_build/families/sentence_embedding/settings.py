"""What a folder says of a text before and after the modules: its case, length, prompt, dimensions.

The files are sentence_bert_config.json, config_sentence_transformers.json and
tokenizer_config.json, read closed; their keys and defaults are those of sentence-transformers 6.2
(base/modules/transformer.py, base/model.py, sentence_transformer/model.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_object
from olive_build.families.sentence_embedding.modules import TOKENS

TRANSFORMER = (
    "sentence_bert_config.json",
    *(f"sentence_{name}_config.json" for name in ("roberta", "distilbert", "camembert", "albert")),
    *("sentence_xlm-roberta_config.json", "sentence_xlnet_config.json"),
)
MODEL = "config_sentence_transformers.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SENTENCE_TRANSFORMER = "SentenceTransformer"
# transformers writes a number of this size where a tokenizer has no limit.
NO_LIMIT = 10**9
# Of Transformer, with its defaults: other values change what comes out, and are not built.
CLOSED: Mapping[str, Any] = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": TOKENS,
    "tokenizer_name_or_path": None,
}
# Of Transformer, by older names too: values that choose a kernel change no number but the last
# digits; those of length are read.
KEYWORDS = {
    "model_kwargs": ("attn_implementation", "dtype", "torch_dtype", "low_cpu_mem_usage"),
    "processor_kwargs": ("model_max_length",),
    "config_kwargs": (),
}
OLDER_KEYWORDS = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}
# They say how queries are cut and what they are filled up with, by encode_query alone.
OF_QUERIES = ("query_length", "document_length", "query_expansion")
HANDLED = ("max_seq_length", "do_lower_case", "processing_kwargs", "unpad_inputs")
OF_MODEL = (
    *("__version__", "model_type", "prompts", "default_prompt_name", "similarity_fn_name"),
    *("truncate_dim", "requirements"),
)
# Architectures that look positions up in a table of that many rows.
TABLES = ("bert", "distilbert", "electra", "albert", "roberta", "xlm-roberta", "camembert", "mpnet")
NOT_THE_KIND = {
    "CrossEncoder": "it gives a score for a pair of texts",
    "SparseEncoder": "it gives a weight a word of the vocabulary, as SPLADE does",
    "MultiVectorEncoder": "it gives a vector a token, as ColBERT does",
}


@dataclass(frozen=True)
class Settings:
    """What happens to a text and its vector beside the modules.

    Texts are cut at `max_length` tokens, or never where it is None. `lower_case` makes them lower
    case before a tokenizer that would not. `prompt` is put before each. Vectors are cut at
    `truncate_dim` numbers. Long texts lose their end, or their beginning with `cut_at_left`.
    """

    max_length: int | None
    lower_case: bool
    prompt: str
    truncate_dim: int | None
    cut_at_left: bool
    notes: tuple[str, ...]


def read_settings(
    folder: Path, transformer: Path, config: Mapping[str, Any], *, saved: bool
) -> Settings:
    """Return the settings of a folder whose transformer lies at `transformer`.

    `config` is the transformer's, and `saved` says whether sentence-transformers wrote the folder:
    of others it reads none of its own files. Raises PlanError for what is not built.
    """
    own = _transformer(transformer) if saved else {}
    model = read_object(folder / MODEL) if saved else {}
    if not saved:
        _check_chat(transformer)
    notes = [*_queries(own), *_prompts(model), *_unknown(MODEL, model, OF_MODEL)]
    notes += _unknown("sentence_bert_config.json", own, _known_keys())
    notes += _half(config)
    truncate = model.get("truncate_dim")
    return Settings(
        max_length=_max_length(transformer, own, config),
        lower_case=bool(own.get("do_lower_case", False)),
        prompt=_default_prompt(folder / MODEL, model),
        truncate_dim=None if truncate is None else int(truncate),
        cut_at_left=read_object(transformer / TOKENIZER_CONFIG).get("truncation_side") == "left",
        notes=tuple(notes),
    )


def _transformer(folder: Path) -> dict[str, Any]:
    """Return the first of Transformer's files that is there, checked. Raises PlanError."""
    path = next((folder / name for name in TRANSFORMER if (folder / name).is_file()), None)
    if path is None:
        return {}
    own = read_object(path)
    for older, name in OLDER_KEYWORDS.items():
        if older in own:
            own.setdefault(name, own.pop(older))
    for key, default in CLOSED.items():
        if key in own and own[key] != default:
            raise _not_built(path, key, own[key])
    for key, allowed in KEYWORDS.items():
        others = sorted(set(own.get(key) or {}) - {*allowed, "trust_remote_code"})
        if others:
            raise _not_built(path, f"{key}.{others[0]}", own[key][others[0]])
    for modality, values in (own.get("processing_kwargs") or {}).items():
        others = sorted(set(values or {}) - ({"max_length"} if modality == "text" else set()))
        if others:
            raise _not_built(path, f"processing_kwargs.{modality}.{others[0]}", values[others[0]])
    return own


def _known_keys() -> tuple[str, ...]:
    return (*CLOSED, *KEYWORDS, *OF_QUERIES, *HANDLED)


def _not_built(path: Path, key: str, value: Any) -> PlanError:
    return PlanError(
        f"{key} is {value!r}, which is not built",
        where=str(path),
        why="it changes what sentence-transformers gives, and no graph is made of it yet",
        hint=f"take `{key.partition('.')[0]}` out if the model does without it, or take another",
    )


def check_kind(folder: Path) -> None:
    """Raise PlanError for a folder of another class of sentence-transformers."""
    path = folder / MODEL
    kind = read_object(path).get("model_type", SENTENCE_TRANSFORMER)
    if kind != SENTENCE_TRANSFORMER:
        raise PlanError(
            f"the model is a {kind} of sentence-transformers",
            where=str(path),
            why=NOT_THE_KIND.get(kind, "it is no SentenceTransformer"),
            hint="this family builds models that give one vector a text",
        )


def _check_chat(folder: Path) -> None:
    """Raise PlanError where sentence-transformers would put texts into a chat template."""
    has_file = (folder / "chat_template.jinja").is_file()
    if has_file or "chat_template" in read_object(folder / TOKENIZER_CONFIG):
        raise PlanError(
            "the model has a chat template and no modules.json",
            where=str(folder),
            why="sentence-transformers puts each text into the template, and no graph does",
            hint="load it with SentenceTransformer, set its modules, and save it",
        )


def _max_length(folder: Path, own: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """Return the length at which the library cuts a text. Raises PlanError for no number."""
    texts = (own.get("processing_kwargs") or {}).get("text") or {}
    keywords = own.get("processor_kwargs") or {}
    wanted = keywords.get("model_max_length") or own.get("max_seq_length")
    try:
        if "max_length" in texts:
            return int(texts["max_length"])
        if wanted is not None:
            return _within_positions(folder, int(wanted), config)
        tokenizer = read_object(folder / TOKENIZER_CONFIG).get("model_max_length")
        positions = config.get("max_position_embeddings", -1)
        limits = [
            int(limit) for limit in (tokenizer, positions) if limit is not None and int(limit) > 0
        ]
    except (TypeError, ValueError) as error:
        raise PlanError(
            "the model's longest text is no number", where=str(folder), why=str(error)
        ) from error
    shortest = min(limits, default=NO_LIMIT)
    return shortest if shortest < NO_LIMIT else None


def _within_positions(folder: Path, wanted: int, config: Mapping[str, Any]) -> int:
    """Return the length. Raises PlanError where the model's table of positions is shorter."""
    positions = config.get("max_position_embeddings")
    if config.get("model_type") in TABLES and positions is not None and wanted > int(positions):
        raise PlanError(
            f"texts are cut at {wanted} tokens, and the model has {positions} positions",
            where=str(folder),
            why="sentence-transformers fails on a text that is longer",
            hint=f"write {positions} or less for `max_seq_length`",
        )
    return wanted


def _default_prompt(path: Path, model: Mapping[str, Any]) -> str:
    name = model.get("default_prompt_name")
    if name is None:
        return ""
    prompts = model.get("prompts") or {}
    if name not in prompts:
        raise PlanError(
            f"default_prompt_name is {name!r}, and there is no such prompt",
            where=str(path),
            why=f"prompts are {', '.join(prompts) or 'none'}; sentence-transformers refuses it too",
        )
    return str(prompts[name] or "")


def _prompts(model: Mapping[str, Any]) -> list[str]:
    """Return what is said of prompts that an application has to put before texts itself."""
    default = model.get("default_prompt_name")
    named = [name for name, text in (model.get("prompts") or {}).items() if text]
    others = [name for name in named if name != default]
    found = [f"the prompt {default!r} is put before every text"] if default in named else []
    if others:
        found.append(f"prompts that an application puts before texts itself: {', '.join(others)}")
    return found


def _half(config: Mapping[str, Any]) -> list[str]:
    """Return what is said of weights that the library computes with in half precision."""
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    if stored == "float32":
        return []
    return [f"weights are {stored}: all is computed in float32, and held to the library in float32"]


def _queries(own: Mapping[str, Any]) -> list[str]:
    given = [key for key in OF_QUERIES if own.get(key) is not None]
    return (
        [f"{', '.join(given)}: of encode_query and encode_document, not of encode"] if given else []
    )


def _unknown(name: str, given: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    unknown = sorted(set(given) - set(known))
    return [f"{name}: {', '.join(unknown)} is no setting of the library"] if unknown else []
