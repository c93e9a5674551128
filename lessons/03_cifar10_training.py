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
# # 03 · Training on CIFAR-10
#
# **After this lesson you can**
#
# 1. turn arrays of images into batches: a `Dataset`, transforms, a `DataLoader`;
# 2. write the whole training loop by hand, with a schedule;
# 3. choose a learning rate, and read the curves of a run;
# 4. save a run, resume it, and test it once;
# 5. say what augmentation, weight decay, schedule and shortcuts are worth.
#
# **Know first:** [Lesson 01](01_residual_blocks.ipynb) (blocks, BatchNorm) and
# [Lesson 02](02_full_network.ipynb) (the networks that are trained here).
#
# **Reading** 46 minutes · **exercises** 25 minutes · **run time** quick CPU about 100 s
# (two quiet cores), full GPU about 3 min for the main training (H100)

# %% [markdown]
# ## Three questions from before
#
# <details><summary>Lesson 02: why does a ResNet for CIFAR-10 begin with a 3×3
# convolution of stride 1, and not with the 7×7 one of stride 2?</summary>
#
# The 7×7 stem and its pooling shrink an image four times along each side. From 32×32
# pixels, 8×8 would be left before the first block.
#
# </details>
# <details><summary>Lesson 01: which mean and spread does BatchNorm use in
# <code>train()</code>, and which in <code>eval()</code>?</summary>
#
# In `train()` those of the batch, and it updates running averages of them. In `eval()`
# the running averages, which then stand still.
#
# </details>
# <details><summary>Lesson 01: a plain network with more layers did worse. On which
# images, and why does that matter?</summary>
#
# On the *training* images. So it is not overfitting: the deep plain network is harder
# to train.
#
# </details>

# %% tags=["setup"]
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from course_classroom.checks import lesson_03 as check
from course_utils.models import cifar_resnet, resnet18
from course_utils.plotting import course_style, plot_history, plot_seeds, show_images
from course_utils.results import load_results, show_table
from course_utils.session import start

course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# This lesson makes a network tell ten kinds of things apart; guessing gives 10 %. Write
# down:
#
# 1. A learning rate ten times too high: does training break? (Section 3)
# 2. The validation curve jumps while the training curve falls smoothly. Which of the
#    two should you doubt? (Section 4)
# 3. Train 20 layers without augmentation, without weight decay, at a constant rate, or
#    without shortcuts. Which costs most accuracy? (Results)

# %% [markdown]
# ## 1 · From images to batches
#
# *This section shows what happens to an image on its way into the network.*
#
# CIFAR-10 has 60 000 colour images of 32×32 pixels in ten classes (Krizhevsky, 2009).
# Without them, the course draws sketches of the same ten things.
#
# **Training** images fit the weights. **Validation** images serve every choice: which
# rate, which epoch's weights. **Test** images give one number, at the end.

# %%
# Figure: training images in three rows of ten: each column holds three images of one
# class, with its name above.
from course_utils.data.cifar10 import load_cifar10

splits = load_cifar10(session.data_dir)
print(splits.describe(), "(training / validation / test)")
first_three = [np.flatnonzero(splits.train.labels == k)[:3] for k in range(10)]
order = np.stack(first_three).T.ravel()  # three rows, one class a column
show_images(splits.train.images[order], [*splits.classes, *[""] * 20], columns=10)
plt.show()

# %% [markdown]
# Three training images of each class.
#
# ### The right statistics
#
# A network starts best from inputs of mean 0 and spread 1. So every channel becomes
#
# $$z_c = \frac{x_c - \mu_c}{\sigma_c},$$
#
# with mean and deviation over all pixels of all *training* images. Many tutorials
# divide by (0.2023, 0.1994, 0.2010), others by (0.2470, 0.2435, 0.2616). Both cannot be
# σ. A suspect for the first: the deviation *inside* each image, averaged.

# %%
# Compute the standard deviation of each channel in two ways, on 5 000 images
pixels = splits.train.images[:5000] / 255  # (N, height, width, channels)
photos = load_results("statistics-photos")[0]  # recorded, on 45 000 photos
deviations = {
    "here, over all pixels": pixels.std(axis=(0, 1, 2)),
    "here, inside each image": pixels.std(axis=(1, 2)).mean(axis=0),
    "recorded on photos, over all pixels": np.array(photos["std"]),
    "recorded on photos, inside each image": np.array(photos["std_inside"]),
}
rows = [[name, *std.round(4)] for name, std in deviations.items()]
show_table(("standard deviation", "red", "green", "blue"), rows)

# %% [markdown]
# On photos the suspicion holds. Over all pixels red has
# 0.245<!-- results: statistics-photos std.0 -->, near the larger triple; inside the
# images 0.200<!-- results: statistics-photos std_inside.0 -->, near the smaller one.
# An image's own deviation leaves out how much bright and dark images differ.
# `splits.mean` and `splits.std` hold the right values, over all training images.

# %% [markdown]
# ### A data set, its transforms, its loader
#
# A `Dataset` knows how many images there are and hands out one of them. A *transform*
# prepares that image. A `DataLoader` shuffles and collects batches. To train on your
# own images, you write the first two.


