"""Decoder-only language models whose cache is keys and values of each layer."""

from __future__ import annotations

from olive_build.families.registry import Family

FAMILY = Family(
    name="causal-lm",
    tasks=("text-generation",),
    metrics=("perplexity",),
    data=("sentences",),
    calibration=("calibration-sentences",),
    samples="texts",
    data_suffix=".jsonl",
    miniature_data=("test.jsonl", "calibration.jsonl"),
    takes=("prompt", "tokens"),
    sizes=(1, 128),
    size_unit="tokens",
    description="Decoder-only language models: GPT-2, Llama, Qwen, Mistral, Gemma, Phi and others",
    axes=(
        ("batch_size", 1),
        ("sequence_length", 1),
        ("past_sequence_length", 127),
        ("total_sequence_length", 128),
    ),
    searches=False,
    calibrates=False,
    options=("generation",),
    # What comes out as a cache goes in again: it need not be fp32 in between.
    variant_methods={"q8": "stored-int8"},
    method_options={key: {"keep_io_types": False} for key in ("fp16", "weight-only")},
    hides_steps=True,
    classes=("ForCausalLM", "LMHeadModel"),
)
