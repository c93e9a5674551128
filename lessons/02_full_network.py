# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · The full network
#
# **After this lesson you can**
#
# 1. build any ResNet or ResNeXt from a list of four numbers, and say where its
#    dashed blocks fall;
# 2. choose a stem for the size of the images, and give the reason;
# 3. trace the shapes from image to logits, with and without the top;
# 4. count parameters and multiply-adds, and read a ResNet against a VGG;
# 5. load somebody else's weights, and find the first layer where two networks differ.
#
# **Know first:** the blocks of [Lesson 01](01_residual_blocks.ipynb): `BasicBlock`,
# `Bottleneck`, solid and dashed shortcuts, BatchNorm.
#
# **Reading time** 60 minutes · **run time** quick CPU about 23 s (two quiet
# cores), full GPU not measured

# %% tags=["setup"]
import copy
import time
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
import torchinfo
import torchvision
from torch import nn

from course_classroom.checks import lesson_02 as check
from course_utils import models, plotting
from course_utils.models.compare import first_difference
from course_utils.session import start

session = start(seed=0)
plotting.course_style()

# %% [markdown]
# ## A question first
#
# VGG-19 was the deep network of 2014: sixteen convolutions, three fully connected
# layers, and images of 224 × 224 pixels. ResNet-34 has 34 layers, ResNet-152 has 152.
# The number counts the stem's convolution, those of the branches, and the classifier.
#
# Write down your guesses before you run anything:
#
# - ResNet-34 needs … times the multiplications of VGG-19.
# - ResNet-152 needs … times the multiplications of VGG-19.
# - ResNet-50 has … times the parameters of ResNet-34.
#
# The answers are computed in "The family, counted". On the way there you build the
# network that the whole family is made from.

# %% [markdown]
# ## 1 · Two stems
#
# Before any residual block an image meets the **stem**. Photos of ImageNet enter with
# 224 × 224 pixels. A 3×3 convolution with 64 channels at that size is expensive, and
# neighbouring pixels say nearly the same. So the stem shrinks the image first: a 7×7
# convolution with stride 2, then a 3×3 max pool with stride 2. One position in
# sixteen is left.
#
# CIFAR images have 32 × 32 pixels to begin with. Shrinking them by four leaves 8 × 8
# before the first block. Their stem is one 3×3 convolution with stride 1 and no pool.


# %%
def make_stem(kind):
    """Return the first convolution and the pooling that follows its norm."""
    if kind == "imagenet":
        conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        return conv1, nn.MaxPool2d(3, stride=2, padding=1)
    if kind == "cifar":
        conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        return conv1, nn.Identity()
    raise ValueError(f"Unknown stem {kind!r}; use 'imagenet' or 'cifar'.")


for kind in ("imagenet", "cifar"):
    conv1, pool = make_stem(kind)
    for size in (224, 32):
        images = torch.zeros(1, 3, size, size)
        height = pool(conv1(images)).shape[-1]
        print(f"{kind:>8} stem: {size} × {size} pixels → {height} × {height} positions")

# %% [markdown]
# ### Why 7×7, and not three 3×3?
#
# VGG taught that three 3×3 convolutions see as far as one 7×7 and have fewer weights.
# Does that hold here? Two tools give the answer.
#
# A **multiply-add** is one weight times one number, added to a sum. A convolution
# spends $k^2 C_\text{in} / \text{groups}$ of them on each number it puts out (groups is
# 1 until section 4). We count with a **forward hook**: a function that PyTorch calls
# whenever a layer has run, with what went in and what came out.
#
# The **receptive field** is the patch of pixels that one output can see. We measure it
# with a gradient: pixels outside it get exactly zero.


# %%
def count_multiply_adds(model, image_size=224):
    """Return the multiply-adds for one image, by name of the layer."""
    counts, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            weights_each = layer.weight[0].numel()  # k² · C_in / groups
            counts[name] = weights_each * output[0].numel()

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            handles.append(layer.register_forward_hook(hook_for(name)))
    device, was_training = next(model.parameters()).device, model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, image_size, image_size, device=device))
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return counts


def receptive_field(convolutions, size=33):
    """Return the side of the patch of pixels that one output position sees."""
    image = torch.zeros(1, 3, size, size, requires_grad=True)
    output = convolutions(image)
    middle = output.shape[-1] // 2
    output[0, :, middle, middle].sum().backward()
    return (image.grad[0].abs().sum(0) > 0).any(dim=1).sum().item()


# %%
def conv3(in_channels, out_channels, stride=1):
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


stems = {
    "7×7, stride 2": nn.Sequential(make_stem("imagenet")[0]),
    "one 3×3, stride 2": nn.Sequential(conv3(3, 64, 2)),
    "three 3×3, stride 2 first": nn.Sequential(
        conv3(3, 32, 2), conv3(32, 32), conv3(32, 64)
    ),
    "three 3×3, stride 2 last": nn.Sequential(
        conv3(3, 32), conv3(32, 32), conv3(32, 64, 2)
    ),
}
print("convolutions of the stem      sees  weights  M multiply-adds")
for name, stem in stems.items():
    sees = receptive_field(stem)
    weights = sum(p.numel() for p in stem.parameters())
    millions = sum(count_multiply_adds(stem).values()) / 1e6
    print(f"{name:26} {f'{sees} × {sees}':>7} {weights:8,} {millions:16.0f}")

# %% [markdown]
# Read the table slowly; it surprises people who know VGG. The saving of three 3×3
# convolutions, $27C^2$ weights against $49C^2$, needs $C$ channels at both ends. The
# stem has only three at its input, so a 7×7 kernel is cheap there and the two extra
# layers with 32 channels are not.
#
# Three 3×3 convolutions see as far as one 7×7 if the stride comes last. With the stride
# in the first of them, as in ResNet-C (T. He et al. 2018), each later step is two
# pixels wide, and they see further. ResNet-C was reported to be more accurate, at the
# price that stands in the table. The paper's 7×7 was the cheap way to look at a large
# patch.

# %% [markdown]
# ## 2 · The whole network
#
# Four **stages** follow the stem. The paper calls them conv2 to conv5, code calls them
# `layer1` to `layer4`. Inside a stage all blocks have the same shape, so a stage is one
# special first block and then copies of an ordinary one.
#
# The first block may have two jobs: halve height and width (its stride), and widen the
# channels. If it does either, the input no longer fits the sum, and its shortcut needs
# a 1×1 projection: the dashed shortcut of Lesson 01. The rule is one line of code. In
# torchvision and in `course_utils` this function is a method, `_make_layer`.

# %% [markdown]
# From here on the blocks come from `models`. They are Lesson 01's, and also accept
# `groups` and `base_width`, which section 4 explains; `**widths` hands these on.


# %%
def make_layer(block, in_channels, channels, num_blocks, stride=1, **widths):
    """Return one stage: `num_blocks` blocks, of which the first may be dashed."""
    out_channels = channels * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:  # the shape changes: dashed
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    blocks = [block(in_channels, channels, stride, downsample, **widths)]
    for _ in range(1, num_blocks):
        blocks.append(block(out_channels, channels, **widths))
    return nn.Sequential(*blocks)


