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
# 1. find mistakes that an accuracy hides, by looking at answers;
# 2. take feature maps out of a network;
# 3. take a block out, and tell the harm of its loss from that of stale statistics;
# 4. draw a Grad-CAM map in a dozen lines, and test whether to believe it;
# 5. judge a space of features by its neighbours, not by a pretty picture.
#
# **Know first:** lessons [01](01_residual_blocks.ipynb) (blocks, BatchNorm),
# [03](03_cifar10_training.ipynb) (statistics estimated anew) and
# [04](04_per_class_evaluation.ipynb) (intervals, two networks on the same images).
#
# **Reading** 33 minutes · **exercises** 25 minutes · **run time** quick CPU about 70 s
# (two quiet cores), full GPU about 2 min (shared H200)

# %% [markdown]
# ## Three questions from before
#
# Answer aloud, then open.
#
# <details><summary>Lesson 04: two networks are judged on the same images. Which images
# say which network is better?</summary>
#
# Those that only one of the two gets right. If the networks were equally good, each of
# these would be the toss of a fair coin. `metrics.compare` counts them and gives the
# lead an interval.
#
# </details>
# <details><summary>Lesson 03: which statistics does BatchNorm use in eval(), and how
# are they estimated anew?</summary>
#
# Its running mean and variance, gathered during training. `update_bn` forgets them and
# runs training batches through the network, as it is now; no weight changes.
#
# </details>
# <details><summary>Lesson 01: what is left of a residual block if F(x) is zero
# everywhere? And of a plain block?</summary>
#
# Of the residual block its shortcut: what came in goes out, after the ReLU. Of the
# plain block nothing: its output is zero for every image.
#
# </details>

# %% tags=["setup"]
# Import what the lesson uses, and start a session
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from course_classroom.checks import lesson_05 as check
from course_utils import explain, metrics, plotting
from course_utils.results import save_result
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# Write down your guesses:
#
# 1. Take one block out of a trained residual network of 20 layers, and train nothing.
#    How many points of its 87 % accuracy are lost, on average? And in a plain network?
# 2. A heat map shows where a network "looks". Replace *all* weights by random numbers.
#    Does the map change?
# 3. Find the ten images most like a given one, pixel by pixel. How many are of its
#    class? And if you compare the features that the network computes?

# %% [markdown]
# ## 1 · Right and wrong at a glance
#
# This section shows what a look at answers finds and an accuracy does not. The lesson
# examines two networks of 20 layers that ship, trained alike: a residual one and a
# plain one, without shortcuts.
#
# Numbers *in the text* come from 5 000 of CIFAR-10's test photos (the full profile).
# Your run may take fewer images, and perhaps sketches, which are easier. These images
# chose neither network, so they may be looked at.

# %%
# Load test images and two trained networks
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import load_pretrained

splits = load_cifar10(session.data_dir)
print(splits.describe(), "(training / validation / test)")
kind = "cifar10" if splits.is_photos else "sketches"
model = load_pretrained(kind).to(session.device)  # residual, in eval mode
plain = load_pretrained(f"{kind}-plain").to(session.device)
num_images = min(session.pick(quick=500, full=5000), len(splits.test.labels))
rng = np.random.default_rng(session.seed)
drawn = rng.permutation(len(splits.test.labels))[:num_images]
pictures = splits.test.images[drawn]  # uint8 (N, 32, 32, 3)
labels = torch.from_numpy(splits.test.labels[drawn])  # (N,)
mean, std = torch.tensor(splits.mean), torch.tensor(splits.std)
images = (torch.from_numpy(pictures) / 255 - mean) / std  # as in training
images = images.permute(0, 3, 1, 2).contiguous().to(session.device)  # (N, 3, 32, 32)


# %%
# Ask the network about all images, and once more with red and blue exchanged
@torch.no_grad()
def answers(network, images):
    """Return the predicted classes (N,), on the CPU."""
    return torch.cat([network(part).argmax(1).cpu() for part in images.split(100)])


def accuracy(network, images):
    """Return the share of right answers."""
    return (answers(network, images) == labels).double().mean().item()


predictions = answers(model, images)
right = predictions == labels
exchanged = accuracy(model, images.flip(1))
print(f"accuracy {right.double().mean():.1%}, red and blue exchanged {exchanged:.1%}")

# %% [markdown]
# A common slip, red and blue exchanged, costs
# 8.4 points<!-- results: 05_*full-photos* accuracy - 05_*full-photos* exchanged --> on
# photos. From the number alone one would blame the network. Now look:

