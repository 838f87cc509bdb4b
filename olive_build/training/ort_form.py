"""The training artifacts in ORT format, with one config of operators for a reduced build.

An application loads the .ort files to train, and .onnx ones beside them: eval_model.onnx to export
from, and what was exported. A runtime that optimizes them less, or not at all, needs operators that
the optimized files no longer have. So the config is of all files, as they are and optimized.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx

from olive_build.errors import StepError, first_line
from olive_build.onnx_files.models import read
from olive_build.rewrites.clean import graphs
from olive_build.training.checkpoint_file import bindings
from olive_build.training.runtime import captured

REQUIRED_OPERATORS = "required_operators.config"


def convert_to_ort(models: Sequence[Path], inference: Path, out: Path) -> None:
    """Write NAME.ort for each NAME.onnx, and required_operators.config for all that is loaded.

    `inference` is what the evaluation model exports. The config names operators and their types,
    for --include_ops_by_config and --enable_reduced_operator_type_support of a training build:
    those of the models in both forms, and of the inference model. Raises StepError when a model
    cannot be converted, or when the config lacks what one of them has.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch)
        loaded = [*models, inference]
        optimized = [_as_ort(model, folder / "optimized", is_optimized=True) for model in loaded]
        plain = [_as_ort(model, folder / "plain", is_optimized=False) for model in loaded]
        config = folder / REQUIRED_OPERATORS
        _write_config([*optimized, *plain], config)
        _add_names(loaded, config)
        _check_config([*loaded, *(path.with_suffix(".onnx") for path in optimized)], config)
        for model in models:
            converted = folder / "optimized" / f"{model.stem}.ort"
            put_in_order(converted)
            shutil.move(converted, out / converted.name)
        shutil.move(config, out / REQUIRED_OPERATORS)


def _as_ort(model: Path, folder: Path, *, is_optimized: bool) -> Path:
    """Return the model in ORT form in `folder`, with the same graph as .onnx beside it.

    As onnxruntime/tools/convert_onnx_models_to_ort.py of 1.19.2 does it for phones: without NCHWc,
    which is a layout of x86 alone.
    """
    import onnxruntime

    level = onnxruntime.GraphOptimizationLevel
    folder.mkdir(exist_ok=True)
    path = folder / f"{model.stem}.ort"
    try:
        with captured():
            for end, form in ((".onnx", "ONNX"), (".ort", "ORT")):
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = (
                    level.ORT_ENABLE_ALL if is_optimized else level.ORT_DISABLE_ALL
                )
                options.optimized_model_filepath = str(path.with_suffix(end))
                options.add_session_config_entry("session.save_model_format", form)
                options.add_session_config_entry("session.qdqisint8allowed", "1")
                onnxruntime.InferenceSession(
                    str(model),
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=["NchwcTransformer"],
                )
    except Exception as error:
        raise StepError(
            "onnxruntime cannot convert the training artifacts to ORT format",
            where=model.name,
            why=first_line(error),
            hint="take `ort` out of the target's formats",
        ) from error
    return path


def _write_config(models: Sequence[Path], config: Path) -> None:
    from onnxruntime.tools.ort_format_model import create_config_from_models

    with captured():
        create_config_from_models(models, config, True)
    # The first lines hold the folder; they would differ between machines.
    lines = config.read_text(encoding="utf-8").splitlines()
    _write_lines([line for line in lines if line.strip() and not line.startswith("#")], config)


def _write_lines(lines: Sequence[str], config: Path) -> None:
    config.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")


def _add_names(models: Sequence[Path], config: Path) -> None:
    """Add the operators that onnxruntime replaces as it loads a file, such as Constant.

    They have no kernel of their own; whoever reads the config against a file misses none then.
    """
    from olive_build.proof.required_operators import read_config

    covered = read_config(config)
    lines = set(config.read_text(encoding="utf-8").splitlines())
    for model in (read(path, weights=False) for path in models):
        versions = {_domain(item.domain): item.version for item in model.opset_import}
        for node in (node for graph in graphs(model.graph) for node in graph.node):
            domain = _domain(node.domain)
            if (domain, node.op_type) not in covered:
                since = _since(node.op_type, versions.get(domain, 1), domain)
                lines.add(f"{domain or 'ai.onnx'};{since};{node.op_type}")
    _write_lines(sorted(lines), config)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _since(operator: str, version: int, domain: str) -> int:
    """Return the version of its domain in which an operator became what it is."""
    if not onnx.defs.has(operator, version, domain):
        return version  # one of onnxruntime's own, which has one version
    return onnx.defs.get_schema(operator, version, domain).since_version