# %% [markdown]
# ### The star in `nn.Sequential(*blocks)`
#
# The star unpacks the list: `nn.Sequential` takes the blocks one by one, as separate
# arguments. What if you leave it out, or keep the Python list as it is? The second
# mistake is the dangerous one. Guess what it prints.


# %%
class KeepsAList(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks


blocks = [models.BasicBlock(64, 64) for _ in range(3)]
try:
    nn.Sequential(blocks)
except TypeError as error:
    print("nn.Sequential(blocks)  raises:", error)
for name, module in {
    "nn.Sequential(*blocks)": nn.Sequential(*blocks),
    "a plain Python list": KeepsAList(blocks),
}.items():
    found = sum(p.numel() for p in module.parameters())
    print(f"{name:22} has {found:,} parameters to train")

# %% [markdown]
# A plain list hides its blocks: no optimiser would train them, `.to(device)` would
# leave them behind, and no checkpoint would hold them. All of that without an error.
#
# Now the whole network. `layers` says how many blocks each stage has; `(3, 4, 6, 3)`
# is the row of the paper's Table 1 for 34 and for 50 layers. `groups` and
# `width_per_group` are for ResNeXt, and `include_top=False` leaves pooling and
# classifier out; each has its own experiment below. The shapes in `forward` are for
# basic blocks, the ImageNet stem and images of 224 × 224 pixels.


# %%
class ResNet(nn.Module):
    """Return logits (B, num_classes) for images (B, 3, H, W)."""

    def __init__(
        self,
        block,
        layers,
        num_classes=1000,
        *,
        groups=1,
        width_per_group=64,
        stem="imagenet",
        include_top=True,
    ):
        super().__init__()
        widths = {"groups": groups, "base_width": width_per_group}
        grow = block.expansion
        self.conv1, self.maxpool = make_stem(stem)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.layer1 = make_layer(block, 64, 64, layers[0], **widths)
        self.layer2 = make_layer(block, 64 * grow, 128, layers[1], 2, **widths)
        self.layer3 = make_layer(block, 128 * grow, 256, layers[2], 2, **widths)
        self.layer4 = make_layer(block, 256 * grow, 512, layers[3], 2, **widths)
        self.include_top = include_top
        if include_top:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(512 * grow, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 64, 112, 112)
        x = self.maxpool(x)  # (B, 64, 56, 56)
        x = self.layer1(x)  # (B, 64, 56, 56)
        x = self.layer2(x)  # (B, 128, 28, 28)
        x = self.layer3(x)  # (B, 256, 14, 14)
        x = self.layer4(x)  # (B, 512, 7, 7)
        if not self.include_top:
            return x
        x = self.avgpool(x).flatten(1)  # (B, 512)
        return self.fc(x)  # (B, num_classes)


# %% [markdown]
# ### Where the dashed blocks fall
#
# Predict before you look: which blocks of ResNet-34 are dashed, and does ResNet-50 have
# more of them? The figure is drawn from the networks themselves. They are built on
# PyTorch's **meta device**, whose tensors have a shape and no numbers, so that even
# ResNet-101 costs no memory.

# %%
# Figure: four rows of squares, one for each network from ResNet-18 to ResNet-101; each
# square is a block, in the order from the stem on, coloured by its stage. A filled
# square has a solid shortcut, an empty one with a dashed outline a dashed shortcut.
NETWORKS = {
    "ResNet-18": (models.BasicBlock, (2, 2, 2, 2)),
    "ResNet-34": (models.BasicBlock, (3, 4, 6, 3)),
    "ResNet-50": (models.Bottleneck, (3, 4, 6, 3)),
    "ResNet-101": (models.Bottleneck, (3, 4, 23, 3)),
}
fig, axis = plt.subplots(figsize=(9, 2.6))
for row, (name, (block, layers)) in enumerate(NETWORKS.items()):
    with torch.device("meta"):
        network = ResNet(block, layers)
    column, dashed = 0, []
    for stage in range(1, 5):
        for index, each in enumerate(getattr(network, f"layer{stage}")):
            projected = each.downsample is not None
            style = {"facecolor": f"C{stage - 1}"} if not projected else {}
            style |= {"edgecolor": f"C{stage - 1}", "fill": not projected}
            style["linestyle"] = "--" if projected else "-"
            axis.add_patch(plt.Rectangle((column, row), 0.8, 0.6, lw=2, **style))
            column += 1
            if projected:
                dashed.append(f"layer{stage}.{index}")
    print(f"{name:10} dashed: {', '.join(dashed)}")
axis.set(xlim=(-0.5, 33.5), ylim=(4, -0.4), xlabel="block, counted from the stem")
axis.set_yticks([row + 0.3 for row in range(4)], NETWORKS)
axis.grid(False)

# %% [markdown]
# One square is one block; a dashed outline is a dashed shortcut; the colours are the
# stages, `layer1` to `layer4` from left to right.
#
# `layer2`, `layer3` and `layer4` begin with stride 2, so their first block is dashed in
# every network. `layer1` has stride 1: the pool has done the shrinking. With basic
# blocks 64 channels meet 64 channels, and the shortcut stays solid. Bottlenecks put out
# $4 \times 64 = 256$ channels, so their first block is dashed although its stride is 1.

# %% [markdown]
# ### The first weights
#
# The last lines of the constructor draw every convolution's weights from a normal
# distribution with variance
#
# $$\operatorname{Var}(w) = \frac{2}{k^2\,C_\text{out}} \qquad\text{(fan-out)}.$$
#
# ReLU throws half of a signal's power away; the 2 gives it back. $k^2 C_\text{out}$,
# the **fan-out**, counts the terms summed when the *gradient* passes back through the
# layer. **Fan-in**, $k^2 C_\text{in}$, counts the terms of the *forward* sum. We send
# noise through 33 convolutions that widen as ResNet-34 does (at half its widths, to
# save time), without norms and shortcuts, and measure the root mean square (RMS) on the
# way.


# %%
def signal_by_layer(initialise, seed):
    """Return the RMS of each convolution's output, and of its gradient."""
    torch.manual_seed(seed)
    widths = [3] + [32] * 7 + [64] * 8 + [128] * 12 + [256] * 6
    x, outputs = torch.randn(4, 3, 8, 8, device=session.device), []
    for channels in pairwise(widths):
        # circular: what leaves the map on the right comes back on the left, no zeros
        conv = nn.Conv2d(*channels, 3, padding=1, padding_mode="circular", bias=False)
        initialise(conv.weight)
        outputs.append(conv.to(session.device)(x))
        outputs[-1].retain_grad()
        x = F.relu(outputs[-1])
    (outputs[-1] * torch.randn_like(outputs[-1])).sum().backward()
    forward = torch.stack([y.detach().square().mean().sqrt() for y in outputs])
    backward = torch.stack([y.grad.square().mean().sqrt() for y in outputs])
    return forward.cpu(), backward.cpu()


# %%
# Figure: root mean square against the number of the convolution, on one logarithmic
# axis, in two panels: the outputs on the way forward, and their gradients on the way
# back. Three lines with bands over the seeds: PyTorch's default start, Kaiming fan-in
# and Kaiming fan-out.
SCHEMES = {
    "PyTorch's default": lambda weight: None,
    "Kaiming, fan-in": lambda weight: nn.init.kaiming_normal_(weight, mode="fan_in"),
    "Kaiming, fan-out": lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out"),
}
num_seeds = session.pick(quick=3, full=10)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for number, (name, initialise) in enumerate(SCHEMES.items()):
    signals = [signal_by_layer(initialise, seed) for seed in range(num_seeds)]
    for axis, runs in zip(axes, zip(*signals, strict=True), strict=True):
        logs = torch.stack(runs).log10()
        mean, spread, layers = logs.mean(0), logs.std(0), range(1, 34)
        axis.plot(
            layers, 10**mean, color=f"C{number}", label=f"{name} (n = {num_seeds})"
        )
        band = 10 ** (mean - spread), 10 ** (mean + spread)
        axis.fill_between(layers, *band, color=f"C{number}", alpha=0.2)
    forward, backward = (torch.stack(s).mean(0) for s in zip(*signals, strict=True))
    print(
        f"{name:18} output: last / first layer {forward[-1] / forward[0]:8.1e}"
        f"   gradient: first / last layer {backward[0] / backward[-1]:8.1e}"
    )
axes[0].set(yscale="log", xlabel="convolution", ylabel="RMS", title="output, forward")
axes[1].set(xlabel="convolution", title="gradient of the output, backward")
axes[1].legend()
plt.show()

# %% [markdown]
# Mean and standard deviation (of the logarithm) over the seeds, on one logarithmic
# scale. PyTorch's default, a smaller variance, loses the signal both ways, layer after
# layer. Fan-in is made to hold the outputs level; then the gradient doubles its power
# at each of the three widenings, $\sqrt 8 \approx 2.8$ in size in all. Few seeds hit
# that only roughly. Fan-out does the opposite. Either is good enough, as He et al.
# 2015b argue (section 2.2): such changes do not pile up with depth.
#
# In Lesson 01, section 6, the same start faded with depth: zero padding took a part of
# every sum near an edge. Circular padding leaves the sums whole.

# %% [markdown]
# Now put the norms back. A norm divides by the standard deviation it finds, so the
# scale of the weights before it should not matter at all. Then why initialise with
# care? We multiply every convolution of a ResNet-18 by ten.

# %%
torch.manual_seed(0)
network = ResNet(models.BasicBlock, (2, 2, 2, 2), 10, stem="cifar").to(session.device)
images = torch.randn(16, 3, 16, 16, device=session.device)
labels = torch.arange(16, device=session.device) % 10


def logits_and_gradient(network):
    network.zero_grad()
    logits = network(images)
    F.cross_entropy(logits, labels).backward()
    return logits.detach(), network.layer3[0].conv1.weight.grad.norm().item()


logits, gradient = logits_and_gradient(network)
with torch.no_grad():
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(10)
scaled_logits, scaled_gradient = logits_and_gradient(network)
change = ((scaled_logits - logits).abs().max() / logits.abs().max()).item()
print(f"weights × 10: largest change of a logit {change:.2%} of the largest logit")
print(f"weights × 10: gradient × {scaled_gradient / gradient:.3f}")

# %% [markdown]
# The logits hardly move (the rest is the small $\varepsilon$ inside the norm). The
# gradient shrinks by the factor by which the weights grew. So one step of the same
# learning rate changes weights that are ten times larger by a tenth as much: relative
# to the weights, a hundredth. With norms, the scale of the first weights no longer
# decides whether a signal arrives. It decides how fast the network learns at first.

# %% [markdown]
# ## 3 · From image to logits
#
# Follow one photo-sized image through ResNet-34. A hook on each child of the network
# writes down what comes out. Before you run it: where in the network are most of the
# numbers, near the image or near the logits?

# %%
torch.manual_seed(0)
network = ResNet(models.BasicBlock, (3, 4, 6, 3)).to(session.device).eval()
shapes = {}


def shape_hook(name):
    def hook(layer, inputs, output):
        shapes[name] = tuple(output.shape[1:])

    return hook


handles = [m.register_forward_hook(shape_hook(n)) for n, m in network.named_children()]
with torch.no_grad():
    logits = network(torch.randn(1, 3, 224, 224, device=session.device))
for handle in handles:
    handle.remove()
print(f"{'image':8} (3, 224, 224)      {3 * 224 * 224:9,} numbers")
for name, shape in shapes.items():
    print(f"{name:8} {shape!s:18} {torch.Size(shape).numel():9,} numbers")

# %% [markdown]
# From stage to stage height and width halve and the channels double. A quarter of the
# positions times twice the channels: half the numbers. The last map, 7 × 7, is averaged
# to one number a channel, and a single linear layer reads the classes from it.
#
# What does this rule do to the cost? A 3×3 convolution has $9C^2$ weights and uses each
# at $H \cdot W$ positions. Twice the channels means four times the weights; half the
# side means a quarter of the positions. Predict both bar charts.

# %%
# Figure: two bar charts of ResNet-34 with a bar for each part: conv1, layer1 to layer4,
# fc. Left: multiply-adds for one image. Right: parameters.
with torch.device("meta"):
    network = ResNet(models.BasicBlock, (3, 4, 6, 3))
counts = count_multiply_adds(network)
parts = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
blocks_in = dict(zip(parts[1:5], (3, 4, 6, 3), strict=True))
cost = {p: sum(c for n, c in counts.items() if n.split(".")[0] == p) for p in parts}
size = {p: sum(w.numel() for w in getattr(network, p).parameters()) for p in parts}

fig, axes = plt.subplots(1, 2, figsize=(9, 2.9))
axes[0].bar(parts, [cost[part] / 1e9 for part in parts])
axes[0].set(ylabel="multiply-adds (G)", title="cost for one image")
axes[1].bar(parts, [size[part] / 1e6 for part in parts], color="C1")
axes[1].set(ylabel="parameters (M)", title="size")
for part, number in blocks_in.items():
    print(
        f"{part}: {cost[part] / number / 1e6:4.0f} M multiply-adds and "
        f"{size[part] / number / 1e6:5.2f} M parameters a block (mean)"
    )

# %% [markdown]
# Cost and size of the parts of ResNet-34. A block costs about the same in every stage
# (the paper's second design rule, section 3.3), so a stage costs what its number of
# blocks says. The parameters sit at the end. The first and the last layer hardly count.
#
# ### Adaptive against fixed pooling
#
# The paper's last pool is 7 × 7, because 224-pixel photos end in 7 × 7 maps.
# `nn.AvgPool2d(7)` says that literally, and moves on in steps of 7 too.
# `nn.AdaptiveAvgPool2d((1, 1))` averages whatever arrives. For which image sizes does
# it matter?

# %%
with torch.device("meta"):
    backbone = ResNet(models.BasicBlock, (2, 2, 2, 2), include_top=False)
    fc = nn.Linear(512, 1000)
fixed, adaptive = nn.AvgPool2d(7), nn.AdaptiveAvgPool2d((1, 1))


def outcome(pool, features):
    for step in (pool, nn.Flatten(), fc):
        try:
            features = step(features)
        except RuntimeError:
            return f"error in {type(step).__name__}"
    return f"logits {tuple(features.shape)}"


print("pixels   last map   adaptive pool      fixed pool           ... sees of the map")
for image_size in (160, 224, 256, 320, 448):
    features = backbone(torch.zeros(1, 3, image_size, image_size, device="meta"))
    side = features.shape[-1]
    shown = f"{side} × {side}", outcome(adaptive, features), outcome(fixed, features)
    seen = f"{(side // 7 * 7 / side) ** 2:.0%}" if "logits" in shown[2] else ""
    print(f"{image_size:6}   {shown[0]:10} {shown[1]:18} {shown[2]:20} {seen:>6}")

# %% [markdown]
# With a fixed pool, maps below 7 × 7 fail in the pool and maps of 14 × 14 or more in
# the linear layer. Those in between are the trap: they run, and the pool silently
# ignores the right and lower edge of the map. The adaptive pool takes all of them. It
# makes a network accept other sizes; whether it is also accurate there depends on the
# sizes it was trained on.
#
# ### Without the top
#
# The map before the pool describes *what* is *where* in an image. Networks that detect
# objects, or that learn new classes from few photos, start from this map:
# `include_top=False` returns it.

# %%
torch.manual_seed(0)
full = ResNet(models.BasicBlock, (2, 2, 2, 2)).eval()
backbone = ResNet(models.BasicBlock, (2, 2, 2, 2), include_top=False).eval()
left_over = backbone.load_state_dict(full.state_dict(), strict=False)
print("weights that found no place:", left_over.unexpected_keys)
with torch.no_grad():
    for height, width in ((224, 224), (160, 320)):
        images = torch.randn(1, 3, height, width)
        features = backbone(images)
        rebuilt = full.fc(features.mean(dim=(2, 3)))
        gap = (rebuilt - full(images)).abs().max().item()
        print(
            f"({height}, {width}) → features {tuple(features.shape)}; "
            f"mean, then fc: {gap:.1g} away from the full network's logits"
        )

# %% [markdown]
# The features hold everything that the classifier sees. To use them for five new
# classes, one **freezes** the backbone, so that no training step changes its weights,
# and trains a new linear layer. There is a trap: switching the gradients off does not
# stop the norms' running statistics.

# %%
for parameter in backbone.parameters():
    parameter.requires_grad_(False)
head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 5))
model = nn.Sequential(backbone, head)
trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
everything = sum(p.numel() for p in model.parameters())
print(f"to train: {trainable:,} of {everything:,} parameters")
images = torch.randn(8, 3, 64, 64) + 1
for mode in ("eval", "train"):
    before = backbone.bn1.running_mean.clone()
    backbone.train(mode == "train")
    with torch.no_grad():
        model(images)
    moved = (backbone.bn1.running_mean - before).abs().max().item()
    print(f"frozen, backbone.{mode}(): running means moved by {moved:.3f}")

