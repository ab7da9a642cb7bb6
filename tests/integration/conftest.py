"""Servers live for the whole run, a gateway for one module; all die with the run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import envoy_process  # noqa: E402
from envoy import Envoy, plain_cluster  # noqa: E402
from gateway import WASM, kind, make_gateway, Upstreams  # noqa: E402
from relay import Relay  # noqa: E402
from servers import Api, Idp  # noqa: E402
from webdis import Redis, Webdis  # noqa: E402
from world import World  # noqa: E402

# As many as a test with several gateways needs at once, or three that drain by turns.
KEPT_MAX = 4


def pytest_report_header():
    return f"gateway: {kind()}, filter: {WASM}"


def pytest_collection_modifyitems(items):
    for item in items:
        wanted = item.get_closest_marker("only")
        if wanted and kind() not in wanted.args:
            item.add_marker(pytest.mark.skip(reason=f"only on {', '.join(wanted.args)}"))


def pytest_configure(config):
    config.addinivalue_line("markers", "only(*gateways): the behaviour is one of these gateways'")
    config.addinivalue_line("markers", "dies: workers crash in this test, and are meant to")
    envoy_process.kept_max = KEPT_MAX


def pytest_unconfigure():
    envoy_process.end_all()


@pytest.fixture(scope="session")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("herdgate")


@pytest.fixture(scope="session")
def idp(directory):
    server = Idp(directory, "--clients", "1200")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def api(directory):
    server = Api(directory)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def world(idp, api) -> World:
    return World(idp, api)


@pytest.fixture(scope="session")
def filter_wasm() -> Path:
    assert WASM.exists(), f"{WASM} is missing: run `make build` first"
    return WASM


def _starter(directory, idp, api):
    """A function that starts gateways, and the list of those that it has started."""
    started = []

    def start(config: dict | None, **options):
        number = len(list(directory.iterdir()))
        gateway = make_gateway(directory / f"gateway-{number}", Upstreams(api.port, idp.port), **options)
        started.append(gateway)
        if config is not None:
            gateway.start(config)
        return gateway

    return start, started


def _end(started, may_die: bool) -> None:
    """Stops gateways, and fails if a worker of theirs crashed that should not have: requests may never show it."""
    deaths = [gateway.deaths() for gateway in started]
    for gateway in started:
        gateway.stop()
    assert may_die or not any(deaths), f"workers crashed: {deaths}"


@pytest.fixture
def start_gateway(request, directory, idp, api, filter_wasm):
    """start_gateway(config) starts a gateway of the kind under test. It ends with the test: one that went on would go
    on asking the server for keys, and tests count that."""
    start, started = _starter(directory, idp, api)
    yield start
    _end(started, request.node.get_closest_marker("dies") is not None)


@pytest.fixture(scope="module")
def main_gateway(directory, idp, api, filter_wasm, world):
    """The gateway of the main table."""
    start, started = _starter(directory, idp, api)
    yield start(world.config())
    _end(started, False)


@pytest.fixture(scope="module")
def redis(request, directory):
    folder = directory / f"redis-of-{request.module.__name__}"
    folder.mkdir()
    server = Redis(folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def webdis(redis):
    server = Webdis(redis.directory, redis)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def relays(webdis):
    made = [Relay(webdis.port) for _ in range(2)]
    yield made
    for relay in made:
        relay.close()


@pytest.fixture(scope="module")
def through_relays(directory, idp, api, filter_wasm, relays):
    """Starts two Envoys that meet, each with a way to Redis of its own; at the end both are stopped."""
    made = []

    def pair(name: str, document: dict) -> list[Envoy]:
        for number, relay in enumerate(relays):
            made.append(Envoy(directory / f"{name}-{number}", Upstreams(api.port, idp.port), extra_clusters=[plain_cluster("webdis", relay.port)]))
            made[-1].start(document)
        return made

    yield pair
    for gateway in made:
        gateway.stop()


@pytest.fixture(autouse=True)
def healthy(idp):
    """Each test begins with a server that works."""
    idp.heal()
    yield


@pytest.fixture
def counted(idp):
    """Calls of the server are counted from zero, and its tokens last as long as usual."""
    idp.settings(lifetime_s=3600)
    idp.reset_counts()
    yield
    idp.settings(lifetime_s=3600)
    idp.document("/oauth2/token", None)
