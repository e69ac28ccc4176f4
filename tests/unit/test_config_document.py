# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The config document: what it reads, what an edit leaves alone, and the laws that hold for any text."""

from __future__ import annotations

from typing import Dict, List, Mapping, Sequence, Set, Tuple

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument, flatten
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_bulk import with_all
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import all_keys, lookup, same_values
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_line import parse_line, render_line
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container_config import changed_keys
from hypothesis import given
from hypothesis import strategies as st

parse = ConfigDocument.parse

KEYS = [
    "lxc.uts.name",
    "lxc.start.order",
    "lxc.mount.entry",
    "lxc.hook.start",
    "lxc.hook",
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.cgroup2.memory.max",
    "lxc.cgroup2",
    "lxc.net",
    "lxc.net.0",
    "lxc.net.0.type",
    "lxc.net.0.link",
    "lxc.net.0.ipv4.address",
    "lxc.net.1.link",
    "lxc.no.such.key",
]
SETTABLE = [key for key in KEYS if not getattr(lookup(key), "clears", False)]
texts = st.text(alphabet=st.sampled_from("lxc.nethok=01 \t\r\n#'\"\0\f\x85\u2028é"), max_size=60) | st.text(max_size=40)
values = st.text(alphabet=st.sampled_from("ab '\"=#\té\x0b\u2028"), min_size=1, max_size=6)


@st.composite
def configs(draw: st.DrawFn) -> str:
    lines = []
    for _number in range(draw(st.integers(0, 10))):
        if draw(st.integers(0, 4)) == 0:
            lines.append(draw(st.sampled_from(["", "# text", " #lxc.uts.name = a", "other = x", "\f", "lxc.broken"])))
        else:
            value = draw(st.sampled_from(["", "a", "b", "'a'", '" b "', "a b"]))
            lines.append(draw(st.sampled_from(KEYS)) + draw(st.sampled_from(["=", " = ", "\t= "])) + value)
    text = draw(st.sampled_from(["\n", "\r\n"])).join(lines)
    return text + draw(st.sampled_from(["", "\n"]))


@given(texts | configs())
def test_every_text_survives_parsing(text: str) -> None:
    assert parse(text).render() == text


@given(st.text(alphabet="=' \"\t\r.ab", max_size=12), st.sampled_from(["\n", "\r\n", ""]))
def test_a_line_is_read_alike_whether_its_key_is_known_or_not(rest: str, end: str) -> None:
    parse_line("lxc.uts.name = known\n")
    # A blank in front means nothing, but no line that is written as usual has one.
    assert parse_line(f"lxc.uts.name{rest}{end}")[1:] == parse_line(f" lxc.uts.name{rest}{end}")[1:]


def wanted_values(data: st.DataObject, key: str) -> List[str]:
    row = lookup(key)
    return data.draw(st.lists(values, max_size=3 if row is None or row.multi else 1))


@given(configs(), st.sampled_from(SETTABLE), st.data())
def test_what_was_set_is_what_is_read(text: str, key: str, data: st.DataObject) -> None:
    wanted = wanted_values(data, key)
    edited = parse(text).with_values(key, wanted)
    assert edited.values(key) == tuple(wanted)
    assert parse(edited.render()) == edited


@given(configs(), st.sampled_from(SETTABLE), st.data())
def test_setting_twice_is_setting_once(text: str, key: str, data: st.DataObject) -> None:
    wanted = wanted_values(data, key)
    edited = parse(text).with_values(key, wanted)
    assert edited.with_values(key, wanted) == edited


@given(configs(), st.sampled_from(SETTABLE), st.data())
def test_an_edit_leaves_other_keys_and_lines_alone(text: str, key: str, data: st.DataObject) -> None:
    document = parse(text)
    edited = document.with_values(key, wanted_values(data, key))
    for other in KEYS:
        if other == key or (key.endswith(".type") and other.startswith(key[:-4])):
            continue
        assert edited.values(other) == document.values(other), other
    foreign = [line.text.rstrip("\n") for line in document.lines if line.key != key]
    after = [line.text.rstrip("\n") for line in edited.lines if line.key != key]
    if not key.endswith(".type"):
        assert after == foreign


