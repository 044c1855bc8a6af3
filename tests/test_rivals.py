"""Compared methods: what each is taught arrives, what each is asked is answered by hand, too, and the start stays as it was."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small import SMALL, View
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional as F
from transformers import (
    AlignConfig,
    AlignModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    SiglipProcessor,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from ssacl_lib import inference
from ssacl_lib.anatomy import default_graph
from ssacl_lib.baselines.clip_family import ClipGrounder, load_clip
from ssacl_lib.baselines.clip_network import ClipNetwork
from ssacl_lib.baselines.detector import annotations, detection_loss, fit_detector
from ssacl_lib.baselines.nearest_report import nearest_reports
from ssacl_lib.baselines.regions import fit_region_writer, leaf_cover, region_writer
from ssacl_lib.command import cli
from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.evaluation import any_phrases
from ssacl_lib.evaluation.grounding import patches_along
from ssacl_lib.metrics.grounding import pointing_share
from ssacl_lib.model.build import build_model
from ssacl_lib.observations import FINDINGS, OBSERVATIONS
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer

SIZE, PATCH, GRID = 32, 8, 4
REPORTS = ("Effusion at the left base.", "No effusion. The heart is large.")
LEAVES = default_graph().leaves


@pytest.fixture
def settings():
    return load_settings("smoke", **{**SMALL, "training.batch_size": 8, "training.learning_rate": 1e-2})


@pytest.fixture
def model(settings):
    """A start whose tensors must not move."""
    torch.manual_seed(0)
    found = build_model(settings, train_tokenizer(list(REPORTS) * 4)).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in found.state_dict().items()}
    yield found
    assert all(torch.equal(value, before[name]) for name, value in found.state_dict().items())
    assert not any(parameter.requires_grad for parameter in found.parameters())


def study_with(finding: str | None, column: int, seed: int, region: str = LEAVES[3]) -> EvaluationStudy:
    """A film of noise with a bright patch in the given column where there is a finding; a region of one and a half patches."""
    film = np.random.default_rng(seed).integers(60, 120, (SIZE, SIZE), np.uint8)
    mask, leaf = np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
    mask[PATCH : 2 * PATCH, column * PATCH : (column + 1) * PATCH] = True
    leaf[:PATCH, : PATCH + PATCH // 2] = True
    phrases, truth = (), np.zeros(13, bool)
    if finding:
        film[mask] += 100
        truth[FINDINGS.index(finding)] = True
        phrases = (Phrase(f"there is {finding}", finding, mask, np.zeros((0, 4))),)
    labels = np.concatenate([[0], truth]).astype(np.int8)
    return EvaluationStudy(f"{seed}", f"{seed}", film, REPORTS[0], labels, truth, {region: leaf}, phrases)


# ---- the nearest report
def test_a_training_films_nearest_report_is_its_own_and_the_first_of_equals(model):
    films = np.random.default_rng(0).integers(0, 255, (12, SIZE, SIZE), np.uint8)
    films[7] = films[2]
    studies = View([f"{REPORTS[0]} Film {k}." for k in range(12)], films)
    own = list(studies.reports)
    own[7] = own[2]
    assert nearest_reports(model, studies, films) == own
    few = nearest_reports(model, studies, films, limit=5)
    assert few[:5] == own[:5] and set(few) <= set(own[:5]), "the others are not read"
    assert nearest_reports(model, studies, films[:0]) == []
    with pytest.raises(ValueError, match="a limit of 0"):
        nearest_reports(model, studies, films, limit=0)


# ---- the detector
def test_a_detector_points_at_what_it_was_taught(model, settings):
    kinds = [("Edema", 0), ("Edema", 2), ("Fracture", 1), ("Fracture", 3), (None, 0)]
    studies = [study_with(*kinds[k % 5], seed=k) for k in range(30)]
    detector = fit_detector(model, studies, settings, images=640, progress=False)
    films = np.stack([study.image for study in studies])
    maps, probabilities = detector.maps(films), detector.probabilities(films)
    assert maps.shape == (30, 13, SIZE, SIZE) and probabilities.shape == (30, 13)
    shown = [(k, study.phrases[0]) for k, study in enumerate(studies) if study.phrases]
    hits = [pointing_share(maps[k, FINDINGS.index(phrase.finding)], phrase.mask) for k, phrase in shown]
    assert np.mean(hits) > 0.7, "chance is one patch of sixteen"
    present = np.stack([study.truth for study in studies])
    for finding in ("Edema", "Fracture"):
        of_finding, there = probabilities[:, FINDINGS.index(finding)], present[:, FINDINGS.index(finding)]
        assert of_finding[there].mean() > of_finding[~there].mean() + 0.2
    assert np.allclose(detector.maps(films[:2]), maps[:2], atol=1e-2)


def test_a_detector_is_taught_shares_places_and_presence():
    half = study_with("Edema", 1, 0)
    moved = replace(half.phrases[0], mask=np.roll(half.phrases[0].mask, PATCH // 2, axis=1))
    unplaced = replace(half, phrases=(), truth=None, labels=np.eye(14, dtype=np.int8)[OBSERVATIONS.index("Edema")])
    known, edema = (
        annotations([replace(half, phrases=(moved,)), unplaced], GRID, progress=False),
        FINDINGS.index("Edema"),
    )
    assert known.cover[0, edema].tolist() == [[0] * 4, [0, 0.5, 0.5, 0], [0] * 4, [0] * 4]
    assert known.present[:, edema].all() and known.present.sum() == 2
    assert known.placed[0].all() and not known.placed[1, edema] and known.placed[1].sum() == 12
    assert known.weights[edema] == pytest.approx((15 / 1) ** 0.5, rel=1e-3)
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    no, yes, two = torch.tensor([[False]]), torch.tensor([[True]]), torch.tensor([2.0])
    cover = torch.tensor([[[1.0, 0.0]]])
    assert detection_loss(logits, cover, yes, yes, two).item() == pytest.approx((2 + 1) / 2 * np.log(2) + np.log(2))
    assert detection_loss(logits, cover, no, yes, two).item() == pytest.approx(np.log(2)), "where is not asked"
    with pytest.raises(ValueError, match="needs annotated"):
        annotations([unplaced], GRID, progress=False)


# ---- regions
def test_a_leafs_token_is_the_mean_of_its_own_patches(model):
    studies = [study_with("Edema", 1, seed) for seed in range(2)]
    cover = leaf_cover(studies, GRID)
    wanted = np.zeros((GRID, GRID), np.float32)
    wanted[0, :2] = 1, 0.5
    assert cover.shape == (2, 25, 16) and np.array_equal(cover[0, 3], wanted.ravel()) and not cover[:, :3].any()
    pixels = model.processor.normalise(np.stack([study.image for study in studies]))
    writer = region_writer(model)
    with torch.no_grad():
        tokens, patches = writer.tokens(pixels, torch.from_numpy(cover)), model.encoder(pixels).patches
    assert torch.allclose(tokens.queries[:, 3], (patches[:, 0] + 0.5 * patches[:, 1]) / 1.5, atol=1e-5)
    assert not tokens.queries[:, :3].any(), "a leaf without a mask"
    opened = torch.ones(2, 25, dtype=torch.bool)
    assert writer.network.language.prefix(tokens, opened)[1].tolist() == [[1] * 25 + [0] * 17] * 2
    with pytest.raises(ValueError, match="has no mask of any leaf"):
        leaf_cover([replace(studies[0], regions={"lungs": studies[0].phrases[0].mask})], GRID)


def test_a_region_writer_says_what_it_sees_in_the_regions(model, settings):
    """A film is bright at one of two places and the region is one of the two: only both together tell the report."""
    films = np.random.default_rng(0).integers(60, 120, (48, SIZE, SIZE), np.uint8)
    films[::2, :PATCH, :PATCH] += 120
    films[1::2, -PATCH:, -PATCH:] += 120
    cover = np.zeros((48, 25, 16), np.float32)
    cover[[k for k in range(48) if k % 4 < 2], 4, 0] = 1
    cover[[k for k in range(48) if k % 4 > 1], 4, 15] = 1
    reports = [REPORTS[(k % 2 == 0) != (k % 4 < 2)] for k in range(48)]
    writer = fit_region_writer(model, View(reports, films), cover[:40], settings, images=1600, progress=False)
    assert not torch.equal(writer.network.encoder.cls_token, model.encoder.cls_token), "the encoder learns"
    said = [text.lower() for text in writer.reports(films, cover)]
    assert said == [text.lower() for text in reports], "the last eight were not seen"
    elsewhere = writer.reports(films, cover[:, :, ::-1].copy())
    assert all(text.lower() != other for text, other in zip(elsewhere, said, strict=True)), "the region decides"
    with pytest.raises(ValueError, match="48 films and regions of 3"):
        writer.reports(films, cover[:3])
    with pytest.raises(ValueError, match="regions of 0 studies, expected 1 to 48"):
        fit_region_writer(model, View(reports, films), cover[:0], settings, progress=False)


# ---- the CLIP family
WORDS = ("[PAD]", "[UNK]", "<s>", "</s>", "left", "right", "effusion", "heart")
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": SIZE, "patch_size": PATCH}
TEXT = {
    **TOWER,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 12,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def save_tiny(kind: str, folder):
    """A model of random weights with a processor of its own, as transformers saves them."""
    words = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", bos_token="<s>", eos_token="</s>"
    )
    pictures = CLIPImageProcessorPil(size={"shortest_edge": SIZE + 8}, crop_size={"height": SIZE, "width": SIZE})
    torch.manual_seed(0)
    if kind == "clip":
        made = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8))
        CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    else:
        made = SiglipModel(SiglipConfig(text_config={**TEXT, "projection_size": 16}, vision_config=VISION))
        SiglipProcessor(pictures, tokenizer).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["clip", "siglip"])
def grounder(request, tmp_path_factory):
    return load_clip(str(save_tiny(request.param, tmp_path_factory.mktemp(request.param))))


FILMS = np.random.default_rng(3).integers(0, 256, (3, 2 * SIZE, 2 * SIZE), np.uint8)
PHRASES = [["left effusion", "heart"], [], ["right effusion"]]


@torch.no_grad()
def test_similarity_is_the_cosine_of_each_patch_on_the_pictures_own_way(grounder):
    plain = replace(grounder, evidence={**grounder.evidence, "smoothing_patches": 0.0})
    pixels, text = grounder.pixels(FILMS), grounder.text_vectors(PHRASES[0])
    tokens = grounder.model.vision_model(pixel_values=pixels).last_hidden_state[0, -16:]
    if hasattr(grounder.model, "visual_projection"):
        vectors = grounder.model.visual_projection(grounder.model.vision_model.post_layernorm(tokens))
    else:
        vectors = torch.cat([grounder.model.vision_model.head(token[None, None]) for token in tokens])
    wanted = F.cosine_similarity(text[:, None], vectors[None], dim=-1).view(2, GRID, GRID)
    maps = plain.phrase_maps(FILMS, PHRASES)
    assert [found.shape for found in maps] == [(2, 64, 64), (0, 64, 64), (1, 64, 64)]
    centres = F.interpolate(wanted[None], size=(64, 64), mode="bilinear", align_corners=False)[0]
    assert np.allclose(maps[0], centres.numpy(), atol=1e-5) and np.ptp(maps[0][0]) > 1e-3
    if grounder.model.config.model_type == "siglip":  # asked with texts as long as it was trained with
        ids = torch.tensor([[2, 7, 3] + [0] * 9])
        own = grounder.model(input_ids=ids, pixel_values=pixels).text_embeds
        assert torch.allclose(F.normalize(own, dim=-1), grounder.text_vectors(["heart"]), atol=1e-5)
    edge = np.zeros((1, 64, 64), np.uint8)
    edge[:, :, -2:] = 255
    assert grounder.pixels(edge).shape == (1, 3, SIZE, SIZE)
    assert grounder.pixels(edge)[0, 0, :, -1].min() > 0 > grounder.pixels(edge)[0, 0, :, 0].max(), "the whole film"


def test_masked_evidence_of_a_blind_model_is_constant_and_of_a_seeing_one_is_where_it_looks(grounder):
    sees = grounder.phrase_maps(FILMS[:1], PHRASES[:1], "masked", masks=24, seed=1)[0]
    assert np.array_equal(sees, grounder.phrase_maps(FILMS[:1], PHRASES[:1], "masked", masks=24, seed=1)[0])
    assert not np.array_equal(sees, grounder.phrase_maps(FILMS[:1], PHRASES[:1], "masked", masks=24, seed=2)[0])
    weight = grounder.model.vision_model.embeddings.patch_embedding.weight
    kept = weight.data.clone()
    weight.data.zero_()
    blind = grounder.phrase_maps(FILMS[:1], PHRASES[:1], "masked", masks=24, seed=1)[0]
    weight.data.copy_(kept)
    assert np.ptp(blind) < 1e-6 < np.ptp(sees)

    class Bright(ClipGrounder):
        """Its picture's vector tells how bright row 1, column 2 of the patches is, its phrase asks for that."""

        def image_vectors(self, pixels):
            there = pixels[:, 0, PATCH : 2 * PATCH, 2 * PATCH : 3 * PATCH].mean((1, 2))
            return F.normalize(torch.stack([there, torch.full_like(there, 4.0)], dim=1), dim=-1)

        def text_vectors(self, texts):
            return torch.tensor([[1.0, 0.0]])

    film = np.zeros((1, 64, 64), np.uint8)
    film[0, 16:32, 32:48] = 255
    heatmap = Bright(**vars(grounder)).phrase_maps(film, [["bright"]], "masked", masks=200)[0][0]
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert 16 <= row < 32 and 32 <= column < 48


