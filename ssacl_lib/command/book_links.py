"""Where a file of the repository lies in the web edition, and links that lead there.

A link leads to a page of the edition, to a file that is copied into it, or nowhere: then its words stay, and say so.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path, PurePosixPath

from .links import SCHEME

FILES = "files"
"""Folder of the edition with pictures, tables and whatever else is copied as it is."""

COPIED = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".csv", ".json", ".cff")
"""A linked file with another ending is a page, a listing of source, or stays in the repository."""

SOURCES = (".py",)
"""Shown as pages with numbered lines."""

PIECES = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|(?P<picture>!?)\[(?P<words>(?:\\.|[^\[\]])*)\]\((?P<target>[^)\s]+)\)", re.DOTALL
)
"""Code, in which nothing is a link; else a link or a picture. A picture that is itself a link is none of these."""


@dataclass
class Places:
    """What lies where. pages, files: path in the repository (as "data/README.md") -> path in the edition, of the finished page.

    wanted: sources that somebody links, collected while links are rewritten; copies: files, likewise.
    """

    root: Path
    pages: Mapping[str, str]
    wanted: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Place in the edition of a file or folder of the repository; None: it has none. Notes what has to be brought there."""
        if name in self.pages:
            return self.pages[name]
        path, suffix = self.root / name, PurePosixPath(name).suffix
        if suffix == ".csv" and (twin := name.removesuffix(".csv") + ".md") in self.pages:
            return self.pages[twin]  # the same table, to be read and sorted
        if path.is_file() and suffix in COPIED:
            return self.copies.setdefault(name, f"{FILES}/{name}")
        if path.is_file() and suffix in SOURCES:
            return self.wanted.setdefault(name, f"source/{name}.html")
        return None


def rewritten(text: str, source: str, page: str, places: Places) -> str:
    """A Markdown text of the file `source` of the repository as it has to stand on the page `page` of the edition.

    Raises:
        ValueError: a link to what the repository does not have, or a picture without words for those who don't see it.
    """
    folder = PurePosixPath(source).parent

    def move(match: re.Match) -> str:
        target = match["target"]
        if match["code"] or target.startswith("#") or (SCHEME.match(target) and not match["picture"]):
            return match[0]
        path, _, anchor = target.partition("#")
        name = os.path.normpath(folder / path).replace(os.sep, "/")
        if not (places.root / name).exists() and name not in places.pages:
            raise ValueError(f"{source}: links to {target}, which is not there")
        place = places.find(name)
        if match["picture"]:
            if not match["words"] or place is None:
                raise ValueError(f"{source}: the picture {target} has no words in its brackets, or is no picture")
            return picture(relative(place, page), match["words"])
        if place is None:
            return f'<span class="elsewhere" title="{escape(name)}, in the repository">{match["words"]}</span>'
        return f"[{match['words']}]({relative(place, page)}{'#' if anchor else ''}{anchor})"

    return PIECES.sub(move, text)


def relative(place: str, page: str) -> str:
    """The way from a page of the edition to a place in it."""
    return os.path.relpath(place, PurePosixPath(page).parent).replace(os.sep, "/")


def picture(source: str, words: str, width: int | None = None) -> str:
    """HTML of a picture that opens alone, at its full size, where it is clicked."""
    size = f' width="{width}"' if width else ""
    image = f'<img src="{escape(source)}" alt="{escape(words)}"{size} loading="lazy">'
    return f'<a class="picture" href="{escape(source)}">{image}</a>'
