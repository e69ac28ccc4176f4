# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the batches of lxc_fleet add up to, and the line that says how far they are."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._fleet_progress import (
    CLASSES,
    batch_seconds,
    merge_results,
    progress_line,
)
from hypothesis import given
from hypothesis import strategies as st


def counts(listed: int, changed: int = 0, failed: int = 0, remaining: int = 0, **verbs: int) -> dict[str, int]:
    unchanged = listed - changed - failed - remaining
    return {
        "listed": listed,
        "changed": changed,
        "unchanged": unchanged,
        "failed": failed,
        "remaining": remaining,
        **verbs,
    }


def entry(name: str, *actions: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "lxcpath": "/l", "changed": bool(actions), "actions": list(actions), **more}


def call(
    listed: int, entries: list[dict[str, Any]], remaining: int, began: float = 1.0, **verbs: int
) -> dict[str, Any]:
    failed = sum(1 for one in entries if one.get("failed"))
    result: dict[str, Any] = {
        "changed": any(one["changed"] for one in entries),
        "counts": counts(listed, len(entries) - failed, failed, remaining, **verbs),
        "containers": entries,
        "diff": [{"before": "", "after": one["name"], "after_header": one["name"]} for one in entries],
        "remaining": remaining,
        "began": began,
    }
    if failed:
        result["failed"] = True
        result["msg"] = "; ".join(one["msg"] for one in entries if one.get("failed"))
    return result


def test_two_batches_are_one_call():
    first = call(9, [entry("a", "create 'a'")], 3, create=1)
    second = call(9, [entry("b", "create 'b'", "start 'b'"), entry("c", "start 'c'")], 1, 7.0, create=1, start=2)
    third = call(9, [entry("d", "start 'd'")], 0, 9.0, start=1)
    together = call(9, [*first["containers"], *second["containers"], *third["containers"]], 0, create=2, start=3)
    assert merge_results(merge_results(first, second), third) == together
    assert merge_results(first, merge_results(second, third)) == together


def test_what_is_merged_stays_as_it_was():
    first, second = call(3, [entry("a", "create 'a'")], 1), call(3, [entry("a", "start 'a'")], 0)
    kept = copy.deepcopy((first, second))
    merge_results(first, second)
    assert (first, second) == kept


def test_nothing_changed_in_the_last_one():
    first = call(5, [entry("a", "start 'a'")], 1, start=1)
    merged = merge_results(first, call(5, [], 0))
    assert merged["changed"] is True
    assert merged["containers"] == first["containers"]
    assert merged["counts"] == counts(5, changed=1, start=1)
    assert merged["remaining"] == 0


def test_a_container_that_took_both():
    first = call(2, [entry("a", "create 'a'", restart_keys=[])], 1)
    first["diff"] = [{"before": "", "after": "stopped", "before_header": "a", "after_header": "a"}]
    second = call(2, [entry("a", "start 'a'", restart_keys=["lxc.x"])], 0)
    second["diff"] = [{"before": "stopped", "after": "running", "before_header": "a", "after_header": "a"}]
    merged = merge_results(first, second)
    assert merged["containers"] == [entry("a", "create 'a'", "start 'a'", restart_keys=["lxc.x"])]
    assert merged["counts"] == counts(2, changed=1)
    assert merged["diff"] == [{"before": "", "after": "running", "before_header": "a", "after_header": "a"}]


def test_a_container_that_waits_for_its_start_is_not_changed_yet():
    begun = call(3, [entry("b", "x")], 2, create=1)
    begun["containers"].append(entry("a", "create 'a'", remaining=True))
    merged = merge_results(call(3, [], 3), begun)
    assert merged["counts"] == counts(3, changed=1, remaining=2, create=1)
    merged = merge_results(merged, call(3, [entry("a", "start 'a'"), entry("c", "x")], 0, start=1))
    assert merged["containers"] == [entry("b", "x"), entry("a", "create 'a'", "start 'a'"), entry("c", "x")]
    assert merged["counts"] == counts(3, changed=3, create=1, start=1)


def test_a_restart_that_is_awaited_no_more():
    first = call(2, [entry("a", "configure 'a'", restart_keys=["lxc.x"])], 1)
    assert merge_results(first, call(2, [entry("a", "start 'a'")], 0))["containers"] == [
        entry("a", "configure 'a'", "start 'a'")
    ]


def test_a_diff_goes_from_the_first_to_the_last():
    first, second = call(1, [entry("a", "x")], 1), call(1, [entry("a", "y")], 0)
    first["diff"] = [{"before": "1", "after": "2, it was thought", "after_header": "a"}]
    second["diff"] = [{"before": "3", "after": "4", "after_header": "a"}]
    assert merge_results(first, second)["diff"] == [{"before": "1", "after": "4", "after_header": "a"}]


def test_the_same_name_in_another_lxcpath_is_another_container():
    merged = merge_results(call(2, [entry("a", "x")], 1), call(2, [{**entry("a", "y"), "lxcpath": "/m"}], 0))
    assert [(one["lxcpath"], one["actions"]) for one in merged["containers"]] == [("/l", ["x"]), ("/m", ["y"])]


