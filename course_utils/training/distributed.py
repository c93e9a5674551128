"""A share of the data for each of several processes that train as one.

Without `torchrun` there is one process, and its share is everything.
"""

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data.distributed import DistributedSampler

from course_utils.training.state import rank, world_size


class EveryExampleOnce(Sampler[int]):
    """This process's part of a data set: each example is in exactly one part.

    PyTorch's `DistributedSampler` repeats examples until all parts are equally long.
    That is right for training, where the processes step together, but counts some
    test images twice.

    Args:
        data: The data set; only its length is used.

    Taught in: lesson 03b, "Several processes".
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

    Taught in: lesson 03b, "Several processes".
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
