# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of config keys by meaning: for each way of comparing, what liblxc or the kernel makes of the text.

`canonical(kind, values)` is equal for two lists of values exactly when they mean the same. The kinds are named by the
table of config_keys.py. A text that its kind does not understand stands for itself: liblxc will refuse it later.
The rules come from src/lxc/confile.c, confile_utils.c and utils.c of liblxc, and from the kernel's memparse().
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

_ARCH32 = " arm armel armhf armv7l athlon i386 i486 i586 i686 linux32 mips mipsel ppc powerpc x32 x86 "
_ARCH64 = (
    " aarch64 amd64 arm64 linux64 loongarch64 loong64 mips64 mips64el ppc64 ppc64el ppc64le powerpc64 riscv64 s390x"
    " x86_64 "
)
_LEVELS = ("trace", "debug", "info", "notice", "warn", "error", "crit", "alert", "fatal")
_AUTOMOUNTS = {
    "proc": "proc:mixed",
    "sys": "sys:mixed",
    "cgroup2": "cgroup2:rw:force",
    "cgroup2:force": "cgroup2:rw:force",
    "cgroup2:ro": "cgroup2:ro:force",
}
_MEMPARSE = "KMGTPE"
_NANOSECONDS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def canonical(kind: str, values: Sequence[str]) -> List[str]:
    """What the values of one key mean, as texts to compare; [] for no values."""
    if kind in _WHOLE:
        return _WHOLE[kind](" ".join(values).split()) if values else []
    one = _EACH.get(kind)
    return [one(value) or value for value in values] if one else list(values)


