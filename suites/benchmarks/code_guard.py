"""Run one program under limits; a script of its own that imports nothing of the project.

``code_guard.py PROGRAM MEMORY_BYTES FILE_BYTES CPU_SECONDS EXIT_CODE_IF_PASSED``
"""

import os
import resource
import sys


def leave_network():
    """A network name space of its own has no interface; where the system refuses it, sockets are refused here."""
    import socket

    new_user_and_network = 0x10000000 | 0x40000000
    try:
        import ctypes

        if ctypes.CDLL(None).unshare(new_user_and_network) == 0:
            return
    except (ImportError, OSError, AttributeError):
        pass

    def refuse(*args, **kwargs):
        raise PermissionError("no network")

    socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse


def main():
    path, memory, file_size, cpu, passed = sys.argv[1], *map(int, sys.argv[2:])
    leave_network()
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (value, value))
    with open(path, encoding="utf-8", errors="surrogatepass") as file:
        source = file.read()
    sys.argv = [path]
    try:
        exec(compile(source, path, "exec"), {"__name__": "__main__"})
    except BaseException:  # also an exit before the tests ran
        os._exit(1)
    os._exit(passed)


if __name__ == "__main__":
    main()
