"""`make course`: what it runs, what it says, and the pages it makes."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import build_site
import nbformat
import psutil
import pytest
import run_course
from execution import execute
from sample_lessons import BAD, GOOD, code_cells

TOOLS = Path(run_course.__file__).parent


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Exit status, printed text and folder of a good lesson, its dive, a bad lesson."""
    folder = tmp_path_factory.mktemp("course")
    lessons = [folder / "01_sums.py", folder / "01b_more.py", folder / "02_fails.py"]
    dive = GOOD.replace("# 01 Sums", "# 01b More sums")
    for path, text in zip(lessons, (GOOD, dive, BAD), strict=True):
        path.write_text(text, encoding="utf-8")
    (folder / "02b_other.py").write_text(BAD, encoding="utf-8")
    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        pytest.MonkeyPatch.context() as patch,
    ):
        # The pages of course_utils take the longest, and have a test of their own.
        patch.setattr(build_site, "api_pages", lambda: {"index.rst": "API\n===\n"})
        status = run_course.run_course(lessons, folder / "pages")
    return status, printed.getvalue(), folder / "pages"


def test_failing_cell_is_named_and_the_others_run(course):
    status, printed, _ = course
    assert status == 1
    assert "FAILED 02_fails, cell 5 ('shape = (3,)'): ValueError: a shape" in printed
    lines = printed.splitlines()
    rows = {line.split()[0]: at for at, line in enumerate(lines) if "GiB" in line}
    assert set(rows) == {"01_sums", "01b_more", "02_fails"}
    assert (
        "Deep dives that did not run: 02b_other. `make course LESSONS=all`" in printed
    )
    for name in ("01_sums", "01b_more"):
        assert re.search(r" \d+ s +0\.[1-9] GiB  drawn", lines[rows[name]])
        assert lines[rows[name] + 1] == "    test accuracy 84.2 %"
    assert lines[rows["02_fails"]].endswith("GiB  –")
    assert lines[rows["02_fails"] + 1] == "    failed"


def test_failed_notebook_shows_how_far_it_came(course):
    path = course[2].with_name("pages-notebooks") / "02_fails.ipynb"
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == [1, 2, 3, None]
    assert cells[2].outputs[0].ename == "ValueError"


@pytest.mark.parametrize(
    ("names", "run"),
    [
        ([], ["01_sums", "02_all"]),
        (["all"], ["01_sums", "01b_more", "02_all"]),
        (["01", "01b"], ["01_sums", "01b_more"]),
    ],
)
def test_deep_dives_run_where_they_are_asked_for(tmp_path, monkeypatch, names, run):
    for name in ("01_sums", "01b_more", "02_all"):
        (tmp_path / f"{name}.py").touch()
    monkeypatch.setattr(run_course, "LESSONS", tmp_path)
    monkeypatch.setattr(run_course, "run_course", lambda lessons: lessons)
    assert [lesson.stem for lesson in run_course.main(names)] == run


def test_course_never_downloads_and_spares_the_readers_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_OFFLINE", "0")
    monkeypatch.setenv("COURSE_DATA", "photos")
    monkeypatch.setenv("COURSE_RUNS", "the reader's")
    environment = run_course.course_environment(tmp_path)
    assert environment["COURSE_OFFLINE"] == "1"
    assert environment["COURSE_PROFILE"] == "quick"
    assert environment["COURSE_DATA"] == "photos"
    assert environment["COURSE_RUNS"] == str(tmp_path / "runs")


def test_the_site_is_that_of_the_lessons_that_ran(course):
    pages = course[2]
    made = {path.stem for path in (pages / "notebooks").glob("*.html")}
    assert made == {"01_sums", "01b_more", "02_fails"}
    landing = (pages / "index.html").read_text(encoding="utf-8")
    assert 'href="notebooks/01_sums.html"' in landing
    results = (pages / "results.html").read_text(encoding="utf-8")
    assert re.search(
        r"test accuracy 84.2 %.*test accuracy 84.2 %.*failed", results, re.S
    )
    assert "Deep dives that did not run: 02b_other." in results
    assert len(re.findall("↳ 01b More sums</a>", landing)) == 1
    assert re.search(r'Deep dive: <a [^>]*href="notebooks/01b_more.html"', landing)
    lesson = (pages / "notebooks" / "01_sums.html").read_text(encoding="utf-8")
    assert lesson.count("Show the solution") == 3
    assert lesson.count("Show how the figure is drawn") == 1
    assert "an invisible comment" not in lesson
    assert "mathjax" in lesson.lower()
    assert re.search(r'<img alt="[^"]+" src="\.\./_images/', lesson)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and named pipes")
def test_interrupt_shuts_the_kernel_down(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "01_waits.py").write_text(
        "# %% [markdown]\n# # Waits\n\n# %%\nimport os, time\n\n"
        f"open({str(pipe)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    program = (
        "import sys, run_course; from pathlib import Path\n"
        "run_course.LESSONS = Path(sys.argv[1])\n"
        "run_course.run_course.__defaults__ = (Path(sys.argv[1], 'pages'),)\n"
        "sys.exit(run_course.main([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=TOOLS,
        stdout=subprocess.PIPE,
        text=True,
    )
    kernel = int(pipe.read_text())  # waits until the cell runs
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Stopped" in printed
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE


def test_kernel_that_dies_is_an_error_like_any_other(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import os\nos._exit(1)")]
    )
    execution = execute(notebook, tmp_path, dict(os.environ))
    assert execution.error.startswith("cell 1 ('import os'): DeadKernelError")
