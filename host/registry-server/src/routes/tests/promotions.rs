//! What is promised of promotions: verified before they are kept, kept once, and counted.

use kinetic_identity::Promotion;
use kinetic_samples::promotion;

use super::*;

const NODE: &str = "urn:acme:actionspace:node:plan:v1";
const PROMOTIONS: &str = "/api/v1/registry/promotions";

async fn promotes(place: &Place, server: &Router, promotion: &Promotion) -> Answer {
    let body = json!({ "promotion": promotion.to_value() }).to_string();
    post_as(server, &format!("{PROMOTIONS}/publish"), Some(&place.token), body).await
}

#[tokio::test]
async fn a_promotion_is_kept_once_whoever_signed_it_and_is_there_after_a_restart() {
    let place = Place::with(Quota {
        versions_max: 3,
        ..quota()
    });
    let server = place.starts().await;
    let first = promotion(NODE, "1.0.0", 1, &place.key);
    let expected = json!({ "urn": NODE, "version": "1.0.0", "digest": first.digest() });
    let second_key = SigningKey::load(&place.path().join("index.pem")).unwrap();
    for signed in [&first, &promotion(NODE, "1.0.0", 1, &second_key)] {
        let kept = promotes(&place, &server, signed).await;
        assert_eq!((kept.status, kept.json()), (201, expected.clone()));
    }
    let other = promotes(&place, &server, &promotion(NODE, "1.0.0", 2, &place.key)).await;
    assert_eq!(other.refused(409), "KIN-REG-0070");
    for (version, number) in [("1.10.0", 2), ("1.11.0-rc.1", 3)] {
        let kept = promotes(&place, &server, &promotion(NODE, version, number, &place.key)).await;
        assert_eq!(kept.status, 201);
    }
    let stranger = promotion(NODE, "1.2.0", 4, &place.others);
    assert_eq!(promotes(&place, &server, &stranger).await.refused(403), "KIN-IDN-0025");
    let elsewhere = promotion("urn:other:actionspace:node:plan:v1", "1.0.0", 1, &place.others);
    assert_eq!(promotes(&place, &server, &elsewhere).await.refused(403), "KIN-RGS-0009");
    let body = json!({ "promotion": first.to_value() }).to_string();
    let unnamed = post_as(&server, &format!("{PROMOTIONS}/publish"), None, body).await;
    assert_eq!(unnamed.refused(401), "KIN-RGS-0007");
    for server in [&server, &place.starts().await] {
        let one = get_from(server, &format!("{PROMOTIONS}/{NODE}@1.0.0")).await;
        assert_eq!((one.status, one.json()), (200, first.to_value()));
        let newest = get_from(server, &format!("{PROMOTIONS}/{NODE}")).await;
        assert_eq!(
            Promotion::from_json(&newest.body).unwrap().version().to_string(),
            "1.10.0"
        );
        let missing = get_from(server, &format!("{PROMOTIONS}/{NODE}@1.2.0")).await;
        assert_eq!(missing.refused(404), "KIN-REG-0001");
        let by_digest = get_from(server, &format!("{PROMOTIONS}/{NODE}@{}", first.digest())).await;
        assert_eq!(by_digest.refused(400), "KIN-RGS-0016");
        // Three are there, and the token may have no more; the same again is none.
        let more = promotes(&place, server, &promotion(NODE, "1.12.0", 5, &place.key)).await;
        assert_eq!(more.refused(403), "KIN-RGS-0010");
        assert_eq!(promotes(&place, server, &first).await.status, 201);
    }
}

#[tokio::test]
async fn no_name_is_a_capsules_and_a_promotions() {
    let place = Place::new();
    let server = place.starts().await;
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    let taken = promotes(&place, &server, &promotion(URN, "1.0.0", 1, &place.key)).await;
    assert_eq!(taken.refused(409), "KIN-REG-0070");
    let kept = promotes(&place, &server, &promotion(URN, "1.1.0", 1, &place.key)).await;
    assert_eq!(kept.status, 201);
    for server in [&server, &place.starts().await] {
        let refused = place.publishes(server, &place.publication("1.1.0", b"b")).await;
        assert_eq!(refused.refused(409), "KIN-RGS-0036");
        let there = get_from(server, &format!("{CAPABILITIES}/{URN}@1.1.0")).await;
        assert_eq!(there.refused(404), "KIN-REG-0001");
    }
    // Other versions are free.
    assert_eq!(
        place.publishes(&server, &place.publication("1.2.0", b"b")).await.status,
        201
    );
}
