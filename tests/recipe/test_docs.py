"""docs/recipes.md says what the code does: tables, fields, codes, samples and links."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from olive_build.errors import UsageError
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.docs import FURTHER, PAGE, REGION, SECTIONS, TABLES, anchor, page, region
from olive_build.recipe.fields import Strict
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all

REPOSITORY = Path(__file__).parents[2]
TEXT = PAGE.read_text(encoding="utf-8")
NAMES = [found["name"] for found in REGION.finditer(TEXT)]
SAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
WHOLE = [sample for sample in SAMPLES if re.search(r"^recipe: 1\b", sample, re.MULTILINE)]
BASES = [sample for sample in SAMPLES if sample.startswith("# recipes/_")]
PARTS = [sample for sample in SAMPLES if sample not in (*WHOLE, *BASES)]


def models(above: type[Strict] = Strict) -> Iterator[type[Strict]]:
    for model in above.__subclasses__():
        if not model.__name__.startswith("_"):  # those lack the sections that are found
            yield model
        yield from models(model)


def unfenced() -> str:
    return re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)


def headings() -> list[str]:
    return re.findall(r"^#+ (.+)$", unfenced(), re.MULTILINE)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the files that the page's samples name."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tickets.jsonl").touch()
    for folder in re.findall(r"path: \{folder: \.\./(.+?)\}", TEXT):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for sample in (*BASES, *WHOLE):
        name = re.search(r"^# (recipes/\S+)$", sample, re.MULTILINE)
        if name:
            (tmp_path / name[1]).write_text(sample, encoding="utf-8")
    return tmp_path


def test_the_regions_are_up_to_date() -> None:
    assert page(TEXT) == TEXT, "run python -m olive_build.recipe.docs"


def test_check_says_that_the_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "olive_build.recipe.docs", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_edited_region_is_put_right() -> None:
    edited = TEXT.replace("most often a typo", "something else")
    assert edited != TEXT
    assert page(edited) == TEXT


def test_a_region_that_nobody_makes() -> None:
    with pytest.raises(UsageError, match="no region 'fields of nothing'"):
        region("fields of nothing")


def test_every_table_is_on_the_page_once() -> None:
    wanted = {FURTHER, *TABLES, *(f"fields of {section}" for section in SECTIONS)}
    assert set(NAMES) == wanted | {"file of recipes/all-minilm-l6-v2.yaml"}
    assert len(NAMES) == len(set(NAMES))
    assert TEXT.count("<!-- generated: ") == TEXT.count("<!-- end -->") == len(NAMES)


def test_every_field_of_every_model_is_on_the_page() -> None:
    assert set(models()) == set(SECTIONS.values())
    regions = {found["name"]: found[0] for found in REGION.finditer(TEXT)}
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            row = f"\n| `{field.alias or name}` | "
            assert row in regions[f"fields of {section}"], f"{section}: {name}"


def test_every_section_of_the_language_has_a_heading() -> None:
    missing = {section.lower() for section in SECTIONS} - {head.lower() for head in headings()}
    assert not missing


def test_every_code_is_on_the_page_with_its_meaning() -> None:
    for code in Code:
        assert f"| `{code.value}` | {code.meaning} |" in TEXT


@pytest.mark.parametrize("sample", WHOLE, ids=range(len(WHOLE)))
def test_whole_recipes_load_without_a_warning(repository: Path, sample: str) -> None:
    name = re.search(r"^name: (\S+)", sample, re.MULTILINE)
    assert name
    path = repository / "recipes" / f"{name[1]}.yaml"
    path.write_text(sample, encoding="utf-8")
    loaded = load_recipe(path)
    assert not loaded.warnings
    assert resolve_all(loaded)


@pytest.mark.parametrize("sample", PARTS, ids=range(len(PARTS)))
def test_parts_load_over_the_first_recipe(repository: Path, sample: str) -> None:
    first = re.sub(r"^targets:\n(  .*\n)+", "", WHOLE[0], flags=re.MULTILINE)
    of_family = {"train:": "image-classification", "components:": "whisper"}
    for word, family in of_family.items():
        if sample.startswith(word):
            first = first.replace("sentence-embedding", family, 1)
    (repository / "recipes" / "_first.yaml").write_text(first, encoding="utf-8")
    path = repository / "recipes" / "part.yaml"
    path.write_text(f"extends: _first.yaml\nname: part\n{sample}", encoding="utf-8")
    loaded = load_recipe(path)
    assert not loaded.warnings
    assert resolve_all(loaded)


def test_links_lead_somewhere() -> None:
    anchors = {anchor(head) for head in headings()}
    links = re.findall(r"\]\(([^)\s]+)\)", unfenced())
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (PAGE.parent / link.partition("#")[0]).exists(), link
