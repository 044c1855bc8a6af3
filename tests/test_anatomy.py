"""The graph's facts, restoration against plain recursion, and the pathology-anatomy mapping."""

import pytest
import torch

from ssacl_lib import anatomy
from ssacl_lib.anatomy import ANATOMIES, anatomies_for, default_graph, findings_for, leaf_mask, leaves_of
from ssacl_lib.model.start import load_network
from ssacl_lib.observations import OBSERVATIONS

GRAPH = default_graph()

LEAVES = """
right upper lung zone, right mid lung zone, right lower lung zone, right hilar structures, right apical zone,
right costophrenic angle, right hemidiaphragm, left upper lung zone, left mid lung zone, left lower lung zone,
left hilar structures, left apical zone, left costophrenic angle, left hemidiaphragm, trachea, upper mediastinum,
aortic arch, superior vena cava, right atrium, cavoatrial junction, carina, spine, right clavicle, left clavicle,
abdomen
"""


def test_leaves_are_in_the_order_of_the_authors_weights():
    assert GRAPH.leaves == tuple(name.strip() for name in LEAVES.replace("\n", " ").split(","))


def test_the_tree_has_32_nodes_depth_first_and_7_parents():
    assert len(GRAPH.nodes) == len(set(GRAPH.nodes)) == 32
    assert GRAPH.parents == (
        *("chest", "lungs", "right lung", "left lung", "mediastinum", "cardiac silhouette", "skeletal structures"),
    )

    def walk(name):
        return [name, *(below for child in GRAPH.children(name) for below in walk(child))]

    assert walk("chest") == list(GRAPH.nodes)
    assert GRAPH.children("chest") == ANATOMIES
    assert GRAPH.children("mediastinum")[-2:] == ("cardiac silhouette", "carina")
    assert GRAPH.parent("chest") is None
    assert all(name in GRAPH.children(GRAPH.parent(name)) for name in GRAPH.nodes[1:])
    assert max(map(GRAPH.level, GRAPH.nodes)) == 3  # four levels with the root


def test_restoration_is_the_mean_of_the_children_from_the_leaves_up():
    queries = torch.randn(2, 25, 5, dtype=torch.float64, requires_grad=True)
    restored = GRAPH.restore(queries)

    def query(name):
        children = GRAPH.children(name)
        return sum(map(query, children)) / len(children) if children else queries[:, GRAPH.leaves.index(name)]

    assert restored.shape == (2, 32, 5) and restored.dtype == torch.float64
    torch.testing.assert_close(restored, torch.stack([query(name) for name in GRAPH.nodes], 1), rtol=0, atol=1e-14)
    (gradient,) = torch.autograd.grad(restored[:, GRAPH.index("chest")].sum(), queries)
    abdomen, apex = GRAPH.leaves.index("abdomen"), GRAPH.leaves.index("left apical zone")
    assert gradient[0, abdomen, 0].item() == pytest.approx(1 / 4)  # one of four children of the chest
    assert gradient[0, apex, 0].item() == pytest.approx(1 / 4 / 2 / 7)


def test_the_mapping_is_the_figure_arrow_by_arrow():
    arrows = {(finding, anatomy) for anatomy in ANATOMIES for finding in findings_for(anatomy)}
    assert len(arrows) == 9 + 4 + 2 + 4
    assert {finding for finding, _ in arrows} == set(OBSERVATIONS) - {"No Finding"}
    assert anatomies_for(["Edema"]) == {"lungs", "mediastinum"}
    assert anatomies_for(["Pneumothorax", "Cardiomegaly"]) == {"lungs", "abdomen", "mediastinum"}
    assert anatomies_for({"Support Devices"}) == {"mediastinum", "skeletal structures", "abdomen"}
    assert anatomies_for([]) == anatomies_for(["No Finding"]) == set()


def test_a_selected_anatomy_stands_for_all_of_its_leaves():
    assert [len(leaves_of(name)) for name in ("chest", *ANATOMIES)] == [25, 14, 7, 3, 1]
    assert leaves_of("carina") == ("carina",)
    opened = leaf_mask(["mediastinum", "abdomen"])
    assert tuple(leaf for leaf, is_open in zip(GRAPH.leaves, opened, strict=True) if is_open) == (
        *leaves_of("mediastinum"),
        "abdomen",
    )
    assert not leaf_mask([]).any()


def test_wordings_name_one_node_only_and_keep_the_side():
    owners = {}
    for node in GRAPH.nodes:
        for wording in (node, *GRAPH.synonyms[node]):
            assert owners.setdefault(wording, node) == node
    for node, wordings in GRAPH.synonyms.items():
        side = node.split()[0]
        if side in ("right", "left"):
            assert wordings and all(wording.startswith(side) for wording in wordings)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"SIDE lnug": ["SIDE lung field"]}, "synonyms of 'left lnug', which is no node of its tree"),
        ({"trachea": ["windpipe", "svc"]}, "'svc' is a name of 'trachea' and of 'superior vena cava'"),
    ],
)
def test_synonyms_of_no_node_or_of_two_are_refused_and_no_checkpoint_is_blamed(monkeypatch, more, message):
    data = anatomy._data()
    monkeypatch.setattr(anatomy, "_data", lambda: {**data, "synonyms": {**more, **data["synonyms"], **more}})
    monkeypatch.setattr("ssacl_lib.model.start.default_graph", anatomy.default_graph.__wrapped__)
    with pytest.raises(ValueError, match=rf"^anatomy\.yaml: {message}"):
        load_network()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GRAPH.restore(torch.zeros(24, 3)), r"\(24, 3\), expected \[..., 25, D\]"),
        (lambda: GRAPH.children("left atrium"), "no anatomy 'left atrium'"),
        (lambda: anatomies_for(["edema"]), r"unknown findings \['edema'\]"),
        (lambda: findings_for("carina"), "no finding maps to 'carina'"),
    ],
)
def test_bad_input_says_what_was_found(call, message):
    with pytest.raises(ValueError, match=message):
        call()
