"""What the lessons read and write: disk, runs, cache, data, network."""

import os
import queue
import shutil
import tempfile
import threading
from pathlib import Path

from course_classroom.catalogue import CATALOGUE
from course_classroom.doctor.lines import Line, Lines, command, course, few, unset
from course_utils._engine.places import (
    cache_dir,
    downloads_allowed,
    find_data_dir,
    runs_dir,
)
from course_utils.data.layout import CIFAR10_MIRROR
from course_utils.data.manifest import complaint, read_manifest

GIB = 2**30
LEAST_FREE_GIB = 0.1  # for checkpoints of the quick profile
NETWORK_S = 3.0


def _nearest(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists."""
    path = path.absolute()
    return next((p for p in (path, *path.parents) if p.exists()), path)


def _why_not_writable(path: Path) -> str:
    """Return why no file can be made at or below `path`; "" where one can."""
    try:
        with tempfile.TemporaryFile(dir=_nearest(path)):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def check_disk() -> Lines:
    """Name the free space where data, runs and cache lie."""
    places = {"runs": runs_dir(), "cache": cache_dir()}
    try:
        data = find_data_dir()
    except FileNotFoundError:
        data = None  # said in its own line
    if data:
        places = {"data": data} | places
    free = {
        name: shutil.disk_usage(_nearest(path)).free / GIB
        for name, path in places.items()
    }
    needed = 2 * sum(one.size_mib for one in CATALOGUE.values()) / 1024
    text = ", ".join(f"{name} {gib:.1f} GiB" for name, gib in free.items()) + " free"
    text += f"; all sets with their archives take about {needed:.1f} GiB"
    if free["runs"] < LEAST_FREE_GIB:
        yield Line("problem", "disk", f"{text}: make room at {places['runs']}")
    elif min(free.values()) < needed:
        yield Line("note", "disk", f"{text}: make room, or use the built-in images")
    else:
        yield Line("ok", "disk", text)


def check_runs() -> Lines:
    """Say whether lessons can save their checkpoints."""
    folder = runs_dir()
    if reason := _why_not_writable(folder):
        verb = "set COURSE_RUNS=" if os.name == "nt" else "export COURSE_RUNS="
        mend = f"run {verb}{command(str(Path.home() / 'resnet-runs'))}"
        text = f"{folder} cannot be written ({reason}): {mend}"
        yield Line("problem", "runs", text)
    else:
        yield Line("ok", "runs", f"{folder} can be written")


def check_cache() -> Lines:
    """Say whether decoded images can be kept, and what is kept."""
    folder = cache_dir()
    if reason := _why_not_writable(folder):
        text = f"{folder} cannot be written ({reason}), so images are decoded each "
        text += "time: set COURSE_CACHE to a folder of yours"
        yield Line("note", "cache", text)
    else:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        yield Line("ok", "cache", f"{folder}, {size / 2**20:.0f} MiB, can be written")


def check_data() -> Lines:
    """Say of each set whether it is there, whole, and of this version."""
    try:
        folder = find_data_dir()
    except FileNotFoundError as error:
        mend = f"run {unset('COURSE_DATA')}"
        yield Line("problem", "data", f"{error} To unset it, {mend}")
        return
    if folder is None:
        yield Line("ok", "data", "the built-in images (COURSE_DATA=built-in)")
        return
    read_only = " (read-only, which is fine)" if _why_not_writable(folder) else ""
    yield Line("ok", "data", f"{folder}{read_only}")
    try:
        prepared = read_manifest(folder).get("sets", {})
    except ValueError as error:
        yield Line("note", "data", str(error))
        prepared = {}
    missing = []
    for name in CATALOGUE:
        line = _data_line(name, folder, name in prepared)
        if line:
            yield line
        else:
            missing.append(name)
    if missing:
        sizes = ", ".join(
            f"{name} ({CATALOGUE[name].size_mib} MiB)" for name in missing
        )
        text = f"not there: {sizes}; lessons go on with the built-in images: run "
        yield Line("note", "data", text + course("prepare", *missing, str(folder)))


def _data_line(name: str, folder: Path, prepared: bool) -> Line | None:
    """Return the line of one set; None where nothing of it is there or ought to be."""
    try:
        found = CATALOGUE[name].look(folder)
    except OSError as error:
        return Line("note", name, f"cannot be read ({error.strerror}): copy it again")
    if prepared and (text := complaint(folder, name)):
        return Line("note", name, text)
    if not found:
        return None
    if found.missing:
        text = f"incomplete ({found.text}), missing: {few(found.missing.split(', '))}"
        mend = f"copy it again, or run {course('prepare', name, str(folder))}"
        return Line("note", name, f"{text}: {mend}")
    return Line("ok", name, found.text + ", as prepared" * prepared)


def check_network() -> Lines:
    """Ask one mirror for the head of a page, and fetch nothing."""
    if not downloads_allowed():
        yield Line("ok", "network", "not asked: COURSE_OFFLINE forbids downloads")
        return
    import httpx

    answers: queue.SimpleQueue = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(httpx.head(CIFAR10_MIRROR, timeout=NETWORK_S).status_code)
        except Exception as error:  # whatever it is, nobody answered
            answers.put(error)

    # In a thread: no time limit of a socket covers looking up the mirror's name.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=NETWORK_S)
    except queue.Empty:
        answer = TimeoutError(f"no answer within {NETWORK_S:.0f} s")
    if isinstance(answer, Exception):
        text = f"{CIFAR10_MIRROR} cannot be reached ({answer}): lessons go on with the "
        yield Line("note", "network", text + "data that are here, or built in")
    else:
        yield Line("ok", "network", f"{CIFAR10_MIRROR} answers")
