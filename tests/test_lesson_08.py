"""Lesson 08: its training is the patients', its questions tell, its checks judge."""

import copy
import inspect
import re
from dataclasses import replace
from types import SimpleNamespace

import jupytext
import numpy as np
import pytest
import torch
from lesson_code import LESSONS, definitions
from small_faults import small_splits
from torch import nn

from course_classroom import faults
from course_classroom.checks import lesson_08 as check
from course_utils.data.arrays import LabelledImages
from course_utils.models import cifar_resnet

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "08_debugging"
LESSON = definitions(NAME)
RIGHT = faults.answers()
CPU = torch.device("cpu")
SPLITS = small_splits()
many = np.argsort(np.tile(SPLITS.val.labels, 3), kind="stable")  # three batches, sorted
SPLITS = replace(
    SPLITS,
    val=LabelledImages(
        np.tile(SPLITS.val.images, (3, 1, 1, 1))[many],
        np.tile(SPLITS.val.labels, 3)[many],
    ),
)


@pytest.fixture
def lesson(monkeypatch):
    """Return the lesson's functions, with the small data set in place of its own."""
    monkeypatch.setitem(LESSON, "few", SPLITS)
    monkeypatch.setitem(LESSON, "session", SimpleNamespace(device=CPU))
    order = np.random.default_rng(1).permutation(len(SPLITS.val.labels))
    mixed = LabelledImages(*(part[order] for part in SPLITS.val))
    monkeypatch.setitem(LESSON, "mixed", mixed)
    monkeypatch.setitem(LESSON, "strangers", SPLITS.test)
    healthy = LESSON["train"](LESSON["start_run"](2))
    monkeypatch.setitem(LESSON, "healthy", healthy)
    return LESSON


def patient(fault, num_epochs=2):
    letter = next(letter for letter, name in RIGHT.items() if name == fault)
    return faults.patient(letter, SPLITS, CPU, num_epochs)


def test_the_training_that_is_printed_is_the_one_the_patients_depart_from(lesson):
    theirs = faults.train(faults.start_run(SPLITS, CPU, 2))
    ours = lesson["healthy"]
    assert torch.equal(faults.weights_of(ours.model), faults.weights_of(theirs.model))
    assert ours.history.keys() == theirs.history.keys()
    for name in ours.history:
        assert ours.history[name] == pytest.approx(theirs.history[name])


def test_two_ways_to_judge_wrongly_are_those_of_two_patients(lesson):
    for fault, judge in (
        ("eval() missing", "predict_without_eval"),
        ("wrong statistics", "predict_unnormalised"),
    ):
        run = patient(fault)
        own = lesson["train"](lesson["start_run"](2), lesson[judge])
        assert own.history["val_loss"] == pytest.approx(run.history["val_loss"])


def test_each_question_tells_its_fault_from_the_healthy_run(lesson):
    def asked(question, fault=None):
        run = patient(fault) if fault else lesson["healthy"]
        return lesson[question](run)

    for fault in (None, "wrong statistics", "eval() missing"):
        run = patient(fault, num_epochs=8) if fault else lesson["healthy"]
        gain = lesson["in_another_order"](run)[0] - lesson["ends"](run)[1]
        assert (abs(gain) > 0.1) == (fault == "eval() missing")
    raw = SPLITS.val.images.mean() / 255
    assert asked("pixels", "wrong statistics") == pytest.approx([raw])
    assert abs(asked("pixels")[0] - raw) > 0.1
    assert asked("steps", "rate too high")[0] == pytest.approx(10 * asked("steps")[0])
    assert asked("steps", "scheduler never stepped")[:2] == pytest.approx([0.004] * 2)
    assert asked("branches")[0] > 0.1
    assert asked("branches", "ReLU before the addition") == [0]


@pytest.mark.parametrize("shift", [0, 1])
def test_labels_are_read_by_the_healthy_network(shift, lesson, monkeypatch):
    trusted = SimpleNamespace(model=nn.Linear(10, 10))
    nn.init.eye_(trusted.model.weight)
    monkeypatch.setitem(LESSON, "healthy", trusted)
    told = torch.arange(10)
    batches = [(20 * torch.eye(10), told.roll(shift))] * 6
    run = SimpleNamespace(train_loader=batches)
    assert lesson["labels_agreed"](run) == [1 - shift]


