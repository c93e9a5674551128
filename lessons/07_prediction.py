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
# **Know first:** [Lesson 04](04_per_class_evaluation.ipynb) (confidence) and
# [Lesson 06](06_transfer_learning.ipynb) (the flowers, transforms).
#
# **Reading** 38 minutes · **exercises** 25 minutes · **run time** quick CPU about 26 s
# (two quiet cores), full GPU about 37 s (shared H200)

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
from course_utils.results import save_result, show_table
from course_utils.session import start

plotting.course_style()
session = start(seed=0)

# %% [markdown]
# ## A question first
#
# Write down three guesses:
#
# 1. Which mistake costs a network of flowers most: photos not normalised, red and blue
#    swapped, or `eval()` forgotten?
# 2. It knows five flowers and is shown parts of a photo of a temple. How sure is it, on
#    average?
# 3. It may refuse, as long as it answers 95 of 100 pictures of its flowers. How many of
#    100 parts of the temple does it still call a flower?

# %% [markdown]
# ## 1 · One photo, by hand
#
# This section shows every step from a file to a name.
#
# The network is your own of lesson 06, if it was trained on the data in use; else one
# that ships. Numbers *in the text* are recorded: the shipped network `flowers`, judged
# on photos it has never seen. If your copy has other files than our 3 457, that network
# was trained on most of your test photos, and its accuracy will be far higher. Without
# photos you have sketches and their network.

# %%
# Load the data, and choose a network for it
from course_utils.data.flowers import load_flowers
from course_utils.pretrained import own_or_shipped, pretrained_path

splits = load_flowers(session.data_dir, short_side=session.pick(quick=128, full=256))
print(splits.describe(), "(training / validation / test)")
weights = own_or_shipped(session, splits)
test_images = [splits.photos[place] for place in splits.split.test.tolist()]
test_labels = torch.from_numpy(splits.labels[splits.split.test])

# %% [markdown]
# To have files, write 41 test images as JPEG.

# %%
# Write a folder of photos
import tempfile
from pathlib import Path

scratch = tempfile.TemporaryDirectory()  # deleted when the notebook ends
folder = Path(scratch.name) / "photos"
folder.mkdir()
for number, image in enumerate(test_images[:41]):
    name = f"{number:02}_{splits.classes[test_labels[number]]}.jpg"
    F.to_pil_image(image).save(folder / name, quality=95)
photo_path = min(folder.glob("*_daisy.jpg"))
print(photo_path.name)

# %% [markdown]
# A checkpoint is a dictionary. Beside the weights it holds the order of the classes and
# how images are prepared. Read it with `weights_only=True`, which refuses all pickled
# objects but tensors, plain values and a few allowed types; others could run a
# stranger's code. (No guarantee: keep PyTorch up to date.) Many tutorials keep the
# names in `class_indices.json`, with a trap: keys in JSON are always text.

# %%
# Read the checkpoint, and write the names as tutorials do
import json

from course_utils.training.checkpoint import build_model

file = weights if isinstance(weights, Path) else pretrained_path(weights)
checkpoint = torch.load(file, map_location="cpu", weights_only=True)
data = checkpoint["data"]
print("what travels beside the weights:", ", ".join(data))
network = build_model(checkpoint["architecture"])
print(network.load_state_dict(checkpoint["model"]))
index_file = folder.parent / "class_indices.json"
index_file.write_text(json.dumps(dict(enumerate(data["classes"]))))
class_indices = json.loads(index_file.read_text())
print("key 2:", 2 in class_indices, "· key '2':", "2" in class_indices)

# %% [markdown]
# Four steps lead from a file to an answer:
#
# - **open** it in three colours, and upright (a phone only *notes* how to turn it);
# - **transform** it exactly as in validation;
# - **unsqueeze**: a network takes batches, so one photo becomes a batch of one;
# - **ask**, in `eval()` and under `inference_mode()`, a stricter `no_grad()`.

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
# `course_utils` has all these lines as one function. It asks a **predictor**: a network
# with its classes and its transform. Its `model` is a second copy of the network, the
# one used from here on. Do function and steps agree?

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
# **So what:** a prediction needs weights, classes and transform, and they must belong
# together.

# %% [markdown]
# ## 2 · What must travel with the weights
#
# This section shows what a fault in the preparation costs, and how to find it. Two
# faults first:

