"""Photos packed, their transforms and the workers that fetch them."""

import os
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, get_worker_info
from torchvision.models import ResNet34_Weights

from course_utils.data.photos import (
    PackedPhotos,
    PhotoDataset,
    evaluation_transform,
    load_photos,
    pack,
    read_photo,
    resize_for,
    suggested_workers,
    training_transform,
)

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def noise(*shapes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


@pytest.fixture
def files(tmp_path):
    """Ten photos of several shapes, and the folder that holds them."""
    folder = tmp_path / "roses"
    folder.mkdir()
    arrays = noise(*[(40 + 3 * i, 70 - 2 * i) for i in range(10)])
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


# Kept and read


def test_packed_photos_are_those_that_were_packed():
    arrays = noise((3, 5), (7, 2), (1, 1), (4, 4))
    packed = PackedPhotos(*pack(arrays))
    assert len(packed) == 4
    for photo, array in zip(packed, arrays, strict=True):
        assert photo.dtype == torch.uint8
        assert torch.equal(photo, torch.from_numpy(array).permute(2, 0, 1))


def test_past_the_last_photo_is_an_error():
    with pytest.raises(IndexError):
        PackedPhotos(*pack(noise((3, 5))))[1]


def test_larger_photos_are_shrunk_in_their_shape_and_smaller_left(tmp_path):
    Image.new("RGB", (400, 300), "red").save(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "a.jpg", 150).shape == (150, 200, 3)
    assert read_photo(tmp_path / "a.jpg", 301).shape == (300, 400, 3)


def test_photos_are_turned_upright(tmp_path):
    image = Image.new("RGB", (60, 40))
    image.paste("white", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # held so that the left side became the top
    image.save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png", 100)
    assert photo.shape == (60, 40, 3)
    assert photo[:20].min() == 255
    assert photo[20:].max() == 0


def test_a_damaged_photo_is_named(files):
    files[3].write_bytes(files[3].read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"3\.png is damaged or cut off"):
        load_photos(files[0].parent, [(path, 0) for path in files], 64)


def test_photos_are_decoded_once(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    listed = [(path, 0) for path in files]
    first = load_photos(files[0].parent, listed, 32)
    assert capsys.readouterr().out == "Decoding 10 photos, once …\n"
    again = load_photos(files[0].parent, listed, 32)
    assert capsys.readouterr().out == ""
    assert all(map(torch.equal, first, again))
    load_photos(files[0].parent, listed, 33)
    assert "Decoding" in capsys.readouterr().out


# Transformed


@pytest.mark.parametrize("shape", [(300, 400), (500, 256), (224, 224), (100, 90)])
def test_evaluation_is_torchvisions_own(shape):
    """Up to one level of 255: torchvision rounds the resized pixels elsewhere."""
    preset = ResNet34_Weights.IMAGENET1K_V1.transforms()
    (image,) = noise(shape)
    photo = torch.from_numpy(image).permute(2, 0, 1)
    ours = evaluation_transform(224, preset.mean, preset.std)(photo)
    assert ours.shape == (3, 224, 224)
    one_level = 1 / 255 / min(preset.std)
    assert (ours - preset(photo)).abs().max() <= 1.01 * one_level
    assert (ours - preset(photo)).abs().mean() < 0.3 * one_level


@pytest.mark.parametrize(("size", "side"), [(224, 256), (64, 73), (48, 55)])
def test_the_side_before_the_crop(size, side):
    assert resize_for(size) == side


def test_a_side_of_its_own_before_the_crop():
    (image,) = noise((32, 32))
    photo = torch.from_numpy(image).permute(2, 0, 1)
    whole = evaluation_transform(32, MEAN, STD, resize=32)(photo)
    restored = whole * torch.tensor(STD)[:, None, None]
    restored += torch.tensor(MEAN)[:, None, None]
    torch.testing.assert_close(restored * 255, photo.float())


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (300, 7), (500, 500)])
def test_whatever_the_shape_the_network_gets_its_size(shape):
    (image,) = noise(shape)
    photo = torch.from_numpy(image).permute(2, 0, 1)
    for make in (training_transform, evaluation_transform):
        seen = make(24, MEAN, STD)(photo)
        assert seen.shape == (3, 24, 24)
        assert seen.dtype == torch.float32


def test_training_crops_at_random_and_flips_half_the_time():
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None], (150, 200, 3))
    photo = torch.from_numpy(ramp.copy()).permute(2, 0, 1)
    transform = training_transform(16, (0, 0, 0), (1, 1, 1))
    torch.manual_seed(0)
    seen = torch.stack([transform(photo) for _ in range(200)])
    ascending = seen[:, 0, 0, -1] > seen[:, 0, 0, 0]
    assert 70 < ascending.sum() < 130
    widths = (seen[:, 0, 0, -1] - seen[:, 0, 0, 0]).abs() * 255
    assert widths.min() < 100 < 140 < widths.max()


# In batches


def in_worker(photo):
    """Return a photo's mean, and whether a worker process took it."""
    return torch.stack([photo.float().mean(), torch.tensor(bool(get_worker_info()))])


def dataset(files, transform):
    kept = PackedPhotos(*pack(read_photo(path, 32) for path in files))
    indices = np.array([7, 1, 4, 9, 0])
    return PhotoDataset(kept, np.arange(10) % 3, indices, transform, {"name": "noise"})


def test_a_dataset_is_a_choice_of_photos(files):
    data = dataset(files, lambda photo: photo)
    assert len(data) == 5
    assert data.info == {"name": "noise"}
    image, label = data[1]
    assert torch.equal(image, data.photos[1])
    assert [label for _, label in map(data.__getitem__, range(5))] == [1, 1, 1, 0, 0]
    assert isinstance(label, int)


def test_workers_give_the_same_batches_in_evaluation(files):
    data = dataset(files, evaluation_transform(16, MEAN, STD))
    alone, helped = (list(DataLoader(data, 2, num_workers=n)) for n in (0, 2))
    assert [len(labels) for _, labels in alone] == [2, 2, 1]
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("count", [0, 2])
def test_workers_are_really_used(files, count):
    data = dataset(files, in_worker)
    seen = torch.cat([x for x, _ in DataLoader(data, 2, num_workers=count)])
    assert (seen[:, 1] == (count > 0)).all()


def test_a_dataset_travels_to_a_new_process(files):
    """As it must on Windows and macOS, where workers do not inherit it."""
    data = dataset(files, evaluation_transform(16, MEAN, STD))
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(data[2][0], again[2][0])


@pytest.mark.parametrize(
    ("platform", "cores", "device", "in_memory", "expected"),
    [
        ("linux", 16, "cpu", True, 0),
        ("win32", 8, "cpu", True, 0),
        ("linux", 16, "cpu", False, 4),
        ("linux", 16, "cuda", True, 4),
        ("linux", 3, "cuda", True, 2),
        ("linux", 1, "cuda", False, 1),
        ("darwin", 8, "mps", True, 2),
        ("win32", 8, "cuda", False, 2),
        ("win32", 2, "cuda", True, 1),
        ("win32", None, "cuda", True, 1),
    ],
)
def test_workers_by_platform(monkeypatch, platform, cores, device, in_memory, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "cpu_count", lambda: 64 if platform == "linux" else cores)
    if platform == "linux":
        allowed = set(range(cores))  # fewer than there are, as in a container
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    device = torch.device(device)
    assert suggested_workers(device, in_memory=in_memory) == expected
