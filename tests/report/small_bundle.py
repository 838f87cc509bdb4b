"""Small bundles for reports: a manifest.json and a proof.json with chosen figures."""

from __future__ import annotations

import hashlib
import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data, proof_data


def ratio(median: float, spread: float = 0.02) -> dict[str, float]:
    """Return a ratio of times with its quartiles and interval."""
    low, high = median * (1 - spread), median * (1 + spread)
    return {"median": median, "low": low, "high": high, "median_from": low, "median_to": high}


def latency(to_pytorch: float, tokens: int = 16) -> dict[str, Any]:
    """Return a row of latency.json."""
    return {
        "tokens": tokens,
        "threads": 1,
        "unit": "tokens",
        "rounds": 11,
        "noise": 0.01,
        "noisy": False,
        "milliseconds": {"this file": ratio(10 * to_pytorch), "pytorch": ratio(10.0)},
        "ratio_to": {"pytorch": ratio(to_pytorch), "fp32 graph": ratio(2 * to_pytorch)},
    }


def gate(figure: str, value: float | None, limit: float, status: str, note: str = "") -> Any:
    """Return a gate as proof.json has it."""
    bound = "at most" if "size" in figure else "at least"
    return {
        "figure": figure,
        "size": None,
        "value": value,
        "interval": None,
        "bound": bound,
        "limit": limit,
        "status": status,
        "note": note,
    }


def variant(p1: float, size_bytes: int, rows: list[Any] | None, **more: Any) -> dict[str, Any]:
    """Return a variant of proof.json."""
    figures = {
        "cosine_lowest": round(p1 - 0.01, 7),
        "cosine_p1": p1,
        "cosine_mean": round((1 + p1) / 2, 7),
        "spearman": p1,
    }
    return {
        "verdict": "passed",
        "limits": {"cosine_p1": 0.98, "size_ratio": 0.26},
        "quality": {"onnx": {**figures, "texts": 205}},
        "latency": rows,
        "load": None,
        "memory": None,
        "gates": [
            gate("cosine_p1", p1, 0.98, "passed"),
            gate("size_ratio", size_bytes / 1e8, 0.26, "passed"),
        ],
        "static_check": [],
        "mobile_usability": None,
        "size_bytes": size_bytes,
        "fp32_bytes": 100_000_000,
        **more,
    }


def write_bundle(
    folder: Path, variants: dict[str, dict[str, Any]], *, target: str = "desktop", **more: Any
) -> Path:
    """Write a bundle's two JSON files and a model; `more` replaces fields of the manifest."""
    packages = [{"name": "onnxruntime", "ecosystem": "pypi", "lowest": "1.22.0", "why": "an opset"}]
    manifest = {
        "target": target,
        "variants": {
            name: {
                "quantize": {"method": "dynamic-int8"},
                "files": {"onnx": f"{name}/model.onnx"},
            }
            for name in variants
        },
        "runtime": {"execution_provider": "CPUExecutionProvider", "packages": packages},
        "tools": {"onnxruntime": "1.31.1"},
        "files": [
            {
                "path": f"{name}/model.onnx",
                "sha256": hashlib.sha256(name.encode()).hexdigest(),
                "size_bytes": len(name),
            }
            for name in variants
        ],
        **more,
    }
    for name in variants:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "model.onnx").write_text(name)
    (folder / "manifest.json").write_text(json.dumps(manifest_data(manifest)), encoding="utf-8")
    proof = proof_data({"variants": variants})
    (folder / "proof.json").write_text(json.dumps(proof), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """A parsed page; parsing fails on elements that are not closed in order."""

    VOID = ("br", "hr", "meta")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.figures: list[float] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if (tag, name) == ("data", "value"):
                self.figures.append(float(value or "nan"))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text of the page."""
        return "".join(self.words)
