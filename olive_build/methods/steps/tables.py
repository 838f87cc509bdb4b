"""Lookup tables: int8 with a scale for each row, or, where a product reads them too, in blocks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.errors import StepError
from olive_build.steps.change_graph import ChangeGraph
from olive_build.steps.notes import NothingToDo

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuantizeEmbeddings(ChangeGraph):
    """Write model.onnx whose lookup tables are int8, symmetric, with an fp32 scale for each row.

    Inputs: model. Gather(table) becomes Cast(Gather(int8 table)) * Gather(scales): plain ONNX that
    every runtime has. All tables of at least 16,384 values that a Gather reads along axis 0 and
    nothing else uses but a product with the table's transpose, which becomes QGemm; `exclude` are
    shell patterns of the names of their nodes. On all-MiniLM-L6-v2 the lowest cosine is 0.99998.
    """

    exclude: tuple[str, ...]

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.methods.algorithms.tables import quantize_tables
        from olive_build.steps.model_check import matching_nodes

        excluded = set(matching_nodes(model, self.exclude, out))
        result = quantize_tables(model, excluded)
        # Not every model has a large table; one that could not be taken is found by the check of
        # the method that runs next.
        log.info("%d lookups read int8 rows; %s", result.count, "; ".join(result.declined))


@dataclass(frozen=True)
class QuantizeTiedTables(ChangeGraph):
    """Write model.onnx whose tied tables are read by GatherBlockQuantized and MatMulNBits both.

    Inputs: model. A table is tied where Gather nodes read its rows and Gemm nodes its transpose;
    `bits` are 4 or 8, `block_size` weights of a row share a scale, and a zero point where it is not
    `symmetric`. Rounded to nearest. `accuracy_level` is that of MatMulNBits: 4 is int8 arithmetic.
    `exclude` are shell patterns of the names of nodes. Where there is no such table and none was
    excluded, the graph passes through with a note. Raises StepError where it was `asked` for, and
    where there is a table that cannot be stored so.
    """

    bits: int
    block_size: int
    symmetric: bool
    accuracy_level: int
    exclude: tuple[str, ...]
    asked: bool = True

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.methods.algorithms.tied_blocks import Blocks, quantize_tied_tables
        from olive_build.steps.model_check import matching_nodes

        excluded = set(matching_nodes(model, self.exclude, out))
        blocks = Blocks(self.bits, self.block_size, self.symmetric)
        result = quantize_tied_tables(model, blocks, self.accuracy_level, excluded)
        if not result.count and not excluded:
            kind = StepError if result.declined else NothingToDo
            raise kind(
                "no table for both lookup and product was stored in blocks",
                why="; ".join(result.declined) or "no large table is read by Gather and Gemm alone",
                hint="take a block size that divides the model's dimensions, or exclude both nodes",
            )
        log.info("%d nodes read tied tables; %s", result.count, "; ".join(result.declined))
