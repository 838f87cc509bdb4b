"""The settings of Olive's own run, which say how it works, not what it makes."""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.importing.ledger import Ledger, Part

_CACHE = "olive_build has a cache of its own: OLIVE_BUILD_CACHE, `olive-build cache`"
_LOGS = "it is about Olive's messages"
_SEARCH = "alternatives are variants here, and `quantize: auto` searches by the budgets"
_SETTINGS: Mapping[str, str] = {
    "workflow_id": "a recipe is named after its file",
    "output_dir": "bundles are published in outputs/<recipe>/<target>; --outputs names another",
    "output_name": "bundles are published in outputs/<recipe>/<target>",
    "packaging_config": "a bundle is a folder with its manifest, proof and README",
    "no_artifacts": "a build that passes its gates is published",
    "cache_config": _CACHE,
    "cache_dir": _CACHE,
    "clean_cache": _CACHE,
    "clean_evaluation_cache": _CACHE,
    "clean_run_cache": _CACHE,
    "enable_shared_cache": _CACHE,
    "log_severity_level": _LOGS,
    "ort_log_severity_level": _LOGS,
    "ort_py_log_severity_level": _LOGS,
    "log_to_file": _LOGS,
    "search_strategy": _SEARCH,
    "plot_pareto_frontier": "`olive-build report` draws size, quality and speed",
    "evaluate_input_model": "PyTorch's answers and times are always measured",
    "auto_optimizer_config": "leave out what a target has a default for: see docs/recipes.md",
    "azureml_client": "builds run on this machine",
    "workflow_host": "builds run on this machine",
    "data_root": "verify.data and verify.calibration take files",
    "data_configs": "verify.data and verify.calibration take files, or the family's own samples",
}


def say_engine(ledger: Ledger, root: Part) -> None:
    """List what is about Olive's run; nothing of it is in a recipe."""
    for key, why in _SETTINGS.items():
        root.leave(key, why)
