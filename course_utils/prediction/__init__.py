"""From any photo, of this machine or of the web, to the names a network gives it."""

from course_utils._engine import web
from course_utils._engine.errors import ImageError, WebError
from course_utils.data.images import load_image, sample_photos
from course_utils.prediction.folder import (
    FolderPredictions,
    FolderRow,
    predict_folder,
)
from course_utils.prediction.predict import Prediction, predict
from course_utils.prediction.predictor import Predictor, load_predictor

__all__ = [
    "FolderPredictions",
    "FolderRow",
    "ImageError",
    "Prediction",
    "Predictor",
    "WebError",
    "load_image",
    "load_predictor",
    "predict",
    "predict_folder",
    "sample_photos",
    "web",
]
