# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the checkout importable as `ansible_collections.lightervisor.lxc`, for the tests and for what they start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
COLLECTIONS = CHECKOUT / ".cache" / "collections"
TIERS = ("unit", "golden", "integration")


def _link_checkout() -> None:
    """Leave a link to the checkout where the installed collection would be, however many runs do so at once."""
    link = COLLECTIONS / "ansible_collections" / "lightervisor" / "lxc"
    if link.is_symlink() and os.readlink(link) == str(CHECKOUT):
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".lxc-{os.getpid()}")
    fresh.symlink_to(CHECKOUT)
    fresh.replace(link)


_link_checkout()
if str(COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(COLLECTIONS))
os.environ.pop("ANSIBLE_CONFIG", None)
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS)
os.environ["ANSIBLE_LOCALHOST_WARNING"] = "False"
os.environ["ANSIBLE_INVENTORY_UNPARSED_WARNING"] = "False"
os.environ["ANSIBLE_NOCOLOR"] = "1"
os.environ.setdefault("LC_ALL", "C.UTF-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier: the folder under tests/ that it stands in."""
    tests = CHECKOUT / "tests"
    for item in items:
        if tests in item.path.parents:
            tier = item.path.relative_to(tests).parts[0]
            if tier in TIERS:
                item.add_marker(getattr(pytest.mark, tier))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def collections_path() -> Path:
    """The folder whose `ansible_collections/lightervisor/lxc` is the checkout."""
    return COLLECTIONS
