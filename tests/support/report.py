# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads pytest's JUnit report for `scripts/test`: `report.py counts FILE` or `report.py skips FILE`."""

from __future__ import annotations

import sys
from xml.etree import ElementTree


def outcome(case: ElementTree.Element) -> str:
    """passed, failed (an error in a fixture too) or skipped."""
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def main() -> None:
    what, file = sys.argv[1:]
    cases = list(ElementTree.parse(file).iter("testcase"))
    if what == "counts":
        found = [outcome(case) for case in cases]
        print(found.count("passed"), found.count("failed"), found.count("skipped"))
    elif what == "skips":
        for case in cases:
            if outcome(case) == "skipped":
                print(f"{case.get('classname')}.{case.get('name')}: {case.find('skipped').get('message')}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
