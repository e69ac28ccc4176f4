# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many containers in one declaration: defaults, names from ranges, and what each item then is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .._errors import InputError
from .container import ContainerSpec, Once, alter, check_name, check_wait, parse_container
from .fleet_names import Place, Template, expand_names, fill_defaults, has_places
from .source import check_text

ON_ERROR = ("fail", "continue")

#: Checks an item against the options of a container and fills in their defaults; raises InputError.
Validate = Callable[[Mapping[str, Any]], Dict[str, Any]]


@dataclass(frozen=True)
class Member:
    """One container of a fleet; `path` is where it stands in the task."""

    spec: ContainerSpec
    path: str
    wait_for: Tuple[str, ...] = ()
    wait_interfaces: Tuple[str, ...] = ()
    #: Seconds.
    wait_timeout: int = 60


@dataclass(frozen=True)
class FleetSpec:
    """The containers as declared, and how to go about them."""

    members: Tuple[Member, ...]
    #: The mark of the containers that this fleet makes, "" for none.
    name: str = ""
    prune: bool = False
    on_error: str = "fail"
    workers: int = 0
    #: Seconds after which no new work is taken up, 0 for no limit.
    seconds: float = 0
    #: Containers whose init began later than this, in seconds since 1970, need no restart; 0: all do.
    since: float = 0
    #: What went wrong in earlier calls for the same task, by path of the container; these are not tried again.
    failed: Mapping[str, str] = field(default_factory=dict)
    #: What a container that is pruned is declared as, but for its name and place.
    pruned: ContainerSpec = ContainerSpec("", "", state="absent")


def parse_members(
    items: Sequence[Any],
    defaults: Mapping[str, Any],
    validate: Validate,
    default_lxcpath: str,
    cgroup: int,
    where: str = "containers",
    part: Tuple[int, int] = (0, 1),
) -> List[Member]:
    """The containers that a list describes. Raises InputError with the path to the bad value.

    `part` is (k, n) for every n-th of them from the k-th on, for n processes that share the work.
    """
    members: List[Member] = []
    fills = has_places(defaults)
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and item.get("names") is None and index % part[1] != part[0]:
            continue
        path = f"{where}[{index}]"
        if not isinstance(item, Mapping):
            raise InputError(path, "it is no mapping of a container's options")
        try:
            single = fills and item.get("names") is None
            shared = fill_defaults(defaults, str(item.get("name"))) if single else defaults
            members += _members(merge(shared, item), path, validate, default_lxcpath, cgroup, part)
        except InputError as error:
            raise error if error.path.startswith(path) else error.under(path) from None
    return members


def check_fleet_name(name: str) -> str:
    """The name; InputError if it is none."""
    check_text(name, "fleet")
    if not name.strip() or len(name) > 200:
        raise InputError("fleet", "a fleet's name has 1 to 200 characters")
    return name


def refuse_twins(members: Sequence[Member]) -> None:
    """Raises InputError when a container is declared twice, or a directory as the rootfs of two."""
    seen: Dict[Tuple[str, str], str] = {}
    rootfs: Dict[str, Member] = {}
    for member in members:
        key = (member.spec.lxcpath, member.spec.name)
        if key in seen:
            raise InputError(f"{member.path}.name", f"container '{key[1]}' in {key[0]} is {seen[key]} already")
        seen[key] = member.path
        place = dict(member.spec.backingstore.options).get("dir") if member.spec.backingstore else None
        if place and (other := rootfs.setdefault(place, member)) is not member:
            what = f"{place} is the rootfs of '{other.spec.name}' ({other.path}) already"
            raise InputError(f"{member.path}.backingstore.dir", what)


