"""The rooms of the house know only those below; the files around them agree."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import make_venv
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PACKAGES = ("course_utils", "course_classroom", "course_sketches")
EXTRAS = PROJECT["project"]["optional-dependencies"]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def test_constraints_are_exact_versions_without_addresses():
    names = [canonicalize_name(pin.name) for pin in PINS]
    assert len(set(names)) == len(names)
    for pin in PINS:
        assert pin.url is None
        assert [spec.operator for spec in pin.specifier] == ["=="], pin
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-", text, re.MULTILINE)


def test_constraints_leave_to_torch_what_torch_pins():
    assert not [p for p in PINS if re.match(r"nvidia|cuda|triton", p.name)]


@pytest.mark.parametrize(
    "requirement",
    sum(EXTRAS.values(), PROJECT["project"]["dependencies"]),
)
def test_every_dependency_is_pinned_to_a_version_it_allows(requirement):
    wanted = Requirement(requirement)
    pins = {canonicalize_name(pin.name): pin.specifier for pin in PINS}
    (exact,) = pins[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(exact.version)


def test_conda_brings_python_and_pip_and_pip_the_rest():
    *packages, pip = ENVIRONMENT["dependencies"]
    specs = dict(re.fullmatch(r"([a-z]+)([<>=]=?[\d.]+)", p).groups() for p in packages)
    assert set(specs) == {"python", "pip"}
    python = specs["python"].lstrip("=")
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(python)
    assert pip == {"pip": ["-c constraints.txt", f"-e {make_venv.EXTRAS}"]}
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]


def test_make_and_conda_install_every_extra():
    assert set(re.findall(r"\w+", make_venv.EXTRAS)) == set(EXTRAS)


@pytest.mark.parametrize("name", PACKAGES)
def test_package_data_covers_every_file_of_the_package(name):
    patterns = PROJECT["tool"]["setuptools"]["package-data"].get(name, [])
    package = ROOT / name
    covered = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert others <= covered


def test_the_packages_are_those_that_are_installed_and_measured():
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == [
        f"{name}*" for name in PACKAGES
    ]
    assert PROJECT["tool"]["coverage"]["run"]["source_pkgs"] == list(PACKAGES)


def room(module):
    """The room of `course_utils` that a module lies in, or its whole package."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "course_utils" else 1])


def imported(path):
    """The rooms and packages that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {room(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {room(f"{node.module}.{alias.name}") for alias in node.names}
    return found


@pytest.fixture(scope="module")
def arrows():
    """What each room imports from elsewhere."""
    arrows = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            arrows.setdefault(room(module), set()).update(imported(path))
    return {name: found - {name} for name, found in arrows.items()}


def test_arrows_run_downwards_in_no_circle(arrows):
    rooms = {name for name in arrows if name.startswith("course_utils.")}
    below = {
        "course_classroom": rooms | {"course_sketches"},
        **dict.fromkeys(rooms, rooms | {"course_sketches"}),
        "course_utils._engine": set(),
        "course_utils.plotting": set(),
        "course_sketches": set(),
    }
    for name, allowed in below.items():
        ours = {other for other in arrows[name] if other.startswith("course_")}
        assert ours <= allowed, name
    TopologicalSorter(arrows).prepare()  # raises where there is a circle


def test_plotting_needs_numpy_and_matplotlib_alone(arrows):
    names = {name.split(".")[0] for name in arrows["course_utils.plotting"]}
    assert names - sys.stdlib_module_names == {"matplotlib", "numpy"}


def test_no_lesson_goes_into_the_cellar():
    for lesson in (ROOT / "lessons").glob("*.py"):
        assert "course_utils._engine" not in imported(lesson), lesson.name


@pytest.mark.parametrize("file", ["README.md", ".ci/run", ".github/workflows/test.yml"])
def test_everybody_runs_the_same_tests(file):
    assert "make test" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_code_is_clean(command):
    ruff = [sys.executable, "-m", "ruff", *command, "--quiet", str(ROOT)]
    result = subprocess.run(ruff, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
