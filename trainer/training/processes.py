"""The processes of a run that `torchrun` started: what they exchange, and what ends them together.

In: the environment of `torchrun`. Out: `Processes`, through which each process sums its gradients
with those of the others and agrees with them on what happens next. A run of one process has
`ALONE`, whose exchanges do nothing.

Each process computes the gradients of its share of a batch, and their sum is what one process
computes from the whole batch, up to rounding. So all processes do the same updates on the same
weights, and only the first of them writes files.

Gradients are summed by hand, in one buffer after the last micro-batch. PyTorch's
`DistributedDataParallel` computes the same sums, and does not fit here for three reasons. It
exchanges gradients during the backward pass, so a process that runs out of memory there, and
repeats the step in smaller parts, would leave the others waiting. It has to be entered by its own
`forward`, while the losses here call parts of a generator (`CelGenerator.layers`, either generator
of CycleGAN), several times in a step. And it needs a backward pass in each process, while a process
without images of the subset may have no loss at all.

Left out: which images a process takes (`trainer.data.share`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from toonvid.errors import TrainingError
from trainer.data.share import WHOLE, Share
from trainer.device import DeviceName

Value = TypeVar("Value")

STEP_TIMEOUT = timedelta(minutes=10)
"""Longest time that a process waits for another one within the training loop."""
LONG_TIMEOUT = timedelta(days=1)
"""Longest time outside of the loop, where one process may download weights or cut a video."""

_FAILED = "failed"
"""Key of the store that counts the processes that failed."""


@dataclass(frozen=True)
class Groups:
    """Groups of all processes, one for each kind of exchange."""

    store: dist.Store
    """Keys and values that all processes share; it outlives each of them."""
    steps: dist.ProcessGroup
    """Exchanges on the CPU within the training loop, by gloo."""
    tensors: dist.ProcessGroup
    """Exchanges of tensors on the run's device: nccl on GPUs, else gloo."""
    long: dist.ProcessGroup
    """Exchanges that may wait for long work of another process, by gloo."""


