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
# # 05b · How far a position sees, how flat a valley is
#
# **After this deep dive you can**
#
# 1. compute the receptive field of a layer, and measure how much of it is used;
# 2. draw a slice of the loss surface that ignores the weights' scale;
# 3. say what such a slice, and a t-SNE plot, cannot show.
#
# **Know first:** [Lesson 05](05_visualisation.ipynb) (feature maps, Grad-CAM).
#
# **Reading** 22 minutes · **exercises** 5 minutes · **run time** quick CPU about 30 s
# (two quiet cores), full GPU about 83 s (shared H200)

# %% [markdown]
# Three pictures of networks mislead easily: the bright spot on a heat map, the valley
# of a loss, and the clusters of a t-SNE plot. This page measures what is behind each.
# It is optional; no lesson needs it.

# %% tags=["setup"]
# Import what the deep dive uses, and start a session
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from course_classroom.checks import lesson_05 as check
from course_utils import explain, plotting
from course_utils.results import save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## 1 · The receptive field
#
# This section shows how many pixels *can* have an influence on one number of a late
# map: its **receptive field**. Start at a pixel, which sees itself: side $r = 1$,
# neighbours $j = 1$ pixel apart. A layer with kernel $k$ and stride $s$ makes of them
#
# $$r \leftarrow r + (k - 1)\,j, \qquad j \leftarrow j\,s.$$
#
# So a 3×3 layer adds two pixels at first, and after each halving of the maps twice as
# many as before. `explain.receptive_field` adds up the longest way, through every
# block; the shortcuts see less.

# %%
# Load networks and images; how far does a position of each stage see?
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import load_pretrained

splits = load_cifar10(session.data_dir)
print(splits.describe(), "(training / validation / test)")
kind = "cifar10" if splits.is_photos else "sketches"
residual = load_pretrained(kind).to(session.device)  # in eval mode
plain = load_pretrained(f"{kind}-plain").to(session.device)
num_few = session.pick(quick=128, full=1000)
pictures = splits.train.images[:num_few]  # uint8 (N, 32, 32, 3)
labels = torch.from_numpy(splits.train.labels[:num_few]).to(session.device)
mean, std = torch.tensor(splits.mean), torch.tensor(splits.std)
images = (torch.from_numpy(pictures) / 255 - mean) / std  # as in training
images = images.permute(0, 3, 1, 2).contiguous().to(session.device)  # (N, 3, 32, 32)
image_side = images.shape[2]
fields = explain.receptive_field(residual, image_side)
for name, field in fields.items():
    print(f"{name:7} {field.size} pixels a side, {field.stride} between neighbours")

