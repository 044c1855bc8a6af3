"""The model as two ONNX graphs, for whoever has no PyTorch: the encoder with the head of findings, and the text encoder.

    encoder   one film [1, 1, S, S], the patches that are kept [1, K], queries [Q, D]
              -> vector [1, Dt], patches [1, K, Dt] (both unnormalised), attention [1, Q, K] (rows sum to 1), logits [1, 13]
    text      ids [P, T], mask [P, T] -> vectors [P, Dt], unnormalised

One graph serves whole films (all patches, the queries of all leaves) and masked ones (half of the patches, one query), so the
weights are stored once. All numbers are float32 or int32; tests and `write_graphs` itself compare them with PyTorch.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..model.maps import patch_attention
from ..model.network import SSACLNetwork
from ..record.manifest import atomic_write

ENCODER, TEXT = "encoder.onnx", "text.onnx"
NAMES = {ENCODER: (("pixels", "keep", "queries"), ("vector", "patches", "attention", "logits")),
         TEXT: (("ids", "mask"), ("vectors",))}  # fmt: skip
"""File -> names of what goes in and of what comes out."""

VARIES = {ENCODER: {"keep": {1: "kept"}, "queries": {0: "queries"}},
          TEXT: {name: {0: "texts", 1: "tokens"} for name in ("ids", "mask")}}  # fmt: skip
"""File -> axes whose length is free. A film comes alone: the length of a batch would be fixed while the encoder is traced."""

ALIKE = 1e-4
"""A graph's numbers may differ from PyTorch's by so much."""

OPSET = 17

LACKING = "onnx and onnxruntime are needed: pip install --no-deps -r constraints-browser.txt (make browser does so)"


class _Part(nn.Module):
    """A part of a model as a module of its own, for the exporter."""

    def __init__(self, model: SSACLNetwork):
        super().__init__()
        self.model = model


class EncoderGraph(_Part):
    """What the encoder's graph computes; see the module."""

    def forward(self, pixels: torch.Tensor, keep: torch.Tensor, queries: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tokens = self.model.encoder(pixels, keep.long(), queries)
        patches = self.model.image_to_text(tokens.patches)
        return patches.mean(1), patches, patch_attention(tokens.attention), self.model.head(tokens)


class TextGraph(_Part):
    """What the text encoder's graph computes."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model.text(ids.long(), mask.long())


def graph_inputs(model: SSACLNetwork, kept: int | None = None, queries: int = 1, seed: int = 0) -> dict[str, tuple]:
    """What can be put into each graph, on the CPU: noise as a film of which `kept` patches stay (None: all), and two texts."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    keep = torch.randperm(config.patches, generator=generator)[None, :kept].int()
    film = torch.randn(1, 1, config.image_size, config.image_size, generator=generator)
    with torch.no_grad():
        prompts = model.default_queries()[model.leaf_index][:queries]
    ids, mask = model.processor.text(["left pleural effusion", "the heart is enlarged"])
    return {ENCODER: (film, keep, prompts.float().cpu()), TEXT: (ids.int(), mask.int())}


def write_graphs(model: SSACLNetwork, folder: Path) -> dict[str, float]:
    """Write both graphs of a model to a folder; returns how far each is from PyTorch at most.

    torch traces the graphs by its older exporter: the newer one gives the same numbers, takes a minute and needs onnxscript.

    Raises:
        RuntimeError: onnx or onnxruntime is not installed.
        ArithmeticError: a graph's numbers are not PyTorch's.
    """
    try:
        import onnx  # noqa: F401  (torch needs it)
        import onnxruntime  # noqa: F401
    except ImportError:
        raise RuntimeError(LACKING) from None
    model = model.eval().cpu()
    folder.mkdir(parents=True, exist_ok=True)
    inputs, found = graph_inputs(model, kept=model.config.patches // 2, queries=3), {}
    for name, graph in graphs_of(model).items():
        with atomic_write(folder / name, "wb") as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: what is fixed by it is fixed on purpose, and checked below
            torch.onnx.export(
                graph, inputs[name], handle, input_names=NAMES[name][0], output_names=NAMES[name][1],
                dynamic_axes=VARIES[name], opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        found[name] = max(
            difference(graph, folder / name, graph_inputs(model, *kind)[name]) for kind in ((None, 25), (5, 1))
        )
        if not found[name] <= ALIKE:
            raise ArithmeticError(f"{name}: differs from PyTorch by {found[name]:.1e}, allowed is {ALIKE}")
    return found


def graphs_of(model: SSACLNetwork) -> dict[str, nn.Module]:
    """File -> the module that is written to it."""
    return {ENCODER: EncoderGraph(model).eval(), TEXT: TextGraph(model).eval()}


@torch.no_grad()
def difference(graph: nn.Module, path: Path, inputs: tuple[torch.Tensor, ...]) -> float:
    """The largest difference between a module's outputs and those of the ONNX file, in float32."""
    due = graph(*inputs)
    due = due if isinstance(due, tuple) else (due,)
    came = Graph(path)(*(part.numpy() for part in inputs))
    return max(float(np.abs(one - other.numpy()).max()) for one, other in zip(came, due, strict=True))


class Graph:
    """An ONNX file that can be called: arrays in, arrays out, in the order of `NAMES`; on one thread."""

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = NAMES[path.name]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return self.session.run(list(self.names[1]), dict(zip(self.names[0], inputs, strict=True)))
