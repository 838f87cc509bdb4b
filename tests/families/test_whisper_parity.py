"""The one file in fp32 against transformers' generate, token for token, however text is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from composed_whisper import Heard, Ids, PyTorch, Samples, Settings, doubtful, written

CLIPS = doubtful(6)
BEAMS = [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)]
SEARCHES = [{"num_beams": beams, "num_return_sequences": count} for beams, count in BEAMS]
# Every way is tried on the best text, and where several are returned on all of them.
ALL = SEARCHES[2], SEARCHES[5]
PENALTIES = [
    *({**search, "length_penalty": penalty} for search in ALL for penalty in (0.6, 2.0)),
    *({**search, "repetition_penalty": 1.3} for search in ALL),
    {**SEARCHES[4], "length_penalty": 2.0, "repetition_penalty": 1.3},
]
# The prompt's four tokens count. A model that has to write more than is said goes on and on.
LEAST = [{**search, "min_length": 7, "max_length": 12} for search in (SEARCHES[0], *ALL)]
CUTS = (6, 8)


def ends(audio: Samples, heard: Heard, pytorch: PyTorch, how: Settings) -> list[list[Ids]]:
    """Both sides' ids up to the end, ours first; their texts must be equal where the ids are."""
    texts, ids = heard(audio, how=how)
    wanted_texts, wanted = pytorch(audio, how=how)
    found = [written(rows, pytorch.facts.end) for rows in (ids, wanted)]
    assert found[0] != found[1] or texts == wanted_texts
    return found


@pytest.mark.parametrize("how", [*SEARCHES, *PENALTIES], ids=str)
def test_tokens_and_texts_are_those_of_generate(
    fp32: Heard, pytorch: PyTorch, how: dict[str, Any]
) -> None:
    for audio in CLIPS:
        ours, wanted = ends(audio, fp32, pytorch, how)
        assert ours == wanted
        assert len(set(ours)) == len(ours) == how["num_return_sequences"]


@pytest.mark.parametrize("longest", CUTS)
def test_one_beam_that_is_cut_off_is_generates(
    fp32: Heard, pytorch: PyTorch, longest: int
) -> None:
    cut = 0
    for audio in CLIPS:
        ours, wanted = ends(audio, fp32, pytorch, {"max_length": longest})
        assert ours == wanted
        cut += ours[0][-1] != pytorch.facts.end
    assert cut, "nothing was cut, so this proves nothing"


def best(rows: Sequence[Ids], scores: dict[Ids, float], end: int, cut_counts: int) -> list[Ids]:
    """Rank rows by their mean log probability; what was cut off counts `cut_counts` tokens more."""

    def score(row: Ids) -> float:
        return scores[row] / (len(row) - 1 + (cut_counts if row[-1] != end else 0))

    return sorted(rows, key=score, reverse=True)


def held_by_rank(audio: Samples, fp32: Heard, pytorch: PyTorch, how: Settings) -> int:
    """Require both sides' rows to be the best by their own rule; return how many ours cut off.

    Rows that all ended, or were all cut off, are ranked alike by both and must be equal.
    """
    ours, wanted = ends(audio, fp32, pytorch, how)
    end, count = pytorch.facts.end, len(wanted)
    both = sorted({*ours, *wanted})
    scores = {row: pytorch.likelihood(audio, row) for row in both}
    assert ours == best(both, scores, end, 1)[:count]
    assert wanted == best(both, scores, end, 0)[:count]
    if len({row[-1] == end for row in both}) == 1:
        assert ours == wanted
    return sum(row[-1] != end for row in ours)


@pytest.mark.parametrize("longest", CUTS)
@pytest.mark.parametrize("beams", [2, 4])
def test_beams_that_are_cut_off_count_one_token_more_than_in_generate(
    fp32: Heard, pytorch: PyTorch, longest: int, beams: int
) -> None:
    """Known: beams that max_length cuts rank a little higher among those that ended by themselves.

    Scores are divided by a length. That of a beam which ended has the end in it on both sides; of
    one that was cut onnxruntime counts the prompt's last token instead, transformers nothing.
    """
    how = {"num_beams": beams, "num_return_sequences": beams, "max_length": longest}
    assert sum(held_by_rank(audio, fp32, pytorch, how) for audio in CLIPS)


@pytest.mark.parametrize("how", LEAST, ids=str)
def test_the_shortest_length_is_held_and_counts_the_prompt(
    fp32: Heard, pytorch: PyTorch, how: dict[str, Any]
) -> None:
    for audio in CLIPS:
        held_by_rank(audio, fp32, pytorch, how)
        for row in written(fp32(audio, how=how)[1], pytorch.facts.end):
            tokens = len(pytorch.prompt) + len(row) - 1
            assert tokens == how["max_length"] or tokens > how["min_length"]


def test_the_best_text_is_that_of_generates_default_too(fp32: Heard, pytorch: PyTorch) -> None:
    """Known: the operator stops when it has as many texts as beams, as `early_stopping=True`.

    By default generate looks on for better ones; that may change the others that are returned.
    """
    for audio in CLIPS:
        for beams in (2, 4):
            ours = fp32(audio, how={"num_beams": beams})[0]
            assert ours == pytorch(audio, how={"num_beams": beams}, early_stopping=False)[0]


def test_one_beam_gives_the_repetition_penalty_to_log_probabilities(
    fp32: Heard, pytorch: PyTorch
) -> None:
    """Known: with one beam transformers gives it to scores, with several both sides do as here."""
    penalty, differs = 2.0, 0

    def log_probabilities(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.log_softmax(-1)

    processors = transformers.LogitsProcessorList(
        [log_probabilities, transformers.RepetitionPenaltyLogitsProcessor(penalty)]
    )
    for audio in CLIPS:
        ours, wanted = ends(audio, fp32, pytorch, {"repetition_penalty": penalty})
        _, like_ours = pytorch(audio, logits_processor=processors)
        assert ours == written(like_ours, pytorch.facts.end)
        differs += ours != wanted
    assert differs, "the difference is gone: say so in docs/speech.md and drop this test"


@pytest.mark.parametrize("longest", [0, 4, 5])
def test_a_length_without_room_for_two_tokens_gives_what_two_tokens_give(
    fp32: Heard, pytorch: PyTorch, longest: int
) -> None:
    """onnxruntime's search fails when it may write a single token, so the file lets it write two."""
    for audio in CLIPS[:3]:
        ours = fp32(audio, how={"max_length": longest})
        assert ours == fp32(audio, how={"max_length": 6})
