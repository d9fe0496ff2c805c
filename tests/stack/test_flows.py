"""Flows of one socket through the Winsock-shaped functions: set, read, checked, overridden, promised, named."""

import pytest
from tests.stack.flows import NOTHING, a_flow, get_qos, rate, sending, set_qos, start
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT
from tests.stack.test_winsock import ANYWHERE, NOBODY, a_listening, a_socket, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import pack_object
from multipoint.layouts import WSABUF, WSAPROTOCOL_INFO
from multipoint.values import Ref, SockAddr, sockaddr

ALL = 0xFFFFFFFF
UNSPECIFIED = QOS.of(FLOWSPEC(ALL, ALL, ALL, ALL, ALL, 6, ALL, ALL), FLOWSPEC(ALL, ALL, ALL, ALL, ALL, 6, ALL, ALL))
GROUP = sockaddr("239.1.2.3", 5000)
LOOPBACK = (1).to_bytes(4, "big")  # IP_MULTICAST_IF takes an interface's index as 0.0.0.1
MODE = pack_object(c.QOS_OBJECT_SD_MODE, c.TC_NONCONF_SHAPE.to_bytes(4, "little"))


def a_bound() -> int:
    s = a_socket(LEAF)
    assert ws.bind(s, ANYWHERE, 16) == 0
    return s


def a_group_socket(flags: int = c.JL_BOTH, qos: QOS | None = None, protocol: int = c.IPPROTO_UDP) -> int:
    """Join the group on the loopback interface; whatever comes of it, the socket is the result."""
    place = ROOT & ~c.WSA_FLAG_MULTIPOINT_C_ROOT | LEAF & ~c.WSA_FLAG_MULTIPOINT_D_LEAF if protocol != 17 else LEAF
    s = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, protocol, None, 0, place)
    assert ws.setsockopt(s, c.SOL_SOCKET, c.SO_REUSEADDR, b"\1\0\0\0", 4) == 0
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, LOOPBACK, 4) == 0
    join(s, GROUP, flags=flags, lpSQOS=qos)
    return s


