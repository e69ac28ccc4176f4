# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lxc.container.conf document: an ordered list of lines that survives editing byte for byte.

The reading rules are liblxc's (src/lxc/confile.c parse_line, src/lxc/parse.c): a carriage return ends a line as a
newline does, only whole-line comments, keys that do not begin with `lxc.` mean nothing, one pair of quotes around a
value is dropped, an empty value clears the key, a NUL ends the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from .._errors import InputError
from .config_keys import lookup
from .config_line import Line, parse_line, render_line, split_lines

_FAMILIES = ("lxc.cgroup.", "lxc.cgroup2.", "lxc.prlimit.", "lxc.sysctl.", "lxc.proc.", "lxc.hook.")
#: Single directories and files that share the prefix of a family but are not cleared with it.
_APART = ("lxc.hook.version", "lxc.cgroup.relative")


@lru_cache(maxsize=4096)
def _clearers(key: str) -> Tuple[str, ...]:
    """The other keys whose empty value clears `key` too."""
    if key.startswith("lxc.net."):
        network = ".".join(key.split(".")[:3])
        return ("lxc.net", network) if key != network else ("lxc.net",)
    if key == "lxc.cap.drop":
        return ("lxc.cap.keep",)
    if key == "lxc.cap.keep":
        return ("lxc.cap.drop",)
    for prefix in _FAMILIES:
        if key.startswith(prefix) and key not in _APART and not key.startswith("lxc.cgroup.dir"):
            return (prefix[:-1],)
    return ()


@lru_cache(maxsize=4096)
def _resetter(key: str) -> str:
    """The key whose every line, empty or not, forgets what `key` had: the type of a network, "" for none."""
    if key.startswith("lxc.net.") and key.count(".") > 2:
        kind = ".".join(key.split(".")[:3]) + ".type"
        return "" if key == kind else kind
    return ""


@lru_cache(maxsize=256)
def _places_of(layout: Tuple[Optional[str], ...]) -> Mapping[str, Sequence[int]]:
    """The indexes of each key's lines. Most of a fleet's documents have one layout."""
    places: Dict[str, List[int]] = {}
    for index, key in enumerate(layout):
        if key:
            places.setdefault(key, []).append(index)
    return places


@lru_cache(maxsize=256)
def _keys_of(layout: Tuple[Optional[str], ...]) -> Tuple[str, ...]:
    """The keys that have a value, where no line clears any."""
    places = _places_of(layout)
    return tuple([key for key in places if places[key][-1] > places.get(_resetter(key), (-1,))[-1]])


