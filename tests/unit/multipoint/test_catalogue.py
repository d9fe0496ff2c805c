"""The catalogue: its entries, which one a socket gets, which flags go with it."""

from itertools import product

import pytest

from multipoint import catalogue
from multipoint import constants as c
from multipoint.catalogue import CATALOGUE, PROVIDER_VERSION, Entry, choose, kind, visible
from multipoint.errors import MultipointError
from multipoint.kinds import JoinRole, Kind, Plane, ProviderClass, Reach
from multipoint.layouts import WSAPROTOCOL_INFO
from multipoint.wire import MAX_CHAT

MCAST, SSM, P2MP, CONF = ProviderClass
C_ROOT, C_LEAF = c.WSA_FLAG_MULTIPOINT_C_ROOT, c.WSA_FLAG_MULTIPOINT_C_LEAF
D_ROOT, D_LEAF = c.WSA_FLAG_MULTIPOINT_D_ROOT, c.WSA_FLAG_MULTIPOINT_D_LEAF
ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.info().szProtocol)

# IPv4 counts its own header (20) in the 65,535 bytes of a packet, IPv6 does not; UDP takes 8, a rooted session 40.
LONGEST = {
    (False, c.AF_INET): 65_507,
    (False, c.AF_INET6): 65_527,
    (True, c.AF_INET): 65_467,
    (True, c.AF_INET6): 65_487,
}
# A.3
SERVICES = {MCAST: 0x2609, SSM: 0x3409, P2MP: 0x3DA8, CONF: 0x2DA8}
TYPES = {MCAST: c.SOCK_DGRAM, SSM: c.SOCK_DGRAM, P2MP: c.SOCK_SEQPACKET, CONF: c.SOCK_SEQPACKET}


@pytest.mark.requirement("SU-18", "SU-19", "SU-22")
def test_each_class_is_there_for_both_families() -> None:
    assert [(entry.provider, entry.family) for entry in CATALOGUE] == [
        (provider, family) for family in (c.AF_INET, c.AF_INET6) for provider in ProviderClass
    ]
    assert len({entry.info().ProviderId for entry in CATALOGUE}) == len({entry.number for entry in CATALOGUE}) == 8


@pytest.mark.requirement("SU-17", "SU-19")
@ENTRIES
def test_entry_says_what_its_class_is(entry: Entry) -> None:
    info = entry.info()
    size = {c.AF_INET: 16, c.AF_INET6: 28}[entry.family]
    assert info.dwServiceFlags1 == SERVICES[entry.provider]
    assert info.iSocketType == TYPES[entry.provider]
    assert info.iVersion == PROVIDER_VERSION
    assert (info.iMinSockAddr, info.iMaxSockAddr) == (size, size * 11 if entry.provider is SSM else size)
    assert (info.iNetworkByteOrder, info.ChainLen, info.iAddressFamily) == (c.BIGENDIAN, 1, entry.family)
    assert info.iProtocol == 17 if entry.provider is MCAST else info.iProtocol > 255
    assert bool(info.dwServiceFlags1 & c.XP1_MULTIPOINT_CONTROL_PLANE) is entry.provider.is_control_rooted
    assert bool(info.dwServiceFlags1 & c.XP1_MULTIPOINT_DATA_PLANE) is entry.provider.is_data_rooted
    assert bool(info.dwServiceFlags1 & c.XP1_CONNECT_DATA) is entry.provider.has_connect_data


@pytest.mark.requirement("SU-20", "SU-21")
@ENTRIES
def test_entry_survives_packing(entry: Entry) -> None:
    assert WSAPROTOCOL_INFO.unpack(entry.info().pack()) == entry.info()
    assert entry.info().dwMessageSize == entry.max_message == LONGEST[entry.provider.is_control_rooted, entry.family]


@pytest.mark.requirement("DP-12", "DP-30")
def test_side_chat_takes_the_longest_message() -> None:
    assert max(entry.max_message for entry in CATALOGUE if entry.provider.is_control_rooted) == MAX_CHAT


@pytest.mark.requirement("JL-54")
def test_role_says_who_sends_and_who_receives() -> None:
    assert [(role.sends, role.receives) for role in (JoinRole.SENDER_ONLY, JoinRole.RECEIVER_ONLY, JoinRole.BOTH)] == [
        (True, False),
        (False, True),
        (True, True),
    ]


