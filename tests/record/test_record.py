"""Manifests and proofs that builds wrote become types and the same bytes again; older ones too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from olive_build.bundle.assemble import _search
from olive_build.errors import BundleError
from olive_build.record import schema
from olive_build.record.codec import decode
from olive_build.record.proof import Search
from olive_build.record.read import (
    MANIFEST,
    MOST_BYTES,
    PROOF,
    SEAL,
    file_of,
    read_manifest,
    read_proof,
    read_record,
    seal_holds,
    seal_of,
    to_bytes,
)
from olive_build.untrusted import parse_json

KEPT = sorted((Path(__file__).parent / "kept").iterdir())
# A processor for text generation, one for pictures, what trains, and what learns voices.
NAMES = [path.name for path in KEPT]


def kept(name: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "kept" / name / file).read_bytes())
    return found


def written(folder: Path, manifest: Any, proof: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / PROOF).write_text(json.dumps(proof))
    return folder


@pytest.mark.parametrize("path", KEPT, ids=NAMES)
def test_what_a_build_wrote_becomes_the_same_bytes(path: Path) -> None:
    found = read_record(path)
    assert to_bytes(found.manifest) == (path / MANIFEST).read_bytes()
    assert to_bytes(found.proof) == (path / PROOF).read_bytes()
    assert set(found.manifest.variants) == set(found.proof.variants)
    assert all(item.problems == [] for item in found.proof.variants.values())


@pytest.mark.parametrize("path", KEPT, ids=NAMES)
@pytest.mark.parametrize("file", [MANIFEST, PROOF])
def test_the_published_schema_is_what_a_build_writes(path: Path, file: str) -> None:
    name = file.replace(".json", ".schema.json")
    shape = json.loads((schema.FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(shape)
    validator = jsonschema.Draft202012Validator(shape)
    data = kept(path.name, file)
    validator.validate(data)
    assert not validator.is_valid({**data, "unknown": 1})
    assert not validator.is_valid({**data, "variants": {"../x": {}}})


def test_the_committed_schemas_are_made_from_the_types() -> None:
    for name, text in schema.schemas().items():
        assert (schema.FOLDER / name).read_text(encoding="utf-8") == text


def test_training_is_a_part_of_the_same_record() -> None:
    found = read_record(KEPT[NAMES.index("digits-cnn-desktop")])
    training = found.manifest.training
    assert training is not None and training.form == "onnx"
    assert training.loss_output == training.outputs[-1] and training.has_classes
    assert training.graphs["eval_model"] == "training/eval_model.onnx"
    assert sum(math.prod(shape) for shape in training.shapes.values()) == training.trainable_values
    (proved,) = found.proof.variants.values()
    assert proved.training is not None and proved.training.losses_difference < 1e-5
    assert read_manifest(KEPT[NAMES.index("neo-tiny-web")]).training is None


def first_version(proof: dict[str, Any]) -> dict[str, Any]:
    """Return a proof as the first version was: without intervals, loads, memory and searches."""
    proof["proof_version"] = 1
    for variant in proof["variants"].values():
        for name in ("load", "memory", "without_vnni", "partition", "search"):
            del variant[name]
        for gate in variant["gates"]:
            del gate["size"], gate["interval"]
        for row in variant["latency"] or ():
            del row["unit"], row["rounds"], row["noise"], row["noisy"]
            for spread in (*row["milliseconds"].values(), *row["ratio_to"].values()):
                del spread["median_from"], spread["median_to"]
    return proof


def test_the_first_version_of_a_proof_is_read(tmp_path: Path) -> None:
    name = "characters-desktop"
    proof = first_version(kept(name, PROOF))
    found = read_proof(written(tmp_path, kept(name, MANIFEST), proof))
    assert found.proof_version == 2
    rows = [row for item in found.variants.values() for row in item.latency or ()]
    assert rows and all(row.ratio_to["pytorch"].interval[0] > 0 for row in rows)
    assert all(gate.interval is None for item in found.variants.values() for gate in item.gates)


@pytest.mark.parametrize("version", [None, 0, 99, True, "1", [1]])
def test_another_version_is_named(tmp_path: Path, version: object) -> None:
    name = "neo-tiny-web"
    manifest, proof = kept(name, MANIFEST), kept(name, PROOF)
    folder = written(tmp_path, {**manifest, "manifest_version": version}, proof)
    with pytest.raises(BundleError, match="the manifest's version is"):
        read_manifest(folder)
    written(tmp_path, manifest, {**proof, "proof_version": version})
    with pytest.raises(BundleError, match="the proof's version is"):
        read_record(folder)


PLACES: list[tuple[str, Callable[[dict[str, Any], dict[str, Any]], object], str]] = [
    (MANIFEST, lambda m, _: m.pop("recipe"), "the whole: `recipe` is missing"),
    (MANIFEST, lambda m, _: m.update(files=5), "files: it is a whole number, not a list"),
    (MANIFEST, lambda m, _: m.update(variants=[]), "variants: it is a list, not an object"),
    (MANIFEST, lambda m, _: m.update(smoke="no"), "smoke: it is a text, not a boolean"),
    (MANIFEST, lambda m, _: m.update(added=1), "the whole: `added` is not known"),
    (
        MANIFEST,
        lambda m, _: m["files"][1].update(sha256="AB"),
        "files[1].sha256: it is not allowed: a sha256 has 64 digits from 0 to f",
    ),
    (
        MANIFEST,
        lambda m, _: m["files"][0].update(size_bytes=-1),
        "files[0].size_bytes: -1 is less than 0",
    ),
    (
        MANIFEST,
        lambda m, _: m["variants"]["q8"]["inputs"][0].update(axes=[1.5]),
        "variants.q8.inputs[0].axes[0]: it is a number, not a text",
    ),
    (
        PROOF,
        lambda _, p: p["variants"]["q8"].update(verdict="fine"),
        "variants.q8.verdict: fine is none of 'passed', 'failed', 'undecided'",
    ),
    (
        PROOF,
        lambda _, p: p["variants"]["q8"]["gates"][0].update(limit=True),
        "variants.q8.gates[0].limit: it is a boolean, not a number",
    ),
    (
        PROOF,
        lambda _, p: p["variants"]["q8"]["quality"]["onnx"].update(perplexity="1"),
        "variants.q8.quality.onnx.perplexity: it is a text, not a number",
    ),
    (
        PROOF,
        lambda _, p: p["variants"]["q8"].update(fp32_bytes=0),
        "variants.q8.fp32_bytes: 0 is less than 1",
    ),
]


@pytest.mark.parametrize(("file", "change", "told"), PLACES, ids=[told for *_, told in PLACES])
def test_what_is_damaged_is_named_by_its_place(
    tmp_path: Path,
    file: str,
    change: Callable[[dict[str, Any], dict[str, Any]], object],
    told: str,
) -> None:
    manifest, proof = (deepcopy(kept("neo-tiny-web", name)) for name in (MANIFEST, PROOF))
    change(manifest, proof)
    with pytest.raises(BundleError, match=f"{file} is damaged") as caught:
        read_record(written(tmp_path, manifest, proof))
    assert caught.value.why == told


NO_NAMES = [
    *("", ".", "..", "../x", "/tmp/x", "a/b", "a\\b", ".x", "A", "a\n", "x" * 101, "a\x1b[31m"),
    *(5, None, ["a"]),
]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("key", ["recipe", "target", "provider"])
def test_a_name_that_could_be_more_than_a_name_is_refused(
    tmp_path: Path, key: str, name: object
) -> None:
    manifest, proof = (kept("neo-tiny-web", file) for file in (MANIFEST, PROOF))
    with pytest.raises(BundleError) as caught:
        read_record(written(tmp_path, {**manifest, key: name}, proof))
    assert str(caught.value.why).startswith(f"{key}: ")
    if isinstance(name, str):
        assert "small letters, digits and . _ - alone" in str(caught.value.why)


NO_PATHS = [
    "",
    "a\x1b[2J",
    "a\nb",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a//b",
    "./a",
    "a/.",
    "C:\\x",
    "a\0b",
]


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_stays_in_the_bundle(tmp_path: Path, path: str) -> None:
    manifest, proof = (kept("neo-tiny-web", file) for file in (MANIFEST, PROOF))
    for change in (manifest["files"][0], manifest["variants"]["q8"]["files"]):
        before = dict(change)
        change["path" if "path" in change else "model"] = path
        with pytest.raises(BundleError, match=r"is damaged") as caught:
            read_record(written(tmp_path, manifest, proof))
        assert "a file's path begins at the bundle's folder" in str(caught.value.why)
        change.clear()
        change.update(before)
    with pytest.raises(BundleError, match="names what is no file of the bundle"):
        file_of(tmp_path, path)  # which is not there, or leaves the folder


HARMFUL = {
    "deep": b'{"files":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 10,000 digits": b'{"manifest_version":' + b"9" * 10_000 + b"}",
    "1e400": b'{"manifest_version":1e400}',
    "NaN": b'{"manifest_version":NaN}',
    "half a character": b'{"recipe":"\\ud800"}',
    "no text": b"\xff\xfe",
    "empty": b"",
    "a list": b"[1]",
}


@pytest.mark.parametrize("kind", HARMFUL)
@pytest.mark.parametrize("file", [MANIFEST, PROOF])
def test_json_that_would_harm_is_one_error(tmp_path: Path, file: str, kind: str) -> None:
    folder = written(tmp_path, *(kept("neo-tiny-web", name) for name in (MANIFEST, PROOF)))
    (folder / file).write_bytes(HARMFUL[kind])
    with pytest.raises(BundleError, match=f"{file} (cannot be read|is damaged)"):
        read_record(folder)


def test_a_record_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = written(tmp_path, *(kept("neo-tiny-web", name) for name in (MANIFEST, PROOF)))
    with (folder / MANIFEST).open("ab") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read") as caught:
        read_record(folder)
    assert f"at most {MOST_BYTES}" in str(caught.value.why)


def test_the_seal_is_that_of_sha256sum(tmp_path: Path) -> None:
    folder = written(tmp_path, *(kept("neo-tiny-web", name) for name in (MANIFEST, PROOF)))
    digest = read_record(folder).proof_sha256
    assert seal_holds(folder, digest) is None
    (folder / SEAL).write_bytes(seal_of((folder / PROOF).read_bytes()))
    assert (folder / SEAL).read_text() == f"{digest}  proof.json\n"
    assert seal_holds(folder, digest) is True
    (folder / PROOF).write_text("{}")
    assert seal_holds(folder, "0" * 64) is False


def test_what_a_search_tried_is_kept_without_what_is_no_number() -> None:
    """A candidate that lost all has an infinite figure, which no JSON holds."""
    one = {"name": "q4", "size_ratio": 0.2, "latency_ratio": None, "holds": False, "chosen": False}
    told = {
        "method": {"$type": "StoredInt8", "method": "stored-int8"},
        "holds": True,
        "summary": "chose q8",
        "candidates": [{**one, "figures": {"perplexity": math.inf, "token_agreement": 0.5}}],
    }
    found = _search(json.dumps(told))
    assert found is not None and found.holds and found.method == told["method"]
    assert found.candidates[0].figures == {"token_agreement": 0.5}
    assert decode(Search, parse_json(to_bytes(found))) == found
    assert _search(None) is None


def test_a_failed_gate_never_reads_as_one_that_holds() -> None:
    from olive_build.record.proof import Gate

    text = Gate("cosine_p1", 0.99999985, 0.9999999, "at least", "failed").text()
    assert text == "cosine_p1 0.99999985, at least 0.9999999: failed"
    assert (
        Gate("a", 0.97123, 0.98, "at least", "failed").text() == "a 0.97123, at least 0.98: failed"
    )
