"""Word error rates, and how near two sets of transcripts are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olive_build.proof.transcription import (
    Transcripts,
    edits,
    transcript_agreement,
    word_error_rate,
    words,
)
from olive_build.proof.verdict import quality_gates
from olive_build.record.proof import Gate

SEQUENCES = st.lists(st.sampled_from("abc"), max_size=8)
TEXTS = st.text("ab,. -'É", max_size=12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  One two,\tTHREE.\n", ["one", "two", "three"]),
        ("It's a twenty-one \u2013 or so\u2026", ["its", "a", "twenty", "one", "or", "so"]),
        ("\u00bfQu\u00e9? \u201eQUE\u0301\u201c", ["qu\u00e9", "qu\u00e9"]),
        ("\uff11\uff12 3.5", ["12", "35"]),
        ("... !", []),
        ("", []),
    ],
)
def test_words_are_compared_without_case_punctuation_and_blanks(
    text: str, expected: list[str]
) -> None:
    assert list(words(text)) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("", "", 0),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c", "a c", 1),
        ("a b c", "a x c", 1),
        ("a b", "b a", 2),
        # Wagner and Fischer's operations on letters: kitten, sitten, sittin, sitting.
        ("k i t t e n", "s i t t i n g", 3),
        ("s a t u r d a y", "s u n d a y", 3),
    ],
)
def test_edits_of_known_pairs(one: str, other: str, expected: int) -> None:
    assert edits(one.split(), other.split()) == expected


@given(SEQUENCES, SEQUENCES, SEQUENCES)
def test_edits_are_a_distance(one: list[str], other: list[str], third: list[str]) -> None:
    found = edits(one, other)
    assert found == edits(other, one)
    assert (found == 0) == (one == other)
    assert abs(len(one) - len(other)) <= found <= max(len(one), len(other))
    assert found <= edits(one, third) + edits(third, other)


@given(SEQUENCES, st.integers(0, 8), st.sampled_from("abc"))
def test_an_insertion_and_its_deletion_are_one_edit(one: list[str], at: int, word: str) -> None:
    longer = [*one[:at], word, *one[at:]]
    assert edits(one, longer) == edits(longer, one) == 1


@given(st.lists(TEXTS, max_size=4))
def test_a_corpus_has_no_error_against_itself_in_capitals(texts: list[str]) -> None:
    assert word_error_rate([text.upper() + " !" for text in texts], texts) == 0


def failures(gates: list[Gate]) -> list[Gate]:
    return [gate for gate in gates if gate.status == "failed"]


def test_the_rate_is_of_the_corpus_and_no_mean_of_the_clips() -> None:
    truth = ["one two three four five six seven eight nine", "ten"]
    assert word_error_rate([truth[0], "tin"], truth) == pytest.approx(0.1)


def test_words_heard_where_nothing_is_said_are_insertions() -> None:
    assert word_error_rate(["one two", "thank you"], ["one two", ""]) == 1.0
    assert word_error_rate(["one two", " ."], ["one two", ""]) == 0.0
    assert word_error_rate(["a b c d e"], ["one two"]) == 2.5
    assert word_error_rate(["thank you", ""], ["", ""]) == 2.0


def test_texts_that_differ_in_number_are_never_compared() -> None:
    with pytest.raises(ValueError, match="argument"):
        word_error_rate(["one"], ["one", "two"])
    with pytest.raises(ValueError, match="argument"):
        transcript_agreement(Transcripts(("a",), (("b",),)), Transcripts(("a",)), ("a",))


TRUTH = ("one two three four", "five six", "")
PYTORCH = Transcripts(("one two three for", "five six", ""), (("one", "two"), ("three",)))


def test_the_same_transcripts_lose_nothing() -> None:
    found = transcript_agreement(PYTORCH, PYTORCH, TRUTH)
    assert found == {
        "wer": pytest.approx(1 / 6),
        "wer_loss": 0,
        "wer_to_reference": 0,
        "generate_agreement": 1,
    }


def test_a_loss_is_in_points_and_below_zero_where_the_file_is_better() -> None:
    worse = Transcripts(("one two three for", "five sick", ""), PYTORCH.cases)
    found = transcript_agreement(worse, PYTORCH, TRUTH)
    assert (found["wer"], found["wer_loss"]) == pytest.approx((2 / 6, 100 / 6))
    assert found["wer_to_reference"] == pytest.approx(1 / 6)
    better = Transcripts(TRUTH, PYTORCH.cases)
    found = transcript_agreement(better, PYTORCH, TRUTH)
    assert (found["wer"], found["wer_loss"]) == pytest.approx((0, -100 / 6))
    assert found["wer_to_reference"] == pytest.approx(1 / 6)


def test_a_case_agrees_only_when_all_of_its_texts_are_equal_to_the_character() -> None:
    for cases in ((("one", "too"), ("three",)), (("One", "two"), ("three",))):
        found = transcript_agreement(Transcripts(PYTORCH.texts, cases), PYTORCH, TRUTH)
        assert found["generate_agreement"] == 0.5
    none = Transcripts(PYTORCH.texts)
    assert transcript_agreement(none, none, TRUTH)["generate_agreement"] == 1


def test_errors_are_held_from_above_and_agreement_from_below() -> None:
    worse = Transcripts(PYTORCH.texts, (("one",), ("three",)))
    figures = transcript_agreement(worse, PYTORCH, TRUTH)
    limits = {"wer": 0.15, "wer_loss": 0.1, "wer_to_reference": 0.1, "generate_agreement": 0.9}
    gates = quality_gates(figures, limits)
    assert [gate.text() for gate in gates] == [
        "wer 0.166667, at most 0.15: failed",
        "wer_loss 0, at most 0.1: passed",
        "wer_to_reference 0, at most 0.1: passed",
        "generate_agreement 0.5, at least 0.9: failed",
    ]
    assert len(failures(gates)) == 2
