"""Status lists that a test signs, as their server serves them."""

import time
import zlib

from tokens import Key, b64
from world import World

PREFIX = "/status/"


class StatusLists:
    """The lists of the issuer `own`, at the authorization server's address."""

    def __init__(self, world: World, key: Key | None = None):
        self.world, self.key = world, key or world.ec
        self.prefix = world.idp.issuer + PREFIX
        self._served: set[str] = set()

    def uri(self, name: str = "1") -> str:
        return self.prefix + name

    def claims(self, name: str = "1", taken: dict[int, int] | None = None, bits: int = 1, size: int = 1_000_000, **more) -> dict:
        """The claims of a list of `size` statuses, all of them valid but those `taken`."""
        statuses = bytearray(-(-size * bits // 8))
        for index, status in (taken or {}).items():
            statuses[index * bits // 8] |= status << (index * bits % 8)
        lst = b64(zlib.compress(bytes(statuses), 9))
        return {"sub": self.uri(name), "iat": int(time.time()), "ttl": 300, "status_list": {"bits": bits, "lst": lst}, **more}

    def signed(self, claims: dict, key: Key | None = None, **header) -> str:
        return (key or self.key).token(claims, header={**(key or self.key).header(), "typ": "statuslist+jwt", **header})

    def serve(self, name: str = "1", *arguments, **more) -> None:
        self.serve_body(self.signed(self.claims(name, *arguments, **more)), name)

    def serve_body(self, body: str | None, name: str = "1", status: int = 200) -> None:
        headers = {"content-type": "application/statuslist+jwt"}
        self.world.idp.document(PREFIX + name, body, headers=headers, status=status)
        self._served.add(name)

    def fetched(self) -> int:
        return self.world.idp.requests_below(PREFIX)

    def token(self, index: int, name: str = "1", key: Key | None = None, **more) -> str:
        return self.world.own(key, status={"status_list": {"idx": index, "uri": self.uri(name)}}, **more)

    def issuer(self, **more) -> dict:
        lists = {"uri_prefix": self.prefix, "allow_http": True, "cluster": "idp", "ttl_s_max": 60, **more}
        return self.world.own_issuer(status_list=lists)

    def config(self, document: dict | None = None, **more) -> dict:
        return {"issuers": [self.issuer(**more)], "shared": {"secret": {"env": "HERDGATE_SECRET"}}, **(document or {})}

    def clear(self) -> None:
        for name in self._served:
            self.world.idp.document(PREFIX + name, None)

