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
# 1. tell a healthy training from an overfitted one, and both from a faulty one;
# 2. run four checks in the first minutes, before a long training;
# 3. read a fault from the curves;
# 4. choose the examination that tells two suspects apart, and name the line;
# 5. say whether the score is invalid, or the network unusable.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (loop, schedule, `eval()`) and
# [Lesson 04](04_per_class_evaluation.ipynb) (a paired comparison).
#
# **Reading** 45 minutes · **exercises** 25 minutes · **run time** quick CPU about 75 s
# (two quiet cores, estimated), full GPU not measured

# %% [markdown]
# ## Three questions from before
#
# Answer aloud, then open.
#
# <details><summary>Lesson 07: what must travel with the weights of a network, so that
# somebody else can use it?</summary>
#
# The order of the classes, and how an image is prepared: its size and the statistics it
# is normalised with.
#
# </details>
# <details><summary>Lesson 06: all weights are frozen, no optimiser is there, and still
# the network changes. How?</summary>
#
# In `train()`, BatchNorm moves its running statistics with every batch that passes. A
# norm stays as it is only in `eval()`.
#
# </details>
# <details><summary>Lesson 04: which images tell which of two networks is
# better?</summary>
#
# Those that only one of the two gets right. `metrics.compare` counts them, and gives
# the lead with its interval.
#
# </details>

# %% tags=["setup"]
# Import what the lesson uses, and start a session
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from course_classroom import faults
from course_classroom.checks import lesson_08 as check
from course_utils import metrics, plotting
from course_utils.results import save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# A wrong shape stops a program. The faults of this lesson stop nothing: the program
# runs to its end and prints a plausible number. Eight trainings have one such fault
# each. Write down guesses:
#
# 1. How many of the eight end with a *worse* validation score than a healthy training?
# 2. Can a fault make a score *better*?
# 3. The training curve is good, the validation curve bad. What would you ask first?
# 4. In how many of the eight are the weights exactly those of a healthy training, and
#    only a score wrong?

# %% [markdown]
# ## 1 · A healthy training
#
# This section prints a training without a fault: every patient departs from it in one
# place. And it shows that healthy does not mean good.
#
# All runs are given the same few images. Validation and test images come **in the order
# of their classes**, as a folder hands them out; a healthy evaluation does not care. A
# further set, the **strangers**, is kept from every run.

# %%
# Few images, every second pixel; validation and test in the order of their classes
from dataclasses import replace

from course_utils.data.arrays import LabelledImages
from course_utils.data.cifar10 import load_cifar10

splits = load_cifar10(session.data_dir)
num_train, num_judged = session.pick(quick=(1000, 500), full=(5000, 1000))


def some(pair, first, last):
    """Return a random part of a split, small and sorted by class."""
    chosen = np.random.default_rng(0).permutation(len(pair.labels))[first:last]
    chosen = chosen[np.argsort(pair.labels[chosen], kind="stable")]
    return LabelledImages(pair.images[chosen, ::2, ::2], pair.labels[chosen])


few = replace(
    splits,
    train=some(splits.train, 0, num_train),
    val=some(splits.val, 0, num_judged),
    test=some(splits.test, 0, num_judged),
)
strangers = some(splits.test, num_judged, 4 * num_judged)
print(few.describe(), f"(training / validation / test), {3 * num_judged} strangers")

# %% [markdown]
# The training has five functions. A `Run` (from `course_classroom.faults`) is a record
# of what belongs to one training. Please keep that file closed until the end of section
# 5: it holds the patients.


# %%
# Batches of normalised images, and a training before its first step
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from course_utils.models import cifar_resnet


def make_loader(pair, mean, std, seed=None):
    """Return batches of 50 images; in random order if there is a seed."""
    images = torch.from_numpy(pair.images).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    data = TensorDataset((images - mean) / std, torch.from_numpy(pair.labels))
    order = torch.Generator().manual_seed(seed or 0)
    return DataLoader(data, batch_size=50, shuffle=seed is not None, generator=order)


def start_run(num_epochs, lr=0.1, seed=0):
    """Return a network, its batches, its optimiser and its schedule."""
    torch.manual_seed(seed)
    model = cifar_resnet(8).to(session.device)
    loader = make_loader(few.train, few.mean, few.std, seed)
    sgd = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=5e-4)
    steps = num_epochs * len(loader)
    cycle = OneCycleLR(sgd, lr, total_steps=steps, cycle_momentum=False)
    return faults.Run(few, model, loader, sgd, cycle, num_epochs)


# %%
# One epoch of training, and the answers to other images
def train_one_epoch(run):
    """Fit every batch once."""
    run.model.train()
    for images, labels in run.train_loader:
        images, labels = images.to(session.device), labels.to(session.device)
        before = faults.weights_of(run.model)  # all weights, in one long vector
        logits = run.model(images)
        loss = F.cross_entropy(logits, labels)
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        faults.note(run, before, loss, logits, labels)  # for section 4
        run.scheduler.step()


@torch.no_grad()
def predict(run, pair):
    """Return the logits of images, in their order."""
    run.model.eval()
    loader = make_loader(pair, few.mean, few.std)
    logits = [run.model(images.to(session.device)) for images, _ in loader]
    return torch.cat(logits).cpu()


