# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The config file: what is declared is there once and in effect, everything else stays as it was."""

from __future__ import annotations

import subprocess

import pytest

ENTRIES = [f"/usr/share opt/{name} none ro,bind,create=dir 0 0" for name in ("one", "two", "three")]


def test_there_and_back_leaves_one_line_and_the_effective_value(lab):
    lab.make()
    for order in (5, 7, 5, 9):
        lab.cycle("c", config={"lxc.start.order": order})
        assert lab.lines("c", "lxc.start.order") == [str(order)]
        assert lab.item("c", "lxc.start.order") == str(order)


def test_lines_that_a_hand_doubled_become_one(lab):
    lab.make()
    lab.edit("c", "lxc.start.order = 5", "# a comment", "lxc.start.order = 7")
    lab.cycle("c", config={"lxc.start.order": 5})
    assert lab.lines("c", "lxc.start.order") == ["5"]
    assert lab.item("c", "lxc.start.order") == "5"
    assert "# a comment" in lab.config("c")


def test_three_mount_entries_less_one(lab):
    lab.make()
    before = lab.lines("c", "lxc.mount.entry")
    lab.cycle("c", config={"lxc.mount.entry": {"add": ENTRIES}})
    assert lab.lines("c", "lxc.mount.entry") == before + ENTRIES
    lab.cycle("c", config={"lxc.mount.entry": {"remove": [ENTRIES[1]]}})
    assert lab.lines("c", "lxc.mount.entry") == [*before, ENTRIES[0], ENTRIES[2]]
    lab.cycle("c", config={"lxc.mount.entry": {"add": [ENTRIES[1]], "remove": [ENTRIES[0]]}})
    assert lab.lines("c", "lxc.mount.entry") == [*before, ENTRIES[2], ENTRIES[1]]
    lab.cycle("c", config={"lxc.mount.entry": [*before, *ENTRIES]})
    assert lab.lines("c", "lxc.mount.entry") == before + ENTRIES
    assert lab.item("c", "lxc.mount.entry").splitlines() == before + ENTRIES
    lab.task("c", state="started")
    assert lab.in_guest("c", "/bin/ls", "/opt").split() == ["one", "three", "two"]


def test_two_id_maps_as_config(lab, subids):
    first = subids[0] + subids[1] - 200000
    lines = [f"u 0 {first} 65536", f"g 0 {first} 65536"]
    lab.cycle("c", template={"name": "busybox"}, networks=[{"type": "empty"}], config={"lxc.idmap": lines})
    assert lab.lines("c", "lxc.idmap") == lines
    assert (lab.path / "c" / "rootfs" / "bin").stat().st_uid == first
    more = [*lines, f"g 70000 {first + 70000} 10"]
    lab.cycle("c", config={"lxc.idmap": more})
    assert lab.lines("c", "lxc.idmap") == more
    lab.cycle("c", config={"lxc.idmap": lines})
    assert lab.lines("c", "lxc.idmap") == lines
    lab.task("c", state="started")
    assert lab.in_guest("c", "/bin/id", "-u") == "0"


def test_null_removes_a_key(lab):
    lab.make(config={"lxc.start.order": 5, "lxc.environment": ["A=1", "B=2"]})
    text = lab.config("c")
    lab.cycle("c", config={"lxc.start.order": None, "lxc.environment": None, "lxc.start.delay": None})
    gone = [line for line in text.splitlines() if line not in lab.config("c").splitlines()]
    assert gone == ["lxc.start.order = 5", "lxc.environment = A=1", "lxc.environment = B=2"]


def test_purge_keeps_what_makes_and_what_confines_the_container(lab):
    lab.make(config={"lxc.start.order": 5, "lxc.environment": ["A=1"]})
    made = ("lxc.rootfs.path", "lxc.uts.name", "lxc.idmap", "lxc.net.0.type", "lxc.cap.drop")
    kept = {key: lab.lines("c", key) for key in made}
    assert all(kept.values()) and lab.lines("c", "lxc.tty.max") and lab.lines("c", "lxc.mount.entry")
    lab.cycle("c", config={"lxc.environment": ["A=1"]}, purge_config=True)
    for key in ("lxc.start.order", "lxc.tty.max", "lxc.mount.entry", "lxc.signal.halt"):
        assert not lab.lines("c", key)
    assert lab.lines("c", "lxc.environment") == ["A=1"]
    assert {key: lab.lines("c", key) for key in made} == kept


