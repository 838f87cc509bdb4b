"""Budgets: what a variant is held to, the shipped floors, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from olive_build.recipe.build import Budgets, Regression, SizedFloor
from olive_build.recipe.fields import Strict

# What is rounded once more or less in resizing differs by one grey level of 255.
ONE_LEVEL = 1.0
QUANTIZED = {
    "embedding_difference": 0.3,
    "accuracy_loss": 1.0,
    "wer_loss": 1.0,
    "pixels_difference": ONE_LEVEL,
}
# By precision, for recipes that give none. Differences of embeddings, over the largest number,
# find what cosines do not see, such as vectors of another length: MiniLM has 7e-7 in fp32, 8e-4 in
# fp16, .02 to .085 in int8, .16 in int4. The others: measured on held-out sentences with that model
# and on the test images of recipes/characters: a sound conversion of that precision keeps them, a
# broken layer does not. Those of word errors were chosen, and not measured yet. A family is held to
# those that it measures.
SHIPPED_FLOORS: Mapping[str, Mapping[str, float]] = {
    "fp32": {
        "cosine_lowest": 0.99999,
        "embedding_difference": 1e-4,
        "accuracy_loss": 0.1,
        "logits_error": 1e-4,
        "picture_agreement": 1.0,
        "pixels_difference": ONE_LEVEL,
        "wer_loss": 0.1,
        "wer_to_reference": 0.005,
        "generate_agreement": 0.9,
    },
    "fp16": {
        "cosine_lowest": 0.999,
        "embedding_difference": 0.01,
        "accuracy_loss": 0.25,
        "pixels_difference": ONE_LEVEL,
        "wer_loss": 0.25,
        "wer_to_reference": 0.02,
    },
    "int8": {**QUANTIZED, "cosine_p1": 0.98},
    "weight-int8": {**QUANTIZED, "cosine_p1": 0.98},
    "int4": {
        **QUANTIZED,
        "cosine_p1": 0.93,
        "embedding_difference": 0.5,
        "accuracy_loss": 3.0,
        "wer_loss": 3.0,
    },
    "w8a8": {**QUANTIZED, "cosine_p1": 0.9, "embedding_difference": 0.5},
    "w8a16": {**QUANTIZED, "cosine_p1": 0.99},
}
# The same for models that write, whose texts must be PyTorch's where precision allows it. Two small
# GPT-Neos (two and four layers) keep them by far: at most 1.0006 and .98 in int8, 1.02 and .87 in
# int4. For larger ones they were chosen, and not measured yet.
GENERATION_FLOORS: Mapping[str, Mapping[str, float]] = {
    "fp32": {"perplexity_ratio": 1.0001, "token_agreement": 0.999, "generate_agreement": 1.0},
    "fp16": {"perplexity_ratio": 1.01, "token_agreement": 0.98, "generate_agreement": 0.9},
    "int8": {"perplexity_ratio": 1.05, "token_agreement": 0.9},
    "weight-int8": {"perplexity_ratio": 1.02, "token_agreement": 0.95},
    "int4": {"perplexity_ratio": 1.25, "token_agreement": 0.75},
    "w8a8": {"perplexity_ratio": 1.1, "token_agreement": 0.85},
    "w8a16": {"perplexity_ratio": 1.05, "token_agreement": 0.9},
}
# By variant, beside those of its precision: what the names promise, whatever the method is.
NAMED_FLOORS: Mapping[str, Mapping[str, float]] = {
    "fast": {"cosine_lowest": 0.996, "cosine_p1": 0.998, "cosine_mean": 0.999, "wer_loss": 1.0},
    "faithful": {"cosine_p1": 0.999, "spearman": 0.9995, "wer_loss": 0.5},
}
# The same for models whose answers are right or wrong: cosines of logits say little of those.
NAMED_ACCURACY: Mapping[str, Mapping[str, float]] = {
    "fast": {"accuracy_loss": 0.5},
    "faithful": {"accuracy_loss": 0.25},
}
# And for models that write.
NAMED_PERPLEXITY: Mapping[str, Mapping[str, float]] = {
    "fast": {"perplexity_ratio": 1.05},
    "faithful": {"perplexity_ratio": 1.01},
}
SHIPPED_CEILINGS: Mapping[str, float] = {"size_ratio": 1.0, "slowdown": 1.0}
CORRELATIONS = ("cosine_lowest", "cosine_p1", "cosine_mean", "spearman")
SHARES = (
    *("accuracy", "top1_agreement", "picture_agreement"),
    *("token_agreement", "generate_agreement"),
)
FLOORS = (*CORRELATIONS, *SHARES)
ERROR_RATES = ("wer", "wer_to_reference")
POINTS = ("accuracy_loss", "wer_loss")
RANGES = (
    (CORRELATIONS, -1, 1, "a correlation"),
    ((*SHARES, *ERROR_RATES), 0, 1, "a share"),
    (POINTS, 0, 100, "in points"),
)
CEILINGS = (
    "embedding_difference",
    "logits_error",
    "pixels_difference",
    "perplexity_ratio",
    "size_mb",
    "size_ratio",
    "slowdown",
    "load_ms",
    "load_ratio",
    "memory_mb",
    "memory_ratio",
)
LARGEST_SIZE = 1_000_000
# What is measured by running the file, which `verify: {timing: false}` leaves out.
MEASURED = ("slowdown", "load_ms", "load_ratio", "memory_mb", "memory_ratio", "speedup")

SpeedupSpec = Annotated[
    Annotated[float, Tag("number")] | Annotated[dict[str, float], Tag("by-size")],
    Discriminator(lambda value: "by-size" if isinstance(value, dict) else "number"),
]


class RegressionSpec(Strict):
    """What a variant may lose against the bundle that its build is about to replace."""

    size: float | None = Field(
        default=None, description="The largest ratio of the file's size to the previous one's."
    )
    latency: float | None = Field(
        default=None,
        description="The largest ratio of latencies, each taken against PyTorch eager in its own "
        "build's run. Held only on the machine that measured the previous build.",
    )
    memory: float | None = Field(
        default=None,
        description="The largest ratio of peak memory. Held only on the machine that measured the "
        "previous build.",
    )
    quality: float | None = Field(
        default=None,
        description="The most that any figure of quality may fall. Held only where both builds "
        "were measured on the same inputs.",
    )
    perplexity: float | None = Field(
        default=None,
        description="The largest ratio of the file's perplexity to the previous one's, for models "
        "that write. Held only where both builds were measured on the same inputs.",
    )


class BudgetsSpec(Strict):
    """What a variant must keep to; a breach fails the build."""

    cosine_lowest: float | None = Field(
        default=None, description="The least cosine to PyTorch's output that any sample may have."
    )
    cosine_p1: float | None = Field(
        default=None,
        description="The least first percentile of the cosines: 99 of 100 samples must reach it.",
    )
    cosine_mean: float | None = Field(default=None, description="The least mean of the cosines.")
    spearman: float | None = Field(
        default=None,
        description="The least rank correlation of the similarities of all pairs of texts: does "
        "search still rank alike?",
    )
    embedding_difference: float | None = Field(
        default=None,
        description="The largest difference of any number of an embedding from what "
        "SentenceTransformer.encode gives, over its largest number: of the proof's texts, and of "
        "strange ones (empty, accents, other scripts, too long).",
    )
    accuracy: float | None = Field(
        default=None, description="The least share of images that it names right: 0.95 is 95 %."
    )
    accuracy_loss: float | None = Field(
        default=None,
        description="The most that it may lose of PyTorch's accuracy, in points: 0.5 is from 96.0 "
        "to 95.5 %.",
    )
    top1_agreement: float | None = Field(
        default=None, description="The least share of images that it names as PyTorch does."
    )
    picture_agreement: float | None = Field(
        default=None,
        description="The least share of the proof's own pictures, of odd sizes, that it names as "
        "transformers does, where a grey level more or less does not change the answer.",
    )
    logits_error: float | None = Field(
        default=None,
        description="The largest difference of a logit from PyTorch's on the same pixels, over the "
        "largest logit.",
    )
    pixels_difference: float | None = Field(
        default=None,
        description="How far the pixels that it makes of a picture may be from those of "
        "transformers' image processor, in grey levels of 255. Held where a file prepares them.",
    )
    wer: float | None = Field(
        default=None,
        description="The largest word error rate: wrong words over words that were said, 0.05 is "
        "5 %.",
    )
    wer_loss: float | None = Field(
        default=None,
        description="The most that its word error rate may be above PyTorch's, in points: 0.5 is "
        "from 4.0 to 4.5 %.",
    )
    wer_to_reference: float | None = Field(
        default=None,
        description="The largest word error rate with PyTorch's own texts taken for the truth.",
    )
    perplexity: float | None = Field(
        default=None,
        description="The largest perplexity on the proof's texts: e to the mean negative log "
        "probability of a token.",
    )
    perplexity_ratio: float | None = Field(
        default=None,
        description="The largest perplexity against PyTorch's on the same texts: 1.05 is 5 % above "
        "it.",
    )
    token_agreement: float | None = Field(
        default=None,
        description="The least share of the tokens of the proof's texts in whose place it finds "
        "the same token likeliest as PyTorch does.",
    )
    generate_agreement: float | None = Field(
        default=None,
        description="The least share of runs of generate that give PyTorch's result. Of speech: "
        "other ways to decode (beams, several texts, penalties), to the character. Of models that "
        "write: prompts alone and in padded batches, with and without penalties, to the token.",
    )
    size_mb: float | None = Field(
        default=None, description="The largest file, in megabytes of 10^6 bytes."
    )
    size_ratio: float | None = Field(
        default=None, description="The largest share of the fp32 graph's size: 0.26 is 26 %."
    )
    slowdown: float | None = Field(
        default=None,
        description="The longest latency against the fp32 graph's: 1.0 is as slow, 0.5 twice as "
        "fast. Held only where it is measured.",
    )
    load_ms: float | None = Field(
        default=None,
        description="The longest time to create a session, in milliseconds, with the file in the "
        "system's cache.",
    )
    load_ratio: float | None = Field(
        default=None, description="The longest time to create a session against the fp32 graph's."
    )
    memory_mb: float | None = Field(
        default=None,
        description="The largest peak memory of loading and running on one thread, in megabytes of "
        "10^6 bytes above a process that has loaded onnxruntime alone.",
    )
    memory_ratio: float | None = Field(
        default=None, description="The largest peak memory against the fp32 graph's."
    )
    speedup: SpeedupSpec | None = Field(
        default=None,
        description="How many times as fast as PyTorch eager it must be, on one thread: a number "
        "for every size that is timed, or one by size, such as {16: 6.5, 128: 3} for tokens. A "
        "size that is named is timed.",
    )
    regression: RegressionSpec | None = Field(
        default=None,
        description="What it may lose against the bundle in the outputs that it replaces; passes "
        "where there is none.",
    )


def shipped_quality(precision: str, figures: Collection[str], name: str = "") -> dict[str, float]:
    """Return the defaults of a precision and of a variant's name, of what a family measures."""
    if "perplexity" in figures:
        floors = {**GENERATION_FLOORS[precision], **NAMED_PERPLEXITY.get(name, {})}
    else:
        named = NAMED_ACCURACY if "accuracy" in figures else NAMED_FLOORS
        floors = {**SHIPPED_FLOORS[precision], **named.get(name, {})}
    return {key: value for key, value in floors.items() if key in figures}


