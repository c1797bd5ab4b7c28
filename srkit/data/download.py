"""Fetching a named set: download, check, unpack, open every picture, and write down what came."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import warnings
import zipfile
import zlib
from functools import partial
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from srkit.data.registry import Archive, Named, find_data, locate
from srkit.data.sources import find_pictures, is_hidden
from srkit.files import CannotWrite, SrkitError, digest, locked, write_text
from srkit.images import SUFFIXES, read_image
from srkit.paths import data_folder
from srkit.progress import Progress

PATIENCE = 60  # seconds that a host is waited for
SLOWEST = 64_000  # bytes that must come in them
TOKEN = (
    "Kaggle asks for a token: make one at https://www.kaggle.com/settings/api, save it as ~/.kaggle/access_token "
    "(or set KAGGLE_API_TOKEN), and type the command again."
)


def fetch(data: str | Named, keep_archive: bool = False) -> Path | None:
    """Fetch a named set into the data folder, or find it on this machine; returns its folder.

    The folder appears when all is well, with a manifest.json: size and checksum of each picture, and what was left out
    since it does not open. None is returned for a set that has only parts. A stopped download is gone on with.
    """
    named = data if isinstance(data, Named) else find_data(data)
    for part in named.parts:
        fetch(part, keep_archive)
    if not (named.archives or named.kaggle):
        return None
    place = data_folder()
    archives = place / "archives" / named.name
    try:
        with locked(place / named.name, waiting=f"another process is fetching {named.name}: waiting for it"):
            archives.mkdir(parents=True, exist_ok=True)
            folder = locate(data if isinstance(data, str) else place / named.name)
            folder = folder or _prepare(named, place / named.name, archives)
            if not keep_archive:
                shutil.rmtree(archives)
    except OSError as error:
        raise CannotWrite(place, error, "name another folder by SRKIT_DATA") from error
    return folder


def _prepare(named: Named, folder: Path, archives: Path) -> Path:
    """Build the folder beside its place from archives that are fetched, and move it there whole."""
    beside = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(beside, ignore_errors=True)
    if named.kaggle:
        print(f"Kaggle's client fetches {named.kaggle}: that can take minutes, and shows no progress")
        kaggle("datasets", "download", named.kaggle, "-p", str(archives))
        found = [(path, "", "") for path in sorted(archives.iterdir())]
    else:
        found = [(download(each, archives), each.into, each.only) for each in named.archives]
    for path, into, only in found:
        unpack(path, beside / into, only)
    _write_manifest(beside, named)
    beside.replace(folder)
    return folder


def download(archive: Archive, folder: Path) -> Path:
    """Fetch one file from the first address that gives it, checked against its MD5 where that is known."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    problems, urls = {}, list(archive.urls)
    for url in urls:
        host = urllib.request.urlparse(url).netloc
        get = partial(_get, part=folder / f"{archive.name}.part", archive=archive)
        try:
            known = archive.md5 and f"md5:{archive.md5}"
            return Path(pooch.retrieve(url, known, archive.name, folder, downloader=get))
        except urllib.error.HTTPError as error:
            problems[host] = f"{error.code} {error.reason}"
        except ValueError:
            problems[host] = "another file than expected, by its MD5"
        except (OSError, HTTPException) as error:
            problems[host] = str(getattr(error, "reason", error)) or type(error).__name__
            urls += [url] if urls.count(url) < 2 else []  # once more, from where it was cut
    said = "; ".join(f"{host}: {problem}" for host, problem in problems.items())
    raise SrkitError(f"{archive.name} did not come ({said}): try later, or put the file into {folder} yourself.")


