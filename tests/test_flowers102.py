"""Flowers-102 in torchvision's layout, with made-up images and few of them."""

import hashlib
import io
import shutil
import tarfile

import numpy as np
import pytest
import torch
from download_server import Mirror, sends
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import Flowers102

from course_utils._engine.download import DownloadError, extract
from course_utils.data import flowers102
from course_utils.data.flowers102 import load_flowers102, prepare_flowers102

NUM_IMAGES = 24
LABELS = np.arange(NUM_IMAGES) % 4 + 1  # from 1 on, as in the original
PARTS = {"trnid": range(1, 5), "valid": range(5, 9), "tstid": range(9, 25)}
SIZES = {"official": [4, 4, 16], "swapped": [16, 4, 4]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The three files as they are on the mirrors: the archive and two of MATLAB."""
    folder, memory = tmp_path_factory.mktemp("made"), io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for number in range(1, NUM_IMAGES + 1):
            image = io.BytesIO()
            grey = (number * 10,) * 3  # so that an image tells its number
            Image.new("RGB", (60, 40), grey).save(image, "JPEG")
            info = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            info.size = image.tell()
            image.seek(0)
            tar.addfile(info, image)
    (folder / "102flowers.tgz").write_bytes(memory.getvalue())
    savemat(folder / "imagelabels.mat", {"labels": LABELS})
    savemat(folder / "setid.mat", {k: np.array(v) for k, v in PARTS.items()})
    return folder


@pytest.fixture
def checksums(made, tmp_path, monkeypatch):
    """The small files' sizes and checksums for the real ones', and a cache."""
    files, ids = {}, {v[0]: k for k, v in Flowers102._file_dict.items()}
    for path in made.iterdir():
        body = path.read_bytes()
        md5 = hashlib.md5(body).hexdigest()
        files[path.name] = (len(body), md5)
        monkeypatch.setitem(Flowers102._file_dict, ids[path.name], (path.name, md5))
    order = {name: files[name] for name in flowers102.FILES}
    monkeypatch.setattr(flowers102, "FILES", order)
    monkeypatch.setattr(flowers102, "NUM_IMAGES", NUM_IMAGES)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data_dir(made, checksums, tmp_path):
    """A folder as torchvision's own download leaves it, the archive deleted."""
    folder = tmp_path / "data" / "flowers-102"
    folder.mkdir(parents=True)
    extract(made / "102flowers.tgz", folder)
    for name in ("imagelabels.mat", "setid.mat"):
        shutil.copy(made / name, folder)
    return folder.parent


def numbers(splits, part):
    """Return which images a part holds, from 1 on."""
    return sorted(round(splits.photos[i].float().mean().item() / 10) for i in part)


@pytest.mark.parametrize("protocol", SIZES)
def test_protocols(data_dir, protocol):
    splits = load_flowers102(data_dir, protocol=protocol, short_side=20)
    assert [len(part) for part in splits.split] == SIZES[protocol]
    parts = [list(PARTS[key]) for key in ("trnid", "valid", "tstid")]
    if protocol == "swapped":
        parts.reverse()
    assert [numbers(splits, part) for part in splits.split] == parts
    shown = f"Flowers-102, photos, {protocol} protocol: "
    assert splits.describe().startswith(shown)
    assert splits.photos[0].shape == (3, 20, 30)
    assert splits.is_photos


def test_labels_belong_to_their_images(data_dir):
    splits = load_flowers102(data_dir)
    for photo, label in zip(splits.photos, splits.labels, strict=True):
        assert label == LABELS[round(photo.float().mean().item() / 10) - 1] - 1


def test_classes_have_names(data_dir):
    classes = load_flowers102(data_dir).classes
    assert len(set(classes)) == len(classes) == 102
    assert (classes[0], classes[101]) == ("pink primrose", "blackberry lily")


def test_it_is_what_torchvision_reads(data_dir):
    splits = load_flowers102(data_dir)
    ours = [(splits.photos[i], splits.labels[i]) for i in splits.split.test]
    theirs = [
        (torch.from_numpy(np.array(image)).permute(2, 0, 1), label)
        for image, label in Flowers102(data_dir, "test")
    ]
    ours, theirs = (sorted(x, key=lambda pair: pair[0].sum()) for x in (ours, theirs))
    assert len(ours) == len(theirs) == 16
    for (photo, label), (their_photo, their_label) in zip(ours, theirs, strict=True):
        assert torch.equal(photo, their_photo)
        assert label == their_label


def test_the_parts_are_shuffled_and_always_the_same(data_dir):
    one, again = (load_flowers102(data_dir) for _ in range(2))
    assert all(map(np.array_equal, one.split, again.split))
    assert (np.diff(one.split.test) < 0).any()
    together = np.sort(np.concatenate(one.split))
    assert np.array_equal(together, np.arange(NUM_IMAGES))


def test_an_unknown_protocol_is_refused(data_dir):
    with pytest.raises(ValueError, match="no protocol 'swap'; choose one of official"):
        load_flowers102(data_dir, protocol="swap")


def test_there_are_no_drawn_ones():
    with pytest.raises(DownloadError, match="Flowers-102 has no drawn images"):
        load_flowers102(None)


def test_a_damaged_photo_is_named(data_dir):
    path = data_dir / "flowers-102" / "jpg" / "image_00007.jpg"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"image_00007\.jpg is "):
        load_flowers102(data_dir)


