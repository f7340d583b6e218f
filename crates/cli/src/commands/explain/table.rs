//! The answer as people read it: what was decided, then where it is and who uses it, then what would change it.

use itertools::Itertools as _;
use leeward_api::policy_status::RecentAction;

use crate::commands::usage;
use crate::document::{ActionPart, ExplainDocument, ExplainedDecision, PeerPart, PeerPlace, Usage};
use crate::output::{Emphasis, Page, Screen, Table, Text, amount, part};

/// Names listed at most; JSON has all.
const MOST_NAMED: usize = 12;

/// The whole document.
pub fn render(document: &ExplainDocument, screen: Screen) -> String {
    let ExplainDocument {
        consumer, decision, ..
    } = document;
    let mut page = Page::new(screen);
    let what = if consumer.is_some() {
        "CONSUMER "
    } else {
        "STREAM "
    };
    let name = amount::asset(&document.stream, consumer.as_deref());
    let head = Text::of(Emphasis::Plain, what)
        .and(Emphasis::Strong, name)
        .and(Emphasis::Plain, "  ");
    page.line(head.joined(verdict(decision)));
    part::about(&mut page, &document.about);
    match &decision.own_home {
        Some(own) => part::own_home(&mut page, own, decision.home.as_ref()),
        None => part::home(
            &mut page,
            decision.home.as_ref(),
            document.about.home_from_this_look,
        ),
    }
    decided(&mut page, document);
    page.heading("Where it is");
    place_part(&mut page, document.time, &document.place);
    page.heading("Who uses it");
    usage_part(&mut page, &document.usage, consumer.is_some());
    page.heading("What would change it");
    for change in &decision.changes {
        page.bullet(change.as_str());
    }
    if !decision.recent.is_empty() {
        page.heading("What was done lately");
        page.table(&recent(&decision.recent));
    }
    page.finish()
}

fn verdict(decision: &ExplainedDecision) -> Text {
    let tone = match decision.verdict.as_str() {
        "InPlace" => Emphasis::Good,
        "NotSelected" | "Ignored" => Emphasis::Plain,
        _ => Emphasis::Warn,
    };
    let reason = decision.reason.as_ref().map(|reason| format!(" ({reason})"));
    let reason = reason.unwrap_or_default();
    Text::of(tone, format!("{}{reason}", decision.verdict))
}

fn decided(page: &mut Page, document: &ExplainDocument) {
    let decision = &document.decision;
    page.heading("What was decided");
    page.fact("Why", decision.because.as_str());
    if let Some(remedy) = decision.remedy {
        page.fact("Remedy", remedy.as_ref());
    }
    match decision.gain {
        Some(gain) => page.fact("Gain", format!("{} of waiting saved", amount::gain(gain))),
        None if decision.remedy.is_some() => page.fact("Gain", "-"),
        None => {}
    }
    if let (Some(action), Some(at)) = (&decision.action, decision.action_time) {
        let when = amount::in_time(at, document.time);
        page.fact("Next", format!("{when}: {}", action_text(action)));
    }
}

/// What would be done, and what it costs.
fn action_text(action: &ActionPart) -> String {
    let asset = amount::asset(&action.stream, action.consumer.as_deref());
    let to = action.to.as_ref().map(|to| format!(" to {to}"));
    let mut parts = vec![format!("{} of {asset}{}", action.action, to.unwrap_or_default())];
    if let (Some(bytes), Some(seconds)) = (action.bytes, action.seconds) {
        let (bytes, time) = (amount::bytes(bytes), amount::seconds(seconds));
        parts.push(format!("copies {bytes} in about {time}"));
    }
    if let Some(stall) = action.stall_seconds.filter(|stall| *stall > 0.0) {
        parts.push(format!("blocks writes for about {}", amount::seconds(stall)));
    }
    if let Some(followers) = action.followers.filter(|followers| *followers > 0) {
        let consumers = amount::counted(followers, "consumer");
        parts.push(format!("takes {consumers} along"));
    }
    parts.join(", ")
}

fn place_part(page: &mut Page, now: jiff::Timestamp, place: &PeerPlace) {
    let peers = Table::of(&place.peers)
        .name("  SERVER", |peer| format!("  {}", peer.server))
        .name("LOCATION", |peer| peer.location.as_deref().unwrap_or("-"))
        .word("ROLE", |peer| {
            if peer.leader {
                Text::of(Emphasis::Strong, "leader")
            } else {
                Text::from("replica")
            }
        })
        .word("STATE", state)
        .number("LAG", |peer| peer.lag.to_string());
    page.table(&peers);
    if !place.peers.iter().any(|peer| peer.leader) {
        page.fact("Leader", Text::of(Emphasis::Bad, "none"));
    }
    if let Some(since) = place.leader_since {
        let text = format!("{}, for {}", amount::clock(since), amount::age(since, now));
        page.fact("Leads since", text);
    }
    let replicas = amount::counted(place.replicas, "replica");
    page.fact("Stream", format!("{} in {replicas}", amount::bytes(place.bytes)));
    page.fact("Placement", placement(place));
    if place.moving {
        page.fact("Moving", Text::of(Emphasis::Warn, "the servers move it now"));
    }
}

fn state(peer: &PeerPart) -> Text {
    if peer.offline {
        Text::of(Emphasis::Bad, "offline")
    } else if peer.current {
        Text::from("current")
    } else {
        Text::of(Emphasis::Warn, "behind")
    }
}

fn placement(place: &PeerPlace) -> String {
    let cluster = place
        .placement_cluster
        .as_ref()
        .map(|name| format!("cluster {name}"));
    let tags = place.placement_tags.join(", ");
    let tags = (!tags.is_empty()).then(|| format!("tags {tags}"));
    match (cluster, tags) {
        (None, None) => "none: the servers chose where it lies".to_owned(),
        (cluster, tags) => cluster.into_iter().chain(tags).join(", "),
    }
}

fn usage_part(page: &mut Page, usage: &Usage, of_consumer: bool) {
    let what = if of_consumer { "delivered" } else { "stored" };
    let rate = match usage.message_rate {
        Some(rate) => format!("{} messages {what}", amount::per_second(rate)),
        None => format!("messages {what} were not counted: --sample was too short"),
    };
    page.fact("Traffic", rate);
    if let Some(pending) = usage.ack_pending {
        page.fact("Ack pending", pending.to_string());
    }
    for (label, names) in [
        ("Consumers", &usage.consumers),
        ("Reads from", &usage.upstreams),
        ("Read by", &usage.dependents),
    ] {
        if !names.is_empty() {
            page.fact(label, amount::names(names, MOST_NAMED));
        }
    }
    let clients = Table::of(&usage.locations)
        .name("  LOCATION", |location| format!("  {}", location.name))
        .number("CLIENTS", |location| location.connections.to_string())
        .number("SHARE", |location| amount::percent(location.percent));
    page.fact("Clients", "of the account, any of which may use it:");
    page.table(&clients);
    if let Some(sampled) = &usage.sampled {
        page.fact("Use", "as a sample of its messages showed it:");
        usage::lines(page, std::slice::from_ref(sampled));
    }
}

fn recent(actions: &[RecentAction]) -> Table<'_, RecentAction> {
    Table::of(actions)
        .name("  TIME", |action| format!("  {}", amount::clock(action.time.0)))
        .word("ACTION", |action| action.action.to_string())
        .spare_name("CONSUMER", |action| action.consumer.as_deref())
        .spare_name("FROM", |action| action.from.as_deref())
        .name("TO", |action| action.to.as_deref())
        .word("RESULT", |action| action.result.to_string())
        .word("REASON", |action| action.reason.as_deref())
}
