"""The authors' checkpoint: read it safely and rename its tensors to ours (v1.0.0 of their public release).

Every tensor of the file is either used, or listed with the reason why not, or the file is refused with the tensor's name.
"""

import argparse
import pickle
import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

RENAMED = (
    (r"blocks\.(\d+)\.attn\.(qkv|proj)\.(weight|bias)", r"encoder.blocks.\1.\2.\3"),
    (r"blocks\.(\d+)\.(norm1|norm2)\.(weight|bias)", r"encoder.blocks.\1.\2.\3"),
    (r"blocks\.(\d+)\.mlp\.(fc1|fc2)\.(weight|bias)", r"encoder.blocks.\1.\2.\3"),
    (r"decoder_blocks\.(\d+)\.attn\.(qkv|proj)\.(weight|bias)", r"decoder.blocks.\1.\2.\3"),
    (r"decoder_blocks\.(\d+)\.(norm1|norm2)\.(weight|bias)", r"decoder.blocks.\1.\2.\3"),
    (r"decoder_blocks\.(\d+)\.mlp\.(fc1|fc2)\.(weight|bias)", r"decoder.blocks.\1.\2.\3"),
    (r"patch_embed\.proj\.(weight|bias)", r"encoder.stem.proj.\1"),
    (r"norm\.(weight|bias)", r"encoder.norm.\1"),
    (r"cls_token", "encoder.cls_token"),
    (r"pos_embed", "encoder.positions"),
    (r"decoder_pos_embed", "decoder.positions"),
    (r"mask_token", "decoder.mask_token"),
    (r"decoder_embed\.(weight|bias)", r"decoder.embed.\1"),
    (r"decoder_norm\.(weight|bias)", r"decoder.norm.\1"),
    (r"decoder_pred\.(weight|bias)", r"decoder.pixels.\1"),
    (r"bert_encoder\.model\.bert\.(embeddings\..+\.(?:weight|bias)|encoder\..+|pooler\..+)", r"text.bert.\1"),
    (r"img_mlp\.(weight|bias)", r"image_to_text.\1"),
    (r"bert_proj\.(weight|bias)", r"name_to_query.\1"),
    (r"pos_weight_img\.(weight|bias)", r"position_\1"),
    (r"Tpar", "inverse_temperature"),
    (r"opt_proj\.(weight|bias)", r"language.to_width.\1"),
    (r"opt_model\.transformer\.(w[tp]e\.weight|ln_f\..+|h\.\d+\.(?:ln_\d|mlp\.c_\w+|attn\.c_\w+)\.(?:weight|bias))",
     r"language.gpt.transformer.\1"),
)  # fmt: skip
"""Pattern of a release tensor -> ours. GPT-2 keeps its [in, out] matrices: transformers stores them so, too."""

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
            content = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile,
            AttributeError, IndexError) as error:
        found = re.search(r"(?:GLOBAL|class|global) ([\w.]+(?:\.\w+))", str(error))
        if isinstance(error, pickle.UnpicklingError) and found:
            raise ValueError(f"{path}: refused, for it holds {found[1]}, which would run code on loading; a checkpoint needs tensors, "
                             "numbers and argparse.Namespace only") from None
        raise ValueError(f"{path}: not readable as a checkpoint of torch.save (cut off, another kind of file, or a pickle that holds "
                         f"more than tensors: {type(error).__name__})") from None
    if isinstance(content, dict):
        for name in ("model", "state_dict"):
            if isinstance(content.get(name), dict):
                content = content[name]
                break
    if not isinstance(content, dict) or not content or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path}: no state dict; expected tensors by name under 'model' or 'state_dict'")
    return content


def convert_release(state: dict[str, torch.Tensor], model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The release's tensors under our names and in our shapes, and those left out with the reason.

    model: ours, of the sizes that the checkpoint should have.
    Raises ValueError naming a tensor that is missing, surplus, misshapen, or that contradicts another.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    wanted = {name: value for name, value in model.state_dict().items() if not name.startswith(OURS)}
    renamed, origin, unused, surplus = {}, {}, {}, []
    for name, value in state.items():
        if why := next((why for pattern, why in UNUSED if re.fullmatch(pattern, name)), None):
            unused[name] = why
            continue
        ours = next((re.sub(pattern, to, name) for pattern, to in RENAMED if re.fullmatch(pattern, name)), None)
        if ours in wanted:
            renamed[ours], origin[ours] = value, name
        else:
            surplus.append(name)
    _refuse("surplus", surplus, "they have no place in a model of these sizes")
    _refuse("missing", [release_name(name) for name in wanted if name not in renamed], "the checkpoint is incomplete")
    place_positions(renamed)
    renamed["position_weight"], renamed["position_bias"] = renamed["position_weight"].flatten(), renamed["position_bias"].squeeze()
    _refuse("misshapen", [f"{origin[name]} {list(state[origin[name]].shape)}" for name, value in renamed.items()
                          if value.shape != wanted[name].shape], "check the sizes of the configuration")
    head = state.get("opt_model.lm_head.weight")
    if head is not None and not torch.equal(head, state["opt_model.transformer.wte.weight"]):
        raise ValueError("opt_model.lm_head.weight differs from opt_model.transformer.wte.weight; expected one table for both")
    return renamed, unused


def place_positions(renamed: dict[str, torch.Tensor]) -> None:
    """Our position tables have no row for CLS: the encoder's is added to the CLS token, the decoder's must be 0.

    The tables are taken from the file, never rebuilt: their frequencies are those of whatever the training started from.
    """
    for part in ("encoder", "decoder"):
        table = renamed[f"{part}.positions"]
        if table.dim() != 3 or table.shape[0] != 1:
            _refuse("misshapen", [f"{'' if part == 'encoder' else 'decoder_'}pos_embed {list(table.shape)}"], "expected [1, 1 + N, D]")
        renamed[f"{part}.positions"] = table[0, 1:]
        if part == "encoder" and renamed["encoder.cls_token"].shape == table[:, :1].shape:
            renamed["encoder.cls_token"] = renamed["encoder.cls_token"] + table[:, :1]
        elif table[:, :1].any():
            raise ValueError("decoder_pos_embed: the row of CLS is not 0, which no checkpoint of the release has")


def release_name(ours: str) -> str:
    """The release's name of one of our tensors."""
    simple = {"encoder.stem.": "patch_embed.", "encoder.norm.": "norm.", "encoder.cls_token": "cls_token",
              "encoder.positions": "pos_embed", "decoder.positions": "decoder_pos_embed", "decoder.mask_token": "mask_token",
              "decoder.embed.": "decoder_embed.", "decoder.norm.": "decoder_norm.", "decoder.pixels.": "decoder_pred.",
              "text.bert.": "bert_encoder.model.bert.", "image_to_text.": "img_mlp.", "name_to_query.": "bert_proj.",
              "position_": "pos_weight_img.", "inverse_temperature": "Tpar", "language.to_width.": "opt_proj.",
              "language.gpt.": "opt_model."}
    for start, theirs in simple.items():
        if ours.startswith(start):
            return theirs + ours.removeprefix(start)
    name = ours.removeprefix("encoder.").replace("decoder.blocks", "decoder_blocks")
    name = re.sub(r"\.(qkv|proj)\.", r".attn.\1.", name)
    return re.sub(r"\.(fc1|fc2)\.", r".mlp.\1.", name)


def _refuse(kind: str, names: list[str], why: str) -> None:
    if names:
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        raise ValueError(f"{kind} in the checkpoint: {', '.join(names[:4])}{more}; {why}")
