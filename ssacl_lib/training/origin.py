"""What decides a training: the note in its checkpoint (`origin_of`), and the weights that it starts from."""

import numpy as np

from ..model.network import SSACLNetwork
from ..record.sources import code_behind, folder_fingerprint, sha256_json
from ..record.starts import local_folder, to_be_made
from ..settings import Settings
from .state import decides_training


def origin_of(settings: Settings, studies, kind: type[SSACLNetwork] = SSACLNetwork) -> dict:
    """What decides a run: its settings by name, its studies, the weights that it starts from, and the code."""
    told = decides_training(settings)
    texts = [list(studies.reports), np.asarray(studies.labels).tolist()]
    folder = getattr(studies, "folder", None)  # its name says what prepared studies are made of
    told["the studies"] = sha256_json([texts, folder.name if folder else None])
    told["the start"] = start_fingerprint(settings)
    told["the network"] = f"{kind.__name__} {code_behind(kind.__module__)}"
    told["the code"] = code_behind("training.loop")
    return told


def start_fingerprint(settings: Settings) -> str | None:
    """Hash of the weights that training starts from: encoder, text and language model where they are folders.

    None for random ones, for those of a hub, which have a name, and for a start that is not made yet.
    """
    m = settings.model
    named = [name for name in (m.encoder_weights, m.text_weights, m.language_weights) if name and not to_be_made(name)]
    found = [folder_fingerprint(folder) for folder in map(local_folder, named) if folder]
    return sha256_json(found) if len(found) > 1 else found[0] if found else None
