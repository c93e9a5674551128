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
# # 04 · Per-class evaluation
#
# **After this lesson you can**
#
# 1. collect a network's logits once, and compute everything else from them;
# 2. tell a real difference, between classes or networks, from luck;
# 3. say what a network takes for what, and when its answer can be trusted;
# 4. find out what it does with images unlike its training's;
# 5. measure whether its confidence can be believed, and repair it.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (training, three splits,
# `eval()`) and [lesson 02](02_full_network.ipynb) (logits).
#
# **Reading** 41 minutes · **exercises** 25 minutes · **run time** quick CPU about 20 s
# (two quiet cores), full GPU about 36 s (shared H200)

# %% [markdown]
# ## Three questions from before
#
# Answer aloud, then open.
#
# <details><summary>Lesson 03: what does eval() change, and why does a test need
# it?</summary>
#
# BatchNorm uses its running statistics instead of the batch's own. Else the answer for
# an image depends on which others share its batch. `no_grad()` is another matter: it
# saves memory and changes no number.
#
# </details>
# <details><summary>Lesson 02: what does the network return for a batch of 8
# images?</summary>
#
# Logits of shape (8, 10): a number for each class of each image, of any size and sign.
# Softmax turns each row into probabilities. Cross-entropy is the mean of −log(the
# probability of the right class).
#
# </details>
# <details><summary>Lesson 01: what is a plain network, and how far behind was it at 20
# layers?</summary>
#
# The same layers without shortcuts. With 10 000 photos and three seeds, residual-20
# reached 72.0 %<!-- results: degradation-residual20-photos-10000-* test_accuracy -->
# and plain-20 67.5 %<!-- results: degradation-plain20-photos-10000-* test_accuracy -->
# on the test. This lesson's networks saw all 45 000 and lie closer together.
#
# </details>

# %% tags=["setup"]
# Import what the lesson uses, and start a session
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from course_classroom.checks import lesson_04 as check
from course_utils import metrics, plotting
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import load_pretrained, load_trained
from course_utils.results import load_results, save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# Lesson 03 ended with one number, the test accuracy. Write down your guesses before you
# take it apart.
#
# 1. How many percentage points lie between the network's best class and its worst?
# 2. Suppose all ten classes were *equally* easy, each with 1 000 test images and a true
#    accuracy of 87 %. How many points would lie between best and worst by luck alone?
# 3. Take the images of which the network is at least 99 % sure. How many in a hundred
#    does it get right?

# %% [markdown]
# ## 1 · Collect once, compute everything
#
# This section shows how little an evaluation has to keep. Asking the network is
# expensive. So ask once for every image, keep **logits** and **labels**, and compute
# all else from them.
#
# The network is the one you trained in lesson 03, if its checkpoint fits the data; else
# the one that ships with the course. Numbers *in the text* are recorded: the shipped
# ResNet-20 (one seed), judged on CIFAR-10's 10 000 test photos (a copy stored as JPEG).
# Yours stand beside them. The built-in sketches are drawings, and easier than photos.

# %%
# Load the data, the network, and what was recorded on photos
splits = load_cifar10(session.data_dir)
classes, num_classes = splits.classes, len(splits.classes)
print(splits.describe(), "(training / validation / test)")
network = load_trained(session, splits)
loaders = splits.loaders(batch_size=500)
(recorded,) = load_results("04_per_class_evaluation-quick-photos")


