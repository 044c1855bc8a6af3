"""No result can be old: each setting and one function per layer is changed, and the right things, and only those, are stale."""

import ast
import json
import shutil
import typing
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from test_evaluation import SIZE, STUDIES, Model, see

from ssacl_lib import inference, paths
from ssacl_lib.datasets.phantom import PhantomSource
from ssacl_lib.evaluation import anatomy_grounding, faithfulness, films, findings, grounding, reports, results
from ssacl_lib.phantom.organs import maps_file
from ssacl_lib.record import kept, sources
from ssacl_lib.settings import CHANGES_NOTHING, Settings, flat, load_settings
from ssacl_lib.text.labeler import label_array
from ssacl_lib.training import checkpoints
from ssacl_lib.training.origin import origin_of
from ssacl_lib.training.state import AFTER_TRAINING, read_progress, write_tensors

SMOKE = load_settings("smoke")
NAMES = sorted(flat(SMOKE.model_dump(mode="json")))
NO_NUMBER = {"profile", "device", "data_root", "out_dir", "training.sharding", "training.compile", "training.recompute",
             "training.checkpoint_images", "training.checkpoint_seconds"}  # fmt: skip
NO_TRAINING = {"data.test_studies", "evaluation.bootstrap", "evaluation.control_studies", "evaluation.prompt_studies",
               "evaluation.cnn_images"}  # fmt: skip


