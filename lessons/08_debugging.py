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
# [Lesson 04](04_per_class_evaluation.ipynb) (how much of a score is luck).
#
# **Reading** 35 minutes · **exercises** 25 minutes · **run time** quick CPU about 76 s
# (two quiet cores), full GPU not measured

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
# <details><summary>Lesson 04: on the same 500 images one network has 50 % right,
# another 53 %. Is the second better?</summary>
#
# That is not known yet: so small a lead may be luck. `metrics.compare` counts the
# images that only one of the two gets right, and gives the lead with its interval.
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
# 3. In how many of the eight are the weights exactly those of a healthy training, and
#    only a score wrong?

# %% [markdown]
# ## 1 · A healthy training
#
# This section prints a training without a fault. Every patient departs from it in one
# place.
#
# All runs are given the same few images. Validation and test images come **in the order
# of their classes**, as a folder hands them out. Further images of the same ten
# classes, here called **strangers**, are kept from every run.

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
print(few.describe(), "(training / validation / test)")
print(f"{len(strangers.labels)} strangers")

# %% [markdown]
# A `Run` (from `course_classroom.faults`) keeps together what belongs to one training.
# Please leave that file closed until the end of section 5: it holds the patients.


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
# `note` writes what a batch was like into `run.history`. `train` takes `predict` as an
# argument, so that a run can be judged wrongly.


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
# Training is dashed (means of an epoch, drawn at its middle), validation solid. The
# colours differ in the seed alone: their distance is luck. The early jump of the
# validation loss is probably what lesson 03 measured: BatchNorm's running statistics
# trail behind weights that move fast.

# %% [markdown]
# *Numbers in the text are recorded on CIFAR-10 photos in the quick profile: means of
# three seeds (in sections 2 and 3, one seed). Yours stand in the outputs; the built-in
# sketches are easier.*
#
# On photos the last epoch has 62 %<!-- results: 08_*photos* found.healthy.0.0 -->
# right in training and 37 %<!-- results: 08_*photos* found.healthy.0.1 --> on
# validation images: it **overfits**. Nothing is broken; a thousand images are few. A
# run that is poor on its *training* images **underfits**: it was too short, for
# instance, or has a fault.
#
# **So what:** a gap between training and validation does not prove a fault. Judge a run
# beside a healthy one of the same recipe, and beside a second seed.

# %% [markdown]
# ## 2 · The first minutes
#
# This section shows four cheap checks, the first three after Karpathy (2019).
#
# 1. **Does it begin as somebody who knows nothing?** Who gives each of $K$ classes the
#    same chance has the loss $\log K$.
# 2. **Can it learn one batch by heart?** A sound network can, in a few steps.
# 3. **Does it look at the images?** With all images of that batch blanked to the mean
#    colour it must fail: only how often each class comes is left to learn.
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
# The images are normalised, so 0 is the mean colour
blind = overfit_one_batch(fresh, 0 * one_images, one_labels)
print(f"first loss {first_loss:.2f}, log 10 = {np.log(10):.2f}")
print(f"one batch by heart {by_heart:.4f}, blind {blind:.2f}")

# %% [markdown]
# On photos the first loss is 2.45<!-- results: 08_*photos* first_loss -->. By heart it
# falls to 0.003<!-- results: 08_*photos* one_batch.heart -->; blind it stays at
# 2.25<!-- results: 08_*photos* one_batch.blind -->. If a batch is not learned, or is
# learned blind just as well, stop and look for the fault.
#
# Learning one batch does *not* show that the labels are right: wrong ones are learned
# as well. And it says nothing about evaluation.
#
# **Check 4, the rate.** Change it by factors of ten, as in lesson 03. Here are rates
# far too high. Predict what 1 000 does.

# %% tags=["long-run"]
# Four epochs at four rates
sweep, sweep_found = {}, []
for lr in (0.1, 1.0, 10.0, 1000.0):
    sweep[lr] = train(start_run(num_epochs=4, lr=lr))
    last_loss = sweep[lr].history["loss"][-1]
    val_accuracy = sweep[lr].history["val_accuracy"][-1]
    sweep_found.append(val_accuracy)
    print(f"rate {lr:6g}: last loss {last_loss:.2f}, validation {val_accuracy:.1%}")

