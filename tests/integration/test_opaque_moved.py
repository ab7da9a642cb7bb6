"""What docs/from-kong-plugins.md promises those who come from Kong's oauth2-introspection: the consumer and claims of
the answer as headers, the token hidden, and `anonymous`."""

import json
import secrets

import pytest

from http_client import Answer, request
from test_opaque import TOLD, config, good, issuer, says  # noqa: F401
from world import World

MORE = {"consumer_claim": "username", "forward": {"token": False, "claims": {"tenant": "x-credential-tenant"}}}


@pytest.fixture
def gateway(start_gateway, world: World):
    made = config(world, issuer(world, TOLD, more=MORE))
    made["rules"] = [{"match": {"path_prefix": "/anonymous"}, "access": "permissive"}, {"match": {}, "issuers": ["opaque"]}]
    return start_gateway(made)


def ask(gateway, path: str, token: str) -> Answer:
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}", "x-consumer-username": "mallory"})


def seen(answer: Answer) -> dict[str, str]:
    """What the API saw; on Kong what is taken out is blank."""
    assert answer.status == 200
    return {name: values[0] for name, values in json.loads(answer.body)["headers"].items() if values and values[0]}


def test_the_answer_names_the_consumer_and_the_token_is_hidden(gateway, world: World, says):  # noqa: F811
    says(good(world, username="alice", tenant="acme"))
    headers = seen(ask(gateway, "/orders", secrets.token_urlsafe(24)))
    assert headers["x-consumer-username"] == "alice" and headers["x-credential-tenant"] == "acme"
    assert "authorization" not in headers


def test_a_bad_token_is_anonymous_where_the_rule_is_permissive(gateway, world: World, says):  # noqa: F811
    says({"active": False})
    token = secrets.token_urlsafe(24)
    headers = seen(ask(gateway, "/anonymous", token))
    assert {"authorization", "x-consumer-username"} & headers.keys() == set()
    assert ask(gateway, "/orders", token).status == 401
    # What nobody can say at the moment is not anonymous.
    says({}, status=500)
    assert ask(gateway, "/anonymous", secrets.token_urlsafe(24)).status == 503
