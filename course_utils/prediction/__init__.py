"""From any photo to the names a network gives it."""

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
    "Prediction",
    "Predictor",
    "load_predictor",
    "predict",
    "predict_folder",
]
