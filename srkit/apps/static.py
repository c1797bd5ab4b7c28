"""The playground as a folder of plain files: the network runs in the visitor's own browser, and no server is needed."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from PIL import Image
from torch import nn

from srkit.apps import slider
from srkit.data.sources import find_photographs
from srkit.export import export_onnx
from srkit.files import SrkitError, replacing
from srkit.images import read_image
from srkit.pretrained import load, shipped_systems

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
    Raises SrkitError where npm or the export's packages are missing, the runtime is not the pinned one, or the folder
    holds something else.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / "site.json").exists():
        raise SrkitError(f"{folder} holds other files: name a new folder for the page.")
    archive, systems = _runtime(Path(cache or pooch.os_cache("srkit"))), _systems()
    for part in ("ort", "networks", "pictures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for source in (*HERE.iterdir(), *(slider.HERE / name for name in ("slider.js", "slider.css"))):
        shutil.copyfile(source, folder / source.name)
    with tarfile.open(archive) as packed:
        for name in RUNTIME_FILES:
            (folder / "ort" / name).write_bytes(packed.extractfile(f"package/dist/{name}").read())
    networks = [_network(folder, name, scale, cards) for (name, scale), cards in systems.items()]
    site = {"networks": networks, "pictures": _pictures(folder / "pictures")}
    _write(folder / "site.json", json.dumps(site, indent=1))
    files = sorted(path.relative_to(folder).as_posix() for path in _parts(folder))
    offline = [name for name in files if "asyncify" not in name and "webgpu" not in name]  # 24 MB that few browsers use
    _write(folder / "files.json", json.dumps(offline))
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in files)).hexdigest()
    _write(folder / "sw.js", (HERE / "sw.js").read_text(encoding="utf-8").replace("@VERSION@", digest[:16]))
    return folder


def _parts(folder: Path) -> list[Path]:
    """What the page is made of, but for what is written of it afterwards."""
    top = [path for path in folder.iterdir() if path.suffix in (".html", ".js", ".css") or path.name == "site.json"]
    below = [path for part in ("ort", "networks", "pictures") for path in (folder / part).iterdir()]
    return [path for path in top + below if path.name != "sw.js"]


def _systems() -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
    """Of what is shipped, by name and scale, all but the systems that are another's first phase."""
    shipped = {key: {card["file"] for card in cards.values()} for key, cards in shipped_systems().items()}
    return {
        key: cards
        for key, cards in shipped_systems().items()
        if not any(shipped[key] < other for other in shipped.values())
    }


def _network(folder: Path, name: str, scale: int, cards: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One graph without its weights, as `srkit export` makes it, and the weights of each phase in the graph's order.

    So the browser mixes two sets of weights as it would two pictures, and opens one model with what comes of it.
    """
    import onnx
    from onnx.external_data_helper import set_external_data

    stem = f"networks/{name}-x{scale}"
    phases = {phase: load(name, scale, phase) for phase in cards}
    graph = folder / f"{stem}.onnx"
    model = onnx.load(export_onnx(name, graph, scale))
    props = {prop.key: prop.value for prop in model.metadata_props}
    if "tile_overlap" not in props:
        raise SrkitError(f"{name} x{scale} sees the whole picture and cannot work in tiles: leave it out of the page.")
    weights = [
        each for each in model.graph.initializer if each.name.removeprefix("network.") in _weights(phases["psnr"])
    ]
    offset = 0
    for each in weights:
        length = 4 * int(np.prod(each.dims))
        set_external_data(each, "weights", offset, length)
        each.ClearField("raw_data")
        offset += length
    with replacing(graph) as beside:
        beside.write_bytes(model.SerializeToString())
    files = []
    for phase, network in phases.items():
        values = _weights(network)
        files.append(f"{stem}-{phase}.bin")
        lines = [values[each.name.removeprefix("network.")].astype("<f4").ravel() for each in weights]
        (folder / files[-1]).write_bytes(np.concatenate(lines).tobytes())
    about = next(reversed(cards.values()))["recipe"]["about"]
    overlap = int(props["tile_overlap"])
    return {"name": name, "scale": scale, "about": about, "overlap": overlap, "graph": f"{stem}.onnx", "weights": files}


def _weights(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


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


def _write(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
