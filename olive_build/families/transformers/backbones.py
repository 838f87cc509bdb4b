"""What stands in for a backbone of the timm package, where that is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from transformers import ResNetConfig

TIMM = ("timm_backbone", "timm_wrapper")
NOTE = "the timm package is not installed: a ResNet stands in for the backbone of the model"


def lacks_timm(fields: dict[str, Any]) -> bool:
    """Whether a configuration, or one within it, has a backbone of timm, and timm is not here."""
    if find_spec("timm") is not None:
        return False
    inner = (value for value in fields.values() if isinstance(value, dict))
    return _is_of_timm(fields) or any(lacks_timm(value) for value in inner)


def with_resnet(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with a ResNet in place of the backbone of timm, of as many outputs."""
    if not (_is_of_timm(fields) and lacks_timm(fields)):
        return fields
    named = fields.get("backbone_config") or {}
    taken = 3 if len(named.get("out_indices") or ()) > 1 else 1
    stages = [f"stage{number}" for number in range(5 - taken, 5)]
    resnet = ResNetConfig(out_features=stages, layer_type="basic").to_dict()
    changed = {**fields, "backbone_config": resnet}
    if "use_timm_backbone" in fields:
        changed |= {"use_timm_backbone": False, "backbone": None, "use_pretrained_backbone": False}
    return changed


def _is_of_timm(fields: dict[str, Any]) -> bool:
    named = fields.get("backbone_config")
    is_named = isinstance(named, dict) and named.get("model_type") in TIMM
    return is_named or bool(fields.get("use_timm_backbone"))
