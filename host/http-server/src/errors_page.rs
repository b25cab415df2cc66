//! The pages a problem's `type` points to: what a code means and what to do, as JSON or for a person.

use axum::Json;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;
use kinetic_model::{CodeInfo, ErrorKind};
use serde_json::{Value, json};

/// Tables of error codes with their headings, for the pages problems point to.
pub type ErrorTables = &'static [(&'static str, &'static [CodeInfo])];

/// The pages of a server.
#[derive(Clone, Copy)]
pub struct ErrorPages {
    tables: ErrorTables,
    status: fn(&str, ErrorKind) -> u16,
}

impl ErrorPages {
    /// Pages of all codes in these tables; `status` is what a code has at this server.
    pub const fn new(tables: ErrorTables, status: fn(&str, ErrorKind) -> u16) -> Self {
        Self { tables, status }
    }

    /// `GET /errors`: every code.
    pub fn list(self, headers: &HeaderMap) -> Response {
        if !wants_html(headers) {
            let tables = self.tables.iter();
            let all = tables.flat_map(|(area, table)| table.iter().map(move |info| self.document(area, info)));
            return Json(json!({ "errors": all.collect::<Vec<_>>() })).into_response();
        }
        let section = |(area, table): &(&str, &[CodeInfo])| {
            let rows: String = table.iter().map(row).collect();
            format!("<h2>{}</h2><table>{rows}</table>", escaped(area))
        };
        page("Errors", &self.tables.iter().map(section).collect::<String>())
    }

    /// `GET /errors/{code}`, in any case: one code; none when there is no such code.
    pub fn one(self, code: &str, headers: &HeaderMap) -> Option<Response> {
        let (area, info) = self.find(code)?;
        if !wants_html(headers) {
            return Some(Json(self.document(area, info)).into_response());
        }
        let text = format!(
            "<p>{} &middot; HTTP {}</p><table>{}</table>",
            escaped(area),
            (self.status)(info.code, info.kind),
            row(info)
        );
        Some(page(info.code, &text))
    }

    fn find(self, code: &str) -> Option<(&'static str, &'static CodeInfo)> {
        let tables = self.tables.iter();
        let mut all = tables.flat_map(|(area, table)| table.iter().map(move |info| (*area, info)));
        all.find(|(_, info)| info.code.eq_ignore_ascii_case(code))
    }

    fn document(self, area: &str, info: &CodeInfo) -> Value {
        json!({
            "code": info.code,
            "name": info.name,
            "area": area,
            "title": info.kind.title(),
            "status": (self.status)(info.code, info.kind),
            "detail": info.message,
            "fix": info.fix,
        })
    }
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
