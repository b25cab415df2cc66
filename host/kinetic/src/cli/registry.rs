//! `kinetic registry`: where else capsules come from, and go to; and a registry of one's own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_registry::{Place, Registries, Registry as Known, Scope};
use serde_json::{Value, json};

use super::registry_index::Index;
use super::{Context, registry_serve, registry_token, registry_yank};
use crate::data_dir::DataDir;
use crate::error::{self, CliError};
use crate::{client, registries, render};

/// How variables begin that are settings, of which none can hold a token.
const SETTINGS: &str = "KINETIC_";

/// Say by name where else capsules come from, and where they are published to
///
/// A place is an OCI registry (oci://HOST[:PORT][/PREFIX]), another Kinetic host (https://..., or
/// http:// on this machine), or a folder (dir:PATH). The names lie in registries.json in the data
/// folder; a running host takes a change at its next question. The folder is --data, else that
/// of the host running on this machine, else ./data.
///
/// What a host has not in its own store it asks for by URN: local registries before those of the
/// tenant, and these before global ones, within a scope in the order they were added. A
/// namespace that was given to a registry is asked of nobody else, and that registry is asked for
/// nothing else. Two registries that hold different things as one version are both refused.
///
/// For OCI the credentials of `docker login` are used, its helpers too, unless --token-env names
/// a variable: a bearer token, or for OCI also name:password. The variable is read where the
/// request is made: by the host, or by the command.
///
///     kinetic registry add acme oci://registry.example.com/team --namespace acme
///     kinetic registry add site dir:/srv/capsules --scope local
///     kinetic registry list
///
/// A registry of one's own is served by `kinetic registry serve`; `kinetic registry token` says
/// who may publish there, and `kinetic registry yank` takes a version back.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Registry {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a registry known
    Add {
        /// What to call it: lower-case letters, digits, hyphens and underscores
        name: String,
        /// Where it is: oci://HOST[:PORT][/PREFIX], https://HOST, http:// on this machine, or dir:PATH
        place: String,
        /// How near it is: the nearer is asked first
        #[arg(long, value_name = "local|tenant|global", default_value_t)]
        scope: Scope,
        /// A namespace that it alone is asked for, and no other; may be given several times
        #[arg(long = "namespace", value_name = "NAMESPACE")]
        namespaces: Vec<String>,
        /// Certificates in PEM form that alone vouch for it [default: those of this machine]
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// The environment variable that holds its token [default for oci://: what `docker login` keeps]
        #[arg(long, value_name = "VARIABLE")]
        token_env: Option<String>,
    },
    /// Show all, in the order they are asked in, and where their credentials come from
    List,
    Index(Index),
    /// Forget a registry; what came from it stays
    Remove {
        /// Its name
        name: String,
    },
    Serve(registry_serve::Serve),
    Token(registry_token::Token),
    Yank(registry_yank::Yank),
}

impl Registry {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Add {
                name,
                place,
                scope,
                namespaces,
                ca,
                token_env,
            } => {
                let known = Known {
                    name,
                    place: absolute(place.parse()?)?,
                    scope,
                    namespaces,
                    ca: ca
                        .map(|path| std::path::absolute(&path).map_err(error::file(&path)))
                        .transpose()?,
                    token_env,
                };
                add(context, known)
            }
            What::List => list(context),
            What::Index(index) => index.run(context),
            What::Remove { name } => {
                let data = DataDir::existing(&context.data()?)?;
                Registries::remove(&data.registries_file(), &name)?;
                context.print(&json!({ "removed": name }), || format!("{name} is forgotten"));
                Ok(ExitCode::SUCCESS)
            }
            What::Serve(command) => command.run(context),
            What::Token(command) => command.run(context),
            What::Yank(command) => command.run(context),
        }
    }
}

/// A folder is meant from where the command is typed, and the host may run elsewhere.
fn absolute(place: Place) -> anyhow::Result<Place> {
    Ok(match place {
        Place::Folder(path) => Place::Folder(std::path::absolute(&path).map_err(error::file(&path))?),
        other => other,
    })
}

fn add(context: &Context, known: Known) -> anyhow::Result<ExitCode> {
    known.check()?;
    let is_setting = |name: &String| name.starts_with(SETTINGS) && name != client::TOKEN;
    let why = if known.name == registries::ECOSYSTEM {
        Some("that name is for the registry that the variable ECOSYSTEM_REGISTRY_URL names")
    } else if known.token_env.as_ref().is_some_and(is_setting) {
        Some("a variable that begins with KINETIC_ is a setting; give the token's another name")
    } else {
        None
    };
    if let Some(why) = why {
        return Err(CliError::BadArgument { why: why.into() }.into());
    }
    let data = DataDir::open(&context.data()?)?;
    Registries::add(&data.registries_file(), known.clone())?;
    context.print(&entry(&known), || {
        let (label, scope) = (known.label(), known.scope);
        let asked = if known.namespaces.is_empty() {
            "for what no registry was given".to_string()
        } else {
            format!("for {} and nothing else", known.namespaces.join(", "))
        };
        let data = data.root().display();
        format!(
            "{label} is known to the host with data folder {data}: {scope}, asked {asked}\ncredentials: {}",
            known.credentials()
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> anyhow::Result<ExitCode> {
    let data = DataDir::existing(&context.data()?)?;
    let known = registries::of(&data, &context.load(None)?.config)?.list()?;
    let entries: Value = known.iter().map(entry).collect();
    context.print(&json!({ "data": data.root(), "registries": entries }), || {
        if known.is_empty() {
            return "no registry is known: capsules come from the host's own store".to_string();
        }
        let heading = ["NAME", "SCOPE", "PLACE", "NAMESPACES", "CREDENTIALS"].map(String::from);
        let mut rows = vec![heading.to_vec()];
        rows.extend(known.iter().map(|known| {
            let namespaces = if known.namespaces.is_empty() {
                "all others".to_string()
            } else {
                known.namespaces.join(", ")
            };
            vec![
                known.name.clone(),
                known.scope.to_string(),
                known.place.to_string(),
                namespaces,
                known.credentials(),
            ]
        }));
        render::table(&rows)
    });
    Ok(ExitCode::SUCCESS)
}

fn entry(known: &Known) -> Value {
    json!({
        "name": known.name,
        "place": known.place,
        "scope": known.scope,
        "namespaces": known.namespaces,
        "ca": known.ca,
        "token_env": known.token_env,
        "credentials": known.credentials(),
    })
}