@dataclass(frozen=True)
class ConfigDocument:
    """A config file as a value: reading and editing give new documents, `parse(t).render() == t` for every text."""

    lines: Tuple[Line, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ConfigDocument:
        """The document of a text. Never fails: what liblxc would refuse is found by `malformed`."""
        head, nul, tail = text.partition("\0")
        lines = [parse_line(piece) for piece in split_lines(head)]
        if nul:
            lines.append(Line(nul + tail, None, ""))
        return cls(tuple(lines))

    def render(self) -> str:
        """The text, byte for byte."""
        return "".join([line.text for line in self.lines])

    def malformed(self) -> Tuple[str, ...]:
        """Lines because of which liblxc refuses the whole file (`lxc.` without `=`) or stops reading it (NUL)."""
        keyless = [line.text for line in self.lines if line.key is None]
        return tuple([text.strip() for text in keyless if text.lstrip(" \t").startswith(("lxc.", "\0"))])

    def entries(self) -> Iterator[Tuple[str, str]]:
        """Every (key, value) line in order; the value is "" where the line clears."""
        for line in self.lines:
            if line.key is not None:
                yield line.key, line.value

    @cached_property
    def layout(self) -> Tuple[Optional[str], ...]:
        """The key of each line, None where there is none; with an empty one added if a line clears its key."""
        keys = tuple([line[1] for line in self.lines])
        clears = [line for line in self.lines if not line[2] and line[1] is not None]
        return (*keys, "") if clears else keys

    @cached_property
    def _places(self) -> Mapping[str, Sequence[int]]:
        """The indexes of each key's lines; by "" those of lines without a value."""
        layout = self.layout
        places = _places_of(layout)
        if layout[-1:] == ("",):
            return {**places, "": [n for n, line in enumerate(self.lines) if line.key is not None and not line.value]}
        return places

    def _alive(self, key: str) -> Tuple[Sequence[int], int]:
        """The indexes of the lines that give `key` its values, and the first index where a new one would be heard."""
        places = self._places
        own = places.get(key, ())
        start = 0
        for index in places.get("", ()):
            if self.lines[index].key == key or self.lines[index].key in _clearers(key):
                start = index + 1
        resetter = _resetter(key)
        if resetter and resetter in places:
            start = max(start, places[resetter][-1] + 1)
        found = [index for index in own if index >= start] if start else own
        row = lookup(key)
        if row is not None and not row.multi:
            found = found[-1:]
        return found, start

    def values(self, key: str) -> Tuple[str, ...]:
        """What liblxc holds for the key after the whole file: all values of a multi-valued key, else the last one."""
        places = self._places
        own = places.get(key, ())
        if len(own) == 1 and "" not in places and own[0] > places.get(_resetter(key), (-1,))[-1]:
            return (self.lines[own[0]].value,)
        return tuple([self.lines[index].value for index in self._alive(key)[0]]) if own else ()

    def get(self, key: str) -> Optional[str]:
        """The last value, None without one."""
        values = self.values(key)
        return values[-1] if values else None

    def keys(self) -> Tuple[str, ...]:
        """The keys that have a value, in the order in which they first appear."""
        if "" in self._places:
            seen = dict.fromkeys(line.key for line in self.lines if line.key is not None and line.value)
            return tuple([key for key in seen if self._alive(key)[0]])
        return _keys_of(self.layout)

    def includes(self) -> Tuple[str, ...]:
        """The paths of every lxc.include, in order. An empty one clears nothing."""
        return tuple([line.value for line in self.lines if line.key == "lxc.include" and line.value])

    def _place(self, key: str, start: int) -> int:
        """Where a new line of a key that has none belongs."""
        prefixes = [key.rpartition(".")[0] + "."]
        if key.startswith("lxc.net."):
            network = ".".join(key.split(".")[:3]) + "."
            prefixes = [network, "lxc.net."]
            if key == network + "type":
                # The type must stand before what it would otherwise reset.
                for index in range(start, len(self.lines)):
                    if (self.lines[index].key or "").startswith(network):
                        return index
        for wanted in [key] + prefixes:
            for index in range(len(self.lines) - 1, max(start - 1, 0) - 1, -1):
                name = self.lines[index].key
                if name is not None and (name == wanted or (wanted[-1] == "." and name.startswith(wanted))):
                    return index + 1
        return len(self.lines)

    def _edited(self, remove: Sequence[int], insert: Dict[int, List[Line]]) -> ConfigDocument:
        lines = list(self.lines)
        for index in sorted({*remove, *insert}, reverse=True):
            if index == len(self.lines) and lines and not lines[-1].text.endswith(("\n", "\r")):
                lines[-1] = lines[-1]._replace(text=lines[-1].text + "\n")
            lines[index : index + (index in remove)] = insert.get(index, ())
        return ConfigDocument(tuple(lines))

    def _new(self, key: str, value: str) -> Line:
        end = "\r\n" if self.lines and self.lines[0].text.endswith("\r\n") else "\n"
        return parse_line(render_line(key, value, end))

    def with_values(self, key: str, values: Sequence[str]) -> ConfigDocument:
        """The smallest edit that makes `values(key)` equal `values`; no other key's values change.

        Lines that stay keep their place, their order and their spelling. A single-valued key ends up with one line.
        No values: the key's lines go, but for an empty one that clears what an included file said.
        Raises InputError for a newline, a NUL or an empty value.
        """
        for value in values:
            if not value:
                raise InputError(key, "an empty value would clear the key")
        if any("\0" in line.text for line in self.lines):
            raise InputError(key, "the config file contains a NUL character, liblxc reads nothing after it")
        row = lookup(key)
        if row is not None and row.clears and values:
            raise InputError(key, "takes no value, it only clears the keys below it")
        if row is not None and not row.multi:
            if len(values) > 1:
                raise InputError(key, f"takes one value, {len(values)} were given")
            return self._with_single(key, list(values))
        alive, start = self._alive(key)
        keep = _common([self.lines[index].value for index in alive], values)
        remove = [index for position, index in enumerate(alive) if position not in keep]
        insert: Dict[int, List[Line]] = {}
        kept = {wanted: alive[position] for position, wanted in keep.items()}
        if kept:
            place = min(kept.values())
        elif alive:
            place = alive[0]
        else:
            place = self._place(key, start)
        for position, value in enumerate(values):
            if position in kept:
                place = kept[position] + 1
            else:
                insert.setdefault(place, []).append(self._new(key, value))
        return self._edited(remove, insert) if remove or insert else self

    def _with_single(self, key: str, values: List[str]) -> ConfigDocument:
        alive, start = self._alive(key)
        mine = [index for index, line in enumerate(self.lines) if line.key == key]
        if key.startswith("lxc.net."):
            # A line that has been reset stays: it may be what makes the network that a later line resets.
            mine = [index for index in mine if index >= start]
        if not values:
            remove = [index for index in mine if self.lines[index].value]
            if remove and key.startswith("lxc.net.") and key.endswith(".type"):
                # What the type had reset must not come back.
                network = key[:-4]
                dead = [i for i in range(remove[-1]) if (self.lines[i].key or "").startswith(network)]
                remove += [i for i in dead if i not in mine]
            return self._edited(remove, {}) if remove else self
        if alive and self.lines[alive[-1]].value == values[0]:
            remove = [index for index in mine if index != alive[-1]]
            return self._edited(remove, {}) if remove else self
        place = alive[-1] if alive else self._place(key, start)
        return self._edited(mine, {place: [self._new(key, values[0])]})

    def with_cleared(self, key: str) -> ConfigDocument:
        """The document with one empty line for the key, which also clears what an included file gave it."""
        mine = [index for index, line in enumerate(self.lines) if line.key == key]
        if len(mine) == 1 and not self.lines[mine[0]].value:
            return self
        place = mine[-1] if mine else self._place(key, self._alive(key)[1])
        return self._edited(mine, {place: [self._new(key, "")]})

    def without(self, key: str) -> ConfigDocument:
        """The document without any line of the key, empty ones included."""
        return self._filtered(lambda name: name == key)

    def without_prefix(self, prefix: str) -> ConfigDocument:
        """The document without the keys that begin with `prefix`; `lxc.net.1.` removes a whole network."""
        return self._filtered(lambda name: name.startswith(prefix) or name + "." == prefix)

    def _filtered(self, gone: Callable[[str], bool]) -> ConfigDocument:
        lines = tuple([line for line in self.lines if line.key is None or not gone(line.key)])
        return self if len(lines) == len(self.lines) else ConfigDocument(lines)


def _common(old: Sequence[str], new: Sequence[str]) -> Dict[int, int]:
    """A longest common subsequence as {index in old: index in new}."""
    longest = [[0] * (len(new) + 1) for _unused in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            same = old[i] == new[j]
            longest[i][j] = longest[i + 1][j + 1] + 1 if same else max(longest[i + 1][j], longest[i][j + 1])
    result: Dict[int, int] = {}
    i = j = 0
    while i < len(old) and j < len(new):
        if old[i] == new[j]:
            result[i] = j
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return result


def flatten(document: ConfigDocument, load: Callable[[str], Sequence[ConfigDocument]]) -> ConfigDocument:
    """The document with each lxc.include line replaced by the lines of the files that `load(path)` gives for it.

    `load` reads a file, or every *.conf of a directory in the directory's own order, as liblxc does. A file that
    includes itself, which liblxc follows until it runs out of descriptors, is read once.
    """
    if "lxc.include" not in [line.key for line in document.lines]:
        return document
    lines: List[Line] = []

    def walk(current: ConfigDocument, inside: Tuple[str, ...]) -> None:
        for line in current.lines:
            if line.key != "lxc.include":
                lines.append(line)
            elif line.value and line.value not in inside:
                for included in load(line.value):
                    walk(included, inside + (line.value,))
                if lines and not lines[-1].text.endswith(("\n", "\r")):
                    lines[-1] = lines[-1]._replace(text=lines[-1].text + "\n")

    walk(document, ())
    return ConfigDocument(tuple(lines))
