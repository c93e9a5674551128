"""What a network says of one photo."""

from dataclasses import dataclass

import numpy as np

from course_utils._engine import checks
from course_utils.data.images import Source, source_name
from course_utils.prediction.predictor import Weights, load_predictor


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one photo; printed, one line a class.

    Attributes:
        source: The path, the address, or what else it was.
        classes: Names of all classes.
        probabilities: float64 (num_classes,); sum 1.
        top_k: How many classes are printed.
    """

    source: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    top_k: int

    @property
    def top(self) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, the best first."""
        order = np.argsort(-self.probabilities, kind="stable")[: self.top_k]
        return [(self.classes[k], float(self.probabilities[k])) for k in order]

    def __str__(self) -> str:
        """Return lines such as ``class: daisy   prob: 0.997``."""
        width = max(len(name) for name, _ in self.top)
        return "\n".join(f"class: {n:<{width}}   prob: {p:.3f}" for n, p in self.top)


def predict(
    model_or_checkpoint: Weights,
    source: Source,
    top_k: int = 5,
    *,
    allow_private: bool = False,
) -> Prediction:
    """Return what a network says of one photo.

    Args:
        model_or_checkpoint: Whatever `load_predictor` takes; for several photos, give
            what it returns, so that it is loaded once.
        source: A path, an address, or whatever else `load_image` takes.
        top_k: How many classes to print; all, where there are fewer.
        allow_private: See `load_image`.

    Raises:
        ImageError: If the source gives no image.
        CheckpointError: If the checkpoint cannot be used.
        ValueError: If `top_k` is below 1.

    Taught in: lesson 07, "One photo, by hand".
    """
    checks.check_at_least_one(top_k, "top_k")
    predictor = load_predictor(model_or_checkpoint)
    image = predictor.prepare(source, allow_private=allow_private)
    (probabilities,) = predictor.probabilities(image[None])
    top_k = min(top_k, len(predictor.classes))
    return Prediction(source_name(source), predictor.classes, probabilities, top_k)
