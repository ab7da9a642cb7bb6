"""What changes while the gateway runs: keys, where they are, and whether it refuses at all."""

import time

from tokens import claims

from .setting import idp_issuer
from .stage import Scene

METADATA = "/.well-known/openid-configuration"


def keys_change(scene: Scene) -> None:
    old = scene.idp.token()
    scene.show("A token of today's key", "For comparison.", old)
    time.sleep(1.2)
    print("\n  ... the server replaces its signing key; the old one is gone from its JWK Set")
    scene.idp.rotate("RS256")
    scene.show(
        "A token of the new key",
        "Its kid is unknown here, so the JWK Set is fetched at once; the client waits for that"
        " instead of getting a 401.",
        scene.idp.token(),
    )
    print("\n  ... ttl_s (2 s) passes")
    time.sleep(2.5)
    scene.show(
        "The old token again",
        "Its key has left the set, and everything that it verified left the caches with it.",
        old,
        expect=401,
    )
    print("\n  ... the key server fails from now on")
    scene.idp.fault("/jwks", "status", status=500)
    time.sleep(2.5)
    scene.show(
        "A new token during the outage",
        "The last good set goes on serving, up to the age that the configuration states.",
        scene.idp.token(),
    )
    scene.idp.heal()


def discovery(scene: Scene) -> None:
    issuer = idp_issuer(scene, discovery=True)
    del issuer["jwks_uri"]
    scene.idp.reset_counts()
    scene.reload('no jwks_uri, but "discovery": true', issuers=[issuer], rules=[])
    tokens = [scene.idp.token() for _ in range(3)]
    scene.show(
        "A good token",
        f"The issuer's metadata ({METADATA}, OpenID Connect Discovery) was fetched, then the JWK"
        " Set that it names.",
        tokens[0],
    )
    for token in tokens[1:]:
        scene.show("Another one", "Both are remembered for all workers.", token)
    asked = scene.idp.requests(METADATA)
    scene.expect(1 <= asked <= 2, f"one or two calls for the metadata, got {asked}")
    print("\n  ... metadata that speaks of another issuer")
    liar = scene.idp.document(
        "/.well-known/liar",
        '{"issuer": "https://other.example", "jwks_uri": "%s"}' % scene.idp.jwks_uri,
    )
    scene.reload("its address instead of true", issuers=[{**issuer, "discovery": liar}], rules=[])
    scene.show(
        "A good token",
        "The metadata's issuer must be the configured one (RFC 8414, section 3.3), so these keys"
        " are not used. 503 and not 401: the token may be good.",
        scene.idp.token(),
        expect=503,
    )


def shadow(scene: Scene) -> None:
    def counted() -> float:
        return scene.gateway.metrics().get("herdgate.bearer.shadowed.expired")

    expired = scene.idp.sign(claims(scene.idp.issuer, lifetime_s=-120))
    scene.reload('"mode": "shadow"', mode="shadow")
    before = counted()
    scene.show(
        "An expired token",
        "In shadow mode everything is decided and counted, and nothing is refused: this request"
        " reached the API as the client sent it. So the filter can be tried on real traffic first.",
        expired,
    )
    scene.expect(counted() == before + 1, "one more herdgate.bearer.shadowed.expired")
    print("      herdgate.bearer.shadowed.expired is one more now")
    scene.reload("as before")
    scene.show("The same token", "Now the same verdict is answered.", expired, expect=401)
