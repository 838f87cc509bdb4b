"""A Whisper built by the plan's own steps, for tests that hold its files against transformers.

The engine runs what a recipe plans for desktop (one file) and web (split), up to the files; nothing
is proved or published. One cache serves all test processes of a run, so each step runs once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store
from olive_build.families import module_of
from olive_build.families.whisper.beam_search import SEQUENCES
from olive_build.families.whisper.clips import Clips, read_clips
from olive_build.families.whisper.generation import decode, features_of, generate, load
from olive_build.families.whisper.spec import COMPONENTS, WhisperFacts, inspect
from olive_build.plan.types import Plan, Request
from olive_build.prepare import plan_builds
from olive_build.proof.references.transcription import Decoding
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all
from olive_build.rewrites.clean import graphs
from olive_build.steps.compose import BuildPart, Compose

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "recipes" / "whisper-digits"
MODEL = DIGITS / "model"
RATE = 16_000
OPSET = 18
SMALL_BYTES = 256
RECIPE = """\
recipe: 1
name: composed
description: Files for tests
model:
  family: whisper
  licence: Apache-2.0
  source: path
  sources: {path: {folder: model}}
verify:
  timing: false
  data: {file: test.npz}
  calibration: {file: calibration.npz}
variants:
  mixed:
    quantize: {method: fp16}
    components:
      encoder: {quantize: {method: dynamic-int8}}
  calibrated:
    quantize: {method: dynamic-int8, smooth: true, rounding: gptq}
    components:
      encoder: {quantize: {method: static-int8}}
targets:
  desktop:
    variants: [fp32, int8, mixed, calibrated]
  web:
    variants: [fp32, q8]
"""
Samples = npt.NDArray[np.float32]
Ids = tuple[int, ...]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Built:
    """The plan of the recipe, and the folder of each node's artifact."""

    plan: Plan
    folders: Mapping[str, Path]
    source: Path = MODEL

    def single(self, variant: str) -> Path:
        """The one file, audio_pcm to text."""
        return self._graphs("desktop", variant)["model"]

    def split(self, variant: str) -> dict[str, Path]:
        """The files of the web target, by the name that transformers.js gives them."""
        return self._graphs("web", variant)

    def parts(self) -> dict[str, Path]:
        """The graphs of audio and of text by themselves."""
        bundle = self._bundle("web")
        return {name: self.folders[node] / "model.onnx" for name, node in bundle.parts.items()}

    def components(self, variant: str) -> dict[str, Path]:
        """The folders of what the one file was composed of: fused, and quantized for int8."""
        planned = self._variant("desktop", variant)
        node = next(n for n in self.plan.graph.nodes if n.id == planned.model)
        return {name: self.folders[source] for name, source in node.inputs if name in COMPONENTS}

    def _graphs(self, target: str, variant: str) -> dict[str, Path]:
        found = self._variant(target, variant).graphs
        return {name: self.folders[node] / "model.onnx" for name, node in found.items()}

    def _variant(self, target: str, name: str) -> Any:
        return next(v for v in self._bundle(target).variants if v.variant.name == name)

    def _bundle(self, target: str) -> Any:
        return next(b for b in self.plan.bundles if b.build.target == target)


def build(folder: Path, cache: Path) -> Built:
    """Run the plan's steps up to the files; `folder` is for the recipe."""
    recipe = folder / "recipes" / "composed.yaml"
    recipe.parent.mkdir()
    (folder / "pyproject.toml").touch()
    shutil.copytree(MODEL, recipe.parent / "model")  # paths of a recipe stay in its repository
    for name in ("test.npz", "calibration.npz"):
        shutil.copy(DIGITS / name, recipe.parent)
    recipe.write_text(RECIPE, encoding="utf-8")
    loaded = load_recipe(recipe)
    store = Store(cache)
    requests = [Request(build, recipe.parent) for build in resolve_all(loaded)]
    plan = plan_builds(requests, store, smoke=False, report=lambda _: None)
    wanted = {
        node
        for b in plan.bundles
        for v in b.variants
        for node in (*v.graphs.values(), *b.parts.values())
    }
    outcomes = run_graph(plan.graph, store, wanted=wanted)
    for outcome in outcomes.values():
        assert outcome.error is None, outcome.error
    return Built(plan, {n: o.artifact.path for n, o in outcomes.items() if o.artifact})


def compose(components: Mapping[str, Path], source: Path, out: Path, **options: str) -> Path:
    """Compose a file of built components with the configuration of another folder."""
    settings = tuple(sorted({"task": "transcribe", "input": "audio_pcm", **options}.items()))
    inputs = dict(components) | {"source": source}
    for part in ("audio", "detokenizer"):
        inputs[part] = out / part
        inputs[part].mkdir(parents=True)
        BuildPart(module_of("whisper", "compose"), part, OPSET, settings).run(
            {"source": source}, inputs[part]
        )
    Compose(module_of("whisper", "compose"), settings).run(inputs, out)
    return out / "model.onnx"


