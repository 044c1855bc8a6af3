"""Figures by what they plot, not by their pixels: positions, ranges, texts; and the door that saves them."""

import io

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from ssacl_lib.anatomy import ANATOMIES, default_graph, findings_for
from ssacl_lib.evaluation.cases import Case, PhraseCase
from ssacl_lib.evaluation.looking import LeafCase
from ssacl_lib.evaluation.report_marks import AGREES, PLAIN, WRONG
from ssacl_lib.observations import FINDINGS
from ssacl_lib.plots import (
    anatomy,
    architecture,
    grounding,
    looking,
    pretraining,
    report_cases,
    reports,
    speed,
    style,
    teaser,
    tree,
)
from ssacl_lib.plots.tree import draw_tree
from ssacl_lib.record.manifest import Run, read_json

SIZE = 32
FILM = np.tile(np.linspace(0, 255, SIZE).astype(np.uint8), (SIZE, 1))
MASK = np.zeros((SIZE, SIZE), bool)
MASK[8:16, 4:20] = True


def texts(figure: Figure) -> list[str]:
    """Every text of a figure: titles, labels, free text."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def long(**columns) -> pd.DataFrame:
    """A long table with intervals of +-0.1 around the values."""
    frame = pd.DataFrame(columns)
    return frame.assign(low=frame["value"] - 0.1, high=frame["value"] + 0.1, n=10, seed=0)


# ---- style
@pytest.fixture
def run(smoke, tmp_path):
    return Run(smoke.changed(out_dir=str(tmp_path)), "01_anatomy_graph")


def test_save_figure_writes_two_files_and_records_them(run):
    style.save_figure(run, anatomy.anatomy_graph(), "fig14_graph", "The message first.")
    outputs = read_json(run.figures / "manifest.json")["notebooks"]["01_anatomy_graph"]["outputs"]
    assert sorted(outputs) == ["fig14_graph.pdf", "fig14_graph.png"]
    assert all(entry["caption"] == "The message first." for entry in outputs.values())


def test_alternative_text_is_stored_and_shown(run, monkeypatch):
    """In the manifest and in the notebook's output, where readers of web pages and of notebooks look for it."""
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure = anatomy.anatomy_graph()
    style.save_figure(run, figure, "fig14_graph", "Names suffice. Lines are edges.", alt="A tree\nof names.")
    style.save_figure(run, figure, "fig15_graph", "Names suffice. Lines are edges.")
    outputs = read_json(run.figures / "manifest.json")["notebooks"]["01_anatomy_graph"]["outputs"]
    texts = [outputs[f"fig{n}_graph.png"]["alt"] for n in (14, 15)]
    assert texts == ["A tree of names.", "Names suffice."]
    assert [picture._repr_mimebundle_()[1]["image/png"]["alt"] for picture in shown[::2]] == texts


