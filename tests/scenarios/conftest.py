"""What the scenarios share: each runs with IGMPv2 and with IGMPv3."""

import pytest
from steps import Stage

from joinlab.expect import Expectations
from joinlab.lab import Lab


@pytest.fixture(params=[2, 3], ids=["igmpv2", "igmpv3"])
def igmp(request: pytest.FixtureRequest) -> int:
    """Return the IGMP version of the lab, instead of the topology's."""
    version: int = request.param
    return version


@pytest.fixture
def stage(lab: Lab, expect: Expectations, igmp: int) -> Stage:
    """Return the steps that scenarios are made of."""
    return Stage(lab.trace, expect, igmp)