def shipped(
    precision: str, speed: Literal["gated", "any"], figures: Collection[str], name: str = ""
) -> dict[str, float]:
    """Return the defaults of a variant; `speed: any` lifts the one on latency."""
    ceilings = {k: v for k, v in SHIPPED_CEILINGS.items() if k != "slowdown" or speed == "gated"}
    return {**shipped_quality(precision, figures, name), **ceilings}


def filled(
    given: Mapping[str, Any],
    precision: str,
    speed: Literal["gated", "any"],
    figures: Collection[str],
    name: str = "",
) -> Budgets:
    """Return the budgets of a variant: the shipped ones with the recipe's own on top."""
    found: dict[str, Any] = {**shipped(precision, speed, figures, name), **given}
    if "speedup" in found:
        found["speedup"] = _floors_by_size(found["speedup"])
    if "regression" in found:
        found["regression"] = Regression(**found["regression"])
    return Budgets(**found)


def _floors_by_size(given: float | Mapping[str, float]) -> tuple[SizedFloor, ...]:
    if not isinstance(given, Mapping):
        return (SizedFloor(None, given),)
    ordered = sorted((int(size), floor) for size, floor in given.items() if _is_size(size))
    return tuple(SizedFloor(size, floor) for size, floor in ordered)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_SIZE


