"""What `ssacl` understands: every command with its options and help; cli.py runs them.

Options of the commands that measure are in `measurement_options.py`.
"""

import argparse
from pathlib import Path

from ..settings import profile_names
from . import texts
from .measurement_options import add_measurements

DATASETS = "phantom (default), or another data set of data/README.md"


class Parser(argparse.ArgumentParser):
    """argparse with one line per mistake."""

    def error(self, message: str):
        """Print the culprit and where to read on; exit 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their help; `run` of a parsed line names the function that runs it (cli.py)."""
    plain = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = Parser(prog="ssacl", description=texts.DESCRIPTION, **plain)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: str, line: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=line, description=text, **plain)
        added.set_defaults(run=run, name=name)
        return added

    for add in (
        _rebuild,
        _explain,
        _images,
        _data,
        _training,
        _release,
        add_measurements,
        _finetune,
        _handout,
        _book,
        _browser_model,
        _readme,
    ):
        add(command)
    return parser


def _rebuild(command) -> None:
    """`ssacl rebuild`."""
    rebuild = command("rebuild", "run_rebuild", "rebuild figures, tables and notebooks", texts.REBUILD)
    rebuild.add_argument(
        "--profile", default="cpu", help=f"size of everything: {', '.join(profile_names())} (default cpu)"
    )
    rebuild.add_argument(
        "--only", action="append", default=[], metavar="03", help="this notebook only; may be repeated"
    )
    rebuild.add_argument("--dataset", default="phantom", help=DATASETS)
    rebuild.add_argument("--data-root", metavar="DIR", help="folder of the data set's tables and pictures; or of CTs")
    rebuild.add_argument("--out", metavar="DIR", help="where results go (default figures/PROFILE)")
    rebuild.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    rebuild.add_argument("--check", action="store_true", help="only say what is old or differs from the manifest")
    rebuild.add_argument(
        "--verify",
        nargs="?",
        const="",
        metavar="DIR",
        help="only compare the tables with those of the last commit, or of a folder",
    )
    rebuild.add_argument(
        "--keep-float32",
        action="store_true",
        help="only keep what this rebuild, in float32, made of rows that it did not train, for --verify",
    )


def _explain(command) -> None:
    """`ssacl explain`."""
    explain = command("explain", "run_explain", "where a row of a table comes from; is it still right?", texts.EXPLAIN)
    explain.add_argument("table", type=Path, metavar="TABLE.csv")
    explain.add_argument("--row", type=int, metavar="N", help="this row, counted from 0 (default: the whole table)")


def _images(command) -> None:
    """`ssacl report`, `ssacl ground` and `ssacl retrieve`."""
    report = command("report", "run_report", "findings, report and evidence of images", texts.REPORT)
    report.add_argument("images", nargs="+", type=Path, metavar="IMAGE_OR_FOLDER")
    report.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="draw each film with its evidence, or not (default: for image files, not for folders)",
    )
    report.add_argument(
        "--html", type=Path, metavar="OUT", help="write evidence sheets to this folder, and nothing else"
    )
    ground = command("ground", "run_ground", "where on an image a phrase is", texts.GROUND)
    ground.add_argument("image", type=Path, metavar="IMAGE")
    ground.add_argument("phrase", metavar="PHRASE", help='a few words, such as "right pleural effusion"')
    retrieve = command("retrieve", "run_retrieve", "the films of a folder that are nearest to a phrase", texts.RETRIEVE)
    retrieve.add_argument("phrase", metavar="PHRASE", help='a few words, such as "right pleural effusion"')
    retrieve.add_argument("films", nargs="+", type=Path, metavar="FOLDER_OR_IMAGE")
    for added in (report, ground, retrieve):
        added.add_argument("--weights", type=Path, metavar="DIR", help="a trained model (default: the shipped one)")
        added.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: the current folder)")


def _data(command) -> None:
    """`ssacl data`."""
    data = command(
        "data", "run_data", "fetch data", "Fetch data, check its sum and place it in data/. Only what is missing."
    )
    data.add_argument("action", choices=["get"])
    data.add_argument("name", choices=["ct"], help="ct: the labelled chest CT behind the phantom")


