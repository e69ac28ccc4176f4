# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data for the tests of the config files: a valid value for each row of the key table, and old configs."""

from __future__ import annotations

#: A value that liblxc takes, by row of the table; for a family, `.rest of the key|value`.
VALUE_EXAMPLES = {
    "lxc.arch": "x86_64",
    "lxc.apparmor.profile": "unconfined",
    "lxc.apparmor.allow_incomplete": "1",
    "lxc.apparmor.allow_nesting": "1",
    "lxc.apparmor.raw": "mount,",
    "lxc.autodev": "1",
    "lxc.autodev.tmpfs.size": "1000000",
    "lxc.cap.drop": "sys_module mac_admin",
    "lxc.cap.keep": "chown kill",
    "lxc.cgroup": "",
    "lxc.cgroup.*": ".blkio.throttle.read_bps_device|8:0 1048576",
    "lxc.cgroup.memory.*": ".limit_in_bytes|128M",
    "lxc.cgroup.cpu.*": ".shares|512",
    "lxc.cgroup.cpuset.*": ".cpus|0-1",
    "lxc.cgroup.pids.*": ".max|100",
    "lxc.cgroup.hugetlb.*": ".2MB.limit_in_bytes|4M",
    "lxc.cgroup.freezer.*": ".state|THAWED",
    "lxc.cgroup.net_cls.*": ".classid|0x100001",
    "lxc.cgroup2": "",
    "lxc.cgroup2.*": ".dmem.max|drm/0 1G",
    "lxc.cgroup2.memory.*": ".high|512M",
    "lxc.cgroup2.memory.max": "1G",
    "lxc.cgroup2.memory.low": "64M",
    "lxc.cgroup2.memory.swap.max": "max",
    "lxc.cgroup2.cpu.*": ".idle|1",
    "lxc.cgroup2.cpu.weight": "50",
    "lxc.cgroup2.cpu.max": "50000 100000",
    "lxc.cgroup2.cpuset.*": ".cpus.partition|root",
    "lxc.cgroup2.cpuset.cpus": "0-1,3",
    "lxc.cgroup2.cpuset.mems": "0",
    "lxc.cgroup2.pids.*": ".max.other|1",
    "lxc.cgroup2.pids.max": "100",
    "lxc.cgroup2.hugetlb.*": ".2MB.max|4M",
    "lxc.cgroup2.cgroup.*": ".max.depth|4",
    "lxc.cgroup2.devices.allow": "c 1:3 rwm",
    "lxc.cgroup2.devices.deny": "a",
    "lxc.cgroup2.io.max": "8:0 rbps=1048576",
    "lxc.cgroup2.io.weight": "8:0 50",
    "lxc.cgroup2.rdma.max": "mlx4_0 hca_handle=2",
    "lxc.cgroup2.misc.max": "res_a 1",
    "lxc.cgroup.dir": "lxc/here",
    "lxc.cgroup.dir.container": "lxc/container",
    "lxc.cgroup.dir.container.inner": "inner",
    "lxc.cgroup.dir.monitor": "lxc/monitor",
    "lxc.cgroup.dir.monitor.pivot": "lxc/pivot",
    "lxc.cgroup.relative": "1",
    "lxc.console.buffer.size": "64KB",
    "lxc.console.logfile": "/var/log/console",
    "lxc.console.path": "none",
    "lxc.console.rotate": "1",
    "lxc.console.size": "auto",
    "lxc.environment": "PATH=/bin",
    "lxc.environment.hooks": "A=1",
    "lxc.environment.runtime": "A=1",
    "lxc.ephemeral": "1",
    "lxc.execute.cmd": "/bin/true",
    "lxc.group": "onboot web",
    "lxc.hook": "",
    "lxc.hook.autodev": "/hook a b",
    "lxc.hook.clone": "/hook",
    "lxc.hook.destroy": "/hook",
    "lxc.hook.mount": "/hook",
    "lxc.hook.post-stop": "/hook",
    "lxc.hook.pre-mount": "/hook",
    "lxc.hook.pre-start": "/hook",
    "lxc.hook.start": "/hook",
    "lxc.hook.start-host": "/hook",
    "lxc.hook.stop": "/hook",
    "lxc.hook.version": "1",
    "lxc.idmap": "u 0 100000 65536",
    "lxc.include": "/usr/share/lxc/config/common.conf",
    "lxc.init.cmd": "/sbin/init --debug",
    "lxc.init.cwd": "/srv",
    "lxc.init.gid": "1000",
    "lxc.init.groups": "1000,1001",
    "lxc.init.uid": "1000",
    "lxc.keyring.session": "1",
    "lxc.log.file": "/var/log/lxc.log",
    "lxc.log.level": "DEBUG",
    "lxc.log.syslog": "daemon",
    "lxc.monitor.signal.pdeath": "SIGKILL",
    "lxc.monitor.unshare": "1",
    "lxc.mount.auto": "proc:mixed sys:ro cgroup:mixed",
    "lxc.mount.entry": "/srv srv none bind,create=dir 0 0",
    "lxc.mount.fstab": "/var/lib/lxc/a/fstab",
    "lxc.namespace.clone": "net ipc",
    "lxc.namespace.keep": "net user",
    "lxc.namespace.share.*": ".net|other",
    "lxc.net": "",
    "lxc.net.N": "",
    "lxc.net.N.flags": "up",
    "lxc.net.N.hwaddr": "00:16:3e:00:00:01",
    "lxc.net.N.ipv4.address": "10.0.0.2/24 10.0.0.255",
    "lxc.net.N.ipv4.gateway": "10.0.0.1",
    "lxc.net.N.ipv6.address": "fd00::2/64",
    "lxc.net.N.ipv6.gateway": "auto",
    "lxc.net.N.ipvlan.isolation": "bridge",
    "lxc.net.N.ipvlan.mode": "l3",
    "lxc.net.N.l2proxy": "1",
    "lxc.net.N.link": "lxcbr0",
    "lxc.net.N.macvlan.mode": "bridge",
    "lxc.net.N.mtu": "1400",
    "lxc.net.N.name": "eth0",
    "lxc.net.N.script.down": "/down a",
    "lxc.net.N.script.up": "/up",
    "lxc.net.N.type": "veth",
    "lxc.net.N.veth.ipv4.route": "192.0.2.0/24",
    "lxc.net.N.veth.ipv6.route": "2001:db8::/32",
    "lxc.net.N.veth.mode": "router",
    "lxc.net.N.veth.n_rxqueues": "2",
    "lxc.net.N.veth.n_txqueues": "2",
    "lxc.net.N.veth.pair": "veth-a",
    "lxc.net.N.veth.vlan.id": "10",
    "lxc.net.N.veth.vlan.tagged.id": "20",
    "lxc.net.N.vlan.id": "30",
    "lxc.no_new_privs": "1",
    "lxc.prlimit": "",
    "lxc.prlimit.*": ".nofile|1024:4096",
    "lxc.proc": "",
    "lxc.proc.*": ".oom_score_adj|10",
    "lxc.pty.max": "1024",
    "lxc.rootfs.managed": "0",
    "lxc.rootfs.mount": "/mnt",
    "lxc.rootfs.options": "noatime",
    "lxc.rootfs.path": "dir:/var/lib/lxc/a/rootfs",
    "lxc.sched.core": "0",
    "lxc.seccomp.allow_nesting": "1",
    "lxc.seccomp.notify.cookie": "cookie",
    "lxc.seccomp.notify.proxy": "unix:/run/proxy",
    "lxc.seccomp.profile": "/etc/lxc/seccomp",
    "lxc.selinux.context": "system_u:system_r:lxc_t:s0:c22",
    "lxc.selinux.context.keyring": "system_u:system_r:lxc_t:s0:c22",
    "lxc.signal.halt": "SIGRTMIN+4",
    "lxc.signal.reboot": "SIGTERM",
    "lxc.signal.stop": "SIGKILL",
    "lxc.start.auto": "1",
    "lxc.start.delay": "5",
    "lxc.start.order": "-5",
    "lxc.sysctl": "",
    "lxc.sysctl.*": ".net.ipv4.ip_forward|1",
    "lxc.time.offset.boot": "10h",
    "lxc.time.offset.monotonic": "-5s",
    "lxc.tty.dir": "lxc",
    "lxc.tty.max": "4",
    "lxc.uts.name": "name",
}

