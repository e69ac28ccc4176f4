# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is learned from what LXC's programs write. The logs are of lxc-start 5.0.2 on containers that can't start."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.commands import Finished, find, reasons, run, why

#: What stands at the end of the log of every failed `lxc-start -d`.
_END = """\
lxc-start c1 20261122230914.877 ERROR    lxccontainer - ../src/lxc/lxccontainer.c:wait_on_daemonized_start:878 - Received container state "ABORTING" instead of "RUNNING"
lxc-start c1 20261122230914.877 ERROR    lxc_start - ../src/lxc/tools/lxc_start.c:main:306 - The container failed to start
lxc-start c1 20261122230914.877 ERROR    lxc_start - ../src/lxc/tools/lxc_start.c:main:309 - To get more details, run the container in foreground mode
lxc-start c1 20261122230914.877 ERROR    lxc_start - ../src/lxc/tools/lxc_start.c:main:311 - Additional information can be obtained by setting the --logfile and --logpriority options
"""  # noqa: E501
NO_BRIDGE = (
    """\
lxc-start c1 20261122230914.851 ERROR    network - ../src/lxc/network.c:netdev_configure_server_veth:711 - No such file or directory - Failed to attach "vethdaY8ma" to bridge "nosuchbr", bridge interface doesn't exist
lxc-start c1 20261122230914.877 ERROR    network - ../src/lxc/network.c:lxc_create_network_priv:3427 - No such file or directory - Failed to create network device
lxc-start c1 20261122230914.877 ERROR    start - ../src/lxc/start.c:lxc_spawn:1840 - Failed to create the network
"""  # noqa: E501
    + _END
    + 'lxc-start c1 20261122230914.878 ERROR    start - ../src/lxc/start.c:__lxc_start:2107 - Failed to spawn container "c1"\n'  # noqa: E501
)
NO_ROOTFS = (
    """\
lxc-start c1 20261122230915.105 ERROR    conf - ../src/lxc/conf.c:lxc_rootfs_init:576 - No such file or directory - Failed to open "/var/lib/lxc/c1/rootfs"
lxc-start c1 20261122230915.105 ERROR    start - ../src/lxc/start.c:__lxc_start:2079 - Failed to handle rootfs pinning for container "c1"
"""  # noqa: E501
    + _END
)
NO_INIT = (
    """\
lxc-start c1 20261122230915.345 ERROR    start - ../src/lxc/start.c:start:2197 - No such file or directory - Failed to exec "/no/such/init"
lxc-start c1 20261122230915.345 ERROR    sync - ../src/lxc/sync.c:sync_wait:34 - An error occurred in another process (expected sequence number 7)
lxc-start c1 20261122230915.345 ERROR    start - ../src/lxc/start.c:__lxc_start:2107 - Failed to spawn container "c1"
"""  # noqa: E501
    + _END
)
BAD_MOUNT = (
    """\
lxc-start c1 20261122230915.675 ERROR    utils - ../src/lxc/utils.c:safe_mount:1220 - No such file or directory - Failed to mount "/no/such/dir" onto "/usr/lib/x86_64-linux-gnu/lxc/rootfs/mnt"
lxc-start c1 20261122230915.675 ERROR    conf - ../src/lxc/conf.c:mount_entry:2446 - No such file or directory - Failed to mount "/no/such/dir" on "/usr/lib/x86_64-linux-gnu/lxc/rootfs/mnt"
lxc-start c1 20261122230915.675 ERROR    conf - ../src/lxc/conf.c:lxc_setup:4419 - Failed to setup mount entries
lxc-start c1 20261122230915.675 ERROR    start - ../src/lxc/start.c:do_start:1272 - Failed to setup container "c1"
lxc-start c1 20261122230915.675 ERROR    sync - ../src/lxc/sync.c:sync_wait:34 - An error occurred in another process (expected sequence number 3)
"""  # noqa: E501
    + _END
)
HALF_A_MAP = (
    """\
lxc-start c1 20261122230916.292 ERROR    conf - ../src/lxc/conf.c:userns_exec_mapped_root:5463 - No gid mapping for container root
lxc-start c1 20261122230916.292 ERROR    terminal - ../src/lxc/terminal.c:lxc_terminal_map_ids:889 - Failed to chown terminal 10(/dev/pts/5)
lxc-start c1 20261122230916.292 ERROR    start - ../src/lxc/start.c:lxc_init:849 - Failed to allocate terminal
lxc-start c1 20261122230916.292 ERROR    start - ../src/lxc/start.c:__lxc_start:2027 - Failed to initialize container "c1"
lxc-start c1 20261122230916.293 ERROR    lxccontainer - ../src/lxc/lxccontainer.c:wait_on_daemonized_start:870 - No such file or directory - Failed to receive the container state
"""  # noqa: E501
    + _END
)
#: On stderr, without a log file.
BAD_KEY = """\
lxc-start: c1: ../src/lxc/confile.c: set_config_unsupported_key: 164 Invalid argument - Unsupported config key "lxc.nonsense"
lxc-start: c1: ../src/lxc/parse.c: lxc_file_for_each_line_mmap: 129 Failed to parse config file "/var/lib/lxc/c1/config" at line "lxc.nonsense = 1"
Failed to load config for c1
lxc-start: c1: ../src/lxc/tools/lxc_start.c: main: 240 Failed to create lxc_container
"""  # noqa: E501


