//! Texts that something fills in before they are applied: Helm, Jinja, envsubst, and what pipelines have of their own.

/// How a template's engine marks what it fills in.
const ENGINES: [&str; 3] = ["{{", "{%", "<%"];
/// Opening and closing marks of variables.
const VARIABLES: [(&str, &str); 11] = [
    ("{{", "}}"),
    ("{%", "%}"),
    ("<%", "%>"),
    ("${", "}"),
    ("$(", ")"),
    ("#{", "}"),
    ("[[", "]]"),
    ("((", "))"),
    ("__", "__"),
    ("@", "@"),
    ("%", "%"),
];

/// What in a value is still to be filled in.
pub fn placeholder(value: &str) -> Option<&str> {
    VARIABLES
        .iter()
        .find_map(|(open, close)| marked(value, open, close))
        .or_else(|| is_whole(value).then_some(value))
        .or_else(|| shell_within(value))
}

fn marked<'v>(value: &'v str, open: &str, close: &str) -> Option<&'v str> {
    let start = value.find(open)?;
    let inner = value.get(start + open.len()..)?;
    let end = inner.find(close)?;
    // Marks of one kind on both sides are written around names in capitals only: `__init__` is a name.
    let is_name = open != close || is_constant(inner.get(..end)?);
    let length = open.len() + end + close.len();
    value.get(start..start + length).filter(|_| end > 0 && is_name)
}

/// `$CLUSTER`, `$cluster`, `{cluster}` and `<cluster>`, where nothing else is in the value. Streams of servers have names
/// such as `$MQTT_msgs`.
fn is_whole(value: &str) -> bool {
    let is_word = |name: &str| {
        name.starts_with(|letter: char| letter.is_ascii_alphabetic()) && name.chars().all(is_of_name)
    };
    let is_lower = |name: &str| is_word(name) && !name.contains(|letter: char| letter.is_ascii_uppercase());
    let shell = value
        .strip_prefix('$')
        .is_some_and(|name| is_constant(name) || is_lower(name));
    let between = |open: char, close: char| value.strip_prefix(open)?.strip_suffix(close);
    shell
        || between('{', '}').is_some_and(is_word)
        || between('<', '>').is_some_and(|inner| inner.contains(char::is_alphabetic))
}

/// `$CLUSTER` as a part of a value. What servers name begins with such a part, and goes on with `_`, `.` or a glob.
fn shell_within(value: &str) -> Option<&str> {
    value.match_indices('$').find_map(|(start, _)| {
        let rest = value.get(start + 1..)?;
        let length = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(length)?;
        let is_apart = start > 0 || behind.starts_with(['-', ':', '/', '$']);
        (is_constant(name) && is_apart).then(|| value.get(start..=start + length))?
    })
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn is_constant(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && name
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

/// That a value has something to be filled in, and what does that.
pub fn unfilled(path: &str, placeholder: &str) -> String {
    if ENGINES.iter().any(|mark| placeholder.starts_with(mark)) {
        format!("{path}: {placeholder} is not filled in: {}", render_first("…"))
    } else {
        format!(
            "{path}: {placeholder} is not filled in: let what fills it in do that first, such as: envsubst < FILE | leeward check \
             -f -"
        )
    }
}

/// What turns a text that cannot be read into one that can, if it looks like a template.
pub fn cure(text: &str, chart: &str) -> Option<String> {
    let engine = ENGINES.iter().find(|mark| text.contains(**mark))?;
    Some(match *engine {
        "{{" => render_first(chart),
        _ => format!(
            "it has {engine}, so it looks like a template: render it first, and give what comes of it to -f -"
        ),
    })
}

fn render_first(chart: &str) -> String {
    format!("it looks like a template: render it first: helm template {chart} | leeward check -f -")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_be_filled_in_is_found_in_every_notation() {
        for (value, found) in [
            ("${CLUSTER}", "${CLUSTER}"),
            ("region:${REGION:-us}", "${REGION:-us}"),
            ("$(cluster)", "$(cluster)"),
            ("{{ .Values.cluster }}", "{{ .Values.cluster }}"),
            ("a-{% raw %}", "{% raw %}"),
            ("<%= cluster %>", "<%= cluster %>"),
            ("#{Cluster}#", "#{Cluster}"),
            ("__CLUSTER__", "__CLUSTER__"),
            ("x-@CLUSTER@", "@CLUSTER@"),
            ("%CLUSTER%", "%CLUSTER%"),
            ("$CLUSTER", "$CLUSTER"),
            ("$cluster", "$cluster"),
            ("ORDERS-$ENV", "$ENV"),
            ("$ENV-orders", "$ENV"),
            ("us-$REGION-1", "$REGION"),
            ("{cluster}", "{cluster}"),
            ("[[ cluster ]]", "[[ cluster ]]"),
            ("x-((cluster))", "((cluster))"),
            ("<your cluster>", "<your cluster>"),
        ] {
            assert_eq!(placeholder(value), Some(found), "{value}");
        }
        for name in [
            "us-east",
            "$MQTT_msgs",
            "$MQTT_*",
            "$KV.orders.>",
            "a$b",
            "__init__",
            "region:us",
            "a@b@c",
            "50%",
            "${}",
            "",
            "ORDERS__EU",
        ] {
            assert_eq!(placeholder(name), None, "{name}");
        }
    }
}
