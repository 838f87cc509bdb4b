"""A Whisper of a few hundred thousand weights, for builds that take seconds and no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from olive_build.families.whisper.generation import (
    decode,
    features_of,
    generate,
    load,
)
from olive_build.families.whisper.spec import CONFIG, GENERATION, TOKENIZER, inspect
from olive_build.proof.audio import mu_law_encode

SECONDS, RATE = 2, 16_000
LONGEST = 16
# So many clips are drawn, and those kept on whose words the model leaves the least doubt.
DRAWN, KEPT = 48, 12
# Weights larger than a trained model's: what is heard then decides what is written.
SPREAD = 0.15
WRITTEN = "abcdefghijklmnopqrstuvwxyz"
SPECIALS = (
    *("<|endoftext|>", "<|startoftranscript|>"),
    *(f"<|{code}|>" for code in LANGUAGES),  # a recipe may ask for any
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
    *("<|nospeech|>", "<|notimestamps|>"),
)


def write_miniature(out: Path) -> None:
    """Write the model's files, test.npz and calibration.npz below `out`.

    What is said in a clip is what PyTorch hears, so a sound file makes no mistake.
    """
    ids = _write_tokenizer(out)
    torch.manual_seed(0)
    end = ids["<|endoftext|>"]
    config = transformers.WhisperConfig(
        vocab_size=len(ids),
        num_mel_bins=80,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        max_source_positions=SECONDS * 50,
        max_target_positions=LONGEST,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        init_std=SPREAD,
    )
    model = transformers.WhisperForConditionalGeneration(config).eval()
    model.save_pretrained(str(out))
    _write_generation(out, ids)
    _write_clips(out)


def _write_tokenizer(out: Path) -> dict[str, int]:
    """Write a tokenizer of single bytes and the special tokens; return all ids."""
    bytes_alone = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: index for index, text in enumerate(bytes_alone)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, special=True) for t in SPECIALS])
    tokenizer.add_tokens(
        [tokenizers.AddedToken(f"<|{n * 0.02:.2f}|>", normalized=False) for n in range(4)]
    )
    tokenizer.save(str(out / TOKENIZER))
    names: dict[str, Any] = {
        "tokenizer_class": "WhisperTokenizer",
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), SPECIALS[0]),
    }
    _write(out / "tokenizer_config.json", names)
    extractor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "chunk_length": SECONDS,
        "feature_size": 80,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": SECONDS * RATE,
        "nb_max_frames": SECONDS * 100,
        "sampling_rate": RATE,
    }
    processor = {"feature_extractor": extractor, "processor_class": "WhisperProcessor"}
    _write(out / "processor_config.json", processor)
    found: dict[str, int] = tokenizer.get_vocab()
    return found


def _write_generation(out: Path, ids: dict[str, int]) -> None:
    generation = json.loads((out / GENERATION).read_text(encoding="utf-8"))
    # A file with this mark is made anew from config.json, and what only it says is dropped.
    del generation["_from_model_config"]
    written = {*WRITTEN, "<|endoftext|>"}
    generation |= {
        "is_multilingual": True,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "lang_to_id": {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES},
        "task_to_id": {name: ids[f"<|{name}|>"] for name in ("translate", "transcribe")},
        # Letters alone: a seeded model would write anything.
        "suppress_tokens": sorted(i for text, i in ids.items() if text not in written),
        "begin_suppress_tokens": [ids["<|endoftext|>"]],
    }
    _write(out / GENERATION, generation)
    assert (out / CONFIG).is_file()


def _write_clips(out: Path) -> None:
    facts, model = inspect(out), load(out)
    prompt = facts.prompt(None, "transcribe")
    random = np.random.default_rng(0)
    clips = []
    for _ in range(DRAWN):
        times = np.arange(random.integers(RATE // 2, SECONDS * RATE)) / RATE
        tones = random.uniform(80, 3000, (4, 1))
        sound = np.sin(2 * np.pi * tones * times).sum(0) * random.uniform(0.02, 0.2)
        stored = mu_law_encode(sound)
        found = generate(model, facts, features_of(out, stored), prompt, with_margin=True)
        clips.append((found.margin, stored, decode(out, found.ids)[0]))
    clips.sort(key=lambda clip: -clip[0])
    for name, first in (("test.npz", 0), ("calibration.npz", KEPT)):
        chosen = clips[first : first + KEPT]
        np.savez(
            out / name,
            audio=np.concatenate([stored for _, stored, _ in chosen]),
            lengths=np.array([len(stored) for _, stored, _ in chosen]),
            texts=np.array([text for _, _, text in chosen]),
        )


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
