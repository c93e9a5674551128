"""Figures of lesson 05: what is drawn, from plain data, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from course_utils.plotting import course_style
from course_utils.plotting.explain import (
    plot_branch_ratios,
    plot_deletion,
    plot_embedding,
    plot_loss_slice,
)
from course_utils.plotting.pictures import (
    RIGHT,
    WRONG,
    overlay_heatmap,
    show_feature_maps,
    show_filters,
    show_predictions,
    show_receptive_fields,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
NAMES = ["cat", "dog", "a flower with a long name"]


def test_predictions_are_titled_marked_and_counted():
    axes = show_predictions(
        IMAGES, [0, 1, 2, 0, 1, 1], [0, 0, 2, 0, 2, 0], NAMES, rows=1, columns=5
    )
    assert axes.shape == (1, 5)
    titles = [axis.get_title() for axis in axes.flat]
    assert titles[:3] == ["✓ cat\n(cat)", "✗ dog\n(cat)", titles[2]]
    assert titles[4] == "✗ dog\n(a flower with…)"
    colors = [axis.title.get_color() for axis in axes.flat]
    assert colors == [RIGHT, WRONG, RIGHT, RIGHT, WRONG]
    assert [len(axis.patches) for axis in axes.flat] == [0, 1, 0, 0, 1]  # frames
    title = axes[0, 0].figure.get_suptitle()
    assert title == "predicted (true): 3 of 5 right, 60.0%"  # the sixth is not shown
    assert np.array_equal(axes[0, 4].images[0].get_array(), IMAGES[4])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rows": 8}, "grid of 8 × 2 needs 16 images, but there are 6; choose rows"),
        ({"rows": 0}, "grid of 0 × 2 needs 0 images"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change, sentence):
    usual = {"predicted": [0] * 6, "true": [0] * 6, "rows": 2, "columns": 2}
    with pytest.raises(ValueError, match=sentence):
        show_predictions(IMAGES, names=NAMES, **{**usual, **change})


def test_each_filter_has_its_own_range():
    weights = (
        RNG.normal(size=(3, 3, 5, 5)) * np.array([0.1, 10, 0])[:, None, None, None]
    )
    axes = show_filters(weights, columns=3)
    shown = [np.asarray(axis.images[0].get_array()) for axis in axes.flat]
    assert [(s.min(), s.max()) for s in shown] == [(0, 1), (0, 1), (0.5, 0.5)]
    position = np.unravel_index(weights[1].argmax(), weights[1].shape)
    assert shown[1].transpose(2, 0, 1)[position] == 1
    assert "own range" in axes[0, 0].figure.get_suptitle()


def test_feature_maps_stand_in_rows():
    maps = {"conv1": RNG.normal(size=(2, 8, 8)), "layer1": RNG.normal(size=(9, 4, 4))}
    axes = show_feature_maps(maps, channels=3)
    assert axes.shape == (2, 3)
    assert [len(axis.images) for axis in axes[0]] == [1, 1, 0]  # two channels only
    assert np.array_equal(axes[1, 2].images[0].get_array(), maps["layer1"][2])
    assert axes[1, 0].get_ylabel() == "layer1\n9 maps, 4×4"


def test_receptive_fields_are_squares_and_stay_in_view():
    ax = show_receptive_fields(IMAGES[0], {"stem": (3, 5), "layer1": (-2.0, 10.0)})
    stem, layer = ax.patches
    assert (stem.get_x(), stem.get_width(), stem.get_height()) == (2.5, 3, 3)
    assert layer.get_label() == "layer1: 13 px"
    assert ax.get_xlim()[0] <= -2.5
    assert ax.get_xlim()[1] >= 10.5


def test_a_heatmap_is_stretched_over_the_image():
    _, ax = plt.subplots()
    heatmap = np.array([[0.0, 2.0], [1.0, 0.0]])
    assert overlay_heatmap(IMAGES[0], heatmap, ax) is ax
    below, above = ax.images
    assert below.get_extent() == above.get_extent()
    shown = above.get_array()
    expected = torch.nn.functional.interpolate(
        torch.tensor(heatmap)[None, None], IMAGES.shape[1:3], mode="bilinear"
    )
    assert np.allclose(shown, expected[0, 0])  # one value a pixel of the image
    assert above.get_clim() == (0, 2)
    wide = overlay_heatmap(IMAGES[0][:4], heatmap)
    assert wide.images[1].get_array().shape == (4, 8)
    assert overlay_heatmap(IMAGES[0], heatmap, vmax=5).images[1].get_clim() == (0, 5)
    dark = overlay_heatmap(IMAGES[0], np.zeros((2, 2)))
    assert dark.images[1].get_clim() == (0, 1)


def test_branch_ratios_have_a_bar_a_block_and_a_colour_a_stage():
    course_style()
    ax = plot_branch_ratios({"layer1.0": 0.5, "layer1.1": 0.2, "layer2.0": 1.5})
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.2, 1.5]
    one, same, other = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert one == same != other
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["layer1.0", "layer1.1", "layer2.0"]
    many = plot_branch_ratios({f"layer1.{n}": 1.0 for n in range(54)})
    assert len(many.patches) == 54
    assert len(many.get_xticklabels()) == 27


def test_deletion_is_drawn_side_by_side_on_one_scale():
    residual = {"layer1.0": 0.8, "layer2.0": 0.5, "layer2.1": 0.9, "layer1.10": 0.6}
    plain = {"layer1.0": 0.1, "layer1.10": 0.2, "layer2.1": 0.3}
    axes = plot_deletion(
        {"residual": residual, "plain": plain}, {"residual": 0.91, "plain": 0.9}
    )
    left, right = axes
    assert [bar.get_height() for bar in left.patches] == [0.8, 0.6, 0.5, 0.9]
    assert [bar.get_height() for bar in right.patches] == [0.1, 0.2, 0.3]
    assert left.get_ylim() == right.get_ylim() == (0, 1)
    assert [t.get_text() for t in right.texts] == ["×"]
    assert right.texts[0].get_position()[0] == 2  # the place of layer2.0
    assert "×: cannot be taken out" in right.get_xlabel()
    assert "×" not in left.get_xlabel()
    assert left.lines[0].get_ydata()[0] == 0.91
    assert left.get_title(loc="left") == "residual: 91.0% with all blocks"


def test_an_embedding_is_told_apart_by_colour_and_marker():
    names = [f"class {n}" for n in range(28)]
    points, labels = RNG.normal(size=(56, 2)), np.arange(56) % 28
    ax = plot_embedding(points, labels, names)
    looks = {(line.get_color(), line.get_marker()) for line in ax.lines}
    assert len(looks) == 28
    assert np.array_equal(ax.lines[3].get_xydata(), points[[3, 31]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == names
    with pytest.raises(ValueError, match="29 classes cannot be told apart"):
        plot_embedding(points, labels, [*names, "one more"])


def test_a_loss_slice_is_a_line_a_network():
    ax = plot_loss_slice([-1, 0, 1], {"plain": [9, 1, 8], "residual": [3, 0.5, 2]})
    assert list(ax.lines[1].get_ydata()) == [3, 0.5, 2]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["plain", "residual"]