# %%
# Ask the network once for every image
@torch.no_grad()
def collect_logits(model, loader):
    """Return logits (N, num_classes) and labels (N,) of all images, on the CPU."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    all_logits, all_labels = [], []
    for images, labels in loader:
        all_logits.append(model(images.to(device)).cpu())
        all_labels.append(labels)
    model.train(was_training)
    return torch.cat(all_logits), torch.cat(all_labels)


logits, labels = collect_logits(network, loaders.test)
val_logits, val_labels = collect_logits(network, loaders.val)
predictions = logits.argmax(1)
accuracy = (predictions == labels).double().mean().item()
print(f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}")
print(f"accuracy {accuracy:.2%}, recorded on photos {recorded['accuracy']:.2%}")
print(f"right class first or second: {metrics.top_k_accuracy(logits, labels, 2):.2%}")

# %% [markdown]
# The last line is the **top-2 accuracy**; guessing scores 20 % there. Some functions
# written out here have a twin in `course_utils.metrics`; later cells may use it.
#
# Before any statistics: look at images.

# %%
# Figure: 64 test images in eight rows, each with the predicted class and, in brackets,
# the true one; mistakes have an orange frame.
shown = np.random.default_rng(0).permutation(len(labels))[:64]
plotting.show_predictions(
    splits.test.images[shown], predictions[shown], labels[shown], classes
)
plt.show()

# %% [markdown]
# An orange frame is a mistake. The accuracy above the grid is imprecise: another 64
# images would give another.
#
# **So what:** keep logits and labels, in `eval()`, and no question about its answers to
# these images needs the network again.

# %% [markdown]
# ## 2 · Real, or luck?
#
# This section shows which differences can be believed, first between classes, then
# between networks. `bincount` counts how often each number occurs.


# %%
# Accuracy class by class
def per_class_accuracy(logits, labels):
    """Return accuracy, hits and images of each class, (num_classes,) each."""
    num_classes = logits.shape[1]
    hits = labels[logits.argmax(1) == labels]
    correct = torch.bincount(hits, minlength=num_classes)
    count = torch.bincount(labels, minlength=num_classes)
    return correct / count, correct, count


class_accuracy, correct, count = per_class_accuracy(logits, labels)
rows = []
for name, yours in zip(classes, class_accuracy.tolist(), strict=True):
    rows.append((name, f"{yours:.1%}", f"{recorded['per_class'][name]:.1%}"))
show_table(("class", "yours", "recorded on photos"), rows)

# %% [markdown]
# On photos the best class, automobile, has
# 94.9 %<!-- results: 04_*photos* per_class.automobile -->, the worst, cat,
# 72.8 %<!-- results: 04_*photos* per_class.cat -->: that is guess 1.
#
# ### An interval for an accuracy
#
# Other test images would have given another number. Lesson 03's standard error says how
# far away: $\sqrt{p(1-p)/n}$ for a true accuracy $p$ and $n$ images. But $p$ is
# unknown. With the share of hits in its place, as in most textbooks, 20 of 20 give an
# error of 0, as if the network were never wrong. Wilson (1927) asked instead: *which
# true accuracies fit the hits*, being at most 1.96 of **their own** standard errors
# away? Try them all.


# %%
# Wilson's interval: every accuracy that fits the hits
def wilson_interval(correct, count):
    """Return the lowest and the highest accuracy that fits, at 95 %."""
    p = np.linspace(0, 1, 100_001)
    fits = abs(correct / count - p) <= 1.96 * np.sqrt(p * (1 - p) / count)
    return p[fits].min(), p[fits].max()


low, high = wilson_interval(20, 20)
print(f"20 of 20 right: accuracies from {low:.1%} to {high:.1%} fit")

# %%
# Figure: a row for each class, the best on top: a dot at its accuracy and a whisker for
# its 95 % interval after Wilson.
class_interval = metrics.wilson_interval(correct, count)
plotting.plot_per_class(classes, correct, count, class_interval)
plt.show()

# %% [markdown]
# In the figure each dot is a class, each whisker its interval. In about 95 of 100 test
# sets such an interval holds the true accuracy (the textbook's does so less often: deep
# dive 04b). It covers the luck of *which* test images were drawn, nothing else.
#
# ### Best minus worst
#
# Best and worst were picked *because* they lie far apart, so even ten equal classes
# show a gap. Let all ten have the same true accuracy, draw their hits, and take the
# **range**, best minus worst, many times. The share of draws at least as wide as the
# gap found is its **p-value**. Below 0.05 we say "more than luck".


# %%
# How large is the gap between best and worst if all classes are equal?
def range_by_luck(correct, count, draws=20_000):
    """Return best minus worst in each of many draws of equally good classes."""
    correct, count = np.asarray(correct), np.asarray(count)
    equal = correct.sum() / count.sum()
    hits = np.random.default_rng(0).binomial(count, equal, size=(draws, len(count)))
    return np.ptp(hits / count, axis=1)


gap = np.ptp(correct.numpy() / count.numpy())
luck = range_by_luck(correct, count)
as_wide = int((luck >= gap - 1e-9).sum())  # 1e-9: rounding must not part equal gaps
print(f"yours: {100 * gap:.1f} points; by luck {100 * luck.mean():.1f} on average,")
print(f"and as wide as yours in {as_wide} of {len(luck)} draws")

# %% [markdown]
# Guess 2: ten equal classes of 1 000 photos lie
# 3.2 points<!-- results: 04_*photos* range.by_luck --> apart on average. The recorded
# gap is 22.1 points<!-- results: 04_*photos* range.gap -->, and
# 0<!-- results: 04_*photos* range.as_wide --> of 20 000 draws were as wide: $p$ is
# too small for so many draws to measure. The classes differ. On the sketches the gap is
# 4.0 points<!-- results: 04_*sketches* range.gap -->, and
# 3555<!-- results: 04_*sketches* range.as_wide --> draws were as wide: $p$ = 0.18. That
# is evidence neither of a difference nor of equality.

# %% [markdown]
# ### Two networks on the same images
#
# Two *networks* can be shown the *same* images. What both get right, or both get wrong,
# says nothing about which is better. What counts are the images that only one gets
# right. If the networks were equally good, each of these would be the toss of a fair
# coin. How often do the tosses fall at least as unevenly as these? That is the p-value
# of McNemar's test (1947).

# %%
# Compare ResNet-20 with a network of the same layers without shortcuts
kind = "cifar10" if splits.is_photos else "sketches"
answers = {}
for name in (kind, f"{kind}-plain"):
    candidate = load_pretrained(name).to(session.device)
    answers[name] = metrics.collect_logits(candidate, loaders.test)[0].argmax(1)
comparison = metrics.compare(labels, answers[kind], answers[f"{kind}-plain"])
first_only, second_only = comparison.first_only, comparison.second_only
print(f"only residual right: {first_only} images; only plain: {second_only}")
tosses = np.random.default_rng(0).binomial(first_only + second_only, 0.5, size=20_000)
uneven = abs(2 * tosses - first_only - second_only) >= abs(first_only - second_only)
print(f"fair coins fall at least as unevenly in {uneven.mean():.1%} of the draws")
print("residual minus plain:", comparison)

# %% [markdown]
# `metrics.compare` prints the lead, its 95 % interval and the exact p-value. On photos
# the residual network leads by 1.6 points<!-- results: 04_*photos* pair.lead -->
# (interval 1.0 points<!-- results: 04_*photos* pair.low --> to
# 2.2 points<!-- results: 04_*photos* pair.high -->), with $p$ =
# 0.0000002<!-- results: 04_*photos* pair.p_value -->: *these two networks* differ by
# more than the luck of the test images. On the sketches $p$ is
# 0.45<!-- results: 04_*sketches* pair.p_value -->: no difference seen. That shortcuts
# help is another claim, for several seeds of each: lesson 01.
#
# **So what:** give a number an interval, show two networks the same images, and compare
# a gap that was picked for being wide with the gaps of equal classes.

# %% [markdown]
# ## 3 · What is taken for what
#
# This section shows where the mistakes go, and what an answer is worth. In the
# **confusion matrix** a row is a true class, a column a prediction; the diagonal holds
# the hits.


# %%
# Figure: the confusion matrix, true classes in rows, predicted classes in columns, each
# row in per cent of its class; the darker a cell, the larger its share.
def confusion_matrix(labels, predictions, num_classes):
    """Return counts (num_classes, num_classes), true classes in rows."""
    cells = labels * num_classes + predictions  # each pair has a number of its own
    counts = torch.bincount(cells, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


matrix = confusion_matrix(labels, predictions, num_classes)
plotting.plot_confusion(metrics.normalise_rows(matrix), classes)
plt.show()
confusions = []
for true, predicted, number in metrics.most_confused(matrix, classes, count=3):
    back = int(matrix[classes.index(predicted), classes.index(true)])
    confusions.append((true, predicted, number, back))
    print(f"{true:>10} taken for {predicted:10} {number:3} times, and back {back:3}")

# %% [markdown]
# On photos the most frequent mistake is mutual:
# 106<!-- results: 04_*photos* confusion.0.2 --> cats are called dog,
# 102<!-- results: 04_*photos* confusion.0.3 --> dogs cat.

# %% [markdown]
# ### What an answer is worth
#
# A class's **row** asks: of the images that *are* birds, how many were found? That is
# the **recall**, another name for the per-class accuracy. Its **column** asks: of the
# images *called* bird, how many are? That is the **precision**.
#
# Suppose birds are a hundred times rarer. Guess what happens to recall and precision.
# No image is needed to find out: divide the row of the birds by a hundred.


# %%
# Precision and recall of one class, and the same where that class is rare
def precision_and_recall(matrix):
    """Return precision and recall of each class, (num_classes,) each."""
    hits, called, true = matrix.diag(), matrix.sum(0), matrix.sum(1)
    return hits / called, hits / true


bird = classes.index("bird")
rare = matrix.double()
rare[bird] /= 100
worth = {}
for world, cells in (("the test set", matrix), ("birds 100 times rarer", rare)):
    precision, recall = (score[bird].item() for score in precision_and_recall(cells))
    worth[world] = precision
    print(f"{world:22} precision {precision:.3f}, recall {recall:.3f}")

# %% [markdown]
# The recall looks at one row alone, and stays. The precision falls: the other classes'
# mistakes are as many as before, and the birds are few. On photos it goes from
# 84 %<!-- results: 04_*photos* rare.0 --> to 5 %<!-- results: 04_*photos* rare.1 -->:
# of a hundred images called bird, ninety-five are none.
#
# ### Confidently wrong
#
# The highest of an image's probabilities, that of the predicted class, is the network's
# **confidence**. Mistakes with high confidence deserve a look: nothing warns of them.

# %%
# From logits to probabilities, and the surest mistake by itself
probabilities = logits.double().softmax(1)
confidence = probabilities.max(1).values
surest = metrics.most_confident_mistakes(logits, labels, count=12)
for image in surest[:1].tolist():
    said, true = predictions[image], labels[image]
    print(f"said {classes[said]} with {probabilities[image, said]:.3%}")
    print(f"it is a {classes[true]}: {probabilities[image, true]:.3%}")
sure_and_wrong = int(((predictions != labels) & (confidence > 0.9)).sum())
print(f"{(predictions != labels).sum()} mistakes, {sure_and_wrong} above 90 %")

# %% tags=["figure"]
# Figure: up to twelve test images, the most confident mistakes, each with the predicted
# class, the confidence and, in brackets, the true class.
titles = [
    f"{classes[predictions[i]]} {confidence[i]:.1%}\n({classes[labels[i]]})"
    for i in surest.tolist()
]
if titles:
    plotting.show_images(splits.test.images[surest], titles, columns=6, size=1.2)
    plt.show()

# %% [markdown]
# For each, decide: is the label wrong, the network, or could you not tell either? On
# photos 232<!-- results: 04_*photos* mistakes.sure --> of
# 1272<!-- results: 04_*photos* mistakes.all --> mistakes have more than 90 %
# confidence. Some labels are wrong: Northcutt et al. (2021) had 275 suspects among
# CIFAR-10's 10 000 test labels checked by people, and confirmed 54, a lower bound.
#
# **So what:** the matrix says what to repair; a precision holds only where the classes
# are as common as in your test set.

# %% [markdown]
# ## 4 · Beyond the training range
#
# This section shows what the network does with images unlike its training's. Hendrycks
# and Dietterich (2019) damage test images step by step. In their manner, three kinds,
# with strengths of our own:
#
# - **noise**: a random number is added to every value; its standard deviation is given,
#   white being 1;
# - **blur**: how far light spreads, in pixels;
# - **shift** to the right, in pixels. Lesson 03's random crops move an image by up to
#   4, so 4 lies *inside* the training; 8 and 12 do not.
#
# No noise or blur was added in training. Sketch your three curves.

# %%
# Ask the network about damaged copies of the same test images
from dataclasses import replace

from course_utils.data import corruptions
from course_utils.data.arrays import LabelledImages

DAMAGE = {
    "noise": (corruptions.gaussian_noise, (0.04, 0.08, 0.2)),
    "blur": (corruptions.gaussian_blur, (0.5, 1.2, 2)),
    "shift": (corruptions.translation, (4, 8, 12)),
}
num_few = min(session.pick(quick=2000, full=10_000), len(labels))
few = np.random.default_rng(1).permutation(len(labels))[:num_few]
few_images, few_labels = splits.test.images[few], labels[few]


def logits_of(images, labels):
    """Return the network's logits of uint8 images, normalised as the test images."""
    changed = replace(splits, test=LabelledImages(images, np.asarray(labels)))
    return metrics.collect_logits(network, changed.loaders(500).test)[0]


