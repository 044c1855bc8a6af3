"""What several test files train: settings of a model that a CPU trains in a second, and studies in memory."""

from types import SimpleNamespace

from ssacl_lib.text.labeler import label_array

SMALL = {
    "data.image_size": 32,
    "model.patch_size": 8,
    "model.width": 16,
    "model.text_width": 16,
    "model.language_width": 16,
    "model.heads": 2,
    "model.decoder_heads": 2,
    "model.text_heads": 2,
    "model.language_heads": 2,
    "model.depth": 1,
    "training.batch_size": 4,
    "training.images": 24,
    "training.checkpoint_images": 8,
    "device": "cpu",
}
"""Over those of the profile smoke: `load_settings("smoke", **SMALL)`, or `{**SMALL, key: value}` for more."""


class View(SimpleNamespace):
    """A training view in memory: reports, their labels, images [n, H, W] uint8."""

    def __init__(self, reports, images):
        super().__init__(reports=reports, labels=label_array(reports), array=images)

    def __len__(self):
        return len(self.reports)

    def images(self, rows):
        return self.array[rows]
