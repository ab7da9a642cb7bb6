"""A real Glewlwyd, a second OAuth2 server beside oidc-provider, from .tools/glewlwyd, on a free port of the loopback interface."""

import base64
import gzip
import json
import sqlite3
import subprocess
from pathlib import Path

from http_client import Answer, form, request
from processes import PATIENCE_S, ROOT, Child, wait_until
from webdis import free_port

PROGRAM = ROOT / ".tools" / "glewlwyd" / "glewlwyd"
FILES = ROOT / ".tools" / "glewlwyd" / "root" / "usr"
SCOPE = "orders:read"


def basic(client: str) -> dict:
    return {"authorization": "Basic " + base64.b64encode(f"{client}:{client}-secret".encode()).decode()}


class Glewlwyd:
    """With one client, `app`, that may ask about its own tokens, and one user, `alice`."""

    def __init__(self, directory: Path):
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/api"
        self.issuer = self.base_url + "/oidc"
        database = sqlite3.connect(directory / "glewlwyd.db")
        database.executescript(gzip.decompress((FILES / "share/doc/glewlwyd/database/init.sqlite3.sql.gz").read_bytes()).decode())
        database.close()
        modules = {"user": "user", "user_middleware": "user_middleware", "client": "client", "user_auth_scheme": "scheme", "plugin": "plugin"}
        settings = {
            "bind_address": "127.0.0.1",
            "external_url": f"http://127.0.0.1:{self.port}",
            "login_url": "login.html",
            "api_prefix": "api",
            "static_files_path": str(directory),
            "log_mode": "console",
            "log_level": "WARNING",
            "cookie_domain": "127.0.0.1",
            "session_key": "session",
            "admin_scope": "g_admin",
            "profile_scope": "g_profile",
            "hash_algorithm": "SHA512",
            **{f"{name}_module_path": str(FILES / "lib/glewlwyd" / folder) for name, folder in modules.items()},
        }
        lines = [f"port={self.port}", "cookie_secure=0", *(f'{name}="{value}"' for name, value in settings.items())]
        lines.append(f'database = {{ type="sqlite3" path="{directory / "glewlwyd.db"}" }};')
        (directory / "glewlwyd.conf").write_text("\n".join(lines) + "\n")
        self.child = Child([PROGRAM, "-c", directory / "glewlwyd.conf"], directory / "glewlwyd.log")
        wait_until(self._is_there, PATIENCE_S, "Glewlwyd's start")
        self._set_up()

    def stop(self) -> None:
        self.child.stop()

    def token(self, headers: dict | None = None, **more) -> dict:
        """What the token endpoint answers to the client."""
        answer = self.post("/oidc/token", {"scope": SCOPE, **more}, headers)
        assert answer.status == 200, (answer.status, answer.body)
        return json.loads(answer.body)

    def revoke(self, token: str) -> None:
        assert self.post("/oidc/revoke", {"token": token}).status == 200

    def introspect(self, token: str, **more) -> dict:
        return json.loads(self.post("/oidc/introspect", {"token": token, **more}).body)

    def post(self, path: str, fields: dict, headers: dict | None = None) -> Answer:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return request(self.base_url + path, "POST", {**basic("app"), **kind, **(headers or {})}, form(**fields))

    def _is_there(self) -> bool:
        try:
            return request(self.base_url + "/auth/").status > 0
        except OSError:
            return False

    def _set_up(self) -> None:
        admin = json.dumps({"username": "admin", "password": "password"}).encode()
        answer = request(self.base_url + "/auth/", "POST", {"content-type": "application/json"}, admin)
        cookie = answer.header("set-cookie").split(";")[0]

        def add(path: str, what: dict) -> None:
            headers = {"content-type": "application/json", "cookie": cookie}
            answer = request(self.base_url + path, "POST", headers, json.dumps(what).encode())
            assert answer.status == 200, (path, answer.status, answer.body)

        add("/scope/", {"name": SCOPE, "display_name": SCOPE, "description": SCOPE, "password_required": True, "password_max_age": 0, "scheme": {}})
        key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, check=True).stdout
        public = subprocess.run(["openssl", "rsa", "-pubout"], input=key, capture_output=True, check=True).stdout
        kinds = ["code", "token", "id-token", "none", "implicit", "device"]
        plugin = {
            "iss": self.issuer,
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "key": key.decode(),
            "cert": public.decode(),
            "access-token-duration": 3600,
            "refresh-token-duration": 3600,
            "code-duration": 600,
            "refresh-token-rolling": True,
            "allow-non-oidc": True,
            **{f"auth-type-{kind}-enabled": kind in ("client", "password", "refresh") for kind in [*kinds, "client", "password", "refresh"]},
            "scope": [{"name": SCOPE, "refresh-token-rolling": True}],
            "additional-parameters": [],
            "claims": [],
            "jwks-show": True,
            "pkce-allowed": False,
            "introspection-revocation-allowed": True,
            "introspection-revocation-auth-scope": [],
            "introspection-revocation-allow-target-client": True,
            "oauth-dpop-allowed": True,
            "oauth-dpop-iat-duration": 30,
            "request-parameter-allow": False,
            "register-client-allowed": False,
            "session-management-allowed": False,
            "subject-type": "public",
            "name-claim": "no",
            "email-claim": "no",
            "scope-claim": "no",
        }
        add("/mod/plugin/", {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": plugin})
        client = {"client_id": "app", "name": "app", "confidential": True, "client_secret": "app-secret", "enabled": True, "scope": [SCOPE]}
        allowed = {"authorization_type": ["client_credentials", "password", "refresh_token"], "token_endpoint_auth_method": ["client_secret_basic"]}
        add("/client/", {**client, **allowed, "password": "app-secret"})
        add("/user/", {"username": "alice", "password": "alice-password", "name": "Alice", "enabled": True, "scope": [SCOPE]})
