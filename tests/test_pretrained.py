"""The weights that ship: small, whole, and as good as their cards say."""

import json
import re
from pathlib import Path

import pytest
import torch

from course_utils.data.cifar10 import load_cifar10
from course_utils.data.flowers import load_flowers
from course_utils.models import cifar_resnet
from course_utils.pretrained import (
    PRETRAINED,
    load_pretrained,
    load_trained,
    pretrained_path,
)
from course_utils.session import start
from course_utils.training import evaluate
from course_utils.training.state import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)

RESULTS = Path(__file__).parents[1] / "results"
WIDE = ("imagenet200", "flowers")  # three times the channels; flowers started from it
EVERY = pytest.mark.parametrize("name", PRETRAINED)


def card_accuracies(name):
    card = pretrained_path(name).with_suffix(".md").read_text("utf-8")
    found = re.findall(r"\| (validation|test) accuracy \| ([\d.]+)% \|", card)
    return {split: float(value) / 100 for split, value in found}


@EVERY
def test_the_file_is_small_and_in_half_precision(name):
    path = pretrained_path(name)
    assert path.stat().st_size < (5_000_000 if name in WIDE else 700_000)
    kinds = {value.dtype for value in load_checkpoint(path)["model"].values()}
    assert kinds == {torch.float16, torch.int64}  # int64: BatchNorm's batch counter


@EVERY
def test_it_is_the_network_that_its_name_says(name):
    model = load_pretrained(name)
    network, _ = PRETRAINED[name]
    assert not model.training
    assert model.architecture["depth"] == 20
    shortcut = {"residual": "A", "plain": None}[network]
    if name in WIDE:
        shortcut = "B"
    assert model.architecture["family"] == "CifarResNet"
    assert model.architecture["shortcut"] == shortcut
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    data = load_checkpoint(pretrained_path(name))["data"]
    size, num_classes = data["image_size"], len(data["classes"])
    assert model(torch.zeros(2, 3, size, size)).shape == (2, num_classes)


@EVERY
def test_the_card_says_what_was_measured(name):
    measured = json.loads((RESULTS / f"pretrained-{name}.json").read_text("utf-8"))
    said = card_accuracies(name)
    assert said
    for split in said:
        exact = measured[f"{split[:3] if split == 'validation' else split}_accuracy"]
        assert said[split] == pytest.approx(exact, abs=5e-5)
    assert measured["shipped_as"] == name
    assert len(measured["history"]["val_loss"]) == measured["epochs"]


def test_imagenet200_reproduces_its_cards_accuracy(monkeypatch, imagenet200):
    monkeypatch.syspath_prepend(str(RESULTS.parent / "tools"))
    from ship_weights import imagenet200_val

    name = "imagenet200"
    if imagenet200 is None:
        pytest.skip("COURSE_DATA names no folder with imagenet32/val")
    info = load_checkpoint(pretrained_path(name))["data"]
    assert info["classes"] == sorted(info["classes"])
    loader = imagenet200_val(imagenet200, info)
    accuracy = evaluate(load_pretrained(name), loader).accuracy
    assert accuracy == pytest.approx(card_accuracies(name)["validation"], abs=0.002)


@pytest.mark.parametrize("name", [n for n in PRETRAINED if n != "imagenet200"])
def test_it_reproduces_its_cards_accuracy(name, photos, flower_photos):
    _, data = PRETRAINED[name]
    model, said = load_pretrained(name), card_accuracies(name)
    info = load_checkpoint(pretrained_path(name))["data"]
    found = flower_photos if data.startswith("flower") else photos
    folder = found if data.endswith("photos") else None
    if data.endswith("photos") and folder is None:
        pytest.skip(f"COURSE_DATA names no {data}")
    if data.startswith("flower"):
        splits = load_flowers(folder)
        view = {key: info[key] for key in ("image_size", "mean", "std")}
        loaders = splits.loaders(100, **view)
    else:
        splits = load_cifar10(folder)
        loaders = splits.loaders(500)
        assert info["mean"] == pytest.approx(splits.mean)
        assert info["std"] == pytest.approx(splits.std)
    assert tuple(info["classes"]) == splits.classes
    # machines round differently: a few of thousands of images may change sides
    for split, loader in (("validation", loaders.val), ("test", loaders.test)):
        accuracy = evaluate(model, loader).accuracy
        most = max(0.002, 1.5 / len(loader.dataset))
        assert accuracy == pytest.approx(said[split], abs=most), split


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no pretrained network 'imagenet'; choose"):
        load_pretrained("imagenet")


def test_the_readers_own_network_goes_first(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_DATA", "built-in")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    session, splits = start(), load_cifar10(None)
    own = tmp_path / "runs" / "03_cifar10_training" / "best.pt"

    shipped = load_trained(session, splits)
    assert "the pretrained 'sketches' that ships" in capsys.readouterr().out
    assert shipped.architecture["depth"] == 20

    network = cifar_resnet(8)
    checkpoint = {
        "model": network.state_dict(),
        "architecture": network.architecture,
        "data": splits.info(500),  # on fewer images: the same data all the same
        "val_accuracy": 0.5,
    }
    save_checkpoint(own, checkpoint)
    assert load_trained(session, splits).architecture["depth"] == 8
    said = capsys.readouterr().out
    assert "your own, runs/03_cifar10_training/best.pt" in said
    assert "validation accuracy 50.0%" in said

    checkpoint["data"] = {**splits.info(), "mean": [0.1, 0.2, 0.3]}
    save_checkpoint(own, checkpoint)
    assert load_trained(session, splits).architecture["depth"] == 20
    said = capsys.readouterr().out
    assert "which was trained on other data" in said
    assert "the pretrained 'sketches'" in said

    own.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"best\.pt is damaged"):
        load_trained(session, splits)
