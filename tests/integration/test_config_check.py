# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""liblxc judges configs."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import config_check
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


def test_of_those_that_differ_in_names_and_addresses_one_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(number: int, name: str, more: str = "") -> str:
        nic = f"lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:00:00:{number:02x}\n"
        return f"lxc.uts.name = {name}\n{nic}{more}"

    good = [text(number, f"lvt-{number}") for number in range(40)]
    # One byte more than utsname(7) has room for.
    long = text(1, "n" * 65)
    bad = [text(number, f"lvt-{number}", "lxc.start.order = many\n") for number in range(3)]
    pids = forks(monkeypatch)
    assert refused_configs(good) == {}
    assert len(pids) == 1
    assert sorted(refused_configs([*good, long, *bad])) == sorted([long, *bad])


GOOD = [f"lxc.environment = N={number}\n" for number in range(60)]
BAD = [f"lxc.environment = N={number}\nlxc.start.order = many\n" for number in range(5)]
#: Of three processes each has some of the bad ones, at other places than they have among all.
MIXED = [*GOOD[:10], BAD[0], *GOOD[10:23], BAD[1], BAD[2], *GOOD[23:50], BAD[3], *GOOD[50:], BAD[4]]


@pytest.fixture
def judged_alone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were judged a second time, for the reason; with three processors."""
    texts: list[str] = []
    original = config_check.check_config

    def check_config(text: str, *where: str) -> None:
        texts.append(text)
        original(text, *where)

    monkeypatch.setattr(config_check, "check_config", check_config)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    return texts


def forks(monkeypatch: pytest.MonkeyPatch, most: int = 1 << 30) -> list[int]:
    """The processes that are forked from now on; only so many can be."""
    pids: list[int] = []
    original = os.fork

    def fork() -> int:
        if len(pids) == most:
            raise BlockingIOError("Resource temporarily unavailable")
        pids.append(original())
        return pids[-1]

    monkeypatch.setattr(os, "fork", fork)
    return pids


def test_several_processes_name_the_right_ones(judged_alone: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert {MIXED.index(text) % 3 for text in BAD} == {0, 1, 2}
    pids = forks(monkeypatch)
    assert sorted(refused_configs(MIXED)) == BAD
    assert sorted(judged_alone) == BAD
    assert len(pids) == 3 + len(BAD)


def test_what_a_process_that_ends_badly_had_is_judged_again(
    judged_alone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = config_check._load_all_and_exit

    def load_all_and_exit(texts: Any, *files: int) -> None:
        if texts[0] == MIXED[1]:
            os._exit(1)
        original(texts, *files)

    monkeypatch.setattr(config_check, "_load_all_and_exit", load_all_and_exit)
    assert sorted(refused_configs(MIXED)) == BAD
    assert sorted(judged_alone) == sorted({*BAD, *MIXED[1::3]})


def test_nothing_stays_when_a_process_cannot_be_forked(
    judged_alone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(os.listdir("/proc/self/fd"))
    pids = forks(monkeypatch, most=2)
    with pytest.raises(BlockingIOError):
        refused_configs(MIXED)
    assert len(pids) == 2 and not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert sorted(os.listdir("/proc/self/fd")) == files
