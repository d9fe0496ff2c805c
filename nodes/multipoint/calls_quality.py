"""Winsock-shaped: flow templates by their names. May not know: which there are (``templates``)."""

from multipoint import constants, pointers
from multipoint.calling import call, process
from multipoint.errors import error
from multipoint.flow import QOS
from multipoint.layouts import WSABUF


@call(False)
def WSAGetQOSByName(s: int, lpQOSName: WSABUF | None, lpQOS: QOS | bytearray | None) -> bool:
    """Fill in the flows of a name (QS-42). An empty one asks for the names themselves, as many as there is room for."""
    process.sockets.get(s)
    known = process.stack.templates
    if not isinstance(lpQOSName, WSABUF):
        raise pointers.bad_pointer("lpQOSName")
    name = bytes(pointers.read_memory(lpQOSName.buf, lpQOSName.len)).partition(b"\0")[0]
    if not name:
        _list(lpQOSName, list(known))
        return True
    template = known.get(name.decode("ascii", "replace"))
    if template is None:
        raise error(constants.WSAEINVAL, "no such template", name=name)
    _fill(lpQOS, template)
    return True


def _list(buffer: WSABUF, names: list[str]) -> None:
    room = pointers.write_memory(buffer.buf, buffer.len)
    if not room:
        raise pointers.bad_pointer("lpQOSName")
    written = 0
    for name in names:
        data = name.encode("ascii", "replace") + b"\0"
        # The list ends with an empty name.
        if written + len(data) >= len(room):
            break
        room[written : written + len(data)] = data
        written += len(data)
    room[written] = 0


def _fill(qos: QOS | bytearray | None, template: QOS) -> None:
    copied = QOS.unpack(template.pack())
    if isinstance(qos, QOS):
        qos.SendingFlowspec, qos.ReceivingFlowspec = copied.SendingFlowspec, copied.ReceivingFlowspec
        qos.ProviderSpecific = copied.ProviderSpecific
        return
    packed = copied.pack()
    if not isinstance(qos, bytearray) or len(qos) < len(packed):
        raise pointers.bad_pointer("lpQOS")
    qos[: len(packed)] = packed
