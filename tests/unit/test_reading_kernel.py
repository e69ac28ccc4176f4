# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: E501
"""What the kernel says, taken apart: /proc/net/unix, rtnetlink, /proc/<pid>/net. All of it was captured."""

from __future__ import annotations

from ansible_collections.lightervisor.lxc.plugins.module_utils._host.command_socket import parse_listening, socket_name
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.netns import (
    parse_addresses,
    parse_links,
    parse_proc,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import Interface

UNIX = b"""\
Num       RefCount Protocol Flags    Type St Inode Path
00000000c49dbaa6: 00000003 00000000 00000000 0001 03  1662
00000000438b2c8f: 00000002 00000000 00000000 0002 01 10193
000000009eeddd19: 00000002 00000000 00010000 0001 01 147935 @/var/lib/lxc/demo-1/command
0000000069944697: 00000003 00000000 00000000 0001 03 151443 @/var/lib/lxc/demo-3/command
000000005540a028: 00000002 00000000 00010000 0001 01 53783 @lxc/bc5c9fc628553788/command
00000000aa40a028: 00000002 00000000 00010000 0001 01 53784 @/srv/with blank/a b/command
00000000ab40a028: 00000002 00000000 00010000 0001 01 53785 @/var/lib/lxc/web/commander
00000000ac40a028: 00000002 00000000 00010000 0001 01 53786 /run/x/command
"""

LINKS = (
    "00000403010000004900010000000000070003006c6f000008000d00e80300000a0001000000000000000000",
    "00000100020000004310010000000000070003006431000008000d00e80300000a0001009204251e011e0000",
    "00000100030000004310010000000000070003006430000008000d00e80300000a0001001a7716f3d5580000",
)
ADDRESSES = (
    "020880fe01000000080001007f000001080002007f000001070003006c6f0000080008008000000014000600ffffffff"
    "ffffffff161e0300161e0300",
    "0220800002000000080001000a580002080002000a5800010700030064310000080008008000000014000600ffffffff"
    "ffffffff1c3a03001c3a0300",
    "0218800003000000080001000a420005080002000a4200050700030064300000080008008000000014000600ffffffff"
    "ffffffff1a3a03001a3a0300",
    "0220800003000000080001000a4d0001080002000a4d00010700030064300000080008008000000014000600ffffffff"
    "ffffffff1b3a03001b3a0300",
    "0a8080fe01000000140001000000000000000000000000000000000114000600ffffffffffffffff161e0300161e0300"
    "080008008000000005000b0001000000",
    "0a4080fd0200000014000100fe80000000000000900425fffe1e011e14000600ffffffffffffffff193a0300193a0300"
    "080008008000000005000b0003000000",
    "0a4080000300000014000100fd00006600000000000000000000000514000600ffffffffffffffff1a3a03001a3a0300"
    "0800080080000000",
)

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
    d1:    1372      16    0    0    0     0          0         0     1006      13    0    0    0     0       0          0
    d0:    1006      13    0    0    0     0          0         0     1372      16    0    0    0     0       0          0
"""
IF_INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000900425fffe1e011e 02 40 20 80       d1
fe80000000000000187716fffef3d558 03 40 20 80       d0
fd000066000000000000000000000005 03 40 00 80       d0
"""
ROUTE = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
d0	00000000	0100420A	0003	0	0	0	00000000	0	0	0
d0	0000420A	00000000	0001	0	0	0	00FFFFFF	0	0	0
d1	0200580A	00000000	0005	0	0	0	FFFFFFFF	0	0	0
"""
FIB_TRIE = """\
Local:
  +-- 0.0.0.0/1 2 0 2
     +-- 10.64.0.0/11 2 0 1
        +-- 10.66.0.0/24 2 0 2
           +-- 10.66.0.0/29 2 0 2
              |-- 10.66.0.0
                 /24 link UNICAST
              |-- 10.66.0.5
                 /32 host LOCAL
           |-- 10.66.0.255
              /32 link BROADCAST
        |-- 10.77.0.1
           /32 host LOCAL
        +-- 10.88.0.0/30 2 0 2
           |-- 10.88.0.2
              /32 link UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
"""


def test_only_command_sockets_that_listen_count() -> None:
    assert parse_listening(UNIX) == {
        "/var/lib/lxc/demo-1/command",
        "lxc/bc5c9fc628553788/command",
        "/srv/with blank/a b/command",
    }


def test_name_of_a_socket() -> None:
    assert socket_name("/var/lib/lxc", "web") == "/var/lib/lxc/web/command"
    # liblxc 5.0.2 listened on the second one for a container of the first path.
    assert socket_name("/var/tmp/lvt-obs/" + "x" * 100, "lvt-h") == "lxc/bc5c9fc628553788/command"
    fits = "/" + "p" * (105 - len("/n/command") - 1)
    assert socket_name(fits, "n") == f"{fits}/n/command"
    assert socket_name(fits + "p", "n").startswith("lxc/")


def test_links_and_addresses() -> None:
    links = parse_links([(16, bytes.fromhex(text)) for text in LINKS])
    assert links == {2: ["d1", "92:04:25:1e:01:1e", [], []], 3: ["d0", "1a:77:16:f3:d5:58", [], []]}
    assert list(parse_addresses([(20, bytes.fromhex(text)) for text in ADDRESSES])) == [
        (1, "127.0.0.1/8"),
        (2, "10.88.0.1/32"),
        (3, "10.66.0.5/24"),
        (3, "10.77.0.1/32"),
        (1, "::1/128"),
        (2, "fe80::9004:25ff:fe1e:11e/64"),
        (3, "fd00:66::5/64"),
    ]


def test_other_messages_and_broken_attributes_are_ignored() -> None:
    assert parse_links([(17, bytes.fromhex(LINKS[1]))]) == {}
    short = bytes.fromhex(LINKS[1])[:16] + b"\x02\x00\x03\x00d1"
    assert parse_links([(16, short)]) == {2: ["", "", [], []]}


def test_interfaces_without_privileges() -> None:
    assert parse_proc(DEV, IF_INET6, ROUTE, FIB_TRIE) == (
        Interface("d1", "", ("10.77.0.1/32",), ("fe80::9004:25ff:fe1e:11e/64",)),
        Interface("d0", "", ("10.66.0.5/24",), ("fe80::1877:16ff:fef3:d558/64", "fd00:66::5/64")),
    )
    assert parse_proc("", "", "", "") == ()
