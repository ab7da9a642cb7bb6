//! Public keys of every kind; nobody has their private halves, but for the examples of RFC 9964.

/// RSA, SubjectPublicKeyInfo.
pub(crate) const RSA_SPKI: &str = r#"-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp0C+SVtuazsswlcPvXSK
/hsbyYz+a6MEdliU7GA0uM7H07dHKB+WRb2/3JypZfKzOhnC6HmgHyEC4OCup2DL
X5XyUldxhQ3FWlvWwHiJ7s/NpgPlJQdjKbtlaujKuFKBHxjFMAljIZri682GpB7I
SmOyCgIYGN6qXOS9CA/WxCcoIlAeX51T3O1yv+9aFq3G2blM09F+i3DUc56lWiNE
Fvaw+i0BR5AKwN9XYWsbef++fauPLrJ+/kyjqCX7ZdgLXA3mz3crUIkDWXE554kM
P5LFsFAYgVnQHkeGc/rCMTLOP2eCCvh9Ml1sd5nyyegUJc76mYwleo43rTQX0+Xb
owIDAQAB
-----END PUBLIC KEY-----
"#;
/// The same, PKCS#1.
pub(crate) const RSA_PKCS1: &str = r#"-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAp0C+SVtuazsswlcPvXSK/hsbyYz+a6MEdliU7GA0uM7H07dHKB+W
Rb2/3JypZfKzOhnC6HmgHyEC4OCup2DLX5XyUldxhQ3FWlvWwHiJ7s/NpgPlJQdj
KbtlaujKuFKBHxjFMAljIZri682GpB7ISmOyCgIYGN6qXOS9CA/WxCcoIlAeX51T
3O1yv+9aFq3G2blM09F+i3DUc56lWiNEFvaw+i0BR5AKwN9XYWsbef++fauPLrJ+
/kyjqCX7ZdgLXA3mz3crUIkDWXE554kMP5LFsFAYgVnQHkeGc/rCMTLOP2eCCvh9
Ml1sd5nyyegUJc76mYwleo43rTQX0+XbowIDAQAB
-----END RSA PUBLIC KEY-----
"#;
/// The same in an expired certificate.
pub(crate) const RSA_CERTIFICATE: &str = r#"-----BEGIN CERTIFICATE-----
MIICrDCCAZSgAwIBAgIBATANBgkqhkiG9w0BAQsFADAPMQ0wCwYDVQQDDAR0ZXN0
MB4XDTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowDzENMAsGA1UEAwwEdGVz
dDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAKdAvklbbms7LMJXD710
iv4bG8mM/mujBHZYlOxgNLjOx9O3RygflkW9v9ycqWXyszoZwuh5oB8hAuDgrqdg
y1+V8lJXcYUNxVpb1sB4ie7PzaYD5SUHYym7ZWroyrhSgR8YxTAJYyGa4uvNhqQe
yEpjsgoCGBjeqlzkvQgP1sQnKCJQHl+dU9ztcr/vWhatxtm5TNPRfotw1HOepVoj
RBb2sPotAUeQCsDfV2FrG3n/vn2rjy6yfv5Mo6gl+2XYC1wN5s93K1CJA1lxOeeJ
DD+SxbBQGIFZ0B5HhnP6wjEyzj9nggr4fTJdbHeZ8snoFCXO+pmMJXqON600F9Pl
26MCAwEAAaMTMBEwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEA
ED95KyCudWHwvL1DrdM0lgaWj5c+DqBXKE6EzH5SWFqUn6byrP/OttcdPKZbxmLs
xfJ9C8dCAW4TTmdXp3QWGeiw/VV9bipQbndQ5hcK5V0KPeqCnoFpSl3HlBznbxBY
TIKgrwpZYRjdrcl0ZpoiEYQXAtXv4c7kUSIJfM9h/u5vGRWFJtSTtQeSwANj8pZV
8JNhNwYd3icPi8Kc17TTSeWMZpz65CIwPX/Ff7E87Cuy2DAcwQb3/oueaWh6WX7S
R3S0sIN8JXwAShQJDRdU/VYcaVVV7Thqo+p4tljFC+dgl2XImZnokSDS6xZ6JnUp
I9FJ6Ag6oQkKDHMDoD+Ssw==
-----END CERTIFICATE-----
"#;
/// The same as JWK.
pub(crate) const RSA_JWK: &str = r#"{"kty":"RSA","n":"p0C-SVtuazsswlcPvXSK_hsbyYz-a6MEdliU7GA0uM7H07dHKB-WRb2_3JypZfKzOhnC6HmgHyEC4OCup2DLX5XyUldxhQ3FWlvWwHiJ7s_NpgPlJQdjKbtlaujKuFKBHxjFMAljIZri682GpB7ISmOyCgIYGN6qXOS9CA_WxCcoIlAeX51T3O1yv-9aFq3G2blM09F-i3DUc56lWiNEFvaw-i0BR5AKwN9XYWsbef--fauPLrJ-_kyjqCX7ZdgLXA3mz3crUIkDWXE554kMP5LFsFAYgVnQHkeGc_rCMTLOP2eCCvh9Ml1sd5nyyegUJc76mYwleo43rTQX0-Xbow","e":"AQAB"}"#;
/// EC on P-256.
pub(crate) const P256_SPKI: &str = r#"-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESfXZOTHuvePupR96oqhN+I2SDj6K
duNDzddLSEFjFXKL8CqTtI3p25tLDuHdz6tKpq2k+9B+jaWSAaRNWMDEnw==
-----END PUBLIC KEY-----
"#;
/// The same in a certificate.
pub(crate) const P256_CERTIFICATE: &str = r#"-----BEGIN CERTIFICATE-----
MIIBHjCBxqADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBHRlc3QwHhcN
MjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjAPMQ0wCwYDVQQDDAR0ZXN0MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESfXZOTHuvePupR96oqhN+I2SDj6KduND
zddLSEFjFXKL8CqTtI3p25tLDuHdz6tKpq2k+9B+jaWSAaRNWMDEn6MTMBEwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBapeAbRTkgWM6SZKsKUhvp
VQQ+OQPmG1q1vmMWWvrXzQIgbMe29vp+75GnHNPvqb1EBv8JMTEtD5jWrtoPGFLh
eWA=
-----END CERTIFICATE-----
"#;
/// The same as JWK.
pub(crate) const P256_JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"SfXZOTHuvePupR96oqhN-I2SDj6KduNDzddLSEFjFXI","y":"i_Aqk7SN6dubSw7h3c-rSqatpPvQfo2lkgGkTVjAxJ8"}"#;
/// EC on P-384.
pub(crate) const P384_SPKI: &str = r#"-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEyblTAZ4GMcY5srPPfZHvXR5uCZikbI32
QuuRdtERbdAz7wdKk6P8h9OPuqzPJyql9TRslYYwc0tKc9L791StrJH6lSaVqPhr
E6W44VnWr+D4wF8pZeqLetsnlVxiT1mx
-----END PUBLIC KEY-----
"#;
/// The same as JWK.
pub(crate) const P384_JWK: &str = r#"{"kty":"EC","crv":"P-384","x":"yblTAZ4GMcY5srPPfZHvXR5uCZikbI32QuuRdtERbdAz7wdKk6P8h9OPuqzPJyql","y":"9TRslYYwc0tKc9L791StrJH6lSaVqPhrE6W44VnWr-D4wF8pZeqLetsnlVxiT1mx"}"#;
/// Ed25519.
pub(crate) const ED25519_SPKI: &str = r#"-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA7zJZspI3waeu15yY77qqkqoYVaGFHqMviRooyzMX4fE=
-----END PUBLIC KEY-----
"#;
/// The same as JWK.
pub(crate) const ED25519_JWK: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"7zJZspI3waeu15yY77qqkqoYVaGFHqMviRooyzMX4fE"}"#;
/// RSA of 1024 bits.
pub(crate) const RSA_1024: &str = r#"-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCkqai0D+Bb0bKOgFgW7tTZGgT4
W2Zfavqsh5SCigOs9BySkj6a+cmEZJ+lZYq4DcGWub/QKlVvI8y6b/8Lp7lAH5dn
/El2cjQHJWcCxv/m3xM0JCebZvY1osXFLi7TrlVcWtz5rha31+oVpZ8UbJ1PB8rd
F0aMSJf/ePCAROYl2QIDAQAB
-----END PUBLIC KEY-----
"#;
/// EC on P-521.
pub(crate) const P521_SPKI: &str = r#"-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQB6bTJDoJoyT1LPBazsIkI5DNyuQwj
3RDADdKTjXwZtGpal5aFIntgpGpHbAvoxsOFgDtloyXGnDPaJALeyFnmLyEBVwHJ
TbwzR5OaI1hgNtbo0ovsoOf8O0+upVJUZletZq2IdA8/L/ADOTYBwGJwDQu7bGfD
IZZ7D42AUNvQwdzKJnI=
-----END PUBLIC KEY-----
"#;
/// The same as JWK.
pub(crate) const P521_JWK: &str = r#"{"kty":"EC","crv":"P-521","x":"Aem0yQ6CaMk9SzwWs7CJCOQzcrkMI90QwA3Sk418GbRqWpeWhSJ7YKRqR2wL6MbDhYA7ZaMlxpwz2iQC3shZ5i8h","y":"AVcByU28M0eTmiNYYDbW6NKL7KDn_DtPrqVSVGZXrWatiHQPPy_wAzk2AcBicA0Lu2xnwyGWew-NgFDb0MHcyiZy"}"#;
/// EC on secp256k1.
pub(crate) const SECP256K1_SPKI: &str = r#"-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEQJRJHtCnIiW234RTPHmZ1SKFtjlu9maU
MjQ0YkpDBII6NDhQPusn8FHe/z8RKW341LFF80E2xi9JxhIlChMu7A==
-----END PUBLIC KEY-----
"#;
/// The same as JWK.
pub(crate) const SECP256K1_JWK: &str = r#"{"kty":"EC","crv":"secp256k1","x":"QJRJHtCnIiW234RTPHmZ1SKFtjlu9maUMjQ0YkpDBII","y":"OjQ4UD7rJ_BR3v8_ESlt-NSxRfNBNsYvScYSJQoTLuw"}"#;
/// EC on brainpoolP256r1, which nothing here uses.
pub(crate) const BRAINPOOL_P256: &str = r#"-----BEGIN PUBLIC KEY-----
MFowFAYHKoZIzj0CAQYJKyQDAwIIAQEHA0IABHd0O0MD8nhuc7KC1Ixz2giCd4ds
Qlq/os64JFEQEdo/ntP7rIxTzXbiineQvpz9Ahiuz0uxFH0LHWApQ+UbOYY=
-----END PUBLIC KEY-----
"#;
/// Ed448.
pub(crate) const ED448: &str = r#"-----BEGIN PUBLIC KEY-----
MEMwBQYDK2VxAzoAOC2wtMy7NSm9fjJaC+R5qJ8AX8ENX872AZc58hpjvVDYy10V
U+oyIZWYOaDApfhS6pSNQHB+mDaA
-----END PUBLIC KEY-----
"#;

/// RFC 9964, appendix A.1: ML-DSA keys, each a private JWK, and a JWS that it has signed.
pub(crate) fn rfc_9964() -> Vec<(serde_json::Map<String, serde_json::Value>, String)> {
    let examples: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(include_str!("rfc9964.json")).unwrap();
    let example = |mut example: serde_json::Map<String, serde_json::Value>| {
        (
            example.remove("jwk").unwrap().as_object().unwrap().clone(),
            example["jws"].as_str().unwrap().to_owned(),
        )
    };
    examples.into_iter().map(example).collect()
}

/// The public halves of them as JWKs.
pub(crate) fn ml_dsa_jwks() -> Vec<String> {
    let public = |(mut jwk, _): (serde_json::Map<String, serde_json::Value>, String)| {
        jwk.remove("priv");
        jwk.remove("kid");
        serde_json::Value::Object(jwk).to_string()
    };
    rfc_9964().into_iter().map(public).collect()
}
