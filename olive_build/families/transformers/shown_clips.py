"""What a bundle's code shows of preparing a recording: Python with numpy. Light."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.families.configuration import read_object
from olive_build.families.facts import Axes

VALUES, MASK = "input_values", "attention_mask"
FILES = ("processor_config.json", "preprocessor_config.json")
NESTED, NAMED = "feature_extractor", "feature_extractor_type"
# The class that takes samples as they are, or with mean 0 and variance 1.
PLAIN = "Wav2Vec2FeatureExtractor"
RATE = 16_000
VOCABULARY, TOKENIZER_CONFIG, TOKENIZER = "vocab.json", "tokenizer_config.json", "tokenizer.json"
CTC = "Wav2Vec2CTCTokenizer"


def clips_shown(folder: Path) -> dict[str, Any]:
    """Return how recordings are prepared: `normalizes` and `rate`, or `why` no code says it."""
    settings: dict[str, Any] = {}
    for name in FILES:
        read = read_object(folder / name)
        settings |= read.get(NESTED, {}) if name == FILES[0] else read
    kind, rate = settings.get(NAMED), settings.get("sampling_rate", RATE)
    found = {"rate": rate, "settings": settings, "class": kind}
    if kind != PLAIN:
        return {**found, "why": f"it is a {kind}, which does not give samples to the network"}
    return {**found, "normalizes": settings.get("do_normalize", True)}


def clips_code(shown: Mapping[str, Any], takes: Axes) -> dict[str, str]:
    """Return the lines that make `feeds` of `samples`.

    Where none say what the model's feature extractor does, the lines leave it to the application,
    and `note` says so.
    """
    length = takes[VALUES][-1] if VALUES in takes else None
    found = {
        "rate": str(shown["rate"]),
        "length": str(length if isinstance(length, int) else shown["rate"]),
        "note": "",
    }
    if isinstance(length, int):
        found["limits"] = f"This file takes recordings of {length} samples and no others."
    unknown = [name for name in takes if name not in (VALUES, MASK)]
    why = shown.get("why") or (f"the file takes {', '.join(unknown)}" if unknown else "")
    if why:
        shapes = "; ".join(f"{name} {list(axes)}" for name, axes in takes.items())
        return {
            **found,
            "prepare": "feeds = {}  # of the samples, see below",
            "note": "No short code prepares recordings as the model's feature extractor does "
            f"({why}): the application does that, and gives {shapes}.",
        }
    norm = "(samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)"
    lines = [f"values = {norm}"] if shown["normalizes"] else ["values = samples"]
    lines += ["feeds = {", f'    "{VALUES}": values[np.newaxis].astype(np.float32),']
    if MASK in takes:
        lines.append(f'    "{MASK}": np.ones((1, len(values)), np.int64),  # all of it is sound')
    return {**found, "prepare": "\n".join([*lines, "}"])}


def letters_shown(folder: Path) -> dict[str, Any]:
    """Return the letters of a speech recognizer that spells: `vocabulary`, where it has one."""
    vocabulary = read_object(folder / VOCABULARY)
    settings = read_object(folder / TOKENIZER_CONFIG)
    if settings.get("tokenizer_class") not in (CTC, None) or not vocabulary:
        return {}
    for number, entry in settings.get("added_tokens_decoder", {}).items():
        vocabulary[entry["content"]] = int(number)
    if not all(isinstance(number, int) for number in vocabulary.values()):
        return {}
    return {
        "vocabulary": vocabulary,
        "blank": _text(settings.get("pad_token"), "<pad>"),
        "space": _text(settings.get("word_delimiter_token"), "|"),
        "unknown": _text(settings.get("unk_token"), "<unk>"),
        "lowers": bool(settings.get("do_lower_case", False)),
        "has_file": (folder / TOKENIZER).is_file(),
    }


def _text(token: Any, usual: str) -> str:
    token = token.get("content") if isinstance(token, Mapping) else token
    return token if isinstance(token, str) else usual


def letters_file(shown: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the tokenizer that clients read, of a vocabulary; transformers writes none."""
    if "vocabulary" not in shown or shown["has_file"]:
        return {}
    blank, space = shown["blank"], shown["space"]
    special = [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token, number in shown["vocabulary"].items()
        if token.startswith("<") and token.endswith(">")
    ]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": space},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": ""},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {
            "type": "CTC",
            "pad_token": blank,
            "word_delimiter_token": space,
            "cleanup": True,
        },
        "model": {
            "type": "WordLevel",
            "vocab": shown["vocabulary"],
            "unk_token": shown["unknown"],
        },
    }
    return {TOKENIZER: f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()}


def letters_code(shown: Mapping[str, Any]) -> str:
    """Return the lines that print what is said, of `tokens`, the likeliest of each moment."""
    if "vocabulary" not in shown:
        return "print(tokens)  # the model's tokenizer knows what they are"
    lowered = ".lower()" if shown["lowers"] else ""
    space, blank = (json.dumps(shown[name], ensure_ascii=False) for name in ("space", "blank"))
    return "\n".join(
        [
            'vocabulary = json.load(open("tokenizer.json", encoding="utf-8"))["model"]["vocab"]',
            "letters = {number: letter for letter, number in vocabulary.items()}",
            "said = [letters[token] for token in tokens]",
            f"said = [letter for letter in said if letter != {blank}]",
            f'print("".join(said).replace({space}, " ").strip(){lowered})',
        ]
    )
