"""Bundles as somebody would make them who means harm: one error of the bundle's kind, and soon."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parent))
from samples import manifest_data, proof_data

from olive_build.bundle import measured_again
from olive_build.bundle.verify import verify
from olive_build.engine.machine import this_machine
from olive_build.errors import BundleError, OliveBuildError, ProofError
from olive_build.proof.reference import write_reference
from olive_build.proof.references.logits import LogitsReference
from olive_build.record.codec import encode
from olive_build.record.read import MANIFEST, PROOF, SEAL, read_record, seal_of

MODEL = "fp32/model.onnx"
LIMITS = {"logits_difference": 1e-4, "top1_agreement": 1.0}
# What the file tells, and what follows of it without running it.
TOLD: dict[str, Any] = {
    "inputs": [{"name": "x", "type": "float", "axes": ["n", 3]}],
    "outputs": [{"name": "y", "type": "float", "axes": ["n", 3]}],
    "opsets": {"ai.onnx": 17},
    "operators": {"ai.onnx": {"Add": 1}},
}
NOTE = {
    "severity": "note",
    "what": "CPU takes at most 1 of 1 nodes",
    "why": "estimated from the operators that it has kernels for",
    "hint": "",
}
# What is read of a bundle takes no more, whatever it holds.
MOST_SECONDS, MOST_BYTES = 1.0, 200_000_000


@pytest.fixture(autouse=True)
def not_for_ever() -> Iterator[None]:
    """End a test that waits."""
    signal.alarm(120)
    yield
    signal.alarm(0)


def model(*more: Any, inits: tuple[Any, ...] = (), outs: tuple[Any, ...] = ()) -> bytes:
    """Return a graph that doubles its input, and does what else is given."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"]), *more],
        "doubles",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3]), *outs],
        list(inits),
    )
    opsets = [helper.make_opsetid("", 17)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "b"
    for name in ("reference", "fp32"):
        (folder / name).mkdir(parents=True)
    feeds = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    write_reference(LogitsReference({"x": feeds}, feeds + feeds, "y"), folder / "reference")
    (folder / MODEL).write_bytes(model())
    figures = {"logits_difference": 0.0, "top1_agreement": 1.0}
    quality = {"onnx": {**figures, "single": figures, "batched": figures, "inputs": 16}}
    gates = [
        {"figure": name, "value": figures[name], "limit": LIMITS[name], "bound": bound}
        | {"status": "passed", "note": "", "size": None, "interval": None}
        for name, bound in (("top1_agreement", "at least"), ("logits_difference", "at most"))
    ]
    size = len(model())
    proved = {"limits": LIMITS, "quality": quality, "gates": gates, "size_bytes": size}
    proved |= {"static_check": [NOTE]}
    proof = proof_data({"variants": {"fp32": {**proved, "fp32_bytes": size}}})
    proof["machine"] = encode(this_machine())
    said: dict[str, Any] = {"smoke": True, "model": {"family": "toy"}}
    variant = {"precision": "fp32", "files": {"onnx": MODEL}, **TOLD}
    (folder / MANIFEST).write_text(
        json.dumps(manifest_data({**said, "variants": {"fp32": variant}}))
    )
    (folder / PROOF).write_text(json.dumps(proof))
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    """Make digests, sizes and the seal right, as whoever made the bundle would."""
    files = [
        {
            "path": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, PROOF, SEAL)
    ]
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": files}))
    size = next(item["size_bytes"] for item in files if item["path"] == MODEL)
    edit(
        folder,
        lambda proof: proof["variants"]["fp32"].update(size_bytes=size, fp32_bytes=size or 1),
    )


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the proof, and seal it."""
    proof = json.loads((folder / PROOF).read_bytes())
    change(proof)
    (folder / PROOF).write_text(json.dumps(proof))
    (folder / SEAL).write_bytes(seal_of((folder / PROOF).read_bytes()))


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "b")
    return tmp_path / "b"


def test_a_sound_bundle_is_verified_and_what_is_not_is_listed(bundle: Path) -> None:
    found = verify(bundle)
    assert [(item.path, item.figures["top1_agreement"]) for item in found.files] == [(MODEL, 1.0)]
    (said,) = found.not_verified
    assert said.startswith("where the model comes from, its licence, how and with which tools")
    (bundle / SEAL).unlink()
    assert "it has no seal" in verify(bundle).not_verified[0]
    edit(bundle, lambda proof: proof["variants"]["fp32"]["quality"]["onnx"].update(wer=0.0))
    assert verify(bundle).not_verified[0] == f"{MODEL}: wer, which it does not give by itself"


def test_a_figure_of_another_program_is_not_verified_and_no_limit_on_it_is_passed(
    bundle: Path,
) -> None:
    """It may be of an extension: nobody changed the file, and nobody can tell here if it holds."""
    edit(bundle, lambda proof: proof["variants"]["fp32"]["quality"]["onnx"].update(evenness=0.9))
    assert verify(bundle).not_verified[0] == f"{MODEL}: evenness, which this olive-build has not"
    gate = {"figure": "evenness", "value": 0.9, "limit": 0.8, "bound": "at least"}
    gate |= {"status": "passed", "note": "", "size": None, "interval": None}
    edit(bundle, lambda proof: proof["variants"]["fp32"]["gates"].append(gate))
    with pytest.raises(BundleError, match="this olive-build has no figure 'evenness'") as caught:
        verify(bundle)
    assert caught.value.why == "fp32 is held to evenness"
    assert "verify with the program that built it" in str(caught.value.hint)
    # A limit alone holds it to the figure too.
    edit(bundle, lambda proof: proof["variants"]["fp32"]["gates"].pop())
    edit(bundle, lambda proof: proof["variants"]["fp32"]["limits"].update(evenness=0.8))
    with pytest.raises(BundleError, match="no figure 'evenness'"):
        verify(bundle)


def test_a_proof_that_was_damaged_is_not_the_one_that_was_sealed(bundle: Path) -> None:
    text = (bundle / PROOF).read_text()
    (bundle / PROOF).write_text(text.replace("A processor", "A Processor") + " ")
    with pytest.raises(BundleError, match=r"proof\.json is not the one that was sealed"):
        verify(bundle)


def figures(**changed: float) -> Callable[[dict[str, Any]], object]:
    def change(proof: dict[str, Any]) -> None:
        proof["machine"]["fingerprint"] = "another"
        proof["variants"]["fp32"]["quality"]["onnx"].update(changed)
        for gate in proof["variants"]["fp32"]["gates"]:
            gate["value"] = changed.get(gate["figure"], gate["value"])

    return change


def test_figures_of_another_machine_are_measured_here_too(bundle: Path) -> None:
    """Rounding may differ there; more may not."""
    edit(bundle, figures(logits_difference=9e-5))
    assert verify(bundle).files
    edit(bundle, lambda proof: proof["machine"].update(fingerprint=this_machine().fingerprint))
    with pytest.raises(ProofError, match="does not do what its proof says") as caught:
        verify(bundle)
    assert "recorded was 0.0000900" in str(caught.value.why)


@pytest.mark.parametrize(
    ("field", "forged", "told"),
    [
        ("operators", {"ai.onnx": {"Add": 2}}, "{'Add': 2}}, and the file has {'ai.onnx': {'Add'"),
        ("opsets", {"ai.onnx": 18}, "opsets recorded as {'ai.onnx': 18}, and the file has"),
        ("ir_version", 9, "ir version recorded as 9, and the file has 8"),
        ("stored_values", 5, "stored values recorded as 5, and the file has 0"),
        ("inputs", [], "inputs recorded as (), and the file has (Value(name='x'"),
        ("outputs", [], "outputs recorded as (), and the file has (Value(name='y'"),
    ],
)
def test_what_a_manifest_says_of_a_graph_is_read_from_the_file(
    bundle: Path, field: str, forged: object, told: str
) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    manifest["variants"]["fp32"][field] = forged
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ProofError) as caught:
        verify(bundle)
    assert f"fp32: {told}" in str(caught.value.why) or told in str(caught.value.why)


def told_by(bundle: Path, content: bytes, **told: object) -> None:
    """Put a model into a bundle, and what it tells into the manifest."""
    (bundle / MODEL).write_bytes(content)
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    manifest["variants"]["fp32"].update(told)
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    seal(bundle)


def test_an_error_of_the_static_check_cannot_be_left_out(bundle: Path) -> None:
    """It loads here, and not with the oldest runtime that the target has."""
    newer = model().replace(b"\x10\x11", b"\x10\x18")
    assert newer != model()
    told_by(bundle, newer, opsets={"ai.onnx": 24})
    with pytest.raises(ProofError) as caught:
        verify(bundle)
    assert "fp32: opset 24 is above" in str(caught.value.why)


def test_notes_of_the_static_check_that_are_others_by_now_are_told(bundle: Path) -> None:
    """What providers take is data that grows: nobody changed such a bundle."""
    edit(
        bundle,
        lambda proof: proof["variants"]["fp32"].update(static_check=[{**NOTE, "what": "all"}]),
    )
    assert verify(bundle).not_verified[0] == "fp32: the static check, whose notes are others now"


def test_the_static_check_of_an_unknown_target_is_not_verified(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "target": "fridge"}))
    told = "fp32: the static check: this olive-build has no fridge with cpu"
    assert verify(bundle).not_verified[0] == told


def test_figures_that_were_invented_elsewhere_are_found_out(bundle: Path) -> None:
    (bundle / MODEL).write_bytes(model().replace(b"Add", b"Sub"))
    seal(bundle)
    edit(bundle, figures(logits_difference=0.0))
    with pytest.raises(ProofError) as caught:
        verify(bundle)
    assert "logits_difference" in str(caught.value.why)


def looping() -> bytes:
    """Return a model that goes round 2 to the power of 62 times."""
    infos = [("i", 7), ("c", 9), ("v", 1)]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c2"]),
            helper.make_node("Add", ["v", "one"], ["v2"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in infos],
        [helper.make_tensor_value_info(f"{name}2", kind, []) for name, kind in infos[1:]],
    )
    inits = (
        helper.make_tensor("most", 7, [], [2**62]),
        helper.make_tensor("go", 9, [], [True]),
        helper.make_tensor("one", 1, [], [1.0]),
    )
    loop = helper.make_node("Loop", ["most", "go", "one"], ["spun"], body=body)
    return model(loop, inits=inits, outs=(helper.make_tensor_value_info("spun", 1, []),))


def huge() -> bytes:
    """Return a model that asks for 4 TB."""
    shape = helper.make_tensor("shape", 7, [2], [10**6, 10**6])
    node = helper.make_node("ConstantOfShape", ["shape"], ["huge"])
    return model(node, inits=(shape,), outs=(helper.make_tensor_value_info("huge", 1, None),))


GRAPHS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a loop without end": (looping, "it gives no answer within 2 seconds"),
    "a tensor of 4 TB": (huge, "runs not measured"),
    "no graph": (lambda: b"garbage", "it is no whole ONNX file"),
    "empty": (lambda: b"", "runs not measured"),
    "cut short": (lambda: model()[:40], "runs not measured"),
    "other numbers": (lambda: model().replace(b"Add", b"Mul"), "logits_difference"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_harms_is_a_proof_that_fails(
    bundle: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected = GRAPHS[name]
    (bundle / MODEL).write_bytes(make())
    seal(bundle)
    monkeypatch.setattr(measured_again, "ANSWER_SECONDS", 2.0)
    with pytest.raises(ProofError) as caught:
        verify(bundle)
    assert expected in str(caught.value.why)


def test_what_comes_after_a_file_that_is_given_up_is_measured(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "fp32" / "loop.onnx").write_bytes(looping())
    monkeypatch.setattr(measured_again, "ANSWER_SECONDS", 2.0)
    manifest = read_record(bundle).manifest
    files = [{"onnx": MODEL}, {"onnx": "fp32/loop.onnx"}, {"onnx": MODEL}]
    first, second, third = measured_again.measure_again(bundle, manifest, files)
    assert first == third and first.quality.figures["top1_agreement"] == 1.0
    assert second.problem == "it gives no answer within 2 seconds"


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    text = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (64 - (11 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def member(content: bytes, name: str = "logits.npy") -> Callable[[Path], object]:
    """Put other bytes in the place of an array."""

    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            items = {item.filename: archive.read(item) for item in archive.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in {**items, name: content}.items():
                archive.writestr(key, value)

    return change


def objects() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([{}], dtype=object), allow_pickle=True)
    return out.getvalue()


def flag(offset: int, value: int) -> Callable[[Path], object]:
    """Set a byte of the first entry of an archive's list."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[content.find(b"PK\x01\x02") + offset] = value
        path.write_bytes(bytes(content))

    return change


def bomb(path: Path) -> None:
    member(header((10**9,)) + bytes(1 << 28))(path)


ARRAYS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "encrypted": flag(8, 1),
    "packed strangely": flag(10, 99),
    "a bomb": bomb,
    "objects": member(objects()),
    "a shape of 10^15": member(header((10**15,))),
    "a shape of 10^30": member(header((10**30,))),
    "a shape below 0": member(header((-1, 5))),
    "texts of 2 GB": member(header((10**6,), "|S2000000000")),
    "a header of code": member(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 20) + b"__import__('os')   \n"
    ),
    "scalars": lambda path: np.savez(path, **{"input.x": np.float32(1), "logits": np.float32(1)}),
    "no arrays": np.savez,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_harm_are_one_error(bundle: Path, name: str) -> None:
    ARRAYS[name](bundle / "reference" / "reference.npz")
    seal(bundle)
    with pytest.raises(BundleError, match="the stored references cannot be read"):
        verify(bundle)


