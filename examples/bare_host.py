"""Transcribe a clip with one file, as a phone does: onnxruntime, its extensions and numpy alone.

    python examples/bare_host.py MODEL.onnx CLIP.wav [--num-beams 4 --num-return-sequences 2 ...]

It prints the texts, the best first, one a line. The exit code is 2, with a line that says why,
where the clip or the model cannot be used. A model that takes `audio_pcm` is given the samples of a
16-bit wav file of 16 kHz, its channels averaged to one; a model that takes `audio_stream` the bytes
of the file, whatever its form.

Needs the packages onnxruntime, onnxruntime-extensions and numpy (install them with --no-deps:
nothing else is imported).
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import os
import sys
import wave
from pathlib import Path
from typing import Any

# Before onnxruntime is imported: afterwards its telemetry has begun.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

SAMPLES, FILE_BYTES, TEXTS = "audio_pcm", "audio_stream", "str"
SAMPLING_RATE = 16_000
BYTES_OF_A_SAMPLE = 2
FULL_SCALE = 1 << 15
# What the model is asked for where the command line says nothing. max_length counts the prompt too;
# the original Whispers take up to 448.
DEFAULTS: dict[str, int | float] = {
    "min_length": 1,
    "max_length": 64,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
}
NUMPY_TYPES = {"tensor(int32)": "int32", "tensor(float)": "float32"}
UNUSABLE = 2
# Errors are told once, by this script.
FATAL_ONLY = 4


class Unusable(Exception):
    """What cannot be used and why, in one line."""


def main() -> int:
    """Print what is said in a clip; return the exit code."""
    arguments = parser().parse_args()
    try:
        texts = transcribe(arguments.model, arguments.clip, vars(arguments))
    except Unusable as error:
        sys.stderr.write(f"error: {error}\n")
        return UNUSABLE
    # A text is a line, whatever is in it.
    sys.stdout.write("".join(" ".join(text.split()) + "\n" for text in texts))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: an option for each input that is no audio."""
    found = argparse.ArgumentParser(description="Transcribe a clip with a single-file Whisper.")
    found.add_argument("model", type=Path, metavar="MODEL.onnx")
    found.add_argument("clip", type=Path, metavar="CLIP.wav")
    for name, value in DEFAULTS.items():
        option = "--" + name.replace("_", "-")
        found.add_argument(option, type=type(value), metavar="N", help=f"default: {value}")
    return found


def transcribe(model: Path, clip: Path, asked: dict[str, Any]) -> list[str]:
    """Return the texts of a clip. `asked` maps inputs to values, None where nothing is asked.

    Raises Unusable, saying which file or input and why.
    """
    session = open_session(model)
    feeds = settings(session, asked)
    names = [value.name for value in session.get_inputs()]
    if SAMPLES in names:
        feeds[SAMPLES] = read_samples(clip)
    elif FILE_BYTES in names:
        feeds[FILE_BYTES] = read_bytes(clip)
    else:
        raise Unusable(f"{model}: it takes neither {SAMPLES} nor {FILE_BYTES}, but {names}")
    if TEXTS not in [value.name for value in session.get_outputs()]:
        raise Unusable(f"{model}: it has no output '{TEXTS}'")
    try:
        return [str(text) for text in session.run([TEXTS], feeds)[0].reshape(-1)]
    except Exception as error:
        raise Unusable(f"{model}: {clip} cannot be transcribed: {first_line(error)}") from error


def open_session(model: Path) -> Any:
    """Return a session with the extensions' operators. Raises Unusable where there is none."""
    try:
        import onnxruntime
    except ImportError as error:
        raise Unusable(f"onnxruntime cannot be imported: {first_line(error)}") from error
    if not model.is_file():
        raise Unusable(f"{model}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.register_custom_ops_library(extensions_library())
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Unusable(f"{model}: onnxruntime cannot load it: {first_line(error)}") from error


def extensions_library() -> str:
    """Return the path of onnxruntime-extensions' library, without importing the package.

    Where torch or transformers are installed, the package would import them.
    """
    spec = importlib.util.find_spec("onnxruntime_extensions")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / f"_extensions_pydll{suffix}"
            if path.is_file():
                return str(path)
    raise Unusable("the package onnxruntime-extensions is not installed")


def settings(session: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs that are no audio, [1] each, in the types that the model has for them."""
    import numpy as np

    types = {value.name: value.type for value in session.get_inputs()}
    for name in DEFAULTS:
        if asked[name] is not None and name not in types:
            raise Unusable(f"the model has no input '{name}'")
    feeds = {}
    for name in sorted(types.keys() - {SAMPLES, FILE_BYTES}):
        if name not in DEFAULTS or types[name] not in NUMPY_TYPES:
            raise Unusable(f"nothing is known to give for the model's input '{name}'")
        value = DEFAULTS[name] if asked[name] is None else asked[name]
        feeds[name] = np.array([value], NUMPY_TYPES[types[name]])
    return feeds


def read_bytes(clip: Path) -> Any:
    """Return the file as uint8 [1, bytes]. Raises Unusable where it cannot be read."""
    import numpy as np

    try:
        return np.frombuffer(clip.read_bytes(), np.uint8)[np.newaxis]
    except OSError as error:
        raise Unusable(f"{clip}: {error.strerror}") from error


def read_samples(clip: Path) -> Any:
    """Return a 16-bit wav file as float32 [1, samples] from -1 to 1, channels averaged.

    Raises Unusable for another form or rate: resampling is not this script's.
    """
    import numpy as np

    try:
        with wave.open(str(clip), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            stored = file.readframes(file.getnframes())
    except OSError as error:
        raise Unusable(f"{clip}: {error.strerror}") from error
    except (wave.Error, EOFError) as error:
        why = str(error) or "it ends too early"
        raise Unusable(f"{clip}: it is no wav file of plain samples: {why}") from error
    if width != BYTES_OF_A_SAMPLE:
        raise Unusable(f"{clip}: it has {8 * width} bits a sample; give one of 16 bits")
    if rate != SAMPLING_RATE:
        raise Unusable(f"{clip}: it has {rate} samples a second; give one of {SAMPLING_RATE}")
    # A file that was cut off may end within a sample.
    whole = len(stored) // (width * channels) * width * channels
    samples = np.frombuffer(stored[:whole], "<i2").reshape(-1, channels)
    return (samples.mean(axis=1, dtype=np.float64) / FULL_SCALE).astype(np.float32)[np.newaxis]


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    sys.exit(main())
