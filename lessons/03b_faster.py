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
# # 03b · Faster
#
# Read this if you wait for your trainings. Five ways to make one faster are usual: 16
# bits, the order of memory, compiling, larger batches, several processes. The last two
# change the result unless you know what to do. The sixth is a recipe for minutes.
#
# **After this deep dive you can**
#
# 1. measure fairly whether an option makes a training step faster;
# 2. say what 16 bits, memory order, compiling and batch size change;
# 3. train in several processes, and say what then needs care;
# 4. train well in minutes.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (the loop, schedules).
#
# **Reading** 28 minutes · **run time** quick CPU about 110 s (two quiet cores),
# full GPU about 3.3 min (shared H200)

# %% tags=["setup"]
import time

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.data.cifar10 import load_cifar10
from course_utils.models import CifarResNet, cifar_resnet, fast
from course_utils.results import load_results, pivot, show_table
from course_utils.session import start
from course_utils.training import amp_dtype, evaluate, muon, recipes, train

session = start(seed=0)

# %% [markdown]
# ## 1 · Sixteen bits, and the order of memory
#
# *This section shows what two options of a step cost and gain, measured so that the
# machine's moods cancel.*
#
# **Mixed precision** (Micikevicius et al., 2018): convolutions and matrix products in
# 16 bits, weights and loss in 32. Fewer bits move, and many processors have fast units
# for them. Two types have 16 bits.

# %%
# Compare the three types of number
rows = []
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    info = torch.finfo(dtype)
    rows.append([dtype, f"{info.max:.1e}", f"{info.tiny:.1e}", f"1 + {info.eps:.1e}"])
show_table(("type", "largest", "smallest in full precision", "next after 1"), rows)
print(f'here, amp="auto" computes in {amp_dtype(session.device, "auto") or "32 bits"}')

# %% [markdown]
# **float16** has a small range: little gradients become zero. A *scaler*
# (`torch.amp.GradScaler`) multiplies the loss by a large number, divides the gradients
# by it, and skips a step whose gradients overflowed. **bfloat16** has the range of 32
# bits and needs no scaler; it pays with digits. We take it below. `train` uses 16 bits
# where the device computes in them natively (`amp="auto"`), with a scaler where needed.
#
# **Channels last** is an order of memory. Usually all red values of an image lie
# together, then all green ones. Channels last keeps the values of a pixel together,
# which many convolution routines prefer. Shapes stay the same, and so do the numbers,
# but for rounding.

# %% [markdown]
# **Compiling** (`torch.compile(model)`) writes new code for this network on this
# machine: at the first call, and again where shapes or modes change; here that took
# about a minute.


# %%
# Make a training step with each option as a switch
images, labels = next(iter(load_cifar10(session.data_dir).loaders(64, seed=0).train))


