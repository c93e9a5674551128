"""Measured runs: written, read back, put into one table; recorded from a lesson."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from course_utils.results import (
    load_results,
    pivot,
    results_table,
    save_result,
    save_run,
    show_table,
)
from course_utils.session import start
from course_utils.training import History, amp_dtype

CPU = torch.device("cpu")
TOOLS = Path(__file__).resolve().parent.parent / "tools"
LESSON = """
# %% [markdown]
# # A lesson

# %% tags=["setup"]
from course_utils.results import save_result
from course_utils.session import start
session = start(seed=0)

# %%
result = {"profile": session.profile, "data": "CIFAR-10, sketches",
          "test_accuracy": session.seed / 10, "seed": session.seed}
save_result(session.run_dir("99_small") / "result.json", result, session.device)
"""


def run(accuracy, seed=0, profile="quick", data="photos", minutes=1.0):
    return {
        "profile": profile,
        "data": data,
        "hardware": "2-core CPU",
        "seed": seed,
        "minutes": minutes,
        "test_accuracy": accuracy,
    }


def test_what_is_saved_is_read_back_with_machine_and_version(tmp_path):
    for seed in (1, 0):
        save_result(tmp_path / f"03-seed{seed}.json", {"seed": seed}, CPU)
    save_result(tmp_path / "04-seed0.json", {"seed": 9}, CPU)
    results = load_results("03", tmp_path)
    assert [result["seed"] for result in results] == [0, 1]
    assert results[0]["hardware"].endswith(" CPU")
    assert results[0]["threads"] == torch.get_num_threads()
    native = amp_dtype(CPU, "auto") is torch.bfloat16
    assert bool({"avx512_bf16", "amx_bf16"} & {*results[0]["sixteen_bits"]}) == native
    assert torch.__version__.startswith(results[0]["torch"])
    (tmp_path / "03-seed2.json").write_text("{")
    with pytest.raises(ValueError, match=r"03-seed2\.json is not JSON"):
        load_results("03", tmp_path)


def test_a_lessons_run_says_what_it_was_and_what_it_found(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    session = start(seed=3)
    splits = SimpleNamespace(name="CIFAR-10", is_photos=False)
    history = History([2.0], [0.2], [1.9], [0.3], [0.1], [60.0])
    folder = session.run_dir("99_small")
    save_run(folder, session, splits, {"lr": 0.1}, history, test_accuracy=0.25)
    (result,) = load_results("result", folder)
    assert result["lesson"] == "99_small"
    assert result["data"] == "CIFAR-10, sketches"
    assert (result["seed"], result["minutes"]) == (3, 1.0)
    assert (result["val_accuracy"], result["test_accuracy"]) == (0.3, 0.25)
    assert result["recipe"] == {"lr": 0.1}


def test_the_table_gathers_seeds_and_admits_what_is_missing():
    _, rows = results_table(
        [run(0.6, 0, minutes=1), run(0.7, 1, minutes=2), run(0.9, data="sketches")],
        expected=[
            {"profile": "quick", "data": "photos", "hardware": "any"},
            {"profile": "full", "data": "photos", "hardware": "one GPU"},
        ],
        mine=[run(0.5)],
    )
    assert list(map(list, rows)) == [
        ["quick", "photos", "2-core CPU", "2", "1.5", "65.0% (60.0% to 70.0%)"],
        ["quick", "sketches", "2-core CPU", "1", "1.0", "90.0%"],
        ["full", "photos", "one GPU", "0", "not measured", "not measured"],
        ["quick, your run", "photos", "2-core CPU", "1", "1.0", "50.0%"],
    ]


def test_pivot_gathers_runs_in_cells_and_admits_what_is_missing():
    runs = [
        {"way": "frozen", "images": 30, "score": 0.25},
        {"way": "scratch", "images": 10, "score": 0.5},
        {"way": "frozen", "images": 30, "score": 0.75},
    ]
    heads, rows = pivot(runs, rows="way", columns="images", value="score", form=".2f")
    assert heads == ["way", "30", "10"]
    assert rows == [
        ["frozen", "0.50 (0.25 to 0.75)", "not measured"],
        ["scratch", "not measured", "0.50"],
    ]


def test_show_table_shows_any_cells(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    show_table(["a", "b"], ([number, None] for number in (1, 2)))
    text = shown[0].data
    assert text == "| a | b |\n| --- | --- |\n| 1 | None |\n| 2 | None |"


def test_the_tool_records_the_lesson_itself(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setenv("COURSE_DATA", "built-in")
    monkeypatch.setenv("COURSE_PROFILE", "quick")
    from record_lesson import record

    lesson, results = tmp_path / "99_small.py", tmp_path / "results"
    results.mkdir()
    lesson.write_text(LESSON)
    path = record(lesson, 7, results)
    assert path.name == "99_small-quick-sketches-seed7.json"
    assert json.loads(path.read_text())["test_accuracy"] == 0.7
    lesson.write_text(LESSON + "1 / 0\n")
    with pytest.raises(SystemExit, match=r"99_small, seed 8: cell \d .*ZeroDivision"):
        record(lesson, 8, results)
    lesson.write_text(LESSON.replace("seed=0", "seed=1"))
    with pytest.raises(SystemExit, match=r"99_small\.py has no 'start\(seed=0\)'"):
        record(lesson, 9, results)
    assert list(results.iterdir()) == [path]
