//! Where a registry may lead its client, and to whom credentials are sent.

use super::super::client::{guarded_addresses, may_lead};
use super::*;

#[tokio::test]
async fn a_name_that_leads_inside_is_found_out_by_whoever_connects() {
    let found = |from: Option<&'static str>| {
        let from = from.map(|from| from.parse().unwrap());
        guarded_addresses("localhost".parse().unwrap(), from)
    };
    for from in [None, Some("93.184.216.34"), Some("10.0.0.1")] {
        assert!(found(from).await.is_err(), "{from:?}");
    }
    assert!(found(Some("127.0.0.1")).await.unwrap().count() > 0);
}

fn pointing_to(location: String) -> impl Fn() -> Response + Send + Sync + 'static {
    move || (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location.clone())]).into_response()
}

#[tokio::test]
async fn blobs_may_lie_elsewhere_on_the_same_network_and_nowhere_else() {
    let elsewhere = held("1.2.3", COMPONENT).await;
    let host = serve(&elsewhere, nothing_else()).await;
    let there = host.client.url(
        "team/kinetic/solver/redact/v1",
        &["blobs", &wanted().digest.to_string()],
    );
    let source = serve(&elsewhere, at(&component_path(), pointing_to(there.to_string()))).await;
    let described = source.describe(&reference()).await.unwrap();
    assert_eq!(fetch(&source, &described, 1000).await.unwrap(), COMPONENT);
    for inside in [
        "http://169.254.169.254/latest",
        "http://10.0.0.1/x",
        "http://registry.example/x",
        "file:///etc/passwd",
        "https://user:secret@registry.example/x",
    ] {
        let refused = refusal(at(&component_path(), pointing_to(inside.to_string()))).await;
        assert!(
            matches!(refused, RegistryError::LeadsInside { .. }),
            "{inside}: {refused}"
        );
    }
    let refused = refusal(at(&component_path(), pointing_to(component_path()))).await;
    assert!(
        matches!(
            refused,
            RegistryError::Redirected { .. } | RegistryError::NotFound { .. }
        ),
        "it goes round: {refused}"
    );
    let elsewhere = "https://registry.example/x?signature=geheim".to_string();
    let refused = refusal(at("/manifests/", pointing_to(elsewhere))).await;
    assert!(matches!(refused, RegistryError::Redirected { .. }), "{refused}");
    assert!(!refused.to_string().contains("geheim"), "{refused}");
}

#[tokio::test]
async fn a_public_registry_does_not_lead_to_addresses_that_are_not() {
    let address = OciAddress::parse("oci://127.0.0.1:1").unwrap();
    let client = OciClient::new(&address, Credentials::default(), &HttpOptions::default()).unwrap();
    for inside in [
        "https://127.0.0.1/x",
        "https://10.1.2.3/x",
        "https://[fd00::1]/x",
        "https://169.254.169.254/x?signature=geheim",
    ] {
        for from in [None, Some("93.184.216.34".parse().unwrap())] {
            let refused = client.client_for(&inside.parse().unwrap(), from).err().unwrap();
            assert!(matches!(refused, RegistryError::LeadsInside { .. }), "{inside}");
            assert!(!refused.to_string().contains("geheim"));
        }
    }
}

#[test]
fn a_registry_leads_no_farther_inside_than_it_is() {
    let may = |from: &str, to: &str| may_lead(Some(from.parse().unwrap()), to.parse().unwrap());
    for (from, to) in [
        ("93.184.216.34", "93.184.216.35"),
        ("10.0.0.1", "93.184.216.35"),
        ("10.0.0.1", "10.9.9.9"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1"),
    ] {
        assert!(may(from, to), "{from} to {to}");
    }
    for (from, to) in [
        ("93.184.216.34", "10.0.0.1"),
        ("93.184.216.34", "::ffff:10.0.0.1"),
        ("10.0.0.1", "127.0.0.1"),
        ("10.0.0.1", "::1"),
        ("10.0.0.1", "169.254.169.254"),
        ("127.0.0.1", "::ffff:169.254.169.254"),
        ("127.0.0.1", "fe80::1"),
        ("10.0.0.1", "fd00:ec2::254"),
    ] {
        assert!(!may(from, to), "{from} to {to}");
    }
}

#[tokio::test]
async fn an_upload_that_leads_to_another_place_is_refused_before_anything_is_sent_there() {
    let held = Held::default();
    let elsewhere = at("/blobs/uploads/", || {
        let location = [(header::LOCATION, "http://127.0.0.1:1/upload?token=geheim")];
        (StatusCode::ACCEPTED, location).into_response()
    });
    let source = serve(&held, elsewhere).await;
    let refused = source
        .publish(&wanted(), Bytes::from_static(COMPONENT), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, RegistryError::Redirected { .. }), "{refused}");
    assert!(!refused.to_string().contains("geheim"));
}

