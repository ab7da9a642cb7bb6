"""What Istio, Envoy Gateway and Higress make of their resources: the HTTP filter that Envoy gets.

Written after their own code: istio/istio pilot/pkg/model/trafficextension.go and extensions.go, envoyproxy/gateway
internal/xds/translator/wasm.go, alibaba/higress pkg/ingress/config/ingress_config.go. The module alone comes from a
file here: Istio's agent puts one into the proxy too, Envoy Gateway serves it by HTTP.
"""

import json
from pathlib import Path

from envoy import STRING_VALUE

WASM_FILTER = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
# FAIL_CLOSE is the enum's zero. Higress has no third one.
FAILURE_POLICIES = {"FAIL_CLOSE": "FAIL_CLOSED", "FAIL_OPEN": "FAIL_OPEN", "FAIL_RELOAD": "FAIL_RELOAD"}

# The fields of each resource's spec, from the same sources' API: istio/api extensions/v1alpha1/traffic_extension.proto
# and wasm.proto, envoyproxy/gateway api/v1alpha1/envoyextensionpolicy_types.go and wasm_types.go, alibaba/higress
# api/extensions/v1alpha1/wasmplugin.proto. None is free: what is below is not looked at.
FREE = None
TARGETS = [{"group": FREE, "kind": FREE, "name": FREE, "namespace": FREE, "sectionName": FREE}]
ENVIRONMENT = {"env": [{"name": FREE, "valueFrom": {"INLINE", "HOST"}, "value": FREE}]}
PULL = {"url": FREE, "sha256": FREE, "imagePullPolicy": {"IfNotPresent", "Always"}, "imagePullSecret": FREE}
PHASE = {"AUTHN", "AUTHZ", "STATS"}
ISTIO = {"selector": {"matchLabels": FREE}, "targetRefs": TARGETS, "phase": PHASE, "priority": FREE, "match": FREE}
ISTIO_WASM = {
    **PULL,
    "pluginName": FREE,
    "pluginConfig": FREE,
    "failStrategy": {"FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"},
    "vmConfig": ENVIRONMENT,
    "type": {"HTTP", "NETWORK"},
}
SPECS = {
    ("extensions.istio.io/v1alpha1", "TrafficExtension"): {**ISTIO, "wasm": ISTIO_WASM, "lua": FREE},
    ("extensions.istio.io/v1alpha1", "WasmPlugin"): {**ISTIO, **ISTIO_WASM},
    ("extensions.higress.io/v1alpha1", "WasmPlugin"): {
        **PULL,
        "pluginName": FREE,
        "pluginConfig": FREE,
        "phase": PHASE,
        "priority": FREE,
        "failStrategy": {"FAIL_CLOSE", "FAIL_OPEN"},
        "vmConfig": ENVIRONMENT,
        "defaultConfig": FREE,
        "defaultConfigDisable": FREE,
        "matchRules": FREE,
    },
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy"): {
        "targetRefs": TARGETS,
        "targetSelectors": FREE,
        "wasm": [
            {
                "name": FREE,
                "rootID": FREE,
                "code": {
                    "type": {"HTTP", "Image"},
                    "http": {"url": FREE, "sha256": FREE},
                    "image": {"url": FREE, "sha256": FREE, "pullSecretRef": FREE},
                    "pullPolicy": {"IfNotPresent", "Always"},
                },
                "config": FREE,
                "failOpen": FREE,
                "env": {"hostKeys": FREE},
            }
        ],
        "extProc": FREE,
        "lua": FREE,
    },
}


def unknown_fields(value, allowed, place: str = "spec") -> list[str]:
    """What a CRD of these fields would refuse, or drop without a word."""
    if allowed is FREE:
        return []
    if isinstance(allowed, set):
        return [] if value in allowed else [f"{place}: {value}"]
    if isinstance(allowed, list):
        return [found for index, item in enumerate(value) for found in unknown_fields(item, allowed[0], f"{place}[{index}]")]
    found = [f"{place}.{name}" for name in value if name not in allowed]
    return found + [one for name in value if name in allowed for one in unknown_fields(value[name], allowed[name], f"{place}.{name}")]


def string_value(configuration: dict) -> dict:
    return {"@type": STRING_VALUE, "value": json.dumps(configuration)}


def vm(wasm: Path, environment: dict, **more) -> dict:
    return {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(wasm)}}, "environment_variables": environment, **more}


def of_istio(metadata: dict, plugin: dict, configuration: dict, wasm: Path) -> dict:
    """No vm_id, and no allow_on_headers_stop_iteration: there is no field for either."""
    env = plugin.get("vmConfig", {}).get("env", [])
    environment = {
        "key_values": {"ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": "1", **{one["name"]: one["value"] for one in env if "value" in one}},
        "host_env_keys": [one["name"] for one in env if one.get("valueFrom") == "HOST"],
    }
    return {
        "name": f"{metadata['namespace']}.{metadata['name']}",
        "root_id": plugin.get("pluginName", ""),
        "configuration": string_value(configuration),
        "vm_config": vm(wasm, environment),
        "failure_policy": FAILURE_POLICIES[plugin.get("failStrategy", "FAIL_CLOSE")],
    }


def configuration_of(resource: dict) -> dict:
    """Where a resource has the filter's configuration, to be changed in place."""
    spec = resource["spec"]
    match resource["apiVersion"].partition("/")[0], resource["kind"]:
        case "extensions.istio.io", "TrafficExtension":
            return spec["wasm"]["pluginConfig"]
        case "extensions.istio.io", "WasmPlugin":
            return spec["pluginConfig"]
        case "extensions.higress.io", "WasmPlugin":
            return spec["defaultConfig"]
        case "gateway.envoyproxy.io", "EnvoyExtensionPolicy":
            return spec["wasm"][0]["config"]
    raise ValueError(resource["kind"])


def http_filter(resource: dict, wasm: Path) -> tuple[dict, dict]:
    """The HTTP filter that Envoy gets, and what each route says of it."""
    metadata, spec, configuration = resource["metadata"], resource["spec"], configuration_of(resource)
    match resource["apiVersion"].partition("/")[0], resource["kind"]:
        case "gateway.envoyproxy.io", _:
            [policy] = spec["wasm"]
            name = f"envoyextensionpolicy/{metadata['namespace']}/{metadata['name']}/wasm/0"
            config = {
                "name": policy["name"],
                "root_id": policy.get("rootID", ""),
                "configuration": string_value(configuration),
                # Not shared by filters.
                "vm_config": vm(wasm, {"host_env_keys": policy.get("env", {}).get("hostKeys", [])}, vm_id=name),
                "fail_open": policy.get("failOpen", False),
            }
            name = f"envoy.filters.http.wasm/{name}"
            # Off, and on for each route of its target.
            return {"name": name, "disabled": True, "typed_config": {"@type": WASM_FILTER, "config": config}}, {
                name: {"@type": FILTER_CONFIG, "config": {}}
            }
        case _, "TrafficExtension":
            config = of_istio(metadata, spec["wasm"], configuration, wasm)
        case _:
            config = of_istio(metadata, spec, configuration, wasm)
    return {"name": config["name"], "typed_config": {"@type": WASM_FILTER, "config": config}}, {}