def _check_config(models: Sequence[Path], config: Path) -> None:
    from olive_build.proof.required_operators import missing_from_config

    for path in models:
        for lacking in missing_from_config(read(path, weights=False), config):
            raise StepError(
                f"the required-operators config lacks {lacking}",
                where=path.name,
                why="a reduced runtime built with it could not load the model",
            )


IDENTIFIER = b"ORTM"
# Alignment counts from the end of a flatbuffer, where the model stays; its largest is 8.
ALIGNMENT = 16


def put_in_order(path: Path) -> None:
    """Write the file anew: its model as it is, its kernels' type strings sorted by name."""
    flatbuffers: Any = import_module("flatbuffers")
    fields = bindings("InferenceSession")
    data = path.read_bytes()
    session = fields.InferenceSession.GetRootAs(data, 0)
    position = session.Model()._tab.Pos
    # A table's layout lies before it or is shared with one behind it: `start` is before both.
    layout = position - struct.unpack_from("<i", data, position)[0]
    start = min(position, layout)
    builder = flatbuffers.Builder(2 * len(data))
    builder.minalign = ALIGNMENT
    builder.head = len(builder.Bytes) - (len(data) - start)
    builder.Bytes[builder.head :] = data[start:]
    version = builder.CreateString(session.OrtVersion())
    resolver = _resolver(builder, session.KernelTypeStrResolver())
    fields.Start(builder)
    fields.AddOrtVersion(builder, version)
    fields.AddModel(builder, len(data) - position)
    fields.AddKernelTypeStrResolver(builder, resolver)
    builder.Finish(fields.End(builder), file_identifier=IDENTIFIER)
    path.write_bytes(builder.Output())


def _resolver(builder: Any, source: Any) -> int:
    """Write operators, and the type strings of each, in the order of their names."""
    fields = bindings("KernelTypeStrResolver")
    entry = bindings("OpIdKernelTypeStrArgsEntry")
    operators = sorted(
        (source.OpKernelTypeStrArgs(i) for i in range(source.OpKernelTypeStrArgsLength())),
        key=lambda found: bytes(found.OpId()),
    )
    written = []
    for operator in operators:
        strings = sorted(
            (operator.KernelTypeStrArgs(i) for i in range(operator.KernelTypeStrArgsLength())),
            key=lambda found: bytes(found.KernelTypeStr()),
        )
        inner = _vector(builder, [_type_string(builder, string) for string in strings])
        name = builder.CreateSharedString(operator.OpId().decode())
        entry.Start(builder)
        entry.AddOpId(builder, name)
        entry.AddKernelTypeStrArgs(builder, inner)
        written.append(entry.End(builder))
    entries = _vector(builder, written)
    fields.Start(builder)
    fields.AddOpKernelTypeStrArgs(builder, entries)
    end: int = fields.End(builder)
    return end


def _type_string(builder: Any, source: Any) -> int:
    fields = bindings("ArgTypeAndIndex")
    entry = bindings("KernelTypeStrArgsEntry")
    written = []
    for number in range(source.ArgsLength()):
        argument = source.Args(number)
        fields.Start(builder)
        fields.AddIndex(builder, argument.Index())
        fields.AddArgType(builder, argument.ArgType())
        written.append(fields.End(builder))
    arguments = _vector(builder, written)
    name = builder.CreateSharedString(source.KernelTypeStr().decode())
    entry.Start(builder)
    entry.AddKernelTypeStr(builder, name)
    entry.AddArgs(builder, arguments)
    end: int = entry.End(builder)
    return end


def _vector(builder: Any, offsets: list[int]) -> int:
    """Write a vector of tables; flatbuffers are built from their end."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    end: int = builder.EndVector()
    return end
