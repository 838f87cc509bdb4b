"""`systems`, `target` and `host` of a configuration -> the recipe's targets and providers."""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.families.registry import Family
from olive_build.importing.ledger import Found, Ledger, Part, as_list
from olive_build.recipe.draft import EMPTY, Draft, Where
from olive_build.recipe.tree import KeyPath
from olive_build.targets import load_provider

ENDING = "executionprovider"
# The target that is built for each execution provider, and its provider there.
TARGETS: Mapping[str, tuple[str, str]] = {
    "cpu": ("desktop", "cpu"),
    "cuda": ("desktop", "cuda"),
    "openvino": ("desktop", "openvino"),
    "dml": ("windows", "directml"),
    "qnn": ("npu", "qnn"),
    "js": ("web", "webgpu"),
    "webgpu": ("web", "webgpu"),
    "wasm": ("web", "wasm"),
    "xnnpack": ("android", "xnnpack"),
    "nnapi": ("android", "nnapi"),
    "coreml": ("ios", "coreml"),
}
# What Olive takes where a device has no execution provider.
DEVICES: Mapping[str, str] = {"cpu": "cpu", "gpu": "cuda", "npu": "qnn"}
NO_TARGET = "no target has this execution provider"
HOST = "builds run on this machine"
_NOT_SAID: Mapping[str, str] = {
    "type": "what a bundle is for is a target; where it is built is this machine",
    "memory": "files are judged by their size: verify.every_variant.size_mb",
    "hf_token": "the hub's own login is used",
    "python_environment_path": HOST,
    "environment_variables": HOST,
    "prepend_to_path": HOST,
}


def say_targets(ledger: Ledger, draft: Draft, engine: Part) -> None:
    """Write the targets that the configuration's target system stands for; else the desktop."""
    root = Part(ledger, Found((), ledger.configuration))
    systems = root.part("systems")
    for name, found in systems.entries():
        ledger.leave(found.where, f"nothing is built for the system '{name}'")
    host, chosen = engine.find("host"), engine.find("target")
    if host:
        ledger.leave(host.where, HOST)
        named = systems.find(host.value) if isinstance(host.value, str) else None
        if named:
            ledger.leave(named.where, HOST)
    if chosen and isinstance(chosen.value, str):
        ledger.use(chosen.where)
        named = systems.find(chosen.value)
        if named is None:
            ledger.leave(chosen.where, f"there is no system '{chosen.value}'")
        chosen = named
    if chosen:
        ledger.left.pop(chosen.where, None)
        _say_system(ledger, draft, Part(ledger, chosen, "config"))
    if not draft.below(("targets",)):
        remark = "Olive's default, the CPU" if not chosen else "nothing that it names is a target"
        draft.say(("targets", "desktop"), EMPTY, remark=remark)


def _say_system(ledger: Ledger, draft: Draft, system: Part) -> None:
    for key, why in _NOT_SAID.items():
        system.leave(key, why)
    if (system.text("type") or "").lower() == "localsystem":
        system.use("type")
    for found in as_list(system.find("accelerators")):
        accelerator = Part(ledger, found)
        accelerator.leave("memory", _NOT_SAID["memory"])
        device = accelerator.text("device") or ""
        providers = as_list(accelerator.find("execution_providers"))
        if providers:
            accelerator.use("device")
        elif (accelerator.find("device")) and device.lower() in DEVICES:
            provider = DEVICES[device.lower()]
            _say_target(ledger, draft, provider, (*found.where, "device"))
        else:
            accelerator.leave("device", "no target is for such a device")
        for item in providers:
            _say_provider(ledger, draft, item)


def _say_provider(ledger: Ledger, draft: Draft, item: Found) -> None:
    """Write the target of an execution provider: a name, or a pair of it and a library's path."""
    where, name = item.where, item.value
    if isinstance(name, list) and name:
        ledger.leave(where, "a library of a provider is the application's")
        where, name = (*where, 0), name[0]
    short = str(name).lower().removesuffix(ENDING)
    if short in TARGETS:
        _say_target(ledger, draft, short, where)
    else:
        ledger.leave(where, NO_TARGET)


def _say_target(ledger: Ledger, draft: Draft, short: str, where: Where) -> None:
    target, provider = TARGETS[short]
    path = ("targets", target, "provider")
    if path in draft.settings:
        said = draft.settings[path].value
        if said != provider:
            why = (
                f"a target has one provider, and {target} has {said} already: make a second recipe"
            )
            ledger.leave(where, why)
            return
    draft.say(path, provider, where)
    ledger.use(where)


def say_fixed_shapes(draft: Draft, family: Family) -> None:
    """Write a size for each axis that has none, where the passes or a provider fix sizes."""
    whole: KeyPath = ("export", "shapes")
    fixed = [whole] if draft.below(whole) else []
    for path, setting in draft.below(("targets",)).items():
        needs = path[-1] == "provider" and load_provider(setting.value).needs_fixed_shapes
        if needs and not fixed:
            fixed.append((*path[:2], *whole))
    for place in fixed:
        for axis, size in family.axes:
            if (*place, axis) not in draft.settings:
                draft.say((*place, axis), size, remark="assumed: all axes are fixed, or none")
