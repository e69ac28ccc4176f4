# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The look at a whole fleet finds nothing to do exactly where the plan of the whole has nothing to do."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain import fleet_scan
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.fleet_scan import find_nothing_to_do
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.fleet_view import FleetView
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError, OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet import FleetSpec, Member, parse_members

NAMES = ["a1", "a2", "a3", "a4", "a5"]


@pytest.fixture
def fleet(lxcpath: Path) -> Callable[..., list[Member]]:
    """Five stopped containers, written by hand, and what declares them."""
    for name in NAMES:
        rootfs = lxcpath / name / "rootfs"
        rootfs.mkdir(parents=True)
        lines = [f"lxc.rootfs.path = dir:{rootfs}", f"lxc.uts.name = {name}", f"lxc.environment = N={name[1:]}"]
        (lxcpath / name / "config").write_text("\n".join([*lines, "lxc.net.0.type = empty", ""]))

    def members(part: tuple[int, int] = (0, 1), **options: Any) -> list[Member]:
        item = {
            "names": ["a[1:5]"],
            "template": {"name": "none"},
            "networks": [{"type": "empty"}],
            "config": {"lxc.environment": "N={number}"},
            "state": "stopped",
            **options,
        }
        return parse_members([item], {}, dict, str(lxcpath), 2, "containers", part)

    return members


@pytest.fixture(autouse=True)
def three_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_scan.os, "sched_getaffinity", lambda pid: {0, 1, 2})


def held() -> tuple[str, list[str]]:
    """The children of this process, dead ones too, and the numbers of its open files."""
    return Path("/proc/thread-self/children").read_text(), os.listdir("/proc/self/fd")


def scan(members: Callable[[tuple[int, int]], list[Member]], count: int = 300) -> list[tuple[str, str]] | None:
    """What the scan finds, with a process for every 150 of `count`; none of them is left behind, and no pipe."""
    before = held()
    try:
        return find_nothing_to_do(FleetSpec(()), members, count)
    finally:
        assert held() == before


def is_quiet(members: Callable[..., list[Member]], **options: Any) -> bool:
    """What the scan says; that of the plan must be the same."""
    whole = FleetView(FleetSpec(tuple(members(**options))))
    planned = any(one.plan.changed or one.plan.warnings or one.error for one in whole.entries)
    keys = scan(lambda part: members(part, **options))
    assert (keys is None) == planned
    assert keys is None or sorted(name for _lxcpath, name in keys) == NAMES
    return keys is not None


def test_containers_in_order_need_no_plan(fleet, monkeypatch):
    # Else the quick look would not be one.
    monkeypatch.setattr(FleetView, "__init__", None)
    assert len(scan(fleet) or ()) == 5


@pytest.mark.parametrize("name", ["a3", "a4"])
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "config").write_text((folder / "config").read_text().replace("N=", "M=")),
        lambda folder: (folder / "config").write_text((folder / "config").read_text() + "lxc.nonsense = 1\n"),
        lambda folder: (folder / "config").unlink(),
        lambda folder: folder.rename(folder.with_name("gone")),
        lambda folder: (folder / "rootfs").rmdir(),
        lambda folder: (folder / "partial").touch(),
        lambda folder: (folder / ".lightervisor.json").write_text('{"operation": "create"}'),
        lambda folder: (folder / "lxc_rdepends").write_text(f"{folder.parent}\na1\n"),
        lambda folder: (folder.rename(folder.with_name("b")), folder.symlink_to("b")),
    ],
    ids=["changed", "nonsense", "no config", "gone", "no rootfs", "partial", "journal", "clone", "link"],
)
def test_what_is_not_in_order_is_found_in_each_process(fleet, lxcpath, change, name):
    assert is_quiet(fleet)
    change(lxcpath / name)
    assert not is_quiet(fleet)


def test_what_differs_and_needs_nothing_is_let_alone(fleet, lxcpath):
    for name, text in (("a2", "lxc.environment='X'\nlxc.environment=\nlxc.environment=N=2"), ("a3", "# é\r\n")):
        with (lxcpath / name / "config").open("a") as config:
            config.write(text)
    (lxcpath / "a4" / "config").rename(lxcpath / "a4" / "other")
    (lxcpath / "a4" / "config").symlink_to("other")
    assert is_quiet(fleet)
    assert not is_quiet(fleet, state="started")
    assert not is_quiet(fleet, privileged=False)
    assert is_quiet(fleet, purge_config=True)


def test_one_that_may_run_is_looked_at_closely(fleet, lxcpath):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{lxcpath}/a3/command")
        listener.listen()
        assert not is_quiet(fleet)


