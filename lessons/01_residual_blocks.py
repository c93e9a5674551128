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
# # 01 · Residual blocks
#
# **After this lesson you can**
#
# 1. tell the degradation problem from overfitting and from vanishing gradients;
# 2. say when a shortcut helps, and when it is in the way;
# 3. compute BatchNorm by hand, in training and in evaluation mode;
# 4. write `BasicBlock` and `Bottleneck`, and derive what a stack of blocks adds up to;
# 5. decide when a shortcut needs a layer of its own.
#
# **Know first:** convolutions, ReLU and gradient descent in PyTorch, as a first
# course on deep learning teaches them. Nothing about ResNets.
#
# **Reading** 40 minutes · **exercises** 25 minutes · **run time** quick CPU about
# 75 s (two quiet cores), full GPU not measured

# %% [markdown]
# ## Three questions from before
#
# Answer each aloud before you open it.
#
# <details><summary>A 3×3 convolution with padding 1 and stride 2 takes 16 channels of
# 32 × 32 numbers to 32 channels. What is the shape of its output, and how many weights
# has it?</summary>
#
# (32, 16, 16): stride 2 halves height and width. It has 3 · 3 · 16 · 32 = 4,608
# weights.
#
# </details>
# <details><summary>What does a ReLU do to the gradient that comes back to
# it?</summary>
#
# Where its input was positive, the gradient passes unchanged. Where it was negative,
# the gradient becomes zero.
#
# </details>
# <details><summary>How does a training show that its learning rate is too small, or too
# large?</summary>
#
# Too small: the loss falls, but slowly. Too large: the loss jumps about, stays high, or
# grows without end.
#
# </details>

# %% tags=["setup"]
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from course_classroom.checks import lesson_01 as check
from course_utils import models
from course_utils.data.cifar10 import load_cifar10
from course_utils.plotting import course_style, plot_seeds, show_images
from course_utils.results import load_results, pivot, show_table
from course_utils.session import start

session = start(seed=0)
course_style()

# %% [markdown]
# ## A question first
#
# You have a network that classifies images. You make a second one, with more layers of
# the same kind in its middle. Both are trained in the same way on the same images.
#
# Which of them ends with the lower loss **on the training images**? Write down your
# answer, and a reason: the shallow one, the deep one, or no difference.

# %% [markdown]
# ## 1 · The degradation problem
#
# This section answers the question.
#
# A **plain** network is a chain of convolutions. Ours is made of pairs. Each
# convolution is followed by a BatchNorm, which rescales its output (section 3), and by
# a ReLU. "Norm" will always mean this layer.


# %%
# A pair of convolutions: the plain block
class PlainBlock(nn.Module):
    """Two 3×3 convolutions, each with its norm and its ReLU."""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)  # overwrites its input: saves memory
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


# %% [markdown]
# `cifar_plain(depth)` stacks such pairs between a first convolution and a linear
# classifier; the depth counts convolutions and classifier. In its twin,
# `cifar_resnet(depth)`, each pair also has a **shortcut**, which adds the pair's input
# to its output. Both come from He et al. 2015, section 4.2, "the paper" from here on.
#
# Every experiment of this course has two sizes: the **quick profile** for a laptop, the
# **full profile** for a GPU. `session.pick(quick=…, full=…)` shows both. The quick one
# takes 512 images here, shrunk to 8 × 8 pixels.