# ---- settings
def other_value(name: str):
    """Another valid value of a setting, found from its type."""
    model, value = Settings, SMOKE
    for part in name.split("."):
        field, value = model.model_fields[part], getattr(value, part)
        model = field.annotation
    options = [option for option in typing.get_args(model) if isinstance(option, str)]
    if options:
        return next(option for option in options if option != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return 0.9 * value + 0.02 if isinstance(value, float) else "another"


def test_what_changes_nothing_is_listed_with_its_reason():
    assert set(CHANGES_NOTHING) == NO_NUMBER and set(AFTER_TRAINING) == NO_TRAINING
    assert all(len(reason) > 10 for reason in (CHANGES_NOTHING | AFTER_TRAINING).values())
    assert set(NAMES) >= NO_NUMBER | NO_TRAINING and len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_stands_in_the_keys_and_is_compared_on_resume(name, tmp_path):
    changed = SMOKE.changed(**{name: other_value(name)})
    assert flat(changed.model_dump(mode="json"))[name] != flat(SMOKE.model_dump(mode="json"))[name]
    keys = [results.results_key(STUDIES[:1], settings, grounding.__name__) for settings in (SMOKE, changed)]
    assert (keys[0] == keys[1]) == (name in NO_NUMBER)
    studies = SimpleNamespace(reports=["Normal."], labels=label_array(["Normal."]))
    path = tmp_path / "checkpoint.safetensors"
    meta = {"images": "8", "history": "[]", "meter": "{}", "origin": json.dumps(origin_of(SMOKE, studies))}
    write_tensors(path, {"x": torch.zeros(1)}, meta)
    assert read_progress(path, origin_of(SMOKE, studies)) == (8, [], {}, 0.0)
    if name in NO_NUMBER | NO_TRAINING:
        assert read_progress(path, origin_of(changed, studies)) == (8, [], {}, 0.0)
    else:
        with pytest.raises(ValueError, match=rf"begun with other settings, studies or code \({name}\)"):
            read_progress(path, origin_of(changed, studies))


def test_other_studies_and_another_start_are_noticed_on_resume(tmp_path):
    def origin(reports=("Normal.",), start=None) -> dict:
        studies = SimpleNamespace(reports=reports, labels=label_array(list(reports)))
        return origin_of(SMOKE.changed(**{"model.encoder_weights": start}), studies)

    def differs(one, two) -> set[str]:
        return {name for name in one if one[name] != two[name]}

    weights = tmp_path / "start" / "encoder.safetensors"
    write_tensors(weights.parent.mkdir() or weights, {"x": torch.zeros(1)})
    before = origin(start=str(weights.parent))
    assert differs(origin(), origin(["Clear lungs."])) == {"the studies"}
    write_tensors(weights, {"x": torch.ones(1)})
    assert differs(before, origin(start=str(weights.parent))) == {"the start"}


# ---- code
@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the library."""
    copy = tmp_path_factory.mktemp("copy") / paths.PACKAGE.name
    return shutil.copytree(paths.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def package(copied, monkeypatch):
    """The copy, which a test may edit; fingerprints are taken of it, and its files are put back afterwards."""
    whole = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    monkeypatch.setattr(paths, "PACKAGE", copied)
    yield copied
    for path, content in whole.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def edit(package, place: str) -> None:
    """Put a statement into a function, "text/tokenizer.py:detokenize"."""
    name, function = place.split(":")
    path = package / name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function]
    assert found, place
    found[0].body.append(ast.parse("raise NotImplementedError").body[0])
    path.write_text(ast.unparse(tree), encoding="utf-8")


RESULTS = {
    "findings": "findings this run", "phrases": "phrases this run", "prior": "phrases centre prior",
    "anatomies": "anatomies this run", "films": "films this run", "reports": "reports this run",
    "report table": "report table", "faithfulness": "faithfulness this run",
}  # fmt: skip


@pytest.fixture
def fingerprints(package, fake_phantom, monkeypatch, tmp_path):
    """What every kind of result is kept by, as the caches themselves ask for it."""
    settings = SMOKE.changed(**{"data.image_size": SIZE, "out_dir": str(tmp_path / "out")})
    run = SimpleNamespace(settings=settings, runs=settings.runs)
    region = {name: np.eye(SIZE, dtype=bool) for name in films.REGIONS}
    studies = [type(s)(**{**vars(s), "regions": region}) for s in STUDIES]
    phrases = pd.DataFrame([{"study": "s0", "finding": "x", "phrase": "y", "method": "this run", "map": "masked",
                             "control": "own", "evidence": np.zeros(36, np.float32)}])  # fmt: skip
    written = pd.DataFrame([["s0", "p0", "this run", "with prompts", "a", "b", STUDIES[0].labels, STUDIES[0].labels, None]],
                           columns=reports.COLUMNS)  # fmt: skip
    view = SimpleNamespace(reports=["Normal."], labels=label_array(["Normal."]))
    monkeypatch.setattr(reports, "load_training", lambda *_: view)
    keys: dict[str, dict] = {}

    def cached(folder, name, key, compute):
        keys[name] = key
        return pd.DataFrame()

    for module in (anatomy_grounding, faithfulness, films, findings, grounding, reports):
        monkeypatch.setattr(module, "cached", cached)

    def taken() -> dict[str, object]:
        models = {"this run": Model()}
        findings.evaluate_findings(run, models, studies)
        grounding.evaluate_phrases(run, models, studies)
        anatomy_grounding.evaluate_anatomies(run, models, studies)
        films.evaluate_films(run, models, studies, studies[:2])
        reports.evaluate_reports(run, models, studies)
        reports.report_table(written, settings)
        faithfulness.evaluate_faithfulness(run, models, phrases, studies)
        found: dict[str, object] = {name: sources.sha256_json(keys[key]) for name, key in RESULTS.items()}
        found["trained model"] = sources.sha256_json(checkpoints.made_from(SMOKE))
        found["begun training"] = sources.sha256_json(origin_of(SMOKE, view))
        found["studies"] = PhantomSource(SMOKE, "test").fingerprint
        found["organ maps"] = maps_file(None, 80).name
        return found

    return taken


TRAINED = {"trained model", "begun training"}
OF_MODELS = set(RESULTS)
LAYERS = {
    "tokenizer": ("text/tokenizer.py:detokenize", TRAINED | OF_MODELS),
    "encoder": ("model/masking.py:keep_lowest", TRAINED | OF_MODELS),
    "graph": ("anatomy.py:restore", {*TRAINED, *OF_MODELS, "studies", "organ maps"}),  # regions are named by the graph
    "labeler": ("text/labeler.py:label_array", {*TRAINED, *OF_MODELS, "studies"}),
    "simulator": ("phantom/xray.py:render", {*TRAINED, *OF_MODELS, "studies"}),
    "organ maps": ("phantom/organs.py:make_maps", {*TRAINED, *OF_MODELS, "studies", "organ maps"}),
    "batches": ("training/batches.py:augment", TRAINED),
    "losses": ("losses.py:image_reconstruction_loss", TRAINED | OF_MODELS),  # methods of the network call them
    "head": ("training/head.py:fit_head", {"trained model"}),
    "grounding metric": ("metrics/grounding.py:pointing_game", {"phrases", "prior", "anatomies", "films"}),
    "report metric": ("metrics/lexical.py:score_reports", {"reports", "report table"}),
    "map": ("model/maps.py:smooth", OF_MODELS - {"findings", "faithfulness"}),
    "plot": ("plots/grounding.py:controls", set()),
    "door": ("command/cli.py:main", set()),
    "manifest": ("record/manifest.py:write_json", set()),
}
"""Layer -> (a function of it, what is stale when it changes). Reports follow maps: one module writes them and their evidence."""


@pytest.mark.parametrize("layer", LAYERS)
def test_one_function_of_a_layer_makes_the_right_results_old(layer, package, fingerprints):
    place, expected = LAYERS[layer]
    before = fingerprints()
    assert before == fingerprints()
    edit(package, place)
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == expected


def test_a_comment_a_docstring_and_a_line_break_make_nothing_old(package):
    path = package / "text" / "tokenizer.py"
    before = sources.code_behind("text.tokenizer")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            node.body[0].value.value = "Other words."
    path.write_text("# a remark\n" + ast.unparse(tree), encoding="utf-8")
    assert sources.code_behind("text.tokenizer") == before
    path.write_text(path.read_text(encoding="utf-8").replace("def detokenize", "def detokenise", 1), encoding="utf-8")
    assert sources.code_behind("text.tokenizer") != before


def test_data_files_count(package):
    before = sources.code_behind("text.labeler")
    lexicon = package / "text" / "labeler.yaml"
    lexicon.write_text(lexicon.read_text(encoding="utf-8") + "\nmore: []\n", encoding="utf-8")
    assert sources.code_behind("text.labeler") != before


def test_an_unknown_module_is_an_error():
    for names in (("evaluation.gronding",), ("anatomy", "nowhere.at_all"), ()):
        with pytest.raises(ValueError, match="no module|needs the name"):
            sources.code_behind(*names)
    assert sources.code_behind("ssacl_lib.anatomy") == sources.code_behind("anatomy")


def test_no_file_but_the_bookkeeping_is_left_out():
    assert all((paths.PACKAGE / name).is_file() and reason for name, reason in sources.BOOKKEEPING.items())
    numbers = {
        path.relative_to(paths.PACKAGE).as_posix()
        for path in sources.files_behind({paths.PACKAGE / "inference" / "maps.py"})
    }
    assert {"text/tokenizer.py", "anatomy.py", "anatomy.yaml", "model/maps.py", "losses.py"} <= numbers
    metric = {
        path.relative_to(paths.PACKAGE).parts[0]
        for path in sources.files_behind({sources.module_file("evaluation.grounding")})
    }
    assert {"text", "metrics", "datasets", "model"} <= metric and not metric & {
        "training",
        "plots",
        "command",
        "notebook",
    }


def test_the_cache_is_not_served_after_an_edit(package, monkeypatch, tmp_path):
    """The real cache, twice: edited maps are drawn anew, an edited training is none of its business."""
    settings = SMOKE.changed(**{"data.image_size": SIZE, "out_dir": str(tmp_path / "out")})
    run, calls = SimpleNamespace(settings=settings, runs=settings.runs), []

    def phrase_maps(model, images, phrases, **_):
        calls.append(len(images))
        return [np.stack([see(image, text) for text in texts]) for image, texts in zip(images, phrases, strict=True)]

    monkeypatch.setattr(inference, "phrase_maps", phrase_maps)

    def passes() -> int:
        calls.clear()
        grounding.evaluate_phrases(run, {"this run": Model()}, STUDIES)
        return len(calls)

    assert passes() and not passes()
    edit(package, "training/batches.py:augment")
    assert not passes()
    edit(package, "text/tokenizer.py:detokenize")
    assert passes() and not passes()


# ---- folders
def test_a_folder_is_made_again_from_other_parts_and_goes_on_from_the_same(tmp_path):
    folder, made = tmp_path / "model", []

    def make(out):
        made.append(sorted(path.name for path in out.iterdir()))
        (out / "half").touch()
        if len(made) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.keep(folder, {"the code": "a"}, make)
    assert kept.made_from(folder) is None
    for _ in range(2):
        assert kept.keep(folder, {"the code": "a"}, make) == folder
    assert made == [["made_from.json"], ["half", "made_from.json"]] and kept.made_from(folder) == {"the code": "a"}
    kept.keep(folder, {"the code": "b"}, make)
    assert made[-1] == ["made_from.json"] and kept.made_from(folder) == {"the code": "b"}
