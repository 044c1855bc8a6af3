"""Our model is the authors': their weights on their inputs give their numbers, tensor by tensor, loss by loss, id by id.

The numbers were computed by the authors' public code on a tiny random model in float64. SSACL_RELEASE_VECTORS names another
folder of such numbers (weights_X, arrays_X and meaning_X for any letter X).

Greedy generation gives the same ids. Beam search stops by another rule in transformers 5 (it compares unfinished beams with
finished ones otherwise), so its ids need not be the same; the scores of the stored sequences are compared instead.
"""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssacl_lib import losses
from ssacl_lib.anatomy import default_graph
from ssacl_lib.model import Batch, SSACLConfig, SSACLModel
from ssacl_lib.model.language import RepetitionPenalty
from ssacl_lib.model.masking import keep_lowest, patchify, visible_patches
from ssacl_lib.model.release import OURS, UNUSED, release_name

FOLDER = Path(os.environ.get("SSACL_RELEASE_VECTORS") or Path(__file__).parent / "data" / "release_vectors")
LETTER = min(FOLDER.glob("arrays_*.safetensors")).stem.removeprefix("arrays_")
ARRAYS = load_file(FOLDER / f"arrays_{LETTER}.safetensors")
WEIGHTS = load_file(FOLDER / f"weights_{LETTER}.safetensors")
MEANING = json.loads((FOLDER / f"meaning_{LETTER}.json").read_text(encoding="utf-8"))
LM = MEANING["config"]["language_model"]
RUNS = MEANING["generate"]
TERMS = {
    "image_reconstruction": "ir",
    "anatomy_reconstruction": "ar",
    "global_contrastive": "cl",
    "anatomical_consistency": "ac",
}


def release_config() -> SSACLConfig:
    """The sizes of the stored model, every switch as in the release."""
    sizes, text = MEANING["config"], MEANING["config"]["text_encoder"]
    encoder, decoder = sizes["encoder"], sizes["decoder"]
    return SSACLConfig.release(
        image_size=sizes["image"],
        patch_size=sizes["patch"],
        channels=sizes["in_channels"],
        width=encoder["width"],
        depth=encoder["blocks"],
        heads=encoder["heads"],
        decoder_depth=decoder["blocks"],
        decoder_heads=decoder["heads"],
        text={
            "vocab_size": text["vocab"],
            "hidden_size": text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "intermediate_size": text["ffn"],
            "max_position_embeddings": text["positions"],
        },
        language={
            "vocab_size": LM["vocab"],
            "n_embd": LM["width"],
            "n_layer": LM["layers"],
            "n_head": LM["heads"],
            "n_positions": LM["positions"],
            "bos_token_id": LM["end_of_text_id"],
            "eos_token_id": LM["end_of_text_id"],
        },
    )


def stored_batch(prompt: bool = True, rows=slice(None)) -> Batch:
    """The stored inputs; a prompt of fewer rows is cut to its longest."""
    a = {name.removeprefix("in/"): value for name, value in ARRAYS.items() if name.startswith("in/")}
    longest = int(a["prompt_mask"][rows].sum(1).max()) if prompt else 0
    return Batch(
        a["image"][rows].double(),
        a["noise_1"][rows],
        a["noise_2"][rows],
        a["report_ids"][rows],
        a["report_mask"][rows],
        a["leaf_ids"],
        a["leaf_mask"],
        a["prompt_ids"][rows, :longest],
        a["prompt_mask"][rows, :longest],
        a["text_ids"][rows],
        a["text_mask"][rows],
        a["leaf_visible"][rows].bool(),
        torch.zeros(len(a["image"][rows]), 14, dtype=torch.int8),
    )


@pytest.fixture(scope="module")
def model():
    return SSACLModel.from_release(WEIGHTS, release_config()).double()


