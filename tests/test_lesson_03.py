"""Lesson 03: its loop is the package's, its numbers are of its recipe, checks judge."""

import ast
import copy
import math

import pytest
import small_training as small
import torch
import torch.nn.functional as F
from lesson_code import LESSONS, definitions
from torch.optim import SGD

from course_utils.data.arrays import ArrayDataset, LabelledImages
from course_utils.results import load_results
from course_utils.training import loop as training

NAME = "03_cifar10_training"
LESSON = definitions(NAME)


def test_the_lessons_epoch_is_the_packages():
    torch.manual_seed(0)
    models = [small.cifar_resnet(8, 3)]
    models.append(copy.deepcopy(models[0]))
    scores = []
    for source, model in zip((LESSON, vars(training)), models, strict=True):
        loaders = small.make_loaders()
        optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
        for _ in range(2):
            fitted = source["train_one_epoch"](model, loaders.train, optimizer)
            judged = source["evaluate"](model.eval(), loaders.val)
            scores.append([*fitted, *judged])
        assert not model.training  # as it was found
    assert scores[:2] == [pytest.approx(score) for score in scores[2:]]
    for ours, packaged in zip(*(m.state_dict().values() for m in models), strict=True):
        assert torch.equal(ours, packaged)


def test_the_lessons_data_set_hands_out_what_the_fast_one_does():
    fast = small.make_loaders().val.dataset
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    images, labels = fast.images.numpy(), fast.labels.numpy()
    v2 = LESSON["v2"]
    steps = [v2.ToImage(), v2.ToDtype(torch.float32, True), v2.Normalize(mean, std)]
    slow = LESSON["ImageDataset"](LabelledImages(images, labels), v2.Compose(steps))
    fast = ArrayDataset(images, labels, mean, std)
    assert len(slow) == len(fast)
    for index in range(3):
        assert torch.allclose(slow[index][0], fast[index][0], atol=1e-5)
        assert slow[index][1] == fast[index][1]


def recipes():
    """Return the recipe of each profile, as the lesson states it."""
    for node in ast.walk(ast.parse((LESSONS / f"{NAME}.py").read_text("utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "recipe":
            return {k.arg: ast.literal_eval(k.value) for k in node.value.keywords}
    raise LookupError("The lesson has no recipe.")


def test_measured_results_are_of_the_recipe_that_the_lesson_states():
    stated = recipes()
    assert stated.keys() == {"quick", "full"}
    assert stated["quick"]["train_size"] <= 10_000
    for result in load_results(NAME):
        recipe = stated[result["profile"]]
        assert recipe.items() <= result["recipe"].items()
        assert len(result["history"]["lr"]) == recipe["num_epochs"]


def stepped(each_batch=0, each_epoch=0, before=False):
    """Return an answer that steps so often after each batch and after each epoch."""

    def rates_of_a_run(optimizer, scheduler, num_epochs, num_batches):
        rates = []
        for _ in range(num_epochs):
            for _ in range(num_batches):
                if not before:
                    rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                for _ in range(each_batch):
                    scheduler.step()
                if before:
                    rates.append(optimizer.param_groups[0]["lr"])
            for _ in range(each_epoch):
                scheduler.step()
        return rates

    return rates_of_a_run


def scheduler_first(optimizer, scheduler, num_epochs, num_batches):
    rates = []
    for _ in range(num_epochs * num_batches):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
        optimizer.step()
    return rates


def optimizer_left_out(optimizer, scheduler, num_epochs, num_batches):
    rates = []
    for _ in range(num_epochs * num_batches):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return rates


def no_warmup(step, warmup, total):
    return (1 + math.cos(math.pi * step / total)) / 2


def cosine_from_the_start(step, warmup, total):
    return step / warmup if step < warmup else no_warmup(step, warmup, total)


def ends_too_late(step, warmup, total):
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * (step - warmup) / total)) / 2


def straight_down(step, warmup, total):
    return step / warmup if step < warmup else (total - step) / (total - warmup)


def quarter_wave(step, warmup, total):
    if step < warmup:
        return step / warmup
    return math.cos(math.pi / 2 * (step - warmup) / (total - warmup))


def smoothed(logits, labels, smoothing):
    logs = logits.log_softmax(1)
    own = logs.gather(1, labels[:, None])[:, 0]
    return -((1 - smoothing) * own + smoothing * logs.mean(1))


def probabilities(logits, labels, smoothing):
    return smoothed(logits.softmax(1), labels, smoothing).mean()


def over_the_batch(logits, labels, smoothing):
    logs = logits.log_softmax(0)
    own = logs[range(len(labels)), labels]
    return -((1 - smoothing) * own + smoothing * logs.mean(1)).mean()


def all_pairs(logits, labels, smoothing):
    logs = logits.log_softmax(1)
    return -((1 - smoothing) * logs[:, labels] + smoothing * logs.mean(1)).mean()


def no_minus(logits, labels, smoothing):
    return -smoothed(logits, labels, smoothing).mean()


def others_only(logits, labels, smoothing):
    logs, classes = logits.log_softmax(1), logits.shape[1]
    target = torch.full_like(logs, smoothing / (classes - 1))
    target[range(len(labels)), labels] = 1 - smoothing
    return -(target * logs).sum(1).mean()


def more_than_one(logits, labels, smoothing):
    logs = logits.log_softmax(1)
    return smoothed(logits, labels, 0).mean() - smoothing * logs.mean()


def no_gradient(logits, labels, smoothing):
    return smoothed(logits, labels, smoothing).mean().detach()


def half_a_gradient(logits, labels, smoothing):
    everyone = logits.detach().log_softmax(1).mean()
    return (1 - smoothing) * smoothed(logits, labels, 0).mean() - smoothing * everyone


def ready_made(logits, labels, smoothing):
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("rates_of_a_run", stepped(), "who steps the scheduler"),
    ("rates_of_a_run", stepped(each_epoch=1), "counts batches"),
    ("rates_of_a_run", stepped(each_batch=2), "once a batch"),
    ("rates_of_a_run", stepped(each_batch=1, before=True), "before the step"),
    ("rates_of_a_run", scheduler_first, "optimizer.step() first"),
    ("rates_of_a_run", optimizer_left_out, "stays where it was"),
    ("rates_of_a_run", lambda *_: [0.1], "before each step, as the frame"),
    ("warmup_cosine", no_warmup, "should rise from 0"),
    ("warmup_cosine", lambda s, w, t: math.sqrt(s / t), "equal steps"),
    ("warmup_cosine", cosine_from_the_start, "count its steps from the end"),
    ("warmup_cosine", ends_too_late, "half a turn"),
    ("warmup_cosine", straight_down, "slow, fast, slow"),
    ("warmup_cosine", quarter_wave, "slow, fast, slow"),
    ("smoothed_cross_entropy", smoothed, "one number"),
    ("smoothed_cross_entropy", probabilities, "minus the log-probability"),
    ("smoothed_cross_entropy", over_the_batch, "which axis"),
    ("smoothed_cross_entropy", all_pairs, "which one is its own"),
    ("smoothed_cross_entropy", no_minus, "negative"),
    ("smoothed_cross_entropy", others_only, "has its part"),
    ("smoothed_cross_entropy", more_than_one, "add up to 1"),
    ("smoothed_cross_entropy", no_gradient, "without item()"),
    ("smoothed_cross_entropy", half_a_gradient, "without item()"),
    ("smoothed_cross_entropy", ready_made, "a row of log_softmax"),
]