def make_step(images, labels, *, amp=False, channels_last=True, compiled=False):
    """Return a function that takes one training step and returns its loss."""
    torch.manual_seed(0)
    device = session.device
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = cifar_resnet(20).to(device, memory_format=layout)
    forward = torch.compile(network) if compiled else network
    images, labels = images.to(device, memory_format=layout), labels.to(device)
    sgd = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step():
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            logits = forward(images)
        loss = F.cross_entropy(logits.float(), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss.item()  # also waits for the GPU

    return step


# %% [markdown]
# A machine's speed wanders. So the two ways take turns, A B A B; each pair gives one
# ratio. The first step of each warms up and is not counted. Guess both ratios, and in
# which digit the losses will differ.


# %%
# Let each option take turns with its absence
def take_turns(ways, num_pairs, num_steps):
    """Return the seconds of so many steps: a row a pair, a column a way."""
    seconds = np.zeros((num_pairs, len(ways)))
    for pair in range(num_pairs):
        for way, step in enumerate(ways):
            began = time.perf_counter()
            for _ in range(num_steps):
                step()
            seconds[pair, way] = time.perf_counter() - began
    return seconds


rows = []
options = ["amp", "channels_last"]
if session.device.type == "cuda":
    options.append("compiled")
for option in options:
    ways = [make_step(images, labels, **{option: on}) for on in (False, True)]
    first = [step() for step in ways]
    seconds = take_turns(ways, num_pairs=5, num_steps=session.pick(quick=2, full=20))
    last = [step() for step in ways]
    ratios = seconds[:, 0] / seconds[:, 1]  # above 1: the option is faster
    ratio = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
    gaps = [abs(a - b) / a for a, b in (first, last)]
    rows.append([option, ratio, *(f"{gap:.1e}" for gap in gaps)])
show_table(("option", "times as fast (range)", "first loss differs", "last loss"), rows)

# %% [markdown]
# These numbers are true of *your* machine and this network. Where the range includes 1,
# the pairs do not agree that the option pays. The first losses come from equal weights,
# so their difference is rounding. From then on each step starts from slightly different
# weights, and the two drift apart. Micikevicius et al. found the accuracies of their
# 32-bit runs again; here that is not measured.
#
# The project's own measurements, on two CPU cores that have units for bfloat16, are in
# `results/bench.json`:

# %%
# Show the recorded speeds of loops, of compiling and of batch sizes
bench = load_results("bench")[0]
print(f"ResNet-20, {bench['hardware']}, {bench['repeats']} pairs")
rows = []
for row in bench["rows"]:
    if row["case"] in ("a", "d", "e") and row["ratio"] != 1:
        spread = f"{row['ratio_min']:.2f} to {row['ratio_max']:.2f}"
        rows.append([row["name"], f"{row['ratio']:.2f} ({spread})"])
show_table(("what", "times as fast (range)"), rows)

# %% [markdown]
# "A plain loop" has 32 bits and transforms image by image, in the process itself or in
# two worker processes. Against the first, `train` is
# 1.87<!-- results: bench rows.0.ratio --> times as fast; in 32 bits like that loop it
# is 1.31<!-- results: bench rows.2.ratio --> times as fast. Compiling made it slower,
# 0.80<!-- results: bench rows.5.ratio --> times as fast, after 57 s of work: on
# this small network and this CPU it did not pay.
#
# **So what:** 16 bits, memory order and compiling are offers; take turns, look at the
# range, and keep what pays on your machine.

# %% [markdown]
# ## 2 · Larger batches
#
# *This section shows where larger batches stop being faster.*
#
# A larger batch gives a processor more to do at once. But an epoch then has fewer
# steps, so the comparison that counts is images a second.

# %%
# Measure images a second for three batch sizes
sizes = (16, 64, 256)
four = images.repeat(4, 1, 1, 1), labels.repeat(4)  # 256 images, for their speed
ways = [make_step(four[0][:size], four[1][:size]) for size in sizes]
for step in ways:
    step()
seconds = take_turns(ways, num_pairs=3, num_steps=session.pick(quick=1, full=20))
per_step = np.median(seconds, axis=0) / session.pick(quick=1, full=20)
rows = [[size, f"{size / s:.0f}"] for size, s in zip(sizes, per_step, strict=True)]
show_table(("batch size", "images a second"), rows)

# %% [markdown]
# In the recorded table, batches of 32 reach 0.77<!-- results: bench rows.6.ratio -->
# times the speed of batches of 128, and batches of 512 are no faster than those:
# two cores are busy at 128 already. A GPU has thousands of units, so its speed goes on
# rising until they are busy, or until its memory is full: what a step must remember for
# the backward pass grows with the batch.

# %% [markdown]
# Fewer steps need larger ones. Goyal et al. (2017) raise the learning rate by the same
# factor as the batch, after a *warm-up*: some epochs in which the rate climbs, because
# the first weights do not bear its height yet. One cycle has a warm-up built in.
#
# **So what:** take the smallest batch that keeps the processor busy, and choose the
# learning rate again when you change it.

# %% [markdown]
# ## 3 · What a GPU changes
#
# *This section names three habits that a CPU forgives.*
#
# - A GPU works while Python goes on. A clock read too early measures nothing: wait with
#   `torch.cuda.synchronize()`, or by fetching a number (`loss.item()`).
# - For the same reason, `.item()` in every step makes it wait. The loop of lesson 03
#   keeps its sums on the device until the epoch ends.
# - `torch.backends.cudnn.benchmark = True` tries several ways to compute a convolution
#   at the first sight of an input's shape and keeps the fastest. It pays where shapes
#   repeat.


# %%
# On an NVIDIA GPU, measure cudnn.benchmark in turns, and leave it as it was
def with_benchmark(switch, step):
    """Return the step, taken with the switch in that position."""

    def switched():
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = switch
        step()
        torch.backends.cudnn.benchmark = before

    return switched


if session.device.type == "cuda":
    step = make_step(images, labels, amp=True)
    ways = [with_benchmark(switch, step) for switch in (False, True)]
    take_turns(ways, num_pairs=1, num_steps=5)  # the first steps choose
    seconds = take_turns(ways, num_pairs=5, num_steps=20)
    print(
        "benchmark makes it", (seconds[:, 0] / seconds[:, 1]).round(2), "times as fast"
    )
else:
    print(f"On {session.device.type} there is no cuDNN: the switch does nothing here.")

# %% [markdown]
# What does a GPU bring? Recorded on an H200: a ResNet-18 with section 5's optimiser
# took 2.0 minutes<!-- results: fast-resnet18-photos-45000-seed0 minutes --> for 16
# epochs of 45 000 photos; 90.9 %<!-- results: fast-resnet18-photos-45000-seed0
# test_accuracy --> of the test images were right. There `train` on a ResNet-20 reached
# 0.42<!-- results: gpu-bench rows.3.ratio --> times the speed of its steps alone: the
# process that starts the steps made the batches. Remedies: worker processes that
# prepare batches (`num_workers`), in memory that the GPU reads directly
# (`pin_memory=True`); or all on the GPU (`loaders(…, device="cuda")`).
#
# **So what:** on a GPU, look for what makes it wait: the clock, `.item()`, the loader.

# %% [markdown]
# ## 4 · Several processes
#
# *This section shows why several GPUs can train as one, and where they do not.*
#
# `DistributedDataParallel` (DDP) runs one process a GPU. Each holds the whole network,
# computes the gradient of its share of the batch, and then all *average* their
# gradients and take the same step. For two equal shares of $n$ images,
#
# $$\frac{1}{2}\left(\frac{1}{n}\sum_{i \in A} \nabla L_i
# + \frac{1}{n}\sum_{i \in B} \nabla L_i\right)
# = \frac{1}{2n}\sum_{i \in A \cup B} \nabla L_i,$$
#
# the gradient of the whole batch. Predict three answers: BatchNorm in `eval()`; unequal
# shares; BatchNorm in `train()`.


# %%
# Average the gradients of two shares, and compare with the whole batch's
def gradient_of(network, images, labels):
    """Return the gradient of a batch's mean loss, as one long vector."""
    images, labels = images.to(session.device), labels.to(session.device)
    network.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters()])


