"""What a sentence-embedding model is, read from its configuration alone: no weights, no torch.

The folder is as sentence-transformers saves it, or one of transformers, which that library reads
too. What follows the transformer is in modules.py, what happens to a text before it in settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import none_of, read_configuration, read_object
from olive_build.families.facts import Asked, Axes, Component, Facts
from olive_build.families.library_tokenizer import TokenizerSettings
from olive_build.families.sentence_embedding.modules import (
    SENTENCE,
    TOKENS,
    Dense,
    Module,
    Normalize,
    Pooling,
    default_modules,
    read_modules,
)
from olive_build.families.sentence_embedding.settings import (
    TOKENIZER_CONFIG,
    Settings,
    check_kind,
    read_settings,
)
from olive_build.tokenizers.kinds import why_no_graph

TOKENIZER, VOCABULARY = "tokenizer.json", "vocab.txt"
# The files that transformers.js asks for beside the graphs; the optional ones only where they are.
CLIENT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL_CLIENT_FILES = ("special_tokens_map.json", "vocab.txt")
# Of files with the tokenizer in them: wordpiece_text.py says why.
LIMITS = (
    "A text with U+0000 ends there, unless the recipe asks for `export: {opset: 20}` or more: take "
    "it out of texts that may hold one."
)
# Names of a size in config.json, by architecture.
HIDDEN = ("hidden_size", "dim", "d_model")
LAYERS = ("num_hidden_layers", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_heads", "num_heads")
# Architectures whose attention fuses and stays what it was. MPNet's and DeBERTa's is not found,
# and ModernBERT's loses its windows.
FUSED = ("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra")
# What clients make of a hidden state by themselves.
CLIENT_POOLINGS = ("mean", "cls")
# What the code of a bundle embeds.
EXAMPLES = ("How is the weather?", "Will it rain today?")
# The output of a bare graph whose modules no client knows.
EMBEDDING_OUTPUT = SENTENCE
_not_this_family = none_of(
    "sentence-embedding",
    "the folder must be as sentence-transformers or transformers save it, with its tokenizer",
)


@dataclass(frozen=True, kw_only=True)
class SentenceEmbeddingFacts(Facts):
    """The numbers that exporting, fusing and composing need.

    `modules` come after the transformer; `settings` are
    what happens to a text before it. `dimensions` are those of the embedding, `hidden` of a token.
    `no_graph` says why the tokenizer has no graph, where it has none.
    """

    layers: int
    heads: int
    hidden: int
    dimensions: int
    modules: tuple[Module, ...]
    settings: Settings
    no_graph: str

    @property
    def max_length(self) -> int | None:
        """The most tokens of a text that are looked at, None for any number."""
        return self.settings.max_length

    @property
    def longest(self) -> int | None:
        """The longest input that is timed, in tokens: a longer one would be cut."""
        return self.max_length

    @property
    def pooling(self) -> str:
        """How a client pools a bare graph's hidden states; "" where it gives the embedding."""
        first = self.modules[0]
        return first.modes[0] if self._is_simple and isinstance(first, Pooling) else ""

    @property
    def normalize(self) -> bool:
        """Whether a client divides what it pooled by its length."""
        return self._is_simple and len(self.modules) > 1

    @property
    def _is_simple(self) -> bool:
        """Whether clients know all that follows the transformer."""
        first, *others = self.modules
        return (
            isinstance(first, Pooling)
            and first.include_prompt
            and len(first.modes) == 1
            and first.modes[0] in CLIENT_POOLINGS
            and all(item == Normalize(SENTENCE, SENTENCE) for item in others)
            and self.settings.truncate_dim is None
        )

    @property
    def tokenizer(self) -> TokenizerSettings:
        """Where the tokenizer lies, and what is done to it."""
        settings = self.settings
        return TokenizerSettings(self.transformer, settings.lower_case, settings.max_length)

    @property
    def components(self) -> tuple[Component, ...]:
        """One graph; its attention is fused where that of the architecture is known to."""
        return (Component(attentions=self.layers if self.architecture in FUSED else 0),)

    @property
    def embeds(self) -> bool:
        """Whether a bare graph has to give the embedding itself."""
        return not self._is_simple

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the templates of the code that loads a bundle: see `families.Axes`.

        Of a graph that takes tokens Python shows how, unless a client does all of it.
        """
        first, axes = next(iter(takes.items()))
        if first not in self.inputs:
            return {"": (f"text.{language}",)}
        if language == "transformers_js":
            return {"": (f"{'tokens' if self.pooling else 'vectors'}.{language}",)}
        return {"": ("fixed.python" if isinstance(axes[-1], int) else "tokens.python",)}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return what that code may name of the model."""
        texts = [self.settings.prompt + text for text in EXAMPLES]
        cut, side = self.max_length, ', direction="left"' if self.settings.cut_at_left else ""
        return {
            "pooling": self.pooling,
            "normalize": str(self.normalize).lower(),
            "text": repr(texts[0]),
            "side": side,
            "texts": ", ".join(map(repr, texts)),
            "after": self._after_text(),
            "truncation": "" if cut is None else f"tokenizer.enable_truncation({cut}{side})",
            "pool": "\n".join(self._pooling_lines()),
            "limits": "" if next(iter(takes)) in self.inputs else LIMITS,
        }

    def _after_text(self) -> str:
        """Return what is left to do with a bare graph's output, as a sentence."""
        if not self.pooling:
            return f"The output is the vector: float32 [1, {self.dimensions}]."
        normalized = str(self.normalize).lower()
        return (
            f"The output is float32 [1, tokens, {self.hidden}]: pool it ({self.pooling} over the "
            f"tokens of `attention_mask`; normalized: {normalized})."
        )

    def _pooling_lines(self) -> list[str]:
        """Return what Python does with a bare graph's `output`, to have `vectors`."""
        if not self.pooling:
            return ["vectors = output"]
        lines = ["vectors = output[:, 0]"]
        if self.pooling == "mean":
            lines = [
                'mask = feeds["attention_mask"][..., None]',
                "vectors = (output * mask).sum(axis=1) / mask.sum(axis=1)",
            ]
        if self.normalize:
            lines.append("vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)")
        return lines

    def peer_fields(self) -> tuple[tuple[str, Any], ...]:
        """Return how texts become embeddings."""
        return (
            ("max_length", self.max_length),
            ("pooling", self.pooling),
            ("normalize", self.normalize),
        )

    def check(self, folder: Path, asked: Asked) -> None:
        """Raise PlanError where a file or client would read texts otherwise than the library."""
        if asked.compose == "single-file" and self.no_graph:
            raise PlanError(
                "the model's tokenizer cannot be put into one file with the model",
                where=asked.where,
                why=self.no_graph,
                hint="write `compose: none` for the target: the tokenizer is then shipped beside "
                "the model, for a library of the application's to read",
            )
        if asked.layout == "transformers.js" and self.settings.cut_at_left:
            raise PlanError(
                "transformers.js cuts long texts at their end, and the model at their beginning",
                where=asked.where,
                why="truncation_side is left in the tokenizer's configuration",
                hint="leave the web out, or save the tokenizer with truncation_side right",
            )


