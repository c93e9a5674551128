# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · When training goes wrong
#
# **After this lesson you can**
#
# 1. read curves, scores and a confusion matrix as a doctor reads symptoms;
# 2. say which faults no final number betrays;
# 3. choose the cheapest examination that tells two suspects apart;
# 4. name the fault of eight sick trainings, point at the line, and mend it;
# 5. say which faults cost a new training, and which only a new evaluation.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (one epoch, schedules),
# [Lesson 04](04_per_class_evaluation.ipynb) (confusion, McNemar) and
# [Lesson 06](06_transfer_learning.ipynb) (frozen networks).
#
# **Reading time** 60 minutes · **run time** quick CPU about 70 s, with photos
# about 80 s, full GPU not measured

# %% tags=["setup"]
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display

from course_classroom import faults
from course_classroom.checks import lesson_08 as check
from course_utils import metrics, plotting
from course_utils.data.arrays import LabelledImages
from course_utils.results import hardware_name, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# A wrong shape stops a program. The faults of this lesson stop nothing: the program
# runs to its end and prints a plausible number. Eight short trainings have one such
# fault each. Write down guesses before you see them:
#
# 1. How many of the eight end with a *worse* score than a healthy training?
# 2. Can a fault make the score *better*?
# 3. Two runs have a good training curve and a bad validation curve. What would you
#    ask first, to tell which fault each has?
# 4. For how many of the eight must the network be trained again?

# %% [markdown]
# ## 1 · The laboratory
#
# All runs see the same few images. Validation and test images come **in the order of
# their classes**, as a folder hands them out; a healthy evaluation does not care. A
# further set, the **strangers**, is kept from every run.
#
# There are two recipes. One trains an 8-layer network from random weights, on every
# second pixel to save time. The other puts a new head on the frozen body of the network
# that ships with the course; its pictures are as from a cheap camera, full of noise.

# %%
from course_utils.data.cifar10 import load_cifar10

splits = load_cifar10(session.data_dir)
train_size, judged = session.pick(quick=(1000, 500), full=(5000, 1000))


def by_class(pair, positions):
    """Return some images and labels of a split, sorted by class."""
    order = positions[np.argsort(pair.labels[positions], kind="stable")]
    return LabelledImages(pair.images[order], pair.labels[order])


drawn = np.random.default_rng(0).permutation(len(splits.test.labels))
whole = {
    "train": LabelledImages(*(part[:train_size] for part in splits.train)),
    "val": by_class(splits.val, np.arange(judged)),
    "test": by_class(splits.test, drawn[:judged]),
    "strangers": by_class(splits.test, drawn[judged : 4 * judged]),
}

# %%
from course_utils.data.arrays import channel_statistics
from course_utils.data.corruptions import gaussian_noise
from course_utils.pretrained import load_pretrained

shipped = load_pretrained("cifar10" if splits.is_photos else "sketches")
shipped = shipped.to(session.device)
halved, noisy = {}, {}
for seed, (name, (images, labels)) in enumerate(whole.items()):
    halved[name] = LabelledImages(images[:, ::2, ::2], labels)
    noisy[name] = LabelledImages(gaussian_noise(images, 0.12, seed=seed), labels)
strangers, noisy_strangers = halved.pop("strangers"), noisy.pop("strangers")
few = replace(splits, **halved)
mean, std = channel_statistics(noisy["train"].images)
camera = replace(splits, **noisy, mean=mean, std=std)
print(few.describe(), "(training / validation / test)")
print("The suspects, in the order of the alphabet:", *faults.FAULTS, sep="\n- ")

# %% [markdown]
# Each name stands for one planted fault:
#
# - *eval() missing*: judged in training mode;
# - *frozen norms move*: a frozen body whose BatchNorm was left in training mode;
# - *labels shuffled*: images and labels no longer belong together;
# - *rate too high*: ten times the planned learning rate;
# - *ReLU before the addition*: one more ReLU, behind a block's second norm;
# - *scheduler never stepped*: built, then forgotten;
# - *test images leaked*: some of the training images are the test images;
# - *wrong statistics*: normalised one way to train, another way to judge.
#
# The faults are real code, in `course_classroom/faults.py`. Please do not look before
# section 6 shows it: a diagnosis is worth making only once. The letters were drawn.

# %% tags=["long-run"]
epochs = session.pick(quick=(12, 4), full=(30, 10))  # from random weights, new head
recipes = {
    "reference": (faults.Training, few, epochs[0]),
    "reference, another seed": (faults.Training, few, epochs[0]),
    "reference, new head": (faults.HeadTraining, camera, epochs[1]),
}
for letter in "ABCDEFGH":
    data = (camera, epochs[1]) if faults.is_head(letter) else (few, epochs[0])
    recipes[letter] = (faults.behind(letter), *data)

torch.backends.cudnn.deterministic = True  # equal seeds: equal weights, on a GPU too
runs, said = {}, {}  # trainings; their logits of validation and test images
for name, (make, data, num_epochs) in recipes.items():
    seed = session.seed + ("another" in name)
    runs[name] = make(data, session.device, num_epochs, seed).run()
    ours = runs[name].predict
    said[name] = {"val": ours(data.val), "test": ours(data.test)}
