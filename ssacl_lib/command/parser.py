"""What `ssacl` understands: every command with its options and help; the running is in cli.py."""

import argparse
from pathlib import Path

from ..settings import LossWeights, profile_names
from . import texts

MAE_ONLY = {f"training.loss_weights.{name}": float(name == "image_reconstruction") for name in LossWeights.model_fields}
MAE_ONLY["model.encoder_weights"] = None

DATASETS = "phantom (default), or another data set of data/README.md"


class Parser(argparse.ArgumentParser):
    """argparse with one line per mistake."""

    def error(self, message: str):
        """Print the culprit and where to read on; exit 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their help; `run` of a parsed line names the function of cli.py that runs it."""
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
        _bench,
        _studies,
        _downstream,
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


def _bench(command) -> None:
    """`ssacl bench`."""
    bench = command("bench", "run_bench", "time this library against the plain formulation", texts.BENCH)
    bench.add_argument("--profile", default="cpu", help="whose model and batch are timed (default cpu)")
    bench.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    bench.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this benchmark only; may be repeated"
    )
    bench.add_argument("--json", type=Path, metavar="OUT", help="write the rows to this file, too")
    bench.add_argument("--seed", type=int, default=0, help="seed of weights, texts and pixels (default 0)")
    bench.add_argument("--quick", action="store_true", help="few repetitions: a look, not a measurement")


def _studies(command) -> None:
    """The commands that measure: recipe, size, spread, labeler, sight, probe, one-leaf, randomise, confirm."""
    recipe = command("recipe", "run_recipe", "measure what a profile changes against the paper", texts.RECIPE)
    recipe.add_argument("--profile", default="cpu", help="whose choices are measured (default cpu)")
    recipe.add_argument("--images", type=int, default=12000, help="training images of every variant (default 12000)")
    recipe.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this variant only; may be repeated"
    )
    recipe.add_argument("--out", type=Path, metavar="DIR", help="folder of the table (default data/checkpoints/recipe)")

    size = command("size", "run_size", "how small should a patch be?", texts.SIZE)
    size.add_argument("--profile", default="cpu", help="whose recipe (default cpu)")
    size.add_argument("--out", type=Path, metavar="CSV", help="where the rows go (default data/results/size.csv)")

    ablation = command(
        "ablation", "run_ablation", "train and score the compared methods and the ablation", texts.ABLATION
    )
    ablation.add_argument("--profile", default="cpu", help="whose recipe and studies (default cpu)")
    ablation.add_argument("--seed", type=int, default=0, help="first training seed, and that of the training studies")
    ablation.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this method only; may be repeated"
    )
    ablation.add_argument("--processes", type=int, default=1, help="so many side by side, one thread each (default 1)")
    ablation.add_argument("--out", type=Path, metavar="DIR", help="where results and weights go (default data/results)")
    ablation.add_argument(
        "--check", action="store_true", help="only train the first steps of the first run again: still the same losses?"
    )
    ablation.add_argument("--list", action="store_true", help="only say what is there and what is missing")

    spread = command("spread", "run_spread", "measure how far runs of the same recipe lie apart", texts.SPREAD)
    spread.add_argument("--profile", default="cpu", help="whose runs (default cpu)")
    spread.add_argument(
        "--only", action="append", default=[], type=int, metavar="0", help="this run only (0 to 4); may be repeated"
    )
    spread.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="NAME",
        help="this part only, as supervised or blind; may be repeated",
    )

    labeler = command("labeler", "run_labeler", "measure how well the labeler reads", texts.LABELER)
    labeler.add_argument(
        "--iu", type=Path, metavar="DIR", help="folder of the Indiana University reports (XML files, or their .tgz)"
    )
    labeler.add_argument("--seed", type=int, default=1, help="seed of the phantom's patients (default 1)")
    labeler.add_argument("--out", type=Path, metavar="CSV", help="where the rows go (default data/results/labeler.csv)")

    sight = command("sight", "run_sight", "does what the prompts saw reach the report?", texts.SIGHT)
    probe = command("probe", "run_probe", "does a leaf's token tell of its own place?", texts.PROBE)
    one_leaf = command("one-leaf", "run_one_leaf", "what does a report say behind one open leaf?", texts.ONE_LEAF)
    for added in (sight, probe, one_leaf):
        added.add_argument("--profile", default="cpu", help="whose training studies are read (default cpu)")
        added.add_argument("--seed", type=int, default=1, help="of the test patients (default 1)")
        added.add_argument("--weights", type=Path, metavar="DIR", help="checkpoint folder (default: the shipped one)")

    randomise = command(
        "randomise", "run_randomise", "what disturbed films bring to SS-ACL+ on real ones", texts.RANDOMISE
    )
    randomise.add_argument("--films", type=Path, metavar="DIR", help="folder of real films with region_boxes.csv")
    randomise.add_argument("--profile", default="cpu", help="whose phantom studies are read (default cpu)")
    randomise.add_argument("--seed", type=int, default=0, help="of studies, disturbances and heads (default 0)")
    randomise.add_argument("--weights", type=Path, metavar="DIR", help="checkpoint folder (default: the shipped one)")
    randomise.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="this variant only, as none or crops; may be repeated",
    )
    randomise.add_argument(
        "--out", type=Path, metavar="CSV", help="where the rows go (default data/results/randomisation.csv)"
    )

    confirm = command("confirm", "run_confirm", "the shipped checkpoint on patients of another seed", texts.CONFIRM)
    confirm.add_argument("--seed", type=int, default=1, help="any seed but 0 (default 1)")
    confirm.add_argument("--out", type=Path, metavar="DIR", help="where the table goes (default figures/confirm)")


def _downstream(command) -> None:
    """`ssacl downstream` and `ssacl finetune`."""
    downstream = command("downstream", "run_downstream", "ask the downstream tasks of every encoder", texts.DOWNSTREAM)
    downstream.add_argument("--profile", default="cpu", help="whose encoders and studies (default cpu)")
    downstream.add_argument("--dataset", default="phantom", help="phantom (default), nih, rsna, siim or chexpert-5x200")
    downstream.add_argument("--data-root", metavar="DIR", help="folder of the data set's lists and pictures")
    downstream.add_argument("--seed", type=int, default=0, help="first training seed, and that of the training studies")
    downstream.add_argument(
        "--only", action="append", default=[], metavar="TASK", help="this task only, as zero-shot; may be repeated"
    )
    downstream.add_argument(
        "--encoder",
        action="append",
        default=[],
        metavar="PATH",
        help="this encoder, too: a folder, or a name on the hub",
    )
    downstream.add_argument(
        "--processes", type=int, default=1, help="so many side by side, one thread each (default 1)"
    )
    downstream.add_argument(
        "--out", type=Path, metavar="DIR", help="where results and weights go (default data/results)"
    )
    downstream.add_argument("--list", action="store_true", help="only say what is there and what is missing")
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
