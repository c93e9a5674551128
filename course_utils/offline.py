"""Whether the course may ask the network for anything."""

import os


def downloads_allowed() -> bool:
    """Return whether downloads are allowed: COURSE_OFFLINE=1 forbids them."""
    return os.environ.get("COURSE_OFFLINE", "").strip() in ("", "0")
