use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

/// What is hashed is the DER, whatever is in it: the host that took the certificate has read it.
const DER: &[u8] = b"\x30\x03\x02\x01\x07";

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn xfcc(value: &str) -> Option<[u8; 32]> {
    of_header("X-Forwarded-Client-Cert", value.as_bytes())
}

#[test]
fn a_digest_is_64_hexadecimal_digits() {
    let text = hex(sha256(DER));
    assert_eq!(of_hex(text.as_bytes()), Some(sha256(DER)));
    assert_eq!(of_hex(text.to_ascii_uppercase().as_bytes()), Some(sha256(DER)));
    for wrong in ["", &text[1..], &text[2..], &format!("{text}00"), &format!("{text}0")] {
        assert_eq!(of_hex(wrong.as_bytes()), None, "{wrong}");
    }
    assert_eq!(of_hex(text.replacen(|_: char| true, "g", 1).as_bytes()), None);
    assert_eq!(of_hex(text.replacen(|_: char| true, "+", 1).as_bytes()), None);
}

#[test]
fn a_certificate_is_hashed_in_every_spelling() {
    let pem = pem(DER);
    let folded = pem.replace('\n', " ");
    for value in [pem.clone(), folded.clone(), escaped(&pem), pem.replace('\n', "%0A")] {
        assert_eq!(of_header("x-cert", value.as_bytes()), Some(sha256(DER)), "{value}");
    }
    let key = pem.replace("CERTIFICATE", "PUBLIC KEY");
    let two = format!("{pem}{pem}");
    for wrong in ["", "x", "%", "%4", "%zz", "%ff", &key, &two, &escaped(&two), &hex(sha256(DER))] {
        assert_eq!(of_header("x-cert", wrong.as_bytes()), None, "{wrong}");
    }
}

#[test]
fn the_last_element_is_the_nearest_hops() {
    let (own, other, cert) = (hex(sha256(DER)), hex([1; 32]), escaped(&pem(DER)));
    for good in [
        format!("Hash={own}"),
        format!("hash={own}"),
        format!(
            "By=spiffe://a/b;Hash={own};Subject=\"CN=a, b; Hash={other},\\\"x\";URI=spiffe://x"
        ),
        format!("Hash={own};Subject=\"\";URI="),
        format!("Cert=\"{cert}\""),
        format!("Hash={own};Cert=\"{cert}\""),
        format!("Hash={other},Hash={own}"),
        format!("Hash={other};Subject=\"CN=x\", By=b;Hash={own}"),
        format!("Hash={own};URI=a;URI=b;DNS=c"),
    ] {
        assert_eq!(xfcc(&good), Some(sha256(DER)), "{good}");
    }
    assert_eq!(xfcc(&format!("Hash={own},Hash={other}")), Some([1; 32]));
}

#[test]
fn what_could_be_read_in_two_ways_is_not_read() {
    let (own, other, cert) = (hex(sha256(DER)), hex([1; 32]), escaped(&pem(DER)));
    for bad in [
        String::new(),
        own.clone(),
        format!("Hash={own},"),
        format!("Hash={own};"),
        "Hash=".to_owned(),
        format!("Subject=\"Hash={own}\""),
        format!("Hash={own},Subject=\"CN=x\""),
        // Two of a kind, or two that differ.
        format!("Hash={other};Hash={own}"),
        format!("Hash={own};Hash={own}"),
        format!("Hash={other};Cert=\"{cert}\""),
        format!("Cert=\"{cert}\";Cert=\"{cert}\""),
        // A name of the client's that begins a new element or a new pair.
        format!("Hash={other};URI=x,Hash={own}"),
        format!("Hash={other};URI=x;Hash={own}"),
        format!("Hash={other};DNS=x,By=y;Hash={own}"),
        format!("Hash={other};URI=x;Cert=\"{cert}\""),
        // Quotes that the client opens before its balancer appends, and ones in the midst.
        format!("Hash={own};Subject=\",Hash={other}"),
        format!("Hash={own};Subject=\",Hash={other};Subject=\"CN=x\""),
        format!("Hash={other};URI=x\",Hash={own}"),
        format!("Hash={own}\"\""),
        format!("Subject=\"a\"b;Hash={own}"),
        format!("Hash={own};Subject=\"a\\"),
        format!("{{\"Hash\":\"{own}\"}}"),
        format!("Hash={own};Cert=\"x\""),
    ] {
        assert_eq!(xfcc(&bad), None, "{bad}");
    }
    // Nor is the form of one header read in another.
    assert_eq!(xfcc(&pem(DER)), None);
    assert_eq!(of_header("x-cert", format!("Hash={own}").as_bytes()), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[HashCert=\",;%0-9a-f\\\\]{0,90}") {
        for name in [XFCC, "x-cert"] {
            let _ = of_header(name, &bytes);
            let _ = of_header(name, text.as_bytes());
        }
    }
}