def test_running_ones_are_in_order_until_their_config_is_written_again(fleet, lxcpath, monkeypatch):
    config = lxcpath / "a3" / "config"
    own = config.read_text().splitlines(keepends=True)[1:]
    shutil.rmtree(lxcpath / "a3")
    busybox = ["lxc-create", "-P", lxcpath, "-n", "a3", "-t", "busybox"]
    subprocess.run(busybox, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    made = [line for line in config.read_text().splitlines(keepends=True) if not line.startswith(("#", "lxc.net."))]
    config.write_text("".join([*made, *(line for line in own if line.split(" =")[0] not in "".join(made))]))
    assert is_quiet(fleet)
    # Files have the time of the last tick, and the start of a process is counted in ticks.
    time.sleep(0.05)
    subprocess.run(["lxc-start", "-P", lxcpath, "-n", "a3"], check=True, stdin=subprocess.DEVNULL)
    assert is_quiet(fleet, state="present", restart="always")
    assert not is_quiet(fleet)
    assert not is_quiet(fleet, state="started")
    with monkeypatch.context() as patched:
        patched.setattr(FleetView, "__init__", None)
        assert len(scan(lambda part: fleet(part, state="present")) or ()) == 5
    config.write_text(config.read_text() + "lxc.init.cwd = /tmp\n")
    whole = FleetView(FleetSpec(tuple(fleet(state="present"))))
    assert [entry.restart_keys for entry in whole.entries] == [(), (), ("lxc.init.cwd",), (), ()]
    assert scan(lambda part: fleet(part, state="present")) is None


def test_one_container_in_two_spellings_of_its_place_is_not_passed_over(fleet, lxcpath):
    other = lxcpath / ".again"
    other.symlink_to(lxcpath)
    again = {"name": "a2", "lxcpath": str(other), "template": {"name": "none"}}

    def members(part: tuple[int, int]) -> list[Member]:
        return [*fleet(part), *(parse_members([again], {}, dict, str(lxcpath), 2) if part[0] == 1 else [])]

    assert scan(fleet) is not None
    assert scan(members) is None


@pytest.mark.parametrize("count, processes", [(0, 1), (299, 1), (300, 2), (449, 2), (450, 3), (9000, 3)])
def test_there_are_as_many_processes_as_are_worthwhile(fleet, count, processes):
    asked = []

    def members(part: tuple[int, int]) -> list[Member]:
        asked.append(part)
        return fleet(part)

    assert len(scan(members, count) or ()) == 5
    assert asked == [(0, processes)]


@pytest.mark.parametrize("call", ["fork", "pipe2"])
def test_without_another_process_nothing_is_known(fleet, monkeypatch, call):
    really, calls = getattr(os, call), []

    def once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > 1:
            raise BlockingIOError("no more")
        return really(*args)

    monkeypatch.setattr(fleet_scan.os, call, once)
    assert scan(fleet, 450) is None
    assert len(calls) == 2


def test_where_nobody_can_be_waited_for_nothing_is_known(fleet):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert scan(fleet) is None
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("answer", ["", "[[", '[["/lxc", "\ud800"]', "[]\0"])
def test_an_answer_that_is_cut_off_tells_nothing(fleet, monkeypatch, answer):
    monkeypatch.setattr(fleet_scan.json, "dumps", lambda found: answer)
    assert scan(fleet) is None


def test_a_process_that_is_killed_tells_nothing(fleet):
    def members(part: tuple[int, int]) -> list[Member]:
        if part[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return fleet(part)

    assert scan(members) is None


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize(
    "error", [InputError("a", "b"), OperationError("do", "container", "a", "b"), OSError("a"), UnicodeError("a")]
)
def test_what_goes_wrong_in_any_process_is_left_to_the_plan(fleet, where, error):
    def members(part: tuple[int, int]) -> list[Member]:
        if part[0] == where:
            raise error
        return fleet(part)

    assert scan(members) is None


def test_an_error_in_the_close_look_is_left_to_the_plan(fleet, monkeypatch):
    def fail(*args: Any) -> None:
        raise InputError("containers[0]", "bad")

    monkeypatch.setattr(FleetView, "__init__", fail)
    assert scan(lambda part: fleet(part, state="present", privileged=False)) is None


@pytest.mark.parametrize("count", [0, 300, 450])
def test_a_circle_of_clones_is_left_to_the_plan(fleet, lxcpath, count):
    def members(part: tuple[int, int], first: str = "a3") -> list[Member]:
        origins = {"a1": first, "a2": "a1", "a3": "a2", "a4": "a3"}
        items = [{"name": name, "state": "stopped", "clone": {"from": origins[name]}} for name in origins]
        return parse_members(items, {}, dict, str(lxcpath), 2, "containers", part)

    for name, origin in {"a1": "a3", "a2": "a1", "a3": "a2", "a4": "a3"}.items():
        config = lxcpath / name / "config"
        config.write_text(f"# Cloned by lightervisor.lxc from: {lxcpath}/{origin}\n{config.read_text()}")
    with pytest.raises(InputError, match="a clone of the next: a1 -> a3 -> a2 -> a1"):
        FleetView(FleetSpec(tuple(members((0, 1)))))
    assert scan(members, count) is None
    base = lxcpath / "a1" / "config"
    base.write_text(base.read_text().replace(f"{lxcpath}/a3", f"{lxcpath}/a5"))
    assert len(scan(lambda part: members(part, "a5"), count) or ()) == 4
