"""`ssacl convert-release` on small files of the release's form: whole ones, and each way in which a file can be wrong."""

import argparse
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file
from test_cli import run
from test_release_equality import WEIGHTS, release_config
from transformers import PreTrainedTokenizerFast

from ssacl_lib.model import SSACLModel
from ssacl_lib.model.build import load_model
from ssacl_lib.text.tokenizer import train_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[MASK]", "right", "left", "lung", "zone", "spine", "effusion", "."]


class Code:
    """What an evil file would hold: unpickled, it would make a folder."""

    def __reduce__(self):
        import os

        return os.mkdir, ("it-ran",)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The current folder is empty but for the sizes (as fields, and as a config.json of ours) and the tokenizers."""
    monkeypatch.chdir(tmp_path)
    config = release_config()
    sizes = ("image_size", "patch_size", "channels", "width", "depth", "heads", "decoder_depth", "decoder_heads", "text",
             "language")  # fmt: skip
    (tmp_path / "sizes.json").write_text(json.dumps({name: getattr(config, name) for name in sizes}))
    config.save_pretrained(tmp_path / "whole")
    (tmp_path / "words.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    trained = train_tokenizer(["Right effusion.", "The left lung is clear."], vocab_size=90)
    trained.save_pretrained(tmp_path / "gpt2")
    return tmp_path


def checkpoint(state: dict, name: str = "release.pth", **more) -> str:
    """A file as the release's training saves it."""
    args = argparse.Namespace(lr=1)
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 3, "scaler": None, "args": args, **more}, name)
    return name


def convert(capsys, *words) -> tuple[int, str, str]:
    return run(capsys, "convert-release", *words, "--config", "sizes.json")


def test_the_tensors_of_the_file_become_a_folder_of_ours(capsys, files):
    extra = {"WCE.weight": torch.ones(3), "logit_scale": torch.ones(())}
    name = checkpoint({**WEIGHTS, **extra})
    code, out, _ = convert(capsys, name, "out", "--tokenizer", "words.json", "--language-tokenizer", "gpt2")
    assert code == 0 and "written: out" in out and "finding head" in out
    unused = out.split("not used")[1]
    assert "WCE.weight: class weights" in unused and "logit_scale: " in unused
    model, direct = load_model(files / "out", "cpu"), SSACLModel.from_release(WEIGHTS, release_config())
    theirs = direct.state_dict()
    for key, value in model.state_dict().items():
        if not key.startswith("head."):
            torch.testing.assert_close(value, theirs[key], rtol=0, atol=0)
    assert model.config.to_diff_dict()["attention"] == "release" and model.config.image_size == direct.config.image_size
    assert model.processor.text(["Right lung"])[0].tolist() == [[2, 4, 6]]
    assert isinstance(model.processor.language_tokenizer, PreTrainedTokenizerFast)
    report = model.report([torch.zeros(56, 56).numpy()])[0]
    assert report.positives == () and isinstance(report.text, str)
    assert set(load_file(files / "out" / "model.safetensors")) >= {"encoder.cls_token", "inverse_temperature"}


