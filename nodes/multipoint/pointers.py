"""What C does with pointers, done with Python objects: reading names and memory, storing results.

A None, a wrong type or too little room is a bad pointer: WSAEFAULT (SK-23, D-21). May not know: sockets.
"""

import struct

from multipoint import constants
from multipoint.catalogue import MAX_SOURCES
from multipoint.errors import DecodingError, MultipointError, error
from multipoint.flow import QOS
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6, WSABUF, WSAPROTOCOL_INFO
from multipoint.values import Ref, SockAddr, endpoint, sockaddr
from multipoint.wire import Endpoint

# What becomes of a structure's field that holds what the structure has no place for.
MISFITS = (struct.error, ValueError, TypeError, AttributeError, OverflowError)
SIZES = {constants.AF_INET: SOCKADDR_IN.size, constants.AF_INET6: SOCKADDR_IN6.size}
LAYOUTS: dict[int, type[SockAddr]] = {constants.AF_INET: SOCKADDR_IN, constants.AF_INET6: SOCKADDR_IN6}


def bad_pointer(what: str) -> MultipointError:
    """Return the WSAEFAULT for a parameter."""
    return error(constants.WSAEFAULT, f"{what} is no valid pointer")


def read_name(name: object, namelen: object, family: int) -> Endpoint:
    """Return the address in a name. WSAEFAULT: unreadable or short (JL-07); WSAEAFNOSUPPORT: another family (JL-09)."""
    data = name_bytes(name, namelen, family)
    found = int.from_bytes(data[:2], "little")
    if found != family:
        raise error(constants.WSAEAFNOSUPPORT, "the address is of another family", family=found)
    return endpoint(LAYOUTS[family].unpack(data))


def name_bytes(name: object, namelen: object, family: int) -> bytes:
    """Return the bytes of a name, at least those of an address of the family."""
    if not isinstance(namelen, int) or namelen < SIZES[family]:
        raise error(constants.WSAEFAULT, "namelen is too small", namelen=namelen)
    data = _packed(name)
    if len(data) < min(namelen, SIZES[family]):
        raise error(constants.WSAEFAULT, "name has less bytes than namelen says", namelen=namelen)
    return data[:namelen]


def read_sources(name: object, namelen: object, family: int) -> tuple[str, ...]:
    """Return the sources that follow the group in a name (JL-17). WSAEFAULT: none, too many, no whole addresses."""
    data, size = name_bytes(name, namelen, family), SIZES[family]
    if len(data) != namelen or len(data) % size or not 1 <= len(data) // size - 1 <= MAX_SOURCES:
        raise error(constants.WSAEFAULT, "a group and 1 to 10 sources", namelen=namelen)
    return tuple(read_name(data[at : at + size], size, family).host for at in range(size, len(data), size))


def store_name(address: Endpoint, name: object, namelen: object) -> None:
    """Write an address; the length comes back as its size. WSAEFAULT if there is not so much room."""
    data = sockaddr(*address).pack()
    room, length = _room(name, namelen, len(data))
    room[: len(data)] = data
    length.value = len(data)


def check_room(name: object, namelen: object, family: int) -> None:
    """Raise WSAEFAULT if ``store_name`` would; without a name nothing is stored, and no length is needed."""
    if name is not None:
        _room(name, namelen, SIZES[family])


def reference(ref: object, what: str) -> Ref[int]:
    """Return a reference to a number."""
    if not isinstance(ref, Ref) or not isinstance(ref.value, int):
        raise bad_pointer(what)
    return ref


def optional_reference(ref: object, what: str) -> Ref[int] | None:
    """Return a reference to a number, None for NULL."""
    return None if ref is None else reference(ref, what)


def read_memory(memory: object, length: object) -> memoryview:
    """Return so many bytes of memory."""
    if not isinstance(length, int) or length < 0 or (memory is None and length):
        raise bad_pointer("buf")
    if memory is None:
        return memoryview(b"")
    if isinstance(memory, memoryview):
        memory = _octets(memory)
    if not isinstance(memory, bytes | bytearray | memoryview) or len(memory) < length:
        raise bad_pointer("buf")
    return memoryview(memory)[:length]


def _octets(view: memoryview) -> memoryview:
    """Return memory counted in bytes, whatever the program counts it in."""
    try:
        return view if view.format == "B" and view.contiguous else view.cast("B")
    except (TypeError, ValueError) as reason:
        # With gaps, or released.
        raise error(constants.WSAEFAULT, str(reason)) from reason


def write_memory(memory: object, length: object) -> memoryview:
    """Return so many bytes of memory to write to."""
    view = read_memory(memory, length)
    if length and view.readonly:
        raise bad_pointer("buf")
    return view


def read_buffer(buffer: object) -> bytes:
    """Return the bytes of a WSABUF, none for NULL (JL-12, JL-58)."""
    if buffer is None:
        return b""
    if not isinstance(buffer, WSABUF):
        raise bad_pointer("WSABUF")
    return bytes(read_memory(buffer.buf, buffer.len))


def check_result_buffer(buffer: object) -> int:
    """Return the capacity of a WSABUF that a result will be written to, 0 for NULL (JL-60)."""
    if buffer is None:
        return 0
    if not isinstance(buffer, WSABUF):
        raise bad_pointer("WSABUF")
    return len(write_memory(buffer.buf, buffer.len))


def store_result(buffer: WSABUF | None, data: bytes) -> None:
    """Write a result; its length comes back in ``len`` (JL-61)."""
    if buffer is None:
        return
    if data and isinstance(buffer.buf, bytearray | memoryview):
        buffer.buf[: len(data)] = data
    buffer.len = len(data)


def read_qos(qos: object) -> QOS | None:
    """Return a QOS structure that can be read whole, None for NULL (JL-15)."""
    if qos is None:
        return None
    if isinstance(qos, QOS):
        return _checked_qos(qos)
    if isinstance(qos, bytes | bytearray | memoryview):
        try:
            return QOS.unpack(qos)
        except DecodingError as reason:
            raise error(constants.WSAEFAULT, str(reason)) from reason
    raise bad_pointer("QOS")


def read_protocol_info(info: object) -> WSAPROTOCOL_INFO | None:
    """Return an entry of the catalogue, or what a program takes for one; its packed bytes will do. None for NULL."""
    if info is None or isinstance(info, WSAPROTOCOL_INFO):
        return info
    try:
        return WSAPROTOCOL_INFO.unpack(read_memory(info, WSAPROTOCOL_INFO.size))
    except DecodingError as reason:
        raise error(constants.WSAEFAULT, str(reason)) from reason


def _checked_qos(qos: QOS) -> QOS:
    read_buffer(qos.ProviderSpecific)
    try:
        qos.pack()
    except MISFITS as reason:
        raise error(constants.WSAEFAULT, str(reason)) from reason
    return qos


def _room(name: object, namelen: object, size: int) -> tuple[bytearray, Ref[int]]:
    if not isinstance(name, bytearray):
        raise bad_pointer("name")
    length = reference(namelen, "namelen")
    if min(length.value, len(name)) < size:
        raise error(constants.WSAEFAULT, "no room for an address", room=length.value)
    return name, length


def _packed(name: object) -> bytes:
    try:
        if isinstance(name, SOCKADDR_IN | SOCKADDR_IN6):
            return name.pack()
    except MISFITS as reason:
        raise error(constants.WSAEFAULT, str(reason)) from reason
    if not isinstance(name, bytes | bytearray | memoryview):
        raise bad_pointer("name")
    return bytes(name)