# %% [markdown]
# A frozen backbone must also be in evaluation mode, or it drifts with every batch. You
# build one that stays there in the last exercise.
#
# ### The wrong stem, measured
#
# Back to small images. What happens to 32 × 32 pixels behind the ImageNet stem? They
# run without an error. We ask each parameter whether it can matter: one backward pass
# on random images, and we count the parameters whose gradient is exactly zero.

# %%
torch.manual_seed(0)
images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
for stem in ("imagenet", "cifar"):
    network, last = ResNet(models.BasicBlock, (2, 2, 2, 2), 10, stem=stem), []
    network.layer4.register_forward_hook(
        lambda layer, i, out, last=last: last.append(out)
    )
    F.cross_entropy(network(images), labels).backward()
    idle = sum((p.grad == 0).sum().item() for p in network.parameters())
    share = idle / sum(p.numel() for p in network.parameters())
    side = last[0].shape[-1]
    print(
        f"{stem:>8} stem: last map {side} × {side}, {share:.1%} of all parameters idle"
    )

# %% [markdown]
# With the ImageNet stem the last stage works on a single position. A 3×3 kernel centred
# there has eight of its nine weights over the zero padding, whatever the image shows.
# They never learn. A tutorial that trains an ImageNet ResNet on raw CIFAR images pays
# for those parameters and leaves them idle.

