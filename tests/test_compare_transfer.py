"""The tool that compares the ways to train, on few images and for few steps."""

import functools
import json

import compare_transfer
import numpy as np
import pytest
import recording
import torch
from compare_transfer import LR, WAYS, compare, main, num_epochs

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


@pytest.fixture
def session(tmp_path):
    return Session(0, torch.device("cpu"), "quick", None, tmp_path / "runs")


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """Two epochs on small images, recorded elsewhere."""
    monkeypatch.setattr(compare_transfer, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(compare_transfer, "MIN_EPOCHS", 2)
    monkeypatch.setattr(compare_transfer, "MIN_STEPS", 2)
    monkeypatch.setattr(backbones, "OWN_IMAGE_SIZE", 16)


def measured(path):
    """Return what was recorded, without the times."""
    result = json.loads(path.read_text())
    del result["minutes"], result["history"]["seconds"]
    return result


@pytest.mark.parametrize("way", WAYS)
def test_each_way_runs_and_is_recorded(way, splits, session):
    path = compare(way, "sketches", splits, 10, 0, session)
    assert path.name == f"06_transfer-sketches-{way}-10-sketches-seed0.json"
    result = measured(path)
    assert result["way"] == way
    assert result["data"] == "flowers, sketches"
    assert (result["per_class"], result["train_size"]) == (10, 30)
    assert result["trained_parameters"] == (HEAD if way == "frozen" else WHOLE)
    assert result["image_size"] == 16
    assert result["epochs"] == len(result["history"]["val_accuracy"]) == 2
    assert result["val_accuracy"] == max(result["history"]["val_accuracy"])
    sixths = round(result["test_accuracy"] * 6)
    assert result["test_accuracy"] == pytest.approx(sixths / 6)


def test_all_images_have_a_name_of_their_own(splits, session):
    path = compare("frozen", "sketches", splits, None, 3, session)
    assert path.name == "06_transfer-sketches-frozen-all-sketches-seed3.json"
    assert measured(path)["train_size"] == 48


@pytest.mark.parametrize("way", ["frozen", "by-depth"])
def test_a_second_call_leaves_the_file(way, splits, session, capsys):
    path = compare(way, "sketches", splits, 4, 0, session)
    before = path.read_bytes(), path.stat().st_mtime_ns
    capsys.readouterr()
    assert compare(way, "sketches", splits, 4, 0, session) == path
    assert capsys.readouterr().out == f"{path.name} is there already\n"
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_head_on_fixed_features_tells_the_classes_apart(splits, session, monkeypatch):
    monkeypatch.setattr(compare_transfer, "MIN_EPOCHS", 40)
    path = compare("frozen", "sketches", splits, None, 0, session)
    assert measured(path)["history"]["train_accuracy"][-1] > 0.8  # by chance: a third


@pytest.fixture
def started(monkeypatch):
    """What each network was when its training began, and its optimiser's rates."""
    seen, train = [], recording.train

    def note(model, *args, optimizer, **options):
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        rates = [group["max_lr"] for group in optimizer.param_groups]
        seen.append((weights, rates))
        return train(model, *args, optimizer=optimizer, **options)

    monkeypatch.setattr(recording, "train", note)
    return seen


@pytest.mark.parametrize("way", ["scratch", "finetuned", "by-depth"])
def test_only_from_scratch_starts_without_what_was_learnt(
    way, splits, session, started
):
    compare(way, "sketches", splits, 4, 0, session)
    ((weights, rates),) = started
    learnt = load_pretrained("sketches").state_dict()
    same = [torch.equal(weights[k], v) for k, v in learnt.items() if "conv" in k]
    assert all(same) if way != "scratch" else not any(same)
    assert weights["fc.weight"].shape == (3, 64)
    steps = range(4, -1, -1) if way == "by-depth" else (0,)
    assert rates == [LR / 2**step for step in steps]


def interrupt_after_one_epoch(history):
    if len(history) == 1:
        raise KeyboardInterrupt


@pytest.mark.parametrize("way", ["scratch", "by-depth"])
def test_an_interrupted_run_goes_on_to_the_same_end(
    way, splits, session, tmp_path, monkeypatch
):
    whole = measured(compare(way, "sketches", splits, 4, 0, session))

    monkeypatch.setattr(compare_transfer, "RESULTS", tmp_path / "results again")
    session = Session(0, session.device, "quick", None, tmp_path / "runs again")
    train = recording.train
    interrupted = functools.partial(train, on_epoch=interrupt_after_one_epoch)
    monkeypatch.setattr(recording, "train", interrupted)
    with pytest.raises(SystemExit, match="nothing recorded; the same command goes on"):
        compare(way, "sketches", splits, 4, 0, session)
    assert not (tmp_path / "results again").exists()
    assert len(list((tmp_path / "runs again").rglob("last.pt"))) == 1

    epochs = []
    noted = functools.partial(train, on_epoch=lambda h: epochs.append(len(h)))
    monkeypatch.setattr(recording, "train", noted)
    again = compare(way, "sketches", splits, 4, 0, session)
    assert epochs == [2]
    assert measured(again) == whole


def test_an_interrupted_head_is_not_recorded(splits, session, tmp_path, monkeypatch):
    train = recording.train
    interrupted = functools.partial(train, on_epoch=interrupt_after_one_epoch)
    monkeypatch.setattr(recording, "train", interrupted)
    with pytest.raises(SystemExit, match="nothing recorded"):
        compare("frozen", "sketches", splits, 4, 0, session)
    assert not (tmp_path / "results").exists()


def test_another_seed_is_another_run(splits, session):
    one, other = (
        measured(compare("finetuned", "sketches", splits, 4, seed, session))
        for seed in (0, 1)
    )
    assert one["history"]["train_loss"] != other["history"]["train_loss"]


def test_the_command_line_chooses_the_runs(splits, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", "built-in")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(compare_transfer, "load_flowers", lambda *a, **o: splits)
    words = "--backbone sketches --ways frozen --per-class 2 all --seeds 0 5"
    main(words.split())
    made = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert made == [
        f"06_transfer-sketches-frozen-{count}-sketches-seed{seed}.json"
        for count in ("2", "all")
        for seed in (0, 5)
    ]
    assert "flowers, random: 48 / 6 / 6 images" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--ways", "thawed"])


@pytest.mark.parametrize(
    ("train_size", "epochs"), [(50, 150), (150, 60), (500, 19), (2771, 15), (1, 300)]
)
def test_the_budget_is_epochs_or_steps_whichever_is_more(
    monkeypatch, train_size, epochs
):
    monkeypatch.setattr(compare_transfer, "MIN_EPOCHS", 15)
    monkeypatch.setattr(compare_transfer, "MIN_STEPS", 300)
    assert num_epochs(train_size) == epochs
