"""The three dialects of the documentation, as data (B.10, D-58): where one differs from another, it differs in a field.

``modern`` follows today's pages, ``spec1990`` the first Winsock 2 specification, ``ce`` Windows CE. What is not here is
the same in all three. May not know: who asks.
"""

from dataclasses import dataclass

from multipoint import constants
from multipoint.kinds import ProviderClass


@dataclass(frozen=True)
class Dialect:
    """The rules that are not the same in all dialects."""

    name: str
    # DI-10 to DI-12: classes on which WSAJoinLeaf is always WSASYSCALLFAILURE, with multipoint flags or without.
    no_join: frozenset[ProviderClass] = frozenset()
    # DI-09
    has_async_select: bool = True
    # DI-07: WSACancelBlockingCall is there whatever the version; elsewhere only for those that negotiated 1.x.
    has_cancel_blocking_call: bool = False
    # DI-08: any call of a thread that is in a blocking call or a callback is WSAEINPROGRESS, whatever the version.
    refuses_nested_calls: bool = False
    # CL-25, DI-12: how a call ends whose socket another thread closes.
    closed_elsewhere: int = constants.WSAEINTR
    # DI-15, QS-08: lpGQOS of the group's creator is kept.
    keeps_group_flows: bool = False


MODERN = Dialect("modern")
SPEC1990 = Dialect("spec1990", has_cancel_blocking_call=True, keeps_group_flows=True)
CE = Dialect(
    "ce",
    no_join=frozenset({ProviderClass.MCAST}),
    has_async_select=False,
    refuses_nested_calls=True,
    closed_elsewhere=constants.WSAENOTSOCK,
)
DIALECTS = {dialect.name: dialect for dialect in (MODERN, SPEC1990, CE)}


def join_code(dialect: Dialect, provider: ProviderClass) -> int:
    """Return step 3 of the checks of WSAJoinLeaf (JL-16): WSASYSCALLFAILURE or 0."""
    return constants.WSASYSCALLFAILURE if provider in dialect.no_join else 0


def is_version_1(version: int) -> bool:
    """Say whether a negotiated version (low byte: major) is 1.0 or 1.1."""
    return version & 0xFF == 1


def cancel_code(dialect: Dialect, version: int) -> int:
    """Return the code of WSACancelBlockingCall: 0 if it works, WSAEOPNOTSUPP where it was removed (DI-07, D-46)."""
    works = dialect.has_cancel_blocking_call or (is_version_1(version) and dialect is not CE)
    return 0 if works else constants.WSAEOPNOTSUPP


def nested_code(dialect: Dialect, version: int) -> int:
    """Return the code of a call by a thread that is in a blocking call or a callback already: 0 or WSAEINPROGRESS.

    With version 2.x only calls on the listener whose condition function runs are refused (AC-29): not decided here.
    """
    refused = dialect.refuses_nested_calls or is_version_1(version)
    return constants.WSAEINPROGRESS if refused else 0


# SU-02: highest first
VERSIONS = ((2, 2), (2, 1), (2, 0), (1, 1), (1, 0))


def negotiate(requested: int) -> int | None:
    """Return the version that WSAStartup grants, as it was asked (low byte: major); None below 1.0 (SU-02, SU-03)."""
    asked = (requested & 0xFF, requested >> 8 & 0xFF)
    for major, minor in VERSIONS:
        if (major, minor) <= asked:
            return minor << 8 | major
    return None


_ALL_LIST = frozenset(
    {
        constants.WSANOTINITIALISED,
        constants.WSAENETDOWN,
        constants.WSAEADDRINUSE,
        constants.WSAEINPROGRESS,
        constants.WSAEALREADY,
        constants.WSAEADDRNOTAVAIL,
        constants.WSAEAFNOSUPPORT,
        constants.WSAECONNREFUSED,
        constants.WSAEFAULT,
        constants.WSAEISCONN,
        constants.WSAENETUNREACH,
        constants.WSAENOBUFS,
        constants.WSAENOTSOCK,
        constants.WSAEOPNOTSUPP,
        constants.WSAEPROTONOSUPPORT,
        constants.WSAETIMEDOUT,
        # Listed by the newer pages; the others state the rule without a code, and get this one too (JL-04, DI-12).
        constants.WSAEINVAL,
    }
)
# JL-76: no other code comes out of WSAJoinLeaf. WSAEWOULDBLOCK is in no list of ours (JL-27).
JOIN_CODES = {
    MODERN: _ALL_LIST | {constants.WSAEINTR},
    SPEC1990: _ALL_LIST | {constants.WSAEINTR},
    CE: _ALL_LIST | {constants.WSASYSCALLFAILURE},
}
