# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

from ansible_collections.lightervisor.lxc.plugins.module_utils._model.hwaddr import PATTERN, derive_hwaddr
from hypothesis import given
from hypothesis import strategies as st

patterns = st.from_regex(
    r"0[26ae]:[0-9a-fxX]{2}:[0-9a-fxX]{2}:[0-9a-fxX]{2}:[0-9a-fxX]{2}:[0-9a-fxX]{2}", fullmatch=True
)


@given(st.text(), patterns)
def test_every_x_and_nothing_else_is_filled_in(seed: str, pattern: str) -> None:
    hwaddr = derive_hwaddr(seed, frozenset(), pattern)
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", hwaddr)
    assert all(want in "xX" or want.lower() == have for want, have in zip(pattern, hwaddr))


@given(st.text())
def test_the_same_seed_gives_the_same_address_of_lxc(seed: str) -> None:
    assert derive_hwaddr(seed, frozenset()) == derive_hwaddr(seed, frozenset())
    assert derive_hwaddr(seed, frozenset()).startswith(PATTERN[:9])


def test_other_seeds_give_other_addresses() -> None:
    seen: set[str] = set()
    for number in range(300):
        seen.add(derive_hwaddr(f"host/var/lib/lxc/c{number}/0", seen))
    assert len(seen) == 300


def test_it_avoids_taken_addresses_as_long_as_there_are_others() -> None:
    first = derive_hwaddr("c1", frozenset())
    second = derive_hwaddr("c1", {first})
    assert second != first
    assert derive_hwaddr("c1", {first, second}) not in (first, second)
    taken: set[str] = set()
    for _unused in range(16):
        found = derive_hwaddr("c1", taken, "02:00:00:00:00:0x")
        assert found not in taken
        taken.add(found)
    # There is no other one left: the caller gets one that is taken rather than none.
    assert derive_hwaddr("c1", taken, "02:00:00:00:00:0x") in taken


def test_a_pattern_without_x_is_the_address() -> None:
    assert derive_hwaddr("c1", frozenset(), "02:00:00:00:00:AB") == "02:00:00:00:00:ab"
