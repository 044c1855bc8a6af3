"""What `ssacl` understands: every command with its options and help; the running is in cli.py."""

import argparse
from pathlib import Path

from ..settings import LossWeights, profile_names

DESCRIPTION = """\
SS-ACL companion: chest X-ray reports with visual evidence, learnt from images and reports alone.

  ssacl rebuild                            every figure, table and notebook with the profile cpu
  ssacl rebuild --profile gpu --only 02    one notebook, at the size for one GPU
  ssacl rebuild --check                    is anything older than what it was made from?
  ssacl rebuild --verify                   does it agree with the committed results, row by row?
  ssacl explain TABLE.csv --row 3          where does this number come from?
  ssacl report film.png                    findings, report and evidence of an image
  ssacl report films/ --out results        the same of a folder, as a table; goes on where it was stopped
  ssacl report films/ --html sheets        a page per film: what each sentence of its report rests on
  ssacl ground film.dcm "left effusion"    where on the image is this phrase?
  ssacl retrieve "left effusion" films/    which films of a folder are nearest to it?
  ssacl finetune films/ --task labels.csv --out DIR    learn labels of your own
  ssacl data get ct                        fetch the chest CT behind the phantom (35 MB, once)
  ssacl pretrain --profile cpu --out DIR   train a checkpoint outside of the notebooks
  ssacl convert-release FILE DIR           the authors' checkpoint as a folder of ours
  ssacl bench                              how fast is it here?

Research and teaching software, not a medical device.
"""
REBUILD = """\
Executes the notebooks of notebooks/ one after the other with the parameters below, and writes figures, tables and the
executed copies to figures/PROFILE (figures/PROFILE-DATASET with another data set). A stage whose notebook, library,
settings and inputs did not change is skipped. Exit codes: 0 done, 1 a notebook failed, --check found something old or --verify
something outside, 2 something to mend before it can start.

On one machine (the same processor kernels and number of threads) a rebuild gives the same numbers to the bit. Elsewhere training
amplifies the last bit, and the rows of "this run" agree within the spread of several runs (`ssacl spread`); --verify tells."""
EXPLAIN = """\
Says of a table in figures/PROFILE/tables, or of one of its rows: what it says, the commands that make it, the settings, the
training seeds, the number of studies, the files behind it with their SHA-256. Then makes the rows again from these files (no
model is loaded) and says whether they agree to the six digits written, or by how much they differ. Files of the comparison,
of sight and of the labeler are committed; the others are there after a rebuild.
  ssacl explain figures/cpu/tables/margins.csv --row 0
Exit codes: 0 agrees, or can't be made again here; 1 differs; 2 no such table or row."""
REPORT = """\
Image files: prints findings, anatomies and report of each, and writes NAME_report.json and NAME_report.png (the image with
its evidence) to --out. Takes PNG, JPEG and DICOM.

A folder (and all below it) is worked off in batches into two files in --out: reports.jsonl, a line per film, written batch
by batch, and at the end reports.csv, the same as a table. Started again with the same checkpoint, it goes on with the films
that are not in reports.jsonl yet. A file that can't be read is left out, counted and listed. Evidence costs far more than a
report, so a folder gets pictures with --pictures only (in OUT/pictures).

Evidence sheets: --html OUT writes a page per film and an index.html instead, which open in any browser without a network.
A page shows the film, the report and, sentence by sentence, what it rests on: point at a sentence or a finding and its
region lights up; the key s shows the same with right and left exchanged. About a second a film."""
GROUND = """\
Finds a phrase on an image by masked evidence, with the similarity map beside it; prints where the map peaks, and writes
NAME_ground.json and NAME_ground.png to --out. Takes PNG, JPEG and DICOM."""
RETRIEVE = """\
Ranks the films of a folder (and all below it) for a phrase by the cosine of film and text, and writes to --out the whole ranking
(PHRASE_retrieve.csv), its first films as a contact sheet (.png) and as JSON. A cosine orders films; it is no probability, and
there is always a first film, whether any shows the phrase or not. The films' vectors are kept in OUT/retrieve_vectors.npz:
another phrase takes seconds, and a run that was killed goes on."""
PRETRAIN = """\
Trains a model with a profile's settings and writes it to --out (`ssacl report --weights OUT` uses it). Killed and started
again with the same arguments, it goes on from its last checkpoint. Any setting can be changed by its dotted name:
  ssacl pretrain --profile cpu --out runs/long --set training.images=400000 --set training.batch_size=32"""
