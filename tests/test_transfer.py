"""New heads on trained networks, what is trained of them, and where they come from."""

import hashlib
import io
import shutil

import pytest
import torch
import torch.nn.functional as F
import torchvision
from download_server import Mirror, sends, status
from torch import nn

from course_utils import models
from course_utils._engine.download import DownloadError
from course_utils.models import cifar_resnet
from course_utils.pretrained import backbones, load_pretrained
from course_utils.pretrained.backbones import (
    imagenet_weights,
    load_backbone,
    prepare_resnet34,
)
from course_utils.pretrained.transfer import (
    freeze_backbone,
    load_without_head,
    rates_by_depth,
    replace_head,
)

FILES = {"resnet34": "resnet34-b627a593.pth", "resnet50": "resnet50-0676ba61.pth"}
pytestmark = pytest.mark.usefixtures("one_thread")


def small():
    """Return a trained network of ten classes."""
    return load_pretrained("sketches")


def batch(size=4, side=32):
    return torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(0))


def body(model):
    return {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}


# A new head


def test_both_ways_to_swap_the_head_agree_on_the_body():
    replaced = replace_head(small(), 5).eval()
    loaded = cifar_resnet(20, num_classes=5).eval()
    report = load_without_head(loaded, small().state_dict())
    assert report.missing == ["fc.weight", "fc.bias"]
    assert report.unexpected == []
    one, other = body(replaced), body(loaded)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for model in (replaced, loaded):
        assert model(batch()).shape == (4, 5)
        assert model.architecture["num_classes"] == 5
    loaded.fc = replaced.fc
    assert torch.equal(replaced(batch()), loaded(batch()))


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


def test_torchvisions_names_load_without_their_head():
    theirs = torchvision.models.resnet18().eval()
    ours = models.resnet18(num_classes=5).eval()
    report = load_without_head(ours, theirs.state_dict())
    assert report == (["fc.weight", "fc.bias"], [])
    theirs.fc = ours.fc
    with torch.no_grad():
        torch.testing.assert_close(ours(batch(side=64)), theirs(batch(side=64)))


def test_a_checkpoint_without_a_head_loads_as_well():
    report = load_without_head(cifar_resnet(20, num_classes=5), body(small()))
    assert report == (["fc.weight", "fc.bias"], [])


@pytest.mark.parametrize(
    ("state_dict", "reason"),
    [
        (lambda: cifar_resnet(8).state_dict(), r"\d+ names are missing and 0 are"),
        (lambda: cifar_resnet(32).state_dict(), "0 names are missing and"),
        (lambda: models.resnet18().state_dict(), r"size mismatch for conv1\.weight"),
        (
            lambda: {f"module.{k}": v for k, v in small().state_dict().items()},
            "are unexpected, such as 'conv1.weight'",
        ),
        (dict, "names are missing"),
    ],
    ids=["shallower", "deeper", "wider", "wrapped", "empty"],
)
def test_weights_of_another_network_are_refused(state_dict, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        load_without_head(cifar_resnet(20, num_classes=5), state_dict())
    assert "build the network they came from" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", [lambda m: replace_head(m, 5), freeze_backbone])
def test_a_network_without_a_head_is_refused(use):
    headless = models.resnet18(include_top=False)
    with pytest.raises(ValueError, match="ResNet has no linear layer fc"):
        use(headless)
    assert all(p.requires_grad for p in headless.parameters())


# What is trained


def test_frozen_all_but_the_head_is_left_out_of_training():
    model = replace_head(small(), 5)
    head = freeze_backbone(model)
    assert {id(p) for p in head} == {id(p) for p in model.fc.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert list(map(id, trained)) == list(map(id, head))
    before = body(model)
    before = {key: value.clone() for key, value in before.items()}
    optimizer = torch.optim.SGD(head, 0.1, weight_decay=0.1)
    model.eval()
    old = model.fc.weight.detach().clone()
    F.cross_entropy(model(batch()), torch.arange(4)).backward()
    optimizer.step()
    assert not torch.equal(old, model.fc.weight)
    assert all(torch.equal(before[key], value) for key, value in body(model).items())
    assert model.conv1.weight.grad is None


@pytest.mark.parametrize("training", [True, False])
def test_statistics_of_a_frozen_backbone_drift_in_training_mode_alone(training):
    model = small()
    freeze_backbone(model)
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train(training)
    with torch.no_grad():
        model(3 * batch() + 1)
    moved = [n for n, v in model.named_buffers() if not torch.equal(v, before[n])]
    assert len(moved) == (len(before) if training else 0)


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


def test_rates_by_depth_leave_out_what_is_frozen():
    model = small()
    model.conv1.requires_grad_(False)
    model.bn1.requires_grad_(False)
    model.layer2[0].requires_grad_(False)
    groups = rates_by_depth(model, 1.0)
    assert [group["lr"] for group in groups] == [0.125, 0.25, 0.5, 1.0]
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    freeze_backbone(model)
    (only,) = rates_by_depth(model, 1.0)
    assert list(map(id, only["params"])) == list(map(id, model.fc.parameters()))


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


@pytest.mark.parametrize("factor", [0, -0.5, 1.1])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(ValueError, match=f"factor is {factor}; give a number"):
        rates_by_depth(small(), 0.1, factor)


def test_parts_of_another_network_are_not_left_out_silently():
    model = small()
    model.extra = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"'extra\.weight', which is in none of"):
        rates_by_depth(model, 0.1)


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


@pytest.fixture(scope="module")
def resnet34_file(tmp_path_factory):
    """torchvision's own network with random weights, and its file."""
    torch.manual_seed(0)
    network = torchvision.models.resnet34().eval()
    path = tmp_path_factory.mktemp("weights") / FILES["resnet34"]
    torch.save(network.state_dict(), path)
    return network, path


def test_torchvisions_own_file_loads_by_name(hub, resnet34_file, tmp_path):
    network, path = resnet34_file
    (tmp_path / "imagenet").mkdir()
    shutil.copy(path, tmp_path / "imagenet")
    backbone = load_backbone("resnet34", tmp_path)
    with torch.no_grad():
        images = batch(2, side=64)
        assert torch.equal(backbone.model(images), network(images))
    assert not backbone.model.training
    assert backbone.image_size == 224
    assert backbone.mean == (0.485, 0.456, 0.406)
    assert backbone.std == (0.229, 0.224, 0.225)
    assert backbone.description == "torchvision's resnet34, trained on ImageNet"
    replace_head(backbone.model, 5)
    assert backbone.model.architecture["num_classes"] == 5


def test_a_bottleneck_network_loads_from_pytorchs_own_cache(hub):
    hub.mkdir(parents=True)
    network = torchvision.models.resnet50().eval()
    torch.save(network.state_dict(), hub / FILES["resnet50"])
    backbone = load_backbone("resnet50")
    with torch.no_grad():
        images = batch(1, side=64)
        torch.testing.assert_close(backbone.model(images), network(images))


def test_every_name_is_one_of_torchvisions_and_ours():
    for name in backbones.IMAGENET:
        weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
        assert weights.url.rsplit("/", 1)[1].startswith(f"{name}-")
        assert callable(getattr(models, name))


def test_an_unknown_backbone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no backbone 'resnet35'; choose one of cifar"):
        load_backbone("resnet35", tmp_path)


def test_another_networks_weights_under_the_name_are_refused(hub, tmp_path):
    (tmp_path / "imagenet").mkdir()
    other = torchvision.models.resnet18().state_dict()
    for content in (other, {"model": other}, list(other.values())):
        torch.save(content, tmp_path / "imagenet" / FILES["resnet34"])
        with pytest.raises(ValueError, match="weights of another network") as caught:
            load_backbone("resnet34", tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b[:-1000], lambda b: b"<html></html>", lambda b: b[999:]],
    ids=["empty", "cut off", "web page", "no beginning"],
)
def test_a_damaged_file_is_named(hub, resnet34_file, tmp_path, damage):
    path = tmp_path / "imagenet" / FILES["resnet34"]
    path.parent.mkdir()
    path.write_bytes(damage(resnet34_file[1].read_bytes()))
    message = rf"{path.name} is damaged: delete it"
    with pytest.raises(DownloadError, match=message):
        load_backbone("resnet34", tmp_path)
    with pytest.raises(DownloadError, match=message):
        prepare_resnet34(tmp_path)


