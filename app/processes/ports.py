"""Which TCP ports are free, and who has the ones that are not."""

import errno
import socket
from pathlib import Path

_LISTEN = "0A"


class PortUnavailable(Exception):
    """The port cannot be listened on; the message says why and what to do about it."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on at this moment.

    Another program may take it before the caller does, so what starts on it must be able to try again.
    """
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def require_port_free(host: str, port: int, *, option: str | None = "--port") -> None:
    """Raise PortUnavailable when `port` cannot be listened on; `option` is the argument that would choose another."""
    with socket.socket(_family(host)) as probe:
        # As servers do: a connection that is still being closed must not count as a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                holder = _holder(port) or "another program"
                advice = f"; use {option} N for another, or {option} 0 for any free one" if option else ""
                raise PortUnavailable(f"port {port} is taken by {holder}{advice}") from None
            raise PortUnavailable(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _holder(port: int) -> str | None:
    """Name the process that listens on `port`, as far as /proc lets us see it: other users' processes stay hidden."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            # It has ended meanwhile, or it is not ours to look into.
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    """Read the sockets' inode numbers from the kernel's tables (proc(5), /proc/net/tcp)."""
    inodes: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