# %%
# The images: small CIFAR-10 photos of ten classes, or drawings in their place
splits = load_cifar10(session.data_dir)
print(splits.describe())
num_images = session.pick(quick=512, full=45_000)
size = session.pick(quick=8, full=32)  # pixels a side
images = torch.from_numpy(splits.train.images[:num_images]).permute(0, 3, 1, 2) / 255
images = (images - 0.5) / 0.25  # about mean 0 and variance 1
images = F.avg_pool2d(images, 32 // size).to(session.device)
labels = torch.from_numpy(splits.train.labels[:num_images]).to(session.device)

# %% tags=["figure"]
# Figure: eight training images in one row, each with the name of its class above it.
show_images(
    splits.train.images[:8], [splits.classes[i] for i in splits.train.labels[:8]]
)
plt.show()

# %% [markdown]
# Now the training: the same optimiser, learning rate and order of images for every
# network.


# %%
# The training: some steps of gradient descent
def fit(model, seed, num_steps, lr):
    """Return the mean training loss of the last 20 steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(num_steps):
        batch = torch.randint(len(images), (64,), generator=generator)
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


# %% tags=["long-run"]
# Two families, each at several depths, three seeds of each
DEPTHS = session.pick(quick=(8, 44), full=(8, 20, 56))
NUM_STEPS = session.pick(quick=120, full=1000)
LR = session.pick(quick=0.005, full=0.05)
FAMILIES = {"plain": models.cifar_plain, "residual": models.cifar_resnet}
runs = []
for network, build in FAMILIES.items():
    for depth in DEPTHS:
        for seed in range(3):
            torch.manual_seed(seed)
            model = build(depth).to(session.device)
            end = fit(model, seed, NUM_STEPS, LR)
            runs.append({"network": network, "depth": depth, "end": end})
            print(f"{network}, {depth} layers, seed {seed}: {end:.2f}")

# %% [markdown]
# A row a family, a column a depth, in each cell the mean of three seeds with their
# range. What did you predict?

# %%
# The training loss at the end, the mean of 20 steps
show_table(*pivot(runs, rows="network", columns="depth", value="end", form=".2f"))
session.report(
    f"training loss at {DEPTHS[-1]} layers, residual, last seed: {runs[-1]['end']:.2f}",
    data=splits.describe(),
)

# %% [markdown]
# ### The same on photos, for longer
#
# The project trained the same families on 10 000 CIFAR-10 photos in full size, for 15
# epochs or about 1 200 steps, 2 % of the paper's 64 000. The runs are recorded in
# `results/`. Your numbers differ: yours are training losses on 512 thumbnails, so few
# that a deep network can learn them by heart.

# %%
# Recorded runs on photos: the test accuracy, mean and range of three seeds
recorded = [run for run in load_results("degradation") if run["train_size"] == 10_000]
recorded.sort(key=lambda run: run["depth"])
show_table(*pivot(recorded, rows="network", columns="depth", value="test_accuracy"))

# %% tags=["figure"]
# Figure: training loss against epoch on photos, in two panels with one scale: plain
# networks on the left, residual ones on the right. One dashed line for each depth, the
# mean over the seeds, in a band from the least to the most.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for axis, network in zip(axes, ("plain", "residual"), strict=True):
    curves = {}
    for run in recorded:
        if run["network"] == network:
            curve = run["history"]["train_loss"]
            curves.setdefault(f"{run['depth']} layers", []).append(curve)
    plot_seeds(curves, axis, linestyle="--")
    axis.set(title=f"{network}, 10,000 photos", xlabel="epoch")
axes[0].set_ylabel("training loss (cross-entropy)")
plt.show()

# %% [markdown]
# Training loss by epoch, mean over the seeds in a band from the least to the most.
#
# *Plain*: from 8 to 20 layers the loss at the end falls, from 0.89<!-- results:
# degradation-plain8-photos-10000-seed* history.train_loss.-1 -->
# to 0.80<!-- results:
# degradation-plain20-photos-10000-seed* history.train_loss.-1 -->.
# With 56 layers it is 1.72<!-- results:
# degradation-plain56-photos-10000-seed* history.train_loss.-1 -->:
# the network with most layers fits its own training photos worst. That is the
# **degradation problem**.
#
# *Residual*: 0.89<!-- results:
# degradation-residual8-photos-10000-seed* history.train_loss.-1 -->,
# 0.64<!-- results:
# degradation-residual20-photos-10000-seed* history.train_loss.-1 -->
# and 0.61<!-- results:
# degradation-residual56-photos-10000-seed* history.train_loss.-1 -->.
# No depth does harm; from 20 to 56 layers the test accuracy gains little.
#
# Six times the steps, on all 45 000 photos, narrow the gap and do not close it
# ([01b](01b_why_plain_networks_fail.ipynb)); nor do 64 000 in the paper (Figure 6).

# %% [markdown]
# ### Two suspects
#
# **Overfitting** means: good on the training images, poor on others. The plain network
# of 56 layers gets 36 %<!-- results:
# degradation-plain56-photos-10000-seed* history.train_accuracy.-1 -->
# of its *training* photos right (cropped and flipped), and 37 %<!-- results:
# degradation-plain56-photos-10000-seed* test_accuracy -->
# of the others. There is no gap, so nothing is overfitted.
#
# The other suspect: **vanishing gradients**, so short at the first layers that these
# learn nothing. "Myths" measures them.
#
# Set the extra layers to the **identity**, $f(x) = x$, and the deep network computes
# what the shallow one does. Training does not find this solution.
#
# **So what:** more layers can make a network fit even its own training images worse.
# It is a failure of training, and not overfitting.

# %% [markdown]
# ## 2 · Identity: hard and free
#
# This section shows which function a shortcut makes easy, and which it does not.
#
# Call what two convolutions with their norms compute the **branch** $F(x)$. A plain
# pair puts out $\mathrm{ReLU}(F(x))$, a residual pair $\mathrm{ReLU}(F(x) + x)$. The
# input comes out of an earlier ReLU, so it is never negative.
#
# Can the plain pair be the identity? Yes; 01b puts this solution in by hand.
#
# For the residual pair a solution is easier to name: $F(x) = 0$. A norm ends with a
# learned factor $\gamma$, and a learned shift that starts at zero (section 3). With the
# last $\gamma$ at zero the branch is silent, whatever the convolutions hold.

# %% [markdown]
# Does gradient descent find them? Both pairs race to the identity, on fresh random
# inputs at each step. As a **control** they also race to zero, and to the input shifted
# by one pixel. A shortcut that helps with everything would win all three races. Predict
# each winner.


# %%
# One race: fit a pair to a target function
def make_branch(channels=16):
    """Return two 3×3 convolutions with norms, and a ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )


