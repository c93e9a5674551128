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
# # 02b · Cost, groups and first weights
#
# Read this if you choose or change networks: it shows where multiplications go, what
# groups buy with them, what the scale of the first weights still decides, and how deep
# one can go.
#
# **After this deep dive you can**
#
# 1. say at which map size a network spends its work;
# 2. turn a bottleneck into a ResNeXt block, and say why one would;
# 3. say what first weights do with norms and without;
# 4. judge the paper's network of 1 202 layers.
#
# **Know first:** [Lesson 02](02_full_network.ipynb).
#
# **Reading** 22 minutes · **run time** quick CPU about 20 s (two quiet cores), full GPU
# about 38 s (shared H200)

# %% tags=["setup"]
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
import torchvision
from torch import nn

from course_utils import models, plotting
from course_utils.results import mean_and_range, show_table
from course_utils.session import start

session = start(seed=0)
plotting.course_style()

# %% [markdown]
# ## 1 · Why VGG is dearer
#
# This section finds out why ResNet-152 costs less than VGG-19. A tempting answer: VGG
# works on large maps, where ResNet's stem has shrunk the image by four. Guess first:
# how much of VGG-19's work is done on maps of 112 pixels and more?
#
# We count by hand this time. A **forward hook** is a function that PyTorch calls
# whenever a layer has run. A convolution uses $k^2\,C_\text{in}/g$ weights for each
# number that it puts out ($g$ groups; 1 until section 2).


# %%
# Count the multiply-adds of each layer, by the side of its map
def multiply_adds_by_side(model, image_size=224):
    """Return for each side of a map the multiply-adds of one image, in one pass."""
    counts, handles = {}, []

    def hook(layer, inputs, output):
        side = output.shape[-1] if output.ndim == 4 else 1
        cost = layer.weight[0].numel() * output[0].numel()
        counts[side] = counts.get(side, 0) + cost

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            handles.append(layer.register_forward_hook(hook))
    with torch.no_grad():
        model(torch.zeros(1, 3, image_size, image_size, device="meta"))
    for handle in handles:
        handle.remove()
    return counts


# %%
# Compare three networks, map by map
names = ("vgg19", "resnet34", "resnet152")
by_side = {}
for name in names:
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None).eval()
    by_side[name] = multiply_adds_by_side(network)
rows = [
    (f"{side} × {side}", *(f"{by_side[n].get(side, 0) / 1e9:.2f} G" for n in names))
    for side in (224, 112, 56, 28, 14, 7, 1)
]
rows.append(("all", *(f"{sum(by_side[n].values()) / 1e9:.2f} G" for n in names)))
show_table(("map", *names), rows)

# %% [markdown]
# The tempting answer is not enough. VGG-19 spends 4.7 of its 19.6 G on the two large
# maps. On maps of 56 and 28 pixels it spends 12.9 G: more than the whole ResNet-152.
#
# What differs there is the number of channels. At 56 pixels VGG-19 has 256, ResNet-34
# has 64, and the 3×3 of a bottleneck works on 64 as well. Four times the channels at
# both ends of a convolution are sixteen times the weights, each used at every position.
# (The last row but one, 1 × 1, holds the fully connected layers: most of VGG's
# *parameters*, next to none of its work.)

# %% [markdown]
# Cheap was not worse. In the paper's Table 3, with the scores of ten cut-outs of each
# photo averaged, VGG-16 has a top-1 error of 28.07 %, ResNet-34 of 24.52 % (projections
# where the shape changes), ResNet-152 of 21.43 %.
#
# **So what:** depth is cheap where each layer has few channels.