def same(kind: str, first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two lists of values mean the same. An x in a MAC address stands for any digit (liblxc fills it in)."""
    if tuple(first) == tuple(second):
        return True
    one, other = canonical(kind, first), canonical(kind, second)
    if kind == "mac" and len(one) == len(other):
        return all(len(a) == len(b) and all(x == y or "x" in (x, y) for x, y in zip(a, b)) for a, b in zip(one, other))
    return one == other


def boolean(text: str) -> Optional[str]:
    """The "1" or "0" that liblxc wants for a yes or no, None for neither."""
    text = text.strip().lower()
    return "1" if text in _TRUE else "0" if text in _FALSE else None


def _integer(text: str) -> Optional[int]:
    """As strtol() with base 0: 0x1f, 037 and 31 are the same number."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if not digits.isascii() or not digits.isalnum():
        return None
    try:
        if digits[:2] in ("0x", "0X"):
            return sign * int(digits, 16)
        return sign * int(digits, 8 if digits[0] == "0" else 10)
    except ValueError:
        return None


def _number(text: str) -> Optional[str]:
    number = _integer(text)
    return None if number is None else str(number)


def _words(text: str) -> str:
    return " ".join(text.split())


def _arch(text: str) -> Optional[str]:
    """liblxc only sets the personality by it, which knows two kinds."""
    word = f" {text} "
    return "linux32" if word in _ARCH32 else "linux64" if word in _ARCH64 else None


def _signal(text: str) -> Optional[str]:
    if text[:1].isdecimal():
        return _number(text)
    import signal

    name = text.upper()
    for start, base, sign in (("SIGRTMIN+", signal.SIGRTMIN, 1), ("SIGRTMAX-", signal.SIGRTMAX, -1)):
        if name.startswith(start) and name[9:].isdecimal():
            return str(base + sign * int(name[9:]))
    number = getattr(signal, name, None) if name.startswith("SIG") and name[3:].isalnum() else None
    return None if number is None else str(int(number))


def _loglevel(text: str) -> Optional[str]:
    return str(_LEVELS.index(text.lower())) if text.lower() in _LEVELS else _number(text)


def _path(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    start = "/" if text.startswith("/") else ""
    return start + "/".join(parts) or "."


def _rootfs(text: str) -> str:
    kind, colon, path = text.partition(":")
    if not colon:
        return _path(text)
    return ("overlay" if kind == "overlayfs" else kind) + ":" + ":".join(_path(part) for part in path.split(":"))


def _fstab(text: str) -> str:
    fields = text.split()
    return " ".join(fields + ["0"] * (6 - len(fields)) if len(fields) >= 4 else fields)


def _inet(text: str) -> Optional[str]:
    """`address[/prefix] [broadcast]`; an IPv6 address without a prefix has 64.

    liblxc takes the prefix of an IPv4 address from its last byte where that byte stands first in memory, so an
    address without a prefix is only the same as itself.
    """
    # Here, because only configs with addresses pay for it.
    import ipaddress

    address, _space, broadcast = text.partition(" ")
    address, _slash, prefix = address.partition("/")
    if "%" in text:
        return None  # a zone, which inet_pton(3) does not know
    try:
        parsed = ipaddress.ip_address(address)
        shown = str(parsed)
        if prefix or parsed.version == 6:
            shown += f"/{_number(prefix or '64') or prefix}"
        return f"{shown} {ipaddress.ip_address(broadcast)}" if broadcast else shown
    except ValueError:
        return None


def _rlimit(text: str) -> Optional[str]:
    """`soft[:hard]`; one number is both."""
    parts = [part.strip() for part in text.split(":")]
    parts = [part.lstrip("0") or "0" if part.isdecimal() else part for part in parts if part]
    return ":".join(parts * 2 if len(parts) == 1 else parts)


def _kernsize(text: str) -> Optional[str]:
    """The kernel's memparse(): a number with K, M, G, T, P or E of 1024; for cgroup v1, -1 is no limit."""
    if text == "-1":
        return "max"
    power = _MEMPARSE.find(text[-1:].upper()) + 1 if text else 0
    number = _integer(text[:-1] if power else text)
    return _words(text) if number is None else str(number * 1024**power)


def _cpulist(text: str) -> Optional[str]:
    """Numbers and ranges such as 0-3,5, in any order."""
    ranges = []
    for part in text.replace("\n", ",").split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return _words(text)
        ranges.append((int(first), int(last if dash else first)))
    merged: List[Tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in merged)


def _ring(text: str) -> Optional[str]:
    """Console buffers: `auto` is 128 KiB, KB is 1024 here, at least a page, rounded up to a power of two."""
    if text == "auto":
        return str(1 << 17)
    unit = text[-2:].upper()
    power = ("", "KB", "MB", "GB").index(unit) if unit in ("KB", "MB", "GB") else 0
    number = _integer((text[:-2] if power else text).strip())
    if number is None or number < 0:
        return None
    return str(1 << (max(number * 1024**power, 4096) - 1).bit_length())


def _offset(text: str) -> Optional[str]:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    factor = _NANOSECONDS.get(text[len(digits) :].strip())
    number = _integer(digits)
    return None if factor is None or number is None else str(number * factor)


def _caps(tokens: List[str]) -> List[str]:
    """A set; `none` forgets what stood before it, and keeping none is not the same as not keeping."""
    if "none" in tokens:
        after = tokens[len(tokens) - tokens[::-1].index("none") :]
        return ["none", *sorted(set(after))]
    return sorted(set(tokens))


def _automount(tokens: List[str]) -> List[str]:
    """Of the entries for proc, for sys, for cgroups and for shared mounts, the last one of each counts."""
    found: Dict[str, str] = {}
    for token in tokens:
        kind = token.partition(":")[0]
        kind = "cgroup" if kind in ("cgroup", "cgroup2", "cgroup-full") else kind
        if kind == "shmounts" and token.count(":") == 1:
            token += ":/dev/.lxc-mounts"
        found[kind] = _AUTOMOUNTS.get(token, token)
    return [found[kind] for kind in sorted(found)]


#: Kinds where every value stands for itself, in order.
_EACH: Dict[str, Callable[[str], Optional[str]]] = {
    "arch": _arch,
    "bool": _number,
    "cpulist": _cpulist,
    "fstab": _fstab,
    "inet": _inet,
    "int": _number,
    "kernsize": _kernsize,
    "loglevel": _loglevel,
    "mac": str.lower,
    "offset": _offset,
    "path": _path,
    "ring": _ring,
    "rlimit": _rlimit,
    "rootfs": _rootfs,
    "signal": _signal,
    "up": lambda _text: "up",
    "words": _words,
}
#: Kinds where all lines together make one value, whichever way it is spread over them.
_WHOLE: Dict[str, Callable[[List[str]], List[str]]] = {
    "automount": _automount,
    "caps": _caps,
    "gids": lambda tokens: sorted({_number(gid) or gid for token in tokens for gid in token.split(",") if gid}),
    "namespaces": lambda tokens: sorted({token.lower() for token in tokens}),
    "set": lambda tokens: sorted(set(tokens)),
}
KINDS = frozenset(["text", *_EACH, *_WHOLE])