TEXTS = {
    "nested 50,000 deep": '{"kind":' * 50_000 + "1" + "}" * 50_000,
    "a list": "[]",
    "of no kind": '{"kind": "none"}',
    "a kind that is a list": '{"kind": [1]}',
    "half a character": '{"kind": "logits", "inputs": ["\\ud800"], "output": "y"}',
    "numbers for texts": '{"kind": "logits", "inputs": 5, "output": 5}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_description_that_harms_is_one_error(bundle: Path, name: str) -> None:
    (bundle / "reference" / "reference.json").write_text(TEXTS[name])
    seal(bundle)
    with pytest.raises(BundleError, match="the stored references cannot be read"):
        verify(bundle)


RECORDS = {
    "nested 100,000 deep": b'{"files":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "many lists": b'{"files":[' + b"[]," * 1_300_000 + b"1]}",
    "many objects": b'{"files":[' + b"{}," * 1_300_000 + b"1]}",
    "many keys": b'{"files":[' + b'{"":0},' * 590_000 + b"1]}",
    "a number of 4 MB": b'{"manifest_version":' + b"9" * 4_000_000 + b"}",
    "a text of escapes": b'{"recipe":"' + b"\\u0041" * 690_000 + b'"}',
    "too large": b" " * 5_000_000,
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("file", [MANIFEST, PROOF])
def test_a_record_that_harms_takes_little_time_and_memory(
    bundle: Path, file: str, name: str
) -> None:
    (bundle / file).write_bytes(RECORDS[name])
    began = time.process_time()
    with pytest.raises(BundleError):
        read_record(bundle)
    assert time.process_time() - began < MOST_SECONDS
    tracemalloc.start()
    with pytest.raises(BundleError):
        read_record(bundle)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


PLACES: dict[str, Callable[[Path, Path], object]] = {
    "a link to a file": lambda path, _: path.symlink_to("/etc/passwd"),
    "a link to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path, out: path.symlink_to(out),
    "a pipe": lambda path, _: os.mkfifo(path),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("place", [MODEL, "reference/reference.npz", PROOF, SEAL, "extra"])
def test_nothing_but_plain_files_is_read(
    bundle: Path, tmp_path: Path, name: str, place: str
) -> None:
    (tmp_path / "out").mkdir()
    (bundle / place).unlink(missing_ok=True)
    PLACES[name](bundle / place, tmp_path / "out")
    with pytest.raises(BundleError):
        verify(bundle)


def test_a_folder_of_the_bundle_that_lies_elsewhere_is_not_read(
    bundle: Path, tmp_path: Path
) -> None:
    shutil.move(str(bundle / "reference"), str(tmp_path / "out"))
    (bundle / "reference").symlink_to(tmp_path / "out")
    with pytest.raises(BundleError, match="what is no plain file"):
        verify(bundle)


def test_files_are_those_that_are_listed(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")

    def listed(**changes: Any) -> str:
        manifest = json.loads((bundle / MANIFEST).read_bytes())
        manifest["files"].append({"path": "x", "sha256": "0" * 64, "size_bytes": 1} | changes)
        (bundle / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(OliveBuildError) as caught:
            verify(bundle)
        assert isinstance(caught.value, BundleError)
        seal(bundle)
        return str(caught.value.why)

    assert "x: missing" in listed()
    assert "begins at the bundle" in listed(path="../secret")
    assert "begins at the bundle" in listed(path="/etc/passwd")
    assert "a file is listed twice" in listed(path=MODEL)
    assert "is less than 0" in listed(size_bytes=-1)
    (bundle / "y").write_bytes(b"1")
    with pytest.raises(BundleError) as caught:
        verify(bundle)
    assert str(caught.value.why) == "y: not in the manifest"
