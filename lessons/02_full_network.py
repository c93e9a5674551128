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
# **Reading** 52 minutes · **exercises** 25 minutes · **run time** quick CPU about 20 s
# (two quiet cores), full GPU not measured

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
# images of 32 × 32 pixels. It runs, and it trains. Write down your guesses before you
# go on:
#
# - Of its 11 million parameters, … % never get a gradient from such images.
# - Its test accuracy is … points below that of the same network with the right first
#   layer.
# - ResNet-50 has … times the parameters of ResNet-34.
# - ResNet-152 needs … times the multiplications of VGG-19, a network with 19 layers.
#
# Sections 3 and 4 and the myth at the end have the answers. On the way you build the
# network that the whole family is made from.

# %% [markdown]
# ## 1 · Two stems
#
# This section shows what stands before the first block, and why it differs between
# large and small images. The layers before the first block are called the **stem**.
#
# Photos enter with 224 × 224 pixels. A 3×3 convolution with 64 channels at that size is
# expensive, and neighbouring pixels say nearly the same. So the stem of the ImageNet
# networks shrinks the image first: a 7×7 convolution with stride 2, then a 3×3 max pool
# with stride 2. One position in sixteen is left.
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
# The VGG networks showed that three 3×3 convolutions see as far as one 7×7, with fewer
# weights. With $C$ channels in and out, three layers have $3 \cdot 3^2 C^2 = 27C^2$
# weights, one 7×7 has $7^2 C^2 = 49C^2$. Does that hold for a stem? Guess, then count
# three things:
#
# - **weights**;
# - **multiply-adds**: one weight times one number, added to a sum. `torchinfo` counts
#   them while it runs the layers on an image;
# - the **receptive field**: the patch of pixels that one output position sees. Pixels
#   outside it get a gradient of exactly zero, so a backward pass measures it.


# %%
# Two measuring tools: the cost of a network, and how far one position sees
def size_and_cost(model, image_size=224):
    """Return the number of parameters, and of multiply-adds for one image."""
    device = next(model.parameters()).device
    shape = (1, 3, image_size, image_size)
    summary = torchinfo.summary(model, shape, device=device, verbose=0)
    return summary.total_params, summary.total_mult_adds


def receptive_field(convolutions, size=33):
    """Return the side of the patch of pixels that one output position sees."""
    image = torch.zeros(1, 3, size, size, requires_grad=True)
    output = convolutions(image)
    middle = output.shape[-1] // 2
    output[0, :, middle, middle].sum().backward()
    return (image.grad[0].abs().sum(0) > 0).any(dim=1).sum().item()


# %%
# Compare the 7×7 with stems of 3×3 convolutions
def conv3(in_channels, out_channels, stride=1):
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


stems = {
    "one 7×7, stride 2": nn.Sequential(make_stem("imagenet")[0]),
    "one 3×3, stride 2": nn.Sequential(conv3(3, 64, 2)),
    "three 3×3, stride in the first": nn.Sequential(
        conv3(3, 32, 2), conv3(32, 32), conv3(32, 64)
    ),
    "three 3×3, stride in the last": nn.Sequential(
        conv3(3, 32), conv3(32, 32), conv3(32, 64, 2)
    ),
}
rows = []
for name, stem in stems.items():
    sees, (weights, cost) = receptive_field(stem), size_and_cost(stem)
    rows.append((name, f"{sees} × {sees}", f"{weights:,}", f"{cost / 1e6:.0f} M"))
results.show_table(
    ("convolutions", "one output sees", "weights", "multiply-adds"), rows
)

# %% [markdown]
# The saving needs $C$ channels at *both* ends. The stem has three at its input, so a
# 7×7 kernel is cheap there, and two more layers with 32 channels are not. Three 3×3
# convolutions need three times the multiply-adds, or six times with the stride last.
# (ResNet-C, by T. He et al. 2018, pays the first price for a small gain in accuracy.)
#
# **So what:** on large photos the 7×7 with stride and pool is the cheap way to look at
# a large patch; small images have nothing to give away.

