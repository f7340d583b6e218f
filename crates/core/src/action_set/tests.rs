use leeward_api::vocabulary::ActionType::{self, ConsumerStepDown, StreamPlacement, StreamStepDown};

use super::ActionSet;

#[test]
fn naming_no_action_means_every_action() {
    let kinds: Vec<ActionType> = ActionSet::of(&[]).iter().collect();
    assert_eq!(
        kinds,
        [
            ConsumerStepDown,
            StreamStepDown,
            ActionType::ConsumerEvacuation,
            StreamPlacement
        ]
    );
    assert_eq!(ActionSet::of(&[]), ActionSet::all());
}

#[test]
fn a_named_action_is_in_and_every_other_is_out_however_often_it_is_named() {
    let set = ActionSet::of(&[StreamPlacement, StreamPlacement]);
    assert!(set.contains(StreamPlacement));
    assert!(!set.contains(StreamStepDown) && !set.contains(ConsumerStepDown));
    assert_eq!(set.iter().count(), 1);
}