damaged, robustness = {}, {}  # by kind: logits, and accuracies, by strength
for name, (damage, strengths) in DAMAGE.items():
    damaged[name] = [logits[few]]  # strength 0
    for strength in strengths:
        damaged[name].append(logits_of(damage(few_images, strength), few_labels))
    robustness[name] = [metrics.accuracy(found, few_labels) for found in damaged[name]]

# %% tags=["figure"]
# Figure: one test image in three rows of four, each row one kind of damage in four
# strengths, the first none: noise, blur, shift.
example = splits.test.images[[int(confidence.argmax())]]
pictures, titles = [], []
for name, (damage, strengths) in DAMAGE.items():
    pictures += [damage(example, strength) for strength in (0, *strengths)]
    titles += [f"{name} {strength}" for strength in (0, *strengths)]
plotting.show_images(np.concatenate(pictures), titles, columns=4, size=1.2)
plt.show()

# %% [markdown]
# The image of which the network is surest, damaged. In which could *you* still name it?

# %% tags=["figure"]
# Figure: accuracy against the strength of the damage in three panels, noise, blur and
# shift; one line recorded on photos, one of this run, each in a band (95 % interval);
# a grey line marks guessing, and grey ground in the third panel the training's shifts.
figure, axes = plt.subplots(1, 3, figsize=(9.6, 3), sharey=True)
units = {"noise": "deviation, white = 1", "blur": "pixels", "shift": "pixels"}
for axis, (name, (_, strengths)) in zip(axes, DAMAGE.items(), strict=True):
    lines = {
        "recorded on photos": (recorded["robustness"][name], recorded["num_few"]),
        "your run": (robustness[name], num_few),
    }
    for (line, (shares_right, images)), mark in zip(
        lines.items(), ("o-", "s--"), strict=True
    ):
        right = np.round(np.multiply(shares_right, images))
        ends = metrics.wilson_interval(right, images)
        axis.plot((0, *strengths), shares_right, mark, markersize=4, label=line)
        axis.fill_between((0, *strengths), *ends, alpha=0.25, lw=0)
    axis.axhline(1 / num_classes, color="0.5", lw=1, ls=":", label="guessing")
    axis.set(xlabel=f"{name} ({units[name]})", ylim=(0, 1.02))
