"""Every compared method by its name: what is trained, on which losses, and what it can be asked.

All but those that are made in ANOTHER way are trained by one loop (`training.loop.pretrain`) on the same studies, from the same
start, for the same number of images; a method is a class of network (SS-ACL's own where only settings differ) and the settings
that differ from the profile's.
A new method is a module here and an entry in METHODS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.network import TERMS, SSACLNetwork
from ..model.ssacl import SSACLModel
from ..settings import LossWeights
from .contrast import ContrastNetwork, LocalContrastNetwork
from .looking_prompts import LookingPrompts
from .prompts import FrozenEncoder, LeavesClosed, LeavesWithoutText, PatchesAlone
from .wrong_anatomy import FlatGraph, NonsenseNames, OwnNames, SeenQueries, ShuffledNames, ShuffledPairs

CENTRAL, COMPARED, BUDGET, ABLATION = "central", "compared", "budget", "ablation"
GROUPS = (CENTRAL, COMPARED, BUDGET, ABLATION)
TRAINED, BEFORE, ANOTHER = "trained", "before training", "another way"
FINDINGS, PHRASES, LEAVES, PLUS, REPORTS = PARTS = ("findings", "phrases", "leaves", "plus", "reports")
"""What a trained method is scored on; see evaluation/comparison_scores.py (comparison_others.py: what is made in ANOTHER way)."""


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    says: what it is, in half a sentence. group: of GROUPS; a central one is trained with several seeds. changes: settings that
    differ from the profile's, by dotted name. kind: the network in training. parts: what it is asked, of PARTS. variant: under
    which prompts it writes its reports (evaluation/prompting.py). ours: a variant of SS-ACL, so never its "best rival".
    annotated: it needs boxes or masks. made: TRAINED, BEFORE any training, or in ANOTHER way, each in its own module.
    pairs: makes the training studies of some others. times: how many times as many images as the others it sees (group BUDGET;
    such a row is compared with rows of its own budget alone). slower: the profile's rate is divided by this, but for the decoder
    of reports.
    """

    name: str
    says: str
    group: str
    changes: dict[str, object] = field(default_factory=dict)
    kind: type[SSACLNetwork] = SSACLNetwork
    parts: tuple[str, ...] = (FINDINGS, PHRASES, LEAVES)
    variant: str = "with prompts"
    ours: bool = False
    annotated: bool = False
    made: str = TRAINED
    pairs: Callable | None = None
    times: int = 1
    slower: int = 1

    @property
    def answers(self) -> type[SSACLNetwork]:
        """The class that is asked: the trained one where it changes what the model answers, else SSACLModel."""
        return self.kind if issubclass(self.kind, SSACLModel) else SSACLModel

    @property
    def slug(self) -> str:
        """Name of its folder."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower()).strip("-")


def only(**weights: float) -> dict[str, object]:
    """Settings that give the named losses these weights and all others 0."""
    return {f"training.loss_weights.{name}": float(weights.get(name, 0)) for name in LossWeights.model_fields}


def without(*terms: str) -> dict[str, object]:
    """Settings that leave terms out."""
    return {f"training.loss_weights.{term}": 0.0 for term in terms}


IR, AR, CL, AC, LM = TERMS
NO_START = {"model.encoder_weights": None}
POINTS = (FINDINGS, PHRASES)
LOOKS = (*POINTS, PLUS)
WRITES = (FINDINGS, REPORTS)
ALL = PARTS

SSACL = "SS-ACL"
MACO = only(image_reconstruction=1, global_contrastive=1)
PROMPT_MRG = {**only(report_generation=1, report_labels=1)}
TIMES = (2, 4)
"""Larger budgets of the group BUDGET."""

METHODS = (
    Method(SSACL, "the paper's five losses", CENTRAL, parts=ALL, ours=True),
    Method("MaCo-like", "masked pixels and weighted contrast: L_ir + L_cl", CENTRAL,
           MACO, parts=LOOKS),
    Method("contrast only", "whole film against whole report (ConVIRT, CLIP)", CENTRAL, only(global_contrastive=1),
           ContrastNetwork, LOOKS),
    Method("PromptMRG-like", "findings as text, no anatomy", CENTRAL, PROMPT_MRG, LeavesClosed, (*WRITES, PLUS),
           "entities only"),
    Method("R2Gen-like", "encoder and decoder, no prompts", CENTRAL, only(report_generation=1), PatchesAlone, (*WRITES, PLUS),
           "without prompts"),
    Method("R2GenGPT-like", "a decoder behind the frozen start", CENTRAL, only(report_generation=1), FrozenEncoder, (REPORTS,),
           "without prompts"),
    Method("SS-ACL+ writer", "leaf prompts bring what they look at; its decoder learns on", CENTRAL, parts=(REPORTS,), ours=True,
           made=ANOTHER),
    Method("SS-ACL, writer that sees everywhere", "its control: every prompt brings the mean of all patches", CENTRAL,
           parts=(REPORTS,), ours=True, made=ANOTHER),
    Method("SS-ACL, writer as long", "its control: leaf tokens as the encoder gives them", CENTRAL, parts=(REPORTS,), ours=True,
           made=ANOTHER),
    Method("GLoRIA-like", "words against patches beside the contrast", COMPARED, only(global_contrastive=1),
           LocalContrastNetwork, POINTS),
    Method("masked autoencoder", "masked pixels alone", COMPARED, only(image_reconstruction=1), parts=(FINDINGS,)),
    Method("untrained", "random weights", COMPARED, NO_START, parts=(FINDINGS, PHRASES, LEAVES, PLUS), made=BEFORE),
    Method("start", "what was there before the compared losses", COMPARED, parts=LOOKS, made=BEFORE),
    Method("centre prior", "a bump in the middle of the film, for both kinds of map", COMPARED, parts=(PHRASES,), made=ANOTHER),
    Method("text template", "where the words of a phrase put it, without a film", COMPARED, parts=(PHRASES,), made=ANOTHER),
    Method("nearest training report", "that of the training film with the nearest vector, by the start", COMPARED,
           parts=(REPORTS,), made=ANOTHER),
    Method("detector", "taught where findings lie, by masks", COMPARED, parts=POINTS, annotated=True, made=ANOTHER),
    Method("mean-mask atlas", "where masks of the same finding and words lie in training patients, without a film", COMPARED,
           parts=(PHRASES,), annotated=True, made=ANOTHER),
    Method("RGRG-like", "a writer that is given the regions of the film", COMPARED, parts=(REPORTS,), annotated=True,
           made=ANOTHER),
    Method("constant report", "the best single training report for everybody", COMPARED, parts=(REPORTS,), made=ANOTHER),
    Method("SS-ACL, oracle findings", "prompts from the reference's findings", COMPARED, parts=(REPORTS,), ours=True,
           annotated=True, made=ANOTHER),
    Method("SS-ACL, leaves without entity text", "2 x 2 of the prompts", COMPARED, {}, LeavesWithoutText, (REPORTS,),
           "leaves only", ours=True),
    Method("SS-ACL, entity text without leaves", "2 x 2 of the prompts", COMPARED, {}, LeavesClosed, (REPORTS,),
           "entities only", ours=True),
    Method("SS-ACL, no prompts", "2 x 2 of the prompts", COMPARED, {}, PatchesAlone, (REPORTS,), "without prompts",
           ours=True),
    Method("SS-ACL, no start", "from random weights", COMPARED, NO_START, parts=ALL, ours=True),
    Method("MaCo-like, no start", "from random weights", COMPARED,
           {**MACO, **NO_START}, parts=POINTS),
    Method("contrast only, no start", "from random weights", COMPARED, {**only(global_contrastive=1), **NO_START},
           ContrastNetwork, POINTS),
    Method("PromptMRG-like, no start", "from random weights", COMPARED, {**PROMPT_MRG, **NO_START}, LeavesClosed, WRITES,
           "entities only"),
    Method("R2Gen-like, no start", "from random weights", COMPARED, {**only(report_generation=1), **NO_START},
           PatchesAlone, WRITES, "without prompts"),
    *(Method(f"{name}, {times} times the images", "the same with a larger budget", BUDGET, changes, kind, parts, variant,
             ours=ours, times=times)
      for times in TIMES for name, changes, kind, parts, variant, ours in (
          (SSACL, {}, SSACLNetwork, (FINDINGS, PHRASES, REPORTS), "with prompts", True),
          ("MaCo-like", MACO, SSACLNetwork, POINTS, "with prompts", False),
          ("PromptMRG-like", PROMPT_MRG, LeavesClosed, WRITES, "entities only", False),
          ("R2GenGPT-like", only(report_generation=1), FrozenEncoder, (REPORTS,), "without prompts", False))),
    Method("without L_ir", "image reconstruction off", ABLATION, without(IR), ours=True),
    Method("without L_ar", "anatomy reconstruction off", ABLATION, without(AR), ours=True),
    Method("without L_cl", "global contrast off", ABLATION, without(CL), parts=(FINDINGS, LEAVES), ours=True),
    Method("without L_ac", "anatomical consistency off", ABLATION, without(AC), ours=True),
    Method("without L_lm", "report generation off", ABLATION, without(LM), ours=True),
    Method("L_ir + L_cl + L_lm", "both anatomical losses off", ABLATION, without(AR, AC), ours=True),
    Method("parents by their own names", "no query is restored", ABLATION, {}, OwnNames, ours=True),
    Method("flat graph", "every parent is the mean of all leaves", ABLATION, {}, FlatGraph, ours=True),
    Method("shuffled graph", "a wrong anatomy: names exchanged among the leaves", ABLATION, {}, ShuffledNames, ours=True),
    Method("nonsense names", "made-up words for the leaves", ABLATION, {}, NonsenseNames, ours=True),
    Method("L_ar recursive", "restored children restore their parent", ABLATION, {"model.hierarchy": "recursive"},
           ours=True),
    Method("mixing 0", "L_ac with hard targets", ABLATION, {"training.mixing": 0.0}, ours=True),
    Method("mixing 0.3", "L_ac with softer targets", ABLATION, {"training.mixing": 0.3}, ours=True),
    Method("mask ratio 0.25", "a quarter of the patches hidden", ABLATION, {"training.mask_ratio": 0.25}, ours=True),
    Method("mask ratio 0.75", "three quarters hidden", ABLATION, {"training.mask_ratio": 0.75}, ours=True),
    Method("key side with gradient", "L_ac teaches both films of a pair", ABLATION,
           {"model.consistency_gradient": "both"}, ours=True),
    Method("patches see queries", "the attention mask opened", ABLATION, {}, SeenQueries, ours=True),
    Method("prefix without patches", "the decoder sees the leaves alone", ABLATION, {"model.prefix": "prompts only"},
           parts=(FINDINGS, PHRASES, LEAVES, REPORTS), ours=True),
    Method("sides exchanged as negatives", "ours: the same sentence with the other side must fit less", ABLATION,
           {"training.loss_weights.side_exchange": 1.0}, ours=True),
    Method("a third of the rate", "ours: all but the decoder of reports learns slower", ABLATION,
           parts=ALL, ours=True, slower=3),
    Method("a tenth of the rate", "ours: all but the decoder of reports learns slower", ABLATION,
           parts=ALL, ours=True, slower=10),
    Method("looking prompts from the start", "ours: leaf prompts bring what lies where words place the leaf", ABLATION,
           {}, LookingPrompts, ALL, ours=True),
    Method("report labels as a term", "ours: the findings that the labeler read, as PromptMRG-like learns them", ABLATION,
           {"training.loss_weights.report_labels": 1.0}, parts=ALL, ours=True),
    Method("sides and report labels", "ours: both terms", ABLATION,
           {"training.loss_weights.side_exchange": 1.0, "training.loss_weights.report_labels": 1.0}, parts=ALL, ours=True),
    Method("horizontal flip", "half of the films mirrored, sides in reports not", ABLATION, {"training.flip": True},
           ours=True),
    Method("shuffled pairs", "reports of other films: chance", ABLATION, {}, pairs=ShuffledPairs, ours=True),
)  # fmt: skip
"""In the order of the tables."""


OUR_TERMS = ("sides exchanged as negatives", "report labels as a term", "sides and report labels")
"""Variants that add a term of ours to the paper's five."""


def method_of(name: str) -> Method:
    """The method of a name.

    Raises:
        ValueError: none of that name.
    """
    found = next((method for method in METHODS if name.lower() in (method.name.lower(), method.slug)), None)
    if found is None:
        raise ValueError(f"no method {name!r}; there are: {'; '.join(method.name for method in METHODS)}")
    return found