# %%
# Figure: 24 test images in three rows, each with the predicted class and, in brackets,
# the true one; mistakes have an orange frame. Then eight with red and blue exchanged.
plotting.show_predictions(pictures, predictions, labels, splits.classes, rows=3)
plotting.show_images(pictures[:8, ..., ::-1])
plt.show()

# %% [markdown]
# Mistakes have an orange frame; the title counts these 24 images alone. Below, red and
# blue are exchanged.
#
# **So what:** before you measure a network, look at a few dozen of its inputs and
# answers, as it gets them.

# %% [markdown]
# ## 2 · Filters and feature maps
#
# This section shows what the layers make of an image: **feature maps**. Torchvision
# returns the output of any operation that you name. A stage's name (`layer1`) stands
# for the output of its last block.

# %%
# Take the maps of the stem and of each stage out of the network
from torchvision.models.feature_extraction import create_feature_extractor

layers = ["relu", "layer1", "layer2", "layer3"]
extract = create_feature_extractor(model, layers, suppress_diff_warning=True)
with torch.no_grad():
    maps = extract(images[:64])
for name, found in maps.items():
    print(f"{name:7} (channels, h, w) {tuple(found.shape[1:])}")

# %% tags=["figure"]
# Figure: a test image; then a grid of its feature maps, one row for the stem and each
# stage, the six maps a row that answer most, each from dark (its lowest value) to
# bright (its highest). Then, if the weights of a ResNet trained on ImageNet are at
# hand, 32 of its first filters, of 7 by 7 pixels.
from pathlib import Path

first = int(right[:64].long().argmax())  # the first that is right
plotting.show_images(pictures[[first]], [splits.classes[labels[first]]], size=1.0)
strongest = {}
for name, found in maps.items():
    order = found[first].mean((1, 2)).argsort(descending=True)
    strongest[name] = found[first][order].cpu().numpy()
plotting.show_feature_maps(strongest, channels=6)
files = sorted(Path(torch.hub.get_dir(), "checkpoints").glob("resnet*.pth"))
if session.data_dir:
    files += sorted(Path(session.data_dir, "imagenet").glob("resnet*.pth"))
for file in files[:1]:
    weights = torch.load(file, map_location="cpu", weights_only=True)
    plotting.show_filters(weights["conv1.weight"][:32].numpy(), columns=8)
plt.show()

# %% [markdown]
# Each row holds the six maps of a layer that answer this image most. Early maps still
# look like the image. (Last come the 7 × 7 filters of an ImageNet ResNet, if one has
# been downloaded: lesson 06 can, if you ask it to. Ours, of 3 × 3, would be specks.)
#
# **So what:** any map can be had by its name. Early maps are pictures, late ones are
# not; section 4 asks what they say.

# %% [markdown]
# ## 3 · Deleting a block
#
# This section takes one block out of each network, and answers your first guess.
#
# A residual block is $\text{ReLU}(F(x) + \text{shortcut}(x))$. Without $F$, the ReLU of
# the shortcut is left. Without a plain block, its input goes on to the next. (Where it
# changes the shape, that would not fit: it cannot go.)


# %%
# Take a block out of a copy of the network
import copy


def without_block(network, name):
    """Return a copy of the network without one block."""
    network = copy.deepcopy(network)
    shortcut = getattr(network.get_submodule(name), "downsample", None)
    # None: what is left is the input itself. It is ≥ 0, so the ReLU keeps it as it is
    rest = torch.nn.Sequential(shortcut or torch.nn.Identity(), torch.nn.ReLU())
    network.set_submodule(name, rest)
    return network


# %% [markdown]
# What else breaks? Every BatchNorm behind the gap divides by the standard deviation
# that it saw *with* the block: its statistics are stale. `update_bn` undoes that harm
# with training images; no weight changes. The control: do the same to the *whole*
# network.


# %%
# Delete each block in turn, as it is and with the statistics estimated anew
from torch.optim.swa_utils import update_bn

train_batches = list(splits.loaders(128, train_size=512).train)  # (images, labels)


def renormalised(network, batches):
    """Return a copy whose BatchNorm statistics are those of the batches."""
    network = copy.deepcopy(network)
    update_bn(batches, network, session.device)
    return network


