"""The five terms of SS-ACL, and two of our own, as pure functions: no model, no global state, float64 stays float64.

    L = L_ir + w * L_cl + L_lm + L_ar + L_ac        w = 0.15 in the paper, a setting here

Letters: B images, N patches, P pixels of a patch, M leaves, D width. Each formula stands again above the lines that compute it.
Embeddings and tokens arrive unnormalised, the losses normalise. T is the temperature; logits are divided by it. Each loss returns
a 0-d tensor, and is the same within and outside of mixed precision (loss_inputs.py).
"""

import torch
import torch.nn.functional as F

from .chunked_consistency import ChunkedConsistency
from .loss_inputs import expect_shape, full_precision, positive_temperature
from .observations import POSITIVE, UNCERTAIN

IGNORE = -100
"""Target of a position that the report generation loss leaves out."""


@full_precision
def image_reconstruction_loss(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """L_ir: mean squared error of the masked patches.

    L_ir = sum_n mask_n * mean_p (prediction_np - target_np)^2 / sum_n mask_n

    Args:
        prediction: [B, N, P] pixels from the visual decoder.
        target: [B, N, P] pixels of the image, normalised as the input is.
        mask: [B, N], 1 = masked (was hidden from the encoder).

    Raises:
        ValueError: shapes that don't fit, no masked patch, NaN.
    """
    expect_shape("prediction", prediction, (None, None, None), "[B, N, P]")
    expect_shape("target", target, prediction.shape, "[B, N, P]")
    expect_shape("mask", mask, prediction.shape[:2], "[B, N]")
    mask = mask.to(prediction.dtype)
    if mask.device.type == "cpu" and not mask.any():
        raise ValueError("mask marks no patch (all 0), expected at least one masked patch (1 = masked)")
    # L_ir = sum_n mask_n * mean_p (prediction_np - target_np)^2 / sum_n mask_n
    error = (prediction - target).square().mean(-1)  # [B, N]
    return (mask * error).sum() / mask.sum()


@full_precision
def anatomy_reconstruction_loss(restored_parents: torch.Tensor, parent_targets: torch.Tensor) -> torch.Tensor:
    """L_ar, hierarchical anatomy reconstruction (b): each parent's picture from its masked children's tokens.

    L_ar = mean_{b,u,p} (restored_bup - target_bup)^2, u one of the 7 parents

    What is restored and what is the target: `VisualDecoder.restored_parents` and `VisualDecoder.parent_targets`.

    Args:
        restored_parents: [B, 7, P] pixels decoded from [mean of the children, the children] of the masked pass.
        parent_targets: [B, 7, P] pixels decoded from the parent's own token of the unmasked pass; detached here.

    Raises:
        ValueError: shapes that don't fit, NaN.
    """
    expect_shape("restored_parents", restored_parents, (None, None, None), "[B, 7, P]")
    expect_shape("parent_targets", parent_targets, restored_parents.shape, "[B, 7, P]")
    # L_ar = mean_{b,u,p} (restored_bup - target_bup)^2, no gradient through the target
    return F.mse_loss(restored_parents, parent_targets.detach())


@full_precision
def global_contrastive_loss(
    image_embeddings: torch.Tensor,
    report_embeddings: torch.Tensor,
    temperature: float | torch.Tensor,
    visible: torch.Tensor,
    position_weight: torch.Tensor,
    position_bias: float | torch.Tensor,
) -> torch.Tensor:
    """L_cl: image against report across the batch, weighted by the patches that were visible (MaCo's weighting).

    With a_ij = cos(image_i, report_j) / T and scale_i = softplus(w . visible_i + b) and CE(x) = -log softmax_j(x_ij)_i,
    the cross-entropy whose right answer is the diagonal:
    L_cl = 1/4 [mean_i CE(scale_i a_ij) + mean_i CE(scale_i a_ji) + sum_i scale_i (CE(a_ij) + CE(a_ji)) / sum_i scale_i]
    The scale multiplies row i of either matrix; as a weight, in the last two, it carries no gradient.

    Args:
        image_embeddings: [B, D], mean of the kept patches' projections.
        report_embeddings: [B, D], pooled text.
        temperature: T, a number or a 0-d tensor.
        visible: [B, N], 1 = kept patch.
        position_weight: [N], w.
        position_bias: [] or [1] or a number, b.

    Raises:
        ValueError: shapes that don't fit, a temperature that is not positive, NaN.
    """
    expect_shape("image_embeddings", image_embeddings, (None, None), "[B, D]")
    expect_shape("report_embeddings", report_embeddings, image_embeddings.shape, "[B, D]")
    expect_shape("visible", visible, (len(image_embeddings), None), "[B, N]")
    expect_shape("position_weight", position_weight, visible.shape[1:], "[N]")
    bias = torch.as_tensor(position_bias, dtype=position_weight.dtype, device=position_weight.device).reshape(())
    # scale_i = softplus(w . visible_i + b)
    scale = F.softplus(visible.to(position_weight.dtype) @ position_weight + bias)  # [B]
    images, reports = F.normalize(image_embeddings, dim=-1), F.normalize(report_embeddings, dim=-1)
    # a_ij = cos(image_i, report_j) / T
    similarity = images @ reports.T / positive_temperature(temperature)  # [B, B]
    diagonal = torch.arange(len(similarity), device=similarity.device)
    scale, weights = scale.to(similarity.dtype), scale.detach().to(similarity.dtype)
    # L_cl = 1/4 [mean_i CE(scale_i a_ij) + mean_i CE(scale_i a_ji) + sum_i scale_i (CE(a_ij) + CE(a_ji)) / sum_i scale_i]
    terms = [
        F.cross_entropy(scale[:, None] * similarity, diagonal),
        F.cross_entropy(scale[:, None] * similarity.T, diagonal),
        F.cross_entropy(similarity, diagonal, weight=weights),
        F.cross_entropy(similarity.T, diagonal, weight=weights),
    ]
    return torch.stack(terms).mean()


@full_precision
def anatomical_consistency_loss(
    leaf_tokens: torch.Tensor,
    report_embeddings: torch.Tensor,
    temperature: float | torch.Tensor,
    mixing: float = 0.1,
    *,
    keys: torch.Tensor | None = None,
    key_reports: torch.Tensor | None = None,
    chunk: int | None = None,
) -> torch.Tensor:
    """L_ac, anatomical consistency alignment (c): the same leaf is alike in different patients.

    With S_mn = cos(leaf m of i, leaf n of j) / T for a pair (i, j) of the batch, i = j included:
    L_ac = mean_{i,j,m} - sum_n target_mn * log softmax_n(S_mn),   target_mn = mixing * s_ij + (1 - mixing) * I_mn,
    s_ij = softmax_j(cos(report_i, report_j) / T), a number added to every entry (rows are not normalised). Many images j are
    summed a chunk at a time (`ChunkedConsistency`): the same sum, the same gradients, less memory.
    s_ij carries no gradient, nor does the key side (j) unless `keys` that carry one are given.

    Args:
        leaf_tokens: [B, M, D] of the unmasked pass, the images i.
        report_embeddings: [B, D'], pooled text.
        temperature: T, a number or a 0-d tensor.
        mixing: lambda in [0, 1].
        keys: [J, M, D], the leaf tokens of the images j (all processes' images). None: leaf_tokens, as constants.
        key_reports: [J, D'], their reports; given with `keys`.
        chunk: how many images j are compared at once. None: all at once up to 4 million numbers. Memory grows with it.

    Raises:
        ValueError: shapes that don't fit, mixing outside [0, 1], a temperature that is not positive, NaN.
    """
    expect_shape("leaf_tokens", leaf_tokens, (None, None, None), "[B, M, D]")
    batch, leaves, _ = leaf_tokens.shape
    expect_shape("report_embeddings", report_embeddings, (batch, None), "[B, D']")
    if not 0 <= mixing <= 1:
        raise ValueError(f"mixing is {mixing}, expected a number in [0, 1]")
    if keys is None or key_reports is None:
        keys, key_reports = leaf_tokens.detach(), report_embeddings
    expect_shape("keys", keys, (None, *leaf_tokens.shape[1:]), "[J, M, D]")
    expect_shape("key_reports", key_reports, (len(keys), report_embeddings.shape[1]), "[J, D']")
    temperature = positive_temperature(temperature)
    # s_ij = softmax_j(cos(report_i, report_j) / T), without gradient
    with torch.no_grad():
        similarity = F.normalize(report_embeddings, dim=-1) @ F.normalize(key_reports, dim=-1).T
        softened = torch.softmax(similarity / temperature, dim=1).to(leaf_tokens.dtype)  # s_ij: [B, J]
    queries, keys = F.normalize(leaf_tokens, dim=-1), F.normalize(keys, dim=-1)
    chunk = chunk or max(1, 4_000_000 // (batch * leaves * leaves))
    if chunk >= len(keys):
        total = consistency_sum(queries, keys, softened, temperature, mixing)
    else:
        scale = torch.as_tensor(1 / temperature, dtype=queries.dtype, device=queries.device)
        total = ChunkedConsistency.apply(queries, keys, softened, scale, mixing, chunk)
    # L_ac = mean_{i,j,m} - sum_n target_mn * log softmax_n(S_mn)
    return total / (batch * len(keys) * leaves)


def consistency_sum(queries, keys, softened, temperature, mixing) -> torch.Tensor:
    """The sum behind L_ac over i, m and the given j, for log softmax_n(S_mn) = S_mn - logsumexp_n S_mn:

    - sum_n target_mn * log softmax_n(S_mn)
        = (1 - mixing) * (logsumexp_n S_mn - S_mm) + mixing * s_ij * (M * logsumexp_n S_mn - sum_n S_mn)

    `ChunkedConsistency` computes the same sum for some j at a time.

    queries: [B, M, D]; keys: [J, M, D]; softened: [B, J].
    """
    batch, leaves, width = queries.shape
    # S_mn = cos(leaf m of i, leaf n of j) / T
    similarity = queries.reshape(-1, width) @ keys.reshape(-1, width).T / temperature
    similarity = similarity.view(batch, leaves, len(keys), leaves)  # [i, m, j, n]
    normaliser = similarity.logsumexp(-1).sum(1)  # [i, j], summed over m
    same_leaf = similarity.diagonal(dim1=1, dim2=3).sum(-1)  # [i, j], sum over m of S_mm
    every_leaf = similarity.sum((1, 3))  # [i, j]
    # - sum_n target_mn * log softmax_n(S_mn), by its two parts
    hard = normaliser - same_leaf
    soft = softened * (leaves * normaliser - every_leaf)
    return ((1 - mixing) * hard + mixing * soft).sum()


@full_precision
def report_generation_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """L_lm, anatomy-guided report generation (e): cross-entropy of the report's tokens, averaged over all of them.

    L_lm = - mean_{b,t} log softmax_v(logits_bt)[targets_bt], t over the report's tokens

    Nothing is shifted here: logits[:, t] predict targets[:, t], so the caller gives the logits of the position BEFORE
    each token; `LanguageDecoder.hidden` does.

    Args:
        logits: [B, L, V].
        targets: [B, L] token ids; -100 (prefix, prompt, padding) is left out.

    Raises:
        ValueError: shapes that don't fit, no token to predict, NaN.
    """
    expect_shape("logits", logits, (None, None, None), "[B, L, V]")
    expect_shape("targets", targets, logits.shape[:2], "[B, L]")
    if targets.device.type == "cpu" and not (targets != IGNORE).any():
        raise ValueError(f"targets are all {IGNORE} (left out), expected at least one report token")
    # L_lm = - mean_{b,t} log softmax_v(logits_bt)[targets_bt]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten().long(), ignore_index=IGNORE)


@full_precision
def report_label_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Ours, not the paper's: binary cross-entropy with the findings that the labeler read in the report.

    Positive is 1; negative and blank are 0; uncertain entries are left out. Where nothing remains the loss is 0.

    Args:
        logits: [B, 13], in the order of OBSERVATIONS[1:].
        labels: [B, 14] codes of `datasets.study`, "No Finding" first.

    Raises:
        ValueError: shapes that don't fit, NaN.
    """
    expect_shape("logits", logits, (None, 13), "[B, 13]")
    expect_shape("labels", labels, (len(logits), 14), "[B, 14]")
    labels = labels[:, 1:]
    # mean over known findings of - y log p - (1 - y) log(1 - p)
    known = (labels != UNCERTAIN).to(logits.dtype)
    error = F.binary_cross_entropy_with_logits(logits, (labels == POSITIVE).to(logits.dtype), reduction="none")
    return (known * error).sum() / known.sum().clamp(min=1)


@full_precision
def side_exchange_loss(
    image: torch.Tensor,
    own: torch.Tensor,
    exchanged: torch.Tensor,
    temperature: float | torch.Tensor,
    paired: torch.Tensor | None = None,
) -> torch.Tensor:
    """Ours, not the paper's: a film is nearer to a sentence of its report than to the same one with the side exchanged.

    L_side = mean_i softplus((cos(image_i, exchanged_i) - cos(image_i, own_i)) / T), i over the films that have a pair

    That is the cross-entropy of L_cl with two texts to choose from, of which the wrong one differs by one word. T carries no
    gradient: a single hard pair per film is no ground to sharpen every contrast. Where no film has a pair the loss is 0.

    Args:
        image: [B, D], the image vector of L_cl.
        own: [B, D], pooled text of a sentence that names one side.
        exchanged: [B, D], pooled text of the same sentence with right and left exchanged.
        temperature: T, a number or a 0-d tensor.
        paired: [B], 1 = the film has such a pair; the other rows of `own` and `exchanged` count for nothing. None: all have.

    Raises:
        ValueError: shapes that don't fit, a temperature that is not positive, NaN.
    """
    expect_shape("image", image, (None, None), "[B, D]")
    expect_shape("own", own, image.shape, "[B, D]")
    expect_shape("exchanged", exchanged, image.shape, "[B, D]")
    paired = image.new_ones(len(image)) if paired is None else paired
    expect_shape("paired", paired, image.shape[:1], "[B]")
    temperature, paired = positive_temperature(temperature), paired.to(image.dtype)
    # L_side = mean_i softplus((cos(image_i, exchanged_i) - cos(image_i, own_i)) / T), i over the films that have a pair
    right, wrong = F.cosine_similarity(image, own, dim=-1), F.cosine_similarity(image, exchanged, dim=-1)
    error = F.softplus(
        (wrong - right) / (temperature.detach() if isinstance(temperature, torch.Tensor) else temperature)
    )
    return (paired * error).sum() / paired.sum().clamp(min=1)
