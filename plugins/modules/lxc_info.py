# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List a host's LXC containers with their state, addresses and config."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_info
short_description: List the LXC containers of a host
version_added: 0.1.0
description:
  - Returns every container, or those of the given names, with state, addresses, root file system, relations,
    snapshots and config.
  - Containers that are not in order are listed, too. RV(containers[].broken) and RV(containers[].problem) say what is
    wrong with them.
  - Reads files, C(/proc/net/unix) and the monitors of running containers, once for all containers. Changes nothing
    and starts no program.
author:
  - the lightervisor.lxc contributors (@lightervisor)
requirements:
  - jmespath on the target host, for O(query)
attributes:
  check_mode:
    support: full
    description: Nothing is changed in either mode.
  diff_mode:
    support: none
    description: There is nothing to show, because nothing is changed.
  action:
    support: full
    description: An action plugin of the same name makes Ansible pack the module in less time, and does nothing else.
options:
  name:
    description:
      - Names of containers, or shell patterns of names such as V(web*).
      - By default all are listed. A name that no container has is no error.
    type: list
    elements: str
  lxcpath:
    description:
      - The directories of containers to look into. One that does not exist has no containers.
      - Defaults to C(lxc.lxcpath) of C(lxc.conf), which is C(/var/lib/lxc) for root and
        C(~/.local/share/lxc) for other users unless configured.
    type: list
    elements: path
    aliases: [lxc_path]
  gather:
    description:
      - What to find out. V(all) is everything below RV(containers).
      - V(states) is RV(containers[].name), RV(containers[].lxcpath) and RV(containers[].state), with O(addresses) also
        RV(containers[].interfaces), RV(containers[].ipv4) and RV(containers[].ipv6). No config is read, so that
        thousands of containers are listed in a fraction of a second.
    type: str
    choices: [all, states]
    default: all
  addresses:
    description:
      - Whether to read the addresses of running containers.
      - As root they are read in the container's network namespace, as another user from C(/proc), where there are no
        MAC addresses.
      - Defaults to V(true) with O(gather=all) and to V(false) with O(gather=states).
    type: bool
  query:
    description:
      - A JMESPath expression that is applied to the list of containers. Its value is returned as RV(result).
    type: str
seealso:
  - module: lightervisor.lxc.lxc_container
  - plugin: lightervisor.lxc.lxc
    plugin_type: inventory
  - name: JMESPath
    description: The query language.
    link: https://jmespath.org/specification.html
"""

EXAMPLES = r"""
- name: All containers
  lightervisor.lxc.lxc_info:
  register: lxc

- name: Complain about broken ones
  ansible.builtin.assert:
    that: lxc.containers | selectattr('broken') | length == 0

- name: Names and addresses of the running web servers, in two directories of containers
  lightervisor.lxc.lxc_info:
    name: ["web*"]
    lxcpath:
      - /var/lib/lxc
      - /srv/lxc
    query: "[?state=='running'].{name: name, address: ipv4[0]}"
  register: web

- name: What does not run, out of thousands
  lightervisor.lxc.lxc_info:
    gather: states
    query: "[?state!='running'].name"
  register: down
