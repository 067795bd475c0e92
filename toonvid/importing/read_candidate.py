"""Reads a file that may become a style, and finds out what its graph says.

In: a path. Out: a `Candidate`, or an error that says why the file is refused.
"""

from __future__ import annotations

from pathlib import Path

from toonvid.engine import file_sha256
from toonvid.errors import EngineError
from toonvid.importing.candidate import Candidate, find_output_layout
from toonvid.importing.facts import find_facts
from toonvid.importing.network import Network
from toonvid.importing.prepare_graph import free_sides, prepare_graph
from toonvid.importing.sizes import find_sizes
from toonvid.importing.source_file import read_source
from toonvid.importing.tensorflow_file import read_tensorflow


def read_candidate(path: Path) -> Candidate:
    """Read a file and find out what its graph says.

    Args:
        path: An `.onnx` file, a `.tflite` file, or the folder of a SavedModel.

    Raises:
        EngineError: The file is refused, or no cartoonizer's.
    """
    if path.is_dir() or path.suffix == ".tflite":
        return read_tensorflow(path)
    source = read_source(path)
    try:
        prepared = prepare_graph(source)
        facts = find_facts(prepared)
        model, layout, sizes = find_sizes(prepared, facts)
        # As the file has it, so that the finished engine is compared with the file and not with
        # a graph that was changed on the way.
        original = source if sizes.fixed else free_sides(source)
        network = Network(original.SerializeToString())
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error
    return Candidate(
        source=path,
        sha256=file_sha256(path),
        network=network,
        model=model,
        layout=layout,
        output_layout=find_output_layout(network, layout, sizes),
        sizes=sizes,
        facts=facts,
    )