axes[2].axvspan(0, 4, color="0.92", zorder=0, label="shifts in training")
axes[0].yaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1))
axes[0].set_ylabel("accuracy")
axes[2].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# Bands are 95 % intervals. On 2 000 photos a shift of 4 changes the accuracy from
# 87.7 %<!-- results: 04_*photos* robustness.shift.0 --> to
# 86.9 %<!-- results: 04_*photos* robustness.shift.1 -->; a shift of 12, outside the
# training, to 73.8 %<!-- results: 04_*photos* robustness.shift.3 -->. Noise of 0.2
# takes it to 16.4 %<!-- results: 04_*photos* robustness.noise.3 -->, little above
# guessing. Some classes still *look* robust. Count the answers.

# %%
# Under the strongest noise: which answers does the network give?
strongest = damaged["noise"][-1]
answered = torch.bincount(strongest.argmax(1), minlength=num_classes) / num_few
favourite = int(answered.argmax())
recall = metrics.per_class_accuracy(strongest, few_labels).accuracy[favourite].item()
strongest_confidence = strongest.double().softmax(1).max(1).values.mean().item()
print(f"{classes[favourite]} is {answered[favourite]:.0%} of all answers;")
print(f"so {recall:.0%} of the images of that class are 'found'")
print(f"mean confidence {strongest_confidence:.1%}")

