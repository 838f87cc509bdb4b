"""What is known about a platform: frozen values, read from the data files beside this module."""

from __future__ import annotations

from dataclasses import dataclass

LAYOUTS = ("plain", "transformers.js", "mobile")
FORMATS = ("onnx", "ort")
COMPOSITIONS = ("single-file", "split", "none")
ATTENTIONS = ("fused", "plain")
LANGUAGES = ("python", "javascript", "kotlin", "swift", "csharp")
ECOSYSTEMS = ("pypi", "npm", "maven", "cocoapods", "nuget")
PRECISIONS = ("fp32", "fp16", "int8", "int4", "weight-int8")


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
    ``domains`` are the operator domains of its runtime; ``ai.onnx.contrib`` comes on top where
    there are ``extension_packages``. The defaults are what a recipe gets that says nothing.
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
    domains: tuple[str, ...]
    packages: tuple[RuntimePackage, ...]
    extension_packages: tuple[RuntimePackage, ...]
    claims: tuple[Claim, ...]

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
class Provider:
    """An execution provider of onnxruntime.

    ``precisions`` run in its own kernels. ``precisions_by_fallback`` give right results too, but
    the quantized or fp16 nodes run on the CPU or are cast to fp32. Any other precision is not
    for this provider. ``opset_max`` is a ceiling of its own below the runtime's, or None.
    ``runs_here_by`` names what runs it on a build machine, None where nothing does.
    """

    name: str
    title: str
    execution_provider: str
    runs_here_by: str | None
    precisions: tuple[str, ...]
    precisions_by_fallback: tuple[str, ...]
    falls_back_to_cpu: bool
    needs_fixed_shapes: bool
    opset_max: int | None
    contrib_attention: bool
    operators_of: str
    claims: tuple[Claim, ...]

    def operators(self) -> tuple[OperatorSupport, ...]:
        """Return the operators that it has kernels for; the file is read on the first call."""
        from olive_build.targets import provider_operators

        return provider_operators(self.operators_of)
