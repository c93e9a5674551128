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
# 1. collect a network's predictions once, and compute everything else from them;
# 2. say which classes a network fails on, what it takes them for, and how sure those
#    numbers are;
# 3. decide whether two classes, or two networks, really differ, and how many images
#    that takes;
# 4. measure whether a network's confidence can be believed, and repair it;
# 5. find the mistake in somebody's evaluation, your own included.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (training, three splits,
# `eval()`).
#
# **Reading time** 75 minutes · **run time** quick CPU about 30 s (two quiet
# cores), full GPU not measured

# %% tags=["setup"]
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from course_classroom.checks import lesson_04 as check
from course_utils import metrics, plotting
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import load_pretrained, load_trained
from course_utils.session import start

plotting.course_style()
plt.rcParams["figure.dpi"] = 90  # there are many figures: smaller files
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# Lesson 03 ended with one number, the test accuracy. This lesson takes it apart.
# Write down guesses:
#
# 1. How many percentage points lie between the network's best class and its worst?
# 2. Two networks are judged on the same test images, and one is a point ahead. How
#    many images does it take to trust that point: a hundred, a thousand, ten
#    thousand?
# 3. Take the images of which the network is at least 99 % sure. In how many of a
#    hundred is it right?
# 4. Which of these spoils an accuracy most: a forgotten `eval()`, a badly weighted
#    mean, an epoch chosen on the test set, wrong normalisation, or storing the test
#    images as JPEG?

# %% [markdown]
# ## 1 · Collect once, compute everything
#
# An evaluation has two parts. The expensive one shows every image to the network. The
# cheap one compares ten numbers an image with a label. So do the expensive part once,
# keep its **logits** and **labels**, and compute whatever you want to know from those
# two arrays.
#
# The network is the one you trained in lesson 03, if its checkpoint fits the data;
# else one that ships with the course. The lines below say which.

# %%
splits = load_cifar10(session.data_dir)
classes, num_classes = splits.classes, len(splits.classes)
print(splits.describe(), "(training / validation / test)")
if not splits.is_photos:
    print("Sketches are no photos: a program is told a class and draws it at random,")
    print("32 × 32 pixels. They are easier than CIFAR-10's photos, so do not compare")
    print("their accuracies with published ones.")
network = load_trained(session, splits)
loaders = splits.loaders(batch_size=500)

# %%
import time


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


began = time.perf_counter()
logits, labels = collect_logits(network, loaders.test)
collected_s = time.perf_counter() - began
val_logits, val_labels = metrics.collect_logits(network, loaders.val)

began = time.perf_counter()
predictions = logits.argmax(1)
hits = predictions == labels
compared_s = time.perf_counter() - began
size_kib = logits.numel() * logits.element_size() / 2**10
print(f"logits {tuple(logits.shape)}, {size_kib:.0f} KiB, labels {tuple(labels.shape)}")
print(f"collected in {collected_s:.2f} s, compared in {1000 * compared_s:.2f} ms")

# %% [markdown]
# Of each batch only logits and labels are kept, ten numbers and one an image. The
# activations, tens of thousands of numbers an image, are forgotten with the batch. So
# a test set of any size fits wherever one batch of it does.
#
# As in lesson 03, each function that is written out here has a twin in `course_utils`
# (here `course_utils.metrics`), which also checks its input. Later cells use the
# twins.

# %% [markdown]
# ## 2 · One number for all
#
# The overall accuracy is the share of hits among all $N$ images. Group the images by
# class: class $k$ has $n_k$ images and the accuracy $a_k$. Then
#
# $$\text{overall} = \frac{1}{N}\sum_k n_k\,a_k = \sum_k \frac{n_k}{N}\,a_k .$$
#
# It is a mean of the classes' accuracies, in which each class counts by its *share of
# the images*. If all $n_k$ are equal, it is their ordinary mean. If not, the test set
# decides what is important. To see it, change nothing but the test set: keep all
# images of one class, and about a tenth of every other.

# %%
from course_utils.results import show_table

overall = metrics.accuracy(logits, labels)
own = torch.stack([hits[labels == k].float().mean() for k in range(num_classes)])
best, worst = own.nan_to_num(-1).argmax().item(), own.nan_to_num(2).argmin().item()
lucky = torch.rand(len(labels), generator=torch.Generator().manual_seed(0)) < 0.1

tests = {"all": torch.ones_like(lucky)}
tests |= {f"mostly {classes[k]}": lucky | (labels == k) for k in (best, worst)}
scores, rows = [], []
for name, kept in tests.items():
    by_class = [hits[kept & (labels == k)].float().mean() for k in range(num_classes)]
    scores.append(hits[kept].float().mean().item())
    balanced = torch.stack(by_class).nanmean()
    rows.append((name, int(kept.sum()), f"{scores[-1]:.2%}", f"{balanced:.2%}"))
heads = ("test images", "number", "overall accuracy", "mean of the classes'")
show_table(heads, rows)
sizes = torch.bincount(labels, minlength=num_classes)
same = "equally many" if sizes.min() == sizes.max() else "not equally many"
print(f"Images of each class in the full test set: {same} ({sizes.tolist()}).")
moved = 100 * (scores[1] - scores[2])
print(f"The test set alone moved the overall accuracy by {moved:.1f} points.")

# %% [markdown]
# One network, three overall accuracies. The mean of the classes' accuracies, also
# called *balanced accuracy*, moves only because a tenth of a class is a small sample
# of it. Neither is right in itself: if your users show you mostly cats, an overall
# accuracy on mostly cats is what you want. But say which you report.
#
# ### The second guess counts too: top-k
#
# **Top-k accuracy** counts a hit if the right class is among the $k$ highest logits.
# ImageNet made top-5 famous: with 1 000 classes, several may be in the picture.


# %%
def top_k_accuracy(logits, labels, k):
    """Return the share of images whose class has one of the k highest logits."""
    top = logits.argsort(dim=1, descending=True, stable=True)[:, :k]  # (N, k)
    return (top == labels[:, None]).any(1).float().mean().item()


for k in range(1, min(5, num_classes) + 1):
    share = top_k_accuracy(logits, labels, k)
    print(f"top-{k}: {share:6.2%}   guessing: {k / num_classes:.0%}")
second = top_k_accuracy(logits, labels, 2) - overall
if overall < 1:
    print(f"Of the mistakes, {second / (1 - overall):.0%} had the right class second.")

# %% [markdown]
# With ten classes, five guesses are half of all there are. A top-k accuracy says
# little without the line of pure guessing beside it.

# %% [markdown]
# ## 3 · Class by class
#
# Now each class by itself. `bincount` counts how often each number occurs: once over
# the labels of all images, once over the labels of the hits.


# %%
def per_class_accuracy(logits, labels):
    """Return accuracy, hits and images of each class, (num_classes,) each."""
    num_classes = logits.shape[1]
    right = labels[logits.argmax(1) == labels]
    correct = torch.bincount(right, minlength=num_classes)
    count = torch.bincount(labels, minlength=num_classes)
    return correct / count, correct, count


class_accuracy, correct, count = per_class_accuracy(logits, labels)
print(metrics.format_per_class(classes, class_accuracy.tolist()))
gap = class_accuracy[best] - class_accuracy[worst]
as_good = [classes[k] for k in range(num_classes) if own[k] == own[best]]
print(f"\n{' and '.join(as_good)} ahead of {classes[worst]}: {100 * gap:.2f} points")

# %% [markdown]
# That is the answer to your first guess, and the last digits of it are noise. How
# many digits are not?

# %% [markdown]
# ## 4 · How sure is that?
#
# The test images are a sample. Other images of the same kind would have given another
# number. How far do such numbers scatter? Take a network whose true accuracy is known
# to be 90 %, and give it many test sets, each as large as a class here.

# %%
# Figure: a histogram of the accuracies found on many drawn test sets, a bar for each
# possible accuracy, with a bell curve over it. Two dashed vertical lines stand 1.96
# deviations to either side of the true accuracy.
rng = np.random.default_rng(session.seed)
largest_class, truth = int(count.max()), 0.9
drawn = rng.binomial(largest_class, truth, size=20_000)  # hits in each test set
deviation = np.sqrt(truth * (1 - truth) / largest_class)
steps = np.arange(drawn.min(), drawn.max() + 1)
often = np.bincount(drawn)[steps] / len(drawn)
bell = np.exp(-(((steps / largest_class - truth) / deviation) ** 2) / 2)
_, axis = plt.subplots(figsize=(5.6, 2.6))
axis.bar(100 * steps / largest_class, often, 85 / largest_class, label="test sets")
axis.plot(100 * steps / largest_class, bell / bell.sum(), "k", label="bell curve")
for side in (-1.96, 1.96):
    axis.axvline(100 * (truth + side * deviation), color="C1", ls="--")
axis.set(xlabel="accuracy found (%)", ylabel="share of the test sets")
axis.legend(fontsize="small")
plt.show()
spread, far = (drawn / largest_class).std(), 1.96 * deviation
within = np.mean(abs(drawn / largest_class - truth) <= far)
print(f"standard deviation: found {spread:.4f}, by the formula below {deviation:.4f}")
print(f"{within:.1%} of the test sets lie between the dashed lines")

# %% [markdown]
# Each bar is an accuracy that was found. The bars follow a bell curve, the **normal
# distribution**. Its width is the **standard deviation**, the root of the mean
# squared distance from the middle. For one image, hit (1) or miss (0), the mean
# square is $p(1-p)$; the mean of $n$ independent images has an $n$-th of it; the root
# brings it back from squares:
#
# $$\text{deviation} = \sqrt{p\,(1-p)/n}.$$
#
# Lesson 03 called it the **standard error**: the deviation of a result over many tests.
#
# 95 % of any bell curve lie within $z = 1.96$ deviations of its middle: the dashed
# lines. So in about 95 of 100 test sets the accuracy found is at most that far from
# the true one.

