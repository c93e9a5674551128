"""The built-in data sets: images drawn by code, for readers without the photos."""

from course_sketches.cifar10 import draw_cifar10_sketches
from course_sketches.code_key import drawing_code_key
from course_sketches.flowers import draw_flower_sketches

__all__ = ["draw_cifar10_sketches", "draw_flower_sketches", "drawing_code_key"]
