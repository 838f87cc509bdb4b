"""What a classifier of texts is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, with the names of the classes where the
model has any yet, and tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.families.configuration import class_names, none_of, read_architecture
from olive_build.families.facts import Facts
from olive_build.families.library_tokenizer import TokenizerSettings

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
# Other files of a tokenizer, which clients read where they are.
OPTIONAL_CLIENT_FILES = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
ARCHITECTURES = ("bert", "distilbert")
# Texts are cut here where the recipe fixes no length and the model takes longer ones.
LONGEST = 256
_not_this_family = none_of(
    "text-classification",
    "the folder must be as transformers saves a BertForSequenceClassification or a bare "
    "BertModel, with a fast tokenizer",
)


@dataclass(frozen=True, kw_only=True)
class TextClassificationFacts(Facts):
    """The numbers that training needs: the longest text in tokens, and the classes' names.

    `pad` is the token that fills up short texts. `client_files` are shipped beside the graphs.
    """

    max_length: int
    pad: int
    labels: tuple[str, ...]
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")

    @property
    def tokenizer(self) -> TokenizerSettings:
        """Where the tokenizer lies."""
        return TokenizerSettings()

    def training_data(self, shapes: Mapping[str, int]) -> dict[str, Any]:
        """Return what texts are read as: cut at `longest` tokens, and where `fixed` as long."""
        length = shapes.get("sequence_length")
        return {
            "kind": "texts",
            "tokenizer": TOKENIZER,
            "longest": min(length or LONGEST, self.max_length),
            "fixed": length is not None,
            "pad": self.pad,
        }


def inspect(folder: Path) -> TextClassificationFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config, architecture = read_architecture(folder, CONFIG, ARCHITECTURES, _not_this_family)
    if not (folder / TOKENIZER).is_file():
        raise _not_this_family(folder, f"there is no {TOKENIZER}")
    optional = (name for name in OPTIONAL_CLIENT_FILES if (folder / name).is_file())
    try:
        return TextClassificationFacts(
            architecture=architecture,
            max_length=int(config["max_position_embeddings"]),
            pad=int(config.get("pad_token_id") or 0),
            labels=class_names(config),
            client_files=(CONFIG, TOKENIZER, *optional),
        )
    except (KeyError, TypeError, ValueError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise _not_this_family(folder, why) from error
