"""The losses against loops from the formulas, numbers of the authors' code, values by hand, and gradients."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssacl_lib import losses
from ssacl_lib.anatomy import default_graph

RELEASE = load_file(Path(__file__).parent / "data" / "release_losses.safetensors")
EXACT = {"rtol": 0, "atol": 1e-12}


def double(*shape, seed=0, gradient=False):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_(gradient)


def contrastive_inputs():
    visible = (double(3, 6, seed=3) > 0).double()
    return [double(3, 4, seed=1), double(3, 4, seed=2), 0.2, visible, double(6, seed=4), double(seed=5)]


# --- numbers of the authors' code ---


def test_global_contrast_equals_the_release_with_its_gradients():
    inverse, weight, bias = (
        RELEASE[name].clone().requires_grad_() for name in ("inverse_temperature", "position_weight", "position_bias")
    )
    loss = losses.global_contrastive_loss(
        RELEASE["image_embeddings"], RELEASE["report_embeddings"], 1 / inverse, RELEASE["visible"], weight, bias
    )
    loss.backward()
    torch.testing.assert_close(loss, RELEASE["loss_global_contrastive"], **EXACT)
    torch.testing.assert_close(weight.grad, RELEASE["gradient_position_weight"], **EXACT)
    torch.testing.assert_close(bias.grad, RELEASE["gradient_position_bias"], **EXACT)
    torch.testing.assert_close(inverse.grad.abs(), RELEASE["gradient_norm_inverse_temperature_contrastive"], **EXACT)


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_anatomical_consistency_equals_the_release_in_any_chunks(chunk):
    inverse = RELEASE["inverse_temperature"].clone().requires_grad_()
    loss = losses.anatomical_consistency_loss(
        RELEASE["leaf_tokens"], RELEASE["report_embeddings"], 1 / inverse, chunk=chunk
    )
    loss.backward()
    torch.testing.assert_close(loss, RELEASE["loss_anatomical_consistency"], **EXACT)
    torch.testing.assert_close(inverse.grad.abs(), RELEASE["gradient_norm_inverse_temperature_consistency"], **EXACT)


def test_other_terms_and_the_restoration_equal_the_release():
    report = losses.report_generation_loss(RELEASE["logits"], RELEASE["targets"])
    anatomy = losses.anatomy_reconstruction_loss(RELEASE["restored_parents"], RELEASE["parent_targets"])
    torch.testing.assert_close(report, RELEASE["loss_report_generation"], **EXACT)
    torch.testing.assert_close(anatomy, RELEASE["loss_anatomy_reconstruction"], **EXACT)
    torch.testing.assert_close(default_graph().restore(RELEASE["leaf_queries"]), RELEASE["graph_queries"], **EXACT)


# --- loops from the formulas, values by hand ---


def test_image_reconstruction_counts_masked_patches_only():
    prediction, target = double(2, 3, 4, seed=1, gradient=True), torch.zeros(2, 3, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 0, 0], [1, 0, 1]])
    loss = losses.image_reconstruction_loss(prediction, target, mask)
    by_hand = sum((prediction[b, n] ** 2).sum() / 4 for b, n in ((0, 0), (1, 0), (1, 2))) / 3
    torch.testing.assert_close(loss, by_hand, **EXACT)
    loss.backward()
    assert not prediction.grad[0, 1:].any() and not prediction.grad[1, 1].any()
    assert losses.image_reconstruction_loss(torch.ones(1, 2, 3), torch.full((1, 2, 3), 3.0), mask[:1, :2]) == 4


def test_anatomy_reconstruction_detaches_its_targets():
    restored, targets = double(2, 7, 4, seed=1, gradient=True), double(2, 7, 4, seed=2, gradient=True)
    loss = losses.anatomy_reconstruction_loss(restored, targets)
    loss.backward()
    torch.testing.assert_close(loss, ((restored - targets) ** 2).sum() / 56, **EXACT)
    assert targets.grad is None and restored.grad.any()


def test_global_contrast_is_the_formula():
    images, reports, temperature, visible, weight, bias = contrastive_inputs()
    s = [[torch.cosine_similarity(i, r, dim=0) / temperature for r in reports] for i in images]
    scale = [math.log1p(math.exp(float(visible[i] @ weight + bias))) for i in range(3)]

    def entropy(row, answer):
        return -math.log(math.exp(row[answer]) / sum(map(math.exp, row)))

    rows = [[float(s[i][j]) for j in range(3)] for i in range(3)]
    columns = [[float(s[j][i]) for j in range(3)] for i in range(3)]
    terms = [sum(entropy([scale[i] * x for x in m[i]], i) for i in range(3)) / 3 for m in (rows, columns)]
    terms += [sum(scale[i] * entropy(m[i], i) for i in range(3)) / sum(scale) for m in (rows, columns)]
    loss = losses.global_contrastive_loss(images, reports, temperature, visible, weight, bias)
    assert loss.item() == pytest.approx(sum(terms) / 4, abs=1e-12)


def test_global_contrast_at_its_start_is_chance_for_equal_embeddings():
    same = torch.ones(5, 3)
    loss = losses.global_contrastive_loss(same, same, 0.03, torch.ones(5, 4), torch.zeros(4), torch.zeros(()))
    assert loss.item() == pytest.approx(math.log(5), abs=1e-5)


def test_the_weights_of_the_second_pair_of_terms_carry_no_gradient():
    images, reports, temperature, visible, weight, bias = contrastive_inputs()
    bias = bias.clone().requires_grad_()
    losses.global_contrastive_loss(images, reports, temperature, visible, weight, bias).backward()

    def scaled_terms(b):  # the first two terms alone
        scale = torch.nn.functional.softplus(visible @ weight + b)
        images_, reports_ = (torch.nn.functional.normalize(x, dim=-1) for x in (images, reports))
        s = images_ @ reports_.T / temperature
        return sum(-(torch.log_softmax(scale[:, None] * m, 1).diagonal().mean()) for m in (s, s.T)) / 4

    other = bias.detach().clone().requires_grad_()
    scaled_terms(other).backward()
    torch.testing.assert_close(bias.grad, other.grad, **EXACT)


def consistency_by_loops(leaves, reports, temperature, mixing):
    batch, count, _ = leaves.shape
    cosine = torch.nn.functional.cosine_similarity
    total = 0.0
    for i in range(batch):
        soft = torch.softmax(torch.stack([cosine(reports[i], r, dim=0) for r in reports]) / temperature, 0)
        for j in range(batch):
            for m in range(count):
                s = torch.stack([cosine(leaves[i, m], leaves[j, n], dim=0) for n in range(count)]) / temperature
                target = mixing * soft[j] + (1 - mixing) * torch.eye(count, dtype=s.dtype)[m]
                total = total - (target * torch.log_softmax(s, 0)).sum()
    return total / (batch * batch * count)


def test_anatomical_consistency_is_the_formula_and_its_keys_carry_no_gradient():
    leaves, reports = double(3, 4, 5, seed=1, gradient=True), double(3, 6, seed=2, gradient=True)
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loops = consistency_by_loops(leaves, reports, temperature, 0.2)
    symmetric = losses.anatomical_consistency_loss(leaves, reports, temperature, 0.2, keys=leaves, key_reports=reports)
    one_sided = losses.anatomical_consistency_loss(leaves, reports, temperature, 0.2)
    torch.testing.assert_close(symmetric, loops, **EXACT)
    torch.testing.assert_close(one_sided, loops, **EXACT)
    (open_gradient,) = torch.autograd.grad(symmetric, leaves)
    (full,) = torch.autograd.grad(loops, leaves)
    torch.testing.assert_close(open_gradient, full, **EXACT)
    one_sided.backward()
    assert reports.grad is None and temperature.grad.abs() > 0
    assert not torch.allclose(leaves.grad, full)


def test_anatomical_consistency_does_not_depend_on_the_order_of_studies_or_on_lengths():
    leaves, reports = double(4, 5, 6, seed=1), double(4, 3, seed=2)
    loss = losses.anatomical_consistency_loss(leaves, reports, 0.03)
    order = torch.tensor([2, 0, 3, 1])
    longer = leaves * torch.rand(4, 5, 1, dtype=torch.float64).add(0.5)
    torch.testing.assert_close(losses.anatomical_consistency_loss(leaves[order], reports[order], 0.03), loss, **EXACT)
    torch.testing.assert_close(losses.anatomical_consistency_loss(longer, 7 * reports, 0.03), loss, **EXACT)


@pytest.mark.parametrize("both", [False, True])
def test_chunks_have_the_same_gradients(both):
    leaves, reports = double(7, 5, 4, seed=1, gradient=True), double(7, 3, seed=2)
    temperature = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    keys = {"keys": leaves.flip(0), "key_reports": reports.flip(0)} if both else {}
    whole, parts = (
        losses.anatomical_consistency_loss(leaves, reports, temperature, chunk=chunk, **keys) for chunk in (7, 3)
    )
    torch.testing.assert_close(parts, whole, **EXACT)
    for one, other in zip(*(torch.autograd.grad(loss, (leaves, temperature)) for loss in (parts, whole)), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_report_generation_averages_over_tokens_not_over_reports():
    logits = double(2, 3, 5, seed=1, gradient=True)
    targets = torch.tensor([[4, -100, -100], [0, 2, 1]])
    loss = losses.report_generation_loss(logits, targets)
    places = ((0, 0), (1, 0), (1, 1), (1, 2))
    by_hand = -sum(torch.log_softmax(logits[b, t], 0)[targets[b, t]] for b, t in places) / 4
    torch.testing.assert_close(loss, by_hand, **EXACT)
    loss.backward()
    assert not logits.grad[0, 1:].any()


def test_report_labels_leave_uncertain_ones_out():
    logits = torch.zeros(2, 13, dtype=torch.float64)
    logits[0, 0] = 3
    labels = torch.full((2, 14), -1)
    assert losses.report_label_loss(logits, labels) == 0
    labels[0, 1], labels[1, 2], labels[:, 0] = 1, -2, 1  # one positive, one blank; "No Finding" is not asked
    by_hand = (math.log1p(math.exp(-3)) + math.log(2)) / 2
    assert losses.report_label_loss(logits, labels).item() == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("paired", [None, [True, False, True, True], [False] * 4])
def test_side_exchange_is_the_formula_over_the_films_that_have_a_pair(paired):
    vectors = [double(4, 5, seed=seed, gradient=True) for seed in (1, 2, 3)]
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = losses.side_exchange_loss(*vectors, temperature, None if paired is None else torch.tensor(paired))
    cosine, terms = torch.nn.functional.cosine_similarity, []
    for row, (image, own, exchanged) in enumerate(zip(*(v.detach() for v in vectors), strict=True)):
        if paired is None or paired[row]:
            gap = cosine(image, exchanged, dim=0) - cosine(image, own, dim=0)
            terms.append(math.log1p(math.exp(float(gap) / 0.3)))
    assert loss.item() == pytest.approx(sum(terms) / max(1, len(terms)), abs=1e-12)
    loss.backward()
    assert temperature.grad is None
    for vector in vectors:
        assert vector.grad.any(1).tolist() == (paired or [True] * 4)
    same = losses.side_exchange_loss(vectors[0], vectors[1], vectors[1], 0.3)
    assert same.item() == pytest.approx(math.log(2), abs=1e-12), "chance"
    assert losses.side_exchange_loss(*[vector[:0] for vector in vectors], 0.3) == 0


# --- all of them ---

CALLS = {
    "image_reconstruction_loss": [double(2, 3, 4), double(2, 3, 4, seed=1), torch.ones(2, 3, dtype=torch.long)],
    "anatomy_reconstruction_loss": [double(2, 7, 4), double(2, 7, 4, seed=1)],
    "global_contrastive_loss": contrastive_inputs(),
    "anatomical_consistency_loss": [double(2, 3, 4), double(2, 5), 0.1],
    "report_generation_loss": [double(2, 3, 4), torch.ones(2, 3, dtype=torch.long)],
    "report_label_loss": [double(2, 13), torch.ones(2, 14, dtype=torch.long)],
    "side_exchange_loss": [double(2, 3), double(2, 3, seed=1), double(2, 3, seed=2), 0.1, torch.tensor([True, False])],
}


def test_no_loss_is_left_out():
    assert set(CALLS) == {name for name in vars(losses) if name.endswith("_loss")}


def as_kind(inputs, kind):
    """The floating tensors among the inputs in another precision."""
    return [x.to(kind) if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs]


@pytest.mark.parametrize("name", CALLS)
def test_precision_is_kept_and_autocast_changes_nothing(name):
    loss = getattr(losses, name)
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        result = torch.float32 if kind == torch.bfloat16 else kind
        value = loss(*as_kind(CALLS[name], kind))
        assert value.ndim == 0 and value.dtype == result
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(*as_kind(CALLS[name], kind)), value)


@pytest.mark.parametrize("name", CALLS)
def test_nan_is_refused_and_named(name):
    inputs = list(CALLS[name])
    inputs[0] = inputs[0].clone().fill_(math.nan)
    with pytest.raises(ValueError, match=f"{name} is NaN; NaN found in: argument 1"):
        getattr(losses, name)(*inputs)


TWO = double(2, 3, 4)
PATCHES = (double(2, 4), double(4), double())  # visible, position weight, position bias

BAD_INPUT = [
    ("image_reconstruction_loss", (TWO, TWO, torch.ones(2, 4)), r"mask has shape \[2, 4\], expected \[B, N\]"),
    ("image_reconstruction_loss", (TWO, TWO, torch.zeros(2, 3)), "marks no patch"),
    ("anatomy_reconstruction_loss", (TWO, double(2, 6, 4)), "parent_targets has shape"),
    ("global_contrastive_loss", (double(2, 3), double(3, 3), 1, *PATCHES), "report_embeddings has shape"),
    ("global_contrastive_loss", (double(2, 3), double(2, 3), 0.0, *PATCHES), "temperature is 0.0"),
    ("anatomical_consistency_loss", (TWO, double(3, 4), 1.0), "report_embeddings has shape"),
    ("anatomical_consistency_loss", (TWO, double(2, 4), 1.0, 1.1), "mixing is 1.1"),
    ("report_generation_loss", (TWO, torch.zeros(2, 2, dtype=torch.long)), "targets has shape"),
    ("report_generation_loss", (TWO, torch.full((2, 3), -100)), "all -100"),
    ("report_label_loss", (double(2, 13), torch.ones(2, 13)), "labels has shape"),
    ("side_exchange_loss", (double(2, 3), double(2, 3), double(3, 3), 0.1), "exchanged has shape"),
    (
        "side_exchange_loss",
        (*[double(2, 3)] * 3, 0.1, torch.ones(3)),
        r"paired has shape \[3\], expected \[B\] = \[2\]",
    ),
    ("side_exchange_loss", (*[double(2, 3)] * 3, -1.0), "temperature is -1.0"),
]


@pytest.mark.parametrize(("name", "inputs", "message"), BAD_INPUT)
def test_bad_input_says_what_was_found(name, inputs, message):
    with pytest.raises(ValueError, match=message):
        getattr(losses, name)(*inputs)
