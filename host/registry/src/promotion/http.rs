//! Promotions of a registry over HTTP.

use kinetic_identity::{PROMOTION_BYTES_MAX, Promotion};
use kinetic_model::CapsuleRef;
use reqwest::Url;
use serde::Serialize;
use serde_json::Value;

use super::{Promoted, answers, reference};
use crate::error::tame;
use crate::{HttpSource, RegistryError, Source as _, wire};

/// The routes' last part, beside that of capabilities.
const ROUTE: &str = "promotions";
/// The largest answer to a publication, in bytes.
const ANSWER_BYTES_MAX: u64 = 65_536;

#[derive(Serialize)]
struct Publication {
    promotion: Value,
}

impl HttpSource {
    /// The promotion that a reference means: `GET /api/v1/registry/promotions/URN@VERSION`. Who signed it is for the caller
    /// to check.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotAnAnswer`] of what is none, [`RegistryError::OtherThanAsked`], and
    /// those of reaching it.
    pub async fn promotion(&self, what: &CapsuleRef) -> Result<Promotion, RegistryError> {
        let asked = what.to_string();
        let request = self.client.get(self.promotions(&asked));
        let response = wire::send(request, self.name(), &format!("promotion {asked}")).await?;
        let bytes = wire::read_bytes(response, self.name(), PROMOTION_BYTES_MAX as u64).await?;
        let promotion = Promotion::from_json(&bytes).map_err(|error| RegistryError::NotAnAnswer {
            origin: self.name().to_string(),
            why: tame(error.to_string().trim_end_matches('.')),
        })?;
        if answers(&promotion, what) {
            return Ok(promotion);
        }
        Err(RegistryError::OtherThanAsked {
            origin: self.name().to_string(),
            asked,
            found: reference(&promotion).to_string(),
        })
    }

    /// Publishes a promotion: `POST /api/v1/registry/promotions/publish`. The same again succeeds.
    ///
    /// # Errors
    /// [`RegistryError::SourceConflict`] when its name has another topology; the other refusals with the registry's own
    /// code and words; [`RegistryError::OtherThanAsked`] when it says that it keeps something else.
    pub async fn publish_promotion(&self, promotion: &Promotion) -> Result<(), RegistryError> {
        let publication = Publication {
            promotion: promotion.to_value(),
        };
        let request = self.client.post(self.promotions("publish")).json(&publication);
        let response = wire::send(request, self.name(), "route to publish promotions to").await?;
        let answer: Promoted = wire::read(response, self.name(), ANSWER_BYTES_MAX).await?;
        let sent = Promoted::of(promotion);
        if answer == sent {
            return Ok(());
        }
        let text = |of: &Promoted| format!("{}@{} ({})", of.urn, of.version, of.digest);
        Err(RegistryError::OtherThanAsked {
            origin: self.name().to_string(),
            asked: text(&sent),
            found: text(&answer),
        })
    }

    fn promotions(&self, below: &str) -> Url {
        let mut url = self.url(&[]);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().push(ROUTE).push(below);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use kinetic_identity::SigningKey;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::HttpOptions;
    use crate::promotion::tests::{URN, promotion};

    async fn serve(routes: Router) -> HttpSource {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mirror", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        HttpSource::new(&url, &HttpOptions::default()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_what_was_asked_for_or_no_answer() {
        let key = SigningKey::generate().unwrap();
        let there = promotion("1.0.0", 1, &key);
        let envelope = there.to_value();
        let route = "/mirror/api/v1/registry/promotions/{reference}";
        let source = serve(Router::new().route(route, get(move || async move { Json(envelope) }))).await;
        let ask = |pin: &str| -> CapsuleRef { format!("{URN}{pin}").parse().unwrap() };
        assert_eq!(source.promotion(&ask("@1.0.0")).await.unwrap(), there);
        assert_eq!(source.promotion(&ask("")).await.unwrap(), there);
        let other = source.promotion(&ask("@1.1.0")).await;
        assert!(matches!(other, Err(RegistryError::OtherThanAsked { .. })));
        let source = serve(Router::new().route(route, get(|| async { "<html>log in first</html>" }))).await;
        let none = source.promotion(&ask("@1.0.0")).await;
        assert!(matches!(none, Err(RegistryError::NotAnAnswer { .. })));
        let source = serve(Router::new()).await;
        let missing = source.promotion(&ask("@1.0.0")).await;
        assert!(matches!(missing, Err(RegistryError::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_publication_says_what_it_is_and_the_answer_must_say_the_same() {
        let key = SigningKey::generate().unwrap();
        let mine = promotion("1.0.0", 1, &key);
        let route = "/mirror/api/v1/registry/promotions/publish";
        let take = post(|Json(body): Json<Value>| async move {
            let taken = Promotion::from_value(&body["promotion"]).unwrap();
            Json(Promoted::of(&taken))
        });
        let source = serve(Router::new().route(route, take)).await;
        source.publish_promotion(&mine).await.unwrap();
        let other = Promoted::of(&promotion("1.0.0", 2, &key));
        let source = serve(Router::new().route(route, post(move || async move { Json(other) }))).await;
        let refused = source.publish_promotion(&mine).await;
        assert!(matches!(refused, Err(RegistryError::OtherThanAsked { .. })));
        for (status, is_conflict) in [(409, true), (422, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            let refuse = post(move || async move { (status, Json(json!({ "code": "X" }))) });
            let source = serve(Router::new().route(route, refuse)).await;
            let refused = source.publish_promotion(&mine).await.unwrap_err();
            assert_eq!(matches!(refused, RegistryError::SourceConflict { .. }), is_conflict);
            assert_eq!(matches!(refused, RegistryError::SourceRefuses { .. }), !is_conflict);
        }
    }
}
