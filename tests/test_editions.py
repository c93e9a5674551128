"""Editions never overwrite a file that was changed, and hold what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import editions
import lab
import nbformat
import pytest
from lesson_files import NOTEBOOKS, find_lessons, read_lesson, tags_of
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions
from nbgrader_edition import assignment, exercises, free_names, has_exercises
from sample_lessons import code_cells

DOCS = Path(__file__).parent.parent / "docs"
WITH_EXERCISES = [path for path in find_lessons() if has_exercises(read_lesson(path))]
NAME = "01_sums"
LESSON = """# %% [markdown]
# # 01 · Sums
#
# Words.

# %% tags=["setup"]
import math

from course_classroom.checks import lesson_01 as check

# %% [markdown]
# ## One
#
# WORDS
#
# ## Two


# %%
def helper(x):
    return math.sqrt(scale(x))


@staticmethod
def scale(x):
    return x


# %% [markdown]
# ## Exercises
#
# ### ★★ Dashed or solid?
#
# The text.


# %% tags=["exercise"]
def answer(a, b, stride):
    raise NotImplementedError


check.needs_projection(answer)

# %% tags=["solution"]
import os
import re


def answer(a, b, stride):
    images = helper(a)
    return stride != 1 or a != b


check.needs_projection(answer)

# %% [markdown]
# ## References
"""


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    path = tmp_path / "lessons" / f"{NAME}.py"
    path.parent.mkdir()
    path.write_text(LESSON.replace("WORDS", "word " * 600), encoding="utf-8")
    monkeypatch.setattr(editions, "find_lessons", lambda names: [path])
    return path


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def write(kind, folder):
    return editions.main([f"--{kind}", str(folder)])


# What is in an edition


def test_student_edition_has_stubs_and_no_solutions(lesson, tmp_path):
    assert write("student", tmp_path / "class") == 0
    cells = cells_of(tmp_path / "class" / f"{NAME}.ipynb")
    expected = [c for c in read_lesson(lesson).cells if "solution" not in tags_of(c)]
    assert [c.source for c in cells] == [c.source for c in expected]
    assert "stride != 1" not in "".join(c.source for c in cells)
    assert not any(c.outputs for c in cells if c.cell_type == "code")


def test_teacher_edition_is_open_and_estimates_the_time(lesson, tmp_path):
    assert write("teacher", tmp_path / "class") == 0
    cells = cells_of(tmp_path / "class" / f"{NAME}.ipynb")
    assert not any("jupyter" in cell.metadata for cell in cells)
    assert any("stride != 1" in cell.source for cell in cells)
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    # 600 words; five lines of code; an exercise of two stars, 8 minutes, and its stub
    assert "## One\n\n> ⏱ about 5 min (estimate)\n" in text
    assert "## Two\n\n> ⏱ about 1 min (estimate)\n" in text
    assert "## Exercises\n\n> ⏱ about 9 min (estimate)\n" in text
    assert "The text.\n\n> ⏱ This exercise: about 8 min (estimate)." in text
    assert text.endswith("## References\n")
    first = cells[0].source
    assert first.startswith(
        "# 01 · Sums\n\n> ⏱ **For the teacher:** about 14 min in all, 8 of them for "
    )
    assert first.endswith("\n\nWords.")


# What is kept


def test_an_edition_is_brought_up_to_date_and_a_changed_file_kept(
    lesson, tmp_path, capsys
):
    folder = tmp_path / "class"
    mine = folder / f"{NAME}.ipynb"
    for said in ("new", "up to date"):
        assert write("student", folder) == 0
        assert capsys.readouterr().out == f"{mine.name}: {said}\n"

    lesson.write_text(LESSON.replace("WORDS", "Second."), encoding="utf-8")
    write("student", folder)
    assert capsys.readouterr().out == f"{mine.name}: brought up to date\n"
    assert "Second." in mine.read_text(encoding="utf-8")

    mine.write_text("my own words")
    write("student", folder)
    said = f"{mine.name}: changed since it was written, kept as it is"
    assert capsys.readouterr().out == f"{said}\n"

    lesson.write_text(LESSON.replace("WORDS", "Third."), encoding="utf-8")
    write("student", folder)
    (newer,) = folder.glob("*.new-*.ipynb")
    assert capsys.readouterr().out == f"{said}; the new version is {newer.name}\n"
    assert "Third." in newer.read_text(encoding="utf-8")
    newer.write_text("mine, too")
    write("student", folder)
    assert (mine.read_text(), newer.read_text()) == ("my own words", "mine, too")


def test_a_file_that_was_there_before_is_kept(lesson, tmp_path, capsys):
    mine = tmp_path / f"{NAME}.ipynb"
    mine.write_text("not ours")
    assert write("teacher", tmp_path) == 0
    assert "here before, and not ours, kept as it is" in capsys.readouterr().out
    assert mine.read_text() == "not ours"
    assert len(list(tmp_path.glob("*.new-*.ipynb"))) == 1


def test_a_new_version_is_no_second_notebook_of_an_assignment(lesson, tmp_path):
    source = tmp_path / "source" / NAME / f"{NAME}.ipynb"
    write("nbgrader", tmp_path)
    source.write_text("changed")
    lesson.write_text(LESSON.replace("The text.", "More."), encoding="utf-8")
    write("nbgrader", tmp_path)
    assert [path.name for path in source.parent.iterdir()] == [source.name]
    assert len(list(tmp_path.glob("*.new-*.ipynb"))) == 1


def test_an_interrupted_edition_goes_on(lesson, tmp_path, capsys):
    write("student", tmp_path)
    (tmp_path / editions.RECORD).unlink()  # killed before it was written
    capsys.readouterr()
    assert write("student", tmp_path) == 0
    assert capsys.readouterr().out == f"{NAME}.ipynb: up to date\n"
    for damaged in ("{", "[]", '{"files": 3}'):
        (tmp_path / editions.RECORD).write_text(damaged)
        assert write("student", tmp_path) == 0
        assert list(json.loads((tmp_path / editions.RECORD).read_text())["files"])


@pytest.mark.parametrize("below", ["", "class"])
def test_a_target_that_is_a_file_is_refused(lesson, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit, match="file") as refusal:
        write("student", tmp_path / "file" / below)
    assert isinstance(refusal.value.code, str)  # printed, and the exit code is 1
    assert "\n" not in refusal.value.code
    assert (tmp_path / "file").read_text() == "mine"


def test_a_target_that_may_not_be_written_to_is_refused(lesson, tmp_path):
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("this account may write into every folder")
    tmp_path.chmod(0o500)
    with pytest.raises(SystemExit, match=r"Cannot write .*Permission denied.*"):
        write("student", tmp_path)


def test_a_second_edition_wants_a_folder_of_its_own(lesson, tmp_path):
    write("student", tmp_path)
    with pytest.raises(SystemExit, match="holds the edition --student; name another"):
        write("teacher", tmp_path)
    assert "stride != 1" not in (tmp_path / f"{NAME}.ipynb").read_text(encoding="utf-8")


def test_the_learners_copy_in_a_place_taken_by_a_file(tmp_path, monkeypatch):
    (tmp_path / "my_course").write_text("mine")
    monkeypatch.setattr(lab, "MY_COURSE", tmp_path / "my_course")
    with pytest.raises(SystemExit, match=r"Cannot write .*my_course"):
        lab.main([])


# nbgrader's notebooks


def released(notebook):
    """Return a source notebook as `nbgrader generate_assignment` hands it out."""
    notebook, _ = ClearSolutions(code_stub={"python": ""}).preprocess(notebook, {})
    return ClearHiddenTests().preprocess(notebook, {})[0]


@pytest.mark.parametrize("path", WITH_EXERCISES, ids=lambda path: path.stem)
def test_what_is_handed_out_holds_the_very_stubs(path):
    parts = exercises(read_lesson(path))
    cells = code_cells(released(assignment(read_lesson(path))))
    by_id = {c.metadata.nbgrader["grade_id"]: c for c in cells}
    assert len(by_id) == len(cells)
    for part in parts:
        assert by_id[f"{part.name}-answer"].source.rstrip("\n") == part.stub
        assert by_id[part.name].source.rstrip("\n") == part.call
        assert by_id[part.name].metadata.nbgrader["points"] == part.points > 0
        assert by_id[part.name].metadata.nbgrader["locked"]


SOLVE = """
import sys, nbformat
for path in sys.argv[1:]:
    names = {"__name__": "__main__"}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
