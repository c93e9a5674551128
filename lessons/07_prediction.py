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
# # 07 · Prediction from a file, a folder and the web
#
# **After this lesson you can**
#
# 1. carry a photo from its file to named probabilities, every step by hand;
# 2. say what must travel with the weights, and find a fault in the preparation;
# 3. name the photos of a folder, an address and an upload;
# 4. say what becomes of a network among images of another kind;
# 5. measure whether it knows a stranger when it meets one, and let it refuse.
#
# **Know first:** [Lesson 04](04_per_class_evaluation.ipynb) (confidence, intervals) and
# [Lesson 06](06_transfer_learning.ipynb) (the flowers, transforms).
#
# **Reading** 42 minutes · **exercises** 25 minutes · **run time** quick CPU about 30 s
# (two quiet cores, estimated), full GPU not measured

# %% [markdown]
# ## Three questions from before
#
# Answer aloud, then open.
#
# <details><summary>Lesson 06: all weights of a network are frozen, and it sees training
# images in train mode. Why do its answers change?</summary>
#
# BatchNorm's running statistics are no weights. They follow the batches that pass,
# unless the norms are in `eval()`.
#
# </details>
# <details><summary>Lesson 05: does a Grad-CAM map show that an answer is
# right?</summary>
#
# No. It shows what speaks for an answer, and there is a map for every answer, a wrong
# one too.
#
# </details>
# <details><summary>Lesson 03: which images choose, and which ones judge?</summary>
#
# Validation images choose: the epoch, the rate, later in this lesson a threshold. Test
# images judge, once, what was chosen without them.
#
# </details>

# %% tags=["setup"]
# Import what the lesson uses, and start a session
import matplotlib.pyplot as plt
import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

from course_classroom.checks import lesson_07 as check
from course_utils import metrics, plotting, prediction
from course_utils.results import pivot, save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# One photo, from anywhere, and a name for it. Write down guesses:
#
# 1. Which mistake costs a network of flowers most: photos not normalised, red and blue
#    swapped, or half the pixels a side?
# 2. It knows five flowers and is shown parts of a photo of a temple. How sure is it, on
#    average?
# 3. It may refuse to answer, as long as it answers 95 of 100 pictures of its flowers.
#    How many of 100 parts of the temple does it still call a flower?

# %% [markdown]
# ## 1 · One photo, by hand
#
# This section shows every step from a file to a name.
#
# The network is your own of lesson 06, if it was trained on the data in use; else one
# that ships with the course. Numbers *in the text* are recorded: the shipped network
# `flowers` (one training), judged on flower photos it has never seen. Without photos
# you have sketches, drawn by a program, and the network that knows those.

# %%
# Load the data, and choose a network for it
from course_utils.data.flowers import load_flowers
from course_utils.pretrained import own_or_shipped, pretrained_path

splits = load_flowers(session.data_dir, short_side=session.pick(quick=128, full=256))
classes = splits.classes
print(splits.describe(), "(training / validation / test)")
weights = own_or_shipped(session, splits)
test_images = [splits.photos[place] for place in splits.split.test.tolist()]
test_labels = torch.from_numpy(splits.labels[splits.split.test])

# %% [markdown]
# To predict, you need files. So 41 test images are written to a folder as JPEG.

# %%
# Write a folder of photos
import tempfile
from pathlib import Path

scratch = tempfile.TemporaryDirectory()  # deleted when the notebook ends
folder = Path(scratch.name) / "photos"
folder.mkdir()
for number, image in enumerate(test_images[:41]):
    name = f"{number:02}_{classes[test_labels[number]]}.jpg"
    F.to_pil_image(image).save(folder / name, quality=95)
photo_path = min(folder.glob("*_daisy.jpg"))
print(photo_path.name)

# %% [markdown]
# A checkpoint is a dictionary. Beside the weights it holds the order of the classes and
# how images are prepared. `weights_only=True` refuses all pickled objects but tensors,
# plain
# values and allowed types; others could run any code while they are loaded. Many
# tutorials keep the names in a file
# `class_indices.json`. It has a trap: keys in JSON are always text.

# %%
# Read the checkpoint, and write the names as tutorials do
import json

from course_utils.training.checkpoint import build_model

file = weights if isinstance(weights, Path) else pretrained_path(weights)
checkpoint = torch.load(file, map_location="cpu", weights_only=True)
data = checkpoint["data"]
print("entries:", ", ".join(checkpoint), "· of data:", ", ".join(data))
network = build_model(checkpoint["architecture"])
print(network.load_state_dict(checkpoint["model"]))
index_file = folder.parent / "class_indices.json"
index_file.write_text(json.dumps(dict(enumerate(data["classes"]))))
class_indices = json.loads(index_file.read_text())
print(class_indices)
print("key 2:", 2 in class_indices, "· key '2':", "2" in class_indices)