@pytest.fixture(scope="module")
def computed(model):
    """Every stored array, computed by our model; keys as in the file."""
    batch, mean = stored_batch(), model.config.patches
    order = [default_graph().index(name) for name in MEANING["nodes"]]
    leaves, parents = model.leaf_index, [MEANING["nodes"][row["parent"]] for row in MEANING["parents"]]
    values = {}
    with torch.no_grad():
        values["patch_tokens"] = model.encoder.patch_tokens(batch.pixels, None)
        states = model.text.bert(input_ids=batch.name_ids, attention_mask=batch.name_mask)
        values["leaf_hidden_0to2"] = states.last_hidden_state[:3]
        values["leaf_pooled"] = model.text(batch.name_ids, batch.name_mask)
        nodes = model.prompt_queries(batch.name_ids, batch.name_mask)
        values["leaf_queries"], values["graph_queries"] = nodes[leaves], nodes[order]
        report = values["report_pooled"] = model.text(batch.text_ids, batch.text_mask)
        for number, noise in ((1, batch.noise), (2, batch.graph_noise)):
            values[f"mask_{number}"] = 1 - visible_patches(
                keep_lowest(noise, MEANING["config"]["mask_ratio"]), mean, noise.dtype
            )
            values[f"ids_restore_{number}"] = noise.argsort(1).argsort(1)
        keep, keep_graph = (
            keep_lowest(noise, MEANING["config"]["mask_ratio"]) for noise in (batch.noise, batch.graph_noise)
        )
        masked = model.encoder(batch.pixels, keep)
        values["latent_masked"] = torch.cat([masked.cls[:, None], masked.patches], 1)
        values["target_pixels"] = patchify(batch.pixels, model.config.patch_size, model.config.channels)
        values["pred_pixels"] = model.decoder.reconstruct(masked.cls, masked.patches, keep)
        visible = values["visible"] = visible_patches(keep, mean, batch.noise.dtype)
        values["pair_x"] = (visible @ model.position_weight + model.position_bias)[:, None]
        values["pair_scale"] = torch.nn.functional.softplus(values["pair_x"][:, 0])
        values["img_global"] = model.image_to_text(masked.patches).mean(1)
        images, reports = (torch.nn.functional.normalize(v, dim=-1) for v in (values["img_global"], report))
        values["logits_img2txt"] = images @ reports.T / model.temperature
        values["logits_txt2img"] = values["logits_img2txt"].T
        values["aca_text_softmax"] = (reports @ reports.T / model.temperature).softmax(1)
        whole = model.encoder(batch.pixels, None, nodes[leaves])
        values["latent_leafs"] = torch.cat([whole.queries, whole.cls[:, None], whole.patches], 1)
        tokens = torch.nn.functional.normalize(whole.queries, dim=-1)
        values["aca_sim"] = torch.einsum("iad,jbd->ijab", tokens, tokens) / model.temperature
        values["attn_leaf_to_patch"], values["attn_leaf_self"] = (
            whole.attention[..., 1:].mean(1),
            whole.attention[..., 0].mean(1),
        )
        graph = model.encoder(batch.pixels, None, nodes[order])
        values["latent_graph"] = torch.cat([graph.queries, graph.cls[:, None], graph.patches], 1)
        values["attn_graph_to_patch"] = graph.attention[..., 1:].mean(1)
        hidden = model.encoder(batch.pixels, keep_graph, nodes[order])
        values["latent_graph_masked"] = torch.cat([hidden.queries, hidden.cls[:, None], hidden.patches], 1)
        plain = model.encoder(batch.pixels)
        values["latent_plain"] = torch.cat([plain.cls[:, None], plain.patches], 1)
        values["img_global_plain"] = model.image_embedding(batch.pixels)
        values["prefix_embeds"] = model.language.prefix(whole, batch.leaf_open)[0]
        for kind, given in (("prompt", batch), ("noprompt", stored_batch(prompt=False))):
            embedded, mask = model.language.embed(
                whole,
                given.leaf_open,
                torch.cat([given.prompt_ids, given.report_ids], 1),
                torch.cat([given.prompt_mask, given.report_mask], 1),
            )
            values[f"lm_mask_{kind}"] = mask
            labels = given.report_ids.masked_fill(given.report_mask == 0, losses.IGNORE)
            values[f"lm_labels_{kind}"] = torch.nn.functional.pad(
                labels, (mask.shape[1] - labels.shape[1], 0), value=losses.IGNORE
            )
            places = given.report_ids.shape[1] + 1  # theirs end with the logits after the last token
            values[f"lm_logits_{kind}"] = model.language.gpt.lm_head(model.language.run(embedded, mask, False, places))
        restored = model.decoder.restored_parents(hidden.queries[:, [order.index(i) for i in range(len(order))]])
        targets = model.decoder.parent_targets(
            graph.queries[:, [MEANING["nodes"].index(name) for name in default_graph().parents]]
        )
        per_parent = dict(zip(default_graph().parents, (restored - targets).square().mean((0, 2)), strict=True))
        values["ar_parents"] = torch.stack([per_parent[name] for name in parents])
        weights, right = values["pair_scale"], torch.arange(len(images))
        sides = values["logits_img2txt"], values["logits_txt2img"]
        cross = torch.nn.functional.cross_entropy
        values["cl_terms"] = torch.stack(
            [
                *(cross(weights[:, None] * side, right) for side in sides),
                *(cross(side, right, weight=weights) for side in sides),
            ]
        )
    return values


