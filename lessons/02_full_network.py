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
# 1. build any ResNet from a list of four numbers, and say where its dashed blocks fall;
# 2. choose a stem for the size of the images, and say what the wrong one costs;
# 3. trace the shapes from image to logits, with and without the top;
# 4. count parameters and multiply-adds, and know which ResNet a number belongs to;
# 5. load somebody else's weights, and find the first layer where two networks differ.
#
# **Know first:** the blocks of [Lesson 01](01_residual_blocks.ipynb): `BasicBlock`,
# `Bottleneck`, solid and dashed shortcuts, BatchNorm.
#
# **Reading** 44 minutes · **exercises** 25 minutes · **run time** quick CPU about 16 s
# (two quiet cores), full GPU about 27 s (shared H200)

# %% [markdown]
# ## Three questions from before
#
# Answer in your head, then open.
#
# <details><summary>When does a block need a dashed shortcut, and what stands in
# it?</summary>
#
# When the branch changes the shape: fewer positions (a stride) or other channels. Then
# input and branch no longer fit one sum. A 1×1 convolution with the same stride brings
# the input into the new shape, and a norm follows it. Where the shape stays, the
# shortcut is solid: nothing at all.
#
# </details>
# <details><summary>A Bottleneck is built with channels=64. How many channels does it
# put out?</summary>
#
# It puts out 256. The 64 are its narrow middle, where the 3×3 convolution works. The
# last 1×1 convolution puts out `expansion` times as many, and `expansion` is 4. A
# `BasicBlock` has `expansion` 1.
#
# </details>
# <details><summary>What does BatchNorm remember that is no parameter?</summary>
#
# A running mean and a running variance for each channel. They move in training mode, at
# each forward pass, and replace the batch's own statistics in evaluation mode. A fresh
# norm has mean 0 and variance 1.
#
# </details>

# %% tags=["setup"]
import copy

import matplotlib.pyplot as plt
import torch
import torchinfo
import torchvision
from torch import nn

from course_classroom.checks import lesson_02 as check
from course_utils import models, plotting, results
from course_utils.models.compare import first_difference
from course_utils.session import start

session = start(seed=0)
plotting.course_style()

# %% [markdown]
# ## A question first
#
# A ResNet-18 as published is made for photos of 224 × 224 pixels. You give it CIFAR-10
# images of 32 × 32 pixels. It runs, and it trains. Write down your guesses:
#
# - Of its 11 million parameters, … % never get a gradient from such images.
# - Its test accuracy is … points below that of the same network with the right first
#   layer.
# - ResNet-152 needs … times the multiplications of VGG-19, a network with 19 layers.
#
# Section 3 and the myth at the end have the answers.

# %% [markdown]
# ## 1 · Two stems
#
# This section shows what stands before the first block, the **stem**, and why it
# differs between large and small images.
#
# Photos enter with 224 × 224 pixels. Neighbouring pixels say nearly the same, and one
# 3×3 convolution from 64 to 64 channels would be about as much work there as a whole
# ResNet-18. So the stem of the ImageNet networks shrinks the image first: a 7×7
# convolution with stride 2, then a 3×3 max pool with stride 2. One position in sixteen
# is left.
#
# CIFAR images have 32 × 32 pixels to begin with. Their stem is one 3×3 convolution with
# stride 1, and no pool.


# %%
# Write both stems, and see how many positions they leave
def make_stem(kind):
    """Return the stem's convolution, and the pool that comes after its norm."""
    if kind == "imagenet":
        conv = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        return conv, nn.MaxPool2d(3, stride=2, padding=1)
    if kind == "cifar":
        return nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    raise ValueError(f"Unknown stem {kind!r}; use 'imagenet' or 'cifar'.")


for kind in ("imagenet", "cifar"):
    conv, pool = make_stem(kind)
    for size in (224, 32):
        side = pool(conv(torch.zeros(1, 3, size, size))).shape[-1]
        print(f"{kind:>8} stem: {size} × {size} pixels → {side} × {side} positions")

# %% [markdown]
# ### Why 7×7, and not three 3×3?
#
# The VGG networks showed that three 3×3 convolutions with stride 1 see as far as one
# 7×7: three times one pixel to each side. With $C$ channels in and out they have $3
# \cdot 3^2 C^2 = 27C^2$ weights, one 7×7 has $7^2 C^2 = 49C^2$. Does the saving hold
# for a stem? Guess, then count **weights** and **multiply-adds**: one weight times one
# number, added to a sum. `torchinfo` counts both while it runs the layers on an image.