# %% [markdown]
# ## 2 · The whole network
#
# This section builds the class, and shows where its dashed blocks fall. Four **stages**
# follow the stem. The paper calls them conv2 to conv5, code calls them `layer1` to
# `layer4`. Inside a stage all blocks put out the same shape. So a stage is one special
# first block, and then copies of an ordinary one.
#
# The first block may have two jobs: halve height and width (its stride), and widen the
# channels. If it does either, its shortcut is dashed. (In torchvision this function is
# a method, `_make_layer`.)


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
# blocks as separate arguments. There are two ways to get this wrong. Guess what the
# second one prints.


# %%
# Forget the star, or keep the plain list
class KeepsAList(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks


blocks = [models.BasicBlock(64, 64) for _ in range(3)]
try:
    nn.Sequential(blocks)
except TypeError as error:
    print("nn.Sequential(blocks) raises:", error)
for module in (nn.Sequential(*blocks), KeepsAList(blocks)):
    count = sum(p.numel() for p in module.parameters())
    print(f"{type(module).__name__} has {count:,} parameters to train")

# %% [markdown]
# A plain list hides its blocks: no optimiser trains them, `.to(device)` leaves them
# behind, no checkpoint holds them. All of that without an error.
#
# Now the whole network. `layers` says how many blocks each stage has. The paper's Table
# 1 has `(3, 4, 6, 3)` in two columns, for 34 and for 50 layers: the block makes the
# difference. Each layer gets a line of its own, in the order in which `forward` runs
# them; the next cell but one shows why. The shapes in `forward` are for basic blocks,
# the ImageNet stem and images of 224 × 224 pixels.


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
# The loop at the end of the constructor draws the first weights, wide enough that a
# signal survives the ReLUs (He et al. 2015b). The deep dive
# [02b](02b_cost_and_first_weights.ipynb) measures what that is worth.
#
# ### Where the dashed blocks fall
#
# Predict: which blocks of ResNet-34 are dashed, and does ResNet-50 have more of them?
# The networks are built on PyTorch's **meta device**, whose tensors have a shape and no
# numbers, so even ResNet-101 costs no memory.

# %%
# Ask each network which of its blocks has a `downsample`
NETWORKS = {
    "ResNet-18": (models.BasicBlock, (2, 2, 2, 2)),
    "ResNet-34": (models.BasicBlock, (3, 4, 6, 3)),
    "ResNet-50": (models.Bottleneck, (3, 4, 6, 3)),
    "ResNet-101": (models.Bottleneck, (3, 4, 23, 3)),
}
is_dashed = {}
for name, (block, layers) in NETWORKS.items():
    with torch.device("meta"):
        network = ResNet(block, layers)
    is_dashed[name] = {
        f"layer{stage}.{index}": each.downsample is not None
        for stage in range(1, 5)
        for index, each in enumerate(getattr(network, f"layer{stage}"))
    }
    print(name, "dashed:", ", ".join(b for b, yes in is_dashed[name].items() if yes))

# %% tags=["figure"]
# Figure: four rows of squares, one for each network from ResNet-18 to ResNet-101; each
# square is a block, in the order from the stem on, coloured by its stage. A filled
# square has a solid shortcut, an empty one with a dashed outline a dashed shortcut.
fig, axis = plt.subplots(figsize=(9, 2.4))
for row, blocks_of in enumerate(is_dashed.values()):
    for column, (name, dashed) in enumerate(blocks_of.items()):
        style = {"edgecolor": f"C{int(name[5]) - 1}", "fill": not dashed}
        style |= {"facecolor": style["edgecolor"], "linestyle": "--" if dashed else "-"}
        axis.add_patch(plt.Rectangle((column, row), 0.8, 0.6, lw=2, **style))
axis.set(xlim=(-0.5, 33.5), ylim=(4, -0.4), xlabel="block, counted from the stem")
axis.set_yticks([row + 0.3 for row in range(4)], is_dashed)
axis.grid(False)

# %% [markdown]
# One square is one block; a dashed outline is a dashed shortcut; the four colours are
# the four stages.
#
# `layer2`, `layer3` and `layer4` begin with stride 2, so their first block is dashed in
# every network. `layer1` has stride 1: the pool has done the shrinking. With basic
# blocks 64 channels meet 64 channels, and the shortcut is solid. Bottlenecks put out
# 256 channels, so their first block is dashed although its stride is 1.
#
# ### Why the order of the lines matters
#
# Many programs cut a network open with `nn.Sequential(*network.children())`.
# `children()` lists the layers in the order in which the constructor made them. We swap
# the pool and the norm, as a constructor with its lines in another order would.

# %%
# Run the children one after the other, in the right order and in a wrong one
torch.manual_seed(0)
backbone = ResNet(models.BasicBlock, (2, 2, 2, 2), include_top=False)
noise = torch.randn(4, 3, 64, 64)
conv, norm, relu, pool, *stages = backbone.children()
chains = {
    "the order of forward": nn.Sequential(conv, norm, relu, pool, *stages),
    "pool before norm": nn.Sequential(conv, pool, norm, relu, *stages),
}
for mode in ("eval", "train"):
    backbone.train(mode == "train")
    with torch.no_grad():
        for name, chain in chains.items():
            gap = (chain(noise) - backbone(noise)).abs().max().item()
            print(f"{name:21} in {mode} mode: largest difference {gap:.2g}")

# %% [markdown]
# The wrong order gives no error. In evaluation mode it makes no difference either, as
# long as the norms are fresh: they change next to nothing there, and ReLU and maximum
# may trade places. In training mode the norm sees other numbers, and everything after
# it differs.
#
# **So what:** a ResNet is a stem, four calls of one function and a linear layer; four
# numbers and a block name it.

# %% [markdown]
# ## 3 · From image to logits
#
# This section follows an image through the network: first a large photo, then other
# sizes, then the small image behind the wrong stem. Before you run the cell: where are
# most of the numbers, near the image or near the logits?

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
# doubles the channels. A quarter of the positions times twice the channels: half the
# numbers. The last map, 7 × 7, is averaged to one number a channel, and a single linear
# layer reads the classes from it.
#
# ### Other image sizes
#
# The paper's last pool is 7 × 7, because 224 pixels end in 7 × 7 maps.
# `nn.AvgPool2d(7)` says that literally. `nn.AdaptiveAvgPool2d((1, 1))` averages
# whatever arrives. For which image sizes does it matter?

# %%
# Put a fixed and an adaptive pool behind the same stages
with torch.device("meta"):
    stages18 = ResNet(models.BasicBlock, (2, 2, 2, 2), include_top=False)
pools = {"adaptive": nn.AdaptiveAvgPool2d((1, 1)), "fixed 7 × 7": nn.AvgPool2d(7)}
for image_size in (160, 224, 320, 448):
    features = stages18(torch.zeros(1, 3, image_size, image_size, device="meta"))
    print(f"{image_size} pixels, last map {tuple(features.shape[2:])}:", end=" ")
    for name, pool in pools.items():
        try:
            side = pool(features).shape[-1]
            print(f"{name} → {side} × {side};", end=" ")
        except RuntimeError:
            print(f"{name} → error;", end=" ")
    print()

# %% [markdown]
# The linear layer wants 1 × 1. With the fixed pool, maps below 7 × 7 fail in the pool,
# and maps of 14 × 14 or more in the linear layer. Those in between are the trap: at 320
# pixels the pool reads 7 × 7 of 10 × 10 positions and ignores the right and lower edge.
# The adaptive pool takes every size. Whether the network is also *accurate* there
# depends on the sizes it was trained on.

# %% [markdown]
# ### Without the top
#
# Pool and classifier are the network's **top**. The map before them says *what* is
# *where*. Networks that find objects, or that learn new classes from few photos, start
# from this map: `include_top=False` returns it. How do the weights get there?
# `strict=False` allows names that do not match. Read *both* lists that it returns.
# Unexpected names are weights we leave behind. A missing name is a layer that keeps its
# random weights, and nothing else would tell you.

# %%
# Move the weights of a full network into one without a top
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
# Now 32 × 32 pixels behind the ImageNet stem. We ask each parameter whether it can
# matter: one backward pass, and we count those whose gradient is exactly zero.

# %%
# Count the parameters that get no gradient, for both stems
torch.manual_seed(0)
small_images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
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
# positions: four of its nine weights are in use.)
#
# Idle weights are a hint, not a loss of accuracy. So both were trained, in one way: all
# 45 000 training photos of CIFAR-10, 30 epochs, one rise and fall of the learning rate,
# three seeds each. That takes a GPU, so the runs are recorded; the next cell reads
# them.

# %%
# Figure: validation accuracy against the epoch, one line a stem, each a mean of three
# seeds in a band that narrows; the CIFAR stem's line lies above the other throughout.
recorded = {
    "CIFAR stem": results.load_results("stem-cifar-photos-45000"),
    "ImageNet stem": results.load_results("stem-imagenet-photos-45000"),
}
curves = {
    name: [run["history"]["val_accuracy"] for run in runs]
    for name, runs in recorded.items()
}
axis = plotting.plot_seeds(curves)
axis.set(xlabel="epoch", ylabel="validation accuracy")
rows = []
for name, runs in recorded.items():
    test = results.mean_and_range([run["test_accuracy"] for run in runs], ".1%")
    minutes = results.mean_and_range([run["minutes"] for run in runs], ".1f")
    rows.append((name, len(runs), test, minutes, runs[0]["hardware"]))
heads = ("ResNet-18, photos", "seeds", "test accuracy (range)", "minutes", "hardware")
results.show_table(heads, rows)

# %% [markdown]
# Validation accuracy after each epoch, the mean of three seeds in a band from the least
# to the most; in the table, the accuracy on the test images, measured once at the end.
#
# With the CIFAR stem the network reaches
# 90.3 %<!-- results: stem-cifar-* test_accuracy -->, with the ImageNet stem
# 83.9 %<!-- results: stem-imagenet-* test_accuracy -->: the wrong stem costs
# 6.4 points<!-- results: stem-cifar-* test_accuracy -
# stem-imagenet-* test_accuracy -->.
# The worst of three runs with the right stem,
# 90.2 %<!-- results: stem-cifar-* test_accuracy min -->, is far above the best with the
# wrong one, 84.1 %<!-- results: stem-imagenet-* test_accuracy max -->. It is not a
# matter of new images alone: in its last epoch the network with the wrong stem is right
# on 88.5 %<!-- results: stem-imagenet-* history.train_accuracy.-1 --> of the training
# images (cropped and mirrored at random), the other on
# 97.3 %<!-- results: stem-cifar-* history.train_accuracy.-1 -->.

# %% [markdown]
# Two limits. The experiment changes two things at once, the idle weights and the
# sixteenth of the positions on which every stage works; it does not say which does the
# harm. And both networks had the same learning rate, tuned for neither. The wrong stem
# also has a merit, fifteen times fewer multiply-adds. On the GPU of these runs that
# saved little time: 3.6 min<!-- results: stem-imagenet-* minutes --> against
# 3.9 min<!-- results: stem-cifar-* minutes -->.
#
# **So what:** an adaptive pool makes any image size *run*; only a stem that fits leaves
# the last stage something to look at.

# %% [markdown]
# ## 4 · The family, counted
#
# This section counts the family, by hand and with a tool, and finds out why your
# ResNet-50 is not quite the paper's. First one block by hand. A convolution has
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
# Read the list against the class of Lesson 01. It has the ReLU twice, because `forward`
# calls it twice; `print(block)` would show one, because the constructor made one. The
# addition is in neither list, and a solid shortcut leaves no line at all. For the
# *shape* of a network, read its `forward`. (Of a norm the tool counts no more than its
# parameters. "Units.MEGABYTES" is a slip: it means millions.)
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
# same in every stage (the paper's second design rule, section 3.3), a stage costs what
# its number of blocks says, and the parameters gather at the end.
#
# Now all five, beside the "FLOPs" of the paper's Table 1, which are multiply-adds. One
# column moves the stride of each bottleneck from its 3×3 to its first 1×1.


# %%
# Count the family, with the stride of the bottlenecks in two places
def stride_on_the_first_1x1(network):
    """Move the stride of each bottleneck as the authors' model has it, in place."""
    for module in network.modules():
        if isinstance(module, models.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)


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
# this version **v1.5**. Parameters do not change: a stride has no weights. (The last
# digits: the paper's 34 layers have shortcuts without parameters, and its 3.8 looks cut
# off, not rounded.)

# %% [markdown]
# ResNet-50 and ResNet-34 both have $3 + 4 + 6 + 3$ blocks, and a bottleneck has about
# as many weights as a basic block. Its wider projections and a classifier on four times
# the channels make the difference: 1.17 times the parameters.
#
# ### The CIFAR family
#
# For CIFAR-10 the paper built a second, slimmer family (section 4.2): a 3×3 stem with
# 16 channels, *three* stages of $n$ basic blocks with 16, 32 and 64 channels, and
# shortcuts without parameters. Stem, $3 \cdot 2n$ convolutions and classifier make
# $6n + 2$ layers: a ruler for depth, with little else changing.

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
# the network that many CIFAR-10 tutorials call ResNet-18. The paper has no such
# network. It is shallower than ResNet-20 and has about forty times the parameters.
#
# **So what:** a name like "ResNet-50" or "ResNet-18 on CIFAR-10" does not fix the
# network; ask for the stem, the widths and the place of the stride.

# %% [markdown]
# ## 5 · Against torchvision
#
# This section shows how you know that your network is a ResNet: ask one that half the
# world uses. A **state dict** is the dictionary from names to tensors. If its names and
# shapes agree, torchvision's loads into yours with `strict=True`. If the arithmetic
# agrees too, the same images give the same logits.
#
# Nothing is downloaded: torchvision's network starts from random weights. But fresh
# norms do next to nothing in evaluation mode, and would hide many a mistake. So we stir
# them first.


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
# So every checkpoint that torchvision publishes for these networks fits into the class
# you have read. And when it does not? The logits tell *that* something is wrong, not
# *where*. `first_difference` runs both networks with a **hook** on every layer, a
# function that PyTorch calls with the layer's output, and names the first layer whose
# output differs. We damage copies of the last pair, ResNet-50, as happens in real code.
# Predict: which of them still load with `strict=True`?

# %%
# Damage a copy: does it load, and where does it differ?
DAMAGE = {
    "stride on the first 1×1": stride_on_the_first_1x1,
    "another ε in one norm": lambda net: setattr(net.layer3[0].bn2, "eps", 1e-3),
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
# `strict=True` compares the names and shapes of weights. Strides, activations and
# $\varepsilon$ have no weights, so it is blind to them.
#
# **So what:** a checkpoint that loads is no proof of an equal network; equal outputs
# are.

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
# Refuted, on both counts: ResNet-152 has 0.42 times the parameters and 0.59 times the
# multiply-adds. Eight times the depth costs less, because its 3×3 convolutions work on
# far fewer channels at the same map size; the deep dive shows it size by size.

# %% [markdown]
# ## Summary
#
# 1. *Build any ResNet.* A stem, four stages, a pool, a linear layer. The first block of
#    `layer2` to `layer4` is dashed for its stride; with bottlenecks the first of
#    `layer1` is too, for its channels.
# 2. *Choose a stem.* Large photos: shrink by four at once. Small images: do not; on
#    CIFAR-10 the wrong stem left most parameters without a gradient and cost
#    6.4 points<!-- results: stem-cifar-* test_accuracy -
#    stem-imagenet-* test_accuracy --> of test accuracy.
# 3. *Trace the shapes.* From `layer1` on, each step to the next stage halves the side
#    and doubles the channels. An adaptive pool takes any size; without the top the last
#    map comes out.

# %% [markdown]
# 4. *Count.* Weights are $k^2 C_\text{in} C_\text{out}$; multiply-adds are weights
#    times positions. Blocks cost about the same everywhere, and the parameters gather
#    at the end. The stride of v1.5 explains the difference from the paper.
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
# without building it. A stage has $n$ blocks of two 3×3 convolutions each, without
# bias; only the first convolution of a stage may have other channels going in.
# Shortcuts have no parameters. Two steps are missing. Expected: 269 722 for depth 20
# with 10 classes.


# %% tags=["exercise"]
# Exercise: add the rest of each stage, and the classifier
def cifar_parameters(depth, num_classes=10):
    """Return the number of parameters of `cifar_resnet(depth, num_classes)`."""

    def conv_and_norm(in_channels, out_channels):
        return 9 * in_channels * out_channels + 2 * out_channels

    total = conv_and_norm(3, 16)  # the stem
    for in_channels, channels in ((16, 16), (16, 32), (32, 64)):
        total += conv_and_norm(in_channels, channels)  # the first of the stage
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

    total = conv_and_norm(3, 16)  # the stem
    num_blocks = (depth - 2) // 6
    for in_channels, channels in ((16, 16), (16, 32), (32, 64)):
        total += conv_and_norm(in_channels, channels)  # the first of the stage
        total += (2 * num_blocks - 1) * conv_and_norm(channels, channels)
    return total + 64 * num_classes + num_classes


check.cifar_parameters(cifar_parameters)

# %% [markdown]
# ### ★★★ A shortcut that sees everything
#
# With v1.5 the 3×3 sees every position. One layer still looks at one in four: the 1×1
# with stride 2 in a dashed shortcut. ResNet-D (T. He et al. 2018) takes the mean over 2
# × 2 positions first, and then the 1×1 with stride 1. Write
# `averaged_shortcuts(network)`. It returns a *copy* in which every dashed shortcut with
# stride 2 works like this, with the same 1×1 weights and the same norm; one with stride
# 1 stays as it is. Any image size must still pass. (Behind a stride of 2 a map of 9 × 9
# becomes 5 × 5. What does `nn.AvgPool2d(2)` make of it, and what with
# `ceil_mode=True`?)


# %% tags=["exercise"]
# Exercise: average, then project
def averaged_shortcuts(network):
    """Return a copy whose shortcuts with stride 2 average before they project."""
    raise NotImplementedError


check.averaged_shortcuts(averaged_shortcuts)


# %% tags=["solution"]
# Solution
def averaged_shortcuts(network):
    """Return a copy whose shortcuts with stride 2 average before they project."""
    changed = copy.deepcopy(network)
    for block in changed.modules():
        downsample = getattr(block, "downsample", None)
        if downsample is None or downsample[0].stride == (1, 1):
            continue
        conv, norm = downsample
        conv.stride = (1, 1)
        block.downsample = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), conv, norm)
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
# **2. You load weights with strict=False, and no error comes. Which list must be empty
# before you trust the network?**
#
# <details><summary>The missing names: layers that keep their random weights.</summary>
#
# **Right.** The network has these layers and the file does not. They stay as they were
# drawn, and the outputs are noise that looks like logits.
#
# </details>
# <details><summary>The unexpected names: weights in the file that found no layer in the
# network.</summary>
#
# **No.** These are only left behind. Without a top, that is what we wanted of
# `fc.weight` and `fc.bias`.
#
# </details>
# <details><summary>Neither: strict=False sorts out by itself whatever does not
# fit.</summary>
#
# **No.** It only keeps silent about names. And where a name fits and the shape does
# not, it raises an error all the same.
#
# </details>

# %% [markdown]
# **3. A checkpoint loads into your network with strict=True, without a complaint. What
# do you know?**
#
# <details><summary>The names and shapes of all weights agree, and no more.</summary>
#
# **Right.** Strides, activations and $\varepsilon$ have no weights, so loading cannot
# see them. Equal outputs for equal images prove more.
#
# </details>
# <details><summary>Both networks compute the same, up to rounding.</summary>
#
# **No.** Three of the four damaged networks in section 5 loaded as well. Each computed
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
#   1812.01187. ResNet-C and ResNet-D.
#
# **Deep dive:** [02b · Cost, groups and first
# weights](02b_cost_and_first_weights.ipynb): why VGG is dearer, what groups buy, and 1
# 202 layers.
#
# **Next:** [Lesson 03](03_cifar10_training.ipynb) trains such a network on CIFAR-10.
