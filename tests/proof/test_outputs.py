"""What a file gave is stored and read as its kind of reference has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from olive_build.proof.audio import StoredClips
from olive_build.proof.outputs import read_outputs, write_outputs
from olive_build.proof.quality import Outputs
from olive_build.proof.references.embedding import EmbeddingReference
from olive_build.proof.references.transcription import Decoding, TranscriptionReference
from olive_build.proof.transcription import Transcripts


def test_numbers_and_transcripts_come_back_as_they_were(tmp_path: Path) -> None:
    rows = np.eye(2, dtype=np.float32)
    texts = EmbeddingReference(("a", "b"), (np.arange(2),) * 2, rows, "mean", True)
    write_outputs(Outputs(rows, None), tmp_path)
    found = read_outputs(tmp_path, texts)
    assert found.single.tolist() == rows.tolist() and found.batched is None
    heard = Transcripts(("eins", "zwei \u00e4"), (None, ("drei",)))
    write_outputs(Outputs(heard, None), tmp_path)
    clips = StoredClips(np.zeros(2, np.float32), np.ones(2, np.int64))
    reference = TranscriptionReference(clips, heard.texts, heard.texts, Decoding(8))
    assert read_outputs(tmp_path, reference).single == heard