# %% [markdown]
# Four steps lead from a file to an answer:
#
# - **open** it, upright (a phone only *notes* how to turn a photo, in its EXIF data),
#   in three colours;
# - **transform** it exactly as in validation;
# - **unsqueeze**: a network takes batches, so one photo becomes a batch of one;
# - **ask**, in `eval()` and under `inference_mode()`, the stricter `no_grad()`: what it
#   makes cannot be saved for a gradient, unless cloned outside.

# %%
# The four steps
from PIL import Image, ImageOps
from torchvision.transforms import v2

photo = ImageOps.exif_transpose(Image.open(photo_path)).convert("RGB")
transform = v2.Compose(
    [
        v2.ToImage(),  # uint8 (3, H, W)
        v2.Resize(data["resize"], antialias=True),  # the shorter side
        v2.CenterCrop(data["image_size"]),
        v2.ToDtype(torch.float32, scale=True),  # 0..255 becomes 0..1
        v2.Normalize(data["mean"], data["std"]),
    ]
)
batch = transform(photo).unsqueeze(0)  # (1, 3, S, S)
network.eval()
with torch.inference_mode():
    photo_logits = network(batch)  # (1, num_classes)
probabilities = photo_logits.softmax(1)[0]  # (num_classes,)
for k, probability in enumerate(probabilities.tolist()):
    print(f"class: {class_indices[str(k)]:<10}   prob: {probability:.3f}")

# %% [markdown]
# Every line can be forgotten. So `course_utils` has them as one function. A
# **predictor** is a network with its classes and its transform. Do the two agree?

# %%
# Figure: the photo, and beside it the network's probabilities as bars, the most
# probable class on top.
predictor = prediction.load_predictor(weights, device=session.device)
answer = prediction.predict(predictor, photo_path)
gap = np.abs(answer.probabilities - probabilities.double().numpy()).max()
print(f"largest difference from the four steps: {gap:.0e}")
plotting.plot_prediction(photo, answer.classes, answer.probabilities)
plt.show()

# %% [markdown]
# **So what:** a prediction is weights, classes and transform together; leave one out,
# and the number you print belongs to nothing.

# %% [markdown]
# ## 2 · What must travel with the weights
#
# This section shows what a fault in the preparation costs, and how to find it.


# %%
# Prepare an image, with a fault if asked for
def prepare(image, resize_to, crop, mean, std, divisor=255, bgr=False):
    """Return a uint8 image (3, H, W) as the network takes it."""
    image = image.flip(0) if bgr else image
    image = F.resize(image, resize_to, antialias=True)
    image = F.center_crop(image, crop).float() / divisor
    return F.normalize(image, mean, std)


