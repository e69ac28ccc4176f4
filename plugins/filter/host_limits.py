# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter host_limits: the sysctls that a host of a size needs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_limits
short_description: The sysctls that an LXC host of a size needs
version_added: 0.1.0
author: the lightervisor.lxc contributors (@lightervisor)
description:
  - Computes the kernel limits that all containers of a host share, and compares them with those that the host has.
  - It is what the role P(lightervisor.lxc.host#role) sets them with. It reads and changes nothing itself.
positional: present, file
options:
  _input:
    description:
      - The size of the host, as the option O(lightervisor.lxc.host#role:main:host_size) of the role.
    type: dict
    required: true
  present:
    description:
      - Lines C(/proc/sys/kernel/pty/max:4096) for each sysctl that the host has, and lines
        C(FILE:kernel.pty.max = 4096) for each line of O(file), as C(grep -H '') prints them.
      - A sysctl without a line is one that the host has not got; it is left out of the result.
    type: list
    elements: str
    default: []
  file:
    description: The file that holds what was set before.
    type: str
    default: /etc/sysctl.d/60-lightervisor.conf
"""

EXAMPLES = r"""
- name: Show which sysctls 3,700 containers need
  ansible.builtin.debug:
    msg: "{{ ({'containers': 3700, 'bridges': 4} | lightervisor.lxc.host_limits).needed }}"
"""

RETURN = r"""
_value:
  description: What is needed and what is to be done.
  type: dict
  contains:
    needed:
      description: Every sysctl that matters to the size, with C(name), the least C(value), and C(why).
      type: list
      elements: dict
    settings:
      description:
        - What the file has to say, with C(name), C(value) and C(why).
        - A value is never below the present one. A sysctl that is high enough without the file is left out.
      type: list
      elements: dict
    low:
      description: The names of those of RV(_value.settings) that are lower at present.
      type: list
      elements: str
    nofile:
      description: The open files of one process that the size asks for, 0 for none said.
      type: int
"""

from typing import Any, Callable, Dict, Mapping, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.limits import (
    host_size,
    requirements,
    settings,
)

PROC = "/proc/sys/"
FILE = "/etc/sysctl.d/60-lightervisor.conf"


def host_limits(size: Any, present: Sequence[str] = (), file: str = FILE) -> Dict[str, Any]:
    """See RETURN."""
    if not isinstance(size, Mapping):
        raise AnsibleFilterError("host_size: it is a mapping such as {containers: 500}")
    now: Dict[str, int] = {}
    own: Dict[str, int] = {}
    for line in present:
        path, _colon, text = line.partition(":")
        name, _equals, value = text.partition("=")
        if path == file and value.strip().isdigit():
            own[name.strip()] = int(value)
        elif path.startswith(PROC) and text.strip().isdigit():
            now[path[len(PROC) :].replace("/", ".")] = int(text)
    try:
        parsed = host_size(size)
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error
    needed = requirements(parsed, now.get("kernel.pty.reserve", 1024))
    wanted = settings(needed, now, own)
    return {
        "needed": [{"name": one.name, "value": one.value, "why": one.why} for one in needed],
        "settings": [{"name": one.name, "value": one.value, "why": one.why} for one in wanted],
        "low": [one.name for one in wanted if now[one.name] < one.value],
        "nofile": parsed.nofile,
    }


class FilterModule:
    """Ansible's way to find the filters of a file."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        return {"host_limits": host_limits}
