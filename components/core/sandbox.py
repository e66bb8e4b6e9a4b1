"""The walls around a running stage: what it may read, write, see and reach.

In: the paths that a stage declared. Out: a process that the kernel refuses everything else.
In between: Landlock (Linux 5.13 and newer, no privilege needed) binds the process, its threads and its children,
so reads by native code count too. Where the kernel has no Landlock, Python's audit hook watches what Python
opens and says that native reads go unseen.

Covered: files opened for reading or writing, folders listed, TCP connections (Landlock 4 and newer).
Not covered: whether a path exists (``stat``), UDP, the clock, the processor's features.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _SIGKILL = 1, 38, 9
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_TCP = 0b11
# Rights that each version of Landlock added to the thirteen of the first.
_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/opt", "/proc", "/sys", "/dev/urandom", "/dev/random",
    "/dev/zero", "/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/hosts", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf",
    "/etc/passwd", "/etc/resolv.conf", "/etc/ssl", "/etc/ca-certificates", "/etc/pki",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/shm", "/dev/tty", "/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm")


@dataclass(frozen=True)
class Walls:
    """Paths that a stage may read (files, or folders with all below) and write, and whether it may open TCP."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    listable: tuple[Path, ...] = ()
    network: bool = False

    def allows_reading(self, path: Path) -> bool:
        """Whether ``path`` lies in something that may be read."""
        real = path.resolve()
        return any(real.is_relative_to(place) for place in self.places_to_read())

    def places_to_read(self) -> list[Path]:
        """Everything that may be read, links resolved: declared paths, interpreter, libraries, system."""
        places = [*self.readable, *self.writable, *interpreter_paths(), *map(Path, (*_SYSTEM, *_DEVICES))]
        return [place.resolve() for place in places]


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_version() -> int:
    """The kernel's Landlock version, or 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def confine(walls: Walls) -> None:
    """Put this process and all that it starts behind ``walls``; there is no way back.

    Must run before any thread is started. Raises OSError when the kernel refuses.
    """
    if version := landlock_version():
        _restrict(walls, version)
    else:
        print("this kernel has no Landlock: reads by native code are not watched", file=sys.stderr)
        sys.addaudithook(_watcher(walls))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends, however it ends."""
    if sys.platform.startswith("linux"):
        _libc().prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def environment(scratch: Path, kernels: Path, passed: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a stage: fixed values, folders in its scratch, its machine code, what it declared."""
    folders = {"HOME": "home", "TMPDIR": "tmp", "KERAS_HOME": "home/keras", "MPLCONFIGDIR": "home/matplotlib",
               "XDG_CACHE_HOME": "home/cache"}  # fmt: skip
    fixed = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "PYTHONPATH": str(scratch / "code"),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(kernels),
    }
    return {**passed, **fixed, **{name: str(scratch / folder) for name, folder in folders.items()}}


def interpreter_paths() -> list[Path]:
    """Where the interpreter and the installed libraries lie."""
    return [Path(p) for p in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, *_installed_folders()))]


def undeclared_path(error: BaseException, walls: Walls) -> Path | None:
    """The path outside ``walls`` that ``error`` (or what caused it) was refused, or None."""
    seen: BaseException | None = error
    while seen is not None:
        for path in _refused_paths(seen):
            if not walls.allows_reading(path):
                return path
        seen = seen.__cause__ or seen.__context__
    return None


def refused_connection(error: BaseException, walls: Walls) -> str | None:
    """``a network connection`` when ``error`` says that one was refused to a stage without network, or None."""
    is_refusal = isinstance(error, OSError) and error.errno == errno.EACCES and error.filename is None
    return "a network connection" if is_refusal and not walls.network else None


def _refused_paths(error: BaseException) -> Iterator[Path]:
    if isinstance(error, OSError) and error.errno == errno.EACCES and error.filename is not None:
        yield Path(os.fsdecode(error.filename))
    parts = [str(error), *(_as_text(getattr(error, name, None)) for name in ("stderr", "output"))]
    if any("ermission denied" in part for part in parts):
        words = re.findall(r"/[^\s'\"`:;,)]+", " ".join(parts))
        yield from (Path(word) for word in words if Path(word).exists())


def _as_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _installed_folders() -> list[str]:
    paths = sysconfig.get_paths()
    return [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def _restrict(walls: Walls, version: int) -> None:
    rights = _RIGHTS_BY_VERSION[min(version, 5)]
    has_net = version >= 4 and not walls.network
    attr = _RulesetAttr(rights, _TCP if has_net else 0)
    size = ctypes.sizeof(attr) if version >= 4 else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), ctypes.c_uint32(0))
    everything = rights & ~_EXECUTE
    for path in (*map(Path, _SYSTEM), *interpreter_paths(), *walls.readable):
        _allow(ruleset, path, _READ & rights)
    for path in walls.listable:
        _allow(ruleset, path, _READ_DIR)
    for path in (*map(Path, _DEVICES), *walls.writable):
        _allow(ruleset, path, everything)
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    try:
        allowed = rights if path.is_dir() else rights & _FILE_RIGHTS
        beneath = ctypes.byref(_PathBeneathAttr(allowed, descriptor))
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), beneath, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def _watcher(walls: Walls) -> Any:
    readable = walls.places_to_read() + [path.resolve() for path in walls.listable]
    writable = [path.resolve() for path in (*walls.writable, *map(Path, _DEVICES))]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.listdir", "os.scandir") or isinstance(arguments[0], int):
            return
        path = Path(os.fsdecode(arguments[0] or "."))
        is_write = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        places = writable if is_write else readable
        if (is_write or path.exists()) and not any(path.resolve().is_relative_to(place) for place in places):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    return watch


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: Any) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock call {number}: {os.strerror(code)}")
    return result
