"""Parts of a model into the one file that an application loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class BuildTokenizer:
    """Write model.onnx of the family's pre-processing, which all composed files share.

    Inputs: source (model folder).
    """

    family: str
    opset: int

    kind: ClassVar[str] = "tokenizer"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("onnx", "tokenizers")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.families import family_module
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL

        composition = family_module(self.family, "compose")
        save_clean(composition.tokenizer(inputs["source"], self.opset), out / MODEL)


@dataclass(frozen=True)
class Compose:
    """Write model.onnx with the family's pre- and post-processing in the graph.

    Inputs: model, source (model folder), and tokenizer where the family has one. The composed
    graph is opened with the extensions library, so that an operator that the runtime lacks is
    found here and not on the device.
    """

    family: str

    kind: ClassVar[str] = "compose"
    version: ClassVar[int] = 4
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "onnxruntime-extensions")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.clients.onnxruntime_client import open_session
        from olive_build.families import family_module
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, read

        composition = family_module(self.family, "compose")
        parts = {
            name: read(inputs[name] / MODEL) for name in ("model", "tokenizer") if name in inputs
        }
        model = composition.compose(parts["model"], parts.get("tokenizer"), inputs["source"])
        save_clean(model, out / MODEL)
        open_session(out / MODEL)
