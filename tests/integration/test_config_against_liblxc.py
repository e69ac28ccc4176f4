# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The config document, the key table and the comparison of values against the liblxc of this machine."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import lxc
import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument, flatten
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import (
    Key,
    all_keys,
    check_key,
    lookup,
    same_values,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_legacy import translate_text
from ansible_collections.lightervisor.lxc.tests.unit.config_examples import (
    CURRENT_EXAMPLES,
    LEGACY_EXAMPLES,
    VALUE_EXAMPLES,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

INSTALLED = tuple(int(part) for part in lxc.version.split(".")[:2])
#: Keys whose value the installed liblxc keeps to itself.
UNTOLD = ("lxc.arch",) if INSTALLED >= (6, 0) else ()
Held = Callable[[str], Optional[List[str]]]
_numbers = itertools.count()


def load(folder: Path, text: str) -> Optional[Held]:
    """What liblxc holds after reading `text`, None when it refuses it."""
    config = folder / f"config{next(_numbers)}"
    config.write_bytes(text.encode("utf-8", "surrogateescape"))
    container = lxc.Container("config-test", config_path=str(folder))
    loaded = container.load_config(str(config))
    config.unlink()
    if not loaded:
        return None

    def held(key: str) -> Optional[List[str]]:
        try:
            value = container.get_config_item(key)
        except KeyError:
            return None
        values = value if isinstance(value, list) else value.split("\n")
        # An empty lxc.net.N.type reads back as "(null)".
        return [item for item in values if item not in ("", "(null)")]

    return held


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("liblxc")


DOCUMENTS = [
    "lxc.uts.name = one\nlxc.uts.name = two\n",
    "lxc.uts.name=tight\n",
    "  \t lxc.uts.name \t = \t blanks \t \n",
    "lxc.uts.name = no end of line",
    "lxc.uts.name = carriage\rlxc.uts.name = return\r\n",
    "lxc.uts.name = a # no comment\n#lxc.uts.name = comment\n   # lxc.uts.name = comment\n",
    "lxc.uts.name = 'quoted'\n",
    'lxc.uts.name = "quoted"\n',
    "lxc.uts.name = 'half\n",
    "lxc.uts.name = \"mixed'\n",
    "lxc.uts.name = ''\n",
    "lxc.uts.name = ' inner blanks '\n",
    "lxc.uts.name = ''twice''\n",
    "lxc.uts.name = '\n",
    "lxc.uts.name = a=b\n",
    "lxc.uts.name = one\nlxc.uts.name =\n",
    "uts.name = foreign\nnonsense\n\n\f\nlxc.uts.name = kept\n",
    "lxc.uts.name = before\n\0lxc.uts.name = after\n",
    "lxc.uts.name = be\0fore\nlxc.uts.name = after\n",
    "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n",
    "lxc.idmap = u 0 1 2\nlxc.idmap =\nlxc.idmap = u 0 100000 65536\n",
    "lxc.mount.entry = a b none bind\nlxc.mount.entry = c d none bind 0 0\n",
    "lxc.hook.start = /a\nlxc.hook.stop = /b\nlxc.hook =\nlxc.hook.start = /c\n",
    "lxc.hook.version = 1\nlxc.hook =\n",
    "lxc.cap.drop = sys_module mac_admin\nlxc.cap.drop = sys_time\n",
    "lxc.cap.drop = sys_module\nlxc.cap.keep =\nlxc.cap.drop = sys_time\n",
    "lxc.group = a b\nlxc.group = c\n",
    "lxc.environment = A=1\nlxc.environment = B=2\n",
    "lxc.cgroup2.memory.max = 1\nlxc.cgroup2.devices.allow = a\nlxc.cgroup2.devices.allow = c 1:3 rwm\n",
    "lxc.cgroup2.memory.max = 1\nlxc.cgroup2.pids.max = 2\nlxc.cgroup2.memory.max =\n",
    "lxc.cgroup2.memory.max = 1\nlxc.cgroup2 =\nlxc.cgroup2.pids.max = 2\n",
    "lxc.prlimit.nofile = 1\nlxc.prlimit.nofile = 2\nlxc.prlimit.core = 1\n",
    "lxc.prlimit.nofile = 1\nlxc.prlimit =\nlxc.prlimit.core = 1\n",
    "lxc.sysctl.net.a = 1\nlxc.sysctl.net.a = 2\nlxc.sysctl.net.b = 1\nlxc.sysctl.net.b =\n",
    "lxc.proc.oom_score_adj = 5\nlxc.proc =\nlxc.proc.oom_score_adj = 6\n",
    "lxc.mount.auto = proc\nlxc.mount.auto = sys:ro cgroup\nlxc.mount.auto = sys\n",
    "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.net.0.ipv4.address = 10.0.0.3/24\n",
    "lxc.net.0.link = reset\nlxc.net.0.type = veth\nlxc.net.0.name = eth0\n",
    "lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net.0.type = macvlan\n",
    "lxc.net.0.type = veth\nlxc.net.1.type = veth\nlxc.net.1.link = b\nlxc.net.0 =\n",
    "lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net =\nlxc.net.1.type = empty\n",
    "lxc.net.00.type = veth\nlxc.net.0.link = a\nlxc.net.007.type = empty\n",
    "lxc.net.0.type = veth\nlxc.net.0.script.up = /a\nlxc.net.0.script.up = /b\n",
    "lxc.net.0.type = veth\nlxc.net.0.veth.vlan.tagged.id = 2\nlxc.net.0.veth.vlan.tagged.id = 3\n",
    "lxc.init.groups = 1,2\nlxc.init.groups = 3\n",
    "lxc.namespace.keep = net\nlxc.namespace.keep = ipc user\n",
    "lxc.rootfs.path = dir:/srv//root/\n",
    "lxc.rootfs.path = overlay:/a:/b\nlxc.rootfs.path = dir:/c\n",
]


def assert_same(document: ConfigDocument, held: Held) -> None:
    """Every key that the document speaks of has in liblxc what `values` says."""
    for key, _value in document.entries():
        row = lookup(key)
        if row is None or row.clears or key == "lxc.include" or key in UNTOLD:
            continue
        mine, real = document.values(key), held(key)
        if not row.multi and key.startswith("lxc.cgroup2."):
            # liblxc keeps every line and writes one after the other to the file, where the last one counts.
            real = real and real[-1:]
        if key == "lxc.rootfs.path":
            # liblxc keeps the backing store elsewhere and does not tell it.
            mine = tuple(value.partition(":")[2] or value for value in mine)
        if mine:
            assert real is not None and same_values(key, mine, real), (key, mine, real)
        elif row.compare in ("text", "words", "path", "set", "fstab") and not key.endswith(".type"):
            # Numbers and a network's type have a default. Before 7.0 liblxc gives the same list for both lxc.cap keys.
            assert not real, (key, mine, real)


@pytest.mark.parametrize("text", [*DOCUMENTS, *CURRENT_EXAMPLES])
def test_document_holds_what_liblxc_holds(folder: Path, text: str) -> None:
    held = load(folder, text)
    assert held is not None
    assert_same(ConfigDocument.parse(text), held)


_POOL = {
    "lxc.uts.name": ["a", "b", "'q'"],
    "lxc.start.order": ["1", "0x10"],
    "lxc.group": ["a b", "c"],
    "lxc.idmap": ["u 0 100000 65536", "g 0 100000 65536"],
    "lxc.mount.entry": ["a b none bind", "c d none bind 0 0"],
    "lxc.mount.auto": ["proc", "sys:ro", "proc:rw cgroup:ro"],
    "lxc.hook": [],
    "lxc.hook.start": ["/a", "/b"],
    "lxc.hook.version": ["0", "1"],
    "lxc.cap.drop": ["sys_module", "mac_admin sys_time"],
    "lxc.environment": ["A=1", "A=2"],
    "lxc.cgroup2": [],
    "lxc.cgroup2.memory.max": ["1G", "2G"],
    "lxc.cgroup2.devices.allow": ["a", "c 1:3 rwm"],
    "lxc.prlimit": [],
    "lxc.prlimit.nofile": ["1024", "1:2"],
    "lxc.sysctl": [],
    "lxc.sysctl.net.x": ["1", "2"],
    "lxc.net": [],
    "lxc.net.0": [],
    "lxc.net.0.type": ["veth", "macvlan"],
    "lxc.net.0.link": ["br0", "br1"],
    "lxc.net.0.ipv4.address": ["10.0.0.1/24", "10.0.0.2/24"],
    "lxc.net.1.type": ["veth"],
    "lxc.net.1.name": ["eth1"],
}
_SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def config_texts(draw: st.DrawFn, network_resets: bool = True) -> str:
    lines = []
    for _number in range(draw(st.integers(1, 12))):
        key = draw(st.sampled_from(sorted(_POOL)))
        values = [*_POOL[key], *_POOL[key], ""] if network_resets or key.count(".") < 3 else _POOL[key]
        value = draw(st.sampled_from(values)) if _POOL[key] else ""
        equals, end = draw(st.sampled_from([" = ", "=", "\t=  "])), draw(st.sampled_from(["\n", "\r\n", " \n"]))
        lines.append(key + equals + value + end)
    return "".join(lines)


@_SETTINGS
@given(config_texts())
def test_any_document_holds_what_liblxc_holds(folder: Path, text: str) -> None:
    held = load(folder, text)
    assume(held is not None)
    assert held is not None
    assert_same(ConfigDocument.parse(text), held)


@_SETTINGS
@given(config_texts(network_resets=False), st.sampled_from([key for key in _POOL if _POOL[key]]), st.data())
def test_an_edit_changes_that_key_and_no_other(folder: Path, text: str, key: str, data: st.DataObject) -> None:
    before = load(folder, text)
    assume(before is not None)
    row = lookup(key)
    assert row is not None and before is not None
    choices = [value.strip("'") for value in _POOL[key]]
    wanted = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3 if row.multi else 1))
    edited = ConfigDocument.parse(text).with_values(key, wanted)
    after = load(folder, edited.render())
    assert after is not None
    real = after(key)
    assert real is not None and same_values(key, wanted, real), (wanted, real, edited.render())
    assert edited.with_values(key, wanted) == edited
    for other in _POOL:
        if other != key and _POOL[other]:
            # A network that is only now there has defaults where there was nothing.
            assert (before(other) or None) == (after(other) or None) or before(other) is None, (other, edited.render())


