"""How well speech is transcribed. The limits were chosen, not measured yet."""

from __future__ import annotations

from olive_build.proof.figures import POINTS, SHARE, Figure, Limits

SPEECH = "wer"
_LOSS = {
    "fp32": 0.1,
    "fp16": 0.25,
    "int8": 1.0,
    "weight-int8": 1.0,
    "int4": 3.0,
    "w8a8": 1.0,
    "w8a16": 1.0,
}

FIGURES = (
    Figure(
        "wer",
        "word error rate",
        SHARE,
        "less",
        short="WER",
        budget="The largest word error rate: wrong words over words that were said, 0.05 is 5 %.",
        metrics={SPEECH: Limits()},
        drawn=1,
        told=(SPEECH,),
    ),
    Figure(
        "wer_loss",
        "word error rate above PyTorch's",
        POINTS,
        "less",
        short="Above PyTorch",
        budget="The most that its word error rate may be above PyTorch's, in points: 0.5 is "
        "from 4.0 to 4.5 %.",
        metrics={SPEECH: Limits(_LOSS, {"fast": 1.0, "faithful": 0.5})},
        tolerance=2.0,
    ),
    Figure(
        "wer_to_reference",
        "word error rate to PyTorch's texts",
        SHARE,
        "less",
        short="WER to PyTorch",
        budget="The largest word error rate with PyTorch's own texts taken for the truth.",
        metrics={SPEECH: Limits({"fp32": 0.005, "fp16": 0.02})},
    ),
)
