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
# **Reading time** 70 minutes · **run time** quick CPU about 45 s, with photos 75 s
# (estimated from a busy machine), full GPU not measured

# %% tags=["setup"]
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from course_utils import metrics, plotting
from course_utils.checks import lesson_04 as check
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
# 1. How many points lie between the network's best class and its worst?
# 2. Two networks are judged on the same test images, and one is a point ahead. How
#    many images does it take to trust that point: a hundred, a thousand, ten
#    thousand?
# 3. Take the images of which the network is at least 99 % sure. In how many of a
#    hundred is it right?
# 4. Which of these spoils an accuracy most: a forgotten `eval()`, a badly weighted
#    mean, wrong normalisation, or storing the test images as JPEG?

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
overall = metrics.accuracy(logits, labels)
own = torch.stack([hits[labels == k].float().mean() for k in range(num_classes)])
best, worst = own.nan_to_num(-1).argmax().item(), own.nan_to_num(2).argmin().item()
lucky = torch.rand(len(labels), generator=torch.Generator().manual_seed(0)) < 0.1

table = "| test images | number | overall accuracy | mean of the classes' |\n"
table += "|---|---|---|---|\n"
tests = {"all": torch.ones_like(lucky)}
tests |= {f"mostly {classes[k]}": lucky | (labels == k) for k in (best, worst)}
scores = []
for name, kept in tests.items():
    by_class = [hits[kept & (labels == k)].float().mean() for k in range(num_classes)]
    scores.append(hits[kept].float().mean().item())
    table += f"| {name} | {kept.sum()} | {scores[-1]:.2%} "
    table += f"| {torch.stack(by_class).nanmean():.2%} |\n"
display(Markdown(table))
sizes = torch.bincount(labels, minlength=num_classes)
same = "equally many" if sizes.min() == sizes.max() else "not equally many"
print(f"Images of each class in the full test set: {same} ({sizes.tolist()}).")
print(f"The test set alone moved the overall accuracy by {scores[1] - scores[2]:.1%}.")

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
print(f"\n{classes[best]} leads {classes[worst]} by {100 * gap:.2f} points.")

# %% [markdown]
# That is the answer to your first guess, and the last digits of it are noise. How
# many digits are not?

# %% [markdown]
# ## 4 · How sure is that?
#
# The test images are a sample. Other images of the same kind would have given another
# number. If the true accuracy is $p$, the share of hits $\hat p$ among $n$ images
# scatters with a standard deviation of $\sqrt{p(1-p)/n}$, and in 95 of 100 samples it
# lies within $z = 1.96$ of those deviations.
#
# We know $\hat p$ and want $p$. The textbook puts $\hat p$ in place of $p$ under the
# root: $\hat p \pm z\sqrt{\hat p(1-\hat p)/n}$. Wilson (1927) asked for all $p$ that
# fit: $|\hat p - p| \le z\sqrt{p(1-p)/n}$. Squared, that is a quadratic equation in
# $p$. With $c$ hits its two solutions are
#
# $$\frac{c + z^2/2 \;\pm\; z\sqrt{c\,(n-c)/n + z^2/4}}{n + z^2}.$$


# %%
Z95 = 1.959964  # 95 % of a normal distribution lie within so many deviations


def wilson_interval(correct, count):
    """Return the lower and upper ends of the accuracies that fit, at 95 %."""
    correct, count = np.asarray(correct, float), np.asarray(count, float)
    half = Z95 * np.sqrt(correct * (count - correct) / count + Z95**2 / 4)
    middle = correct + Z95**2 / 2
    return (middle - half) / (count + Z95**2), (middle + half) / (count + Z95**2)


for c, n in ((20, 20), (18, 20), (900, 1000)):
    share, (low, high) = c / n, wilson_interval(c, n)
    half = Z95 * (share * (1 - share) / n) ** 0.5
    print(
        f"{c:3} of {n:4}: textbook {share - half:.1%} to {share + half:.1%}, ", end=""
    )
    print(f"Wilson {low:.1%} to {high:.1%}")

