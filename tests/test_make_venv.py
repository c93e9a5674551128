"""Setting up .venv: once, again when pins change, and on after a failure."""

import os
import subprocess

import make_venv
import pytest


@pytest.fixture
def house(tmp_path, monkeypatch, capsys):
    """A folder that looks set up, and the list of set-ups that were asked for."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    python = (
        tmp_path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    )
    python.parent.mkdir(parents=True)
    python.touch()
    calls = []
    monkeypatch.setattr(make_venv, "set_up", lambda *arguments: calls.append(arguments))
    monkeypatch.chdir(tmp_path)
    return tmp_path, calls


def test_environment_is_set_up_once_and_again_when_pins_change(house):
    root, calls = house
    assert [make_venv.main(root), make_venv.main(root)] == [0, 0]
    assert len(calls) == 1
    (root / "constraints.txt").write_text("torch==9")
    assert make_venv.main(root) == 0
    assert len(calls) == 2


def test_environment_half_made_is_taken_up_again(house, monkeypatch, capsys):
    root, calls = house

    def fail(*arguments):
        raise subprocess.CalledProcessError(1, ["pip", "install"])

    with monkeypatch.context() as patch:
        patch.setattr(make_venv, "set_up", fail)
        assert make_venv.main(root) == 1
    assert "failed (see above) at: pip install" in capsys.readouterr().out
    assert make_venv.main(root) == 0
    assert len(calls) == 1


def test_old_python_is_told_so(monkeypatch, capsys, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(make_venv.sys, "version_info", (3, 10, 4))
        status = make_venv.main(tmp_path)
    assert status == 1
    assert "needs Python 3.11 or newer, this is 3.10" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_torch_comes_alone_from_its_own_index():
    first, second = make_venv.installations("https://example.org/cpu")
    assert first[-5:-2] == ["--no-deps", "--index-url", "https://example.org/cpu"]
    assert "--index-url" not in second
    assert make_venv.installations("") == [second]
