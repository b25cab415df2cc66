//! What the registry does not take, and from whom.

use super::*;

#[tokio::test]
async fn nothing_that_a_host_would_refuse_is_stored() {
    let place = Place::new();
    let server = place.starts().await;
    let good = place.publication("1.0.0", b"component");
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    let stranger = SigningKey::generate().unwrap();
    let large = place.publication("1.0.0", &b"\0".repeat(100_001));
    let manifest = good["manifest"].as_str().unwrap();
    let doubled = manifest.replacen('{', r#"{"version":"1.0.0","#, 1);
    for (body, status, code) in [
        (publication(URN, "1.0.0", b"component", &stranger), 403, "KIN-IDN-0027"),
        (
            publication(URN, "1.0.0", b"component", &place.others),
            403,
            "KIN-IDN-0025",
        ),
        (with("component", json!(BASE64.encode("other"))), 422, "KIN-IDN-0028"),
        (
            with("manifest", json!(manifest.replace("Counts", "Takes"))),
            422,
            "KIN-IDN-0028",
        ),
        (with("manifest", json!(doubled)), 422, "KIN-RGS-0017"),
        (with("manifest", json!("{}")), 422, "KIN-RGS-0017"),
        (with("component", json!("not base64!")), 400, "KIN-RGS-0016"),
        (with("more", json!(1)), 400, "KIN-RGS-0016"),
        (large, 413, "KIN-REG-0003"),
    ] {
        assert_eq!(place.publishes(&server, &body).await.refused(status), code, "{body}");
    }
    let doubled = good.to_string().replacen('{', r#"{"component":"","#, 1);
    let path = format!("{CAPABILITIES}/publish");
    let refused = post_as(&server, &path, Some(&place.token), doubled).await;
    assert_eq!(refused.refused(400), "KIN-IDN-0014");
    let endless = " ".repeat(usize::try_from(body_bytes_max(100_000)).unwrap() + 1);
    let refused = post_as(&server, &path, Some(&place.token), endless).await;
    assert_eq!(refused.refused(413), "KIN-RGS-0012");
    for part in ["blobs", "versions", "index"] {
        assert!(!place.path().join("store").join(part).exists(), "{part}");
    }
    assert_eq!(place.publishes(&server, &good).await.status, 201);
    let taken = place.publishes(&server, &place.publication("1.0.0", b"other")).await;
    assert_eq!(taken.refused(409), "KIN-REG-0002");
}

#[tokio::test]
async fn what_only_the_operator_can_mend_is_no_refusal_of_what_is_published() {
    let place = Place::new();
    let server = place.starts().await;
    let good = place.publication("1.0.0", b"component");
    for (file, code) in [("trust.json", "KIN-IDN-0009"), ("tokens.json", "KIN-RGS-0004")] {
        let path = place.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, "{").unwrap();
        assert_eq!(place.publishes(&server, &good).await.refused(500), code);
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(place.publishes(&server, &good).await.status, 201);
}

#[tokio::test]
async fn only_a_token_with_the_right_and_the_namespace_publishes() {
    let place = Place::new();
    let server = place.starts().await;
    let body = place.publication("1.0.0", b"a").to_string();
    let path = format!("{CAPABILITIES}/publish");
    for token in [None, Some("guess")] {
        let refused = post_as(&server, &path, token, body.clone()).await;
        assert_eq!(refused.refused(401), "KIN-RGS-0007");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
    }
    let tokens = place.path().join("tokens.json");
    let of = |name: &str, right| NewToken {
        name: name.into(),
        rights: vec![right],
        namespaces: Namespaces::Only(Vec::new()),
        quota: quota(),
    };
    let reader = add_token(&tokens, of("reader", Right::Read)).unwrap();
    assert_eq!(
        post_as(&server, &path, Some(&reader), body).await.refused(403),
        "KIN-RGS-0008"
    );
    let elsewhere = publication("urn:other:actionspace:solver:words:v1", "1.0.0", b"a", &place.others);
    assert_eq!(place.publishes(&server, &elsewhere).await.refused(403), "KIN-RGS-0009");
    let yank = format!("{CAPABILITIES}/{URN}@1.0.0/yank");
    let reason = json!({ "reason": "x" }).to_string();
    assert_eq!(
        post_as(&server, &yank, Some(&reader), reason).await.refused(403),
        "KIN-RGS-0008"
    );

    let mut private = place.settings();
    private.private = true;
    let private = Place::starts_as(private).await;
    for path in [CAPABILITIES, "/api/v1/registry/index", "/api/v1/registry/search?q=x"] {
        assert_eq!(get_from(&private, path).await.refused(401), "KIN-RGS-0007");
        let bearer = format!("Bearer {reader}");
        assert_eq!(
            get_with(&private, path, &[("authorization", &bearer)]).await.status,
            200
        );
    }
    assert_eq!(get_from(&private, "/healthz").await.status, 200);
    let mut closed = place.settings();
    closed.tokens = None;
    let closed = Place::starts_as(closed).await;
    assert_eq!(
        place
            .publishes(&closed, &place.publication("1.0.0", b"a"))
            .await
            .refused(401),
        "KIN-RGS-0007"
    );
}

#[tokio::test]
async fn quotas_hold_before_anything_is_stored_and_after_a_restart() {
    let size = 3 + manifest(URN, "1.0.0").len() as u64;
    let place = Place::with(Quota {
        bytes_max: size * 2,
        versions_max: 2,
        publications_per_minute_max: 1_000,
    });
    let server = place.starts().await;
    assert_eq!(
        place
            .publishes(&server, &place.publication("1.0.0", b"aaa"))
            .await
            .status,
        201
    );
    let server = place.starts().await;
    let refused = place.publishes(&server, &place.publication("1.0.1", b"bbbb")).await;
    assert_eq!(refused.refused(403), "KIN-RGS-0010");
    assert!(
        !place
            .path()
            .join("store/blobs/sha256")
            .join(Digest::of(b"bbbb").hex())
            .exists()
    );
    assert_eq!(
        place
            .publishes(&server, &place.publication("1.0.1", b"bbb"))
            .await
            .status,
        201
    );
    let refused = place.publishes(&server, &place.publication("1.0.2", b"c")).await;
    assert_eq!(refused.refused(403), "KIN-RGS-0010");
    // What is there takes nothing more.
    assert_eq!(
        place
            .publishes(&server, &place.publication("1.0.0", b"aaa"))
            .await
            .status,
        200
    );

    let hasty = Place::with(Quota {
        publications_per_minute_max: 1,
        ..Quota::default()
    });
    let server = hasty.starts().await;
    assert_eq!(
        hasty.publishes(&server, &hasty.publication("1.0.0", b"a")).await.status,
        201
    );
    let refused = hasty.publishes(&server, &hasty.publication("1.0.1", b"a")).await;
    assert_eq!(refused.refused(429), "KIN-RGS-0011");
    assert_eq!(refused.headers["retry-after"], "60");
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_a_page_of_its_code_also_without_a_token() {
    let place = Place::new();
    let mut private = place.settings();
    private.private = true;
    let server = Place::starts_as(private).await;
    let stranger = SigningKey::generate().unwrap();
    let theirs = publication(URN, "1.0.0", b"component", &stranger);
    for (problem, status, code) in [
        (get_from(&server, CAPABILITIES).await, 401, "KIN-RGS-0007"),
        (get_from(&server, "/nothing").await, 404, "KIN-RGS-0018"),
        (get_from(&server, "/errors/KIN-RGS-9999").await, 404, "KIN-RGS-0030"),
        (place.publishes(&server, &theirs).await, 403, "KIN-IDN-0027"),
    ] {
        assert_eq!(problem.refused(status), code);
        let kind = problem.json()["type"].as_str().unwrap().to_string();
        let page = get_from(&server, &kind).await;
        assert_eq!(page.status, 200, "{kind}");
        for member in ["code", "title", "status"] {
            assert_eq!(page.json()[member], problem.json()[member]);
        }
        let page = get_with(&server, &kind.to_lowercase(), &[("accept", "text/html")]).await;
        let html = String::from_utf8(page.body).unwrap();
        assert!(html.starts_with("<!doctype html>") && html.contains(code), "{html}");
    }
    let all = get_from(&server, "/errors").await.json();
    let all: Vec<_> = all["errors"].as_array().unwrap().iter().collect();
    for info in ServerError::TABLE {
        assert!(all.iter().any(|page| page["code"] == info.code), "{}", info.code);
    }
}
