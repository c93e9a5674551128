"""The tools build, check and copy lessons; here, small ones made for it."""

import base64
import io
import shutil

import build_notebooks
import lab
import nbformat
import numpy as np
import pytest
from lesson_files import figure_text, read_lesson
from PIL import Image
from sample_lessons import BAD, GOOD, code_cells


@pytest.fixture
def lesson(tmp_path):
    path = tmp_path / "lessons" / "01_sums.py"
    path.parent.mkdir()
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A lesson with its notebook, built once; tests damage copies of it."""
    folder = tmp_path_factory.mktemp("built")
    lesson = folder / "01_sums.py"
    lesson.write_text(GOOD, encoding="utf-8")
    assert build_notebooks.build(lesson, folder) == []
    return lesson


@pytest.fixture
def copy(built, tmp_path):
    shutil.copytree(built.parent, tmp_path / "copy")
    return tmp_path / "copy" / built.name


def without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
    return notebook


# Building


def test_rebuild_changes_nothing_but_outputs(copy):
    notebook = copy.with_suffix(".ipynb")
    before = without_outputs(notebook)
    assert build_notebooks.build(copy, copy.parent) == []
    assert without_outputs(notebook) == before


def test_ids_are_of_the_content_and_unique(lesson):
    before = [(cell.id, cell.source) for cell in read_lesson(lesson).cells]
    assert len({cell_id for cell_id, _ in before}) == len(before)
    lesson.write_text(GOOD.replace("a figure", "a drawing"), encoding="utf-8")
    after = [(cell.id, cell.source) for cell in read_lesson(lesson).cells]
    assert len(set(before) & set(after)) == len(before) - 1


def test_notebook_keeps_tags_and_folds_figures_and_solutions(built):
    notebook = nbformat.read(built.with_suffix(".ipynb"), as_version=4)
    tagged = {cell.metadata.tags[0]: cell for cell in notebook.cells if cell.metadata}
    assert set(tagged) == {"setup", "figure", "exercise", "solution"}
    hidden = {tag for tag, cell in tagged.items() if "jupyter" in cell.metadata}
    assert hidden == {"figure", "solution"}
    assert tagged["figure"].metadata.jupyter.source_hidden
    assert notebook.metadata.kernelspec.name == "python3"


def test_a_fold_shows_that_it_is_a_solution(built):
    notebook = nbformat.read(built.with_suffix(".ipynb"), as_version=4)
    solutions = [c for c in notebook.cells if c.metadata.get("tags") == ["solution"]]
    assert len(solutions) == 3
    assert {cell.source.splitlines()[0] for cell in solutions} == {"# Solution"}


def test_figures_have_their_text_in_the_notebook(built):
    notebook = nbformat.read(built.with_suffix(".ipynb"), as_version=4)
    (figure,) = [c for c in notebook.cells if c.metadata.get("tags") == ["figure"]]
    outputs = [o for c in code_cells(notebook) for o in c.outputs if "data" in o]
    pictures = [o for o in outputs if "image/png" in o.data]
    assert [o.metadata["image/png"]["alt"] for o in pictures] == [
        "an empty pair of axes; nothing is drawn on it."
    ]
    assert pictures == [o for o in figure.outputs if "image/png" in o.get("data", {})]


def test_figures_keep_their_size_and_their_look():
    hues = np.random.default_rng(0).integers(0, 256, (40, 3))
    speckles = np.random.default_rng(1).integers(0, 40, (300, 400))
    figure = hues[speckles].astype(np.uint8)
    figure[100:200, 100:300] = np.linspace(0, 255, 200)[:, None].astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(figure).convert("RGBA").save(png, "png")
    data = {"image/png": base64.b64encode(png.getvalue()).decode()}
    output = nbformat.v4.new_output("display_data", data)
    cell = nbformat.v4.new_code_cell("figure", outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    build_notebooks.shrink_figures(notebook)
    shrunk = base64.b64decode(cell.outputs[0].data["image/png"])
    picture = Image.open(io.BytesIO(shrunk))
    assert picture.mode == "P"
    assert picture.size == (400, 300)
    assert len(shrunk) < 0.5 * len(png.getvalue())
    found = np.asarray(picture.convert("RGB"), dtype=int)
    assert np.abs(found - figure).max() <= 8


def test_failing_lesson_leaves_the_notebook_of_before(copy):
    notebook = copy.with_suffix(".ipynb")
    before = notebook.read_bytes()
    copy.write_text(BAD, encoding="utf-8")
    (problem,) = build_notebooks.build(copy, copy.parent)
    assert problem == (
        "01_sums: cell 5 ('shape = (3,)'): ValueError: a shape of (4,) was expected, "
        "not (3,)"
    )
    assert notebook.read_bytes() == before


def test_build_runs_on_built_in_data_without_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("COURSE_PROFILE", "full")
    environment = build_notebooks.build_environment(tmp_path / "runs")
    assert environment["COURSE_DATA"] == "built-in"
    assert environment["COURSE_PROFILE"] == "quick"
    assert environment["COURSE_OFFLINE"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


# Checking notebooks


def add_output(cell, **output):
    cell.outputs.append(nbformat.v4.new_output(**output))


def reverse_counts(notebook):
    first, second = code_cells(notebook)[:2]
    first.execution_count, second.execution_count = 2, 1


def forget_counts(notebook):
    code_cells(notebook)[1].execution_count = None


def edit_source(notebook):
    notebook.cells[0].source += " Edited."


def change_id(notebook):
    notebook.cells[0].id = "another"


def put_error(notebook):
    output = {"ename": "ValueError", "evalue": "wrong", "traceback": []}
    add_output(code_cells(notebook)[1], output_type="error", **output)


def put_stream(name, text):
    def put(notebook):
        add_output(code_cells(notebook)[1], output_type="stream", name=name, text=text)

    return put


def unsolve(notebook):
    code_cells(notebook)[-1].outputs[0].text = "Not solved yet"


def solve(notebook):
    code_cells(notebook)[-2].outputs[0].text = "✓"


def lose_text(notebook):
    for output in [o for cell in code_cells(notebook) for o in cell.outputs]:
        output.get("metadata", {}).pop("image/png", None)


def draw(notebook):
    data = {"image/png": "iVBORw0KGgo="}
    add_output(code_cells(notebook)[1], output_type="display_data", data=data)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (edit_source, "was edited by hand"),
        (change_id, "was edited by hand"),
        (reverse_counts, "out of order"),
        (forget_counts, "out of order"),
        (put_error, "holds an error, ValueError: wrong"),
        (put_stream("stderr", "UserWarning: old\n"), "warns: UserWarning: old"),
        (put_stream("stdout", "saved /tmp/x/best.pt"), "path of the machine"),
        (put_stream("stdout", "x" * 2**20), "at most 1.0"),
        (unsolve, "does not pass its check"),
        (solve, 'should print "Not solved yet"'),
        (draw, "draws a figure without saying what it shows"),
        (lose_text, "draws a figure without saying what it shows"),
    ],
)
def test_check_finds_a_damaged_notebook(copy, damage, complaint):
    assert build_notebooks.check(copy, copy.parent) == []
    path = copy.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    damage(notebook)
    nbformat.write(notebook, path)
    (problem,) = build_notebooks.check(copy, copy.parent)
    assert complaint in problem
    assert "01_sums.ipynb" in problem


def test_check_finds_an_edited_lesson_and_a_missing_notebook(copy):
    copy.write_text(GOOD + "\nprint(1)\n", encoding="utf-8")
    (problem,) = build_notebooks.check(copy, copy.parent)
    assert "another version of lessons/01_sums.py: run `make notebooks`" in problem
    copy.with_suffix(".ipynb").unlink()
    (problem,) = build_notebooks.check(copy, copy.parent)
    assert "01_sums.ipynb is missing" in problem


def test_stray_notebook_is_named(copy):
    shutil.copy(copy.with_suffix(".ipynb"), copy.with_name("07_gone.ipynb"))
    problems = build_notebooks.stray(copy.parent, copy.parent)
    assert problems == ["07_gone.ipynb has no lesson: delete it."]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("# Figure: loss against\n# epoch.\n\n# why\nplot()", "loss against epoch."),
        ("# Figure: one line.\nplot()  # Figure: no", "one line."),
        ("plot()\n# Figure: too late", ""),
        ("# why\n# Figure: not the first line\nplot()", ""),
        ("# Figures are drawn here\nplot()", ""),
        ("# Figure:\nplot()", ""),
    ],
)
def test_figure_text_is_the_comment_at_the_top(source, text):
    assert figure_text(nbformat.v4.new_code_cell(source)) == text


# The reader's own copy


def test_copy_is_without_outputs_and_never_overwritten(lesson, tmp_path):
    mine = tmp_path / "my_course" / "01_sums.ipynb"
    assert lab.copy_lesson(lesson, mine.parent) == "01_sums.ipynb: new"
    cells = code_cells(nbformat.read(mine, as_version=4))
    assert all(cell.outputs == [] for cell in cells)

    mine.write_text(mine.read_text(encoding="utf-8").replace("again", "my own words"))
    edited = mine.read_bytes()
    assert lab.copy_lesson(lesson, mine.parent).endswith("yours, kept as it is")
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]

    lesson.write_text(GOOD.replace("# 01 Sums", "# 01 Sums, revised"), encoding="utf-8")
    said = lab.copy_lesson(lesson, mine.parent)
    (newer,) = set(mine.parent.iterdir()) - {mine}
    assert newer.name in said
    assert "Sums, revised" in newer.read_text(encoding="utf-8")
    assert mine.read_bytes() == edited

    newer.write_text("the reader's again")
    lab.copy_lesson(lesson, mine.parent)
    assert newer.read_text() == "the reader's again"


def test_nothing_runs_the_solutions_of_a_copy(lesson, tmp_path):
    lab.copy_lesson(lesson, tmp_path)
    cells = nbformat.read(tmp_path / "01_sums.ipynb", as_version=4).cells
    solutions = [cell for cell in cells if cell.metadata.get("tags") == ["solution"]]
    assert [cell.cell_type for cell in solutions] == ["markdown"] * 3
    for cell in solutions:
        assert cell.source.startswith(
            "<details><summary>Solution</summary>\n\n```python\ndef double(x):\n"
        )
        assert "return 2 * x" in cell.source
    assert not any("2 * x" in cell.source for cell in cells if cell not in solutions)
    assert len({cell.id for cell in cells}) == len(cells)


def test_copy_that_is_no_notebook_stays(lesson, tmp_path):
    mine = tmp_path / "01_sums.ipynb"
    mine.write_text("not a notebook")
    assert "kept as it is" in lab.copy_lesson(lesson, tmp_path)
    assert mine.read_text() == "not a notebook"