# %%
# A data set: how many images, and one of them with its label
from torch.utils.data import DataLoader, Dataset


class ImageDataset(Dataset):
    """Images as uint8 (N, H, W, 3) with labels, each image transformed."""

    def __init__(self, split, transform):
        self.images = split.images
        self.labels = split.labels
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.labels[index])


# %% [markdown]
# A car moved two pixels to the left is still a car, and so is its mirror image. So each
# training image is shown a little differently in every epoch: padded with 4 pixels on
# all sides, cropped back to 32×32 at a random place, flipped left to right half the
# time (He et al., 2015, section 4.2). Validation and test images stay as they are.

# %%
# Write the transforms and the two loaders
from torchvision.transforms import v2

augment = [v2.ToImage(), v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]
normalise = [
    v2.ToImage(),  # an array (H, W, 3) becomes a tensor (3, H, W)
    v2.ToDtype(torch.float32, scale=True),  # from 0..255 to 0..1
    v2.Normalize(splits.mean, splits.std),
]
train_set = ImageDataset(splits.train, v2.Compose(augment + normalise))
val_set = ImageDataset(splits.val, v2.Compose(normalise))
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
val_loader = DataLoader(val_set, batch_size=64)

images, labels = next(iter(train_loader))
print(f"images {tuple(images.shape)}, labels {tuple(labels.shape)}")
print(f"{len(train_set)} images, {len(train_loader)} batches an epoch")

# %%
# Figure: sixteen augmented views of one training image, in two rows of eight; each is
# shifted a little, with black bands at the edges, and some are mirrored.
car = splits.train.images[order[11]]
views = torch.stack([v2.Compose(augment)(car) for _ in range(16)])
show_images(views.permute(0, 2, 3, 1).numpy(), columns=8)
plt.show()

# %% [markdown]
# Sixteen views of one image; the black bands are the padding. An augmentation is a
# claim: "this does not change the answer". Left to right would be a false one for
# letters.

# %% [markdown]
# ### The same, faster
#
# Each image costs a call of `__getitem__` and of every transform. Yet cropping,
# flipping and normalising work for a whole batch as well. `splits.loaders(...)` makes
# three loaders whose data set, `course_utils/data/arrays.py`, hands out whole batches.
# Same batches? How much faster?

# %%
# Compare the loaders: equal batches, and images a second
import time

fast = splits.loaders(batch_size=64, seed=0)  # .train, .val and .test
gap = (next(iter(val_loader))[0] - next(iter(fast.val))[0]).abs().max()
print(f"first validation batch: largest difference {gap:.1e}")

for name, loader in {"one by one": train_loader, "whole batches": fast.train}.items():
    batches, began = iter(loader), time.perf_counter()
    for _ in range(50):
        next(batches)
    print(f"{name:14}{50 * 64 / (time.perf_counter() - began):8.0f} images a second")

# %% [markdown]
# The first validation batches are equal up to rounding. In our benchmark, against
# torchvision's older transforms on one core, whole batches came 18.2<!-- results: bench
# rows.4.ratio --> times as fast.
#
# **So what:** a pipeline is a data set, transforms and a loader; statistics come from
# all training pixels, randomness is for training images alone.

# %% [markdown]
# ## 2 · The training loop, by hand
#
# *This section writes out all that "training" is, from the loss of one batch to the
# schedule of a run.*
#
# The network gives ten numbers, the **logits**; softmax makes probabilities of them.
# The **cross-entropy** is minus the logarithm of the probability of the right class
# $y$:
#
# $$L = -\log \frac{e^{z_y}}{\sum_k e^{z_k}}.$$
#
# Whoever gives each class a tenth has the loss $\log 10$. A small network's first loss
# should be near it (a very deep one may start one or two above); a much larger one
# suggests a mistake.

# %%
# Compute the cross-entropy by hand, and the first loss of a fresh network
logits = torch.tensor([[2.0, -1.0, 0.5]])  # of one image; its class is number 0
by_hand = -torch.log(logits.exp()[0, 0] / logits.exp().sum())
print(
    f"by hand {by_hand:.4f}, PyTorch {F.cross_entropy(logits, torch.tensor([0])):.4f}"
)

torch.manual_seed(0)
with torch.no_grad():
    first_loss = F.cross_entropy(cifar_resnet(8)(images), labels)
print(f"log 10 = {np.log(10):.3f}; first loss of a fresh network {first_loss:.3f}")

# %% [markdown]
# The step is **SGD with momentum**. With gradient $g$, weights $w$ and learning rate
# $\eta$,
#
# $$v \leftarrow 0.9\,v + (g + \lambda w), \qquad w \leftarrow w - \eta\,v.$$
#
# The velocity $v$ remembers about $1/(1 - 0.9) = 10$ steps: what they agree on adds up,
# what they disagree on cancels. **Weight decay** $\lambda$ pulls every weight a little
# towards zero. He et al. (2015, section 4.2) take $\eta = 0.1$, momentum 0.9 and
# $\lambda = 10^{-4}$. We take $5 \cdot 10^{-4}$, as the Wide ResNets did (Zagoruyko and
# Komodakis, 2016).

