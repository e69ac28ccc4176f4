# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of keys: every row, the lookup, and which liblxc takes which key."""

from __future__ import annotations

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import (
    Key,
    all_keys,
    check_key,
    lookup,
    normalise,
    render_value,
    replacement,
    same_values,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_values import KINDS
from ansible_collections.lightervisor.lxc.tests.unit.config_examples import VALUE_EXAMPLES

ROWS = pytest.mark.parametrize("key", all_keys(), ids=lambda key: str(key.name))


def example(key: Key) -> tuple[str, str]:
    """A key that the row is about, as it stands in a config, and a value for it."""
    rest, _bar, value = VALUE_EXAMPLES[key.name].rpartition("|")
    return key.name.replace(".N", ".3").replace(".*", rest), value


@ROWS
def test_a_row_is_found_and_makes_sense(key: Key) -> None:
    name, value = example(key)
    assert lookup(name) == key
    assert key.compare in KINDS
    assert key.impact in ("live", "restart", "creation", "none")
    assert key.since is None or (1, 0) <= key.since <= (7, 0)
    assert key.removed in (None, (7, 0))
    assert key.clears == (value == "")


@ROWS
def test_a_row_can_be_written_read_and_compared(key: Key) -> None:
    name, value = example(key)
    if key.clears:
        document = ConfigDocument.parse(f"{name} =\n")
        assert document.values(name) == ()
        return
    document = ConfigDocument(()).with_values(name, [value])
    assert document.render() == f"{name} = {value}\n"
    assert document.values(name) == (value,)
    assert same_values(name, [value], [normalise(name, value)])
    assert not same_values(name, [value], [])
    assert render_value(name, value) == value
    twice = ConfigDocument.parse(document.render() * 2)
    assert twice.values(name) == (value,) * (2 if key.multi else 1)


@ROWS
def test_a_row_says_which_liblxc_takes_it(key: Key) -> None:
    name, _value = example(key)
    for version in ((2, 1), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (7, 1)):
        taken = (key.since is None or version >= key.since) and (key.removed is None or version < key.removed)
        if taken:
            check_key(name, version, "config")
        else:
            with pytest.raises(InputError, match=r"^config: .* liblxc \d\.\d"):
                check_key(name, version, "config")


@pytest.mark.parametrize("key", [key for key in all_keys() if key.old], ids=lambda key: str(key.old))
def test_an_old_spelling_leads_to_the_new_one(key: Key) -> None:
    name, _value = example(key)
    old = key.old.replace(".*", name[name.rfind(".") :] if key.old.endswith(".*") else "")
    assert replacement(old) == name.replace("lxc.net.3", "lxc.net.0")
    version = (7, 0)
    with pytest.raises(InputError) as caught:
        check_key(old, version, "config")
    assert caught.value.problem.endswith(f"Write {name.replace('lxc.net.3', 'lxc.net.0')}")


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("lxc.net.0.link", "lxc.net.N.link"),
        ("lxc.net.12.veth.vlan.tagged.id", "lxc.net.N.veth.vlan.tagged.id"),
        ("lxc.net.0", "lxc.net.N"),
        ("lxc.cgroup2.memory.max", "lxc.cgroup2.memory.max"),
        ("lxc.cgroup2.memory.oom.group", "lxc.cgroup2.memory.*"),
        ("lxc.cgroup2.dmem.max", "lxc.cgroup2.*"),
        ("lxc.cgroup.dir", "lxc.cgroup.dir"),
        ("lxc.cgroup.devices.allow", "lxc.cgroup.*"),
        ("lxc.sysctl.net.ipv4.ip_forward", "lxc.sysctl.*"),
        ("lxc.namespace.share.net", "lxc.namespace.share.*"),
    ],
)
def test_lookup_takes_the_longest_match(key: str, row: str) -> None:
    found = lookup(key)
    assert found is not None and found.name == row


@pytest.mark.parametrize(
    "key",
    [
        "",
        "lxc",
        "lxc.",
        "lxc.foo",
        "lxc.utsname",
        "lxc.uts.name.x",
        "lxc.Uts.name",
        "uts.name",
        "lxc.net.N",
        "lxc.net.N.link",
        "lxc.net.",
        "lxc.net.x.link",
        "lxc.net.-1.link",
        "lxc.net.²",
        "lxc.net.0.",
        "lxc.net.0.nolink",
        "lxc.net.0link",
        "lxc.cgroup2.",
        "lxc.cgroup2.*",
        "lxc.prlimit.",
        "lxc.prlimit.*",
        "lxc.namespace.share",
        "lxc.hook.nonsense",
    ],
)
def test_what_is_no_key_is_not_found(key: str) -> None:
    assert lookup(key) is None
    with pytest.raises(InputError, match="^config: "):
        check_key(key, (5, 0), "config")


def test_messages_name_what_to_do() -> None:
    for key, version, words in (
        ("lxc.utsname", (5, 0), ["1.0 and 2.0", "lxc.uts.name"]),
        ("lxc.network.2.ipv4", (5, 0), ["lxc.net.2.ipv4.address"]),
        ("lxc.cgroup.memory.limit_in_bytes", (7, 0), ["removed in liblxc 7.0", "lxc.cgroup2.memory.max"]),
        ("lxc.cgroup.freezer.state", (7, 0), ["removed in liblxc 7.0", "lxc.cgroup2"]),
        ("lxc.environment.hooks", (6, 0), ["needs liblxc 7.0", "6.0"]),
        ("lxc.foo", (6, 0), ["lxc.foo", "liblxc 6.0", "lxc.container.conf(5)"]),
    ):
        with pytest.raises(InputError) as caught:
            check_key(key, version, "config[x]")
        assert caught.value.path == "config[x]"
        assert all(word in caught.value.problem for word in words), caught.value


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("lxc.start.auto", True, "1"),
        ("lxc.start.auto", False, "0"),
        ("lxc.start.auto", "yes", "1"),
        ("lxc.start.auto", "False", "0"),
        ("lxc.start.auto", "maybe", "maybe"),
        ("lxc.start.order", -5, "-5"),
        ("lxc.uts.name", "yes", "yes"),
        ("lxc.unknown", "a  b", "a  b"),
    ],
)
def test_values_of_a_task_become_text(key: str, value: object, text: str) -> None:
    assert render_value(key, value) == text


@pytest.mark.parametrize("value", [None, 1.5, ["a"], {"a": 1}, "a\nlxc.uts.name = b", "a\rb", "a\0b"])
def test_values_that_are_no_text_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="^lxc.uts.name: "):
        render_value("lxc.uts.name", value)


def test_only_keys_that_lxc_1_and_2_had_were_renamed() -> None:
    old = [key.old for key in all_keys() if key.old]
    assert len(old) == len(set(old))
    assert all(lookup(name.replace(".*", ".x")) is None for name in old if not name.startswith("lxc.cgroup."))