#: Configs for LXC 1.0 as its introductions printed them.
LEGACY_EXAMPLES = {
    "id map": "lxc.id_map = u 0 100000 65536\nlxc.id_map = g 0 100000 65536\n",
    "unprivileged default.conf": """\
lxc.network.type = veth
lxc.network.link = lxcbr0
lxc.network.flags = up
lxc.network.hwaddr = 00:16:3e:xx:xx:xx
lxc.id_map = u 0 100000 65536
lxc.id_map = g 0 100000 65536
""",
    "memory limit": "lxc.cgroup.memory.limit_in_bytes = 134217728\n",
    "devices": """\
# Default cgroup limits
lxc.cgroup.devices.deny = a
## Allow any mknod (but not using the node)
lxc.cgroup.devices.allow = c *:* m
lxc.cgroup.devices.allow = b *:* m
## /dev/null and zero
lxc.cgroup.devices.allow = c 1:3 rwm
lxc.cgroup.devices.allow = c 1:5 rwm
## consoles
lxc.cgroup.devices.allow = c 5:0 rwm
lxc.cgroup.devices.allow = c 5:1 rwm
## /dev/{,u}random
lxc.cgroup.devices.allow = c 1:8 rwm
lxc.cgroup.devices.allow = c 1:9 rwm
## /dev/pts/*
lxc.cgroup.devices.allow = c 5:2 rwm
lxc.cgroup.devices.allow = c 136:* rwm
## rtc
lxc.cgroup.devices.allow = c 254:0 rm
## fuse
lxc.cgroup.devices.allow = c 10:229 rwm
## tun
lxc.cgroup.devices.allow = c 10:200 rwm
## full
lxc.cgroup.devices.allow = c 1:7 rwm
## hpet
lxc.cgroup.devices.allow = c 10:228 rwm
## kvm
lxc.cgroup.devices.allow = c 10:232 rwm
""",
    "AppArmor profile": "lxc.aa_profile = lxc-container-default-with-nesting\n",
    "SELinux context": "lxc.se_context = unconfined_u:unconfined_r:lxc_t:s0-s0:c0.c1023\n",
    "seccomp policy": "lxc.seccomp = /etc/lxc/seccomp.policy\n",
    "network scripts": """\
lxc.network.type = veth
lxc.network.script.up = /etc/lxc/up
lxc.network.script.down = /etc/lxc/down
""",
    "Android": """\
lxc.rootfs = /var/lib/lxc/android/rootfs
lxc.utsname = armhf

lxc.network.type = none

lxc.devttydir = lxc
lxc.tty = 4
lxc.pts = 1024
lxc.arch = armhf
lxc.cap.drop = mac_admin mac_override
lxc.pivotdir = lxc_putold

lxc.hook.pre-start = /var/lib/lxc/android/pre-start.sh

lxc.aa_profile = unconfined
""",
}
#: Lines from the same introductions that were right then and are right now.
CURRENT_EXAMPLES = (
    "lxc.hook.pre-start = /var/lib/lxc/p1/pre-start.sh\n",
    "lxc.mount.entry = /lib /var/lib/lxc/vm0/rootfs/lib none ro,bind 0 0\n",
)