# %%
# Take five steps by hand and five of PyTorch's; the loss is the sum of the squares
weights, velocity = torch.tensor([1.0, -2.0]), torch.zeros(2)
theirs = weights.clone().requires_grad_()
sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=5e-4)
for _ in range(5):
    gradient = 2 * weights
    velocity = 0.9 * velocity + (gradient + 5e-4 * weights)
    weights = weights - 0.1 * velocity

    sgd.zero_grad()
    (theirs**2).sum().backward()
    sgd.step()
print("by hand", weights, " PyTorch", theirs.detach())

# %% [markdown]
# ### One epoch
#
# An epoch shows every training image once. Each batch counts by its *size*, because the
# last one may be short. And `loss.detach()` keeps the number without its graph; summing
# `loss` itself would keep the graphs of all batches, and fill the memory.


# %%
# One epoch of training
def train_one_epoch(model, loader, optimizer, scheduler=None):
    """Train on every batch once; return mean loss and accuracy on the way."""
    device = next(model.parameters()).device
    model.train()  # BatchNorm uses the batch's own statistics
    total_loss, correct, count = 0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()  # forget the gradients of the last batch
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()  # one cycle counts batches
        total_loss += loss.detach() * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        count += len(labels)
    return total_loss.item() / count, correct.item() / count


# %%
# Evaluation: no gradients, and BatchNorm's running statistics
@torch.no_grad()
def evaluate(model, loader):
    """Return mean loss and accuracy over all images, in evaluation mode."""
    device = next(model.parameters()).device
    model.eval()  # BatchNorm uses its running statistics
    total_loss, correct, count = 0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        total_loss += F.cross_entropy(logits, labels) * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        count += len(labels)
    return total_loss.item() / count, correct.item() / count


# %% [markdown]
# Evaluation needs two switches, and neither does the other's work. `no_grad()` records
# no graph, which saves memory and time. `eval()` makes BatchNorm use its running
# statistics and leave them alone. Without it, looking at validation images *changes the
# model*, although no weight moves.

# %% [markdown]
# ### The whole run
#
# A run is epochs in a loop: train, validate, remember the best weights. One thing is
# new, the **schedule**: the learning rate changes on the way. Three are common.
#
# - `OneCycleLR` rises from a 25th of the highest rate for the first 30 %, then falls to
#   almost nothing (after Smith and Topin, 2017; PyTorch's default is fastai's variant).
#   It counts **batches**. It moves the momentum too, between 0.95 and 0.85, in place of
#   our 0.9.
# - `MultiStepLR` divides the rate by ten at milestones. It counts **epochs**.
# - `ReduceLROnPlateau` cuts the rate when the **validation loss** no longer improves;
#   it counts epochs too.

# %%
# Train for three epochs on 1 000 images, all by hand
from torch.optim.lr_scheduler import OneCycleLR


def start_run(lr):
    """Return loaders with 1 000 training images, a new network, and SGD over it."""
    torch.manual_seed(0)
    few = splits.loaders(batch_size=64, seed=0, train_size=1000)
    network = cifar_resnet(8).to(session.device)
    sgd = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=5e-4)
    return few, network, sgd


few, network, sgd = start_run(0.1)
cycle = OneCycleLR(sgd, 0.1, total_steps=3 * len(few.train))
best_accuracy = -1.0
for _ in range(3):
    rate = sgd.param_groups[0]["lr"]
    train_loss, _ = train_one_epoch(network, few.train, sgd, cycle)
    val_loss, val_accuracy = evaluate(network, few.val)
    print(f"rate {rate:.4f}  train {train_loss:.4f}  val {val_loss:.4f}")
    if val_accuracy > best_accuracy:
        best_accuracy = val_accuracy
        best_weights = copy.deepcopy(network.state_dict())
network.load_state_dict(best_weights)

# %% [markdown]
# That is a complete training. `course_utils.training.train` is this loop with a log
# line, checkpoints and checks of its input. `amp=False` makes it compute in 32 bits, as
# we did ([deep dive 03b](03b_faster.ipynb) is about 16). Does it give the same losses?

# %%
# The same three epochs with the package's train
from course_utils import training


def three_epochs(**options):
    """Return a network that the package's train trained for three epochs."""
    few, network, sgd = start_run(0.1)
    cycle = OneCycleLR(sgd, 0.1, total_steps=3 * len(few.train))
    options |= {"num_epochs": 3, "optimizer": sgd, "scheduler": cycle, "amp": False}
    training.train(network, few.train, few.val, **options)
    return network


network = three_epochs()

# %% [markdown]
# The same losses, or nearly: sums added in another order round differently.
#
# **So what:** training is five lines a batch; evaluation needs both `eval()` and
# `no_grad()`; and each schedule has its own place for `step()`.

# %% [markdown]
# ## 3 · Choose the learning rate
#
# *This section shows how to find the most important number of a recipe, and how to let
# it fall.*
#
# One tries a few rates, a factor apart, in short runs, and compares on validation
# images. What will ten times too much do, and a hundred times?

