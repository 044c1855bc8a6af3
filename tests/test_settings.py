"""Profiles are data: the same keys everywhere, unknown keys and wrong types refused."""

import pytest
import yaml
from pydantic import BaseModel

from ssacl_lib import paths
from ssacl_lib.model.config import DIFFERENCES
from ssacl_lib.record.manifest import portable_settings, read_json
from ssacl_lib.record.spread import read_runs
from ssacl_lib.settings import (
    OFF,
    Settings,
    flat,
    load_settings,
    profile_names,
    settings_of,
    validate_settings,
    with_off,
    without_off,
)
from ssacl_lib.training.state import decides_training


def keys(values: dict, above: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        found |= keys(value, f"{above}{key}.") if isinstance(value, dict) else {above + key}
    return found


def optional(section: type[BaseModel], above: str = "") -> set[str]:
    """Dotted names of the settings with a default: only a profile that wants another value names them."""
    found = set()
    for name, field in section.model_fields.items():
        if not field.is_required():
            found.add(above + name)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= optional(field.annotation, f"{above}{name}.")
    return found


def raw(name: str) -> dict:
    return yaml.safe_load((paths.PROFILES / f"{name}.yaml").read_text(encoding="utf-8"))


def test_the_profiles_are_there():
    assert profile_names() == ["cpu", "gpu", "paper", "release", "smoke"]


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu", "paper", "release"])
def test_a_profile_is_valid_complete_and_opens_with_its_command(name):
    text = (paths.PROFILES / f"{name}.yaml").read_text(encoding="utf-8")
    assert load_settings(name).profile == name
    assert keys(raw(name)) - optional(Settings) == keys(raw("smoke")) - optional(Settings)
    assert text.startswith("#") and f"--profile {name}" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("override", "culprit"),
    [
        ({"training.imges": 3}, "training.imges"),
        ({"trainning.images": 3}, "trainning"),
        ({"training.images": "many"}, "training.images"),
        ({"training.images": 2.5}, "training.images"),
        ({"training.mask_ratio": 1.5}, "training.mask_ratio"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"model.stem": "resnet"}, "model.stem"),
    ],
)
def test_a_wrong_setting_is_named(override, culprit):
    with pytest.raises(ValueError, match=culprit):
        load_settings("smoke", **override)


def test_an_unknown_profile_lists_those_there_are():
    with pytest.raises(ValueError, match="cpu, gpu, paper, release, smoke"):
        load_settings("laptop")


def test_a_section_or_key_too_many_is_refused(tmp_path, monkeypatch):
    values = raw("smoke") | {"colour": "blue"}
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    monkeypatch.setattr(paths, "PROFILES", tmp_path)
    with pytest.raises(ValueError, match="colour"):
        load_settings("odd")


def test_settings_are_frozen():
    settings = load_settings("smoke")
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3
    with pytest.raises(ValueError, match="frozen"):
        settings.training.images = 3


def test_names_of_the_folders():
    assert load_settings("smoke").figures == paths.FIGURES / "smoke"
    assert load_settings("smoke", dataset="folder").figures == paths.FIGURES / "smoke-folder"
    assert load_settings("smoke", seed=2).runs != load_settings("smoke").runs
    assert load_settings("smoke", out_dir="x").runs.is_relative_to(load_settings("smoke", out_dir="x").figures)
    assert Settings.model_fields.keys() == raw("smoke").keys()


def test_the_profile_release_has_every_switch_of_the_release():
    ours, theirs = load_settings("paper"), load_settings("release")
    for name, (value, _) in DIFFERENCES.items():
        assert getattr(theirs.model, name) == value
    sizes = {name: value for name, value in ours.model.model_dump().items() if name not in DIFFERENCES}
    assert sizes == {name: value for name, value in theirs.model.model_dump().items() if name not in DIFFERENCES}
    assert theirs.training.flip and theirs.changed(**{"training.flip": False}).training == ours.training


def test_a_changed_setting_is_validated_and_leaves_the_others():
    before = load_settings("smoke")
    after = before.changed(seed=3, **{"training.loss_weights.report_labels": 1.0, "model.encoder_weights": "a"})
    assert (after.seed, after.training.loss_weights.report_labels, after.model.encoder_weights) == (3, 1.0, "a")
    assert (
        after.changed(seed=0, **{"training.loss_weights.report_labels": 0.0, "model.encoder_weights": None}) == before
    )
    for name, value in (("training.imges", 3), ("training.images", 2.5), ("nothing.at_all", 1)):
        with pytest.raises(ValueError, match=name.split(".")[0]):
            before.changed(**{name: value})


def test_a_setting_that_was_added_later_makes_nothing_old():
    now = load_settings("cpu", **OFF)
    older = without_off(portable_settings(now))
    assert not OFF.keys() & flat(older).keys()
    assert validate_settings(older) == now == settings_of(older)
    assert not OFF.keys() & flat(older).keys(), "what was given stays as it is"
    assert len(read_runs(now)), "the committed runs were made before"


@pytest.mark.parametrize("folder", ["start-cpu", "release"])
def test_manifests_of_any_age_are_read(folder):
    told = read_json(paths.CHECKPOINTS / folder / "manifest.json")["settings"]
    read = flat(settings_of(told).model_dump(mode="json"))
    assert flat(told).items() <= read.items() and {**OFF, **flat(told)}.items() <= read.items()
    with pytest.raises(ValueError, match="colour"):
        settings_of({**told, "colour": "blue"})


@pytest.mark.parametrize("name", OFF)
def test_a_later_setting_stands_in_the_keys_where_it_is_not_off(name):
    for profile in profile_names():
        settings = load_settings(profile)
        off = settings.changed(**{name: OFF[name]})
        assert name not in off.deciding() and name not in decides_training(off)
    on = off.changed(**{name: OFF[name] + 1})
    assert on.deciding() == {**off.deciding(), name: OFF[name] + 1}
    assert flat(without_off(portable_settings(on)))[name] == OFF[name] + 1
    assert without_off({"new": {"only": 1}}) == {"new": {"only": 1}}


def test_a_section_of_later_settings_alone_is_left_out_and_filled_in(monkeypatch):
    monkeypatch.setitem(OFF, "later.one", 1)
    monkeypatch.setitem(OFF, "later.two.three", None)
    values = {"seed": 0, "empty": {}, "later": {"one": 1, "two": {"three": None}}}
    assert without_off(values) == {"seed": 0, "empty": {}}
    assert without_off({"later": {"one": 2, "two": {"three": None}}}) == {"later": {"one": 2}}
    filled = with_off({"seed": 0, "later": {"one": 5}})
    assert filled["later"] == {"one": 5, "two": {"three": None}} and filled["seed"] == 0
