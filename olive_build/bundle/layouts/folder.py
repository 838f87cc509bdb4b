"""A folder as the client would find it: what is there, and what only seems to be.

The client asks for files in the folder and in its `onnx/`, and nowhere else; these are looked at,
and one level of other folders for models that lie in the wrong place.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.errors import BundleError

MODELS = "onnx"
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = (b"<!doctype", b"<html", b"<?xml")
_HEAD = 200
_LARGEST_JSON = 1 << 28


class ModelFolder:
    """The files of a folder by their path below it, with `/` between the parts.

    Raises BundleError where there is no such folder or nothing in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.files = tuple(sorted(_listed(path)))
        except FileNotFoundError as error:
            raise _no_folder(path, "there is no such folder", "check the path") from error
        except NotADirectoryError as error:
            hint = "give the folder that holds config.json and onnx/"
            raise _no_folder(path, "this is a file, not a folder", hint) from error
        except OSError as error:
            raise _no_folder(path, "the folder cannot be read", str(error)) from error
        if not self.files:
            raise _no_folder(path, "the folder is empty", "build or download the model again")

    def has(self, name: str) -> bool:
        """Whether a file of this name is listed, whatever is in it."""
        return name in self.files

    def size(self, name: str) -> int:
        """Return the size in bytes, of what a link leads to."""
        return (self.path / name).stat().st_size

    def models(self) -> tuple[str, ...]:
        """Return the files in `onnx/` that are models by their name."""
        prefix = f"{MODELS}/"
        return tuple(n for n in self.files if n.startswith(prefix) and n.endswith(".onnx"))

    def problem(self, name: str) -> Finding | None:
        """Return why a file that is listed is not what its name says, None where it may be."""
        path = self.path / name
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, for ever
                what, why = "no regular file", "it is a pipe, a socket or a device"
                hint = "put the file itself there"
                return Finding(Code.UNREADABLE, "error", what, name, why, hint)
            with path.open("rb") as stream:
                head = stream.read(_HEAD)
        except FileNotFoundError:
            target = os.readlink(path) if path.is_symlink() else "nothing"
            why = f"it leads to {target}, which is not there"
            hint = "copy the file itself; a download that was stopped leaves such links"
            return Finding(Code.BROKEN_LINK, "error", "a link that leads nowhere", name, why, hint)
        except OSError as error:
            why = error.strerror or str(error)
            return Finding(
                Code.UNREADABLE, "error", "the file cannot be read", name, why, "check its rights"
            )
        return _by_its_head(name, head)

    def json(self, name: str) -> tuple[dict[str, Any], Finding | None]:
        """Return the object in a JSON file, or an empty one with what is wrong with the file."""
        wrong = self.problem(name)
        if wrong:
            return {}, wrong
        what, hint = f"{name} cannot be read", "save it again, or download it again"
        path = self.path / name
        if path.stat().st_size > _LARGEST_JSON:
            why = f"it has {path.stat().st_size} bytes"
            return {}, Finding(Code.BAD_CONFIG, "error", what, name, why, hint)
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            return {}, Finding(Code.BAD_CONFIG, "error", what, name, f"{error}", hint)
        if not isinstance(data, dict):
            why = "it holds no object in braces"
            return {}, Finding(Code.BAD_CONFIG, "error", what, name, why, hint)
        return data, None


def _listed(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if not entry.is_dir():
            yield entry.name
        elif not entry.name.startswith("."):
            try:
                inner = list(entry.iterdir())
            except OSError:
                continue
            yield from (f"{entry.name}/{item.name}" for item in inner if not item.is_dir())


def _by_its_head(name: str, head: bytes) -> Finding | None:
    if not head:
        hint = "download or write it again; a full disk leaves such files"
        return Finding(Code.UNREADABLE, "error", "the file is empty", name, "it has 0 bytes", hint)
    if head.startswith(_POINTER):
        return Finding(
            Code.POINTER,
            "error",
            "a Git LFS pointer, not the file",
            name,
            "the repository was cloned without Git LFS, so it holds a note of where the file is",
            "run `git lfs install` and `git lfs pull`, or download the file from the hub",
        )
    if head.lstrip().lower().startswith(_PAGE):
        return Finding(
            Code.POINTER,
            "error",
            "a web page, not the file",
            name,
            "a server that answers unknown addresses with a page was taken at its word",
            "download the file again, and look at the address and the login",
        )
    return None


def _no_folder(path: Path, what: str, hint: str) -> BundleError:
    return BundleError(what, where=str(path), hint=hint)