# %% [markdown]
# On photos, ten times too much still learns:
# 26 %<!-- results: 08_*photos* sweep.1 --> on validation images, against
# 34 %<!-- results: 08_*photos* sweep.0 -->. A hundred times too much stays near
# guessing (10 %<!-- results: 08_*photos* sweep.2 -->). At a rate of 1 000, ten
# thousand times too much, the loss soon is NaN, *not a number*, and stays so. No error
# is raised. Even that network scores 9 %<!-- results: 08_*photos* sweep.3 -->: it
# gives every image the first class.
#
# **So what:** before a long run look at its first loss, at one batch with and without
# its images, and at a few rates.

# %% [markdown]
# ## 3 · A gallery of curves
#
# This section shows the curves of six known faults. Three are rates from the
# sweep. Three are new: a schedule never stepped, `eval()` forgotten, and images judged
# without normalisation. Sketch the curves before you look.


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
axes[0, 2].set_title(f"10 000 times: NaN after {np.isfinite(absurd).sum()} steps")
for axis in axes[0, 1:]:
    axis.set_yscale("log")
for axis in axes[:, 0]:
    axis.set_ylabel("cross-entropy loss")
axes[0, 0].legend(fontsize="x-small")
plt.show()

# %% [markdown]
# Every panel has a scale of its own.
#
# - *Rates.* At 10 times the training loss is higher; at 100 and 10 000 times it is
#   thrown up by powers of ten; at 10 000 it turns NaN, and the orange line ends.
# - *Schedule.* Learning is slow: the rate stays where this schedule begins, at a 25th
#   of its highest value.
# - *The two judges.* The training curve lies inside the healthy one, to the last digit;
#   only validation is bad.
#
# What tells the two judges apart? Ask about the same images in another order.

# %%
# The same weights, the same images: sorted by class, and mixed
order = np.random.default_rng(1).permutation(num_judged)
mixed = LabelledImages(few.val.images[order], few.val.labels[order])
by_order = {}
for name, run in {"without eval()": without_eval, "unnormalised": unnormalised}.items():
    by_order[name] = [accuracy_on(run, pair) for pair in (few.val, mixed)]
    print(f"{name:15} sorted {by_order[name][0]:.1%}, mixed {by_order[name][1]:.1%}")

# %% [markdown]
# On photos, without `eval()`: 15 %<!-- results: 08_*photos* by_order.0.0 --> sorted,
# 34 %<!-- results: 08_*photos* by_order.0.1 --> mixed. BatchNorm takes its statistics
# from the batch, and in a batch of nothing but frogs it takes away what all frogs
# share. In mixed batches the damage is small and goes unseen. Without normalisation it
# is 16 %<!-- results: 08_*photos* by_order.1.0 --> in either order.
#
# **So what:** ask *which curve* is wrong. If training is, look at rate, gradient, loss
# and labels. If only validation is, look at mode, preparation and, again, labels.

# %% [markdown]
# ## 4 · Examinations
#
# This section diagnoses one patient together, and makes the tools for the eight: an
# examination asks a finished run one question, in seconds.

# %% tags=["long-run"]
# Train a patient to diagnose together
setting = few, session.device, num_epochs, session.seed
practice = faults.practice(*setting)

# %% tags=["figure"]
# Figure: a patient to diagnose together, orange, beside the healthy run, grey: loss and
# accuracy against epoch; training dashed, validation solid.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
    draw(axis, healthy, quantity, "0.7", "healthy", width=3.5)
    draw(axis, practice, quantity, "C1", "patient")
    axis.set(xlabel="epoch", ylabel=quantity)
axes[0].legend(fontsize="small")
plt.show()

# %% [markdown]
# *Which curve?* The training loss: it falls slowly and stays high. So suspect rate,
# gradient, loss or labels, and not the way the run is judged.
#
# The first questions are about images and evaluation. One needs a **hook**: a function
# that PyTorch calls whenever a layer runs. It is handed what goes in and, afterwards,
# what comes out.


# %%
# Questions about images and evaluation; each answer is a list of numbers
def labels_agreed(run):
    """Return the share of its training labels that the healthy network gives too."""
    # the healthy network is asked after its training, in eval()
    return [metrics.accuracy(*metrics.collect_logits(healthy.model, run.train_loader))]


def pixels(run):
    """Return the mean of the numbers that the network is given when it is judged."""
    seen = []
    run.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    run.predict(run, few.val)
    return [torch.cat(seen).mean().item()]


