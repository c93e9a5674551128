"""The benchmark: ratios round by round, goals, and what it says of itself."""

import json
import re
import sys

import bench
import bench_cases
import bench_prediction
import bench_ways
import pytest
import torch
from bench_cases import Row, interleave


class FakeWay:
    """Returns the given speeds one after the other and notes that it was called."""

    def __init__(self, name, speeds, log):
        self.name, self.speeds, self.log = name, iter(speeds), log

    def __call__(self):
        self.log.append(self.name)
        return next(self.speeds)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the program on given rows, as its case "a"."""
    monkeypatch.setattr(bench, "OUTPUT", tmp_path / "build" / "bench.json")
    monkeypatch.setattr(bench, "RESULTS", tmp_path)

    def run(rows, *arguments):
        monkeypatch.setitem(bench.CASES, "a", lambda repeats: rows)
        return bench.main(["--only", "a", *arguments])

    return run


def test_ways_take_turns_and_the_warm_up_does_not_count():
    log = []
    ours = FakeWay("A", [1, 10, 20], log)
    theirs = FakeWay("B", [1, 5, 4], log)
    assert interleave([ours, theirs], 2) == [[10, 20], [5, 4]]
    assert "".join(log) == "AB" * 3


def test_ratio_is_the_median_of_the_pairs():
    # Ratios 2, 9, 1/2, 4, 3. The medians, 20 and 10, would give 2.
    row = Row("fake", [20, 90, 5, 40, 3], [10, 10, 10, 10, 1])
    assert row.ratios == [2, 9, 0.5, 4, 3]
    assert row.ratio == 3
    assert bench.cells("a", row)[2:5] == ("20", "10", "3 (0.5 to 9)")


@pytest.mark.parametrize(
    ("goal", "missed"), [(1.5, False), (1.51, True), (None, False)]
)
def test_goal_is_missed_below_it_only(goal, missed):
    assert Row("fake", [3], [2], goal).missed is missed
    assert not Row("not measured", goal=goal).missed


def test_missed_goal_gives_status_1_and_its_name(run, capsys):
    rows = [Row("slow one", [9] * 5, [10] * 5, 0.95), Row("fine", [2] * 5, [1] * 5, 2)]
    assert run(rows) == 1
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last == "Goals missed: (a) slow one: 0.9, wanted at least 0.95."
    assert "| a | slow one | 9 | 10 | 0.9 (0.9 to 0.9) | at least 0.95 |  |" in (
        printed.out.splitlines()
    )


def test_met_goals_give_status_0_and_the_json_holds_every_round(run, capsys):
    assert run([Row("fine", [4, 6], [2, 2], 2)], "--repeats", "5") == 0
    assert "missed" not in capsys.readouterr().err
    written = json.loads(bench.OUTPUT.read_text(encoding="utf-8"))
    assert written["repeats"] == 5
    (row,) = written["rows"]
    assert row["ours_images_per_s"] == [4, 6]
    assert (row["ratio"], row["ratio_min"], row["ratio_max"]) == (2.5, 2, 3)
    recorded = bench.RESULTS / "mine.json"
    assert not recorded.exists()
    run([Row("fine", [4, 6], [2, 2], 2)], "--record", "mine", "--repeats", "5")
    assert recorded.read_bytes() == bench.OUTPUT.read_bytes()


def test_data_path_runs_and_gives_back_the_threads():
    before = torch.get_num_threads()
    (row,) = bench_cases.data_path(1, number=200)
    assert torch.get_num_threads() == before
    assert row.ours[0] > 0
    assert row.theirs[0] > 0


def test_ways_train_the_images_they_count(monkeypatch):
    counted = []
    monkeypatch.setattr(
        bench_ways, "timed", lambda number, work: (counted.append(number), work())
    )
    bench_ways.training(bench_ways.array_loader(32, 16), amp=False)()
    bench_ways.plain_training(bench_ways.per_image_loader(8))()
    bench_ways.steps_alone(16, 8)()
    assert counted == [32, 8, 16]


def test_products_are_as_much_work_as_the_steps(monkeypatch):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1, bias=False),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 32 * 32, 10, bias=False),
    )
    conv, linear = 2 * 4 * 27 * 32 * 32, 2 * 4096 * 10
    # Backward: of the kernel, and of the input where there is something below
    work = bench_ways.operations(model)
    assert work == 2 * conv + 3 * linear
    counted = []
    monkeypatch.setattr(bench_ways, "timed", lambda number, _: counted.append(number))
    three = 3 * 2 * bench_ways.SIDE**3
    bench_ways.products(three, 1.0)()
    assert counted == [three]
    monkeypatch.undo()
    (row,) = bench_cases.against_products(1, number=128)
    assert row.ours[0] > 0
    assert row.theirs[0] > 0


def test_a_folder_is_predicted_both_ways(monkeypatch):
    monkeypatch.setattr(
        bench_prediction, "peak_mib", lambda folder: len(list(folder.iterdir()))
    )
    (row,) = bench_prediction.against_one_by_one(1, num_files=3)
    assert row.ours[0] > 0
    assert row.theirs[0] > 0
    assert row.note == "peak memory 3 for 3 files, 12 for 12"


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read on Linux")
def test_peak_memory_is_that_of_a_process_of_its_own(tmp_path):
    folder = bench_prediction.make_folder(tmp_path, 1)
    assert re.fullmatch(r"\d+ MiB", bench_prediction.peak_mib(folder))
