//! Whose name a registry is asked in: a variable of the environment, or what `docker login` keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::RegistryError;
use crate::descriptor::read_json;

/// The largest of Docker's configuration files read, in bytes.
const CONFIG_BYTES_MAX: u64 = 1_048_576;
/// The longest answer of a helper read, in bytes.
const HELPER_BYTES_MAX: u64 = 65_536;
/// How long a helper may take: it may have to open a keychain.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);
/// What helpers answer of a registry that nobody logged in to.
const NOT_FOUND: &str = "credentials not found";
/// The user name of a token that would have to be exchanged first.
const IDENTITY_TOKEN: &str = "<token>";

/// What is sent to a registry that asks who is there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Nothing.
    Nobody,
    /// A bearer token as it is.
    Token(String),
    /// Name and password.
    Password(String, String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Token(_) => "a token",
            Self::Password(..) => "a name and a password",
        })
    }
}

/// Where credentials come from. They are looked up when a registry asks for them, never before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// A variable that holds `name:password`, or a bearer token.
    variable: Option<String>,
    /// Docker's configuration file.
    docker: Option<PathBuf>,
}

/// Docker's configuration file, as far as it is about credentials.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DockerConfig {
    auths: BTreeMap<String, DockerAuth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerAuth {
    auth: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Where the credentials of one registry are.
enum Kept {
    Nowhere,
    Variable(String),
    File(PathBuf, String),
    Helper(String, Option<String>),
}

impl Credentials {
    /// Those of a variable, or where none is named what `docker login` keeps for this user.
    pub(crate) fn of(variable: Option<&str>) -> Self {
        // One that is set to nothing would mean the folder this process happens to be in.
        let set = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
        let folder = set("DOCKER_CONFIG").map(PathBuf::from);
        let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
        Self {
            variable: variable.map(str::to_string),
            docker: folder.map(|folder| folder.join("config.json")),
        }
    }

    /// Those of a configuration file of Docker.
    #[cfg(test)]
    pub(crate) fn in_file(path: &Path) -> Self {
        Self {
            variable: None,
            docker: Some(path.to_path_buf()),
        }
    }

    /// In words, where those for a registry come from; nothing is asked for them.
    pub(crate) fn origin(&self, authority: &str) -> String {
        match self.kept(authority) {
            Ok(Kept::Nowhere) => "none".into(),
            Ok(Kept::Variable(name)) => format!("the variable {name}"),
            Ok(Kept::File(path, _)) => path.display().to_string(),
            Ok(Kept::Helper(name, _)) => format!("docker-credential-{name}"),
            Err(why) => format!("none: {why}"),
        }
    }

    /// Those for a registry, named by host and port.
    ///
    /// # Errors
    /// [`RegistryError::NoCredentials`] when there should be some and they cannot be had.
    pub(crate) async fn get(&self, authority: &str) -> Result<Credential, RegistryError> {
        let failed = |why: String| RegistryError::NoCredentials {
            origin: authority.into(),
            why,
        };
        match self.kept(authority).map_err(failed)? {
            Kept::Nowhere => Ok(Credential::Nobody),
            Kept::Variable(name) => variable(&name).map_err(failed),
            Kept::File(path, auth) => {
                decoded(&auth).ok_or_else(|| failed(format!("{} holds no name and password for it", path.display())))
            }
            Kept::Helper(name, auth) => {
                let found = ask_helper(&name, authority).await;
                let found = found.map_err(|why| failed(format!("docker-credential-{name}: {why}")))?;
                Ok(match found {
                    Credential::Nobody => auth.as_deref().and_then(decoded).unwrap_or(Credential::Nobody),
                    found => found,
                })
            }
        }
    }

    fn kept(&self, authority: &str) -> Result<Kept, String> {
        if let Some(name) = &self.variable {
            return Ok(Kept::Variable(name.clone()));
        }
        let Some(path) = &self.docker else {
            return Ok(Kept::Nowhere);
        };
        let config = docker_config(path).map_err(|why| format!("{}: {why}", path.display()))?;
        let is_it = |name: &str| {
            let name = name.trim_start_matches("https://").trim_start_matches("http://");
            name.split('/').next() == Some(authority)
        };
        let mut auths = config.auths.iter();
        let auth = auths.find(|(name, _)| is_it(name)).map(|(_, auth)| auth.auth.clone());
        let auth = auth.filter(|auth| !auth.is_empty());
        let mut helpers = config.cred_helpers.iter();
        let helper = helpers.find(|(name, _)| is_it(name)).map(|(_, helper)| helper.clone());
        let store = Some(config.creds_store).filter(|store| !store.is_empty());
        Ok(match (helper.or(store), auth) {
            (Some(helper), auth) => Kept::Helper(helper, auth),
            (None, Some(auth)) => Kept::File(path.clone(), auth),
            (None, None) => Kept::Nowhere,
        })
    }
}

/// `name:password`, or a bearer token.
fn variable(name: &str) -> Result<Credential, String> {
    let text = text_of(name)?;
    Ok(match text.split_once(':') {
        Some((user, password)) => Credential::Password(user.into(), password.into()),
        None => Credential::Token(text),
    })
}

/// The bearer token in a variable.
///
/// # Errors
/// [`RegistryError::NoCredentials`].
pub(crate) fn token(name: &str, origin: &str) -> Result<String, RegistryError> {
    text_of(name).map_err(|why| RegistryError::NoCredentials {
        origin: origin.into(),
        why,
    })
}

fn text_of(variable: &str) -> Result<String, String> {
    let text = std::env::var(variable).map_err(|_| format!("the variable {variable} is not set"))?;
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("the variable {variable} is not one word of visible characters"));
    }
    Ok(text.to_string())
}

