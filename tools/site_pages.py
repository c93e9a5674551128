"""The pages of the site that are made from what the repository holds already."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from string import Template

from lesson_files import ROOT, tags_of
from nbformat import NotebookNode

from course_classroom.start_page import CARD

SITE = ROOT / "site"
# A page that lies elsewhere in the repository than on the site.
MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "docs/results.md": "results.md",
    "site/glossary.md": "glossary.md",
}
ROW = re.compile(r"^\| \[[^]]+\]\(notebooks/(\w+)\.ipynb\) \| (.+?) \| (.+?) \|$", re.M)
LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^):#\s]+)(#[^)\s]*)?\)")


def relinked(text: str, folder: str, pages: Collection[str]) -> str:
    """Return Markdown whose links lead to pages of the site, or are plain words.

    Args:
        text: Markdown with links as they are right in the repository.
        folder: the page's folder in the repository, "" for its root.
        pages: the files of the site that may be linked to, from its root.
    """

    def link(found: re.Match) -> str:
        label, target, anchor = found.groups(default="")
        path = posixpath.normpath(posixpath.join(folder, target))
        path = re.sub(r"^lessons/(\w+)\.py$", r"notebooks/\1.ipynb", path)
        path = MOVED.get(path, path)
        if path not in pages:
            return label
        return f"[{label}]({posixpath.relpath(path, folder or '.')}{anchor})"

    return LINK.sub(link, text)


def readme_section(heading: str) -> str:
    """Return what README.md says under a heading of the second level."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"^## {heading}\n(.+?)(?=^## |\Z)", text, re.M | re.S)
    return found[1].strip()


def title_of(notebook: NotebookNode) -> str:
    """Return a lesson's title, "" where it has none."""
    found = re.search(r"^# (.+)$", notebook.cells[0].source, re.M)
    return found[1] if found else ""


def reading_minutes(notebook: NotebookNode) -> int:
    """Return the reading time that a lesson's card names, 0 where it names none."""
    found = CARD.search(" ".join(notebook.cells[0].source.split()))
    return int(found["reading"]) if found else 0


def table_rows() -> list[tuple[str, str, str]]:
    """Return name, line and run time of each lesson in the README's table."""
    return ROW.findall(readme_section("The lessons"))


def lesson_card(name: str, notebook: NotebookNode, dives: Sequence[str]) -> str:
    """Return a lesson's card for the landing page: title, one line, times, dives.

    Args:
        name: of the lesson.
        notebook: the lesson.
        dives: links to its deep dives.
    """
    rows = {row[0]: row[1:] for row in table_rows()}
    line, run_time = rows.get(name, ("", ""))
    minutes = reading_minutes(notebook)
    times = [f"{minutes} minutes to read"] if minutes else []
    times += [f"runs in {run_time}"] if run_time else []
    head = f"::::{{grid-item-card}} {title_of(notebook)}\n:link: notebooks/{name}\n"
    lines = [" · ".join(times), *(f"Deep dive: {link}" for link in dives)]
    text = "\n\n".join(filter(None, lines))
    foot = f":::{{card-footer}}\n{text}\n:::\n" if text else ""
    return f"{head}:link-type: doc\n\n{line[:1].upper()}{line[1:]}\n\n{foot}::::\n"


def landing(lessons: dict[str, NotebookNode], others: Sequence[str]) -> str:
    """Return the landing page.

    Args:
        lessons: the notebooks by name, in order, deep dives after their lessons.
        others: the names of the pages of docs/, for the navigation.
    """
    times = [re.findall(r"\d+", run_time) for _, _, run_time in table_rows()]
    seconds = [int(number) for found in times for number in found]  # if measured
    core = {name: lesson for name, lesson in lessons.items() if name[2] == "_"}
    dives = {name: title_of(lessons[name]) for name in lessons if name not in core}
    cells = [cell for notebook in core.values() for cell in notebook.cells]
    hours = sum(map(reading_minutes, core.values())) / 60
    cards = [
        lesson_card(
            name,
            lesson,
            [
                f"[{title}](notebooks/{dive}.ipynb)"
                for dive, title in dives.items()
                if dive[:2] == name[:2]
            ],
        )
        for name, lesson in core.items()
    ]
    values = {
        "num_lessons": len(core),
        "deep_dives": f", and {len(dives)} deep dives" if dives else "",
        "num_exercises": sum("exercise" in tags_of(cell) for cell in cells),
        "hours": f"{hours:.0f}",
        "seconds": f"{min(seconds)} to {max(seconds)}",
        "first": next(iter(lessons)),
        "cards": "\n".join(cards),
        "notebooks": "\n".join(
            f"↳ {dives[name]} <notebooks/{name}>"
            if name in dives
            else f"notebooks/{name}"
            for name in lessons
        ),
        "docs": "\n".join(f"docs/{name}" for name in others),
        "classroom": "[in a room of thirty](docs/teaching.md)",
        "commands": readme_section("Begin"),
    }
    return Template((SITE / "index.md").read_text("utf-8")).substitute(values)


def chinese_landing(lessons: dict[str, NotebookNode]) -> str:
    """Return the landing page in Chinese, of the lessons by name, in order."""
    cards = [
        f"::::{{grid-item-card}} {title_of(lesson)}\n:link: notebooks/{name}\n"
        f":link-type: doc\n\n阅读 {reading_minutes(lesson)} 分钟\n::::\n"
        for name, lesson in lessons.items()
    ]
    text = (ROOT / "README.zh.md").read_text("utf-8")
    begin = re.search(r"^## 开始\n(.+?)(?=^## )", text, re.M | re.S)
    values = {
        "first": next(iter(lessons)),
        "cards": "\n".join(cards),
        "commands": begin[1].strip(),
        "notebooks": "\n".join(f"notebooks/{name}" for name in lessons),
    }
    return Template((SITE / "index.zh.md").read_text("utf-8")).substitute(values)


def hand_written() -> dict[str, Path]:
    """Return the files that are pages as they are, by their place on the site."""
    docs = sorted(ROOT.glob("docs/*.md"), reverse=True)  # teaching.md is the first
    docs = [path for path in docs if ".zh" not in path.suffixes]
    texts = [SITE / "glossary.md", ROOT / "CHANGELOG.md", *docs]
    places = [path.relative_to(ROOT).as_posix() for path in texts]
    return {
        MOVED.get(place, place): path for place, path in zip(places, texts, strict=True)
    }