heads = [name for name, (_, data, _) in recipes.items() if data is camera]
print("New head on a frozen body:", *heads, sep="\n- ")

# %% [markdown]
# ## 2 · What everybody sees
#
# First the curves. Grey is the healthy reference of the same recipe, orange the run.
# What is judged is judged by *the run's own* code, as in life. Before you run the
# cells, sketch how the curves of two or three suspects should look.


# %%
# Figure: accuracy against epoch, eight panels A to H; training dashed, validation
# solid; the reference in grey, the run in orange.
from matplotlib.ticker import PercentFormatter


def reference_of(name):
    """Return the name of the healthy training with the same recipe as a run's."""
    return "reference, new head" if name in heads else "reference"


def plot_runs(quantity, label, log=False):
    """Draw one quantity of all eight runs, each beside its reference."""
    fig, axes = plt.subplots(2, 4, figsize=(10, 4.8), sharey=True)
    for axis, name in zip(axes.flat, "ABCDEFGH", strict=True):
        styles = ((reference_of(name), "0.7", 3.5), (name, "C1", 1.5))
        for key, color, width in styles:
            for split, dash in (("train", "--"), ("val", "-")):
                values = getattr(runs[key].history, f"{split}_{quantity}")
                where = range(1, len(values) + 1)
                axis.plot(where, values, dash, color=color, linewidth=width)
        kind = "new head" if name in heads else "from scratch"
        axis.set(title=f"{name}, {kind}", xlabel="epoch")
        axis.set_yscale("log" if log else "linear")
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[:, 0]:
        axis.set_ylabel(label)
    return fig, axes


_, axes = plot_runs("accuracy", "accuracy")
axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
axes[0, 0].set_ylim(0, 1)
plt.show()

# %%
# Figure: cross-entropy loss against epoch on a logarithmic axis, eight panels A to H;
# training dashed, validation solid; the reference in grey, the run in orange.
fig, axes = plot_runs("loss", "cross-entropy loss", log=True)
chance = np.log(len(few.classes))
for axis in axes.flat:
    axis.axhline(chance, color="0.3", linewidth=0.8, linestyle=":")
plt.show()

# %% [markdown]
# Accuracy above, loss below; training dashed, validation solid; the reference grey and
# broad. The dotted line is the loss of a network that gives every class the same
# chance, the logarithm of the number of classes. Where orange lies inside grey, run and
# reference agree.
#
# Sort the runs: in which is the *training* curve wrong, in which only the validation
# curve, and in which nothing at all?

