# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names from ranges, written as in Ansible's inventories, and what stands for them in a description."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .._errors import InputError

#: The most names that one declaration may have.
MOST = 100_000

_RANGE = re.compile(r"\[([A-Za-z0-9]+):([A-Za-z0-9]+)(?::([0-9]+))?\]")
#: `{name}`, `{number}` or `{number:FORMAT}`; or one that a backslash keeps as it is. `${name}` is a shell's.
_PLACE = re.compile(r"(?<![$\\])\{(name|number(?::[^{}]*)?)\}|\\(\{(?:name|number(?::[^{}]*)?)\})")
_FORMAT = re.compile(r"0?[0-9]{0,2}[dxX]?")


class Place(NamedTuple):
    """One name, and the number that it has in the first range of its pattern, else its position from 1 on."""

    name: str
    number: int


def expand_names(patterns: Any, path: str = "names") -> List[Place]:
    """The names of a pattern or a list of them, such as `web[01:50]`, `[a:e]` or `n[0:10:2]`.

    As in Ansible's inventories both ends are included, zeros in front are kept, and several ranges are combined.
    Raises InputError.
    """
    listed = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(listed, (list, tuple)) or not all(isinstance(one, str) for one in listed):
        raise InputError(path, "it is no list of names")
    found: List[Place] = []
    for index, pattern in enumerate(listed):
        where = path if isinstance(patterns, str) else f"{path}[{index}]"
        try:
            expanded = _expand(pattern)
        except InputError as error:
            raise InputError(where, error.problem) from None
        for name, number in expanded:
            found.append(Place(name, len(found) + 1 if number is None else number))
        if len(found) > MOST:
            raise InputError(where, f"that makes more than {MOST} containers")
    return found


@lru_cache(maxsize=32)
def _expand(pattern: str) -> List[Tuple[str, Any]]:
    """The names of one pattern, each with the number in its first range or None. They are counted before they are used,
    so they are kept. The errors name no place.
    """
    pieces = _RANGE.split(pattern)
    texts, choices = pieces[::4], []
    for begin, end, step in zip(pieces[1::4], pieces[2::4], pieces[3::4]):
        choices.append(_values(begin, end, int(step or 1)))
    if any(char in text for text in texts for char in "[]"):
        raise InputError(pattern, f"'{pattern}' has a bracket that is no range such as [01:20]")
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MOST:
        raise InputError(pattern, f"'{pattern}' makes {total} containers, and at most {MOST} are possible")
    result = []
    for chosen in itertools.product(*choices):
        name = texts[0] + "".join(text + after for (text, _number), after in zip(chosen, texts[1:]))
        result.append((name, chosen[0][1] if chosen else None))
    return result


def _values(begin: str, end: str, step: int) -> List[Tuple[str, int]]:
    """The texts of a range, each with its number."""
    shown = f"[{begin}:{end}]"
    if step < 1:
        raise InputError(shown, f"{shown} has a step of {step}")
    if begin.isdigit() and end.isdigit():
        if begin != "0" and begin.startswith("0") and len(begin) != len(end):
            raise InputError(shown, f"the ends of {shown} have different numbers of digits")
        width = len(begin) if begin.startswith("0") else 0
        if int(begin) > int(end):
            raise InputError(shown, f"{shown} ends before it begins")
        if (int(end) - int(begin)) // step >= MOST:
            raise InputError(shown, f"{shown} is too long: at most {MOST} containers are possible")
        return [(f"{number:0{width}d}", number) for number in range(int(begin), int(end) + 1, step)]
    if len(begin) == 1 == len(end) and begin.isalpha() and end.isalpha() and begin.islower() == end.islower():
        if begin > end:
            raise InputError(shown, f"{shown} ends before it begins")
        letters = range(ord(begin), ord(end) + 1, step)
        return [(chr(letter), position + 1) for position, letter in enumerate(letters)]
    raise InputError(shown, f"{shown} is no range of numbers or of single letters")


def has_places(value: Any) -> bool:
    """Whether a text in the value has a `{name}` or `{number}` to be filled in, or one with a backslash before it."""
    if isinstance(value, str):
        return "{n" in value and bool(_PLACE.search(value))
    if isinstance(value, Mapping):
        return any(has_places(key) or has_places(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return any(has_places(one) for one in value)
    return False


class Template:
    """A description in which `{name}`, `{number}`, `{number:03}` and `{number:x}` stand for what differs."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        self._fill = filler(item)

    def fill(self, place: Place) -> Dict[str, Any]:
        """The description of one container. What has no place in it is the same object in each of them."""
        filled: Dict[str, Any] = self._fill(place)
        return filled


def filler(value: Any, path: str = "") -> Callable[[Place], Any]:
    """What makes the value for a place. Raises InputError, `path` being where the value stands."""
    if not has_places(value):
        return lambda place: value
    if isinstance(value, str):
        return _text_filler(value, path)
    if isinstance(value, Mapping):
        paths = {key: f"{path}.{key}" if path else str(key) for key in value}
        if any(has_places(key) for key in value):
            pairs = [(filler(key, paths[key]), filler(one, paths[key])) for key, one in value.items()]
            return lambda place: {key(place): one(place) for key, one in pairs}
        varying = [(key, filler(one, paths[key])) for key, one in value.items() if has_places(one)]
        return lambda place: {**value, **{key: one(place) for key, one in varying}}
    parts = [filler(one, f"{path}[{index}]") for index, one in enumerate(value)]
    return lambda place: [part(place) for part in parts]


def _text_filler(text: str, path: str) -> Callable[[Place], str]:
    pieces = _PLACE.split(text)
    parts = [_literally(piece) for piece in pieces[::3]]
    for index, (what, kept) in enumerate(zip(pieces[1::3], pieces[2::3])):
        form = (what or "").partition(":")[2]
        if not _FORMAT.fullmatch(form):
            how = "a width of at most two digits, then d, x or X. A backslash before it leaves it as it is"
            raise InputError(path, f"'{{{what}}}' is not how a number is written: {how}")
        parts[index] += _literally(kept) if kept else "{0}" if what == "name" else f"{{1:{form or 'd'}}}"
    pattern = "".join(parts)
    return lambda place: pattern.format(*place)


def fill_defaults(defaults: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """The defaults for a container that has a single name. Raises InputError for a `{number}`, as it has none."""
    if _has_number(defaults):
        problem = "the defaults have a '{number}', and a single name has none. Write 'names', or '\\{number}'"
        raise InputError("name", problem)
    filled: Dict[str, Any] = filler(defaults)(Place(name, 0))
    return filled


def _has_number(value: Any) -> bool:
    if isinstance(value, str):
        return any((found[1] or "").startswith("number") for found in _PLACE.finditer(value))
    if isinstance(value, Mapping):
        return any(_has_number(key) or _has_number(one) for key, one in value.items())
    return isinstance(value, (list, tuple)) and any(_has_number(one) for one in value)


def _literally(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