# %% [markdown]
# ## 2 · Groups: ResNeXt
#
# This section changes one layer and spends what that saves. An ordinary 3×3 connects
# every channel with every other. Must it? A **grouped** convolution cuts its channels
# into $g$ parts that do not see each other, and needs a $g$-th of the weights. ResNeXt
# (Xie et al. 2016) cuts the 3×3 of each bottleneck into 32 groups and makes it twice as
# wide. The 1×1 before and after it mix the groups. Only the width is new:
#
# $$\text{width} = \texttt{groups} \cdot \text{channels} \cdot
# \frac{\texttt{base\_width}}{64}$$
#
# In "32×4d" each of the 32 groups has 4 channels in the first stage. The 64 is the
# width of ResNet's own bottleneck there, so one group of 64 changes nothing.


# %%
# A bottleneck with groups: five layers get another width
class ResNeXtBlock(models.Bottleneck):
    """Return ``relu(F(x) + shortcut(x))``; the 3×3 of F has groups."""

    def __init__(
        self,
        in_channels,
        channels,
        stride=1,
        downsample=None,
        groups=32,
        base_width=4,
    ):
        super().__init__(in_channels, channels, stride, downsample)
        width = groups * (channels * base_width // 64)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, padding=1, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels * self.expansion, 1, bias=False)


# %%
# Build ResNeXt-50 from it, and set it beside ResNet-50 and torchvision's
with torch.device("meta"):
    resnext = models.ResNet(ResNeXtBlock, (3, 4, 6, 3), groups=32, width_per_group=4)
    theirs = torchvision.models.resnext50_32x4d(weights=None)
    networks = {"ResNet-50": models.resnet50(), "ResNeXt-50 32×4d": resnext}
ours = {name: tensor.shape for name, tensor in resnext.state_dict().items()}
same = ours == {name: tensor.shape for name, tensor in theirs.state_dict().items()}
print("names and shapes are torchvision's:", same)
PUBLISHED = {"ResNet-50": "23.9 %", "ResNeXt-50 32×4d": "22.2 %"}  # Table 3
rows = []
for name, network in networks.items():
    conv2 = network.layer1[0].conv2
    cost = sum(multiply_adds_by_side(network.eval()).values())
    size = sum(p.numel() for p in network.parameters())
    inner = conv2.out_channels, f"{conv2.weight.numel():,}"
    rows.append((name, *inner, f"{size:,}", f"{cost / 1e9:.2f} G", PUBLISHED[name]))
heads = ("network", "width of the first 3×3", "its weights", "parameters")
show_table((*heads, "multiply-adds", "top-1 error, Xie et al."), rows)

# %% [markdown]
# The package's `ResNet` takes two options more than lesson 02's and hands them to its
# blocks: `groups`, and `width_per_group`, which a block calls `base_width` (both as in
# torchvision).
#
# The 3×3 is twice as wide and has an eighth of the weights; the two 1×1 beside it are
# twice as large and use that up. Size and cost are about the same. The error that the
# authors report (ImageNet validation, one crop) is 1.7 points lower, and lower in
# training too: they take it for a better representation, not for less overfitting.
#
# **So what:** at equal cost, more and narrower paths beat fewer wide ones, in the
# authors' runs; nothing here was trained by us.

# %% [markdown]
# ## 3 · The first weights
#
# This section asks what the scale of the first weights does: first without norms, then
# with them. The constructor of `ResNet` draws each weight of a convolution with
#
# $$\operatorname{Var}(w) = \frac{2}{k^2\,C_\text{out}} \qquad\text{(fan-out)}.$$
#
# ReLU throws away half of a signal's mean square; the 2 gives it back. Without groups,
# the **fan-out** $k^2 C_\text{out}$ counts the terms that are summed when the
# *gradient* passes back. **Fan-in**, $k^2 C_\text{in}$, counts those of the *forward*
# sum. We send noise through 33 convolutions that widen as ResNet-34 does (at half its
# widths), without norms and shortcuts.


# %%
# Send noise forward and a gradient back, for three ways to draw the weights
def gains(initialise, seed):
    """Return last by first output, and first by last gradient, as RMS ratios."""
    torch.manual_seed(seed)
    x, outputs = torch.randn(4, 3, 8, 8), []
    for channels in pairwise([3] + [32] * 7 + [64] * 8 + [128] * 12 + [256] * 6):
        # circular: padding with zeros would take a part of every sum at the edge
        conv = nn.Conv2d(*channels, 3, padding=1, padding_mode="circular", bias=False)
        initialise(conv.weight)
        outputs.append(conv(x))
        outputs[-1].retain_grad()
        x = outputs[-1].relu()
    (outputs[-1] * torch.randn_like(outputs[-1])).sum().backward()
    rms = [y.detach().square().mean().sqrt().item() for y in outputs]
    grad = [y.grad.square().mean().sqrt().item() for y in outputs]
    return rms[-1] / rms[0], grad[0] / grad[-1]


kaiming = nn.init.kaiming_normal_
SCHEMES = {
    "PyTorch's default": lambda weight: None,
    "Kaiming, fan-in": lambda weight: kaiming(weight, mode="fan_in"),
    "Kaiming, fan-out": lambda weight: kaiming(weight, mode="fan_out"),
}
num_seeds = session.pick(quick=5, full=20)
rows = []
for name, initialise in SCHEMES.items():
    found = [gains(initialise, seed) for seed in range(num_seeds)]
    rows.append((name, *(mean_and_range(v, ".2g") for v in zip(*found, strict=True))))
show_table(("first weights", "output: last / first", "gradient: first / last"), rows)

# %% [markdown]
# Mean and range over the seeds. PyTorch's default draws a smaller variance and loses
# the signal both ways. Fan-in is made to hold the outputs level; its gradient then
# doubles its mean square at each of three widenings, $\sqrt 8 \approx 2.8$ in all.
# Fan-out does the opposite. Single seeds scatter widely around this. Either is good
# enough, as He et al. 2015b argue (section 2.2): such factors do not pile up with
# depth.
#
# PyTorch's fan-out overlooks groups. With 32 groups of 4 channels a gradient comes back
# through 4 channels, $9 \cdot 4 = 36$ terms; PyTorch counts $9 \cdot 128 = 1152$. Does
# such a wrong scale matter? With norms the outputs hardly notice it. The next cell
# multiplies all convolutions of a ResNet-18 by ten.

# %%
# Multiply all convolutions by ten: what do the logits and the gradient do?
torch.manual_seed(0)
resnet18 = models.resnet18(10, stem="cifar")
images, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 10


def logits_and_gradient(network):
    """Return logits, and the gradient's length at one convolution."""
    network.zero_grad()
    logits = network(images)
    nn.functional.cross_entropy(logits, labels).backward()
    return logits.detach(), network.layer3[0].conv1.weight.grad.norm().item()


logits, gradient = logits_and_gradient(resnet18)
with torch.no_grad():
    for layer in resnet18.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(10)
scaled_logits, scaled_gradient = logits_and_gradient(resnet18)
change = ((scaled_logits - logits).abs().max() / logits.abs().max()).item()
print(f"largest change of a logit: {change:.2%} of the largest logit")
print(f"gradient: {scaled_gradient / gradient:.3f} times what it was")

# %% [markdown]
# A norm divides by the standard deviation that it finds, so the logits hardly move (the
# rest is the $\varepsilon$ inside the norm). The gradient shrinks by the factor by
# which the weights grew. So one step of SGD with the same learning rate moves ten times
# larger weights by a tenth as much: a hundredth, relative to the weights.
#
# **So what:** without norms, the first weights decide whether a signal arrives; with
# norms, they decide how fast the network learns at first.

# %% [markdown]
# ## 4 · 1 202 layers
#
# This section goes as deep as the paper went. In its CIFAR family of $6n + 2$ layers,
# $n = 200$ gives **1 202 layers**. Does a gradient reach the first of them, and that of
# the plain twin?

# %%
# Measure the gradient at the first convolution, for three seeds
images, labels = torch.randn(8, 3, 16, 16), torch.arange(8)
rows = []
for build in (models.cifar_resnet, models.cifar_plain):
    for depth in (20, 110, 1202):
        lengths = []
        for seed in range(3):
            torch.manual_seed(seed)
            network = build(depth)
            nn.functional.cross_entropy(network(images), labels).backward()
            lengths.append(network.conv1.weight.grad.norm().item())
        rows.append((build.__name__, depth, *(f"{length:.4g}" for length in lengths)))
show_table(("network", "layers", "seed 0", "seed 1", "seed 2"), rows)

# %% [markdown]
# The length of the gradient at the first convolution, before any training. In the plain
# network each layer multiplies it by some factor. With 90 layers more it is over a
# million times longer; with 1 202, a number on the way back grew past the largest one
# of 32 bits (`nan`).

# %% [markdown]
# The residual network's grows as well. But a block *adds* to the sum, and the longer
# the sum has become, the less one more part changes it. So eleven times the depth, from
# 110 layers on, makes it about twenty times longer: a power of the depth, not a factor
# for each layer. The authors trained this network. (At 110 layers they began with a
# learning rate of 0.01 in place of 0.1.)
#
# Did depth make the network better? Here are the authors' own test errors.

# %% tags=["figure"]
# Figure: the paper's test error on CIFAR-10 against the number of layers, on a
# logarithmic axis. A dot for each depth, falling from 20 to 110 layers and higher again
# at 1 202; the dot at 110 is a mean of five runs with a bar of one standard deviation.
ERRORS = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}  # Table 6
fig, axis = plt.subplots(figsize=(6, 2.9))
deviations = [0.16 if depth == 110 else float("nan") for depth in ERRORS]
axis.errorbar(list(ERRORS), list(ERRORS.values()), deviations, fmt="o-", capsize=4)
axis.set(xscale="log", xlabel="layers", ylabel="test error (%)", ylim=(6, 9.2))
axis.set_xticks(list(ERRORS), list(ERRORS))
axis.minorticks_off()
plt.show()

