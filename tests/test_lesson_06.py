"""Lesson 06: what it writes out is the package's, and its checks judge."""

import ast
import copy
import hashlib
import io
import types
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transfer_study
from lesson_code import definitions
from lesson_files import find_lessons, read_lesson
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import get_model_weights
from torchvision.transforms import v2

from course_utils.data import photos
from course_utils.data.photo_splits import PhotoSplits, split_by_class
from course_utils.models import cifar_resnet, resnet18, resnet34
from course_utils.pretrained import DownloadError, backbones, transfer
from course_utils.results import load_results
from course_utils.training import train_one_epoch

NAME = "06_transfer_learning"
LESSON = definitions(NAME)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def cells(name):
    (lesson,) = (path for path in find_lessons() if path.stem == name)
    return read_lesson(lesson).cells


def to_input():
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]


def some_photo(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = (3, height, width)
    return torch.randint(256, size, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("test", [True, False])
def test_the_lessons_split_is_the_packages(test):
    labels = np.random.default_rng(0).integers(3, size=200)
    ours = LESSON["split_by_class"](labels, seed=5, test=test)
    packaged = split_by_class(labels, seed=5, test=test)
    for a, b in zip(ours, packaged, strict=True):
        assert np.array_equal(a, b)


def test_the_lessons_views_are_the_packages():
    photo = some_photo(90, 70)
    ours = v2.Compose([LESSON["evaluation_steps"](32), *to_input()])
    packaged = photos.evaluation_transform(32, MEAN, STD)
    assert torch.equal(ours(photo), packaged(photo))
    ours = v2.Compose([LESSON["training_steps"](32), *to_input()])
    packaged = photos.training_transform(32, MEAN, STD)
    views = []
    for transform in (ours, packaged):
        torch.manual_seed(1)
        views.append([transform(photo) for _ in range(5)])
    assert all(torch.equal(a, b) for a, b in zip(*views, strict=True))


def test_the_lessons_data_set_is_the_packages():
    images = [some_photo(8, 9 + k, seed=k) for k in range(4)]
    parts = images, np.array([3, 1, 0, 2]), np.array([2, 0]), lambda photo: photo + 1
    ours, packaged = LESSON["PhotoDataset"](*parts), photos.PhotoDataset(*parts)
    assert len(ours) == len(packaged) == 2
    for index in range(2):
        (photo, label), (expected, known) = ours[index], packaged[index]
        assert torch.equal(photo, expected)
        assert label == known


@pytest.mark.parametrize("network", [cifar_resnet(8), resnet18(num_classes=3)])
def test_the_lessons_rates_are_the_packages(network):
    ours = LESSON["rates_by_depth"](network, 0.1)
    packaged = transfer.rates_by_depth(network, 0.1)
    assert [group["lr"] for group in ours] == [group["lr"] for group in packaged]
    for a, b in zip(ours, packaged, strict=True):
        assert set(map(id, a["params"])) == set(map(id, b["params"]))


def test_the_lessons_new_head_is_the_packages():
    models = []
    for replace in (LESSON["replace_head"], transfer.replace_head):
        torch.manual_seed(1)
        models.append(replace(cifar_resnet(8), 4))
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(a, b)
    assert [model.architecture["num_classes"] for model in models] == [4, 4]


@pytest.mark.parametrize("freeze", [LESSON["freeze_norms"], transfer.freeze_norms])
def test_frozen_norms_keep_their_statistics_while_all_else_trains(freeze):
    model = cifar_resnet(8).train()
    assert freeze(model) is model
    before = {name: value.clone() for name, value in model.named_buffers()}
    model(3 * torch.randn(4, 3, 16, 16))
    assert all(torch.equal(before[n], v) for n, v in model.named_buffers())
    assert model.training
    assert model.layer1.training
    assert all(p.requires_grad for p in model.parameters())


def test_the_studys_norms_stay_frozen_in_a_loop_that_calls_train():
    model = cifar_resnet(8, num_classes=5)
    transfer_study.keep_norms_frozen(model)
    before = copy.deepcopy(model.state_dict())
    data = TensorDataset(torch.randn(8, 3, 16, 16), torch.arange(8) % 5)
    train_one_epoch(model, DataLoader(data, 4), torch.optim.SGD(model.parameters()))
    buffers = {name for name, _ in model.named_buffers()}
    moved = {n for n, w in model.state_dict().items() if not torch.equal(w, before[n])}
    assert moved
    assert not moved & buffers
    assert model.training
    assert not model.eval().training


def test_what_moved_is_named():
    before, after = cifar_resnet(8), cifar_resnet(8)
    after.load_state_dict(before.state_dict())
    assert LESSON["moved"](before, after) == []
    after.bn1.running_mean.fill_(3.0)
    assert LESSON["moved"](before, after) == ["bn1.running_mean"]


def test_training_the_head_moves_nothing_else():
    model = cifar_resnet(8, num_classes=5)
    before = copy.deepcopy(model.state_dict())
    data = TensorDataset(torch.randn(12, 3, 16, 16), torch.arange(12) % 5)
    LESSON["train_head"](model, DataLoader(data, 4), 2, 0.01)
    after = model.state_dict()
    moved = {n for n, w in after.items() if not torch.equal(w, before[n])}
    assert moved == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("way", ["scratch", "frozen", "finetuned", "head-first"])
def test_the_lessons_rates_are_those_that_the_study_chose(way):
    (cell,) = (c for c in cells(NAME) if "RATES = {" in c.source)
    (line,) = (x for x in cell.source.splitlines() if x.startswith("RATES = "))
    for run in load_results(f"06_rates-imagenet200-{way}-photos"):
        assert ast.literal_eval(line.removeprefix("RATES = "))[way] == run["lr"]


def test_the_lessons_word_on_few_photos_holds():
    pairs = {}
    for way in ("finetuned", "frozen"):
        for run in load_results(f"06_study-imagenet200-{way}"):
            pairs.setdefault((run["train_size"], run["seed"]), []).append(run)
    assert len(pairs) == 12
    ties = [
        size
        for (size, _), (finetuned, frozen) in pairs.items()
        if finetuned["test_accuracy"] <= frozen["test_accuracy"]
    ]
    assert ties == [50]  # none behind, see below
    for finetuned, frozen in pairs.values():
        assert finetuned["test_accuracy"] >= frozen["test_accuracy"]


def by_way(study, per_class):
    """Return the test accuracies of each way, seed after seed."""
    found = {}
    for run in load_results(f"06_study-{study}"):
        if run["per_class"] == per_class:
            found.setdefault(run["way"], []).append(run["test_accuracy"])
    return found


def ahead(first, second):
    """Return whether the first is ahead with every seed."""
    return all(a > b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("per_class", [30, 100, None])
def test_three_ways_lead_the_frozen_body(per_class):
    found = by_way("imagenet200", per_class)
    for way in ("finetuned", "by-depth", "head-first"):
        assert ahead(found[way], found["frozen"])


def test_with_thirty_photos_the_frozen_body_leads_random_weights():
    found = by_way("imagenet200", 30)
    assert ahead(found["frozen"], found["scratch"])


@pytest.mark.parametrize("per_class", [10, 30, 100])
def test_from_cifar10_the_frozen_body_is_last(per_class):
    found = by_way("cifar10", per_class)
    assert ahead(found["scratch"], found["frozen"])
    assert ahead(found["finetuned"], found["scratch"])


# ImageNet's own weights, from a stand-in file of the right shape


def imagenet_cell():
    (cell,) = (c for c in cells(NAME) if "DOWNLOAD = False" in c.source)
    return cell.source


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A data folder with random weights under the right name and checksum."""
    file = io.BytesIO()
    torch.manual_seed(0)
    torch.save(resnet34().state_dict(), file)
    digits = hashlib.sha256(file.getvalue()).hexdigest()[:8]
    path = tmp_path / "imagenet" / f"resnet34-{digits}.pth"
    path.parent.mkdir()
    path.write_bytes(file.getvalue())
    weights = get_model_weights("resnet34").IMAGENET1K_V1.value
    monkeypatch.setattr(weights, "url", f"https://127.0.0.1:9/{path.name}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return path


def run_imagenet_cell(data_dir):
    """Run the cell with what the lesson has by then, on few and small drawings."""
    drawn = [some_photo(24, 20 + k, seed=k) for k in range(30)]
    labels = np.arange(30) % 2
    splits = PhotoSplits(
        name="drawings",
        source="a test",
        is_photos=False,
        classes=("one", "two"),
        photos=drawn,
        labels=labels,
        split=split_by_class(labels),
    )
    session = SimpleNamespace(data_dir=data_dir, device=torch.device("cpu"))
    known = {"per_class": 3, "session": session, "splits": splits}
    # the lesson's own functions, and those of its names that they look up
    names = LESSON | known | {"RATES": {"frozen": 0.003}}
    names["probe"] = types.FunctionType(LESSON["probe"].__code__, names)
    exec(imagenet_cell(), names)


def test_the_imagenet_cell_runs_on_a_file_of_the_right_shape(stand_in, capsys):
    run_imagenet_cell(stand_in.parents[1])
    said = capsys.readouterr().out
    assert "torchvision's resnet34, trained on ImageNet: " in said
    assert said.strip().endswith("of 2 validation photos right")


@pytest.mark.parametrize("is_there", [True, False])
def test_without_the_file_the_cell_says_so_and_downloads_nothing(
    tmp_path, monkeypatch, capsys, is_there
):
    monkeypatch.setattr(backbones, "download", None)  # to call it is an error
    run_imagenet_cell(tmp_path if is_there else None)
    assert "weights are not there: nothing was computed." in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_under_its_name_are_refused(stand_in):
    torch.save(resnet18().state_dict(), stand_in)
    with pytest.raises(DownloadError, match="or damaged there, and COURSE_OFFLINE"):
        backbones.load_backbone("resnet34", stand_in.parents[1])


def test_an_image_too_small_to_train_on_is_one_sentence_of_pytorchs():
    network = resnet18(num_classes=2)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 32, 32))  # at the end 1 × 1, one image


# typical wrong answers


def without_buffers(model, state_dict):
    own = dict(model.named_parameters())
    buffers = {name for name, _ in model.named_buffers()}
    missing = sorted(own.keys() - state_dict.keys())
    unexpected = sorted(state_dict.keys() - own.keys() - buffers)
    common = own.keys() & state_dict.keys()
    misfits = sorted(n for n in common if own[n].shape != state_dict[n].shape)
    return missing, unexpected, misfits


def parameters_only(model, state_dict):
    own = dict(model.named_parameters())
    missing = sorted(own.keys() - state_dict.keys())
    unexpected = sorted(state_dict.keys() - own.keys())
    common = own.keys() & state_dict.keys()
    misfits = sorted(n for n in common if own[n].shape != state_dict[n].shape)
    return missing, unexpected, misfits


def exchanged(model, state_dict):
    missing, unexpected, misfits = LESSON["loading_report"](model, state_dict)
    return unexpected, missing, misfits


def no_shapes(model, state_dict):
    return (*LESSON["loading_report"](model, state_dict)[:2], [])


def misfits_missing(model, state_dict):
    missing, unexpected, misfits = LESSON["loading_report"](model, state_dict)
    return sorted(missing + misfits), unexpected, misfits


def unsorted(model, state_dict):
    missing, *others = LESSON["loading_report"](model, state_dict)
    return missing[::-1], *others


def loads_it(model, state_dict):
    report = LESSON["loading_report"](model, state_dict)
    fitting = {n: w for n, w in state_dict.items() if n not in report[2]}
    model.load_state_dict(fitting, strict=False)
    return report


def all_names(model, state_dict):
    names = sorted(model.state_dict())
    return names, names, names


def not_stratified(labels, num_folds, seed=0):
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.array_split(order, num_folds)


def not_shuffled(labels, num_folds, seed=0):
    order = np.argsort(labels, kind="stable")
    return [order[k::num_folds] for k in range(num_folds)]


def training_parts(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [np.setdiff1d(np.arange(len(labels)), fold) for fold in folds]


def rounded_down(labels, num_folds, seed=0):
    rng = np.random.default_rng(seed)
    folds = [[] for _ in range(num_folds)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        size = len(members) // num_folds
        for number, fold in enumerate(folds):
            fold.extend(members[number * size : (number + 1) * size].tolist())
    return [np.array(fold) for fold in folds]


def masks(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [np.isin(np.arange(len(labels)), fold) for fold in folds]


def unseeded(labels, num_folds, seed=0):
    return LESSON["stratified_folds"](labels, num_folds, np.random.default_rng())


def one_fold_too_few(labels, num_folds, seed=0):
    return LESSON["stratified_folds"](labels, num_folds - 1, seed)


def as_lists(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [fold.tolist() for fold in folds]


def whole_for_each(labels, num_folds, seed=0):
    return [np.random.default_rng(seed).permutation(len(labels))] * num_folds


def labels_of_photos(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [labels[fold] for fold in folds]


def rest_in_the_last(labels, num_folds, seed=0):
    rng = np.random.default_rng(seed)
    folds = [[] for _ in range(num_folds)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        size = len(members) // num_folds
        for number, fold in enumerate(folds):
            end = (number + 1) * size if number < num_folds - 1 else None
            fold.append(members[number * size : end])
    return [np.concatenate(fold) for fold in folds]


def as_many_numbers(model, state_dict):
    missing, unexpected, _ = LESSON["loading_report"](model, state_dict)
    own = model.state_dict()
    common = sorted(own.keys() & state_dict.keys())
    misfits = [n for n in common if own[n].numel() != state_dict[n].numel()]
    return missing, unexpected, misfits


def no_gradients_only(model, name):
    return LESSON["freeze_before"](model, name).train()


def eval_only(model, name):
    return LESSON["freeze_before"](model, name).requires_grad_(True)


def all_in_eval(model, name):
    return LESSON["freeze_before"](model, name).eval()


def one_part_only(model, name):
    for part_name, part in model.named_children():
        part.requires_grad_(part_name == name)
        part.train(part_name == name)
    return model


def with_the_part_itself(model, name):
    LESSON["freeze_before"](model, name)
    getattr(model, name).requires_grad_(False)
    return model


def in_a_copy(model, name):
    return LESSON["freeze_before"](copy.deepcopy(model), name)


def without_return(model, name):
    LESSON["freeze_before"](model, name)


def always_five(labels, num_folds, seed=0):
    return LESSON["stratified_folds"](labels, 5, seed)


def beyond_the_end(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [fold + len(labels) for fold in folds]


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("loading_report", without_buffers, "state_dict() has both"),
    ("loading_report", exchanged, "are exchanged"),
    ("loading_report", no_shapes, "Misfits has 0 names where 2"),
    ("loading_report", as_many_numbers, "compare each name's shape"),
    ("loading_report", misfits_missing, "the third list only"),
    ("loading_report", unsorted, "not sorted"),
    ("loading_report", loads_it, "no loading"),
    ("loading_report", parameters_only, "state_dict() has both"),
    ("loading_report", all_names, "three empty lists"),
    ("stratified_folds", not_stratified, "each class by itself"),
    ("stratified_folds", whole_for_each, "the first step cuts"),
    ("stratified_folds", labels_of_photos, "not their labels"),
    ("stratified_folds", rest_in_the_last, "as np.array_split makes"),
    ("stratified_folds", always_five, "how many does num_folds"),
    ("stratified_folds", beyond_the_end, "positions among all photos"),
    ("stratified_folds", not_shuffled, "shuffle before you cut"),
    ("stratified_folds", training_parts, "in two folds"),
    ("stratified_folds", rounded_down, "are in no fold"),
    ("stratified_folds", masks, "not a mask"),
    ("stratified_folds", unseeded, "default_rng(seed)"),
    ("stratified_folds", one_fold_too_few, "how many does num_folds"),
    ("stratified_folds", as_lists, "np.concatenate"),
    ("freeze_before", no_gradients_only, "eval() for what stands before"),
    ("freeze_before", eval_only, "still need gradients"),
    ("freeze_before", all_in_eval, "are in eval() mode"),
    ("freeze_before", one_part_only, "need no gradient"),
    ("freeze_before", with_the_part_itself, "need no gradient"),
    ("freeze_before", in_a_copy, "the model that it was given"),
    ("freeze_before", without_return, "end with return"),
]
