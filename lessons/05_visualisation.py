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
# # 05 · What the network sees
#
# **After this lesson you can**
#
# 1. look at a network's answers, filters and feature maps, and say how much of the
#    image one number inside it can see;
# 2. measure what each residual block adds, and the accuracy without it;
# 3. draw a Grad-CAM map in a dozen lines, and test whether to believe it;
# 4. judge a space of features by its neighbours, not by a pretty picture;
# 5. draw a slice of the loss surface that ignores the weights' scale.
#
# **Know first:** lessons [01](01_residual_blocks.ipynb) (blocks, BatchNorm),
# [02](02_full_network.ipynb) (stem, stages), [03](03_cifar10_training.ipynb)
# (training), [04](04_per_class_evaluation.ipynb) (intervals, McNemar).
#
# **Reading time** 60 minutes · **run time** quick CPU about 30 s (two quiet
# cores), full GPU not measured

# %% tags=["setup"]
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import nn

from course_classroom.checks import lesson_05 as check
from course_utils import explain, plotting
from course_utils.results import show_table
from course_utils.session import start

plotting.course_style()
plt.rcParams["figure.dpi"] = 80  # many pictures: smaller ones
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# A trained network is a few hundred thousand numbers, or more. What do they do? Write
# down guesses:
#
# 1. Take one block out of a trained residual network of 20 layers, and repair nothing.
#    What is left of its accuracy? And of a plain network's?
# 2. A heat map shows where the network "looks". Replace *all* weights by random
#    numbers. Does the map change?
# 3. Find the ten images most like a given one, pixel by pixel. How many are of its
#    class? And if you compare the features that the network computes?
# 4. Does a network with shortcuts lie in a flatter valley of the loss than one without?

# %% [markdown]
# ## 1 · Right and wrong at a glance
#
# First the subject. If you trained a network in lesson 03, it is yours; else it is the
# small one that ships with the course. The line below says which.
#
# The images are test images, drawn at random: enough for every experiment here, few
# enough for two CPU cores. Nothing is chosen by looking at them, so they may be looked
# at. The last line below says what kind of images they are.

# %%
from course_utils.data.arrays import LabelledImages
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import load_trained

splits = load_cifar10(session.data_dir)
model = load_trained(session, splits)

rng = np.random.default_rng(session.seed)
drawn = rng.permutation(len(splits.test.labels))[: session.pick(quick=500, full=10_000)]
splits = replace(splits, test=LabelledImages(*(part[drawn] for part in splits.test)))
pictures, true = splits.test  # uint8 (N, H, W, 3) and classes (N,)
loader = splits.loaders(batch_size=200).test
print(f"{len(true)} test images of {splits.name}, {splits.source}")
print(f"images of each class: {np.bincount(true).tolist()}")
print(
    "real photos, scaled down"
    if splits.is_photos
    else "sketches: no photos; a program of this course drew each one from its label,\n"
    "so compare no accuracy below with those published for CIFAR-10"
)

# %%
# Figure: a grid of test images, each titled with the predicted class and, in brackets,
# the true one; a red frame marks a wrong answer.
from course_utils.metrics import collect_logits, wilson_interval

logits, _ = collect_logits(model, loader)
predicted = logits.argmax(1).numpy()
right, wrong = np.flatnonzero(predicted == true), np.flatnonzero(predicted != true)

side = min(8, int(len(true) ** 0.5))
axes = plotting.show_predictions(
    pictures, predicted, true, splits.classes, rows=side, columns=side
)
axes[0, 0].figure.set_dpi(70)
plt.show()
shown, correct = side**2, (predicted[: side**2] == true[: side**2]).sum()
for hits, count, what in (
    (correct, shown, "The images shown"),
    (len(right), len(true), "All that were drawn"),
):
    low, high = wilson_interval(hits, count)
    print(f"{what}: {hits} of {count} right, {hits / count:.1%} ", end="")
    print(f"(95 % interval {low:.1%} to {high:.1%})")

# %% [markdown]
# A grid of test images, each titled `predicted (true)`: green with ✓ where right, red
# with ✗ and a frame where wrong. Do not skip this step. A mistake in the data, such as
# two swapped classes or colours in the wrong order, is seen here in seconds and in no
# average.
#
# But do not trust it with a number either. The two lines say how little so few images
# tell: the interval of the grid is far wider than that of all images drawn. Lesson 04
# is about such intervals.

# %% [markdown]
# ## 2 · Filters and feature maps
#
# The first layer is the only one whose weights live in the world of colours: a filter
# of shape (3, k, k) can be drawn as a picture of k×k pixels. To compare,
# `explain.randomised` builds the same network once more, with weights as they are
# before any training.
#
# Two numbers make the comparison sharp. How much of a filter's squared weight is
# *grey*, the same in red, green and blue? And how much is *flat*, the same at every
# pixel? Random numbers prefer no direction. Three colours are three directions, and
# grey is one of them: it gets 1/3. A channel has k² pixels, and flat is one direction
# of k²: it gets 1/k².

# %%
# Figure: two rows of filters of the first layer, each drawn as a small colour picture;
# above the trained network's, below the untrained one's.
untrained = explain.randomised(model, seed=1)
filters = {
    name: network.conv1.weight.detach().cpu()  # (filters, 3, k, k)
    for name, network in (("trained", model), ("untrained", untrained))
}
columns = min(16, len(filters["trained"]))
shown = torch.cat([weights[:columns] for weights in filters.values()]).numpy()
axes = plotting.show_filters(shown, columns=columns)
for row, name in zip(axes, filters, strict=True):
    row[0].set_title(name, loc="left", fontsize="small")
plt.show()


def share(part: torch.Tensor, whole: torch.Tensor) -> float:
    """Return how much of the filters' squared weight a part of them holds."""
    return ((part.expand_as(whole) ** 2).sum() / (whole**2).sum()).item()


for name, weights in filters.items():
    grey, flat = weights.mean(1, keepdim=True), weights.mean((2, 3), keepdim=True)
    print(f"{name:10}grey {share(grey, weights):.0%}, flat {share(flat, weights):.0%}")
k = shown.shape[-1]
print(f"expected of random numbers: grey {1 / 3:.0%}, flat {1 / k**2:.0%}")

# %% [markdown]
# The first filters of the trained network, at most 16; below, the same of the untrained
# one. Each is stretched to its own range: its least weight becomes dark, its largest
# bright. That exaggerates colour, since small differences between red, green and blue
# are stretched too. So judge by the shares, not by eye.
#
# If training left more *grey* than chance, brightness matters more to the first layer
# than colour; less *flat* than chance means that differences between neighbouring
# pixels matter more than colours of areas. Small filters show no more than that.

# %% [markdown]
# What the layers make of an image says more: the **feature maps**. Torchvision can cut
# them out of a network: it writes down every operation of a forward pass, each with a
# name, and returns those asked for.

# %%
from torchvision.models.feature_extraction import (
    create_feature_extractor,
    get_graph_node_names,
)

stages = [name for name, _ in model.named_children() if name.startswith("layer")]
_, nodes = get_graph_node_names(model, suppress_diff_warning=True)
print(f"{len(nodes)} operations, the first of them:", ", ".join(nodes[:6]))

stem = "maxpool" if hasattr(model, "maxpool") else "relu"  # where the stem ends
layers = [stem, *stages]  # a stage means its last operation
extract = create_feature_extractor(model, layers, suppress_diff_warning=True)
few = torch.stack([loader.dataset[i][0] for i in range(min(64, len(true)))])
few = few.to(session.device)  # normalised, (B, 3, H, W)
with torch.no_grad():
    by_torchvision = extract(few)
maps = explain.feature_maps(model, few, layers)  # the same, in one call
print("same maps:", all(torch.equal(maps[n], by_torchvision[n]) for n in layers))

