use super::*;
use crate::fixtures::clients;
use crate::topology::ServerIx;

#[test]
fn without_an_include_pattern_everything_but_the_excluded_is_selected() {
    let none: [&str; 0] = [];
    assert!(Globs::default().selects("x"));
    assert!(Globs::new(&none, &["b*"]).selects("a"));
    assert!(!Globs::new(&none, &["b*"]).selects("bc"));
    assert!(!Globs::new(&["a"], &none).selects("b"));
    assert!(!Globs::new(&["a*"], &["ab"]).selects("ab"), "exclusion wins");
}

#[test]
fn globs_match_whole_names_and_their_case() {
    let selects = |glob: &str, name: &str| Globs::new(&[glob], &[]).selects(name);
    assert!(selects("KV_*", "KV_a") && selects("KV_*", "KV_"));
    assert!(!selects("KV_*", "kv_a") && !selects("KV", "KV_a"));
    assert!(selects("a?c", "abc") && !selects("a?c", "ac"));
    assert!(selects("*", ""));
}

#[test]
fn a_connection_without_user_or_name_has_empty_ones() {
    let selector = |users: Globs| ClientSelector {
        kinds: vec![ClientKind::Client],
        users,
        names: Globs::default(),
    };
    let anonymous = clients(ServerIx(0), 1);
    assert!(selector(Globs::default()).selects(&anonymous));
    assert!(selector(Globs::new(&[], &["app"])).selects(&anonymous));
    assert!(!selector(Globs::new(&["app"], &[])).selects(&anonymous));
}

#[test]
fn only_the_exact_word_opts_out() {
    let marked = |value: &str| BTreeMap::from([(IGNORE_KEY.to_owned(), value.to_owned())]);
    assert!(opted_out(&marked("true")));
    assert!(!opted_out(&marked("false")) && !opted_out(&marked("True")) && !opted_out(&marked("")));
    assert!(!opted_out(&BTreeMap::new()));
}
