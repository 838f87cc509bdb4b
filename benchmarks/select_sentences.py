"""Select the sentences of the proof and of the calibration from freely licensed packages.

    python benchmarks/select_sentences.py SOURCES TOKENIZER OUTPUT

SOURCES holds one folder for each package, unpacked as olive_build/proof/data/README.md says,
TOKENIZER is the tokenizer.json of all-MiniLM-L6-v2, OUTPUT the folder for the two files. The same
packages give the same bytes. Lengths are spread log-uniformly, sources and languages in turn.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentence_sources import SOURCES, Source
from tokenizers import Tokenizer

FILES = (("sentences.jsonl", 256), ("control.jsonl", 256), ("calibration-sentences.jsonl", 640))
SHORTEST, LONGEST = 3, 198  # word pieces, without [CLS] and [SEP]
LONG = 64  # word pieces
OTHER_LANGUAGE_EVERY = 9  # one in nine texts is not English

CODE = re.compile(r"[\\{}<>|=@#_^~*`\[\]/+§©™&%$]|\w\(|::|!\w|\.\w|--|\b[A-Z]{3,}|www|http|\d{3}")
BEGINS = re.compile(r"[\"“‘'¿¡]?[A-ZÀ-Ý]")
ENDS = re.compile(r"[.!?][\"”’']?$")
# People read these texts in reports: no violence, no quarrels of religion, no politics of the day.
UNFIT_BEGINNINGS = r"""
    kill slay slain slew murder blood rape rapist harlot prostitut naked slave savage jew gentile
    heathen pagan muslim christian devil hell damn die\b dies\b died death dead burn destroy sword
    wrath hang corpse sex drunk drug gun rifle bomb weapon sangre matar muert espada hembra trump
    obama putin merkel clinton bush nazi hitler woman women concubin virgin womb curse cruel idiot
    moron bastard suck terroris spion espion hate fool stupid ugly fat\b brain lunatic insan asylum
    neck\b necking necked scotch heretic infidel turk indian negr race demon priest beer mussolini
    khrushchev cuba army whip vomit urin dung circumcis phallic female breast beating boil plague
    wicked foetal
"""
UNFIT = re.compile(rf"\b({'|'.join(UNFIT_BEGINNINGS.split())})", re.IGNORECASE)

# Dictionaries and manuals have headings and definitions without a verb; sentences have one.
VERB = re.compile(
    r"\b(am|is|are|was|were|be|been|has|have|had|do|does|did|can|could|will|would|shall|should|may|"
    r"might|must|cannot|\w+n['’]t)\b",
    re.IGNORECASE,
)
POINTERS = re.compile(
    r"(See|Also|Compare|Syn|Contrast|Usage|Antonym|Used|Said|Found|Common)\b|"
    r"\S+ (This|The|If|Jump|Same|Like|Compare|Register|Store|Check|Open)\b"
)
WANTS_A_VERB = ("dict-jargon", "dict-devil", "sqlite3-doc")


@dataclass(frozen=True)
class Candidate:
    """Some sentences that follow each other: their word pieces, where they were found."""

    text: str
    source: str
    paragraph: int
    pieces: int


def main(folder: Path, tokenizer_file: Path, output: Path) -> None:
    """Write both files and print how many texts of each source and length they have."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pools = {source.name: list(_candidates(source, folder, tokenizer)) for source in SOURCES}
    chooser = _Chooser(pools)
    for name, count in FILES:
        chosen = _thinned(chooser.choose(count))
        lines = [{"text": entry.text, "source": entry.source} for entry in chosen]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (output / name).write_text(text, encoding="utf-8")
        _report(name, chosen)


def _thinned(chosen: list[Candidate]) -> list[Candidate]:
    """Keep one of four texts of more than LONG pieces: most of the time goes there."""
    long = [candidate for candidate in chosen if candidate.pieces > LONG]
    left_out = {id(candidate) for candidate in long} - {id(candidate) for candidate in long[::4]}
    return [candidate for candidate in chosen if id(candidate) not in left_out]


