"""One training in several processes: who is who, shares of the data, common sums.

Without `torchrun` there is one process, and everything here does nothing.
"""

import io
from collections.abc import Iterator, Sized
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler
from torch.utils.data.distributed import DistributedSampler


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if _in_group() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _in_group() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of every process's `values`, the same in all of them."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def gather(value: Any) -> list[Any]:
    """Return every process's `value`, which `torch.save` can write, by rank."""
    if world_size() == 1:
        return [value]
    buffer = io.BytesIO()
    torch.save(value, buffer)
    files = [b""] * world_size()
    dist.all_gather_object(files, buffer.getvalue())
    return [torch.load(io.BytesIO(file), weights_only=True) for file in files]


def share_buffers(model: nn.Module) -> None:
    """Give all processes the buffers of rank 0, such as BatchNorm's running means."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside a parallel wrapper, with its own parameter names."""
    wrappers = (DistributedDataParallel, nn.DataParallel)
    return model.module if isinstance(model, wrappers) else model


def without_ddp(model: nn.Module) -> nn.Module:
    """Return what to evaluate with: the ranks may then take different batch counts."""
    inner = getattr(model, "_orig_mod", model)  # what torch.compile wrapped
    return inner.module if isinstance(inner, DistributedDataParallel) else model


class EveryExampleOnce(Sampler[int]):
    """This process's part of a data set: each example is in exactly one part.

    PyTorch's `DistributedSampler` repeats examples until all parts are equally long.
    That is right for training, where the processes step together, but counts some
    test images twice.

    Args:
        data: The data set; only its length is used.

    Taught in: lesson 03, "Several GPUs".
    """

    def __init__(self, data: Sized) -> None:
        self.indices = range(rank(), len(data), world_size())

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def loader_of_this_rank(
    loader: DataLoader, *, train: bool, seed: int = 0
) -> DataLoader:
    """Return a loader of this process's part of the data, its batches made smaller.

    Together the processes see batches of the size that `loader` has.

    Args:
        loader: A loader of the whole data.
        train: Whether to shuffle, anew each epoch, and make all parts equally long;
            else each example is in exactly one part.
        seed: Seed of the order; the same in all processes.

    Raises:
        ValueError: If the batch size is not a multiple of the number of processes.

    Taught in: lesson 03, "Several GPUs".
    """
    batch_size, rest = divmod(loader.batch_size, world_size())
    if rest:
        raise ValueError(
            f"Batches of {loader.batch_size} cannot be shared by {world_size()} "
            f"processes; use a multiple of {world_size()}."
        )
    if train:
        sampler = DistributedSampler(loader.dataset, world_size(), rank(), seed=seed)
    else:
        sampler = EveryExampleOnce(loader.dataset)
    return DataLoader(
        loader.dataset,
        batch_size,
        sampler=sampler,
        generator=loader.generator,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
    )


def device_of_rank(device: torch.device) -> torch.device:
    """Return the GPU of this process where there are several, else `device`."""
    if device.type == "cuda":
        return torch.device("cuda", rank() % torch.cuda.device_count())
    return device
