"""One node of the anatomy tree on one film: where its prompt looks, and whether it looks there in everybody.

For a single film and a single node; notebook 04 has the means over studies with their intervals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..anatomy import ANATOMIES, anatomies_for, default_graph, leaf_mask
from ..metrics.grounding import contrast_to_noise_ratio, pointing_share
from ..model.maps import anatomy_maps_of_pixels, to_image
from ..model.precision import autocast
from .anatomy_grounding import with_parents
from .inputs import pixels_of
from .subjects import Subject


@dataclass(frozen=True)
class NodeView:
    """A node's maps on a film.

    attention: [S, S], a multiple of the uniform one (1 = looks here as much as anywhere). look: where SS-ACL+ looks [S, S], None
    where the model has no such head. mask: the true region [S, S] bool, None where nobody knows it. entropy: of the attention,
    1 = everywhere alike. likeness: mean cosine of the attention with that of other patients, 1 = the same for everybody; None
    without other patients. scores: "attention" or "look" -> (pointing share, CNR), empty without a mask.
    """

    node: str
    attention: np.ndarray
    look: np.ndarray | None
    mask: np.ndarray | None
    entropy: float
    likeness: float | None
    scores: Mapping[str, tuple[float, float]]


@torch.no_grad()
def attention_of(model, images: np.ndarray) -> np.ndarray:
    """Attention of all nodes to the patches of images [n, S, S]: [n, 32, N], rows sum to 1; a parent has its children's mean."""
    model.eval()
    with autocast(model):
        leaves = model.leaf_attention(pixels_of(model, images)).float().cpu().numpy()
    return with_parents(leaves)


def node_views(model, subject: Subject, nodes: Sequence[str], others: np.ndarray | None = None) -> list[NodeView]:
    """Views of nodes on a film; others: `attention_of` other patients' films [n, 32, N].

    Raises:
        ValueError: a name that is no node.
    """
    graph, image, film = default_graph(), subject.study.image, subject.study.film
    attention = attention_of(model, image[None])[0]
    places = [graph.index(node) for node in nodes]
    maps = to_image(torch.from_numpy(attention[places] * model.config.patches)[None], model, 0.0)[0].numpy()
    looks = None
    if model.look is not None:
        looks = (
            anatomy_maps_of_pixels(model, pixels_of(model, image[None]), list(nodes), "plus")[0].float().cpu().numpy()
        )
    views = []
    for row, (node, place) in enumerate(zip(nodes, places, strict=True)):
        mask = subject.study.regions.get(node)
        mask = mask if mask is not None and mask[film].any() and not mask[film].all() else None
        shown = {"attention": maps[row]} | ({} if looks is None else {"look": looks[row]})
        scores = {} if mask is None else {name: _scores(heatmap[film], mask[film]) for name, heatmap in shown.items()}
        share = attention[place]
        entropy = float(-(share * np.log(np.clip(share, 1e-12, None))).sum() / np.log(len(share)))
        likeness = None if others is None else _likeness(share, others[:, place])
        views.append(NodeView(node, maps[row], shown.get("look"), mask, entropy, likeness, scores))
    return views


def _scores(heatmap: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    return pointing_share(heatmap, mask), contrast_to_noise_ratio(heatmap, mask)


def _likeness(own: np.ndarray, others: np.ndarray) -> float:
    """Mean cosine of attention [N] with that of others [n, N]."""
    first, second = (F.normalize(torch.from_numpy(np.asarray(a, np.float32)), dim=-1) for a in (own, others))
    return float((second @ first).mean())


def open_nodes(findings: Sequence[str]) -> set[str]:
    """Nodes that the findings open: the selected anatomies' leaves, and every parent all of whose leaves are open."""
    graph, opened = default_graph(), leaf_mask(anatomies_for(findings))
    leaves = {leaf for leaf, yes in zip(graph.leaves, opened, strict=True) if yes}
    return {node for node in graph.nodes if leaves.issuperset(graph.leaves_below(node))}


def reasons(findings: Sequence[str]) -> dict[str, list[str]]:
    """Anatomy -> the findings that open it."""
    return {a: [f for f in findings if a in anatomies_for([f])] for a in ANATOMIES if a in anatomies_for(findings)}
