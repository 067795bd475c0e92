"""Check of Ray: whether it is installed, and whether a cluster can be reached from this machine.

In: the extra `cluster`. Out: one result. Nothing is started.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from toonvid.cluster.connection import AUTO, connected, is_ray_installed
from toonvid.cluster.nodes import Nodes
from toonvid.doctor.check_result import CheckResult, Fact
from toonvid.errors import ClusterError

_INSTALL = "pip install 'toonvid[cluster]'"
_START = "ray start --head"


def check_cluster() -> list[CheckResult]:
    """Connect to the cluster that this machine belongs to, if it belongs to one."""
    if not is_ray_installed():
        return [CheckResult("cluster", "ray", "missing", "not installed", _INSTALL)]
    try:
        release = version("ray")
    except PackageNotFoundError:
        release = "of unknown version"
    facts: dict[str, Fact] = {"version": release, "nodes": 0, "cores": 0}
    try:
        with connected(AUTO) as ray:
            nodes = Nodes(with_gpus=False)
            nodes.update(ray.nodes())
            facts |= {"nodes": len(list(nodes)), "cores": nodes.slots}
    except ClusterError:
        message = f"{release}; this machine belongs to no cluster (only --cluster local works)"
        return [CheckResult("cluster", "ray", "ok", message, _START, facts)]
    message = f"{release}; a cluster of {facts['nodes']} nodes with {facts['cores']} cores"
    return [CheckResult("cluster", "ray", "ok", message, facts=facts)]
