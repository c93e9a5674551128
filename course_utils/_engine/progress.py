"""Progress bars, where there is somebody to see them."""

import os
from collections.abc import Collection

from tqdm.auto import tqdm


def progress_bar(things: Collection, name: str, shown: bool) -> tqdm:
    """Return things, such as a loader's batches, under a bar.

    Where TQDM_DISABLE is set there is none: in a notebook tqdm ignores it by itself.
    """
    hidden = not shown or "TQDM_DISABLE" in os.environ
    # iter: given a loader itself, tqdm.auto would start it twice
    return tqdm(iter(things), name, len(things), leave=False, disable=hidden)
