"""Evaluation: from models and unseen studies to per-study results (Parquet) and from these to tables in long form.

models              the models that are compared, and fingerprints of their weights
results             the cache of per-study results, and intervals over studies
findings            AUC of the classification head
reports             generated reports: words (lexical) and labels (clinical), with the constant report as a floor
grounding           phrase grounding and its controls
faithfulness        deletion and insertion curves of the masked evidence
anatomy_grounding   attention of the anatomical prompts against the exact masks
films               right and left lung on the boxes of a folder of real films
difficulty          how hard the phantom is for a supervised network

Every table is long: what the row is about, then method, metric, value, low, high, n, seed. `low` and `high` bound
a 95 % interval over studies (resampled with their phrases); `n` counts what was averaged.
"""
