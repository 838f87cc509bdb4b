"""What a sentence-embedding model is, read from its configuration alone: no weights, no torch.

The files are those that sentence-transformers writes: config.json of the transformer, modules.json,
1_Pooling/config.json, sentence_bert_config.json and tokenizer.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_configuration

POOLINGS = ("cls", "max", "mean")
# The files that transformers.js asks for beside the graphs; the optional ones only where they are.
CLIENT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL_CLIENT_FILES = ("special_tokens_map.json", "vocab.txt")
DEFAULT_MAX_LENGTH = 256


@dataclass(frozen=True)
class SentenceEmbeddingFacts:
    """The numbers that exporting, fusing and composing need.

    `client_files` are shipped beside a bare graph, `composed_files` beside a composed one.
    """

    architecture: str
    layers: int
    heads: int
    dimensions: int
    max_length: int
    pooling: str
    normalize: bool
    inputs: tuple[str, ...]
    client_files: tuple[str, ...]
    composed_files: tuple[str, ...] = ()

    def template(self, code: str, takes: str) -> str:
        """Return the file of the code that loads a bundle, for a target's kind of code."""
        return f"{code}.md"

    def placeholders(self, takes: str) -> dict[str, str]:
        """Return what that code may name of the model."""
        return {"pooling": self.pooling, "normalize": str(self.normalize).lower()}

    @property
    def longest(self) -> int:
        """The longest input that is timed, in tokens: a longer one would be cut."""
        return self.max_length


def inspect(folder: Path) -> SentenceEmbeddingFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config = _read(folder, "config.json")
    missing = [name for name in CLIENT_FILES if not (folder / name).is_file()]
    if missing:
        raise _not_this_family(folder, f"there is no {missing[0]}")
    try:
        hidden = int(config["hidden_size"] if "hidden_size" in config else config["dim"])
        layers = int(config.get("num_hidden_layers", config.get("n_layers", 0)))
        heads = int(config.get("num_attention_heads", config.get("n_heads", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise _not_this_family(folder, f"config.json has no usable size ({error})") from error
    segments = ("token_type_ids",) if int(config.get("type_vocab_size") or 0) > 0 else ()
    return SentenceEmbeddingFacts(
        architecture=str(config.get("model_type", "unknown")),
        layers=layers,
        heads=heads,
        dimensions=hidden,
        max_length=_max_length(folder, config),
        pooling=_pooling(folder),
        normalize=_normalizes(folder),
        inputs=("input_ids", "attention_mask", *segments),
        client_files=(
            *CLIENT_FILES,
            *(name for name in OPTIONAL_CLIENT_FILES if (folder / name).is_file()),
        ),
    )


def _read(folder: Path, name: str) -> dict[str, Any]:
    return read_configuration(folder, name, _not_this_family)


def _not_this_family(folder: Path, why: str) -> PlanError:
    return PlanError(
        "the model is not one of the family 'sentence-embedding'",
        where=str(folder),
        why=why,
        hint="the folder must be as sentence-transformers saves it, with a fast tokenizer",
    )


def _max_length(folder: Path, config: dict[str, Any]) -> int:
    name = "sentence_bert_config.json"
    wanted = _read(folder, name).get("max_seq_length") if (folder / name).is_file() else None
    limit = config.get("max_position_embeddings") or DEFAULT_MAX_LENGTH
    try:
        return min(int(limit), int(wanted or DEFAULT_MAX_LENGTH))
    except (TypeError, ValueError) as error:
        raise _not_this_family(folder, f"its longest text is no number ({error})") from error


def _pooling(folder: Path) -> str:
    if not (folder / "1_Pooling" / "config.json").is_file():
        return "mean"
    config = _read(folder, "1_Pooling/config.json")
    chosen = sorted(
        key for key, value in config.items() if key.startswith("pooling_mode") and value
    )
    names = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
    }
    if len(chosen) != 1 or chosen[0] not in names:
        raise PlanError(
            f"pooling by {' and '.join(chosen) or 'nothing'} is not built",
            where=str(folder / "1_Pooling" / "config.json"),
            why=f"this family pools by one of {', '.join(POOLINGS)}",
            hint="use `compose: none` and pool in the application, or another model",
        )
    return names[chosen[0]]


def _normalizes(folder: Path) -> bool:
    path = folder / "modules.json"
    if not path.is_file():
        return True
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        return any(str(module.get("type", "")).endswith(".Normalize") for module in modules)
    except (ValueError, AttributeError, TypeError) as error:
        raise PlanError("cannot read modules.json", where=str(path), why=str(error)) from error
