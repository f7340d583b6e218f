//! Restarts the tasks that have to run as long as what they serve.
//!
//! A panic is a defect of Leeward, or of the NATS client library where servers send what none should. Here it becomes
//! an error like any other: it is counted, logged, reported by the task's owner, and the task is restarted with growing
//! pauses. It never ends another task, and no supervised task ends unnoticed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use strum::{EnumCount, IntoEnumIterator as _};
use tokio::time::{Instant, sleep};

/// Pauses between tries: doubling from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A task that ran this long has recovered: its next panic counts as the first.
const RECOVERED: Duration = Duration::from_mins(2);
/// Panics in a row after which a task that serves the whole process counts as beyond help.
const BEYOND_HELP: u32 = 6;
/// Of a panic's message; it may quote input from outside.
const MOST_CHARACTERS: usize = 200;

/// The message for a panic of Leeward's own.
pub const DEFECT: &str = "a defect of Leeward, please report it";
/// The message for a panic of the NATS client library.
pub const UNREADABLE: &str = "the server sent what the NATS client library cannot read";

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumCount, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SupervisedTask {
    /// Connects to NATS, which the NATS client library does.
    NatsClient,
    /// Keeps a connection to NATS.
    Connection,
    /// Reads which account a connection belongs to.
    Account,
    /// Observes a system, or one account.
    Observation,
    /// Receives NATS advisories.
    Advisories,
    /// The loop of one policy.
    Policy,
    /// One operation of a policy.
    Operation,
    /// The reconcile of one object.
    Reconcile,
    /// Serves the whole process.
    Process,
}

static PANICS: [AtomicU64; SupervisedTask::COUNT] = [const { AtomicU64::new(0) }; SupervisedTask::COUNT];
static IS_BEYOND_HELP: AtomicBool = AtomicBool::new(false);

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", cause(*task))]
pub struct Panicked {
    task: SupervisedTask,
    message: String,
}

fn cause(task: SupervisedTask) -> &'static str {
    match task {
        SupervisedTask::NatsClient => UNREADABLE,
        SupervisedTask::Connection
        | SupervisedTask::Account
        | SupervisedTask::Observation
        | SupervisedTask::Advisories
        | SupervisedTask::Policy
        | SupervisedTask::Operation
        | SupervisedTask::Reconcile
        | SupervisedTask::Process => DEFECT,
    }
}

impl Panicked {
    fn count(task: SupervisedTask, payload: &(dyn Any + Send)) -> Self {
        let words = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without words");
        let printable = words.chars().map(|c| if c.is_control() { ' ' } else { c });
        let panicked = Self {
            task,
            message: printable.take(MOST_CHARACTERS).collect(),
        };
        if let Some(number) = PANICS.get(task as usize) {
            number.fetch_add(1, Ordering::Relaxed);
        }
        let word: &'static str = task.into();
        tracing::error!(task = word, error = %panicked, "a task broke off");
        panicked
    }
}

/// Panics since this process started, for each kind of task.
pub fn panics() -> impl Iterator<Item = (&'static str, u64)> {
    SupervisedTask::iter()
        .zip(&PANICS)
        .map(|(task, number)| (task.into(), number.load(Ordering::Relaxed)))
}

/// Whether a task that serves the whole process panicked so often that only a new process can help.
pub fn is_beyond_help() -> bool {
    IS_BEYOND_HELP.load(Ordering::Relaxed)
}

/// Runs work to its end; a panic in it is an error.
pub async fn catch<T>(task: SupervisedTask, work: impl Future<Output = T>) -> Result<T, Panicked> {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended.map_err(|payload| Panicked::count(task, &*payload))
}

/// The same for work that does not wait.
pub fn catch_now<T>(task: SupervisedTask, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::count(task, &*payload))
}

