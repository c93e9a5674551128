"""The hosted edition: a wheel with all that lessons need, notebooks that install it."""

import json
import os
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import build_site
import editions
import hosted_edition
import lesson_files
import make_venv
import nbformat
import pytest
from lab import readers_copy
from sample_lessons import GOOD, code_cells

ROOT = Path(__file__).parent.parent
ADDRESS = "https://github.com/owner/course/tree/hosted"
COLAB = "https://colab.research.google.com/github/owner/course/blob/hosted/notebooks"
WHEEL = "resnet_course-1.0-py3-none-any.whl"
RAW = f"https://github.com/owner/course/raw/hosted/{WHEEL}"
# Runs the code of a notebook's first section, but for the installation.
RUN = """
import sys, nbformat
names = {"__name__": "__main__"}
for cell in nbformat.read(sys.argv[1], as_version=4).cells:
    if cell.source.startswith("## 2"):
        break
    if cell.cell_type == "code" and "%pip" not in cell.source:
        exec(cell.source, names)
import course_utils, course_classroom, course_sketches
print(course_utils.__file__, course_classroom.__file__, course_sketches.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The course's wheel, built without a network."""
    return hosted_edition.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def edition(tmp_path, monkeypatch):
    """A function that writes the edition of one small lesson, with a small wheel."""
    lesson = tmp_path / "01_sums.py"
    link = (
        "\n# %% [markdown]\n# **Next:** [02](02_all.ipynb), [paper](https://a.org/b)\n"
    )
    lesson.write_text(GOOD + link, encoding="utf-8")

    def build_wheel(folder):
        path = folder / WHEEL
        path.write_bytes(b"wheel")
        return path

    monkeypatch.setattr(editions, "find_lessons", lambda names: [lesson])
    monkeypatch.setattr(editions, "build_wheel", build_wheel)
    return lambda address=ADDRESS: editions.main(
        ["--hosted", address, str(tmp_path / "hosted")]
    )


# The wheel


def test_the_wheel_holds_what_lessons_load_and_is_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        f"course_utils/recorded/{path.name}" for path in ROOT.glob("results/*.json")
    }
    for package in ("course_utils", "course_classroom", "course_sketches"):
        files = [path for path in (ROOT / package).rglob("*") if path.is_file()]
        expected |= {
            path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"
        }
    inside = {name for name in names if not name.startswith("resnet_course-")}
    assert inside == expected
    assert wheel.stat().st_size < 16 * 2**20


def test_a_lesson_begins_with_the_wheel_alone(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    lesson = tmp_path / "lesson.ipynb"
    (path,) = lesson_files.find_lessons(["04"])
    place = hosted_edition.place_at(ADDRESS)
    notebook = hosted_edition.hosted(readers_copy(path), lesson.name, place, wheel.name)
    lesson_files.write_notebook(notebook, lesson)
    environment = os.environ | {
        "PYTHONPATH": str(site),
        "COURSE_DATA": "built-in",
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(lesson)],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path in done.stdout.splitlines()[-1].split():
        assert Path(path).is_relative_to(site)
    assert "recorded on photos" in done.stdout


# The notebooks


def test_a_notebook_installs_the_course_and_nothing_that_a_host_brings(
    edition, tmp_path
):
    assert edition() == 0
    notebook = nbformat.read(tmp_path / "hosted/notebooks/01_sums.ipynb", as_version=4)
    top, install = notebook.cells[:2]
    assert f"]({COLAB}/01_sums.ipynb)" in top.source
    _, packages, course = install.source.splitlines()
    assert course == f"%pip install --quiet --no-deps {RAW}"
    named = packages.removeprefix("%pip install --quiet ").split()
    assert {"torchinfo", "httpx"} <= {*named}
    assert not {*named} & {*hosted_edition.BROUGHT}
    assert all(re.fullmatch(r"[\w-]+", name) for name in named)  # no version is wanted
    assert (tmp_path / "hosted" / WHEEL).read_bytes() == b"wheel"


def test_its_solutions_are_text_and_its_links_lead_to_the_edition(edition, tmp_path):
    edition()
    notebook = nbformat.read(tmp_path / "hosted/notebooks/01_sums.ipynb", as_version=4)
    assert not [
        c for c in code_cells(notebook) if "solution" in c.metadata.get("tags", [])
    ]
    pages = "https://github.com/owner/course/blob/hosted/notebooks"
    assert (
        f"[02]({pages}/02_all.ipynb), [paper](https://a.org/b)"
        in notebook.cells[-1].source
    )


def test_a_page_of_badges_opens_every_lesson(edition, tmp_path):
    edition()
    page = (tmp_path / "hosted" / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if "01_sums" in line]
    assert f"]({COLAB}/01_sums.ipynb)" in row
    blob = "https://github.com/owner/course/blob/hosted/notebooks/01_sums.ipynb"
    assert f"(https://kaggle.com/kernels/welcome?src={blob})" in row


def test_written_twice_it_is_up_to_date(edition, capsys):
    edition()
    capsys.readouterr()
    edition()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert all(line.endswith(": up to date") for line in said)


def test_a_folder_of_a_branch_will_do():
    place = hosted_edition.place_at(f"{ADDRESS}/a/b/")
    assert place == ("owner/course", "hosted", "/a/b")
    assert place.address("raw", "c") == (
        "https://github.com/owner/course/raw/hosted/a/b/c"
    )


@pytest.mark.parametrize(
    "address",
    ["https://github.com/owner/course", "https://example.org/a/b/tree/c", "hosted"],
)
def test_another_address_is_refused_in_a_sentence(edition, tmp_path, address):
    with pytest.raises(SystemExit, match="not the address of a folder on GitHub; give"):
        edition(address)
    assert not (tmp_path / "hosted").exists()


# The site, and Codespaces


def test_the_site_has_a_button_that_opens_the_lesson(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTED", ADDRESS)
    monkeypatch.setattr(build_site, "api_pages", lambda: {"index.rst": "API\n===\n"})
    lesson = ROOT / "notebooks" / "08_debugging.ipynb"
    assert build_site.build_site([lesson], tmp_path / "pages")
    page = (tmp_path / "pages/notebooks/08_debugging.html").read_text(encoding="utf-8")
    assert f'href="{COLAB}/08_debugging.ipynb"' in page


@pytest.mark.parametrize("address", [None, ""])
def test_the_site_has_no_button_without_an_address(monkeypatch, address):
    monkeypatch.delenv("HOSTED", raising=False)
    if address is not None:  # as a workflow does whose variable is not set
        monkeypatch.setenv("HOSTED", address)
    settings = runpy.run_path(str(ROOT / "site" / "conf.py"))
    assert not {"launch_buttons", "repository_url"} & {*settings["html_theme_options"]}


def test_codespaces_are_set_up_with_pytorchs_cpu_build():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    command = json.loads(text)["postCreateCommand"]
    assert command == f"make setup TORCH_INDEX={make_venv.CPU_INDEX}"