def inspect(folder: Path) -> SentenceEmbeddingFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    check_kind(folder)
    found = read_modules(folder)
    transformer = folder / (found.transformer if found else "")
    config = read_configuration(transformer, "config.json", _not_this_family)
    after = found or default_modules(config)
    settings = read_settings(folder, transformer, config, saved=found is not None)
    if not any((transformer / name).is_file() for name in (TOKENIZER, VOCABULARY)):
        raise _not_this_family(transformer, f"there is neither {TOKENIZER} nor {VOCABULARY}")
    try:
        hidden = _size(config, HIDDEN)
        layers, heads = _size(config, LAYERS, 0), _size(config, HEADS, 0)
    except (TypeError, ValueError) as error:
        raise _not_this_family(transformer, f"config.json has no usable size ({error})") from error
    segments = ("token_type_ids",) if int(config.get("type_vocab_size") or 0) > 0 else ()
    return SentenceEmbeddingFacts(
        architecture=str(config.get("model_type", "unknown")),
        layers=layers,
        heads=heads,
        hidden=hidden,
        dimensions=_dimensions(hidden, after.after, settings.truncate_dim),
        transformer=after.transformer,
        modules=after.after,
        settings=settings,
        inputs=("input_ids", "attention_mask", *segments),
        client_files=(
            *CLIENT_FILES,
            *(name for name in OPTIONAL_CLIENT_FILES if (transformer / name).is_file()),
        ),
        no_graph=_no_graph(transformer),
        notes=(*after.notes, *settings.notes, *_notes(str(config.get("model_type")), settings)),
    )


def _size(config: Mapping[str, Any], names: tuple[str, ...], default: int | None = None) -> int:
    """Return a size by whichever name the architecture has for it. Raises ValueError."""
    found = next((config[name] for name in names if name in config), default)
    if found is None:
        raise ValueError(f"none of {', '.join(names)}")
    return int(found)


def _notes(architecture: str, settings: Settings) -> tuple[str, ...]:
    length = settings.max_length
    cut = "texts are never cut" if length is None else f"texts are cut at {length} tokens"
    if architecture in FUSED:
        return (cut,)
    return (cut, f"attention stays plain: that of {architecture} is not known to fuse")


def _dimensions(hidden: int, modules: tuple[Module, ...], truncate: int | None) -> int:
    """Return how many numbers an embedding has."""
    sizes = {TOKENS: hidden}
    for module in modules:
        if isinstance(module, Pooling):
            sizes[SENTENCE] = len(module.modes) * sizes[TOKENS]
        elif isinstance(module, Dense):
            sizes[module.gives] = module.outputs
        elif isinstance(module, Normalize) and module.takes in sizes:
            sizes[module.gives] = sizes[module.takes]
    return min(sizes[SENTENCE], truncate or sizes[SENTENCE])


def _no_graph(folder: Path) -> str:
    """Return why the tokenizer has no graph, "" where it has one or a step will tell.

    What AutoTokenizer makes of the files may differ from tokenizer.json in its case alone.
    """
    path = folder / TOKENIZER
    for key in ("truncation_side", "padding_side"):
        if read_object(folder / TOKENIZER_CONFIG).get(key) == "left":
            return f"{key} is left in {TOKENIZER_CONFIG}: the graph cuts and pads at the right"
    if not path.is_file():
        return ""
    tokenizer = read_configuration(folder, TOKENIZER, _not_this_family)
    if not isinstance(tokenizer.get("model"), dict):
        raise _not_this_family(folder, f"{TOKENIZER} holds no tokenizer")
    return why_no_graph(tokenizer)
