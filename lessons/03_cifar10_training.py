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
# 1. prepare images for a network: three splits, the right statistics, augmentation;
# 2. write one epoch by hand, schedule its learning rate, and recognise from the curves
#    what is wrong with a run;
# 3. train faster, in 16 bits or on several GPUs, and say what that changes;
# 4. save a training run so that it can be resumed, loaded and trusted;
# 5. report an accuracy, or a comparison, that somebody else can believe.
#
# **Know first:** [Lesson 01](01_residual_blocks.ipynb) (blocks, BatchNorm) and
# [Lesson 02](02_full_network.ipynb) (the networks that are trained here).
#
# **Reading time** 75 minutes · **run time** quick CPU about 74 s (two quiet
# cores), full GPU not measured

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import nn

from course_classroom.checks import lesson_03 as check
from course_utils.data.cifar10 import load_cifar10
from course_utils.models import cifar_resnet, resnet18
from course_utils.plotting import course_style, plot_history, plot_seeds, show_images
from course_utils.results import show_table
from course_utils.session import start

course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# The networks of lesson 02 have random weights: they know nothing. This lesson makes
# one tell ten kinds of things apart, and asks how far to believe it. Write down
# guesses (a point: from 90 % to 91 %):
#
# 1. Guessing gives 10 %. What will the network reach on new images? (Section 14)
# 2. Which accuracy ends higher: on training images, or on those kept aside? (Second
#    myth)
# 3. Of twelve near copies of it, keep the best on a few hundred images. How
#    many points too good will its score there look? (Section 13)
# 4. Which has the lower loss on its *training* images, without shortcuts: a deep
#    network or a shallow one? And with shortcuts? (Section 16)

# %% [markdown]
# ## 1 · Look at the data
#
# CIFAR-10 has 60 000 colour images of 32×32 pixels in ten classes, 6 000 a class
# (Krizhevsky, 2009). Where they are not to be had, the course draws sketches of the
# same ten things, in the same size; the line below says which you have.
#
# They are in three splits, because there are three jobs. The **training** images are
# for fitting the weights. The **validation** images are for every choice: which
# schedule, which epoch's weights. The **test** images are for one number, at the end.

# %%
# Figure: training images in three rows of ten: each column holds three images of one
# class, with its name above.
splits = load_cifar10(session.data_dir)
print(splits.describe(), "(training / validation / test)")

num_classes = len(splits.classes)
for name, pair in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
    print(f"{name:6}images of each class:", np.bincount(pair.labels).tolist())

first = [np.flatnonzero(splits.train.labels == k)[:3] for k in range(num_classes)]
order = np.stack(first).T.ravel()  # three rows, one class a column
titles = [*splits.classes, *[""] * (2 * num_classes)]
show_images(splits.train.images[order], titles, columns=num_classes)
plt.show()

# %% [markdown]
# Three training images of each class, in columns. Cover the titles and name each.
# At this size a cat and a dog, or a car and a truck, differ in a handful of pixels.
# Every split holds the classes in equal or nearly equal numbers, so always answering
# with one class scores about one in ten: the floor that the network must leave.

# %% [markdown]
# ## 2 · The right channel statistics
#
# A network starts best from inputs of mean 0 and spread 1. So from every red value
# the mean of all red values is taken away, and the rest is divided by their standard
# deviation; green and blue likewise:
#
# $$z_c = \frac{x_c - \mu_c}{\sigma_c}, \qquad
# \sigma_c^2 = \text{mean of } (x_c - \mu_c)^2 \text{ over all pixels of all training
# images.}$$
#
# Many tutorials divide CIFAR-10 by (0.2023, 0.1994, 0.2010), others by (0.2470,
# 0.2435, 0.2616). Both cannot be σ. A good suspect for the first: take the standard
# deviation *inside* each image, then average over the images. Let us compute both.


