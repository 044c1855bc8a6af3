"""One list of dependencies: pyproject.toml; the lock, the Makefile, the README and every door to them agree with it."""

import json
import os
import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ssacl_lib import paths
from ssacl_lib.record import manifest

PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TORCH = next(line for line in PROJECT["dependencies"] if line.startswith("torch"))


def requirements() -> list[Requirement]:
    return [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]


def lock() -> dict[str, Version]:
    lines = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def test_the_lock_pins_every_requirement_within_its_range():
    pins = lock()
    for requirement in requirements():
        if requirement.name != "torch":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    assert "torch" not in pins
    assert not [version for version in pins.values() if version.local]


def test_the_lock_of_the_book_stands_on_the_other():
    """What its extra asks for is in one of the two, within its range; no package in both."""
    text = (paths.ROOT / "constraints-book.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in text if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pins = {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines) and not set(pins) & set(lock())
    extra = [Requirement(line) for line in PROJECT["optional-dependencies"]["book"]]
    assert all(requirement.specifier.contains(pins[canonicalize_name(requirement.name)]) for requirement in extra)
    assert "-m pip install --no-deps -r constraints-book.txt" in read("Makefile")


def test_the_lock_holds_versions_only():
    text = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line


def test_every_requirement_has_its_reason():
    text = (paths.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extra = [Requirement(line) for line in PROJECT["optional-dependencies"]["book"]]
    for requirement in requirements() + extra:
        assert re.search(rf'^ *"{re.escape(requirement.name)}[^"]*",  # \w', text, re.MULTILINE), requirement.name
    assert "torchvision" not in text


def test_conda_installs_the_same():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert conda == ["python=3.11", "pip", "openjdk"]
    assert pip == ["-c constraints.txt", TORCH, "-e .[test]"]
    assert Version("3.11") in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_every_install_command_names_the_range_of_torch():
    for name in ("Makefile", "README.md", "binder/postBuild"):
        text = (paths.ROOT / name).read_text(encoding="utf-8")
        assert f'-e ".[test]" -c constraints.txt "{TORCH}"' in text, name


def supported(version: str) -> bool:
    return Version(version) in Requirement(f"python{PROJECT['requires-python']}").specifier


def read(name: str) -> str:
    return (paths.ROOT / name).read_text(encoding="utf-8")


def test_the_container_is_set_up_by_the_makefile():
    container = json.loads(read(".devcontainer/devcontainer.json"))
    assert container["postCreateCommand"] == "make setup" and "setup: $(INSTALLED)" in read("Makefile")
    dockerfile = read(f".devcontainer/{container['build']['dockerfile']}")
    assert supported(re.search(r"^FROM python:(\d+\.\d+)-", dockerfile, re.MULTILINE)[1])
    assert {"git", "make"} <= set(re.search(r"install -y [^\\&]*", dockerfile)[0].split())
    assert container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"] == ".venv/bin/python"


def test_binder_installs_the_lock_and_then_the_list():
    assert supported(re.fullmatch(r"python-(\d+\.\d+)\n", read("binder/runtime.txt"))[1])
    commands = [line for line in read("binder/postBuild").splitlines() if not line.startswith(("#", "set "))]
    assert [re.sub(" --no-cache-dir", "", line) for line in commands] == [
        "python -m pip install --no-deps -r constraints.txt",
        f'python -m pip install -e ".[test]" -c constraints.txt "{TORCH}"',
        "ssacl data get ct",
    ]
    assert "-m pip install --no-deps -r constraints.txt" in read("Makefile")
    assert os.access(paths.ROOT / "binder" / "postBuild", os.X_OK), "Binder runs it"
    java = set(read("binder/apt.txt").split())
    assert java <= set(read(".devcontainer/Dockerfile").split())


def test_colab_takes_three_commands():
    cell = re.search(r"^In Colab.*?```\n(.*?)```", read("README.md"), re.DOTALL | re.MULTILINE)[1]
    clone, install, fetch = [line for line in cell.splitlines() if line.startswith("!")]
    assert clone.startswith("!git clone ") and fetch == "!ssacl data get ct"
    assert install == f'!pip install -e ".[test]" -c constraints.txt "{TORCH}"'


def test_the_build_machine_runs_the_test_command():
    assert "exec make test" in (paths.ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_packages_of_the_manifest_are_requirements():
    assert {canonicalize_name(name) for name in manifest.PACKAGES} <= {
        canonicalize_name(r.name) for r in requirements()
    }
