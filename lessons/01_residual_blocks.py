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
# 1. explain the degradation problem, and tell it from overfitting and from vanishing
#    gradients;
# 2. say why a residual block finds the identity for free, where two plain layers have
#    to search for it;
# 3. compute BatchNorm by hand, in training and in evaluation mode;
# 4. write `BasicBlock` and `Bottleneck`, and give a reason for every line;
# 5. decide when a shortcut is solid and when it is dashed.
#
# **Know first:** convolutions, ReLU and gradient descent in PyTorch, as a first
# course on deep learning teaches them. Nothing about ResNets.
#
# **Reading time** 60 minutes · **run time** quick CPU about 51 s (two quiet
# cores), full GPU not measured

# %% tags=["setup"]
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_classroom.checks import lesson_01 as check
from course_utils import models
from course_utils.data.cifar10 import load_cifar10
from course_utils.plotting import course_style, plot_seeds, show_images
from course_utils.results import load_results
from course_utils.session import start

session = start(seed=0)
course_style()

# %% [markdown]
# ## A question first
#
# You have a network that classifies images. You make a second one: the same network
# with more layers of the same kind in its middle. Both are trained in the same way on
# the same images.
#
# Which of them ends with the lower loss **on the training images**? Write down your
# answer: the shallow one, the deep one, or no difference. Then write down a reason.
#
# It is tempting to choose the deep one. It has more parameters, and it could copy what
# the shallow one does and leave the extra layers idle.

# %% [markdown]
# ## 1 · The degradation problem
#
# Let us try it. A **plain** network is a chain of convolutions. Ours is made of
# pairs. Each convolution is followed by a BatchNorm, which rescales its output
# (section 3 takes it apart), and by a ReLU.


# %%
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
# `cifar_plain(depth)` stacks these blocks between a first convolution and a linear
# classifier. The depth, as in the names of networks, counts convolutions and
# classifier, no norms. `cifar_resnet(depth)` is its twin: the same layers, but each
# pair also has a **shortcut**, which adds the pair's input to its output. That addition
# is the whole subject of this lesson. For now take it as given; you write it yourself
# in section 4.
#
# Both families come from He et al. 2015, section 4.2. The paper trained them for
# 64 000 steps on 50 000 photos. A laptop has less time, so the quick profile takes
# small thumbnails of few images and few steps.


