# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ids that were given to containers stay theirs while these are out of sight."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import id_grants

FIRST = ("u 0 100000 65536", "g 0 100000 65536")
SECOND = ("u 0 165536 65536", "g 0 165536 65536")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An lxcpath; what is granted is noted in this test's own file."""
    monkeypatch.setattr(id_grants, "_path", lambda: str(tmp_path / "state" / "ids"))
    lxcpath = tmp_path / "lxc"
    lxcpath.mkdir()
    return lxcpath


def _make(lxcpath: Path, name: str, idmap: tuple[str, ...]) -> None:
    (lxcpath / name).mkdir(exist_ok=True)
    id_grants.grant_ids(str(lxcpath), name, idmap)


def _granted() -> dict[str, tuple[str, ...]]:
    return {grant.name: grant.idmap for grant in id_grants.read_grants()}


def test_a_container_that_is_gone_gives_its_ids_back(place: Path) -> None:
    _make(place, "a", FIRST)
    _make(place, "b", SECOND)
    assert _granted() == {"a": FIRST, "b": SECOND}
    (place / "a").rmdir()
    assert _granted() == {"b": SECOND}


def test_another_map_replaces_the_first(place: Path) -> None:
    _make(place, "a", FIRST)
    _make(place, "a", SECOND)
    assert _granted() == {"a": SECOND}
    _make(place, "a", ())
    assert _granted() == {}


def test_a_directory_of_containers_that_is_gone_gives_all_ids_back(place: Path) -> None:
    _make(place, "a", FIRST)
    shutil.rmtree(place)
    assert _granted() == {}


def test_ids_stay_while_the_file_system_is_not_mounted(place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "lvt-ids", str(place)], check=True)
    try:
        _make(place, "a", FIRST)
        subprocess.run(["umount", str(place)], check=True)
        assert not (place / "a").exists()
        assert _granted() == {"a": FIRST}
        _make(place, "b", SECOND)
        assert _granted() == {"a": FIRST, "b": SECOND}
    finally:
        subprocess.run(["umount", "-q", str(place)], check=False)


def test_a_line_that_is_no_grant_is_passed_over(place: Path, tmp_path: Path) -> None:
    _make(place, "a", FIRST)
    with open(tmp_path / "state" / "ids", "a", encoding="utf-8") as file:
        file.write("half a li")
    assert _granted() == {"a": FIRST}