# %% tags=["figure"]
# Figure: a training image with a square around what the middle position of the stem and
# of each stage can see at most; both axes in pixels, beyond the image too.
spans = {name: field.span(field.positions // 2) for name, field in fields.items()}
axis = plotting.show_receptive_fields(pictures[0], spans)
low, high = axis.get_xlim()
axis.set(xlim=(low - 3, high + 3), ylim=(high + 3, low - 3))  # no frame on the edge
plt.show()

# %% [markdown]
# Squares around what the middle position can see. What lies beyond the image is
# padding. From the second stage on, the field is larger than the image.
#
# **So what:** kernels and strides alone say what *can* be seen, and in a deep network
# that is soon everything.

# %% [markdown]
# ## 2 · How much of it is used
#
# This section shows what a position sees in fact. Ask the gradient: by how much does
# the middle position change if a pixel changes a little? Averaged over images, that is
# the **effective receptive field** (Luo et al., 2016). Guess: how large is the square
# that holds 90 % of it, in the last stage?


# %%
# Every pixel's influence on the middle position, and the square that holds 90 % of it
from torchvision.models.feature_extraction import create_feature_extractor


def influence_on_middle(network, images, layer):
    """Return the mean absolute gradient of each pixel, (H, W)."""
    extract = create_feature_extractor(network, [layer], suppress_diff_warning=True)
    inputs = images.clone().requires_grad_()
    maps = extract(inputs)[layer]  # (B, C, h, w)
    middle = maps.shape[2] // 2
    (slopes,) = torch.autograd.grad(maps[:, :, middle, middle].sum(), inputs)
    return slopes.abs().mean((0, 1)).cpu().numpy()


def side_of_most(influence, centre):
    """Return the side of the square about `centre` that holds 90 % of an influence."""
    away = np.abs(np.arange(len(influence)) - centre)
    sides = 2 * np.maximum(away[:, None], away) + 1  # of the square through a pixel
    held = [influence[sides <= side].sum() for side in np.unique(sides)]
    return np.unique(sides)[np.searchsorted(held, 0.9 * influence.sum())]


# %% [markdown]
# To compare: what would the square be if every pixel in reach counted alike?

# %%
# Compare each stage's square with that of pixels which all count alike
layers = {"stem": "relu", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3"}
influences, sides, table = {}, {}, []
for name, layer in layers.items():
    low, high = spans[name]
    influences[name] = influence_on_middle(residual, images[:64], layer)
    pixels = np.arange(image_side)
    inside = ((pixels >= low) & (pixels <= high)).astype(float)
    evenly = inside[:, None] * inside  # every pixel of the field alike
    both = [
        side_of_most(found, (low + high) / 2) for found in (influences[name], evenly)
    ]
    sides[name] = [float(side) for side in both]
    clipped = f"{min(high, image_side - 1) - max(low, 0) + 1:.0f}"
    table.append((name, fields[name].size, clipped, *(f"{side:.0f}" for side in both)))
heads = ("layer", "field", "within the image", "90 % of the gradient", "if all alike")
show_table(heads, table)

# %% tags=["figure"]
# Figure: one panel for the stem and each stage: every pixel's influence on the middle
# position, dark for none, bright for much, with a square that holds 90 % of it.
fig, axes = plt.subplots(1, len(layers), figsize=(2.3 * len(layers), 2.5))
for axis, (name, influence) in zip(axes, influences.items(), strict=True):
    axis.imshow(influence, cmap="magma")
    side = sides[name][0]
    corner = sum(spans[name]) / 2 - side / 2
    square = plt.Rectangle((corner, corner), side, side, fill=False, ec="C5")
    axis.add_patch(square)
    axis.set(title=name, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# All sides are in pixels; each panel has its own scale. Many ways lead from a pixel in
# the middle to the position, few from one at the rim. The table's last column is what
# the square would need if all pixels in reach counted alike: compare with that. On
# photos the second stage uses
# 15<!-- results: 05b_*photos* sides.layer2.0 --> pixels of
# 31<!-- results: 05b_*photos* sides.layer2.1 -->, the last
# 29<!-- results: 05b_*photos* sides.layer3.0 --> of
# 31<!-- results: 05b_*photos* sides.layer3.1 -->. (One network, 64 training images.)
#
# **So what:** a bright spot in the middle of the last stage does not stand for the
# pixels under it, which are 4 a side: it drew on most of the image.

# %% [markdown]
# ## 3 · A slice of the loss, and a trap of scale
#
# This section shows how a *scale* passes for a *shape*. The loss is a surface over some
# 270 000 dimensions. Cut it along a line: go from the trained weights $w$ in a
# random direction $d$, and compute the loss of $w + \alpha d$, here on training images,
# in `eval()`.
#
# How long should $d$ be? Double a convolution's weights. The norm behind it then needs
# twice the mean and four times the variance: same function, but a step of fixed length
# now counts as half a step. So Li et al. (2018) make each filter of $d$ as long as the
# same filter of $w$: **filter normalisation** (Dinh et al., 2017, rescaled ReLU
# layers).


# %%
# A random direction with filters as long as the network's, and the loss along it
from torch.func import functional_call


def random_direction(network, seed):
    """Return random steps for all weights, each filter as long as the network's."""
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, weight in network.named_parameters():
        direction[name] = torch.zeros_like(weight)
        if weight.ndim > 1:  # BatchNorm and bias stay as they are
            step = torch.randn(weight.shape, generator=generator).to(weight)
            rest = tuple(range(1, weight.ndim))  # all dimensions of one filter
            wanted = weight.detach().pow(2).sum(rest, keepdim=True).sqrt()
            direction[name] = step * wanted / step.pow(2).sum(rest, keepdim=True).sqrt()
    return direction


@torch.no_grad()
def loss_slice(network, direction, alphas):
    """Return the loss at w + alpha · direction, one for each alpha."""
    losses = []
    for alpha in alphas:
        moved = {n: w + alpha * direction[n] for n, w in network.named_parameters()}
        logits = functional_call(network, moved, (images,))
        losses.append(F.cross_entropy(logits, labels).item())
    return losses


# %% [markdown]
# Is the worry justified? Build a twin whose convolutions are four times as large, with
# BatchNorm's running statistics to match: means 4 times, variances 16 times.

# %%
# One function in two ways, cut with fixed steps and with filter normalisation
import copy

twin = copy.deepcopy(residual)
for name, part in list(twin.named_modules()):
    if isinstance(part, torch.nn.BatchNorm2d):
        twin.get_submodule(name.replace("bn", "conv")).weight.data *= 4
        part.running_mean *= 4
        part.running_var *= 16
with torch.no_grad():
    apart = (residual(images) - twin(images)).abs().max()
print(f"largest difference of a logit: {apart:.1e}")

steps = np.linspace(-1, 1, 9)
fixed = random_direction(residual, seed=0)
cuts = {
    "fixed": {"as trained": fixed, "scaled by 4": fixed},
    "filters": {"as trained": fixed, "scaled by 4": random_direction(twin, seed=0)},
}
for way, directions in cuts.items():
    for network, name in ((residual, "as trained"), (twin, "scaled by 4")):
        directions[name] = loss_slice(network, directions[name], steps)
        print(f"{way:8} {name:12} loss at half a step: {directions[name][2]:.2f}")

# %% tags=["figure"]
# Figure: loss against the step along a random line, in two panels: steps of fixed
# length, and filter normalisation; in each a line for the network as trained and a
# dashed one for its scaled twin.
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3), sharey=True)
titles = {"fixed": "steps of fixed length", "filters": "filter normalisation"}
for axis, (way, lines) in zip(axes, cuts.items(), strict=True):
    plotting.plot_loss_slice(steps, lines, axis)
    axis.lines[1].set_linestyle("--")
    axis.legend()
    axis.set(title=titles[way], xlabel="step α")
    axis.label_outer()
plt.show()

# %% [markdown]
# One function, written in two ways. (The logits differ a little: BatchNorm adds an ε to
# each variance, which was not scaled.) With fixed steps the larger weights seem to lie
# in a flatter valley. With filter normalisation the two lines fall together.
#
# **So what:** a step counts relative to the length of the weights. Drawn with steps of
# one length, two valleys compare scales, not shapes.

# %% [markdown]
# ## 4 · Does a shortcut make the valley wider?
#
# This section compares the two networks of 20 layers that ship, along several random
# lines. BatchNorm's running statistics stay those of the trained weights, so no step is
# divided away.

# %%
# Residual and plain, along the same number of random lines
num_lines = session.pick(quick=5, full=10)
alphas = np.linspace(-1, 1, session.pick(quick=13, full=41))
slices = {}
for name, network in (("residual", residual), ("plain", plain)):
    slices[name] = np.array(
        [
            loss_slice(network, random_direction(network, seed), alphas)
            for seed in range(num_lines)
        ]
    )
half_way = {}
for name, losses in slices.items():
    quarter = len(alphas) // 4
    half_way[name] = losses[:, [quarter, -1 - quarter]].mean(1).tolist()  # at ±0.5
    print(f"{name:9} loss half-way: {np.mean(half_way[name]):.2f}, ", end="")
    print(f"lines from {min(half_way[name]):.2f} to {max(half_way[name]):.2f}")

# %% tags=["figure"]
# Figure: loss against the step along random lines; for the residual and the plain
# network a line of the mean in a band from lowest to highest; dotted is the loss of
# guessing. The axis ends at three times that loss.
guess = np.log(len(splits.classes))
_, axis = plt.subplots(figsize=(6.5, 3.2))
plotting.plot_seeds(slices, axis, x=alphas)
axis.axhline(guess, color="black", linestyle=":", lw=1)
axis.set(ylim=(0, 3 * guess), xlabel="step α, in filter lengths")
axis.set_ylabel("cross-entropy loss")
plt.show()

# %% [markdown]
# Mean over the lines, in a band from lowest to highest; n is the number of lines. On
# photos the loss half-way lies between
# 1.24<!-- results: 05b_*photos* lines.residual.3 --> and
# 2.28<!-- results: 05b_*photos* lines.residual.0 --> on five lines of the residual
# network, and between 0.94<!-- results: 05b_*photos* lines.plain.4 --> and
# 2.60<!-- results: 05b_*photos* lines.plain.0 --> on the plain one's. No difference is
# seen, with one network of each kind.
#
# That need not hold for others. Li et al. found that shortcuts matter *more with
# depth*: at 20 layers their plain network still lay in a benign valley, at 56 in a
# chaotic one.
#
# **So what:** a line through so many dimensions can show a wall; it cannot show that
# there is none.

# %% [markdown]
# ## 5 · Distances and widths in a t-SNE plot
#
# This section tests whether they mean something. Invent a truth: three clouds of points
# in 20 dimensions. B is near A and as wide. C is five times as far from A, and four
# times as wide (after Wattenberg et al., 2016). The *perplexity* is, roughly, how many
# neighbours a point tries to keep.

# %%
# What t-SNE makes of known distances and widths
from sklearn.manifold import TSNE

draw = np.random.default_rng(0)
centres = np.zeros((3, 1, 20))
centres[1, 0, 0], centres[2, 0, 1] = 20, 100
widths = np.array([1, 1, 4]).reshape(3, 1, 1)
clouds = (centres + widths * draw.normal(size=(3, 60, 20))).reshape(180, 20)
placed = {"truth": clouds}
for perplexity in (5, 30):
    tsne = TSNE(perplexity=perplexity, random_state=0)
    placed[f"t-SNE, perplexity {perplexity}"] = tsne.fit_transform(clouds)
ratios = {}
for name, points in placed.items():
    a, b, c = points.reshape(3, 60, -1)
    apart = [np.linalg.norm(a.mean(0) - cloud.mean(0)) for cloud in (b, c)]
    wide = [np.linalg.norm(cloud - cloud.mean(0), axis=1).mean() for cloud in (a, c)]
    ratios[name] = [float(apart[1] / apart[0]), float(wide[1] / wide[0])]
    print(f"{name:20} A–C / A–B {ratios[name][0]:.1f}, widths {ratios[name][1]:.1f}")

# %% tags=["figure"]
# Figure: the three clouds, as t-SNE places them at perplexities of 5 and 30; all are
# about equally wide and equally far apart; the axes have no unit.
fig, axes = plt.subplots(1, 2, figsize=(6.5, 3))
for axis, perplexity in zip(axes, (5, 30), strict=True):
    points = placed[f"t-SNE, perplexity {perplexity}"].reshape(3, 60, 2)
    for cloud, name in zip(points, "ABC", strict=True):
        axis.scatter(*cloud.T, s=8, label=name)
    axis.set(title=f"perplexity {perplexity}", xticks=[], yticks=[], aspect="equal")
axes[1].legend()
plt.show()

# %% [markdown]
# Neither means anything here. The distance of C, five times that of B, became
# 0.95<!-- results: 05b_*photos* tsne.1.0 --> times and
# 1.05<!-- results: 05b_*photos* tsne.2.0 --> times that of B. Its width, four times
# A's, became 1.02<!-- results: 05b_*photos* tsne.1.1 --> times and
# 0.99<!-- results: 05b_*photos* tsne.2.1 --> times A's.
#
# **So what:** read from a t-SNE plot which points are neighbours, not how far apart or
# how wide the clusters are.

# %%
# Keep this run's numbers
result = {
    "lesson": "05b_receptive_field_and_loss",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,
    "num_few": num_few,
    "sides": sides,
    "half_way": {name: float(np.mean(found)) for name, found in half_way.items()},
    "lines": half_way,
    "tsne": list(ratios.values()),
}
path = session.run_dir("05b_receptive_field_and_loss") / "result.json"
save_result(path, result, session.device)

# %% [markdown]
# ## Exercises
#
# ### ★ How far does it see?
#
# Given the layers of a network as pairs (kernel, stride), in running order, return the
# side of the receptive field at the end.
#
# Expected: two 3×3 layers of stride 1 see 5 pixels; `field_side([(3, 2), (3, 1)])` is
# 7.


# %% tags=["exercise"]
# Write the function: start with two numbers, and change both for each layer
def field_side(layers: list[tuple[int, int]]) -> int:
    """Return the side, in pixels, of what one position at the end can see."""
    raise NotImplementedError


check.field_side(field_side)


# %% tags=["solution"]
# Solution
def field_side(layers: list[tuple[int, int]]) -> int:
    """Return the side, in pixels, of what one position at the end can see."""
    side, apart = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * apart
        apart *= stride
    return side


check.field_side(field_side)

# %% [markdown]
# ## References
#
# - W. Luo et al., *Understanding the Effective Receptive Field in Deep Convolutional
#   Neural Networks*, 2016, arXiv 1701.04128.
# - L. Dinh et al., *Sharp Minima Can Generalize For Deep Nets*, 2017, arXiv 1703.04933.
# - H. Li et al., *Visualizing the Loss Landscape of Neural Nets*, 2018, arXiv
#   1712.09913.
# - M. Wattenberg, F. Viégas, I. Johnson, *How to Use t-SNE Effectively*, Distill, 2016.
#
# **Next:** [Lesson 06](06_transfer_learning.ipynb).
