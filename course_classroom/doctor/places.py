"""What the lessons read and write: folders, data, network."""

import os
import shutil
import tempfile
from pathlib import Path

from course_classroom.catalogue import CATALOGUE, sizes
from course_classroom.doctor.lines import Line, Lines, command, course, few, unset
from course_utils._engine.places import (
    cache_dir,
    downloads_allowed,
    find_data_dir,
    runs_dir,
)
from course_utils._engine.time_limit import in_time
from course_utils.data.layout import CIFAR10_MIRROR
from course_utils.data.manifest import complaint, read_manifest

LEAST_FREE_GIB = 0.1  # for checkpoints of the quick profile, or decoded images
NETWORK_S = 3.0


def check_folders() -> Lines:
    """Say whether there is a place for checkpoints and for decoded images."""
    for what, folder in (("runs", runs_dir()), ("cache", cache_dir())):
        mark = "problem" if what == "runs" else "note"  # without a cache it is slower
        another = command(str(Path.home() / f"resnet-{what}"))
        verb = "set" if os.name == "nt" else "export"
        mend = f"{verb} COURSE_{what.upper()}={another}"
        if reason := _why_not_writable(folder):
            yield Line(mark, what, f"{folder} cannot be written ({reason})", mend)
            continue
        free = shutil.disk_usage(_nearest(folder)).free / 2**30
        text = f"{folder}, {free:.1f} GiB free"
        if free < LEAST_FREE_GIB:
            yield Line(mark, what, f"{text}: make room, or use another disk", mend)
        else:
            yield Line("ok", what, text)


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


def check_data() -> Lines:
    """Say of each set whether it is there, whole, and of this version."""
    try:
        folder = find_data_dir()
    except FileNotFoundError as error:
        yield Line("problem", "data", str(error), unset("COURSE_DATA"))
        return
    if folder is None:
        yield Line("ok", "data", "the built-in images (COURSE_DATA=built-in)")
        return
    yield Line("ok", "data", str(folder))
    try:
        prepared = read_manifest(folder)["sets"]
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
        text = f"not there: {sizes(missing)}; lessons go on with the built-in images"
        mend = course("prepare", *missing, str(folder))
        yield Line("note", "data", text, mend)


def _data_line(name: str, folder: Path, prepared: bool) -> Line | None:
    """Return the line of one set; None where nothing of it is there or ought to be."""
    found = CATALOGUE[name].look(folder)
    if prepared and (text := complaint(folder, name)):
        return Line("note", name, text, course("prepare", name, str(folder)))
    if not found:
        return None
    if found.missing:
        text = f"incomplete ({found.text}), missing: {few(found.missing.split(', '))}"
        mend = course("prepare", name, str(folder))
        return Line("note", name, f"{text}; copy it again, or fetch it", mend)
    return Line("ok", name, found.text + ", as prepared" * prepared)


def check_network() -> Lines:
    """Ask one mirror for the head of a page, and fetch nothing."""
    if not downloads_allowed():
        yield Line("ok", "network", "not asked: COURSE_OFFLINE forbids downloads")
        return
    import httpx

    try:
        in_time(lambda: httpx.head(CIFAR10_MIRROR, timeout=NETWORK_S), NETWORK_S)
    except (httpx.HTTPError, TimeoutError) as error:
        why = str(error) or "no answer"
        text = f"{CIFAR10_MIRROR} cannot be reached ({why}): lessons go on with the "
        text += "data that are here, or built in"
        yield Line("note", "network", text)
    else:
        yield Line("ok", "network", f"{CIFAR10_MIRROR} answers")
