"""What answers are made of logits: as transformers' pipelines of classification do it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

# What of the largest score single precision moves.
TOLERANCE = 1e-4
SURE = 0.5
SEVERAL = "multi_label_classification"

# The same as Python shows it, from `logits` [classes] to `scores`.
CODE = {
    "softmax": "scores = np.exp(logits - logits.max())\nscores /= scores.sum()",
    "sigmoid": "scores = 1 / (1 + np.exp(-logits))",
    "none": "scores = logits",
}


def scores_of(logits: Any, kind: str) -> Any:
    """Return scores [classes] of logits [classes], by `softmax`, `sigmoid` or `none`."""
    import numpy as np

    if kind == "softmax":
        shifted = np.exp(logits - logits.max())
        return shifted / shifted.sum()
    return 1 / (1 + np.exp(-logits)) if kind == "sigmoid" else logits


def agreement(found: Any, expected: Any, kind: str) -> float:
    """Return how far scores [classes] say what others say.

    Of softmax the first choice counts; of sigmoid the classes that are likelier than not, by
    intersection over union; numbers agree where they differ by a hundredth of their size or less.
    """
    import numpy as np

    if kind == "softmax":
        return float(found.argmax() == expected.argmax())
    if kind == "sigmoid":
        one, other = found >= SURE, expected >= SURE
        return float((one & other).sum() / (one | other).sum()) if (one | other).any() else 1.0
    return float(np.abs(found - expected).max() <= 0.01 * max(1.0, np.abs(expected).max()))


def kind_of(config: Any) -> str:
    """Return how transformers' text pipeline makes scores of a model's logits."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == SEVERAL or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def kind_in(config: Mapping[str, Any]) -> str:
    """Return the same of what config.json says."""
    labels = config.get("id2label") or config.get("num_labels")
    count = labels if isinstance(labels, int) else len(labels or (0, 1))
    return kind_of(SimpleNamespace(problem_type=config.get("problem_type"), num_labels=count))


def by_label(answer: Any, labels: list[str]) -> Any:
    """Return a pipeline's rows of label and score as scores [classes], in the order of labels."""
    import numpy as np

    found = {row["label"]: row["score"] for row in answer}
    return np.array([found[label] for label in labels], np.float64)


def is_same(found: Any, expected: Any) -> bool:
    """Whether two arrays of scores are the same but for single precision."""
    import numpy as np

    largest = max(1.0, float(np.abs(expected).max()))
    return bool(np.abs(found - expected).max() <= TOLERANCE * largest)
