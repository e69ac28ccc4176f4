# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes as people write them."""

from __future__ import annotations

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.size import parse_size, render_size
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("4096B", 4096),
        ("1K", 1024),
        ("1k", 1024),
        ("1KiB", 1024),
        ("1KB", 1000),
        ("512M", 512 * 1024**2),
        ("10 G", 10 * 1024**3),
        (" 10GiB ", 10 * 1024**3),
        ("10gb", 10 * 1000**3),
        ("1.5T", 3 * 1024**4 // 2),
        ("0.5 tib", 1024**4 // 2),
        ("1P", 1024**5),
        ("2E", 2 * 1024**6),
        ("1.001KB", 1001),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "G", "-1", "-1G", -1, True, "1X", "1GG", "1Gi", "1iB", "1 2", "1,5G", ".5G", "1.G", "1.2.3G", "٣G", "1e3"],
)
def test_what_is_no_size_is_refused_with_its_path(text: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_size(text, "backingstore.size")  # type: ignore[arg-type]
    assert str(caught.value).startswith("backingstore.size: ")


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(InputError, match="whole number of bytes"):
        parse_size("0.3K")


@given(st.integers(0, 2**70))
def test_what_is_rendered_reads_back(size: int) -> None:
    assert parse_size(render_size(size)) == size


def test_rendering_takes_the_largest_exact_unit() -> None:
    assert [render_size(size) for size in (0, 1, 1023, 1024, 1536, 1024**3)] == ["0", "1", "1023", "1K", "1536", "1G"]
