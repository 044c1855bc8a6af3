"""Is a folder of pages whole? No broken link, no request that leaves the folder, no picture without words, no heavy page."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from .links import SCHEME

HEAVIEST = 5_000_000
"""Bytes: every page is smaller."""

LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src", "audio": "src",
           "object": "data", "embed": "src", "image": "href", "use": "href", "input": "src", "track": "src"}  # fmt: skip
"""Elements that ask for something as soon as a page is opened, and the attribute that says for what."""

IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")


class _Page(HTMLParser):
    """What a page links, asks for, and shows without words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.asks: list[str] = []
        self.wordless: list[str] = []
        self.in_style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        told = {key: value or "" for key, value in attrs}
        self.in_style = tag == "style"
        self.ids |= {told[key] for key in ("id", "name") if told.get(key)}
        if tag in ("a", "area") and "href" in told:
            self.links.append(told["href"])
        if tag in LOADING and told.get(LOADING[tag]):
            self.asks.append(told[LOADING[tag]])
        self.asks += [part.split()[0] for part in told.get("srcset", "").split(",") if part.strip()]
        self.asks += IN_STYLE.findall(told.get("style", ""))
        if tag == "img" and not told.get("alt", "").strip():
            self.wordless.append(told.get("src", ""))

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.asks += IN_STYLE.findall(data)


def outside(target: str) -> bool:
    """Does it lead out of the folder? Data that a page holds itself does not."""
    return target.startswith("//") or bool(SCHEME.match(target) and not target.startswith(("data:", "blob:")))


def faults(folder: Path, heavy: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with the pages and style sheets below a folder, a line each; scripts are not read.

    heavy: parts of the folder (its first level) whose pages may be heavier.
    """
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found = [f"{folder}: no page"] if not pages else []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve()).as_posix()
        if path.stat().st_size >= HEAVIEST and name.split("/")[0] not in heavy:
            found.append(f"{name}: {path.stat().st_size / 1e6:.1f} MB, the most is {HEAVIEST / 1e6:.0f} MB")
        found += [f"{name}: the picture {source[:80]} has no alternative text" for source in page.wordless]
        found += [f"{name}: asks for {target}" for target in page.asks if outside(target)]
        inside = [target for target in page.links + page.asks if not outside(target) and not target.startswith("data:")]
        found += [
            f"{name}: {target} leads nowhere" for target in dict.fromkeys(inside) if not _there(target, path, pages)
        ]
    for path in sorted(folder.rglob("*.css")):
        asked = IN_STYLE.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(folder).as_posix()}: asks for {target}" for target in asked if outside(target)]
    return found


def _there(target: str, page: Path, pages: dict[Path, _Page]) -> bool:
    """Does a link of a page lead to a file, and to an anchor of it where it names one?"""
    if target.startswith("blob:"):
        return True
    place, _, name = target.partition("#")
    file = (page.parent / unquote(place.partition("?")[0])).resolve() if place else page
    if not file.is_file():
        return False
    return not name or file not in pages or name == "top" or unquote(name) in pages[file].ids
