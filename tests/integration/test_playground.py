"""The playground against the gateway and against `make check`: the same configurations, the same requests, the same answers.

What is asked is the program that the page carries, in Node. Configurations are those of docs/identity-providers, each in
every dialect and in shadow, and some with mistakes.
"""

import copy
import json
import os
import subprocess
import time

import pytest

from envoy import plain_cluster
from gateway import SECRETS, Refused, Upstreams, make_gateway
from http_client import request
from processes import ROOT
from test_identity_providers import FOLDERS, Provider, clusters

pytestmark = pytest.mark.only("envoy")
PROGRAM = ROOT / "dist" / "playground.wasm"
DIALECTS = ("oauth", "kong", "problem")


def ask(questions: list[dict]) -> list[dict]:
    """The playground's answers."""
    assert PROGRAM.exists(), f"{PROGRAM} is missing: run `make playground` first"
    done = subprocess.run(
        ["node", ROOT / "tests/playground/ask.mjs"], input=json.dumps(questions), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def tool():
    """The program of `make check`, built."""
    manifest = ["--manifest-path", "tools/check/Cargo.toml", "--target-dir", "target"]
    subprocess.run(["cargo", "build", "-q", "--locked", *manifest, "--bin", "herdgate-check"], cwd=ROOT, check=True, timeout=900)
    return ROOT / "target/debug/herdgate-check"


def make_check(tool, directory, config: dict, request_line: str = "", token: str = "") -> list[str]:
    """What `make check` prints of a configuration."""
    file = directory / "playground-check.json"
    file.write_text(json.dumps(config))
    env = {**os.environ, **SECRETS, "REQUEST": request_line, "TOKEN": token}
    done = subprocess.run([tool, "--host", "envoy", file], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()[1:]


def question(config: dict, documents: dict | None = None, method: str = "GET", path: str = "/", host: str = "api.example", token: str = "") -> dict:
    return {
        "text": json.dumps(config),
        "name": "config.json",
        "host": "envoy",
        "env": SECRETS,
        "documents": {url: {"status": 200, "body": json.dumps(body)} for url, body in (documents or {}).items()},
        "request": {"method": method, "target": path, "host": host, "address": "127.0.0.1"},
        "token": token,
        "now_ms": int(time.time() * 1000),
    }


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def served(request, directory, idp, api, filter_wasm):
    """A provider, its documents, and a gateway that has them."""
    provider = Provider(request.param)
    documents = {address: provider.filled(body) for address, body in provider.documents.items()}
    paths = ["/" + address.removeprefix("https://").split("/", 1)[1] for address in documents]
    for path, body in zip(paths, documents.values()):
        idp.document(path, json.dumps(body))
    extra = [plain_cluster(name, idp.port) for name in sorted(clusters(provider.config))]
    gateway = make_gateway(directory / f"playground-{request.param.name}", Upstreams(api.port, idp.port), extra_clusters=extra)
    gateway.start({**provider.config, "debug_headers": True})
    yield provider, documents, gateway
    gateway.stop()
    for path in paths:
        idp.document(path, None)


# What differs by the moment or by the draw.
def settled(headers: dict) -> dict:
    return {name: value for name, value in headers.items() if name not in ("retry-after", "date", "server", "content-length", "connection")}


def heard(answer) -> tuple:
    """What a client heard of a refusal, without the names that Envoy adds."""
    names = ("www-authenticate", "content-type", "cache-control", "herdgate-reason", "herdgate-rule")
    return answer.status, {name: answer.header(name) for name in names if answer.header(name)}, answer.body.decode().strip()


def said(dialect: dict) -> tuple:
    return dialect["status"], settled(dict(dialect["headers"])), dialect["body"].strip()


@pytest.mark.parametrize("errors", DIALECTS)
def test_its_verdicts_are_envoys(served, errors):
    provider, documents, gateway = served
    config = {**provider.config, "debug_headers": True, "errors": errors}
    gateway.reload(config)
    host = gateway.base_url.removeprefix("http://")
    wrong, names = {}, list(provider.tokens)
    texts = {name: provider.text(name) for name in names}
    lines = {name: provider.whole(name)["request"].split(" ") for name in names}
    asked = [question(config, documents, *lines[name], host, texts[name]) for name in names]
    asked += [question(config, documents, *lines[names[0]], host), question(config, documents, "GET", "/a/../b", host, texts[names[0]])]
    played = ask(asked)
    assert len(played) == len(names) + 2
    for name, answer in zip([*names, None, "bad path"], played):
        method, path = lines.get(name, lines[names[0]] if name is None else ("GET", "/a/../b"))
        headers = {"authorization": f"Bearer {texts.get(name, texts[names[0]])}"} if name else {}
        real = request(gateway.base_url + path, method, headers)
        decision = answer["configurations"][0]["decision"]
        if decision["dialects"]:
            if said(decision["dialects"][errors]) != heard(real):
                wrong[name] = said(decision["dialects"][errors]), heard(real)
            continue
        seen = real.json()["headers"] if real.status == 200 else {}
        for header, value in decision["api_sees"]["set"]:
            if seen.get(header) != [value]:
                wrong[name] = header, value, seen.get(header), real.status
        gone = [header for header in decision["api_sees"]["removed"] if header in seen and header not in dict(decision["api_sees"]["set"])]
        if real.status != 200 or gone:
            wrong[name] = real.status, gone
    assert wrong == {}


def test_shadow_is_envoys(served):
    provider, documents, gateway = served
    config = {**provider.config, "mode": "shadow"}
    gateway.reload(config)
    texts = {name: provider.text(name) for name in provider.tokens}
    lines = {name: provider.whole(name)["request"].split(" ") for name in texts}
    played = ask([question(config, documents, *lines[name], token=text) for name, text in texts.items()])
    for (name, text), answer in zip(texts.items(), played):
        method, path = lines[name]
        decision = answer["configurations"][0]["decision"]
        wanted = provider.whole(name)["answer"]
        real = request(gateway.base_url + path, method, {"authorization": f"Bearer {text}"})
        assert real.status == 200 and decision["dialects"] is None, name
        assert decision["api_sees"]["set"] == [] and decision["api_sees"]["removed"] == [], name
        assert decision["why"].get("reason") == wanted.get("reason"), name
        if wanted["status"] != 200:
            assert decision["enforced"]["dialects"]["oauth"]["status"] == wanted["status"], name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_says_what_make_check_says(folder, tool, directory):
    """Of each of its tokens, good and bad."""
    provider = Provider(folder)
    texts = {name: provider.text(name) for name in provider.tokens}
    lines = {name: provider.whole(name)["request"] for name in texts}
    answers = ask([question(provider.config, {}, *lines[name].split(" "), "", text) for name, text in texts.items()])
    for (name, text), answer in zip(texts.items(), answers):
        [one] = answer["configurations"]
        wanted = [entry.strip() for entry in make_check(tool, directory, provider.config, lines[name], text)]
        assert one["request"] and one["token"], name
        for part in (one["summary"], one["request"], one["token"], [f"warning: {text}" for text in one["warnings"]]):
            assert [entry for entry in part if entry.strip() not in wanted] == [], name


def broken() -> list[dict]:
    """Configurations with mistakes, three of each provider."""
    out = []
    for folder in FOLDERS:
        config = json.loads((folder / "herdgate.json").read_text())
        first, second, third = (copy.deepcopy(config) for _ in range(3))
        first["issuers"][0]["algorithms"] = ["RS255"]
        first["colour"] = "red"
        del second["issuers"][0]["issuer"]
        second["rules"][0]["issuers"] = ["nobody"]
        third["issuers"][0]["leeway_s"] = "30"
        third["errors"] = "soap"
        third.setdefault("rules", []).append({"match": {"path": "no-slash"}})
        out += [first, second, third]
    return out


def test_its_mistakes_are_those_of_make_check_and_of_envoy(tool, directory, idp, api, filter_wasm):
    configs = broken()
    assert len(configs) >= 30
    gateway = make_gateway(directory / "playground-broken", Upstreams(api.port, idp.port), extra_clusters=[])
    gateway.start({})
    try:
        for config, answer in zip(configs, ask([question(config) for config in configs])):
            mistakes = [f"{one['path']}: {one['message']}" for one in answer["configurations"][0]["mistakes"]]
            printed = [line.removeprefix("  mistake: ") for line in make_check(tool, directory, config) if line.startswith("  mistake: ")]
            assert mistakes == printed and len(mistakes) >= 2
            before = len(gateway.log())
            with pytest.raises(Refused):
                gateway.reload(config)
            log = gateway.log()[before:]
            assert [mistake for mistake in mistakes if mistake not in log] == []
    finally:
        gateway.stop()
