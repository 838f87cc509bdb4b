"""What `explain --quality` prints, draws and refuses."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import onnx
import pytest
import yaml
from click.testing import CliRunner
from onnx import TensorProto, helper

from olive_build.attribution.damage import Attribution, LayerDamage
from olive_build.attribution.layers import Layer
from olive_build.attribution.suggest import Suggestion
from olive_build.cli import cli
from olive_build.errors import BundleError, UsageError
from olive_build.report.attribution import lines, view_of, write_plot
from olive_build.report.attribution_sources import Compared
from olive_build.report.charts import damage_plot
from olive_build.report.damage import DamageView, LayerView, StageView, read_damage, to_json

TABLE = """\
tiny/int8/quantize
against tiny/fuse (fp32), on 48 texts of the proof
without the build's cache

How fidelity falls, stage by stage.
After the step  Lowest cosine  Mean cosine  Lost here
--------------  -------------  -----------  -------------------
export                1.00000      1.00000
quantize              0.98120      0.99480  5.2e-03
compose                     –            –  it cannot be loaded

Damage: the loss at the model's end when this layer alone is quantized. Noise:
signal to noise at its own output, by itself and with all that comes before.
Layer     Precision  Own noise   Damage  Share   So far                Size
--------  ---------  ---------  -------  -----  -------  ------------------
up/1/M    int8         20.5 dB  3.0e-03  75.0%  20.5 dB    4.0 MB -> 1.0 MB
down/1/M  int8            lost  1.0e-03  25.0%  -3.0 dB  80.0 kB -> 20.0 kB

1 place is only written in another way: 120.0 dB or better
all together lose 4.1e-03 at the model's end (1 - cosine); 17 matching points

What it gains to leave some layers in fp32, each tried end to end.
Left in fp32  Loss                Gain     Size  Gain per MB
------------  ------------------  ----  -------  -----------
up/1/M        4.1e-03 -> 1.0e-03   75%  +3.0 MB        25.1%

