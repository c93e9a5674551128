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
# 4. write `BasicBlock` and `Bottleneck`, with a reason for every line, and derive what
#    a stack of blocks adds up to;
# 5. decide when a shortcut is solid and when it is dashed.
#
# **Know first:** convolutions, ReLU and gradient descent in PyTorch, as a first
# course on deep learning teaches them. Nothing about ResNets.
#
# **Reading** 56 minutes · **exercises** 25 minutes · **run time** quick CPU about
# 45 s (two quiet cores), full GPU not measured

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
# This section shows that more layers can make the *training* loss worse. Then it
# questions the two usual suspects.
#
# A **plain** network is a chain of convolutions. Ours is made of pairs. Each
# convolution is followed by a BatchNorm, which rescales its output (section 3 takes it
# apart), and by a ReLU. "Norm" will always mean this layer.


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
# `cifar_plain(depth)` stacks such blocks between a first convolution and a linear
# classifier. The depth counts convolutions and classifier, no norms.
# `cifar_resnet(depth)` is its twin: the same layers, but each pair also has a
# **shortcut**, which adds the pair's input to its output. Take it as given for now; you
# write it in section 4. Both families are those of He et al. 2015, section 4.2. We call
# that article "the paper".
#
# Every experiment of this course has two sizes. The **quick profile** suits a laptop,
# the **full profile** a GPU. `session.pick(quick=…, full=…)` shows you both numbers.
# Here the quick profile takes 512 images, shrunk to 8 × 8 pixels.

# %%
# Figure: eight training images in one row, each with the name of its class above it.
splits = load_cifar10(session.data_dir)
size = session.pick(quick=8, full=32)  # pixels a side


