"""Progress bars, where there is somebody to see them."""

import os

from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from course_utils.distributed import rank


def progress_bar(loader: DataLoader, name: str, shown: bool) -> tqdm:
    """Return the loader's batches under a bar, which TQDM_DISABLE=1 hides."""
    # in a notebook tqdm does not look at the variable itself
    silent = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    # iter: given the loader itself, tqdm.auto would start it twice
    return tqdm(
        iter(loader),
        name,
        len(loader),
        leave=False,
        disable=silent or not shown or rank() > 0,
    )
