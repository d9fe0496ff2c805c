"""What no program should pass: each call answers with a code, whatever stands in whichever of its parameters."""

from collections.abc import Callable, Sequence

import pytest
from tests.stack.calls import ANYWHERE, GROUP, a_socket, failure, start
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile
from tests.stack.test_winsock import a_listening

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import FLOWSPEC, QOS
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6, WSABUF, WSANETWORKEVENTS, WSAPROTOCOL_INFO
from multipoint.values import Ref, sockaddr
from multipoint.winsock import TIMEVAL, WSAOVERLAPPED, fd_set

NOTHING = FLOWSPEC()
RATE = FLOWSPEC(TokenRate=1000, TokenBucketSize=1500, ServiceType=c.SERVICETYPE_CONTROLLEDLOAD)


class Foreign:
    """Nothing that any call takes."""


def odd_values() -> Sequence[object]:
    """Return values of which at most a few suit a parameter."""
    return (
        *(None, -1, 0, 3, 1 << 31, 1 << 40, 1.5, "text", b"", b"abc", bytearray(3), [], [None], [[]], {}, Foreign()),
        *(memoryview(bytearray(64)).cast("I"), memoryview(bytearray(64))[::2], memoryview(b"1234"), range(3)),
        *(Ref(None), Ref("text"), Ref(-1), Ref(1 << 40), Ref(1.5)),
        *(SOCKADDR_IN(70000), SOCKADDR_IN(5, "no address"), SOCKADDR_IN(5, "127.0.0.1", -1), SOCKADDR_IN(5, None)),  # type: ignore[arg-type]
        *(SOCKADDR_IN6(None), SOCKADDR_IN6(5, "::1", -1), SOCKADDR_IN6(5, "fe80::1", 0, 77777)),  # type: ignore[arg-type]
        *(WSABUF(-1, b""), WSABUF(5, b"abc"), WSABUF(None, b""), WSABUF(3, "abc"), [WSABUF(3, 3)]),  # type: ignore[arg-type]
        *(QOS(FLOWSPEC(-1), NOTHING), QOS(FLOWSPEC("1"), NOTHING), QOS(None, NOTHING), QOS(FLOWSPEC(1.5), NOTHING)),  # type: ignore[arg-type]
        *(QOS(RATE, NOTHING, None), QOS(RATE, NOTHING, WSABUF(9, b"")), QOS(FLOWSPEC(1 << 32), NOTHING)),  # type: ignore[arg-type]
        *(fd_set(None), fd_set([None]), TIMEVAL(None, 0), TIMEVAL(0, 1.5), TIMEVAL(-1, 0)),  # type: ignore[arg-type,list-item]
        *(WSAOVERLAPPED(hEvent="text"), WSANETWORKEVENTS(0, []), WSANETWORKEVENTS(0, None), WSAPROTOCOL_INFO()),  # type: ignore[arg-type]
    )


