//! What else a host is asked for as a registry: the signed index of a namespace, and a search by words.

use kinetic_identity::INDEX_BYTES_MAX;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::HttpSource;
use crate::source::{FoundThere, IndexAnswer};
use crate::{RegistryError, wire};

/// The largest answer to a search read, in bytes.
const FOUND_BYTES_MAX: u64 = 4_194_304;
/// The longest tag that is kept and said again, in bytes.
const TAG_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
struct Found {
    hits: Vec<FoundThere>,
}

impl HttpSource {
    /// The URL of a route beside the capabilities: `<base>/api/v1/registry/<below>...`.
    fn beside(&self, below: &[&str]) -> Url {
        let mut url = self.url(&[]);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().extend(below);
        }
        url
    }

    /// `GET /index/{namespace}`, unless the index is the one of that tag.
    pub(super) async fn ask_index(&self, namespace: &str, tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        let mut request = self.client.get(self.beside(&["index", namespace]));
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = request
            .send()
            .await
            .map_err(|error| wire::unreachable(&self.name, &error))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if tag.is_some() => return Ok(IndexAnswer::Same),
            StatusCode::NOT_FOUND => return Ok(IndexAnswer::Nothing),
            _ => {}
        }
        let response = wire::accepted(response, &self.name, "index").await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.filter(|tag| tag.len() <= TAG_BYTES_MAX).map(str::to_string);
        let bytes = wire::read_bytes(response, &self.name, INDEX_BYTES_MAX as u64).await?;
        Ok(IndexAnswer::Index {
            bytes: bytes.into(),
            tag,
        })
    }

    /// `GET /search?q=&limit=`; none where there is no such route.
    pub(super) async fn ask_search(&self, words: &str, limit: usize) -> Result<Option<Vec<FoundThere>>, RegistryError> {
        let mut url = self.beside(&["search"]);
        url.query_pairs_mut()
            .append_pair("q", words)
            .append_pair("limit", &limit.to_string());
        let response = match wire::send(self.client.get(url), &self.name, "search").await {
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            response => response?,
        };
        let Found { mut hits } = wire::read(response, &self.name, FOUND_BYTES_MAX).await?;
        hits.truncate(limit);
        Ok(Some(hits))
    }
}