def race(target, residual, zero_gamma=False, seed=0):
    """Return the mean squared error from the target at every step."""
    torch.manual_seed(seed)
    branch = make_branch()
    if zero_gamma:
        nn.init.zeros_(branch[-1].weight)
    optimizer = torch.optim.SGD(branch.parameters(), lr=0.1, momentum=0.9)
    errors = []
    for _ in range(session.pick(quick=250, full=1000)):
        x = torch.randn(16, 16, 8, 8).relu()
        out = branch(x) + x if residual else branch(x)
        error = F.mse_loss(F.relu(out), target(x))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    return errors


# %% tags=["long-run"]
# Three targets, two kinds of pair, three seeds
TARGETS = {
    "identity": lambda x: x,
    "zero": torch.zeros_like,
    "shift": lambda x: F.pad(x, (1, 0))[..., :-1],  # to the right, a zero comes in
}
races = []
for target, function in TARGETS.items():
    for pair in ("plain", "residual"):
        for seed in range(3):
            errors = race(function, pair == "residual", seed=seed)
            end = sum(errors[-10:]) / 10
            races.append({"pair": pair, "target": target, "end": end})
show_table(*pivot(races, rows="pair", columns="target", value="end", form=".1e"))

# %% [markdown]
# The error over the last ten steps, mean and range of three seeds.
#
# The residual pair wins the race to the identity by far, and loses the race to zero,
# where its branch has to cancel the input. At the shift neither leads.
#
# So a shortcut moves the easy place from zero to the identity. If the best thing an
# extra block can do is *nearly nothing*, the branch only has to learn the small
# difference $F(x) = f(x) - x$, the **residual**.

# %% [markdown]
# What if the last $\gamma$ *starts* at zero? Can such a pair still learn? Predict.

# %%
# γ = 0 at the start: on the way to the identity, and to the shift
for target in ("identity", "shift"):
    for pair in ("plain", "residual"):
        errors = race(TARGETS[target], pair == "residual", zero_gamma=True)
        print(f"{target}, {pair}: first {errors[0]:.2f}, last {errors[-1]:.2f}")

# %% [markdown]
# The residual pair with $\gamma = 0$ *is* the identity, from its first step. It can
# still learn the shift: its sum is $x$, and where $x$ is positive the ReLU lets a
# gradient through to $\gamma$. The plain pair puts out zeros, its ReLU passes nothing
# back, and it never leaves its start; its error moves only with the inputs.
#
# **So what:** a shortcut helps where the best function is nearer to "change nothing"
# than to "put out zero".

# %% [markdown]
# ## 3 · BatchNorm by hand
#
# This section shows that a norm is two functions in one layer.
#
# **BatchNorm** (Ioffe and Szegedy 2015) takes, for each channel, all
# $m = B \cdot H \cdot W$ numbers of a batch, and computes their mean $\mu$ and variance
# $\sigma^2$. Then
#
# $$y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta .$$
#
# The fraction has mean 0 and variance 1. The learned $\gamma$ and $\beta$, one pair a
# channel, choose a new scale and shift.
#
# At prediction time there may be only one image. So the norm also keeps **running
# statistics**, moving averages of mean and variance over the training batches. In
# evaluation mode it uses those.