# %% [markdown]
# In earnest we know the share of hits $\hat p$ and want $p$. The textbook puts $\hat
# p$ in place of $p$ under the root: $\hat p \pm z\sqrt{\hat p(1-\hat p)/n}$. Wilson
# (1927) asked for all $p$ that fit: $|\hat p - p| \le z\sqrt{p(1-p)/n}$. Squared,
# that is a quadratic equation in $p$. With $h$ hits its two solutions are
#
# $$\frac{h + z^2/2 \;\pm\; z\sqrt{h\,(n-h)/n + z^2/4}}{n + z^2}.$$


# %%
Z95 = 1.959964  # 95 % of a normal distribution lie within so many deviations


def wilson_interval(correct, count):
    """Return the lower and upper ends of the accuracies that fit, at 95 %."""
    correct, count = np.asarray(correct, float), np.asarray(count, float)
    half = Z95 * np.sqrt(correct * (count - correct) / count + Z95**2 / 4)
    middle = correct + Z95**2 / 2
    return (middle - half) / (count + Z95**2), (middle + half) / (count + Z95**2)


for h, n in ((20, 20), (18, 20), (900, 1000)):
    share, (low, high) = h / n, wilson_interval(h, n)
    half = Z95 * (share * (1 - share) / n) ** 0.5
    print(
        f"{h:3} of {n:4}: textbook {share - half:.1%} to {share + half:.1%}, ", end=""
    )
    print(f"Wilson {low:.1%} to {high:.1%}")

# %% [markdown]
# Twenty of twenty right, and the textbook is certain of 100 %; with eighteen it
# allows more than 100 %. A promise of 95 % can be tested: draw many test sets from a
# *known* true accuracy, and count how often the interval holds it.

# %%
rows = []
shortfall = {"textbook": 0.0, "Wilson": 0.0}
for n in (50, largest_class):
    for truth in (0.5, 0.9, 0.98, 0.995):
        drawn = rng.binomial(n, truth, size=20_000)
        share = drawn / n
        half = Z95 * np.sqrt(share * (1 - share) / n)
        low, high = wilson_interval(drawn, n)
        held = {
            "textbook": np.mean(abs(share - truth) <= half),
            "Wilson": np.mean((low <= truth) & (truth <= high)),
        }
        rows.append((n, f"{truth:.1%}", *(f"{part:.1%}" for part in held.values())))
        shortfall = {k: max(shortfall[k], 0.95 - held[k]) for k in held}
show_table(("images", "true accuracy", "textbook holds it", "Wilson holds it"), rows)
for name, points in shortfall.items():
    print(f"{name}: at worst {100 * points:.1f} points short of the promised 95 %")

# %% [markdown]
# The nearer the accuracy to 100 %, the worse the textbook keeps its promise: good
# networks and small classes are where it fails. So every dot below carries Wilson's
# interval.

# %%
# Figure: a row for each class, the best on top: a dot at its accuracy, a whisker for
# the 95 % interval, and beside it the accuracy and the number of images.
low, high = metrics.wilson_interval(correct, count)
axis = plotting.plot_per_class(classes, correct, count, (low, high))
plt.show()
widths = 100 * (high - low)[count.numpy() > 0]
apart = low[best] > high[worst]
display(
    Markdown(
        f"Each dot is a class, each whisker its 95 % interval, {widths.min():.1f} to "
        f"{widths.max():.1f} points wide. The axis begins at {axis.get_xlim()[0]:.0%}. "
        f"The whiskers of the best class ({classes[best]}) and the worst "
        f"({classes[worst]}) {'do not overlap' if apart else 'overlap'}."
    )
)

# %% [markdown]
# A whisker covers the luck of the draw: *which* images of this kind happen to be in
# the test set. It does not cover images of another kind, nor another training of the
# same network.
#
# Do not read a difference from whiskers, nor its absence: two that overlap prove
# nothing either way (see the first myth, near the end). The next section has a test
# for it.

# %% [markdown]
# ## 5 · How many images does it take?
#
# Two classes, with $n_1$ and $n_2$ images of their own. If both had the same true
# accuracy $p$, the gap between their shares of hits would scatter with the deviation
# $\sqrt{p(1-p)(1/n_1 + 1/n_2)}$. Divide the gap that was found by it, with the pooled
# share of hits as $p$: above 1.96, luck alone is a poor explanation.


# %%
from itertools import combinations


def gap_in_deviations(correct_1, count_1, correct_2, count_2):
    """Return the gap between two accuracies, in deviations of pure luck."""
    pooled = (correct_1 + correct_2) / (count_1 + count_2)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / count_1 + 1 / count_2))
    gap = correct_1 / count_1 - correct_2 / count_2
    return gap / np.maximum(spread, 1e-12)  # all right, or all wrong: no gap


hit, n = correct.numpy(), count.numpy()
tested = [(a, b) for a, b in combinations(range(num_classes), 2) if n[a] and n[b]]
found = [abs(gap_in_deviations(hit[a], n[a], hit[b], n[b])) > Z95 for a, b in tested]
print(f"{sum(found)} of {len(found)} pairs of classes are told apart;")
print(f"luck alone would give about {0.05 * len(found):.0f}.")
z = gap_in_deviations(hit[best], n[best], hit[worst], n[worst])
print(f"{classes[best]} against {classes[worst]}: {z:.1f} deviations,", end=" ")
print("told apart" if z > Z95 else "not told apart")

# %% [markdown]
# The second line is a warning. Whoever makes 45 comparisons and believes each at 95 %
# must expect two or three that are luck. And the best and the worst class were picked
# for their gap: they look more different than they are.

# %% [markdown]
# Turn the question around. For two true accuracies $p$ and $q$, how many images must
# each class have, so that the test sees the gap in 80 of 100 cases?
#
# $$n = \left(\frac{1.96\,\sqrt{2\,\bar p\,(1-\bar p)} +
# 0.84\,\sqrt{p(1-p) + q(1-q)}}{p - q}\right)^2$$
#
# Here $\bar p$ is the mean of $p$ and $q$ (Fleiss, Levin and Paik, 2003, chapter 4).
# Two stretches must fit between no gap and the true gap. The first, 1.96 deviations of
# pure luck, is how large a *found* gap must be to pass the test. The second is a
# margin, since found gaps scatter about the true one: 80 % of a bell curve lie above
# the point 0.84 deviations below its middle. The formula is an approximation, so check
# it by drawing.

# %%
for gap in (0.10, 0.05, 0.02, 0.01):
    p, q = 0.90, 0.90 - gap
    needed = metrics.images_to_tell_apart(p, q)
    drawn = rng.binomial(needed, p, 20_000), rng.binomial(needed, q, 20_000)
    seen = gap_in_deviations(drawn[0], needed, drawn[1], needed) > Z95
    print(f"{p:.0%} against {q:.0%}: {needed:6} images each; seen in {seen.mean():.0%}")

# %%
# Figure: images needed in each class against the gap between two classes, both axes
# logarithmic. Three lines, by the accuracy of the better class; a grey horizontal line
# marks the images of a class here.
gaps = np.geomspace(0.005, 0.15, 40)
fig, axis = plt.subplots(figsize=(5.6, 3))
for upper, dash in ((0.99, "-"), (0.9, "--"), (0.7, "-.")):
    needed = [metrics.images_to_tell_apart(upper, upper - g) for g in gaps]
    axis.loglog(100 * gaps, needed, dash, label=f"the better class has {upper:.0%}")
axis.axhline(largest_class, color="0.4", lw=1, label=f"a class here: {largest_class}")
axis.set(xlabel="gap between two classes (points)", ylabel="images in each class")
axis.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
axis.legend(fontsize="small")
plt.show()
upper = min(max(overall, 0.3), 0.99)
at_least = metrics.images_to_tell_apart
visible = next((g for g in gaps if at_least(upper, upper - g) < largest_class), None)
text = "more than 15" if visible is None else f"about {100 * visible:.1f}"
hits_of_upper = round(upper * largest_class)
fewer = np.arange(hits_of_upper + 1)  # hits of the worse class
z = gap_in_deviations(hits_of_upper, largest_class, fewer, largest_class)
passing = 100 * (hits_of_upper - fewer[z > Z95].max(initial=0)) / largest_class
print(f"{largest_class} images a class, the better class at {upper:.2%}:")
print(f"a found gap passes the test from {passing:.1f} points on,")
print(f"a true gap is seen in 80 of 100 test sets from {text} points on.")

# %% [markdown]
# The figure shows how many images a gap costs. On these axes the lines are nearly
# straight: half the gap, about four times the images. Near 99 % a gap is cheaper to
# see, because hits and misses scatter less there. The grey line is what you have.
#
# The two gaps in the last lines differ. If the true gap were as small as the first,
# about half of all test sets would find less than that, and miss it.

# %% [markdown]
# ## 6 · Two models on the same images
#
# Two *models* can be shown the *same* images. An image both get right tells nothing
# of which is better, nor one that both get wrong. What is left are those that
# only one of them gets right: $b$ for the first, $c$ for the second. If the two were
# equally good, each such image would be the toss of a fair coin. How likely is it that
# $b + c$ tosses fall at least as unevenly as these? That probability, the **p-value**,
# is McNemar's test (1947). Below 0.05 we say "more than luck": the same bar as 1.96
# deviations, beyond which lie 5 % of a bell curve.
#
# The candidates ship with the course: ResNet-20 and one without shortcuts.


# %%
from math import comb


def mcnemar(labels, first, second):
    """Return b, c, and the chance that fair coins fall at least as unevenly."""
    b = int(((first == labels) & (second != labels)).sum())
    c = int(((first != labels) & (second == labels)).sum())
    tail = sum(comb(b + c, heads) for heads in range(min(b, c) + 1))
    return b, c, min(1.0, 2 * tail / 2 ** (b + c))


