"""Lesson 08: what it examines alarms where it should, and its checks judge."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lesson_code import definitions
from small_faults import small_splits
from torch import nn

from course_classroom import faults
from course_classroom.checks import lesson_08 as check
from course_utils.models import cifar_resnet
from course_utils.training import History

NAME = "08_debugging"
LESSON = definitions(NAME)
RIGHT = faults.answers()


def run_with(**parts):
    """Return what an examination finds in a run, as far as it looks."""
    return SimpleNamespace(**parts)


def test_other_learning_rates_than_the_reference_alarm(monkeypatch):
    healthy = run_with(history=History(lr=[0.01, 0.2, 0.05]))
    monkeypatch.setitem(LESSON, "runs", {"reference": healthy})
    monkeypatch.setitem(LESSON, "heads", [])
    assert not LESSON["learning_rates"]("A", healthy)[1]
    flat = run_with(history=History(lr=[0.01, 0.01, 0.01]))
    text, alarming = LESSON["learning_rates"]("A", flat)
    assert alarming
    assert text == "0.01 first, 0.01 highest, 0.01 last"


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_labels_are_read_by_a_trusted_network(share, monkeypatch):
    trusted = SimpleNamespace(model=nn.Identity())
    monkeypatch.setitem(LESSON, "runs", {"reference": trusted})
    monkeypatch.setitem(LESSON, "heads", [])
    told = torch.arange(10)
    logits = nn.functional.one_hot(told, 10).float()
    loader = [(logits, told if share else told.roll(1))] * 6
    run = run_with(training_loader=lambda: loader)
    text, alarming = LESSON["labels_read"]("A", run)
    assert text == f"{share:.0%} agreed"
    assert bool(alarming) == (share == 0)


@pytest.mark.parametrize(
    ("shift", "factor", "alarming"),
    [(0, 1, False), (0.1, 1.1, False), (0.5, 1, True), (0, 0.25, True), (0, 2, True)],
)
def test_what_arrives_compares_mean_and_spread(shift, factor, alarming):
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    run = run_with(
        training_loader=lambda: [(images, None)],
        evaluation_loader=lambda pair: [(factor * images + shift, None)],
        splits=SimpleNamespace(val=None),
    )
    assert LESSON["what_arrives"]("A", run)[1] == alarming


@pytest.mark.parametrize("relu", [False, True])
def test_numbers_lowered_sees_a_branch_that_cannot_subtract(relu, monkeypatch):
    torch.manual_seed(0)
    model = cifar_resnet(8).eval()
    if relu:
        for block in model.modules():
            if hasattr(block, "bn2"):
                block.bn2 = nn.Sequential(block.bn2, nn.ReLU())
    images = torch.randn(4, 3, 8, 8)
    run = run_with(
        model=model,
        predict=lambda pair: model(images),
        splits=SimpleNamespace(val=(np.zeros(4), np.zeros(4))),
    )
    monkeypatch.setitem(LESSON, "LabelledImages", lambda *parts: parts)
    text, alarming = LESSON["numbers_lowered"]("A", run)
    assert alarming == relu
    assert ("at least 0%" in text) == relu


def test_changed_lines_show_the_fault_and_its_cure():
    lines = {fault: LESSON["changed_lines"](fault) for fault in faults.FAULTS}
    assert lines["rate too high"] == ["-highest_rate = 2.0", "+highest_rate = 0.2"]
    assert any(
        line.startswith("+") and "in_mode" in line for line in lines["eval() missing"]
    )
    assert any(
        line.startswith("-") and "permutation" in line
        for line in lines["labels shuffled"]
    )
    for changed in lines.values():
        assert {line[0] for line in changed} <= {"-", "+"}
        assert changed


def test_the_diagnosis_is_counted_and_answered_with_one_question(capsys):
    half = dict.fromkeys(RIGHT) | {key: RIGHT[key] for key in "ABCD"}
    assert not check.diagnosis(half)
    said = capsys.readouterr().out
    assert "4 of 8" in said
    assert said.count("ask run") == 1
    assert not any(fault in said for fault in faults.FAULTS)


def swapped(one, other):
    """Return the right diagnosis with two faults exchanged."""
    exchange = {one: other, other: one}
    return {key: exchange.get(fault, fault) for key, fault in RIGHT.items()}


def position_in_first(first, second):
    known = {image.tobytes(): k for k, image in enumerate(first)}
    return [known[i.tobytes()] for i in second if i.tobytes() in known]


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


def steps(model, images, labels, num_steps, *, lr=0.05, zero=True):
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    for _ in range(num_steps):
        if zero:
            optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        return nn.functional.cross_entropy(model(images), labels).item()


def without_copy(model, images, labels, num_steps):
    return steps(model.train(), images, labels, num_steps)


def judged_in_eval(model, images, labels, num_steps):
    double = LESSON["copy"].deepcopy(model).train()
    steps(double, images, labels, num_steps)
    with torch.no_grad():
        return nn.functional.cross_entropy(double.eval()(images), labels).item()


def tiny_rate(model, images, labels, num_steps):
    return steps(
        LESSON["copy"].deepcopy(model).train(), images, labels, num_steps, lr=1e-4
    )


def all_thawed(model, images, labels, num_steps):
    double = LESSON["copy"].deepcopy(model).requires_grad_(True).train()
    return steps(double, images, labels, num_steps)


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


def layers(model, images):
    found = LESSON["moved_buffers"](model, images)
    return sorted({name.rpartition(".")[0] for name in found})


def by_flag(model, images):
    return [
        f"{name}.{buffer}"
        for name, part in model.named_modules()
        for buffer, _ in part.named_buffers(recurse=False)
        if part.training or name == "bn1"
    ]


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("shared_images", position_in_first, "positions in the first set"),
    ("shared_images", pair_by_pair, "not pair by pair"),
    ("shared_images", by_sum, "same pixels at other places"),
    ("shared_images", nearly, "differ in one value"),
    ("shared_images", once, "was found once"),
    ("shared_images", backwards, "ascending order"),
    ("diagnosis", dict.fromkeys(RIGHT, "eval() missing"), "1 of 8 are right"),
    ("diagnosis", RIGHT | {"A": "overfitting"}, "no fault 'overfitting'"),
    ("diagnosis", RIGHT | {"I": "rate too high"}, "no run I"),
    ("diagnosis", RIGHT | {"B": None}, "7 of 8 are right"),
    (
        "diagnosis",
        swapped("eval() missing", "wrong statistics"),
        "what arrives at the network",
    ),
    ("diagnosis", swapped("labels shuffled", "rate too high"), "is what it fits true"),
    (
        "diagnosis",
        swapped("test images leaked", "frozen norms move"),
        "images that nobody has seen",
    ),
    ("overfit_one_batch", without_copy, "deepcopy first"),
    ("overfit_one_batch", judged_in_eval, "After no step at all"),
    ("overfit_one_batch", tiny_rate, "below 0.05 was expected"),
    ("overfit_one_batch", all_thawed, "leave requires_grad"),
    ("moved_buffers", of_itself, "ask a copy"),
    ("moved_buffers", in_train, "in the modes that you find"),
    ("moved_buffers", never_cloned, "changes in place"),
    ("moved_buffers", layers, "named_buffers() gives"),
    ("moved_buffers", by_flag, "modes that you find"),
]


def test_a_leak_is_found_by_the_first_exercise():
    splits = small_splits()
    leaked = faults.LeakedTest(splits, torch.device("cpu"), 1).training_pair()
    shared = LESSON["shared_images"]
    everything = list(range(len(splits.test.labels)))
    assert shared(leaked.images, splits.test.images) == everything
    assert shared(splits.train.images, splits.test.images) == []