# %%
# Try four learning rates: five epochs each, on 1 000 images
rows = []
for lr in (0.01, 0.1, 1.0, 10.0):
    few, network, sgd = start_run(lr)
    cycle = OneCycleLR(sgd, lr, total_steps=5 * len(few.train))
    for _ in range(5):
        train_loss, _ = train_one_epoch(network, few.train, sgd, cycle)
    val_accuracy = evaluate(network, few.val)[1]
    rows.append([lr, f"{train_loss:.2f}", f"{val_accuracy:.1%}"])
show_table(("rate", "training loss", "validation accuracy"), rows)

# %% [markdown]
# A rate too low is slow. A rate ten times too high still trains, only worse. A hundred
# times too high stays near the loss $\log 10$ of someone who knows nothing, or above
# it. None of them raises an error: look at the numbers.
#
# In a recorded search (ResNet-20, 45 000 photos, 20 epochs, one seed), 0.1 reached
# 85.6 %<!-- results: ablation-search-full-lr0.1-photos* val_accuracy -->, 0.2 reached
# 86.2 %<!-- results: ablation-search-full-lr0.2-photos* val_accuracy -->, 0.4
# 86.1 %<!-- results: ablation-search-full-lr0.4-photos* val_accuracy -->.
# Here the top is flat: a factor of two was fine enough.

# %% [markdown]
# ### A rate that looks at the validation loss
#
# After more than `patience` epochs without a new lowest validation loss,
# `ReduceLROnPlateau` multiplies the rate by `factor`. `train` hands it the loss. (By
# hand: `plateau.step(val_loss)` after `evaluate`.) Long runs have a patience of 5 or
# 10, this short one none. Watch the rate in the log.

# %%
# Figure: three panels against epoch for a run with a plateau schedule: cross-entropy
# loss, accuracy, and the learning rate, which falls in steps.
from torch.optim.lr_scheduler import ReduceLROnPlateau

few, network, sgd = start_run(0.1)
plateau = ReduceLROnPlateau(sgd, factor=0.5, patience=0)
short = training.train(
    network, few.train, few.val, num_epochs=9, optimizer=sgd, scheduler=plateau
)
plot_history(short)
plt.show()

# %% [markdown]
# One line an epoch: loss and accuracy in training and validation, the rate, the time.
# `train` returns them as a `History`, which `plot_history` draws. Where the validation
# loss found no new low, the next epoch has half the rate.
#
# **So what:** try rates a factor apart in short runs, choose on validation, and look at
# the rate in every log.

# %% [markdown]
# ## 4 · Train, and read the curves
#
# *This section trains the network of this lesson, and finds out why its validation
# curve jumps.*
#
# The quick recipe takes 10 000 images, or all if there are fewer. The full one, for a
# GPU, has ResNet-18, all images, and Nesterov's variant of momentum.

# %%
# The recipe: network, images, optimiser, schedule
recipe = session.pick(
    quick={"num_epochs": 12, "batch_size": 64, "lr": 0.1, "train_size": 10_000},
    full={"num_epochs": 30, "batch_size": 128, "lr": 0.2, "train_size": 45_000},
)
batch_size, train_size = recipe["batch_size"], recipe["train_size"]
loaders = splits.loaders(batch_size, seed=session.seed, train_size=train_size)
torch.manual_seed(session.seed)
if session.profile == "quick":
    model = cifar_resnet(8).to(session.device)
else:
    model = resnet18(num_classes=10, stem="cifar").to(session.device)
optimizer = torch.optim.SGD(
    model.parameters(),
    lr=recipe["lr"],
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=session.pick(quick=False, full=True),
)
num_steps = recipe["num_epochs"] * len(loaders.train)
scheduler = OneCycleLR(optimizer, recipe["lr"], total_steps=num_steps)

# %% [markdown]
# `train` puts the weights of the epoch with the best validation accuracy back at the
# end. You may interrupt it (■); to begin anew, run the recipe's cell first.
#
# Now your second guess. BatchNorm judges validation images with *running* averages, of
# which each batch renews a tenth. So they describe about the last ten batches, and
# the weights have moved on since. `train` calls `on_epoch(history)` after each epoch:
# there we estimate them anew on a copy, with the weights as they are. `update_bn` does
# it: it shows the copy 2 000 images, augmented as in training, and takes their mean.

# %% tags=["long-run"]
# Figure: three panels against epoch: cross-entropy loss, accuracy and learning rate. In
# the first two the training is dashed, the validation solid.
from torch.optim.swa_utils import update_bn

sample = splits.loaders(batch_size=500, seed=0, train_size=2000).train
anew = {"val_loss": [], "val_accuracy": []}


def judge_anew(history):
    """Note loss and accuracy with fresh statistics; the model stays as it is."""
    twin = copy.deepcopy(model)
    update_bn(sample, twin, session.device)
    loss, accuracy = evaluate(twin, loaders.val)
    anew["val_loss"].append(loss)
    anew["val_accuracy"].append(accuracy)


run_dir = session.run_dir("03_cifar10_training")
history = training.train(
    model,
    loaders.train,
    loaders.val,
    num_epochs=recipe["num_epochs"],
    optimizer=optimizer,
    scheduler=scheduler,
    save_path=run_dir,
    on_epoch=judge_anew,
)
plot_history(history)
plt.show()