/// A registry that wants `wanted`, and says so by `challenge`.
fn guarded(challenge: Arc<Mutex<String>>, wanted: &'static str) -> Instead {
    Arc::new(move |request| {
        if request.uri().path() == "/token" {
            let asked = request.uri().query().unwrap_or_default();
            assert!(
                asked.contains("scope=repository%3Ateam%2Fkinetic%2Fsolver%2Fredact%2Fv1%3Apull"),
                "{asked}"
            );
            assert!(asked.contains("service=tests"), "{asked}");
            assert!(request.headers().contains_key(header::AUTHORIZATION));
            return Some(axum::Json(json!({ "token": "given-out" })).into_response());
        }
        let sent = request.headers().get(header::AUTHORIZATION);
        if sent.is_some_and(|sent| sent == wanted) {
            return None;
        }
        let challenge = [(header::WWW_AUTHENTICATE, challenge.lock().clone())];
        let body = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "who are you" }] });
        Some((StatusCode::UNAUTHORIZED, challenge, axum::Json(body)).into_response())
    })
}

/// What `docker login` would have written for that registry: ann, pass.
fn logged_in(source: &OciSource) -> (tempfile::NamedTempFile, Credentials) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let authority = source.address.authority();
    let text = json!({ "auths": { authority: { "auth": "YW5uOnBhc3M=" } } });
    std::fs::write(file.path(), text.to_string()).unwrap();
    let credentials = Credentials::in_file(file.path());
    (file, credentials)
}

#[tokio::test]
async fn name_and_password_or_the_token_they_are_worth_are_sent_when_they_are_asked_for() {
    for (challenge, wanted_header) in [
        ("Basic realm=\"tests\"".to_string(), "Basic YW5uOnBhc3M="),
        (String::new(), "Bearer given-out"),
    ] {
        let shown = Arc::new(Mutex::new(challenge));
        let source = serve(&held("1.2.3", COMPONENT).await, guarded(shown.clone(), wanted_header)).await;
        if shown.lock().is_empty() {
            let authority = source.address.authority();
            *shown.lock() = format!("Bearer realm=\"http://{authority}/token\",service=\"tests\"");
        }
        if wanted_header.starts_with("Basic") {
            let refused = source.describe(&reference()).await;
            let said = "credentials: none";
            assert!(
                matches!(&refused, Err(RegistryError::SourceUnauthenticated { detail, .. }) if detail.contains(said)),
                "{refused:?}"
            );
        }
        let (_file, credentials) = logged_in(&source);
        let source = OciSource::new(&source.address, credentials, &HttpOptions::default()).unwrap();
        assert_eq!(source.describe(&reference()).await.unwrap(), wanted());
    }
}

#[tokio::test]
async fn credentials_are_not_sent_to_a_place_inside_that_the_registry_names() {
    let shown = Arc::new(Mutex::new(
        "Bearer realm=\"http://10.0.0.1/token\",service=\"tests\"".to_string(),
    ));
    let source = serve(&held("1.2.3", COMPONENT).await, guarded(shown, "Bearer given-out")).await;
    let (_file, credentials) = logged_in(&source);
    let source = OciSource::new(&source.address, credentials, &HttpOptions::default()).unwrap();
    let refused = source.describe(&reference()).await;
    assert!(matches!(refused, Err(RegistryError::LeadsInside { .. })), "{refused:?}");
}
