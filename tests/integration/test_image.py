"""`make image`: the layout is what Istio and Envoy Gateway read, the same bytes each time, and its module runs in Envoy."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile

import pytest

from gateway import WASM
from http_client import request
from processes import ROOT

# It is one image, whichever gateway the other tests are for.
pytestmark = pytest.mark.only("envoy")

DIST = ROOT / "dist"
IMAGE = DIST / "herdgate-oci.tar"
OCI = "application/vnd.oci.image"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pack(*options: str) -> str:
    return subprocess.run([ROOT / "scripts/image", *options], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files of the layout."""
    if WASM != DIST / "herdgate.wasm":
        pytest.skip("the image is made of dist/herdgate.wasm, and another module is under test")
    pack("--no-sbom")
    with tarfile.open(IMAGE) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def blob(files: dict[str, bytes], descriptor: dict, media_type: str) -> bytes:
    """What a descriptor names, if it is what it says."""
    assert descriptor["mediaType"] == media_type
    algorithm, _, digest = descriptor["digest"].partition(":")
    data = files[f"blobs/sha256/{digest}"]
    assert (algorithm, sha256(data), len(data)) == ("sha256", digest, descriptor["size"])
    return data


@pytest.fixture(scope="module")
def manifest(files) -> dict:
    index = json.loads(files["index.json"])
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [only] = index["manifests"]
    return json.loads(blob(files, only, f"{OCI}.manifest.v1+json"))


@pytest.fixture(scope="module")
def plugin(files, manifest) -> bytes:
    """The module, found as Istio's and Envoy Gateway's fetchers do: the last layer, and in it plugin.wasm."""
    layer = blob(files, manifest["layers"][-1], f"{OCI}.layer.v1.tar+gzip")
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
        return archive.extractfile("plugin.wasm").read()


def test_the_layout_holds_the_module(files, manifest, plugin):
    assert plugin == WASM.read_bytes()
    assert manifest["schemaVersion"] == 2 and len(manifest["layers"]) == 1
    version = next(line.split('"')[1] for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version"))
    annotations = manifest["annotations"]
    assert annotations["module.wasm.image/variant"] == "compat"
    assert annotations["org.opencontainers.image.version"] == version
    config = json.loads(blob(files, manifest["config"], f"{OCI}.config.v1+json"))
    layer = blob(files, manifest["layers"][0], f"{OCI}.layer.v1.tar+gzip")
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
        assert archive.getnames() == ["plugin.wasm"]
        [member] = archive.getmembers()
        assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
        archive.fileobj.seek(0)
        assert config["rootfs"]["diff_ids"] == [f"sha256:{sha256(archive.fileobj.read())}"]
    # Nothing lies beside what is named.
    assert len(files) == 5


def test_it_is_the_same_each_time(files):
    before = IMAGE.read_bytes()
    said = pack("--no-sbom")
    assert IMAGE.read_bytes() == before
    assert (DIST / "herdgate-oci.tar.sha256").read_text() == f"{sha256(before)}  herdgate-oci.tar\n"
    assert json.loads(files["index.json"])["manifests"][0]["digest"] in said


def test_an_oci_tool_reads_it(files):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is missing (apt-get install skopeo): the layout was checked by its digests alone")
    digests = set()
    for _ in range(2):
        pack("--no-sbom")
        done = subprocess.run(["skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{IMAGE}"], check=True, capture_output=True, text=True)
        digests.add(done.stdout.strip())
    assert digests == {json.loads(files["index.json"])["manifests"][0]["digest"]}


def test_another_oci_tool_unpacks_the_module(files, manifest, tmp_path):
    if not shutil.which("umoci"):
        pytest.skip("umoci is missing (apt-get install umoci)")
    with tarfile.open(IMAGE) as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    image = f"{tmp_path / 'layout'}:{manifest['annotations']['org.opencontainers.image.version']}"
    unpack = ["umoci", "raw", "unpack", "--rootless", "--image", image, tmp_path / "rootfs"]
    subprocess.run(unpack, check=True, capture_output=True)
    assert (tmp_path / "rootfs/plugin.wasm").read_bytes() == WASM.read_bytes()


def test_its_module_runs(plugin, tmp_path, start_gateway, world):
    module = tmp_path / "plugin.wasm"
    module.write_bytes(plugin)
    gateway = start_gateway(world.config(), wasm=module)
    for token, status in [(world.own(), 200), (world.own(world.stranger), 401)]:
        assert request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}).status == status


def test_the_sbom_lists_what_is_in_the_module():
    if not (ROOT / ".tools/cargo/bin/cargo-cyclonedx").exists():
        pytest.skip("cargo-cyclonedx is missing (scripts/setup sbom): the SBOM was not made")
    made = []
    for _ in range(2):
        pack()
        made.append((DIST / "herdgate.cdx.json").read_text())
    assert made[0] == made[1]
    assert str(ROOT) not in made[0]
    document = json.loads(made[0])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    [digest] = document["metadata"]["component"]["hashes"]
    assert digest == {"alg": "SHA-256", "content": sha256((DIST / "herdgate.wasm").read_bytes())}
    names = {component["name"] for component in document["components"]}
    tree = ["cargo", "tree", "--locked", "--target", "wasm32-wasip1", "--edges", "normal", "--prefix", "none", "--format", "{p}"]
    done = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True)
    wanted = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert wanted - names == {"herdgate"}
    assert not names & {"proptest", "insta"}
