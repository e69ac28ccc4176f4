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
#: pytest's names of integration tests: what liblxc and the kernel of a release make of a config, of NICs and of limits,
#: and what can be seen of containers there.
_EVERYWHERE = (
    "tests/integration/test_config_against_liblxc.py",
    "tests/integration/test_config_check.py",
    *(
        f"tests/integration/test_limits.py::{name}"
        for name in (
            "test_a_lowered_limit_is_refused_with_the_value_needed",
            "test_liblxc_fails_where_the_check_refuses_and_starts_where_it_does_not",
            "test_a_full_bridge_is_refused_as_the_kernel_refuses_it",
        )
    ),
    "tests/integration/test_nics.py",
)
INTEGRATION: dict[str, tuple[str, ...]] = {
    "bookworm": (
        *_EVERYWHERE,
        "tests/integration/test_observe.py::test_addresses_are_those_inside_the_guest",
        "tests/integration/test_observe.py::test_the_owner_is_believed_about_its_own_processes",
        "tests/integration/container/test_networks.py::test_addresses_mtu_and_names_in_the_guest",
    ),
    "trixie": _EVERYWHERE,
}


def arguments(release: str, two: bool) -> list[str]:
    """What pytest is told to run, from the top of the collection, in the guest `one`; `two`: whether `two` is up."""
    tests = [GUEST, *INTEGRATION[release]]
    return tests if two else [*tests, "-m", "not two"]
