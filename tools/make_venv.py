"""Makes .venv with what the course needs, or repairs it; needs nothing installed.

python3 tools/make_venv.py          does nothing where .venv is as it should be
TORCH_INDEX=ADDRESS python3 …       takes torch and torchvision from that index first
WHEELS=DIR python3 …                takes all from a wheelhouse, and asks no network

Written for any Python 3, so that an old one is told so in a sentence.
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
EXTRAS = ".[notebook,teach,test]"
WHEEL_LIST = "wheels.txt"  # in each folder of a wheelhouse: the files it must hold
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main(root=ROOT):
    """Set up .venv in the folder of the course; return the exit status."""
    if sys.version_info < OLDEST_PYTHON:
        print(
            "The course needs Python {}.{} or newer, this is {}.{} ({}). Name another "
            "one like this: make course PYTHON=python3.12".format(
                *OLDEST_PYTHON, *sys.version_info[:2], sys.executable
            )
        )
        return 1
    os.chdir(str(root))
    sys.stdout.reconfigure(line_buffering=True)  # in order with what pip says
    programs = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = root / ".venv" / programs
    stamp = root / ".venv" / "ready"
    wanted = fingerprint(root)
    if python.exists() and stamp.is_file() and stamp.read_text() == wanted:
        return 0
    wheels = os.environ.get("WHEELS", "")
    if wheels:
        wheels, wrong = find_wheels(Path(wheels).expanduser(), root)
        if wrong:
            print(wrong)
            return 1
    try:
        set_up(root / ".venv", python, stamp, wheels)
    except subprocess.CalledProcessError as error:
        print(
            "Setting up .venv failed (see above) at: {}\nWhat is installed so far is "
            "kept; the same command goes on from here.".format(" ".join(error.cmd))
        )
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.")
        return 130
    stamp.write_text(wanted)
    return 0


def fingerprint(root):
    """Return a text that changes when .venv has to be set up anew."""
    files = [root / name for name in ("pyproject.toml", "constraints.txt")]
    parts = [str(root)] + [file.read_text(encoding="utf-8") for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def set_up(venv, python, stamp, wheels=""):
    """Make the environment and install into it, by uv if it can be had, else pip.

    All comes from the folder `wheels`, if it names one; else from an index.
    """
    torch_index = "" if wheels else os.environ.get("TORCH_INDEX", "")
    stamp.unlink(missing_ok=True)
    if not is_here(venv) or not works(python):
        print("Making .venv with Python {}.{} …".format(*sys.version_info[:2]))
        try:
            run([sys.executable, "-m", "venv", "--clear", str(venv)])
        except subprocess.CalledProcessError:
            print("On Debian and Ubuntu: sudo apt install python3-venv")
            raise
    announce(python, torch_index, wheels)
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    fast = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    if wheels:
        os.environ["UV_OFFLINE"] = "1"
    follow_pip_settings(python)
    if subprocess.call([*pip, *source, "--quiet", "uv"]) != 0:
        print("uv cannot be had, so pip does the work: it takes some minutes longer.")
        fast = pip
    for arguments in installations(torch_index):
        if subprocess.call([*fast, *source, *arguments]) != 0:
            if fast is pip:
                raise subprocess.CalledProcessError(1, [*pip, *source, *arguments])
            print("uv did not manage it; once more with pip.")
            run([*pip, *source, *arguments])


def installations(torch_index):
    """Return the arguments of each installation, in order."""
    constraints = ["-c", "constraints.txt"]
    steps = [[*constraints, "-e", EXTRAS]]
    if torch_index:  # without what they need: that index holds other versions of it
        torch = ["--no-deps", "--index-url", torch_index, "torch", "torchvision"]
        steps.insert(0, constraints + torch)
    return steps


def own_system():
    """Return the name of the system that this runs on."""
    return {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")


def wheels_folder_name(system=None, machine=None):
    """Return the name of a system's folder in a wheelhouse (default: this one's)."""
    system, machine = system or own_system(), machine or platform.machine().lower()
    return "{}-{}-py{}.{}".format(system, machine, *sys.version_info[:2])


def find_wheels(folder, root):
    """Return this machine's folder in a wheelhouse, and what is wrong with it."""
    folder = folder.absolute()
    name = wheels_folder_name()
    here = folder if folder.name == name else folder / name
    mend = "make it anew, where there is a network, with: make wheelhouse DIR=…"
    if not (here / WHEEL_LIST).is_file():
        others = sorted(path.parent.name for path in folder.glob("*/" + WHEEL_LIST))
        what = "but for {}".format(", ".join(others)) if others else "nor for any other"
        return here, (
            "{} holds no packages for this system and Python ({}), {}; name another "
            "Python with PYTHON=…, or {}".format(folder, name, what, mend)
        )
    listed = (here / WHEEL_LIST).read_text(encoding="utf-8").splitlines()
    lost = [wheel for wheel in listed if not zipfile.is_zipfile(str(here / wheel))]
    if lost:
        return here, "{} lacks {} of {} packages ({}): copy it again, or {}".format(
            here, len(lost), len(listed), few(lost), mend
        )
    ours, theirs = pins(root), pins(here)
    if ours != theirs:
        return here, (
            "{} was made for another version of the course, which wants {} instead of "
            "{}: {}".format(here, few(theirs - ours), few(ours - theirs), mend)
        )
    return here, ""


