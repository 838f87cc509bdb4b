"""What a build must survive and must not do: interruption, other places, the network."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tiny_recipe import Project, built


def test_the_same_recipe_gives_the_same_bytes_in_another_place(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    manifests = []
    for name in ("one", "two"):
        work = new_project(name, cache=tmp_path / f"cache-{name}")
        work.write_recipe()
        built(work, "--target", "desktop")
        manifests.append((work.bundle("desktop") / "manifest.json").read_bytes())
        assert str(tmp_path).encode() not in manifests[-1]
        model = (work.bundle("desktop") / "int8" / "model.onnx").read_bytes()
        assert str(tmp_path).encode() not in model
    assert manifests[0] == manifests[1]


def test_force_runs_everything_again_and_says_nothing_of_other_bytes(project: Project) -> None:
    built(project, "--target", "web")
    result = project.run("build", "tiny", "--target", "web", "--force")
    assert "0 cached" in result.out
    assert "not reproducible" not in result.out


def test_ctrl_c_stops_within_a_second_and_the_next_build_goes_on(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    work = new_project(cache=tmp_path / "cache")
    work.write_recipe()
    process = subprocess.Popen(
        work.command("build", "tiny"),
        cwd=work.folder,
        env=work.all_variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    while "tiny/" not in (first := process.stdout.readline()):  # the first step has ended
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - asked < 2
    assert process.returncode == 130
    assert "the next build goes on from there" in err
    assert not (work.folder / "outputs" / "tiny").exists()
    done = next(word for word in first.split() if word.startswith("tiny/"))
    result = work.run("build", "tiny", "--json")
    assert result.code == 0
    status = {step["slot"]: step["status"] for step in result.json["steps"]}
    assert status[done] == "cached"


def test_no_host_is_looked_up_and_no_file_of_telemetry_is_written(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    spy = tmp_path / "spy"
    spy.mkdir()
    log = tmp_path / "hosts.txt"
    (spy / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.getaddrinfo', 'socket.gethostbyname', 'socket.connect'):\n"
        f"        open({str(log)!r}, 'a').write(f'{{event}} {{args}}\\n')\n"
        "sys.addaudithook(hook)\n",
        encoding="utf-8",
    )
    home = tmp_path / "home"
    home.mkdir()
    work = new_project(cache=tmp_path / "cache")
    work.write_recipe()
    paths = f"{spy}:{work.all_variables()['PYTHONPATH']}"
    work.environment = {"PYTHONPATH": paths, "HOME": str(home), "XDG_CACHE_HOME": ""}
    built(work, "--target", "desktop")
    assert not log.exists(), log.read_text()
    written = [p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()]
    assert not [p for p in written if "microsoft" in p.lower() or "deviceid" in p.lower()], written


# -- verify and diff
