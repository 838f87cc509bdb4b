"""The page of a web bundle in Chromium, used as people use it."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from neo_bundle import prompts

from olive_build.clients.client_packages import (
    PLAIN_RUNTIME,
    clients_folder,
    find_chromium,
    runtime_files,
)
from olive_build.clients.javascript_client import NodeClient, Request
from olive_build.clients.web_server import serving
from olive_build.report.serving import POLICY

PAGE = "/bundle/demo/"
PROGRAM = Path(__file__).with_name("demo_page.mjs")
TOKENS = 12

pytestmark = pytest.mark.skipif(
    clients_folder() is None or find_chromium() is None,
    reason="transformers.js or Chromium is not installed here; run `make clients`",
)


def used(bundle: Path, scenario: str, *, runtime: bool = True, **asked: Any) -> dict[str, Any]:
    """Return what is seen on the page of a bundle, and require that it asked no other host."""
    mounts = {"/bundle/": bundle}
    if runtime:
        files = runtime_files(PLAIN_RUNTIME)
        mounts |= {f"{PAGE}runtime/{name}": path for name, path in files.items()}
    with serving(mounts) as server:
        server.policy = POLICY
        done = subprocess.run(
            ["node", PROGRAM, str(clients_folder()), str(find_chromium()), server.url + PAGE],
            input=json.dumps({"scenario": scenario, "tokens": TOKENS, **asked}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        local = (server.url, "data:", f"blob:{server.url}")
        assert [address for address in found["requests"] if not address.startswith(local)] == []
        assert found["errors"] == []
    return found


def models(found: dict[str, Any]) -> list[str]:
    """Return the names of the model files that were asked for, each once, in order."""
    names = [url.rpartition("/")[2] for url in found["requests"] if url.endswith(".onnx")]
    return list(dict.fromkeys(names))


@pytest.fixture(scope="session")
def prompt(neo_bundle: Path) -> str:
    return prompts(neo_bundle)[0]


def test_it_says_what_the_model_is_and_offers_its_variants(neo_bundle: Path) -> None:
    found = used(neo_bundle, "open")
    opened = found["opened"]
    manifest = json.loads((neo_bundle / "manifest.json").read_text(encoding="utf-8"))
    assert (opened["name"], opened["description"]) == (manifest["recipe"], manifest["description"])
    assert opened["title"].startswith(manifest["recipe"])
    assert [text.split()[0] for text in opened["variants"]] == list(manifest["variants"])
    assert opened["variant"] == "q8"  # the client's own choice on WebAssembly
    assert models(found) == []  # megabytes are loaded when somebody asks for a text


def test_it_writes_what_the_client_writes_token_by_token(neo_bundle: Path, prompt: str) -> None:
    found = used(neo_bundle, "write", prompt=prompt, variant="fp32")
    options = {"max_new_tokens": TOKENS, "repetition_penalty": 1.3}
    answer = NodeClient().ask(neo_bundle, [Request((prompt,), options)], dtype="fp32")
    first, second = found["first"], found["second"]
    assert first["given"] == prompt
    assert first["written"] == second["written"] == answer.results[0].texts[0]
    shown = list(dict.fromkeys(found["shown"]))
    assert len(shown) > 3
    assert all(later.startswith(text) for text, later in itertools.pairwise(shown))
    count = len(answer.results[0].tokens[0])
    assert first["count"] == str(count)
    assert first["status"] == f"Done: {count} tokens, {first['speed']} tokens per second"
    assert min(float(first[name]) for name in ("speed", "first", "loaded", "size")) > 0
    assert first["by"] == " of fp32"
    assert first["focus"] == "prompt"  # where it was
    assert first["alert"] is None
    assert models(found) == ["model.onnx"]


@pytest.fixture
def copied(neo_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may change or damage."""
    return shutil.copytree(neo_bundle, tmp_path / "bundle")


def test_escape_stops_it_and_it_can_go_on(copied: Path, prompt: str) -> None:
    for name in ("config.json", "generation_config.json"):
        path = copied / name
        # No token has the number -1: nothing ends before it is stopped.
        endless = json.loads(path.read_text(encoding="utf-8")) | {"eos_token_id": -1}
        path.write_text(json.dumps(endless), encoding="utf-8")
    found = used(copied, "stop", prompt=prompt, tokens=230)
    during, stopped, after = found["during"], found["stopped"], found["after"]
    assert ("stop" in during["buttons"], "generate" in during["buttons"]) == (True, False)
    assert during["focus"] == "stop"
    assert stopped["status"].startswith("Stopped: ")
    assert 3 < int(stopped["count"]) < 230
    assert stopped["focus"] == "generate"
    assert after["status"].startswith("Done: 5 tokens")
    loads = [url for url in found["requests"] if url.endswith(".wasm")]
    assert len(loads) <= 2  # one to look whether it is there; it was not loaded anew


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_loading_can_be_stopped(neo_bundle: Path, prompt: str, method: str) -> None:
    """While it looks whether the files are there, and while it loads them."""
    found = used(neo_bundle, "abandon", prompt=prompt, method=method)
    stopped = found["stopped"]
    assert (stopped["status"], stopped["workers"], stopped["alert"]) == ("Stopped", 0, None)
    assert "generate" in stopped["buttons"]
    assert found["after"]["status"].startswith("Done")