def test_the_common_maps_and_controls_ask_a_clip_like_model_as_its_grounder_does(grounder):
    network = ClipNetwork(grounder, 2 * SIZE)
    for kind in ("similarity", "masked"):
        own = grounder.phrase_maps(FILMS, PHRASES, kind, masks=24, seed=1)
        common = inference.phrase_maps(network, FILMS, PHRASES, kind, masks=24, seed=1)
        assert [found.shape for found in common] == [(2, 64, 64), (0, 64, 64), (1, 64, 64)]
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(own, common, strict=True)) and np.ptp(own[0]) > 1e-4
    assert patches_along(network) == GRID and patches_along(ClipNetwork(replace(grounder, grid=14), 96)) == 12


def test_a_readers_clip_stands_beside_the_controls(capsys, tmp_path, fake_phantom, tiny_checkpoint):
    out, clip = tmp_path / "out", save_tiny("clip", tmp_path / "my clip")
    words = ["phrases", "--profile", "smoke", "--out", str(out), "--weights"]
    assert cli.main([*words, str(clip)]) == 0 and "pointing" in capsys.readouterr().out
    table = pd.read_csv(out / "phrase_grounding.csv")
    of_clip = table[table["method"].eq("my clip") & table["finding"].eq("overall") & table["metric"].eq("cnr")]
    controls = {"own", "swapped phrase", "swapped side", "shifted"}
    assert {(row.map, row.control) for row in of_clip.itertuples()} == {
        (m, c) for m in any_phrases.MAPS for c in controls
    }
    assert (
        "centre prior" in set(table["method"]) and of_clip["n"].min() > 0 and (of_clip["low"] <= of_clip["high"]).all()
    )
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert cli.main([*words, str(clip)]) == 0 and kept == {
        path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")
    }
    assert cli.main([*words, str(tiny_checkpoint)]) == 0, "a checkpoint of ours is asked alike"
    other = save_tiny("siglip", tmp_path / "elsewhere" / "my clip")
    assert (
        cli.main([*words, str(other)]) == 0
        and kept.items() <= {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}.items()
    ), "another one of the same name takes nobody's rows"
    assert any_phrases.name_of(str(clip.parent / "elsewhere" / ".." / "my clip")) == "my clip"
    with pytest.raises(ValueError, match="'untrained' is the name of a control"):
        any_phrases.name_of(str(save_tiny("clip", tmp_path / "of mine" / "untrained")))
    told = json.loads((out / "phrase_grounding.json").read_text())
    assert told["weights"] == str(other) and told["settings"]["profile"] == "smoke"
    ViTModel(ViTConfig(**VISION)).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(tmp_path / "vit")
    capsys.readouterr()
    assert (
        cli.main([*words, str(tmp_path / "vit")]) == 2 and "ViTModel sees and does not read" in capsys.readouterr().err
    )


