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
# 1. split photos so that anybody can repeat it, and turn them into batches;
# 2. give a trained network a new head, and read what the loader reports;
# 3. compare four ways to use a trained start with random weights;
# 4. freeze a network so that it stays frozen;
# 5. choose a way for your own photos.
#
# **Know first:** [Lesson 03](03_cifar10_training.ipynb) (training, three splits) and
# [lesson 04](04_per_class_evaluation.ipynb) (two networks on the same images).
#
# **Reading** 40 minutes · **exercises** 25 minutes · **run time** quick CPU about 97 s
# (two quiet cores), full GPU about 4 min (shared H200)

# %% [markdown]
# ## Three questions from before
#
# Answer aloud, then open.
#
# <details><summary>Lesson 05: what is left of an image just before the head?</summary>
#
# One number a channel, the mean of that channel's last feature map: its **features**.
# Images with similar features get similar logits.
#
# </details>
# <details><summary>Lesson 04: two networks have seen the same test images. Which images
# tell them apart?</summary>
#
# Those that only one of them gets right. If the networks were equally good, each of
# these would be the toss of a fair coin.
#
# </details>
# <details><summary>Lesson 02: a state dict holds more than the weights that an
# optimiser trains. What else?</summary>
#
# BatchNorm's running means and variances, and its count of batches. They are
# **buffers**: saved with the network, and moved by every batch in training mode.
#
# </details>

# %% tags=["setup"]
# Import what the lesson uses, and start a session
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch

from course_classroom.checks import lesson_06 as check
from course_utils import metrics, plotting
from course_utils.results import load_results, pivot, save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# You have thirty photos of each of five flowers, and a network that was trained to tell
# 200 other things apart: dogs, lamps, bridges, no flower. Write down guesses:
#
# 1. Start from its weights, or from random ones. How many points of accuracy lie
#    between the two?
# 2. Leave its body as it is and train a new last layer only. Is that better or worse
#    than training from random weights?
# 3. Freeze *all* weights, and show the network an epoch of images without an optimiser.
#    Can its answers change?

# %% [markdown]
# ## 1 · Look at the data
#
# This section shows the photos, and a split that anybody can repeat. Where there are no
# photos, a program draws flowers (96 pixels wide); the line below says which.
# Accuracies on drawings compare with none on photos.

# %%
# The photos, or drawings in their place
from course_utils.data.flowers import load_flowers

splits = load_flowers(session.data_dir, short_side=session.pick(quick=128, full=256))
classes, num_classes = splits.classes, len(splits.classes)
print(splits.describe(), "(training / validation / test)")

# %% tags=["figure"]
# Figure: two rows of training images, two of each of the five classes, titled with the
# class.
shown = splits.few_per_class(2, seed=1)
shown = shown[np.argsort(splits.labels[shown], kind="stable")]
pictures = [splits.photos[i].permute(1, 2, 0).numpy() for i in shown]
plotting.show_images(pictures, [classes[k] for k in splits.labels[shown]], columns=5)
plt.show()

# %% [markdown]
# ### An index, not a copy
#
# Many tutorials copy the photos into folders `train` and `val`. But a split need only
# say *which* photos belong where: an **index**. Ours is **stratified**: it takes the
# same share of every class, here a tenth to validate and a tenth to test.
#
# Tutorials split in *two*, and use the second part twice: to choose the best epoch and
# to report its accuracy. The archive of these photos has 633, 898, 641, 699 and 799
# images of the five classes: the cell splits it both ways.


# %%
# A stratified split in three parts
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
print("the same as the package's:", all(map(np.array_equal, index, splits.split)))
archive = np.repeat(np.arange(5), [633, 898, 641, 699, 799])
for test in (False, True):
    print(" / ".join(str(len(part)) for part in split_by_class(archive, test=test)))

# %% [markdown]
# 3306 / 364 is what many tutorials print. Our validation part is as large; the test
# part is taken out of the training part, and chooses nothing.
#
# A label means nothing without the order of the names. Store it beside the network.

