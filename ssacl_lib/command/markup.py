"""HTML by plain functions: whatever is no markup yet is escaped, so that no text of a model or a file can become markup."""

import re
from html import escape

VOID = ("meta", "img", "br", "image", "use", "path", "rect", "link")
"""Elements that are closed at once."""

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Characters that nobody sees: controls, and those that turn the direction of what follows."""


class Markup(str):
    """Text that is markup already."""


def plain(text: object) -> Markup:
    """A text as markup: escaped, and with a visible \\uXXXX for every character that can't be seen.

    >>> plain("<b>")
    '&lt;b&gt;'
    """
    if isinstance(text, Markup):
        return text
    return Markup(escape(HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Of attributes "_" becomes "-" and a last "_" goes; None and False leave one out, True gives one without value.

    >>> tag("a", "<x>", href="b.html", class_="near")
    '<a href="b.html" class="near">&lt;x&gt;</a>'
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{plain(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*children: object) -> Markup:
    """Elements and texts one behind the other; None is nothing."""
    return Markup("".join(plain(child) for child in children if child is not None))
