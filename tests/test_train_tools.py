"""The programs behind the recorded runs, on a few images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fast_ablation
import pytest
import ship_weights
import torch
import train_cifar10
import train_flowers
from small_training import same_state

from course_utils.data import flowers
from course_utils.data.cifar10 import load_cifar10
from course_utils.training import evaluate
from course_utils.training.checkpoint import load_checkpoint, load_model

ROOT = Path(__file__).parents[1]
FEW = ["--depth", "8", "--epochs", "1", "--train-size", "256"]


@pytest.fixture
def runs(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", "built-in")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_a_run_is_measured_and_not_repeated(runs, capsys, monkeypatch, tmp_path):
    train_cifar10.main([*FEW, "--study", "try", "--network", "plain"])
    folder = runs / "try" / "plain8-sketches-256-seed0"
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert (result["network"], result["depth"], result["train_size"]) == (
        "plain",
        8,
        256,
    )
    assert result["data"] == "CIFAR-10 sketches"
    test = load_cifar10(None).loaders(500).test
    model = load_model(folder / "best.pt")
    assert evaluate(model, test).accuracy == pytest.approx(
        result["test_accuracy"], abs=0.001
    )
    assert "Epoch" in capsys.readouterr().out
    monkeypatch.setattr(train_cifar10, "RESULTS", tmp_path)
    train_cifar10.main([*FEW, "--study", "try", "--network", "plain", "--record"])
    assert "Epoch" not in capsys.readouterr().out
    recorded = tmp_path / "try-plain8-sketches-256-seed0.json"
    assert recorded.read_bytes() == (folder / "result.json").read_bytes()


def test_what_is_shipped_is_the_best_network_in_half_precision(
    runs, monkeypatch, tmp_path, capsys
):
    train_cifar10.main(FEW)
    (folder,) = (runs / "pretrained").iterdir()
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(ship_weights, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(ship_weights, "pretrained_path", lambda n: tmp_path / f"{n}.pt")
    ship_weights.main([str(folder)])
    stored = load_checkpoint(tmp_path / "sketches.pt")
    best = load_checkpoint(folder / "best.pt")
    assert stored["architecture"] == best["architecture"]
    assert stored["data"] == best["data"]
    halves = {
        k: v.half() if v.is_floating_point() else v for k, v in best["model"].items()
    }
    assert same_state(dict(stored["model"]), halves)
    measured = json.loads((tmp_path / "results/pretrained-sketches.json").read_text())
    test = load_cifar10(None).loaders(500).test
    accuracy = evaluate(load_model(tmp_path / "sketches.pt"), test).accuracy
    assert measured["test_accuracy"] == accuracy
    card = (tmp_path / "sketches.md").read_text("utf-8")
    assert f"| test accuracy | {accuracy:.2%} |" in card
    assert "--network residual --depth 8 --lr 0.2 --train-size 256 --epochs 1" in card


def test_photos_are_not_shipped_with_sketches_numbers(runs):
    train_cifar10.main(FEW)
    (folder,) = (runs / "pretrained").iterdir()
    text = (folder / "result.json").read_text("utf-8")
    (folder / "result.json").write_text(text.replace("0 sketches", "0 photos"))
    with pytest.raises(SystemExit, match="needs CIFAR-10 photos: set COURSE_DATA"):
        ship_weights.ship(folder)


def test_the_network_of_the_flowers_is_shipped_with_its_own_numbers(
    runs, monkeypatch, tmp_path
):
    monkeypatch.setattr(flowers, "NUM_SKETCHES", 100)
    train_flowers.main(["--epochs", "1", "--image-size", "16"])
    (folder,) = (runs / "pretrained").iterdir()
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(ship_weights, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(ship_weights, "pretrained_path", lambda n: tmp_path / f"{n}.pt")
    path = ship_weights.ship(folder)
    assert path.name == "flower-sketches.pt"
    stored = load_checkpoint(path)
    assert stored["data"]["image_size"] == 16
    assert stored["data"]["classes"] == list(flowers.FLOWER_CLASSES)
    view = {key: stored["data"][key] for key in ("image_size", "mean", "std")}
    test = flowers.load_flowers(None).loaders(100, **view).test
    accuracy = evaluate(load_model(path), test).accuracy
    card = path.with_suffix(".md").read_text("utf-8")
    assert f"| test accuracy | {accuracy:.2%} |" in card
    assert "tools/train_flowers.py --image-size 16 --lr 0.1 --epochs 1 --seed 0" in card


def test_two_processes_under_torchrun_make_one_run(runs, shared_cache):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = ROOT / "tools" / "train_cifar10.py"
    done = subprocess.run(
        [sys.executable, *launcher, program, *FEW],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Epoch 1/1") == 1
    (folder,) = (runs / "pretrained").iterdir()
    last = load_checkpoint(folder / "last.pt")
    assert len(last["random"]) == 2
    test = load_cifar10(None).loaders(500).test
    result = json.loads((folder / "result.json").read_text("utf-8"))
    accuracy = evaluate(load_model(folder / "best.pt"), test).accuracy
    assert result["test_accuracy"] == pytest.approx(accuracy, abs=0.001)
    assert all(torch.isfinite(value).all() for value in last["model"].values())


def test_the_fast_recipe_is_measured_with_each_ingredients_absence(
    runs, monkeypatch, tmp_path
):
    monkeypatch.setattr(train_cifar10, "RESULTS", tmp_path)
    made = []

    def scored(options):
        made.append(options)
        path = tmp_path / "run.json"
        score = 0.8 - abs(options.lr - 0.2) + options.seed
        path.write_text(json.dumps({"val_accuracy": score}))
        return path

    monkeypatch.setattr(train_cifar10, "run", scored)
    fast_ablation.main(["everything", "sgd"])
    runs = [(run.name, run.seed, run.muon) for run in made]
    rates = [(f"everything-lr{rate}", 0) for rate in (0.05, 0.1, 0.2, 0.4)]
    rates += [("everything-lr0.2", 1), ("everything-lr0.2", 2)]
    assert runs[:6] == [(*rate, True) for rate in rates]
    assert {(run.muon, run.padding) for run in made[6:]} == {(False, 0)}


def test_the_fast_recipe_trains_and_is_judged_by_both_views(runs):
    few = ["--epochs", "1", "--train-size", "256", "--network", "fast8"]
    train_cifar10.main([*few, "--muon", "--padding", "0", "--label-smoothing", "0.1"])
    (folder,) = (runs / "pretrained").iterdir()
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert (result["optimizer"], result["depth"]) == ("Muon", 8)
    assert 0 <= result["test_accuracy_both_views"] <= 1
    assert result["parameters"] == sum(
        parameter.numel() for parameter in load_model(folder / "best.pt").parameters()
    )
