"""What a LoRA adapter of PEFT changes in a model's weights, read from its files. Light, no torch.

The format: adapter_config.json and adapter_model.safetensors
(https://huggingface.co/docs/peft/developer_guides/checkpoint). What is not understood is refused by
its name: an adapter that is merged in part is another model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_object
from olive_build.families.stored_tensors import Stored, tensors_of
from olive_build.families.weight_files import INDEX, SINGLE, weight_files

MODEL = "config.json"
CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
MOST_NAMED = 5
PREFIX = "base_model.model."
# Settings that change nothing once an adapter is trained, or that the tensors say themselves.
WITHOUT_EFFECT = frozenset(
    "auto_mapping base_model_name_or_path revision inference_mode peft_version task_type "
    "lora_dropout target_modules exclude_modules layers_to_transform layers_pattern "
    "modules_to_save qalora_group_size megatron_core ensure_weight_tying runtime_config "
    "eva_config".split()
)
UNDERSTOOD = frozenset(
    "peft_type r lora_alpha use_rslora fan_in_fan_out bias rank_pattern alpha_pattern "
    "init_lora_weights".split()
)
# Models of transformers with layers whose weights have their inputs first (Conv1D), and the names
# of those layers. PEFT goes by the layer too, whatever `fan_in_fan_out` says.
OF_SWAPPED_WEIGHTS = ("clvp_decoder", "decision_transformer", "gpt2", "imagegpt", "openai-gpt")
SWAPPED_LAYERS = ("c_attn", "c_fc", "c_proj", "q_attn")
# Ways to begin that leave the model's own weights as they are; PiSSA, OLoRA and LoftQ change them.
BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")
BIASES = ("none", "all", "lora_only")
FLOATS = ("F64", "F32", "F16", "BF16")
_WHAT = "the adapter cannot be merged into the model"
_MERGE = (
    "merge it with PEFT and save the result: PeftModel.from_pretrained(model, folder)"
    ".merge_and_unload().save_pretrained(...), and name that folder as the model"
)


@dataclass(frozen=True)
class Product:
    """`scale` times B A is added to a weight, whose axes are swapped where it is `transposed`.

    `a` and `b` are the names of the two matrices in the adapter's file.
    """

    a: str
    b: str
    scale: float
    transposed: bool


@dataclass(frozen=True)
class Merge:
    """What an adapter does to the weights in `folder`, by the names of the model's tensors.

    `replaced` are the adapter's tensors that take the place of the model's, before `products` are
    added. `files` are the model's that hold tensors which change.
    """

    folder: Path
    replaced: Mapping[str, str] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def read_merge(model: Path, adapter: Path) -> Merge:
    """Return what the adapter in a folder does to the model in another, both held to each other.

    Raises PlanError for an adapter that is no LoRA adapter, whose settings or tensors are not
    understood, that is not whole, or that fits another model.
    """
    config = _configuration(adapter)
    folder = _weights_folder(model)
    base = tensors_of(folder / name for name in _files(folder))
    given = tensors_of([adapter / WEIGHTS])
    names = _Names(base, adapter)
    kind = read_object(folder / MODEL).get("model_type")
    swappable = SWAPPED_LAYERS if kind in OF_SWAPPED_WEIGHTS else ()
    products: dict[str, Product] = {}
    replaced: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {}
    for name, stored in given.items():
        module, kind = _split(name, adapter)
        if kind in ("A", "B"):
            pairs.setdefault(module, {})[kind] = name
        elif _is_bias_without_use(config, kind):
            continue
        else:
            own = names.find(f"{module}.{kind}")
            _require_shape(adapter, name, stored.shape, own, base[own].shape)
            replaced[own] = name
    for module, found in pairs.items():
        own = names.find(f"{module}.weight")
        products[own] = _product(adapter, config, module, found, given, base[own], swappable)
    if not products:
        raise _refused(adapter / WEIGHTS, "it holds no matrices of LoRA")
    _require_all(adapter, config, base, products)
    changed = {base[name].path.name for name in (*products, *replaced)}
    return Merge(folder, replaced, products, tuple(sorted(changed)))


def _configuration(adapter: Path) -> dict[str, Any]:
    """Return the adapter's settings. Raises PlanError for one that is not understood."""
    path = adapter / CONFIG
    if not path.is_file():
        raise PlanError(
            "the folder holds no adapter of PEFT",
            where=str(adapter),
            why=f"there is no {CONFIG}",
            hint="name the folder that PeftModel.save_pretrained wrote",
        )
    config = read_object(path)
    _check_settings(path, config)
    if not (adapter / WEIGHTS).is_file():
        pickled = f"{PICKLE} is a pickle, which runs code when it is opened"
        raise PlanError(
            f"the adapter has no {WEIGHTS}",
            where=str(adapter),
            why=pickled if (adapter / PICKLE).is_file() else "its weights are not there",
            hint="save it with PeftModel.save_pretrained(..., safe_serialization=True)",
        )
    return config