def _training(command) -> None:
    """`ssacl pretrain` and the commands that make starts."""
    pretrain = command("pretrain", "run_pretrain", "train a checkpoint", texts.PRETRAIN)
    pretrain.add_argument("--half", action="store_true", help="write the weights in half precision: half the file")
    mae = command("pretrain-mae", "run_pretrain_mae", "train a masked autoencoder as a start", texts.PRETRAIN_MAE)
    start = command(
        "pretrain-start", "run_pretrain_start", "train an encoder as a start, by report labels", texts.PRETRAIN_START
    )
    plus = command("plus", "run_plus", "give a checkpoint a head that looks (SS-ACL+)", texts.PLUS)
    plus.add_argument("--weights", type=Path, metavar="DIR", help="checkpoint folder (default: the shipped one)")
    plus.add_argument("--profile", default="cpu", help="whose training studies are read (default cpu)")
    plus.add_argument("--seed", type=int, default=0, help="of studies, poses and the head (default 0)")
    plus.add_argument("--half", action="store_true", help="write the weights in half precision: half the file")
    plus.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new checkpoint")
    for added in (pretrain, mae, start):
        added.add_argument("--profile", default="cpu", help="where the settings come from (default cpu)")
        added.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")
        added.add_argument("--dataset", default="phantom", help=DATASETS)
        added.add_argument("--data-root", metavar="DIR")
        added.add_argument("--seed", type=int, default=0)
        added.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated"
        )


def _release(command) -> None:
    """`ssacl convert-release`."""
    convert = command("convert-release", "run_convert_release", "read the authors' checkpoint", texts.CONVERT_RELEASE)
    convert.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the authors' file")
    convert.add_argument("out", type=Path, metavar="OUT", help="folder of the converted model")
    convert.add_argument(
        "--tokenizer", type=Path, metavar="FILE", help="their WordPiece file, data/mimic_wordpiece.json"
    )
    convert.add_argument(
        "--language-tokenizer", metavar="DIR", help="a GPT-2 tokenizer: a folder, or a name on the hub (gpt2)"
    )
    convert.add_argument(
        "--config", type=Path, metavar="JSON", help="fields of SSACLConfig (default: ViT-B/16 at 224 px)"
    )


def _finetune(command) -> None:
    """`ssacl finetune`."""
    finetune = command("finetune", "run_finetune", "fine-tune an encoder for a task of your own", texts.FINETUNE)
    finetune.add_argument("films", type=Path, metavar="FOLDER")
    finetune.add_argument("--task", required=True, metavar="TASK", help="labels.csv, a table of labels; or masks")
    finetune.add_argument(
        "--weights", metavar="DIR", help="a trained model, or a vision model of transformers (default: the shipped one)"
    )
    finetune.add_argument("--seed", type=int, default=0, help="of splits, subsets and order (default 0)")
    finetune.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    finetune.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where table, predictions and weights go"
    )


def _handout(command) -> None:
    """`ssacl handout`."""
    handout = command("handout", "run_handout", "notebooks for a class, with and without solutions", texts.HANDOUT)
    handout.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default runs/handout)")


def _book(command) -> None:
    """`ssacl book`."""
    book = command("book", "run_book", "the web edition: pages to be read without Python or a network", texts.BOOK)
    book.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default runs/book)")
    book.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of the model in the browser; becomes a page of the edition"
    )


def _browser_model(command) -> None:
    """`ssacl browser-model`."""
    browser = command(
        "browser-model", "run_browser_model", "a page in which the model answers without Python", texts.BROWSER_MODEL
    )
    browser.add_argument("--weights", type=Path, metavar="DIR", help="a trained model (default: the shipped one)")
    browser.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default runs/browser)")


def _readme(command) -> None:
    """`ssacl readme`."""
    readme = command(
        "readme", "run_readme", "write the generated tables of the READMEs", "Write the tables between the markers."
    )
    readme.add_argument("--check", action="store_true", help="only say whether they are up to date")
