"""The tree of errors: classes by fault, texts from facts, kernel errors translated."""

import errno

import pytest

from multipoint import constants
from multipoint.errors import (
    CODE_NAMES,
    CallerError,
    MultipointError,
    NetworkError,
    PeerError,
    WouldBlock,
    code_name,
    error,
    from_kernel,
    from_kernel_at_join,
)


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (constants.WSAEINVAL, CallerError),
        (constants.WSAEALREADY, CallerError),
        (constants.WSAEWOULDBLOCK, WouldBlock),
        (constants.WSAECONNREFUSED, PeerError),
        (constants.WSAETIMEDOUT, PeerError),
        (constants.WSAENETUNREACH, NetworkError),
        (constants.WSAENOBUFS, NetworkError),
    ],
)
def test_class_says_whose_fault_it_is(code: int, cls: type[MultipointError]) -> None:
    assert type(error(code)) is cls


def test_text_is_made_from_the_facts() -> None:
    refused = error(constants.WSAECONNREFUSED, "the root said no", root="10.0.0.1:5000", after_s=2)
    assert str(refused) == "WSAECONNREFUSED: the root said no: root 10.0.0.1:5000, after_s 2"
    assert (refused.code, refused.facts["after_s"]) == (10_061, 2)


def test_would_block_is_python_s_own_too() -> None:
    with pytest.raises(BlockingIOError):
        raise error(constants.WSAEWOULDBLOCK)


def test_names_are_codes_only() -> None:
    assert code_name(10_061) == "WSAECONNREFUSED"
    assert code_name(997) == "WSA_IO_PENDING"
    assert code_name(1) == "error 1"
    assert not {name for name in CODE_NAMES.values() if "FLAG" in name or "WAIT" in name or "_LEN" in name}


@pytest.mark.requirement("JL-67", "JL-71", "JL-76")
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EADDRINUSE, constants.WSAEISCONN),
        (errno.ENODEV, constants.WSAENETUNREACH),
        (errno.ENXIO, constants.WSAENETUNREACH),
        (errno.EHOSTUNREACH, constants.WSAENETUNREACH),
        (errno.EINVAL, constants.WSAEADDRNOTAVAIL),
        (errno.ENOBUFS, constants.WSAENOBUFS),
        (errno.ENETDOWN, constants.WSAENETDOWN),
        (errno.ECONNREFUSED, constants.WSAECONNREFUSED),
        (errno.ECONNRESET, constants.WSAECONNREFUSED),
        (errno.ETIMEDOUT, constants.WSAETIMEDOUT),
        (errno.EXDEV, constants.WSAENETDOWN),
        (None, constants.WSAENETDOWN),
    ],
)
def test_kernel_error_in_a_join(number: int | None, code: int) -> None:
    assert from_kernel_at_join(number) == code


def test_kernel_error_elsewhere() -> None:
    assert from_kernel(errno.EADDRINUSE) == constants.WSAEADDRINUSE
    assert from_kernel(errno.EXDEV) == from_kernel(None) == constants.WSASYSCALLFAILURE
