"""The explorer's widgets: controls above a picture and its words.

Each needs a running kernel; its static twin draws the same figure. A control that moves asks the explorer anew. What was wrong
with an answer (an empty phrase, a broken file) stands where the words stand; nothing is swallowed.
"""

import base64
import html
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import ipywidgets as widgets
from IPython.display import Image, Markdown, display

from ..anatomy import default_graph
from ..evaluation import phrase_views, subjects
from ..plots.style import png_bytes
from .explorer import NOT_MADE, Explorer, Shown
from .explorer_controls import WIDE, SignControls, numbers, slider

OURS, MADE, FILE = "a patient by number", "make a patient", "my film (PNG, JPEG, DICOM)"


class Panel(widgets.VBox):
    """Controls, a bar while it works, a picture with its alternative text, and what it says in words.

    draw: called with the controls' values, returns what is shown. `error` holds what went wrong the last time, else nothing.
    """

    def __init__(
        self,
        explorer: Explorer,
        draw: Callable[..., Shown],
        controls: Sequence,
        beside: Sequence = (),
        signs: Sequence["SignControls"] = (),
    ):
        self.explorer, self.draw, self.controls, self.error = explorer, draw, list(controls), ""
        self.signs, self.working = tuple(signs), False
        self.picture, self.words = widgets.HTML(), widgets.HTML()
        self.bar = widgets.IntProgress(min=0, max=100, layout={"visibility": "hidden", "width": "340px"})
        column = widgets.VBox([self.bar, self.words, self.picture])
        main = widgets.HBox([*beside, column]) if beside else column
        super().__init__([widgets.Box(self.controls, layout={"flex_flow": "row wrap"}), main])
        for control in self.controls:
            control.observe(self.refresh, "value")
        self.refresh()

    def refresh(self, _=None) -> None:
        """Ask anew and show it; what moves because a control is being set up, or because of the answer, asks nothing."""
        if self.working or any(sign.offering for sign in self.signs):
            return
        self.working = True
        self.bar.value, self.bar.layout.visibility = 2, "visible"
        self.explorer.step = self._step
        try:
            shown = self.draw(*(control.value for control in self.controls))
            self.picture.value, self.words.value, self.error = picture(shown), words(shown.words), ""
        except Exception as error:  # shown to whoever moved the control: a callback's error is seen nowhere else
            self.error = (
                f"{error}" if isinstance(error, (ValueError, FileNotFoundError)) else f"{type(error).__name__}: {error}"
            )
            self.picture.value, self.words.value = (
                "",
                f"<p role='alert' style='color:#B00020'>{html.escape(self.error)}</p>",
            )
        finally:
            self.bar.layout.visibility, self.bar.description, self.working = "hidden", "", False

    def _step(self, share: float, told: str) -> None:
        self.bar.value, self.bar.description = max(2, round(100 * share)), told


def picture(shown: Shown) -> str:
    """A figure as HTML with its alternative text."""
    data = base64.b64encode(png_bytes(shown.figure)).decode()
    return f'<img style="max-width:100%" alt="{html.escape(shown.alt, quote=True)}" src="data:image/png;base64,{data}">'


def words(text: str) -> str:
    """A sentence that a screen reader says when it changes."""
    return f'<p role="status" aria-live="polite" style="max-width:60em">{html.escape(text)}</p>'


def twin(shown: Shown) -> Markdown:
    """The static twin of a panel that no file is kept of: the same figure as a picture of the notebook, then its words."""
    width = round(shown.figure.get_figwidth() * 125)
    display(Image(data=png_bytes(shown.figure), format="png", width=width, alt=shown.alt))
    return Markdown(shown.words)


def file_of(name: str, content: bytes) -> dict:
    """A file as the widget of uploads holds it."""
    return {"name": name, "type": "", "size": len(content), "content": memoryview(content),
            "last_modified": datetime.now(UTC)}  # fmt: skip


