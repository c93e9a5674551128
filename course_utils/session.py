"""One call at the top of every lesson: seed, device, profile and folders."""

import os
import platform
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from course_utils._engine.places import PROFILES, find_data_dir, project_root, runs_dir
from course_utils._engine.threads import choose_threads

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """What a lesson runs with.

    Attributes:
        seed: Seed of Python, NumPy and PyTorch.
        device: Where the networks live: CUDA, MPS or CPU.
        profile: ``"quick"`` or ``"full"``.
        data_dir: Folder with the data sets; ``None`` for the built-in data.
        runs_dir: Folder for the reader's own checkpoints.
    """

    seed: int
    device: torch.device
    profile: str
    data_dir: Path | None
    runs_dir: Path

    def pick(self, *, quick: T, full: T) -> T:
        """Return the value for the profile in use."""
        return quick if self.profile == "quick" else full

    def run_dir(self, name: str) -> Path:
        """Return the folder for the checkpoints of lesson `name`, made if missing."""
        folder = self.runs_dir / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"Cannot make the folder {folder} ({error.strerror}); set COURSE_RUNS "
                "to a folder you may write to."
            ) from error
        return folder

    def report(self, result: str, data: str) -> None:
        """Print the lesson's key result, and leave it for the course's own table.

        Args:
            result: One short phrase, for example ``"test accuracy 84.2 %"``.
            data: What it was measured on, for example ``splits.describe()``.
        """
        from IPython.display import display

        display(
            {
                "text/plain": f"Key result: {result} ({data})",
                "application/vnd.resnet-course.result+json": {
                    "result": result,
                    "data": data,
                },
            },
            raw=True,
        )


def choose_device() -> torch.device:
    """Return CUDA if there is a GPU, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_profile(device: torch.device) -> str:
    """Return COURSE_PROFILE; unset: ``"full"`` on a CUDA GPU, else ``"quick"``.

    Raises:
        ValueError: If COURSE_PROFILE is neither of the two.
    """
    usual = "full" if device.type == "cuda" else "quick"
    profile = os.environ.get("COURSE_PROFILE", "").strip() or usual
    if profile not in PROFILES:
        raise ValueError(
            f"COURSE_PROFILE is {profile!r}; set it to 'quick' or 'full', or unset it."
        )
    return profile


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that readers use draw from it
    torch.manual_seed(seed)


def start(seed: int = 0) -> Session:
    """Return the lesson's session, seeded, after printing what it runs with.

    Args:
        seed: Seed of every source of randomness.

    Raises:
        ValueError: If COURSE_PROFILE or COURSE_THREADS is unknown.
        FileNotFoundError: If COURSE_DATA names a folder that does not exist.

    Taught in: lesson 01, first cell.
    """
    device = choose_device()
    profile = choose_profile(device)
    data_dir = find_data_dir()
    threads = choose_threads()
    seed_everything(seed)
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{platform.machine()}, {threads}"
    print(f"profile  {profile}")
    print(f"device   {device.type} ({hardware})")
    print(f"data     {_shown(data_dir) if data_dir else 'built-in sketches'}")
    print(f"seed     {seed}")
    print(f"torch    {torch.__version__}")
    return Session(seed, device, profile, data_dir, runs_dir())


def _shown(folder: Path) -> str:
    """Return `folder` relative to the course where it lies inside."""
    try:
        return folder.resolve().relative_to(project_root()).as_posix() + "/"
    except ValueError:
        return str(folder)
