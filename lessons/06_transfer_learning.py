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
# # 06 · Transfer learning
#
# **After this lesson you can**
#
# 1. split your own photos by class and seed, and turn a photo into a batch;
# 2. give a trained network a new head in two ways, and read what the loader reports;
# 3. compare training from scratch, a frozen network, and fine-tuning, in accuracy,
#    seconds and parameters;
# 4. freeze a network so that it stays frozen;
# 5. see in a published accuracy what it can be compared with.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (training, three splits),
# [Lesson 04](04_per_class_evaluation.ipynb) (intervals, McNemar).
#
# **Reading time** 70 minutes · **run time** quick CPU about 50 s (two quiet
# cores), full GPU not measured

# %% tags=["setup"]
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.data import DataLoader

from course_classroom.checks import lesson_06 as check
from course_utils import metrics, plotting
from course_utils.data.flowers import load_flowers
from course_utils.results import show_table
from course_utils.session import start

plotting.course_style()
plt.rcParams["figure.dpi"] = 90  # there are many figures: smaller files
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# You have a few dozen photos of each of five flowers, and a network trained to tell
# planes, cats and ships apart. Write down guesses:
#
# 1. Start from that network's weights, or from random ones, with the same photos and
#    epochs. How many points of accuracy lie between the two?
# 2. Freeze all weights of a network. Then let it see one epoch of training images.
#    Does its accuracy change?
# 3. In fine-tuning, which part of the network moves furthest: the first layers or the
#    last?
# 4. Somebody reports 38.5 % on a data set of flowers. What do you ask first?
#
# A start from ImageNet needs a download. Without it, the start is a small network.

# %% [markdown]
# ## 1 · Look at the data
#
# Five classes of flowers: photos, if you have them, else drawings by a program. The
# lines below say which. Larger photos are shrunk when they are read for the first time
# and kept, decoded, in a cache and in memory, if they fit; else each is read from its
# file when a batch needs it. Shapes are left as they are.

# %%
# Figure: two rows of training images, two of each of the five classes, titled with the
# class.
splits = load_flowers(session.data_dir, short_side=session.pick(quick=128, full=256))
classes, num_classes = splits.classes, len(splits.classes)
print(splits.describe(), "(training / validation / test)")
if not splits.is_photos:
    print("Sketches are no photos: a program draws them, each a little different.")
    print("Do not compare their accuracies with published ones.")
shown = splits.few_per_class(2, seed=1)
shown = shown[np.argsort(splits.labels[shown], kind="stable")]
pictures = [splits.photos[i].permute(1, 2, 0).numpy() for i in shown]
plotting.show_images(pictures, [classes[k] for k in splits.labels[shown]], columns=5)
plt.show()
sample = [splits.photos[i].shape[1:] for i in splits.split.train[:300]]
wide = sum(height != width for height, width in sample)
print(f"{wide} of {len(sample)} images looked at are not square; ", end="")
print(f"their shorter sides go from {min(map(min, sample))} to ", end="")
print(f"{max(map(min, sample))} pixels.")
if not wide:
    print("All are square, as photos seldom are: section 2 cuts strips to see more.")

# %% [markdown]
# The figure shows two training images of each class. What tells the classes apart:
# colour, shape, or what stands around the flower? (Labels of photos often come from a
# web search: some hardly show the flower.)
#
# ### An index, not a copy
#
# Many tutorials *copy* the photos into folders `train` and `val`. Then there are two
# copies of everything, and the next seed needs a third. A split need only say *which*
# photos belong where: an **index**. It should also be **stratified**, that is, take
# the same share of every class: here a tenth of each class, rounded down, to
# validate, and a tenth to test.


# %%
def split_by_class(labels, seed=0, test=True):
    """Return positions to train, validate and test: a tenth of each class each."""
    rng = np.random.default_rng(seed)
    parts = [[], [], []]
    for label, count in enumerate(np.bincount(labels)):
        members = rng.permutation(np.flatnonzero(labels == label))
        tenth = count // 10
        first = 2 * tenth if test else tenth  # where the training part begins
        parts[0].append(members[first:])
        parts[1].append(members[:tenth])
        parts[2].append(members[tenth:first])
    return [rng.permutation(np.concatenate(part)) for part in parts]


index = split_by_class(splits.labels, seed=session.seed)
again = split_by_class(splits.labels, seed=session.seed)
other = split_by_class(splits.labels, seed=session.seed + 1)
print("same seed, same split: ", all(map(np.array_equal, index, again)))
print("the package's split:   ", all(map(np.array_equal, index, splits.split)))
shared = np.intersect1d(index[1], other[1]).size
print(f"another seed:           {shared} of {len(index[1])} validation images shared")
size_kib = sum(part.nbytes for part in index) / 2**10
sample_kib = np.mean([3 * h * w for h, w in sample]) / 2**10
copy_kib = sample_kib * len(splits.labels)
print(f"the index: {size_kib:.0f} KiB; the images in memory: {copy_kib:.0f} KiB")

# %% [markdown]
# Tutorials split in *two*, and use the second part twice: to choose the best epoch
# and to report its accuracy. This course splits in three. The original archive of
# the flower photos has 633, 898, 641, 699 and 799 images of the five classes. No photo
# is needed to split it: labels suffice.

# %%
original = np.repeat(np.arange(5), [633, 898, 641, 699, 799])
two_way = split_by_class(original, test=False)
three_way = split_by_class(original)
print("two-way:  ", " / ".join(str(len(part)) for part in two_way[:2]))
print("three-way:", " / ".join(str(len(part)) for part in three_way))
same = set(two_way[1]) == set(three_way[1])
print("validation images of both:", "the same" if same else "different")

# %% [markdown]
# 3 306 / 364 is what tutorials with the whole archive print (your data may hold fewer).
# With it, our validation part has the size of theirs; our test part is taken
# out of the training part, and nothing is chosen by it.
#
# A label is a number, and a number means nothing without the order of the names. So
# the order is stored beside the network, as `class_indices.json`.

# %%
import json

from course_utils.data.photos import read_class_indices, write_class_indices

run_dir = session.run_dir("06_transfer_learning")
write_class_indices(run_dir / "class_indices.json", classes)
print((run_dir / "class_indices.json").read_text())
raw = json.loads((run_dir / "class_indices.json").read_text())
print("the key of the first class:", repr(next(iter(raw))))
print("read back:", tuple(read_class_indices(run_dir / "class_indices.json")))

# %% [markdown]
# JSON knows only text as keys: `raw[0]` is a `KeyError`, and `raw["0"]` the name.
# Lesson 07 meets this again.

# %% [markdown]
# ## 2 · From a photo to a batch
#
# A batch needs images of one size. For **training**, the size is reached at random: a
# rectangle of random place, area and shape is cut out and scaled to a square
# (`RandomResizedCrop`), and flipped half the time. For **evaluation** it must always
# be the same: the shorter side is scaled to 8/7 of the size wanted (256 for 224), and
# the middle cut out. Both end the same way: numbers from 0 to 1, minus the mean, over
# the standard deviation of each colour.

# %%
# Figure: two rows of views of one image, titled with their size: the image, resized,
# cropped, and seven random views for training.
from torchvision.transforms import v2


