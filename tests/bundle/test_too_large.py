"""A graph whose weights lie beside it is refused: a bundle would hold half of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build.bundle.assemble import _require_whole
from olive_build.bundle.purpose import Placed
from olive_build.engine.store import Artifact
from olive_build.engine.trees import FileEntry
from olive_build.errors import BundleError

PLACED = Placed("onnx/model.onnx", "node", "model.onnx")


def artifact(*names: str) -> Artifact:
    files = tuple(FileEntry(name, size_bytes=1, sha256="0") for name in names)
    return Artifact("digest", Path("store"), files)


def test_weights_beside_the_graph_are_refused() -> None:
    with pytest.raises(BundleError, match="is too large for one file") as caught:
        _require_whole(PLACED, artifact("model.onnx", "model.onnx_data"))
    assert caught.value.args and "onnx/model.onnx" in str(caught.value)
    assert "1.8 GB" in str(caught.value.why) and "fewer bits" in str(caught.value.hint)
    assert "model.onnx_data" in str(caught.value.where)


def test_one_file_passes() -> None:
    _require_whole(PLACED, artifact("model.onnx"))
    _require_whole(PLACED, artifact("model.ort", "required_operators.config"))
