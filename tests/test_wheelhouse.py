"""The wheelhouse: made from a tiny local index, for this system and for others."""

import os
import subprocess
import sys

import make_venv
import pytest
import wheelhouse
from test_make_venv import make_wheel


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that is all the world there is."""
    folder = tmp_path / "index"
    make_wheel(folder, "house-door", "1.0")
    make_wheel(folder, "HouseRoof", "2.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    pins = ["house-door==1.0", "HouseRoof==2.0.1"]
    monkeypatch.setattr(wheelhouse, "resolve", lambda system, torch_index: pins)
    return folder


def test_it_holds_all_packages_and_says_so(index, tmp_path, capsys):
    wheelhouse.main([str(tmp_path / "wheels")])
    here = tmp_path / "wheels" / make_venv.WHEELS_HERE
    assert sorted(path.name for path in here.iterdir()) == [
        "HouseRoof-2.0.1-py3-none-any.whl",
        "house_door-1.0-py3-none-any.whl",
    ]
    assert make_venv.find_wheels(here.parent) == make_venv.find_wheels(here) == here
    out = capsys.readouterr().out
    assert f"{here} holds all 2 packages, " in out
    assert out.endswith(f"make course WHEELS={here.parent}\n")


def test_a_package_that_cannot_be_had_is_named(index, tmp_path, capfd):
    (index / "house_door-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SystemExit, match="Not every package could be had; see above"):
        wheelhouse.main([str(tmp_path / "wheels")])
    said = capfd.readouterr()
    assert "house-door==1.0" in said.err
    assert "holds all" not in said.out


def test_other_systems_get_folders_and_wheels_of_their_own(index, tmp_path):
    python = make_venv.PYTHON
    others = {
        "windows": ("amd64", "win_amd64"),
        "macos": ("arm64", "macosx_14_0_arm64"),
    }
    others.pop(make_venv.SYSTEM, None)
    for _, tag in others.values():
        compiled = "cp" + python.replace(".", "")
        make_wheel(index, "house-door", "1.0", f"{compiled}-{compiled}-{tag}")
    wheelhouse.main([str(tmp_path / "wheels"), *others])
    for name, (machine, tag) in others.items():
        folder = tmp_path / "wheels" / f"{name}-{machine}-py{python}"
        assert [path.name for path in folder.glob(f"house_door*{tag}.whl")]


@pytest.mark.parametrize("words", [[], ["wheels", "amiga"]])
def test_misused_it_says_how(words):
    with pytest.raises(SystemExit, match="linux macos windows"):
        wheelhouse.main(words)


def test_uv_is_asked_for_the_system_and_the_index(monkeypatch):
    asked = []

    def answer(command, **options):
        asked.extend([*command, options["input"]])
        text = "# a comment\ntorch==2.15.0+cpu ; python_version > '3'\nuv==1\n"
        return subprocess.CompletedProcess(command, 0, text)

    monkeypatch.setattr(wheelhouse.subprocess, "run", answer)
    system = "windows" if sys.platform != "win32" else "linux"
    pins = wheelhouse.resolve(system, "https://example.org/cpu")
    assert pins == ["torch==2.15.0+cpu", "uv==1"]
    assert {"--all-extras", "constraints.txt", ":all:", "unsafe-best-match"} <= {*asked}
    assert wheelhouse.SYSTEMS[system][1] in asked
    assert asked[-1].split() == ["pip", "setuptools", "uv"]
