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
# # 01b · Why do plain networks fail?
#
# Read this if "vanishing gradients" is still your answer: you will watch a deep plain
# network fail step by step, try to rescue it, and spoil a residual one.
#
# **After this deep dive you can**
#
# 1. show that a deep plain network has a good solution, and that training misses it;
# 2. follow the failure in three steps: explode, inflate, stall;
# 3. say what learning rates and warm-up can rescue;
# 4. explain why the shortcut is the *identity*, and not a scaled or gated one.
#
# **Know first:** [Lesson 01](01_residual_blocks.ipynb).
#
# **Reading** 26 minutes · **run time** quick CPU about 50 s (two quiet cores), full GPU
# not measured

# %% tags=["setup"]
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import explain, models, plotting
from course_utils.data.cifar10 import load_cifar10
from course_utils.models import cifar, resnet
from course_utils.pretrained import load_pretrained
from course_utils.results import load_results, pivot, show_table
from course_utils.session import start

session = start(seed=0)
plotting.course_style()

# %% [markdown]
# ## 1 · A solution exists
#
# This section shows that nothing is wrong with what a deep plain network *can* compute.
#
# All functions that a network can compute, over all settings of its weights, form its
# **function class**. Training looks for the member with the lowest loss. A larger class
# may have moved away from the best function. If it contains the smaller class, the two
# are **nested**, and its best member can only be as good or better.


# %% tags=["figure"]
# Figure: a drawing in two panels. In each, three ellipses of growing size stand for
# classes of functions, a star for the best function. A dotted line leads from the star
# to the nearest point of each ellipse. On the left the ellipses are not nested, and the
# largest is the farthest from the star; on the right each holds the smaller ones, and
# the largest is the nearest.
def draw_classes(axis, centres, title):
    """Draw three growing classes, and what each has nearest to the target."""
    target, angle = torch.tensor([4.3, 1.9]), torch.linspace(0, 2 * torch.pi, 721)
    for number, centre in enumerate(torch.tensor(centres)):
        radii = torch.tensor([1.1, 0.75]) * (1 + 0.75 * number)
        edge = centre + radii * torch.stack([angle.cos(), angle.sin()], dim=1)
        nearest = edge[(edge - target).norm(dim=1).argmin()]
        style = {"color": f"C{number}", "label": f"class {number + 1}"}
        axis.plot(*edge.T, **style)
        axis.plot(*torch.stack([nearest, target]).T, ":o", color=f"C{number}")
    axis.plot(*target, "*k", markersize=13)
    axis.annotate("best function", target, (-28, 9), textcoords="offset points")
    axis.set(title=title, xlim=(-4.2, 5.4), ylim=(-3.9, 2.9), aspect="equal")
    axis.axis("off")


fig, axes = plt.subplots(1, 2, figsize=(9, 3.5))
draw_classes(axes[0], [(0.6, 1.2), (0.4, -1.0), (-1.2, -1.6)], "non-nested")
draw_classes(axes[1], [(0.6, 0.4), (0.9, 0.0), (0.5, 0.35)], "nested")
axes[0].legend(loc="upper left")
plt.show()

# %% [markdown]
# A drawing, not a measurement. To which side do our networks belong? We put one more
# block into trained networks of 20 layers that ship with the course, a plain and a
# residual one: a fresh block, or one set to the identity. How many answers change?


# %%
# Insert one block, and count the answers that change
def normalised(part, number):
    """Return the first images of a part, float (number, 3, 32, 32), and labels."""
    images = torch.from_numpy(part.images[:number]).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor(splits.mean), torch.tensor(splits.std)
    images = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    labels = torch.from_numpy(part.labels[:number])
    return images.to(session.device), labels.to(session.device)


splits = load_cifar10(session.data_dir)
name = "cifar10" if splits.is_photos else "sketches"
shipped = {"plain": load_pretrained(f"{name}-plain"), "residual": load_pretrained(name)}
val_images, _ = normalised(splits.val, 256)

