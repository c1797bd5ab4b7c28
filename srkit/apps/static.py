"""The playground as a folder of plain files: the network runs in the visitor's own browser, and no server is needed."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pooch
import torch
from PIL import Image

from srkit.apps import slider
from srkit.data.sources import find_photographs
from srkit.export import export_onnx
from srkit.files import SrkitError, expanded, replacing, write_text
from srkit.images import read_image
from srkit.pretrained import System, resolve, shipped_systems
from srkit.recipes import find_recipe

if TYPE_CHECKING:
    from onnx import GraphProto

HERE = Path(__file__).parent / "static"
RUNTIME = "onnxruntime-web", "1.27.0"
INTEGRITY = "sha512-ogDLsqIozHZwifPuN37OproAo0byX6t43/bP8GzeZWBWD6MOGExswFAx3up4NS/vvWBOg2u2PXomDt3rMmdQSg=="
RUNTIME_FILES = (  # WebAssembly, and WebGPU for browsers that have it
    *("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    *("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
)


def build_static(folder: Path | str, cache: Path | str | None = None) -> Path:
    """Write the page into a folder that any web server can serve, as GitHub Pages or `python -m http.server`.

    It holds the networks that srkit ships, as ONNX, and ONNX Runtime Web from the npm registry, of one pinned version,
    which is kept in `cache`. A page that was written there before is replaced. Returns the folder.
    """
    folder = expanded(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / "site.json").exists():
        raise SrkitError(f"{folder} holds other files: name a new folder for the page.")
    archive = _runtime(expanded(cache or pooch.os_cache("srkit")))
    for part in ("ort", "networks", "pictures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for source in (*HERE.iterdir(), *(slider.HERE / name for name in ("slider.js", "slider.css"))):
        shutil.copyfile(source, folder / source.name)
    with tarfile.open(archive) as packed:
        for name in RUNTIME_FILES:
            (folder / "ort" / name).write_bytes(packed.extractfile(f"package/dist/{name}").read())
    networks = [_network(folder, system) for system in shipped_systems(firsts=False)]
    site = {"networks": networks, "pictures": _pictures(folder / "pictures")}
    write_text(folder / "site.json", json.dumps(site, indent=1))
    files = sorted(path.relative_to(folder).as_posix() for path in _parts(folder))
    offline = [name for name in files if "asyncify" not in name and "webgpu" not in name]  # 24 MB that few browsers use
    write_text(folder / "files.json", json.dumps(offline))
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in files)).hexdigest()
    write_text(folder / "sw.js", (HERE / "sw.js").read_text(encoding="utf-8").replace("@VERSION@", digest[:16]))
    return folder


def _parts(folder: Path) -> list[Path]:
    """What the page is made of, but for what is written of it afterwards."""
    top = [path for path in folder.iterdir() if path.suffix in (".html", ".js", ".css") or path.name == "site.json"]
    below = [path for part in ("ort", "networks", "pictures") for path in (folder / part).iterdir()]
    return [path for path in top + below if path.name != "sw.js"]


def _network(folder: Path, system: System) -> dict[str, object]:
    """A system as ONNX; one of two phases takes `alpha` beside `lr`, so that the weights are mixed as it runs."""
    import onnx

    file = folder / "networks" / f"{system.name}-x{system.scale}.onnx"
    phases = [onnx.load(export_onnx(system.name, file, system.scale, each, fold=False)) for each in system.phases]
    model = phases[-1]
    facts = {fact.key: fact.value for fact in model.metadata_props}
    if "tile_overlap" not in facts:
        raise SrkitError(f"{file.stem} sees the whole picture, and the page works in tiles: leave it out.")
    if len(phases) > 1:
        _mix(*(each.graph for each in phases))
        with replacing(file) as beside:
            onnx.save(model, beside)
        if not _mixes(file, system):
            raise SrkitError(f"{file.stem}: its two sets of weights do not mix as ONNX: leave it out of the page.")
    recipes = [find_recipe(card["recipe"]["name"]) for card in system.cards.values()]
    return {
        "name": system.name,
        "scale": system.scale,
        "kind": " to ".join(phase.upper() for phase in system.phases) + ", for real photographs" * system.real,
        "about": "; ".join(dict.fromkeys(recipe.about for recipe in recipes)) + ".",
        "real": system.real,
        "overlap": int(facts["tile_overlap"]),
        "mixes": len(phases) > 1,
        "file": file.relative_to(folder).as_posix(),
    }


def _mix(psnr: "GraphProto", gan: "GraphProto") -> None:
    """Every weight of `gan` becomes (1 - alpha) PSNR + alpha GAN, of the new input `alpha`.

    Network interpolation: Wang et al. 2018, arXiv:1809.00219, section 3.4.
    """
    from onnx import TensorProto, helper, numpy_helper

    gan.input.append(helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1]))
    gan.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "one"))
    nodes = [helper.make_node("Sub", ["one", "alpha"], ["rest"])]
    firsts = {weight.name: weight for weight in psnr.initializer}
    for last in list(gan.initializer):
        name, first = last.name, firsts.get(last.name)
        if first is None or first.raw_data == last.raw_data:  # such as a constant of the bicubic skip
            continue
        ends = first.name, last.name = f"{name} of PSNR", f"{name} of GAN"
        gan.initializer.append(first)
        for end, share in zip(ends, ("rest", "alpha"), strict=True):
            nodes.append(helper.make_node("Mul", [end, share], [f"{end}, its share"]))
        nodes.append(helper.make_node("Add", [f"{end}, its share" for end in ends], [name]))
    nodes += gan.node
    del gan.node[:]
    gan.node.extend(nodes)


def _mixes(file: Path, system: System) -> bool:
    """Whether ONNX gives for an alpha what torch gives."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    lr = np.random.default_rng(0).random((1, 3, 24, 17), dtype=np.float32)
    theirs = session.run(None, {"lr": lr, "alpha": np.array([0.4], np.float32)})[0]
    with torch.no_grad():
        network = resolve(system.name, system.scale, alpha=0.4).network
        ours = network(torch.from_numpy(lr)).clamp(0, 1).numpy()
    return np.abs(theirs - ours).max() < 0.5 / 255


def _pictures(folder: Path) -> list[str]:
    """The starter set's photographs to validate on, as PNG, which every browser decodes alike; and an icon."""
    names = []
    for path in find_photographs("starter").valid:
        names.append(f"{path.stem}.png")
        Image.fromarray(read_image(path)).save(folder / names[-1])
    Image.open(folder / names[0]).crop((120, 60, 248, 188)).resize((64, 64)).save(folder / "icon.png")
    return names


def _runtime(cache: Path) -> Path:
    """The pinned onnxruntime-web as npm packs it, from `cache` or the registry; checked against its integrity."""
    package, version = RUNTIME
    archive = cache / f"{package}-{version}.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        words = ["npm", "pack", f"{package}@{version}", "--silent", "--pack-destination", str(cache)]
        try:
            subprocess.run(words, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise SrkitError(
                f"npm, which fetches {package}, is not installed: install Node.js, or lay {archive.name} from the npm "
                f"registry into {cache}."
            ) from None
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip().partition("\n")[0] or "no reason given"
            raise SrkitError(f"npm does not fetch {package} {version} ({reason}): try again online.") from error
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise SrkitError(f"{archive} is not the {package} {version} that srkit knows: delete it, and try again.")
    return archive
