"""The command line: `python -m course_utils prepare` and `predict`."""

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
    "flowers": ("218 MiB", "course_utils.data.flowers:prepare_flowers"),
    "flowers102": ("329 MiB", "course_utils.data.flowers102:prepare_flowers102"),
    "resnet34": ("83 MiB", "course_utils.pretrained.backbones:prepare_resnet34"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 done, 1 failed, 2 misused, 130 interrupted.

    Args:
        argv: Arguments after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils")
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (_add_prepare, _add_predict):
        add(commands)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"\nStopped; {arguments.stopped}.", file=sys.stderr)
        return 130


def _add_prepare(commands: argparse._SubParsersAction) -> None:
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
    prepare.set_defaults(
        run=_prepare,
        error=prepare.error,
        stopped="the same command continues with what has arrived",
    )


def _add_predict(commands: argparse._SubParsersAction) -> None:
    predict = commands.add_parser(
        "predict",
        help="name what is on photos",
        description="Print the most probable classes of photos, each from a file, from "
        "the web (http, https) or in a folder.",
    )
    predict.add_argument("sources", nargs="+", metavar="IMAGE_OR_URL_OR_FOLDER")
    predict.add_argument(
        "--checkpoint",
        metavar="PATH_OR_NAME",
        help="the network: a file that train() wrote, or the name of one that ships "
        "(default: your own of lesson 06, else one that ships)",
    )
    predict.add_argument(
        "--top-k",
        type=int,
        default=5,
        metavar="N",
        help="classes to print for one photo (default: 5)",
    )
    predict.add_argument(
        "--csv", metavar="FILE", help="write the best class of every photo to a table"
    )
    predict.add_argument(
        "--allow-private",
        action="store_true",
        help="also fetch photos from this machine and its own network",
    )
    predict.set_defaults(
        run=_predict, error=predict.error, stopped="nothing was written"
    )


def _predict(arguments: argparse.Namespace) -> int:
    if arguments.top_k < 1:
        arguments.error(f"--top-k is {arguments.top_k}; give at least 1")
    from course_utils.checkpoint import CheckpointError  # torch: seconds
    from course_utils.prediction.command import predict_all

    try:
        all_read = predict_all(
            arguments.sources,
            checkpoint=arguments.checkpoint,
            top_k=arguments.top_k,
            csv_path=arguments.csv,
            allow_private=arguments.allow_private,
        )
    except (CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all_read else 1


def _prepare(arguments: argparse.Namespace) -> int:
    words = arguments.words
    names = words[:-1]
    folder = words[-1] if words else None
    if folder in SETS:
        names, folder = [*names, folder], None
    for name in names:
        if name not in SETS:
            arguments.error(f"{name!r} is not a set; the sets are: {', '.join(SETS)}")
    if folder and not Path(folder).exists():
        for meant in difflib.get_close_matches(folder, SETS):
            arguments.error(f"no set and no folder is called {folder!r}: {meant!r}?")
    try:
        _fetch(names or list(SETS), folder)
    except (DownloadError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _fetch(names: Sequence[str], folder: str | None) -> None:
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
