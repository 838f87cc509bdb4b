"""The kinds of model that can be built, as data: what a recipe may ask of each.

A family is a folder here; this registry is what reading a recipe needs of it, without importing it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

# The inputs of a graph by name, in their order, each with its axes. For a target's language a model
# names the templates of its code, in its family's `templates/` ("text.kotlin"), by heading: the
# first has none and asks for the bundle's provider, what follows runs on the CPU.
Axes = Mapping[str, Sequence[int | str]]


@dataclass(frozen=True)
class FamilySpec:
    """What a recipe may name for models of this family.

    `tasks` are the Hugging Face tasks that map to it; `metrics`, `data` and `calibration` what
    `verify` may use (the first of each is the default; without any, a recipe names a file of its
    own); `components` the graphs that such a model has.
    A file of data holds `samples` and ends in `data_suffix`; `miniature_data` are those of a
    miniature's folder that stand in for the recipe's data and calibration, which fit its own model
    only. `takes` says what a composed file is given and what a bare graph is; `parts` are the
    graphs of pre- and post-processing that composing adds, with operators of
    onnxruntime-extensions. Files are timed at these `sizes`, counted in `size_unit`. `axes` are the
    symbolic axes of its graphs, each with the size suggested where sizes are fixed. `split` names
    the files of `compose: split`, each with the components in it. `searches` says whether
    `quantize: auto` and attribution know its graphs, `batches` whether a file takes several samples
    at once, and `options` which sections of a recipe are its own. `method_options` are what methods
    do by default for it that they else do not, and `variant_methods` the methods of those built-in
    variants where its own are better. `convolutional` says whether its models may have their
    weights in convolutions, which have int8 methods of their own. `hides_steps` says whether a
    composed file searches by itself, so that figures of single steps need the graph inside it.
    `trains` says whether a recipe's `train` can make it go on learning, and `only_trains` that
    nothing else is built of it.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    data: tuple[str, ...]
    calibration: tuple[str, ...]
    samples: str
    data_suffix: str
    miniature_data: tuple[str, str] | None
    takes: tuple[str, str]
    parts: tuple[str, ...]
    sizes: tuple[int, ...]
    size_unit: str
    components: tuple[str, ...]
    description: str
    axes: tuple[tuple[str, int], ...] = (("batch_size", 1),)
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    searches: bool = True
    batches: bool = True
    options: tuple[str, ...] = ()
    method_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variant_methods: Mapping[str, str] = field(default_factory=dict)
    convolutional: bool = False
    hides_steps: bool = False
    trains: bool = False
    only_trains: bool = False


# What families have of which training bundles alone are built: no data, no variants, no timing.
ONLY_TRAINS: Mapping[str, Any] = {
    "metrics": ("logits",),
    "data": (),
    "calibration": (),
    "data_suffix": ".npz",
    "miniature_data": None,
    "parts": (),
    "sizes": (1,),
    "components": ("model",),
    "searches": False,
    "trains": True,
    "only_trains": True,
}

FAMILIES: Mapping[str, FamilySpec] = {
    "sentence-embedding": FamilySpec(
        name="sentence-embedding",
        tasks=("feature-extraction", "sentence-similarity"),
        metrics=("cosine",),
        data=("sentences",),
        calibration=("calibration-sentences",),
        samples="texts",
        data_suffix=".jsonl",
        miniature_data=None,
        takes=("text", "tokens"),
        parts=("tokenizer",),
        sizes=(16, 128),
        size_unit="tokens",
        components=("model",),
        description="Text encoders that give one vector a text, as sentence-transformers saves",
        axes=(("batch_size", 1), ("sequence_length", 128)),
    ),
    "image-classification": FamilySpec(
        name="image-classification",
        tasks=("image-classification",),
        metrics=("accuracy",),
        data=(),
        calibration=(),
        samples="images",
        data_suffix=".npz",
        miniature_data=("test.npz", "calibration.npz"),
        takes=("image", "pixels"),
        parts=(),
        sizes=(1, 8),
        size_unit="images",
        components=("model",),
        description="Image classifiers that transformers' AutoModelForImageClassification loads",
        convolutional=True,
        trains=True,
    ),
    "audio-classification": FamilySpec(
        name="audio-classification",
        tasks=("audio-classification",),
        samples="clips",
        takes=("input_values", "input_values"),
        size_unit="clips",
        description="Wav2Vec2 with a classifier, as for speakers or commands: trained on a device",
        axes=(("batch_size", 1), ("samples", 16_000)),
        **ONLY_TRAINS,
    ),
    "text-classification": FamilySpec(
        name="text-classification",
        tasks=("text-classification",),
        samples="texts",
        takes=("input_ids", "input_ids"),
        size_unit="texts",
        description="BERT and DistilBERT with a classifier of texts: trained on a device",
        axes=(("batch_size", 1), ("sequence_length", 128)),
        **ONLY_TRAINS,
    ),
    "whisper": FamilySpec(
        name="whisper",
        tasks=("automatic-speech-recognition",),
        metrics=("wer",),
        data=("speech",),
        calibration=("calibration-speech",),
        samples="clips",
        data_suffix=".npz",
        miniature_data=("test.npz", "calibration.npz"),
        takes=("audio", "features"),
        parts=("audio", "detokenizer"),
        sizes=(10,),
        size_unit="seconds",
        components=("encoder", "decoder", "decoder_with_past"),
        description="Whisper of every size, multilingual or English-only: speech in, text out",
        split={
            "encoder_model": ("encoder",),
            "decoder_model_merged": ("decoder", "decoder_with_past"),
        },
        searches=False,
        batches=False,
        options=("speech",),
    ),
    "causal-lm": FamilySpec(
        name="causal-lm",
        tasks=("text-generation",),
        metrics=("perplexity",),
        data=("sentences",),
        calibration=("calibration-sentences",),
        samples="texts",
        data_suffix=".jsonl",
        miniature_data=("test.jsonl", "calibration.jsonl"),
        takes=("prompt", "tokens"),
        parts=(),
        sizes=(1, 128),
        size_unit="tokens",
        components=("model",),
        description="Decoder-only language models: GPT-Neo, GPT-2, OPT, Llama, Qwen2",
        axes=(
            ("batch_size", 1),
            ("sequence_length", 1),
            ("past_sequence_length", 127),
            ("total_sequence_length", 128),
        ),
        searches=False,
        options=("generation",),
        # What comes out as a cache goes in again: it need not be fp32 in between.
        variant_methods={"q8": "stored-int8"},
        method_options={key: {"keep_io_types": False} for key in ("fp16", "weight-only")},
        hides_steps=True,
    ),
}


def family_of_task(task: str) -> FamilySpec | None:
    """Return the family that serves a Hugging Face task, or None where none does."""
    return next((family for family in FAMILIES.values() if task in family.tasks), None)


def family_module(family: str, room: str) -> ModuleType:
    """Return a family's module: `spec` (light), or one that only workers import.

    Those are `torch_side`, `calibration`, `sample`, `compose`, `miniature`, and of families that
    train `training` and `examples`.
    """
    folder = FAMILIES[family].name.replace("-", "_")
    return import_module(f"olive_build.families.{folder}.{room}")