kind = "cifar10" if splits.is_photos else "sketches"
answers = []
for name in (kind, f"{kind}-plain"):
    shipped = load_pretrained(name).to(session.device)
    weights = zip(shipped.parameters(), network.parameters(), strict=False)
    if all(torch.equal(a, b) for a, b in weights):
        answers.append(predictions)  # it is the network that we have asked already
    else:
        found, _ = metrics.collect_logits(shipped, loaders.test)
        answers.append(found.argmax(1))
residual, plain = answers
only_residual, only_plain, p_value = mcnemar(labels, residual, plain)

# %%
from statistics import NormalDist

num_test = len(labels)
both = int(((residual == labels) & (plain == labels)).sum())
neither = num_test - both - only_residual - only_plain
right = both + only_residual, both + only_plain
z = gap_in_deviations(right[0], num_test, right[1], num_test)
p_apart = 2 * NormalDist().cdf(-abs(z))  # both ends of the bell curve
show_table(
    ("images", "plain right", "plain wrong"),
    (
        ("**residual right**", both, only_residual),
        ("**residual wrong**", only_plain, neither),
    ),
)
print(f"residual {right[0] / num_test:.2%}, plain {right[1] / num_test:.2%}")
print(f"McNemar's p-value by hand: {p_value:.2g}")
comparison = metrics.compare(labels, residual, plain)
lead = comparison.lead
print("the package, residual minus plain:", comparison)
print(f"as if judged on different images: p = {p_apart:.2g}")

# %% [markdown]
# `metrics.compare` puts it into one line: the lead, its 95 % interval, McNemar's p. An
# interval without 0: the lead is more than luck. An interval with 0 in it: luck can
# explain the lead, and the ends say how large a lead, to either side, remains possible.
# (Interval and p-value are computed in two ways. Where they differ, at the very bar,
# nothing is decided.)

# %% [markdown]
# The two networks find the same images easy and the same images hard. Judged on the
# same images, that shared luck cancels. How much is it worth? Take the table's four
# shares for the truth, draw test sets of many sizes from them, and count how often
# each test sees the gap: McNemar's, and the one for two groups of different images.
# (McNemar's by its approximation: $|b - c|$ above $1.96\sqrt{b + c}$.)

# %%
# Figure: the share of test sets that see the gap, against the number of test images on
# a logarithmic axis. Two lines: the same images (McNemar) and different images. Grey
# lines mark 80 % and the number of test images here.
from matplotlib.ticker import PercentFormatter

truth = np.array([both, only_residual, only_plain, neither]) / num_test
test_sizes = np.geomspace(100, 200_000, 23).astype(int)
seen = {"same images (McNemar)": [], "different images": []}
for n in test_sizes:
    _, b, c, _ = rng.multinomial(n, truth, size=4000).T
    seen["same images (McNemar)"].append(
        np.mean(abs(b - c) / np.sqrt(np.maximum(b + c, 1)) > Z95)
    )
    groups = [rng.binomial(n, r / num_test, size=4000) for r in right]
    deviations = gap_in_deviations(groups[0], n, groups[1], n)
    seen["different images"].append(np.mean(abs(deviations) > Z95))

fig, axis = plt.subplots(figsize=(6, 3.2))
for (name, shares), dash in zip(seen.items(), ("o-", "s--"), strict=True):
    axis.semilogx(test_sizes, shares, dash, markersize=4, label=name)
axis.axhline(0.8, color="0.4", lw=1)
axis.axvline(num_test, color="0.4", lw=1, ls=":", label=f"{num_test} test images")
axis.yaxis.set_major_formatter(PercentFormatter(1))
axis.set(xlabel="test images", ylabel="gap seen in", ylim=(0, 1.02))
axis.legend(fontsize="small")
plt.show()
for name, shares in seen.items():
    k = next((k for k, share in enumerate(shares) if share >= 0.8), 0)
    text = f"fewer than {test_sizes[0]} or more than {test_sizes[-1]}"
    if k:  # between two points of the figure, along the line
        crossing = np.interp(
            0.8, shares[k - 1 : k + 1], np.log(test_sizes[k - 1 :][:2])
        )
        text = f"about {float(f'{np.exp(crossing):.2g}'):.0f}"  # two digits
    print(f"{name}: {text} images see {100 * abs(lead):.2f} points in 80 of 100")

# %%
gap, apart = 0.01, max((only_residual + only_plain) / num_test, 0.01)
paired = ((Z95 * apart**0.5 + 0.84 * (apart - gap**2) ** 0.5) / gap) ** 2
middle = min(max(sum(right) / (2 * num_test), 0.01), 0.99)
unpaired = metrics.images_to_tell_apart(middle + gap / 2, middle - gap / 2)
before = metrics.images_to_tell_apart(0.9, 0.89)
print(f"A lead of one point, at {middle:.1%}, seen in 80 of 100 cases takes about")
print(f"{paired:.0f} images if they are the same, the networks disagreeing on ", end="")
print(f"{apart:.1%} of them,\n{unpaired} each if they are different ones", end=" ")
print(f"(at 90 %, in section 5: {before}).")

# %% [markdown]
# The figure shows, for growing test sets, how often each test notices a gap as large
# as the one measured; the horizontal line is 80 %. If the gap was luck, so is this
# forecast: it takes the table for the truth.

# %% [markdown]
# The last lines answer your second guess. The number for the same images follows from
# section 5's two stretches; only the deviation is another. Image by image the lead is
# +1, −1 or 0, and where the two disagree on a share $d$ of the images, its mean
# scatters by about $\sqrt{d/n}$. For different images, the number grows as the
# accuracy nears 50 %: hits and misses scatter more there. McNemar costs nothing but
# keeping the predictions, which you have.
#
# What the test does *not* say: that shortcuts help. It compares two trained networks,
# one seed of each. Section 16 of lesson 03 compares several seeds.

# %% [markdown]
# ## 7 · What is taken for what
#
# An accuracy counts the mistakes of a class; the **confusion matrix** also says what
# they were. Row: the true class. Column: the prediction. The diagonal holds the hits.


# %%
# Figure: two confusion matrices, true classes in rows, predicted classes in columns:
# counts on the left, shares of each row in per cent on the right. The darker a cell,
# the larger its share of the row.
def confusion_matrix(labels, predictions, num_classes):
    """Return counts (num_classes, num_classes), true classes in rows."""
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for true, predicted in zip(labels.tolist(), predictions.tolist(), strict=True):
        matrix[true, predicted] += 1
    return matrix


matrix = confusion_matrix(labels, predictions, num_classes)
fig, axes = plt.subplots(1, 2, figsize=(10.6, 4.9))
plotting.plot_confusion(matrix, classes, axes[0])
axes[0].set_title("counts")
plotting.plot_confusion(metrics.normalise_rows(matrix), classes, axes[1])
axes[1].set_title("each row as shares of its class, in per cent")
plt.show()
pairs = metrics.most_confused(matrix, classes, count=6)
for true, predicted, number in pairs:
    back = matrix[classes.index(predicted), classes.index(true)]
    print(f"{true:>10} taken for {predicted:10} {number:4} times, and back {back:4}")

# %% [markdown]
# On the left counts, on the right each row divided by its sum, so that the diagonal
# holds the per-class accuracies. In both, the colour is the share of the row, on a
# scale of square roots, since mistakes of one in a hundred would else be white. If all
# classes are equally large, both tell the same; if not, only the right one can be
# compared between rows. The lines below the figure name the most frequent mistakes.
# Are they mutual, or does one class swallow the other?
#
# A pair of names is no explanation yet. Look at the images.

# %%
# Figure: test images in up to three rows of at most seven, one row for each of the most
# frequent mistakes; its true and its predicted class stand above the row's first image.
shown, titles = [], []
for true, predicted, _ in pairs[:3]:
    chosen = (labels == classes.index(true)) & (predictions == classes.index(predicted))
    mistaken = torch.nonzero(chosen).flatten()[:7].tolist()
    shown += mistaken + [-1] * (7 - len(mistaken))  # -1: an empty place
    titles += [f"{true}\nas {predicted}"] + [""] * 6
blank = np.full_like(splits.test.images[:1], 255)
pictures = np.concatenate([splits.test.images, blank])[shown]
if pairs:
    plotting.show_images(pictures, titles, columns=7, size=1.1)
    plt.show()
else:
    print("Not one mistake, so there is nothing to show.")

# %% [markdown]
# Up to seven test images of each of the three most frequent mistakes, a kind a row.
# What do the images of a row share: a pose, a colour, a background, too few pixels?
# Whatever you find is a guess until it is tested; lesson 05 looks inside.

# %% [markdown]
# ## 8 · Precision and recall
#
# Take one class. Its **row** asks: of the images that *are* of this class, how many
# were found? That is the **recall**, another name for the per-class accuracy. Its
# **column** asks: of the images that were *called* so, how many are? That is the
# **precision**. A network that calls everything a cat has perfect recall for cats and
# terrible precision.
#
# **F1** is their harmonic mean $2PR/(P+R)$: high only if both are. With $h$ hits
# among $r$ true and $s$ predicted images, $P = h/s$ and $R = h/r$, and F1 becomes
# $2h/(r+s)$. Here is all of it for the worst class, with nothing but counting.

# %%
hits_of_it = predicted_so = truly_so = 0
for true, predicted in zip(labels.tolist(), predictions.tolist(), strict=True):
    truly_so += true == worst
    predicted_so += predicted == worst
    hits_of_it += true == predicted == worst
precision = hits_of_it / predicted_so if predicted_so else float("nan")
recall = hits_of_it / truly_so
f1 = 2 * hits_of_it / (predicted_so + truly_so)
print(f"{classes[worst]}: {truly_so} are, {predicted_so} were called so, ", end="")
print(f"{hits_of_it} of them rightly")
print(f"precision {precision:.4f}, recall {recall:.4f}, F1 {f1:.4f}")

