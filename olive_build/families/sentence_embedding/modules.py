"""The modules of a sentence-transformers folder, read closed: what is not understood is refused.

modules.json names them in order, and each has a config.json of its own. Keys, their defaults and
older names are those of sentence-transformers 6.2 (base/modules/*.py and
sentence_transformer/modules/*.py, `config_keys`, `config_key_renames`); `tests/families` holds
them against the installed library. A folder without modules.json is read as that library does:
mean pooling, or the last token of a causal language model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_object, read_value, unreadable
from olive_build.families.stored_tensors import tensors_of
from olive_build.values import dataclass

MODULES = "modules.json"
PACKAGE = "sentence_transformers."
TOKENS, SENTENCE = "token_embeddings", "sentence_embedding"
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# In the order in which the library puts several of them side by side.
OLDER_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Functions of torch that a Dense may end in, by what its configuration calls them.
ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "Identity",
    **{
        f"torch.nn.modules.activation.{name}": name
        for name in (
            *("Tanh", "ReLU", "GELU", "Sigmoid", "SiLU", "LeakyReLU", "ELU", "SELU", "CELU"),
            *("Softplus", "Softsign", "Mish", "Hardtanh", "ReLU6", "Hardswish", "Hardsigmoid"),
        )
    },
}
TANH = "torch.nn.modules.activation.Tanh"
KEYS: Mapping[str, Mapping[str, Any]] = {
    "Pooling": {"embedding_dimension": ..., "pooling_mode": "mean", "include_prompt": True},
    "Dense": {
        "in_features": ...,
        "out_features": ...,
        "bias": True,
        "activation_function": TANH,
        "module_input_name": SENTENCE,
        "module_output_name": None,
        "use_residual": False,
    },
    "LayerNorm": {"dimension": ...},
    "Normalize": {"module_input_name": SENTENCE, "module_output_name": None},
    "Dropout": {"dropout": 0.2},
}
RENAMED = {"Pooling": {"word_embedding_dimension": "embedding_dimension"}}
# Classes that pass by what they do not know; others cannot be made with it.
LENIENT = ("Dense", "Normalize")
# Others of the library, and what they would need.
NOT_BUILT = {
    "WeightedLayerPooling": "it reads all layers of the transformer, and the graph gives the last",
    "CNN": "it is a network of its own over the tokens",
    "LSTM": "it is a network of its own over the tokens",
    "BoW": "it counts words, and has no transformer",
    "WordEmbeddings": "it looks words up in a table, and has no transformer",
    "WordWeights": "it weighs words by a table",
    "StaticEmbedding": "it looks tokens up in a table, and has no transformer",
    "CLIPModel": "it takes images too",
    "Router": "it chooses other modules for queries than for documents",
    "Asym": "it chooses other modules for queries than for documents",
    "SpladePooling": "it gives a weight a word of the vocabulary, a sparse vector",
    "MLMTransformer": "it gives a weight a word of the vocabulary, a sparse vector",
    "SparseAutoEncoder": "it gives a sparse vector",
    "SparseStaticEmbedding": "it gives a sparse vector",
}


@dataclass(frozen=True)
class Pooling:
    """Token embeddings of a text become one vector; several `modes` stand side by side."""

    modes: tuple[str, ...]
    include_prompt: bool


@dataclass(frozen=True)
class Dense:
    """A product, a function of torch, and perhaps the input added; `folder` holds the weights."""

    folder: str
    outputs: int
    bias: bool
    activation: str
    takes: str
    gives: str
    residual: bool


@dataclass(frozen=True)
class LayerNorm:
    """PyTorch's LayerNorm of the sentence embedding; `folder` holds scale and bias."""

    folder: str


@dataclass(frozen=True)
class Normalize:
    """A vector is divided by its length."""

    takes: str
    gives: str


Module = Pooling | Dense | LayerNorm | Normalize


@dataclass(frozen=True)
class Modules:
    """What follows the transformer, in order, and the folder of the transformer itself."""

    transformer: str
    after: tuple[Module, ...]
    notes: tuple[str, ...] = ()


