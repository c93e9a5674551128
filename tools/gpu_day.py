"""Measures what takes a laptop days, in nine minutes of one GPU.

python tools/gpu_day.py --pack cifar10 FILE      a data set's files, in one archive
python tools/gpu_day.py FILE … --out DIR         unpack them; make what is missing
python tools/gpu_day.py --rehearse               every run on this machine, tiny

The runs are commands of the other tools, the most important first. Those whose speed
counts have the GPU for themselves; then several at a time share it, since one small
network leaves most of it idle: where CUDA's Multi-Process Service is installed, kernels
of several processes run at once. What is in results/ already is left out by the tools
themselves; new records are copied to DIR as soon as they are there.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from recording import RESULTS

from course_utils.data.cifar10 import load_cifar10
from course_utils.data.layout import CIFAR10_CLASSES
from course_utils.session import find_data_dir

TOOLS = Path(__file__).resolve().parent
SEEDS = (0, 1, 2)
EPOCHS, STEM_EPOCHS = 20, 30
FAST = ("--network", "resnet18", "--muon", "--label-smoothing", "0.1")
FAST_EPOCHS = 16
BENCH = ("--record", "gpu-bench", "--repeats", "3", "--only", *"abhj")
ABLATION = {  # what differs, the rate that was best on validation photos, the others
    "full": ([], 0.2, (0.1, 0.4)),
    "no-augmentation": (["--no-augmentation"], 0.4, (0.1, 0.2)),
    "no-weight-decay": (["--weight-decay", "0"], 0.4, (0.1, 0.2)),
    "constant-rate": (["--constant-rate"], 0.02, (0.05, 0.1)),
    "no-shortcut": (["--network", "plain"], 0.2, (0.05, 0.1)),
}
STEMS = {"cifar": "resnet18", "imagenet": "resnet18-imagenet-stem"}
USE_GPU = "import torch; torch.ones(1).cuda()"
TINY = {  # what a rehearsal adds to a tool's command
    "train_cifar10.py": ["--epochs", "1", "--train-size", "32"],
    "train_imagenet200.py": ["--epochs", "1", "--train-size", "32"],
    "bench.py": ["--repeats", "1", "--only", "b"],
}


@dataclass(frozen=True)
class Job:
    """One command: a tool and its arguments.

    Attributes:
        tool: A file in tools/, or ``"pytest"``.
        arguments: What it is called with.
        alone: Whether nothing else may run meanwhile.
        statuses: Those that are no failure; 1 of bench.py is a goal that was missed.
    """

    tool: str
    arguments: tuple[str, ...]
    alone: bool = False
    statuses: tuple[int, ...] = (0,)

    def command(self, rehearsal: bool) -> list[str]:
        """Return the command line."""
        if self.tool == "pytest":
            return [sys.executable, "-m", "pytest", *self.arguments]
        extra = TINY[self.tool] if rehearsal else []
        return [sys.executable, str(TOOLS / self.tool), *self.arguments, *extra]


def cifar(
    study: str,
    seed: int,
    lr: float,
    *options: str,
    name: str = "",
    epochs: int = EPOCHS,
    alone: bool = False,
) -> Job:
    """Return a training on CIFAR-10 that is recorded."""
    arguments = ["--study", study, "--seed", str(seed), "--lr", str(lr), "--record"]
    arguments += ["--epochs", str(epochs), *options]
    if name:
        arguments += ["--name", name]
    return Job("train_cifar10.py", tuple(arguments), alone)


def plan(*, rehearsal: bool = False) -> list[Job]:
    """Return all jobs, the most important first; for a rehearsal one of each kind."""
    seeds, depths = (SEEDS[:1], ["20"]) if rehearsal else (SEEDS, ["20", "56"])
    jobs = [
        Job("pytest", ("-q", "tests/test_gpu.py"), alone=True),
        Job("bench.py", BENCH, alone=True, statuses=(0, 1)),
        cifar("fast", 0, 0.1, *FAST, name="resnet18", epochs=FAST_EPOCHS, alone=True),
        Job("train_imagenet200.py", ("--width", "64", "--epochs", "30", "--record")),
    ]
    for seed in seeds:
        jobs += [
            cifar("degradation", seed, 0.1, "--network", network, "--depth", depth)
            for depth in depths
            for network in ("plain", "residual")
        ]
    for seed in seeds:
        jobs += [
            cifar("ablation", seed, best, *options, name=name)
            for name, (options, best, _) in ABLATION.items()
        ]
        jobs += [
            cifar(
                "stem", seed, 0.2, "--network", network, name=name, epochs=STEM_EPOCHS
            )
            for name, network in STEMS.items()
        ]
    if not rehearsal:
        jobs += [
            cifar("ablation-search", 0, lr, *options, name=f"{name}-lr{lr}")
            for name, (options, best, others) in ABLATION.items()
            for lr in (best, *others)
        ]
    return jobs


def pack(name: str, target: Path) -> None:
    """Write the folder `name` of the data folder into one archive.

    Raises:
        SystemExit: If COURSE_DATA names no folder that has it.
    """
    folder = (find_data_dir() or Path("data")) / name
    if not folder.is_dir():
        raise SystemExit(f"There is no {folder}: set COURSE_DATA to a folder with it.")
    with tarfile.open(target, "w:xz") as archive:
        archive.add(folder, name)
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")


@contextlib.contextmanager
def shared_gpu() -> Iterator[None]:
    """Let kernels of several processes run at once, by CUDA's service for that.

    Without it, or where it does not serve, the processes take turns, and each waits
    for all others.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        yield
        return
    places = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        own = dict.fromkeys(places, folder)
        service = os.environ | own
        subprocess.run([control, "-d"], env=service)
        if subprocess.run([sys.executable, "-c", USE_GPU], env=service).returncode == 0:
            os.environ |= own
        try:
            yield
        finally:
            subprocess.run([control], input="quit\n", text=True, env=service)
            for place in places:
                os.environ.pop(place, None)


