"""What a network looks at, and what its parts contribute.

features         feature maps, the features before the classifier, Grad-CAM
ablation         blocks taken out, what each adds; BatchNorm estimated anew
receptive_field  how much of the image one position of a feature map sees
landscape        the loss along a line through the weights
"""

from course_utils.explain.ablation import (
    BranchStatistics,
    block_deleted,
    block_names,
    branch_statistics,
    renormalised,
)
from course_utils.explain.features import (
    feature_maps,
    grad_cam,
    penultimate_features,
    randomised,
)
from course_utils.explain.landscape import filter_normalised_directions, loss_slice
from course_utils.explain.receptive_field import ReceptiveField, receptive_field

__all__ = [
    "BranchStatistics",
    "ReceptiveField",
    "block_deleted",
    "block_names",
    "branch_statistics",
    "feature_maps",
    "filter_normalised_directions",
    "grad_cam",
    "loss_slice",
    "penultimate_features",
    "randomised",
    "receptive_field",
    "renormalised",
]
