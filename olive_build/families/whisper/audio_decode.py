"""The bytes of a wav, flac or mp3 file to samples, as a graph round AudioDecoder.

AudioDecoder of onnxruntime-extensions 0.15 (operators/audio/audio_decoder.cc) decodes, takes the
mean of two channels and lowers the rate, up to 480,000 samples. Lowering is slow: 0.9 s for 30 s at
44.1 or 48 kHz, where 16 kHz takes 0.03 s. What it cannot do is done here, from what the file's
header says:

- It refuses a lower rate than the model's. Such a file is decoded as it is and resampled
  (audio_resample.py).
- It refuses an mp3 that starts with an ID3 tag. It takes one when it is told that it is an mp3.
- It makes noise of more than two channels. Such a wav or flac is refused.

Refused means that running the model raises an error with a text of AudioDecoder: "Cannot detect
audio stream format" for other bytes and for none, "unexpected error on WAV (FLAC, MP3) stream"
for a broken header, "Unknown audio stream format: one with more than two channels", and "only
down-sampling supported" where the rate is too low and the header was not found. A file that ends
too early gives what is there, a file without samples silence.

Sources: Microsoft's WAVEFORMAT and RIFF; RFC 9639 8.2 (FLAC's stream information); ISO/IEC 11172-3
2.4.1.3 and 13818-3 (the header of an mp3's frame; MPEG 2.5 is not in them, but in the decoders);
ID3v2.4.0 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from olive_build.families.graph_writer import EXTENSIONS, GraphWriter, tensor_info
from olive_build.families.whisper.audio_resample import resampled

# Chunks may stand before a wav's format, usually none.
HEAD_BYTES = 4096
DEFAULT, MP3, TOO_MANY = range(3)
FORMATS = (b"default", b"mp3", b"one with more than two channels")
# By the version of MPEG (2.5, none, 2, 1) and the frame's index of its rate; 0 is no rate.
MP3_RATES = (11025, 12000, 8000, 0, 0, 0, 0, 0, 22050, 24000, 16000, 0, 44100, 48000, 32000, 0)


def decoded(g: GraphWriter, stream: str, rate: int, window: int) -> str:
    """Write the nodes from a file's bytes, uint8 [1, bytes], to samples, float32 [1, samples].

    The samples are at `rate` hertz, and at least those of the first `window` are there.
    """
    data = g.add("Reshape", [stream, g.constant("flat", [-1])], "file")
    head = _bytes(g, data, g.constant("file_start", [0]), HEAD_BYTES, "head")
    found, kind = _header(g, data, head)
    kind = g.add("Gather", [g.strings("formats", *FORMATS), kind], "format")
    known = g.add("Greater", [found, g.constant("no_rate", [0])], "rate_is_known")
    below = g.add("Less", [found, g.constant("rate", [rate])], "rate_is_below")
    low = g.add("And", [known, below], "rate_is_low_as_row")
    low = g.add("Squeeze", [low], "rate_is_low")
    raised, lowered = g.branch(), g.branch()
    own = raised.add(
        "AudioDecoder", [stream, kind], "own_rate", domain=EXTENSIONS, stereo_to_mono=1
    )
    raised_end = resampled(raised, own, found, rate, window)
    lowered_end = lowered.add(
        "AudioDecoder",
        [stream, kind],
        "lowered",
        domain=EXTENSIONS,
        downsampling_rate=rate,
        stereo_to_mono=1,
    )
    branches = {
        "then_branch": _subgraph(raised, "raise_rate", raised_end),
        "else_branch": _subgraph(lowered, "lower_rate", lowered_end),
    }
    samples = g.add("If", [low], "decoded", **branches)
    # The operator lowers the rate of a single sample to no number.
    broken = g.add("IsNaN", [samples], "is_no_number")
    silence = g.constant("silent_sample", 0, np.float32)
    return g.add("Where", [broken, silence, samples], "samples")


def _subgraph(g: GraphWriter, name: str, output: str) -> object:
    info = tensor_info(output, TensorProto.FLOAT, [1, None])
    return helper.make_graph(g.nodes, f"{g.prefix}/{name}", [], [info])


def _header(g: GraphWriter, data: str, head: str) -> tuple[str, str]:
    """The file's rate in hertz, 0 where it is unknown, and its entry in FORMATS; int64 [1] each."""
    riff, flac = _starts(g, head, b"RIFF"), _starts(g, head, b"fLaC")
    tagged = _starts(g, head, b"ID3")
    wav_rate, wav_channels = _wav(g, head)
    flac_rate, flac_channels = _flac(g, head)
    rate = g.add("Where", [flac, flac_rate, _mp3(g, data, head, tagged)], "rate_if_no_wav")
    rate = g.add("Where", [riff, wav_rate, rate], "file_rate")
    one = g.constant("one_channel", [1])
    channels = g.add("Where", [flac, flac_channels, one], "channels_if_no_wav")
    channels = g.add("Where", [riff, wav_channels, channels], "channels")
    many = g.add("Greater", [channels, g.constant("most_channels", [2])], "too_many_channels")
    entries = [g.constant(f"format_{entry}", [entry]) for entry in (DEFAULT, MP3, TOO_MANY)]
    kind = g.add("Where", [tagged, entries[MP3], entries[DEFAULT]], "format_if_few_channels")
    return rate, g.add("Where", [many, entries[TOO_MANY], kind], "format_entry")


