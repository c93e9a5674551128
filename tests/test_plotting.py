"""Figures: what is drawn, from plain data, and what is refused."""

import numpy as np
import pytest

from course_utils.plotting import (
    course_style,
    plot_history,
    plot_lines,
    plot_seeds,
    show_images,
)
from course_utils.training import History


def history(offset=0.0):
    return History(
        train_loss=[2.0 + offset, 1.0],
        train_accuracy=[0.3, 0.6],
        val_loss=[1.9, 1.1],
        val_accuracy=[0.35, 0.55],
        lr=[0.1, 0.01],
        seconds=[1.0, 1.0],
    )


def test_plot_history_draws_what_it_was_given():
    course_style()
    loss, accuracy, lr = plot_history(history())
    dashed, solid = loss.lines
    assert list(dashed.get_ydata()) == [2.0, 1.0]
    assert list(solid.get_ydata()) == [1.9, 1.1]
    assert (dashed.get_linestyle(), solid.get_linestyle()) == ("--", "-")
    assert [list(line.get_xdata()) for line in accuracy.lines] == [[0.5, 1.5], [1, 2]]
    assert list(lr.lines[0].get_ydata()) == [0.1, 0.01]
    assert all(
        axis.get_xlabel() == "epoch" and axis.get_ylabel() for axis in (loss, lr)
    )


def test_plot_history_of_several_runs_names_them():
    loss, *_ = plot_history({"plain": history(), "residual": history(1.0)})
    texts = [text.get_text() for text in loss.get_legend().get_texts()]
    assert texts[0] == "plain training"
    assert texts[-1] == "residual validation"
    assert loss.lines[0].get_color() == loss.lines[1].get_color()
    assert loss.lines[0].get_color() != loss.lines[2].get_color()


@pytest.mark.parametrize("nothing", [History(), {}, {"a": History()}])
def test_plot_history_of_nothing_is_refused(nothing):
    with pytest.raises(ValueError, match="no finished epoch"):
        plot_history(nothing)


def test_show_images_fills_a_grid():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    axes = show_images(images, [*"abcde"], columns=3)
    assert axes.shape == (2, 3)
    assert axes[1, 1].get_title() == "e"
    assert np.array_equal(axes[1, 0].images[0].get_array(), images[3])
    assert not axes[1, 2].images


def test_seeds_are_drawn_as_their_mean_and_range():
    runs = {"plain": [[1.0, 2.0, 6.0], [3.0, 4.0, 2.0]], "residual": [[0.0, 0.0, 1.0]]}
    ax = plot_seeds(runs)
    plain, residual = ax.lines
    assert plain.get_ydata().tolist() == [2.0, 3.0, 4.0]
    assert plain.get_xdata().tolist() == [1, 2, 3]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "plain (n = 2)",
        "residual (n = 1)",
    ]
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners.min(0).tolist() == [1.0, 1.0]
    assert corners.max(0).tolist() == [3.0, 6.0]
    assert residual.get_color() != plain.get_color()


def test_plot_lines_draws_each_line_and_names_the_axes():
    lines = {"plain": ([20, 56], [0.6, 0.5]), "residual": ([20, 110], [0.6, 0.7])}
    ax = plot_lines(lines, xlabel="layers", ylabel="accuracy", percent=True)
    assert [line.get_label() for line in ax.lines] == ["plain", "residual"]
    assert ax.lines[1].get_xydata().tolist() == [[20, 0.6], [110, 0.7]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layers", "accuracy")
    assert ax.yaxis.get_major_formatter()(0.6).startswith("60")
    assert len(ax.get_legend().get_texts()) == 2
    assert plot_lines({"": ([1, 2], [3, 4])}, ax) is ax
    assert len(ax.lines) == 3


def test_one_line_without_a_name_needs_no_legend():
    assert plot_lines({"": ([1, 2], [3, 4])}).get_legend() is None
