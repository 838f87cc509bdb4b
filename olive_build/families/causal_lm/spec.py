"""What a decoder-only language model is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, generation_config.json where there is
one, tokenizer.json and tokenizer_config.json. What they have no common name for, one forward of
PyTorch says (`sizes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from olive_build.families.causal_lm.exceptions import check_exceptions, not_this_family
from olive_build.families.causal_lm.names import input_names
from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.configuration import read_configuration
from olive_build.families.facts import Asked, Axes, Component, Facts
from olive_build.families.library_tokenizer import TokenizerSettings

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
UNLIMITED = "have as many tokens as memory holds: config.json names no limit"
SEARCH = (
    "How words are chosen is in the graph and cannot be changed from outside: `model.options` in "
    "`manifest.json` has what the recipe asked for."
)
_read = partial(read_configuration, refused=not_this_family)
# What configurations call the most tokens of a text. Some have none of it, such as Bloom's.
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True, kw_only=True)
class CausalLmFacts(Facts):
    """What is known of a model before it is loaded, and its `sizes` and `tied` from then on.

    `positions` is the most tokens that the model takes, prompt and answer together; None where the
    configuration names no limit. `bos`, `eos` and `pad` are ids; any of `eos` ends a text. `tied`
    models score words by the table that they look words up in.
    """

    positions: int | None
    bos: int | None
    eos: tuple[int, ...]
    pad: int | None
    sizes: Sizes | None = None
    tied: bool = False

    @property
    def is_measured(self) -> bool:
        """Whether a forward has said what config.json does not."""
        return self.sizes is not None

    def measured(self, found: Mapping[str, Any]) -> CausalLmFacts:
        """Return the facts with what loading the model found out."""
        sizes = Sizes.from_json(found["sizes"])
        return replace(self, sizes=sizes, tied=bool(found["tied"]), inputs=input_names(sizes))

    @property
    def known(self) -> Sizes:
        """What a forward said; it is an error of ours to ask before there was one."""
        assert self.sizes is not None, "the model was not loaded"
        return self.sizes

    @property
    def tokenizer(self) -> TokenizerSettings:
        """Where the tokenizer lies."""
        return TokenizerSettings()

    @property
    def longest(self) -> int | None:
        """The longest prompt that is timed: what is written behind it needs positions too."""
        return None if self.positions is None else max(self.positions - TOKENS_WRITTEN, 1)

    @property
    def components(self) -> tuple[Component, ...]:
        """One graph, whose cache goes in and comes out."""
        return (Component(attentions=self.known.layers, cached=True, tied=self.tied),)

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
        sizes, most = self.known, self.positions
        heads, size = sizes.caches[0] if sizes.alike else ("heads", "size")
        return {
            "layers": str(sizes.layers),
            "kv_heads": str(heads),
            "head_dim": str(size),
            "limit": UNLIMITED if most is None else f"are at most {most} tokens",
            "full": "have no limit" if most is None else f"are {most} tokens",
            "eos": ", ".join(map(str, self.eos)),
            "pad": str(self.pad if self.pad is not None else (*self.eos, 0)[0]),
            MAX_NEW_TOKENS: options.get(MAX_NEW_TOKENS, "40"),
            "search": SEARCH,
        }


def inspect(folder: Path) -> CausalLmFacts:
    """Return the facts of the model in `folder` that its configuration has.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config = _read(folder, CONFIG)
    check_exceptions(folder, config)
    missing = [name for name in CLIENT_FILES if not (folder / name).is_file()]
    if missing:
        raise not_this_family(folder, f"there is no {missing[0]}")
    saved = _read(folder, GENERATION) if (folder / GENERATION).is_file() else {}
    try:
        return _facts(folder, config, saved)
    except (KeyError, TypeError, ValueError) as error:
        why = f"config.json has no {error}" if isinstance(error, KeyError) else str(error)
        raise not_this_family(folder, why) from error


def _facts(folder: Path, config: Mapping[str, Any], saved: Mapping[str, Any]) -> CausalLmFacts:
    tokens = special_tokens(config, saved)
    bos, eos, pad = (tokens.get(name) for name in TOKENS)
    ends = tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,)
    most = next((config[name] for name in POSITIONS if config.get(name) is not None), None)
    if most is not None and int(most) < 1:
        raise ValueError(f"config.json has {most} positions")
    return CausalLmFacts(
        architecture=str(config["model_type"]),
        positions=None if most is None else int(most),
        bos=None if bos is None else int(bos),
        eos=tuple(int(token) for token in ends),
        pad=None if pad is None else int(pad),
        inputs=(),
        client_files=(
            *CLIENT_FILES,
            *(name for name in OPTIONAL_CLIENT_FILES if (folder / name).is_file()),
        ),
        composed_files=CLIENT_FILES,
        written_files={GENERATION: generation_config(config, saved)},
    )
