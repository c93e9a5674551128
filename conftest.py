"""How everything that pytest runs, notebooks too, sees the course."""

import os
import tempfile

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main():
    """Run in the quick profile, without downloads, on no checkpoint of the reader's."""
    os.environ.setdefault("COURSE_DATA", "built-in")
    os.environ |= {"COURSE_OFFLINE": "1", "COURSE_PROFILE": "quick"}
    os.environ.pop("MPLBACKEND", None)  # would keep figures out of notebooks
    with tempfile.TemporaryDirectory() as runs:
        os.environ["COURSE_RUNS"] = runs
        return (yield)
