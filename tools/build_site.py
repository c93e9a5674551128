"""Renders executed notebooks as static pages that ask nothing of a network."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from lesson_files import ROOT, tags_of, write_notebook

SITE = ROOT / "site"


def build_site(notebooks: Sequence[Path], table: str, target: Path) -> bool:
    """Render notebooks and an index page with a table; return whether that worked.

    Args:
        notebooks: executed notebooks; they stay as they are.
        table: Markdown for the index page.
        target: folder of the pages; index.html comes there.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        for notebook in notebooks:
            write_notebook(
                fold_solutions(notebook), source / "notebooks" / notebook.name
            )
        index = (SITE / "index.md").read_text(encoding="utf-8")
        (source / "index.md").write_text(index.format(table=table), encoding="utf-8")
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", str(SITE)]
        command += ["-d", str(Path(folder, "doctrees")), str(source), str(target)]
        return subprocess.run(command).returncode == 0


def fold_solutions(path: Path) -> nbformat.NotebookNode:
    """Return a notebook whose solutions are folded on the page."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "solution" in tags_of(cell):
            cell.metadata.tags.append("hide-cell")
    return notebook
