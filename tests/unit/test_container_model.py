# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import (
    ContainerSpec,
    Setting,
    check_lxcpath,
    check_name,
    parse_container,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.nic import NIC_OPTIONS
from ansible_collections.lightervisor.lxc.plugins.module_utils._options import CONTAINER_OPTIONS
from hypothesis import given
from hypothesis import strategies as st


def parse(**options: Any) -> ContainerSpec:
    params = {name: options.get(name, spec.get("default")) for name, spec in CONTAINER_OPTIONS.items()}
    return parse_container({**params, "name": "c1", **options}, "/var/lib/lxc")


def refused(**options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(**options)
    return caught.value


NAMES = ["c1", "C_1", "web-1.example", "0", "no", "off", "false", "_x", "a" * 64, "rootfs", "1.2.3"]
HOSTILE = [
    "",
    "/",
    "a/b",
    "..",
    ".",
    ".hidden",
    "../c1",
    "-rf",
    "--help",
    "a b",
    "a\n",
    "\na",
    "a\nlxc.init.cmd = x",
    "a\r",
    "a\0b",
    "a\tb",
    "x" * 65,
    "x" * 300,
    "größe",
    "名前",
    "\N{ZERO WIDTH SPACE}a",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "a:b",
    "a,b",
    "$(id)",
    "a;b",
    "a'b",
    'a"b',
    "*",
    "~",
    "%s",
    "\udcff",
]


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    assert parse(name=name).name == name


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_wherever_one_is_given(name: str) -> None:
    assert refused(name=name).path == "name"
    assert refused(clone={"from": name}).path == "clone.from"


@given(st.text(max_size=80))
def test_a_name_that_passes_is_one_path_component_and_no_option(name: str) -> None:
    try:
        check_name(name)
    except InputError:
        return
    assert name.isascii() and len(name) <= 64
    assert not set(name) & set("/ \n\r\t\0:,;$'\"\\")
    assert name[0] not in "-." and name not in (".", "..")


@pytest.mark.parametrize(
    "path",
    ["", "var/lib", "/a/../b", "/..", "..", "/a\n", "/a\0", "/a:b", "/a,b", "~/lxc"],
)
def test_hostile_lxcpaths(path: str) -> None:
    with pytest.raises(InputError):
        check_lxcpath(path)
    if path:  # an empty one is an unspecified one
        assert refused(lxcpath=path).path == "lxcpath"
        assert refused(clone={"from": "base", "lxcpath": path}).path == "clone.lxcpath"


def test_lxcpaths_are_normalised() -> None:
    assert parse().lxcpath == "/var/lib/lxc"
    assert parse(lxcpath="/srv//lxc/./x/").lxcpath == "/srv/lxc/x"
    assert parse(lxcpath="/srv/größe").lxcpath == "/srv/größe"


#: Options with a text in them, as a function of that text.
TEXTS: dict[str, Any] = {
    "name": lambda text: {"name": text},
    "lxcpath": lambda text: {"lxcpath": "/" + text},
    "template.name": lambda text: {"template": {"name": text}},
    "template.arguments[0]": lambda text: {"template": {"name": "busybox", "arguments": [text]}},
    "clone.from": lambda text: {"clone": {"from": text}},
    "clone.lxcpath": lambda text: {"clone": {"from": "base", "lxcpath": "/" + text}},
    "backingstore.dir": lambda text: {"backingstore": {"type": "dir", "dir": "/" + text}},
    "config[lxc.init.cmd]": lambda text: {"config": {"lxc.init.cmd": text}},
    "config[lxc.environment][1]": lambda text: {"config": {"lxc.environment": ["A=1", text]}},
    "config[lxc.mount.entry].add[0]": lambda text: {"config": {"lxc.mount.entry": {"add": [text]}}},
    "config[lxc.mount.entry].remove[0]": lambda text: {"config": {"lxc.mount.entry": {"remove": [text]}}},
    "config[lxc.utsname]": lambda text: {"config": {"lxc.utsname": text}},
    "autostart.groups[1]": lambda text: {"autostart": {"groups": ["a", text]}},
    "idmap[0]": lambda text: {"idmap": [text]},
}
for option, suboption in CONTAINER_OPTIONS["template"]["options"].items():
    if suboption["type"] in ("str", "path") and option != "name":
        kind = {"metadata": "local", "fstree": "local", "url": "oci", "username": "oci", "password": "oci"}
        TEXTS[f"template.{option}"] = lambda text, option=option, kind=kind: {
            "template": {"name": kind.get(option, "download"), option: text, "arguments": ["x"]}
        }
for store, option in (
    ("lvm", "vg"),
    ("lvm", "lv"),
    ("lvm", "thinpool"),
    ("lvm", "fstype"),
    ("lvm", "size"),
    ("zfs", "zfs_root"),
    ("rbd", "rbd_name"),
    ("rbd", "rbd_pool"),
):
    TEXTS[f"backingstore.{option}"] = lambda text, store=store, option=option: {
        "backingstore": {"type": store, option: text}
    }
for option, suboption in NIC_OPTIONS.items():
    if suboption["type"] == "str" and option != "type":
        kind = {"vlan_id": "vlan", "macvlan_mode": "macvlan", "ipvlan_mode": "ipvlan", "ipvlan_isolation": "ipvlan"}
        TEXTS[f"networks[0].{option}"] = lambda text, option=option, kind=kind: {
            "networks": [{"type": kind.get(option, "veth"), "link": "br0", option: text}]
        }
    elif suboption.get("elements") == "str":
        TEXTS[f"networks[0].{option}[0]"] = lambda text, option=option: {"networks": [{"type": "veth", option: [text]}]}


@pytest.mark.parametrize("bad", ["a\nlxc.rootfs.path = /", "a\n", "\n", "a\0b", "a\rb"])
@pytest.mark.parametrize("path", TEXTS)
def test_no_line_break_and_no_nul_gets_through_any_option(path: str, bad: str) -> None:
    error = refused(**TEXTS[path](bad))
    assert error.path == path
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error) and "\0" not in str(error)