def read_modules(folder: Path) -> Modules | None:
    """Return the modules that modules.json names; None where there is no such file.

    Raises PlanError for a module or a setting that is not built.
    """
    path = folder / MODULES
    if not path.is_file():
        return None
    kinds = list(_kinds(path))
    if not kinds or kinds[0][0] != "Transformer":
        first = kinds[0][0] if kinds else "nothing"
        raise refused(path, first, NOT_BUILT.get(first, "a transformer must be the first"))
    notes: list[str] = []
    after = [
        module
        for kind, place in kinds[1:]
        if (module := _module(folder, kind, place, notes)) is not None
    ]
    _check_ends(path, after)
    return Modules(kinds[0][1], tuple(after), tuple(notes))


def default_modules(config: Mapping[str, Any]) -> Modules:
    """Return what sentence-transformers puts after a transformer that has no modules.json.

    Its SentenceTransformer._load_default_modules.
    """
    names = config.get("architectures") or [""]
    causal = str(names[0]).endswith("ForCausalLM") and config.get("is_causal", True)
    mode = "lasttoken" if causal else "mean"
    note = f"no {MODULES}: {mode} pooling without normalization, as sentence-transformers does"
    return Modules("", (Pooling((mode,), True),), (note,))


def refused(where: Path, what: str, why: str, hint: str | None = None) -> PlanError:
    """Return the error for a module that has no place in a graph."""
    return PlanError(
        f"the module {what} of sentence-transformers is not built",
        where=str(where),
        why=why,
        hint=hint or f"built are Transformer, {', '.join(KEYS)}; take a model of these",
    )


def closed(
    path: Path, given: Mapping[str, Any], known: Mapping[str, Any], notes: list[str], what: str
) -> dict[str, Any]:
    """Return `given` with the defaults of `known` for what is left out.

    `...` is a default that has to be given. What is no key of the class is told in `notes` where
    the library passes it by. Raises PlanError where it does not, and where something is missing.
    """
    unknown = ", ".join(sorted(set(given) - set(known)))
    if unknown and what not in LENIENT:
        raise PlanError(
            f"{what} has settings that sentence-transformers does not know",
            where=str(path),
            why=f"{unknown}; that library cannot load the folder either",
        )
    if unknown:
        notes.append(f"{what}: {unknown} in its {path.name} is passed by, as the library does")
    missing = [key for key, default in known.items() if default is ... and key not in given]
    if missing:
        raise PlanError(
            f"{what} has no {missing[0]}", where=str(path), why="it has no default to go by"
        )
    return {key: given.get(key, default) for key, default in known.items()}