def test_only_what_differs_in_meaning_is_changed(lab):
    lab.make(config={"lxc.signal.halt": "SIGPWR", "lxc.arch": "amd64", "lxc.start.auto": True})
    lab.cycle("c", changed=False, config={"lxc.signal.halt": 30, "lxc.arch": "x86_64", "lxc.start.auto": "1"})


def test_comments_and_foreign_lines_stay(lab):
    lab.make()
    lab.edit("c", "", "   # mine", "other.key = 1", "lxc.start.order=3   ")
    lines = lab.config("c").splitlines()
    lab.cycle("c", config={"lxc.start.order": 4})
    after = lab.config("c").splitlines()
    assert len(after) == len(lines)
    changed = [new for old, new in zip(lines, after) if old != new]
    assert [line.replace(" ", "") for line in changed] == ["lxc.start.order=4"]


def test_autostart(lab):
    lab.make("one", autostart={"auto": True, "order": 10, "delay": 1, "groups": ["web", "onboot"]})
    lab.make("two")
    listed = ["lxc-autostart", "-P", str(lab.path), "-L", "-g", "web"]

    def names() -> list[str]:
        shown = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
        return [line.split()[0] for line in shown.splitlines() if line.strip()]

    assert names() == ["one"]
    lab.cycle("two", autostart={"auto": True, "order": 20, "groups": ["web"]})
    assert sorted(names()) == ["one", "two"]
    lab.cycle("one", autostart={"groups": ["onboot"]})
    assert names() == ["two"]
    done = lab.cycle("two", autostart={"auto": False})
    assert names() == []
    assert done["container"]["autostart"] == {"auto": False, "delay": 0, "order": 20, "groups": ["web"]}


def test_restart_policies(lab):
    lab.make(state="started")
    pid = lab.pid("c")
    done = lab.cycle("c", config={"lxc.start.order": 3}, restart="if_needed", shutdown_timeout=0)
    assert (lab.pid("c"), done["restart_required"]) == (pid, False)
    done = lab.cycle("c", config={"lxc.environment": ["A=1"]})
    assert (lab.pid("c"), done["restart_required"], done["restart_keys"]) == (pid, True, ["lxc.environment"])
    # The repeated run still says so, until somebody restarts it.
    assert lab.unchanged("c", config={"lxc.environment": ["A=1"]})["restart_required"]
    done = lab.cycle("c", restart="if_needed", shutdown_timeout=0)
    assert lab.pid("c") != pid
    assert not done["restart_required"]
    pid = lab.pid("c")
    done = lab.cycle("c", config={"lxc.environment": ["A=2"]}, restart="if_needed", shutdown_timeout=0)
    assert (lab.pid("c") != pid, done["restart_required"]) == (True, False)
    pid = lab.pid("c")
    done = lab.cycle("c", config={"lxc.start.order": 4}, restart="always", shutdown_timeout=0)
    assert (lab.pid("c") != pid, done["restart_required"]) == (True, False)
    done = lab.cycle("c", config={"lxc.environment": ["A=3"]}, state="restarted", repeat=False, shutdown_timeout=0)
    assert not done["restart_required"]


def test_edit_by_hand_is_seen_as_pending(lab):
    lab.make(state="started", config={"lxc.environment": ["A=1"]})
    pid = lab.pid("c")
    # The file's time has to be later than the guest's start, which the kernel counts in hundredths of a second.
    lab.edit("c", "lxc.environment = B=2")
    done = lab.unchanged("c", state="started")
    assert done["restart_keys"] == ["lxc.environment"]
    done = lab.cycle("c", state="started", restart="if_needed", shutdown_timeout=0)
    assert (lab.pid("c") != pid, done["restart_required"]) == (True, False)


def test_key_removed_by_hand_is_pending(lab):
    lab.make(state="started", config={"lxc.environment": ["A=1"]})
    config = lab.path / "c" / "config"
    config.write_text(config.read_text().replace("lxc.environment = A=1\n", ""))
    assert lab.unchanged("c", state="started")["restart_keys"] == ["lxc.environment"]