@pytest.mark.parametrize("folder", [True, False])
def test_offline_the_sentence_says_where_to_put_the_file(hub, tmp_path, folder):
    place = tmp_path / "imagenet" if folder else hub
    with pytest.raises(
        DownloadError, match=r"resnet34 \(83 MiB\) are not in"
    ) as caught:
        imagenet_weights("resnet34", tmp_path if folder else None)
    assert f"not in {place}, and COURSE_OFFLINE forbids" in str(caught.value)
    assert f"put {FILES['resnet34']} there" in str(caught.value)


# Downloaded


@pytest.fixture
def mirror(hub, monkeypatch):
    """Starts a server with a small file of weights in place of PyTorch's."""
    memory = io.BytesIO()
    torch.save({"weight": torch.arange(3)}, memory)
    content = memory.getvalue()
    checksum = hashlib.sha256(content).hexdigest()[:8]
    weights = torchvision.models.ResNet34_Weights.IMAGENET1K_V1.value
    running = []

    def start(*answers):
        running.append(Mirror(*(answers or [sends(content)])))
        url = f"http://{running[-1].host}/resnet34-{checksum}.pth"
        monkeypatch.setattr(weights, "url", url)
        return running[-1]

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE")
    yield start
    for one in running:
        one.close()


def test_downloaded_once_into_the_data_folder(mirror, tmp_path, capsys):
    good = mirror()
    path = prepare_resnet34(tmp_path)
    assert path.parent == tmp_path / "imagenet"
    assert "Downloading the ImageNet weights of resnet34 (83 MiB)" in (
        capsys.readouterr().out
    )
    assert prepare_resnet34(tmp_path) == path
    weights = imagenet_weights("resnet34", tmp_path)
    assert weights["weight"].tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]
    assert len(good.ranges) == 1


def test_weights_in_pytorchs_own_cache_are_copied(mirror, hub, tmp_path):
    good = mirror()
    imagenet_weights("resnet34")
    (kept,) = hub.iterdir()
    path = prepare_resnet34(tmp_path)
    assert path.parent == tmp_path / "imagenet"
    assert path.read_bytes() == kept.read_bytes()
    assert len(good.ranges) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(404), "could not be downloaded"),
        (sends(b"another file"), "invalid hash value"),
        (sends(b"cut off", stop_after=3), "invalid hash value"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(
    mirror, tmp_path, answer, reason
):
    mirror(answer)
    with pytest.raises(DownloadError, match=reason) as caught:
        load_backbone("resnet34", tmp_path)
    assert "start from the course's own weights" in str(caught.value)
    assert list((tmp_path / "imagenet").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(mirror, tmp_path):
    mirror()
    (tmp_path / "imagenet").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be saved in"):
        load_backbone("resnet34", tmp_path)
