"""The wheelhouse: made from a tiny local index, and installed from, offline."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import make_venv
import pytest
import wheelhouse

ROOT = Path(__file__).parent.parent
HERE = make_venv.wheels_folder_name()
PINS = ["house-door==1.0", "HouseRoof==2.0.1"]


def make_wheel(folder, name, version, tag="py3-none-any", needs=()):
    """A wheel with one module, as an index would offer it."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {one}\n" for one in needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(member, text)
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that is all the world there is."""
    folder = tmp_path / "index"
    make_wheel(folder, "house-door", "1.0")
    make_wheel(folder, "HouseRoof", "2.0.1")
    for variable, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(wheelhouse, "resolve", lambda system, torch_index: PINS)
    return folder


def test_it_holds_all_packages_and_says_so(index, tmp_path, capsys):
    target = tmp_path / "wheels"
    assert wheelhouse.main([str(target)]) == 0
    here = target / HERE
    names = ["HouseRoof-2.0.1-py3-none-any.whl", "house_door-1.0-py3-none-any.whl"]
    assert (here / "wheels.txt").read_text().split() == names
    assert make_venv.find_wheels(target, ROOT) == (here, "")
    assert make_venv.find_wheels(here, ROOT) == (here, "")
    out = capsys.readouterr().out
    assert f"{here} holds all 2 packages, " in out
    assert out.endswith(f"make course WHEELS={target}\n")


def test_made_again_it_fetches_only_what_is_missing_or_cut(index, tmp_path, capsys):
    target = tmp_path / "wheels"
    assert wheelhouse.main([str(target)]) == 0
    door = target / HERE / "house_door-1.0-py3-none-any.whl"
    whole = door.read_bytes()
    door.write_bytes(whole[:100])
    capsys.readouterr()
    assert wheelhouse.main([str(target)]) == 0
    assert "Downloading 1 packages" in capsys.readouterr().out
    assert door.read_bytes() == whole
    shutil.rmtree(index)
    assert wheelhouse.main([str(target)]) == 0
    assert "Downloading" not in capsys.readouterr().out


def test_a_package_that_cannot_be_had_is_named(index, tmp_path, capfd):
    (index / "house_door-1.0-py3-none-any.whl").unlink()
    assert wheelhouse.main([str(tmp_path / "wheels")]) == 1
    error = capfd.readouterr().err
    assert "house-door==1.0" in error
    assert "No wheelhouse for" in error
    assert not (tmp_path / "wheels" / HERE / "wheels.txt").exists()


def test_other_systems_get_folders_and_wheels_of_their_own(index, tmp_path):
    for tag in ("cp{}{}-cp{}{}-win_amd64", "cp{}{}-cp{}{}-macosx_14_0_arm64"):
        tag = tag.format(*sys.version_info[:2], *sys.version_info[:2])
        make_wheel(index, "house-door", "1.0", tag)
    others = [name for name in ("windows", "macos") if name != wheelhouse.own_system()]
    assert wheelhouse.main([str(tmp_path / "wheels"), *others]) == 0
    python = "py{}.{}".format(*sys.version_info[:2])
    for name, machine, tag in (
        ("windows", "amd64", "win_amd64"),
        ("macos", "arm64", "macosx"),
    ):
        if name in others:
            folder = tmp_path / "wheels" / f"{name}-{machine}-{python}"
            assert tag in (folder / "wheels.txt").read_text()


def test_misused_it_says_how(capsys):
    assert wheelhouse.main([]) == wheelhouse.main(["wheels", "amiga"]) == 2
    assert "linux macos windows" in capsys.readouterr().err


@pytest.mark.parametrize("system", wheelhouse.SYSTEMS)
def test_the_question_that_uv_is_asked(system, monkeypatch):
    asked = []

    def answer(command, **options):
        asked.extend([*command, options["input"]])
        text = "# a comment\ntorch==2.15.0+cpu ; python_version > '3'\nuv==1\n"
        return subprocess.CompletedProcess(command, 0, text, "")

    monkeypatch.setattr(wheelhouse.subprocess, "run", answer)
    pins = wheelhouse.resolve(system, "https://example.org/cpu")
    assert pins == ["torch==2.15.0+cpu", "uv==1"]
    assert {"--all-extras", "constraints.txt", ":all:", "unsafe-best-match"} <= {*asked}
    assert wheelhouse.SYSTEMS[system][1] in asked
    assert asked[-1].split() == ["pip", "setuptools", "uv"]


# Installing from it


@pytest.fixture
def wheels(tmp_path):
    """A wheelhouse for this machine, of this version of the course."""
    here = tmp_path / "wheels" / HERE
    names = [make_wheel(here, name, "1.0").name for name in "abcde"]
    (here / "wheels.txt").write_text("\n".join(names) + "\n")
    shutil.copy(ROOT / "constraints.txt", here)
    return here


def wrong_with(folder):
    return make_venv.find_wheels(folder, ROOT)[1]


def test_one_of_another_python_or_system_is_told_apart(wheels):
    assert wrong_with(wheels.parent) == ""
    wheels.rename(wheels.with_name("amiga-68k-py3.1"))
    text = wrong_with(wheels.parent)
    assert f"this system and Python ({HERE}), but for amiga-68k-py3.1; name" in text
    assert "nor for any other" in wrong_with(wheels / "nowhere")


def test_one_that_lacks_packages_names_them(wheels):
    (wheels / "a-1.0-py3-none-any.whl").unlink()
    cut = wheels / "b-1.0-py3-none-any.whl"
    cut.write_bytes(cut.read_bytes()[:50])
    text = wrong_with(wheels.parent)
    assert "lacks 2 of 5 packages (a-1.0-py3-none-any.whl, b-1.0" in text
    for name in "cde":
        (wheels / f"{name}-1.0-py3-none-any.whl").unlink()
    assert "c-1.0-py3-none-any.whl, 2 more)" in wrong_with(wheels.parent)


def test_one_of_another_version_names_the_difference(wheels):
    pins = (ROOT / "constraints.txt").read_text()
    torch = next(line for line in pins.splitlines() if line.startswith("torch=="))
    (wheels / "constraints.txt").write_text(pins.replace(torch, "torch==1.0"))
    text = wrong_with(wheels.parent)
    assert f"the course, which wants torch==1.0 instead of {torch}: make it" in text
    (wheels / "constraints.txt").write_text("# a new comment\n" + pins)
    assert wrong_with(wheels.parent) == ""


def test_a_wrong_wheelhouse_leaves_the_environment_alone(
    wheels, tmp_path, monkeypatch, capsys
):
    house = tmp_path / "house"
    house.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, house)
    (wheels / "a-1.0-py3-none-any.whl").unlink()
    monkeypatch.setenv("WHEELS", str(wheels.parent))
    monkeypatch.chdir(house)
    assert make_venv.main(house) == 1
    assert capsys.readouterr().out.count("\n") == 1
    assert not (house / ".venv").exists()


def test_installing_asks_no_network(wheels, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(make_venv, "is_here", lambda folder: True)
    monkeypatch.setattr(make_venv, "works", lambda python: True)
    monkeypatch.setattr(make_venv, "follow_pip_settings", lambda python: None)
    monkeypatch.setattr(
        make_venv.subprocess, "call", lambda c, **o: calls.append(c) or 0
    )
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/cpu")
    monkeypatch.setenv("UV_OFFLINE", "")
    make_venv.set_up(tmp_path, "python", tmp_path / "ready", str(wheels))
    assert len(calls) == 2  # uv, and everything in one
    for call in calls:
        assert "--no-index" in call
        assert call[call.index("--find-links") + 1] == str(wheels)
        assert "https://example.org/cpu" not in call
    assert os.environ["UV_OFFLINE"] == "1"
    calls.clear()
    make_venv.set_up(tmp_path, "python", tmp_path / "ready")
    assert not any("--no-index" in call for call in calls)
    assert any("https://example.org/cpu" in call for call in calls)


def test_a_course_is_really_installed_from_it(tmp_path, monkeypatch):
    """The whole of make_venv, for a course of one package, by pip alone."""
    house, here = tmp_path / "house", tmp_path / "wheels" / HERE
    house.mkdir()
    backend = ROOT / "tests" / "small_backend.py"
    shutil.copy(backend, house)
    (house / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "small_backend"\n'
        'backend-path = ["."]\n[project]\nname = "small"\nversion = "1"\n'
    )
    (house / "constraints.txt").write_text("house-door==1.0\n")
    wheel = make_wheel(here, "house-door", "1.0")
    (here / "wheels.txt").write_text(wheel.name)
    shutil.copy(house / "constraints.txt", here)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/nowhere")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("WHEELS", str(tmp_path / "wheels"))
    monkeypatch.chdir(house)
    assert make_venv.main(house) == 0
    code = "import house_door; print(house_door.version)"
    program = venv.EnvBuilder().ensure_directories(house / ".venv").env_exe
    done = subprocess.run([program, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1.0\n"
    monkeypatch.delenv("WHEELS")
    assert (house / ".venv" / "ready").read_text() == make_venv.fingerprint(house)