def assert_close(got: torch.Tensor, stored: torch.Tensor, name: str) -> None:
    """Within 1e-8 of the stored array's maximum; integers exactly."""
    assert got.shape == stored.shape, f"{name}: {list(got.shape)}, stored {list(stored.shape)}"
    if not stored.is_floating_point():
        assert torch.equal(got.to(stored.dtype), stored), name
        return
    worst = (got.double() - stored.double()).abs().max()
    assert worst <= 1e-8 * stored.double().abs().max(), f"{name}: off by {worst:.2e}"


@pytest.mark.parametrize("name", [n for n in sorted(ARRAYS) if n.startswith("mid/")])
def test_every_intermediate_array(name, computed):
    assert_close(computed[name.removeprefix("mid/")], ARRAYS[name], name)


@pytest.mark.parametrize("name", ["cl_terms", "ar_parents"])
def test_the_parts_of_the_losses(name, computed):
    assert_close(computed[name], ARRAYS[f"loss/{name}"], name)


@pytest.mark.parametrize("kind", ["prompt", "noprompt"])
def test_losses_and_gradients(kind, model):
    model.zero_grad()
    terms = model(stored_batch(kind == "prompt"), MEANING["config"]["mask_ratio"])
    weights = MEANING["config"]["loss_weights"]
    short = {**TERMS, "report_generation": f"lm_{kind}"}
    for name, value in terms.items():
        assert_close(value.detach(), ARRAYS[f"loss/{short[name]}"], name)
    total = sum(weights[short[name].split("_")[0]] * value for name, value in terms.items())
    assert_close(total.detach(), ARRAYS[f"loss/total_{kind}"], "total")
    total.backward()
    prefix = "grad/" if kind == "prompt" else "grad_noprompt/"
    stored = {
        n.removeprefix(prefix): v for n, v in ARRAYS.items() if n.startswith(prefix) and not n.endswith("norms_by_loss")
    }
    assert stored
    for name, want in stored.items():
        assert_close(gradient_of(model, name).reshape(want.shape), want, f"gradient of {name}")


def test_gradient_norms_of_each_loss(model):
    stored = ARRAYS["grad/norms_by_loss"]
    order = (
        "image_reconstruction",
        "global_contrastive",
        "report_generation",
        "anatomy_reconstruction",
        "anatomical_consistency",
    )
    for row, name in zip(stored, order, strict=True):
        model.zero_grad()
        model(stored_batch(), MEANING["config"]["mask_ratio"])[name].backward()
        for want, theirs in zip(row, MEANING["grad_names"], strict=True):
            got = gradient_of(model, theirs)
            if want.isnan():  # not part of that loss
                assert got is None or not got.any(), (name, theirs)
            else:
                assert_close(torch.zeros(()) if got is None else got.norm(), want, f"{name}: gradient of {theirs}")


def gradient_of(model, theirs: str):
    """Our gradient of a tensor by its name in the release."""
    named = dict(model.named_parameters())
    return next(named[ours].grad for ours in named if release_name(ours) == theirs)


def test_the_full_size_is_that_of_the_public_checkpoint():
    """475 tensors, 275.16 million numbers; the tied output matrix is stored twice and counted once."""
    with torch.device("meta"):
        whole = SSACLModel(SSACLConfig.release())
    sizes = {
        release_name(name): value.numel() for name, value in whole.state_dict().items() if not name.startswith(OURS)
    }
    head = {
        "transform.dense.weight": 384 * 384,
        "transform.dense.bias": 384,
        "transform.LayerNorm.weight": 384,
        "transform.LayerNorm.bias": 384,
        "decoder.weight": 30000 * 384,
        "decoder.bias": 30000,
        "bias": 0,
    }  # bias is tied
    unused = {f"bert_encoder.model.cls.predictions.{name}": count for name, count in head.items()}
    unused |= {"logit_scale": 1, "opt_model.lm_head.weight": 0}
    assert all(any(re.fullmatch(pattern, name) for pattern, _ in UNUSED) for name in unused)
    assert len(sizes) + len(unused) == 475
    rows_of_cls = 2 * 768  # our position tables have none
    assert round((sum(sizes.values()) + sum(unused.values()) + rows_of_cls) / 1e6, 2) == 275.16


