"""What `ssacl COMMAND --help` says of each command."""

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
amplifies the last bit, and the rows of "this run" agree within the spread of several runs (`ssacl spread`); --verify tells.
A processor without bfloat16 computes in float32: --verify then compares the rows of shipped weights with those that
--keep-float32 kept."""
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
another phrase takes seconds, and a run that was killed goes on. Where a ranking of other films, or by other weights, has the
name PHRASE already, a hash stands behind it; the JSON says of what a ranking is."""
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
PHRASES = """\
Where does a model see a phrase, and would it look there anyway? Maps of every phrase of the unseen studies (masked evidence and
similarity) against its true region, beside the controls of notebook 04: a swapped phrase, the other side, a shifted film, the
centre of the film. The model is a checkpoint of ours, or any model of image and text of transformers (CLIP, SigLIP and the like),
by folder or by name on the hub. Means of unlike n can't be compared; differences (..._minus_...) are paired, phrase by phrase.
Writes DIR/phrase_grounding.csv and, with the settings, .json; what was scored is kept below DIR and not scored twice."""
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
notebook 05 makes its tables. About sixteen hours of one core with the profile cpu, half of it with --processes 2; with
--seeds 3 (SS-ACL has many more, for narrow intervals) eight and four. Stopped and started again it goes on, also inside of a
training. Trained weights stay below runs/comparison."""
DOWNSTREAM = """\
Asks the paper's downstream tasks of every encoder of the comparison: zero-shot and fine-tuned classification, segmentation,
retrieval, robustness. Weights are those of `ssacl ablation`, which trains what is missing. Leaves what every study scored in
data/results/downstream/PROFILE, from which notebook 06 makes its tables. Stopped and started again it goes on. On the user's own
copies of public sets: --dataset nih, rsna, siim or chexpert-5x200 with --data-root DIR (data/README.md says what DIR holds);
--encoder adds a vision model of transformers, or a checkpoint of ours; with --alone it is asked without the others."""
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
BOOK = """\
Sets the executed notebooks, the README, the teaching and data pages, the model card and the tables as a folder of pages that is
opened in a browser, without Python, server or network: links lead on inside of it, tables sort, words of the glossary say what
they mean. Stops where a link is broken, a picture has no words, or a page would ask for something outside. Under two minutes.
Needs the extra `book` (`make book` installs it, from constraints-book.txt)."""
BROWSER_MODEL = """\
Writes a page in which a checkpoint answers without Python: pick one of a dozen phantoms or drop a film, choose findings and
phrases, see probabilities, both maps and their controls. The encoder and the text encoder go there as ONNX graphs, which are
compared with PyTorch before anything is shown; npm fetches the runtime (onnxruntime-web) once and its sum is checked.
index.html is for a folder that is served, ssacl-browser.html holds everything and opens from a file. Needs onnx and
onnxruntime (pip install --no-deps -r constraints-browser.txt) and npm; `make browser` does all of it. Seconds."""
RECIPE = """\
Trains the profile and its variants, each with one choice exchanged, for the same few images from the same seed, and scores
them on validation studies. Writes recipe.csv and manifest.json to --out (notebook 02 shows the shipped ones); the trained
models stay under runs/recipe. Killed and started again, it goes on where it was; finished variants are not trained twice."""