# %%
def channel_deviations(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return standard deviations (3,) of uint8 images (N, H, W, 3), by their kind."""
    overall, inside, inside_squared, between = np.zeros((4, 3))
    for channel in range(3):
        pixels = images[..., channel].reshape(len(images), -1) / np.float32(255)
        overall[channel] = pixels.std(dtype=np.float64)
        own = pixels.std(axis=1).astype(np.float64)  # one number for each image
        inside[channel], inside_squared[channel] = own.mean(), (own**2).mean()
        between[channel] = pixels.mean(axis=1).std(dtype=np.float64)
    return {
        "over all pixels": overall,
        "inside each image, then averaged": inside,
        "of the images' means": between,
        "√(mean variance inside + variance of the means)": np.sqrt(
            inside_squared + between**2
        ),
    }


deviations = channel_deviations(splits.train.images)
deviations["`splits.std` of course_utils"] = splits.std
print(f"Training images, {splits.source}:")
show_table(
    ("standard deviation", "red", "green", "blue"),
    [[name, *(f"{v:.4f}" for v in std)] for name, std in deviations.items()],
)

# %% [markdown]
# The first two rows differ because an image's own deviation is measured from *its
# own* mean. A white dog in snow is bright all over: far from the mean of the data
# set, near its own. What the second row loses is how much the images differ from one
# another, the third row. For variances (deviations squared) the account is exact:
# inside plus between is the whole, as the fourth row shows.
#
# Now compare with the published triples, which were made from the photos.

# %%
PUBLISHED = {
    "often copied": (0.2023, 0.1994, 0.2010),
    "of others": (0.2470, 0.2435, 0.2616),
}
(_, right_std), (_, wrong_std) = ways = list(deviations.items())[:2]
for name, triple in PUBLISHED.items():
    gaps = {way: np.abs(np.subtract(triple, std)).max() for way, std in ways}
    nearest = min(gaps, key=gaps.get)
    if splits.is_photos:
        print(f"{triple} ({name}): {nearest!r}, to within {gaps[nearest]:.4f}")
if not splits.is_photos:
    print(
        "The published triples describe photos. These are sketches, so comparing them "
        "would say nothing;\nset COURSE_DATA to a folder with the photos to compute "
        "it. The gap between the two ways is there all the same."
    )
left = np.mean(right_std / wrong_std)
print(f"Dividing by the wrong one leaves a spread of {left:.2f} instead of 1.")

# %% [markdown]
# Which is which? The second way can never give more than the first: it leaves out how
# much the images differ. And the copied triple is the smaller in every channel. On the
# photos each way comes out close to one triple: all pixels together give the larger
# one. So that is σ; the often copied triple is the average of the images' own spreads.

# %% [markdown]
# Does it matter? The first convolution is followed by batch normalisation, and that
# divides by the spread of whatever arrives: one common factor would vanish there. The
# three factors are not quite equal, so something must remain. Measure it behind the
# first BatchNorm of a fresh network, fed the same images normalised both ways.

# %%
torch.manual_seed(0)
fresh = cifar_resnet(8)
raw = torch.from_numpy(splits.train.images[:256]).permute(0, 3, 1, 2) / 255
mean = torch.tensor(splits.mean).view(3, 1, 1)
right = (raw - mean) / torch.from_numpy(right_std).float().view(3, 1, 1)
wrong = (raw - mean) / torch.from_numpy(wrong_std).float().view(3, 1, 1)
with torch.no_grad():
    outputs = [fresh.bn1(fresh.conv1(images)) for images in (right, wrong)]
for stage, (a, b) in {"input": (right, wrong), "after bn1": outputs}.items():
    print(f"{stage:10} differs by {((a - b).norm() / a.norm()).item():6.1%}")

# %% [markdown]
# BatchNorm repairs most of it. That is why the wrong triple survives: nothing breaks.
# What it costs in accuracy is *not measured* here; a network without batch
# normalisation, or one pre-trained with other statistics, has no such protection.
# Compute the numbers once, from the training images alone, and the question is gone.

# %% [markdown]
# ## 3 · Augmentation
#
# A car moved two pixels to the left is still a car, and so is its mirror image. So in
# every epoch each training image is shown differently: padded with 4 black pixels on
# all sides (before it is normalised, while 0 means black), cropped back to 32×32 at a
# random place, flipped left to right half the time. That is the recipe of He et al.
# 2015, section 4.2. Validation and test images stay as they are: they are the question,
# and the question must not change.
#
# How many different pictures can one image become? Guess, then count.

# %%
# Figure: one training image and fifteen augmented views of it, in two rows of eight;
# the views are shifted, with black bands at the edges, and some are mirrored.
from course_utils.data.arrays import ArrayDataset

generator = torch.Generator().manual_seed(0)


def views(index: int, count: int) -> torch.Tensor:
    """Return `count` augmented views of one training image, uint8 (count, H, W, 3)."""
    image = splits.train.images[index]
    same = np.broadcast_to(image, (count, *image.shape))
    data = ArrayDataset(
        *(same, np.zeros(count), (0, 0, 0), (1, 1, 1)),  # mean 0, std 1: as they are
        augment=True,
        generator=generator,
    )
    images, _ = data.__getitems__(range(count))
    return (images * 255).round().byte().permute(0, 2, 3, 1)


chosen = order[num_classes + 1]  # the second car
gallery = np.concatenate([splits.train.images[[chosen]], views(chosen, 15)])
show_images(gallery, columns=8)
plt.show()
different = len(torch.unique(views(chosen, 3000).flatten(1), dim=0))
print(f"{different} different pictures among 3000 views; (4+1+4)² · 2 = {9**2 * 2}")

# %% [markdown]
# One image, top left, and fifteen views of it; the black bands are the padding.
# The crop can lie up to 4 pixels to either side of the middle, 4 + 1 + 4 places across
# and as many down, each with its mirror image. On average a given view comes up once in
# as many epochs as there are views, so learning its pixels by heart pays less.
#
# An augmentation is a claim about the world: "this does not change the answer".
# Upside down would be a false claim for cars, and left-to-right a false one for
# letters.

# %% [markdown]
# ## 4 · Loss and optimiser
#
# The network gives ten numbers, the **logits**. Softmax turns them into
# probabilities, and the **cross-entropy** is minus the logarithm of the probability
# that the right class got:
#
# $$L = -\log \frac{e^{z_y}}{\sum_k e^{z_k}}.$$
#
# A network that knows nothing gives each class a tenth. Its loss is $\log 10$: worth
# remembering, because a first loss far above it means a mistake in the set-up. A
# little above it is normal: random weights prefer some classes without any reason, and
# a preference that knows nothing of the labels costs more often than it pays.

# %%
logits = torch.tensor([[2.0, -1.0, 0.5]])
by_hand = -torch.log(logits.exp()[0, 0] / logits.exp().sum())
pytorch = F.cross_entropy(logits, torch.tensor([0]))
print(f"by hand {by_hand:.6f}, PyTorch {pytorch:.6f}")

torch.manual_seed(0)
labels = torch.from_numpy(splits.train.labels[:256])
with torch.no_grad():
    first_loss = F.cross_entropy(cifar_resnet(8)(right), labels).item()
print(f"log 10 = {np.log(10):.3f}; first loss of a fresh network {first_loss:.3f}")

# %% [markdown]
# The optimiser is **SGD with momentum**. With gradient $g$, each step does
#
# $$v \leftarrow 0.9\,v + (g + \lambda w), \qquad w \leftarrow w - \eta\,v.$$
#
# The velocity $v$ remembers about $1/(1 - 0.9) = 10$ steps: what they agree on adds
# up, what they disagree on cancels. **Weight decay** $\lambda$ pulls every weight
# towards zero a little. The learning rate is $\eta = 0.1$, the momentum 0.9; He et
# al. (2015, section 4.2) take a weight decay of 1e-4. We take 5e-4, as the Wide
# ResNets did (Zagoruyko and Komodakis, 2016) and most CIFAR recipes since. Five steps
# by hand, against PyTorch's:

# %%
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
torch.manual_seed(0)
start_point, target = torch.randn(4), torch.randn(4)

weights, velocity = start_point.clone(), torch.zeros(4)
for _ in range(5):
    gradient = 2 * (weights - target)  # of the loss sum((weights - target)²)
    velocity = MOMENTUM * velocity + (gradient + WEIGHT_DECAY * weights)
    weights = weights - LR * velocity

theirs = nn.Parameter(start_point.clone())
sgd = torch.optim.SGD([theirs], lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
for _ in range(5):
    sgd.zero_grad()
    ((theirs - target) ** 2).sum().backward()
    sgd.step()
print(f"largest difference after five steps: {(weights - theirs).abs().max():.1e}")

# %% [markdown]
# ## 5 · Schedules, drawn before they are used
#
# Far from the goal, big steps save time; near it, they jump across. So the rate falls
# during training. Three ways to decide when:
#
# - **On a plateau** (`ReduceLROnPlateau`): halve it (factor 0.5) when the validation
#   loss has not improved for more than 5 epochs (patience), down to a minimum.
# - **Milestones** (`MultiStepLR`): a tenth of it after epochs 75 and 150.
# - **One cycle** (`OneCycleLR`): from a 25th of the highest rate up for the first
#   30 %, then down to almost nothing. By default it moves the momentum too:
#   from 0.95 down to 0.85 and back.
#
# A schedule is cheap to see: let it drive an optimiser that has nothing to do.


# %%
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR, ReduceLROnPlateau

EPOCHS, STEPS = 200, 100  # steps of one epoch
invented_loss = 0.5 + 1.5 * np.exp(-np.arange(EPOCHS) / 4)  # falls, then stands still


def lr_trace(make_scheduler) -> list[float]:
    """Return the learning rate at the first step of every epoch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make_scheduler(optimizer)
    trace = []
    for epoch in range(EPOCHS):
        trace.append(optimizer.param_groups[0]["lr"])
        for _ in range(STEPS):
            optimizer.step()
            if isinstance(scheduler, OneCycleLR):
                scheduler.step()  # counts batches
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(invented_loss[epoch])  # looks at the validation loss
        elif not isinstance(scheduler, OneCycleLR):
            scheduler.step()  # counts epochs
    return trace


# %%
# Figure: learning rate against epoch, three lines: the plateau schedule and the
# milestones, which fall in steps, and one cycle, which rises and falls smoothly.
traces = {
    "plateau": lr_trace(
        lambda opt: ReduceLROnPlateau(opt, factor=0.5, patience=5, min_lr=1e-3)
    ),
    "milestones": lr_trace(lambda opt: MultiStepLR(opt, milestones=[75, 150])),
    "one cycle": lr_trace(lambda opt: OneCycleLR(opt, LR, total_steps=EPOCHS * STEPS)),
}
fig, axis = plt.subplots(figsize=(7, 3))
for (name, trace), dash in zip(traces.items(), ("-", "--", "-."), strict=True):
    style = "default" if name == "one cycle" else "steps-post"
    axis.plot(range(1, EPOCHS + 1), trace, dash, label=name, drawstyle=style)
axis.set(xlabel="epoch", ylabel="learning rate")
axis.legend()
plt.show()
plateau = traces["plateau"]
cuts = [e + 1 for e in range(1, EPOCHS) if plateau[e] < plateau[e - 1]]
print(f"plateau: first cut at epoch {cuts[0]}, {len(cuts)} cuts, ends at {plateau[-1]}")
print(f"milestones: {traces['milestones'][0]:g} → {traces['milestones'][-1]:g}")
print(f"one cycle: highest at epoch {int(np.argmax(traces['one cycle'])) + 1}")

# %% [markdown]
# The three schedules over 200 epochs. The plateau needs no plan but follows a noisy
# number (here an invented loss that stops falling); the milestones need to be known
# beforehand; the one cycle must know its length. It was proposed for
# short runs (Smith and Topin, 2017): so the quick run below takes one cycle, and the
# full run milestones.
#
# Two rules are often broken. `OneCycleLR` must be stepped after every *batch*, the
# others after every *epoch*; stepped once an epoch, one cycle would hardly leave its
# first, small rate. And `ReduceLROnPlateau` must be handed the *validation* loss, never
# the test loss.

# %% [markdown]
# ## 6 · One epoch by hand
#
# One epoch shows every training image once. For each batch: forward, loss, forget the
# old gradients, backward, step. Here is all of it, with two details that are often
# wrong. First, each batch counts by its size, because the last one may be short.
# Second, `loss.item()` turns the loss into a number; keeping `loss` itself would keep
# the whole graph behind it in memory.


# %%
def train_one_epoch(model, loader, optimizer):
    """Train on every batch once; return mean loss and accuracy on the way."""
    device = next(model.parameters()).device
    model.train()  # BatchNorm uses the batch's own statistics
    total_loss = correct = count = 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        correct += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    return total_loss / count, correct / count


@torch.no_grad()
def evaluate(model, loader):
    """Return mean loss and accuracy in evaluation mode."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()  # BatchNorm uses its running statistics
    total_loss = correct = count = 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        total_loss += F.cross_entropy(logits, labels).item() * len(labels)
        correct += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    model.train(was_training)  # leave the model as it was found
    return total_loss / count, correct / count


# %% [markdown]
# Try it on a little data: 1 000 training and 500 validation images. `course_utils`
# holds the same two functions, with checks of their input; every later lesson imports
# them. From the same seed, both must give the same numbers.

# %%
from dataclasses import replace

import course_utils.training as package
from course_utils.data.arrays import LabelledImages

small = replace(
    splits,
    train=LabelledImages(*(part[:1000] for part in splits.train)),
    val=LabelledImages(*(part[:500] for part in splits.val)),
)
for name, fit, judge in (
    ("by hand", train_one_epoch, evaluate),
    ("package", package.train_one_epoch, package.evaluate),
):
    torch.manual_seed(0)
    model = cifar_resnet(8).to(session.device)
    loaders = small.loaders(batch_size=96, seed=0)
    sgd = torch.optim.SGD(model.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY)
    fitted, judged = fit(model, loaders.train, sgd), judge(model, loaders.val)
    print(f"{name}: train loss {fitted[0]:.5f}, val loss {judged[0]:.5f}")

# %% [markdown]
# ### `no_grad()` against `eval()`
#
# Evaluation needs both, and they have nothing to do with each other. `model.eval()`
# is about *layers*: batch normalisation uses its running statistics and leaves them
# alone. `torch.no_grad()` is about *bookkeeping*: PyTorch does not record what a
# backward pass would need, which saves memory. The four combinations, tried:

# %%
import contextlib

images, labels = next(iter(loaders.val))
images, labels = images.to(session.device), labels.to(session.device)
rows = []
for training in (True, False):
    for recording in (True, False):
        model.train(training)
        before = model.bn1.running_mean.clone()
        with contextlib.nullcontext() if recording else torch.no_grad():
            logits = model(images)
        moved = not torch.equal(before, model.bn1.running_mean)
        mode = "`train()`" if training else "`eval()`"
        answers = (not recording, logits.requires_grad, moved)
        rows.append([mode, *("yes" if answer else "no" for answer in answers)])
show_table(("mode", "`no_grad`", "graph recorded", "running mean moved"), rows)

# %% [markdown]
# Each column follows one switch alone. `train()` inside `no_grad` is the dangerous
# one: nothing is learned, and yet looking at the validation images changes the model.
# The next cells prove it: no weight has changed since the line "package" above, but
# the validation loss of the same model on the same images has.
#
# ### Two small questions
#
# Tutorials predict with `torch.max(logits, 1)` or with `logits.argmax(1)`. Is there a
# difference? And what would the mean over batches be if each counted the same?

# %%
from course_utils.metrics import accuracy

model.eval()
with torch.no_grad():
    logits = model(images)
    values, indices = torch.max(logits, 1)  # two results: the logit, and where it is
    print("same classes:", torch.equal(indices, logits.argmax(1)))
    print(f"accuracy of this batch: {accuracy(logits, labels):.1%}")
    scores = []
    for images, labels in loaders.val:
        images, labels = images.to(session.device), labels.to(session.device)
        scores.append((F.cross_entropy(model(images), labels).item(), len(labels)))
losses, sizes = np.array(scores).T
print(f"batch sizes {sizes.astype(int).tolist()}")
print(f"each batch the same: {losses.mean():.5f}")
print(f"weighted by size:    {np.average(losses, weights=sizes):.5f}")
print(f"the same before train() looked at a batch: {judged[0]:.5f}")

# %% [markdown]
# `torch.max` gives the largest logit too; `argmax` says what is meant. The weighted
# mean is the mean over *images*, the same for every batch size. The other one depends
# on how the images happened to be cut into batches. The last two lines differ although
# the weights are the same: in the table's two rows with `train()`, BatchNorm's running
# statistics moved.
#
# One more line you will meet: `torch.backends.cudnn.benchmark = True`. On an NVIDIA
# GPU it tries several ways to compute a convolution at first sight of a new input
# shape, and keeps the fastest. All our batches but the last have one shape, so it can
# pay. It may choose differently from run to run, and then the last digits differ.

# %%
import time


def ms_per_step(benchmark: bool) -> float:
    """Return the milliseconds of a training step on the GPU."""
    torch.backends.cudnn.benchmark = benchmark
    network = resnet18(num_classes=10, stem="cifar").to(session.device)
    batch = torch.randn(128, 3, 32, 32, device=session.device)
    for step in range(15):
        if step == 5:  # the first steps choose the algorithms
            torch.cuda.synchronize()
            began = time.perf_counter()
        network(batch).sum().backward()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / 10 * 1000


if session.device.type == "cuda":
    print(f"benchmark off {ms_per_step(False):.1f} ms, on {ms_per_step(True):.1f} ms")
else:
    print(f"On {session.device.type} there is no cuDNN: the switch does nothing here.")

# %% [markdown]
# ## 7 · Training
#
# Now the recipe, all of it in one place. The quick one is made for two CPU cores: a
# small network of the paper's CIFAR family, at most 10 000 images, a dozen epochs,
# one cycle. The full one is made for a GPU: ResNet-18 with the CIFAR stem, all
# training images, 200 epochs, milestones.

# %%
recipe = session.pick(
    quick={"num_epochs": 12, "batch_size": 64, "lr": 0.1, "train_size": 10_000},
    full={"num_epochs": 200, "batch_size": 128, "lr": 0.1, "train_size": 45_000},
)
num_epochs = recipe["num_epochs"]
loaders = splits.loaders(
    recipe["batch_size"], seed=session.seed, train_size=recipe["train_size"]
)
torch.manual_seed(session.seed)
build_model = session.pick(
    quick=lambda: cifar_resnet(8),
    full=lambda: resnet18(num_classes=10, stem="cifar"),
)
model = build_model().to(session.device)
optimizer = torch.optim.SGD(
    model.parameters(), lr=recipe["lr"], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
)
total_steps = num_epochs * len(loaders.train)
make_scheduler = session.pick(
    quick=lambda: OneCycleLR(optimizer, recipe["lr"], total_steps=total_steps),
    full=lambda: MultiStepLR(optimizer, milestones=[75, 150]),
)
scheduler = make_scheduler()
num_parameters = sum(p.numel() for p in model.parameters())
print(f"{num_parameters:,} parameters, {len(loaders.train.dataset):,} training images")

# %% [markdown]
# `train(...)` is the epoch from above in a loop: train, validate on images kept
# aside, step the schedule, save. It prints one line an epoch and gives back a
# `History`, one number an epoch for each quantity. The validation images choose which
# epoch's weights are kept: at the end `train` puts the best ones back into `model`, of
# the earliest epoch where several tie. The test images are not even handed over.
#
# You may interrupt it (■): the finished epochs are kept. To go on, add `resume=True`
# and run the cell again.

# %% tags=["long-run"]
from course_utils.training import train

run_dir = session.run_dir("03_cifar10_training")
history = train(
    model,
    loaders.train,
    loaders.val,
    num_epochs=num_epochs,
    optimizer=optimizer,
    scheduler=scheduler,
    save_path=run_dir,
)

# %%
# Figure: three panels against epoch: cross-entropy loss, accuracy and learning rate. In
# the first two the training is dashed, the validation solid.
plot_history(history)
plt.show()
best_epoch = int(np.argmax(history.val_accuracy)) + 1
fell = np.diff(history.val_accuracy) < 0
high = np.array(history.lr[1:]) > max(history.lr) / 2
both_rose = (np.diff(history.val_loss) > 0) & (np.diff(history.val_accuracy) > 0)
display(
    Markdown(
        f"Validation accuracy: {history.val_accuracy[0]:.1%} after the first epoch, "
        f"{history.val_accuracy[-1]:.1%} after the last of {len(history)}, best "
        f"{max(history.val_accuracy):.1%} after epoch {best_epoch}. It fell in "
        f"{fell[high].sum()} of the {high.sum()} later epochs with a learning rate "
        f"above half the highest, and in {fell[~high].sum()} of the {(~high).sum()} "
        f"others. Validation loss and accuracy both rose in {both_rose.sum()}. "
        f"Training took {sum(history.seconds) / 60:.1f} min."
    )
)

# %% [markdown]
# Loss, accuracy and learning rate of each epoch; training dashed, validation solid.
# Read them together. Big steps jump across the goal, so a validation curve may go up
# and down while the learning rate is high, and still be on its way; small steps let
# it settle. The sentence under the figure counts how it was here.
#
# In a log line, `Train Loss` and `Train Acc` are means over the epoch while the
# weights changed; `Val Loss` and `Val Acc` are measured after it; `Learning Rate` is
# that of the epoch's first step.

# %% [markdown]
# **Why does validation jump where training does not?** The training numbers are means
# over an epoch, while the weights changed, each batch normalised by its own statistics.
# Validation judges one set of weights, with BatchNorm's running statistics: a mean over
# some tens of past batches, which lags behind weights that move fast.
#
# **How can loss and accuracy rise together?** Accuracy counts right answers, and no
# more. The loss counts confidence too: a few mistakes made with great certainty weigh
# more than many images that have just tipped over to the right side.

# %% [markdown]
# ### Stopping early, and looking in
#
# `train(..., early_stopping=n)` ends a run after `n` epochs in a row without a better
# validation accuracy. Would 1, 2 or 3 have been wise here? The history can tell without
# any training.

# %%
accuracies = np.array(history.val_accuracy)
for patience in (1, 2, 3):
    waited = [e - int(np.argmax(accuracies[: e + 1])) for e in range(len(accuracies))]
    end = next((e for e, w in enumerate(waited) if w >= patience), len(accuracies) - 1)
    missed = accuracies.max() - accuracies[: end + 1].max()
    print(
        f"early_stopping={patience}: ends after epoch {end + 1} of {len(accuracies)}, "
        f"{100 * missed:.1f} points short of the best"
    )
if late := len(accuracies) // 3:
    gained = accuracies[-late:].max() - accuracies[:-late].max()
    print(f"best of the last {late} epochs against before: {100 * gained:+.1f} points")

# %% [markdown]
# Patience has to outlast the noise. And a schedule that ends with small steps may have
# something left for its last epochs (the last line counts it): to stop before them is
# to stop before that harvest. Early stopping fits a constant rate or a plateau
# schedule, and runs that begin to overfit.
#
# `on_epoch=f` calls `f(history)` after each epoch, once it is saved: for a plot of
# your own, a message to your telephone, one more measurement. The next section uses
# it for that.

# %% [markdown]
# ## 8 · What can go wrong
#
# Most failed trainings fail in one of a few ways, and each leaves its mark on the
# curves. Four faults, provoked on 1 000 images:
#
# - **the learning rate is far too high**, here ten thousand times;
# - **the schedule is never stepped**: built, but not used;
# - **`eval()` is forgotten** when validating, on images sorted by class, as a folder
#   of images hands them out;
# - **validation images are prepared differently** from training images: here they are
#   not normalised at all.
#
# Before you run the cells, sketch the loss curves of each. Which fault spoils the
# training curve, which the validation curve alone?
#
# First the wrong evaluation, written out. Compare it with `evaluate` of section 6.


# %%
import copy


@torch.no_grad()
def evaluate_without_eval(network, loader):
    """Return mean loss and accuracy, measured wrongly."""
    network = copy.deepcopy(network).train()  # a copy: its running means will move
    total_loss = correct = count = 0
    for images, labels in loader:
        images, labels = images.to(session.device), labels.to(session.device)
        logits = network(images)
        total_loss += F.cross_entropy(logits, labels).item() * len(labels)
        correct += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    return total_loss / count, correct / count


by_class = np.argsort(small.val.labels, kind="stable")
in_folders = replace(small, val=LabelledImages(*(part[by_class] for part in small.val)))
unnormalised = replace(small, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
shuffled, by_class, raw = (
    which.loaders(batch_size=50).val for which in (small, in_folders, unnormalised)
)

# %% [markdown]
# Then the recipe: `cifar_resnet(8)`, ten epochs, one cycle. Its criterion notes the
# loss of every training batch. All of this section computes in 32 bits (`amp=False`)
# on every device. A GPU that computes in float16 would skip the very steps that go
# wrong here; section 9 says why.


# %%
from types import SimpleNamespace

from course_utils.training import History


def try_recipe(lr=0.1, *, stepped=True, num_epochs=10, look=None, **options):
    """Return network, history, batch losses and message of a run on 1 000 images."""
    torch.manual_seed(0)
    network = cifar_resnet(8).to(session.device)
    few = small.loaders(batch_size=50, seed=0)
    sgd = torch.optim.SGD(network.parameters(), lr, MOMENTUM, weight_decay=WEIGHT_DECAY)
    cycle = OneCycleLR(sgd, lr, total_steps=num_epochs * len(few.train))
    run = SimpleNamespace(network=network, history=History(), losses=[], message="")

    def criterion(logits, labels):
        loss = F.cross_entropy(logits, labels)
        if torch.is_grad_enabled():  # in training, not in validation
            run.losses.append(loss.item())
        return loss

    def on_epoch(history):
        run.history = history
        if look is not None:
            look(network)

    options |= {"scheduler": cycle if stepped else None, "optimizer": sgd}
    options |= {"num_epochs": num_epochs, "criterion": criterion, "on_epoch": on_epoch}
    try:
        train(network, few.train, few.val, amp=False, progress=False, **options)
    except FloatingPointError as error:
        run.message = str(error)
    return run


# %%
judged = {"forgot": [], "forgot, shuffled": [], "by class": [], "raw": []}


def judge_wrongly(network):
    """Judge the weights after an epoch in four more ways."""
    judged["forgot"].append(evaluate_without_eval(network, by_class))
    judged["forgot, shuffled"].append(evaluate_without_eval(network, shuffled))
    judged["by class"].append(evaluate(network, by_class))
    judged["raw"].append(evaluate(network, raw))


healthy = try_recipe(look=judge_wrongly)
too_high = try_recipe(lr=1000.0)
clipped = try_recipe(lr=1000.0, grad_clip=1.0)
unstepped = try_recipe(stepped=False)

# %% [markdown]
# One run serves for three curves: the two wrong evaluations judge the healthy run's own
# weights. Each panel below shows one fault (orange) beside the healthy run (broad grey
# lines), in random order and on a scale of its own; training dashed, validation solid.
# Name the faults before you read on.

# %%
# Figure: loss against epoch in four panels, A to D, one for each fault, on scales of
# their own. In each the healthy run as broad grey lines and the faulty one in orange;
# training is dashed, validation solid.
epochs = np.arange(1, len(healthy.history) + 1)
batches = np.arange(1, len(too_high.losses) + 1) * len(epochs) / len(healthy.losses)
good, slow = healthy.history, unstepped.history
forgot, raw_losses = ([loss for loss, _ in judged[way]] for way in ("forgot", "raw"))
curves = {  # where on the epoch axis, training losses, validation losses
    "healthy": (epochs, good.train_loss, good.val_loss),
    "learning rate far too high": (batches, too_high.losses, None),
    "schedule never stepped": (epochs, slow.train_loss, slow.val_loss),
    "eval() forgotten": (epochs, good.train_loss, forgot),
    "validation prepared differently": (epochs, good.train_loss, raw_losses),
}
faults = np.random.default_rng(7).permutation(list(curves)[1:]).tolist()
fig, axes = plt.subplots(2, 2, figsize=(8, 5.4), sharex=True)
for axis, letter, fault in zip(axes.flat, "ABCD", faults, strict=True):
    for name, color, width in (("healthy", "0.75", 4), (fault, "C1", 1.5)):
        where, training, validation = curves[name]
        style = {"color": color, "linewidth": width}
        kind = "healthy" if name == "healthy" else "faulty"
        axis.plot(where, training, "--", **style, label=f"{kind}, training")
        if validation is not None:
            axis.plot(where, validation, **style, label=f"{kind}, validation")
    axis.set(title=letter, xlabel="epoch", ylabel="cross-entropy loss")
    if validation is None:
        axis.set_yscale("log")
    axis.legend(fontsize="x-small")
plt.show()

# %%
signs = dict.fromkeys(faults, "")
finite = all(p.isfinite().all() for p in too_high.network.parameters())
signs["learning rate far too high"] = (
    f"`train` says: *{too_high.message}* Finished epochs: {len(too_high.history)}; "
    f"every weight finite afterwards: {finite}"
)
signs["schedule never stepped"] = (
    f"training loss {slow.train_loss[-1]:.2f}, healthy {good.train_loss[-1]:.2f}; "
    f"learning rate {min(slow.lr):.3g} to {max(slow.lr):.3g}, healthy "
    f"{min(good.lr):.3g} to {max(good.lr):.3g}"
)
final = {way: f"{found[-1][1]:.1%}" for way, found in judged.items()}
signs["eval() forgotten"] = (
    f"accuracy {final['forgot']} on images sorted by class, "
    f"{final['forgot, shuffled']} on the same images shuffled; with `eval()` "
    f"{final['by class']} and {good.val_accuracy[-1]:.1%}; validation loss "
    f"{forgot[0]:.2f} at first, {forgot[-1]:.2f} at the end"
)
means = [next(iter(loader))[0].mean().item() for loader in (raw, shuffled)]
signs["validation prepared differently"] = (
    f"accuracy {final['raw']}; validation loss {raw_losses[0]:.2f} at first, "
    f"{raw_losses[-1]:.2f} at the end; mean of a validation batch {means[0]:.2f}, "
    f"prepared like the training images {means[1]:.2f}"
)
key = [
    f"- **{a}, {fault}**: {signs[fault]}."
    for a, fault in zip("ABCD", faults, strict=True)
]
display(Markdown("After the last epoch:\n\n" + "\n".join(key)))

# %% [markdown]
# What the curves tell:
#
# - *The rate.* The training loss climbs by powers of ten. `train` stops, names the
#   step, and leaves the network as it was after the last finished epoch: its weights
#   are finite, but the loss may already be large there.
# - *The schedule.* No break, and nothing odd between training and validation: the run
#   is only slower than it could be. An optimiser that is never told stays at the
#   cycle's first, small rate. Draw the learning rate of every run; `History` keeps it.
# - *The two others.* Training is healthy, validation is bad from early on, while the
#   network learns. Overfitting looks different: there, the validation loss falls first
#   and turns later.

# %% [markdown]
# How to tell those two apart? Judge the same weights on the same images in another
# order. If the result moves, `eval()` is missing: BatchNorm then takes mean and spread
# from the *batch*, and in a batch of nothing but frogs it takes away what all frogs
# share. In shuffled batches the damage is smaller and easily goes unseen: that is the
# danger.
#
# If the order does not matter, look at what the network is handed: mean near 0 and
# spread near 1, in training and in validation.
#
# And **`grad_clip`**? `train(..., grad_clip=1.0)` measures the length of the whole
# gradient before each step; a longer one is shortened to 1. Predict: does it save the
# absurd run?

# %%
highest = max(loss for loss in too_high.losses if np.isfinite(loss))
print(f"highest loss of a batch: {highest:.1e}, then {too_high.losses[-1]}")
print(f"with grad_clip=1.0:      {max(clipped.losses):.1e}", clipped.message)
accuracy_clipped = (clipped.history.val_accuracy or [float("nan")])[-1]
print(f"validation accuracy at the end: {accuracy_clipped:.1%}, healthy run ", end="")
print(f"{good.val_accuracy[-1]:.1%}")

# %% [markdown]
# Clipping bounds the length of a gradient, so one bad batch cannot throw the weights
# across the room. It does not repair a rate that is wrong at *every* step. Use it
# against rare outliers; against a loss that climbs steadily, lower the rate.

# %% [markdown]
# ## 9 · Faster, at what price?
#
# Two choices of `train` change *how* a step is computed; the result is the same up to
# rounding. Whether they save time is to be measured.

# %% [markdown]
# **`amp`**, mixed precision (Micikevicius et al., 2018): convolutions and matrix
# products in 16 bits, weights and loss in 32. Fewer bits move, and processors have fast
# units for them. Two types have 16 bits. **float16** has a small range: little
# gradients would become zero. A *scaler* multiplies the loss by a large number,
# divides the gradients by it, and skips a step whose gradients overflowed.
# **bfloat16** has the range of 32 bits and needs no scaler; it pays with digits.
# `amp="auto"`, the default, uses 16 bits where the device computes in them natively:
# bfloat16, or on older NVIDIA GPUs float16.

# %%
from course_utils.training import amp_dtype

for dtype in (torch.float32, torch.bfloat16, torch.float16):
    info = torch.finfo(dtype)
    print(
        f"{dtype!s:14} largest {info.max:.1e}, smallest at full precision "
        f"{info.tiny:.1e}, next after 1: 1 + {info.eps:.1e}"
    )
print(f'here, amp="auto" computes in {amp_dtype(session.device, "auto") or "32 bits"}')

# %% [markdown]
# Below that "smallest" numbers lose digits, down to 0.

# %% [markdown]
# **`channels_last`**: the order of the numbers in memory. PyTorch's usual order holds
# all red values of an image, then all green ones. Channels last keeps the three values
# of a pixel together, which many convolution routines prefer. Shape and numbers are
# the same. `ArrayDataset` hands out such batches already, since image files are stored
# pixel by pixel; a fair comparison has to undo that first.
#
# Now a training step with both as switches. A machine's speed wanders, so the
# two ways take turns, A B A B, and each pair gives one ratio. Guess both, and in which
# digit the losses will differ.


# %%
batch = next(iter(splits.loaders(64, seed=0).train))


def make_step(*, amp: bool, channels_last: bool):
    """Return a function that takes one training step and returns its loss."""
    torch.manual_seed(0)
    device, dtype = session.device, amp_dtype(session.device, amp)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = cifar_resnet(20).to(device, memory_format=layout)
    images = batch[0].to(device).contiguous(memory_format=layout)
    labels = batch[1].to(device)
    sgd = torch.optim.SGD(network.parameters(), 0.01, MOMENTUM)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)

    def step() -> float:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), labels)
        sgd.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(sgd)
        scaler.update()
        return loss.item()

    return step


# %%
def take_turns(ways, pairs, steps):
    """Return images a second (2, pairs) and the losses (2, steps in all)."""
    losses = [[step()] for step in ways]  # the first step of each warms up
    speeds = np.zeros((2, pairs))
    for pair in range(pairs):
        for way, step in enumerate(ways):
            began = time.perf_counter()
            losses[way] += [step() for _ in range(steps)]
            speeds[way, pair] = steps * len(batch[0]) / (time.perf_counter() - began)
    return speeds, np.array(losses)


heads = ("option", "images/s without", "with", "ratio (range)", "verdict")
rows = []
usual = {"amp": False, "channels_last": True}
steps = session.pick(quick=2, full=20)
for option in usual:
    ways = [make_step(**{**usual, option: switch}) for switch in (False, True)]
    speeds, losses = take_turns(ways, pairs=6, steps=steps)
    ratios = speeds[1] / speeds[0]
    verdict = (
        "faster" if ratios.min() > 1 else "slower" if ratios.max() < 1 else "unclear"
    )
    without, with_ = np.median(speeds, axis=1)
    gaps = np.abs(losses[1] - losses[0]) / losses[0]
    ratio = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
    differ = f"{gaps[0]:.1e}", f"{gaps[-1]:.1e}"
    rows.append(
        [f"`{option}`", f"{without:.0f}", f"{with_:.0f}", ratio, verdict, *differ]
    )
show_table([*heads, "first losses differ by", "last by"], rows)

# %% [markdown]
# The verdict is "faster" or "slower" where all pairs agree. A ratio is true of *this*
# machine and this network. The row `amp` has `channels_last` on both sides; the row
# `channels_last` is in 32 bits. Where `amp="auto"` means 32 bits, the first row shows
# what 16 bits would have cost or gained.

# %% [markdown]
# The last two columns are the price, as parts of the loss. The first losses come
# from equal weights: their difference is rounding, and no more. After that each step
# starts from slightly different weights, so the two drift apart, as two machines would
# in 32 bits. Whether the accuracy suffers in the end is a question for several seeds;
# it is *not measured* here. Micikevicius et al. found the accuracies of their 32-bit
# runs again.

# %% [markdown]
# So the options are offers, not promises: what speeds up one machine may slow another,
# and a measurement on yours decides.

# %% [markdown]
# ## 10 · Checkpoints
#
# Two files are in the run's folder. `best.pt` holds the weights of the best epoch, to
# *use*. `last.pt` holds all that is needed to *go on*: weights, the optimiser's
# velocities, the schedule, the loss scaler, the history, and the state of every random
# generator (a list: one entry a process, see section 12). Both say which network they
# belong to, which data it saw, and which versions wrote them.

# %%
from course_utils.training.checkpoint import load_checkpoint, load_model

for name in ("best.pt", "last.pt"):
    size_mib = (run_dir / name).stat().st_size / 2**20
    print(f"{name}  {size_mib:.2f} MiB:", ", ".join(load_checkpoint(run_dir / name)))

best = load_model(run_dir / "best.pt").to(session.device)
again = package.evaluate(best, loaders.val).accuracy
print(
    f"best.pt, loaded: {again:.4f}; the history's best: {max(history.val_accuracy):.4f}"
)

# %% [markdown]
# ### A state dict against a pickled model
#
# A **state dict** is names and tensors, nothing else. `best.pt` is a dict that holds
# one, under `model`, beside a description of the network. `torch.save(model)` pickles
# the *object* instead. That looks easier, and has two faults. The file only names the
# class and where it was defined: rename or move that module, and the file is dead. And
# unpickling *runs* whatever the file says. See both.

# %%
import io

whole = io.BytesIO()
torch.save(model, whole)
module = model.__module__
print(f"names {module!r}, to import it: {module.encode() in whole.getvalue()}")
try:
    torch.load(io.BytesIO(whole.getvalue()), weights_only=True)
except Exception as error:
    print(f"refused: {type(error).__name__}: {str(error).split('.')[0]}")


class NotWeights:
    """Pickles as a call of `print`; it could be a call of anything."""

    def __reduce__(self):
        return print, ("a line of the file was executed",)


trap = io.BytesIO()
torch.save(NotWeights(), trap)
torch.load(io.BytesIO(trap.getvalue()), weights_only=False)

# %% [markdown]
# `weights_only=True`, PyTorch's default since 2.6, accepts little more than tensors,
# numbers, strings, and lists and dicts of them. With `weights_only=False` the trap's
# line was executed on loading. So: save state dicts, and never load a file of unknown
# origin with `weights_only=False`.
#
# ## 11 · Going on after an interruption
#
# A night's run dies at epoch 120: a power cut, a full queue, a closed lid. To go on
# *exactly*, weights alone are not enough. Without the velocities the first steps
# differ; without the random states, the order of the images and their crops.
#
# The test: one run straight through, and one that is interrupted in the middle of its
# second epoch and resumed. Predict: equal to how many digits?


# %%
import tempfile

from course_utils.training.checkpoint import CheckpointError


class PressStop:
    """A cross-entropy that interrupts the kernel at its n-th call."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self, logits, labels):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return F.cross_entropy(logits, labels)


def small_run(folder, criterion=None, resume=False, seed=0):
    """Return model and history of three epochs on 1 000 images."""
    torch.manual_seed(0)
    network = cifar_resnet(8).to(session.device)
    few = small.loaders(batch_size=100, seed=seed)
    sgd = torch.optim.SGD(network.parameters(), 0.05, MOMENTUM, weight_decay=5e-4)
    cycle = OneCycleLR(sgd, 0.05, total_steps=3 * len(few.train))
    options = {"num_epochs": 3, "optimizer": sgd, "scheduler": cycle}
    options |= {"save_path": folder, "resume": resume, "progress": False}
    return network, train(network, few.train, few.val, criterion=criterion, **options)


# %%
with tempfile.TemporaryDirectory() as folder:
    straight, straight_history = small_run(f"{folder}/straight")
    # ten training batches and five of validation make an epoch: call 20 is in the next
    _, broken = small_run(f"{folder}/interrupted", criterion=PressStop(20))
    resumed, resumed_history = small_run(f"{folder}/interrupted", resume=True)
    try:
        small_run(f"{folder}/interrupted", resume=True, seed=1)
    except CheckpointError as error:
        refusal = str(error).replace(folder, "…")

pairs = zip(straight.parameters(), resumed.parameters(), strict=True)
gap = max((a - b).abs().max().item() for a, b in pairs)
same = {
    name: getattr(straight_history, name) == getattr(resumed_history, name)
    for name in ("train_loss", "val_loss", "val_accuracy", "lr")
}
print(f"epochs finished: {len(broken)}, then {len(resumed_history)}")
print(f"largest difference between the weights: {gap:g}")
print("same history:", same)
print("with another seed:", refusal)

# %% [markdown]
# The broken epoch was thrown away and repeated from its beginning. A difference of 0
# means equal in every bit, as a CPU gives it; on a GPU some sums are added in varying
# order, and the last digits may differ.
#
# Saving is safe as well: the new file is written beside the old one and takes its name
# only when it is whole. So even a process killed without warning (`kill -9`) leaves
# the `last.pt` of its last finished epoch behind.

# %% [markdown]
# The last line is a refusal. Other data, another seed, another network or a schedule
# planned for another length would make a *different* run under the old name. More
# epochs may be asked for where the schedule has no length in it: milestones or a
# plateau, but not one cycle.

# %% [markdown]
# ## 12 · Several GPUs
#
# Two GPUs could take half of each batch. `DistributedDataParallel` (DDP) runs one
# process for each GPU. Every process holds the whole network, computes the gradient of
# its own share of the batch, and then all of them *average* their gradients. So all
# take the same step, and the networks stay equal. For two equal shares of $n$ images:
#
# $$\frac{1}{2}\left(\frac{1}{n}\sum_{i \in A} \nabla L_i
# + \frac{1}{n}\sum_{i \in B} \nabla L_i\right)
# = \frac{1}{2n}\sum_{i \in A \cup B} \nabla L_i$$
#
# That is the gradient of the whole batch. Try it on one machine, by hand. Predict
# three answers: with BatchNorm in `eval()`; with shares of unequal size; with
# BatchNorm in `train()`.


# %%
def gradient_of(network, images, labels):
    """Return the gradient of a batch's mean loss, as one long vector."""
    network.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters()])


