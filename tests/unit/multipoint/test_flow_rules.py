"""What a flow specification may say."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint import constants as c
from multipoint.errors import CODE_NAMES, MultipointError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import (
    ProviderObject,
    Service,
    at_join,
    check,
    check_reduced,
    is_valid,
    number_of,
    objects,
    pack_object,
    service,
)

NOTHING = c.QOS_NOT_SPECIFIED
LIGHT = FLOWSPEC(TokenRate=125_000, ServiceType=c.SERVICETYPE_CONTROLLEDLOAD)
LIGHT_BEST_EFFORT = FLOWSPEC(ServiceType=c.SERVICETYPE_BESTEFFORT)
MODE, RATE = c.QOS_OBJECT_SD_MODE, c.QOS_OBJECT_SHAPING_RATE


def number(kind: int, value: int) -> bytes:
    return pack_object(kind, value.to_bytes(4, "little"))


def sending(**fields: int) -> QOS:
    return QOS.of(FLOWSPEC(**fields), FLOWSPEC())


def receiving(**fields: int) -> QOS:
    return QOS.of(FLOWSPEC(), FLOWSPEC(**fields))


def with_objects(data: bytes, flow: FLOWSPEC = LIGHT) -> QOS:
    return QOS.of(flow, FLOWSPEC(), data)


RIGHT = {
    "nothing asked": (["QS-14"], QOS()),
    "controlled load": (["QS-17"], QOS.of(LIGHT, FLOWSPEC())),
    "best effort needs no rate": (["QS-17"], sending(ServiceType=c.SERVICETYPE_BESTEFFORT)),
    "qualitative needs no rate": (["QS-17"], sending(ServiceType=c.SERVICE_QUALITATIVE)),
    "network control needs no rate": (["QS-17"], sending(ServiceType=c.SERVICETYPE_NETWORK_CONTROL)),
    "no traffic": (["QS-21"], sending(ServiceType=c.SERVICETYPE_NOTRAFFIC, TokenRate=0)),
    "general information": (["QS-21"], sending(ServiceType=c.SERVICETYPE_GENERAL_INFORMATION, TokenRate=1)),
    "receiver of controlled load": (["QS-18"], receiving(ServiceType=c.SERVICETYPE_CONTROLLEDLOAD)),
    "guaranteed receiver": (["QS-18"], receiving(ServiceType=c.SERVICETYPE_GUARANTEED, TokenRate=1)),
    "peak at the rate": (["QS-19"], sending(ServiceType=2, TokenRate=10, PeakBandwidth=10)),
    "no signalling": (["QS-23"], sending(ServiceType=2 | c.SERVICE_NO_QOS_SIGNALING, TokenRate=10)),
    "shape": (["QS-27"], with_objects(number(MODE, c.TC_NONCONF_SHAPE))),
    "discard": (["QS-27"], with_objects(number(MODE, c.TC_NONCONF_DISCARD))),
    "borrow": (["QS-27"], with_objects(number(MODE, c.TC_NONCONF_BORROW), LIGHT_BEST_EFFORT)),
    "shape at a rate of its own": (
        ["QS-27", "QS-29"],
        with_objects(number(MODE, c.TC_NONCONF_SHAPE) + number(RATE, 9), LIGHT_BEST_EFFORT),
    ),
    "peak without a rate": (["QS-19"], sending(ServiceType=c.SERVICETYPE_BESTEFFORT, PeakBandwidth=10)),
    "no traffic to receive": (["QS-21"], receiving(ServiceType=c.SERVICETYPE_NOTRAFFIC, TokenRate=0)),
    "status": (["QS-31"], with_objects(pack_object(c.RSVP_OBJECT_STATUS_INFO, bytes(12)))),
    "end of the row": (["QS-31"], with_objects(pack_object(c.QOS_OBJECT_END_OF_LIST, b"") + b"anything")),
}
WRONG = {
    "no service type": (["QS-16"], sending(ServiceType=NOTHING), c.WSA_QOS_ESERVICETYPE),
    "unknown service type": (["QS-22"], sending(ServiceType=0x0E, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "unknown short type": (["QS-22"], sending(ServiceType=0x80080000, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "half of a flag": (["QS-22"], sending(ServiceType=0x01000002, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "other half of it": (["QS-22"], sending(ServiceType=0x80000002, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "unavailable is for reading": (["QS-22"], sending(ServiceType=4, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "nonconforming is for reading": (["QS-22"], sending(ServiceType=9, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "information for a receiver": (["QS-21"], receiving(ServiceType=5, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "no rate": (["QS-17"], sending(ServiceType=c.SERVICETYPE_GUARANTEED), c.WSA_QOS_EFLOWSPEC),
    "rate 0": (["QS-17"], sending(ServiceType=c.SERVICETYPE_BESTEFFORT, TokenRate=0), c.WSA_QOS_EFLOWSPEC),
    "receiver's rate 0": (["QS-18"], receiving(ServiceType=2, TokenRate=0), c.WSA_QOS_EFLOWSPEC),
    "guaranteed receiver without rate": (["QS-18"], receiving(ServiceType=3), c.WSA_QOS_EFLOWSPEC),
    "peak below the rate": (["QS-19"], sending(ServiceType=2, TokenRate=9, PeakBandwidth=8), c.WSA_QOS_EFLOWSPEC),
    "receiver without service type": (["QS-16"], receiving(ServiceType=NOTHING, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "receiver of an unknown type": (["QS-22"], receiving(ServiceType=0x0E, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "receiver of what is for reading": (["QS-22"], receiving(ServiceType=4, TokenRate=1), c.WSA_QOS_ESERVICETYPE),
    "receiver's peak below the rate": (
        ["QS-19"],
        receiving(ServiceType=2, TokenRate=9, PeakBandwidth=8),
        c.WSA_QOS_EFLOWSPEC,
    ),
    "receiver's policed size 0": (["QS-19"], receiving(ServiceType=2, MinimumPolicedSize=0), c.WSA_QOS_EFLOWSPEC),
    "policed size 0": (["QS-19"], sending(ServiceType=2, TokenRate=9, MinimumPolicedSize=0), c.WSA_QOS_EFLOWSPEC),
    "unknown mode": (["QS-27"], with_objects(number(MODE, 3)), c.WSA_QOS_ESDMODEOBJ),
    "shape without rate": (["QS-27"], with_objects(number(MODE, 1), LIGHT_BEST_EFFORT), c.WSA_QOS_ESDMODEOBJ),
    "shaping rate 0": (["QS-29"], with_objects(number(RATE, 0)), c.WSA_QOS_ESHAPERATEOBJ),
    "row ends in a header": (["QS-32"], with_objects(number(MODE, 1) + b"\xd2\x07"), c.WSA_QOS_EPROVSPECBUF),
    "length below the header": (["QS-32"], with_objects(bytes.fromhex("d2070000 07000000")), c.WSA_QOS_EOBJLENGTH),
    "length beyond the row": (["QS-32"], with_objects(bytes.fromhex("ea030000 09000000")), c.WSA_QOS_EOBJLENGTH),
    "wrong length of a mode": (["QS-32"], with_objects(pack_object(MODE, bytes(8))), c.WSA_QOS_EOBJLENGTH),
    "wrong length of a status": (
        ["QS-32"],
        with_objects(pack_object(c.RSVP_OBJECT_STATUS_INFO, bytes(8))),
        c.WSA_QOS_EOBJLENGTH,
    ),
    "unknown object behind those that are used": (
        ["QS-32"],
        with_objects(number(MODE, 1) + number(RATE, 1) + pack_object(7, b"")),
        c.WSA_QOS_EUNKNOWNPSOBJ,
    ),
    "unknown object": (["QS-32"], with_objects(pack_object(7, b"")), c.WSA_QOS_EUNKNOWNPSOBJ),
}


@pytest.mark.parametrize(
    "qos", [pytest.param(qos, id=name, marks=pytest.mark.requirement(*ids)) for name, (ids, qos) in RIGHT.items()]
)
def test_valid_flows_pass(qos: QOS) -> None:
    check(qos)
    assert is_valid(qos)


def test_no_flows_are_valid() -> None:
    assert is_valid(None)


@pytest.mark.parametrize(
    ("qos", "code"),
    [pytest.param(qos, code, id=name, marks=pytest.mark.requirement(*ids)) for name, (ids, qos, code) in WRONG.items()],
)
def test_wrong_flows_have_their_code(qos: QOS, code: int) -> None:
    with pytest.raises(MultipointError) as caught:
        check(qos)
    assert CODE_NAMES[caught.value.code] == CODE_NAMES[code]
    assert not is_valid(qos)
    assert at_join(caught.value.code) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("QS-05")
@pytest.mark.parametrize(
    ("qos", "sends", "receives"), [(sending(ServiceType=0x0E), False, True), (receiving(ServiceType=0x0E), True, False)]
)
def test_flow_of_a_direction_that_is_not_used_may_be_wrong(qos: QOS, sends: bool, receives: bool) -> None:
    check(qos, sends, receives)
    with pytest.raises(MultipointError):
        check(qos)


@pytest.mark.requirement("QS-33")
def test_other_codes_of_a_join_stay() -> None:
    assert [at_join(code) for code in (c.WSAEFAULT, 11_032)] == [c.WSAEFAULT, 11_032]
    assert at_join(c.WSA_QOS_RESERVED_PETYPE) == at_join(c.WSA_QOS_RECEIVERS) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("QS-22", "QS-23")
@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (c.SERVICETYPE_GUARANTEED, Service(3)),
        (c.SERVICE_GUARANTEED, Service(3)),
        (c.SERVICE_BESTEFFORT, Service(1)),
        (c.SERVICETYPE_GUARANTEED | c.SERVICE_NO_TRAFFIC_CONTROL, Service(3, has_traffic_control=False)),
        (c.SERVICE_CONTROLLEDLOAD | c.SERVICE_NO_TRAFFIC_CONTROL, Service(2, has_traffic_control=False)),
        (c.SERVICE_CONTROLLEDLOAD | c.SERVICE_NO_QOS_SIGNALING, Service(2, has_signaling=False)),
        (0x0A | c.SERVICE_NO_TRAFFIC_CONTROL | c.SERVICE_NO_QOS_SIGNALING, Service(10, False, False)),
    ],
)
def test_service_type_is_taken_apart(value: int, parts: Service) -> None:
    assert service(value) == parts


@pytest.mark.requirement("QS-22")
def test_what_is_no_service_type_is_not_taken_apart() -> None:
    with pytest.raises(MultipointError, match="WSA_QOS_ESERVICETYPE"):
        service(0x0E)


@pytest.mark.requirement("QS-31")
def test_objects_are_kept_intact() -> None:
    row = number(MODE, 2) + pack_object(c.RSVP_OBJECT_ADSPEC, b"12345") + number(RATE, 9000)
    assert list(objects(row)) == [
        ProviderObject(MODE, b"\2\0\0\0"),
        ProviderObject(c.RSVP_OBJECT_ADSPEC, b"12345"),
        ProviderObject(RATE, b"\x28\x23\0\0"),
    ]
    assert number_of(with_objects(row), RATE) == 9000
    assert number_of(QOS(), RATE) is None


@given(st.binary(max_size=100))
def test_any_row_gives_objects_or_a_code(data: bytes) -> None:
    code = c.WSA_QOS_GENERIC_ERROR
    try:
        list(objects(data))
    except MultipointError as broken:
        code = broken.code
    assert code in range(c.WSA_QOS_RECEIVERS, c.WSA_QOS_RESERVED_PETYPE + 1)


REDUCTIONS: dict[str, tuple[dict[str, int], bool]] = {
    "unchanged": ({}, True),
    "less rate": ({"TokenRate": 50}, True),
    "more rate": ({"TokenRate": 101}, False),
    "less, but not valid": ({"TokenRate": 0}, False),
    "no limit": ({"TokenRate": NOTHING}, False),
    "a peak where there was none": ({"PeakBandwidth": 200}, True),
    "more time": ({"Latency": 2000}, True),
    "less time": ({"Latency": 999}, False),
    "any time": ({"Latency": NOTHING}, True),
    "less service": ({"ServiceType": c.SERVICETYPE_BESTEFFORT}, True),
    "more service": ({"ServiceType": c.SERVICETYPE_GUARANTEED}, False),
}


@pytest.mark.requirement("QS-20", "AC-27")
@pytest.mark.parametrize(("fields", "is_less"), REDUCTIONS.values(), ids=REDUCTIONS)
@pytest.mark.parametrize("of", [lambda flow: QOS.of(flow, FLOWSPEC()), lambda flow: QOS.of(FLOWSPEC(), flow)])
def test_acceptor_may_only_reduce(fields: dict[str, int], is_less: bool, of: Callable[[FLOWSPEC], QOS]) -> None:
    asked = {"TokenRate": 100, "Latency": 1000, "ServiceType": c.SERVICETYPE_CONTROLLEDLOAD}
    before, after = of(FLOWSPEC(**asked)), of(FLOWSPEC(**asked | fields))
    if is_less:
        check_reduced(before, after)
    else:
        with pytest.raises(MultipointError, match="WSAEINVAL"):
            check_reduced(before, after)
