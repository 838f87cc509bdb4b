"""Knowledge of platforms as data: one YAML a target, one a provider, a source for each claim.

Adding a target or a provider is adding a file. Nothing here imports a runtime; one file loads in
a few milliseconds and is kept.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from olive_build import rooms
from olive_build.errors import PlanError, UsageError
from olive_build.targets.model import (
    ACCURACY_LEVELS,
    ATTENTIONS,
    BLOCK_BITS,
    COMPOSITIONS,
    ECOSYSTEMS,
    FORMATS,
    LAYOUTS,
    PRECISIONS,
    RUNS,
    SHAPES,
    VARIABLES,
    Asking,
    Batches,
    BlockKernels,
    Claim,
    Inputs,
    Language,
    OperatorSupport,
    PrecisionSupport,
    Provider,
    RuntimePackage,
    Target,
)
from olive_build.targets.reading import DataError, Fields, read_mapping

__all__ = [
    "Asking",
    "Batches",
    "BlockKernels",
    "Claim",
    "DataError",
    "Inputs",
    "Language",
    "OperatorSupport",
    "PrecisionSupport",
    "Provider",
    "RuntimePackage",
    "Target",
    "asking",
    "language_names",
    "load_language",
    "load_provider",
    "load_target",
    "provider_names",
    "provider_operators",
    "target_names",
]

_OPERATORS = ".operators"


def target_names() -> tuple[str, ...]:
    """Return the names of all targets, sorted; no file is read."""
    return tuple(_files("targets"))


def provider_names() -> tuple[str, ...]:
    """Return the names of all providers, sorted; no file is read."""
    return tuple(name for name in _files("targets.providers") if not name.endswith(_OPERATORS))


def language_names() -> tuple[str, ...]:
    """Return the names of all languages, sorted; no file is read."""
    return tuple(_files("targets.languages"))


@cache
def _files(room: str) -> dict[str, Path]:
    """Return the data files of a room by name, sorted. Raises DataError for one that is twice."""
    found: dict[str, Path] = {}
    for path in sorted(rooms.files(room, "*.yaml"), key=lambda path: path.stem):
        if path.stem in found:
            raise DataError(f"{room} has two of the name {path.stem}", where=str(path))
        found[path.stem] = path
    return found


@cache
def load_target(name: str) -> Target:
    """Return a target. Raises UsageError for a name that does not exist, with near names."""
    if name not in target_names():
        raise _unknown("target", name, target_names())
    return read_target(_files("targets")[name])


@cache
def load_provider(name: str) -> Provider:
    """Return a provider. Raises UsageError for a name that does not exist, with near names."""
    if name not in provider_names():
        raise _unknown("provider", name, provider_names())
    return read_provider(_files("targets.providers")[name])


@cache
def load_language(name: str) -> Language:
    """Return a language. Raises UsageError for a name that does not exist, with near names."""
    if name not in language_names():
        raise _unknown("language", name, language_names())
    return read_language(_files("targets.languages")[name])


@cache
def provider_operators(name: str) -> tuple[OperatorSupport, ...]:
    """Return the operators in ``providers/<name>.operators.yaml``, sorted as in the file."""
    return read_operators(_files("targets.providers")[f"{name}{_OPERATORS}"])


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
        language=fields.text("language", language_names()),
        training_language=fields.optional_text("training_language") or fields.text("language"),
        domains=fields.texts("domains"),
        packages=tuple(_package(item, providers) for item in fields.mappings("packages")),
        extension_packages=tuple(
            _package(item, providers) for item in fields.mappings("extension_packages")
        ),
        training_packages=tuple(
            _package(item, providers) for item in fields.mappings("training_packages")
        ),
        claims=_claims(fields),
        **{key: fields.truth(key) for key in ("builds_here", "has_x86") if key in fields.names()},
    )
    fields.done()
    _check_target(target, path)
    return target


def read_provider(path: Path) -> Provider:
    """Return the provider in a file. Raises DataError for whatever is wrong with the file."""
    fields = Fields(read_mapping(path), path)
    shapes = fields.text("shapes", SHAPES)
    support = _support(fields, path)
    provider = Provider(
        name=path.stem,
        title=fields.text("title"),
        execution_provider=fields.text("execution_provider"),
        runs_here_by=fields.optional_text("runs_here_by"),
        support=support,
        blocks=_blocks(fields, support, path),
        falls_back_to_cpu=fields.truth("falls_back_to_cpu"),
        shapes=shapes,
        shapes_because=fields.text("shapes_because") if shapes != "any" else "",
        takes_symbolic_axes=fields.truth("takes_symbolic_axes"),
        opset_max=fields.optional_number("opset_max"),
        no_attention_because=fields.optional_text("no_attention_because", "") or "",
        no_subgraphs_because=fields.optional_text("no_subgraphs_because", "") or "",
        operators_of=fields.optional_text("operators_of", path.stem) or path.stem,
        code=_asking(fields, "code") if "code" in fields.names() else {},
        claims=_claims(fields),
    )
    fields.done()
    return provider


def read_language(path: Path) -> Language:
    """Return the language in a file. Raises DataError for whatever is wrong with the file."""
    fields = Fields(read_mapping(path), path)
    has_variables = "variables" in fields.names()
    if has_variables:
        fields.text("reserved_source")
    language = Language(
        name=path.stem,
        title=fields.text("title"),
        fence=fields.text("fence"),
        snake_case=has_variables and fields.text("variables", VARIABLES) == "snake",
        reserved=frozenset(fields.text("reserved").split() if has_variables else ()),
        parameter=fields.text("parameter") if has_variables else "",
        inputs=_inputs(fields.inside("inputs")) if "inputs" in fields.names() else None,
        batches=_batches(fields.inside("batches")) if "batches" in fields.names() else None,
        providers=_asking(fields, "providers"),
    )
    fields.done()
    return language


def asking(language: Language, provider: Provider, where: str | None = None) -> Asking:
    """Return how code in a language asks for a provider.

    Raises PlanError where neither's file says it, and DataError where both do.
    """
    found = language.providers.get(provider.name)
    own = provider.code.get(language.name)
    if found and own:
        raise DataError(f"'code.{language.name}' of {provider.name} is in its language's file too")
    if found is None and own is None:
        raise PlanError(
            f"no code in {language.title} asks for {provider.title}",
            where=where,
            why="the README's code would run the model with another provider than the bundle's",
            hint=f"add '{provider.name}' to `providers` in olive_build/targets/languages/"
            f"{language.name}.yaml, or choose another `provider` for the target: "
            f"{', '.join(sorted(language.providers))}",
        )
    return found or own or Asking()


def _asking(fields: Fields, key: str) -> dict[str, Asking]:
    found = {}
    for name, item in fields.mapping(key).items():
        texts = {part: item.raw_text(part) for part in item.names()}
        item.done()
        found[name] = Asking(**texts)
    return found


def _inputs(fields: Fields) -> Inputs:
    imports = fields.text_mapping("imports") if "imports" in fields.names() else {}
    types, array, number = map(fields.text_mapping, ("types", "array", "number"))
    found = Inputs(types, array, number, fields.text("entry"), imports)
    fields.done()
    return found


def _batches(fields: Fields) -> Batches:
    found = Batches(
        types=fields.text_mapping("types"),
        tensor=fields.text_mapping("tensor"),
        field=fields.text("field"),
        fields=fields.raw_text("fields"),
        example=fields.text("example"),
        size=fields.text("size"),
        local=fields.text("local"),
        output=fields.optional_text("output", "") or "",
    )
    fields.done()
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


def _blocks(
    fields: Fields, support: tuple[PrecisionSupport, ...], path: Path
) -> tuple[BlockKernels, ...]:
    """Return the kernels for blocks: an entry for each of their precisions that is not refused."""
    written = fields.mapping("blocks")
    runs = {item.precision for item in support if item.runs != "refused"}
    if wrong := sorted(set(written) ^ (runs & set(BLOCK_BITS))):
        problem = "has no place" if wrong[0] in written else "is missing"
        raise DataError(f"'blocks.{wrong[0]}' {problem} in {path.name}", where=str(path))
    found = []
    for precision, item in written.items():
        levels = item.choices("levels", ACCURACY_LEVELS)
        some_lack = levels != ACCURACY_LEVELS
        otherwise = item.text("otherwise") if some_lack else ""
        source = item.text("source")
        found.append(BlockKernels(BLOCK_BITS[precision], levels, otherwise, source))
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
