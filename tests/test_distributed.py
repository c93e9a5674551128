"""Several processes train as one: the same loss, the same weights."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import small_training as small
import torch
from small_distributed import fit, without_batchnorm
from small_training import same_state
from torch import nn
from torch.optim import SGD
from torch.utils.data.distributed import DistributedSampler

from course_utils.training import CheckpointError, distributed, load_checkpoint
from course_utils.training.checkpoint import load_model
from course_utils.training.distributed import EveryExampleOnce, loader_of_this_rank

PROGRAM = Path(__file__).with_name("small_distributed.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(folder):
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, *TORCHRUN, PROGRAM, folder],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(path) for path in sorted(folder.glob("rank*.pt"))]
    return ranks, done.stdout


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    torch.manual_seed(0)
    return fit(without_batchnorm(), 3, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "run"
    return *start(folder), folder


def test_two_processes_on_the_same_global_batch_are_one(one_process, two_processes):
    for rank in two_processes[0]:
        ours, theirs = rank["without BatchNorm"], one_process
        for name, values in theirs["history"].items():
            assert ours["history"][name] == pytest.approx(values, rel=1e-5), name
        for name, weight in theirs["weights"].items():
            assert torch.allclose(ours["weights"][name], weight, atol=1e-6), name
        assert ours["test"] == pytest.approx(theirs["test"], rel=1e-5)
    torch.manual_seed(0)  # the weights that training began with
    begun = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2)).state_dict()
    assert not torch.allclose(
        one_process["weights"]["0.weight"], begun["0.weight"], atol=1e-3
    )


def test_the_processes_end_with_the_same_network(two_processes):
    first, second = two_processes[0]
    assert same_state(first, second)


def test_two_processes_go_on_exactly(two_processes):
    for rank in two_processes[0]:
        assert same_state(rank["resumed"], rank["straight"])


def test_one_process_speaks_and_saves(two_processes):
    _, output, folder = two_processes
    lines = [line for line in output.splitlines() if line.startswith("Epoch")]
    assert len(lines) == 3 + 3 + 2 + 1
    assert {path.name for path in (folder / "straight").iterdir()} == {
        "best.pt",
        "last.pt",
    }
    best = load_checkpoint(folder / "straight" / "best.pt")
    assert not any(name.startswith("module.") for name in best["model"])
    load_model(folder / "straight" / "best.pt")


def test_a_run_of_two_processes_is_not_continued_by_one(two_processes, tmp_path):
    *_, folder = two_processes
    (tmp_path / "last.pt").write_bytes((folder / "straight/last.pt").read_bytes())
    with pytest.raises(CheckpointError, match="processes 2 there, 1 here"):
        small.run(tmp_path, scheduler=None, resume=True)


@pytest.fixture
def ranks(monkeypatch):
    """Lets the code believe that it is one of several processes."""

    def be(number, of):
        monkeypatch.setattr(distributed, "rank", lambda: number)
        monkeypatch.setattr(distributed, "world_size", lambda: of)

    return be


@pytest.mark.parametrize(("length", "world"), [(10, 3), (3, 2), (2, 4), (0, 2), (7, 1)])
def test_every_example_is_in_exactly_one_part(ranks, length, world):
    seen = []
    for number in range(world):
        ranks(number, world)
        part = EveryExampleOnce(range(length))
        assert len(part) == len(list(part))
        seen += part
    assert Counter(seen) == Counter(range(length))


def test_pytorchs_own_sampler_would_count_some_twice(ranks):
    """The reason for `EveryExampleOnce`; when this fails, it can go."""
    seen = [
        index
        for number in range(2)
        for index in DistributedSampler(range(19), 2, number, shuffle=False)
    ]
    assert len(seen) == 20


def test_shares_together_are_the_batches_of_one_process(ranks):
    whole = small.make_loaders().train
    whole.dataset.augment = False
    ranks(0, 1)
    alone = [
        labels.sort().values
        for _, labels in loader_of_this_rank(whole, train=True, seed=1)
    ]
    parts = []
    for number in range(2):
        ranks(number, 2)
        parts.append(
            [labels for _, labels in loader_of_this_rank(whole, train=True, seed=1)]
        )
    both = [torch.cat(pair).sort().values for pair in zip(*parts, strict=True)]
    assert same_state(both, alone)


def test_a_batch_that_cannot_be_shared_is_refused(ranks):
    ranks(0, 3)
    with pytest.raises(ValueError, match="Batches of 16 cannot be shared by 3"):
        loader_of_this_rank(small.make_loaders().train, train=True)


def test_data_parallel_trains_the_network_inside(tmp_path):
    """The older way; without a GPU it hands the batches on."""
    plain, _ = small.run(tmp_path / "plain", scheduler=None)
    model = small.setting(tmp_path)["model"]
    wrapped = nn.DataParallel(model)
    optimizer = SGD(wrapped.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    _, same = small.run(
        tmp_path / "parallel", model=wrapped, optimizer=optimizer, scheduler=None
    )
    assert same.val_loss[-1] != same.val_loss[0]
    best = load_checkpoint(tmp_path / "parallel" / "best.pt")
    assert best["model"].keys() == plain.state_dict().keys()
    assert best["architecture"] == plain.architecture
