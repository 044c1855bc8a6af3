"""The authors' checkpoint: read it safely and rename its tensors to ours (v1.0.0 of their public release).

Every tensor of the file is either used, or listed with the reason why not, or the file is refused with the tensor's name.
"""

import argparse
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

THEIRS = {
    "encoder.blocks.": "blocks.", "encoder.stem.": "patch_embed.", "encoder.norm.": "norm.",
    "encoder.cls_token": "cls_token", "encoder.positions": "pos_embed",
    "decoder.blocks.": "decoder_blocks.", "decoder.embed.": "decoder_embed.", "decoder.norm.": "decoder_norm.",
    "decoder.pixels.": "decoder_pred.", "decoder.mask_token": "mask_token", "decoder.positions": "decoder_pos_embed",
    "text.bert.": "bert_encoder.model.bert.", "image_to_text.": "img_mlp.", "name_to_query.": "bert_proj.",
    "position_": "pos_weight_img.", "inverse_temperature": "Tpar",
    "language.to_width.": "opt_proj.", "language.gpt.": "opt_model.",
}  # fmt: skip
"""How our names begin -> how the release's do. GPT-2 keeps its [in, out] matrices: transformers stores them so, too."""

UNUSED = (
    (r"logit_scale", "a parameter that no loss of the release reads"),
    (r"bert_encoder\.model\.cls\..+", "the word prediction head, which no loss of the release reads"),
    (r"WCE\.weight", "class weights of the last training step, computed anew in every step"),
    (r"bert_encoder\.model\.bert\.embeddings\.position_ids", "the numbers 0, 1, 2, …"),
    (r"opt_model\.transformer\.h\.\d+\.attn\.(bias|masked_bias)", "a causal mask that older transformers stored"),
    (r"opt_model\.lm_head\.weight", "the word embeddings again (checked)"),
)
"""Pattern of a tensor that is left out -> why."""

OURS = ("head.", "language.gpt.lm_head.")
"""What the release does not hold: the finding head is ours, the output matrix is the word embeddings."""


def read_release(path: Path | str) -> dict[str, torch.Tensor]:
    """State dict of the authors' file (or of a safetensors file), read without running anything that it may hold.

    The file is a pickle; of its classes only argparse.Namespace is let in, which its `args` entry needs. The entry "model"
    or "state_dict" is returned, or the whole file where it is a state dict itself.
    Raises FileNotFoundError, or ValueError for a file that is no checkpoint or holds another class.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the authors' checkpoint, a .pth file of torch.save")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        SafetensorError,
        RuntimeError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        zipfile.BadZipFile,
        AttributeError,
        IndexError,
    ) as error:
        found = re.search(r"(?:GLOBAL|class|global) ([\w.]+(?:\.\w+))", str(error))
        if isinstance(error, pickle.UnpicklingError) and found:
            raise ValueError(
                f"{path}: refused, for it holds {found[1]}, which would run code on loading; a checkpoint needs tensors, "
                "numbers and argparse.Namespace only"
            ) from None
        raise ValueError(
            f"{path}: not readable as a checkpoint of torch.save (cut off, another kind of file, or a pickle that holds "
            f"more than tensors: {type(error).__name__})"
        ) from None
    if isinstance(content, dict):
        for name in ("model", "state_dict"):
            if isinstance(content.get(name), dict):
                content = content[name]
                break
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(value, torch.Tensor) for value in content.values())
    ):
        raise ValueError(f"{path}: no state dict; expected tensors by name under 'model' or 'state_dict'")
    return content


def unused_tensors(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """The release's tensors that are left out, with the reason."""
    return {
        name: why for name in state for pattern, why in UNUSED if re.fullmatch(pattern, name.removeprefix("module."))
    }


def convert_release(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """The release's tensors under our names and in our shapes, without those that are left out.

    model: ours, of the sizes that the checkpoint should have.
    Raises ValueError naming a tensor that is missing, surplus, misshapen, or that contradicts another.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    wanted = {name: value for name, value in model.state_dict().items() if not name.startswith(OURS)}
    origin = {name: release_name(name) for name in wanted}
    surplus = state.keys() - unused_tensors(state).keys() - set(origin.values())
    _refuse("surplus", [name for name in state if name in surplus], "they have no place in a model of these sizes")
    _refuse("missing", [name for name in origin.values() if name not in state], "the checkpoint is incomplete")
    renamed = {ours: state[theirs] for ours, theirs in origin.items()}
    place_positions(renamed)
    renamed["position_weight"], renamed["position_bias"] = (
        renamed["position_weight"].flatten(),
        renamed["position_bias"].squeeze(),
    )
    _refuse(
        "misshapen",
        [
            f"{origin[name]} {list(state[origin[name]].shape)}"
            for name, value in renamed.items()
            if value.shape != wanted[name].shape
        ],
        "check the sizes of the configuration",
    )
    head = state.get("opt_model.lm_head.weight")
    if head is not None and not torch.equal(head, state["opt_model.transformer.wte.weight"]):
        raise ValueError(
            "opt_model.lm_head.weight differs from opt_model.transformer.wte.weight; expected one table for both"
        )
    return renamed


def place_positions(renamed: dict[str, torch.Tensor]) -> None:
    """Our position tables have no row for CLS: the encoder's is added to the CLS token, the decoder's must be 0.

    The tables are taken from the file, never rebuilt: their frequencies are those of whatever the training started from.
    """
    for part in ("encoder", "decoder"):
        table = renamed[f"{part}.positions"]
        if table.dim() != 3 or table.shape[0] != 1:
            _refuse(
                "misshapen",
                [f"{'' if part == 'encoder' else 'decoder_'}pos_embed {list(table.shape)}"],
                "expected [1, 1 + N, D]",
            )
        renamed[f"{part}.positions"] = table[0, 1:]
        if part == "encoder" and renamed["encoder.cls_token"].shape == table[:, :1].shape:
            renamed["encoder.cls_token"] = renamed["encoder.cls_token"] + table[:, :1]
        elif table[:, :1].any():
            raise ValueError("decoder_pos_embed: the row of CLS is not 0, which no checkpoint of the release has")


def release_name(ours: str) -> str:
    """The release's name of one of our tensors."""
    start = next(start for start in THEIRS if ours.startswith(start))
    name = THEIRS[start] + ours.removeprefix(start)
    if start.endswith("blocks."):  # timm groups a block's matrices
        name = re.sub(r"\.(qkv|proj)\.", r".attn.\1.", re.sub(r"\.(fc1|fc2)\.", r".mlp.\1.", name))
    return name


def _refuse(kind: str, names: list[str], why: str) -> None:
    if names:
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        raise ValueError(f"{kind} in the checkpoint: {', '.join(names[:4])}{more}; {why}")
