"""What a network looks at, and what its parts contribute."""

from course_utils.explain.ablation import (
    BranchStatistics,
    block_deleted,
    block_names,
    blocks_swapped,
    branch_statistics,
)
from course_utils.explain.features import (
    feature_maps,
    grad_cam,
    penultimate_features,
    randomised,
)
from course_utils.explain.landscape import (
    filter_normalised_directions,
    loss_slice,
)
from course_utils.explain.receptive_field import (
    ReceptiveField,
    receptive_field,
)

__all__ = [
    "BranchStatistics",
    "ReceptiveField",
    "block_deleted",
    "block_names",
    "blocks_swapped",
    "branch_statistics",
    "feature_maps",
    "filter_normalised_directions",
    "grad_cam",
    "loss_slice",
    "penultimate_features",
    "randomised",
    "receptive_field",
]