# %%
# Count a 7×7, and three 3×3 in its place
def size_and_cost(model, image_size=224):
    """Return the number of parameters, and of multiply-adds for one image."""
    device = next(model.parameters()).device
    shape = (1, 3, image_size, image_size)
    summary = torchinfo.summary(model, shape, device=device, verbose=0)
    return summary.total_params, summary.total_mult_adds


one = make_stem("imagenet")[0]
three = nn.Sequential(
    nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(32, 32, 3, padding=1, bias=False),
    nn.Conv2d(32, 64, 3, padding=1, bias=False),
)
for name, stem in (("one 7×7", one), ("three 3×3", three)):
    weights, cost = size_and_cost(stem)
    print(f"{name}: {weights:,} weights, {cost / 1e6:.0f} M multiply-adds")

# %% [markdown]
# The saving needs $C$ channels at *both* ends. The stem has three at its input, so a
# 7×7 kernel is cheap there. Three 3×3 need three times the weights and multiply-adds,
# even with only 32 channels between them and the stride in the first.
#
# **So what:** on large photos the 7×7 with stride and pool is the cheap way to look at
# a large patch; small images have nothing to give away.

# %% [markdown]
# ## 2 · The whole network
#
# This section builds the class, and shows where its dashed blocks fall. Four **stages**
# follow the stem: conv2 to conv5 in the paper, `layer1` to `layer4` in code. Inside a
# stage all blocks put out the same shape. So a stage is one special first block, and
# then copies of an ordinary one. The first block may halve height and width (its
# stride) and widen the channels. If it does either, its shortcut is dashed.


# %%
# A stage: the first block may change the shape, the others keep it
def make_layer(block, in_channels, channels, num_blocks, stride=1):
    """Return one stage of `num_blocks` blocks, the first of them dashed if it must."""
    out_channels = channels * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:  # the shape changes: dashed
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    blocks = [block(in_channels, channels, stride, downsample)]
    for _ in range(1, num_blocks):
        blocks.append(block(out_channels, channels))
    return nn.Sequential(*blocks)


# %% [markdown]
# The star in `nn.Sequential(*blocks)` unpacks the list: `nn.Sequential` takes the
# blocks as separate arguments. Why not keep the list itself? Guess what this prints.


# %%
# Keep the blocks in a plain list, and ask for the parameters
class KeepsAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [models.BasicBlock(64, 64) for _ in range(3)]


print(len(list(KeepsAList().parameters())), "tensors of parameters to train")

# %% [markdown]
# A plain list hides its blocks: no optimiser trains them, `.to(device)` leaves them
# behind, no checkpoint holds them. All of that without an error.
#
# Now the whole network. `layers` says how many blocks each stage has. The paper's Table
# 1 has `(3, 4, 6, 3)` in two columns, for 34 and for 50 layers: the block makes the
# difference. Each layer gets a line of its own, in the order in which `forward` runs
# them: many programs cut a network open with `nn.Sequential(*network.children())`, and
# `children()` keeps the order of the constructor. The shapes in `forward` are for basic
# blocks, the ImageNet stem and images of 224 × 224 pixels.


