"""Downloads every package of the course, to be installed later without a network.

python tools/wheelhouse.py DIR [linux macos windows]      default: this machine's system
TORCH_INDEX=ADDRESS python tools/wheelhouse.py DIR …      takes PyTorch from that index

Each system gets a folder of its own, such as DIR/linux-x86_64-py3.11/. There,
`make course WHEELS=DIR` installs with the same version of Python, and asks no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from make_venv import (
    WHEEL_LIST,
    follow_pip_settings,
    own_system,
    wheels_folder_name,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "{}.{}".format(*sys.version_info[:2])
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


class WheelhouseError(RuntimeError):
    """The packages could not be had; the text says which."""


def resolve(system: str | None, torch_index: str) -> list[str]:
    """Return the packages, each with its version, that a system needs.

    Args:
        system: A key of `SYSTEMS`, or None for this very machine.
        torch_index: Address of an index to prefer, or "".

    Raises:
        WheelhouseError: If they do not fit together, or one has no wheel there.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "-"]
    command += ["--all-extras", "-c", "constraints.txt", "--only-binary", ":all:"]
    command += ["--python-version", PYTHON, "--no-header", "--no-annotate", "--quiet"]
    if system:
        command += ["--python-platform", SYSTEMS[system][1]]
    if torch_index:  # that index holds other versions of what PyTorch needs, too
        command += ["--index", torch_index, "--index-strategy", "unsafe-best-match"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=INSTALLERS,
        capture_output=True,
        text=True,
        env={"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS} | os.environ,
    )
    if done.returncode:
        raise WheelhouseError(done.stderr.strip())
    lines = (line.split(";")[0].strip() for line in done.stdout.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def wheel_of(pin: str, folder: Path) -> Path | None:
    """Return the whole wheel in `folder` that `pin` asks for, if there is one."""
    wanted = Requirement(pin)
    for wheel in folder.glob("*.whl"):
        name, version, _, _ = parse_wheel_filename(wheel.name)
        if name == canonicalize_name(wanted.name) and version in wanted.specifier:
            return wheel if zipfile.is_zipfile(wheel) else None
    return None


def fetch(
    pins: Sequence[str], folder: Path, system: str | None, torch_index: str
) -> list[Path]:
    """Return the wheels of `pins` in `folder`, downloaded where they are missing.

    Raises:
        WheelhouseError: If one could not be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        if not zipfile.is_zipfile(wheel):  # cut short by an interruption
            wheel.unlink()
    missing = [pin for pin in pins if not wheel_of(pin, folder)]
    if missing:
        command = [sys.executable, "-m", "pip", "download", *missing, "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(folder), "--quiet"]
        command += ["--disable-pip-version-check", "--progress-bar", "off"]
        if system:
            command += [f"--platform={tag}" for tag in SYSTEMS[system][2]]
            command += ["--python-version", PYTHON, "--implementation", "cp"]
        if torch_index:
            command += ["--extra-index-url", torch_index]
        print(f"Downloading {len(missing)} packages into {folder} …", flush=True)
        if subprocess.call(command) != 0:
            raise WheelhouseError("The packages could not be downloaded (see above).")
    found = {pin: wheel_of(pin, folder) for pin in pins}
    lost = [pin for pin, wheel in found.items() if not wheel]
    if lost:
        raise WheelhouseError(f"There is no wheel of {', '.join(lost)}.")
    return [wheel for wheel in found.values() if wheel]


def make_wheelhouse(target: Path, systems: Sequence[str], torch_index: str) -> bool:
    """Fill one folder a system in `target`; return whether all of them are whole."""
    all_made = True
    for name in systems:
        system = None if name == own_system() else name
        machine = SYSTEMS[name][0] if system else None
        folder = target / wheels_folder_name(name, machine)
        try:
            wheels = fetch(resolve(system, torch_index), folder, system, torch_index)
        except WheelhouseError as error:
            print(f"{error}\nNo wheelhouse for {name}; see above.", file=sys.stderr)
            all_made = False
            continue
        names = "".join(f"{wheel.name}\n" for wheel in sorted(wheels))
        (folder / WHEEL_LIST).write_text(names, encoding="utf-8")
        shutil.copyfile(ROOT / "constraints.txt", folder / "constraints.txt")
        size_mib = sum(wheel.stat().st_size for wheel in wheels) / 2**20
        print(f"{folder} holds all {len(wheels)} packages, {size_mib:.0f} MiB")
    return all_made


def main(words: Sequence[str]) -> int:
    """Return the exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    folder, *systems = words or [""]
    unknown = [name for name in systems if name not in SYSTEMS]
    if not folder or unknown:
        print(__doc__, file=sys.stderr)
        return 2
    torch_index = os.environ.get("TORCH_INDEX", "")
    follow_pip_settings(Path(sys.executable))  # uv by itself would not
    try:
        target = Path(folder).expanduser().resolve()
        made = make_wheelhouse(target, systems or [own_system()], torch_index)
    except OSError as error:
        print(f"{folder} cannot be written ({error.strerror}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command continues.", file=sys.stderr)
        return 130
    if made:
        print(f"Install from it without a network: make course WHEELS={target}")
    return 0 if made else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
