"""Folders of classes and tables: what is found, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_folders import refused

from olive_build.families.labelled_data import Kind, Labelled, find_files
from olive_build.families.labelled_targets import targets_of

KIND = Kind("recordings", (".wav",), "convert it: ffmpeg -i FILE FILE.wav")
LOSS = "cross-entropy"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def table(folder: Path, text: str, *names: str) -> Path:
    touch(folder, *names)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return folder


def find(folder: Path, loss: str = LOSS) -> list[tuple[str, str]]:
    """Return where examples are, without the folder's own path, and their labels."""
    found = find_files(folder, KIND, loss)
    assert all(example.where.startswith(f"{folder}/") for example in found)
    return [(example.where.removeprefix(f"{folder}/"), example.label) for example in found]


def test_a_folder_is_a_class_and_the_order_is_that_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "owner/b.wav", "owner/a.WAV", "other/c.wav", "other/deep/er/d.wav")
    assert find(tmp_path) == [
        ("other/c.wav", "other"),
        ("other/deep/er/d.wav", "other"),
        ("owner/a.WAV", "owner"),
        ("owner/b.wav", "owner"),
    ]


def test_what_systems_leave_behind_is_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "owner/a.wav", "owner/.DS_Store", "owner/Thumbs.db", ".git/x.wav", "README.md")
    assert find(tmp_path) == [("owner/a.wav", "owner")]


def test_links_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "owner/a.wav")
    (tmp_path / "owner" / "again").symlink_to(tmp_path / "owner", target_is_directory=True)
    assert find(tmp_path) == [("owner/a.wav", "owner")]


def test_a_class_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.wav")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "owner").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert find(tmp_path / "data") == [("owner/a.wav", "owner")]


@pytest.mark.parametrize("to", ["nowhere.wav", "loop.wav"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, to: str) -> None:
    touch(tmp_path, "owner/a.wav")
    (tmp_path / "owner" / "loop.wav").symlink_to(tmp_path / "owner" / to)
    said = refused(lambda: find(tmp_path))
    assert "an example cannot be opened" in said and "owner/loop.wav" in said
    assert "it is a link that leads to no file" in said and "put the file itself there" in said


def test_a_table_says_what_files_are(tmp_path: Path) -> None:
    text = '\ufefflabel,file\nowner,x/a.wav\n other , "b, c.wav"\n'.replace(', "', ',"')
    table(tmp_path, text, "x/a.wav", "b, c.wav", "unnamed.wav")
    assert find(tmp_path) == [
        ("labels.csv, line 2: x/a.wav", "owner"),
        ("labels.csv, line 3: b, c.wav", "other"),
    ]


def test_a_file_with_two_labels_is_refused_with_both_lines(tmp_path: Path) -> None:
    table(tmp_path, "file,label\na.wav,owner\nb.wav,other\n./a.wav,other\n", "a.wav", "b.wav")
    said = refused(lambda: find(tmp_path))
    assert "a file has two labels: 'owner' and 'other'" in said
    assert f"at:      {tmp_path}/labels.csv, line 4: ./a.wav" in said
    assert f"it is 'owner' at {tmp_path}/labels.csv, line 2: a.wav" in said


def test_a_file_in_two_classes_by_a_link_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "other/a.wav", "owner/b.wav")
    (tmp_path / "owner" / "a.wav").symlink_to(tmp_path / "other" / "a.wav")
    said = refused(lambda: find(tmp_path))
    assert "a file has two labels: 'other' and 'owner'" in said and "owner/a.wav" in said


def test_a_row_may_be_there_twice_to_count_twice(tmp_path: Path) -> None:
    table(tmp_path, "file,label\na.wav,x\na.wav,x\n", "a.wav")
    assert [label for _, label in find(tmp_path)] == ["x", "x"]


def test_a_label_that_is_none_is_found_in_its_line(tmp_path: Path) -> None:
    table(tmp_path, "file,label\na.wav,owner\nb.wav,1 2\n", "a.wav", "b.wav")
    found = find_files(tmp_path, KIND, LOSS)
    said = refused(lambda: targets_of(found, ["other", "owner"], LOSS, tmp_path))
    assert f"at:      {tmp_path}/labels.csv, line 3: b.wav" in said
    said = refused(lambda: targets_of(found[1:], ["height"], "mse", tmp_path))
    assert "2 numbers in place of 1" in said and "labels.csv, line 3: b.wav" in said


def test_a_class_that_is_none_is_found_in_its_folder(tmp_path: Path) -> None:
    found = find_files(touch(tmp_path, "Owners/o0.wav"), KIND, LOSS)
    said = refused(lambda: targets_of(found, ["other", "owner"], LOSS, tmp_path))
    assert f"at:      {tmp_path}/Owners/o0.wav" in said and "did you mean 'owner'?" in said