# %% [markdown]
# ## 4 · The family, counted
#
# Two views of a network come with your tools. `print(model)` lists the layers in the
# order in which the constructor made them. `torchinfo.summary` runs the network and
# lists what really happened, with shapes and counts. Look for the ReLUs and the
# shortcut in both.

# %%
network = models.resnet18()  # print(network) lists all of it; here is one block
block = network.layer2[0]
print(block, "\n")
run = torchinfo.summary(
    block,
    input_size=(1, 64, 56, 56),
    row_settings=("var_names",),
    device="cpu",
    verbose=0,
)
print("\n".join(str(run).splitlines()[1:-10]))

# %%
summary = torchinfo.summary(
    models.resnet34(),
    input_size=(1, 3, 224, 224),
    depth=2,
    col_names=("output_size", "num_params", "mult_adds"),
    col_width=18,
    row_settings=("var_names",),
    device="cpu",
    verbose=0,
)
summary

# %% [markdown]
# `print` shows one ReLU, because the constructor made one; the second list has it
# twice, because `forward` calls it twice. Neither shows the addition. `downsample` is a
# line like any other, and a solid shortcut leaves no line at all. For the shape of a
# network, read its `forward`.
#
# `torchinfo` puts a number on the cost: **multiply-adds**. (Its "Units.GIGABYTES" is a
# slip; the unit is $10^9$ of them.) Papers often write "FLOPs" and mean the same thing;
# strictly, one multiply-add is two operations. Now count the whole family, beside the
# paper's Table 1. Our own counter needs no numbers in the weights, so the meta device
# does.

# %%
PAPER_GFLOPS = {  # He et al. 2015, Table 1, "FLOPs", which are multiply-adds
    "resnet18": 1.8,
    "resnet34": 3.6,
    "resnet50": 3.8,
    "resnet101": 7.6,
    "resnet152": 11.3,
}


def stride_on_the_first_1x1(network):
    """Move each bottleneck's stride to where the paper's text has it, in place."""
    for module in network.modules():
        if isinstance(module, models.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)


print("network     parameters   G multiply-adds   stride on 1×1   paper")
giga = {}
for name, paper in PAPER_GFLOPS.items():
    with torch.device("meta"):
        network = getattr(models, name)()
    parameters = sum(p.numel() for p in network.parameters())
    giga[name] = sum(count_multiply_adds(network).values()) / 1e9
    stride_on_the_first_1x1(network)
    moved = sum(count_multiply_adds(network).values()) / 1e9
    print(f"{name:10} {parameters:11,} {giga[name]:17.2f} {moved:15.2f} {paper:7.1f}")
print(
    f"\ntorchinfo: ResNet-34 has {summary.total_params:,} parameters and "
    f"{summary.total_mult_adds / 1e9:.2f} G multiply-adds"
)

# %% [markdown]
# Ours and `torchinfo`'s agree. With bottlenecks the paper's numbers are lower, and the
# fourth column says why. The paper's text puts the stride on the first 1×1 convolution
# of a stage; then its 3×3 already works on the small map. Most code, torchvision's and
# ours, has the stride on the 3×3, which lets it see every pixel and costs a little
# more. People call this version **v1.5**. Parameters do not change: stride has no
# weights.

# %% [markdown]
# What is left is in the last digit. The paper's 34 layers have parameter-free
# shortcuts, which saves a little; its 3.8 for 50 layers looks cut off, not rounded.
#
# The first 1×1 with stride 2 looks at one position in four and never sees the others.
# Lesson 01 gives the reason for the change; this is the price.

