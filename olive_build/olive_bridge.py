"""One Olive pass in, one checked ONNX model out. The only module that imports olive.

Olive's engine and cache are not used: the engine returns success for most failures and its cache
key leaves out every tool version. A pass is created with its search switched off, run on one
model, and what it wrote is loaded and checked here; a pass that declines, or whose options Olive
would only have warned about, is an error.

Runs in worker processes only, since importing olive costs seconds and hundreds of megabytes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.errors import StepError, first_line
from olive_build.onnx_files.data_files import files_of

BESIDE = "save_as_external_data"
if TYPE_CHECKING:
    import numpy.typing as npt

# Inputs of a graph by name.
Feeds = Mapping[str, "npt.NDArray[Any]"]
PROVIDER_OF_BUILDER = "CPUExecutionProvider"


@dataclass(frozen=True)
class TorchExport:
    """A PyTorch module and what the exporter must know of it.

    `load` returns the module in eval mode; `example` returns the inputs of one trace, by name;
    `dynamic_axes` maps each input and output name to {axis index: axis name}. Inputs of `grouped`
    reach the module's parameter of that name together, as one map. `probes` returns the inputs at
    which the graph is compared with the module of `judge`, or of `load` where there is none.
    """

    load: Callable[[], Any]
    example: Callable[[], Feeds]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic_axes: Mapping[str, Mapping[int, str]]
    grouped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    probes: Callable[[], Iterable[Feeds]] = tuple
    judge: Callable[[], Any] | None = None

    def by_parameter(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what each parameter of the module takes of `values`, which go by input."""
        inside = {name for names in self.grouped.values() for name in names}
        alone = {name: values[name] for name in self.inputs if name not in inside}
        maps = {key: {name: values[name] for name in names} for key, names in self.grouped.items()}
        return alone | maps

    def run(self, module: Any, feeds: Feeds) -> list[npt.NDArray[Any]]:
        """Return what the module gives for these inputs."""
        import torch

        with torch.inference_mode():
            found = module(**self.by_parameter(_tensors(feeds)))
        return [value.numpy() for value in (found if isinstance(found, tuple) else (found,))]

    def probe_outputs(self) -> list[tuple[Feeds, list[npt.NDArray[Any]]]]:
        """Return inputs, each with what PyTorch gives for them."""
        module = (self.judge or self.load)()
        return [(feeds, self.run(module, feeds)) for feeds in self.probes()]


def _tensors(feeds: Feeds) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(value) for name, value in feeds.items()}


def convert(module: TorchExport, *, opset: int, out: Path) -> None:
    """Write `out`/model.onnx from a PyTorch module by Olive's OnnxConversion, dynamo exporter.

    Raises StepError when the pass fails or writes no loadable model.
    """
    from olive.model import PyTorchModelHandler

    names = (*module.inputs, *module.outputs)
    handler = PyTorchModelHandler(
        model_loader=lambda _path: module.load(),
        dummy_inputs_func=lambda _model=None: module.by_parameter(_tensors(module.example())),
        io_config={
            "input_names": list(module.inputs),
            "output_names": list(module.outputs),
            # Olive wants string keys here and integer keys below.
            "dynamic_axes": {
                n: {str(a): s for a, s in module.dynamic_axes[n].items()} for n in names
            },
            "dynamic_shapes": module.by_parameter(
                {n: dict(module.dynamic_axes[n]) for n in module.inputs}
            ),
        },
    )
    options = {"use_dynamo_exporter": True, "target_opset": opset}
    _run("OnnxConversion", options, handler, out, exported=module)


def run_pass(name: str, options: Mapping[str, Any], model: Path, out: Path) -> None:
    """Write `out`/model.onnx by running the Olive pass `name` on the ONNX file `model`.

    Raises StepError when Olive refuses an option, the pass fails, declines (gives its input
    back), or writes no loadable model.
    """
    from olive.model import ONNXModelHandler

    _, pass_class, accelerator = _pass_class(name)
    if len(files_of(model)) > 1 and BESIDE in pass_class.default_config(accelerator):
        # Passes on onnx_ir would else write a graph that names files which are not beside it.
        options = {**options, BESIDE: True}
    _run(name, options, ONNXModelHandler(str(model)), out)


