#!/usr/bin/python
# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converge all LXC containers of a host in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_fleet
short_description: Manage many LXC system containers in one task
version_added: 0.1.0
author:
  - the lightervisor.lxc contributors (@lightervisor)
description:
  - Brings any number of containers into their declared states, reading the host once and working on several
    containers at a time.
  - Each container is planned and made as M(lightervisor.lxc.lxc_container) does it.
  - Containers that are cloned from others of the list come after these, whatever the order of the list. An origin
    that is to run is started once its clones are made.
  - Where work takes long, the task shows how far it is. Interrupted at any point, the next run goes on from there.
requirements:
  - LXC 5 or later
  - python3-lxc, for some interpreter of the target host. The module finds it.
attributes:
  check_mode:
    support: full
    description: Reports the same changes and the same diff as the real run would, and writes nothing.
  diff_mode:
    support: full
    description: Shows state and config file, before and after, of the containers that change.
  action:
    support: full
    description: An action plugin of the same name runs the module in batches and shows its progress on standard error.
  async:
    support: partial
    description: Can run in the background.
    details: The work is then one batch, without a show of its progress.
options:
  containers:
    description:
      - The containers. Each is a mapping of the options of M(lightervisor.lxc.lxc_container).
      - In place of C(name) it may have C(names), a list of patterns with ranges as in Ansible's inventories, such as
        V(web[01:50]), V(node[a:e]) or V(db[0:10:2]). The description then holds for every one of them. In its texts
        C({name}) stands for the container's name and C({number}) for the number in the pattern's first range, or the
        position where there is none; C({number:03}) writes it with three digits, C({number:x}) in hexadecimal, and a
        width has two digits at most. C(${name}) is left to the shells of guests and hooks, and of C(\{name}) and
        C(\{number}) only the backslash is taken away.
    type: list
    elements: dict
    default: []
  definitions:
    description:
      - Path of a JSON file on the target host with further containers, a list like O(containers) or a mapping of
        C(defaults) and C(containers).
      - Thousands of containers need not pass through the playbook then.
    type: path
  defaults:
    description:
      - Options of the containers that do not say otherwise. Mappings are merged, lists are replaced.
      - C({name}) stands for the container's name in them, also where the container has a single C(name).
      - A container's own C(clone) goes before a default C(template), and the other way round.
    type: dict
    default: {}
  lxcpath:
    description:
      - The directory of the containers that name no other one.
      - Defaults to C(lxc.lxcpath) of C(lxc.conf), which is C(/var/lib/lxc) for root and
        C(~/.local/share/lxc) for other users unless configured.
    type: path
    aliases: [lxc_path]
  fleet:
    description: Name of the fleet. The containers that the task makes are marked as this fleet's.
    type: str
  prune:
    description:
      - Destroy the containers that O(fleet) has made and that are no longer listed, in the lxcpaths of the task.
      - Containers that something else has made are never touched.
      - C(shutdown_timeout) and C(destroy_snapshots) of O(defaults) hold for them.
    type: bool
    default: false
  on_error:
    description:
      - What to do when a container can't be brought about.
      - V(fail) begins nothing more, and nothing at all when it is known before anything was done.
      - V(continue) goes on with all containers that do not depend on it, and fails at the end.
    type: str
    choices: [fail, continue]
    default: fail
  workers:
    description: How many containers are worked on at a time, by default twice the number of processors.
    type: int
  batch:
    description: For the action plugin, which splits long work into several calls.
    type: dict
    suboptions:
      seconds:
        description: Seconds after which no new work is begun. RV(remaining) then says how much is left.
        type: float
      since:
        description: RV(began) of the first call. Containers that were restarted after it are not restarted again.
        type: float
      failed:
        description: What went wrong in earlier calls, by path of the container. These containers are not tried again.
        type: dict
notes:
  - A run that is killed while it clones may leave the names of clones that are not there in the file
    C(lxc_snapshots) of their origin, until the task runs again. C(lxc-destroy) refuses to destroy the origin as long as
    they are in it. The modules of this collection pass over them.
seealso:
  - module: lightervisor.lxc.lxc_container
  - module: lightervisor.lxc.lxc_info
"""

EXAMPLES = r"""
- name: Fifty clones of one base, all running
  lightervisor.lxc.lxc_fleet:
    fleet: shop
    prune: true
    defaults:
      state: started
    containers:
      - name: base
        state: stopped
        template:
          name: busybox
      - names: ["web[01:50]"]
        clone:
          from: base
          snapshot: true
        networks:
          - type: veth
            link: lxcbr0
            ipv4: ["10.0.3.{number}/24"]

- name: A chain, each a clone of the one before
  lightervisor.lxc.lxc_fleet:
    defaults:
      clone:
        snapshot: true
    containers:
      - name: mysite
        clone:
          from: web
      - name: web
        clone:
          from: base

- name: What a file on the host declares
  lightervisor.lxc.lxc_fleet:
    definitions: /etc/lightervisor/fleet.json
    on_error: continue

- name: Stop them all together, and give each half a minute
  lightervisor.lxc.lxc_fleet:
    containers:
      - names: ["web[01:50]"]
        state: stopped
        shutdown_timeout: 30
"""

RETURN = r"""
containers:
  description: The containers that changed, failed, or wait for a restart, those that were pruned too.
  returned: success or failure
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container.
      type: str
      returned: always
    lxcpath:
      description: The directory that it is in.
      type: str
      returned: always
    changed:
      description: Whether something was done to it, or would be in check mode.
      type: bool
      returned: always
    actions:
      description: What was done, in order.
      type: list
      elements: str
      returned: always
    remaining:
      description: Present and true if something is still to be done to it.
      type: bool
      returned: when O(batch) or an error ended the work before its start, for which others are to be cloned from it
    failed:
      description: Present and true if it could not be brought about.
      type: bool
      returned: when it failed
    msg:
      description: Why not.
      type: str
      returned: when it failed
    restart_keys:
      description: The keys of its config that wait for a restart.
      type: list
      elements: str
      returned: when there are any
counts:
  description:
    - How many containers are V(listed), V(changed), V(unchanged), V(failed) and V(remaining), and how often each
      action was done.
  returned: success or failure
  type: dict
  sample: {"listed": 51, "changed": 50, "unchanged": 1, "failed": 0, "remaining": 0, "clone": 50, "start": 50}
remaining:
  description: How many containers are still to be done, when O(batch) or an error ended the work before.
  returned: success or failure
  type: int
began:
  description: When the work began by the clock of the target host, in seconds since 1970.
  returned: success or failure
  type: float
log:
  description: The last lines that LXC programs wrote about containers that failed.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lightervisor.lxc.plugins.module_utils._glue import guarded, need_binding
from ansible_collections.lightervisor.lxc.plugins.module_utils._glue_fleet import converge_fleet
from ansible_collections.lightervisor.lxc.plugins.module_utils._options import FLEET_OPTIONS


def main():
    module = AnsibleModule(argument_spec=FLEET_OPTIONS, supports_check_mode=True)
    need_binding(module)
    guarded(module, lambda: converge_fleet(module))


if __name__ == "__main__":
    main()
