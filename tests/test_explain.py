"""What a network looks at, and what is left of it: against captum and by hand."""

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils import models
from course_utils.explain.ablation import (
    block_deleted,
    block_names,
    branch_statistics,
    renormalised,
)
from course_utils.explain.features import (
    feature_maps,
    grad_cam,
    penultimate_features,
    randomised,
)
from course_utils.explain.receptive_field import ReceptiveField, receptive_field

NETWORKS = {
    "residual": lambda: models.cifar_resnet(8, 7),
    "projections": lambda: models.cifar_resnet(8, 7, "B"),
    "plain": lambda: models.cifar_plain(8, 7),
    "basic": lambda: models.ResNet(models.BasicBlock, (1, 1, 1, 1), 7, stem="cifar"),
    "bottleneck": lambda: models.ResNet(models.Bottleneck, (1, 2, 1, 1), 7),
}
EVERY = pytest.mark.parametrize("name", NETWORKS)


def network(name="residual"):
    """Return a network in training mode, its norms as if it had been trained."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.1)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
    return model


def images(count=3, size=16):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, size, size, generator=generator)


def logits(model):
    with torch.no_grad():
        return model.eval()(images())


@pytest.fixture(params=NETWORKS)
def untouched(request):
    """A network with mixed modes; at the end it must be as it was."""
    model = network(request.param)
    model.layer2.eval()
    values = {key: value.clone() for key, value in model.state_dict().items()}
    before = [traces(part) for part in model.modules()]
    yield model
    assert [traces(part) for part in model.modules()] == before
    assert all(torch.equal(v, values[k]) for k, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def traces(part):
    hooks = len(part._forward_hooks) + len(part._forward_pre_hooks)
    hooks += len(part._backward_hooks)
    return type(part), part.training, getattr(part, "inplace", None), hooks


def test_everything_is_left_as_it_was(untouched):
    feature_maps(untouched, images(), ["layer1"])
    penultimate_features(untouched, [(images(), torch.zeros(3, dtype=torch.int64))])
    grad_cam(untouched, images(), "layer2")
    if "Plain" not in type(untouched.layer1[0]).__name__:
        branch_statistics(untouched, images())
    with block_deleted(untouched, block_names(untouched)[0]):
        pass
    randomised(untouched)


def test_everything_is_left_as_it_was_after_an_error(untouched):
    wrong = images()[:, :2]  # two channels
    labels = torch.zeros(3, dtype=torch.int64)
    for call in (
        lambda: feature_maps(untouched, wrong, ["layer1"]),
        lambda: penultimate_features(untouched, [(images(), labels), (wrong, labels)]),
        lambda: grad_cam(untouched, wrong, "layer2"),
    ):
        with pytest.raises(RuntimeError, match="channels"):
            call()
    if "Plain" not in type(untouched.layer1[0]).__name__:
        with pytest.raises(RuntimeError, match="channels"):
            branch_statistics(untouched, wrong)
    with pytest.raises(KeyError), block_deleted(untouched, block_names(untouched)[0]):
        raise KeyError


# Feature maps and features


@EVERY
def test_feature_maps_are_what_the_layers_put_out(name):
    model = network(name)
    block = model.layer1[0]
    found = feature_maps(model, images(), ["conv1", "layer1", "layer1.0", "fc"])
    assert list(found) == ["conv1", "layer1", "layer1.0", "fc"]
    torch.testing.assert_close(found["fc"], logits(model))
    torch.testing.assert_close(found["conv1"], model.conv1(images()).detach())
    assert torch.equal(found["layer1"], found["layer1.0"])  # one block a stage
    assert not found["fc"].requires_grad
    before = feature_maps(model, images(), "layer1.0.bn1")["layer1.0.bn1"]
    assert before.min() < 0  # the ReLU behind it has not overwritten it
    assert block.relu.inplace


def test_a_layer_that_does_not_exist_is_refused_with_near_matches():
    sentence = r"no layer 'layer1.0.bm2' in this .* did you mean layer1.0.bn2"
    with pytest.raises(ValueError, match=sentence):
        feature_maps(network(), images(), ["layer1.0.bm2"])
    with pytest.raises(
        ValueError, match=r"no layer 'features' .*; (try|did you mean) "
    ):
        feature_maps(network(), images(), "features")


@EVERY
def test_the_classifier_makes_logits_of_the_features(name):
    model = network(name)
    loader = DataLoader(TensorDataset(images(), torch.arange(3)), 2)
    features, labels = penultimate_features(model, loader)
    assert features.shape == (3, model.fc.in_features)
    assert labels.tolist() == [0, 1, 2]
    with torch.no_grad():
        torch.testing.assert_close(model.fc(features), logits(model))


def test_features_need_images_and_a_classifier():
    with pytest.raises(ValueError, match="The loader yields no batch"):
        penultimate_features(network(), DataLoader([]))
    headless = models.resnet18(include_top=False)
    batch = (images(), torch.zeros(3))
    with pytest.raises(ValueError, match=r"no classifier fc; .* include_top=True"):
        penultimate_features(headless, [batch])
    with pytest.raises(ValueError, match="no classifier fc"):
        grad_cam(headless, images(), "layer4")


# Grad-CAM


@EVERY
@pytest.mark.parametrize("layer", ["layer3", "layer2.0.bn1", "conv1"])
def test_grad_cam_is_captums(name, layer):
    model = network(name)
    targets = torch.tensor([0, 3, 6])
    found = grad_cam(model, images(), layer, targets)
    model.eval()
    for part in model.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    reference = LayerGradCam(model, model.get_submodule(layer))
    expected = reference.attribute(images(), targets, relu_attributions=True)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected[:, 0].detach())
    assert found.min() >= 0
    assert not found.requires_grad


def test_grad_cam_explains_the_prediction_unless_told_otherwise():
    model = network()
    predicted = logits(model).argmax(1)
    found = grad_cam(model, images(), "layer3")
    assert torch.equal(found, grad_cam(model, images(), "layer3", predicted))
    one = grad_cam(model, images(), "layer3", 2)
    assert torch.equal(one, grad_cam(model, images(), "layer3", torch.full((3,), 2)))
    assert not torch.equal(one, found)


def test_grad_cam_of_frozen_weights_and_without_gradients_outside():
    model = network()
    expected = grad_cam(model, images(), "layer3", 1)
    model.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(grad_cam(model, images(), "layer3", 1), expected)


@pytest.mark.parametrize(
    ("layer", "targets", "error", "sentence"),
    [
        ("fc", 0, ValueError, r"'fc' has shape \(3, 7\), but Grad-CAM needs maps"),
        ("layer5", 0, ValueError, "no layer 'layer5' .* did you mean layer"),
        ("layer3", 7, ValueError, "go from 7 to 7, but the network has 7 classes"),
        ("layer3", [0, 1], RuntimeError, r"tensor \(3\) must match"),
    ],
)
def test_grad_cam_refuses(layer, targets, error, sentence):
    with pytest.raises(error, match=sentence):
        grad_cam(network(), images(), layer, targets)


# Randomised weights


@EVERY
def test_randomised_weights_are_new_ones(name):
    model = network(name)
    twin = randomised(model, seed=1)
    assert type(twin) is type(model)
    for key, weight in twin.named_parameters():
        assert not torch.equal(weight, model.get_parameter(key)), key
    assert torch.equal(randomised(model, seed=1).fc.weight, twin.fc.weight)
    assert not torch.equal(randomised(model, seed=2).fc.weight, twin.fc.weight)


def test_randomised_parts_leave_the_rest_and_the_random_state():
    model = network()
    state = torch.get_rng_state()
    twin = randomised(model, 1, parts=["fc", "layer3"])
    assert torch.equal(torch.get_rng_state(), state)
    changed = {
        key.split(".")[0]
        for key, weight in twin.named_parameters()
        if not torch.equal(weight, model.get_parameter(key))
    }
    assert changed == {"fc", "layer3"}
    with pytest.raises(AttributeError, match="layer9"):
        randomised(model, parts=["layer9"])
    with pytest.raises(ValueError, match="Linear does not say how it was built"):
        randomised(nn.Linear(2, 2))


# Blocks


@pytest.mark.parametrize("name", ["residual", "projections", "basic", "bottleneck"])
def test_branch_statistics_by_hand(name):
    model = network(name)
    found = branch_statistics(model, images())
    assert list(found) == block_names(model)
    model.eval()
    first = model.layer1[0]
    last_norm = first.bn3 if name == "bottleneck" else first.bn2
    with torch.no_grad():
        x = model.relu(model.bn1(model.conv1(images())))
        x = getattr(model, "maxpool", nn.Identity())(x)
        shortcut = x if first.downsample is None else first.downsample(x)
        out = first.relu(first.bn1(first.conv1(x)))
        if name == "bottleneck":
            out = first.relu(first.bn2(first.conv2(out)))
        branch = last_norm((first.conv3 if name == "bottleneck" else first.conv2)(out))
    expected = [t.flatten(1).norm(dim=1).mean().item() for t in (shortcut, branch)]
    assert found["layer1.0"] == pytest.approx(expected, rel=1e-5)
    assert found["layer1.0"].ratio == pytest.approx(expected[1] / expected[0])


def test_branch_statistics_of_a_silent_branch():
    model = network()
    nn.init.zeros_(model.layer2[0].bn2.weight)
    nn.init.zeros_(model.layer2[0].bn2.bias)
    assert branch_statistics(model, images())["layer2.0"].ratio == 0
    with pytest.raises(ValueError, match="no residual block"):
        branch_statistics(network("plain"), images())


@EVERY
def test_a_deleted_block_adds_nothing(name):
    model = network(name)
    whole = logits(model)
    for block_name in block_names(model):
        with block_deleted(model, block_name):
            without = logits(model)
        assert not torch.equal(without, whole)
        assert torch.equal(logits(model), whole)
        if name != "plain":
            twin = network(name)
            block = twin.get_submodule(block_name)
            last_norm = block.bn3 if name == "bottleneck" else block.bn2
            nn.init.zeros_(last_norm.weight)
            nn.init.zeros_(last_norm.bias)
            torch.testing.assert_close(without, logits(twin))


def test_a_deleted_plain_block_is_skipped():
    model = network("plain")
    assert block_names(model) == ["layer1.0"]
    with block_deleted(model, "layer1.0"):
        found = logits(model)
    model.layer1 = nn.Identity()
    assert torch.equal(found, logits(model))
    sentence = "'layer2.0' changes the shape .* choose one of layer1.0"
    with (
        pytest.raises(ValueError, match=sentence),
        block_deleted(network("plain"), "layer2.0"),
    ):
        pass


def test_renormalised_statistics_are_those_of_the_network_as_it_is(untouched):
    batches = [(images(), None), (2 * images(), None)]
    block = block_names(untouched)[0]
    with block_deleted(untouched, block):
        twin = renormalised(untouched, batches)
    assert (twin.training, twin.layer2.training) == (True, False)
    assert isinstance(twin.get_submodule(block), nn.Identity | nn.Sequential)
    with torch.no_grad():
        maps = [untouched.conv1(batch) for batch, _ in batches]
    mean = torch.stack([found.mean((0, 2, 3)) for found in maps]).mean(0)
    torch.testing.assert_close(twin.bn1.running_mean, mean)
    assert twin.bn1.momentum == untouched.bn1.momentum
    assert torch.equal(twin.fc.weight, untouched.fc.weight)


def test_a_block_that_does_not_exist_is_refused():
    sentence = r"no block 'layer1.7' .* did you mean layer1.0"
    deed = block_deleted(network(), "layer1.7")
    with pytest.raises(ValueError, match=sentence), deed:
        pass
    with pytest.raises(ValueError, match="Linear has no block that can be deleted"):
        block_names(nn.Linear(2, 2))


# Receptive fields


def footprint(model, layer, position, size):
    """Return first and last row whose pixels reach a position of a linearised net."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
    if isinstance(getattr(model, "maxpool", None), nn.MaxPool2d):
        model.maxpool = nn.AvgPool2d(3, 2, 1)  # a maximum reaches one pixel only
    block, output = model.get_submodule(layer), {}
    block.register_forward_hook(lambda *found: output.update(maps=found[-1]))
    image = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    model.double().eval()(image)  # untrained norms are the identity here
    output["maps"][0, :, position, position].sum().backward()
    rows = image.grad[0].sum((0, 2)).nonzero()
    return rows.min().item(), rows.max().item()