# %%
# The norm, written out
class BatchNorm2d(nn.Module):
    """Normalise each channel over batch, height and width."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))  # γ
        self.bias = nn.Parameter(torch.zeros(num_features))  # β
        # buffers: saved with the weights, but not trained
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean = x.mean(dim=(0, 2, 3))
            var = x.var(dim=(0, 2, 3), correction=0)  # divided by m
            m = x.numel() / x.shape[1]
            with torch.no_grad():  # lerp_: a step from the old value to the new
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * m / (m - 1), self.momentum)  # over m - 1
        shape = (1, -1, 1, 1)  # one number a channel
        x = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + self.eps)
        return self.weight.view(shape) * x + self.bias.view(shape)


# %% [markdown]
# `momentum=0.1` (the norm's, not the optimiser's): each batch replaces a tenth of the
# running statistics. Is ours right?

# %%
# Ours against PyTorch's: five batches in training mode, then one in evaluation mode
torch.manual_seed(0)
ours, theirs = BatchNorm2d(8), nn.BatchNorm2d(8)
for mode in ["train"] * 5 + ["eval"]:
    x = 2 * torch.randn(4, 8, 3, 3) + 1
    outputs = [norm.train(mode == "train")(x) for norm in (ours, theirs)]
    print(f"{mode:5} largest difference {(outputs[0] - outputs[1]).abs().max():.0e}")

# %% [markdown]
# The differences are those of rounding. From here on we use PyTorch's.
#
# ### Two modes, two functions
#
# Now one image goes through a norm twice, each time in the company of 31 others. How
# much does its output change?

# %%
# One image in two companies
norm = nn.BatchNorm2d(3).to(session.device)
for mode in ("train", "eval"):
    norm.train(mode == "train")
    first = norm(images[:32])[0]
    second = norm(torch.cat([images[:1], images[32:63]]))[0]
    print(f"{mode:5} mode: changed by up to {(first - second).abs().max():.2f}")

# %% [markdown]
# In training mode an image's output depends on its neighbours in the batch; forget
# `model.eval()`, and so does a prediction. (The paper uses no **dropout**.)
#
# **So what:** a network with norms is one function in training and another in
# evaluation; say which you mean before you call it.

# %% [markdown]
# ## 4 · The basic block
#
# This section writes the block and derives what a stack of blocks adds up to.
#
# `expansion` is output channels divided by `channels`: 1 here, 4 in section 5.


# %%
# The block: a branch of two convolutions, and a shortcut beside it
class BasicBlock(nn.Module):
    """Return ``relu(F(x) + shortcut(x))``, where F is two 3×3 convolutions."""

    expansion = 1

    def __init__(self, in_channels, channels, stride=1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x):
        # shapes for BasicBlock(64, 64) and x of (B, 64, 32, 32)
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))  # (B, 64, 32, 32)
        out = self.bn2(self.conv2(out))  # (B, 64, 32, 32), no ReLU yet
        return self.relu(out + identity)  # (B, 64, 32, 32)


# %% [markdown]
# **No bias before a norm:** the norm subtracts the mean, and a bias with it.


# %% tags=["figure"]
# Figure: four blocks as diagrams, their layers as boxes from top to bottom. Plain:
# convolution, norm, ReLU, convolution, norm, ReLU. Basic, solid: the same with an
# addition before the last ReLU, which a line from the input reaches past all layers.
# Basic, dashed: that line is dashed and passes a box "A: zeros, or B: conv 1×1, norm".
# Bottleneck: three convolutions, 1×1, 3×3 and 1×1, and a solid line.
def draw_block(axis, title, layers, shortcut=None):
    """Draw a block: its branch as boxes from top to bottom, its shortcut beside."""
    place = {"ha": "center", "va": "center", "fontsize": 9}
    for row, text in enumerate(layers):
        colour = {"R": "C4", "+": "C2"}.get(text[0], "C0")
        box = {"boxstyle": "round", "alpha": 0.35, "facecolor": colour}
        axis.text(0, -row, text, bbox=box, **place)
        arrow = {"arrowstyle": "-|>", "color": "black"}
        axis.annotate("", (0, -row + 0.28), (0, -row + 0.72), arrowprops=arrow)
    if shortcut is not None:
        end, style = -layers.index("+"), "--" if shortcut else "-"
        axis.plot([0, 1.5, 1.5, 0.3], [0.55, 0.55, end, end], style, color="C1")
        axis.plot(0.3, end, "<", color="C1")
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "C1"}
        if shortcut:
            axis.text(1.5, end / 2, shortcut, bbox=box, **place)
    axis.set(title=title, xlim=(-1.2, 2.4), ylim=(-9.5, 1))
    axis.axis("off")


# %% tags=["figure"]
# Figure: the four blocks, drawn with the function above: a plain pair, the basic block
# with a solid and with a dashed shortcut, the bottleneck with a solid one.
pair = ["conv 3×3", "norm", "ReLU", "conv 3×3", "norm"]
neck = ["1×1, 256→64", "norm", "ReLU", "3×3, 64→64", "norm", "ReLU"]
neck += ["1×1, 64→256", "norm"]
fig, axes = plt.subplots(1, 4, figsize=(9.5, 4.4))
draw_block(axes[0], "plain", [*pair, "ReLU"])
draw_block(axes[1], "basic, solid", [*pair, "+", "ReLU"], "")
draw_block(
    axes[2], "basic, dashed", [*pair, "+", "ReLU"], "A: zeros\nB: conv 1×1,\nnorm"
)
draw_block(axes[3], "bottleneck, solid", [*neck, "+", "ReLU"], "")
plt.show()

# %% [markdown]
# ### A sum from end to end
#
# Stack such blocks, for a moment without the ReLU after the addition. Block $i$
# computes $x_{i+1} = x_i + F_i(x_i)$. From block $l$ to block $L$ that adds up to
#
# $$x_L = x_l + \sum_{i=l}^{L-1} F_i(x_i) .$$
#
# For the gradient of a loss $\mathcal L$ the chain rule gives (He et al. 2016)
#
# $$\frac{\partial \mathcal L}{\partial x_l} = \frac{\partial \mathcal L}{\partial x_L}
# \Big(1 + \frac{\partial}{\partial x_l} \sum_{i=l}^{L-1} F_i(x_i)\Big) .$$
#
# The $1$ is a direct way: the gradient at the end arrives at the start, and the
# branches add their part.

# %% [markdown]
# We check both formulas on ten blocks. The loss is a sum of all numbers of $x_L$, each
# times a random weight, so $\partial \mathcal L / \partial x_L$ is that weight. Predict
# what a ReLU after each addition does to the formulas.


# %%
# Ten blocks: is the signal the sum, and the gradient too?
torch.manual_seed(0)
branches = [make_branch() for _ in range(10)]
x_l = torch.randn(8, 16, 8, 8).relu().requires_grad_()
weights = torch.randn(8, 16, 8, 8)  # ∂L/∂x_L
for name, last in (("nothing", nn.Identity()), ("ReLU", nn.ReLU())):
    x, total = x_l, 0
    for branch in branches:
        change = branch(x)
        total = total + change
        x = last(x + change)
    (arrived,) = torch.autograd.grad((weights * x).sum(), x_l, retain_graph=True)
    (by_branches,) = torch.autograd.grad((weights * total).sum(), x_l)
    gap = (x - (x_l + total)).abs().max().item()
    gradient_gap = (arrived - (weights + by_branches)).abs().max().item()
    print(f"{name}: signal off by {gap:.0e}, gradient by {gradient_gap:.0e}")

# %% [markdown]
# Without the ReLU both formulas hold, up to rounding. With it they do not: where a sum
# is negative, the ReLU cuts the number off, and its gradient with it. That is why He et
# al. 2016 moved it into the branch: the **pre-activation** block of the last exercise.
#
# And the ReLU *before* the addition, $\mathrm{ReLU}(F(x)) + x$? Then the branch could
# only add. They tried it, and it was worse.

# %% [markdown]
# ### Solid and dashed shortcuts
#
# An addition needs two tensors of the same shape. The stride, or the number of
# channels, can make them differ: the first block of ResNet-50 has stride 1, but 64
# channels go in and 256 come out. Then the shortcut needs a layer of its own,
# `downsample`. We draw it **dashed**, the others **solid**. The paper has three
# options (sections 3.3 and 4.1).
#
# **A** takes every `stride`-th pixel and fills the new channels with zeros. It has no
# parameters; the paper's CIFAR networks use it. **B** uses a 1×1 convolution with that
# stride, a **projection**, and its norm. **C** projects everywhere; the paper found it
# hardly better than B and leaves it.


# %%
# Options A and B, from 64 to 128 channels at stride 2
def projection(in_channels, out_channels, stride=1):
    """Return option B: a 1×1 convolution and its norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


