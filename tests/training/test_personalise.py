"""A model made its owner's: fixed batches are filled up, and what cannot be scored is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from olive_build.training.personalise import _rates
from olive_build.training.settings import Optimizer

from .small_training import TRAIN, Dense, generated, in_toolchain, prepared

BATCH = 4
PERSONALISE = """
import numpy as np
from olive_build.errors import StepError
from olive_build.training.personalise import Clips, personalise
artifacts, train, data = (Path(path) for path in sys.argv[1:4])
batch, fixed = int(sys.argv[4]), sys.argv[5] == "fixed"
with np.load(data) as arrays:
    clips = Clips(arrays["inputs"], [*map(str, arrays["speakers"])],
                  [*map(str, arrays["roles"])], batch, fixed)
try:
    train = train_of(train)
    found = personalise(artifacts, train, clips, epochs=3, owners=clips.owners, margin=0.1)
    print(json.dumps(found))
except StepError as error:
    print(error.render())
"""


@pytest.fixture(scope="module")
def artifacts(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts whose batch is `free`, whose is `fixed` to four, and whose steps are `wild`."""
    base = tmp_path_factory.mktemp("owners")
    for name, rate in (("free", 0.02), ("fixed", 0.02), ("wild", 1e30)):
        torch.manual_seed(0)
        train = replace(TRAIN, optimizer=Optimizer("adamw", lr=rate))
        prepared(Dense(classes=2), base / f"m-{name}", train=train)
        if name == "fixed":
            fix_batch(base / f"m-{name}")
        assert generated(training_python, base / f"m-{name}", base / name) == ""
    return base


def fix_batch(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = BATCH
    del model.graph.value_info[:]
    onnx.save(model, str(folder / "model.onnx"))
    described = json.loads((folder / "training.json").read_text())
    for item in (*described["inputs"], described["target"]):
        item["axes"][0] = BATCH
    (folder / "training.json").write_text(json.dumps(described))


def clips(path: Path, background: int = 9) -> Path:
    """Write owners' numbers, each near one of their own, and others' that lie elsewhere."""
    generator = np.random.default_rng(0)
    named = [("ann", "enrolment")] * 3 + [("ann", "held-out")] * 5
    named += [("bob", "enrolment")] * 3 + [("bob", "held-out")] * 6
    named += [("radio", "background")] * background + [("thief", "impostor")] * 7
    middles = {who: generator.standard_normal(6) * 2 for who in ("ann", "bob", "radio", "thief")}
    inputs = [middles[who] + generator.standard_normal(6) * 0.3 for who, _ in named]
    speakers, roles = zip(*named, strict=True)
    np.savez(
        path,
        inputs=np.array(inputs, np.float32),
        speakers=np.array(speakers),
        roles=np.array(roles),
    )
    return path


def said(python: Path, base: Path, form: str, data: Path, batch: int = BATCH) -> str:
    train = base / f"m-{form}" / "train.json"
    return in_toolchain(python, PERSONALISE, base / form, train, data, batch, form)


def test_a_fixed_batch_is_filled_up_and_says_the_same(
    training_python: Path, artifacts: Path, tmp_path: Path
) -> None:
    data = clips(tmp_path / "clips.npz")
    free: dict[str, Any] = json.loads(said(training_python, artifacts, "free", data, 32))
    fixed: dict[str, Any] = json.loads(said(training_python, artifacts, "fixed", data))
    assert free["pooled"].pop("threshold") == pytest.approx(
        fixed["pooled"].pop("threshold"), abs=1e-5
    )
    assert free["pooled"] == fixed["pooled"]
    # Five and six held-out clips, seven of the impostor and the other owner's: none counts twice.
    assert (free["pooled"]["owners"], free["pooled"]["impostors"]) == (11, 13 + 12)
    assert [free["owners"][who]["impostors"] for who in ("ann", "bob")] == [13, 12]
    assert free["owners"]["ann"]["steps"] == 9
    assert free["clips_of_an_owner"] == 3
    assert free["owners"]["ann"]["loss"][1] < free["owners"]["ann"]["loss"][0]


def test_a_step_of_a_fixed_batch_has_all_of_it(
    training_python: Path, artifacts: Path, tmp_path: Path
) -> None:
    data = clips(tmp_path / "clips.npz", background=11)
    steps = {
        form: json.loads(said(training_python, artifacts, form, data))["owners"]["ann"]["steps"]
        for form in ("free", "fixed")
    }
    assert steps == {"free": 12, "fixed": 9}


def test_too_few_clips_for_a_fixed_batch_are_told(
    training_python: Path, artifacts: Path, tmp_path: Path
) -> None:
    data = clips(tmp_path / "clips.npz", background=0)
    text = " ".join(said(training_python, artifacts, "fixed", data).split())
    assert "the trials have 3 clips for 'ann' to learn from" in text
    assert "the graphs take 4 at once" in text and "fix a smaller batch" in text


def test_scores_that_are_no_numbers_name_the_step_and_the_owner(
    training_python: Path, artifacts: Path, tmp_path: Path
) -> None:
    text = " ".join(said(training_python, artifacts, "wild", clips(tmp_path / "c.npz")).split())
    assert "the model of 'ann' gives no finite number for 18 of 18 clips" in text
    assert "step" in text and "a smaller `lr`" in text and "Traceback" not in text


def test_another_batch_says_which_axis_is_wrong(training_python: Path, artifacts: Path) -> None:
    code = """
import numpy as np
from olive_build.errors import StepError
from olive_build.training.session import TrainingSession
try:
    session = TrainingSession(Path(sys.argv[1]))
    session.evaluate([np.zeros((3, 6), np.float32)], np.zeros(3, np.int64))
except StepError as error:
    print(error.render())
"""
    text = " ".join(in_toolchain(training_python, code, artifacts / "fixed").split())
    assert "invalid dimensions for input: x" in text
    assert "axis 0 is 3 and has to be 4" in text


def test_at_the_margin_an_owner_must_be_above_it() -> None:
    own, others = np.array([0.05, 0.1, 0.2, 0.3]), np.array([0.1, 0.3])
    found = _rates(own, others, 0.1)
    assert (found["refused_at_margin"], found["let_in_at_margin"]) == (0.5, 0.5)
    assert found["owners"] == 4