@pytest.mark.parametrize(
    ("log", "first"),
    [
        (
            NO_BRIDGE,
            "No such file or directory - "
            'Failed to attach "vethdaY8ma" to bridge "nosuchbr", bridge interface doesn\'t exist',
        ),
        (NO_ROOTFS, 'No such file or directory - Failed to open "/var/lib/lxc/c1/rootfs"'),
        (NO_INIT, 'No such file or directory - Failed to exec "/no/such/init"'),
        (
            BAD_MOUNT,
            "No such file or directory - "
            'Failed to mount "/no/such/dir" onto "/usr/lib/x86_64-linux-gnu/lxc/rootfs/mnt"',
        ),
        (HALF_A_MAP, "No gid mapping for container root"),
        (BAD_KEY, 'Invalid argument - Unsupported config key "lxc.nonsense"'),
    ],
)
def test_the_first_reason_is_the_cause(log: str, first: str) -> None:
    found = reasons(log)
    assert found[0] == first
    assert why(Finished(1, "", ""), log).startswith(first)
    assert why(Finished(1, "", log)).startswith(first)


@pytest.mark.parametrize("log", [NO_BRIDGE, NO_ROOTFS, NO_INIT, BAD_MOUNT, HALF_A_MAP])
def test_what_every_failure_ends_with_is_no_reason(log: str) -> None:
    text = " ".join(reasons(log))
    for noise in ("foreground mode", "--logfile", "failed to start", "ABORTING", "Failed to spawn"):
        assert noise not in text


def test_prefixes_are_cut_and_repetitions_come_once() -> None:
    assert reasons(NO_BRIDGE + NO_BRIDGE) == reasons(NO_BRIDGE)
    assert not any("../src" in reason or "lxc-start" in reason for reason in reasons(BAD_MOUNT))


def test_only_errors_count() -> None:
    line = "lxc-start c1 20261122230915.105 {}    conf - ../src/lxc/conf.c:f:1 - It says something\n"
    assert reasons(line.format("WARN ")) == []
    assert reasons(line.format("ERROR")) == ["It says something"]


def test_a_name_with_blanks_and_colons_does_not_confuse_it() -> None:
    line = "lxc-start: a: b: ../src/lxc/conf.c: f: 1 No such thing: it is gone\n"
    assert reasons(line) == ["No such thing: it is gone"]


def test_why_prefers_the_log_and_names_at_most_four_reasons() -> None:
    assert why(Finished(1, "", BAD_KEY), NO_INIT).startswith("No such file or directory - Failed to exec")
    assert why(Finished(1, "", ""), BAD_MOUNT).count(";") == 3


def test_why_falls_back_to_the_output_and_then_to_the_status() -> None:
    assert why(Finished(1, "to stdout\n", "\nto stderr\n")) == "to stderr; to stdout"
    assert why(Finished(1, "".join(f"line {n}\n" for n in range(9)), "")) == "line 5; line 6; line 7; line 8"
    assert why(Finished(3, "", " \n")) == "it ended with status 3 and without a message"


def test_run_passes_arguments_as_they_are() -> None:
    code = "import sys; print(sys.argv[1:]); print(sys.stdin.read(), file=sys.stderr); sys.exit(7)"
    finished = run([sys.executable, "-c", code, "$(id)", "a b", "';'"], stdin="in")
    assert finished == Finished(7, "['$(id)', 'a b', \"';'\"]\n", "in\n")


def test_run_survives_bytes_that_are_no_text() -> None:
    assert run([sys.executable, "-c", "import os; os.write(1, b'\\xff!')"]).stdout == "\ufffd!"


def test_run_is_bounded() -> None:
    with pytest.raises(OperationError, match=r"it did not end within 0\.2 s"):
        run(
            [sys.executable, "-c", "import sys; sys.stdin.read(); import select; select.select([], [], [])"],
            timeout=0.2,
        )


def test_a_missing_tool_names_its_package() -> None:
    with pytest.raises(OperationError, match="Install the package 'lxc'"):
        find("lxc-no-such-tool")
