//! Putting a version of a capsule in the place of another one, and going back.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::Uri;
use kinetic_kernel::{Actor, SwapAsk, SwapTo, Swapped};
use kinetic_model::{Pin, Urn};
use serde::Deserialize;

use super::{ROUTE, path_urn};
use crate::app::Shared;
use crate::ask::{read, read_or_default};
use crate::problem::Problem;
use crate::{GatewayError, json_guard};

/// The word that means the highest version there is.
const NEWEST: &str = "newest";

/// What a swap is asked with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    to: String,
    #[serde(default)]
    accept_differences: bool,
    #[serde(default)]
    discard_state: bool,
    #[serde(default)]
    plan: bool,
}

/// What going back is asked with.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    #[serde(default)]
    discard_state: bool,
}

/// Whether a request changes which version a URN means. That goes on to its end whoever waits for it, and is bounded step by
/// step, so its answer is not cut off by the bound that other requests have.
pub(crate) fn is_swap(uri: &Uri) -> bool {
    let about = uri.path().strip_prefix(ROUTE);
    about.is_some_and(|path| path.ends_with("/swap") || path.ends_with("/rollback"))
}

/// `POST /api/v1/capsules/{urn}/swap` with `{to, accept_differences?, discard_state?, plan?}`: replaces the active version, or
/// says what that would do.
pub(crate) async fn swap(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let urn = path_urn(urn)?;
    let asked: Ask = read(&app, request).await?;
    let ask = SwapAsk {
        to: target(&urn, &asked.to)?,
        urn,
        actor: Actor::Operator,
        accept_differences: asked.accept_differences,
        discard_state: asked.discard_state,
    };
    let kernel = &app.calls.kernel;
    if asked.plan {
        return Ok(Json(kernel.plan_swap(ask).await?).into_response());
    }
    Ok(Json(kernel.swap(ask).await?).into_response())
}

/// `POST /api/v1/capsules/{urn}/rollback` with `{discard_state?}` or nothing: goes back to the version before.
pub(crate) async fn rollback(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Swapped>, Problem> {
    let urn = path_urn(urn)?;
    let Back { discard_state } = read_or_default(&app, request).await?;
    let swapped = app.calls.kernel.rollback(urn, Actor::Operator, discard_state).await?;
    Ok(Json(swapped))
}

/// What a swap is to: a version, a digest, or the newest.
fn target(urn: &Urn, to: &str) -> Result<SwapTo, GatewayError> {
    if to == NEWEST {
        return Ok(SwapTo::Newest);
    }
    Ok(match json_guard::capsule("to", &format!("{urn}@{to}"))?.pin {
        Pin::Version(version) => SwapTo::Version(version),
        Pin::Digest(digest) => SwapTo::Digest(digest),
        Pin::Active => SwapTo::Newest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_is_to_a_version_a_digest_or_the_newest_and_to_nothing_else() {
        let urn: Urn = "urn:acme:actionspace:solver:echo:v1".parse().unwrap();
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(target(&urn, "newest"), Ok(SwapTo::Newest));
        assert!(matches!(target(&urn, "1.2.0"), Ok(SwapTo::Version(version)) if version.minor == 2));
        assert!(matches!(target(&urn, &digest), Ok(SwapTo::Digest(_))));
        for bad in ["", "latest", "1.2", "2.0.0", "sha256:00", "1.2.0@1.2.0"] {
            assert!(
                matches!(target(&urn, bad), Err(GatewayError::BadRequest { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_what_changes_the_version_is_given_all_the_time_it_takes() {
        let is = |path: &str| is_swap(&path.parse().unwrap());
        assert!(is("/api/v1/capsules/urn%3Aa/swap") && is("/api/v1/capsules/urn:a/rollback?x=1"));
        for other in [
            "/api/v1/capsules/urn:a/suspend",
            "/api/v1/capsules",
            "/api/v1/registry/swap",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
