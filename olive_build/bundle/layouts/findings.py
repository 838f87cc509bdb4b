"""What a layout check finds, and the stable codes of it, so that pipelines can rely on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from olive_build.errors import printable
from olive_build.recipe.diagnostics import MeaningfulCode

Severity = Literal["error", "warning", "note"]
_ORDER = ("error", "warning", "note")


class Code(MeaningfulCode):
    """T1: files, T2: configuration, T3: inputs, T4: operators. `meaning` says what each is for."""

    MISSING_MODEL = "T101", "a model file that the client asks for is not there"
    WRONG_PLACE = "T102", "a model file that lies where the client does not look"
    WRONG_NAME = "T103", "a model file with a name that the client never asks for"
    POINTER = "T104", "a Git LFS pointer or a web page in place of the file"
    UNREADABLE = "T105", "a file that is empty, cut off, or not what its name says"
    BROKEN_LINK = "T106", "a symbolic link that leads nowhere, or out of the folder"
    TOO_LARGE = "T107", "a file larger than the client can take"
    EXTERNAL_MISSING = "T110", "external data that is not there, or too short"
    EXTERNAL_NAME = "T111", "external data under a name that the client does not fetch"
    EXTERNAL_UNDECLARED = "T112", "external data that config.json does not declare, or the reverse"
    BAD_CONFIG = "T201", "a configuration that is missing or cannot be read"
    BAD_FIELD = "T202", "a field of a configuration that the client cannot use"
    UNKNOWN_MODEL = "T203", "a kind of model that the client, or this check, does not know"
    NO_TOKENIZER = "T204", "a tokenizer that is missing or not of the form that the client reads"
    NO_PROCESSOR = "T205", "a processor of images or audio that is missing or unknown"
    GENERATION = "T206", "settings of generation that are missing, or that do nothing"
    INPUT = "T301", "an input that the client does not give, or gives otherwise"
    OUTPUT = "T302", "an output that the client reads and the graph does not have"
    AXIS = "T303", "an axis that is fixed or named so that the client's inputs do not fit"
    CACHE_AXIS = "T304", "an axis of the cache that the client cannot fill for the first step"
    CACHE_NAME = "T305", "cache inputs and outputs that do not belong together"
    FORMAT = "T401", "an opset or IR above what the client's runtime reads"
    OPERATOR = "T402", "an operator that the client's runtime does not have"
    DEVICE_OPERATOR = "T403", "an operator that one device does not run, or computes wrong"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a folder, complete: what, where, why and what to do.

    `where` is a path below the folder, with `:` and an input or tensor where that helps.
    """

    code: Code
    severity: Severity
    what: str
    where: str
    why: str
    hint: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "code": str(self.code)}

    def render(self) -> str:
        """Return the lines that a person reads."""
        lines = [f"{self.severity}[{self.code}]: {self.what}"]
        for label, text in (("at", self.where), ("because", self.why), ("to fix", self.hint)):
            if text:
                lines.append(f"  {label + ':':<9}{text}")
        return printable("\n".join(lines), keep="\n\t")


def by_severity(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return the findings without repetitions, errors first, in the order found."""
    distinct = dict.fromkeys(findings)
    return tuple(sorted(distinct, key=lambda item: _ORDER.index(item.severity)))
