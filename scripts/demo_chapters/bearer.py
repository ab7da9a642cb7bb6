"""Tokens of people and of devices, good ones and others."""

from tokens import Key, claims, device_issuer, forged

from .stage import Scene


def bearer_tokens(scene: Scene) -> None:
    idp, show = scene.idp, scene.show
    good = idp.token()
    show(
        "A good token",
        "Signed by the server with RS256, for this audience, not expired, with the scope. The"
        " filter sets x-user from its claim `sub`.",
        good,
    )
    show(
        "The same token again",
        "Now its signature is not verified again: time, audience, scope and rule are checked anew,"
        " the cryptography is remembered.",
        good,
    )
    show(
        "A token signed with ES256",
        "The issuer's keys were fetched once; this algorithm is allowed for it too.",
        idp.token(resource="https://orders.example/es256"),
    )
    show(
        "An expired token",
        "It ended two minutes ago; the server's own key signed it. `exp` is always checked.",
        idp.sign(claims(idp.issuer, lifetime_s=-120)),
        expect=401,
    )
    show("A forged token", "One bit of its signature was changed.", forged(good), expect=401)
    show(
        "A token for another API",
        "A good token of the same server, but its audience is other-api.",
        idp.token(resource="https://other.example"),
        expect=401,
    )
    show(
        "No token",
        "A challenge without an error code (RFC 6750, section 3.1): the client did nothing wrong"
        " yet.",
        expect=401,
    )
    show(
        "A token without the scope",
        "The rule for /orders asks for orders:read; the challenge names it.",
        idp.token(scope="orders:write"),
        expect=403,
    )
    show("A public path", "No token is read here.", path="/health")
    show(
        "A path that hides another",
        "A dot segment could mean one path to the rules and another to the API.",
        good,
        path="/health/../orders/1",
        expect=400,
    )


def device_token(key: Key, device: str, **more) -> str:
    """A token as a device signs it, each under an issuer of its own."""
    issuer = more.pop("issuer", device_issuer(device))
    return key.token(claims(issuer, audience=None, **more), {"alg": "RS256", "typ": "JWT"})


def devices(scene: Scene) -> None:
    device = device_token(scene.mobile, "device-42")
    scene.show(
        "A device's token",
        "Its issuer mobilev2-device-42-... matches the template mobilev2-{device_id}-{timestamp}:"
        " one key for every device, no credential stored.",
        device,
        path="/v1/content",
    )
    scene.show(
        "A stranger's token for that device",
        "The issuer matches, the signature does not; there is no other key to fall back to.",
        device_token(Key("RS256"), "device-42"),
        path="/v1/content",
        expect=401,
    )
    scene.show(
        "An issuer that nearly matches",
        "One part of the template is missing, so the issuer is unknown.",
        device_token(scene.mobile, "", issuer="mobilev2-device42"),
        path="/v1/content",
        expect=401,
    )
    scene.show(
        "A device's token elsewhere",
        "The rule for /orders admits the issuer idp alone.",
        device,
        expect=403,
    )