def _run(
    name: str,
    options: Mapping[str, Any],
    handler: Any,
    out: Path,
    *,
    exported: TorchExport | None = None,
) -> None:
    with tempfile.TemporaryDirectory(prefix="olive-pass-", dir=out.parent) as scratch:
        result = _call(name, options, handler, Path(scratch) / "out")
        written = Path(result.model_path)
        if not written.is_relative_to(Path(scratch).resolve()) and not written.is_relative_to(
            scratch
        ):
            raise StepError(
                f"Olive pass '{name}' gave its input back unchanged",
                why="the pass found nothing that it applies to in this model",
                hint="remove the pass from the recipe, or place it before a stage that changes "
                "what it looks for",
            )
        _collect(written, out, name, exported=exported)


def _call(name: str, options: Mapping[str, Any], handler: Any, out: Path) -> Any:
    create, pass_class, accelerator = _pass_class(name)
    _refuse_unknown_options(name, options, pass_class, accelerator)
    try:
        instance = create(
            pass_class, dict(options), disable_search=True, accelerator_spec=accelerator
        )
        return instance.run(handler, str(out))
    except Exception as error:
        raise StepError(
            f"Olive pass '{name}' failed",
            why=f"{type(error).__name__}: {first_line(error)}",
            hint="the log of the step has Olive's own messages and the traceback",
        ) from error


def _pass_class(name: str) -> tuple[Callable[..., Any], Any, Any]:
    from olive.hardware.accelerator import AcceleratorSpec
    from olive.package_config import OlivePackageConfig
    from olive.passes.olive_pass import create_pass_from_dict

    accelerator = AcceleratorSpec(accelerator_type="cpu", execution_provider=PROVIDER_OF_BUILDER)
    try:
        pass_class = OlivePackageConfig.load_default_config().import_pass_module(name)
    except Exception as error:
        raise StepError(
            f"Olive has no usable pass '{name}'",
            why=first_line(error),
            hint="olive-build validate lists the passes of the pinned Olive version",
        ) from error
    return create_pass_from_dict, pass_class, accelerator


def _refuse_unknown_options(
    name: str, options: Mapping[str, Any], pass_class: Any, accelerator: Any
) -> None:
    # Olive only warns about an option that it does not know, and builds without it.
    known = set(pass_class.default_config(accelerator))
    unknown = sorted(set(options) - known)
    if unknown:
        raise StepError(
            f"Olive pass '{name}' has no option '{unknown[0]}'",
            why=f"its options are {', '.join(sorted(known))}",
            hint="correct the option in the recipe's passes section",
        )


def _collect(written: Path, out: Path, name: str, *, exported: TorchExport | None) -> None:
    """Load what the pass wrote and keep it, clean, as `out`/model.onnx.

    An exporter's metadata says which module a node is from; that becomes the node's name.
    """
    from olive_build.onnx_files.models import read
    from olive_build.rewrites.clean import name_nodes, save_clean
    from olive_build.rewrites.repeated_nodes import drop_repeated_nodes

    folder, file = (written, "model.onnx") if written.is_dir() else (written.parent, written.name)
    if not (folder / file).is_file():
        raise StepError(
            f"Olive pass '{name}' wrote no model",
            why=f"there is no {file} in its output",
            hint="the log of the step has Olive's own messages",
        )
    try:
        model = read(folder / file)
    except Exception as error:
        raise StepError(
            f"Olive pass '{name}' wrote a model that cannot be loaded",
            why=first_line(error),
        ) from error
    if exported is not None:
        name_nodes(model)
        _name_axes(model, exported.dynamic_axes)
    drop_repeated_nodes(model)
    save_clean(model, out / "model.onnx")
    shutil.rmtree(folder, ignore_errors=True)


def _name_axes(model: Any, axes: Mapping[str, Mapping[int, str]]) -> None:
    """Call the outputs' axes what they were asked to be called.

    The exporter writes sums of inputs' axes where it finds out that an axis is one.
    """
    for value in model.graph.output:
        for index, name in axes[value.name].items():
            value.type.tensor_type.shape.dim[index].dim_param = name