# %%
# The right transform, and two with a fault
PREPARED = {
    "as in training": transform,
    "not normalised": v2.Compose(transform.transforms[:-1]),
    "red and blue swapped": lambda image: transform(image.flip(0)),  # axis 0: colour
}

# %% [markdown]
# Neither raises an error. So look at the **input tensor**, which needs no labels: its
# mean ± deviation, and the mean by colour. Expect about 0 ± 1, not exactly: the
# statistics are those of the network's *start* (lesson 06).


# %%
# Look at the input tensor first, then ask the network
@torch.inference_mode()
def outputs_of(model, images, transform, batch_size=32):
    """Return what the model makes of uint8 images, (N, K), in its present mode."""
    parts = []
    for first in range(0, len(images), batch_size):
        some = [transform(image) for image in images[first : first + batch_size]]
        parts.append(model(torch.stack(some).to(session.device)).cpu())
    return torch.cat(parts)


inputs, logits = {}, {}  # by fault
for name, prepare in PREPARED.items():
    inputs[name] = x = torch.stack([prepare(image) for image in test_images[:64]])
    logits[name] = outputs_of(predictor.model, test_images, prepare)
    print(f"{name:20} {x.mean():.1f}±{x.std():.1f}", x.mean((0, 2, 3)).numpy().round(1))

# %% [markdown]
# Two more faults leave the image alone. Without `eval()` BatchNorm uses the statistics
# of the batch: 32 photos, or one. With names out of order each class here has its
# neighbour's.

# %%
# Faults outside the image; then what the labels say of all faults
import copy

for name, count in (("eval() forgotten, 32", 32), ("eval() forgotten, 1", 1)):
    forgetful = copy.deepcopy(predictor.model).train()  # its statistics will change
    logits[name] = outputs_of(forgetful, test_images, predictor.transform, count)
logits["names out of order"] = logits["as in training"].roll(1, dims=1)


def compare_with_labels(by_name):
    """Show and return accuracy and mean confidence on the test images, by name."""
    found = {}
    for name, z in by_name.items():
        sure = z.softmax(1).max(1).values.mean().item()
        found[name] = {"accuracy": metrics.accuracy(z, test_labels), "confidence": sure}
    rows = [[n, *(f"{x:.1%}" for x in both.values())] for n, both in found.items()]
    show_table(("", "accuracy", "mean confidence"), rows)
    return found


faults = compare_with_labels(logits)

# %% [markdown]
# On photos
# 78.7 %<!-- results: 07_*photos* faults.as_in_training.accuracy -->
# are right without a fault,
# 49.6 %<!-- results: 07_*photos* faults.red_and_blue_swapped.accuracy -->
# with red and blue swapped,
# 39.1 %<!-- results: 07_*photos* faults.not_normalised.accuracy -->
# without normalisation. The probabilities hardly warn of these two: in the last case
# their mean is still
# 85.5 %<!-- results: 07_*photos* faults.not_normalised.confidence -->.
# (On sketches it falls to
# 53.7 %<!-- results: 07_*sketches* faults.not_normalised.confidence -->.)
#
# Guess 1 has two answers. A forgotten `eval()` costs least of the three in batches of
# 32, where
# 77.0 %<!-- results: 07_*photos* faults.eval()_forgotten,_32.accuracy -->
# are right, and most photo by photo:
# 24.2 %<!-- results: 07_*photos* faults.eval()_forgotten,_1.accuracy -->,
# with a mean confidence of
# 38.7 %<!-- results: 07_*photos* faults.eval()_forgotten,_1.confidence -->
# that warns. A fault not among the three, names out of order, costs still more:
# 4.7 %<!-- results: 07_*photos* faults.names_out_of_order.accuracy -->.

# %% tags=["figure"]
# Figure: one photo as the network is shown it after two preparations: as in training,
# and with red and blue swapped.
shown = ["as in training", "red and blue swapped"]
fig, axes = plt.subplots(1, len(shown), figsize=(5, 2.5))
mean, std = torch.tensor(data["mean"]), torch.tensor(data["std"])
for axis, name in zip(axes, shown, strict=True):
    seen = inputs[name][0] * std[:, None, None] + mean[:, None, None]
    axis.imshow(seen.permute(1, 2, 0).clip(0, 1), interpolation="nearest")
    axis.set_title(name, fontsize="small")
    axis.axis("off")
