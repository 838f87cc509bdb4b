"""Real processes that time and weigh real files; no figure of this machine is held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.families import module_of
from olive_build.proof.benchmark import Shape, benchmark, percentiles
from olive_build.proof.contestant import TimeLimit, contestant_for
from olive_build.proof.footprint import measure_memory
from olive_build.proof.interval import FEWEST, LOOKS
from olive_build.proof.latency import (
    Patience,
    compare,
    compare_loads,
    compare_running,
    figures,
    in_turn,
    started,
)

TEXTS = {8: "a text"}
SAMPLE = module_of("sentence-embedding", "sample")


def write_model(path: Path, *, products: int = 1, width: int = 64) -> Path:
    """ids [batch, sequence] -> rows of one table, multiplied by a matrix `products` times."""
    table = np.random.default_rng(0).standard_normal((4, width)).astype(np.float32)
    matrix = np.eye(width, dtype=np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["x0"])]
    nodes += [
        helper.make_node("MatMul", [f"x{i}", "matrix"], [f"x{i + 1}"]) for i in range(products)
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [
            helper.make_tensor_value_info(
                f"x{products}", TensorProto.FLOAT, ["batch", "sequence", width]
            )
        ],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "matrix")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "light.onnx")
    write_model(folder / "slow.onnx", products=60, width=512)
    write_model(folder / "heavy.onnx", width=4000)  # 64 MB
    return folder


def test_a_slower_file_is_found_slower_and_the_row_says_how_sure(models: Path) -> None:
    pair = [contestant_for(name, models / f"{name}.onnx", SAMPLE) for name in ("slow", "light")]
    rows = compare(pair, texts=TEXTS, threads=(1,), limits=[TimeLimit("latency", "light", 1.0)])
    assert len(rows) == 1
    row = rows[0]
    assert (row["tokens"], row["threads"], row["rounds"]) == (8, 1, LOOKS[0])
    ratio = row["ratio_to"]["light"]
    assert 1 < ratio["median_from"] <= ratio["median"] <= ratio["median_to"]
    assert set(row["milliseconds"]) == {"slow", "light"}
    assert row["noise"] >= 0


def test_loading_is_timed_in_turn(models: Path) -> None:
    pair = [contestant_for(name, models / f"{name}.onnx", SAMPLE) for name in ("heavy", "light")]
    with started(pair) as children:
        load = compare_loads(children, [TimeLimit("load", None, 1e9)])
    assert load is not None and load["rounds"] == LOOKS[0]
    assert load["ratio_to"]["light"]["median"] > 1
    assert load["milliseconds"]["heavy"]["median"] > 0


class Clock:
    """Candidates whose times are known beforehand; nothing is run."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name = name
        self.values = iter(values)


def rounds_until_decided(own: list[float], limits: list[TimeLimit], narrow: float | None) -> int:
    children = [Clock("own", own), Clock("other", [1.0] * LOOKS[-1])]
    times = in_turn(children, lambda child: next(child.values), limits, narrow)  # type: ignore[arg-type, attr-defined]
    return len(times["own"])


