"""Accuracy against minutes: the clock, the plan, each contender on a few images."""

import importlib
import json

import bench_minutes
import numpy as np
import pytest
import torch
from contenders import fast, stopwatch
from contenders.pace import epochs_that_fit
from contenders.stopwatch import Point, Stopwatch, TimeIsUp
from torch import nn

from course_utils.data.arrays import ImageSplits, LabelledImages

NAMES = list(bench_minutes.CONTENDERS)


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def perf_counter(self):
        return self.now


class TwoClasses(nn.Module):
    """Says 1 for bright images, and lets time pass while it does."""

    def __init__(self, clock):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.clock, self.seen, self.modes = clock, 0, []

    def forward(self, images):
        self.clock.now += 7
        self.seen += len(images)
        self.modes.append(self.training)
        assert images.max() <= 1
        bright = images.mean((1, 2, 3)) * self.scale - 0.5
        return torch.stack([-bright, bright], 1)


def some_images(number, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, number)
    images = rng.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(images, labels)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_the_clock_stands_still_while_a_network_is_tested(clock):
    images = np.zeros((1203, 32, 32, 3), np.uint8)  # a short last batch
    images[:400] = 255
    labels = np.r_[np.ones(900), np.zeros(303)].astype(np.int64)
    watch = Stopwatch([60.0, 180.0], LabelledImages(images, labels))
    network = TwoClasses(clock)
    clock.now += 59
    watch.tick(network)
    assert (watch.points, network.seen) == ([], 0)
    clock.now += 2
    watch.tick(network)
    assert watch.points == [Point(61.0, 2, 1, pytest.approx(703 / 1203))]
    assert (network.seen, set(network.modes)) == (1203, {False})
    assert network.training
    assert watch.seconds == 61.0
    clock.now += 119
    with pytest.raises(TimeIsUp):
        watch.tick(network)
    assert [point.seconds for point in watch.points] == [61.0, 180.0]


def test_contenders_take_turns_and_long_budgets_have_one_seed():
    runs = list(bench_minutes.plan(["tutorial", "fast"], (30, 1, 3), (0, 1)))
    assert runs == [
        ("tutorial", 0, [1, 3, 30]),
        *[("fast", 0, [mark]) for mark in (1, 3, 30)],
        ("tutorial", 1, [1, 3]),
        *[("fast", 1, [mark]) for mark in (1, 3)],
    ]


@pytest.fixture
def splits():
    train, rest = some_images(600), some_images(80, seed=1)
    return ImageSplits(
        name="noise",
        source="a test",
        is_photos=False,
        classes=tuple("abcdefghij"),
        train=train,
        val=rest,
        test=rest,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_contender_trains_until_its_time_is_up(name, splits):
    contender = importlib.import_module(f"contenders.{name}")
    follows_the_clock = bench_minutes.CONTENDERS[name]
    watch = Stopwatch([0.2] if follows_the_clock else [0.2, 0.3], splits.test)
    with pytest.raises(TimeIsUp):
        contender.run(splits, watch, seed=0)
    assert len(watch.points) == len(watch.marks)
    assert all(0 <= point.test_accuracy <= 1 for point in watch.points)
    assert watch.points[0].steps > 0


@pytest.mark.parametrize(("budget", "epochs"), [(100, 4.136), (20, 0.376)])
def test_epochs_that_fit_leave_a_reserve(clock, splits, budget, epochs):
    class Slow(nn.Linear):
        def forward(self, images):
            clock.now += 2
            return super().forward(images.flatten(1))

    watch = Stopwatch([budget])
    loader = splits.loaders(60).train  # ten batches: 20 seconds an epoch
    network = Slow(3 * 32 * 32, 10)
    fitting = epochs_that_fit(network, loader, watch, steps=3)
    assert fitting == pytest.approx(epochs)  # of what is left after six steps, 94 %


@pytest.mark.parametrize(
    ("fitting", "depth", "width", "padding"),
    [
        ([0.1, 0.02], 8, 16, 0),
        ([9, 3.9, 1], 8, 32, 0),
        ([30, 9, 2.8], 8, 32, 2),
        ([99, 40, 9, 5], 8, 64, 2),
        ([99, 60, 30, 20], 14, 64, 4),
    ],
)
def test_the_fast_network_is_the_largest_with_enough_epochs(
    fitting, depth, width, padding, splits, monkeypatch
):
    answers = iter(fitting)
    monkeypatch.setattr(fast, "epochs_that_fit", lambda *_, **__: next(answers))
    model, loader = fast.largest_that_fits(splits, Stopwatch([60]), seed=0)
    assert model.conv1.out_channels == width
    assert 6 * len(model.layer1) + 2 == depth
    assert len(next(iter(loader))[0]) == (256 if depth == 14 else 128)
    assert loader.dataset.padding == padding


def test_what_is_recorded_on_this_machine_is_not_measured_again(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("COURSE_DATA", "built-in")
    monkeypatch.setattr(bench_minutes, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_minutes, "machine_of", lambda run: "2-core A(R) @ 3 GHz")
    options = ["--here", "--contenders", "tutorial", "--seeds", "0"]
    options += ["--minutes", "0.005", "0.01"]
    bench_minutes.main(options)
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text("utf-8"))
    assert path.name == "minutes-2-core-a-r-3-ghz-tutorial-0.005-0.01-seed0.json"
    assert record["data"] == "CIFAR-10 sketches"
    assert [
        point["seconds"] >= mark
        for point, mark in zip(record["points"], (0.3, 0.6), strict=True)
    ] == [True, True]
    before = path.read_bytes()
    bench_minutes.main(options)
    assert "is there already" in capsys.readouterr().out
    assert path.read_bytes() == before
    monkeypatch.setattr(bench_minutes, "machine_of", lambda run: "2-core B")
    measured = []
    monkeypatch.setattr(bench_minutes, "measure", lambda *run: measured.append(run))
    bench_minutes.main(options)
    assert measured == [("tutorial", 0, [0.005, 0.01])]
