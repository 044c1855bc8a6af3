"""The hierarchical anatomy graph: 32 regions of the chest film, query restoration, and which finding lies where.

Names, tree, wordings and mapping are data (`anatomy.yaml`). An edge means spatial inclusion: a child lies inside its
parent. Patient's right is on the image's left.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
import yaml

from . import paths

ANATOMIES = ("lungs", "mediastinum", "skeletal structures", "abdomen")
"""The children of the chest: what a finding can select. A selected anatomy stands for all of its leaves."""

NO_FINDING = "No Finding"


@dataclass(frozen=True, eq=False)
class AnatomyGraph:
    """The tree of regions.

    nodes: the 32 names, depth-first, a parent before its children.
    edges: (parent, child) pairs, 31 of them.
    synonyms: node -> what radiologists call it beside its name (possibly nothing).
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    synonyms: dict[str, tuple[str, ...]]

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The 25 nodes without children, in the order of `nodes`; the authors' weights depend on it."""
        return tuple(node for node in self.nodes if not self._children[node])

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """The 7 nodes with children, in the order of `nodes`."""
        return tuple(node for node in self.nodes if self._children[node])

    @cached_property
    def described(self) -> tuple[str, ...]:
        """One line per node, in the order of `nodes`: "chest", "lungs in chest", ...; what a checkpoint knows of its graph."""
        return tuple(f"{node} in {self._parent[node]}" if node in self._parent else node for node in self.nodes)

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        return {node: tuple(child for parent, child in self.edges if parent == node) for node in self.nodes}

    @cached_property
    def _parent(self) -> dict[str, str]:
        return {child: parent for parent, child in self.edges}

    @cached_property
    def _index(self) -> dict[str, int]:
        return {node: i for i, node in enumerate(self.nodes)}

    def index(self, name: str) -> int:
        """Position of a node in `nodes`.

        Raises:
            ValueError: no node of that name.
        """
        if name not in self._index:
            raise ValueError(f"no anatomy {name!r} in the graph; it has {', '.join(self.nodes)}")
        return self._index[name]

    def children(self, name: str) -> tuple[str, ...]:
        """Nodes directly inside `name`; empty for a leaf."""
        return self._children[self.nodes[self.index(name)]]

    def parent(self, name: str) -> str | None:
        """The node that directly holds `name`; None for the chest."""
        return self._parent.get(self.nodes[self.index(name)])

    def level(self, name: str) -> int:
        """Number of edges from the chest: 0 for the chest, 1 for the lungs, 3 for "right apical zone"."""
        parent = self.parent(name)
        return 0 if parent is None else 1 + self.level(parent)

    def leaves_below(self, name: str) -> tuple[str, ...]:
        """The leaves inside `name`, in leaf order; a leaf gives itself."""
        children = self.children(name)
        return tuple(leaf for child in children for leaf in self.leaves_below(child)) if children else (name,)

    def restore(self, leaf_queries: torch.Tensor) -> torch.Tensor:
        """Graph query restoration (a): a parent's query is the mean of its children's queries, from the leaves up.

        q_p = (1 / |C(p)|) * sum over v in C(p) of q_v

        Args:
            leaf_queries: [..., 25, D], in the order of `leaves`.

        Returns:
            [..., 32, D], in the order of `nodes`; the leaves as they came.

        Raises:
            ValueError: the second last axis is not 25 long.
        """
        leaf_queries = torch.as_tensor(leaf_queries)
        if leaf_queries.ndim < 2 or leaf_queries.shape[-2] != len(self.leaves):
            found = tuple(leaf_queries.shape)
            raise ValueError(f"leaf_queries has shape {found}, expected [..., {len(self.leaves)}, D]: one row per leaf")
        queries = dict(zip(self.leaves, leaf_queries.unbind(-2), strict=True))
        for parent in reversed(self.parents):
            # q_p = (1 / |C(p)|) * sum over v in C(p) of q_v
            queries[parent] = torch.stack([queries[child] for child in self.children(parent)]).mean(0)
        return torch.stack([queries[node] for node in self.nodes], dim=-2)