images, labels = (part.to(session.device) for part in batch)  # the 64 of section 9
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
# Equal shares: equal up to rounding. Unequal shares: each share's mean counts half,
# whatever its size, so an image of the small share counts for too much. The error is a
# quarter of the difference between the two shares' gradients, and in an untrained
# network those differ much: few images, other classes.
#
# In `train()` the formula fails for another reason. BatchNorm takes mean and spread
# from the images it sees, and each process sees its share alone: two shares are not one
# batch to it. With some tens of images in a share that is commonly left so; with a few,
# `nn.SyncBatchNorm.convert_sync_batchnorm(model)` takes the statistics over all
# processes, at the price of more talk between them.

# %% [markdown]
# More GPUs usually mean larger batches, so fewer steps. Goyal et al. (2017) make up for
# it with a learning rate raised by the same factor, after a warm-up: some epochs in
# which the rate climbs to its height, because the first weights do not bear it yet.

# %% [markdown]
# This notebook starts no second process. In a terminal, in the folder of the course:
#
# ```
# torchrun --nproc-per-node 2 tools/train_cifar10.py --depth 20
# ```
#
# `torchrun` starts two processes and tells each its number, the *rank*. The tool then
# shares every batch of 128 among them; its loop is the `train` of this lesson.
#
# And who takes which images? PyTorch's `DistributedSampler` gives each process its
# part. Suppose there are 19 images and two processes. Predict the two parts.

