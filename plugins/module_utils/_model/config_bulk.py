# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many keys of a config document set in one edit.

Where their lines go depends on nothing but the keys that are there and those that come. Containers of one description
have both in common, so the places are found for the first of them, by setting one key after the other, and known for
the rest.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional, Sequence, Tuple

from .config import ConfigDocument
from .config_keys import lookup
from .config_line import Line, parse_line, render_line

Keys = Tuple[Optional[str], ...]
Counts = Tuple[Tuple[str, int], ...]


def with_all(document: ConfigDocument, wanted: Sequence[Tuple[str, Sequence[str]]]) -> Optional[ConfigDocument]:
    """What `with_values` makes of the document by one (key, values) after the other, each another key.

    None where that has to be done: when a key has several lines or may have several values, or would be read as another
    one, when lines are there that clear keys, or that end unusually. Raises InputError for more than one value of a
    single-valued key.
    """
    lines = document.lines
    if not lines or lines[0].text.endswith("\r\n") or not lines[-1].text.endswith("\n") or "\0" in lines[-1].text:
        return None
    keys = document.layout
    if "" in keys:
        return None
    for key, values in wanted:
        if not all(values) or not _is_read_back(key) or (key in keys and not _is_one(document, key)):
            return None
    new = [_line(key, value) for key, values in wanted for value in values]
    every = (*lines, *new)
    order = _order(keys, tuple([(key, len(values)) for key, values in wanted]))
    return ConfigDocument(tuple([every[index] for index in order]))


def _is_one(document: ConfigDocument, key: str) -> bool:
    """Whether the key has one line, which is heard, and can have no other."""
    row = lookup(key)
    return row is not None and not row.multi and document.layout.count(key) == len(document.values(key)) == 1


@lru_cache(maxsize=1024)
def _is_read_back(key: str) -> bool:
    """Whether a line of the key is one of that very key."""
    return parse_line(render_line(key, "1")).key == key


@lru_cache(maxsize=4096)
def _line(key: str, value: str) -> Line:
    return parse_line(render_line(key, value))


@lru_cache(maxsize=256)
def _order(keys: Keys, wanted: Counts) -> Tuple[int, ...]:
    """The lines that are to be there, the old ones counted first."""
    numbered = [Line(f"#{index}\n", key, "" if key is None else str(index)) for index, key in enumerate(keys)]
    document = ConfigDocument(tuple(numbered))
    number = len(keys)
    for key, count in wanted:
        document = document.with_values(key, [str(number + one) for one in range(count)])
        number += count
    return tuple([int(line.text[1:] if line.text[0] == "#" else line.value) for line in document.lines])
