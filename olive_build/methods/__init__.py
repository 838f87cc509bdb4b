"""Quantization, one method a file: its fields, its checks, the steps that it takes, its ladder.

A method is a frozen dataclass of the kind `Method` in a module of this room; nothing lists them,
`methods` finds them. Its fields, each a `knob`, are what a recipe's `quantize` may say. A knob's
`calibrated` is the value that needs calibration inputs, and what to write where there are none.
What several methods share lies below: `steps`, `algorithms`, blocks, and the chain of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from glob import escape
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from olive_build import rooms
from olive_build.errors import PlanError
from olive_build.knobs import knob

if TYPE_CHECKING:
    from olive_build.families.registry import Family
    from olive_build.methods._chain import Chain
    from olive_build.targets import Provider, Target
FP32 = "fp32"


# Fields that several methods have.
exclude = partial(
    knob,
    "Nodes whose names match one of these shell patterns stay in fp32; a pattern that matches none "
    "fails the build.",
    (),
)
smooth = partial(
    knob,
    "true moves channels with outliers from activations into weights before they are quantized, as "
    "far as that lowers the error on the calibration inputs. Exact in fp32.",
    False,
    calibrated=(True, "leave `smooth` out"),
)
rounding = partial(
    knob,
    "nearest rounds each weight by itself; gptq chooses them together, by the error of the layer's "
    "output on the calibration inputs: closer, as small and as fast, and slower to build.",
    "nearest",
    calibrated=("gptq", "leave `rounding` out"),
)
operators = partial(
    knob,
    "Quantize only these ONNX operators, such as MatMul; the others stay in fp32. Left out, all "
    "that can be.",
    None,
)
per_channel = partial(
    knob,
    "One scale per output channel in place of one per tensor: closer to the original, and a little "
    "larger.",
    True,
)
weight_type = partial(
    knob, "How weights are stored: int8 round zero, uint8 with zero points.", "int8"
)
keep_io_types = partial(
    knob,
    "Of what becomes fp16, inputs and outputs stay fp32, so that callers need not change; false "
    "makes them fp16 too, which models with caches do by default.",
    True,
)


@dataclass(frozen=True)
class Use:
    """Who uses a method: a variant of a recipe for a target with a provider."""

    recipe: str
    variant: str
    target: Target
    provider: Provider
    family: Family


@dataclass(frozen=True)
class Problem:
    """What a method cannot do where it is used, or does slowly, and what to write instead.

    `field` is what the recipe would change; "" is the whole map. `conflict`: two of its settings
    exclude each other, whatever it is used for.
    """

    field: str
    message: str
    hint: str
    why: str
    conflict: bool = False


class Quantized(NamedTuple):
    """The nodes of a quantized graph: itself, and the fp32 graph with the same layers."""

    node: str
    before: str


@dataclass(frozen=True)
class Rung:
    """One precision. `spread`: a layer's share of its cost goes by its weights, or is equal."""

    name: str
    spread: Literal["weights", "equal"]


class Ladder(Protocol):
    """How one method becomes more exact, layer by layer. Pure.

    Rung 0 is the method at its plainest; the last one leaves the layer in fp32.
    """

    @property
    def name(self) -> str: ...

    @property
    def rungs(self) -> tuple[Rung, ...]: ...

    @property
    def operators(self) -> frozenset[str]:
        """The operators of the layers that it assigns rungs to."""

    def uniform(self, rung: int) -> Method | None:
        """Return the method with every layer on `rung`; None for the fp32 graph."""

    def assigned(self, rungs: Mapping[str, int]) -> Method:
        """Return the method with each layer, by its name, on its own rung."""

    def refinements(self) -> Sequence[Ladder]:
        """Return the same ladder with one more help each, in the order to try them."""

    def shortcuts(self) -> Sequence[Ladder]:
        """Return the same ladder with one more loss each that saves time."""


@dataclass(frozen=True)
class Method:
    """How a variant is made smaller. Subclasses end with `method`, whose default is their name."""

    # Whether what it makes keeps the packed projection of a fused attention.
    keeps_packed_attention: ClassVar[bool] = False
    # Whether it looks at the inner values of a graph whatever its settings are.
    needs_calibration: ClassVar[bool] = False

    if TYPE_CHECKING:

        @property
        def method(self) -> str:
            """The name by which recipes call it."""

    @property
    def precision(self) -> str:
        """What becomes of the weights and the arithmetic, in the words of the providers."""
        raise NotImplementedError

    def settled(self, provider: Provider) -> Self:
        """Return the method with what is left to the provider decided."""
        return self

    def problems(self, use: Use) -> Iterator[Problem]:
        """Yield what keeps it from being built where it is used."""
        if use.family.calibrates:
            return
        for item in fields(self):
            value, hint = item.metadata.get("calibrated", (MISSING, ""))
            if getattr(self, item.name) == value:
                yield no_calibration(use, item.name, f"`{item.name}: {str(value).lower()}`", hint)

    def slow(self, use: Use) -> Problem | None:
        """Return why the provider computes it slowly, None where it does not."""
        return None

    def for_convolutions(self, provider: Provider) -> Mapping[str, Any] | None:
        """Return the settings in its place where a model's weights are in convolutions.

        None where it does for those as well.
        """
        return None

    def node_patterns(self) -> Iterator[str]:
        """Yield the shell patterns of the nodes that its settings name."""
        yield from getattr(self, "exclude", ())

    def steps(self, chain: Chain, node: str) -> Quantized:
        """Add its steps to a plan; return the nodes of the graph at `node`, quantized.

        Raises PlanError where nothing is to be added.
        """
        raise PlanError(f"no step for the method {self!r}")

    @classmethod
    def ladders(cls, precisions: Sequence[str], *, convolutional: bool) -> Sequence[Ladder]:
        """Return the plain ladders that a provider with these precisions can climb by it.

        `convolutional` models have their weights in convolutions.
        """
        return ()


def no_calibration(use: Use, field: str, what: str, hint: str) -> Problem:
    """Return that something needs inner values of graphs that are fed by one another."""
    return Problem(
        field,
        f"{what} needs calibration inputs, and {use.family.name} has none ('{use.variant}')",
        hint,
        "its graphs are fed by one another, so none has inputs of its own",
    )


def uncalibrated() -> str:
    """Return by which methods models are made smaller whose inner values are not looked at."""
    kinds = (kind() for kind in methods().values() if not kind.needs_calibration)
    *names, last = (f"`{kind.method}`" for kind in kinds if kind.precision != FP32)
    return f"{', '.join(names)} or {last}"


def methods() -> dict[str, type[Method]]:
    """Return every method by the name that recipes call it by, in the order of the files."""
    return {kind().method: kind for kind in rooms.kinds("methods", Method)}


def precision_of(method: Method | None) -> str:
    """Return the precision of what a method makes; that of the graph without one is fp32."""
    return method.precision if method else FP32


def ladders_for(precisions: Sequence[str], *, convolutional: bool) -> tuple[Ladder, ...]:
    """Return the plain ladders of all methods that a provider with these precisions can climb."""
    kinds = methods().values()
    return tuple(x for kind in kinds for x in kind.ladders(precisions, convolutional=convolutional))


def escaped(names: Iterable[str]) -> tuple[str, ...]:
    """Return node names as shell patterns that match themselves alone, sorted."""
    return tuple(sorted(escape(name) for name in names))
