# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a rootfs comes from: templates by name and by path, tarballs, none, a template that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BUSYBOX = {"name": "busybox"}
EMPTY = [{"type": "empty"}]
DOWNLOAD = {"name": "download", "dist": "debian", "release": "bookworm", "arch": "amd64"}


def image(folder: Path) -> dict:
    """Options for the template `local`: a rootfs of busybox and a few links, and the metadata that goes with it."""
    root, meta = folder / "root", folder / "meta"
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "usr/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    for name in ("bin/sh", "bin/sleep", "bin/cat"):
        (root / name).symlink_to("/bin/busybox")
    init = root / "sbin" / "init"
    init.write_text("#!/bin/sh\ntrap 'exit 0' USR1\nwhile :; do sleep 1 & wait $!; done\n")
    init.chmod(0o755)
    meta.mkdir()
    (meta / "config").write_text("lxc.signal.halt = SIGUSR1\nlxc.environment = MADE_BY=local\n")
    (meta / "config-user").write_text((meta / "config").read_text())
    (meta / "create-message").write_text("made\n")
    (meta / "templates").write_text("")
    found = {}
    for option, source in (("metadata", meta), ("fstree", root)):
        found[option] = folder / f"{option}.tar.xz"
        subprocess.run(["tar", "-C", str(source), "-cJf", str(found[option]), "."], check=True)
    return found


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_busybox_with_config_before_the_first_start(lab):
    """All of the config stands in the file before the guest starts: its init sees the environment."""
    config = {"lxc.environment": "GIVEN=at first", "lxc.start.order": 3}
    lab.cycle("c", state="started", template=BUSYBOX, networks=EMPTY, config=config)
    assert b"GIVEN=at first" in Path(f"/proc/{lab.pid('c')}/environ").read_bytes().split(b"\0")
    assert lab.item("c", "lxc.start.order") == "3"


def test_template_none(lab):
    lab.cycle("c", template={"name": "none"}, networks=EMPTY, privileged=True, config={"lxc.uts.name": "c"})
    assert not lab.lines("c", "lxc.rootfs.path")
    lab.cycle("c", state="absent")


def test_local_tarballs(lab, tmp_path):
    source = {"name": "local", **image(tmp_path)}
    done = lab.cycle("c", template=source, networks=EMPTY, state="started", shutdown_timeout=5)
    assert done["container"]["state"] == "running"
    assert "MADE_BY=local" in lab.lines("c", "lxc.environment")
    top = lab.path / "c" / "rootfs"
    assert (top / "bin" / "busybox").stat().st_uid == int(lab.lines("c", "lxc.idmap")[0].split()[2])
    lab.cycle("c", state="absent", shutdown_timeout=0)


def test_template_by_path_with_arguments(lab, tmp_path):
    text = """for word; do case $word in --path=*) folder=${word#*=};; --rootfs=*) top=${word#*=};; esac; done
mkdir -p "$top/sbin"; printf '%s\\n' "$@" > "$top/arguments"
echo "lxc.init.cmd = /sbin/nothing" >> "$folder/config" """
    template = {"name": script(tmp_path, "lxc-mine", text), "arguments": ["--flavour", "two words; $(id) `id`"]}
    lab.cycle("c", template=template, networks=EMPTY, privileged=True)
    given = (lab.path / "c" / "rootfs" / "arguments").read_text().splitlines()
    assert given[-2:] == ["--flavour", "two words; $(id) `id`"]
    assert lab.lines("c", "lxc.init.cmd") == ["/sbin/nothing"]


def test_busybox_by_path_is_the_same_template(lab):
    lab.make(template={"name": "/usr/share/lxc/templates/lxc-busybox"})
    lab.unchanged("c", template=BUSYBOX)


def test_failing_template_leaves_nothing(lab, tmp_path):
    text = """for word; do case $word in --rootfs=*) top=${word#*=};; esac; done
echo half > "$top/half"; echo "no space on the moon" >&2; exit 3"""
    template = {"name": script(tmp_path, "lxc-bad", text)}
    done = lab.task("c", template=template, networks=EMPTY, fails=True)
    assert done["msg"].startswith("Cannot create container 'c': ")
    assert "no space on the moon" in done["msg"] + "\n".join(done["log"])
    assert "Undone: what was made of 'c' is removed" in done["msg"]
    assert lab.names() == []
    lab.cycle("c", template=BUSYBOX, networks=EMPTY)


def test_unknown_template(lab):
    done = lab.task("c", template={"name": "nonesuch"}, networks=EMPTY, fails=True)
    assert "nonesuch" in done["msg"]
    assert lab.names() == []


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ({"name": "busybox", "dist": "debian"}, "template.dist"),
        ({"name": "download", "dist": "debian", "release": "bookworm"}, "template.arch"),
        ({"name": "local", "metadata": "/x"}, "template.fstree"),
        ({"name": "oci"}, "template.url"),
        ({"name": "none", "arguments": ["x"]}, "template"),
        ({"name": "-x"}, "template.name"),
        ({"name": "busybox", "arguments": ["a\nb"]}, "template.arguments[0]"),
    ],
)
def test_options_that_a_template_has_not(lab, template, path):
    done = lab.refused("c", template=template)
    assert done["path"] == path
    assert done["msg"].startswith(f"{path}: ")


