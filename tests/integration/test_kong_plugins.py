"""docs/from-kong-plugins.md: each field of a plugin has its row, each row names fields that exist, or says that nothing takes their place."""

import json
import re
import subprocess

import pytest
import yaml

from doc_tables import ROOT

pytestmark = pytest.mark.only("envoy")

PAGE = ROOT / "docs" / "from-kong-plugins.md"
TABLE = re.compile(r"<!-- plugin: (?P<name>[a-z0-9-]+) -->\n(?P<table>.*?)<!-- end -->", re.DOTALL)
NOTHING = {"not possible", "not needed"}

# From the schemas that the page names, those of Kong 3.9.1.
REDIS = "host port timeout username password database ssl ssl_verify server_name"
FIELDS = {
    "jwt": """uri_param_names cookie_names key_claim_name secret_is_base64 claims_to_verify anonymous run_on_preflight
        maximum_expiration header_names realm""",
    "oauth2": """scopes mandatory_scope provision_key token_expiration enable_authorization_code enable_implicit_grant
        enable_client_credentials enable_password_grant hide_credentials accept_http_if_already_terminated anonymous
        global_credentials auth_header_name refresh_token_ttl reuse_refresh_token pkce realm""",
    "rate-limiting": "second minute hour day month year limit_by header_name path policy fault_tolerant hide_client_headers error_code error_message sync_rate "
    + " ".join(f"redis.{name}" for name in REDIS.split()),
    # From Kong's reference.
    "oauth2-introspection": """introspection_url authorization_value token_type_hint ttl timeout keepalive hide_credentials anonymous
        run_on_preflight consumer_by custom_claims_forward custom_introspection_headers introspect_request""",
}
# Of these the page has a part: what introspects, and what differs from rate-limiting.
PARTS = {
    "openid-connect": """introspection_endpoint introspection_endpoint_auth_method introspection_accept introspection_hint
        introspection_check_active introspection_token_param_name introspection_headers_names introspection_headers_values
        introspection_headers_client introspection_post_args_names introspection_post_args_values introspection_post_args_client
        introspection_post_args_client_headers introspect_jwt_tokens cache_introspection mtls_introspection_endpoint""",
    "rate-limiting-advanced": """limit window_size window_type identifier compound_identifier consumer_groups enforce_consumer_groups
        namespace strategy sync_rate dictionary_name lock_dictionary_name disable_penalty retry_after_jitter_max throttling""",
}


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


def paths(node: dict, at: str = "") -> set[str]:
    """The whole path of every field of Herdgate's schema, lists without their brackets."""
    found = set().union(*(paths(option, at) for option in [node.get("items", {}), *node.get("anyOf", [])] if option))
    for name, field in node.get("properties", {}).items():
        path = f"{at}.{name}".lstrip(".")
        found |= {path} | paths(field, path)
    return found


def tables() -> dict[str, list[list[str]]]:
    """By plugin its rows, each as three cells."""
    out = {}
    for found in TABLE.finditer(PAGE.read_text()):
        rows = [line for line in found["table"].splitlines() if line.startswith("| ")]
        out[found["name"]] = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]
    return out


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("plugin", [*FIELDS, *PARTS])
def test_every_field_of_a_plugin_has_its_row(plugin):
    named = {field for theirs, *_ in tables()[plugin] for field in code(theirs)}
    wanted = set({**FIELDS, **PARTS}[plugin].split())
    assert wanted - named == set()
    # And none that the plugin doesn't have.
    if plugin in FIELDS:
        assert named - wanted == set()


@pytest.mark.parametrize("plugin", [*FIELDS, *PARTS])
def test_every_row_names_a_field_of_ours_or_says_that_there_is_none(plugin):
    known = paths(json.loads((ROOT / "herdgate.schema.json").read_text()))
    assert {"issuers.introspection.uri", "rate_limits.tiers.when.claims", "bearer.sources.prefix"} <= known
    for row in tables()[plugin]:
        theirs, ours, how = row
        assert code(theirs), row
        if ours in NOTHING:
            assert how, f"{theirs}: {ours}, but no reason"
        else:
            # Nothing but names in code, separated by commas.
            assert code(ours) and re.sub(r"`[^`]+`", "", ours).strip(", ") == "", row
            assert set(code(ours)) - known == set(), row


def test_no_table_is_left_out():
    assert tables().keys() == FIELDS.keys() | PARTS.keys()


def test_the_plugins_configurations_are_theirs():
    """What stands before a document of ours has fields that the plugin has."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    plugins = [plugin for block in blocks for plugin in yaml.safe_load(block)["plugins"]]
    assert {plugin["name"] for plugin in plugins} == {"oauth2", "oauth2-introspection", "rate-limiting"}
    for plugin in plugins:
        flat = {f"{name}.{below}" if isinstance(value, dict) else name for name, value in plugin["config"].items() for below in (value if isinstance(value, dict) else [""])}
        assert flat - set(FIELDS[plugin["name"]].split()) == set()


CHECK = ["cargo", "run", "-q", "--locked", "--manifest-path", "tools/check/Cargo.toml", "--target-dir", "target", "--"]


@pytest.mark.parametrize("host", ["envoy", "kong"])
def test_the_documents_load_without_a_warning_and_need_a_token(host, tmp_path):
    blocks = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.json"
        file.write_text(block)
        done = subprocess.run([*CHECK, "--host", host, "--request", "GET /orders/1", file], cwd=ROOT, capture_output=True, text=True)
        said = [line for line in done.stdout.splitlines() if re.search("mistake|warning", line) and "is not set here" not in line]
        assert done.returncode == 0 and said == [], done.stdout + done.stderr
        assert "Without a token: 401" in done.stdout, done.stdout
