"""Make questions about the built-in sentences: what agreement of question answering is taken on.

python benchmarks/ask_questions.py olive_build/proof/data

No answer is given, for a proof holds a model to PyTorch's own answers. A text is three sentences of
the file of its kind, so that questions share no text with those of calibration.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

QUESTIONS = (
    "Who is it about?",
    "What happened?",
    "When did it happen?",
    "Where was it?",
    "How many were there?",
    "Why did they do it?",
    "What is it made of?",
    "What does the writer think of it?",
)
SENTENCES = 3
MOST = {"questions": 64, "calibration-questions": 128}
SOURCES = {"questions": "sentences", "calibration-questions": "calibration-sentences"}


def main(folder: Path) -> None:
    """Write both files; the same sentences give the same bytes."""
    for name, source in SOURCES.items():
        lines = (folder / f"{source}.jsonl").read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        groups = [texts[at : at + SENTENCES] for at in range(0, len(texts), SENTENCES)]
        rows = [
            {"question": QUESTIONS[at % len(QUESTIONS)], "context": " ".join(group)}
            for at, group in enumerate(groups[: MOST[name]])
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
