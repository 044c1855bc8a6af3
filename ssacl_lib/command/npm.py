"""Files of packages of npm, at one version each: fetched once, checked by their sum, kept below runs/npm."""

import hashlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..record.manifest import atomic_write

SECONDS = 300
"""npm may take so long; it waits for a registry that is not there by itself, too."""


@dataclass(frozen=True)
class Package:
    """A package at a version, the SHA-256 of its archive, and how the archive's file is called."""

    name: str
    version: str
    sha256: str

    @property
    def archive(self) -> str:
        return f"{self.name}-{self.version}.tgz"


RUNTIME = Package("onnxruntime-web", "1.30.0", "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71")
"""Runs ONNX graphs in a browser (MIT)."""


def package_files(package: Package, names: tuple[str, ...], folder: Path | None = None) -> dict[str, bytes]:
    """Files of a package by their path in it; the archive stays in `folder` (default runs/npm).

    Raises:
        RuntimeError: npm is not installed or fetched nothing; or the archive is another one, or lacks a file.
    """
    path = (folder or paths.RUNS / "npm") / package.archive
    if not path.is_file():
        _fetch(package, path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise RuntimeError(
            f"{path.name}: not the archive of {package.name} {package.version} that is expected; delete it"
        )
    found = {}
    with tarfile.open(path) as archive:
        for name in names:
            try:
                member = archive.extractfile(f"package/{name}")
            except KeyError:
                member = None
            if member is None:
                raise RuntimeError(f"{path.name}: no file {name} in it")
            found[name] = member.read()
    return found


def _fetch(package: Package, path: Path) -> None:
    """Let npm pack the package beside `path`, and give it its name when it is whole."""
    npm = shutil.which("npm")
    what = f"{package.name}@{package.version}"
    if npm is None:
        raise RuntimeError(f"npm is needed to fetch {what}, and is not installed; install Node.js, or put {path} there")
    scratch = path.parent / ".fetched"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        command = [npm, "pack", what, "--pack-destination", str(scratch), "--silent"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=scratch)
        fetched = scratch / package.archive
        if done.returncode or not fetched.is_file():
            said = " ".join(done.stderr.split())[-200:]
            raise RuntimeError(f"npm could not fetch {what} ({said}); with a network try again")
        with atomic_write(path, "wb") as handle:
            handle.write(fetched.read_bytes())
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"npm did not fetch {what} within {SECONDS} s; with a network try again") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
