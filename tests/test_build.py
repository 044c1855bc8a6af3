"""Pretrained text and language models by a local path (a hub name goes the same way), made tiny here."""

import pytest
import torch
from small import SMALL
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from ssacl_lib.inference import write_reports
from ssacl_lib.model.build import build_model, load_model
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.state import save_model

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
