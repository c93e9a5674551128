"""Lesson 07: what it writes out is right, and its checks judge."""

from types import SimpleNamespace

import jupytext
import numpy as np
import pytest
import torch
from lesson_code import LESSONS, definitions
from sklearn.metrics import roc_auc_score

from course_utils.data.images import sample_photos
from course_utils.data.photo_splits import PhotoSplits, Split
from course_utils.data.photos import PackedPhotos, evaluation_transform, pack
from course_utils.models import cifar_resnet
from course_utils.pretrained import own_or_shipped
from course_utils.session import Session
from course_utils.training.state import save_checkpoint

NAME = "07_prediction"
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
LESSON = definitions(NAME)


@pytest.fixture
def images():
    """Some photos, uint8 (3, H, W), that are not square."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (35, 3, 24, 30), np.uint8)
    return list(torch.from_numpy(pixels))


@pytest.fixture
def lesson(monkeypatch):
    """What the lesson's functions find in the notebook."""
    monkeypatch.setitem(LESSON, "session", SimpleNamespace(device=torch.device("cpu")))
    return LESSON


def test_outputs_do_not_depend_on_the_batch(lesson, images, one_thread):
    torch.manual_seed(0)
    model, transform = cifar_resnet(8).eval(), evaluation_transform(16, MEAN, STD)
    with torch.no_grad():
        alone = torch.cat([model(transform(one)[None]) for one in images])
    found = lesson["outputs_of"](model, images, transform, 8)
    assert torch.allclose(found, alone, atol=1e-5)


def test_doubt_sees_differences_and_energy_sees_heights():
    logits = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, -1.0], [103.0, 100.0, 99.0]])
    logits = logits.double()
    e = np.exp([3.0, 0.0, -1.0])
    doubt, energy = LESSON["doubt"](logits), LESSON["energy"](logits)
    assert doubt.numpy() == pytest.approx([2 / 3, *[1 - e[0] / e.sum()] * 2])
    low = -np.log(e.sum())
    assert energy.numpy() == pytest.approx([-np.log(3), low, low - 100])
    said = LESSON["energy"](torch.tensor([[4.0, 1.0, 0.0]])).item()
    assert said == pytest.approx(-4.07, abs=0.005)  # as the text has it


def test_auroc_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(80, generator=generator)
    strange = 0.7 + torch.randn(50, generator=generator)
    labels, scores = [0] * 80 + [1] * 50, torch.cat([known, strange])
    expected = roc_auc_score(labels, scores)
    assert LESSON["auroc"](known, strange) == pytest.approx(expected)


def test_fpr95_counts_strangers_that_are_answered():
    known = torch.linspace(0, 1, 101)  # the threshold is 0.95
    assert LESSON["fpr95"](known, torch.tensor([0.2, 0.9, 0.96, 2.0])) == 0.5


def flowers(source="built-in sketches"):
    """Return a data set of two classes and no use."""
    pixels, shapes = pack([np.zeros((4, 4, 3), np.uint8)])
    one = np.zeros(1, np.int64)
    return PhotoSplits(
        "flowers",
        source,
        source != "built-in sketches",
        ("daisy", "roses"),
        PackedPhotos(pixels, shapes),
        one,
        Split(one, one, one),
    )


def session_at(folder):
    return Session(0, torch.device("cpu"), "quick", None, folder)


def trained_on(splits, folder):
    """Write a checkpoint as lesson 06 leaves it, trained on `splits`."""
    path = folder / "06_transfer_learning" / "best.pt"
    info = splits.info(64, MEAN, STD)
    save_checkpoint(path, {"model": {}, "data": info, "val_accuracy": 0.75})
    return path


def test_the_readers_network_is_taken_where_it_fits(tmp_path, capsys):
    own = trained_on(flowers(), tmp_path)
    assert own_or_shipped(session_at(tmp_path), flowers()) == own
    output = capsys.readouterr().out
    assert "your own" in output
    assert "75.0%" in output
    assert str(tmp_path) not in output  # a notebook shows no path of the machine


