//! The bearer token: only its SHA-256 is kept, and it is compared in constant time.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use kinetic_model::Digest;
use subtle::ConstantTimeEq as _;

use crate::GatewayError;

/// Passes a request that carries the token; any request when none is configured.
pub(crate) fn check(headers: &HeaderMap, token_sha256: Option<&Digest>) -> Result<(), GatewayError> {
    let Some(expected) = token_sha256 else { return Ok(()) };
    let refuse = |why: &str| Err(GatewayError::BadToken { why: why.into() });
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return refuse("it needs one Authorization header");
    };
    let Some((scheme, token)) = value.as_bytes().split_at_checked(7) else {
        return refuse("the Authorization header is not Bearer and a token");
    };
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return refuse("the Authorization header is not Bearer and a token");
    }
    let found = Digest::of(token.trim_ascii());
    if bool::from(found.as_bytes().ct_eq(expected.as_bytes())) {
        Ok(())
    } else {
        refuse("the token is not the right one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_the_right_token_passes() {
        let expected = Digest::of(b"secret");
        for good in ["Bearer secret", "bearer secret", "BEARER  secret "] {
            assert!(check(&headers(&[good]), Some(&expected)).is_ok(), "{good}");
        }
        for bad in [
            "Bearer wrong",
            "Bearer ",
            "secret",
            "Basic secret",
            "",
            "Bearer secret2",
        ] {
            assert!(check(&headers(&[bad]), Some(&expected)).is_err(), "{bad}");
        }
        assert!(check(&headers(&[]), Some(&expected)).is_err());
    }

    #[test]
    fn two_authorization_headers_are_refused_even_if_one_is_right() {
        assert!(
            check(
                &headers(&["Bearer secret", "Bearer other"]),
                Some(&Digest::of(b"secret"))
            )
            .is_err()
        );
    }

    #[test]
    fn without_a_configured_token_none_is_asked_for() {
        assert!(check(&headers(&[]), None).is_ok());
    }
}