# %% [markdown]
# Now all classes from the matrix, and scikit-learn's answer to the same question.

# %%
from sklearn.metrics import precision_recall_fscore_support


def precision_recall_f1(matrix):
    """Return precision, recall and F1 of each class, (num_classes,) each."""
    hits, called, true = matrix.diag(), matrix.sum(0), matrix.sum(1)
    return hits / called, hits / true, 2 * hits / (called + true)


ours = precision_recall_f1(matrix)
theirs = precision_recall_fscore_support(
    labels, predictions, labels=range(num_classes), zero_division=np.nan
)
rows = [
    (name, *(f"{value:.3f}" for value in values))
    for name, *values in zip(classes, *(v.tolist() for v in ours), strict=True)
]
show_table(("class", "precision", "recall", "F1"), rows)
gap = max(np.nanmax(abs(a.numpy() - b)) for a, b in zip(ours, theirs, strict=False))
print(f"largest difference from scikit-learn: {gap:.0e}")
cautious = (ours[0] - ours[1]).nan_to_num(0)
k, j = cautious.argmax(), cautious.argmin()
print(f"more precision than recall: above all {classes[k]} ({cautious[k]:+.3f});")
print(f"more recall than precision: above all {classes[j]} ({cautious[j]:+.3f})")

# %% [markdown]
# A class with more precision than recall is named too seldom; one with more recall
# than precision, too often. `nan` is 0/0: a class that was never named has no
# precision.
#
# Both look like properties of the network. One of them is not. Suppose you use the
# network where one class is a hundred times rarer than in the test set. Guess what
# happens to its recall, and to its precision. No image is needed to find out: divide
# that class's row by a hundred.

# %%
changes = []
for k in range(num_classes):
    rare = matrix.double()
    rare[k] /= 100
    changes.append([metrics.precision_recall_f1(m)[:2] for m in (matrix, rare)])
falls = [
    (before[0][k] - after[0][k]).item() for k, (before, after) in enumerate(changes)
]
k = int(np.nanargmax(falls))
(before, after) = changes[k]
print(f"{classes[k]}, in the test set and a hundred times rarer:")
for name, was, now in zip(("precision", "recall"), before, after, strict=True):
    print(f"  {name:9} {was[k]:.3f} → {now[k]:.3f}")

# %% [markdown]
# The recall stays: it looks at one row alone. The precision falls, because the other
# classes' mistakes stay as many as before. So a precision is true of the network
# *and* of how common each class is. A balanced test set promises nothing for a world
# that is not balanced.

# %% [markdown]
# ## 9 · Confidently wrong
#
# Softmax turns logits into probabilities. The highest of them, the probability of the
# predicted class, is called the network's **confidence**. Mistakes with high
# confidence deserve a look each: nothing warns of them.

# %%
# Figure: up to twelve test images, the most confident mistakes, each with the predicted
# class, the confidence and, in brackets, the true class.
probabilities = logits.double().softmax(1)
confidence = probabilities.max(1).values


def gallery(indices):
    """Show test images as ``predicted, confidence, (true)``."""
    titles = [
        f"{classes[predictions[i]]} {confidence[i]:.1%}\n({classes[labels[i]]})"
        for i in indices
    ]
    images = splits.test.images[indices.numpy()]
    plotting.show_images(images, titles, columns=6, size=1.2)
    plt.show()


mistakes = metrics.most_confident_mistakes(logits, labels, count=12)
if len(mistakes):
    gallery(mistakes)
surely_wrong = (~hits & (confidence > 0.9)).sum().item()
print(
    f"{(~hits).sum()} mistakes, {surely_wrong} of them with more than 90 % confidence"
)

# %% [markdown]
# The twelve most confident mistakes, predicted class and confidence above, true class
# in brackets. For each, decide: is the image **m**islabelled, **a**mbiguous (you
# could not tell either), or is the network **w**rong? Write your verdicts into the
# string, in order.
#
# For photos, mislabelled is a real possibility: Northcutt et al. (2021) found 54
# wrong labels among CIFAR-10's 10 000 test images. The sketches were drawn from their
# labels, so there the label is right; the picture may be ambiguous all the same.

# %%
my_verdicts = "............"  # m, a or w for each image; a dot for undecided

counted = {kind: my_verdicts.count(kind) for kind in "maw"}
print(
    f"mislabelled {counted['m']}, ambiguous {counted['a']}, wrong {counted['w']},",
    end="",
)
print(f" undecided {my_verdicts.count('.')}")
if splits.is_photos:
    ceiling = 1 - 54 / 10_000
    print(f"With 54 wrong labels, a network that is always right scores {ceiling:.2%}.")

# %% [markdown]
# And the opposite: hits of which the network was least sure.

# %%
# Figure: six test images, the hits of which the network is least sure, each with the
# predicted class, the confidence and, in brackets, the true class.
doubtful = metrics.least_confident_hits(logits, labels, count=6)
gallery(doubtful)
unsure = confidence < 0.5
text = f"{unsure.sum()} images have a confidence below 50 %"
if unsure.any():
    text += f"; the network is right on {hits[unsure].sum()} of them"
print(text + ".")
least_sure = metrics.least_confident_hits(logits, labels, count=50)
other = plain == labels  # the network of section 6 without shortcuts
print(f"Of the {len(least_sure)} least sure hits, another network gets", end=" ")
print(f"{other[least_sure].float().mean():.0%} right, of all hits", end=" ")
print(f"{other[hits].float().mean():.1%}.")

# %% [markdown]
# Six hits with the lowest confidence. They count as much as any other hit. How many of
# them are luck of this training? The last line asks another network, trained by
# itself: the plain one of section 6.

# %% [markdown]
# ## 10 · How sure is the network?
#
# A weather service that says "70 % rain" on a hundred days is good if it rains on
# about seventy of them. Of a network one may ask the same: where its confidence is 70
# %, is it right in 70 of 100 cases? Then it is **calibrated**.
#
# Sort the images into bins by confidence. In each bin compare the mean confidence
# with the accuracy. The mean gap, each bin weighted by its images, is the **expected
# calibration error** (ECE; Guo et al., 2017, equation 3).


# %%
from itertools import pairwise


def expected_calibration_error(probabilities, labels, num_bins=15):
    """Return the mean gap between confidence and accuracy, over bins."""
    confidence, predictions = probabilities.max(1)
    right = (predictions == labels).double()
    error = 0.0
    edges = torch.linspace(0, 1, num_bins + 1, dtype=torch.float64)
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = confidence[inside].mean() - right[inside].mean()
            error += (gap.abs() * inside.double().mean()).item()
    return error


# %%
# Figure: two bar charts over confidence, a bar for each bin. Left, the reliability
# diagram: accuracy in grey, the gap to the mean confidence in colour, the diagonal of
# perfect calibration, and the number of images on top. Right: each gap times its bin's
# share of all images, above zero where the network is too sure.
ece = expected_calibration_error(probabilities, labels)
bins = metrics.reliability(probabilities, labels)
_, axes = plt.subplots(1, 2, figsize=(9, 3.9))
plotting.plot_reliability(*bins, axes[0])
shares = bins.count / bins.count.sum()
parts = (100 * shares * (bins.confidence - bins.accuracy)).nan_to_num(0).numpy()
left = np.arange(len(parts)) / len(parts)
colors = np.where(parts > 0, "C1", "C0")
axes[1].bar(left, parts, 1 / len(parts), align="edge", color=colors, ec="white")
axes[1].axhline(0, color="black", lw=1)
axes[1].xaxis.set_major_formatter(PercentFormatter(1))
axes[1].set(xlabel="confidence", ylabel="gap × share of images (points)", xlim=(0, 1))
plt.show()
lean = confidence.mean().item() - overall
print(f"mean confidence {confidence.mean():.2%}, accuracy {overall:.2%}: ", end="")
print(f"{'over' if lean > 0 else 'under'}confident by {100 * abs(lean):.2f} points")
print(f"expected calibration error {ece:.2%}")

# %% [markdown]
# Left, the **reliability diagram**: a grey bar is the accuracy in a bin of confidence,
# the coloured piece leads from there to the mean confidence. Orange: too sure; blue:
# too modest. Small numbers on top are images; look at them before you believe a bar.
# Right, the same gaps, each times its bin's share of all images. The ECE is what
# these bars add up to, all counted as positive. A gap that cannot be seen on the left
# may be the tallest bar on the right, if most images are in its bin.

# %% [markdown]
# Is this ECE large? Even a perfectly calibrated network would not show 0: in a bin of
# ten images the accuracy scatters. How much, can be drawn: keep the probabilities,
# and draw the labels *from them*. Such a network is calibrated by construction.


# %%
def errors_if_calibrated(probabilities, draws=100):
    """Return the ECE of `draws` sets of labels drawn from the probabilities."""
    generator = torch.Generator().manual_seed(session.seed)
    drawn = torch.multinomial(probabilities, draws, True, generator=generator)
    return np.array(
        [metrics.expected_calibration_error(probabilities, y) for y in drawn.T]
    )


def judge_calibration(name, probabilities, labels):
    """Print the ECE; return whether a calibrated network would rarely show as much."""
    found = metrics.expected_calibration_error(probabilities, labels)
    luck = errors_if_calibrated(probabilities)
    limit = np.quantile(luck, 0.95)
    verdict = "more than luck" if found > limit else "luck can explain it"
    print(
        f"{name}: ECE {found:.2%}; if calibrated {luck.mean():.2%} on average, ", end=""
    )
    print(f"below {limit:.2%} in 95 of 100: {verdict}")
    return found > limit


ece_beyond_luck = judge_calibration("as trained", probabilities, labels)

