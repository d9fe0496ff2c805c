"""What differs when the stack is started in another dialect."""

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, Meanwhile, a_leaf, a_root, admit, code_of, wait_till_blocked

from multipoint import constants as c
from multipoint.stack import Stack
from multipoint.values import Settings


@pytest.mark.requirement("DI-10", "DI-11", "JL-75")
@isolated
def test_ce_has_no_multipoint_on_its_default_provider_but_on_others() -> None:
    with Stack(Settings(dialect="ce")) as stack:
        for flags in (0, LEAF):
            sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 0, None, flags)
            assert code_of(lambda sock=sock: sock.check_join(7)) == c.WSASYSCALLFAILURE  # type: ignore[misc]
        admit(a_root(stack), a_leaf(stack))


@pytest.mark.requirement("DI-12", "CL-25")
@pytest.mark.parametrize(("dialect", "code"), [("ce", c.WSAENOTSOCK), ("spec1990", c.WSAEINTR), ("modern", c.WSAEINTR)])
@isolated
def test_close_elsewhere_has_the_dialects_code(dialect: str, code: int) -> None:
    with Stack(Settings(dialect=dialect)) as stack:
        root = a_root(stack)
        accepting = Meanwhile(root.accept)
        wait_till_blocked(root)
        root.close()
        assert code_of(accepting.result) == code