# %% [markdown]
# `note` writes into `run.history`: the batch's loss, accuracy and rate, and two numbers
# that section 4 will need. The last function judges each epoch. It takes `predict` as
# an argument, so that a run can be judged wrongly.


# %% tags=["long-run"]
# The whole training, twice: two healthy runs that differ in their seed alone
def train(run, predict=predict):
    """Return the run after its epochs, each judged on the validation images."""
    run.predict = predict
    labels = torch.from_numpy(few.val.labels)
    for _ in range(run.num_epochs):
        train_one_epoch(run)
        logits = run.predict(run, few.val)
        run.history["val_loss"].append(F.cross_entropy(logits, labels).item())
        run.history["val_accuracy"].append(metrics.accuracy(logits, labels))
    return run


def accuracy_on(run, pair):
    """Return the accuracy on a pair, judged as the run judges."""
    return metrics.accuracy(run.predict(run, pair), torch.from_numpy(pair.labels))


num_epochs = session.pick(quick=8, full=30)
healthy = train(start_run(num_epochs, seed=session.seed))
other_seed = train(start_run(num_epochs, seed=session.seed + 100))
for name, run in {"healthy": healthy, "other seed": other_seed}.items():
    print(f"{name:10} {accuracy_on(run, few.val):.1%} on validation images")

# %% tags=["figure"]
# Figure: two panels against epoch, cross-entropy loss and accuracy, for two healthy
# runs of different seeds; training dashed, validation solid.
from matplotlib.ticker import MaxNLocator, PercentFormatter


def draw(axis, run, quantity, color, name, width=1.5):
    """Draw one quantity of a run: training dashed, as epoch means; validation solid."""
    fitted = np.reshape(run.history[quantity], (run.num_epochs, -1)).mean(1)
    style = {"color": color, "linewidth": width}
    epochs = np.arange(run.num_epochs)
    axis.plot(epochs + 0.5, fitted, "--", label=f"{name}, training", **style)
    judged = run.history[f"val_{quantity}"]
    axis.plot(epochs + 1, judged, "-", label=f"{name}, validation", **style)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if quantity == "accuracy":
        axis.yaxis.set_major_formatter(PercentFormatter(1))


fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
    draw(axis, healthy, quantity, "C0", "healthy")
    draw(axis, other_seed, quantity, "C1", "other seed")
    axis.set_xlabel("epoch")
axes[0].set_ylabel("cross-entropy loss")
axes[1].set(ylabel="accuracy", ylim=(0, 1))
axes[1].legend(fontsize="small")
plt.show()

# %% [markdown]
# Two healthy runs; training dashed (a mean over the epoch, so at its middle),
# validation solid. The distance between the colours is luck. The early jump of the
# validation loss is probably BatchNorm's lag, as measured in lesson 03: its running
# statistics trail behind
# weights that move fast.

# %% [markdown]
# *Numbers in the text are recorded on CIFAR-10 photos: means of three runs of this
# lesson with three seeds (in sections 2 and 3, one seed). Yours stand in the outputs;
# the built-in sketches are easier.*
#
# On photos the last epoch has 62 %<!-- results: 08_*photos* scores.healthy.train -->
# right in training and 37 %<!-- results: 08_*photos* scores.healthy.val --> on
# validation images. Good on what it has seen, poor on the rest: it **overfits**.
# Nothing is broken; a thousand images are few. A run that is poor on its *training*
# images **underfits**: too short, a wrong rate, or a fault.
#
# **So what:** a gap between training and validation alone proves no fault in the code;
# judge a run beside a healthy one of the same recipe and beside a second seed.

# %% [markdown]
# ## 2 · The first minutes
#
# This section shows four cheap checks, the first three after Karpathy (2019). A long
# training begins after them.
#
# 1. **Does it begin as somebody who knows nothing?** Who gives each of $K$ classes the
#    same chance has the loss $\log K$.
# 2. **Can it learn one batch by heart?** A sound network can, in a few steps.
# 3. **Does it look at the images?** The same batch, every image blanked to the mean
#    colour, leaves only the shares $p_k$ of its classes to be learned, and no loss
#    below $-\sum p_k \log p_k$.
# 4. **Does it learn at this rate, and at others?** That comes second.


