"""New heads on trained networks, what is trained of them, and where they come from."""

import hashlib
import io

import pytest
import torch
import torchvision
from download_server import Mirror, sends, status

from course_utils import models
from course_utils._engine.download import DownloadError
from course_utils.pretrained import backbones, load_pretrained
from course_utils.pretrained.backbones import (
    imagenet_file,
    load_backbone,
    prepare_resnet34,
)
from course_utils.pretrained.transfer import (
    rates_by_depth,
    replace_head,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def small():
    """Return a trained network of ten classes."""
    return load_pretrained("sketches")


def batch(size=4, side=32):
    return torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(0))


def body(model):
    return {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}


# A new head


def test_the_body_keeps_what_it_learnt():
    before = body(small())
    after = body(replace_head(small(), 3))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_new_head_is_untrained_and_where_the_old_one_was():
    model = small().double()
    model.requires_grad_(False)
    assert replace_head(model, 10) is model
    assert not torch.equal(model.fc.weight, small().fc.weight.double())
    assert model.fc.weight.dtype == torch.float64
    assert model.fc.weight.requires_grad
    assert list(dict(model.named_children()))[-1] == "fc"


def test_a_head_for_torchvisions_own_network():
    model = replace_head(torchvision.models.resnet18(), 5).eval()
    with torch.no_grad():
        assert model(batch(side=64)).shape == (4, 5)


def test_a_network_without_a_head_is_refused():
    headless = models.resnet18(include_top=False)
    with pytest.raises(ValueError, match="ResNet has no linear layer fc"):
        replace_head(headless, 5)


# What is trained


@pytest.mark.parametrize(
    ("model", "stages"),
    [
        (small, 5),  # the stem, three stages, the classifier
        (lambda: models.resnet18(num_classes=5), 6),
        (lambda: torchvision.models.resnet18(num_classes=5), 6),
    ],
    ids=["small", "ours", "torchvision's"],
)
def test_rates_by_depth_cover_every_parameter_once_and_grow(model, stages):
    model = model()
    groups = rates_by_depth(model, 0.8, factor=0.5)
    rates = [group["lr"] for group in groups]
    assert rates == [0.8 * 0.5**k for k in range(stages)][::-1]
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters()}
    where = {id(p): name for name, p in model.named_parameters()}
    parts = [{where[id(p)].split(".")[0] for p in g["params"]} for g in groups]
    assert parts[0] == {"conv1", "bn1"}
    assert parts[1:] == [{f"layer{k}"} for k in range(1, stages - 1)] + [{"fc"}]


def test_rates_by_depth_reach_the_optimizer():
    model = small().double()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(rates_by_depth(model, 0.1, factor=0.1), 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    steps = {
        name.split(".")[0]: (old - new).mean().item()
        for old, (name, new) in zip(before, model.named_parameters(), strict=True)
    }
    expected = {"conv1": 1e-5, "bn1": 1e-5, "layer1": 1e-4, "layer2": 1e-3}
    assert steps == pytest.approx(expected | {"layer3": 1e-2, "fc": 0.1})


# Where they come from


@pytest.mark.parametrize("name", ["cifar10", "sketches"])
def test_the_courses_own_backbones(name):
    backbone = load_backbone(name)
    assert "the course's own ResNet-20" in backbone.description
    assert ("sketches" in backbone.description) is (name == "sketches")
    assert not backbone.model.training
    assert len(backbone.mean) == len(backbone.std) == 3
    size = backbone.image_size
    assert backbone.model(batch(side=size)).shape == (4, 10)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """PyTorch's own cache, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def mirror(hub, monkeypatch, tmp_path):
    """Starts a server with a file of our own in place of PyTorch's."""
    running = []

    def start(name, content, *answers):
        running.append(Mirror(*(answers or [sends(content)])))
        file = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1.value
        monkeypatch.setattr(weights, "url", f"http://{running[-1].host}/{file}")
        return running[-1], file

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_OFFLINE")
    yield start
    for one in running:
        one.close()


def test_every_name_is_one_of_torchvisions_and_ours():
    for name in backbones.IMAGENET:
        weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
        file = weights.url.rsplit("/", 1)[1]
        digits = file.removeprefix(f"{name}-").removesuffix(".pth")
        assert len(bytes.fromhex(digits)) == 4
        assert callable(getattr(models, name))


def test_an_unknown_backbone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no backbone 'resnet35'; choose one of cifar"):
        load_backbone("resnet35", tmp_path)


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d"])
def test_torchvisions_own_file_is_downloaded_once(
    mirror, hub, tmp_path, monkeypatch, name
):
    torch.manual_seed(0)
    network, memory = getattr(torchvision.models, name)().eval(), io.BytesIO()
    torch.save(network.state_dict(), memory)
    server, file = mirror(name, memory.getvalue())
    data_dir = tmp_path if name == "resnet18" else None
    place = tmp_path / "imagenet" if data_dir else hub
    assert imagenet_file(name, data_dir) == place / file
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    backbone = load_backbone(name, data_dir)
    assert len(server.ranges) == 1
    assert [path.name for path in place.iterdir()] == [file]
    with torch.no_grad():
        images = batch(1, side=64)
        torch.testing.assert_close(backbone.model(images), network(images))
    assert not backbone.model.training
    assert backbone.image_size == 224
    assert backbone.mean == (0.485, 0.456, 0.406)
    assert backbone.std == (0.229, 0.224, 0.225)
    assert backbone.description == f"torchvision's {name}, trained on ImageNet"
    replace_head(backbone.model, 5)
    assert backbone.model.architecture["num_classes"] == 5


def test_a_file_that_is_empty_or_broke_off_is_mended(mirror, hub, tmp_path, capsys):
    whole = bytes(range(256)) * 40
    server, file = mirror("resnet34", whole)
    path = tmp_path / "imagenet" / file
    path.parent.mkdir()
    path.touch()
    assert prepare_resnet34(tmp_path) == path
    told = "Downloading torchvision's resnet34, trained on ImageNet (83 MiB) from"
    assert told in capsys.readouterr().out
    path.unlink()
    path.with_name(f"{file}.part").write_bytes(whole[:1000])
    prepare_resnet34(tmp_path)
    assert server.ranges == ["bytes=0-", "bytes=1000-"]
    # what lies in PyTorch's own cache is copied
    hub.mkdir(parents=True)
    path.rename(hub / file)
    assert prepare_resnet34(tmp_path) == path
    assert path.read_bytes() == whole
    assert len(server.ranges) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(404), "answered 404"),
        (sends(b"another file"), "wrong checksum"),
        (sends(b"cut off", stop_after=3), "broke off"),
    ],
)
def test_a_failed_download_is_one_sentence(mirror, tmp_path, answer, reason):
    _, file = mirror("resnet18", b"weights", answer)
    with pytest.raises(DownloadError, match=reason) as caught:
        load_backbone("resnet18", tmp_path)
    assert f"put {file} into {tmp_path / 'imagenet'}" in str(caught.value)
    assert not (tmp_path / "imagenet" / file).exists()
