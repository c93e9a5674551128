"""How everything that pytest runs, notebooks too, sees the course."""

import os
import tempfile
from pathlib import Path

import pytest

# One translated notebook is executed: the code of the others is proven to be the same.
collect_ignore_glob = ["notebooks/zh/0[!2]_*.ipynb"]


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main():
    """Run in the quick profile, without downloads, on no checkpoint of the reader's.

    The workers of pytest-xdist come here, too: each has runs of its own, and the cache
    of the process that started them, since drawing the sketches takes a while.
    """
    os.environ.setdefault("COURSE_DATA", "built-in")
    os.environ |= {"COURSE_OFFLINE": "1", "COURSE_PROFILE": "quick"}
    os.environ.pop("MPLBACKEND", None)  # would keep figures out of notebooks
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSE_RUNS"] = str(Path(folder, "runs"))
        os.environ.setdefault("COURSE_CACHE", str(Path(folder, "cache")))
        return (yield)
