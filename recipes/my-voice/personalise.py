"""Personalise the model to its owner in PyTorch as a phone would, and say how well it does."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification
from trials import Trials
from voices import RATE

from olive_build.proof.audio import Samples

Scores = npt.NDArray[np.float64]
# From this score on a clip is taken for the owner's: where errors are equal after eight clips, for
# the voices that settings were found with. The larger logit alone is no decision, since 60 steps
# from a head of zeros leave both near zero.
ACCEPTED = 0.69


@dataclass(frozen=True)
class Settings:
    """How a phone trains. Found with voices that are neither in pretraining nor in trials.npz."""

    patterns: tuple[str, ...] = ("classifier.*", "projector.*")
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    epochs: int = 10
    batch: int = 12
    # Of cross entropy, [other, owner]: there are eight times as many clips of others.
    class_weights: tuple[float, float] = (1.0, 8.0)
    seed: int = 0


def normalised(extractor: Wav2Vec2FeatureExtractor, clips: Samples) -> torch.Tensor:
    """Return clips [clips, samples] as the model takes them."""
    taken = extractor(list(clips), sampling_rate=RATE, return_tensors="pt")
    return torch.as_tensor(taken.input_values)


def fresh_model(folder: Path, settings: Settings) -> Wav2Vec2ForSequenceClassification:
    """Return the saved model with a new head of two classes, other and owner, in fp32.

    What is to be trained requires a gradient, and nothing else. The head begins at zero: what
    random numbers say, a few steps on a few clips do not undo (13 errors of 100 instead of 2).
    """
    model = Wav2Vec2ForSequenceClassification.from_pretrained(str(folder), dtype=torch.float32)
    model.classifier = torch.nn.Linear(model.config.classifier_proj_size, 2)
    torch.nn.init.zeros_(model.classifier.weight)
    torch.nn.init.zeros_(model.classifier.bias)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(fnmatchcase(name, like) for like in settings.patterns))
    return model


def personalised(
    folder: Path, enrolment: torch.Tensor, background: torch.Tensor, settings: Settings
) -> Wav2Vec2ForSequenceClassification:
    """Return the saved model trained on clips of the owner and of others, [clips, samples].

    Each epoch shuffles all clips and takes whole batches; what is left over waits for another.
    """
    model = fresh_model(folder, settings).eval()
    clips = torch.cat([background, enrolment])
    labels = torch.tensor([0] * len(background) + [1] * len(enrolment))
    weights = torch.tensor(settings.class_weights)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
    random = np.random.default_rng(settings.seed)
    for _ in range(settings.epochs):
        order = torch.from_numpy(random.permutation(len(clips)))
        for first in range(0, len(clips) - settings.batch + 1, settings.batch):
            rows = order[first : first + settings.batch]
            logits = model(clips[rows]).logits
            loss = torch.nn.functional.cross_entropy(logits, labels[rows], weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@torch.inference_mode()
def scores(model: Wav2Vec2ForSequenceClassification, clips: torch.Tensor) -> Scores:
    """Return how much a model takes clips [clips, samples] for the owner's, [clips]."""
    logits = torch.cat([model(some).logits for some in clips.split(64)])
    return np.asarray((logits[:, 1] - logits[:, 0]).double())


def equal_error(own: Scores, others: Scores) -> tuple[float, float]:
    """Return the share of errors where as many owners are refused as others are let in, and where.

    The second is the score from which on a clip is let in there.
    """
    own, others = np.sort(own), np.sort(others)
    limits = np.concatenate([own, others])
    refused = np.searchsorted(own, limits, "left") / len(own)
    let_in = 1 - np.searchsorted(others, limits, "left") / len(others)
    nearest = np.abs(refused - let_in).argmin()
    return float(refused[nearest] + let_in[nearest]) / 2, float(limits[nearest])


def errors_at(limit: float, own: Scores, others: Scores) -> tuple[float, float]:
    """Return the shares of the owner's clips that are refused and of others' that are let in."""
    return float((own < limit).mean()), float((others >= limit).mean())


def check(folder: Path, trials: Trials, settings: Settings) -> dict[str, tuple[Scores, Scores]]:
    """Return for each owner the scores of the held-out clips and those of others."""
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(str(folder))
    background = normalised(extractor, trials.clips("background"))
    found = {}
    for owner in trials.owners():
        enrolment = normalised(extractor, trials.clips("enrolment", owner))
        model = personalised(folder, enrolment, background, settings)
        own = normalised(extractor, trials.clips("held-out", owner))
        others = normalised(extractor, trials.others(owner))
        found[owner] = (scores(model, own), scores(model, others))
    return found


def pooled(found: dict[str, tuple[Scores, Scores]]) -> tuple[Scores, Scores]:
    """Return the scores of all owners' own clips and of others', to be judged by one limit."""
    own, others = (np.concatenate(part) for part in zip(*found.values(), strict=True))
    return own, others


def interval(found: dict[str, tuple[Scores, Scores]], draws: int = 1000) -> tuple[float, float]:
    """Return where the pooled rate lies in 95 of 100 draws of as many clips, with replacement."""
    random = np.random.default_rng(0)
    rates = []
    for _ in range(draws):
        drawn = {
            owner: (random.choice(own, len(own)), random.choice(others, len(others)))
            for owner, (own, others) in found.items()
        }
        rates.append(equal_error(*pooled(drawn))[0])
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)
