"""Changes of an engine's graph for OpenVINO, which leave its results as they are.

In: a model that OpenVINO has read. The same model comes out, faster. `openvino_cache` keeps what is
compiled of it, and has to be told (`_FORMAT`) when another graph is made here.
"""

from __future__ import annotations

import openvino as ov
from openvino import opset13

_ON_SINGLE_VALUES = ("Add", "Clamp", "Convert", "Maximum", "Minimum", "Multiply", "Round")
"""Types of operations whose result for a value depends on no other one."""

_MOVING = ("Concat", "Reshape", "Split", "Squeeze", "Transpose", "Unsqueeze", "VariadicSplit")
"""Types of operations that give the values they get, in another order or shape."""


def move_bytes(model: ov.Model) -> None:
    """Let the nodes that only move values at either end of a graph move bytes.

    Those behind the conversion of the frames are put before it, and those before the operations on
    single values that end in the conversion of the cartoons are put behind them: a byte is moved in
    a quarter of the time of a number of four. Engines have them the other way around, because
    TensorRT wants the conversions first and last. The result is the same, bit for bit.
    """
    for parameter in model.get_parameters():
        _move_first(parameter)
    (result,) = model.get_results()
    _move_last(result)
    model.validate_nodes_and_infer_types()


def _move_first(parameter: ov.Node) -> None:
    """Put the conversion of an input behind the nodes that move its values."""
    conversions = [
        each.get_node()
        for each in parameter.output(0).get_target_inputs()
        if each.get_node().get_type_name() == "Convert"
    ]
    if len(conversions) != 1:
        return
    converted = conversions[0].output(0)
    moving = _movers_of(converted)
    ends = [
        (port, reader)
        for node in moving.values()
        for port in node.outputs()
        for reader in port.get_target_inputs()
        if reader.get_node().get_name() not in moving
    ]
    for reader in list(converted.get_target_inputs()):
        if reader.get_node().get_name() in moving:
            reader.replace_source_output(parameter.output(0))
    kind = converted.get_element_type().to_dtype()
    for port, reader in ends:  # OpenVINO computes equal conversions once
        if reader.get_node().get_type_name() != "ShapeOf":  # the shape is the same
            reader.replace_source_output(opset13.convert(port, kind).output(0))


def _movers_of(port: ov.Output) -> dict[str, ov.Node]:
    """Return the nodes, by name, that only move the values of one port, one behind the other."""
    moving: dict[str, ov.Node] = {}
    sources, waiting = {_key(port)}, [port]
    while waiting:
        for reader in waiting.pop(0).get_target_inputs():
            node = reader.get_node()
            if (
                node.get_type_name() in _MOVING
                and node.get_name() not in moving
                and all(_key(each) in sources for each in _moved_by(node))
            ):
                moving[node.get_name()] = node
                sources.update(_key(each) for each in node.outputs())
                waiting += node.outputs()
    return moving


def _move_last(result: ov.Node) -> None:
    """Put nodes that move the values of a result behind the operations on single values."""
    last = port = result.input(0).get_source_output()
    while port.get_node().get_type_name() in _ON_SINGLE_VALUES:
        variable = [
            source
            for source in (each.get_source_output() for each in port.get_node().inputs())
            if source.get_node().get_type_name() != "Constant"
            or any(side > 1 for side in source.shape)
        ]
        if len(variable) != 1 or not _only_reader(variable[0]):
            return
        port = variable[0]
    operation = _only_reader(port)
    moving = _movers_to(port)
    sources = {
        _key(source): source
        for node in moving.values()
        for source in _moved_by(node)
        if source.get_node().get_name() not in moving
    }
    if port == last or operation is None or len(sources) != 1:
        return
    (source,) = sources.values()
    readers = [e for e in source.get_target_inputs() if e.get_node().get_name() in moving]
    names = last.get_names()
    for each in list(port.get_target_inputs()):
        each.replace_source_output(source)
    for each in readers:
        each.replace_source_output(last)
    last.set_names(set())
    port.set_names(names)
    result.input(0).replace_source_output(port)


def _movers_to(port: ov.Output) -> dict[str, ov.Node]:
    """Return the nodes, by name, that only move values, and these to one port alone."""
    moving: dict[str, ov.Node] = {}
    waiting = [port]
    while waiting:
        node = waiting.pop().get_node()
        if node.get_type_name() in _MOVING and node.get_name() not in moving:
            moving[node.get_name()] = node
            waiting += _moved_by(node)
    while True:
        read_elsewhere = [
            name
            for name, node in moving.items()
            for output in node.outputs()
            for reader in output.get_target_inputs()
            if _key(output) != _key(port) and reader.get_node().get_name() not in moving
            if reader.get_node().get_type_name() != "ShapeOf"
        ]
        if not read_elsewhere:
            return moving
        for name in read_elsewhere:
            moving.pop(name, None)


def _moved_by(node: ov.Node) -> list[ov.Output]:
    """The values that a node moves; its other inputs are shapes and axes."""
    inputs = node.inputs() if node.get_type_name() == "Concat" else node.inputs()[:1]
    return [each.get_source_output() for each in inputs]


def _only_reader(port: ov.Output) -> ov.Node | None:
    """The node that reads a value, if there is just one."""
    readers = port.get_target_inputs()
    return next(iter(readers)).get_node() if len(readers) == 1 else None


def _key(port: ov.Output) -> tuple[str, int]:
    return port.get_node().get_name(), port.get_index()
