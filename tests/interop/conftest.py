"""What the suites about control planes start with."""

import pytest

from harness.control import ControlPlane
from harness.management import ManagementServer


@pytest.fixture
def control(tmp_path, processes):
    """Our control plane, without a document."""
    with ControlPlane(tmp_path, name="control") as running:
        yield running


@pytest.fixture
def server():
    """A management server that is not ours."""
    with ManagementServer() as running:
        yield running


@pytest.fixture(params=["sotw", "delta"])
def mode(request):
    """Which variant of the protocol."""
    return request.param
