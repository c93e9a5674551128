"""What a photo may be given as: its name in messages, and the bytes of a file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from course_utils.data.images.errors import ImageError, printable

Source = str | Path | bytes | bytearray | memoryview | IO[bytes] | Image.Image
Source |= np.ndarray

MAX_FILE_MIB = 256
MIB = 2**20
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # C: is a drive


def is_address(source: object) -> bool:
    """Return whether a source is text that begins like an address (``http:``)."""
    return (
        isinstance(source, str)
        and ADDRESS.match(source.strip()) is not None
        and not os.path.lexists(source)
    )


def source_name(source: Source) -> str:
    """Return what to call a source in messages and tables."""
    if is_address(source):
        from course_utils._engine.failures import shown  # httpx: 0.1 s

        return shown(source.strip())
    if isinstance(source, str | Path):
        return printable(str(source))
    if isinstance(source, np.ndarray):
        return "the array"
    if isinstance(source, bytes | bytearray | memoryview):
        return "the data"
    own = getattr(source, "filename", "") or getattr(source, "name", "")
    return printable(str(own)) or "the image"


def read_path(source: str | Path) -> bytes:
    """Return the bytes of a photo's file.

    Raises:
        ImageError: If there is no such file, or it is a folder, a device, too large
            or not readable.
    """
    name, path = source_name(source), os.path.expanduser(source)
    try:
        if os.path.isdir(path):
            raise ImageError(
                f"{name} is a folder, expected one photo: name a file in it, or use "
                "predict_folder."
            )
        if os.path.islink(path) and not os.path.exists(path):
            raise ImageError(
                f"{name} is a link to a file that does not exist: copy the photo "
                "itself here, or delete the link."
            )
        if os.path.exists(path) and not os.path.isfile(path):
            raise ImageError(
                f"{name} is a device or a pipe, expected a file: name the photo's file."
            )
        with open(path, "rb") as file:
            return read_file(file, name)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(
            f"There is no file {name}: check the spelling, and the folder, which is "
            f"{os.getcwd()}."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name} cannot be read ({reason}): try a copy.") from None


def read_file(file: IO[bytes], name: str) -> bytes:
    """Return the bytes of an open file, from where it stands.

    Raises:
        ImageError: If the file was opened as text, or is too large.
    """
    data = file.read(MAX_FILE_MIB * MIB + 1)
    if not isinstance(data, bytes | bytearray):
        raise ImageError(f"{name} is opened as text; open it with open(path, 'rb').")
    if len(data) > MAX_FILE_MIB * MIB:
        raise ImageError(
            f"{name} is larger than {MAX_FILE_MIB} MiB: save it smaller, as JPEG."
        )
    return bytes(data)
