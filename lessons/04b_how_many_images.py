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
# # 04b · How many images does a claim need?
#
# **After this deep dive you can**
#
# 1. say how many test images a gap takes, between classes or between networks;
# 2. run McNemar's test by hand;
# 3. say by how much, on average, the best of many runs flatters at most;
# 4. say how far one number from one seed can be believed.
#
# **Know first:** [Lesson 04](04_per_class_evaluation.ipynb) (intervals, two networks on
# the same images).
#
# **Reading** 28 minutes · **exercises** 8 minutes · **run time** quick CPU about 36 s
# (two quiet cores), full GPU about 3 min (shared H200)

# %% [markdown]
# Somebody claims to be half a point better, on 2 000 test images and one seed: after
# this page you can say in a minute whether they can know that. It is optional; no
# lesson needs it.

# %% tags=["setup"]
# Import what the deep dive uses, and start a session
import matplotlib.pyplot as plt
import numpy as np
import torch

from course_classroom.checks import lesson_04 as check
from course_utils import metrics, plotting
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import load_pretrained
from course_utils.results import load_results, save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## 1 · Different images: about four times for half the gap
#
# This section shows how many images two *classes* need before a gap is seen. Take true
# accuracies $p$ and $q$, each measured on $n$ images of its own. If they were equal,
# the gap found would scatter with the deviation $\sqrt{2\,\bar p(1-\bar p)/n}$, where
# $\bar p$ is their mean. A test says "more than luck" beyond 1.96 of these: call that
# point the bar.

# %% [markdown]
# Now let the gap be real. The gap found scatters about the true one, with the deviation
# $\sqrt{(p(1-p) + q(1-q))/n}$. It shall pass the bar in 80 of 100 cases. 80 % of a bell
# curve lie above the point 0.84 deviations below its middle: there the bar may stand.
# So $p - q$ is a sum: from 0 to the bar 1.96 deviations of the first kind, from the bar
# to the true gap 0.84 of the second. Solved for $n$ (Fleiss, Levin and Paik, 2003,
# chapter 4):
#
# $$n = \left(\frac{1.96\,\sqrt{2\,\bar p\,(1-\bar p)} +
# 0.84\,\sqrt{p(1-p) + q(1-q)}}{p - q}\right)^2$$


# %%
# Images in each of two classes, so that a test sees the gap in 80 of 100 cases
def images_to_tell_apart(p, q):
    """Return the images that each of two true accuracies needs."""
    mean = (p + q) / 2
    no_gap = 1.96 * np.sqrt(2 * mean * (1 - mean))
    gap = 0.84 * np.sqrt(p * (1 - p) + q * (1 - q))
    return int(np.ceil(((no_gap + gap) / (p - q)) ** 2))


rng = np.random.default_rng(0)
rows = []
for p, q in ((0.9, 0.8), (0.9, 0.85), (0.9, 0.89), (0.99, 0.97), (0.99, 0.98)):
    n = images_to_tell_apart(p, q)
    first, second = (rng.binomial(n, share, 20_000) for share in (p, q))
    pooled = (first + second) / (2 * n)
    bar = 1.96 * np.sqrt(pooled * (1 - pooled) * 2 / n)
    seen = np.mean((first - second) / n > bar)
    rows.append((f"{p:.0%} against {q:.0%}", n, f"{seen:.0%}"))
show_table(("true accuracies", "images each", "seen, in 20 000 drawings"), rows)

# %% [markdown]
# The last column checks the formula, which is an approximation, by drawing. Around
# 90 %, one point takes about 15 000 images *in each class*: CIFAR-10 has 1 000. Half
# the gap costs four times the images where the scatter stays the same. It costs less if
# the worse class moves towards 100 %, where hits and misses scatter less, and more if
# the better one moves away from it.
#
# ### Does an interval keep its promise?
#
# A 95 % interval should hold the true accuracy in 95 % of the test sets. With the share
# of hits $\hat p$, the textbook's is $\hat p \pm 1.96\sqrt{\hat p(1-\hat p)/n}$;
# lesson 04 took Wilson's. Give a network that is *known* to be right in 98 % 20 000
# test sets of 200 images each.

