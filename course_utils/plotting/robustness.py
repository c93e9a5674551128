"""The figure of accuracy against corruptions of growing strength."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike


def plot_robustness(
    strengths: Mapping[str, Sequence[float]],
    accuracy_by_class: Mapping[str, ArrayLike],
    class_names: Sequence[str],
    axes: Sequence[Axes] | None = None,
    *,
    highlight: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
) -> Sequence[Axes]:
    """Return one panel a corruption: accuracy against its strength, a line a class.

    Args:
        strengths: For each corruption (its name and unit, written below the panel)
            the strengths tried.
        accuracy_by_class: For each corruption (num_strengths, num_classes), fractions;
            NaN for a class without an example.
        class_names: One name for each class.
        axes: One for each corruption; default a new figure's, with shared limits.
        highlight: At most six classes drawn in colour, the others in grey; default the
            two with the lowest and the highest accuracy over all that was tried. Or
            for each corruption its own: then every panel has its own legend.

    Raises:
        ValueError: If shapes do not fit, or a name in `highlight` is no class.

    Taught in: lesson 04, "How far can it be pushed?".
    """
    values = {name: np.asarray(a, float) for name, a in accuracy_by_class.items()}
    wanted = {name: (len(x), len(class_names)) for name, x in strengths.items()}
    found = {name: array.shape for name, array in values.items()}
    if not wanted or found != wanted:
        raise ValueError(
            f"accuracy_by_class has shapes {found}, expected {wanted}: for each "
            "corruption one row a strength and one column a class."
        )
    if highlight is None:
        means = np.concatenate(list(values.values())).mean(0)
        seen = [k for k in np.argsort(means) if not np.isnan(means[k])]
        highlight = [class_names[k] for k in dict.fromkeys([*seen[:1], *seen[-1:]])]
    each_its_own = isinstance(highlight, Mapping)
    chosen = highlight if each_its_own else dict.fromkeys(wanted, highlight)
    if set(chosen) != set(wanted):
        raise ValueError(
            f"highlight names {list(chosen)}; give each of {list(wanted)} its classes."
        )
    for names in chosen.values():
        if set(names) - set(class_names) or len(names) > 6:
            raise ValueError(
                f"highlight is {list(names)}; give at most six of "
                f"{', '.join(class_names)}."
            )
    if axes is None:
        size = (2.3 * len(wanted) + 2.2, 3.2)
        _, axes = plt.subplots(1, len(wanted), figsize=size, sharey=True)
        axes = np.atleast_1d(axes)
    for axis, (corruption, x) in zip(axes, strengths.items(), strict=True):
        for name, curve in zip(class_names, values[corruption].T, strict=True):
            if name not in chosen[corruption]:
                axis.plot(x, curve, color="0.75", lw=1)
        for number, name in enumerate(chosen[corruption]):
            curve = values[corruption][:, list(class_names).index(name)]
            axis.plot(x, curve, color=f"C{number}", marker=".", label=name)
        if each_its_own:
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
            axis.legend(**place, fontsize="small")
        mean = np.nanmean(values[corruption], axis=1)
        axis.plot(x, mean, color="black", lw=2.4, label="mean of the classes")
        axis.set(xlabel=corruption, ylim=(0, 1.02))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("accuracy")
    last = axes[-1]
    if any(len(names) < len(class_names) for names in chosen.values()):
        last.plot([], [], color="0.75", lw=1, label="each other class")
    handles, labels = last.get_legend_handles_labels()
    place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    if each_its_own:
        last.add_artist(last.get_legend())
        last.legend(handles[-2:], labels[-2:], **place)
    else:
        last.legend(handles, labels, **place)
    return axes
