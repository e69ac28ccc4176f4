# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single lines of a lxc.container.conf document, read and written."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Set

from .._errors import InputError


class Line(NamedTuple):
    """One line: its text with its line end, the key or None, the value without blanks and quotes."""

    text: str
    key: Optional[str]
    value: str


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
        return value[1:-1]
    return value


#: Keys of lines that were written as `render_line` does it.
_USUAL: Set[str] = set()


def parse_line(text: str) -> Line:
    """The line; what liblxc would refuse is one without a key."""
    # The lines of a fleet have few keys, and are mostly written alike. These need no closer look.
    key, _equals, value = text[:-1].partition(" = ")
    if key in _USUAL and text[-1] == "\n" and value and value.strip(" \t\r\"'") == value:
        return Line(text, key, value)
    line = _parse_any(text)
    if line.key is not None and line.text == f"{line.key} = {line.value}\n":
        _USUAL.add(line.key)
    return line


def _parse_any(text: str) -> Line:
    if "lxc." not in text:
        return Line(text, None, "")
    line = text.strip(" \t\r\n")
    if not line.startswith("lxc."):
        return Line(text, None, "")
    key, equals, value = line.partition("=")
    if not equals:
        return Line(text, None, "")
    key = key.rstrip(" \t")
    if key.startswith("lxc.net.0") and key[9:10].isdigit():
        # liblxc reads the index as a decimal number, so lxc.net.00 is lxc.net.0.
        index, dot, rest = key[8:].partition(".")
        key = "lxc.net." + (index.lstrip("0") or "0") + dot + rest
    return Line(text, key, _unquote(value.lstrip(" \t")))


def split_lines(text: str) -> List[str]:
    """The lines with their ends."""
    if "\r" in text:
        # A lone carriage return ends a line too; "\r\n" stays in one piece.
        parts = []
        for piece in text.split("\n"):
            ends_with_cr = piece.endswith("\r")
            fields = (piece[:-1] if ends_with_cr else piece).split("\r")
            parts += [field + "\r" for field in fields[:-1]]
            parts.append(fields[-1] + ("\r" if ends_with_cr else "") + "\n")
    else:
        parts = [piece + "\n" for piece in text.split("\n")]
    parts[-1] = parts[-1][:-1]
    return parts if parts[-1] else parts[:-1]


def render_line(key: str, value: str, end: str = "\n") -> str:
    """`key = value`, quoted when liblxc would otherwise read another value.

    Raises InputError for what no line can hold.
    """
    for what, text in (("key", key), ("value", value)):
        if "\n" in text or "\r" in text or "\0" in text:
            raise InputError(key.split("\n")[0], f"a {what} may not contain a newline or a NUL character")
    if not value:
        return f"{key} ={end}"
    if value.strip(" \t") != value or _unquote(value) != value:
        value = f'"{value}"'
    return f"{key} = {value}{end}"