x = torch.randn(2, 64, 32, 32)
padded = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 32, 32))  # 32 + 32 channels of zeros
block = BasicBlock(64, 128, 2, downsample=projection(64, 128, 2))
print(f"A: {tuple(padded.shape)}, no weights")
print(f"B: {tuple(block(x).shape)}, {num_parameters(block.downsample):,} weights")

# %% [markdown]
# The direct way ends at a projection: with C, in every block. With A and B a network
# has at most one dashed shortcut a **stage** (a run of blocks on maps of one size), at
# its start: only there does the shape change.
#
# **So what:** a block adds to what it is given; as long as the shortcut is solid,
# signal and gradient have a way on which no weight stands.

# %% [markdown]
# ## 5 · The bottleneck
#
# This section shows how deep networks afford wide signals.
#
# A 3×3 convolution on 256 channels has $9 \cdot 256^2$ weights, and a basic block has
# two. From 50 layers on, the paper's ImageNet networks do the 3×3 work on fewer
# channels. A 1×1 convolution **reduces** 256 channels to 64, the 3×3 **works** on 64,
# and another 1×1 **restores** 256: narrow in the middle, like the neck of a bottle.
# `channels` is the width of the neck.


# %%
# The block of the deeper networks
class Bottleneck(nn.Module):
    """Return ``relu(F(x) + shortcut(x))``, where F is 1×1, 3×3, 1×1."""

    expansion = 4

    def __init__(self, in_channels, channels, stride=1, downsample=None):
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        # shapes for Bottleneck(256, 64) and x of (B, 256, 32, 32)
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))  # (B, 64, 32, 32)
        out = self.relu(self.bn2(self.conv2(out)))  # (B, 64, 32, 32)
        out = self.bn3(self.conv3(out))  # (B, 256, 32, 32), no ReLU yet
        return self.relu(out + identity)  # (B, 256, 32, 32)