def test_before_the_bundle_is_known_nothing_is_written(neo_bundle: Path, prompt: str) -> None:
    found = used(neo_bundle, "early", prompt=prompt)
    early = found["early"]
    assert early["disabled"]
    assert (early["status"], early["alert"], early["buttons"]) == ("", None, ["generate"])
    assert found["after"]["status"].startswith("Done")


def test_a_number_that_is_needed_must_be_there(neo_bundle: Path, prompt: str) -> None:
    found = used(neo_bundle, "numbers", prompt=prompt)
    for name, seen in found["empty"].items():
        assert (seen["focus"], seen["status"], seen["buttons"]) == (name, "", ["generate"])
    assert found["during"]["focus"] == "stop"
    without = found["without"]  # an empty temperature, where none is needed
    assert (without["focus"], without["status"][:5]) == ("penalty", "Done:")
    assert found["varied"]["status"].startswith("Done")


def test_a_worker_that_dies_or_hangs_is_replaced(copied: Path, prompt: str) -> None:
    path = copied / "demo" / "worker.js"
    begin = "async function generate(prompt, options, stopped) {\n"
    damage = """\
  if (prompt === 'die') setTimeout(() => { throw new Error('gone'); });
  if (['die', 'hang'].includes(prompt)) await new Promise(() => {});
"""
    whole = path.read_text(encoding="utf-8")
    assert begin in whole
    path.write_text(whole.replace(begin, begin + damage), encoding="utf-8")
    found = used(copied, "lose", prompt=prompt)
    died, asking, ended = found["died"], found["asking"], found["ended"]
    assert died["alert"].split("\n")[0] == "The model has stopped"
    assert "gone" in died["alert"]
    assert died["buttons"] == ["generate"]
    assert (asking["status"], asking["buttons"]) == ("Writing", ["stop"])
    assert (ended["status"], ended["alert"], ended["buttons"]) == ("Stopped", None, ["generate"])
    assert found["after"]["written"]


def test_another_variant_is_loaded_when_it_is_chosen(neo_bundle: Path, prompt: str) -> None:
    found = used(neo_bundle, "switch", prompt=prompt, other="q4")
    assert models(found) == ["model_quantized.onnx", "model_q4.onnx"]
    assert (found["first"]["by"], found["second"]["by"]) == (" of q8", " of q4")
    assert found["second"]["written"]


def test_a_file_that_is_missing_is_named(copied: Path, prompt: str) -> None:
    (copied / "onnx" / "model_q4.onnx").unlink()
    found = used(copied, "fail", prompt=prompt, variant="q4", other="q8")
    refused = found["refused"]
    assert refused["alert"].split("\n")[0] == "A file is missing"
    assert "onnx/model_q4.onnx" in refused["alert"]
    assert "choose another variant" in refused["alert"]
    assert refused["focus"] == "failure"
    assert "generate" in refused["buttons"]
    assert (found["after"]["alert"], found["after"]["by"]) == (None, " of q8")


def test_a_file_that_is_damaged_is_a_message(copied: Path, prompt: str) -> None:
    (copied / "onnx" / "model_quantized.onnx").write_bytes(b"no model")
    refused = used(copied, "fail", prompt=prompt)["refused"]
    assert refused["alert"].split("\n")[0] == "The model cannot be loaded"
    assert "generate" in refused["buttons"]


def test_without_the_runtime_it_says_who_brings_it(neo_bundle: Path, prompt: str) -> None:
    alert = used(neo_bundle, "fail", runtime=False, prompt=prompt)["refused"]["alert"]
    assert alert.split("\n")[0] == f"{len(PLAIN_RUNTIME)} files are missing"
    assert all(f"demo/runtime/{name}" in alert for name in PLAIN_RUNTIME)
    assert "olive-build serve" in alert
    assert "make clients" in alert


@pytest.mark.parametrize("manifest", [None, "{", '{"files": [], "variants": {}}'])
def test_without_a_manifest_there_is_nothing_to_do(
    copied: Path, prompt: str, manifest: str | None
) -> None:
    path = copied / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_text(manifest, encoding="utf-8")
    found = used(copied, "open", prompt=prompt)
    alert = "The bundle has no manifest that can be read"
    assert found["opened"]["alert"].split("\n")[0] == alert
    assert found["disabled"]
    # Asked by key for a text all the same, it stays as it is.
    pressed = found["pressed"]
    assert (pressed["alert"], pressed["buttons"]) == (found["opened"]["alert"], ["generate"])
    assert found["shut"]


def test_a_text_that_is_too_long_is_refused_with_its_length(neo_bundle: Path, prompt: str) -> None:
    long = " ".join([prompt] * 60)
    found = used(neo_bundle, "fail", prompt=long, other="q4", otherPrompt=prompt)
    assert "the model has room for 256" in found["refused"]["alert"]
    assert found["after"]["written"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_all_of_it_fits_and_can_be_read_reached_and_named(
    neo_bundle: Path, prompt: str, scheme: str, width: int
) -> None:
    context = {"colorScheme": scheme, "viewport": {"width": width, "height": 844}}
    found = used(neo_bundle, "look", prompt=prompt, context=context)
    assert found["overflow"] <= 0
    assert found["contrast"][0] >= 4.5, found["contrast"]  # WCAG 2, level AA
    assert (found["unnamed"], found["small"]) == ([], [])
    order = ["prompt", "generate", "copy", "variant", "tokens", "penalty", "sample", "temperature"]
    assert [name for name in found["order"] if name][: len(order)] == order
