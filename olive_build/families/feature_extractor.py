"""How audio is prepared, read closed: what changes samples or features and is not built is refused.

transformers 5 writes processor_config.json with the settings inside, 4 writes
preprocessor_config.json; where both are there, its FeatureExtractionMixin reads the first if it
holds them (feature_extraction_utils.py, get_feature_extractor_dict). Light.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_configuration

PROCESSOR, PREPROCESSOR = "processor_config.json", "preprocessor_config.json"
INSIDE = ("feature_extractor", "audio_processor")
TYPE = "feature_extractor_type"
# By class of transformers 5, its settings with their defaults (models/*/feature_extraction_*.py).
CLASSES: Mapping[str, Mapping[str, Any]] = {
    "WhisperFeatureExtractor": {
        "feature_size": 80,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "padding_value": 0.0,
        "dither": 0.0,
        "return_attention_mask": False,
    },
    "Wav2Vec2FeatureExtractor": {
        "feature_size": 1,
        "sampling_rate": 16_000,
        "padding_value": 0.0,
        "return_attention_mask": False,
        "do_normalize": True,
    },
}
# Settings of all classes.
COMMON: Mapping[str, Any] = {"padding_side": "right"}
# By class, what says how clips are filled up: a Wav2Vec2's never are; a Whisper reads no mask.
OF_NO_EFFECT: Mapping[str, tuple[str, ...]] = {
    "WhisperFeatureExtractor": ("return_attention_mask",),
    "Wav2Vec2FeatureExtractor": (
        *("return_attention_mask", "padding_value", "padding_side", "feature_size"),
    ),
}
# What transformers writes beside, computes anew, or leaves to other classes of a processor.
NAMES = (TYPE, "processor_class", "image_processor_type", "tokenizer_class", "auto_map")
COMPUTED = ("n_samples", "nb_max_frames", "mel_filters")


@dataclass(frozen=True)
class Extractor:
    """The settings of a feature extractor, defaults filled in, and what is told of its file."""

    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    file: str

    def written(self, kind: str) -> dict[str, bytes]:
        """Return preprocessor_config.json for clients that read no other, where it is another."""
        if self.file == PREPROCESSOR:
            return {}
        text = json.dumps({TYPE: kind, **self.settings}, indent=2, sort_keys=True)
        return {PREPROCESSOR: f"{text}\n".encode()}


def read_extractor(
    folder: Path, kind: str, handled: tuple[str, ...], refused: Callable[[Path, str], PlanError]
) -> Extractor:
    """Return the settings of the class `kind`, of which those in `handled` may be any.

    Raises what `refused` returns where there are none, or they are another class's; PlanError for
    a setting off its default that is not handled.
    """
    found, path = _found(folder, refused)
    named = str(found.get(TYPE, kind))
    if named != kind:
        raise refused(folder, f"its {TYPE} is {named}, and known is {kind}")
    defaults = {**CLASSES[kind], **COMMON}
    for key, default in defaults.items():
        given = found.get(key, default)
        if key not in (*handled, *OF_NO_EFFECT[kind]) and given != default:
            raise PlanError(
                f"{key} is {given!r}, which is not built",
                where=str(path),
                why=f"{kind} heeds it, and no graph or application here does",
                hint=f"take it out if the model was trained without it; the default is {default!r}",
            )
    unknown = sorted(set(found) - {*defaults, *NAMES, *COMPUTED})
    notes = (f"{path.name}: {', '.join(unknown)} is no setting of {kind}",) if unknown else ()
    settings = {key: found.get(key, default) for key, default in defaults.items()}
    return Extractor(settings, notes, path.name)


def _found(folder: Path, refused: Callable[[Path, str], PlanError]) -> tuple[dict[str, Any], Path]:
    """Return the settings from whichever file the library takes them from, and that file."""
    path = folder / PROCESSOR
    if path.is_file():
        whole = read_configuration(folder, PROCESSOR, refused)
        inside = next((whole[key] for key in INSIDE if key in whole), None)
        if isinstance(inside, dict):
            return inside, path
    path = folder / PREPROCESSOR
    if not path.is_file():
        raise refused(folder, f"neither {PROCESSOR} nor {PREPROCESSOR} says how audio is prepared")
    return read_configuration(folder, PREPROCESSOR, refused), path
