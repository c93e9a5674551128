"""The tool that compares the ways to train, on few images and for few steps."""

import json
from statistics import mean

import numpy as np
import pytest
import torch
import transfer_study
from transfer_study import (
    AT_THE_RATE_OF,
    CHOOSING,
    FIRST,
    GRID,
    SEEDS,
    Study,
    main,
    num_epochs,
)

from course_utils.data.photo_splits import PhotoSplits, split_by_class
from course_utils.data.photos import PackedPhotos, pack
from course_utils.pretrained import backbones, load_pretrained
from course_utils.session import Session

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD = 64 * 3 + 3
WHOLE = 269_722 - (64 * 10 + 10) + HEAD  # the ResNet-20 with three classes


@pytest.fixture
def splits():
    """Three classes of 20 images, told apart by brightness: 48 / 6 / 6."""
    labels = np.arange(60) % 3
    noise = np.random.default_rng(0).integers(0, 100, (60, 24, 24, 3))
    images = (noise + 75 * labels[:, None, None, None]).astype(np.uint8)
    return PhotoSplits(
        name="flowers",
        source="random",
        is_photos=False,
        classes=("dark", "grey", "light"),
        photos=PackedPhotos(*pack(list(images))),
        labels=labels,
        split=split_by_class(labels),
    )


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """Two epochs on small images, recorded elsewhere."""
    monkeypatch.setattr(transfer_study, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(transfer_study, "MIN_EPOCHS", 2)
    monkeypatch.setattr(transfer_study, "MIN_STEPS", 2)
    monkeypatch.setattr(backbones, "OWN_IMAGE_SIZE", 16)


@pytest.fixture
def study(splits, tmp_path):
    session = Session(0, torch.device("cpu"), "quick", None, tmp_path / "runs")
    return Study("sketches", session, splits)


@pytest.fixture
def begun(monkeypatch):
    """What each training of a network began with: weights, rates of its groups."""
    seen, train = [], transfer_study.train_one_epoch

    def note(model, loader, optimizer, **options):
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        seen.append(
            (weights, [group.get("max_lr") for group in optimizer.param_groups])
        )
        return train(model, loader, optimizer, **options)

    monkeypatch.setattr(transfer_study, "train_one_epoch", note)
    return seen


@pytest.mark.parametrize("way", [*FIRST, *AT_THE_RATE_OF])
def test_each_way_trains_what_it_says(way, study, monkeypatch):
    monkeypatch.setattr(Study, "best_rate", lambda *_: 0.01)
    result = study.trained(way, 10, 0.02, 0)
    assert (result["way"], result["lr"]) == (way, 0.02)
    assert (result["per_class"], result["train_size"], result["epochs"]) == (10, 30, 2)
    assert result["trained_parameters"] == (HEAD if way == "frozen" else WHOLE)
    assert result["image_size"] == 16
    for part in ("val", "test"):
        sixths = result[f"{part}_accuracy"] * 6
        assert sixths == pytest.approx(round(sixths))


@pytest.mark.parametrize("way", ["scratch", "finetuned", "by-depth"])
def test_only_from_scratch_starts_without_what_was_learnt(way, study, begun):
    study.trained(way, 4, 0.1, 0)
    weights, rates = begun[0]
    learnt = load_pretrained("sketches").state_dict()
    same = [torch.equal(weights[k], v) for k, v in learnt.items() if "conv" in k]
    assert all(same) if way != "scratch" else not any(same)
    steps = range(4, -1, -1) if way == "by-depth" else (0,)
    assert rates == [0.1 / 2**step for step in steps]


def test_head_first_begins_with_a_trained_head_and_the_learnt_body(
    study, begun, monkeypatch
):
    monkeypatch.setattr(Study, "best_rate", lambda *_: 0.05)
    monkeypatch.setattr(transfer_study, "MIN_EPOCHS", 20)
    study.trained("head-first", None, 0.001, 0)
    heads = [weights for weights, _ in begun if "weight" in weights]
    network = begun[len(heads)][0]
    assert not torch.equal(network["fc.weight"], heads[0]["weight"])
    learnt = load_pretrained("sketches").state_dict()
    assert all(torch.equal(network[k], v) for k, v in learnt.items() if "fc" not in k)


def test_a_frozen_body_comes_out_as_it_went_in(study):
    before = {k: v.clone() for k, v in study.backbone.model.state_dict().items()}
    study.trained("frozen", None, 0.05, 0)
    after = study.backbone.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_frozen_norms_keep_their_statistics(study, monkeypatch):
    kept = []
    evaluate = transfer_study.evaluate

    def note(model, loader):
        kept.append({k: v.clone() for k, v in model.state_dict().items()})
        return evaluate(model, loader)

    monkeypatch.setattr(transfer_study, "evaluate", note)
    study.trained("norms-frozen", 4, 0.1, 0)
    learnt = load_pretrained("sketches").state_dict()
    for name, value in learnt.items():
        same = torch.equal(kept[0][name], value)
        if "running" in name:
            assert same, name
        elif "conv" in name:
            assert not same, name


def test_the_search_goes_on_until_the_best_rate_is_inside(study, monkeypatch):
    accuracy = dict(zip(GRID, (0.2, 0.6, 0.9, 0.7, 0.5, 0.4, 0.3, 0.2), strict=True))
    tried = []

    def trained(self, way, per_class, lr, seed):
        tried.append((way, per_class, lr, seed))
        return {"val_accuracy": accuracy[lr] + 0.01 * seed}

    monkeypatch.setattr(Study, "trained", trained)
    assert study.best_rate("scratch") == 0.003  # the first one tried was 0.03
    rates = [0.01, 0.03, 0.1, 0.003, 0.001]
    assert tried == [("scratch", CHOOSING, lr, seed) for lr in rates for seed in SEEDS]
    path = transfer_study.RESULTS / "06_rates-sketches-scratch-sketches.json"
    record = json.loads(path.read_text())
    assert record["lr"] == 0.003
    assert {float(lr): mean(v) for lr, v in record["val_accuracy"].items()} == {
        lr: pytest.approx(accuracy[lr] + 0.01) for lr in rates
    }
    tried.clear()
    assert study.best_rate("scratch") == 0.003
    assert not tried


def test_a_finished_training_is_not_made_again(study, begun):
    first = study.trained("finetuned", 4, 0.01, 0)
    count = len(begun)
    assert study.trained("finetuned", 4, 0.01, 0) == first
    assert len(begun) == count
    other = study.trained("finetuned", 4, 0.01, 1)
    assert len(begun) == 2 * count
    assert other["seed"] == 1


def test_a_head_on_fixed_features_tells_the_classes_apart(study, monkeypatch):
    monkeypatch.setattr(transfer_study, "MIN_EPOCHS", 60)
    result = study.trained("frozen", None, 0.03, 0)
    assert result["test_accuracy"] + result["val_accuracy"] > 1.3  # by chance: 2/3


def test_the_command_line_chooses_the_runs(splits, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "built-in")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(transfer_study, "load_flowers", lambda *a, **o: splits)
    words = "--backbone sketches --ways frozen --per-class 2 all --seeds 0 5"
    main(words.split())
    made = {path.name for path in (tmp_path / "results").iterdir()}
    assert made == {"06_rates-sketches-frozen-sketches.json"} | {
        f"06_study-sketches-frozen-{count}-sketches-seed{seed}.json"
        for count in ("2", "all")
        for seed in (0, 5)
    }
    with pytest.raises(SystemExit):
        main(["--ways", "thawed"])


@pytest.mark.parametrize(
    ("train_size", "epochs"), [(50, 150), (150, 60), (500, 19), (2771, 15), (1, 300)]
)
def test_the_budget_is_epochs_or_steps_whichever_is_more(
    monkeypatch, train_size, epochs
):
    monkeypatch.setattr(transfer_study, "MIN_EPOCHS", 15)
    monkeypatch.setattr(transfer_study, "MIN_STEPS", 300)
    assert num_epochs(train_size) == epochs