# %%
# Figure: first a test image; then a grid of its feature maps, one row for the stem and
# each stage, six maps a row, from dark (no answer) to bright.
first = int((predicted == true)[: len(few)].argmax())  # the first that is right
plotting.show_images(pictures[[first]], [splits.classes[true[first]]], size=1.0)
maps["stem"] = maps.pop(stem)  # what section 3 calls it, too
maps = {name: maps[name] for name in ("stem", *stages)}
arrays = {name: found[first].cpu().numpy() for name, found in maps.items()}
plotting.show_feature_maps(arrays, channels=6)
plt.show()

table = []
for name, found in maps.items():
    shape = "×".join(map(str, found.shape[1:]))  # channels, height, width
    zero = f"{(found == 0).float().mean():.0%}"
    silent = int((found.amax((0, 2, 3)) == 0).sum())  # zero in all of the images
    table.append((f"`{name}`", shape, f"{found[0].numel():,}", zero, silent))
print(f"{len(few)} test images:")
heads = ("layer", "shape", "numbers an image", "of them zero", "silent channels")
show_table(heads, table)

# %% [markdown]
# One image above; below it, a row for each stage, six of its maps, bright where the
# channel answers. Early maps still look like the image: edges, patches of one colour.
# Late ones have few positions and cannot be read as pictures any more.
#
# The table counts for a batch of images. Where a stage halves the side of the maps, the
# numbers halve: twice the channels, a quarter of the positions. A **silent** channel is
# zero everywhere in all of these images: it has weights, costs time, says nothing.

# %% [markdown]
# ## 3 · The receptive field
#
# A number in a late map stands for more than one pixel. How many can have an influence
# on it? Its **receptive field**. Start at a pixel, which sees itself: side $r = 1$,
# neighbours $j = 1$ pixel apart. A layer with kernel $k$ and stride $s$ makes of them
#
# $$r \leftarrow r + (k - 1)\,j, \qquad j \leftarrow j\,s.$$
#
# So a 3×3 layer adds two pixels at first, and after each halving of the maps twice as
# many as before. `explain.receptive_field` adds up the longest way, through every
# block's two or three convolutions; the shortcuts see less.