# %%
# The residual network: stem, four stages, and the top
class ResNet(nn.Module):
    """Return logits (B, num_classes) for images (B, 3, H, W)."""

    def __init__(
        self, block, layers, num_classes=1000, stem="imagenet", include_top=True
    ):
        super().__init__()
        conv, pool = make_stem(stem)
        self.conv1 = conv
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = pool
        self.layer1 = make_layer(block, 64, 64, layers[0])
        self.layer2 = make_layer(block, 64 * block.expansion, 128, layers[1], 2)
        self.layer3 = make_layer(block, 128 * block.expansion, 256, layers[2], 2)
        self.layer4 = make_layer(block, 256 * block.expansion, 512, layers[3], 2)
        self.include_top = include_top
        if include_top:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(512 * block.expansion, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(
                    layer.weight, mode="fan_out", nonlinearity="relu"
                )

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
# The loop at the end of the constructor draws the first weights (He et al. 2015b); the
# deep dive [02b](02b_cost_and_first_weights.ipynb) measures what that is worth.
#
# ### Where the dashed blocks fall
#
# Predict: which blocks of ResNet-34 are dashed, and does ResNet-50 have more of them?
# `named_modules` goes through everything in a network. Only blocks have a `downsample`,
# so `getattr` asks with `None` as the answer of all others. On PyTorch's **meta
# device** tensors have a shape and no numbers: even ResNet-101 costs no memory.

# %%
# Ask each network which of its blocks has a `downsample`
NETWORKS = {
    "ResNet-18": (models.BasicBlock, (2, 2, 2, 2)),
    "ResNet-34": (models.BasicBlock, (3, 4, 6, 3)),
    "ResNet-50": (models.Bottleneck, (3, 4, 6, 3)),
    "ResNet-101": (models.Bottleneck, (3, 4, 23, 3)),
}
networks = {}
for name, (block, layers) in NETWORKS.items():
    with torch.device("meta"):
        networks[name] = ResNet(block, layers)
    dashed = [
        part
        for part, module in networks[name].named_modules()
        if getattr(module, "downsample", None) is not None
    ]
    print(name, "dashed:", ", ".join(dashed))

# %% tags=["figure"]
# Figure: four rows of squares, one for each network from ResNet-18 to ResNet-101; each
# square is a block, in the order from the stem on, coloured by its stage. A filled
# square has a solid shortcut, an empty one with a dashed outline a dashed shortcut.
fig, axis = plt.subplots(figsize=(9, 2.4))
for row, network in enumerate(networks.values()):
    parts = [p for p in network.named_modules() if hasattr(p[1], "downsample")]
    for column, (part, module) in enumerate(parts):
        is_dashed = module.downsample is not None
        color, line = f"C{int(part[5]) - 1}", "--" if is_dashed else "-"
        style = {"edgecolor": color, "facecolor": color, "linestyle": line, "lw": 2}
        square = plt.Rectangle((column, row), 0.8, 0.6, fill=not is_dashed, **style)
        axis.add_patch(square)
axis.set(xlim=(-0.5, 33.5), ylim=(4, -0.4), xlabel="block, counted from the stem")
axis.set_yticks([row + 0.3 for row in range(4)], networks)
axis.grid(False)

# %% [markdown]
# One square is one block, with a dashed outline where its shortcut is dashed; one
# colour is one stage.
#
# `layer2`, `layer3` and `layer4` begin with stride 2, so their first block is dashed in
# every network. `layer1` has stride 1. With basic blocks 64 channels meet 64 channels
# there: solid. Bottlenecks put out 256, so their first block is dashed although its
# stride is 1.
#
# **So what:** a ResNet is a stem, four calls of one function and a linear layer; four
# numbers and a block name it.

# %% [markdown]
# ## 3 · From image to logits
#
# This section follows an image through the network: first a large photo, then a
# small image behind the wrong stem. Before you run the cell: where are most of the
# numbers, near the image or near the logits?

# %%
# Follow one image through ResNet-34, block by block
torch.manual_seed(0)
resnet34 = ResNet(models.BasicBlock, (3, 4, 6, 3)).eval()
x = torch.randn(1, 3, 224, 224)
for name, part in resnet34.named_children():
    if name == "fc":
        x = x.flatten(1)  # as forward does between avgpool and fc
    steps = part if name.startswith("layer") else [part]
    for index, step in enumerate(steps):
        with torch.no_grad():
            x = step(x)
        label = f"{name}[{index}]" if name.startswith("layer") else name
        dashed = "dashed" if getattr(step, "downsample", None) else ""
        print(f"{label:10} {tuple(x.shape)!s:18} {x.numel():8,} numbers  {dashed}")

# %% [markdown]
# From `layer1` to `layer4`, each step to the next stage halves height and width and
# doubles the channels: half the numbers. The last map, 7 × 7, is averaged to one number
# a channel, and a single linear layer reads the classes from it.
#
# ### Other image sizes
#
# A pool over 7 × 7 positions would do for 224 pixels. `nn.AdaptiveAvgPool2d((1, 1))`
# averages all positions, however many arrive (the paper's "global average pooling"), so
# the network takes other sizes too. Whether it is *accurate* there depends on the sizes
# it was trained on.

# %% [markdown]
# ### Without the top
#
# Pool and classifier are the network's **top**. The map before them says *what* is
# *where*; networks that find objects start from it. `include_top=False` returns it.
#
# Weights travel as a **state dict**, a dictionary from names such as `conv1.weight` to
# tensors. A full network's has two names too many here; `strict=False` lets them pass.
# Read *both* lists that it returns. Unexpected names are weights left behind. A missing
# name is a layer that keeps its random weights, and nothing else would tell you.

# %%
# Move weights into a network without a top, and try it on an image of another size
full = ResNet(models.BasicBlock, (2, 2, 2, 2)).eval()
headless = ResNet(models.BasicBlock, (2, 2, 2, 2), include_top=False).eval()
report = headless.load_state_dict(full.state_dict(), strict=False)
print("left behind:", report.unexpected_keys)
assert report.missing_keys == []
wide_image = torch.randn(1, 3, 160, 320)
with torch.no_grad():
    features = headless(wide_image)
    logits = full.fc(features.mean(dim=(2, 3)))
    gap = (logits - full(wide_image)).abs().max().item()
print(f"features {tuple(features.shape)}; averaged, then fc: {gap:.1g} away")

# %% [markdown]
# ### The wrong stem, measured
#
# Now 32 × 32 pixels behind the ImageNet stem. Which parameters can matter there? One
# backward pass tells: we count those whose gradient is exactly zero.

# %%
# Count the parameters that get no gradient, for both stems
torch.manual_seed(0)
small_images, labels = torch.randn(128, 3, 32, 32), torch.arange(128) % 10
for stem in ("imagenet", "cifar"):
    network = ResNet(models.BasicBlock, (2, 2, 2, 2), 10, stem=stem)
    nn.functional.cross_entropy(network(small_images), labels).backward()
    idle = sum((p.grad == 0).sum().item() for p in network.parameters())
    size, cost = size_and_cost(network, 32)
    print(f"{stem} stem: {idle / size:.1%} of {size:,} parameters get no gradient;")
    print(f"    {cost / 1e6:.0f} M multiply-adds an image")

# %% [markdown]
# Stem and stages divide the side by 32 in all, so the last stage works on a single
# position. A 3×3 kernel centred there has eight of its nine weights over the zero
# padding, whatever the image shows. (The first convolution of `layer4` still sees 2 × 2
# positions, with four of its nine weights.)
#
# Idle weights are a hint, not a loss of accuracy. So both networks were trained: 45 000
# of CIFAR-10's 50 000 training photos, 30 epochs, three seeds each, everything alike
# but the stem. That takes a GPU, so the runs are recorded; the next cell reads them.

# %%
# Table: both stems after training on photos
rows = []
for stem in ("cifar", "imagenet"):
    runs = results.load_results(f"stem-{stem}-photos-45000")
    train = [run["history"]["train_accuracy"][-1] for run in runs]
    test = [run["test_accuracy"] for run in runs]
    texts = [results.mean_and_range(found, ".1%") for found in (train, test)]
    rows.append((stem, len(runs), *texts))
heads = ("stem", "seeds", "last training accuracy (range)", "test accuracy (range)")
results.show_table(heads, rows)

# %% [markdown]
# With the CIFAR stem the network reaches
# 90.3 %<!-- results: stem-cifar-* test_accuracy --> on the test images, with the
# ImageNet stem 83.9 %<!-- results: stem-imagenet-* test_accuracy -->: the wrong stem
# costs 6.4 points<!-- results: stem-cifar-* test_accuracy -
# stem-imagenet-* test_accuracy -->.
# The worst of three runs with the right stem,
# 90.2 %<!-- results: stem-cifar-* test_accuracy min -->, is far above the best with the
# wrong one, 84.1 %<!-- results: stem-imagenet-* test_accuracy max -->. The training
# images are learnt less well, too.

# %% [markdown]
# Two limits. The stems differ in kernel, stride and pool, and so in the positions and
# the idle weights behind them; the experiment does not say which does the harm. And
# both had the same learning rate, tuned for neither.
#
# **So what:** an adaptive pool makes any image size *run*; only a stem that fits leaves
# the last stage something to look at.

# %% [markdown]
# ## 4 · The family, counted
#
# This section counts the family, by hand and with a tool, and finds out why your
# ResNet-50 is not quite the paper's. `models` holds the blocks of lesson 01 and the
# network of section 2. First one block. A convolution has
# $k^2\,C_\text{in}\,C_\text{out}$ weights, a norm two numbers a channel, and each
# weight of a convolution is used once at every position of its output.

# %%
# Count one block by hand, and with torchinfo
by_hand = 2 * (9 * 64 * 64 + 2 * 64)  # two 3×3 convolutions, two norms
cost_by_hand = 2 * (9 * 64 * 64) * 56 * 56  # each weight, at 56 × 56 positions
print(f"by hand: {by_hand:,} parameters, {cost_by_hand:,} multiply-adds")
block = models.BasicBlock(64, 64)
options = {"row_settings": ("var_names",), "verbose": 0, "device": "cpu"}
columns = ("output_size", "num_params", "mult_adds")
torchinfo.summary(block, (1, 64, 56, 56), col_names=columns, col_width=18, **options)

# %% [markdown]
# For a norm the tool counts its parameters once; by hand we left norms out of the
# multiply-adds. The list has the ReLU twice, because `forward` calls it twice. It has
# no line for the addition or for a solid shortcut: for the *shape* of a network, read
# its `forward`. ("Units.MEGABYTES" is a slip of the tool: it means millions.)
#
# Now ResNet-34. Predict: which stage costs most, and which holds most parameters?

# %%
# Sum up ResNet-34 by its stages
summary = torchinfo.summary(
    resnet34, (1, 3, 224, 224), depth=1, col_names=columns, col_width=18, **options
)
summary

# %% tags=["figure"]
# Figure: two bar charts of ResNet-34 with a bar for each part: conv1, layer1 to layer4,
# fc. Left: multiply-adds for one image; the stages differ as their block counts do.
# Right: parameters, growing from stage to stage, most of them in layer4.
with torch.device("meta"):
    parts = dict(ResNet(models.BasicBlock, (3, 4, 6, 3)).eval().named_children())
    values = torch.zeros(1, 3, 224, 224)
bars = {}
for name, part in parts.items():
    values = values.flatten(1) if name == "fc" else values
    if any(True for _ in part.parameters()) and name != "bn1":
        found = torchinfo.summary(part, input_data=values, device="meta", verbose=0)
        bars[name] = found.total_mult_adds / 1e9, found.total_params / 1e6
    values = part(values)
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8))
axes[0].bar(list(bars), [cost for cost, _ in bars.values()])
axes[0].set(ylabel="multiply-adds (G)", title="cost for one image")
axes[1].bar(list(bars), [size for _, size in bars.values()], color="C1")
axes[1].set(ylabel="parameters (M)", title="size")
plt.show()