def merge(defaults: Mapping[str, Any], item: Mapping[str, Any]) -> Dict[str, Any]:
    """The item over the defaults: mappings are merged, anything else is replaced.

    A container has one source: an item's own `clone` goes before a default `template`, and the other way round.
    """
    merged = {key: value for key, value in defaults.items() if value is not None or key not in item}
    for one, other in (("clone", "template"), ("template", "clone"), ("name", "names"), ("names", "name")):
        if item.get(one) is not None and item.get(other) is None:
            merged.pop(other, None)
    for key, value in item.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _members(
    item: Dict[str, Any], path: str, validate: Validate, default_lxcpath: str, cgroup: int, part: Tuple[int, int]
) -> Iterator[Member]:
    names = item.pop("names", None)
    if names is None:
        yield _member(validate(item), path, default_lxcpath, cgroup)
        return
    if item.get("name") is not None:
        raise InputError("names", "'name' is given as well. Keep one of them")
    places = expand_names(names)
    several = len(places) > 1
    places = places[part[0] :: part[1]]
    if not has_places(item):
        yield from _alike(item, places, path, validate, default_lxcpath, cgroup, several)
        return
    yield from _filled(item, places, path, validate, default_lxcpath, cgroup)


def _filled(
    item: Mapping[str, Any],
    places: Sequence[Place],
    path: str,
    validate: Validate,
    default_lxcpath: str,
    cgroup: int,
) -> Iterator[Member]:
    """Containers whose descriptions differ in what stands in place of `{name}` and `{number}`."""
    # Here, because it imports what NICs need.
    from .fleet_series import Series, try_series

    try:
        # What stands there is a text, mostly where a text is wanted: then the kinds of values can be checked once.
        described, checked = _without_nulls(validate(dict(item, name="{name}"))), True
    except InputError:
        described, checked = dict(item), False
    template = Template(described)
    once = Once()
    first: Optional[Member] = None
    series: Optional[Series] = None
    for place in places:
        check_name(place.name, "names")
        if first and series:
            try:
                yield alter(first, spec=series.make(place))
                continue
            except InputError:
                # What is wrong is told below, where the paths are known.
                pass
        try:
            params = template.fill(place)
            if not checked:
                params = validate(dict(params, name=place.name))
            member = _member(params, path, default_lxcpath, cgroup, once)
        except InputError as error:
            raise InputError(error.under(path).path, f"{error.problem} (for '{place.name}')") from None
        if first is None:
            first, series = member, try_series(described, member.spec) if checked else None
        yield member


def _alike(
    item: Mapping[str, Any],
    places: Sequence[Place],
    path: str,
    validate: Validate,
    default_lxcpath: str,
    cgroup: int,
    several: bool,
) -> Iterator[Member]:
    """Containers that differ in nothing but their names: checked once. `several`: there are, in all parts together."""
    first = None
    for place in places:
        if first is None:
            first = _member(validate(dict(item, name=place.name)), path, default_lxcpath, cgroup)
            store = first.spec.backingstore
            if several and store and dict(store.options).get("dir"):
                raise InputError("backingstore.dir", "several containers can't have one rootfs. Use {name} in it")
            yield first
            continue
        spec = first.spec
        check_name(place.name, "names")
        if spec.clone and (spec.clone.source, spec.clone.lxcpath) == (place.name, spec.lxcpath):
            raise InputError("clone.from", f"'{place.name}' can't be a clone of itself")
        yield alter(first, spec=alter(spec, name=place.name))


def _without_nulls(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The options that were given. Null means something in `config` only."""
    return {
        option: [_without_nulls(one) for one in value] if option == "networks" else value
        for option, value in params.items()
        if value is not None
    }


def _member(
    params: Mapping[str, Any], path: str, default_lxcpath: str, cgroup: int, once: Optional[Once] = None
) -> Member:
    spec = parse_container(params, default_lxcpath, cgroup, once)
    kinds = tuple(params.get("wait_for") or ())
    timeout = params.get("wait_timeout")
    timeout = 60 if timeout is None else timeout
    check_wait(spec, kinds, timeout)
    return Member(spec, path, kinds, tuple(params.get("wait_interfaces") or ()), timeout)
