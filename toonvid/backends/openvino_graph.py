"""Changes of an engine's graph for OpenVINO, which leave its results as they are.

In: a model that OpenVINO has read. The same model comes out, faster. `openvino_cache` keeps what is
compiled of it, and has to be told (`_FORMAT`) when another graph is made here.
"""

from __future__ import annotations

import openvino as ov

_ON_SINGLE_VALUES = ("Add", "Clamp", "Convert", "Maximum", "Minimum", "Multiply", "Round")
"""Types of operations whose result for a value depends on no other one."""

_MOVING = ("Reshape", "Transpose")
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
    conversion = conversions[0]
    last = first = conversion.output(0)
    while (reader := _only_reader(last)) and reader.get_type_name() in _MOVING:
        last = reader.output(0)
    if last == first:
        return
    readers = list(last.get_target_inputs())
    for each in list(first.get_target_inputs()):
        each.replace_source_output(parameter.output(0))
    conversion.input(0).replace_source_output(last)
    for each in readers:
        each.replace_source_output(first)


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
    if port == last:
        return
    moved, source = port, port
    while source.get_node().get_type_name() in _MOVING and _only_reader(source):
        first = source.get_node()
        source = first.input(0).get_source_output()
    if source == moved:
        return
    names = last.get_names()
    for each in list(moved.get_target_inputs()):
        each.replace_source_output(source)
    first.input(0).replace_source_output(last)
    last.set_names(set())
    moved.set_names(names)
    result.input(0).replace_source_output(moved)


def _only_reader(port: ov.Output) -> ov.Node | None:
    """The node that reads a value, if there is just one."""
    readers = port.get_target_inputs()
    return next(iter(readers)).get_node() if len(readers) == 1 else None