# %%
# Figure: a test image with a square around what the middle position of each stage can
# see at most; both axes in pixels, beyond the image too.
image_side = pictures.shape[1]
fields = explain.receptive_field(model, image_side)
spans = {n: field.span(field.positions // 2) for n, field in fields.items()}
_, axis = plt.subplots(figsize=(6.8, 5))
plotting.show_receptive_fields(pictures[first], spans, axis)
plt.show()
whole = [n for n, field in fields.items() if field.size >= image_side]
print(f"{image_side}×{image_side} pixels; a field of that size first in: ", end="")
print(whole[0] if whole else "no stage")

# %% [markdown]
# Squares around what the middle position of each stage can see, at most. Parts beyond
# the image lie in the padding: there is nothing to see there.
#
# *Can* see. Does it? Ask the gradient: by how much would the position change if a pixel
# changed a little? Averaged over images, that is the **effective** receptive field (Luo
# et al., 2016). Guess first: how large is the square in the middle that holds 90 % of
# it?

# %%
# Figure: one panel for the stem and each stage: every pixel's influence on the middle
# position, dark for none, bright for much, with a square that holds 90 % of it.
inputs = few.clone().requires_grad_()
found = extract(inputs)
names = dict(zip(layers, fields, strict=True))  # of the layer, of its field
fig, axes = plt.subplots(1, len(layers), figsize=(2.2 * len(layers), 2.5))
table = []
for axis, (layer, name) in zip(axes, names.items(), strict=True):
    middle = fields[name].positions // 2
    score = found[layer][:, :, middle, middle].sum()
    (slopes,) = torch.autograd.grad(score, inputs, retain_graph=True)
    influence = slopes.abs().mean((0, 1)).cpu().numpy()  # (H, W)
    axis.imshow(influence, cmap="magma")
    axis.set(title=name, xticks=[], yticks=[])
    low, high = fields[name].span(middle)
    away = np.abs(np.arange(image_side) - (low + high) / 2)
    sides = 2 * np.maximum(away[:, None], away).ravel() + 1  # square through a pixel
    order = np.argsort(sides, kind="stable")
    held = influence.ravel()[order].cumsum() / influence.sum()
    clipped = min(high, image_side - 1) - max(low, 0) + 1
    effective = sides[order][np.searchsorted(held, 0.9)]
    corner = (low + high - effective) / 2
    square = plt.Rectangle((corner, corner), effective, effective, fill=False, ec="C5")
    axis.add_patch(square)
    table.append((name, fields[name].size, f"{clipped:.0f}", f"{effective:.0f}"))
plt.show()
heads = ("layer", "side of its field", "within the image", "90 % of the gradient")
show_table(heads, table)

# %% [markdown]
# Influence of every pixel on the middle position of a stage, each panel with its own
# scale; the blue square holds 90 % of it. The table has all sides in pixels. Many ways
# lead from a pixel in the middle to the position, one or two from a pixel at the rim,
# so most of the influence gathers in the middle. Where the last number of a row is far
# below the one before it, the position sees less than it could.
#
# Remember it for section 6: a bright spot on a map of the last stage does not mean that
# only the pixels below it mattered.

# %% [markdown]
# ## 4 · Inside the residual
#
# A residual block computes $y = \text{ReLU}(F(x) + x)$, or a projection of $x$ where
# the shape changes. Lesson 01: with $F = 0$ a block changes nothing, so it needs to
# learn only what to *change*. How much does it change? Compare the Euclidean length
# of $F(x)$, written ‖F(x)‖, with that of what the shortcut carries, in every block.
#
# By hand for one block: $F(x)$ is what its last BatchNorm puts out. The course's blocks
# call the layer that adds `add`.

# %%
from course_utils.models import BasicBlock, Bottleneck
from course_utils.pretrained import load_pretrained

shipped = "cifar10" if splits.is_photos else "sketches"
networks = {
    name: load_pretrained(shipped + suffix).to(session.device)
    for name, suffix in (("residual", ""), ("plain", "-plain"))
}

is_own = not torch.equal(model.fc.weight, networks["residual"].fc.weight)
has_blocks = any(isinstance(part, BasicBlock | Bottleneck) for part in model.modules())
inside = model if has_blocks else networks["residual"]

block = explain.block_names(inside)[1]
norm = "bn3" if isinstance(inside.get_submodule(block), Bottleneck) else "bn2"
found = explain.feature_maps(inside, few, [f"{block}.{norm}", f"{block}.add"])
branch, total = found.values()
by_hand = [
    part.flatten(1).norm(dim=1).mean().item() for part in (total - branch, branch)
]
statistics = explain.branch_statistics(inside, few)
for name, pair in (("by hand", by_hand), ("package", statistics[block])):
    print(f"{block}, {name}: ‖shortcut(x)‖ = {pair[0]:.3f}, ‖F(x)‖ = {pair[1]:.3f}")

# %%
# Figure: bars of the length of F(x) divided by that of the shortcut, one for each
# block, coloured by stage; a dotted line at 1.
ratios = {name: pair.ratio for name, pair in statistics.items()}
plotting.plot_branch_ratios(ratios)
plt.show()
least, most = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
small = [name for name, ratio in ratios.items() if ratio < 0.5]
before = explain.branch_statistics(explain.randomised(inside, seed=1), few)
mean, start_mean = (
    np.mean([pair.ratio for pair in found.values()]) for found in (statistics, before)
)
display(
    Markdown(
        f"Smallest: `{least}`, where ‖F(x)‖ is {ratios[least]:.2f} times what the "
        f"shortcut carries; largest: `{most}` with {ratios[most]:.2f}. "
        f"Blocks with less than half: {len(small)} of {len(ratios)}. "
        f"The mean is {mean:.2f}; with untrained weights it is {start_mean:.2f}."
    )
)

# %% [markdown]
# The size of $F(x)$ against what it is added to, each stage in its own colour. Far
# below 1, the block hardly changes its input. Near 1 or above, it writes as much as it
# was handed, or more.
#
# Does a large $F(x)$ contradict lesson 01? No. There, changing nothing was *easy*; that
# trained blocks change little, nobody promised. With few blocks, each may have much to
# do: He et al. (2015, section 4.2, "Analysis of Layer Responses") measured standard
# deviations instead, and found smaller responses in residual networks than in plain
# ones, and smaller ones still in deeper networks. Can a block with a small $F(x)$ go?
# That is a different question, and the next section asks it.

# %% [markdown]
# ## 5 · Deleting a block
#
# Now your first guess. Take a trained network, remove one block, train nothing, and
# evaluate. A residual block leaves its shortcut behind. A plain block leaves a hole, so
# the next block is handed what the one before put out; where the shape changes there,
# the plain block cannot go at all.
#
# For a fair comparison take the two networks of 20 layers that ship, trained alike but
# for the shortcuts. A network of your own joins them.


# %%
from course_utils.training import evaluate


def without_block(network: nn.Module, name: str) -> nn.Module:
    """Return a copy of the network with one block deleted."""
    network = copy.deepcopy(network)
    block = network.get_submodule(name)
    shortcut = getattr(block, "downsample", None) or nn.Identity()
    network.set_submodule(name, nn.Sequential(shortcut, nn.ReLU()))  # F(x) = 0
    return network


for name in networks:
    block = explain.block_names(networks[name])[1]
    by_hand = evaluate(without_block(networks[name], block), loader).accuracy
    with explain.block_deleted(networks[name], block):  # no copy; the block comes back
        package = evaluate(networks[name], loader).accuracy
    print(f"{name} without {block}: {by_hand:.2%} by hand, {package:.2%} package")

# %%
# Figure: bars of the accuracy with one block deleted, one bar for each block, one panel
# for each network; a dashed line for the whole network, a dotted one for guessing.
if is_own:
    networks["your own"] = model
intact, deleted = {}, {}
for name, network in networks.items():
    intact[name] = evaluate(network, loader).accuracy
    deleted[name] = {}
    for block in explain.block_names(network):
        with explain.block_deleted(network, block):
            deleted[name][block] = evaluate(network, loader).accuracy
guess = np.bincount(true).max() / len(true)
for axis in plotting.plot_deletion(deleted, intact):
    axis.axhline(guess, color="black", linestyle=":", linewidth=1)
plt.show()
print(f"dotted: guessing one class for all, {guess:.1%}")

# %% [markdown]
# Accuracy with one block deleted. Dashed is the whole network, dotted is guessing. A ×
# marks a block that cannot be taken out, because nothing else in its network would
# change the shape. Compare each bar of the residual network with the plain one's at
# the same place.
#
# Look also at the residual `layer2.0` and `layer3.0`, where the shape changes and the
# channels double. The shortcut here is option A of lesson 01. It keeps every second
# pixel of the old channels and fills the new ones with zeros. Without the block, the
# new channels are empty. Is that what hurts? Take away only the part of $F(x)$ in the
# new channels, then only the part in the old ones.

# %%
lost = {n: {b: intact[n] - a for b, a in deleted[n].items()} for n in deleted}
network, parts_lost = networks["residual"], {}
for name in lost["residual"]:
    block = network.get_submodule(name)
    if block.downsample is None:
        continue
    ones = torch.ones(1, block.conv1.in_channels, 2, 2, device=session.device)
    is_old = (block.downsample(ones)[:, :, :1, :1] > 0).float()  # (1, C, 1, 1)
    parts_lost[name] = [lost["residual"][name]]
    for keep in (is_old, 1 - is_old):
        hook = block.bn2.register_forward_hook(lambda *args, keep=keep: args[-1] * keep)
        parts_lost[name].append(intact["residual"] - evaluate(network, loader).accuracy)
        hook.remove()
table = [
    (f"`{name}`", *(f"{100 * p:.1f}" for p in points))
    for name, points in parts_lost.items()
]
heads = ("points lost without", "all of F(x)", "its new channels", "its old channels")
show_table(heads, table)

# %%
steady = [b for b in lost["plain"] if b in lost["residual"]]  # both can lose these
groups_of_blocks = {
    "residual, all blocks": list(lost["residual"].values()),
    "residual, the shape stays": [lost["residual"][b] for b in steady],
    "residual, the shape changes": [p[0] for p in parts_lost.values()],
    "plain, the shape stays": [lost["plain"][b] for b in steady],
}
cost = {name: 100 * np.mean(points) for name, points in groups_of_blocks.items()}
for name, points in groups_of_blocks.items():
    print(
        f"{name:28}{cost[name]:5.1f} points lost, mean of {len(points)} blocks ", end=""
    )
    print(f"({100 * min(points):.1f} to {100 * max(points):.1f})")
whole, new, old = 100 * np.mean(list(parts_lost.values()), axis=0)
display(
    Markdown(
        f"Where the shape changes, losing the new channels alone costs {new:.1f} "
        f"points on average, the old ones alone {old:.1f}: the new ones matter "
        f"**{'more' if new > old else 'no more'}**. Both at once cost {whole:.1f}, "
        + ("more" if whole > new + old else "no more")
        + " than the two added up."
    )
)

# %% [markdown]
# Veit et al. (2016) explain the difference by **paths**. Write out three blocks, and
# the signal reaches the end in $2^3$ ways, through each block or around it. Deleting a
# block closes half of the ways and leaves the other half open. In a plain network
# there is one way, and it is cut. Now make two blocks change places.

# %%
from itertools import pairwise

swapped = {name: [] for name in networks}
for name, network in networks.items():
    for one, other in pairwise(explain.block_names(network)):
        try:
            with explain.blocks_swapped(network, one, other):
                swapped[name].append(evaluate(network, loader).accuracy)
        except ValueError:
            pass  # of different shapes
    if swapped[name]:
        print(
            f"{name}: {intact[name]:.1%}; with two neighbours swapped "
            f"{np.mean(swapped[name]):.1%} on average ({min(swapped[name]):.1%} to "
            f"{max(swapped[name]):.1%}, {len(swapped[name])} pairs)"
        )

# %% [markdown]
# Swapping changes the order of the work. Where little is lost, the blocks of a stage
# refine one and the same set of maps, each a little, rather than build on each other's
# results in a fixed order.
#
# Back to section 4: does the size of $F(x)$ foretell the damage? Rank the blocks by
# both and compare the ranks (Spearman's correlation: 1 for the same order, −1 for the
# opposite one, near 0 for none).

# %%
# Figure: points lost without a block against its length of F(x) divided by that of the
# shortcut; one mark for each block, its shape by stage.
from scipy.stats import spearmanr, ttest_ind

sizes = {
    n: s.ratio for n, s in explain.branch_statistics(networks["residual"], few).items()
}
damage = [intact["residual"] - deleted["residual"][block] for block in sizes]
rank = spearmanr(list(sizes.values()), damage)
fig, axis = plt.subplots(figsize=(5, 3))
for number, stage in enumerate(sorted({block.split(".")[0] for block in sizes})):
    own = [i for i, block in enumerate(sizes) if block.startswith(stage)]
    x, y = [list(sizes.values())[i] for i in own], [100 * damage[i] for i in own]
    axis.plot(x, y, "osD^"[number], color=f"C{number}", label=stage)
axis.set(xlabel="‖F(x)‖ / ‖shortcut(x)‖", ylabel="points lost without the block")
axis.legend()
plt.show()
verdict = "is" if rank.pvalue < 0.05 else "is not"
print(
    f"rank correlation {rank.statistic:+.2f} over {len(sizes)} blocks: that {verdict} "
    f"more than chance would explain (p = {rank.pvalue:.2f})"
)

# %% [markdown]
# Each point is one block of the shipped residual network: how much it adds, and what
# its removal costs. A few blocks of one network are few points, so read the p-value
# before the slope. A block's size can be measured in one forward pass; what it is worth
# is known only by taking it away.

# %% [markdown]
# ## 6 · Grad-CAM
#
# Which part of the image speaks for "cat"? The last stage has dozens of maps $A^c$, or
# hundreds, of a few positions each. Take the logit $z_k$ of a class. Its gradient with
# respect to a map says whether more of that map would raise it. Average the gradient
# over the map's positions, and you have the map's weight. Add up the maps, each with
# its weight, and cut off what speaks against the class (Selvaraju et al., 2017):
#
# $$w_c = \frac{1}{hw}\sum_{i,j} \frac{\partial z_k}{\partial A^c_{ij}}, \qquad
# \text{map} = \text{ReLU}\Big(\sum_c w_c A^c\Big).$$


# %%
def grad_cam(network, images, layer, targets):
    """Return where `layer` found what speaks for `targets`, one map an image."""
    extract = create_feature_extractor(
        network, {layer: "maps", "fc": "logits"}, suppress_diff_warning=True
    )
    found = extract(images)
    maps = found["maps"]  # (B, C, h, w)
    scores = found["logits"].gather(1, targets[:, None])  # (B, 1)
    (slopes,) = torch.autograd.grad(scores.sum(), maps)  # (B, C, h, w)
    weights = slopes.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
    return F.relu((weights * maps).sum(1)).detach()  # (B, h, w)


last = stages[-1]
answers = torch.from_numpy(predicted[: len(few)]).to(session.device)
ours = grad_cam(model, few, last, answers)
package = explain.grad_cam(model, few, last)  # explains the predicted class
print(
    "shape", tuple(ours.shape), "same as the package's:", torch.allclose(ours, package)
)

# %% [markdown]
# The whole batch at once: the sum of the scores keeps the images apart, since no image
# touches another's logit. From here on we use the package's, which can also look at a
# BatchNorm. (The ReLU behind one works in place: it writes its result over the
# BatchNorm's, unless told not to.) A test of the course compares it with the library
# captum.
#
# Now look: two images that the network has right and three that it has wrong. For
# each, what speaks for the predicted class, and what for another one: the true class of
# a mistake, the runner-up otherwise.

# %%
# Figure: three rows of test images, one column each: the image; its map for the
# predicted class; its map for another class, named above it.
rows = np.array([*right[:2], *(wrong if len(wrong) else right[2:])[:3]])
batch = torch.stack([loader.dataset[i][0] for i in rows])
second = logits[rows].topk(2).indices[:, 1].numpy()
other = np.where(predicted[rows] == true[rows], second, true[rows])

fig, axes = plt.subplots(3, len(rows), figsize=(1.4 * len(rows), 5.0))
for axis, row in zip(axes[0], rows, strict=True):
    axis.imshow(pictures[row])
    axis.axis("off")
    axis.set_title("right" if row in right else "wrong", fontsize="small")
for line, targets in zip(axes[1:], (predicted[rows], other), strict=True):
    found = explain.grad_cam(model, batch, last, torch.from_numpy(targets))
    for axis, row, cam, target in zip(line, rows, found, targets, strict=True):
        plotting.overlay_heatmap(pictures[row], cam.cpu().numpy(), axis)
        role = "true" if target == true[row] else "runner-up"
        role = "predicted" if target == predicted[row] else role
        axis.set_title(f"{splits.classes[target]}\n({role})", fontsize="small")
plt.show()

# %%
everything = torch.cat([images for images, _ in loader])[:400].to(session.device)
cams = explain.grad_cam(model, everything, last)
half = []
for cam in cams.flatten(1):
    held = cam.sort(descending=True).values.cumsum(0)
    half.append((held < held[-1] / 2).sum().item() + 1 if held[-1] > 0 else np.nan)
half = np.array(half) / cams[0].numel()
is_right = (predicted == true)[: len(half)]
groups = {
    name: half[chosen & np.isfinite(half)]
    for name, chosen in (("right", is_right), ("wrong", ~is_right))
}
for name, values in groups.items():
    if len(values):
        print(
            f"{name}: half of a map's sum lies in {values.mean():.0%} of its positions "
            f"(mean of {len(values)} images)"
        )
if min(map(len, groups.values())) > 1:
    p_value = ttest_ind(*groups.values(), equal_var=False).pvalue
    verdict = "more" if p_value < 0.05 else "no more"
    print(f"a difference {verdict} than luck explains (p = {p_value:.2g})")

# %% [markdown]
# The images, and over each in grey its map: bright where the last stage found what
# speaks for the class in the title. Can you tell the mistakes by their maps alone? The
# lines under the figure try it with one number, how spread out the maps are.

# %% [markdown]
# A map *looks* convincing wherever it is bright. Does it show something about the
# network? Two tests. The first: hide what is bright (an idea of Petsiuk et al., 2018).
# Replace a quarter of each image by the mean colour: where its map is highest, or
# lowest. But things tend to be in the middle, so any map of the middle would do well.
# Hence two controls, which know nothing of the image: the quarter in the centre, and
# the quarter where *another* image's map is highest.

# %%
from course_utils.metrics import compare

height, width = everything.shape[2:]
fine = F.interpolate(cams[:, None], (height, width), mode="bilinear")[:, 0].flatten(1)
noise = torch.rand(fine.shape, generator=torch.Generator().manual_seed(0))
down, right_of = (torch.linspace(-1, 1, n, device=fine.device) for n in (height, width))
off_centre = torch.maximum(down.abs()[:, None], right_of.abs()).flatten()
hide_first = {
    "the lowest quarter": -fine,
    "a random quarter": noise.to(fine),
    "the centre": -off_centre.expand_as(fine),
    "another image's highest": fine.roll(1, 0),
    "the highest quarter": fine,
}
labels = torch.from_numpy(true[: len(everything)])
answered = {"nothing": torch.from_numpy(predicted[: len(everything)])}
for name, scores in hide_first.items():
    places = scores.argsort(1, descending=True)[:, : fine.shape[1] // 4]
    mask = torch.zeros_like(fine).scatter_(1, places, 1.0).view(-1, 1, height, width)
    hidden = everything * (1 - mask)  # 0 is the mean colour
    with torch.no_grad():
        parts_of = [model(part).argmax(1).cpu() for part in hidden.split(200)]
    answered[name] = torch.cat(parts_of)
kept = {
    name: (found == labels).float().mean().item() for name, found in answered.items()
}
for name, value in kept.items():
    print(f"hidden: {name:25} accuracy {value:.1%}")

# %%
rival = min(("the centre", "another image's highest"), key=kept.get)
pairs = ("the lowest quarter", "nothing"), ("the highest quarter", rival)
for name, control in pairs:
    costs = compare(labels, answered[control], answered[name])
    print(f"{control} hidden, minus {name} hidden:\n  {costs}")

# %% [markdown]
# Each line, compared as in lesson 04, is what hiding a part of the map costs more than
# hiding the control. The stronger control is the one to beat: only an interval wholly
# above 0 shows that the map knows more of its image than that things are in the middle.
# A fall in accuracy alone would have proved little: look how much of one the controls
# cause, which know nothing of the image.
#
# Beware of the random quarter. It puts dots all over the image, of a kind that the
# network has never seen, and edges are what its first layers look for. The others
# mostly hide connected areas, and can be compared with each other.

# %% [markdown]
# ### The sanity check
#
# The second test is due to Adebayo et al. (2018). A map that explains what was *learnt*
# must change when the learnt weights are replaced by random ones. Some methods failed:
# their pictures were edge detectors that needed no training. Replace the layers from
# the classifier downwards. Your second guess!

# %% [markdown]
# When is a map destroyed? Maps of *different* images are alike too: the middle again.
# So compare the trained map of an image with the random network's map of the *same*
# image, and with its map of *another* one. The rule, before the numbers: Grad-CAM
# passes if the same image makes the maps more alike by less than 0.1, with the whole
# 95 % interval. An edge detector would fail, for it draws both networks the same.

# %%
# Figure: Grad-CAM maps laid over two test images, one row each; from left to right,
# more and more layers have random weights.
parts = ["fc", *reversed(stages)]
twins = {"trained": model}
for count in range(1, len(parts)):
    name = parts[0] if count == 1 else f"… {parts[count - 1]}"
    twins[name] = explain.randomised(model, seed=1, parts=parts[:count])
twins["all"] = untrained


def likeness(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the correlation of two maps (B, h, w) over positions, (B,)."""
    one, other = ((m - m.mean((1, 2), keepdim=True)).flatten(1) for m in (one, other))
    return F.cosine_similarity(one, other)  # 0 where a map is flat


answers = torch.from_numpy(predicted[: len(everything)]).to(session.device)
found = {
    name: explain.grad_cam(twin, everything, last, answers)
    for name, twin in twins.items()
}
fig, axes = plt.subplots(2, len(found), figsize=(1.4 * len(found), 3.2))
for axis, (name, twin_maps) in zip(axes.T, found.items(), strict=True):
    for row, panel in zip((0, 1), axis, strict=True):
        plotting.overlay_heatmap(pictures[row], twin_maps[row].cpu().numpy(), panel)
    axis[0].set_title(name, fontsize="small")
plt.show()

# %%
partner = networks["plain"] if not is_own else networks["residual"]
theirs = explain.grad_cam(partner, everything, "layer3", answers)[:, None]
found["another trained network"] = F.interpolate(
    theirs, cams.shape[1:], mode="bilinear"
)[:, 0]
table = []
closer = {}  # by how much the same image makes two maps more alike
for name, others in found.items():
    drawn = (cams.amax((1, 2)) > 0) & (others.amax((1, 2)) > 0)
    same_image = likeness(cams[drawn], others[drawn])
    another = likeness(cams[drawn], others[drawn].roll(1, 0))
    closer[name] = same_image - another
    empty = f"{int((~drawn).sum())} of {len(drawn)}"
    means = f"{same_image.mean():+.2f}", f"{another.mean():+.2f}"
    table.append((name, empty, *means))
print("correlation with the trained network's map of an image:")
heads = ("network, or its random layers", "empty maps", "same image", "another image")
show_table(heads, table)
random_map, mean = found["all"], closer["all"].mean().item()
margin = 1.96 * closer["all"].std().item() / len(closer["all"]) ** 0.5
display(
    Markdown(
        "All weights random: the same image makes maps more alike by "
        f"{round(mean, 2) + 0.0:+.2f} (95 % interval {mean - margin:+.2f} to "
        f"{mean + margin:+.2f}, {len(closer['all'])} images). Grad-CAM "
        f"**{'passes' if mean + margin < 0.1 else 'fails'}** here."
    )
)

# %% [markdown]
# Two images, with more and more layers randomised from left to right. A grey picture
# without a bright spot is an empty map, 0 everywhere: nothing there speaks for the
# class. Empty maps cannot be compared, so they are counted in the table and left out
# of the rest. First and last row are for scale: the map itself, and a second trained
# network.
#
# Passing is necessary, not enough. A map that changes with the weights depends on them;
# whether it says *why* the network decided is the first myth below.

# %% [markdown]
# ### Pick an image and a layer
#
# One picture, always. If you run the cell yourself, in JupyterLab or the like, there
# are two controls under it: any image, any stage or block. Early layers have fine maps
# and know little about classes; find the layer where the bright spot settles.


# %%
# Figure: a test image and, beside it, the same in grey with its Grad-CAM map laid over
# it.
from IPython import get_ipython


def look(image: int, layer: str) -> None:
    """Draw a test image and what speaks for the predicted class in a layer."""
    cam = explain.grad_cam(model, loader.dataset[image][0][None], layer)[0]
    fig, (left, middle) = plt.subplots(1, 2, figsize=(4.6, 2.6))
    left.imshow(pictures[image])
    left.axis("off")
    plotting.overlay_heatmap(pictures[image], cam.cpu().numpy(), middle)
    names = splits.classes[predicted[image]], splits.classes[true[image]]
    fig.suptitle(f"image {image}: {names[0]} (truly {names[1]}), {layer}", size="small")
    plt.show()


look(int(rows[-1]), last)
# Programs that run notebooks cannot answer a question; a person at a page can.
if getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False):
    import ipywidgets as widgets

    choices = [name for name, _ in model.named_modules() if name.startswith("layer")]
    choices = [name for name in choices if name.count(".") < 2]
    slider = widgets.IntSlider(int(rows[-1]), 0, len(true) - 1, continuous_update=False)
    names = widgets.Dropdown(options=choices[::-1], value=last)
    widgets.interact(look, image=slider, layer=names)

# %% [markdown]
# An image, and its map for the predicted class in the layer named above it.

# %% [markdown]
# ## 7 · The space of features
#
# Before the classifier stands one vector an image: the means of the last maps. The
# classifier is linear, so whatever tells the classes apart must be there already. To
# look at a space of dozens of dimensions, press it flat.

# %% [markdown]
# **PCA** finds the two directions in which the points spread most: a shadow of the
# cloud, and nothing is bent. How much is lost? The *variance* is the mean squared
# distance from the centre; PCA says which share of it the shadow keeps. **t-SNE** (van
# der Maaten and Hinton, 2008) places the points anew, so that those near each other
# stay near; it bends as it likes. Its *perplexity* is, roughly, how many neighbours
# each point tries to keep.

# %%
# Figure: two scatter plots of test images as points, by PCA and by t-SNE, coloured by
# true class; the axes have no unit.
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

features, _ = explain.penultimate_features(model, loader)
features = features.numpy()  # (N, C)
some = slice(session.pick(quick=400, full=2000))
pca = PCA(2, random_state=0).fit(features)
tsne = TSNE(perplexity=30, random_state=0).fit_transform(features[some])
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
flat = {"PCA": pca.transform(features[some]), "t-SNE": tsne}
for axis, (name, points) in zip(axes, flat.items(), strict=True):
    plotting.plot_embedding(points, true[some], splits.classes, axis)
    axis.set_title(f"{name} of {len(points)} images")
axes[0].get_legend().remove()
plt.show()
kept_variance = pca.explained_variance_ratio_.sum()
print(
    f"{features.shape[1]} dimensions; the two of PCA hold {kept_variance:.0%} ", end=""
)
print("of the variance")

# %% [markdown]
# Test images as points, coloured by their true class, which neither method was told.
# The axes have no unit. What does the t-SNE picture prove? Less than it seems; a myth
# below tests it. A number that needs no picture: take each image's ten **nearest
# neighbours** and count how many have its class, once by pixels, once by features. Your
# third guess.

# %%
from sklearn.neighbors import NearestNeighbors

K = 10
spaces = {
    "pixels": pictures.reshape(len(pictures), -1) / np.float32(255),
    "features": features,
    "features, untrained": explain.penultimate_features(untrained, loader)[0].numpy(),
}
neighbours, same = {}, {}
for name, points in spaces.items():
    index = NearestNeighbors(n_neighbors=K + 1).fit(points).kneighbors(points)[1]
    neighbours[name] = index[:, 1:]  # the first is the image itself
    same[name] = (true[neighbours[name]] == true[:, None]).mean()
    print(f"{name:20} {same[name]:.1%} of the {K} nearest have the image's class")
chance = ((np.bincount(true) / len(true)) ** 2).sum()
print(f"{'any other images':20} {chance:.1%}")

# %%
# Figure: four rows of test images: a query and its four nearest, by pixels and by
# features, for two queries; titles are the true classes.
queries = rows[0], rows[-1]  # of the Grad-CAM figure: one right, one wrong
panels, titles = [], []
for query in queries:
    for name in ("pixels", "features"):
        panels += [query, *neighbours[name][query][:4]]
        titles += [f"query, by {name}:\n{splits.classes[true[query]]}"]
        titles += [splits.classes[true[i]] for i in neighbours[name][query][:4]]
plotting.show_images(pictures[panels], titles, columns=5, size=1.0)
plt.gcf().set_dpi(70)
plt.show()
if len(wrong):
    near = neighbours["features"][wrong]
    for name, classes in (("predicted", predicted), ("true", true)):
        part = (true[near] == classes[wrong][:, None]).mean()
        print(f"mistakes: {part:.0%} of the neighbours are of the {name} class")

# %% [markdown]
# Each row is a query, left, and its four nearest: by pixels, then by features, for an
# image that the network has right and for one that it has wrong (if there is one).
# Titles are the true classes. What do the images of a row have in common: background
# and brightness, or the thing? Mistakes have neighbours too, and the lines under the
# figure say whose company they keep.

# %% [markdown]
# ## 8 · What the optimiser saw
#
# Your fourth guess. The loss is a surface over hundreds of thousands of dimensions. Cut
# it along a line: go from the trained weights $w$ in a random direction $d$, and
# compute the loss of $w + \alpha d$.
#
# How long should $d$ be? Double all weights of a convolution, and the BatchNorm behind
# it, once its statistics have followed, divides the 2 away: same function, but a step
# of fixed length now does half the harm. So a *scale* would look like a
# *shape*. Li et al. (2018) therefore make each filter of $d$ as long as the same filter
# of $w$: **filter normalisation**.


# %%
def random_direction(network: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Return random steps for all weights, each filter as long as the network's."""
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, weight in network.named_parameters():
        if weight.ndim < 2:  # BatchNorm and bias stay as they are
            direction[name] = torch.zeros_like(weight)
            continue
        step = torch.randn(weight.shape, generator=generator).to(weight)
        lengths = [w.detach().flatten(1).norm(dim=1) for w in (weight, step)]
        scale = (lengths[0] / lengths[1]).view(-1, *[1] * (weight.ndim - 1))
        direction[name] = step * scale
    return direction


own = random_direction(networks["residual"], seed=0)
(package,) = explain.filter_normalised_directions(networks["residual"], seed=0)
same_steps = all(torch.allclose(own[name], package[name]) for name in own)
print(f"{len(own)} tensors of weights; same as the package's: {same_steps}")

# %% [markdown]
# First, is the worry justified? Build a twin of the residual network whose convolutions
# are all four times as large, with BatchNorm's running statistics to match. Both
# compute the same. Cut both surfaces with steps of one fixed length, then with filter
# normalisation.

# %%
# Figure: loss (logarithmic) against the step along a random line, in two panels: steps
# of fixed length, and filter normalisation; in each a line for the network as trained
# and a dashed one for its scaled twin.
large = copy.deepcopy(networks["residual"])
for name, part in list(large.named_modules()):
    if isinstance(part, nn.BatchNorm2d):
        large.get_submodule(name.replace("bn", "conv")).weight.data *= 4
        part.running_mean *= 4
        part.running_var *= 16

images = torch.stack([loader.dataset[i][0] for i in range(min(128, len(true)))])
batch = images, torch.from_numpy(true[: len(images)])
fixed = random_direction(networks["residual"], seed=0)  # the same steps for both
steps = np.linspace(-1, 1, 7)
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
for axis, name in zip(
    axes, ("steps of fixed length", "filter normalisation"), strict=True
):
    cuts = {}
    for label, network in (
        ("as trained", networks["residual"]),
        ("scaled by 4", large),
    ):
        ours = fixed if "fixed" in name else random_direction(network, seed=0)
        cuts[label] = explain.loss_slice(network, batch, ours, steps).numpy()
    plotting.plot_loss_slice(steps, cuts, axis)
    axis.lines[1].set_linestyle("--")
    axis.set(title=name, xlabel="step α", ylabel="cross-entropy loss")
    axis.legend(loc="upper center")
    axis.label_outer()
    for label, cut in cuts.items():
        print(f"{name}, {label}: loss {cut[0]:.2f} at −1, {cut[-1]:.2f} at +1")
plt.show()

# %% [markdown]
# One function, written in two ways. With fixed steps the larger weights seem to lie in
# a flatter valley; with filter normalisation the two curves (one dashed) fall together.
# A comparison of flatness without it compares scales.
#
# Now plain against residual, each along several random directions.

# %%
# Figure: loss (logarithmic) against the step along random lines; for the residual and
# the plain network a line of the mean in a band from lowest to highest; dotted is the
# loss of guessing.
seeds = range(session.pick(quick=3, full=10))
alphas = np.linspace(-1, 1, session.pick(quick=9, full=21))
cuts = {}
for name in ("residual", "plain"):
    directions = [
        explain.filter_normalised_directions(networks[name], seed)[0] for seed in seeds
    ]
    cuts[name] = np.stack(
        [explain.loss_slice(networks[name], batch, d, alphas) for d in directions]
    )
_, axis = plt.subplots(figsize=(6.5, 3))
plotting.plot_seeds(cuts, axis, x=alphas)
axis.axhline(np.log(len(splits.classes)), color="black", linestyle=":", lw=1)
axis.set(yscale="log", xlabel="step α, in filter lengths", ylabel="cross-entropy loss")
plt.show()

middle = len(alphas) // 2
at_half = {
    n: cut[:, [middle // 2, -1 - middle // 2]].mean(1) for n, cut in cuts.items()
}
for name, cut in cuts.items():
    print(
        f"{name}: loss {cut[:, middle].mean():.3f} at 0, {at_half[name].mean():.2f} at "
        f"±{alphas[-1 - middle // 2]:.2g}, {cut[:, 0].mean():.2f} at −1, "
        f"{cut[:, -1].mean():.2f} at +1"
    )
low, high = sorted(at_half, key=lambda name: at_half[name].mean())
apart = at_half[low].max() < at_half[high].min()
print(f"lower half-way: {low}" if apart else "half-way: undecided, the bands overlap")

# %% [markdown]
# Loss along random lines through the trained weights: mean over directions, in a band
# from lowest to highest; n is the number of directions. The dotted line is the loss of
# guessing all classes alike. Here BatchNorm's running statistics do *not* follow: they
# stay those of the trained weights at every step, so no step is divided away.

# %% [markdown]
# Li et al. found that shortcuts matter *more with depth*: at 20 layers their plain
# network still lay in a benign valley, at 56 in a chaotic one. So 20 layers are where
# the least difference is to be expected. And a line through hundreds of thousands of
# dimensions misses nearly everything: it can show a wall, but not that there is none.

# %% [markdown]
# ## Results

# %%
from course_utils.results import hardware_name

names = "residual", "plain"
stays, changes = f"the shape stays ({len(steady)})", f"it changes ({len(parts_lost)})"
table = [
    ("accuracy", *(f"{intact[n]:.1%}" for n in names)),
    (
        f"points lost without one block, where {stays}",
        *(f"{cost[f'{n}, the shape stays']:.1f}" for n in names),
    ),
    (
        f"points lost, where {changes}",
        f"{cost['residual, the shape changes']:.1f}",
        "cannot go",
    ),
    (
        "points lost, all",
        f"{cost['residual, all blocks']:.1f}",
        f"{cost['plain, the shape stays']:.1f}",
    ),
    (
        "accuracy with two blocks swapped",
        *(f"{np.mean(swapped[n]):.1%}" for n in names),
    ),
    ("loss half-way along a line", *(f"{at_half[n].mean():.2f}" for n in names)),
]
show_table(("measured", "residual, 20 layers", "plain, 20 layers"), table)

# %%
print(f"one network of each kind; {len(true)} test images, losses on {len(images)}; ")
print(f"seed {session.seed}, {hardware_name(session.device)}")
session.report(
    f"one block deleted costs {cost['residual, all blocks']:.1f} points with shortcuts "
    f"({cost['residual, the shape stays']:.1f} where the shape stays, "
    f"{cost['residual, the shape changes']:.1f} where it changes); without, where it "
    f"stays, {cost['plain, the shape stays']:.1f}",
    data=f"{len(true)} test images of {splits.name}, {splits.source}",
)
difference = np.array([lost["plain"][b] - lost["residual"][b] for b in steady])
worse = int((difference > 0).sum())
display(
    Markdown(
        f"At {worse} of {len(difference)} places, deleting the block cost the plain "
        f"network more than the residual one, on average by "
        f"{100 * difference.mean():.1f} points."
    )
)

# %% [markdown]
# **What this does not show.** One network of each kind is one draw; another seed may
# share out the work among its blocks in another way. Twenty layers are few: Veit et al.
# took out blocks of 110 and 200 layers. A block that can be deleted after training is
# not one that was useless *during* it. And all of it was measured on images of 32×32
# pixels or so; maps of photos at full size have more positions and more to show.

# %% [markdown]
# ## Myths, tested
#
# ### "A saliency map shows why the network decided"
#
# "Why a cat?" means "why a cat and not a dog?". So a map that answers it should look
# different for the runner-up, the class with the second largest logit. How different?
# Put three likenesses to the map of the answer on one scale: that of the runner-up's
# map; that of a *stranger's* map, another image's for its own answer; that of the
# random network's map (section 6), which knows nothing that was learnt.

# %% [markdown]
# The rule, before the numbers, for the runner-up's likeness. **Refuted** if it is not
# below the stranger's: then the class hardly matters. **Not refuted** by this if it is
# not above the random network's: then chance alone makes it as large. **Half refuted**
# in between. A difference counts if its 95 % interval excludes 0.


# %%
def is_less(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether `one` is lower on average, judged image by image."""
    gap = other - one
    return bool(gap.mean() > 1.96 * gap.std() / len(gap) ** 0.5)


two = logits[: len(everything)].topk(2).indices.to(session.device)
second_map = explain.grad_cam(model, everything, last, two[:, 1])
both = torch.stack([cams, second_map, random_map]).amax((2, 3)).min(0).values > 0
answer = cams[both]
to_second, to_stranger, to_random = (
    likeness(answer, other)
    for other in (second_map[both], answer.roll(1, 0), random_map[both])
)
if not is_less(to_second, to_stranger):
    verdict = "not below the stranger's: **refuted**"
elif is_less(to_random, to_second):
    verdict = "below the stranger's, above the random one: **half refuted**"
else:
    verdict = "below the stranger's, not above the random one: **not refuted**"
nearer = (to_second < to_stranger).float().mean()
display(
    Markdown(
        f"Correlation with the answer's map, mean of {len(answer)} images (of "
        f"{len(both)}; the rest have an empty map): the runner-up's "
        f"{to_second.mean():+.2f}, a stranger's {to_stranger.mean():+.2f}, the random "
        f"network's {to_random.mean():+.2f}. The runner-up's is {verdict} by this. "
        f"(In single images, it is below the stranger's in {nearer:.0%}.)"
    )
)

# %% [markdown]
# Why may a stranger's map be so like? Both answers tend to lie in the middle. Even a
# map that changes with the class says *where* something was found that raised a logit,
# not *what* it was. Where two classes are found in the same place, it cannot say what
# made the one larger than the other. Section 3 adds: a position of the last stage sees
# more than the pixels under it.
#
# ### "A trained network needs every layer"
#
# Count the blocks of section 5 whose removal costs less than a tenth of the accuracy,
# out of *all* that can be deleted.

# %%
for name in deleted:
    harmless = [
        block for block, left in deleted[name].items() if left > 0.9 * intact[name]
    ]
    verdict = "refuted" if harmless else "not refuted"
    print(
        f"{name}: {len(harmless)} of {len(deleted[name])} blocks can go at that price: "
        f"{verdict}{' (' + ', '.join(harmless) + ')' if harmless else ''}"
    )

# %% [markdown]
# What holds of one kind of network need not hold of the other.
#
# ### "Distances and sizes in a t-SNE plot mean something"
#
# Invent a truth to compare with: three clouds of points in 20 dimensions. B is near A
# and as wide; C is five times as far from A, and four times as wide.

# %%
draw = np.random.default_rng(0)
centres = np.zeros((3, 20))
centres[1, 0], centres[2, 1] = 20, 100
widths = np.array([1.0, 1.0, 4.0])
clouds = [
    c + w * draw.normal(size=(60, 20)) for c, w in zip(centres, widths, strict=True)
]
points = np.concatenate(clouds)
embedded = {"truth": points}
for perplexity in (5, 30):
    embedded[f"t-SNE, perplexity {perplexity}"] = TSNE(
        perplexity=perplexity, random_state=0
    ).fit_transform(points)
measured = {}
for name, where in embedded.items():
    a, b, c = (where[60 * i : 60 * i + 60] for i in range(3))
    far, near = (np.linalg.norm(a.mean(0) - other.mean(0)) for other in (c, b))
    spread = [np.linalg.norm(cloud - cloud.mean(0), axis=1).mean() for cloud in (c, a)]
    measured[name] = far / near, spread[0] / spread[1]
table = [(name, *(f"{ratio:.1f}" for ratio in pair)) for name, pair in measured.items()]
show_table(("", "distance A–C / A–B", "width of C / A"), table)
ratios_found = list(measured.values())
off = [
    max(f / t, t / f) for f, t in zip(ratios_found[-1], ratios_found[0], strict=True)
]
refuted = max(off) > 1.5
print("refuted" if refuted else "not refuted", f"(off by a factor of {max(off):.1f})")

# %% [markdown]
# t-SNE cares about who is near whom. It evens out widths, and how far apart it puts
# what is not near says little. Clusters in the picture are a reason to measure
# neighbours, as section 7 did, not a measurement.

# %% [markdown]
# ## Summary
#
# 1. *Answers, filters, maps.* A grid of predictions first; torchvision's extractor for
#    what is inside. Receptive fields grow by $(k-1)\,j$ a layer, and most of the
#    influence comes from their middle.
# 2. *Blocks.* The length of $F(x)$ says how much a block changes; only deleting it says
#    what it is worth. Shortcuts leave other ways open.
# 3. *Grad-CAM.* Maps weighted by mean gradients. Before you believe one: hide what is
#    bright (and the centre, to compare), randomise the weights, ask for another class.
# 4. *Features.* Count neighbours of the same class. t-SNE suggests, it does not prove.
# 5. *Loss surface.* Steps as long as the filters, or you compare scales.

# %% [markdown]
# ## Exercises
#
# ### ★ How far does it see?
#
# Given the layers of a network as pairs (kernel, stride), in running order, return the
# side of the receptive field at the end. Expected: two 3×3 layers of stride 1 see 5
# pixels; `field_side([(3, 2), (3, 1)])` is 7.


# %% tags=["exercise"]
def field_side(layers: list[tuple[int, int]]) -> int:
    """Return the side, in pixels, of what one position at the end can see."""
    raise NotImplementedError


check.field_side(field_side)


# %% tags=["solution"]
def field_side(layers: list[tuple[int, int]]) -> int:
    """Return the side, in pixels, of what one position at the end can see."""
    side, apart = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * apart
        apart *= stride
    return side


check.field_side(field_side)

# %% [markdown]
# ### ★★ Good company
#
# Return the share of each point's `k` nearest neighbours that have its own label,
# averaged over the points. Neighbours are nearest in Euclidean distance, and nobody is
# a neighbour of himself. Expected: 1.0 for two far clouds of one label each.


# %% tags=["exercise"]
def same_class_share(features: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Return the share for features (N, C) and labels (N,)."""
    raise NotImplementedError


check.same_class_share(same_class_share)


# %% tags=["solution"]
def same_class_share(features: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Return the share for features (N, C) and labels (N,)."""
    distances = torch.cdist(features, features)  # (N, N)
    distances.fill_diagonal_(float("inf"))
    nearest = distances.topk(k, largest=False).indices  # (N, k)
    return (labels[nearest] == labels[:, None]).float().mean().item()


check.same_class_share(same_class_share)

# %% [markdown]
# ### ★★ Grad-CAM without a gradient
#
# Our networks end in a mean over positions and one linear layer. Then the gradient of a
# logit with respect to the last maps can be read off: work it out on paper. Return the
# Grad-CAM maps of the last stage from its output, the classifier's weights, and one
# class for each image. Expected: the same numbers as `explain.grad_cam`. (Zhou et al.,
# 2016, had this first, for just such networks.)


# %% tags=["exercise"]
def class_activation(
    maps: torch.Tensor, fc_weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return maps (B, h, w) from maps (B, C, h, w), weights (K, C), classes (B,)."""
    raise NotImplementedError


check.class_activation(class_activation)


# %% tags=["solution"]
def class_activation(
    maps: torch.Tensor, fc_weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return maps (B, h, w) from maps (B, C, h, w), weights (K, C), classes (B,)."""
    positions = maps.shape[2] * maps.shape[3]
    weights = fc_weight[targets] / positions  # (B, C)
    return F.relu((weights[:, :, None, None] * maps).sum(1))


check.class_activation(class_activation)

# %% [markdown]
# ### ★★★ Ask the network instead
#
# An explanation that needs no gradient and no layer (Zeiler and Fergus, 2013): cut the
# image into squares of `size` pixels. Cover one square with zeros (the mean colour of a
# normalised image) and see by how much the logit of the class *falls*. Do it for every
# square. Expected: shape (B, H / size, W / size); positive where the square spoke for
# the class. Leave the images as they are.


# %% tags=["exercise"]
def occlusion_map(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, size: int
) -> torch.Tensor:
    """Return how far the logit of `targets` (B,) falls without each square."""
    raise NotImplementedError


check.occlusion_map(occlusion_map)


# %% tags=["solution"]
@torch.no_grad()
def occlusion_map(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, size: int
) -> torch.Tensor:
    """Return how far the logit of `targets` (B,) falls without each square."""
    rows, columns = images.shape[2] // size, images.shape[3] // size
    whole = network(images).gather(1, targets[:, None])[:, 0]
    falls = images.new_zeros(len(images), rows, columns)
    for row in range(rows):
        for column in range(columns):
            covered = images.clone()
            top, left = row * size, column * size
            covered[:, :, top : top + size, left : left + size] = 0
            without = network(covered).gather(1, targets[:, None])[:, 0]
            falls[:, row, column] = whole - without
    return falls


check.occlusion_map(occlusion_map)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give: it says whether it is right, and why.

# %% [markdown]
# **1. The receptive field of a position covers the whole image. What follows?**
#
# <details><summary>All pixels influence it about equally.</summary>
#
# **No.** Many ways lead to it from the middle of its field, few from the rim. Measured
# by the gradient, most of the influence gathers in the middle (section 3).
#
# </details>
# <details><summary>The network has learnt to look at the whole image.</summary>
#
# **No.** The field follows from kernels and strides alone. An untrained network has the
# same one.
#
# </details>
# <details><summary>Any pixel can influence it, if only a little.</summary>
#
# **Right.** The field says what is within reach. How much of it is used is another
# question, and the effective field answers that one.
#
# </details>
# <details><summary>A bright spot there stands for the whole image.</summary>
#
# **No.** It stands for its surroundings. Most of the influence comes from pixels near
# it, though not only from those under it.
#
# </details>

# %% [markdown]
# **2. Delete a block where the shape stays. Why does the residual network keep more of
# its accuracy than the plain one?**
#
# <details><summary>Its blocks change so little that none matters.</summary>
#
# **No.** $F(x)$ need not be small: section 4 measures it. And some blocks cost the
# residual network a good deal, too.
#
# </details>
# <details><summary>The shortcut still carries the signal past the gap.</summary>
#
# **Right.** Half of the ways through the network stay open (Veit et al., 2016). The
# plain network has one way, and it is cut.
#
# </details>
# <details><summary>BatchNorm adapts to the missing block.</summary>
#
# **No.** Nothing is trained after the block is gone, and in `eval()` BatchNorm keeps
# the statistics that it has stored.
#
# </details>
# <details><summary>Its shortcuts add weights, so it has some to spare.</summary>
#
# **No.** Shortcuts of option A have no weights. The two networks have equally many.
#
# </details>

# %% [markdown]
# **3. Which finding speaks against a heat map as an account of what was learnt?**
#
# <details><summary>Hiding its bright quarter lowers the accuracy.</summary>
#
# **No.** That speaks for it, if hiding costs more there than controls do that know
# nothing of the image, such as the centre.
#
# </details>
# <details><summary>It is bright on the background, beside the thing itself.</summary>
#
# **No.** Perhaps the network does use the background. A map should be true to the
# network, not to what we would look at.
#
# </details>
# <details><summary>It hardly changes when all weights become random.</summary>
#
# **Right.** Then it needed nothing that was learnt, like an edge detector. Adebayo et
# al. (2018) found such methods.
#
# </details>
# <details><summary>It has few positions, so it looks coarse.</summary>
#
# **No.** The last stage has no more. A coarse map can still depend on what was learnt.
#
# </details>

# %% [markdown]
# **4. In a t-SNE picture of features, one class is a small cluster far from all others.
# What follows?**
#
# <details><summary>Its images are more alike than those of other classes.</summary>
#
# **No.** t-SNE evens out widths. In the myth, the wide cloud and the narrow ones came
# out equally wide.
#
# </details>
# <details><summary>It is the class least often mistaken for another.</summary>
#
# **No.** Mistakes are counted from answers, as in lesson 04. How far apart t-SNE puts
# clusters says little.
#
# </details>
# <details><summary>PCA would show the same gap.</summary>
#
# **No.** PCA is a shadow and bends nothing. It may hide a gap that t-SNE shows, and
# t-SNE may draw one wider than it is.
#
# </details>
# <details><summary>Little: count neighbours in the full space.</summary>
#
# **Right.** The share of neighbours of the same class needs no picture, and can be
# compared with chance, pixels and an untrained network.
#
# </details>

# %% [markdown]
# **5. Along a random line, in steps of one fixed length, the loss of network B rises
# more slowly than that of A. Does B lie in a flatter valley?**
#
# <details><summary>Not known: B may only have larger weights.</summary>
#
# **Right.** BatchNorm divides a scale of the weights away, so a fixed step is a smaller
# change for larger weights. Steps as long as the filters compare fairly.
#
# </details>
# <details><summary>Yes: a slower rise is what flat means.</summary>
#
# **No.** It would be, if a step of that length meant the same to both networks. With
# weights of another size it does not.
#
# </details>
# <details><summary>Yes, if both networks compute the same function.</summary>
#
# **No.** Section 8 had that case: one function written in two ways, of which fixed
# steps made one look flatter.
#
# </details>
# <details><summary>No: a random line can never show anything.</summary>
#
# **No.** It misses nearly everything, but it can show a wall. With filter
# normalisation, two networks can be compared along such lines.
#
# </details>

# %% [markdown]
# ## References
#
# - M. Zeiler, R. Fergus, *Visualizing and Understanding Convolutional Networks*, 2013,
#   arXiv 1311.2901.
# - K. He et al., *Deep Residual Learning for Image Recognition*, 2015, arXiv
#   1512.03385, section 4.2.
# - B. Zhou et al., *Learning Deep Features for Discriminative Localization*, 2016,
#   arXiv 1512.04150.
# - A. Veit et al., *Residual Networks Behave Like Ensembles of Relatively Shallow
#   Networks*, 2016, arXiv 1605.06431.
# - W. Luo et al., *Understanding the Effective Receptive Field in Deep Convolutional
#   Neural Networks*, 2016, arXiv 1701.04128.

# %% [markdown]
# - R. Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via
#   Gradient-based Localization*, 2017, arXiv 1610.02391.
# - J. Adebayo et al., *Sanity Checks for Saliency Maps*, 2018, arXiv 1810.03292.
# - V. Petsiuk, A. Das, K. Saenko, *RISE: Randomized Input Sampling for Explanation of
#   Black-box Models*, 2018, arXiv 1806.07421.
# - H. Li et al., *Visualizing the Loss Landscape of Neural Nets*, 2018, arXiv
#   1712.09913.
# - L. van der Maaten, G. Hinton, *Visualizing Data using t-SNE*, JMLR 9, 2008.

# %% [markdown]
# **Next.** You can take a network apart and look inside.
# [06 · Transfer learning](06_transfer_learning.ipynb) puts one to new use: it learns to
# tell flowers apart.
