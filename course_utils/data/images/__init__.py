"""Any source of an image, made an upright RGB image.

Addresses of the web are fetched by `course_utils._engine.web`, imported when needed.
"""

from course_utils.data.images.errors import ImageError, WebError
from course_utils.data.images.loading import load_image
from course_utils.data.images.samples import sample_photos

__all__ = ["ImageError", "WebError", "load_image", "sample_photos"]