# ---- which film
class FilmPanel(Panel):
    """Choose a patient, make one, or hand in a film; the panels that `follow` it show the same film."""

    def __init__(self, explorer: Explorer, number: int = 0):
        self.source = widgets.ToggleButtons(options=[OURS, MADE, FILE] if explorer.phantom else [OURS, FILE])
        self.number = numbers(explorer, value=number)
        models = [name for name in explorer.models if name in (*explorer.fitted, "untrained")]
        self.asked = widgets.Dropdown(options=models, value=explorer.asked, description="model", **WIDE)
        made_of = (SignControls("Pleural Effusion", "first finding"), SignControls(title="second finding"))
        self.seed = widgets.BoundedIntText(explorer.settings.seed, min=0, max=10**6, description="seed", **WIDE)
        self.spread = slider("pose and exposure", explorer.settings.data.phantom_ranges, 0, 1, 0.1)
        self.upload = widgets.FileUpload(
            accept=".png,.jpg,.jpeg,.dcm,.dicom,.tif,.tiff,.bmp", description="choose a file"
        )
        self.followers: list[Panel] = []
        made = [control for sign in made_of for control in sign.all]
        self.groups = {OURS: [self.number], MADE: [self.number, self.seed, self.spread, *made], FILE: [self.upload]}
        every = list(dict.fromkeys(control for group in self.groups.values() for control in group))
        self._arrange()
        self.source.observe(self._arrange, "value")
        super().__init__(explorer, self.show, [self.source, self.asked, *every], signs=made_of)

    def _arrange(self, _=None) -> None:
        """Show the controls of the chosen source alone."""
        shown = self.groups[self.source.value]
        for control in {id(c): c for group in self.groups.values() for c in group}.values():
            control.layout.display = None if control in shown else "none"

    def show(self, *_) -> Shown:
        """Take the film and show it."""
        if self.source.value == FILE and not self.upload.value:
            raise ValueError("no file yet: choose a film (PNG, JPEG, TIFF, BMP or DICOM)")
        self.explorer.subject, self.explorer.asked = self.chosen(), self.asked.value
        self.explorer.step(0.3, "findings and report")
        return self.explorer.patient_sheet()

    def chosen(self) -> subjects.Subject:
        """The film that the controls describe."""
        if self.source.value == MADE:
            signs = tuple(sign for controls in self.signs for sign in controls.sign())
            return self.explorer.made(signs, self.number.value, self.seed.value, self.spread.value)
        if self.source.value == FILE:
            (file, *_) = self.upload.value
            return subjects.uploaded_subject(file["name"], bytes(file["content"]), self.explorer.size)
        return self.explorer.patient(self.number.value)

    def refresh(self, _=None) -> None:
        """Show the film, then the same film in the panels that follow."""
        super().refresh()
        if not self.error:
            for panel in self.followers:
                panel.refresh()


def films(explorer: Explorer, number: int = 0) -> FilmPanel:
    """The panel that chooses the film of all others."""
    return FilmPanel(explorer, number)


# ---- what is asked of it
def phrases(explorer: Explorer, film: FilmPanel | None = None) -> Panel:
    """Type a phrase, or take one: both maps and the controls beside them. film: the panel whose film is asked."""
    typed = widgets.Text(subjects.first_phrase(explorer.subject), description="phrase", continuous_update=False, **WIDE)
    usual = widgets.Dropdown(options=["", *phrase_views.EXAMPLES.values()], description="or one of these", **WIDE)
    usual.observe(lambda change: setattr(typed, "value", change["new"] or typed.value), "value")
    number = numbers(explorer) if film is None else None

    def draw(phrase: str, *chosen: object) -> Shown:
        _take(explorer, chosen)
        return explorer.phrase_sheet(phrase)

    return _follow(Panel(explorer, draw, [typed, *_more(explorer, number)]), film, [usual])


