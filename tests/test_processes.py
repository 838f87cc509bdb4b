"""Processes that we start: none sees a token, none outlives us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olive_build.processes import environment
from olive_build.proof.contestant import Contestant, Process

ROOT = Path(__file__).parents[1]
SECRETS = (
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_API_KEY"),
    *(
        "AWS_ACCESS_KEY_ID",
        "PGPASSWORD",
        "DB_PASSWORD",
        "SSH_AUTH_SOCK",
        "OPENAI_APIKEY",
        "API_KEYS",
    ),
    *(
        "npm_config__auth",
        "CLIENT_SECRETS",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_DEVOPS_EXT_PAT",
    ),
)
NEEDED = (
    *("PATH", "HOME", "PWD", "LANG", "TOKENIZERS_PARALLELISM", "OLIVE_BUILD_CACHE", "TMPDIR"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HTTPS_PROXY"),
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hf_verysecret")
    for name in NEEDED:
        if name not in os.environ:
            monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:hf_verysecret@example.org/simple")


@pytest.mark.usefixtures("told")
def test_secrets_stay_and_what_is_needed_goes() -> None:
    found = environment()
    assert "hf_verysecret" not in json.dumps(found)
    assert set(NEEDED) <= set(found)


@pytest.mark.usefixtures("told")
def test_a_candidate_that_is_timed_sees_none() -> None:
    code = (
        "import json, os, sys\nfor _ in sys.stdin: print(json.dumps(dict(os.environ)), flush=True)"
    )
    process = Process(Contestant("a", "own", ""), [sys.executable, "-c", code])
    try:
        assert "hf_verysecret" not in json.dumps(process.ask({}))
    finally:
        process.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


MEASURES = """
SAMPLE = "olive_build.families.sentence_embedding.sample"
import time
from olive_build.proof.contestant import Contestant, Process
process = Process(Contestant("a", "onnxruntime", "none.onnx", SAMPLE))
print(process._process.pid, flush=True)
process.ask({"do": "time", "seconds": 60})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_timed_dies_with_who_asked_for_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MEASURES], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout
        child = int(asker.stdout.readline())
        time.sleep(0.3)
        assert alive(child)
        os.kill(child, signal.SIGINT)  # as Ctrl-C does to all of a terminal's processes
        time.sleep(0.2)
        assert alive(child)
        asker.kill()
    end = time.monotonic() + 1
    while alive(child) and time.monotonic() < end:
        time.sleep(0.01)
    assert not alive(child)
