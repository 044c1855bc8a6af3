"""Commands that measure something at length: each calls the library and prints where the rows lie."""

import argparse
import shlex
from collections.abc import Callable

from .. import paths
from ..settings import load_settings
from .arguments import given_settings, require_checkpoint, require_device, require_folder_or_name


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
        measure(settings, arguments.only, arguments.processes, arguments.seeds)
    for run in planned(settings, arguments.only, arguments.seeds) if not arguments.beside else ():
        print(f"{run.name}: {', '.join(f'no {part}' for part in missing(run)) or 'there'}")
    return 0


def run_size(arguments: argparse.Namespace) -> int:
    """ssacl size."""
    from ..evaluation.size import RESULTS, measure_size

    table = measure_size(load_settings(arguments.profile), out=arguments.out)
    print(table.to_string(index=False), f"written: {arguments.out or RESULTS}", sep="\n")
    return 0


def _measured(arguments: argparse.Namespace, measure: Callable) -> int:
    """Measure a checkpoint on the patients of a seed, and say where the rows lie."""
    print(f"written: {measure(load_settings(arguments.profile), arguments.seed, arguments.weights)}")
    return 0


def run_sight(arguments: argparse.Namespace) -> int:
    """ssacl sight."""
    from ..evaluation.sight import measure_sight

    return _measured(arguments, measure_sight)


def run_phrases(arguments: argparse.Namespace) -> int:
    """ssacl phrases."""
    require_checkpoint(arguments.weights)
    require_folder_or_name(arguments.weights)
    from ..evaluation.any_phrases import phrases_of
    from ..record.manifest import portable_settings, write_json
    from .finetune import write_csv

    settings = given_settings(arguments, out_dir=str(arguments.out.resolve()))
    weights = str(arguments.weights or paths.SHIPPED_CHECKPOINT)
    table = phrases_of(settings, weights)
    path = arguments.out / "phrase_grounding.csv"
    write_csv(path, table)
    write_json(path.with_suffix(".json"), {"weights": weights, "settings": portable_settings(settings)})
    overall = table["finding"].eq("overall") & table["metric"].str.startswith(("cnr", "pointing"))
    shown = table[overall].drop(columns="finding")
    print(shown.round(3).to_string(index=False), f"written: {path}", sep="\n")
    return 0


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


def run_bench(arguments: argparse.Namespace) -> int:
    """ssacl bench."""
    from ..evaluation.benchmarks import run_benchmarks

    require_device(arguments.device)
    table = run_benchmarks(
        arguments.profile, arguments.device, arguments.only, arguments.json, arguments.quick, arguments.seed
    )
    print(table.to_string(index=False))
    return 0


def run_downstream(arguments: argparse.Namespace) -> int:
    """ssacl downstream."""
    from ..downstream.run import jobs_of, measure, results_folder

    settings = given_settings(arguments, out_dir=str(arguments.out.resolve()) if arguments.out else None)
    for name in arguments.encoder:
        require_folder_or_name(name)
    asked = (settings, arguments.only, arguments.encoder, arguments.alone)
    if not arguments.list:
        measure(*asked, processes=arguments.processes)
    for job in jobs_of(*asked) if not arguments.beside else ():
        print(f"{job.title}: {'missing' if job.missing else 'there'}")
    if not arguments.beside:
        data = ["--dataset", settings.dataset, "--data-root", settings.data_root] if settings.data_root else []
        place = ["--out", str(settings.figures)] if settings.out_dir else []
        seed = ["--seed", str(settings.seed)] if settings.seed else []
        words = ["ssacl", "rebuild", "--only", "06", "--profile", settings.profile, *seed, *data, *place]
        print(f"rows: {results_folder(settings)}; tables and figures of them: {shlex.join(words)}")
    return 0
