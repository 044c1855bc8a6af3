"""Maps: masked evidence finds a planted patch, smoothing keeps what it should, prompts change reports only through the prefix."""

import numpy as np
import pytest
import torch

from ssacl_lib.anatomy import leaf_mask, leaves_of
from ssacl_lib.inference import predict_findings, write_reports
from ssacl_lib.model import SSACLConfig, maps
from ssacl_lib.model.build import load_model
from ssacl_lib.model.maps import evidence_to_image, phrase_maps_of_pixels, random_keeps, smooth, visibility_effect
from ssacl_lib.model.masking import visible_patches
from ssacl_lib.model.reporting import reports_of_pixels


class Stand:
    """What the map functions need of a model."""

    def __init__(self, image_size=64, patch_size=8):
        self.config = SSACLConfig(image_size=image_size, patch_size=patch_size)
        self.device = torch.device("cpu")


def test_visibility_effect_is_the_planted_effect():
    model = Stand()
    keeps = random_keeps(model, 4000, seed=0)
    visible = visible_patches(keeps, 64)
    planted = torch.zeros(64)
    planted[[9, 30]] = torch.tensor([1.0, -0.5])
    effect = visibility_effect((visible @ planted)[None, :, None], keeps, 64)[0, 0]
    assert effect.argmax() == 9 and effect.argmin() == 30
    # with half of the patches kept, a patch's visibility says a little of the others': effects shrink by 1 / (N - 1)
    torch.testing.assert_close(effect, planted - (planted.sum() - planted) / 63, atol=0.06, rtol=0)


def test_masks_depend_on_the_seed_alone_and_keep_half():
    model = Stand()
    assert torch.equal(random_keeps(model, 8, 3), random_keeps(model, 8, 3))
    assert not torch.equal(random_keeps(model, 8, 3), random_keeps(model, 8, 4))
    assert (visible_patches(random_keeps(model, 8, 3), 64).sum(1) == 32).all()