# %% [markdown]
# Twenty of twenty right, and the textbook is certain of 100 %; with eighteen it
# allows more than 100 %. A promise of 95 % can be tested: draw many test sets from a
# *known* true accuracy, and count how often the interval holds it.

# %%
rng = np.random.default_rng(session.seed)
largest_class = int(count.max())
table = "| images | true accuracy | textbook holds it | Wilson holds it |\n"
table += "|---|---|---|---|\n"
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
        table += f"| {n} | {truth:.1%} | {held['textbook']:.1%} "
        table += f"| {held['Wilson']:.1%} |\n"
        shortfall = {k: max(shortfall[k], 0.95 - held[k]) for k in held}
display(Markdown(table))
for name, points in shortfall.items():
    print(f"{name}: at worst {100 * points:.1f} points short of the promised 95 %")

# %% [markdown]
# The nearer the accuracy to 100 %, the worse the textbook keeps its promise: good
# networks and small classes are where it fails. So every bar below carries Wilson's
# interval.

# %%
low, high = metrics.wilson_interval(correct, count)
plotting.plot_per_class(classes, correct, count, (low, high))
plt.show()
widths = 100 * (high - low)[count.numpy() > 0]
apart = low[best] > high[worst]
display(
    Markdown(
        f"Each bar is a class, each whisker its 95 % interval, {widths.min():.1f} to "
        f"{widths.max():.1f} points wide. The whiskers of the best class "
        f"({classes[best]}) and the worst ({classes[worst]}) "
        f"{'do not overlap' if apart else 'overlap'}."
    )
)

# %% [markdown]
# A whisker covers the luck of the draw: *which* images of this kind happen to be in
# the test set. It does not cover images of another kind, nor another training of the
# same network. And the order of the bars is less sure than it looks, as the next
# section counts.

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

# %% [markdown]
# The last line is a warning. Whoever makes 45 comparisons and believes each at 95 %
# must expect two or three that are luck.
#
# Turn the question around. For two true accuracies $p$ and $q$, how many images must
# each class have, so that the test sees the gap in 80 of 100 cases?
#
# $$n = \left(\frac{1.96\,\sqrt{2\,\bar p\,(1-\bar p)} +
# 0.84\,\sqrt{p(1-p) + q(1-q)}}{p - q}\right)^2$$
#
# Here $\bar p$ is the mean of $p$ and $q$; 0.84 belongs to the 80 % (Fleiss, Levin
# and Paik, 2003, chapter 4). The formula is an approximation, so check it by drawing.

# %%
for gap in (0.10, 0.05, 0.02, 0.01):
    p, q = 0.90, 0.90 - gap
    needed = metrics.images_to_tell_apart(p, q)
    drawn = rng.binomial(needed, p, 20_000), rng.binomial(needed, q, 20_000)
    seen = gap_in_deviations(drawn[0], needed, drawn[1], needed) > Z95
    print(f"{p:.0%} against {q:.0%}: {needed:6} images each; seen in {seen.mean():.0%}")

# %%
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
visible = next(
    (g for g in gaps if metrics.images_to_tell_apart(upper, upper - g) < largest_class),
    None,
)
text = "more than 15" if visible is None else f"about {100 * visible:.1f}"
print(f"Below an accuracy of {upper:.1%}, {largest_class} images a class", end=" ")
print(f"show a gap of {text} points, in 80 of 100 cases.")

# %% [markdown]
# The figure shows how many images a gap costs. On these axes the lines are nearly
# straight: half the gap, about four times the images. Near 99 % a gap is cheaper to
# see, because hits and misses scatter less there. The grey line is what you have.

