"""Sentences of notebook 02: each follows its table, and says so when there is nothing to say."""

import numpy as np
import pandas as pd

from ssacl_lib.evaluation import recipe
from ssacl_lib.notebook import pretraining_words as words
from ssacl_lib.settings import LossWeights, load_settings


def curve(term: str, values, split: str = "train") -> pd.DataFrame:
    rows = [{"images": 100 * (i + 1), "split": split, "term": term, "value": v} for i, v in enumerate(values)]
    return pd.DataFrame(rows)


def test_every_term_has_its_symbol_and_its_name_in_words(smoke):
    assert set(words.SYMBOLS) == set(words.TERMS) - {"total"} == set(LossWeights.model_fields)
    every = smoke.changed(**{f"training.loss_weights.{name}": 0.5 for name in LossWeights.model_fields})
    assert all(f"0.5\\,{symbol}" in words.weighted_formula(every).data for symbol in words.SYMBOLS.values())


def test_fall_of_terms_reads_the_history():
    history = curve("global_contrastive", (4, 2.1, 2))
    assert "$L_{cl}$: 4.00 to 2.00; 90 % of the fall after 200 images." in words.fall_of_terms(history).data
    assert (
        "0.0200 to 2.00; it does not end below" in words.fall_of_terms(curve("global_contrastive", (0.02, 1, 2))).data
    )
    risen = words.fall_of_terms(curve("anatomy_reconstruction", (0.02, 0.2, 0.3, 0.01))).data
    assert "$L_{ar}$ does not fall steadily: first 0.0200, median of the later points 0.20, last 0.0100." in risen
    assert "Too few" in words.fall_of_terms(history.iloc[:1]).data


def test_message_of_the_curves_names_what_did_not_fall():
    fell, rose = (
        curve("image_reconstruction", (2, 1), "validation"),
        curve("anatomy_reconstruction", (1, 2), "validation"),
    )
    assert words.curves_message(fell).endswith(
        "all terms are lower at the end than at the first check, after 100 images."
    )
    dipped = words.curves_message(curve("report_generation", (3, 1, 2), "validation"))
    assert dipped.endswith("; $L_{lm}$ was lower in between.")
    assert "1 of 2 terms are lower" in (told := words.curves_message(pd.concat([fell, rose]))) and "L_{ar}" in told
    assert "Too few" in words.curves_message(fell.iloc[:1])
    assert words.curves_message(fell).startswith("In this run")


def test_sums_of_other_terms_are_no_comparison():
    assert "shipped has 2 more terms ($L_{labels}$ and $L_{side}$)" in words.sum_words(load_settings("cpu"))
    alike = {f"training.loss_weights.{name}": 1.0 for name in ("report_labels", "side_exchange")}
    assert words.sum_words(load_settings("cpu", **alike)) == ""


def test_spikes_are_counted_and_taken_apart():
    values = np.full(40, 0.01)
    values[30] = 0.2
    history = pd.concat([curve("anatomy_reconstruction", values), curve("image_reconstruction", np.ones(40)),
                         curve("anatomical_consistency", 1 + (values > 0.1))])  # fmt: skip
    told = words.spike_words({"this run": history}).data
    assert "1 of 36 points" in told and "after 3100 of 4000 images" in told
    assert "image reconstruction is 1.00 times" in told and "anatomical consistency is 2.00 times" in told
    steps = pd.DataFrame({"rate": 1e-3, "anatomy_reconstruction": [0.01] * 9 + [0.5], "common": [0.1] * 9 + [0.9],
                          "parent": ["chest"] * 9 + ["lungs"], "parent_share": 0.8, "image_reconstruction": 1.0})  # fmt: skip
    told = words.spike_words({}, pd.concat([steps, steps.iloc[:9].assign(rate=1e-4)])).data
    assert "1 of 10 steps" in told and "share 90 % of the error (elsewhere 10 %)" in told and "(steps: lungs 1)" in told
    assert "at the rate 0.0001: 0 of 9 steps" in told
    assert "Too few" in words.spike_words({"this run": history.iloc[:3]}).data