# %%
# The parameters of three blocks
for block in (Bottleneck(256, 64), BasicBlock(256, 256), BasicBlock(64, 64)):
    print(f"{type(block).__name__}: {num_parameters(block):,} parameters")

# %% [markdown]
# A basic block of the same width has 17 times as many. The bottleneck has about those
# of a basic block on 64 channels (the paper's Figure 5).
#
# ### Why the stride sits on the 3×3
#
# Where a bottleneck halves height and width, the paper has the stride on the first 1×1.
# A 1×1 kernel with stride 2 steps over three positions in four, and nothing after it
# brings them back. PyTorch's torchvision has the stride on the 3×3 (**v1.5**), which
# sees every position, for a higher price (Lesson 02).
#
# **So what:** the bottleneck works in its narrow middle, and its stride sits where no
# position is lost.

# %% [markdown]
# ## Myths, tested
#
# **Myth: "Deep plain networks fail because their gradients vanish."** We measure the
# length of the gradient vector at the first convolution, before any training. Predict:
# does it shrink with depth?

# %%
# The gradient length at the first convolution of fresh networks
lengths = []
for network, build in FAMILIES.items():
    for depth in DEPTHS:
        for seed in range(3):
            torch.manual_seed(seed)
            model = build(depth).to(session.device)
            F.cross_entropy(model(images[:64]), labels[:64]).backward()
            length = model.conv1.weight.grad.norm().item()
            lengths.append({"network": network, "depth": depth, "length": length})
show_table(*pivot(lengths, rows="network", columns="depth", value="length", form=".1f"))

# %% [markdown]
# **Refuted**, at the start: it *grows* with depth, by far the most in plain networks.
# The paper, too, found its gradients healthy (section 4.1). Is the learning rate merely
# too large for such gradients, then? 01b tries smaller ones, and watches the training.
#
# So why does a shortcut cure degradation? We saw three effects: the identity is easy
# (section 2), the gradient has a direct way (section 4), and it explodes far less.
# Which share each has in the cure, we do not know.

# %% [markdown]
# ## Summary
#
# 1. **Degradation** is a higher *training* loss with more layers. Overfitting would
#    show as a gap to other images, vanishing gradients as short ones at the first
#    layer; we found neither.
# 2. A shortcut makes the identity easy, and free at $\gamma = 0$. It is in the way
#    where the best function is zero.
# 3. **BatchNorm** uses the batch's mean and variance in training, running ones in
#    evaluation.
# 4. No bias before a norm; no ReLU before the addition. A stack adds up, so the
#    gradient has a direct way; the ReLU after each sum narrows it.
# 5. A shortcut is **dashed** where stride or channels change the shape.

