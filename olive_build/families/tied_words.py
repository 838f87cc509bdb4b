"""Whether a language model has one table of its words or two, by configuration and files. Light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.families.stored_tensors import is_same, tensors_of
from olive_build.families.weight_files import weight_files


def ties_words(
    folder: Path, config: Mapping[str, Any], table: str, scores: str, *, by_default: bool
) -> bool:
    """Say whether the model in `folder` scores words by the table that it looks words up in.

    `table` is how the name of the one weight ends, `scores` the name of the other. Where the
    configuration ties them, transformers goes by the files all the same: two that differ stay apart
    (PreTrainedModel.tie_weights).
    """
    if not config.get("tie_word_embeddings", by_default):
        return False
    if not any(folder.glob("*.safetensors")):
        return True  # Configuration alone.
    tensors = tensors_of(folder / name for name in weight_files(folder, config))
    own = tensors.get(scores)
    looked_up = next((item for name, item in tensors.items() if f".{name}".endswith(table)), None)
    return own is None or looked_up is None or is_same(own, looked_up)
