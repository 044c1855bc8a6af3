"""Figures of notebook 06 on made-up tables: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest

from ssacl_lib.downstream.cases import MaskCase, Ranked
from ssacl_lib.downstream.disturbances import AMOUNTS, UNDISTURBED, WORDING
from ssacl_lib.downstream.encoders import PLUS
from ssacl_lib.downstream.robustness import LOOK
from ssacl_lib.downstream.robustness_tables import LEVELS
from ssacl_lib.plots import downstream as draw

METHODS = ("untrained", "start", "masked autoencoder", "contrast only", "MaCo-like", "GLoRIA-like", "SS-ACL", PLUS,
           "supervised CNN")  # fmt: skip


def row(method, setting, detail, metric, value, width=0.03, **more) -> dict:
    return {
        "task": "t", "setting": setting, "detail": detail, "method": method, "metric": metric, "value": value,
        "low": value - width, "high": value + width, "n": 100, "runs": 3 if method == "SS-ACL" else 1, "seed": 2,
        "ours": method.startswith("SS"), "annotated": method == "supervised CNN", "file": "", **more,
    }  # fmt: skip


def efficiency() -> pd.DataFrame:
    """AUC that rises with the labels."""
    rows = [
        row(method, f"{way} {share:g} %", "mean of findings", "auc", 0.5 + 0.05 * place ** 0.5 * np.log10(share * 30), 0.02)
        for place, method in enumerate(METHODS)
        for way, shares in (("probe", (0.1, 0.3, 1, 3, 10, 30, 100)), ("full", (1, 10, 100)))
        for share in shares
    ]  # fmt: skip
    return pd.DataFrame([*rows, row("start", "probe", "mean of findings", "labels to reach", np.nan)])


def robust() -> pd.DataFrame:
    """Numbers that fall with the level."""
    rows = []
    for detail, metric, _ in draw.CURVES:
        words = detail == "masked map"
        for place, method in enumerate((*METHODS, "constant report", "centre prior")):
            if detail == "reports" and not (method.startswith("SS") or "report" in method):
                continue
            for number, family in enumerate((UNDISTURBED, *AMOUNTS)):
                for level in range(1, 6) if number else (0,):
                    if words or family != WORDING:
                        value = 0.9 - 0.04 * place - 0.012 * level * number
                        rows.append(row(method, "", detail, metric, value, 0.02, family=family, level=level))
    return pd.DataFrame(rows)


def lines_of(ax) -> list[tuple]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines if len(line.get_xdata()) > 1]


def test_label_efficiency_draws_every_encoder_and_the_aim():
    table = efficiency()
    single = pd.DataFrame([row("SS-ACL", "probe 100 %", "Edema", "auc", 0.99)])  # stands in the table, is no mean
    figure = draw.label_efficiency(pd.concat([table, single]), aim=(0.62, "start, zero-shot"))
    probe, full = figure.axes
    lines = lines_of(probe)
    assert len(lines) == len(METHODS) + 1 and len(lines_of(full)) == len(METHODS) + 1
    own = table[(table["method"] == "SS-ACL") & table["setting"].str.startswith("probe")]
    at, height = lines[METHODS.index("SS-ACL")]
    assert height == pytest.approx(own["value"].tolist()) and at == pytest.approx(
        [0.1, 0.3, 1, 3, 10, 30, 100], rel=0.06
    )
    assert lines[-1][1] == [0.62, 0.62] and not probe.texts, "its name stands in the legend, where it covers no curve"
    assert {text.get_text() for text in figure.legends[0].texts} == {*METHODS, "start, zero-shot"}
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in figure.legends[0].get_lines()}
    assert len({look[0] for look in looks}) == len({look[1:] for look in looks}) == len(METHODS) + 1, "told apart twice"


def test_robustness_begins_every_line_with_the_film_as_it_is():
    table = robust()
    figure = draw.robustness(table)
    axes = np.array(figure.axes).reshape(len(draw.CURVES), len(AMOUNTS))
    for ax, family in zip(axes[1], AMOUNTS, strict=True):
        own = table[(table["method"] == "SS-ACL") & (table["detail"] == "masked map")]
        own = own[own["family"].isin([UNDISTURBED, family])].sort_values("level")["value"].tolist()
        assert any(at == [0, 1, 2, 3, 4, 5] and height == pytest.approx(own) for at, height in lines_of(ax)), family
    asked = [[text.get_text() for text in ax.texts] for ax in axes[:, -1]]
    assert asked == [["not asked"], [], ["not asked"], ["not asked"]], "wording is asked of phrases alone"
    some = draw.robustness(table[table["detail"] != LOOK])
    assert len(some.axes) == 3 * len(AMOUNTS)


def test_claim_levels_shows_every_level_and_a_claim_that_begins_late():
    stands = {"lexical": "--====", "phrases are found": "++++=+", "leaves are found": "=+++++"}
    limits = {"+": (0.1, 0.3), "=": (-0.1, 0.1), "-": (-0.3, -0.1)}
    rows = [
        {"claim": claim, "against": "its best rival", "family": family, "level": level, "low": low, "high": high}
        for claim, signs in stands.items()
        for family in (*AMOUNTS,)
        for level, (low, high) in enumerate(limits[sign] for sign in signs)
        if family != WORDING or claim == "phrases are found"
    ]
    ax = draw.claim_levels(pd.DataFrame(rows)).axes[0]
    cells = {(round(p.get_x() + p.get_width() / 2), round(p.get_y() + p.get_height() / 2)): p for p in ax.patches}
    assert len(cells) == len(rows)
    for y, signs in enumerate(stands.values()):
        colours = [cells[level, y].get_facecolor() for level in range(LEVELS + 1)]
        assert len(set(colours)) == len(set(signs)) and all(
            (one == other) == (a == b)
            for one, a in zip(colours, signs, strict=True)
            for other, b in zip(colours, signs, strict=True)
        )
    signs = {
        tuple(map(round, text.get_position())): text.get_text() for text in ax.texts if text.get_text() in ("+", "−")
    }
    assert (0, 2) not in signs and signs[1, 2] == "+" and signs[5, 1] == "+" and signs[0, 0] == "−"


def test_encoders_are_dots_with_intervals_in_the_order_of_the_table():
    panels = [
        ("one pair, dot", "mean of findings", "auc", "release's pair"),
        ("ensemble, cosine", "mean of findings", "auc", "all"),
    ]
    rows = [row(m, panel[0], panel[1], panel[2], 0.6 + 0.02 * k) for panel in panels for k, m in enumerate(METHODS)]
    figure = draw.encoders(pd.DataFrame(rows), panels)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(METHODS)
    dots = [line for line in figure.axes[1].lines if line.get_marker() in ("o", "s")]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx([0.6 + 0.02 * k for k in range(9)])
    assert [dot.get_marker() for dot in dots] == ["o"] * 8 + ["s"], "who was told the truth is a square"
    assert [list(line.get_xdata()) for line in figure.axes[0].lines if line.get_linestyle() == ":"] == [[0.5, 0.5]], (
        "chance"
    )


def disc(x, y, radius=9, side=48) -> np.ndarray:
    down, across = np.mgrid[:side, :side]
    return (down - y) ** 2 + (across - x) ** 2 < radius**2


def films(count=1, side=48) -> np.ndarray:
    smooth = np.linspace(60, 180, side)[None, :, None] + np.linspace(0, 40, side)[None, None]
    return (smooth + 8 * np.random.default_rng(0).normal(size=(count, side, side))).astype(np.uint8)


def test_masks_and_their_dice_stand_beside_the_truth():
    cases = [
        MaskCase(finding, rule, films()[0], disc(20, 24), {"SS-ACL": (disc(x, 24), 0.8), **(
            {"start": (disc(5, 40), 0.1)} if rule != "worst" else {})})
        for finding in ("Pneumothorax", "Pleural Effusion")
        for rule, x in (("best", 21), ("median", 26), ("worst", 38))
    ]  # fmt: skip
    figure = draw.mask_cases(cases)
    axes = np.array(figure.axes).reshape(3, 6)
    assert axes[0, 3].get_title(loc="left") == "Pleural Effusion:\nbest"
    assert axes[1, 3].get_title(loc="left") == "Dice 0.80" and axes[2, 1].get_title(loc="left") == "Dice 0.10"
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["film, true extent", "SS-ACL", "start"]
    assert not axes[2, 2].axison, "what was not measured is left blank"
    marked = axes[1, 0].images[1].get_array()
    assert np.array_equal(np.isfinite(np.ma.filled(marked, np.nan)), disc(21, 24))


def test_films_that_a_text_found_are_framed_by_what_they_show():
    rows = [
        Ranked("there is edema.", "Edema", films(4), ["Edema", "Atelectasis", "Edema", "Edema"]),
        Ranked("there is atelectasis.", "Atelectasis", films(3), ["Edema", "Atelectasis", "Edema"]),
    ]
    figure = draw.ranked(rows)
    axes = np.array(figure.axes).reshape(2, 4)
    colours = [[ax.spines["left"].get_edgecolor()[1] > 0.45 for ax in line[:3]] for line in axes]
    assert colours == [[True, False, True], [False, True, False]]
    assert axes[0, 1].get_title(loc="left") == "2  Atelectasis" and not axes[1, 3].axison


@pytest.mark.parametrize("empty", [
    lambda: draw.label_efficiency(efficiency().iloc[:0]), lambda: draw.robustness(robust().iloc[:0]),
    lambda: draw.claim_levels(pd.DataFrame()), lambda: draw.mask_cases([]), lambda: draw.ranked([]),
    lambda: draw.encoders(efficiency().iloc[:0], [("a", "b", "c", "d")]),
])  # fmt: skip
def test_nothing_measured_is_said_in_a_sentence(empty):
    assert empty() == draw.NOTHING