# %%
# The same answers, with one block more?
torch.manual_seed(0)
plain_identity, residual_identity = cifar.PlainBlock(16, 16), models.BasicBlock(16, 16)
nn.init.dirac_(plain_identity.conv1.weight)  # a 1 in the centre of each kernel
nn.init.dirac_(plain_identity.conv2.weight)
nn.init.zeros_(residual_identity.bn2.weight)  # γ = 0
plain_fresh, residual_fresh = cifar.PlainBlock(16, 16), models.BasicBlock(16, 16)
resnet.init_convolutions(plain_fresh)  # the first weights of the course's networks
resnet.init_convolutions(residual_fresh)
rows = []
for kind, setting, block in (
    ("plain", "fresh", plain_fresh),
    ("plain", "kernels with a 1 in the centre", plain_identity),
    ("residual", "fresh", residual_fresh),
    ("residual", "last γ = 0", residual_identity),
):
    model = shipped[kind].to(session.device)
    with torch.no_grad():
        before = model(val_images).argmax(1)
        model.layer1.append(block.to(session.device).eval())
        changed = (model(val_images).argmax(1) != before).float().mean().item()
    del model.layer1[-1]
    rows.append([kind, setting, f"{changed:.0%}"])
show_table(["network", "extra block", "answers that change"], rows)

# %% [markdown]
# Both families nest: each has a block that changes no answer. So the picture on the
# right holds for plain networks too, and nesting does not explain their failure. A
# *fresh* block of either kind spoils many answers. Training has to make it useful, or
# harmless.
#
# **So what:** the deep plain network could compute what the shallow one does; it is the
# way there that fails.

# %% [markdown]
# ## 2 · Explode, inflate, stall
#
# This section follows the first convolution of a plain network through its training.
#
# One property of norms first. A norm divides by the size of what it gets. So weights
# *before* a norm can be doubled without any effect on the loss. Two things follow for
# their gradient $g$. It has no part along the weights $w$, since a change of their
# length changes nothing. And twice the weights get half the gradient.

# %%
# The gradient of weights before a norm: at a right angle, and half for twice as long
torch.manual_seed(0)
thumbnails, labels = normalised(splits.train, 512)
thumbnails = F.avg_pool2d(thumbnails, 4)  # (512, 3, 8, 8), as in lesson 01
model = models.cifar_plain(8).to(session.device)
for factor in (1, 2):
    with torch.no_grad():
        model.conv1.weight.mul_(factor)
    model.zero_grad()
    F.cross_entropy(model(thumbnails), labels).backward()
    weight, gradient = model.conv1.weight.detach(), model.conv1.weight.grad
    cosine = F.cosine_similarity(weight.flatten(), gradient.flatten(), dim=0).item()
    print(f"weights × {factor}: gradient length {gradient.norm().item():.3f}", end=", ")
    print(f"cosine of the angle to the weights {cosine:+.0e}")

# %% [markdown]
# Without momentum every step is at a right angle, and can only make the weights
# *longer* (Pythagoras). With momentum a step repeats old gradients, and can point far
# from a right angle. Its part along the weights changes their length. Its part across
# makes them **turn**, and only the turn counts: about $\eta \lVert g \rVert / \lVert
# w \rVert$ for a rate $\eta$. Longer weights have a shorter gradient as well, so the
# turn falls with $1 / \lVert w \rVert^2$.
#
# Predict for a deep plain network: gradient, weights and turn, at the start and later.


# %%
# Train, and watch the first convolution at every step
NUM_STEPS = session.pick(quick=60, full=500)
DEPTH = session.pick(quick=44, full=56)


