"""SS-ACL with its anatomy taken away or made wrong: if nothing changes, the anatomy did nothing.

OwnNames         a parent's query is made of its own name, not restored from its children
FlatGraph        every parent is the mean of all leaves, and is pictured from all leaves: no hierarchy is left
ShuffledNames    the names of the leaves are exchanged among the places of the tree: a wrong anatomy
NonsenseNames    made-up words in place of the leaves' names: no word that a report holds
SeenQueries      patches and CLS see the queries: the attention mask of the paper opened
`ShuffledPairs`  training studies whose reports are those of other films: what is left is chance
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from ..anatomy import default_graph
from ..model.attention import scaled_attention
from ..model.config import SSACLConfig
from ..model.decoder import VisualDecoder
from ..model.encoder import Block, Tokens, VisionEncoder
from ..model.ssacl import SSACLModel

NAMES_SEED = 53
"""Of the exchanged names; the same in every run."""

SYLLABLES = ("ba", "ko", "mi", "ru", "te", "lu", "fa", "ne", "zo", "pi")


def shuffled_order() -> np.ndarray:
    """Which leaf's name stands at each of the 25 places; no place keeps its own."""
    count = len(default_graph().leaves)
    order = np.random.default_rng(NAMES_SEED).permutation(count)
    shifted = np.empty(count, int)
    shifted[order] = np.roll(order, 1)  # one long cycle
    return shifted


def shuffled_names() -> list[str]:
    """The 25 names in that order."""
    return [default_graph().leaves[k] for k in shuffled_order()]


def nonsense_names() -> list[str]:
    """25 different pairs of made-up words."""
    count = len(SYLLABLES)
    first = [SYLLABLES[k % count] + SYLLABLES[(3 * k + k // count) % count] for k in range(len(default_graph().leaves))]
    return [f"{word} {SYLLABLES[(7 * k + 1) % count]}{SYLLABLES[k // count]}x" for k, word in enumerate(first)]


class _Named(SSACLModel):
    """Queries from other texts than the leaves' names."""

    texts: ClassVar[Callable[[], list[str]]]
    """What is read in place of the 25 names."""

    def prompt_queries(self, name_ids: torch.Tensor, name_mask: torch.Tensor) -> torch.Tensor:
        """Queries [32, D] of all nodes; what the batch brings is not read."""
        ids, mask = self.processor.text(self.texts(), self.config.cls_before_names)
        return super().prompt_queries(ids.to(self.device), mask.to(self.device))


class NonsenseNames(_Named):
    """Made-up words in place of the names."""

    texts = staticmethod(nonsense_names)


class ShuffledNames(_Named):
    """Each name stands at another place of the tree; a leaf's attention is that of the place where its name stands."""

    texts = staticmethod(shuffled_names)

    def leaf_attention(self, pixels: torch.Tensor) -> torch.Tensor:
        """Attention [B, 25, N] in the order of the leaves' names."""
        return super().leaf_attention(pixels)[:, np.argsort(shuffled_order())]


class OwnNames(SSACLModel):
    """Parents by their own names: no query is restored."""

    def prompt_queries(self, name_ids: torch.Tensor, name_mask: torch.Tensor) -> torch.Tensor:
        """Queries [32, D] of the names of all nodes; what the batch brings is not read."""
        ids, mask = self.processor.text(list(default_graph().nodes), self.config.cls_before_names)
        return self.name_to_query(self.text(ids.to(self.device), mask.to(self.device)))


class FlatDecoder(VisualDecoder):
    """Pictures every parent from all leaves."""

    def restored_parents(self, nodes: torch.Tensor) -> torch.Tensor:
        """Dec[mean of all leaves, all leaves] for each of the 7 parents: nodes [B, 32, D] -> [B, 7, pixels]."""
        graph = default_graph()
        leaves = nodes[:, [graph.index(leaf) for leaf in graph.leaves]]
        picture = self.read_first(torch.cat([leaves.mean(1, keepdim=True), leaves], dim=1))
        return picture[:, None].expand(-1, len(graph.parents), -1)


class FlatGraph(SSACLModel):
    """No hierarchy: all parents are alike."""

    def __init__(self, config: SSACLConfig):
        super().__init__(config)
        self.decoder = FlatDecoder(config)
        self.post_init()

    def prompt_queries(self, name_ids: torch.Tensor, name_mask: torch.Tensor) -> torch.Tensor:
        """Queries [32, D]: leaves from their names, every parent their mean."""
        graph = default_graph()
        leaves = self.name_to_query(self.text(name_ids, name_mask))
        places = [graph.leaves.index(node) if node in graph.leaves else len(graph.leaves) for node in graph.nodes]
        return torch.cat([leaves, leaves.mean(0, keepdim=True)])[places]


class SeenBlock(Block):
    """A block in which patches and CLS see the queries, too."""

    def step(self, tokens, queries, targets, has_cls: bool, queries_only: bool = False) -> tuple:
        """As in `Block`, and the queries are among the keys of the tokens."""
        if queries is None:
            return super().step(tokens, queries, targets, has_cls, queries_only)
        query, key, value = self.split(tokens)
        _, seen_key, seen_value = self.split(queries.expand(len(tokens), -1, -1))
        patches = slice(1 if has_cls else 0, None)
        after, weights = self.look(queries, key[:, :, patches], value[:, :, patches])
        if targets is not None:
            with torch.no_grad():
                targets, _ = self.look(targets, key[:, :, patches], value[:, :, patches])
        finished = None
        if not queries_only:
            keys, values = torch.cat([key, seen_key], dim=2), torch.cat([value, seen_value], dim=2)
            finished = self.finish(tokens, scaled_attention(query, keys, values))
        return finished, after, weights, targets


class SeenEncoder(VisionEncoder):
    """An encoder that is never without queries, for its patches depend on them; `ask()` gives them where no caller does."""

    ask: Callable[[], torch.Tensor]

    def __init__(self, config: SSACLConfig):
        super().__init__(config)
        self.blocks = nn.ModuleList(SeenBlock(config.width, config.heads) for _ in range(config.depth))

    def forward(self, pixels, keep=None, queries=None, targets=None, queries_only: bool = False) -> Tokens:
        """As in `VisionEncoder`."""
        return super().forward(pixels, keep, self.ask() if queries is None else queries, targets, queries_only)


class SeenQueries(SSACLModel):
    """The paper's mask opened: what the queries have seen flows back into the patches."""

    def __init__(self, config: SSACLConfig):
        super().__init__(config)
        self.encoder = SeenEncoder(config)
        self.encoder.ask = self.default_queries
        self.post_init()


@dataclass
class ShuffledPairs:
    """Training studies with the reports (and what the labeler read in them) of other films.

    studies: training view. seed: of the exchange.
    """

    studies: object
    seed: int

    @cached_property
    def order(self) -> np.ndarray:
        """Whose report each film gets."""
        return np.random.default_rng([self.seed, 59]).permutation(len(self.studies))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.order)

    def images(self, rows: Sequence[int]) -> np.ndarray:
        """The films' own pixels, uint8 [k, S, S]."""
        return self.studies.images(rows)  # type: ignore[attr-defined]

    @cached_property
    def reports(self) -> list[str]:
        """The reports in their new order."""
        return [self.studies.reports[k] for k in self.order]  # type: ignore[attr-defined]

    @cached_property
    def labels(self) -> np.ndarray:
        """Their labels, int8 [n, 14]."""
        return np.asarray(self.studies.labels)[self.order]  # type: ignore[attr-defined]
