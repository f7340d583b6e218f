//! Random lies: honest answers with something changed. One seed is one lie.

mod values;

use fastrand::Rng;
use serde_json::Value;

use super::honest;
use super::question::{Call, Question};
use super::script::{Change, Delivery, Edit, Misbehaviour, Order, ReplySelector, Script};

#[derive(Clone, Debug)]
pub struct Mutation {
    pub seed: u64,
    /// Which client is lied to.
    pub audience: Audience,
    /// What is changed.
    pub describes: String,
    pub effect: Effect,
    pub script: Script,
}

/// Whose requests get the lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A user of the system account.
    System,
    /// A user of the account with the streams.
    Tenant,
}

/// What may result from a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// No lie: the result is complete and true.
    None,
    /// An answer cannot be read, is incomplete, or contradicts itself: the result is marked as incomplete, or true.
    Noticeable,
    /// An honest server of another system could send it: it may be believed.
    Plausible,
}

const OF_SYSTEM: [Call; 6] = [
    Call::Statsz,
    Call::Gatewayz,
    Call::Connz,
    Call::Statz,
    Call::Jsz,
    Call::Info,
];
const OF_TENANT: [Call; 6] = [
    Call::Connz,
    Call::Statz,
    Call::StreamList,
    Call::ConsumerList,
    Call::UserInfo,
    Call::Info,
];

impl Mutation {
    pub fn of(seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let audience = if chance.u8(..3) == 0 {
            Audience::Tenant
        } else {
            Audience::System
        };
        let mut mutation = Self {
            seed,
            audience,
            describes: String::new(),
            effect: Effect::None,
            script: Script::default(),
        };
        mutation.add(&mut chance);
        if chance.u8(..4) == 0 {
            mutation.add(&mut chance);
        }
        mutation
    }

    /// Whether it concerns the messages at the start of a connection.
    pub fn is_of_connecting(&self) -> bool {
        let calls = [Call::Info, Call::UserInfo];
        let mut edits = self.script.edits.iter();
        let delivered = self.script.delivery.of;
        edits.any(|edit| calls.iter().any(|call| edit.of == ReplySelector::Call(*call)))
            || delivered.is_some_and(|of| calls.contains(&of))
    }

    fn add(&mut self, chance: &mut Rng) {
        let calls = match self.audience {
            Audience::System => OF_SYSTEM,
            Audience::Tenant => OF_TENANT,
        };
        let call = calls[chance.usize(..calls.len())];
        let only = (call.is_monitoring() && chance.bool()).then(|| chance.usize(..honest::servers()));
        let (describes, effect) = if call != Call::Info && chance.u8(..4) == 0 {
            self.add_delivery(chance, call, only)
        } else {
            self.add_edit(chance, call, only)
        };
        let whose = only.map_or(String::new(), |server| format!(" of server {server}"));
        let describes = format!("{call:?}{whose}: {describes}");
        self.describes = if self.describes.is_empty() {
            describes
        } else {
            format!("{}; {describes}", self.describes)
        };
        // INFO does not affect the result.
        let effect = if call == Call::Info {
            Effect::Noticeable
        } else {
            effect
        };
        self.effect = self.effect.max(effect);
    }

    fn add_delivery(&mut self, chance: &mut Rng, call: Call, only: Option<usize>) -> (String, Effect) {
        let mut delivery = Delivery {
            of: Some(call),
            ..Delivery::default()
        };
        let milliseconds = |most: u64, chance: &mut Rng| std::time::Duration::from_millis(chance.u64(..most));
        let kind = chance.u8(..8);
        match kind {
            0 => delivery.order = Order::Shuffled(chance.u64(..)),
            1 => delivery.again = chance.usize(1..4),
            2 => delivery.pieces = Some((chance.usize(500..2000), milliseconds(2, chance))),
            3 => delivery.delay = milliseconds(50, chance),
            4 => delivery.lost = Some(only.unwrap_or(honest::HERE)),
            5 => delivery.manner = Misbehaviour::Announced(chance.i64(-40..40)),
            6 => {
                let all = ["503", "99999 odd", "-1", ""];
                delivery.manner = Misbehaviour::Status(all[chance.usize(..all.len())]);
            }
            _ => {
                use Misbehaviour::{Half, Never, WrongSubject};
                let all = [Half, Never, WrongSubject];
                delivery.manner = all[chance.usize(..all.len())];
            }
        }
        let effect = if kind < 4 {
            Effect::None
        } else {
            Effect::Noticeable
        };
        let describes = format!("{delivery:?}");
        self.script.delivery = delivery;
        (describes, effect)
    }

