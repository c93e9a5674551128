"""A key of the drawing code, for caches of what it drew."""

import hashlib
from pathlib import Path


def drawing_code_key() -> str:
    """Return 16 hexadecimal digits that change whenever the drawing code does."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()[:16]
