//! Regular expressions that every proxy takes: RE2's syntax, of bounded size.

/// Bytes of compiled program: what weft-proxy allows.
const PROGRAM_LIMIT: usize = 1 << 20;

/// Says why an expression cannot be used, if it cannot.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    if has_foreign_flags(pattern) {
        return Err("the flags x, u and R are not RE2's".to_owned());
    }
    let compile = |pattern: &str| {
        let built = regex::bytes::RegexBuilder::new(pattern).size_limit(PROGRAM_LIMIT).build();
        // The last line of the library's message is the reason; those before draw the place.
        built.map_err(|error| {
            let message = error.to_string();
            message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    };
    // On its own first: inside the group that anchors it, an unbalanced `)` would go unseen.
    compile(pattern)?;
    compile(&format!(r"\A(?:{pattern})\z"))?;
    Ok(())
}

/// `(?x)` and its like compile here and not in RE2.
fn has_foreign_flags(pattern: &str) -> bool {
    let without_escapes = pattern.replace(r"\\", "").replace(r"\(", "");
    without_escapes.split("(?").skip(1).any(|group| {
        let flags = group.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-');
        // The name of `(?P<x>` comes after a bracket, so it is not among the flags.
        flags.into_iter().any(|flag| matches!(flag, 'x' | 'u' | 'R'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_proxies_take() {
        for good in ["/a.*", "(?i)a|b", "(?P<xu>a)", r"\(?x", "[^/]+", r"\d{1,3}"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["(", "a)", "a{1000}{1000}", "(?x)a b", "(?i-u:a)", "(?=a)", r"(a)\1", "[b-a]"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