# %%
# The order of the classes, as a file beside the network
import json

run_dir = session.run_dir("06_transfer_learning")
order = json.dumps(dict(enumerate(classes)))
(run_dir / "class_indices.json").write_text(order)
print(order)

# %% [markdown]
# JSON knows only text as keys: after `json.load` the first name is under `"0"`, not 0.
#
# **So what:** a seed and a rule make a split that anybody can repeat; a third part
# keeps the number you report apart from those you chose by.

# %% [markdown]
# ## 2 · From a photo to a batch
#
# This section turns photos of any shape into images of one size. For **training** a
# random rectangle is cut out, scaled to a square, and flipped half the time. For
# **evaluation** the view is always the same: the shorter side is scaled to 8/7 of the
# size wanted (256 for 224), and the middle cut out.

# %%
# The two views of a photo, and a data set that makes them
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2


def training_steps(size):
    """Return the random part of a training transform."""
    return v2.Compose(
        [v2.RandomResizedCrop(size, scale=(0.3, 1)), v2.RandomHorizontalFlip()]
    )


def evaluation_steps(size):
    """Return the part of an evaluation transform that changes the size."""
    return v2.Compose([v2.Resize(round(size * 8 / 7)), v2.CenterCrop(size)])


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


# %% tags=["figure"]
# Figure: two rows of views of one image, titled with their size: the image, resized,
# cropped, and seven random views for training.
torch.manual_seed(session.seed)
photo = splits.photos[shown[5]]
resized = v2.Resize(round(64 * 8 / 7))(photo)
views = {"photo": photo, "resized": resized, "cropped": evaluation_steps(64)(photo)}
views |= {f"training {n}": training_steps(64)(photo) for n in range(1, 8)}
titles = [f"{name}\n{tuple(view.shape[1:])}" for name, view in views.items()]
pictures = [view.permute(1, 2, 0).numpy() for view in views.values()]
plotting.show_images(pictures, titles, columns=5)
plt.show()

# %% [markdown]
# An augmentation promises that the label fits every view: does it here?
#
# **So what:** training sees a new view each time, evaluation always the same; both end
# at the size the network takes.

# %% [markdown]
# ## 3 · A trained network to start from
#
# This section loads a trained start, and gives it a new head. The course ships a
# ResNet-20 with three times the usual channels, trained on 200 classes of ImageNet at
# 32 pixels. It had 40.4 %<!-- results: pretrained-imagenet200 val_accuracy --> of
# 10 000 validation photos right, which had chosen its epoch, too. We show it flowers of
# 64 pixels, twice that.

# %%
# A start that knows 200 classes, and a batch as it expects it
from course_utils.pretrained.backbones import load_backbone

backbone = load_backbone("imagenet200")
backbone.model.to(session.device)
size, mean, std = backbone.image_size, backbone.mean, backbone.std
print(f"{backbone.description}; mean:", [round(m, 3) for m in mean])
numbers = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
steps = v2.Compose([training_steps(size), *numbers])
data = PhotoDataset(splits.photos, splits.labels, index[0], steps)
images, labels = next(iter(DataLoader(data, 32, shuffle=True)))
print("a batch:", tuple(images.shape), "and", tuple(labels.shape))

# %% [markdown]
# **Its normalisation comes with it.** The first layer was trained on images minus
# *that* mean over *that* deviation. From here on the package makes such batches, of few
# photos a class where we ask for it.

# %%
# The package's loaders: for training, validation and test
from course_utils.data.photos import evaluation_transform

view = {"image_size": size, "mean": mean, "std": std}
per_class = session.pick(quick=30, full=None)  # training photos; None: all


def batches(random_views=True):
    """Return three loaders, always of the same photos."""
    options = {"seed": session.seed, "per_class": per_class, "device": session.device}
    if not random_views:  # training photos are seen as in evaluation
        options["augment"] = evaluation_transform(**view)
    return splits.loaders(32, **view, **options)