# %%
# Draw many test sets from a known truth: which interval holds it?
truth, n = 0.98, 200
hits = np.random.default_rng(0).binomial(n, truth, size=20_000)  # in each test set
shares = hits / n
half = 1.96 * np.sqrt(shares * (1 - shares) / n)
ways = {"the textbook's": (shares - half, shares + half)}
ways["Wilson's"] = metrics.wilson_interval(hits, n)
for name, (low, high) in ways.items():
    held = np.mean((low <= truth) & (truth <= high))
    print(f"{name} interval holds the 98 % in {held:.1%} of the test sets")

# %% [markdown]
# Wilson comes nearer to 95 %; hits are whole numbers, so none gets there exactly.
#
# ### Do overlapping intervals mean that there is no difference?
#
# In lesson 04's figure many whiskers overlap. Take a class with 900 hits of 1 000
# images, and let a second one fall behind. From which gap on does the test above see
# it, and from which do Wilson's intervals part?

# %%
# From which gap on does a test see it, and from which do the intervals part?
better, worse = 900, np.arange(800, 900)
pooled = (better + worse) / 2000
bar = 1.96 * np.sqrt(2 * pooled * (1 - pooled) / 1000)
seen = worse[(better - worse) / 1000 > bar].max()
better_low, _ = metrics.wilson_interval(better, 1000)
_, worse_high = metrics.wilson_interval(worse, 1000)
parted = worse[worse_high < better_low].max()
print(f"the test sees a gap from {(better - seen) / 10:.1f} points on,")
print(f"the intervals part from  {(better - parted) / 10:.1f} points on")

# %% [markdown]
# In between, the intervals overlap and the test still sees the gap. Squares of
# deviations add up, so a gap has $\sqrt 2$ deviations of one number, not two. Parted
# intervals are evidence at a stricter level than 5 %; overlapping ones do not decide at
# 5 %.
#
# **So what:** around 90 %, class differences of a point or two are mostly missed on
# CIFAR-10's test, and overlap of whiskers alone does not settle it: run the test.

# %% [markdown]
# ## 2 · The same images: McNemar by hand
#
# This section shows why two *networks* need fewer. They can be asked about the same
# images, and what both find easy, or both find hard, cancels. Let $b$ images be right
# for the first network only, and $c$ for the second only. If they were equally good,
# each of these would be the toss of a fair coin. The p-value is the chance that $b + c$
# tosses fall at least as unevenly: twice the tail of the smaller side.


# %%
# McNemar's test, exact
from math import comb


def mcnemar(labels, first, second):
    """Return b, c, and the chance that fair coins fall at least as unevenly."""
    b = int(((first == labels) & (second != labels)).sum())
    c = int(((first != labels) & (second == labels)).sum())
    tail = sum(comb(b + c, heads) for heads in range(min(b, c) + 1))
    return b, c, min(1.0, 2 * tail / 2 ** (b + c))


splits = load_cifar10(session.data_dir)
print(splits.describe(), "(training / validation / test)")
kind = "cifar10" if splits.is_photos else "sketches"
test, answers = splits.loaders(batch_size=500).test, []
for name in (kind, f"{kind}-plain"):
    logits, labels = metrics.collect_logits(
        load_pretrained(name).to(session.device), test
    )
    answers.append(logits.argmax(1))
residual, plain = answers
print(
    "by hand:     b = {}, c = {}, p = {:.2g}".format(*mcnemar(labels, residual, plain))
)
print("the package:", metrics.compare(labels, residual, plain))

# %% [markdown]
# The networks are lesson 04's: ResNet-20 and the same layers without shortcuts. On
# CIFAR-10's 10 000 test photos $b$ is 560<!-- results: 04_*photos* pair.first_only -->
# and $c$ 397<!-- results: 04_*photos* pair.second_only -->.
#
# How many images would it take to see a lead of one point? Image by image the lead is
# +1, −1 or 0. If the two disagree on a share $d$ of the images, its mean over $n$
# images scatters by $\sqrt{d/n}$ if they are equally good, and by $\sqrt{(d-g^2)/n}$ if
# the lead is $g$. As in section 1, $g$ is 1.96 of the first plus 0.84 of the second.