# %% [markdown]
# The third panel is one cycle. The accuracy goes on rising to the end, while the rate
# falls: in the recorded quick runs on photos validation stood at 53.6 %<!-- results:
# 03_cifar10_training-quick-photos-seed* history.val_accuracy.6 -->
# after seven epochs of twelve, 65.1 %<!-- results:
# 03_cifar10_training-quick-photos-seed* history.val_accuracy.-1 -->
# after the last.
#
# Now the jumps. In one of these runs (seed 1) it stood at 45.7 %<!-- results:
# 03_cifar10_training-quick-photos-seed1 history.val_accuracy.3 -->
# after four epochs and at 32.6 %<!-- results:
# 03_cifar10_training-quick-photos-seed1 history.val_accuracy.4 -->
# after five.

# %% tags=["figure"]
# Figure: validation accuracy against epoch in two panels, your run and the recorded
# ones on photos; in each, one line with BatchNorm's running statistics and one with
# statistics estimated anew, which jumps less.
mine = {"history": vars(history), "anew": anew}
on_photos = load_results("03_cifar10_training-quick-photos")
panels = {"your run": [mine], "recorded, photos": on_photos}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for axis, (title, runs) in zip(axes, panels.items(), strict=True):
    axis.set(title=title, xlabel="epoch", ylabel="validation accuracy")
    runs = [run for run in runs if "anew" in run]
    running = [run["history"]["val_accuracy"] for run in runs]
    fresh = [run["anew"]["val_accuracy"] for run in runs]
    plot_seeds({"running statistics": running, "estimated anew": fresh}, axis)
    axis.yaxis.set_major_formatter("{x:.0%}")
plt.show()

# %% [markdown]
# Same weights, same images; but for rounding (16 bits against 32) only BatchNorm's
# statistics differ. In that run, after five epochs, fresh statistics give
# 52.1 %<!-- results: 03_cifar10_training-quick-photos-seed1 anew.val_accuracy.4 -->
# instead of 32.6 %: the jump was in the *measurement*, not in the weights. Towards the
# end the rate is small, the weights move little, and the two lines meet.
#
# **Is validation above training a bug?** In the same run, after eleven epochs, the log
# has 64.8 %<!-- results: 03_cifar10_training-quick-photos-seed1
# history.val_accuracy.10 -->
# in validation and 64.3 %<!-- results: 03_cifar10_training-quick-photos-seed1
# history.train_accuracy.10 -->
# in training. The two are measured in different ways: training on *augmented* images,
# while the weights *still changed*. Judge the kept weights on the same training images
# as they are:

# %%
# Measure training accuracy as validation accuracy is measured
from torch.utils.data import Subset

plain = ImageDataset(splits.train, v2.Compose(normalise))
plain = Subset(plain, range(len(loaders.train.dataset)))  # those trained on
train_as_is = evaluate(model, DataLoader(plain, batch_size=500))[1]
best_epoch = int(np.argmax(history.val_accuracy))
print(f"training as logged      {history.train_accuracy[best_epoch]:.1%}")
print(f"training, as they are   {train_as_is:.1%}")
print(f"validation              {history.val_accuracy[best_epoch]:.1%}")

# %% [markdown]
# In the three recorded photo runs the log ends with 66.8 %<!-- results:
# 03_cifar10_training-quick-photos-seed* history.train_accuracy.-1 -->
# in training and 65.1 %<!-- results: 03_cifar10_training-quick-photos-seed*
# history.val_accuracy.-1 -->
# in validation; on images as they are, training has 68.4 %<!-- results:
# 03_cifar10_training-quick-photos-seed* train_accuracy_as_is -->.
# So the log showed too small a gap.
#
# **So what:** before you blame the network for a jumping validation curve, estimate
# BatchNorm's statistics anew; before you compare two numbers, measure them alike.

# %% [markdown]
# ## 5 · Save, resume, test once
#
# *This section keeps the run, continues one that broke off, and looks at the test
# images.*
#
# `best.pt` holds the weights of the best epoch, to *use*. `last.pt` holds all that is
# needed to *go on*: weights, the optimiser's velocities, the schedule, the history, and
# the state of every random generator.
#
# Weights are saved as a **state dict**: names and tensors. `torch.save(model)` would
# pickle the *object*, and unpickling may *run* code that the file brings. `torch.load`
# refuses such files by default (`weights_only=True`).

# %%
# Load the best weights, and judge them again
from course_utils.training.checkpoint import load_model

best = load_model(run_dir / "best.pt").to(session.device)
print(f"history's best {max(history.val_accuracy):.4f}")
print(f"best.pt        {evaluate(best, loaders.val)[1]:.4f}")

# %% [markdown]
# A small difference has a cause: `train` computes in 16 bits where the device does so
# natively, our `evaluate` in 32.
#
# ### Resume
#
# One run goes straight through; the other is interrupted after its first epoch and
# resumed from `last.pt`. Predict: equal to how many digits?


# %%
# Interrupt a run, resume it, and compare it with one that ran straight through
import tempfile