def test_one_batch_is_learned_by_heart_and_the_model_stays(lesson):
    torch.manual_seed(0)
    model = cifar_resnet(8).eval()
    before = faults.weights_of(model)
    images, labels = torch.randn(20, 3, 8, 8), torch.arange(20) % 10
    assert lesson["overfit_one_batch"](model, images, labels) < 0.02
    blind = lesson["overfit_one_batch"](model, 0 * images, labels)
    assert np.log(10) - 1e-4 < blind < 3
    assert torch.equal(faults.weights_of(model), before)
    assert not model.training
    frozen = copy.deepcopy(model).requires_grad_(False)
    frozen.fc.requires_grad_(True)
    assert lesson["overfit_one_batch"](frozen, images, labels) > 0.05  # quiz 4
    soft = nn.Sequential(model, nn.Softmax(dim=1))
    assert lesson["overfit_one_batch"](soft, images, labels) > np.log(np.e + 9) - 1


CELLS = jupytext.read(LESSONS / f"{NAME}.py", fmt="py:percent").cells
FOLDS = {
    letter: text
    for cell in CELLS
    for letter, text in re.findall(
        r"<summary>([A-H])</summary>\n\n(.*?)</details>", cell.source, re.DOTALL
    )
}


@pytest.mark.parametrize("letter", RIGHT)
def test_a_fold_names_the_fault_and_its_lines(letter):
    fault, text = RIGHT[letter], FOLDS[letter]
    title = re.search(r"\*\*(.+?)\.\*\*", text)[1]
    assert title.lower() == fault.lower()
    sick = inspect.getsource(faults.CULPRITS[fault])
    diff = re.search(r"```diff\n(.*?)```", text, re.DOTALL)[1]
    lines = " ".join(sick.split())
    for line in diff.splitlines():
        if line.startswith("-"):
            assert line[1:].strip() in lines
        if line.startswith("+"):
            assert line[1:].strip() not in lines


def test_no_answer_stands_above_stop_here():
    sources = [cell.source for cell in CELLS]
    stop = next(k for k, text in enumerate(sources) if "**Stop here**" in text)
    solution = next(k for k, text in enumerate(sources) if "faults.answers()" in text)
    assert solution > stop
    below = "\n".join(sources[: stop + 1])
    assert not any(f"<summary>{letter}</summary>" in below for letter in RIGHT)
    tells = [k for k, text in enumerate(sources) if '"A": "' in text]
    assert not tells  # the solution asks the module


def test_the_diagnosis_is_counted_and_answered_with_one_question(capsys):
    half = {key: RIGHT[key] for key in "ABCD"}
    half |= dict(zip("EFGH", [RIGHT[key] for key in "FGHE"], strict=True))
    assert not check.diagnosis(half)
    said = capsys.readouterr().out
    assert "4 of 8" in said
    assert said.count("ask run") == 1
    assert "healthy runs" in said
    assert not any(fault in said for fault in faults.FAULTS)


def test_the_row_that_tells_a_fault_is_one_of_the_lesson():
    rows = next(cell.source for cell in CELLS if "ROWS = [" in cell.source)
    assert check.TELLS.keys() == set(faults.FAULTS)
    assert all(f'("{row}", ' in rows for row in check.TELLS.values())


def swapped(one, other):
    """Return the right diagnosis with two faults exchanged."""
    exchange = {one: other, other: one}
    return {key: exchange.get(fault, fault) for key, fault in RIGHT.items()}


def test_a_diagnosis_may_begin_with_a_capital():
    assert check.diagnosis({key: fault.capitalize() for key, fault in RIGHT.items()})


def position_in_first(first, second):
    known = {image.tobytes(): k for k, image in enumerate(first)}
    return [known[i.tobytes()] for i in second if i.tobytes() in known]


def through_first(first, second):
    known = {image.tobytes() for image in first}
    return [k for k, image in enumerate(first) if image.tobytes() in known]


def pair_by_pair(first, second):
    return [k for k, (a, b) in enumerate(zip(first, second)) if (a == b).all()]  # noqa: B905


def by_sum(first, second):
    known = {int(image.sum()) for image in first}
    return [k for k, image in enumerate(second) if int(image.sum()) in known]


