"""What the lessons run with: Python, PyTorch, packages, threads, memory."""

import json
import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from course_classroom.doctor.lines import (
    Line,
    Lines,
    course,
    few,
    install,
    project,
    unset,
)
from course_utils._engine.places import PROFILES, project_root

GIB = 2**30
PEAK_GIB = 2.1  # the most that `make course` showed for a lesson
TORCH_S = 7.0
TORCH_PROBE = """
import json, torch, torchvision
gpu = ""
if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    gpu = f"CUDA, {card.name}, {card.total_memory / 2**30:.0f} GiB"
elif torch.backends.mps.is_available():
    gpu = "MPS, Apple's GPU, which shares the memory"
print(json.dumps([torch.__version__, torchvision.__version__, gpu]))
"""


def check_python() -> Lines:
    """Name Python; `__main__` has refused one that is too old."""
    yield Line("ok", "Python", f"{sys.version.split()[0]}, {sys.executable}")


class TorchProbe:
    """Imports PyTorch in a process of its own, beside the other checks."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + TORCH_S
        self.process = subprocess.Popen(
            [sys.executable, "-c", TORCH_PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def check(self) -> Lines:
        """Say what came of it."""
        limit_s = max(0.0, self.deadline - time.monotonic())
        try:
            out, error = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            text = f"took longer than {TORCH_S:.0f} s to start, as a first start may"
            yield Line("note", "PyTorch", f"{text}: run {course('doctor')} again")
            return
        if self.process.returncode:
            yield _torch_problem(error, self.process.returncode)
            return
        torch, torchvision, gpu = json.loads(out.splitlines()[-1])
        yield Line("ok", "PyTorch", f"torch {torch}, torchvision {torchvision}")
        if not gpu and shutil.which("nvidia-smi"):
            text = "this PyTorch cannot use the NVIDIA card: quick profile; to use it, "
            mend = install("--force-reinstall", "torch", "torchvision")
            yield Line("note", "GPU", f"{text}run {mend}")
        else:
            yield Line("ok", "GPU", gpu or "none: quick profile")


def _torch_problem(error: str, status: int) -> Line:
    last = (error.strip().splitlines() or [f"exit status {status}"])[-1]
    if "No module named 'torch" in last:
        mend = install()
    else:
        mend = install("--force-reinstall", "--no-deps", "torch", "torchvision")
    return Line("problem", "PyTorch", f"cannot be imported ({last}): run {mend}")


def check_packages() -> Lines:
    """Compare what is installed with constraints.txt."""
    from packaging.requirements import Requirement

    text = (project_root() / "constraints.txt").read_text(encoding="utf-8")
    pins = [Requirement(line) for line in text.splitlines() if line[:1].isalnum()]
    needed = {Requirement(line).name for line in project()["dependencies"]}
    missing, lacking, other = [], [], []
    for pin in pins:
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            version = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            (lacking if pin.name in needed else missing).append(pin.name)
            continue
        if not pin.specifier.contains(version, prereleases=True):
            other.append(f"{pin.name} {version} (tested: {str(pin.specifier)[2:]})")
    if lacking:
        text = f"missing, and needed: {', '.join(lacking)}: run {install()}"
        yield Line("problem", "packages", text)
    if missing:
        yield Line("note", "packages", f"missing: {few(missing)}: run {install()}")
    if other:
        text = f"of other versions than tested: {few(other)}: run {install()}"
        yield Line("note", "packages", text)
    if not (lacking or missing or other):
        yield Line("ok", "packages", "all of the versions in constraints.txt")


def check_profile() -> Lines:
    """Refuse what `session.start` would refuse."""
    value = os.environ.get("COURSE_PROFILE", "").strip()
    if value and value not in PROFILES:
        mend = f"neither quick nor full: run {unset('COURSE_PROFILE')}"
        yield Line("problem", "profile", f"COURSE_PROFILE is {value!r}, {mend}")
    else:
        yield Line("ok", "profile", value or "full on a CUDA GPU, else quick")


def check_threads() -> Lines:
    """Compare OMP_NUM_THREADS with the cores that this process may use."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value.isdigit() and int(value) > cores:
        text = f"OMP_NUM_THREADS is {value}, but there are {cores} cores, so threads "
        text += f"wait for each other: run {unset('OMP_NUM_THREADS')}"
        yield Line("note", "threads", text)
    else:
        text = f"{cores} cores, OMP_NUM_THREADS {value or 'not set: all of them'}"
        yield Line("ok", "threads", text)


def check_memory() -> Lines:
    """Compare the memory with what the largest lesson took."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total / GIB, memory.available / GIB
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text) / GIB)
        free = min(free, total)
    text = f"{free:.1f} of {total:.1f} GiB free; a lesson takes up to {PEAK_GIB} GiB"
    if total < PEAK_GIB:
        yield Line("problem", "memory", f"{text}: use a machine with more")
    elif free < PEAK_GIB:
        yield Line("note", "memory", f"{text}: close other programs")
    else:
        yield Line("ok", "memory", text)
