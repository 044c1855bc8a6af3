"""Two processes of batch B are one process of batch 2 B: rows, terms, gradients, weights, files. Also the script they run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from small import SMALL, View
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from ssacl_lib import distributed, paths
from ssacl_lib.distributed import (
    distribute,
    gather_rows,
    join,
    leave,
    mean_over_processes,
    rank,
    share_of_mean,
    world_size,
)
from ssacl_lib.model import Batch, SSACLModel
from ssacl_lib.model.build import build_model
from ssacl_lib.model.processes import Processes
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.batches import TrainingBatches
from ssacl_lib.training.loop import lay_out, meet_processes, pretrain, train_step, wanted_terms, weighted_sum

TWO_BLOCKS = {
    **SMALL,
    "model.stem": "patch",
    "model.depth": 2,
    "model.dropout": 0.0,
    "training.warmup_images": 0,
    "training.accumulation": 1,
    "training.loss_weights.report_labels": 1.0,
    "training.loss_weights.side_exchange": 1.0,
}
STEPS = 3


def small(ranks: int, **overrides):
    """Settings with four images a step, whatever the number of processes."""
    return load_settings("smoke", **{**TWO_BLOCKS, "training.batch_size": 4 // ranks, **overrides})


def small_studies():
    """Ten studies in memory; of any four in a row, the last two have the longer reports, more findings and more sides."""
    short, long = (
        ("Right pleural effusion.", "Pleural effusion."),
        "Left pneumothorax. The heart is enlarged. There is no rib fracture. Mild edema is seen.",
    )
    reports = [short[number % 4] if number % 4 < 2 else f"{long} Film {number}." for number in range(10)]
    images = np.random.default_rng(0).integers(0, 255, (len(reports), 32, 32), dtype=np.uint8)
    return View(reports, images)


def double(batch: Batch) -> Batch:
    return Batch(**{n: v.double() if v.is_floating_point() else v for n, v in batch.tensors().items()})


def double_model(settings, studies) -> SSACLModel:
    return build_model(settings, train_tokenizer(studies.reports)).double()


# ---- what the processes run
def gradients(out: Path, attention: str) -> None:
    """Terms (means over processes) and gradients of one step in float64."""
    settings, studies = small(world_size(), **{"model.attention": attention}), small_studies()
    model = double_model(settings, studies)
    batches = TrainingBatches(settings, studies, model.processor, 8, shuffle=False)
    prompted = next(batch for batch in map(batches.__getitem__, range(8)) if batch.prompt_ids.shape[1])
    model.processes = Processes(gather_rows, share_of_mean)
    wrapped = distribute(model, "none", [], torch.device("cpu"))
    terms = wrapped(double(prompted), 0.5, 0.1, wanted_terms(settings))
    weighted_sum(terms, settings).backward()
    if not rank():
        assert prompted.report_mask.sum() < 4 * 4 or world_size() == 1  # the first process has the short reports
    found = {name: mean_over_processes(value.double()) for name, value in terms.items()}
    found |= {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    if not rank():
        torch.save(found, out)


def steps(out: Path, sharding: str) -> None:
    """The weights after a few steps in float64, with clipping and accumulation."""
    settings = small(
        world_size(), **{"training.sharding": sharding, "training.accumulation": 2, "training.clip_norm": 0.5}
    )
    studies, accelerator = small_studies(), meet_processes(settings)
    model = double_model(settings, studies)
    batches = TrainingBatches(settings, studies, model.processor, 2 * STEPS)
    wrapped, optimizer = lay_out(model, double(batches[0]), settings, accelerator)
    update = accelerator.prepare(optimizer)
    for batch in batches.loader():
        train_step(accelerator, wrapped, update, double(batch), settings)
    if sharding == "full" and world_size() > 1:  # each process holds half of a weight
        weight = model.encoder.blocks[0].fc1.weight
        assert weight.to_local().numel() * world_size() == weight.numel()
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not rank():
        torch.save(weights, out)


def train(out: Path, sharding: str) -> None:
    """A training that dies after three steps; its checkpoint is from the second. And the studies that each process reads."""
    studies = small_studies()
    pretrain(small(world_size(), **{"training.sharding": sharding}), out, studies, studies, stop_after=3)
    torch.save(read_rows(small(world_size()), studies), out / f"rows{rank()}.pt")


def resume(out: Path, sharding: str) -> None:
    """The end of a training that one process began."""
    studies = small_studies()
    pretrain(small(world_size(), **{"training.sharding": sharding}), out, studies, studies)


def read_rows(settings, studies) -> list[list[int]]:
    processor = build_model(settings, train_tokenizer(studies.reports)).processor
    batches = TrainingBatches(settings, studies, processor, 6)
    return [batches.indices(step).tolist() for step in range(len(batches))]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes left: one launch for all tests, for most of the time goes into starting them."""
    folder, studies = tmp_path_factory.mktemp("two"), small_studies()
    for sharding in ("none", "full"):
        pretrain(small(1), folder / f"resume-{sharding}", studies, studies, progress=False, stop_after=3)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(paths.ROOT)}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        __file__,
        str(folder),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == ""  # no line twice: the bar and the curve are the first process's
    return folder


