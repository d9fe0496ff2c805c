"""The Python object: what is no address, or none for the socket, is told before anything has changed."""

import pytest
from tests.stack.network import isolated
from tests.stack.people import CONFERENCE_ROOT, LEAF, ROOT, Meanwhile, a_listening_leaf, a_root, code_of

from multipoint import constants as c
from multipoint.stack import Stack
from multipoint.values import Address, JoinRequest

NO_ADDRESSES: list[object] = [
    *(None, "text", 5, (), ("127.0.0.1",), (None, 5), ("localhost", 5), ("", 5), ([], 5), (b"127.0.0.1", 5)),
    *(("127.0.0.1", None), ("127.0.0.1", "5"), ("127.0.0.1", -1), ("127.0.0.1", 65536), ("127.0.0.1", 5.0)),
]


@pytest.mark.requirement("JL-07", "JL-09", "JL-18", "SK-26")
@pytest.mark.parametrize(
    ("protocol", "flags"), [(17, LEAF), (301, LEAF), (302, LEAF), (302, ROOT), (303, CONFERENCE_ROOT)]
)
@isolated
def test_what_is_no_address_changes_nothing(protocol: int, flags: int) -> None:
    with Stack() as stack:
        sock = stack.socket(c.AF_INET, 0, protocol, flags=flags)
        request = JoinRequest()
        if protocol == 301:
            request = JoinRequest(next(iter(sock.kind.roles)) if sock.kind else request.role, sources=("127.0.0.1",))
        for address in NO_ADDRESSES:
            wrong: Address = address  # type: ignore[assignment]
            assert code_of(lambda wrong=wrong: sock.join(wrong, request)) == c.WSAEFAULT  # type: ignore[misc]
            assert code_of(lambda wrong=wrong: sock.bind(wrong)) == c.WSAEFAULT  # type: ignore[misc]
        assert code_of(lambda: sock.join(("::1", 5), request)) == c.WSAEAFNOSUPPORT
        assert code_of(lambda: sock.bind(("::1", 5))) == c.WSAEFAULT
        assert code_of(lambda: sock.local_address) == c.WSAEINVAL
        sock.bind(("127.0.0.1", 0))


@pytest.mark.requirement("JL-37", "JL-31")
@isolated
def test_socket_that_was_given_no_address_joins_then() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), stack.socket(c.AF_INET, 0, 302, flags=LEAF)
        no_port, no_bytes = ("127.0.0.1", 70_000), JoinRequest(caller_data="text")  # type: ignore[arg-type]
        for sock in (root, leaf):
            assert code_of(lambda sock=sock: sock.join(no_port)) == c.WSAEFAULT  # type: ignore[misc]
            assert code_of(lambda sock=sock: sock.join(root.local_address, no_bytes)) == c.WSAEFAULT  # type: ignore[misc]
        accepting = Meanwhile(root.accept)
        leaf.join(root.local_address, JoinRequest(capacity=-1))
        accepting.result()
        listening = a_listening_leaf(stack)
        accepting = Meanwhile(listening.accept)
        root.join(listening.local_address, JoinRequest(capacity=1 << 40))
        accepting.result()
