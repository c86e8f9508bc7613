"""The sockets of another process, to see how it has set them."""

import contextlib
import ctypes
import os
import socket

PIDFD_GETFD = 438


@contextlib.contextmanager
def of(process):
    """Copies of all TCP and Unix sockets that a child process has open."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(process.pid)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, handle)
        found = []
        for name in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{process.pid}/fd/{name}").startswith("socket:"):
                    copy = libc.syscall(PIDFD_GETFD, handle, int(name), 0)
                    if copy < 0:
                        raise OSError(ctypes.get_errno(), "pidfd_getfd")
                    found.append(opened.enter_context(socket.socket(fileno=copy)))
        yield found


def listening(found, port):
    """Those that listen on a TCP port."""
    return [
        each
        for each in found
        if each.family in (socket.AF_INET, socket.AF_INET6)
        and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and each.getsockname()[1] == port
    ]


def connected(found, port):
    """Those that are connected to a TCP port."""
    return [each for each in found if each.family in (socket.AF_INET, socket.AF_INET6) and _peer_port(each) == port]


def _peer_port(each):
    try:
        return each.getpeername()[1]
    except OSError:
        return None
