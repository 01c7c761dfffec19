"""One training in several processes, as torchrun starts them: what each takes of a batch, and what they share.

Every process draws the same random numbers for the whole batch and takes its share, so that what is computed does not
depend on their number but for rounding. Gradients are averaged by DistributedDataParallel. Means over a batch, as those
of batch norms and of losses that count known pixels alone, are taken over the whole batch.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(minutes=30)  # kernels are compiled at different speeds


@dataclass(frozen=True)
class Processes:
    """The processes of a training: the number of this one, how many there are, and the number on this machine."""

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process logs, validates and saves."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """What this process takes of a batch."""
        return slice(self.rank, None, self.count)

    def check_batch(self, *sizes: int) -> None:
        """Raise a ValueError where a part of the batch cannot be shared evenly."""
        for size in sizes:
            if size % self.count:
                raise ValueError(f"{self.count} processes cannot share {size} images of a batch evenly: change batch")

    def highest(self, number: int) -> int:
        """Return the highest of a number that each process has; all must ask."""
        if self.count == 1:
            return number
        shared = torch.tensor([number], device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of values that each process has."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values / self.count

    def wrapped(self, network: nn.Module, *, all_used: bool = True) -> nn.Module:
        """Return a network whose gradients are averaged, or the network itself where there is one process.

        `all_used`: whether every loss depends on every weight.
        """
        if self.count == 1:
            return network
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a new name for it, which older releases do not know
            return DistributedDataParallel(network, broadcast_buffers=False, find_unused_parameters=not all_used)


ALONE = Processes()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone where it did not.

    NCCL where each process has a GPU of its own and `device` is not "cpu", gloo else. A process that dies ends the
    others with a ValueError of one line; training again goes on from the last checkpoint.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    processes = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    nccl = device != "cpu" and torch.cuda.is_available() and torch.cuda.device_count() > processes.local
    if nccl:
        torch.cuda.set_device(processes.local)
    begun = not distributed.is_initialized()  # else by who calls, who ends it too
    if begun:  # a restart must not find the addresses of those that died
        store, rank, _ = next(rendezvous("env://", timeout=TIMEOUT))
        store = PrefixStore(f"refocal {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        backend = "nccl" if nccl else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    try:
        yield processes
    except RuntimeError as error:
        if not any(word in str(error) for word in ("Connection closed", "gloo", "NCCL", "reset by peer")):
            raise
        raise ValueError(
            f"process {processes.rank} of {count} lost another, which died: training again goes on from the checkpoint"
        ) from error
    finally:
        if begun:
            distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the processes; so is its gradient's."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm over the batches of all processes; torch's SyncBatchNorm wants GPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        sums = torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        mean, square = _Sum.apply(sums) / count
        variance = (square - mean.square()).clamp(min=0)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        made: Tensor = (values - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return made.to(x.dtype)


def share_batch_norms(network: nn.Module) -> None:
    """Let the batch norms of a network count the batches of all processes, where there are several."""
    if not distributed.is_initialized():
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm


def mean_where(values: Tensor, there: Tensor) -> Tensor:
    """Return the mean of values where a mask or a weight is, over the batches of all processes: 0 where it is nowhere.

    Of a process it is its sum over the count of all, times their number: the mean of that is the mean of all.
    """
    count, processes = there.sum(), 1
    if distributed.is_initialized():
        processes = distributed.get_world_size()
        count = count.detach().to(torch.float32)
        distributed.all_reduce(count)
    total: Tensor = (values * there).sum() * processes
    return total / count.clamp(min=1)
