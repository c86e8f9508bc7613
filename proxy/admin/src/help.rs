//! The list of endpoints, as text and as a page.

use std::fmt::Write as _;

use crate::endpoint::{ENDPOINTS, Endpoint};

/// In the layout of Envoy's `/help`.
pub(crate) fn text() -> String {
    let mut out = String::from("admin commands are:\n");
    for Endpoint { path, kind, about, parameters } in ENDPOINTS {
        let post = if kind.mutates() { " (POST)" } else { "" };
        let _ = writeln!(out, "  {path}{post}: {about}");
        for (name, about) in *parameters {
            let _ = writeln!(out, "      {name}: {about}");
        }
    }
    out
}

/// Links to what can be read, buttons for what changes something.
pub(crate) fn page() -> String {
    let mut out = String::from(
        "<!doctype html><meta charset=\"utf-8\"><title>weft-proxy</title>\
         <style>body{font:15px/1.6 system-ui,sans-serif;margin:2em auto;max-width:44em}\
         td{padding:.1em 1.2em .1em 0;vertical-align:top}code{color:#666}form{margin:0}</style>\
         <h1>weft-proxy</h1><table>\n",
    );
    for Endpoint { path, kind, about, parameters } in ENDPOINTS {
        let action = if kind.mutates() {
            format!("<form method=\"post\" action=\"{path}\"><button>{path}</button></form>")
        } else {
            format!("<a href=\"{path}\">{path}</a>")
        };
        let parameters: Vec<String> = parameters
            .iter()
            .map(|(name, about)| format!("<br><code>{name}</code>: {about}"))
            .collect();
        let _ = writeln!(out, "<tr><td>{action}<td>{about}{}", parameters.concat());
    }
    out.push_str("</table>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_listed_once_and_in_order() {
        assert!(ENDPOINTS.is_sorted_by_key(|endpoint| endpoint.path));
        assert!(text().contains("\n  /quitquitquit (POST): end the process"));
        for endpoint in ENDPOINTS {
            assert_eq!(
                text().matches(&format!("\n  {}: ", endpoint.path)).count()
                    + text().matches(&format!("\n  {} (POST): ", endpoint.path)).count(),
                1
            );
            assert!(page().contains(&format!("\"{}\"", endpoint.path)));
        }
    }
}
