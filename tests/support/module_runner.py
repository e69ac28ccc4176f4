# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one module as a process of its own, as the wrapper that Ansible ships with a module does, without its archive.

`python module_runner.py FQCN-of-the-python-module FOLDER-with-ansible_collections < arguments.json`
"""

from __future__ import annotations

import os
import runpy
import sys


def main() -> None:
    name, collections = sys.argv[1:]
    parameters = sys.stdin.buffer.read()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.path[0] = collections
    sys.argv = [name]
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = parameters
    basic._ANSIBLE_PROFILE = "legacy"
    runpy.run_module(
        name, init_globals={"_module_fqn": name, "_modlib_path": collections}, run_name="__main__", alter_sys=True
    )
    raise RuntimeError("the module returned without exit_json or fail_json")


main()
