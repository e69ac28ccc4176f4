# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create, configure, start, stop, freeze and destroy an LXC container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_container
short_description: Manage an LXC system container
version_added: 0.1.0
description:
  - Creates a container from a template or as a clone of another one, keeps its config file as declared,
    starts, stops, freezes and destroys it.
  - All of the config stands in the file before the container starts for the first time.
  - What is not specified is not managed. It stays as it is on the host.
  - When a step fails, the steps before it are undone, and the message says which.
author:
  - the lightervisor.lxc contributors (@lightervisor)
requirements:
  - LXC 5 or later
  - python3-lxc, for some interpreter of the target host. The module finds it.
attributes:
  check_mode:
    support: full
    description: Reports the same change and the same diff as the real run would, and writes nothing.
  diff_mode:
    support: full
    description: Shows state and config file, before and after.
  action:
    support: full
    description: An action plugin of the same name makes Ansible pack the module in less time, and does nothing else.
options:
  name:
    description:
      - The container's name. It is its host name too unless O(config) says otherwise.
    type: str
    required: true
  lxcpath:
    description:
      - The directory of containers. Every operation honours it.
      - Defaults to C(lxc.lxcpath) of C(lxc.conf), which is C(/var/lib/lxc) for root and
        C(~/.local/share/lxc) for other users unless configured.
    type: path
    aliases: [lxc_path]
  state:
    description:
      - V(present) makes sure that the container exists as declared and leaves it running or stopped as it is.
      - V(started) has it running, V(frozen) running and frozen.
      - V(stopped) shuts the guest down, see O(shutdown_timeout).
      - V(restarted) is V(started) with a restart in every case.
      - V(absent) stops and destroys it. Refused when other containers depend on its files, when something is mounted
        in it, and when it has snapshots, see O(destroy_snapshots). A root file system that is not its own, or that
        C(lxc.rootfs.managed) leaves to somebody else, stays, with a warning.
    type: str
    choices: [present, started, stopped, frozen, restarted, absent]
    default: present
  template:
    description:
      - The template that makes the root file system. Used at creation only.
      - An existing container that was made from another template is drift, see O(drift).
    type: dict
    suboptions:
      name:
        description:
          - A name such as V(download), V(local), V(oci) or V(busybox), or the absolute path of a template.
          - V(none) makes a container without a root file system.
        type: str
        required: true
      dist:
        description: Distribution, for O(template.name=download).
        type: str
      release:
        description: Release, for O(template.name=download).
        type: str
      arch:
        description: Architecture, for O(template.name=download).
        type: str
      variant:
        description: Variant of the image, for O(template.name=download).
        type: str
      server:
        description: Image server, for O(template.name=download).
        type: str
      flush_cache:
        description: Forget the local copy of the image first, for O(template.name=download).
        type: bool
      force_cache:
        description: Use the local copy of the image even when it has expired, for O(template.name=download).
        type: bool
      metadata:
        description: Path of the metadata tarball on the target host, for O(template.name=local).
        type: path
      fstree:
        description: Path of the root file system tarball on the target host, for O(template.name=local).
        type: path
      url:
        description: URL of the image as skopeo writes it, for O(template.name=oci).
        type: str
      username:
        description: User of the image registry, for O(template.name=oci).
        type: str
      password:
        description: Password of the image registry, for O(template.name=oci).
        type: str
      arguments:
        description: Further arguments, passed to the template as they are.
        type: list
        elements: str
  clone:
    description:
      - The container that this one is a copy of. Used at creation only.
      - The origin must be stopped. It is neither started nor stopped.
    type: dict
    suboptions:
      from:
        description: Name of the origin.
        type: str
        required: true
      lxcpath:
        description: The directory that the origin is in, by default O(lxcpath).
        type: path
      snapshot:
        description:
          - Share the origin's files instead of copying them. A directory becomes the lower layer of an overlay;
            btrfs, lvm and zfs make a snapshot of their own.
          - The clone depends on its origin, which can't be destroyed before it. An overlay shares its origin's
            id map as well, because it shares files and their owners.
        type: bool
        default: false
      keep_name:
        description: Leave the origin's host name in the clone.
        type: bool
        default: false
      keep_mac:
        description: Leave the origin's MAC addresses in the clone.
        type: bool
        default: false
  backingstore:
    description:
      - What the root file system lies on. Used at creation only.
      - An existing container on another backingstore is drift, see O(drift).
    type: dict
    suboptions:
      type:
        description: The backingstore, as C(lxc-create -B) names it.
        type: str
        required: true
        choices: [best, btrfs, dir, loop, lvm, overlay, rbd, zfs]
      dir:
        description:
          - Directory of the root file system, for O(backingstore.type=dir). It must be empty or not exist yet.
          - It is destroyed with the container.
        type: path
      vg:
        description: Volume group, for O(backingstore.type=lvm).
        type: str
      lv:
        description: Logical volume, for O(backingstore.type=lvm).
        type: str
      thinpool:
        description: Thin pool, for O(backingstore.type=lvm).
        type: str
      fstype:
        description: File system, for O(backingstore.type=lvm) and O(backingstore.type=loop).
        type: str
      size:
        description:
          - Size of the block device, for O(backingstore.type=lvm) and O(backingstore.type=loop), such as V(2G) or
            V(512MiB). V(K), V(M), V(G), V(T) are powers of 1024, as for LXC and LVM.
        type: str
      zfs_root:
        description: Parent data set, for O(backingstore.type=zfs).
        type: str
      rbd_name:
        description: Name of the block device, for O(backingstore.type=rbd).
        type: str
      rbd_pool:
        description: Pool, for O(backingstore.type=rbd).
        type: str
  config:
    description:
      - Keys of the container's config file, see B(lxc.container.conf(5)).
      - A value is a scalar, or a list for a key that may stand on several lines. The lines of the key are then
        exactly these, in this order.
      - V(null) removes the key from the file.
      - For keys with several lines, a mapping with C(add) and C(remove), each a list, leaves the other lines alone.
      - Values are compared by meaning (V(SIGPWR) is V(30), V(amd64) is V(x86_64)), so that only a real difference
        is a change. Comments, order and unknown lines of the file stay.
      - C(lxc.rootfs.path) can be given with O(template.name=none) only. For an existing container another one is drift,
        see O(drift).
      - Spellings of LXC 1.0 and 2.0 are translated with a warning. A key that the installed LXC would reject is
        refused before anything is written.
    type: dict
  purge_config:
    description:
      - Remove the keys that O(config) and the other options do not mention from the file.
      - The root file system, host name, id map, architecture, includes, networks and automatic mounts are not touched
        by it, nor is what confines the guest, its capabilities, seccomp, AppArmor and SELinux. Mounts that the template
        wrote are.
    type: bool
    default: false
  networks:
    description:
      - The container's network interfaces. The first is C(lxc.net.0) unless it says its C(index).
      - An interface of type V(veth) or V(macvlan) without a MAC address gets one that stays.
    type: list
    elements: dict
    suboptions:
      index:
        description: The interface's number in the config, by default its position in the list.
        type: int
      type:
        description: Kind of interface. V(none) shares the host's network, V(empty) has a loopback interface only.
        type: str
        required: true
        choices: [veth, macvlan, ipvlan, vlan, phys, empty, none]
      link:
        description: The host's bridge (V(veth)) or interface that it is attached to.
        type: str
      up:
        description: Whether it is brought up at the start. A new interface is, unless this says otherwise.
        type: bool
      name:
        description: Its name in the guest.
        type: str
      hwaddr:
        description: Its MAC address. Each C(x) is replaced once by a digit that stays.
        type: str
      mtu:
        description: Its maximum transmission unit in bytes.
        type: int
      veth_mode:
        description: For V(veth), V(bridge) makes it a port of O(networks[].link), V(router) sets static routes.
        type: str
        choices: [bridge, router]
      veth_pair:
        description: For V(veth), the name of its end on the host, at most 15 characters.
        type: str
      veth_vlan_id:
        description: For V(veth) on a bridge that filters VLANs, its untagged VLAN id, or V(none).
        type: str
      veth_vlan_tagged:
        description: For V(veth) on a bridge that filters VLANs, its tagged VLAN ids.
        type: list
        elements: int
      veth_rxqueues:
        description: For V(veth), the number of receive queues.
        type: int
      veth_txqueues:
        description: For V(veth), the number of transmit queues.
        type: int
      macvlan_mode:
        description: For V(macvlan), how it talks to others on the same link.
        type: str
        choices: [private, vepa, bridge, passthru]
      ipvlan_mode:
        description: For V(ipvlan), the layer that it works on.
        type: str
        choices: [l3, l3s, l2]
      ipvlan_isolation:
        description: For V(ipvlan), how it talks to others on the same link.
        type: str
        choices: [bridge, private, vepa]
      vlan_id:
        description: For V(vlan), its VLAN id.
        type: int
      l2proxy:
        description: Whether the host answers for its addresses on O(networks[].link).
        type: bool
      ipv4:
        description: Its addresses as C(address/prefix), with a broadcast address after a blank if need be.
        type: list
        elements: str
      ipv4_gateway:
        description: Its gateway, an address, V(auto) for the address of O(networks[].link), or V(dev).
        type: str
      ipv6:
        description: Its addresses as C(address/prefix).
        type: list
        elements: str
      ipv6_gateway:
        description: Its gateway, an address, V(auto) for the address of O(networks[].link), or V(dev).
        type: str
      veth_ipv4_routes:
        description: For V(veth), routes on the host to it, as C(network/prefix).
        type: list
        elements: str
      veth_ipv6_routes:
        description: For V(veth), routes on the host to it, as C(network/prefix).
        type: list
        elements: str
      script_up:
        description: Absolute path of a program that the host runs when it has been made.
        type: str
      script_down:
        description: Absolute path of a program that the host runs before it is taken away.
        type: str
  purge_networks:
    description: Remove the network interfaces that O(networks) does not list from the config.
    type: bool
    default: false
  autostart:
    description: Start of the container by C(lxc-autostart), as at boot.
    type: dict
    suboptions:
      auto:
        description: Whether it is started (C(lxc.start.auto)).
        type: bool
      delay:
        description: Seconds to wait after its start (C(lxc.start.delay)).
        type: int
      order:
        description: The higher, the earlier (C(lxc.start.order)).
        type: int
      groups:
        description: Groups that it belongs to (C(lxc.group)).
        type: list
        elements: str
  privileged:
    description:
      - V(true) makes a container without an id map, whose root is the host's root.
      - By default a container is unprivileged. It gets 65536 ids that no other container has, from the
        subordinate ids of the user who runs the module. See B(subuid(5)).
      - The kind of an existing container is not changed. A difference is drift, see O(drift).
    type: bool
  idmap:
    description:
      - The id map of a new container, instead of one that is chosen for it, such as V(u 0 100000 65536).
    type: list
    elements: str
  shutdown_timeout:
    description: Seconds that the guest has for a clean shutdown before it is killed. V(0) kills it at once.
    type: int
    default: 60
  restart:
    description:
      - What to do when the container runs and its config changes.
      - V(never) leaves it running. RV(restart_required) then says whether the change waits for a restart.
      - V(if_needed) restarts it when a changed key takes effect only then.
      - V(always) restarts it for every change of the file.
    type: str
    choices: [never, if_needed, always]
    default: never
  drift:
    description:
      - What to do when the existing container differs from the task in something that can't be changed in place,
        its backingstore, template, origin or id map.
    type: str
    choices: [error, warn]
    default: error
  destroy_snapshots:
    description: Let O(state=absent) destroy a container's snapshots with it.
    type: bool
    default: false
  wait_for:
    description:
      - What to wait for once the container runs. Not for O(state=frozen); without effect on one that does not run.
      - V(ipv4) and V(ipv6) wait for an address that is not link-local, V(systemd) until the guest's systemd has
        finished starting.
    type: list
    elements: str
    choices: [running, ipv4, ipv6, systemd]
  wait_interfaces:
    description: The interfaces, as the guest names them, that must have an address. By default any one will do.
    type: list
    elements: str
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 60
seealso:
  - module: lightervisor.lxc.lxc_info
  - plugin: lightervisor.lxc.lxc
    plugin_type: inventory
  - plugin: lightervisor.lxc.lxc
    plugin_type: connection
