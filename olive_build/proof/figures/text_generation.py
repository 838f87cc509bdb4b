"""How a model writes: how probable it finds texts, and whether it continues them as PyTorch does.

Texts must be PyTorch's where precision allows it. Two small GPT-Neos (two and four layers) keep the
limits by far: at most 1.0006 and .98 in int8, 1.02 and .87 in int4. For larger models they were
chosen, and not measured yet; so were those of speech.
"""

from __future__ import annotations

from olive_build.proof.figures import FINE_TIMES, SHARE, Figure, Limits, Unit

TEXTS, SPEECH = "perplexity", "wer"
PERPLEXITY = Unit(
    ".4g",
    low=1,
    beyond="no perplexity is below 1, that of a text which is known beforehand",
)

FIGURES = (
    Figure(
        "perplexity",
        "perplexity",
        PERPLEXITY,
        "less",
        short="Perplexity",
        best=1.0,
        budget="The largest perplexity on the proof's texts: e to the mean negative log "
        "probability of a token.",
        metrics={TEXTS: Limits()},
        regression="perplexity",
        told=(TEXTS,),
    ),
    Figure(
        "perplexity_ratio",
        "perplexity against PyTorch's",
        FINE_TIMES,
        "less",
        short="Against PyTorch",
        best=1.0,
        budget="The largest perplexity against PyTorch's on the same texts: 1.05 is 5 % above it.",
        metrics={
            TEXTS: Limits(
                {
                    "fp32": 1.0001,
                    "fp16": 1.01,
                    "int8": 1.05,
                    "weight-int8": 1.02,
                    "int4": 1.25,
                    "w8a8": 1.1,
                    "w8a16": 1.05,
                },
                {"fast": 1.05, "faithful": 1.01},
            )
        },
        regression="perplexity",
        drawn=2,
    ),
    Figure(
        "token_agreement",
        "same likeliest tokens",
        SHARE,
        "more",
        short="Same tokens",
        budget="The least share of the tokens of the proof's texts in whose place it finds "
        "the same token likeliest as PyTorch does.",
        metrics={
            TEXTS: Limits(
                {
                    "fp32": 0.999,
                    "fp16": 0.98,
                    "int8": 0.9,
                    "weight-int8": 0.95,
                    "int4": 0.75,
                    "w8a8": 0.85,
                    "w8a16": 0.9,
                }
            )
        },
    ),
    Figure(
        "generate_agreement",
        "generated alike",
        SHARE,
        "more",
        budget="The least share of runs of generate that give PyTorch's result. Of speech: "
        "other ways to decode (beams, several texts, penalties), to the character. Of models that "
        "write: prompts alone and in padded batches, with and without penalties, to the token.",
        metrics={TEXTS: Limits({"fp32": 1.0, "fp16": 0.9}), SPEECH: Limits({"fp32": 0.9})},
        told=(TEXTS,),
        tolerance=0.1,
    ),
)
