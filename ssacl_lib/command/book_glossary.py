"""Words of the glossary on the pages of the web edition: the first in each section links to its entry and says what it says."""

import re
from html import escape
from html.parser import HTMLParser

ENTRY = re.compile(r"^- \*\*(?P<name>[^*]+)\*\*: (?P<text>.*(?:\n  .*)*)", re.MULTILINE)

EVERYDAY = frozenset({"control", "fit", "head", "look", "looking", "start", "switch", "study", "shipped"})
"""Words that are in most sentences no terms: only the glossary itself has them."""

PLURAL = frozenset({"finding"})
"""Alone it is a verb as often."""

VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr", "path", "use", "rect"})
SILENT = frozenset(
    {"a", "button", "code", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "script", "style", "summary", "svg", "table"}
)
"""Elements whose words are left alone."""


def entries(text: str) -> dict[str, str]:
    """Term -> what the glossary page says of it, as plain text. "Look, looking" are two terms.

    Raises:
        ValueError: the page has no entry.
    """
    found = {}
    for match in ENTRY.finditer(text):
        said = (
            re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(match["text"].split())).replace("`", "").replace("*", "")
        )
        found.update({name.strip(): said for name in match["name"].split(",")})
    if not found:
        raise ValueError('the glossary has no entry of the form "- **Term**: text"')
    return found


def anchored(text: str) -> str:
    """The glossary page with an anchor at each entry."""
    return ENTRY.sub(lambda match: f'- <span id="{anchor(match["name"].split(",")[0])}"></span>{match[0][2:]}', text)


def anchor(term: str) -> str:
    """Name of a term's anchor."""
    return "term-" + re.sub(r"\W+", "-", term.lower()).strip("-")


def marked(page: str, terms: dict[str, str], glossary: str) -> str:
    """A finished page (HTML) with the first occurrence of each term in each section of its article as a link that says it.

    terms: as `entries`. glossary: the way from the page to the glossary's.
    """
    marker = _Marker(terms, glossary)
    marker.feed(page)
    marker.close()
    return "".join(marker.pieces)


def _forms(term: str) -> set[str]:
    """A term as texts have it: "leaf", "leaves"."""
    if term in EVERYDAY:
        return set()
    ending = {"y": term[:-1] + "ies", "f": term[:-1] + "ves"}.get(term[-1], term + "s")
    return {ending} if term in PLURAL else {term, ending}


class _Marker(HTMLParser):
    """Writes what it reads, with terms in the words of the article as links."""

    def __init__(self, terms: dict[str, str], glossary: str) -> None:
        super().__init__(convert_charrefs=False)
        self.terms = {form: name for name in terms for form in _forms(name.lower())}
        names = "|".join(re.escape(form) for form in sorted(self.terms, key=len, reverse=True))
        self.pattern = re.compile(rf"(?<![\w-])({names})(?![\w-])", re.IGNORECASE)
        self.says, self.glossary = terms, glossary
        self.pieces: list[str] = []
        self.open: list[tuple[str, bool]] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        told = dict(attrs)
        if tag == "h2":
            self.seen = set()
        if tag not in VOID:
            within = (told.get("role") == "main") if tag == "article" else bool(self.open and self.open[-1][1])
            silent = tag in SILENT or bool(
                {"math", "headerlink", "cell_input"} & set((told.get("class") or "").split())
            )
            self.open.append((tag, within and not silent))
        self.pieces.append(self.get_starttag_text())

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.pieces.append(self.get_starttag_text())

    def handle_endtag(self, tag: str) -> None:
        while self.open and any(name == tag for name, _ in self.open):
            if self.open.pop()[0] == tag:
                break
        self.pieces.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.pieces.append(self.pattern.sub(self._link, data) if self.open and self.open[-1][1] else data)

    def _link(self, match: re.Match) -> str:
        name = self.terms[match[1].lower()]
        if name in self.seen:
            return match[0]
        self.seen.add(name)
        entry = anchor(next(term for term, said in self.says.items() if said == self.says[name]))
        return f'<a class="term" href="{self.glossary}#{entry}" data-says="{escape(self.says[name])}">{match[0]}</a>'

    def handle_entityref(self, name: str) -> None:
        self.pieces.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.pieces.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.pieces.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.pieces.append(f"<!{decl}>")