@lru_cache
def _data() -> dict:
    return yaml.safe_load((paths.PACKAGE / "anatomy.yaml").read_text(encoding="utf-8"))


@lru_cache
def default_graph() -> AnatomyGraph:
    """The graph of the paper: 32 nodes, 25 leaves, 7 parents."""
    nodes, edges = [], []

    def walk(tree: dict, parent: str | None) -> None:
        for name, below in tree.items():
            nodes.append(name)
            if parent is not None:
                edges.append((parent, name))
            walk(below or {}, name)

    walk(_data()["tree"], None)
    wordings = {}
    for name, words in _data()["synonyms"].items():
        for side in ("right", "left") if "SIDE" in name else ("",):
            wordings[name.replace("SIDE", side)] = tuple(word.replace("SIDE", side) for word in words)
    if lost := wordings.keys() - set(nodes):
        raise ValueError(
            f"anatomy.yaml: synonyms of {min(lost)!r}, which is no node of its tree; name it as the tree does"
        )
    owners: dict[str, str] = {}
    for node, words in wordings.items():
        for word in (node, *words):
            if (other := owners.setdefault(word, node)) != node:
                raise ValueError(
                    f"anatomy.yaml: {word!r} is a name of {other!r} and of {node!r}; a wording names one node"
                )
    return AnatomyGraph(tuple(nodes), tuple(edges), {node: wordings.get(node, ()) for node in nodes})


@lru_cache
def graph_index(which: str, device: torch.device | str = "cpu") -> torch.Tensor:
    """Numbers of the "leaves" [25] or "parents" [7] among the nodes, kept on the device: making them there would cost a copy."""
    graph = default_graph()
    return torch.tensor([graph.index(name) for name in getattr(graph, which)], device=device)


def leaves_of(anatomy: str) -> tuple[str, ...]:
    """The leaves inside a node, in leaf order: 14 for "lungs", 7 for "mediastinum"; a leaf gives itself."""
    return default_graph().leaves_below(anatomy)


def findings_for(anatomy: str) -> tuple[str, ...]:
    """The CheXpert findings that select one of the four ANATOMIES.

    Raises:
        ValueError: not one of the four.
    """
    if anatomy not in ANATOMIES:
        raise ValueError(f"no finding maps to {anatomy!r}; the mapping knows {', '.join(ANATOMIES)}")
    return tuple(_data()["pathologies"][anatomy])


def anatomies_for(findings: Iterable[str]) -> set[str]:
    """The anatomies that the given findings select (the pathology-anatomy mapping of the paper).

    Args:
        findings: CheXpert names (or one name); "No Finding" and an empty list select nothing.

    Returns:
        A subset of ANATOMIES.

    Raises:
        ValueError: a name outside the 14 observations.
    """
    findings = {findings} if isinstance(findings, str) else set(findings)
    known = {finding for anatomy in ANATOMIES for finding in findings_for(anatomy)} | {NO_FINDING}
    if findings - known:
        raise ValueError(f"unknown findings {sorted(findings - known)}; expected some of {', '.join(sorted(known))}")
    return {anatomy for anatomy in ANATOMIES if findings.intersection(findings_for(anatomy))}


def leaf_mask(anatomies: Iterable[str]) -> np.ndarray:
    """Which of the 25 leaves the given anatomies open.

    Args:
        anatomies: names of nodes (or one name), usually some of ANATOMIES; none opens nothing.

    Returns:
        [25] bool, in leaf order.
    """
    anatomies = (anatomies,) if isinstance(anatomies, str) else anatomies
    opened = {leaf for anatomy in anatomies for leaf in leaves_of(anatomy)}
    return np.array([leaf in opened for leaf in default_graph().leaves])
