# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Id maps of containers, subordinate id ranges of users, and the search for a range that nobody has.

Rules from user_namespaces(7), subuid(5) and liblxc's parse_idmaps (src/lxc/confile_utils.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Sequence

from .._errors import InputError

#: The highest id plus one: the kernel keeps (uid_t) -1 for "no id".
ID_LIMIT = 2**32 - 1
#: How many ids a container gets when nobody says: what shadow gives to a user (login.defs(5), SUB_UID_COUNT).
DEFAULT_SIZE = 65536

_MAX_EXTENTS = 340


@dataclass(frozen=True)
class IdRange:
    """`count` ids from `start` on."""

    start: int
    count: int

    @property
    def end(self) -> int:
        """The first id after the range."""
        return self.start + self.count

    def contains(self, other: IdRange) -> bool:
        """Whether every id of `other` is in this range."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: IdRange) -> bool:
        """Whether an id is in both ranges."""
        return max(self.start, other.start) < min(self.end, other.end)


@dataclass(frozen=True)
class IdMapEntry:
    """`count` ids: `inside` and up in the container are `outside` and up on the host. `kind` is "u" or "g"."""

    kind: str
    inside: int
    outside: int
    count: int


@dataclass(frozen=True)
class IdMap:
    """The `lxc.idmap` lines of a container. No entries: a privileged container."""

    entries: tuple[IdMapEntry, ...] = ()

    def render(self) -> tuple[str, ...]:
        """The values of `lxc.idmap`, as "u 0 100000 65536"."""
        return tuple(f"{e.kind} {e.inside} {e.outside} {e.count}" for e in self.entries)

    def host_ranges(self, kind: str) -> tuple[IdRange, ...]:
        """The ids on the host that the container has, in the order of the entries."""
        return tuple(IdRange(e.outside, e.count) for e in self.entries if e.kind == kind)

    def to_host(self, kind: str, inside: int) -> int | None:
        """The id on the host of an id in the container, None if it has none."""
        for e in self.entries:
            if e.kind == kind and e.inside <= inside < e.inside + e.count:
                return inside - e.inside + e.outside
        return None

    def to_container(self, kind: str, outside: int) -> int | None:
        """The id in the container of an id on the host, None if it has none."""
        for e in self.entries:
            if e.kind == kind and e.outside <= outside < e.outside + e.count:
                return outside - e.outside + e.inside
        return None

    def overlaps(self, other: IdMap) -> bool:
        """Whether the two containers share an id on the host."""
        return any(a.overlaps(b) for kind in "ug" for a in self.host_ranges(kind) for b in other.host_ranges(kind))


class NoRange(Exception):
    """No free range of the wanted size: `left` ids are free in all, `largest` of them in one piece."""

    def __init__(self, size: int, left: int, largest: int) -> None:
        if left:
            rest = f"{left} are left, at most {largest} of them in one piece"
        else:
            rest = "none is left"
        super().__init__(f"no {size} subordinate ids in one piece are free: {rest}")
        self.size = size
        self.left = left
        self.largest = largest


def parse_idmap(values: Sequence[str], path: str = "idmap") -> IdMap:
    """The map that liblxc makes of these `lxc.idmap` values, in order. Raises InputError that names a bad one."""
    entries: list[IdMapEntry] = []
    for index, value in enumerate(values):
        here = f"{path}[{index}]"
        if "\n" in value or "\0" in value:
            raise InputError(here, "a value has one line")
        words = value.split()
        if not words:
            entries.clear()
            continue
        if words[0] in ("b", "both"):
            raise InputError(here, f"liblxc has no '{words[0]}' entries; write one 'u' and one 'g' entry")
        numbers = [_parse_number(word) for word in words[1:]]
        if words[0] not in ("u", "g") or len(numbers) != 3 or any(n is None for n in numbers):
            raise InputError(here, f"'{value}' is not 'u' or 'g', first id inside, first id on the host, count")
        inside, outside, count = (n for n in numbers if n is not None)
        entries.append(IdMapEntry(words[0], inside, outside, count))
    return IdMap(tuple(entries))


def check_idmap(idmap: IdMap, path: str = "idmap") -> None:
    """Raise InputError for a map that the kernel or liblxc would refuse at the start of the container."""
    if not idmap.entries:
        return
    for kind, what in (("u", "user"), ("g", "group")):
        mine = [(index, e) for index, e in enumerate(idmap.entries) if e.kind == kind]
        if len(mine) > _MAX_EXTENTS:
            raise InputError(path, f"{len(mine)} '{kind}' entries; the kernel takes {_MAX_EXTENTS}")
        if idmap.to_host(kind, 0) is None:
            raise InputError(path, f"no '{kind}' entry maps {what} id 0 of the container, its root")
        for index, e in mine:
            here = f"{path}[{index}]"
            if e.count < 1:
                raise InputError(here, "the count must be at least 1")
            if max(e.inside, e.outside) + e.count > ID_LIMIT:
                raise InputError(here, f"it goes beyond the highest id, {ID_LIMIT - 1}")
            for earlier, other in mine:
                if earlier >= index:
                    break
                if IdRange(e.inside, e.count).overlaps(IdRange(other.inside, other.count)):
                    raise InputError(here, f"it shares ids of the container with [{earlier}]")
                if IdRange(e.outside, e.count).overlaps(IdRange(other.outside, other.count)):
                    raise InputError(here, f"it shares ids of the host with [{earlier}]")


def parse_subid(text: str, names: Iterable[str]) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]]:
    """The ranges that the owners called `names` have in this text of /etc/subuid or /etc/subgid, and everybody else's.

    `names` are the login name and the number of a user, the two spellings that subuid(5) allows. Lines that shadow
    cannot use are passed over as shadow does (subordinate_parse in lib/subordinateio.c). A range that is there twice
    comes once; overlaps are kept. In the order of the file.
    """
    wanted = set(names)
    own: dict[IdRange, None] = {}
    foreign: dict[IdRange, None] = {}
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) < 3 or not fields[0] or len(line) >= 1024 or fields[0][0] in "+-":
            continue
        start, count = _parse_number(fields[1]), _parse_number(fields[2])
        if start is None or count is None or count == 0 or start >= ID_LIMIT:
            continue
        found = IdRange(start, min(count, ID_LIMIT - start))
        (own if fields[0] in wanted else foreign)[found] = None
    return tuple(own), tuple(foreign)


def intersect(a: Sequence[IdRange], b: Sequence[IdRange]) -> tuple[IdRange, ...]:
    """The ranges of ids that are both in a range of `a` and in one of `b`, by start."""
    found = set()
    for one in a:
        for other in b:
            start, end = max(one.start, other.start), min(one.end, other.end)
            if start < end:
                found.add(IdRange(start, end - start))
    return tuple(sorted(found, key=_by_start))


def allocate(size: int, available: Sequence[IdRange], used: Sequence[IdRange]) -> IdRange:
    """The first `size` ids in one piece that lie in one of the `available` ranges and in none of the `used` ones.

    Starts a multiple of `size` after the start of an available range are tried first, so that ranges of one size leave
    no gaps; then any start. The same arguments give the same range. Raises NoRange.
    """
    if size < 1:
        raise ValueError("a range has at least one id")
    taken = _merged(used)
    gaps = [(home, gap) for home in sorted(set(available), key=_by_start) for gap in _gaps(home, taken)]
    for home, gap in gaps:
        start = home.start + -(-(gap.start - home.start) // size) * size
        if start + size <= gap.end:
            return IdRange(start, size)
    for _home, gap in gaps:
        if gap.count >= size:
            return IdRange(gap.start, size)
    free = _merged([gap for _home, gap in gaps])
    # A piece that spans two available ranges cannot be used as one: newuidmap(1) wants it inside one line.
    raise NoRange(size, sum(r.count for r in free), max((gap.count for _home, gap in gaps), default=0))


def allocate_pair(
    size: int,
    uid_available: Sequence[IdRange],
    gid_available: Sequence[IdRange],
    used_uids: Sequence[IdRange],
    used_gids: Sequence[IdRange],
) -> IdRange:
    """As `allocate`, for a range whose numbers are free as user ids and as group ids. Raises NoRange."""
    return allocate(size, intersect(uid_available, gid_available), [*used_uids, *used_gids])


def choose_map(
    size: int,
    uid_available: Sequence[IdRange],
    gid_available: Sequence[IdRange],
    used_uids: Sequence[IdRange],
    used_gids: Sequence[IdRange],
) -> IdMap:
    """A map of ids 0 to `size`-1 of a container to the first range that is free in both spaces. Raises NoRange."""
    chosen = allocate_pair(size, uid_available, gid_available, used_uids, used_gids)
    return IdMap((IdMapEntry("u", 0, chosen.start, size), IdMapEntry("g", 0, chosen.start, size)))


def _by_start(item: IdRange) -> tuple[int, int]:
    return (item.start, item.count)


def _merged(ranges: Iterable[IdRange]) -> list[IdRange]:
    merged: list[IdRange] = []
    for item in sorted(ranges, key=_by_start):
        if item.count < 1:
            continue
        if merged and item.start <= merged[-1].end:
            last = merged[-1]
            merged[-1] = IdRange(last.start, max(last.end, item.end) - last.start)
        else:
            merged.append(item)
    return merged


def _gaps(home: IdRange, taken: Sequence[IdRange]) -> list[IdRange]:
    gaps = []
    start = home.start
    for item in taken:
        if item.end <= start:
            continue
        if item.start >= home.end:
            break
        if item.start > start:
            gaps.append(IdRange(start, item.start - start))
        start = item.end
    if start < home.end:
        gaps.append(IdRange(start, home.end - start))
    return gaps


def _parse_number(text: str) -> int | None:
    """What strtoul(text, NULL, 0) makes of the whole text; None if it is not a number or is negative."""
    digits = text.strip(" \t\r\n\v\f")
    if digits.startswith("+"):
        digits = digits[1:]
    if not digits.isascii() or not digits.isalnum():
        return None
    if digits[:2] in ("0x", "0X"):
        base, digits = 16, digits[2:]
    elif digits[0] == "0":
        base = 8
    else:
        base = 10
    try:
        return int(digits, base)
    except ValueError:
        return None
