# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's shared limits: what containers take, what is short, what a host of a size needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.lightervisor.lxc.plugins.filter.host_limits import FILE, host_limits
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model import limits
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.limits import (
    Demand,
    HostSize,
    Present,
    Requirement,
    demand_of,
    host_size,
    requirements,
    settings,
    shortages,
)
from hypothesis import given
from hypothesis import strategies as st

SPECS = Path(__file__).resolve().parents[2] / "roles/host/meta/argument_specs.yml"
VETH = "lxc.net.0.type = veth\nlxc.net.0.link = br0\n"


def demand(*texts: str) -> Demand:
    return demand_of([ConfigDocument.parse(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "own", "host"),
    [
        ("", 0, 1),
        ("lxc.pty.max = 1\n", 0, 1),
        ("lxc.pty.max = 2\n", 1, 0),
        ("lxc.pty.max = 1024\nlxc.tty.max = 4\n", 5, 0),
        ("lxc.pty.max = 1\nlxc.tty.max = 5\n", 5, 1),
        ("lxc.tty.max = 4\nlxc.tty.max = 0\n", 0, 1),
        ("lxc.tty.max = 4\nlxc.tty.max =\n", 0, 1),
        ("lxc.console.path = none\n", 0, 0),
        ("lxc.console.path = none\nlxc.tty.max = 2\n", 2, 0),
        ("lxc.console.path = none\nlxc.console.path =\n", 0, 1),
        ("lxc.console.path = /dev/tty9\n", 0, 1),
        ("lxc.tty.max = many\n", 0, 1),
    ],
)
def test_each_console_and_tty_takes_a_pty(text: str, own: int, host: int) -> None:
    found = demand(text)
    assert (found.own_ptys, found.host_ptys) == (own, host)


def test_ports_are_counted_by_bridge() -> None:
    two = VETH + "lxc.net.1.type = veth\nlxc.net.1.link = br1\n"
    others = "\n".join(
        [
            "lxc.net.0.type = macvlan\nlxc.net.0.link = eth0",
            "lxc.net.1.type = veth",
            "lxc.net.2.type = veth\nlxc.net.2.link = br2\nlxc.net.2.veth.mode = router",
            "lxc.net.3.type = veth\nlxc.net.3.link = br3\nlxc.net.3.type = empty",
            "lxc.net.4.type = veth\nlxc.net.4.link = br4\nlxc.net.4 =",
        ]
    )
    assert demand(VETH, two, others).ports == (("br0", 2), ("br1", 1))


def test_namespaces_are_those_that_liblxc_makes() -> None:
    texts = (
        VETH,
        "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n",
        "lxc.net.0.type = none\n",
        "lxc.namespace.share.net = other\n",
    )
    assert dict(demand(*texts).namespaces) == {"mnt": 3, "pid": 3, "uts": 3, "ipc": 3, "net": 2, "user": 1}


@pytest.mark.parametrize(
    ("value", "files"),
    [("4096", 4096), ("1024:8192", 8192), ("1024 : 8192", 8192), ("unlimited", 0), ("5:unlimited", 0)],
)
def test_open_files_are_the_highest_hard_limit(value: str, files: int) -> None:
    assert demand(f"lxc.prlimit.nofile = {value}\n", "lxc.prlimit.nofile = 3\n").nofile == max(files, 3)


PTYS = {"kernel.pty.max": 4096, "kernel.pty.reserve": 1024}


@pytest.mark.parametrize(
    ("wanted", "used", "needed"),
    [
        # What devpts_new_index in the kernel's fs/devpts/inode.c gives: 4096 - 1024 - 1 in all, and 4095 to the host.
        (Demand(own_ptys=3071), 0, None),
        (Demand(own_ptys=3072), 0, 4097),
        (Demand(own_ptys=3054), 17, None),
        (Demand(own_ptys=3055), 17, 4097),
        (Demand(host_ptys=4095), 0, None),
        (Demand(host_ptys=4096), 0, 4097),
        (Demand(own_ptys=3071, host_ptys=1024), 0, None),
        (Demand(own_ptys=3071, host_ptys=1025), 0, 4097),
        (Demand(own_ptys=1, host_ptys=1), 3071, 4098),
        (Demand(), 4096, None),
    ],
)
def test_pseudo_terminals(wanted: Demand, used: int, needed: int | None) -> None:
    found = shortages(wanted, Present(PTYS, ptys=used))
    assert [one.advice for one in found] == ([f"Set kernel.pty.max to at least {needed}"] if needed else [])


@given(own=st.integers(0, 9000), host=st.integers(0, 9000), used=st.integers(0, 9000), reserve=st.integers(0, 5000))
def test_the_value_named_for_ptys_is_enough(own: int, host: int, used: int, reserve: int) -> None:
    wanted = Demand(own_ptys=own, host_ptys=host)
    values = {"kernel.pty.max": 4096, "kernel.pty.reserve": reserve}
    for short in shortages(wanted, Present(values, ptys=used)):
        values["kernel.pty.max"] = int(short.advice.rpartition(" ")[2])
        assert values["kernel.pty.max"] > 4096
        assert not shortages(wanted, Present(values, ptys=used))


@pytest.mark.parametrize(
    ("used", "wanted", "refused"), [(0, 1023, False), (0, 1024, True), (1023, 1, True), (1022, 1, False)]
)
def test_ports_of_a_bridge(used: int, wanted: int, refused: bool) -> None:
    found = shortages(Demand(ports=(("br0", wanted),)), Present({}, ports=(("br0", used),)))
    assert [one.name for one in found] == (["bridge br0"] if refused else [])


def test_a_full_bridge_says_how_many_more_are_needed() -> None:
    (found,) = shortages(Demand(ports=(("br0", 3700),)), Present({}, ports=(("br0", 23),)))
    assert "takes 1023 ports and must take 3723 (3700 beside 23 that there are)" in found.text
    assert found.advice == "Give at least 2700 networks another lxc.net.N.link than br0: 3 bridges more"


def test_a_bridge_that_is_not_there_is_somebody_elses_business() -> None:
    assert shortages(Demand(ports=(("br0", 5000),)), Present({})) == ()


def test_every_limit_that_is_too_small_is_named() -> None:
    wanted = Demand(100, 100, 0, (("br0", 2000),), (("net", 100), ("user", 100)), 9000)
    values = {
        "kernel.pty.max": 150,
        "kernel.pty.reserve": 100,
        "kernel.pid_max": 1200,
        "kernel.threads-max": 1199,
        "user.max_net_namespaces": 99,
        "user.max_user_namespaces": 0,
        "fs.nr_open": 8999,
    }
    found = shortages(wanted, Present(values, ptys=3, tasks=1000, ports=(("br0", 0),)))
    assert [one.advice for one in found][:-1] == [
        "Set kernel.pty.max to at least 204",
        "Set kernel.pid_max to at least 1201",
        "Set kernel.threads-max to at least 1200",
        "Set user.max_net_namespaces to at least 100",
        "Set user.max_user_namespaces to at least 100",
        "Set fs.nr_open to at least 9000",
    ]
    assert [one.name for one in found][-1] == "bridge br0"


def test_a_limit_that_the_kernel_has_not_got_bounds_nothing() -> None:
    assert shortages(Demand(10, 10, 10, (), (("net", 10),), 10), Present({}, 10**9, 10**9)) == ()


# ------------------------------------------------------------------ a host of a size


def values_of(**options: Any) -> dict[str, int]:
    return {one.name: one.value for one in requirements(host_size(options))}


def test_a_host_of_3700_containers() -> None:
    found = values_of(containers=3700, bridges=4)
    assert found["kernel.pty.max"] == 3700 * 8 + 256 + 1024 + 1
    assert found["kernel.pid_max"] == found["kernel.threads-max"] == 3700 * 102 + 4096 + 1
    assert found["net.ipv4.neigh.default.gc_thresh3"] == found["net.ipv6.neigh.default.gc_thresh3"] == 3700 * 4 + 512
    assert found["user.max_net_namespaces"] == 3700 * 32
    assert "fs.nr_open" not in found and "net.ipv6.route.max_size" not in found


@given(containers=st.integers(1, 5000), ttys=st.integers(0, 7), reserve=st.integers(0, 5000))
def test_what_the_role_sets_is_enough_for_the_check(containers: int, ttys: int, reserve: int) -> None:
    size = host_size({"containers": containers, "bridges": limits.bridges_for(containers)})
    values = {one.name: one.value for one in requirements(size, reserve)}
    values["kernel.pty.reserve"] = reserve
    kinds = tuple((kind, containers) for kind in ("mnt", "net", "user"))
    wanted = Demand(containers, containers * (1 + ttys), 0, (), kinds)
    assert shortages(wanted, Present(values, ptys=200, tasks=4000)) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "host_size.containers: it is missing"),
        ({"containers": 0}, "host_size.containers: 0 is no whole number of 1 or more"),
        ({"containers": True}, "host_size.containers: True is no"),
        ({"containers": "many"}, "host_size.containers: 'many' is no"),
        ({"containers": 5, "ptys": -1}, "host_size.ptys: -1 is no"),
        ({"containers": 5, "nic": 1}, "host_size.nic: a host's size has no such part; it has containers, bridges,"),
        ({"containers": 3700}, "host_size.bridges: 3700 containers with 1 NICs are 3700 ports, .*at least 4 bridges"),
        ({"containers": 1000, "processes": 5000}, "host_size.processes: kernel.pid_max .* 5006097, .*4194304"),
    ],
)
def test_sizes_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        host_size(options)
    with pytest.raises(AnsibleFilterError, match=message):
        host_limits(options)


