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
async fn a_request_that_lands_while_the_next_is_prepared_is_a_success_and_nothing_more_is_asked() {
    let trial = Trial::new(stretched_of(1, 1));
    let fake = Arc::clone(&trial.fake);
    fake.state().otherwise = Behaviour::Ignore;
    let land = async {
        tokio::time::sleep(Duration::from_millis(1400)).await;
        // The look that decides to ask again still shows the old leader; the one right before the request shows none.
        let seen = reads_of(&fake, &consumer_asset("S00", "c0"));
        fake.state().on_read = Some(|fake| {
            let mut state = fake.state();
            let group = &mut state.truth.streams[0].consumers[0].group;
            group.leader = None;
        });
        while reads_of(&fake, &consumer_asset("S00", "c0")) < seen + 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fake.state().on_read = None;
        let mut state = fake.state();
        let home = state.truth.topology.find("n-1");
        state.truth.streams[0].consumers[0].group.leader = home;
    };
    let (finished, ()) = tokio::join!(trial.run(with_an_alternative()), land);
    assert_eq!(finished.outcome.result, ActionResult::Succeeded, "{finished:?}");
    assert_eq!((finished.requests, finished.outcome.to), (1, Some("n-1".into())));
}

#[tokio::test(start_paused = true)]
async fn p8_without_the_right_to_ask_again_the_last_request_is_watched_to_its_end() {
    let trial = Trial::new(stretched_of(1, 1));
    let (fake, authorizer) = (Arc::clone(&trial.fake), trial.authorizer.clone());
    fake.state().otherwise = Behaviour::Ignore;
    let running = tokio::spawn(trial.run(with_an_alternative()));
    while fake.writes() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    authorizer.set([Inhibited::Suspended]);
    let finished = running.await.unwrap();
    assert_eq!(
        (finished.outcome.result, finished.requests),
        (ActionResult::Missed, 1)
    );
    assert!(finished.duration() >= STEP_DOWN_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_fell_behind_is_passed_over_when_the_next_is_named() {
    let trial = Trial::new(stretched_of(1, 1));
    let fake = Arc::clone(&trial.fake);
    {
        let mut state = fake.state();
        state.otherwise = Behaviour::Ignore;
        let late = state.truth.topology.find("n-1").unwrap();
        let peers = &mut state.truth.streams[0].consumers[0].group.peers;
        peers
            .iter_mut()
            .filter(|peer| peer.server == late)
            .for_each(|peer| peer.lag = 9);
    }
    let finished = trial.run(with_an_alternative()).await;
    assert_eq!(
        (finished.requests, asked(&fake)),
        (3, peers(&["n-0", "n-0", "n-0"]))
    );
}

#[tokio::test(start_paused = true)]
async fn who_was_elected_again_is_not_asked_again_in_the_same_attempt() {
    let asset = consumer_asset("S00", "c0");
    let trial = announcing();
    let fake = Arc::clone(&trial.fake);
    fake.state().reads_until_done = 1;
    fake.state()
        .behaviour
        .insert(asset, Behaviour::Elect(vec!["n-3"]));
    let finished = trial.run(with_an_alternative()).await;
    assert_eq!(
        (finished.outcome.result, finished.requests),
        (ActionResult::Missed, 1)
    );
    assert!(finished.duration() < Duration::from_secs(3), "{finished:?}");
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