"""


def test_the_solutions_pass_without_the_rest_of_their_lesson(tmp_path):
    assert editions.main(["--nbgrader", str(tmp_path)]) == 0
    paths = sorted(tmp_path.glob("source/*/*.ipynb"))
    assert len(paths) == len(WITH_EXERCISES)
    env = os.environ | {"COURSE_DATA": "built-in", "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", SOLVE, *paths]
    solved = subprocess.run(command, env=env, capture_output=True, text=True)
    assert solved.returncode == 0, solved.stderr
    assert "✗" not in solved.stdout


def test_a_deep_dive_without_exercises_is_no_assignment(lesson, tmp_path, capsys):
    lesson.write_text(LESSON.partition("# %% [markdown]\n# ## Exercises")[0], "utf-8")
    assert write("nbgrader", tmp_path) == 0
    assert capsys.readouterr().out == "nbgrader_config.py: new\n"


def test_the_courses_own_notebooks_are_no_place_for_an_edition(lesson):
    with pytest.raises(SystemExit, match="notebooks/ is the course's own"):
        write("student", NOTEBOOKS)


def test_the_tilde_is_the_home_folder(lesson, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert write("student", "~/class") == 0
    assert (tmp_path / "class" / f"{NAME}.ipynb").is_file()


def test_definitions_come_along_and_results_do_not(lesson):
    sources = [cell.source for cell in assignment(read_lesson(lesson)).cells]
    assert "def helper(x):\n    return math.sqrt(scale(x))" in sources[2]
    assert "@staticmethod\ndef scale(x):" in sources[2]
    assert free_names("import a\ndef f(x, y=b):\n    z = x\n    return g(z, a)") == {
        "b",
        "g",
    }


def test_an_exercise_that_needs_results_is_left_out_and_named(lesson, tmp_path, capsys):
    text = LESSON.replace("helper(a)", "history").replace("## Two", "## Two\n\n# %%\n")
    lesson.write_text(text, encoding="utf-8")
    assert write("nbgrader", tmp_path) == 1
    assert "the exercise needs_projection needs 'history'" in capsys.readouterr().err
    assert (tmp_path / "nbgrader_config.py").exists()


def test_the_page_has_the_points():
    page = (DOCS / "grading.md").read_text(encoding="utf-8")
    for path in WITH_EXERCISES:
        points = [part.points for part in exercises(read_lesson(path))]
        row = f"| `{path.stem}` | {' + '.join(map(str, points))} | {sum(points)} |"
        assert row in page
