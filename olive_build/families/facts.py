"""What a family says of one model: its components, its files, and the code that loads them. Light.

`Facts` is what the rest of the house knows of a model. A family's own facts have more, which only
its own rooms read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from olive_build.errors import PlanError
from olive_build.families.library_tokenizer import TokenizerSettings

# The inputs of a graph by name, in their order, each with its axes. For a target's language a model
# names the templates of its code, in its family's `templates/` ("text.kotlin"), by heading: the
# first has none and asks for the bundle's provider, what follows runs on the CPU.
Axes = Mapping[str, Sequence[int | str]]
# The name of a component that is the only one.
SINGLE = "model"


@dataclass(frozen=True)
class Component:
    """One graph of a model, and what fusing and quantizing it have to know.

    `attentions` are those that are known to fuse into one operator each, None where it is to be
    tried and a graph that does not fuse, or not to the same, stays as it is; with `cached` they
    read keys and values of earlier steps. In a `tied` component the last product reads the table in
    which words are looked up. `weights` says what most of its weights are multiplied by: matrix
    `products`, `convolutions`, or `both`, where convolutions are few and stay as they are. `fed_by`
    are the components that are run to have its calibration inputs; without any, the data has them.
    """

    name: str = SINGLE
    attentions: int | None = 0
    cached: bool = False
    tied: bool = False
    weights: Literal["products", "convolutions", "both"] = "products"
    fed_by: tuple[str, ...] = ()

    @property
    def convolutional(self) -> bool:
        """Whether hardly any of its weights are in matrix products."""
        return self.weights == "convolutions"


@dataclass(frozen=True)
class Asked:
    """What a build asks of a model besides its graphs; `where` names the recipe and the target.

    `language` is that of the bundle's code.
    """

    where: str
    layout: str
    compose: str
    options: Mapping[str, str]
    language: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model is, read from its folder without its weights' values.

    `inputs` are those of its first graph. `client_files` are shipped beside bare graphs,
    `composed_files` beside a composed one, and `written_files` are those of them that the folder
    lacks. `transformer` is the folder inside the model's that has the network's configuration.
    `notes` are lines of the plan.
    """

    architecture: str
    inputs: tuple[str, ...]
    client_files: tuple[str, ...] = ()
    composed_files: tuple[str, ...] = ()
    written_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    transformer: str = ""
    notes: tuple[str, ...] = ()

    @property
    def components(self) -> tuple[Component, ...]:
        """The graphs that the model is exported as, each after those whose outputs it reads.

        By default it is one, whose attention stays as it is.
        """
        return (Component(),)

    @property
    def is_measured(self) -> bool:
        """Whether these facts are whole; else loading the model has to say more: `measured`."""
        return True

    def measured(self, found: Mapping[str, Any]) -> Facts:
        """Return the facts with what loading the model found out, `Loaded.measured`."""
        return self

    @property
    def longest(self) -> int | None:
        """The largest size that is timed, in the family's unit; None for any."""
        return None

    @property
    def tokenizer(self) -> TokenizerSettings | None:
        """Where the tokenizer of a model of texts lies, and what is done to it."""
        return None

    @property
    def embeds(self) -> bool:
        """Whether a bare graph has to give what follows the network too, as no client knows it."""
        return False

    def check(self, folder: Path, asked: Asked) -> None:
        """Raise PlanError where the model in `folder` cannot do what a build asks of it."""

    def written_for(self, options: Mapping[str, str]) -> Mapping[str, bytes]:
        """Return `written_files` with what a recipe's options change in them."""
        return self.written_files

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the templates of the code that loads a bundle, by title: see `Axes`."""
        return {}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return what that code may name of the model."""
        return {}

    def training_data(self, shapes: Mapping[str, int]) -> dict[str, Any]:
        """Return what examples are read as where a device trains; `shapes` are sizes of axes.

        Raises PlanError where examples cannot be read as the model's own library does.
        """
        raise PlanError(f"a model of {self.architecture} does not train")

    def peer_fields(self) -> tuple[tuple[str, Any], ...]:
        """Return what a benchmark's peer needs to embed texts; nothing for other models."""
        return ()
