"""Real reports with an indexer's tags: the Indiana University collection of Open-i, as its users download it.

Every report is one XML file with its sections and its MeSH tags, such as "Opacity/lung/base/left" or "normal". The collection is
CC BY-NC-ND and not part of this repository. What a tag says of our 13 findings is decided here, before any label is read:

  - a tag counts for a finding whose form CheXpert's labels have, and for none besides (a calcified granuloma, emphysema, a
    deformed vertebra and a blunted angle are none of the 13);
  - a round opacity or density is a nodule, hence Lung Lesion and not Lung Opacity; scars of the lung, infiltrate, airspace
    disease and interstitial markings are Lung Opacity; congestion and heart failure are Edema; loss of volume is Atelectasis;
  - degrees don't count: a borderline Cardiomegaly is one, where the labeler would say "uncertain";
  - No Finding is true where no tag names a finding other than Support Devices.

Reports without text or tagged "No Indexing" are left out.

Source: Demner-Fushman et al., Preparing a collection of radiology examinations for distribution and retrieval, JAMIA 2016.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..observations import BLANK, OBSERVATIONS, POSITIVE

UNTAGGED = "No Indexing"
SECTIONS = ("FINDINGS", "IMPRESSION")

TAGS = (
    ("Enlarged Cardiomediastinum", {"Mediastinum"}, {"enlarged", "prominent"}, set()),
    ("Enlarged Cardiomediastinum", {"Mass"}, {"mediastinum"}, set()),
    ("Cardiomegaly", {"Cardiomegaly"}, set(), set()),
    ("Cardiomegaly", {"Cardiac Shadow"}, {"enlarged"}, set()),
    ("Lung Opacity", {"Opacity", "Density"}, {"lung"}, {"round"}),
    ("Lung Opacity", {"Infiltrate", "Airspace Disease", "Lung Diseases, Interstitial"}, set(), set()),
    ("Lung Opacity", {"Markings"}, {"interstitial", "bronchovascular"}, set()),
    ("Lung Opacity", {"Cicatrix"}, {"lung"}, set()),
    ("Lung Lesion", {"Opacity", "Density"}, {"round"}, set()),
    ("Lung Lesion", {"Nodule", "Mass", "Cavitation"}, {"lung", "hilum"}, set()),
    ("Edema", {"Pulmonary Edema", "Pulmonary Congestion", "Heart Failure"}, set(), set()),
    ("Consolidation", {"Consolidation"}, set(), set()),
    ("Pneumonia", {"Pneumonia"}, set(), set()),
    ("Atelectasis", {"Pulmonary Atelectasis", "Volume Loss"}, set(), set()),
    ("Pneumothorax", {"Pneumothorax", "Hydropneumothorax", "Hemopneumothorax"}, set(), set()),
    ("Pleural Effusion", {"Pleural Effusion", "Hydropneumothorax", "Hemopneumothorax", "Hemothorax"}, set(), set()),
    ("Pleural Other", {"Thickening", "Cicatrix", "Calcinosis"}, {"pleura"}, set()),
    ("Fracture", {"Fractures, Bone"}, set(), set()),
    ("Support Devices", {"Catheters, Indwelling", "Tube, Inserted", "Medical Device", "Stents"}, set(), set()),
    ("Support Devices", {"Implanted Medical Device", "Surgical Instruments", "Sutures"}, set(), set()),
)
"""(finding, headings of a tag, qualifiers of which one is needed, qualifiers of which none may stand)."""


def findings_of_tags(tags: list[str]) -> set[str]:
    """The findings that tags name: {"Lung Opacity"} of ["Opacity/lung/base", "Scoliosis/mild"]."""
    found = set()
    for tag in tags:
        heading, *qualifiers = (part.strip() for part in tag.split("/"))
        for finding, headings, needed, barred in TAGS:
            if heading in headings and (not needed or needed & set(qualifiers)) and not barred & set(qualifiers):
                found.add(finding)
    return found


def read_iu_reports(source: Path) -> tuple[list[str], np.ndarray]:
    """Reports that have a text and tags, and what the tags say.

    Args:
        source: a folder with the XML files or with the archive of them (.tgz), at any depth; or such an archive.

    Returns:
        n texts (findings and impression, under their headings), and [n, 14] codes: POSITIVE where a tag says so, else BLANK.

    Raises:
        FileNotFoundError: no such folder, or no report in it.
        ValueError: a file that is no XML.
    """
    texts, truth = [], []
    for name, content in _files(Path(source)):
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise ValueError(f"{name}: not a report in Open-i's XML ({error}); download it again") from None
        sections = {part.get("Label"): (part.text or "").strip() for part in root.iter("AbstractText")}
        said = [f"{label}: {sections[label]}" for label in SECTIONS if sections.get(label)]
        tags = [(tag.text or "").strip() for tag in root.iter("major")]
        if said and tags and UNTAGGED not in tags:
            texts.append("\n".join(said))
            truth.append(_codes(findings_of_tags(tags)))
    if not texts:
        raise FileNotFoundError(
            f"{source}: no report with a text and tags; expected Open-i's XML files, or a .tgz of them"
        )
    return texts, np.stack(truth)


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every XML file, in the order of the names."""
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such folder")
    archives = [source] if source.is_file() else sorted(source.rglob("*.tgz"))
    for archive in archives:
        try:
            with tarfile.open(archive) as opened:
                for member in sorted(opened.getmembers(), key=lambda member: member.name):
                    if member.isfile() and member.name.endswith(".xml"):
                        yield member.name, opened.extractfile(member).read()
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"{archive}: not an archive of reports ({error}); download it again") from None
    for path in sorted(source.rglob("*.xml")) if not archives else ():
        yield path.name, path.read_bytes()


def _codes(findings: set[str]) -> np.ndarray:
    """[14] codes of findings; No Finding where there is none but Support Devices."""
    named = findings | ({OBSERVATIONS[0]} if findings <= {"Support Devices"} else set())
    return np.where(np.isin(OBSERVATIONS, list(named)), POSITIVE, BLANK).astype(np.int8)