# %% [markdown]
# ### Two ways to swap the head
#
# The **head**, `fc`, turns features into one logit a class. The old one knows the wrong
# classes. One way: put a new layer in its place.

# %%
# First way: a new layer in place of the old head
from torch import nn


def replace_head(model, num_classes):
    """Return the same network with a new, untrained head."""
    old = model.fc
    model.fc = nn.Linear(old.in_features, num_classes).to(old.weight.device)
    return model


first = replace_head(copy.deepcopy(backbone.model), num_classes)
print("old head:", backbone.model.fc)
print("new head:", first.fc)

# %% [markdown]
# The other way: build the network with the right number of classes, and load all but
# the head's weights with `strict=False`.

# %%
# Second way: load all but the head, and read the report
from course_utils.training.checkpoint import build_model

weights = backbone.model.state_dict()
second = build_model(backbone.model.architecture | {"num_classes": num_classes})
try:
    second.load_state_dict(weights, strict=False)
except RuntimeError as error:
    print("with the old head:", str(error).splitlines()[1].strip())
body = {name: w for name, w in weights.items() if not name.startswith("fc.")}
report = second.load_state_dict(body, strict=False)
print("missing:", report.missing_keys, "unexpected:", report.unexpected_keys)
renamed = {f"module.{name}": w for name, w in body.items()}
report = second.load_state_dict(renamed, strict=False)
fitting = len(renamed) - len(report.unexpected_keys)
print(f"renamed: {fitting} of {len(renamed)} tensors loaded, and no error")

# %% [markdown]
# `strict=False` surprises twice. It still raises an error where a name is there but the
# *shape* differs. And it says nothing where *no* name fits, as with weights saved from
# a network wrapped in `DataParallel`: training would go on from random weights.
#
# **So what:** replace `fc`, keep the start's normalisation, and read the report:
# missing should be `fc.weight` and `fc.bias`, unexpected nothing.

# %% [markdown]
# ## 4 · Four ways
#
# This section compares training from random weights, **scratch**, with four ways to use
# a start:
#
# - **frozen**: the body stays as it is, only a new head learns;
# - **finetuned**: the body starts from the trained weights, the head is new, and
#   everything learns;
# - **by-depth**: likewise, but early layers take smaller steps;
# - **head-first**: first the head on the frozen body, then everything. The reason
#   (Kumar et al., 2022): while a random head learns, the body changes along with it,
#   and its good features are distorted.

# %% [markdown]
# ### What was recorded
#
# Each cell below is the mean of three seeds, with their range; a seed chooses the
# training photos, their order and the new head. Each way has **its own learning rate**,
# chosen on validation photos at 30 a class. Each was trained for 15 epochs, but at
# least for 300 batches; head-first did so twice, for its head and then for everything.
# Our copy holds 3 457 of the archive's photos (2 771 / 343 / 343).

# %%
# The recorded study: test accuracy by way and number of training photos
study = load_results("06_study-imagenet200")
study.sort(key=lambda run: run["train_size"])
show_table(*pivot(study, rows="way", columns="train_size", value="test_accuracy"))

# %% [markdown]
# 150 photos are 30 a class; *norms-frozen*, at fine-tuning's rate, comes in section 5.
#
# **Guess 1:** fine-tuning gains 7.8 points<!-- results:
# 06_study-imagenet200-finetuned-30-photos-seed* test_accuracy -
# 06_study-imagenet200-scratch-30-photos-seed* test_accuracy --> over
# random weights with 30 a class, 12.1 points<!-- results:
# 06_study-imagenet200-finetuned-10-photos-seed* test_accuracy -
# 06_study-imagenet200-scratch-10-photos-seed* test_accuracy --> with 10. **Guess 2:**
# with 30 a class, a new head on the frozen body gains 4.4 points<!-- results:
# 06_study-imagenet200-frozen-30-photos-seed* test_accuracy -
# 06_study-imagenet200-scratch-30-photos-seed* test_accuracy -->, in seconds.
# From 30 a class on, *finetuned*, *by-depth* and *head-first* lie ahead of *frozen*
# with every seed; three seeds do not settle the order of the three.

