//! JSON text → the same trees as YAML's.

use super::Error;
use super::document::{Entry, Node, Position, Value, error};

/// Reads JSON.
pub(super) fn from_json(text: &str) -> Result<Node, Error> {
    // The grammar, the limit of nesting and the messages are serde_json's; what is left
    // to do here is to note where each value stands.
    if let Err(wrong) = serde_json::from_str::<serde_json::Value>(text) {
        let at = Position { line: wrong.line().max(1), column: wrong.column().max(1) };
        let reason = wrong.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        return Err(error(at, format!("no JSON: {reason}")));
    }
    let mut reader = Reader { rest: text, line: 1, column: 1 };
    reader.node().ok_or_else(|| error(reader.position(), "no JSON"))
}

/// A cursor in text that is known to be JSON.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Reader<'a> {
    fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }

    /// Takes `length` bytes off the front.
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        match taken.rsplit_once('\n') {
            Some((before, last)) => {
                self.line += 1 + before.matches('\n').count();
                self.column = 1 + last.chars().count();
            }
            None => self.column += taken.chars().count(),
        }
        Some(taken)
    }

    /// Skips white space, and the separators, whose places are known to be right.
    fn skip(&mut self) -> Option<char> {
        let fill = |letter: char| letter.is_ascii_whitespace() || letter == ',' || letter == ':';
        let length = self.rest.find(|letter| !fill(letter)).unwrap_or(self.rest.len());
        self.take(length)?;
        self.rest.chars().next()
    }

    fn node(&mut self) -> Option<Node> {
        let first = self.skip()?;
        let at = self.position();
        let value = match first {
            '{' => self.map()?,
            '[' => self.list()?,
            '"' => Value::Scalar { text: self.string()?, quoted: true },
            _ => {
                let ends = |letter: char| letter.is_ascii_whitespace() || ",:]}".contains(letter);
                let length = self.rest.find(ends).unwrap_or(self.rest.len());
                Value::Scalar { text: self.take(length)?.to_owned(), quoted: false }
            }
        };
        Some(Node { at, value })
    }

    fn list(&mut self) -> Option<Value> {
        self.take(1)?;
        let mut items = Vec::new();
        while self.skip()? != ']' {
            items.push(self.node()?);
        }
        self.take(1)?;
        Some(Value::List(items))
    }

    fn map(&mut self) -> Option<Value> {
        self.take(1)?;
        let mut entries = Vec::new();
        while self.skip()? != '}' {
            let at = self.position();
            let key = self.string()?;
            entries.push(Entry { key, at, value: self.node()? });
        }
        self.take(1)?;
        Some(Value::Map(entries))
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        })?;
        serde_json::from_str(self.take(end + 2)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let text = "{\n  \"a\\ud83d\\ude00\": [1, \"\\\"x\\\\\"],\n\t\"é\": {\"b\":null}, \"c\" : -1.5e3 }\n";
        let Value::Map(entries) = from_json(text).unwrap().value else { panic!("a map") };
        let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["a😀", "é", "c"]);
        let places: Vec<_> = entries.iter().map(|entry| (entry.at.line, entry.at.column)).collect();
        assert_eq!(places, [(2, 3), (3, 2), (3, 19)]);
        let Value::List(items) = &entries[0].value.value else { panic!("a list") };
        assert!(matches!(&items[1].value, Value::Scalar { text, quoted: true } if text == "\"x\\"));
        assert!(matches!(&entries[2].value.value,
            Value::Scalar { text, quoted: false } if text == "-1.5e3"));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for wrong in ["", "{", "{a: 1}", "[1,]", "{\"a\" 1}", "tru", "1 2", &"[".repeat(200)] {
            let error = from_json(wrong).unwrap_err();
            assert!(error.reason.starts_with("no JSON: "), "{wrong}: {error}");
        }
    }
}
