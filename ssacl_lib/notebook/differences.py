"""Where the authors' release differs from the paper's figure, or from us: one switch each, what it means, what it changes.

What a switch changes is not drawn from a description but measured on a tiny model in double precision: entry (i, j) of a
picture is filled where the derivative of output i by input j is not zero. Position numbers are read from the decoder.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from .. import losses
from ..anatomy import default_graph, leaf_mask
from ..distributed import gather_rows
from ..model import SSACLConfig, SSACLModel, SSACLProcessor
from ..model.config import DIFFERENCES
from ..text.tokenizer import train_tokenizer
from .show import who_sees_whom

SIZES = {
    "image_size": 16,
    "patch_size": 8,
    "channels": 1,
    "width": 8,
    "depth": 1,
    "heads": 2,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "report_tokens": 8,
    "text": {
        "vocab_size": 200,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 16,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "language": {"vocab_size": 200, "n_embd": 8, "n_layer": 1, "n_head": 2, "bos_token_id": 2, "eos_token_id": 4},
}
NAME = "Right apical zone"

OURS = ("consistency_gradient", "language_positions", "cls_before_names")
"""Switches whose value beside the release's is ours; in the others the paper's figure has it so."""


@dataclass(frozen=True)
class Panel:
    """What one value of a switch changes.

    values: [rows, columns], bool (who depends on whom) or float (position numbers, NaN = no token there). rows, columns: what
    the axes hold. labels: names of the columns, or None. regions: name -> (first, last) column of a part of the sequence.
    """

    values: np.ndarray
    rows: str
    columns: str
    labels: tuple[str, ...] | None = None
    regions: dict[str, tuple[int, int]] | None = None


def differences_table() -> pd.DataFrame:
    """One row per switch of `SSACLConfig`: what its two values mean, and which one is our default."""
    ours, rows = SSACLConfig(), []
    for name, (release, meanings) in DIFFERENCES.items():
        other = next(value for value in meanings if value != release)
        rows.append(
            {
                "switch": f"`{name}`",
                "the other value": f"**{other}**: {meanings[other]}",
                "whose": "ours" if name in OURS else "the paper's figure",
                "the release": f"**{release}**: {meanings[release]}",
                "default": str(getattr(ours, name)),
            }
        )
    return pd.DataFrame(rows)


def differences_words() -> str:
    """One sentence: how many switches there are, and whose the other value is."""
    figure = [name for name in DIFFERENCES if name not in OURS]
    return (
        f"{len(DIFFERENCES)} switches: in {len(figure)} the paper's figure differs from the release ({', '.join(figure)}), "
        f"in {len(OURS)} we do ({', '.join(OURS)})."
    )


def marks() -> dict[str, dict[str, str]]:
    """Switch -> value -> "default", "release" or "default, release", for the titles of the figure."""
    ours = SSACLConfig()
    return {
        name: {
            str(value): ", ".join(
                word for word, it in (("default", getattr(ours, name)), ("release", release)) if it == value
            )
            for value in meanings
        }
        for name, (release, meanings) in DIFFERENCES.items()
    }


def difference_panels() -> dict[str, dict[str, Panel]]:
    """Switch -> value -> what it changes, measured; for every switch of `DIFFERENCES`."""
    measures = {
        "attention": attention,
        "text_pooling": text_pooling,
        "hierarchy": hierarchy,
        "consistency_gradient": consistency_gradient,
        "prefix": prefix,
        "language_positions": language_positions,
        "cls_before_names": cls_before_names,
    }
    return {
        name: {str(value): measures[name](value) for value in meanings} for name, (_, meanings) in DIFFERENCES.items()
    }


def tiny_model(**switches) -> SSACLModel:
    """Random weights in double precision, with a tokenizer that knows the names of the anatomies."""
    torch.manual_seed(0)
    model = SSACLModel(SSACLConfig(**{**SIZES, **switches})).double().eval()
    tokenizer = train_tokenizer([f"{name}." for name in default_graph().leaves], 200)
    model.processor = SSACLProcessor(model.config, tokenizer)
    return model


def depends(outputs: torch.Tensor, inputs: torch.Tensor) -> np.ndarray:
    """outputs [R, ...] by inputs [C, ...] of the same graph -> bool [R, C]: is the derivative anywhere not zero?"""
    rows = []
    weight = torch.linspace(1, 2, outputs[0].numel(), dtype=outputs.dtype).view(outputs[0].shape)
    for output in outputs:
        (found,) = torch.autograd.grad((output * weight).sum(), inputs, retain_graph=True, allow_unused=True)
        rows.append([False] * len(inputs) if found is None else (found.flatten(1).abs().amax(1) > 1e-14).tolist())
    return np.array(rows)


def attention(value: str) -> Panel:
    """The encoder's block: who sees whom where there are queries."""
    return Panel(who_sees_whom(value), "looks", "is looked at", ("query",) * 3 + ("CLS",) + ("patch",) * 4)