@pytest.mark.parametrize(
    ("source", "shipped"),
    [("built-in sketches", "flower-sketches"), ("photos from folders", "flowers")],
)
def test_else_what_ships_for_the_data_in_use(tmp_path, capsys, source, shipped):
    assert own_or_shipped(session_at(tmp_path), flowers(source)) == shipped
    assert "not " not in capsys.readouterr().out
    trained_on(flowers("something else"), tmp_path)
    assert own_or_shipped(session_at(tmp_path), flowers(source)) == shipped
    output = capsys.readouterr().out
    assert "trained on other data" in output
    assert repr(shipped) in output


def test_a_network_of_other_classes_is_passed_over(tmp_path, capsys):
    theirs = flowers()
    object.__setattr__(theirs, "classes", ("daisy", "tulips"))
    trained_on(theirs, tmp_path)
    assert own_or_shipped(session_at(tmp_path), flowers()) == "flower-sketches"
    assert "trained on other data" in capsys.readouterr().out


def test_uploads_are_named_by_the_network_of_photos(lesson, capsys):
    cells = jupytext.read(LESSONS / f"{NAME}.py", fmt="py:percent").cells
    content = sample_photos()["flower"].read_bytes()
    photo = {"name": "mine.jpg", "content": memoryview(content)}
    scope = {**lesson, "upload": SimpleNamespace(value=(photo,))}  # no `predictor`
    for goal in ("# Name a photo from the web", "# Name what was uploaded"):
        (code,) = (cell.source for cell in cells if cell.source.startswith(goal))
        exec(code, scope)
    _, name, *classes, last = capsys.readouterr().out.splitlines()
    assert name == "mine.jpg"
    assert [line.split()[0] for line in classes] == ["class:"] * 5
    assert last == "1 photos uploaded, named by the pretrained 'flowers'"


def best_last(probabilities, class_indices, k):
    return LESSON["top_names"](probabilities, class_indices, k)[::-1]


def keys_as_numbers(probabilities, class_indices, k):
    values, indices = probabilities.topk(k)
    return [(class_indices[i.item()], v.item()) for v, i in zip(values, indices)]  # noqa: B905


def by_place(probabilities, class_indices, k):
    names = list(class_indices.values())
    values, indices = probabilities.topk(k)
    return [(names[i], v.item()) for v, i in zip(values, indices)]  # noqa: B905


def all_of_them(probabilities, class_indices, k):
    return LESSON["top_names"](probabilities, class_indices, len(class_indices))


def least_probable(probabilities, class_indices, k):
    values, indices = probabilities.topk(k, largest=False)
    pairs = zip(indices.tolist(), values.tolist(), strict=True)
    return [(class_indices[str(i)], v) for i, v in pairs]


def softmax_again(probabilities, class_indices, k):
    return LESSON["top_names"](probabilities.softmax(0), class_indices, k)


def names_alone(probabilities, class_indices, k):
    return [name for name, _ in LESSON["top_names"](probabilities, class_indices, k)]


def value_first(probabilities, class_indices, k):
    return [pair[::-1] for pair in LESSON["top_names"](probabilities, class_indices, k)]


def tensors_as_values(probabilities, class_indices, k):
    pairs = LESSON["top_names"](probabilities, class_indices, k)
    return [(name, torch.tensor(value)) for name, value in pairs]


def energy_of(logits):
    return -logits.logsumexp(1)


def answered(val_logits, logits, keep):
    return ~LESSON["refused_by_energy"](val_logits, logits, keep)


def other_end(val_logits, logits, keep):
    return energy_of(logits) > energy_of(val_logits).quantile(1 - keep)


def without_the_sign(val_logits, logits, keep):
    return logits.logsumexp(1) > val_logits.logsumexp(1).quantile(keep)


def on_the_others(val_logits, logits, keep):
    return energy_of(logits) > energy_of(logits).quantile(keep)


def by_confidence(val_logits, logits, keep):
    unsure = [1 - z.softmax(1).max(1).values for z in (val_logits, logits)]
    return unsure[1] > unsure[0].quantile(keep)


def by_the_largest_logit(val_logits, logits, keep):
    return -logits.max(1).values > (-val_logits.max(1).values).quantile(keep)