# %%
from torch.utils.data.distributed import DistributedSampler

from course_utils.training.distributed import EveryExampleOnce

dealt = []
for rank in range(2):
    sampler = DistributedSampler(range(19), num_replicas=2, rank=rank, shuffle=False)
    dealt += list(sampler)
    print(f"DistributedSampler, rank {rank}: {list(sampler)}")
twice = [index for index in range(19) if dealt.count(index) > 1]
print(f"{len(dealt)} dealt from 19; counted twice: {twice}")
for rank in range(2):
    print(f"each once,          rank {rank}: {list(range(rank, 19, 2))}")
alone = list(EveryExampleOnce(range(19)))
print("EveryExampleOnce, in this one process:", alone == list(range(19)))

# %% [markdown]
# Repeating is right for training: all processes must take equally many steps, since
# each waits for the others' gradients. For an accuracy it is wrong, because somebody
# counts twice. So `course_utils` trains with `DistributedSampler` and judges with
# `EveryExampleOnce`, which deals by `range(rank, size, processes)` just as the lines
# "each once" do (in this one process it deals everything), and adds up the counts of
# all processes before it divides.

# %% [markdown]
# ### The older way, and the `module.` prefix
#
# `nn.DataParallel` needs no `torchrun`: one process, one thread a GPU. It copies the
# network to every GPU at *every* step and gathers all outputs on the first, and the
# threads take turns at Python. PyTorch's own advice is DDP, even on one machine. How
# much slower it is was *not measured* here.

