"""Photos where they lie or can be fetched; else drawn images, and one sentence why."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from course_utils._engine.download import DownloadError, NoNetwork
from course_utils._engine.places import downloads_allowed
from course_utils.data.layout import STORED
from course_utils.data.manifest import complaint

Splits = TypeVar("Splits")


def photos_or_sketches(
    name: str,
    data_dir: Path | None,
    *,
    prepare: Callable[[Path], Path],
    read: Callable[[Path], Splits],
    draw: Callable[[], Splits],
) -> Splits:
    """Return the photos of a set, or its sketches where there are none to be used.

    Args:
        name: Key of the set in `STORED`.
        data_dir: Folder of data sets (`session.data_dir`); ``None`` for the sketches.
        prepare: Fetches the set into a folder; called where that is allowed.
        read: Returns the photos that lie in a folder.
        draw: Returns the sketches.
    """
    if data_dir is None:
        return draw()
    stored = STORED[name]
    try:
        if stored.place(data_dir) is None:
            if not downloads_allowed():
                print(
                    f"No {stored.title} in {data_dir}: using the built-in sketches, "
                    "not photos."
                )
                return draw()
            prepare(data_dir)
        photos = read(data_dir)
    except NoNetwork:
        print(f"No network: using the built-in drawings (course prepare {name} later)")
        return draw()
    except (DownloadError, OSError, ValueError) as error:
        print(f"{_sentence(error)}\nUsing the built-in sketches, not photos.")
        return draw()
    if note := complaint(data_dir, name):
        print(note)
    return photos


def _sentence(error: Exception) -> str:
    """Return why photos could not be read: our own sentence, or the system's reason."""
    if isinstance(error, OSError) and error.strerror:
        what = error.filename or "A file of the data set"
        return f"{what} cannot be read ({error.strerror}): copy the data again."
    return str(error)
