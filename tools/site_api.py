"""The pages of `course_utils`: one a module, made by autodoc from its docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

from lesson_files import ROOT

PACKAGE = ROOT / "course_utils"
INTRO = """What more than one lesson needs, as a reference: a page for each module.
The lesson that builds a function is named where the function is described.
"""


def api_pages() -> dict[str, str]:
    """Return the pages in reStructuredText, by file name."""
    modules = parsed_modules()
    names = [name for name in modules if name != PACKAGE.name]
    top = [name for name in names if name.count(".") == 1]
    rows = [f"* - {reference(name)}\n  - {summary(modules[name])}" for name in names]
    table = ".. list-table::\n   :widths: 2 5\n\n" + indented("\n".join(rows))
    intro = f"{heading('The package course_utils')}\n\n{INTRO}\n{table}"
    pages = {"index.rst": f"{intro}\n\n{toctree(top)}"}
    for name in names:
        inner = [other for other in names if other.rpartition(".")[0] == name]
        pages[f"{name}.rst"] = module_page(name, modules[name], inner)
    return pages


def parsed_modules(package: Path = PACKAGE) -> dict[str, ast.Module]:
    """Return the public modules and packages, parsed, by name and in order."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = ast.parse(path.read_text("utf-8"))
    return dict(sorted(found.items()))


def module_page(name: str, module: ast.Module, inner: list[str]) -> str:
    """Return the page of a module, or of a package with its modules inside."""
    parts = [heading(short(name)), f".. automodule:: {name}"]
    offers = [
        f"- :py:obj:`~{node.module}.{alias.name}`"
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module in inner
        for alias in node.names
    ]
    if offers:
        parts += [f"Can be imported from ``{name}``:", "\n".join(offers)]
    if inner:
        parts += ["Its modules:", toctree(inner, hidden=False)]
    return "\n\n".join(parts) + "\n"


def heading(text: str) -> str:
    """Return a page's title."""
    return f"{text}\n{'=' * len(text)}"


def short(name: str) -> str:
    """Return a module's name without that of the whole package."""
    return name.removeprefix(f"{PACKAGE.name}.")


def reference(name: str) -> str:
    """Return a link to a module's page."""
    return f":doc:`{short(name)} <{name}>`"


def summary(module: ast.Module) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(module) or "").partition("\n")[0]


def toctree(names: list[str], hidden: bool = True) -> str:
    """Return the navigation to the pages of modules."""
    option = "   :hidden:\n" if hidden else ""
    head = f".. toctree::\n{option}   :titlesonly:\n\n"
    return head + indented("\n".join(names)) + "\n"


def indented(text: str) -> str:
    """Return text as the body of a directive."""
    return "\n".join(f"   {line}" for line in text.split("\n"))
