"""What code is written from: facts of a model of each family, and a manifest of speech."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from olive_build.bundle import readme
from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.causal_lm.spec import CausalLmFacts
from olive_build.families.facts import Facts
from olive_build.families.image_classification.preparation import Exact, Preparation, Resize
from olive_build.families.image_classification.spec import ImageClassificationFacts
from olive_build.families.sentence_embedding.modules import Pooling
from olive_build.families.sentence_embedding.settings import Settings
from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts
from olive_build.families.whisper.spec import WhisperFacts
from olive_build.targets import load_target

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest as sound

SENTENCES = SentenceEmbeddingFacts(
    architecture="bert",
    layers=6,
    heads=12,
    hidden=77,
    dimensions=77,
    transformer="",
    modules=(Pooling(("cls",), True),),
    settings=Settings(256, False, "", None, False, ()),
    inputs=("input_ids",),
    client_files=(),
    no_graph="",
    notes=(),
)
IMAGES = ImageClassificationFacts(
    architecture="resnet",
    layers=0,
    heads=0,
    prepared=Preparation((Resize(Exact(48, 56), 2),), 48, 56, 1 / 255, (0.5,), (0.25,)),
    labels=("a", "b"),
    convolutional=True,
    composed_files=(),
)
WRITERS = CausalLmFacts(
    architecture="gpt_neo",
    inputs=("input_ids",),
    positions=64,
    bos=None,
    eos=(0,),
    pad=None,
    sizes=Sizes(((2, 4),), ((2, 4),), 50, True),
    tied=True,
)
SPEECH = WhisperFacts(
    architecture="whisper",
    dimensions=96,
    encoder_layers=2,
    decoder_layers=2,
    encoder_heads=4,
    decoder_heads=4,
    vocabulary=51865,
    positions=77,
    mel_bins=81,
    sampling_rate=16000,
    n_fft=400,
    hop_length=160,
    window=7 * 16000,
    start=50258,
    end=50257,
    pad=50257,
    no_timestamps=50363,
    languages={"en": 50259},
    tasks={"transcribe": 50359},
    suppressed=(),
    suppressed_first=(),
    specials_from=50257,
    client_files=(),
)
AUDIO = {"audio_pcm": ("float", "samples"), "audio_stream": ("uint8", "bytes")}
NUMBERS = {
    "min_length": "int32",
    "max_length": "int32",
    "num_beams": "int32",
    "num_return_sequences": "int32",
    "length_penalty": "float",
    "repetition_penalty": "float",
}


def code_sections(described: dict[str, Any], facts: Facts) -> str:
    """Return the code for a manifest, what it does not say filled in."""
    return readme.code_sections(sound(described), facts)


def speech_manifest(
    target: str,
    takes: str = "audio_pcm",
    provider: str | None = None,
    family: str = "whisper",
) -> dict[str, Any]:
    found = load_target(target)
    kind, length = AUDIO.get(takes, ("float", "frames"))
    inputs = [{"name": takes, "type": kind, "axes": [1, length]}]
    inputs += [{"name": name, "type": kind, "axes": [1]} for name, kind in NUMBERS.items()]
    output = {"name": "text_out", "type": "string", "axes": [1, "num_return_sequences"]}
    variant = {"files": {"onnx": "v1/model.onnx"}, "inputs": inputs, "outputs": [output]}
    return {
        "recipe": "my-speech",
        "model": {"family": family},
        "target": target,
        "provider": provider or found.default_provider,
        "variants": {"v1": variant},
    }