# %% [markdown]
# ### Frozen: compute the features once
#
# If the body never changes, the features of a photo never change. So show it each photo
# *once*; what is left to train is a linear layer on a small table, a **linear probe**.
# The price: no augmentation.


# %%
# Train only the head, on features that are computed once
from torch.utils.data import TensorDataset

from course_utils.explain import penultimate_features
from course_utils.training import evaluate, sgd_one_cycle, train, train_one_epoch


def train_head(model, loader, num_epochs, lr):
    """Train the classifier alone; the body stays as it is."""
    # features and labels, computed in eval() and without gradients
    table = TensorDataset(*penultimate_features(model, loader))
    optimizer = torch.optim.Adam(model.fc.parameters(), lr)
    for _ in range(num_epochs):
        train_one_epoch(model.fc, DataLoader(table, 32, shuffle=True), optimizer)


# %% [markdown]
# ### Smaller steps for early layers
#
# *By-depth* supposes that early layers are right already. Each stage learns at half the
# rate of the one above it (Howard and Ruder, 2018, divided by 2.6). An optimiser takes
# this as **parameter groups**, each with its own rate.


# %%
# Parameter groups, early stages with smaller rates
def rates_by_depth(model, lr, factor=0.5):
    """Return groups, each stage at `factor` times the rate of the one above."""
    stages = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    stages = [name for name in stages if hasattr(model, name)]
    groups = []
    for distance, name in enumerate(reversed(stages)):
        parameters = list(getattr(model, name).parameters())
        if name == "conv1":  # its BatchNorm belongs to it
            parameters += list(model.bn1.parameters())
        groups.append({"params": parameters, "lr": lr * factor**distance})
    return groups[::-1]


print("rates:", [group["lr"] for group in rates_by_depth(first, 0.1)])

# %% [markdown]
# ### Your own small run
#
# Now train yourself, from random weights and in three of the four ways (the recorded
# table stands for *by-depth*), at the rates that the study chose: one seed; in the
# quick profile fewer steps, in the full one all photos, and more steps for the head.


# %%
# Networks that begin alike, and the training that they share
num_epochs = session.pick(quick=10, full=15)
RATES = {"scratch": 0.03, "frozen": 0.003, "finetuned": 0.01, "head-first": 0.01}


def new_network(trained=True):
    """Return the network with a new head, its body trained or random."""
    torch.manual_seed(session.seed)
    start = copy.deepcopy(backbone.model)
    start = start if trained else build_model(start.architecture)
    return replace_head(start, num_classes).to(session.device)


def fit(model, lr, save_path=None):
    """Train with one cycle of the rate; the model keeps its best epoch."""
    loaders = batches()
    optimizer, scheduler = sgd_one_cycle(model, lr, num_epochs * len(loaders.train))
    options = {"scheduler": scheduler, "save_path": save_path, "progress": False}
    parts = loaders.train, loaders.val
    train(model, *parts, num_epochs=num_epochs, optimizer=optimizer, **options)


# %% tags=["long-run"]
# Train, and ask each network about the test images
networks, answers = {}, {}
for way, lr in RATES.items():
    network = new_network(trained=way != "scratch")
    if way in ("frozen", "head-first"):
        train_head(
            network, batches(random_views=False).train, 5 * num_epochs, RATES["frozen"]
        )
    if way != "frozen":  # lesson 07 uses the fine-tuned network
        fit(network, lr, save_path=run_dir if way == "finetuned" else None)
    networks[way] = network
    logits, test_labels = metrics.collect_logits(network, batches().test)
    answers[way] = logits.argmax(1)
    print(f"{way:10} {metrics.accuracy(logits, test_labels):.1%} of the test right")
leads = {}
for other in ("scratch", "frozen", "head-first"):
    pair = answers["finetuned"], answers[other]
    leads[other] = metrics.compare(test_labels, *pair, comparisons=len(RATES) - 1)
    print(f"finetuned minus {other:10}: {leads[other]}")