@given(configs(), st.sampled_from(["veth", "phys"]))
def test_the_type_of_a_network_leaves_its_other_keys_alone(text: str, kind: str) -> None:
    document = parse(text)
    edited = document.with_values("lxc.net.0.type", [kind])
    for other in KEYS:
        if other != "lxc.net.0.type":
            assert edited.values(other) == document.values(other), other


@given(configs(), st.sampled_from(SETTABLE))
def test_what_was_removed_is_gone(text: str, key: str) -> None:
    document = parse(text)
    assert document.without(key).values(key) == ()
    assert document.with_cleared(key).values(key) == ()
    assert document.with_cleared(key).with_cleared(key) == document.with_cleared(key)


def in_turn(document: ConfigDocument, wanted: Mapping[str, Sequence[str]]) -> ConfigDocument:
    for key, found in wanted.items():
        document = document.with_values(key, found)
    return document


@given(
    st.lists(st.tuples(st.sampled_from([*KEYS, "# text"]), values), max_size=8),
    st.lists(st.sampled_from(SETTABLE), unique=True, min_size=1),
    st.data(),
)
def test_setting_many_at_once_is_setting_one_after_the_other(
    lines: List[Tuple[str, str]], keys: List[str], data: st.DataObject
) -> None:
    document = parse("".join(key + "\n" if key[0] == "#" else render_line(key, value) for key, value in lines))
    wanted = {key: wanted_values(data, key) for key in keys}
    result = with_all(document, list(wanted.items()))
    if result is not None:
        assert result == in_turn(document, wanted)
        assert result.render() == in_turn(document, wanted).render()


@given(configs(), st.lists(st.sampled_from(SETTABLE), unique=True, min_size=1), st.data())
def test_whatever_is_in_the_document(text: str, keys: List[str], data: st.DataObject) -> None:
    wanted = {key: [value + "x" for value in wanted_values(data, key)] for key in keys}
    try:
        result = with_all(parse(text), list(wanted.items()))
    except InputError:
        return
    assert result is None or result.render() == in_turn(parse(text), wanted).render()


def test_siblings_are_set_at_once_and_alike() -> None:
    text = "# mine\nlxc.uts.name = {0}\nlxc.net.0.link = br0\nlxc.start.order = 5\n"
    for name in ("a", "b"):
        wanted = {
            "lxc.net.0.type": ["veth"],
            "lxc.start.order": ["7"],
            "lxc.environment": [f"A={name}", "B=1"],
            "lxc.net.1.type": ["empty"],
        }
        result = with_all(parse(text.format(name)), list(wanted.items()))
        assert result is not None
        assert result.render() == (
            f"# mine\nlxc.uts.name = {name}\nlxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.1.type = empty\n"
            f"lxc.start.order = 7\nlxc.environment = A={name}\nlxc.environment = B=1\n"
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lxc.uts.name = a",
        "lxc.uts.name = a\r\n",
        "lxc.hook =\n",
        "a\0b\n",
        "lxc.start.order = 1\nlxc.start.order = 2\n",
    ],
)
def test_what_is_unusual_is_set_one_after_the_other(text: str) -> None:
    assert with_all(parse(text), [("lxc.start.order", ["7"]), ("lxc.tty.max", ["1"])]) is None


@pytest.mark.parametrize("key", ["lxc.sysctl.a=b", "lxc.sysctl.a ", "lxc.sysctl.a = b", "lxc.net.00.link"])
def test_keys_that_would_be_read_as_others_are_not_set_at_once(key: str) -> None:
    document = parse("lxc.uts.name = a\n")
    assert with_all(document, [(key, ["1"]), ("lxc.tty.max", ["4"])]) is None
    assert with_all(document, [("lxc.sysctl.a", ["1"]), ("lxc.tty.max", ["4"])]) is not None


def test_keys_with_several_values_are_set_one_after_the_other() -> None:
    document = parse("lxc.environment = A=1\n")
    assert with_all(document, [("lxc.environment", ["A=1", "B=1"])]) is None
    with pytest.raises(InputError, match="takes one value, 2 were given"):
        with_all(document, [("lxc.uts.name", ["a", "b"])])


