"""The page of references, merged from the lessons' own lists."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nbformat import NotebookNode

ITEM = re.compile(r"^- (.+?)(?=^- |\Z|\n\n)", re.M | re.S)
ARXIV = re.compile(r"\[?arXiv (\d{4}\.\d{4,5})(?:\]\([^)]*\))?")
INTRO = """# References

Every work that a lesson refers to, once, with the lessons that do. Which section,
figure or table is meant stands in the lesson.

"""


@dataclass
class Work:
    """One work: its longest citation, its year, and the lessons that cite it."""

    citation: str = ""
    lessons: list[str] = field(default_factory=list)


def cited(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Return key and citation of each work in a lesson's section of references."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    section = text.partition("## References\n")[2].partition("\n## ")[0]
    works = []
    for item in ITEM.findall(section):
        line = " ".join(item.split())
        title = re.search(r"\*(.+?)\*", line)
        if title:  # the others thank somebody
            arxiv = ARXIV.search(line)
            key = arxiv[1] if arxiv else re.sub(r"\W+", " ", title[1]).lower()
            works.append((key, citation(line, arxiv)))
    return works


def citation(line: str, arxiv: re.Match | None) -> str:
    """Return a citation without a lesson's own remarks."""
    line = re.sub(r'\b((?:19|20)\d\d)[a-z]\b| \("\d{4}[a-z]"\)', r"\1", line)
    line = re.sub(r"^([^*]+?): \*", r"\1, *", line)
    if not arxiv:
        return line.rstrip(".") + "."
    link = f"[arXiv {arxiv[1]}](https://arxiv.org/abs/{arxiv[1]})."
    return ARXIV.split(line)[0] + link


def references_page(lessons: dict[str, NotebookNode]) -> str:
    """Return the page of all works that the lessons cite, by author."""
    works: dict[str, Work] = {}
    for name, notebook in lessons.items():
        for key, text in cited(notebook):
            work = works.setdefault(key, Work())
            work.citation = max(work.citation, text, key=len)
            if name not in work.lessons:
                work.lessons.append(name)
    return INTRO + "".join(
        f"- {work.citation} {where(work.lessons)}\n"
        for work in sorted(works.values(), key=lambda work: surname(work.citation))
    )


def where(lessons: list[str]) -> str:
    """Return links to lessons, by their numbers."""
    links = ", ".join(
        f"[{name.partition('_')[0]}](notebooks/{name}.ipynb)" for name in lessons
    )
    return f"Lesson{'s' * (len(lessons) > 1)} {links}."


def surname(text: str) -> tuple[str, str]:
    """Return what a citation is sorted by: the first author's last name, the rest."""
    author = re.split(r" et al|,", text)[0]
    return author.split()[-1].lower(), text