@pytest.mark.requirement("JL-55")
def test_role_of_a_root_is_the_leaf_s_mirrored() -> None:
    assert [role.mirrored for role in (JoinRole.SENDER_ONLY, JoinRole.RECEIVER_ONLY, JoinRole.BOTH)] == [
        JoinRole.RECEIVER_ONLY,
        JoinRole.SENDER_ONLY,
        JoinRole.BOTH,
    ]


@pytest.mark.requirement("SU-14")
@pytest.mark.parametrize(
    ("asked", "count"), [(None, 8), ([], 0), ([0], 0), ([17], 2), ([17, 302, 0], 4), ([0, 17], 0), ([6, 17, 0, 302], 2)]
)
def test_catalogue_shows_the_protocols_asked_for(asked: list[int] | None, count: int) -> None:
    assert len(visible(asked)) == count


@pytest.mark.requirement("SU-14")
def test_catalogue_keeps_hidden_entries_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue._PROVIDER_FLAGS, SSM, c.PFL_HIDDEN)
    assert {info.iProtocol for info in visible(None)} == {17, 302, 303}
    assert visible([301]) == []


CHOICES = [
    # family, type, protocol, flags, what comes
    (c.AF_INET, c.SOCK_DGRAM, 0, C_LEAF | D_LEAF, MCAST),
    (c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, C_LEAF | D_LEAF, MCAST),
    (c.AF_INET6, c.SOCK_DGRAM, 0, C_LEAF | D_LEAF, MCAST),
    (c.AF_INET, c.SOCK_DGRAM, 0, C_LEAF | D_ROOT, SSM),
    (c.AF_INET, c.SOCK_DGRAM, 301, C_LEAF | D_LEAF, SSM),
    (c.AF_INET, c.SOCK_SEQPACKET, 0, C_ROOT | D_ROOT, P2MP),
    (c.AF_INET, 0, 0, C_ROOT | D_ROOT, P2MP),
    (c.AF_INET, c.SOCK_SEQPACKET, 0, C_ROOT | D_LEAF, P2MP),
    (c.AF_INET, c.SOCK_SEQPACKET, 303, C_ROOT | D_LEAF, CONF),
    (c.AF_INET, c.SOCK_DGRAM, 0, 0, MCAST),
]


@pytest.mark.requirement("SK-02", "SU-22")
@pytest.mark.parametrize(("family", "socket_type", "protocol", "flags", "provider"), CHOICES)
def test_first_entry_that_honours_the_flags_is_chosen(
    family: int, socket_type: int, protocol: int, flags: int, provider: ProviderClass
) -> None:
    entry = choose(family, socket_type, protocol, None, flags)
    assert (entry.provider, entry.family) == (provider, family)


REFUSALS = [
    ("SK-04", 99, c.SOCK_DGRAM, 0, 0, c.WSAEAFNOSUPPORT),
    ("SK-04", c.AF_INET, c.SOCK_RAW, 0, 0, c.WSAESOCKTNOSUPPORT),
    ("SK-04", c.AF_INET, c.SOCK_DGRAM, 99, 0, c.WSAEPROTONOSUPPORT),
    ("SK-04", c.AF_INET, c.SOCK_DGRAM, 302, 0, c.WSAEPROTOTYPE),
    ("SK-08", c.AF_INET, c.SOCK_DGRAM, 0, C_ROOT | D_LEAF, c.WSAEINVAL),
    ("SK-10", c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, C_LEAF | D_ROOT, c.WSAEINVAL),
    ("SK-19", c.AF_INET, c.SOCK_DGRAM, 0, c.WSA_FLAG_REGISTERED_IO, c.WSAEINVAL),
    ("SK-19", c.AF_INET, c.SOCK_DGRAM, 0, c.WSA_FLAG_ACCESS_SYSTEM_SECURITY, c.WSAEINVAL),
    ("SK-19", c.AF_INET, c.SOCK_DGRAM, 0, 0x20, c.WSAEINVAL),
]


@pytest.mark.parametrize(
    ("family", "socket_type", "protocol", "flags", "code"),
    [pytest.param(*row, marks=pytest.mark.requirement(requirement)) for requirement, *row in REFUSALS],
)
def test_what_no_entry_fits_is_refused(family: int, socket_type: int, protocol: int, flags: int, code: int) -> None:
    with pytest.raises(MultipointError) as caught:
        choose(family, socket_type, protocol, None, flags)
    assert caught.value.code == code


