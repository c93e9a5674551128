"""What only a GPU can show: 16 bits, memory order, exact resume, torchrun.

Without one, each test is skipped and says so; `tools/gpu_day.py` runs them on one.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_training as small
import torch
from PIL import Image
from small_training import same_state, without_seconds

from course_utils.data.arrays import ArrayDataset
from course_utils.metrics import collect_logits
from course_utils.models import cifar_resnet
from course_utils.prediction import load_predictor, predict
from course_utils.pretrained import pretrained_path
from course_utils.training import amp_dtype, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
PROGRAM = Path(__file__).with_name("small_distributed.py")


def run(folder, **changes):
    """Return the network and the history of the small training, on the GPU."""
    options = small.setting(folder)
    options["model"].cuda()
    options |= changes
    return options["model"], train(**options)


@pytest.fixture
def deterministic(monkeypatch):
    """Only kernels that give the same bits each time."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_sixteen_bits_and_32_learn_the_same_thing(tmp_path):
    assert amp_dtype(torch.device("cuda"), "auto") in (torch.bfloat16, torch.float16)
    _, short = run(tmp_path / "short")
    _, whole = run(tmp_path / "whole", amp=False)
    assert short.train_loss[0] == pytest.approx(whole.train_loss[0], rel=0.05)
    assert short.train_loss[0] != whole.train_loss[0]


def test_weights_are_channels_last_and_answers_do_not_depend_on_it(tmp_path):
    model, _ = run(tmp_path, num_epochs=1)
    assert model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    loader = small.make_loaders().test
    found, _ = collect_logits(model, loader)
    expected, _ = collect_logits(
        model.to(memory_format=torch.contiguous_format), loader
    )
    assert torch.allclose(found, expected, rtol=0.01, atol=0.01)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path, deterministic):
    model, history = run(tmp_path / "straight")
    run(tmp_path / "broken", num_epochs=2)
    again, resumed = run(tmp_path / "broken", resume=True)
    assert without_seconds(resumed) == without_seconds(history)
    assert same_state(again.state_dict(), model.state_dict())


def test_torchrun_with_one_rank_trains_and_judges(tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    done = subprocess.run(
        [sys.executable, *command, PROGRAM, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rank0.pt").is_file()


def test_batches_made_on_a_gpu_are_those_of_the_processor():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)

    def batch(device):
        own = torch.Generator().manual_seed(0)
        data = ArrayDataset(
            images,
            np.arange(50),
            (0.5, 0.4, 0.3),
            (0.2, 0.2, 0.3),
            augment=True,
            generator=own,
            device=device,
        )
        return data.__getitems__(range(50))

    (found, labels), (expected, _) = batch("cuda"), batch("cpu")
    assert (found.is_cuda, labels.is_cuda) == (True, False)
    assert torch.allclose(found.cpu(), expected, atol=1e-5)


def test_a_model_on_a_gpu_gives_logits_on_the_cpu():
    model, loader = cifar_resnet(8, num_classes=3), small.make_loaders().test
    expected, _ = collect_logits(model, loader)
    logits, labels = collect_logits(model.cuda(), loader)
    assert (logits.device.type, labels.device.type) == ("cpu", "cpu")
    assert torch.allclose(logits, expected, atol=1e-2)


def test_a_predictor_says_the_same_on_a_gpu():
    path = pretrained_path("sketches")
    on_cpu, on_gpu = (load_predictor(path, device=d) for d in ("cpu", "cuda"))
    assert next(on_gpu.model.parameters()).is_cuda
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    found = [predict(p, image).probabilities for p in (on_cpu, on_gpu)]
    assert found[0] == pytest.approx(found[1], abs=1e-3)
