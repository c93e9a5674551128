"""What the lessons run with: Python, PyTorch, packages, memory."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata

from course_classroom.doctor.lines import Line, Lines, few, install, project, unset
from course_utils._engine.places import PROFILES, project_root

PEAK_GIB = 2.1  # the most that `make course` showed for a lesson
TORCH_S = 60.0  # a first start from a slow disk takes a while
TORCH_PROBE = """
import json, torch, torchvision
from course_utils._engine.threads import choose_threads
gpu = ""
if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    gpu = f"CUDA, {card.name}, {card.total_memory / 2**30:.0f} GiB"
elif torch.backends.mps.is_available():
    gpu = "MPS, Apple's GPU, which shares the memory"
versions = torch.__version__, torchvision.__version__
print(json.dumps([*versions, gpu, choose_threads()]))
"""


def check_torch() -> Lines:
    """Name Python, and import PyTorch in a process of its own."""
    yield Line("ok", "Python", f"{sys.version.split()[0]}, {sys.executable}")
    try:
        done = subprocess.run(
            [sys.executable, "-c", TORCH_PROBE],
            capture_output=True,
            text=True,
            timeout=TORCH_S,
        )
    except subprocess.TimeoutExpired:
        text = f"did not start within {TORCH_S:.0f} s; try again when nothing else runs"
        yield Line("note", "PyTorch", text)
        return
    if done.returncode:
        last = (done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]
        again = ("--force-reinstall", "--no-deps", "torch", "torchvision")
        mend = install() if "No module named 'torch" in last else install(*again)
        yield Line("problem", "PyTorch", f"cannot be imported ({last})", mend)
        return
    torch, torchvision, gpu, threads = json.loads(done.stdout.splitlines()[-1])
    yield Line("ok", "PyTorch", f"torch {torch}, torchvision {torchvision}")
    if not gpu and shutil.which("nvidia-smi"):
        text = "this PyTorch cannot use the NVIDIA card, so the profile is quick"
        mend = install("--force-reinstall", "torch", "torchvision")
        yield Line("note", "GPU", text, mend)
    else:
        yield Line("ok", "GPU", gpu or "none: quick profile")
    yield Line("ok", "threads", f"{threads}; COURSE_THREADS sets their number")


def check_packages() -> Lines:
    """Compare what is installed with constraints.txt."""
    from packaging.requirements import Requirement

    text = (project_root() / "constraints.txt").read_text(encoding="utf-8")
    pins = [Requirement(line) for line in text.splitlines() if line[:1].isalnum()]
    needed = {Requirement(line).name for line in project()["dependencies"]}
    missing, other = [], []
    for pin in pins:
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            version = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            missing.append(pin.name)
            continue
        if not pin.specifier.contains(version, prereleases=True):
            other.append(f"{pin.name} {version} (tested: {str(pin.specifier)[2:]})")
    if missing:
        mark = "problem" if needed.intersection(missing) else "note"
        yield Line(mark, "packages", f"missing: {few(missing)}", install())
    if other:
        text = f"of other versions than tested: {few(other)}"
        yield Line("note", "packages", text, install())
    if not (missing or other):
        yield Line("ok", "packages", "all of the versions in constraints.txt")


def check_profile() -> Lines:
    """Refuse what `session.start` would refuse."""
    value = os.environ.get("COURSE_PROFILE", "").strip()
    if value and value not in PROFILES:
        text = f"COURSE_PROFILE is {value!r}, neither quick nor full"
        yield Line("problem", "profile", text, unset("COURSE_PROFILE"))


def check_memory() -> Lines:
    """Compare the memory with what the largest lesson took."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total / 2**30, memory.available / 2**30
    text = f"{free:.1f} of {total:.1f} GiB free; a lesson takes up to {PEAK_GIB} GiB"
    if total < PEAK_GIB:
        yield Line("problem", "memory", f"{text}: use a machine with more")
    elif free < PEAK_GIB:
        yield Line("note", "memory", f"{text}: close other programs")
    else:
        yield Line("ok", "memory", text)