# %% [markdown]
# Yours differs from the table: one seed, another number of steps (in the full profile
# more photos, too), perhaps drawings, and `train` keeps the epoch that was best on
# validation. One such run on photos gave fine-tuning a
# lead of 8.2 points<!-- results:
# 06_transfer_learning-quick-photos-seed0 leads.scratch.lead --> over scratch ($p$ =
# 0.015<!-- results:
# 06_transfer_learning-quick-photos-seed0 leads.scratch.p_value -->), and no difference
# from frozen or head-first that luck could not make.
#
# **So what:** with 30 photos a class, a frozen body that knows ImageNet beat random
# weights, and training everything from it beat both.

# %% [markdown]
# ## 5 · A frozen network that moves
#
# This section shows why a frozen network may change all the same. Show the network with
# the trained head the training images once, in training mode, without gradients.


# %%
# One epoch of images: no gradient, no optimiser
frozen, loaders = networks["frozen"], batches(random_views=False)


def show_photos(model):
    """Return the same model, after it saw each training photo once."""
    with torch.no_grad():
        for images, _ in loaders.train:
            model(images.to(session.device))
    return model


def moved(before, after):
    """Return the names of all tensors that differ between two models."""
    old, new = before.state_dict(), after.state_dict()
    return [name for name in old if not torch.equal(old[name], new[name])]


drifted = show_photos(copy.deepcopy(frozen).train())
print("moved first:", moved(frozen, drifted)[:3])
print("a weight among them:", any("weight" in name for name in moved(frozen, drifted)))
after = metrics.collect_logits(drifted, loaders.test)[0].argmax(1)
print(f"{(after != answers['frozen']).sum()} of {len(after)} answers changed:", end=" ")
drift = metrics.compare(test_labels, after, answers["frozen"])
print(f"{drift.first_only} turned right, {drift.second_only} wrong, the rest stayed so")
count = len(loaders.train)
print(f"after {count} batches, {1 - 0.9**count:.0%} of the statistics is new")

# %% [markdown]
# BatchNorm's running mean and variance are buffers. No optimiser touches them, and
# `requires_grad` means nothing to them. In `train()` each batch replaces a tenth of the
# old value, so after $n$ batches $1 - 0.9^n$ is new: half of it after seven.
#
# **Guess 3:** answers change. In one run on photos
# 18<!-- results: 06_transfer_learning-quick-photos-seed0 drift.first_only --> turned
# right and 15<!-- results:
# 06_transfer_learning-quick-photos-seed0 drift.second_only --> turned wrong: nearly
# as many. Nothing keeps the two in balance: in your run more may have turned wrong.
#
# The remedy is to keep the norms in `eval()`. A loop calls `model.train()` at every
# epoch, which reaches every layer: set them back each time.