# %%
# Images for a lead of one point: the same ones, or others for each network
def images_for_a_lead(gap, disagree):
    """Return the shared images on which a lead is seen in 80 of 100 cases."""
    total = 1.96 * np.sqrt(disagree) + 0.84 * np.sqrt(disagree - gap**2)
    return int(np.ceil((total / gap) ** 2))


(recorded,) = load_results("04_per_class_evaluation-quick-photos")
rows = []
for name, pair, accuracy, images in (
    ("recorded on photos", recorded["pair"], recorded["accuracy"], 10_000),
    (
        "your data",
        metrics.compare(labels, residual, plain)._asdict(),
        (residual == labels).double().mean().item(),
        len(labels),
    ),
):
    disagree = (pair["first_only"] + pair["second_only"]) / images
    same = images_for_a_lead(0.01, disagree)
    rows.append(
        (name, f"{disagree:.1%}", same, images_to_tell_apart(accuracy, accuracy - 0.01))
    )
show_table(
    ("networks", "they disagree on", "same images", "different images, each"), rows
)

# %% tags=["figure"]
# Figure: the share of test sets in which a lead of one point is seen, against the
# number of test images on a logarithmic axis: on the same images, and different ones.
sizes = np.geomspace(200, 50_000, 15).astype(int)
pair, accuracy = recorded["pair"], recorded["accuracy"]
disagree = (pair["first_only"] + pair["second_only"]) / 10_000
lines = {"n same images": [], "n different images each": []}
for n in sizes:
    shares = [(disagree + 0.01) / 2, (disagree - 0.01) / 2, 1 - disagree]
    b, c, _ = rng.multinomial(n, shares, size=4000).T
    lines["n same images"].append(np.mean(b - c > 1.96 * np.sqrt(np.maximum(b + c, 1))))
    first, second = (
        rng.binomial(n, share, 4000) for share in (accuracy, accuracy - 0.01)
    )
    bar = 1.96 * np.sqrt((first + second) * (1 - (first + second) / (2 * n)))
    lines["n different images each"].append(np.mean(first - second > bar))
axis = plotting.plot_lines(
    {name: (sizes, seen) for name, seen in lines.items()},
    xlabel="number of test images, n",
    ylabel="a lead of one point is seen in",
    percent=True,
)
axis.axhline(0.8, color="0.4", lw=1)
axis.set(xscale="log", ylim=(0, 1.02))
plt.show()

# %% [markdown]
# The figure takes the disagreement recorded on photos and a true lead of one point: how
# many test sets show it? The grey line is 80 %.
#
# **So what:** keep the predictions. Judged on the same images, the same lead takes
# fewer than half the images for these networks; the more their mistakes coincide, the
# larger the gain.

# %% [markdown]
# ## 3 · The best of many flatters
#
# This section shows what a number is worth that was picked for being high. Many scripts
# look at the test set after every epoch and report the best. Each look is honest;
# taking the best of many is not, because the best is partly luck. The same holds for
# the best of many rates, of many seeds, of many ideas.
#
# To measure it, a small network is trained on half-size images, and after each epoch it
# answers 2 000 test images. Then draw two groups of 300 of them: the first chooses the
# epoch and promises an accuracy; the second, which had no say, tells the truth. Three
# seeds.

# %%
# Few and small images, to save time
from dataclasses import replace

from course_utils.data.arrays import LabelledImages
from course_utils.models import cifar_resnet
from course_utils.training import train


def some(pair, count):
    """Return `count` of the images, in half their width and height."""
    picked = np.random.default_rng(0).permutation(len(pair.labels))[:count]
    return LabelledImages(pair.images[picked][:, ::2, ::2], pair.labels[picked])


parts = {"train": (splits.train, 1000), "val": (splits.val, 50)}
parts["test"] = (splits.test, 2000)
small_splits = replace(splits, **{name: some(*part) for name, part in parts.items()})

# %%
# Train three small networks, and note after each epoch which test images are right
num_epochs = session.pick(quick=16, full=40)
watched = []  # for each seed (epochs, images), True where right
for seed in range(3):
    torch.manual_seed(seed)
    model = cifar_resnet(8).to(session.device)
    loaders, looks = small_splits.loaders(50, seed=seed), []
    sgd = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(num_epochs):
        train(
            model,
            loaders.train,
            loaders.val,
            num_epochs=1,
            optimizer=sgd,
            progress=False,
        )
        logits, small_labels = metrics.collect_logits(model, loaders.test)  # a look
        looks.append((logits.argmax(1) == small_labels).numpy())
    watched.append(np.stack(looks))

