# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Id maps, subordinate ranges, and the search for a free range."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError, OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.accounts import subordinate_ranges
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.idmap import (
    ID_LIMIT,
    IdMap,
    IdMapEntry,
    IdRange,
    NoRange,
    allocate,
    allocate_pair,
    check_idmap,
    choose_map,
    intersect,
    parse_idmap,
    parse_subid,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("u 0 100000 65536", "u 0 100000 65536"),
        (" \tg   0\t100000  65536 ", "g 0 100000 65536"),
        ("u 0x10 0100 1", "u 16 64 1"),
        ("u +1 +2 3", "u 1 2 3"),
    ],
)
def test_parse_as_liblxc(value: str, wanted: str) -> None:
    assert parse_idmap([value]).render() == (wanted,)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("b 0 100000 65536", "liblxc has no 'b' entries"),
        ("uid 0 1 2", "is not 'u' or 'g'"),
        ("u0 1 2 3", "is not"),
        ("u 0 1", "is not"),
        ("u 0 1 2 3", "is not"),
        ("u -1 1 2", "is not"),
        ("u 0 1_000 2", "is not"),
        ("u 0 08 2", "is not"),
        ("u 0 ٣ 2", "is not"),
        ("u 0 1 2\nlxc.uts.name = x", "one line"),
        ("u 0 1 2\0", "one line"),
    ],
)
def test_refused_with_its_index(value: str, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        parse_idmap(["g 0 0 1", value])
    assert caught.value.path == "idmap[1]"


def test_an_empty_value_clears() -> None:
    assert parse_idmap(["u 0 1 2", "", "g 0 1 2"]).render() == ("g 0 1 2",)


def test_both_directions() -> None:
    idmap = parse_idmap(["u 0 100000 1000", "u 1000 1000 1", "u 1001 101001 64535", "g 0 200000 65536"])
    check_idmap(idmap)
    assert [idmap.to_host("u", n) for n in (0, 999, 1000, 1001, 65535, 65536)] == [
        100000, 100999, 1000, 101001, 165535, None,
    ]  # fmt: skip
    assert [idmap.to_container("u", n) for n in (100999, 101000, 1000, 101001, 0)] == [999, None, 1000, 1001, None]
    assert idmap.to_host("g", 1) == 200001
    assert idmap.host_ranges("u") == (IdRange(100000, 1000), IdRange(1000, 1), IdRange(101001, 64535))


@pytest.mark.parametrize(
    ("values", "path", "problem"),
    [
        (["u 0 100000 10"], "idmap", "no 'g' entry maps group id 0"),
        (["u 1 100000 10", "g 0 100000 10"], "idmap", "no 'u' entry maps user id 0"),
        (["u 0 1 10", "g 0 1 10", "g 10 5 10"], "idmap[2]", "ids of the host with [1]"),
        (["u 0 1 10", "g 0 1 10", "u 9 50 10"], "idmap[2]", "ids of the container with [0]"),
        (["u 0 1 10", "g 0 1 10", "u 10 50 0"], "idmap[2]", "at least 1"),
        (["u 0 4294967290 5", "g 0 4294967290 6"], "idmap[1]", "beyond the highest id"),
        (["u 0 0 1", *(f"u {n} {n} 1" for n in range(1, 341)), "g 0 0 1"], "idmap", "341 'u' entries"),
    ],
)
def test_check(values: list[str], path: str, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        check_idmap(parse_idmap(values))
    assert caught.value.path == path


def test_privileged_is_a_map_without_entries() -> None:
    check_idmap(IdMap())
    assert not IdMap().overlaps(parse_idmap(["u 0 1 2"]))


def test_overlap_is_by_kind() -> None:
    a = parse_idmap(["u 0 100 10", "g 0 200 10"])
    assert not a.overlaps(parse_idmap(["u 0 200 10", "g 0 100 10"]))
    assert a.overlaps(parse_idmap(["u 0 500 10", "g 0 209 10"]))


def test_subid_as_shadow_reads_it() -> None:
    text = "\n".join(
        [
            "# root:1:1",
            "root:100000:65536",
            "0:300000:0x100",
            "root:100000:65536",
            "other:200000:65536",
            "root:400000",
            "root:500000:x",
            "root::1",
            ":1:1",
            "root:-5:1",
            "root:600000:10:ignored",
            "+root:1:1",
            " root:700000:10",
            "root:800000:0",
            "root:4294967290:100",
            "root:99999999999:1",
            "root:900000:10" + " " * 1024,
            "",
        ]
    )
    own, foreign = parse_subid(text, {"root", "0"})
    assert own == (IdRange(100000, 65536), IdRange(300000, 256), IdRange(600000, 10), IdRange(4294967290, 5))
    # "# root" and " root" are owners that no account has; their ranges are not ours.
    assert foreign == (IdRange(1, 1), IdRange(200000, 65536), IdRange(700000, 10))


def test_aligned_first_then_any_gap() -> None:
    home = [IdRange(1000, 100)]
    assert allocate(10, home, []) == IdRange(1000, 10)
    assert allocate(10, home, [IdRange(1000, 1)]) == IdRange(1010, 10)
    assert allocate(10, home, [IdRange(995, 6), IdRange(1015, 1)]) == IdRange(1020, 10)
    assert allocate(10, home, [IdRange(1000, 5), IdRange(1015, 85)]) == IdRange(1005, 10)
    assert allocate(10, [IdRange(0, 5), *home], []) == IdRange(1000, 10)


def test_nothing_left_says_how_much() -> None:
    with pytest.raises(NoRange) as caught:
        allocate(10, [IdRange(0, 20), IdRange(15, 5)], [IdRange(4, 8)])
    assert (caught.value.left, caught.value.largest) == (12, 8)
    assert str(caught.value) == (
        "no 10 subordinate ids in one piece are free: 12 are left, at most 8 of them in one piece"
    )
    with pytest.raises(NoRange, match="none is left"):
        allocate(1, [], [])


def test_pair_is_free_in_both_spaces() -> None:
    uids, gids = [IdRange(100000, 200000)], [IdRange(165536, 200000)]
    found = allocate_pair(65536, uids, gids, [IdRange(165536, 1)], [])
    assert found == IdRange(231072, 65536)
    assert choose_map(10, uids, gids, [], []).render() == ("u 0 165536 10", "g 0 165536 10")
    with pytest.raises(NoRange):
        allocate_pair(1, [IdRange(0, 10)], [IdRange(10, 10)], [], [])


ranges = st.builds(IdRange, st.integers(0, 400), st.integers(1, 120))
some = st.lists(ranges, max_size=6)


def ids(found: IdRange) -> set[int]:
    return set(range(found.start, found.end))


@given(st.integers(1, 60), some, some)
def test_law_of_allocate(size: int, available: list[IdRange], used: list[IdRange]) -> None:
    taken = set().union(*map(ids, used))
    fits = [
        start
        for home in available
        for start in range(home.start, home.end - size + 1)
        if not taken & set(range(start, start + size))
    ]
    try:
        found = allocate(size, available, used)
    except NoRange as error:
        assert not fits
        assert error.left == len(set().union(*map(ids, available)) - taken)
        assert error.largest < size
        return
    assert found.count == size
    assert any(home.contains(found) for home in available)
    assert not any(found.overlaps(other) for other in used)
    assert found == allocate(size, list(reversed(available)), list(reversed(used)))
    aligned = [s for s in fits if any(h.start <= s <= h.end - size and (s - h.start) % size == 0 for h in available)]
    if aligned:
        assert found.start in aligned
    else:
        assert found.start == min(fits)


@given(st.lists(st.integers(1, 30), max_size=12), some, some, some)
def test_law_of_maps(sizes: list[int], uids: list[IdRange], gids: list[IdRange], used: list[IdRange]) -> None:
    maps: list[IdMap] = []
    for size in sizes:
        try:
            maps.append(
                choose_map(
                    size,
                    uids,
                    gids,
                    [*used, *(r for m in maps for r in m.host_ranges("u"))],
                    [r for m in maps for r in m.host_ranges("g")],
                )
            )
        except NoRange:
            continue
    for index, one in enumerate(maps):
        check_idmap(one)
        assert parse_idmap(one.render()) == one
        assert not any(one.overlaps(other) for other in maps[:index])
        for kind, available in (("u", uids), ("g", gids)):
            assert all(any(home.contains(r) for home in available) for r in one.host_ranges(kind))
        assert one.host_ranges("u") == one.host_ranges("g")
        assert not any(a.overlaps(b) for a in one.host_ranges("u") for b in used)


@given(some, some)
def test_law_of_intersect(a: list[IdRange], b: list[IdRange]) -> None:
    both = set().union(*map(ids, a)) & set().union(*map(ids, b))
    assert set().union(*map(ids, intersect(a, b))) == both


entries = st.builds(
    IdMapEntry, st.sampled_from("ug"), st.integers(0, ID_LIMIT), st.integers(0, ID_LIMIT), st.integers(0, ID_LIMIT)
)


@given(st.lists(entries, max_size=5))
def test_law_of_round_trip(found: list[IdMapEntry]) -> None:
    idmap = IdMap(tuple(found))
    assert parse_idmap(idmap.render()) == idmap


def test_ranges_of_a_user(tmp_path: Path) -> None:
    uids, gids = tmp_path / "subuid", tmp_path / "subgid"
    uids.write_text("root:100000:10\n0:200000:10\nnobody:300000:10\n")
    gids.write_text("nobody:400000:10\n")
    mine = subordinate_ranges("root", str(uids), str(gids))
    assert (mine.uids, mine.gids) == ((IdRange(100000, 10), IdRange(200000, 10)), ())
    assert (mine.foreign_uids, mine.foreign_gids) == ((IdRange(300000, 10),), (IdRange(400000, 10),))
    assert subordinate_ranges(0, str(uids), str(gids)) == mine
    if os.geteuid() == 0:
        assert subordinate_ranges(None, str(uids), str(gids)) == mine
    assert subordinate_ranges(4242424, str(uids), str(tmp_path / "missing")).uids == ()
    with pytest.raises(OperationError, match="Cannot find user 'no such user'"):
        subordinate_ranges("no such user", str(uids), str(gids))