    fn add_edit(&mut self, chance: &mut Rng, call: Call, only: Option<usize>) -> (String, Effect) {
        let sample = sample(call, only.unwrap_or(honest::HERE), self.audience);
        let mut paths = Vec::new();
        walk(&sample, &mut Vec::new(), &mut paths);
        if chance.u8(..5) == 0 || paths.is_empty() {
            let (body, effect) = values::whole(chance);
            let describes = format!("{body:?}");
            self.push(call, only, Vec::new(), Change::Body(body));
            return (describes, effect);
        }
        let (mut path, value) = paths.swap_remove(chance.usize(..paths.len()));
        let (change, effect) = values::change(chance, &path, &value);
        // The same for all elements of a list, so that sums of them are wrong too.
        let within = path.len().saturating_sub(1);
        for step in path.iter_mut().take(within) {
            if step.parse::<usize>().is_ok() && chance.bool() {
                "*".clone_into(step);
            }
        }
        let describes = format!("/{}: {}", path.join("/"), shortened(&format!("{change:?}")));
        self.push(call, only, path, change);
        (describes, effect)
    }

    fn push(&mut self, call: Call, only: Option<usize>, path: Vec<String>, change: Change) {
        self.script.edits.push(Edit {
            of: ReplySelector::Call(call),
            only,
            path,
            change,
        });
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn sample(call: Call, server: usize, audience: Audience) -> Value {
    if call == Call::Info {
        return honest::info(4222, 7);
    }
    let user = match audience {
        Audience::System => honest::SYSTEM_USER,
        Audience::Tenant => "app",
    };
    let question = Question {
        server: call.is_monitoring().then_some(server),
        stream: honest::STREAMS[0].to_owned(),
        options: serde_json::json!({"acc": honest::ACCOUNT, "account": honest::ACCOUNT}),
        privileged: audience == Audience::System,
        ..Question::plain(call)
    };
    let answers = honest::answers(&question, user, &[]).unwrap_or_default();
    answers.into_iter().next().unwrap_or_default()
}

/// All values below a value, with their paths.
fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    let mut below = |step: String, value: &Value| {
        path.push(step);
        found.push((path.clone(), value.clone()));
        walk(value, path, found);
        path.pop();
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| below(index.to_string(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_always_the_same_lie_and_other_seeds_are_others() {
        let told = |seed| format!("{:?}", Mutation::of(seed));
        let all: BTreeSet<String> = (0..500).map(told).collect();
        assert!(all.len() > 490, "{}", all.len());
        assert_eq!(told(7), told(7));
    }

    #[test]
    fn all_effects_audiences_and_calls_come_up() {
        let all: Vec<Mutation> = (0..500).map(Mutation::of).collect();
        for effect in [Effect::None, Effect::Noticeable, Effect::Plausible] {
            let some = all.iter().filter(|mutation| mutation.effect == effect).count();
            assert!(some > 40, "{some} of {effect:?}");
        }
        let tenants = all
            .iter()
            .filter(|mutation| mutation.audience == Audience::Tenant);
        assert!((100..250).contains(&tenants.count()));
        for call in OF_SYSTEM.iter().chain(&OF_TENANT) {
            let named = format!("{call:?}");
            assert!(
                all.iter().any(|mutation| mutation.describes.contains(&named)),
                "{named}"
            );
        }
    }
}