# %% [markdown]
# On photos *frog* is 84 %<!-- results: 04_*photos* favourite.share --> of all answers,
# and so most frogs are found. That is no robustness: whoever answers *frog* to every
# image finds every frog. The network hardly uses the image and repeats a favourite,
# with a mean confidence of 82.8 %<!-- results: 04_*photos* favourite.conf -->.
#
# **So what:** far outside its training a network does not fall silent: under strong
# noise it answers wrongly, surely, and with a favourite.

# %% [markdown]
# ## 5 · Can its confidence be believed?
#
# This section shows how to measure a confidence, how to repair it, and when that fails.
# A weather service that says "70 % rain" on a hundred days should see rain on about
# seventy. Likewise a network is **calibrated** if, where its confidence is 70 %, it is
# right in 70 of 100 cases.

# %% [markdown]
# ### A loss that knows
#
# The cross-entropy of lesson 03, −log(the probability given to the right class), is
# called **negative log-likelihood** (NLL) on test images. It judges the probabilities:
# where it rains on 70 of 100 days, who always says 70 % loses −0.7 log 0.7 − 0.3 log
# 0.3 = 0.61 a day on average, who says 50 % 0.69, who says 90 % 0.76. The truth costs
# least. And whoever gives all ten classes 10 % loses −log 0.1 = 2.30 an image, and
# knows nothing.

# %%
# Confidence, accuracy and loss, on clean and on noisy test images
noisy = damaged["noise"][2]  # under noise of 0.08
mean_confidence = {}
for name, found, true in (("clean", logits, labels), ("noisy", noisy, few_labels)):
    mean_confidence[name] = found.double().softmax(1).max(1).values.mean().item()
    print(f"{name}: mean confidence {mean_confidence[name]:.1%},", end=" ")
    print(f"right {metrics.accuracy(found, true):.1%},", end=" ")
    print(f"NLL {F.cross_entropy(found.double(), true):.3f}")

# %% [markdown]
# On noisy photos the mean confidence is
# 82.8 %<!-- results: 04_*photos* mean_confidence.noisy -->, and
# 67.0 %<!-- results: 04_*photos* robustness.noise.2 --> of the answers are right: the
# network is far too sure. On noisy sketches
# 50.2 %<!-- results: 04_*sketches* robustness.noise.2 --> are right, and yet the NLL is
# 3.31<!-- results: 04_*sketches* noisy.nll.0 -->, *worse than knowing nothing*: an
# answer surely wrong costs much.

# %% [markdown]
# ### One number to repair it
#
# Divide all logits by a **temperature** $T$ before the softmax. $T > 1$ makes the
# probabilities flatter, $T < 1$ sharper. The logits' order stays, and so every
# *prediction*. Choose the $T$ with the lowest NLL on *validation* images of the kind
# that will come, here noisy ones (Guo et al., 2017).


# %%
# Fit a temperature on noisy validation images
def fit_temperature(logits, labels):
    """Return the temperature with the lowest loss on a fine grid."""
    grid = torch.logspace(-1, 2, 601, dtype=torch.float64)  # 0.1 to 100
    losses = [F.cross_entropy(logits.double() / t, labels) for t in grid]
    return grid[torch.stack(losses).argmin()].item()


num_fit = min(session.pick(quick=1000, full=5000), len(val_labels))
# another seed, so other noise than on the test images
noisy_val = corruptions.gaussian_noise(splits.val.images[:num_fit], 0.08, seed=1)
noisy_val_logits = logits_of(noisy_val, val_labels[:num_fit])
noisy_temperature = fit_temperature(noisy_val_logits, val_labels[:num_fit])
print(f"T = {noisy_temperature:.2f}, from {num_fit} images")

# %% [markdown]
# Now the test images, which had no say in it. Image by image, take the loss after minus
# the loss before; their mean gets an interval, 1.96 standard errors to either side.


# %%
# Does the temperature help on noisy test images?
def loss_change(logits, labels, temperature):
    """Return the losses before and after, and the 95 % interval of the change."""
    before = F.cross_entropy(logits.double(), labels, reduction="none")
    after = F.cross_entropy(logits.double() / temperature, labels, reduction="none")
    change = (after - before).numpy()
    half = 1.96 * change.std() / np.sqrt(len(change))
    interval = change.mean() - half, change.mean() + half
    return (before.mean().item(), after.mean().item()), interval


noisy_nll, noisy_change = loss_change(noisy, few_labels, noisy_temperature)
report = "NLL {:.4f} → {:.4f}, change {:+.4f} to {:+.4f}"
print(report.format(*noisy_nll, *noisy_change))

# %% [markdown]
# On noisy photos $T$ is 1.82<!-- results: 04_*photos* noisy.T -->, and the loss falls
# from 1.26<!-- results: 04_*photos* noisy.nll.0 --> to
# 1.01<!-- results: 04_*photos* noisy.nll.1 -->. Not one answer changed.
#
# ### In per cent: the calibration error
#
# The NLL judges well and says little to a user. So sort the images into bins by
# confidence, and take in each the gap between mean confidence and accuracy. Their mean,
# each weighted by its share of the images, is the **expected calibration error** (ECE).