def calls(s: int, event: int) -> dict[Callable[..., object], tuple[object, ...]]:
    """Return parameters for each call with which it ends at once, whether it works or not."""
    queue, buffers, overlapped = ws.create_queue(), [WSABUF(3, bytearray(3))], WSAOVERLAPPED()
    name, length = bytearray(28), Ref(28)
    return {
        ws.WSAAccept: (s, name, length, lambda *_: c.CF_REJECT, None),
        ws.WSAAsyncSelect: (s, queue, 1, 0),
        ws.WSAConnect: (s, GROUP, 16, None, WSABUF(3, bytearray(3)), None, None),
        ws.WSADuplicateSocket: (s, 1, WSAPROTOCOL_INFO()),
        ws.WSAEnumNetworkEvents: (s, event, WSANETWORKEVENTS()),
        ws.WSAEnumProtocols: ([17], bytearray(4000), Ref(4000)),
        ws.WSAEventSelect: (s, event, c.FD_ALL_EVENTS),
        ws.WSAGetOverlappedResult: (s, overlapped, Ref(0), False, Ref(0)),
        ws.WSAGetQOSByName: (s, WSABUF(4, b"G711"), QOS()),
        ws.WSAIoctl: (s, c.SIO_MULTICAST_SCOPE, bytes(144), 144, bytearray(999), 999, Ref(0), overlapped, None),
        ws.WSAJoinLeaf: (s, sockaddr("127.0.0.1", 9), 16, WSABUF(), WSABUF(), QOS(), QOS(), c.JL_BOTH),
        ws.WSARecv: (s, buffers, 1, Ref(0), Ref(0), overlapped, None),
        ws.WSARecvDisconnect: (s, WSABUF(3, bytearray(3))),
        ws.WSARecvFrom: (s, buffers, 1, Ref(0), Ref(0), name, length, overlapped, None),
        ws.WSASend: (s, buffers, 1, Ref(0), 0, overlapped, None),
        ws.WSASendDisconnect: (s, WSABUF(3, b"bye")),
        ws.WSASendTo: (s, buffers, 1, Ref(0), 0, GROUP, 16, overlapped, None),
        ws.WSASocket: (c.AF_INET, 0, 302, None, 0, LEAF),
        ws.WSAWaitForMultipleEvents: (1, [event], True, 0, True),
        ws.accept: (s, name, length),
        ws.bind: (s, ANYWHERE, 16),
        ws.connect: (s, GROUP, 16),
        ws.getpeername: (s, name, length),
        ws.getsockname: (s, name, length),
        ws.getsockopt: (s, c.SOL_SOCKET, c.SO_LINGER, bytearray(4), Ref(4)),
        ws.ioctlsocket: (s, c.FIONBIO, Ref(1)),
        ws.listen: (s, 5),
        ws.recv: (s, bytearray(9), 9, 0),
        ws.recvfrom: (s, bytearray(9), 9, 0, name, length),
        ws.select: (0, fd_set([s]), fd_set([s]), None, TIMEVAL()),
        ws.send: (s, b"abc", 3, 0),
        ws.sendto: (s, b"abc", 3, 0, GROUP, 16),
        ws.setsockopt: (s, c.SOL_SOCKET, c.SO_LINGER, bytes(4), 4),
        ws.shutdown: (s, c.SD_RECEIVE),
        ws.socket: (c.AF_INET, 0, 17),
    }


@pytest.mark.requirement("SK-23", "D-21", "JL-12", "JL-15", "IO-03")
@pytest.mark.parametrize(("protocol", "flags"), [(17, LEAF), (17, 0), (302, ROOT), (302, LEAF)])
@isolated
def test_no_value_in_no_parameter_raises(protocol: int, flags: int) -> None:
    start()
    event = ws.WSACreateEvent()
    for number, function in enumerate(calls(0, event)):
        good = list(calls(0, event).values())[number]
        for place in range(len(good)):
            for odd in odd_values():
                if function is ws.select and odd is None:
                    # That is no odd value, it is for ever.
                    continue
                s = a_socket(flags | c.WSA_FLAG_OVERLAPPED, protocol)
                ws.ioctlsocket(s, c.FIONBIO, Ref(1))
                # Nobody waits, however long he would.
                ws.WSASetEvent(event)
                values = list(calls(s, event)[function])
                values[place] = odd
                try:
                    function(*values)
                except BaseException as error:
                    raise AssertionError(f"{function.__name__} with {odd!r} at {place}") from error
                ws.closesocket(s)


@pytest.mark.requirement("SK-23", "JL-15", "IO-03", "EV-20")
@pytest.mark.parametrize(
    ("function", "place", "odd"),
    [
        (ws.accept, 2, Ref(None)),
        (ws.getsockopt, 4, Ref("4")),
        (ws.bind, 1, SOCKADDR_IN(5, "127.0.0.1", -1)),
        (ws.WSAJoinLeaf, 5, QOS(FLOWSPEC(-1), NOTHING)),
        (ws.WSAJoinLeaf, 6, QOS(NOTHING, NOTHING, None)),  # type: ignore[arg-type]
        (ws.WSAConnect, 4, "text"),
        (ws.WSASend, 3, 5),
        (ws.WSARecv, 4, Ref(None)),
        (ws.WSAEnumNetworkEvents, 2, WSANETWORKEVENTS(0, [])),
        (ws.WSAIoctl, 6, Ref("text")),
        (ws.send, 1, memoryview(b"123456")[::2]),
        (ws.select, 1, fd_set(None)),  # type: ignore[arg-type]
        (ws.select, 4, TIMEVAL(None, 0)),  # type: ignore[arg-type]
        (ws.WSAWaitForMultipleEvents, 1, None),
    ],
)
@isolated
def test_what_is_no_such_pointer_is_a_bad_one(function: Callable[..., object], place: int, odd: object) -> None:
    start()
    values = list(calls(a_socket(c.WSA_FLAG_OVERLAPPED | LEAF), ws.WSACreateEvent())[function])
    values[place] = odd
    ws.WSASetLastError(0)
    function(*values)
    assert ws.WSAGetLastError() == c.WSAEFAULT