# %% [markdown]
# ### ResNeXt: the same network with groups
#
# A **grouped** convolution with $g$ groups cuts its channels into $g$ parts that do not
# see each other. Its weights: $k^2 \cdot C_\text{in}/g \cdot C_\text{out}$. ResNeXt
# (Xie et al. 2016) puts 32 groups into the 3×3 of each bottleneck and spends what it
# saves on width. In "32×4d" each of the 32 groups is 4 channels wide in the first
# stage. The 64 below is ResNet's own width there, so that one group of 64 changes
# nothing:
#
# $$\text{width} = \text{channels} \cdot \frac{\texttt{width\_per\_group}}{64} \cdot
# \texttt{groups}.$$
#
# Compute the width of the first stage of 32×4d and of 32×8d, then run.

# %%
VARIANTS = {  # layers, groups, width of a group
    "ResNet-50": ((3, 4, 6, 3), 1, 64),
    "ResNeXt-50 32×4d": ((3, 4, 6, 3), 32, 4),
    "ResNet-101": ((3, 4, 23, 3), 1, 64),
    "ResNeXt-101 32×8d": ((3, 4, 23, 3), 32, 8),
}
print(
    "network            widths of the 3×3        3×3's weights  parameters  G m.-adds"
)
for name, (layers, groups, width_per_group) in VARIANTS.items():
    with torch.device("meta"):
        network = ResNet(
            models.Bottleneck, layers, groups=groups, width_per_group=width_per_group
        )
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    widths = ", ".join(str(stage[0].conv2.out_channels) for stage in stages)
    inner = stages[0][0].conv2.weight.numel()
    parameters = sum(p.numel() for p in network.parameters())
    giga[name] = sum(count_multiply_adds(network).values()) / 1e9
    print(f"{name:18} {widths:22} {inner:14,} {parameters:13,} {giga[name]:8.2f}")

# %% [markdown]
# ResNeXt-50 32×4d was made to cost what ResNet-50 costs: the ResNeXt paper's Table 1
# gives 25.0 M against 25.5 M parameters, 4.2 G against 4.1 G multiply-adds. Compare
# with the two rows above. In 32 parts a 3×3 twice as wide has only an eighth of the
# weights; the two 1×1 convolutions beside it, twice as large, use that saving up. In
# 32×8d the groups are twice as wide; torchvision ships weights for it.
#
# ### Beside VGG
#
# Time for your predictions. The paper's error rates (ImageNet validation, Table 3)
# stand beside costs computed here. **Top 1**: only the first guess counts. **Ten
# crops**: the scores of ten cut-outs of each photo are averaged.

# %%
# Figure: two panels. Left: a horizontal bar for each network, its multiply-adds for one
# image; VGGs and ResNets in two colours, ordered by cost. Right: a disc for each
# network, the paper's top-1 error against multiply-adds; the area of a disc grows with
# its parameters.
TOP1_ERROR = {  # He et al. 2015, Table 3, 10-crop; ResNet-34 with option B
    "vgg16": 28.07,
    "resnet34": 24.52,
    "resnet50": 22.85,
    "resnet101": 21.75,
    "resnet152": 21.43,
}
parameters_of, dense_share = {}, {}
for name in ("vgg16", "vgg19", *PAPER_GFLOPS):
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    giga[name] = sum(count_multiply_adds(network).values()) / 1e9
    parameters_of[name] = sum(p.numel() for p in network.parameters())
    dense = [m for m in network.modules() if isinstance(m, nn.Linear)]
    in_dense = sum(p.numel() for layer in dense for p in layer.parameters())
    dense_share[name] = in_dense / parameters_of[name]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), width_ratios=(1.1, 1))
names = sorted(parameters_of, key=giga.get)
colours = ["C1" if name.startswith("vgg") else "C0" for name in names]
axes[0].barh(names, [giga[name] for name in names], color=colours)
axes[0].set_xlabel("multiply-adds for one image (G)")
for name, error in TOP1_ERROR.items():
    colour, area = ("C1" if "vgg" in name else "C0"), parameters_of[name] / 4e5
    axes[1].scatter(giga[name], error, area, color=colour, alpha=0.7)
    axes[1].annotate(
        name, (giga[name], error), xytext=(4, 10), textcoords="offset points"
    )
axes[1].set(xlim=(0, 19), ylim=(20.5, 30), xlabel="multiply-adds (G)")
axes[1].set_ylabel("top-1 error in the paper (%)")
plt.show()

# %%
for name in ("resnet34", "resnet152"):
    print(f"{name}: {giga[name] / giga['vgg19']:.2f} × VGG-19's multiply-adds")
more = parameters_of["resnet50"] / parameters_of["resnet34"]
print(f"resnet50: {more:.2f} × ResNet-34's parameters")
for name in ("vgg16", "vgg19", "resnet34"):
    print(
        f"{name}: {parameters_of[name] / 1e6:.1f} M parameters, "
        f"{dense_share[name]:.0%} of them in fully connected layers"
    )

# %% [markdown]
# Left: cost, VGG in the second colour. Right: the paper's error against our count; the
# area of a disc grows with the parameters.
#
# Were you close? Two design decisions explain it. The stem and the pool make every
# later layer work on small maps, while VGG runs its first four convolutions at 224 ×
# 224 and 112 × 112 pixels. And one averaged number a channel feeds a single linear
# layer, where VGG flattens a whole 7 × 7 map into 4096 units. Depth is cheap if each
# layer is cheap. (The paper quotes 15.3 G for VGG-16 and 19.6 G for VGG-19.)

# %% [markdown]
# And ResNet-50 against 34? Both have $3 + 4 + 6 + 3$ blocks, and a bottleneck has about
# the weights of a basic block (Lesson 01). Its wider projections and a classifier on
# four times the channels make the difference.

# %% [markdown]
# ## 5 · Against torchvision
#
# How do you know that your network is a ResNet? Ask one that half the world uses. If
# the names and shapes of all weights agree, torchvision's **state dict**, the
# dictionary from names to tensors, loads into yours with `strict=True`. If the
# arithmetic agrees too, the same images give the same logits.
#
# Nothing is downloaded: torchvision's network starts from random weights. But fresh
# norms have mean 0 and variance 1, and with these many a mistake stays invisible. So we
# stir them first.


