"""Pretrained text and language models by a local path (a hub name goes the same way), made tiny here."""

import shutil

import pytest
import torch
from small import SMALL
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaModel,
)

from ssacl_lib.inference import write_reports
from ssacl_lib.model.build import build_model, load_model
from ssacl_lib.model.prompts import prompt_ids
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.origin import start_fingerprint
from ssacl_lib.training.state import save_model

SIZES = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=120)
REPORTS = ["Small left pleural effusion.", "No pneumothorax. The heart is enlarged.", "Lungs are clear."]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A BERT and a GPT-2 with tokenizers of their own, saved as their authors would."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("pretrained")
    words = train_tokenizer(REPORTS, vocab_size=120)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
    ).save_pretrained(root / "bert")
    words.save_pretrained(root / "bert")
    other = train_tokenizer(REPORTS * 2 + ["A right apical cap."], vocab_size=150)
    GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(other), n_embd=32, n_layer=1, n_head=2, n_positions=512, bos_token_id=2, eos_token_id=4
        )
    ).save_pretrained(root / "gpt")
    other.save_pretrained(root / "gpt")
    return root


def test_pretrained_text_and_language_models_are_loaded(folders, tmp_path):
    settings = load_settings(
        "smoke",
        **SMALL,
        **{"model.text_weights": str(folders / "bert"), "model.language_weights": str(folders / "gpt")},
    )
    model = build_model(settings, train_tokenizer(REPORTS)).eval()
    bert, gpt = BertModel.from_pretrained(folders / "bert"), GPT2LMHeadModel.from_pretrained(folders / "gpt")
    torch.testing.assert_close(model.text.bert.state_dict(), bert.state_dict())
    torch.testing.assert_close(model.language.gpt.state_dict(), gpt.state_dict())
    assert model.image_to_text.out_features == 24 and model.language.to_width.out_features == 32
    save_model(model, tmp_path)
    again = load_model(tmp_path, "cpu")
    assert len(again.processor.language_tokenizer) != len(again.processor.text_tokenizer)
    images = torch.full((1, 32, 32), 90, dtype=torch.uint8).numpy()
    assert write_reports(again, images, [["Edema"]]) == write_reports(model, images, [["Edema"]])


DISTIL = DistilBertConfig(dim=24, hidden_dim=32, n_heads=2, n_layers=1, vocab_size=90)


@pytest.mark.parametrize(
    ("weights", "other", "message"),
    [
        ("text_weights", DistilBertModel(DISTIL), "distilbert, expected a BERT"),
        ("text_weights", RobertaModel(RobertaConfig(**SIZES)), "roberta, expected a BERT"),
        ("language_weights", BertModel(BertConfig(**SIZES)), "bert, expected a GPT-2"),
    ],
    ids=["DistilBERT", "RoBERTa", "BERT"],
)
def test_a_model_of_another_kind_is_refused(folders, tmp_path, weights, other, message):
    other.save_pretrained(tmp_path)
    train_tokenizer(REPORTS).save_pretrained(tmp_path)
    settings = load_settings("smoke", **SMALL, **{f"model.{weights}": str(tmp_path)})
    with pytest.raises(ValueError, match=f"a model of the type {message}"):
        build_model(settings, train_tokenizer(REPORTS))


def test_a_bert_without_a_pooler_is_taken_where_nobody_reads_it(tmp_path):
    BertForMaskedLM(BertConfig(**SIZES)).save_pretrained(tmp_path)
    words = train_tokenizer(REPORTS)
    words.save_pretrained(tmp_path)
    settings = load_settings("smoke", **SMALL, **{"model.text_weights": str(tmp_path), "model.text_pooling": "mean"})
    build_model(settings, words)
    with pytest.raises(ValueError, match=r"2 tensors are missing \(first: pooler.dense.bias\)"):
        build_model(settings.changed(**{"model.text_pooling": "cls_tanh"}), words)


def test_a_language_model_of_few_positions_is_refused_and_long_prompts_are_cut(folders, tmp_path):
    words = train_tokenizer(REPORTS)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(words), n_embd=32, n_layer=1, n_head=2, n_positions=128)).save_pretrained(
        tmp_path
    )
    words.save_pretrained(tmp_path)
    settings = load_settings("smoke", **SMALL, **{"model.language_weights": str(tmp_path)})
    with pytest.raises(
        ValueError, match="this GPT-2 has 128 positions; a prefix of 42 and a report of 100 tokens leave none"
    ):
        build_model(settings, words)
    model = build_model(load_settings("smoke", **SMALL), words)
    (row,) = prompt_ids(model.processor, ["heart " * 350])
    assert len(row) == model.config.report_tokens and row[-1] == model.processor.newline


def test_weights_of_all_three_models_decide_a_run(folders, tmp_path):
    shutil.copytree(folders / "bert", tmp_path / "bert")
    settings = load_settings("smoke", **SMALL, **{"model.text_weights": str(tmp_path / "bert")})
    before = start_fingerprint(settings)
    BertModel(BertConfig(**SIZES)).save_pretrained(tmp_path / "bert")
    assert None is start_fingerprint(load_settings("smoke", **SMALL)) != before != start_fingerprint(settings)
    both = settings.changed(**{"model.language_weights": str(folders / "gpt")})
    assert start_fingerprint(both) != start_fingerprint(settings)
