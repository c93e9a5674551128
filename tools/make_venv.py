"""Makes .venv with what the course needs, or brings it up to date; needs nothing else.

python3 tools/make_venv.py          does nothing where .venv is as it should be
TORCH_INDEX=ADDRESS python3 …       takes torch and torchvision from that index first
WHEELS=DIR python3 …                takes all from a wheelhouse, and asks no network

Any Python from 3.6 on reads this file, so that an old one is told so in a sentence.
"""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
EXTRAS = ".[notebook,teach,test]"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PYTHON = "{}.{}".format(*sys.version_info[:2])
SYSTEM = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
# A wheelhouse has a folder of this kind for each system.
WHEELS_HERE = f"{SYSTEM}-{platform.machine().lower()}-py{PYTHON}"
ANEW = "where there is a network, with: make wheelhouse DIR=…"


def main(root=ROOT):
    """Set up .venv in the folder of the course; exit with a sentence if that fails."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            f"The course needs Python {{}}.{{}} or newer, this is {PYTHON} "
            f"({sys.executable}). Name another one like this: "
            "make course PYTHON=python3.12".format(*OLDEST_PYTHON)
        )
    os.chdir(root)
    sys.stdout.reconfigure(line_buffering=True)  # in order with what pip says
    venv = root / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = venv / "ready"  # what .venv was made for; written last
    files = (root / "pyproject.toml", root / "constraints.txt")
    wanted = "\n".join([str(root), *(file.read_text("utf-8") for file in files)])
    if python.exists() and stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    wheels = os.environ.get("WHEELS", "")
    if wheels:
        wheels = find_wheels(Path(wheels).expanduser().absolute())
    elif not stamp.is_file():
        announce()
    stamp.unlink(missing_ok=True)
    try:
        if not is_usable(venv, python):
            make(venv)
        installed = install(python, wheels)
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")
    if not installed:
        sys.exit(
            "Setting up .venv failed (see above). The same command goes on from here."
            + (f"\nIf {wheels} lacks a package, make it anew, {ANEW}" if wheels else "")
        )
    stamp.write_text(wanted, "utf-8")


def find_wheels(folder):
    """Return this machine's folder in a wheelhouse; exit if there is none."""
    here = folder if folder.name == WHEELS_HERE else folder / WHEELS_HERE
    if not here.is_dir():
        others = sorted(path.name for path in folder.glob("*-py3.*"))
        sys.exit(
            f"{folder} holds no packages for this system and Python ({WHEELS_HERE}), "
            f"only {', '.join(others) or 'other files'}. Name another Python with "
            f"PYTHON=…, or make it anew, {ANEW}"
        )
    return here


def is_usable(venv, python):
    """Return whether the environment was made where it is now, runs and has pip."""
    settings = venv / "pyvenv.cfg"
    if not python.exists() or str(venv) not in settings.read_text("utf-8"):
        return False
    return subprocess.call([python, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0


def make(venv):
    """Make an empty environment."""
    print(f"Making .venv with Python {PYTHON} …")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", venv]) != 0:
        sys.exit("That failed. On Debian and Ubuntu: sudo apt install python3-venv")


def announce():
    """Say how much is coming before it comes."""
    if SYSTEM != "linux":
        print("Installing: about 1 GB is coming.")
    elif not os.environ.get("TORCH_INDEX"):
        print(
            "Installing: 3.1 GiB are coming (6.1 GiB on the disk), most of it "
            "PyTorch's GPU libraries.\n"
            "Without a GPU, stop this (Ctrl-C) and leave them out, where PyTorch's CPU "
            f"index is reachable:\n  make course TORCH_INDEX={CPU_INDEX}"
        )


def install(python, wheels):
    """Install by uv, by pip where that fails; return whether one of them managed it.

    All comes from the folder `wheels`, if it names one; else from an index.
    """
    source = ["--no-index", "--find-links", wheels] if wheels else []
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", *source]
    uv = [python, "-m", "uv", "pip", "install", "--python", python, *source]
    uv.append("--compile-bytecode")  # as pip does: else each first start takes long
    steps = [["-c", "constraints.txt", "-e", EXTRAS]]
    torch_index = os.environ.get("TORCH_INDEX", "")
    if torch_index and not wheels:  # alone: that index holds other versions of the rest
        torch = ["--no-deps", "--index-url", torch_index, "torch", "torchvision"]
        steps.insert(0, ["-c", "constraints.txt", *torch])
    follow_pip_settings(python)
    installers = [uv, pip]
    if subprocess.call([*pip, "--quiet", "uv"]) != 0:
        print("uv cannot be had, so pip does the work: it takes some minutes longer.")
        installers = [pip]
    return any(
        all(subprocess.call([*installer, *step]) == 0 for step in steps)
        for installer in installers
    )


def follow_pip_settings(python):
    """Let uv use the index and certificates that pip is set to; alone it would not."""
    settings = subprocess.check_output([python, "-m", "pip", "config", "list"]).decode()
    for option, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("cert", "SSL_CERT_FILE"),
    ):
        found = re.search(rf"[.]{option}='(.+)'", settings)
        if found:
            os.environ.setdefault(variable, found.group(1))


if __name__ == "__main__":
    main()