# %% [markdown]
# Now choose, many times. Beside it, a simulation: epochs of exactly the *same* true
# accuracy, whose scores differ by luck alone, each epoch with luck of its own.


# %%
# How much too good is the chosen epoch, and how much would independent luck make it?
def flattery_of(looks, group=300, draws=400):
    """Return how much too good the best of k epochs looks, for k = 1, 2, …"""
    total = np.zeros(len(looks))
    for _ in range(draws):
        images = rng.permutation(looks.shape[1])
        # any k epochs, not the first k, which are the worst: put them in random order
        shuffled = looks[rng.permutation(len(looks))]
        promise = shuffled[:, images[:group]].mean(1)
        truth = shuffled[:, images[group : 2 * group]].mean(1)
        for k in range(len(looks)):
            best = promise[: k + 1].argmax()
            total[k] += promise[best] - truth[best]
    return total / draws


flattery = np.stack([flattery_of(looks) for looks in watched])
level = np.mean([looks.mean() for looks in watched])
luck = rng.binomial(300, level, size=(20_000, num_epochs)) / 300 - level
bound = np.maximum.accumulate(luck, axis=1).mean(axis=0)
print(f"best of {num_epochs} epochs on 300 images, too good by", end=" ")
print(
    f"{100 * flattery[:, -1].mean():+.1f} points; by luck alone {100 * bound[-1]:+.1f}"
)

# %% tags=["figure"]
# Figure: by how many points the best of k epochs is too good, against k: the mean of
# three seeds in a band from lowest to highest, and a dashed line for independent luck.
axis = plotting.plot_seeds({"these epochs": 100 * flattery})
axis.plot(range(1, num_epochs + 1), 100 * bound, "C1--", label="independent luck")
axis.set(xlabel="epochs to choose from", ylabel="too good by (points)")
axis.legend()
plt.show()

# %% [markdown]
# Without a choice there is no flattery; each further look gives luck another try. Real
# epochs share a part of their luck, since they err partly on the same images, and some
# are truly worse and seldom win. So the dashed line is an **upper bound** of the mean.
# On photos the best of 16 epochs was too good by
# 2.4 points<!-- results: 04b_*photos* flattery_mean -->, mean of three seeds
# (1.9 points<!-- results: 04b_*photos* flattery.0 -->,
# 3.2 points<!-- results: 04b_*photos* flattery.1 -->,
# 2.0 points<!-- results: 04b_*photos* flattery.2 -->); the bound is
# 4.7 points<!-- results: 04b_*photos* bound -->.

# %% [markdown]
# The bound shrinks with the square root of the number of images. For the best of 16
# with 87 % on CIFAR-10's 10 000 it is 0.6 points. And in practice? Recht et al. (2019)
# collected new test images after years of looking at the old ones. Accuracies dropped,
# but the networks kept nearly their order, and the authors blame slightly harder
# images, not the looking.
#
# **So what:** choose on validation images, and look at the test once.

# %%
# Keep this run's numbers; the recorded ones were made by this cell, on photos
result = {
    "lesson": "04b_how_many_images",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,
    "flattery": flattery[:, -1].tolist(),
    "flattery_mean": flattery[:, -1].mean(),
    "bound": bound[-1],
}
save_result(session.run_dir(result["lesson"]) / "result.json", result, session.device)

# %% [markdown]
# ## 4 · One seed is one draw
#
# This section shows how far one number can be believed. The luck of the images is not
# the only one: another seed gives other first weights and another order of batches.
# Lesson 01's networks were trained with three seeds each, on 10 000 photos.

# %%
# Two kinds of luck: which images, which seed
from scipy.stats import ttest_ind