# %% [markdown]
# ## 11 · Temperature
#
# Guo et al. (2017, section 4.2) found the large networks of their day too sure of
# themselves, and that one number repaired most of it. Divide all logits by a
# **temperature** $T$ before the softmax. $T > 1$ makes every probability vector
# flatter, $T < 1$ sharper. The order of the logits stays, so every prediction stays.
# Choose the $T$ with the lowest cross-entropy (section 4 of lesson 03) on the
# *validation* images: fitting on test images would be choosing on the test.


# %%
# Figure: validation loss against temperature, on a logarithmic axis, one line; marks at
# temperature 1 and at the best temperature.
def fit_temperature(logits, labels):
    """Return the best temperature of a fine grid."""
    grid = torch.logspace(-0.7, 0.7, 401, dtype=torch.float64)  # 0.2 to 5
    losses = [F.cross_entropy(logits.double() / t, labels) for t in grid]
    return grid[torch.stack(losses).argmin()].item()


temperature = fit_temperature(val_logits, val_labels)
shown = np.geomspace(min(0.4, temperature / 1.5), max(3.0, temperature * 1.5), 60)
losses = [F.cross_entropy(val_logits / t, val_labels).item() for t in shown]
fig, axis = plt.subplots(figsize=(5.5, 3))
axis.semilogx(shown, losses)
for t, name, mark in ((1.0, "as trained", "s"), (temperature, "best", "o")):
    axis.plot(t, F.cross_entropy(val_logits / t, val_labels).item(), mark, label=name)
axis.set_xticks([0.5, 1, 2, 3], ["0.5", "1", "2", "3"])
axis.minorticks_off()
axis.set(xlabel="temperature", ylabel="validation loss (cross-entropy)")
axis.legend()
plt.show()

# %%
num_val = len(val_labels)
val_mistakes = int((val_logits.argmax(1) != val_labels).sum())
print(f"T = {temperature:.2f}, fitted on {num_val} images with {val_mistakes} mistakes")
if val_mistakes >= 5:  # with none, the lower the temperature the better
    best_fit = metrics.fit_temperature(val_logits, val_labels)
    print(f"by gradient descent: {best_fit:.4f}")
    fits = []
    for _ in range(40):
        drawn = torch.from_numpy(rng.integers(num_val, size=num_val))
        fits.append(metrics.fit_temperature(val_logits[drawn], val_labels[drawn]))
    ends = np.quantile(fits, [0.025, 0.975])
    side = "either side" if ends[0] < 1 < ends[1] else "one side"
    print(f"on images drawn again, 40 times: mostly {ends[0]:.2f} to {ends[1]:.2f},")
    print(f"on {side} of 1")

# %% [markdown]
# The figure shows the validation loss against the temperature. Above 1 means that the
# network was too sure of itself, below 1 that it was too modest, *on the validation
# images*. The last lines ask how sure the temperature itself is: the validation
# images are drawn again, with repetition, and $T$ is fitted anew (a *bootstrap*). A
# lower $T$ makes every hit cheaper; what it makes dearer are mistakes. So the mistakes
# alone hold $T$ up, and their number counts.

# %% [markdown]
# Now the test, which had no say in it. The ECE depends on how the bins are cut; the
# cross-entropy does not, so let it decide: image by image, the loss after minus the
# loss before, and the mean of that. A mean scatters with the values' deviation over
# $\sqrt n$ (section 4), so 1.96 times that on either side is its 95 % interval.


# %%
def loss_change(before, after, labels):
    """Print cross-entropy before and after; return better, worse or undecided."""
    chosen = torch.arange(len(labels)), labels
    losses = [-p[chosen].log() for p in (before, after)]
    change = losses[1] - losses[0]
    middle, error = change.mean(), Z95 * change.std() / len(change) ** 0.5
    verdict = "undecided"
    if abs(middle) > error:
        verdict = "better" if middle < 0 else "worse"
    print(f"cross-entropy {losses[0].mean():.4f} → {losses[1].mean():.4f}", end=", ")
    print(f"change {middle - error:+.4f} to {middle + error:+.4f}: {verdict}")
    return verdict


cooled = (logits.double() / temperature).softmax(1)
judge_calibration("as trained", probabilities, labels)
judge_calibration(f"T = {temperature:.2f}", cooled, labels)
outcome = loss_change(probabilities, cooled, labels)
moved = (cooled.argmax(1) != predictions).sum()
print(f"predictions that changed: {moved}")

# %%
wanted = fit_temperature(logits, labels)  # to explain only: it saw the test's labels
val_hits, val_sure = num_val - val_mistakes, val_logits.softmax(1).max(1).values.mean()
z = gap_in_deviations(val_hits, num_val, hits.sum().item(), num_test)
story = {
    "better": "Here the temperature **helped**",
    "worse": "Here the temperature **failed**",
    "undecided": "Here the test **cannot tell** whether the temperature helped",
}[outcome]
same_side = (wanted - 1) * (temperature - 1) > 0
story += f": the validation images asked for {temperature:.2f}, and the test images "
story += f"would have asked for {wanted:.2f}, on the "
story += f"{'same' if same_side else 'other'} side of 1. "
val_lean = 100 * (val_sure.item() - val_hits / num_val)
story += f"Mean confidence minus accuracy is {val_lean:+.2f} points on validation "
story += f"images and {100 * lean:+.2f} on test images. Accuracy: validation "
story += (
    f"{val_hits / num_val:.2%}, test {overall:.2%}; {abs(z):.1f} deviations apart, "
)
story += "more than luck." if abs(z) > Z95 else "so luck can explain that they differ."
display(Markdown(story))

# %% [markdown]
# Two things make a temperature fail. One is too few mistakes to fit it on: then the
# bootstrap's range is wide. The other is validation images that are unlike the test.
# They may be so by luck, or because they have chosen the network's epoch before, and
# a network may do too well on them.
#
# What a temperature cannot do: it moves all images alike. A network that is too sure
# of cats and too unsure of ships needs more than one number. And it holds for images
# like those it was fitted on. The next section damages the images, and then asks again
# for a repair.

# %% [markdown]
# ## 12 · How far can it be pushed?
#
# Test images are as clean as training images. The world is not. Hendrycks and
# Dietterich (2019) proposed to damage the test images in steps and to watch the
# accuracy; the network is *not* trained on the damage. Four kinds. Noise: a random
# number is added to each colour of each pixel by itself; given is its deviation, if
# black is 0 and white 1. Blur: how far light spreads, in pixels. Brightness: the
# share that is added, 0 for none, −1 for a black image. Shift: in pixels. First look.

# %%
# Figure: one test image in four rows of five, each row one kind of damage in five
# strengths: noise, blur, brightness, shift.
from course_utils.data import corruptions

NOISE = "noise (white = 1)"
PUSHES = {
    NOISE: (corruptions.gaussian_noise, (0, 0.04, 0.08, 0.14, 0.2)),
    "blur (deviation, px)": (corruptions.gaussian_blur, (0, 0.5, 0.8, 1.2, 2)),
    "brightness (share added)": (corruptions.brightness, (-0.8, -0.4, 0, 0.6, 1.5)),
    "shift to the right (px)": (corruptions.translation, (0, 2, 4, 7, 12)),
}
example = splits.test.images[[int(confidence.argmax())]]
pushed = [push(example, s) for push, steps in PUSHES.values() for s in steps]
titles = []
for name, (_, steps) in PUSHES.items():
    titles += [f"{name.split()[0]} {steps[0]}", *map(str, steps[1:])]
plotting.show_images(np.concatenate(pushed), titles, columns=5, size=0.95)
plt.show()

# %% [markdown]
# The test image of which the network is most sure, damaged in four ways, one a row.
# In which of the pictures could *you* still name it? Sketch the four curves of
# accuracy against strength before you run the cells. In the quick profile 600 of the
# test images have to do: about 60 a class, so a class's point may be off by ten
# points either way.

# %%
num_pushed = min(session.pick(quick=600, full=num_test), num_test)
picked = np.random.default_rng(1).permutation(num_test)[:num_pushed]
few = replace(splits, test=type(splits.test)(*(part[picked] for part in splits.test)))
few_labels = torch.from_numpy(few.test.labels).long()


def judge(images, mean=None, std=None):
    """Return the logits of these images instead of the picked test images."""
    test = few.test._replace(images=images)
    statistics = {"mean": mean or splits.mean, "std": std or splits.std}
    changed = replace(few, test=test, **statistics)
    return metrics.collect_logits(network, changed.loaders(500).test)[0]


clean = judge(few.test.images)
pushed_logits = {
    name: [judge(push(few.test.images, s)) if s else clean for s in steps]
    for name, (push, steps) in PUSHES.items()
}
pushed_accuracy = {
    name: np.stack([metrics.per_class_accuracy(z, few_labels).accuracy for z in found])
    for name, found in pushed_logits.items()
}

# %%
# Figure: accuracy against the strength of the damage, in four panels: noise, blur,
# brightness, shift. A line for each class: in colour the one that does best at the
# worst strength, grey the others; the mean of the classes in black.
steps = {name: steps for name, (_, steps) in PUSHES.items()}
fig, axes = plt.subplots(1, len(steps), figsize=(10, 2.8), sharey=True)
worst_steps = {
    name: np.nanmean(by_class, axis=1).argmin()
    for name, by_class in pushed_accuracy.items()
}
steadiest = {
    name: [classes[np.nanargmax(pushed_accuracy[name][k])]]
    for name, k in worst_steps.items()
}
plotting.plot_robustness(steps, pushed_accuracy, classes, axes, highlight=steadiest)
plt.show()
lines = f"Measured on {num_pushed} test images; undamaged "
lines += f"{metrics.accuracy(clean, few_labels):.1%}. Mean of the classes:\n"
for name, by_class in pushed_accuracy.items():
    k = worst_steps[name]
    whole = by_class[steps[name].index(0)]
    lines += f"\n- {name.split()[0]}: lowest at {steps[name][k]}, "
    lines += f"{np.nanmean(by_class[k]):.1%}"
    for word, pick in (("largest fall", np.nanargmin), ("smallest", np.nanargmax)):
        c = pick(by_class[k] - whole)
        lines += f"; {word} {classes[c]}, {whole[c]:.0%} → {by_class[k][c]:.0%}"