# %% [markdown]
# ## 6 · Two models on the same images
#
# Two *models* can be shown the *same* images, and that changes the account. An image
# both get right says nothing about which is better, nor one that both get wrong. What
# is left are the images that only one of them gets right: $b$ for the first, $c$ for
# the second. If the two were equally good, each such image would be the toss of a
# fair coin. How likely is it that $b + c$ tosses fall at least as unevenly as these?
# That probability, the **p-value**, is McNemar's test (1947).
#
# The candidates: the two networks that ship for your data, ResNet-20 and its twin
# without shortcuts.


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
num_test = len(labels)
both = int(((residual == labels) & (plain == labels)).sum())
neither = num_test - both - only_residual - only_plain
right = both + only_residual, both + only_plain
z = gap_in_deviations(right[0], num_test, right[1], num_test)
lead = (right[0] - right[1]) / num_test
table = "| images | plain right | plain wrong |\n|---|---|---|\n"
table += f"| **residual right** | {both} | {only_residual} |\n"
table += f"| **residual wrong** | {only_plain} | {neither} |\n"
verdict = "more than luck explains" if p_value < 0.05 else "no more than luck explains"
text = f"\nResidual {right[0] / num_test:.2%}, plain {right[1] / num_test:.2%}: a lead "
text += f"of {100 * lead:+.2f} points for the residual network, {verdict}: McNemar's "
text += f"p-value is {p_value:.2g}. As if they had been judged on different images: "
text += f"{abs(z):.1f} deviations (1.96 are needed)."
display(Markdown(table + text))

# %% [markdown]
# The two networks find the same images easy and the same images hard. Judged on the
# same images, that shared luck cancels. How much is it worth? Take the table's four
# shares for the truth, draw test sets of many sizes from them, and count how often
# each test sees the gap: McNemar's, and the one for two groups of different images.
# (McNemar's by its approximation: $|b - c|$ above $1.96\sqrt{b + c}$.)

# %%
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
    enough = test_sizes[np.array(shares) >= 0.8]
    text = f"about {enough[0]}" if len(enough) else f"more than {test_sizes[-1]}"
    print(f"{name}: {text} images for a gap of {100 * abs(lead):.2f} points")

# %%
gap, apart = 0.01, max((only_residual + only_plain) / num_test, 0.01)
paired = ((Z95 * apart**0.5 + 0.84 * (apart - gap**2) ** 0.5) / gap) ** 2
middle = min(max(sum(right) / (2 * num_test), 0.01), 0.99)
unpaired = metrics.images_to_tell_apart(middle + gap / 2, middle - gap / 2)
print(f"A lead of one point, seen in 80 of 100 cases: about {paired:.0f} images if")
print(
    f"they are the same and the two disagree on {apart:.1%} of them as here; ", end=""
)
print(f"{unpaired} each if not.")

# %% [markdown]
# The figure shows, for growing test sets, how often each test notices a gap as large
# as the one measured; the horizontal line is 80 %. If the gap was luck, so is this
# forecast: it takes the table for the truth.
#
# The last two lines answer your second guess. McNemar costs nothing but keeping the
# predictions, which you have.
#
# What the test does *not* say: that shortcuts help. It compares two trained networks,
# one seed of each. Section 16 of lesson 03 compares several seeds.

# %% [markdown]
# ## 7 · What is taken for what
#
# An accuracy counts the mistakes of a class; the **confusion matrix** also says what
# they were. Row: the true class. Column: the prediction. The diagonal holds the hits.


# %%
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
# holds the per-class accuracies. If all classes are equally large, both tell the
# same; if not, only the right one can be compared between rows. The lines below the
# figure name the most frequent mistakes. Are they mutual, or does one class swallow
# the other?
#
# A pair of names is no explanation yet. Look at the images.

# %%
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
table = "| class | precision | recall | F1 |\n|---|---|---|---|\n"
for name, *values in zip(classes, *(v.tolist() for v in ours), strict=True):
    table += f"| {name} | " + " | ".join(f"{v:.3f}" for v in values) + " |\n"
display(Markdown(table))
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
probabilities = logits.double().softmax(1)
confidence = probabilities.max(1).values


