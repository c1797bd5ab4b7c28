"""A trained network for other programs: an ONNX file, or a folder for a model hub."""

import json
import warnings
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from srkit import __version__
from srkit.files import SrkitError, expanded, needed, replacing, write_text
from srkit.generator import count_parameters
from srkit.pretrained import What, resolve
from srkit.tiles import SHARPEN_REACH, reach
from srkit.weights_files import save_weights
from srkit.wrappers import bare

OPSET = 18
ODD_SIZES = (9, 14), (17, 5), (31, 23)  # at which an exported file is tried
CARD = Path(__file__).parent / "model_card.md"


def export_onnx(
    network: What,
    file: Path | str,
    scale: int | None = None,
    phase: str | None = None,
    runs: Path | str | None = None,
    *,
    fold: bool = True,
) -> Path:
    """Write a generator as one ONNX file, opset 18, for any program with an ONNX runtime. Returns the file's path.

    network: what `pretrained.resolve` understands, such as a run's folder, a recipe's name or a file of weights.
    scale: of a name, by default its recipe's. phase: of a run or name, else the last. fold: whether constants are
    computed and batch norm becomes a part of the convolutions; without, the file holds the network's own weights and no
    more, so that the mean of two networks' weights is their mixture.

    The file's input `lr` is (1, 3, height, width) float32 RGB in [0, 1] of any height and width, its output `sr` the
    same, `scale` times as high and as wide. Its metadata hold `scale`, `tile_overlap` (how many LR pixels around a
    tile decide about it; absent where that is the whole picture) and the words of the network's card.
    Raises SrkitError where ONNX is not installed, an operation of the network has no ONNX form, or onnxruntime's answer
    differs from torch's by more than one grey level.
    """
    way = "pip install 'srkit[export]', and try again"
    onnx, onnxruntime = needed("onnx", way), needed("onnxruntime", way)
    needed("onnxscript", way)  # torch.onnx works through it
    method = resolve(network, scale, runs, phase=phase)
    network = method.network.cpu().eval()
    exported, name = nn.Sequential(network, nn.Hardtanh(0, 1)).eval(), type(bare(network)).__name__  # SR in [0, 1]
    sides = {2: torch.export.Dim("height", min=3), 3: torch.export.Dim("width", min=3)}
    with replacing(file) as beside:
        try:
            with warnings.catch_warnings(action="ignore"), torch.no_grad():
                program = torch.onnx.export(
                    exported,
                    (torch.rand(1, 3, 24, 20),),
                    input_names=["lr"],
                    output_names=["sr"],
                    opset_version=OPSET,
                    dynamic_shapes=(sides,),
                    dynamo=True,
                    optimize=fold,
                    verbose=False,
                )
        except Exception as error:  # the exporter's many errors all mean this
            reason = str(error.__cause__ or error).strip().partition("\n")[0][:200]
            raise SrkitError(f"{name} holds an operation that ONNX has no form for: {reason}") from error
        model = program.model_proto
        model.doc_string = f"{name} of srkit {__version__}: LR in [0, 1] to SR {network.scale} times as large."
        onnx.helper.set_model_props(model, _metadata(network, method.card))
        for node in model.graph.node:
            del node.metadata_props[:]  # the exporter's notes, with this machine's folders
        onnx.save(model, beside)
        session = onnxruntime.InferenceSession(beside, providers=["CPUExecutionProvider"])
        for size in ODD_SIZES:
            lr = torch.rand(1, 3, *size)
            with torch.no_grad():
                ours = exported(lr).numpy()
            theirs = session.run(None, {"lr": lr.numpy()})[0]
            if theirs.shape != ours.shape or not np.abs(theirs - ours).max() < 1 / 255:
                raise SrkitError(
                    f"{name} as ONNX gives another picture than in torch at {size[1]} x {size[0]} pixels: its forward "
                    "depends on the size in a way that ONNX cannot hold."
                )
    return expanded(file)


def export_hub(
    network: What,
    folder: Path | str,
    scale: int | None = None,
    phase: str | None = None,
    runs: Path | str | None = None,
    licence: str | None = None,
) -> Path:
    """Write a folder that can be uploaded to Hugging Face by hand: weights, config and card. Returns the folder.

    model.safetensors: the weights. config.json: the network's card, by which srkit opens them. README.md: the same as
    a model card, with the scores that are known. Nothing is uploaded. licence: Hugging Face's word for that of the
    weights, as "mit"; those that srkit ships are "mit". The other arguments are export_onnx's.
    Raises SrkitError where the network is a bare module or file, of which nothing is known.
    """
    method = resolve(network, scale, runs, phase=phase)
    if not method.card:
        raise SrkitError("nothing is known of a bare network: name a run's folder, or a recipe.")
    folder, card, network = expanded(folder), method.card, bare(method.network)  # the card says how it sharpens
    save_weights(network, folder / "model.safetensors")
    write_text(folder / "config.json", json.dumps(card, indent=2) + "\n")
    write_text(folder / "README.md", _model_card(network, card, licence))
    return folder


def tile_overlap(network: nn.Module) -> int | None:
    """How many LR pixels around a tile decide about it, measured by gradient; None where it is the whole picture."""
    sharpened = ceil(SHARPEN_REACH / network.scale) if getattr(network, "sharpening", 0) else 0
    try:
        return reach(network, "features") + reach(network, "enlarge") + sharpened
    except SrkitError:
        return None


def _metadata(network: nn.Module, card: dict[str, Any]) -> dict[str, str]:
    facts = {"scale": network.scale, "tile_overlap": tile_overlap(network), "srkit": __version__}
    facts |= {"network": type(bare(network)).__name__, "parameters": count_parameters(network)}
    facts |= {key: card["recipe"][key] for key in ("name", "about", "cite", "degradation") if card}
    facts |= {key: value for key, value in card.items() if key not in ("recipe", "photographs", "file", "sha256")}
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    return {key: word for key, word in words.items() if facts[key] not in (None, "")}


def _model_card(network: nn.Module, card: dict[str, Any], licence: str | None) -> str:
    """README.md in Hugging Face's form: YAML for its search and its leaderboards, then words for people."""
    from jinja2 import Environment

    pages = Environment(trim_blocks=True, keep_trailing_newline=True)
    pages.filters["json"] = json.dumps  # which YAML understands
    return pages.from_string(CARD.read_text(encoding="utf-8")).render(
        card=card,
        network=type(network).__name__,
        parameters=count_parameters(network),
        licence=licence or ("mit" if "sha256" in card else None),  # what srkit ships is under srkit's licence
        srkit=__version__,
    )
