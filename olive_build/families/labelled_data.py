"""Examples of a user's own, as `olive-build train --data` finds them: files, and what each one is.

    DATA/<class>/*.wav         a folder for each class; its name is the class's name
    DATA/labels.csv            or a table of `file,label`: classes by name, or numbers for losses
                               that are no cross-entropy, several of them with blanks in between

Hidden files are left out, and so are files beside the folders of classes. Folders are read to
their depth, but no link to a folder in them is followed. numpy alone: no torch.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from olive_build.errors import UsageError

Content = TypeVar("Content")
TABLE = "labels.csv"
COLUMNS = ("file", "label")
CLASS_LOSS = "cross-entropy"
# What systems leave in folders that were looked at, beside files whose name begins with a dot.
LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class LabelledExamples:
    """What a model learns from, prepared: arrays [examples, ...] by the family's own input names.

    `targets` are class numbers int64 [examples], or float32 [examples, outputs] for losses on
    numbers. `files` say where each example came from: a file's path, or the line of a table.
    """

    inputs: dict[str, npt.NDArray[Any]]
    targets: npt.NDArray[Any]
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class Labelled(Generic[Content]):
    """One example with its label as written; `where` names it in messages."""

    where: str
    label: str
    content: Content


@dataclass(frozen=True)
class Kind:
    """A kind of examples: its plural, the suffixes that are read, and how to convert others."""

    plural: str
    suffixes: tuple[str, ...]
    convert: str


def require_data(data: Path) -> None:
    """Raise UsageError where there is nothing at `data`."""
    if not data.exists():
        raise UsageError(
            "the folder with examples does not exist",
            where=str(data),
            hint="name the folder that holds a folder for each class, or a labels.csv",
        )


def find_files(data: Path, kind: Kind, loss: str) -> list[Labelled[Path]]:
    """Return the files below `data` with their labels, in the order of names or of the table.

    Raises UsageError where there is none, where one is of another kind or has two labels, and for a
    bad table. A file that a table names twice with one label counts twice.
    """
    require_data(data)
    if not data.is_dir():
        raise UsageError(
            "the examples are not in a folder",
            where=str(data),
            why=f"{kind.plural} are read from a folder for each class, or by a {TABLE}",
            hint=f"name the folder that holds a folder for each class, or a {TABLE}",
        )
    found = (
        list(_of_table(data, kind)) if (data / TABLE).is_file() else _of_folders(data, kind, loss)
    )
    _require_one_label(found)
    return found


def _of_folders(data: Path, kind: Kind, loss: str) -> list[Labelled[Path]]:
    folders = [path for path in _visible(data) if path.is_dir()]
    if folders and loss != CLASS_LOSS:
        raise UsageError(
            f"there is no {TABLE} with the examples",
            where=str(data),
            why=f"the bundle's loss is {loss}: its labels are numbers, which folders cannot name",
            hint=f"write a {TABLE} with the columns {','.join(COLUMNS)}",
        )
    found = [
        Labelled(str(path), folder.name, _of_kind(path, kind))
        for folder in folders
        for path in _files(folder)
    ]
    if not found:
        raise UsageError(
            f"there are no {kind.plural} to learn from",
            where=str(data),
            why=_why_empty(data, folders, kind),
            hint=f"put files ({', '.join(kind.suffixes)}) into a folder for each class, or write a "
            f"{TABLE} with the columns {','.join(COLUMNS)}",
        )
    return found


def _require_one_label(found: Sequence[Labelled[Path]]) -> None:
    """Raise UsageError where a file has two labels in the table, or is in two folders by a link."""
    known: dict[Path, Labelled[Path]] = {}
    for example in found:
        first = known.setdefault(example.content.resolve(), example)
        if first.label != example.label:
            raise UsageError(
                f"a file has two labels: '{first.label}' and '{example.label}'",
                where=example.where,
                why=f"it is '{first.label}' at {first.where}",
                hint="keep the one that is right",
            )


def _why_empty(data: Path, folders: Sequence[Path], kind: Kind) -> str:
    if folders:
        return f"its folders {', '.join(folder.name for folder in folders)} hold no file"
    loose = sum(path.suffix.lower() in kind.suffixes for path in _visible(data))
    if loose:
        return f"{loose} of its files are in no folder, so nothing says what they are"
    return "the folder is empty"


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, in order, without hidden files."""
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.name.lower() not in LEFT_BY_SYSTEMS
    ]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the visible files below a folder; links to folders are not followed."""
    for path in _visible(folder):
        if path.is_dir():
            if not path.is_symlink():
                yield from _files(path)
        else:
            yield path


def _of_kind(path: Path, kind: Kind) -> Path:
    if path.suffix.lower() not in kind.suffixes:
        raise UsageError(
            f"a file among the examples is none of the {kind.plural} that are read",
            where=str(path),
            why=f"those end in {', '.join(kind.suffixes)}",
            hint=f"{kind.convert}, or take the file away",
        )
    if not path.is_file():
        raise UsageError(
            "an example cannot be opened",
            where=str(path),
            why="it is a link that leads to no file" if path.is_symlink() else "it is no file",
            hint="put the file itself there, or take this away",
        )
    return path


def _of_table(data: Path, kind: Kind) -> Iterator[Labelled[Path]]:
    table = data / TABLE
    rows = list(_rows(table))
    if not rows:
        raise UsageError(
            "the table of examples has no rows",
            where=str(table),
            hint=f"write a line for each of the {kind.plural}: a{kind.suffixes[0]},its label",
        )
    for line, row in rows:
        path = data / row["file"]
        where = f"{table}, line {line}"
        if not row["label"] or not row["file"]:
            empty = "label" if row["file"] else "file"
            raise UsageError(f"a row of the table has no {empty}", where=where)
        if not os.path.lexists(path):
            raise UsageError(
                f"the table names a file that does not exist: {row['file']}",
                where=where,
                why="files are named relative to the table's folder",
            )
        yield Labelled(f"{where}: {row['file']}", row["label"], _of_kind(path, kind))


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the table's rows with the number of each one's line."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            columns = reader.fieldnames or []
            if any("\0" in name for name in columns):
                raise csv.Error("it holds bytes of zero, as UTF-16 does")
            _check_columns(table, columns)
            for row in reader:
                # A cell too many has the name "", one too few the value None.
                if "" in row or None in row.values():
                    raise UsageError(
                        "a row of the table has not one cell for each column",
                        where=f"{table}, line {reader.line_num}",
                        why=f"its columns are {','.join(COLUMNS)}",
                        hint='put a name with a comma in it into quotation marks: "a, b.wav"',
                    )
                yield reader.line_num, {name: row[name].strip() for name in COLUMNS}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            "the table of examples cannot be read",
            where=str(table),
            why=str(error),
            hint="save it as text with commas in UTF-8 (in a spreadsheet: CSV UTF-8)",
        ) from error


def _check_columns(table: Path, columns: Sequence[str]) -> None:
    if sorted(columns) != sorted(COLUMNS):
        raise UsageError(
            f"the table's columns are not {','.join(COLUMNS)}",
            where=str(table),
            why=f"its first line has {','.join(columns) or 'nothing'}",
            hint=f"the first line must be: {','.join(COLUMNS)}",
        )