def _kinds(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the class of each module and its folder. Raises PlanError for classes of others."""
    try:
        named = [(str(item["type"]), str(item["path"])) for item in read_value(path)]
    except (KeyError, TypeError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise unreadable(path, why) from error
    for kind, place in named:
        if not kind.startswith(PACKAGE):
            raise refused(
                path,
                kind,
                "it is code of the model's own, and none is run",
                "take a model without code of its own",
            )
        parts = Path(place).parts
        if Path(place).is_absolute() or any(part.startswith(".") for part in parts):
            raise PlanError(
                f"a module's folder is {place!r}", where=str(path), why="it leaves the model"
            )
        yield kind.rpartition(".")[2], place


def _module(folder: Path, kind: str, place: str, notes: list[str]) -> Module | None:
    """Return what a module does; None for one that does nothing once a model is trained."""
    path = folder / place / "config.json"
    if kind not in KEYS:
        raise refused(
            folder / MODULES, kind, NOT_BUILT.get(kind, "it is none of those that are built")
        )
    given = read_object(path)
    for old, new in RENAMED.get(kind, {}).items():
        if old in given:
            given.setdefault(new, given[old])
            del given[old]
    if kind == "Pooling":
        return _pooling(path, given, notes)
    found = closed(path, given, KEYS[kind], notes, kind)
    match kind:
        case "Dense":
            return _dense(path, place, found)
        case "LayerNorm":
            size = (int(found["dimension"]),)
            _check_weights(path.parent, kind, {"norm.weight": size, "norm.bias": size})
            return LayerNorm(place)
        case "Normalize":
            return Normalize(*_names(path, kind, found))
    return None


def _pooling(path: Path, given: dict[str, Any], notes: list[str]) -> Pooling:
    older = {key: bool(given.pop(key)) for key in OLDER_POOLINGS if key in given}
    if older and "pooling_mode" not in given:
        chosen = [mode for key, mode in OLDER_POOLINGS.items() if older.get(key)]
        given["pooling_mode"] = chosen or ["mean"]
    found = closed(path, given, KEYS["Pooling"], notes, "Pooling")
    modes = found["pooling_mode"]
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    wrong = [str(mode) for mode in modes if mode not in POOLINGS]
    if wrong or not modes:
        raise PlanError(
            f"pooling by {' and '.join(wrong) or 'nothing'} is not built",
            where=str(path),
            why=f"the library has {', '.join(POOLINGS)}",
            hint="correct `pooling_mode`, or take another model",
        )
    return Pooling(modes, bool(found["include_prompt"]))


def _dense(path: Path, place: str, found: Mapping[str, Any]) -> Dense:
    activation = found["activation_function"]
    if activation not in ACTIVATIONS:
        raise refused(
            path,
            "Dense",
            f"its activation_function is {activation}",
            f"known are {', '.join(ACTIVATIONS.values())} of torch.nn",
        )
    takes, gives = _names(path, "Dense", found)
    wide, narrow = int(found["in_features"]), int(found["out_features"])
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (narrow, wide)}
    if found["bias"]:
        shapes["linear.bias"] = (narrow,)
    if found["use_residual"] and wide != narrow:
        shapes["residual.weight"] = (narrow, wide)
    _check_weights(path.parent, "Dense", shapes)
    return Dense(
        place,
        int(found["out_features"]),
        bool(found["bias"]),
        ACTIVATIONS[activation],
        takes,
        gives,
        bool(found["use_residual"]),
    )


def _check_weights(folder: Path, kind: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise PlanError where a module's tensors are not those that its configuration makes."""
    path = folder / "model.safetensors"
    if not path.is_file():
        raise PlanError(
            f"a {kind} has no weights as safetensors",
            where=str(folder),
            why="there is no model.safetensors in it",
            hint="load the model with SentenceTransformer and save it again",
        )
    there = {name: stored.shape for name, stored in tensors_of([path]).items()}
    if there != shapes:
        raise PlanError(
            f"the weights of a {kind} are not those of its config.json",
            where=str(path),
            why=f"the file has {_listed(there)}; the configuration makes {_listed(shapes)}",
            hint="load the model with SentenceTransformer and save it again",
        )


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items()))


def _names(path: Path, kind: str, found: Mapping[str, Any]) -> tuple[str, str]:
    takes = found["module_input_name"]
    gives = found["module_output_name"] or takes
    for key, name in (("module_input_name", takes), ("module_output_name", gives)):
        if name not in (TOKENS, SENTENCE):
            raise refused(path, kind, f"its {key} is {name!r}", f"known are {TOKENS}, {SENTENCE}")
    return takes, gives


def _check_ends(path: Path, after: list[Module]) -> None:
    """Raise PlanError where there is no sentence embedding, or it is read before it is there."""
    there = {TOKENS}
    for module in after:
        takes = TOKENS if isinstance(module, Pooling) else getattr(module, "takes", SENTENCE)
        # The library's Normalize passes by what is not there yet.
        if takes not in there and not isinstance(module, Normalize):
            raise refused(path, type(module).__name__, f"it reads {takes}, which no module made")
        there.add(SENTENCE if isinstance(module, Pooling | LayerNorm) else module.gives)
    if SENTENCE not in there:
        raise PlanError(
            "no module makes a sentence embedding",
            where=str(path),
            why="there is no Pooling after the transformer",
            hint="a model of token embeddings, as ColBERT's, is not built",
        )