def pins(folder):
    """Return the lines of a folder's constraints.txt that name packages."""
    path = folder / "constraints.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {line for line in lines if line and not line.startswith("#")}


def few(names, most=3):
    """Return the first of some names, and how many more there are."""
    names = sorted(names)
    more = ["{} more".format(len(names) - most)] if len(names) > most else []
    return ", ".join(names[:most] + more) or "nothing"


def announce(python, torch_index, wheels=""):
    """Say what is coming before it comes."""
    if wheels:
        print("Installing from {}, without a network …".format(wheels))
        return
    probe = "import importlib.util as u, sys; sys.exit(not u.find_spec('torch'))"
    known = subprocess.call([str(python), "-c", probe])
    if known == 0:
        print("Bringing .venv up to date …")
    elif torch_index:
        print("Installing, with PyTorch from {} …".format(torch_index))
    elif sys.platform.startswith("linux"):
        print(
            "Installing: 3.1 GiB are coming (6.1 GiB on the disk), most of it "
            "PyTorch's GPU libraries.\n"
            "Without a GPU, stop this (Ctrl-C) and leave them out, where PyTorch's CPU "
            "index is reachable:\n  make course TORCH_INDEX={}".format(CPU_INDEX)
        )
    else:
        print("Installing: about 1 GB is coming.")


def follow_pip_settings(python):
    """Let uv use the index and certificates that pip is set to; alone it would not."""
    command = [str(python), "-m", "pip", "config", "list"]
    settings = subprocess.check_output(command).decode()
    for option, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("cert", "SSL_CERT_FILE"),
    ):
        found = re.search(r"[.]{}='(.+)'".format(option), settings)
        if found:
            os.environ.setdefault(variable, found.group(1))


def is_here(venv):
    """Return whether the environment was made in the folder where it is now."""
    settings = venv / "pyvenv.cfg"
    return settings.is_file() and str(venv) in settings.read_text(encoding="utf-8")


def works(python):
    """Return whether the environment's Python runs, is new enough and has pip."""
    probe = "import sys, pip; sys.exit(sys.version_info < {!r})".format(OLDEST_PYTHON)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return python.exists() and subprocess.call([str(python), "-c", probe], **quiet) == 0


def run(command):
    """Run a command, shown output and all; raise if it fails."""
    subprocess.check_call(command)


if __name__ == "__main__":
    sys.exit(main())
