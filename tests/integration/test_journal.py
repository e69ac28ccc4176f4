# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The note of what is being done to a container never lands in somebody else's directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import journal


def test_nothing_is_made_where_another_program_was_quicker(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "config").write_text("lxc.uts.name = c\n")
    with pytest.raises(OperationError, match="Cannot create container 'c': .* holds files already"):
        journal.begin(str(folder), "create")
    assert [entry.name for entry in folder.iterdir()] == ["config"]


def test_an_empty_directory_or_none_is_taken(tmp_path: Path) -> None:
    for name, made in (("empty", True), ("none", False)):
        folder = tmp_path / name
        if made:
            folder.mkdir()
        journal.begin(str(folder), "clone")
        assert journal.read_journal(str(folder)) == {"operation": "clone"}
        assert not Path(journal.unfinished(str(folder))).exists()


def test_a_destruction_is_noted_beside_the_files(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    journal.begin(str(tmp_path), "destroy")
    assert journal.read_journal(str(tmp_path)) == {"operation": "destroy"}