size, resize = data["image_size"], data["resize"]
RIGHT = {"resize_to": resize, "crop": size, "mean": data["mean"], "std": data["std"]}
FAULTS = {
    "as in training": {},
    "not normalised": {"mean": [0, 0, 0], "std": [1, 1, 1]},
    "values up to 255": {"divisor": 1},
    "red and blue swapped": {"bgr": True},
    "half the pixels a side": {"resize_to": resize // 2, "crop": size // 2},
}

# %% [markdown]
# No fault raises an error. So look at the **input tensor** first, which needs no
# labels. The statistics are those of the images that the network's *start* had learnt
# from: the network whose weights it was trained on from (lesson 06). So expect a mean
# near 0 and a deviation near 1, not exactly.


# %%
# Look at the input tensor first, then ask the network
from functools import partial


@torch.inference_mode()
def logits_of(model, images, transform, batch_size=32):
    """Return logits (N, num_classes) of uint8 images, in the model's present mode."""
    parts = []
    for first in range(0, len(images), batch_size):
        some = [transform(image) for image in images[first : first + batch_size]]
        parts.append(model(torch.stack(some).to(session.device)).cpu().double())
    return torch.cat(parts)


inputs, logits = {}, {}  # by fault
for name, fault in FAULTS.items():
    faulty = partial(prepare, **(RIGHT | fault))
    inputs[name] = torch.stack([faulty(image) for image in test_images[:64]])
    logits[name] = logits_of(predictor.model, test_images, faulty)
    x = inputs[name]
    print(f"{name:22} {x.shape[-1]} pixels, mean {x.mean():.1f} ± {x.std():.1f}")

# %% [markdown]
# Two kinds of fault leave the image alone. `eval()` is forgotten: BatchNorm uses the
# statistics of the batch at hand, 32 photos or only the one you ask about. And the
# names are out of order: here each class has its neighbour's.

# %%
# Faults outside the image; then what the labels say of all faults
import copy

for name, count in (("eval() forgotten, 32", 32), ("eval() forgotten, 1", 1)):
    forgetful = copy.deepcopy(predictor.model).train()  # its statistics will change
    logits[name] = logits_of(forgetful, test_images, predictor.transform, count)
logits["names out of order"] = logits["as in training"].roll(1, dims=1)

rows, faults = [], {}
for name, found in logits.items():
    accuracy = metrics.accuracy(found, test_labels)
    confidence = found.softmax(1).max(1).values.mean().item()
    faults[name.replace(" ", "_")] = {"accuracy": accuracy, "confidence": confidence}
    rows.append([name, f"{accuracy:.1%}", f"{confidence:.1%}"])
show_table(("prepared and asked", "accuracy", "mean confidence"), rows)

# %% [markdown]
# Guess 1: of the three, missing normalisation costs most. On photos, without a fault
# 74.6 %<!-- results: 07_*photos* faults.as_in_training.accuracy -->
# are right; half the pixels leave
# 62.4 %<!-- results: 07_*photos* faults.half_the_pixels_a_side.accuracy -->,
# red and blue swapped
# 41.1 %<!-- results: 07_*photos* faults.red_and_blue_swapped.accuracy -->,
# no normalisation
# 25.1 %<!-- results: 07_*photos* faults.not_normalised.accuracy -->,
# about as many as always naming one class. On sketches the other two change places
# (67.5 %<!-- results: 07_*sketches* faults.half_the_pixels_a_side.accuracy --> and
# 76.5 %<!-- results: 07_*sketches* faults.red_and_blue_swapped.accuracy -->).
#
# Missing normalisation, values up to 255 and half the pixels stand in the numbers of
# the input. Swapped colours hardly change them; they show in the *picture*, below.

# %% [markdown]
# The printed probabilities warn of some faults only. Values up to 255 give
# 24.5 %<!-- results: 07_*photos* faults.values_up_to_255.accuracy -->
# right answers with a mean confidence of
# 100.0 %<!-- results: 07_*photos* faults.values_up_to_255.confidence -->.
#
# A forgotten `eval()` leaves
# 71.4 %<!-- results: 07_*photos* faults.eval()_forgotten,_32.accuracy -->
# in batches of 32, a difference that may be chance on so few photos; but
# 24.8 %<!-- results: 07_*photos* faults.eval()_forgotten,_1.accuracy -->
# where each user sends one photo. Names out of order give
# 6.7 %<!-- results: 07_*photos* faults.names_out_of_order.accuracy -->.

# %% tags=["figure"]
# Figure: one photo as the network is shown it after three preparations: as in
# training, red and blue swapped, half the pixels.
shown = ["as in training", "red and blue swapped", "half the pixels a side"]
fig, axes = plt.subplots(1, len(shown), figsize=(7, 2.5))
mean, std = torch.tensor(data["mean"]), torch.tensor(data["std"])
for axis, name in zip(axes, shown, strict=True):
    seen = inputs[name][0] * std[:, None, None] + mean[:, None, None]
    axis.imshow(seen.permute(1, 2, 0).clip(0, 1), interpolation="nearest")
    axis.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))  # all at one scale
    axis.set_title(name, fontsize="small")
    axis.axis("off")
plt.show()

# %% [markdown]
# What the network is shown of one test image, normalisation undone, all at one scale.
#
# **So what:** look at the tensor before you count labels: its size, mean and deviation,
# then its picture. The order of the names and the mode leave no trace there, slightly
# wrong statistics hardly one; so let classes and transform travel in the checkpoint.

# %% [markdown]
# ## 3 · A folder, an address, an upload
#
# This section shows the three ways in which photos usually come. Two files join the
# folder that are no photos: a download that broke off, and a web page under a photo's
# name. What should become of the other 41?

