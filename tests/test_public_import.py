"""What `from ssacl_lib import SSACLModel` loads: the model, and neither a simulator nor a data set nor what those need."""

import json
import subprocess
import sys

import pytest

import ssacl_lib

SCRIPT = """
import json, sys, time
import torch, transformers.modeling_utils, transformers.models.bert.modeling_bert, transformers.models.gpt2.modeling_gpt2
before, begin = set(sys.modules), time.perf_counter()
from ssacl_lib import SSACLModel
print(json.dumps([time.perf_counter() - begin, sorted(set(sys.modules) - before)]))
"""
UNWANTED = (
    "nibabel",
    "scipy",
    "pydicom",
    "datasets",
    "pandas",
    "matplotlib",
    "ssacl_lib.phantom",
    "ssacl_lib.datasets",
)


def test_the_model_loads_no_simulator_and_no_data_set(capsys):
    """transformers itself loads parts of scipy for losses that nobody asked for; counted is what this library adds to it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    seconds, loaded = json.loads(done.stdout.splitlines()[-1])
    wrong = [name for name in loaded if name.startswith(tuple(f"{u}." for u in UNWANTED)) or name in UNWANTED]
    own = [name for name in loaded if name.startswith("ssacl_lib")]
    with capsys.disabled():
        print(
            f"\nfrom ssacl_lib import SSACLModel: {seconds:.2f} s after torch and transformers, {len(own)} modules of ours"
        )
    assert wrong == []
    assert "ssacl_lib.model.ssacl" in own


def test_help_and_mistakes_of_typing_wait_for_no_pytorch():
    for words in ("['--help']", "['ground', '--help']", "['grnd']"):
        ask = f"""
import sys
from ssacl_lib.command.cli import main
try:
    main({words})
except SystemExit:
    print("torch" in sys.modules)"""
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False", words


def test_the_public_names_are_listed_and_found():
    assert set(ssacl_lib.__all__) <= set(dir(ssacl_lib)) and ssacl_lib.SSACLModel.__module__ == "ssacl_lib.model.ssacl"
    with pytest.raises(AttributeError, match="no attribute 'SSACL'"):
        _ = ssacl_lib.SSACL
