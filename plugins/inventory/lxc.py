# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The LXC containers of this machine as an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lxc
author: the lightervisor.lxc contributors (@lightervisor)
short_description: The LXC containers of this machine
version_added: 0.1.0
description:
  - Makes a host of each container of this machine, with groups for state, C(lxc.group) and origin, and with what is
    known of the container as variables.
  - Tasks reach the guests through the P(lightervisor.lxc.lxc#connection) connection at once, without a network.
  - Reads files, C(/proc/net/unix) and the monitors of running containers, once for all containers, and starts no
    program. The machine needs neither the Python binding of LXC nor its tools for it.
  - The configuration file is named C(lxc.yml) or C(lxc.yaml), or its name ends in C(.lxc.yml) or C(.lxc.yaml).
extends_documentation_fragment:
  - constructed
  - inventory_cache
notes:
  - Every container is a host of the group C(lxc). With the default O(group_prefix) there are also
    C(lxc_state_<state>), C(lxc_group_<group>) for each C(lxc.group), C(lxc_origin_<name>) for snapshot clones of a
    container, and C(lxc_broken). Characters that a group's name can't have become underscores.
  - With the default O(var_prefix) the variables are C(lxc_name), C(lxc_lxcpath), C(lxc_state), C(lxc_pid),
    C(lxc_health), C(lxc_broken), C(lxc_problem), C(lxc_privileged), C(lxc_idmap), C(lxc_rootfs), C(lxc_origin),
    C(lxc_dependants), C(lxc_interfaces), C(lxc_ipv4), C(lxc_ipv6), C(lxc_autostart), C(lxc_snapshots) and
    C(lxc_config). See RV(lightervisor.lxc.lxc_info#module:containers) for what they are.
  - C(ansible_connection), C(ansible_host) and C(ansible_lxc_lxcpath) are set for the connection. O(compose) can set
    others in their place. C(ansible_python_interpreter) is not set.
  - A container is called what it is called in LXC. If a container in a directory that O(lxcpath) lists earlier has
    the same name, or the name is C(localhost) or a group's, it is C(<name>@<lxcpath>), with the path's slashes as
    dots, for example C(web@srv.lxc). O(states) and O(filter) have no influence on that.
  - Containers that are not in order are hosts as well; C(lxc_health) and C(lxc_problem) say what is wrong.
  - Texts from containers' config files are plain data. They are never templated. C(ansible-inventory --list) of
    ansible-core 2.19 shows texts that are not to be templated as C(__ansible_unsafe), of every inventory plugin.
requirements:
  - jmespath, for O(filter)
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [lightervisor.lxc.lxc]
  lxcpath:
    description:
      - The directories of containers to look into. One that does not exist has no containers.
      - Defaults to C(lxc.lxcpath) of C(lxc.conf), which is C(/var/lib/lxc) for root and
        C(~/.local/share/lxc) for other users unless configured.
    type: list
    elements: path
    aliases: [lxc_path]
  states:
    description: Take only containers in one of these states. All by default.
    type: list
    elements: str
    choices: [stopped, starting, running, stopping, aborting, freezing, frozen, thawed, unknown]
  filter:
    description:
      - Take only containers for which this JMESPath expression is true. It sees one container at a time, as
        M(lightervisor.lxc.lxc_info) returns it, so without O(var_prefix).
      - As always in JMESPath, null, false and empty texts, lists and objects are false.
    type: str
  addresses:
    description:
      - Whether to read the addresses of running containers.
      - As root they are read in the container's network namespace, as another user from C(/proc), where there are no
        MAC addresses.
    type: bool
    default: true
  group_prefix:
    description: What the names of groups begin with. It may be empty.
    type: str
    default: lxc_
  var_prefix:
    description: What the names of variables begin with.
    type: str
    default: lxc_
  qualify:
    description:
      - Whether every container that is not in the first directory of O(lxcpath) is called C(<name>@<lxcpath>).
      - A host's name then never depends on which other containers there are.
    type: bool
    default: false
seealso:
  - module: lightervisor.lxc.lxc_info
  - plugin: lightervisor.lxc.lxc
    plugin_type: connection
"""

EXAMPLES = r"""
# lxc.yml: every container of this machine
plugin: lightervisor.lxc.lxc

---
# web.lxc.yml: running containers of the LXC group "web" in two directories
plugin: lightervisor.lxc.lxc
lxcpath:
  - /var/lib/lxc
  - /srv/lxc
states: [running]
filter: contains(autostart.groups, 'web') && !broken
keyed_groups:
  - key: lxc_rootfs.backingstore
    prefix: store
compose:
  # Through the network instead of lxc-attach
  ansible_connection: "'ssh'"
  ansible_host: lxc_ipv4[0]

---
# cached.lxc.yml: asked again after ten minutes
plugin: lightervisor.lxc.lxc
cache: true
cache_plugin: jsonfile
cache_connection: ~/.cache/ansible/inventory
cache_timeout: 600
"""

import os

from ansible import constants as C
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import default_lxcpath, observe_host
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.describe import describe

try:
    import jmespath
except ImportError:
    jmespath = None

try:
    # ansible-core 2.19 and later template only what is marked as trusted.
    from ansible.template import is_trusted_as_template as _trust  # noqa: F401
except ImportError:
    from ansible.utils.unsafe_proxy import wrap_var as as_data
else:

    def as_data(value):
        """The value as something that is never templated."""
        return value


CONNECTION = "lightervisor.lxc.lxc"
#: The layout of what is cached: another one is not used.
CACHE_FORMAT = 1


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin."""

    NAME = "lightervisor.lxc.lxc"

    def verify_file(self, path):
        """Whether the file can be this plugin's, by its name."""
        name = os.path.basename(path)
        ours = name in ("lxc.yml", "lxc.yaml") or name.endswith((".lxc.yml", ".lxc.yaml"))
        return ours and super().verify_file(path)

    def parse(self, inventory, loader, path, cache=True):
        """Fill the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        lxcpaths = self.get_option("lxcpath") or [default_lxcpath()]
        for index, lxcpath in enumerate(lxcpaths):
            if not lxcpath.startswith("/") or "\n" in lxcpath or "\0" in lxcpath:
                raise AnsibleParserError(f"lxcpath[{index}]: {lxcpath!r} is not an absolute path")
        containers = self._containers(path, lxcpaths, cache)
        chosen = self._chosen()
        self._populate((name, one) for name, one in self._named(containers, lxcpaths) if chosen(one))

    def _containers(self, path, lxcpaths, cache):
        """The descriptions of all containers, from the cache if it may be used and has them."""
        asked = {"format": CACHE_FORMAT, "lxcpath": list(lxcpaths), "addresses": self.get_option("addresses")}
        key = self.get_cache_key(path)
        if self.get_option("cache") and cache:
            try:
                known = self._cache[key]
            except KeyError:
                known = {}
            if {name: known.get(name) for name in asked} == asked:
                return known["containers"]
        try:
            found = observe_host(lxcpaths, addresses=asked["addresses"])
        except OperationError as error:
            raise AnsibleParserError(str(error)) from None
        containers = [describe(observed) for observed in found if observed.defined]
        if self.get_option("cache"):
            self._cache[key] = {**asked, "containers": containers}
        return containers

    def _chosen(self):
        """A function that says whether `states` and `filter` take a container."""
        states, query = self.get_option("states"), self.get_option("filter")
        if query and jmespath is None:
            raise AnsibleParserError("filter: it needs the Python library jmespath on the Ansible controller")

        def chosen(container):
            if states and container["state"] not in states:
                return False
            if not query:
                return True
            try:
                value = jmespath.search(query, container)
            except jmespath.exceptions.JMESPathError as error:
                raise AnsibleParserError(f"filter: {error}") from None
            # In JMESPath, 0 is true.
            return bool(value) or (value is not False and value == 0)

        return chosen

    def _named(self, containers, lxcpaths):
        """(host name, container): names are unique, whatever containers are called."""
        first = os.path.normpath(lxcpaths[0])
        taken = {"all", "ungrouped", *C.LOCALHOST, *self.inventory.groups}
        taken.update(group for container in containers for group in self._native_groups(container))
        for container in containers:
            name = base = container["name"]
            foreign = self.get_option("qualify") and os.path.normpath(container["lxcpath"]) != first
            if name in taken or foreign:
                name = base = f"{name}@{container['lxcpath'].strip('/').replace('/', '.')}"
            number = 2
            while name in taken:
                name, number = f"{base}.{number}", number + 1
            taken.add(name)
            yield name, container

    def _populate(self, hosts):
        prefix, strict = self.get_option("var_prefix"), self.get_option("strict")
        for name, container in hosts:
            for group in self._native_groups(container):
                self.inventory.add_host(name, group=self.inventory.add_group(group))
            for key, value in container.items():
                self.inventory.set_variable(name, prefix + key, as_data(value))
            self.inventory.set_variable(name, "ansible_connection", CONNECTION)
            self.inventory.set_variable(name, "ansible_host", as_data(container["name"]))
            self.inventory.set_variable(name, "ansible_lxc_lxcpath", as_data(container["lxcpath"]))
            variables = self.inventory.get_host(name).get_vars()
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), {}, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), {}, name, strict=strict)

    def _native_groups(self, container):
        """The names of the groups that a container is in without anybody asking for them."""
        names = [f"state_{container['state']}"]
        names += [f"group_{group}" for group in container["autostart"]["groups"]]
        if container["origin"]:
            names.append(f"origin_{container['origin']['name']}")
        if container["broken"]:
            names.append("broken")
        prefix = self.get_option("group_prefix")
        return ["lxc", *(self._sanitize_group_name(prefix + name) for name in names)]
