# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The garbage collector is as it was after a module was packed without it."""

from __future__ import annotations

import gc

import pytest
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._collector import paused_collector


@pytest.fixture(params=[True, False])
def collects(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_the_collector_is_as_before(collects):
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled() is collects


def test_it_is_so_after_an_error_too(collects):
    with pytest.raises(ValueError, match="broken"), paused_collector():
        raise ValueError("broken")
    assert gc.isenabled() is collects
