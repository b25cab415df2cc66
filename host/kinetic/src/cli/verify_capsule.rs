//! `kinetic verify URN`: everything that can be checked about one version of a capsule, each step told.

use std::process::ExitCode;

use kinetic_kernel::{Checked, Outcome};
use kinetic_model::CapsuleRef;

use super::{Context, EXIT_FAILED};
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::{boot, render};

/// Checks what a reference means, at one registry or wherever it is found first.
pub(super) fn run(context: &Context, what: &CapsuleRef, from: Option<&str>) -> anyhow::Result<ExitCode> {
    let config = context.load(None)?.config;
    let data = DataDir::existing(&context.data()?)?;
    let checked = super::block_on(async {
        let kernel = boot::pulling_kernel(&config, &data)?;
        Ok(kernel.check(what, from).await)
    })?;
    let document = serde_json::to_value(&checked)?;
    if checked.ok {
        context.print(&document, || shown(&checked));
        return Ok(ExitCode::SUCCESS);
    }
    let refused = checked.checks.iter().find(|check| check.outcome == Outcome::Refused);
    let refused = refused.map_or_else(String::new, |check| {
        let detail = check.detail.trim_end_matches('.');
        format!("{}: {} {detail}", check.name, check.code.unwrap_or_default())
    });
    let fault = (&CliError::NotVerified {
        what: checked.asked.clone(),
        refused,
    })
        .into();
    context.print_refused(document, &fault, || shown(&checked));
    Ok(ExitCode::from(EXIT_FAILED))
}

fn shown(checked: &Checked) -> String {
    let rows: Vec<_> = checked
        .checks
        .iter()
        .map(|check| {
            let outcome = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Absent => "-",
                Outcome::Refused => "refused",
            };
            let code = check.code.map_or_else(String::new, |code| format!("{code}: "));
            vec![
                check.name.to_string(),
                outcome.to_string(),
                format!("{code}{}", check.detail),
            ]
        })
        .collect();
    let named = match (&checked.urn, &checked.version) {
        (Some(urn), Some(version)) => format!("{urn} {version}"),
        _ => checked.asked.clone(),
    };
    format!("{named}\n{}", render::table(&rows))
}

#[cfg(test)]
mod tests {
    use kinetic_kernel::Check;

    use super::*;

    #[test]
    fn each_check_is_a_line_and_what_was_refused_says_its_code() {
        let check = |name, outcome, detail: &str, code| Check {
            name,
            outcome,
            detail: detail.into(),
            code,
            fix: None,
        };
        let checked = Checked {
            asked: "urn:a@1.0.0".into(),
            urn: None,
            version: None,
            digest: None,
            ok: false,
            checks: vec![
                check("source", Outcome::Passed, "team", None),
                check("lock", Outcome::Absent, "none", None),
                check("receipt", Outcome::Refused, "no.", Some("KIN-X-1")),
            ],
        };
        let text = shown(&checked);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "urn:a@1.0.0");
        assert!(lines[1].starts_with("source ") && lines[1].ends_with(" team"), "{text}");
        assert!(lines[3].ends_with("refused  KIN-X-1: no."), "{text}");
    }
}
