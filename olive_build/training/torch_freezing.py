"""Which parameters of a network are trained, and which are left as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch.nn.utils import parametrize

from olive_build.errors import StepError
from olive_build.training.settings import Train
from olive_build.training.torch_batch_norm import Folded
from olive_build.training.torch_lora import Adapted
from olive_build.training.torch_names import listed, what_there_is

REQUIRES_GRAD, FROZEN = "train.requires_grad", "train.frozen"


@dataclass(frozen=True)
class Chosen:
    """Names of parameters in the model's order, and how many each pattern names."""

    trainable: tuple[str, ...]
    frozen: tuple[str, ...]
    patterns: dict[str, int]


def plain_where_frozen(model: torch.nn.Module, train: Train) -> dict[str, str]:
    """Compute weights that are parametrized, such as by weight norm, once where they stay frozen.

    Their graph would compute them at each step. Returns the names that are gone, each with the
    weight that has taken its place.
    """
    gone: dict[str, str] = {}
    for path, module in list(model.named_modules()):
        if not parametrize.is_parametrized(module):
            continue
        parametrized = module.parametrizations
        assert isinstance(parametrized, torch.nn.ModuleDict)
        for weight, inner in list(parametrized.items()):
            prefix = f"{path}.parametrizations.{weight}" if path else f"parametrizations.{weight}"
            names = [f"{prefix}.{name}" for name, _ in inner.named_parameters()]
            if any(_matches(name, train.requires_grad, train.frozen) for name in names):
                continue
            # Without a gradient the weight would be left as a tensor that is no parameter.
            inner.requires_grad_(True)
            parametrize.remove_parametrizations(module, weight, leave_parametrized=True)
            gone |= dict.fromkeys(names, f"{path}.{weight}" if path else weight)
    return gone


def choose(
    model: torch.nn.Module,
    train: Train,
    *,
    head: str | None = None,
    adapted: Adapted | None = None,
    folded: Folded | None = None,
    gone: Mapping[str, str] | None = None,
) -> Chosen:
    """Set requires_grad of every parameter, and return which are trained.

    Trained are those that `requires_grad` names and `frozen` does not, and those of the new layer
    `head` and of adapters; the layers that are `adapted` are not. Raises StepError for a pattern
    that names nothing, for one in `frozen` that names a head's or an adapter's, and where nothing
    is trained.
    """
    adapted, folded = adapted or Adapted(), folded or Folded()
    parameters = dict(model.named_parameters())
    names = _Names(model, gone or {})
    of_head = {f"{head}.weight", f"{head}.bias"} & set(parameters)
    always = {*of_head, *adapted.own}
    wanted = {pattern: names.matched(pattern) for pattern in train.requires_grad}
    kept = {pattern: names.matched(pattern) for pattern in train.frozen}
    for pattern, found in {**wanted, **kept}.items():
        where = REQUIRES_GRAD if pattern in wanted else FROZEN
        _check_named(pattern, found, where, names, folded)
    # Layers may share a weight, which is then known by the name of the first.
    base = frozenset(names.known.get(name, name) for name in adapted.base)
    _check_adapted(wanted, base)
    _check_not_always(kept, always, of_head)
    asked = set().union(*wanted.values()) - set().union(*kept.values()) - base
    trained = {name for name in asked | always if parameters[name].is_floating_point()}
    if not trained:
        raise _nothing(train, names)
    for name, value in parameters.items():
        value.requires_grad_(name in trained)
    return Chosen(
        tuple(name for name in parameters if name in trained),
        tuple(name for name in parameters if name not in trained),
        {pattern: len(found) for pattern, found in wanted.items()},
    )


class _Names:
    """The names that patterns are held against, each with the parameter that it stands for.

    A tensor that several layers share has several names and is one parameter.
    """

    def __init__(self, model: torch.nn.Module, gone: Mapping[str, str]) -> None:
        first = {id(value): name for name, value in model.named_parameters()}
        every = model.named_parameters(remove_duplicate=False)
        self.known = {name: first[id(value)] for name, value in every}
        self._stands_for = {**gone, **self.known}

    def matched(self, pattern: str) -> set[str]:
        """Return the parameters that the pattern names, each by the name of its own."""
        return {own for name, own in self._stands_for.items() if fnmatchcase(name, pattern)}


def _matches(name: str, wanted: Sequence[str], but: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in wanted) and not any(
        fnmatchcase(name, pattern) for pattern in but
    )


def _check_named(pattern: str, found: set[str], where: str, names: _Names, folded: Folded) -> None:
    if found:
        return
    norms = {
        norm: layer
        for norm, layer in folded.into.items()
        if any(fnmatchcase(f"{norm}.{kind}", pattern) for kind in ("weight", "bias"))
    }
    if norms:
        layers = list(dict.fromkeys(norms.values()))
        raise StepError(
            f"'{pattern}' names batch norms alone, which were folded",
            where=where,
            why="; ".join(f"'{norm}' is part of '{norms[norm]}' now" for norm in list(norms)[:3])
            + (f"; and {len(norms) - 3} more" if len(norms) > 3 else ""),
            hint=f"name the layers instead: {listed(layers)}",
        )
    raise StepError(
        f"'{pattern}' matches no parameter",
        where=where,
        why=what_there_is(pattern, list(names.known), "parameters"),
        hint="patterns are compared with whole names, such as classifier.* or *.layers.11.*",
    )


def _check_adapted(wanted: Mapping[str, set[str]], base: Collection[str]) -> None:
    for pattern, found in wanted.items():
        if found <= set(base):
            raise StepError(
                f"'{pattern}' names layers with adapters alone",
                where=REQUIRES_GRAD,
                why=f"{listed(sorted(found))} stay as they are, and what LoRA adds is trained",
                hint="drop the pattern, or drop the layers from train.lora.modules",
            )


def _check_not_always(
    kept: Mapping[str, set[str]], always: Collection[str], of_head: Collection[str]
) -> None:
    for pattern, found in kept.items():
        refused = sorted(found & set(always))
        if refused:
            whose = "the new head" if refused[0] in of_head else "a LoRA adapter"
            raise StepError(
                f"'{pattern}' freezes {whose}: '{refused[0]}'",
                where=FROZEN,
                why="a new head and LoRA adapters begin without knowledge: they are always trained",
                hint="write the pattern so that it does not name them",
            )


def _nothing(train: Train, names: _Names) -> StepError:
    why = (
        "`frozen` names all that `requires_grad` does"
        if train.requires_grad
        else "`requires_grad` is empty, and there is neither a head nor LoRA"
    )
    groups = listed(dict.fromkeys(name.partition(".")[0] for name in names.known))
    return StepError(
        "nothing is trained",
        where=REQUIRES_GRAD,
        why=why,
        hint=f"name parameters to train; those of the model are below {groups}",
    )
