//! Where each setting comes from: defaults, then the file, then the environment, then flags; unknown names are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[cfg(test)]
use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Config, nearest::nearest};
use crate::error::{self, CliError};

/// The file read when `--config` is not given and it exists.
const FILE: &str = "kinetic.toml";
/// Every environment variable that starts so is a setting.
const PREFIX: &str = "KINETIC_";
/// The exceptions, which are no settings: the binary the SDK's tests run, and the token the client commands send.
const OWN_VARIABLES: [&str; 2] = ["KINETIC_BIN", crate::client::TOKEN];

/// Settings that are paths, or lists of them: a relative one in a file counts from that file.
const PATHS: [&str; 5] = [
    "host.data",
    "kernel.policies",
    "kernel.lock",
    "kernel.watch",
    "crystallization.key",
];

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The settings that have a flag.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--data`
    pub data: Option<PathBuf>,
}

/// The effective configuration, and who set what.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// By dotted name, each setting's value and who set it.
    pub values: BTreeMap<String, (Value, Origin)>,
}

impl Loaded {
    /// Whether nobody set the setting of that dotted name.
    pub fn is_default(&self, key: &str) -> bool {
        self.values
            .get(key)
            .is_none_or(|(_, origin)| *origin == Origin::Default)
    }
}

/// Puts the layers together.
///
/// # Errors
/// An unknown name, a value of the wrong type or out of bounds, or a file that cannot be read.
pub fn load(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Loaded, CliError> {
    let mut values = defaults()?;
    let found = Path::new(FILE);
    if let Some(path) = path.or_else(|| found.exists().then_some(found)) {
        from_file(&mut values, path)?;
    }
    from_environment(&mut values, environment)?;
    from_flags(&mut values, flags);
    assemble(values)
}

/// The defaults, flattened to dotted names: the one list of what can be set.
pub fn defaults() -> Result<BTreeMap<String, (Value, Origin)>, CliError> {
    let table = Table::try_from(Config::default()).map_err(|e| CliError::Unexpected { why: e.to_string() })?;
    let mut values = BTreeMap::new();
    flatten("", table, &mut |key, value| {
        values.insert(key, (value, Origin::Default));
    });
    Ok(values)
}

fn flatten(prefix: &str, table: Table, visit: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(inner) => flatten(&key, inner, visit),
            value => visit(key, value),
        }
    }
}

/// The place of a setting: one that has a default, or a tenant's own, which is like the usual quota of the same name.
fn slot<'v>(values: &'v mut BTreeMap<String, (Value, Origin)>, key: &str) -> Option<&'v mut (Value, Origin)> {
    let usual = key
        .strip_prefix("tenants.")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(_, setting)| values.get(&format!("quota.{setting}")).cloned());
    match usual {
        Some(usual) => Some(values.entry(key.to_string()).or_insert(usual)),
        None => values.get_mut(key),
    }
}

fn unknown(values: &BTreeMap<String, (Value, Origin)>, key: String, place: String) -> CliError {
    let nearest = nearest(&key, values.keys().map(String::as_str)).to_string();
    CliError::UnknownKey { key, place, nearest }
}

fn from_file(values: &mut BTreeMap<String, (Value, Origin)>, path: &Path) -> Result<(), CliError> {
    let text = std::fs::read_to_string(path).map_err(error::file(path))?;
    let place = path.display().to_string();
    let table: Table = text.parse().map_err(|e: toml::de::Error| CliError::BadConfigFile {
        path: place.clone(),
        why: one_line(&e),
    })?;
    let mut set = Vec::new();
    flatten("", table, &mut |key, value| set.push((key, value)));
    for (key, value) in set {
        let Some(slot) = slot(values, &key) else {
            return Err(unknown(values, key, place));
        };
        *slot = (value, Origin::File(path.to_path_buf()));
    }
    // A file that says data = "./data" means the folder beside it, wherever the command is typed.
    for key in PATHS {
        if let Some((value, Origin::File(_))) = values.get_mut(key)
            && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        {
            count_from(folder, value);
        }
    }
    Ok(())
}

fn count_from(folder: &Path, value: &mut Value) {
    match value {
        Value::String(inside) if !inside.is_empty() => *inside = folder.join(&*inside).display().to_string(),
        Value::Array(all) => all.iter_mut().for_each(|one| count_from(folder, one)),
        _ => {}
    }
}

fn from_environment(
    values: &mut BTreeMap<String, (Value, Origin)>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), CliError> {
    let mut set = Vec::new();
    for (name, text) in environment {
        if let Some(rest) = name
            .strip_prefix(PREFIX)
            .filter(|_| !OWN_VARIABLES.contains(&name.as_str()))
        {
            set.push((rest.to_lowercase().replace("__", "."), name, text));
        }
    }
    set.sort();
    for (key, name, text) in set {
        let Some(slot) = slot(values, &key) else {
            return Err(unknown(values, key, format!("the environment variable {name}")));
        };
        let value = typed(&slot.0, &text).ok_or_else(|| CliError::BadValue {
            key,
            place: format!("the environment variable {name}"),
            why: format!("{text:?} is not a {}", slot.0.type_str()),
        })?;
        *slot = (value, Origin::Env(name));
    }
    Ok(())
}

/// Reads an environment variable's text as the type its default has; a list is TOML or separated by commas.
fn typed(like: &Value, text: &str) -> Option<Value> {
    match like {
        Value::Integer(_) => text.trim().replace('_', "").parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) if text.trim_start().starts_with('[') => {
            format!("list = {text}").parse::<Table>().ok()?.remove("list")
        }
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(
                items.map(|item| Value::String(item.to_string())).collect(),
            ))
        }
        _ => Some(Value::String(text.to_string())),
    }
}

fn from_flags(values: &mut BTreeMap<String, (Value, Origin)>, flags: &Flags) {
    let listen = flags
        .listen
        .map(|listen| ("host.listen", listen.to_string(), "--listen"));
    let data = flags
        .data
        .as_ref()
        .map(|data| ("host.data", data.display().to_string(), "--data"));
    for (key, text, flag) in listen.into_iter().chain(data) {
        values.insert(key.to_string(), (Value::String(text), Origin::Flag(flag)));
    }
}

/// Builds the typed configuration; a value of the wrong type is traced back to who set it.
fn assemble(values: BTreeMap<String, (Value, Origin)>) -> Result<Loaded, CliError> {
    let mut root = Table::new();
    for (key, (value, _)) in &values {
        insert(&mut root, key, value.clone());
    }
    let bad = |key: String, why: String| {
        let origin = values.get(&key).map_or(&Origin::Default, |(_, origin)| origin);
        // A list's element is blamed on the list.
        CliError::BadValue {
            place: origin.to_string(),
            key,
            why,
        }
    };
    let config: Config = serde_path_to_error::deserialize(Value::Table(root)).map_err(|e| {
        let path = e.path().to_string();
        bad(path.split('[').next().unwrap_or(&path).to_string(), one_line(e.inner()))
    })?;
    if let Some((key, why)) = config.fault() {
        return Err(bad(key, why));
    }
    Ok(Loaded { config, values })
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn one_line(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches('.')
        .to_string()
}

/// Reads a configuration text alone, without file or environment; every key must be there.
#[cfg(test)]
pub fn parse(text: &str) -> Result<Config, toml::de::Error> {
    Config::deserialize(toml::Deserializer::parse(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = file("[host]\nlisten = \"127.0.0.1:1\"\ndrain_ms = 5\nlog = \"warn\"\n");
        let env = env(&[
            ("KINETIC_HOST__LISTEN", "127.0.0.1:2"),
            ("KINETIC_HOST__LOG", "debug"),
            ("HOME", "/"),
        ]);
        let flags = Flags {
            listen: Some(([127, 0, 0, 1], 3).into()),
            data: None,
        };
        let loaded = load(Some(file.path()), env, &flags).unwrap();
        assert_eq!(loaded.config.host.listen.port(), 3);
        assert_eq!(
            (loaded.config.host.log.as_str(), loaded.config.host.drain_ms),
            ("debug", 5)
        );
        assert_eq!(loaded.values["host.listen"].1, Origin::Flag("--listen"));
        assert_eq!(loaded.values["host.log"].1, Origin::Env("KINETIC_HOST__LOG".into()));
        assert!(matches!(loaded.values["host.drain_ms"].1, Origin::File(_)));
        assert!(loaded.is_default("engine.tick_ms"));
    }

    #[test]
    fn an_unknown_key_in_the_file_is_refused_with_the_nearest_known_name() {
        let file = file("[gateway]\nbody_byte_max = 5\n");
        let error = load(Some(file.path()), env(&[]), &Flags::default()).unwrap_err();
        assert!(
            matches!(&error, CliError::UnknownKey { nearest, .. } if nearest == "gateway.body_bytes_max"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_environment_variable_is_refused_with_the_nearest_known_name() {
        let error = load(None, env(&[("KINETIC_HOST__LISTE", "x")]), &Flags::default()).unwrap_err();
        assert!(
            matches!(&error, CliError::UnknownKey { nearest, .. } if nearest == "host.listen"),
            "{error}"
        );
        load(
            None,
            env(&[("KINETIC_BIN", "/bin/kinetic"), ("KINETIC_TOKEN", "t")]),
            &Flags::default(),
        )
        .unwrap();
    }

    #[test]
    fn nested_sections_and_lists_come_from_the_environment() {
        let env = env(&[
            ("KINETIC_LIMITS__CEILING__FUEL", "1_000"),
            ("KINETIC_HTTP__ALLOWED_HOSTS", "example.com, *.example.org"),
            ("KINETIC_ENGINE__CODE_CACHE", "false"),
        ]);
        let config = load(None, env, &Flags::default()).unwrap().config;
        assert_eq!(config.limits.ceiling.fuel, 1_000);
        assert_eq!(config.http.allowed_hosts, ["example.com", "*.example.org"]);
        assert!(!config.engine.code_cache);
    }

    #[test]
    fn a_tenant_of_any_name_has_the_settings_of_the_usual_quota_and_no_others() {
        let file = file("[tenants.acme]\nweight = 7\n[tenants.acme_2]\ncalls_running_max = 3\n");
        let env = env(&[("KINETIC_TENANTS__ACME__FUEL_PER_S_MAX", "5_000")]);
        let config = load(Some(file.path()), env, &Flags::default()).unwrap().config;
        let settings = config.zone_settings();
        let (acme, other) = (settings.tenants["acme"], settings.tenants["acme_2"]);
        assert_eq!(
            (acme.weight, acme.fuel_per_s_max, other.calls_running_max),
            (7, 5_000, 3)
        );
        assert_eq!(other.weight, settings.quota.weight);
        for text in [
            "[tenants.acme]\nweigth = 7\n",
            "[tenants]\nweight = 7\n",
            "[tenants.a.b]\nweight = 7\n",
        ] {
            let file = self::file(text);
            let error = load(Some(file.path()), self::env(&[]), &Flags::default()).unwrap_err();
            assert!(matches!(error, CliError::UnknownKey { .. }), "{text}: {error}");
        }
        let file = self::file("[tenants.acme]\nweight = 0\n");
        let error = load(Some(file.path()), self::env(&[]), &Flags::default()).unwrap_err();
        assert!(
            matches!(&error, CliError::BadValue { key, .. } if key == "tenants.acme.weight"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_key_and_who_set_it() {
        let cases = [
            ("KINETIC_HOST__DRAIN_MS", "soon", "host.drain_ms"),
            ("KINETIC_HOST__LISTEN", "nowhere", "host.listen"),
            ("KINETIC_ENGINE__TICK_MS", "-1", "engine.tick_ms"),
            ("KINETIC_ENGINE__TICK_MS", "0", "engine.tick_ms"),
            ("KINETIC_HOST__TOKEN_SHA256", "abc", "host.token_sha256"),
            ("KINETIC_HOST__LOG_FORMAT", "xml", "host.log_format"),
        ];
        for (name, text, expected) in cases {
            let error = load(None, env(&[(name, text)]), &Flags::default()).unwrap_err();
            let CliError::BadValue { key, place, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(key, expected);
            assert!(place.contains(name), "{place}");
        }
    }

    #[test]
    fn a_ceiling_can_be_lowered_and_never_raised() {
        let lowered = env(&[("KINETIC_LIMITS__CEILING__WALL_TIME_MS", "100")]);
        assert_eq!(
            load(None, lowered, &Flags::default())
                .unwrap()
                .config
                .limits
                .ceiling
                .wall_time_ms,
            100
        );
        for text in ["300001", "0"] {
            let env = env(&[("KINETIC_LIMITS__CEILING__WALL_TIME_MS", text)]);
            assert!(load(None, env, &Flags::default()).is_err());
        }
    }

    #[test]
    fn a_relative_path_in_a_file_counts_from_the_file_and_none_stays_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load(Some(&path), env(&[]), &Flags::default()).unwrap().config
        };
        let config = load("[host]\ndata = \"here\"\n[kernel]\npolicies = \"p.cedar\"\n");
        assert_eq!(config.host.data, folder.path().join("here"));
        assert_eq!(config.kernel.policies, folder.path().join("p.cedar"));
        assert_eq!(load("[kernel]\npolicies = \"\"\n").kernel.policies, PathBuf::new());
        let watched = load("[kernel]\nwatch = [\"here\", \"/there\"]\n").kernel.watch;
        assert_eq!(watched, [folder.path().join("here"), PathBuf::from("/there")]);
    }

    #[test]
    fn a_section_that_is_no_table_is_refused() {
        let file = file("host = 3\n");
        assert!(matches!(
            load(Some(file.path()), env(&[]), &Flags::default()),
            Err(CliError::UnknownKey { .. })
        ));
    }

    #[test]
    fn listening_beyond_loopback_needs_a_token() {
        let mut config = Config::default();
        crate::config::may_listen(&config).unwrap();
        config.host.listen = ([0, 0, 0, 0], 8000).into();
        assert!(matches!(
            crate::config::may_listen(&config),
            Err(CliError::TokenNeeded { .. })
        ));
        config.host.token_sha256 = "a".repeat(64);
        crate::config::may_listen(&config).unwrap();
    }
}
