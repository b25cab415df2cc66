//! The registry's routes, spoken by the client that is made for them.

use kinetic_model::{CapsuleRef, Digest};
use kinetic_registry::{HttpOptions, HttpSource, RegistryError, Source as _, fetch};
use reqwest::Method;
use serde_json::json;

use crate::host::{ECHO, Host, Publication, problem};

const ROUTES: &str = "/api/v1/registry/capabilities";

fn source(host: &Host) -> HttpSource {
    HttpSource::new(&host.url, &HttpOptions::default()).unwrap()
}

#[tokio::test]
async fn what_is_published_is_active_listed_described_and_downloaded_whole() {
    let host = Host::empty(|_| {}).await;
    let source = source(&host);
    let Publication {
        manifest,
        receipt,
        component,
    } = host.publication("echo", "1.0.0");
    let published = source.publish(&manifest, &receipt, &component).await.unwrap();
    assert_eq!(
        (published.urn.as_str(), published.digest),
        (ECHO, Digest::of(&component))
    );
    assert_eq!(host.kernel.list().len(), 1);
    let listed = source.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].size_bytes), (1, component.len() as u64));
    let what: CapsuleRef = format!("{ECHO}@1.0.0").parse().unwrap();
    let descriptor = source.describe(&what).await.unwrap();
    assert_eq!((&descriptor.manifest, &descriptor.receipt), (&manifest, &receipt));
    assert_eq!(fetch(&source, &descriptor, 1 << 20).await.unwrap(), component);
    let download = host.get(&format!("{ROUTES}/{ECHO}/download")).await;
    assert_eq!(
        download.headers()["content-length"],
        component.len().to_string().as_str()
    );
    assert_eq!(download.headers()["content-type"], "application/wasm");
}

#[tokio::test]
async fn the_rest_of_a_component_is_answered_and_of_another_content_all_of_it() {
    let host = Host::start().await;
    let component = host.publication("echo", "1.0.0").component;
    let size = component.len();
    let url = format!("{}{ROUTES}/{ECHO}/download", host.url);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let whole = client.get(&url).send().await.unwrap();
    assert_eq!(whole.status().as_u16(), 200);
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    let tag = whole.headers()["etag"].clone();
    assert_eq!(tag, format!("\"{}\"", Digest::of(&component)).as_str());
    let asked = |range: String, tag: &str| {
        let request = client.get(&url).header("range", range).header("if-range", tag);
        async move {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            (status, headers, response.bytes().await.unwrap())
        }
    };
    for from in [1, size / 2, size - 1] {
        let (status, headers, bytes) = asked(format!("bytes={from}-"), tag.to_str().unwrap()).await;
        assert_eq!(status, 206);
        assert_eq!(
            headers["content-range"],
            format!("bytes {from}-{}/{size}", size - 1).as_str()
        );
        assert_eq!(headers["content-length"], (size - from).to_string().as_str());
        assert_eq!(bytes, component[from..]);
    }
    let (status, _, bytes) = asked("bytes=10-19".into(), tag.to_str().unwrap()).await;
    assert_eq!((status, &bytes[..]), (206, &component[10..20]));
    for (range, tag) in [
        ("bytes=10-", "\"other\""),
        (&*format!("bytes={size}-"), tag.to_str().unwrap()),
    ] {
        let (status, _, bytes) = asked(range.to_string(), tag).await;
        assert_eq!((status, bytes.len()), (200, size), "{range}");
    }
}

#[tokio::test]
async fn a_version_never_changes_and_what_nobody_signed_is_refused() {
    let host = Host::start().await;
    let source = source(&host);
    let mut other = host.publication("echo", "1.0.0");
    other.manifest = other.manifest.replace("each way", "every way");
    let taken = source.publish(&other.manifest, &other.receipt, &other.component).await;
    assert!(matches!(taken, Err(RegistryError::SourceConflict { code, .. }) if code == "KIN-REG-0002"));
    let new = host.publication("echo", "1.1.0");
    let forged = source.publish(&new.manifest, &other.receipt, &new.component).await;
    assert!(forged.is_err());
    assert_eq!(host.kernel.list()[0].manifest.version.to_string(), "1.0.0");
    let quarantined = crate::host::json_of(host.get("/api/v1/quarantine").await).await;
    assert_eq!(quarantined["quarantined"][0]["step"], "receipt");
    assert!(quarantined["quarantined"][0]["fix"].is_string());
}

#[tokio::test]
async fn what_is_not_there_is_not_found_on_every_route() {
    let host = Host::empty(|_| {}).await;
    let what: CapsuleRef = ECHO.parse().unwrap();
    assert!(matches!(
        source(&host).describe(&what).await,
        Err(RegistryError::NotFound { .. })
    ));
    problem(host.get(&format!("{ROUTES}/{ECHO}")).await, 404, "KIN-REG-0001").await;
    problem(
        host.get(&format!("{ROUTES}/{ECHO}/download")).await,
        404,
        "KIN-REG-0001",
    )
    .await;
    problem(host.get(&format!("{ROUTES}/nonsense")).await, 400, "KIN-GWY-0016").await;
}

#[tokio::test]
async fn a_malformed_publication_says_what_is_wrong() {
    let host = Host::empty(|_| {}).await;
    for body in [
        json!({ "manifest": "{}", "receipt": {} }),
        json!({ "manifest": "{}", "receipt": {}, "component": "not base64!" }),
        json!({ "manifest": {}, "receipt": {}, "component": "" }),
        json!({ "manifest": "{}", "receipt": {}, "component": "", "force": true }),
    ] {
        let refused = host
            .request(Method::POST, &format!("{ROUTES}/publish"))
            .json(&body)
            .send()
            .await
            .unwrap();
        problem(refused, 400, "KIN-GWY-0016").await;
    }
    let empty = json!({ "manifest": "{}", "receipt": {}, "component": "" });
    let refused = host
        .request(Method::POST, &format!("{ROUTES}/publish"))
        .json(&empty)
        .send()
        .await
        .unwrap();
    problem(refused, 422, "KIN-KER-0001").await;
}

#[tokio::test]
async fn a_host_that_does_not_trust_the_publishers_key_refuses_what_it_fetched() {
    let publisher = Host::start().await;
    let what: CapsuleRef = ECHO.parse().unwrap();
    let descriptor = source(&publisher).describe(&what).await.unwrap();
    // Another host does not trust the publisher's key, so the bytes arrive and are refused.
    let stranger = Host::empty(|_| {}).await;
    let bytes = fetch(&source(&publisher), &descriptor, 1 << 20).await.unwrap();
    let refused = stranger
        .kernel
        .publish(descriptor.manifest, descriptor.receipt, bytes.into_bytes())
        .await;
    assert_eq!(refused.unwrap_err().kind, kinetic_model::ErrorKind::Security);
}
