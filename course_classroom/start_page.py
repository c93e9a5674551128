"""The table of START_HERE: a folder's lessons, and which exercises are solved."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_classroom.checks.marks import solved
from course_classroom.edition import edition

LESSON = re.compile(r"\d\db?_\w+\.ipynb")  # without its later versions, .new-….ipynb
CARD = re.compile(  # in English, or in Chinese
    r"\*\*(?:Reading|阅读)\*\* (?P<reading>\d+) (?:minutes|分钟) · "
    r"(?:\*\*(?:exercises|练习)\*\* (?P<exercises>\d+) (?:minutes|分钟) · )?"
    r"\*\*(?:run time|运行时间)\*\* quick (?:|配置、)CPU (?:about|约) (?P<run>\d+ \w+)"
)
EXERCISE = re.compile(r"(?m)^### (★+ .+)$")
CHECK = re.compile(r"(?m)^check\.(\w+)\(")
COLUMNS = ("lesson", "to read", "to solve", "to compute", "exercises")
RULE = "| :-- | --: | --: | --: | :-- |"


@dataclass
class Lesson:
    """What the table says of a lesson.

    Attributes:
        link: Its title, as a link to its notebook.
        minutes: To read it, to solve its exercises, and how long it computes.
        exercises: The title of each exercise, by the name of its check.
    """

    link: str
    minutes: tuple[str, str, str]
    exercises: dict[str, str]


def overview(folder: Path) -> str:
    """Return a sentence on what comes next and the table, in Markdown."""
    paths = sorted(p for p in folder.glob("*.ipynb") if LESSON.fullmatch(p.name))
    lessons = [read(path) for path in paths]
    done, say = solved(), edition(folder)
    lines = [f"| {' | '.join(map(say, COLUMNS))} |", RULE]
    for lesson in lessons:
        marks = [
            f"{'✓' if name in done else '○'} {title}"
            for name, title in lesson.exercises.items()
        ]
        cells = (lesson.link, *map(say, lesson.minutes), "<br>".join(marks))
        lines.append(f"| {' | '.join(cells)} |")
    said = " ".join(map(say, _next(lessons, done)))
    return f"{said}\n\n" + "\n".join(lines)


def _next(lessons: list[Lesson], done: set[str]) -> Iterator[str]:
    """Yield how far the reader is, and which exercise comes next, if any."""
    names = {name for lesson in lessons for name in lesson.exercises}
    yield f"**{len(names & done)} of {len(names)} exercises are solved.**"
    for lesson in lessons:
        for name, title in lesson.exercises.items():
            if name not in done:
                yield f"The next one: {title}, in {lesson.link}."
                return


def read(notebook: Path) -> Lesson:
    """Return what a notebook says of itself; the reader may have changed it."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
        tags = [[*cell["metadata"].get("tags", [])] for cell in cells]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        sources, tags = [], []
    text = "\n".join(sources)
    heading = re.search(r"(?m)^# (.+)$", text)
    link = f"[{heading[1] if heading else notebook.stem}]({notebook.name})"
    card = CARD.search(" ".join(text.split()))
    times = card.groupdict("") if card else {}
    minutes = tuple(
        f"{times[part]} min" if times.get(part) else ""
        for part in ("reading", "exercises")
    )
    exercises, title = {}, ""
    for source, tagged in zip(sources, tags, strict=True):
        title = (EXERCISE.findall(source) or [title])[-1]
        if "exercise" in tagged:
            exercises |= dict.fromkeys(CHECK.findall(source), title)
    return Lesson(link, (*minutes, times.get("run", "")), exercises)


def show_overview() -> None:
    """Show the lessons of the working folder, as a notebook displays a table."""
    from IPython.display import Markdown, display

    display(Markdown(overview(Path())))