# %%
# BatchNorm that keeps its statistics while the rest is in training mode
def freeze_norms(model):
    """Return the same model with its norms in eval(): after each `model.train()`."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


kept = show_photos(freeze_norms(copy.deepcopy(frozen).train()))
print("moved:", moved(frozen, kept))

# %% [markdown]
# Should they also stay still while *everything* is fine-tuned? Not at fine-tuning's
# rate, the only one tried: at 30 photos a class still norms reached 55.9 %<!-- results:
# 06_study-imagenet200-norms-frozen-30-photos-seed* test_accuracy -->
# and moving ones 58.5 %<!-- results:
# 06_study-imagenet200-finetuned-30-photos-seed* test_accuracy -->,
# and moving ones were ahead with each of the three seeds.
#
# **So what:** frozen takes two things: no gradients for the weights, and `eval()` for
# the norms. Or compute the features once, and nothing can move.

# %% [markdown]
# ## 6 · Which way for your photos?
#
# This section is a guide. Two things decide: how many photos you have, and how much the
# start knows of such things. `imagenet200` has seen photos of 200 things. `cifar10` has
# seen ten; it also has a third of the channels, so more than distance sets it apart.

# %%
# The recorded study from a start that knows less: test accuracy
less = load_results("06_study-cifar10")
less.sort(key=lambda run: run["train_size"])
show_table(*pivot(less, rows="way", columns="train_size", value="test_accuracy"))

# %% [markdown]
# Begin with a probe, judged on *validation* photos: it takes a minute at most. If it is
# good enough, stop. If not:
#
# - **The start knows such things:** train everything. On the flowers' test photos that
#   gave 54.5 %<!-- results:
#   06_study-imagenet200-finetuned-10-photos-seed* test_accuracy -->
#   where a probe gave 51.3 %<!-- results:
#   06_study-imagenet200-frozen-10-photos-seed* test_accuracy --> with 10 a class (one
#   seed a tie), 67.1 %<!-- results:
#   06_study-imagenet200-finetuned-100-photos-seed* test_accuracy -->
#   where it gave 61.6 %<!-- results:
#   06_study-imagenet200-frozen-100-photos-seed* test_accuracy --> with 100, and
#   75.1 %<!-- results:
#   06_study-imagenet200-finetuned-all-photos-seed* test_accuracy -->
#   where it gave 67.1 %<!-- results:
#   06_study-imagenet200-frozen-all-photos-seed* test_accuracy --> with all: about
#   what random weights gave, 68.5 %<!-- results:
#   06_study-imagenet200-scratch-all-photos-seed* test_accuracy -->.
#   Whether head first or smaller early steps are better still, three seeds do not
#   settle.
# - **The start knows little of them:** train everything. At every size the probe was
#   behind random weights, and everything trained ahead of both: 36.2 %<!-- results:
#   06_study-cifar10-frozen-10-photos-seed* test_accuracy -->,
#   39.8 %<!-- results:
#   06_study-cifar10-scratch-10-photos-seed* test_accuracy --> and
#   47.8 %<!-- results:
#   06_study-cifar10-finetuned-10-photos-seed* test_accuracy --> at 10 photos.

# %% [markdown]
# Not measured: early stages frozen (the ★★★ exercise), and images *unlike* the training
# photos. On those, Kumar et al. found full fine-tuning worse than a probe, on average
# over their data sets, and head first better than both.
#
# ### Your own photos
#
# Put them into one folder a class, ten photos or more in each, name the folder below,
# and run the cell. Without a folder it uses the flowers.


# %%
# A probe on your own photos
from pathlib import Path

from course_utils.data.photo_splits import load_photo_folder

MY_PHOTOS = None  # for example "/home/me/my_photos", with my_photos/<class>/*.jpg


def probe(start, photos):
    """Return hits and images of the validation part, of a head on a frozen body."""
    model = replace_head(copy.deepcopy(start.model), len(photos.classes))
    size = {"image_size": start.image_size, "mean": start.mean, "std": start.std}
    options = {"per_class": per_class, "augment": evaluation_transform(**size)}
    parts = photos.loaders(32, **size, **options, device=session.device)
    train_head(model.to(session.device), parts.train, 50, RATES["frozen"])
    count = len(parts.val.dataset)
    return round(evaluate(model, parts.val).accuracy * count), count


mine = load_photo_folder(Path(MY_PHOTOS), short_side=128) if MY_PHOTOS else splits
hits, count = probe(backbone, mine)
low, high = metrics.wilson_interval(hits, count)
print(f"{hits} of {count} validation photos right: {low:.0%} to {high:.0%}")

# %% [markdown]
# Ten photos a class leave one validation photo of each: read the interval.
#
# ImageNet's own networks, trained on 1.28 million photos of 1 000 classes, are one call
# away, and a download, which the next cell makes only if you ask for it.

# %%
# ImageNet's ResNet-34, if its file is in imagenet/ of your data folder
DOWNLOAD = False  # True fetches it, once: 83 MiB
folder = (session.data_dir or Path("data")) / "imagenet"
if DOWNLOAD or any(folder.glob("resnet34-*.pth")):
    resnet34 = load_backbone("resnet34", session.data_dir)
    hits, count = probe(resnet34, splits)
    print(f"{resnet34.description}: {hits} of {count} validation photos right")
else:
    print("ResNet-34's ImageNet weights are not there: nothing was computed.")

# %% [markdown]
# Their accuracy is not measured: our recorded runs had no internet.
#
# **So what:** probe first; then see on validation photos whether training everything
# pays.

# %% [markdown]
# ## Myths, tested
#
# ### "With few photos, train only the head: training everything over-fits"
#
# 50 photos cannot fit 2.4 million weights, it is said. The study has twelve pairs of
# runs with the same photos.

# %%
# The same photos, only the head or everything: test accuracy, one row a pair
pairs = [run for run in study if run["way"] in ("frozen", "finetuned")]
pairs = [run | {"photos, seed": (run["train_size"], run["seed"])} for run in pairs]
show_table(*pivot(pairs, rows="photos, seed", columns="way", value="test_accuracy"))

# %% [markdown]
# In none of the twelve pairs was fine-tuning behind. Each way had its own rate, and
# only training everything had augmentation. From 30 photos a class on, the rule cost
# accuracy with every seed; at 10, one pair of three is a tie.
#
# ## Results
#
# The next cell made the recorded numbers of your kind of run.

# %%
# Keep this run's numbers
result = {
    "lesson": "06_transfer_learning",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "seed": session.seed,
    "leads": {other: lead._asdict() for other, lead in leads.items()},
    "drift": drift._asdict(),
}
save_result(run_dir / "result.json", result, session.device)
session.report(f"finetuned minus scratch: {leads['scratch']}", data=splits.describe())

# %% [markdown]
# **What this does not show.** One kind of network, images of 64 pixels, photos from one
# source: those you take yourself may look different.

# %% [markdown]
# ## Summary
#
# 1. *Photos to batches.* A stratified index by seed, in three parts; random crops to
#    train, resize and centre crop to evaluate, the start's own normalisation.
# 2. *A new head.* Replace `fc`, or load without `fc.*` and `strict=False`; read the
#    report.
# 3. *Four ways.* Each at its own rate, with seeds. From `imagenet200`, at 30 photos a
#    class, finetuned, by-depth and head-first lead, then comes the frozen body, then
#    random weights.
# 4. *Frozen.* No gradients for the weights, `eval()` for the norms. Or compute features
#    once.
# 5. *Your photos.* Probe first: it takes little time. Then train more, and compare.

# %% [markdown]
# ## Exercises
#
# The first lacks the last step, the second two, the third all.
#
# ### ★ Your own report
#
# `strict=False` raises an error where shapes differ. Write a report that covers this,
# too: sorted lists of names that are missing (the model has them, the file does not),
# unexpected (the other way round), and misfits (both have them, in different shapes).
#
# Expected: for a model and its own state dict, three empty lists.


# %% tags=["exercise"]
# Finish the function: the misfits
def loading_report(
    model: torch.nn.Module, state_dict: dict[str, torch.Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Return the names that are missing, unexpected, and of another shape."""
    own = model.state_dict()
    missing = sorted(own.keys() - state_dict.keys())
    unexpected = sorted(state_dict.keys() - own.keys())
    misfits = []
    for name in sorted(own):
        if name in state_dict:
            raise NotImplementedError  # the last step: append it if the shapes differ
    return missing, unexpected, misfits