class Processes:
    """This process among those of a run.

    Every method that exchanges something has to be called by all processes, in the same order. Each
    raises a `TrainingError` if another process ended, or does not answer in time.
    """

    def __init__(self, share: Share = WHOLE, groups: Groups | None = None) -> None:
        """Describe a process.

        Args:
            share: Its number, the number of processes, and its share of each batch.
            groups: How it reaches the others; None for a run of one process.
        """
        self.share = share
        self._groups = groups

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files and prints."""
        return self.share.index == 0

    def check_batch(self, batch_size: int) -> None:
        """Check that a batch can be split evenly.

        Raises:
            TrainingError: The number of processes does not divide it.
        """
        count = self.share.count
        if batch_size % count:
            raise TrainingError(
                f"a batch of {batch_size} cannot be split among {count} processes:"
                f" --batch-size {-(-batch_size // count) * count} can"
            )

    def check_equal(self, name: str, value: object) -> None:
        """Check that all processes have an equal value.

        Raises:
            TrainingError: They differ; the message says in what, by the name.
        """
        values = self._collect(value)
        if any(other != values[0] for other in values):
            raise TrainingError(
                f"the processes of this run have different {name}: give all of them the same"
                " options, folders and devices"
            )

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if not self._groups:
            return flag
        flags = torch.tensor([flag], dtype=torch.uint8)
        return bool(self._reduce(flags, self._groups.steps, dist.ReduceOp.MAX).item())

    def sum_values(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum values by name; a process may lack some names."""
        sums: Counter[str] = Counter()
        for part in self._collect(dict(values)):
            for name, value in part.items():
                sums[name] += value
        return dict(sums)

    def mean(self, values: Sequence[float]) -> list[float]:
        """Average each value over the processes."""
        parts = self._collect(list(values))
        return [sum(of_one) / len(parts) for of_one in zip(*parts, strict=True)]

    def merge(self, values: Mapping[Value, str]) -> dict[Value, str]:
        """Merge the entries of all processes."""
        return {key: text for part in self._collect(dict(values)) for key, text in part.items()}

    def gather(self, images: Tensor) -> Tensor:
        """Put the shares of a batch together.

        Args:
            images: This process's share, (n, 3, H, W).

        Returns:
            The whole batch in its own order, (n * count, 3, H, W).
        """
        if not self._groups:
            return images
        images = images.contiguous()
        parts = [torch.empty_like(images) for _ in range(self.share.count)]
        with _explained():
            dist.all_gather(parts, images, group=self._groups.tensors)
        return torch.stack(parts, dim=1).flatten(0, 1)  # the images of the shares alternate

    def sum_gradients(self, network: nn.Module) -> None:
        """Replace the gradients of a network by their sums over the processes.

        A parameter without a gradient in every process keeps none, as it would in a run of one
        process. For the exchange, a second copy of all gradients is held.
        """
        if not self._groups:
            return
        parameters = list(network.parameters())
        present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
        anywhere = self._reduce(present, self._groups.steps, dist.ReduceOp.MAX).tolist()
        learning = [p for p, used in zip(parameters, anywhere, strict=True) if used]
        if not learning:
            return
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in learning]
        buffer = torch.cat([gradient.flatten() for gradient in gradients])
        self._reduce(buffer, self._groups.tensors, dist.ReduceOp.SUM)
        sums = buffer.split([gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view(gradient.shape))

    def average_statistics(self, network: nn.Module) -> None:
        """Average BatchNorm's running statistics over the processes.

        Each process normalizes by its own micro-batches. PyTorch's `SyncBatchNorm`, which would
        normalize by the whole batch, does not run on CPUs.
        """
        norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
        statistics = [s for norm in norms for s in (norm.running_mean, norm.running_var)]
        if not self._groups or not statistics:
            return
        buffer = torch.cat(statistics)
        self._reduce(buffer, self._groups.tensors, dist.ReduceOp.SUM)
        means = (buffer / self.share.count).split([len(values) for values in statistics])
        for values, mean in zip(statistics, means, strict=True):
            values.copy_(mean)

    def copy_from_first(self, network: nn.Module) -> None:
        """Replace all weights and buffers of a network by those of the first process.

        The seed gives the same random weights everywhere only on machines that compute alike.
        """
        if not self._groups:
            return
        with _explained():
            for tensor in (*network.parameters(), *network.buffers()):
                values = tensor.detach().contiguous()
                dist.broadcast(values, src=0, group=self._groups.tensors)
                tensor.detach().copy_(values)

    def from_first(self, compute: Callable[[], Value]) -> Value:
        """Return what the first process computes; the others wait as long as it takes.

        Args:
            compute: Called in the first process alone.
        """
        if not self._groups:
            return compute()
        values = [compute() if self.is_first else None]
        with _explained():
            dist.broadcast_object_list(values, src=0, group=self._groups.long)
        return values[0]

    def wait(self) -> None:
        """Wait until all processes are here, as long as it takes."""
        if self._groups:
            self._reduce(torch.zeros(1), self._groups.long, dist.ReduceOp.SUM)

    def is_first_to_fail(self) -> bool:
        """Whether no other process failed before; the others fail for want of this one.

        So one process alone prints its error, which is the cause.
        """
        if not self._groups:
            return True
        try:
            return bool(self._groups.store.add(_FAILED, 1) == 1)
        except RuntimeError:
            return True  # the store ended with torchrun itself

    def _collect(self, value: Value) -> list[Value]:
        """Return the value of each process, in their order."""
        if not self._groups:
            return [value]
        values: list[Value | None] = [None] * self.share.count
        with _explained():
            dist.all_gather_object(values, value, group=self._groups.steps)
        return values  # type: ignore[return-value]

    def _reduce(self, values: Tensor, group: dist.ProcessGroup, how: dist.ReduceOp) -> Tensor:
        """Reduce values over the processes, in place; every process gets the same bits."""
        with _explained():
            dist.all_reduce(values, op=how, group=group)
        return values


ALONE = Processes()
"""A run of one process."""


@contextmanager
def join_processes(
    device: DeviceName, step_timeout: timedelta = STEP_TIMEOUT
) -> Iterator[Processes]:
    """Join the other processes that `torchrun` started; without `torchrun`, there are none.

    Args:
        device: Device that was asked for.
        step_timeout: Longest time that a process waits for another one within the training loop.

    Yields:
        This process. When the block ends without an error, it waits for the others.

    Raises:
        TrainingError: The others cannot be reached.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield ALONE
        return
    share = Share(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if share.count == 1:
        yield ALONE
        return
    if not dist.is_gloo_available():
        raise TrainingError("this PyTorch has no gloo, which several processes need")
    on_gpus = device != "cpu" and torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    with _explained():
        shared, _, _ = next(dist.rendezvous("env://"))
        # Where torchrun starts all processes again, the store still has what the ended ones wrote.
        store = dist.PrefixStore(f"toonvid-{os.environ['TORCHELASTIC_RESTART_COUNT']}", shared)
        dist.init_process_group(
            backend,
            timeout=step_timeout,
            rank=share.index,
            world_size=share.count,
            store=store,
        )
        groups = Groups(
            store=store,
            steps=dist.new_group(timeout=step_timeout, backend="gloo"),
            tensors=dist.group.WORLD,
            long=dist.new_group(timeout=LONG_TIMEOUT, backend="gloo"),
        )
    processes = Processes(share, groups)
    yield processes
    # Not after an error: to leave a group whose other processes ended may wait for them.
    processes.wait()
    dist.destroy_process_group()


def choose_gpu(device: DeviceName) -> None:
    """Choose this process's own GPU among those of the machine, if it has any and they are wanted.

    Args:
        device: Device that was asked for.

    Raises:
        TrainingError: The machine has fewer GPUs than processes.
    """
    if device == "cpu" or not torch.cuda.is_available():
        return
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if here > gpus:
        raise TrainingError(
            f"{here} processes on a machine with {gpus} GPUs: --nproc-per-node {gpus}, or"
            " --device cpu"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what PyTorch raises for a lost connection into an error of one line."""
    try:
        yield
    except RuntimeError as error:  # gloo raises no narrower one, and DistError is one of these
        if isinstance(error, torch.OutOfMemoryError):
            raise
        text = str(error)
        reason = "did not answer in time" if "imed out" in text or "imeout" in text else "ended"
        raise TrainingError(
            f"another process of this run {reason}; its newest training state is kept, and the same"
            " command goes on from there"
        ) from error