def thumbnails(part, number):
    """Return the first images of a part (number, 3, size, size), and their labels."""
    images = torch.from_numpy(part.images[:number]).permute(0, 3, 1, 2) / 255
    images = (images - 0.5) / 0.25  # about mean 0 and variance 1
    labels = torch.from_numpy(part.labels[:number])
    images = F.avg_pool2d(images, 32 // size)
    return images.to(session.device), labels.to(session.device)


num_images = session.pick(quick=512, full=45_000)
train_images, train_labels = thumbnails(splits.train, num_images)
val_images, val_labels = thumbnails(splits.val, 512)
print(splits.describe())
names = [splits.classes[label] for label in splits.train.labels[:8]]
show_images(splits.train.images[:8], names)
plt.show()

# %% [markdown]
# The first training images, before they are shrunk. CIFAR-10 is photos; if your line
# says "sketches", they are drawings that the course makes in their place. There are ten
# classes, so guessing is right in 10 % of cases.
#
# Now the training. Every network gets the same optimiser, learning rate and order of
# images.


# %%
# The training: some steps of gradient descent
def fit(model, seed, num_steps, lr):
    """Return the training loss at every step."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(num_steps):
        batch = torch.randint(len(train_images), (64,), generator=generator)
        loss = F.cross_entropy(model(train_images[batch]), train_labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


@torch.no_grad()
def accuracy(model, images, labels):
    """Return the share of images that the model gets right, in evaluation mode."""
    model.eval()
    return (model(images).argmax(1) == labels).float().mean().item()


# %% tags=["long-run"]
# Two families, each at several depths, three seeds of each
DEPTHS = session.pick(quick=(8, 44), full=(8, 20, 56))
NUM_STEPS = session.pick(quick=120, full=3000)
LR = session.pick(quick=0.005, full=0.05)
FAMILIES = {"plain": models.cifar_plain, "residual": models.cifar_resnet}
runs = []
for network, build in FAMILIES.items():
    for depth in DEPTHS:
        for seed in range(3):
            torch.manual_seed(seed)
            model = build(depth).to(session.device)
            losses = fit(model, seed, NUM_STEPS, LR)
            run = {"network": network, "depth": depth}
            run["training loss"] = losses[-20:].mean().item()
            some, their_labels = train_images[:512], train_labels[:512]
            run["training accuracy"] = accuracy(model, some, their_labels)
            run["validation accuracy"] = accuracy(model, val_images, val_labels)
            runs.append(run)

# %% [markdown]
# Look at your prediction once more. Then read the tables: a row a family, a column a
# depth, and in each cell the mean of three seeds, with their range.

# %%
# The end of each training: loss (mean of 20 steps), and accuracy in evaluation mode
for value in ("training loss", "training accuracy", "validation accuracy"):
    form = ".2f" if value == "training loss" else ".0%"
    heads, rows = pivot(runs, rows="network", columns="depth", value=value, form=form)
    show_table([value, *(f"{depth} layers" for depth in heads[1:])], rows)
ends = [run["training loss"] for run in runs if run["depth"] == DEPTHS[-1]]
session.report(
    f"training loss at {DEPTHS[-1]} layers: plain {sum(ends[:3]) / 3:.2f}, "
    f"residual {sum(ends[3:]) / 3:.2f}",
    data=splits.describe(),
)

# %% [markdown]
# So few images and steps prove little. A small set is also soon learnt by heart: then
# the training accuracy is high and the validation accuracy stays low, and that is
# overfitting. Degradation is a question about the *training* columns.
#
# ### The same on photos, for longer
#
# The project trained the same families on 10 000 CIFAR-10 photos in full size, 15
# epochs or about 1 200 steps each, in bfloat16 arithmetic. That is 2 % of the paper's
# 64 000 steps. The runs are recorded in `results/`.

# %%
# Recorded runs on photos: the test accuracy, mean and range of the seeds
recorded = sorted(load_results("degradation"), key=lambda run: run["depth"])
recorded.sort(key=lambda run: run["train_size"])
for run in recorded:
    run["network, photos"] = f"{run['network']}, {run['train_size']:,}"
show_table(
    *pivot(recorded, rows="network, photos", columns="depth", value="test_accuracy")
)

# %% tags=["figure"]
# Figure: training loss against epoch on photos, in two panels with one scale: plain
# networks on the left, residual ones on the right. One dashed line for each depth, the
# mean over the seeds, in a band from the least to the most.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for axis, network in zip(axes, ("plain", "residual"), strict=True):
    curves = {}
    for run in recorded:
        if run["network"] == network and run["train_size"] == 10_000:
            curve = run["history"]["train_loss"]
            curves.setdefault(f"{run['depth']} layers", []).append(curve)
    plot_seeds(curves, axis, linestyle="--")
    axis.set(title=f"{network}, 10,000 photos", xlabel="epoch")
axes[0].set_ylabel("training loss (cross-entropy)")
plt.show()

# %% [markdown]
# Training loss by epoch, mean over the seeds in a band from the least to the most.
# Training curves are dashed in this course (dashed shortcuts, later, are another
# matter).
#
# *Plain*: from 8 to 20 layers the loss at the end falls from 0.89<!-- results:
# degradation-plain8-photos-10000-seed* history.train_loss.-1 -->
# to 0.80<!-- results:
# degradation-plain20-photos-10000-seed* history.train_loss.-1 -->.
# So depth helps at first. With 56 layers it is 1.72<!-- results:
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
# No depth does harm.

# %% [markdown]
# The test accuracy, on photos that played no part in training, tells the same. With 56
# layers it is 37.3 %<!-- results:
# degradation-plain56-photos-10000-seed* test_accuracy -->
# for the plain network and 72.4 %<!-- results:
# degradation-residual56-photos-10000-seed* test_accuracy -->
# for the residual one. From 20 to 56 residual layers the gain is small: the ranges of
# the seeds overlap.

# %% [markdown]
# All 45 000 training photos and 20 epochs make six times as many steps (the last two
# rows; here seed 0). They narrow the gap and do not close it. With 20 plain
# layers 83.2 %<!-- results: degradation-plain20-photos-45000-seed0 test_accuracy --> of
# the test photos are right, with 56 plain layers 74.3 %<!-- results:
# degradation-plain56-photos-45000-seed0 test_accuracy -->, with 56 residual layers 87.1
# %<!-- results: degradation-residual56-photos-45000-seed0 test_accuracy -->. The paper
# made nine times as many steps again, and its plain network of 56 layers still ended
# with a higher training error than that of 20 (Figure 6).

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
# **Vanishing gradients** would mean that the first layer receives next to nothing. Call
# $\lVert \nabla_w L \rVert$, the length of the gradient vector, the gradient length. We
# measure it at the first convolution, before any training. Predict: does it shrink with
# depth?

# %%
# The gradient length at the first convolution of fresh networks
first = []
for network, build in FAMILIES.items():
    for depth in DEPTHS:
        for seed in range(3):
            torch.manual_seed(seed)
            model = build(depth).to(session.device)
            loss = F.cross_entropy(model(train_images[:64]), train_labels[:64])
            loss.backward()
            length = model.conv1.weight.grad.norm().item()
            first.append({"network": network, "depth": depth, "length": length})
show_table(*pivot(first, rows="network", columns="depth", value="length", form=".1f"))

# %% [markdown]
# It does not vanish: it *grows* with depth, by far the most in plain networks. Yang et
# al. 2019 derive it for fully connected plain networks with BatchNorm. The paper, too,
# thinks vanishing gradients unlikely: it checked its own, and found them healthy
# (section 4.1).
#
# What is the cause, then? The paper has a conjecture, no proof: deep plain networks may
# converge at "exponentially low" rates. [Deep dive
# 01b](01b_why_plain_networks_fail.ipynb) follows ours step by step: the first gradients
# explode, the weights inflate, the learning stalls.

# %% [markdown]
# One thing makes degradation odd. Set the extra layers to the **identity**, $f(x) = x$,
# and the deep network computes what the shallow one does. The paper calls this a
# solution *by construction*. So a good solution exists, and training does not find it.
#
# **So what:** more layers can make a network fit even its own training images worse.
# It is a failure of training; it is neither overfitting nor a lack of gradient.

# %% [markdown]
# ## 2 · Identity: hard and free
#
# How hard is the identity to find? This section shows which function a shortcut makes
# easy, and which it does not.
#
# Call what two convolutions with their norms compute the **branch** $F(x)$. A plain
# pair puts out $\mathrm{ReLU}(F(x))$, a residual pair $\mathrm{ReLU}(F(x) + x)$. The
# input comes out of an earlier ReLU, so it is never negative.
#
# Can the plain pair be the identity at all? Nearly. A 3×3 kernel with a 1 in its centre
# and zeros elsewhere copies its channel. The norm then subtracts the mean and divides
# by the spread, and its learned factor $\gamma$ and shift $\beta$ can undo that
# (section 3). We put this solution in by hand.


# %%
# The identity as a plain pair, put in by hand
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
branch = make_branch()
for conv, norm in ((branch[0], branch[1]), (branch[3], branch[4])):
    nn.init.dirac_(conv.weight)  # a 1 in the centre of its own channel, else 0
    nn.init.constant_(norm.weight, x.std())  # γ
    nn.init.constant_(norm.bias, x.mean())  # β
print(f"mean squared error by hand: {F.mse_loss(F.relu(branch(x)), x):.1e}")

# %% [markdown]
# Does gradient descent find it? For the residual pair a solution is easy to name:
# $F(x) = 0$. Setting the last $\gamma$ to zero silences the branch, whatever the
# convolutions hold.
#
# We let both pairs race to the identity, on fresh random inputs at each step. As a
# **control** they also race to two other targets: zero, and the input shifted by one
# pixel. A shortcut that helps with everything would win all three races. Predict the
# winner of each.


# %%
# One race: fit a pair to a target function
def race(target, residual, zero_gamma=False, seed=0):
    """Return the mean squared error from the target at every step."""
    torch.manual_seed(seed)
    branch = make_branch()
    if zero_gamma:
        nn.init.zeros_(branch[-1].weight)
    optimizer = torch.optim.SGD(branch.parameters(), lr=0.1, momentum=0.9)
    errors = []
    for _ in range(session.pick(quick=300, full=1000)):
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
            result = {"pair": pair, "target": target, "errors": errors}
            races.append(result | {"end": sum(errors[-10:]) / 10})
show_table(*pivot(races, rows="pair", columns="target", value="end", form=".0e"))

# %% [markdown]
# The error over the last ten steps, mean and range of three seeds. The inputs are
# random numbers, the same on every machine.
#
# The residual pair wins the race to the identity by far. It loses the race to zero,
# where its branch has to cancel the input. At the shift neither leads clearly: knowing
# $x$ is of no use there.
#
# So a shortcut does not make learning easier in general. It moves the easy place from
# zero to the identity. If the best thing an extra block can do is *nearly nothing*, the
# branch only has to learn the small difference $F(x) = f(x) - x$, the **residual**.

# %% [markdown]
# What if $\gamma$ of the last norm starts at zero? Predict two curves, plain and
# residual.

# %%
# Figure: mean squared error from the identity, on a logarithmic axis, against training
# step. Three dashed lines, mean of three seeds in a band of their range: the residual
# pair falls to the rounding error, the plain pair stays above a hundredth, and the
# plain pair with γ = 0 stays where it starts.
identity = [run for run in races if run["target"] == "identity"]
curves = {
    pair: [run["errors"] for run in identity if run["pair"] == pair]
    for pair in ("plain", "residual")
}
zeroed = [race(TARGETS["identity"], False, zero_gamma=True, seed=s) for s in range(3)]
curves["plain, γ = 0"] = zeroed
axis = plot_seeds(curves, x=range(1, 1 + len(zeroed[0])), linestyle="--")
axis.set(yscale="log", xlabel="training step", ylabel="mean squared error")
plt.show()
errors = race(TARGETS["identity"], residual=True, zero_gamma=True)
print(f"residual, γ = 0: the largest error of all steps is {max(errors)}")

# %% [markdown]
# The residual pair with $\gamma = 0$ *is* the identity, before its first step and after
# its last: an error of exactly 0, which a logarithmic axis cannot show. Nor is it stuck
# there. Where $x$ is positive the sum is, so its ReLU passes a gradient to $\gamma$,
# whenever there is something to improve. The plain pair with $\gamma = 0$ puts out
# zeros, its ReLU passes nothing back, and it never leaves its start.

# %% [markdown]
# Do trained blocks stay near the identity? In a network of 20 layers they do not, as
# 01b measures. In the paper, branches put out less the deeper the network is (Figure
# 7).
#
# **So what:** a shortcut helps where the best function is nearer to "change nothing"
# than to "put out zero". The paper says the same (section 3.2).

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
# At prediction time there may be no batch, only one image. So the norm also keeps
# **running statistics**, moving averages of mean and variance over the training
# batches. In evaluation mode it uses those.


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
                self.running_var.lerp_(var * m / (m - 1), self.momentum)
        shape = (1, -1, 1, 1)  # one number a channel
        x = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + self.eps)
        return self.weight.view(shape) * x + self.bias.view(shape)


# %% [markdown]
# Two details are easy to miss. The batch is normalised with the variance over $m$, but
# the running variance is fed the estimate over $m - 1$. And `momentum=0.1` (the norm's,
# not the optimiser's) means that each batch replaces a tenth of the running statistics.
#
# Is ours right? PyTorch's and ours get the same five batches in training mode, then one
# in evaluation mode.

# %%
# Ours against PyTorch's, in both modes
torch.manual_seed(0)
ours, theirs = BatchNorm2d(8), nn.BatchNorm2d(8)
for mode in ["train"] * 5 + ["eval"]:
    ours.train(mode == "train")
    theirs.train(mode == "train")
    x = 2 * torch.randn(4, 8, 3, 3) + 1
    difference = (ours(x) - theirs(x)).abs().max().item()
    print(f"{mode:5} largest difference of an output {difference:.0e}")
difference = (ours.running_var - theirs.running_var).abs().max().item()
print(f"largest difference of a running variance {difference:.0e}")

# %% [markdown]
# The differences are those of rounding. From here on we use PyTorch's.
#
# ### Two modes, two functions
#
# In training mode the output for one image depends on *which other images* are in its
# batch. We send one image through a convolution and a norm, each time in the company of
# 31 others. How much do its outputs vary, compared with their own spread?

# %%
# One image in changing company
torch.manual_seed(0)
layers = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
layers.to(session.device)
for mode in ("train", "eval"):
    layers.train(mode == "train")
    outputs = []
    for company in train_images[1:311].split(31):
        batch = torch.cat([train_images[:1], company])
        outputs.append(layers(batch)[0])
    outputs = torch.stack(outputs)
    wobble = outputs.std(dim=0).mean() / outputs.std()
    print(f"{mode:5} mode: the image's output varies by {wobble.item():.1%}")

# %% [markdown]
# In training mode the norm adds noise, because a batch is a random sample. In
# evaluation mode the noise is gone. Forget `model.eval()`, and a prediction depends on
# its neighbours in the batch.
#
# Ioffe and Szegedy found that this noise regularises, and that the older way,
# **dropout**, could be weakened or left out. The paper uses none (section 3.4).
#
# **So what:** a network with norms is one function in training and another in
# evaluation; say which you mean before you call it.

# %% [markdown]
# ## 4 · The basic block
#
# This section writes the block, gives a reason for each line, and derives what a stack
# of blocks adds up to.
#
# `expansion` is a constant that tells the network how many times wider than `channels`
# the output is: once, here.


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
# **No bias before a norm:** the norm subtracts the mean of its channel, and a bias is
# part of that mean. The norm's own $\beta$ does its work.


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
# A plain pair; the basic block with a solid and with a dashed shortcut (below); the
# bottleneck of section 5, with its channels.

# %% [markdown]
# ### A sum from end to end
#
# Stack such blocks. Leave out the ReLU after the addition for a moment. Then block $i$
# computes $x_{i+1} = x_i + F_i(x_i)$, and from block $l$ to block $L$ that adds up to
#
# $$x_L = x_l + \sum_{i=l}^{L-1} F_i(x_i) .$$
#
# For the gradient of a loss $\mathcal L$ the chain rule gives (He et al. 2016)
#
# $$\frac{\partial \mathcal L}{\partial x_l} = \frac{\partial \mathcal L}{\partial x_L}
# \Big(1 + \frac{\partial}{\partial x_l} \sum_{i=l}^{L-1} F_i(x_i)\Big) .$$
#
# The $1$ is a direct way. Whatever the weights hold, the gradient at the end arrives at
# the start, and the branches add their part. A plain stack has no such term: its
# gradient is a product of one factor a block. We check both formulas on ten blocks.
# Predict what the ReLU does to them.


# %%
# Ten blocks: signal, sum of the branches, and how much of the direct way is open
def through(branches, x, last):
    """Return x_L, the sum of all branches, and where the direct way is open."""
    total, is_open = torch.zeros_like(x), torch.ones_like(x)
    for branch in branches:
        change = branch(x)
        total = total + change
        x = last(x + change)
        is_open = is_open * (x > 0)
    return x, total, is_open


torch.manual_seed(0)
branches = [make_branch() for _ in range(10)]
x_l = torch.randn(8, 16, 8, 8).relu().requires_grad_()
gradient = torch.randn(8, 16, 8, 8)  # some ∂L/∂x_L
for name, last in (("nothing", nn.Identity()), ("ReLU", nn.ReLU())):
    x_L, total, is_open = through(branches, x_l, last)
    gap = (x_L - (x_l + total)).abs().max().item()
    (arrived,) = torch.autograd.grad(x_L, x_l, gradient, retain_graph=True)
    (by_branches,) = torch.autograd.grad(total, x_l, gradient)
    missing = (arrived - (gradient + by_branches)).abs().max().item()
    print(f"after the sum {name:8} signal: formula off by {gap:.0e}", end=", ")
    print(f"gradient: off by {missing:.0e}")
print(f"with the ReLU, the direct way is open at {is_open.mean().item():.0%} of places")

# %% [markdown]
# Without the ReLU both formulas hold, up to rounding. With it they do not: each time a
# sum is negative, the ReLU cuts the number off, and its gradient with it. The direct
# way stays open only where *every* sum on it was positive. That is what the ReLU after
# the addition takes away, and why He et al. 2016 moved it into the branch: the
# **pre-activation** block of the last exercise.
#
# And the ReLU *before* the addition, $\mathrm{ReLU}(F(x)) + x$? Then the branch could
# only add, and a number could never fall again. He et al. 2016 tried it, and it was
# worse (Table 2).

# %% [markdown]
# ### Solid and dashed shortcuts
#
# An addition needs two tensors of the same shape. `BasicBlock(64, 128)` with nothing on
# its shortcut stops there: "The size of tensor a (128) must match the size of tensor b
# (64)".
#
# Two things can make the shapes differ: the number of channels, and the stride. Then
# the shortcut needs a layer of its own, `downsample`. Most people draw it **dashed**,
# and call the others **solid**. There are three options (sections 3.3 and 4.1).

# %% [markdown]
# **A** takes every `stride`-th pixel and fills the new channels with zeros. It has no
# parameters; the paper's CIFAR networks use it. **B** uses a 1×1 convolution with that
# stride, a **projection**, and its norm. (**C** projects everywhere; it cost more and
# gained little.)


# %%
# Two shortcuts that change the shape
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
# Shapes and parameters of dashed blocks, from 64 to 128 channels
def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


x, rows = torch.randn(2, 64, 32, 32), []
for name, shortcut in (("A, zeros", PadShortcut), ("B, projection", projection)):
    for stride in (1, 2):
        block = BasicBlock(64, 128, stride, downsample=shortcut(64, 128, stride))
        counts = [f"{num_parameters(part):,}" for part in (block, block.downsample)]
        rows.append([name, stride, tuple(block(x).shape), *counts])
show_table(["shortcut", "stride", "output", "parameters", "in the shortcut"], rows)

# %% [markdown]
# `(2, 64, 32, 32)` becomes `(2, 128, 32, 32)` at stride 1, and `(2, 128, 16, 16)` at
# stride 2.
#
# A solid shortcut hands every number on. A projection is a layer that learns, and the
# direct way ends at it. So a network keeps them few: one at the start of a **stage**, a
# run of blocks on maps of one size.
#
# **So what:** a block adds to what it is given; as long as the shortcut is bare, signal
# and gradient have a way on which no weight stands.

# %% [markdown]
# ## 5 · The bottleneck
#
# This section shows how deep networks afford wide signals.
#
# A 3×3 convolution on 256 channels has $9 \cdot 256^2$ weights, and a basic block has
# two. For its networks of 50 layers and more, the paper does the 3×3 work on fewer
# channels. A 1×1 convolution **reduces** 256 channels to 64, the 3×3 **works** on 64,
# and another 1×1 **restores** 256: narrow in the middle, like the neck of a bottle.
#
# `channels` is the width of the neck. `expansion = 4` is the ratio of the output to
# the neck: a block with `channels=64` puts out 256.


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


# %% [markdown]
# What does the neck save? We count parameters and **multiply-adds**: one weight times
# one number, added to a sum. At stride 1 each weight of a convolution is used once at
# every position of the map.

# %%
# The cost of three blocks on maps of 32 × 32
rows = []
for name, block in {
    "Bottleneck(256, 64)": Bottleneck(256, 64),
    "BasicBlock(256, 256)": BasicBlock(256, 256),
    "BasicBlock(64, 64)": BasicBlock(64, 64),
}.items():
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    weights = sum(conv.weight.numel() for conv in convs)
    multiply_adds = f"{weights * 32 * 32 / 1e6:.0f} M"
    rows.append([name, f"{num_parameters(block):,}", multiply_adds])
show_table(["block", "parameters", "multiply-adds"], rows)

# %% [markdown]
# A basic block of the same width would cost 17 times as much. The bottleneck costs
# about what a basic block on 64 channels costs: the pair of the paper's Figure 5. It
# buys a fourfold width between the blocks, and three layers in place of two.
#
# ### Why the stride sits on the 3×3
#
# The first block of a stage halves height and width. Which convolution has the stride?
# The paper's own networks, as released, have it on the first 1×1. torchvision,
# PyTorch's library for images, puts it on the 3×3; that is called **v1.5**. We ask a
# gradient: to which positions of its input does the branch react at all?


# %%
# Figure: three grids, the positions of a block's input map; yellow where a position has
# any influence on the output, dark where it has none. With the stride on the first 1×1,
# and in the projection, every second position of every second row is yellow; with the
# stride on the 3×3, all are.
def positions_used(layers, x):
    """Return which positions of `x` (H, W) have any influence on the output."""
    x = x.clone().requires_grad_()
    layers(x).square().sum().backward()
    return x.grad.abs().sum(dim=(0, 1)) > 0


def first_two(stride_1x1, stride_3x3):
    """Return the 1×1 and the 3×3 convolution of a bottleneck, with its ReLU."""
    reduce = nn.Conv2d(256, 128, 1, stride_1x1)
    return nn.Sequential(reduce, nn.ReLU(), nn.Conv2d(128, 128, 3, stride_3x3, 1))


torch.manual_seed(0)
x = torch.randn(1, 256, 8, 8)
used = {
    "on the first 1×1": positions_used(first_two(2, 1), x),
    "on the 3×3 (v1.5)": positions_used(first_two(1, 2), x),
    "in the projection": positions_used(projection(256, 512, 2).eval(), x),
}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9))
for axis, (name, positions) in zip(axes, used.items(), strict=True):
    axis.imshow(positions, vmin=0, vmax=1)
    share = positions.float().mean().item()
    axis.set(title=f"stride {name}: {share:.0%}", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Yellow positions matter, dark ones are never seen. A 1×1 kernel with stride 2 steps
# over three positions in four, and nothing after it can bring them back. A 3×3 kernel
# with stride 2 sees them all, for a higher price (Lesson 02). Both versions have the
# same weights, so saved weights of one load into the other without an error.
#
# **So what:** the bottleneck works in its narrow middle, and its stride sits where no
# position is lost.

# %% [markdown]
# ## Myths, tested
#
# **Myth: "Stride 1 means a solid shortcut."** We list the dashed blocks of two
# networks of Lesson 02.

# %%
# Every dashed block of ResNet-18 and ResNet-50
rows = []
for name, build in (("resnet18", models.resnet18), ("resnet50", models.resnet50)):
    for path, block in build().named_modules():
        if getattr(block, "downsample", None) is not None:
            conv = block.downsample[0]
            channels = f"{conv.in_channels} → {conv.out_channels}"
            rows.append([name, path, conv.stride[0], channels])
show_table(["network", "dashed block", "stride", "channels"], rows)

# %% [markdown]
# **Refuted** by `layer1.0` of ResNet-50: stride 1, and dashed all the same, because
# its channels go from 64 to 256. What counts is the shape: stride *or* channels.

# %% [markdown]
# ## Summary
#
# 1. **Degradation** is a higher *training* loss with more layers. Overfitting would
#    show as a gap to other images, vanishing gradients as short ones at the first
#    layer; we found neither.
# 2. A shortcut makes the identity easy and free at $\gamma = 0$. It is in the way where
#    the best function is zero.
# 3. **BatchNorm** uses the batch's mean and variance in training, running ones in
#    evaluation.
# 4. No bias before a norm; no ReLU before the addition. A stack adds up,
#    $x_L = x_l + \sum F_i(x_i)$, so the gradient has a direct way; the ReLU after each
#    sum narrows it. The bottleneck works in its narrow middle.
# 5. A shortcut is **dashed** where stride or channels change the shape.

# %% [markdown]
# ## Exercises
#
# ### ★ Dashed or solid?
#
# Section 4 gave the rule. The last step is missing here: what else
# changes the shape? Expected: `True` where the shortcut needs a projection, for example
# for 64 → 128 channels at stride 2, else `False`.


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
# Goyal et al. 2017 start the training of large networks with $\gamma = 0$ in the last
# norm of every branch. Do this to a given network, in place. It may be made of
# `models.BasicBlock` or of `models.Bottleneck`. Two steps are missing: what happens to
# each kind. Leave everything else alone, $\beta$ too (in a new network it is zero).


# %% tags=["exercise"]
def start_as_identity(model):
    """Set the factor of the last norm of every branch to zero, in place."""
    for module in model.modules():
        if isinstance(module, models.BasicBlock | models.Bottleneck):
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
# He et al. 2016 put norm and ReLU *before* each convolution, and nothing after the
# addition, so that the direct way stays open:
#
# $$x + \mathrm{conv}_2(\mathrm{ReLU}(\mathrm{bn}_2(\mathrm{conv}_1(
# \mathrm{ReLU}(\mathrm{bn}_1(x)))))).$$
#
# Write this block for equal input and output channels and stride 1, with the names
# `bn1`, `conv1`, `bn2`, `conv2`, and no bias in the convolutions. Expected: with
# `conv2` at zero it is the identity for *every* input.


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
# So the company of an image changes its output, as one image in ten companies showed.
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
# **No.** With basic blocks `layer1` begins at stride 1, with 64 channels in and 64 out.
# Nothing changes the shape, so that shortcut is solid.
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
# - G. Yang et al.: *A Mean Field Theory of Batch Normalization*, 2019, [arXiv
#   1902.08129](https://arxiv.org/abs/1902.08129).
# - A. Zhang et al.: *Dive into Deep Learning*, chapter
#   [8.6](https://d2l.ai/chapter_convolutional-modern/resnet.html): nested function
#   classes.
#
# **Deeper:** [01b](01b_why_plain_networks_fail.ipynb) asks why plain networks fail, and
# tries to rescue one.
#
# **Next:** [Lesson 02](02_full_network.ipynb) builds the whole network from these
# blocks.
