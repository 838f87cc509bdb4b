"""What a model of transformers is, read from its configuration alone: no weights, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build import rooms
from olive_build.errors import PlanError
from olive_build.families.configuration import (
    architecture_of,
    none_of,
    read_configuration,
    read_object,
)
from olive_build.families.facts import Asked, Axes, Component, Facts
from olive_build.families.library_tokenizer import TokenizerSettings
from olive_build.families.transformers.exceptions import check_exceptions

if TYPE_CHECKING:
    from olive_build.families.transformers.task import Task

CONFIG = "config.json"
# Where the code of tasks lies.
ROOM = "tasks.templates"
TOKENIZER_CONFIG = "tokenizer_config.json"
# What clients read beside a graph, where a model has it.
CLIENT_FILES = (
    *(CONFIG, "generation_config.json", "tokenizer.json", TOKENIZER_CONFIG),
    *("special_tokens_map.json", "preprocessor_config.json", "processor_config.json"),
)
# Their tables of positions begin with those up to the padding token's number, which no token of a
# text has: create_position_ids_from_input_ids in transformers' models/<type>/modeling_<type>.py.
AFTER_PADDING = (
    *("camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer"),
    *("markuplm", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"),
    "xmod",
)


@dataclass(frozen=True, kw_only=True)
class TransformersFacts(Facts):
    """What a model of any architecture is: its class, and the most tokens that it reads.

    `shown` is what the code of its bundles has to know of its files.
    """

    task: Task
    has_tokenizer: bool
    most_tokens: int | None = None
    shown: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def components(self) -> tuple[Component, ...]:
        return (Component(attentions=None),)

    @property
    def longest(self) -> int | None:
        return self.most_tokens

    @property
    def tokenizer(self) -> TokenizerSettings | None:
        return TokenizerSettings() if self.has_tokenizer else None

    def check(self, folder: Path, asked: Asked) -> None:
        """Raise PlanError where no code in the target's language could run the bundle."""
        for path in self.templates(asked.language, {})[""]:
            if next(rooms.files(ROOM, f"{path}.md"), None) is None:
                raise PlanError(
                    f"there is no code in {asked.language} for {self.task.name}",
                    where=asked.where,
                    why="a bundle's README has code that runs it, and no template says how",
                    hint="build it for a target of another language, or write "
                    f"olive_build/{ROOM.replace('.', '/')}/{path}.md",
                )

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the template of the code that asks this task of a bundle.

        Where a language has none of its own for the task, the code of any graph does.
        """
        own, any_graph = (
            f"{self.task.template(language, self.shown)}.{language}",
            f"graph.{language}",
        )
        has_own = next(rooms.files(ROOM, f"{own}.md"), None) is not None
        has_any = next(rooms.files(ROOM, f"{any_graph}.md"), None) is not None
        return {"": (any_graph if has_any and not has_own else own,)}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return what that code may name of the model."""
        code = self.task.code(self.shown, takes, self.most_tokens)
        return {"prepares": self.task.samples, **code}


def inspect(folder: Path, task: Task) -> TransformersFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError where it has no configuration, or no tokenizer where the task is of texts, and
    for what exceptions.yaml refuses.
    """
    refused = none_of(
        task.name,
        f"the folder must be as transformers saves a ...{task.classes[0]} and its processor",
    )
    config = read_configuration(folder, CONFIG, refused)
    check_exceptions(folder, config)
    architecture = architecture_of(config) or str(config.get("model_type", "unknown"))
    there = tuple(name for name in CLIENT_FILES if (folder / name).is_file())
    reads_texts = task.samples == "texts"
    if reads_texts and not any(folder.glob("tokenizer*.json")) and not any(folder.glob("vocab*")):
        raise refused(folder, "there is no tokenizer")
    shown = task.shown(folder, config)
    return TransformersFacts(
        architecture=architecture,
        inputs=(),
        notes=task.notes(folder),
        task=task,
        shown=shown,
        written_files=task.written(shown),
        client_files=there,
        has_tokenizer="tokenizer.json" in there or reads_texts,
        most_tokens=most_tokens(folder) if reads_texts else None,
    )


def most_tokens(folder: Path) -> int | None:
    """Return the fewest tokens that a table or a setting allows; None where nothing says so."""
    config, tokenizer = (read_object(folder / name) for name in (CONFIG, TOKENIZER_CONFIG))
    positions, longest = config.get("max_position_embeddings"), tokenizer.get("model_max_length")
    pad = config.get("pad_token_id")
    if config.get("model_type") in AFTER_PADDING and type(positions) is int:
        positions -= 1 + (pad if type(pad) is int else 0)
    return min((n for n in (positions, longest) if type(n) is int and n > 0), default=None)
