# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes as people write them, as bytes and back."""

from __future__ import annotations

from typing import Union

from .._errors import InputError

_UNITS = "BKMGTPE"


def parse_size(value: Union[str, int], path: str = "") -> int:
    """The number of bytes of `10G`, `1.5 TiB`, `500MB` or a plain number of bytes.

    A lone letter counts in 1024s, as lxc-create and the LVM tools do, and so does `KiB`; `KB` counts in 1000s.
    Upper and lower case are the same. Raises InputError for anything else, and for a size that is no whole byte.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise InputError(path, f"{value} is negative, a size is not")
        return value
    text = str(value).strip()
    split = len(text)
    while split and not text[split - 1].isdigit():
        split -= 1
    number, unit = text[:split], text[split:].strip().upper()
    base = 1024
    if len(unit) == 3 and unit.endswith("IB"):
        unit = unit[0]
    elif len(unit) == 2 and unit.endswith("B"):
        unit, base = unit[0], 1000
    power = _UNITS.find(unit or "B")
    whole, point, fraction = number.partition(".")
    if isinstance(value, bool) or power < 0 or len(unit) > 1 or not (whole + fraction).isascii():
        raise _no_size(value, path)
    if not whole.isdigit() or (point and not fraction.isdigit()):
        raise _no_size(value, path)
    factor: int = base**power
    parts: int = 10 ** len(fraction)
    scaled, rest = divmod(int(whole + fraction) * factor, parts)
    if rest:
        raise InputError(path, f"{value!r} is not a whole number of bytes")
    return scaled


def _no_size(value: object, path: str) -> InputError:
    return InputError(path, f"{value!r} is not a size; write bytes, or a number with a unit such as 512M, 10G or 1TiB")


def render_size(size: int) -> str:
    """The shortest exact spelling with one of the units B (left out), K, M, G, T, P, E of 1024."""
    power = 0
    while size and size % 1024 == 0 and power < len(_UNITS) - 1:
        size //= 1024
        power += 1
    return f"{size}{_UNITS[power] if power else ''}"
