"""The chapters of the demo, in order: a title, and a function in which it happens.

A chapter may put another configuration in force (`scene.reload`); the next one begins with the
first configuration again. It raises `Unexpected` where an answer isn't what it should be, and
`LeftOut` where something isn't there that only this chapter needs.
"""

from . import bearer, changes, events, introspection, kinds, limits, meeting, sealed, token_calls, watched

CHAPTERS = [
    ("Bearer tokens, checked at the gateway", bearer.bearer_tokens),
    ("Millions of devices, one key", bearer.devices),
    ("Keys change and key servers fail", changes.keys_change),
    ("An issuer says itself where its keys are", changes.discovery),
    ("The token endpoint stays calm", token_calls.token_calls),
    ("Limits", limits.limits),
    ("The server is asked whether a token still counts", introspection.introspection),
    ("The server tells what was revoked", events.security_events),
    ("Tokens that are no JWTs", kinds.opaque),
    ("Tokens that a thief can't use", kinds.bound),
    ("Tokens that only the gateway can read", sealed.encrypted),
    ("Tokens that are taken back in a list", sealed.status_list),
    ("Watched before it refuses", changes.shadow),
    ("Two gateways, one limit", meeting.meeting),
    ("What can be watched", watched.metrics),
]
