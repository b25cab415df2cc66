//! Errors of wasi:http as bytes: what a guest can tell apart stays apart, the rest is kept as text.

use wasmtime_wasi_http::Error;

macro_rules! plain {
    ($( $code:literal $name:ident, )*) => {
        fn plain_code(error: &Error) -> Option<u8> {
            match error {
                $( Error::$name => Some($code), )*
                _ => None,
            }
        }

        fn plain_error(code: u8) -> Option<Error> {
            match code {
                $( $code => Some(Error::$name), )*
                _ => None,
            }
        }
    };
}

// A code never changes its meaning: recordings outlive the host that made them.
plain! {
    1 DnsTimeout,
    2 DestinationNotFound,
    3 DestinationUnavailable,
    4 DestinationIpProhibited,
    5 DestinationIpUnroutable,
    6 ConnectionRefused,
    7 ConnectionTerminated,
    8 ConnectionTimeout,
    9 ConnectionReadTimeout,
    10 ConnectionWriteTimeout,
    11 ConnectionLimitReached,
    12 TlsProtocolError,
    13 TlsCertificateError,
    14 HttpRequestDenied,
    15 HttpRequestLengthRequired,
    16 HttpRequestMethodInvalid,
    17 HttpRequestUriInvalid,
    18 HttpRequestUriTooLong,
    19 HttpResponseIncomplete,
    20 HttpResponseTimeout,
    21 HttpUpgradeFailed,
    22 HttpProtocolError,
    23 LoopDetected,
    24 ConfigurationError,
}

const DNS: u8 = 100;
const TEXT: u8 = 101;

/// Writes an error.
pub(crate) fn put_error(out: &mut Vec<u8>, error: &Error) {
    let (code, text) = match error {
        // As the guest would be told.
        Error::Hyper(_) => (plain_code(&Error::HttpProtocolError), String::new()),
        Error::Connect(_) => (plain_code(&Error::ConnectionRefused), String::new()),
        Error::Tls(_) => (plain_code(&Error::TlsProtocolError), String::new()),
        Error::DnsError { rcode, .. } => (Some(DNS), rcode.clone().unwrap_or_default()),
        Error::InvalidDnsNameError(_) => (Some(DNS), "invalid dns name".into()),
        Error::InternalError(text) => (Some(TEXT), text.clone().unwrap_or_default()),
        other => match plain_code(other) {
            Some(code) => (Some(code), String::new()),
            None => (Some(TEXT), other.to_string()),
        },
    };
    out.push(code.unwrap_or(TEXT));
    out.extend_from_slice(text.as_bytes());
}

/// Reads an error; nothing where the bytes say none.
pub(crate) fn error_from(bytes: &[u8]) -> Option<Error> {
    let (code, text) = bytes.split_first()?;
    let text = || String::from_utf8_lossy(text).into_owned();
    match *code {
        DNS => Some(Error::DnsError {
            rcode: Some(text()),
            info_code: None,
        }),
        TEXT => Some(Error::InternalError(Some(text()))),
        code => plain_error(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_tells_apart_stays_apart() {
        for code in 1..=24 {
            let mut bytes = Vec::new();
            put_error(&mut bytes, &plain_error(code).unwrap());
            assert_eq!(bytes, [code]);
            assert_eq!(plain_code(&error_from(&bytes).unwrap()), Some(code));
        }
        let mut bytes = Vec::new();
        put_error(&mut bytes, &Error::HttpRequestBodySize(Some(7)));
        let read = error_from(&bytes).unwrap();
        assert!(
            matches!(&read, Error::InternalError(Some(text)) if text.contains('7')),
            "{read}"
        );
        assert!(error_from(&[]).is_none() && error_from(&[99]).is_none());
    }
}
