"""Maps that see no film: from the words of a phrase, and from the masks of other patients."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_evaluation import STUDIES

from ssacl_lib.anatomy import default_graph
from ssacl_lib.baselines.mean_masks import MeanMasks
from ssacl_lib.baselines.text_template import named_place, phrase_template, text_templates
from ssacl_lib.evaluation import comparison_others
from ssacl_lib.evaluation.targets import collect_targets
from ssacl_lib.text.sides import swap_side


@pytest.mark.parametrize(
    ("phrase", "place"),
    [
        ("Small left-sided effusion", ("costophrenic", "left")),
        ("pleural effusion at the right base", ("lower", "right")),
        ("bilateral pleural fluid", ("costophrenic", "right", "left")),
        ("left apicolateral pneumothorax", ("apical", "left")),
        ("right pneumothorax measuring 28 mm", ("upper", "right")),
        ("dense area of consolidation in the right upper lobe", ("upper", "right")),
        ("patchy opacification of the lingula", ("mid", "right", "left")),
        ("bibasilar opacities", ("lower", "right", "left")),
        ("moderately enlarged cardiac silhouette", ("cardiac silhouette",)),
        ("findings of mild congestive heart failure", ("lung", "right", "left")),
        ("mild bilateral perihilar edema", ("hilar", "right", "left")),
        ("multifocal infectious process", ("lung", "right", "left")),
    ],
)
def test_a_phrase_is_put_where_its_words_say_and_a_named_place_comes_first(phrase, place):
    assert named_place(phrase) == place


def test_a_phrase_with_the_side_exchanged_has_the_mirrored_map():
    for phrase in (
        "small left effusion",
        "right upper lobe consolidation",
        "left pneumothorax",
        "edema of the right lung",
    ):
        own = phrase_template(phrase, 40, 40)
        assert np.allclose(phrase_template(swap_side(phrase), 40, 40), own[:, ::-1])
        assert own.shape == (40, 40) and np.isfinite(own).all() and own.max() > 0.6
        near, far = (own[:, 20:], own[:, :20]) if "left" in phrase else (own[:, :20], own[:, 20:])
        assert near.sum() > 3 * far.sum(), "the patient's left is on the picture's right"


def test_templates_keep_to_their_side():
    maps = dict(zip(default_graph().nodes, text_templates(40, 40), strict=True))
    assert len(maps) == 32 and all(m.max() > 0.6 for m in maps.values())
    for name, template in maps.items():
        if name.startswith("right ") and name != "right atrium":
            assert template[:, :20].max() > 4 * template[:, 30:].max()
            assert np.allclose(template[:, ::-1], maps[name.replace("right", "left")])


def test_mean_masks_are_those_of_the_same_finding_and_words():
    def target(finding, phrase, row):
        return SimpleNamespace(finding=finding, phrase=phrase, mask=np.arange(4)[:, None].repeat(4, 1) == row)

    atlas = MeanMasks([
        target("Edema", "edema of the left lung", 0),
        target("Edema", "left-sided edema", 1),
        target("Edema", "edema", 2),
        target("Lung Opacity", "opacity of the left lung", 3),
    ])  # fmt: skip
    assert atlas("Edema", "mild left edema")[:, 0].tolist() == [0.5, 0.5, 0, 0]
    assert atlas("Edema", "edema at the right base")[:, 0] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0]), (
        "never named there"
    )
    with pytest.raises(ValueError, match="tells where Pneumonia lies"):
        atlas("Pneumonia", "pneumonia")
    with pytest.raises(ValueError, match="no phrase of the training studies has a mask"):
        MeanMasks([])


def test_both_stand_beside_both_kinds_of_map(monkeypatch):
    monkeypatch.setattr(comparison_others, "load_evaluation", lambda *_, **__: STUDIES)
    run = SimpleNamespace(settings=SimpleNamespace(seed=0))
    targets = collect_targets(STUDIES, 0)
    template = comparison_others.template_phrases(run, STUDIES)
    assert template["control"].value_counts().to_dict() == {
        control: 2 * sum(control in target.texts for target in targets) for control in targets[0].texts
    }
    for frame in (template, comparison_others.mean_mask_phrases(run, STUDIES)):
        own = frame[frame["control"] == "own"]
        assert own["map"].value_counts().to_dict() == {"masked": len(targets), "similarity": len(targets)}
    assert (own["pointing"] == 1).all(), "every patient's mask lies where the others' do"
