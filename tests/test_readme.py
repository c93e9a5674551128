"""The tables of README and results page are those of results/; the README is short."""

import json
import re

from numbers_in_prose import wrong_numbers
from recording import RESULTS
from update_readme import (
    PAGES,
    TABLES,
    degradation,
    filled,
    ingredients,
    minutes,
    minutes_elsewhere,
)


def test_every_table_is_that_of_the_recorded_runs():
    texts = [page.read_text("utf-8") for page in PAGES]
    assert texts == [*map(filled, texts)], "run: python tools/update_readme.py"
    found = re.findall("<!-- measured: (.+) -->", "".join(texts))
    assert sorted(found) == sorted(TABLES)


def test_numbers_between_the_tables_are_those_of_the_recorded_runs():
    for page in PAGES:
        assert list(wrong_numbers(page.read_text("utf-8"), RESULTS)) == []


def test_the_readme_is_read_in_minutes():
    assert len(PAGES[0].read_text("utf-8").split()) <= 900


def test_runs_of_one_kind_share_a_row(tmp_path):
    for seed, loss in ((0, 0.5), (1, 0.7)):
        run = {
            "network": "plain",
            "depth": 8,
            "data": "CIFAR-10 photos",
            "train_size": 100,
            "epochs": 2,
            "test_accuracy": 0.4 + seed / 10,
            "history": {"train_loss": [9.0, loss]},
        }
        (tmp_path / f"degradation-{seed}.json").write_text(json.dumps(run))
    row = degradation(tmp_path).splitlines()[-1]
    assert row == (
        "| CIFAR-10 photos, 100 images, 2 epochs | plain 8 | 2 "
        "| 0.60 (0.50 to 0.70) | 45.0% (40.0% to 50.0%) |"
    )


def test_an_ingredient_has_the_rate_that_was_trained_with_more_than_one_seed(tmp_path):
    for lr, seed, accuracy in ((0.1, 0, 0.9), (0.2, 0, 0.5), (0.2, 1, 0.7)):
        run = {
            "study": f"ingredients-no-stem-lr{lr}",
            "lr": lr,
            "test_accuracy": accuracy,
            "test_accuracy_both_views": accuracy + 0.1,
        }
        (tmp_path / f"ingredients-{lr}-{seed}.json").write_text(json.dumps(run))
    assert ingredients(tmp_path).splitlines()[2:] == [
        "| no-stem | 0.2 | 2 | 60.0% (50.0% to 70.0%) | 70.0% (60.0% to 80.0%) |"
    ]


def test_accuracy_by_minutes_has_median_and_range_of_each_machine(tmp_path):
    for seed, scores in ((0, (0.5, 0.7, 0.9)), (1, (0.4, 0.8)), (2, (0.6, 0.9))):
        for cores, processor, units in (
            (2, "AMD EPYC", []),
            (4, "AMD EPYC", ["avx512_bf16"]),
        ):
            run = {
                "title": "a training",
                "seed": seed,
                "minutes": [1.0, 3.0, 30.0][: len(scores)],
                "points": [{"test_accuracy": score / cores * 2} for score in scores],
                "hardware": f"{cores}-core x86_64 CPU",
                "processor": processor,
                "sixteen_bits": units,
            }
            name = f"minutes-{cores}-seed{seed}.json"
            (tmp_path / name).write_text(json.dumps(run))
            # The same seed, in a run that stopped earlier, which does not count
            shorter = run | {"minutes": [1.0], "points": [{"test_accuracy": 0.1}]}
            for first_or_last in ("minutes-0", "minutes-9"):
                (tmp_path / f"{first_or_last}-{name}").write_text(json.dumps(shorter))
    assert minutes(tmp_path).splitlines()[2:] == [
        "| a training | 50.0% (40.0–60.0) | 80.0% (70.0–90.0) | – | 90.0% |"
    ]
    assert minutes_elsewhere(tmp_path).splitlines()[2:] == [
        "| 4-core AMD EPYC, bfloat16 | a training "
        "| 25.0% (20.0–30.0) | 40.0% (35.0–45.0) | – | 45.0% |"
    ]
