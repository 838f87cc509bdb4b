"""What a stranger made is read or refused: in a second, in little memory, by one error."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olive_build.untrusted import (
    MOST_JSON_VALUES,
    Unreadable,
    followed,
    linked,
    parse_json,
    read_bytes,
    read_json,
    read_npy,
    read_npz,
    strange_in_model,
)

TEXTS = {
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "deeper than is read": '{"a":' * 500 + "1" + "}" * 500,
    "a number without end": "[1e400]",
    "a number below all": "[-1e400]",
    "not a number": "[NaN]",
    "infinite": "[-Infinity]",
    "an integer of 10,000 digits": "9" * 10_000,
    "an integer larger than any float": "9" * 400,
    "half a character": r'["a\ud800b"]',
    "half a character as a key": r'{"\udfff": 1}',
    "no JSON": "{",
    "nothing": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_json_text_is_refused_at_once(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    started = time.monotonic()
    with pytest.raises(Unreadable) as error:
        read_json(path)
    assert time.monotonic() - started < 1
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("value", [{"a": [1, 2.5, -3e-300, None, True]}, "😀 é", [[]] * 1000])
def test_other_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_numbers_as_tokenizers_have_them_are_read() -> None:
    assert parse_json("[1000000000000000019884624838656]") == [int(1e30)]


def test_json_that_would_fill_the_memory_is_not_parsed() -> None:
    with pytest.raises(Unreadable, match="values"):
        parse_json("[" + "[]," * MOST_JSON_VALUES + "[]]")


def test_a_size_is_looked_at_before_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for read in (read_json, read_npz, read_npy):
        with pytest.raises(Unreadable, match="at most"):
            read(path)
    with pytest.raises(Unreadable, match="at most 10"):
        read_bytes(path, 10)


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    text = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (64 - (11 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(path: Path, content: bytes, packing: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", packing) as file:
        file.writestr("a.npy", content)


def bomb(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(header((1 << 28,)))
        for _ in range(1 << 4):
            member.write(bytes(1 << 26))


def flagged(path: Path, at: int, value: int) -> None:
    """Write one of the fields that a member has both before it and in the archive's list."""
    archive(path, header((4,)) + bytes(16))
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x03\x04") + at] |= value
    content[content.find(b"PK\x01\x02") + at + 2] |= value
    path.write_bytes(content)


def damaged(path: Path) -> None:
    archive(path, header((1000,)) + np.random.default_rng(0).bytes(4000))
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", header((1,)) + bytes(4))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.npy", header((1,)) + bytes(4))


def objects(path: Path) -> None:
    np.savez(path, a=np.array([{}], dtype=object))


ARCHIVES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no"),
    "cut off": lambda path: (archive(path, header((4,)) + bytes(16)), os.truncate(path, 60)),
    "encrypted": lambda path: flagged(path, 6, 1),
    "packed otherwise": lambda path: flagged(path, 8, 99),
    "a bomb": bomb,
    "damaged": damaged,
    "two of one name": twice,
    "objects": objects,
    "a shape of 10^15": lambda path: archive(path, header((10**15,))),
    "a shape of 10^30": lambda path: archive(path, header((10**30,))),
    "a negative shape": lambda path: archive(path, header((-1, 5))),
    "values of 2 GB": lambda path: archive(path, header((10**6,), "|S2000000000")),
    "values of nothing": lambda path: archive(path, header((10**15,), "<U0")),
    "a header of code": lambda path: archive(
        path, b"\x93NUMPY\x01\x00" + struct.pack("<H", 30) + b"__import__('os').system('id')\n\n"
    ),
    "a deep header": lambda path: archive(
        path, b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 8999 + b"\n"
    ),
    "too short": lambda path: archive(path, header((4,)) + bytes(15)),
    "too long": lambda path: archive(path, header((4,)) + bytes(17)),
    "no character": lambda path: archive(path, header((1,), "<U1") + b"\x00\xd8\x00\x00"),
    "a version of its own": lambda path: archive(path, b"\x93NUMPY\x09\x09" + bytes(100)),
}


@pytest.mark.parametrize("make", ARCHIVES.values(), ids=ARCHIVES)
def test_arrays_are_refused_at_once(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    make(path)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(Unreadable) as error:
        read_npz(path)
    assert time.monotonic() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert str(error.value).isprintable()


def test_arrays_are_read_as_numpy_wrote_them(tmp_path: Path) -> None:
    arrays = {
        "00000/ids": np.arange(6, dtype=">i8").reshape(2, 3),
        "turned": np.asfortranarray(np.random.default_rng(0).random((3, 4), np.float32)),
        "none": np.empty((0, 4), np.float16),
        "one": np.array(2.5),
        "texts": np.array(["é😀", ""]),
        "is": np.array([True, False]),
    }
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "a.npz", **arrays)  # type: ignore[operator]
        found = read_npz(tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype
    for value in arrays.values():
        np.save(tmp_path / "a.npy", value)
        np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), value)


def test_no_pipe_and_no_device_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "itself").symlink_to("itself")
    strange = [tmp_path / "pipe", tmp_path / "zero", Path("/dev/zero"), tmp_path]
    for path in (*strange, followed(tmp_path / "zero"), followed(tmp_path / "itself")):
        for read in (read_json, read_npz, read_npy):
            with pytest.raises(Unreadable, match="plain file"):
                read(path)


def snapshot(root: Path) -> Path:
    """Return a snapshot as the hub's cache has them."""
    folder = root / "models--a--b/snapshots/0123"
    folder.mkdir(parents=True)
    blob = root / "models--a--b/blobs/45"
    blob.parent.mkdir()
    blob.write_text("{}")
    (folder / "config.json").symlink_to("../../blobs/45")
    return folder


def test_a_link_leads_into_its_folder_or_its_repository_alone(tmp_path: Path) -> None:
    folder = snapshot(tmp_path)
    other = tmp_path / "models--c--d/blobs/45"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    assert linked(folder / "config.json", folder).read_text() == "{}"
    (folder / "same.json").symlink_to("config.json")
    assert strange_in_model(folder) == []

    links = {
        "another": "../../../models--c--d/blobs/45",
        "device": "/dev/zero",
        "folder": "../../blobs",
        "itself": "itself",
        "nowhere": "../../blobs/46",
        "outside": "/etc/passwd",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    (folder / "same-pipe").symlink_to("pipe")
    found = {line.split(":")[0] for line in strange_in_model(folder)}
    assert found == {*links, "pipe", "same-pipe"}


def test_a_folder_that_is_no_snapshot_has_no_repository(tmp_path: Path) -> None:
    folder, blobs = tmp_path / "x/snapshots/y", tmp_path / "x/blobs"
    for made in (folder, blobs):
        made.mkdir(parents=True)
    (blobs / "a").write_text("{}")
    (folder / "config.json").symlink_to("../../blobs/a")
    assert strange_in_model(folder)


def test_the_reader_is_light() -> None:
    code = "import sys, olive_build.untrusted; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