def test_no_line_break_in_a_key() -> None:
    for key in ("lxc.init.cmd\nlxc.x", "lxc.net.0\n.link", "lxc.cgroup2.x\n", "lxc.environment\0"):
        with pytest.raises(InputError):
            parse(config={key: "x"})
        with pytest.raises(InputError):
            parse(config={key: None})


def setting(key: str, value: Any) -> Setting:
    (found,) = parse(config={key: value}).settings
    return found


def test_values() -> None:
    assert setting("lxc.start.auto", True) == Setting("lxc.start.auto", ("1",))
    assert setting("lxc.start.auto", "no") == Setting("lxc.start.auto", ("0",))
    assert setting("lxc.start.order", 5) == Setting("lxc.start.order", ("5",))
    assert setting("lxc.start.order", [7]) == Setting("lxc.start.order", ("7",))
    assert setting("lxc.environment", "A=1") == Setting("lxc.environment", ("A=1",))
    assert setting("lxc.environment", ["A=1", "B=2"]) == Setting("lxc.environment", ("A=1", "B=2"))
    assert setting("lxc.environment", None) == Setting("lxc.environment")
    assert setting("lxc.environment", []) == Setting("lxc.environment")
    assert setting("lxc.uts.name", "off") == Setting("lxc.uts.name", ("off",))
    assert setting("lxc.init.cmd", "/bin/sh -c 'a # b'") == Setting("lxc.init.cmd", ("/bin/sh -c 'a # b'",))
    assert setting("lxc.mount.entry", {"add": ["a"], "remove": ["b"]}) == Setting(
        "lxc.mount.entry", None, ("a",), ("b",)
    )
    assert not setting("lxc.environment", None).partial
    assert setting("lxc.environment", {"add": "A=1"}).partial


