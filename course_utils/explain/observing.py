"""Looking at a network without changing it."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn

from course_utils.models.modes import in_mode


@contextmanager
def observed(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and every part back as it was at the end.

    Inside, no layer works in place: a ReLU would overwrite the output of the layer
    before it, which somebody wants to see.
    """
    in_place = [part for part in model.modules() if getattr(part, "inplace", False)]
    with in_mode(model, training=False):
        for part in in_place:
            part.inplace = False
        try:
            yield
        finally:
            for part in in_place:
                part.inplace = True


def near_matches(name: str, names: Iterable[str]) -> str:
    """Return a few of `names` that resemble `name`, for an error's sentence."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    return (
        f"did you mean {', '.join(near)}?" if near else f"try {', '.join(names[:6])}."
    )
