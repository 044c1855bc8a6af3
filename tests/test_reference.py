"""The fast step is the plain one: every term and the gradient of every parameter, in double precision, in both modes."""

from contextlib import nullcontext

import pytest
import torch
from reference.step import dense_mask_terms, four_pass_terms

from ssacl_lib.model import Batch, SSACLConfig, SSACLModel
from ssacl_lib.model.network import TERMS

REFERENCE = {"paper": dense_mask_terms, "release": four_pass_terms}


def small_model(**changes) -> SSACLModel:
    """Double precision, random weights that are all different from 0."""
    text = {
        "vocab_size": 50,
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 16,
    }
    language = {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2}
    torch.manual_seed(0)
    model = (
        SSACLModel(
            SSACLConfig(
                **{
                    "image_size": 32,
                    "patch_size": 8,
                    "width": 16,
                    "depth": 2,
                    "heads": 2,
                    "decoder_depth": 1,
                    "decoder_heads": 2,
                    "text": text,
                    "language": language,
                    **changes,
                }
            )
        )
        .double()
        .eval()
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def random_batch(model: SSACLModel, count: int = 3, prompts: bool = True, seed: int = 1) -> Batch:
    """Made-up studies; reports and prompts of several lengths, prompts padded where the model's positions want it."""
    draw = torch.Generator().manual_seed(seed)
    size, patches = model.config.image_size, model.config.patches

    def texts(rows, length, vocabulary, side="right"):
        lengths = torch.randint(2, length + 1, (rows,), generator=draw)
        lengths[0] = length
        places = torch.arange(length) if side == "right" else torch.arange(length).flip(0)
        mask = (places < lengths[:, None]).long()
        return torch.randint(5, vocabulary, (rows, length), generator=draw) * mask, mask

    side = "right" if model.config.language_positions == "release" else "left"
    prompt = texts(count, 4, 60, side)
    prompt = prompt if prompts else tuple(part[:, :0] for part in prompt)
    noise = torch.rand(2, count, patches, generator=draw, dtype=torch.float64)
    text, names, report = texts(count, 9, 50), texts(25, 4, 50), texts(count, 8, 60)
    return Batch(
        torch.randn(count, 1, size, size, generator=draw, dtype=torch.float64),
        noise[0],
        noise[1],
        *text,
        *names,
        *prompt,
        *report,
        torch.rand(count, 25, generator=draw) > 0.5,
        torch.randint(0, 2, (count, 14), generator=draw).to(torch.int8),
    )


def assert_same_gradient(ours: torch.Tensor, theirs: torch.Tensor, name: str) -> None:
    """Within 1e-9 of the largest entry; a key's bias shifts all scores of a query alike, so its gradient is rounding only."""
    largest = theirs.abs().max()
    if name.endswith("key.bias"):
        assert largest < 1e-12 and ours.abs().max() < 1e-12, name
    else:
        assert largest > 1e-12, f"{name}: no gradient to compare"
        assert (ours - theirs).abs().max() <= 1e-9 * largest, name


@pytest.mark.parametrize("prompts", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "paper"},
        {"attention": "paper", "stem": "convolutional", "channels": 1, "text_pooling": "mean"},
        {"attention": "paper", "hierarchy": "recursive", "consistency_gradient": "both", "prefix": "prompts only"},
        {"attention": "release"},
        {
            "attention": "release",
            "hierarchy": "recursive",
            "consistency_gradient": "both",
            "language_positions": "continued",
        },
    ],
    ids=lambda changes: ", ".join(map(str, changes.values())),
)
def test_terms_and_gradients_equal_the_reference(changes, prompts):
    model = small_model(**changes)
    batch = random_batch(model, prompts=prompts)
    names = [name for name, _ in model.named_parameters()]

    def gradients(terms):
        weights = dict(zip(TERMS, (1.0, 0.7, 0.15, 0.9, 1.1), strict=True))
        return torch.autograd.grad(
            sum(weights[name] * value for name, value in terms.items()), list(model.parameters()), allow_unused=True
        )

    got, want = model(batch), REFERENCE[changes["attention"]](model, batch)
    assert set(got) == set(want) == set(TERMS)
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-9, atol=0, msg=lambda text, name=name: f"{name}: {text}")
    unread = ("head.", "text.bert.pooler.") if model.config.text_pooling == "mean" else ("head.",)
    pairs = dict(zip(names, zip(gradients(got), gradients(want), strict=True), strict=True))
    for name, (ours, theirs) in pairs.items():
        assert (ours is None) == (theirs is None) == name.startswith(unread), name
        if ours is not None:
            assert_same_gradient(ours, theirs, name)


def test_parts_of_the_logits_and_recomputed_activations_change_nothing(monkeypatch):
    from ssacl_lib.model import network

    model = small_model().train()
    model.text.bert.config.hidden_dropout_prob = 0.0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = random_batch(model)
    gradients = []
    for recompute, logits in ((False, network.LOGITS), (True, 60 * 7)):
        monkeypatch.setattr(network, "LOGITS", logits)
        if recompute:
            model.recompute_activations()
        model.zero_grad()
        sum(model(batch).values()).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, want in gradients[0].items():
        assert_same_gradient(gradients[1][name], want, name)


def test_a_gpus_attention_sees_something_everywhere_and_gives_the_same_losses(monkeypatch):
    """Closed leaves at the head of the prefix see nothing; what a fused kernel makes of such a row is its own affair."""
    from ssacl_lib.model import attention

    assert attention.never_blind(torch.tensor([[False, False], [True, False]])).tolist() == [
        [True, True],
        [True, False],
    ]
    model, taken = small_model(), []
    batch = random_batch(model)
    batch.leaf_open[:, :2] = False
    plain = model(batch)
    asked = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, attn_mask=None, **words: (
            taken.append(attn_mask.any(-1).all().item()),
            asked(*args, attn_mask=attn_mask, **words),
        )[1],
    )
    for part in (model.text.bert, model.language.gpt):
        part.config._attn_implementation = "sdpa"
    fused = model(batch)
    sum(fused.values()).backward()
    assert len(taken) >= 2 and all(taken)
    for name, value in plain.items():
        torch.testing.assert_close(fused[name], value, rtol=1e-9, atol=0)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("attention", ["paper", "release"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_step_never_waits_for_a_value(attention, implementation, monkeypatch):
    """On the meta device tensors hold no values, so whatever would make the host wait for a GPU raises here."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which the meta device does not know
    model, batch = small_model(attention=attention).train(), random_batch(small_model(attention=attention))
    for part in (model.text.bert, model.language.gpt):
        part.config._attn_implementation = implementation
    sum(model.to("meta")(batch.to("meta")).values()).backward()
    assert model.encoder.cls_token.grad.shape == model.encoder.cls_token.shape