def test_the_start_is_told_with_its_share_of_the_gain():
    table = pd.DataFrame({"method": ["untrained", "start", "this run"], "value": [0.7, 0.8, 0.9]})
    table = table.assign(finding="mean of findings", metric="auc", low=table["value"] - 0.1, high=table["value"] + 0.1)
    told = words.start_words(load_settings("cpu"), table).data
    assert "does not train from scratch" in told and "96000 images" in told and "our labeler reads" in told
    assert (
        "this run 0.900 [0.800, 1.000]: 50 % of the gain is there before the five losses begin; the intervals" in told
    )
    shipped = words.start_words(load_settings("cpu"), table.replace("this run", "shipped")).data
    assert "shipped 0.900 [0.800, 1.000]: it went on from another start (stem `deep`, here `convolutional`)" in shipped
    assert "2 more losses ($L_{labels}$ and $L_{side}$)" in shipped and "%" not in shipped.split("studies:")[1]
    told = words.start_words(load_settings("cpu"), table.assign(value=[0.7, 0.9, 0.8])).data
    assert "the whole gain is there before" in told and "%" not in told.split("studies:")[1]
    plain = load_settings("cpu", **{"model.encoder_weights": None})
    assert words.start_words(plain, table).data == "This profile trains from random weights."


def test_recipe_lines_tell_better_from_worse():
    """A loss is better where it is lower; numbers whose intervals overlap are not told."""
    rows = [
        {
            "variant": variant,
            "method": method,
            "metric": metric,
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "images": 6400,
            "n": {"head": 150, "loss": 16}.get(method, 117),
        }
        for variant, numbers in {
            "as in cpu": (0.5, 0.5, 2.0, 0.5),
            "another": (0.9, 0.1, 1.5, 0.6),
            "full phantom ranges": (0.9, 0.1, 1.5, 0.6),
            "batch 64": (0.5, 0.5, 2.0, 0.5),
        }.items()
        for (method, metric), value in zip(
            (
                ("masked map", "pointing"),
                ("similarity map", "pointing"),
                ("loss", "report_generation"),
                ("head", "auc"),
            ),
            numbers,
            strict=True,
        )
    ]
    scale, _, line, films, alike = words.recipe_words(pd.DataFrame(rows)).data.splitlines()
    assert "6400 images of training, 150 studies (AUC), 117 phrases (maps) and 16 batches (losses)" in scale
    assert "“batch 64” makes about 100 steps of them, the others 266." in scale and "no number is told apart" in alike
    assert "no comparison" in films and "better" not in films
    better, worse = line.split(";")
    assert (
        "better in pointing of the masked map (0.90 against 0.50)" in better and "loss of report generation" in better
    )
    assert "worse in pointing of the similarity map" in worse and "AUC" not in line
    shipped = words.recipe_words(recipe.recipe_rows()).data
    assert "- **no start**: worse in AUC of the head" in shipped


def test_weights_of_the_profile_stand_in_the_formula():
    assert "0.15\\,L_{cl}" in words.weighted_formula(load_settings("paper")).data
    assert "+ L_{cl}" in words.weighted_formula(load_settings("cpu")).data
    assert "means anything" in words.scale_of_run(load_settings("smoke"))
    assert "means anything" not in words.scale_of_run(load_settings("cpu"))


def test_prompts_are_counted_where_they_look_at_their_anatomy():
    masks = np.zeros((2, 4, 4), bool)
    masks[:, :2] = True
    maps = {"untrained": np.ones((2, 4, 4)) * 0.9, "shipped": np.where(masks, 2.0, 0.5)}
    assert "untrained 0 (0.90), shipped 2 (2.00)" in words.prompts_message(maps, masks)
    assert "Each row" in words.prompts_message(maps, None)
