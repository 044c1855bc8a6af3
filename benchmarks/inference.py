"""Inference: tokens per second with and without a key-value cache, and 1, 10 and 100 phrases on one image.

    python benchmarks/inference.py [--profile cpu] [--device cpu] [--quick]

The search without cache shows the whole sequence to the decoder again for every token (tests/reference/decoding.py) and is
otherwise the same; `same_ids` is 1 where both wrote the same ids. All in float32, for rounding may turn a close decision. The
model is the shipped one where it has the profile's image size (its reports end where a report ends), else one of the profile's
sizes with random weights. Every formulation of a comparison takes its turn in each round.
"""

from functools import partial

import torch
from timing import alternate, measured, paired_ratio, row
from workload import NoiseStudies, build, reference_decoding, run_script, texts

from ssacl_lib.model import SSACLModel
from ssacl_lib.model.build import load_model
from ssacl_lib.model.config import SSACLConfig
from ssacl_lib.model.encoder import Tokens
from ssacl_lib.model.maps import phrase_maps_of_pixels
from ssacl_lib.model.prompts import entity_prompts, open_leaves
from ssacl_lib.paths import SHIPPED_CHECKPOINT
from ssacl_lib.settings import Settings
from ssacl_lib.text.entities import positives
from ssacl_lib.text.sections import sentences

PHRASES = (1, 10, 100)


def model_of(settings: Settings, device) -> SSACLModel:
    """The shipped model where the profile is its own size, else random weights."""
    folder = SHIPPED_CHECKPOINT
    if (folder / "config.json").is_file() and SSACLConfig.from_pretrained(
        folder
    ).image_size == settings.data.image_size:
        return load_model(folder, str(device))
    return build(settings, device).eval()


def pixels_of(model: SSACLModel, settings: Settings, count: int) -> torch.Tensor:
    """Noise films as the model takes them, [B, 1, S, S]."""
    reports, labels, _ = texts(settings.seed)
    films = NoiseStudies(reports, labels, settings.data.image_size).images(range(count))
    return model.processor.normalise(films).to(model.device)


# ---- generation
@torch.no_grad()
def generation_rows(model: SSACLModel, settings: Settings, images: int, rounds: int) -> list[dict]:
    """Tokens per second of greedy and beam search for a batch of images, with the cache and without."""
    labels, processor, language = texts(settings.seed)[1], model.processor, model.language
    found = [positives(labels[i], False) for i in range(images)]
    tokens = model.encode(pixels_of(model, settings, images))
    leaves = Tokens(tokens.patches, tokens.cls, tokens.queries[:, model.leaf_index])
    prompt, mask = (tensor.to(model.device) for tensor in entity_prompts(processor, found, images))
    given = (leaves, open_leaves(found).to(model.device), prompt, mask, processor.newline, processor.pad)
    rows = []
    for label, beams in (("greedy_cache", 1), ("beam_search_cache", max(3, settings.inference.beams))):
        options = {**model.config.generation, "num_beams": beams}
        calls = {
            "cached": partial(language.generate, *given, **options),
            "whole": partial(reference_decoding().generate_without_cache, language, *given, **options),
        }
        ids = {name: call() for name, call in calls.items()}
        written = int((ids["cached"] != processor.pad).sum())
        seconds = alternate(calls, rounds, model.device, warm_up=0)
        rows += [
            measured(label, "tokens_per_second", [written / s for s in seconds["cached"]], settings.seed),
            measured(label, "tokens_per_second_without_cache", [written / s for s in seconds["whole"]], settings.seed),
            paired_ratio(label, "throughput_ratio", seconds["whole"], seconds["cached"], settings.seed),
            row(label, "same_ids", torch.equal(ids["cached"], ids["whole"]), n=images, seed=settings.seed),
            row(label, "tokens_per_report", written / images, n=images, seed=settings.seed),
        ]
    return rows


# ---- grounding
def phrases_of(settings: Settings, count: int) -> list[str]:
    """Different sentences of the phantom's reports."""
    found = dict.fromkeys(s for report in texts(settings.seed)[0] for s in sentences(report))
    return list(found)[:count]


def ground_rows(model: SSACLModel, settings: Settings, rounds: int) -> list[dict]:
    """Milliseconds of 1, 10 and 100 phrases on one image, by masked evidence and by similarity, and the ratios to one."""
    pixels, phrases = pixels_of(model, settings, 1), phrases_of(settings, max(PHRASES))
    rows = []
    for evidence, label in (("masked", "ground"), ("similarity", "ground_similarity")):
        calls = {n: partial(phrase_maps_of_pixels, model, pixels, phrases[:n], evidence) for n in PHRASES}
        seconds = alternate(calls, rounds, model.device)
        for n in PHRASES:
            rows.append(measured(f"{label}_{n}_phrases", "milliseconds", [1000 * s for s in seconds[n]], settings.seed))
            if n > 1:
                rows.append(paired_ratio(f"{label}_{n}_phrases", "time_ratio", seconds[n], seconds[1], settings.seed))
    return rows


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """All rows of this part."""
    model = model_of(settings, device)
    generation = generation_rows(model, settings, 2 if quick else 8, 1 if quick else 3)
    return generation + ground_rows(model, settings, 2 if quick else 15)


if __name__ == "__main__":
    run_script(__doc__, rows)
