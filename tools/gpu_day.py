"""Measures what takes a laptop days, in some minutes of one GPU.

python tools/gpu_day.py --pack DIR FILE      JPEG bytes of ImageNet's 200 classes
python tools/gpu_day.py --unpack FILE ARRAYS      decoded on the machine with the GPU
CIFAR_READY=FILE python tools/gpu_day.py --arrays ARRAYS --out DIR --seconds 540

The runs, most important first, are dealt to several processes that share the GPU: one
small network leaves most of it idle. CIFAR-10 and the flower photos are read where
COURSE_DATA says, as soon as the file that CIFAR_READY names is there; ImageNet's 200
classes from ARRAYS (.npz). What is recorded in results/ already is left out.
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transfer_study
from PIL import Image
from recording import RESULTS, is_recorded, train_to_the_end
from ship_weights import halve
from torch import nn
from torch.utils.data import DataLoader

from course_utils import models
from course_utils.data.arrays import (
    PADDING,
    ArrayDataset,
    Loaders,
    already_collated,
    channel_statistics,
)
from course_utils.data.cifar10 import load_cifar10
from course_utils.data.flowers import load_flowers
from course_utils.pretrained.shipped import pretrained_path
from course_utils.results import of_training, save_result
from course_utils.session import start
from course_utils.training import History, amp_dtype, evaluate, sgd_one_cycle
from course_utils.training.state import save_checkpoint

BATCH_SIZE = 128
SEEDS = (0, 1, 2)
EPOCHS = int(os.environ.get("GPU_DAY_EPOCHS", "20"))
LONG_EPOCHS = int(os.environ.get("GPU_DAY_LONG_EPOCHS", "30"))
IMAGENET_EPOCHS = int(os.environ.get("GPU_DAY_IMAGENET_EPOCHS", "40"))
ABLATION = {  # name: what differs, rates to choose from
    "full": ({}, (0.1, 0.2, 0.4)),
    "no-augmentation": ({"augment": False}, (0.1, 0.2, 0.4)),
    "no-weight-decay": ({"weight_decay": 0.0}, (0.1, 0.2, 0.4)),
    "constant-rate": ({"constant": True}, (0.02, 0.05, 0.1)),
    "no-shortcut": ({"network": "plain"}, (0.05, 0.1, 0.2)),
}


# --- ImageNet's 200 classes, from one file ------------------------------------------


def pack(folder: Path, target: Path) -> None:
    """Write the JPEG bytes of ``{train,val}/<class>/*`` into one file."""
    classes = sorted(path.name for path in (folder / "train").iterdir())
    packed = {"classes": classes}
    for part in ("train", "val"):
        files = [
            (path.read_bytes(), label)
            for label, name in enumerate(classes)
            for path in sorted((folder / part / name).iterdir())
        ]
        packed[part] = ([data for data, _ in files], [label for _, label in files])
    target.write_bytes(lzma.compress(pickle.dumps(packed), preset=6))
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")


def decode(data: bytes) -> np.ndarray:
    """Return one image, uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def unpack(source: Path, target: Path) -> None:
    """Decode a packed set into one ``.npz`` of arrays."""
    packed = pickle.loads(lzma.decompress(source.read_bytes()))
    arrays = {"classes": np.array(packed["classes"])}
    with Pool() as pool:
        for part in ("train", "val"):
            data, labels = packed[part]
            arrays[f"{part}_images"] = np.stack(pool.map(decode, data, 500))
            arrays[f"{part}_labels"] = np.array(labels)
    part_file = target.with_suffix(".part.npz")
    np.savez(part_file, **arrays)
    part_file.replace(target)


class OnDevice(ArrayDataset):
    """`ArrayDataset` whose images live on the GPU and are augmented there."""

    def __init__(self, *arguments, resized: bool = False, **options) -> None:
        super().__init__(*arguments, **options)
        self.resized = resized
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.images = self.images.to(device)
        self.scale, self.shift = self.scale.to(device), self.shift.to(device)

    def __getitems__(self, indices: Sequence[int]):
        """Return images float32 (B, 3, H, W) on the device, labels int64 (B,)."""
        index = torch.as_tensor(indices)
        images = self.images[index.to(self.images.device)]  # (B, H, W, 3)
        rows = images.flatten(2).float().mul_(self.scale).add_(self.shift)
        images = rows.view(images.shape).permute(0, 3, 1, 2)
        if self.augment:
            images = self._moved(images)
        return images, self.labels[index]

    def _moved(self, images: torch.Tensor) -> torch.Tensor:
        """Return images shifted (or cropped and resized) and flipped at random."""
        batch, _, _, width = images.shape

        def draw() -> torch.Tensor:
            return torch.rand(batch, generator=self.generator)

        flip = (draw() < 0.5).float() * 2 - 1
        if self.resized:
            scale = (0.35 + 0.65 * draw()).sqrt()
            room = 1 - scale
        else:
            scale, room = torch.ones(batch), torch.full((batch,), 2 * PADDING / width)
        across, down = (2 * draw() - 1) * room, (2 * draw() - 1) * room
        if not self.resized:  # whole pixels
            across, down = (
                (shift * width / 2).round() * 2 / width for shift in (across, down)
            )
        theta = torch.zeros(batch, 2, 3)
        theta[:, 0, 0], theta[:, 0, 2] = flip * scale, across
        theta[:, 1, 1], theta[:, 1, 2] = scale, down
        grid = F.affine_grid(
            theta.to(images.device), list(images.shape), align_corners=False
        )
        return F.grid_sample(
            images, grid, padding_mode="reflection", align_corners=False
        ).contiguous(memory_format=torch.channels_last)


def train_imagenet200(arrays: Path, out: Path, *, resized: bool, width: int) -> None:
    """Train the network that ships as ``imagenet200``; leave weights and record."""
    session = start(seed=0)
    name = f"imagenet200-width{width}-{'resized' if resized else 'shifted'}"
    if is_recorded(RESULTS / f"{name}.json"):
        return
    data = np.load(arrays)
    mean, std = channel_statistics(data["train_images"])
    info = {
        "name": "ImageNet-200",
        "source": "photos",
        "classes": data["classes"].tolist(),
        "mean": list(mean),
        "std": list(std),
        "image_size": 32,
        "train_size": len(data["train_labels"]),
    }
    generator = torch.Generator().manual_seed(0)
    own = {"generator": generator, "info": info, "resized": resized}
    parts = [
        OnDevice(
            data[f"{part}_images"],
            data[f"{part}_labels"],
            mean,
            std,
            augment=train,
            **own,
        )
        for part, train in (("train", True), ("val", False))
    ]
    batch_size = 256
    train_loader = DataLoader(
        parts[0], batch_size, True, generator=generator, collate_fn=already_collated
    )
    val_loader = DataLoader(parts[1], 1000, collate_fn=already_collated)
    model = models.CifarResNet(20, 200, "B", width=width, stem_stride=2)
    model.to(session.device)
    epochs = IMAGENET_EPOCHS
    optimizer, scheduler = sgd_one_cycle(model, 0.4, epochs * len(train_loader))

    def tell(history: History) -> None:
        line = f"{name} {history.line(epochs)}"
        print(line, flush=True)

    history = train_to_the_end(
        model,
        Loaders(train_loader, val_loader, val_loader),
        epochs,
        optimizer,
        scheduler=scheduler,
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        progress=False,
        on_epoch=tell,
    )
    result = {
        "network": "residual",
        "depth": 20,
        "width": width,
        "data": "ImageNet-200 photos",
        "crop": "resized" if resized else "shifted",
        "seed": 0,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": 0.4,
        "label_smoothing": 0.1,
        "arithmetic": str(amp_dtype(session.device, "auto") or torch.float32),
        "train_size": info["train_size"],
        **of_training(history),
    }
    weights = {key: halve(value) for key, value in model.state_dict().items()}
    checkpoint = {"model": weights, "architecture": model.architecture, "data": info}
    (out / name).mkdir(parents=True, exist_ok=True)
    save_checkpoint(out / name / "best.pt", checkpoint)
    save_result(RESULTS / f"{name}.json", result, session.device)


# --- CIFAR-10 -----------------------------------------------------------------------


def cifar_run(
    name: str,
    seed: int,
    lr: float,
    *,
    epochs: int,
    network: str = "residual",
    depth: int = 20,
    augment: bool = True,
    weight_decay: float = 5e-4,
    constant: bool = False,
) -> dict:
    """Return the record of one training on all 45 000 photos, made unless there."""
    path = RESULTS / f"{name}-photos-45000-seed{seed}.json"
    if is_recorded(path):
        return json.loads(path.read_text("utf-8"))
    session = start(seed=seed)
    splits = load_cifar10(session.data_dir)
    loaders = splits.loaders(BATCH_SIZE, seed=seed)
    loaders.train.dataset.augment = augment
    if network in ("cifar", "imagenet"):
        model = models.resnet18(num_classes=10, stem=network)
    else:
        shortcut = None if network == "plain" else "A"
        model = models.CifarResNet(depth, shortcut=shortcut)
    model.to(session.device)
    steps = epochs * len(loaders.train)
    optimizer, scheduler = sgd_one_cycle(model, lr, steps)
    for group in optimizer.param_groups:
        group["weight_decay"] = weight_decay
    if constant:
        scheduler = None
        for group in optimizer.param_groups:
            group |= {"lr": lr, "momentum": 0.9}
    try:
        history = train_to_the_end(
            model, loaders, epochs, optimizer, scheduler=scheduler, progress=False
        )
    except FloatingPointError as error:
        print(f"{name} seed {seed}: {error}", flush=True)
        return {"val_accuracy": 0.0}
    test = evaluate(model, loaders.test)
    result = {
        "study": name,
        "network": network,
        "depth": 18 if network in ("cifar", "imagenet") else depth,
        "data": "CIFAR-10 photos",
        "train_size": len(loaders.train.dataset),
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "lr": lr,
        "weight_decay": weight_decay,
        "augmented": augment,
        "schedule": "constant" if constant else "one cycle",
        "test_accuracy": test.accuracy,
        **of_training(history),
    }
    save_result(path, result, session.device)
    seconds = sum(history.seconds)
    print(f"{path.stem}: test {test.accuracy:.2%}, {seconds:.0f} s", flush=True)
    return result


def ablation(name: str, seed: int | None, rate: float | None = None) -> None:
    """Try one of a contender's rates, or train a seed at the best of them."""
    options, rates = ABLATION[name]
    if seed is None:
        cifar_run(f"ablation-search-{name}-lr{rate}", 0, rate, epochs=EPOCHS, **options)
        return
    files = [
        RESULTS / f"ablation-search-{name}-lr{r}-photos-45000-seed0.json" for r in rates
    ]
    found = [json.loads(f.read_text("utf-8")) for f in files if f.is_file()]
    best = max(found, key=lambda run: run["val_accuracy"])
    if seed == 0:
        best["study"] = f"ablation-{name}"
        text = json.dumps(best, indent=1) + "\n"
        (RESULTS / f"ablation-{name}-photos-45000-seed0.json").write_text(text, "utf-8")
        return
    cifar_run(f"ablation-{name}", seed, best["lr"], epochs=EPOCHS, **options)


# --- the day ------------------------------------------------------------------------


def plan(arrays: str, out: str) -> list[tuple[str, list[str]]]:
    """Return the runs by name, most important first: what each is, as arguments."""
    jobs = [
        ("imagenet", [arrays, out, "1", "48"]),
        ("imagenet", [arrays, out, "0", "48"]),
    ]
    jobs += [
        ("search", [n, str(r)]) for n, (_, rates) in ABLATION.items() for r in rates
    ]
    jobs += [
        ("cifar", [f"stem-{n}", str(s), "0.2", n])
        for s in SEEDS
        for n in ("cifar", "imagenet")
    ]
    jobs += [("deep", [network, "56", "0.1", "0"]) for network in ("plain", "residual")]
    jobs += [("ablation", [name, str(seed)]) for seed in SEEDS for name in ABLATION]
    backbones = ("imagenet200", "cifar10")
    pairs = [(b, w) for b in backbones for w in transfer_study.FIRST]
    jobs += [("rates", [backbone, way]) for backbone, way in pairs]
    jobs += [("study", [b, w, str(s)]) for s in SEEDS for b, w in pairs]
    jobs += [
        ("deep", [network, "20", "0.1", str(seed)])
        for seed in SEEDS
        for network in ("plain", "residual")
    ]
    jobs += [("rescue", [rate]) for rate in ("0.01", "0.03", "0.3")]
    jobs += [
        ("deep", [network, "56", "0.1", str(seed)])
        for seed in (1, 2)
        for network in ("plain", "residual")
    ]
    return jobs


def run_one(kind: str, options: list[str]) -> None:
    """Make one run of the plan."""
    if kind == "imagenet":
        arrays, out, resized, width = options
        train_imagenet200(
            Path(arrays), Path(out), resized=resized == "1", width=int(width)
        )
    elif kind == "search":
        ablation(options[0], None, float(options[1]))
    elif kind == "ablation":
        ablation(options[0], int(options[1]))
    elif kind == "cifar":
        name, seed, lr, network = options
        cifar_run(name, int(seed), float(lr), epochs=LONG_EPOCHS, network=network)
    elif kind == "deep":
        network, depth, lr, seed = options
        cifar_run(
            f"degradation-{network}{depth}",
            int(seed),
            float(lr),
            epochs=EPOCHS,
            network=network,
            depth=int(depth),
        )
    elif kind == "rescue":
        cifar_run(
            f"rescue-plain56-lr{options[0]}",
            0,
            float(options[0]),
            epochs=EPOCHS,
            network="plain",
            depth=56,
        )
    else:
        session = start()
        splits = load_flowers(session.data_dir)
        backbone, way, *seed = options
        study = transfer_study.Study(backbone, session, splits)
        if kind == "rates":
            study.best_rate(way)
            return
        for per_class in transfer_study.PER_CLASS:
            study.record(way, per_class, int(seed[0]))


def ready(kind: str, options: list[str], done: list) -> bool:
    """Return whether what a run builds on is there."""
    if kind == "ablation":
        rates = ABLATION[options[0]][1]
        return all(("search", [options[0], str(r)]) in done for r in rates)
    if kind in ("rates", "study"):
        if options[0] == "imagenet200" and not pretrained_path("imagenet200").is_file():
            return False
        needed = [("rates", options[:2])] if kind == "study" else []
        if options[1] == "head-first":
            needed.append(("rates", [options[0], "frozen"]))
        return all(job in done for job in needed)
    if kind in ("search", "cifar", "deep", "rescue"):
        return Path(os.environ["CIFAR_READY"]).exists()
    return True


def main() -> None:
    """Deal the plan to processes until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", nargs=2, type=Path, metavar=("DIR", "FILE"))
    parser.add_argument("--unpack", nargs=2, type=Path)
    parser.add_argument("--run", nargs="+")
    parser.add_argument("--arrays", default="")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--processes", type=int, default=12)
    options = parser.parse_args()
    if options.pack:
        pack(*options.pack)
    elif options.unpack:
        unpack(*options.unpack)
    elif options.run:
        run_one(options.run[0], options.run[1:])
    else:
        deal(options)


def deal(options: argparse.Namespace) -> None:
    """Run the plan, several processes at a time; stop them when the time is over."""
    began, running, done = time.time(), [], []
    options.out.mkdir(parents=True, exist_ok=True)
    waiting = plan(options.arrays, str(options.out))
    while (waiting or running) and time.time() - began < options.seconds:
        for item in list(running):
            process, job = item
            if process.poll() is not None:
                running.remove(item)
                done.append(job)
                took = time.time() - began
                if process.returncode:
                    print(f"{took:.0f} s: FAILED {job}", flush=True)
                if job[0] == "imagenet" and job[1][2] == "1" and not process.returncode:
                    shutil.copy(
                        options.out / "imagenet200-width48-resized" / "best.pt",
                        pretrained_path("imagenet200"),
                    )
        for job in list(waiting):
            if len(running) >= options.processes:
                break
            if ready(*job, done):
                waiting.remove(job)
                command = [sys.executable, __file__, "--run", job[0], *job[1]]
                running.append((subprocess.Popen(command), job))
        time.sleep(0.3)
    for process, job in running:
        process.kill()
        print(f"Not finished: {job}", flush=True)
    print(
        f"{len(done)} done, {len(running)} cut off, {len(waiting)} not begun, "
        f"{time.time() - began:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
