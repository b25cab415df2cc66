//! The pages a problem's `type` points to: what a code means and what to do, as JSON or for a person.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;
use kinetic_model::CodeInfo;
use serde_json::{Value, json};

use crate::GatewayError;
use crate::app::{ErrorTables, Shared};
use crate::error::{status, tame};
use crate::problem::Problem;

/// `GET /errors`: every code.
pub(crate) async fn list(State(app): State<Shared>, headers: HeaderMap) -> Response {
    if !wants_html(&headers) {
        let errors: Vec<_> = app
            .errors
            .iter()
            .flat_map(|(area, table)| table.iter().map(|info| document(area, info)))
            .collect();
        return Json(json!({ "errors": errors })).into_response();
    }
    let section = |(area, table): &(&str, &[CodeInfo])| {
        let rows: String = table.iter().map(row).collect();
        format!("<h2>{}</h2><table>{rows}</table>", escaped(area))
    };
    page("Errors", &app.errors.iter().map(section).collect::<String>())
}

/// `GET /errors/{code}`: one code.
pub(crate) async fn one(
    State(app): State<Shared>,
    headers: HeaderMap,
    code: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let code = code.map(|Path(code)| code).unwrap_or_default();
    let Some((area, info)) = find(app.errors, &code) else {
        return Err(GatewayError::UnknownCode { code: tame(&code) }.into());
    };
    if !wants_html(&headers) {
        return Ok(Json(document(area, info)).into_response());
    }
    let text = format!(
        "<p>{} &middot; HTTP {}</p><table>{}</table>",
        escaped(area),
        status(info.code, info.kind),
        row(info)
    );
    Ok(page(info.code, &text))
}

fn find(tables: ErrorTables, code: &str) -> Option<(&'static str, &'static CodeInfo)> {
    let all = tables
        .iter()
        .flat_map(|(area, table)| table.iter().map(move |info| (*area, info)));
    all.into_iter().find(|(_, info)| info.code.eq_ignore_ascii_case(code))
}

fn document(area: &str, info: &CodeInfo) -> Value {
    json!({
        "code": info.code,
        "name": info.name,
        "area": area,
        "title": info.kind.title(),
        "status": status(info.code, info.kind),
        "detail": info.message,
        "fix": info.fix,
    })
}

fn row(info: &CodeInfo) -> String {
    let [message, fix] = [info.message, info.fix].map(escaped);
    format!(
        "<tr><th><a href=\"/errors/{0}\">{0}</a></th><td>{message}</td><td>{fix}</td></tr>",
        info.code
    )
}

fn page(title: &str, text: &str) -> Response {
    let style = "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}\
                 td,th{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0}th{white-space:nowrap}";
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title} &middot; Kinetic</title>\
         <style>{style}</style><h1>{title}</h1>{text}<p>Words in braces are filled in. <a href=\"/errors\">All codes</a></p></html>"
    );
    Html(html).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"))
}
