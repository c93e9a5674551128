"""Executes notebooks, one kernel each, and measures them."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import psutil
from lesson_files import KERNELSPEC, describe_figures, first_line
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

CELL_TIMEOUT_S = 1800
SAMPLE_S = 0.2


@dataclass
class Execution:
    """What came of executing a notebook; `error` is empty where all went well."""

    seconds: float
    peak_mib: float
    error: str = ""


@dataclass
class Progress:
    """Where an execution stands: the cell that runs, of how many, since when."""

    cell: int
    num_cells: int
    seconds: float


def execute(
    notebook: NotebookNode,
    folder: Path,
    env: dict[str, str],
    show: Callable[[Progress], None] = lambda progress: None,
) -> Execution:
    """Execute a notebook in place, until its end or its first error.

    Args:
        notebook: gets the outputs, its figures with their alternative text.
        folder: the kernel's working folder.
        env: the kernel's environment.
        show: called five times a second.

    Returns:
        Seconds, peak memory of the kernel with its children (MiB, sampled five times
        a second) and, where a cell failed, a sentence that names it.
    """
    # MPLBACKEND would keep figures out of the notebook. A python3 kernel that the
    # reader once installed elsewhere must not be taken for the one of this .venv.
    env = {k: v for k, v in env.items() if k != "MPLBACKEND"}
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    notebook.metadata["kernelspec"] = KERNELSPEC
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # its warnings mean nothing to a reader
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.perf_counter()
    cell, peak_mib, error = 0, 0.0, ""

    def note_cell(cell_index: int, **_: object) -> None:
        nonlocal cell
        cell = cell_index + 1

    client.on_cell_start = note_cell
    # In a thread of its own, since nbclient would keep Ctrl-C from this one.
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.execute, env=env)
        try:
            while not wait([future], SAMPLE_S).done:
                peak_mib = max(peak_mib, kernel_mib(client))
                seconds = time.perf_counter() - start
                show(Progress(cell, len(notebook.cells), seconds))
        except BaseException:
            stop_kernel(client, future)
            raise
    try:
        future.result()
    except CellExecutionError as failure:
        error = name_failure(notebook, cell, f"{failure.ename}: {failure.evalue}")
    except (DeadKernelError, TimeoutError) as failure:
        error = name_failure(notebook, cell, f"{type(failure).__name__}: {failure}")
    describe_figures(notebook)
    return Execution(time.perf_counter() - start, peak_mib, error)


def name_failure(notebook: NotebookNode, cell: int, reason: str) -> str:
    """Return which cell failed (counted from 1), its first line, and why."""
    reason = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", reason).split())
    if not 0 < cell <= len(notebook.cells):
        return f"before the first cell: {reason}"
    return f"cell {cell} ({first_line(notebook.cells[cell - 1])!r}): {reason}"


def kernel_pid(client: NotebookClient) -> int | None:
    """Return the process id of the kernel, None before it has started."""
    return getattr(getattr(client.km, "provisioner", None), "pid", None)


def kernel_mib(client: NotebookClient) -> float:
    """Return the memory (MiB) that the kernel and its children hold now."""
    pid = kernel_pid(client)
    total = 0
    if pid:
        with contextlib.suppress(psutil.Error):
            kernel = psutil.Process(pid)
            for process in [kernel, *kernel.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
    return total / 2**20


def stop_kernel(client: NotebookClient, future: Future) -> None:
    """Kill the kernel, so that the execution that waits for it ends."""
    while not future.done():
        pid = kernel_pid(client)
        if pid:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
        wait([future], SAMPLE_S)