What gains most for its bytes, in the recipe:

    variants:
      int8:
        quantize:
          method: dynamic-int8
          exclude:
          - head/M
          - up/1/M"""


def layer(name: str, precision: str, size: int) -> Layer:
    return Layer(name, "MatMul", precision, (), (), (), (), size, size // 4)


def explained() -> DamageView:
    layers = (
        LayerDamage(layer("up/1/M", "int8", 4_000_000), 20.5, 3e-3, 0.75, 20.5),
        LayerDamage(layer("same/M", "rewritten", 4_000), 120.0, 0.0, 0.0, 20.0),
        LayerDamage(layer("down/1/M", "int8", 80_000), -math.inf, 1e-3, 0.25, -3.0),
    )
    compared = Compared(
        labels=("tiny/fuse (fp32)", "tiny/int8/quantize"),
        reference=onnx.ModelProto(),
        variant=onnx.ModelProto(),
        feeds=(),
        measure=None,
        inputs="48 texts of the proof",
        stages=(
            StageView("export", {"cosine_lowest": 1.0, "cosine_mean": 1.0}),
            StageView("quantize", {"cosine_lowest": 0.9812, "cosine_mean": 0.9948}),
            StageView("compose", problem="it cannot be loaded"),
        ),
        notes=("without the build's cache",),
        variant_name="int8",
        quantize={"method": "dynamic-int8", "exclude": ["head/M"]},
    )
    best = Suggestion((layers[0].layer,), ("up/1/M",), 3_000_000, 0.75, 4.1e-3, 1.01e-3)
    return view_of(compared, Attribution(layers, 4.1e-3, 17, 48), (best,))


def squeezed(text: str) -> list[str]:
    """Columns are as wide as their widest cell; what they say is compared."""
    return [re.sub(" +", " ", line).strip() for line in text.splitlines() if set(line) - set(" -")]


def test_the_text_is_as_it_was_agreed() -> None:
    assert squeezed("\n".join(lines(explained()))) == squeezed(TABLE)


def test_layers_that_are_only_written_in_another_way_are_no_table() -> None:
    found = explained()
    text = "\n".join(lines(replace(found, layers=found.layers[1:2], stages=(), suggestions=())))
    assert "1 place is only written in another way" in text
    assert "no exclusion that was tried" in text
    assert "Precision" not in text


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = explained()
    path = tmp_path / "damage.json"
    path.write_text(json.dumps(to_json(found)))
    worst, lost, same = found.ranking
    assert read_damage(path) == replace(found, layers=(worst, replace(lost, own_db=None), same))


def test_the_change_is_valid_yaml_and_keeps_what_is_excluded_already() -> None:
    change = yaml.safe_load(explained().recipe_change or "")
    assert change["variants"]["int8"]["quantize"]["exclude"] == ["head/M", "up/1/M"]


def test_the_data_is_valid_json_without_infinities() -> None:
    data = json.loads(json.dumps(to_json(explained()), allow_nan=False))
    assert [item["node"] for item in data["layers"]] == ["up/1/M", "down/1/M", "same/M"]
    assert data["layers"][1]["own_db"] is None
    assert data["suggestions"][0]["loss_after"] == 1.01e-3


def drawn(node: str, precision: str, share: float, own: float, summed: float) -> LayerView:
    noise = {"own_db": own, "accumulated_db": summed}
    return LayerView(node=node, precision=precision, damage=share, share=share, **noise)


def test_the_plot_is_one_file_for_light_and_dark_with_names_escaped(tmp_path: Path) -> None:
    bars = [
        drawn("a<b>&c/MatMul", "int8", 0.7, 20.0, 18.0),
        drawn("x" * 90, "fp16", 0.0, math.inf, -math.inf),
    ]
    write_plot(tmp_path / "p.svg", damage_plot("int8 & more", bars))
    text = (tmp_path / "p.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(href|url\(|@import|<script)", text)
    assert "nan" not in text
    shown = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "a<b>&c/MatMul" in shown
    assert max(len(item or "") for item in shown) <= 60
    widths = [float(e.get("width", 0)) for e in root.iter() if e.get("class") == "bar"]
    assert widths[0] > 200
    assert widths[1] <= 1
    assert {path.name for path in tmp_path.iterdir()} == {"p.svg"}


def test_a_plot_of_nothing_is_a_plot() -> None:
    ET.fromstring(damage_plot("nothing", []))


def test_a_plot_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the plot cannot be written"):
        write_plot(tmp_path / "none" / "p.svg", "t")


def tiny(path: Path, scale: float, name: str = "x") -> Path:
    shape = ["b", 4]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", [name, "s"], ["scaled"], "scale"),
            helper.make_node("Relu", ["scaled"], ["y"], "relu"),
        ],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [scale])],
    )
    imports = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), str(path))
    return path


def refused(*words: str) -> Any:
    result = CliRunner().invoke(cli, ["explain", "--quality", *words])
    assert isinstance(result.exception, UsageError | BundleError), result.exception
    return result.exception


def test_what_cannot_be_compared_is_refused_with_a_reason(tmp_path: Path) -> None:
    one, other = tiny(tmp_path / "a.onnx", 2), tiny(tmp_path / "b.onnx", 2)
    alien = tiny(tmp_path / "c.onnx", 2, name="z")
    text = tmp_path / "d.onnx"
    text.write_text("no graph")
    assert refused(str(one), str(one)).what == "both files are the same"
    assert refused(str(one), str(other)).what == "nothing is quantized in the second graph"
    assert refused(str(one), str(alien)).what == "the two graphs have no input in common"
    assert refused(str(one), str(text)).what == "d.onnx is no ONNX model"
    assert refused(str(one), str(tmp_path / "e.onnx")).what.startswith("there is no file")
    assert (
        refused(str(one)).what
        == "explain --quality takes one recipe, one bundle, or two ONNX files"
    )
    assert refused(str(one), str(other), "--variant", "q4").what.startswith("--variant belongs")
    assert refused(str(tmp_path), "--inputs", "x.npz").what.startswith("--inputs belongs")
    assert isinstance(refused(str(tmp_path)), BundleError)


def test_its_options_belong_to_it() -> None:
    result = CliRunner().invoke(cli, ["explain", "tiny", "--plot", "p.svg"])
    assert result.exit_code == 2
    assert "belong to --quality" in result.output


def test_two_files_are_compared_from_the_command_line(tmp_path: Path) -> None:
    one, other = tiny(tmp_path / "a.onnx", 2), tiny(tmp_path / "b.onnx", 4)
    picture = tmp_path / "p.svg"
    words = ["explain", "--quality", str(one), str(other), "--plot", str(picture)]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "scale  rewritten     0.0 dB" in result.output
    assert "16 made-up samples" in result.output
    assert picture.is_file()
    data = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)
    assert data["layers"][0]["node"] == "scale"
