//! Waits for views of one account that are complete.

use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::AccountId;
use leeward_core::snapshot::{AccountView, Gap};
use leeward_core::time::elapsed;
use leeward_engine::ports::Observe;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::LookTimeouts;

/// Pause between looks at an account with gaps.
const AGAIN: Duration = Duration::from_secs(2);

/// An account that is watched for as long as this lives.
pub(super) struct WatchedLook {
    observe: Arc<dyn Observe>,
    account: AccountId,
    views: watch::Receiver<Arc<AccountView>>,
}

impl WatchedLook {
    pub(super) fn new(observe: Arc<dyn Observe>, account: &AccountId) -> Self {
        let views = observe.watch(account);
        let account = account.clone();
        Self {
            observe,
            account,
            views,
        }
    }

    /// The first complete view, or what there is at the deadline; with a sample a later one, with known rates.
    pub(super) async fn look(&self, deadline: Instant, timeouts: LookTimeouts) -> Arc<AccountView> {
        let first = self.complete(deadline).await;
        if timeouts.sample.is_zero() {
            return first;
        }
        self.sampled(&first, timeouts).await
    }

    /// The first view from now on that waiting would not complete, or what there is at the deadline.
    async fn complete(&self, deadline: Instant) -> Arc<AccountView> {
        self.wanted(deadline, is_final).await
    }

    /// A later view from which rates are known; the first one, if none is complete in time.
    async fn sampled(&self, first: &Arc<AccountView>, timeouts: LookTimeouts) -> Arc<AccountView> {
        let LookTimeouts { wait, sample } = timeouts;
        if !is_final(first) {
            return Arc::clone(first);
        }
        let begun = Instant::now();
        sleep_until(begun + sample).await;
        self.observe.refresh(&self.account);
        let long_enough = |view: &AccountView| {
            // Observers keep samples that are nine tenths of an interval apart.
            is_final(view) && elapsed(first.observed_at, view.observed_at) >= sample.mul_f64(0.9)
        };
        let later = self.wanted(begun + sample + wait, long_enough).await;
        if long_enough(&later) {
            later
        } else {
            Arc::clone(first)
        }
    }

    /// The newest view, if waiting would not complete it, else this one.
    pub(super) fn newest(&self, complete: &Arc<AccountView>) -> Arc<AccountView> {
        let view = self.views.borrow();
        Arc::clone(if is_final(&view) { &view } else { complete })
    }

    async fn wanted(&self, deadline: Instant, wanted: impl Fn(&AccountView) -> bool) -> Arc<AccountView> {
        let mut views = self.views.clone();
        loop {
            let soon = deadline.min(Instant::now() + AGAIN);
            let found = timeout_at(soon, views.wait_for(|view| wanted(view))).await;
            match found {
                Ok(Ok(view)) => return Arc::clone(&view),
                Ok(Err(_)) => break,
                Err(_) if Instant::now() >= deadline => break,
                Err(_) => self.observe.refresh(&self.account),
            }
        }
        let view = views.borrow();
        Arc::clone(&view)
    }
}

/// Whether waiting would not complete a view: it is complete, something is forbidden, or another JetStream is meant.
fn is_final(view: &AccountView) -> bool {
    if view.gaps.contains(&Gap::WarmingUp) {
        return false;
    }
    let final_one = |gap: &Gap| matches!(gap, Gap::Denied { .. } | Gap::OtherDomain { .. });
    view.gaps.is_empty() || view.gaps.iter().any(final_one)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;
    use leeward_core::topology::Topology;

    use super::*;

    /// Shows the next view whenever it is asked for one.
    struct Scripted {
        views: watch::Sender<Arc<AccountView>>,
        script: Mutex<Vec<AccountView>>,
    }

    impl Observe for Scripted {
        fn watch(&self, _: &AccountId) -> watch::Receiver<Arc<AccountView>> {
            self.views.subscribe()
        }

        fn refresh(&self, _: &AccountId) {
            let mut script = self.script.lock().unwrap();
            if !script.is_empty() {
                self.views.send_replace(Arc::new(script.remove(0)));
            }
        }
    }

    fn view(second: i64, gaps: Vec<Gap>) -> AccountView {
        AccountView {
            account: AccountId::from("A"),
            topology: Arc::new(Topology::default()),
            observed_at: Timestamp::from_second(second).unwrap(),
            gaps,
            clients: Vec::new(),
            streams: Vec::new(),
            traffic: None,
        }
    }

    fn watched(script: Vec<AccountView>) -> WatchedLook {
        let views = watch::Sender::new(Arc::new(view(0, vec![Gap::WarmingUp])));
        let scripted = Scripted {
            views,
            script: Mutex::new(script),
        };
        WatchedLook::new(Arc::new(scripted), &AccountId::from("A"))
    }

    fn missing() -> Gap {
        Gap::ServerMissing { server: "n-1".into() }
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test(start_paused = true)]
    async fn an_incomplete_view_is_asked_for_again_until_it_is_complete() {
        let script = vec![
            view(1, vec![missing()]),
            view(2, vec![missing()]),
            view(3, vec![]),
        ];
        let found = watched(script).complete(in_a_minute()).await;
        assert_eq!(found.observed_at, Timestamp::from_second(3).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_at_the_deadline_is_returned_with_its_gaps() {
        let deadline = in_a_minute();
        let found = watched(vec![view(1, vec![missing()])]).complete(deadline).await;
        assert_eq!(found.gaps, [missing()]);
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_is_forbidden() {
        let denied = Gap::Denied {
            subject: "$SYS.REQ.SERVER.*.JSZ".to_owned(),
        };
        let deadline = in_a_minute();
        let found = watched(vec![view(1, vec![denied.clone()])])
            .complete(deadline)
            .await;
        assert_eq!(found.gaps, [denied]);
        assert!(Instant::now() < deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sample_is_a_later_view_that_is_far_enough_from_the_first() {
        let timeouts = LookTimeouts {
            wait: Duration::from_mins(1),
            sample: Duration::from_secs(10),
        };
        let first = Arc::new(view(100, vec![]));
        let later = watched(vec![view(105, vec![]), view(110, vec![])]);
        let found = later.sampled(&first, timeouts).await;
        assert_eq!(found.observed_at, Timestamp::from_second(110).unwrap());
        let lost = watched(vec![view(110, vec![missing()])]);
        assert_eq!(
            lost.sampled(&first, timeouts).await,
            first,
            "what was complete stays"
        );
        let incomplete = Arc::new(view(100, vec![missing()]));
        let begun = Instant::now();
        let found = watched(vec![view(110, vec![])])
            .sampled(&incomplete, timeouts)
            .await;
        assert_eq!(
            (found, begun),
            (incomplete, Instant::now()),
            "patience was used up"
        );
    }
}
