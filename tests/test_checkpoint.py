"""Checkpoints: whole or not there, read without running anything, rebuilt exactly."""

import pickle
import re
import zipfile

import pytest
import torch
from torch import nn

from course_utils.models import (
    BasicBlock,
    Bottleneck,
    ResNet,
    cifar_plain,
    cifar_resnet,
)
from course_utils.pretrained.transfer import replace_head
from course_utils.training import CheckpointError, load_checkpoint
from course_utils.training.checkpoint import load_model, load_weights
from course_utils.training.state import describe, save_checkpoint

NETWORKS = {
    "shortcut A": lambda: cifar_resnet(8, num_classes=3),
    "shortcut B": lambda: cifar_resnet(14, shortcut="B"),
    "plain": lambda: cifar_plain(8),
    "basic, CIFAR stem": lambda: ResNet(BasicBlock, (1, 1, 1, 1), 4, stem="cifar"),
    "ResNeXt, no top": lambda: ResNet(
        Bottleneck, (1, 1, 1, 1), groups=8, width_per_group=4, include_top=False
    ),
}


def save_network(path, model):
    save_checkpoint(path, {"model": model.state_dict(), **describe(model, None)})
    return path


@pytest.fixture
def path(tmp_path):
    """The checkpoint of a small network."""
    return save_network(tmp_path / "best.pt", cifar_resnet(8))


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_load_model_rebuilds_what_was_saved(tmp_path, build):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    model = build()
    model(images)  # the running statistics move
    loaded = load_model(save_network(tmp_path / "model.pt", model))
    assert not loaded.training
    assert loaded.architecture == model.architecture
    with torch.no_grad():
        assert torch.equal(loaded(images), model.eval()(images))


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_a_network_with_another_head_is_rebuilt(tmp_path, build):
    model = build()
    if not hasattr(model, "fc"):
        assert model.architecture["num_classes"] == 1000  # as it was built
        return
    model.fc = nn.Linear(model.fc.in_features, 7)
    assert load_model(save_network(tmp_path / "7.pt", model)).fc.out_features == 7
    replace_head(model, 6)
    assert model.architecture["num_classes"] == 6
    loaded = load_model(save_network(tmp_path / "6.pt", model))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(images), model.eval()(images))


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1000, -1])
def test_a_truncated_file_is_named(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept == 0.5 else kept])
    with pytest.raises(CheckpointError, match=rf"{re.escape(str(path))} is damaged"):
        load_model(path)


def test_a_single_changed_byte_is_noticed(path):
    whole, weights = path.read_bytes(), cifar_resnet(8).state_dict()
    torch.save({"model": weights}, path)
    whole = path.read_bytes()
    middle = whole.index(weights["layer3.0.conv2.weight"].numpy().tobytes())
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary), "w")


def test_a_foreign_file_is_refused_and_never_run(tmp_path):
    path, canary = tmp_path / "foreign.pt", tmp_path / "canary"
    writers = {
        "text": lambda: path.write_text("<html>404</html>"),
        "zip": lambda: zipfile.ZipFile(path, "w").close(),
        "folder of zip": lambda: zipfile.ZipFile(path, "w").writestr("a/b", "c"),
        "whole model": lambda: torch.save(nn.Linear(2, 2), path),
        "trap": lambda: torch.save({"model": Trap(canary)}, path),
        "old trap": lambda: path.write_bytes(
            pickle.dumps({"model": Trap(canary)}, protocol=2)
        ),
    }
    for write in writers.values():
        write()
        with pytest.raises(CheckpointError, match="damaged or is not a checkpoint"):
            load_checkpoint(path)
    assert not canary.exists()
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "nowhere.pt")


def test_a_bare_state_dict_is_told_apart(tmp_path):
    path = tmp_path / "bare.pt"
    for content in (cifar_resnet(8).state_dict(), [1, 2], torch.ones(2)):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=r"no entry 'model'.*bare state dict"):
            load_model(path)


def test_another_network_is_named(path):
    checkpoint = load_checkpoint(path)
    for other in (cifar_resnet(14), nn.Linear(2, 2)):
        with pytest.raises(CheckpointError, match=r"do not fit this network \(Missing"):
            load_weights(other, checkpoint, path)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (None, "does not say which network"),
        ({"family": "VGG", "depth": 16}, "'VGG'; expected CifarResNet or ResNet"),
        ({"family": "CifarResNet", "depth": 9}, "not of one of the course's networks"),
        ({"family": "CifarResNet", "width": 9}, "not of one of the course's networks"),
        ({"family": "ResNet", "block": "eval"}, "not of one of the course's networks"),
        ({"family": "ResNet"}, "not of one of the course's networks"),
        (
            {"family": "CifarResNet", "depth": 8, "num_classes": -1},
            "not of one of the course's networks",
        ),
        (7, "not of one of the course's networks"),
    ],
)
def test_a_description_that_builds_nothing_is_refused(tmp_path, architecture, message):
    checkpoint = {"model": cifar_resnet(8).state_dict(), "architecture": architecture}
    save_checkpoint(tmp_path / "odd.pt", checkpoint)
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "odd.pt")


@pytest.mark.parametrize("weights", [7, {"conv1.weight": 7}, {1: torch.ones(2)}])
def test_weights_that_are_none_are_refused(tmp_path, weights):
    checkpoint = {"model": weights, "architecture": cifar_resnet(8).architecture}
    save_checkpoint(tmp_path / "odd.pt", checkpoint)
    with pytest.raises(CheckpointError, match="do not fit this network"):
        load_model(tmp_path / "odd.pt")


def test_a_failed_save_keeps_the_old_file_and_leaves_no_other(path, monkeypatch):
    before = path.read_bytes()

    def fail_half_way(checkpoint, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail_half_way)
    with pytest.raises(OSError, match=r"best\.pt could not be written \(No space left"):
        save_checkpoint(path, {"model": {}})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["best.pt"]


def test_an_interrupted_save_keeps_the_old_file_too(path, monkeypatch):
    before = path.read_bytes()

    def press_stop(checkpoint, file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", press_stop)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, {"model": {}})
    assert path.read_bytes() == before
    save_checkpoint(path, {"model": {}})  # what the interruption left is in no way
    assert [p.name for p in path.parent.iterdir()] == ["best.pt"]