# %% [markdown]
# Cost and size of the parts of ResNet-34. Twice the channels mean four times the
# weights; half the side means a quarter of the positions. So a block costs about the
# same in every stage (the paper's second design rule), and the parameters gather at the
# end. (Multiply-adds are work, not seconds: machines do them faster in some layers.)
#
# Now the five networks of the paper's Table 1, beside its "FLOPs", which are
# multiply-adds. One column moves the stride of each bottleneck from its 3×3 to its
# first 1×1.


# %%
# Count the family, with the stride of the bottlenecks in two places
def stride_on_the_first_1x1(network):
    """Move the stride of each bottleneck as the authors' model has it, in place."""
    for module in network.modules():
        if isinstance(module, models.Bottleneck):
            module.conv1.stride = module.conv2.stride
            module.conv2.stride = (1, 1)


PAPER = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}  # Table 1, G multiply-adds
rows = []
for depth, paper in PAPER.items():
    with torch.device("meta"):
        network = getattr(models, f"resnet{depth}")()
    size, cost = size_and_cost(network)
    stride_on_the_first_1x1(network)
    moved = size_and_cost(network)[1]
    numbers = f"{size:,}", f"{cost / 1e9:.2f} G", f"{moved / 1e9:.2f} G", f"{paper} G"
    rows.append((f"ResNet-{depth}", *numbers))
