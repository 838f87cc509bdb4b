"""References of models that write: texts as tokens, PyTorch's predictions and continuations.

reference.json   kind, the tokens that end and pad a text, how a file that searches by itself does
                 it (`promised`), and `cases`: prompts that are continued in one batch, each the
                 first `lengths` tokens of a text in `rows`, and how
reference.npz    token_ids [tokens of all texts], lengths [texts], nll and best [tokens of all
                 texts, the first of each left out], written [tokens of all prompts],
                 choice_best and choice_margin [the same, but for beams], written_lengths and
                 choice_lengths [prompts]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.proof.generation import (
    SEQUENCES,
    CachedModel,
    Decoding,
    Ends,
    continued,
    read_text,
    searched,
)
from olive_build.proof.predictions import (
    Confidence,
    Predictions,
    Tokens,
    generation_agreement,
    parted,
)

Rows = npt.NDArray[np.int64]
# Of what is no whole number in a decoding.
OTHER_TYPES: Mapping[str, tuple[type, ...]] = {
    "repetition_penalty": (int, float),
    "length_penalty": (int, float),
    "early_stopping": (bool, str),
}


@dataclass(frozen=True)
class Case:
    """Prompts that are continued together: rows of texts, how many tokens of each, and how."""

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    decoding: Decoding

    def prompts(self, token_ids: Sequence[Rows]) -> list[Rows]:
        """Return the tokens of each prompt."""
        return [
            token_ids[row][:length] for row, length in zip(self.rows, self.lengths, strict=True)
        ]


@dataclass(frozen=True)
class GenerationReference:
    """Texts as tokens, PyTorch's predictions of them, and what it writes in each case.

    `choices` tells how sure it was, for each prompt of all cases. A file with a cache is run in all
    cases without beams, one that searches by itself in those of the `promised` decoding.
    """

    token_ids: tuple[Rows, ...]
    ends: Ends
    cases: tuple[Case, ...]
    promised: Decoding
    predictions: Predictions
    choices: tuple[Confidence, ...]

    kind: ClassVar[str] = "generation"
    metric: ClassVar[str] = "perplexity"
    samples: ClassVar[str] = "texts"

    @property
    def count(self) -> int:
        return len(self.predictions)

    @property
    def expected(self) -> Predictions:
        return self.predictions

    def batches(self) -> list[Rows]:
        """Return none: texts are read one by one, and cases are batches of their own."""
        return []

    def run(self, session: Any, rows: Rows) -> Predictions:
        """Return what a file says of these texts, and what it writes in the cases on them alone.

        Raises StepError when it is no graph of a causal language model, or gives no numbers.
        """
        if SEQUENCES in {value.name for value in session.get_outputs()}:
            written = self._written(
                rows,
                lambda case: case.decoding == self.promised,
                lambda prompts, how: searched(session, prompts, how, self.ends),
            )
            return Predictions(None, None, written, len(rows))
        model = CachedModel(session)
        said = [read_text(model, self.token_ids[row]) for row in rows]
        return Predictions(
            nll=np.concatenate([nll for nll, _ in said]),
            best=np.concatenate([best for _, best in said]),
            written=self._written(
                rows,
                lambda case: case.decoding.num_beams == 1,
                lambda prompts, how: continued(model, prompts, how, self.ends),
            ),
            texts=len(rows),
            is_half=model.is_half,
        )

    def _written(
        self,
        rows: Rows,
        can: Callable[[Case], bool],
        write: Callable[[list[Rows], Decoding], Sequence[Tokens]],
    ) -> tuple[Tokens | None, ...]:
        """Return what `write` gives for each prompt of cases on `rows`; None where it cannot."""
        known = set(map(int, rows))
        found: list[Tokens | None] = []
        for case in self.cases:
            if known.issuperset(case.rows):
                prompts = case.prompts(self.token_ids)
                found += write(prompts, case.decoding) if can(case) else [None] * len(prompts)
        return tuple(found)

    def compare(self, candidate: Predictions, expected: Predictions) -> dict[str, float]:
        """Return perplexities and agreements of all texts and cases."""
        return generation_agreement(candidate, expected, self.choices)

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        described = {
            "eos": list(self.ends.eos),
            "pad": self.ends.pad,
            "promised": asdict(self.promised),
            "cases": [
                {
                    "rows": list(case.rows),
                    "lengths": list(case.lengths),
                    "decoding": asdict(case.decoding),
                }
                for case in self.cases
            ],
        }
        return described, {
            "token_ids": np.concatenate(self.token_ids).astype(np.int32),
            "lengths": np.array([len(ids) for ids in self.token_ids], np.int64),
            **self.predictions.stored()[1],
            "choice_best": np.concatenate([choice.best for choice in self.choices]),
            "choice_margin": np.concatenate([choice.margin for choice in self.choices]),
            "choice_lengths": np.array([len(choice.best) for choice in self.choices], np.int64),
        }

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> GenerationReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        ids = parted(arrays["token_ids"].astype(np.int64), arrays["lengths"], "token_ids")
        if not ids or min(map(len, ids)) < 1:
            raise ValueError("a text has no token")
        predictions = Predictions.restored({"texts": len(ids)}, arrays)
        cases = tuple(_case(item, ids) for item in described["cases"])
        if len(arrays["nll"]) != sum(len(row) - 1 for row in ids):
            raise ValueError("token_ids and nll differ in number")
        prompts, lengths = sum(len(case.rows) for case in cases), arrays["choice_lengths"]
        if not len(predictions.written) == len(lengths) == prompts:
            raise ValueError("prompts and what was written after them differ in number")
        best, margin = (
            parted(arrays[name].astype(np.float32), lengths, name)
            for name in ("choice_best", "choice_margin")
        )
        ends = Ends(_whole_numbers(described["eos"]), *_whole_numbers([described["pad"]]))
        choices = tuple(map(Confidence, best, margin))
        promised = _decoding(described["promised"])
        return GenerationReference(ids, ends, cases, promised, predictions, choices)


def _case(item: Mapping[str, Any], token_ids: Sequence[Rows]) -> Case:
    case = Case(
        _whole_numbers(item["rows"]), _whole_numbers(item["lengths"]), _decoding(item["decoding"])
    )
    for row, length in zip(case.rows, case.lengths, strict=True):
        if not 0 <= row < len(token_ids) or not 0 < length <= len(token_ids[row]):
            raise ValueError(f"a prompt is {length} tokens of text {row}")
    return case


def _decoding(item: Mapping[str, Any]) -> Decoding:
    found = {field.name: item[field.name] for field in fields(Decoding)}
    for name, value in found.items():
        if type(value) not in OTHER_TYPES.get(name, (int,)):
            raise TypeError(f"{name} is {value!r}")
    return Decoding(**found)


def _whole_numbers(found: Any) -> Tokens:
    if not isinstance(found, list) or any(type(value) is not int for value in found):
        raise TypeError(f"{found!r} are no whole numbers")
    return tuple(found)


REFERENCE = GenerationReference
