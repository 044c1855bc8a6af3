"""One list of dependencies: pyproject.toml; the lock, the conda door, the Makefile and the README agree with it."""

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


def test_the_lock_holds_versions_only():
    text = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line


def test_every_requirement_has_its_reason():
    text = (paths.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in requirements():
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
    for name in ("Makefile", "README.md"):
        text = (paths.ROOT / name).read_text(encoding="utf-8")
        assert f'-e ".[test]" -c constraints.txt "{TORCH}"' in text, name


def test_the_build_machine_runs_the_test_command():
    assert "exec make test" in (paths.ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_packages_of_the_manifest_are_requirements():
    assert {canonicalize_name(name) for name in manifest.PACKAGES} <= {
        canonicalize_name(r.name) for r in requirements()
    }