"""

EXAMPLES = r"""
- name: A running container with an address
  lightervisor.lxc.lxc_container:
    name: web
    state: started
    template:
      name: download
      dist: debian
      release: bookworm
      arch: amd64
    networks:
      - type: veth
        link: lxcbr0
        up: true
    wait_for: [ipv4]

- name: A small container from LXC's own busybox template
  lightervisor.lxc.lxc_container:
    name: small
    template:
      name: busybox
    config:
      lxc.start.order: 5
      lxc.mount.entry:
        add:
          - /srv/data srv none bind,optional,create=dir 0 0

- name: Three clones that share the files of one base
  lightervisor.lxc.lxc_container:
    name: "{{ item }}"
    state: started
    clone:
      from: base
      snapshot: true
  loop: [node1, node2, node3]

- name: A limit, applied by a restart if the container runs
  lightervisor.lxc.lxc_container:
    name: web
    config:
      lxc.prlimit.nofile: 4096
    restart: if_needed
    shutdown_timeout: 20

- name: Away with it
  lightervisor.lxc.lxc_container:
    name: small
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: ["create 'web' from the template 'busybox'", "start 'web'"]
restart_required:
  description: Whether the running container differs from its config file, which a restart would apply.
  returned: success
  type: bool
restart_keys:
  description: The keys of the config that wait for a restart.
  returned: success
  type: list
  elements: str
container:
  description:
    - The container as it is after the task. The same keys as in the list that M(lightervisor.lxc.lxc_info) returns.
  returned: success
  type: dict
  sample:
    name: web
    state: running
    pid: 4711
    lxcpath: /var/lib/lxc
log:
  description: The last lines that the failed LXC program wrote.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lightervisor.lxc.plugins.module_utils._glue import converge_container, guarded, need_binding
from ansible_collections.lightervisor.lxc.plugins.module_utils._options import CONTAINER_OPTIONS


def main():
    module = AnsibleModule(
        argument_spec=CONTAINER_OPTIONS,
        mutually_exclusive=[("template", "clone")],
        supports_check_mode=True,
    )
    need_binding(module)
    guarded(module, lambda: converge_container(module))


if __name__ == "__main__":
    main()