/// Runs a task and restarts it after a panic and a pause; `broke_off` reports the panic. Ends when the task ends by
/// itself.
pub async fn keep<F: Future<Output = ()>>(
    task: SupervisedTask,
    mut broke_off: impl FnMut(&Panicked),
    mut begin: impl FnMut() -> F,
) {
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let Err(panicked) = catch(task, async { begin().await }).await else {
            return;
        };
        broke_off(&panicked);
        if began.elapsed() >= RECOVERED {
            failures = 0;
        }
        failures = failures.saturating_add(1);
        if task == SupervisedTask::Process && failures >= BEYOND_HELP {
            IS_BEYOND_HELP.store(true, Ordering::Relaxed);
        }
        sleep(pause(failures)).await;
    }
}

/// How long to wait after this many panics in a row.
pub fn pause(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// The pauses of a task that panics repeatedly, for owners that restart it themselves.
#[derive(Debug, Default)]
pub struct RestartBackoff {
    failures: u32,
    until: Option<Instant>,
}

impl RestartBackoff {
    /// It panicked. A recovery in between is not considered: pauses are short, and defects are few.
    pub fn begin(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.until = now.checked_add(pause(self.failures));
    }

    /// How long the pause still is; `None` when it is over.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        let remaining = self.until?.saturating_duration_since(now);
        (!remaining.is_zero()).then_some(remaining)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn panics_of(task: SupervisedTask) -> u64 {
        let word: &'static str = task.into();
        panics().find(|(name, _)| *name == word).unwrap().1
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_counted_said_and_begun_anew_with_growing_pauses() {
        let before = panics_of(SupervisedTask::Advisories);
        let (tries, began) = (Cell::new(0), Instant::now());
        let mut messages = Vec::new();
        keep(
            SupervisedTask::Advisories,
            |panicked| messages.push(panicked.to_string()),
            || async {
                tries.set(tries.get() + 1);
                assert!(tries.get() > 3, "try {}", tries.get());
            },
        )
        .await;
        assert_eq!(
            (tries.get(), panics_of(SupervisedTask::Advisories)),
            (4, before + 3)
        );
        assert_eq!(messages[2], "a defect of Leeward, please report it: try 3");
        assert_eq!(began.elapsed(), Duration::from_secs(1 + 2 + 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_of_the_process_that_never_recovers_is_beyond_help() {
        assert!(
            !is_beyond_help(),
            "what serves one system or policy alone never is"
        );
        let tries = Cell::new(0);
        let begin = || async {
            tries.set(tries.get() + 1);
            assert!(tries.get() > BEYOND_HELP, "again");
        };
        keep(SupervisedTask::Process, |_| {}, begin).await;
        assert!(is_beyond_help());
    }

    #[tokio::test]
    async fn what_the_client_library_cannot_read_is_no_defect_of_leeward() {
        let reading = async { assert_eq!(1, 2, "slice index starts at 5") };
        let messages = catch(SupervisedTask::NatsClient, reading)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            messages.starts_with(UNREADABLE) && messages.contains("slice index"),
            "{messages}"
        );
        assert!(!messages.contains("defect"), "{messages}");
    }

    #[test]
    fn what_breaks_off_again_rests_longer() {
        let (now, mut backoff) = (Instant::now(), RestartBackoff::default());
        assert_eq!(backoff.remaining(now), None);
        backoff.begin(now);
        assert_eq!(backoff.remaining(now), Some(FIRST_PAUSE));
        assert_eq!(backoff.remaining(now + FIRST_PAUSE), None);
        backoff.begin(now);
        assert_eq!(backoff.remaining(now), Some(2 * FIRST_PAUSE));
    }

    #[test]
    fn pauses_and_messages_are_bounded() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
        let long = "x\n".repeat(5000);
        let caught = catch_now::<()>(SupervisedTask::Operation, || panic!("{long}"));
        let message = caught.unwrap_err().message;
        assert_eq!(message.chars().count(), MOST_CHARACTERS);
        assert!(!message.contains('\n'));
    }
}
