# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several calls of lxc_fleet add up to, and how far they are. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

#: Each container of a fleet counts as one of these; the other counts are of verbs.
CLASSES = ("unchanged", "changed", "failed", "remaining")
_FIRST, _SHORTEST, _LONGEST = 5.0, 10.0, 30.0
#: A batch lasts at least so many times as long as what a call costs besides.
_WORTH = 20.0
_MOST_VERBS = 4


def batch_seconds(overhead: float | None) -> float:
    """How long the next batch lasts, when the last call took `overhead` seconds longer than its batch.

    None for the first: short, so that somebody who waits soon sees a line.
    """
    return _FIRST if overhead is None else min(_LONGEST, max(_SHORTEST, _WORTH * overhead))


def progress_line(who: str, counts: Mapping[str, int], seconds: float) -> str:
    """One line: how much of the fleet is done after so many seconds, how fast, how long it will take, doing what."""
    remaining = counts.get("remaining", 0)
    total = sum(counts.get(name, 0) for name in CLASSES)
    parts = [f"lxc_fleet [{who}]: {total - remaining} of {total} containers"]
    worked = counts.get("changed", 0) + counts.get("failed", 0)
    if worked and seconds > 0:
        rate = worked / seconds
        parts += [f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s", f"{_span(remaining / rate)} left"]
    if counts.get("failed"):
        parts.append(f"{counts['failed']} failed")
    verbs = [(name, n) for name, n in counts.items() if name not in (*CLASSES, "listed") and n]
    line = ", ".join(parts)
    return line if not 0 < len(verbs) <= _MOST_VERBS else f"{line} ({', '.join(f'{name} {n}' for name, n in verbs)})"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def merge_results(first: Mapping[str, Any], second: Mapping[str, Any]) -> Dict[str, Any]:
    """The result of one call that had done what these two did, one after the other.

    What failed in the first is taken to be mended only if the second changed it without failing.
    """
    merged = {**first, **second}
    merged["changed"] = bool(first.get("changed") or second.get("changed"))
    if "began" in first:
        merged["began"] = first["began"]
    containers = _merge_containers(first, second)
    if containers:
        merged["containers"] = containers
    if "diff" in first or "diff" in second:
        merged["diff"] = _merge_diffs(first.get("diff") or [], second.get("diff") or [])
    for kind in ("warnings", "deprecations"):
        found: List[Any] = []
        for item in [*(first.get(kind) or []), *(second.get(kind) or [])]:
            if item not in found:
                found.append(item)
        if found:
            merged[kind] = found
    if "counts" in first and "counts" in second:
        merged["counts"] = _merge_counts(first["counts"], second["counts"], containers)
    _merge_failure(merged, first, second, containers)
    return merged


def _key(entry: Mapping[str, Any]) -> Tuple[Any, Any]:
    return entry.get("lxcpath"), entry.get("name")


def _merge_containers(first: Mapping[str, Any], second: Mapping[str, Any]) -> List[Dict[str, Any]]:
    merged = {_key(entry): dict(entry) for entry in first.get("containers") or []}
    for entry in second.get("containers") or []:
        before = merged.get(_key(entry))
        if before is None:
            merged[_key(entry)] = dict(entry)
            continue
        both = {**before, **entry}
        both["changed"] = bool(before.get("changed") or entry.get("changed"))
        both["actions"] = [*(before.get("actions") or []), *(entry.get("actions") or [])]
        for passing in {"failed", "msg", "remaining", "restart_keys"} - entry.keys():
            both.pop(passing, None)
        merged[_key(entry)] = both
    return list(merged.values())


def _merge_diffs(first: List[Any], second: List[Any]) -> List[Any]:
    """Both, but one for what the second call only went on with.

    The texts in the middle need not be equal: the first is a prediction.
    """
    merged = list(first)
    places = {diff.get("after_header"): place for place, diff in enumerate(merged) if diff.get("after_header")}
    for diff in second:
        place = places.get(diff.get("after_header"))
        if place is not None:
            merged[place] = {**merged[place], "after": diff.get("after")}
        else:
            merged.append(diff)
    return merged


def _merge_counts(
    first: Mapping[str, int], second: Mapping[str, int], containers: List[Dict[str, Any]]
) -> Dict[str, int]:
    """The first call knows how many there are and which needed nothing: later ones see what it did as unchanged."""
    merged = {
        name: first.get(name, 0) + second.get(name, 0)
        for name in {**first, **second}
        if name not in (*CLASSES, "listed")
    }
    failed = sum(1 for entry in containers if entry.get("failed"))
    changed = sum(
        1 for entry in containers if entry.get("changed") and not (entry.get("failed") or entry.get("remaining"))
    )
    remaining = second.get("remaining", 0)
    total = sum(first.get(name, 0) for name in CLASSES)
    return {
        "listed": first.get("listed", 0),
        "changed": changed,
        "unchanged": max(0, total - changed - failed - remaining),
        "failed": failed,
        "remaining": remaining,
        **merged,
    }


def _merge_failure(
    merged: Dict[str, Any], first: Mapping[str, Any], second: Mapping[str, Any], containers: List[Dict[str, Any]]
) -> None:
    """Set `failed`, `msg` and Ansible's own `exception`, which is what it shows, by what is still wrong."""
    failed = {_key(entry) for entry in containers if entry.get("failed")}
    again = {_key(entry) for entry in second.get("containers") or [] if entry.get("failed")}
    for key in ("failed", "msg", "exception"):
        merged.pop(key, None)
    calls = [first] if failed - again and first.get("failed") else []
    calls += [second] if second.get("failed") else []
    if failed or calls:
        merged["failed"] = True
    texts = list(dict.fromkeys(call["msg"] for call in calls if call.get("msg")))
    if texts:
        merged["msg"] = " ".join(texts)
    if len(calls) == 1 and "exception" in calls[0]:
        merged["exception"] = calls[0]["exception"]
