//! The answer as people read it: what was decided, then where it is and who uses it, then what would change it.

use leeward_api::policy_status::RecentAction;

use crate::document::{ActionPart, ExplainDocument, ExplainedDecision, PeerPart, PeerPlace, Usage};
use crate::output::{Column, Emphasis, Page, Screen, Table, Text, amount, part};

/// So many names are listed; JSON has all.
const MOST_NAMED: usize = 12;

/// The whole document.
pub fn render(document: &ExplainDocument, screen: Screen) -> String {
    let ExplainDocument {
        time: _,
        stream,
        consumer,
        about,
        place,
        usage,
        decision,
    } = document;
    let mut page = Page::new(screen);
    let name = match consumer {
        Some(consumer) => {
            Text::of(Emphasis::Plain, "CONSUMER ").and(Emphasis::Strong, format!("{stream}/{consumer}"))
        }
        None => Text::of(Emphasis::Plain, "STREAM ").and(Emphasis::Strong, stream.as_str()),
    };
    page.line(name.and(Emphasis::Plain, "  ").joined(verdict(decision)));
    part::about(&mut page, about);
    part::home(&mut page, decision.home.as_ref(), about.home_from_this_look);
    decided(&mut page, document);
    page.heading("Where it is");
    place_part(&mut page, document.time, place);
    page.heading("Who uses it");
    usage_part(&mut page, usage, consumer.is_some());
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
    Text::of(
        tone,
        format!("{}{}", decision.verdict, reason.unwrap_or_default()),
    )
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
    let asset = match &action.consumer {
        Some(consumer) => format!("{}/{consumer}", action.stream),
        None => action.stream.clone(),
    };
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
        let consumers = amount::counted(followers as u64, "consumer");
        parts.push(format!("takes {consumers} along"));
    }
    parts.join(", ")
}

fn place_part(page: &mut Page, now: jiff::Timestamp, place: &PeerPlace) {
    let mut peers = Table::new([
        Column::name("  SERVER"),
        Column::name("LOCATION"),
        Column::word("ROLE"),
        Column::word("STATE"),
        Column::number("LAG"),
    ]);
    for peer in &place.peers {
        let role = if peer.leader {
            Text::of(Emphasis::Strong, "leader")
        } else {
            Text::from("replica")
        };
        peers.row([
            format!("  {}", peer.server).into(),
            peer.location.as_deref().unwrap_or("-").into(),
            role,
            state(peer),
            peer.lag.to_string().into(),
        ]);
    }
    page.table(&peers);
    if !place.peers.iter().any(|peer| peer.leader) {
        page.fact("Leader", Text::of(Emphasis::Bad, "none"));
    }
    if let Some(since) = place.leader_since {
        let text = format!("{}, for {}", amount::clock(since), amount::age(since, now));
        page.fact("Leads since", text);
    }
    let replicas = amount::counted(place.replicas.into(), "replica");
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
    let tags =
        (!place.placement_tags.is_empty()).then(|| format!("tags {}", place.placement_tags.join(", ")));
    let parts: Vec<String> = cluster.into_iter().chain(tags).collect();
    if parts.is_empty() {
        "none: the servers chose where it lies".to_owned()
    } else {
        parts.join(", ")
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
            page.fact(label, some_of(names));
        }
    }
    let mut clients = Table::new([
        Column::name("  LOCATION"),
        Column::number("CLIENTS"),
        Column::number("SHARE"),
    ]);
    for location in &usage.locations {
        clients.row([
            format!("  {}", location.name),
            location.connections.to_string(),
            amount::percent(location.percent),
        ]);
    }
    page.fact("Clients", "of the account, any of which may use it:");
    page.table(&clients);
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMED).map(String::as_str);
    let shown: Vec<&str> = shown.collect();
    let rest = names.len() - shown.len();
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

fn recent(actions: &[RecentAction]) -> Table {
    let mut table = Table::new([
        Column::name("  TIME"),
        Column::word("ACTION"),
        Column::name("CONSUMER").spare(),
        Column::name("FROM").spare(),
        Column::name("TO"),
        Column::word("RESULT"),
        Column::word("REASON"),
    ]);
    for action in actions {
        table.row([
            format!("  {}", amount::clock(action.time.0)),
            action.action.to_string(),
            action.consumer.clone().unwrap_or_default(),
            action.from.clone().unwrap_or_default(),
            action.to.clone().unwrap_or_default(),
            action.result.to_string(),
            action.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}
