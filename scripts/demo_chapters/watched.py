"""The counters at the end of the walk."""

from .stage import Scene


def metrics(scene: Scene) -> None:
    print("\n  The counters of this walk, one for each reason:")
    found = {name: value for name, value in scene.gateway.metrics().items() if value}
    for name, value in sorted(found.items()):
        print(f"    {name} {value}")
    for name in (
        "bearer.accepted",
        "bearer.rejected.expired",
        "token.hit",
        "limit.token-calls.denied",
    ):
        scene.expect(any(name in full for full in found), f"a count of {name}")
