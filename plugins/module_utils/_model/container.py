# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container shall be: the options of lxc_container, checked and normalised."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from .._errors import InputError
from .config_keys import lookup, render_value, replacement, same_values
from .source import Backingstore, Clone, Template, check_text, parse_backingstore, parse_template

if TYPE_CHECKING:
    from .nic import Nic

T = TypeVar("T")

STATES = ("present", "started", "stopped", "frozen", "restarted", "absent")
RESTART_POLICIES = ("never", "if_needed", "always")
DRIFT_POLICIES = ("error", "warn")

# A container's name is its host name too (lxc.uts.name): sethostname(2) allows 64 bytes.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_AUTOSTART_KEYS = {
    "auto": "lxc.start.auto",
    "delay": "lxc.start.delay",
    "order": "lxc.start.order",
    "groups": "lxc.group",
}


class Setting(NamedTuple):
    """What `config` says of one key: exactly these values, or some to add and some to remove."""

    key: str
    #: None when the key is to be removed, or when only single values are added and removed.
    values: Optional[Tuple[str, ...]] = None
    add: Tuple[str, ...] = ()
    remove: Tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether other values of the key stay."""
        return bool(self.add or self.remove)


@dataclass(frozen=True)
class ContainerSpec:
    """One container as declared. None: unspecified, and so unmanaged."""

    name: str
    lxcpath: str
    state: str = "present"
    template: Optional[Template] = None
    clone: Optional[Clone] = None
    backingstore: Optional[Backingstore] = None
    settings: Tuple[Setting, ...] = ()
    purge_config: bool = False
    nics: Tuple[Nic, ...] = ()
    purge_networks: bool = False
    privileged: Optional[bool] = None
    idmap: Optional[Tuple[str, ...]] = None
    restart: str = "never"
    drift: str = "error"
    destroy_snapshots: bool = False
    #: Seconds that a guest has for its shutdown before it is killed; 0 kills at once.
    shutdown_timeout: int = 60
    warnings: Tuple[str, ...] = field(default=(), compare=False)

    @property
    def has_source(self) -> bool:
        """Whether it is said how to make the container."""
        return self.template is not None or self.clone is not None


def alter(whole: T, **changes: Any) -> T:
    """The frozen dataclass with other values; takes a fifth of the time of `dataclasses.replace`."""
    made: T = object.__new__(type(whole))
    made.__dict__.update(whole.__dict__, **changes)
    return made


class Once:
    """Does for a value what it did for it before, if that is the very same object: no two containers of a description
    need the parts made twice that they share."""

    def __init__(self) -> None:
        self._made: Dict[str, Tuple[Any, Any]] = {}

    def __call__(self, make: Callable[..., T], value: Any, path: str, *more: Any) -> T:
        """`make(value, path, *more)`; the path tells what is made of it."""
        held = self._made.get(path)
        if held is None or held[0] is not value:
            held = self._made[path] = (value, make(value, path, *more))
        made: T = held[1]
        return made


def check_name(name: str, path: str = "name") -> str:
    """The name; InputError if it could not be a container's: it is a directory's name and a host name."""
    if not _NAME.match(name):
        raise InputError(
            path,
            f"{name!r} is not a container's name: 1 to 64 letters, digits, '_', '-', '.', not starting with '-' or '.'",
        )
    return name


def check_lxcpath(value: str, path: str = "lxcpath") -> str:
    """The path without a trailing slash; InputError unless it is absolute and fits into an overlay's options."""
    check_text(value, path)
    if not value.startswith("/") or ".." in value.split("/"):
        raise InputError(path, f"{value!r} is not an absolute path without '..'")
    if ":" in value or "," in value:
        raise InputError(path, f"{value!r} contains ':' or ',', which separate an overlay's directories and options")
    return posixpath.normpath(value)


def parse_settings(
    config: Mapping[str, Any], cgroup: int, path: str = "config", once: Optional[Once] = None
) -> Tuple[Tuple[Setting, ...], Tuple[str, ...]]:
    """The settings of `config`, in the order given, and warnings about spellings of older LXC versions.

    A value is a scalar, a list, None (remove the key), or a mapping with `add` and `remove`.
    Raises InputError with the path to the bad value.
    """
    if not config:
        return (), ()
    notes: List[str] = []
    plain: Dict[str, Any] = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    if not all(map(_is_current, plain)):
        # Imported here and below, because a task's modules are compiled each time: it shall pay for what it uses only.
        from .config_legacy import translate_items

        try:
            plain, warnings = translate_items(plain, cgroup)
        except InputError as error:
            raise InputError(f"{path}[{error.path}]", error.problem) from None
        notes += warnings
    for key, value in config.items():
        if isinstance(value, Mapping):
            better = "" if lookup(key) else replacement(key)
            if better:
                notes.append(f"{key} is now called {better}")
            plain[better or key] = value
    once = once or Once()
    return tuple([once(parse_setting, value, f"{path}[{key}]", key) for key, value in plain.items()]), tuple(notes)