def test_a_failure_stays_when_nobody_tried_again():
    first = call(3, [entry("a", failed=True, msg="a: no")], 2)
    merged = merge_results({**first, "exception": "A"}, call(3, [entry("b", "x"), entry("c", "x")], 0))
    assert merged["failed"] is True
    assert (merged["msg"], merged["exception"]) == ("a: no", "A")
    assert merged["counts"] == counts(3, changed=2, failed=1)


def test_a_failure_that_a_later_batch_mends_is_none():
    first = {**call(2, [entry("a", failed=True, msg="a: no")], 1), "exception": "A"}
    merged = merge_results(first, call(2, [entry("a", "x"), entry("b", "x")], 0))
    assert not {"failed", "msg", "exception"} & merged.keys()
    assert merged["containers"] == [entry("a", "x"), entry("b", "x")]
    assert merged["counts"] == counts(2, changed=2)


def test_failures_of_several_batches():
    first = {**call(4, [entry("a", failed=True, msg="a: no")], 2), "exception": "A"}
    other = {**call(4, [entry("b", failed=True, msg="b: no")], 0), "exception": "B"}
    merged = merge_results(first, other)
    assert merged["msg"] == "a: no b: no"
    assert "exception" not in merged
    both = call(4, [entry("a", failed=True, msg="a: no"), entry("b", failed=True, msg="b: no")], 0)
    assert merge_results(first, both)["msg"] == "a: no; b: no"
    assert merge_results(first, both)["counts"] == counts(4, failed=2)


def test_a_batch_that_is_no_result_at_all():
    first = call(5, [entry("a", "x")], 4)
    merged = merge_results(first, {"failed": True, "msg": "MODULE FAILURE", "rc": 1, "changed": False})
    assert merged["failed"] is True
    assert (merged["msg"], merged["rc"], merged["remaining"]) == ("MODULE FAILURE", 1, 4)
    assert merged["changed"] is True
    assert merged["counts"] == first["counts"]
    assert merged["containers"] == first["containers"]


def test_warnings_come_once():
    first = {**call(2, [entry("a", "x")], 1), "warnings": ["one", "two"], "deprecations": [{"msg": "old"}]}
    second = {**call(2, [entry("b", "x")], 0), "warnings": ["two", "three"], "deprecations": [{"msg": "old"}]}
    merged = merge_results(first, second)
    assert merged["warnings"] == ["one", "two", "three"]
    assert merged["deprecations"] == [{"msg": "old"}]


def test_without_diff_mode_there_is_none():
    first, second = call(2, [entry("a", "x")], 1), call(2, [entry("b", "x")], 0)
    del first["diff"], second["diff"]
    assert "diff" not in merge_results(first, second)


@given(st.lists(st.lists(st.booleans(), max_size=3), min_size=1, max_size=6), st.integers(0, 3))
def test_the_classes_always_add_up(batches, idle):
    """However a fleet is cut into batches, each container is in one class. True is one that fails."""
    todo = sum(map(len, batches))
    total = todo + idle
    result: dict[str, Any] = {}
    for number, batch in enumerate(batches):
        names = [(f"{number}-{place}", fails) for place, fails in enumerate(batch)]
        entries = [entry(name, failed=True, msg=name) if fails else entry(name, "x") for name, fails in names]
        todo -= len(entries)
        one = call(total, entries, todo)
        result = merge_results(result, one) if result else one
        assert sum(result["counts"][name] for name in CLASSES) == total
        assert result["counts"]["remaining"] == todo
    assert result["counts"]["failed"] == sum(map(sum, batches))
    assert bool(result.get("failed")) == bool(result["counts"]["failed"])


@pytest.mark.parametrize(
    "found, seconds, line",
    [
        (counts(3700, 412, remaining=3288), 5.0, "412 of 3700 containers, 82/s, 40 s left"),
        (counts(100, 3, remaining=50), 6.0, "50 of 100 containers, 0.5/s, 100 s left"),
        (counts(5000, 5, remaining=4000), 10.0, "1000 of 5000 containers, 0.5/s, 133 min left"),
        (counts(9, remaining=9), 5.0, "0 of 9 containers"),
        (counts(9, remaining=9, create=4, start=0), 5.0, "0 of 9 containers (create 4)"),
        (counts(9, 1, 1, 4), 2.0, "5 of 9 containers, 1.0/s, 4 s left, 1 failed"),
        (counts(9, 2, remaining=4, create=2, start=1), 0.0, "5 of 9 containers (create 2, start 1)"),
        (counts(9, remaining=9, a=1, b=1, c=1, d=1, e=1), 5.0, "0 of 9 containers"),
    ],
)
def test_the_line(found, seconds, line):
    assert progress_line("host1", found, seconds) == f"lxc_fleet [host1]: {line}"


@given(st.dictionaries(st.sampled_from([*CLASSES, "listed", "create"]), st.integers(0, 10**5)), st.floats(0, 10**6))
def test_there_is_always_one_line(found, seconds):
    assert re.fullmatch(r"lxc_fleet \[h\]: \d+ of \d+ containers[^\n]*", progress_line("h", found, seconds))


def test_how_long_batches_last():
    assert batch_seconds(None) == 5.0
    assert batch_seconds(-0.1) == batch_seconds(0.4) == 10.0
    assert batch_seconds(1.0) == 20.0
    assert batch_seconds(60.0) == 30.0
