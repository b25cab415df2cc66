//! Yanking at a remote registry: saying that a version is not to be used any more, and taking that back.

use kinetic_model::{Digest, Urn};
use reqwest::StatusCode;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{HttpSource, RegistryError, Source, wire};

/// The largest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 65_536;
/// How a registry says that it is one, and does not have that version.
const NOT_FOUND: &str = "KIN-REG-0001";
/// How a registry says that it has nothing of a URN but what was yanked.
const ALL_YANKED: &str = "KIN-RGS-0035";

/// What became of a version, as a registry says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yanked {
    /// The capability.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Why it is not to be used; none when it may be.
    pub yanked: Option<String>,
    /// The version of the namespace's index that says so.
    pub index_version: u64,
}

impl HttpSource {
    /// Yanks a version for a reason of 1 to 200 bytes, or takes that back: `POST /URN@VERSION/yank` or `/unyank`.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] when it has no such version; the refusals with the registry's own code and words, also
    /// that of a host, which has no such route; [`RegistryError::OtherThanAsked`] when it did something else.
    pub async fn yank(&self, urn: &Urn, version: &Version, reason: Option<&str>) -> Result<Yanked, RegistryError> {
        let what = format!("{urn}@{version}");
        let request = match reason {
            Some(reason) => self
                .client
                .post(self.url(&[&what, "yank"]))
                .json(&json!({ "reason": reason })),
            None => self.client.post(self.url(&[&what, "unyank"])),
        };
        let response = wire::sent(request, self.name()).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(match wire::refusal(response, self.name()).await {
                RegistryError::SourceRefuses { code, .. } if code == NOT_FOUND => RegistryError::NotFound {
                    what,
                    origin: self.name().to_string(),
                },
                refused => refused,
            });
        }
        let response = wire::accepted(response, self.name(), &what).await?;
        let answer: Yanked = wire::read(response, self.name(), ANSWER_BYTES_MAX).await?;
        if answer.urn == *urn && answer.version == *version && answer.yanked.as_deref() == reason {
            return Ok(answer);
        }
        let text = |yanked: bool| if yanked { "yanked" } else { "not yanked" };
        Err(RegistryError::OtherThanAsked {
            origin: self.name().to_string(),
            asked: format!("{what} {}", text(reason.is_some())),
            found: format!("{}@{} {}", answer.urn, answer.version, text(answer.yanked.is_some())),
        })
    }
}

/// The error of asking for a URN: what a registry says is yanked as a whole is told as where an index says so.
pub(crate) fn told(error: RegistryError, what: &str) -> RegistryError {
    match error {
        RegistryError::SourceConflict {
            origin, code, detail, ..
        } if code == ALL_YANKED => RegistryError::Yanked {
            what: what.to_string(),
            origin,
            why: detail.trim_end_matches('.').to_string(),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;
    use axum::response::IntoResponse as _;
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::Value;
    use tokio::net::TcpListener;

    use super::*;
    use crate::HttpOptions;

    const URN: &str = "urn:acme:actionspace:solver:words:v1";

    async fn serve(routes: Router) -> HttpSource {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        HttpSource::new(&url, &HttpOptions::default()).unwrap()
    }

    fn answer(version: &str, yanked: Option<&str>) -> Json<Value> {
        let digest = Digest::of(b"component");
        Json(json!({ "urn": URN, "version": version, "digest": digest, "yanked": yanked, "index_version": 7 }))
    }

    #[tokio::test]
    async fn a_version_is_yanked_with_its_reason_and_taken_back_without_one() {
        let below = "/api/v1/registry/capabilities/{reference}";
        let routes = Router::new()
            .route(
                &format!("{below}/yank"),
                post(|Json(body): Json<Value>| async move { answer("1.2.0", body["reason"].as_str()) }),
            )
            .route(&format!("{below}/unyank"), post(|| async { answer("1.2.0", None) }));
        let source = serve(routes).await;
        let (urn, version) = (URN.parse().unwrap(), "1.2.0".parse().unwrap());
        let yanked = source.yank(&urn, &version, Some("it forgets words")).await.unwrap();
        assert_eq!(
            (yanked.yanked.as_deref(), yanked.index_version),
            (Some("it forgets words"), 7)
        );
        assert_eq!(source.yank(&urn, &version, None).await.unwrap().yanked, None);
    }

    #[tokio::test]
    async fn what_a_registry_did_instead_and_what_it_does_not_know_are_told_apart() {
        let below = "/api/v1/registry/capabilities/{reference}";
        let (urn, version) = (URN.parse().unwrap(), "1.2.0".parse().unwrap());
        let other = Router::new()
            .route(&format!("{below}/yank"), post(|| async { answer("1.3.0", Some("x")) }))
            .route(
                &format!("{below}/unyank"),
                post(|| async { answer("1.2.0", Some("x")) }),
            );
        let other = serve(other).await;
        for reason in [Some("x"), None] {
            let refused = other.yank(&urn, &version, reason).await;
            assert!(
                matches!(refused, Err(RegistryError::OtherThanAsked { .. })),
                "{refused:?}"
            );
        }
        for (code, is_missing) in [("KIN-REG-0001", true), ("KIN-GTW-0001", false)] {
            let problem = json!({ "code": code, "detail": "there is nothing", "fix": "look elsewhere" }).to_string();
            let refuse = post(move || async move {
                let headers = [(CONTENT_TYPE, "application/problem+json")];
                (StatusCode::NOT_FOUND, headers, problem).into_response()
            });
            let source = serve(Router::new().route(&format!("{below}/yank"), refuse)).await;
            let refused = source.yank(&urn, &version, Some("x")).await.unwrap_err();
            assert_eq!(
                matches!(refused, RegistryError::NotFound { .. }),
                is_missing,
                "{refused}"
            );
            assert_eq!(
                matches!(refused, RegistryError::SourceRefuses { .. }),
                !is_missing,
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_yanked_as_a_whole_is_told_as_yanked_and_no_other_conflict_is() {
        for (code, is_yanked) in [("KIN-RGS-0035", true), ("KIN-REG-0002", false)] {
            let problem = json!({ "code": code, "detail": "all were yanked: it forgets words." }).to_string();
            let refuse = get(move || async move {
                let headers = [(CONTENT_TYPE, "application/problem+json")];
                (StatusCode::CONFLICT, headers, problem).into_response()
            });
            let source = serve(Router::new().route("/api/v1/registry/capabilities/{reference}", refuse)).await;
            let refused = source.describe(&URN.parse().unwrap()).await.unwrap_err();
            assert_eq!(matches!(refused, RegistryError::Yanked { .. }), is_yanked, "{refused}");
            assert!(refused.to_string().contains("it forgets words"), "{refused}");
        }
    }
}
