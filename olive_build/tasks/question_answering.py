"""Where in a text the answer to a question stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._texts import EXAMPLES, TextTask
from olive_build.values import dataclass

# As transformers' own pipeline had it, before version 5 took it out.
LONGEST = 15


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering(TextTask):
    """Answers are the first and last token of the likeliest span inside the text.

    transformers 5 has no pipeline of this task: the judge is its tokenizer and its model.
    """

    fields: tuple[str, ...] = ("question", "context")
    data: tuple[str, ...] = ("questions",)
    calibration: tuple[str, ...] = ("calibration-questions",)
    cuts: str = "only_second"

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return {**super().code(shown, takes, most), "longest": str(LONGEST)}

    def examples(self, library: Any) -> Sequence[Any]:
        return [{"question": "Who is it?", "context": text} for text in EXAMPLES]

    def ask(self, library: Any, sample: Any) -> Any:
        given = library.tokenizer(
            sample["question"], sample["context"], truncation="only_second", return_tensors="pt"
        )
        return library.model(**given)

    def known(self, library: Any) -> dict[str, Any]:
        return {"separator": library.tokenizer.sep_token_id}

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        import numpy as np

        tokens = feeds["input_ids"][0]
        begin = int(np.argmax(tokens == known["separator"])) + 1
        start, end = (outputs[name][0] for name in ("start_logits", "end_logits"))
        scores = start[:, None] + end[None, :]
        allowed = np.triu(np.ones_like(scores)) - np.triu(np.ones_like(scores), LONGEST)
        allowed[:begin] = 0
        allowed[:, tokens == known["separator"]] = 0
        place = int(np.where(allowed > 0, scores, -np.inf).argmax())
        return [place // len(tokens), place % len(tokens)]

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return F1 of the tokens of two spans."""
        one, other = (set(range(span[0], span[1] + 1)) for span in (found, expected))
        return 2 * len(one & other) / (len(one) + len(other))


SIDE = Side(
    QuestionAnswering(
        name="question-answering",
        tasks=("question-answering",),
        description="Models that find answers in a text, as AutoModelForQuestionAnswering loads",
        classes=("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
        auto="AutoModelForQuestionAnswering",
        truncates=True,
        outputs=("start_logits", "end_logits"),
    )
)