intact, control, stale, anew = {}, {}, {}, {}  # accuracies, by network (and block)
for name, network in (("residual", model), ("plain", plain)):
    intact[name] = accuracy(network, images)
    control[name] = accuracy(renormalised(network, train_batches), images)
    stale[name], anew[name] = {}, {}
    for block in explain.block_names(network):  # those that can go
        shorter = without_block(network, block)
        stale[name][block] = accuracy(shorter, images)
        anew[name][block] = accuracy(renormalised(shorter, train_batches), images)

# %% tags=["figure"]
# Figure: accuracy with one block deleted, a bar for each block: residual left, plain
# right; statistics stale above, estimated anew below. Dashed is the whole network, its
# statistics as trained above, anew below; an × marks a block that cannot go.
fig, axes = plt.subplots(2, 2, figsize=(8.5, 6), sharex=True, sharey=True)
plotting.plot_deletion(stale, intact, axes[0])
plotting.plot_deletion(anew, control, axes[1])
for axis, name in zip(axes[:, 0], ("stale", "anew"), strict=True):
    axis.set_ylabel(f"accuracy, statistics {name}")
for axis in axes.flat:
    axis.label_outer()
plt.show()

# %% [markdown]
# Dashed is the whole network; with statistics anew (below) it hardly moves: compare
# the titles. Then compare each bar above with the one below it.

# %%
# How many points does a deleted block cost, on average over the blocks?
lost = {}
for name, whole in intact.items():
    left = [np.mean(list(found[name].values())) for found in (stale, anew)]
    lost[name] = [whole - left[0], whole - left[1]]
    print(f"{name:9} stale {100 * lost[name][0]:.1f}, anew {100 * lost[name][1]:.1f}")

# %% [markdown]
# Guess 1. On photos a deleted residual block costs
# 27.9 points<!-- results: 05_*full-photos* lost.residual.0 --> (mean of nine). With
# statistics estimated anew it costs
# 9.6 points<!-- results: 05_*full-photos* lost.residual.1 -->: two thirds of the harm
# was stale statistics. (Not so for the last block: no norm is behind it.)
#
# The plain network loses 73.7 points<!-- results: 05_*full-photos* lost.plain.0 -->
# (mean of the seven that can go), and still
# 64.7 points<!-- results: 05_*full-photos* lost.plain.1 --> anew. The same seven cost
# the residual network 25.2 points, and 9.2 anew.

# %% [markdown]
# Why? In the residual network what passes the gap lacks one correction $F(x)$ among
# many. In the plain one the next block expects a *transformed* input, and gets the raw
# one (Veit et al., 2016).
#
# **So what:** without one block, a residual network loses a part of its accuracy; a
# plain one, on average, most of it. Estimate the statistics anew before you judge.

# %% [markdown]
# ## 4 · Grad-CAM
#
# This section draws a heat map of what speaks for a class, and puts it to two tests.
#
# Take the logit $z_k$ of a class. Its gradient with respect to a map $A^c$ of the last
# stage says whether more of that map would raise the logit. Its mean over the positions
# is the map's weight. Add up the maps, each with its weight, and cut off what speaks
# against the class (Selvaraju et al., 2017):
#
# $$w_c = \frac{1}{hw}\sum_{i,j} \frac{\partial z_k}{\partial A^c_{ij}}, \qquad
# \text{map} = \text{ReLU}\Big(\sum_c w_c A^c\Big).$$


# %%
# Grad-CAM: where a layer found what speaks for a class
def grad_cam(network, images, layer, targets):
    """Return maps (B, h, w), one an image, for the classes `targets` (B,)."""
    extract = create_feature_extractor(
        network, {layer: "maps", "fc": "logits"}, suppress_diff_warning=True
    )
    found = extract(images)
    maps = found["maps"]  # (B, C, h, w)
    # From each row of the logits, the column of its target
    scores = found["logits"].gather(1, targets[:, None])  # (B, 1)
    # One gradient, of the sum, is enough: in eval() no image touches another's logit
    (slopes,) = torch.autograd.grad(scores.sum(), maps)  # (B, C, h, w)
    weights = slopes.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
    return F.relu((weights * maps).sum(1)).detach()  # (B, h, w)


# %%
# The last stage's maps of all images, for given classes
def all_maps(network, targets):
    """Return the maps of all the lesson's images (N, 8, 8), on the CPU."""
    parts = zip(images.split(100), targets.to(session.device).split(100), strict=True)
    return torch.cat([grad_cam(network, x, "layer3", k).cpu() for x, k in parts])


cams = all_maps(model, predictions)  # for the predicted classes

# %% [markdown]
# Look at five mistakes:

# %% tags=["figure"]
# Figure: three rows of test images, one column for each of five mistakes: the image;
# its map for the predicted class; its map for the true class. Both maps of an image
# have one colour scale.
columns = right.long().argsort(stable=True)[:5]  # mistakes first
truth = labels[columns].to(session.device)
true_cams = grad_cam(model, images[columns], "layer3", truth).cpu()
fig, axes = plt.subplots(3, len(columns), figsize=(1.5 * len(columns), 5.6))
for axis, image, true_cam in zip(axes.T, columns.tolist(), true_cams, strict=True):
    axis[0].imshow(pictures[image])
    axis[0].axis("off")
    top = max(cams[image].max(), true_cam.max()).item()
    targets = {"predicted": predictions[image], "true": labels[image]}
    both = cams[image], true_cam
    for panel, cam, role in zip(axis[1:], both, targets, strict=True):
        plotting.overlay_heatmap(pictures[image], cam.numpy(), panel, vmax=top)
        panel.set_title(f"{role}:\n{splits.classes[targets[role]]}", fontsize="small")
plt.show()

# %% [markdown]
# Bright is where the last stage found what speaks for the class named above the map.
# What speaks against it is cut off by the ReLU, so the brighter map need not win.
# Both maps of an image share one colour scale; drawn each to its own maximum, as is
# common, they would look equally strong.

# %% [markdown]
# ### Test 1: hide what it shows
#
# Hide the quarter of each image where its map is highest (Samek et al., 2015), and
# count the right answers. Any map of the middle would do well: things tend to be there.
# Hence two controls: the central 16 × 16 pixels, and the quarter where *another*
# image's map is highest.
#
# Grad-CAM passes against a control if its own quarter costs **more**, with the interval
# of lesson 04 above 0. (`comparisons=2`: the two share its 5 %.)


