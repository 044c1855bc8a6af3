"""One phrase on one film by several models, beside two maps that read no phrase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.grounding import centre_prior
from ..model.maps import cls_attention, to_image
from .grounding import score_map
from .inputs import pixels_of
from .phrase_views import OTHER_SIDE, OWN, SWAPPED, Looked, phrase_views
from .subjects import Subject, region_of_phrase


@dataclass(frozen=True)
class Rival:
    """What one model (or a prior that asks no model) says of a phrase on a film.

    heatmap: [S, S]. scores: pointing, cnr; empty where there is no region. other_side: correlation with its own map for
    the swapped side, else the swapped phrase; 1 = it did not read the words. findings: [13], None where nobody is asked.
    """

    heatmap: np.ndarray
    scores: Mapping[str, float]
    other: float
    findings: np.ndarray | None = None


def rivals(
    models: Mapping, subject: Subject, phrase: str, looked: Mapping[str, Looked], heads: Sequence[str] = ()
) -> dict[str, Rival]:
    """Masked evidence of a phrase by every model; and maps that read no phrase: attention of the last one's CLS, centre prior.

    looked: model's name -> `look`. heads: models whose head was fitted, which are asked for findings.
    """
    from ..inference import predict_findings

    found, image = {}, subject.study.image
    for name, model in models.items():
        views = phrase_views(model, looked[name], subject, phrase)
        other = views[OTHER_SIDE if OTHER_SIDE in views else SWAPPED].likeness["masked"]
        answers = predict_findings(model, image[None])[0] if name in heads else None
        found[name] = Rival(views[OWN].maps["masked"], views[OWN].scores["masked"], other, answers)
    mask, film = region_of_phrase(subject, phrase), subject.study.film
    last, model = list(models.items())[-1]
    attention = to_image(cls_attention(model, pixels_of(model, image[None]))[:, None], model, 0.0)[0, 0].cpu().numpy()
    for name, heatmap in ((f"{last}: attention of CLS", attention), ("centre prior", centre_prior(*image.shape))):
        found[name] = Rival(heatmap, {} if mask is None else score_map(heatmap, mask, film), 1.0)
    return found
