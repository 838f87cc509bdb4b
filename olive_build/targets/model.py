"""What is known of platforms: frozen values, read from the data files beside this module."""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.values import dataclass

LAYOUTS = ("plain", "transformers.js", "mobile")
FORMATS = ("onnx", "ort")
COMPOSITIONS = ("single-file", "split", "none")
ATTENTIONS = ("fused", "plain")
# How a language writes a variable of several words.
VARIABLES = ("camel", "snake")
ECOSYSTEMS = ("pypi", "npm", "maven", "cocoapods", "nuget")
# int8 is dynamic; weight-int8 and int4 leave activations in float; w8a8 and w8a16 are static QDQ
# graphs with activations of uint8 and uint16.
PRECISIONS = ("fp32", "fp16", "int8", "weight-int8", "int4", "w8a8", "w8a16")
# The precisions with weights in blocks, and the bits of those.
BLOCK_BITS = {"weight-int8": 8, "int4": 4}
# The provider that runs files where they are built.
HERE = "cpu"
ACCURACY_LEVELS = (0, 1, 2, 3, 4)
RUNS = ("native", "fallback", "refused")
SHAPES = ("any", "fixed-preferred", "fixed")


@dataclass(frozen=True)
class Claim:
    """A fact and its source: a public address, a file of a release, or what was measured.

    A text that begins with ``assumed`` says that it was not verified.
    """

    what: str
    source: str