heads = ("network", "parameters", "multiply-adds", "stride on the 1×1", "paper")
results.show_table(heads, rows)

# %% [markdown]
# With bottlenecks our numbers are higher than the paper's, and the fourth column
# explains it. The model that the authors released has the stride on the first 1×1 of a
# stage; then its 3×3 already works on the small map. torchvision and this course have
# it on the 3×3, which lets it see every position and costs a little more. People call
# this version **v1.5**. The last digits differ for smaller reasons.

# %% [markdown]
# ### The CIFAR family
#
# For CIFAR-10 the paper built a second, slimmer family (section 4.2): a 3×3 stem with
# 16 channels, *three* stages of $n$ basic blocks with 16, 32 and 64 channels, and
# shortcuts without parameters (option A of lesson 01). Stem, $3 \cdot 2n$ convolutions
# and classifier make $6n + 2$ layers.

# %%
# Count the CIFAR family beside the ResNet-18 of section 3
with torch.device("meta"):
    cifar_networks = {f"ResNet-{d}": models.cifar_resnet(d) for d in (20, 56, 110)}
    cifar_networks["ResNet-18, CIFAR stem"] = models.resnet18(10, stem="cifar")
rows = []
for name, network in cifar_networks.items():
    size, cost = size_and_cost(network, 32)
    rows.append((name, f"{size:,}", f"{cost / 1e6:.0f} M"))
results.show_table(("network, 10 classes", "parameters", "multiply-adds"), rows)

# %% [markdown]
# The first three round to the paper's Table 6: 0.27, 0.85 and 1.7 million. The last is
# what many CIFAR-10 tutorials call ResNet-18; the paper has no such network. It has
# about forty times the parameters of ResNet-20.
#
# **So what:** a name like "ResNet-50" or "ResNet-18 on CIFAR-10" does not fix the
# network; ask for the stem, the widths and the place of the stride.

