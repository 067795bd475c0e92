"""Reads a stranger's ONNX file, and refuses what no cartoonizer needs and an attacker might.

In: a path. Out: an `onnx.ModelProto` whose weights are all in memory, whose nodes are sorted, and
whose operators are ONNX's own. Nothing of the network is run here.

Refused: files and tensors that are too large, weights outside the folder, other operator domains,
loops, branches and functions, strings, cycles, and shapes that overflow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.external_data_helper import load_external_data_for_model

from toonvid.engine import refuse_unreadable
from toonvid.errors import EngineError
from toonvid.onnx_file import STANDARD_DOMAINS

MAX_FILE_BYTES = 2**30
"""Largest file, and largest sum of the files of its weights, in bytes: as for engines."""
MAX_NODES = 20_000
MAX_ELEMENTS = 2**28
"""Most values of one tensor: 1 GiB of float32."""

_MAX_SIDE = 2**31 - 1
_BRANCHING = ("If", "Loop", "Scan")
_MAX_NAME = 60  # characters of a stranger's name that a message shows


def read_source(path: Path) -> ModelProto:
    """Read a network, with its weights in other files of its folder.

    Args:
        path: The `.onnx` file.

    Returns:
        The network as in the file, apart from the order of its nodes, unused operator sets, and
        weights, which are all inside it.

    Raises:
        EngineError: The file cannot be read, or is refused. The message says why.
    """
    try:
        refuse_unreadable(path, MAX_FILE_BYTES)
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}") from error
    except (DecodeError, ValueError, RecursionError) as error:
        raise EngineError(f"{path} is not an ONNX file, or is damaged") from error
    if not model.graph.node:
        raise EngineError(f"{path} is not an ONNX file, or has no operators")
    try:
        refuse_dangerous_parts(model)
        _load_weights(model, path.absolute().parent)
        _sort_nodes(model.graph)
        onnx.checker.check_model(model)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error
    except onnx.checker.ValidationError as error:
        raise EngineError(f"{path} is not a valid ONNX file: {_first_line(error)}") from error
    except ValueError as error:  # names that are no text, in a message of the checker too
        raise EngineError(f"{path} is not an ONNX file, or is damaged") from error
    return model


def refuse_dangerous_parts(model: ModelProto) -> None:
    """Refuse operators and tensors that no cartoonizer needs. Tensors are not read.

    Raises:
        EngineError: There is such a part; the message names it, and not the file.
    """
    graph = model.graph
    if model.functions:
        raise EngineError("it defines functions of its own, which are not imported")
    if len(graph.node) > MAX_NODES:
        raise EngineError(f"it has {len(graph.node):,} operators; at most {MAX_NODES:,} are read")
    if graph.sparse_initializer:
        raise EngineError("it has sparse weights, which are not imported")
    for node in graph.node:
        if node.domain not in STANDARD_DOMAINS:
            raise EngineError(
                f"it needs the operator domain {show(node.domain)}; only ONNX's own is run"
            )
        if node.op_type in _BRANCHING or any(
            attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS)
            for attribute in node.attribute
        ):
            raise EngineError(
                f"it has the operator {show(node.op_type)}: loops and branches are not imported"
            )
    for tensor in all_tensors(graph):
        _refuse_tensor(tensor)
    # tf2onnx lists ai.onnx.ml in each file, whether or not an operator is of it.
    used = [entry for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    if len(used) != 1:
        raise EngineError("it does not say which version of ONNX's operators it uses")
    version = used[0].version
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", version))


def all_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the weights of a graph without branches, and the tensors in its nodes' attributes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def show(name: str) -> str:
    """Quote a name of a stranger's file for a message: cut, and without control characters."""
    return repr(name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…")


def _refuse_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.STRING:
        raise EngineError(f"the tensor {show(tensor.name)} holds strings")
    if any(not 0 <= side <= _MAX_SIDE for side in tensor.dims):
        raise EngineError(f"the tensor {show(tensor.name)} has an impossible shape")
    if math.prod(tensor.dims) > MAX_ELEMENTS:
        raise EngineError(
            f"the tensor {show(tensor.name)} claims {math.prod(tensor.dims):,} values;"
            f" at most {MAX_ELEMENTS:,} are read"
        )


def _load_weights(model: ModelProto, folder: Path) -> None:
    """Read weights that are kept in other files of the same folder."""
    names = set()
    for tensor in all_tensors(model.graph):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if tensor.data_location != TensorProto.EXTERNAL and not entries:
            continue
        name = entries.get("location", "")
        # A plain name: no folder, no drive, nothing that could lead out of the folder.
        if not name or name != Path(name).name or name in (".", "..") or "\\" in name:
            raise EngineError(f"it keeps weights in {show(name)}, outside its folder")
        names.add(name)
    for name in names:
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise EngineError(f"its weights are in {show(name)}, which is not a file beside it")
    if sum((folder / name).stat().st_size for name in names) > MAX_FILE_BYTES:
        raise EngineError(f"its weights have more than {MAX_FILE_BYTES:,} bytes")
    if names:
        try:
            load_external_data_for_model(model, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise EngineError(f"its weights cannot be read: {_first_line(error)}") from error


def _sort_nodes(graph: GraphProto) -> None:
    """Sort nodes by what they need, where the file has not.

    Raises:
        EngineError: There is a cycle, or two nodes give the same tensor.
    """
    makers: dict[str, int] = {}
    for at, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers:
                raise EngineError(f"two operators give the tensor {show(name)}")
            makers[name] = at
    needs = {
        at: {makers[name] for name in node.input if name in makers}
        for at, node in enumerate(graph.node)
    }
    if all(before < at for at, those in needs.items() for before in those):
        return
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise EngineError("its operators form a cycle") from error
    nodes: list[NodeProto] = [graph.node[at] for at in order]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "damaged")