# %% [markdown]
# ## Exercises
#
# ### ★ Dashed or solid?
#
# Section 4 gave the rule. The last step is missing here: what else changes the shape?
# Expected: `True` where the shortcut must be dashed, for example for 64 → 128 channels
# at stride 2, else `False`.


# %% tags=["exercise"]
def needs_projection(in_channels, out_channels, stride):
    """Return whether the shortcut has to change the shape of its input."""
    if in_channels != out_channels:
        return True
    raise NotImplementedError


check.needs_projection(needs_projection)


# %% tags=["solution"]
def needs_projection(in_channels, out_channels, stride):
    """Return whether the shortcut has to change the shape of its input."""
    if in_channels != out_channels:
        return True
    return stride != 1


check.needs_projection(needs_projection)

# %% [markdown]
# ### ★★ Start as the identity
#
# Goyal et al. 2017 start ResNets with $\gamma = 0$ in the last norm of every branch. Do
# this to a given network, in place, and leave all else alone. Two steps are missing:
# what happens to each kind of block. `nn.init.zeros_(parameter)` fills a parameter with
# zeros; a norm's $\gamma$ is its `weight`.


# %% tags=["exercise"]
def start_as_identity(model):
    """Set the factor of the last norm of every branch to zero, in place."""
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            raise NotImplementedError
        if isinstance(module, models.Bottleneck):
            raise NotImplementedError


check.start_as_identity(start_as_identity)


# %% tags=["solution"]
def start_as_identity(model):
    """Set the factor of the last norm of every branch to zero, in place."""
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        if isinstance(module, models.Bottleneck):
            nn.init.zeros_(module.bn3.weight)


check.start_as_identity(start_as_identity)

# %% [markdown]
# ### ★★★ Pre-activation
#
# He et al. 2016 put norm and ReLU *before* each convolution, and nothing after the
# addition, so that the direct way stays open:
#
# $$x + \mathrm{conv}_2(\mathrm{ReLU}(\mathrm{bn}_2(\mathrm{conv}_1(
# \mathrm{ReLU}(\mathrm{bn}_1(x)))))).$$
#
# The layers are there. Write `forward`; `F.relu` is the ReLU. Expected: with `conv2` at
# zero it is the identity for *every* input.


# %% tags=["exercise"]
class PreActBlock(nn.Module):
    """Return ``x + F(x)``, with norm and ReLU before each 3×3 convolution."""

    def __init__(self, channels):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        raise NotImplementedError


check.pre_activation(PreActBlock)


# %% tags=["solution"]
class PreActBlock(nn.Module):
    """Return ``x + F(x)``, with norm and ReLU before each 3×3 convolution."""

    def __init__(self, channels):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        out = self.conv1(F.relu(self.bn1(x)))  # (B, channels, H, W)
        out = self.conv2(F.relu(self.bn2(out)))  # (B, channels, H, W)
        return x + out  # (B, channels, H, W)


check.pre_activation(PreActBlock)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. A plain network of 56 layers ends with a higher *training* loss than one of 20,
# trained in the same way. What is the most likely reason?**
#
# <details><summary>It has too many parameters for its images, so it overfits.</summary>
#
# **No.** Overfitting shows in a low training loss beside a poor result on other images.
# Here the training loss itself is the high one.
#
# </details>
# <details><summary>Its gradients vanish before they reach the first layers.</summary>
#
# **No.** That is the usual suspect. But the gradient at the first layer grew with depth
# here, and the paper, too, thinks this cause unlikely.
#
# </details>
# <details><summary>It cannot compute what the shallower network computes.</summary>
#
# **No.** It can: let the extra layers be the identity. The paper calls this a solution
# by construction.
#
# </details>
# <details><summary>A solution exists, but training does not find it.</summary>
#
# **Right.** This is degradation. One solution: the extra layers become the identity.
# But two plain layers have to search for that. That the search is very slow is the
# paper's conjecture; why, it leaves open.
#
# </details>

