"""Winsock-shaped: start and end, last error, catalogue. May not know: sockets."""

import errno
from collections.abc import Sequence

from multipoint import catalogue, constants, pointers, threads
from multipoint.calling import call, process
from multipoint.constants import SOCKET_ERROR
from multipoint.dialects import negotiate, nested_code
from multipoint.errors import error
from multipoint.layouts import WSADATA
from multipoint.values import Ref, Settings

HIGHEST = 0x0202
# SU-05: what keeps the stack from starting; anything else is WSASYSNOTREADY.
START_CODES = {errno.EMFILE: constants.WSAEPROCLIM, errno.ENFILE: constants.WSAEPROCLIM}


def WSAStartup(wVersionRequested: int, lpWSAData: WSADATA | None, *, settings: Settings | None = None) -> int:
    """Start the stack, or count one more user of it; return 0 or the error itself. ``settings`` is our addition."""
    if process.is_started and threads.current().is_busy and nested_code(process.stack.dialect, process.version):
        return constants.WSAEINPROGRESS
    if not isinstance(wVersionRequested, int):
        return constants.WSAEFAULT
    version = negotiate(wVersionRequested)
    if version is None:
        return constants.WSAVERNOTSUPPORTED
    if not isinstance(lpWSAData, WSADATA):
        return constants.WSAEFAULT
    try:
        process.start(settings)
    except OSError as reason:
        return START_CODES.get(reason.errno or 0, constants.WSASYSNOTREADY)
    process.version = version
    lpWSAData.wVersion, lpWSAData.wHighVersion = version, HIGHEST
    lpWSAData.szDescription, lpWSAData.szSystemStatus = "multipoint", "Running"
    return 0


@call(SOCKET_ERROR)
def WSACleanup() -> int:
    """End one use of the stack; the last one closes all sockets without a word to their peers."""
    process.clean_up()
    return 0


def WSAGetLastError() -> int:
    """Return the code of the calling thread's last failure."""
    return process.last_error


def WSASetLastError(iError: int) -> None:
    """Set the calling thread's last error."""
    process.last_error = iError


@call(SOCKET_ERROR)
def WSAEnumProtocols(
    lpiProtocols: Sequence[int] | None, lpProtocolBuffer: bytearray | None, lpdwBufferLength: Ref[int]
) -> int:
    """Write the catalogue's entries into the buffer; return their number (SU-14 to SU-16)."""
    room = pointers.reference(lpdwBufferLength, "lpdwBufferLength").value
    if not isinstance(lpProtocolBuffer, bytearray | memoryview | None):
        raise pointers.bad_pointer("lpProtocolBuffer")
    wanted = () if lpiProtocols is None else lpiProtocols
    if not isinstance(wanted, Sequence) or not all(isinstance(protocol, int) for protocol in wanted):
        raise pointers.bad_pointer("lpiProtocols")
    if any(number < 0 for number in (room, *wanted)):
        raise error(constants.WSAEINVAL, "neither a length nor a protocol is negative")
    buffer = None if lpProtocolBuffer is None else pointers.write_memory(lpProtocolBuffer, len(lpProtocolBuffer))
    entries = catalogue.visible(lpiProtocols, process.stack.settings.quality)
    packed = b"".join(entry.pack() for entry in entries)
    if buffer is None or min(room, len(buffer)) < len(packed):
        lpdwBufferLength.value = len(packed)
        raise error(constants.WSAENOBUFS, "the buffer is too small", needed=len(packed))
    buffer[: len(packed)] = packed
    return len(entries)
