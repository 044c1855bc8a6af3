"""From equation to line: every formula of the method, the function that computes it, and where that function stands.

README and notebook 02 show the same table. A function's docstring names its formula, and the formula stands again as a
comment above the lines that compute it; a test holds both.
"""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from IPython.display import Markdown

from .. import losses, paths
from ..anatomy import AnatomyGraph
from ..chunked_consistency import ChunkedConsistency
from ..model.decoder import VisualDecoder
from ..model.language import LanguageDecoder
from ..training.loop import weighted_sum


@dataclass(frozen=True)
class Equation:
    """what: in words. formula: LaTeX. function: where it is computed. said: the formula as docstring and comment have it."""

    what: str
    formula: str
    function: Callable
    said: str


EQUATIONS = (
    Equation(
        "total loss",
        r"L = \sum \alpha_\mathrm{term} L_\mathrm{term}",
        weighted_sum,
        "L = sum over the terms of weight * term",
    ),
    Equation(
        "image reconstruction",
        r"L_{ir} = \sum_n h_n \tfrac{1}{P} \sum_p (\hat x_{np} - x_{np})^2 \,/\, \sum_n h_n",
        losses.image_reconstruction_loss,
        "L_ir = sum_n mask_n * mean_p (prediction_np - target_np)^2 / sum_n mask_n",
    ),
    Equation(
        "queries of parents (a)",
        r"q_u = \tfrac{1}{|C(u)|} \sum_{v \in C(u)} q_v",
        AnatomyGraph.restore,
        "q_p = (1 / |C(p)|) * sum over v in C(p) of q_v",
    ),
    Equation(
        "anatomy reconstruction (b)",
        r"L_{ar} = \mathrm{mean}_{i,u,p}\, (\hat y_{iup} - y_{iup})^2",
        losses.anatomy_reconstruction_loss,
        "L_ar = mean_{b,u,p} (restored_bup - target_bup)^2",
    ),
    Equation(
        "its restored parents",
        r"\hat y_u = \mathrm{Dec}[\bar z_{C(u)}, z_{C(u)}]",
        VisualDecoder.restored_parents,
        "restored_u = Dec[mean of z_v over v in C(u), z_v for v in C(u)]",
    ),
    Equation("its targets", r"y_u = \mathrm{Dec}[z_u]", VisualDecoder.parent_targets, "target_u = Dec[z_u]"),
    Equation(
        "global contrast",
        r"L_{cl} = \tfrac14 \big[\overline{\mathrm{CE}}(c_i a_{ij}) + \overline{\mathrm{CE}}(c_i a_{ji}) + "
        r"\textstyle\sum_i c_i (\mathrm{CE}(a_{ij}) + \mathrm{CE}(a_{ji})) / \sum_i c_i\big]",
        losses.global_contrastive_loss,
        "L_cl = 1/4 [mean_i CE(scale_i a_ij) + mean_i CE(scale_i a_ji) + sum_i scale_i (CE(a_ij) + CE(a_ji)) / sum_i scale_i]",
    ),
    Equation(
        "anatomical consistency (c)",
        r"L_{ac} = \mathrm{mean}_{i,j,m} - \sum_{m'} g_{mm'} \log \mathrm{softmax}_{m'}(S_{mm'})",
        losses.anatomical_consistency_loss,
        "L_ac = mean_{i,j,m} - sum_n target_mn * log softmax_n(S_mn)",
    ),
    Equation(
        "its sum over pairs",
        r"-\sum_{m'} g_{mm'} \log \mathrm{softmax}_{m'}(S_{mm'})",
        losses.consistency_sum,
        "- sum_n target_mn * log softmax_n(S_mn)",
    ),
    Equation(
        "the same sum, in chunks",
        r"\sum_{i,j,m} [(1 - \lambda + M \lambda s_{ij}) \log \textstyle\sum_{m'} e^{S_{mm'}} - \lambda s_{ij} \sum_{m'} S_{mm'} "
        r"- (1 - \lambda) S_{mm}]",
        ChunkedConsistency,
        "sum_{i,j,m} [(1 - mixing + M * mixing * s_ij) * logsumexp_n S_mn - mixing * s_ij * sum_n S_mn - (1 - mixing) * S_mm]",
    ),
    Equation(
        "report generation (e)",
        r"L_{lm} = -\mathrm{mean}_{i,t} \log \Pr(\omega_{it} \mid \mathrm{prefix}_i, \omega_{i,<t})",
        losses.report_generation_loss,
        "L_lm = - mean_{b,t} log softmax_v(logits_bt)[targets_bt]",
    ),
    Equation("its shift by one", r"\mathrm{hidden}_t = h_{t-1}", LanguageDecoder.hidden, "hidden_t = h_(t - 1)"),
)


def place_of(function: Callable) -> tuple[Path, int]:
    """File and first line of a function or class of the library."""
    function = inspect.unwrap(function)
    return Path(inspect.getsourcefile(function)), inspect.getsourcelines(function)[1]


def equation_rows(base: Path) -> list[list[str]]:
    """What, formula, function, and a link to file and line that works from the folder `base`."""
    rows = []
    for equation in EQUATIONS:
        path, line = place_of(equation.function)
        name = path.relative_to(paths.ROOT).as_posix()
        link = f"[{name}, line {line}]({Path(os.path.relpath(path, base)).as_posix()}#L{line})"
        # a bar would end the table's cell
        formula = equation.formula.replace(r"\mid", "%").replace("|", r"\vert ").replace("%", r"\mid")
        rows.append([equation.what, f"${formula}$", f"`{equation.function.__qualname__}`", link])
    return rows


HEAD = ["", "formula", "function", "file"]


def equation_table(base: Path) -> str:
    """The rows as a Markdown table; letters as in notebook 02."""
    lines = [HEAD, ["---"] * len(HEAD), *equation_rows(base)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show_equations() -> Markdown:
    """The table in a notebook of `notebooks/`; an executed copy gets links of its own (`command.links`)."""
    return Markdown(equation_table(paths.NOTEBOOKS))
