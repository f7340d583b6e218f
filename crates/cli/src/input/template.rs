//! Texts that are filled in before they are applied: by Helm, Jinja, envsubst, or a pipeline's own means.

/// How a template's engine marks what it fills in.
const ENGINES: [&str; 3] = ["{{", "{%", "<%"];
/// Functions of the servers' transforms of subjects, in small letters.
const TRANSFORMS: [&str; 10] = [
    "wildcard",
    "partition",
    "random",
    "split",
    "splitfromleft",
    "splitfromright",
    "slicefromleft",
    "slicefromright",
    "left",
    "right",
];
/// Opening and closing marks of variables; the last are those of values that SOPS encrypted.
const VARIABLES: [(&str, &str); 12] = [
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
    ("ENC[", "]"),
];

/// A placeholder in a value.
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
    // Equal marks on both sides enclose only names in capitals: `__init__` is a name.
    let is_name = open != close || is_constant(inner.get(..end)?);
    let length = open.len() + end + close.len();
    value.get(start..start + length).filter(|_| end > 0 && is_name)
}

/// `$CLUSTER`, `$cluster`, `{cluster}` and `<cluster>`, where nothing else is in the value. Streams of servers have
/// names such as `$MQTT_msgs`.
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

/// `$CLUSTER` as a part of a value. Servers' own names begin like this, and continue with `_`, `.` or a glob.
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

/// The error for a value with a placeholder, and what fills it in. Only a variable's name is shown: its default may be
/// secret, and so may be all of a value that only looks like a variable.
pub fn unfilled(path: &str, value: &str) -> Option<String> {
    let placeholder = placeholder(value)?;
    let shown = if value.contains("://") {
        "a variable in it".to_owned()
    } else {
        named(placeholder)
    };
    let hint = if ENGINES.iter().any(|mark| placeholder.starts_with(mark)) {
        render_first("…")
    } else {
        "let what fills it in do that first, such as: envsubst < FILE | leeward check -f -".to_owned()
    };
    Some(format!("{path}: {shown} is not filled in: {hint}"))
}

/// A variable without anything but its name: `${X:-hunter2}` is `${X}`.
fn named(placeholder: &str) -> String {
    let pairs = VARIABLES.iter().chain(&[("{", "}"), ("<", ">")]);
    let inner = |(open, close): &(&'static str, &'static str)| {
        let inner = placeholder.strip_prefix(open)?.strip_suffix(close)?;
        Some((*open, inner, *close))
    };
    let Some((open, inner, close)) = pairs.into_iter().find_map(inner) else {
        // A variable of a shell is a name and nothing else.
        return placeholder.to_owned();
    };
    let is_engine = ENGINES.contains(&open);
    let start = inner
        .find(|letter| letter != ' ' && !(is_engine && matches!(letter, '-' | '=')))
        .unwrap_or(0);
    let name = inner.get(start..).unwrap_or_default();
    let is_of_path = |letter: char| is_of_name(letter) || letter == '.';
    let length = name.find(|letter| !is_of_path(letter)).unwrap_or(name.len());
    let (before, after) = (
        inner.get(..start + length),
        name.get(length..).unwrap_or_default(),
    );
    let blank = if after.starts_with(' ') { " " } else { "" };
    match before.filter(|_| length > 0 && open != "<") {
        Some(before) => format!("{open}{before}{blank}{close}"),
        None => format!("{open}…{close}"),
    }
}

/// What to do with an unreadable text that looks like a template.
pub fn hint(text: &str, chart: &str) -> Option<String> {
    let engine = ENGINES.iter().find(|mark| has_engine(text, mark))?;
    Some(match *engine {
        "{{" => render_first(chart),
        _ => format!(
            "it has {engine}, so it looks like a template: render it first, and give what comes of it to -f -"
        ),
    })
}

/// Subject transforms use the same mark, but are no templates.
fn has_engine(text: &str, mark: &str) -> bool {
    text.match_indices(mark).any(|(at, _)| {
        let inner = text.get(at + mark.len()..).unwrap_or_default().trim_start();
        let name = inner.split(|letter: char| !letter.is_ascii_alphanumeric()).next();
        let name = name.unwrap_or_default().to_lowercase();
        !(mark == "{{" && TRANSFORMS.contains(&name.as_str()))
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

    #[test]
    fn of_a_variable_only_the_name_is_shown() {
        for (value, shown) in [
            ("${X:-hunter2}", "a: ${X} is"),
            ("${X}", "a: ${X} is"),
            ("${:-hunter2}", "a: ${…} is"),
            ("{{ .Values.x | default \"hunter2\" }}", "a: {{ .Values.x }} is"),
            ("{{ \"hunter2\" }}", "a: {{…}} is"),
            ("<hunter2>", "a: <…> is"),
            ("nats://a:hunter2$X@b", "a: a variable in it is"),
            ("region:$REGION", "a: $REGION is"),
            ("{cluster}", "a: {cluster} is"),
            ("ENC[AES256_GCM,data:hunter2]", "a: ENC[AES256_GCM] is"),
        ] {
            let text = unfilled("a", value).unwrap();
            assert!(text.starts_with(shown), "{value}: {text}");
        }
    }

    #[test]
    fn transforms_of_subjects_are_no_templates() {
        let transform = "dest: \"orders.{{wildcard(1)}}.{{ Partition(3,1) }}\"\n";
        assert_eq!(hint(transform, "x"), None);
        let both = format!("{transform}name: {{{{ .x }}}}\n");
        assert!(hint(&both, "x").is_some());
    }
}
