"""The step as the formulas have it: dense masks, one pass per purpose, parents and pairs in loops.

`four_pass_terms` is the release's step: (1) a masked pass without queries, (2) an unmasked pass with the 25 leaves, (3) an
unmasked one with all 32 nodes, (4) a masked one with all 32 nodes and a mask of its own. `dense_mask_terms` is the paper's
figure: one mask, and again a pass for each purpose. Both read a model's weights and none of its shortcuts.
"""

import torch
from torch.nn import functional as F

from ssacl_lib.anatomy import default_graph
from ssacl_lib.model import Batch, SSACLModel


def visibility(attention: str, queries: int, patches: int, device) -> torch.Tensor:
    """Who sees whom, [Q + 1 + N, Q + 1 + N] bool, row sees column; order: queries, CLS, patches (method.md's table)."""
    see = torch.eye(queries + 1 + patches, dtype=torch.bool, device=device)
    see[:, queries + 1 :] = True  # everyone sees the patches
    if attention == "paper" or queries == 0:
        see[queries:, queries] = True  # CLS is seen by the patches
    return see


def encode(model: SSACLModel, pixels, keep=None, queries=None):
    """One pass over [queries, CLS, patches] with a dense mask -> queries [B, Q, D], CLS [B, D], patches [B, K, D]."""
    encoder = model.encoder
    tokens = encoder.patch_tokens(pixels, None if keep is None or model.config.stem == "patch" else keep)
    if keep is not None and model.config.stem == "patch":
        tokens = torch.stack([row[kept] for row, kept in zip(tokens, keep, strict=True)])
    count = 0 if queries is None else queries.shape[0]
    front = [] if queries is None else [queries.expand(len(pixels), -1, -1).to(tokens.dtype)]
    tokens = torch.cat([*front, encoder.cls_token.expand(len(pixels), -1, -1).to(tokens.dtype), tokens], dim=1)
    see = visibility(model.config.attention, count, tokens.shape[1] - count - 1, pixels.device)
    for block in encoder.blocks:
        tokens = transformer_block(block, tokens, see)
    tokens = encoder.norm(tokens)
    return tokens[:, :count], tokens[:, count], tokens[:, count + 1 :]


def transformer_block(block, tokens, see):
    """Pre-norm block with a dense mask [T, T]."""
    batch, length, width = tokens.shape
    query, key, value = (
        part.view(batch, length, block.heads, -1).transpose(1, 2)
        for part in block.qkv(block.norm1(tokens)).chunk(3, dim=-1)
    )
    scores = query @ key.transpose(-2, -1) / (width // block.heads) ** 0.5
    mixed = scores.masked_fill(~see, float("-inf")).softmax(-1) @ value
    tokens = tokens + block.proj(mixed.transpose(1, 2).reshape(batch, length, width))
    return tokens + block.fc2(F.gelu(block.fc1(block.norm2(tokens))))


def decode(model: SSACLModel, tokens):
    """Embedded tokens [B, T, D] through the visual decoder -> pixels [B, T, pixels of a patch]."""
    everyone = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device)
    for block in model.decoder.blocks:
        tokens = transformer_block(block, tokens, everyone)
    return model.decoder.pixels(model.decoder.norm(tokens))


def kept_patches(noise, ratio):
    """Indices of the patches with the lowest noise, and the mask (1 = removed) in reading order."""
    keep = torch.stack([row.argsort()[: int(len(row) * (1 - ratio))] for row in noise])
    removed = torch.ones_like(noise)
    for row, kept in zip(removed, keep, strict=True):
        row[kept] = 0
    return keep, removed


def restored_queries(model: SSACLModel, names, mask):
    """Queries [32, D]: leaves from their names, parents the mean of their children, from the leaves up."""
    graph = default_graph()
    leaves = dict(zip(graph.leaves, model.name_to_query(model.text(names, mask)), strict=True))

    def query(node):
        children = graph.children(node)
        return torch.stack([query(child) for child in children]).mean(0) if children else leaves[node]

    return torch.stack([query(node) for node in graph.nodes])


def image_reconstruction(model, batch, cls, patches, keep, removed):
    """L_ir: mask tokens in the gaps (MAE: appended, then brought into reading order), squared error over removed patches."""
    decoder, config, count = model.decoder, model.config, len(batch.pixels)
    kept = decoder.embed(patches)
    gaps = decoder.mask_token.to(kept.dtype).expand(count, config.patches - kept.shape[1], -1)
    rest = torch.stack([row.nonzero()[:, 0] for row in removed])
    restore = torch.cat([keep, rest], dim=1).argsort(1)
    full = torch.stack([row[places] for row, places in zip(torch.cat([kept, gaps], dim=1), restore, strict=True)])
    tokens = torch.cat([decoder.embed(cls)[:, None], full + decoder.positions.to(full.dtype)], dim=1)
    drawn = decode(model, tokens)[:, 1:].to(removed.dtype)
    size, grey = config.patch_size, batch.pixels[:, :1].expand(-1, config.channels, -1, -1)
    cuts = grey.unfold(2, size, size).unfold(3, size, size)  # [B, C, rows, columns, y, x]
    target = cuts.permute(0, 2, 3, 4, 5, 1).reshape(drawn.shape)
    return (removed * (drawn - target).square().mean(-1)).sum() / removed.sum()


