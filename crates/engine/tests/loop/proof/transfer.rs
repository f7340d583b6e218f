//! During a move leaders are asked to hand over as soon as the new peers are caught up.

use super::*;

const FOREVER: u32 = 100;

/// Stream `S` moves, and the servers take their time to transfer its leader and those of its two consumers.
fn joined() -> Trial {
    let trial = Trial::new(supercluster(&["S"], 2));
    trial.fake.state().moves.joined_for = Some(FOREVER);
    trial
}

fn led(consumers: &[&str]) -> Action {
    let mut action = relocation(consumers, &[]);
    if let ActionKind::Move(moving) = &mut action.kind {
        moving.transfers = LeaderTransfers {
            stream: true,
            consumers: consumers.iter().map(|name| ConsumerName::from(*name)).collect(),
            successors: ["n-2", "n-1", "n-0"].map(ServerName::from).into(),
        };
    }
    action
}

/// Who was asked to hand over to whom.
fn asked(fake: &FakeSystem, asset: &AssetName) -> Vec<String> {
    let state = fake.state();
    let of_it = state.writes.iter().filter(|write| write.asset == *asset);
    let successors = of_it.filter_map(|write| write.successor.as_ref());
    successors
        .map(|successor| match successor {
            Successor::Peer(server) => server.to_string(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_leaders_of_a_stream_and_of_its_consumers_hand_over_to_peers_that_are_caught_up() {
    let trial = joined();
    let fake = Arc::clone(&trial.fake);
    let finished = trial.run(led(&["c0", "c1"])).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(finished.requests, 1, "transfers are no attempts");
    let assets = [
        stream_asset("S"),
        consumer_asset("S", "c0"),
        consumer_asset("S", "c1"),
    ];
    let asked_each = assets.map(|asset| asked(&fake, &asset));
    assert_eq!(asked_each, [["n-2"], ["n-1"], ["n-0"]]);
    let on_record = finished.transfers.iter();
    let mut on_record: Vec<_> = on_record
        .map(|asked| {
            (
                asked.asset.to_string(),
                asked.from.as_str(),
                asked.to.as_str(),
                asked.answer.as_ref().is_some_and(Result::is_ok),
            )
        })
        .collect();
    on_record.sort();
    assert_eq!(
        on_record,
        [
            ("consumer S/c0".to_owned(), "n-3", "n-1", true),
            ("consumer S/c1".to_owned(), "n-3", "n-0", true),
            ("stream S".to_owned(), "n-3", "n-2", true),
        ]
    );
    let first = |asset: &AssetName| {
        let state = fake.state();
        let mut writes = state.writes.iter();
        let found = writes.find(|write| write.asset == *asset && write.successor.is_some());
        found.unwrap().at
    };
    assert!(first(&stream_asset("S")) < first(&consumer_asset("S", "c0")));
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_does_not_land_is_asked_of_others_and_the_servers_finish_the_move() {
    let trial = joined();
    let fake = Arc::clone(&trial.fake);
    let deaf = consumer_asset("S", "c0");
    fake.state().behaviour.insert(deaf.clone(), Behaviour::Ignore);
    let finished = trial.run(led(&["c0", "c1"])).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(asked(&fake, &deaf), ["n-1", "n-0", "n-2"]);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_ask_is_not_asked_for_again() {
    for behaviour in [Behaviour::Refuse, Behaviour::Aimless] {
        let trial = joined();
        let fake = Arc::clone(&trial.fake);
        let refusing = consumer_asset("S", "c0");
        fake.state().behaviour.insert(refusing.clone(), behaviour);
        let finished = trial.run(led(&["c0"])).await;
        assert_eq!(finished.outcome.result, ActionResult::Succeeded);
        assert_eq!(asked(&fake, &refusing), ["n-1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn p4_nobody_is_asked_to_hand_over_to_a_peer_that_lags_by_the_servers_own_word() {
    let trial = joined();
    let fake = Arc::clone(&trial.fake);
    fake.state().on_read = Some(|fake| {
        // From the request on.
        if fake.writes() > 0 {
            fake.state().confirms = Some(Confirms::Lagging);
        }
    });
    let mut limited = trial;
    limited.limits.move_timeout = Duration::from_mins(1);
    let _ = limited.run(led(&["c0"])).await;
    assert_eq!(asked(&fake, &stream_asset("S")), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn p8_a_replica_that_may_not_act_any_more_leaves_the_transfers_to_the_servers() {
    let trial = joined();
    let (fake, authorizer) = (Arc::clone(&trial.fake), trial.authorizer.clone());
    let running = tokio::spawn(trial.run(led(&["c0"])));
    while fake.writes() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    authorizer.set([Inhibited::NotActive]);
    let finished = running.await.unwrap();
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(fake.writes(), 1, "the placement");
}

#[tokio::test(start_paused = true)]
async fn a_move_that_is_cancelled_transfers_no_more() {
    let mut trial = joined();
    trial.limits.move_timeout = Duration::from_secs(2);
    let fake = Arc::clone(&trial.fake);
    let deaf = consumer_asset("S", "c0");
    {
        let mut state = fake.state();
        state.moves.joined_for = Some(u32::MAX);
        state.cancel = Cancel::Ignore;
        state.behaviour.insert(deaf.clone(), Behaviour::Ignore);
    }
    let finished = trial.run(led(&["c0"])).await;
    assert_eq!(finished.outcome.result, ActionResult::TimedOut, "{finished:?}");
    let state = fake.state();
    let cancelled = *state.cancels.first().unwrap();
    let last = state.writes.iter().map(|write| write.at).max().unwrap();
    assert!(last <= cancelled, "{last:?} {cancelled:?}");
}

#[tokio::test(start_paused = true)]
async fn p9_what_a_move_sent_is_on_record_for_whoever_stops_watching_it() {
    let trial = joined();
    let (fake, sent) = (Arc::clone(&trial.fake), Arc::clone(&trial.sent));
    let stages = trial.advance.subscribe();
    let running = tokio::spawn(trial.run(led(&["c0"])));
    while fake.writes() == 0 {
        assert!(
            sent.own() == 0 && stages.borrow().stage < Stage::Requested,
            "nothing was sent"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((sent.own(), sent.transfers().len()), (1, 0));
    let stream = stream_asset("S");
    while asked(&fake, &stream).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.abort();
    assert!(running.await.is_err(), "it is watched no more");
    let transfers = sent.transfers();
    let asset: Vec<_> = transfers.iter().map(|transfer| transfer.asset.clone()).collect();
    assert_eq!((sent.own(), asset), (1, vec![stream]));
}
