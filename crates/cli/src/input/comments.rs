//! Comments as JSON with comments and JSON5 have them: to a reader of YAML they would be parts of the text.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The text with blanks instead of `// …` and `/* … */`, so that all places stay, if it is of braces or brackets and no JSON
/// without that.
pub fn blanked(text: &str) -> Cow<'_, str> {
    let begins = text.trim_start().starts_with(['{', '[', '/']);
    if !begins || !(text.contains("//") || text.contains("/*")) || is_json(text) {
        return text.into();
    }
    let mut written = String::with_capacity(text.len());
    let mut state = State::Text;
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        // `https://…` without quotes is a text of YAML.
        let may_begin = letter == '/' && before != ':';
        let (after, is_comment) = match state {
            State::Text if may_begin && next == '/' => (State::Line, true),
            State::Text if may_begin && next == '*' => (State::Opening, true),
            State::Text if letter == '#' && before.is_whitespace() => (State::Yaml, false),
            State::Text if letter == '"' || letter == '\'' => (State::Quoted(letter), false),
            State::Quoted(quote) if letter == quote => (State::Text, false),
            State::Quoted(quote) if letter == '\\' => (State::Escaped(quote), false),
            State::Escaped(quote) => (State::Quoted(quote), false),
            State::Line | State::Yaml if letter == '\n' => (State::Text, false),
            State::Opening => (State::Block, true),
            State::Block if letter == '*' && next == '/' => (State::Closing, true),
            State::Closing => (State::Text, true),
            State::Line | State::Block => (state, true),
            State::Text | State::Quoted(_) | State::Yaml => (state, false),
        };
        let is_kept = !is_comment || letter == '\n' || letter == '\r';
        written.push(if is_kept { letter } else { ' ' });
        state = after;
        before = letter;
    }
    written.into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Quoted(char),
    Escaped(char),
    Line,
    Opening,
    Block,
    Closing,
    /// A comment of YAML, which the reader knows.
    Yaml,
}

fn is_json(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.all(|value| value.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_blanked_and_nothing_else() {
        for (text, blank) in [
            ("{ // a \"b\"\n \"c\": 1 }", "{         \n \"c\": 1 }"),
            ("/* ü */ {\"a\": /**/ 1}", "        {\"a\":      1}"),
            ("{\"a\": \"x // y\", // z\n}", "{\"a\": \"x // y\",     \n}"),
            (
                "{a: 'it\\'s // x', b: 1 /* c\n d */}",
                "{a: 'it\\'s // x', b: 1     \n     }",
            ),
        ] {
            assert_eq!(blanked(text), blank, "{text}");
        }
        for text in [
            "{\"a\": \"https://b // c\"}",
            "{a: https://b}",
            "{a: 1} # it's // \"so\n",
            "a: b // c\n",
        ] {
            assert_eq!(blanked(text), text);
        }
    }
}
