"""What a decoder-only language model is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, generation_config.json where there is
one, tokenizer.json and tokenizer_config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from olive_build.families.causal_lm.client_files import (
    CONFIG,
    GENERATION,
    TOKENS,
    generation_config,
    special_tokens,
    with_promise,
)
from olive_build.families.causal_lm.names import input_names
from olive_build.families.configuration import none_of, read_configuration
from olive_build.families.facts import Asked, Axes, Component, Facts
from olive_build.families.library_tokenizer import TokenizerSettings
from olive_build.families.weight_files import ties_words

# The weight that scores words, as the files name it where it is one of its own.
SCORES = "lm_head.weight"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# What transformers.js asks for beside the graphs; the optional ones only where they are.
CLIENT_FILES = (CONFIG, TOKENIZER, TOKENIZER_CONFIG)
OPTIONAL_CLIENT_FILES = (
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
)

MAX_NEW_TOKENS = "max_new_tokens"
# What a file that searches by itself writes behind a prompt when it is timed.
TOKENS_WRITTEN = 16
SEARCH = (
    "How words are chosen is in the graph and cannot be changed from outside: `model.options` in "
    "`manifest.json` has what the recipe asked for."
)
_not_this_family = none_of(
    "causal-lm",
    "the folder must be as transformers saves a causal language model of one of these "
    "architectures with its fast tokenizer",
)
_read = partial(read_configuration, refused=_not_this_family)


@dataclass(frozen=True)
class Keys:
    """What an architecture calls its sizes in config.json, and whether it ties by default.

    The default is that of transformers' own configuration class: what equals it may be left out of
    the file. `table` is how its files name the vectors of the words.
    """

    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    dimensions: str = "hidden_size"
    positions: str = "max_position_embeddings"
    kv_heads: str | None = None
    tied: bool = True
    table: str = "embed_tokens.weight"


# By model_type: src/transformers/models/*/configuration_*.py of huggingface/transformers 5.
ARCHITECTURES: Mapping[str, Keys] = {
    "gpt2": Keys(
        layers="n_layer",
        heads="n_head",
        dimensions="n_embd",
        positions="n_positions",
        table="wte.weight",
    ),
    "gpt_neo": Keys(layers="num_layers", heads="num_heads", table="wte.weight"),
    "llama": Keys(kv_heads="num_key_value_heads", tied=False),
    "opt": Keys(),
    "qwen2": Keys(kv_heads="num_key_value_heads", tied=False),
}


@dataclass(frozen=True, kw_only=True)
class CausalLmFacts(Facts):
    """The numbers that exporting, fusing, composing and decoding need.

    `positions` is the most tokens that the model takes, prompt and answer together. `bos`, `eos`
    and `pad` are ids; any of `eos` ends a text. `tied` models score words by the table that they
    look words up in.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    dimensions: int
    vocabulary: int
    positions: int
    bos: int | None
    eos: tuple[int, ...]
    pad: int | None
    tied: bool

    @property
    def tokenizer(self) -> TokenizerSettings:
        """Where the tokenizer lies."""
        return TokenizerSettings()

    @property
    def longest(self) -> int:
        """The longest prompt that is timed: what is written behind it needs positions too."""
        return max(self.positions - TOKENS_WRITTEN, 1)

    @property
    def components(self) -> tuple[Component, ...]:
        """One graph, whose cache goes in and comes out."""
        return (Component(attentions=self.layers, cached=True, tied=self.tied),)

    def check(self, folder: Path, asked: Asked) -> None:
        """Raise PlanError for what the target would do otherwise than generate."""
        from olive_build.families.causal_lm.promise import check_promise

        check_promise(self, folder, asked.options, asked.layout, asked.compose)

    def written_for(self, options: Mapping[str, str]) -> Mapping[str, bytes]:
        """Return `written_files` with what a recipe says of generation, as JSON texts by name."""
        written = dict(self.written_files)
        if GENERATION in written and options:
            written[GENERATION] = with_promise(written[GENERATION], options)
        return written

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the templates of the code that loads a bundle: see `families.Axes`.

        A file that searches by itself takes `max_new_tokens`; else a client or a loop does.
        """
        if MAX_NEW_TOKENS in takes:
            return {"": (f"prompt.{language}",)}
        if language == "transformers_js":
            return {"": (f"step.{language}",), "From Python": ("step.python",)}
        fixed = all(isinstance(axis, int) for axis in next(iter(takes.values())))
        return {"": ("step.python" if language == "python" and not fixed else "step",)}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return what that code may name of the model."""
        return {
            "layers": str(self.layers),
            "kv_heads": str(self.kv_heads),
            "head_dim": str(self.head_dim),
            "positions": str(self.positions),
            "eos": ", ".join(map(str, self.eos)),
            "pad": str(self.pad if self.pad is not None else (*self.eos, 0)[0]),
            MAX_NEW_TOKENS: options.get(MAX_NEW_TOKENS, "40"),
            "search": SEARCH,
        }


def inspect(folder: Path) -> CausalLmFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config = _read(folder, CONFIG)
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise _not_this_family(folder, f"its model_type is '{kind}'; those built are {known}")
    missing = [name for name in CLIENT_FILES if not (folder / name).is_file()]
    if missing:
        raise _not_this_family(folder, f"there is no {missing[0]}")
    saved = _read(folder, GENERATION) if (folder / GENERATION).is_file() else {}
    try:
        return _facts(folder, ARCHITECTURES[kind], config, saved)
    except (KeyError, TypeError, ValueError) as error:
        why = f"config.json has no {error}" if isinstance(error, KeyError) else str(error)
        raise _not_this_family(folder, why) from error


def _facts(
    folder: Path, keys: Keys, config: Mapping[str, Any], saved: Mapping[str, Any]
) -> CausalLmFacts:
    heads, dimensions = int(config[keys.heads]), int(config[keys.dimensions])
    if heads < 1 or dimensions < 1:
        raise ValueError(f"config.json has {heads} heads of {dimensions} values")
    kv_heads = int(config.get(keys.kv_heads) or heads) if keys.kv_heads else heads
    head_dim = int(config.get("head_dim") or dimensions // heads)
    if heads % kv_heads or (not config.get("head_dim") and dimensions % heads):
        raise ValueError(f"{dimensions} values do not divide into {heads} / {kv_heads} heads")
    layers, positions = int(config[keys.layers]), int(config[keys.positions])
    tokens = special_tokens(config, saved)
    bos, eos, pad = (tokens.get(name) for name in TOKENS)
    ends = tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,)
    return CausalLmFacts(
        architecture=str(config["model_type"]),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        dimensions=dimensions,
        vocabulary=int(config["vocab_size"]),
        positions=positions,
        bos=None if bos is None else int(bos),
        eos=tuple(int(token) for token in ends),
        pad=None if pad is None else int(pad),
        tied=ties_words(folder, config, keys.table, SCORES, by_default=keys.tied),
        client_files=(
            *CLIENT_FILES,
            *(name for name in OPTIONAL_CLIENT_FILES if (folder / name).is_file()),
        ),
        inputs=input_names(layers),
        composed_files=CLIENT_FILES,
        written_files={GENERATION: generation_config(config, saved)},
    )