def _wav(g: GraphWriter, head: str) -> tuple[str, str]:
    """A wav's rate, 0 where its format is not found, and its channels; int64 [1] each."""
    mark = b"fmt "
    match = ""
    for place, byte in enumerate(mark):
        to = HEAD_BYTES - len(mark) + place + 1
        limits = [g.constant(f"mark_from_{place}", [place]), g.constant(f"mark_to_{place}", [to])]
        part = g.add("Slice", [head, *limits], f"mark_{place}")
        equal = g.add("Equal", [part, g.constant(f"mark_byte_{place}", byte)], f"mark_is_{place}")
        match = g.add("And", [match, equal], f"marks_{place}") if match else equal
    match = g.add("Cast", [match], "mark_found", to=TensorProto.INT32)
    at = g.add("ArgMax", [match], "mark_at", axis=0)
    there = g.add("Greater", [at, g.constant("mark_nowhere", [0])], "mark_is_there")
    # After the mark come the chunk's size (4), the coding (2), the channels (2), the rate (4).
    rate = _number(g, head, at, [(12, 1), (13, 1 << 8), (14, 1 << 16), (15, 1 << 24)], "wav_rate")
    unknown = g.constant("unknown_rate", [0])
    rate = g.add("Where", [there, rate, unknown], "wav_rate_if_any")
    return rate, _number(g, head, at, [(10, 1), (11, 1 << 8)], "wav_channels")


def _flac(g: GraphWriter, head: str) -> tuple[str, str]:
    """A flac's rate and channels, 20 and 3 bits from its 18th byte on; int64 [1] each."""
    start = g.constant("flac_start", [0])
    high = _number(g, head, start, [(18, 1 << 12), (19, 1 << 4)], "flac_rate_high")
    low = _number(g, head, start, [(20, 1)], "flac_rate_low_byte")
    nibble = g.add("Div", [low, g.constant("flac_nibble", 16)], "flac_rate_low")
    rate = g.add("Add", [high, nibble], "flac_rate")
    channels = _bits(g, low, 1, 3, "flac_channels_less_one")
    return rate, g.add("Add", [channels, g.constant("flac_one", 1)], "flac_channels")


def _mp3(g: GraphWriter, data: str, head: str, tagged: str) -> str:
    """The rate that the first frame names, 0 if there is none; int64 [1]."""
    begin = g.constant("tag_start", [0])
    # Seven bits a byte, without the ten bytes of the tag's own header.
    sizes = [(6, 1 << 21), (7, 1 << 14), (8, 1 << 7), (9, 1)]
    size = _number(g, head, begin, sizes, "tag_size")
    size = g.add("Add", [size, g.constant("tag_header", 10)], "tag_end")
    at = g.add("Where", [tagged, size, begin], "frame_at")
    frame = _bytes(g, data, at, 3, "frame")
    first, second, third = (
        _number(g, frame, begin, [(place, 1)], f"frame_{place}") for place in range(3)
    )
    sync = g.add("Equal", [first, g.constant("sync", 255)], "frame_is_there")
    version = _bits(g, second, 3, 2, "frame_version")
    row = g.add("Mul", [version, g.constant("rates_a_version", 4)], "frame_rate_row")
    entry = g.add("Add", [row, _bits(g, third, 2, 2, "frame_rate_bits")], "frame_rate_entry")
    rate = g.add("Gather", [g.constant("mp3_rates", MP3_RATES), entry], "frame_rate")
    return g.add("Where", [sync, rate, g.constant("no_frame", [0])], "mp3_rate")


def _starts(g: GraphWriter, head: str, mark: bytes) -> str:
    """Whether the file starts so; bool [1]."""
    name = mark.decode().lower()
    limits = [g.constant(f"{name}_from", [0]), g.constant(f"{name}_to", [len(mark)])]
    part = g.add("Slice", [head, *limits], f"{name}_bytes")
    # A sum of squares is zero where every byte is equal.
    apart = g.add("Sub", [part, g.constant(f"{name}_mark", list(mark))], f"{name}_apart")
    square = g.add("Mul", [apart, apart], f"{name}_square")
    total = g.add("ReduceSum", [square], f"{name}_total", keepdims=1)
    return g.add("Equal", [total, g.constant(f"{name}_equal", 0)], f"{name}_is_there")


def _bytes(g: GraphWriter, data: str, at: str, count: int, name: str) -> str:
    """`count` bytes of the file from `at` on, zeros after its end; int64 [count]."""
    wanted = g.constant(f"{name}_count", [count])
    to = g.add("Add", [at, wanted], f"{name}_to")
    part = g.add("Slice", [data, at, to], f"{name}_raw")
    numbers = g.add("Cast", [part], f"{name}_there", to=TensorProto.INT64)
    missing = g.add("Sub", [wanted, g.add("Shape", [part], f"{name}_size")], f"{name}_missing")
    pads = g.add("Concat", [g.constant(f"{name}_ahead", [0]), missing], f"{name}_pads", axis=0)
    return g.add("Pad", [numbers, pads], name)


def _number(
    g: GraphWriter, data: str, at: str, weights: Sequence[tuple[int, int]], name: str
) -> str:
    """The sum of weighted bytes at places counted from `at`; int64 [1]."""
    offsets, factors = zip(*weights, strict=True)
    places = g.add("Add", [at, g.constant(f"{name}_places", offsets)], f"{name}_at")
    part = g.add("Gather", [data, places], f"{name}_bytes")
    weighted = g.add("Mul", [part, g.constant(f"{name}_weights", factors)], f"{name}_weighted")
    return g.add("ReduceSum", [weighted], name, keepdims=1)


def _bits(g: GraphWriter, byte: str, lowest: int, count: int, name: str) -> str:
    """`count` bits of a byte from the bit `lowest` on; int64 [1]."""
    shifted = g.add("Div", [byte, g.constant(f"{name}_shift", 1 << lowest)], f"{name}_shifted")
    return g.add("Mod", [shifted, g.constant(f"{name}_range", 1 << count)], name)