@given(configs(), configs(), st.sets(st.integers(0, 9)))
def test_a_change_of_values_is_found_alike_in_documents_of_one_layout(one: str, other: str, same: Set[int]) -> None:
    before, after = parse(one), parse(other)
    keys = dict.fromkeys([*after.keys(), *before.keys()])
    expected = [key for key in keys if not same_values(key, before.values(key), after.values(key))]
    assert list(changed_keys(before, after)) == expected
    values = iter("cdefghijklmnopq")
    lines = [
        line if not line.key or number in same else parse_line(render_line(line.key, next(values)))
        for number, line in enumerate(before.lines)
    ]
    moved = ConfigDocument(tuple(lines))
    keys = dict.fromkeys([*moved.keys(), *before.keys()])
    expected = [key for key in keys if not same_values(key, before.values(key), moved.values(key))]
    assert list(changed_keys(before, moved)) == expected


def test_changed_keys_have_the_order_of_the_document_whatever_lines_of_theirs_differ() -> None:
    before = parse("lxc.group = a\nlxc.uts.name = a\nlxc.group = b\n")
    after = "lxc.group = a\nlxc.uts.name = b\nlxc.group = c\n"
    assert changed_keys(before, parse(after)) == ("lxc.group", "lxc.uts.name")
    assert changed_keys(before, parse("# other layout\n" + after)) == ("lxc.group", "lxc.uts.name")


def test_a_single_value_that_goes_to_and_fro_stays_one_line() -> None:
    document = parse("# mine\nlxc.start.order = 5\nlxc.uts.name = a\n")
    for value in ("7", "5", "9"):
        document = document.with_values("lxc.start.order", [value])
        assert document.render() == f"# mine\nlxc.start.order = {value}\nlxc.uts.name = a\n"


def test_duplicates_that_others_left_become_one_line() -> None:
    document = parse("lxc.start.order = 5\nlxc.start.auto = 1\nlxc.start.order = 7\n")
    assert document.get("lxc.start.order") == "7"
    assert document.with_values("lxc.start.order", ["5"]).render() == "lxc.start.auto = 1\nlxc.start.order = 5\n"
    assert document.with_values("lxc.start.order", ["7"]).render() == "lxc.start.auto = 1\nlxc.start.order = 7\n"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["a x", "b x", "c x"], "# a\nlxc.mount.entry=a x\n# b\nlxc.mount.entry  =  b x\n\nlxc.mount.entry = c x\n"),
        (["a x", "c x"], "# a\nlxc.mount.entry=a x\n# b\n\nlxc.mount.entry = c x\n"),
        (["a x", "B", "c x"], "# a\nlxc.mount.entry=a x\nlxc.mount.entry = B\n# b\n\nlxc.mount.entry = c x\n"),
        (["0", "b x"], "# a\n# b\nlxc.mount.entry = 0\nlxc.mount.entry  =  b x\n\n"),
        (["c x", "a x"], "# a\n# b\n\nlxc.mount.entry = c x\nlxc.mount.entry = a x\n"),
        (["new"], "# a\nlxc.mount.entry = new\n# b\n\n"),
        ([], "# a\n# b\n\n"),
    ],
)
def test_a_list_is_edited_line_by_line(wanted: Sequence[str], expected: str) -> None:
    document = parse("# a\nlxc.mount.entry=a x\n# b\nlxc.mount.entry  =  b x\n\nlxc.mount.entry = c x\n")
    assert document.with_values("lxc.mount.entry", wanted).render() == expected


def test_a_value_that_stays_leaves_the_file_as_it_is() -> None:
    document = parse("lxc.mount.entry='a  b'\r\n  lxc.uts.name\t=x")
    assert document.with_values("lxc.mount.entry", ["a  b"]) is document
    assert document.with_values("lxc.uts.name", ["x"]) is document