# %%
def stir_norms(network):
    """Give every norm statistics and weights as if it had been trained."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)


# %%
wide = {"groups": 32, "width_per_group": 4}
CANDIDATES = {
    "resnet18": (models.BasicBlock, (2, 2, 2, 2), {}),
    "resnext50_32x4d": (models.Bottleneck, (3, 4, 6, 3), wide),
    "resnet50": (models.Bottleneck, (3, 4, 6, 3), {}),
}
torch.manual_seed(0)
images = torch.randn(2, 3, 64, 64, device=session.device)
largest_gap = 0.0
for name, (block, layers, widths) in CANDIDATES.items():
    reference = getattr(torchvision.models, name)(weights=None).eval()
    stir_norms(reference)
    mine = ResNet(block, layers, **widths).eval()
    answer = mine.load_state_dict(reference.state_dict(), strict=True)
    mine, reference = mine.to(session.device), reference.to(session.device)
    with torch.no_grad():
        gap = (mine(images) - reference(images)).abs().max().item()
    largest_gap = max(largest_gap, gap)
    print(f"{name}: {answer}, largest difference of a logit {gap:.1g},")
    print("    first difference:", first_difference(mine, reference, images))
print("\nVerdict:", "they agree." if largest_gap < 1e-5 else "they differ.")

# %% [markdown]
# Where they agree, every checkpoint that torchvision publishes for them fits into the
# class you have read.
#
# And when it does not? The logits tell *that* something is wrong, not *where*.
# `first_difference` runs both networks with a hook on every layer and names the first
# one whose output differs. Try it on damage that is common in real code: we damage
# copies of the last pair above, ResNet-50. Predict: which of them still load with
# `strict=True`?

# %%
DAMAGE = {
    "stride on the first 1×1": stride_on_the_first_1x1,
    "another ε in one norm": lambda net: setattr(net.layer3[0].bn2, "eps", 1e-3),
    "no ReLU after the stem": lambda net: setattr(net, "relu", nn.Identity()),
    "no padding in the pool": lambda net: setattr(net.maxpool, "padding", 0),
    "a wider classifier": lambda net: setattr(net, "fc", nn.Linear(2048, 1001)),
}
for what, damage in DAMAGE.items():
    broken = copy.deepcopy(mine)  # `mine` and `reference` are still the ResNet-50s
    damage(broken)
    try:
        broken.load_state_dict(reference.state_dict(), strict=True)
        loads = "loads"
    except RuntimeError:
        loads = "does not load"
    broken = broken.to(session.device)
    print(f"{what:24} {loads:14} {first_difference(broken, reference, images)}")

# %% [markdown]
# `strict=True` compares names and shapes of weights. Strides, padding, activations and
# $\varepsilon$ have no weights, so it is blind to them. A loaded checkpoint is no proof
# of an equal network; equal outputs are.
#
# ## 6 · The CIFAR family
#
# For CIFAR-10 the paper built a second, slimmer family (section 4.2): a 3×3 stem with
# 16 channels, *three* stages of $n$ basic blocks with 16, 32 and 64 channels, and
# shortcuts without parameters (option A). Stem, $3 \cdot 2n$ convolutions and the
# classifier make $6n + 2$ layers. So the depths are 20, 32, 44, 56, 110: a ruler for
# depth, with little else changing.

# %%
PAPER_CIFAR = {  # He et al. 2015, Table 6: parameters (M), test error (%)
    20: (0.27, 8.75),
    32: (0.46, 7.51),
    44: (0.66, 7.17),
    56: (0.85, 6.97),
    110: (1.7, 6.43),  # best of five; mean 6.61 ± 0.16
    1202: (19.4, 7.93),
}
print("depth    n   parameters   paper   M multiply-adds   with projections (B)")
for depth, (paper, _) in PAPER_CIFAR.items():
    with torch.device("meta"):
        network = models.cifar_resnet(depth)
        projected = models.cifar_resnet(depth, shortcut="B")
    parameters = sum(p.numel() for p in network.parameters())
    extra = sum(p.numel() for p in projected.parameters()) - parameters
    millions = sum(count_multiply_adds(network, 32).values()) / 1e6
    print(
        f"{depth:5} {(depth - 2) // 6:4} {parameters:12,} {paper:5.2f} M "
        f"{millions:17.0f} {extra:+22,}"
    )
with torch.device("meta"):
    wide = models.resnet18(10, stem="cifar")
parameters = sum(p.numel() for p in wide.parameters())
millions = sum(count_multiply_adds(wide, 32).values()) / 1e6
print(
    f"ResNet-18, CIFAR stem: {parameters:,} parameters, {millions:.0f} M multiply-adds"
)

# %% [markdown]
# Our counts round to the paper's. The last line is the network that most CIFAR-10
# tutorials call ResNet-18: an ImageNet network with 64 to 512 channels and a CIFAR
# stem. The paper has no such network. It is shallower than ResNet-20 and far larger:
# compare the two before you compare their accuracies.
#
# ### How deep it went
#
# The last row is no misprint. With $n = 200$ the authors trained **1 202 layers**. Does
# a gradient reach the first of them? We run one backward pass at the first weights, on
# random images, with the plain twin beside it.

# %%
torch.manual_seed(0)
images = torch.randn(2, 3, 16, 16, device=session.device)
labels = torch.arange(2, device=session.device)
factories = {"residual": models.cifar_resnet, "plain": models.cifar_plain}
reached = {}
print("depth  network    gradient norm: first convolution   last convolution")
for depth in (20, 1202):
    for name, factory in factories.items():
        torch.manual_seed(0)
        network = factory(depth).to(session.device)
        F.cross_entropy(network(images), labels).backward()
        first = network.conv1.weight.grad.norm()
        last = network.layer3[-1].conv2.weight.grad.norm()
        reached[name, depth] = first.item()
        print(f"{depth:5}  {name:9} {first.item():32.3g} {last.item():18.3g}")
for name in factories:
    ratio = reached[name, 1202] / reached[name, 20]
    verdict = "arrives as a number" if 0 < ratio < float("inf") else "does not arrive"
    print(f"{name}: the gradient {verdict}; 1202 / 20 layers: × {ratio:.2g}")

# %% [markdown]
# Where `inf` or `nan` stands, a gradient grew past the largest 32-bit number on its way
# back: exploding, the other way to lose it. Lesson 01 measured shallower twins. By its
# line any ratio above ten explodes, also one that arrives. But a step can use a large
# number, if the first steps are small. (At 110 layers the paper began with a learning
# rate of 0.01 in place of 0.1.)
#
# A gradient that arrives makes training possible. Did it make the network better? Here
# are the authors' own results.

# %%
# Figure: the paper's test error on CIFAR-10 against the number of layers, on a
# logarithmic axis; one line with a dot for each depth.
depths = list(PAPER_CIFAR)
errors = [error for _, error in PAPER_CIFAR.values()]
fig, axis = plt.subplots(figsize=(6, 2.9))
axis.plot(depths, errors, marker="o", color="C0")
axis.set(xscale="log", xlabel="layers", ylabel="test error (%)", ylim=(6, 9.2))
axis.set_xticks(depths, depths)
axis.minorticks_off()
best = min(PAPER_CIFAR, key=lambda depth: PAPER_CIFAR[depth][1])
lost = PAPER_CIFAR[1202][1] - PAPER_CIFAR[best][1]
plt.show()
print(f"best depth in the paper: {best}; 1202 layers are {lost:.2f} points worse")

# %% [markdown]
# CIFAR-10 test errors of the paper's Table 6, against depth on a logarithmic scale (110
# layers: the best of five runs; their mean is 6.61 ± 0.16 %).
#
# What did 1 202 layers gain? They *trained*: less than 0.1 % training error, no
# difficulty in optimising. But the test error was worse than with 110 layers, at a
# training error about as low. The authors put it down to overfitting: 19.4 M parameters
# are many for 50 000 small images. So this is the opposite of degradation: there, the
# training error rises. A year later blocks with the norm and ReLU moved in front of the
# convolutions reached 4.62 % with 1 001 layers (He et al. 2016).

# %% [markdown]
# ## Results
#
# Counts have no spread: they are arithmetic. But multiply-adds are not seconds. How far
# do they predict the time on *this* machine? Each network runs the same image several
# times; the table gives the median and the range.

# %%
repeats = session.pick(quick=3, full=20)
timed = ["resnet18", "resnet34", "resnet50", "resnext50_32x4d", "vgg16"]
image = torch.randn(1, 3, 224, 224, device=session.device)


def forward_seconds(network, image):
    started = time.perf_counter()
    with torch.no_grad():
        network(image)[0, 0].item()  # .item() waits for a GPU to finish
    return time.perf_counter() - started


seconds = {}
for name in timed:
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None).eval()
    giga[name] = sum(count_multiply_adds(network).values()) / 1e9
    network = network.to_empty(device=session.device)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(0.01)  # any number will do, but not what lay in memory
    forward_seconds(network, image)  # the first pass also sets things up
    seconds[name] = sorted(forward_seconds(network, image) for _ in range(repeats))

# %%
threads = torch.get_num_threads()
print(f"{session.device.type}, {threads} threads, one image, n = {repeats}")
print("network           G m.-adds   ms: median (range)      G multiply-adds a second")
speed = {}
for name, times in seconds.items():
    median = times[len(times) // 2]
    speed[name] = giga[name] / median
    shown = f"{median * 1e3:.0f} ({times[0] * 1e3:.0f} to {times[-1] * 1e3:.0f})"
    print(f"{name:16} {giga[name]:10.2f}   {shown:22} {speed[name]:16.0f}")
fastest, slowest = max(speed, key=speed.get), min(speed, key=speed.get)
print(
    f"\nA multiply-add of {slowest} takes {speed[fastest] / speed[slowest]:.1f} times "
    f"as long as one of {fastest}."
)
session.report(
    f"ResNet-34: {summary.total_params:,} parameters, "
    f"{summary.total_mult_adds / 1e9:.2f} G multiply-adds; largest difference from "
    f"torchvision's logits {largest_gap:.1g}",
    data="random images",
)

# %% [markdown]
# **What this does not show.** Nothing was trained here, so no experiment of this lesson
# says that one network is more accurate than another; the errors in the figures are the
# paper's. A multiply-add is not a unit of time: memory traffic, small maps and groups
# decide how many of them a processor finishes in a second, and the order may change on
# another machine. Parameters say little about memory in training either, where the
# activations of every layer are kept for the backward pass.
#
# ## Myths, tested
#
# **"A 7×7 stem saves parameters."** Against what? We count the stem's convolutions,
# then the whole network, then what stride and pool really save.


# %%
def size_and_cost(stem):
    with torch.device("meta"):
        network = models.resnet18(stem=stem)
    size = sum(p.numel() for p in network.parameters())
    return size, sum(count_multiply_adds(network).values())


size, cost = size_and_cost("imagenet")
seven = sum(p.numel() for p in stems["7×7, stride 2"].parameters())
effects = []
for name in ("one 3×3, stride 2", "three 3×3, stride 2 first"):
    weights = sum(p.numel() for p in stems[name].parameters())
    effects.append(abs(weights - seven) / size)
    print(f"7×7: {seven:,} weights. {name}: {weights:,}, so the 7×7 has", end=" ")
    print(f"{'fewer' if seven < weights else 'more'}: {effects[-1]:.2%} of ResNet-18.")
cifar_size, cifar_cost = size_and_cost("cifar")
print(f"CIFAR stem on 224 × 224 pixels: {cifar_size - size:+,} parameters, ", end="")
print(f"{cifar_cost / cost:.1f} × the multiply-adds.")
worth_the_word = max(effects) > 0.01
refuted = "refuted: what saves is stride and pool, and they save computation."
print("Verdict:", "confirmed." if worth_the_word else refuted)

# %% [markdown]
# **"A network that is eight times as deep costs more."** ResNet-152 against VGG-19, in
# parameters and in multiply-adds.

# %%
deep, old = "resnet152", "vgg19"
claims = {
    "parameters": parameters_of[deep] / parameters_of[old],
    "multiply-adds": giga[deep] / giga[old],
}
for what, ratio in claims.items():
    print(f"{deep} has {ratio:.2f} × the {what} of {old}")
cheaper = all(ratio < 1 for ratio in claims.values())
print(
    "Verdict:", "refuted on both counts." if cheaper else "confirmed at least in part."
)

# %% [markdown]
# ## Summary
#
# 1. *Build any ResNet.* A stem, four stages, a pool, a linear layer. The first block of
#    `layer2` to `layer4` is dashed for its stride; with bottlenecks the first of
#    `layer1` is too, for its channels.
# 2. *Choose a stem.* Large photos: shrink by four at once, since every later layer then
#    works on a sixteenth of the positions. Small images: do not, or the last stage has
#    nothing left to see.
# 3. *Trace the shapes.* Each stage halves the side and doubles the channels, so blocks
#    cost about the same everywhere and the parameters gather at the end. An adaptive
#    pool takes any size; without the top the last map comes out.

# %% [markdown]
# 4. *Count.* Weights are $k^2 C_\text{in} C_\text{out} / g$; multiply-adds are weights
#    times positions. Small maps and the single linear layer make ResNets cheaper than
#    VGG at many times its depth. The v1.5 stride explains the difference from the
#    paper's Table 1.
# 5. *Load and compare.* `strict=True` checks names and shapes, outputs check the rest,
#    and `first_difference` says where to look.
#
# And depth alone is no goal: 1 202 layers trained well and generalised worse than 110.

# %% [markdown]
# ## Exercises
#
# ### ★ The number in the name
#
# "ResNet-34" counts the convolutions of the stem and of the blocks' branches, and the
# classifier. Norms, pools and the projections of dashed shortcuts are not counted.
# Write a function that returns this number for any block and any list of stages.
# Expected: 152 for `Bottleneck` and `(3, 8, 36, 3)`.


# %% tags=["exercise"]
def depth_in_the_name(block, layers):
    """Return the number of layers that the network's name counts."""
    raise NotImplementedError