display(Markdown(lines))

# %% [markdown]
# Accuracy against the strength of the damage: black the mean of the classes; in
# colour, and named above its panel, the class that does best at the worst strength;
# grey the others. (The classes' numbers are of the picked images alone, so they are
# not those of section 3.)
#
# Does a class hold out while the mean falls, or even rise? Be suspicious. A network
# that no longer sees its clues tends to answer with a few favourites, and a favourite
# class *looks* robust: its recall stays high, its precision does not. So count the
# answers under the strongest noise.

# %%
noisy = pushed_logits[NOISE][-1]
answers = torch.bincount(noisy.argmax(1), minlength=num_classes) / num_pushed
shares = torch.bincount(few_labels, minlength=num_classes) / num_pushed
for k in answers.argsort(descending=True)[:3].tolist():
    print(
        f"{classes[k]:>10}: {answers[k]:.0%} of all answers, {shares[k]:.0%} of images"
    )
sure = (noisy.double() / temperature).softmax(1).max(1).values.mean()
noisy_accuracy = metrics.accuracy(noisy, few_labels)
print(f"hits {noisy_accuracy:.1%} of all images, mean confidence {sure:.1%} ", end="")
print(f"(at T = {temperature:.2f})")

# %% [markdown]
# The three most frequent answers, and a warning in the last line: a temperature that
# was fitted on clean images does not have to fit these.
#
# ### A temperature for the images that come
#
# So fit it on images like those that will come. Take a middle noise, damage
# *validation* images with it, fit $T$ on them, and judge on damaged *test* images.
# No image is in both.

# %%
level, num_damaged = 2, min(session.pick(quick=1000, full=num_val), num_val)
strength, noisy = PUSHES[NOISE][1][level], pushed_logits[NOISE][level]
images = corruptions.gaussian_noise(splits.val.images[:num_damaged], strength, seed=1)
damaged = replace(splits, val=type(splits.val)(images, splits.val.labels[:num_damaged]))
noisy_val = metrics.collect_logits(network, damaged.loaders(500).val)
warm = fit_temperature(*noisy_val)
print(f"noise {strength}: T = {warm:.2f}, fitted on {num_damaged} damaged validation")
noisy_mistakes = (noisy_val[0].argmax(1) != noisy_val[1]).sum()
print(f"images with {noisy_mistakes} mistakes; judged on {num_pushed} test images")
softened = {
    name: (noisy.double() / t).softmax(1)
    for name, t in (
        ("as trained", 1.0),
        (f"T = {temperature:.2f}, from clean images", temperature),
        (f"T = {warm:.2f}, from noisy images", warm),
    )
}
errors = {}
for name, p in softened.items():
    judge_calibration(name, p, few_labels)
    errors[name] = metrics.expected_calibration_error(p, few_labels)
repaired = loss_change(softened["as trained"], list(softened.values())[-1], few_labels)

# %%
# Figure: two reliability diagrams on noisy test images, accuracy in bins of confidence
# with the gap to the mean confidence in colour: as trained on the left, with the
# temperature from noisy images on the right.
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.9))
for axis, title in zip(axes, ("as trained", name), strict=True):
    plotting.plot_reliability(*metrics.reliability(softened[title], few_labels), axis)
    axis.set_title(title)
plt.show()
raw, from_clean, from_noisy = (100 * error for error in errors.values())
text = (
    f"Under this noise the ECE is {raw:.1f} points as trained, {from_clean:.1f} with "
)
text += (
    f"the temperature from clean images and {from_noisy:.1f} with the one from noisy "
)
text += "images. By the cross-entropy, the last one is "
text += {"undecided": "neither better nor worse"}.get(repaired, f"**{repaired}**")
display(Markdown(text + " than none."))

# %% [markdown]
# Reliability on the damaged test images, before (left) and after (right) one division
# of the logits. A repair needs two things that section 11 could lack: many mistakes to
# fit on, and images of the kind that will be judged. It does not mend the predictions,
# which are the same: it makes the network admit that it does not know.

# %% [markdown]
# ## 13 · How evaluation goes wrong
#
# Every number so far came from a network and from a *procedure*. Procedures fail more
# quietly than networks: no error, no warning, a plausible number. Five faults, each
# provoked and measured.
#
# ### `eval()` forgotten
#
# In `train()`, batch normalisation takes mean and spread from the batch (lesson 01,
# lesson 03). So what the network says of an image depends on the *company* it is in,
# and the damage depends on the size and the order of the batches.

# %%
forgetful = copy.deepcopy(network).train()  # a copy: its running means will move
by_class = np.argsort(few.test.labels, kind="stable")
in_folders = replace(few, test=type(few.test)(*(part[by_class] for part in few.test)))
expected = metrics.accuracy(clean, few_labels)
names = ("eval() forgotten", "mean of batch means", "epoch chosen on the test set")
names += ("wrong normalisation or colours", "JPEG")
faults = {name: {} for name in names}  # for each setting, points too high (+) or low
rows = []
for size in (4, 32, 250):
    row = [size]
    for order, data in (("shuffled", few), ("sorted by class", in_folders)):
        right = 0
        with torch.no_grad():
            for images, y in data.loaders(size).test:
                right += (
                    forgetful(images.to(session.device)).argmax(1).cpu() == y
                ).sum()
        off = 100 * (right.item() / num_pushed - expected)
        faults["eval() forgotten"][f"batches of {size}, {order}"] = off
        row.append(f"{right / num_pushed:.1%}")
    rows.append(row)
print(f"with eval(): {expected:.1%} on {num_pushed} images; without:")
show_table(("batch size", "shuffled", "sorted by class"), rows)

# %% [markdown]
# Small batches have noisy statistics. Batches of one class have *wrong* ones: what
# all its images share is subtracted as if it were the background. A folder of images
# hands them out in this very order. The numbers near the right one are the dangerous
# ones: large shuffled batches hide the fault.
#
# ### The mean of batch means
#
# Add up the accuracies of the batches and divide by their number: correct if all are
# equally large. The last batch often is not, and then its few images count like a
# full batch. Here for every batch size, from the hits that we have.


# %%
# Figure: error of the accuracy, in points, against batch size; two lines: images
# shuffled, and sorted by class.
def mean_of_batch_means(hits, batch_size):
    """Return the accuracy as many scripts compute it."""
    batches = hits.double().split(batch_size)
    return torch.stack([batch.mean() for batch in batches]).mean().item()


orders = {"shuffled": torch.from_numpy(np.random.default_rng(2).permutation(num_test))}
orders["sorted by class"] = labels.argsort(stable=True)
batch_sizes = range(16, 513)
fig, axis = plt.subplots(figsize=(6, 2.6))
for name, order in orders.items():
    errors = [
        100 * (mean_of_batch_means(hits[order], size) - overall) for size in batch_sizes
    ]
    axis.plot(batch_sizes, errors, lw=1, label=name)
    k = int(np.argmax(np.abs(errors)))
    last = num_test % batch_sizes[k] or batch_sizes[k]
    kinds = [f"batches of {size}, {name}" for size in batch_sizes]
    faults["mean of batch means"] |= dict(zip(kinds, errors, strict=True))
    print(f"{name}: off by up to {errors[k]:+.2f} points (batches of ", end="")
    print(f"{batch_sizes[k]}, the last of {last})")
axis.set(xlabel="batch size", ylabel="error of the accuracy (points)")
axis.legend()
plt.show()

# %% [markdown]
# The error against the batch size. It is zero where the last batch is full; the
# spikes are sizes that leave a last batch of a few images, of which one mistake
# weighs as much as many elsewhere. So the result depends on the *batch size*, which
# has nothing to do with the network. Collect first, then take one mean over all
# images, and the fault cannot happen.

# %% [markdown]
# ### Choosing the epoch on the test set
#
# Evaluate on the test set after every epoch, report the best: common, and flattering,
# since the best is partly luck. Lesson 03 measured it with neighbouring checkpoints
# on validation images. Now with real epochs, over several seeds, and for test sets of
# several sizes. A small network is trained at a constant rate, on every second pixel
# to save time; after each epoch the cell does what must not be done, and looks at
# test images.

# %%
from course_utils.models import cifar_resnet
from course_utils.training import train

