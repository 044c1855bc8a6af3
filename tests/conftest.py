"""Fixtures are made, not stored: tiny settings, a folder of small films, a phantom without a CT, a small trained model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from browser import started_browser
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ssacl_lib import paths
from ssacl_lib.phantom.truth import Sign
from ssacl_lib.settings import load_settings

PICTURES = Path(__file__).parent / "data" / "pictures"
"""Phantom films in encodings that can't be made here: lossless JPEG and JPEG-LS; and one that is broken."""


SLOW = (
    "test_ablation", "test_browser_book", "test_browser_model", "test_browser_notebooks",
    "test_cli", "test_convert_release", "test_datasets", "test_distributed", "test_evaluation", "test_explorer", "test_finetune",
    "test_fuzz", "test_gpu_profile", "test_gpu_visit", "test_models", "test_outside_sets",
    "test_phantom_images", "test_plots", "test_public_import", "test_rebuild", "test_recipe", "test_release_equality",
    "test_robustness", "test_segmentation", "test_shipped", "test_small_cnn", "test_smoke", "test_speed", "test_spread",
    "test_stale", "test_teaching", "test_threads", "test_training",
)  # fmt: skip
"""Files whose tests train, render or start processes: `make quick` leaves them out."""


def pytest_collection_modifyitems(items):
    """Mark the tests of those files, so that they are named in one place.

    The rebuild of all notebooks comes first: it is the longest chain, and two processes end together only if it begins early.
    """
    items.sort(key=lambda item: item.path.stem != "test_smoke")
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium; `browser.watched_page` opens a page in it."""
    yield from started_browser()


@pytest.fixture
def smoke():
    """The settings of the profile smoke."""
    return load_settings("smoke")


@pytest.fixture
def studies_folder(tmp_path, monkeypatch):
    """Prepared studies go to a folder of the test."""
    monkeypatch.setattr(paths, "STUDIES", tmp_path / "studies")
    return tmp_path / "studies"


def fake_signs(seed: int, split: str, number: int) -> tuple[Sign, ...]:
    """Zero to two signs that depend on (seed, split, number) only."""
    count = int(np.random.default_rng([seed, len(split), number]).integers(0, 3))
    right = Sign("Pleural Effusion", "right", "costophrenic", 0.7, regions=("right costophrenic angle",))
    return (right, Sign("Cardiomegaly", severity=0.6, regions=("cardiac silhouette",)))[:count]


def fake_render(seed, split, indices, *, image_size, ranges, maps=None, masks=False):
    """A stand-in for `phantom.render`: noise for images, rectangles for masks."""
    images = [np.random.default_rng([seed, i]).integers(0, 256, (image_size, image_size), np.uint8) for i in indices]
    signs = [fake_signs(seed, split, i) for i in indices]
    nodes = np.zeros((len(images), 32, image_size, image_size), bool)
    nodes[:, :, 4:20, 4:20] = True
    extents = [np.zeros((len(s), image_size, image_size), bool) for s in signs]
    for extent in extents:
        extent[:, 8:16, 6:10] = True
    return SimpleNamespace(
        images=np.stack(images), signs=signs, node_masks=nodes if masks else None, sign_masks=extents if masks else None
    )


@pytest.fixture
def fake_phantom(monkeypatch, studies_folder):
    """The phantom data set without a CT: reports and labels are real, the pictures are noise."""
    from ssacl_lib.datasets import phantom

    monkeypatch.setattr(phantom, "render", fake_render)
    monkeypatch.setattr(phantom, "draw_signs", fake_signs)
    monkeypatch.setattr(phantom, "organ_maps", lambda *_, **__: None)
    return phantom


@pytest.fixture
def film_folder(tmp_path):
    """Twelve small grey films of six patients with notes, lung boxes and one pair of equal phrases."""
    root = tmp_path / "films"
    (root / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = []
    for number in range(12):
        name = f"{number:02d}.png"
        Image.fromarray(generator.integers(0, 256, (40, 80), dtype=np.uint8)).save(root / "images" / name)
        note = "Small right pleural effusion." if number % 2 else "No acute findings. Lungs are clear."
        rows.append({"image": f"images/{name}", "report": note, "patient": f"p{number // 2}", "view": "AP"})
    pd.DataFrame(rows).to_csv(root / "studies.csv", index=False)
    boxes = [{"image": r["image"], "region": "right lung", "x": 8, "y": 4, "w": 20, "h": 30} for r in rows]
    pd.DataFrame(boxes).to_csv(root / "region_boxes.csv", index=False)
    phrases = [
        {"image": r["image"], "phrase": text, "finding": "Pleural Effusion", "x": x, "y": 10, "w": 10, "h": 10}
        for r in rows
        for text, x in (("right effusion", 4), ("Right effusion", 50))
    ]
    pd.DataFrame(phrases).to_csv(root / "phrase_boxes.csv", index=False)
    return root


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """A folder with a small model of random weights, as `ssacl pretrain` writes it."""
    from ssacl_lib.model.build import build_model
    from ssacl_lib.text.tokenizer import train_tokenizer
    from ssacl_lib.training.state import save_model

    notes = ["Small right pleural effusion. No pneumothorax.", "The heart is enlarged. The lungs are clear."] * 4
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(build_model(load_settings("smoke"), train_tokenizer(notes)), folder)
    return folder


@pytest.fixture
def whole_digits(monkeypatch):
    """float32 in PyTorch, too, where the processor would take half the digits."""
    from ssacl_lib.model import precision

    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: False)


def write_dicom(path, pixels, photometric="MONOCHROME2", **elements):
    """Write pixels [H, W] as a radiograph in DICOM; more elements by keyword."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    return path