torch.manual_seed(0)
network = cifar_resnet(8).to(session.device)
for mode, share in (("eval()", 32), ("eval()", 48), ("train()", 32)):
    network.train(mode == "train()")
    whole = gradient_of(network, images, labels)
    averaged = 0.5 * gradient_of(network, images[:share], labels[:share])
    averaged += 0.5 * gradient_of(network, images[share:], labels[share:])
    gap = ((averaged - whole).norm() / whole.norm()).item()
    print(f"{mode:7} shares of {share} and {len(labels) - share}: differs by {gap:.1e}")

# %% [markdown]
# Equal shares: equal up to rounding. Unequal shares: each counts half, whatever its
# size, so an image of the small share counts for too much. In `train()`, BatchNorm
# takes its statistics from the share alone: two shares are not one batch to it. With
# tens of images in a share that is commonly left so; with a few,
# `nn.SyncBatchNorm.convert_sync_batchnorm(model)` takes them over all processes.
#
# Who takes which images? `DistributedSampler` deals. Suppose 19 images, two processes.

# %%
# Deal 19 images to two processes, in two epochs, with and without set_epoch
from torch.utils.data.distributed import DistributedSampler

for rank in range(2):
    sampler = DistributedSampler(range(19), num_replicas=2, rank=rank, shuffle=False)
    print(f"process {rank}: {list(sampler)}")

