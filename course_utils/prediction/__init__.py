"""From any photo to the names a network gives it."""

from course_utils.prediction.errors import ImageError, WebError
from course_utils.prediction.failures import Limits
from course_utils.prediction.folder import (
    FolderPredictions,
    FolderRow,
    predict_folder,
)
from course_utils.prediction.images import load_image
from course_utils.prediction.predict import Prediction, predict
from course_utils.prediction.predictor import Predictor, load_predictor
from course_utils.prediction.samples import sample_photos
from course_utils.prediction.web import fetch_image_bytes

__all__ = [
    "FolderPredictions",
    "FolderRow",
    "ImageError",
    "Limits",
    "Prediction",
    "Predictor",
    "WebError",
    "fetch_image_bytes",
    "load_image",
    "load_predictor",
    "predict",
    "predict_folder",
    "sample_photos",
]