# %% [markdown]
# CIFAR-10 test errors of the paper's Table 6: one run each, but at 110 layers the mean
# of five and their standard deviation (the paper also quotes the best of the five,
# 6.43).
#
# With 1 202 layers the error is 1.32 points above that mean. It *trained*: less than
# 0.1 % training error, and the authors saw no difficulty in optimising it. So this is
# not degradation, where the training error rises. The authors put it down to
# overfitting: 19.4 M parameters for 50 000 small images.

# %% [markdown]
# It was not the last word. Three months later the same authors moved norm and ReLU in
# front of the convolutions (He et al. 2016, Table 3). With the old bottlenecks 164
# layers have an error of 5.93 %, 1 001 layers 7.61 %; with the new ones 5.46 % and
# 4.92 %.
#
# **So what:** with shortcuts 1 202 layers trained; whether such depth paid depended on
# the block.

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*,
#   2015, arXiv 1512.03385. Section 4.2; Tables 3 and 6.
# - K. He et al.: *Delving Deep into Rectifiers*, 2015 ("2015b"), arXiv 1502.01852.
# - K. He et al.: *Identity Mappings in Deep Residual Networks*, 2016, arXiv 1603.05027.
#   Tables 3 and 4; the 4.92 is the median of five runs, their mean is 4.89.
# - S. Xie et al.: *Aggregated Residual Transformations for Deep Neural Networks*, 2016,
#   arXiv 1611.05431. Tables 1 and 3.
# - K. Simonyan, A. Zisserman: *Very Deep Convolutional Networks*, 2014, arXiv
#   1409.1556. VGG.
#
# **Back to:** [Lesson 02](02_full_network.ipynb). **Next:** [Lesson
# 03](03_cifar10_training.ipynb).