PRETRAIN_MAE = """\
The same loop with the image reconstruction term alone: a masked autoencoder of phantom images, without reports. Its
encoder is a start for `ssacl pretrain` (setting model.encoder_weights)."""

PRETRAIN_START = """\
The same loop with two terms alone: the global contrast, and the findings that the labeler reads in the training reports
(ours, not the paper's; no annotation is used). A start for small budgets: a training that names it takes the encoder alone;
the text encoder lies beside it, so that the start itself can be measured on phrases. It sees 4,000 batches, of the profile's
size, unless --set training.images says otherwise; a profile that names a start below runs/ makes it so where it is missing."""

CONVERT_RELEASE = """\
Reads the authors' checkpoint (the file that their training saves; nothing in it is executed), renames every tensor, and
writes a folder of ours with config.json, model.safetensors and the tokenizers. A tensor that is missing, surplus or
misshapen is named and nothing is written; tensors that nobody needs are listed with the reason. The finding head is ours
and not in their file: until one is fitted, the converted model predicts no finding."""
BENCH = """\
Times this library against the plain formulation of the same mathematics on this machine, in turns, and prints the table:
the training step, its terms, renderer, loader, report generation, grounding. Says which machine it ran on."""
CONFIRM = """\
Scores the shipped checkpoint on the test patients of another seed: head, reports and phrases, about a minute. The search for
its recipe saw some test patients of seed 0; these it never saw. Writes tables/fresh_patients.csv and a manifest to --out."""
SIGHT = """\
Trains six language decoders behind the frozen encoder (faithful or looking prompts or such that look everywhere alike; patches
open or closed) and lets each write
the reports of unseen patients with the leaf tokens of the patient and with those of another. Writes every report's labels to
data/results/sight.parquet, in about ten minutes on two cores. Started again, it goes on with the decoders that are missing."""
PROBE = """\
Asks linear probes whether a token of the frozen encoder tells of one place in this patient: is there a focal opacity in this
zone of the lung? Own leaf's token, mirror leaf's, others', and what SS-ACL+ looks at, before and after the encoder's attention.
The probes learn from masks of training films, which no model sees. Writes their answers on unseen patients to
data/results/probe.parquet, in half a minute."""
ONE_LEAF = """\
Patients with one focal opacity, and reports behind one open leaf: the zone's own, its mirror, one outside of the lungs; and the
own one on a film without the finding. By the shipped decoder and by six that are trained on behind the frozen encoder, with all
leaves open or with leaves opened by chance, and kept under runs/sight. Writes what each report says to
data/results/one_leaf.parquet, in about ten minutes on one core. Started again, it goes on with the decoders that are missing."""
RANDOMISE = """\
Fits the head of SS-ACL+ anew on the checkpoint's frozen encoder, on phantom films that are moved and disturbed: without
disturbance, with each family (crops, contrast, noise, ...) alone, with all. Scores every head on phantom patients as they are
and moved and, with --films, on a folder of real films with boxes of anatomies (data/README.md; lungs, and what else they name).
Writes data/results/randomisation.csv: of real films numbers only, and without --films their rows stay as they were. Under a
minute a variant on one core. Killed and started again, it goes on where it was."""
PLUS = """\
SS-ACL+ (ours): an atlas of the anatomies is made of training films and of what their reports say lies where, and a head
learns on moved films how a film is placed, on the frozen encoder. No box or mask is read. The rest of the model stays as it
is. About two minutes with the profile cpu on two cores."""
SPREAD = """\
Trains "this run" of a profile several times: four seeds, and one of them with another number of threads, all on the same studies
and scored on the same test studies. Writes one number per run and row of the tables to data/results/spread/PROFILE.parquet, from
which intervals and `ssacl rebuild --verify` know how far runs lie apart. With the profile cpu about ten minutes a run. Killed and
started again, it goes on where it was."""
LABELER = """\
Measures the labeler against truths that it did not make: 6,000 reports of the phantom (what the report affirms), our own hard
sentences (tests/data/labeler_challenge.tsv of a checkout) and, with --iu, the Indiana University reports of Open-i against
their MeSH tags. Writes precision, recall and F1 with its 95 % interval per observation to data/results/labeler.csv; of the
real reports numbers only. Without --iu the rows of the real reports stay as they were. Half a minute."""
SIZE = """\
Trains the profile with patches of 12 and of 8 pixels, each from a start of its own size made like the shipped one, and scores
both on validation studies: findings, masked maps under several numbers of masks and widths of smoothing, images per second.
Writes data/results/size.csv. About an hour on two cores, most of it the start and the training with small patches. Killed
and started again, it goes on where it was."""
ABLATION = """\
Trains every compared method and every variant of SS-ACL alike (same studies, same start, same number of images), scores each on
test patients that no choice was made on, and leaves what every study scored in data/results/comparison/PROFILE, from which
notebook 05 makes its tables. About six hours of one core with the profile cpu, half of it with --processes 2. Stopped and started
again it goes on, also inside of a training. Trained weights stay below runs/comparison."""
DOWNSTREAM = """\
Asks the paper's downstream tasks of every encoder of the comparison: zero-shot and fine-tuned classification, segmentation,
retrieval, robustness. Weights are those of `ssacl ablation`, which trains what is missing. Leaves what every study scored in
data/results/downstream/PROFILE, from which notebook 06 makes its tables. Stopped and started again it goes on. On the user's own
copies of public sets: --dataset nih, rsna, siim or chexpert-5x200 with --data-root DIR (data/README.md says what DIR holds);
--encoder adds a vision model of transformers, or a checkpoint of ours."""
FINETUNE = """\
Fine-tunes an encoder for a task of your own, on a folder of films. --task labels.csv is a table with a column image (below
FOLDER) and a column of 0 and 1 per label; patient and split (train, validation, test) are optional. Learns linear probes, then
the whole encoder, from 1, 10 and 100 % of the training films, and writes to --out the AUC of the test films with its interval
(table.csv), what every film scored (predictions.csv) and the weights. --task masks segments: FOLDER/images holds films and
FOLDER/masks pictures of the same names and sizes, bright = inside (for several findings a folder each in masks/; a film without
one has none; films.csv with image, patient, split is optional). A decoder learns on the frozen encoder, then both; the table
has the Dice of the test films with and without empty masks. Killed and started again, it goes on."""
HANDOUT = """\
Writes what a class is handed out: student/, every notebook without its solutions; solutions/, every notebook with the solutions
in the reader's cells, so that it runs from top to bottom; and handout.pdf, the method on one printed page (teaching/handout.md).
Seconds. A course is planned in teaching/README.md."""
RECIPE = """\
Trains the profile and its variants, each with one choice exchanged, for the same few images from the same seed, and scores
them on validation studies. Writes recipe.csv and manifest.json to --out (notebook 02 shows the shipped ones); the trained
models stay under runs/recipe. Killed and started again, it goes on where it was; finished variants are not trained twice."""

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
    parser = Parser(prog="ssacl", description=DESCRIPTION, **plain)
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
        _readme,
    ):
        add(command)
    return parser