def training_steps(size):
    """Return the random part of a training transform."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.3, 1), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )


def evaluation_steps(size):
    """Return the part of an evaluation transform that changes the size."""
    return v2.Compose(
        [v2.Resize(round(size * 8 / 7), antialias=True), v2.CenterCrop(size)]
    )


torch.manual_seed(session.seed)
photo, size = splits.photos[shown[5]], 64
views = [photo, v2.Resize(round(size * 8 / 7))(photo), evaluation_steps(size)(photo)]
views += [training_steps(size)(photo) for _ in range(7)]
titles = [f"{tuple(view.shape[1:])}" for view in views]
titles[:3] = [f"photo\n{titles[0]}", f"resized\n{titles[1]}", f"cropped\n{titles[2]}"]
titles[3:] = ["training\n" + title for title in titles[3:]]
plotting.show_images([v.permute(1, 2, 0).numpy() for v in views], titles, columns=5)
plt.show()

# %% [markdown]
# The figure shows an image, the two steps of evaluation, and seven views that training
# might get of it. An augmentation promises that the label fits every view. Does it
# here? The crop takes at least 0.3 of the area; torchvision's own default is 0.08.
#
# What is left is to fetch photos by their index. That is all a data set has to do: say
# how many there are, and give one by its number.


# %%
from torch.utils.data import Dataset


class PhotoDataset(Dataset):
    """Photos of one split, each transformed when it is fetched."""

    def __init__(self, photos, labels, indices, transform):
        self.photos, self.labels = photos, labels
        self.indices, self.transform = indices, transform

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        position = int(self.indices[index])
        return self.transform(self.photos[position]), int(self.labels[position])


mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, for now
to_input = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
transform = v2.Compose([training_steps(size), *to_input])
dataset = PhotoDataset(splits.photos, splits.labels, splits.split.train, transform)
images, labels = next(iter(DataLoader(dataset, batch_size=32, shuffle=True)))
print(
    f"{len(dataset)} photos; a batch: {tuple(images.shape)}, {images.dtype}, ", end=""
)
print(f"from {images.min():.2f} to {images.max():.2f}")
print("its labels:", labels.tolist())

# %% [markdown]
# torchvision's `ImageFolder` does the same for a folder on disk. Each time an image is
# fetched, its view is drawn anew: two epochs never show the same.
#
# **Squashed.** `Resize(64)` scales the shorter *side*. `Resize((64, 64))`, one pair of
# brackets more, makes every photo square by squashing it. Cut a strip from each
# photo, three wide and two high, and see both.


# %%
# Figure: three strips of three by two, each as it is, as its square centre crop, and
# squashed into a square.
def widened(photo):
    """Return the middle of a photo, cut to a shape of three by two."""
    height, width = photo.shape[1:]
    return v2.functional.center_crop(photo, [min(height, width * 2 // 3), width])


cropped = evaluation_steps(size)
squashed = v2.Resize((size, size), antialias=True)
strips = [widened(splits.photos[i]) for i in shown[[1, 5, 8]]]
views = [f(s) for s in strips for f in (lambda s: s, cropped, squashed)]
titles = ["photo", "centre crop", "squashed"] * 3
plotting.show_images([v.permute(1, 2, 0).numpy() for v in views], titles, columns=9)
plt.show()

# %% [markdown]
# The centre crop keeps the shapes and loses both ends; the squashed photo keeps all of
# it and makes every flower narrow. Which costs more accuracy? Section 5 tries it with
# a trained network.
#
# ### Who prepares the batches?
#
# A `DataLoader` can prepare them in other processes, its **workers**, while the
# network computes. That pays where preparing takes long, or where the network runs
# elsewhere, on a GPU. It costs the workers' start, and cores. So measure.

# %%
import time

from course_utils.data.photos import suggested_workers
from course_utils.pretrained.backbones import load_backbone
from course_utils.training import train_one_epoch

small = load_backbone("cifar10" if splits.is_photos else "sketches")
trial = splits.loaders(
    32, image_size=32, mean=small.mean, std=small.std, per_class=20
).train
began = time.perf_counter()
count = sum(len(images) for images, _ in trial)
preparing_s = (time.perf_counter() - began) / count
model = copy.deepcopy(small.model).to(session.device)
began = time.perf_counter()
train_one_epoch(model, trial, torch.optim.SGD(model.parameters(), 0.01))
both_s = (time.perf_counter() - began) / count
print(f"preparing 1000 images: {1000 * preparing_s:.2f} s; ", end="")
print(f"preparing and training: {1000 * both_s:.2f} s")
print(f"Workers could save {preparing_s / both_s:.0%} of the time at most.")
for device in ("cpu", "cuda"):
    for where, in_memory in (("in memory", True), ("in files", False)):
        workers = suggested_workers(torch.device(device), in_memory=in_memory)
        print(f"network on {device:4}, photos {where:9}: workers {workers}")

# %% [markdown]
# With the network on the CPU, workers take the cores that the network computes on, and
# photos in memory are prepared fast: none. Photos in files must be decoded, and a GPU
# must be fed while the cores are idle: in both cases one worker for each core but one,
# at least one and at most four. On Windows and macOS a worker is a new Python that
# imports everything again, so at most two.

# %% [markdown]
# ## 3 · A trained network to start from
#
# The usual start is a ResNet trained on ImageNet, 1.28 million photos of 1 000
# classes. Its weights are a file to be downloaded. The quick profile starts from the
# small network that ships with this course, and so does the full one where the file
# cannot be had. (It is looked for in `imagenet/` of your data folder first: copied
# there, it needs no network.)

# %%
from course_utils.pretrained import DownloadError

name = session.pick(quick="cifar10", full="resnet34")
name = name if splits.is_photos else "sketches"
try:
    backbone = load_backbone(name, session.data_dir)
except DownloadError as error:
    print(error)
    name = "cifar10"
    backbone = load_backbone(name)
backbone.model.to(session.device)
print(f"start: {backbone.description}")
if name == "cifar10":
    print("It has seen ten classes of 32 × 32 pixels, and not one flower. What follows")
    print("says nothing about a start from ImageNet.")
elif name == "sketches":
    print("It has seen no photo, only drawings of planes, cats and eight others. What")
    print("follows says nothing about a start from ImageNet.")
print(f"mean {[round(m, 3) for m in backbone.mean]}, ", end="")
print(f"deviation {[round(s, 3) for s in backbone.std]}: its own, not the flowers'")

# %% [markdown]
# **Its normalisation comes with it.** The first layer was trained on images minus
# *that* mean over *that* deviation. New data do not change what it expects.
#
# ### Two ways to swap the head
#
# The body turns an image into features; the **head**, `fc`, turns the features into
# one logit for each class. The old head knows the wrong classes. One way: take the
# trained network and put a new layer in place of `fc`.

# %%
torch.manual_seed(session.seed)
first = copy.deepcopy(backbone.model)
print("old head:", first.fc)
first.fc = torch.nn.Linear(first.fc.in_features, num_classes).to(session.device)
print("new head:", first.fc)

# %% [markdown]
# The other way: build the network with the right number of classes at once, drop
# `fc.weight` and `fc.bias` from the trained weights, and load the rest.

# %%
from course_utils.training.checkpoint import build_model

weights = backbone.model.state_dict()
second = build_model(backbone.model.architecture | {"num_classes": num_classes})
second.to(session.device)
try:
    second.load_state_dict(weights, strict=False)
except RuntimeError as error:
    print("with the old head:", str(error).splitlines()[1].strip())
body = {name: w for name, w in weights.items() if not name.startswith("fc.")}
report = second.load_state_dict(body, strict=False)
print("missing:   ", report.missing_keys)
print("unexpected:", report.unexpected_keys)
renamed = {f"module.{name}": w for name, w in body.items()}
report = copy.deepcopy(second).load_state_dict(renamed, strict=False)
print(f"with other names: {len(report.missing_keys)} missing, ", end="")
print(f"{len(report.unexpected_keys)} unexpected, no error")

# %% [markdown]
# `strict=False` does two things people do not expect. It still raises an error where a
# name is there but a *shape* does not fit. And it says nothing where *no* name fits:
# the last line is what happens to weights saved from a network wrapped in
# `DataParallel`. Nothing is loaded, and training would go on from random weights.
# (Fewer are missing than unexpected: BatchNorm's counts of batches may be missing.) So
# read the report: missing should be `fc.weight` and `fc.bias`, unexpected nothing.
#
# Are the two networks the same body?

# %%
ours, theirs = first.state_dict(), second.state_dict()
same = [torch.equal(ours[key], theirs[key]) for key in body]
print(f"{sum(same)} of {len(body)} tensors of the body are equal")
batch = torch.randn(4, 3, 64, 64, device=session.device)
first.eval(), second.eval()
features = []
with torch.no_grad():
    for model in (first, second):
        head, model.fc = model.fc, torch.nn.Identity()  # look below the head
        features.append(model(batch))
        model.fc = head
equal = torch.equal(*features)
print(
    f"features {tuple(features[0].shape)} of a batch:", "equal" if equal else "differ"
)

# %% [markdown]
# ### What size?
#
# A network of convolutions takes any size, since global average pooling makes one
# number of each channel. It was trained on one, though. For each of three sizes,
# compute the features of some photos once, fit a linear classifier on them, and ask
# the validation images. That is a **linear probe**: the network stays as it is, and the
# classifier's accuracy says how much its features are worth.


# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.data.photos import evaluation_transform
from course_utils.explain import penultimate_features


def features_at(size, indices):
    """Return features (N, C) of some photos at a size, by the network we start from."""
    still = evaluation_transform(size, backbone.mean, backbone.std)
    data = PhotoDataset(splits.photos, splits.labels, indices, still)
    return penultimate_features(backbone.model, DataLoader(data, 100))[0].numpy()


def probe(features, labels):
    """Return a linear classifier, fitted on features."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return fitted.fit(features, labels)


thirty = splits.few_per_class(30, seed=session.seed)
val_labels = splits.labels[splits.split.val]
for share in (2 / 3, 1, 4 / 3):
    size = round(backbone.image_size * share)
    linear = probe(features_at(size, thirty), splits.labels[thirty])
    score = linear.score(features_at(size, splits.split.val), val_labels)
    low, high = metrics.wilson_interval(score * len(val_labels), len(val_labels))
    print(f"{size:3} pixels: {score:.1%} right ({low:.0%} to {high:.0%}), ", end="")
    print(f"{share**2:.1f} times the work of {backbone.image_size} pixels")

# %% [markdown]
# An object should look about as large in pixels as those the network was trained on,
# and a larger image costs time by the square. The course's small networks were trained
# at 32 pixels; for flowers the package, and the recorded study below, take 48, the
# middle size. The quick profile trains at the smallest: the intervals say whether the
# gap between the sizes is one to mind.

