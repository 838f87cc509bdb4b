"""What a step's logits are made into before ONNX Runtime's search operators choose by them.

The operators have penalties of their own. They are not used: generate counts no padding in a
repetition penalty, and BeamSearch's own hide from it what the length penalty needs. So the tokens
of each row travel with its cache, as one layer more, and the penalties are computed here, in the
order of generate (`_get_logits_processor` in src/transformers/generation/utils.py of
huggingface/transformers 5).

Beams are chosen by logarithms of probabilities, which BeamSearch takes of whatever it is given.
Two tokens are added to the vocabulary so that it leaves ours as they are, and keeps what generate
keeps:

- the rest: what penalties took away, so that all probabilities add up to one; it is masked;
- the end at the last step. There generate ranks texts that end beside those that are cut off.
  BeamSearch drops those that are cut off when the last text that it waits for has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from olive_build.families.causal_lm.generation import Decoding
from olive_build.families.graph_writer import GraphWriter

LOWEST = np.finfo(np.float32).min
ENDLESS = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class NextToken:
    """How the next of `vocabulary` tokens is chosen; any of `eos` ends a text."""

    vocabulary: int
    eos: tuple[int, ...]
    decoding: Decoding

    @property
    def penalizes(self) -> bool:
        """Whether the tokens so far change the scores."""
        how = self.decoding
        return how.repetition_penalty != 1 or how.no_repeat_ngram_size > 0

    @property
    def last_end(self) -> int | None:
        """The token that stands for the end at the last step; None if there is none."""
        return self.vocabulary if self.decoding.num_beams > 1 and self.eos else None

    @property
    def rest(self) -> int | None:
        """The token that holds the rest of all probabilities; None if there is none."""
        if self.decoding.num_beams == 1 or not self.penalizes:
            return None
        return self.vocabulary + (self.last_end is not None)

    @property
    def columns(self) -> int:
        """How many tokens the operator chooses from."""
        return self.vocabulary + (self.last_end is not None) + (self.rest is not None)


@dataclass(frozen=True)
class Seen:
    """Values of a step: all tokens so far, and how many before each are no padding.

    `tokens` and `counts` are int64 [rows, tokens], `total` how many tokens there are, int64 [1],
    `length` of them in the prompt and `max_length` at most in the end, int64 [1].
    """

    tokens: str
    counts: str
    total: str
    length: str
    max_length: str


def write_scores(nodes: GraphWriter, logits: str, seen: Seen, choice: NextToken) -> str:
    """Append the nodes that make `logits` [rows, tokens, vocabulary] into the operator's.

    Return those: float [rows, 1, choice.columns], of the last token.
    """
    axis = nodes.number(1)
    last = nodes.columns(
        logits, nodes.number(-1), nodes.constant("endless", [ENDLESS]), "last_only"
    )
    scores = nodes.add("Squeeze", [last, axis], "last_logits")
    beams = choice.decoding.num_beams > 1
    if beams:
        scores = nodes.add("LogSoftmax", [scores], "log_probabilities", axis=-1)
    if choice.penalizes:
        scores = _penalized(nodes, scores, seen, choice)
    if not beams and len(choice.eos) > 1:
        scores = _ended_stay_ended(nodes, scores, seen, choice)
    if choice.last_end is not None:
        scores = _with_last_end(nodes, scores, seen, choice)
    if choice.rest is not None:
        scores = _with_rest(nodes, scores)
    return nodes.add("Unsqueeze", [scores, axis], "scores")


def _penalized(nodes: GraphWriter, scores: str, seen: Seen, choice: NextToken) -> str:
    """Return scores [rows, vocabulary] after the penalties for tokens that a row has."""
    # One column more takes what is written for no token.
    none = choice.vocabulary
    one = nodes.columns(scores, nodes.number(0), nodes.number(1), "no_token")
    wide = nodes.add("Concat", [scores, one], "with_no_token", axis=1)
    if choice.decoding.repetition_penalty != 1:
        wide = _repetition(nodes, wide, seen, none, choice.decoding.repetition_penalty)
    if choice.decoding.no_repeat_ngram_size:
        wide = _no_repeat(nodes, wide, seen, none, choice.decoding.no_repeat_ngram_size)
    return nodes.columns(wide, nodes.number(0), nodes.number(none), "penalized")


def _repetition(nodes: GraphWriter, wide: str, seen: Seen, none: int, penalty: float) -> str:
    is_token = nodes.add("Greater", [seen.counts, nodes.constant("no_count", 0)], "is_token")
    ids = nodes.add("Where", [is_token, seen.tokens, nodes.constant("none", none)], "seen")
    found = nodes.add("GatherElements", [wide, ids], "seen_scores", axis=1)
    factor = nodes.constant("repetition_penalty", penalty, np.float32)
    below = nodes.add("Less", [found, nodes.constant("zero", 0.0, np.float32)], "below_zero")
    more = nodes.add("Mul", [found, factor], "seen_multiplied")
    less = nodes.add("Div", [found, factor], "seen_divided")
    changed = nodes.add("Where", [below, more, less], "seen_penalized")
    return nodes.add("ScatterElements", [wide, ids, changed], "less_repeated", axis=1)


def _no_repeat(nodes: GraphWriter, wide: str, seen: Seen, none: int, size: int) -> str:
    """Forbid each token that would end a run of `size` tokens that the row has already.

    A run begins at each of the first total - size + 1 tokens. It is met again where all but its
    last token are the row's last.
    """
    zero = nodes.number(0)
    first = nodes.add("Sub", [seen.total, nodes.number(size - 1)], "ngram/start")
    count = nodes.add("Max", [first, zero], "ngram/count")
    met = None
    for place in range(size - 1):
        stop = nodes.add("Add", [count, nodes.number(place)], f"ngram/stop_{place}")
        runs = nodes.columns(seen.tokens, nodes.number(place), stop, f"ngram/run_{place}")
        after = nodes.add("Add", [stop, nodes.number(1)], f"ngram/after_{place}")
        own = nodes.columns(seen.tokens, stop, after, f"ngram/own_{place}")
        same = nodes.add("Equal", [runs, own], f"ngram/same_{place}")
        met = same if met is None else nodes.add("And", [met, same], f"ngram/met_{place}")
    last = nodes.constant("endless", [ENDLESS])
    ids = nodes.columns(seen.tokens, nodes.number(size - 1), last, "ngram/last")
    if met is not None:
        ids = nodes.add("Where", [met, ids, nodes.constant("none", none)], "ngram/forbidden")
    shape = nodes.add("Shape", [ids], "ngram/shape")
    lowest = nodes.add("Expand", [nodes.constant("lowest", LOWEST, np.float32), shape], "ngram/low")
    return nodes.add("ScatterElements", [wide, ids, lowest], "not_repeated", axis=1)


def _ended_stay_ended(nodes: GraphWriter, scores: str, seen: Seen, choice: NextToken) -> str:
    """Let a row that ended by another token end by the one that the operator knows."""
    last = nodes.columns(
        seen.tokens, nodes.number(-1), nodes.constant("endless", [ENDLESS]), "ends/last"
    )
    ended = nodes.add("Greater", [seen.total, seen.length], "ends/generated")
    others = nodes.constant("ends/others", [choice.eos[1:]])
    same = nodes.add("Equal", [last, others], "ends/same")
    ones = nodes.cast(same, TensorProto.INT64, "ends/ones")
    count = nodes.add("ReduceSum", [ones, nodes.number(1)], "ends/count", keepdims=1)
    flag = nodes.cast(count, TensorProto.BOOL, "ends/flag")
    ended = nodes.add("And", [flag, ended], "ends/ended")
    only = np.full((1, choice.vocabulary), LOWEST, np.float32)
    only[0, choice.eos[0]] = 0
    return nodes.add(
        "Where", [ended, nodes.constant("ends/only", only, np.float32), scores], "ends/scores"
    )


def _with_last_end(nodes: GraphWriter, scores: str, seen: Seen, choice: NextToken) -> str:
    """Give the end's score to the token that stands for it, where this step is the last."""
    end, one = choice.eos[0], nodes.number(1)
    parts = [
        nodes.columns(scores, nodes.number(0), nodes.number(end), "last/before"),
        nodes.columns(scores, nodes.number(end), nodes.number(end + 1), "last/end"),
        nodes.columns(
            scores, nodes.number(end + 1), nodes.number(choice.vocabulary), "last/behind"
        ),
    ]
    next_total = nodes.add("Add", [seen.total, one], "last/next_total")
    is_last = nodes.add("Equal", [next_total, seen.max_length], "last/is_last")
    lowest = nodes.constant("lowest", LOWEST, np.float32)
    usual = nodes.add("Where", [is_last, lowest, parts[1]], "last/usual")
    instead = nodes.add("Where", [is_last, parts[1], lowest], "last/instead")
    return nodes.add("Concat", [parts[0], usual, parts[2], instead], "last/scores", axis=1)


def _with_rest(nodes: GraphWriter, scores: str) -> str:
    """Add what is missing for probabilities that add up to one."""
    shares = nodes.add("Exp", [scores], "rest/shares")
    total = nodes.add("ReduceSum", [shares, nodes.number(1)], "rest/total", keepdims=1)
    one = nodes.constant("rest/one", 1.0, np.float32)
    missing = nodes.add("Sub", [one, total], "rest/missing")
    least = nodes.constant("rest/least", np.finfo(np.float32).tiny, np.float32)
    rest = nodes.add("Log", [nodes.add("Max", [missing, least], "rest/share")], "rest/score")
    return nodes.add("Concat", [scores, rest], "rest/scores", axis=1)
