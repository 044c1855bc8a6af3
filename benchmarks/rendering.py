"""How fast is a phantom made, and how fast do training batches come?

    python benchmarks/rendering.py [--profile cpu] [--quick]

`renderer` makes films from the organ maps (which are made once per machine), with and without the masks of all nodes;
`prepared_films` reads what `load_training` has prepared; `loader` makes whole training batches from it (films, masks' noise,
shuffled sentences, token ids), as the training loop asks for them. All on the CPU, in turns within a round.
"""

from functools import partial

from timing import alternate, measured
from workload import build, run_script

from ssacl_lib.datasets.registry import load_training
from ssacl_lib.phantom import organ_maps, render
from ssacl_lib.settings import Settings
from ssacl_lib.training.batches import TrainingBatches

STUDIES = 192


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """Images per second of the renderer, of reading and of the loader, and the loader's batches per second."""
    count = min(settings.data.train_studies, 32 if quick else STUDIES)
    wanted = settings.changed(dataset="phantom", data_root=None, **({} if quick else {"data.train_studies": STUDIES}))
    studies, maps = load_training(wanted, "train"), organ_maps(wanted.data.image_size)
    made = partial(
        render,
        wanted.seed,
        "train",
        range(count),
        image_size=wanted.data.image_size,
        ranges=wanted.data.phantom_ranges,
        maps=maps,
    )
    model = build(wanted, "cpu")
    batches = TrainingBatches(wanted, studies, model.processor, 4, place=(0, 1))
    calls = {
        "renderer": made,
        "renderer_with_masks": partial(made, masks=True),
        "prepared_films": lambda: studies.images(list(range(count))),
        "loader": lambda: list(batches.loader()),
    }
    images = dict.fromkeys(calls, count) | {"loader": len(batches) * batches.size}
    seconds, seed = alternate(calls, 2 if quick else 5), settings.seed
    found = [
        measured(name, "images_per_second", [images[name] / s for s in values], seed)
        for name, values in seconds.items()
    ]
    return [*found, measured("loader", "batches_per_second", [len(batches) / s for s in seconds["loader"]], seed)]


if __name__ == "__main__":
    run_script(__doc__, rows)