# %% [markdown]
# ## 4 · Four ways
#
# The same images, the same seed, and for the three that train a body the same number of
# epochs, each at the best of a few learning rates:
#
# - **from scratch**: all weights start at random;
# - **frozen**: the body stays as it is, only a new head learns;
# - **fine-tuned**: everything starts from the trained weights, and everything learns;
# - **by depth**: likewise, but early layers take smaller steps.
#
# ### Frozen: compute the features once
#
# If the body never changes, the features of a photo never change either. So show each
# photo to the body *once*. What is left to train is a linear layer on a small table: so
# cheap that it gets five times the epochs.

# %%
from torch.utils.data import TensorDataset

from course_utils.training import evaluate, train

per_class = session.pick(quick=40, full=None)  # training photos; None: all
num_epochs = session.pick(quick=7, full=15)
image_size = session.pick(quick=32, full=backbone.image_size)
view = {"image_size": image_size, "mean": backbone.mean, "std": backbone.std}
still = evaluation_transform(*view.values())


def batches(augment=None, batch_size=32):
    """Return the three loaders, always with the same photos in the same order."""
    options = {"seed": session.seed, "per_class": per_class, "device": session.device}
    return splits.loaders(batch_size, **view, **options, augment=augment)


began = time.perf_counter()
tables = [penultimate_features(backbone.model, part) for part in batches(still)[:2]]
features_s = time.perf_counter() - began
fit_table, val_table = (DataLoader(TensorDataset(*t), 32, shuffle=True) for t in tables)
torch.manual_seed(session.seed)
head = torch.nn.Linear(tables[0][0].shape[1], num_classes)
adam = torch.optim.Adam(head.parameters(), 0.01)
enough = 5 * num_epochs
history = train(
    head, fit_table, val_table, num_epochs=enough, optimizer=adam, progress=False
)
histories = {"frozen": history}
head_s = sum(histories["frozen"].seconds)
print(f"features {tuple(tables[0][0].shape)}: {features_s:.2f} s, once")
print(f"{enough} epochs of the head: {head_s:.2f} s")

# %% [markdown]
# The price: no augmentation, because each photo was seen in one view only. (Four views
# of each would be four tables.) Put the trained head on the body, and it is an
# ordinary network again.

# %%
frozen = copy.deepcopy(backbone.model)
frozen.fc = head.to(session.device)
networks = {"frozen": frozen}
on_table = histories["frozen"].val_accuracy
as_network = evaluate(frozen, batches().val).accuracy
print(f"best epoch on the table {max(on_table):.2%}, as a network {as_network:.2%}")

# %% [markdown]
# ### Smaller steps for early layers
#
# The idea of the fourth way: early layers are right already, late ones are not; so let
# each stage learn at half the rate of the one above it (Howard and Ruder, 2018, called
# it *discriminative fine-tuning*; they divided by 2.6). An optimiser takes this as
# **parameter groups**, each with its own rate.


# %%
def rates_by_depth(model, lr, factor=0.5):
    """Return parameter groups, each stage at `factor` times the rate above it."""
    stages = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    stages = [name for name in stages if hasattr(model, name)]
    groups = []
    for distance, name in enumerate(reversed(stages)):
        parameters = list(getattr(model, name).parameters())
        if name == "conv1":  # its BatchNorm belongs to it
            parameters += list(model.bn1.parameters())
        groups.append({"params": parameters, "lr": lr * factor**distance})
    return groups[::-1]


for group in rates_by_depth(second, 0.1):
    count = sum(p.numel() for p in group["params"])
    print(f"rate {group['lr']:.5f}: {count:8} parameters")
grouped = sum(p.numel() for g in rates_by_depth(second, 0.1) for p in g["params"])
print(
    "all parameters in a group:", grouped == sum(p.numel() for p in second.parameters())
)

# %% [markdown]
# Now the three ways that train a body. Their recipe is lesson 03's: SGD with momentum
# and a cycle of the learning rate. Its height is chosen on validation images, **for
# each way by itself**: a rate that suits trained weights may be too high for random
# ones, and the gap would then be one of rates.


# %%
from course_utils.pretrained.transfer import replace_head
from course_utils.training import sgd_one_cycle


def new_network(trained=True):
    """Return the network with a new head, its body trained or random."""
    torch.manual_seed(session.seed)
    start = copy.deepcopy(backbone.model)
    body = start if trained else build_model(start.architecture)
    return replace_head(body, num_classes).to(session.device)


def fit(model, loaders, lr, groups=None, save_path=None):
    """Return the history of one training; the model keeps its best epoch."""
    steps = num_epochs * len(loaders.train)
    optimizer, scheduler = sgd_one_cycle(groups or model, lr, steps)
    return train(
        model,
        loaders.train,
        loaders.val,
        num_epochs=num_epochs,
        optimizer=optimizer,
        scheduler=scheduler,
        save_path=save_path,
        progress=False,
    )


# %% tags=["long-run"]
import shutil

rates = {
    "scratch": session.pick(quick=(0.005, 0.02, 0.05), full=(0.005, 0.02, 0.05)),
    "by depth": session.pick(quick=(0.1, 0.2), full=(0.02, 0.05, 0.1)),
    "fine-tuned": session.pick(quick=(0.005, 0.05, 0.1), full=(0.005, 0.02, 0.05)),
}
trials, best_rate = {}, {}
for way in rates:
    for rate in rates[way]:
        network = new_network(trained=way != "scratch")
        groups = rates_by_depth(network, rate) if way == "by depth" else None
        folder = run_dir / f"rate-{rate:g}" if way == "fine-tuned" else None
        run = fit(network, batches(), rate, groups, save_path=folder)
        trials[way, rate] = network, run
        print(f"{way:10} rate {rate:5g}: {max(run.val_accuracy):.1%} right; ", end="")
        print(f"highest validation loss {max(run.val_loss):.2f}")
    best = max(rates[way], key=lambda rate: max(trials[way, rate][1].val_accuracy))
    best_rate[way] = best
    networks[way], histories[way] = trials[way, best]
    print(f"{way:10} → {best:g}")
lr = best_rate["fine-tuned"]
kept = shutil.copy(run_dir / f"rate-{lr:g}" / "best.pt", run_dir / "best.pt")
print("kept for lesson 07:", kept.name)

# %% [markdown]
# Guessing among five costs a loss of log 5 = 1.61. A loss that jumps far above it says
# that steps were too long for a while: the network was thrown about. It may recover,
# since the cycle ends in small steps. Does the jump set in at a lower rate for random
# weights than for trained ones? And a best rate at the end of its row asks for a wider
# search. The quick profile tries fewer rates for "by depth" than for the others: this
# way was searched less, and may be worth more than it shows.

# %% [markdown]
# Curves side by side, each way at its own rate: accuracy and loss on the validation
# images after each epoch. The frozen one needs no epochs of images: a line at its best.

# %%
# Figure: two panels against epoch: validation accuracy and validation loss, one line
# for each way; in the first, frozen is a dashed level and guessing a dotted one.
from matplotlib.ticker import MaxNLocator, PercentFormatter

order = ("scratch", "frozen", "fine-tuned", "by depth")
fig, axes = plt.subplots(1, 2, figsize=(9, 3))
for number, way in enumerate(order):
    run, color = histories[way], f"C{number}"
    if way == "frozen":
        axes[0].axhline(max(run.val_accuracy), color=color, ls="--", label=way)
        continue
    epochs = range(1, len(run) + 1)
    axes[0].plot(epochs, run.val_accuracy, color=color, label=way)
    axes[1].plot(epochs, run.val_loss, color=color, label=way)