# %%
# The mean gap between confidence and accuracy, over bins of confidence
def expected_calibration_error(probabilities, labels, num_bins=15):
    """Return the ECE, a fraction."""
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()
    bins = (confidence * num_bins).ceil()  # 1 to num_bins
    error = 0.0
    for number in bins.unique():
        inside = bins == number
        gap = abs(confidence[inside].mean() - hits[inside].mean())
        error += gap.item() * inside.sum().item() / len(labels)
    return error


noisy_ece = []
for divisor in (1.0, noisy_temperature):  # as trained, and repaired
    noisy_probabilities = (noisy.double() / divisor).softmax(1)
    noisy_ece.append(expected_calibration_error(noisy_probabilities, few_labels))
    print(f"T = {divisor:.2f}: ECE {noisy_ece[-1]:.1%}")

# %% tags=["figure"]
# Figure: two reliability diagrams on noisy test images: accuracy in bins of confidence,
# the gap to the mean confidence in colour, pale where a bin has few images. As trained
# on the left, with the temperature on the right.
figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.9))
for axis, divisor in zip(axes, (1.0, noisy_temperature), strict=True):
    noisy_probabilities = (noisy.double() / divisor).softmax(1)
    bins = metrics.reliability(noisy_probabilities, few_labels)
    plotting.plot_reliability(*bins, axis)
    axis.set_title(f"T = {divisor:.2f}")
plt.show()

# %% [markdown]
# The **reliability diagram**: a black line is a bin's accuracy, the coloured piece
# leads to its mean confidence. Orange: too sure; blue: too modest. Pale bins have fewer
# than 20 images. On photos the ECE falls from
# 15.8 %<!-- results: 04_*photos* noisy.ece.0 --> to
# 3.2 %<!-- results: 04_*photos* noisy.ece.1 -->.

# %% [markdown]
# ### The caution
#
# On clean images the same repair may fail. A lower $T$ lowers the loss of every right
# answer. Near the best $T$ it raises the loss of most mistakes: there the two balance.
# With few mistakes the balance hangs on those few images, and other images have it
# elsewhere; without any, the lowest $T$ would always win.

# %%
# Fit on clean validation images, judge on clean test images
temperature = fit_temperature(val_logits, val_labels)
val_mistakes = int((val_logits.argmax(1) != val_labels).sum())
clean_nll, clean_change = loss_change(logits, labels, temperature)
print(f"T = {temperature:.2f}, from {len(val_labels)} images, {val_mistakes} mistakes")
print(report.format(*clean_nll, *clean_change))

# %% [markdown]
# On photos, 616<!-- results: 04_*photos* val_mistakes --> mistakes gave $T$ =
# 1.22<!-- results: 04_*photos* clean.T -->, and the test loss fell from
# 0.378<!-- results: 04_*photos* clean.nll.0 --> to
# 0.366<!-- results: 04_*photos* clean.nll.1 -->. On the sketches,
# 11<!-- results: 04_*sketches* val_mistakes --> mistakes gave
# 0.88<!-- results: 04_*sketches* clean.T -->, and it *rose* from
# 0.065<!-- results: 04_*sketches* clean.nll.0 --> to
# 0.069<!-- results: 04_*sketches* clean.nll.1 -->.
#
# **So what:** judge a confidence by its NLL; one temperature repairs much, if fitted on
# many mistakes and on images like those that will come.

# %% [markdown]
# ## Myths, tested
#
# ### "The confidence is the chance of being right"
#
# Take the images of which the network is at least 99 % sure. An answer of 99.4 %
# promises 0.006 mistakes; add these up. Count the mistakes found, and let luck draw
# mistakes as promised.

# %%
# Mistakes among the surest images: found, and in 2000 draws as promised
sure = confidence >= 0.99
num_sure = int(sure.sum())
found_among_sure = int((predictions != labels)[sure].sum())
promised = (1 - confidence[sure]).sum().item()
drawn = np.random.default_rng(0).random((2000, num_sure)) > confidence[sure].numpy()
as_many = int((drawn.sum(1) >= found_among_sure).sum())
print(f"{num_sure} images at least 99 % sure: {promised:.1f} mistakes promised,")
print(f"{found_among_sure} found; at least so many in {as_many} of 2000 draws")

# %% [markdown]
# Guess 3. On photos, 5215<!-- results: 04_*photos* sure.images --> images promised
# 8.2<!-- results: 04_*photos* sure.promised --> mistakes and had
# 26<!-- results: 04_*photos* sure.found -->; at least so many came in
# 0<!-- results: 04_*photos* sure_as_many --> of 2 000 draws. Right in more than 99 of
# 100 cases, and still three times the mistakes promised. Refuted.

# %% [markdown]
# ## Results
#
# The next cell made the recorded numbers.