# %% [markdown]
# ## 5 · Against torchvision
#
# This section compares your network with one that half the world uses. If names and
# shapes agree, torchvision's state dict loads into yours with `strict=True`. If the
# arithmetic agrees too, the same images give the same logits.
#
# Nothing is downloaded: both start from random weights. Fresh norms do next to nothing
# in evaluation mode, and would hide many a mistake, so we stir them first.


# %%
# Load torchvision's weights into the lesson's class, and compare the logits
def stir_norms(network):
    """Give every norm statistics and weights as if it had been trained."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)


torch.manual_seed(0)
images = torch.randn(2, 3, 64, 64)
for name, (block, layers) in list(NETWORKS.items())[:3]:
    factory = getattr(torchvision.models, name.lower().replace("-", ""))
    reference = factory(weights=None).eval()
    stir_norms(reference)
    mine = ResNet(block, layers).eval()
    print(name, mine.load_state_dict(reference.state_dict(), strict=True), end=", ")
    with torch.no_grad():
        largest_gap = (mine(images) - reference(images)).abs().max().item()
    print(f"largest difference of a logit {largest_gap:.1g}")

# %% [markdown]
# So torchvision's checkpoints for these networks fit into the class you have read. And
# when one does not? The logits tell *that* something is wrong, not *where*.
# `first_difference` puts a **hook** on every layer of both networks, a function that
# PyTorch calls with the layer's output, and names the first layer whose outputs differ.
# We damage copies of the ResNet-50. Predict: which of them still load?

# %%
# Damage a copy: does it load, and where does it differ?
DAMAGE = {
    "stride on the first 1×1": stride_on_the_first_1x1,
    "no ReLU after the stem": lambda net: setattr(net, "relu", nn.Identity()),
    "a wider classifier": lambda net: setattr(net, "fc", nn.Linear(2048, 1001)),
}
for what, damage in DAMAGE.items():
    broken = copy.deepcopy(mine)  # `mine` and `reference` are the ResNet-50s
    damage(broken)
    try:
        broken.load_state_dict(reference.state_dict(), strict=True)
        print(f"{what}: loads;", end=" ")
    except RuntimeError:
        print(f"{what}: does not load;", end=" ")
    print(first_difference(broken, reference, images))
session.report(
    f"ResNet-34: {summary.total_params:,} parameters; largest difference from "
    f"torchvision's logits {largest_gap:.1g}",
    data="random images",
)

# %% [markdown]
# `strict=True` compares the names and shapes of weights. Strides and activations have
# no weights, so it is blind to them.
#
# **So what:** a checkpoint that loads is no proof of an equal network; equal outputs
# are strong evidence, for this mode and these sizes.

# %% [markdown]
# ## Myths, tested
#
# **"A deeper network costs more."** ResNet-152 against VGG-19, one of the deepest of
# 2014 (GoogLeNet had 22 layers), on the same image.

# %%
# Count 152 layers against 19
rows = []
for name in ("vgg19", "resnet34", "resnet152"):
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    size, cost = size_and_cost(network)
    rows.append((name, f"{size / 1e6:.0f} M", f"{cost / 1e9:.1f} G"))
results.show_table(("network", "parameters", "multiply-adds"), rows)

# %% [markdown]
# Refuted as a general rule: ResNet-152 has 0.42 times the parameters and 0.59 times the
# multiply-adds of VGG-19; its 3×3 convolutions work on far fewer channels. Within one
# family it holds: in the table of section 4 the cost rises with every depth.

# %% [markdown]
# ## Summary
#
# 1. *Build any ResNet.* A stem, four stages, a pool, a linear layer. The first block of
#    a stage is dashed, but in `layer1` only with bottlenecks.
# 2. *Choose a stem.* Large photos: shrink by four at once. Small images: do not; on
#    CIFAR-10 that cost 6.4 points<!-- results: stem-cifar-* test_accuracy -
#    stem-imagenet-* test_accuracy -->.
# 3. *Trace the shapes.* From stage to stage the side halves and the channels double. An
#    adaptive pool takes any size; without the top the last map comes out.
# 4. *Count.* Weights are $k^2 C_\text{in} C_\text{out}$; multiply-adds are weights
#    times positions. The stride of v1.5 explains the difference from the paper.
# 5. *Load and compare.* `strict=True` checks names and shapes, outputs check the rest,
#    `first_difference` says where to look. With `strict=False`, read both lists.

# %% [markdown]
# ## Exercises
#
# ### ★ The number in the name
#
# "ResNet-34" counts the convolutions of the stem and of the blocks' branches, and the
# classifier: $1 + 2 \cdot (3 + 4 + 6 + 3) + 1 = 34$. Norms, pools and the projections
# of dashed shortcuts do not count. The function gets a block's *class*, such as
# `models.Bottleneck`, and the list of stages. Its last step is missing. Expected: 152
# for `models.Bottleneck` and `(3, 8, 36, 3)`.


# %% tags=["exercise"]
# Exercise: add what stands outside the stages
def depth_in_the_name(block, layers):
    """Return the number of layers that the network's name counts."""
    convolutions_each = 2 if block.expansion == 1 else 3  # in a block's branch
    total = convolutions_each * sum(layers)
    raise NotImplementedError  # the missing step, in place of this line
    return total


