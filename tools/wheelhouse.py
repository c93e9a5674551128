"""Downloads every package of the course, to be installed later without a network.

python tools/wheelhouse.py DIR [linux macos windows]      default: this machine's system
TORCH_INDEX=ADDRESS python tools/wheelhouse.py DIR …      takes PyTorch from that index

Each system gets a folder of its own, such as DIR/linux-x86_64-py3.11/. There,
`make course WHEELS=DIR` installs with the same version of Python, and asks no network.
Broken off, the same command goes on: pip downloads what is missing or was cut short.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from make_venv import PYTHON, ROOT, SYSTEM, WHEELS_HERE, follow_pip_settings

# What installs the others, and what builds the course itself.
INSTALLERS = "pip\nsetuptools\nuv\n"
# Each system's machine, its name for uv, and the tags that pip shall accept.
SYSTEMS = {
    "linux": (
        "x86_64",
        "x86_64-manylinux_2_28",
        [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
        + ["manylinux2014_x86_64"],
    ),
    "macos": ("arm64", "aarch64-apple-darwin", ["macosx_14_0_arm64"]),
    "windows": ("amd64", "x86_64-pc-windows-msvc", ["win_amd64"]),
}
OLDEST_MACOS = "14.0"  # the oldest that PyTorch has packages for


def resolve(system: str, torch_index: str) -> list[str]:
    """Return the packages, each with its version, that a system needs; [] if uv fails.

    Args:
        system: A key of `SYSTEMS`.
        torch_index: Address of an index to prefer, or "".
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "-"]
    command += ["--all-extras", "-c", "constraints.txt", "--only-binary", ":all:"]
    command += ["--python-version", PYTHON, "--no-header", "--no-annotate", "--quiet"]
    if system != SYSTEM:
        command += ["--python-platform", SYSTEMS[system][1]]
    if torch_index:  # that index holds other versions of what PyTorch needs, too
        command += ["--index", torch_index, "--index-strategy", "unsafe-best-match"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=INSTALLERS,
        stdout=subprocess.PIPE,
        text=True,
        env={"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS} | os.environ,
    )
    lines = [line.split(";")[0].strip() for line in done.stdout.splitlines()]
    return [line for line in lines if "==" in line] if done.returncode == 0 else []


def fetch(system: str, target: Path, torch_index: str) -> bool:
    """Fill a system's folder in `target`; return whether all packages are there."""
    machine, _, tags = SYSTEMS[system]
    here = system == SYSTEM
    folder = target / (WHEELS_HERE if here else f"{system}-{machine}-py{PYTHON}")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--dest", str(folder), "--progress-bar", "off"]
    command += ["--disable-pip-version-check"]
    if not here:
        command += [f"--platform={tag}" for tag in tags]
        command += ["--python-version", PYTHON, "--implementation", "cp"]
    if torch_index:
        command += ["--extra-index-url", torch_index]
    packages = resolve(system, torch_index)
    print(f"Downloading {len(packages)} packages into {folder} …", flush=True)
    if not packages or subprocess.call([*command, *packages]) != 0:
        return False
    size_mib = sum(wheel.stat().st_size for wheel in folder.glob("*.whl")) / 2**20
    print(f"{folder} holds all {len(packages)} packages, {size_mib:.0f} MiB")
    return True


def main(words: Sequence[str]) -> None:
    """Fill the folders asked for; exit with a sentence where that fails."""
    folder, *systems = words or [""]
    if not folder or not set(systems) <= set(SYSTEMS):
        sys.exit(__doc__)
    target = Path(folder).expanduser().resolve()
    follow_pip_settings(sys.executable)  # uv by itself would not
    torch_index = os.environ.get("TORCH_INDEX", "")
    try:
        made = [fetch(name, target, torch_index) for name in systems or [SYSTEM]]
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same command continues.")
    if not all(made):
        sys.exit("Not every package could be had; see above.")
    print(f"Install from it without a network: make course WHEELS={target}")


if __name__ == "__main__":
    main(sys.argv[1:])
