"""Which package trains on each platform: the one release that bundles are made and proved with."""

from __future__ import annotations

import pytest

from olive_build.targets import load_target, target_names

RELEASE = "1.19.2"
PACKAGES = {
    "android": ("maven", "com.microsoft.onnxruntime:onnxruntime-training-android"),
    "desktop": ("pypi", "onnxruntime-training-cpu"),
    "ios": ("cocoapods", "onnxruntime-training-objc"),
    "web": ("npm", "onnxruntime-web"),
    "windows": ("nuget", "Microsoft.ML.OnnxRuntime.Training"),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_target_names_its_training_package(name: str) -> None:
    (package,) = load_target(name).training_packages
    assert (package.ecosystem, package.name) == PACKAGES[name]
    assert (package.lowest, package.onnxruntime) == (RELEASE, RELEASE)
    # It was measured, or the data say that it was not.
    assert package.source.startswith(("measured: ", "assumed: "))
    assert not package.providers  # training runs on the CPU


def test_an_npu_does_not_train() -> None:
    assert set(target_names()) - set(PACKAGES) == {"npu"}
    assert load_target("npu").training_packages == ()