def _check_settings(path: Path, config: Mapping[str, Any]) -> None:
    """Raise PlanError for another kind of adapter, and for a setting that is not understood."""
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _refused(path, f"it is a {str(kind)[:40]} adapter; LORA alone is merged here", _MERGE)
    for key, value in config.items():
        if value and key not in UNDERSTOOD and key not in WITHOUT_EFFECT:
            raise _refused(path, f"its `{key[:60]}` is not understood", _MERGE)
    if config.get("init_lora_weights", True) not in BEGINNINGS:
        why = "its `init_lora_weights` changed the model's own weights when training began"
        raise _refused(path, why, _MERGE)
    if config.get("bias", "none") not in BIASES:
        raise _refused(path, f"its `bias` is none of {', '.join(BIASES)}")
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in config.get(key) or {}:
            if not re.fullmatch(r"\^?[\w.-]+\$?", pattern, re.ASCII):
                why = (
                    f"its `{key}` has the pattern {pattern[:60]!r}, and plain names are understood"
                )
                raise _refused(path, why, _MERGE)


def _weights_folder(model: Path) -> Path:
    """Return the folder that the weights are in: sentence-transformers may have one below."""
    below = sorted(path.parent for path in model.glob("*/config.json"))
    folders = [
        at for at in (model, *below) if any((at / name).is_file() for name in (SINGLE, INDEX))
    ]
    if len(folders) > 1:
        raise PlanError(
            _WHAT,
            where=str(model),
            why=f"the model has several parts with weights: {', '.join(at.name for at in folders)}",
            hint=_MERGE,
        )
    return folders[0] if folders else model


def _files(folder: Path) -> tuple[str, ...]:
    return weight_files(folder, read_object(folder / MODEL))


def _split(name: str, adapter: Path) -> tuple[str, str]:
    """Return the module that an adapter's tensor is for, and what it is: A, B, weight or bias."""
    inner = name.removeprefix(PREFIX)
    for ending, kind in _ENDINGS.items():
        if name.startswith(PREFIX) and inner.endswith(ending) and inner != ending:
            module = inner.removesuffix(ending)
            for wrapper in (".base_layer", ".modules_to_save"):
                module = module.removesuffix(wrapper)
            return module, kind
    raise _refused(adapter / WEIGHTS, f"its tensor {name[:100]} is not understood", _MERGE)


_ENDINGS: Mapping[str, str] = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
    ".weight": "weight",
    ".bias": "bias",
}


def _is_bias_without_use(config: Mapping[str, Any], kind: str) -> bool:
    """Whether a bias was stored though none was trained, and is the model's own."""
    return (
        kind == "bias"
        and config.get("bias", "none") == "none"
        and not config.get("modules_to_save")
    )


class _Names:
    """Finds the model's tensor that a name of the adapter means.

    A model may have been saved without the prefix of its class, or be loaded without it.
    """

    def __init__(self, base: Mapping[str, Stored], adapter: Path) -> None:
        self._base, self._adapter = base, adapter

    def find(self, name: str) -> str:
        """Return the name in the model's files. Raises PlanError for none, and for several."""
        if name in self._base:
            return name
        found = [own for own in self._base if own.endswith(f".{name}") or name.endswith(f".{own}")]
        if len(found) == 1:
            return found[0]
        raise PlanError(
            "the adapter is for another model",
            where=str(self._adapter / WEIGHTS),
            why=f"it changes {name[:100]}, which "
            + (
                "several tensors of the model could be"
                if found
                else "the model's files do not have"
            ),
            hint="name the model that the adapter was trained on: its adapter_config.json has it "
            "as `base_model_name_or_path`",
        )