def pooled(model: SSACLModel, ids: torch.Tensor) -> np.ndarray:
    """Which of the last layer's tokens the vector of one text reads: ids [T] -> bool [1, T]."""
    kept: list = []

    def keep(_module, _inputs, output):
        kept.append(output.last_hidden_state)

    handle = model.text.bert.encoder.register_forward_hook(keep)
    vector = model.text(ids[None], torch.ones_like(ids)[None])
    handle.remove()
    (found,) = torch.autograd.grad((vector * torch.linspace(1, 2, vector.shape[1], dtype=vector.dtype)).sum(), kept[0])
    return (found[0].abs().amax(-1) > 1e-14).numpy()[None]


def text_pooling(value: str) -> Panel:
    """A text's vector by the tokens of the last layer."""
    model = tiny_model(text_pooling=value)
    ids = model.processor.text([NAME])[0][0]
    return Panel(
        pooled(model, ids), "vector", "token", tuple(model.processor.text_tokenizer.convert_ids_to_tokens(ids.tolist()))
    )


def cls_before_names(value: bool) -> Panel:
    """The same for the name of an anatomy, as it becomes a query."""
    model = tiny_model(cls_before_names=value)
    ids, mask = model.processor.leaf_names()
    number = [name.lower() for name in default_graph().leaves].index(NAME.lower())
    ids = ids[number][mask[number].bool()]
    return Panel(
        pooled(model, ids), "query", "token", tuple(model.processor.text_tokenizer.convert_ids_to_tokens(ids.tolist()))
    )


def hierarchy(value: str) -> Panel:
    """L_ar's restored parents by the masked tokens of the 32 nodes."""
    model = tiny_model(hierarchy=value)
    nodes = torch.randn(1, 32, model.config.width, dtype=torch.float64).requires_grad_()
    turned = nodes.transpose(0, 1)  # nodes first
    return Panel(
        depends(model.decoder.restored_parents(turned.transpose(0, 1))[0], turned), "restored parent", "masked node"
    )


def consistency_gradient(value: str) -> Panel:
    """L_ac's part of image i by the leaf tokens of image j."""
    draw = torch.Generator().manual_seed(0)
    leaves = torch.randn(4, 3, 5, generator=draw, dtype=torch.float64).requires_grad_()
    reports = torch.randn(4, 6, generator=draw, dtype=torch.float64)
    keys = gather_rows(leaves, gradient=value == "both")
    parts = [
        losses.anatomical_consistency_loss(leaves[i : i + 1], reports[i : i + 1], 0.3, keys=keys, key_reports=reports)
        for i in range(len(leaves))
    ]
    return Panel(depends(torch.stack(parts)[:, None], leaves), "loss of image", "gradient to image")


def sequence(model: SSACLModel, prompt: tuple[int, ...] = (1, 1, 1), report: int = 4):
    """A made-up sequence of the language decoder: embeddings, mask and the columns of its parts; the abdomen's leaf is open."""
    config = model.config
    draw = torch.Generator().manual_seed(0)
    tokens = model.encoder(
        torch.randn(1, 1, config.image_size, config.image_size, generator=draw, dtype=torch.float64),
        None,
        torch.randn(25, config.width, generator=draw, dtype=torch.float64),
    )
    opened = torch.from_numpy(leaf_mask(["abdomen"]))[None]
    text_mask = torch.tensor([[*prompt, *([1] * report)]])
    embedded, mask = model.language.embed(tokens, opened, torch.full_like(text_mask, 7), text_mask)
    start = model.language.prefix_length
    regions = {
        "leaves": (0, 24),
        "CLS": (25, 25),
        "patches": (26, start - 1),
        "entities": (start, start + len(prompt) - 1),
        "report": (start + len(prompt), mask.shape[1] - 1),
    }
    return embedded, mask, {name: span for name, span in regions.items() if span[0] <= span[1]}


def prefix(value: str) -> Panel:
    """What the decoder sees before it writes each report token; the abdomen's leaf is the only one open."""
    model = tiny_model(prefix=value)
    embedded, mask, regions = sequence(model)
    embedded = embedded.detach().requires_grad_()
    turned = embedded.transpose(0, 1)
    hidden = model.language.run(turned.transpose(0, 1), mask, False, 5)[0, :-1]
    return Panel(depends(hidden, turned), "before report token", "place in the sequence", regions=regions)


def language_positions(value: str) -> Panel:
    """Position number of every visible place, in training and in generation; of four entity tokens two are padding."""
    model = tiny_model(language_positions=value)
    padded = (1, 1, 0, 0) if model.processor.prompt_side == "right" else (0, 0, 1, 1)
    _, mask, regions = sequence(model, padded)
    numbers = torch.cat([model.language.positions(mask, generating=flag) for flag in (False, True)]).double()
    return Panel(
        numbers.masked_fill(mask == 0, torch.nan).numpy(),
        "position number",
        "place in the sequence",
        ("training", "generation"),
        regions,
    )
