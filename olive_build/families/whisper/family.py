"""Whisper of every size, multilingual or English-only: speech in, text out."""

from __future__ import annotations

from olive_build.families.registry import Family

FAMILY = Family(
    name="whisper",
    tasks=("automatic-speech-recognition",),
    metrics=("wer",),
    data=("speech",),
    calibration=("calibration-speech",),
    samples="clips",
    data_suffix=".npz",
    miniature_data=("test.npz", "calibration.npz"),
    takes=("audio", "features"),
    parts=("audio", "detokenizer"),
    sizes=(10,),
    size_unit="seconds",
    components=("encoder", "decoder", "decoder_with_past"),
    # What transformers.js loads.
    files={
        "encoder_model": ("encoder",),
        "decoder_model_merged": ("decoder", "decoder_with_past"),
    },
    description="Whisper of every size, multilingual or English-only: speech in, text out",
    searches=False,
    batches=False,
    options=("speech",),
    classes=("WhisperForConditionalGeneration",),
)
