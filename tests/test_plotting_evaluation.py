"""Lesson 04's figures: what is drawn, from plain data, and what is refused."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from course_utils.plotting import course_style
from course_utils.plotting.evaluation import (
    plot_confusion,
    plot_per_class,
    plot_reliability,
)

NAMES = ["ant", "bee", "cat"]
CORRECT, COUNT = [5, 9, 0], [10, 10, 0]
INTERVAL = [0.24, 0.6, 0.0], [0.76, 0.98, 1.0]


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        course_style()
        yield


def texts(ax):
    return [text.get_text() for text in ax.texts]


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_the_figures_need_neither_torch_nor_models():
    code = (
        "import sys, course_utils.plotting\n"
        "print({m.split('.')[1] for m in sys.modules if 'course_utils.' in m},"
        " 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "{'plotting'} False"


def test_dots_are_sorted_with_their_whiskers():
    ax = plot_per_class(NAMES, CORRECT, COUNT, INTERVAL)
    assert labels(ax.yaxis) == ["cat", "ant", "bee"]  # from the bottom up
    dots, _, (whiskers,) = ax.containers[0]
    assert dots.get_xdata().tolist() == [0.5, 0.9]
    ends = [segment[:, 0].tolist() for segment in whiskers.get_segments()]
    assert ends == [pytest.approx([0.24, 0.76]), pytest.approx([0.6, 0.98])]
    assert texts(ax) == ["no example", "50.0% of 10", "90.0% of 10"]
    assert "accuracy" in ax.get_xlabel()
    assert ax.get_xlim() == pytest.approx((0.2, 1))  # below the lowest whisker


@pytest.mark.parametrize(("lowest", "start"), [(0.0, 0), (0.97, 0.9), (0.8, 0.75)])
def test_the_axis_of_the_classes_begins_below_the_lowest_interval(lowest, start):
    ax = plot_per_class(["a"], [99], [100], ([lowest], [1]))
    assert ax.get_xlim() == pytest.approx((start, 1))


def test_a_class_that_is_never_right_is_above_one_without_an_example():
    ax = plot_per_class(["a", "b"], [0, 0], [5, 0], ([0, 0], [0.43, 1]))
    assert texts(ax) == ["no example", "0.0% of 5"]


def test_the_axes_given_are_drawn_on():
    _, axes = plt.subplots(1, 3)
    drawn = (
        plot_per_class(NAMES, CORRECT, COUNT, INTERVAL, axes[0]),
        plot_confusion(np.eye(3, dtype=int), NAMES, axes[1]),
        plot_reliability([0.7], [0.6], [10], axes[2]),
    )
    assert drawn == tuple(axes)
    assert len(plt.get_fignums()) == 1


def test_confusion_shows_counts_shaded_by_shares_of_the_row():
    ax = plot_confusion([[3, 1, 0], [0, 20, 0], [0, 0, 0]], NAMES)
    shades = ax.images[0].get_array()
    assert shades[:2].tolist() == [[0.75, 0.25, 0], [0, 1, 0]]
    assert shades.mask[2].all()
    assert {(t.get_position(), t.get_text()) for t in ax.texts} == {
        ((0, 0), "3"),
        ((1, 0), "1"),
        ((1, 1), "20"),
    }
    assert labels(ax.yaxis) == ["ant", "bee", "cat (no example)"]
    assert labels(ax.xaxis) == NAMES
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_confusion_shows_shares_in_per_cent():
    shares = np.array([[0.996, 0.004, 0], [0, 0.5, 0.5], [np.nan] * 3], np.float32)
    ax = plot_confusion(shares, NAMES)
    assert texts(ax) == ["99.6", "0.4", "50", "50"]
    assert labels(ax.yaxis)[2] == "cat (no example)"


def test_numbers_are_left_out_where_they_would_not_fit():
    names = [f"class {index}" for index in range(21)]
    assert len(plot_confusion(np.eye(20, dtype=int), names[:20]).texts) == 20
    ax = plot_confusion(np.eye(21, dtype=int), names)
    assert not ax.texts
    assert labels(ax.yaxis) == names


def test_classes_that_do_not_fit_are_refused():
    names = [f"class {index}" for index in range(51)]
    ones = np.ones(51)
    sentence = r"51 classes are more than the figure can label \(50\)"
    with pytest.raises(ValueError, match=sentence):
        plot_per_class(names, ones, ones, (ones, ones))
    with pytest.raises(ValueError, match=sentence):
        plot_confusion(np.diag(ones), names)
    assert not plt.get_fignums()


def test_reliability_draws_accuracy_gaps_and_counts():
    nan = np.nan
    ax = plot_reliability([nan, 0.4, 0.7, 0.9], [nan, 0.5, 0.6, 0.9], [0, 2, 30, 900])
    bars, gaps = ax.containers
    assert [bar.get_x() for bar in bars] == [0.25, 0.5, 0.75]
    assert [bar.get_height() for bar in bars] == [0.5, 0.6, 0.9]
    assert [bar.get_y() for bar in gaps] == [0.5, 0.6, 0.9]
    assert [bar.get_height() for bar in gaps] == pytest.approx([-0.1, 0.1, 0])
    blue, orange = (to_rgba(color) for color in ("C0", "C1"))
    pale_blue = (*blue[:3], 0.3)  # two images only
    assert [bar.get_facecolor() for bar in gaps][:2] == [pale_blue, orange]
    (lines,) = ax.collections
    assert [segment[:, 1].tolist() for segment in lines.get_segments()] == [
        [0.5, 0.5],
        [0.6, 0.6],
        [0.9, 0.9],
    ]
    handles, names = ax.get_legend_handles_labels()
    assert names == ["no gap", "accuracy", "too sure", "too modest"]
    assert [patch.get_facecolor() for patch in handles[2:]] == [orange, blue]
    (top,) = ax.child_axes
    assert labels(top.xaxis) == ["2", "30", "900"]
    assert top.get_xticks().tolist() == [0.375, 0.625, 0.875]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence", "accuracy")
