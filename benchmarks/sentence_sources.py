"""Read natural sentences out of freely licensed packages, paragraph by paragraph.

Each reader takes the folder into which a package was unpacked and yields paragraphs: lists of
whole sentences that follow each other in the text. Markup, line breaks and whatever is not a
sentence is left out; words are not changed, only a typewriter's two hyphens become a dash.
"""

from __future__ import annotations

import ast
import gzip
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

SENTENCE_END = re.compile(r"(?<=[.!?])[\"”’']?\s+(?=[\"“‘'¿¡]?[A-ZÁÉÍÓÚÑ¿¡])")
ABBREVIATIONS = re.compile(r"\b(Mr|Mrs|Dr|St|e\.g|i\.e|etc|usu|esp|vs|cf|No|Ch|Ps|[A-Z])\.$")


@dataclass(frozen=True)
class Source:
    """A package, what is read from it, and what it may be used for."""

    name: str
    folder: str
    english: bool
    read: Callable[[Path], Iterator[list[str]]]


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph into sentences; an abbreviation or initial ends none."""
    parts: list[str] = []
    start = 0
    text = " ".join(paragraph.split())
    for match in SENTENCE_END.finditer(text):
        quote_end = match.end() - len(match.group().lstrip("\"”’'"))
        piece = text[start:quote_end].strip()
        if ABBREVIATIONS.search(piece):
            continue
        parts.append(piece)
        start = match.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def read_wordnet(folder: Path) -> Iterator[list[str]]:
    """Yield the example sentences of WordNet that begin with a capital, one a paragraph."""
    text = gzip.decompress((folder / "usr/share/dictd/wn.dict.dz").read_bytes()).decode()
    flat = re.sub(r"\s+", " ", text)
    for match in re.finditer(r"[;:,] \"([A-Z][^\"]+)\"(?! - )", flat):
        yield [match.group(1)]


def read_jargon(folder: Path) -> Iterator[list[str]]:
    """Yield the running text of the Jargon File's entries, references without their braces."""
    text = gzip.decompress((folder / "usr/share/dictd/jargon.dict.dz").read_bytes()).decode()
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if not lines or not all(re.match(r" {4}\S", line) for line in lines):
            continue  # a headword, verse or a listing
        plain = re.sub(r"\{\s*([^{}]+?)\s*\}", r"\1", re.sub(r"\s+", " ", block))
        yield sentences(re.sub(r"^ ?(\[[^\]]*\] ?|\d+\. )*", "", plain))


def read_devil(folder: Path) -> Iterator[list[str]]:
    """Yield the prose of The Devil's Dictionary, without headwords and verse."""
    text = gzip.decompress((folder / "usr/share/dictd/devil.dict.dz").read_bytes()).decode(
        "latin-1"
    )
    for block in re.split(r"\n\s*\n", text):
        if block.startswith(" ") or "\n  " in block:
            continue
        plain = re.sub(r"^[A-Z][A-Z' -]+, [a-z. ]+\.\s+(\[[^\]]*\]\s*)?", "", block)
        yield sentences(re.sub(r"[{}_]", "", plain))


def read_austen(folder: Path) -> Iterator[list[str]]:
    """Yield the paragraphs of Jane Austen's novels, from the vectors of an R data base.

    A value of R's lazy-load data base is a zlib stream; a string in it is a header that ends in
    9, its length, its bytes. Each string is a line of a book, an empty one ends a paragraph.
    """
    path = folder / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    data = path.read_bytes()
    position = 0
    while position < len(data):
        stream = zlib.decompressobj()
        value = stream.decompress(data[position + 4 :])
        position = len(data) - len(stream.unused_data)
        lines = []
        for match in re.finditer(rb"\x00[\x04\x08]\x00\x09(....)", value, re.DOTALL):
            (length,) = struct.unpack(">i", match.group(1))
            lines.append(value[match.end() : match.end() + max(length, 0)].decode("latin-1"))
        for paragraph in "\n".join(lines).split("\n\n"):
            yield sentences(paragraph.replace("_", "").replace("--", "—"))


def read_sword(folder: Path) -> Iterator[list[str]]:
    """Yield runs of verses from a SWORD module of the zText kind, ten verses a paragraph."""
    for index in sorted(folder.glob("usr/share/sword/modules/texts/ztext/*/*.bzv")):
        blocks = _sword_blocks(index.with_suffix(".bzs"), index.with_suffix(".bzz"))
        verses: list[str] = []
        for block, offset, size in struct.iter_unpack("<IIH", index.read_bytes()):
            if size == 0:
                continue
            marked = blocks[block][offset : offset + size].decode(errors="replace")
            marked = re.sub(r"<(note|title)\b.*?</\1>", " ", marked, flags=re.DOTALL)
            verses.append(re.sub(r"<[^>]+>", "", marked))
        for start in range(0, len(verses), 10):
            # The last piece may be cut by the run's end, the first by its beginning.
            yield sentences(" ".join(verses[start : start + 10]))[1:-1]


def _sword_blocks(index: Path, data: Path) -> list[bytes]:
    raw = data.read_bytes()
    entries = struct.iter_unpack("<III", index.read_bytes())
    return [zlib.decompress(raw[start : start + size]) for start, size, _ in entries]


class _Paragraphs(HTMLParser):
    """Collects the text of <p> elements that hold no code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "pre", "table", "h1", "h2", "h3", "ul", "ol", "blockquote", "dl"):
            self._close()
        if tag == "p":
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "body", "div"):
            self._close()

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def _close(self) -> None:
        if self._text:
            self.found.append("".join(self._text))
        self._text = None


def read_sqlite(folder: Path) -> Iterator[list[str]]:
    """Yield the paragraphs of SQLite's documentation."""
    for path in sorted((folder / "usr/share/doc/sqlite3").glob("*.html")):
        parser = _Paragraphs()
        parser.feed(path.read_text(encoding="utf-8", errors="replace"))
        for paragraph in parser.found:
            yield sentences(paragraph)


# Latin script, and languages of Europe: what the tokenizer under test splits into word pieces.
LANGUAGES = (
    "ca", "cs", "da", "de", "es", "fi", "fr", "hr", "hu",
    "it", "lb", "nb", "nl", "pl", "pt", "ro", "sl", "sv",
)  # fmt: skip


def read_spacy(folder: Path) -> Iterator[list[str]]:
    """Yield the example sentences of spaCy's languages, one a paragraph."""
    for language in LANGUAGES:
        path = folder / "spacy" / "lang" / language / "examples.py"
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign):
                for sentence in ast.literal_eval(node.value):
                    yield [sentence]


SOURCES = (
    Source("dict-wn", "dict-wn", True, read_wordnet),
    Source("dict-jargon", "dict-jargon", True, read_jargon),
    Source("dict-devil", "dict-devil", True, read_devil),
    Source("r-cran-janeaustenr", "r-cran-janeaustenr", True, read_austen),
    Source("sqlite3-doc", "sqlite3-doc", True, read_sqlite),
    Source("sword-text-web", "sword-text-web", True, read_sword),
    Source("sword-text-sparv", "sword-text-sparv", False, read_sword),
    Source("spacy", "spacy", False, read_spacy),
)