check.depth_in_the_name(depth_in_the_name)


# %% tags=["solution"]
# Solution
def depth_in_the_name(block, layers):
    """Return the number of layers that the network's name counts."""
    convolutions_each = 2 if block.expansion == 1 else 3  # in a block's branch
    total = convolutions_each * sum(layers)
    total += 2  # the stem's convolution and the classifier
    return total


check.depth_in_the_name(depth_in_the_name)

# %% [markdown]
# ### ★★ Parameters by arithmetic
#
# Compute the number of parameters of the paper's CIFAR network of depth $6n + 2$,
# without building it. A stage has $n$ blocks of two 3×3 convolutions, each with its
# norm. The first convolution of a stage may widen the channels; the others have
# `channels` in and out. The classifier is `nn.Linear(64, num_classes)`. Two steps are
# missing. Expected: 269 722 for depth 20 with 10 classes.


# %% tags=["exercise"]
# Exercise: add the rest of each stage, and the classifier
def cifar_parameters(depth, num_classes=10):
    """Return the number of parameters of `cifar_resnet(depth, num_classes)`."""

    def conv_and_norm(in_channels, out_channels):
        return 9 * in_channels * out_channels + 2 * out_channels

    n = (depth - 2) // 6  # blocks in a stage
    total = conv_and_norm(3, 16)  # the stem
    for in_channels, channels in ((16, 16), (16, 32), (32, 64)):
        total += conv_and_norm(in_channels, channels)  # the first of the stage
        for _ in range(2 * n - 1):  # the others of the stage
            raise NotImplementedError  # first missing step, in place of this line
    # second missing step: the classifier
    return total


check.cifar_parameters(cifar_parameters)


# %% tags=["solution"]
# Solution
def cifar_parameters(depth, num_classes=10):
    """Return the number of parameters of `cifar_resnet(depth, num_classes)`."""

    def conv_and_norm(in_channels, out_channels):
        return 9 * in_channels * out_channels + 2 * out_channels

    n = (depth - 2) // 6  # blocks in a stage
    total = conv_and_norm(3, 16)  # the stem
    for in_channels, channels in ((16, 16), (16, 32), (32, 64)):
        total += conv_and_norm(in_channels, channels)  # the first of the stage
        for _ in range(2 * n - 1):  # the others of the stage
            total += conv_and_norm(channels, channels)
    return total + 64 * num_classes + num_classes


check.cifar_parameters(cifar_parameters)

# %% [markdown]
# ### ★★★ A shortcut that sees everything
#
# With v1.5 the 3×3 sees every position. One layer still looks at one in four: the 1×1
# with stride 2 in a dashed shortcut. ResNet-D (T. He et al. 2018) takes the mean first,
# with `nn.AvgPool2d(2, ceil_mode=True)`, then the 1×1 with stride 1, then the norm.
# Return a *copy* of the network in which every `downsample` with stride 2 works like
# this, with its own 1×1 and norm. One with stride 1 stays as it is.
#
# The loop is given. A `downsample` has two parts, `conv, norm = module.downsample`, and
# `conv.stride` is a pair. You may give a module a new part inside the loop.


# %% tags=["exercise"]
# Exercise: average, then project
def averaged_shortcuts(network):
    """Return a copy whose shortcuts with stride 2 average before they project."""
    changed = copy.deepcopy(network)
    for module in changed.modules():
        if getattr(module, "downsample", None) is None:
            continue
        raise NotImplementedError  # what is missing, in place of this line
    return changed


check.averaged_shortcuts(averaged_shortcuts)


