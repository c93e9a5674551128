"""Figures of the course: plain data in, matplotlib axes out."""

from course_utils.plotting.curves import (
    course_style,
    plot_history,
    plot_lines,
    plot_seeds,
    show_images,
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
    plot_loss_surface,
)
from course_utils.plotting.images import (
    overlay_heatmap,
    show_feature_maps,
    show_filters,
    show_predictions,
    show_receptive_fields,
)
from course_utils.plotting.prediction import plot_prediction
from course_utils.plotting.robustness import plot_robustness

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
    "plot_loss_surface",
    "plot_per_class",
    "plot_prediction",
    "plot_reliability",
    "plot_robustness",
    "plot_seeds",
    "show_feature_maps",
    "show_filters",
    "show_images",
    "show_predictions",
    "show_receptive_fields",
]
