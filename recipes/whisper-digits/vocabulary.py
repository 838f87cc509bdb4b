"""Whisper's tokenizer, made from the files in the package openai-whisper.

The package has the byte pairs as ranks (base64 of a token's bytes and its number, one a line) and
the languages as a dictionary in its code, which is read and not run. transformers wants merges: a
token's merge is the pair of parts that is left when its bytes are merged by all lower ranks.
"""

from __future__ import annotations

import ast
import base64
import json
import tarfile
from itertools import pairwise
from pathlib import Path

from transformers import AddedToken, WhisperTokenizer

RANKS, CODE = "whisper/assets/multilingual.tiktoken", "whisper/tokenizer.py"
# Models before large-v3 have these; the package's last language, Cantonese, is of large-v3 alone.
LANGUAGES = 99
BEFORE = ("<|endoftext|>", "<|startoftranscript|>")
AFTER = (
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
    *("<|nocaptions|>", "<|notimestamps|>"),
)
# 0.00 to 30.00 seconds in steps of 0.02.
STAMPS = tuple(f"<|{step / 50:.2f}|>" for step in range(1501))
SIZE = 51_865


def _member(archive: Path, name: str) -> bytes:
    """Return a file of the package's source archive (tar.gz)."""
    with tarfile.open(archive) as package:
        found = next(item for item in package.getmembers() if item.name.endswith(name))
        data = package.extractfile(found)
        assert data is not None
        return data.read()


def languages(archive: Path) -> tuple[str, ...]:
    """Return the codes of the languages in the order of their tokens."""
    for node in ast.parse(_member(archive, CODE)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LANGUAGES":
            return tuple(ast.literal_eval(node.value))[:LANGUAGES]
    raise ValueError(f"{archive}: {CODE} has no LANGUAGES")


def _letters() -> dict[int, str]:
    """Return the character for each byte that byte-level tokenizers write (GPT-2's alphabet).

    A byte that is printable in Latin-1 is itself; the others are 256, 257 and so on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return {byte: chr(byte if byte in printable else next(others)) for byte in range(256)}


def _parts(ranks: dict[bytes, int], token: bytes) -> list[bytes]:
    """Return the parts of a token when all pairs of lower rank than its own are merged."""
    parts = [bytes([byte]) for byte in token]
    while True:
        pairs = [ranks.get(a + b, SIZE) for a, b in pairwise(parts)]
        lowest = min(pairs, default=SIZE)
        if lowest >= ranks[token]:
            return parts
        at = pairs.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def make_tokenizer(archive: Path) -> WhisperTokenizer:
    """Return the multilingual tokenizer of SIZE tokens from openai-whisper's source archive."""
    lines = _member(archive, RANKS).split(b"\n")
    ranks = {base64.b64decode(a): int(b) for a, b in (line.split() for line in lines if line)}
    letters = _letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1:
            left, right = _parts(ranks, token)
            merges.append((spelled[left], spelled[right]))
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
    vocabulary[BEFORE[0]] = len(vocabulary)
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges)
    codes = (f"<|{code}|>" for code in languages(archive))
    tokenizer.add_special_tokens({"extra_special_tokens": [*BEFORE, *codes, *AFTER]})
    tokenizer.add_tokens([AddedToken(stamp, normalized=False, special=False) for stamp in STAMPS])
    # Made anew: at first there was no token to begin a text with.
    tokenizer.set_prefix_tokens(predict_timestamps=False)
    assert len(tokenizer) == SIZE, len(tokenizer)
    return tokenizer


def compact(path: Path) -> None:
    """Write a JSON file again without its indentation, which is half of a tokenizer.json."""
    data = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