# %%
# Figure: confusion matrices of the test images, one panel a run and the two references;
# rows are true classes, columns predicted ones, darker is a larger share.
panels = ["reference", *"ABCD", "reference, new head", *"EFGH"]
fig, axes = plt.subplots(2, 5, figsize=(10, 4.4))
for axis, name in zip(axes.flat, panels, strict=True):
    labels = torch.from_numpy(few.test.labels)
    answers = said[name]["test"].argmax(1)
    matrix = metrics.confusion_matrix(labels, answers, len(few.classes))
    axis.imshow(metrics.normalise_rows(matrix), cmap="Blues", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.set_title(name.replace("reference, new head", "ref., new head"))
    axis.grid(visible=False)
fig.supxlabel("predicted class")
fig.supylabel("true class")
plt.show()

# %% [markdown]
# The test images, true classes from top to bottom. A healthy matrix has a dark
# diagonal. Dark *columns* belong to a network that gives one answer to nearly all. Two
# runs with equally bad matrices may have quite different faults.
#
# Now the numbers. Run and reference are compared on the same validation images (lesson
# 04); where the interval contains 0, no difference is seen. The reference was trained
# once more with another seed: so you see what luck alone makes of it.

# %%
labels = {split: torch.from_numpy(getattr(few, split).labels) for split in said["A"]}


def scores_of(name):
    """Return validation and test accuracy of what a run said."""
    return [metrics.accuracy(said[name][split], labels[split]) for split in labels]


rows, leads = [], {}
for name, run in runs.items():
    shares = [run.history.train_accuracy[-1], *scores_of(name)]
    ours, base = (said[key]["val"].argmax(1) for key in (name, reference_of(name)))
    leads[name] = metrics.compare(labels["val"], ours, base, comparisons=9)
    lead = "–" if name == reference_of(name) else leads[name]
    rows.append([name, *(f"{share:.1%}" for share in shares), lead])
table = ["run", "training", "validation", "test", "validation minus reference"]
show_table(table, rows)
silent = [name for name in "ABCDEFGH" if leads[name].high >= 0]
print(f"Not worse on validation: {len(silent)} of 8, {', '.join(silent)}.")

# %% [markdown]
# Your first two guesses. A 0 in the interval, or a lead, is no health certificate:
# *every* one of the eight is faulty, as you were told. In your own work nobody tells
# you. A score says how a run ended, never whether it may be believed. ("reference, new
# head" is judged on noisy pictures, so it cannot be compared with the other one.)

# %% [markdown]
# ## 3 · Examinations
#
# An examination asks a finished run one question, and costs seconds where a training
# costs hours. Each function below returns what it found and whether that is
# **alarming**. They ask a *copy* of the run: a question must not change the patient.
#
# The first two look at the plan. Is the learning rate of each epoch the planned one?
# And does a network that you trust read the labels as the run was told them? Here the
# reference serves, which knows these images by heart. In your own work, take a network
# that somebody else has trained, or your eyes: a cell below shows a batch.


# %%
def learning_rates(name, run):
    """Return the rates, and whether they are not the reference's."""
    rates, planned = run.history.lr, runs[reference_of(name)].history.lr
    text = f"{rates[0]:.2g} first, {max(rates):.2g} highest, {rates[-1]:.2g} last"
    return text, not np.allclose(rates, planned)


def labels_read(name, run):
    """Return how many training labels the reference reads as the run was told them."""
    trusted = runs[reference_of(name)].model
    read = metrics.collect_logits(trusted, run.training_loader())
    agreed = metrics.accuracy(*read)
    return f"{agreed:.0%} agreed", agreed < 0.25


# %% [markdown]
# The next two belong to evaluation. What arrives at the network: have the pixels the
# same mean and spread in training and in evaluation? And the company: does the answer
# for an image depend on the *other* images of its batch? We ask twice, with the
# classes in order and mixed, and in batches of another size.


# %%
def what_arrives(name, run):
    """Return mean and spread of the pixels in training and in evaluation."""
    found = []
    for loader in (run.training_loader(), run.evaluation_loader(run.splits.val)):
        pixels = torch.cat([images for images, _ in loader])
        found.append((pixels.mean().item(), pixels.std().item()))
    (m, s), (n, t) = found
    text = f"{m:.2f} ± {s:.2f} training, {n:.2f} ± {t:.2f} evaluation"
    return text, abs(m - n) > 0.25 or not 0.75 < s / t < 1.33


def company(name, run):
    """Return the accuracy in two orders, and how many answers a batch size changes."""
    pair = run.splits.val
    order = np.random.default_rng(1).permutation(len(pair.labels))
    mixed = LabelledImages(pair.images[order], pair.labels[order])
    in_order, shuffled = run.judge(pair).accuracy, run.judge(mixed).accuracy
    some = LabelledImages(*(part[:200] for part in mixed))
    sizes = [run.predict(some, size).argmax(1) for size in (faults.BATCH_SIZE, 5)]
    moved = (sizes[0] != sizes[1]).float().mean().item()
    text = f"{in_order:.0%} in order, {shuffled:.0%} mixed; "
    return text + f"batches of 5 change {moved:.0%} of answers", moved > 0.02


# %% [markdown]
# The last three look deeper. Is the test score confirmed on **strangers**? Can a block
# do all that a block can: does it ever **lower** a number (lesson 01, section 4)? And
# where a body was frozen: did it **stay** what it was? Its old head knows: it should
# still name the old, clean pictures as before.


# %%
from course_utils.models.resnet import BasicBlock


def on_strangers(name, run):
    """Return the scores on test images and on images that no run has seen."""
    others = noisy_strangers if name in heads else strangers
    shares, ends = [], []
    for pair in (run.splits.test, others):
        shares.append(run.judge(pair).accuracy)
        number = len(pair.labels)
        hits = round(shares[-1] * number)
        ends.append(metrics.wilson_interval(hits, number, confidence=0.999))
    text = f"{shares[0]:.0%} test, {shares[1]:.0%} strangers"
    return text, bool(ends[0][0] > ends[1][1])  # beyond both intervals


def numbers_lowered(name, run):
    """Return the share of numbers lowered, in the block that lowers least."""
    shares = []

    def note(block, inputs, output):
        """Compare what comes out of a block with what its shortcut brings."""
        x = inputs[0]
        came = x if block.downsample is None else block.downsample(x)
        shares.append((output < came).float().mean().item())

    for part in run.model.modules():
        if isinstance(part, BasicBlock):
            part.register_forward_hook(note)  # on a copy: nobody takes it away
    run.predict(LabelledImages(*(part[:50] for part in run.splits.val)))
    return f"at least {min(shares):.0%} a block", min(shares) == 0


# %%
def body_at_rest(name, run):
    """Return what moved in a frozen body, and how its old head does now."""
    if not isinstance(run, faults.HeadTraining):
        return "no frozen body", False
    old = copy.deepcopy(shipped)
    names, kept = list(old.state_dict()), old.state_dict()
    now = dict(zip(names, run.model[0].state_dict().values(), strict=False))
    moved = [key for key in now if not torch.equal(now[key], kept[key])]
    weights = sum(key in dict(old.named_parameters()) for key in moved)
    buffers = len(moved) - weights
    scores = []
    for state in (kept, kept | now):
        old.load_state_dict(state)
        loader = runs["reference"].evaluation_loader(whole["test"])
        scores.append(metrics.accuracy(*metrics.collect_logits(old, loader)))
    text = f"{weights} weights, {buffers} buffers moved; "
    return text + f"old head {scores[0]:.1%} → {scores[1]:.1%}", bool(moved)


EXAMINATIONS = {
    "learning rates": learning_rates,
    "labels read": labels_read,
    "what arrives": what_arrives,
    "company": company,
    "strangers": on_strangers,
    "numbers lowered": numbers_lowered,
    "body at rest": body_at_rest,
}


def ask(name, *questions):
    """Print what examinations of a run find; all of them if none is named."""
    for question in questions or EXAMINATIONS:
        text, _ = EXAMINATIONS[question](name, copy.deepcopy(runs[name]))
        print(f"{name:9} {question:16} {text}")


# %% [markdown]
# First the healthy reference: it shows what *not* alarming looks like. Then it is your
# turn. Add lines such as `ask("A", "company")`; every call runs in seconds, and says
# what it found. Whether that is alarming is yours to say, until section 5. Ask as a
# doctor would: suspect first, then ask the one thing that decides. To look at a run's
# training batch with your own eyes, change the letter in the second cell.

# %%
ask("reference")

# %%
# Figure: sixteen training images of the healthy reference, two rows of eight, each
# titled with the label that the run was told.
chosen = "reference"  # or a letter
images, told = next(iter(runs[chosen].training_loader()))
show = (images.permute(0, 2, 3, 1)[:16] - images.min()) / (images.max() - images.min())
names = [few.classes[label] for label in told[:16]]
plotting.show_images(show.numpy(), names)
plt.show()

# %% [markdown]
# ### ★ The same image twice
#
# An examination for you to write. Given two sets of images, uint8 (N, H, W, 3), return
# the positions in the *second* set of the images that are in the first as well, equal
# in every pixel; in ascending order. Two sets of a thousand make a million pairs: so
# compare cleverly.
#
# Expected: for a set and itself, all positions from 0.


# %% tags=["exercise"]
def shared_images(first: np.ndarray, second: np.ndarray) -> list[int]:
    """Return the positions in `second` of the images that `first` holds too."""
    raise NotImplementedError


check.shared_images(shared_images)


# %% tags=["solution"]
def shared_images(first: np.ndarray, second: np.ndarray) -> list[int]:
    """Return the positions in `second` of the images that `first` holds too."""
    known = {image.tobytes() for image in first}
    return [k for k, image in enumerate(second) if image.tobytes() in known]


check.shared_images(shared_images)

# %% [markdown]
# What would it be good for? A training set and a test set should share nothing. What a
# run was fitted to is in `runs[…].training_pair().images`, what it reports on in
# `runs[…].splits.test.images`. (Only copies that are equal in every bit are found.
# Photos stored again as JPEG need a more forgiving comparison.)

# %% [markdown]
# ## 4 · Your diagnosis
#
# ### ★★ Name the faults
#
# Write the fault's name behind each letter, as section 1 lists it. The check counts
# what is right, and asks one question about one run that is not. Each fault was planted
# once. Easily confused are faults that spoil the judging, faults that keep a network
# from learning, and faults that flatter.
#
# Expected: eight of eight. Fewer examinations are better; the curves settle some.

# %% tags=["exercise"]
diagnosis = {
    "A": None,
    "B": None,
    "C": None,
    "D": None,
    "E": None,
    "F": None,
    "G": None,
    "H": None,
}

check.diagnosis(diagnosis)

# %% tags=["solution"]
diagnosis = {
    "A": "test images leaked",
    "B": "scheduler never stepped",
    "C": "wrong statistics",
    "D": "labels shuffled",
    "E": "rate too high",
    "F": "ReLU before the addition",
    "G": "eval() missing",
    "H": "frozen norms move",
}

check.diagnosis(diagnosis)

# %% [markdown]
# **Stop here** until your diagnosis stands. The rest of the lesson tells.
#
# ## 5 · Unmasked
#
# All examinations of all runs; a dash stands for: nothing alarming.

# %%
truth = faults.answers()
alarms = {name: [] for name in runs}
findings = {}
for name, run in runs.items():
    for question, examine in EXAMINATIONS.items():
        text, alarming = examine(name, copy.deepcopy(run))
        findings[name, question] = text
        if alarming:
            alarms[name].append(question)
rows = []
for name, questions in alarms.items():
    told = "; ".join(f"*{q}*: {findings[name, q]}" for q in questions)
    fault = truth.get(name, "healthy")
    lead = "–" if name == reference_of(name) else leads[name]
    rows.append([name, fault, lead, told or "–"])
table = ["run", "fault", "validation minus reference", "alarming"]
show_table(table, rows)
found = [name for name in truth if alarms[name]]
false = [name for name in runs if name not in truth and alarms[name]]
print(f"Faulty runs with an alarm: {len(found)} of 8; healthy ones: {len(false)} of 3.")

# %% [markdown]
# Compare the third column with the last one. The score accuses some of the eight, the
# examinations accuse by *cause*. The first exercise gives one more, which needs no
# threshold at all: how many of the test images are among the training images? The cell
# counts them for each run, then lays pairs side by side that are easily confused.

# %%
for name, run in runs.items():
    known = {image.tobytes() for image in run.training_pair().images}
    shared = sum(image.tobytes() in known for image in run.splits.test.images)
    if shared:
        print(
            f"{name}: {shared} of {judged} test images are among the training images."
        )

run_of = {fault: name for name, fault in truth.items()}
pairs = {
    ("eval() missing", "wrong statistics"): ("company", "what arrives"),
    ("wrong statistics", "frozen norms move"): ("what arrives", "body at rest"),
    ("labels shuffled", "rate too high"): ("labels read", "learning rates"),
    ("test images leaked", "frozen norms move"): ("strangers", "body at rest"),
}
rows = []
for pair, questions in pairs.items():
    for fault in pair:
        name = run_of[fault]
        rows.append([name, fault, *(findings[name, q] for q in questions)])
        rows[-1][2:] = [
            f"*{q}*: {text}" for q, text in zip(questions, rows[-1][2:], strict=True)
        ]
table = ["run", "fault", "first examination", "second examination"]
show_table(table, rows)
for name in (run_of["frozen norms move"], "reference, new head"):
    print(f"{name}: {findings[name, 'strangers']}")

# %% [markdown]
# *`eval()` missing* lives in the **batch**: mix the images, and the score moves. *Wrong
# statistics* live in the **pixels**: the order changes nothing, but what arrives is
# something else than in training. *Frozen norms* live in the **network**: it answers
# every batch alike, and it is no longer the network you froze.
#
# *Labels shuffled* fits a lie; the steps are as planned. *Rate too high* fits the truth
# with steps that are too long. *Scheduler never stepped* has steps that are too short:
# one cycle begins at a 25th of the highest rate. A schedule that goes down in steps
# would have stayed high.

# %% [markdown]
# A *leak* shines on the test images alone. A truly better network would be better on
# strangers too. Compare the frozen run with its reference in the last two lines: where
# it is ahead, it *is* better, on noisy pictures. Norms that move to new pictures are a
# method of their own (Li et al., 2016). Here nobody meant it.

# %% [markdown]
# ## 6 · The line that did it, and the line that mends it
#
# Each fault differs from the healthy training in one method. Here are both texts
# compared, by Python's `difflib`: red (−) is the faulty line, green (+) the one that
# mends it. (`Frozen` is a wrapper that stays in evaluation mode, whatever a loop says.)

# %%
import difflib
import inspect


def changed_lines(fault):
    """Return the lines that mend a fault, as a comparison of two texts."""
    sick = faults.CULPRITS[fault]
    (name,) = (key for key in vars(sick) if not key.startswith("__"))
    if not callable(getattr(sick, name)):
        return [
            f"-{name} = {getattr(sick, name)}",
            f"+{name} = {sick.__base__.highest_rate}",
        ]
    healthy = getattr(sick.__base__, name)
    texts = [
        inspect.getsource(each).splitlines() for each in (vars(sick)[name], healthy)
    ]
    lines = difflib.unified_diff(*texts, n=0, lineterm="")
    return [line for line in lines if not line.startswith(("@@", "---", "+++"))]


text = ""
for fault, name in sorted(run_of.items(), key=lambda pair: pair[1]):
    lines = "\n".join(changed_lines(fault))
    text += f"**{name}, {fault}** (`faults.{faults.CULPRITS[fault].__name__}`)\n\n"
    text += f"```diff\n{lines}\n```\n\n"
display(Markdown(text))

# %% [markdown]
# ### Train again, or only judge again?
#
# Your fourth guess. Each sick run had the seed of its reference. So where a fault sits
# in the *evaluation*, the weights must be those of the healthy training, to the last
# bit. Compare them. (BatchNorm's running statistics are not weights: a second column.)

# %%
rows = []
for name, fault in truth.items():
    ours, healthy = (runs[key].model for key in (name, reference_of(name)))
    states = [list(part.parameters()) for part in (ours, healthy)]
    buffers = [list(part.buffers()) for part in (ours, healthy)]
    same = [
        all(torch.equal(a, b) for a, b in zip(*lists, strict=True))
        for lists in (states, buffers)
    ]
    cost = (
        "judge again"
        if all(same)
        else "statistics, then judge"
        if same[0]
        else "train again"
    )
    rows.append([name, fault, *("equal" if s else "other" for s in same), cost])
table = ["run", "fault", "weights", "running statistics", "what it takes"]
show_table(table, rows)
again = sum(row[-1] == "train again" for row in rows)
print(f"Train again: {again} of 8.")

# %% [markdown]
# One run has healthy weights and strange statistics. Judging in training mode has fed
# it validation and test images, one class after the other, and its norms remember the
# last ones. Is `eval()` alone enough, then? The statistics can be had anew without a
# single step: let the training images pass once, in training mode, without an
# optimiser. Compare, and see how much the old statistics mattered here. More images
# judged in training mode, or stranger ones, would have moved them further.

# %%
patient = copy.deepcopy(runs[run_of["eval() missing"]])
loader = patient.evaluation_loader(few.val)


def score_in_eval():
    """Return the patient's validation accuracy in evaluation mode."""
    return metrics.accuracy(*metrics.collect_logits(patient.model, loader))


steps = {"as the run judged": scores_of(run_of["eval() missing"])[0]}
steps["with eval()"] = score_in_eval()
with torch.no_grad():
    for images, _ in patient.training_loader():
        patient.model.train()(images.to(session.device))
steps["statistics renewed, with eval()"] = score_in_eval()
steps["reference"] = runs["reference"].history.val_accuracy[-1]
for what, share in steps.items():
    print(f"{what:32} {share:.1%}")

# %%
patient = copy.deepcopy(runs[run_of["wrong statistics"]])
before = patient.judge(camera.val).accuracy
healed = runs["reference, new head"].evaluation_loader(camera.val)  # right statistics
after = metrics.accuracy(*metrics.collect_logits(patient.model, healed))
print(f"wrong statistics: {before:.1%}; the same weights, rightly judged: {after:.1%}")
rows = []
for name, fault in truth.items():
    pairs = zip(scores_of(name), scores_of(reference_of(name)), strict=True)
    cells = [f"{sick:.1%} → {mended:.1%}" for sick, mended in pairs]
    rows.append([name, fault, *cells])
show_table(["run", "fault", "validation", "test"], rows)

# %% [markdown]
# The table is the recovery. Nothing was trained for it: with the green line in place of
# the red one, and the same seed, a sick run *is* its reference, whose scores stand
# behind the arrow. Mending can lower a number. Then the higher one was luck, or was not
# true, or was paid for elsewhere: a frozen body that adapts to noisy pictures may name
# them better, while its old head names the clean ones worse. The findings of *body at
# rest* in section 5 say whether it was so here.

# %% [markdown]
# ## Results

# %%
worse = 8 - len(silent)
rows = [
    ("worse on validation than the reference", f"{worse} of 8"),
    ("betrayed by an examination", f"{len(found)} of 8"),
    ("alarms at the three healthy runs", len(false)),
    ("another seed minus the reference", leads["reference, another seed"]),
    ("must be trained again", f"{again} of 8"),
    ("seeds, images, hardware", f"1 each, {judged}, {hardware_name(session.device)}"),
]
show_table(["", ""], rows)
session.report(
    f"validation betrays {worse} of 8 planted faults, examinations {len(found)}",
    data=few.describe(),
)

# %% [markdown]
# **What this does not show.** Each examination was written for a fault that we knew.
# One that nobody thought of may pass them all. One seed a fault, one strength of each,
# short trainings. A milder rate, a smaller leak or statistics that are nearly right
# would show less: the thresholds were chosen for this laboratory. The interval of a
# lead knows nothing of the luck of a seed. And real runs may have two faults, one
# hiding the other. Whether the early ReLU costs accuracy cannot be settled by three
# blocks. He et al. (2016) measured it at 110 and 164 layers; they *moved* the ReLU
# there, where our fault adds one.

# %% [markdown]
# ## Myths, tested
#
# ### "If the training loss falls, the code is right"

# %%
fell = {}
for name in truth:
    losses = runs[name].history.train_loss
    fell[name] = losses[-1] < losses[0]
    gap = losses[-1] - runs[reference_of(name)].history.train_loss[-1]
    text = f"{losses[0]:.2f} → {losses[-1]:.2f} (reference {gap:+.2f})"
    print(f"{name} {truth[name]:26} {text}")
verdict = "Refuted" if sum(fell.values()) > 0 else "Not refuted"
print(f"{verdict}: it fell in {sum(fell.values())} of 8 faulty runs.")

# %% [markdown]
# In brackets, how much higher (+) the last training loss is than the reference's. The
# loss falls where the network can fit *what it is given*. It does not know whether that
# is what you meant: even random labels can be learned by heart (Zhang et al., 2017).
#
# ### "A score above the reference needs no debugging"

# %%
above = []
for name in truth:
    pairs = zip(scores_of(name), scores_of(reference_of(name)), strict=True)
    gains = [100 * (ours - theirs) for ours, theirs in pairs]
    if max(gains) > 0:
        above.append(name)
        text = f"validation {gains[0]:+.1f}, test {gains[1]:+.1f} points"
        print(f"{name} {truth[name]:26} {text}")
verdict = "Refuted" if above else "Not refuted"
print(
    f"{verdict}: {len(above)} of 8 faulty runs score above their reference somewhere."
)

# %% [markdown]
# Some of these points are luck: a few images decide. But people look for the cause of a
# bad score, seldom for that of a good one. That is why flattering faults live long.

# %% [markdown]
# ## The table of symptoms
#
# Everything in it was measured above. A symptom has three parts: the last *training*
# accuracy beside the reference's, *validation* by the lead's interval, and whether
# *test* lies above validation beyond both intervals. The suspects are all runs that
# showed it; the examination is the one that alarmed.


# %%
def symptom_of(name):
    """Return what curves and scores show of a run, in words."""
    ours, theirs = (
        runs[key].history.train_accuracy[-1] for key in (name, reference_of(name))
    )
    training = "as it should" if ours > theirs - 0.1 else "lower"
    training = "higher" if ours > theirs + 0.1 else training
    training = "hardly learns" if ours < theirs / 2 else training
    lead = leads[name]
    validation = "better" if lead.low > 0 else "no difference seen"
    validation = "worse" if lead.high < 0 else validation
    hits = [
        (said[name][s].argmax(1) == labels[s]).sum().item() for s in ("test", "val")
    ]
    (low, _), (_, high) = (metrics.wilson_interval(n, judged) for n in hits)
    test = "above validation" if low > high else "like validation"
    return f"training {training}; validation {validation}; test {test}"


suspects = {}
for name, fault in truth.items():
    suspects.setdefault(symptom_of(name), []).append(fault)
rows = []
for symptom, names in sorted(suspects.items()):
    for number, fault in enumerate(names):
        questions = alarms[run_of[fault]]
        told = "; ".join(f"*{q}*: {findings[run_of[fault], q]}" for q in questions)
        rows.append([symptom if number == 0 else "the same", fault, told or "none"])
show_table(["symptom", "suspect", "what decides"], rows)
shared = sum(len(names) > 1 for names in suspects.values())
print(f"{len(suspects)} symptoms for 8 faults; {shared} of them have several suspects.")

# %% [markdown]
# Use it from left to right: see, suspect, then ask the one thing that decides. Where a
# symptom has several suspects, its few words cannot tell them apart: look once more at
# the curves, or ask. And one symptom may have a cause that is not its own: a forgotten
# `eval()` can part test from validation, because its score hangs on where the borders
# between classes fall in the batches.

# %% [markdown]
# ## Summary
#
# 1. *Read symptoms.* Training curve, validation curve, test against validation: each
#    wrong in its own way, always beside a healthy reference and a second seed.
# 2. *Silent faults.* The Results count them. A score says how a run ended; some faults
#    leave it alone, and some raise it.
# 3. *Cheapest examination.* The rates from the history, the labels of one batch, what
#    arrives, other company, strangers, a frozen body's old head.
# 4. *Name, point, mend.* One method, often one line. The reference with the same seed
#    proves the cure.
# 5. *Train again?* Where only the evaluation was wrong, the weights are healthy.

# %% [markdown]
# ## Exercises
#
# ### ★★ Learn one batch by heart
#
# The cheapest test before a long training: can the network learn *one* batch by heart?
# Take `num_steps` steps on the same batch, with `torch.optim.SGD` at a rate of 0.05 and
# momentum 0.9, in training mode, and return the batch's loss after the last step, in
# training mode as well (with no step at all: the loss it begins with). The network
# handed over must stay as it was.
#
# Expected: for `cifar_resnet(8)`, 8 images and 60 steps, a loss below 0.05. Think of
# what it can *not* find: would a run with shuffled labels pass?


# %% tags=["exercise"]
def overfit_one_batch(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, num_steps: int
) -> float:
    """Return the loss of the batch after that many steps on it alone."""
    raise NotImplementedError


check.overfit_one_batch(overfit_one_batch)


# %% tags=["solution"]
def overfit_one_batch(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, num_steps: int
) -> float:
    """Return the loss of the batch after that many steps on it alone."""
    double = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(double.parameters(), 0.05, momentum=0.9)
    for _ in range(num_steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(double(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(double(images), labels).item()


check.overfit_one_batch(overfit_one_batch)

# %% [markdown]
# ### ★★★ What moves in a frozen network?
#
# Return the names of the **buffers** that one forward pass of `images` changes, with
# every part of the network in the mode in which you find it. Ask by doing, not by
# reading flags; and leave the network as it was, its statistics included.
#
# Expected: an empty list for `cifar_resnet(8).eval()`; for the same network in
# `train()`, three buffers for each of its norms.


# %% tags=["exercise"]
def moved_buffers(model: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Return the names of the buffers that a forward pass changes."""
    raise NotImplementedError


check.moved_buffers(moved_buffers)


# %% tags=["solution"]
def moved_buffers(model: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Return the names of the buffers that a forward pass changes."""
    double = copy.deepcopy(model)
    with torch.no_grad():
        double(images)
    before = dict(model.named_buffers())
    return [
        name
        for name, now in double.named_buffers()
        if not torch.equal(now, before[name])
    ]


check.moved_buffers(moved_buffers)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give: it says whether it is right, and why.

# %% [markdown]
# **1. Training accuracy is as usual, validation accuracy is near chance. You judge the
# same validation images again, in random order, and the score jumps up. What is it?**
#
# <details><summary>The validation images are normalised wrongly.</summary>
#
# **No.** Wrong pixels are wrong in every order. The order matters only where an image's
# answer depends on the others of its batch.
#
# </details>
# <details><summary>The network overfits.</summary>
#
# **No.** An overfitted network gives each image one answer, whatever the order.
#
# </details>
# <details><summary>Training mode was left on.</summary>
#
# **Right.** BatchNorm then takes its statistics from the batch. A batch of one class
# has other statistics than a mixed one, so the order decides.
#
# </details>
# <details><summary>The validation set is too small.</summary>
#
# **No.** A small set makes a score uncertain, but the same images give the same score.
#
# </details>

# %% [markdown]
# **2. You forgot `eval()` when validating, and have now put it in. The weights are
# healthy. Why may the score still be wrong?**
#
# <details><summary>Judging in training mode has moved the running statistics.</summary>
#
# **Right.** Under `no_grad()` no weight moves, but BatchNorm in training mode still
# updates its buffers. With one pass over training images they can be had anew.
#
# </details>
# <details><summary>The optimiser has learned from the validation images.</summary>
#
# **No.** Without a backward pass and a step, no weight changes.
#
# </details>
# <details><summary>Weights that were once judged wrongly stay wrong.</summary>
#
# **No.** A judgement leaves no trace in them: section 6 compares them with those of the
# reference, value by value.
#
# </details>

# %% [markdown]
# **3. The test score is far above the validation score; so far, nobody chose anything
# on either. What do you do first?**
#
# <details><summary>Report the test score: it is the honest one.</summary>
#
# **No.** It is honest only if no test image was used for fitting. A gap of this kind
# is one sign that some were.
#
# </details>
# <details><summary>Look for test images in the training set.</summary>
#
# **Right.** That takes seconds, and so does judging on new images. Two sets that no run
# has seen should give like scores; where one set shines, ask whether it was seen.
#
# </details>
# <details><summary>Train for longer, so that the validation score catches up.</summary>
#
# **No.** Training longer on leaked images widens the gap, since they are learned by
# heart.
#
# </details>
# <details><summary>Report the mean of both scores.</summary>
#
# **No.** The mean of an honest number and a flattering one is a flattering one.
#
# </details>

# %% [markdown]
# **4. A network fits a single batch perfectly. What does that rule out?**
#
# <details><summary>That the labels are shuffled.</summary>
#
# **No.** A handful of images with random labels can be learned by heart as well.
#
# </details>
# <details><summary>That the network is judged in the wrong mode.</summary>
#
# **No.** The test never leaves the training mode, so it says nothing about evaluation.
#
# </details>
# <details><summary>That a block computes something other than the paper's.</summary>
#
# **No.** Many networks can fit a batch, those with an early ReLU among them.
#
# </details>
# <details><summary>That no gradient reaches the weights.</summary>
#
# **Right.** If the gradient did not arrive, or the step were not taken, the loss of
# the batch would not fall. This is what the test is for, and all of it.
#
# </details>

# %% [markdown]
# **5. A frozen body was left in `train()`. The new head scores higher than with a body
# in `eval()`. Is the fault harmless?**
#
# <details><summary>Yes: the score is what counts.</summary>
#
# **No.** It counts for one task. Whoever else uses this body gets another network than
# the one that was frozen and tested.
#
# </details>
# <details><summary>No: the old head was fitted to the old statistics.</summary>
#
# **Right.** Adapting the norms may be a good idea, if it is meant. Unmeant, it breaks
# what relied on the frozen body, and nobody measures there.
#
# </details>
# <details><summary>Yes: without gradients, nothing in the body can
# change.</summary>
#
# **No.** Running means and variances are buffers. They move in every forward pass in
# training mode, with or without gradients.
#
# </details>

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun, *Identity Mappings in Deep Residual Networks*,
#   2016, arXiv 1603.05027, section 4.1 and Table 2 (where the ReLU stands).
# - S. Ioffe, C. Szegedy, *Batch Normalization*, 2015, arXiv 1502.03167.
# - Y. Li, N. Wang, J. Shi, J. Liu, X. Hou, *Revisiting Batch Normalization For
#   Practical Domain Adaptation*, 2016, arXiv 1603.04779.
# - C. Zhang, S. Bengio, M. Hardt, B. Recht, O. Vinyals, *Understanding deep learning
#   requires rethinking generalization*, 2017, arXiv 1611.03530.
# - A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.

# %% [markdown]
# **Where to go from here.** This was the last lesson. You have built the block, stacked
# the network, trained it, doubted its scores, looked inside, moved it to other
# pictures, let it say "I don't know", and found what makes a training lie. Take
# pictures and classes of your own through [lesson 06](06_transfer_learning.ipynb). Read
# He et al. (2015) once more: every figure should speak now. Then break something on
# purpose, in a copy of `course_classroom/faults.py`, and let a friend find it. Whoever
# can plant a fault and foresee its symptom has understood the part that it breaks.
