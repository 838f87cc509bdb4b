"""Platform knowledge as data: one YAML a target, one a provider, a source for each claim.

Adding a target or a provider is adding a file. Nothing here imports a runtime; one file loads in
a few milliseconds and is kept.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.targets.model import (
    ATTENTIONS,
    COMPOSITIONS,
    ECOSYSTEMS,
    FORMATS,
    LANGUAGES,
    LAYOUTS,
    PRECISIONS,
    RUNS,
    SHAPES,
    Claim,
    OperatorSupport,
    PrecisionSupport,
    Provider,
    RuntimePackage,
    Target,
)
from olive_build.targets.reading import DataError, Fields, read_mapping

__all__ = [
    "Claim",
    "DataError",
    "OperatorSupport",
    "PrecisionSupport",
    "Provider",
    "RuntimePackage",
    "Target",
    "load_provider",
    "load_target",
    "provider_names",
    "provider_operators",
    "target_names",
]

DATA = Path(__file__).parent
_OPERATORS = ".operators"


@cache
def target_names() -> tuple[str, ...]:
    """Return the names of all targets, sorted; no file is read."""
    return tuple(sorted(path.stem for path in DATA.glob("*.yaml")))


@cache
def provider_names() -> tuple[str, ...]:
    """Return the names of all providers, sorted; no file is read."""
    stems = (path.stem for path in (DATA / "providers").glob("*.yaml"))
    return tuple(sorted(stem for stem in stems if not stem.endswith(_OPERATORS)))


@cache
def load_target(name: str) -> Target:
    """Return a target. Raises UsageError for a name that does not exist, with near names."""
    if name not in target_names():
        raise _unknown("target", name, target_names())
    return read_target(DATA / f"{name}.yaml")


@cache
def load_provider(name: str) -> Provider:
    """Return a provider. Raises UsageError for a name that does not exist, with near names."""
    if name not in provider_names():
        raise _unknown("provider", name, provider_names())
    return read_provider(DATA / "providers" / f"{name}.yaml")


@cache
def provider_operators(name: str) -> tuple[OperatorSupport, ...]:
    """Return the operators in ``providers/<name>.operators.yaml``, sorted as in the file."""
    return read_operators(DATA / "providers" / f"{name}{_OPERATORS}.yaml")


def read_target(path: Path) -> Target:
    """Return the target in a file. Raises DataError for whatever is wrong with the file."""
    fields = Fields(read_mapping(path), path)
    providers = fields.texts("providers", provider_names())
    formats = fields.texts("formats", FORMATS)
    target = Target(
        name=path.stem,
        title=fields.text("title"),
        description=fields.text("description"),
        platform=fields.text("platform"),
        default_provider=fields.text("default_provider", providers),
        providers=providers,
        layout=fields.text("layout", LAYOUTS),
        formats=formats,
        default_formats=fields.texts("default_formats", formats),
        compose=fields.text("compose", COMPOSITIONS),
        default_variants=fields.texts("default_variants"),
        opset_max=fields.number("opset_max"),
        opset_default=fields.number("opset_default"),
        ir_max=fields.number("ir_max"),
        attention=fields.text("attention", ATTENTIONS),
        language=fields.text("language", LANGUAGES),
        template=fields.optional_text("template") or fields.text("language", LANGUAGES),
        domains=fields.texts("domains"),
        packages=tuple(_package(item, providers) for item in fields.mappings("packages")),
        extension_packages=tuple(
            _package(item, providers) for item in fields.mappings("extension_packages")
        ),
        training_packages=tuple(
            _package(item, providers) for item in fields.mappings("training_packages")
        ),
        claims=_claims(fields),
    )
    fields.done()
    _check_target(target, path)
    return target


def read_provider(path: Path) -> Provider:
    """Return the provider in a file. Raises DataError for whatever is wrong with the file."""
    fields = Fields(read_mapping(path), path)
    shapes = fields.text("shapes", SHAPES)
    provider = Provider(
        name=path.stem,
        title=fields.text("title"),
        execution_provider=fields.text("execution_provider"),
        runs_here_by=fields.optional_text("runs_here_by"),
        support=_support(fields, path),
        falls_back_to_cpu=fields.truth("falls_back_to_cpu"),
        shapes=shapes,
        shapes_because=fields.text("shapes_because") if shapes != "any" else "",
        takes_symbolic_axes=fields.truth("takes_symbolic_axes"),
        opset_max=fields.optional_number("opset_max"),
        no_attention_because=fields.optional_text("no_attention_because", "") or "",
        no_subgraphs_because=fields.optional_text("no_subgraphs_because", "") or "",
        operators_of=fields.optional_text("operators_of", path.stem) or path.stem,
        code=_code(fields),
        claims=_claims(fields),
    )
    fields.done()
    return provider


def _code(fields: Fields) -> tuple[tuple[str, str], ...]:
    if "code" not in fields.names():
        return ()
    lines = fields.inside("code")
    found = tuple((name, lines.text(name)) for name in lines.names() if name in LANGUAGES)
    lines.done()
    return found


def _support(fields: Fields, path: Path) -> tuple[PrecisionSupport, ...]:
    written = fields.mapping("precisions")
    wrong = sorted(set(written) ^ set(PRECISIONS))
    if wrong:
        problem = "is missing" if wrong[0] in PRECISIONS else "is unknown"
        raise DataError(f"'precisions.{wrong[0]}' {problem} in {path.name}", where=str(path))
    found = []
    for precision in PRECISIONS:
        item = written[precision]
        runs = item.text("runs", RUNS)
        found.append(
            PrecisionSupport(
                precision=precision,
                runs=runs,
                how=item.text("how"),
                source=item.text("source"),
                instead=item.text("instead") if runs == "refused" else "",
            )
        )
        item.done()
    return tuple(found)


def read_operators(path: Path) -> tuple[OperatorSupport, ...]:
    """Return the operators in a file. Raises DataError for whatever is wrong with the file."""
    fields = Fields(read_mapping(path), path)
    fields.text("source")
    domains = fields.mapping("domains")
    fields.done()
    return tuple(
        OperatorSupport(domain, operator, entries.optional_text(operator))
        for domain, entries in domains.items()
        for operator in entries.names()
    )


def _package(fields: Fields, providers: tuple[str, ...]) -> RuntimePackage:
    package = RuntimePackage(
        name=fields.text("name"),
        ecosystem=fields.text("ecosystem", ECOSYSTEMS),
        lowest=fields.text("lowest"),
        why=fields.text("why"),
        source=fields.text("source"),
        onnxruntime=fields.optional_text("onnxruntime", "") or "",
        providers=fields.optional_texts("providers", providers),
    )
    fields.done()
    return package


def _claims(fields: Fields) -> tuple[Claim, ...]:
    claims = []
    for item in fields.mappings("claims"):
        claims.append(Claim(what=item.text("what"), source=item.text("source")))
        item.done()
    return tuple(claims)


def _check_target(target: Target, path: Path) -> None:
    problem = None
    if target.opset_default > target.opset_max:
        problem = f"opset_default {target.opset_default} is above opset_max {target.opset_max}"
    elif not target.claims:
        problem = "no claim"
    elif lacking := [p.name for p in target.training_packages if not p.onnxruntime]:
        problem = f"training package {lacking[0]} does not say which onnxruntime it is"
    else:
        lacking = [p for p in target.providers if not target.packages_for(p)]
        if lacking:
            problem = f"no package for provider {lacking[0]}"
    if problem:
        raise DataError(f"{problem} in {path.name}", where=str(path))


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else None
    return UsageError(f"unknown {kind} '{name}'", why=f"known: {', '.join(known)}", hint=hint)