# %%
# Figure: eight training images in one row, each with the name of its class above it.
def thumbnails(pair, number, size):
    """Return normalised images (N, 3, size, size) and their labels (N,)."""
    images = torch.from_numpy(pair.images[:number]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in (splits.mean, splits.std))
    images = F.avg_pool2d((images - mean) / std, 32 // size)
    labels = torch.from_numpy(pair.labels[:number])
    return images.to(session.device), labels.to(session.device)


splits = load_cifar10(session.data_dir)
num_images = session.pick(quick=512, full=45_000)
size = session.pick(quick=8, full=32)  # pixels a side
train_images, train_labels = thumbnails(splits.train, num_images, size)
val_images, val_labels = thumbnails(splits.val, 512, size)
print(splits.describe())
print(f"used here: {len(train_images)} training images of {size} × {size} pixels")
names = [splits.classes[label] for label in splits.train.labels[:8]]
show_images(splits.train.images[:8], names)
chance = 1 / len(splits.classes)
print(
    f"{len(splits.classes)} classes: guessing is right {chance:.0%} of the time, "
    f"and has a loss of ln {len(splits.classes)} = {-np.log(chance):.2f}"
)

# %% [markdown]
# The first training images, before the quick profile shrinks them. CIFAR-10 is photos;
# if your first line says "sketches", they are drawings that the course makes in their
# place.
#
# Now the training: the same optimiser, learning rate and order of images for every
# network. We keep the loss of each step, and how hard the gradient pulls at the
# *first* layer. We shall need that to question a suspect.
#
# One trap: a norm divides by the size of what it gets. So behind it, weights twice as
# large do the same work, and get a gradient half as long (Lesson 02 tries it). We keep
# the product of both lengths, $\lVert\nabla_w L\rVert \cdot \lVert w\rVert$, which does
# not depend on that. Call it the **pull**.


# %%
def fit(model, seed, num_steps, lr, batch_size=64):
    """Return the loss, and the pull at the first layer, at every step."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    losses, pulls = [], []
    for _ in range(num_steps):
        batch = torch.randint(len(train_images), (batch_size,), generator=generator)
        loss = F.cross_entropy(model(train_images[batch]), train_labels[batch])
        optimizer.zero_grad()
        loss.backward()
        weight = model.conv1.weight
        pulls.append(weight.grad.norm() * weight.detach().norm())
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).cpu().numpy(), torch.stack(pulls).cpu().numpy()


@torch.no_grad()
def accuracy(model, images, labels):
    """Return the share of images that the model gets right, in evaluation mode."""
    guesses = [model.eval()(part).argmax(1) for part in images.split(512)]
    return (torch.cat(guesses) == labels).float().mean().item()


# %% tags=["long-run"]
DEPTHS = session.pick(quick=(8, 20, 44), full=(8, 20, 56))
NUM_STEPS = session.pick(quick=120, full=7000)
LR = session.pick(quick=0.005, full=0.05)
NUM_SEEDS = 3
FAMILIES = {"plain": models.cifar_plain, "residual": models.cifar_resnet}
losses, pulls, train_acc, val_acc, trained = {}, {}, {}, {}, {}
for name, build in FAMILIES.items():
    for depth in DEPTHS:
        runs = []
        for seed in range(NUM_SEEDS):
            torch.manual_seed(seed)
            model = build(depth).to(session.device)
            run = fit(model, seed, NUM_STEPS, LR)
            train = accuracy(model, train_images, train_labels)
            runs.append((*run, train, accuracy(model, val_images, val_labels)))
        columns = [np.array(column) for column in zip(*runs, strict=True)]
        losses[name, depth], pulls[name, depth] = columns[:2]
        train_acc[name, depth], val_acc[name, depth] = columns[2:]
        trained[name, depth] = model

# %% [markdown]
# Look at your prediction once more before you look at the curves.

# %%
# Figure: training loss against training step, in two panels with one scale: plain
# networks on the left, residual ones on the right. One dashed line for each depth, the
# mean over the seeds, in a band of one standard deviation.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
width = NUM_STEPS // 15  # steps that one point of a curve is the mean of
steps = np.arange(width, NUM_STEPS + 1, width)
for axis, name in zip(axes, FAMILIES, strict=True):
    for number, depth in enumerate(DEPTHS):
        curves = losses[name, depth][:, : len(steps) * width]
        curves = curves.reshape(NUM_SEEDS, -1, width).mean(2)
        mean, spread = curves.mean(0), curves.std(0)
        label = f"{depth} layers (n = {NUM_SEEDS})"
        axis.plot(steps, mean, "--", color=f"C{number}", label=label)
        band = mean - spread, mean + spread
        axis.fill_between(steps, *band, color=f"C{number}", alpha=0.2)
    axis.set(title=name, xlabel="training step")
    axis.legend()
axes[0].set_ylabel("training loss (cross-entropy)")
plt.show()

# %% [markdown]
# Training loss, mean and standard deviation over the seeds (n in the legend); each
# point is the mean of several steps. Training curves are dashed in this course. The
# table gives the end of each curve, and the accuracy on the training images and on
# images that were not trained on.


# %%
def final_loss(name, depth):
    """Return each seed's mean loss over the last 20 steps."""
    return losses[name, depth][:, -20:].mean(1)


def compare(reference, values):
    """Return how `values`, one a seed, stand to those of `reference`."""
    if min(values) > max(reference):
        return "higher in every run"
    if max(values) < min(reference):
        return "lower in every run"
    return "not clearly different"


print("network           training loss   training acc.   validation acc.")
for name, depth in losses:
    end = final_loss(name, depth)
    shares = train_acc[name, depth].mean(), val_acc[name, depth].mean()
    print(
        f"{name:8} {depth:3} {end.mean():13.2f} ± {end.std():.2f}"
        f"{shares[0]:14.0%} {shares[1]:16.0%}"
    )
verdicts = {}
for name in FAMILIES:
    ends = final_loss(name, DEPTHS[0]), final_loss(name, DEPTHS[-1])
    verdicts[name] = compare(*ends)
    print(f"{name}, {DEPTHS[-1]} against {DEPTHS[0]} layers: loss {verdicts[name]}")

# %% [markdown]
# A plain network whose *training* loss is higher with more layers: that is the
# **degradation problem**. The paper opens with it (Figure 1): a plain network of 56
# layers ends with a higher training error on CIFAR-10 than one of 20. If your verdict
# lines say "higher" for plain, you see how it begins: after so few steps the deep
# network is behind. Whether it would catch up, these lines cannot say; the longer runs
# below tell more.

# %% [markdown]
# Two usual suspects come to mind. Question each with the numbers above.
#
# **Overfitting** means: low error on the training images, much higher error on
# others. Compare the two accuracy columns. The signature of overfitting is a wide gap
# between them. The signature of degradation is a poor *first* column.

# %%
deep, shallow = DEPTHS[-1], DEPTHS[0]
gap = {key: (train_acc[key] - val_acc[key]).mean() for key in train_acc}
for key in (("plain", deep), ("residual", DEPTHS[1])):
    print(f"{key[0]} {key[1]}: training minus validation accuracy {gap[key]:+.0%}")
widest = max(gap, key=gap.get)
print(f"the widest gap, {gap[widest]:.0%}, belongs to {widest[0]} {widest[1]}")

print("\npull at the first layer      first 10 steps   last 20 steps   (medians)")
for (name, depth), values in pulls.items():
    start_and_end = np.median(values[:, :10]), np.median(values[:, -20:])
    print(f"  {name:8} {depth:3} {start_and_end[0]:22.2f} {start_and_end[1]:15.2f}")
weakest = {depth: np.median(pulls["plain", depth][:, -20:]) for depth in DEPTHS}
ratio = weakest[deep] / weakest[shallow]
word = "has vanished" if ratio < 0.1 else "has not vanished"
print(f"plain, at the end: {deep} layers have {ratio:.2g} times the pull of {shallow};")
print(f"with a factor of ten as the line, the deep network's pull {word}")

# %% [markdown]
# If a deep residual network has a wide gap, it does overfit: the quick profile shows it
# a few hundred images. But that is another question than ours. Degradation is about the
# *first* column: does a network fit even the images that it was shown?

# %% [markdown]
# **Vanishing gradients** would mean that the first layers of the deep network receive
# next to nothing. The last lines measure what the deep plain network's first layer
# receives. A network that learns badly although gradients arrive has another illness.
# The paper says so of its own plain networks (section 4.1): BatchNorm keeps the
# forward signals alive, and the backward gradients were checked and had healthy
# norms. Section 6 measures ours at every depth, and comes back to the column of the
# first steps: it grows with depth.
#
# What is it, then? The paper offers a conjecture, no proof: very deep plain networks
# may learn at an "exponentially low" rate. Three times the steps did not cure them.

# %% [markdown]
# ### The same on photos, for longer
#
# A few hundred thumbnails prove little. So the project trained both families on 10 000
# CIFAR-10 photos in full size, 15 epochs each, with several seeds. That takes too long
# for a lesson. The runs are recorded in `results/`, and this cell draws them. Compare
# the two panels before you read the numbers.


# %%
# Figure: training loss against epoch on photos, in two panels with one scale: plain
# networks on the left, residual ones on the right. One dashed line for each depth, the
# mean over the seeds, in a band from the least to the most.
recorded = [r for r in load_results("degradation") if "photos" in r["data"]]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for axis, name in zip(axes, FAMILIES, strict=True):
    curves = {}
    for run in sorted(recorded, key=lambda run: run["depth"]):
        if run["network"] == name:
            key = f"{run['depth']} layers"
            curves.setdefault(key, []).append(run["history"]["train_loss"])
    plot_seeds(curves, axis, linestyle="--")
    axis.set(title=name, xlabel="epoch")
    for key, runs in curves.items():
        ends = [run[-1] for run in runs]
        print(f"{name:8} {key}: training loss at the end {np.mean(ends):.2f}", end="")
        print(f" ({min(ends):.2f} to {max(ends):.2f}, n = {len(ends)})")
axes[0].set_ylabel("training loss (cross-entropy)")
plt.show()

# %% [markdown]
# Training loss by epoch: mean over the seeds, in a band from the least to the most.
# The photos are a copy of CIFAR-10 that was stored again as JPEG. Lesson 03 has the
# recipe, the test accuracies, and what runs of this length can and cannot show.

# %% [markdown]
# ### Nested and non-nested classes of functions
#
# Here is the argument that makes degradation so odd. All functions that a network can
# compute, over all settings of its weights, form a set, its **function class**
# $\mathcal F$. Training looks for the member with the lowest loss $L$. If the class
# of the shallow network lies inside that of the deep one, **nested**, then
#
# $$\mathcal F_\text{shallow} \subseteq \mathcal F_\text{deep} \;\Rightarrow\;
# \min_{f \in \mathcal F_\text{deep}} L(f) \le \min_{f \in \mathcal F_\text{shallow}}
# L(f).$$
#
# A larger class that is **not nested** promises nothing. It may have moved away from
# the best function.


# %%
# Figure: a drawing in two panels. In each, three ellipses of growing size stand for
# classes of functions, a star for the best function, and a dotted line leads from the
# star to the nearest point of each ellipse. On the left the ellipses are not nested,
# and the largest is the farthest from the star; on the right each holds the smaller
# ones, and the largest is the nearest.
def draw_classes(axis, centres, title):
    """Draw three growing classes, and what each has nearest to the target."""
    target, angle = np.array([4.3, 1.9]), np.linspace(0, 2 * np.pi, 721)
    for number, centre in enumerate(np.array(centres)):
        radii = np.array([1.1, 0.75]) * (1 + 0.75 * number)
        edge = centre + radii * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        nearest = edge[np.linalg.norm(edge - target, axis=1).argmin()]
        colour = f"C{number}"
        axis.fill(*edge.T, facecolor=colour, alpha=0.12)
        axis.plot(*edge.T, color=colour, label=f"class {number + 1}")
        axis.plot(*np.stack([nearest, target]).T, ":", color=colour, marker="o")
    axis.plot(*target, "*k", markersize=13)
    axis.annotate("best function", target, (-28, 9), textcoords="offset points")
    axis.set(title=title, xlim=(-4.2, 5.4), ylim=(-3.9, 2.9), aspect="equal")
    axis.axis("off")


fig, axes = plt.subplots(1, 2, figsize=(9, 3.5))
draw_classes(axes[0], [(0.6, 1.2), (0.4, -1.0), (-1.2, -1.6)], "non-nested")
draw_classes(axes[1], [(0.6, 0.4), (0.4, 0.2), (0.2, 0.0)], "nested")
axes[0].legend(loc="upper left")
plt.show()

# %% [markdown]
# A drawing, not a measurement: three classes of growing size, and the dotted way from
# the nearest member of each to the best function. Nested classes can only come
# nearer.
#
# To which picture do plain networks belong? On paper they nest too: set the extra
# layers to the **identity**, $f(x) = x$, and the deep network computes what the
# shallow one did. The paper calls this a solution *by construction*. So a good
# solution exists, and the training does not find it. Read the ellipses as what the
# *optimiser* reaches in its time. Then the question becomes: how hard is the identity
# to learn?

# %% [markdown]
# ## 2 · Identity: hard and free
#
# Take two convolutions with their norms, and call what they compute the **branch**
# $F(x)$. A plain pair puts out $\mathrm{ReLU}(F(x))$. A residual pair puts out
#
# $$\mathrm{ReLU}(F(x) + x).$$
#
# The input $x$ comes out of an earlier ReLU, so it is never negative. First: can the
# plain pair be the identity at all? Yes. A 3×3 kernel with a 1 in its centre, and
# zeros elsewhere, copies its channel. We put that solution in by hand. (Section 3
# explains the norm. In its **evaluation mode**, before any training, it divides by
# almost exactly 1.)


# %%
def make_branch(channels=16):
    """Return two 3×3 convolutions with norms, and a ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )


torch.manual_seed(0)
x = torch.randn(16, 16, 8, 8).relu()
branch = make_branch().eval()
for layer in (branch[0], branch[3]):
    nn.init.dirac_(layer.weight)  # a 1 in the centre of its own channel, else 0
with torch.no_grad():
    error = (F.relu(branch(x)) - x).abs().max() / x.max()
print(f"plain pair, solution put in by hand: largest error {error:.0e} of the input")

# %% [markdown]
# The solution exists. Does gradient descent find it? For the residual pair a solution
# is easier to name: $F(x) = 0$. The last norm multiplies by a learned factor
# $\gamma$ and adds a learned $\beta$, which starts at 0. So $\gamma = 0$ silences the
# branch, whatever the convolutions hold.
#
# We fit both pairs to $f(x) = x$, on fresh random inputs at each step. Each starts
# once from PyTorch's default weights and once with its last $\gamma$ at zero. Four
# curves. Predict them, the plain pair with $\gamma = 0$ too.


# %%
def fit_identity(residual, zero_gamma, seed, num_steps):
    """Return the mean squared error from the identity, at every step."""
    torch.manual_seed(seed)
    branch = make_branch().to(session.device)
    if zero_gamma:
        nn.init.zeros_(branch[-1].weight)
    optimizer = torch.optim.SGD(branch.parameters(), lr=0.1, momentum=0.9)
    errors = []
    for _ in range(num_steps):
        x = torch.randn(16, 16, 8, 8, device=session.device).relu()
        out = branch(x) + x if residual else branch(x)
        error = F.mse_loss(F.relu(out), x)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.detach())
    return torch.stack(errors).cpu().numpy()


# %%
# Figure: mean squared error from the identity, on a logarithmic axis, against training
# step. Four dashed lines: the plain and the residual pair, each from the default start
# and with γ = 0; bands show the spread over the seeds.
identity_steps = session.pick(quick=300, full=3000)
STARTS = {
    "plain, default start": (False, False),
    "plain, γ = 0": (False, True),
    "residual, default start": (True, False),
    "residual, γ = 0": (True, True),
}
identity = {}
fig, axis = plt.subplots(figsize=(7.5, 3.5))
floor = 1e-10  # so that an error of exactly zero has a place on a logarithmic axis
for number, (name, (residual, zero)) in enumerate(STARTS.items()):
    runs = [fit_identity(residual, zero, s, identity_steps) for s in range(NUM_SEEDS)]
    identity[name] = np.array(runs)
    shown = np.log10(np.maximum(identity[name], floor))
    mean, spread = shown.mean(0), shown.std(0)
    style = {"color": f"C{number}", "linestyle": "--"}
    axis.plot(10**mean, **style, label=f"{name} (n = {NUM_SEEDS})")
    band = 10 ** (mean - spread), 10 ** (mean + spread)
    axis.fill_between(range(identity_steps), *band, color=f"C{number}", alpha=0.2)
    ends = identity[name][:, 0].mean(), identity[name][:, -1].mean()
    print(f"{name:24} first error {ends[0]:7.1e}   last error {ends[1]:7.1e}")
axis.set(yscale="log", ylim=(floor / 3, 3), xlabel="training step")
axis.set_ylabel("mean squared error")
axis.legend(loc="lower left", bbox_to_anchor=(0, 0.06))
plt.show()

# %% [markdown]
# Distance from the identity while training, mean and spread of the logarithm over the
# seeds; values below the floor of the axis lie on it.
#
# Read the four curves one by one. The residual pair with $\gamma = 0$ *is* the
# identity before its first step: its error is exactly zero and stays there. The
# default residual pair has to learn $F(x) = 0$, a target for which lowering $\gamma$
# is enough. The plain pair has to bring two kernels into one precise arrangement. And
# the plain pair with $\gamma = 0$ puts out zeros, its ReLU passes no gradient back,
# so it never leaves its start: zeroing the last norm helps only beside a shortcut.

# %%
plain_end = identity["plain, default start"][:, -1]
residual_end = identity["residual, default start"][:, -1]
ratio = plain_end.mean() / max(residual_end.mean(), floor)
print(
    f"default start, after {identity_steps} steps: the plain error is "
    f"{compare(residual_end, plain_end)};\nit is at least {ratio:.1g} times the "
    f"residual error (taken as {floor:.0e} where it is smaller)"
)
exact = identity["residual, γ = 0"].max() == 0
print("residual pair with γ = 0: error exactly zero at every step?", bool(exact))

# %% [markdown]
# This is the idea of the paper in one experiment. If the best thing an extra block can
# do is *nothing*, a residual block with $\gamma = 0$ starts there. From the default
# start both kinds begin about equally far off; the residual one gets there easily. And
# if the best thing is a small correction to $x$, the branch learns that correction, the
# **residual** $F(x) = f(x) - x$, and does not have to rebuild $x$ as well.
#
# Is a residual block stuck at $\gamma = 0$, as the plain one is? No. Wherever $x$ is
# positive, so is the sum, and the ReLU passes a gradient to $\gamma$ and $\beta$. Here
# that gradient is zero, because nothing is left to improve. If there were, $\gamma$
# would move, and then the convolutions would learn too.

# %% [markdown]
# Whether trained blocks really stay close to the identity is a question of its own.
# The paper measured small responses of the branches (section 4.2, Figure 7).
#
# Why "non-negative input"? With a ReLU at the end, a negative $x$ would be cut off.
# Blocks that avoid this came in 2016 (last exercise).

# %% [markdown]
# ## 3 · BatchNorm by hand
#
# Every convolution so far was followed by a **BatchNorm** (Ioffe and Szegedy 2015).
# What does it do? For each channel it takes all $m = B \cdot H \cdot W$ numbers of a
# batch, and computes their mean $\mu$ and variance $\sigma^2$. Then
#
# $$y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta .$$
#
# The fraction has mean 0 and variance 1. The learned $\gamma$ and $\beta$, one pair a
# channel, choose a new scale and shift.
#
# At prediction time there may be no batch, only one image. So the norm also keeps
# **running statistics**, a moving average of $\mu$ and $\sigma^2$ over the training
# batches, and uses those instead in evaluation mode.


# %%
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
            var = x.var(dim=(0, 2, 3), unbiased=False)
            self._remember(mean.detach(), var.detach(), x.numel() // x.shape[1])
        mean, var, weight, bias = (
            v.view(1, -1, 1, 1) for v in (mean, var, self.weight, self.bias)
        )
        return weight * (x - mean) / torch.sqrt(var + self.eps) + bias

    def _remember(self, mean, var, count):
        var = var * count / (count - 1)  # the unbiased estimate of the variance
        self.running_mean.lerp_(mean, self.momentum)  # a step towards `mean`
        self.running_var.lerp_(var, self.momentum)


# %% [markdown]
# One detail is easy to miss. The batch is normalised with the variance divided by
# $m$, but the running variance is fed the estimate divided by $m - 1$. With PyTorch's
# default momentum of 0.1 (the norm's, not the optimiser's), each batch replaces a tenth
# of the running statistics.
#
# Is ours right? Both norms get the same five batches in training mode, then one more
# in evaluation mode. We compare outputs, gradients and statistics.

# %%
torch.manual_seed(0)
ours, theirs = BatchNorm2d(8), nn.BatchNorm2d(8)
with torch.no_grad():
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
# strict=False: theirs also counts its batches, ours has no such number
theirs.load_state_dict(ours.state_dict(), strict=False)


def largest_difference(x):
    # cubes: behind a norm the sum, and the sum of squares, is constant: no gradient
    outputs, gradients = [], []
    for norm in (ours, theirs):
        leaf = x.clone().requires_grad_()
        outputs.append(norm(leaf))
        gradients.append(torch.autograd.grad(outputs[-1].pow(3).mean(), leaf)[0])
    pairs = outputs, gradients
    return max((a - b).abs().max().item() for a, b in pairs)


for _ in range(5):
    in_training = largest_difference(2 * torch.randn(4, 8, 3, 3) + 1)
ours.eval(), theirs.eval()
in_evaluation = largest_difference(2 * torch.randn(4, 8, 3, 3) + 1)
statistics = max(
    (getattr(ours, name) - getattr(theirs, name)).abs().max().item()
    for name in ("running_mean", "running_var")
)
print(f"largest difference in training mode   {in_training:.0e}")
print(f"                   in evaluation mode {in_evaluation:.0e}")
print(f"                   running statistics {statistics:.0e}")

# %% [markdown]
# The differences are those of rounding. From here on we use PyTorch's.
#
# ### Two modes, two functions
#
# In training mode the output for one image depends on *which other images* are in its
# batch. Take one image and send it through a convolution and a norm fifty times, each
# time in the company of 31 others. How much do its outputs vary? For comparison,
# **dropout**, the older regulariser. In training it sets a random share $p$ of all
# numbers to zero and multiplies the others by $1/(1-p)$, so that the mean stays. In
# evaluation it does nothing.

# %%
torch.manual_seed(0)
images, _ = thumbnails(splits.train, 512, 8)
conv = nn.Conv2d(3, 16, 3, padding=1, bias=False).to(session.device)
layers = {
    "BatchNorm": nn.Sequential(conv, nn.BatchNorm2d(16)).to(session.device),
    "Dropout(0.5)": nn.Sequential(conv, nn.Dropout(0.5)),
}


@torch.no_grad()
def wobble(model, visits=50):
    """Return how one image's output varies, relative to the output's own spread."""
    seen = []
    for _ in range(visits):
        company = torch.randint(1, len(images), (31,))
        batch = torch.cat([images[:1], images[company]])
        seen.append(model(batch)[0])
    seen = torch.stack(seen)
    return (seen.std(dim=0).mean() / seen.std()).item()


for name, model in layers.items():
    noise = wobble(model.train()), wobble(model.eval())
    print(f"{name:13} training mode {noise[0]:6.1%}   evaluation mode {noise[1]:6.1%}")

# %% [markdown]
# A norm in training mode adds a little noise, because a batch is a random sample. In
# evaluation mode the noise is gone. Forgetting `model.eval()` makes a prediction
# depend on its neighbours in the batch.
#
# ### Why it took dropout's place
#
# The paper uses no dropout (section 3.4), following Ioffe and Szegedy, who found that
# BatchNorm regularises by its own noise, and that dropout could be weakened or left
# out. Two more reasons came together. Dropout was made for wide fully connected
# layers, and a ResNet has one linear layer only. And before a norm it does harm.
# Zeros beside enlarged survivors raise the variance, in training mode only, and the
# norm's running statistics remember it.

# %%
torch.manual_seed(0)
signal = torch.randn(512, 16, 8, 8).relu()
weight = torch.randn(16, 16, 3, 3)
for rate in (0.0, 0.2, 0.5):
    drop, norm = nn.Dropout(rate), nn.BatchNorm2d(16, momentum=None)  # a plain mean
    with torch.no_grad():
        for batch in signal.split(64):
            norm(F.conv2d(drop(batch), weight))
        drop.eval(), norm.eval()
        in_evaluation = norm(F.conv2d(drop(signal), weight))
    variance = in_evaluation.var(dim=(0, 2, 3)).mean()
    print(f"dropout {rate:.1f}: variance after the norm {variance:.2f} in evaluation")

# %% [markdown]
# The norm promised a variance of 1. Behind dropout it delivers less in evaluation
# mode, and every later layer meets numbers it was not trained on. Li et al. 2019 call
# this the **variance shift**. It is a reason for an order of layers, not a law: Wide
# ResNets place dropout between the convolutions of a block and report gains
# (Zagoruyko and Komodakis 2016).

# %% [markdown]
# ## 4 · The basic block
#
# Now write the block. It has two 3×3 convolutions, two norms, two ReLUs and one
# addition. Three decisions deserve a reason, and each gets its experiment below:
#
# - the convolutions have no bias;
# - there is no ReLU between the second norm and the addition, but one after it;
# - where the shape changes, the shortcut needs a layer of its own, `downsample`.
#
# `expansion` is a constant that tells the network how many times wider than
# `channels` the output is: once, here.


# %%
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


# %%
# Figure: four blocks as diagrams, their layers as boxes from top to bottom. Plain:
# convolution, norm, ReLU, convolution, norm, ReLU. Basic, solid: the same with an
# addition before the last ReLU, which a line from the input reaches past all layers.
# Basic, dashed: that line is dashed and passes a 1×1 convolution with its norm.
# Bottleneck: three convolutions, 1×1, 3×3 and 1×1, and a solid line.
def draw_block(axis, title, layers, shortcut="-"):
    """Draw a block: its branch as boxes from top to bottom, its shortcut beside."""
    box = {"boxstyle": "round", "alpha": 0.35}
    place = {"ha": "center", "va": "center", "fontsize": 9}
    for row, text in enumerate(layers):
        colour = {"R": "C4", "+": "C2"}.get(text[0], "C0")
        axis.text(0, -row, text, bbox=box | {"facecolor": colour}, **place)
        arrow = {"arrowstyle": "-|>", "color": "black", "lw": 1.2}
        axis.annotate("", (0, -row + 0.28), (0, -row + 0.72), arrowprops=arrow)
    if shortcut:
        end = -layers.index("+")
        style = {"color": "C1", "lw": 1.8, "linestyle": shortcut}
        axis.plot([0, 1.5, 1.5, 0.5], [0.55, 0.55, end, end], **style)
        arrow = {"arrowstyle": "-|>", "color": "C1", "lw": 1.8}
        axis.annotate("", (0.17, end), (0.6, end), arrowprops=arrow)
        if shortcut == "--":
            patch = {"boxstyle": "round", "facecolor": "white", "edgecolor": "C1"}
            axis.text(1.5, end / 2, "conv 1×1\nnorm", bbox=patch, **place)
    axis.set(title=title, xlim=(-1.2, 2.3), ylim=(-9.5, 1))
    axis.axis("off")


pair = ["conv 3×3", "norm", "ReLU", "conv 3×3", "norm"]
neck = ["1×1, 256→64", "norm", "ReLU", "3×3, 64→64", "norm", "ReLU"]
neck += ["1×1, 64→256", "norm"]
fig, axes = plt.subplots(1, 4, figsize=(9.5, 4.4))
draw_block(axes[0], "plain", [*pair, "ReLU"], shortcut="")
draw_block(axes[1], "basic, solid", [*pair, "+", "ReLU"])
draw_block(axes[2], "basic, dashed", [*pair, "+", "ReLU"], shortcut="--")
draw_block(axes[3], "bottleneck", [*neck, "+", "ReLU"])
plt.show()

# %% [markdown]
# A plain pair; the basic block with a solid and with a dashed shortcut; and the
# bottleneck of section 5, with its channels. A dashed shortcut is one that must change
# the shape of $x$.
#
# First decision: **no bias before a norm**. The norm subtracts the mean of its
# channel. A bias added before that is part of the mean. Predict how the output and
# the bias's gradient change if we add a large one.

# %%
torch.manual_seed(0)
x = torch.randn(8, 3, 16, 16)
conv, norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
without = norm(F.conv2d(x, conv.weight, padding=1))
with torch.no_grad():
    conv.bias += 10
with_bias = norm(conv(x))
change = (with_bias - without).abs().max().item()
with_bias.pow(3).sum().backward()  # cubes, as in section 3
share = conv.bias.grad.norm() / conv.weight.grad.norm()
print(f"bias of about 10: largest change of an output {change:.0e}")
print(f"gradient of the bias / gradient of the weights: {share:.0e}")

# %% [markdown]
# In training mode the bias changes nothing and learns nothing, apart from rounding.
# The norm's own $\beta$ does its work.
#
# Second decision: **where the last ReLU stands**. Suppose it came before the
# addition, $\mathrm{ReLU}(F(x)) + x$. Then the branch could only add. We stack ten
# blocks of each kind and follow the mean of the signal.

# %%
torch.manual_seed(0)
blocks = [BasicBlock(16, 16) for _ in range(10)]
x = torch.randn(8, 16, 8, 8).relu()
early = late = x
print("block    ReLU before the addition          ReLU after it (ours)")
for number, block in enumerate(blocks, 1):
    with torch.no_grad():
        branch = nn.Sequential(block.conv1, block.bn1, block.relu, block.conv2)
        before, late_before = early, late
        early = F.relu(block.bn2(branch(early))) + early
        late = block(late)
    if number in (1, 5, 10):
        fell = [
            (a < b).float().mean() for a, b in ((early, before), (late, late_before))
        ]
        print(
            f"{number:5}    mean {early.mean():5.2f}, {fell[0]:4.0%} of numbers fell"
            f"    mean {late.mean():5.2f}, {fell[1]:4.0%} fell"
        )

# %% [markdown]
# With the early ReLU no number ever falls: the signal can only grow, block after
# block. (He et al. 2016 trained such a network and found it worse.) With ours the
# branch can subtract as well as add. The signal still grows at the start of training,
# more slowly.
#
# Now the claim of section 1, that residual networks nest. Take the residual network
# that we trained, and put one more block into it, with $\gamma = 0$ in its last norm.
# Do the **logits** change, the numbers that the network puts out, one a class? Then the
# same with a plain block in the plain network.

# %%
torch.manual_seed(0)
EXTRA = {"plain": PlainBlock(16, 16), "residual": BasicBlock(16, 16)}
nn.init.zeros_(EXTRA["residual"].bn2.weight)
nests = {}
for name, extra in EXTRA.items():
    model = trained[name, DEPTHS[0]].eval()
    with torch.no_grad():
        before = model(val_images)
        model.layer1.append(extra.to(session.device).eval())
        after = model(val_images)
    del model.layer1[-1]
    nests[name] = torch.equal(before, after)
    changed = (before.argmax(1) != after.argmax(1)).float().mean().item()
    print(
        f"{name:8}: same logits? {nests[name]!s:5}  {changed:4.0%} of answers changed"
    )

# %% [markdown]
# The deeper residual network contains the shallow one exactly, without any search. A
# fresh plain block has to be trained before it stops doing harm.
#
# ### Solid and dashed shortcuts
#
# Third decision. An addition needs two tensors of the same shape. Ask `BasicBlock`
# for 128 channels from 64, and see what it says.

# %%
x = torch.randn(2, 64, 32, 32)
print("BasicBlock(64, 64):", tuple(BasicBlock(64, 64)(x).shape))
try:
    BasicBlock(64, 128)(x)
except RuntimeError as error:
    print("BasicBlock(64, 128):", error)

# %% [markdown]
# Two things can make the shapes differ: the number of channels, and the stride. The
# paper's Figure 3 draws such shortcuts dotted; most people say **dashed**, and call the
# others **solid**. There are three options (section 4.1, Table 3).
#
# **A** takes every `stride`-th pixel and fills the new channels with zeros. It has no
# parameters. The paper's CIFAR networks use it. **B** uses a 1×1 convolution with the
# same stride, a **projection**, where the shape changes; torchvision, PyTorch's library
# for images, adds a norm to it. (**C** projects everywhere; it cost more and gained
# little.)


# %%
class PadShortcut(nn.Module):
    """Option A: every `stride`-th pixel, new channels filled with zeros."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        self.extra = out_channels - in_channels

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        front = self.extra // 2
        return F.pad(x, (0, 0, 0, 0, front, self.extra - front))


def projection(in_channels, out_channels, stride=1):
    """Return option B: a 1×1 convolution and its norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


# %%
def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


torch.manual_seed(0)
print(
    "shortcut       stride  output of the block   parameters  of them in the shortcut"
)
for option, shortcut in {
    "A, zero-padding": PadShortcut,
    "B, projection": projection,
}.items():
    for stride in (1, 2):
        block = BasicBlock(64, 128, stride, downsample=shortcut(64, 128, stride))
        shape = tuple(block(x).shape)
        counts = num_parameters(block), num_parameters(block.downsample)
        print(f"{option:16} {stride:4}  {shape!s:20} {counts[0]:11,} {counts[1]:12,}")

# %% [markdown]
# `(2, 64, 32, 32)` becomes `(2, 128, 32, 32)` at stride 1, and `(2, 128, 16, 16)` at
# stride 2; both are dashed. The projection adds few parameters to a block.
#
# A solid shortcut hands every number on unchanged. A projection does not: it is a
# layer that learns. So a network keeps them few: one at the start of a **stage**, a run
# of blocks on maps of one size. (In option A the added channels receive nothing from
# the shortcut. In the paper's Table 3, B is slightly better than A.)

# %% [markdown]
# ## 5 · The bottleneck
#
# A 3×3 convolution on 256 channels has $9 \cdot 256^2$ weights, and a basic block has
# two. For its networks of 50 layers and more, the paper uses a block that does the
# 3×3 work on fewer channels. A 1×1 convolution **reduces** 256 channels to 64, the
# 3×3 **works** on 64, and another 1×1 **restores** 256. It has the shape of a
# bottle's neck: narrow in the middle.
#
# `channels` is the width of the neck. `expansion = 4` is the ratio of the output to
# the neck, so a block with `channels=64` puts out 256. The name tells the output's
# width, and nothing is "expanded" inside the neck.


# %%
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


# %% [markdown]
# What does the neck save? We count parameters and **multiply-adds**, one weight times
# one number, added to a sum. A convolution spends $k^2 C_\text{in}$ of them on each
# number that it puts out. A **forward hook** counts them: a function that PyTorch calls
# whenever a layer has run. Three blocks: a bottleneck on 256 channels, a basic block
# of the same width, and the basic block on 64 channels that shallower networks use.


# %%
def multiply_adds(module, x):
    """Return the multiply-adds of all convolutions for one image."""
    counts = []

    def hook(conv, inputs, output):
        counts.append(conv.weight[0].numel() * output[0].numel())

    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    handles = [conv.register_forward_hook(hook) for conv in convs]
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    return sum(counts)


BLOCKS = {
    "Bottleneck(256, 64)": (Bottleneck(256, 64), 256),
    "BasicBlock(256, 256)": (BasicBlock(256, 256), 256),
    "BasicBlock(64, 64)": (BasicBlock(64, 64), 64),
}
cost = {}
print("block                  parameters   M multiply-adds at 32 × 32")
for name, (block, width) in BLOCKS.items():
    x = torch.randn(1, width, 32, 32)
    cost[name] = multiply_adds(block, x)
    print(f"{name:22} {num_parameters(block):10,} {cost[name] / 1e6:12.1f}")
saving = cost["BasicBlock(256, 256)"] / cost["Bottleneck(256, 64)"]
print(f"at the same width of 256: the basic block costs {saving:.1f} times as much")

# %% [markdown]
# The bottleneck on 256 channels costs about what a basic block on 64 channels costs:
# the pair of the paper's Figure 5. It buys a fourfold width between the blocks, and
# three layers in place of two.
#
# ### Why the stride sits on the 3×3
#
# The first block of a stage halves height and width. Which convolution should have
# the stride? The paper puts it on the first 1×1. torchvision, and most code today,
# puts it on the 3×3, and calls that **v1.5**. We ask a gradient: to which positions
# of the input does the branch react at all?


# %%
# Figure: three grids, the positions of a block's input map; yellow where a position has
# any influence on the output, dark where it has none. From left to right: the branch
# with its stride on the first 1×1, the branch with its stride on the 3×3, and the
# projection.
def positions_used(layers, x):
    """Return which positions of `x` (H, W) have any influence on the output."""
    x = x.clone().requires_grad_()
    layers(x).square().sum().backward()
    return x.grad.abs().sum(dim=(0, 1)) > 0


torch.manual_seed(0)
x = torch.randn(1, 256, 8, 8).relu()
block = Bottleneck(256, 128, stride=2, downsample=projection(256, 512, 2)).eval()
relu = nn.ReLU()
branch = nn.Sequential(
    *(block.conv1, block.bn1, relu, block.conv2, block.bn2, relu, block.conv3)
)
used, spent = {}, {}
for name, strides in {
    "on the first 1×1 (v1)": (2, 1),
    "on the 3×3 (v1.5)": (1, 2),
}.items():
    block.conv1.stride, block.conv2.stride = ((s, s) for s in strides)
    used[name], spent[name] = positions_used(branch, x), multiply_adds(block, x)
used["in the projection"] = positions_used(block.downsample, x)
fig, axes = plt.subplots(1, 3, figsize=(8.4, 3))
for axis, (name, positions) in zip(axes, used.items(), strict=True):
    axis.imshow(positions, vmin=0, vmax=1)
    axis.set(title=f"stride {name}", xticks=[], yticks=[])
    print(f"stride {name:22} uses {positions.float().mean():4.0%} of the input")
more = spent["on the 3×3 (v1.5)"] / spent["on the first 1×1 (v1)"]
print(f"multiply-adds of the block, v1.5 against v1: {more:.2f} times")
plt.show()

# %% [markdown]
# Yellow positions matter, dark ones are never seen. A 1×1 kernel with stride 2 steps
# over three positions in four, and nothing after it can bring them back. A 3×3 kernel
# with stride 2 overlaps its neighbours and sees all of them, for a higher price. Both
# versions have the same weights, so a **checkpoint**, the saved weights, of one loads
# into the other without an error. The projection still skips positions; ResNet-D pools
# before it (T. He et al. 2018).

# %% [markdown]
# ## 6 · Gradient norms by depth
#
# The last suspect deserves a full hearing. We build networks of 8 to 56 layers, plain
# and residual, with BatchNorm and without, and send one batch through each before any
# training. What arrives at the first convolution?
#
# Predict four lines: which vanish with depth, which stay level, which explode? The
# paper reports that nothing vanishes with BatchNorm. All convolutions start with the
# Kaiming initialisation (He et al. 2015b), made to keep the size of a gradient level
# in a plain network with ReLUs.


# %%
def without_norms(module):
    """Return `module` with every BatchNorm replaced by an identity."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            without_norms(child)
    return module


def gradient_norms(model, images, labels):
    """Return the gradient norm of every 3×3 convolution, first to last."""
    model = model.to(session.device).train()
    F.cross_entropy(model(images), labels).backward()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    return torch.stack([conv.weight.grad.norm() for conv in convs]).cpu().numpy()


ALL_DEPTHS = session.pick(quick=(8, 20, 32, 44, 56), full=(8, 14, 20, 26, 32, 44, 56))
batch = thumbnails(splits.train, 64, session.pick(quick=16, full=32))
gradients = {}
for name, build in FAMILIES.items():
    for norm in ("BatchNorm", "no norm"):
        for depth in ALL_DEPTHS:
            runs = []
            for seed in range(NUM_SEEDS):
                torch.manual_seed(seed)
                model = build(depth)
                model = model if norm == "BatchNorm" else without_norms(model)
                runs.append(gradient_norms(model, *batch))
            gradients[f"{name}, {norm}", depth] = np.array(runs)


# %%
# Figure: gradient norm before training, on a logarithmic axis, in two panels. Left: of
# the first convolution, against the layers of the network. Right: of each sixth
# convolution along the deepest networks. Four lines with bands over the seeds in each:
# plain and residual, with BatchNorm and without a norm.
def draw_band(axis, x, values, number, label):
    """Draw mean and spread of the logarithm of `values` (seeds, points)."""
    logs = np.log10(values)
    mean, spread = logs.mean(0), logs.std(0)
    marker = {"marker": "osD^"[number], "markersize": 4, "color": f"C{number}"}
    axis.plot(x, 10**mean, label=f"{label} (n = {len(values)})", **marker)
    band = 10 ** (mean - spread), 10 ** (mean + spread)
    axis.fill_between(x, *band, color=f"C{number}", alpha=0.2)


KINDS = list(dict.fromkeys(kind for kind, _ in gradients))
deepest = ALL_DEPTHS[-1]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
for number, kind in enumerate(KINDS):
    first = np.stack([gradients[kind, depth][:, 0] for depth in ALL_DEPTHS], axis=1)
    draw_band(axes[0], ALL_DEPTHS, first, number, kind)
    layers = gradients[kind, deepest]
    every = np.arange(0, layers.shape[1], 6)
    draw_band(axes[1], every + 1, layers[:, every], number, kind)
axes[0].set(yscale="log", xlabel="layers of the network", title="first convolution")
axes[0].set(ylabel="gradient norm", xticks=ALL_DEPTHS)
axes[1].set(xlabel="convolution", title=f"along the {deepest}-layer networks")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
plt.show()

# %% [markdown]
# Norm of the gradient at the start of training, logarithmic, mean and spread of the
# logarithm over the seeds. Left: the first convolution, against the depth of the
# network. Right: along the deepest networks; the gradient travels from right to left.
# The verdicts, computed with a factor of ten as the line:


# %%
def trend(kind):
    """Return how the first gradient of the deepest network stands to the shallowest."""
    norms = [gradients[kind, d][:, 0] for d in (ALL_DEPTHS[0], deepest)]
    ratio = float(np.exp(np.log(norms[1]).mean() - np.log(norms[0]).mean()))
    word = "vanishes" if ratio < 0.1 else "explodes" if ratio > 10 else "in between"
    return ratio, word


trends = {kind: trend(kind) for kind in KINDS}
print(f"gradient norm        first convolution,         {deepest} layers,")
print(f"{'':20} {deepest} / {ALL_DEPTHS[0]} layers              first / last")
for kind, (ratio, word) in trends.items():
    along = gradients[kind, deepest]
    along = np.exp(np.log(along[:, 0] / along[:, -1]).mean())
    print(f"{kind:20} × {ratio:<8.2g} {word:16} × {along:.2g}")
tamest = min(KINDS, key=lambda kind: abs(np.log(trends[kind][0])))
print(f"nearest to level in depth: {tamest}")

# %% [markdown]
# Compare with your prediction. If your lines agree with ours, four things stand out.
#
# *Plain with BatchNorm*: nothing vanishes. At the start the gradient *grows* on its
# way back, layer by layer. (Yang et al. 2019 derive this from theory.) So ours are not
# the "healthy norms" of section 1. But we look before any training, at one batch of
# small images, and the paper does not say when it looked.
#
# Vanishing gradients are an unlikely culprit, then, here as in the paper. One batch at
# the start, and the pull of section 1, prove no more. The growth may be a better
# suspect: no one learning rate suits all layers then. That is our reading, no proof.

# %% [markdown]
# *Plain without norms*: the gradient fades with depth. Kaiming's start would hold it
# nearly level, but these convolutions pad with zeros. Near the edge of a map, and small
# maps are mostly edge, every sum loses a part. (Lesson 02 pads without zeros.)
#
# *Residual without norms*: the shortcut alone is no cure. Each block adds its branch
# to its input, the signal grows from block to block, and so does the gradient.

# %% [markdown]
# Why are both lines without norms nearly level in the right panel? A layer's gradient
# multiplies the signal that reached the layer by the gradient that came back to it.
# If both fade, early layers have much of the first and late layers much of the
# second. The product fades with the depth of the whole network.
#
# *Residual with BatchNorm* grows too, but is nearest to level. Shortcut and norm work
# together: the norm sets the size of each branch, the shortcut lets the gradient pass
# beside it.

# %% [markdown]
# ## Results
#
# All key numbers in one place, with their seeds and hardware.

# %%
print(
    f"{NUM_SEEDS} seeds; {session.profile} profile on {session.device.type}, ", end=""
)
print(f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}")
print(f"data: {splits.describe()}")
print(f"\n1  training loss, {deep} against {shallow} layers, after {NUM_STEPS} steps")
for name in FAMILIES:
    ends = [final_loss(name, depth) for depth in (shallow, deep)]
    means = " → ".join(f"{end.mean():.2f} ± {end.std():.2f}" for end in ends)
    print(f"   {name:8} {means}   {verdicts[name]}")
same_depth = compare(final_loss("residual", deep), final_loss("plain", deep))
print(f"   at {deep} layers, plain against residual: {same_depth}")
print(f"2  identity, error after {identity_steps} steps, default start")
print(f"   plain {plain_end.mean():.1e}, residual {residual_end.mean():.1e}")
print(f"5  bottleneck: {saving:.1f} times cheaper than a basic block of its width")
print("6  first gradient, deepest against shallowest network")
for kind, (ratio, word) in trends.items():
    print(f"   {kind:19} × {ratio:.2g}, {word}")
plain_deep, residual_deep = (final_loss(name, deep).mean() for name in FAMILIES)
session.report(
    f"training loss at {deep} layers: plain {plain_deep:.2f}, "
    f"residual {residual_deep:.2f}",
    data=splits.describe(),
)

# %% [markdown]
# ### What this does not show
#
# The quick profile trains for seconds on a few hundred thumbnails. It shows that the
# deep plain network learns *later*; it cannot show that it would never catch up. The
# paper's networks ran for 64 000 steps with a learning rate that falls, and their
# ImageNet networks three times as long without a cure. One learning rate serves all
# networks here; another might suit the deep plain one better. Gradient norms are
# those of one batch, most of them before training. And a lower training loss is no
# promise of a better answer on new images: compare the gaps above.

# %% [markdown]
# ## Myths, tested
#
# **Myth 1: "The bottleneck's 3×3 is the wide one."** It is drawn between two small
# 1×1 boxes, and it holds the largest kernels. We read the widths from a ResNet-50.

# %%
with torch.device("meta"):  # shapes without numbers: no memory, no time
    network = models.resnet50()
for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
    convs = [stage[1].conv1, stage[1].conv2, stage[1].conv3]
    widths = [convs[0].in_channels, *(conv.out_channels for conv in convs)]
    share = convs[1].weight.numel() / sum(conv.weight.numel() for conv in convs)
    narrow = convs[1].in_channels < widths[0]
    shown = " → ".join(str(width) for width in widths)
    print(
        f"{shown:27} 3×3 on the {'narrow' if narrow else 'wide'} part, "
        f"with {share:.0%} of the weights"
    )

# %% [markdown]
# **Refuted** where the lines say "narrow": the 3×3 works in the neck, a quarter as
# wide as the block's two ends. Even there it holds a large share of the weights, and
# that is why the neck is needed.
#
# **Myth 2: "Every convolution is followed by a ReLU."** We let PyTorch trace two
# networks and look at what comes after each convolution and its norm.

# %%
for name in ("resnet18", "resnet50"):
    network = getattr(models, name)()
    graph = torch.fx.symbolic_trace(network).graph
    followers = Counter()
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(
            network.get_submodule(node.target), nn.Conv2d
        ):
            (norm,) = node.users  # each convolution feeds its norm only
            (after,) = norm.users
            relu = after.op == "call_module" and "relu" in after.target
            followers["ReLU" if relu else "addition"] += 1
            if "downsample" in node.target:
                followers["projection"] += 1
    print(
        f"{name}: {followers.total() - followers['projection']} convolutions, "
        f"{followers['ReLU']} before a ReLU, {followers['addition']} before an "
        f"addition ({followers['projection']} of these are projections)"
    )

# %% [markdown]
# **Refuted**: the last convolution of every branch, and every projection, goes
# straight into the addition. Only the sum passes a ReLU.
#
# **Myth 3: "Stride 1 means a solid shortcut."** We list the dashed blocks.

# %%
for name in ("resnet18", "resnet50"):
    with torch.device("meta"):
        network = getattr(models, name)()
    for path, block in network.named_modules():
        if getattr(block, "downsample", None) is not None:
            conv = block.downsample[0]
            print(
                f"{name} {path:9} stride {conv.stride[0]}, "
                f"{conv.in_channels:4} → {conv.out_channels:4} channels: dashed"
            )

# %% [markdown]
# **Refuted** by `layer1.0` of ResNet-50: stride 1, and dashed all the same, because
# its channels go from 64 to 256. What counts is the shape, stride *or* channels.
#
# **Myth 4: "Shortcuts reduce parameters."** It is often said in one breath with
# "ResNet has fewer parameters than VGG". We count twins that differ in their
# shortcuts only.

# %%
print("layers       plain    option A    option B")
for depth in (20, 56, 110):
    twins = (
        models.cifar_plain(depth),
        models.cifar_resnet(depth, shortcut="A"),
        models.cifar_resnet(depth, shortcut="B"),
    )
    counts = [num_parameters(twin) for twin in twins]
    print(f"{depth:6} {counts[0]:11,} {counts[1]:11,} {counts[2]:11,}")
    kept = "none" if counts[1] == counts[0] else f"{counts[1] - counts[0]:+,}"
    print(f"       A changes {kept}, B changes {counts[2] - counts[0]:+,}")

# %% [markdown]
# **Refuted**: a shortcut takes no weight away; a projection adds some. The difference
# from VGG comes from elsewhere, as Lesson 02 counts.

# %% [markdown]
# ## Summary
#
# 1. **Degradation** is a higher *training* loss with more layers. Overfitting shows
#    in the gap to other images, vanishing gradients in what arrives at the first
#    layer. We measured both.
# 2. A plain pair must *find* the identity. A residual block *is* the identity if its
#    branch is zero and its input not negative. So deeper residual networks contain
#    shallower ones.
# 3. **BatchNorm** uses the batch's statistics in training, running ones in
#    evaluation.
# 4. No bias before a norm; no ReLU before the addition. The bottleneck works in its
#    narrow middle, with the stride on the 3×3.
# 5. A shortcut is **dashed** where stride or channels change the shape.

# %% [markdown]
# ## Exercises
#
# ### ★ Dashed or solid?
#
# Write the rule of section 4 as a function: from the input's channels, the block's
# output channels and the stride, say whether the shortcut needs a projection.
# Expected: `True` or `False`; `True` for 64 → 128 channels at stride 2.


# %% tags=["exercise"]
def needs_projection(in_channels, out_channels, stride):
    """Return whether the shortcut has to change the shape of its input."""
    raise NotImplementedError


check.needs_projection(needs_projection)


# %% tags=["solution"]
def needs_projection(in_channels, out_channels, stride):
    """Return whether the shortcut has to change the shape of its input."""
    return stride != 1 or in_channels != out_channels


check.needs_projection(needs_projection)

# %% [markdown]
# ### ★★ Start as the identity
#
# Goyal et al. 2017 start the training of large networks with $\gamma = 0$ in the last
# norm of every branch. Write a function that does this to a given network, in place.
# It must work for networks made of `models.BasicBlock` and of `models.Bottleneck`, and
# leave everything else alone. Expected: each block then puts out the ReLU of its
# shortcut.


# %% tags=["exercise"]
def start_as_identity(model):
    """Set the factor of the last norm of every branch to zero, in place."""
    raise NotImplementedError


check.start_as_identity(start_as_identity)


# %% tags=["solution"]
def start_as_identity(model):
    """Set the factor of the last norm of every branch to zero, in place."""
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif isinstance(module, models.Bottleneck):
            nn.init.zeros_(module.bn3.weight)


check.start_as_identity(start_as_identity)

# %% [markdown]
# ### ★★★ Pre-activation
#
# Our shortcut is not quite free: each sum passes a ReLU, so negative numbers are lost.
# He et al. 2016 move norm and ReLU *before* each convolution, and put nothing after
# the addition:
#
# $$x + \mathrm{conv}_2(\mathrm{ReLU}(\mathrm{bn}_2(\mathrm{conv}_1(
# \mathrm{ReLU}(\mathrm{bn}_1(x)))))).$$
#
# Write this block for equal input and output channels and stride 1, with the names
# `bn1`, `conv1`, `bn2`, `conv2`, and no bias in the convolutions. Expected: with
# `conv2` at zero it is the identity for *every* input. Careful with `inplace`: the
# input is needed again.


# %% tags=["exercise"]
class PreActBlock(nn.Module):
    """Return ``x + F(x)``, with norm and ReLU before each 3×3 convolution."""

    def __init__(self, channels):
        super().__init__()
        raise NotImplementedError

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
# **No.** That is the usual suspect. But with BatchNorm a gradient did reach the first
# layer here, and the paper found healthy norms in its own plain networks.
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
# But two plain layers have to search for that. Why the search is so slow, the paper
# conjectures; it has no proof.
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
# So the company of an image changes its output; in the experiment with fifty visits it
# wobbled.
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
# have no dropout, and a BatchNorm behind every convolution.
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
# **Right.** Behind a ReLU the branch could only add, and the signal could only grow: in
# the stack of ten blocks no number ever fell. He et al. (2016) trained such a network,
# and it was worse.
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
# **No.** With basic blocks `layer1` begins at stride 1, with 64 channels in and 64 out.
# Nothing changes the shape, so that shortcut is solid.
#
# </details>

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*,
#   2015, [arXiv 1512.03385](https://arxiv.org/abs/1512.03385). "The paper" above.
# - K. He et al.: *Delving Deep into Rectifiers*, 2015b, [arXiv
#   1502.01852](https://arxiv.org/abs/1502.01852): Kaiming initialisation.
# - K. He et al.: *Identity Mappings in Deep Residual Networks*, 2016, [arXiv
#   1603.05027](https://arxiv.org/abs/1603.05027): pre-activation.
# - S. Ioffe, C. Szegedy: *Batch Normalization*, 2015, [arXiv
#   1502.03167](https://arxiv.org/abs/1502.03167).
# - S. Zagoruyko, N. Komodakis: *Wide Residual Networks*, 2016, [arXiv
#   1605.07146](https://arxiv.org/abs/1605.07146).

# %% [markdown]
# - P. Goyal et al.: *Accurate, Large Minibatch SGD*, 2017, [arXiv
#   1706.02677](https://arxiv.org/abs/1706.02677): $\gamma = 0$.
# - X. Li, S. Chen, X. Hu, J. Yang: *Understanding the Disharmony between Dropout and
#   Batch Normalization by Variance Shift*, CVPR 2019, [arXiv
#   1801.05134](https://arxiv.org/abs/1801.05134).
# - T. He et al.: *Bag of Tricks for Image Classification*, 2018, [arXiv
#   1812.01187](https://arxiv.org/abs/1812.01187): ResNet-D.
# - G. Yang et al.: *A Mean Field Theory of Batch Normalization*, 2019, [arXiv
#   1902.08129](https://arxiv.org/abs/1902.08129).
# - A. Zhang et al.: *Dive into Deep Learning*, chapter
#   [8.6](https://d2l.ai/chapter_convolutional-modern/resnet.html): nested function
#   classes.
#
# **Next:** [Lesson 02](02_full_network.ipynb) builds the whole network from these
# blocks.