def at_the_threshold_too(val_logits, logits, keep):
    return energy_of(logits) >= energy_of(val_logits).quantile(keep)


def always_at_95(val_logits, logits, keep):
    return LESSON["refused_by_energy"](val_logits, logits, 0.95)


def above_the_share(val_logits, logits, keep):
    return energy_of(logits) > keep


def one_for_all(val_logits, logits, keep):
    return LESSON["refused_by_energy"](val_logits, logits, keep).any()


def two_views(model, images, *, axis=3, eval_first=True):
    if eval_first:
        model.eval()
    with torch.no_grad():
        return [model(images).softmax(1), model(images.flip(axis)).softmax(1)]


def in_train_mode(model, images):
    return sum(two_views(model, images, eval_first=False)) / 2


def upside_down(model, images):
    return sum(two_views(model, images, axis=2)) / 2


def batch_reversed(model, images):
    return sum(two_views(model, images, axis=0)) / 2


def colours_swapped(model, images):
    return sum(two_views(model, images, axis=1)) / 2


def summed(model, images):
    return sum(two_views(model, images))


def mirror_alone(model, images):
    return two_views(model, images)[1]


def twice(model, images):
    return (sum(two_views(model, images)) / 2).softmax(1)


def mean_of_logits(model, images):
    model.eval()
    with torch.no_grad():
        logits = (model(images) + model(images.flip(3))) / 2
    return logits.softmax(1)


def no_softmax(model, images):
    model.eval()
    with torch.no_grad():
        return (model(images) + model(images.flip(3))) / 2


def with_gradient(model, images):
    model.eval()
    return (model(images).softmax(1) + model(images.flip(3)).softmax(1)) / 2


def as_numbers(val_logits, logits, keep):
    return LESSON["refused_by_energy"](val_logits, logits, keep).float()


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("top_names", keys_as_numbers, "'2' and not 2"),
    ("top_names", by_place, "by their place in the file"),
    ("top_names", best_last, "highest probability first"),
    ("top_names", all_of_them, "only the best k"),
    ("top_names", least_probable, "which indices"),
    ("top_names", softmax_again, "need no softmax"),
    ("top_names", names_alone, "the docstring"),
    ("top_names", value_first, "first the name"),
    ("top_names", tensors_as_values, "tolist() or item()"),
    ("refused_by_energy", as_numbers, "refused, or not?"),
    ("refused_by_energy", answered, "True stands for refused"),
    ("refused_by_energy", other_end, "share of 1 - keep"),
    ("refused_by_energy", without_the_sign, "minus the logsumexp"),
    ("refused_by_energy", on_the_others, "chosen on validation"),
    ("refused_by_energy", by_confidence, "not the energy"),
    ("refused_by_energy", by_the_largest_logit, "sums over all logits"),
    ("refused_by_energy", at_the_threshold_too, "not on it"),
    ("refused_by_energy", always_at_95, "which threshold was used"),
    ("refused_by_energy", above_the_share, "keep is a share"),
    ("refused_by_energy", one_for_all, "one answer a row"),
    ("mirrored_too", in_train_mode, "running statistics have changed"),
    ("mirrored_too", upside_down, "the last axis"),
    ("mirrored_too", batch_reversed, "axis 0 counts the images"),
    ("mirrored_too", colours_swapped, "axis 1 is colour"),
    ("mirrored_too", summed, "the mean of two"),
    ("mirrored_too", mirror_alone, "the mean of both"),
    ("mirrored_too", twice, "once is enough"),
    ("mirrored_too", mean_of_logits, "softmax each view first"),
    ("mirrored_too", no_softmax, "not probabilities"),
    ("mirrored_too", with_gradient, "torch.no_grad()"),
]


def test_a_view_of_its_own_mirror_image_changes_nothing():
    torch.manual_seed(0)
    model = cifar_resnet(8).eval()
    images = torch.randn(2, 3, 16, 8)
    images = torch.cat([images, images.flip(3)], dim=3)  # each its own mirror image
    with torch.no_grad():
        once = model(images).softmax(1)
    assert torch.allclose(LESSON["mirrored_too"](model, images), once, atol=1e-6)
