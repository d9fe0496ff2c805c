"""What a root asks a leaf before its program sees the request: can you carry the session's flows?"""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from tests.stack.flows import NOTHING, a_flow, sending
from tests.stack.network import isolated
from tests.stack.people import PATIENCE_S, Meanwhile, Watcher, a_leaf, a_root, code_of

from multipoint import constants as c
from multipoint import wire
from multipoint.events import NetworkEvent
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack

HOST = wire.Endpoint("127.0.0.1", 7001)
MEMBERSHIP = wire.Membership(7, 1, wire.Endpoint("239.255.0.1", 7000), HOST, bytes(32), bytes(32), 2500, 10_000)


@contextlib.contextmanager
def a_caller(root: MultipointSocket) -> Iterator[tuple[socket.socket, wire.Decoder]]:
    """Ask a root for a place in its session by hand; what is heard is its offer of flows."""
    join = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, HOST, 0, b"")
    with socket.create_connection(root.local_address, timeout=PATIENCE_S) as peer:
        decoder = wire.Decoder()
        peer.sendall(wire.encode(wire.Hello()) + wire.encode(join))
        assert isinstance(hear(peer, decoder), wire.Hello)
        offer = hear(peer, decoder)
        assert isinstance(offer, wire.FlowRequest)
        assert (offer.number, offer.qos.SendingFlowspec.TokenRate) == (0, 7000)
        yield peer, decoder


def hear(peer: socket.socket, decoder: wire.Decoder) -> wire.Message:
    """Return the next message."""
    while (message := decoder.next()) is None:
        decoder.feed(peer.recv(1))
    return message


def answer(code: int, number: int = 0) -> bytes:
    return wire.encode(wire.FlowAnswer(number, code, sending(7000)))


@pytest.mark.requirement("QS-36", "QS-07", "CL-05")
@isolated
def test_request_waits_for_the_answer_to_the_sessions_flows() -> None:
    with Stack() as stack:
        root = a_root(stack)
        root.set_qos(sending(7000))
        watcher = Watcher(root, c.FD_ACCEPT)
        with a_caller(root) as (peer, decoder):
            peer.sendall(answer(c.WSAEOPNOTSUPP))
            assert hear(peer, decoder) == wire.Reject(c.WSAEOPNOTSUPP)
        with a_caller(root) as (peer, decoder), a_caller(root) as (silent, its):
            assert root.enumerate_events() == {}
            assert code_of(root.accept) == c.WSAEWOULDBLOCK
            # A second answer is one to nothing.
            peer.sendall(answer(0) + answer(0) + answer(c.WSAEOPNOTSUPP))
            assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
            assert root.accept().is_joined  # type: ignore[attr-defined]
            assert isinstance(hear(peer, decoder), wire.Accept)
            assert code_of(root.accept) == c.WSAEWOULDBLOCK
            root.close()
            assert hear(silent, its) == wire.Reject(c.WSAECONNREFUSED)


@pytest.mark.requirement("QS-36")
@isolated
def test_root_that_does_not_wait_for_the_answer_is_joined_all_the_same() -> None:
    with Stack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        leaf = a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(server.getsockname()))
        root, _ = server.accept()
        with root:
            offer, granted = wire.FlowRequest(0, sending(7000)), QOS.of(NOTHING, a_flow(7000))
            said = (wire.Hello(), offer, wire.Accept(Plane.ROOT, Plane.ROOT, HOST, b"", granted))
            root.sendall(b"".join(wire.encode(message) for message in (*said, wire.Confirm(MEMBERSHIP))))
            joining.result()
            assert leaf.get_qos().ReceivingFlowspec.TokenRate == 7000