axes[0].axhline(1 / num_classes, color="0.4", lw=1, ls=":", label="guessing")
axes[0].yaxis.set_major_formatter(PercentFormatter(1))
axes[0].set(xlabel="epoch", ylabel="validation accuracy")
axes[1].set(xlabel="epoch", ylabel="validation loss")
for axis in axes:
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
names = axes[0].get_legend_handles_labels()
axes[1].legend(*names, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
loaders = batches()
test_logits = {
    way: metrics.collect_logits(networks[way], loaders.test) for way in order
}
test_labels = test_logits["scratch"][1]
answers = {way: logits.argmax(1) for way, (logits, _) in test_logits.items()}
rows = []
for way in order:
    trained = head if way == "frozen" else networks[way]
    numbers = sum(p.numel() for p in trained.parameters())
    seconds = sum(histories[way].seconds) + (features_s if way == "frozen" else 0)
    right = (answers[way] == test_labels).sum().item()
    low, high = metrics.wilson_interval(right, len(test_labels))
    scores = max(histories[way].val_accuracy), right / len(test_labels)
    scores = [f"{score:.1%}" for score in scores]
    rows.append((way, numbers, f"{seconds:.1f}", *scores, f"{low:.1%} to {high:.1%}"))
heads = ("way", "parameters trained", "seconds", "validation", "test", "95 % interval")
show_table(heads, rows)

# %% [markdown]
# Is any way ahead of another? All were asked about the same images, so lesson 04's
# paired comparison answers, pair by pair: where the interval contains 0, luck can
# explain the lead. Six pairs are six chances of a lucky lead, so here each is held to a
# stricter bar: its interval is wider, its p six times larger. (It knows the luck of the
# test images, not that of the seed or of the images chosen to train.)

# %%
from itertools import combinations

pairs = list(combinations(order, 2))
for a, b in pairs:
    lead = metrics.compare(test_labels, answers[a], answers[b], comparisons=len(pairs))
    print(f"{a:10} minus {b:10}: {lead}")
gain = metrics.compare(test_labels, answers["fine-tuned"], answers["scratch"])
print("Your first guess, fine-tuned minus scratch:", gain)
if lr in rates["scratch"] and lr != best_rate["scratch"]:
    pair = (
        max(trials["scratch", k][1].val_accuracy) for k in (best_rate["scratch"], lr)
    )
    forced = 100 * float(np.subtract(*pair))
    print(f"At the fine-tuned network's rate, {lr:g}, scratch would have been ", end="")
    print(f"{forced:.1f} points lower on validation: a gap of rates, not of starts.")
else:
    print(f"Scratch chose {best_rate['scratch']:g}, fine-tuned {lr:g}.")

# %% [markdown]
# One training each, with few images: treat it as a first look. The **recorded study**
# takes 10, 30, 100 and all training images of a class, several seeds, each with its own
# choice of images, and larger budgets. Only what has been measured so far is shown; the
# figure's n counts the runs of each number.

# %%
from course_utils.results import load_results, pivot

WAYS = ("scratch", "frozen", "finetuned", "by-depth")
study = load_results("06_transfer-")
by_case = {}  # for each start and way: the runs by training images a class
for run in sorted(study, key=lambda run: run["train_size"]):
    kind = "photos" if run["data"].endswith("photos") else "sketches"
    run["start"] = f"{run['backbone']}, {kind}"
    run["start, way"] = f"{run['start']}, {run['way']}"
    run["a class"] = run["per_class"] or "all"
    cells = by_case.setdefault((run["start"], run["way"]), {})
    cells.setdefault(run["a class"], []).append(run)
starts = sorted({run["start"] for run in study})
for origin in ("resnet34, photos", "sketches, sketches"):
    if origin not in starts:
        print(f"a start from {origin}: not measured")
print(f"{len(study)} recorded runs; mean test accuracy (least to most),")
print("by the training images of a class")
study.sort(key=lambda run: (run["start"], WAYS.index(run["way"]), run["train_size"]))
show_table(*pivot(study, rows="start, way", columns="a class", value="test_accuracy"))

# %%
# Figure: test accuracy against training images a class (logarithmic); one line for each
# way, the mean of the seeds, in a band from least to most; one panel for each start.
if starts:
    fig, axes = plt.subplots(
        1, len(starts), figsize=(1.5 + 4.5 * len(starts), 3.2), squeeze=False
    )
for axis, origin in zip(axes[0] if starts else (), starts, strict=True):
    for number, way in enumerate(WAYS):
        points = by_case.get((origin, way), {}).values()
        x = [cell[0]["train_size"] / num_classes for cell in points]
        y = [[run["test_accuracy"] for run in cell] for cell in points]
        count = "/".join(str(len(cell)) for cell in points)
        means = [np.mean(cell) for cell in y]
        axis.semilogx(x, means, "o-", color=f"C{number}", label=f"{way} (n = {count})")
        ends = [min(cell) for cell in y], [max(cell) for cell in y]
        axis.fill_between(x, *ends, color=f"C{number}", alpha=0.2, lw=0)
    axis.set(title=f"start: {origin}", ylabel="test accuracy")
    axis.set_xticks(x, ["all" if n > 100 else f"{n:.0f}" for n in x])
    axis.minorticks_off()
    axis.set_xlabel("training images a class")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(fontsize="small")
plt.show()
if not starts:
    print("No run is recorded yet: no figure.")

# %% [markdown]
# Each line is a way, each dot the mean over the seeds, the band goes from the least to
# the most; n counts the seeds at each dot. (No figure: nothing is recorded.) All ways
# that train a body had **one** rate, so the gaps hold for that rate. How far apart are
# the lines at the left, and do they meet at the right end?

# %%
for origin in starts:
    for count in (10, 30, 100, "all"):
        here = {way: by_case.get((origin, way), {}).get(count) for way in WAYS}
        if not all(here.values()):
            continue
        means = {
            way: np.mean([run["test_accuracy"] for run in runs])
            for way, runs in here.items()
        }
        best = max(means, key=means.get)
        gap = 100 * (means["finetuned"] - means["scratch"])
        held = 100 * (means["frozen"] - means["scratch"])
        print(f"{origin}, {count} a class: best is {best}; ", end="")
        print(f"minus scratch: finetuned {gap:+.1f}, frozen {held:+.1f} points")
for way in WAYS:
    runs = [run for run in study if run["way"] == way]
    used = {key: sorted({run[key] for run in runs}) for key in ("lr", "image_size")}
    budgets = sorted({run["epochs"] for run in runs})
    print(f"{way}: rate {used['lr']}, pixels {used['image_size']}, epochs {budgets}")
for machine in sorted({run["hardware"] for run in study}):
    minutes = sum(run["minutes"] for run in study if run["hardware"] == machine)
    print(f"measured on: {machine}, {minutes:.0f} minutes in all")

# %% [markdown]
# Where *frozen* is behind scratch, think of a ceiling: a few dozen features, made for
# other classes, cannot bend, however many images come. Features from ImageNet are
# another matter; `make results-06` measures them. What others found: networks better on
# ImageNet mostly make better starts, though for some fine distinctions a start is worth
# little (Kornblith et al., 2019); with much data and time, scratch can catch up (He et
# al., 2018, on detection).
#
# ## 5 · Views that help, and views that do not
#
# Section 2 left two questions. First, squashed or cropped: training's random crops are
# squashed a little, too, from shapes up to four by three. Show the fine-tuned network
# validation strips, three by two, both ways.


# %%
def predict(model, change=None, transform=None):
    """Return the predicted class of each validation photo, changed before its view."""
    view_of = transform or still
    prepare = (lambda photo: view_of(change(photo))) if change else view_of
    data = PhotoDataset(splits.photos, splits.labels, splits.split.val, prepare)
    return metrics.collect_logits(model, DataLoader(data, 250))[0].argmax(1)


squash = v2.Compose(
    [v2.Resize((image_size, image_size), antialias=True), *still.transforms[2:]]
)
network = networks["fine-tuned"]
crop_answers = predict(network, widened)
squash_answers = predict(network, widened, squash)
for label, found in (("cropped", crop_answers), ("squashed", squash_answers)):
    print(f"{label:8}: {(found.numpy() == val_labels).mean():.1%}")
lead = metrics.compare(val_labels, crop_answers, squash_answers)
print("cropped minus squashed:", lead)

# %% [markdown]
# Whichever is ahead here, the rule is another: let evaluation show shapes that training
# has shown. A network trained on squashed photos may well prefer them. (From here on,
# accuracies may differ in the last digit from those of the curves: `train` computes in
# 16 bits where the processor can, the evaluation here in 32.)
#
# Second: is a **vertical flip** or a **rotation by up to 30°** a good augmentation?
# Train once more with both, and compare on three sets of validation photos: upright,
# upside down, and turned by 30°. Guess the six numbers' order first.

# %% tags=["long-run"]
# Figure: one image three times: upright, upside down, and turned by 30°.
from course_utils.data.photos import training_transform

turning = [v2.RandomRotation(30), v2.RandomVerticalFlip()]
turned_too = v2.Compose([*turning, *training_transform(*view.values()).transforms])
turner = new_network()
fit(turner, batches(turned_too), lr)
changes = {
    "upright": None,
    "upside down": v2.functional.vertical_flip,
    "turned by 30°": lambda photo: v2.functional.rotate(photo, 30),
}
pictures = [(c(photo) if c else photo).permute(1, 2, 0) for c in changes.values()]
plotting.show_images([p.numpy() for p in pictures], list(changes), columns=3)
plt.show()
rows = []
for name, change in changes.items():
    with_turns, without = predict(turner, change), predict(network, change)
    lead = metrics.compare(val_labels, with_turns, without)
    scores = [(found.numpy() == val_labels).mean() for found in (without, with_turns)]
    rows.append((name, *(f"{score:.1%}" for score in scores), lead))
show_table(("validation photos", "crop and flip", "and turned", "gain"), rows)

# %% [markdown]
# An augmentation says: such images will come, and their label is the same. Ask two
# questions: *may* the label change (a 6 upside down is a 9)? And *will* such images
# come? If not, one would expect the network to pay for images that nobody will show it;
# the first row says whether it paid here. (Turning leaves black corners, in training as
# in the last row: they are part of what was learned.)

# %% [markdown]
# ## 6 · A frozen network that moves
#
# Freezing means `requires_grad_(False)`: no gradient, no step. Take the network with
# the trained head, freeze *everything*, and let it see the training images once, in
# training mode. There is not even an optimiser.


# %%
def norms_of(model):
    """Return the BatchNorm layers by name."""
    layers = model.named_modules()
    return {n: m for n, m in layers if isinstance(m, torch.nn.BatchNorm2d)}


def drift(before, after):
    """Return how far running means moved, in old deviations; one number a layer."""
    pairs = zip(*(norms_of(model).values() for model in (before, after)), strict=True)
    return [
        ((b.running_mean - a.running_mean) / a.running_var.sqrt()).abs().mean().item()
        for a, b in pairs
    ]


def show_epoch(training):
    """Return a frozen copy after it has seen the training images once."""
    model = copy.deepcopy(frozen).requires_grad_(False).train(training)
    with torch.no_grad():
        for images, _ in batches(still).train:
            model(images.to(session.device))
    return model.eval()


before = evaluate(frozen, loaders.val).accuracy
after = {mode: show_epoch(mode) for mode in (True, False)}
moved = [
    not torch.equal(a, b)
    for a, b in zip(frozen.parameters(), after[True].parameters(), strict=True)
]
print(f"parameters that moved: {sum(moved)} of {len(moved)}")
print("mode     largest drift   validation")
for mode, model in after.items():
    now, most = evaluate(model, loaders.val).accuracy, max(drift(frozen, model))
    text = "train()" if mode else "eval()"
    print(f"{text:7} {most:14.3f}   {before:.1%} → {now:.1%}")
lead = metrics.compare(val_labels, predict(after[True]), predict(frozen))
print("Your second guess:", lead)

# %% [markdown]
# BatchNorm keeps a **running mean and variance** of what passes through. They are no
# parameters but *buffers*: no optimiser touches them, `requires_grad` means nothing to
# them, and `train()` alone lets them drift towards the new data. That may help or hurt:
# the new statistics fit the new images, but the head was trained on features made with
# the old ones. (One epoch is a few batches, each worth a tenth: the drift has only
# begun.) Where the interval contains 0, the drift is certain all the same; only its
# cost is not.

# %% [markdown]
# The remedy: keep a frozen body in `eval()`, even while the head trains, or compute the
# features once. A training loop calls `model.train()` at every epoch, so put the body
# back each time. One epoch of the head, without and with that:


# %%
from course_utils.pretrained.transfer import freeze_backbone


def drift_in_one_epoch(body_still):
    """Return the largest drift while only the head trains."""
    model = copy.deepcopy(frozen)
    optimizer = torch.optim.SGD(freeze_backbone(model), 0.01)  # the head's parameters
    model.train()
    if body_still:
        for part_name, part in model.named_children():
            part.train(part_name == "fc")  # all but the head: eval()
    for images, labels in batches().train:
        logits = model(images.to(session.device))
        loss = torch.nn.functional.cross_entropy(logits, labels.to(session.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return max(drift(frozen, model))


for body_still in (False, True):
    text = "then the body in eval()" if body_still else "nothing else"
    print(f"train(), {text:23}: largest drift {drift_in_one_epoch(body_still):.3f}")

# %% [markdown]
# The third exercise below makes a network that stays frozen in any training loop.
#
# ### What goes to the optimiser
#
# "Only parameters that require gradients go to the optimiser." Does it matter? Weight
# decay shrinks weights *without* asking the loss, and momentum keeps moving after the
# gradient has stopped. Take steps, freeze the first layer in the middle of the
# training, take five more, and measure how far it moved after it was frozen.


# %%
def moved_while_frozen(steps_before, set_to_none, filtered):
    """Return how far conv1 moved in five steps after it was frozen."""
    model, loss_of = new_network(), torch.nn.functional.cross_entropy
    torch.manual_seed(session.seed)
    images = torch.randn(8, 3, 32, 32, device=session.device)
    labels = torch.arange(8, device=session.device) % num_classes
    rates = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    optimizer = torch.optim.SGD(model.parameters(), **rates)
    for step in range(steps_before + 5):
        if step == steps_before:
            model.conv1.requires_grad_(False)
            start = model.conv1.weight.clone()
            if filtered:
                kept = [p for p in model.parameters() if p.requires_grad]
                optimizer = torch.optim.SGD(kept, **rates)
        optimizer.zero_grad(set_to_none=set_to_none)
        loss_of(model(images), labels).backward()
        optimizer.step()
    return ((model.conv1.weight - start).norm() / start.norm()).item()


for text, case in {
    "frozen before the first step": (0, True, False),
    "frozen after five steps, gradients None": (5, True, False),
    "frozen after five steps, gradients 0": (5, False, False),
    "the same, not in the optimiser": (5, False, True),
}.items():
    print(f"{text:40} moved by {moved_while_frozen(*case):.2%}")

# %% [markdown]
# The optimiser skips a parameter whose gradient is `None`: no decay, no momentum. Since
# version 2.0, PyTorch's `zero_grad` leaves it so by default. Where the
# gradient is a tensor of zeros, as after `zero_grad(set_to_none=False)`, decay and the
# stored momentum go on moving it. So the rule is worth keeping: it does not depend on
# such a detail, and no memory is kept for momentum that is never used.

# %% [markdown]
# ## 7 · Do early layers carry over, and late ones not?
#
# Yosinski et al. (2014) froze a trained network up to each layer in turn, trained the
# rest on another task, and found early layers general and late ones tied to their task.
# Here are three cheaper looks; they need not agree. First, the linear probe of section
# 3, for every stage: average its output over the pixels, and fit a linear classifier to
# it. The better it does, the more of what it needs the stage has laid out ready.
#
# Three cases: the course's small network on *its own* classes (images it was not
# trained on), on the flowers, and the same network with random weights on the flowers.

# %%
from course_utils.data.cifar10 import load_cifar10
from course_utils.explain import feature_maps, randomised

stages = ["relu", "layer1", "layer2", "layer3"]


def probe_stages(model, images, labels):
    """Return each stage's accuracy: a probe fitted on half, judged on the rest."""
    half, scores = len(labels) // 2, []
    maps = feature_maps(model, images, stages)
    for stage in stages:
        pooled = maps[stage].mean((2, 3)).cpu().numpy()
        linear = probe(pooled[:half], labels[:half])
        scores.append(linear.score(pooled[half:], labels[half:]))
    return scores


def first_batch(loader):
    """Return the images and labels of a loader's first batch."""
    images, labels = next(iter(loader))
    return images, labels.numpy()


number = session.pick(quick=500, full=1000)
chosen = np.random.default_rng(session.seed).permutation(splits.split.train)[:number]
still_small = evaluation_transform(32, small.mean, small.std)
flowers = PhotoDataset(splits.photos, splits.labels, chosen, still_small)
images, labels = first_batch(DataLoader(flowers, number))
probes = {
    "flowers, trained": probe_stages(small.model, images, labels),
    "flowers, random": probe_stages(randomised(small.model), images, labels),
}
own = load_cifar10(session.data_dir)
if own.is_photos == splits.is_photos:
    images, labels = first_batch(own.loaders(number).val)
    probes["its own classes"] = probe_stages(small.model, images, labels)

# %%
# Figure: accuracy of a linear probe after the stem and each stage; one line for each
# case, level lines for guessing among ten and among five.
fig, axis = plt.subplots(figsize=(6, 3))
for (label, scores), dash in zip(probes.items(), ("o-", "s--", "^-."), strict=False):
    axis.plot(["stem", *stages[1:]], scores, dash, label=label)
for chance, label in ((0.1, "guessing, ten classes"), (0.2, "guessing, five")):
    axis.axhline(
        chance, color="0.4", lw=1, ls=":" if chance == 0.1 else "--", label=label
    )
axis.yaxis.set_major_formatter(PercentFormatter(1))
axis.set(ylabel="accuracy of a linear probe", xlabel="features after")
axis.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
adds, judged = {}, number // 2
for label, scores in probes.items():
    adds[label] = 100 * (scores[-1] - scores[-2])
    print(f"{label:17}: " + "  ".join(f"{s:.1%}" for s in scores), end="")
    print(f"   the last stage adds {adds[label]:+.1f} points")
print(f"each accuracy: give or take {196 * (0.25 / judged) ** 0.5:.0f} points at most")

# %% [markdown]
# Later stages have more channels, which helps a probe; in a random network depth also
# loses what colours alone told. The random line shows both together. Compare the *last*
# steps: what the last stage adds for its own classes, against what it adds for flowers,
# is how far it is tied to its task.
#
# The second and third look: the fine-tuned network was free to move. How far did each
# stage go, relative to the length of its weights? And what is lost if one stage is put
# back to where it started?

# %%
began_at, ended_at = new_network(), networks["fine-tuned"]
parts = [n for n, _ in ended_at.named_children() if n.startswith("layer")]
distance, put_back = {}, {}
usual = predict(ended_at)
rows = []
for part in ["conv1", *parts]:
    old = list(began_at.get_submodule(part).parameters())
    new = list(ended_at.get_submodule(part).parameters())
    went = sum((a - b).square().sum() for a, b in zip(old, new, strict=True)) ** 0.5
    distance[part] = (went / sum(a.square().sum() for a in old) ** 0.5).item()
    undone = copy.deepcopy(ended_at)
    for name in (part, "bn1") if part == "conv1" else (part,):
        kept = began_at.get_submodule(name).state_dict()
        undone.get_submodule(name).load_state_dict(kept)
    put_back[part] = predict(undone)
    lost = metrics.compare(val_labels, usual, put_back[part])
    rows.append((part, sum(a.numel() for a in old), f"{distance[part]:.0%}", lost))
show_table(("stage", "parameters", "moved by", "lost if put back"), rows)
furthest = max(distance, key=distance.get)
print(f"Your third guess: {furthest} moved furthest, relative to its weights, ", end="")
print(f"{max(distance.values()) / min(distance.values()):.1f} times the least.")

# %% [markdown]
# Add up the evidence, last stage against first. A look counts where the gap is more
# than luck; between distances, where it is more than a quarter.

# %%
looks, last = {}, parts[-1]
ratio = distance[last] / distance["conv1"]
looks["the last stage moved further"] = (ratio > 1.25) - (ratio < 0.8)
costs = metrics.compare(val_labels, put_back["conv1"], put_back[last])
beyond_luck = costs.p_value < 0.05
looks["putting it back costs more"] = int(np.sign(costs.lead)) if beyond_luck else 0
if "its own classes" in probes:
    more = adds["its own classes"] - adds["flowers, trained"]
    error = sum(s * (1 - s) for k in adds if "random" not in k for s in probes[k][-2:])
    looks["it serves its own classes more"] = int(
        np.sign(more) if abs(more) > 196 * (error / judged) ** 0.5 else 0
    )
said = {
    1: "yes, as Yosinski's finding suggests",
    0: "not to be told here",
    -1: "the other way round",
}
for look, found in looks.items():
    print(f"{look:31}: {said[found]}")
agree = sum(found > 0 for found in looks.values())
against = sum(found < 0 for found in looks.values())
if agree and against:
    sense = "the evidence here is mixed"
elif agree or against:
    sense = "it leans " + ("Yosinski's way" if agree else "the other way")
else:
    sense = "no answer here"
print(f"{agree} of {len(looks)} looks agree with it, {against} contradict: {sense}.")

# %% [markdown]
# One training of a small network cannot settle it. "Moved by" depends on the rate, and
# a stage put back stands among neighbours that have moved, so its loss also counts how
# well they still fit together. Yosinski's experiment, repeated many times, decides.
#
# ### The tutorials' recipe
#
# Tutorials with photos of these five classes use **Adam at 0.0001, batches of 16**, 3
# epochs from ImageNet weights, and 20 or more from scratch. Here both starts get the
# same three epochs, at the tutorials' rate and at ten times that.

# %% tags=["long-run"]
# Figure: validation accuracy against epoch, 1 to 3; one line for each start and each
# rate of Adam, two level lines for section 4's fine-tuned and frozen networks.
recipe, dashes = {}, {1e-4: "--", 1e-3: "-"}
fig, axis = plt.subplots(figsize=(7, 2.8))
for rate in dashes:
    for label, trained, color in (("pretrained", True, "C2"), ("scratch", False, "C0")):
        model, part = new_network(trained), batches(batch_size=16)
        optimizer = torch.optim.Adam(model.parameters(), rate)
        options = {"optimizer": optimizer, "progress": False}
        run = train(model, part.train, part.val, num_epochs=3, **options)
        recipe[label, rate] = predict(model)
        axis.plot(range(1, 4), run.val_accuracy, dashes[rate], color=color)
        axis.lines[-1].set_label(f"{label}, Adam {rate:g}")
for label, found, dash in (
    ("fine-tuned", usual, "-."),
    ("frozen", predict(frozen), ":"),
):
    right = (found.numpy() == val_labels).mean()
    axis.axhline(right, color="0.4", lw=1, ls=dash, label=f"{label}, section 4")
axis.yaxis.set_major_formatter(PercentFormatter(1))
axis.xaxis.set_major_locator(MaxNLocator(integer=True))
axis.set(xlabel="epoch", ylabel="validation accuracy")
axis.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
steps = 3 * len(part.train)
for rate in dashes:
    pair = recipe["pretrained", rate], recipe["scratch", rate]
    lead = metrics.compare(val_labels, *pair)
    print(f"rate {rate:g}, pretrained minus scratch: {lead};")
    print(f"  in {steps} steps a weight moves by about {steps * rate:.3f} at most")
print(f"new weights of the head begin within ±{ended_at.fc.in_features**-0.5:.3f}")
print(f"a tutorial's 3 epochs of 3306 photos are {3 * -(-3306 // 16)} steps")

# %% [markdown]
# One step of Adam moves a weight by about its rate, whatever the gradient. So at 0.0001
# a few dozen steps leave the random head, and the body, nearly where they began, from
# either start: a small or even a negative lead says little about the start. The dotted
# line is what the trained body offers to a head trained to the end. If a larger rate
# widens the lead, steps were missing, not knowledge. The tutorials take many more.

# %% [markdown]
# ## 8 · Flowers-102, and what may be compared
#
# A second data set, of 102 kinds of flowers (Nilsback and Zisserman, 2008). Its
# official split is unusual: 1 020 images to train, 1 020 to validate, 6 149 to test.
# Some tutorials find that wasteful and **swap**: train on the 6 149, test on the
# 1 020. What does it change?

# %%
from course_utils.results import mean_and_range

protocols = {"official": (1020, 1020, 6149), "swapped": (6149, 1020, 1020)}
heads = ("protocol", "train", "validation", "test", "training images a class")
rows = [(name, *n, f"{n[0] / 102:.0f}") for name, n in protocols.items()]
show_table(heads, rows)
few, many = (round(sizes[0] / 102) for sizes in protocols.values())
everything = np.unique([splits.few_per_class(many, seed=seed) for seed in range(3)])
all_features = features_at(image_size, everything)
val_features = features_at(image_size, splits.split.val)
scores = {few: [], many: []}
for seed in range(3):
    for count in scores:
        rows_of = np.isin(everything, splits.few_per_class(count, seed=seed))
        linear = probe(all_features[rows_of], splits.labels[everything[rows_of]])
        scores[count].append(linear.score(val_features, val_labels))
for count, found in scores.items():
    print(f"our five flowers, {count} a class: {mean_and_range(found, '.1%')}")
worth = 100 * (np.mean(scores[many]) - np.mean(scores[few]))
print(f"The protocol alone, on our five flowers: {worth:+.1f} points.")

# %% [markdown]
# Same features, same kind of classifier; only the number of training images is that of
# one protocol or the other, three choices each. The last line is a difference that no
# network earned. So an accuracy under the swapped protocol and one under the official
# protocol must not be ranked against each other. That is your fourth guess: first ask
# what it was trained on, then what it was chosen on, then what it was tested on.
#
# ### A loss curve can mislead, too
#
# A popular script adds up the loss of all batches of an epoch, and plots the
# logarithm (base ten) of the sum. Ask one network, the same images, in two batch sizes.

# %%
print("batch   batches   sum of losses   log10   mean over images")
demo = {}
for batch_size in (16, 64):
    data = batches(batch_size=batch_size).val
    losses, counts = [], []
    with torch.no_grad():
        for images, labels in data:
            logits = network.eval()(images.to(session.device)).cpu()
            losses.append(torch.nn.functional.cross_entropy(logits, labels).item())
            counts.append(len(labels))
    total, mean = sum(losses), np.average(losses, weights=counts)
    demo[batch_size] = np.log10(total)
    print(f"{batch_size:5} {len(data):9} {total:15.3f} {np.log10(total):7.3f} ", end="")
    print(f"{mean:18.4f}")
print(f"These images, in batches of 64: {demo[16] - demo[64]:.2f} lower.")
# %% [markdown]
# The mean over images does not know the batch size; the sum grows with the number of
# batches. The network was the same both times, and so were the images. (The logarithm
# itself is harmless: it makes late, small improvements visible.)
#
# The real training, with the script's recipe (SGD at 0.02, batches of 256, rotations
# and flips) under both protocols, belongs to the full profile, on a GPU.

# %% tags=["long-run"]
from course_utils.data.flowers102 import load_flowers102


def train_102(protocol, trained, epochs=50):
    """Return the history and test accuracy of one training on Flowers-102."""
    data = load_flowers102(session.data_dir, protocol=protocol, short_side=256)
    torch.manual_seed(session.seed)
    model = copy.deepcopy(backbone.model)
    model = model if trained else build_model(model.architecture)
    model = replace_head(model, len(data.classes)).to(session.device)
    parts = data.loaders(
        256, **view, seed=session.seed, augment=turned_too, device=session.device
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    run = train(model, parts.train, parts.val, num_epochs=epochs, optimizer=optimizer)
    return run, evaluate(model, parts.test).accuracy


flowers102 = {}
try:
    for protocol in session.pick(quick=(), full=tuple(protocols)):
        for trained in (False, True):
            flowers102[protocol, trained] = train_102(protocol, trained)
except DownloadError as error:
    print(error)
for (protocol, trained), (_, score) in flowers102.items():
    print(f"{protocol}, {'pretrained' if trained else 'scratch'}: test {score:.1%}")
if not flowers102:
    print("Flowers-102: not measured in this run (full profile only).")

# %%
# Figure: two panels against epoch: validation accuracy, and the logarithm of the mean
# training loss; one line for each protocol and start.
if flowers102:
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
    for (protocol, trained), (run, _) in flowers102.items():
        label = f"{protocol}, {'pretrained' if trained else 'scratch'}"
        epochs = range(1, len(run) + 1)
        axes[0].plot(epochs, run.val_accuracy, label=label)
        axes[1].plot(epochs, np.log10(run.train_loss), "--", label=label)
    axes[0].set(xlabel="epoch", ylabel="validation accuracy")
    axes[1].set(xlabel="epoch", ylabel="log10 of the mean training loss")
    axes[0].legend(fontsize="small")
    plt.show()

# %% [markdown]
# ## Results
#
# Your four ways, beside what others published. The published numbers were read from
# public tutorials; they have not been run here.

# %%
from course_utils.results import hardware_name
from course_utils.session import project_root

published = json.loads((project_root() / "results/published.json").read_text())
data = splits.name if splits.is_photos else f"{splits.name}, sketches"
machine = hardware_name(session.device)
rows = []
for way in order:
    right = (answers[way] == test_labels).sum().item()
    low, high = metrics.wilson_interval(right, len(test_labels))
    score = f"{right / len(test_labels):.1%} ({low:.1%} to {high:.1%})"
    size = f"{len(loaders.train.dataset)} training images"
    where = "test, nothing chosen by it"
    rows.append([f"yours: {way}", data, size, score, where, machine])
for entry in published["06_transfer"]:
    scores = ", ".join(f"{score:.1%}" for score in entry["accuracy"])
    keys = ("what", "data", "training", "judged_on", "hardware", "source")
    what, data, size, where, machine, source = (entry[key] for key in keys)
    rows.append([f"{what} ({source})", data, size, scores, where, machine])
heads = ["what", "data", "training", "accuracy", "judged on", "hardware"]
show_table(heads, rows)
print(f"yours: one seed, {image_size} pixels, start: {backbone.description}")
best = max(order, key=lambda way: max(histories[way].val_accuracy))
score = (answers[best] == test_labels).float().mean().item()
session.report(
    f"{best}, chosen on validation, {score:.1%} on test; fine-tuned minus scratch "
    f"{100 * gain.lead:+.1f} points (p = {gain.p_value:.2g})",
    data=splits.describe(),
)
print(f"for lesson 07: {run_dir.name}/best.pt (fine-tuned)")

# %% [markdown]
# **What this does not show.** The rows cannot be ranked: they differ in network, start,
# image size, number of photos, and in what they were judged on. An accuracy that was
# chosen *and* reported on the validation part tends to be too high: compare validation
# and test in section 4. Your rows are one seed with few images; how many seeds the
# study has, its table says. A start from ImageNet was measured only if the tables say
# so. And all images come from one source: those you will take yourself may look
# different.

# %% [markdown]
# ## Your own photos
#
# Put them into one folder a class, ten photos or more in each, write the folder's path
# into the next cell, and run it. Without a path it uses the flowers. Features once and
# a linear head: it takes seconds. (Ten a class leave one test photo of each: read the
# interval, and bring more.)

# %%
from pathlib import Path

from course_utils.data.photo_splits import load_photo_folder

MY_PHOTOS = None  # for example "/home/me/my_photos", with my_photos/<class>/*.jpg

mine = load_photo_folder(Path(MY_PHOTOS), short_side=128) if MY_PHOTOS else splits
print(mine.describe())
limit = session.pick(quick=100, full=None)
options = {"augment": still, "per_class": limit, "device": session.device}
fitted_on, _, judged_on = (
    penultimate_features(backbone.model, part)
    for part in mine.loaders(64, **view, **options)
)
linear = probe(*(part.numpy() for part in fitted_on))
right = int((linear.predict(judged_on[0].numpy()) == judged_on[1].numpy()).sum())
low, high = metrics.wilson_interval(right, len(judged_on[1]))
print(f"{right} of {len(judged_on[1])} test photos right: {low:.0%} to {high:.0%}")

# %% [markdown]
# ## Myths, tested
#
# Three sentences often read. Each is judged on the validation images, with one seed and
# the rate chosen for plain fine-tuning: what is refuted here is refuted as a law, not
# as a habit. "X is better" needs an interval wholly above 0; one wholly below refutes
# it. "X is not needed" falls only if leaving it out *costs* something: an interval
# wholly below 0. One that contains 0 decides nothing; its ends say what it may have
# missed.
#
# ### "First train the head on the frozen body, then everything"
#
# The reason given: a random head sends large, meaningless gradients into the trained
# body. Put the head of section 4 on the body first, then fine-tune as before.

# %% tags=["long-run"]
head_first = copy.deepcopy(frozen)
head_first.architecture = networks["fine-tuned"].architecture
history = fit(head_first, batches(), lr)
print("validation accuracy after each epoch")
for label, run in (("head first", history), ("at once", histories["fine-tuned"])):
    print(f"{label:10}", " ".join(f"{v:.0%}" for v in run.val_accuracy))
lead = metrics.compare(val_labels, predict(head_first), usual)
print("head first minus all at once:", lead)

# %% [markdown]
# Look at the first epochs, too: how long does the head start last? The cycle of the
# learning rate begins small, and what it spares, its height may yet undo.
#
# ### "With pretrained weights you do not need augmentation"
#
# Fine-tune without it: every photo in the same view in every epoch.

# %% tags=["long-run"]
plain = new_network()
plain_history = fit(plain, batches(still), lr)
print("last epoch   training accuracy   validation accuracy   validation loss")
for label, run in (("without", plain_history), ("with", histories["fine-tuned"])):
    scores = f"{run.train_accuracy[-1]:17.1%} {run.val_accuracy[-1]:21.1%}"
    print(f"{label:12} {scores} {run.val_loss[-1]:17.2f}")
lead = metrics.compare(val_labels, predict(plain), usual)
print("without minus with augmentation:", lead)

# %% [markdown]
# Where training and validation accuracy part, the network has begun to know its photos
# by heart; few photos and many epochs make that easier. (The training accuracy *with*
# augmentation is measured on harder views, so it is lower for that reason alone.)
#
# ### "The lower the learning rate, the better for a trained network"
#
# The reason given: a low rate keeps what the network knows. Section 4 has tried three.

# %%
rows = []
for rate in rates["fine-tuned"]:
    model, run = trials["fine-tuned", rate]
    pairs = zip(new_network().parameters(), model.parameters(), strict=True)
    went = [((a - b).norm() / a.norm()).item() for a, b in pairs if a.ndim == 4]
    shares = run.train_accuracy[-1], max(run.val_accuracy), np.mean(went)
    rows.append((f"{rate:g}", *(f"{share:.1%}" for share in shares)))
heads = ("highest rate", "training, last epoch", "validation, best epoch", "moved by")
show_table(heads, rows)
low, high = rates["fine-tuned"][0], rates["fine-tuned"][-1]
for rate in dict.fromkeys((lr, high)):
    if rate > low:
        pair = (predict(trials["fine-tuned", each][0]) for each in (low, rate))
        lead = metrics.compare(val_labels, *pair)
        print(f"rate {low:g} minus rate {rate:g}: {lead}")

# %% [markdown]
# "Moved by" is the mean over the convolutions. A rate is too low when the training
# accuracy itself stays behind: then the epochs were not enough. It is too high when the
# loss jumps. Both are seen on validation images, and neither can be known beforehand.

# %% [markdown]
# ## Summary
#
# 1. *Photos to batches.* A stratified index by seed, in three parts; random crops to
#    train, resize and centre crop to evaluate, the start's own normalisation.
# 2. *A new head.* Replace `fc`, or load without `fc.*` and `strict=False`; read the
#    report.
# 3. *Four ways.* Accuracy with its interval, seconds and parameters, each way at its
#    own rate; ask of every gap: how many photos, which start, whose rate?
# 4. *Frozen.* `requires_grad_(False)` stops gradients, `eval()` stops BatchNorm's
#    statistics, and the optimiser gets what shall move. Or compute features once.
# 5. *Published numbers.* Trained on how many, chosen on what, tested on what; a mean
#    loss, not a sum.

# %% [markdown]
# ## Exercises
#
# ### ★ Your own report
#
# `strict=False` raises an error where shapes differ. Write a report that covers this
# too. Given a model and a state dict, return three sorted lists of names: missing (the
# model has it, the file does not), unexpected (the other way round), and misfits (both
# have it, in different shapes). Load nothing.
#
# Expected: for a model and its own state dict, three empty lists.


# %% tags=["exercise"]
def loading_report(
    model: torch.nn.Module, state_dict: dict[str, torch.Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Return the names that are missing, unexpected, and of another shape."""
    raise NotImplementedError


check.loading_report(loading_report)


# %% tags=["solution"]
def loading_report(
    model: torch.nn.Module, state_dict: dict[str, torch.Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Return the names that are missing, unexpected, and of another shape."""
    own = model.state_dict()
    missing = sorted(own.keys() - state_dict.keys())
    unexpected = sorted(state_dict.keys() - own.keys())
    common = own.keys() & state_dict.keys()
    misfits = sorted(n for n in common if own[n].shape != state_dict[n].shape)
    return missing, unexpected, misfits


check.loading_report(loading_report)

# %% [markdown]
# ### ★★ Stratified folds
#
# A tenth of few photos is a small validation set. **Cross-validation** uses each photo
# once: cut all of them into `num_folds` parts, and let each be the validation part in
# turn. Return the folds as a list of integer arrays of positions. Each class is spread
# evenly: between two folds, its number differs by one at most. The seed decides which
# photo goes where.
#
# Expected: five folds of 25 photos in one class have five photos each.


# %% tags=["exercise"]
def stratified_folds(
    labels: np.ndarray, num_folds: int, seed: int = 0
) -> list[np.ndarray]:
    """Return positions of each fold, every class spread evenly over the folds."""
    raise NotImplementedError


check.stratified_folds(stratified_folds)


# %% tags=["solution"]
def stratified_folds(
    labels: np.ndarray, num_folds: int, seed: int = 0
) -> list[np.ndarray]:
    """Return positions of each fold, every class spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    folds = [[] for _ in range(num_folds)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        for fold, part in zip(folds, np.array_split(members, num_folds), strict=True):
            fold.append(part)
    return [np.concatenate(fold) for fold in folds]


check.stratified_folds(stratified_folds)

# %% [markdown]
# ### ★★★ Frozen for good
#
# Write `keep_frozen(model)`: it freezes all but the head `fc` and returns the model,
# changed so that a training loop may call `model.train()` as often as it likes. The
# body must then still compute what it computes in `eval()`, with statistics that do
# not drift, while `fc` learns and is in training mode. A copy made with
# `copy.deepcopy` must obey, too.
#
# Expected: after `keep_frozen(model).train()` the model gives the logits that it gave
# in `eval()`, as often as you ask.


# %% tags=["exercise"]
def keep_frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model with a body that stays frozen, also after `train()`."""
    raise NotImplementedError


check.keep_frozen(keep_frozen)


# %% tags=["solution"]
def keep_frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model with a body that stays frozen, also after `train()`."""

    def body_to_eval(module, inputs):  # the module that runs: a copy, too
        for name, part in module.named_children():
            if name != "fc":
                part.eval()

    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    model.register_forward_pre_hook(body_to_eval)
    return model


check.keep_frozen(keep_frozen)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give: it says whether it is right, and why.

# %% [markdown]
# **1. You start from ImageNet weights and train on flowers. Which mean and deviation
# does the transform need?**
#
# <details><summary>The flowers': they are the data now.</summary>
#
# **No.** New data do not change what the trained filters expect. The flowers' numbers
# would suit a network that starts from random weights.
#
# </details>
# <details><summary>ImageNet's: the first layer was trained with them.</summary>
#
# **Right.** The normalisation belongs to the weights and comes with them.
#
# </details>
# <details><summary>None: BatchNorm normalises everything anyway.</summary>
#
# **No.** The first convolution mixes the colours before any BatchNorm, and in `eval()`
# BatchNorm uses statistics stored from images prepared the old way.
#
# </details>
# <details><summary>Any, if training and evaluation use the same ones.</summary>
#
# **No.** They must agree, but that is not enough. Other numbers can waste part of what
# the weights know, and a frozen body cannot adapt.
#
# </details>

# %% [markdown]
# **2. `load_state_dict(weights, strict=False)` raises no error. What do you know?**
#
# <details><summary>The whole body is loaded, and only the head is new.</summary>
#
# **No.** Where no name fits, nothing is loaded, and no error says so. Read which keys
# are missing and unexpected.
#
# </details>
# <details><summary>Tensors of another shape were left out.</summary>
#
# **No.** A name that is there with another shape raises an error, `strict` or not. So
# the old head must go first.
#
# </details>
# <details><summary>No shapes clashed; perhaps nothing was loaded.</summary>
#
# **Right.** `strict=False` accepts missing and unexpected names, in any number. Only
# the report tells.
#
# </details>
# <details><summary>Names that differ were matched by their shapes.</summary>
#
# **No.** Names alone decide. With `module.` before each name, nothing is matched.
#
# </details>

# %% [markdown]
# **3. Fine-tuned beats scratch, both at the rate that is best for fine-tuning. Is the
# gap what the trained start is worth?**
#
# <details><summary>Yes: a fair comparison changes only one thing.</summary>
#
# **No.** The rate is the same number, but not equally good for both. Part of the gap
# may be the rate.
#
# </details>
# <details><summary>Yes, if the paired test gives a small p.</summary>
#
# **No.** A small p says that luck with the test images hardly explains the gap. It does
# not say what made it.
#
# </details>
# <details><summary>No: scratch must train until it is as good.</summary>
#
# **No.** That is another question. With much data and time, scratch can catch up (He et
# al., 2018, on detection); here the budget is the same.
#
# </details>
# <details><summary>No: scratch may do better at another rate.</summary>
#
# **Right.** So each way gets its own rate, chosen on validation images, as in section
# 4.
#
# </details>

# %% [markdown]
# **4. Every parameter has `requires_grad=False`, and the network sees batches in
# `train()`. Can its answers in `eval()` change?**
#
# <details><summary>No: without a gradient nothing moves.</summary>
#
# **No.** No parameter moves. But running means and variances are buffers, and they need
# no gradient.
#
# </details>
# <details><summary>Yes: BatchNorm's running statistics drift.</summary>
#
# **Right.** In `train()` each batch moves them towards its own statistics, and `eval()`
# uses what is stored. So keep a frozen body in `eval()`.
#
# </details>
# <details><summary>Yes: weight decay goes on shrinking the weights.</summary>
#
# **No.** An optimiser skips a parameter whose gradient is `None`. Only gradients of
# zeros let decay and momentum go on (section 6).
#
# </details>
# <details><summary>No: <code>train()</code> matters to dropout alone.</summary>
#
# **No.** It matters to BatchNorm as well, which then uses the batch and changes what it
# stores.
#
# </details>

# %% [markdown]
# **5. Two tutorials report accuracies on Flowers-102, one far above the other. What do
# you ask first?**
#
# <details><summary>Which network is deeper?</summary>
#
# **No.** Perhaps neither. If one was trained on six times as many images, the gap may
# be no merit of the network.
#
# </details>
# <details><summary>Which was trained for more epochs?</summary>
#
# **No.** Epochs are worth asking for, but later: of how many images, and which epoch
# was chosen on what?
#
# </details>
# <details><summary>What was each trained, chosen and tested on?</summary>
#
# **Right.** The official protocol trains on 1020 images, the swapped one on 6149. And
# an accuracy that also chose the epoch tends to be too high.
#
# </details>
# <details><summary>Whose training loss ends lower?</summary>
#
# **No.** A loss is no accuracy. And a sum over batches falls when batches grow, with
# the same network and images.
#
# </details>

# %% [markdown]
# ## References
#
# - J. Yosinski, J. Clune, Y. Bengio, H. Lipson, *How transferable are features in deep
#   neural networks?*, 2014, arXiv 1411.1792.
# - S. Kornblith, J. Shlens, Q. Le, *Do Better ImageNet Models Transfer Better?*, 2019,
#   arXiv 1805.08974.
# - K. He, R. Girshick, P. Dollár, *Rethinking ImageNet Pre-training*, 2018, arXiv
#   1811.08883.
# - J. Howard, S. Ruder, *Universal Language Model Fine-tuning for Text
#   Classification*, 2018, arXiv 1801.06146.
# - M.-E. Nilsback, A. Zisserman, *Automated Flower Classification over a Large Number
#   of Classes*, 2008.
# - The TensorFlow Team, *Flowers*, 2019: the photos of five classes.

# %% [markdown]
# **Next.** You have a network of your own in `best.pt`. [Lesson
# 07](07_prediction.ipynb) shows it a photo from the web: expect little of it if it was
# trained on drawings.