def in_another_order(run):
    """Return the accuracy on the validation images, mixed."""
    return [accuracy_on(run, mixed)]


def test_and_strangers(run):
    """Return the accuracy on the test images, and on others of the same kind."""
    return [accuracy_on(run, few.test), accuracy_on(run, strangers)]


# %% [markdown]
# The next questions are about the training and the network. `steps` reads what `note`
# wrote: the rate, the length of the **gradient**, and the length of the **step relative
# to the weights**. A branch lowers its shortcut (lesson 01) where the number that it
# adds is negative; `branches` looks for such numbers.


# %%
# Questions about the training and the network
def ends(run):
    """Return the last epoch's accuracy on training and on validation images."""
    fitted = run.history["accuracy"][-len(run.train_loader) :]
    return [float(np.mean(fitted)), run.history["val_accuracy"][-1]]


def steps(run):
    """Return the highest and last rate, the median gradient, the largest step."""
    history = run.history
    gradient = float(np.median(history["gradient"]))
    return [max(history["rate"]), history["rate"][-1], gradient, max(history["step"])]


def branches(run):
    """Return the lowest share of negative numbers in a branch, over all batches."""
    shares = []

    def look(layer, inputs, output):
        shares.append((output < 0).float().mean().item())

    for name, layer in run.model.named_modules():
        if name.endswith("bn2"):  # the last layer of a branch
            layer.register_forward_hook(look)
    run.predict(run, few.val)
    return [min(shares)]


# %%
# Ask everything, of a copy: a question must not change the patient
ASKED = (ends, steps, labels_agreed, pixels, in_another_order)
ASKED += (test_and_strangers, branches)


def examine(run):
    """Return the answers to all questions, a list each."""
    run = replace(run, model=copy.deepcopy(run.model))
    return [question(run) for question in ASKED]


sound = {"healthy": examine(healthy), "healthy_2": examine(other_seed)}
examined = examine(practice)

# %% [markdown]
# The table's last column says what a row tells.

# %% tags=["figure"]
# Figure: a table of all answers, a row each, for the two healthy runs and the patient;
# the last column says what a row tells.
ROWS = [
    ("training", ".0%", "which curve?"),
    ("validation", ".0%", "which curve?"),
    ("highest rate", ".3f", "as planned?"),
    ("last rate", ".3f", "as planned?"),
    ("gradient", ".1f", "what the loss sends back"),
    ("largest step", ".1%", "what the optimiser makes of it"),
    ("labels agreed", ".0%", "its labels, on its images?"),
    ("mean pixel", ".1f", "near 0: normalised"),
    ("validation, mixed", ".0%", "does the order matter?"),
    ("test", ".0%", "beside strangers: a leak?"),
    ("strangers", ".0%", "beside test: a leak?"),
    ("negative in a branch", ".0%", "at 0 %: a branch cannot subtract"),
]


def show_findings(found, *tells):
    """Show what the examinations found: a column for each run; what a row tells."""
    columns = [np.concatenate(answers) for answers in found.values()]
    rows = []
    for (name, form, told), *numbers in zip(ROWS, *columns, strict=True):
        answers = (format(number, form) for number in numbers)
        rows.append([name, *answers, *(told for _ in tells)])
    show_table(("", *found, *tells), rows)


show_findings({**sound, "patient": examined}, "tells")

# %% [markdown]
# A number far from *both* healthy columns is a finding. (In the last row only 0 % is
# one.) Two healthy runs on photos are up to
# 5 points<!-- results: 08_*seed1 found.healthy_2.0.1 -
# 08_*seed1 found.healthy.0.1 --> apart in validation and
# 10 points<!-- results: 08_*seed1 found.healthy_2.0.0 -
# 08_*seed1 found.healthy.0.0 --> in training. *Test* and *strangers*, 500 and 1 500
# different images (quick profile), can differ by 7 points through luck alone (95 %
# interval, for eight comparisons at once); on the sketches two of the eight come near
# that without a leak.
#
# In this patient rates, labels and evaluation are sound. But gradient *and* step are
# several times shorter, at the planned rate: the loss sends too little back. Can it
# learn one batch by heart?

# %%
# The patient's own network learns one batch
stuck = overfit_one_batch(practice.model, one_images, one_labels)
print(f"one batch by heart: patient {stuck:.2f}, healthy {by_heart:.4f}")

