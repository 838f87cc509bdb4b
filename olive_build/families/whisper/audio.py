"""Audio to log-mel features as a graph, equal to transformers' WhisperFeatureExtractor.

Audio longer than the model's window is cut, shorter audio is followed by silence. The spectrum is
one convolution with the Fourier matrix. onnxruntime's STFT operator was measured beside it on 30 s
of audio, one thread: it takes ten times as long (120 ms, not 12), since 400 is no power of two, and
is up to 1e-2 away from float64, where this stays below 1e-4. The matrix takes 0.6 MB.

The formulas are those of transformers' feature_extraction_whisper.py.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from olive_build.errors import StepError
from olive_build.families.graph_writer import EXTENSIONS, GraphWriter, tensor_info
from olive_build.families.whisper.audio_decode import decoded
from olive_build.families.whisper.spec import WhisperFacts

PCM, STREAM = "audio_pcm", "audio_stream"
FEATURES = "input_features"
MIN_OPSET = 17
# Fixed in WhisperFeatureExtractor, whatever the sampling rate.
HIGHEST_HERTZ = 8000.0
FLOOR, DECADES, OFFSET = 1e-10, 8.0, 4.0


def audio_graph(
    facts: WhisperFacts, opset: int, takes: Literal["audio_pcm", "audio_stream"]
) -> onnx.ModelProto:
    """Return a model that turns audio into the encoder's input.

    Input `audio_pcm`: float32 [1, samples] from -1 to 1 at `facts.sampling_rate`, any number of
    samples, none too; or `audio_stream`: uint8 [1, bytes], a whole wav, flac or mp3 file (see
    audio_decode.py for which files, and what becomes of other bytes). Output `input_features`:
    float32 [1, mel_bins, frames]. Equal arguments give equal bytes. Raises StepError for an opset
    that is too old.
    """
    if opset < MIN_OPSET:
        raise StepError(
            f"opset {opset} is too old for the graph of the audio",
            where="opset",
            why="it is not tested below that of the decoder's search",
            hint=f"give {MIN_OPSET} or more",
        )
    g = GraphWriter("audio")
    samples: str
    if takes == PCM:
        given, samples = tensor_info(PCM, TensorProto.FLOAT, [1, "samples"]), PCM
    else:
        given = tensor_info(STREAM, TensorProto.UINT8, [1, "bytes"])
        samples = decoded(g, STREAM, facts.sampling_rate, facts.window)
    _log_mel(g, _powers(g, _windowed(g, samples, facts), facts), facts)
    shape = [1, facts.mel_bins, facts.frames]
    found = tensor_info(FEATURES, TensorProto.FLOAT, shape)
    return g.model("whisper_audio", [given], [found], {"": opset, EXTENSIONS: 1})


def _windowed(g: GraphWriter, samples: str, facts: WhisperFacts) -> str:
    """Samples float32 [1, samples] -> cut or filled up, mirrored ends; float32 [1, 1, padded]."""
    window = g.constant("window", [facts.window])
    limits = [g.constant("from", [0]), window, g.constant("sample_axis", [1])]
    kept = g.add("Slice", [samples, *limits], "kept")
    size = g.add("Shape", [kept], "kept_size", start=1)
    missing = g.add("Sub", [window, size], "missing")
    ahead = g.constant("nothing_ahead", [0, 0, 0])
    silence = g.add("Concat", [ahead, missing], "silence", axis=0)
    filled = g.add("Pad", [kept, silence], "filled_any_size")
    shape = g.constant("filled_shape", [1, 1, facts.window])
    filled = g.add("Reshape", [filled, shape], "filled")
    half = facts.n_fft // 2
    # The last frame would be dropped, so its samples are left out in the first place.
    ends = g.constant("mirrored", [0, 0, half, 0, 0, max(half - facts.hop_length, 0)])
    return g.add("Pad", [filled, ends], "padded", mode="reflect")


def _powers(g: GraphWriter, padded: str, facts: WhisperFacts) -> str:
    """Padded samples -> real and imaginary powers; float32 [1, 2 * used bins, frames]."""
    matrix = _fourier(facts)[:, None, :]
    waves = g.constant("fourier", matrix, np.float32)
    parts = g.add("Conv", [padded, waves], "spectrum", strides=[facts.hop_length])
    return g.add("Mul", [parts, parts], "powers")


def _log_mel(g: GraphWriter, powers: str, facts: WhisperFacts) -> None:
    """Powers -> `input_features`, float32 [1, mel_bins, frames]."""
    bank = _mel(facts)
    # Twice, once for either part: the product then adds their powers, too.
    weights = g.constant("mel", np.concatenate([bank, bank]).T, np.float32)
    mel = g.add("MatMul", [weights, powers], "mel_powers")
    mel = g.add("Clip", [mel, g.constant("floor", FLOOR, np.float32)], "mel_clipped")
    logarithm = g.add("Log", [mel], "natural_log")
    to_ten = g.constant("per_decade", 1 / np.log(10), np.float32)
    decades = g.add("Mul", [logarithm, to_ten], "log10")
    loudest = g.add("ReduceMax", [decades], "loudest", keepdims=0)
    quietest = g.add("Sub", [loudest, g.constant("decades", DECADES, np.float32)], "quietest")
    kept = g.add("Max", [decades, quietest], "kept_decades")
    offset = g.constant("offset", OFFSET, np.float32)
    g.output("Div", [g.add("Add", [kept, offset], "shifted"), offset], FEATURES)


def _fourier(facts: WhisperFacts) -> npt.NDArray[np.float64]:
    """The windowed waves of the bins that the mel bands use: [cosines, then sines; n_fft]."""
    size = facts.n_fft
    place = np.arange(size)
    # The remainder keeps the angles small, and so exact.
    angles = 2 * np.pi * (np.outer(_used_bins(facts), place) % size) / size
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * place / size)
    waves: npt.NDArray[np.float64] = np.concatenate([np.cos(angles), np.sin(angles)]) * hann
    return waves


def _mel(facts: WhisperFacts) -> npt.NDArray[np.float64]:
    """The weights of the bins that any band uses: [used bins, mel_bins]."""
    return _filters(facts)[_used_bins(facts)]


def _used_bins(facts: WhisperFacts) -> npt.NDArray[np.int64]:
    """The lowest and the highest bin weigh nothing."""
    return np.flatnonzero(_filters(facts).any(axis=1))


def _filters(facts: WhisperFacts) -> npt.NDArray[np.float64]:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + facts.n_fft // 2,
        num_mel_filters=facts.mel_bins,
        min_frequency=0.0,
        max_frequency=HIGHEST_HERTZ,
        sampling_rate=facts.sampling_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return np.asarray(filters, np.float64)
