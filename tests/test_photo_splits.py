"""The split by class, a few images of each, loaders, and a folder of one's own."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.data import photo_splits
from course_utils.data.photo_splits import (
    PhotoSplits,
    load_photo_folder,
    split_by_class,
)
from course_utils.data.photos import (
    PackedPhotos,
    class_folders,
    evaluation_transform,
    pack,
)

ORIGINAL = (633, 898, 641, 699, 799)
COPY = (612, 842, 628, 587, 788)
VIEW = {"image_size": 16, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}


def labels_of(counts):
    """Return labels in an order that is not sorted by class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(1).permutation(labels)


@pytest.fixture
def splits():
    """Three classes of 20, 30 and 41 noisy images of 24×20."""
    labels = labels_of((20, 30, 41))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(labels), 24, 20, 3), dtype=np.uint8)
    return PhotoSplits(
        name="noise",
        source="random",
        is_photos=False,
        classes=("dark", "grey", "light"),
        photos=PackedPhotos(*pack(list(images))),
        labels=labels,
        split=split_by_class(labels),
    )


# The split


@pytest.mark.parametrize(
    ("counts", "test", "sizes"),
    [
        (ORIGINAL, False, (3306, 364, 0)),
        (ORIGINAL, True, (2942, 364, 364)),
        (COPY, True, (2771, 343, 343)),
        (COPY, False, (3114, 343, 0)),
        ((10, 19), True, (25, 2, 2)),
    ],
)
def test_sizes_of_the_parts(counts, test, sizes):
    labels = labels_of(counts)
    split = split_by_class(labels, test=test)
    assert tuple(map(len, split)) == sizes
    tenths = [count // 10 for count in counts]
    assert np.bincount(labels[split.val]).tolist() == tenths
    if test:
        assert np.bincount(labels[split.test]).tolist() == tenths


@pytest.mark.parametrize("test", [True, False])
def test_every_image_is_in_one_part(test):
    split = split_by_class(labels_of(COPY), test=test)
    together = np.sort(np.concatenate(split))
    assert np.array_equal(together, np.arange(sum(COPY)))


def test_the_seed_decides():
    labels = labels_of(COPY)
    one, same, other = (split_by_class(labels, seed=seed) for seed in (0, 0, 1))
    assert all(map(np.array_equal, one, same))
    assert not any(map(np.array_equal, one, other))
    assert 20 < len(np.intersect1d(one.val, other.val)) < 60  # by chance: 34


def test_both_ways_choose_the_same_images_to_validate_on():
    labels = labels_of(ORIGINAL)
    two, three = (split_by_class(labels, seed=3, test=test) for test in (False, True))
    assert np.array_equal(np.sort(two.val), np.sort(three.val))
    assert np.isin(three.test, two.train).all()


def test_the_parts_are_shuffled():
    labels = np.repeat(np.arange(3), 100)
    for part in split_by_class(labels):
        assert (np.diff(labels[part]) < 0).any()


# A few of each


def test_few_of_each_class_come_from_the_training_part(splits):
    few = splits.few_per_class(5)
    assert np.bincount(splits.labels[few]).tolist() == [5, 5, 5]
    assert len(np.unique(few)) == 15
    assert np.isin(few, splits.split.train).all()
    assert np.array_equal(few, splits.few_per_class(5))
    assert not np.array_equal(few, splits.few_per_class(5, seed=1))


def test_fewer_are_some_of_the_more(splits):
    assert np.isin(splits.few_per_class(3), splits.few_per_class(7)).all()


def test_few_are_all_where_there_are_no_more(splits):
    assert np.bincount(splits.labels[splits.few_per_class(18)]).tolist() == [16, 18, 18]
    assert np.array_equal(splits.few_per_class(None), splits.split.train)
    assert np.array_equal(splits.few_per_class(1000), np.sort(splits.split.train))


# Loaders


def test_loaders_yield_each_part_once(splits):
    loaders = splits.loaders(8, **VIEW)
    for loader, part in zip(loaders, splits.split, strict=True):
        images, labels = zip(*loader, strict=True)
        assert images[0].shape == (8, 3, 16, 16)
        assert images[0].dtype == torch.float32
        found = torch.cat(labels).bincount().tolist()
        assert found == np.bincount(splits.labels[part]).tolist()


def test_only_training_is_random(splits):
    loaders = splits.loaders(8, **VIEW)
    val = [images for images, _ in loaders.val]
    assert all(map(torch.equal, val, [images for images, _ in loaders.val]))
    still = evaluation_transform(**VIEW)
    assert torch.equal(val[0][0], still(splits.photos[int(splits.split.val[0])]))
    orders = [torch.cat([labels for _, labels in loaders.train]) for _ in range(2)]
    assert not torch.equal(*orders)


def test_the_seed_decides_on_the_training_order(splits):
    def order(seed):
        loader = splits.loaders(8, **VIEW, seed=seed).train
        return torch.cat([labels for _, labels in loader])

    assert torch.equal(order(0), order(0))
    assert not torch.equal(order(0), order(1))


def test_the_loader_knows_what_a_checkpoint_should_remember(splits):
    loaders = splits.loaders(8, **VIEW, per_class=4)
    assert loaders.train.dataset.info == {
        "name": "noise",
        "source": "random",
        "classes": ["dark", "grey", "light"],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "image_size": 16,
        "resize": 18,
        "train_size": 12,
    }
    assert len(loaders.train.dataset) == 12


def test_an_augmentation_of_ones_own_is_for_training_alone(splits):
    loaders = splits.loaders(8, **VIEW, augment=lambda photo: torch.zeros(3, 16, 16))
    assert not any(images.any() for images, _ in loaders.train)
    assert all(images.any() for images, _ in loaders.val)


def test_a_two_way_split_has_an_empty_test_loader(splits):
    two_way = split_by_class(splits.labels, test=False)
    loaders = dataclasses.replace(splits, split=two_way).loaders(8, **VIEW)
    assert list(loaders.test) == []
    assert len(loaders.train.dataset) == 82


def test_workers_are_as_suggested_and_stay(splits, monkeypatch):
    asked = []

    def two(device, *, in_memory):
        asked.append((device.type, in_memory))
        return 2

    monkeypatch.setattr(photo_splits, "suggested_workers", two)
    loaders = splits.loaders(8, **VIEW, device=torch.device("cuda"))
    assert asked == [("cuda", True)]
    for loader in loaders:
        assert loader.num_workers == 2
        assert loader.persistent_workers


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["batch_size", "per_class"])
def test_numbers_below_one_are_refused(splits, name, value):
    options = {"batch_size": 8, "per_class": 2, **VIEW} | {name: value}
    with pytest.raises(ValueError, match=rf"{name} is {value}; give at least 1"):
        splits.loaders(**options)


