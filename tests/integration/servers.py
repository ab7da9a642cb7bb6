"""The authorization server and the API of tests/servers, as objects."""

import base64
from pathlib import Path

from http_client import Answer, form, post_json, request
from processes import start_node


class Idp:
    """tests/servers/idp.mjs: a real authorization server with a control port."""

    def __init__(self, directory: Path, *arguments: str):
        self.child, about = start_node("idp.mjs", list(arguments), directory / "idp.log")
        self.issuer: str = about["issuer"]
        self.port: int = about["port"]
        self.control: str = f"http://127.0.0.1:{about['control_port']}"
        self.jwks_uri = f"{self.issuer}/jwks"

    def token(self, scope: str = "orders:read", resource: str | None = "https://orders.example", client: str = "client-a") -> str:
        """A fresh access token; a JWT with a resource, opaque without."""
        answer = self.token_call(scope, resource, client)
        if answer.status != 200:
            raise RuntimeError(f"token endpoint: {answer.status} {answer.body!r}")
        return answer.json()["access_token"]

    def token_call(self, scope="orders:read", resource="https://orders.example", client="client-a", base: str | None = None) -> Answer:
        fields = {"grant_type": "client_credentials", "scope": scope}
        if resource:
            fields["resource"] = resource
        return request(f"{base or self.issuer}/oauth2/token", "POST", token_headers(client), form(**fields))

    def sign(self, claims: dict, header: dict | None = None, alg: str = "RS256") -> str:
        """Any claims, signed with the server's current key."""
        return post_json(f"{self.control}/sign", {"claims": claims, "header": header or {}, "alg": alg})["token"]

    def client_key(self, alg: str) -> dict:
        """The private key of the client that signs with this algorithm, as a JWK."""
        return request(f"{self.control}/client-keys").json()[alg]

    def grant(self, **wanted) -> dict:
        """A refresh token, or with code=True an authorization code, as if a person had signed in."""
        return post_json(f"{self.control}/grants", wanted)

    def rotate(self, alg: str = "RS256", keep_old: bool = False) -> None:
        post_json(f"{self.control}/rotate", {"alg": alg, "keep_old": keep_old})

    def fault(self, path: str, kind: str, **details) -> None:
        post_json(f"{self.control}/faults", {"path": path, "kind": kind, **details})

    def heal(self) -> None:
        post_json(f"{self.control}/faults", {}, "DELETE")

    def settings(self, **values) -> None:
        post_json(f"{self.control}/settings", values)

    def document(self, path: str, body: str | None, headers: dict | None = None, status: int = 200) -> str:
        """Serves a document of the test's own at `path` (None takes it away); returns its address."""
        post_json(f"{self.control}/documents", {"path": path, "body": body, "headers": headers or {}, "status": status} if body is not None else {"path": path})
        return self.issuer + path

    def requests(self, path: str) -> int:
        """How often `path` was asked for since the last reset."""
        counts = request(f"{self.control}/counts").json()
        return counts.get(path, {}).get("requests", 0)

    def open_max(self, path: str) -> int:
        """The most requests for `path` that were open at one time since the last reset."""
        counts = request(f"{self.control}/counts").json()
        return counts.get(path, {}).get("open_max", 0)

    def rates(self, path: str) -> dict[str, int]:
        """Requests for `path` since the last reset, by the second of the epoch."""
        return request(f"{self.control}/rates").json().get(path, {})

    def requests_below(self, prefix: str) -> int:
        """The same for all paths that begin so."""
        counts = request(f"{self.control}/counts").json()
        return sum(count["requests"] for path, count in counts.items() if path.startswith(prefix))

    def headers(self, path: str) -> dict[str, str]:
        """The headers of the last request to `path`."""
        return request(f"{self.control}/counts").json()[path]["headers"]

    def reset_counts(self) -> None:
        post_json(f"{self.control}/counts/reset", {})

    def stop(self) -> None:
        self.child.stop()


class Api:
    """tests/servers/api.mjs: echoes and counts."""

    def __init__(self, directory: Path):
        self.child, about = start_node("api.mjs", [], directory / "api.log")
        self.port: int = about["port"]
        self.base = f"http://127.0.0.1:{self.port}"

    def seen(self) -> int:
        """How many requests reached the API since the last reset."""
        return request(f"{self.base}/__counts").json()["total"]

    def reset(self) -> None:
        request(f"{self.base}/__reset", "POST")

    def stop(self) -> None:
        self.child.stop()


def secret_of(client: str) -> str:
    return "secret-" + client.removeprefix("client-")


def token_headers(client: str = "client-a", secret: str | None = None) -> dict:
    credentials = base64.b64encode(f"{client}:{secret or secret_of(client)}".encode()).decode()
    return {"authorization": f"Basic {credentials}", "content-type": "application/x-www-form-urlencoded"}