# %% [markdown]
# On photos it stays at 1.80<!-- results: 08_*photos* one_batch.stuck -->. Is it a rate
# that is too low, labels that were shuffled, or a softmax before the loss? Decide, then
# open.
#
# <details><summary>The diagnosis, and the line</summary>
#
# **Softmax before the loss.** `cross_entropy` wants logits; it takes the softmax
# itself. Here it is given ten numbers between 0 and 1 that add up to 1. At best they
# are one 1 and nine 0, and then the loss is still $-\log\frac{e}{e + 9} = 1.46$.
#
# ```diff
# - model = nn.Sequential(cifar_resnet(8), nn.Softmax(dim=1))
# + model = cifar_resnet(8)
# ```
#
# </details>
#
# **So what:** read the curves, write down suspects, then ask the question whose answer
# differs between them.

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
# Train the eight
patients = {letter: faults.patient(letter, *setting) for letter in "ABCDEFGH"}

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
# Sort the eight first: is training wrong, only validation, or nothing? Write a suspect
# beside each letter. Then read the row that would tell.

# %%
# The examinations of all eight, beside the two healthy runs
findings = {letter: examine(run) for letter, run in patients.items()}
show_findings({**sound, **findings})

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
# Open a patient when you have named it. Numbers are of the photo runs.
#
# <details><summary>A</summary>
#
# **Test images leaked.** 62 %<!-- results: 08_*photos* found.A.5.0 --> on test
# images, 37 %<!-- results: 08_*photos* found.A.5.1 --> on strangers: 25 points apart,
# where the healthy runs have less than 4. Half of its training images are test images
# (in the full profile a fifth). The healthy network has never fitted these and reads
# them less well, so it agrees with
# 52 %<!-- results: 08_*photos* found.A.2.0 --> of A's training labels, and with
# 65 %<!-- results: 08_*photos* found.healthy.2.0 --> of its own.
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
# 0.1 %<!-- results: 08_*photos* found.B.1.3 --> of the weights.
#
# ```diff
#   note(run, before, loss, logits, labels)
# + run.scheduler.step()
# ```
#
# </details>
# <details><summary>C</summary>
#
# **Wrong statistics.** Judged pixels go from 0 to 1: their mean is near 0.5, where the
# healthy run's is 0. Another order changes nothing.
#
# ```diff
# - loader = make_loader(pair, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
# + loader = make_loader(pair, run.splits.mean, run.splits.std)
# ```
#
# </details>
# <details><summary>D</summary>
#
# **Labels shuffled.** The healthy network agrees with
# 10 %<!-- results: 08_*photos* found.D.2.0 --> of the labels: guessing. The trap: the
# training curve need not give it away. On photos it ends at
# 69 %<!-- results: 08_*photos* found.D.0.0 -->, the healthy one at
# 62 %<!-- results: 08_*photos* found.healthy.0.0 -->; on the sketches it ends lower.
# Random labels can be learned by heart (Zhang et al., 2017).
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
# **Rate too high.** The rate is 1.0 in place of 0.1. The gradient is *shorter* than the
# healthy one, but it is multiplied by ten times the rate: the largest step is
# 5 %<!-- results: 08_*photos* found.E.1.3 --> of the weights. Validation tells little:
# 33 %<!-- results: 08_*photos* found.E.0.1 -->, and
# 37 %<!-- results: 08_*photos* found.healthy.0.1 --> in the healthy run.
#
# ```diff
# - return train(start(lr=10 * LR))
# + return train(start(lr=LR))
# ```
#
# </details>
# <details><summary>F</summary>
#
# **ReLU before the addition.** A branch that ends with a ReLU can raise its shortcut
# and never lower it: none of the numbers that it adds is negative. The fault often
# stands in a block's `forward`, as `out = self.relu(self.bn2(out))`: no name of a
# weight changes, so the weights load into a network without it, and give other answers
# there. With 110 layers, a last ReLU *moved* in front of the sum did harm (He et al.,
# 2016, section 4.1).
#
# ```diff
# - block.bn2 = nn.Sequential(block.bn2, nn.ReLU())
# ```
#
# </details>
# <details><summary>G</summary>
#
# **eval() missing.** Training is the healthy run's, and with the same images mixed the
# validation score jumps up, as in section 3.
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
# length 49<!-- results: 08_*photos* found.H.1.2 -->, and the largest step is
# 16 %<!-- results: 08_*photos* found.H.1.3 --> of the weights. Each step adds up the
# gradients of all batches before it.
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
# Is the score true of this network? Is this the network you wanted?

