"""Files of clips: recorded speech with what is said in it.

An .npz of `audio`, all samples one clip after the other; `lengths`, the samples of each clip; and
`texts`, what is said. `audio` is int16, float32 from -1 to 1, or uint8 for mu-law (ITU-T G.711),
which takes half the space and is as good for speech.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from olive_build.errors import StepError, first_line
from olive_build.proof.audio import Samples, StoredClips, mu_law_decode, mu_law_encode, samples_of
from olive_build.untrusted import followed, read_npz

__all__ = ["Clips", "Samples", "mu_law_decode", "mu_law_encode", "read_clips", "samples_of"]


@dataclass(frozen=True)
class Clips:
    """Clips as they are stored, and what is said in each; nothing is said where a text is empty."""

    stored: StoredClips
    texts: tuple[str, ...]

    @cached_property
    def audio(self) -> tuple[Samples, ...]:
        """The clips, float32 [samples] each, from -1 to 1."""
        return tuple(self.stored)


def read_clips(path: Path, *, what: str = "the file of clips") -> Clips:
    """Return the clips of a file. Raises StepError, naming the array or clip, for bad data."""
    try:
        arrays = read_npz(followed(path))
        audio, lengths, texts = (arrays[name] for name in ("audio", "lengths", "texts"))
    except (OSError, KeyError) as error:
        why = f"it has no array {error}" if isinstance(error, KeyError) else first_line(error)
        raise StepError(f"{what} cannot be read", where=str(path), why=why) from error
    try:
        if texts.ndim != 1 or texts.dtype.kind != "U":
            raise ValueError("`texts` are no text, or have more than one axis")
        if lengths.ndim == 1 and len(lengths) != len(texts):
            raise ValueError(f"there are {len(lengths)} lengths and {len(texts)} texts")
        return Clips(StoredClips(audio, lengths), tuple(str(text) for text in texts))
    except (TypeError, ValueError) as error:
        raise StepError(f"{what} cannot be used", where=str(path), why=first_line(error)) from error
