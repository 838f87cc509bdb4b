"""manifest.json: what a bundle is. Deterministic: nothing measured, no time, no machine's path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Final, Literal

from olive_build.onnx_files.data_files import data_names
from olive_build.record.codec import AtLeast, Pattern, key, optional
from olive_build.values import dataclass

MANIFEST_VERSION: Final = 1

# A recipe, a target, a provider, a variant: these names become paths.
Name = Annotated[
    str,
    Pattern(
        r"[a-z0-9][a-z0-9._-]{0,99}",
        "a name has small letters, digits and . _ - alone, since it becomes a path",
    ),
]
_PART = r"(?!\.{1,2}(?:/|$))[^/\\:\x00-\x1f\x7f]+"
FilePath = Annotated[
    str,
    Pattern(
        f"{_PART}(?:/{_PART})*",
        "a file's path begins at the bundle's folder, does not leave it and has no control signs",
    ),
]
Sha256 = Annotated[str, Pattern("[0-9a-f]{64}", "a sha256 has 64 digits from 0 to f")]
Count = Annotated[int, AtLeast(0)]
Positive = Annotated[int, AtLeast(1)]

ONNX, ORT, OPERATORS = "onnx", "ort", "required_operators"
# One graph in forms that stand for each other; files of other roles run together.
FORMS = (ONNX, ORT)
CHECKPOINT, NOMINAL_CHECKPOINT = "checkpoint", "nominal_checkpoint"
TRAINING_GRAPHS = ("training_model", "eval_model", "optimizer_model")
CROSS_ENTROPY = "cross-entropy"


@dataclass(frozen=True)
class Value:
    """An input or output of a graph; an axis is a number, or a name where it is free.

    `family_name` is what the model's family calls it, where the recipe renamed it.
    """

    name: str
    type: str
    axes: tuple[int | str, ...]
    family_name: str | None = optional()

    @property
    def of_family(self) -> str:
        """Its name in the model's family."""
        return self.family_name or self.name


@dataclass(frozen=True)
class Break:
    """Nodes of one operator that a provider leaves to the CPU, with the names of the first."""

    operator: str
    count: Count
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Inside:
    """How a provider would take one graph inside a node, such as a branch or a search's encoder.

    `graph` is the node's attribute that holds it, `operator` what runs it. Fields as `Partition`'s,
    without what is further inside.
    """

    operator: str
    graph: str
    nodes: Count
    taken_nodes: Count
    partitions: Count
    weight_share: float | None


@dataclass(frozen=True)
class Partition:
    """How a provider would take a graph: pieces, and the shares of nodes and weights in them.

    `weight_share` is that of the stored values which matrix products and convolutions read, counted
    wherever one is read; None where there are none. `breaks` are the operators outside, most
    frequent first. All of them count the graphs inside nodes too; `inside` has each of those.
    """

    text: str
    provider: str
    nodes: Count
    taken_nodes: Count
    partitions: Count
    node_share: float
    weight_share: float | None
    breaks: tuple[Break, ...]
    inside: tuple[Inside, ...]


@dataclass(frozen=True)
class Told:
    """What is said of several graphs: the text of each partition."""

    text: str


@dataclass(frozen=True)
class Usable:
    """What onnxruntime's mobile usability checker says of a graph for one provider."""

    nodes: Count
    supported_nodes: Count
    partitions: Count
    suitability: str
    unsupported_operators: tuple[str, ...]


Usability = Mapping[str, Mapping[str, Usable]]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a graph takes and gives, and what it is made of: operators by domain, counted.

    `mobile_usability` has providers, and for each the shapes as they are and fixed. Of several
    graphs taken together `graphs` describes each, by the role of its file.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    ir_version: int
    opsets: Mapping[str, int]
    operators: Mapping[str, Mapping[str, int]]
    stored_values: int
    partition: Told | Partition | None = optional()
    mobile_usability: Usability | None = optional()
    graphs: Mapping[str, Graph] | None = optional()

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets.get("ai.onnx", 0)

    def graph(self, role: str) -> Graph:
        """Return what describes the file of that role."""
        return (self.graphs or {}).get(role, self)


@dataclass(frozen=True, kw_only=True)
class Variant(Graph):
    """One form of the model: its files by role, and what its graphs are.

    `quantize` has the settings of its method, None where it is not quantized; `components` those of
    components that are not made as the whole.
    """

    precision: str
    quantize: Mapping[str, object] | None
    components: Mapping[str, Mapping[str, object] | None] | None = optional()
    files: Mapping[str, FilePath]

    @property
    def models(self) -> dict[str, str]:
        """The paths of the files that are models, by role."""
        return {role: path for role, path in self.files.items() if role != OPERATORS}

    @property
    def loaded(self) -> str:
        """The file that code loads: the .onnx, or what comes first where there are several."""
        return self.files.get(ONNX) or self.files.get(ORT) or next(iter(self.files.values()))

    @property
    def is_one_graph(self) -> bool:
        """Whether its files are forms of one graph, and no graphs that run together."""
        return set(self.models) <= set(FORMS)


@dataclass(frozen=True)
class Adapter:
    """The adapter that was merged into a model: where its files came from, and their digest.

    `base` is the digest of the model's files before that.
    """

    origin: str
    revision: str
    digest: str
    base: str


@dataclass(frozen=True)
class Model:
    """The model that a bundle was made of: where its files came from, and their digest."""

    family: str
    origin: str
    revision: str
    digest: str
    licence: str
    options: Mapping[str, str]
    adapter: Adapter | None = optional()

    @property
    def source(self) -> str:
        """Where it came from, with the revision."""
        return f"{self.origin} {self.revision}".rstrip()