class Heard:
    """A session of a one-file model that also gives the token ids."""

    def __init__(self, path: Path, folder: Path) -> None:
        model = onnx.load(str(path))
        ids = helper.make_tensor_value_info(SEQUENCES, TensorProto.INT32, None)
        model.graph.output.append(ids)
        onnx.save(model, str(folder / "with_ids.onnx"))
        self.session = open_session(folder / "with_ids.onnx")
        self.takes = self.session.get_inputs()[0].name

    def __call__(
        self, audio: npt.NDArray[Any], *, how: Settings | None = None
    ) -> tuple[list[str], list[list[int]]]:
        """Return texts and ids (from the prompt's last token on) of samples or a file's bytes."""
        feeds = Decoding(**{"max_length": 32, **(how or {})}).feeds()
        texts, ids = self.session.run(["str", SEQUENCES], {self.takes: audio[None], **feeds})
        return [str(text) for text in texts[0]], [list(map(int, row)) for row in ids[0]]


class PyTorch:
    """transformers' generate on a model folder, with the defaults of `Heard`.

    With `early_stopping=True`, which is what the operator in the file does.
    """

    def __init__(self, folder: Path = MODEL) -> None:
        self.folder = folder
        self.facts: WhisperFacts = inspect(folder)
        self.model = load(folder)
        self.prompt = self.facts.prompt("en", "transcribe")

    def __call__(
        self,
        audio: Samples,
        *,
        how: Settings | None = None,
        prompt: Sequence[int] | None = None,
        **settings: Any,
    ) -> tuple[list[str], list[list[int]]]:
        """Return texts and ids (from the prompt's last token on) of samples [samples]."""
        chosen = self.prompt if prompt is None else tuple(prompt)
        given = asdict(Decoding(**{"max_length": 32, **(how or {})}))
        given |= {"early_stopping": given["num_beams"] > 1, **settings}
        features = features_of(self.folder, audio)
        found = generate(self.model, self.facts, features, chosen, **given)
        rows = [list(map(int, row)) for row in found.ids[:, len(chosen) - 1 :]]
        return list(decode(self.folder, found.ids)), rows

    def likelihood(self, audio: Samples, row: Sequence[int]) -> float:
        """Return the sum of log probabilities of ids that follow the prompt, `row` as given out."""
        ids = torch.tensor([[*self.prompt[:-1], *row]])
        with torch.inference_mode():
            logits = self.model(
                input_features=features_of(self.folder, audio), decoder_input_ids=ids[:, :-1]
            ).logits
        steps = logits.log_softmax(-1)[0, len(self.prompt) - 1 :]
        return float(steps.gather(1, ids[0, len(self.prompt) :, None]).sum())


def written(rows: Sequence[Sequence[int]], end: int) -> list[Ids]:
    """Return ids up to the first end, which what pads them may look like."""
    found = []
    for row in rows:
        stop = list(row).index(end) + 1 if end in row else len(row)
        found.append(tuple(row[:stop]))
    return found


def spoken(count: int) -> list[tuple[Samples, str]]:
    """Return clips of the proof in which something is said, with what it is."""
    clips: Clips = read_clips(DIGITS / "test.npz")
    rows = [row for row, text in enumerate(clips.texts) if text][:count]
    return [(clips.stored.clip(row), clips.texts[row]) for row in rows]


def doubtful(count: int) -> list[Samples]:
    """Return `count` clips as they are, and `count` others in noise, of which it is less sure."""
    clips = [audio for audio, _ in spoken(2 * count)]
    noise = np.random.default_rng(0)
    return clips[:count] + [
        np.asarray(audio + 0.03 * noise.standard_normal(len(audio)), np.float32)
        for audio in clips[count:]
    ]


def stored_twice(path: Path) -> list[str]:
    """Return the tensors of at least 256 bytes that a file has more than once, subgraphs too."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    again = []
    for tensor in tensors_of(path):
        data = _bytes(tensor)
        key = (tensor.data_type, tuple(tensor.dims), data)
        if len(data) < SMALL_BYTES:
            continue
        if key in first:
            again.append(f"{tensor.name} is {first[key]}")
        first.setdefault(key, tensor.name)
    return again


def _bytes(tensor: TensorProto) -> bytes:
    if tensor.data_type == TensorProto.STRING:
        return b"\0".join(tensor.string_data)
    return tensor.raw_data or numpy_helper.to_array(tensor).tobytes()


def tensors_of(path: Path) -> list[TensorProto]:
    """Return every stored tensor of a file: initializers and constants of all its graphs."""
    found = []
    for graph in graphs(onnx.load(str(path)).graph):
        found.extend(graph.initializer)
        found.extend(
            a.t
            for node in graph.node
            for a in node.attribute
            if a.type == onnx.AttributeProto.TENSOR
        )
    return found
