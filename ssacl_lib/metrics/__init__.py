"""Numbers from maps, reports and labels: grounding, lexical, clinical, and their intervals over studies.

Everything here takes arrays or texts and returns numbers; no model, no data set, no file.
"""
