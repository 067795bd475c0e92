"""Safety check of an ONNX file: refuses external data and operators outside the ONNX standard.

In: the path of an `.onnx` file. Out: nothing, or an `EngineError`. An engine may come from a
stranger, so this runs before a backend opens the file. Everything else in the file is left to the
backends' parsers.

The base installation has no `onnx` package, so the few fields that matter are read from the
protobuf wire format (https://protobuf.dev/programming-guides/encoding/; field numbers from
onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toonvid.errors import EngineError

STANDARD_DOMAINS = {"", "ai.onnx"}

# Message -> numbers of the fields with nested messages that can hold external data or operators.
_CHILDREN = {
    "Model": {7: "Graph", 8: "OperatorSet", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 9: "OperatorSet"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
    "OperatorSet": {},
}
_DOMAIN_FIELD = {"OperatorSet": 1, "Node": 7}
_EXTERNAL_DATA_FIELD = 13
_DATA_LOCATION_FIELD = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are obsolete


def refuse_foreign_parts(path: Path) -> None:
    """Refuse an ONNX file that refers to other files or needs non-standard operators.

    Args:
        path: An `.onnx` file that fits in memory.

    Raises:
        EngineError: The file is not ONNX, keeps tensors in other files, or uses an operator domain
            other than ONNX's own.
    """
    try:
        # A view: slices of it do not copy the weights.
        _visit(memoryview(path.read_bytes()), "Model", path)
    except (IndexError, ValueError, RecursionError) as error:
        raise EngineError(
            f"{path} is not an ONNX file, or is damaged: download it again"
        ) from error


def _visit(message: memoryview, kind: str, path: Path) -> None:
    """Check a message of a kind, and the nested ones listed in `_CHILDREN`."""
    children = _CHILDREN[kind]
    for field, wire_type, value in _fields(message):
        # Either field is enough for a reader to look for the data in another file.
        if kind == "Tensor" and (
            field == _EXTERNAL_DATA_FIELD or (field == _DATA_LOCATION_FIELD and value == 1)
        ):
            raise EngineError(f"{path} keeps weights in another file; an engine must be one file")
        if not isinstance(value, memoryview):
            continue
        if (
            field == _DOMAIN_FIELD.get(kind)
            and (name := str(value, "utf-8")) not in STANDARD_DOMAINS
        ):
            raise EngineError(f"{path} needs the operator domain {name!r}; only ONNX's own is run")
        if wire_type == _BYTES and field in children:
            _visit(value, children[field], path)


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield (field number, wire type, value). A varint's value is an int, any other a view."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            number, at = _varint(message, at)
            yield field, wire_type, number
            continue
        if wire_type == _BYTES:
            size, at = _varint(message, at)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"{wire_type = }")
        if at + size > len(message):
            raise ValueError("a field runs past the end of its message")
        yield field, wire_type, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the integer at an offset, and the offset behind it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint is longer than ten bytes")
