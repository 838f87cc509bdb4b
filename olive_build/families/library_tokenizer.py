"""The tokenizer that transformers makes of a folder, which is not always that of tokenizer.json.

Classes such as BertTokenizer build it anew from the vocabulary and tokenizer_config.json. Clients
without transformers read tokenizer.json alone, so what they are given is what the library made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import StepError, first_line
from olive_build.families.configuration import read_object

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
# What an encoder call sets, and no part of what a tokenizer is.
OF_CALLS = ("truncation", "padding")


@dataclass(frozen=True)
class TokenizerSettings:
    """Where a model's tokenizer lies in its folder, and what is done to it by another library.

    `lower_case` puts Lowercase before it; clients cut texts at `max_length` tokens where it is set.
    """

    folder: str = ""
    lower_case: bool = False
    max_length: int | None = None


def library_tokenizer(folder: Path, settings: TokenizerSettings) -> Any:
    """Return AutoTokenizer's tokenizer of a model folder as one of the `tokenizers` library.

    It pads by the model's token on the model's side when asked to, and cuts nothing. Raises
    StepError where transformers cannot read it, or has it in Python alone.
    """
    from tokenizers import Tokenizer, normalizers
    from transformers import AutoTokenizer

    place = folder / settings.folder
    try:
        library = AutoTokenizer.from_pretrained(
            str(place), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise StepError(
            "transformers cannot read the model's tokenizer",
            where=str(place),
            why=first_line(error),
            hint="save it again with tokenizer.save_pretrained of transformers 5",
        ) from error
    if not getattr(library, "is_fast", False):
        raise StepError(
            "the model's tokenizer is Python code",
            where=str(place),
            why=f"{type(library).__name__} has no form that other languages read",
            hint="take a model with a fast tokenizer",
        )
    made = Tokenizer.from_str(library.backend_tokenizer.to_str())
    if settings.lower_case and not _lowers(made.normalizer):
        before = [] if made.normalizer is None else [made.normalizer]
        made.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
    made.no_truncation()
    made.no_padding()
    if library.pad_token is not None:
        made.enable_padding(
            direction=library.padding_side, pad_id=library.pad_token_id, pad_token=library.pad_token
        )
    return made


def _lowers(normalizer: Any) -> bool:
    """Whether sentence-transformers finds Lowercase in a normalizer (its _has_lowercase)."""
    from tokenizers.normalizers import Lowercase, Sequence

    parts: Any = normalizer if isinstance(normalizer, Sequence) else [normalizer]
    return any(isinstance(part, Lowercase) for part in parts)


def write_client_tokenizer(folder: Path, settings: TokenizerSettings, out: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json as a client has to read them.

    The model's own bytes stay where they say the same.
    """
    made = json.loads(library_tokenizer(folder, settings).to_str())
    path = folder / settings.folder / TOKENIZER
    saved = path.read_bytes() if path.is_file() else b"{}"
    if _content(read_object(path)) == _content(made):
        (out / TOKENIZER).write_bytes(saved)
    else:
        text = json.dumps(made | dict.fromkeys(OF_CALLS), indent=2, ensure_ascii=False)
        (out / TOKENIZER).write_text(text + "\n", encoding="utf-8")
    path = path.with_name(CONFIG)
    saved = path.read_bytes() if path.is_file() else b"{}"
    config = read_object(path)
    if settings.max_length not in (None, config.get("model_max_length")):
        text = json.dumps(config | {"model_max_length": settings.max_length}, indent=2)
        saved = f"{text}\n".encode()
    (out / CONFIG).write_bytes(saved)


def _content(tokenizer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tokenizer.items() if key not in OF_CALLS}