def test_a_size_without_bridges() -> None:
    assert host_size({"containers": "3700", "bridges": 0, "ptys": None}) == HostSize(3700, bridges=0)


def test_no_value_is_lowered_and_none_is_forgotten() -> None:
    needed = [Requirement(name, 100, "") for name in ("low", "high", "missing", "ours", "ours-raised")]
    present = {"low": 50, "high": 200, "ours": 100, "ours-raised": 300}
    own = {"ours": 100, "ours-raised": 100, "missing": 100}
    assert [(one.name, one.value) for one in settings(needed, present, own)] == [
        ("low", 100),
        ("ours", 100),
        ("ours-raised", 300),
    ]


def test_the_filter_comes_to_rest() -> None:
    kept = ["/proc/sys/kernel/pty/reserve:1024", "/proc/sys/fs/file-max:9223372036854775807"]
    size = {"containers": 500, "nofile": 4096}
    first = host_limits(size, ["/proc/sys/kernel/pty/max:4096", "/proc/sys/kernel/pid_max:32768", *kept])
    expected = {"kernel.pty.max": 5281, "kernel.pid_max": 55097}
    assert {one["name"]: one["value"] for one in first["settings"]} == expected
    assert first["low"] == list(expected) and first["nofile"] == 4096
    lines = [f"/proc/sys/{name.replace('.', '/')}:{value}" for name, value in expected.items()]
    file = [f"{FILE}:{name} = {value}" for name, value in expected.items()]
    second = host_limits(size, [f"{FILE}:# a remark", *file, *lines, *kept])
    assert second["settings"] == first["settings"] and second["low"] == []


def test_the_role_documents_the_same_size() -> None:
    options = yaml.safe_load(SPECS.read_text())["argument_specs"]["main"]["options"]["host_size"]["options"]
    assert list(options) == list(HostSize.__dataclass_fields__)
    defaults = {name: spec["default"] for name, spec in options.items() if "default" in spec}
    assert HostSize(1, **defaults) == HostSize(1) and len(defaults) == len(options) - 1
