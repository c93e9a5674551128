"""What may go wrong with a photo, said in one sentence."""


class ImageError(ValueError):
    """A source that gives no image; the text says why, and what to do."""


class WebError(ImageError):
    """An address that gives no image: the network, the server or the address failed."""


def printable(text: str) -> str:
    """Return `text` on one line: what cannot be printed is written as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
