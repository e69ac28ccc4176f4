# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of a container, and the small parsers of what liblxc leaves beside a config."""

from __future__ import annotations

import json

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.container_dir import parse_references
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.describe import (
    describe,
    describe_config,
    is_link_local,
    render_timestamp,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import (
    CREATING,
    HALF_CLONED,
    OK,
    UNREADABLE,
    Interface,
    Observed,
    Reference,
    Rootfs,
    Snapshot,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.rootfs import is_managed, parse_rootfs

OWN = """\
# made by hand
lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = web
lxc.group = onboot
lxc.group = web
lxc.start.auto = 1
lxc.start.order = 5
lxc.rootfs.path = overlay:/srv/lxc/base/rootfs:/srv/lxc/web/overlay/delta
"""
INCLUDED = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"


def web(**changes: object) -> Observed:
    values: dict[str, object] = {
        "name": "web",
        "lxcpath": "/srv/lxc",
        "health": OK,
        "state": "running",
        "pid": 4711,
        "document": ConfigDocument.parse(OWN),
        "effective": ConfigDocument.parse(INCLUDED + OWN),
        "rootfs": Rootfs("overlay", "/srv/lxc/web/overlay/delta", ("/srv/lxc/base/rootfs",), True),
        "origin": Reference("/srv/lxc", "base"),
        "dependants": (Reference("/srv/lxc", "web2"),),
        "snapshots": (Snapshot("snap0", "2026:11:22 22:30:11", "before"),),
        "interfaces": (
            Interface("eth0", "00:16:3e:aa:bb:cc", ("10.0.3.5/24", "169.254.7.7/16"), ("fe80::1/64", "fd00::5/64")),
            Interface("eth1", "00:16:3e:aa:bb:cd", ("10.0.4.5/24",)),
        ),
    }
    values.update(changes)
    return Observed(**values)  # type: ignore[arg-type]


def test_everything_that_is_known_is_described() -> None:
    described = describe(web())
    assert described == {
        "name": "web",
        "lxcpath": "/srv/lxc",
        "state": "running",
        "pid": 4711,
        "health": "ok",
        "broken": False,
        "problem": "",
        "privileged": False,
        "idmap": ["u 0 100000 65536", "g 0 100000 65536"],
        "rootfs": {
            "backingstore": "overlay",
            "path": "/srv/lxc/web/overlay/delta",
            "lower": ["/srv/lxc/base/rootfs"],
            "exists": True,
            "managed": True,
        },
        "origin": {"name": "base", "lxcpath": "/srv/lxc"},
        "dependants": [{"name": "web2", "lxcpath": "/srv/lxc"}],
        "interfaces": [
            {
                "name": "eth0",
                "hwaddr": "00:16:3e:aa:bb:cc",
                "ipv4": ["10.0.3.5/24", "169.254.7.7/16"],
                "ipv6": ["fe80::1/64", "fd00::5/64"],
            },
            {"name": "eth1", "hwaddr": "00:16:3e:aa:bb:cd", "ipv4": ["10.0.4.5/24"], "ipv6": []},
        ],
        "ipv4": ["10.0.3.5", "10.0.4.5"],
        "ipv6": ["fd00::5"],
        "autostart": {"auto": True, "delay": 0, "order": 5, "groups": ["onboot", "web"]},
        "snapshots": [{"name": "snap0", "created": "2026-11-22 22:30:11", "comment": "before"}],
        "config": {
            "lxc.include": ["/usr/share/lxc/config/common.conf"],
            "lxc.uts.name": "web",
            "lxc.group": ["onboot", "web"],
            "lxc.start.auto": "1",
            "lxc.start.order": "5",
            "lxc.rootfs.path": "overlay:/srv/lxc/base/rootfs:/srv/lxc/web/overlay/delta",
        },
    }
    assert json.loads(json.dumps(described)) == described


def test_addresses_that_nobody_asked_for_are_unknown_not_none() -> None:
    described = describe(web(interfaces=None))
    assert (described["interfaces"], described["ipv4"], described["ipv6"]) == (None, None, None)
    described = describe(web(interfaces=()))
    assert (described["interfaces"], described["ipv4"], described["ipv6"]) == ([], [], [])


@pytest.mark.parametrize(
    ("health", "broken"), [(OK, False), (CREATING, False), (HALF_CLONED, True), (UNREADABLE, True)]
)
def test_what_counts_as_broken(health: str, broken: bool) -> None:
    described = describe(web(health=health, problem="It is so."))
    assert (described["broken"], described["health"], described["problem"]) == (broken, health, "It is so.")


def test_a_container_that_is_not_there() -> None:
    described = describe(Observed("gone", "/srv/lxc"))
    assert (described["state"], described["rootfs"], described["config"]) == ("absent", None, {})


def test_bytes_that_are_no_text_do_not_break_json() -> None:
    raw = b"lxc.uts.name = caf\xe9\nlxc.group = d\xc3\xa9j\xc3\xa0\n".decode("utf-8", "surrogateescape")
    described = describe(web(document=ConfigDocument.parse(raw), effective=ConfigDocument.parse(raw)))
    assert described["config"]["lxc.uts.name"] == "caf\N{REPLACEMENT CHARACTER}"
    assert described["autostart"]["groups"] == ["d\u00e9j\u00e0"]
    json.dumps(described).encode("utf-8")


def test_a_cleared_key_is_not_described_and_a_list_key_is_always_a_list() -> None:
    document = ConfigDocument.parse(
        "lxc.group = a\nlxc.group =\nlxc.mount.entry = x y none\nlxc.start.order = 1\nlxc.start.order = 2\n"
    )
    assert describe_config(document) == {"lxc.mount.entry": ["x y none"], "lxc.start.order": "2"}


@pytest.mark.parametrize(
    "extra",
    [
        "",
        "lxc.net.0.type = empty\n",
        "lxc.net.1.type = empty\n",
        "lxc.net.0 =\n",
        "lxc.net =\n",
        "lxc.group =\n",
        "lxc.start.order =\n",
        "lxc.unknown = 1\nlxc.unknown = 2\n",
    ],
)
def test_config_holds_what_the_document_holds(extra: str) -> None:
    nets = "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.ipv4.address = 10.0.0.1/8\nlxc.net.1.link = br1\n"
    document = ConfigDocument.parse(OWN + nets + extra)
    described = describe_config(document)
    assert list(described) == list(document.keys())
    for key, value in described.items():
        assert tuple(value if isinstance(value, list) else [value]) == document.values(key)


def test_unmanaged_rootfs() -> None:
    effective = ConfigDocument.parse("lxc.rootfs.managed = 0\n")
    assert describe(web(effective=effective))["rootfs"]["managed"] is False


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("dir:/srv/lxc/a/rootfs", ("dir", "/srv/lxc/a/rootfs", ())),
        ("btrfs:/srv/lxc/a/rootfs", ("btrfs", "/srv/lxc/a/rootfs", ())),
        ("/srv/lxc/a/rootfs", ("", "/srv/lxc/a/rootfs", ())),
        ("overlay:/l:/u", ("overlay", "/u", ("/l",))),
        ("overlayfs:/l:/u", ("overlay", "/u", ("/l",))),
        ("overlay:/top:/below:/u", ("overlay", "/u", ("/top", "/below"))),
        ("overlay:/with:colon:/u", ("overlay", "/u", ("/with:colon",))),
        ("lvm:/dev/lxc/a", ("lvm", "/dev/lxc/a", ())),
        ("zfs:tank/lxc/a", ("zfs", "tank/lxc/a", ())),
        ("nbd:/srv/a.img:1", ("nbd", "/srv/a.img:1", ())),
        ("/srv/odd:name", ("", "/srv/odd:name", ())),
    ],
)
def test_rootfs_path(value: str, parts: tuple[str, str, tuple[str, ...]]) -> None:
    assert parse_rootfs(value) == parts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/srv/lxc\nweb\n", [("/srv/lxc", "web")]),
        ("/srv/lxc\nweb\n/srv/other\nweb\n/srv/lxc\nweb\n", [("/srv/lxc", "web"), ("/srv/other", "web")]),
        ("3\n", []),
        ("", []),
        ("/srv/lxc\n", []),
    ],
)
def test_references(text: str, found: list[tuple[str, str]]) -> None:
    assert [(one.lxcpath, one.name) for one in parse_references(text)] == found


