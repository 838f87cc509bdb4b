"""docs/tasks.md has a row for every task, as its own module says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build import rooms
from olive_build.families.transformers.task import Task

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
LINES = {
    ("text",): '`{"text": ...}` a line',
    ("question", "context"): '`{"question": ..., "context": ...}` a line',
}
HOLDS = {
    "pictures": "`images`, uint8 [pictures, height, width, 3]",
    "clips": "`audio`, the samples of all clips, and `lengths`",
}


def row(task: Task) -> str:
    """Return what the page says of a task."""
    assert task.agreement.__doc__, f"the agreement of {task.name} says nothing"
    judged = " ".join(task.agreement.__doc__.partition(".")[0].split())
    held = HOLDS.get(task.samples) or LINES[task.fields]
    cells = (
        f"`{task.name}`",
        task.description,
        ", ".join(f"`{name}`" for name in task.outputs),
        judged.removeprefix("Return "),
        f"{task.data_suffix}: {held}; built in: `{task.data[0]}`",
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", rooms.names("tasks"))
def test_every_task_has_its_row(name: str) -> None:
    expected = row(rooms.module("tasks", name).SIDE.task)
    assert expected in PAGE.read_text("utf-8").splitlines(), f"write into {PAGE}:\n{expected}"