def test_rounds_go_on_while_the_limit_is_inside_the_interval_and_no_longer() -> None:
    noisy = [0.9, 1.1] * (LOOKS[-1] // 2)
    limit = [TimeLimit("latency", "other", 1.0)]
    assert rounds_until_decided(noisy, limit, None) == LOOKS[-1]
    assert rounds_until_decided(noisy, [TimeLimit("latency", "other", 1.2)], None) == LOOKS[0]
    settles = [0.9, 1.1] * 4 + [0.9] * 3 + [0.8] * LOOKS[1]
    assert rounds_until_decided(settles, limit, None) == LOOKS[1]
    assert rounds_until_decided(noisy, [TimeLimit("latency", None, 5.0)], None) == LOOKS[0]


def test_rounds_go_on_while_an_interval_is_wider_than_asked() -> None:
    assert rounds_until_decided([0.9, 1.1] * 22, [], 0.1) == LOOKS[-1]
    assert rounds_until_decided([1.0] * 44, [], 0.1) == LOOKS[0]


def test_without_time_a_look_comes_early_and_only_what_is_open_goes_on() -> None:
    told: list[str] = []

    def rounds(own: list[float], *limits: TimeLimit) -> int:
        children = [Clock("own", own), Clock("other", [1.0] * LOOKS[-1])]
        return len(
            in_turn(children, lambda c: next(c.values), limits, None, 0.0, told.append)["own"]
        )  # type: ignore[arg-type, attr-defined]

    noisy = [0.9, 1.1] * (LOOKS[-1] // 2)
    assert rounds(noisy) == rounds(noisy, TimeLimit("latency", "other", 1.2)) == FEWEST
    assert told == []
    assert rounds(noisy, TimeLimit("latency", "other", 1.0)) == LOOKS[-1]
    assert told[0].startswith("goes on, since the gate on latency against other is open: ")
    assert len(told) == len(LOOKS) - 1


def test_without_time_a_row_that_nothing_limits_is_left_out_and_told(models: Path) -> None:
    told: list[str] = []
    pair = [contestant_for(name, models / f"{name}.onnx", SAMPLE) for name in ("light", "slow")]
    with started(pair) as children:
        patience = Patience(0.0, told.append)
        rows = compare_running(children, TEXTS, (1, 2), patience=patience)
        limit = TimeLimit("latency", "slow", 100.0)
        both = compare_running(children, TEXTS, (1, 2), [limit], patience=patience)
    assert [(row["threads"], row["rounds"]) for row in rows] == [(1, FEWEST)]
    assert told == [
        "not timed, as time is up: size 8, threads 2",
        "goes on, since a gate is open: size 8, threads 2",
    ]
    assert [row["threads"] for row in both] == [1, 2]


def test_without_time_loading_is_timed_for_a_gate_alone(models: Path) -> None:
    told: list[str] = []
    patience = Patience(0.0, told.append)
    with started([contestant_for("light", models / "light.onnx", SAMPLE)]) as children:
        assert compare_loads(children, patience=patience) is None
        load = compare_loads(children, [TimeLimit("load", None, 1e9)], patience=patience)
    assert load is not None and load["rounds"] == FEWEST
    assert told == ["loading is not timed, as time is up"]


def test_without_time_memory_is_taken_once_and_told(models: Path) -> None:
    told: list[str] = []
    light = contestant_for("light", models / "light.onnx", SAMPLE)
    texts = {**TEXTS, 9: TEXTS[8]}
    rows = measure_memory(light, texts, patience=Patience(0.0, told.append))
    assert [(row["tokens"], row["runs"]) for row in rows] == [(8, 1), (9, 1)]
    assert told == ["memory: 2 runs, not 6, as time is up"]


def test_a_machine_on_which_no_candidate_was_steady_is_called_noisy() -> None:
    steady, shaken = [1.0, 1.01] * 6, [1.0, 2.0] * 6
    assert not figures({"own": shaken, "a": shaken, "b": steady})["noisy"]
    assert figures({"own": steady, "a": shaken, "b": shaken})["noisy"]


def test_memory_is_what_the_model_adds_to_its_process(models: Path) -> None:
    light, heavy = (
        measure_memory(contestant_for(name, models / f"{name}.onnx", SAMPLE), TEXTS)[0]
        for name in ("light", "heavy")
    )
    assert heavy["low"] - light["high"] > 50
    assert light["low"] <= light["median"] <= light["high"] <= light["process"]
    assert (heavy["tokens"], heavy["runs"]) == (8, 3)


def test_a_process_that_dies_is_an_error_that_names_the_candidate(
    models: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    log = tmp_path / "log.txt"
    with (
        pytest.raises(StepError, match="timing broken failed") as caught,
        started(
            [
                contestant_for("light", models / "light.onnx", SAMPLE),
                contestant_for("broken", broken, SAMPLE),
            ],
            log,
        ) as children,
    ):
        compare_loads(children)
    assert caught.value.where == str(log)
    assert "onnxruntime cannot load broken.onnx" in log.read_text()


def test_a_benchmark_has_every_shape_and_candidate(models: Path, tmp_path: Path) -> None:
    pair = [contestant_for(name, models / f"{name}.onnx", SAMPLE) for name in ("light", "slow")]
    shapes = [Shape(8, batch, 1, batch) for batch in (1, 3)]
    said: list[str] = []
    result = benchmark(
        pair, TEXTS, shapes, seconds=0.05, say=said.append, unit="tokens", log=tmp_path / "log"
    )
    assert [(row["tokens"], row["batch"], row["threads"]) for row in result["rows"]] == [
        (8, 1, 1),
        (8, 3, 1),
    ]
    for row in result["rows"]:
        for item in row["candidates"].values():
            assert item["p50"] <= item["p90"] <= (item["p99"] or item["p90"])
            assert item["items_per_second"] > 0
    assert set(result["memory"]) == set(result["load"]["milliseconds"]) == {"light", "slow"}
    assert said[0] == "8 tokens, batch 1, threads 1"


def test_percentiles_and_throughput() -> None:
    found = percentiles([float(i) for i in range(1, 102)], 4)
    assert (found["p50"], found["p90"], found["p99"]) == (51, 91, 100)
    assert found["items_per_second"] == round(4 / 51 * 1000, 2)
    assert percentiles([1.0, 2.0, 3.0], 1)["p99"] is None
