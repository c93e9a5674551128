"""How good the predictions are, and how sure of that one may be.

classification  logits of a whole data set; accuracy, over all and class by class
confusion       what is taken for what; precision, recall and F1
intervals       how sure an accuracy is; `compare` for two models on the same images
calibration     whether a network that is 80 % sure is right in 80 % of such cases
"""

from course_utils.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from course_utils.metrics.classification import (
    PerClass,
    accuracy,
    collect_logits,
    most_confident_mistakes,
    per_class_accuracy,
    top_k_accuracy,
)
from course_utils.metrics.confusion import (
    Confusion,
    confusion_matrix,
    most_confused,
    normalise_rows,
)
from course_utils.metrics.intervals import (
    Comparison,
    compare,
    wilson_interval,
)

__all__ = [
    "Comparison",
    "Confusion",
    "PerClass",
    "Reliability",
    "accuracy",
    "collect_logits",
    "compare",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
    "most_confident_mistakes",
    "most_confused",
    "normalise_rows",
    "per_class_accuracy",
    "reliability",
    "top_k_accuracy",
    "wilson_interval",
]