# %%
# Name a folder of photos, in batches
whole = photo_path.read_bytes()
(folder / "broken_off.jpg").write_bytes(whole[: len(whole) // 2])
(folder / "web_page.jpg").write_text("<html>Not found</html>")

table_file = folder.parent / "predictions.csv"
listing = prediction.predict_folder(
    predictor, folder, batch_size=16, csv_path=table_file, progress=False
)
lines = str(listing).replace(str(folder), "…").splitlines()
print(*lines[:3], "…", *lines[-2:], sep="\n")
print(f"{len(listing.rows)} files, {len(listing.failed)} of them not named;", end=" ")
print(f"the last batch has {len(listing.rows) % 16} files")

# %% [markdown]
# A damaged file is a row with its reason; the others go on. The last batch is short and
# counts as well: a loader with `drop_last=True` would forget it without a word. The
# rows also stand in a CSV file.
#
# ### From the web
#
# `predict` takes an address in place of a path. The one below is your own machine. Put
# a photo's address there, for example this sunflower's:
# <https://storage.googleapis.com/download.tensorflow.org/example_images/592px-Red_sunflower.jpg>

# %%
# Name a photo from the web
address = "http://127.0.0.1/photo.jpg"
try:
    print(prediction.predict(predictor, address))
except prediction.ImageError as error:
    print(error)

# %% [markdown]
# A fetch is bounded in time and size, and what the body *is* decides, not its name. An
# address of your own network is refused: a program that fetches what *visitors* type
# could be made to ask machines that only it can reach (**server-side request
# forgery**). [Deep dive 07b](07b_fetching_safely.ipynb) plays both sides.
#
# ### An upload
#
# Run the next cell in JupyterLab, choose photos from your disk, and run the one after.

# %%
# A button that takes photos from your disk
import ipywidgets as widgets
from IPython.display import display

upload = widgets.FileUpload(accept="image/*", multiple=True)
display(upload)

# %%
# Name what was uploaded; run this again after each choice
for photo_file in upload.value:
    print(photo_file["name"])
    print(prediction.predict(predictor, bytes(photo_file["content"])))
print(f"{len(upload.value)} photos uploaded")

# %% [markdown]
# **So what:** files, addresses and bytes take one path, `load_image` and then the
# transform of the training; a bad file costs itself and nothing else.

# %% [markdown]
# ## 4 · Two networks, the same photos
#
# This section shows what becomes of a network among images of another kind. Two
# networks know the same five flowers: `flowers` learnt from photos, `flower-sketches`
# from drawings. Both now see the test images of *your* data. What will each say?

# %%
# Ask both networks, each with its own transform
networks, abroad, rows = {}, {}, []
for name in ("flowers", "flower-sketches"):
    networks[name] = other = prediction.load_predictor(name, device=session.device)
    found = logits_of(other.model, test_images, other.transform)
    accuracy = metrics.accuracy(found, test_labels)
    confidence = found.softmax(1).max(1).values.mean().item()
    abroad[name] = {"accuracy": accuracy, "confidence": confidence}
    rows.append([name, f"{accuracy:.1%}", f"{confidence:.1%}"])
show_table(("network", "accuracy", "mean confidence"), rows)

# %% [markdown]
# On photos `flowers` gets
# 74.6 %<!-- results: 07_*photos* abroad.flowers.accuracy -->
# right. `flower-sketches`, with
# 96.0 %<!-- results: 07_*sketches* abroad.flower-sketches.accuracy -->
# on sketches, gets
# 37.6 %<!-- results: 07_*photos* abroad.flower-sketches.accuracy -->.
# Its mean confidence falls much less, from
# 95.4 %<!-- results: 07_*sketches* abroad.flower-sketches.confidence -->
# to
# 80.9 %<!-- results: 07_*photos* abroad.flower-sketches.confidence -->.
# Such a move is called a **domain shift**. The other way costs too: on sketches
# `flowers` gets
# 55.5 %<!-- results: 07_*sketches* abroad.flowers.accuracy -->.
#
# scikit-learn brings two real photos: a temple, and a dahlia, a flower that is none of
# the five. Neither network has a word for them.

# %% tags=["figure"]
# Figure: the photos that installed packages bring, side by side, each with the answers
# of the network of photos and of the network of sketches above it.
samples = prediction.sample_photos()
wide = (4 * len(samples), 3.4)
fig, axes = plt.subplots(1, len(samples), figsize=wide, squeeze=False)
for axis, path in zip(axes[0], samples.values(), strict=True):
    tops = {n: prediction.predict(other, path).top[0] for n, other in networks.items()}
    said = [f"{n}: {word} {prob:.0%}" for n, (word, prob) in tops.items()]
    axis.imshow(prediction.load_image(path))
    axis.set_title("\n".join(said), fontsize=9)
    axis.axis("off")
plt.show()

# %% [markdown]
# Each names both all the same.
#
# **So what:** an accuracy belongs to a kind of image; among others the names keep
# coming, and much of the confidence with them.

# %% [markdown]
# ## 5 · Knowing when not to answer
#
# This section shows how to measure whether a network knows a stranger when it meets
# one. Images of another kind than the training's are called **out-of-distribution**,
# those of its own kind **in-distribution**. Two scores, each higher for strangers:
#
# - **doubt**, 1 minus the **maximum softmax probability** (MSP), which is lesson 04's
#   confidence (Hendrycks and Gimpel 2016);
# - the **energy**, $-\log\sum_k e^{z_k}$ of the logits $z_k$ (Liu et al. 2020). Read it
#   as "roughly minus the largest logit": logits 4, 1 and 0 give −4.07.
#
# The doubt sees only how far the logits lie apart; the energy also how high they are.

# %% [markdown]
# Four kinds of strangers. **Two choose** the score: CIFAR-10's images of other things
# (or their sketches), and noise. **Two judge** it: square parts of the temple, and of
# the dahlia. Who judges by the strangers that chose flatters the score.

# %%
# Four kinds of strangers
from course_utils.data.cifar10 import load_cifar10

rng = np.random.default_rng(session.seed)


def parts_of(path, number=60):
    """Return square parts of a photo, uint8 (3, s, s), of random place and size."""
    image, parts = F.pil_to_tensor(prediction.load_image(path)), []
    for side in (rng.uniform(0.4, 1, number) * min(image.shape[1:])).astype(int):
        top, left = rng.integers(0, np.subtract(image.shape[1:], side) + 1)
        parts.append(image[:, top : top + side, left : left + side])
    return parts


samples = prediction.sample_photos()
cifar = load_cifar10(session.data_dir).test.images
picks = rng.choice(len(cifar), session.pick(quick=300, full=2000), replace=False)
noise = rng.integers(0, 256, (60, 3, 96, 96), np.uint8)
groups = {
    "validation": [splits.photos[place] for place in splits.split.val.tolist()],
    "test": test_images,
    "CIFAR-10": list(torch.from_numpy(cifar[picks]).permute(0, 3, 1, 2)),
    "noise": list(torch.from_numpy(noise)),
    "temple": parts_of(samples["china"]),
    "dahlia": parts_of(samples["flower"]),
}

# %% [markdown]
# The last layer turns **features** into logits. Both will be needed.

# %%
# Features and logits of known images and of strangers
body = copy.deepcopy(predictor.model)
body.fc = torch.nn.Identity()  # the network without its last layer
last = copy.deepcopy(predictor.model.fc).cpu().double().requires_grad_(False)
features, group_logits = {}, {}
for name, images in groups.items():
    features[name] = logits_of(body, images, predictor.transform)
    group_logits[name] = last(features[name])

# %% [markdown]
# Two measures compare a score on known images and on one kind of stranger.
#
# - **AUROC**: take one of each; how often has the stranger the higher score? 1 is
#   perfect, 0.5 a coin; below it strangers look more known than the known.
# - **FPR95** (false positives: strangers that are answered): put the threshold so that
#   95 % of the known images lie
#   below it and are answered. What share of the strangers is answered, too? 0 is
#   perfect.


# %%
# Two scores, two measures
def doubt(logits):
    """Return 1 minus the maximum softmax probability, (N,)."""
    return 1 - logits.softmax(1).max(1).values


def energy(logits):
    """Return minus the log of the sum of the exponentials, (N,)."""
    return -logits.logsumexp(1)


def auroc(known, strange):
    """Return the share of pairs in which the stranger has the higher score."""
    return (strange[:, None] > known).double().mean().item()


def fpr95(known, strange):
    """Return the share of strangers below the threshold that answers 95 % of known."""
    return (strange <= known.quantile(0.95)).double().mean().item()


# %%
# Choose a score: both scores, by both measures, on two kinds of strangers
from itertools import product

choice = []
for name, measure, score in product(
    ("CIFAR-10", "noise"), (auroc, fpr95), (doubt, energy)
):
    value = measure(score(group_logits["validation"]), score(group_logits[name]))
    label = f"{measure.__name__.upper()}, {score.__name__}"
    choice.append({"strangers": name, "measure": label, "value": value})
by = {"rows": "strangers", "columns": "measure", "value": "value"}
show_table(*pivot(choice, **by, form=".2f"))

# %% [markdown]
# On photos the energy has the higher AUROC on both kinds, in each of three draws of
# strangers; on average
# 0.85<!-- results: 07_*photos* choice.1.value -->
# against 0.82<!-- results: 07_*photos* choice.0.value -->
# on CIFAR-10, 0.86<!-- results: 07_*photos* choice.5.value -->
# against 0.68<!-- results: 07_*photos* choice.4.value -->
# on noise. So the **energy** is used from here on, on sketches too, where neither leads
# clearly. It is no strong guard: with it
# 72 %<!-- results: 07_*photos* choice.3.value -->
# of CIFAR-10 and
# 81 %<!-- results: 07_*photos* choice.7.value -->
# of the noise are still answered.
#
# On sketches noise defeats both:
# 0.02<!-- results: 07_*sketches* choice.4.value --> and
# 0.00<!-- results: 07_*sketches* choice.5.value -->.
# To that network noise looks *more* known than a flower. Why?

# %% [markdown]
# ### Why strangers can look certain
#
# The last layer multiplies the features by its weights. So logits grow with the
# *length* of the feature vector, and logits far apart make a softmax certain. Which
# images have the longest features in your network?
#
# The last four rows try something else. Hein et al. (2019) prove: multiply almost any
# input tensor by a growing number, and a network of ReLUs and linear pieces becomes
# certain (in `eval()` BatchNorm is such a piece). Here 60 test images are multiplied.

# %%
# The length of the features, of strangers and of inputs far out
for times in (1, 4, 16, 64):
    features[f"test × {times}"] = logits_of(
        body, test_images[:60], lambda image, k=times: k * predictor.transform(image)
    )
rows, far = [], {}
for name, values in features.items():
    found = last(values)
    columns_of = values.norm(dim=1), energy(found), 1 - doubt(found)
    means = [column.mean().item() for column in columns_of]
    far[name.replace(" ", "")] = means
    rows.append([name, *(f"{value:.2f}" for value in means)])
show_table(("input", "length of the features", "energy", "confidence"), rows)

# %% [markdown]
# In the network of sketches noise has features of length
# 19.5<!-- results: 07_*sketches* far.noise.0 -->,
# test images
# 5.4<!-- results: 07_*sketches* far.test.0 -->.
# So its energy is
# −38<!-- results: 07_*sketches* far.noise.1 -->,
# its confidence
# 100.0 %<!-- results: 07_*sketches* far.noise.2 -->.
# In the network of photos it has
# 1.8<!-- results: 07_*photos* far.noise.0 -->
# against 3.4<!-- results: 07_*photos* far.test.0 -->,
# and the energy can tell it from many test images, not from all. Nobody chose either:
# training looks at the images it has.
#
# Far out certainty comes, if not steadily: at 64 times the input the mean confidence on
# photos is
# 99.3 %<!-- results: 07_*photos* far.test×64.2 -->.

# %% [markdown]
# ### A threshold, and a network that may refuse
#
# The threshold comes from the validation images: 95 % of them are answered. Test images
# and the other two kinds of strangers judge.

# %%
# Choose the threshold on validation images; then judge
threshold = energy(group_logits["validation"]).quantile(0.95).item()
known, judged = energy(group_logits["test"]), {}
for name in ("test", "temple", "dahlia"):
    strange = energy(group_logits[name])
    answered = (strange <= threshold).double().mean().item()
    judged[name] = {"answered": answered, "auroc": auroc(known, strange)}
    print(f"{name:7} answered {answered:.0%}")


# %% [markdown]
# Guesses 2 and 3. On photos parts of the temple get a mean confidence of
# 45.4 %<!-- results: 07_*photos* far.temple.2 -->,
# and
# 39 %<!-- results: 07_*photos* judged.temple.answered -->
# of them are called a flower. Of the dahlia's parts
# 98 %<!-- results: 07_*photos* judged.dahlia.answered -->
# get one of the five names, with an AUROC of
# 0.52<!-- results: 07_*photos* judged.dahlia.auroc -->:
# a flower that is not among the five looks as known as those that are. Strangers that
# look like the training (*near* out-of-distribution) are often the hard ones; on
# sketches noise is harder
# still. Of the test
# images
# 95 %<!-- results: 07_*photos* judged.test.answered -->
# are answered, as was chosen on validation.
#
# Now image by image, the first four of each kind.


# %%
# Name an image, or refuse
def name_or_refuse(image):
    """Return the name of a uint8 image's class, or that it is none of them."""
    found = logits_of(predictor.model, [image], predictor.transform)
    if energy(found).item() > threshold:
        return "I don't know"
    return predictor.classes[found.argmax()]


for name, images in groups.items():
    print(f"{name:10}", " · ".join(map(name_or_refuse, images[:4])))

# %% tags=["figure"]
# Figure: box plots of the energy, a row for known images and for each kind of stranger:
# the box holds the middle half, the whiskers 90 %; a dotted line is the threshold, and
# what lies right of it is refused. Boxes beyond the left edge have an arrow there.
values = [energy(group_logits[name]).numpy() for name in groups]
left = min(np.quantile(values[1], 0.01), threshold) - 2
fig, axis = plt.subplots(figsize=(7, 2.8))
axis.boxplot(values, orientation="horizontal", whis=(5, 95), showfliers=False)
for row, energies in enumerate(values, 1):
    if np.median(energies) < left:
        axis.text(left, row, f"  ← at {np.median(energies):.0f}", va="center")
axis.axvline(threshold, color="black", ls=":")
axis.text(threshold, 0.4, "threshold", ha="center", fontsize="small")
axis.set(xlabel="energy (refused: right of the threshold)", xlim=(left, 0.5))
axis.set_yticks(range(1, len(groups) + 1), groups)
axis.invert_yaxis()
plt.show()

# %% [markdown]
# Orange is the median. Where a box overlaps that of the test images, no threshold parts
# the two.
#
# **So what:** refusing is measured for each kind of stranger apart; a near one may pass
# like a known image, and far out nothing is promised at all.

# %% [markdown]
# ## Myths, tested
#
# ### "Softmax twice does no harm"
#
# A network ends in a softmax, and the code that prints applies another. The class stays
# the same. And the number?

# %%
# Softmax once and twice, on the test images
once = group_logits["test"].softmax(1)
twice = once.softmax(1)
sure_once, sure_twice = (p.max(1).values.mean().item() for p in (once, twice))
print("same class for all:", torch.equal(once.argmax(1), twice.argmax(1)))
print(f"mean confidence: once {sure_once:.1%}, twice {sure_twice:.1%}")

# %% [markdown]
# The second softmax is fed with numbers from 0 to 1. So for five classes it gives at
# most $e/(e+4)$, or 40 %, however sure the network is. On photos the mean confidence
# falls from
# 77.7 %<!-- results: 07_*photos* once --> to
# 34.2 %<!-- results: 07_*photos* twice -->.
# No accuracy finds this fault, and every threshold breaks. Refuted.

# %% [markdown]
# ## Results
#
# An earlier version of this cell, which kept more, made the recorded numbers.

# %%
# Keep this run's numbers
result = {
    "lesson": "07_prediction",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "network": weights if isinstance(weights, str) else "the reader's own",
    "seed": session.seed,  # draws the strangers; the network is one
}
result |= {"faults": faults, "abroad": abroad, "choice": choice, "far": far}
result |= {"judged": judged, "once": sure_once, "twice": sure_twice}
path = session.run_dir("07_prediction") / "result.json"
save_result(path, result, session.device)
session.report(f"mean confidence {sure_once:.1%}", data=splits.describe())

# %% [markdown]
# **What this does not show.** One network, one training. 60 parts of one photo count
# for little more than one photo. CIFAR's 32 pixels are blurred when enlarged, so blur
# may be what is noticed. And nobody tried to fool the network on purpose.

# %% [markdown]
# ## Summary
#
# 1. *By hand.* Open, upright, RGB; transform; `unsqueeze`; `eval()` and
#    `inference_mode()`; softmax once; names by their keys.
# 2. *What must travel.* Weights, classes in their order, the transform. Look at the
#    input tensor, its numbers and its picture, before you count labels.
# 3. *Folder, address, upload.* One path for all; a bad file is a row with its reason.
# 4. *Another kind of image.* The network of sketches still names every photo, mostly
#    wrongly, and is surer than it is right.
# 5. *Refusing.* Out-of-distribution, MSP, energy; AUROC and FPR95, for each kind of
#    stranger apart; a threshold from validation images.

# %% [markdown]
# ## Exercises
#
# The first lacks the last step, the second two, the third all.
#
# ### ★ Names by the right keys
#
# Given probabilities and the dictionary that `class_indices.json` holds, return the
# `k` most probable names with their probabilities, the best first. The entries of the
# file may stand in any order.
#
# Expected: `top_names(torch.tensor([0.2, 0.8]), {"1": "tulip", "0": "rose"}, 1)` is
# `[("tulip", 0.8)]`, up to rounding.


# %% tags=["exercise"]
# Finish the function: which name belongs to an index?
def top_names(
    probabilities: torch.Tensor, class_indices: dict[str, str], k: int
) -> list[tuple[str, float]]:
    """Return the k most probable names; probabilities are (num_classes,)."""
    values, indices = probabilities.topk(k)  # the best first
    values, indices = values.tolist(), indices.tolist()
    raise NotImplementedError  # the last step: pairs of name and value


check.top_names(top_names)


# %% tags=["solution"]
# Solution
def top_names(
    probabilities: torch.Tensor, class_indices: dict[str, str], k: int
) -> list[tuple[str, float]]:
    """Return the k most probable names; probabilities are (num_classes,)."""
    values, indices = probabilities.topk(k)  # the best first
    values, indices = values.tolist(), indices.tolist()
    names = [class_indices[str(index)] for index in indices]
    return list(zip(names, values, strict=True))


check.top_names(top_names)

# %% [markdown]
# ### ★★ Refuse by energy
#
# Choose the threshold so that a share `keep` of the validation images is answered; then
# say which other images are refused: those whose energy lies above it. Use section 5's
# `energy`.
#
# Expected: with `keep=1.0`, none of the validation images themselves is refused.


# %% tags=["exercise"]
# Finish the function: two steps are missing
def refused_by_energy(
    val_logits: torch.Tensor, logits: torch.Tensor, keep: float
) -> torch.Tensor:
    """Return bool (N,), True where logits (N, K) are to be refused."""
    raise NotImplementedError  # two steps: the threshold, and who lies above it


check.refused_by_energy(refused_by_energy)


# %% tags=["solution"]
# Solution
def refused_by_energy(
    val_logits: torch.Tensor, logits: torch.Tensor, keep: float
) -> torch.Tensor:
    """Return bool (N,), True where logits (N, K) are to be refused."""
    highest = energy(val_logits).quantile(keep)
    return energy(logits) > highest


check.refused_by_energy(refused_by_energy)

# %% [markdown]
# ### ★★★ The mean of two views
#
# Show the network each image and its mirror image (left and right exchanged), and
# return the mean of the two probabilities: **test-time augmentation**. Put the network
# into `eval()` first (it may stay in it); no gradient is needed.
#
# Expected: for images that are their own mirror image, the ordinary probabilities.


# %% tags=["exercise"]
# Write the function
def mirrored_too(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return probabilities (B, K) of images (B, 3, H, W), over two views."""
    raise NotImplementedError


check.mirrored_too(mirrored_too)


# %% tags=["solution"]
# Solution
def mirrored_too(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return probabilities (B, K) of images (B, 3, H, W), over two views."""
    model.eval()
    with torch.no_grad():
        straight = model(images).softmax(1)
        mirrored = model(images.flip(3)).softmax(1)
    return (straight + mirrored) / 2


check.mirrored_too(mirrored_too)

# %% [markdown]
# ## Quiz
#
# Open the answer that you would give. It says whether it is right, and why.

# %% [markdown]
# **1. The code that predicts prepares photos wrongly. What finds it soonest?**
#
# <details><summary>The error that the network raises.</summary>
#
# **No.** In section 2 it took every wrong photo, and computed without complaint.
#
# </details>
# <details><summary>Probabilities that do not add up to one.</summary>
#
# **No.** A softmax makes any logits add up to one, those of a spoiled photo too.
#
# </details>
# <details><summary>A look at the input tensor.</summary>
#
# **Right.** Its numbers, then its picture: no label is needed. What a fault *costs*,
# only labels say; and an order of names leaves no trace in the input.
#
# </details>
# <details><summary>A printed probability that is suspiciously low.</summary>
#
# **No.** A right answer can be an unsure one, and a spoiled photo can get a sure one.
#
# </details>

# %% [markdown]
# **2. A network is left in `train()`. In batches of 32 it answers better than photo by
# photo. Why?**
#
# <details><summary>Each photo changes the weights a little.</summary>
#
# **No.** A forward pass changes no weights; only an optimiser does. BatchNorm does
# change its stored statistics, but in `train()` it does not use them.
#
# </details>
# <details><summary>BatchNorm takes its statistics from one photo.</summary>
#
# **Right.** What it subtracts and divides by is then that photo alone. A batch of 32
# mixed photos comes nearer to the statistics of training.
#
# </details>
# <details><summary>Without a batch, BatchNorm is skipped.</summary>
#
# **No.** A batch of one is a batch. BatchNorm averages over its positions.
#
# </details>
# <details><summary>Gradients are recorded and disturb the answer.</summary>
#
# **No.** Recording them costs memory and time. The numbers stay the same.
#
# </details>

# %% [markdown]
# **3. A network of five flowers calls a temple a tulip, and prints a high probability.
# How can it be so sure?**
#
# <details><summary>It shares out belief among its five names only.</summary>
#
# **Right.** "None of these" has no place in the softmax. If one logit is well above the
# others, its name gets nearly all, whatever the photo shows.
#
# </details>
# <details><summary>Something in the photo must look like a tulip.</summary>
#
# **No.** No likeness is needed. Noise gets a flower and a probability as well.
#
# </details>
# <details><summary>It overfits; early stopping would have helped.</summary>
#
# **No.** However long it is trained, no image tells it what is none of the five.
#
# </details>
# <details><summary>The softmax was applied twice.</summary>
#
# **No.** Twice makes the number smaller. For five classes it is $e/(e+4)$ at most, or
# about 40 %.
#
# </details>

# %% [markdown]
# **4. A threshold on the energy keeps 95 % of the validation images. What does that
# promise?**
#
# <details><summary>Of similar images, it answers about 95 %.</summary>
#
# **Right.** That is all that was chosen, and with luck in it: both the validation
# images and the new ones are a sample.
#
# </details>
# <details><summary>Of the answers it gives, about 95 % are right.</summary>
#
# **No.** To keep an image is to answer it, rightly or wrongly.
#
# </details>
# <details><summary>It refuses 95 % of the pictures without a flower.</summary>
#
# **No.** The threshold has seen none of them. What it refuses depends on what comes, so
# it has to be counted, for each kind.
#
# </details>
# <details><summary>It is 95 % sure of each answer it gives.</summary>
#
# **No.** The energy is no probability, and the 95 % is a share of images, not a
# confidence.
#
# </details>

# %% [markdown]
# **5. On one kind of stranger, a score has an AUROC of 0.00. What does that say?**
#
# <details><summary>The score cannot tell these strangers from known images.</summary>
#
# **No.** That would be 0.5: a stranger has the higher score as often as not.
#
# </details>
# <details><summary>None of these strangers is answered.</summary>
#
# **No.** They lie *below* every known image, so each threshold that answers known
# images answers all of these.
#
# </details>
# <details><summary>The network's accuracy on them is zero.</summary>
#
# **No.** The AUROC compares scores. A stranger has no right class at all.
#
# </details>
# <details><summary>Each looks more known than every known image.</summary>
#
# **Right.** So does noise to the network of sketches, because its features are long.
#
# </details>

# %% [markdown]
# ## References
#
# - D. Hendrycks, K. Gimpel, *A Baseline for Detecting Misclassified and
#   Out-of-Distribution Examples in Neural Networks*, 2016, arXiv 1610.02136.
# - W. Liu, X. Wang, J. Owens, Y. Li, *Energy-based Out-of-distribution Detection*,
#   2020, arXiv 2010.03759.
# - M. Hein, M. Andriushchenko, J. Bitterwolf, *Why ReLU Networks Yield High-Confidence
#   Predictions Far Away From the Training Data and How to Mitigate the Problem*, 2019,
#   arXiv 1812.05720.
# - The TensorFlow Team, *Flowers*, 2019: five classes of photos under Creative Commons
#   licences.
# - The photos of the temple and of the dahlia come with scikit-learn; danielbuechele
#   and vultilion took them (Flickr, CC BY 2.0).

# %% [markdown]
# **Further.** What a file may hold, and what a host may do to you: [deep dive
# 07b](07b_fetching_safely.ipynb).
#
# **Next.** A training may fail without any error, and leave you a plausible number:
# [08 · When training goes wrong](08_debugging.ipynb) finds out why.
