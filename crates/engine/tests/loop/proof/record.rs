//! Nothing is asked before it is written down (P10), and then it is looked at again (P4).

use super::*;

#[tokio::test(start_paused = true)]
async fn p10_nothing_is_asked_before_it_is_written_down_and_then_it_is_looked_at_again() {
    for action in [step_down(), relocation(&[], &[])] {
        let world = match &action.kind {
            ActionKind::StepDown(_) => stretched_of(1, 1),
            ActionKind::Move(_) => supercluster(&["S"], 0),
        };
        let written = watch::Sender::new(4);
        let mut trial = Trial::new(world);
        trial.recorded = Recorded::once(5, written.subscribe());
        let (fake, stage) = (Arc::clone(&trial.fake), trial.advance.subscribe());
        let asset = action.asset.clone();
        let write = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert_eq!((fake.writes(), stage.borrow().stage), (0, Stage::Recording));
            assert_eq!(fake.state().calls, [], "what is read before is old by then");
            written.send_replace(5);
        };
        let (finished, ()) = tokio::join!(trial.run(action), write);
        assert_eq!(finished.outcome.result, ActionResult::Succeeded);
        let calls = fake.state().calls.clone();
        assert_eq!(calls[..2], [Call::Read(asset.clone()), Call::Write(asset)]);
        assert!(fake.state().writes[0].at >= Duration::from_secs(4));
    }
}

#[tokio::test(start_paused = true)]
async fn p10_what_is_not_written_down_in_time_is_not_asked() {
    for gone in [false, true] {
        let written = watch::Sender::new(0);
        let mut trial = Trial::new(stretched_of(1, 1));
        trial.recorded = Recorded::once(1, written.subscribe());
        let fake = Arc::clone(&trial.fake);
        let kept = (!gone).then_some(written);
        let finished = trial.run(step_down()).await;
        drop(kept);
        assert_eq!(
            (finished.outcome.result, finished.requests),
            (ActionResult::Abandoned, 0)
        );
        assert_eq!(
            finished.outcome.message,
            "it could not be written to the policy's status first"
        );
        assert_eq!(fake.writes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn p4_what_changed_while_it_was_written_down_is_not_asked_for() {
    let written = watch::Sender::new(0);
    let mut trial = Trial::new(stretched_of(1, 1));
    trial.recorded = Recorded::once(1, written.subscribe());
    let fake = Arc::clone(&trial.fake);
    let write = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fake.state().read_as_lagging.insert(consumer_asset("S00", "c0"));
        written.send_replace(1);
    };
    let (finished, ()) = tokio::join!(trial.run(step_down()), write);
    assert_eq!(finished.outcome.reason, Some(FindingReason::TargetLagging));
    assert_eq!(fake.writes(), 0);
}
