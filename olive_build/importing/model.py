"""`input_model` of a configuration -> the recipe's `model`: its source, task and licence."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.families.registry import FAMILIES, Family, family_of_task
from olive_build.importing.asked import Asked
from olive_build.importing.ledger import Found, Ledger, Part
from olive_build.recipe.draft import Draft, Where, shown
from olive_build.recipe.model import COMMIT_PATTERN, REPO_PATTERN
from olive_build.recipe.suggest import did_you_mean, listed

# What Olive takes where a model from Hugging Face has no task.
OLIVE_TASK = "text-generation-with-past"
WITH_CACHE = "-with-past"
NO_LICENCE = "NOASSERTION"
ONNX = "a recipe begins with the PyTorch model, not with an ONNX file"
OTHER_TYPES: Mapping[str, str] = {
    "onnxmodel": ONNX,
    "distributedonnxmodel": ONNX,
    "compositemodel": "a recipe makes the parts of a model by itself, from the PyTorch model",
    "pytorchmodel": "it is loaded by code, and nothing runs because a file names it",
    "diffusersmodel": "there is no family of diffusion models",
    "openvinomodel": "it is converted for another runtime already",
    "qnnmodel": "it is converted for another runtime already",
}
_FOUND = "names, types and axes of inputs and outputs are found from the model"
_CODE = "nothing runs because a file names it"
_NOT_SAID: Mapping[str, str] = {
    "io_config": _FOUND,
    "dummy_inputs_func": _FOUND,
    "model_script": _CODE,
    "script_dir": _CODE,
    "model_loader": _CODE,
    "model_attributes": "what is known of a model is read from its config.json",
    "test_model_path": "`--smoke` builds a miniature",
    "test_model_config": "`--smoke` builds a miniature",
    "generative": "the task says it",
    "inference_settings": "settings of a session are the application's",
    "use_ort_extensions": "a bundle's README says which packages its files need",
}
_LOADING: Mapping[str, str] = {
    "trust_remote_code": "code in a model's repository is never run",
    "torch_dtype": "models are loaded in fp32, and variants made of that",
    "attn_implementation": "the export chooses how attention is computed",
    "device_map": "models are loaded on the CPU",
    "max_memory": "models are loaded on the CPU",
    "quantization_method": "a recipe begins with the weights as they were trained",
    "quantization_config": "a recipe begins with the weights as they were trained",
}


def say_model(ledger: Ledger, draft: Draft, asked: Asked, configured: Path) -> Family:
    """Write the recipe's `model`; return the family that builds such models.

    `configured` is the configuration's file, beside which a folder may lie. Raises UsageError where
    the model is none that a recipe can begin with, or no family serves its task, and PlanError
    where a repository's commit is not written and the hub doesn't say it.
    """
    part = Part(ledger, Part(ledger, _root(ledger)).find("input_model") or _none(), "config")
    kind = part.text("type") or ""
    older = part.part("hf_config")  # Olive before 0.7 wrote a model of Hugging Face so
    is_hub = kind.lower() in ("hfmodel", "huggingfacemodel") or older.find("model_name") is not None
    part.use("type")
    if not is_hub:
        part.leave("type", OTHER_TYPES.get(kind.lower(), "a recipe begins with a PyTorch model"))
    task = _say_task(draft, asked, part, older, is_hub=is_hub)
    licence = asked.licence or NO_LICENCE
    unsaid = "" if asked.licence else "the configuration has none: write the model's, as SPDX names"
    draft.say(("model", "licence"), licence, remark=unsaid)
    _say_source(draft, asked, part, older, configured, kind if not is_hub else "")
    _say_adapter(draft, asked, part, configured)
    for key, why in _NOT_SAID.items():
        part.leave(key, why)
    return task


def _say_adapter(draft: Draft, asked: Asked, part: Part, configured: Path) -> None:
    """Write the adapter that Olive merges, where it is a folder that is there."""
    name, found = part.text("adapter_path"), part.find("adapter_path")
    if name is None or found is None:
        return
    folder = _folder(name, configured.parent)
    if folder is None:
        part.leave(
            "adapter_path", "there is no such folder; of the hub, model.adapter.hub takes it"
        )
        return
    text = Path(os.path.relpath(folder, asked.recipe.parent)).as_posix()
    draft.say(("model", "adapter", "path", "folder"), text, found.where)
    part.use("adapter_path")


def _folder(name: str, beside: Path) -> Path | None:
    """Return the folder of that name, from here or from beside the configuration."""
    return next((at for at in (Path(name), beside / name) if os.path.isdir(at)), None)


def _root(ledger: Ledger) -> Found:
    return Found((), ledger.configuration)


def _none() -> Found:
    return Found(("input_model",), {})


def _say_task(draft: Draft, asked: Asked, part: Part, older: Part, *, is_hub: bool) -> Family:
    written = part.find("task") or older.find("task")
    text = part.text("task") or older.text("task") or (OLIVE_TASK if is_hub else None)
    if asked.task:
        text = asked.task
    if text is None:
        raise UsageError(
            "the configuration does not say what the model is for",
            where="input_model",
            why="only a model of Hugging Face has a task there",
            hint=f"give --task, one of {listed(_tasks())}",
        )
    task = text.removesuffix(WITH_CACHE)
    family = family_of_task(task)
    if family is None:
        raise UsageError(
            f"no family builds models for the task '{task}'",
            where=shown(written.where) if written and not asked.task else "--task",
            hint=did_you_mean(task, _tasks(), f"--task can be {listed(_tasks())}"),
        )
    part.use("task")
    older.use("task")
    origin: tuple[Where, ...] = (written.where,) if written and not asked.task else ()
    remark = "--task" if asked.task else "" if written else "what Olive takes where there is none"
    draft.say(("model", "task"), task, *origin, remark=remark)
    return family


def _tasks() -> tuple[str, ...]:
    return tuple(sorted({task for family in FAMILIES.values() for task in family.tasks}))


def _say_source(
    draft: Draft, asked: Asked, part: Part, older: Part, configured: Path, kind: str
) -> None:
    """Write where the model is: what --model says, else the configuration."""
    loading = part.part("load_kwargs", "extra_args")
    for key, why in _LOADING.items():
        loading.leave(key, why)
    named = part.find("model_path") or older.find("model_name")
    if asked.model:
        if named:
            part.ledger.leave(named.where, f"--model says {asked.model}")
        loading.leave("revision", f"--model says {asked.model}")
        name, _, revision = asked.model.partition("@")
        _say_named(draft, asked, name, Found((), revision), (), Path())
        return
    if kind or named is None or not isinstance(named.value, str):
        raise UsageError(
            "the configuration's model is none that a recipe can begin with",
            where=shown(named.where if named else (*part.where, "model_path")),
            why=OTHER_TYPES.get(kind.lower(), "it has no name or path of a PyTorch model"),
            hint="name the model that it was made of: --model FOLDER, or --model owner/name@COMMIT",
        )
    part.ledger.use(named.where)
    loading.use("revision")
    commit = loading.find("revision") or Found((), "")
    _say_named(draft, asked, named.value, commit, named.where, configured.parent)


def _say_named(
    draft: Draft, asked: Asked, name: str, revision: Found, origin: Where, beside: Path
) -> None:
    """Write the source of a folder, or of a repository of the hub at a commit."""
    places = (origin,) if origin else ()
    remark = "" if origin else "--model"
    folder = _folder(name, beside)
    if folder is not None:
        text = os.path.relpath(folder, asked.recipe.parent)
        draft.say(("model", "source"), "path")
        at = ("model", "sources", "path", "folder")
        draft.say(at, Path(text).as_posix(), *places, remark=remark)
        return
    if not re.fullmatch(REPO_PATTERN, name):
        raise UsageError(
            f"'{name}' is neither a folder that is there nor a repository of the hub",
            where=shown(origin) or "--model",
            why="a repository is owner/name",
            hint="name it in full: --model FOLDER, or --model owner/name@COMMIT",
        )
    commit, written = str(revision.value), (revision.where,) if revision.where else ()
    if not re.fullmatch(COMMIT_PATTERN, commit):
        # Only here: the hub's client takes half a second to import.
        from olive_build.plan.sources import current_commit

        commit = current_commit(name, commit or None)
        remark = "the commit that the hub names today"
    draft.say(("model", "source"), "hub")
    draft.say(("model", "sources", "hub", "repo"), name, *places)
    draft.say(("model", "sources", "hub", "revision"), commit, *written, remark=remark)