def _candidates(source: Source, folder: Path, tokenizer: Tokenizer) -> Iterable[Candidate]:
    """Yield a source's texts in an order that depends on nothing but their bytes."""
    texts = []
    for number, paragraph in enumerate(source.read(folder / source.folder)):
        for start in range(len(paragraph)):
            for end in range(start + 1, len(paragraph) + 1):
                text = " ".join(paragraph[start:end])
                if len(text) > 1100 or not _fit(paragraph[start:end], text, source):
                    break  # a longer run would hold the same sentence
                texts.append((number, text))
    texts.sort(key=lambda entry: hashlib.sha256(entry[1].encode()).digest())
    # Far more texts than are needed; those with the lowest digests are as good as any.
    texts = texts[:20_000]
    encoded = tokenizer.encode_batch([text for _, text in texts], add_special_tokens=False)
    for (number, text), encoding in zip(texts, encoded, strict=True):
        if SHORTEST <= len(encoding.ids) <= LONGEST and "[UNK]" not in encoding.tokens:
            yield Candidate(text, source.name, number, len(encoding.ids))


def _fit(parts: Sequence[str], text: str, source: Source) -> bool:
    """Say whether a text is natural language: whole sentences, no code, listing or boiler plate."""
    if CODE.search(text) or UNFIT.search(text) or ":" in text[-2:]:
        return False
    last = parts[-1]
    if source.name in WANTS_A_VERB and (POINTERS.match(last) or not VERB.search(last)):
        return False
    whole = BEGINS.match(last) and (ENDS.search(last) or source.name in ("dict-wn", "spacy"))
    letters = sum(character.isalpha() or character == " " for character in text) / len(text)
    words = text.split()
    different = {word.lower() for word in words}
    # A genealogy or a list of names is not what an application embeds.
    named = sum(word[0].isupper() for word in words)
    varied = len(words) < 8 or (len(different) > 0.5 * len(words) and named <= 0.25 * len(words))
    fewest = 4 if source.name in ("dict-wn", "sword-text-sparv") else 2
    balanced = all(text.count(a) == text.count(b) for a, b in ("“”", "()"))
    even = text.count('"') % 2 == 0
    return (
        bool(whole)
        and letters > 0.9
        and len(last.split()) >= fewest
        and varied
        and balanced
        and even
    )


class _Chooser:
    """Takes texts of wanted lengths from the pools, a paragraph once, nothing that repeats."""

    def __init__(self, pools: dict[str, list[Candidate]]) -> None:
        self._pools = pools
        self._used: set[tuple[str, int]] = set()
        self._shingles: set[tuple[str, ...]] = set()
        self._turn = {True: 0, False: 0}

    def choose(self, count: int) -> list[Candidate]:
        """Return ``count`` texts whose lengths are log-uniform from SHORTEST to LONGEST."""
        step = math.log(LONGEST / SHORTEST) / count
        wanted = [SHORTEST * math.exp(step * (i + 0.5)) for i in range(count)]
        chosen = []
        for number, length in enumerate(wanted):
            english = number % OTHER_LANGUAGE_EVERY != OTHER_LANGUAGE_EVERY // 2
            chosen.append(self._next(length, english))
        return chosen

    def _next(self, length: float, english: bool) -> Candidate:
        names = [source.name for source in SOURCES if source.english == english]
        for slack, share in ((0.5, 0.06), (1, 0.12), (2, 0.25), (4, 0.5)):
            for offset in range(len(names)):
                name = names[(self._turn[english] + offset) % len(names)]
                for candidate in self._pools[name]:
                    near = abs(candidate.pieces - length) <= max(slack, share * length)
                    if near and self._take(candidate):
                        self._turn[english] += offset + 1
                        return candidate
        raise SystemExit(f"no text of {length:.0f} word pieces is left")

    def _take(self, candidate: Candidate) -> bool:
        """Use a text unless its paragraph is used or it shares four words in a row with another."""
        place = (candidate.source, candidate.paragraph)
        words = re.findall(r"\w+", candidate.text.lower())
        width = min(4, len(words))
        shingles = {tuple(words[i : i + width]) for i in range(len(words) - width + 1)}
        repeated = len(shingles & self._shingles)
        if place in self._used or repeated > len(shingles) // 10:
            return False
        self._used.add(place)
        self._shingles |= shingles
        return True


def _report(name: str, chosen: Sequence[Candidate]) -> None:
    print(name, len(chosen))
    for low, high in ((3, 16), (17, 64), (65, 128), (129, LONGEST)):
        print(f"  {low}-{high}: {sum(low <= entry.pieces <= high for entry in chosen)}")
    for source in SOURCES:
        print(f"  {source.name}: {sum(entry.source == source.name for entry in chosen)}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*(Path(argument) for argument in sys.argv[1:]))