def flat(given: Mapping[str, Any]) -> dict[str, float]:
    """Return budgets with dots in the names of those that lie in maps: `speedup.16`."""
    found: dict[str, float] = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": item for inner, item in value.items() if item is not None}
        elif value is not None:
            found[key] = value
    return found


def looser(
    given: Mapping[str, Any], precision: str, figures: Collection[str], name: str = ""
) -> Iterator[tuple[str, float]]:
    """Yield each budget that allows more than the shipped default, with that default."""
    for key, default in shipped(precision, "gated", figures, name).items():
        if key in given and (given[key] < default if key in FLOORS else given[key] > default):
            yield key, default


def contradictions(given: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield each budget of a `flat` map that cannot be meant, with the reason."""
    yield from _wrong_in_maps(given)
    for keys, low, high, what in RANGES:
        for key in keys:
            if key in given and not low <= given[key] <= high:
                yield key, f"{key} is {what}, from {low} to {high}"
    for key in CEILINGS:
        if key in given and given[key] <= 0:
            yield key, f"no file or run can keep {key} at {given[key]:g}"
    if given.get("perplexity", 1) < 1:
        yield "perplexity", "no perplexity is below 1, that of a text which is known beforehand"
    order = [key for key in CORRELATIONS[:3] if key in given]
    for lower, higher in pairwise(order):
        if given[lower] > given[higher]:
            why = f"{lower} is never above {higher}, so {higher} {given[higher]:g} says nothing"
            yield lower, why


def _wrong_in_maps(given: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        map_, _, inner = key.partition(".")
        if map_ == "speedup" and inner and not _is_size(inner):
            yield key, f"a size is a whole number from 1 to {LARGEST_SIZE}, such as 16 tokens"
        elif (map_ in ("speedup", "regression") and value <= 0) and key != "regression.quality":
            yield key, f"no file or run can be held by {key} at {value:g}"
        elif key == "regression.quality" and value < 0:
            yield key, "it is how much quality may fall, so 0 is the strictest"
