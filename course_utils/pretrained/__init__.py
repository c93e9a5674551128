"""Trained networks to use or to start from.

`shipped` has the small ones that come with the course; `choice` takes the reader's own
where there is one. `backbones` loads what a new network can start from, ImageNet's
weights too, and `transfer` gives it a new head.
"""

from course_utils._engine.download import DownloadError
from course_utils.pretrained.choice import load_trained, own_or_shipped
from course_utils.pretrained.shipped import (
    PRETRAINED,
    load_pretrained,
    pretrained_path,
)

__all__ = [
    "PRETRAINED",
    "DownloadError",
    "load_pretrained",
    "load_trained",
    "own_or_shipped",
    "pretrained_path",
]
