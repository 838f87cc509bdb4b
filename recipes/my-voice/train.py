"""Let espeak-ng speak with hundreds of voices, train a small model on them, and write trials.

    apt-get install espeak-ng
    python recipes/my-voice/train.py            writes model/ and trials.npz
    python recipes/my-voice/train.py --check    personalises what was written, and says how good
    python recipes/my-voice/train.py --tune     the same for voices that are not in trials.npz

espeak-ng (1.51) speaks; torch, transformers and scipy are those of the project's environment.
Building and testing need no espeak-ng, since what is written lies beside this file. Everything is
seeded: clips are the same with the same espeak-ng.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from personalise import ACCEPTED, Scores, Settings, check, equal_error, errors_at, interval, pooled
from phrases import phrases
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)
from trials import Trials, make_trials, read_trials, write_trials
from voices import CLIP, RATE, Voice, all_voices, coloured, spoken

from olive_build.proof.audio import Samples, mu_law_decode, mu_law_encode

HERE = Path(__file__).resolve().parent
SEED = 5
THREADS = 1
CLIPS_PER_VOICE = 40
NOISES = 400
STEPS = 2_200
BATCH = 64
LEARNING_RATE = 2e-3
WARMUP = 200
# The margin softmax: cosines are multiplied by SCALE, and the right one is made smaller by MARGIN.
SCALE, MARGIN = 30.0, 0.2
# How much embeddings of unequal length cost. A phone's new head is linear, and would take a long
# embedding of another voice for the owner's.
LENGTHS_COST = 3.0
# The filters that the first convolution starts as: four phases of each of FILTERS frequencies.
FILTERS, LOWEST, HIGHEST = 40, 60.0, 7600.0


def new_model(names: list[str]) -> Wav2Vec2ForSequenceClassification:
    """Return the untrained network; it hears 25 frames in a clip."""
    nothing = dict.fromkeys(
        (
            *("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout"),
            *("final_dropout", "layerdrop", "mask_time_prob", "mask_feature_prob"),
        ),
        0.0,
    )
    config = Wav2Vec2Config(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        conv_dim=(4 * FILTERS, 128, 128),
        conv_kernel=(400, 3, 3),
        conv_stride=(160, 2, 2),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=8,
        classifier_proj_size=128,
        use_weighted_layer_sum=False,
        apply_spec_augment=False,
        attn_implementation="eager",
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        **nothing,
    )
    model = Wav2Vec2ForSequenceClassification(config)
    first = model.wav2vec2.feature_extractor.conv_layers[0].conv
    with torch.no_grad():
        first.weight.copy_(filters(first.kernel_size[0])[:, None])
        first.bias.zero_()
    return model


def filters(width: int) -> torch.Tensor:
    """Return Gabor filters at equal steps of the mel scale, [4 * FILTERS, width].

    Convolutions on samples learn slowly what band-pass filters give at once (Ravanelli and Bengio,
    "Speaker Recognition from Raw Waveform with SincNet", 2018). Each frequency has a cosine, a
    sine and both upside down, so that what follows the activation adds up to loudness, whatever
    the phase. High frequencies are amplified: speech is weak there.
    """
    lowest, highest = (2595 * math.log10(1 + limit / 700) for limit in (LOWEST, HIGHEST))
    mels = np.linspace(lowest, highest, FILTERS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    middles, widths = edges[1:-1, None], (edges[2:] - edges[:-2])[:, None] / 2
    at = (np.arange(width) - (width - 1) / 2) / RATE
    # A Gaussian as wide as the filter's band, but no wider than the kernel.
    deviation = np.minimum(0.4 / widths, width / RATE / 5)
    window = np.exp(-0.5 * (at / deviation) ** 2)
    window *= np.sqrt(middles / 500) / window.sum(1, keepdims=True)
    angles = 2 * np.pi * middles * at
    waves = (np.cos(angles), np.sin(angles), -np.cos(angles), -np.sin(angles))
    return torch.from_numpy(np.concatenate([window * wave for wave in waves])).float()


class Sounds:
    """Sounds of voices kept as int16, and clips of them as a phone would record them."""

    def __init__(self, kept: list[npt.NDArray[np.int16]], random: np.random.Generator) -> None:
        self.kept = kept
        slopes = random.uniform(0, 2, NOISES)
        self.noises = np.stack([coloured(slope, CLIP, random) for slope in slopes])

    def clips(self, rows: npt.NDArray[np.int64], random: np.random.Generator) -> torch.Tensor:
        """Return clips [rows, CLIP], placed and mixed anew, normalised as the extractor does."""
        audio = np.zeros((len(rows), CLIP), np.float32)
        for clip, row in zip(audio, rows, strict=True):
            sound = self.kept[row]
            spare = CLIP - len(sound)
            begins = int(random.integers(min(spare, 0), max(spare, 0) + 1))
            part = sound[max(-begins, 0) :][:CLIP]
            begins = max(begins, 0)
            clip[begins : begins + len(part)] = part / np.float32(32767)
            if random.random() < 0.85:
                noise = np.roll(self.noises[random.integers(NOISES)], random.integers(CLIP))
                clip += 0.2 * np.float32(10 ** random.uniform(-2.3, -0.6)) * noise
            if random.random() < 0.3:
                quieter = np.float32(10 ** random.uniform(-1.5, -0.3))
                clip[:] = mu_law_decode(mu_law_encode(clip * quieter))
        return torch.from_numpy(normalised(audio))


def normalised(audio: Samples) -> Samples:
    """Return clips [clips, CLIP] with mean 0 and variance 1, as the feature extractor does."""
    middle = audio - audio.mean(1, keepdims=True)
    return np.asarray(middle / np.sqrt(middle.var(1, keepdims=True) + 1e-7), np.float32)


def rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate: up in WARMUP steps, then down along a cosine."""
    return min(1.0, step / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-3


def margin_softmax(
    embedding: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the mean loss of embeddings [clips, size] against a weight [voices, size].

    Cross entropy over cosines, that of the right voice made smaller: voices are pushed apart by
    more than being told apart needs, which is what a voice that was never heard profits from
    (Wang and others, "Additive Margin Softmax for Face Verification", 2018).
    """
    normalize = torch.nn.functional.normalize
    cosines = normalize(embedding) @ normalize(weight).T
    rows = torch.arange(len(labels))
    lowered = cosines.index_put((rows, labels), cosines[rows, labels] - MARGIN)
    return torch.nn.functional.cross_entropy(SCALE * lowered, labels)


def embed(model: Wav2Vec2ForSequenceClassification, clips: torch.Tensor) -> torch.Tensor:
    """Return what the classifier of a model is given for clips, [clips, 128]."""
    return model.projector(model.wav2vec2(clips).last_hidden_state).mean(1)


def pretraining_sounds(voices: list[Voice], random: np.random.Generator) -> Sounds:
    """Return CLIPS_PER_VOICE sounds of each voice, those of the first voice first.

    They are kept beside other temporary files, for a second training with the same voices.
    """
    folder = Path(tempfile.gettempdir()) / "my-voice-cache"
    described = repr((voices, CLIPS_PER_VOICE, SEED)).encode()
    path = folder / f"pretraining-{hashlib.sha256(described).hexdigest()[:16]}.npz"
    texts = [random.choice(phrases()[0], CLIPS_PER_VOICE, replace=False) for _ in voices]
    if not path.exists():
        folder.mkdir(exist_ok=True)
        sounds = spoken(voices, [[str(text) for text in mine] for mine in texts], SEED)
        lengths = np.array([len(sound) for sound in sounds])
        whole = np.round(np.concatenate(sounds) * 32767).astype(np.int16)
        np.savez(path, audio=whole, lengths=lengths)
    with np.load(path) as kept:
        return Sounds(np.split(kept["audio"], np.cumsum(kept["lengths"])[:-1]), random)


def train(model: Wav2Vec2ForSequenceClassification, sounds: Sounds) -> None:
    """Train a model with AdamW to tell the voices apart, every clip mixed anew."""
    random = np.random.default_rng([SEED, 1])
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, STEPS))
    model.train()
    began, total = time.monotonic(), 0.0
    for step in range(1, STEPS + 1):
        rows = random.integers(len(sounds.kept), size=BATCH)
        labels = torch.from_numpy(rows // CLIPS_PER_VOICE)
        embedding = embed(model, sounds.clips(rows, random))
        loss = margin_softmax(embedding, model.classifier.weight, labels)
        loss = loss + LENGTHS_COST * (embedding.square().mean(1) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 100 == 0:
            say(f"step {step}: loss {total / 100:.3f}, {time.monotonic() - began:.0f} s")
            total = 0.0


@torch.no_grad()
def settle(model: Wav2Vec2ForSequenceClassification, sounds: Sounds) -> None:
    """Make a trained model what its own forward pass needs, and what a new head learns best from.

    Training looked at directions. Embeddings get a mean of 0 and a mean square of 1; the head's
    weights become its directions, and its biases undo the shift.
    """
    random = np.random.default_rng([SEED, 2])
    model.eval()
    rows = random.integers(len(sounds.kept), size=2048).reshape(-1, BATCH)
    some = torch.cat([embed(model, sounds.clips(each, random)) for each in rows])
    length, middle = some.square().mean().sqrt(), some.mean(0)
    directions = torch.nn.functional.normalize(model.classifier.weight)
    weight = directions * SCALE / math.sqrt(some.shape[1])
    model.classifier.weight.copy_(weight)
    model.classifier.bias.copy_(weight @ middle / length)
    model.projector.weight /= length
    model.projector.bias.copy_((model.projector.bias - middle) / length)


def pretrain() -> None:
    """Synthesize, train and save the model."""
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    began = time.monotonic()
    voices = all_voices()["pretraining"]
    sounds = pretraining_sounds(voices, np.random.default_rng(SEED))
    model = new_model([voice.name for voice in voices])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    seconds = time.monotonic() - began
    say(f"{parameters:,} parameters, {len(voices)} voices, {seconds:.0f} s")
    train(model, sounds)
    settle(model, sounds)
    folder = str(HERE / "model")
    model.half().save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)


def report(trials: Trials, settings: Settings) -> None:
    """Personalise the saved model to every owner, and say how well it tells the owner."""
    torch.set_num_threads(THREADS)
    began = time.monotonic()
    found = check(HERE / "model", trials, settings)
    for owner, (own, others) in found.items():
        say(f"{owner}, {len(own)} own clips, {len(others)} others: {judged(own, others)}")
    low, high = interval(found)
    say(f"together: {judged(*pooled(found))}")
    say(f"equal error rate from {low:.4f} to {high:.4f} with 95 % of draws of clips")
    say(f"{len(found)} owners in {time.monotonic() - began:.0f} s")


def judged(own: Scores, others: Scores) -> str:
    """Return how well scores tell an owner, at their own best margin and at ACCEPTED."""
    errors, margin = equal_error(own, others)
    refused, let_in = errors_at(ACCEPTED, own, others)
    return (
        f"equal error rate {errors:.4f} at a margin of {margin:.2f}; "
        f"at {ACCEPTED} refused {refused:.4f}, let in {let_in:.4f}"
    )


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Pretrain, write the trials, and say how well the personalised model does in them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="personalise what was written")
    parser.add_argument("--tune", action="store_true", help="the same with voices of no trial")
    asked = parser.parse_args()
    if asked.tune:
        for clips in (3, 5, 8, 12):
            say(f"{clips} clips of enrolment")
            report(make_trials("tuning-", clips), Settings())
        return
    if not asked.check:
        pretrain()
        write_trials(HERE / "trials.npz", make_trials())
    report(read_trials(HERE / "trials.npz"), Settings())


if __name__ == "__main__":
    main()