def nodes(
    explorer: Explorer, film: FilmPanel | None = None, names: tuple[str, ...] | None = None, node: str = "lungs"
) -> Panel:
    """Click a node of the tree: where its prompt looks. names: the models in rows (default: the asked one)."""
    chosen = widgets.Dropdown(options=default_graph().nodes, value=node, description="node", **WIDE)
    number = numbers(explorer) if film is None else None
    buttons = {name: _button(name, chosen) for name in default_graph().nodes}
    branch = widgets.VBox(list(buttons.values()), layout={"min_width": "240px"})

    def draw(name: str, *more: object) -> Shown:
        _take(explorer, more)
        shown = explorer.node_sheet(name, names)
        opened = explorer.opened(names)
        for other, button in buttons.items():
            button.description = f"{'●' if other in opened else '○'} {other}"
            button.style.font_weight = "bold" if other == name else "normal"
        return shown

    return _follow(Panel(explorer, draw, [chosen, *([number] if number else [])], [branch]), film)


def _button(node: str, chosen: widgets.Dropdown) -> widgets.Button:
    """A node of the tree, as far to the right as it lies deep."""
    inset = 16 * default_graph().level(node)
    button = widgets.Button(description=node, tooltip=f"show {node}",
                            layout={"height": "22px", "width": "205px", "margin": f"0 0 0 {inset}px"})  # fmt: skip
    button.style.text_align = "left"
    button.on_click(lambda _: setattr(chosen, "value", node))
    return button


def changes(explorer: Explorer, finding: str = "Pleural Effusion") -> Panel | widgets.HTML:
    """Move severity or side of a finding and see what becomes of findings, report and map; the body stays the same.

    Where no patient can be made it says so.
    """
    if not explorer.phantom:
        return widgets.HTML(words(NOT_MADE))
    body = numbers(explorer, "body of patient")
    before, after = SignControls(finding, "before"), SignControls(finding, "after")
    before.severity.value, after.severity.value = 0.3, 0.8
    controls = [body, *before.all, *after.all]
    draw = lambda number, *_: explorer.change_sheet(before.sign(), after.sign(), number)  # noqa: E731
    return Panel(explorer, draw, controls, signs=(before, after))


def rivals(explorer: Explorer, film: FilmPanel | None = None, names: tuple[str, ...] | None = None) -> Panel:
    """One phrase by several models side by side."""
    typed = widgets.Text(subjects.first_phrase(explorer.subject), description="phrase", continuous_update=False, **WIDE)
    shown = widgets.SelectMultiple(
        options=list(explorer.models), value=names or (explorer.asked,), description="models", **WIDE
    )
    draw = lambda phrase, chosen: explorer.rivals_sheet(phrase, tuple(chosen) or None)  # noqa: E731
    return _follow(Panel(explorer, draw, [typed, shown]), film)


def sentences(explorer: Explorer, number: int = 0) -> Panel:
    """Move through a report word by word: what the decoder attends to before each word, and in each sentence."""
    patient = numbers(explorer, value=number)
    token = widgets.IntSlider(description="word", max=95, continuous_update=False, **WIDE)
    asked = widgets.Dropdown(options=list(explorer.models), value=explorer.asked, description="model", **WIDE)

    def draw(chosen: int, name: str, word: int) -> Shown:
        explorer.asked = name
        _take(explorer, (chosen,))
        token.max = max(1, len(explorer.told().pieces) - 1)
        return explorer.word_sheet(word)

    return Panel(explorer, draw, [patient, asked, token])


def _more(explorer: Explorer, number) -> list:
    """Patient and model, where no film panel chooses them."""
    if number is None:
        return []
    return [number, widgets.Dropdown(options=list(explorer.models), value=explorer.asked, description="model", **WIDE)]


def _take(explorer: Explorer, chosen: Sequence) -> None:
    """Take the patient (and the model) of a panel's own controls."""
    if chosen:
        explorer.subject = explorer.patient(chosen[0])
    if len(chosen) > 1:
        explorer.asked = chosen[1]


def _follow(panel: Panel, film: FilmPanel | None, beside: Sequence = ()) -> Panel:
    """Let a panel follow the film of another; widgets that only help stand in front."""
    if film is not None:
        film.followers.append(panel)
    panel.children = [*beside, *panel.children]
    return panel