check.loading_report(loading_report)


# %% tags=["solution"]
# Solution
def loading_report(
    model: torch.nn.Module, state_dict: dict[str, torch.Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Return the names that are missing, unexpected, and of another shape."""
    own = model.state_dict()
    missing = sorted(own.keys() - state_dict.keys())
    unexpected = sorted(state_dict.keys() - own.keys())
    misfits = []
    for name in sorted(own):
        if name in state_dict and own[name].shape != state_dict[name].shape:
            misfits.append(name)
    return missing, unexpected, misfits


check.loading_report(loading_report)

# %% [markdown]
# ### ★★ Stratified folds
#
# A tenth of few photos is a small validation set. **Cross-validation** validates on
# each photo once: cut all of them into `num_folds` folds, and let each be the
# validation part in turn. Between two folds the number of photos of a class differs by
# one at most. `np.array_split([7, 8, 9, 3, 4], 2)` gives `[7, 8, 9]` and `[3, 4]`, and
# `np.concatenate` joins arrays again. Two steps are missing.
#
# Expected: with 25 photos of one class, five folds have five each.


# %% tags=["exercise"]
# Finish the function: two steps are missing
def stratified_folds(
    labels: np.ndarray, num_folds: int, seed: int = 0
) -> list[np.ndarray]:
    """Return positions of each fold, every class spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    folds = [[] for _ in range(num_folds)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts = [members] * num_folds  # first step: cut them into nearly equal parts
        for fold, part in zip(folds, parts, strict=True):
            fold.append(part)
    raise NotImplementedError  # second step: return each fold's parts as one array


check.stratified_folds(stratified_folds)


# %% tags=["solution"]
# Solution
def stratified_folds(
    labels: np.ndarray, num_folds: int, seed: int = 0
) -> list[np.ndarray]:
    """Return positions of each fold, every class spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    folds = [[] for _ in range(num_folds)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts = np.array_split(members, num_folds)
        for fold, part in zip(folds, parts, strict=True):
            fold.append(part)
    return [np.concatenate(fold) for fold in folds]


check.stratified_folds(stratified_folds)

# %% [markdown]
# ### ★★★ Partly frozen
#
# Between a probe and full fine-tuning lies *partial* fine-tuning. Freeze every part
# that stands before the part called `name`: no gradients, which is
# `part.requires_grad_(False)`, and `eval()`. Leave the parts from `name` on as they
# are. Like `freeze_norms`, the function is called after each `model.train()`.
# `model.named_children()` gives names and parts in their order; `name` is one of them.
#
# Expected: with `name="fc"` only the head's weight and bias still require gradients.


# %% tags=["exercise"]
# Write the function
def freeze_before(model: torch.nn.Module, name: str) -> torch.nn.Module:
    """Return the same model, after freezing every part before the part `name`."""
    raise NotImplementedError


check.freeze_before(freeze_before)


# %% tags=["solution"]
# Solution
def freeze_before(model: torch.nn.Module, name: str) -> torch.nn.Module:
    """Return the same model, after freezing every part before the part `name`."""
    for part_name, part in model.named_children():
        if part_name == name:
            break
        part.requires_grad_(False)
        part.eval()
    return model


check.freeze_before(freeze_before)

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
# **No.** An optimiser skips a parameter whose gradient is `None`. (Decay and momentum
# would go on where a gradient is zero, or left over from before.)
#
# </details>
# <details><summary>No: <code>train()</code> matters to dropout alone.</summary>
#
# **No.** It matters to BatchNorm as well, which then uses the batch and changes what it
# stores.
#
# </details>

# %% [markdown]
# **5. Two tutorials on the same flowers report accuracies, one far above the other.
# What do you ask first?**
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
# **Right.** And an accuracy that also chose the epoch tends to be too high, as where
# the validation part is used twice (section 1).
#
# </details>
# <details><summary>Whose training loss ends lower?</summary>
#
# **No.** A loss is no accuracy, and a training loss speaks of images that were learnt.
#
# </details>

# %% [markdown]
# ## References
#
# - A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang, *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution*, 2022, arXiv 2202.10054.
# - J. Howard, S. Ruder, *Universal Language Model Fine-tuning for Text
#   Classification*, 2018, arXiv 1801.06146.
# - K. He, R. Girshick, P. Dollár, *Rethinking ImageNet Pre-training*, 2018, arXiv
#   1811.08883.
# - The TensorFlow Team, *Flowers*, 2019: the photos of five classes.

# %% [markdown]
# **Further:** what carries over, layer by layer, and what published accuracies can be
# compared with: [deep dive 06b](06b_what_carries_over.ipynb). **Next:** [lesson
# 07](07_prediction.ipynb) shows your network a photo from the web.
