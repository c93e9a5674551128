"""Figure of lesson 07: a photo beside what a network says of it."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

MAX_BARS = 10


def plot_prediction(
    image: ArrayLike,
    classes: Sequence[str],
    probabilities: ArrayLike,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the photo on the left and its most probable classes as bars.

    Args:
        image: The photo: PIL, uint8 (H, W, 3), or float in [0, 1].
        classes: One name for each class.
        probabilities: float (num_classes,), in [0, 1]; the ten highest are drawn, the
            best on top.
        ax: Axes to divide in two; default a new figure's. Its ``child_axes`` are the
            photo and the bars.

    Raises:
        ValueError: If there is not one probability for each class.

    Taught in: lesson 07, "One photo".
    """
    probabilities = np.asarray(probabilities, float)
    if probabilities.shape != (len(classes),) or not len(classes):
        raise ValueError(
            f"Got {len(classes)} classes and probabilities of shape "
            f"{probabilities.shape}; give one for each class of a single photo."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 3))
    best = np.argsort(-probabilities, kind="stable")[:MAX_BARS][::-1]  # best last: top
    ax.axis("off")
    picture = ax.inset_axes([0, 0, 0.48, 1])
    picture.imshow(np.asarray(image))
    picture.axis("off")
    bars = ax.inset_axes([0.52, 0, 0.3, 1])
    bars.barh(range(len(best)), probabilities[best], color="C0")
    labels = [f"{classes[k]}  {probabilities[k]:.3f}" for k in best]
    bars.yaxis.tick_right()  # long names grow away from the photo
    bars.set_yticks(range(len(best)), labels)
    bars.tick_params(axis="y", length=0)
    bars.set(xlim=(0, 1), ylim=(-0.6, len(best) - 0.4))
    left_out = len(classes) - len(best)
    bars.set_xlabel(
        f"probability, best {len(best)} of {len(classes)}"
        if left_out
        else "probability"
    )
    bars.xaxis.set_major_formatter(PercentFormatter(1))
    bars.grid(visible=False, axis="y")
    return ax
