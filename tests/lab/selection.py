# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tests run in a lab guest when nobody names any: those of the lab, and the integration tests below.

A guest is 15 to 30 times slower than the machine that emulates it, so these are the ones whose result depends on what
a guest has and the machine may lack: cgroup v2, systemd, AppArmor, and the release's own LXC and Python.
"""

from __future__ import annotations

#: The folder of the tests that are written for the lab.
GUEST = "tests/lab/guest"
#: pytest's names of integration tests, by release.
INTEGRATION: dict[str, tuple[str, ...]] = {
    "bookworm": (),
    "trixie": (),
}


def arguments(release: str, two: bool) -> list[str]:
    """What pytest is told to run, from the top of the collection, in the guest `one`; `two`: whether `two` is up."""
    tests = [GUEST, *INTEGRATION[release]]
    return tests if two else [*tests, "-m", "not two"]