def test_what_can_not_be_asked_is_said(grounder, tmp_path, monkeypatch):
    for wrong, message in (
        (([["x"]] * 2, "masked"), "3 images and 2 lists"),
        (([["x"]] * 3, "attention"), "expected 'similarity' or 'masked'"),
        (([["x"], [" "], ["x"]], "similarity"), "an empty phrase"),
    ):
        with pytest.raises(ValueError, match=message):
            grounder.phrase_maps(FILMS, *wrong)
    with pytest.raises(ValueError, match=r"float64 of shape \(3, 64, 64\), expected uint8"):
        grounder.pixels(FILMS / 255)
    ViTModel(ViTConfig(**VISION)).save_pretrained(tmp_path / "vit")
    with pytest.raises(ValueError, match="ViTModel has no text side"):
        load_clip(str(tmp_path / "vit"))
    small = {"image_size": 32, "width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 16}
    AlignModel(AlignConfig(text_config={**TOWER, "vocab_size": 8}, vision_config=small)).save_pretrained(
        tmp_path / "cnn"
    )
    with pytest.raises(ValueError, match="AlignModel has no patch tokens"):
        load_clip(str(tmp_path / "cnn"))
    other = type(grounder.model)
    monkeypatch.setattr(other, "get_image_features", lambda self, pixel_values: pixel_values[:, 0, 0, :8])
    with pytest.raises(ValueError, match=f"{other.__name__} has no patch tokens in the space of its texts"):
        load_clip(grounder.model.name_or_path)  # its pictures' vectors come from elsewhere than its tokens