# %% [markdown]
# Both wrap the network in another one, where it is called `module`. A state dict saved
# from the wrapper does not fit the bare network, one of the commonest errors on the
# web. Without a GPU `nn.DataParallel` hands every call through, so the error can be
# seen here.

# %%
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

wrapped = nn.DataParallel(model)
state = wrapped.state_dict()
print("saved from the wrapper:", list(state)[:2])
bare = build_model()
try:
    bare.load_state_dict(state)
except RuntimeError as error:
    print("refused:", str(error).splitlines()[1].strip()[:76], "…")
consume_prefix_in_state_dict_if_present(state, "module.")
print("without the prefix:    ", list(state)[:2])
print(bare.load_state_dict(state))

# %% [markdown]
# Better still, save `wrapped.module.state_dict()` in the first place, as `train` does.

# %% [markdown]
# ## 13 · Why not watch the test set?
#
# Many tutorials evaluate on the test set after every epoch and report the best. Each
# look is honest; taking the best of many is not, because the best is partly luck.
#
# To see it without touching the test set: twelve checkpoints, a few small steps
# apart, judged on validation images that are split at random into two halves. One
# half chooses; the other, which had no say, tells the truth.

# %%
from itertools import islice

judges = replace(splits, val=LabelledImages(*(part[:2000] for part in splits.val)))
judge_loader = judges.loaders(batch_size=500).val


