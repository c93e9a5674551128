"""nbgrader grades a class on what the edition gives it, broken submissions included."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import editions
import nbformat
import pytest
from lesson_files import find_lessons, read_lesson
from nbgrader_edition import exercises
from sample_lessons import code_cells

ASSIGNMENT = "01_residual_blocks"
RIGHT = "def needs_projection(a, b, stride):\n    return stride != 1 or a != b\n"
LOOP = "def needs_projection(a, b, stride):\n    while True:\n        pass\n"
STUBBORN = (
    "import signal\ndef needs_projection(a, b, stride):\n"
    "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n    while True:\n        pass\n"
)
GREEDY = (
    "import numpy as np\n"
    "def needs_projection(a, b, stride):\n    hoard = []\n"
    "    while True:\n        hoard.append(np.zeros(2**27))\n"
)
CHEAT = (
    "def needs_projection(a, b, stride):\n    return True\n"
    "from pathlib import Path\nPath('../outside').write_text('planted')\n"
    "class check:\n    needs_projection = staticmethod(lambda answer: True)\n"
    "import course_classroom.checks.lesson_01 as judge\n"
    "judge.needs_projection = check.needs_projection\n"
    "judge.exercise = judge.Wrong = None\nimport no_such_module\n"
)


def nbgrader(course, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(command, cwd=course, capture_output=True, text=True)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A course directory in which a class of seven was graded."""
    if os.name == "nt":
        pytest.skip("the limits of a submission are Unix's")
    course = tmp_path_factory.mktemp("course")
    editions.main(["--nbgrader", str(course), "01"])
    made = nbgrader(course, "generate_assignment", ASSIGNMENT)
    assert made.returncode == 0, made.stderr
    solutions = {part.name: part.solution for part in lesson_01()}

    def submit(student, drop=(), **answers):
        path = Path("release", ASSIGNMENT, f"{ASSIGNMENT}.ipynb")
        notebook = nbformat.read(course / path, as_version=4)
        for cell in code_cells(notebook):
            name = cell.metadata.nbgrader["grade_id"].removesuffix("-answer")
            if cell.metadata.nbgrader["solution"]:
                cell.source = (solutions | answers)[name]
        notebook.cells = [
            cell
            for cell in notebook.cells
            if cell.metadata.get("nbgrader", {}).get("grade_id") not in drop
        ]
        place = course / "submitted" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        place.parent.mkdir(parents=True)
        nbformat.write(notebook, place)
        return place

    submit("cheat", needs_projection=CHEAT)
    submit("greedy", needs_projection=GREEDY, drop={"start_as_identity-answer"})
    submit("loop", needs_projection=LOOP, drop={"start_as_identity"})
    submit("no_notebook").write_bytes(b"PK\3\4 a text document")
    submit("stubborn", needs_projection=STUBBORN)
    submit("unsolved", **{part.name: part.stub for part in lesson_01()})
    submit("whole", needs_projection=RIGHT)  # the last, after all the broken ones
    short = ["--Execute.timeout=12", "--Execute.iopub_timeout=4"]
    run = nbgrader(course, "autograde", ASSIGNMENT, *short)
    assert nbgrader(course, "generate_feedback", ASSIGNMENT).returncode == 0
    assert nbgrader(course, "export").returncode == 0
    return course, run.stderr


def lesson_01():
    return exercises(read_lesson(*find_lessons(["01"])))


def test_a_broken_submission_costs_only_its_own_row(graded):
    course, _ = graded
    with open(course / "grades.csv", newline="", encoding="utf-8") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {student: float(row["score"]) for student, row in rows.items()} == {
        "cheat": 5,  # all but the one it cheated in
        "greedy": 3,  # lost: what ate the memory, and where the answer is gone
        "loop": 3,  # lost: what was stopped, and where the test is gone
        "no_notebook": 0,
        "stubborn": 0,  # does not let itself be stopped
        "unsolved": 0,
        "whole": 6,
    }
    assert {float(row["max_score"]) for row in rows.values()} == {6}


def test_nbgrader_names_whom_it_could_not_grade(graded):
    _, log = graded
    end = log[log.rindex("There was an error processing assignment: ") :]
    for student in ("no_notebook", "stubborn"):
        assert f"assignment '{ASSIGNMENT}' for student '{student}'" in end
    assert end.count("for student") == 2


def test_feedback_says_what_was_wrong(graded):
    course, _ = graded

    def page(student):
        path = course / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html"
        return path.read_text(encoding="utf-8")

    assert "Unable to allocate" in page("greedy")  # the limit, not the machine's end
    assert "CellTimeoutError" in page("loop")
    assert "Not solved yet. Hint: " in page("unsolved")
    assert "Hint: what of the shape changes here?" in page("cheat")
    assert page("whole").count("✓") == 3
    assert not (course / "feedback" / "no_notebook").exists()