def _product(
    adapter: Path,
    config: Mapping[str, Any],
    module: str,
    pair: Mapping[str, str],
    given: Mapping[str, Stored],
    weight: Stored,
    swappable: Collection[str],
) -> Product:
    path = adapter / WEIGHTS
    if set(pair) != {"A", "B"}:
        (only,) = pair.values()
        raise _refused(path, f"it has {only}, and not the other matrix of the pair")
    a, b = given[pair["A"]], given[pair["B"]]
    in_table = pair["A"].endswith("lora_embedding_A")
    rank = a.shape[0] if a.shape else 0
    if (
        not rank
        or len(b.shape) < 2
        or b.shape[1] != rank
        or math.prod(b.shape) != b.shape[0] * rank
    ):
        raise _refused(
            path,
            f"the matrices of {module} do not fit each other: {list(a.shape)}, {list(b.shape)}",
        )
    if {a.dtype, b.dtype, weight.dtype} - set(FLOATS):
        raise _refused(path, f"{module} is {weight.dtype}, its matrices {a.dtype} and {b.dtype}")
    said = _by_pattern(config, "rank_pattern", module, config.get("r"))
    if rank != said:
        raise _refused(path, f"the matrices of {module} have rank {rank}, and {CONFIG} says {said}")
    shape = (b.shape[0], *a.shape[1:])
    swapped = module.rpartition(".")[2] in swappable and shape[::-1] == weight.shape
    transposed = in_table or swapped
    _require_shape(adapter, module, shape[::-1] if transposed else shape, module, weight.shape)
    alpha = _by_pattern(config, "alpha_pattern", module, config.get("lora_alpha"))
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        raise _refused(adapter / CONFIG, "its `lora_alpha` is no number")
    root = math.sqrt(rank) if config.get("use_rslora") else rank
    return Product(pair["A"], pair["B"], alpha / root, transposed)


def _by_pattern(config: Mapping[str, Any], key: str, module: str, default: Any) -> Any:
    """Return the value of the first name that is the module's, or that its name ends in."""
    for pattern, value in (config.get(key) or {}).items():
        name = pattern.removeprefix("^").removesuffix("$")
        whole = pattern.startswith("^")
        if module == name or (not whole and module.endswith(f".{name}")):
            return value
    return default


def _require_shape(
    adapter: Path, name: str, shape: tuple[int, ...], own: str, wanted: tuple[int, ...]
) -> None:
    if shape != wanted:
        raise PlanError(
            "the adapter is for a model of other sizes",
            where=str(adapter / WEIGHTS),
            why=f"{name[:100]} is for the shape {list(shape)}, and {own[:100]} has {list(wanted)}",
            hint="name the model that the adapter was trained on: its adapter_config.json has it "
            "as `base_model_name_or_path`",
        )


def _require_all(
    adapter: Path,
    config: Mapping[str, Any],
    base: Mapping[str, Stored],
    products: Mapping[str, Any],
) -> None:
    """Raise PlanError where layers that the adapter is said to change have no matrices."""
    targets = config.get("target_modules")
    chosen = [
        config.get(key) for key in ("layers_to_transform", "layers_pattern", "exclude_modules")
    ]
    if not isinstance(targets, list) or any(chosen):
        return
    missing = [name for name in _of_targets(targets, base) if name not in products]
    if missing:
        more = " ..." if len(missing) > MOST_NAMED else ""
        raise PlanError(
            f"the adapter has no matrices for {len(missing)} of the layers that it changes",
            where=str(adapter / WEIGHTS),
            why=f"{', '.join(missing[:MOST_NAMED])}{more}: `target_modules` names them",
            hint="download or save the adapter again, or name the model that it was trained on",
        )


def _of_targets(targets: list[Any], base: Mapping[str, Stored]) -> Iterator[str]:
    for name, stored in base.items():
        module = f".{name.removesuffix('.weight')}"
        is_target = any(module.endswith(f".{target}") for target in targets)
        if is_target and name.endswith(".weight") and len(stored.shape) > 1:
            yield name


def _refused(path: Path, why: str, hint: str | None = None) -> PlanError:
    return PlanError(
        _WHAT, where=str(path), why=why, hint=hint or "save the adapter again with PEFT"
    )