@torch.no_grad()
def is_correct(network: nn.Module) -> np.ndarray:
    """Return, for each of the validation images, whether it is classified right."""
    network.eval()
    batches = [
        network(images.to(session.device)).argmax(1).cpu() == labels
        for images, labels in judge_loader
    ]
    return torch.cat(batches).numpy()


sgd = torch.optim.SGD(best.parameters(), 0.003, MOMENTUM)
batches, candidates = iter(loaders.train), []
for _ in range(12):
    best.train()
    for images, labels in islice(batches, 5):  # five more steps, then another look
        sgd.zero_grad()
        logits = best(images.to(session.device))
        F.cross_entropy(logits, labels.to(session.device)).backward()
        sgd.step()
    candidates.append(is_correct(best))
candidates = np.stack(candidates)  # (12, images), True where right
print("accuracies:", [f"{a:.1%}" for a in candidates.mean(axis=1)])

# %% [markdown]
# Beside them, a simulation: twelve checkpoints of exactly the *same* true accuracy,
# whose scores on the choosing half differ by chance alone.

# %%
# Figure: by how many points the chosen checkpoint looks too good, against the number of
# checkpoints to choose from. Two lines: these checkpoints, and the simulation with
# independent luck.
rng = np.random.default_rng(session.seed)
num_candidates, num_images = candidates.shape
half = num_images // 2
flattery = np.zeros(num_candidates)
for _ in range(1000):
    shuffled = candidates[rng.permutation(num_candidates)]
    images = rng.permutation(num_images)
    chooser = shuffled[:, images[:half]].mean(axis=1)
    truth = shuffled[:, images[half:]].mean(axis=1)
    for k in range(num_candidates):
        winner = chooser[: k + 1].argmax()
        flattery[k] += (chooser[winner] - truth[winner]) / 1000

level = candidates.mean()
luck = rng.binomial(half, level, size=(20_000, num_candidates)) / half - level
simulated = np.maximum.accumulate(luck, axis=1).mean(axis=0)
looks = range(1, num_candidates + 1)
fig, axis = plt.subplots(figsize=(6, 3))
axis.plot(looks, 100 * flattery, "o-", label="these checkpoints, 1000 halvings")
axis.plot(looks, 100 * simulated, "s--", label="simulation, independent luck")
axis.set(xlabel="checkpoints to choose from", ylabel="too good by (points)")
axis.legend()
plt.show()
print(f"best of {num_candidates} on {half} images: {100 * flattery[-1]:+.2f} points")
print(f"simulation:             {100 * simulated[-1]:+.2f} points")
num_test = len(splits.test.labels)
watched = rng.binomial(num_test, level, size=(2000, 200)).max(axis=1).mean() / num_test
print(
    f"best of 200 on all {num_test} test images: {100 * (watched - level):+.2f} points"
)

# %% [markdown]
# Your third guess. The figure shows how much too good the chosen checkpoint looks to
# the half that chose it. With one checkpoint there is no choice and no flattery; with
# each further one, luck has another try. Neighbouring checkpoints err on many of the
# same images, so they have less luck of their own than the simulation gives them: it
# is the worse case. The last line simulates a test set watched for 200 epochs. The
# effect shrinks with the square root of the number of images.
#
# The remedy costs nothing: choose on validation images, and look at the test once.
# The best *validation* accuracy above is flattered too, by the same luck.

# %% [markdown]
# ## 14 · Results: the test, once

# %%
from course_utils.results import (
    hardware_name,
    load_results,
    mean_and_range,
    results_table,
    save_result,
)

test_loss, test_accuracy = package.evaluate(model, loaders.test)
noise = 1.96 * np.sqrt(test_accuracy * (1 - test_accuracy) / num_test)
result = {
    "lesson": "03_cifar10_training",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "recipe": recipe
    | {"model": model.architecture, "scheduler": type(scheduler).__name__},
    "seed": session.seed,
    "minutes": round(sum(history.seconds) / 60, 2),
    "val_accuracy": max(history.val_accuracy),
    "test_accuracy": test_accuracy,
    "history": vars(history),
}
save_result(run_dir / "result.json", result, session.device)
print(f"test accuracy {test_accuracy:.1%} ± {noise:.1%} on {num_test} images")
print(f"seed {session.seed}, {hardware_name(session.device)}")
session.report(f"test accuracy {test_accuracy:.1%}", data=splits.describe())

