"""Connection: a Ray cluster that is started on this machine, or one that is running.

In: an address. Out: the module `ray`, connected, until the context is left. Ray is an extra, so it
is imported here, when it is asked for, and nowhere else while toonvid is loaded.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

from toonvid.child_python import child_python
from toonvid.cluster.check_frames import cpu_cores
from toonvid.errors import ClusterError

AUTO, LOCAL = "auto", "local"
_INSTALL = "pip install 'toonvid[cluster]'"
_CLIENT = "ray://"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0  # in which a head node answers Ray
_IS_SILENT = 9  # exit code of a process of its own
_ASK = """
import os, sys, threading
from ray._raylet import GcsClient
timer = threading.Timer(float(sys.argv[2]), os._exit, [int(sys.argv[3])])
timer.daemon = True
timer.start()
GcsClient(address=sys.argv[1])
"""
_MAX_STORE_BYTES = 2**30  # of a cluster on this machine: each segment waits there for a moment


def is_ray_installed() -> bool:
    """Whether the extra `cluster` is installed. It may still fail to load."""
    return find_spec("ray") is not None


def load_ray() -> ModuleType:
    """Import Ray.

    Raises:
        ClusterError: It is not installed, or cannot be loaded.
    """
    # Nothing about what is converted may leave the machine: Ray reports its use unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"--cluster needs Ray: {_INSTALL} ({error})") from error
    module: ModuleType = ray
    return module


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Connect to a cluster, and leave it on exit; a cluster that was started here is ended.

    Args:
        address: `local` starts a cluster on this machine; `auto` finds the one that this machine
            belongs to; otherwise the address of its head node, such as `10.0.0.1:6379`.

    Yields:
        The module `ray`.

    Raises:
        ClusterError: There is no such cluster, or this machine does not belong to it.
    """
    if address.startswith(_CLIENT):
        raise ClusterError(
            f"--cluster {address}: Ray's client is not supported, because sources could not be read"
            " from this machine; make this machine a node (ray start --address HOST:6379) and use"
            " --cluster auto"
        )
    ray = load_ray()
    _refuse_silent(address)
    values: dict[str, object] = {"address": address}
    if address == LOCAL:
        values |= {
            "num_cpus": cpu_cores(),
            "include_dashboard": False,
            "object_store_memory": _MAX_STORE_BYTES // 2,
        }
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **values,
            logging_level=logging.ERROR,
            log_to_driver=False,  # what workers print is in Ray's own logs
            namespace="toonvid",
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise _unreachable(address, reason) from error
    finally:
        # Ray puts its own handler in the place of the one that ends toonvid cleanly.
        if terminate is not None:
            signal.signal(signal.SIGTERM, terminate)
    _keep_quiet()
    try:
        yield ray
    finally:
        ray.shutdown()


def _keep_quiet() -> None:
    """Keep Ray from printing to standard output, where `--json` has its lines.

    With `log_to_driver=False` it still prints a paragraph there for each process that was lost,
    which toonvid reports in a line of its own. Ray has no setting for that (`listen_error_messages`
    in `ray/_private/worker.py`).
    """
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _refuse_silent(address: str) -> None:
    """Refuse an address at which nothing listens, or no head node: Ray would try for minutes.

    Raises:
        ClusterError: There is no head node.
    """
    host, _, port = address.rpartition(":")
    if not host:  # `auto` or `local`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, str(error)) from error
    # Ray's client of a head node cannot be interrupted, and prints what it waits for. Any other
    # failure than silence is left to `ray.init`, which names it.
    limits = [str(_ANSWER_SECONDS), str(_IS_SILENT)]
    command = [*child_python(), "-c", _ASK, address, *limits]
    asked = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if asked.returncode == _IS_SILENT:
        raise _unreachable(address, "what listens there is no head node")


def _unreachable(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"no cluster can be reached at {address!r} ({reason.rstrip('.')}): start one with"
        " 'ray start --head' here, or join one with 'ray start --address HOST:6379'"
    )