# %%
# Hide a quarter of each image: where its map is highest, or a control's
def hide_quarter(heat):
    """Return the images without their hottest quarter, from `heat` (N, 32, 32)."""
    heat = heat.flatten(1)  # (N, 1024)
    places = heat.argsort(1, descending=True)[:, : 1024 // 4]  # the hottest
    kept = torch.ones_like(heat).scatter_(1, places, 0.0)  # 0 at these places, else 1
    return images * kept.view(-1, 1, 32, 32).to(session.device)  # 0 is the mean colour


own = F.interpolate(cams[:, None], (32, 32), mode="bilinear")[:, 0]  # (N, 32, 32)
centre = torch.zeros(32, 32)
centre[8:24, 8:24] = 1
heats = {"the centre": centre.expand_as(own)}
heats["another image's quarter"] = own.roll(1, 0)  # that of the image before
heats["its own quarter"] = own
found_hidden = {"nothing": predictions}
found_hidden |= {name: answers(model, hide_quarter(x)) for name, x in heats.items()}
for name, found in found_hidden.items():
    print(f"hidden: {name:24} accuracy {(found == labels).double().mean():.1%}")

# %%
# How many fewer right answers than under each control? (Positive: the map costs more)
costs = {}
for name in ("the centre", "another image's quarter"):
    costs[name] = metrics.compare(
        labels, found_hidden[name], found_hidden["its own quarter"], comparisons=2
    )
    print(f"more than {name}:\n  {costs[name]}")

# %% [markdown]
# On photos 34.7 %<!-- results: 05_*full-photos* hidden.3 --> are right without the
# map's own quarter, 47.8 %<!-- results: 05_*full-photos* hidden.2 --> without another
# image's, 35.5 %<!-- results: 05_*full-photos* hidden.1 --> without the centre. The map
# passes against another image's (it costs
# 13.2 points<!-- results: 05_*full-photos* costs.1.lead --> more, interval
# 11.4 points<!-- results: 05_*full-photos* costs.1.low --> to
# 15.0 points<!-- results: 05_*full-photos* costs.1.high -->), but not against the
# centre (0.9 points<!-- results: 05_*full-photos* costs.0.lead -->,
# -0.9 points<!-- results: 05_*full-photos* costs.0.low --> to
# 2.7 points<!-- results: 05_*full-photos* costs.0.high -->). On
# the sketches it passes against both.

# %% [markdown]
# ### Test 2: randomise the weights
#
# A map that explains what was *learnt* must change when random weights replace the
# learnt ones. Some methods failed: they drew edges, which needs no training (Adebayo et
# al., 2018). The untrained twin gets statistics of its own: as PyTorch builds it, with
# mean 0 and variance 1, its norms would do nothing.
#
# Two maps that are bright in the middle are alike, whatever made them. So Grad-CAM
# passes if the residual network's map is **more** like the map of another *trained*
# network, the plain one, than like both controls: its untrained twin's map, and the
# plain network's map of *another image*.


# %%
# An untrained twin, and how alike two maps of an image are
def likeness(one, other):
    """Return the correlation of maps (B, h, w) over their positions, (B,)."""
    one = one - one.mean((1, 2), keepdim=True)
    other = other - other.mean((1, 2), keepdim=True)
    return F.cosine_similarity(one.flatten(1), other.flatten(1))


untrained = explain.randomised(model, seed=session.seed + 1)
untrained = renormalised(untrained, train_batches)
plain_cams, random_cams = all_maps(plain, predictions), all_maps(untrained, predictions)
three = torch.stack([cams, plain_cams, random_cams])  # (3, N, 8, 8)
three = three[:, (three.amax((2, 3)) > 0).all(0)]  # an empty map has no likeness
alike = {
    "trained": likeness(three[0], three[1]),
    "untrained": likeness(three[0], three[2]),
    "another": likeness(three[0], three[1].roll(1, 0)),  # trained, of another image
}
for name, found in alike.items():
    print(f"{name:9} likeness {found.mean():.2f}")

# %% tags=["figure"]
# Figure: Grad-CAM maps laid over two test images, one row each: the residual network,
# the plain one, the untrained twin. Each to its own maximum.
shown = {"residual": model, "plain": plain, "untrained": untrained}
fig, axes = plt.subplots(2, len(shown), figsize=(1.7 * len(shown), 3.6))
targets = predictions[:2].to(session.device)
for column, (name, network) in zip(axes.T, shown.items(), strict=True):
    for row, cam in enumerate(grad_cam(network, images[:2], "layer3", targets)):
        plotting.overlay_heatmap(pictures[row], cam.cpu().numpy(), column[row])
    column[0].set_title(name, fontsize="small")
plt.show()

# %% [markdown]
# Each map is drawn to its own maximum: three networks' logits share no scale. Plain
# grey is an empty map.
#
# Guess 2. On 500 photos the two trained networks' maps correlate with
# 0.80<!-- results: 05_*quick-photos* alike.trained -->, trained and untrained with
# 0.04<!-- results: 05_*quick-photos* alike.untrained -->, those of two images with
# 0.51<!-- results: 05_*quick-photos* alike.another -->. Grad-CAM passes against both.

# %% [markdown]
# The verdict for photos: the map depends on its image and on what was learnt. But at
# finding what the answer needs it was not seen to beat a square in the middle. (That is
# no proof against it: an image with a hidden quarter is unlike any in training, and the
# answer may fall for that reason.)
#
# **So what:** believe a heat map only as far as it beat its controls.

# %% [markdown]
# ## 5 · The space of features
#
# This section shows how to judge what the network computes before its classifier: one
# vector an image, the means of the last maps.
#
# To look at its 64 dimensions, press them flat. **PCA** finds the two directions in
# which the points spread most: a shadow of the cloud. **t-SNE** (van der Maaten and
# Hinton, 2008) places the points anew, so that near ones stay near.


# %%
# The features of all images, pressed flat in two ways
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE


def features_of(network):
    """Return the vectors before the classifier, (N, C), on the CPU."""
    extract = create_feature_extractor(network, ["flatten"], suppress_diff_warning=True)
    with torch.no_grad():
        parts = [extract(part)["flatten"].cpu() for part in images.split(100)]
    return torch.cat(parts).numpy()


features = features_of(model)
flat = {"PCA": PCA(2, random_state=0).fit_transform(features[:1000])}
flat["t-SNE"] = TSNE(random_state=0).fit_transform(features[:1000])

# %% tags=["figure"]
# Figure: two scatter plots of test images as points, by PCA and by t-SNE, coloured by
# true class; the axes have no unit.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for axis, (name, points) in zip(axes, flat.items(), strict=True):
    plotting.plot_embedding(points, labels[: len(points)], splits.classes, axis)
    axis.set_title(f"{name} of {len(points)} images")
axes[0].get_legend().remove()
plt.show()

# %% [markdown]
# Each point is a test image, coloured by its true class, which neither method was told.
# But the width of a t-SNE cluster and its distance from others say little
# ([deep dive 05b](05b_receptive_field_and_loss.ipynb)). A number says more: how many of
# an image's ten **nearest neighbours**, in all dimensions, have its class? (Guess 3.)

# %%
# How many of the ten nearest have the image's class?
from sklearn.neighbors import NearestNeighbors

spaces = {
    "pixels": pictures.reshape(len(pictures), -1) / np.float32(255),
    "features": features,
    "untrained": features_of(untrained),  # features of the untrained twin
}
nearest, same_class = {}, {}
for name, points in spaces.items():
    search = NearestNeighbors(n_neighbors=11).fit(points)
    nearest[name] = search.kneighbors(points)[1][:, 1:]  # the first is itself
    same = labels[nearest[name]] == labels[:, None]
    same_class[name] = same.double().mean().item()
    print(f"{name:10} {same_class[name]:.1%} of the ten nearest have its class")

# %% tags=["figure"]
# Figure: two rows of test images: an image answered right, left, and its four nearest,
# by pixels above, by features below; titles are the true classes.
tiles, titles = [], []
for name in ("pixels", "features"):
    tiles += [first, *nearest[name][first][:4]]
    titles += [f"query, by {name}:\n{splits.classes[labels[first]]}"]
    titles += [splits.classes[labels[i]] for i in nearest[name][first][:4]]
plotting.show_images(pictures[tiles], titles, columns=5, size=1.1)
plt.show()

# %% [markdown]
# Near by pixels is what has like colours in like places, whatever it shows. On photos,
# of the ten nearest by pixels
# 22.6 %<!-- results: 05_*full-photos* same_class.pixels --> have its class, by
# features 79.9 %<!-- results: 05_*full-photos* same_class.features -->; chance is 10 %.
# Untrained features reach
# 20.0 %<!-- results: 05_*full-photos* same_class.untrained -->, no more than pixels.
#
# **So what:** a space of features is good if near images are of one class. Count
# neighbours, beside those of pixels and of an untrained twin.

# %% [markdown]
# ## Myths, tested
#
# ### "A trained network needs every layer"
#
# Delete the three residual blocks that cost least in section 3, statistics anew: each
# alone, then together.

# %%
# Three blocks gone: one at a time, and together
alone = anew["residual"]
cheapest = sorted(alone, key=alone.get)[-3:]
fewer = model
for block in cheapest:
    fewer = without_block(fewer, block)
    print(f"without {block} alone: {alone[block]:.1%}")
fresh = renormalised(fewer, train_batches)
together = {"stale": accuracy(fewer, images), "anew": accuracy(fresh, images)}
print(f"all three: {together['stale']:.1%}, statistics anew {together['anew']:.1%}")

# %% [markdown]
# Refuted in part. On photos three of the nine blocks can go for
# 2.1 points<!-- results: 05_*full-photos* cheapest.2 --> to
# 4.9 points<!-- results: 05_*full-photos* cheapest.0 --> each, as long as the others
# stay. (They were picked for that on these images.) Without all three,
# 73.2 %<!-- results: 05_*full-photos* together.anew --> are left of
# 87.0 %<!-- results: 05_*full-photos* intact.residual -->: more is lost than their
# costs added up.

# %% [markdown]
# ## Results
#
# An earlier form of the next cell made the recorded numbers.

# %%
# Keep this run's numbers
result = {
    "lesson": "05_visualisation",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,
    "num_images": num_images,
    "accuracy": intact["residual"],
}
hidden = [(found == labels).double().mean().item() for found in found_hidden.values()]
result |= {"exchanged": exchanged, "intact": intact, "lost": lost}
result |= {"stale": {name: [*found.values()] for name, found in stale.items()}}
result |= {"anew": {name: [*found.values()] for name, found in anew.items()}}
result |= {"hidden": hidden, "costs": [found._asdict() for found in costs.values()]}
result |= {"alike": {name: found.mean().item() for name, found in alike.items()}}
result |= {"same_class": same_class, "together": together}
result |= {"cheapest": [intact["residual"] - alone[block] for block in cheapest]}
save_result(session.run_dir(result["lesson"]) / "result.json", result, session.device)
session.report(f"accuracy {result['accuracy']:.1%}", data=splits.describe())

# %% [markdown]
# **What this does not show.** One network of each kind is one draw, and all of it was
# measured on 32 × 32 pixels.

# %% [markdown]
# ## Summary
#
# 1. *Answers.* A grid of inputs and answers shows slips that an accuracy hides.
# 2. *Feature maps.* Torchvision's extractor returns any operation's output by name.
# 3. *Blocks.* On photos, two thirds of the harm of a deleted residual block are, on
#    average, stale statistics: estimate them anew. A deleted plain block costs most of
#    the accuracy, on average.
# 4. *Grad-CAM.* Maps weighted by mean gradients, on one scale. Tested twice: hide what
#    is bright, beside controls; randomise the weights.
# 5. *Features.* Count neighbours of the same class, beside pixels and an untrained
#    twin. A t-SNE plot is no measure.

# %% [markdown]
# ## Exercises
#
# The first lacks the last step, the second two, the third all.
#
# ### ★ Good company
#
# Return the share of each point's `k` nearest neighbours that have its own label, over
# all points.
#
# Expected: 1.0 for two far clouds of one label each.


# %% tags=["exercise"]
# Finish the function: the share of neighbours with the point's own label
def same_class_share(features: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Return the share for features (N, C) and labels (N,)."""
    distances = torch.cdist(features, features)  # (N, N)
    distances.fill_diagonal_(float("inf"))  # nobody is his own neighbour
    nearest = distances.argsort(1)  # the nearest first
    nearest = nearest[:, :k]  # (N, k)
    raise NotImplementedError  # the last step


check.same_class_share(same_class_share)


# %% tags=["solution"]
# Solution
def same_class_share(features: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Return the share for features (N, C) and labels (N,)."""
    distances = torch.cdist(features, features)  # (N, N)
    distances.fill_diagonal_(float("inf"))  # nobody is his own neighbour
    nearest = distances.argsort(1)  # the nearest first
    nearest = nearest[:, :k]  # (N, k)
    return (labels[nearest] == labels[:, None]).float().mean().item()


check.same_class_share(same_class_share)

# %% [markdown]
# ### ★★ Grad-CAM without a gradient
#
# Our networks end in a mean over the positions and one linear layer, so
# $z_k = b_k + \sum_c W_{kc} \cdot \text{mean}(A^c)$. If one position of $A^c$ grows by
# 1, $z_k$ grows by $W_{kc}/hw$: that is the gradient (Zhou et al., 2016).
#
# Expected: the same maps as `explain.grad_cam` of the last stage.


# %% tags=["exercise"]
# Finish the function: two steps are missing
def class_activation(
    maps: torch.Tensor, fc_weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return maps (B, h, w) from maps (B, C, h, w), weights (K, C), classes (B,)."""
    positions = maps.shape[2] * maps.shape[3]
    weights = fc_weight[targets]  # (B, C)
    weights = weights / positions
    raise NotImplementedError  # two steps: the weighted sum, and the cut


check.class_activation(class_activation)


# %% tags=["solution"]
# Solution
def class_activation(
    maps: torch.Tensor, fc_weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return maps (B, h, w) from maps (B, C, h, w), weights (K, C), classes (B,)."""
    positions = maps.shape[2] * maps.shape[3]
    weights = fc_weight[targets]  # (B, C)
    weights = weights / positions
    weighted = (weights[:, :, None, None] * maps).sum(1)  # (B, h, w)
    return F.relu(weighted)


check.class_activation(class_activation)

# %% [markdown]
# ### ★★★ Ask the network instead
#
# An explanation without gradient (Zeiler and Fergus, 2013): cover a square with zeros,
# and see how far the logit of the class *falls*. In a copy, `images.clone()`, cover
# `[:, :, top : top + size, left : left + size]`; return the logits without the cover
# minus those with it. The logits are, as in `grad_cam`,
# `network(images).gather(1, targets[:, None])[:, 0]`.
#
# Expected: shape (B,), positive where the square spoke for the class, else negative.


# %% tags=["exercise"]
# Write the function
def fall_without(network, images, targets, top, left, size):
    """Return how far the logit of `targets` (B,) falls without the square, (B,)."""
    raise NotImplementedError


check.fall_without(fall_without)


# %% tags=["solution"]
# Solution
def fall_without(network, images, targets, top, left, size):
    """Return how far the logit of `targets` (B,) falls without the square, (B,)."""
    covered = images.clone()
    covered[:, :, top : top + size, left : left + size] = 0
    whole = network(images).gather(1, targets[:, None])[:, 0]
    rest = network(covered).gather(1, targets[:, None])[:, 0]
    return whole - rest


check.fall_without(fall_without)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. Without one block, a residual network falls from 86 % to 45 %. With its
# statistics estimated anew, and no weight changed, it has 79 %. What follows?**
#
# <details><summary>The block was worth 41 points.</summary>
#
# **No.** Most of the fall came from norms behind the gap that divided by a standard
# deviation which no longer fits. That harm is undone without the block.
#
# </details>
# <details><summary>Estimating statistics has trained the network again.</summary>
#
# **No.** No weight changed, and no label was used. The means and variances are those of
# the
# network as it is.
#
# </details>
# <details><summary>What the block computed is worth about 7 points here.</summary>
#
# **Right.** That is what stays lost when the rest of the network computes with
# statistics of its own inputs.
#
# </details>
# <details><summary>Nothing: BatchNorm adapts by itself in eval().</summary>
#
# **No.** In `eval()` BatchNorm keeps the statistics that it has stored, whatever comes
# in.
#
# </details>

# %% [markdown]
# **2. Delete a block where the shape stays, and estimate the statistics anew. Why does
# the residual network keep more of its accuracy than the plain one?**
#
# <details><summary>Only one term is missing from the sum that the next block
# expects.</summary>
#
# **Right.** What earlier blocks added is still there. In the plain network the next
# block gets an input that the missing block was to transform.
#
# </details>
# <details><summary>Its blocks change so little that none of them matters.</summary>
#
# **No.** Some blocks cost it a good deal, too; and several together more than their
# costs added up.
#
# </details>
# <details><summary>The plain network's statistics cannot be estimated.</summary>
#
# **No.** They can, and were. What its next block expects as input is missing all the
# same.
#
# </details>

# %% [markdown]
# **3. Which finding speaks against a heat map as an account of what was learnt?**
#
# <details><summary>Hiding its bright quarter costs more than hiding the
# centre.</summary>
#
# **No.** That speaks for it: the map knows more of its image than that things are in
# the middle.
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

# %% [markdown]
# **4. In a t-SNE picture of features, one class is a small cluster far from all others.
# What follows?**
#
# <details><summary>Its images are more alike than those of other classes.</summary>
#
# **No.** t-SNE evens out widths. In deep dive 05b a wide cloud and a narrow one come
# out about equally wide.
#
# </details>
# <details><summary>Little: count neighbours in the full space.</summary>
#
# **Right.** The share of neighbours of the same class needs no picture, and can be
# compared with chance, pixels and an untrained network.
#
# </details>
# <details><summary>It is the class least often mistaken for another.</summary>
#
# **No.** Mistakes are counted from answers, as in lesson 04. How far apart t-SNE puts
# clusters says little.
#
# </details>

# %% [markdown]
# **5. To judge trained features, somebody compares them with those of a network as
# PyTorch builds it, in eval(). What is unfair?**
#
# <details><summary>Random weights give the same features for every image, so there is
# nothing to compare.</summary>
#
# **No.** They differ from image to image, and random features can be better than
# chance.
#
# </details>
# <details><summary>Its BatchNorm layers do nothing: no statistics were
# estimated.</summary>
#
# **Right.** The stored mean is 0 and the variance 1. Estimate them with `update_bn`,
# and only what was learnt differs.
#
# </details>
# <details><summary>Nothing: neither network sees a label.</summary>
#
# **No.** Neither needs a label to compute features, but one's norms divide by measured
# deviations, the other's by 1. Two things differ, not one.
#
# </details>

# %% [markdown]
# ## References
#
# - M. Zeiler, R. Fergus, *Visualizing and Understanding Convolutional Networks*, 2013,
#   arXiv 1311.2901.
# - W. Samek et al., *Evaluating the visualization of what a Deep Neural Network has
#   learned*, 2015, arXiv 1509.06321.
# - B. Zhou et al., *Learning Deep Features for Discriminative Localization*, 2016,
#   arXiv 1512.04150.
# - A. Veit et al., *Residual Networks Behave Like Ensembles of Relatively Shallow
#   Networks*, 2016, arXiv 1605.06431.
# - R. Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via
#   Gradient-based Localization*, 2017, arXiv 1610.02391.
# - J. Adebayo et al., *Sanity Checks for Saliency Maps*, 2018, arXiv 1810.03292.
# - L. van der Maaten, G. Hinton, *Visualizing Data using t-SNE*, JMLR 9, 2008.

# %% [markdown]
# **Further.** How much of the image does one position see, how flat is the valley, and
# what does t-SNE do to distances? [Deep dive 05b](05b_receptive_field_and_loss.ipynb).
#
# **Next.** [Lesson 06](06_transfer_learning.ipynb) puts a trained network to new use:
# it learns to tell flowers apart.
