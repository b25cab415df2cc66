//! What a registry wants to see before it answers: the `WWW-Authenticate` header.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A bearer token, and where it is given out. A challenge for name and password has nothing to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// A URL.
    pub(super) realm: String,
    pub(super) service: Option<String>,
}

impl Challenge {
    /// The one for a bearer token, if there is one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        values.filter_map(|value| value.to_str().ok()).find_map(Self::bearer)
    }

    fn bearer(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        // name="value" or name=value, with commas between them.
        while let Some((name, after)) = rest.split_once('=') {
            let (value, behind) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            let name = name.trim_start_matches([',', ' ']);
            if name.eq_ignore_ascii_case("realm") {
                realm = Some(value.to_string());
            } else if name.eq_ignore_ascii_case("service") {
                service = Some(value.to_string());
            }
            rest = behind;
        }
        Some(Self { realm: realm?, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(texts: &[&'static str]) -> Option<(String, Option<String>)> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        Challenge::of(&headers).map(|challenge| (challenge.realm, challenge.service))
    }

    #[test]
    fn the_place_that_gives_out_tokens_is_found() {
        let found = |realm: &str, service: Option<&str>| Some((realm.to_string(), service.map(str::to_string)));
        for (texts, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                ][..],
                found("https://auth.example/token", Some("registry.example")),
            ),
            (
                &[r#"Basic realm="x""#, r#"bearer service=s, realm="https://a/?x=1""#],
                found("https://a/?x=1", Some("s")),
            ),
            (&[r#"Bearer realm="https://a""#], found("https://a", None)),
            (&[r#"Basic realm="x""#], None),
            (&["Bearer"], None),
            (&[r#"Bearer realm="open"#], None),
            (&[], None),
        ] {
            assert_eq!(challenge(texts), expected, "{texts:?}");
        }
    }
}
