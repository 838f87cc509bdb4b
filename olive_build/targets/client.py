"""What is known about transformers.js, read from `clients/transformers_js.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from olive_build.targets.reading import Fields, read_mapping

DATA = Path(__file__).parent / "clients" / "transformers_js.yaml"
LAYOUT = "transformers.js"


@dataclass(frozen=True)
class Device:
    """Where the client runs a model: which files it asks for when nobody says anything."""

    name: str
    title: str
    environment: str
    default: bool
    dtype: str
    runtime: str
    provider: str


@dataclass(frozen=True)
class ClientRuntime:
    """The onnxruntime in the client, and the highest opset and IR that it reads."""

    package: str
    version: str
    opset: int
    ir: int

    @property
    def reads(self) -> Mapping[str, int]:
        """The ceilings by the names that messages have for them."""
        return {"opset": self.opset, "IR": self.ir}


@dataclass(frozen=True)
class Client:
    """All that the check knows about the client. `layers` maps a model_type to a field's name."""

    package: str
    version: str
    devices: tuple[Device, ...]
    dtypes: tuple[str, ...]
    runtimes: Mapping[str, ClientRuntime]
    models: Mapping[str, frozenset[str]]
    layers: Mapping[str, str]
    image_processors: frozenset[str]
    most_chunks: int
    largest_file: int
    largest_wasm: int

    @property
    def title(self) -> str:
        """The client as a person calls it."""
        return f"transformers.js {self.version}"

    def suffix(self, dtype: str) -> str:
        """Return what stands between a model's name and .onnx for a dtype."""
        return {"fp32": "", "q8": "_quantized"}.get(dtype, f"_{dtype}")


@cache
def load_client() -> Client:
    """Return what is known about the client. Raises DataError where the file is wrong."""
    fields = Fields(read_mapping(DATA), DATA)
    fields.text("sizes_source")
    models = {name: frozenset(text.split()) for name, text in _texts(fields, "models").items()}
    layers = {
        model: field for field, text in _texts(fields, "layers").items() for model in text.split()
    }
    client = Client(
        package=fields.text("client"),
        version=fields.text("version"),
        devices=tuple(_device(n, item) for n, item in fields.mapping("devices").items()),
        dtypes=tuple(fields.text("dtypes").split()),
        runtimes={n: _runtime(item) for n, item in fields.mapping("runtimes").items()},
        models=models,
        layers=layers,
        image_processors=frozenset(fields.text("image_processors").split()),
        most_chunks=fields.number("most_chunks"),
        largest_file=fields.number("largest_file"),
        largest_wasm=fields.number("largest_wasm"),
    )
    fields.done()
    return client


def _texts(fields: Fields, key: str) -> dict[str, str]:
    inner = fields.inside(key)
    return {name: inner.text(name) for name in inner.names()}


def _device(name: str, fields: Fields) -> Device:
    device = Device(
        name=name,
        title=fields.text("title"),
        environment=fields.text("environment", ("browser", "node")),
        default=fields.truth("default"),
        dtype=fields.text("dtype"),
        runtime=fields.text("runtime"),
        provider=fields.text("provider"),
    )
    fields.done()
    return device


def _runtime(fields: Fields) -> ClientRuntime:
    fields.text("source")
    runtime = ClientRuntime(
        package=fields.text("package"),
        version=fields.text("version"),
        opset=fields.number("opset"),
        ir=fields.number("ir"),
    )
    fields.done()
    return runtime