def furthest(one: dict, two: dict) -> float:
    """The largest error relative to its array's maximum.

    What a softmax forgets (the bias of its keys) has the gradient 0: there both hold rounding errors, and nothing is compared.
    """
    assert one.keys() == two.keys()
    pairs = [(one[name].detach(), two[name].detach()) for name in one]
    return max(
        float((a - b).abs().max() / a.abs().max()) for a, b in pairs if max(a.abs().max(), b.abs().max()) > 1e-12
    )


# ---- tests
@pytest.mark.parametrize("attention", ["paper", "release"])
def test_two_processes_have_the_gradients_of_one(attention, two, tmp_path):
    gradients(tmp_path / "one.pt", attention)
    assert furthest(torch.load(tmp_path / "one.pt"), torch.load(two / f"gradients-{attention}.pt")) < 1e-9


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_train_the_weights_of_one(sharding, two, tmp_path):
    steps(tmp_path / "one.pt", sharding)
    assert furthest(torch.load(tmp_path / "one.pt"), torch.load(two / f"steps-{sharding}.pt")) < 1e-9


@pytest.mark.parametrize("sharding", ["none", "full"])
@pytest.mark.parametrize("began", ["train", "resume"])
def test_a_killed_run_goes_on_with_another_number_of_processes(began, sharding, two, tmp_path):
    """train: two began and one ends it; resume: one began and two ended it."""
    studies = small_studies()
    whole = pretrain(small(1), tmp_path / "whole", studies, studies, progress=False)
    if began == "train":
        pretrain(small(1), two / f"train-{sharding}", studies, studies, progress=False)
    found = pd.read_csv(two / f"{began}-{sharding}" / "history.csv").query("split == 'validation'")
    assert found["images"].unique().tolist() == [8, 16, 24]
    want = whole.history.query("split == 'validation'")["value"].to_numpy()
    assert found["value"].to_numpy() == pytest.approx(want, rel=1e-4)  # float32
    assert SSACLModel.from_pretrained(two / f"{began}-{sharding}").processor is not None


def test_processes_share_an_epoch_without_overlap(two):
    rows = [torch.load(two / "train-none" / f"rows{number}.pt") for number in range(2)]
    together = [first + second for first, second in zip(*rows, strict=True)]
    assert together == read_rows(small(1), small_studies())
    assert sorted([row for step in together for row in step][: len(small_studies())]) == list(
        range(len(small_studies()))
    )


def test_a_sample_is_drawn_alike_wherever_it_is_read():
    studies, settings = small_studies(), small(1)
    processor = build_model(settings, train_tokenizer(studies.reports)).processor
    whole = TrainingBatches(settings, studies, processor, 4)[1]
    parts = [TrainingBatches(small(2), studies, processor, 4, place=(number, 2))[1] for number in range(2)]
    later = TrainingBatches(settings, studies, processor, 4, start=whole.pixels.shape[0])[0]
    for name in ("pixels", "noise", "graph_noise", "leaf_open", "labels", "prompt_ids", "paired"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts])), name
        assert torch.equal(getattr(whole, name), getattr(later, name)), name
    assert not torch.equal(whole.noise, whole.graph_noise)
    words = [[row[mask.bool()] for row, mask in zip(b.side_ids.flatten(0, 1), b.side_mask.flatten(0, 1), strict=True)]
             for b in (whole, later, *parts)]  # fmt: skip
    for found in (words[1], words[2] + words[3]):
        assert all(torch.equal(a, b) for a, b in zip(words[0], found, strict=True))


def test_one_process_shares_with_nobody():
    assert (world_size(), rank()) == (1, 0)
    assert share_of_mean(torch.tensor(3.0)) == 1
    with pytest.raises(SystemExit) as left:
        leave(3)
    assert left.value.code == 3


def launched_wrongly(monkeypatch, **variables):
    for name in (*distributed.MADE_BY_TORCHRUN, "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_launch_without_torchrun_is_refused(tmp_path, monkeypatch):
    environment = {**os.environ, "WORLD_SIZE": "2", "PYTHONPATH": str(paths.ROOT)}
    command = [sys.executable, "-m", "ssacl_lib", "pretrain", "--profile", "smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "torchrun" in done.stderr
    launched_wrongly(monkeypatch, SLURM_STEP_NUM_TASKS="8")
    with pytest.raises(ValueError, match="8 processes are announced"):
        join(cpu=True)


def test_a_process_that_stays_alone_is_refused(monkeypatch):
    launched_wrongly(
        monkeypatch,
        WORLD_SIZE="2",
        RANK="0",
        LOCAL_RANK="0",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="localhost",
        MASTER_PORT="0",
    )
    monkeypatch.setattr(distributed, "MEETING", distributed.timedelta(seconds=1))
    with pytest.raises(ValueError, match="not all of them came"):
        join(cpu=True)
    assert not dist.is_initialized()
    with pytest.raises(ValueError, match="2 processes were started, but 1 train together"):
        distributed.check_processes(1)


if __name__ == "__main__":
    join(cpu=True)
    assert world_size() == int(os.environ["WORLD_SIZE"]) == 2
    for action in (gradients, steps, train, resume):
        for choice in ("paper", "release") if action is gradients else ("none", "full"):
            ending = ".pt" if action in (gradients, steps) else ""
            action(Path(sys.argv[1]) / f"{action.__name__}-{choice}{ending}", choice)
    leave(0)