epochs, seeds = session.pick(quick=16, full=40), session.pick(quick=3, full=5)
short = {"train": splits.train, "val": splits.val, "test": few.test}
short = {  # images of half the width and height, 50 to validate
    name: pair._replace(images=pair.images[:, ::2, ::2]) for name, pair in short.items()
}
short["val"] = type(few.val)(*(part[:50] for part in short["val"]))
short = replace(splits, **short)
watched = []
for seed in range(seeds):
    torch.manual_seed(seed)
    small = cifar_resnet(8).to(session.device)
    loader = short.loaders(50, seed=seed, train_size=1000)
    looks = []

    def look(history, small=small, looks=looks, loader=loader):
        """Note which test images are right, after each epoch."""
        noted, y = metrics.collect_logits(small, loader.test)
        looks.append((noted.argmax(1) == y).numpy())

    sgd = torch.optim.SGD(small.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    options = {"num_epochs": epochs, "optimizer": sgd, "on_epoch": look}
    train(small, loader.train, loader.val, progress=False, **options)
    watched.append(np.stack(looks))  # (epochs, images), True where right

# %% [markdown]
# One choice shows little: the epoch that was chosen may even be the best one. What
# flatters is the *number* that goes with it. To see that, choose many times: draw two
# groups of test images. The first chooses the epoch and promises an accuracy; the
# second, which had no say, tells the truth.

# %%
# Figure: flattery in points against the number of test images that choose, on a
# logarithmic axis; one line, the mean over the seeds, in a band from the lowest to the
# highest.
group_sizes = [n for n in (50, 100, 200, 300, 1000, 3000) if 2 * n <= num_pushed]
promises = np.empty((2, seeds, len(group_sizes), 500))  # promised, true; 500 drawings
for seed, looks in enumerate(watched):
    for column, n in enumerate(group_sizes):
        for draw in range(500):
            drawn = rng.permutation(num_pushed)[: 2 * n]
            means = looks[:, drawn[:n]].mean(axis=1)
            truth = looks[means.argmax(), drawn[n:]].mean()
            promises[:, seed, column, draw] = means.max(), truth
flattery = 100 * (promises[0] - promises[1])
_, axis = plt.subplots(figsize=(5.6, 2.8))
curves = {f"best of {epochs} epochs": flattery.mean(-1)}
plotting.plot_seeds(curves, axis, x=group_sizes)
axis.set(xscale="log", xlabel="test images that choose", ylabel="flattery (points)")
axis.set_xticks(group_sizes, group_sizes)
axis.minorticks_off()
axis.set_ylim(bottom=min(0, flattery.mean(-1).min()))
plt.show()
for k, n in enumerate(group_sizes):
    promised, true = promises[:, :, k].mean((1, 2))
    points, often = flattery[:, k].mean(), (flattery[:, k] > 0).mean()
    print(f"{n:4} images promise {promised:.1%}, others show {true:.1%}:", end=" ")
    print(f"{points:+.1f} points; too good in {100 * often:.0f} of 100 drawings")
    faults["epoch chosen on the test set"][f"{n} images, mean of all drawings"] = points

# %% [markdown]
# Flattery against the number of test images that choose: the mean over the seeds, in
# a band from the lowest to the highest; 500 drawings for each point. Without a choice,
# half of the drawings would be too good, and the mean error 0. More images leave less
# to luck; more epochs to choose from give it more tries (lesson 03, section 13).
#
# On large test sets the flattery is small. Recht et al. (2019) collected new test
# images for CIFAR-10 after years of looking at the old ones. Accuracies dropped by 3
# to 15 points, but the networks kept nearly the same order, and the authors blame
# slightly harder images, not the looking.

# %% [markdown]
# ### Wrong numbers in, wrong pixels in
#
# Two faults before the network: other normalisation than in training, and test images
# that went through a JPEG encoder, as photos do on their way through the web. (The
# often copied deviation is that of lesson 03, section 2.) The same images every time,
# so McNemar's test says which changes are more than luck.

# %%
ZEROS, ONES = (0.0,) * 3, (1.0,) * 3
images = few.test.images
answers = {
    "right": clean,
    "not normalised (0 to 1)": judge(images, mean=ZEROS, std=ONES),
    "not even scaled (0 to 255)": judge(images, mean=ZEROS, std=(1 / 255,) * 3),
    "ImageNet's mean and deviation": judge(
        images, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "the often copied deviation": judge(images, std=(0.2023, 0.1994, 0.2010)),
    "red and blue swapped (BGR)": judge(np.ascontiguousarray(images[..., ::-1])),
}
for quality in (95, 75, 50, 25):
    stored = corruptions.jpeg_compression(images, 100 - quality)
    answers[f"JPEG, quality {quality}"] = judge(stored)
rows, base = [], clean.argmax(1)
for name, found in answers.items():
    change = metrics.compare(few_labels, found.argmax(1), base)
    now = metrics.accuracy(found, few_labels)
    lost, gained = change.second_only, change.first_only
    rows.append((name, f"{now:.1%}", lost, gained, change))
    if name != "right":
        kind = "JPEG" if "JPEG" in name else "wrong normalisation or colours"
        faults[kind][name.removeprefix("JPEG, ")] = 100 * (now - expected)
show_table(("test images", "accuracy", "lost", "gained", "minus the right one"), rows)

# %%
rows = []
worst_first = sorted(faults, key=lambda f: -max(map(abs, faults[f].values())))
for name in worst_first:
    by_size = sorted(faults[name].items(), key=lambda setting: abs(setting[1]))
    (mildest, least), (worst_setting, most) = by_size[0], by_size[-1]
    rows.append((name, mildest, f"{least:+.1f}", worst_setting, f"{most:+.1f}"))
show_table(("fault", "mildest", "points", "worst", "points"), rows)
large = {f for f in worst_first if max(map(abs, faults[f].values())) >= 1}
hidden = [f for f in worst_first if min(map(abs, faults[f].values())) < 1]
text = f"At its worst, **{worst_first[0]}** spoils most; {len(large)} of {len(faults)} "
text += f"can cost a point or more. And {len(hidden)} can stay below one point: "
display(Markdown(text + ", ".join(hidden) + "."))

# %% [markdown]
# "Lost" are the images that only the right preparation gets right, "gained" the
# others. Where the interval contains 0, luck can explain the difference. The fault is
# there all the same: it is waiting for another network. (The networks for photos that
# ship with this course were trained on images once stored as JPEG. That matters as
# much.)
#
# The last table has each fault's mildest and worst setting, in points above (+) or
# below (−) the right accuracy: your fourth guess. No single number answers it, since
# every fault depends on batches, order or strength. A large error is found at once,
# since nobody believes it. A small one is of the size that a better network brings.

# %% [markdown]
# ## Results

# %%
from course_utils.results import hardware_name

low, high = metrics.wilson_interval(hits.sum().item(), num_test)
ends = metrics.wilson_interval(correct, count)
rows = [
    ("overall accuracy", f"{overall:.2%}, 95 % interval {low:.2%} to {high:.2%}"),
    *(
        (
            f"{word} class",
            f"{classes[k]} {class_accuracy[k]:.2%}, {ends[0][k]:.2%} to "
            f"{ends[1][k]:.2%}",
        )
        for word, k in (("best", best), ("worst", worst))
    ),
    ("most frequent mistake", "{} as {}, {} times".format(*pairs[0]) if pairs else "–"),
    ("calibration error", f"{ece:.2%}"),
    ("temperature", f"{temperature:.2f}"),
    ("under noise", f"ECE {raw:.1f} points, with its own temperature {from_noisy:.1f}"),
    ("residual minus plain", comparison),
    ("measured on", f"{num_test} images, {hardware_name(session.device)}"),
]
show_table(("", ""), rows)
session.report(
    f"accuracy {overall:.2%} ({low:.2%} to {high:.2%}); {classes[worst]} "
    f"{class_accuracy[worst]:.1%}, {classes[best]} {class_accuracy[best]:.1%}",
    data=splits.describe(),
)

# %% [markdown]
# **What this does not show.** One network, one seed: another training would change
# some digits of every row, and perhaps which class is worst. The intervals cover the
# luck of the test images and nothing else. Robustness was measured on four kinds of
# damage; a network may be hardened against exactly these and break at a fifth. And
# the test set has now been looked at in a dozen ways: whoever improves the network
# because of what they saw here needs new test images to prove it.

# %% [markdown]
# ## Myths, tested
#
# ### "The intervals overlap, so there is no difference"
#
# Section 5 took a class at the overall accuracy, and lowered a second one image by
# image until the test saw the gap. When do the intervals part?

# %%
ends_upper = wilson_interval(hits_of_upper, largest_class)
ends_fewer = wilson_interval(fewer, largest_class)
parted = fewer[ends_fewer[1] < ends_upper[0]].max(initial=0)
parting = 100 * (hits_of_upper - parted) / largest_class
print(f"{largest_class} images each, the better class with {hits_of_upper} hits:")
print(f"the test sees a found gap from {passing:.1f} points on,")
print(f"the intervals part from {parting:.1f} points on.")
refuted = passing < parting
print("Refuted:" if refuted else "Confirmed:", end=" ")
print(
    "gaps in between are "
    + ("seen, with overlapping intervals." if refuted else "none.")
)

# %% [markdown]
# Why? Two whiskers of equal length part at a gap of twice that length. But the gap of
# two independent numbers scatters less than the sum of both, since they seldom err in
# opposite directions at once: squares of deviations add up, so it is $\sqrt 2$ times
# the length of one. Parted intervals prove a difference; overlapping ones prove
# nothing.
#
# ### "The confidence is the chance of being right"
#
# Where it matters most: on the images of which the network is at least 99 % sure.
# Their mean confidence is a claim, and the share that is right, with its interval,
# answers it.

# %%
heads = ("network, images", "at least 99 % sure", "claimed", "right")
heads += ("95 % interval", "mistakes promised", "found", "the claim")
rows, too_sure = [], []
noise_name = f"as trained, noise {strength}"
for name, p, y in (
    ("as trained, clean", probabilities, labels),
    (f"T = {temperature:.2f}, clean", cooled, labels),
    (noise_name, softened["as trained"], few_labels),
):
    sure, answer = p.max(1)
    chosen = sure >= 0.99
    n, right = int(chosen.sum()), int((answer == y)[chosen].sum())
    if not n:
        continue
    claimed, (low, high) = sure[chosen].mean().item(), metrics.wilson_interval(right, n)
    verdict = "**too sure**" if claimed > high else "holds"
    verdict = "**too modest**" if claimed < low else verdict
    too_sure += [name] if claimed > high else []
    cells = f"{claimed:.3%}", f"{right / n:.2%}", f"{low:.2%} to {high:.2%}"
    promised = f"{n * (1 - claimed):.1f}"
    rows.append((name, n, *cells, promised, n - right, verdict))
show_table(heads, rows)
text = (
    f"Refuted: too sure in {', '.join(too_sure)}." if too_sure else "Not refuted here."
)
bins_say = "more than luck" if ece_beyond_luck else "no more than luck explains"
print(f"{text} (Clean images, as trained, all bins together: {bins_say}.)")

# %% [markdown]
# "Right" is your third guess. A claim is refuted if it lies outside the interval. To
# be right almost always can still be a broken promise, if the claim was higher:
# compare the mistakes promised with those found.
#
# Section 10 asked about all bins together, and this asks about the surest images
# alone. The ECE of all bins scatters with the many doubtful images, and a small gap
# among the surest can drown in that. So the two may answer differently, and both be
# right.
#
# ### "Report micro-averaged F1 too, it says more than the accuracy"
#
# *Micro-averaged* means: add up hits, true and predicted images over all classes
# first, then compute F1 once.

# %%
from sklearn.metrics import f1_score

micro = f1_score(labels, predictions, average="micro")
macro = f1_score(labels, predictions, average="macro")
print(f"micro F1 {micro:.6f}, accuracy {overall:.6f}, macro F1 {macro:.6f}")
same = abs(micro - overall) < 1e-6
print("Refuted: micro F1 is the accuracy." if same else "Confirmed: they differ.")

# %% [markdown]
# With one label and one prediction an image, the sums of true and of predicted images
# are both $N$, so $2h/(N+N) = h/N$. The *macro* average, the mean of the classes' F1,
# is another number.

# %% [markdown]
# ## Summary
#
# 1. *Collect once.* Logits and labels, in `eval()`; all else is computed from them.
# 2. *Where it fails.* Per-class accuracy with Wilson intervals; the confusion matrix
#    for what is taken for what; precision depends on how common a class is.
# 3. *Do they differ?* Half the gap takes four times the images. Two models: the same
#    images, McNemar. Many comparisons: some luck.
# 4. *Confidence.* Its ECE, beside that of a calibrated network. One temperature can
#    repair it, if fitted on many mistakes and on images like those that will come.
#    Check it on others: sections 11 and 12 say where it helped.
# 5. *Faulty evaluation.* `eval()`, one mean over images, choose on validation, prepare
#    as in training.

# %% [markdown]
# ## Exercises
#
# ### ★ Balanced accuracy
#
# From a confusion matrix of counts (true classes in rows), return the mean of the
# classes' accuracies. A class without an example has no accuracy and is left out.
#
# Expected: `balanced_accuracy(torch.tensor([[9, 1], [1, 1]]))` is 0.7.


# %% tags=["exercise"]
def balanced_accuracy(matrix: torch.Tensor) -> float:
    """Return the mean accuracy of the classes that have an example."""
    raise NotImplementedError


check.balanced_accuracy(balanced_accuracy)


# %% tags=["solution"]
def balanced_accuracy(matrix: torch.Tensor) -> float:
    """Return the mean accuracy of the classes that have an example."""
    count = matrix.sum(1)
    return (matrix.diag() / count)[count > 0].mean().item()


check.balanced_accuracy(balanced_accuracy)

# %% [markdown]
# ### ★★ When it may say "I don't know"
#
# A network that hands its doubtful cases to a person answers only a share of all
# images, the *coverage*. Return its accuracy on the images of which it is most sure:
# `coverage` of all of them, rounded to whole images.
#
# Expected: with a coverage of 1.0 it is the ordinary accuracy.


# %% tags=["exercise"]
def accuracy_when_sure(
    probabilities: torch.Tensor, labels: torch.Tensor, coverage: float
) -> float:
    """Return the accuracy on the most confident share of the images."""
    raise NotImplementedError


check.accuracy_when_sure(accuracy_when_sure)


# %% tags=["solution"]
def accuracy_when_sure(
    probabilities: torch.Tensor, labels: torch.Tensor, coverage: float
) -> float:
    """Return the accuracy on the most confident share of the images."""
    confidence, predictions = probabilities.max(1)
    number = round(coverage * len(labels))
    surest = confidence.argsort(descending=True)[:number]
    return (predictions[surest] == labels[surest]).float().mean().item()


check.accuracy_when_sure(accuracy_when_sure)

# %% [markdown]
# ### ★★ An interval for a lead
#
# McNemar says *whether* two models differ. The **bootstrap** says by how much: draw
# as many images as there are, with repetition, compute the lead on them, and repeat.
# Given the hits of two models on the same images, return the ends between which the
# middle 95 % of the leads (first minus second, as fractions) lie.
#
# Expected: an array of hits against itself gives 0 and 0, whatever is drawn.


# %% tags=["exercise"]
def lead_interval(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a lead; hits are bool (N,)."""
    raise NotImplementedError


check.lead_interval(lead_interval)


# %% tags=["solution"]
def lead_interval(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a lead; hits are bool (N,)."""
    gained = first.astype(float) - second
    images = rng.integers(len(gained), size=(draws, len(gained)))
    low, high = np.quantile(gained[images].mean(axis=1), [0.025, 0.975])
    return low, high


check.lead_interval(lead_interval)

# %% [markdown]
# ### ★★★ Bins of equal size
#
# Most images of a good network land in the last bin, and the ECE sees little of what
# is inside. So cut differently: sort the images by confidence, and cut the row into
# `num_bins` groups of equal size (one image more or less where it does not divide, as
# `torch.tensor_split` does it). Then as before: the mean of the gaps' absolute
# values, weighted by the groups' sizes.
#
# Expected: with one bin it is |mean confidence − accuracy|.


# %% tags=["exercise"]
def equal_size_calibration_error(
    probabilities: torch.Tensor, labels: torch.Tensor, num_bins: int
) -> float:
    """Return the calibration error over bins with equally many images."""
    raise NotImplementedError


check.equal_size_calibration_error(equal_size_calibration_error)


# %% tags=["solution"]
def equal_size_calibration_error(
    probabilities: torch.Tensor, labels: torch.Tensor, num_bins: int
) -> float:
    """Return the calibration error over bins with equally many images."""
    confidence, predictions = probabilities.max(1)
    excess = confidence - (predictions == labels).to(confidence.dtype)
    groups = excess[confidence.argsort()].tensor_split(num_bins)
    return sum(group.sum().abs().item() for group in groups) / len(labels)


check.equal_size_calibration_error(equal_size_calibration_error)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. The 95 % intervals of two classes overlap. What follows?**
#
# <details><summary>Their true accuracies do not differ.</summary>
#
# **No.** The test of section 5 also sees gaps at which the intervals still overlap. The
# first myth computes how large these are.
#
# </details>
# <details><summary>They differ if neither interval holds the other's dot.</summary>
#
# **No.** The dots leave the intervals at a gap of one whisker, from a dot to its end.
# The test asks for about $\sqrt 2$ times as much.
#
# </details>
# <details><summary>Nothing yet: ask a test of the gap.</summary>
#
# **Right.** Parted intervals prove a difference, overlapping ones prove nothing either
# way. The gap scatters less than both whiskers together, and the test takes that into
# account.
#
# </details>
# <details><summary>Both have the same accuracy, with a probability of 95 %.</summary>
#
# **No.** Each interval makes a promise about its own accuracy: over many test sets, 95
# of 100 such intervals hold it. It promises nothing about equality.
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
# <details><summary>Those that only one of the two gets right.</summary>
#
# **Right.** If the networks were equally good, each of these would be the toss of a
# fair coin. McNemar's test asks how likely it is that the tosses fall so unevenly.
#
# </details>
# <details><summary>The hard ones, which both get wrong.</summary>
#
# **No.** They show where both fail. On the question which one is better they have no
# vote.
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
# **No.** The recall is, the precision is not: it also depends on how common the class
# is.
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
# **No.** No prediction changes, as the lesson counts. A confident mistake becomes a
# less confident mistake at best.
#
# </details>
# <details><summary>The confidence becomes right, on whatever images come.</summary>
#
# **No.** It holds for images like those it was fitted on. Section 12 damages the images
# and has to fit another temperature for them.
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
# **5. A network's expected calibration error on the test images is not zero. What does
# this show?**
#
# <details><summary>It is not calibrated: a calibrated network's would be
# zero.</summary>
#
# **No.** In a bin of few images the accuracy scatters by luck. Even a perfectly
# calibrated network shows an ECE above zero.
#
# </details>
# <details><summary>It is too sure of itself.</summary>
#
# **No.** The ECE counts every gap as positive. Whether the network is too sure or too
# modest stands in the signs, which the diagram shows by colour.
#
# </details>
# <details><summary>Its accuracy is off by so many points.</summary>
#
# **No.** The accuracy is what it is. The ECE compares it with the confidence, bin by
# bin.
#
# </details>
# <details><summary>Nothing, until it is compared with a calibrated network's.</summary>
#
# **Right.** Draw labels *from* the probabilities: such a network is calibrated by
# construction. Only an ECE larger than it would usually show needs another explanation
# than luck.
#
# </details>

# %% [markdown]
# ## References
#
# - E. B. Wilson, *Probable inference, the law of succession, and statistical
#   inference*, Journal of the American Statistical Association 22, 1927.
# - Q. McNemar, *Note on the sampling error of the difference between correlated
#   proportions or percentages*, Psychometrika 12, 1947.
# - J. Fleiss, B. Levin, M. Paik, *Statistical Methods for Rates and Proportions*, 3rd
#   edition, 2003.
# - C. Guo, G. Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern Neural
#   Networks*, 2017, arXiv 1706.04599.
# - B. Recht et al., *Do ImageNet Classifiers Generalize to ImageNet?*, 2019, arXiv
#   1902.10811.
# - D. Hendrycks, T. Dietterich, *Benchmarking Neural Network Robustness to Common
#   Corruptions and Perturbations*, 2019, arXiv 1903.12261.
# - C. Northcutt, A. Athalye, J. Mueller, *Pervasive Label Errors in Test Sets
#   Destabilize Machine Learning Benchmarks*, 2021, arXiv 2103.14749.

# %% [markdown]
# **Next.** You know where the network fails, and how sure that is. [Lesson
# 05](05_visualisation.ipynb) asks what it looks at.