def press_stop(history):
    raise KeyboardInterrupt


with tempfile.TemporaryDirectory() as folder:
    straight = three_epochs(save_path=f"{folder}/straight")
    three_epochs(save_path=f"{folder}/broken", on_epoch=press_stop)
    resumed = three_epochs(save_path=f"{folder}/broken", resume=True)
pairs = zip(straight.parameters(), resumed.parameters(), strict=True)
gap = max((a - b).abs().max().item() for a, b in pairs)
print(f"largest difference between the weights: {gap:g}")

# %% [markdown]
# On a CPU the difference is 0: equal in every bit. (A GPU adds some sums in varying
# order.)

# %% [markdown]
# ### The test, once
#
# The test images have chosen nothing, so they may judge. To look after every epoch and
# report the best would be to choose on them, and the best of many is partly luck
# ([deep dive 04b](04b_how_many_images.ipynb) measures it).
#
# On $n$ images the **standard error** of an accuracy $p$ is $\sqrt{p(1-p)/n}$; in about
# 95 of 100 draws of test images, chance moves the number by less than 1.96 of it.

# %%
# Judge the test images, save the run, and put it beside the recorded ones
from course_utils.results import results_table, save_run

test_accuracy = evaluate(model, loaders.test)[1]
num_test = len(splits.test.labels)
margin = 1.96 * np.sqrt(test_accuracy * (1 - test_accuracy) / num_test)
print(f"test accuracy {test_accuracy:.1%} ± {margin:.1%} on {num_test} images")

found = {"test_accuracy": test_accuracy, "train_accuracy_as_is": train_as_is}
save_run(run_dir, session, splits, recipe, history, **found, anew=anew)
session.report(f"test accuracy {test_accuracy:.1%}", data=splits.describe())
recorded = load_results("03_cifar10_training")
show_table(*results_table(recorded, mine=load_results("result", run_dir)))

# %% [markdown]
# **So what:** keep state dicts and everything a resume needs; choose on validation,
# test once, and say how much luck the number holds.

# %% [markdown]
# ## Results
#
# The table holds the recorded runs and yours: the mean over the seeds, the range in
# brackets, the minutes of training (CPU and GPU were shared). On photos the quick
# recipe reaches 65.0 %<!-- results: 03_cifar10_training-quick-photos-seed*
# test_accuracy -->, the full one, with more images, epochs and weights,
# 90.3 %<!-- results: 03_cifar10_training-full-photos-seed* test_accuracy -->. On the
# easier sketches the quick one reaches 91.2 %<!-- results:
# 03_cifar10_training-quick-sketches-seed* test_accuracy -->. Yours may differ a little,
# since another processor adds in another order. (Our photos are a JPEG copy: do not
# compare with published numbers.)

# %% [markdown]
# ### What is each part worth?
#
# An **ablation** takes away one part of a recipe and trains again. Recorded: ResNet-20,
# 45 000 photos, 20 epochs, three seeds. Each variant has its own best of three rates,
# chosen on validation images with one seed: 0.1, 0.2 and 0.4; without shortcuts 0.05,
# 0.1 and 0.2; constant 0.02, 0.05 and 0.1. Look at your third guess first.

# %%
# Show the recorded ablation: each recipe's rate, and its test accuracy
from course_utils.results import mean_and_range

names = "full", "no-augmentation", "no-weight-decay", "constant-rate", "no-shortcut"
rows = []
for name in names:
    runs = load_results(f"ablation-{name}-photos")
    accuracies = [run["test_accuracy"] for run in runs]
    rows.append([name, runs[0]["lr"], mean_and_range(accuracies, ".1%")])
show_table(("recipe", "rate", "test accuracy (range)"), rows)

# %% [markdown]
# The **schedule** is worth most: a constant rate loses
# 6.5 points<!-- results: ablation-full-photos* test_accuracy -
# ablation-constant-rate-photos* test_accuracy -->.
# **Shortcuts** are worth 2.2 points<!-- results: ablation-full-photos*
# test_accuracy - ablation-no-shortcut-photos* test_accuracy -->
# at 20 layers, **augmentation** 1.7 points<!-- results: ablation-full-photos*
# test_accuracy - ablation-no-augmentation-photos* test_accuracy -->.
# In these three, all seeds lie below all seeds of the full recipe. Without **weight
# decay** the runs overlap with the full ones: no difference was seen, which is not "no
# difference".
#
# **What this does not show.** All but the full recipe took a rate at the edge of those
# tried, so better ones may lie outside. And 20 layers need shortcuts less than 56 do
# (lesson 01).

# %% tags=["figure"]
# Figure: three panels against epoch of a recorded run without augmentation: the
# training loss falls far below the validation loss, the training accuracy rises to 98
# %.
run = load_results("ablation-no-augmentation-photos-45000-seed0")[0]
plot_history(training.History(**run["history"]))
plt.show()

# %% [markdown]
# This is **overfitting**: without augmentation the network fits
# 98.3 %<!-- results: ablation-no-augmentation-photos* history.train_accuracy.-1 -->
# of its training images (dashed), but only 84.1 %<!-- results:
# ablation-no-augmentation-photos* history.val_accuracy.-1 -->
# of the validation images (solid).