def _get(url: str, output: str, _: object, part: Path, archive: Archive) -> None:
    """Download `url` to `output` by way of `part`, which a later call goes on with if the MD5 can tell that it fits."""
    have = part.stat().st_size if part.exists() and archive.md5 else 0
    headers = {"User-Agent": "srkit"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to come: what is here is of another file
            part.unlink(missing_ok=True)
        raise
    with answer:
        have = have if answer.status == 206 else 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        total = total if total > have else archive.size or 0
        free, need = shutil.disk_usage(part.parent).free, 2 * total - have  # the archive, and what is unpacked from it
        if need > free:
            room = f"needs {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
            raise SrkitError(f"{archive.name} {room} in {part.parent}: make room, or name another disk by SRKIT_DATA.")
        label, mega = f"{archive.name}, MB", 10**6
        with part.open("ab" if have else "wb") as file, Progress(total // mega, label, have // mega) as bar:
            since, came = time.monotonic(), 0
            while chunk := answer.read1(1 << 20):
                file.write(chunk)
                have, came = have + len(chunk), came + len(chunk)
                bar.update(have // mega - bar.n)
                if time.monotonic() - since > PATIENCE:
                    if came < SLOWEST:
                        raise TimeoutError(f"only {came} bytes came in {PATIENCE:g} s")
                    since, came = time.monotonic(), 0
    if have < total:
        raise OSError(f"the connection was cut after {have} of {total} bytes")
    os.replace(part, output)


def unpack(path: Path, into: Path, only: str = "") -> None:
    """Unpack the pictures of a zip or tar archive, none of them outside of `into`, whatever their names are.

    only: take those below a folder of that name. A damaged archive is removed, so that it is fetched again.
    """

    def wanted(name: str) -> bool:
        inside = PurePosixPath(name)
        shown = inside.suffix.lower() in SUFFIXES and not any(map(is_hidden, inside.parts))
        return shown and (not only or only in inside.parts)

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(into, filter(wanted, archive.namelist()))
        else:
            with tarfile.open(path) as archive:
                check = lambda member, into: tarfile.data_filter(member, into) if wanted(member.name) else None  # noqa: E731
                archive.extractall(into, filter=check)
    except tarfile.FilterError as error:
        raise SrkitError(f"{path.name} is not to be trusted ({error}): do not use this archive.") from error
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError) as error:
        path.unlink()
        raise SrkitError(f"{path.name} is damaged ({error}): type the command again to fetch it anew.") from error
    except OSError as error:
        raise SrkitError(f"{path.name} could not be unpacked into {into} ({error}): make room there.") from error


def _write_manifest(folder: Path, named: Named) -> None:
    """Open every picture, leave out those that do not, and write name, size and checksum of the others."""
    paths = find_pictures(folder)
    if named.pictures and len(paths) != named.pictures and not any(each.md5 for each in named.archives):
        raise SrkitError(f"{named.name} came with {len(paths)} pictures, and it has {named.pictures}: try again later.")
    pictures, bad = {}, {}
    with Progress(len(paths), f"{named.name}, opening pictures") as bar:
        for path in paths:
            name = path.relative_to(folder).as_posix()
            try:
                height, width = read_image(path).shape[:2]
                size = path.stat().st_size
                pictures[name] = {"width": width, "height": height, "bytes": size, "sha256": digest(path)}
            except SrkitError as error:
                bad[name] = {"fault": str(error)}
                path.unlink()
                warnings.warn(f"left out: {error}", stacklevel=4)
            bar.update()
    if not pictures:
        raise SrkitError(f"{named.name} came without a picture that opens: try again later.")
    if bad:
        warnings.warn(f"{len(bad)} of {len(paths)} pictures of {named.name} do not open.", stacklevel=4)
    source = named.kaggle or [url for each in named.archives for url in each.urls]
    manifest = {"name": named.name, "source": source, "pictures": pictures, "left_out": bad}
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def verify(folder: Path) -> list[str]:
    """What differs between a prepared folder and its manifest, a sentence each; empty where nothing does."""
    try:
        pictures = json.loads((folder / "manifest.json").read_text())["pictures"]
    except (OSError, ValueError, KeyError, TypeError):
        raise SrkitError(f"{folder} has no manifest.json to compare with: srkit did not fetch it.") from None
    here = {path.relative_to(folder).as_posix(): path for path in find_pictures(folder)}
    faults = {
        "is missing": pictures.keys() - here.keys(),
        "is not what was fetched": [n for n in pictures if n in here and digest(here[n]) != pictures[n]["sha256"]],
        "was added": here.keys() - pictures.keys(),
    }
    return [f"{name} {fault}" for fault, names in faults.items() for name in sorted(names)]


def kaggle(*words: str) -> str:
    """Run Kaggle's own command line client and return what it said; the token is its affair alone."""
    beside = Path(sys.executable).with_name("kaggle")
    client = shutil.which("kaggle") or (str(beside) if beside.exists() else None)
    if client is None:
        raise SrkitError("Kaggle's client is not installed: pip install kaggle.")
    done = subprocess.run([client, *words], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    if re.search("Authentication required|Could not find kaggle.json|401 Client Error|Unauthorized", said):
        raise SrkitError(TOKEN)
    if done.returncode or "error:" in said.lower():
        raise SrkitError(f"kaggle {' '.join(words[:2])} failed: {said.splitlines()[-1] if said else 'it said nothing'}")
    return said