def test_a_sheet_of_films_is_whole_in_the_file_and_small_in_the_notebook(run, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", shown.append)
    noise = np.random.default_rng(0).integers(0, 255, (12, 160, 160), dtype=np.uint8)
    style.save_figure(run, anatomy.films(noise, ["film"] * 12), "fig11_films", "Noise.", alt="Twelve films of noise.")
    data, about = shown[0]._repr_mimebundle_()
    file = run.figures / "fig11_films.png"
    with PIL.Image.open(io.BytesIO(shown[0].data)) as small, PIL.Image.open(file) as whole:
        assert (small.format, whole.format, whole.mode) == ("JPEG", "PNG", "RGB") and small.size == whole.size
        apart = np.abs(np.asarray(small, float) - np.asarray(whole, float))
    assert list(data) == ["image/jpeg"] and about["image/jpeg"]["alt"] == "Twelve films of noise."
    assert len(shown[0].data) < file.stat().st_size / 2 and apart.mean() < 8


def test_a_figure_is_the_same_file_twice(run):
    hashes = []
    for _ in range(2):
        style.save_figure(run, anatomy.regions(FILM, {"right lung": MASK}), "fig13_regions", "Twice.")
        outputs = read_json(run.figures / "manifest.json")["notebooks"]["01_anatomy_graph"]["outputs"]
        hashes.append({name: entry["sha256"] for name, entry in outputs.items()})
    assert hashes[0] == hashes[1]


def test_a_sentence_in_place_of_a_figure_is_printed(run, capsys):
    style.save_figure(run, "this data set has no masks", "fig13_regions", "Caption.")
    assert "fig13_regions: this data set has no masks" in capsys.readouterr().out
    assert not (run.figures / "fig13_regions.png").exists()


@pytest.mark.parametrize(
    ("name", "caption"), [("graph", "A caption."), ("fig1_graph", "A caption."), ("fig14_graph", " ")]
)
def test_bad_names_and_captions_are_refused(run, name, caption):
    with pytest.raises(ValueError, match=name):
        style.save_figure(run, anatomy.anatomy_graph(), name, caption)


def test_widths_are_those_of_a_journal():
    for width in (style.SINGLE, style.DOUBLE):
        assert style.new_figure(width, 50).get_figwidth() * 25.4 == pytest.approx(width)


@pytest.mark.filterwarnings("error")
def test_a_figure_without_layout_is_drawn_without_a_warning():
    figure = style.new_figure(100, 50, layout="none")
    figure.add_axes([0.1, 0.1, 0.5, 0.5])
    assert figure.get_layout_engine() is None and style.png_bytes(figure)


def test_heat_map_has_a_fixed_range_and_hides_where_it_says_nothing():
    ax = style.new_figure(50, 50).subplots()
    heat = style.heat_over_film(ax, FILM, np.full((SIZE, SIZE), 0.2), low=0, high=1)
    assert heat.get_clim() == (0, 1)
    assert ax.images[0].get_clim() == (0, 255)
    ratio = style.attention_over_film(ax, FILM, np.ones((SIZE, SIZE)))
    assert np.allclose(ratio.get_alpha(), 0), "uniform attention must leave the film as it is"
    assert style.attention_over_film(ax, FILM, np.full((SIZE, SIZE), 9.0)).get_array().max() == 2, (
        "clipped at four times"
    )


def test_boxes_and_outlines_lie_where_the_mask_is():
    ax = style.new_figure(50, 50).subplots()
    style.show_film(ax, FILM)
    style.draw_boxes(ax, [[4, 8, 16, 8]])
    box = ax.patches[0].get_bbox()
    assert (box.x0, box.y0, box.width, box.height) == (3.5, 7.5, 16, 8)
    style.outline(ax, MASK)
    points = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    assert points.min(0) == pytest.approx([3.5, 7.5]) and points.max(0) == pytest.approx([19.5, 15.5])


def test_methods_keep_colour_and_order():
    assert style.methods_in_order(["shipped", "untrained", "new", "this run"])[:3] == [
        "untrained",
        "this run",
        "shipped",
    ]
    assert style.method_colour("new") == style.method_colour("new")
    assert len(set(style.METHOD_COLOURS.values())) >= 9


# ---- notebook 01
def test_radial_layout_puts_children_outside_of_their_parent_and_leaves_evenly():
    graph, layout = default_graph(), tree.radial_layout()
    assert all(layout[child][1] > layout[parent][1] for parent, child in graph.edges)
    angles = np.array([layout[leaf][0] for leaf in graph.leaves])
    assert np.allclose(np.diff(angles), 2 * np.pi / 25)


def test_graph_names_every_node_and_draws_every_arrow_of_the_mapping():
    figure = anatomy.anatomy_graph()
    shown = {text.replace("\n", " ") for text in texts(figure)}
    assert set(default_graph().nodes) <= shown and set(FINDINGS) <= shown
    colours = [to_hex(line.get_color()).upper() for line in figure.axes[1].lines]
    for name in ANATOMIES:
        assert colours.count(style.ANATOMY_COLOURS[name].upper()) == len(findings_for(name)), name


def test_restored_values_stand_at_their_nodes():
    graph = default_graph()
    numbers = graph.restore([[float(i)] for i in range(1, 26)])[:, 0].tolist()
    found = texts(anatomy.restored_values(dict(zip(graph.nodes, numbers, strict=True))))
    assert "chest 18.3" in found and "mean of 7.5, 17.75, 23, 25\n= 18.3125" in found


@pytest.mark.parametrize("numbered", [False, True])
def test_no_inner_name_of_the_tree_covers_a_dot(numbered):
    """No dot's middle lies in a name, less the point above and below that its letters leave free."""
    graph = default_graph()
    numbers = graph.restore([[float(i)] for i in range(1, 26)])[:, 0].tolist()
    figure = anatomy.restored_values(dict(zip(graph.nodes, numbers, strict=True)))
    ax = figure.axes[0]
    if not numbered:
        ax.clear()
        draw_tree(ax, size=5)
    figure.canvas.draw()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(dots) == len(graph.nodes)
    for text in (text for text in ax.texts if text.get_fontweight() == "bold"):
        box = text.get_window_extent().padded(-figure.dpi / 72)
        inside = [dot for dot in dots if box.contains(*ax.transData.transform(dot.get_xydata()[0]))]
        assert not inside, text.get_text()


def test_regions_in_graph_order_or_a_sentence():
    masks = dict.fromkeys(default_graph().nodes, MASK)
    titles = [ax.get_title().replace("\n", " ") for ax in anatomy.regions(FILM, masks).axes]
    assert titles == list(default_graph().nodes)
    assert "right lung" in texts(anatomy.regions(FILM, {"right lung": MASK}))
    assert isinstance(anatomy.regions(FILM, {}), str)
    assert isinstance(anatomy.node_explorer(FILM, {"right lung": MASK}, "lungs"), str)


def test_explorer_names_the_share_of_the_film():
    masks = dict.fromkeys(default_graph().nodes, MASK)
    assert f"lungs (white): {100 * MASK.mean():.1f} % of the film" in texts(anatomy.node_explorer(FILM, masks, "lungs"))


def test_explorer_lights_all_that_lies_below_and_names_the_children_in_their_colours():
    masks = dict.fromkeys(default_graph().nodes, MASK)
    figure = anatomy.node_explorer(FILM, masks, "mediastinum")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(default_graph().children("mediastinum"))
    assert len({to_hex(patch.get_edgecolor()) for patch in legend.get_patches()}) == 6
    shade = {text.get_text().replace("\n", " "): text.get_alpha() for text in figure.axes[0].texts}
    below = {"mediastinum", "cardiac silhouette", "right atrium", "trachea"}
    assert all(shade[name] == 1 for name in below) and shade["chest"] < 1 and shade["spine"] < 1
    assert not anatomy.node_explorer(FILM, masks, "spine").legends


def test_gallery_shows_title_and_detail():
    found = texts(anatomy.findings_gallery([(FILM, MASK, "Edema\nbilateral, severity 0.9")] * 3))
    assert "Edema" in found and "bilateral, severity 0.9" in found
    assert isinstance(anatomy.findings_gallery(None), str)


def test_difficulty_plots_the_values_of_the_table_in_order():
    table = long(finding=["Edema", "Fracture", "mean of findings"], metric="auc", method="cnn", value=[0.9, 0.6, 0.75])
    ax = anatomy.difficulty(table).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Fracture", "Edema"]
    assert ax.containers[1].lines[0].get_xdata().tolist() == pytest.approx([0.6, 0.9])
    assert "0.750" in ax.get_title(loc="left")


# ---- notebook 02
def test_architecture_shows_class_and_count_of_every_part_and_ends_every_way_at_a_box():
    given = {"film", "leaves", "report", "consistency"}
    parts = {
        name: (f"Class{i}", 1000 * (i + 1)) for i, name in enumerate(n for n in architecture.BOXES if n not in given)
    }
    sizes = dict.fromkeys(
        ("size", "stem", "N", "depth", "D", "text_layers", "Dt", "decoder_depth", "language_layers", "L"), 1
    )
    found = "\n".join(texts(architecture.architecture(parts, {**sizes, "total": 1_230_000})))
    assert all(f"{kind}: {count // 1000} k" in found for kind, count in parts.values())
    assert "1.23 M parameters in all" in found
    assert all(f"({letter})" in found for letter in "abcde")
    edges = [(x, y, x + w, y + h) for x, y, w, h, *_ in architecture.BOXES.values()]
    for _, points in architecture.ARROWS:
        x, y = points[-1]
        assert any(left <= x <= right and low <= y <= high for left, low, right, high in edges), points


def test_parents_are_drawn_beside_their_difference_to_the_constant():
    pictures = {"patient 1: target": np.full((7, 4, 4), 0.5), "constant": np.full((7, 4, 4), 0.4)}
    figure = pretraining.parent_pictures(pictures, default_graph().parents)
    left, right = (part.axes for part in figure.subfigs)
    assert left[0].images[0].get_array().max() == 0.5 and right[0].images[0].get_array().max() == pytest.approx(0.1)
    assert right[7].images[0].get_array().max() == 0, "the constant minus itself"


def test_loss_curves_plot_the_history():
    rows = [
        {"images": i, "term": "global_contrastive", "split": s, "value": 1 / i}
        for i in (1000, 2000)
        for s in ("train", "validation")
    ]
    lines = pretraining.loss_curves(pd.DataFrame(rows)).axes[0].lines
    assert [line.get_xdata().tolist() for line in lines] == [[1000, 2000], [1000, 2000]]
    assert lines[0].get_ydata().tolist() == [1 / 1000, 1 / 2000]
    both = pretraining.loss_curves(pd.DataFrame(rows), pd.DataFrame(rows)).axes[0]
    assert len(both.lines) == 4 and both.get_xscale() == "log"


def test_attention_matrix_is_drawn_as_given():
    matrix = np.eye(4, dtype=bool)
    ax = pretraining.attention_matrices({"toy": matrix}, ["queries", "CLS", "patches", "patches"]).axes[0]
    assert (ax.images[0].get_array() == matrix).all()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["queries", "CLS", "patches"]


# ---- notebook 03
def test_report_scores_show_each_system_once_and_prompts_filled():
    table = long(
        method=["this run", "this run", "constant report"],
        variant=["with prompts", "without prompts", "constant"],
        metric="bleu1",
        value=[0.3, 0.2, 0.1],
    )
    ax = reports.report_scores(table).axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["this run, with prompts", "this run, without prompts", "constant report"]
    points = [container.lines[0] for container in ax.containers]
    assert [float(point.get_xdata()[0]) for point in points] == [0.3, 0.2, 0.1]
    assert points[0].get_markerfacecolor() != "white" and points[1].get_markerfacecolor() == "white"


def test_case_text_is_broken_into_lines_and_coloured():
    sentences = [("Heart size is normal.", PLAIN), ("Right pleural effusion.", AGREES), ("Left pneumothorax.", WRONG)]
    lines = report_cases.coloured_lines(sentences, 1.0, 5.4)
    assert " ".join(words for line in lines for _, words, _ in line) == " ".join(sentence for sentence, _ in sentences)
    assert all(0 <= start < 1 for line in lines for start, _, _ in line)
    case = Case(
        "test-1",
        FILM,
        {"with prompts: lungs": np.ones((SIZE, SIZE)), "without prompts: CLS": None},
        {"reference": sentences, "with prompts": sentences, "without prompts": []},
        {"with prompts": ("entity text: pneumothorax", "", "BLEU-1 0.50")},
    )
    figure = report_cases.cases([case])
    colours = {text.get_text(): to_hex(text.get_color()) for text in figure.findobj(Text)}
    assert {c for text, c in colours.items() if text.endswith("pneumothorax.")} == {
        to_hex(report_cases.MARK_COLOURS[WRONG])
    }
    assert {"BLEU-1 0.50", "entity text: pneumothorax"} <= set(colours) and "no evidence:\nno finding" in colours
    assert isinstance(report_cases.cases([]), str)


def prompt_rows(method: str, n: int = 40) -> pd.DataFrame:
    """The 2 x 2 and the differences of one model, every interval 0.1 wide."""
    cells = {"with prompts": 0.6, "leaves only": 0.5, "entities only": 0.45, "without prompts": 0.3}
    rows = [(cell, "micro_f1_13", value) for cell, value in cells.items()]
    rows += [
        (variant, f"micro_f1_13_minus_{rival}", 0.1 * i) for i, (variant, rival) in enumerate(reports.STEPS.values())
    ]
    variants, metrics, values = zip(*rows, strict=True)
    return long(method=method, variant=variants, metric=metrics, value=values).assign(n=n)


def test_prompt_effects_draw_the_cells_and_the_differences():
    figure = reports.prompt_effects(
        pd.concat([prompt_rows("this run"), prompt_rows("shipped")]), ["this run", "shipped"]
    )
    first, second, steps = figure.axes
    for ax in (first, second):
        lines = [list(c.lines[0].get_ydata()) for c in ax.containers]
        assert lines == [[0.45, 0.6], [0.3, 0.5]]  # entity text given, not given; leaves closed, open
    drawn = {round(float(c.lines[0].get_xdata()[0]), 3) for c in steps.containers}
    assert drawn == {round(0.1 * i, 3) for i in range(len(reports.STEPS))} and "n 40" in steps.get_xlabel()
    assert isinstance(reports.prompt_effects(prompt_rows("this run"), ["shipped"]), str)


# ---- notebook 04
def phrase_rows():
    return long(map=["masked", "masked", "prior"], control=["own", "swapped phrase", "own"], finding="overall",
                method=["this run", "this run", "centre prior"], metric="pointing", value=[0.7, 0.2, 0.3])  # fmt: skip


def test_phrase_figure_plots_own_phrases_only():
    ax = grounding.phrase_grounding(phrase_rows()).axes[0]
    assert sorted(float(c.lines[0].get_xdata()[0]) for c in ax.containers) == [0.3, 0.7]
    assert isinstance(grounding.phrase_grounding(phrase_rows().iloc[:0]), str)


def test_controls_figure_draws_paired_differences_with_their_number():
    metrics = ["pointing_own_minus_swapped", "cnr_own_minus_swapped", "pointing_shifted_minus_own", "pointing"]
    table = long(
        map="masked", control="own", finding="overall", method="this run", metric=metrics, value=[0.4, 1.1, -0.1, 9]
    )
    table = table.assign(n=[558, 558, 168, 558])
    axes = np.reshape(grounding.controls(table).axes, (2, 3))
    drawn = [[[float(c.lines[0].get_xdata()[0]) for c in ax.containers] for ax in row] for row in axes]
    assert drawn == [[[0.4], [], [-0.1]], [[1.1], [], []]]
    assert [text.get_text() for text in axes[0, 2].texts] == ["n 168"]
    assert isinstance(grounding.controls(table[table["metric"] == "pointing"]), str)


def test_phrase_case_writes_iou_and_cnr_on_each_map_and_draws_what_they_were_computed_on():
    heat = np.linspace(0, 1, MASK.size).reshape(MASK.shape)
    case = PhraseCase("Edema", "diffuse edema", FILM, MASK, np.array([[4, 8, 16, 8]]), {"masked": (heat, 0.5, 1.25)})
    figure = grounding.phrase_cases([case])
    assert "masked\nIoU 0.50   CNR 1.25" in texts(figure) and "“diffuse edema”" in texts(figure)
    film, drawn = figure.axes[:2]
    assert drawn.images[1].get_clim() == (-1, 1)
    lines = [found for found in drawn.collections if hasattr(found, "levels")]
    assert [list(found.levels) for found in lines] == [[0.1, 0.2, 0.3, 0.4, 0.5], [0.5]]  # thresholds; the mask
    assert len(film.patches) == 1 and not drawn.patches  # the box is not what the IoU counts
    flat = PhraseCase("Edema", "diffuse edema", FILM, MASK, case.boxes, {"zero": (0 * heat, 0.0, 0.0)})
    assert len(grounding.phrase_cases([flat]).axes[1].collections) == 1
    assert isinstance(grounding.phrase_cases([]), str)


def test_faithfulness_plots_both_orders():
    rows = [{"curve": c, "order": o, "fraction": f, "method": "this run", "value": f} for c in ("deletion", "insertion")
            for o in ("evidence", "random") for f in (0.0, 1.0)]  # fmt: skip
    figure = grounding.faithfulness(long(**pd.DataFrame(rows).to_dict("list")))
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", ":"]
    assert isinstance(grounding.faithfulness(pd.DataFrame()), str)


def test_anatomy_figure_lists_the_leaves_in_order():
    nodes = ["mean of leaves", *default_graph().leaves]
    table = long(node=nodes, method="this run", metric="pointing", value=np.linspace(0, 1, 26))
    chance = grounding.anatomy_grounding(table.assign(method="chance")).axes[0].collections[0].get_segments()
    assert [line[0][0] for line in chance] == pytest.approx(list(table["value"]))  # a line as high as its row
    assert all(line[1][1] - line[0][1] > 0.5 for line in chance)
    ax = grounding.anatomy_grounding(table).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == nodes
    assert ax.containers[0].lines[0].get_xdata().tolist() == pytest.approx(np.linspace(0, 1, 26).tolist())
    assert isinstance(grounding.anatomy_grounding(table.iloc[:0]), str)


def test_likeness_works_without_masks_and_without_a_table():
    maps = {"this run": np.ones((2, SIZE, SIZE))}
    empty = pd.DataFrame(columns=["node", "method", "metric", "value", "low", "high"])
    assert "attention of “spine” in 2 patients" in texts(
        grounding.likeness(empty, np.stack([FILM] * 2), maps, None, "spine")
    )


def test_film_lungs_needs_boxes():
    assert isinstance(grounding.film_lungs(pd.DataFrame()), str)
    table = long(
        map="masked", control="own", region="both", method="trained on the films", metric="pointing", value=[0.4]
    )
    assert "trained on the films, masked map" in texts(grounding.film_lungs(table))


# ---- notebook 07
def speed_rows(*rows):
    """(what, metric, value) as a table with intervals."""
    return long(what=[r[0] for r in rows], metric=[r[1] for r in rows], value=[r[2] for r in rows])


def test_ratios_have_one_row_per_comparison_and_precision():
    measured = {"training_step": 2.0, "training_step_fp32": 1.5, "training_step_dense": 3.0,
                "training_step_without_pair_loop": 1.6}  # fmt: skip
    kinds = ("throughput_ratio", "peak_memory_ratio")
    table = speed_rows(*((what, metric, value) for what, value in measured.items() for metric in kinds))
    ax = speed.ratios(table).axes[0]
    names = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    assert names == [
        "paper mode against its plain form (dense mask, loop over pairs), bfloat16",
        "paper mode against release mode's four passes, no loop over pairs, bfloat16",
        "paper mode against release mode's four passes, loop over pairs, bfloat16",
        "paper mode against release mode's four passes, loop over pairs, float32",
    ], "equal functions first"
    assert ax.containers[0].lines[0].get_xdata().tolist() == [3.0, 1.6, 2.0, 1.5]


def test_terms_and_attention_are_bars_of_the_table():
    table = speed_rows(("term_image_reconstruction", "milliseconds", 5.0), ("step_with_optimizer", "milliseconds", 9.0),
                       ("attention_fp32", "milliseconds_fused", 4.0), ("attention_fp32", "milliseconds_plain", 3.0))  # fmt: skip
    left, right = speed.terms(table).axes
    assert [bar.get_width() for bar in left.patches] == [5.0, 9.0]
    assert [label.get_text() for label in right.get_yticklabels()] == ["fused, float32", "plain, float32"]
    assert [bar.get_width() for bar in right.patches] == [4.0, 3.0]


def test_curves_run_over_sizes_in_order_and_leave_out_what_is_not_there():
    table = speed_rows(("training_step_batch_24", "images_per_second", 70.0),
                       ("training_step_batch_6", "images_per_second", 50.0),
                       ("training_step_image_96", "images_per_second", 70.0), ("consistency_batch_8", "milliseconds", 2.0),
                       ("consistency_batch_512", "milliseconds", 4000.0), ("consistency_naive_batch_8", "milliseconds", 2.0),
                       ("consistency_batch_8", "peak_megabytes", 5.0))  # fmt: skip
    batch, image, time, memory = speed.curves(table).axes
    assert batch.lines[0].get_xdata().tolist() == [6, 24] and batch.lines[0].get_ydata().tolist() == [50.0, 70.0]
    assert time.lines[0].get_ydata().tolist() == [0.002, 4.0]
    assert {axis.get_xlabel() for axis in (batch, image, time)} == {
        "images in a batch", "side of the image (pixels)", "images compared by $L_{ac}$"}  # fmt: skip
    assert memory.get_ylabel() == "megabytes, peak" and "8 GB (aim: stay below)" in texts(memory.figure)


def test_inference_names_the_ratio_over_the_bars():
    rows = [(what, metric, value) for what in ("greedy_cache", "beam_search_cache") for metric, value in
            (("tokens_per_second", 800.0), ("tokens_per_second_without_cache", 100.0), ("throughput_ratio", 8.0))]  # fmt: skip
    rows += [(f"ground_{n}_phrases", "milliseconds", 10.0 * n) for n in (100, 1, 10)]
    rows += [("ground_similarity_1_phrases", "milliseconds", 3.0)]
    left, right = speed.inference(speed_rows(*rows)).axes
    assert texts(left.figure).count("8.0 times") == 2
    assert right.lines[0].get_xdata().tolist() == [1, 10, 100]


def test_looking_figures_tell_moved_films_apart_and_outline_what_is_true():
    nodes, kinds = ["mean of leaves", *default_graph().leaves], ("as they are", "moved")
    table = pd.concat(
        long(node=nodes, films=films, method=method, metric=metric, value=np.linspace(0, 1, 26))
        for films in kinds for method in ("shipped+", "shipped", "words atlas") for metric in ("pointing", "cnr")
    )  # fmt: skip
    figure = looking.looking(table, "shipped+")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["shipped+", "shipped", "words atlas"]
    faces = {line.lines[0].get_markerfacecolor() for line in figure.axes[0].containers}
    assert "white" in faces and len(faces) == 3, "one colour per model, and open marks"
    assert isinstance(looking.looking(table, "this run+"), str)
    maps = {"spine": {"attention": FILM / 255, "SS-ACL+": 0 * FILM}}
    drawn = looking.leaf_maps([LeafCase("patient 1", FILM, {"spine": MASK}, maps)])
    assert {"spine\nattention", "spine\nSS-ACL+", "patient 1"} <= set(texts(drawn))
    assert isinstance(looking.leaf_maps([]), str)


def test_teaser_draws_boxes_around_what_it_names_and_needs_all_regions():
    masks = dict.fromkeys(default_graph().nodes, MASK)
    figure = teaser.teaser([(FILM, masks), (FILM, masks)], "Effusion at the right base. " * 20)
    rows, columns = (np.flatnonzero(MASK.any(axis)) for axis in (1, 0))
    box = figure.axes[0].patches[0]
    assert box.get_xy() == (columns[0], rows[0]) and len(figure.axes[0].patches) == 3
    assert {"c  Inclusion", "d  Consistency"} <= set(texts(figure))
    assert isinstance(teaser.teaser([(FILM, {}), (FILM, {})], ""), str)