sampler = DistributedSampler(range(19), num_replicas=2, rank=0, seed=0)
orders = [list(sampler) for _ in range(2)]
print("same order in the second epoch:", orders[0] == orders[1])
sampler.set_epoch(1)
print("and after set_epoch(1):", orders[0] == list(sampler))

# %% [markdown]
# Two traps. All processes must take equally many steps, so the sampler deals one image
# twice: right for training, wrong for an accuracy (`train` judges each image once).
# And it shuffles by seed *and epoch*: without `sampler.set_epoch(epoch)` every epoch
# has the same order. `train` calls it.

# %% [markdown]
# A terminal can start several processes, here two on a CPU:
#
# ```
# torchrun --nproc-per-node 2 tools/train_cifar10.py --depth 20
# ```
#
# `torchrun` tells each process its number, the *rank*.
#
# DDP wraps the network, as the older `nn.DataParallel` does, under the name `module`. A
# state dict saved from the wrapper does not fit the bare network:

# %%
# See the prefix "module.", and take it away
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

state = torch.nn.DataParallel(network).state_dict()
print("saved from the wrapper:", list(state)[:2])
try:
    cifar_resnet(8).load_state_dict(state)
except RuntimeError as error:
    print("refused:", str(error).splitlines()[1].strip()[:76], "…")
consume_prefix_in_state_dict_if_present(state, "module.")
print("without the prefix:", cifar_resnet(8).load_state_dict(state))

# %% [markdown]
# Better still, save `wrapped.module.state_dict()`, as `train` does.
#
# **So what:** equal shares average to the whole batch's gradient; care belongs to
# BatchNorm, to the order of each epoch, and to counting every test image once.

# %% [markdown]
# ## 5 · A recipe for minutes
#
# *This section shows what two cores can do in minutes, and with which ingredients.*
#
# How far does one come with CIFAR-10 in three minutes on two cores? Guess, for the
# usual ResNet-18 and for a recipe made for such a machine. Recorded on photos,
# with up to three seeds (without a range, one), on an Intel Xeon with units for
# bfloat16 (there an older form of the recipe) and an AMD EPYC without.

# %%
# Show the recorded accuracy after so many minutes, on two machines
for machine in ("intel-xeon-bfloat16", "amd-epyc-float32"):
    runs = [
        {machine: run["title"], "minutes": minutes, "test": point["test_accuracy"]}
        for run in load_results(f"minutes-2-core-{machine}")
        for minutes, point in zip(run["minutes"], run["points"], strict=True)
    ]
    runs.sort(key=lambda run: run["minutes"])
    show_table(*pivot(runs, rows=machine, columns="minutes", value="test"))

# %% [markdown]
# Records on GPUs are made of small ideas (Jordan, 2024). Here:
#
# - **Shallow, at half the resolution, as wide as fits**: ResNet-8 (14 for ten epochs or
#   more), a stem of stride 2, 64 channels (32 or 16 for less than three epochs).
# - **Muon** (Jordan et al., 2024) in place of SGD, for the kernels.
# - **Flips, and crops only as the epochs grow**: by a quarter as many pixels as there
#   are epochs, at most four. Two epochs hardly overfit.
# - **Label smoothing**, and at the test the mean over an image and its mirror image.