def gallery(indices):
    """Show test images as ``predicted, confidence, (true)``."""
    titles = [
        f"{classes[predictions[i]]} {confidence[i]:.0%}\n({classes[labels[i]]})"
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
doubtful = metrics.least_confident_hits(logits, labels, count=6)
gallery(doubtful)
unsure = confidence < 0.5
text = f"{unsure.sum()} images have a confidence below 50 %"
if unsure.any():
    text += f"; the network is right on {hits[unsure].float().mean():.0%} of them"
print(text + ".")

# %% [markdown]
# Six hits with the lowest confidence. They count as much as any other hit, and many
# of them would fall the other way after another training.

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


ece = expected_calibration_error(probabilities, labels)
_, axis = plt.subplots(figsize=(4.6, 3.7))
plotting.plot_reliability(*metrics.reliability(probabilities, labels), axis)
plt.show()
lean = confidence.mean().item() - overall
print(f"mean confidence {confidence.mean():.2%}, accuracy {overall:.2%}: ", end="")
print(f"{'over' if lean > 0 else 'under'}confident by {100 * abs(lean):.2f} points")
print(f"expected calibration error {ece:.2%}")

# %% [markdown]
# The **reliability diagram**: each bar is the accuracy in a bin of confidence, the
# hatched part is what is missing to (or too much for) its mean confidence, and the
# numbers on top count its images. Bars below the dashed line: too sure. Look at the
# counts before you believe a bar.
#
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


def judge_calibration(name, probabilities):
    """Print the ECE, and whether a calibrated network would often show as much."""
    found = metrics.expected_calibration_error(probabilities, labels)
    luck = errors_if_calibrated(probabilities)
    limit = np.quantile(luck, 0.95)
    verdict = "more than luck" if found > limit else "not to be told from luck"
    print(
        f"{name}: ECE {found:.2%}; if calibrated {luck.mean():.2%} on average, ", end=""
    )
    print(f"below {limit:.2%} in 95 of 100: {verdict}")


judge_calibration("as trained", probabilities)

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
# images are drawn again, with repetition, and $T$ is fitted anew (a *bootstrap*). It
# is mostly the mistakes that hold $T$ up, so their number counts.
#
# Now the test, which had no say in it:

# %%
cooled = (logits.double() / temperature).softmax(1)
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.9))
for axis, name, p in (
    (axes[0], "as trained", probabilities),
    (axes[1], f"T = {temperature:.2f}", cooled),
):
    plotting.plot_reliability(*metrics.reliability(p, labels), axis)
    axis.set_title(name)
plt.show()
for name, p in (("as trained", probabilities), (f"T = {temperature:.2f}", cooled)):
    judge_calibration(name, p)
moved = (cooled.argmax(1) != predictions).sum()
print(f"predictions that changed: {moved}")

# %% [markdown]
# The same diagram before (left) and after (right). The ECE depends on how the bins
# are cut; the cross-entropy does not, so let it decide. Image by image, the loss
# after minus the loss before: on the same images, as with McNemar.

# %%
chosen = torch.arange(len(labels)), labels
change = (probabilities[chosen].log() - cooled[chosen].log()).numpy()
middle, error = change.mean(), Z95 * change.std() / np.sqrt(len(change))
better, worse = middle + error < 0, middle - error > 0
verdict = "better" if better else "worse" if worse else "undecided"
before, after = (-p[chosen].log().mean().item() for p in (probabilities, cooled))
print(
    f"test cross-entropy {before:.4f} → {after:.4f}, per image {middle:+.4f} ", end=""
)
print(f"(95 % interval {middle - error:+.4f} to {middle + error:+.4f}): {verdict}")
val_accuracy = metrics.accuracy(val_logits, val_labels)
print(f"accuracy: validation {val_accuracy:.2%}, test {overall:.2%}")

# %% [markdown]
# Did it help? If not, look at the number of mistakes that $T$ was fitted on, and at
# this: the validation images have chosen the network's epoch before. It tends to do a
# little too well on them, and $T$ believes it. The last line has both accuracies.
#
# What a temperature cannot do: it moves all images alike. A network that is too sure
# of cats and too unsure of ships needs more than one number. And it holds for images
# like those of the validation set. Which brings up the next question.

