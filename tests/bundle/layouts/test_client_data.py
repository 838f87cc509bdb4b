"""The data about the client agrees with what is installed and with the names that bundles have."""

from __future__ import annotations

import json
from pathlib import Path

from olive_build.bundle.layout import CLIENT_SUFFIXES
from olive_build.targets import load_provider
from olive_build.targets.client import load_client
from olive_build.targets.requirement import TABLE, load_runtimes

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "olive_build" / "clients" / "node" / "package-lock.json"


def locked() -> dict[str, str]:
    packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    return {name: item["version"] for name, item in packages.items() if "version" in item}


def test_the_data_is_about_the_client_that_is_locked() -> None:
    client, versions = load_client(), locked()
    assert client.version == versions[f"node_modules/{client.package}"]
    for runtime in client.runtimes.values():
        assert runtime.version == versions[f"node_modules/{runtime.package}"]


def test_bundles_use_the_names_that_the_check_expects() -> None:
    client = load_client()
    for dtype, suffix in CLIENT_SUFFIXES.items():
        assert dtype in client.dtypes
        assert client.suffix(dtype) == suffix


def test_devices_name_providers_and_runtimes_that_there_are() -> None:
    client = load_client()
    for device in client.devices:
        assert load_provider(device.provider).name == device.provider
        assert device.runtime in client.runtimes
        assert device.dtype in client.dtypes


def test_the_ceilings_are_among_those_of_the_table_of_releases() -> None:
    known = {(release.opset, release.ir) for release in load_runtimes(TABLE).releases}
    for runtime in load_client().runtimes.values():
        assert (runtime.opset, runtime.ir) in known
