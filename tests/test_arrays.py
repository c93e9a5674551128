"""ArrayDataset against torchvision's per-image transforms, and the loaders."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from course_utils.data.arrays import (
    ArrayDataset,
    ImageSplits,
    LabelledImages,
    channel_statistics,
)

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def random_images(number, size=32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, size, size, 3), dtype=np.uint8)


def splits(train=100, val=10, test=10):
    pairs = [
        LabelledImages(random_images(n, seed=n), np.arange(n) % 10)
        for n in (train, val, test)
    ]
    names = tuple("abcdefghij")
    return ImageSplits("tiny", "made up", False, names, *pairs, MEAN, STD)


def test_without_augmentation_equals_torchvision():
    images = random_images(7)
    data = ArrayDataset(images, np.arange(7), MEAN, STD)
    transform = v2.Compose(
        [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    )
    expected = torch.stack([transform(Image.fromarray(image)) for image in images])
    found, labels = data.__getitems__(list(range(7)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert labels.tolist() == list(range(7))
    assert labels.dtype == torch.int64
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(data[3][0], expected[3], atol=1e-5, rtol=1e-5)


def all_crops(image):
    """Every image that padding 4, a random crop and a flip can make, as bytes."""
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    crops = [padded[r : r + 32, c : c + 32] for r in range(9) for c in range(9)]
    return [x.tobytes() for crop in crops for x in (crop, crop[:, ::-1])]


def test_augmentation_has_the_distribution_of_torchvision():
    """162 equally likely results, image by image: both draw all of them evenly."""
    image = random_images(1)[0]
    possible = {pixels: index for index, pixels in enumerate(all_crops(image))}
    assert len(possible) == 162
    draws = 162 * 60
    data = ArrayDataset(
        image[None].repeat(draws, axis=0),
        np.zeros(draws),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        augment=True,
        generator=torch.Generator().manual_seed(0),
    )
    torch.manual_seed(0)
    theirs = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])
    ours = (data.__getitems__(range(draws))[0] * 255).round().byte()
    ours = ours.permute(0, 2, 3, 1).contiguous().numpy()
    photo = Image.fromarray(image)
    for results in (ours, (np.asarray(theirs(photo)) for _ in range(draws))):
        counts = np.zeros(162)
        for result in results:
            counts[possible[result.tobytes()]] += 1  # KeyError: an impossible crop
        chi_square = ((counts - 60) ** 2 / 60).sum()
        assert chi_square < 240  # 161 degrees of freedom: p < 1e-4 above


def test_images_of_a_batch_are_cropped_independently():
    data = ArrayDataset(
        random_images(1).repeat(64, axis=0), np.zeros(64), MEAN, STD, augment=True
    )
    torch.manual_seed(0)
    batch = data.__getitems__(range(64))[0]
    assert len({image.numpy().tobytes() for image in batch}) > 30


def test_without_padding_images_are_only_mirrored():
    image = random_images(1)
    data = ArrayDataset(
        image.repeat(400, axis=0), np.zeros(400), MEAN, STD, augment=True, padding=0
    )
    torch.manual_seed(0)
    found = data.__getitems__(range(400))[0]
    straight = ArrayDataset(image, np.zeros(1), MEAN, STD)[0][0]
    as_it_is = (found == straight).flatten(1).all(1)
    mirrored = (found == straight.flip(2)).flatten(1).all(1)
    assert (as_it_is | mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_images_that_are_not_square():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    plain = ArrayDataset(images, np.zeros(3), (0, 0, 0), (1, 1, 1))
    found = plain.__getitems__([0, 1, 2])[0]
    np.testing.assert_allclose(
        found.permute(0, 2, 3, 1).numpy() * 255, images, atol=1e-3
    )
    augmented = ArrayDataset(images, np.zeros(3), MEAN, STD, augment=True)
    assert augmented.__getitems__([0, 1])[0].shape == (2, 3, 8, 12)


def test_loaders_shuffle_by_seed_and_keep_the_short_last_batch():
    def epochs(seed, times=1):
        train = splits().loaders(32, seed=seed).train
        return [[labels.tolist() for _, labels in train] for _ in range(times)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    first, second = epochs(1, times=2)
    assert first != second
    assert [len(batch) for batch in first] == [32, 32, 32, 4]


def test_only_training_images_are_augmented():
    loaders = splits().loaders(10)
    for loader in (loaders.val, loaders.test):
        (first, _), (again, _) = next(iter(loader)), next(iter(loader))
        assert torch.equal(first, again)
    assert loaders.train.dataset.augment


def test_batches_are_made_where_the_images_lie():
    # "meta" knows shapes alone; tests/test_gpu.py compares the pixels
    for loader in splits().loaders(10, device="meta"):
        images, labels = next(iter(loader))
        assert (images.device.type, labels.device.type) == ("meta", "cpu")
        assert images.shape == (10, 3, 32, 32)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_train_size_takes_the_first_images():
    train = splits().loaders(10, train_size=30).train
    assert len(train.dataset) == 30
    assert train.dataset.info["train_size"] == 30


def test_channel_statistics_equal_numpy():
    images = random_images(50)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), [0, 1], r"\(2, 3, 8, 8\).*expected"),
        (np.zeros((2, 8, 8, 3), np.float32), [0, 1], "float32.*expected"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0], "2 images but 1 labels"),
    ],
)
def test_wrong_arrays_are_refused(images, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        ArrayDataset(images, np.array(labels), MEAN, STD)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        splits().loaders(0)
    with pytest.raises(ValueError, match="train_size is -5"):
        splits().loaders(10, train_size=-5)
