"""The one file in fp32 against transformers' generate, token for token, in every search."""

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
CUTS = (6, 7)


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


@pytest.mark.parametrize(("longest", "cuts"), [(5, True), (6, True), (7, True), (8, False)])
def test_one_beam_that_is_cut_off_is_generates(
    fp32: Heard, pytorch: PyTorch, longest: int, cuts: bool
) -> None:
    cut = 0
    for audio in CLIPS:
        ours, wanted = ends(audio, fp32, pytorch, {"max_length": longest})
        assert ours == wanted
        cut += ours[0][-1] != pytorch.facts.end
    assert bool(cut) == cuts


def best(rows: Sequence[Ids], scores: dict[Ids, float], end: int, cut_counts: int) -> list[Ids]:
    """Rank rows by their mean log probability; what was cut off counts `cut_counts` tokens more."""

    def score(row: Ids) -> float:
        return scores[row] / (len(row) - 1 + (cut_counts if row[-1] != end else 0))

    return sorted(rows, key=score, reverse=True)


def held_by_rank(audio: Samples, fp32: Heard, pytorch: PyTorch, how: Settings) -> int:
    """Require each side's rows to be in its own order; return in how many rows they differ.

    The best row is the same. All are where none was cut off, or each.
    """
    ours, wanted = ends(audio, fp32, pytorch, how)
    end = pytorch.facts.end
    both = {*ours, *wanted}
    scores = {row: pytorch.likelihood(audio, row) for row in both}
    assert ours == best(ours, scores, end, 1)
    assert wanted == best(wanted, scores, end, 0)
    assert ours[0] == wanted[0]
    if len({row[-1] == end for row in both}) == 1:
        assert ours == wanted
    return sum(one != other for one, other in zip(ours, wanted, strict=True))


@pytest.mark.parametrize("longest", CUTS)
def test_beams_that_are_cut_off_rank_otherwise_than_in_generate(
    fp32: Heard, pytorch: PyTorch, longest: int
) -> None:
    """Known: where max_length cuts some beams and others end by themselves, later texts may differ.

    Scores are divided by a length. That of a beam which ended has the end in it on both sides; of
    one that was cut onnxruntime counts the prompt's last token instead, transformers nothing. And
    where enough texts have ended with the last token, onnxruntime looks at those alone.
    """
    differ = 0
    for beams in (2, 4):
        how = {"num_beams": beams, "num_return_sequences": beams, "max_length": longest}
        differ += sum(held_by_rank(audio, fp32, pytorch, how) for audio in CLIPS)
    assert differ, "the difference is gone: say so in docs/speech.md and compare all rows"


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


def test_a_length_above_the_models_positions_is_those(fp32: Heard, pytorch: PyTorch) -> None:
    """The model of this project has 64 positions; a text that runs on would leave its table."""
    most = {"min_length": 1000, "max_length": 1000}
    whole = {"min_length": 64, "max_length": 64}
    assert list(fp32(CLIPS[0], how=most)[0]) == list(fp32(CLIPS[0], how=whole)[0])


@pytest.mark.parametrize("longest", [0, 4])
def test_a_length_without_room_for_a_token_gives_no_text(fp32: Heard, longest: int) -> None:
    texts, _ = fp32(CLIPS[0], how={"max_length": longest})
    assert list(texts) == [""]
