"""Figures as people read them, and the exact value behind each for whoever reads the page."""

from __future__ import annotations

from olive_build.proof.training_verdict import TITLES as OF_TRAINING
from olive_build.report.html.markup import Markup, tag

MINUS = "\u2212"
TITLES = {
    "cosine_lowest": "cosine, lowest",
    "cosine_p1": "cosine, first percentile",
    "cosine_mean": "cosine, mean",
    "spearman": "Spearman of similarities",
    "embedding_difference": "largest difference of an embedding",
    "accuracy": "accuracy",
    "accuracy_loss": "accuracy lost",
    "top1_agreement": "same first choice",
    "picture_agreement": "same first choice, pictures of odd sizes",
    "logits_error": "logits, against PyTorch's, largest error",
    "pixels_difference": "pixels, against transformers', grey levels",
    "wer": "word error rate",
    "wer_loss": "word error rate above PyTorch's",
    "wer_to_reference": "word error rate to PyTorch's texts",
    "perplexity": "perplexity",
    "perplexity_ratio": "perplexity against PyTorch's",
    "token_agreement": "same likeliest tokens",
    "generate_agreement": "generated alike",
    "size_mb": "size",
    "size_ratio": "size against fp32",
    "slowdown": "latency against the fp32 graph",
    "speedup": "speed against PyTorch eager",
    "load_ms": "time to load",
    "load_ratio": "time to load against fp32",
    "memory_mb": "peak memory",
    "memory_ratio": "peak memory against fp32",
    "logits_difference": "logits, against PyTorch's, largest difference",
    **OF_TRAINING,
}
SHORT = {
    "cosine_lowest": "Lowest cosine",
    "cosine_p1": "Cosine p1",
    "cosine_mean": "Mean cosine",
    "spearman": "Spearman",
    "embedding_difference": "Numbers within",
    "accuracy_loss": "Lost",
    "top1_agreement": "Same choice",
    "picture_agreement": "Odd sizes alike",
    "logits_error": "Logits off by",
    "pixels_difference": "Pixels within",
    "wer": "WER",
    "wer_loss": "Above PyTorch",
    "wer_to_reference": "WER to PyTorch",
    "perplexity": "Perplexity",
    "perplexity_ratio": "Against PyTorch",
    "token_agreement": "Same tokens",
    "generate_agreement": "Generated alike",
    "logits_difference": "Logits within",
    "losses_difference": "Losses within",
    "gradient_difference": "Gradients within",
    "eval_difference": "Outputs within",
    "parameters_difference": "Parameters within",
    "trained_difference": "Trained model within",
    "inference_difference": "In two runtimes within",
}
UNITS = {"size_mb": " MB", "load_ms": " ms", "memory_mb": " MB", "speedup": " \u00d7"}
SHARES = ("size_ratio",)
# Shares of words and of decodings: a tenth of a percent is little and counts.
HEARD = (
    *("wer", "wer_to_reference", "token_agreement", "generate_agreement"),
    *("equal_error_rate", "refused_at_margin", "let_in_at_margin"),
)
POINTS = ("wer_loss",)
RATIOS = ("slowdown", "load_ratio", "memory_ratio")
PERPLEXITIES = ("perplexity",)
FINE_RATIOS = ("perplexity_ratio",)
COUNTS = (
    *("frozen_changed", "resume_difference", "nominal_difference", "optimizer_difference"),
    "start_difference",
)
# How figures end that say how far numbers are from others; some of them are counts.
DIFFERENCE = "_difference"


def title_of(figure: str) -> str:
    """Return a figure's name in words; one that is not known keeps its own."""
    return TITLES.get(figure, figure.replace("_", " "))


def short_title(figure: str) -> str:
    """Return a figure's name for the head of a column."""
    return SHORT.get(figure, title_of(figure).capitalize())


def text_of(figure: str, value: float) -> str:
    """Return a figure with its unit: `0.99123`, `25.6 %`, `3.86 x`."""
    if figure in SHARES:
        return f"{value:.1%}".replace("%", " %")
    if figure in HEARD:
        return f"{value:.2%}".replace("%", " %")
    if figure in POINTS:
        return f"{value:.2f} points".replace("-", MINUS)
    if figure in RATIOS:
        return f"{value:.3g} \u00d7"
    if figure in FINE_RATIOS:
        return f"{value:.4f} \u00d7"
    if figure in PERPLEXITIES:
        return f"{value:.4g}"
    if figure in COUNTS:
        return f"{value:g}"
    if figure.endswith(DIFFERENCE):
        return f"{value:.1e}"
    if figure in UNITS:
        return f"{value:.3g}{UNITS[figure]}" if value < 1000 else f"{value:,.0f}{UNITS[figure]}"
    return f"{value:.5f}"


def limit_text(figure: str, value: float) -> str:
    """Return a limit as the recipe says it, with the figure's unit."""
    if figure in (*SHARES, *HEARD):
        return f"{value * 100:g} %"
    if figure in POINTS:
        return f"{value:g} points"
    if figure in (*RATIOS, *FINE_RATIOS):
        return f"{value:g} \u00d7"
    return f"{value:g}{UNITS.get(figure, '')}"


def data(value: float, text: str) -> Markup:
    """Return a figure as it is read, with the exact one as its machine-readable value."""
    return tag("data", text, value=repr(value))


def megabytes(size_bytes: float) -> str:
    """Return a size in units of 10^6 bytes; kB below a tenth of one."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def seconds(value: float) -> str:
    """Return a time: `0.4 s`, `81.7 s`, `12 min 5 s`."""
    if value < 600:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def signed(value: float, text: str) -> str:
    """Return a text of an amount with its sign before it."""
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return sign + text.lstrip("-")
