# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.source import (
    STORE_OPTIONS,
    mask,
    parse_backingstore,
    parse_template,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._options import CONTAINER_OPTIONS


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"name": "busybox"}, ()),
        ({"name": "busybox", "arguments": ["--busybox-path", "/bin/x y"]}, ("--busybox-path", "/bin/x y")),
        (
            {"name": "download", "dist": "debian", "release": "trixie", "arch": "arm64"},
            ("--dist", "debian", "--release", "trixie", "--arch", "arm64"),
        ),
        (
            {"name": "/opt/lxc-download", "dist": "d", "release": "r", "arch": "a", "flush_cache": True},
            ("--dist", "d", "--release", "r", "--arch", "a", "--flush-cache"),
        ),
        ({"name": "download", "force_cache": False, "arguments": ["--list"]}, ("--list",)),
        ({"name": "local", "metadata": "/m", "fstree": "/f"}, ("--metadata", "/m", "--fstree", "/f")),
        ({"name": "oci", "url": "docker://x"}, ("--url", "docker://x")),
        ({"name": "none"}, ()),
        # AnsibleModule gives every suboption, most of them as None.
        ({"name": "busybox", "dist": None, "flush_cache": None, "arguments": None}, ()),
    ],
)
def test_template_arguments(options: dict[str, Any], arguments: tuple[str, ...]) -> None:
    assert parse_template(options).arguments == arguments


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"name": ""}, "template.name"),
        ({"name": "--help"}, "template.name"),
        ({"name": "a\nb"}, "template.name"),
        ({"name": "busybox", "dist": "debian"}, "template.dist"),
        ({"name": "busybox", "flush_cache": True}, "template.flush_cache"),
        ({"name": "download", "dist": "debian", "release": "sid"}, "template.arch"),
        ({"name": "download", "dist": "a\0b", "release": "sid", "arch": "amd64"}, "template.dist"),
        ({"name": "local", "metadata": "/m"}, "template.fstree"),
        ({"name": "oci", "username": "u"}, "template.url"),
        ({"name": "none", "arguments": ["x"]}, "template"),
        ({"name": "busybox", "arguments": ["x", "y\nz"]}, "template.arguments[1]"),
    ],
)
def test_refused_templates(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_template(options)
    assert caught.value.path == path


def test_a_password_is_a_secret() -> None:
    assert parse_template({"name": "oci", "url": "docker://x", "password": "p w"}).secrets == ("p w",)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"type": "dir", "dir": "/srv/c1"}, ["--bdev", "dir", "--dir", "/srv/c1"]),
        ({"type": "overlayfs"}, ["--bdev", "overlay"]),
        ({"type": "btrfs"}, ["--bdev", "btrfs"]),
        (
            {"type": "lvm", "vg": "vg0", "lv": "c1", "thinpool": "tp", "fstype": "xfs", "size": "10G"},
            [
                "--bdev",
                "lvm",
                "--vgname",
                "vg0",
                "--lvname",
                "c1",
                "--thinpool",
                "tp",
                "--fstype",
                "xfs",
                "--fssize",
                "10240M",
            ],
        ),
        # Never smaller than what was asked for.
        ({"type": "loop", "size": "1"}, ["--bdev", "loop", "--fssize", "1M"]),
        ({"type": "loop", "size": "1500KiB"}, ["--bdev", "loop", "--fssize", "2M"]),
        ({"type": "zfs", "zfs_root": "tank/lxc"}, ["--bdev", "zfs", "--zfsroot", "tank/lxc"]),
        ({"type": "rbd", "rbd_name": "n", "rbd_pool": "p"}, ["--bdev", "rbd", "--rbdname", "n", "--rbdpool", "p"]),
        ({"type": "best"}, ["--bdev", "best"]),
    ],
)
def test_backingstore_arguments(options: dict[str, Any], arguments: list[str]) -> None:
    assert parse_backingstore(options).create_arguments() == arguments


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"type": "floppy"}, "backingstore.type"),
        ({"type": "dir", "vg": "vg0"}, "backingstore.vg"),
        ({"type": "dir", "dir": "srv"}, "backingstore.dir"),
        ({"type": "dir", "dir": "/a\nlxc.x = 1"}, "backingstore.dir"),
        ({"type": "btrfs", "size": "1G"}, "backingstore.size"),
        ({"type": "lvm", "size": "much"}, "backingstore.size"),
        ({"type": "lvm", "vg": "--force"}, "backingstore.vg"),
        ({"type": "lvm", "vg": ""}, "backingstore.vg"),
    ],
)
def test_refused_backingstores(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_backingstore(options)
    assert caught.value.path == path


def test_every_option_of_every_store_is_in_the_argument_spec() -> None:
    spec = CONTAINER_OPTIONS["backingstore"]["options"]
    assert set(spec["type"]["choices"]) == set(STORE_OPTIONS)
    assert {option for options in STORE_OPTIONS.values() for option in options} == set(spec) - {"type"}


@pytest.mark.parametrize("place", ["/", "//", "/.", "/srv/..", "/srv/../etc", "srv/x", "../x", ""])
def test_places_where_no_rootfs_is_made(place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_backingstore({"type": "dir", "dir": place})
    assert caught.value.path == "backingstore.dir"


@pytest.mark.parametrize(
    ("arguments", "secrets"),
    [
        (["--password", "hunter2"], ("hunter2",)),
        (["--password=hunter2", "--url", "x"], ("hunter2",)),
        (["--url", "x", "--token", "t"], ("t",)),
        (["--password"], ()),
        (["password", "x"], ()),
    ],
)
def test_secrets_among_raw_arguments(arguments: list[str], secrets: tuple[str, ...]) -> None:
    template = parse_template({"name": "/opt/mine", "arguments": arguments})
    assert template.secrets == secrets
    assert all(secret not in mask(" ".join(template.arguments), template.secrets) for secret in secrets)


def test_masking() -> None:
    assert mask("a hunter2 b", ["hunter2", ""]) == "a ******** b"
    assert mask("hunter22 hunter2", ["hunter2", "hunter22"]) == "******** ********"
