# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of lxc_fleet says: how many containers, what is wrong with it and where, and what is told of failures."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils import _glue_fleet
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError


def declare(*containers: Any, **options: Any) -> Any:
    params = dict.fromkeys(("definitions", "fleet", "workers", "batch"))
    params.update(containers=list(containers), defaults={}, lxcpath="/lxc", prune=False, on_error="fail")
    return _glue_fleet._Declaration(SimpleNamespace(params={**params, **options}, no_log_values=set()))


def failure(*errors: str) -> str:
    return _glue_fleet._failure([SimpleNamespace(error=error) for error in errors])


def test_names_are_counted_and_null_is_no_name():
    items = [{"name": "a", "names": None}, {"names": "b[1:3]"}, {"names": ["c", "d[1:2]"], "name": None}]
    declared = declare(*items)
    assert declared.count == 7
    assert len(declared.fleet().members) == 7


@pytest.mark.parametrize("names", [3, [3], ["w[3:1]"], "w[", {}])
def test_names_that_are_none_have_a_path_when_they_are_counted(names, tmp_path):
    with pytest.raises(InputError) as caught:
        assert declare({"name": "a"}, {"names": names}).count
    assert caught.value.path.startswith("containers[1].names")
    file = tmp_path / "fleet.json"
    file.write_text(json.dumps([{"name": "a"}, {"name": "b"}, {"names": names}]))
    with pytest.raises(InputError) as caught:
        assert declare({"name": "c"}, definitions=str(file)).count
    assert caught.value.path.startswith(f"definitions ({file})[2].names")


@pytest.mark.parametrize(
    "item, path, near",
    [
        ({"name": "a", "stat": "started"}, "containers[1].stat", "'state'"),
        ({"name": "a", "nmes": ["b"]}, "containers[1].nmes", "'names' or 'name'"),
        ({"names": ["a[1:2]"], "foo": "{name}"}, "containers[1].foo", ""),
        ({"name": "a", "clone": {"form": "b"}}, "containers[1].clone.form", "'from'"),
        (
            {"name": "a", "networks": [{"type": "empty"}, {"type": "veth", "lnk": "br0"}]},
            "containers[1].networks[1].lnk",
            "'link'",
        ),
    ],
)
def test_an_option_that_is_none_is_named_with_its_path_and_what_it_is_like(item, path, near):
    with pytest.raises(InputError) as caught:
        declare({"name": "first"}, item).members()
    assert caught.value.path == path
    assert caught.value.problem.startswith("lxc_container has no such option")
    assert near in caught.value.problem
    assert ("Is " in caught.value.problem) == bool(near)
    assert "Supported" not in str(caught.value)


def test_an_option_of_the_defaults_that_is_none_is_named_there(tmp_path):
    with pytest.raises(InputError) as caught:
        declare({"name": "a"}, defaults={"template": {"nam": "busybox"}})
    assert caught.value.path == "defaults.template.nam"
    file = tmp_path / "fleet.json"
    file.write_text(json.dumps({"defaults": {"name": "a"}, "containers": []}))
    with pytest.raises(InputError) as caught:
        declare(definitions=str(file))
    assert caught.value.path == f"definitions ({file}).defaults.name"


def test_what_else_is_wrong_with_an_item_has_its_path():
    with pytest.raises(InputError) as caught:
        declare({"name": "first"}, {"name": "a", "state": "up"}).members()
    assert caught.value.path == "containers[1]"
    assert "state" in caught.value.problem


def test_failures_are_told_in_sentences():
    assert failure("Cannot start container 'a': no. See /log/a") == "Cannot start container 'a': no. See /log/a"
    several = [f"Cannot start container '{name}': no. See /log/{name}" for name in "abcde"]
    assert failure(*several[:2], "Cannot stop container 'x': yes.") == (
        "3 containers failed. Cannot start container 'a': no. See /log/a. Cannot start container 'b': no. See /log/b. "
        "Cannot stop container 'x': yes."
    )
    assert failure(*several).endswith("See /log/c. And 2 more, see 'containers'.")
    assert failure("same.", "same.") == "2 containers failed. same."