# %% [markdown]
# What is each worth? Recorded in two epochs of photos, 16 channels, three seeds, each
# at a rate that half and double do not surpass. The whole has 72.4 %<!-- results:
# ingredients-everything-lr0.2-* test_accuracy_both_views -->
# (one view: 71.4 %<!-- results: ingredients-everything-lr0.2-* test_accuracy -->),
# with SGD 68.0 %<!-- results: ingredients-sgd-lr0.8-* test_accuracy_both_views -->,
# without smoothing 72.0 %<!-- results:
# ingredients-no-smoothing-lr0.1-* test_accuracy_both_views -->,
# without flips 72.9 %<!-- results:
# ingredients-no-flips-lr0.2-* test_accuracy_both_views -->,
# with crops by four pixels 69.3 %<!-- results:
# ingredients-crops-too-lr0.4-* test_accuracy_both_views -->.
# Muon and the second view pay, crops cost, smoothing and flips make no clear
# difference. In nine epochs (one seed) crops by two pixels reach
# 85.0 %<!-- results: crops-9-epochs-crops-by-2-learnt-stem-photos-45000-seed0
# val_accuracy_both_views --> of the validation photos, by four
# 84.5 %<!-- results: crops-9-epochs-crops-by-4-learnt-stem-photos-45000-seed0
# val_accuracy_both_views -->: too near to tell.
#
# Muon makes a step, seen as a matrix, *orthogonal*. Look at the singular values:

# %%
# Compare a kernel's gradient with the step that Muon makes of it
gradient_of(network, images, labels)
kernel = network.layer3[0].conv2.weight.grad.flatten(1)  # 64 rows
for name, matrix in (("gradient", kernel), ("Muon's step", muon.orthogonal(kernel))):
    values = torch.linalg.svdvals(matrix)
    values = (values / values.max()).cpu()[[0, 4, 16, 32, 48]]
    print(f"{name:11}", " ".join(f"{value:.3f}" for value in values))

# %% [markdown]
# In the gradient few directions are large: along all others the kernel hardly moves.
# Muon's step moves it along most of them at a similar rate. The whole recipe:

# %%
# Train by the recipe, and judge one view and both
loaders = load_cifar10(session.data_dir).loaders(
    128, train_size=session.pick(quick=2000, full=None)
)
epochs = session.pick(quick=3, full=12)
loaders.train.dataset.padding = epochs // 4  # pixels to crop by; 0 leaves the flips
model = CifarResNet(8, shortcut="B", width=64, stem_stride=2, stem_kernel=4)
fast.use_patches(model.layer3)  # for a processor: gradients as matrix products
model.to(session.device)
optimizer, schedule = recipes.muon_one_cycle(model, 0.2, epochs * len(loaders.train))
train(
    model,
    loaders.train,
    loaders.val,
    num_epochs=epochs,
    optimizer=optimizer,
    scheduler=schedule,
    criterion=torch.nn.CrossEntropyLoss(label_smoothing=0.1),
)
for name, judged in (("one view", model), ("both views", fast.BothViews(model))):
    print(f"{name:10}  validation {evaluate(judged, loaders.val).accuracy:.1%}")

# %% [markdown]
# The quick profile trains briefly. In recorded runs the learning rate followed the
# clock.
#
# **So what:** choose the network for the processor, and test each ingredient in the
# time that you have.

# %% [markdown]
# ## References
#
# - P. Micikevicius et al., *Mixed Precision Training*, 2018, arXiv 1710.03740.
# - P. Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017,
#   arXiv 1706.02677.
# - K. Jordan, *94% on CIFAR-10 in 3.29 Seconds on a Single GPU*, 2024,
#   arXiv 2404.00498.
# - K. Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024,
#   <https://kellerjordan.github.io/posts/muon/>.

# %% [markdown]
# **Next.** [04 · Per-class evaluation](04_per_class_evaluation.ipynb) asks where a
# classifier fails.
