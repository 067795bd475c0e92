"""Nodes come, go and are left out."""

from __future__ import annotations

from toonvid.cluster.nodes import Nodes


def ray_node(node_id: str, host: str, **resources: float) -> dict[str, object]:
    return {"NodeID": node_id, "Alive": True, "NodeManagerHostname": host, "Resources": resources}


def test_nodes_come_go_and_are_left_out():
    nodes = Nodes(with_gpus=False)
    first, second = ray_node("a" * 20, "one", CPU=2.0), ray_node("b" * 20, "one", CPU=4.0)
    assert nodes.update([first, second, ray_node("c", "head", GPU=1.0)]) == []
    assert nodes.slots == 6
    assert [node.name for node in nodes] == ["one/aaaaaa", "one/bbbbbb"]
    best = nodes.freest()
    assert best is not None
    assert best.name == "one/bbbbbb"
    best.running = 4
    assert nodes.freest(other_than=["a" * 20]) is None
    (gone,) = nodes.update([second])
    assert gone.name == "one/aaaaaa"
    assert nodes.slots == 4
    for source in ("a", "b", "a", "b"):
        best.note_failed_source(source, "it breaks")
    best.note_success(10)
    assert nodes.slots == 4
    for source in ("c", "d", "e"):
        best.note_failed_source(source, "it breaks")
    assert (nodes.slots, nodes.refusals) == (0, "one/bbbbbb: it breaks")


def test_a_source_that_a_node_failed_with_before_its_last_success_does_not_count_again():
    nodes = Nodes(with_gpus=False)
    nodes.update([ray_node("a", "one", CPU=1.0)])
    (node,) = nodes
    for source in ("a", "b", "c", "d"):
        for failed in "abcd"[: "abcd".index(source) + 1]:  # each is told again and again
            node.note_failed_source(failed, "it breaks")
        node.note_success(10)
    assert node.is_usable


def test_with_gpus_a_node_makes_a_segment_for_each():
    nodes = Nodes(with_gpus=True)
    nodes.update([ray_node("a", "one", CPU=64.0, GPU=2.0), ray_node("b", "two", CPU=64.0)])
    assert nodes.slots == 2