fn docker_config(path: &Path) -> Result<DockerConfig, String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(DockerConfig::default()),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    let read = file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(format!("it is larger than {CONFIG_BYTES_MAX} bytes"));
    }
    read_json(&bytes)
}

/// What stands in Docker's file: `name:password` as base64.
fn decoded(auth: &str) -> Option<Credential> {
    let bytes = STANDARD.decode(auth).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    (user != IDENTITY_TOKEN).then(|| Credential::Password(user.into(), password.trim_end_matches('\0').into()))
}

/// Asks `docker-credential-NAME get`.
async fn ask_helper(name: &str, authority: &str) -> Result<Credential, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("that is no name of a program".into());
    }
    let asked = tokio::time::timeout(HELPER_TIMEOUT, run_helper(name, authority)).await;
    let (worked, bytes) = asked
        .map_err(|_| format!("it did not answer within {} s", HELPER_TIMEOUT.as_secs()))?
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > HELPER_BYTES_MAX {
        return Err(format!("it answers more than {HELPER_BYTES_MAX} bytes"));
    }
    if !worked {
        let said = String::from_utf8_lossy(&bytes);
        return if said.contains(NOT_FOUND) {
            Ok(Credential::Nobody)
        } else {
            Err("it failed".into())
        };
    }
    let HelperAnswer { username, secret } = read_json(&bytes).map_err(|_| "it answers no credentials")?;
    if username == IDENTITY_TOKEN {
        return Err("it has an identity token, and only a password or an access token can be used".into());
    }
    Ok(Credential::Password(username, secret))
}

/// Whether it succeeded, and what it said.
async fn run_helper(name: &str, authority: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut helper = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = helper.stdin.take() {
        // One that does not read what it is asked will answer accordingly.
        let _ = input.write_all(authority.as_bytes()).await;
    }
    let mut bytes = Vec::new();
    if let Some(output) = helper.stdout.take() {
        output.take(HELPER_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    }
    let status = helper.wait().await?;
    Ok((status.success(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (tempfile::NamedTempFile, Credentials) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let credentials = Credentials::in_file(file.path());
        (file, credentials)
    }

    #[tokio::test]
    async fn what_docker_login_wrote_is_found_by_host_and_port_whatever_form_the_host_has() {
        let auth = STANDARD.encode("ann:pass:word");
        for name in ["registry.example:5000", "https://registry.example:5000/v1/"] {
            let (file, credentials) = config(&format!(
                r#"{{"auths":{{"{name}":{{"auth":"{auth}"}}}},"psFormat":"x"}}"#
            ));
            let found = credentials.get("registry.example:5000").await.unwrap();
            assert_eq!(found, Credential::Password("ann".into(), "pass:word".into()));
            assert_eq!(
                credentials.origin("registry.example:5000"),
                file.path().display().to_string()
            );
            assert_eq!(credentials.get("registry.example").await.unwrap(), Credential::Nobody);
            assert_eq!(credentials.origin("registry.example"), "none");
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_nobody_and_a_broken_one_an_error() {
        let missing = Credentials::in_file(Path::new("/nonexistent/config.json"));
        assert_eq!(missing.get("h").await.unwrap(), Credential::Nobody);
        for broken in ["{", r#"{"auths":{},"auths":{}}"#, r#"{"auths":{"h":{"auth":"?"}}}"#] {
            let (_file, credentials) = config(broken);
            let refused = credentials.get("h").await;
            assert!(matches!(refused, Err(RegistryError::NoCredentials { .. })), "{broken}");
        }
    }

    #[tokio::test]
    async fn a_helper_is_a_program_of_that_kind_or_an_error() {
        for helper in ["../evil", "", "a b", "surely-not-installed"] {
            let (_file, credentials) = config(&format!(r#"{{"credHelpers":{{"h":"{helper}"}}}}"#));
            let refused = credentials.get("h").await;
            assert!(matches!(refused, Err(RegistryError::NoCredentials { .. })), "{helper}");
        }
        let (_file, credentials) = config(r#"{"credsStore":"pass"}"#);
        assert_eq!(credentials.origin("h"), "docker-credential-pass");
    }

    #[test]
    fn credentials_are_not_shown_by_debugging() {
        let secret = Credential::Password("ann".into(), "geheim".into());
        assert!(!format!("{secret:?} {:?}", Credential::Token("geheim".into())).contains("geheim"));
    }
}
