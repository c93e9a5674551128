"""Runs the lessons in the quick profile and makes pages of them in build/course/.

python tools/run_course.py             the lessons, without their deep dives
python tools/run_course.py all         the deep dives, too
python tools/run_course.py 01 01b …    only these
LANGUAGE=zh python tools/run_course.py  in Chinese, too
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build_site import build_site
from execution import Progress, execute
from lesson_files import (
    LESSONS,
    ROOT,
    find_lessons,
    is_dive,
    read_lesson,
    write_notebook,
)
from nbformat import NotebookNode
from translation import chinese_is_asked_for, prose_of, write_translated

TARGET = ROOT / "build" / "course"
RESULT_MIME = "application/vnd.resnet-course.result+json"
LOG_EVERY_S = 30
HEADINGS = ("lesson", "seconds", "peak memory", "key result", "data used")


@dataclass
class Row:
    """What the table says of one lesson; `error` is empty where all cells ran."""

    lesson: str
    seconds: float
    peak_mib: float
    result: str
    data: str
    error: str

    def texts(self) -> tuple[str, ...]:
        """Return the row as the table shows it."""
        memory = f"{self.peak_mib / 1024:.1f} GiB" if self.peak_mib else "–"
        result = "failed" if self.error else self.result
        return self.lesson, f"{self.seconds:.0f}", memory, result, self.data


class Monitor:
    """Shows on one live line, or in a log now and then, how far a lesson has come."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.live = sys.stdout.isatty()
        self.last_log_s = 0.0
        if not self.live:
            print(f"{label} …", flush=True)

    def __call__(self, progress: Progress) -> None:
        """Show where the execution stands."""
        minutes, seconds = divmod(int(progress.seconds), 60)
        text = f"cell {progress.cell} of {progress.num_cells}, {minutes}:{seconds:02d}"
        if self.live:
            print(f"\r{self.label}  {text}   ", end="", flush=True)
        elif progress.seconds - self.last_log_s >= LOG_EVERY_S:
            self.last_log_s = progress.seconds
            print(f"  {text}", flush=True)

    def close(self, text: str) -> None:
        """End the line with what came of it."""
        start = f"\r\x1b[K{self.label}  " if self.live else "  "
        print(f"{start}{text}", flush=True)


def course_environment(folder: Path) -> dict[str, str]:
    """Return the kernels' environment: quick, no downloads, the reader's runs spared.

    COURSE_DATA passes through as it is: where data come from is for `session` to say.
    """
    return (
        {"COURSE_PROFILE": "quick"}
        | os.environ
        | {
            "COURSE_OFFLINE": "1",
            "COURSE_RUNS": str(folder / "runs"),
            "TQDM_DISABLE": "1",
        }
    )


def run_lesson(lesson: Path, folder: Path, label: str) -> Row:
    """Execute a lesson, write it with its outputs, and return its row."""
    monitor = Monitor(label)
    notebook = read_lesson(lesson)
    folder.mkdir(parents=True, exist_ok=True)
    execution = execute(notebook, folder, course_environment(folder), monitor)
    write_notebook(notebook, folder / f"{lesson.stem}.ipynb")
    result, data = reported(notebook)
    done = "failed" if execution.error else "done"
    monitor.close(f"{done} in {execution.seconds:.0f} s")
    return Row(
        lesson.stem,
        execution.seconds,
        execution.peak_mib,
        result,
        data,
        execution.error,
    )


def reported(notebook: NotebookNode) -> tuple[str, str]:
    """Return key result and data as the lesson last reported them, "–" if never."""
    result, data = "–", "–"
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            report = output.get("data", {}).get(RESULT_MIME)
            if report:
                result, data = report["result"], report["data"]
    return result, data


def text_table(rows: Sequence[Row]) -> str:
    """Return the table for a terminal, the key result under each lesson."""
    width = max(len(row.lesson) for row in rows)
    lines = []
    for row in rows:
        lesson, seconds, memory, result, data = row.texts()
        lines.append(f"{lesson:{width}}  {seconds:>4} s  {memory:>8}  {data}")
        lines.append(textwrap.indent(textwrap.fill(result, 84), "    "))
    return "\n".join(lines)


def page_table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown, each lesson a link to its page."""
    lines = [HEADINGS, ("---", "--:", "--:", "---", "---")]
    for row in rows:
        name, *rest = (text.replace("|", r"\|") for text in row.texts())
        lines.append((f"[{name}](notebooks/{name}.ipynb)", *rest))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def left_out(lessons: Sequence[Path], folder: Path) -> str:
    """Return a sentence on the deep dives that are not among the lessons, or ""."""
    dives = [p.stem for p in find_lessons(folder=folder) if is_dive(p)]
    others = [dive for dive in dives if dive not in {p.stem for p in lessons}]
    return (
        f"Deep dives that did not run: {', '.join(others)}. "
        "`make course LESSONS=all` runs them, too."
        if others
        else ""
    )


def run_course(lessons: Sequence[Path], target: Path = TARGET) -> int:
    """Run lessons, make their pages, print the table; return the exit status.

    The executed notebooks lie beside the pages, in a folder of their own.
    """
    folder = target.with_name(f"{target.name}-notebooks")
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for number, lesson in enumerate(lessons, 1):
        label = f"[{number}/{len(lessons)}] {lesson.stem}"
        rows.append(run_lesson(lesson, folder, label))
    print("Making the pages …", flush=True)
    notebooks = [folder / f"{lesson.stem}.ipynb" for lesson in lessons]
    note = left_out(lessons, lessons[0].parent)
    chinese = [
        write_translated(lesson, folder)
        for lesson in lessons
        if chinese_is_asked_for() and prose_of(lesson).is_file()
    ]
    table = f"{page_table(rows)}\n\n{note}"
    site_made = build_site(notebooks, target, table, chinese=chinese)
    print(f"\n{text_table(rows)}\n")
    if note:
        print(textwrap.fill(note, 88, break_on_hyphens=False), end="\n\n")
    failed = [row for row in rows if row.error]
    for row in failed:
        print(f"FAILED {row.lesson}, {row.error}")
        print(f"  as far as it came: {folder / row.lesson}.ipynb")
    if site_made:
        first = target / "zh" / "index.html" if chinese else target / "index.html"
        print(f"Read it in a browser: {first.as_uri()}")
    else:
        print(f"The pages could not be made (see above); the notebooks: {folder}")
    return 0 if site_made and not failed else 1


def main(names: list[str]) -> int:
    """Run the course, or the lessons named; return the exit status."""
    lessons = find_lessons(names, LESSONS)
    try:
        return run_course(lessons if names else [p for p in lessons if not is_dive(p)])
    except KeyboardInterrupt:
        print("\nStopped; the kernel is shut down.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