# %% [markdown]
# ## 12 · How far can it be pushed?
#
# Test images are as clean as training images. The world is not. Hendrycks and
# Dietterich (2019) proposed to damage the test images in steps and to watch the
# accuracy; the network is *not* trained on the damage. Four kinds, in plain units:
# noise, blur, brightness and a shift. First look at them.

# %%
from course_utils.data import corruptions

PUSHES = {
    "noise (deviation / 255)": (corruptions.gaussian_noise, (0, 0.04, 0.08, 0.14, 0.2)),
    "blur (deviation, px)": (corruptions.gaussian_blur, (0, 0.5, 0.8, 1.2, 2)),
    "brightness (change)": (corruptions.brightness, (-0.8, -0.4, 0, 0.6, 1.5)),
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
steps = {name: steps for name, (_, steps) in PUSHES.items()}
fig, axes = plt.subplots(1, len(steps), figsize=(9.6, 2.5), sharey=True)
worst_steps = {
    name: np.nanmean(by_class, axis=1).argmin()
    for name, by_class in pushed_accuracy.items()
}
steadiest = [np.nanargmax(pushed_accuracy[name][k]) for name, k in worst_steps.items()]
steadiest = [classes[k] for k in dict.fromkeys(steadiest)]
plotting.plot_robustness(steps, pushed_accuracy, classes, axes, highlight=steadiest)
plt.show()
lines = f"Measured on {num_pushed} test images; undamaged "
lines += f"{metrics.accuracy(clean, few_labels):.1%}. Mean of the classes:\n"
for name, by_class in pushed_accuracy.items():
    k = worst_steps[name]
    change = 100 * (by_class[k] - by_class[steps[name].index(0)])
    first, last = np.nanargmin(change), np.nanargmax(change)
    lines += f"\n- {name.split()[0]}: lowest at {steps[name][k]}, "
    lines += f"{np.nanmean(by_class[k]):.1%}; "
    lines += f"single classes from {change[first]:+.0f} points ({classes[first]}) "
    lines += f"to {change[last]:+.0f} ({classes[last]})"
display(Markdown(lines))

# %% [markdown]
# Accuracy against the strength of the damage: black the mean of the classes; in
# colour, for each damage, the class that does best at its worst strength; grey the
# others.
#
# Does a class hold out while the mean falls, or even rise? Be suspicious. A network
# that no longer sees its clues tends to answer with a few favourites, and a favourite
# class *looks* robust: its recall stays high, its precision does not. So count the
# answers under the strongest noise.

# %%
noisy = pushed_logits["noise (deviation / 255)"][-1]
answers = torch.bincount(noisy.argmax(1), minlength=num_classes) / num_pushed
shares = torch.bincount(few_labels, minlength=num_classes) / num_pushed
for k in answers.argsort(descending=True)[:3].tolist():
    print(
        f"{classes[k]:>10}: {answers[k]:.0%} of all answers, {shares[k]:.0%} of images"
    )
sure = (noisy.double() / temperature).softmax(1).max(1).values.mean()
noisy_accuracy = metrics.accuracy(noisy, few_labels)
print(f"accuracy {noisy_accuracy:.1%}, mean confidence {sure:.1%} ", end="")
print(f"(at T = {temperature:.2f})")

# %% [markdown]
# The three most frequent answers, and a warning in the last line: the temperature
# that fitted clean images does not have to fit these. Compare the two numbers: is the
# network still as sure as it is right?

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
faults = {}  # how many points each is off, at worst
table = "| batch size | shuffled | sorted by class |\n|---|---|---|\n"
for size in (4, 32, 250):
    table += f"| {size} "
    for order, data in (("shuffled", few), ("sorted by class", in_folders)):
        right = 0
        with torch.no_grad():
            for images, y in data.loaders(size).test:
                right += (
                    forgetful(images.to(session.device)).argmax(1).cpu() == y
                ).sum()
        off = abs(right.item() / num_pushed - expected)
        faults[f"eval() forgotten, batches of {size} {order}"] = 100 * off
        table += f"| {right / num_pushed:.1%} "
    table += "|\n"
display(
    Markdown(
        f"With `eval()`: {expected:.1%} on {num_pushed} images. Without:\n\n{table}"
    )
)

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
    faults[f"mean of batch means, {name}"] = abs(errors[k])
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
short = {  # images of half the width and height, 300 to validate
    name: pair._replace(images=pair.images[:, ::2, ::2]) for name, pair in short.items()
}
short["val"] = type(few.val)(*(part[:300] for part in short["val"]))
short = replace(splits, **short)
watched, chosen_on_val = [], []
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
    history = train(small, loader.train, loader.val, progress=False, **options)
    watched.append(np.stack(looks))  # (epochs, images), True where right
    chosen_on_val.append(int(np.argmax(history.val_accuracy)))

# %% [markdown]
# For each seed: the best test accuracy of all epochs, and the test accuracy of the
# epoch that the *validation* images chose. Then the luck by itself: draw two groups
# of test images; the first chooses the epoch, the second, which had no say, tells the
# truth. What the first promised beyond the second is flattery.

# %%
for seed, (looks, epoch) in enumerate(zip(watched, chosen_on_val, strict=True)):
    means = looks.mean(axis=1)
    print(f"seed {seed}: best epoch on test {means.max():.1%}; ", end="")
    print(f"chosen on validation (epoch {epoch + 1}) {means[epoch]:.1%}")

group_sizes = [n for n in (50, 100, 200, 300, 1000, 3000) if 2 * n <= num_pushed]
flattery = []  # one curve a seed, in points
for looks in watched:
    curve = []
    for n in group_sizes:
        gained = 0.0
        for _ in range(500):
            drawn = rng.permutation(num_pushed)[: 2 * n]
            promised = looks[:, drawn[:n]].mean(axis=1)
            epoch = promised.argmax()
            gained += promised[epoch] - looks[epoch, drawn[n:]].mean()
        curve.append(100 * gained / 500)
    flattery.append(curve)
_, axis = plt.subplots(figsize=(5.6, 2.8))
plotting.plot_seeds({f"best of {epochs} epochs": flattery}, axis, x=group_sizes)
axis.set(xscale="log", xlabel="test images that choose", ylabel="flattery (points)")
axis.set_xticks(group_sizes, group_sizes)
axis.minorticks_off()
axis.set_ylim(bottom=min(0, np.min(flattery)))
plt.show()
for n, mean in zip(group_sizes, np.mean(flattery, axis=0), strict=True):
    print(f"chosen on {n:3} images: {mean:.2f} points too good")
    faults[f"best of {epochs} epochs on {n} test images"] = mean

# %% [markdown]
# Flattery against the number of test images that choose: the mean over the seeds, in
# a band from the lowest to the highest; 500 drawings for each point. More images
# leave less to luck, and where epochs truly differ, they find the one that truly is
# best. More epochs to choose from give luck more tries (lesson 03, section 13).
#
# On large test sets the flattery is small. Recht et al. (2019) collected new test
# images for CIFAR-10 after years of looking at the old ones. Accuracies dropped by 3
# to 15 points, but the networks kept nearly the same order, and the authors blame
# slightly harder images, not the looking. For a few hundred images, read the list
# above.

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
table = "| test images | accuracy | lost | gained | p-value | verdict |\n"
table += "|---" * 6 + "|\n"
base = clean.argmax(1)
for name, found in answers.items():
    test = metrics.mcnemar(few_labels, base, found.argmax(1))
    now = metrics.accuracy(found, few_labels)
    verdict = ("worse" if now < expected else "better") if test.p_value < 0.05 else "–"
    table += f"| {name} | {now:.1%} | {test.only_first} | {test.only_second} "
    table += f"| {test.p_value:.2g} | {verdict} |\n"
    if name != "right":
        faults[name] = 100 * abs(now - expected)
display(Markdown(table))

# %%
for name, points in sorted(faults.items(), key=lambda fault: -fault[1]):
    print(f"{points:5.1f} points: {name}")

# %% [markdown]
# "Lost" are the images that only the right preparation gets right, "gained" the
# others; "–" means that luck can explain the difference. The fault is there all the
# same: it is waiting for another network.
#
# About JPEG: some copies of CIFAR-10 were stored as JPEG before, and the networks for
# photos that ship with this course were trained on one. What the *training* images
# went through matters as much.
#
# The last list ranks all faults of this section by the size of their error: your
# fourth guess. The large ones are found at once, since nobody believes them. Look at
# the middle of the list: errors of the size that a better network would bring.

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
    ("residual against plain", f"{100 * lead:+.2f} points, p = {p_value:.2g}"),
    ("measured on", f"{num_test} images, {hardware_name(session.device)}"),
]
rows = "\n".join(f"| {name} | {value} |" for name, value in rows)
display(Markdown(f"| | |\n|---|---|\n{rows}"))
session.report(
    f"accuracy {overall:.1%} ({low:.1%} to {high:.1%}); {classes[worst]} "
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
# Take a class at the overall accuracy, and lower a second class image by image. When
# does the test see a gap, and when do the intervals part?

# %%
n = largest_class
upper = round(np.clip(overall, 0.3, 0.99) * n)
lower = np.arange(upper, -1, -1)
z = gap_in_deviations(upper, n, lower, n)
ends_upper, ends_lower = wilson_interval(upper, n), wilson_interval(lower, n)
significant = lower[np.argmax(z > Z95)]
parted = lower[np.argmax(ends_lower[1] < ends_upper[0])]
print(f"{n} images each, the better class {upper / n:.1%}")
print(f"the test sees a gap of {100 * (upper - significant) / n:.1f} points")
print(f"the intervals part at  {100 * (upper - parted) / n:.1f} points")
refuted = significant > parted
print("Refuted:" if refuted else "Confirmed:", end=" ")
print(
    "gaps in between are "
    + ("seen, with overlapping intervals." if refuted else "none.")
)

# %% [markdown]
# Two intervals must each cover 95 %; the gap of two independent numbers scatters less
# than the sum of both. Parted intervals prove a difference; overlapping ones prove
# nothing.
#
# ### "The confidence is the chance of being right"
#
# Where it matters most, on the images of which the network is at least 99 % sure. Its
# confidences promise a number of mistakes: the sum of what is missing to 100 %.

# %%
for name, p in (("as trained", probabilities), (f"T = {temperature:.2f}", cooled)):
    very_sure = p.max(1).values >= 0.99
    n, right = int(very_sure.sum()), int(hits[very_sure].sum())
    if not n:
        print(f"{name}: no image with 99 % confidence or more")
        continue
    claimed = p.max(1).values[very_sure].mean().item()
    low, high = metrics.wilson_interval(right, n)
    verdict = "not refuted here" if low <= claimed <= high else "refuted"
    print(f"{name}: right in {100 * right / n:.1f} of 100, {n} images; ", end="")
    print(f"mistakes promised {n * (1 - claimed):.1f}, found {n - right}: {verdict}")

# %% [markdown]
# Your third guess. Refuted means: the mean confidence lies outside the 95 % interval
# of the share that is right.
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
# 1. *Collect once.* Logits and labels of all images, in `eval()`; everything else is
#    computed from them in milliseconds.
# 2. *Where it fails.* Per-class accuracy with Wilson intervals; the confusion matrix
#    for what is taken for what; precision depends on how common a class is.
# 3. *Do they differ?* Half the gap takes four times the images. Two models: the same
#    images, McNemar. Many comparisons: expect some luck.
# 4. *Confidence.* A reliability diagram, its ECE beside that of a calibrated network;
#    one temperature, fitted on validation. Ask again on damaged images.
# 5. *Faulty evaluation.* `eval()`, one mean over images, choose on validation,
#    prepare as in training. Change the batch size or the order: the result must stay.

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
