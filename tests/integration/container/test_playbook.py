# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Through ansible-playbook, as a user runs it: archive, argument spec, --check, --diff, warnings, errors."""

from __future__ import annotations

PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/lightervisor.lxc.lxc:
      lxcpath: {path}
  tasks:
    - name: Make
      lightervisor.lxc.lxc_container:
        name: c
        state: started
        template: {{name: busybox}}
        networks: [{{type: empty}}]
        config:
          lxc.start.order: {order}
          lxc.utsname: guest
        restart: if_needed
        shutdown_timeout: 0
"""


def shown(run) -> str:
    """The diff that the user saw."""
    return run.stdout.partition("--- before: ")[2].partition("changed: [localhost]")[0]


def test_check_diff_apply_and_repeat(lab, run_playbook):
    for order, first in ((5, True), (7, False)):
        play = PLAY.format(path=lab.path, order=order)
        before = lab.hash()
        check = run_playbook(play, "--check", "--diff", fails=False)
        assert lab.hash() == before
        done = run_playbook(play, "--diff", fails=False)
        again = run_playbook(play, "--diff", fails=False)
        results = [run.result("Make") for run in (check, done, again)]
        assert [result["changed"] for result in results] == [True, True, False]
        assert shown(check) == shown(done)
        for run in (check, done):
            assert "+  lxc.start.order = " + str(order) in run.stdout
            assert f"+++ after: {lab.path}/c" in run.stdout
            assert "lxc.uts.name" in run.stdout + run.stderr
        if not first:
            assert "-  lxc.start.order = 5" in done.stdout
        assert again.changed == 0
        assert lab.item("c", "lxc.start.order") == str(order)
    assert lab.in_guest("c", "/bin/hostname") == "guest"


def test_an_error_reaches_the_user_with_its_path(lab, run_playbook):
    done = run_playbook(PLAY.format(path=lab.path, order="[1, 2]"), fails=True)
    result = done.result("Make")
    assert result["msg"].startswith("config[lxc.start.order]: ")
    assert lab.names() == []


def test_interpreter_without_the_binding(lab, run_playbook, tmp_path):
    """A Python that has no `lxc`: the module goes on under one that has."""
    play = f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Bare Python
      ansible.builtin.command: /usr/bin/python3 -m venv --without-pip {tmp_path}/bare
    - name: Make
      vars:
        ansible_python_interpreter: {tmp_path}/bare/bin/python
      lightervisor.lxc.lxc_container:
        name: c
        lxcpath: {lab.path}
        template: {{name: busybox}}
        networks: [{{type: empty}}]
"""
    assert run_playbook(play, fails=False).result("Make")["changed"]
    assert lab.names() == ["c"]
