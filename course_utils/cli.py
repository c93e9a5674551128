"""The command line: `python -m course_utils prepare` fetches data beforehand."""

import argparse
import difflib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from course_utils.data.download import DownloadError, forget_failures

# Each set: its size, and the function that fetches it or finds it whole.
SETS = {
    "cifar10": ("163 MiB", "course_utils.data.cifar10:prepare_cifar10"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 done, 1 failed, 2 misused, 130 interrupted.

    Args:
        argv: Arguments after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils")
    commands = parser.add_subparsers(required=True, metavar="command")
    prepare = commands.add_parser(
        "prepare",
        help="fetch data sets before a lesson needs them",
        description="Fetch, verify and unpack data sets: "
        + ", ".join(f"{name} ({size})" for name, (size, _) in SETS.items()),
    )
    prepare.add_argument(
        "words",
        nargs="*",
        metavar="SET … DIR",
        help="the sets (default: all), then their folder (default: where lessons look)",
    )
    words = parser.parse_args(argv).words
    names = words[:-1]
    folder = words[-1] if words else None
    if folder in SETS:
        names, folder = [*names, folder], None
    for name in names:
        if name not in SETS:
            prepare.error(f"{name!r} is not a set; the sets are: {', '.join(SETS)}")
    if folder and not Path(folder).exists():
        for meant in difflib.get_close_matches(folder, SETS):
            prepare.error(f"no set and no folder is called {folder!r}: {meant!r}?")
    try:
        _prepare(names or list(SETS), folder)
    except (DownloadError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nStopped; the same command continues with what has arrived.",
            file=sys.stderr,
        )
        return 130
    return 0


def _prepare(names: Sequence[str], folder: str | None) -> None:
    from course_utils.session import find_data_dir, project_root

    forget_failures()
    lessons_look_in = None if folder else find_data_dir()
    target = Path(folder).expanduser() if folder else lessons_look_in
    target = (target or project_root() / "data").resolve()
    use = (
        "lessons find it there"
        if lessons_look_in
        else f"use it with COURSE_DATA={target}"
    )
    for name in names:
        _, function = SETS[name]
        filled = pkgutil.resolve_name(function)(target)
        print(f"{name} is ready in {filled}; {use}")
