"""Arrays that are slow to make, kept in the user's cache folder."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from course_utils._engine.files import write_atomically
from course_utils._engine.places import cache_dir

Arrays = dict[str, np.ndarray]


def load_or_make(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays kept under `key`, made and kept first if they are missing.

    A damaged file is made anew. Where the cache cannot be written to, the arrays
    are returned all the same, and one line says why they were not kept.

    Args:
        key: A name that changes whenever the arrays would.
        make: Makes the arrays; called at most once.
    """
    path = cache_dir() / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        print(f"The cached file {path} is damaged; making it again.")
    arrays = make()

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # a name would gain the suffix .npz
            np.savez(file, **arrays)

    try:
        write_atomically(path, write)
    except OSError as error:
        print(
            f"Could not keep decoded images in {path.parent} ({error.strerror}); going "
            "on without. Set COURSE_CACHE to a folder with space to save time."
        )
    return arrays