def test_no_folder_at_all(tmp_path: Path) -> None:
    said = refused(lambda: find(tmp_path / "voices"))
    assert "the folder with examples does not exist" in said and "/voices" in said


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    said = refused(lambda: find(touch(tmp_path, "a.wav") / "a.wav"))
    assert "the examples are not in a folder" in said
    assert "name the folder that holds a folder for each class, or a labels.csv" in said


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ((), "the folder is empty"),
        (("a.wav", "b.wav"), "2 of its files are in no folder, so nothing says what they are"),
        (("owner/.DS_Store", "other/.keep"), "its folders other, owner hold no file"),
    ],
)
def test_nothing_to_learn_from(tmp_path: Path, files: tuple[str, ...], why: str) -> None:
    said = refused(lambda: find(touch(tmp_path, *files)))
    assert "there are no recordings to learn from" in said and why in said
    assert "put files (.wav) into a folder for each class" in said


def test_a_file_of_another_kind_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    said = refused(lambda: find(touch(tmp_path, "owner/a.wav", "owner/b.mp3")))
    assert "a file among the examples is none of the recordings that are read" in said
    assert "owner/b.mp3" in said and "ffmpeg -i FILE FILE.wav, or take the file away" in said


def test_folders_cannot_name_numbers(tmp_path: Path) -> None:
    said = refused(lambda: find(touch(tmp_path, "owner/a.wav"), "mse"))
    assert "there is no labels.csv with the examples" in said
    assert "the bundle's loss is mse: its labels are numbers" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,class\na.wav,x\n", "its first line has file,class"),
        ("a.wav,owner\n", "its first line has a.wav,owner"),
        ("", "its first line has nothing"),
        ("file,label\n", "the table of examples has no rows"),
        ("file,label\n\n", "write a line for each of the recordings: a.wav,its label"),
        ("file,label\na.wav\n", "a row of the table has not one cell for each column"),
        ("file,label\na.wav,x,y\n", 'quotation marks: "a, b.wav"'),
        ("file,label\na.wav,\n", "a row of the table has no label"),
        ("file,label\n,x\n", "a row of the table has no file"),
        ("file,label\na.wav,x\ngone.wav,x\n", "names a file that does not exist: gone.wav"),
        ("file,label\nb.txt,x\n", "none of the recordings that are read"),
        ('file,label\n"a.wav,x\n', "the table of examples cannot be read"),
    ],
)
def test_a_bad_table_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    table(tmp_path, text, "a.wav", "b.txt")
    assert said in refused(lambda: find(tmp_path))


def test_a_bad_row_is_found_by_its_line(tmp_path: Path) -> None:
    table(tmp_path, "file,label\na.wav,x\n\ngone.wav,x\n", "a.wav")
    assert "labels.csv, line 4" in refused(lambda: find(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_table_in_another_encoding_is_told_how_to_be_saved(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path, "a.wav")
    (tmp_path / "labels.csv").write_text("file,label\na.wav,x\n", encoding=encoding)
    said = refused(lambda: find(tmp_path))
    assert "the table of examples cannot be read" in said and "in UTF-8" in said


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff\xfe,x\n")
    assert "the table of examples cannot be read" in refused(lambda: find(tmp_path))


def targets(labels: list[str], names: list[str], loss: str = LOSS) -> np.ndarray:
    found = [Labelled(f"file {n}", label, None) for n, label in enumerate(labels)]
    return targets_of(found, names, loss, Path("data"))


def test_classes_are_numbered_as_the_bundle_has_them() -> None:
    found = targets(["owner", "other", "owner"], ["other", "owner"])
    assert found.dtype == np.int64 and found.tolist() == [1, 0, 1]


def test_numbers_are_of_the_outputs_form() -> None:
    found = targets(["1 0", "0 1.0"], ["a", "b"], "bce-with-logits")
    assert found.dtype == np.float32 and found.tolist() == [[1, 0], [0, 1]]
    assert targets(["-3.5"], ["age"], "l1").tolist() == [[-3.5]]


@pytest.mark.parametrize(("slip", "meant"), [("onwer", "owner"), ("OWNER", "owner")])
def test_a_class_that_the_bundle_does_not_have(slip: str, meant: str) -> None:
    said = refused(lambda: targets([meant, slip], ["other", "owner"]))
    assert f"the bundle has no class '{slip}'" in said and "file 1" in said
    assert "its classes are other, owner" in said and f"did you mean '{meant}'?" in said


def test_one_class_alone() -> None:
    said = refused(lambda: targets(["owner"] * 3, ["other", "owner"]))
    assert "the examples are all of one class" in said
    assert "3 of 3 are 'owner'" in said and "add examples of other" in said


def test_classes_without_examples_are_named() -> None:
    said = refused(lambda: targets(["a", "b"], ["a", "b", "c", "d"]))
    assert "2 classes have no examples: c, d" in said


@pytest.mark.parametrize(
    ("label", "loss", "said"),
    [
        ("tall", "mse", "a label is no number: 'tall'"),
        ("1 2", "mse", "a label has 2 numbers in place of 1: '1 2'"),
        ("nan", "l1", "a label is no finite number: 'nan'"),
        ("inf", "mse", "a label is no finite number: 'inf'"),
        ("0.5", "bce-with-logits", "a label is neither 0 nor 1: '0.5'"),
    ],
)
def test_a_label_that_is_no_such_number(label: str, loss: str, said: str) -> None:
    text = refused(lambda: targets([label], ["height"], loss))
    assert said in text and "file 0" in text