@dataclass(frozen=True)
class RuntimePackage:
    """A package that an app installs to load the files.

    ``lowest`` is the lowest version of the package known to load them; ``onnxruntime`` the
    version of onnxruntime in it ("" for a package without one). ``providers`` names the
    providers that need this package; empty: all that no other package of the target names.
    """

    name: str
    ecosystem: str
    lowest: str
    why: str
    source: str
    onnxruntime: str = ""
    providers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A platform: what is built for it by default, and what loads the files there.

    ``opset_max`` and ``ir_max`` are the ceilings of the lowest versions in ``packages``.
    ``language`` is that of a bundle's README, ``training_language`` that of one that trains.
    ``domains`` are the operator domains of its runtime; ``ai.onnx.contrib`` comes on top where
    there are ``extension_packages``. ``training_packages`` take the place of ``packages`` where an
    app goes on training; a target without any is not built for training. The defaults are what a
    recipe gets that says nothing. ``builds_here`` says that a machine that builds is one of it, and
    ``has_x86`` that some of its machines have x86 processors.
    """

    name: str
    title: str
    description: str
    platform: str
    default_provider: str
    providers: tuple[str, ...]
    layout: str
    formats: tuple[str, ...]
    default_formats: tuple[str, ...]
    compose: str
    default_variants: tuple[str, ...]
    opset_max: int
    opset_default: int
    ir_max: int
    attention: str
    language: str
    training_language: str
    domains: tuple[str, ...]
    packages: tuple[RuntimePackage, ...]
    extension_packages: tuple[RuntimePackage, ...]
    training_packages: tuple[RuntimePackage, ...]
    claims: tuple[Claim, ...]
    builds_here: bool = False
    has_x86: bool = False

    def runs_here(self, provider: str) -> bool:
        """Whether the build machine runs files with this provider; only then are they timed."""
        return self.builds_here and provider == HERE

    def packages_for(self, provider: str) -> tuple[RuntimePackage, ...]:
        """Return the packages an app needs that runs the files with this provider."""
        special = tuple(p for p in self.packages if provider in p.providers)
        return special or tuple(p for p in self.packages if not p.providers)


@dataclass(frozen=True)
class OperatorSupport:
    """An operator for which a provider has a kernel of its own.

    ``limit`` says, in the words of our data files, under which condition it takes a node.
    """

    domain: str
    name: str
    limit: str | None


@dataclass(frozen=True)
class PrecisionSupport:
    """How a provider runs files of one precision.

    ``runs`` is native where its own kernels do the arithmetic, fallback where the results are
    right and the CPU or another precision does it, refused where it does not run or only costs
    time. ``how`` says which, in a clause; ``instead`` is what a recipe should write in place of a
    refused one, as YAML.
    """

    precision: str
    runs: str
    how: str
    source: str
    instead: str = ""


@dataclass(frozen=True)
class BlockKernels:
    """For which products with weights in blocks (MatMulNBits) of so many bits there are kernels.

    ``levels`` are the accuracy levels that have one, none where the weights are unpacked in every
    product whatever the level is. ``otherwise`` says what the others cost, "" where there are none.
    """

    bits: int
    levels: tuple[int, ...]
    otherwise: str
    source: str


@dataclass(frozen=True)
class Asking:
    """The code with which one language asks for one provider; empty if it needs none.

    ``imports`` are lines among the imports; ``code`` is statements on the session's ``options``, or
    an entry of an object or a list; ``argument`` is what else the session is made with, after a
    comma; ``note`` is what is to be said below the code.
    """

    imports: str = ""
    code: str = ""
    argument: str = ""
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class Inputs:
    """The code with which a language passes a graph its inputs, by their type in the manifest.

    ``types`` are arrays, ``array`` makes the input [1, length] of one (``name``), ``number`` the
    input [1] of a ``value``; ``entry`` joins an input's name and that; ``imports`` are lines that
    only such an array needs.
    """

    types: Mapping[str, str]
    array: Mapping[str, str]
    number: Mapping[str, str]
    entry: str
    imports: Mapping[str, str]


@dataclass(frozen=True)
class Batches:
    """The code with which a language passes a training step its batch.

    ``types`` are arrays by the graph's types, and ``tensor`` makes an input of one with its
    ``shape``. ``field`` is how an object has an array, ``fields`` stands between two, and
    ``example`` takes it out again. ``size`` is an array's length, ``local`` a number with a name,
    ``output`` an array of a ``size`` where the caller makes those of outputs.
    """

    types: Mapping[str, str]
    tensor: Mapping[str, str]
    field: str
    fields: str
    example: str
    size: str
    local: str
    output: str


@dataclass(frozen=True)
class Language:
    """A language of applications, with the library that runs models in it.

    ``fence`` names it in Markdown. ``snake_case`` says how it writes variables, ``reserved`` what
    none may be called, ``parameter`` how a function declares one of a ``type``. ``inputs`` and
    ``batches`` are None where its library needs no code for them. ``providers`` is how it asks for
    each provider.
    """

    name: str
    title: str
    fence: str
    snake_case: bool
    reserved: frozenset[str]
    parameter: str
    inputs: Inputs | None
    batches: Batches | None
    providers: Mapping[str, Asking]


@dataclass(frozen=True)
class Provider:
    """An execution provider of onnxruntime.

    ``support`` decides about every precision, ``blocks`` about those of weights in blocks that are
    not refused. ``opset_max`` is a ceiling of its own below the
    runtime's, or None. ``shapes`` says whether it needs graphs without symbolic axes, and
    ``takes_symbolic_axes`` whether it takes any node of one that has them. ``no_attention_because``
    is empty where it has a kernel for the fused attention of com.microsoft,
    ``no_subgraphs_because`` where it is given the graphs inside nodes as well. ``runs_here_by``
    names what runs it on a build machine, None where nothing does. ``code`` is by language how code
    asks for it where the language's own file does not say so.
    """

    name: str
    title: str
    execution_provider: str
    runs_here_by: str | None
    support: tuple[PrecisionSupport, ...]
    blocks: tuple[BlockKernels, ...]
    falls_back_to_cpu: bool
    shapes: str
    shapes_because: str
    takes_symbolic_axes: bool
    opset_max: int | None
    no_attention_because: str
    no_subgraphs_because: str
    operators_of: str
    code: Mapping[str, Asking]
    claims: tuple[Claim, ...]

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that its own kernels run."""
        return self._that_run("native")

    @property
    def precisions_by_fallback(self) -> tuple[str, ...]:
        """The precisions with right results, computed on the CPU or in another precision."""
        return self._that_run("fallback")

    @property
    def contrib_attention(self) -> bool:
        """Whether it has a kernel for the fused attention of com.microsoft."""
        return not self.no_attention_because

    @property
    def needs_fixed_shapes(self) -> bool:
        """Whether a graph with symbolic axes is of no use to it."""
        return self.shapes == "fixed"

    def support_of(self, precision: str) -> PrecisionSupport:
        """Return how the provider runs a precision; KeyError for an unknown one."""
        return {item.precision: item for item in self.support}[precision]

    def blocks_of(self, bits: int) -> BlockKernels | None:
        """Return the kernels for blocks of 4 or 8 bits; None where files with them are refused."""
        return next((item for item in self.blocks if item.bits == bits), None)

    def block_level(self, bits: int) -> int:
        """Return the lowest accuracy level with a kernel for blocks of `bits`, 0 where none has."""
        found = self.blocks_of(bits)
        return min(found.levels, default=0) if found else 0

    def _that_run(self, how: str) -> tuple[str, ...]:
        return tuple(item.precision for item in self.support if item.runs == how)

    def operators(self) -> tuple[OperatorSupport, ...]:
        """Return the operators that it has kernels for; the file is read on the first call."""
        from olive_build.targets import provider_operators

        return provider_operators(self.operators_of)