@dataclass(frozen=True)
class Package:
    """A package that an application installs, its lowest version, and why not a lower one."""

    name: str
    ecosystem: str
    lowest: str
    why: str


@dataclass(frozen=True)
class Runtime:
    """What runs the files: the provider, and what an application installs for it."""

    execution_provider: str
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class File:
    """A file of the bundle."""

    path: FilePath
    sha256: Sha256
    size_bytes: Count


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model."""

    name: str
    shape: tuple[Count, ...]


@dataclass(frozen=True)
class Loss:
    """What is made small; `output` is the one that it is taken of, None for the last."""

    name: str
    class_weights: tuple[float, ...]
    output: str | None


@dataclass(frozen=True)
class Optimizer:
    """How a step changes the parameters; `sgd` only has a learning rate."""

    name: Literal["sgd", "adamw"]
    lr: float
    betas: tuple[float, float] | None = optional()
    eps: float | None = optional()
    weight_decay: float | None = optional()

    def __post_init__(self) -> None:
        """Raise ValueError where an AdamW lacks a setting."""
        if self.name == "adamw" and None in (self.betas, self.eps, self.weight_decay):
            raise ValueError("adamw has betas, eps and weight_decay")


@dataclass(frozen=True)
class Decision:
    """By how much the second class's logit is above the first's where an application takes it."""

    margin: float


@dataclass(frozen=True)
class Training:
    """What a device goes on learning with.

    `goal` is the input that the loss compares with, `outputs` those of the inference model.
    `labels` name the classes, empty where the loss knows none. `trainable` has what learns,
    `patterns` by which words of the recipe, `frozen` what stays. `data` says how examples are read,
    for the family. `files` has the bundle's paths by role: training_model, eval_model,
    optimizer_model, each also as .ort (training_model_ort), checkpoint, nominal_checkpoint.
    """

    inputs: tuple[Value, ...]
    goal: Value = field(metadata=key("target"))
    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    trainable: tuple[Parameter, ...]
    frozen: tuple[str, ...]
    patterns: Mapping[str, Count]
    data: Mapping[str, object]
    files: Mapping[str, FilePath]
    loss: Loss
    optimizer: Optimizer
    batch_size: Positive
    epochs: Positive
    seed: int
    trainable_values: Count
    decision: Decision | None = optional()

    def __post_init__(self) -> None:
        """Raise ValueError where something is missing that is asked for later."""
        if not self.inputs or not self.outputs or not self.inputs[0].axes:
            raise ValueError("it names no inputs or outputs")
        if missing := {*self._graph_roles, CHECKPOINT} - {*self.files}:
            raise ValueError(f"it names no {min(missing)}")

    @property
    def loss_output(self) -> str:
        """The output that the loss is taken of."""
        return self.loss.output or self.outputs[-1]

    @property
    def margin(self) -> float | None:
        """The margin of the decision; None where the larger logit decides."""
        return self.decision.margin if self.decision else None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters that learn, by name."""
        return {item.name: item.shape for item in self.trainable}

    @property
    def form(self) -> Literal["onnx", "ort"]:
        """The form of the training graphs: onnx, or ort if there are only those."""
        return "onnx" if TRAINING_GRAPHS[0] in self.files else "ort"

    @property
    def graphs(self) -> dict[str, str]:
        """The paths of the three training graphs, in their form, by role."""
        return {
            role: self.files[name]
            for role, name in zip(TRAINING_GRAPHS, self._graph_roles, strict=True)
        }

    @property
    def _graph_roles(self) -> list[str]:
        return [name if self.form == ONNX else f"{name}_ort" for name in TRAINING_GRAPHS]

    @property
    def checkpoint(self) -> str:
        """The path of the checkpoint that training begins from."""
        return self.files[CHECKPOINT]

    @property
    def fixed_batch(self) -> int | None:
        """How many examples a step takes, where the graphs leave no choice."""
        first = self.inputs[0].axes[0]
        return first if isinstance(first, int) else None

    @property
    def first_batch(self) -> int:
        """How many examples a step takes where nobody says otherwise."""
        return self.fixed_batch or self.batch_size

    @property
    def has_classes(self) -> bool:
        """Whether a target is the number of a class."""
        return self.loss.name == CROSS_ENTROPY


@dataclass(frozen=True)
class Manifest:
    """A bundle as it is: what it was made of, its variants, and every file with its digest.

    `status` says what was run where; `smoke` that it is a miniature's; `tools` have their versions.
    """

    recipe: Name
    description: str
    smoke: bool
    target: Name
    provider: Name
    execution_provider: str
    status: str
    model: Model
    variants: Mapping[Name, Variant]
    runtime: Runtime
    tools: Mapping[str, str]
    files: tuple[File, ...]
    training: Training | None = optional()
    manifest_version: Literal[1] = MANIFEST_VERSION

    def __post_init__(self) -> None:
        """Raise ValueError where no variant is there, or one without models."""
        if not self.variants:
            raise ValueError("it names no variant, so nothing is proved")
        for name, variant in self.variants.items():
            if not variant.models:
                raise ValueError(f"its variant {name} names no model")

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each file, by path."""
        return {item.path: item.size_bytes for item in self.files}

    def beside(self, path: str) -> tuple[str, ...]:
        """The files that hold the weights of the graph in a file; none for what is one file."""
        return data_names(path, self.sizes)

    def loaded_bytes(self, path: str) -> int:
        """The bytes of a model: its file, and what lies beside that."""
        sizes = self.sizes
        return sum(sizes.get(name, 0) for name in (path, *data_names(path, sizes)))

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of each file, by path."""
        return {item.path: item.sha256 for item in self.files}

    @property
    def first(self) -> tuple[str, Variant]:
        """The first variant with its name: the one that the README's code loads."""
        return next(iter(self.variants.items()))
