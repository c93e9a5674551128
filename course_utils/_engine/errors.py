"""What may go wrong with a photo, and how to name its source on one line."""

import re


class ImageError(ValueError):
    """A source that gives no image; the text says why, and what to do."""


class WebError(ImageError):
    """An address that gives no image: the network, the server or the address failed."""


def printable(text: str) -> str:
    """Return `text` on one line: what cannot be printed is written as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def shown(url: object) -> str:
    """Return an address for messages: without a password, on one line, not too long."""
    text = printable(re.sub(r"//[^/?#]*@", "//", str(url)))
    return text if len(text) <= 120 else f"{text[:119]}…"
