"""Take paragraphs of prose from Python's own documentation, and write the texts of the recipe.

    /path/to/python3.11.7 recipes/neo-tiny/texts.py

They are in every installation of CPython: the docstrings of its standard library, and the topics of
its reference manual, which `help()` shows (`pydoc_data/topics.py`). Releases differ by some words,
so what was taken is committed beside this file, and nobody needs CPython 3.11.7 but to do it again:

    training.jsonl       what the model is trained on
    calibration.jsonl    some of training's, for quantizers to look at
    test.jsonl           paragraphs that have nothing of training's in them

A line is {"text": a paragraph on one line, "from": the module or topic it stood in}.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RELEASE = (3, 11, 7)
PREFIXES_LEFT_OUT = (
    *("site-packages/", "dist-packages/", "test/", "idlelib/idle_test/", "lib2to3/tests/"),
    *("distutils/tests/", "unittest/test/", "ctypes/test/", "tkinter/test/", "ensurepip/"),
)
# Files that others hold the rights to have terms of their own; they stay out.
OTHERS_RIGHTS = re.compile(
    r"copyright(?!.*Python Software Foundation)|all rights reserved", re.IGNORECASE
)
# Curly quotation marks and long dashes, as the manual has them.
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--")
WORDS = (9, 110)
LETTERS = 0.9
# Two paragraphs with so many words in a row in common are not independent.
SHARED_WORDS = 10
TEST_SHARE, TEST_WORDS, CALIBRATION = 0.1, (30, 110), 96


def paragraphs(text: str) -> Iterator[str]:
    """Return what stands between empty lines, each on one line, without marks of emphasis."""
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.translate(STRAIGHT).replace("`", "").split())
        yield re.sub(r"(?<!\w)(\*\*?)([\w.\-]+)\1(?!\w)", r"\2", line)


def is_prose(text: str) -> bool:
    """Tell sentences from code, tables, lists of parameters, and headings."""
    if not WORDS[0] <= len(text.split()) <= WORDS[1]:
        return False
    letters = sum(character.isalpha() or character in " ,.'()" for character in text) / len(text)
    marks = (">>>", "--", "==", "__", "XXX", "TODO", "...", " - ", "http", "::=", "->")
    return (
        letters >= LETTERS
        and text.isascii()
        and text[0].isupper()
        and text.endswith(".")
        and not any(mark in text for mark in marks)
        and not re.match(r"\w+:", text)
    )


def documents(library: Path) -> Iterator[tuple[str, str]]:
    """Return (name, text) of each topic of the manual and each docstring of the library."""
    topics = ast.parse((library / "pydoc_data" / "topics.py").read_text("utf-8"))
    for node in topics.body:
        if isinstance(node, ast.Assign):
            for name, text in sorted(ast.literal_eval(node.value).items()):
                yield f"topic {name}", text
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).as_posix()
        if name.startswith(("pydoc_data/", *PREFIXES_LEFT_OUT)) or path.is_symlink():
            continue
        source = path.read_text("utf-8")
        if OTHERS_RIGHTS.search(source):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield name, text


def rank(text: str) -> float:
    """Return a number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def runs(text: str) -> set[tuple[str, ...]]:
    """Return all runs of SHARED_WORDS words, without regard to case and marks."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + SHARED_WORDS]) for at in range(len(words) - SHARED_WORDS + 1)}


def split(found: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return texts for training and for the test; no run of words is in both."""
    chosen = {text for text in found if rank(text) < TEST_SHARE}
    training = [text for text in found if text not in chosen]
    seen = set().union(*map(runs, training))
    long = [text for text in chosen if TEST_WORDS[0] <= len(text.split()) <= TEST_WORDS[1]]
    return training, [text for text in long if not runs(text) & seen]


def write(name: str, texts: list[str], found: dict[str, str]) -> None:
    """Write texts in an order that depends on nothing else."""
    lines = [json.dumps({"text": text, "from": found[text]}) for text in sorted(texts, key=rank)]
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = sum(len(text.split()) for text in texts)
    sys.stdout.write(f"{name}: {len(texts):,} paragraphs, {words:,} words\n")


def main() -> None:
    """Write the three files."""
    if sys.version_info[:3] != RELEASE or sys.implementation.name != "cpython":
        version = ".".join(map(str, RELEASE))
        sys.exit(f"the texts are those of CPython {version}, and this is {sys.version}")
    found: dict[str, str] = {}
    for name, document in documents(Path(sysconfig.get_path("stdlib"))):
        for text in paragraphs(document):
            if is_prose(text):
                found.setdefault(text, name)
    training, test = split(found)
    long = [text for text in training if len(text.split()) >= TEST_WORDS[0]]
    write("training.jsonl", training, found)
    write("calibration.jsonl", sorted(long, key=rank)[:CALIBRATION], found)
    write("test.jsonl", test, found)


if __name__ == "__main__":
    main()