def test_other_forms_of_the_file_give_the_same(capsys, files):
    torch.save({"state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()}}, "parallel.pth")
    torch.save(WEIGHTS, "bare.pth")
    for number, words in enumerate(
        (["parallel.pth"], ["bare.pth"], [checkpoint(WEIGHTS), "--config", "whole/config.json"])
    ):
        name, *options = words
        assert run(capsys, "convert-release", name, f"out{number}", *(options or ["--config", "sizes.json"]))[0] == 0
    first, *others = (load_file(files / f"out{number}" / "model.safetensors") for number in range(3))
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first if not key.startswith("head."))


def test_without_tokenizers_it_says_what_is_missing(capsys, files):
    code, out, _ = convert(capsys, checkpoint(WEIGHTS), "out")
    assert code == 0 and "--tokenizer" in out and not (files / "out" / "tokenizer").exists()
    code, out, _ = convert(capsys, "release.pth", "words", "--tokenizer", "words.json")
    assert code == 0 and "--language-tokenizer" in out and (files / "words" / "tokenizer").is_dir()


def without(key: str) -> dict:
    return {name: value for name, value in WEIGHTS.items() if name != key}


@pytest.mark.parametrize(
    ("state", "culprits"),
    [
        (without("img_mlp.weight"), ("missing", "img_mlp.weight")),
        (without("blocks.1.attn.qkv.bias"), ("missing", "blocks.1.attn.qkv.bias")),
        (WEIGHTS | {"img_mlp.scale": torch.ones(2)}, ("surplus", "img_mlp.scale")),
        (WEIGHTS | {"opt_proj.weight": torch.ones(3, 4)}, ("misshapen", "opt_proj.weight", "[3, 4]")),
        (WEIGHTS | {"blocks.2.norm1.weight": torch.ones(32)}, ("surplus", "blocks.2.norm1.weight")),
    ],
)
def test_a_wrong_tensor_is_named_in_one_line_and_nothing_is_written(capsys, files, state, culprits):
    code, out, err = convert(capsys, checkpoint(state), "out")
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1, err
    assert all(culprit in err for culprit in culprits), err
    assert not (files / "out").exists()


def test_a_pickle_with_code_is_refused_and_not_run(capsys, files):
    checkpoint(WEIGHTS, "evil.pth", surprise=Code())
    (files / "plain.pth").write_bytes(pickle.dumps({"model": Code()}, protocol=2))
    (files / "newer.pth").write_bytes(pickle.dumps({"model": Code()}, protocol=4))
    for name in ("evil.pth", "plain.pth", "newer.pth"):
        code, _, err = convert(capsys, name, "out")
        assert code == 2 and name in err and len(err.strip().splitlines()) == 1, err
        assert "mkdir" in err or name == "newer.pth", err  # torch reads no pickle of this protocol at all
    assert not (files / "it-ran").exists() and not (files / "out").exists()


def test_what_is_no_checkpoint_is_named(capsys, files):
    (files / "text.pth").write_text("no checkpoint")
    (files / "empty.pth").write_bytes(b"")
    torch.save([torch.ones(2)], "list.pth")
    whole = (files / checkpoint(WEIGHTS, "whole.pth")).read_bytes()
    (files / "cut.pth").write_bytes(whole[: len(whole) // 2])
    for name in ("text.pth", "empty.pth", "list.pth", "cut.pth", "missing.pth"):
        code, _, err = convert(capsys, name, "out")
        assert code == 2 and name in err and len(err.strip().splitlines()) == 1, err


def test_wrong_tokenizers_and_sizes_are_named(capsys, files):
    name = checkpoint(WEIGHTS)
    (files / "sizes2.json").write_text(json.dumps({"widht": 3}))
    (files / "broken.json").write_text("{")
    (files / "many.txt").write_text("\n".join(WORDS + [f"w{number}" for number in range(80)]))
    for words, culprit in (
        ((name, "out", "--config", "sizes2.json"), "'widht' is no field"),
        ((name, "out", "--config", "broken.json"), "broken.json"),
        ((name, "out", "--config", "nowhere.json"), "nowhere.json"),
        ((name, "out", "--config", "sizes.json", "--tokenizer", "nowhere.json"), "nowhere.json"),
        ((name, "out", "--config", "sizes.json", "--tokenizer", "broken.json"), "broken.json"),
        (
            (name, "out", "--config", "sizes.json", "--tokenizer", "many.txt"),
            "many.txt: 91 entries, and the model has 64",
        ),
        ((name, "out", "--config", "sizes.json", "--language-tokenizer", "./nowhere"), "nowhere"),
    ):
        code, _, err = run(capsys, "convert-release", *words)
        assert code == 2 and culprit in err and len(err.strip().splitlines()) == 1, err
    assert not (files / "out").exists()
