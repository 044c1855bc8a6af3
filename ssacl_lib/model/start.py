"""A network from settings (sizes, tokenizers, initial weights) or from a folder: what training starts from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoTokenizer, ViTMAEModel
from transformers.utils import logging

from .. import paths
from ..anatomy import default_graph
from ..record.manifest import read_json
from ..record.starts import local_folder
from ..settings import Settings
from .config import OtherAnatomy, SSACLConfig
from .language import load_pretrained_language, pretrained_language_config
from .network import SSACLNetwork
from .pretrained import load_whole, read_tensors, require_type
from .processor import SSACLProcessor
from .text import load_pretrained_text, pretrained_text_config

MOST_EPS = 1e-5
"""Of the layer norms of a ViT that is gone on from; the encoder's own is 1e-6, those of published ones are 1e-12 and 1e-6."""


def config_from_settings(settings: Settings, vocabulary: int) -> SSACLConfig:
    """Sizes and switches of `settings.model` (and what inference needs) as a model configuration."""
    m, i = settings.model, settings.inference
    text = (
        pretrained_text_config(m.text_weights)
        if m.text_weights
        else {
            "vocab_size": vocabulary,
            "hidden_size": m.text_width,
            "num_hidden_layers": m.text_depth,
            "num_attention_heads": m.text_heads,
            "intermediate_size": 4 * m.text_width,
            "max_position_embeddings": m.text_tokens,
            "pad_token_id": 0,
            "hidden_dropout_prob": m.dropout,
            "attention_probs_dropout_prob": m.dropout,
        }
    )
    language = (
        pretrained_language_config(m.language_weights)
        if m.language_weights
        else {
            "vocab_size": vocabulary,
            "n_embd": m.language_width,
            "n_layer": m.language_depth,
            "n_head": m.language_heads,
            "bos_token_id": 2,
            "eos_token_id": 4,
            "resid_pdrop": m.dropout,
            "embd_pdrop": m.dropout,
            "attn_pdrop": m.dropout,
        }
    )
    return SSACLConfig(
        image_size=settings.data.image_size,
        patch_size=m.patch_size,
        stem=m.stem,
        width=m.width,
        depth=m.depth,
        channels=3 if m.stem == "patch" else 1,
        heads=m.heads,
        decoder_depth=m.decoder_depth,
        decoder_heads=m.decoder_heads,
        attention=m.attention,
        hierarchy=m.hierarchy,
        prefix=m.prefix,
        text_pooling=m.text_pooling,
        consistency_gradient=m.consistency_gradient,
        language_positions=m.language_positions,
        cls_before_names=m.cls_before_names,
        start_temperature=settings.training.temperature,
        text=text,
        language=language,
        report_tokens=m.language_tokens,
        generation={
            "num_beams": i.beams,
            "min_new_tokens": i.min_new_tokens,
            "max_new_tokens": i.max_new_tokens,
            "repetition_penalty": i.repetition_penalty,
            "length_penalty": i.length_penalty,
        },
        evidence={
            "masks": i.evidence_masks,
            "mask_ratio": i.evidence_mask_ratio,
            "smoothing_patches": i.smoothing_patches,
            "evidence_smoothing_patches": i.evidence_smoothing_patches,
        },
    )


def build_network(settings: Settings, tokenizer, kind: type[SSACLNetwork] = SSACLNetwork) -> SSACLNetwork:
    """A model with initial weights and its processor; random weights depend on `settings.seed` only.

    tokenizer: the WordPiece of the training reports, used where no pretrained text or language model is named. kind: the
    class, which may answer more than training asks.
    """
    m = settings.model
    torch.manual_seed(settings.seed)
    text_tokenizer = AutoTokenizer.from_pretrained(m.text_weights) if m.text_weights else tokenizer
    language_tokenizer = AutoTokenizer.from_pretrained(m.language_weights) if m.language_weights else tokenizer
    config = config_from_settings(settings, len(tokenizer))
    model = kind(config)
    model.processor = SSACLProcessor(config, text_tokenizer, language_tokenizer)
    if m.encoder_weights:
        load_encoder(model, m.encoder_weights)
    if m.text_weights:
        load_pretrained_text(model.text, m.text_weights)
    if m.language_weights:
        load_pretrained_language(model.language, m.language_weights)
    return model


