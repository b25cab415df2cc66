//! As much of a URL as a request needs: scheme, authority, path with query; and where a redirect leads (RFC 3986).

/// An absolute http or https URL without its fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub tls: bool,
    /// Host and, if given, port.
    pub authority: String,
    /// Path and query; begins with `/`.
    pub path: String,
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Neither http nor https.
    Scheme,
    /// No host, or one with characters no host has.
    Host,
    /// A name or password in front of the host, which would be sent to the server.
    Credentials,
    /// White space or control characters.
    Characters,
    /// Longer than 8 KiB.
    Length,
}

impl UrlError {
    /// The sentence.
    pub fn text(self) -> &'static str {
        match self {
            Self::Scheme => "it begins with neither http:// nor https://",
            Self::Host => "it has no host, or one with characters that no host has",
            Self::Credentials => "it has a user name in front of the host",
            Self::Characters => "it has white space or control characters in it; write them as %20",
            Self::Length => "it is longer than 8 KiB",
        }
    }
}

const URL_BYTES_MAX: usize = 8192;

impl Url {
    /// Parses an absolute URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::Length);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at).ok_or(UrlError::Host)?;
        if authority.contains('@') {
            return Err(UrlError::Credentials);
        }
        let known = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
        if authority.is_empty() || authority.starts_with(':') || !authority.chars().all(known) {
            return Err(UrlError::Host);
        }
        let path = if path.starts_with('/') {
            path.to_string()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            tls,
            authority: authority.to_ascii_lowercase(),
            path: escaped(&path),
        })
    }

    /// Where `location` leads from here.
    ///
    /// # Errors
    /// What is wrong with the result.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.trim();
        let location = location.split_once('#').map_or(location, |(before, _)| before);
        let scheme = if self.tls { "https" } else { "http" };
        let is_scheme = |name: &str| {
            name.starts_with(|char: char| char.is_ascii_alphabetic())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let parted = location
            .find([':', '/', '?'])
            .and_then(|at| location.split_at_checked(at));
        if parted.is_some_and(|(name, rest)| rest.starts_with(':') && is_scheme(name)) {
            return Self::parse(location);
        }
        let path = self.path.split('?').next().unwrap_or("/");
        let folder = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
        let target = match location {
            _ if location.starts_with("//") => return Self::parse(&format!("{scheme}:{location}")),
            _ if location.starts_with('/') => location.to_string(),
            _ if location.starts_with('?') => format!("{path}{location}"),
            _ if location.is_empty() => self.path.clone(),
            _ => format!("{folder}{location}"),
        };
        Self::parse(&format!("{scheme}://{}{}", self.authority, without_dots(&target)))
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}://{}{}",
            if self.tls { "https" } else { "http" },
            self.authority,
            self.path
        )
    }
}

/// Characters beyond ASCII as percent-encoded UTF-8.
fn escaped(path: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// RFC 3986, 5.2.4: `.` and `..` are taken out of the path; the query stays.
fn without_dots(target: &str) -> String {
    let (path, query) = target
        .split_at_checked(target.find('?').unwrap_or(target.len()))
        .unwrap_or((target, ""));
    let mut kept: Vec<&str> = Vec::new();
    let last = path.rsplit('/').next().unwrap_or_default();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    if matches!(last, "." | "..") {
        kept.push("");
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_taken_apart_and_put_together() {
        for (text, printed) in [
            ("http://Example.COM", "http://example.com/"),
            ("https://a.b:8443/x/y?q=1#part", "https://a.b:8443/x/y?q=1"),
            ("http://[::1]:80?q", "http://[::1]:80/?q"),
            ("https://a.b/ü", "https://a.b/%C3%BC"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_no_request_could_be_made_of_is_refused() {
        for (text, error) in [
            ("example.com", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("http:///x", UrlError::Host),
            ("http://a\\b/", UrlError::Host),
            ("http://user:pw@a.b/", UrlError::Credentials),
            ("http://a.b/x y", UrlError::Characters),
            ("http://a.b/\r\nHost: c", UrlError::Characters),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn redirects_lead_where_rfc_3986_says() {
        let base = Url::parse("http://a/b/c/d?q").unwrap();
        for (location, to) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("/g", "http://a/g"),
            ("//h/x", "http://h/x"),
            ("?y", "http://a/b/c/d?y"),
            ("g?u=http://x/", "http://a/b/c/g?u=http://x/"),
            ("https://e.f/", "https://e.f/"),
            ("..", "http://a/b/"),
            ("g#s/../x", "http://a/b/c/g"),
            ("#s", "http://a/b/c/d?q"),
            ("g/a:b", "http://a/b/c/g/a:b"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), to, "{location}");
        }
        for location in [
            "mailto:a@b.c",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a/",
            "http:g",
        ] {
            assert_eq!(base.join(location), Err(UrlError::Scheme), "{location}");
        }
    }

    proptest! {
        #[test]
        fn a_url_is_read_back_from_its_own_text(text in "https?://[a-z.]{1,8}(:[0-9]{1,4})?(/[a-z/.?=%ü\"]{0,20})?") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
            }
        }

        #[test]
        fn wherever_a_redirect_leads_is_a_whole_url(location in "[a-z:/.?#@ü]{0,20}|\\PC{0,20}") {
            let base = Url::parse("https://a.b/c/d").unwrap();
            if let Ok(url) = base.join(&location) {
                prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
