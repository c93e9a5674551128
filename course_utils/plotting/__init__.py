"""Every figure of the lessons: plain data in, matplotlib axes out.

curves      histories of training, seeds as mean and range, any other lines
pictures    images, filters, feature maps, heat maps, a photo and its prediction
evaluation  accuracy class by class, confusion, calibration, robustness
explain     blocks and what they add, features in two dimensions, slices of the loss
"""

from course_utils.plotting.curves import (
    course_style,
    plot_history,
    plot_lines,
    plot_seeds,
)
from course_utils.plotting.evaluation import (
    plot_confusion,
    plot_per_class,
    plot_reliability,
)
from course_utils.plotting.explain import (
    plot_branch_ratios,
    plot_deletion,
    plot_embedding,
    plot_loss_slice,
)
from course_utils.plotting.pictures import (
    overlay_heatmap,
    plot_prediction,
    show_feature_maps,
    show_filters,
    show_images,
    show_predictions,
    show_receptive_fields,
)

__all__ = [
    "course_style",
    "overlay_heatmap",
    "plot_branch_ratios",
    "plot_confusion",
    "plot_deletion",
    "plot_embedding",
    "plot_history",
    "plot_lines",
    "plot_loss_slice",
    "plot_per_class",
    "plot_prediction",
    "plot_reliability",
    "plot_seeds",
    "show_feature_maps",
    "show_filters",
    "show_images",
    "show_predictions",
    "show_receptive_fields",
]