# ---- generation
def leaf_tokens(model, batch):
    with torch.no_grad():
        return model.encoder(
            batch.pixels, None, model.prompt_queries(batch.name_ids, batch.name_mask)[model.leaf_index]
        )


def stored_run(run: str) -> Batch:
    rows = slice(None) if RUNS[run]["sample"] == "all" else slice(RUNS[run]["sample"], RUNS[run]["sample"] + 1)
    return stored_batch(RUNS[run]["prompt"], rows)


@pytest.mark.parametrize("run", [name for name in RUNS if RUNS[name]["num_beams"] == 1])
def test_greedy_ids(run, model):
    batch = stored_run(run)
    penalty = MEANING["generate_common"]["repetition_penalty"]
    got = model.language.generate(
        leaf_tokens(model, batch),
        batch.leaf_open,
        batch.prompt_ids,
        batch.prompt_mask,
        LM["newline_id"],
        LM["newline_id"],
        repetition_penalty=penalty,
        max_new_tokens=RUNS[run]["max_length"] - 1,
        min_new_tokens=RUNS[run]["min_length"] - 1,
    )
    assert got.tolist() == ARRAYS[f"gen/{run}/ids"][:, 1:].tolist()
    first = f"gen/{run}/first_logits"
    if first in ARRAYS:
        with torch.no_grad():
            logits = model.language.continuation_logits(
                leaf_tokens(model, batch), batch.leaf_open, batch.prompt_ids, batch.prompt_mask, batch.prompt_ids[:, :0]
            )
        assert_close(logits[:, 0], ARRAYS[first], first)
        mask = model.language.embed(leaf_tokens(model, batch), batch.leaf_open, batch.prompt_ids, batch.prompt_mask)[1]
        assert_close(
            model.language.positions(mask, generating=True), ARRAYS[f"gen/{run}/first_position_ids"], "positions"
        )


@pytest.mark.parametrize("run", [name for name in RUNS if RUNS[name]["num_beams"] > 1])
def test_scores_of_the_beams(run, model):
    """Summed log-probabilities after the processors, over n^2 (length penalty 2; the end id counts where a beam ended)."""
    batch, ids, end = stored_run(run), ARRAYS[f"gen/{run}/ids"][:, 1:], LM["newline_id"]
    with torch.no_grad():
        logits = model.language.continuation_logits(
            leaf_tokens(model, batch), batch.leaf_open, batch.prompt_ids, batch.prompt_mask, ids[:, :-1]
        )
    penalty = RepetitionPenalty(MEANING["generate_common"]["repetition_penalty"], LM["end_of_text_id"])
    for row, sequence in enumerate(ids.tolist()):
        length = sequence.index(end) + 1 if end in sequence else len(sequence)
        total = 0.0
        for step in range(length):
            scores = penalty(ids[row : row + 1, :step], logits[row : row + 1, step].log_softmax(-1))
            total += scores[0, sequence[step]].item()
        want = ARRAYS[f"gen/{run}/beam_scores"][row].item()
        assert total / length ** MEANING["generate_common"]["length_penalty"] == pytest.approx(want, rel=1e-5), row


def test_beam_search_keeps_the_limits_of_the_release(model):
    run = next(name for name in RUNS if RUNS[name]["num_beams"] > 1)
    batch = stored_run(run)
    ids = model.language.generate(
        leaf_tokens(model, batch),
        batch.leaf_open,
        batch.prompt_ids,
        batch.prompt_mask,
        LM["newline_id"],
        LM["newline_id"],
        num_beams=3,
        repetition_penalty=2.0,
        length_penalty=2.0,
        max_new_tokens=RUNS[run]["max_length"] - 1,
        min_new_tokens=RUNS[run]["min_length"] - 1,
    )
    assert (
        ids.shape[0] == len(batch.pixels) and RUNS[run]["min_length"] - 1 <= ids.shape[1] <= RUNS[run]["max_length"] - 1
    )
