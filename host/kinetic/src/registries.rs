//! The registries that a data folder knows by name, and the one that a variable of the environment names.

use kinetic_registry::{Indexes, Registries, Registry, RegistryError, Scope};

use crate::client;
use crate::config::Config;
use crate::data_dir::DataDir;

/// A name users know from older runtimes.
const ECOSYSTEM_URL: &str = "ECOSYSTEM_REGISTRY_URL";
/// What the registry is called that it names.
pub const ECOSYSTEM: &str = "ecosystem";

/// Those of a data folder; its file is read when they are asked. What they say about a namespace with a root document is held
/// against its signed index.
///
/// # Errors
/// [`RegistryError::BadBaseUrl`] of the environment's.
pub fn of(data: &DataDir, config: &Config) -> Result<Registries, RegistryError> {
    let with_token = std::env::var(client::TOKEN).is_ok_and(|token| !token.trim().is_empty());
    let besides = ecosystem(std::env::var(ECOSYSTEM_URL).ok(), with_token)?;
    let registries = Registries::new(data.registries_file(), besides.into_iter().collect());
    let indexes = Indexes::new(data.indexes(), data.trust_file(), config.registry.index_max_age());
    Ok(registries.held_against(indexes).waited_for(config.registry.patience()))
}

fn ecosystem(url: Option<String>, with_token: bool) -> Result<Option<Registry>, RegistryError> {
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Registry {
        name: ECOSYSTEM.into(),
        place: url.parse()?,
        scope: Scope::Global,
        namespaces: Vec::new(),
        ca: None,
        token_env: with_token.then(|| client::TOKEN.into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_users_know_is_a_registry_of_everybodys() {
        assert_eq!(ecosystem(None, true).unwrap(), None);
        assert_eq!(ecosystem(Some(String::new()), true).unwrap(), None);
        let found = ecosystem(Some("http://127.0.0.1:9/".into()), true).unwrap().unwrap();
        assert_eq!(
            (found.name.as_str(), found.place.to_string().as_str(), found.scope),
            ("ecosystem", "http://127.0.0.1:9", Scope::Global)
        );
        assert_eq!(found.token_env.as_deref(), Some("KINETIC_TOKEN"));
        found.check().unwrap();
        assert!(ecosystem(Some("http://registry.example".into()), false).is_err());
    }
}