def test_secret_of_a_registry_is_not_shown(lab):
    template = {"name": "oci", "url": "docker://localhost:1/none", "username": "u", "password": "s3cr3t-word"}
    predicted = lab.task("c", template=template, networks=EMPTY, check=True)
    done = lab.task("c", template=template, networks=EMPTY, fails=True)
    for result in (predicted, done):
        assert "s3cr3t-word" not in str({key: value for key, value in result.items() if key != "invocation"})
    assert lab.names() == []


def test_half_made_by_a_killed_lxc_create_is_repaired_or_removed(lab, kill_tool):
    argv = ["lxc-create", "-P", str(lab.path), "-n", "c", "-f", "/dev/null", "-t", "busybox"]
    seen = set()
    for attempt in range(8):
        kill_tool(argv, 0.03 + 0.05 * attempt)
        seen.add("partial" if (lab.path / "c" / "partial").exists() else "whole or nothing")
        if attempt % 2:
            lab.task("c", state="absent")
            assert lab.names() == []
        else:
            lab.task("c", template=BUSYBOX, networks=EMPTY, drift="warn", state="started")
            assert lab.state("c") == "RUNNING"
            lab.task("c", state="absent", shutdown_timeout=0)
    assert "partial" in seen


def test_drift_of_template_and_store(lab):
    lab.make()
    assert "made from the template 'busybox', not 'download'" in lab.refused("c", template=DOWNLOAD)["msg"]
    assert "backingstore is dir, not btrfs" in lab.refused("c", backingstore={"type": "btrfs"})["msg"]
    warned = lab.unchanged("c", template=DOWNLOAD, drift="warn")
    assert any("template 'busybox', not 'download'" in text for text in warned["warnings"])


def test_drift_of_privilege_and_map(lab):
    lab.make("priv", privileged=True)
    lab.make("own")
    assert "it is privileged" in lab.refused("priv", privileged=False)["msg"]
    assert "it is unprivileged" in lab.refused("own", privileged=True)["msg"]
    assert "another id map" in lab.refused("own", idmap=["u 0 5000000 10", "g 0 5000000 10"])["msg"]
    lab.unchanged("priv", privileged=True)
    lab.unchanged("own", privileged=False)
    assert lab.unchanged("own", privileged=True, drift="warn")["warnings"]


def test_dir_of_its_own_for_the_rootfs(lab, lxcpaths):
    top = lxcpaths() / "tops" / "c"
    lab.cycle("c", template=BUSYBOX, networks=EMPTY, backingstore={"type": "dir", "dir": str(top)}, state="started")
    assert (top / "bin").is_dir()
    lab.cycle("c", state="absent", shutdown_timeout=0)
    assert not top.exists()


def test_store_options_are_checked(lab):
    cases = {"dir": {"vg": "x"}, "btrfs": {"size": "1G"}, "loop": {"size": "much"}, "lvm": {"vg": "-x"}}
    for kind, options in cases.items():
        done = lab.refused("c", template=BUSYBOX, backingstore={"type": kind, **options})
        assert done["path"] == f"backingstore.{next(iter(options))}"


def test_btrfs_subvolume(lab_at, btrfs_path):
    lab = lab_at(btrfs_path)
    done = lab.cycle("c", template=BUSYBOX, networks=EMPTY, backingstore={"type": "btrfs"}, state="started")
    assert done["container"]["rootfs"]["backingstore"] == "btrfs"
    shown = subprocess.run(["btrfs", "subvolume", "list", str(btrfs_path)], check=True, capture_output=True, text=True)
    assert "path c/rootfs" in shown.stdout
    lab.cycle("c", state="absent", shutdown_timeout=0)
    shown = subprocess.run(["btrfs", "subvolume", "list", str(btrfs_path)], check=True, capture_output=True, text=True)
    assert shown.stdout == ""


def test_overlay_made_by_lxc_create(lab):
    done = lab.cycle("c", template=BUSYBOX, networks=EMPTY, backingstore={"type": "overlay"}, state="started")
    assert done["container"]["rootfs"]["backingstore"] == "overlay"
    lab.cycle("c", state="absent", shutdown_timeout=0)


def test_the_top_of_a_volume_is_the_guests_roots(lab):
    """Without it the guest's root can make no file in `/`, which is nobody's then."""
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices")
    store = {"type": "loop", "size": "48MiB", "fstype": "ext4"}
    lab.cycle("c", template=BUSYBOX, networks=EMPTY, backingstore=store)
    (base,) = {line.split()[2] for line in lab.lines("c", "lxc.idmap")}
    look = ["unshare", "--mount", "sh", "-ec", 'mount -o loop "$1" "$2" && stat -c %u:%g "$2" "$2/bin"', "sh"]
    place = [str(lab.path / "c" / "rootdev"), str(lab.path / "c" / "rootfs")]
    owners = subprocess.run([*look, *place], check=True, capture_output=True, text=True).stdout.split()
    assert owners == [f"{base}:{base}"] * 2
    assert not os.path.ismount(lab.path / "c" / "rootfs")


def test_size_of_a_cloned_volume(lab):
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices")
    lab.make("base", privileged=True)
    lab.make("c", clone={"from": "base"}, privileged=True, backingstore={"type": "loop", "size": "48MiB"})
    # liblxc writes one byte behind the end.
    assert os.path.getsize(lab.path / "c" / "rootdev") - (48 << 20) in (0, 1)
