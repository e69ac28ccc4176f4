# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""liblxc judges configs."""

from __future__ import annotations

from ansible_collections.lightervisor.lxc.plugins.module_utils._host.config_check import refused_configs


def test_those_of_many_that_liblxc_refuses_are_named_with_the_reason() -> None:
    good = [f"lxc.uts.name = lvt-{number}\n" for number in range(7)]
    bad = [f"lxc.uts.name = lvt-{number}\nlxc.start.order = many\n" for number in range(3)]
    found = refused_configs([good[0], bad[0], *good[1:4], bad[1], *good[4:], bad[2]])
    assert sorted(found) == sorted(bad)
    assert all("lxc.start.order = many" in cause for cause in found.values())
    assert refused_configs(good) == {}
    assert refused_configs(bad[:1]).keys() == {bad[0]}
    assert refused_configs([]) == {}