scores, rows = {}, []
for network in ("residual", "plain"):
    runs = load_results(f"degradation-{network}20-photos-10000")
    scores[network] = [run["test_accuracy"] for run in runs]
    mean, seed_luck = np.mean(scores[network]), np.std(scores[network], ddof=1)
    image_luck = np.sqrt(mean * (1 - mean) / 10_000)
    points = f"{100 * image_luck:.2f}", f"{100 * seed_luck:.2f}"
    rows.append((network, len(runs), f"{mean:.1%}", *points))
heads = ("network", "seeds", "mean", "image luck (points)", "seed luck (points)")
show_table(heads, rows)
lead = np.mean(scores["residual"]) - np.mean(scores["plain"])
p_value = ttest_ind(scores["residual"], scores["plain"], equal_var=False).pvalue
print(f"residual minus plain: {100 * lead:.1f} points, p = {p_value:.3f}")
of_three = rng.standard_normal((20_000, 3)).std(axis=1, ddof=1)
low, high = np.quantile(of_three, [0.025, 0.975])
print(f"three values of true deviation 1 show one from {low:.2f} to {high:.2f}")

# %% [markdown]
# "Image luck" is the deviation $\sqrt{p(1-p)/n}$; "seed luck" is the sample deviation
# (division by $n-1$) over the seeds, which all met the same test images. The residual
# runs scatter by
# 0.9 points<!-- results: degradation-residual20-photos-10000-* test_accuracy std -->,
# twice the image luck. So the interval of *one* trained network says too little about
# the *recipe*. And three seeds know their own scatter badly: the last line draws three
# values from a bell curve 20 000 times, and shows between which ends the middle 95 % of
# their sample deviations lie.

# %% [markdown]
# The residual network leads by 4.5 points<!-- results:
# degradation-residual20-photos-10000-* test_accuracy -
# degradation-plain20-photos-10000-* test_accuracy -->, far more than the scatter, so
# three seeds of each are enough to see it. (The p-value is that of Welch's t-test: it
# compares two means whose scatter is known from a few runs only.) For a lead of one
# point they would not be. With a deviation of 0.8 points a run, section 1's sum gives
# $2\,(1.96 + 0.84)^2 \cdot 0.8^2 \approx 10$ seeds of each recipe: at least, for a
# t-test needs 12, and 0.8 is what three seeds hardly tell.
#
# **So what:** write the number of seeds and of images beside every accuracy; with one
# seed, say "in this run".

# %% [markdown]
# ## Exercise
#
# ### ★★ An interval for a lead
#
# McNemar says *whether* two networks differ. The **bootstrap** says by how much, and
# assumes no bell curve: draw as many images as there are, with repetition, compute the
# lead on them, and repeat. Given the hits of two networks on the same images, return
# the ends between which the middle 95 % of the leads (first minus second, as fractions)
# lie. Two steps are missing.
#
# Expected: an array of hits against itself gives 0 and 0, whatever is drawn.


# %% tags=["exercise"]
# Finish the function: two steps are missing
def lead_interval(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a lead; hits are bool (N,)."""
    gained = first.astype(float) - second  # +1, 0 or -1 an image
    leads = []
    for _ in range(draws):
        leads.append(gained.mean())  # first step: draw images anew, with rng
    raise NotImplementedError  # second step: the ends of the middle 95 %


check.lead_interval(lead_interval)


# %% tags=["solution"]
# Solution
def lead_interval(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a lead; hits are bool (N,)."""
    gained = first.astype(float) - second  # +1, 0 or -1 an image
    leads = []
    for _ in range(draws):
        images = rng.integers(len(gained), size=len(gained))
        leads.append(gained[images].mean())
    low, high = np.quantile(leads, [0.025, 0.975])
    return low, high


check.lead_interval(lead_interval)

# %% [markdown]
# ## References
#
# - J. Fleiss, B. Levin, M. Paik, *Statistical Methods for Rates and Proportions*, 3rd
#   edition, 2003.
# - Q. McNemar, *Note on the sampling error of the difference between correlated
#   proportions or percentages*, Psychometrika 12, 1947.
# - B. Recht et al., *Do ImageNet Classifiers Generalize to ImageNet?*, 2019, arXiv
#   1902.10811.

# %% [markdown]
# **Back** to [lesson 04](04_per_class_evaluation.ipynb), or on to [lesson
# 05](05_visualisation.ipynb).