def test_running_container_equals_its_file(lab):
    """With keys of all sorts: a file that was only touched is not taken for another one."""
    config = {
        "lxc.environment": ["A=1", "B=two words"],
        "lxc.cap.drop": ["sys_time sys_module", "mac_admin"],
        "lxc.mount.auto": "proc sys cgroup:mixed",
        "lxc.mount.entry": {"add": ENTRIES},
        "lxc.signal.stop": "SIGKILL",
        "lxc.arch": "amd64",
        "lxc.prlimit.nofile": "1024:2048",
        "lxc.sysctl.net.ipv4.ip_forward": 1,
        "lxc.hook.stop": "/bin/true",
        "lxc.hook.version": 1,
        "lxc.console.buffer.size": "auto",
        "lxc.console.logfile": "/dev/null",
        "lxc.init.cwd": "/tmp",
        "lxc.log.level": "info",
        "lxc.no_new_privs": True,
        "lxc.ephemeral": False,
        "lxc.autodev.tmpfs.size": 400000,
        "lxc.time.offset.boot": "1s",
        "lxc.seccomp.profile": None,
    }
    lab.make(state="started", config=config)
    (lab.path / "c" / "config").touch()
    assert lab.unchanged("c", state="started", config=config)["restart_keys"] == []


def test_frozen_container_is_restarted_and_frozen_again(lab):
    lab.make(state="frozen")
    pid = lab.pid("c")
    lab.cycle("c", config={"lxc.environment": ["A=1"]}, restart="if_needed", shutdown_timeout=0)
    assert (lab.state("c"), lab.pid("c") != pid) == ("FROZEN", True)


def test_legacy_keys_are_translated_with_a_warning(lab):
    old = {"lxc.utsname": "old-name", "lxc.tty": 2, "lxc.mount": "/dev/null", "lxc.haltsignal": "SIGPWR"}
    lab.make()
    done = lab.cycle("c", config=old)
    assert lab.item("c", "lxc.uts.name") == "old-name"
    assert (lab.lines("c", "lxc.tty.max"), lab.lines("c", "lxc.signal.halt")) == (["2"], ["SIGPWR"])
    for key in ("lxc.uts.name", "lxc.tty.max", "lxc.mount.fstab", "lxc.signal.halt"):
        assert any(key in text for text in done["warnings"]), key
    assert "lxc.utsname" not in lab.config("c")


def test_legacy_network(lab, bridge):
    lab.make()
    old = {"lxc.network.type": "veth", "lxc.network.link": bridge, "lxc.network.flags": "up"}
    done = lab.cycle("c", config=old, state="started")
    assert lab.lines("c", "lxc.net.0.type") == ["veth"]
    assert any("lxc.net.0.type" in text for text in done["warnings"])
    assert "eth0" in lab.in_guest("c", "/bin/ls", "/sys/class/net")


@pytest.mark.parametrize(
    ("config", "path", "says"),
    [
        ({"lxc.no.such": 1}, "config[lxc.no.such]", "no key"),
        ({"lxc.start.order": 1, "lxc.sart.auto": 1}, "config[lxc.sart.auto]", "no key"),
        ({"lxc.start.order": [1, 2]}, "config[lxc.start.order]", "one value"),
        ({"lxc.environment": ["A=1\nlxc.idmap ="]}, "config[lxc.environment][0]", "newline"),
        ({"lxc.uts.name": "a\0b"}, "config[lxc.uts.name]", "NUL"),
        ({"lxc.environment\nlxc.x": 1}, "", ""),
        ({"lxc.environment": {"add": ["A=1"], "drop": ["B=1"]}}, "config[lxc.environment]", "'add' and 'remove'"),
        ({"lxc.start.order": {"add": [1]}}, "config[lxc.start.order]", "one value"),
    ],
)
def test_what_liblxc_would_reject_is_refused_before_anything_is_written(lab, config, path, says):
    lab.make()
    done = lab.refused("c", config=config)
    assert says in done["msg"]
    if path:
        assert done["path"] == path
    assert lab.refused("new", template={"name": "busybox"}, config=config)["msg"] == done["msg"]
    assert lab.names() == ["c"]


def test_value_that_only_liblxc_can_judge(lab):
    """Refused by liblxc itself, from memory: the file is never written, the running container goes on."""
    lab.make(state="started")
    before, pid = lab.hash(), lab.pid("c")
    done = lab.task("c", config={"lxc.start.auto": 1, "lxc.pty.max": "many"}, fails=True)
    assert "liblxc does not load the new config: it refuses the line 'lxc.pty.max = many'" in done["msg"]
    assert (lab.hash(), lab.pid("c")) == (before, pid)


def test_include_is_respected_and_outranked(lab, tmp_path):
    extra = tmp_path / "extra.conf"
    extra.write_text("lxc.start.order = 8\n")
    lab.make()
    lab.edit("c", f"lxc.include = {extra}")
    lab.cycle("c", changed=False, config={"lxc.start.delay": None})
    lab.cycle("c", config={"lxc.start.order": 2})
    assert lab.item("c", "lxc.start.order") == "2"
