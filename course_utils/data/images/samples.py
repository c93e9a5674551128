"""Photos that are on this machine already."""

from importlib.util import find_spec
from pathlib import Path

WITHOUT_NETWORK = "use a photo from disk, for example one of sample_photos()"
# package, folder and files; scikit-learn comes with the course
PLACES = (
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
    ("skimage", "data", ("chelsea.png", "coffee.png", "rocket.jpg")),
)


def sample_photos() -> dict[str, Path]:
    """Return the photos that installed packages bring: name → path.

    scikit-learn brings a temple (``china``) and a dahlia (``flower``); scikit-image,
    where it is installed, a cat (``chelsea``) and more. Nothing is imported.

    Taught in: lesson 07, "Photos from the web".
    """
    found = {}
    for package, folder, files in PLACES:
        spec = find_spec(package)
        for root in (spec and spec.submodule_search_locations) or ():
            paths = [Path(root, folder, file) for file in files]
            found |= {path.stem: path for path in paths if path.is_file()}
    return found