check.depth_in_the_name(depth_in_the_name)


# %% tags=["solution"]
def depth_in_the_name(block, layers):
    """Return the number of layers that the network's name counts."""
    convolutions_each = 2 if block is models.BasicBlock else 3
    return 1 + convolutions_each * sum(layers) + 1  # stem, blocks, classifier


check.depth_in_the_name(depth_in_the_name)

# %% [markdown]
# ### ★★ Parameters by arithmetic
#
# Compute the number of parameters of the paper's CIFAR network with parameter-free
# shortcuts, for any depth $6n + 2$ and any number of classes, without building it.
# Convolutions have no bias; each norm has two trained numbers a channel; the classifier
# has weights and biases. Expected: 269 722 for depth 20 with 10 classes.


# %% tags=["exercise"]
def cifar_parameters(depth, num_classes=10):
    """Return the number of parameters of `cifar_resnet(depth, num_classes)`."""
    raise NotImplementedError


check.cifar_parameters(cifar_parameters)


# %% tags=["solution"]
def cifar_parameters(depth, num_classes=10):
    """Return the number of parameters of `cifar_resnet(depth, num_classes)`."""

    def conv_and_norm(in_channels, out_channels):
        return 9 * in_channels * out_channels + 2 * out_channels

    num_blocks = (depth - 2) // 6
    total = conv_and_norm(3, 16)
    for in_channels, channels in ((16, 16), (16, 32), (32, 64)):
        total += conv_and_norm(in_channels, channels)  # the first of the stage
        total += (2 * num_blocks - 1) * conv_and_norm(channels, channels)
    return total + 64 * num_classes + num_classes