def test_an_empty_value_is_no_value() -> None:
    """liblxc would clear the key; removal is written as null."""
    assert refused(config={"lxc.init.cmd": ""}).path == "config[lxc.init.cmd]"
    assert refused(config={"lxc.environment": ["A=1", ""]}).path == "config[lxc.environment][1]"
    assert refused(config={"lxc.utsname": ""}).path == "config[lxc.uts.name]"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"config": {"lxc.nonsense": 1}}, "config[lxc.nonsense]"),
        ({"config": {"nonsense": 1}}, "config[nonsense]"),
        ({"config": {"lxc.net.x.type": "veth"}}, "config[lxc.net.x.type]"),
        ({"config": {"lxc.sysctl.a=1": "1", "lxc.tty.max": 4}}, "config[lxc.sysctl.a=1]"),
        ({"config": {"lxc.sysctl.a ": "1"}}, "config[lxc.sysctl.a ]"),
        ({"config": {"lxc.sysctl.a\tb": ["1"]}}, "config[lxc.sysctl.a\tb]"),
        ({"config": {"lxc.sysctl.a = 1": None}}, "config[lxc.sysctl.a = 1]"),
        ({"config": {"lxc.start.order": [1, 2]}}, "config[lxc.start.order]"),
        ({"config": {"lxc.start.order": {"add": [1]}}}, "config[lxc.start.order]"),
        ({"config": {"lxc.environment": {"plus": ["A=1"]}}}, "config[lxc.environment]"),
        ({"config": {"lxc.environment": {}}}, "config[lxc.environment]"),
        ({"config": {"lxc.environment": [["A=1"]]}}, "config[lxc.environment][0]"),
        ({"config": {"lxc.start.delay": 1.5}}, "config[lxc.start.delay]"),
        ({"config": {"lxc.start.order": 1}, "autostart": {"order": 2}}, "config[lxc.start.order]"),
        ({"config": {"lxc.utsname": "a", "lxc.uts.name": "b"}}, "config[lxc.utsname]"),
        ({"config": {"lxc.network.type": ["veth", "veth"]}}, "config[lxc.network.type]"),
        ({"config": {"lxc.idmap": ["u 0 1 1"]}, "privileged": True}, "config[lxc.idmap]"),
        ({"config": {"lxc.idmap": ["u 0 1 1"]}, "idmap": ["u 0 1 1", "g 0 1 1"]}, "config[lxc.idmap]"),
        ({"config": {"lxc.net.1.link": "b"}, "networks": [{"type": "veth", "index": 1}]}, "config[lxc.net.1.link]"),
        ({"networks": [{"type": "veth"}, {"type": "veth", "index": 0}]}, "networks[1].index"),
        ({"networks": [{"type": "veth", "hwaddr": "zz"}]}, "networks[0].hwaddr"),
        ({"networks": [{"type": "veth", "ipv4": ["10.0.0.1"]}]}, "networks[0].ipv4[0]"),
        ({"networks": [{"type": "empty"}, {"type": "vlan", "link": "eth0"}]}, "networks[1].vlan_id"),
        ({"idmap": []}, "idmap"),
        ({"idmap": ["u 0 100000"]}, "idmap[0]"),
        ({"idmap": ["u 0 100000 65536"]}, "idmap"),
        ({"idmap": ["u 0 100000 65536", "g 0 100000 65536"], "privileged": True}, "idmap"),
        ({"template": {"name": "busybox"}, "clone": {"from": "base"}}, "clone"),
        ({"clone": {"from": "c1"}}, "clone.from"),
        ({"shutdown_timeout": -1}, "shutdown_timeout"),
    ],
)
def test_refused(options: dict[str, Any], path: str) -> None:
    assert refused(**options).path == path


def test_a_clone_of_the_same_name_elsewhere_is_fine() -> None:
    clone = parse(clone={"from": "c1", "lxcpath": "/srv/lxc"}).clone
    assert clone is not None and (clone.source, clone.lxcpath) == ("c1", "/srv/lxc")


def test_a_key_of_another_liblxc_can_be_removed() -> None:
    assert setting("lxc.nonsense", None) == Setting("lxc.nonsense")


def test_unspecified_is_unmanaged() -> None:
    assert parse() == ContainerSpec("c1", "/var/lib/lxc")
    assert parse(config={}, networks=[], autostart={"auto": None}) == ContainerSpec("c1", "/var/lib/lxc")
    assert not parse().has_source and parse(template={"name": "none"}).has_source


def test_autostart() -> None:
    assert parse(autostart={"auto": True, "delay": 0, "order": -5, "groups": ["a", "b"]}).settings == (
        Setting("lxc.start.auto", ("1",)),
        Setting("lxc.start.delay", ("0",)),
        Setting("lxc.start.order", ("-5",)),
        Setting("lxc.group", ("a", "b")),
    )
    assert parse(autostart={"groups": []}).settings == (Setting("lxc.group"),)


def test_timeouts() -> None:
    assert parse(shutdown_timeout=0).shutdown_timeout == 0
    assert parse(shutdown_timeout=None).shutdown_timeout == 60