@pytest.mark.parametrize(
    ("before", "key", "value", "after"),
    [
        ("lxc.start.auto = 1\n# end\n", "lxc.start.order", "5", "lxc.start.auto = 1\nlxc.start.order = 5\n# end\n"),
        ("lxc.uts.name = a\n# end\n", "lxc.start.order", "5", "lxc.uts.name = a\n# end\nlxc.start.order = 5\n"),
        ("lxc.uts.name = a", "lxc.start.order", "5", "lxc.uts.name = a\nlxc.start.order = 5\n"),
        ("lxc.uts.name = a\r\n", "lxc.start.order", "5", "lxc.uts.name = a\r\nlxc.start.order = 5\r\n"),
        ("", "lxc.start.order", "5", "lxc.start.order = 5\n"),
        (
            "lxc.net.0.type = veth\nlxc.net.1.type = veth\n",
            "lxc.net.0.link",
            "br0",
            "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.1.type = veth\n",
        ),
        (
            "lxc.net.0.type = veth\n# end\n",
            "lxc.net.1.type",
            "veth",
            "lxc.net.0.type = veth\nlxc.net.1.type = veth\n# end\n",
        ),
        ("lxc.net.0.link = br0\n", "lxc.net.0.type", "veth", "lxc.net.0.type = veth\nlxc.net.0.link = br0\n"),
        (
            "lxc.net.0.link = a\nlxc.net =\nlxc.uts.name = a\n",
            "lxc.net.0.link",
            "b",
            "lxc.net.0.link = a\nlxc.net =\nlxc.uts.name = a\nlxc.net.0.link = b\n",
        ),
    ],
)
def test_new_lines_stand_with_their_family(before: str, key: str, value: str, after: str) -> None:
    assert parse(before).with_values(key, [value]).render() == after


def test_a_whole_network_can_go() -> None:
    document = parse("lxc.net.1.type = veth\nlxc.net.10.type = veth\n# x\nlxc.net.1 =\nlxc.net.1.link = a\n")
    assert document.without_prefix("lxc.net.1.").render() == "lxc.net.10.type = veth\n# x\n"


def test_clearing_says_so_to_what_was_included() -> None:
    document = parse("lxc.include = /common\nlxc.cap.drop = a\nlxc.cap.drop = b\n")
    assert document.with_cleared("lxc.cap.drop").render() == "lxc.include = /common\nlxc.cap.drop =\n"
    kept = parse("lxc.include = /common\nlxc.cap.drop =\nlxc.cap.drop = a\n")
    assert kept.with_values("lxc.cap.drop", []).render() == "lxc.include = /common\nlxc.cap.drop =\n"


def test_entries_keys_and_includes() -> None:
    text = "lxc.group = a\nlxc.include = /x\nlxc.group =\nlxc.uts.name = b\nlxc.include='/y'\nlxc.group = c\n"
    document = parse(text)
    assert list(document.entries())[2] == ("lxc.group", "")
    assert document.keys() == ("lxc.group", "lxc.include", "lxc.uts.name")
    assert document.includes() == ("/x", "/y")


def test_what_liblxc_refuses_is_found() -> None:
    assert parse("# lxc.a\nlxc.a = 1\nother\n").malformed() == ()
    assert parse("lxc.a\n lxc.b c\n").malformed() == ("lxc.a", "lxc.b c")
    assert parse("lxc.a = 1\0lxc.b = 2\n").malformed() != ()


@pytest.mark.parametrize("value", ["a\nlxc.rootfs.path = /", "a\r", "\0"])
def test_a_value_cannot_bring_a_line_of_its_own(value: str) -> None:
    for key in ("lxc.uts.name", "lxc.mount.entry"):
        with pytest.raises(InputError, match="newline or a NUL"):
            parse("").with_values(key, [value])
    with pytest.raises(InputError, match="newline or a NUL"):
        render_line(f"lxc.a{value}", "x")


def test_what_cannot_be_edited_is_refused() -> None:
    with pytest.raises(InputError, match="takes one value, 2 were given"):
        parse("").with_values("lxc.uts.name", ["a", "b"])
    with pytest.raises(InputError, match="takes no value"):
        parse("").with_values("lxc.net.0", ["a"])
    with pytest.raises(InputError, match="empty value"):
        parse("").with_values("lxc.uts.name", [""])
    with pytest.raises(InputError, match="NUL"):
        parse("lxc.a = 1\n\0").with_values("lxc.uts.name", ["a"])


