"""Commands that measure something at length, or make what is measured: each calls the library and prints where the rows lie."""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from .. import paths
from ..settings import load_settings


def require_checkpoint(weights: Path | None) -> None:
    """Raises FileNotFoundError where no model is named and none is shipped."""
    if weights is None and not paths.SHIPPED_CHECKPOINT.is_dir():
        raise FileNotFoundError(
            f"there is no shipped checkpoint in {paths.SHIPPED_CHECKPOINT}: make one with `ssacl pretrain --profile cpu "
            "--out DIR` and give --weights DIR"
        )


def run_recipe(arguments: argparse.Namespace) -> int:
    """ssacl recipe."""
    from ..evaluation.recipe import FOLDER, measure_recipe, recipe_table

    measure_recipe(arguments.profile, arguments.images, arguments.only, arguments.out)
    print(recipe_table(arguments.out).to_string(index=False))
    print(f"written: {arguments.out or FOLDER}")
    return 0


def run_ablation(arguments: argparse.Namespace) -> int:
    """ssacl ablation."""
    from ..evaluation.comparison import gives_the_same, measure
    from ..evaluation.comparison_run import missing, planned

    out = str(arguments.out.resolve()) if arguments.out else None
    settings = load_settings(arguments.profile, seed=arguments.seed, out_dir=out)
    if arguments.check:
        print(gives_the_same(settings))
        return 0
    if not arguments.list:
        measure(settings, arguments.only, arguments.processes)
    for run in planned(settings, arguments.only):
        print(f"{run.name}: {', '.join(f'no {part}' for part in missing(run)) or 'there'}")
    return 0


def run_size(arguments: argparse.Namespace) -> int:
    """ssacl size."""
    from ..evaluation.size import RESULTS, measure_size

    table = measure_size(load_settings(arguments.profile), out=arguments.out)
    print(table.to_string(index=False), f"written: {arguments.out or RESULTS}", sep="\n")
    return 0


def run_plus(arguments: argparse.Namespace) -> int:
    """ssacl plus."""
    from ..training.look import make_plus

    settings = load_settings(arguments.profile, seed=arguments.seed)
    half = ["--half"] if arguments.half else []
    command = shlex.join(["ssacl", "plus", "--profile", arguments.profile, "--seed", str(arguments.seed), *half])
    print(f"written: {make_plus(arguments.weights, settings, arguments.out, command, arguments.half)}")
    return 0


def _measured(arguments: argparse.Namespace, measure: Callable) -> int:
    """Measure a checkpoint on the patients of a seed, and say where the rows lie."""
    print(f"written: {measure(load_settings(arguments.profile), arguments.seed, arguments.weights)}")
    return 0


def run_sight(arguments: argparse.Namespace) -> int:
    """ssacl sight."""
    from ..evaluation.sight import measure_sight

    return _measured(arguments, measure_sight)


def run_randomise(arguments: argparse.Namespace) -> int:
    """ssacl randomise."""
    require_checkpoint(arguments.weights)
    from ..evaluation.randomisation import RESULTS, measure_randomisation

    settings = load_settings(arguments.profile, seed=arguments.seed)
    table = measure_randomisation(settings, arguments.films, arguments.weights, arguments.only, arguments.out)
    shown = table[table["node"].str.startswith("mean of") & table["metric"].isin(["pointing", "cnr"])]
    print(shown.to_string(index=False), f"written: {arguments.out or RESULTS}", sep="\n")
    return 0


def run_probe(arguments: argparse.Namespace) -> int:
    """ssacl probe."""
    from ..evaluation.probe import measure_probe

    return _measured(arguments, measure_probe)


def run_one_leaf(arguments: argparse.Namespace) -> int:
    """ssacl one-leaf."""
    from ..evaluation.one_leaf import measure_one_leaf

    return _measured(arguments, measure_one_leaf)


def run_spread(arguments: argparse.Namespace) -> int:
    """ssacl spread."""
    from ..evaluation.spread import EVALUATIONS, measure_spread

    print(
        f"written: {measure_spread(load_settings(arguments.profile), arguments.only, arguments.part or tuple(EVALUATIONS))}"
    )
    return 0


def run_labeler(arguments: argparse.Namespace) -> int:
    """ssacl labeler."""
    from ..evaluation.labeler import RESULTS, measure_labeler

    table = measure_labeler(arguments.iu, arguments.seed, out=arguments.out)
    shown = table.drop(columns="labeler").round(3)
    print(shown.to_string(index=False), f"written: {arguments.out or RESULTS}", sep="\n")
    return 0


def run_confirm(arguments: argparse.Namespace) -> int:
    """ssacl confirm."""
    from ..evaluation.fresh import fresh_patients
    from ..record.manifest import start_run
    from ..record.tables import write_table

    table = fresh_patients(load_settings("cpu", seed=arguments.seed))
    run = start_run(
        "confirm",
        "cpu",
        seed=arguments.seed,
        out_dir=str((arguments.out or paths.FIGURES / "confirm").resolve()),
        publish=True,
    )
    write_table(
        run,
        table,
        "fresh_patients",
        f"The shipped checkpoint on the test patients of seed {arguments.seed} (profile cpu), "
        "whom nobody looked at while its recipe was searched.",
    )
    print(table.to_string(index=False), f"written: {run.tables}", sep="\n")
    return 0