def deal(
    jobs: Sequence[Job],
    seconds: float,
    processes: int,
    out: Path,
    *,
    rehearsal: bool = False,
) -> list[Job]:
    """Run the jobs until the time is over; return those that failed.

    Args:
        jobs: The most important first.
        seconds: What still runs then is stopped.
        processes: How many run at a time.
        out: Where new records are copied.
        rehearsal: Whether each is made tiny.
    """
    began, failed = time.monotonic(), []
    known = {path: path.stat().st_mtime_ns for path in RESULTS.glob("*.json")}
    waiting, running = list(jobs), {}

    def keep() -> None:
        for path in RESULTS.glob("*.json"):
            if path.stat().st_mtime_ns != known.get(path):
                shutil.copy(path, out)

    while (waiting or running) and time.monotonic() - began < seconds:
        for process, job in list(running.items()):
            if process.poll() is None:
                continue
            del running[process]
            if process.returncode not in job.statuses:
                failed.append(job)
                print(f"FAILED: {job}", flush=True)
            keep()
        while waiting and len(running) < processes:
            if running and (waiting[0].alone or any(j.alone for j in running.values())):
                break
            job = waiting.pop(0)
            running[subprocess.Popen(job.command(rehearsal))] = job
        time.sleep(0.1)
    for process, job in running.items():
        process.kill()
        process.wait()
        print(f"Not finished: {job}", flush=True)
    keep()  # of one that had written its record, and not ended yet
    took = time.monotonic() - began
    print(f"{len(waiting)} not begun, {len(failed)} failed, {took:.0f} s", flush=True)
    return failed


def rehearse() -> int:
    """Run a job of every kind on this machine, tiny; return the exit status.

    Both data sets are a few hundred images of noise.
    """
    rng = np.random.default_rng(0)
    sets = (
        ("imagenet32", ("train", "val"), "ab", 300),
        ("cifar10", ("train", "test"), CIFAR10_CLASSES, 30),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, parts, labels, count in sets:
            for part, label, number in itertools.product(parts, labels, range(count)):
                path = folder / "data" / kind / part / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
        (folder / "results").mkdir()
        environment = {
            "COURSE_RESULTS": str(folder / "results"),
            "COURSE_RUNS": str(folder / "runs"),
            "COURSE_DATA": str(folder / "data"),
            "COURSE_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "TQDM_DISABLE": "1",
        }
        command = [sys.executable, __file__, "--tiny", "--out", str(folder / "out")]
        return subprocess.run(command, env=os.environ | environment).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack, rehearse, or make the runs; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="packed data sets")
    parser.add_argument("--pack", nargs=2, metavar=("NAME", "FILE"))
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--processes", type=int, default=max(2, os.cpu_count() - 1))
    options = parser.parse_args(arguments)
    if options.pack:
        pack(options.pack[0], Path(options.pack[1]))
        return 0
    if options.rehearse:
        return rehearse()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.files:
        data = options.out.resolve() / "data"
        for file in options.files:
            with tarfile.open(file) as archive:
                archive.extractall(data, filter="data")
        os.environ["COURSE_DATA"] = str(data)
    load_cifar10(find_data_dir())  # decoded once, for all
    with shared_gpu():
        failed = deal(
            plan(rehearsal=options.tiny),
            options.seconds,
            options.processes,
            options.out,
            rehearsal=options.tiny,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
