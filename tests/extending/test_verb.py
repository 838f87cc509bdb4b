"""A verb of a folder that a program joins is one like ours: in the help, and with exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TOY = Path(__file__).resolve().parent / "toy"
PROGRAM = """
import sys
from pathlib import Path
from olive_build.cli import main
main(sys.argv[2:], extensions=(Path(sys.argv[1]),))
"""


def called(*words: str, folder: Path = TOY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_it_is_in_the_help_and_runs() -> None:
    assert "  greet     Greet NAME, who must have one." in called("--help").stdout
    assert called("greet", "Ada").stdout == "hello, Ada\n"


def test_its_errors_are_messages_with_the_exit_code_of_their_kind() -> None:
    done = called("greet", "", "--json")
    assert (done.returncode, done.stderr) == (3, "error: nobody is there to be greeted\n")
    assert json.loads(done.stdout)["error"]["what"] == "nobody is there to be greeted"


def test_neither_its_name_nor_a_file_of_it_exists_without_the_program_that_joins_it(
    tmp_path: Path,
) -> None:
    assert "greet" not in called("--help", folder=tmp_path).stdout
    assert called("greet", "Ada", folder=tmp_path).returncode == 2
