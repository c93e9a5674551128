"""Progress bars, where there is somebody to see them."""

import os

import torch.distributed as dist
from torch.utils.data import DataLoader
from tqdm.auto import tqdm


def progress_bar(loader: DataLoader, name: str, shown: bool) -> tqdm:
    """Return the loader's batches under a bar, which TQDM_DISABLE=1 hides.

    Of several processes only the first shows one.
    """
    # in a notebook tqdm does not look at the variable itself
    silent = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    is_first = (
        not (dist.is_available() and dist.is_initialized()) or not dist.get_rank()
    )
    # iter: given the loader itself, tqdm.auto would start it twice
    return tqdm(
        iter(loader),
        name,
        len(loader),
        leave=False,
        disable=silent or not (shown and is_first),
    )
