"""The model: who sees whom, two passes, generation equal to teacher forcing, files, initial weights."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from ssacl_lib.anatomy import default_graph
from ssacl_lib.model import SSACLConfig, SSACLModel, SSACLProcessor
from ssacl_lib.model.encoder import Tokens, VisionEncoder
from ssacl_lib.model.masking import keep_lowest
from ssacl_lib.model.prompts import entity_prompts
from ssacl_lib.model.reporting import generate
from ssacl_lib.model.start import load_encoder, load_network, mae_encoder_state
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.state import save_model

REPORTS = [
    "Small left pleural effusion.",
    "No pneumothorax. The heart is enlarged.",
    "Lungs are clear.",
    "Right apical cap.",
]


def config(**changes) -> SSACLConfig:
    """A model that trains in milliseconds."""
    text = {
        "vocab_size": 200,
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 100,
    }
    language = {
        "vocab_size": 200,
        "n_embd": 24,
        "n_layer": 2,
        "n_head": 2,
        "bos_token_id": 2,
        "eos_token_id": 4,
        "initializer_range": 0.4,
    }
    sizes = dict(
        image_size=32,
        patch_size=8,
        channels=1,
        stem="convolutional",
        width=24,
        depth=2,
        heads=2,
        decoder_depth=1,
        decoder_heads=2,
        text=text,
        language=language,
        evidence={"masks": 6},
    )
    return SSACLConfig(**{**sizes, **changes})


@pytest.fixture(scope="module")
def model() -> SSACLModel:
    torch.manual_seed(0)
    model = SSACLModel(config()).eval()
    model.processor = SSACLProcessor(model.config, train_tokenizer(REPORTS, vocab_size=200))
    return model


@pytest.mark.parametrize("attention", ["paper", "release"])
def test_queries_are_seen_by_nobody(attention):
    torch.manual_seed(1)
    encoder = VisionEncoder(config(attention=attention)).eval()
    pixels, queries = torch.randn(2, 1, 32, 32), torch.randn(5, 24)
    before = encoder(pixels, None, queries)
    changed = queries.clone()
    changed[2] = torch.randn(24)
    after = encoder(pixels, None, changed)
    others = [0, 1, 3, 4]
    assert torch.equal(before.patches, after.patches) and torch.equal(before.cls, after.cls)
    assert torch.equal(before.queries[:, others], after.queries[:, others])
    assert not torch.allclose(before.queries[:, 2], after.queries[:, 2])
    torch.testing.assert_close(before.attention.sum(-1), torch.ones(2, 2, 5))


def test_in_paper_mode_prompts_change_no_patch_and_release_mode_hides_cls():
    pixels, queries = torch.randn(1, 1, 32, 32), torch.randn(3, 24)
    for attention, same in (("paper", True), ("release", False)):
        torch.manual_seed(1)
        encoder = VisionEncoder(config(attention=attention)).eval()
        assert torch.allclose(encoder(pixels).patches, encoder(pixels, None, queries).patches, atol=1e-6) == same


def naive_visibility(attention: str, patches: int, queries: int) -> torch.Tensor:
    """The dense [Q + 1 + N, Q + 1 + N] matrix of method.md, row sees column."""
    size = queries + 1 + patches
    see = torch.zeros(size, size, dtype=torch.bool)
    cls, first = queries, queries + 1
    see[:queries, first:] = True
    see[range(queries), range(queries)] = True
    see[first:, first:] = True
    see[cls, first:] = see[cls, cls] = True
    if attention == "paper":
        see[first:, cls] = True
    return see


@pytest.mark.parametrize("attention", ["paper", "release"])
def test_cross_attention_equals_the_dense_mask(attention):
    torch.manual_seed(2)
    encoder = VisionEncoder(config(attention=attention)).double().eval()
    pixels, queries = torch.randn(2, 1, 32, 32, dtype=torch.float64), torch.randn(4, 24, dtype=torch.float64)
    got = encoder(pixels, None, queries)
    see = naive_visibility(attention, 16, 4)
    tokens = torch.cat(
        [queries.expand(2, -1, -1), encoder.cls_token.expand(2, -1, -1), encoder.patch_tokens(pixels, None)], 1
    )
    for block in encoder.blocks:
        query, key, value = block.split(tokens)
        scores = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).masked_fill(~see, float("-inf"))
        tokens = block.finish(tokens, scores.softmax(-1) @ value)
    tokens = encoder.norm(tokens)
    torch.testing.assert_close(torch.cat([got.queries, got.cls[:, None], got.patches], 1), tokens)


def test_a_hidden_patch_reaches_no_kept_token():
    torch.manual_seed(3)
    for stem in ("convolutional", "patch"):
        encoder = VisionEncoder(config(stem=stem)).eval()
        keep = keep_lowest(torch.rand(1, 16), 0.5)
        hidden = next(i for i in range(16) if i not in keep[0])
        pixels = torch.randn(1, 1, 32, 32)
        changed = pixels.clone()
        row, column = divmod(hidden, 4)
        changed[:, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] += 3
        assert torch.equal(encoder(pixels, keep).patches, encoder(changed, keep).patches)


def test_generation_equals_teacher_forcing(model):
    torch.manual_seed(4)
    tokens = Tokens(torch.randn(3, 16, 24), torch.randn(3, 24), torch.randn(3, 25, 24))
    leaf_open = torch.rand(3, 25) > 0.5
    ids, mask = torch.randint(5, 200, (3, 4)), torch.ones(3, 4, dtype=torch.long)
    ids[0, :2], mask[0, :2] = 0, 0  # one entity text is shorter: padded on its left
    want = torch.zeros(3, 0, dtype=torch.long)
    for _ in range(8):
        padded = torch.cat([want, torch.zeros(3, 1, dtype=torch.long)], dim=1)
        logits = model.language(tokens, leaf_open, ids, mask, padded, torch.ones_like(padded))
        want = torch.cat([want, logits[:, -1:].argmax(-1)], dim=1)
    got = model.language.generate(tokens, leaf_open, ids, mask, newline=199, pad=0, num_beams=1, max_new_tokens=8)
    assert got.tolist() == want.tolist()


def test_closed_leaves_change_nothing_and_open_ones_do(model):
    tokens = Tokens(torch.randn(1, 16, 24), torch.randn(1, 24), torch.randn(1, 25, 24))
    other = Tokens(tokens.patches, tokens.cls + 1, tokens.queries.clone())
    other.queries[:, 3] += 1
    none, report = torch.zeros(1, 0, dtype=torch.long), torch.randint(5, 200, (1, 6))
    closed, opened = torch.zeros(1, 25, dtype=torch.bool), torch.ones(1, 25, dtype=torch.bool)

    def logits(tokens, leaf_open):
        return model.language(tokens, leaf_open, none, none, report, torch.ones_like(report))

    torch.testing.assert_close(logits(tokens, closed), logits(other, closed))
    assert not torch.allclose(logits(tokens, opened), logits(other, opened))


def test_no_word_is_predicted_from_a_place_that_sees_the_words_to_come(model):
    """Without patches and with all leaves closed nothing stands before the report but the empty prompt."""
    bare = SSACLModel(config(prefix="prompts only")).eval()
    bare.processor = SSACLProcessor(bare.config, model.processor.text_tokenizer, model.processor.language_tokenizer)
    tokens = Tokens(torch.randn(2, 16, 24), torch.randn(2, 24), torch.randn(2, 25, 24))
    prompt, closed = entity_prompts(bare.processor, None, 2), torch.zeros(2, 25, dtype=torch.bool)
    report = torch.randint(5, 200, (2, 6))
    other = torch.cat([report[:, :1], report[:, 1:].flip(0)], 1)
    words = [bare.language(tokens, closed, *prompt, ids, torch.ones_like(ids)) for ids in (report, other)]
    torch.testing.assert_close(words[0][:, :2], words[1][:, :2])
    assert not torch.allclose(words[0][:, 2:], words[1][:, 2:])
    assert len(generate(bare, torch.randn(2, 1, 32, 32), None)) == 2
    assert entity_prompts(model.processor, None, 2)[0].shape == (2, 0)


def test_what_a_user_calls(model):
    images = [np.random.default_rng(i).integers(0, 255, (40, 32), dtype=np.uint8) for i in range(2)]
    for evidence in ("masked", "similarity"):
        maps = model.ground(images, ["left pleural effusion", "right pneumothorax"], evidence=evidence)
        assert maps.shape == (2, 2, 32, 32) and torch.isfinite(maps).all()
    assert model.attend(images, ["lungs", "carina"]).shape == (2, 2, 32, 32)
    model.head.thresholds.fill_(0.0)
    report = model.report(images)[0]
    assert len(report.findings) == 13 and report.anatomies and "attention" in report.evidence
    model.head.thresholds.fill_(1.1)
    nothing = model.report(images)[0]
    assert nothing.positives == () and nothing.evidence == {}
    with pytest.raises(ValueError, match="empty phrase"):
        model.ground(images, [" "])
    with pytest.raises(ValueError, match="unknown anatomy 'liver'"):
        model.attend(images, ["liver"])


def test_round_trip_through_files(model, tmp_path):
    save_model(model, tmp_path)
    again = SSACLModel.from_pretrained(tmp_path).eval()
    pixels = again.processor([np.full((32, 32), 90, np.uint8)])
    torch.testing.assert_close(again.text_embedding(REPORTS), model.text_embedding(REPORTS))
    torch.testing.assert_close(again.encode(pixels).queries, model.encode(pixels).queries)
    assert again.language.gpt.lm_head.weight is again.language.gpt.transformer.wte.weight


def test_encoder_starts_from_an_mae_checkpoint(tmp_path):
    mae = ViTMAEModel(
        ViTMAEConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=96,
            image_size=32,
            patch_size=8,
            mask_ratio=0.0,
            hidden_act="gelu",
            layer_norm_eps=1e-6,
        )
    ).eval()
    mae.save_pretrained(tmp_path)
    ours = SSACLModel(config(stem="patch", channels=3)).eval()
    load_encoder(ours, str(tmp_path))
    pixels = torch.randn(1, 3, 32, 32)
    noise = torch.arange(16.0)[None]  # keep the order
    want = mae(pixels, noise=noise).last_hidden_state
    got = ours.encoder(pixels)
    torch.testing.assert_close(got.patches, want[:, 1:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got.cls, want[:, 0], atol=1e-4, rtol=1e-4)
    assert set(mae_encoder_state(mae.state_dict())) == set(ours.encoder.state_dict())
    for depth in (1, 3):
        with pytest.raises(ValueError, match="does not fit this model at blocks"):
            load_encoder(SSACLModel(config(stem="patch", channels=3, depth=depth)), str(tmp_path))
    with pytest.raises(ValueError, match=r"has 2 attention heads, model\.heads is 4"):
        load_encoder(SSACLModel(config(stem="patch", channels=3, heads=4)), str(tmp_path))


def test_an_encoder_starts_from_a_vit_and_from_no_other_kind_of_model(tmp_path):
    sizes = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
    vit = ViTModel(ViTConfig(intermediate_size=96, layer_norm_eps=1e-6, **sizes), add_pooling_layer=False).eval()
    vit.save_pretrained(tmp_path / "vit")
    ours = SSACLModel(config(stem="patch", channels=3)).eval()
    load_encoder(ours, str(tmp_path / "vit"))
    pixels = torch.randn(1, 3, 32, 32)
    want = vit(pixels).last_hidden_state
    torch.testing.assert_close(ours.encoder(pixels).patches, want[:, 1:], atol=1e-4, rtol=1e-4)
    for name, other in (
        ("relu", {"hidden_act": "relu"}),
        ("eps", {"layer_norm_eps": 1e-3}),
        ("bias", {"qkv_bias": False}),
    ):
        ViTModel(ViTConfig(intermediate_size=96, **{"layer_norm_eps": 1e-6, **sizes, **other})).save_pretrained(
            tmp_path / name
        )
        with pytest.raises(ValueError, match=rf"{name}: hidden_act .*; expected gelu"):
            load_encoder(ours, str(tmp_path / name))
    CLIPVisionModel(CLIPVisionConfig(intermediate_size=96, **sizes)).save_pretrained(tmp_path / "clip")
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(tmp_path / "dino")
    for other in ("clip", "dino"):
        with pytest.raises(ValueError, match=rf"{other}: a model of the type {other}.*, expected a ViT"):
            load_encoder(ours, str(tmp_path / other))
    weights = tmp_path / "vit" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"vit: its weights can't be read .*; copy them again"):
        load_encoder(ours, str(tmp_path / "vit"))
    (tmp_path / "vit" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"vit: no config\.json in this folder"):
        load_encoder(ours, str(tmp_path / "vit"))


def test_an_encoder_goes_on_from_a_checkpoint_of_ours(model, tmp_path):
    save_model(model, tmp_path, torch.float16)
    other = SSACLModel(config())
    load_encoder(other, str(tmp_path))
    torch.testing.assert_close(other.encoder.state_dict(), model.encoder.state_dict(), atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match=r"has 2 attention heads, model\.heads is 3"):
        load_encoder(SSACLModel(config(heads=3)), str(tmp_path))


def test_a_start_of_ours_tells_its_heads(model, tmp_path):
    save_file(model.encoder.state_dict(), tmp_path / "encoder.safetensors")
    load_encoder(SSACLModel(config(heads=3)), str(tmp_path))  # without a manifest nothing tells
    (tmp_path / "manifest.json").write_text(json.dumps({"config": json.loads(model.config.to_json_string())}))
    load_encoder(SSACLModel(config()), str(tmp_path))
    with pytest.raises(ValueError, match=r"has 2 attention heads, model\.heads is 3"):
        load_encoder(SSACLModel(config(heads=3)), str(tmp_path))


def test_a_checkpoint_of_another_anatomy_graph_is_refused(model, tmp_path):
    save_model(model, tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["anatomy"] == list(default_graph().described) and "right lung in lungs" in saved["anatomy"]
    right, left = (saved["anatomy"].index(f"{side} lung in lungs") for side in ("right", "left"))
    for change, told in (
        (
            {right: "left lung in lungs", left: "right lung in lungs"},
            "there 'left lung in lungs', here 'right lung in lungs'",
        ),
        ({len(saved["anatomy"]): "spleen in abdomen"}, "there 'spleen in abdomen', here 'nothing'"),
    ):
        lines = dict(enumerate(saved["anatomy"])) | change
        (tmp_path / "config.json").write_text(json.dumps(saved | {"anatomy": list(lines.values())}))
        with pytest.raises(ValueError, match=rf"{tmp_path.name}: trained with another anatomy graph \({told}\)"):
            load_network(tmp_path)
    del saved["anatomy"]  # checkpoints of earlier versions say nothing
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert load_network(tmp_path).config.anatomy == list(default_graph().described)


def test_recursive_hierarchy_uses_leaves_only():
    torch.manual_seed(5)
    model = SSACLModel(config(hierarchy="recursive")).eval()
    graph = default_graph()
    nodes = torch.randn(1, 32, 24)
    changed = nodes.clone()
    changed[:, [graph.index(name) for name in graph.parents]] += 1
    torch.testing.assert_close(model.decoder.restored_parents(nodes), model.decoder.restored_parents(changed))
