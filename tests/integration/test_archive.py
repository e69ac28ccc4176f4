# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive that users get, installed into an empty collections path, works without the rest of the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

BIN = Path(sys.executable).parent
#: What only developers need, by the first part of the path.
FOREIGN = {
    ".ansible-lint", ".cache", ".ci", ".git", ".gitignore", ".yamllint", "CONTRIBUTING.md", "build", "extensions",
    "pyproject.toml", "requirements-dev.txt", "scripts", "tests",
}  # fmt: skip
NEEDED = {
    "CHANGELOG.md", "FILES.json", "LICENSE", "LICENSES", "MANIFEST.json", "README.md", "bindep.txt", "meta", "plugins",
    "requirements.txt", "roles", "playbooks",
}  # fmt: skip


def run(collections: Path, *command: str, check: bool = True) -> str:
    """Run one of Ansible's programs with nothing but this collections path; returns its standard output."""
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_HOME": str(collections / "home")}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env=env,
        timeout=180,
    )
    assert not check or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(checkout, tmp_path_factory) -> Path:
    """A collections path that holds the collection as built and installed from its archive, and nothing else."""
    folder = tmp_path_factory.mktemp("archive")
    collections = folder / "collections"
    run(collections, "ansible-galaxy", "collection", "build", str(checkout), "--output-path", str(folder))
    (archive,) = folder.glob("lightervisor-lxc-*.tar.gz")
    run(collections, "ansible-galaxy", "collection", "install", "--offline", str(archive), "-p", str(collections))
    return collections


def top(installed: Path) -> Path:
    return installed / "ansible_collections" / "lightervisor" / "lxc"


def test_it_holds_what_users_need_and_nothing_else(installed):
    names = {entry.name for entry in top(installed).iterdir()}
    assert not names & FOREIGN
    assert names >= NEEDED
    inner = [path for path in top(installed).rglob("*") if path.name == "__pycache__" or path.suffix in (".pyc", ".gz")]
    assert inner == []
    assert sum(path.stat().st_size for path in top(installed).rglob("*") if path.is_file()) < 2_000_000


def test_its_licence_can_be_read(installed):
    assert "GNU GENERAL PUBLIC LICENSE" in (top(installed) / "LICENSE").read_text()


@pytest.mark.parametrize("kind, folder", [("module", "modules"), ("inventory",) * 2, ("connection",) * 2])
def test_ansible_doc_knows_each_plugin_from_there(installed, checkout, kind, folder):
    names = {path.stem for path in (checkout / "plugins" / folder).glob("*.py") if path.stem != "__init__"}
    assert names
    listed = json.loads(run(installed, "ansible-doc", "-t", kind, "-l", "--json", "lightervisor.lxc"))
    assert set(listed) == {f"lightervisor.lxc.{name}" for name in names}
    shown = json.loads(run(installed, "ansible-doc", "-t", kind, "--json", *listed))
    for name in listed:
        assert shown[name]["doc"]["filename"].startswith(str(installed)), name
        assert shown[name]["doc"]["short_description"]
        assert shown[name]["examples"]


def test_the_roles_are_documented_from_there(installed, checkout):
    names = {path.name for path in (checkout / "roles").iterdir() if path.is_dir()}
    listed = json.loads(run(installed, "ansible-doc", "-t", "role", "-l", "--json", "lightervisor.lxc"))
    assert set(listed) == {f"lightervisor.lxc.{name}" for name in names}


def test_the_action_group_names_every_module(installed):
    group = yaml.safe_load((top(installed) / "meta" / "runtime.yml").read_text())["action_groups"]["lxc"]
    assert sorted(group) == sorted(path.stem for path in (top(installed) / "plugins" / "modules").glob("lxc_*.py"))


def test_a_module_runs_from_there(installed, lxcpath):
    """Ansible's own way: with the archive of a module and what it imports, made from the installed files only."""
    text = run(
        installed,
        "ansible",
        "localhost",
        "-m",
        "lightervisor.lxc.lxc_container",
        "-a",
        json.dumps({"name": "nobody", "lxcpath": str(lxcpath), "state": "absent"}),
    )
    assert "SUCCESS" in text
    assert '"changed": false' in text
    assert list(lxcpath.iterdir()) == []