def _is_current(key: str) -> bool:
    """Whether the key is spelled as today, and is no limit of cgroup v1."""
    row = lookup(key)
    return row is not None and row.removed is None


def parse_setting(value: Any, path: str, key: str) -> Setting:
    """What `config` says of a key that is spelled as today. Raises InputError with the path to the bad value."""
    check_text(key, path)
    if "=" in key or " " in key or "\t" in key:
        raise InputError(path, f"'{key}' is no key: a key has no '=' and no blanks")
    row = lookup(key)
    if row is None and value is None:
        return Setting(key)
    if row is None:
        raise InputError(path, f"liblxc has no key '{key}' (man lxc.container.conf)")
    if value is None:
        return Setting(key)
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - {"add", "remove"})
        if unknown or not value:
            raise InputError(path, "a mapping has 'add' and 'remove', each a list of values")
        if not row.multi:
            raise InputError(path, f"'{key}' has one value, so nothing can be added to it. Write the value itself")
        add = _values(key, value.get("add") or [], f"{path}.add")
        remove = _values(key, value.get("remove") or [], f"{path}.remove")
        for index, gone in enumerate(remove):
            if any(same_values(key, [gone], [one]) for one in add):
                raise InputError(f"{path}.remove[{index}]", f"{gone!r} is to be added as well")
        return Setting(key, add=add, remove=remove)
    if isinstance(value, (list, tuple)):
        if not row.multi and len(value) > 1:
            raise InputError(path, f"'{key}' has one value, not {len(value)}")
        return Setting(key, _values(key, value, path) or None)
    return Setting(key, (_value(key, value, path),))


def _values(key: str, values: Any, path: str) -> Tuple[str, ...]:
    if isinstance(values, (str, int)):
        values = [values]
    return tuple(_value(key, value, f"{path}[{i}]") for i, value in enumerate(values))


def _value(key: str, value: Any, path: str) -> str:
    try:
        text = check_text(render_value(key, value), path)
    except InputError as error:
        raise InputError(path, error.problem) from None
    if not text:
        raise InputError(path, f"it is empty, which would clear '{key}'. Write null to remove it")
    return text


def _autostart(options: Mapping[str, Any], path: str) -> Tuple[Setting, ...]:
    settings = []
    for option, key in _AUTOSTART_KEYS.items():
        value = options.get(option)
        if value is not None:
            settings.append(parse_setting(value, f"{path}.{option}", key))
    return tuple(settings)


def _conflicts(settings: Sequence[Setting], config: Mapping[str, Any], nics: Sequence[Nic], has_map: bool) -> None:
    seen = set()
    for setting in settings:
        if setting.key in seen:
            raise InputError(f"config[{setting.key}]", "it is given twice")
        seen.add(setting.key)
    if has_map and "lxc.idmap" in seen:
        raise InputError("config[lxc.idmap]", "'idmap' or 'privileged' is given as well. Keep one of them")
    interfaces = [key for key in seen if key.startswith("lxc.net.")]
    for nic in nics if interfaces else ():
        prefix = f"lxc.net.{nic.index}."
        for key in interfaces:
            if key.startswith(prefix):
                raise InputError(f"config[{key}]", f"NIC {nic.index} is described under 'networks'. Keep one of them")


