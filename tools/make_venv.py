"""Makes .venv with what the course needs, or repairs it; needs nothing installed.

python3 tools/make_venv.py          does nothing where .venv is as it should be
TORCH_INDEX=ADDRESS python3 …       takes torch and torchvision from that index first

Written for any Python 3, so that an old one is told so in a sentence.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
EXTRAS = ".[notebook,teach,test]"
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
    torch_index = os.environ.get("TORCH_INDEX", "")
    stamp = root / ".venv" / "ready"
    wanted = fingerprint(root)
    if python.exists() and stamp.is_file() and stamp.read_text() == wanted:
        return 0
    try:
        set_up(root / ".venv", python, stamp, torch_index)
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


def set_up(venv, python, stamp, torch_index):
    """Make the environment and install into it, by uv if it can be had, else pip."""
    stamp.unlink(missing_ok=True)
    if not is_here(venv) or not works(python):
        print("Making .venv with Python {}.{} …".format(*sys.version_info[:2]))
        try:
            run([sys.executable, "-m", "venv", "--clear", str(venv)])
        except subprocess.CalledProcessError:
            print("On Debian and Ubuntu: sudo apt install python3-venv")
            raise
    announce(python, torch_index)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    fast = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    follow_pip_settings(python)
    if subprocess.call([*pip, "--quiet", "uv"]) != 0:
        print("uv cannot be had, so pip does the work: it takes some minutes longer.")
        fast = pip
    for arguments in installations(torch_index):
        if subprocess.call([*fast, *arguments]) != 0:
            if fast is pip:
                raise subprocess.CalledProcessError(1, [*pip, *arguments])
            print("uv did not manage it; once more with pip.")
            run([*pip, *arguments])


def installations(torch_index):
    """Return the arguments of each installation, in order."""
    constraints = ["-c", "constraints.txt"]
    steps = [[*constraints, "-e", EXTRAS]]
    if torch_index:  # without what they need: that index holds other versions of it
        torch = ["--no-deps", "--index-url", torch_index, "torch", "torchvision"]
        steps.insert(0, constraints + torch)
    return steps


def announce(python, torch_index):
    """Say what is coming before it comes."""
    probe = "import importlib.util as u, sys; sys.exit(not u.find_spec('torch'))"
    known = subprocess.call([str(python), "-c", probe])
    if known == 0:
        print("Bringing .venv up to date …")
    elif torch_index:
        print("Installing, with PyTorch from {} …".format(torch_index))
    elif sys.platform.startswith("linux"):
        print(
            "Installing: some 5 GB are coming, most of it PyTorch's GPU libraries.\n"
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