def watch(model, seed=0, lr=0.005, warmup=1):
    """Return at every step: loss, lengths of gradient and weights, and the turn."""
    model.to(session.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    seen = {"loss": [], "gradient": [], "weights": [], "turn": []}
    for step in range(NUM_STEPS):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / warmup)
        batch = torch.randint(len(thumbnails), (64,), generator=generator)
        loss = F.cross_entropy(model(thumbnails[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        weight = model.conv1.weight
        before = weight.detach().clone()
        optimizer.step()
        change, direction = weight.detach() - before, before / before.norm()
        along = (change * direction).sum()
        across = (change - along * direction).norm()
        turn = torch.atan2(across, before.norm() + along)
        seen["loss"].append(loss.item())
        seen["gradient"].append(weight.grad.norm().item())
        seen["weights"].append(before.norm().item())
        seen["turn"].append(turn.rad2deg().item())
    return seen


# %% tags=["long-run"]
# Three networks, three seeds
NETWORKS = {
    "plain, 8 layers": lambda: models.cifar_plain(8),
    f"plain, {DEPTH} layers": lambda: models.cifar_plain(DEPTH),
    f"residual, {DEPTH} layers": lambda: models.cifar_resnet(DEPTH),
}
watched = []
for network, build in NETWORKS.items():
    for seed in range(3):
        torch.manual_seed(seed)
        watched.append({"network": network, **watch(build(), seed)})
plain_deep, residual_deep = watched[3], watched[6]  # seed 0 of each

# %% [markdown]
# First the curves, then their ends as numbers. Compare them with your prediction.

# %% tags=["figure"]
# Figure: three panels against the training step, each with three lines, mean of three
# seeds in a band of their range; gradient and turn logarithmic. Gradient: the deep
# plain network begins far above the others and ends below. Weights: its weights grow
# for some thirty steps, the others' hardly. Turn: it begins far above the others and
# ends far below.
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6))
titles = {"gradient": "gradient length", "weights": "weight length", "turn": "turn (°)"}
for axis, (key, title) in zip(axes, titles.items(), strict=True):
    curves = {
        name: [run[key] for run in watched if run["network"] == name]
        for name in NETWORKS
    }
    plotting.plot_seeds(curves, axis, x=range(1, NUM_STEPS + 1), linestyle="--")
    axis.set(title=title, xlabel="training step")
    axis.set_yscale("linear" if key == "weights" else "log")
    axis.get_legend().remove()
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
# The first step, and the mean of the last ten
table = []
for run in watched:
    for key in ("gradient", "weights", "turn"):
        for when, value in (("first", run[key][0]), ("last", sum(run[key][-10:]) / 10)):
            row = {"network": run["network"], "what": f"{key}, {when}", "value": value}
            table.append(row)
show_table(*pivot(table, rows="network", columns="what", value="value", form=".2g"))

# %% [markdown]
# Mean and range of three seeds; the turn in degrees a step. Read the deep plain
# network's row from left to right.
#
# - **It explodes.** Its first gradient is more than a hundred times as long as that of
#   the shallow network. Yang et al. 2019 derive such growth for fully connected plain
#   networks with BatchNorm.
# - **It inflates.** The first steps are huge, and momentum repeats them for some thirty
#   steps, soon along the weights. They end about three times as long.
# - **It stalls.** Long weights turn little. At the end the deep network's first layer
#   turns by less than a tenth of what its residual twin's does.

# %% [markdown]
# Three times the length makes a turn about a tenth as large: about the distance to the
# shallow network. The gradient has not vanished. Times the length of its weights it is
# about as long as the shallow network's. The residual twin turns faster still. Its
# gradient stays several times as long as the shallow one's; why, we cannot say.
#
# This is the first layer, in small networks and few steps. The paper, after longer
# runs, left the cause open (section 4.1).
#
# **So what:** the deep plain network starts with a huge gradient, and ends with weights
# that hardly turn. Whether the one causes the failure is the next question.

# %% [markdown]
# ## 3 · A rescue
#
# This section tries to rescue the deep plain network. If too large a first step is the
# trouble, a smaller rate should help, or a **warm-up**, in which the rate grows from
# near zero. As a control, the shallow network gets the smaller rate too. Predict which
# of these learns. (Guessing has a loss of $\ln 10 = 2.30$.)


# %% tags=["long-run"]
# The plain networks at a smaller rate, and with a warm-up; one seed
def show_ends(runs):
    """Show what each run was, and the mean of its last ten steps."""
    rows = []
    for run in runs:
        ends = [sum(run[key][-10:]) / 10 for key in ("loss", "weights", "turn")]
        rows.append([run["network"], *(f"{end:.3g}" for end in ends)])
    show_table(["network", "loss", "weight length", "turn (°)"], rows)


rescues = []
for depth, lr, warmup in (
    (DEPTH, 0.005, NUM_STEPS // 2),
    (DEPTH, 2e-4, 1),
    (8, 2e-4, 1),
):
    torch.manual_seed(0)
    run = watch(models.cifar_plain(depth), lr=lr, warmup=warmup)
    name = f"plain, {depth} layers, rate {lr}, warm-up of {warmup} steps"
    rescues.append({"network": name.replace(", warm-up of 1 steps", ""), **run})
show_ends([plain_deep, *rescues, watched[0], residual_deep])

# %% [markdown]
# The first row and the last two are networks of section 2. The warm-up changes the loss
# little. At the small rate the deep network's weights stay short and keep turning, and
# the loss hardly falls. But at this rate the shallow network learns nothing in so few
# steps either, so this row cannot tell whether inflation is the cause.
#
# The recorded runs on photos made 1 185 steps (10 000 photos) and 7 040 (45 000), at a
# rate of 0.1. Two things in them could work against inflation, which was not measured
# there: a warm-up over the first 30 % of the steps, and **weight decay**, which
# shortens the weights a little at every step (lesson 03).

# %%
# Recorded runs: test accuracy by the number of training photos
recorded = [run for run in load_results("degradation") if run["depth"] > 8]
for run in recorded:
    run["layers"] = f"{run['network']}, {run['depth']}"
recorded.sort(key=lambda run: run["train_size"])
show_table(*pivot(recorded, rows="layers", columns="train_size", value="test_accuracy"))

# %% [markdown]
# With six times the steps and 4.5 times the photos, the plain network of 56 layers goes
# from 37.3 %<!-- results: degradation-plain56-photos-10000-seed* test_accuracy --> to
# 74.3 %<!-- results: degradation-plain56-photos-45000-seed0 test_accuracy --> (one
# seed). So the stall is no full stop; which of the two helped, these runs cannot
# separate. But treated alike the plain network of 20 layers reaches
# 83.4 %<!-- results: degradation-plain20-photos-45000-seed* test_accuracy --> (three
# seeds) and the residual one of 56 layers 87.1 %<!-- results:
# degradation-residual56-photos-45000-seed0 test_accuracy -->. Other rates were not
# measured on photos for 56 plain layers.
#
# **So what:** longer training on more photos rescues a part. Nothing that we tried
# makes the deep plain network as good as a plain one of 20 layers.

# %% [markdown]
# ## 4 · Why the identity?
#
# This section spoils the shortcut of a residual network.
#
# Let a shortcut multiply what it carries by $\lambda$. Without the ReLU after the sum,
# the signal passes $n$ blocks as $x_{l+n} = \lambda^n x_l + \dots$, and the direct way
# of the gradient carries $\lambda^n$ in place of 1. With $\lambda = 0.5$ and 19 blocks
# that is 0.000002. He et al. 2016 tried a fixed $\lambda$, and a **gate**: a 1×1
# convolution and a sigmoid that choose $\lambda$ for each number. With a bias of $-6$
# the gate starts almost open, $\lambda = 0.998$.


# %%
# A basic block whose shortcut is multiplied by `keep(x)`
class OtherShortcut(nn.Module):
    """Return ``relu(F(x) + keep(x) * x)`` with the branch F of a basic block."""

    def __init__(self, block, keep):
        super().__init__()
        self.block, self.keep = block, keep

    def forward(self, x):
        block = self.block
        out = block.relu(block.bn1(block.conv1(x)))
        out = block.bn2(block.conv2(out))
        return F.relu(out + self.keep(x) * x)


class Gate(nn.Module):
    """Return numbers between 0 and 1 to multiply a shortcut by."""

    def __init__(self, channels, bias):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        nn.init.constant_(self.conv.bias, bias)

    def forward(self, x):
        return 1 - self.conv(x).sigmoid()


# %% tags=["long-run"]
# Two other shortcuts, one seed
KEEPS = {
    "× 0.5": lambda channels: lambda x: 0.5,
    "gate, bias -6": lambda channels: Gate(channels, bias=-6.0),
}
others = []
for name, make_keep in KEEPS.items():
    torch.manual_seed(0)
    model = models.cifar_resnet(DEPTH)
    for stage in (model.layer1, model.layer2, model.layer3):
        for index, block in enumerate(stage):
            if block.downsample is None:  # the solid shortcuts
                keep = make_keep(block.conv1.in_channels)
                stage[index] = OtherShortcut(block, keep)
    others.append({"network": f"shortcut {name}", **watch(model)})
show_ends([residual_deep, *others, plain_deep])

# %% [markdown]
# One seed, so read it as an example. The first row is the intact residual network, the
# last the plain one. A shortcut that halves leaves little of the cure. A gate that
# starts almost open keeps it.
#
# He et al. 2016 trained ResNet-110 on CIFAR-10 with each (Table 1, test error, median
# of five runs): identity 6.61 %, this gate with a bias of $-6$ 6.91 %, with a bias of 0
# 12.86 %. A constant 0.5 on the shortcut alone failed; with the branch halved as well,
# 12.35 %. A 1×1 convolution as shortcut, which could learn the identity: 12.22 %.
#
# **So what:** of the shortcuts that He et al. 2016 compared, the one that does nothing
# was best.

# %% [markdown]
# ## 5 · How much does a trained block change?
#
# This section shows whether trained blocks are near the identity. We compare the length
# of what a branch adds, $\lVert F(x) \rVert$, with the length of what its shortcut
# carries, in the network of 20 layers that ships.

# %%
# Figure: bars of the length of F(x) divided by that of the shortcut, one for each
# block, coloured by stage; a dotted line at 1.
statistics = explain.branch_statistics(shipped["residual"], val_images)
plotting.plot_branch_ratios({name: pair.ratio for name, pair in statistics.items()})
plt.show()


# %% tags=["figure"]
# Figure: standard deviation of what each norm puts out, the paper's measure, by layer;
# two lines, plain and residual. Up to layer 14 the residual one is mostly the lower.
def responses(model):
    """Return the standard deviation after each norm, first to last."""
    found = []
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [
        norm.register_forward_hook(lambda norm, _, out: found.append(out.std().item()))
        for norm in norms
    ]
    with torch.no_grad():
        model(val_images)
    for hook in hooks:
        hook.remove()
    return found


lines = {name: responses(model) for name, model in shipped.items()}
lines = {name: (range(1, len(y) + 1), y) for name, y in lines.items()}
axis = plotting.plot_lines(lines, xlabel="layer", ylabel="standard deviation")
axis.set_xticks(range(1, 20, 3))
plt.show()

# %% [markdown]
# They are not: on sketches a branch is 0.8 to 1.4 times as long as what its shortcut
# carries, on photos about 0.5 to 2 times.
#
# The second figure has the paper's measure, the spread of what each norm puts out. Up
# to layer 14 the residual line is mostly the lower one, as in the paper's Figure 7;
# then it is not. (One network each.) In Figure 7 the residual networks of 56 and 110
# layers have smaller responses than that of 20. So "each block changes little" is a
# statement about *many* blocks.
#
# **So what:** the identity is where a residual block is easy to train, and not where
# every trained block ends.

# %% [markdown]
# ## References
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*,
#   2015, [arXiv 1512.03385](https://arxiv.org/abs/1512.03385). "The paper" above.
# - K. He et al.: *Identity Mappings in Deep Residual Networks*, 2016, [arXiv
#   1603.05027](https://arxiv.org/abs/1603.05027).
# - G. Yang et al.: *A Mean Field Theory of Batch Normalization*, 2019, [arXiv
#   1902.08129](https://arxiv.org/abs/1902.08129).
# - A. Zhang et al.: *Dive into Deep Learning*, chapter
#   [8.6](https://d2l.ai/chapter_convolutional-modern/resnet.html): nested function
#   classes.
#
# **Next:** [Lesson 02](02_full_network.ipynb).