@pytest.mark.requirement("IO-03")
@isolated
def test_ioctlsocket_has_room_for_one_number() -> None:
    start()
    s, number = a_socket(), Ref(7)
    assert failure(ws.bind(s, ANYWHERE, 16) or ws.ioctlsocket(s, c.SIO_GET_QOS, number)) == c.WSAEFAULT
    assert number.value == 7


@pytest.mark.requirement("SU-16")
@isolated
def test_catalogue_wants_good_pointers_and_arguments() -> None:
    start()
    enumerate_protocols: Callable[..., int] = ws.WSAEnumProtocols
    buffer, length = bytearray(4000), Ref(4000)
    for protocols, room, needed, code in (
        (7, buffer, length, c.WSAEFAULT),
        ("17", buffer, length, c.WSAEFAULT),
        ([17, None], buffer, length, c.WSAEFAULT),
        (None, b"no room to write to", length, c.WSAEFAULT),
        (None, buffer, None, c.WSAEFAULT),
        ([17, -1], buffer, length, c.WSAEINVAL),
        (None, buffer, Ref(-1), c.WSAEINVAL),
    ):
        assert failure(enumerate_protocols(protocols, room, needed)) == code, protocols
        assert not any(buffer)
    assert enumerate_protocols([17], buffer, length) == 2


@pytest.mark.requirement("DP-36")
@isolated
def test_operation_that_could_not_begin_is_not_pending() -> None:
    start()
    s = a_socket(LEAF | c.WSA_FLAG_OVERLAPPED)
    buffers, overlapped = [WSABUF(3, bytearray(3))], WSAOVERLAPPED()
    assert failure(ws.WSASend(s, buffers, 1, None, 0x4000, overlapped, None)) == c.WSAEINVAL
    assert not overlapped.is_pending
    assert failure(ws.WSARecv(s, buffers, 1, None, Ref(None), overlapped, None)) == c.WSAEFAULT  # type: ignore[arg-type]
    assert not overlapped.is_pending


@pytest.mark.requirement("AC-22", "AC-27", "QS-20")
@isolated
def test_what_a_condition_function_leaves_behind_is_looked_at() -> None:
    start()
    root, name = a_listening(ROOT)
    asked = QOS(RATE, NOTHING)

    def leaves(length: object = 0, memory: object = b"", rate: object = 1000) -> Callable[..., int]:
        def condition(*given: object) -> int:
            sqos, answer = given[2], given[5]
            assert isinstance(sqos, QOS)
            assert isinstance(answer, WSABUF)
            answer.len, answer.buf, sqos.SendingFlowspec.TokenRate = length, memory, rate  # type: ignore[assignment]
            return c.CF_ACCEPT

        return condition

    conditions = [leaves(1 << 40), leaves(-1), leaves(None), leaves(1, "text"), leaves(rate=None), leaves(rate=-1)]
    for condition in conditions:
        leaf = a_socket()
        joining = Meanwhile(lambda: ws.WSAJoinLeaf(leaf, name, 16, None, None, asked, None, c.JL_BOTH))  # noqa: B023
        assert failure(ws.WSAAccept(root, None, None, condition, None)) == c.WSAEFAULT
        if condition in conditions[3:]:
            # A pointer that can't be read decides nothing.
            assert failure(ws.WSAAccept(root, None, None, lambda *_: c.CF_REJECT, None)) == c.WSAECONNREFUSED
        assert joining.result() == c.INVALID_SOCKET