# %%
# Whose weights are those of the healthy run, bit by bit?
healthy_weights = faults.weights_of(healthy.model)
for letter, run in patients.items():
    if torch.equal(faults.weights_of(run.model), healthy_weights):
        print(f"{letter}: equal to the healthy run's")

# %% [markdown]
# - *Score invalid, network sound:* C and G. Judge again. G's running statistics moved
#   while it was judged in training mode; `update_bn`
#   ([lesson 03](03_cifar10_training.ipynb)) takes them anew from the training batches.
# - *Test score invalid, network usable:* A. Validation and strangers tell the truth.
# - *Score true, network not the one you wanted:* B learned too little, E had another
#   rate, F is another network than its name says.
# - *Score true, network useless:* D and H.

# %% [markdown]
# Your guesses:
#
# 1. On photos five end lower, with each of three seeds: B by
#    7 points<!-- results: 08_*seed1 found.healthy.0.1 - 08_*seed1 found.B.0.1 --> to
#    9 points<!-- results: 08_*seed2 found.healthy.0.1 - 08_*seed2 found.B.0.1 -->,
#    C, D, G and H by 19 or more, where healthy seeds differ by 5 at most. E ends 0, 2
#    and 8 lower: no clear verdict. A and F end no lower.
# 2. Yes. A's leak lifts its test score: 62 %<!-- results: 08_*photos* found.A.5.0 -->,
#    where the healthy run has 39 %<!-- results: 08_*photos* found.healthy.5.0 -->.
# 3. In two, C and G (a GPU may round otherwise).
#
# **So what:** a wrong evaluation costs minutes to repair; a wrong training costs the
# training.

# %% [markdown]
# ## Myths, tested
#
# ### "If the training loss falls, the code is right"

# %%
# Mean training loss of the first and of the last epoch
fell = 0
for letter, run in patients.items():
    losses = np.reshape(run.history["loss"], (num_epochs, -1)).mean(1)
    fell += bool(losses[-1] < losses[0])
    print(f"{letter} {losses[0]:6.2f} → {losses[-1]:6.2f}")

# %% [markdown]
# On photos it fell in 7<!-- results: 08_*photos* fell --> of the 8, with every seed:
# refuted. The loss falls where the network can fit *what it is given*, meant or not.

# %% [markdown]
# ## Results
#
# The next cell keeps your numbers; the recorded ones were kept in the same way.

# %%
# Keep this run's numbers
result = {
    "lesson": "08_debugging",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,
    "first_loss": first_loss,
    "one_batch": {"heart": by_heart, "blind": blind, "stuck": stuck},
    "sweep": sweep_found,
    "by_order": list(by_order.values()),
    "found": {**sound, **findings},
    "fell": fell,
}
path = session.run_dir("08_debugging") / "result.json"
save_result(path, result, session.device)
session.report(f"healthy {sound['healthy'][0][1]:.1%}", data=few.describe())

# %% [markdown]
# **What this does not show.** A fault that nobody thought of may pass all examinations;
# of two faults one may hide the other.

# %% [markdown]
# ## Summary
#
# 1. *Healthy, overfitted, faulty.* A gap alone is no fault. A healthy run and a second
#    seed are the yardstick.
# 2. *First minutes.* A first loss near log K; one batch learned by heart, and not
#    blind; a few rates.
# 3. *Curves.* If training is wrong, suspect rate, gradient, loss or labels. If only
#    validation is, suspect mode, preparation or labels.
# 4. *Examinations.* Ask the one whose answer differs between two suspects.
# 5. *Invalid or unusable.* After a wrong evaluation, judge again. After a leak, judge
#    on images that no run has seen. Else train again.

# %% [markdown]
# ## Exercises
#
# The ★★★ stands in section 5.
#
# ### ★ The same image twice
#
# Training and test images should share nothing. You are given two sets of images, uint8
# (N, H, W, 3). Return the positions in the *second* set of those images that are in the
# first as well, equal in every pixel, in ascending order. The last step is missing.
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
# **No.** On photos F's validation score was as high as the healthy run's with each of
# three seeds, and it is another network than its name says.
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
# own through [lesson 06](06_transfer_learning.ipynb). Or break something in a copy of
# `course_classroom/faults.py`, and let a friend find it.
