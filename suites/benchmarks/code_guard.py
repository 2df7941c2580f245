"""Script that runs one program under limits; it imports nothing of the project.

``code_guard.py PROGRAM MEMORY_BYTES FILE_BYTES CPU_SECONDS EXIT_CODE_IF_PASSED`` runs a program, and
``code_guard.py FOLDER`` prints the limits that this system does not enforce, a line each.
"""

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Callable
from typing import NoReturn

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_PROCESS = {"x86_64": (56, 57, 58, 435), "aarch64": (220, 435)}
"""System calls clone, fork, vfork and clone3."""
WRITE, LAST_OF_ABI = 0b1111111110010, (0, 12, 13)
"""Landlock's rights that change files, and their last bit by version of its interface; bit 14 from version 3."""


def leave_network() -> None:
    """Enter a network name space of its own, which has no interface."""
    new_user_and_network = 0x10000000 | 0x40000000
    _require(LIBC.unshare(new_user_and_network) == 0)


def refuse_connections() -> None:
    """Refuse connections in this interpreter, where the system allows no name space."""
    import socket

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise PermissionError("no network")

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, refuse)


def forbid_processes() -> None:
    """Let the system refuse new processes and threads, also to root, by a seccomp filter."""

    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction))]

    load_number, equal, give, allow, not_permitted = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050001
    numbers = NEW_PROCESS[platform.machine()]
    steps = [(load_number, 0, 0, 0)]
    steps += [(equal, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    steps += [(give, 0, 0, allow), (give, 0, 0, not_permitted)]
    array = (Instruction * len(steps))(*(Instruction(*step) for step in steps))
    no_new_privileges, set_filter = 38, (22, 2)
    _require(LIBC.prctl(no_new_privileges, 1, 0, 0, 0) == 0)
    _require(LIBC.prctl(*set_filter, ctypes.byref(Program(len(steps), array))) == 0)


def confine_files(folder: str) -> None:
    """Let the system refuse changes of files outside of a folder, by Landlock."""

    class Beneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("rights", ctypes.c_uint64), ("folder", ctypes.c_int32)]

    create, add, restrict = 444, 445, 446
    version = LIBC.syscall(create, None, ctypes.c_size_t(0), 1)
    _require(version > 0)
    last = LAST_OF_ABI[version] if version < len(LAST_OF_ABI) else 14
    rights = ctypes.c_uint64((WRITE | 1 << 13 | 1 << 14) & ((1 << last + 1) - 1))
    rules = LIBC.syscall(create, ctypes.byref(rights), ctypes.c_size_t(8), 0)
    _require(rules >= 0)
    beneath = Beneath(rights.value, os.open(folder, os.O_PATH))
    _require(LIBC.syscall(add, rules, 1, ctypes.byref(beneath), 0) == 0)
    _require(LIBC.prctl(38, 1, 0, 0, 0) == 0)
    _require(LIBC.syscall(restrict, rules, 0) == 0)


def _require(done: bool) -> None:
    if not done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _applies(limit: Callable[[], None]) -> bool:
    try:
        limit()
    except (OSError, AttributeError, LookupError, ValueError):  # another system, or one that refuses it
        return False
    return True


def confine(folder: str) -> list[str]:
    """Apply what the system enforces, and return what it does not."""
    root = os.geteuid() == 0
    unenforced = []
    if not _applies(leave_network):
        refuse_connections()
        unenforced.append("network: connections are refused in the interpreter only")
    if not _applies(lambda: confine_files(folder)):
        unenforced.append("files: a program can change those outside of its folder")
    if not _applies(forbid_processes) and root:
        unenforced.append(
            "processes: root is not bound by their limit, and a child in a session of its own outlives the program"
        )
    if root:
        unenforced.append("reading: a program reads every file that root can read")
    return unenforced


def main() -> None:
    path = sys.argv[1]
    if os.path.isdir(path):
        print("\n".join(confine(path)))
        return
    memory, file_size, cpu, passed = map(int, sys.argv[2:])
    with open(path, encoding="utf-8", errors="surrogatepass") as file:
        source = file.read()
    confine(os.path.dirname(path))
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (value, value))
    sys.argv = [path]
    try:
        exec(compile(source, path, "exec"), {"__name__": "__main__"})
    except BaseException:  # also an exit before the tests ran
        os._exit(1)
    os._exit(passed)


if __name__ == "__main__":
    main()