def anatomy_reconstruction(model, masked_nodes, whole_nodes):
    """L_ar: parent by parent."""
    graph, total = default_graph(), 0
    if model.config.hierarchy == "recursive":
        masked_nodes = graph.restore(masked_nodes[:, [graph.index(leaf) for leaf in graph.leaves]])
    for parent in graph.parents:
        children = masked_nodes[:, [graph.index(child) for child in graph.children(parent)]]
        sequence = torch.cat([children.mean(1, keepdim=True), children], dim=1)
        drawn = decode(model, model.decoder.embed(sequence))[:, 0]
        with torch.no_grad():
            own = whole_nodes[:, graph.index(parent)][:, None]
            target = decode(model, model.decoder.embed(own))[:, 0]
        total = total + (drawn - target).square().mean() / len(graph.parents)
    return total


def global_contrast(model, patches, report, removed):
    """L_cl, its four terms."""
    images = F.normalize(model.image_to_text(patches).mean(1).to(removed.dtype), dim=-1)
    reports = F.normalize(report.to(removed.dtype), dim=-1)
    logits = images @ reports.T * model.inverse_temperature
    scale = F.softplus((1 - removed) @ model.position_weight + model.position_bias)
    right = torch.arange(len(logits), device=logits.device)
    weights = scale.detach()
    terms = [F.cross_entropy(scale[:, None] * side, right) for side in (logits, logits.T)]
    for side in (logits, logits.T):
        terms.append((weights * F.cross_entropy(side, right, reduction="none")).sum() / weights.sum())
    return sum(terms) / 4


def anatomical_consistency(model, leaves, report, mixing):
    """L_ac, pair by pair."""
    dtype = model.inverse_temperature.dtype
    queries = F.normalize(leaves.to(dtype), dim=-1)
    keys = queries if model.config.consistency_gradient == "both" else queries.detach()
    reports, scale = F.normalize(report.to(dtype), dim=-1).detach(), model.inverse_temperature
    soft = (reports @ reports.T * scale.detach()).softmax(1)
    total, eye = 0, torch.eye(leaves.shape[1], dtype=dtype, device=leaves.device)
    for i in range(len(leaves)):
        for j in range(len(leaves)):
            target = mixing * soft[i, j] + (1 - mixing) * eye
            total = total - (target * (queries[i] @ keys[j].T * scale).log_softmax(-1)).sum()
    return total / (len(leaves) ** 2 * leaves.shape[1])


def report_generation(model, batch, leaves, cls, patches):
    """L_lm: logits of every place of the sequence, then those that predict a report token."""
    language, config = model.language, model.config
    parts = [leaves, cls[:, None], patches] if config.prefix == "prompts and patches" else [leaves, cls[:, None]]
    prefix = language.to_width(torch.cat(parts, dim=1))
    opened = torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device)
    opened[:, : leaves.shape[1]], opened[:, leaves.shape[1]] = batch.leaf_open.long(), 0
    ids = torch.cat([batch.prompt_ids, batch.report_ids], dim=1)
    mask = torch.cat([opened, batch.prompt_mask, batch.report_mask], dim=1)
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    if config.language_positions == "continued":
        start = prefix.shape[1]
        places = torch.cat([places[:, :start], start + (mask[:, start:].cumsum(1) - 1).clamp(min=0)], dim=1)
    words = language.gpt.transformer.wte(ids).to(prefix.dtype)
    logits = language.gpt(
        inputs_embeds=torch.cat([prefix, words], dim=1), attention_mask=mask, position_ids=places, use_cache=False
    ).logits
    targets = torch.full_like(mask, -100)
    targets[:, -batch.report_ids.shape[1] :] = batch.report_ids.masked_fill(batch.report_mask == 0, -100)
    logits = logits.to(model.inverse_temperature.dtype)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)


def four_pass_terms(
    model: SSACLModel, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1
) -> dict[str, torch.Tensor]:
    """The release's step (config.attention "release")."""
    return _terms(model, batch, mask_ratio, mixing, batch.graph_noise, prompted=False)


def dense_mask_terms(
    model: SSACLModel, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1
) -> dict[str, torch.Tensor]:
    """The paper's figure with a naive dense mask (config.attention "paper")."""
    return _terms(model, batch, mask_ratio, mixing, batch.noise, prompted=True)


def _terms(model, batch, mask_ratio, mixing, graph_noise, prompted):
    graph = default_graph()
    nodes = restored_queries(model, batch.name_ids, batch.name_mask)
    leaves = torch.stack([nodes[graph.index(name)] for name in graph.leaves])
    report = model.text(batch.text_ids, batch.text_mask)
    keep, removed = kept_patches(batch.noise, mask_ratio)
    removed = removed.to(model.inverse_temperature.dtype)
    _, masked_cls, masked_patches = encode(model, batch.pixels, keep, nodes if prompted else None)
    leaf_tokens, cls, patches = encode(model, batch.pixels, None, leaves)
    whole_nodes, _, _ = encode(model, batch.pixels, None, nodes)
    masked_nodes, _, _ = encode(model, batch.pixels, kept_patches(graph_noise, mask_ratio)[0], nodes)
    return {
        "image_reconstruction": image_reconstruction(model, batch, masked_cls, masked_patches, keep, removed),
        "anatomy_reconstruction": anatomy_reconstruction(model, masked_nodes, whole_nodes),
        "global_contrastive": global_contrast(model, masked_patches, report, removed),
        "anatomical_consistency": anatomical_consistency(model, leaf_tokens, report, mixing),
        "report_generation": report_generation(model, batch, leaf_tokens, cls, patches),
    }
