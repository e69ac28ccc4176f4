# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as ordinary hosts of a playbook."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import PASSWORD, run

Inventory = Callable[..., Path]
RunPlaybook = Callable[..., Any]

MODULES = """
- hosts: all
  gather_facts: true
  tasks:
    - {name: ping, ansible.builtin.ping: }
    - {name: first copy, ansible.builtin.copy: {content: "a\\n", dest: /root/copy, mode: "0600"}}
    - {name: second copy, ansible.builtin.copy: {content: "a\\n", dest: /root/copy, mode: "0600"}}
    - {name: fetched, ansible.builtin.fetch: {src: /root/copy, dest: "{{ playbook_dir }}/fetched", flat: true}}
    - name: missing
      ansible.builtin.fetch: {src: /no/such/file, dest: "{{ playbook_dir }}/missing", flat: true}
      register: missing
      failed_when: missing is not failed
    - {name: script, ansible.builtin.script: {cmd: "{{ playbook_dir }}/script.sh 'an argument'"}, changed_when: false}
    - name: seven
      ansible.builtin.shell: {cmd: exit 7}
      register: seven
      failed_when: seven.rc != 7
      changed_when: false
    - {name: async, ansible.builtin.command: {cmd: sh -c 'sleep 2; echo late'}, async: 30, poll: 1, changed_when: false}
    - name: reset
      ansible.builtin.meta: reset_connection
    - {name: back, ansible.builtin.wait_for_connection: {timeout: 10}}
    - name: input
      ansible.builtin.command: {cmd: cat, stdin: "in ü"}
      changed_when: false
"""


def become(user: str, method: str, **more: str) -> str:
    values = {"become_user": user, "become_method": method, **more}
    lines = "".join(f"  {key}: {value}\n" for key, value in values.items())
    return f"""
- hosts: all
  gather_facts: false
  become: true
{lines}
  tasks:
    - {{name: raw, ansible.builtin.raw: "id -un; cat; exit 7", register: raw, failed_when: raw.rc != 7}}
"""


def test_values_of_set_env_are_not_shown(guest: str, inventory: Inventory, run_playbook: RunPlaybook) -> None:
    secret = "hush 'hush"
    text = "- {hosts: all, gather_facts: false, tasks: [{name: raw, ansible.builtin.raw: 'echo $TOKEN | wc -c'}]}"
    more = {"ansible_lxc_set_env": {"TOKEN": secret}, "ansible_lxc_host_become": True}
    for method in ("sudo", "su"):
        hosts = inventory(guest, **more, ansible_lxc_host_become_method=method, ansible_lxc_host_become_user="daemon")
        done = run_playbook(text, "-i", hosts, "-vvvv", fails=True)
        assert "hush" not in done.stdout + done.stderr
        assert "--set-var=TOKEN=****" in done.stdout
    done = run_playbook(text, "-i", inventory(guest, **more), "-vvvv", fails=False)
    assert done.result("raw")["stdout"].strip() == str(len(secret) + 1)
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize("pipelining", [True, False])
def test_modules(
    debian: str, inventory: Inventory, run_playbook: RunPlaybook, tmp_path: Path, pipelining: bool
) -> None:
    (tmp_path / "script.sh").write_text('#!/bin/sh\nprintf "%s." "$@"\n')
    done = run_playbook(MODULES, "-i", inventory(debian, ansible_pipelining=pipelining), fails=False)
    assert done.result("first copy")["changed"] is pipelining, "the guest is the same in both runs"
    assert done.result("second copy")["changed"] is False
    assert (tmp_path / "fetched").read_text() == "a\n"
    assert not (tmp_path / "missing").exists()
    assert done.result("script")["stdout"] == "an argument."
    assert done.result("async")["stdout"] == "late"
    assert done.result("input")["stdout"] == "in ü"


def test_check_mode_changes_nothing(debian: str, inventory: Inventory, run_playbook: RunPlaybook, guests: Path) -> None:
    play = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: copy, ansible.builtin.copy: {content: x, dest: /root/checked, mode: "0600"}}
"""
    done = run_playbook(play, "-i", inventory(debian), "--check", "--diff", fails=False)
    assert done.result("copy")["changed"] is True
    assert not (guests / debian / "rootfs/root/checked").exists()


@pytest.mark.parametrize(
    ("play", "variables", "who"),
    [
        (become("alice", "su"), {}, "alice"),
        (become("bob", "sudo"), {}, "bob"),
        (become("root", "sudo"), {"ansible_user": "alice", "ansible_become_password": PASSWORD}, "root"),
        (become("bob", "sudo"), {"ansible_user": "alice", "ansible_become_password": PASSWORD}, "bob"),
        (become("root", "su"), {"ansible_user": "alice", "ansible_become_password": PASSWORD}, "root"),
    ],
    ids=["su", "sudo", "sudo password", "sudo password to another", "su password"],
)
def test_become_in_a_debian_guest(
    debian: str, inventory: Inventory, run_playbook: RunPlaybook, play: str, variables: dict[str, str], who: str
) -> None:
    raw = run_playbook(play, "-i", inventory(debian, **variables), fails=False).result("raw")
    assert raw["stdout"].splitlines() == [who]
    assert "assword" not in raw["stderr"]


def test_modules_with_become_and_a_password(debian: str, inventory: Inventory, run_playbook: RunPlaybook) -> None:
    play = """
