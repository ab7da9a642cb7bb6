//! The URI that a proof is for (`htu`), held against where requests come in.

use crate::callout;

/// Scheme, host and port under which clients reach an API: what a proof's `htu` begins with. It
/// comes from the configuration; what the client says of itself in `Host` proves nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Whether the scheme is https.
    pub https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads an origin (RFC 6454, section 6.1).
    ///
    /// # Errors
    /// Why it is none, as a half-sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Origin, &'static str> {
        let (scheme, rest) =
            scheme_and_rest(text).ok_or("it begins with neither https:// nor http://")?;
        if rest.contains(['/', '?', '#']) {
            return Err("it has a path: an origin ends after host and port");
        }
        Origin::of(scheme, rest)
    }

    /// `authority` as in a URI: host, and port unless it is the scheme's own.
    fn of(scheme: &str, authority: &str) -> Result<Origin, &'static str> {
        // An empty port is the scheme's own (RFC 3986, section 6.2.3).
        let authority = authority.strip_suffix(':').unwrap_or(authority);
        let uri = callout::uri(&format!("{scheme}://{authority}/"))?;
        let host = match uri.host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => address.to_string(),
            Err(_) => uri.host.to_ascii_lowercase(),
        };
        Ok(Origin { https: uri.https, host, port: uri.port })
    }
}

/// The scheme in lower case, and what follows `://`.
fn scheme_and_rest(text: &str) -> Option<(&'static str, &str)> {
    ["https", "http"].into_iter().find_map(|scheme| {
        let (found, rest) = text.split_at_checked(scheme.len())?;
        Some((scheme, rest.strip_prefix("://")?)).filter(|_| found.eq_ignore_ascii_case(scheme))
    })
}

/// Whether `htu` is one of these origins and this path, without query and fragment (RFC 9449,
/// section 4.3). Compared after the normalisation of RFC 3986, sections 6.2.2 and 6.2.3, but for dot
/// segments: a path that has some is the same only to one that has the same.
pub fn is_for(htu: &str, origins: &[Origin], path: &[u8]) -> bool {
    let Some((scheme, rest)) = scheme_and_rest(htu) else { return false };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, told) =
        rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or_default();
    let told = if told.is_empty() { "/" } else { told };
    Origin::of(scheme, authority).is_ok_and(|origin| origins.contains(&origin))
        && Units(told.as_bytes()).eq(Units(path))
}

/// A path in units: a character, or an octet that stays encoded. Encoded characters that needn't be
/// are themselves, digits count in any case.
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    /// The octet, and whether it is encoded.
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        let (first, rest) = self.0.split_first()?;
        if *first == b'%'
            && let Some(([high, low], rest)) = rest.split_first_chunk::<2>()
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.0 = rest;
            let octet = high << 4 | low;
            return Some((octet, !is_unreserved(octet)));
        }
        self.0 = rest;
        Some((*first, false))
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Vec<Origin> {
        texts.iter().map(|text| Origin::parse(text).unwrap()).collect()
    }

    #[test]
    fn equal_after_normalisation() {
        let ours =
            origins(&["https://API.example", "http://127.0.0.1:8080", "https://[2001:DB8::1]"]);
        for (htu, path) in [
            ("https://api.example/orders", "/orders"),
            ("HTTPS://Api.Example:443/orders", "/orders"),
            ("https://api.example:/orders", "/orders"),
            ("https://api.example", "/"),
            ("https://api.example/", "/"),
            ("https://api.example?a=b", "/"),
            ("https://api.example/orders?a=b#c", "/orders"),
            ("https://api.example/%6Frders/%c3%a9", "/orders/%C3%A9"),
            ("https://api.example/%7euser", "/~user"),
            ("https://api.example/a%2fb", "/a%2Fb"),
            ("http://127.0.0.1:8080/", "/"),
            ("https://[2001:db8:0::1]/x", "/x"),
        ] {
            assert!(is_for(htu, &ours, path.as_bytes()), "{htu}");
        }
    }

    #[test]
    fn anything_else_is_another() {
        let ours = origins(&["https://api.example", "http://127.0.0.1:8080"]);
        for (htu, path) in [
            ("https://api.example/orders", "/order"),
            ("https://api.example/orders", "/orders/"),
            ("https://api.example/orders", "/Orders"),
            ("https://api.example/a/../orders", "/orders"),
            ("https://api.example/./orders", "/orders"),
            ("https://api.example//orders", "/orders"),
            ("https://api.example/a%2fb", "/a/b"),
            ("https://api.example/%40me", "/@me"),
            ("https://api.example/%", "/%25"),
            ("https://api.example:8443/orders", "/orders"),
            ("https://api.example:0443/orders", "/orderz"),
            ("http://api.example/orders", "/orders"),
            ("http://api.example:443/orders", "/orders"),
            ("https://127.0.0.1:8080/orders", "/orders"),
            ("https://evil.example/orders", "/orders"),
            ("https://api.example.evil.example/orders", "/orders"),
            ("https://user@api.example/orders", "/orders"),
            ("https://api.example@evil.example/orders", "/orders"),
            ("https://api.example\\@evil.example/orders", "/orders"),
            ("https://evil.example#https://api.example/orders", "/orders"),
            ("https:///orders", "/orders"),
            ("https:/api.example/orders", "/orders"),
            ("//api.example/orders", "/orders"),
            ("/orders", "/orders"),
            ("", ""),
            ("https://api.example/orders ", "/orders"),
            (" https://api.example/orders", "/orders"),
            ("https://api.example/ord\u{e9}rs", "/ord\u{e9}rs"),
            ("ftp://api.example/orders", "/orders"),
        ] {
            assert!(!is_for(htu, &ours, path.as_bytes()), "{htu}");
        }
        assert!(!is_for("https://api.example/", &[], b"/"));
    }

    #[test]
    fn an_origin_ends_after_its_port() {
        for text in [
            "https://api.example/",
            "https://api.example/x",
            "https://api.example?x",
            "https://user@api.example",
            "https://",
            "https://api.example:0",
            "https://api.example:70000",
            "api.example",
            "*",
            "null",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
        assert!(Origin::parse("https://api.example:8443").is_ok_and(|origin| origin.https));
        assert!(Origin::parse("http://localhost").is_ok_and(|origin| !origin.https));
    }
}