def test_describe(splits):
    assert splits.describe() == "noise, random: 73 / 9 / 9 images"


# A folder of one's own


@pytest.fixture
def folder(tmp_path):
    """Twelve cats, sixteen dogs, of varied size and kind of file."""
    rng = np.random.default_rng(0)
    for name, number in (("dog", 16), ("cat", 12)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(number):
            shape = (*rng.integers(30, 60, 2), 3)
            image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            suffix = ("png", "jpg", "JPEG", "webp", "tif")[index % 5]
            image.save(tmp_path / "pets" / name / f"{index}.{suffix}")
    return tmp_path / "pets"


def test_own_folder(folder):
    (folder / ".thumbnails").mkdir()
    (folder / "__MACOSX" / "cat").mkdir(parents=True)  # by macOS, in archives
    (folder / "notes.txt").write_text("ours")
    splits = load_photo_folder(folder, short_side=32)
    assert splits.classes == ("cat", "dog")
    assert splits.describe() == "pets, photos from folders: 24 / 2 / 2 images"
    assert splits.is_photos
    assert np.bincount(splits.labels).tolist() == [12, 16]
    first = Image.open(folder / "cat" / "0.png")
    assert min(splits.photos[0].shape[1:]) == min(32, *first.size)


def test_own_classes_are_in_the_order_given(folder):
    (folder / "bird").mkdir()  # empty, and not asked for
    splits = load_photo_folder(
        folder, short_side=32, classes=("dog", "cat"), name="our pets", seed=4
    )
    assert splits.classes == ("dog", "cat")
    assert splits.name == "our pets"
    assert np.bincount(splits.labels).tolist() == [16, 12]
    expected = split_by_class(splits.labels, seed=4)
    assert all(map(np.array_equal, splits.split, expected))


def test_several_folders_are_read_as_one(folder, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "more" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "more" / name / "0.png")
    splits = load_photo_folder([folder, tmp_path / "more"], short_side=32)
    assert np.bincount(splits.labels).tolist() == [13, 17]
    black = [i for i, photo in enumerate(splits.photos) if not photo.any()]
    assert splits.labels[black].tolist() == [0, 1]


def test_a_class_of_ones_own_that_is_too_small(folder, capsys):
    for path in list((folder / "cat").iterdir())[:3]:
        path.unlink()
    with pytest.raises(ValueError, match=r"class cat has 9 images; .* at least 10"):
        load_photo_folder(folder, short_side=32)
    assert not capsys.readouterr().out  # at once: nothing was decoded


def test_a_folder_without_classes_is_refused(folder, tmp_path):
    (tmp_path / "flat" / ".hidden").mkdir(parents=True)
    (tmp_path / "one" / "cat").mkdir(parents=True)
    for place in (tmp_path / "flat", tmp_path / "nowhere", folder / "cat" / "0.png"):
        with pytest.raises(FileNotFoundError, match="holds no class folder; give"):
            load_photo_folder(place, short_side=32)
    with pytest.raises(FileNotFoundError, match="holds one class folder; give"):
        load_photo_folder(folder.parent / "one", short_side=32)


def test_a_folder_that_cannot_be_read_is_not_called_empty(folder, monkeypatch):
    def forbidden(folder):
        raise PermissionError("forbidden")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(PermissionError, match="forbidden"):
        class_folders(folder)


def test_an_empty_class_is_refused(folder):
    (folder / "bird").mkdir()
    with pytest.raises(FileNotFoundError, match=r"bird holds no image"):
        load_photo_folder(folder, short_side=32)
