"""Controls that the explorer's panels share: those of a made patient's finding, a slider, a patient's number."""

import ipywidgets as widgets

from ..evaluation import ordered_signs
from ..observations import FINDINGS
from ..phantom import Sign
from .explorer import Explorer

NOTHING = "nothing"
WIDE = {"style": {"description_width": "110px"}, "layout": {"width": "340px"}}


class SignControls:
    """The controls of one finding of a made patient; side, zone and kind offer what the finding has."""

    def __init__(self, finding: str = NOTHING, title: str = "finding"):
        self.offering = False
        self.finding = widgets.Dropdown(options=[NOTHING, *FINDINGS], value=finding, description=title, **WIDE)
        self.side, self.zone, self.kind = (
            widgets.Dropdown(description=name, **WIDE) for name in ("side", "zone", "kind")
        )
        self.severity = slider("severity", 0.7, 0, 1, 0.05)
        self.size = widgets.IntSlider(description="size, mm (0: by severity)", max=120, continuous_update=False, **WIDE)
        self.finding.observe(self.offer, "value")
        self.offer()

    @property
    def all(self) -> list:
        """All controls in their order."""
        return [self.finding, self.side, self.zone, self.kind, self.severity, self.size]

    def offer(self, _=None) -> None:
        """Offer what the finding has."""
        self.offering = True
        choices = ordered_signs.CHOICES.get(self.finding.value, ((), (), ()))
        for control, options in zip((self.side, self.zone, self.kind), choices, strict=True):
            control.options, control.disabled = options, not options
        sized = any(name == self.finding.value for name, _ in ordered_signs.MILLIMETRES)
        self.size.disabled, self.size.value = not sized, 0
        self.offering = False

    def sign(self) -> tuple[Sign, ...]:
        """The sign that the controls describe; none for no finding."""
        if self.finding.value == NOTHING:
            return ()
        return (
            ordered_signs.sign_of(self.finding.value, self.side.value, self.zone.value, self.kind.value, self.severity.value,
                             self.size.value or None),
        )  # fmt: skip


def slider(name: str, value: float, low: float, high: float, step: float) -> widgets.FloatSlider:
    """A slider that answers when it is let go."""
    return widgets.FloatSlider(value, min=low, max=high, step=step, description=name, continuous_update=False, **WIDE)


def numbers(explorer: Explorer, name: str = "patient", value: int = 0) -> widgets.IntSlider:
    """A slider over the patients by number."""
    return widgets.IntSlider(value, max=explorer.patients - 1, description=name, continuous_update=False, **WIDE)