- hosts: all
  gather_facts: false
  become: true
  become_method: "{{ method }}"
  tasks:
    - {name: who, ansible.builtin.command: {cmd: id -un}, changed_when: false}
    - {name: copy, ansible.builtin.copy: {content: x, dest: "/root/{{ method }}", mode: "0600"}}
"""
    hosts = inventory(debian, ansible_user="alice", ansible_become_password=PASSWORD)
    for method in ("sudo", "su"):
        done = run_playbook(play, "-i", hosts, "-e", f"method={method}", fails=False)
        assert done.result("who")["stdout"] == "root"
        assert done.result("copy")["owner"] == "root"


@pytest.mark.parametrize(
    ("method", "password", "message"),
    [
        ("sudo", "wrong", "Incorrect sudo password"),
        ("sudo", None, "Missing sudo password"),
        ("su", "wrong", "Incorrect su password"),
        ("su", None, "Missing su password"),
    ],
)
def test_a_failed_become_says_why(
    debian: str,
    guests: Path,
    inventory: Inventory,
    run_playbook: RunPlaybook,
    method: str,
    password: str | None,
    message: str,
) -> None:
    run("lxc-attach", "-P", guests, "-n", debian, "--", "rm", "-rf", "/run/sudo/ts")
    variables = {"ansible_user": "alice", **({"ansible_become_password": password} if password else {})}
    raw = run_playbook(become("root", method), "-i", inventory(debian, **variables), fails=True).result("raw")
    assert message in raw["msg"]
    assert not raw.get("unreachable")


def test_raw_become_in_a_busybox_guest(guest: str, inventory: Inventory, run_playbook: RunPlaybook) -> None:
    play = become("walter", "su", become_flags="-s /bin/sh")
    assert run_playbook(play, "-i", inventory(guest), fails=False).result("raw")["stdout"].split() == ["walter"]


def test_become_with_a_password_in_a_busybox_guest(
    guest: str, guests: Path, inventory: Inventory, run_playbook: RunPlaybook
) -> None:
    passwd = guests / guest / "rootfs/etc/passwd"
    secret = run("openssl", "passwd", "-6", "-stdin", stdin=None, input=f"{PASSWORD}\n").stdout.strip()
    passwd.write_text(passwd.read_text().replace("root:x:", f"root:{secret}:"))
    hosts = inventory(guest, ansible_user="walter", ansible_become_password=PASSWORD)
    raw = run_playbook(become("root", "su"), "-i", hosts, fails=False).result("raw")
    assert raw["stdout"].split() == ["root"]


def test_who_is_not_there_is_unreachable(
    guest: str, make: Callable[..., str], inventory: Inventory, run_playbook: RunPlaybook
) -> None:
    make("asleep", start=False)
    play = "[{hosts: all, gather_facts: false, tasks: [{name: raw, ansible.builtin.raw: exit 0}]}]"
    done = run_playbook(play, "-i", inventory(guest, "asleep", "absent"), fails=True)
    assert {host: stats["unreachable"] for host, stats in done.stats.items()} == {guest: 0, "asleep": 1, "absent": 1}


def test_wait_for_connection_sees_a_container_come_up(
    debian: str, guests: Path, inventory: Inventory, run_playbook: RunPlaybook
) -> None:
    play = f"""
- hosts: all
  gather_facts: false
  tasks:
    - name: start
      ansible.builtin.shell: {{cmd: "(sleep 3; lxc-start -P {guests} -n {debian}) > /dev/null 2>&1 &"}}
      delegate_to: localhost
      connection: local
    - {{name: too early, ansible.builtin.raw: "true", ignore_unreachable: true}}
    - {{name: wait, ansible.builtin.wait_for_connection: {{timeout: 60}}}}
    - {{name: ping, ansible.builtin.ping: }}
"""
    run("lxc-stop", "-k", "-P", guests, "-n", debian)
    done = run_playbook(play, "-i", inventory(debian), fails=False)
    assert "it is not running" in done.result("too early")["msg"]
    assert 1 <= done.result("wait")["elapsed"] < 20


@pytest.mark.slow
@pytest.mark.bench
def test_a_task_costs_little_more_than_a_local_one(
    debian: str, inventory: Inventory, run_playbook: RunPlaybook, record_property: Callable[[str, object], None]
) -> None:
    tasks = "\n".join("    - {name: ping, ansible.builtin.ping: }" for _round in range(10))
    play = f"""
- hosts: all
  gather_facts: false
  tasks:
    - {{name: warm, ansible.builtin.ping: }}
{tasks}
"""
    seconds: dict[str, list[float]] = {"guest": [], "local": []}
    for _round in range(3):
        seconds["guest"].append(run_playbook(play, "-i", inventory(debian), fails=False).seconds)
        local = inventory(debian, ansible_connection="local", ansible_pipelining=True)
        seconds["local"].append(run_playbook(play, "-i", local, fails=False).seconds)
    guest, local_ = (statistics.median(seconds[kind]) / 11 for kind in ("guest", "local"))
    record_property("seconds per task", {"guest": guest, "local": local_})
    print(f"per task: guest {guest * 1000:.0f} ms, local {local_ * 1000:.0f} ms")
    assert guest < local_ * 1.3
