"""What ran, and what came out: atomic writes, one `manifest.json` and one `run.json` per folder of results.

`manifest.json` holds what decides the numbers (settings, seed, versions, sources) and a hash per output: the same from run
to run on one machine. `run.json` holds the rest: commit, device, threads and kernels (they decide the last bit), dates, seconds.
A notebook calls `start_run` once; figures and tables are recorded with the run that it returns. Only `ssacl rebuild`,
`ssacl bench` and `ssacl confirm` write into `figures/`; a notebook that is opened by hand has a folder of its own.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import paths, threads
from ..settings import Settings, load_settings
from .claims import claimed
from .sources import all_sources, sha256_file, sha256_json

PACKAGES = (
    "torch", "transformers", "tokenizers", "accelerate", "datasets", "safetensors", "numpy", "pandas", "scipy",
    "scikit-learn", "matplotlib", "networkx", "pillow", "pydicom", "nibabel", "pycocoevalcap", "pydantic",
)  # fmt: skip
"""Packages whose versions can change a number or a picture."""

REBUILD_VARIABLE = "SSACL_REBUILD"
"""Set by `ssacl rebuild`: results are published then, and a missing input of an earlier stage is an error."""


@contextmanager
def atomic_write(path: Path | str, mode: str = "w") -> Iterator:
    """Open a temporary file beside `path`; it takes the name only when the block ended without an error.

    Text is UTF-8 with "\\n" at line ends. A killed process leaves the old file (or none), never half a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    try:
        with open(temporary, mode, encoding=encoding, newline=newline) as handle:
            yield handle
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, value: object) -> None:
    """Write JSON atomically, keys sorted, so that equal contents are equal files."""
    with atomic_write(path) as handle:
        json.dump(value, handle, indent=1, sort_keys=True, ensure_ascii=False)
        handle.write("\n")


def read_json(path: Path | str) -> dict:
    """Read a JSON object; an absent file is an empty one.

    Raises:
        ValueError: the file holds no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not hold a JSON object ({error}); delete it and rebuild") from None


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def portable_settings(settings: Settings) -> dict:
    """Settings as a dict without paths of this machine: of a data root only the folder's name stays."""
    values = settings.model_dump(mode="json")
    values["out_dir"] = None
    if values["data_root"]:
        values["data_root"] = Path(values["data_root"]).name
    return values


def device_name() -> str:
    """The GPU's name where torch is loaded and sees one, else the processor's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def git_commit() -> str | None:
    """The commit of the checkout, with "+" where tracked files differ from it; None outside of git."""
    git = ["git", "-C", str(paths.ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        changes = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.returncode else "")


@dataclass(frozen=True)
class Run:
    """One notebook at work: its settings, its folders, and the door through which outputs enter the manifest."""

    settings: Settings
    notebook: str

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.settings.figures

    @property
    def tables(self) -> Path:
        """Folder of the tables."""
        return self.settings.figures / "tables"

    @property
    def runs(self) -> Path:
        """Folder of trained weights and per-study results, which can be made again and are not committed."""
        return self.settings.runs

    def record(self, path: Path | str, caption: str | None = None, alt: str | None = None) -> Path:
        """Enter an output (a file below `figures`) with its hash, and its caption and alternative text where it has them.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file lies outside of the folder of results.
        """
        path = Path(path).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"can't record {path}: no such file")
        if not path.is_relative_to(self.figures.resolve()):
            raise ValueError(f"can't record {path}: it lies outside of {self.figures}")
        entry = {"sha256": sha256_file(path)} | {k: v for k, v in (("caption", caption), ("alt", alt)) if v}
        name = path.relative_to(self.figures.resolve()).as_posix()
        self._update("manifest.json", lambda stage: stage.setdefault("outputs", {}).update({name: entry}))
        return path

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the notebook; the seconds go to run.json."""
        start = time.perf_counter()
        yield
        seconds = round(time.perf_counter() - start, 1)
        self._update("run.json", lambda stage: stage.setdefault("seconds", {}).update({name: seconds}))

    def finish(self, key: dict[str, str], seconds: float, bfloat16: bool) -> None:
        """Enter what the notebook was made from (into manifest.json), how long it took and in what numbers (into run.json).

        bfloat16: the models' passes were computed in it, not in float32.
        """
        self._update("manifest.json", lambda stage: stage.update(key=key))
        times = {"total": round(seconds, 1)}
        self._update("run.json", lambda s: s.update(seconds={**s.get("seconds", {}), **times}, bfloat16=bfloat16))

    def _update(self, file: str, change) -> None:
        with self.alone():
            content = read_json(self.figures / file)
            change(content.setdefault("notebooks", {}).setdefault(self.notebook, {}))
            write_json(self.figures / file, content)

    def alone(self) -> AbstractContextManager[bool]:
        """No other notebook changes the two files meanwhile: it would write back what it had read before."""
        return claimed(self.runs / "recording", wait=True, quiet=True)