@pytest.mark.parametrize(
    ("text", "rendered"),
    [("2026:11:22 22:30:11", "2026-11-22 22:30:11"), ("", ""), ("yesterday", "yesterday"), ("1:2 x", "1:2 x")],
)
def test_timestamp(text: str, rendered: str) -> None:
    assert render_timestamp(text) == rendered


@pytest.mark.parametrize(
    ("address", "local"),
    [("fe80::1/64", True), ("FEBF::1", True), ("fec0::1", False), ("169.254.1.1/16", True), ("169.25.4.1", False)],
)
def test_link_local(address: str, local: bool) -> None:
    assert is_link_local(address) is local


@pytest.mark.parametrize(
    ("values", "managed"),
    [
        ((), True),
        (("1",), True),
        (("0x1",), True),
        (("",), True),
        (("0",), False),
        (("00",), False),
        (("0x0",), False),
        (("false",), False),
        (("0", "1"), True),
        (("1", "0"), False),
        (("0b1",), False),
    ],
)
def test_who_manages_the_rootfs(values: tuple[str, ...], managed: bool) -> None:
    """As confile.c has it; what liblxc does not take means that the rootfs is kept."""
    assert is_managed(values) is managed


def test_what_says_that_the_rootfs_is_not_managed() -> None:
    text = "lxc.rootfs.path = dir:/x\nlxc.rootfs.managed = 00\n"
    document = ConfigDocument.parse(text)
    found = describe(Observed("c", "/l", health=OK, document=document, effective=document, rootfs=Rootfs("dir", "/x")))
    assert found["rootfs"]["managed"] is False