# %% [markdown]
# ## Myths, tested
#
# ### "Softmax belongs at the end of the network, before the loss"
#
# `F.cross_entropy` already contains it. Softmax of probabilities, which lie between 0
# and 1, can never be sure. Take a network that is right and completely certain:

# %%
# Apply the loss to logits, and to what a softmax before it makes of them
certain = torch.full((1, 10), -20.0)
certain[0, 3] = 20.0
label = torch.tensor([3])
print(f"logits        loss {F.cross_entropy(certain, label):.3f}")
print(f"softmax first loss {F.cross_entropy(certain.softmax(1), label):.3f}")

# %% [markdown]
# Refuted, by arithmetic: with softmax first, the loss of a perfect answer stays at
# 1.461.

# %% [markdown]
# ## Summary
#
# 1. *Batches.* A data set, transforms, a loader. Crops and flips in training alone.
# 2. *The loop.* Forward, loss, zero the gradients, backward, step. One cycle is stepped
#    after each batch. Evaluate with `eval()` *and* `no_grad()`.
# 3. *Rate and curves.* Try rates a factor apart. Measure alike before you compare.
# 4. *Save, resume, test.* State dicts, optimiser, schedule, random states. Test once.
# 5. *What parts are worth.* Here the schedule most, then shortcuts and augmentation.

# %% [markdown]
# ## Exercises
#
# ### ★ The missing step
#
# This run never steps its schedule, a `OneCycleLR`. Delete the first line of the
# function and add the missing one in its right place.
#
# Expected: as many rates as batches; the highest after 30 % of them.


# %% tags=["exercise"]
def rates_of_a_run(optimizer, scheduler, num_epochs: int, num_batches: int) -> list:
    """Return the learning rate of every batch."""
    raise NotImplementedError  # delete this line
    rates = []
    for _epoch in range(num_epochs):
        for _batch in range(num_batches):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
    return rates


check.rates_of_a_run(rates_of_a_run)


# %% tags=["solution"]
def rates_of_a_run(optimizer, scheduler, num_epochs: int, num_batches: int) -> list:
    """Return the learning rate of every batch."""
    rates = []
    for _epoch in range(num_epochs):
        for _batch in range(num_batches):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return rates


check.rates_of_a_run(rates_of_a_run)

# %% [markdown]
# ### ★★ Warm up, then cosine
#
# Return the factor by which many recipes multiply the learning rate at step 0, 1, 2, …:
# it rises in equal steps from 0, reaches 1 at step `warmup_steps`, then falls along
# half a cosine wave, and would be 0 at `total_steps`. Half a wave, $\cos 0$ to
# $\cos \pi$, goes from 1 to −1: shift it and halve it.
#
# Expected: `warmup_cosine(40, 10, 100)`, a third of the way down, is 0.75.

# %% tags=["exercise"]
import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the factor of the learning rate at `step`."""
    if step < warmup_steps:
        raise NotImplementedError
    # from 0 to 1: (step - warmup_steps) / (total_steps - warmup_steps)
    raise NotImplementedError


check.warmup_cosine(warmup_cosine)


# %% tags=["solution"]
import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the factor of the learning rate at `step`."""
    if step < warmup_steps:
        return step / warmup_steps
    done = (step - warmup_steps) / (total_steps - warmup_steps)  # from 0 to 1
    return (1 + math.cos(math.pi * done)) / 2


check.warmup_cosine(warmup_cosine)

# %% [markdown]
# ### ★★★ Label smoothing
#
# Label smoothing (Szegedy et al., 2015) asks for less certainty: the target is 1 − ε
# for the right class, plus ε shared equally among *all* K classes. So the loss of an
# image is 1 − ε times minus the log-probability of the right class, plus ε times minus
# the mean of all K log-probabilities. Return its mean over the batch, without
# `F.cross_entropy`.
#
# `table[torch.arange(len(labels)), labels]` takes one number from each row. Expected:
# with ε = 0 it is the ordinary cross-entropy.


# %% tags=["exercise"]
def smoothed_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Return the mean loss of logits (B, K) and labels (B,), a tensor ()."""
    raise NotImplementedError


check.smoothed_cross_entropy(smoothed_cross_entropy)


# %% tags=["solution"]
def smoothed_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Return the mean loss of logits (B, K) and labels (B,), a tensor ()."""
    log_probabilities = logits.log_softmax(1)  # (B, K)
    right = log_probabilities[torch.arange(len(labels)), labels]  # (B,)
    everyone = log_probabilities.mean(1)  # (B,)
    return -((1 - smoothing) * right + smoothing * everyone).mean()