def nearly(first, second):
    distance = np.abs(first[None].astype(int) - second[:, None]).mean((2, 3, 4))
    return np.flatnonzero(distance.min(1) < 3).tolist()


def once(first, second):
    unique = {image.tobytes(): k for k, image in reversed(list(enumerate(second)))}
    return sorted(unique[i.tobytes()] for i in first if i.tobytes() in unique)


def backwards(first, second):
    return LESSON["shared_images"](first, second)[::-1]


def flags(first, second):
    known = {image.tobytes() for image in first}
    return [image.tobytes() in known for image in second]


def by_sign(model, images):
    double = LESSON["copy"].deepcopy(model)
    double(images)
    after = dict(double.named_buffers())
    return [name for name, b in model.named_buffers() if b != after[name]]


def every_buffer(model, images):
    double = LESSON["copy"].deepcopy(model)
    double(images)
    return list(dict(double.named_buffers()))


def of_itself(model, images):
    before = dict(model.named_buffers())
    model(images)
    return [n for n, now in model.named_buffers() if not torch.equal(now, before[n])]


def in_train(model, images):
    return LESSON["moved_buffers"](LESSON["copy"].deepcopy(model).train(), images)


def never_cloned(model, images):
    double = LESSON["copy"].deepcopy(model)
    before = dict(double.named_buffers())
    double(images)
    return [n for n, now in double.named_buffers() if not torch.equal(now, before[n])]


def nothing_passed(model, images):
    after = dict(LESSON["copy"].deepcopy(model).named_buffers())
    before = model.named_buffers()
    return [name for name, b in before if not torch.equal(b, after[name])]


def layers(model, images):
    found = LESSON["moved_buffers"](model, images)
    return sorted({name.rpartition(".")[0] for name in found})


def of_layers_in_train(model, images):
    """Name the right buffers, though nothing has moved."""
    return [
        f"{name}.{buffer}"
        for name, part in model.named_modules()
        for buffer, _ in part.named_buffers(recurse=False)
        if part.training
    ]


def by_flag(model, images):
    LESSON["copy"].deepcopy(model)(images)
    return [
        f"{name}.{buffer}"
        for name, part in model.named_modules()
        for buffer, _ in part.named_buffers(recurse=False)
        if part.training or name == "bn1"
    ]


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("shared_images", position_in_first, "20 is no position in the second set"),
    ("shared_images", through_first, "go through `second`"),
    ("shared_images", pair_by_pair, "not pair by pair"),
    ("shared_images", by_sum, "same pixels at other places"),
    ("shared_images", nearly, "differ in one value"),
    ("shared_images", once, "was found once"),
    ("shared_images", flags, "give the positions"),
    ("shared_images", backwards, "ascending order"),
    ("diagnosis", dict.fromkeys(RIGHT, "eval() missing"), "1 of 8 are right"),
    ("diagnosis", RIGHT | {"A": "overfitting"}, "no fault 'overfitting'"),
    ("diagnosis", RIGHT | {"I": "rate too high"}, "no run I"),
    ("diagnosis", RIGHT | {"B": None}, "7 of 8 are right, and run B has no name yet"),
    ("diagnosis", swapped("eval() missing", "wrong statistics"), "6 of 8 are right"),
    (
        "diagnosis",
        swapped("labels shuffled", "rate too high"),
        "its row 'labels agreed'",
    ),
    ("moved_buffers", of_itself, "ask a copy"),
    ("moved_buffers", in_train, "neither train() nor eval()"),
    ("moved_buffers", every_buffer, "keep only names"),
    ("moved_buffers", by_sign, "torch.equal"),
    ("moved_buffers", never_cloned, "changes in place"),
    ("moved_buffers", nothing_passed, "first double(images)"),
    ("moved_buffers", of_layers_in_train, "No image has passed"),
    ("moved_buffers", layers, "named_buffers() gives"),
    ("moved_buffers", by_flag, "modes that you find"),
]


def test_a_leak_is_found_by_the_first_exercise():
    leaked = patient("test images leaked").train_loader.dataset.tensors[0].numpy()
    loader = faults.make_loader(SPLITS.test, SPLITS.mean, SPLITS.std)
    tested = loader.dataset.tensors[0].numpy()
    assert LESSON["shared_images"](leaked, tested) == list(range(len(tested)))
    assert LESSON["shared_images"](tested[:5], tested[5:]) == []
