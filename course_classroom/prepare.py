"""Fetches and verifies data sets, and writes down what lies in their folder."""

import contextlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from course_classroom.catalogue import CATALOGUE, sizes
from course_classroom.doctor.lines import command
from course_utils._engine.download import DownloadError, NoNetwork, forget_failures
from course_utils._engine.places import find_data_dir, project_root
from course_utils.data.layout import STORED
from course_utils.data.manifest import MANIFEST, difference, record


def prepare(names: Sequence[str], folder: str | None, *, verbose: bool = False) -> int:
    """Fetch what is missing, verify what is there; return 0 if all sets are whole.

    A set that fails does not keep the others from being tried. Those that no mirror
    could be reached for are told in one line, the last.

    Args:
        names: Keys of `CATALOGUE`.
        folder: Where they shall lie; None for where lessons look.
        verbose: Whether to name the hosts that could not be reached.

    Raises:
        OSError: If COURSE_DATA names a folder that does not exist, or `folder` is a
            file.
    """
    usual = None if folder else find_data_dir()  # None: lessons use built-in images
    target = Path(folder).expanduser() if folder else usual or project_root() / "data"
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} is a file; name a folder for the data.")
    forget_failures()
    if len(names) > 1:
        total = sum(CATALOGUE[name].size_mib for name in names)
        print(f"Into {target}: {sizes(names)}; {total} MiB in all, less what is there")
    use = "lessons find it there" if usual else f"use it with COURSE_DATA={target}"
    failed = False
    unreached: list[str] = []
    for name in names:
        try:
            filled = _make_whole(name, target)
        except NoNetwork as error:
            unreached.append(name)
            if verbose:
                print(f"{name}: {error.hosts}", file=sys.stderr)
        except (DownloadError, OSError, ImportError) as error:
            print(error, file=sys.stderr)
            failed = True
        else:
            print(f"{name} is ready in {filled}; {use}", flush=True)
    if unreached:
        what = "No network" if unreached == list(names) else "No mirror answers"
        drawn = any(STORED[name].drawn for name in unreached)
        instead = "using the built-in drawings" if drawn else "lessons go on without"
        later = command("course", "prepare", *unreached, *([folder] if folder else []))
        print(f"{what}: {instead} ({later} later)", file=sys.stderr)
    return 1 if failed or unreached else 0


def _make_whole(name: str, target: Path) -> Path:
    """Return where a set lies whole in `target`, and write it down there."""
    filled = pkgutil.resolve_name(CATALOGUE[name].prepare)(target)
    with contextlib.suppress(ValueError):  # a damaged manifest is written anew
        if text := difference(target, name):
            raise DownloadError(f"{text} after deleting {filled}")
    try:
        record(target, name)
    except OSError as error:
        print(
            f"{target / MANIFEST} cannot be written ({error.strerror}), so doctor will "
            f"not know what {name} should hold.",
            file=sys.stderr,
        )
    return filled
