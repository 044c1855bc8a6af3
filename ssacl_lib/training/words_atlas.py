"""Where do words say that an anatomy lies? An atlas from films and reports alone (SS-ACL+, ours).

A report that places a finding ("effusion at the left base") says: this film differs from others at the left base. Which places
of the film differ is measured: local features of the film are regressed on what its report says,

    y[i, p] = sum over pairs k of A[i, k] b[k, p] + (unplaced and uncertain findings, constant) + noise

with A[i, k] = 1 where report i places finding f_k at node v_k, and y a feature of film i at place p. The map of a node is what
its pairs change, in standard errors: a_v[p] = sqrt(sum over its pairs and the features of t[k, p]^2), t = b / se(b).

The films are aligned only as far as patients are positioned alike. No mask, box, coordinate or rectangle of a side is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..anatomy import default_graph
from ..model.look import GRID, NODES
from ..model.maps import smooth
from ..text.regions import placed_findings

FEWEST = 15
"""A pair of node and finding needs so many films."""

FEATURES, CHUNK = 3, 250
SMOOTHING, POWER, RIDGE = 3.5, 0.5, 1e-3
"""Cells of the Gaussian, the power that lets small values show, and what keeps the equations solvable.

Features, smoothing and power were chosen on validation patients; brightness itself and its slopes made maps worse.
"""


@dataclass(frozen=True)
class WordsAtlas:
    """Maps of all nodes, and what words say of each.

    maps: [32, G, G], each with maximum 1 (or all 0). located: [32] bool, nodes with maps of their own. films: [32], how many
    films have a finding placed there.
    """

    maps: torch.Tensor
    located: torch.Tensor
    films: torch.Tensor


def local_features(images: np.ndarray) -> torch.Tensor:
    """Three local features of films [n, S, S] uint8, averaged to [n, 3, G, G].

    With x the film by its own mean and deviation and m_k its mean over k x k pixels: m_3 - m_15 (denser than around), and how
    much x - m_3 and m_3 - m_9 vary (fine and coarse texture). Pixels are those of a film of 96 and grow with S.
    """
    films = torch.from_numpy(np.ascontiguousarray(images)).float()[:, None]
    deviation, mean = torch.std_mean(films, dim=(1, 2, 3), keepdim=True)
    films = (films - mean) / deviation.clamp(min=1e-6)

    def average(picture: torch.Tensor, pixels: int) -> torch.Tensor:
        half = round(pixels * images.shape[-1] / 96) // 2
        return F.avg_pool2d(F.pad(picture, [half] * 4, mode="replicate"), 2 * half + 1, 1)

    near = average(films, 3)
    denser = near - average(films, 15)
    fine, coarse = average((films - near).abs(), 5), average((near - average(films, 9)).abs(), 5)
    return F.adaptive_avg_pool2d(torch.cat([denser, fine, coarse], dim=1), GRID)


def words_atlas(studies, progress: bool = True) -> WordsAtlas:
    """The atlas of training studies with `.reports` and `.images(rows)`.

    Raises:
        ValueError: no report places a finding in enough films.
    """
    placed, unplaced, uncertain = placed_findings(studies.reports)
    pairs = np.argwhere(placed.sum(0) >= FEWEST)
    if not len(pairs):
        raise ValueError(
            f"of {len(placed)} reports too few say where a finding lies (at least {FEWEST} films per anatomy and finding): "
            "the atlas of words needs more training studies"
        )
    design = [placed[:, pairs[:, 0], pairs[:, 1]], unplaced, uncertain, np.ones((len(placed), 1), bool)]
    squares = _squares(studies, torch.from_numpy(np.hstack(design)).double(), len(pairs), progress)
    own = torch.zeros(NODES, GRID, GRID)
    own.index_add_(0, torch.from_numpy(pairs[:, 0]), squares.sum(1))
    return _filled(_contrast(own.sqrt()), torch.from_numpy(placed.any(2).sum(0)), np.unique(pairs[:, 0]))


def _squares(studies, design: torch.Tensor, wanted: int, progress: bool) -> torch.Tensor:
    """t^2 [wanted, 6, G, G] of the first columns of the design [n, K], by ordinary least squares in one pass."""
    count, columns = design.shape
    products = torch.zeros(columns, FEATURES * GRID**2, dtype=torch.float64)
    total = torch.zeros(FEATURES * GRID**2, dtype=torch.float64)
    for start in tqdm(range(0, count, CHUNK), desc="atlas of words", disable=not progress, mininterval=2, leave=False):
        rows = np.arange(start, min(start + CHUNK, count))
        values = local_features(studies.images(rows)).flatten(1)
        products += (design[rows].float().T @ values).double()
        total += (values**2).double().sum(0)
    inverse = torch.linalg.inv(design.T @ design + RIDGE * torch.eye(columns, dtype=torch.float64))
    slopes = inverse @ products
    variance = (total - (slopes * products).sum(0)).clamp(min=1e-9) / max(1, count - columns)
    squares = slopes[:wanted] ** 2 / (variance * inverse.diagonal()[:wanted, None])
    return squares.float().view(wanted, FEATURES, GRID, GRID)


def _contrast(maps: torch.Tensor) -> torch.Tensor:
    """Smoothed, above the median, to the power, with maximum 1; a map of zeros stays one."""
    maps = smooth(maps[:, None], SMOOTHING)[:, 0]
    maps = (maps - maps.flatten(1).median(1).values[:, None, None]).clamp(min=0) ** POWER
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-9)


def _filled(own: torch.Tensor, films: torch.Tensor, named: Sequence[int]) -> WordsAtlas:
    """Maps of all nodes from those whose own sentences place findings.

    A leaf that has none takes its parent's. A parent is the mean of its children, unless its own sentences place more findings
    than those of all nodes inside it ("the heart is enlarged"): then words know it as a whole.
    """
    graph = default_graph()
    located = torch.zeros(NODES, dtype=torch.bool)
    located[torch.as_tensor(named)] = True
    maps: dict[str, torch.Tensor] = {}
    for leaf in graph.leaves:
        node: str | None = leaf
        while node is not None and not located[graph.index(node)]:
            node = graph.parent(node)
        maps[leaf] = own[graph.index(node)] if node else torch.zeros(GRID, GRID)

    def below(node: str) -> int:
        return sum(int(films[graph.index(child)]) + below(child) for child in graph.children(node))

    for parent in reversed(graph.parents):
        number = graph.index(parent)
        whole = located[number] and films[number] > below(parent)
        maps[parent] = own[number] if whole else torch.stack([maps[child] for child in graph.children(parent)]).mean(0)
    return WordsAtlas(torch.stack([maps[node] for node in graph.nodes]), located, films)