# %%
# Keep this run's numbers
result = {
    "lesson": "04_per_class_evaluation",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,  # changes nothing: all draws here have seeds of their own
    "num_few": num_few,
    "accuracy": accuracy,
    "per_class": dict(zip(classes, class_accuracy.tolist(), strict=True)),
    "range": {"gap": float(gap), "by_luck": float(luck.mean()), "as_wide": as_wide},
    "pair": comparison._asdict(),
    "confusion": confusions,
    "rare": list(worth.values()),
    "mistakes": {"all": int((predictions != labels).sum()), "sure": sure_and_wrong},
    "robustness": robustness,
    "favourite": {"share": answered[favourite].item(), "conf": strongest_confidence},
    "mean_confidence": mean_confidence,
    "noisy": {"T": noisy_temperature, "nll": noisy_nll, "ece": noisy_ece},
    "clean": {"T": temperature, "nll": clean_nll, "change": list(clean_change)},
    "val_mistakes": val_mistakes,
    "sure": {"images": num_sure, "promised": promised, "found": found_among_sure},
    "sure_as_many": as_many,
}
path = session.run_dir("04_per_class_evaluation") / "result.json"
save_result(path, result, session.device)
session.report(f"accuracy {accuracy:.2%}", data=splits.describe())

# %% [markdown]
# **What this does not show.** One network, one seed: another training would change the
# numbers. And whoever improves a network by what they saw here needs new test images.

# %% [markdown]
# ## Summary
#
# 1. *Collect once.* Logits and labels, in `eval()`; the rest is computed from them.
# 2. *Real, or luck?* Wilson's interval for an accuracy; the range of equals for best
#    minus worst; McNemar's test for two networks on the same images.
# 3. *What for what.* The confusion matrix. Recall does not depend on how common a class
#    is; precision does.
# 4. *Beyond the training.* Accuracy falls; under strong noise the answers are wrong,
#    sure, and mostly one favourite.
# 5. *Confidence.* NLL first, ECE for the diagram; one temperature, fitted on many
#    mistakes, can repair it.

# %% [markdown]
# ## Exercises
#
# The first lacks the last step, the second two, the third all.
#
# ### ★ Balanced accuracy
#
# From a confusion matrix of counts (true classes in rows), return the mean of the
# classes' accuracies. A class without an example is left out.
#
# Expected: `balanced_accuracy(torch.tensor([[9, 1], [1, 1]]))` is 0.7.


# %% tags=["exercise"]
# Finish the function: the mean over the classes that were seen
def balanced_accuracy(matrix: torch.Tensor) -> float:
    """Return the mean accuracy of the classes that have an example."""
    accuracies = []
    for row, hits in zip(matrix, matrix.diag(), strict=True):
        if row.sum() > 0:  # the class has an example
            accuracies.append(hits / row.sum())
    raise NotImplementedError  # the last step


check.balanced_accuracy(balanced_accuracy)


# %% tags=["solution"]
# Solution
def balanced_accuracy(matrix: torch.Tensor) -> float:
    """Return the mean accuracy of the classes that have an example."""
    accuracies = []
    for row, hits in zip(matrix, matrix.diag(), strict=True):
        if row.sum() > 0:  # the class has an example
            accuracies.append(hits / row.sum())
    return torch.stack(accuracies).mean().item()


check.balanced_accuracy(balanced_accuracy)

# %% [markdown]
# ### ★★ When it may say "I don't know"
#
# A network that hands its doubtful cases to a person answers only a share of all
# images, the *coverage*: 0.25 is the surest quarter, `round`ed to whole images. Return
# its accuracy on these.
#
# Expected: with a coverage of 1.0 it is the ordinary accuracy.


# %% tags=["exercise"]
# Finish the function: two steps are missing
def accuracy_when_sure(
    probabilities: torch.Tensor, labels: torch.Tensor, coverage: float
) -> float:
    """Return the accuracy on the most confident share of the images."""
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()
    hits = hits[confidence.argsort(descending=True)]  # the surest first
    raise NotImplementedError  # two steps: how many images, and the accuracy on them


check.accuracy_when_sure(accuracy_when_sure)


# %% tags=["solution"]
# Solution
def accuracy_when_sure(
    probabilities: torch.Tensor, labels: torch.Tensor, coverage: float
) -> float:
    """Return the accuracy on the most confident share of the images."""
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()
    hits = hits[confidence.argsort(descending=True)]  # the surest first
    number = round(coverage * len(labels))
    return hits[:number].mean().item()


check.accuracy_when_sure(accuracy_when_sure)

# %% [markdown]
# ### ★★★ Bins of equal size
#
# Most images of a good network land in the ECE's last bin. So sort them by confidence,
# and let `torch.tensor_split(order, num_bins)` cut the order, a row of image numbers,
# into groups of nearly equal size. The rest is section 5's loop.
#
# Expected: with one bin it is |mean confidence − accuracy|.


# %% tags=["exercise"]
# Write the function
def equal_size_calibration_error(
    probabilities: torch.Tensor, labels: torch.Tensor, num_bins: int
) -> float:
    """Return the calibration error over bins with equally many images."""
    raise NotImplementedError


check.equal_size_calibration_error(equal_size_calibration_error)


# %% tags=["solution"]
# Solution
def equal_size_calibration_error(
    probabilities: torch.Tensor, labels: torch.Tensor, num_bins: int
) -> float:
    """Return the calibration error over bins with equally many images."""
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()
    error = 0.0
    for group in torch.tensor_split(confidence.argsort(), num_bins):
        gap = abs(confidence[group].mean() - hits[group].mean())
        error += gap.item() * len(group) / len(labels)
    return error


