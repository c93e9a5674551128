"""One line of the report, and the commands that mend."""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from course_utils._engine.places import project_root


class Line(NamedTuple):
    """One line of the report.

    Attributes:
        mark: ok, note or problem.
        what: What was looked at.
        text: What was found.
        mend: The command that mends it, if there is one.
    """

    mark: str
    what: str
    text: str
    mend: str = ""


Lines = Iterator[Line]


def command(*words: str) -> str:
    """Return a command as the reader's shell takes it."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def course(*words: str) -> str:
    """Return the command ``course …`` of this environment."""
    script = shutil.which("course", path=Path(sys.executable).parent)
    if script is None:  # used from its folder, without being installed
        return command(sys.executable, "-m", "course_classroom", *words)
    if Path(script).is_relative_to(Path.cwd()):
        script = str(Path(script).relative_to(Path.cwd()))
    return command(script, *words)


def install(*packages: str) -> str:
    """Return the command that installs packages, or all that the course needs."""
    root = project_root()
    pip = [sys.executable, "-m", "pip", "install", "-c", str(root / "constraints.txt")]
    extras = ",".join(project()["optional-dependencies"])
    return command(*pip, *(packages or ("-e", f"{root}[{extras}]")))


def project() -> dict[str, Any]:
    """Return what pyproject.toml says of the course."""
    text = (project_root() / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def unset(variable: str) -> str:
    """Return the command that unsets a variable."""
    return f"set {variable}=" if os.name == "nt" else f"unset {variable}"


def few(names: Sequence[str], most: int = 6) -> str:
    """Return the first names, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