def start_run(
    notebook: str,
    profile: str = "smoke",
    dataset: str = "phantom",
    data_root: str | None = None,
    seed: int = 0,
    out_dir: str | None = None,
    changes: Mapping[str, Any] | None = None,
    publish: bool | None = None,
) -> Run:
    """Load the settings, open the folder of results and forget what this notebook recorded there before.

    Prints one line that says what runs and where the results go: into `figures/` where they are published, else into a
    folder below `runs/opened/`, which git ignores. What a rebuild has trained is read from there if it was made from the
    same settings and code; everything that the notebook makes itself stays in its own folder.

    Args:
        changes: settings by dotted name that differ from the profile's, such as `{"training.mixing": 0.3}`; they are
            validated, written into the manifest, and give the run a folder of its own.
        publish: may the run write into `figures/`? None: inside of `ssacl rebuild` only.

    Raises:
        ValueError: unknown profile or setting, a wrong type, results in `figures/` of a run that may not publish, or
            changes of a run that publishes.
    """
    publish = bool(os.environ.get(REBUILD_VARIABLE)) if publish is None else publish
    given, changes = {"dataset": dataset, "data_root": data_root, "seed": seed, "out_dir": out_dir}, dict(changes or {})
    if double := sorted(changes.keys() & {*given, "profile"}):
        raise ValueError(f"changes: {double[0]!r} is a parameter of the notebook; set it there")
    if changes and publish:
        raise ValueError(
            f"changes ({', '.join(changes)}) are for opened notebooks; published results are the profile's own"
        )
    settings = load_settings(profile, **given, **changes)
    if not publish:
        settings = settings.changed(out_dir=str(_own_folder(settings, changes)))
    threads.apply(settings.threads, settings.deterministic)
    run = Run(settings, notebook)
    with run.alone():
        content = read_json(run.figures / "manifest.json")
        content.update(
            settings=portable_settings(settings), seed=seed, versions=package_versions(), sources=all_sources()
        )
        content.update({"changes": changes} if changes else {})
        content.setdefault("notebooks", {})[notebook] = {"outputs": {}, "seed": seed}
        write_json(run.figures / "manifest.json", content)
        record = read_json(run.figures / "run.json")
        record.update(commit=git_commit(), device=device_name(), kernels=threads.describe())
        record.setdefault("notebooks", {})[notebook] = {"date": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(run.figures / "run.json", record)
    shown = run.figures.relative_to(paths.ROOT) if run.figures.is_relative_to(paths.ROOT) else run.figures.name
    told = "".join(f", {name} = {value}" for name, value in changes.items())
    kept = "" if publish else "; published results stay as they are"
    print(f"profile {profile}, data set {dataset}, seed {seed}{told}; results go to {shown}{kept}")
    return run


def _own_folder(settings: Settings, changes: Mapping[str, Any]) -> Path:
    """Where a run that may not publish puts its results: what its user named, else a folder below runs/opened."""
    if settings.out_dir is None:
        suffix = f"-{sha256_json(changes)[:8]}" if changes else ""
        return paths.OPENED / f"{settings.name}-seed{settings.seed}{suffix}"
    if settings.figures.is_relative_to(paths.FIGURES):
        raise ValueError(
            f"out_dir {settings.out_dir}: published results are written by `ssacl rebuild` alone; leave out_dir empty, or "
            "name a folder outside of figures/"
        )
    return settings.figures


def require_stage(run: Run, stage: str, path: Path | str, there: bool | None = None) -> bool:
    """Is the output of an earlier stage there? Inside of a rebuild it has to be.

    there: the answer where it takes more than a look whether `path` exists.

    Returns:
        True where it is. False where it isn't and the notebook was opened alone: then the caller computes a small input
        itself, and one printed line says so.

    Raises:
        FileNotFoundError: inside of `ssacl rebuild`, naming the stage that makes the file.
    """
    path = Path(path)
    if path.exists() if there is None else there:
        return True
    if os.environ.get(REBUILD_VARIABLE):
        number = stage.split("_")[0]
        raise FileNotFoundError(
            f"{path.name} of stage {stage} is missing or old: run `ssacl rebuild --only {number} --profile "
            f"{run.settings.profile}`"
        )
    print(f"{path.name} of {stage} is not there yet, or is old: this notebook makes a small one itself")
    return False


def output_problems(folder: Path) -> list[str]:
    """Compare a folder of results with its manifest: one line per output that is absent or has another hash."""
    problems = []
    for notebook, stage in sorted(read_json(folder / "manifest.json").get("notebooks", {}).items()):
        for name, entry in sorted(stage.get("outputs", {}).items()):
            path = folder / name
            if not path.is_file():
                problems.append(f"{notebook}: {name} is absent")
            elif sha256_file(path) != entry["sha256"]:
                problems.append(f"{notebook}: {name} differs from its hash in the manifest")
    return problems
