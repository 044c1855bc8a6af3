"""The sum of L_ac over many images, a chunk at a time: memory grows with the chunk, not with the square of the batch."""

import torch
from torch.autograd.function import once_differentiable


class ChunkedConsistency(torch.autograd.Function):
    """The same sum as `losses.consistency_sum`, the images j a chunk at a time, with the gradient made beside the value.

    sum_{i,j,m} [(1 - mixing + M * mixing * s_ij) * logsumexp_n S_mn - mixing * s_ij * sum_n S_mn - (1 - mixing) * S_mm],
    and its derivative by S_mn is (1 - mixing + M * mixing * s_ij) * softmax_n(S_mn) - target_mn.

    Nothing of a chunk outlives it. (Checkpointing each chunk is shorter to write, but computes the similarities twice, and the
    small tensors that it keeps leave holes of a chunk's size between them in the process's memory: gigabytes for 1,000 images.)
    """

    @staticmethod
    def forward(ctx, queries, keys, softened, scale, mixing: float, chunk: int):
        """queries [B, M, D] and keys [J, M, D], normalised; softened [B, J]; scale = 1 / T (0-d) -> 0-d sum."""
        (batch, leaves, width), wanted = queries.shape, ctx.needs_input_grad
        flat, total = queries.reshape(-1, width), queries.new_zeros(())
        for_queries = torch.zeros_like(flat) if wanted[0] or wanted[3] else None
        for_keys = torch.zeros_like(keys) if wanted[1] else None
        for start in range(0, len(keys), chunk):
            some = keys[start : start + chunk].reshape(-1, width)
            soft = mixing * softened[:, start : start + chunk]  # [i, j]
            similarity = (flat @ some.T).mul_(scale).view(batch, leaves, -1, leaves)  # [i, m, j, n]
            # sum_{i,j,m} [(1 - mixing + M * mixing * s_ij) * logsumexp_n S_mn - mixing * s_ij * sum_n S_mn - (1 - mixing) * S_mm]
            normaliser = similarity.logsumexp(-1)  # [i, m, j]
            weight = (1 - mixing) + leaves * soft  # sum of a row of the target
            total += (weight * normaliser.sum(1)).sum() - (soft * similarity.sum((1, 3))).sum()
            total -= (1 - mixing) * similarity.diagonal(dim1=1, dim2=3).sum()
            if for_queries is None and for_keys is None:
                continue
            # softmax_n(S_mn), then (1 - mixing + M * mixing * s_ij) * softmax_n(S_mn) - target_mn
            slope = similarity.sub_(normaliser[..., None]).exp_()
            slope.mul_(weight[:, None, :, None]).sub_(soft[:, None, :, None]).diagonal(dim1=1, dim2=3).sub_(1 - mixing)
            slope = slope.view(batch * leaves, -1)
            if for_queries is not None:
                for_queries.addmm_(slope, some)
            if for_keys is not None:
                for_keys[start : start + chunk] = (slope.T @ flat).view(-1, leaves, width)
        ctx.save_for_backward(queries, scale, for_queries, for_keys)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """The stored gradients times the incoming one; that of the scale is the query side's product with the queries."""
        queries, scale, for_queries, for_keys = ctx.saved_tensors
        wanted, step = ctx.needs_input_grad, gradient * scale
        by_queries = None if for_queries is None else for_queries.view_as(queries)
        return (
            step * by_queries if wanted[0] else None,
            step * for_keys if wanted[1] else None,
            None,
            gradient * (by_queries * queries).sum() if wanted[3] else None,
            None,
            None,
        )
