"""The 14 observations of a chest film, the 13 findings among them, and the codes of their labels."""

OBSERVATIONS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The 14 CheXpert observations in CheXpert order."""

FINDINGS = OBSERVATIONS[1:]
"""The 13 CheXpert findings in CheXpert order ("No Finding" is the absence of all)."""

POSITIVE, NEGATIVE, UNCERTAIN, BLANK = 1, 0, -1, -2
"""Codes of an observation in arrays; the first three are those of CheXpert's tables."""

CODES = (POSITIVE, NEGATIVE, UNCERTAIN, BLANK)