check.smoothed_cross_entropy(smoothed_cross_entropy)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. Why is the standard deviation too small if you compute it inside each image and
# then average over the images?**
#
# <details><summary>It leaves out how much the images differ from one another.</summary>
#
# **Right.** Each image is measured from its own mean, so a bright image and a dark one
# look alike. For variances the account is exact: inside plus between is the whole.
#
# </details>
# <details><summary>An image of 32 × 32 pixels is too small to estimate a
# deviation.</summary>
#
# **No.** Larger images would show the same gap, because their means differ as well. Nor
# does averaging over more images help.
#
# </details>
# <details><summary>It divides by the number of pixels, not by that number less
# one.</summary>
#
# **No.** With 1 024 pixels that changes a deviation by less than a thousandth. The gap
# in the table is far larger.
#
# </details>
# <details><summary>Augmentation changes the images before they are measured.</summary>
#
# **No.** Both ways were computed from the same stored training images, before any crop
# or flip.
#
# </details>

# %% [markdown]
# **2. In the log of a run, the validation accuracy is above the training accuracy. What
# does that tell you?**
#
# <details><summary>Training images have leaked into the validation set.</summary>
#
# **No.** A leak is possible in any run, but this order is no sign of it. There is a
# plainer reason.
#
# </details>
# <details><summary>BatchNorm is switched off in validation, which makes the task
# easier.</summary>
#
# **No.** It is not off: it uses its running statistics. Those lag behind weights that
# move fast, which can make validation *worse*.
#
# </details>
# <details><summary>By itself nothing, because the two were measured
# differently.</summary>
#
# **Right.** The training number comes from augmented images and from weights that still
# changed. Judge the final weights on the training images as they are, and then compare.
#
# </details>
# <details><summary>The network is too small, or it has not been trained for long
# enough.</summary>
#
# **No.** That would be read from the training loss on images as they are, not from the
# order of two numbers that were measured differently.
#
# </details>

# %% [markdown]
# **3. The training loss falls smoothly, the validation loss jumps. You estimate
# BatchNorm's statistics anew after each epoch, and the jumps are gone. What was it?**
#
# <details><summary>The network overfits, and the new estimate regularises it.</summary>
#
# **No.** No weight was changed. Overfitting would show in the same weights with any
# statistics.
#
# </details>
# <details><summary>The learning rate is too high, so the weights jump from epoch to
# epoch.</summary>
#
# **No.** Then the same weights would jump with fresh statistics too.
#
# </details>
# <details><summary>The running statistics lag behind weights that move fast.</summary>
#
# **Right.** They describe about the last ten batches, through weights that have moved
# on since. Training does not use them, so its curve does not jump.
#
# </details>
# <details><summary>The validation loader shuffles, and the luck of its batches
# shows.</summary>
#
# **No.** It does not shuffle; and in evaluation mode each image is judged by itself,
# whatever its batch.
#
# </details>

# %% [markdown]
# **4. `OneCycleLR` was made with `total_steps` = epochs × batches, but `step()` is
# called once an epoch. What happens?**
#
# <details><summary>The rate falls to almost nothing during the first epoch.</summary>
#
# **No.** That would take too *many* steps. Here it gets too few.
#
# </details>
# <details><summary>The rate hardly leaves its first, small value.</summary>
#
# **Right.** The cycle counts calls and gets a small part of them. No error, no break in
# the curves: the run is only slower than it could be. Draw the learning rate of every
# run.
#
# </details>
# <details><summary>An error, since the number of steps does not agree with the
# plan.</summary>
#
# **No.** It complains only when it is stepped *more* often than planned. Too few steps
# pass in silence.
#
# </details>
# <details><summary>The rate stays at its highest value, so the loss climbs.</summary>
#
# **No.** One cycle starts at a 25th of its highest rate and would have to climb first.
#
# </details>

# %% [markdown]
# **5. You look at the test accuracy after each epoch and report the best. No test image
# is ever trained on. What is wrong with that?**
#
# <details><summary>Nothing: where no gradient flows, nothing can be learned from the
# test.</summary>
#
# **No.** Choosing is a way of fitting too. The epoch was picked *because* it did well
# on these very images.
#
# </details>
# <details><summary>The best of many is partly luck, so on average it is too
# high.</summary>
#
# **Right.** Each look is honest. Taking the best of them is not, and more looks flatter
# more. Choose on validation images and look at the test once.
#
# </details>
# <details><summary>BatchNorm's running statistics take up the test images.</summary>
#
# **No.** In `eval()` they stand still, whichever images are shown. The fault is in the
# choice, not in the network.
#
# </details>
# <details><summary>Nothing, if the test set has as many as 10 000 images.</summary>
#
# **No.** The flattery shrinks with the square root of their number, but it does not
# vanish. Deep dive 04b measures it.
#
# </details>

# %% [markdown]
# ## References
#
# - A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
# - K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*,
#   2015, arXiv 1512.03385, section 4.2.
# - S. Zagoruyko, N. Komodakis, *Wide Residual Networks*, 2016, arXiv 1605.07146.
# - L. Smith, N. Topin, *Super-Convergence*, 2017, arXiv 1708.07120 (one cycle).
# - C. Szegedy et al., *Rethinking the Inception Architecture*, 2015, arXiv
#   1512.00567, section 7 (label smoothing).

# %% [markdown]
# **Deeper.** [03b · Faster](03b_faster.ipynb): 16 bits, compiling, larger batches and
# several processes.
#
# **Next.** One accuracy hides where a classifier fails:
# [04 · Per-class evaluation](04_per_class_evaluation.ipynb) looks there.
