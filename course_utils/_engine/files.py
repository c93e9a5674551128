"""Files that are whole or not there at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then move it to `path` in one step.

    Readers see the old file or the new one, never half of one.

    Args:
        path: Where the file goes; its folder is made.
        write: Called with the temporary path, which lies beside `path`.

    Raises:
        OSError: If the folder cannot be written to or the disk is full; what was
            at `path` before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
