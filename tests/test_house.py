"""The files around the package agree with each other."""

import re
import subprocess
import sys
import tomllib
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


def test_package_data_covers_every_file_of_the_package():
    package = ROOT / "course_utils"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["course_utils"]
    covered = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert others <= covered


@pytest.mark.parametrize("file", ["README.md", ".ci/run", ".github/workflows/test.yml"])
def test_everybody_runs_the_same_tests(file):
    assert "make test" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_code_is_clean(command):
    ruff = [sys.executable, "-m", "ruff", *command, "--quiet", str(ROOT)]
    result = subprocess.run(ruff, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
