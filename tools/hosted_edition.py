"""Lessons for Colab and Kaggle: they install the course where they are opened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from lesson_files import ROOT, cell_id
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from packaging.requirements import Requirement

COLAB = "https://colab.research.google.com"
KAGGLE = "https://kaggle.com"
# What a host brings, in its own versions: no command of ours ever names these to pip.
BROUGHT = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn"),
    *("matplotlib", "pillow"),
)
TOP = """{badges}

The next cell installs the course, in seconds. PyTorch, and what else is here already,
stays as it is, and no restart is needed. On Kaggle, first switch *Internet* on in the
notebook's settings. What you write is kept only in a copy of your own: on Colab, by
*File > Save a copy in Drive*."""
INSTALL = """# install the course, and what it needs that is not here
%pip install --quiet {packages}
%pip install --quiet --no-deps {wheel}"""
README = """# Deep residual networks, hands on

Lessons that need no set-up: a badge opens one on Colab or Kaggle, and its first cell
installs the course.

| lesson | |
|---|---|
{rows}
"""
ADDRESS = re.compile(r"https://github\.com/([^/\s]+/[^/\s]+)/tree/([^/\s]+)(/\S*?)?/?")


class Place(NamedTuple):
    """The folder on GitHub where the edition is published.

    Attributes:
        repository: Its owner and name, such as ``owner/course``.
        branch: The branch.
        folder: The folder in it, such as ``/hosted``; "" for all of the branch.
    """

    repository: str
    branch: str
    folder: str

    def address(self, kind: str, name: str) -> str:
        """Return GitHub's address of a file: `kind` is blob, its page, or raw."""
        where = f"{self.branch}{self.folder}/{name}"
        return f"https://github.com/{self.repository}/{kind}/{where}"

    def badges(self, name: str) -> str:
        """Return the badges that open a notebook, in Markdown."""
        page = self.address("blob", f"notebooks/{name}")
        colab = page.replace("https://github.com", f"{COLAB}/github")
        return (
            f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({colab}) "
            f"[![Open in Kaggle]({KAGGLE}/static/images/open-in-kaggle.svg)]"
            f"({KAGGLE}/kernels/welcome?src={page})"
        )


def place_at(address: str) -> Place:
    """Return what the address of a folder on GitHub says.

    Raises:
        ValueError: It is the address of something else.
    """
    found = ADDRESS.fullmatch(address)
    if not found:
        raise ValueError(
            f"{address!r} is not the address of a folder on GitHub; give it as a "
            "browser shows it: https://github.com/OWNER/NAME/tree/BRANCH, or "
            "…/BRANCH/FOLDER."
        )
    repository, branch, folder = found.groups(default="")
    return Place(repository, branch, folder)


def launch_buttons(address: str) -> dict[str, Any]:
    """Return the options of the site's theme that open each lesson on Colab."""
    place = place_at(address)
    return {
        "repository_url": f"https://github.com/{place.repository}",
        "repository_branch": place.branch,
        "path_to_docs": place.folder,  # the site has its lessons in notebooks/, too
        "launch_buttons": {"colab_url": COLAB},
    }


def build_wheel(folder: Path) -> Path:
    """Build the course's wheel in an empty folder, and return the file.

    Asks no network; the same course gives the same bytes.

    Raises:
        SystemExit: It cannot be built.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    epoch = {"SOURCE_DATE_EPOCH": "315532800"}  # 1980, the oldest that fits into a zip
    if subprocess.run([*command, str(ROOT)], env=os.environ | epoch).returncode:
        raise SystemExit("The course's wheel could not be built (see above).")
    (wheel,) = folder.glob("*.whl")
    return wheel


def hosted(notebook: NotebookNode, name: str, place: Place, wheel: str) -> NotebookNode:
    """Return a notebook with the cells on top that open it and install the course.

    Args:
        notebook: A lesson.
        name: Of its file.
        place: Where it will be published.
        wheel: The name of the course's wheel there.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # a host knows no file beside this one
            lessons = place.address("blob", "notebooks")
            cell.source = re.sub(
                r"\]\((\w+\.ipynb)\)", rf"]({lessons}/\1)", cell.source
            )
    install = INSTALL.format(
        packages=" ".join(not_brought()), wheel=place.address("raw", wheel)
    )
    top = new_markdown_cell(TOP.format(badges=place.badges(name)))
    notebook.cells[:0] = [top, new_code_cell(install)]
    for cell in notebook.cells[:2]:
        cell.id = cell_id(cell, 0)
    return notebook


def not_brought() -> list[str]:
    """Return the packages that the course needs and a host may lack: small ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [Requirement(line).name for line in project["dependencies"]]
    return sorted({*names} - {*BROUGHT})


def readme(titles: dict[str, str], place: Place) -> str:
    """Return the page of the folder: the lessons, and what opens them.

    Args:
        titles: The lessons' titles, by the names of their notebooks.
        place: Where the folder will be published.
    """
    rows = [
        f"| [{title}](notebooks/{name}) | {place.badges(name)} |"
        for name, title in titles.items()
    ]
    return README.format(rows="\n".join(rows))
