"""`ssacl convert-release`: the authors' checkpoint as a folder of ours."""

import inspect
import json
import warnings
from pathlib import Path

from transformers import AutoTokenizer

from ..model import SSACLConfig, SSACLModel, SSACLProcessor
from ..model.release import read_release, unused_tensors
from ..text.tokenizer import read_wordpiece
from ..training.state import save_model
from .output import output_folder

NEVER = 2.0
"""A threshold that no probability reaches: the converted model's finding head has not been fitted."""


def convert_release_file(
    checkpoint: Path,
    out: Path,
    tokenizer: Path | None = None,
    language_tokenizer: str | None = None,
    sizes: Path | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Write the authors' checkpoint as a folder of ours; returns the unused tensors with the reasons, and notes to print.

    tokenizer: their WordPiece file. language_tokenizer: a GPT-2 tokenizer, a folder or a name on the hub. sizes: a JSON with
    fields of SSACLConfig that differ from the authors' full size. All is read and checked before anything is written.
    """
    config = _release_config(sizes)
    words = read_wordpiece(tokenizer) if tokenizer else None
    language = AutoTokenizer.from_pretrained(language_tokenizer) if language_tokenizer else None
    for read, name, sizes_of in ((words, tokenizer, config.text), (language, language_tokenizer, config.language)):
        if read is not None and len(read) > (most := sizes_of.get("vocab_size", GPT2_PIECES)):
            raise ValueError(
                f"{name}: {len(read)} entries, and the model has {most}; this is the tokenizer of another model"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
        state = read_release(checkpoint)
    model = SSACLModel.from_release(state, config)
    model.head.thresholds.fill_(NEVER)
    if words is not None and language is not None:
        model.processor = SSACLProcessor(config, words, language)
    out = output_folder(out)
    save_model(model, out)
    notes = ["the finding head is not fitted: no finding is predicted, so reports are written without prompts"]
    if words is not None and language is None:
        words.save_pretrained(out / "tokenizer")
        notes.append("without a language tokenizer: it writes no reports (give --language-tokenizer, a folder or gpt2)")
    if words is None:
        notes.append(
            "without the texts' tokenizer: no phrase can be asked for (give --tokenizer, their WordPiece file)"
        )
    if words is None and language is not None:
        language.save_pretrained(out / "language_tokenizer")
    return unused_tensors(state), notes


GPT2_PIECES = 50257
"""Entries of GPT-2's vocabulary, where a configuration does not say."""


def _release_config(path: Path | None) -> SSACLConfig:
    if path is None:
        return SSACLConfig.release()
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from None
    known = set(inspect.signature(SSACLConfig.__init__).parameters) - {"self", "kwargs"}
    written_by_transformers = {"architectures", "dtype", "model_type", "tie_word_embeddings", "transformers_version"}
    if type(fields) is not dict or (unknown := sorted(set(fields) - known - written_by_transformers)):
        found = unknown[0] if type(fields) is dict else "no object"
        raise ValueError(f"{path}: {found!r} is no field of SSACLConfig; there are {', '.join(sorted(known))}")
    return SSACLConfig.release(**{name: value for name, value in fields.items() if name in known})