@pytest.mark.requirement("QS-01", "QS-06", "QS-09", "QS-10", "QS-15", "QS-31", "IO-16")
@isolated
def test_whole_structure_goes_in_and_comes_out() -> None:
    start()
    s = a_bound()
    flow = FLOWSPEC(1000, 2000, 3000, 4000, 5000, c.SERVICETYPE_GUARANTEED, 600, 64)
    for objects in (b"", MODE, MODE + pack_object(c.RSVP_OBJECT_POLICY_INFO, b"anything")):
        qos = QOS.of(flow, FLOWSPEC(ServiceType=c.SERVICETYPE_BESTEFFORT, MaxSduSize=9), objects)
        assert set_qos(s, qos) == 0
        assert get_qos(s) == qos
    size = len(get_qos(s).pack())
    for room in (0, 79, size - 1):
        assert ws.WSAIoctl(s, c.SIO_GET_QOS, None, 0, bytearray(size), room, Ref(0), None, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEFAULT
    assert set_qos(s, qos.pack()[:79]) == c.WSAEFAULT
    assert set_qos(s, b"") == c.WSAEFAULT


@pytest.mark.requirement("QS-12", "QS-14", "IO-16")
@isolated
def test_receiver_reads_from_bind_on_sender_once_joined() -> None:
    start()
    receiver, sender = a_socket(LEAF), ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 301, None, 0, 0x04 | 0x08)
    for s in (receiver, sender):
        assert ws.WSAIoctl(s, c.SIO_GET_QOS, None, 0, bytearray(80), 80, Ref(0), None, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEINVAL
        assert ws.bind(s, ANYWHERE, 16) == 0
    assert get_qos(receiver) == QOS() == UNSPECIFIED
    assert ws.WSAIoctl(sender, c.SIO_GET_QOS, None, 0, bytearray(80), 80, Ref(0), None, None) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEINVAL
    assert join(sender, sockaddr("232.1.2.3", 5000), flags=c.JL_SENDER_ONLY) == sender
    assert get_qos(sender) == QOS()


@pytest.mark.requirement("QS-13", "IO-16", "QS-08")
@isolated
def test_group_flows_are_reserved() -> None:
    start()
    s = a_bound()
    for code in (c.SIO_SET_GROUP_QOS, c.SIO_GET_GROUP_QOS):
        assert ws.WSAIoctl(s, code, QOS().pack(), 80, bytearray(80), 80, Ref(0), None, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP
    # Read like any pointer, and then ignored, however wrong its flows are.
    assert join(s, NOBODY, lpGQOS=QOS(ProviderSpecific=WSABUF(9, None))) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAEFAULT
    assert join(s, NOBODY, lpGQOS=sending(0)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAECONNREFUSED
    assert get_qos(s) == QOS()


WRONG = {
    c.WSA_QOS_ESERVICETYPE: QOS.of(a_flow(1000, 0x99), NOTHING),
    c.WSA_QOS_EFLOWSPEC: sending(0),
    c.WSA_QOS_ESDMODEOBJ: QOS.of(a_flow(1000), NOTHING, pack_object(c.QOS_OBJECT_SD_MODE, b"\7\0\0\0")),
    c.WSA_QOS_ESHAPERATEOBJ: QOS.of(a_flow(1000), NOTHING, pack_object(c.QOS_OBJECT_SHAPING_RATE, bytes(4))),
    c.WSA_QOS_EPROVSPECBUF: QOS.of(a_flow(1000), NOTHING, MODE[:7]),
    c.WSA_QOS_EOBJLENGTH: QOS.of(a_flow(1000), NOTHING, MODE[:11]),
    c.WSA_QOS_EUNKNOWNPSOBJ: QOS.of(a_flow(1000), NOTHING, pack_object(4711, b"")),
}


@pytest.mark.requirement("QS-33", "QS-16", "QS-17", "QS-22", "QS-27", "QS-29", "QS-32", "JL-70", "IO-05")
@isolated
def test_wrong_flows_have_codes_of_their_own_from_the_ioctl_and_one_from_a_join() -> None:
    start()
    s = a_bound()
    assert set_qos(s, sending(500)) == 0
    for code, qos in WRONG.items():
        assert set_qos(s, qos) == code
        # Before anything is sent: nobody is there, but that is not found out.
        assert join(s, NOBODY, lpSQOS=qos) == c.INVALID_SOCKET
        assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP
        assert rate(s) == 500


@pytest.mark.requirement("QS-17", "QS-18", "QS-19", "QS-26")
@isolated
def test_what_a_flow_has_to_say() -> None:
    start()
    s = a_bound()
    for wrong in (
        sending(1000, PeakBandwidth=999),
        sending(1000, MinimumPolicedSize=0),
        sending(ALL),
        QOS.of(NOTHING, a_flow(ALL, c.SERVICETYPE_GUARANTEED)),
    ):
        assert set_qos(s, wrong) == c.WSA_QOS_EFLOWSPEC
    for right in (
        sending(1000, PeakBandwidth=1000, MinimumPolicedSize=1),
        sending(ALL, c.SERVICETYPE_BESTEFFORT),
        QOS.of(NOTHING, a_flow(ALL)),
    ):
        assert set_qos(s, right) == 0
    # QS-26: without a rate nothing holds back.
    group = a_group_socket(qos=sending(ALL, c.SERVICETYPE_NETWORK_CONTROL, TokenBucketSize=1))
    assert ws.ioctlsocket(group, c.FIONBIO, Ref(1)) == 0
    assert [ws.send(group, bytes(1000), 1000, 0) for _ in range(5)] == [1000] * 5


@pytest.mark.requirement("QS-02", "QS-03", "QS-04")
@pytest.mark.parametrize("overrides", [True, False])
@isolated
def test_override_lasts_after_success_and_is_undone_after_failure(overrides: bool) -> None:
    start()
    root, name = a_listening(ROOT)
    s = a_bound()
    assert set_qos(s, sending(500)) == 0
    assert join(s, NOBODY, lpSQOS=sending(700)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAECONNREFUSED
    assert rate(s) == 500
    event = ws.WSACreateEvent()
    ws.WSAEventSelect(s, event, c.FD_CONNECT)
    assert join(s, name, lpSQOS=sending(700) if overrides else None) == s
    leg = ws.accept(root, None, None)
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
    assert rate(s) == (700 if overrides else 500)
    assert get_qos(leg).ReceivingFlowspec.TokenRate == rate(s)


@pytest.mark.requirement("QS-21", "QS-05")
@isolated
def test_direction_that_is_unchanged_or_lacking_stays_as_it_was() -> None:
    start()
    s = a_bound()
    assert set_qos(s, QOS.of(a_flow(500), a_flow(600))) == 0
    assert set_qos(s, QOS.of(NOTHING, a_flow(700))) == 0
    assert (rate(s), get_qos(s).ReceivingFlowspec.TokenRate) == (500, 700)
    # QS-05: wrong, but not looked at.
    receiver = a_group_socket(c.JL_RECEIVER_ONLY, QOS.of(a_flow(0), a_flow(800)))
    assert (get_qos(receiver).SendingFlowspec, get_qos(receiver).ReceivingFlowspec) == (NOTHING, a_flow(800))
    assert set_qos(receiver, QOS.of(a_flow(0), a_flow(900))) == 0
    assert get_qos(receiver).ReceivingFlowspec == a_flow(900)


@pytest.mark.requirement("QS-34", "QS-38", "QS-07", "IO-05", "JL-70")
@isolated
def test_promises_of_all_sockets_of_an_interface_add_up() -> None:
    start(capacities={"lo": 3000})
    first, second, leaf = a_group_socket(), a_group_socket(), a_bound()
    root, name = a_listening(ROOT)
    assert set_qos(first, sending(2000)) == 0
    assert set_qos(second, sending(1001, c.SERVICETYPE_GUARANTEED)) == c.WSAEOPNOTSUPP
    assert set_qos(second, sending(9000, c.SERVICETYPE_BESTEFFORT)) == 0
    assert join(leaf, name, lpSQOS=sending(1001)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP
    # QS-07: no membership, nor a request for one.
    ws.ioctlsocket(root, c.FIONBIO, Ref(1))
    assert ws.accept(root, None, None) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAEWOULDBLOCK
    # An earlier flow stays when a greater one is refused, and can grow into what is left.
    assert set_qos(first, sending(3001)) == c.WSAEOPNOTSUPP
    assert rate(first) == 2000
    assert set_qos(second, sending(1001)) == c.WSAEOPNOTSUPP
    assert set_qos(first, sending(3000)) == 0
    assert set_qos(first, sending(1)) == 0
    assert set_qos(second, sending(2999)) == 0
    for s in (first, second):
        assert ws.closesocket(s) == 0
    # A failed join gives back what it had taken.
    assert join(leaf, NOBODY, lpSQOS=sending(3000)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAECONNREFUSED
    assert set_qos(a_bound(), sending(3000)) == 0


@pytest.mark.requirement("QS-40", "QS-34")
@isolated
def test_receiving_flow_of_a_plain_group_is_kept_and_promises_nothing() -> None:
    start(capacities={"lo": 1000})
    s = a_group_socket(qos=QOS.of(a_flow(1000), a_flow(5000)))
    assert get_qos(s) == QOS.of(a_flow(1000), a_flow(5000))
    other = a_group_socket(qos=sending(1))
    assert ws.getpeername(other, bytearray(16), Ref(16)) == c.SOCKET_ERROR


@pytest.mark.requirement("QS-40", "QS-05", "QS-25")
@isolated
def test_source_of_a_channel_promises_and_keeps_what_it_sends() -> None:
    start(capacities={"lo": 1000})
    # A flow that it does not receive may be wrong.
    source = a_group_socket(c.JL_SENDER_ONLY, QOS.of(a_flow(1000), a_flow(0)), 301)
    assert get_qos(source) == sending(1000)
    refused = a_group_socket(c.JL_SENDER_ONLY, sending(1), 301)
    assert ws.getpeername(refused, bytearray(16), Ref(16)) == c.SOCKET_ERROR
    assert ws.ioctlsocket(source, c.FIONBIO, Ref(1)) == 0
    assert ws.send(source, bytes(1400), 1400, 0) == 1400
    assert ws.send(source, bytes(1400), 1400, 0) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEWOULDBLOCK
    hearing = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 301, None, 0, LEAF)
    assert ws.setsockopt(hearing, c.IPPROTO_IP, c.IP_MULTICAST_IF, LOOPBACK, 4) == 0
    name = GROUP.pack() + sockaddr("127.0.0.1", 0).pack()
    assert join(hearing, name, 32, c.JL_RECEIVER_ONLY, lpSQOS=QOS.of(a_flow(0), a_flow(5000))) == hearing
    assert get_qos(hearing) == QOS.of(NOTHING, a_flow(5000))


@pytest.mark.requirement("QS-04", "QS-38")
@pytest.mark.parametrize(("flags", "protocol", "name"), [(ROOT, 302, NOBODY), (LEAF, 303, NOBODY), (LEAF, 17, GROUP)])
@isolated
def test_failed_join_of_any_kind_brings_the_earlier_flows_back(flags: int, protocol: int, name: SockAddr) -> None:
    start()
    s = ws.WSASocket(c.AF_INET, 0, protocol, None, 0, flags)
    assert ws.bind(s, sockaddr("0.0.0.0", 0), 16) == 0
    assert set_qos(s, sending(500)) == 0
    # Nobody is there; to the group there is no way.
    assert join(s, name, lpSQOS=sending(700)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == (c.WSAENETUNREACH if protocol == 17 else c.WSAECONNREFUSED)
    assert get_qos(s) == sending(500)


@pytest.mark.requirement("QS-41")
@isolated
def test_guaranteed_latency_has_to_be_possible_on_the_link() -> None:
    start(delays_us={"lo": 2000})
    s = a_bound()
    assert set_qos(s, sending(1, c.SERVICETYPE_GUARANTEED, Latency=1999)) == c.WSAEOPNOTSUPP
    flow = sending(1, c.SERVICETYPE_GUARANTEED, Latency=2000, DelayVariation=7)
    assert set_qos(s, flow) == 0
    assert get_qos(s) == flow
    assert set_qos(s, sending(1, Latency=1)) == 0


@pytest.mark.requirement("QS-41")
@isolated
def test_way_that_takes_longer_than_the_latency_is_found_out_before_anybody_is_asked() -> None:
    start()
    root, name = a_listening(ROOT)
    s = a_bound()
    # No way takes less than a microsecond.
    assert join(s, name, lpSQOS=sending(1, c.SERVICETYPE_GUARANTEED, Latency=0)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP
    assert get_qos(s) == QOS()
    ws.ioctlsocket(root, c.FIONBIO, Ref(1))
    assert ws.accept(root, None, None) == c.INVALID_SOCKET


@pytest.mark.requirement("QS-42")
@isolated
def test_flows_by_name() -> None:
    own = sending(4711)
    assert ws.WSAGetQOSByName(1, WSABUF(4, b"G711"), QOS()) is False
    assert ws.WSAGetLastError() == c.WSANOTINITIALISED
    start(flow_templates={"OWN": own})
    s, found, packed = a_socket(LEAF), QOS(), bytearray(80)
    assert ws.WSAGetQOSByName(s, WSABUF(3, b"OWN"), found) is True
    assert ws.WSAGetQOSByName(s, WSABUF(9, b"OWN\0after"), packed) is True
    assert found == own == QOS.unpack(packed)
    for arguments, code in (
        ((s, WSABUF(4, b"NONE"), found), c.WSAEINVAL),
        ((12345, WSABUF(3, b"OWN"), found), c.WSAENOTSOCK),
        ((s, None, found), c.WSAEFAULT),
        ((s, WSABUF(3, b"OWN"), None), c.WSAEFAULT),
        ((s, WSABUF(3, b"OWN"), bytearray(79)), c.WSAEFAULT),
        ((s, WSABUF(0, None), found), c.WSAEFAULT),
    ):
        assert ws.WSAGetQOSByName(*arguments) is False
        assert ws.WSAGetLastError() == code
    names = WSABUF(200, bytearray(200))
    assert ws.WSAGetQOSByName(s, names, None) is True
    listed = bytes(names.buf or b"").partition(b"\0\0")[0].split(b"\0")
    assert listed[0] == b"G711"
    assert listed[-1] == b"OWN"
    for name in listed:
        assert ws.WSAGetQOSByName(s, WSABUF(len(name), name), found) is True
        assert set_qos(s, found) == 0
    for size, written in ((6, b"G711\0\0"), (5, b"\0xxxx")):
        few = WSABUF(size, bytearray(b"\0xxxxx"[:size]))
        assert ws.WSAGetQOSByName(s, few, None) is True
        assert few.buf == written


@pytest.mark.requirement("QS-11", "QS-07", "IO-05")
@isolated
def test_provider_without_quality_answers_that_it_knows_no_such_option() -> None:
    start(quality=False)
    s, buffer = a_bound(), bytearray(10_000)
    assert set_qos(s, sending(1)) == c.WSAENOPROTOOPT
    assert ws.WSAIoctl(s, c.SIO_GET_QOS, None, 0, buffer, 80, Ref(0), None, None) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOPROTOOPT
    assert join(s, NOBODY, lpSQOS=sending(1)) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP
    count = ws.WSAEnumProtocols(None, buffer, Ref(len(buffer)))
    entries = [WSAPROTOCOL_INFO.unpack(buffer[i * WSAPROTOCOL_INFO.size :]) for i in range(count)]
    assert not any(entry.dwServiceFlags1 & c.XP1_QOS_SUPPORTED for entry in entries)
    assert ws.WSASocket(-1, -1, -1, entries[0], 0, LEAF) != c.INVALID_SOCKET
