"""The command line: `course doctor`, `prepare` and `predict`."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from course_classroom.catalogue import CATALOGUE, sizes
from course_utils.data.manifest import course_version

ENDINGS = (
    "Exit status: 0 done; 1 failed, or, from doctor, something prevents the lessons "
    "from running; 2 misused; 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 done, 1 failed, 2 misused, 130 interrupted.

    Args:
        argv: Arguments after the program's name; None for the process's own.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # names of any alphabet
    parser = argparse.ArgumentParser(prog="course", epilog=ENDINGS)
    version = f"resnet-course {course_version()}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (_add_doctor, _add_prepare, _add_predict):
        add(commands)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        text = "Stopped. A download continues when the same command runs again."
        print(f"\n{text}", file=sys.stderr)
        return 130


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="say what would keep the lessons from running, and what mends it",
        description="Look at Python, PyTorch, packages, memory, disk, data and "
        "network, a line each: ok, note (lessons run all the same) or problem. "
        "Downloads nothing.",
    )
    doctor.set_defaults(run=_doctor)


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    prepare = commands.add_parser(
        "prepare",
        help="fetch data sets before a lesson needs them",
        description=f"Fetch, verify and unpack data sets: {sizes(CATALOGUE)}. What is "
        "there is verified, and what broke off continues.",
    )
    prepare.add_argument("--all", action="store_true", help="all sets")
    prepare.add_argument(
        "words",
        nargs="*",
        metavar="SET … DIR",
        help="the sets, then their folder (default: where lessons look)",
    )
    prepare.add_argument(
        "--verbose",
        action="store_true",
        help="without a network: name the hosts that could not be reached",
    )
    prepare.set_defaults(run=_prepare, error=prepare.error)


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
        "(default: your own of lesson 06, if it learnt from photos, else flowers)",
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
    predict.set_defaults(run=_predict, error=predict.error)


def _doctor(arguments: argparse.Namespace) -> int:
    from course_classroom.doctor.report import doctor

    return doctor()


def _prepare(arguments: argparse.Namespace) -> int:
    *names, folder = arguments.words or [None]
    if folder in CATALOGUE:
        names, folder = [*names, folder], None
    for name in names:
        if name not in CATALOGUE:
            arguments.error(f"{name!r} is not a set; the sets are: {sizes(CATALOGUE)}")
    if folder and not Path(folder).exists():
        for meant in difflib.get_close_matches(folder, CATALOGUE):
            arguments.error(f"no set and no folder is called {folder!r}: {meant!r}?")
    if bool(names) == arguments.all:
        arguments.error(
            f"name sets, or --all for all of them, then, if you like, a folder; the "
            f"sets are: {sizes(CATALOGUE)}"
        )
    from course_classroom.prepare import prepare  # httpx and others: a second

    return prepare(names or list(CATALOGUE), folder, verbose=arguments.verbose)


def _predict(arguments: argparse.Namespace) -> int:
    if arguments.top_k < 1:
        arguments.error(f"--top-k is {arguments.top_k}; give at least 1")
    from course_utils.data.images import missing_file

    missing = [text for text in map(missing_file, arguments.sources) if text]
    if len(missing) == len(arguments.sources):
        print(*missing, sep="\n", file=sys.stderr)
        return 1
    from course_classroom.predict import predict_all  # PyTorch: seconds

    return predict_all(
        arguments.sources,
        checkpoint=arguments.checkpoint,
        top_k=arguments.top_k,
        csv_path=arguments.csv,
        allow_private=arguments.allow_private,
    )