# %%
best_val, num_val = max(history.val_accuracy), len(splits.val.labels)
parts = ((best_val, num_val), (test_accuracy, num_test))
error = np.sqrt(sum(a * (1 - a) / n for a, n in parts))
ratio = (best_val - test_accuracy) / error if error else 0.0
verdict = "more than" if abs(ratio) > 1.96 else "no more than"
display(
    Markdown(
        f"Validation {best_val:.1%} on {num_val} images, test {test_accuracy:.1%} on "
        f"{num_test}: {100 * (best_val - test_accuracy):+.1f} points, "
        f"{ratio:+.1f} standard errors. That is **{verdict}** the luck of two "
        "independent draws of images explains in 95 of 100 cases."
    )
)

# %% [markdown]
# Your first guess. The **standard error** $\sqrt{p(1-p)/n}$ is how far the accuracy on
# $n$ images typically lies from what countless images would give. The ± is 1.96 of
# them: in about 95 of 100 draws of so many test images, chance alone moves the number
# by less. Near 100 % that is no longer true; lesson 04, section 4, has a better
# interval. The errors of two separate sets add as squares.

# %% [markdown]
# What can be behind a gap between validation and test? Validation was used to choose,
# so it is flattered (section 13). The rest is the luck of which images fell into which
# set; another seed meets the same images, so it does not change that luck. A gap of two
# or three standard errors is rare, not impossible. Believe the test.

# %% [markdown]
# One seed is one draw. The table holds what the project has measured, and says so
# where it has not; the last row is yours. Minutes are those of training alone. Where
# there are several seeds, the accuracy is their mean, and their range in brackets.

# %%
expected = [
    {"profile": "quick", "data": "CIFAR-10, photos", "hardware": "two CPU cores"},
    {"profile": "quick", "data": "CIFAR-10, sketches", "hardware": "two CPU cores"},
    {"profile": "full", "data": "CIFAR-10, photos", "hardware": "one GPU"},
]
mine = load_results("result", run_dir)
show_table(*results_table(load_results("03_cifar10_training"), expected, mine))

# %% [markdown]
# **What this does not show.** One network on one data set says nothing about *other*
# networks: a comparison needs several seeds of each, on the same budget. The interval
# covers the luck of the test images, not the luck of the seed. A short run may rank
# recipes differently from a long one: what wins in twelve epochs may lose in 200. And
# the accuracy on these images is no promise for photos from your telephone.

# %% [markdown]
# ## 15 · Weights that ship
#
# Some questions need a trained network, not a night of training. Four small ones for
# these classes come with the course: ResNet-20 and its twin without shortcuts, for
# photos (`"cifar10"`, `"cifar10-plain"`) and for sketches (`"sketches"`,
# `"sketches-plain"`). Beside each file lies a card that says what it was trained on,
# how, and what it is not for.
#
# A number on a card is a claim. Test the two that fit your data, on the test images.
# That breaks no rule of section 13: nothing is chosen by it.

# %%
from course_utils.pretrained import PRETRAINED, load_pretrained

data_here = "CIFAR-10 photos" if splits.is_photos else "CIFAR-10 sketches"
on_cifar = {n: what for n, what in PRETRAINED.items() if "CIFAR-10" in what[1]}
shipped = {}
for name, (family, data) in on_cifar.items():
    if data == data_here:
        network = load_pretrained(name).to(session.device)
        shipped[name] = package.evaluate(network, loaders.test).accuracy
        print(f"{name} ({family}): test accuracy {shipped[name]:.2%}")
with_shortcuts, without_shortcuts = shipped.values()
spread = 1.96 * np.sqrt(sum(a * (1 - a) for a in shipped.values()) / num_test)
print(
    f"With shortcuts {100 * (with_shortcuts - without_shortcuts):+.1f} points; "
    f"the luck of {num_test} images is worth about ±{100 * spread:.1f}."
)

# %%
cards = {run["shipped_as"]: run for run in load_results("pretrained")}
heads = ["name", "network", "trained on", "epochs, seed", "minutes, hardware"]
rows = []
for name, (family, data) in on_cifar.items():
    card = cards[name]
    recipe_ = f"{card['epochs']}, {card['seed']}"
    effort = f"{card['minutes']:.0f}, {card['hardware']}"
    here = f"{shipped[name]:.2%}" if name in shipped else "other data"
    claim = f"{card['test_accuracy']:.2%}"
    rows.append([f"`{name}`", family, data, recipe_, effort, claim, here])
show_table([*heads, "test accuracy in `results/`", "here"], rows)
gaps = [abs(shipped[name] - cards[name]["test_accuracy"]) for name in shipped]
print(f"largest gap between the last two columns: {100 * max(gaps):.2f} points")

# %% [markdown]
# A claim that can be checked in a minute is worth more than one that cannot. The
# weights are stored in half precision, which halves the file, and computed with in 32
# bits. The ± treats the two networks as if each had test images of its own. They share
# them, and often fail on the same ones; a test of pairs (McNemar's), which counts only
# the images on which they disagree, would be sharper. One seed of each network is one
# draw of each: it shows two networks, not what shortcuts do.

# %% [markdown]
# ## 16 · Degradation, measured
#
# For that question, take several depths, and several seeds of each. [Lesson
# 01](01_residual_blocks.ipynb) told the finding of He et al. (2015, Fig. 6): of plain
# networks with 20 and 56 layers, the deeper one has the higher *training* error. That
# is no overfitting, and no lack of capacity: the deeper one could copy the shallower
# and pass the rest through. It is **degradation**: the deep network is too hard to
# train. With shortcuts, 56 layers beat 20.
#
# Such runs take too long for a notebook. The ones below were measured by the project
# (`tools/train_cifar10.py`) and are read from `results/`. Recall your fourth guess.

# %%
groups = {}  # data: network: depth: runs
for run in load_results("degradation"):
    families = groups.setdefault(run["data"], {})
    families.setdefault(run["network"], {}).setdefault(run["depth"], []).append(run)


def last_losses(runs: list[dict]) -> np.ndarray:
    """Return the training loss of the last epoch, one number a seed."""
    return np.array([run["history"]["train_loss"][-1] for run in runs])


heads = ["data", "network", "layers", "seeds", "last training loss (range)"]
rows = []
for data, families in groups.items():
    for family, depths in sorted(families.items()):
        for depth, runs in sorted(depths.items()):
            losses = last_losses(runs)
            accuracy_ = np.mean([run["val_accuracy"] for run in runs])
            minutes = np.mean([run["minutes"] for run in runs])
            effort = f"{minutes:.1f}, {runs[0]['hardware']}"
            loss = mean_and_range(losses, ".3f")
            rows.append(
                [data, family, depth, len(runs), loss, f"{accuracy_:.1%}", effort]
            )
show_table([*heads, "validation accuracy", "minutes a run, hardware"], rows)


# %%
# Figure: training loss against epoch, for each data set two panels with one scale:
# plain and residual networks. One dashed line for each depth, in the same colour in
# both panels, the mean over the seeds in a band from the lowest to the highest.
from itertools import pairwise


def trend(shallow: np.ndarray, deep: np.ndarray) -> str:
    """Return whether the deep networks' losses are all higher, or all lower."""
    if min(len(shallow), len(deep)) == 1:
        return "one seed: suggestive, no more"
    if deep.min() > shallow.max():
        return "higher in every run"
    if deep.max() < shallow.min():
        return "lower in every run"
    return "undecided"


palette = plt.rcParams["axes.prop_cycle"].by_key()["color"]
for data, families in groups.items():
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, sharey=True)
    every = sorted({depth for depths in families.values() for depth in depths})
    lines = f"Last training loss, {data}:\n"
    for axis, (family, depths) in zip(axes, sorted(families.items()), strict=False):
        losses = {
            d: [run["history"]["train_loss"] for run in depths[d]] for d in depths
        }
        curves = {f"{depth} layers": losses[depth] for depth in sorted(depths)}
        colors = [palette[every.index(depth)] for depth in sorted(depths)]
        with plt.rc_context({"axes.prop_cycle": plt.cycler(color=colors)}):
            plot_seeds(curves, axis, linestyle="--")  # one colour a depth
        axis.set(title=f"{family}, {data}", xlabel="epoch")
        for few, many in pairwise(sorted(depths)):
            pair = last_losses(depths[few]), last_losses(depths[many])
            lines += f"\n- {family}, {few} → {many} layers: "
            lines += f"{pair[1].mean() - pair[0].mean():+.3f}, {trend(*pair)}"
    axes[0].set_ylabel("training loss (cross-entropy)")
    plt.show()
    display(Markdown(lines))

# %% [markdown]
# The figure shows the training loss of each epoch, one colour a depth in both panels:
# the mean over the seeds, and where n is more than 1 a band from the lowest to the
# highest. In the plain panel, does the deepest network lie above a shallower one? And
# in the residual panel? The lines under it count: "higher in every run" means that each
# run of the deeper network ended above each of the shallower one. A single seed on
# either side gives a difference, but cannot say how much of it is luck.

