"""A host that keeps nothing for the filter: tests/stateless-host, and the configuration that it can have."""

import copy
import json
from pathlib import Path

from gateway import SECRETS, WASM
from http_client import post_json, request
from processes import ROOT, Child
import subprocess

HOST = ROOT / "tests" / "stateless-host" / "host.mjs"


class StatelessHost:
    """One run of it. `missing`: what it hasn't traps, or says that it isn't there (error)."""

    def __init__(self, directory: Path, config: dict, api: int, missing: str = "trap"):
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "herdgate.json"
        file.write_text(json.dumps(config))
        # The code is compiled as a gateway does it: once, and well.
        command = ["node", "--no-liftoff", HOST, "--wasm", WASM, "--config", file, "--api", str(api), "--missing", missing]
        self.child = Child(command, directory / "host.log", stdout=subprocess.PIPE)
        line = self.child.process.stdout.readline()
        about = json.loads(line or "{}")
        if "port" not in about:
            self.stop()
            raise RuntimeError(f"{about.get('refused')}\n{self.child.log()}")
        self.base_url = f"http://127.0.0.1:{about['port']}"
        self.control = f"http://127.0.0.1:{about['control_port']}"

    def state(self) -> dict:
        return request(f"{self.control}/state").json()

    def burst(self, requests: list) -> dict:
        """So many requests at once, each given by its headers; all are open until the last has come."""
        return post_json(f"{self.control}/burst", requests)

    def stop(self) -> None:
        self.child.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def stateless(config: dict, jwks: dict) -> dict:
    """The configuration of the main table as such a host can have it: with the server's keys in the document, without
    lookups, secrets of the environment, and keys that take longer than a callback may."""
    config = {**copy.deepcopy(config), "profile": "stateless"}
    del config["shared"]
    for issuer in config["issuers"]:
        if issuer.pop("jwks_uri", None):
            issuer["keys"] = [{"jwks": jwks}]
        for of_calls in ("cluster", "allow_http"):
            issuer.pop(of_calls, None)
        issuer.get("credentials", {}).pop("lookup", None)
        issuer["algorithms"] = [name for name in issuer["algorithms"] if name != "ES384"]
        issuer["keys"] = [key for key in issuer.get("keys", []) if key.get("jwk", {}).get("crv") != "P-384"]
        for key in issuer["keys"]:
            if "secret" in key:
                key["secret"] = SECRETS[key["secret"]["env"]]
        if not issuer["keys"]:
            del issuer["keys"]
    return config
