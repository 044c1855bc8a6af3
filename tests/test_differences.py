"""The switches between the paper's figure and the release: all are there, each changes what its panel shows, one at a time."""

import inspect

import numpy as np
import pytest

from ssacl_lib.model import SSACLConfig
from ssacl_lib.model.config import DIFFERENCES
from ssacl_lib.notebook.differences import OURS, difference_panels, differences_table, differences_words, marks
from ssacl_lib.plots.pretraining import difference_panels as draw
from ssacl_lib.settings import ModelSettings


@pytest.fixture(scope="module")
def panels():
    return difference_panels()


def test_every_switch_is_a_setting_with_a_default_and_a_row():
    table = differences_table()
    assert [name.strip("`") for name in table["switch"]] == list(DIFFERENCES)
    for name, (release, meanings) in DIFFERENCES.items():
        assert name in inspect.signature(SSACLConfig).parameters and name in ModelSettings.model_fields
        assert len(meanings) == 2 and release in meanings and getattr(SSACLConfig(), name) in meanings
        assert getattr(SSACLConfig.release(), name) == release
        assert set(marks()[name]) == {str(value) for value in meanings}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_two_values_of_a_switch_look_different(name, panels):
    one, other = (np.nan_to_num(panel.values.astype(float), nan=-1) for panel in panels[name].values())
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_what_the_panels_say(panels):
    query, cls, patch = slice(0, 3), 3, slice(4, 8)
    for value, seen in (("paper", True), ("release", False)):
        sees = panels["attention"][value].values
        assert not sees[patch, query].any() and sees[patch, cls].all() == sees[patch, cls].any() == seen
    assert panels["hierarchy"]["release"].values.sum(1).tolist() == [
        4,
        2,
        7,
        7,
        6,
        2,
        3,
    ]  # children of the seven parents
    assert panels["hierarchy"]["recursive"].values.sum(1).tolist() == [25, 14, 7, 7, 7, 2, 3]  # leaves below them
    assert np.array_equal(panels["consistency_gradient"]["queries"].values, np.eye(4, dtype=bool))
    training, generation = panels["language_positions"]["continued"].values
    assert np.array_equal(training, generation, equal_nan=True)
    training, generation = panels["language_positions"]["release"].values
    assert (training - generation)[~np.isnan(training)].min() > 0
    closed = panels["prefix"]["prompts and patches"].values[:, :26]
    assert closed.sum(1).tolist() == [1, 1, 1, 1]  # the abdomen's leaf; CLS stays closed


def test_the_figure_has_two_panels_per_switch_and_fits_a_page(panels):
    figure = draw(panels, marks())
    assert len(figure.axes) == 2 * len(DIFFERENCES) and figure.get_figheight() * 25.4 < 180


def test_it_is_told_whose_the_other_value_is():
    table = differences_table().set_index("switch")["whose"]
    assert {name.strip("`") for name in table.index[table == "ours"]} == set(OURS) and set(OURS) < set(DIFFERENCES)
    assert f"in {len(DIFFERENCES) - len(OURS)} the paper's figure" in differences_words()
