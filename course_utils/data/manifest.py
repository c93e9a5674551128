"""What was prepared in a data folder, written down there, so that a copy can be told
from half a copy.
"""

import json
import os
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from course_utils._engine.files import write_atomically
from course_utils._engine.places import project_root
from course_utils.data.layout import STORED

MANIFEST = "course-data.json"
NOT_COUNTED = {"thumbs.db", "desktop.ini"}  # what Windows puts into folders it shows


def course_version() -> str:
    """Return the version of the course."""
    try:
        return installed_version("resnet-course")
    except PackageNotFoundError:  # used from its folder, without being installed
        text = (project_root() / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]["version"]


def measure(place: Path | None) -> dict[str, int]:
    """Return the number of files at a place, and of their bytes."""
    if place is None:
        return {"files": 0, "bytes": 0}
    if place.is_file():
        return {"files": 1, "bytes": place.stat().st_size}
    sizes = [
        os.stat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(place)
        for name in names
        if not name.startswith(".") and name.lower() not in NOT_COUNTED
    ]
    return {"files": len(sizes), "bytes": sum(sizes)}


def read_manifest(data_dir: Path) -> dict[str, Any]:
    """Return what is written down in `data_dir`: no sets where there is no manifest.

    Raises:
        ValueError: If the manifest is damaged.
    """
    path = data_dir / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return {"course": manifest["course"], "sets": dict(manifest["sets"])}
    except FileNotFoundError:
        return {"course": course_version(), "sets": {}}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged, so nobody can tell whether the data are whole; delete "
            f"it and run: course prepare --all {data_dir}"
        ) from error


def record(data_dir: Path, name: str) -> None:
    """Write down that a set lies whole in `data_dir`.

    Raises:
        OSError: If the folder cannot be written.
    """
    try:
        sets = read_manifest(data_dir)["sets"]
    except ValueError:
        sets = {}
    stored = STORED[name]
    entry = {"version": stored.version} | measure(stored.place(data_dir))
    if sets.get(name) == entry:
        return  # on a read-only stick, say
    manifest = {"course": course_version(), "sets": sets | {name: entry}}
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    write_atomically(data_dir / MANIFEST, lambda path: path.write_text(text, "utf-8"))


def complaint(data_dir: Path, name: str) -> str:
    """Return what is wrong with a set, going by the manifest; "" for nothing.

    Never raises: a folder that cannot be read is a complaint, too.
    """
    try:
        manifest = read_manifest(data_dir)
        entry = manifest["sets"].get(name)
        if entry and entry["version"] != STORED[name].version:
            return (
                f"{data_dir} holds another version of {STORED[name].title} (prepared "
                f"by version {manifest['course']} of the course, this is "
                f"{course_version()}); run: course prepare {name} {data_dir}"
            )
        return difference(data_dir, name)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{data_dir} cannot be read ({error.strerror}); copy the data again."


def difference(data_dir: Path, name: str) -> str:
    """Return how a set of this version differs from the manifest; "" for not at all.

    Raises:
        ValueError: If the manifest is damaged.
        OSError: If the folder cannot be read.
    """
    entry = read_manifest(data_dir)["sets"].get(name)
    if entry is None or entry["version"] != STORED[name].version:
        return ""
    found = measure(STORED[name].place(data_dir))
    if found == {key: entry[key] for key in found}:
        return ""
    return (
        f"{STORED[name].title} in {data_dir} is not as it was prepared "
        f"({found['files']} of {entry['files']} files, {found['bytes']} of "
        f"{entry['bytes']} bytes); copy it again, or run: "
        f"course prepare {name} {data_dir}"
    )
