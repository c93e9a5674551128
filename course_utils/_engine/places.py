"""The folders of the course, and whether it may ask the network for anything."""

import os
from pathlib import Path

PROFILES = ("quick", "full")


def project_root() -> Path:
    """Return the folder of the course: the checkout, else the working folder."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def results_dir() -> Path:
    """Return the folder of the recorded runs: the wheel's copy, else ``results/``."""
    copy = Path(__file__).resolve().parents[1] / "recorded"  # setup.py puts it there
    return copy if copy.is_dir() else project_root() / "results"


def find_data_dir() -> Path | None:
    """Return COURSE_DATA as a folder (default ``data/``), or None for ``built-in``.

    Raises:
        FileNotFoundError: If COURSE_DATA names a folder that does not exist.
    """
    value = os.environ.get("COURSE_DATA", "").strip()
    if value == "built-in":
        return None
    if not value:
        return project_root() / "data"
    folder = Path(value).expanduser()
    try:
        found = folder.is_dir()
    except OSError:  # a stick that was pulled out, a share that refuses
        found = False
    if not found:
        raise FileNotFoundError(
            f"COURSE_DATA is {value!r}, which is not a folder; give an existing "
            "folder, 'built-in' for the drawn data, or unset it for data/."
        )
    return folder


def runs_dir() -> Path:
    """Return the folder for the reader's checkpoints: COURSE_RUNS, else ``runs/``."""
    value = os.environ.get("COURSE_RUNS", "").strip()
    return Path(value).expanduser() if value else project_root() / "runs"


def cache_dir() -> Path:
    """Return the course's cache folder: COURSE_CACHE, else the user's own."""
    value = os.environ.get("COURSE_CACHE", "").strip()
    if value:
        return Path(value).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("resnet-course", appauthor=False)


def downloads_allowed() -> bool:
    """Return whether downloads are allowed: COURSE_OFFLINE=1 forbids them."""
    return os.environ.get("COURSE_OFFLINE", "").strip() in ("", "0")