@pytest.mark.parametrize("key", all_keys(), ids=lambda key: str(key.name))
def test_the_table_says_which_keys_this_liblxc_takes(folder: Path, key: Key) -> None:
    """liblxc accepts an example of the row's value when the row says so, and refuses the config when it does not."""
    name = key.name.replace(".N", ".0").replace(".*", VALUE_EXAMPLES[key.name].partition("|")[0])
    value = VALUE_EXAMPLES[key.name].rpartition("|")[2]
    try:
        check_key(name, INSTALLED, "config")
        expected = True
    except ValueError:
        expected = False
    lead = ""
    if name.startswith("lxc.net.0.") and name != "lxc.net.0.type":
        kind = name.split(".")[3]
        lead = f"lxc.net.0.type = {kind if kind in ('macvlan', 'ipvlan', 'vlan') else 'veth'}\n"
    if key.name in ("lxc.include", "lxc.log.file"):
        value = str(folder / "file")
        (folder / "file").write_text("")
    assert (load(folder, f"{lead}{name} = {value}\n") is not None) == expected


@pytest.mark.parametrize("key", [key for key in all_keys() if not key.clears], ids=lambda key: str(key.name))
def test_the_table_says_how_many_values_a_key_has(folder: Path, key: Key) -> None:
    """Two lines with the same value are two values of a multi-valued key, and one of another."""
    if key.removed or (key.since or (0, 0)) > INSTALLED:
        return
    name = key.name.replace(".N", ".0").replace(".*", VALUE_EXAMPLES[key.name].partition("|")[0])
    value = VALUE_EXAMPLES[key.name].rpartition("|")[2]
    if key.compare in ("automount", "namespaces") or name.startswith(("lxc.cgroup2.", "lxc.proc.", "lxc.include")):
        # liblxc keeps flags of the first; it writes each line of the second to a file, where the last one counts.
        return
    kind = name.split(".")[3] if name.startswith("lxc.net.0.") else ""
    lead = f"lxc.net.0.type = {kind if kind in ('macvlan', 'ipvlan', 'vlan') else 'veth'}\n" if kind else ""
    held = load(folder, lead + f"{name} = {value}\n" * 2)
    assert held is not None
    real = held(name)
    assert real is not None
    found = ",".join(real).count(",") + 1 if key.compare == "gids" else len(real)
    single = load(folder, lead + f"{name} = {value}\n")
    assert single is not None
    once = single(name) or []
    once_found = ",".join(once).count(",") + 1 if key.compare == "gids" else len(once)
    assert found == (2 if key.multi else 1) * once_found


