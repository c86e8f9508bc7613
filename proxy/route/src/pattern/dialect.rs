//! Where RE2 and the `regex` crate read the same text differently.
//!
//! Perl classes and word boundaries are ASCII in RE2 and Unicode in `regex`; brackets and set
//! operators inside a class are plain characters in RE2; `\Q…\E` quotes. These are rewritten.
//! What only `regex` knows (verbose mode) is refused, so that an expression which works here works
//! elsewhere. Everything else has one meaning or is an error in both.

/// Rewrites an expression from RE2's dialect, or says why it cannot be.
pub(super) fn translate(source: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(source.len() + 16);
    let mut chars = source.chars().peekable();
    let mut class = Class::Outside;
    while let Some(c) = chars.next() {
        if c == '\\' {
            let Some(escaped) = chars.next() else { return Err("ends with a backslash") };
            if escaped == 'Q' && class == Class::Outside {
                push_quoted(&mut chars, &mut out);
                continue;
            }
            push_escape(&mut out, escaped);
            class = class.after_item();
            continue;
        }
        match (class, c) {
            (Class::Outside, '[') => class = Class::Start,
            (Class::Outside, '(') if chars.peek() == Some(&'?') => {
                refuse_verbose_mode(chars.clone())?;
            }
            (Class::Outside, _) => {}
            (Class::Start, '^') => class = Class::Negated,
            (Class::Inside, ']') => class = Class::Outside,
            (_, '[') if chars.peek() == Some(&':') => {
                class = Class::Inside;
                out.push('[');
                copy_posix_class(&mut chars, &mut out);
                continue;
            }
            (_, '[' | '&' | '~') => {
                class = Class::Inside;
                out.push('\\');
            }
            (_, '-') if chars.peek() == Some(&'-') => {
                return Err("-- inside a character class is ambiguous; escape the dashes");
            }
            _ => class = Class::Inside,
        }
        out.push(c);
    }
    Ok(out)
}

/// Where in a bracketed class the scan is: a `]` directly after its start is a literal.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Outside,
    Start,
    Negated,
    Inside,
}

impl Class {
    fn after_item(self) -> Self {
        if self == Self::Outside { self } else { Self::Inside }
    }
}

fn push_escape(out: &mut String, escaped: char) {
    match escaped {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        other => {
            out.push('\\');
            out.push(other);
        }
    }
}

/// Takes everything up to `\E`, or to the end, literally.
fn push_quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

/// Copies `:name:]`, so that its closing bracket is not taken for the end of the class.
fn copy_posix_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    for c in chars.by_ref() {
        out.push(c);
        if c == ']' {
            return;
        }
    }
}

/// `(?x)` would make white space and `#` disappear here, and is an error in RE2.
fn refuse_verbose_mode(
    group: std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<(), &'static str> {
    let flags = group.skip(1).take_while(|c| c.is_ascii_alphabetic() || *c == '-');
    // `(?P<x>` and `(?<x>` name a group; their name follows the bracket, so it is not seen here.
    if flags.into_iter().any(|flag| matches!(flag, 'x' | 'u' | 'R')) {
        return Err("the flags x, u and R are not RE2's");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_their_shape() {
        for same in ["[]a]", "[^]a]", "[a-z]x[b]", r"[\]a]", "[[:alpha:]_]", "(?P<xu>a)", "(?i:a)"]
        {
            assert_eq!(translate(same).as_deref(), Ok(same));
        }
        assert_eq!(translate(r"[\d_]\b").as_deref(), Ok(r"[[0-9]_](?-u:\b)"));
        assert_eq!(translate(r"[[a&&b]").as_deref(), Ok(r"[\[a\&\&b]"));
        assert_eq!(translate(r"a\Q.*\E.").as_deref(), Ok(r"a\.\*."));
        assert_eq!(translate(r"\\d").as_deref(), Ok(r"\\d"));
    }
}
