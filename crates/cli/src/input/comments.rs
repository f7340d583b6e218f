//! Comments of JSONC and JSON5: a YAML parser would read them as parts of the text.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The text with blanks for `// …` and `/* … */`, so that positions stay, if it is of braces or brackets and not plain
/// JSON.
pub fn blanked(text: &str) -> Cow<'_, str> {
    let begins = text.trim_start().starts_with(['{', '[', '/']);
    if !begins || !(text.contains("//") || text.contains("/*")) || is_json(text) {
        return text.into();
    }
    let mut written = String::with_capacity(text.len());
    let mut state = CommentState::Text;
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        // `https://…` without quotes is a text of YAML.
        let may_begin = letter == '/' && before != ':';
        let (after, is_comment) = match state {
            CommentState::Text if may_begin && next == '/' => (CommentState::Line, true),
            CommentState::Text if may_begin && next == '*' => (CommentState::Opening, true),
            CommentState::Text if letter == '#' && before.is_whitespace() => (CommentState::Yaml, false),
            CommentState::Text if letter == '"' || letter == '\'' => (CommentState::Quoted(letter), false),
            CommentState::Quoted(quote) if letter == quote => (CommentState::Text, false),
            CommentState::Quoted(quote) if letter == '\\' => (CommentState::Escaped(quote), false),
            CommentState::Escaped(quote) => (CommentState::Quoted(quote), false),
            CommentState::Line | CommentState::Yaml if letter == '\n' => (CommentState::Text, false),
            CommentState::Opening => (CommentState::Block, true),
            CommentState::Block if letter == '*' && next == '/' => (CommentState::Closing, true),
            CommentState::Closing => (CommentState::Text, true),
            CommentState::Line | CommentState::Block => (state, true),
            CommentState::Text | CommentState::Quoted(_) | CommentState::Yaml => (state, false),
        };
        let is_kept = !is_comment || letter == '\n' || letter == '\r';
        written.push(if is_kept { letter } else { ' ' });
        state = after;
        before = letter;
    }
    written.into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommentState {
    Text,
    Quoted(char),
    Escaped(char),
    Line,
    Opening,
    Block,
    Closing,
    /// A comment of YAML, which the parser skips.
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