# Integrity


@pytest.mark.parametrize("name", ["setid.mat", "imagelabels.mat", "102flowers.tgz"])
def test_offline_a_missing_file_is_named(data_dir, name):
    if name.endswith(".tgz"):
        (data_dir / "flowers-102" / "jpg" / "image_00003.jpg").unlink()
    else:
        (data_dir / "flowers-102" / name).unlink()
    with pytest.raises(DownloadError, match=f"{name} .* is not in .*COURSE_OFFLINE"):
        load_flowers102(data_dir)


def test_a_changed_file_is_not_read(data_dir):
    path = data_dir / "flowers-102" / "setid.mat"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DownloadError, match=r"setid\.mat .* is not in"):
        load_flowers102(data_dir)


# Downloaded


@pytest.fixture
def mirrors(made, checksums, monkeypatch):
    """One server a file; the first mirror is dead for all of them."""
    running = {name: Mirror(sends((made / name).read_bytes())) for name in FILES}
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE")
    real = flowers102.download

    def download(name, urls, destination, **options):
        assert [url.rsplit("/", 1)[1] for url in urls] == [destination.name] * 2
        urls = [f"http://127.0.0.1:9/{destination.name}", running[destination.name].url]
        return real(name, urls, destination, **options)

    monkeypatch.setattr(flowers102, "download", download)
    yield running
    for one in running.values():
        one.close()


FILES = tuple(flowers102.FILES)


def test_downloaded_once(mirrors, tmp_path, capsys):
    target = prepare_flowers102(tmp_path / "room")
    assert target == tmp_path / "room" / "flowers-102"
    assert len(list((target / "jpg").iterdir())) == NUM_IMAGES
    said = capsys.readouterr().out
    assert "Downloading Flowers-102's setid.mat (0." in said
    assert "KiB) from 127.0.0.1" in said
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert len(load_flowers102(tmp_path / "room").labels) == NUM_IMAGES
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert [len(mirrors[name].ranges) for name in FILES] == [1, 1, 1]


def test_what_is_missing_is_fetched_and_no_more(mirrors, data_dir):
    (data_dir / "flowers-102" / "setid.mat").unlink()
    assert len(load_flowers102(data_dir).labels) == NUM_IMAGES
    assert [len(mirrors[name].ranges) for name in FILES] == [0, 0, 1]


@pytest.mark.parametrize("emptied", [True, False])
def test_lost_photos_come_back_from_the_archive(mirrors, made, data_dir, emptied):
    shutil.copy(made / "102flowers.tgz", data_dir / "flowers-102")
    lost = data_dir / "flowers-102" / "jpg" / "image_00003.jpg"
    lost.unlink()
    if emptied:
        lost.touch()
    prepare_flowers102(data_dir)
    assert lost.stat().st_size
    assert [len(mirrors[name].ranges) for name in FILES] == [0, 0, 0]


def test_the_real_files_are_torchvisions():
    theirs = dict(Flowers102._file_dict.values())
    assert {name: md5 for name, (_, md5) in flowers102.FILES.items()} == theirs
    assert f"{flowers102.MIRRORS[0]}/" == Flowers102._download_url_prefix