def parse_container(
    params: Mapping[str, Any], default_lxcpath: str, cgroup: int = 2, once: Optional[Once] = None
) -> ContainerSpec:
    """The container that a task's options (the argument spec of lxc_container) describe.

    `once`: for several containers of one description, which parts of it are the same for all.
    Raises InputError, with the path to the value, for anything that could not be done or would be ambiguous.
    """
    name = check_name(str(params["name"]))
    once = once or Once()
    lxcpath = once(check_lxcpath, params.get("lxcpath") or default_lxcpath, "lxcpath")
    template = once(parse_template, params["template"], "template") if params.get("template") else None
    clone = _parse_clone(params["clone"], name, lxcpath) if params.get("clone") else None
    if template and clone:
        raise InputError("clone", "'template' is given as well. A container is made in one way")
    store = once(parse_backingstore, params["backingstore"], "backingstore") if params.get("backingstore") else None
    nics = once(_parse_nics, params.get("networks"), "networks")
    settings, warnings = parse_settings(params.get("config") or {}, cgroup, "config", once)
    settings += once(_autostart, params.get("autostart") or {}, "autostart")
    privileged = params.get("privileged")
    idmap = once(_parse_map, params.get("idmap"), "idmap")
    if idmap is not None and privileged:
        raise InputError("idmap", "'privileged: true' is given as well, and a privileged container has no id map")
    _conflicts(settings, params.get("config") or {}, nics, idmap is not None or privileged is not None)
    _check_places(settings, template, clone, store, f"{lxcpath}/{name}")
    timeout = params.get("shutdown_timeout")
    if timeout is not None and timeout < 0:
        raise InputError("shutdown_timeout", f"{timeout} is not a number of seconds")
    return ContainerSpec(
        name=name,
        lxcpath=lxcpath,
        state=params.get("state") or "present",
        template=template,
        clone=clone,
        backingstore=store,
        settings=settings,
        purge_config=bool(params.get("purge_config")),
        nics=nics,
        purge_networks=bool(params.get("purge_networks")),
        privileged=privileged,
        idmap=idmap,
        restart=params.get("restart") or "never",
        drift=params.get("drift") or "error",
        destroy_snapshots=bool(params.get("destroy_snapshots")),
        shutdown_timeout=60 if timeout is None else timeout,
        warnings=warnings,
    )


def _check_places(
    settings: Sequence[Setting],
    template: Optional[Template],
    clone: Optional[Clone],
    store: Optional[Backingstore],
    folder: str,
) -> None:
    """Refuse what would make a rootfs in one place and name another one, or what lxc-copy has no option for."""
    makes = clone is not None or (template is not None and template.short_name != "none")
    if makes and any(setting.key == "lxc.rootfs.path" for setting in settings):
        raise InputError(
            "config[lxc.rootfs.path]",
            f"'{'clone' if clone else 'template'}' makes a rootfs of its own. "
            "Keep one of them, or place that rootfs with 'backingstore'",
        )
    for option, value in store.options if store else ():
        if clone:
            raise InputError(
                f"backingstore.{option}", "lxc-copy has no such option: a clone lies where its origin's store puts it"
            )
        if option == "dir" and f"{folder}/".startswith(f"{value}/"):
            raise InputError("backingstore.dir", f"the container's own directory {folder} is in it")


def _parse_clone(options: Mapping[str, Any], name: str, lxcpath: str) -> Clone:
    source = check_name(str(options["from"]), "clone.from")
    source_path = check_lxcpath(options.get("lxcpath") or lxcpath, "clone.lxcpath")
    if (source, source_path) == (name, lxcpath):
        raise InputError("clone.from", f"'{name}' can't be a clone of itself")
    return Clone(
        source,
        source_path,
        snapshot=bool(options.get("snapshot")),
        keep_name=bool(options.get("keep_name")),
        keep_mac=bool(options.get("keep_mac")),
    )


def _parse_nics(options: Optional[Sequence[Mapping[str, Any]]], path: str) -> Tuple[Nic, ...]:
    if not options:
        return ()
    from .nic import nics_from_options

    return nics_from_options(options, path)


def _parse_map(lines: Optional[Sequence[str]], path: str) -> Optional[Tuple[str, ...]]:
    if lines is None:
        return None
    if not lines:
        raise InputError(path, "it is empty. Write 'privileged: true' for a container without an id map")
    from .idmap import check_idmap, parse_idmap

    try:
        idmap = parse_idmap([check_text(str(line), f"{path}[{i}]") for i, line in enumerate(lines)])
        check_idmap(idmap)
        return idmap.render()
    except InputError as error:
        raise error if error.path.startswith(path) else error.under(path) from None


def check_wait(spec: ContainerSpec, kinds: Sequence[str], timeout: int) -> None:
    """Raises InputError when there is nothing that could be waited for."""
    if timeout < 0:
        raise InputError("wait_timeout", f"{timeout} is not a number of seconds")
    if kinds and spec.state == "frozen":
        raise InputError("wait_for", "a frozen guest gets nothing ready. Wait with 'state: started' before")