def load_encoder(model: SSACLNetwork, name_or_path: str) -> None:
    """Start the visual encoder from a start or a checkpoint of ours, or from a ViT-MAE or ViT (hub name or path).

    Raises:
        ValueError: tensors that do not fit, by name; another number of attention heads; a folder of another kind of model.
    """
    own = local_folder(name_or_path)
    if own is not None and (own / "encoder.safetensors").is_file():
        source, heads = read_tensors(own / "encoder.safetensors"), _heads_of_start(own)
    elif own is not None and (checkpoint := own / "model.safetensors").is_file() and _is_ours(own):
        tensors = read_tensors(checkpoint)
        source = {
            name.removeprefix("encoder."): value for name, value in tensors.items() if name.startswith("encoder.")
        }
        heads = read_json(own / "config.json").get("heads")
    else:
        source, heads = _mae_weights(str(own or name_or_path))
    if heads not in (None, model.config.heads):  # no tensor's shape would tell
        raise ValueError(f"{name_or_path}: has {heads} attention heads, model.heads is {model.config.heads}; set it so")
    wanted = model.encoder.state_dict()
    model.encoder.load_state_dict(_fitting(wanted, source, name_or_path, "stem, width, depth, patch_size"))


def _is_ours(folder: Path) -> bool:
    """Is it a checkpoint of ours?"""
    return read_json(folder / "config.json").get("model_type") == SSACLConfig.model_type


def _heads_of_start(folder: Path) -> int | None:
    """Attention heads of a start of ours by its manifest; None where it has none."""
    manifest = folder / "manifest.json"
    return read_json(manifest).get("config", {}).get("heads") if manifest.is_file() else None


def _mae_weights(name_or_path: str) -> tuple[dict[str, torch.Tensor], int]:
    """Tensors under our names, and attention heads, of a ViT-MAE or a ViT."""
    others = "a ViT-MAE or a ViT; others can be compared (`ssacl downstream --encoder`), not gone on from"
    require_type(name_or_path, ("vit_mae", "vit"), others)
    with _quiet():
        mae = load_whole(ViTMAEModel, name_or_path)
    known = mae.config
    if known.hidden_act not in ("gelu", "gelu_pytorch_tanh") or known.layer_norm_eps > MOST_EPS or not known.qkv_bias:
        raise ValueError(
            f"{name_or_path}: hidden_act {known.hidden_act}, layer_norm_eps {known.layer_norm_eps:g}, qkv_bias {known.qkv_bias}; "
            f"expected gelu, at most {MOST_EPS:g}, and True, as the encoder here has them"
        )
    return mae_encoder_state(mae.state_dict()), known.num_attention_heads


def text_side(model: SSACLNetwork) -> dict[str, torch.Tensor]:
    """What L_cl teaches beside the encoder, by name: the text encoder and the linear map of the patches into its space."""
    return {name: value for name, value in model.state_dict().items() if name.startswith(("text.", "image_to_text."))}


def start_tokenizer(name_or_path: str):
    """The tokenizer of the text side that a start holds beside its encoder; None where it holds the encoder alone."""
    own = local_folder(name_or_path)
    return AutoTokenizer.from_pretrained(own / "tokenizer") if own and (own / "text.safetensors").is_file() else None


def load_text_side(model: SSACLNetwork, name_or_path: str) -> None:
    """Load `text_side` from a start's folder (training/checkpoints.py, make_start).

    Raises:
        ValueError: no such folder, or tensors that do not fit, by name.
    """
    folder = local_folder(name_or_path)
    if folder is None:
        raise ValueError(f"{name_or_path}: no folder of a start")
    source = read_tensors(folder / "text.safetensors")
    fitting = _fitting(text_side(model), source, name_or_path, "text_width, text_depth, width")
    model.load_state_dict(fitting, strict=False)


def _fitting(wanted: dict, source: dict, name: str, sizes: str) -> dict[str, torch.Tensor]:
    """The wanted tensors out of `source`, in their type; ValueError names those that are absent, too many or of another shape."""
    shapes = [{key: tuple(tensor.shape) for key, tensor in tensors.items()} for tensors in (source, wanted)]
    if odd := sorted(key for key in shapes[0].keys() | shapes[1] if shapes[0].get(key) != shapes[1].get(key)):
        theirs, ours = (found.get(odd[0], "nothing") for found in shapes)
        raise ValueError(
            f"{name}: does not fit this model at {', '.join(odd[:4])}{' …' if odd[4:] else ''} ({odd[0]}: {theirs} there, {ours} "
            f"here); check model.{sizes} and data.image_size (an MLP is always 4 x width)"
        )
    return {key: source[key].to(tensor.dtype) for key, tensor in wanted.items()}