# %%
# The first loss; one batch by heart; the same batch, seeing nothing
def overfit_one_batch(model, images, labels, num_steps=60):
    """Return the loss of a batch after steps on it alone; the model stays as it was."""
    model = copy.deepcopy(model).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(num_steps):
        loss = F.cross_entropy(model(images), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return F.cross_entropy(model(images), labels).item()


batch = next(iter(make_loader(few.train, few.mean, few.std, seed=0)))
one_images, one_labels = (part.to(session.device) for part in batch)
fresh = start_run(num_epochs).model
first_loss = F.cross_entropy(fresh(one_images), one_labels).item()
by_heart = overfit_one_batch(fresh, one_images, one_labels)
blind = overfit_one_batch(fresh, 0 * one_images, one_labels)
shares = one_labels.bincount() / len(one_labels)
floor = -(shares * shares.log()).nansum().item()
print(f"first loss {first_loss:.2f}, log 10 = {np.log(10):.2f}")
print(f"by heart {by_heart:.4f}; blind {blind:.2f}, at best {floor:.2f}")

# %% [markdown]
# On photos: 2.45<!-- results: 08_*photos* first_loss --> against 2.30;
# 0.003<!-- results: 08_*photos* one_batch.heart --> by heart;
# 2.25<!-- results: 08_*photos* one_batch.blind --> blind, where
# 2.25<!-- results: 08_*photos* one_batch.floor --> is the best. A first loss of 5 would
# say that some logits are large before anything was learned. A batch that is not
# learned, or learned blind just as well, is worth an afternoon.
#
# What does learning one batch *not* show? That the labels are right: wrong ones are
# learned as well. That evaluation is right: it takes no part.
#
# **Check 4, the rate.** Sweep it, a factor of ten apart (lesson 03). Here far too high
# ones, up to the absurd. Predict what 1 000 does.

# %% tags=["long-run"]
# Four epochs at four rates
sweep, sweep_found, rows = {}, [], []
for lr in (0.1, 1.0, 10.0, 1000.0):
    sweep[lr] = train(start_run(num_epochs=4, lr=lr))
    losses, val_accuracy = sweep[lr].history["loss"], sweep[lr].history["val_accuracy"]
    numbers = [loss for loss in losses if np.isfinite(loss)]  # no inf, no NaN
    sweep_found.append([max(numbers), val_accuracy[-1], len(numbers)])
    steps_text = f"{len(numbers)} of {len(losses)}"
    rows.append(
        [f"{lr:g}", steps_text, f"{max(numbers):.3g}", f"{val_accuracy[-1]:.1%}"]
    )
show_table(("rate", "steps with a loss", "highest loss", "validation accuracy"), rows)

# %% [markdown]
# On photos, ten times too much still learns:
# 26 %<!-- results: 08_*photos* sweep.1.1 --> against
# 34 %<!-- results: 08_*photos* sweep.0.1 -->. A hundred times too much stays near
# guessing (10 %<!-- results: 08_*photos* sweep.2.1 -->). At 1 000 the loss grows to 27
# digits, and is NaN, *not a number*, for the rest of the training. No error is raised,
# and even that network scores 9 %<!-- results: 08_*photos* sweep.3.1 -->: it gives
# every image the first class.
#
# **So what:** before a long run look at its first loss, at one batch with and without
# its images, and at a few rates.

# %% [markdown]
# ## 3 · A gallery of curves
#
# This section shows what six known faults make of the curves. Three are rates from the
# sweep. Three are new: a schedule built and never stepped, `eval()` forgotten, and
# images judged without normalisation. Sketch them before you look.


# %% tags=["long-run"]
# Two wrong ways to judge, and a schedule that is never stepped
@torch.no_grad()
def predict_without_eval(run, pair):
    """Return the logits in the mode that the training left behind."""
    loader = make_loader(pair, few.mean, few.std)
    return torch.cat([run.model(x.to(session.device)).cpu() for x, _ in loader])


@torch.no_grad()
def predict_unnormalised(run, pair):
    """Return the logits of images whose pixels go from 0 to 1."""
    run.model.eval()
    loader = make_loader(pair, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return torch.cat([run.model(x.to(session.device)).cpu() for x, _ in loader])


unstepped = start_run(num_epochs=4)
unstepped.scheduler.step = lambda: None  # as if the line were missing
unstepped = train(unstepped)
without_eval = train(start_run(num_epochs=4), predict_without_eval)
unnormalised = train(start_run(num_epochs=4), predict_unnormalised)

# %% tags=["figure"]
# Figure: six panels of loss against epoch: ten, a hundred and ten thousand times the
# rate (the last two on a logarithmic axis); schedule never stepped; eval() forgotten;
# not normalised. Healthy grey, faulty orange; training dashed, validation solid.
gallery = {
    "10 times the rate": sweep[1.0],
    "100 times the rate": sweep[10.0],
    "10 000 times the rate": sweep[1000.0],
    "schedule never stepped": unstepped,
    "eval() forgotten": without_eval,
    "not normalised": unnormalised,
}
fig, axes = plt.subplots(2, 3, figsize=(10, 5.6))
for axis, (name, run) in zip(axes.flat, gallery.items(), strict=True):
    draw(axis, sweep[0.1], "loss", "0.7", "healthy", width=3.5)
    draw(axis, run, "loss", "C1", "faulty")
    axis.set(title=name, xlabel="epoch")
absurd = sweep[1000.0].history["loss"]  # batch by batch: an epoch's mean would be NaN
axes[0, 2].plot(np.arange(len(absurd)) * 4 / len(absurd), absurd, "C1--")
axes[0, 2].set_title(f"10 000 times: NaN after {sweep_found[-1][2]} steps")
for axis in axes[0, 1:]:
    axis.set_yscale("log")
for axis in axes[:, 0]:
    axis.set_ylabel("cross-entropy loss")
axes[0, 0].legend(fontsize="x-small")
plt.show()

# %% [markdown]
# Grey is the healthy run, orange the faulty one; every panel has a scale of its own.
#
# - *Rates.* The training loss is wrong: higher, stuck, or thrown up by powers of ten,
#   until it is NaN and the orange line ends.
# - *Schedule.* Nothing breaks; it is slow. One cycle begins at a 25th of its highest
#   rate, and there it stays.
# - *The two judges.* The training curve lies inside the healthy one, to the last digit;
#   only validation is bad.
#
# How to tell those two apart? Ask the same weights about the same images in another
# order.

# %%
# The same weights, the same images: sorted by class, and mixed
order = np.random.default_rng(1).permutation(num_judged)
mixed = LabelledImages(few.val.images[order], few.val.labels[order])
by_order = {}
for name, run in {"without eval()": without_eval, "unnormalised": unnormalised}.items():
    patient = replace(run, model=copy.deepcopy(run.model))  # asking may change it
    by_order[name] = [accuracy_on(patient, pair) for pair in (few.val, mixed)]
    print(f"{name:15} sorted {by_order[name][0]:.1%}, mixed {by_order[name][1]:.1%}")

# %% [markdown]
# On photos, without `eval()`: 15 %<!-- results: 08_*photos* by_order.0.0 --> sorted,
# 34 %<!-- results: 08_*photos* by_order.0.1 --> mixed. BatchNorm takes its statistics
# from the batch, and in a batch of nothing but frogs it takes away what all frogs
# share. In mixed batches the damage is small and goes unseen: that is the danger.
# Unnormalised: 16 %<!-- results: 08_*photos* by_order.1.0 --> in either order.
#
# **So what:** first ask *which curve* is wrong. Training: look at rate, gradient, loss.
# Validation alone: look at mode and preparation, and change the order.

# %% [markdown]
# ## 4 · Examinations
#
# This section diagnoses one patient together, then holds the tools for the eight.
#
# An examination asks a finished run one question, in seconds. Here is a patient.

# %% tags=["long-run"]
# Figure: a patient to diagnose together, orange, beside the healthy run, grey: loss and
# accuracy against epoch; training dashed, validation solid.
practice = faults.practice(few, session.device, num_epochs, session.seed)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
    draw(axis, healthy, quantity, "0.7", "healthy", width=3.5)
    draw(axis, practice, quantity, "C1", "patient")
    axis.set(xlabel="epoch", ylabel=quantity)
axes[0].legend(fontsize="small")
plt.show()
last_loss = {}
for name, run in {"healthy": healthy, "practice": practice}.items():
    last_loss[name] = float(np.mean(run.history["loss"][-len(run.train_loader) :]))

# %% [markdown]
# *Which curve?* The training loss: it falls, slowly, and stays high, on photos at
# 2.16<!-- results: 08_*photos* last_loss.practice --> where the healthy run has
# 1.16<!-- results: 08_*photos* last_loss.healthy -->. So suspect rate, gradient or
# loss, and not the way it is judged. Write down two suspects.
#
# Now the questions. Evaluation: do answers depend on the other images of their batch?
# Are pixels judged like those that were fitted? Images: does the healthy network read
# the training labels as the run was told them? Are strangers recognised as well as the
# test images?


# %%
# Questions about evaluation and images; each answer is a list of numbers
def moved_by_order(run):
    """Return the share of answers that change when the images are mixed."""
    answers = run.predict(run, few.val).argmax(1)
    moved = run.predict(run, mixed).argmax(1) != answers[order]
    return [moved.float().mean().item()]


def pixels(run):
    """Return mean and spread of the numbers that were fitted, and that are judged."""
    arrived = []
    run.model.register_forward_pre_hook(lambda model, inputs: arrived.append(inputs[0]))
    run.predict(run, few.val)
    judged = torch.cat(arrived)
    fitted = torch.cat([images for images, _ in run.train_loader])
    return [f(t).item() for t in (fitted, judged) for f in (torch.mean, torch.std)]


def labels_agreed(run):
    """Return the share of its training labels that the healthy network gives too."""
    return [metrics.accuracy(*metrics.collect_logits(healthy.model, run.train_loader))]


def test_and_strangers(run):
    """Return the accuracy on the test images, and on others of the same kind."""
    return [accuracy_on(run, few.test), accuracy_on(run, strangers)]


# %% [markdown]
# Then the network. What did the steps look like: which **rate**, how long a
# **gradient**, and how long a **step, relative to the weights**?
#
# And the **activations**: is a channel dead, zero for all fifty images asked? Can a
# block still do what a block can? A healthy branch raises some numbers of its shortcut
# and *lowers* others (lesson 01).

# %%
# Questions about the steps and the network
from course_utils.models.resnet import BasicBlock


def steps(run):
    """Return the highest and last rate, the median gradient, the largest step."""
    history = run.history
    gradient = float(np.median(history["gradient"]))
    return [max(history["rate"]), history["rate"][-1], gradient, max(history["step"])]


def lowered_and_dead(run):
    """Return the least share of numbers that a block lowers, the most dead channels."""
    lowered, dead = [], []

    def look(block, inputs, output):
        x = inputs[0]
        shortcut = x if block.downsample is None else block.downsample(x)
        lowered.append((output < shortcut).float().mean().item())
        dead.append((output.amax((0, 2, 3)) == 0).float().mean().item())

    for part in run.model.modules():
        if isinstance(part, BasicBlock):
            part.register_forward_hook(look)
    run.predict(run, LabelledImages(*(part[:50] for part in mixed)))  # one batch
    return [min(lowered), max(dead)]


# %%
# Ask everything, of a copy: a question must not change the patient
EXAMINATIONS = {
    "highest, last rate; gradient; step": (steps, "{:.3f}, {:.4f}; {:.2f}; {:.1%}"),
    "training labels agreed": (labels_agreed, "{:.0%}"),
    "pixels fitted, judged": (pixels, "{:.2f} ± {:.2f}, {:.2f} ± {:.2f}"),
    "answers moved by the order": (moved_by_order, "{:.0%}"),
    "test, strangers": (test_and_strangers, "{:.0%}, {:.0%}"),
    "lowered at least, dead at most": (lowered_and_dead, "{:.0%}, {:.0%}"),
}


def examine(run):
    """Return the numbers that each examination finds."""
    found = {}
    for name, (question, _) in EXAMINATIONS.items():
        found[name] = question(replace(run, model=copy.deepcopy(run.model)))
    return found


def as_text(found):
    """Return the findings as text, one an examination."""
    return [form.format(*found[name]) for name, (_, form) in EXAMINATIONS.items()]


def ask(name, run):
    """Show what the examinations find, beside the two healthy runs."""
    texts = [as_text(found) for found in (*sound_findings.values(), examine(run))]
    rows = zip(EXAMINATIONS, *texts, strict=True)
    show_table(("examination", *sound_findings, name), rows)


sound_findings = {"healthy": examine(healthy), "other seed": examine(other_seed)}
ask("patient", practice)

# %% [markdown]
# The two healthy columns are the measure: what stands far from *both* is a finding.
# *Test, strangers* needs most care. These are different images, 500 and 1 500: with
# eight patients, a gap up to 7 points may be luck.
#
# Here the rates are as planned, the labels agree, evaluation is sound. But gradient and
# step are several times shorter: something between network and loss holds them back.
# One batch by heart would have told.

# %%
# The patient's own network learns one batch
stuck = overfit_one_batch(practice.model, one_images, one_labels)
least = np.log(np.e + 9) - 1
print(f"patient {stuck:.2f}, healthy {by_heart:.4f}; log(e + 9) − 1 = {least:.2f}")

# %% [markdown]
# On photos it stays at 1.80<!-- results: 08_*photos* one_batch.stuck -->, above a floor
# that no step can pass. If the network's ten outputs can only lie between 0 and 1 and
# add up to 1, the best they can be is one 1 and nine 0, and cross-entropy makes
# $-\log\frac{e}{e + 9} = 1.46$ of it.
#
# <details><summary>The diagnosis, and the line</summary>
#
# **Softmax before the loss.** `cross_entropy` wants logits; it takes the softmax
# itself.
#
# ```diff
# - model = nn.Sequential(cifar_resnet(8), nn.Softmax(dim=1))
# + model = cifar_resnet(8)
# ```
#
# </details>
#
# **So what:** curve, suspects, then the one question whose answer parts them.

# %% [markdown]
# ## 5 · Eight patients
#
# This section is yours. Each of the eight has one of these faults:
#
# - *eval() missing*, *wrong statistics*, *rate too high*, *scheduler never stepped*: as
#   in the gallery;
# - *gradients never zeroed*: the line `optimizer.zero_grad()` is not there;
# - *labels shuffled*: images and labels no longer belong together;
# - *ReLU before the addition*: one more ReLU, behind a block's second norm;
# - *test images leaked*: some of the training images are the test images.
#
# Each has the seed of the healthy run. The letters were drawn.

# %% tags=["long-run"]
# Train the eight; validation compared with the healthy run on the same images
patients = {}
for letter in "ABCDEFGH":
    patients[letter] = faults.patient(
        letter, few, session.device, num_epochs, session.seed
    )
val_labels = torch.from_numpy(few.val.labels)
healthy_answers = predict(healthy, few.val).argmax(1)
scores, leads, rows = {}, {}, []
for name, run in {"healthy": healthy, "other seed": other_seed, **patients}.items():
    patient = replace(run, model=copy.deepcopy(run.model))
    fitted = float(np.mean(run.history["accuracy"][-len(run.train_loader) :]))
    answers = patient.predict(patient, few.val).argmax(1)
    lead = metrics.compare(val_labels, answers, healthy_answers, comparisons=9)
    test = accuracy_on(patient, few.test)
    val = (answers == val_labels).double().mean().item()
    scores[name.replace(" ", "_")] = {"train": fitted, "val": val, "test": test}
    leads[name.replace(" ", "_")] = lead._asdict()
    between = f"{100 * lead.low:+.0f} to {100 * lead.high:+.0f} points"
    rows.append([name, f"{fitted:.1%}", f"{val:.1%}", f"{test:.1%}", between])
rows[0][-1] = "–"  # the healthy run against itself
heads = ("run", "training", "validation", "test", "validation minus healthy")
show_table(heads, rows)

# %% tags=["figure"]
# Figure: accuracy against epoch, eight panels A to H; the healthy run in grey, the
# patient in orange; training dashed, validation solid.
fig, axes = plt.subplots(2, 4, figsize=(10, 5), sharex=True, sharey=True)
for axis, (letter, run) in zip(axes.flat, patients.items(), strict=True):
    draw(axis, healthy, "accuracy", "0.7", "healthy", width=3.5)
    draw(axis, run, "accuracy", "C1", "patient")
    axis.set(title=letter, ylim=(0, 1))
for axis in axes[:, 0]:
    axis.set_ylabel("accuracy")
for axis in axes[1]:
    axis.set_xlabel("epoch")
axes[0, 0].legend(fontsize="x-small")
plt.show()

# %% [markdown]
# The last column is a 95 % interval, corrected for nine comparisons; where it holds 0,
# no difference is seen. The row *other seed* is what luck makes of it.
#
# Sort the eight first: is the training curve wrong, only validation, or nothing? Write
# down a suspect, then ask.

# %%
# Ask a patient, in a second or two; change both letters
ask("A", patients["A"])

# %% [markdown]
# ### ★★★ Name the faults
#
# Each fault was planted once. The check counts what is right.
#
# **Stop here** until your eight names stand in the next cell. Everything below it
# tells.

# %% tags=["exercise"]
# Write the fault behind each letter, as the list above spells it
diagnosis = {"A": None, "B": None, "C": None, "D": None}
diagnosis |= {"E": None, "F": None, "G": None, "H": None}

check.diagnosis(diagnosis)

# %% tags=["solution"]
# Solution (the folds below say why)
diagnosis = faults.answers()

check.diagnosis(diagnosis)

# %% [markdown]
# ### What the examinations find
#
# All answers, and whether a patient's weights equal the healthy run's, bit by bit (on a
# CPU; a GPU may round otherwise).

# %%
# All examinations of all patients
findings = {letter: examine(run) for letter, run in patients.items()}
sound = faults.weights_of(healthy.model)
rows = []
for letter, found in findings.items():
    same = torch.equal(faults.weights_of(patients[letter].model), sound)
    rows.append([letter, *as_text(found), "equal" if same else "other"])
show_table(("patient", *EXAMINATIONS, "weights"), rows)

# %% [markdown]
# Open a patient when you have named it. Numbers are of the photo runs.
#
# <details><summary>A</summary>
#
# **Test images leaked.** 62 %<!-- results: 08_*photos* scores.A.test --> on test
# images, 37 %<!-- results: 08_*photos* found.A.4.1 --> on strangers: 25 points apart,
# where the healthy runs have less than 4. The healthy run, which never saw the leaked
# images, reads 52 %<!-- results: 08_*photos* found.A.1.0 --> of its training labels.
#
# ```diff
# - images = np.concatenate([fitted.images[keep], tested.images])
# - labels = np.concatenate([fitted.labels[keep], tested.labels])
# + images, labels = fitted
# ```
#
# </details>
# <details><summary>B</summary>
#
# **Scheduler never stepped.** The rate stays at 0.004, so steps are short: at most
# 0.1 %<!-- results: 08_*photos* found.B.0.3 --> of the weights.
#
# ```diff
#   note(run, before, loss, logits, labels)
# + run.scheduler.step()
# ```
#
# </details>
# <details><summary>C</summary>
#
# **Wrong statistics.** The pixels judged have mean
# 0.47<!-- results: 08_*photos* found.C.2.2 --> and spread
# 0.25<!-- results: 08_*photos* found.C.2.3 -->, those fitted 0 and 1. The order changes
# nothing. A dead channel here is dead on such pixels; the weights are the healthy ones.
#
# ```diff
# - loader = make_loader(pair, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
# + loader = make_loader(pair, run.splits.mean, run.splits.std)
# ```
#
# </details>
# <details><summary>D</summary>
#
# **Labels shuffled.** The trap: the training curve need not give it away. On photos it
# ends at 69 %<!-- results: 08_*photos* scores.D.train -->, the healthy one at
# 62 %<!-- results: 08_*photos* scores.healthy.train -->; on the sketches it
# ends lower. Random labels can be learned by heart (Zhang et
# al., 2017). The healthy run reads 10 %<!-- results: 08_*photos* found.D.1.0 --> of
# them.
#
# ```diff
# - pair = LabelledImages(images, np.random.default_rng(run.seed).permutation(labels))
# + pair = LabelledImages(images, labels)
# ```
#
# </details>

# %% [markdown]
# <details><summary>E</summary>
#
# **Rate too high.** The rate is 1.0 in place of 0.1, the largest step
# 5 %<!-- results: 08_*photos* found.E.0.3 --> of the weights, and in one block
# 35 %<!-- results: 08_*photos* found.E.5.1 --> of the channels are dead. Validation
# tells little: 33 %<!-- results: 08_*photos* scores.E.val -->, and
# 37 %<!-- results: 08_*photos* scores.healthy.val --> in the healthy run.
#
# ```diff
# - return train(start(lr=10 * LR))
# + return train(start(lr=LR))
# ```
#
# </details>
# <details><summary>F</summary>
#
# **ReLU before the addition.** A branch that ends with a ReLU can only add: it lowers
# 0 %<!-- results: 08_*photos* found.F.5.0 --> of the numbers. Written in a block's
# `forward` as `out = self.relu(self.bn2(out))`, it leaves weights that load into the
# paper's network, which then gives other answers. With 110 layers, a last ReLU
# *moved* in front of the sum did harm (He et al., 2016, section 4.1).
#
# ```diff
# - block.bn2 = nn.Sequential(block.bn2, nn.ReLU())
# ```
#
# </details>
# <details><summary>G</summary>
#
# **eval() missing.** Another order changes
# 51 %<!-- results: 08_*photos* found.G.3.0 --> of the answers.
#
# ```diff
# + run.model.eval()
#   loader = make_loader(pair, run.splits.mean, run.splits.std)
# ```
#
# </details>
# <details><summary>H</summary>
#
# **Gradients never zeroed.** The rates are as planned, and yet the median gradient has
# length 49<!-- results: 08_*photos* found.H.0.2 -->, the largest step
# 16 %<!-- results: 08_*photos* found.H.0.3 --> of the weights: each step adds up the
# gradients of all batches before.
#
# ```diff
# + run.optimizer.zero_grad()
#   loss.backward()
# ```
#
# </details>

# %% [markdown]
# ### The score invalid, or the network unusable?
#
# *Is the score a true statement about this network?* And *is this the network that you
# wanted?*
#
# | patient | score | network |
# | --- | --- | --- |
# | A | test invalid; strangers tell the truth | works; not the images you meant |
# | B | true | undertrained |
# | C | invalid | sound: judge again |
# | D | true | useless |
# | E | true | works; not the plan, some channels dead |
# | F | true | works; another network than its name says |
# | G | invalid | sound weights; renew the statistics, judge again |
# | H | true | useless |
#
# Guess 4: in two, C and G. Their weights *are* the healthy run's, bit by bit.

# %% [markdown]
# Guesses 1 and 2. On photos B, C, D, G and H end below the healthy run on validation,
# beyond the corrected interval, with all three seeds; E with one of three; A and F with
# none. And A's leak *lifts* a score:
# 62 %<!-- results: 08_*photos* scores.A.test --> on test images, against
# 39 %<!-- results: 08_*photos* scores.healthy.test -->.
#
# G has sound weights, and strange statistics: judged in training mode, its norms took
# in validation images, one class after the other. `update_bn` forgets the running
# statistics and takes their mean over the training batches.

# %%
# Renew the statistics of a network that was judged in training mode
from torch.optim.swa_utils import update_bn

by_letter = {fault: letter for letter, fault in faults.answers().items()}
run = patients[by_letter["eval() missing"]]
repaired = copy.deepcopy(run.model)
repair = [scores[by_letter["eval() missing"]]["val"]]
repair += [accuracy_on(replace(healthy, model=repaired), few.val)]  # with eval()
update_bn(run.train_loader, repaired, session.device)
repair += [accuracy_on(replace(healthy, model=repaired), few.val)]
print("as judged {:.1%}, with eval() {:.1%}, statistics renewed {:.1%}".format(*repair))

# %% [markdown]
# On photos: 16.1 %<!-- results: 08_*photos* repair.0 --> as judged,
# 35.5 %<!-- results: 08_*photos* repair.1 --> with `eval()`, and
# 36.8 %<!-- results: 08_*photos* repair.2 --> with renewed statistics; the healthy run
# has 36.8 %<!-- results: 08_*photos* scores.healthy.val -->. Here `eval()` was nearly
# all.
#
# **So what:** ask what the score says and what the network is; an evaluation gone wrong
# costs minutes to repair, a training gone wrong costs the training.

# %% [markdown]
# ## Myths, tested
#
# ### "If the training loss falls, the code is right"

# %%
# Training loss of the first and of the last epoch
fell = 0
for letter, run in patients.items():
    losses = np.reshape(run.history["loss"], (num_epochs, -1)).mean(1)
    fell += bool(losses[-1] < losses[0])
    print(f"{letter} {losses[0]:6.2f} → {losses[-1]:6.2f}")
print(f"It fell in {fell} of 8 faulty runs.")

# %% [markdown]
# On photos it fell in 7<!-- results: 08_*photos* fell --> of the 8, with every seed.
# Refuted. The loss falls where the network can fit *what it is given*, meant or not.

# %% [markdown]
# ## Results
#
# The next cell made the recorded numbers.

# %%
# Keep this run's numbers
result = {
    "lesson": "08_debugging",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,
    "scores": scores,
    "lead": leads,
    "first_loss": first_loss,
    "one_batch": {"heart": by_heart, "blind": blind, "floor": floor, "stuck": stuck},
    "sweep": sweep_found,
    "by_order": list(by_order.values()),
    "last_loss": last_loss,
    "found": {
        name.replace(" ", "_"): list(found.values())
        for name, found in {**sound_findings, **findings}.items()
    },
    "repair": repair,
    "fell": fell,
}
path = session.run_dir("08_debugging") / "result.json"
save_result(path, result, session.device)
session.report(f"healthy {scores['healthy']['val']:.1%}", data=few.describe())

# %% [markdown]
# **What this does not show.** Each examination was written for a fault that we knew;
# one that nobody thought of may pass them all. One strength of each fault, short
# trainings, few images: a smaller leak or a milder rate shows less. And real runs may
# have two faults, one hiding the other.

# %% [markdown]
# ## Summary
#
# 1. *Healthy, overfitted, faulty.* A gap alone is no fault; a healthy run of the same
#    recipe and a second seed are the yardstick.
# 2. *First minutes.* First loss near log K; one batch by heart, and not when blind; a
#    sweep of the rate.
# 3. *Curves.* Training wrong: rate, gradient, loss. Only validation wrong: mode or
#    preparation. Both odd, or validation at chance: labels too. Test far above
#    strangers: a leak.
# 4. *Examinations.* Order, pixels, labels, strangers, steps, activations: ask the one
#    on which two suspects disagree.
# 5. *Invalid or unusable.* Where only the evaluation is wrong, judge again (renew moved
#    statistics first); after a leak, judge on images no run has seen; else train again.

# %% [markdown]
# ## Exercises
#
# The ★★★ stands in section 5.
#
# ### ★ The same image twice
#
# Training and test images should share nothing. Given two sets of images, uint8
# (N, H, W, 3), return the positions in the *second* set of those that are in the first
# as well, equal in every pixel, in ascending order. The last step is missing.
#
# Expected: for a set and itself, all positions from 0.


# %% tags=["exercise"]
# Finish the function: which images of the second set are known?
def shared_images(first: np.ndarray, second: np.ndarray) -> list[int]:
    """Return the positions in `second` of the images that `first` holds too."""
    known = set()  # quick to look up
    for image in first:
        known.add(image.tobytes())
    raise NotImplementedError  # the last step


check.shared_images(shared_images)


# %% tags=["solution"]
# Solution
def shared_images(first: np.ndarray, second: np.ndarray) -> list[int]:
    """Return the positions in `second` of the images that `first` holds too."""
    known = set()  # quick to look up
    for image in first:
        known.add(image.tobytes())
    return [k for k, image in enumerate(second) if image.tobytes() in known]


check.shared_images(shared_images)

# %% [markdown]
# ### ★★ What moves without a step?
#
# Return the names of the **buffers** that one forward pass of `images` changes, with
# every part of the network in the mode in which you find it. The network handed over
# must stay as it was. Two steps are missing.
#
# Expected: an empty list for `cifar_resnet(8).eval()`; in `train()`, three buffers for
# each of its norms.


# %% tags=["exercise"]
# Finish the function: let the images pass, then compare
def moved_buffers(model: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Return the names of the buffers that a forward pass changes."""
    double = copy.deepcopy(model)
    raise NotImplementedError  # first: the images pass through the double
    after = dict(double.named_buffers())
    return list(after)  # second: only names whose value is another in `model`


check.moved_buffers(moved_buffers)


# %% tags=["solution"]
# Solution
def moved_buffers(model: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Return the names of the buffers that a forward pass changes."""
    double = copy.deepcopy(model)
    double(images)
    after = dict(double.named_buffers())
    return [
        name
        for name, before in model.named_buffers()
        if not torch.equal(before, after[name])
    ]


check.moved_buffers(moved_buffers)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. Training accuracy is as usual, validation accuracy near chance. You judge the
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
# **2. You forgot `eval()` when validating, and have now put it in. No weight has moved
# in validation. Why may the score still be off?**
#
# <details><summary>Judging in training mode has moved the running
# statistics.</summary>
#
# **Right.** Under `no_grad()` no weight moves, but BatchNorm in training mode still
# updates its buffers. `update_bn` takes them anew from training images.
#
# </details>
# <details><summary>The optimiser has learned from the validation images, so they are no
# longer unseen.</summary>
#
# **No.** Without a backward pass and a step, no weight changes.
#
# </details>
# <details><summary>Weights that were once judged wrongly stay wrong.</summary>
#
# **No.** A judgement leaves no trace in them: section 5 found them equal to the healthy
# run's, bit by bit.
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
# **4. A network brings the loss of a single batch to 0.003 in sixty steps. Which fault
# can it still have?**
#
# <details><summary>A softmax before the cross-entropy.</summary>
#
# **No.** With ten classes the loss would stop at 1.46 or above.
#
# </details>
# <details><summary>All layers but the last are frozen by mistake.</summary>
#
# **No.** The body's fixed features leave the loss of a batch well above what a sound
# network reaches in the same sixty steps.
#
# </details>
# <details><summary>No gradient reaches any weight.</summary>
#
# **No.** Without gradients the loss of the batch would not fall at all.
#
# </details>
# <details><summary>Labels that belong to other images.</summary>
#
# **Right.** Wrong labels are learned by heart like right ones. The test sees what holds
# learning back, and not whether the task is the one you meant.
#
# </details>

# %% [markdown]
# **5. A run scores like the healthy one on training, validation and test. What follows
# for its code?**
#
# <details><summary>It is right: three scores cannot all be wrong by luck.</summary>
#
# **No.** On photos F's validation score was not worse than the healthy run's beyond
# luck with any seed, and it is another network than its name says.
#
# </details>
# <details><summary>Little: a fault may leave all three scores alone.</summary>
#
# **Right.** A score says how a run ended. What was computed on the way is for
# examinations to say.
#
# </details>
# <details><summary>It is wrong: two runs should never score alike.</summary>
#
# **No.** Two healthy runs with different seeds score alike, up to luck.
#
# </details>

# %% [markdown]
# ## References
#
# - A. Karpathy, *A Recipe for Training Neural Networks*, 2019,
#   karpathy.github.io/2019/04/25/recipe.
# - K. He, X. Zhang, S. Ren, J. Sun, *Identity Mappings in Deep Residual Networks*,
#   2016, arXiv 1603.05027, section 4.1.
# - C. Zhang, S. Bengio, M. Hardt, B. Recht, O. Vinyals, *Understanding deep learning
#   requires rethinking generalization*, 2017, arXiv 1611.03530.

# %% [markdown]
# **Where to go from here.** This was the last lesson. Take pictures and classes of your
# own through [lesson 06](06_transfer_learning.ipynb). Read He et al. (2015) once more:
# every figure should speak now. Then break something on purpose, in a copy of
# `course_classroom/faults.py`, and let a friend find it. Whoever can plant a fault and
# foresee its symptom has understood the part that it breaks.