plt.show()

# %% [markdown]
# One test image as the network is shown it. Swapped colours hardly change the mean and
# deviation over all; the means by colour and the picture show them.
#
# **So what:** look at the tensor before you count labels: its numbers, then its
# picture. The mode and the order of the names leave no trace there; so call `eval()`
# where you load, and let the classes travel in the checkpoint.

# %% [markdown]
# ## 3 · A folder, an address, an upload
#
# This section shows the three ways in which photos usually come. Two bad files join the
# folder: a download that broke off, and a web page under a photo's name. What becomes
# of the other 41?

# %%
# Name a folder of photos, in batches
whole = photo_path.read_bytes()
(folder / "broken_off.jpg").write_bytes(whole[: len(whole) // 2])
(folder / "web_page.jpg").write_text("<html>Not found</html>")

listing = prediction.predict_folder(predictor, folder, batch_size=16, progress=False)
print(*str(listing).replace(str(folder), "…").splitlines()[-3:], sep="\n")
print(f"{len(listing.rows)} files, {len(listing.failed)} of them not named;", end=" ")
print(f"the last batch has {len(listing.rows) % 16} files")

# %% [markdown]
# A bad file is a row with its reason; the others go on. The last batch is short, here 9
# photos and these two files, and counts as well: a loader with `drop_last=True` would
# forget it without a word.
#
# ### From the web
#
# `predict` takes an address in place of a path. Photos from outside go to `flowers`,
# the network of photos. The address below is your own machine. Put a photo's address
# there, for example this sunflower's:
# <https://storage.googleapis.com/download.tensorflow.org/example_images/592px-Red_sunflower.jpg>

# %%
# Name a photo from the web
photo_network = prediction.load_predictor("flowers", device=session.device)
address = "http://127.0.0.1/photo.jpg"
try:
    print(prediction.predict(photo_network, address))
except prediction.ImageError as error:
    print(error)

# %% [markdown]
# An address of your own network is refused: a program that fetches what *visitors* type
# could be sent to machines that only it can reach (**server-side request forgery**).
# [Deep dive 07b](07b_fetching_safely.ipynb) plays both sides.
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
    print(prediction.predict(photo_network, bytes(photo_file["content"])))
print(f"{len(upload.value)} photos uploaded, named by {photo_network.name}")

# %% [markdown]
# **So what:** files, addresses and bytes take one path, `load_image` and then the
# transform of the training; a bad file costs only itself.

# %% [markdown]
# ## 4 · Two networks, the same photos
#
# This section shows what becomes of a network among images of another kind. `flowers`
# learnt from photos, `flower-sketches` the same five flowers from drawings. Both get
# *your* test images.

# %%
# Ask both networks, each with its own transform
samples = prediction.sample_photos()  # a temple and a dahlia
networks, answers = {}, {}
for name in ("flowers", "flower-sketches"):
    networks[name] = other = prediction.load_predictor(name, device=session.device)
    answers[name] = outputs_of(other.model, test_images, other.transform)
abroad = compare_with_labels(answers)

# %% [markdown]
# On photos `flowers` gets
# 78.7 %<!-- results: 07_*photos* abroad.flowers.accuracy -->
# right. `flower-sketches`, with
# 96.0 %<!-- results: 07_*sketches* abroad.flower-sketches.accuracy -->
# on sketches, gets
# 37.6 %<!-- results: 07_*photos* abroad.flower-sketches.accuracy -->.
# Its mean confidence falls much less, from
# 95.4 %<!-- results: 07_*sketches* abroad.flower-sketches.confidence -->
# to
# 80.9 %<!-- results: 07_*photos* abroad.flower-sketches.confidence -->.
# Such a move to another kind of image is a **domain shift**. The other way costs too:
# on sketches `flowers` gets
# 58.5 %<!-- results: 07_*sketches* abroad.flowers.accuracy -->.
#
# Two more photos show a temple, and a dahlia, a flower that is none of the five.

# %% tags=["figure"]
# Figure: the photos that installed packages bring, side by side, each with the answers
# of the network of photos and of the network of sketches above it.
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
# Neither network has a word for them, yet each names both.
#
# **So what:** an accuracy belongs to one kind of image; among others the names keep
# coming, and much of the confidence.

# %% [markdown]
# ## 5 · Knowing when not to answer
#
# This section measures whether a network knows a stranger: an image of another kind
# than the training's, called **out-of-distribution**.
#
# A softmax cannot say "none of these". So images are refused whose **score**, computed
# from the logits, is too high. Two are in use:
#
# - **doubt**, 1 minus the **maximum softmax probability** (MSP), which is lesson 04's
#   confidence (Hendrycks and Gimpel 2016);
# - the **energy**, $-\log\sum_k e^{z_k}$ of the logits $z_k$ (Liu et al. 2020). Read it
#   as "roughly minus the largest logit": logits 4, 1 and 0 give −4.07.
#
# The doubt sees only how far the logits lie apart; the energy also how high they are.


# %%
# Two scores, each higher for strangers
def doubt(logits):
    """Return 1 minus the maximum softmax probability, (N,)."""
    return 1 - logits.softmax(1).max(1).values


def energy(logits):
    """Return minus the log of the sum of the exponentials, (N,)."""
    return -logits.logsumexp(1)


# %% [markdown]
# Four kinds of strangers. CIFAR-10's images of other things (or their sketches)
# **choose** between the scores. Noise, and square parts of the temple's and the
# dahlia's photo, **judge** the network that refuses by the chosen score. All are drawn
# at random: numbers on photos are means of three draws, on sketches from one, like
# yours.

# %%
# Four kinds of strangers
from course_utils.data.cifar10 import load_cifar10

torch.manual_seed(session.seed)
cifar = load_cifar10(session.data_dir).test.images
picks = torch.randperm(len(cifar))[: session.pick(quick=300, full=2000)]
part = v2.RandomResizedCrop(128, scale=(0.1, 0.6), ratio=(1, 1))


def parts_of(path):
    """Return 60 square parts of a photo, of random place and size."""
    image = F.pil_to_tensor(prediction.load_image(path))
    return [part(image) for _ in range(60)]


groups = {
    "validation": [splits.photos[place] for place in splits.split.val.tolist()],
    "test": test_images,
    "CIFAR-10": list(torch.from_numpy(cifar[picks]).permute(0, 3, 1, 2)),
    "noise": list(torch.randint(0, 256, (60, 3, 96, 96), dtype=torch.uint8)),
    "temple": parts_of(samples["china"]),
    "dahlia": parts_of(samples["flower"]),
}
group_logits = {}
for name, images in groups.items():
    group_logits[name] = outputs_of(predictor.model, images, predictor.transform)

# %% tags=["figure"]
# Figure: histograms of the energy of the validation images, in blue, and of CIFAR-10's
# images, in orange. They overlap. A dotted line is the energy below which 95 % of the
# validation images lie.
known, strange = (energy(group_logits[name]) for name in ("validation", "CIFAR-10"))
bins = np.linspace(min(known.min(), strange.min()), max(known.max(), strange.max()), 40)
fig, axis = plt.subplots(figsize=(7, 2.8))
for values, label in ((known, "validation"), (strange, "CIFAR-10")):
    share = np.full(len(values), 1 / len(values))
    axis.hist(values.numpy(), bins, weights=share, alpha=0.6, label=label)
axis.axvline(known.quantile(0.95).item(), color="black", ls=":", label="95 % line")
axis.set(xlabel="energy", ylabel="share of the images")
axis.legend(fontsize="small")
plt.show()

# %% [markdown]
# Left of the dotted line lie 95 % of the known images; an image there is answered. Two
# measures say how well a score parts known images from one kind of stranger:
#
# - **AUROC**: take one image of each; how often has the stranger the higher score? 1 is
#   perfect, 0.5 a coin.
# - **FPR95**: what share of the strangers lies left of that score's own 95 % line, and
#   is answered by mistake? 0 is perfect. (Strangers taken for known are the *false
#   positives*.)


# %%
# Choose between two scores, by two measures
def auroc(known, strange):
    """Return the share of pairs in which the stranger has the higher score."""
    return (strange[:, None] > known).float().mean().item()


def fpr95(known, strange):
    """Return the share of strangers below the threshold that answers 95 % of known."""
    return (strange <= known.quantile(0.95)).float().mean().item()


choice = {}
for score in (doubt, energy):
    pair = score(group_logits["validation"]), score(group_logits["CIFAR-10"])
    choice[score.__name__] = [auroc(*pair), fpr95(*pair)]
rows = [[name, *(f"{x:.2f}" for x in found)] for name, found in choice.items()]
show_table(("score", "AUROC", "FPR95"), rows)

# %% [markdown]
# On photos the energy has the higher AUROC in each of three draws, on average
# 0.83<!-- results: 07_*photos* choice.energy.0 -->
# against 0.78<!-- results: 07_*photos* choice.doubt.0 -->.
# So the **energy** is used from here on. (It was chosen on CIFAR-10; for other
# strangers doubt may be the better one.)
#
# On photos it is a weak guard:
# 75 %<!-- results: 07_*photos* choice.energy.1 -->
# of CIFAR-10's images are answered, for the line must lie right of flowers with high
# energies, too. On sketches it is a better one:
# 16 %<!-- results: 07_*sketches* choice.energy.1 -->.

# %% [markdown]
# ### A threshold, and a network that may refuse
#
# The dotted line, chosen on validation images, becomes the threshold. Test images and
# the other three kinds of strangers judge it. In AUROC the known are now the test
# images; against themselves they get 0.5.

# %%
# Judge the threshold
threshold = energy(group_logits["validation"]).quantile(0.95).item()
test_energy, judged = energy(group_logits["test"]), {}
for name in ("test", "noise", "temple", "dahlia"):
    found = energy(group_logits[name])
    sure = 1 - doubt(group_logits[name]).mean().item()
    answered = (found <= threshold).float().mean().item()
    judged[name] = [sure, answered, auroc(test_energy, found)]
rows = [[name, *(f"{x:.2f}" for x in found)] for name, found in judged.items()]
show_table(("images", "mean confidence", "answered", "AUROC"), rows)
right = (group_logits["test"].argmax(1) == test_labels)[test_energy <= threshold]
judged["right"] = right.float().mean().item()
print(f"of the test images that are answered, {judged['right']:.1%} are right")

# %% [markdown]
# Guesses 2 and 3. On photos parts of the temple get a mean confidence of
# 68.5 %<!-- results: 07_*photos* judged.temple.0 -->,
# and
# 88 %<!-- results: 07_*photos* judged.temple.1 -->
# of them are called a flower, of the noise
# 96 %<!-- results: 07_*photos* judged.noise.1 -->.
# (On sketches:
# 62.0 %<!-- results: 07_*sketches* judged.temple.0 -->;
# 67 %<!-- results: 07_*sketches* judged.temple.1 -->,
# and all noise.) The dahlia is harder than the temple:
# 98 %<!-- results: 07_*photos* judged.dahlia.1 -->
# are answered, with an AUROC of
# 0.58<!-- results: 07_*photos* judged.dahlia.2 -->
# against 0.85<!-- results: 07_*photos* judged.temple.2 -->.
# Strangers that resemble the training images (**near** out-of-distribution) are often
# the hard ones.
#
# Of the test images
# 96 %<!-- results: 07_*photos* judged.test.1 -->
# are answered, and of these
# 80.0 %<!-- results: 07_*photos* judged.right -->
# are right, hardly more than of all.
#
# Now image by image.


# %%
# Name an image, or refuse
def name_or_refuse(image):
    """Return the name of a uint8 image's class, or that it is none of them."""
    found = outputs_of(predictor.model, [image], predictor.transform)
    if energy(found).item() > threshold:
        return "I don't know"
    return predictor.classes[found.argmax()]


for name in ("test", "CIFAR-10"):
    print(f"{name:10}", " · ".join(map(name_or_refuse, groups[name][:4])))

# %% [markdown]
# ### Why strangers can look certain
#
# On sketches the energy fails at noise: its AUROC is
# 0.00<!-- results: 07_*sketches* judged.noise.2 -->,
# noise looks *more* known than a flower. Why?
#
# The last layer multiplies the **features**, the numbers that reach it, by its weights.
# Features twice as long make logits about twice as large. Logits 2, 1 and 0 give the
# first class 67 %; logits 4, 2 and 0 give it 87 %. So long features tend to look
# certain, whatever the image shows.

# %%
# The length of the features: the network without its last layer
body = copy.deepcopy(predictor.model)
body.fc = torch.nn.Identity()  # now its outputs are the features
lengths = {}
for name in ("test", "noise"):
    features = outputs_of(body, groups[name], predictor.transform)
    lengths[name] = features.norm(dim=1).mean().item()
    print(f"{name}: mean length of the features {lengths[name]:.1f}")

# %% [markdown]
# In the network of sketches noise has features of length
# 19.6<!-- results: 07_*sketches* lengths.noise -->,
# test images
# 5.4<!-- results: 07_*sketches* lengths.test -->.
# So it gets a confidence of
# 100.0 %<!-- results: 07_*sketches* judged.noise.0 -->.
# Length explains only the sketches. In the network of photos noise has *shorter*
# features,
# 4.8<!-- results: 07_*photos* lengths.noise -->
# against 5.4<!-- results: 07_*photos* lengths.test -->;
# it is answered because the line lies so far right. Hein et al. (2019) prove the
# extreme case: multiply almost any input by a growing number, and a network of ReLUs
# and linear layers becomes certain.
#
# **So what:** measure refusing for each kind of stranger apart. A threshold that keeps
# 95 % of the flowers promises nothing about what is no flower.

# %% [markdown]
# ## Myths, tested
#
# ### "Softmax twice does no harm"
#
# A network ends in a softmax, and the code that prints applies another. What changes?

# %%
# Softmax once and twice, on the test images
once = group_logits["test"].softmax(1)
twice = once.softmax(1)
sure_once, sure_twice = (p.max(1).values.mean().item() for p in (once, twice))
print("same class for all:", torch.equal(once.argmax(1), twice.argmax(1)))
print(f"mean confidence: once {sure_once:.1%}, twice {sure_twice:.1%}")

# %% [markdown]
# The second softmax is fed with numbers from 0 to 1, so for five classes it gives at
# most $e/(e+4)$, or 40 %. On photos the mean confidence falls from
# 89.2 %<!-- results: 07_*photos* once --> to
# 37.4 %<!-- results: 07_*photos* twice -->.
# The accuracy does not show it. Refuted.

# %% [markdown]
# ## Results
#
# The next cell keeps what the text quotes.

# %%
# Keep this run's numbers
result = {
    "lesson": "07_prediction",
    "profile": session.profile,
    "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
    "network": weights if isinstance(weights, str) else "the reader's own",
    "seed": session.seed,  # draws the strangers; the network is one
}
result |= {"faults": {name.replace(" ", "_"): pair for name, pair in faults.items()}}
result |= {"abroad": abroad, "choice": choice, "lengths": lengths, "judged": judged}
result |= {"once": sure_once, "twice": sure_twice}
path = session.run_dir("07_prediction") / "result.json"
save_result(path, result, session.device)
session.report(f"mean confidence {sure_once:.1%}", data=splits.describe())

# %% [markdown]
# **What this does not show.** One network of each kind, each trained once. 60 parts of
# one photo count for little more than one. CIFAR's 32 pixels are blurred when enlarged:
# blur may be what is noticed.

# %% [markdown]
# ## Summary
#
# 1. *By hand.* Open, upright, RGB; transform; `unsqueeze`; `eval()` and
#    `inference_mode()`; softmax once; names by their keys.
# 2. *What must travel.* Weights, classes in their order, the transform. Look at the
#    input tensor before you count labels.
# 3. *Folder, address, upload.* One path for all; a bad file is a row with its reason.
# 4. *Another kind of image.* Each network names the other's images too; its accuracy
#    falls further than its confidence.
# 5. *Refusing.* MSP or energy; AUROC and FPR95, for each kind of stranger apart; a
#    threshold from validation images.

# %% [markdown]
# ## Exercises
#
# The first lacks its last step, the second both of its two, the third all.
#
# ### ★ Names by the right keys
#
# Given probabilities and the dictionary that `class_indices.json` holds, return the `k`
# most probable names with their probabilities, the best first. The entries of the file
# may stand in any order.
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
# say which other images are refused: those whose energy lies above it.
#
# Expected: with `keep=1.0`, none of the validation images themselves is refused.


# %% tags=["exercise"]
# Write the two steps
def refused_by_energy(
    val_logits: torch.Tensor, logits: torch.Tensor, keep: float
) -> torch.Tensor:
    """Return bool (N,), True where logits (N, K) are to be refused."""
    # first the threshold, from the energies of validation's logits
    # then a comparison: True where the energy of logits lies above the threshold
    raise NotImplementedError


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
