//! What the servers announce decides at once, and who did not take over is not asked again before the others were.

use super::*;

fn asked(fake: &FakeSystem) -> Vec<Successor> {
    let state = fake.state();
    state
        .writes
        .iter()
        .filter_map(|write| write.successor.clone())
        .collect()
}

fn peers(names: &[&str]) -> Vec<Successor> {
    let peer = |name: &&str| Successor::Peer((*name).into());
    names.iter().map(peer).collect()
}

/// The step-down of [`step_down`], with n-1 as the other peer that may take over.
fn with_an_alternative() -> Action {
    let mut action = step_down();
    if let ActionKind::StepDown(step_down) = &mut action.kind {
        step_down.alternatives = vec!["n-1".into()];
    }
    action
}

fn announcing() -> Trial {
    let trial = Trial::new(stretched_of(1, 1));
    trial.fake.state().announced.begin();
    trial
}

#[tokio::test(start_paused = true)]
async fn a_step_down_that_does_not_land_is_asked_for_in_favour_of_the_next_peer_in_turns() {
    let trial = Trial::new(stretched_of(1, 1));
    let fake = Arc::clone(&trial.fake);
    fake.state().otherwise = Behaviour::Ignore;
    let finished = trial.run(with_an_alternative()).await;
    assert_eq!(finished.outcome.result, ActionResult::Missed);
    assert_eq!(
        (finished.requests, asked(&fake)),
        (3, peers(&["n-0", "n-1", "n-0"]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_outside_home_is_asked_in_its_turn_to_hand_over_to_the_next_peer() {
    let asset = consumer_asset("S00", "c0");
    let trial = Trial::new(stretched_of(1, 1));
    let fake = Arc::clone(&trial.fake);
    let elect = Behaviour::Elect(vec!["n-4", "n-1"]);
    fake.state().behaviour.insert(asset, elect);
    let finished = trial.run(with_an_alternative()).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(asked(&fake), peers(&["n-0", "n-1"]));
}

#[tokio::test(start_paused = true)]
async fn who_is_elected_again_is_asked_again_at_once_where_the_servers_announce_it() {
    let asset = consumer_asset("S00", "c0");
    let trial = announcing();
    let fake = Arc::clone(&trial.fake);
    fake.state().reads_until_done = 1;
    let elect = Behaviour::Elect(vec!["n-3", "n-1"]);
    fake.state().behaviour.insert(asset, elect);
    let finished = trial.run(with_an_alternative()).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    let at: Vec<Duration> = fake.state().writes.iter().map(|write| write.at).collect();
    assert!(at.len() == 2 && at[1] < Duration::from_secs(1), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn p9_what_is_read_and_what_is_announced_decide_together_and_neither_alone() {
    // Nothing else that the servers say confirms the new leader.
    let unconfirmed = |trial: &Trial| {
        trial.fake.state().on_read = Some(|fake| {
            if fake.writes() > 0 {
                fake.state().confirms = Some(Confirms::LedBy("n-5"));
            }
        });
    };
    let trial = announcing();
    unconfirmed(&trial);
    assert_eq!(
        trial.run(step_down()).await.outcome.result,
        ActionResult::Succeeded
    );

    let silent = Trial::new(stretched_of(1, 1));
    unconfirmed(&silent);
    assert_eq!(
        silent.run(step_down()).await.outcome.result,
        ActionResult::TimedOut
    );

    let unread = announcing();
    unconfirmed(&unread);
    unread.fake.state().reads_until_done = u32::MAX;
    assert_ne!(
        unread.run(step_down()).await.outcome.result,
        ActionResult::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn p4_an_older_report_that_speaks_against_a_request_is_asked_for_anew() {
    let trial = Trial::new(stretched_of(1, 1));
    let fake = Arc::clone(&trial.fake);
    fake.state().confirms = Some(Confirms::LaterThan(tokio::time::Instant::now()));
    let finished = trial.run(step_down()).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(
        reads_of(&fake, &consumer_asset("S00", "c0")),
        5,
        "twice before the request, three until it showed"
    );
}