# %%
WORDS = {"higher in every run": "degraded", "lower in every run": "not degraded"}
WAYS = {"plain": "without shortcuts", "residual": "with shortcuts"}
for data, families in groups.items():
    answers = []
    for family, depths in sorted(families.items()):
        if len(depths) > 1:
            few, many = sorted(depths)[-2:]
            pair = last_losses(depths[few]), last_losses(depths[many])
            gap = pair[1].mean() - pair[0].mean()
            answers.append(
                f"{WAYS[family]}, {few if gap > 0 else many} layers ended lower, by "
                f"{abs(gap):.3f} ({few} → {many}: "
                f"**{WORDS.get(trend(*pair), trend(*pair))}**)"
            )
    run = next(iter(depths.values()))[0]
    steps = run["epochs"] * -(-run["train_size"] // run["batch_size"])
    line = f"Your fourth guess, {data}: {'; '.join(answers) or 'undecided'}."
    plain, residual = (families.get(name, {}) for name in ("plain", "residual"))
    if shared := plain.keys() & residual.keys():
        deep = max(shared)
        gap = last_losses(plain[deep]).mean() - last_losses(residual[deep]).mean()
        line += f" Plain minus residual, {deep} layers: {gap:+.3f}."
    display(Markdown(f"{line} A run took {steps} steps on {run['train_size']} images."))

# %% [markdown]
# "Degraded" means: with more layers, every run ended at a higher training loss; "not
# degraded", at a lower one.

# %% [markdown]
# **What this does not show.** He et al. trained for 64 000 iterations, on 50 000
# images. In a run as short as these, a deep network may be behind because it learns
# *later*, not because it never would; only the long run tells the two apart. The loss
# is also taken from augmented images while the weights change. And all depths share one
# learning rate, which may suit one of them better than another. What it can show is the
# paper's first observation: whether, at an equal number of steps, more layers fit the
# training images *worse*, and whether shortcuts change that.

# %% [markdown]
# ## Myths, tested
#
# ### "Softmax belongs at the end of the network, before the loss"
#
# `F.cross_entropy` already contains it. Done twice, the "logits" are probabilities
# between 0 and 1, and softmax of those can never be sure of anything. Take a network
# that is completely right and completely certain:

# %%
certain = torch.full((1, num_classes), -20.0)
certain[0, 3] = 20.0
ways = {"logits": lambda z: z, "softmax first": lambda z: z.softmax(1)}
for name, prepare in ways.items():
    z = certain.clone().requires_grad_()
    loss = F.cross_entropy(prepare(z), torch.tensor([3]))
    unsure = torch.zeros(1, num_classes, requires_grad=True)
    F.cross_entropy(prepare(unsure), torch.tensor([3])).backward()
    print(
        f"{name:14} loss when certain and right {loss:.3f}, "
        f"gradient when knowing nothing {unsure.grad.norm():.3f}"
    )

# %% [markdown]
# Refuted: with softmax first, the loss of a perfect answer stays far above zero and
# the first gradient is a fraction of what it should be. It still learns, slowly,
# which is why the mistake is hard to notice.
#
# ### "Validation accuracy above training accuracy is a bug"
#
# Your second guess. The training number in the log is taken from *augmented* images,
# while the weights were *still changing*. Judge the final weights on the training
# images as they are:

# %%
seen = replace(splits, val=LabelledImages(*(part[:5000] for part in splits.train)))
clean = package.evaluate(model, seen.loaders(batch_size=500).val).accuracy
logged, val = history.train_accuracy[best_epoch - 1], max(history.val_accuracy)
display(
    Markdown(
        f"Training accuracy as logged {logged:.1%}; the same weights on training "
        f"images as they are {clean:.1%}; validation {val:.1%}, test "
        f"{test_accuracy:.1%}. In the log, "
        f"{'validation' if val > logged else 'training'} is higher. Measured alike, "
        f"training is ahead by {100 * (clean - val):+.1f} points against validation, "
        f"by {100 * (clean - test_accuracy):+.1f} against test."
    )
)

# %% [markdown]
# The two numbers of a log line are measured in different ways, so their order proves
# nothing by itself. Measured alike, the gap between training images and images never
# used, neither for fitting nor for choosing, is called the generalisation gap: the
# test's is the honest one, validation was chosen on.

# %% [markdown]
# ## Summary
#
# 1. *Prepare images.* Three splits, three jobs. Mean and standard deviation over all
#    pixels of the training images, never averaged from single images. Crops and flips
#    in training alone.
# 2. *One epoch, and its faults.* Forward, loss, zero the gradients, backward, step.
#    Evaluate with `eval()` *and* `no_grad()`. Draw the schedule. Validation bad beside
#    good training: judge in another order, then look at the images.
# 3. *Faster.* 16 bits and memory order change the time and the last digits.
#    Processes average the gradients of equal shares; only BatchNorm notices.
# 4. *Save.* State dicts, written whole, with optimiser, schedule and random states.
#    Load `weights_only=True`.
# 5. *Report.* Choose on validation, test once; interval, seeds, hardware. Compare with
#    several seeds of each.

# %% [markdown]
# ## Exercises
#
# ### ★ The mean over a data set
#
# An epoch's batches had the mean losses `losses` and the sizes `sizes`. Return the
# mean loss over all *images*. Expected: `dataset_mean([1.0, 4.0], [3, 1])` is 1.75.


# %% tags=["exercise"]
def dataset_mean(losses: list[float], sizes: list[int]) -> float:
    """Return the mean loss over all images."""
    raise NotImplementedError


check.dataset_mean(dataset_mean)


# %% tags=["solution"]
def dataset_mean(losses: list[float], sizes: list[int]) -> float:
    """Return the mean loss over all images."""
    total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
    return total / sum(sizes)


check.dataset_mean(dataset_mean)

# %% [markdown]
# ### ★★ Warm up, then cosine
#
# Write the schedule that most papers use today, as the factor by which the learning
# rate is multiplied at step 0, 1, 2, …: it rises in equal steps during the warm-up
# and reaches 1 at step `warmup_steps`; then it falls along half a cosine and would be
# 0 at step `total_steps`. At step 0 it is 0. `LambdaLR` takes such a function.
#
# Expected: `warmup_cosine(55, 10, 100)` is 0.5, half-way down.


# %% tags=["exercise"]
def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the factor of the learning rate at `step`."""
    raise NotImplementedError


check.warmup_cosine(warmup_cosine)

# %% tags=["solution"]
import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the factor of the learning rate at `step`."""
    if step < warmup_steps:
        return step / warmup_steps
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return (1 + math.cos(math.pi * done)) / 2


check.warmup_cosine(warmup_cosine)

# %% [markdown]
# ### ★★ Who else is in the batch?
#
# Somebody hands you a network and asks whether `eval()` was forgotten anywhere in it.
# Return True if what it says of an image depends on the *other* images of the batch.
# Ask the outputs, not the flag `training`: a single layer may be in the wrong mode. And
# leave the network exactly as you found it.
#
# Expected: False for `cifar_resnet(8).eval()`, True for the same network in `train()`.


# %% tags=["exercise"]
def depends_on_company(network: nn.Module, images: torch.Tensor) -> bool:
    """Return whether the logits of `images` (B, 3, H, W) depend on their company."""
    raise NotImplementedError


check.depends_on_company(depends_on_company)


# %% tags=["solution"]
@torch.no_grad()
def depends_on_company(network: nn.Module, images: torch.Tensor) -> bool:
    """Return whether the logits of `images` (B, 3, H, W) depend on their company."""
    double = copy.deepcopy(network)  # its running means may move
    together = double(images)
    apart = torch.cat([double(half) for half in images.chunk(2)])
    return not torch.allclose(together, apart, atol=1e-4)


check.depends_on_company(depends_on_company)

# %% [markdown]
# ### ★★★ Label smoothing
#
# A label says "cat, and nothing else". Label smoothing asks for less certainty: the
# target is 1 − ε for the right class, plus ε shared equally among *all* K classes
# (the right one included). Return the mean cross-entropy against that target, from
# `log_softmax`, without `F.cross_entropy`. Expected: with ε = 0 it is the ordinary
# cross-entropy.


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
    log_probabilities = logits.log_softmax(1)
    right = log_probabilities.gather(1, labels[:, None]).squeeze(1)  # (B,)
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
# **3. Training looks healthy, validation is bad. You judge the same weights on the same
# validation images in another order, and the result changes. What is wrong?**
#
# <details><summary>The network overfits: it has learned the training images by
# heart.</summary>
#
# **No.** Then it would do badly in *any* order. In evaluation mode each image is judged
# by itself.
#
# </details>
# <details><summary>Validation images are not normalised as training images
# are.</summary>
#
# **No.** That spoils every image in the same way, and the order does not matter. It is
# the next thing to look at if the result stays.
#
# </details>
# <details><summary>The validation loader shuffles, and it should not.</summary>
#
# **No.** For a mean over all images the order is of no account, as long as each image
# is judged by itself. That is what fails here.
#
# </details>
# <details><summary>It is judged in training mode: <code>eval()</code> was
# forgotten.</summary>
#
# **Right.** BatchNorm then takes mean and spread from the batch, so an answer depends
# on the company. Images sorted by class show it most.
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
# vanish. Section 13 simulates it for a whole test set.
#
# </details>

# %% [markdown]
# ## References
#
# - A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
# - K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*,
#   2015, arXiv 1512.03385, section 4.2, Fig. 6 and Table 6.
# - S. Zagoruyko, N. Komodakis, *Wide Residual Networks*, 2016, arXiv 1605.07146.
# - L. Smith, N. Topin, *Super-Convergence*, 2017, arXiv 1708.07120 (one cycle).
# - P. Micikevicius et al., *Mixed Precision Training*, 2018, arXiv 1710.03740.
# - P. Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017,
#   arXiv 1706.02677.
# - C. Szegedy et al., *Rethinking the Inception Architecture*, 2015, arXiv
#   1512.00567, section 7 (label smoothing).

# %% [markdown]
# **Next.** One accuracy hides where a classifier fails, and how sure its number is:
# [04 · Per-class evaluation](04_per_class_evaluation.ipynb) looks there.