@pytest.mark.parametrize(
    ("name", "size"), [("residual", 48), ("plain", 48), ("bottleneck", 160)]
)
def test_the_receptive_field_is_the_gradients_footprint(name, size):
    torch.manual_seed(0)
    fields = receptive_field(NETWORKS[name](), size)
    assert list(fields)[:3] == ["stem", "layer1", "layer2"]
    for layer in ("layer1", "layer2", "layer3"):
        middle = fields[layer].positions // 2
        span = fields[layer].span(middle)
        assert span == footprint(NETWORKS[name](), layer, middle, size), layer
        assert 0 < span[0] < span[1] < size - 1  # nothing is cut off at the border


def test_the_receptive_field_by_hand():
    # 7x7 stride 2, then 3x3 stride 2: 7 + 2 * 2 pixels, and 56 positions
    fields = receptive_field(models.resnet18(), 224)
    assert fields["stem"] == ReceptiveField(11, 4, 0.0, 56)
    # each stage adds 2 * stride a convolution, its first at the stride before
    sizes = [11 + 4 * 2 * 4]
    for stride in (4, 8, 16):
        sizes.append(sizes[-1] + 2 * stride + 3 * 2 * 2 * stride)
    assert [field.size for field in fields.values()] == [11, *sizes]
    assert [field.positions for field in fields.values()] == [56, 56, 28, 14, 7]