@pytest.mark.parametrize("text", LEGACY_EXAMPLES.values(), ids=LEGACY_EXAMPLES.keys())
def test_liblxc_takes_a_translated_config(folder: Path, text: str) -> None:
    translated, warnings = translate_text(text, 2)
    assert warnings
    held = load(folder, translated)
    assert held is not None, translated
    assert_same(ConfigDocument.parse(translated), held)


def test_includes_are_read_where_they_stand(folder: Path) -> None:
    parts = folder / "parts"
    parts.mkdir()
    for name, text in (("one.conf", "lxc.group = one\nlxc.uts.name = included\n"), ("two", "lxc.group = ignored\n")):
        (parts / name).write_text(text)
    (folder / "file.conf").write_text(f"lxc.group = file\nlxc.include = {parts}\n")
    text = f"lxc.uts.name = first\nlxc.include = {folder}/file.conf\nlxc.group = last\n"

    def read(path: str) -> Sequence[ConfigDocument]:
        place = Path(path)
        files = place.glob("*.conf") if place.is_dir() else [place]
        return [ConfigDocument.parse(file.read_text()) for file in files]

    flat = flatten(ConfigDocument.parse(text), read)
    held = load(folder, text)
    assert held is not None
    assert flat.values("lxc.group") == ("file", "one", "last") == tuple(held("lxc.group") or ())
    assert flat.get("lxc.uts.name") == "included" == (held("lxc.uts.name") or [""])[0]


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("lxc.signal.halt", "SIGPWR", "30"),
        ("lxc.signal.halt", "SIGRTMIN+3", "SIGRTMAX-27"),
        ("lxc.signal.stop", "sigkill", "9"),
        ("lxc.arch", "amd64", "x86_64"),
        ("lxc.arch", "i386", "linux32"),
        ("lxc.mount.auto", "proc sys", "sys:mixed proc:mixed"),
        ("lxc.mount.auto", "cgroup2 proc:rw", "proc cgroup2:force proc:rw"),
        ("lxc.start.order", "010", "8"),
        ("lxc.start.delay", "0x1f", "31"),
        ("lxc.prlimit.nofile", "1024", "1024 : 1024"),
        ("lxc.prlimit.nofile", "unlimited", "unlimited:unlimited"),
        ("lxc.console.size", "auto", "100KB"),
        ("lxc.console.buffer.size", "1", "4096"),
        ("lxc.log.level", "debug", "1"),
        ("lxc.log.level", "FATAL", "8"),
        ("lxc.rootfs.path", "dir:/a//b/./c/", "dir:/a/b/c"),
        ("lxc.console.path", "/dev//null", "/dev/null"),
        ("lxc.net.0.ipv4.address", "10.0.0.1/24", "10.0.0.1/0x18"),
        ("lxc.net.0.ipv6.address", "FD00:0::1", "fd00::1/64"),
        ("lxc.net.0.flags", "up", "anything"),
        ("lxc.namespace.keep", "net ipc", "IPC net"),
        ("lxc.idmap", "u  0\t100000   65536", "u 0 100000 65536"),
        ("lxc.no_new_privs", "1", "0x1"),
    ],
)
def test_what_counts_as_the_same_is_the_same_to_liblxc(folder: Path, key: str, first: str, second: str) -> None:
    assert same_values(key, [first], [second])
    lead = "lxc.net.0.type = veth\n" if key.startswith("lxc.net.0.") else ""
    one, other = load(folder, f"{lead}{key} = {first}\n"), load(folder, f"{lead}{key} = {second}\n")
    assert one is not None and other is not None
    assert one(key) == other(key)
    assert (one(key) == []) == (key in UNTOLD)
