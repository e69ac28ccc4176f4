# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of a container, as Ansible's argument spec: shared by the modules that manage containers."""

from __future__ import annotations

from typing import Any, Dict

from ._model.container import DRIFT_POLICIES, RESTART_POLICIES, STATES
from ._model.nic_options import NIC_OPTIONS
from ._model.source import STORE_OPTIONS

CONTAINER_OPTIONS: Dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "lxcpath": {"type": "path", "aliases": ["lxc_path"]},
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "template": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "dist": {"type": "str"},
            "release": {"type": "str"},
            "arch": {"type": "str"},
            "variant": {"type": "str"},
            "server": {"type": "str"},
            "flush_cache": {"type": "bool"},
            "force_cache": {"type": "bool"},
            "metadata": {"type": "path"},
            "fstree": {"type": "path"},
            "url": {"type": "str"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "arguments": {"type": "list", "elements": "str"},
        },
    },
    "clone": {
        "type": "dict",
        "options": {
            "from": {"type": "str", "required": True},
            "lxcpath": {"type": "path"},
            "snapshot": {"type": "bool", "default": False},
            "keep_name": {"type": "bool", "default": False},
            "keep_mac": {"type": "bool", "default": False},
        },
    },
    "backingstore": {
        "type": "dict",
        "options": {
            "type": {"type": "str", "required": True, "choices": sorted(STORE_OPTIONS)},
            "dir": {"type": "path"},
            "vg": {"type": "str"},
            "lv": {"type": "str"},
            "thinpool": {"type": "str"},
            "fstype": {"type": "str"},
            "size": {"type": "str"},
            "zfs_root": {"type": "str"},
            "rbd_name": {"type": "str"},
            "rbd_pool": {"type": "str"},
        },
    },
    "config": {"type": "dict"},
    "purge_config": {"type": "bool", "default": False},
    "networks": {"type": "list", "elements": "dict", "options": NIC_OPTIONS},
    "purge_networks": {"type": "bool", "default": False},
    "autostart": {
        "type": "dict",
        "options": {
            "auto": {"type": "bool"},
            "delay": {"type": "int"},
            "order": {"type": "int"},
            "groups": {"type": "list", "elements": "str"},
        },
    },
    "privileged": {"type": "bool"},
    "idmap": {"type": "list", "elements": "str"},
    "shutdown_timeout": {"type": "int", "default": 60},
    "restart": {"type": "str", "choices": list(RESTART_POLICIES), "default": "never"},
    "drift": {"type": "str", "choices": list(DRIFT_POLICIES), "default": "error"},
    "destroy_snapshots": {"type": "bool", "default": False},
    "wait_for": {"type": "list", "elements": "str", "choices": ["running", "ipv4", "ipv6", "systemd"]},
    "wait_interfaces": {"type": "list", "elements": "str"},
    "wait_timeout": {"type": "int", "default": 60},
}

FLEET_OPTIONS: Dict[str, Any] = {
    # Each item is checked against CONTAINER_OPTIONS once the defaults are in it.
    "containers": {"type": "list", "elements": "dict", "default": []},
    "definitions": {"type": "path"},
    "defaults": {"type": "dict", "default": {}},
    "lxcpath": {"type": "path", "aliases": ["lxc_path"]},
    "fleet": {"type": "str"},
    "prune": {"type": "bool", "default": False},
    "on_error": {"type": "str", "choices": ["fail", "continue"], "default": "fail"},
    "workers": {"type": "int"},
    "batch": {
        "type": "dict",
        "options": {"seconds": {"type": "float"}, "since": {"type": "float"}, "failed": {"type": "dict"}},
    },
}