def test_includes_stand_where_they_are_included() -> None:
    files: Dict[str, List[str]] = {
        "/a": ["lxc.group = a\nlxc.include = /b\nlxc.group = a2"],
        "/b": ["lxc.group = b1\n", "lxc.group = b2\nlxc.include = /a\n"],
        "/none": [],
    }
    document = parse("lxc.include = /none\nlxc.group = 1\nlxc.include = /a\nlxc.include =\nlxc.group = 2\n")
    flat = flatten(document, lambda path: [parse(text) for text in files[path]])
    assert flat.values("lxc.group") == ("1", "a", "b1", "b2", "a2", "2")
    assert flat.includes() == ()
    assert parse(flat.render()).values("lxc.group") == flat.values("lxc.group")


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("lxc.uts.name = a\rlxc.uts.name = b\r\n", "lxc.uts.name", ("b",)),
        ("lxc.uts.name = ' a '\n", "lxc.uts.name", (" a ",)),
        ("lxc.uts.name = \"a'\n", "lxc.uts.name", ("\"a'",)),
        ("lxc.uts.name = a # b\n", "lxc.uts.name", ("a # b",)),
        (" # lxc.uts.name = a\n", "lxc.uts.name", ()),
        ("lxc.uts.name = a\nlxc.uts.name =\n", "lxc.uts.name", ()),
        ("lxc.uts.name = a\n\0lxc.uts.name = b\n", "lxc.uts.name", ("a",)),
        ("lxc.idmap = u 0 1 2\nlxc.idmap =\nlxc.idmap = g 0 1 2\n", "lxc.idmap", ("g 0 1 2",)),
        ("lxc.cap.drop = a\nlxc.cap.keep =\nlxc.cap.drop = b\n", "lxc.cap.drop", ("b",)),
        ("lxc.cap.keep = a\nlxc.cap.drop =\n", "lxc.cap.keep", ()),
        ("lxc.hook.start = a\nlxc.hook.start = b\n", "lxc.hook.start", ("a", "b")),
        ("lxc.hook.start = a\nlxc.hook =\nlxc.hook.start = b\n", "lxc.hook.start", ("b",)),
        ("lxc.hook.version = 1\nlxc.hook =\n", "lxc.hook.version", ("1",)),
        ("lxc.cgroup2.pids.max = 1\nlxc.cgroup2 =\n", "lxc.cgroup2.pids.max", ()),
        ("lxc.cgroup.pids.max = 1\nlxc.cgroup =\n", "lxc.cgroup.pids.max", ()),
        ("lxc.cgroup.dir = a\nlxc.cgroup =\n", "lxc.cgroup.dir", ("a",)),
        ("lxc.prlimit.nofile = 1\nlxc.prlimit =\n", "lxc.prlimit.nofile", ()),
        ("lxc.sysctl.a = 1\nlxc.sysctl =\n", "lxc.sysctl.a", ()),
        ("lxc.proc.a = 1\nlxc.proc =\n", "lxc.proc.a", ()),
        ("lxc.net.0.link = a\nlxc.net.0.type = veth\n", "lxc.net.0.link", ()),
        ("lxc.net.0.link = a\nlxc.net.1.type = veth\n", "lxc.net.0.link", ("a",)),
        ("lxc.net.0.link = a\nlxc.net.0 =\n", "lxc.net.0.link", ()),
        ("lxc.net.0.type = a\nlxc.net =\n", "lxc.net.0.type", ()),
        ("lxc.net.007.link = a\n", "lxc.net.7.link", ("a",)),
    ],
)
def test_reading_follows_liblxc(text: str, key: str, expected: Sequence[str]) -> None:
    assert parse(text).values(key) == expected


def test_these_keys_collect_their_lines_and_no_others() -> None:
    many = [row.name[4:] for row in all_keys() if row.multi and not row.name.startswith("lxc.cgroup")]
    expected = """
        apparmor.raw cap.drop cap.keep environment environment.hooks environment.runtime group idmap include init.groups
        hook.autodev hook.clone hook.destroy hook.mount hook.post-stop hook.pre-mount hook.pre-start hook.start
        hook.start-host hook.stop mount.auto mount.entry namespace.clone namespace.keep net.N.ipv4.address
        net.N.ipv6.address net.N.veth.ipv4.route net.N.veth.ipv6.route net.N.veth.vlan.tagged.id
    """
    assert sorted(many) == sorted(expected.split())
