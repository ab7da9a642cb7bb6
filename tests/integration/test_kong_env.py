"""kong/kong.env is read by a shell and by docker compose, and both find the same values in it."""

import pytest

from kong import settings
from processes import ROOT

pytestmark = pytest.mark.only("kong-host", "kong")

MEANT = {
    "KONG_WASM": "on",
    "KONG_WASM_FILTERS_PATH": "/usr/local/kong-herdgate/wasm",
    "KONG_DATABASE": "off",
    "KONG_DECLARATIVE_CONFIG": "/usr/local/kong-herdgate/kong.yml",
    "KONG_NGINX_WASM_SHM_KV": "64m eviction=lru",
    "KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE": "16k",
    "KONG_NGINX_HTTP_WASM_RESPONSE_BODY_BUFFERS": "4 16k",
    "KONG_NGINX_HTTP_INCLUDE": "/usr/local/kong-herdgate/herdgate-wait.conf",
    "KONG_NGINX_PROXY_INCLUDE": "/usr/local/kong-herdgate/herdgate-guard.conf",
    "KONG_NGINX_MAIN_ENV": "HERDGATE_SECRET; env GATEWAY_SECRET; env REGISTER_SECRET",
    "KONG_LUA_SSL_TRUSTED_CERTIFICATE": "system",
    "KONG_LOG_LEVEL": "notice",
    "KONG_PROXY_LISTEN": "0.0.0.0:8000",
    "KONG_ADMIN_LISTEN": "127.0.0.1:8001",
    "KONG_STATUS_LISTEN": "127.0.0.1:8100",
}


def test_a_shell_finds_every_value_whole():
    assert settings() == MEANT


def test_no_value_means_something_else_to_another_reader():
    """Compose takes single quotes as they are; without them it and the shell differ on spaces, semicolons and dollars."""
    for line in (ROOT / "kong" / "kong.env").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        value = line.partition("=")[2]
        quoted = len(value) > 1 and value[0] == value[-1] == "'"
        bare = value[1:-1] if quoted else value
        assert "'" not in bare and '"' not in bare and "\\" not in bare, line
        assert quoted or not set(bare) & set(" \t;&|<>()$`#*?[]{}~!"), line
