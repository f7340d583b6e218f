//! What of the schemas has to name every kind of action.

use serde_json::{Value, json};
use strum::IntoEnumIterator as _;

use super::crds;
use crate::vocabulary::ActionType;

#[test]
fn a_budget_and_a_window_may_name_every_kind_of_action() {
    let policies = serde_json::to_value(&crds()[2]).unwrap();
    let disruption =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/disruption/properties";
    for list in ["budgets", "windows"] {
        let most = format!("{disruption}/{list}/items/properties/actions/maxItems");
        assert_eq!(
            policies.pointer(&most),
            Some(&json!(ActionType::iter().count())),
            "{list}"
        );
    }
}

#[test]
fn what_enforce_needs_is_one_of_all_actions() {
    let policies = serde_json::to_value(&crds()[2]).unwrap();
    let spec = &policies["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let rules = spec["x-kubernetes-validations"].as_array().unwrap();
    let has_message = |rule: &&Value| {
        let message = rule["message"].as_str();
        message.is_some_and(|message| message.starts_with("actions has nothing enabled"))
    };
    let rule = rules.iter().find(has_message).unwrap();
    let actions = spec["properties"]["actions"]["properties"].as_object().unwrap();
    let switched = actions
        .iter()
        .filter(|(_, fields)| fields["properties"]["enabled"].is_object());
    let mut names = 0;
    for (name, _) in switched {
        let condition = format!("self.actions.{name}.enabled");
        assert!(rule["rule"].as_str().unwrap().contains(&condition), "{name}");
        assert!(rule["message"].as_str().unwrap().contains(name), "{name}");
        names += 1;
    }
    assert_eq!(names, ActionType::iter().count());
}