"""

RETURN = r"""
containers:
  description:
    - The containers, by lxcpath in the order of O(lxcpath), then by name.
    - With O(gather=states) each has only what is said there.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container.
      type: str
      sample: web
    lxcpath:
      description: Directory of containers that it is in.
      type: str
      sample: /var/lib/lxc
    state:
      description:
        - V(stopped), V(starting), V(running), V(stopping), V(aborting), V(freezing), V(frozen) or V(thawed), as
          C(lxc-info) has it.
        - V(unknown) if the container's monitor does not answer within a second, or not to this user.
      type: str
      sample: running
    pid:
      description: The guest's init as the host sees it, null if there is none.
      type: int
      sample: 4711
    health:
      description:
        - V(ok), or what is wrong.
        - V(creating) while C(lxc-create) or C(lxc-copy) is at work, V(partial) and V(half_cloned) if it was killed.
        - V(no_rootfs) if the root file system does not exist, V(unreadable) if LXC would not load the config or
          nothing can be concluded from it.
      type: str
      sample: ok
    broken:
      description: Whether V(health) is none of V(ok) and V(creating).
      type: bool
      sample: false
    problem:
      description: A sentence that says what is wrong, empty if nothing is.
      type: str
      sample: ""
    privileged:
      description: Whether there is no id map, so that the guest's root is the host's.
      type: bool
      sample: false
    idmap:
      description: The lines of C(lxc.idmap), those of included files among them.
      type: list
      elements: str
      sample: ["u 0 100000 65536", "g 0 100000 65536"]
    rootfs:
      description: The root file system, null if the config names none.
      type: dict
      contains:
        backingstore:
          description: V(dir), V(btrfs), V(overlay), V(lvm), V(zfs), V(loop), V(rbd), V(nbd), or empty.
          type: str
          sample: overlay
        path:
          description: Directory, block device or file; for an overlay the writable layer.
          type: str
          sample: /var/lib/lxc/web/overlay/delta
        lower:
          description: The read-only layers of an overlay, the topmost first.
          type: list
          elements: str
          sample: [/var/lib/lxc/base/rootfs]
        exists:
          description: Whether it is there. Assumed of what only a program could tell, such as a zfs data set.
          type: bool
          sample: true
        managed:
          description: Whether LXC removes it when the container is destroyed (C(lxc.rootfs.managed)).
          type: bool
          sample: true
    origin:
      description: The container that this one is a snapshot clone of, null if there is none.
      type: dict
      sample: {name: base, lxcpath: /var/lib/lxc}
    dependants:
      description: The snapshot clones that depend on this container.
      type: list
      elements: dict
      sample: []
    interfaces:
      description:
        - The interfaces inside the guest except loopback, with addresses as address/prefix.
        - Empty if it does not run, null without O(addresses).
      type: list
      elements: dict
      sample: [{name: eth0, hwaddr: "00:16:3e:aa:bb:cc", ipv4: [10.0.3.5/24], ipv6: ["fe80::216:3eff:feaa:bbcc/64"]}]
    ipv4:
      description: All IPv4 addresses that are not link-local, null without O(addresses).
      type: list
      elements: str
      sample: [10.0.3.5]
    ipv6:
      description: All IPv6 addresses that are not link-local, null without O(addresses).
      type: list
      elements: str
      sample: []
    autostart:
      description: Whether and how C(lxc-autostart) starts it; included files are regarded.
      type: dict
      sample: {auto: true, delay: 0, order: 5, groups: [onboot]}
    snapshots:
      description: Snapshots, oldest first. RV(ignore:created) is local time, empty for an interrupted one.
      type: list
      elements: dict
      sample: [{name: snap0, created: "2026-11-22 22:30:11", comment: before the upgrade}]
    config:
      description:
        - The container's own config file, key by key. The value is a list for keys that can have several.
        - Included files are not part of it.
      type: dict
      sample: {lxc.uts.name: web, lxc.group: [onboot]}
result:
  description: The value of O(query).
  returned: if O(query) is given
  type: raw
  sample: [{name: web, address: 10.0.3.5}]
"""

import fnmatch
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError, OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.liblxc import default_lxcpath
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe_host, read_host_states
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.describe import describe, describe_state

try:
    import jmespath
except ImportError:
    jmespath = None
    JMESPATH_IMPORT_ERROR = traceback.format_exc()
else:
    JMESPATH_IMPORT_ERROR = None


def read_containers(names, lxcpaths, gather="all", addresses=None):
    """The descriptions of the containers whose name is in, or matches a pattern in, `names` (None: all)."""
    for index, path in enumerate(lxcpaths):
        if not path.startswith("/") or "\n" in path or "\0" in path:
            raise InputError(f"lxcpath[{index}]", f"{path!r} is not an absolute path")

    def wanted(name):
        return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in names)

    picked = None if names is None else wanted
    if gather == "states":
        return describe_states(read_host_states(lxcpaths, picked), addresses)
    found = observe_host(lxcpaths, names=picked, addresses=addresses is not False)
    return [describe(observed) for observed in found if observed.defined]


def describe_states(states, addresses):
    """Name, lxcpath and state of each container, with `addresses` also its interfaces."""
    found = {}
    if addresses:
        from ansible_collections.lightervisor.lxc.plugins.module_utils._host.netns import addresses_of

        found = addresses_of({key: pid for key, (_state, pid) in states.items() if pid is not None})
    return [
        describe_state(name, lxcpath, state, found.get((lxcpath, name), ()) if addresses else None)
        for (lxcpath, name), (state, _pid) in states.items()
    ]


def search(query, containers):
    """The value of a JMESPath expression for the containers."""
    try:
        return jmespath.search(query, containers)
    except jmespath.exceptions.JMESPathError as error:
        raise InputError("query", str(error)) from error


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str"},
            "lxcpath": {"type": "list", "elements": "path", "aliases": ["lxc_path"]},
            "gather": {"type": "str", "choices": ["all", "states"], "default": "all"},
            "addresses": {"type": "bool"},
            "query": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    query = params["query"]
    if query is not None and jmespath is None:
        module.fail_json(msg=missing_required_lib("jmespath"), exception=JMESPATH_IMPORT_ERROR)
    try:
        lxcpaths = params["lxcpath"] or [default_lxcpath()]
        result = {"containers": read_containers(params["name"], lxcpaths, params["gather"], params["addresses"])}
        if query is not None:
            result["result"] = search(query, result["containers"])
    except (InputError, OperationError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