check.equal_size_calibration_error(equal_size_calibration_error)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. A network gets 20 of 20 test images right. What is known of its true accuracy?**
#
# <details><summary>It is 100 %: no mistake was seen.</summary>
#
# **No.** A network that is right in 90 % gets 20 of 20 in one test in eight.
#
# </details>
# <details><summary>Accuracies from about 84 % upwards fit.</summary>
#
# **Right.** Wilson's interval holds every accuracy from which 20 of 20 is at most 1.96
# of its own standard errors away.
#
# </details>
# <details><summary>Nothing: 20 images are too few to say anything.</summary>
#
# **No.** Were it 50 %, 20 of 20 would come once in a million tests. Few images make
# the interval wide, not endless.
#
# </details>
# <details><summary>It is 84 %, the lower end of Wilson's interval.</summary>
#
# **No.** The lower end is the lowest accuracy that still fits. It is not the best
# guess.
#
# </details>

# %% [markdown]
# **2. Two networks are judged on the *same* test images. Which of the images tell which
# network is better?**
#
# <details><summary>All of them: the more images, the sharper the test.</summary>
#
# **No.** An image that both get right, or both get wrong, adds the same to both. Its
# luck cancels, which is the gain of using the same images.
#
# </details>
# <details><summary>The hard ones, which both get wrong.</summary>
#
# **No.** They show where both fail. On the question which one is better they have no
# vote.
#
# </details>
# <details><summary>Those that only one of the two gets right.</summary>
#
# **Right.** If the networks were equally good, each of these would be the toss of a
# fair coin. McNemar's test asks how likely it is that the tosses fall so unevenly.
#
# </details>
# <details><summary>Those that the network with the higher accuracy gets
# right.</summary>
#
# **No.** Many of these the other gets right as well. Count in both directions: only the
# first, and only the second.
#
# </details>

# %% [markdown]
# **3. In use, birds are a hundred times rarer than in your balanced test set. Otherwise
# the images are of the same kind. What happens to recall and precision of *bird*?**
#
# <details><summary>Both stay: they are properties of the network.</summary>
#
# **No.** The recall stays, for images of the same kind. The precision also depends on
# how common the class is.
#
# </details>
# <details><summary>Recall falls, precision stays as it is.</summary>
#
# **No.** It is the other way round. The recall asks about birds only, and of these the
# same share is found.
#
# </details>
# <details><summary>Precision falls, recall stays.</summary>
#
# **Right.** The hits become a hundred times fewer. The other classes' images called
# *bird* by mistake stay as many, so a larger share of all *bird* answers is wrong.
#
# </details>
# <details><summary>Both fall, because the network meets so few birds.</summary>
#
# **No.** It is not trained on what it meets in use. Each bird is recognised as well as
# before.
#
# </details>

# %% [markdown]
# **4. What does a temperature, fitted on validation images, change?**
#
# <details><summary>How sure the answers are, but no answer.</summary>
#
# **Right.** All logits of an image are divided by one number, so their order stays.
# Only the probabilities become flatter or sharper.
#
# </details>
# <details><summary>The worst mistakes: they become right answers.</summary>
#
# **No.** No prediction changes. A confident mistake becomes a less confident mistake at
# best.
#
# </details>
# <details><summary>The confidence becomes right, on whatever images come.</summary>
#
# **No.** It holds for images like those it was fitted on. Noisy images needed another
# temperature than clean ones.
#
# </details>
# <details><summary>Every confidence becomes lower, since networks are too
# sure.</summary>
#
# **No.** Below 1 a temperature makes every confidence higher. Which way it goes is for
# the validation images to say.
#
# </details>

# %% [markdown]
# **5. Best minus worst of ten classes is 4 points. Two classes named beforehand would
# show such a gap by luck with p = 0.01. The range test says p = 0.18. Why believe the
# range test?**
#
# <details><summary>It uses more images, so it is more exact.</summary>
#
# **No.** Both use images that were there anyway. What differs is the question: two
# classes named beforehand, or the two that lie farthest apart.
#
# </details>
# <details><summary>It allows for the two having been picked for their gap.</summary>
#
# **Right.** The best and the worst of ten equal classes also show a gap. Only a gap
# that exceeds what equals usually show speaks for a difference.
#
# </details>
# <details><summary>It shows that all ten classes are equally good.</summary>
#
# **No.** Not to have seen a difference is not to have seen that there is none. More
# images may show it.
#
# </details>

# %% [markdown]
# ## References
#
# - E. B. Wilson, *Probable inference, the law of succession, and statistical
#   inference*, Journal of the American Statistical Association 22, 1927.
# - Q. McNemar, *Note on the sampling error of the difference between correlated
#   proportions or percentages*, Psychometrika 12, 1947.
# - C. Guo, G. Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern Neural
#   Networks*, 2017, arXiv 1706.04599.
# - D. Hendrycks, T. Dietterich, *Benchmarking Neural Network Robustness to Common
#   Corruptions and Perturbations*, 2019, arXiv 1903.12261.
# - C. Northcutt, A. Athalye, J. Mueller, *Pervasive Label Errors in Test Sets
#   Destabilize Machine Learning Benchmarks*, 2021, arXiv 2103.14749.

# %% [markdown]
# **Further.** How many test images does a claim need? [Deep dive
# 04b](04b_how_many_images.ipynb).
#
# **Next.** [Lesson 05](05_visualisation.ipynb) asks what the network looks at.