def _rebuild(command) -> None:
    """`ssacl rebuild`."""
    rebuild = command("rebuild", "run_rebuild", "rebuild figures, tables and notebooks", REBUILD)
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
    explain = command("explain", "run_explain", "where a row of a table comes from; is it still right?", EXPLAIN)
    explain.add_argument("table", type=Path, metavar="TABLE.csv")
    explain.add_argument("--row", type=int, metavar="N", help="this row, counted from 0 (default: the whole table)")


def _images(command) -> None:
    """`ssacl report`, `ssacl ground` and `ssacl retrieve`."""
    report = command("report", "run_report", "findings, report and evidence of images", REPORT)
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
    ground = command("ground", "run_ground", "where on an image a phrase is", GROUND)
    ground.add_argument("image", type=Path, metavar="IMAGE")
    ground.add_argument("phrase", metavar="PHRASE", help='a few words, such as "right pleural effusion"')
    retrieve = command("retrieve", "run_retrieve", "the films of a folder that are nearest to a phrase", RETRIEVE)
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
    pretrain = command("pretrain", "run_pretrain", "train a checkpoint", PRETRAIN)
    pretrain.add_argument("--half", action="store_true", help="write the weights in half precision: half the file")
    mae = command("pretrain-mae", "run_pretrain_mae", "train a masked autoencoder as a start", PRETRAIN_MAE)
    start = command(
        "pretrain-start", "run_pretrain_start", "train an encoder as a start, by report labels", PRETRAIN_START
    )
    plus = command("plus", "run_plus", "give a checkpoint a head that looks (SS-ACL+)", PLUS)
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
    convert = command("convert-release", "run_convert_release", "read the authors' checkpoint", CONVERT_RELEASE)
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
    bench = command("bench", "run_bench", "time this library against the plain formulation", BENCH)
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
    recipe = command("recipe", "run_recipe", "measure what a profile changes against the paper", RECIPE)
    recipe.add_argument("--profile", default="cpu", help="whose choices are measured (default cpu)")
    recipe.add_argument("--images", type=int, default=12000, help="training images of every variant (default 12000)")
    recipe.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this variant only; may be repeated"
    )
    recipe.add_argument("--out", type=Path, metavar="DIR", help="folder of the table (default data/checkpoints/recipe)")

    size = command("size", "run_size", "how small should a patch be?", SIZE)
    size.add_argument("--profile", default="cpu", help="whose recipe (default cpu)")
    size.add_argument("--out", type=Path, metavar="CSV", help="where the rows go (default data/results/size.csv)")

    ablation = command("ablation", "run_ablation", "train and score the compared methods and the ablation", ABLATION)
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

    spread = command("spread", "run_spread", "measure how far runs of the same recipe lie apart", SPREAD)
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

    labeler = command("labeler", "run_labeler", "measure how well the labeler reads", LABELER)
    labeler.add_argument(
        "--iu", type=Path, metavar="DIR", help="folder of the Indiana University reports (XML files, or their .tgz)"
    )
    labeler.add_argument("--seed", type=int, default=1, help="seed of the phantom's patients (default 1)")
    labeler.add_argument("--out", type=Path, metavar="CSV", help="where the rows go (default data/results/labeler.csv)")

    sight = command("sight", "run_sight", "does what the prompts saw reach the report?", SIGHT)
    probe = command("probe", "run_probe", "does a leaf's token tell of its own place?", PROBE)
    one_leaf = command("one-leaf", "run_one_leaf", "what does a report say behind one open leaf?", ONE_LEAF)
    for added in (sight, probe, one_leaf):
        added.add_argument("--profile", default="cpu", help="whose training studies are read (default cpu)")
        added.add_argument("--seed", type=int, default=1, help="of the test patients (default 1)")
        added.add_argument("--weights", type=Path, metavar="DIR", help="checkpoint folder (default: the shipped one)")

    randomise = command("randomise", "run_randomise", "what disturbed films bring to SS-ACL+ on real ones", RANDOMISE)
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

    confirm = command("confirm", "run_confirm", "the shipped checkpoint on patients of another seed", CONFIRM)
    confirm.add_argument("--seed", type=int, default=1, help="any seed but 0 (default 1)")
    confirm.add_argument("--out", type=Path, metavar="DIR", help="where the table goes (default figures/confirm)")


def _downstream(command) -> None:
    """`ssacl downstream` and `ssacl finetune`."""
    downstream = command("downstream", "run_downstream", "ask the downstream tasks of every encoder", DOWNSTREAM)
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
    finetune = command("finetune", "run_finetune", "fine-tune an encoder for a task of your own", FINETUNE)
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
    handout = command("handout", "run_handout", "notebooks for a class, with and without solutions", HANDOUT)
    handout.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default runs/handout)")


def _readme(command) -> None:
    """`ssacl readme`."""
    readme = command(
        "readme", "run_readme", "write the generated tables of the READMEs", "Write the tables between the markers."
    )
    readme.add_argument("--check", action="store_true", help="only say whether they are up to date")