# %% tags=["solution"]
# Solution
def averaged_shortcuts(network):
    """Return a copy whose shortcuts with stride 2 average before they project."""
    changed = copy.deepcopy(network)
    for module in changed.modules():
        downsample = getattr(module, "downsample", None)
        if downsample is None or downsample[0].stride == (1, 1):
            continue
        conv, norm = downsample
        conv.stride = (1, 1)
        pool = nn.AvgPool2d(2, ceil_mode=True)
        module.downsample = nn.Sequential(pool, conv, norm)
    return changed


check.averaged_shortcuts(averaged_shortcuts)

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
# <details><summary>It trains, but most of its weights never get a gradient.</summary>
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
# **2. You load a full network's weights into one without a top, with strict=False. What
# do you look for in the two lists it returns?**
#
# <details><summary>No missing name; fc.weight and fc.bias alone are
# unexpected.</summary>
#
# **Right.** Then every layer of your network has got its weights, and only the
# classifier is left behind. A longer list of unexpected names means another network: a
# ResNet-34's weights leave 96 names over in a ResNet-18, none missing, and the outputs
# mean nothing.
#
# </details>
# <details><summary>No unexpected name: each weight in the file must find its
# layer.</summary>
#
# **No.** The classifier's two cannot, since your network has none. That is why
# `strict=True` would raise an error here.
#
# </details>
# <details><summary>Nothing: strict=False sorts out by itself whatever does not
# fit.</summary>
#
# **No.** It only keeps silent about names: a layer whose name is missing stays as it
# was drawn. And where a name fits and the shape does not, it raises an error all the
# same.
#
# </details>

# %% [markdown]
# **3. A checkpoint loads into your network with strict=True, without a complaint. What
# do you know?**
#
# <details><summary>The names and shapes of all weights agree, and no more.</summary>
#
# **Right.** Strides and activations have no weights, so loading cannot see them.
# Equal outputs for equal images say more.
#
# </details>
# <details><summary>Both networks compute the same, up to rounding.</summary>
#
# **No.** Two of the three damaged networks in section 5 loaded as well. Each computed
# something else.
#
# </details>
# <details><summary>It has the accuracy that is written on the checkpoint's
# card.</summary>
#
# **No.** The weights are the right ones. But a stride in another place makes something
# else of them.
#
# </details>

# %% [markdown]
# **4. From one stage to the next the channels double. Why does a block not cost four
# times as much?**
#
# <details><summary>Its shortcut takes over a part of the work.</summary>
#
# **No.** A solid shortcut is one addition. It has no weights and saves none.
#
# </details>
# <details><summary>The bottleneck's narrow middle keeps its number of
# channels.</summary>
#
# **No.** It doubles as well: 64, 128, 256, 512. And basic blocks have no such middle.
#
# </details>
# <details><summary>The side of the map halves, so each weight is used at a quarter of
# the positions.</summary>
#
# **Right.** Four times the weights, a quarter of the positions: the cost of a block
# stays about the same. Its parameters do not; they gather at the end.
#
# </details>

# %% [markdown]
# **5. Your ResNet-50 needs 4.09 G multiply-adds, the paper's table says 3.8. What is
# the likely reason?**
#
# <details><summary>You counted the norms and biases, and the paper did not.</summary>
#
# **No.** Even if each norm is counted at every position, all of them are less than a
# hundredth of the total.
#
# </details>
# <details><summary>Your bottlenecks have the stride on the 3×3, not on the first
# 1×1.</summary>
#
# **Right.** Then the first 1×1 still works on the large map. With the stride moved, the
# count falls to 3.86.
#
# </details>
# <details><summary>A FLOP is a multiplication or an addition, so the paper's unit is
# another one.</summary>
#
# **No.** That would be a factor of two. The paper's "FLOPs" are multiply-adds.
#
# </details>

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*,
#   2015, arXiv 1512.03385. Sections 3.3, 4.1, 4.2; Tables 1 and 6.
# - The authors' released models: github.com/KaimingHe/deep-residual-networks; in
#   ResNet-50, `res3a_branch2a`, a 1×1, has the stride.
# - K. He et al.: *Delving Deep into Rectifiers*, 2015 ("2015b"), arXiv 1502.01852.
#   Section 2.2: the first weights.
# - K. Simonyan, A. Zisserman: *Very Deep Convolutional Networks*, 2014, arXiv
#   1409.1556. VGG.
# - T. He et al.: *Bag of Tricks for Image Classification with CNNs*, 2018, arXiv
#   1812.01187. ResNet-D.
#
# **Deep dive:** [02b · Cost, groups and first
# weights](02b_cost_and_first_weights.ipynb): why VGG is dearer, what groups buy, and a
# network of 1 202 layers.
#
# **Next:** [Lesson 03](03_cifar10_training.ipynb) trains such a network on CIFAR-10.