def mae_encoder_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of transformers' ViTMAEModel to those of our encoder (visual decoder and CLS position dropped)."""
    state = {name.removeprefix("vit."): value for name, value in state.items()}
    renamed = {
        "stem.proj.weight": state["embeddings.patch_embeddings.projection.weight"],
        "stem.proj.bias": state["embeddings.patch_embeddings.projection.bias"],
        "cls_token": state["embeddings.cls_token"] + state["embeddings.position_embeddings"][:, :1],
        "positions": state["embeddings.position_embeddings"][0, 1:],
        "norm.weight": state["layernorm.weight"],
        "norm.bias": state["layernorm.bias"],
    }
    # transformers 5 names the projections q_proj, k_proj, v_proj; earlier ones query, key, value
    plan = (
        ("norm1", ("layernorm_before",)),
        ("norm2", ("layernorm_after",)),
        ("fc1", ("mlp.fc1", "intermediate.dense")),
        ("fc2", ("mlp.fc2", "output.dense")),
        ("proj", ("attention.o_proj", "attention.output.dense")),
    )
    blocks = {
        name.split(".")[i + 1]
        for name in state
        for i, part in enumerate(name.split(".")[:-1])
        if part in ("layer", "layers") and name.split(".")[i + 1].isdigit()
    }
    for number in blocks:
        prefix = next(name.split(f".{number}.")[0] + f".{number}." for name in state if f".{number}." in name)
        for kind in ("weight", "bias"):
            for ours, theirs in plan:
                renamed[f"blocks.{number}.{ours}.{kind}"] = _first(state, prefix, theirs, kind)
            parts = [
                _first(state, prefix, (f"attention.{new}_proj", f"attention.attention.{old}"), kind)
                for new, old in (("q", "query"), ("k", "key"), ("v", "value"))
            ]
            renamed[f"blocks.{number}.qkv.{kind}"] = torch.cat(parts)
    return renamed


def _first(state, prefix: str, names: tuple[str, ...], kind: str) -> torch.Tensor:
    for name in names:
        if f"{prefix}{name}.{kind}" in state:
            return state[f"{prefix}{name}.{kind}"]
    raise ValueError(f"no tensor {prefix}{names[0]}.{kind} in the checkpoint")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bar and its list of tensors that do not fit: we say it in one line ourselves."""
    shown, told = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(told)
        if shown:
            logging.enable_progress_bar()


HOW_TO_MAKE = "make one with `ssacl pretrain --profile cpu --out FOLDER` and name it with --weights FOLDER"


def load_network(
    folder: Path | None = None, device: str = "auto", kind: type[SSACLNetwork] = SSACLNetwork
) -> SSACLNetwork:
    """A checkpoint folder of ours (default: the shipped one) with its processor, in eval mode.

    Raises FileNotFoundError (no such folder) or ValueError (a folder that is no SS-ACL checkpoint, or one of another anatomy
    graph), saying how to mend it.
    """
    folder = Path(folder) if folder else paths.SHIPPED_CHECKPOINT
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such checkpoint folder; {HOW_TO_MAKE}")
    default_graph()  # a mistake in anatomy.yaml is none of the folder's
    missing = [name for name in ("config.json", "model.safetensors", "tokenizer") if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{folder}: no SS-ACL checkpoint ({', '.join(missing)} missing); {HOW_TO_MAKE}")
    try:
        with _quiet():
            model, info = kind.from_pretrained(folder, output_loading_info=True)
    except OtherAnatomy as error:
        raise ValueError(f"{folder}: {error}") from None
    except Exception as error:  # whatever a library makes of a damaged file
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{folder}: not readable as a checkpoint ({said}); copy it again, or: {HOW_TO_MAKE}") from None
    odd = sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])
    if odd:
        raise ValueError(
            f"{folder}: tensors do not fit the model ({', '.join(odd[:3])}{' …' if odd[3:] else ''}); {HOW_TO_MAKE}"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval()