check.cifar_parameters(cifar_parameters)

# %% [markdown]
# ### ★★★ A backbone that stays frozen
#
# Write `frozen_classifier(backbone, num_classes)`. It takes a network built with
# `include_top=False` and returns a module that maps images of any size to logits. Only
# a new linear layer on the averaged features may have parameters to train. The
# backbone's norms must keep their statistics even after `model.train()`, which every
# training loop calls. Measure the number of feature channels; do not assume 512.
# Expected: logits of shape (B, num_classes) for images of any size.


# %% tags=["exercise"]
def frozen_classifier(backbone, num_classes):
    """Return a classifier on top of `backbone`, of which only the head is trained."""
    raise NotImplementedError


check.frozen_classifier(frozen_classifier)


# %% tags=["solution"]
class FrozenClassifier(nn.Module):
    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(False)
        parameter = next(backbone.parameters())
        image = torch.zeros(1, 3, 64, 64, device=parameter.device)
        channels = backbone(image).shape[1]
        self.fc = nn.Linear(channels, num_classes, device=parameter.device)

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()  # whatever the training loop says
        return self

    def forward(self, images):
        return self.fc(self.backbone(images).mean(dim=(2, 3)))


def frozen_classifier(backbone, num_classes):
    """Return a classifier on top of `backbone`, of which only the head is trained."""
    return FrozenClassifier(backbone, num_classes)


check.frozen_classifier(frozen_classifier)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. You train a ResNet-18 with the ImageNet stem on images of 32 × 32 pixels. What
# happens?**
#
# <details><summary>An error, because nothing is left of the map before the last
# stage.</summary>
#
# **No.** Stem and stages divide the side by 32 in all, so a map of 1 × 1 is left. It
# runs, and that is the trap.
#
# </details>
# <details><summary>Nothing special: an adaptive pool makes it fit for any image
# size.</summary>
#
# **No.** The pool makes it *run* with any size. It cannot give the last stage something
# to look at.
#
# </details>
# <details><summary>It trains, but many of its weights never get a gradient.</summary>
#
# **Right.** In the last stage a 3×3 kernel lies on a single position. Eight of its nine
# weights meet zero padding, whatever the image shows, so their gradient is exactly
# zero.
#
# </details>
# <details><summary>It becomes slow, since the 7×7 kernel suits large photos
# only.</summary>
#
# **No.** It becomes cheap: a convolution costs its weights times its positions, and
# there are few positions now.
#
# </details>

# %% [markdown]
# **2. You set `requires_grad_(False)` on all parameters of a backbone, and train a new
# head on it with `model.train()`. What still changes in the backbone?**
#
# <details><summary>Nothing: without a gradient no number can move.</summary>
#
# **No.** No *parameter* can move. But running statistics are buffers, and they need no
# gradient.
#
# </details>
# <details><summary>The running means and variances of its norms.</summary>
#
# **Right.** In training mode each forward pass moves them, gradient or not. So a frozen
# backbone also has to be in evaluation mode, and `model.train()` must not wake it.
#
# </details>
# <details><summary>The factors γ and shifts β of its norms, but no
# convolution.</summary>
#
# **No.** Both are parameters like any weight, so they were frozen with the rest.
#
# </details>
# <details><summary>All its weights, a little, because weight decay needs no
# gradient.</summary>
#
# **No.** PyTorch's optimisers skip a parameter whose gradient is `None`, decay
# included.
#
# </details>

# %% [markdown]
# **3. A checkpoint loads into your network with `strict=True`, without a complaint.
# What do you know?**
#
# <details><summary>The names and shapes of all weights agree, and no more.</summary>
#
# **Right.** Strides, padding, activations and $\varepsilon$ have no weights, so loading
# cannot see them. Equal outputs for equal images prove more.
#
# </details>
# <details><summary>Both networks compute the same, up to rounding.</summary>
#
# **No.** Four of the five damaged networks in section 5 loaded as well. Each computed
# something else.
#
# </details>
# <details><summary>It has the accuracy that is written on the checkpoint's
# card.</summary>
#
# **No.** The weights are the right ones. But a stride or an $\varepsilon$ in another
# place makes something else of them.
#
# </details>

# %% [markdown]
# **4. ResNet-152 has eight times as many layers as VGG-19 and needs fewer
# multiply-adds. Why?**
#
# <details><summary>Its shortcuts let an image skip the layers that it does not
# need.</summary>
#
# **No.** Every layer runs for every image. A shortcut is one more addition, not a way
# out.
#
# </details>
# <details><summary>A shortcut takes the place of weights, so each layer has fewer of
# them.</summary>
#
# **No.** A solid shortcut has no weights and saves none; a projection adds some. Lesson
# 01 counts twins.
#
# </details>
# <details><summary>It has one small fully connected layer, and VGG has three large
# ones.</summary>
#
# **No.** That explains *parameters*: most of VGG's are there. But a linear layer uses
# each weight once for an image, a convolution at every position. The multiply-adds are
# in the convolutions.
#
# </details>
# <details><summary>Its layers work on small maps, its 3×3 kernels on few
# channels.</summary>
#
# **Right.** Stem and pool leave one position in sixteen before the first block, where
# VGG's first convolutions work at full size. And a bottleneck does its 3×3 work in the
# narrow middle.
#
# </details>

# %% [markdown]
# **5. The paper's network of 1 202 layers was worse on the test images than the one
# with 110 layers. What does this show?**
#
# <details><summary>Degradation: beyond some depth residual networks cannot be trained
# either.</summary>
#
# **No.** Degradation is a higher *training* error. This network's was below 0.1 %, and
# the authors saw no difficulty in optimising it.
#
# </details>
# <details><summary>Its gradients exploded, as one expects at such a depth.</summary>
#
# **No.** Here the gradient of the residual network arrived as a number. It was the
# plain twin's that was lost.
#
# </details>
# <details><summary>That it can be trained does not make it better on new
# images.</summary>
#
# **Right.** Its training error was about as low as with 110 layers, its test error
# higher. The authors put it down to overfitting: very many parameters for 50 000 small
# images.
#
# </details>

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*,
#   2015, arXiv 1512.03385. Sections 3.3, 4.1, 4.2; Tables 1, 3, 6.
# - K. He et al.: *Delving Deep into Rectifiers*, 2015 ("2015b"), arXiv 1502.01852.
#   Section 2.2: the initialisation.
# - K. He et al.: *Identity Mappings in Deep Residual Networks*, 2016, arXiv 1603.05027.
# - S. Xie et al.: *Aggregated Residual Transformations for Deep Neural Networks*, 2016,
#   arXiv 1611.05431. ResNeXt.
# - T. He et al.: *Bag of Tricks for Image Classification with CNNs*, 2018, arXiv
#   1812.01187. Three 3×3 convolutions as a stem.
# - K. Simonyan, A. Zisserman: *Very Deep Convolutional Networks*, 2014, arXiv
#   1409.1556. VGG.
#
# **Next:** [Lesson 03](03_cifar10_training.ipynb) trains such a network on CIFAR-10.
