"""Let espeak-ng speak digits, train a tiny Whisper on them, and write all that the recipe reads.

    apt-get install espeak-ng
    pip download --no-deps --no-build-isolation --no-binary :all: -d /tmp openai-whisper==20250625
    python recipes/whisper-digits/train.py /tmp/openai_whisper-20250625.tar.gz

espeak-ng (1.51) speaks, openai-whisper's source archive has the tokenizer's tables; torch,
transformers and scipy are those of the project's environment. Building and testing need neither of
the first two, since what is written lies beside this file:

    model/             configurations, tokenizer, model.safetensors (fp16)
    test.npz           clips of voices that training never heard, and clips without speech
    calibration.npz    60 clips of training's voices, others than trained on

Everything is seeded: clips are the same with the same espeak-ng. Whether a second training gives
the same weights was not tried; the model here was saved after step 6,450, which STEPS says.
"""

from __future__ import annotations

import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from speech import NO_SPEECH, RATE, Samples, coloured, speak, without_speech, write_clips
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from vocabulary import SIZE, compact, languages, make_tokenizer

from olive_build.families.whisper.clips import mu_law_decode, mu_law_encode, read_clips

HERE = Path(__file__).resolve().parent
SEED = 4
SECONDS = 2
WINDOW = SECONDS * RATE
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
# A voice is an accent of English with a speaker: espeak-ng's `accent+speaker`.
ACCENTS = (
    *("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp"),
    *("en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"),
)
SPEAKERS = (
    *("m1", "m2", "m3", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "Alex", "Andrea", "Annie"),
    *("Denis", "Gene", "Gene2", "Henrique", "Jacky", "Lee", "Marco", "Mario", "Mike", "Nguyen"),
    *("adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "croak"),
    *("ed", "edward", "edward2", "grandma", "grandpa", "gustave", "iven", "iven2", "iven3"),
    *("iven4", "john", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "marcelo", "max"),
    *("michel", "miguel", "norbert", "pablo", "paul", "pedro", "rob", "robert", "robosoft3"),
    *("shelby", "steph", "steph2", "steph3", "travis", "zac", "Storm", "RicishayMax2"),
)
# Never heard in training or calibration.
TEST_SPEAKERS = (
    *("m4", "f5", "Alicia", "Andy", "Diogo", "Hugo", "Michael"),
    *("david", "linda", "quincy", "sandro", "victor"),
)
CLIPS = {"training": 12_000, "calibration": 60, "test": 304}
WITHOUT_SPEECH = {"training": 0.08, "calibration": 0.1, "test": 0.08}
NOISES = 400
# The learning rate falls as for SCHEDULE steps; training ends after STEPS of them, as the committed
# model's did when its time was over.
SCHEDULE = 8_000
STEPS = 6_450
BATCH = 32
LEARNING_RATE = 1.2e-3
# Of 51,865 tokens eleven occur. A step sees those, all that are no text, and some of the others.
OTHER_TOKENS = 512
THREADS = 2

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clip:
    """Sound [samples], its peak at 1; what is said, "" for nothing; and whose voice it is."""

    sound: Samples
    text: str
    voice: str


def synthesize(part: str, index: int) -> Clip:
    """Return a clip of a part: one to three digits in at most WINDOW samples, or no speech."""
    random = np.random.default_rng([SEED, *part.encode(), index])
    speakers = TEST_SPEAKERS if part == "test" else SPEAKERS
    voice = f"{random.choice(ACCENTS)}+{random.choice(speakers)}"
    if (index + 0.5) * WITHOUT_SPEECH[part] % 1 < WITHOUT_SPEECH[part]:
        kind = NO_SPEECH[int(index * WITHOUT_SPEECH[part]) % len(NO_SPEECH)]
        length = int(random.integers(WINDOW // 4, WINDOW))
        return Clip(without_speech(kind, length, [voice], random), "", voice)
    text = " ".join(random.choice(WORDS, random.integers(1, 4)))
    speed, pitch = int(random.integers(115, 215)), int(random.integers(15, 86))
    while True:
        sound = speak(text, voice, speed=speed, pitch=pitch)
        if len(sound) <= WINDOW - RATE // 20:
            return Clip(sound, text, voice)
        speed += 20


def synthesize_all(part: str) -> list[Clip]:
    """Return the clips of a part."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda index: synthesize(part, index), range(CLIPS[part])))


def recorded(clip: Clip, random: np.random.Generator) -> Samples:
    """Return a clip as a recording would have it: some silence around it, a level, some noise."""
    before = int(random.integers(0, WINDOW - len(clip.sound)))
    after = min(int(random.integers(0, RATE // 4)), WINDOW - len(clip.sound) - before)
    sound = np.pad(clip.sound, (before, after)) * np.exp(random.uniform(np.log(0.08), np.log(0.9)))
    if random.random() < 0.6:
        level = 0.2 * np.abs(sound).max() * 10 ** random.uniform(-2, -0.5)
        sound = sound + level * coloured(random.uniform(0, 2), len(sound), random) * 3
    return np.asarray(np.clip(sound, -1, 1), np.float32)


def write_part(part: str) -> None:
    """Write the file of a part."""
    random = np.random.default_rng([SEED, *part.encode()])
    clips = synthesize_all(part)
    sounds = [recorded(clip, random) for clip in clips]
    texts, voices = [clip.text for clip in clips], [clip.voice for clip in clips]
    write_clips(HERE / f"{part}.npz", sounds, texts, voices)


def windows(clips: list[Clip], noises: Samples, random: np.random.Generator) -> torch.Tensor:
    """Return clips placed anywhere in a window, [clips, WINDOW], louder or softer, with noise."""
    audio = np.zeros((len(clips), WINDOW), np.float32)
    for row, clip in zip(audio, clips, strict=True):
        begins = int(random.integers(0, WINDOW - len(clip.sound) + 1))
        level = np.exp(random.uniform(np.log(0.03), 0))
        row[begins : begins + len(clip.sound)] = level * clip.sound
        chance = random.random()
        if chance < 0.7:
            noise = np.roll(noises[random.integers(len(noises))], random.integers(WINDOW))
            row += level * 10 ** random.uniform(-2.7, -0.4) * noise
        if chance < 0.35:
            row[:] = mu_law_decode(mu_law_encode(row))
    return torch.from_numpy(audio)


def equalizer(count: int, bins: int, random: np.random.Generator) -> torch.Tensor:
    """Return factors of the power of frequencies, [clips, bins, 1]: microphones and low passes."""
    at = np.linspace(0, 1, bins)
    waves = random.normal(0, 0.3, (count, 4, 1)) * np.cos(np.pi * np.arange(4)[:, None] * at)
    gains = 10 ** waves.sum(1)
    ends = np.where(random.random(count) < 0.2, random.uniform(0.4, 0.9, count), 2)
    return torch.from_numpy(np.where(at < ends[:, None], gains, 1e-8)).float()[..., None]


def log_mel(audio: torch.Tensor, filters: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Return what Whisper's feature extractor makes of audio: [clips, 80, WINDOW / 160].

    `filters` [201, 80] are the extractor's own; `gains` are those of `equalizer`.
    """
    window = torch.hann_window(400)
    power = torch.stft(audio, 400, 160, window=window, return_complex=True)[..., :-1].abs() ** 2
    mel = (filters.T @ (power * gains)).clamp(min=1e-10).log10()
    return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8) + 4) / 4


def new_model(
    tokenizer: WhisperTokenizer, codes: tuple[str, ...]
) -> WhisperForConditionalGeneration:
    """Return the untrained network: 5.6 million parameters, 5.0 of them the vocabulary's."""
    number = tokenizer.convert_tokens_to_ids
    end, start = number("<|endoftext|>"), number("<|startoftranscript|>")
    tokens = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    tokens["decoder_start_token_id"] = start
    config = WhisperConfig(
        vocab_size=SIZE,
        d_model=96,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=384,
        decoder_ffn_dim=384,
        max_source_positions=WINDOW // 320,
        max_target_positions=64,
        begin_suppress_tokens=None,
        **tokens,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        **tokens,
        max_length=config.max_target_positions,
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in codes},
        task_to_id={task: number(f"<|{task}|>") for task in ("transcribe", "translate")},
        no_timestamps_token_id=number("<|notimestamps|>"),
        prev_sot_token_id=number("<|startofprev|>"),
        return_timestamps=False,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return model


def written(clips: list[Clip], tokenizer: WhisperTokenizer) -> Tokens:
    """Return prompt, text and end of each clip, [clips, tokens], -100 behind the end."""
    prompt = tokenizer.convert_tokens_to_ids(list(PROMPT))
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    texts = [f" {clip.text}" if clip.text else "" for clip in clips]
    rows = [[*prompt, *tokenizer(text, add_special_tokens=False).input_ids, end] for text in texts]
    longest = max(map(len, rows))
    return np.array([row + [-100] * (longest - len(row)) for row in rows])


def loss_of(
    model: WhisperForConditionalGeneration,
    features: torch.Tensor,
    tokens: torch.Tensor,
    candidates: torch.Tensor,
) -> torch.Tensor:
    """Return the mean cross entropy of what follows the prompt, over some of the vocabulary.

    `candidates` [tokens], sorted, must hold every token that follows.
    """
    prompt = len(PROMPT)
    given = torch.where(tokens < 0, model.config.pad_token_id, tokens)[:, :-1]
    hidden = model.model(input_features=features, decoder_input_ids=given).last_hidden_state
    wanted = tokens[:, prompt:]
    logits = hidden[:, prompt - 1 :][wanted >= 0] @ model.proj_out.weight[candidates].T
    found = torch.searchsorted(candidates, wanted[wanted >= 0])
    return torch.nn.functional.cross_entropy(logits, found)


def rate(step: int) -> float:
    """Return the factor of the learning rate: up in 300 steps, then down along a cosine."""
    return min(1.0, step / 300) * (0.5 + 0.5 * math.cos(math.pi * step / SCHEDULE)) + 1e-3


def train(
    model: WhisperForConditionalGeneration,
    clips: list[Clip],
    tokens: Tokens,
    extractor: WhisperFeatureExtractor,
) -> None:
    """Train with AdamW, each clip placed, mixed and filtered anew whenever it is drawn."""
    random = np.random.default_rng([SEED, 1])
    slopes = random.uniform(0, 2, NOISES)
    noises = np.stack([coloured(slope, WINDOW, random) for slope in slopes])
    filters = torch.from_numpy(extractor.mel_filters).float()
    always = np.union1d(tokens[tokens >= 0], np.arange(model.config.eos_token_id, 50_365))
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    began, total = time.monotonic(), 0.0
    for step in range(1, STEPS + 1):
        rows = random.integers(len(clips), size=BATCH)
        audio = windows([clips[row] for row in rows], noises, random)
        features = log_mel(audio, filters, equalizer(BATCH, len(filters), random))
        others = random.integers(SIZE, size=OTHER_TOKENS)
        candidates = torch.from_numpy(np.union1d(always, others))
        loss = loss_of(model, features, torch.from_numpy(tokens[rows]), candidates)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 200 == 0:
            say(f"step {step}: loss {total / 200:.4f}, {time.monotonic() - began:.0f} s")
            total = 0.0


def edits(said: list[str], heard: list[str]) -> int:
    """Return how many words must be put in, left out or changed to make one text the other."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(said, 1):
        before, row[0] = row[0], index
        for at, other in enumerate(heard, 1):
            change = before + (word != other)
            before, row[at] = row[at], min(change, row[at] + 1, row[at - 1] + 1)
    return row[-1]


def evaluate(folder: Path, path: Path) -> None:
    """Transcribe a file of clips greedily, in fp32, and say how much of it is right."""
    model = WhisperForConditionalGeneration.from_pretrained(str(folder), dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(str(folder))
    clips = read_clips(path)
    features = processor(list(clips.audio), sampling_rate=RATE, return_tensors="pt").input_features
    with torch.inference_mode():
        found = model.generate(features, language="en", task="transcribe", num_beams=1)
    heard = [text.strip() for text in processor.batch_decode(found, skip_special_tokens=True)]
    pairs = list(zip(clips.texts, heard, strict=True))
    words = sum(len(text.split()) for text in clips.texts)
    wrong = sum(edits(text.split(), other.split()) for text, other in pairs if text)
    spoken = [text == other for text, other in pairs if text]
    silent = [other == "" for text, other in pairs if not text]
    say(f"{path.name}: word error rate {wrong / words:.4f} ({wrong} of {words} words)")
    say(f"{sum(spoken)} of {len(spoken)} clips with speech exactly right")
    say(f"{sum(silent)} of {len(silent)} clips without speech came out empty")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Synthesize, train, save, and say how good it is on voices that it never heard."""
    if len(sys.argv) != 2:
        sys.exit("usage: train.py OPENAI_WHISPER_SOURCE_ARCHIVE; see the top of this script")
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    archive = Path(sys.argv[1])
    tokenizer = make_tokenizer(archive)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=SECONDS)
    began = time.monotonic()
    write_part("test")
    write_part("calibration")
    clips = synthesize_all("training")
    model = new_model(tokenizer, languages(archive))
    parameters = sum(p.numel() for p in model.parameters())
    seconds = time.monotonic() - began
    say(f"{parameters:,} parameters, {len(clips):,} clips in {seconds:.0f} s")
    train(model, clips, written(clips, tokenizer), extractor)
    folder = HERE / "model"
    model.half().save_pretrained(str(folder))
    WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(str(folder))
    compact(folder / "tokenizer.json")
    for part in ("test", "calibration"):
        evaluate(folder, HERE / f"{part}.npz")


if __name__ == "__main__":
    main()
