"""START_HERE: the lessons of a folder, what is solved, and what comes next."""

import lab
import nbformat
import pytest
from lesson_code import exercises
from lesson_files import NOTEBOOKS, find_lessons, number_of, write_notebook

from course_classroom.checks.marks import mark_solved, solved
from course_classroom.start_page import overview, read

LESSON = """# %% [markdown]
# # NN · Sums
#
# **Reading** 39 minutes · **exercises** 25 minutes · **run time** quick CPU about
# 75 s (two quiet cores), full GPU not measured

# %% [markdown]
# ## Exercises
#
# ### ★ Twice NN


# %% tags=["exercise"]
def twice(x):
    return None


check.twice_NN(twice)

# %% tags=["solution"]
def twice(x):
    return 2 * x


check.twice_NN(twice)
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def lessons(tmp_path, monkeypatch):
    folder = tmp_path / "lessons"
    folder.mkdir()
    for number in ("01", "02"):
        text = LESSON.replace("NN", number)
        (folder / f"{number}_sums.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(lab, "LESSONS", folder)
    monkeypatch.setattr(lab, "MY_COURSE", tmp_path / "my_course")
    return folder


@pytest.fixture
def started(monkeypatch):
    """The command lines that would have started JupyterLab."""
    commands = []

    class Ended:
        returncode = 0

    def run(command, env):
        commands.append(command)
        return Ended

    monkeypatch.setattr(lab.subprocess, "run", run)
    return commands


def test_lab_opens_on_a_page_with_what_is_solved_by_now(lessons, runs, started):
    page = lab.MY_COURSE / "START_HERE.ipynb"
    assert lab.main(["--no-browser"]) == 0
    assert started[0][-1] == "--no-browser"
    assert any(part.endswith("/lab/tree/START_HERE.ipynb") for part in started[0])
    text, table = nbformat.read(page, as_version=4).cells
    assert text.source.startswith("# Start here")
    shown = table.outputs[0].data["text/markdown"]
    assert shown == overview(lab.MY_COURSE)
    assert shown.startswith(
        "**0 of 2 exercises are solved.** The next one: ★ Twice 01, in "
        "[01 · Sums](01_sums.ipynb)."
    )
    row = "| [01 · Sums](01_sums.ipynb) | 39 min | 25 min | 75 s | {} ★ Twice 01 |"
    assert row.format("○") in shown

    mark_solved("twice_01")
    page.write_text("left by the reader")
    lab.main([])
    shown = nbformat.read(page, as_version=4).cells[1].outputs[0].data["text/markdown"]
    assert shown.startswith("**1 of 2 exercises are solved.** The next one: ★ Twice 02")
    assert row.format("✓") in shown


def test_the_page_says_when_all_is_solved(lessons, runs, started):
    mark_solved("twice_01")
    mark_solved("twice_02")
    lab.main([])
    said, _ = overview(lab.MY_COURSE).split("\n\n")
    assert said == "**2 of 2 exercises are solved.**"


@pytest.mark.parametrize(
    "content",
    ["no notebook", "[]", '{"cells": {"a": 1}}', '{"cells": [{"source": [1]}]}'],
)
def test_a_damaged_notebook_stays_in_the_table(tmp_path, runs, content):
    (tmp_path / "01_sums.ipynb").write_text(content)
    (tmp_path / "01_sums.new-0123abcd.ipynb").write_text("its new version")
    (tmp_path / "notes.ipynb").write_text("the reader's")
    *_, row = overview(tmp_path).splitlines()
    assert row == "| [01_sums](01_sums.ipynb) |  |  |  |  |"
    assert overview(tmp_path).count("ipynb") == 1


def test_the_refreshing_cell_shows_the_same_table(lessons, runs, started, monkeypatch):
    lab.main([])
    mark_solved("twice_01")
    (cell,) = nbformat.read(lab.MY_COURSE / lab.START, as_version=4).cells[1:]
    monkeypatch.chdir(lab.MY_COURSE)
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    exec(cell.source, {})
    assert [table.data for table in shown] == [overview(lab.MY_COURSE)]
    assert "**1 of 2 exercises" in shown[0].data


@pytest.mark.parametrize("lesson", find_lessons(), ids=lambda lesson: lesson.stem)
def test_every_exercise_of_the_course_is_on_the_page(lesson, tmp_path):
    copy = tmp_path / f"{lesson.stem}.ipynb"
    write_notebook(lab.readers_copy(lesson), copy)
    found = read(copy)
    assert found.link.startswith(f"[{number_of(lesson)} · ")
    expected = [e.name for e in exercises() if e.lesson == lesson.stem]
    assert [*found.exercises] == expected
    assert all(title.startswith("★") for title in found.exercises.values())
    to_read, to_solve, to_compute = found.minutes
    assert (to_read[-3:], to_compute[-2:]) == ("min", " s")
    assert bool(to_solve) == bool(expected)


def test_the_page_begins_with_a_lesson_that_is_there():
    first = find_lessons()[0].stem
    assert f"({first}.ipynb)" in lab.start_page(NOTEBOOKS).cells[0].source


def test_a_mark_is_kept_once(runs):
    assert solved() == set()
    mark_solved("one")
    mark_solved("two")
    mark_solved("one")
    assert solved() == {"one", "two"}


def test_marks_that_cannot_be_written_or_read_are_left_out(runs):
    runs.write_text("a file where a folder should be")
    mark_solved("one")
    assert solved() == set()
