"""The labeler on sentences of our own, sections, shuffling, tokenizer round trips, entities."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from ssacl_lib.observations import BLANK, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN
from ssacl_lib.text.entities import entity_text, positives
from ssacl_lib.text.labeler import CLEAR, encode, label, label_array
from ssacl_lib.text.marks import expand
from ssacl_lib.text.sections import sentences, shuffle_sentences, split_sections
from ssacl_lib.text.sides import side_pairs, swap_side
from ssacl_lib.text.tokenizer import SPECIAL_TOKENS, detokenize, read_wordpiece, train_tokenizer

SHORT = {
    "ECM": "Enlarged Cardiomediastinum",
    "CMG": "Cardiomegaly",
    "OPA": "Lung Opacity",
    "LES": "Lung Lesion",
    "EDE": "Edema",
    "CON": "Consolidation",
    "PNA": "Pneumonia",
    "ATE": "Atelectasis",
    "PTX": "Pneumothorax",
    "EFF": "Pleural Effusion",
    "PLO": "Pleural Other",
    "FRA": "Fracture",
    "DEV": "Support Devices",
}
SIGNS = {"+": "positive", "-": "negative", "?": "uncertain"}

SENTENCES = [  # every observation that is not listed is blank
    ("Small left pleural effusion.", "EFF+"),
    ("No pleural effusion or pneumothorax.", "EFF- PTX-"),
    ("There is no focal consolidation, large effusion, or pneumothorax.", "CON- EFF- PTX-"),
    ("No evidence of pneumonia, but there is a small right effusion.", "PNA- EFF+"),
    ("No pneumothorax, the heart is mildly enlarged.", "PTX- CMG+"),
    ("Small effusion without pneumothorax.", "EFF+ PTX-"),
    ("Right pneumothorax has resolved.", "PTX-"),
    ("Interval resolution of the pulmonary edema.", "EDE-"),
    ("Lungs are free of consolidation and nodules.", "CON- LES-"),
    ("The film is negative for rib fracture.", "FRA-"),
    ("Pneumothorax is not seen.", "PTX-"),
    ("A small effusion is present and pneumothorax is no longer seen.", "EFF+ PTX-"),
    ("Effusion and pneumothorax are not identified.", "EFF- PTX-"),
    ("No change in the moderate cardiomegaly.", "CMG+"),
    ("Without significant interval change in bibasilar atelectasis.", "ATE+"),
    ("No new consolidation.", "CON-"),
    ("Possible right lower lobe pneumonia.", "PNA?"),
    ("Left basilar opacity may represent pneumonia.", "OPA+ PNA?"),
    ("A small effusion cannot be excluded.", "EFF?"),
    ("Atelectasis versus consolidation at the left base.", "ATE? CON?"),
    ("Bibasilar atelectasis or pneumonia.", "ATE? PNA?"),
    ("Right basilar opacities, likely atelectasis.", "OPA+ ATE+"),
    ("Opacity in the right base consistent with pneumonia.", "OPA+ PNA+"),
    ("No infiltrate to suggest pneumonia.", "OPA- PNA-"),
    ("Consolidation is unlikely.", "CON?"),
    ("Heart size is normal.", "CMG-"),
    ("The heart is not enlarged and the mediastinum is widened.", "CMG- ECM+"),
    ("Heart size and mediastinal contours are within normal limits.", "CMG- ECM-"),
    ("Normal cardiomediastinal silhouette.", "CMG- ECM-"),
    ("The cardiac silhouette is moderately enlarged.", "CMG+"),
    ("Borderline enlarged heart, normal mediastinal contour.", "CMG? ECM-"),
    ("Heart size upper limits of normal.", "CMG?"),
    ("The aorta is enlarged, and the heart is normal.", "CMG-"),
    ("The right lung is clear.", ""),
    ("Pulmonary vascular congestion.", "EDE+"),
    ("Kerley B lines are present.", "EDE+"),
    ("Right lower lobe infiltrate.", "OPA+"),
    ("Hazy airspace disease bilaterally.", "OPA+"),
    ("12 mm nodule in the left apex. No other masses.", "LES+"),
    ("Biapical pleural thickening.", "PLO+"),
    ("Healing right seventh rib fracture.", "FRA+"),
    ("ET tube ends 4.2 cm above the carina.", "DEV+"),
    ("Left-sided PICC terminates in the SVC; no pneumothorax.", "DEV+ PTX-"),
    ("The chest tube has been removed.", "DEV-"),
    ("Visible pleural line at the right apex.", ""),
    ("Small pericardial effusion on CT.", ""),
    ("HISTORY: Pneumonia. FINDINGS: No effusion.", "EFF-"),
    ("Evaluate for pneumothorax.", ""),
    ("no pneumothorax . small right-sided effusion", "PTX- EFF+"),
]


@pytest.mark.parametrize(("text", "expected"), SENTENCES)
def test_labeler_reads_the_sentence(text, expected):
    wanted = {SHORT[item[:3]]: SIGNS[item[3]] for item in expected.split()}
    found = {name: state for name, state in label(text).items() if state and name != "No Finding"}
    assert found == wanted


def test_positive_beats_uncertain_beats_negative_whatever_the_order():
    parts = ["No effusion.", "Possible effusion.", "Left effusion."]
    assert (
        label(" ".join(parts[:2]))["Pleural Effusion"]
        == label(" ".join(parts[1::-1]))["Pleural Effusion"]
        == "uncertain"
    )
    assert label(" ".join(parts))["Pleural Effusion"] == label(" ".join(parts[::-1]))["Pleural Effusion"] == "positive"


def test_no_finding_is_the_absence_of_all_but_devices():
    assert label("No acute cardiopulmonary process.")["No Finding"] == "positive"
    assert label("Pacemaker in place. No effusion.")["No Finding"] == "positive"
    assert label("Possible effusion.")["No Finding"] is None
    assert label("  \n ")["No Finding"] is None and set(label("").values()) == {None}


def test_clear_lungs_deny_the_parenchyma_only():
    found = label("The lungs are clear.")
    assert {name for name, state in found.items() if state == "negative"} == set(CLEAR)
    assert label("Left basilar atelectasis. Lungs are otherwise clear.")["Atelectasis"] == "positive"


def test_codes_follow_the_order_of_the_observations():
    codes = label_array(["Left effusion. No pneumothorax. Possible pneumonia.", ""])
    assert codes.dtype == np.int8 and codes.shape == (2, 14) and (codes[1] == BLANK).all()
    by_name = dict(zip(OBSERVATIONS, codes[0], strict=True))
    assert (by_name["Pleural Effusion"], by_name["Pneumothorax"], by_name["Pneumonia"]) == (
        POSITIVE,
        NEGATIVE,
        UNCERTAIN,
    )
    assert label_array([]).shape == (0, 14) and (encode(label("")) == BLANK).all()


def test_patterns_unfold():
    assert expand("(a|b (c|)) d-e(s|)") == {
        tuple(words.split()) for words in ("a d e", "a d es", "b c d e", "b c d es", "b d e", "b d es")
    }


def test_sections_with_and_without_headings():
    report = "INDICATION: cough.\nFINDINGS: Clear lungs.\nMore text.\nImpression: No disease. Stable."
    assert split_sections(report) == ("Clear lungs.\nMore text.", "No disease. Stable.")
    assert split_sections("Clear lungs.") == ("Clear lungs.", "")
    assert split_sections("findings: a. impression: b.") == ("a.", "b.")
    assert sentences("FINDINGS: A 1.2 cm mass. No effusion.\nIMPRESSION: Mass.") == [
        "A 1.2 cm mass.",
        "No effusion.",
        "Mass.",
    ]
    assert sentences("") == [] and sentences("No stop at the end") == ["No stop at the end"]


def test_shuffling_keeps_a_uniform_number_of_whole_sentences():
    report = "FINDINGS: One. Two two.\nIMPRESSION: Three. Four."
    draw = [shuffle_sentences(report, np.random.default_rng(seed)) for seed in range(800)]
    kept = [sentences(text) for text in draw]
    assert all(
        set(parts) <= {"one.", "two two.", "three.", "four."} and len(set(parts)) == len(parts) for parts in kept
    )
    counts = np.bincount([len(parts) for parts in kept], minlength=5)[1:]
    assert counts.min() > 150 and {parts[0] for parts in kept} == {"one.", "two two.", "three.", "four."}
    assert shuffle_sentences(report, np.random.default_rng(3)) == draw[3]
    assert shuffle_sentences("", np.random.default_rng(0)) == ""


REPORTS = [
    "FINDINGS: A 1.2 cm nodule, left-sided, in the right apex. The SVC is normal.\nIMPRESSION: Right apical nodule.",
    "No effusion (or pneumothorax). Kerley B lines: none. The patient's film is AP/PA.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(REPORTS * 5, vocab_size=300)


def test_tokenizer_ids_and_newline(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4]
    assert tokenizer.encode("\n", add_special_tokens=False) == [4]
    ids = tokenizer("[CLS] No effusion.\nNodule", add_special_tokens=False)["input_ids"]
    assert ids[0] == 2 and ids.count(4) == 1 and 1 not in ids
    assert ids == tokenizer("[CLS] no EFFUSION. \n nodule")["input_ids"]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 4) and len(tokenizer) <= 300


@pytest.mark.parametrize("text", REPORTS)
def test_round_trip(tokenizer, text):
    assert detokenize(tokenizer.encode(text), tokenizer) == text
    assert detokenize([2, *tokenizer.encode(text.lower()), 0, 0], tokenizer) == text


def test_starts_of_lines_and_sentences_are_capital():
    text = "FINDINGS: No effusion. IMPRESSION: Clear lungs.\nCOMPARISON: None.\n- Small effusion.\n(Left) lung. \n\nBig heart"
    spelt = train_tokenizer([text] * 5, vocab_size=300)
    assert detokenize(spelt.encode(text), spelt) == text.replace(". \n", ".\n")
    assert detokenize(spelt.encode("findings:\nno effusion"), spelt) == "FINDINGS:\nNo effusion"


def test_a_wordpiece_file_of_either_form(tokenizer, tmp_path):
    whole, bare, lines = (tmp_path / name for name in ("whole.json", "bare.json", "lines.txt"))
    tokenizer.backend_tokenizer.save(str(whole))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[MASK]", "right", "##s", "lung", "12", "."]
    bare.write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    lines.write_text("\n".join(pieces))
    assert read_wordpiece(whole).encode(REPORTS[0]) == tokenizer.encode(REPORTS[0])
    for path in (bare, lines):
        read = read_wordpiece(path)
        assert read.encode("[CLS] Right lungs.12") == [2, 4, 6, 5, 8, 7] and read.pad_token_id == 0
    for content, message in (
        ("{", "no WordPiece"),
        ('{"a": 1}', r"no \[PAD\]|no WordPiece"),
        ("[1]", r"no WordPiece|no \[PAD\]"),
    ):
        bare.write_text(content)
        with pytest.raises(ValueError, match=f"bare.json.*(?:{message})"):
            read_wordpiece(bare)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_wordpiece(tmp_path / "nowhere")


def test_tokenizer_is_the_same_after_saving_and_training_again(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    trained = train_tokenizer(REPORTS * 5, vocab_size=300)
    for text in REPORTS:
        assert again.encode(text) == trained.encode(text) == tokenizer.encode(text)
    with pytest.raises(ValueError, match="vocab_size 3"):
        train_tokenizer(REPORTS, vocab_size=3)


def test_entities():
    labels = np.full(14, BLANK, dtype=np.int8)
    labels[[0, 2, 10]], labels[9] = POSITIVE, UNCERTAIN
    assert positives(labels) == ["Cardiomegaly", "Pleural Effusion"]
    assert positives(labels, uncertain_as_positive=True) == ["Cardiomegaly", "Pneumothorax", "Pleural Effusion"]
    assert (
        entity_text(["Pleural Effusion", "Cardiomegaly"]) == "cardiomegaly, pleural effusion" and entity_text([]) == ""
    )
    with pytest.raises(ValueError, match="Effusions"):
        entity_text(["Effusions"])


def test_sides_are_exchanged_where_a_finding_has_exactly_one():
    assert swap_side("Left basal and left apical") == "Right basal and right apical"
    assert swap_side("bright heart, upright film") is None and swap_side("right and left") is None
    report = (
        "INDICATION: Left chest pain. FINDINGS: LEFT effusion. Effusion on the right. No left pneumothorax. "
        "Possible right pneumonia. Nodules, right and left. The heart is enlarged.\n"
        "IMPRESSION: Right apical pneumothorax and right rib fracture."
    )
    assert side_pairs(report) == [
        ("LEFT effusion.", "RIGHT effusion."),
        ("Effusion on the right.", "Effusion on the left."),
        (
            "Right apical pneumothorax and right rib fracture.",
            "Left apical pneumothorax and left rib fracture.",
        ),
    ]
    assert side_pairs("Small left effusion. small Right effusion. Left rib fracture.") == [
        ("Left rib fracture.", "Right rib fracture.")
    ], "both sides are true of that film"