# %% [markdown]
# **2. You set the $\gamma$ of the last norm to zero, in a residual block and in a plain
# pair. Why can the residual block still learn?**
#
# <details><summary>The sum is still positive, so its ReLU lets a gradient through to
# γ.</summary>
#
# **Right.** Wherever $x$ is positive, so is the sum. Then $\gamma$ and $\beta$ get a
# gradient, and once $\gamma$ has moved, the convolutions get one too. The plain pair
# puts out zeros, and there its ReLU passes nothing back.
#
# </details>
# <details><summary>The shortcut carries a gradient around γ to the convolutions of the
# branch.</summary>
#
# **No.** The shortcut leads past the *whole* branch. Its convolutions get their
# gradient through $\gamma$, so none while $\gamma$ is zero.
#
# </details>
# <details><summary>The shortcut has weights of its own, which learn in place of the
# branch.</summary>
#
# **No.** This shortcut hands $x$ on unchanged. It has no weights, and nothing to learn.
#
# </details>

# %% [markdown]
# **3. You predict with a network and forget `model.eval()`. What goes wrong?**
#
# <details><summary>Nothing, as long as no optimiser takes a step.</summary>
#
# **No.** The weights stay, but the norms work differently. Their running statistics
# also move with every batch, although nothing is trained.
#
# </details>
# <details><summary>What it says of an image depends on the other images of its
# batch.</summary>
#
# **Right.** In training mode a BatchNorm uses the mean and the variance of the batch.
# So the company of an image changes its output, as one image in two companies showed.
#
# </details>
# <details><summary>PyTorch keeps recording for a backward pass, so predicting takes
# more memory.</summary>
#
# **No.** Recording is another switch, `torch.no_grad()`. `eval()` does not touch it.
#
# </details>
# <details><summary>Only a network with dropout is affected.</summary>
#
# **No.** Dropout is one layer with two modes; BatchNorm is another. The paper's ResNets
# have no dropout, and a BatchNorm after every convolution.
#
# </details>

# %% [markdown]
# **4. Why is there no ReLU between the second norm and the addition?**
#
# <details><summary>The norm has left only positive numbers, so a ReLU would do
# nothing.</summary>
#
# **No.** A norm centres each channel. About half of its numbers are negative until
# $\beta$ shifts them.
#
# </details>
# <details><summary>A ReLU there would cut off the gradient of the shortcut.</summary>
#
# **No.** It would stand on the branch. The shortcut joins after it, and its gradient
# would pass as before.
#
# </details>
# <details><summary>So that the branch can subtract as well as add.</summary>
#
# **Right.** After a ReLU the branch could only add, and no number could ever fall
# again. He et al. (2016) trained such a network, and it was worse.
#
# </details>
# <details><summary>The norm is non-linear already, so one ReLU a block is
# enough.</summary>
#
# **No.** With given statistics a norm only scales and shifts each channel, which is no
# more than a straight line. And the block has a ReLU between its two convolutions.
#
# </details>

# %% [markdown]
# **5. Which blocks of a ResNet need a dashed shortcut?**
#
# <details><summary>Those with stride 2, and no others.</summary>
#
# **No.** The first block of a ResNet-50 has stride 1 and is dashed all the same: 64
# channels go in, 256 come out.
#
# </details>
# <details><summary>Those whose output has another shape than their input.</summary>
#
# **Right.** An addition needs equal shapes. Stride *or* channels can make them differ,
# and either one is enough.
#
# </details>
# <details><summary>All bottlenecks, because their 1×1 convolutions change the
# channels.</summary>
#
# **No.** The first 1×1 reduces the channels and the last restores them. Inside a stage
# 256 go in and 256 come out: solid.
#
# </details>
# <details><summary>The first block of each stage, in every ResNet.</summary>
#
# **No.** In a ResNet of basic blocks the first stage has stride 1, with 64 channels in
# and 64 out. Nothing changes the shape, so that shortcut is solid.
#
# </details>

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*,
#   2015, [arXiv 1512.03385](https://arxiv.org/abs/1512.03385). "The paper" above; its
#   [released networks](https://github.com/KaimingHe/deep-residual-networks).
# - K. He et al.: *Identity Mappings in Deep Residual Networks*, 2016, [arXiv
#   1603.05027](https://arxiv.org/abs/1603.05027): the sum, and pre-activation.
# - S. Ioffe, C. Szegedy: *Batch Normalization*, 2015, [arXiv
#   1502.03167](https://arxiv.org/abs/1502.03167).
# - P. Goyal et al.: *Accurate, Large Minibatch SGD*, 2017, [arXiv
#   1706.02677](https://arxiv.org/abs/1706.02677): $\gamma = 0$.
#
# **Deeper:** [01b](01b_why_plain_networks_fail.ipynb) asks why plain networks fail, and
# tries to rescue one.
#
# **Next:** [Lesson 02](02_full_network.ipynb) builds the whole network from these
# blocks.