@pytest.mark.requirement("SK-03")
@ENTRIES
def test_entry_that_is_given_is_taken(entry: Entry) -> None:
    anything = c.FROM_PROTOCOL_INFO
    assert choose(anything, anything, anything, entry.info(), 0) == entry
    assert choose(entry.family, entry.socket_type, entry.protocol, entry.info(), 0) == entry


@pytest.mark.requirement("SK-03", "SK-06")
def test_entry_that_is_wrong_is_refused() -> None:
    info = CATALOGUE[0].info()
    info.iVersion = 99
    with pytest.raises(MultipointError, match="WSAEINVAL"):
        choose(-1, -1, -1, info, 0)
    with pytest.raises(MultipointError, match="WSAEINVAL"):
        choose(-1, -1, -1, WSAPROTOCOL_INFO(), 0)
    with pytest.raises(MultipointError, match="WSAEAFNOSUPPORT"):
        choose(c.AF_INET6, -1, -1, CATALOGUE[0].info(), 0)


@pytest.mark.requirement("SK-05")
def test_entry_of_a_wrong_type_is_a_bad_pointer() -> None:
    with pytest.raises(MultipointError, match="WSAEFAULT"):
        choose(-1, -1, -1, b"no entry", 0)  # type: ignore[arg-type]


@pytest.mark.requirement("SK-08", "SK-09", "SK-10", "SK-11", "SK-12", "SK-13")
@pytest.mark.parametrize("provider", ProviderClass)
def test_every_combination_of_flags(provider: ProviderClass) -> None:
    """One C flag and one D flag, a root's only where that plane is rooted; everything else is refused."""
    for chosen in product((0, C_ROOT), (0, C_LEAF), (0, D_ROOT), (0, D_LEAF)):
        flags = sum(chosen)
        is_right = (
            bool(flags & C_ROOT) != bool(flags & C_LEAF)
            and bool(flags & D_ROOT) != bool(flags & D_LEAF)
            and (not flags & C_ROOT or provider in (P2MP, CONF))
            and (not flags & D_ROOT or provider in (P2MP, SSM))
        )
        if not flags:
            assert kind(provider, flags) is None
        elif is_right:
            control = Plane.ROOT if flags & C_ROOT else Plane.LEAF
            data = Plane.ROOT if flags & D_ROOT else Plane.LEAF
            assert kind(provider, flags) == Kind(provider, control, data)
        else:
            with pytest.raises(MultipointError, match="WSAEINVAL"):
                kind(provider, flags)


KINDS = {
    # A.2: may listen, joins many, reports close, roles, send reaches, receive yields
    Kind(MCAST, Plane.LEAF, Plane.LEAF): (False, False, False, set(JoinRole), Reach.ANYONE, Reach.ANYONE),
    Kind(SSM, Plane.LEAF, Plane.ROOT): (False, False, False, {JoinRole.SENDER_ONLY}, Reach.LEAVES, Reach.NOBODY),
    Kind(SSM, Plane.LEAF, Plane.LEAF): (False, False, False, {JoinRole.RECEIVER_ONLY}, Reach.NOBODY, Reach.ROOT),
    Kind(P2MP, Plane.ROOT, Plane.ROOT): (True, True, False, set(JoinRole), Reach.LEAVES, Reach.LEAVES),
    Kind(P2MP, Plane.ROOT, Plane.LEAF): (True, True, False, set(JoinRole), Reach.ROOT, Reach.ROOT),
    Kind(P2MP, Plane.LEAF, Plane.ROOT): (True, False, True, set(JoinRole), Reach.LEAVES, Reach.LEAVES),
    Kind(P2MP, Plane.LEAF, Plane.LEAF): (True, False, True, set(JoinRole), Reach.ROOT, Reach.ROOT),
    Kind(CONF, Plane.ROOT, Plane.LEAF): (True, True, False, set(JoinRole), Reach.OTHERS, Reach.OTHERS),
    Kind(CONF, Plane.LEAF, Plane.LEAF): (True, False, True, set(JoinRole), Reach.OTHERS, Reach.OTHERS),
}


@pytest.mark.requirement("JL-06", "AC-01", "AC-04", "EV-43")
@pytest.mark.parametrize(("socket_kind", "row"), KINDS.items(), ids=str)
def test_what_each_kind_may_do(socket_kind: Kind, row: tuple[object, ...]) -> None:
    assert (
        socket_kind.may_listen,
        socket_kind.joins_many,
        socket_kind.reports_close,
        set(socket_kind.roles),
        socket_kind.send_reaches,
        socket_kind.receive_yields,
    ) == row
