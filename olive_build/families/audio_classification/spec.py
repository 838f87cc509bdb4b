"""What a classifier of sounds is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, with the names of the classes, and
preprocessor_config.json, which says how clips are prepared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import class_names, none_of, read_architecture
from olive_build.families.facts import Facts
from olive_build.families.feature_extractor import PREPROCESSOR, read_extractor

CONFIG = "config.json"
EXTRACTOR = "Wav2Vec2FeatureExtractor"
HANDLED = ("sampling_rate", "do_normalize")
# Networks on samples, whose feature extractor does no more than normalize. Others that
# AutoModelForAudioClassification loads take spectrograms.
ARCHITECTURES = ("wav2vec2",)
# A batch has one length; where none is fixed, clips are cut at this many seconds.
LONGEST_SECONDS = 10
# Of transformers' Wav2Vec2Config, where config.json does not say, by convolution.
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
_not_this_family = none_of(
    "audio-classification",
    "the folder must be as transformers saves a Wav2Vec2ForSequenceClassification and its "
    "feature extractor",
)


@dataclass(frozen=True, kw_only=True)
class AudioClassificationFacts(Facts):
    """The numbers that training needs: samples a second, and the classes' names in order.

    With `normalize`, each clip has its mean taken out and is divided by its deviation. Its
    convolutions find nothing in a clip of fewer than `shortest` samples. `client_files` are
    shipped beside the graphs.
    """

    sampling_rate: int
    normalize: bool
    labels: tuple[str, ...]
    shortest: int
    inputs: tuple[str, ...] = ("input_values",)
    client_files: tuple[str, ...] = (CONFIG, PREPROCESSOR)

    def training_data(self, shapes: Mapping[str, int]) -> dict[str, Any]:
        """Return what clips are read as: `samples` of each, or None where the axis is free.

        Raises PlanError where a recipe fixes fewer samples than the convolutions take.
        """
        samples = shapes.get("samples")
        if samples is not None and samples < self.shortest:
            raise PlanError(
                f"clips of {samples} samples are too short for the model",
                where="export.shapes.samples",
                why=f"its convolutions take {self.shortest} at the least",
                hint=f"a second is {self.sampling_rate} samples",
            )
        return {
            "kind": "audio",
            "sampling_rate": self.sampling_rate,
            "samples": samples,
            "shortest": self.shortest,
            "longest": samples or max(LONGEST_SECONDS * self.sampling_rate, self.shortest),
            "normalize": self.normalize,
        }


def inspect(folder: Path) -> AudioClassificationFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config, architecture = read_architecture(folder, CONFIG, ARCHITECTURES, _not_this_family)
    extractor = read_extractor(folder, EXTRACTOR, HANDLED, _not_this_family)
    try:
        facts = AudioClassificationFacts(
            architecture=architecture,
            sampling_rate=int(extractor.settings["sampling_rate"]),
            normalize=bool(extractor.settings["do_normalize"]),
            labels=class_names(config),
            shortest=_shortest(
                config.get("conv_kernel", KERNELS), config.get("conv_stride", STRIDES)
            ),
            written_files=extractor.written(EXTRACTOR),
            notes=extractor.notes,
        )
    except (TypeError, ValueError) as error:
        raise _not_this_family(folder, str(error)) from error
    if facts.sampling_rate < 1:
        raise _not_this_family(folder, f"its sampling_rate is {facts.sampling_rate}")
    return facts


def _shortest(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Return how many samples give one frame. Raises ValueError where the two do not fit."""
    samples = 1
    for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
        samples = (samples - 1) * int(stride) + int(kernel)
    return samples