def test_smoothing():
    spike = torch.zeros(1, 8, 8)
    spike[0, 4, 4] = 1
    assert torch.equal(smooth(spike, 0), spike)
    wide = smooth(spike, 1.0)
    torch.testing.assert_close(wide.sum(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert wide[0, 4, 4] == wide.max() and torch.allclose(wide, wide.transpose(1, 2))
    flat = torch.ones(1, 8, 8)
    torch.testing.assert_close(smooth(flat, 1.5), flat)
    assert smooth(flat, 1.5, "constant")[0, 0, 0] < 0.5


def test_evidence_near_the_border_stays_where_it_is():
    model = Stand()
    effect = torch.zeros(1, 1, 64)
    effect[0, 0, 2 * 8 + 6] = 1.0  # row 2, column 6
    effect[0, 0, 2 * 8 + 7] = 0.8
    heat = evidence_to_image(effect, model)[0, 0].numpy()
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 16 <= row < 24 and 48 <= column < 60
    shifted = evidence_to_image(effect + 5, model)[0, 0].numpy()
    np.testing.assert_allclose(shifted, heat, atol=1e-4)


# ---- reports and maps of a small model
@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    """The tiny checkpoint with a head that finds something in most images and nothing in some."""
    model = load_model(tiny_checkpoint)
    torch.manual_seed(1)
    torch.nn.init.normal_(model.head.where.weight, std=2.0)
    torch.nn.init.normal_(model.head.what.weight, std=1.0)
    return model


@pytest.fixture(scope="module")
def films():
    return np.random.default_rng(2).integers(0, 256, (5, 96, 96), dtype=np.uint8)


def test_a_batch_of_reports_is_the_same_as_one_after_the_other(model, films):
    probabilities = predict_findings(model, films)
    model.head.thresholds.copy_(torch.from_numpy(np.quantile(probabilities, 0.8, axis=0)))
    together = model.report(list(films))
    assert together[0].positives and sum(bool(report.positives) for report in together) >= 2
    for image, report, row in zip(films, together, probabilities, strict=True):
        alone = model.report([image])[0]
        assert (alone.text, alone.positives, alone.anatomies) == (report.text, report.positives, report.anatomies)
        np.testing.assert_allclose(list(report.findings.values()), row, atol=1e-2)
        assert set(report.evidence) == ({"attention", *report.positives} if report.positives else set())
        for name, heatmap in report.evidence.items():
            assert heatmap.shape == (96, 96)
            np.testing.assert_allclose(alone.evidence[name], heatmap, atol=2e-2 * np.abs(heatmap).max())
    plain = reports_of_pixels(model, model.pixels(list(films)), evidence=False)
    assert [report.text for report in plain] == [report.text for report in together]
    assert not any(report.evidence for report in plain)


def test_evidence_is_that_of_the_single_functions(model, films):
    report = model.report(list(films))[0]
    leaves = [leaf for anatomy in report.anatomies for leaf in leaves_of(anatomy)]
    maps = model.attend([films[0]], leaves)[0].mean(0).numpy()
    np.testing.assert_allclose(report.evidence["attention"], maps, rtol=2e-2)
    name = report.positives[0]
    phrase = model.ground([films[0]], [name.lower()])[0, 0].numpy()
    np.testing.assert_allclose(report.evidence[name], phrase, atol=2e-2 * np.abs(phrase).max())


def test_one_encoder_pass_serves_head_prefix_and_attention(model, films, monkeypatch):
    passes, encoder = [], model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda *given: passes.append(len(given[0])) or encoder(*given))
    reports_of_pixels(model, model.pixels(list(films)), evidence=False)
    assert passes == [5]
    passes.clear()
    for phrases in (["effusion"], ["effusion", "large heart", "edema"]):
        phrase_maps_of_pixels(model, model.pixels(list(films[:1])), phrases)
    assert passes and passes[: len(passes) // 2] == passes[len(passes) // 2 :]  # phrases share the masked passes


def test_prompts_of_a_data_set_replace_the_findings(model, films, monkeypatch):
    asked = []

    def generate(tokens, leaf_open, ids, mask, newline, pad, **options):
        asked.append(
            (leaf_open, [[int(i) for i, seen in zip(*row, strict=True) if seen] for row in zip(ids, mask, strict=True)])
        )
        return torch.full((len(ids), 1), newline)

    monkeypatch.setattr(model.language, "generate", generate)
    tokenizer, newline = model.processor.language_tokenizer, model.processor.newline
    opened = np.stack([leaf_mask("lungs"), leaf_mask([])])
    write_reports(model, films[:2], prompts=["small effusion", ""], leaf_open=opened)
    write_reports(model, films[:2], [["Cardiomegaly"], []])
    write_reports(model, films[:2], guided=False, prompts=["small effusion", ""], leaf_open=opened)
    effusion = tokenizer.encode("small effusion", add_special_tokens=False)
    assert asked[0][1] == [[*effusion, newline], [newline]] and asked[0][0].tolist() == opened.tolist()
    assert asked[1][0].sum(1).tolist() == [7, 0] and asked[1][1][1] == [newline]
    assert not asked[2][0].any() and asked[2][1] == [[], []]


def test_phrases_do_not_depend_on_each_other_or_on_the_batch(model, films):
    phrases = ["right pleural effusion", "large heart", "left rib fracture"]
    for evidence in ("masked", "similarity"):
        together = model.ground(list(films[:2]), phrases, evidence).numpy()
        alone = model.ground([films[1]], phrases[1:2], evidence).numpy()
        np.testing.assert_allclose(together[1, 1], alone[0, 0], atol=2e-2 * np.abs(alone).max())
    with pytest.raises(ValueError, match="empty phrase"):
        model.ground([films[0]], [" "])


def test_of_the_release_s_maps_one_is_blind_to_the_phrase(model, films):
    phrases, pixels = ["right pleural effusion", "large heart"], model.pixels(list(films[:2]))
    for evidence in ("cls attention", "weighted tokens", "grad-cam"):
        first, second = model.ground(list(films[:2]), phrases, evidence).unbind(1)
        assert first.shape == (2, 96, 96) and not torch.equal(first[0], first[1])  # it reads the film
        assert torch.equal(first, second) == (evidence == "cls attention")
        alone = model.ground([films[1]], phrases[1:], evidence)[0, 0]
        np.testing.assert_allclose(alone, second[1], atol=2e-2 * float(second.abs().max()))
    assert (model.ground(list(films[:1]), phrases, "grad-cam") >= 0).all()
    assert maps.cls_attention(model, pixels).sum(-1).tolist() == pytest.approx([1, 1])
    assert not model.encoder.norm._forward_pre_hooks and not model.encoder.blocks[-1].norm1._forward_pre_hooks
    with pytest.raises(ValueError, match="'grad-cam'"):
        model.ground([films[0]], phrases, "saliency")


def test_grad_cam_and_weighted_tokens_by_hand(model, films):
    """The gradient of a cosine in closed form, channel by channel; the position weights put all on one patch."""
    pixels, text = model.pixels(list(films[:1])), torch.randn(1, model.text.width, generator=torch.manual_seed(0))
    tokens = maps.entering(model, model.encoder.norm, pixels)[0, 1:].detach().requires_grad_()
    vector = model.image_to_text(model.encoder.norm(tokens)).mean(0)
    gradient = text[0] / (text.norm() * vector.norm()) - vector * (text[0] @ vector) / (
        text.norm() * vector.norm() ** 3
    )
    by_token = torch.autograd.grad(vector, tokens, grad_outputs=gradient.detach())[0]
    expected = (tokens * by_token.mean(0)).sum(-1).clamp(min=0)
    found = maps.gradient_evidence(model, pixels, text)[0, 0]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-4 * float(expected.detach().max()))
    before = model.position_weight.detach().clone()
    with torch.no_grad():
        model.position_weight[:] = 0
        even = maps.weighted_tokens(model, pixels, text)
        model.position_weight[7] = 1.0
        one = maps.weighted_tokens(model, pixels, text)[0, 0]
        model.position_weight[:] = before
    patches = model.patch_embeddings(pixels)[0].detach().float()
    torch.testing.assert_close(
        even[0, 0], patches @ text[0] / len(patches), rtol=2e-2, atol=2e-2 * float(even.abs().max())
    )
    assert one.abs().argmax() == 7 and float(one.abs().sort().values[-2]) < 1e-6 * float(one[7].abs())
