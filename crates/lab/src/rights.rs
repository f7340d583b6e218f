//! What Leeward asks for to change something, by the page of its rights: whatever is recorded, judged or answered here
//! knows each.

const PAGE: &str = include_str!("../../../docs/nats-permissions.md");

/// The subjects of the page's rights to act, with a name in place of each wildcard.
pub(crate) fn to_act() -> Vec<String> {
    let (_, acts) = PAGE.split_once("\n### Step-downs\n").unwrap();
    let (acts, _) = acts.split_once("\n## ").unwrap();
    let rows = acts.lines().filter_map(|line| line.strip_prefix("| publish | `"));
    let subjects = rows.filter_map(|row| row.split_once('`'));
    let subjects: Vec<String> = subjects
        .map(|(subject, _)| subject.replace('*', "name"))
        .collect();
    assert!(subjects.len() >= 5, "{subjects:?}");
    subjects
}
