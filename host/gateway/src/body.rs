//! Reads request bodies within the gateway's bounds; what fails has the gateway's codes.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use kinetic_http_server::{BodyFailure, body};

use crate::error::tame;
use crate::{GatewayConfig, GatewayError};

/// The whole body of a request, of at most `bytes_max` bytes.
pub(crate) async fn read(
    request: Request<Body>,
    config: &GatewayConfig,
    bytes_max: u64,
) -> Result<Bytes, GatewayError> {
    let read = body::read(request, bytes_max, config.body_timeout()).await;
    read.map_err(|failure| match failure {
        BodyFailure::TooLarge => GatewayError::BodyTooLarge { bytes_max },
        BodyFailure::TimedOut => GatewayError::BodyTimeout {
            timeout_ms: config.body_timeout_ms,
        },
        BodyFailure::Broken(why) => GatewayError::BodyBroken { why: tame(&why) },
    })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_that_fails_has_the_code_of_how_it_failed() {
        let config = GatewayConfig {
            body_timeout_ms: 20,
            ..GatewayConfig::default()
        };
        let too_large = read(Request::new(Body::from("eleven byte")), &config, 10).await;
        assert_eq!(too_large, Err(GatewayError::BodyTooLarge { bytes_max: 10 }));
        let nothing = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let timed_out = read(Request::new(nothing), &config, 10).await;
        assert_eq!(timed_out, Err(GatewayError::BodyTimeout { timeout_ms: 20 }));
        let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("cut\noff"))]));
        let Err(GatewayError::BodyBroken { why }) = read(Request::new(broken), &config, 10).await else {
            panic!("it was read")
        };
        assert!(why.contains("cutoff"), "{why}");
    }
}
