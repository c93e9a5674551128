"""Setting up .venv: once, again when pins change, and from a wheelhouse."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import make_venv
import pytest

ROOT = Path(__file__).parent.parent
BACKEND = ROOT / "tests" / "small_backend.py"


def make_wheel(folder, name, version, tag="py3-none-any"):
    """A wheel with one module, as an index would offer it."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{module}-{version}-{tag}.whl", "w") as archive:
        for member, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(member, text)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder with a course of one package, and no index but what WHEELS names."""
    house = tmp_path / "house"
    house.mkdir()
    shutil.copy(BACKEND, house)
    (house / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "small_backend"\n'
        'backend-path = ["."]\n[project]\nname = "small"\nversion = "1"\n'
    )
    (house / "constraints.txt").write_text("house-door==1.0\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/nowhere")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("WHEELS", str(tmp_path / "wheels"))
    monkeypatch.chdir(house)
    return house


@pytest.fixture
def asked(house, monkeypatch):
    """The installations that were asked for; nothing is installed."""
    calls = []
    monkeypatch.delenv("WHEELS")
    monkeypatch.setattr(make_venv, "make", lambda folder: folder.mkdir())
    monkeypatch.setattr(make_venv, "follow_pip_settings", lambda python: None)
    monkeypatch.setattr(make_venv, "is_usable", lambda *_: (house / ".venv").exists())
    monkeypatch.setattr(
        make_venv.subprocess, "call", lambda command: calls.append(command) or 0
    )
    return calls


def test_environment_is_set_up_once_and_again_when_pins_change(
    house, asked, monkeypatch
):
    make_venv.main(house)
    assert len(asked) == 2  # uv, and then everything at once
    python = (
        house / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    )
    python.parent.mkdir(parents=True)
    python.touch()
    make_venv.main(house)
    assert len(asked) == 2
    (house / "constraints.txt").write_text("house-door==9\n")
    make_venv.main(house)
    assert len(asked) == 4
    (house / "constraints.txt").write_text("house-door==8\n")
    monkeypatch.setattr(make_venv.subprocess, "call", lambda command: 1)
    for _ in range(2):  # half made, it is taken up again
        with pytest.raises(
            SystemExit, match=r"failed \(see above\)\. The same command"
        ):
            make_venv.main(house)


def test_old_python_is_told_so(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(make_venv.sys, "version_info", (3, 10, 4))
        with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, this is"):
            make_venv.main(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_torch_comes_alone_from_its_own_index_but_with_wheels(asked, monkeypatch):
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/cpu")
    assert make_venv.install("python", "")
    _, torch, everything = asked
    assert torch[-5:-2] == ["--no-deps", "--index-url", "https://example.org/cpu"]
    assert "--index-url" not in everything
    asked.clear()
    assert make_venv.install("python", "wheels")
    assert len(asked) == 2
    for command in asked:
        assert {"--no-index", "--find-links", "wheels"} <= {*command}
        assert "--index-url" not in command


def test_wheels_of_another_python_or_system_leave_the_environment_alone(
    house, tmp_path
):
    make_wheel(tmp_path / "wheels" / "amiga-68k-py3.1", "house-door", "1.0")
    with pytest.raises(SystemExit) as refusal:
        make_venv.main(house)
    assert f"Python ({make_venv.WHEELS_HERE}), only amiga-68k-py3.1. Name another" in (
        refusal.value.code
    )
    assert not (house / ".venv").exists()


def test_a_course_is_really_installed_from_wheels(house, tmp_path):
    """The whole of make_venv, for a course of one package, by pip alone."""
    here = tmp_path / "wheels" / make_venv.WHEELS_HERE
    make_wheel(here, "house-door", "2.0")
    with pytest.raises(SystemExit, match=r"lacks a package, make it anew"):
        make_venv.main(house)
    assert not (house / ".venv" / "ready").exists()
    make_wheel(here, "house-door", "1.0")
    make_venv.main(house)
    code = "import house_door; print(house_door.version)"
    program = venv.EnvBuilder().ensure_directories(house / ".venv").env_exe
    done = subprocess.run([program, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1.0\n"
    assert "house-door==1.0" in (house / ".venv" / "ready").read_text()


def test_uv_follows_the_settings_of_pip(house, tmp_path, monkeypatch):
    for variable in ("UV_DEFAULT_INDEX", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, "kept and put back")
        monkeypatch.delenv(variable)
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://a.b/simple\n")
    make_venv.follow_pip_settings(sys.executable)
    assert os.environ["UV_DEFAULT_INDEX"] == "https://a.b/simple"
