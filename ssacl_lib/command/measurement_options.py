"""Options and help of the commands that measure at length (`measurements.py`); those of the others are in `parser.py`."""

import argparse
from pathlib import Path

from . import texts


def add_measurements(command) -> None:
    """From `ssacl bench` to `ssacl downstream`, in the order of the help."""
    for add in (
        _bench,
        _recipe_and_size,
        _ablation_and_spread,
        _labeler,
        _tokens,
        _phrases,
        _randomise,
        _confirm,
        _downstream,
    ):
        add(command)


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


def _recipe_and_size(command) -> None:
    """`ssacl recipe` and `ssacl size`."""
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


def _side_by_side(command) -> None:
    """How many processes work; those that the first one starts say nothing of the whole at the end."""
    command.add_argument(
        "--processes", type=_count, default=1, help="so many side by side, one thread each (default 1)"
    )
    command.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number}, expected at least 1")
    return number


def _ablation_and_spread(command) -> None:
    """`ssacl ablation` and `ssacl spread`."""
    ablation = command(
        "ablation", "run_ablation", "train and score the compared methods and the ablation", texts.ABLATION
    )
    ablation.add_argument("--profile", default="cpu", help="whose recipe and studies (default cpu)")
    ablation.add_argument("--seed", type=int, default=0, help="first training seed, and that of the training studies")
    ablation.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this method only; may be repeated"
    )
    ablation.add_argument(
        "--seeds", type=int, metavar="N", help="the first N trainings of each method alone (default: all)"
    )
    _side_by_side(ablation)
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


def _labeler(command) -> None:
    """`ssacl labeler`."""
    labeler = command("labeler", "run_labeler", "measure how well the labeler reads", texts.LABELER)
    labeler.add_argument(
        "--iu", type=Path, metavar="DIR", help="folder of the Indiana University reports (XML files, or their .tgz)"
    )
    labeler.add_argument("--seed", type=int, default=1, help="seed of the phantom's patients (default 1)")
    labeler.add_argument("--out", type=Path, metavar="CSV", help="where the rows go (default data/results/labeler.csv)")


def _tokens(command) -> None:
    """`ssacl sight`, `ssacl probe` and `ssacl one-leaf`."""
    sight = command("sight", "run_sight", "does what the prompts saw reach the report?", texts.SIGHT)
    probe = command("probe", "run_probe", "does a leaf's token tell of its own place?", texts.PROBE)
    one_leaf = command("one-leaf", "run_one_leaf", "what does a report say behind one open leaf?", texts.ONE_LEAF)
    for added in (sight, probe, one_leaf):
        added.add_argument("--profile", default="cpu", help="whose training studies are read (default cpu)")
        added.add_argument("--seed", type=int, default=1, help="of the test patients (default 1)")
        added.add_argument("--weights", type=Path, metavar="DIR", help="checkpoint folder (default: the shipped one)")


def _phrases(command) -> None:
    """`ssacl phrases`."""
    phrases = command("phrases", "run_phrases", "the controls of notebook 04 for a model of your own", texts.PHRASES)
    phrases.add_argument("--weights", metavar="DIR", help="a folder, or a name on the hub (default: the shipped model)")
    phrases.add_argument("--profile", default="cpu", help="whose unseen studies are read (default cpu)")
    phrases.add_argument(
        "--dataset", default="phantom", help="phantom (default), or folder with studies.csv and phrase_boxes.csv"
    )
    phrases.add_argument("--data-root", metavar="DIR", help="folder of the data set")
    phrases.add_argument("--seed", type=int, default=0, help="of the studies and masks (default 0)")
    phrases.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the table goes")


def _randomise(command) -> None:
    """`ssacl randomise`."""
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


def _confirm(command) -> None:
    """`ssacl confirm`."""
    confirm = command("confirm", "run_confirm", "the shipped checkpoint on patients of another seed", texts.CONFIRM)
    confirm.add_argument("--seed", type=int, default=1, help="any seed but 0 (default 1)")
    confirm.add_argument("--out", type=Path, metavar="DIR", help="where the table goes (default figures/confirm)")


def _downstream(command) -> None:
    """`ssacl downstream`."""
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
    downstream.add_argument("--alone", action="store_true", help="ask the encoders of --encoder, and no other")
    _side_by_side(downstream)
    downstream.add_argument(
        "--out", type=Path, metavar="DIR", help="where results and weights go (default data/results)"
    )
    downstream.add_argument("--list", action="store_true", help="only say what is there and what is missing")
