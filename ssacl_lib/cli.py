"""The command `ssacl` (= `python -m ssacl_lib`): parse, call the library, print. Mistakes of the user: one line, exit 2."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from . import paths
from .settings import LossWeights, Settings, load_settings, profile_names

DESCRIPTION = """\
SS-ACL companion: chest X-ray reports with visual evidence, learnt from images and reports alone.

  ssacl rebuild                            every figure, table and notebook with the profile cpu
  ssacl rebuild --profile gpu --only 02    one notebook, at the size for one GPU
  ssacl rebuild --check                    is anything older than what it was made from?
  ssacl report film.png                    findings, report and evidence of an image
  ssacl ground film.dcm "left effusion"    where on the image is this phrase?
  ssacl data get ct                        fetch the chest CT behind the phantom (35 MB, once)
  ssacl pretrain --profile cpu --out DIR   train a checkpoint outside of the notebooks

Research and teaching software, not a medical device.
"""
REBUILD = """\
Executes the notebooks of notebooks/ one after the other with the parameters below, and writes figures, tables and the
executed copies to figures/PROFILE (figures/PROFILE-DATASET with another data set). A stage whose notebook, library,
settings and inputs did not change is skipped. Exit codes: 0 done, 1 a notebook failed or --check found something old,
2 something to mend before it can start."""
REPORT = """\
Prints findings, anatomies and report of each image, and writes NAME_report.json and NAME_report.png (the image with its
evidence) to --out. Takes PNG, JPEG and DICOM."""
GROUND = """\
Finds a phrase on an image by masked evidence, with the similarity map beside it; prints where the map peaks, and writes
NAME_ground.json and NAME_ground.png to --out. Takes PNG, JPEG and DICOM."""
PRETRAIN = """\
Trains a model with a profile's settings and writes it to --out (`ssacl report --weights OUT` uses it). Killed and started
again with the same arguments, it goes on from its last checkpoint. Any setting can be changed by its dotted name:
  ssacl pretrain --profile cpu --out runs/long --set training.images=400000 --set training.batch_size=32"""
PRETRAIN_MAE = """\
The same loop with the image reconstruction term alone: a masked autoencoder of phantom images, without reports. Its
encoder is a start for `ssacl pretrain` (setting model.encoder_weights)."""

PRETRAIN_START = """\
The same loop with two terms alone: the global contrast, and the findings that the labeler reads in the training reports
(ours, not the paper's; no annotation is used). A start for small budgets; only the encoder is kept."""

CONFIRM = """\
Scores the shipped checkpoint on the test patients of another seed: head, reports and phrases, about a minute. The search for
its recipe saw some test patients of seed 0; these it never saw. Writes tables/fresh_patients.csv and a manifest to --out."""
RECIPE = """\
Trains the profile and its variants, each with one choice exchanged, for the same few images from the same seed, and scores
them on validation studies. Writes recipe.csv and manifest.json to --out (notebook 02 shows the shipped ones); the trained
models stay under runs/recipe. Killed and started again, it goes on where it was; finished variants are not trained twice."""

MAE_ONLY = {f"training.loss_weights.{name}": float(name == "image_reconstruction") for name in LossWeights.model_fields}
MAE_ONLY["model.encoder_weights"] = None
START = {**{f"training.loss_weights.{name}": 0.0 for name in LossWeights.model_fields}, "model.encoder_weights": None,
         "training.loss_weights.report_labels": 1.0, "training.loss_weights.global_contrastive": 1.0}

QUIET = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")
"""Variables that keep the libraries' own progress bars (of loading a file) away from ours."""


class Parser(argparse.ArgumentParser):
    """argparse with one line per mistake."""

    def error(self, message: str):
        """Print the culprit and where to read on; exit 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    plain = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = Parser(prog="ssacl", description=DESCRIPTION, **plain)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, line: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=line, description=text, **plain)
        added.set_defaults(run=run, name=name)
        return added

    rebuild = command("rebuild", run_rebuild, "rebuild figures, tables and notebooks", REBUILD)
    rebuild.add_argument("--profile", default="cpu", help=f"size of everything: {', '.join(profile_names())} (default cpu)")
    rebuild.add_argument("--only", action="append", default=[], metavar="03", help="this notebook only; may be repeated")
    rebuild.add_argument("--dataset", default="phantom", help="phantom (default) or folder")
    rebuild.add_argument("--data-root", metavar="DIR", help="the folder of studies.csv and pictures; or a folder of CTs")
    rebuild.add_argument("--out", metavar="DIR", help="where results go (default figures/PROFILE)")
    rebuild.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    rebuild.add_argument("--check", action="store_true", help="only say what is old or differs from the manifest")

    report = command("report", run_report, "findings, report and evidence of images", REPORT)
    report.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    ground = command("ground", run_ground, "where on an image a phrase is", GROUND)
    ground.add_argument("image", type=Path, metavar="IMAGE")
    ground.add_argument("phrase", metavar="PHRASE", help='a few words, such as "right pleural effusion"')
    for added in (report, ground):
        added.add_argument("--weights", type=Path, metavar="DIR", help="a trained model (default: the shipped one)")
        added.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: the current folder)")

    data = command("data", run_data, "fetch data", "Fetch data, check its sum and place it in data/. Only what is missing.")
    data.add_argument("action", choices=["get"])
    data.add_argument("name", choices=["ct"], help="ct: the labelled chest CT behind the phantom")

    pretrain = command("pretrain", run_pretrain, "train a checkpoint", PRETRAIN)
    pretrain.add_argument("--half", action="store_true", help="write the weights in half precision: half the file")
    mae = command("pretrain-mae", run_pretrain_mae, "train a masked autoencoder as a start", PRETRAIN_MAE)
    start = command("pretrain-start", run_pretrain_mae, "train an encoder as a start, by report labels", PRETRAIN_START)
    mae.set_defaults(fixed=MAE_ONLY)
    start.set_defaults(fixed=START)
    for added in (pretrain, mae, start):
        added.add_argument("--profile", default="cpu", help="where the settings come from (default cpu)")
        added.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")
        added.add_argument("--dataset", default="phantom", help="phantom (default) or folder")
        added.add_argument("--data-root", metavar="DIR")
        added.add_argument("--seed", type=int, default=0)
        added.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated")

    recipe = command("recipe", run_recipe, "measure what a profile changes against the paper", RECIPE)
    recipe.add_argument("--profile", default="cpu", help="whose choices are measured (default cpu)")
    recipe.add_argument("--images", type=int, default=12000, help="training images of every variant (default 12000)")
    recipe.add_argument("--only", action="append", default=[], metavar="NAME", help="this variant only; may be repeated")
    recipe.add_argument("--out", type=Path, metavar="DIR", help="folder of the table (default data/checkpoints/recipe)")

    confirm = command("confirm", run_confirm, "the shipped checkpoint on patients of another seed", CONFIRM)
    confirm.add_argument("--seed", type=int, default=1, help="any seed but 0 (default 1)")
    confirm.add_argument("--out", type=Path, metavar="DIR", help="where the table goes (default figures/confirm)")

    readme = command("readme", run_readme, "write the generated tables of the READMEs", "Write the tables between the markers.")
    readme.add_argument("--check", action="store_true", help="only say whether they are up to date")
    return parser


def parse_override(text: str) -> tuple[str, object]:
    """Split KEY=VALUE; the value is read as in a profile, and 1e-3 is a number.

    Raises:
        ValueError: there is no "=".
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected KEY=VALUE, such as training.images=40000")
    parsed = yaml.safe_load(value)
    try:
        return key, float(parsed) if isinstance(parsed, str) else parsed
    except ValueError:
        return key, parsed


def _settings(arguments: argparse.Namespace, **overrides: object) -> Settings:
    root = str(Path(arguments.data_root).resolve()) if arguments.data_root else None
    given = {"dataset": arguments.dataset, "data_root": root, "seed": arguments.seed}
    return load_settings(arguments.profile, **given, **overrides)


def run_rebuild(arguments: argparse.Namespace) -> int:
    """ssacl rebuild."""
    from .readme import write_generated
    from .rebuild import rebuild, stale_outputs

    out = str(Path(arguments.out).resolve()) if arguments.out else None
    settings = _settings(arguments, out_dir=out)
    if not arguments.check:
        rebuild(settings, arguments.only)
        if out is None:  # the READMEs show what these folders hold
            write_generated()
        return 0
    lines = stale_outputs(settings, arguments.only)
    print("\n".join(lines) if lines else f"{settings.figures.name}: everything is up to date")
    return int(bool(lines))


def _say_checkpoint(weights: Path | None) -> None:
    if weights is None and not paths.SHIPPED_CHECKPOINT.is_dir():
        raise FileNotFoundError(
            f"there is no shipped checkpoint in {paths.SHIPPED_CHECKPOINT}: make one with `ssacl pretrain --profile cpu "
            "--out DIR` and give --weights DIR"
        )


def run_report(arguments: argparse.Namespace) -> int:
    """ssacl report."""
    _say_checkpoint(arguments.weights)
    from .commands import report_files

    for answer in report_files(arguments.images, arguments.weights, arguments.out):
        findings = ", ".join(f"{name} {p:.2f}" for name, p in sorted(answer["findings"].items(), key=lambda item: -item[1]))
        print(f"{answer['image']} (checkpoint {answer['checkpoint']})\n{answer['report'].strip()}")
        print(f"  found: {', '.join(answer['positives']) or 'nothing'}; probabilities: {findings}")
        print(f"  written: {', '.join(answer['files'])}")
    return 0


def run_ground(arguments: argparse.Namespace) -> int:
    """ssacl ground."""
    _say_checkpoint(arguments.weights)
    from .commands import ground_file

    answer = ground_file(arguments.image, arguments.phrase, arguments.weights, arguments.out)
    x, y = answer["peak"]
    print(f"{answer['image']} (checkpoint {answer['checkpoint']})")
    print(f"  {answer['phrase']!r}: {answer['evidence']} evidence peaks at x {x:.0f}, y {y:.0f} (pixels of the file)")
    print(f"  written: {', '.join(answer['files'])}")
    return 0


def run_data(arguments: argparse.Namespace) -> int:
    """ssacl data get ct."""
    from .phantom.ct import get_ct

    print(f"CT: {get_ct()}")
    return 0


def run_pretrain(arguments: argparse.Namespace) -> int:
    """ssacl pretrain."""
    settings = _settings(arguments, **dict(parse_override(text) for text in arguments.set))
    from .checkpoints import make_checkpoint

    result = make_checkpoint(settings, arguments.out, _retype("pretrain", arguments), half=arguments.half)
    last = result.history[result.history["images"] == result.history["images"].max()]
    print("\n".join(f"  {row.split:10} {row.term:24} {row.value:.4f}" for row in last.itertuples()))
    print(f"model: {arguments.out}; try: ssacl report IMAGE --weights {arguments.out}")
    return 0


def run_pretrain_mae(arguments: argparse.Namespace) -> int:
    """ssacl pretrain-mae and ssacl pretrain-start: the two differ in their terms only."""
    settings = _settings(arguments, **{**arguments.fixed, **dict(parse_override(text) for text in arguments.set)})
    from .checkpoints import make_start

    folder = make_start(settings, arguments.out, _retype(arguments.name, arguments))
    print(f"encoder: {folder}; train from it with --set model.encoder_weights={folder}")
    return 0


def _retype(name: str, arguments: argparse.Namespace) -> str:
    """What to type to get the same again, but for the folders."""
    words = ["ssacl", name, "--profile", arguments.profile, "--seed", str(arguments.seed)]
    words += ["--dataset", arguments.dataset] if arguments.dataset != "phantom" else []
    return shlex.join([*words, *(word for text in arguments.set for word in ("--set", text))])


def run_recipe(arguments: argparse.Namespace) -> int:
    """ssacl recipe."""
    from .evaluation.recipe import FOLDER, measure_recipe, recipe_table

    measure_recipe(arguments.profile, arguments.images, arguments.only, arguments.out)
    print(recipe_table(arguments.out).to_string(index=False))
    print(f"written: {arguments.out or FOLDER}")
    return 0


def run_confirm(arguments: argparse.Namespace) -> int:
    """ssacl confirm."""
    from .evaluation.fresh import fresh_patients
    from .manifest import start_run
    from .tables import write_table

    table = fresh_patients(load_settings("cpu", seed=arguments.seed))
    run = start_run("confirm", "cpu", seed=arguments.seed, out_dir=str((arguments.out or paths.FIGURES / "confirm").resolve()))
    write_table(run, table, "fresh_patients", f"The shipped checkpoint on the test patients of seed {arguments.seed} (profile cpu), "
                "whom nobody looked at while its recipe was searched.")
    print(table.to_string(index=False), f"written: {run.tables}", sep="\n")
    return 0


def run_readme(arguments: argparse.Namespace) -> int:
    """ssacl readme."""
    from .readme import outdated, write_generated

    if arguments.check:
        names = outdated()
        print("\n".join(f"{name}: a generated table is out of date, run `ssacl readme`" for name in names) or "up to date")
        return int(bool(names))
    print("\n".join(f"written: {name}" for name in write_generated()) or "up to date")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parsed = build_parser().parse_args(arguments)
    os.environ.update(dict.fromkeys(QUIET, "1"))
    try:
        return parsed.run(parsed)
    except (ValueError, OSError) as error:
        return _fail(2, error)
    except (RuntimeError, ArithmeticError) as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        return _fail(130, "stopped")


def _fail(code: int, error: object) -> int:
    print(f"ssacl: {' '.join(str(error).split())}", file=sys.stderr)
    return code
