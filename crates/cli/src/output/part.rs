//! What several documents have in common, as people read it.

use leeward_api::policy_status::{Account, HomeStatus};

use super::{Emphasis, Page, Text, amount};
use crate::document::DocumentHeader;

/// The head of what is about one account and policy; what could not be seen first of all.
pub fn about(page: &mut Page, about: &DocumentHeader) {
    page.blank();
    let head = Text::of(Emphasis::Plain, "ACCOUNT ")
        .and(Emphasis::Strong, account(&about.account))
        .and(Emphasis::Plain, format!("  POLICY {}", about.policy));
    page.line(head);
    if about.observed.reason != "Complete" {
        let message = format!(": {}. Nothing below is certain.", about.observed.message);
        let incomplete = Text::of(Emphasis::Bad, format!("INCOMPLETE ({})", about.observed.reason));
        page.line(incomplete.and(Emphasis::Plain, message));
    }
    if let Some(other) = &about.outranked_by {
        let why =
            format!(" by policy {other}, which selects some of the same streams: this one does not act");
        page.line(Text::of(Emphasis::Warn, "OUTRANKED").and(Emphasis::Plain, why));
    }
}

/// Where leaders belong.
pub fn home(page: &mut Page, home: Option<&HomeStatus>, from_this_look: bool) {
    let Some(home) = home else {
        page.line(Text::of(Emphasis::Plain, "HOME ").and(Emphasis::Warn, "unknown"));
        return;
    };
    let since = home.since.as_ref().filter(|_| !from_this_look);
    let since = since.map_or_else(String::new, |since| format!(", since {}", amount::clock(since.0)));
    let share = format!(
        "  {} of the clients, {}{since}",
        amount::percent(home.percent),
        amount::counted(home.connections.unsigned_abs(), "connection")
    );
    let mut text = Text::of(Emphasis::Plain, "HOME ")
        .and(Emphasis::Strong, home.location.as_str())
        .and(Emphasis::Plain, share);
    if !home.stable {
        text = text.and(Emphasis::Plain, ", ").and(Emphasis::Warn, "not settled");
    }
    page.line(text);
    if from_this_look {
        page.dim("  (by this one look: home.stabilizationWindow was not waited for)");
    }
}

/// Where one stream or consumer belongs by its own clients.
pub fn own_home(page: &mut Page, own: &str, of_account: Option<&HomeStatus>) {
    let of_account = of_account.map_or("unknown", |home| home.location.as_str());
    let text = Text::of(Emphasis::Plain, "HOME ")
        .and(Emphasis::Strong, own.to_owned())
        .and(
            Emphasis::Plain,
            format!("  by its own clients; the account's home is {of_account}"),
        );
    page.line(text);
}

/// An account, by name where it has one that tells more than its id.
pub fn account(account: &Account) -> String {
    match &account.name {
        Some(name) if *name != account.id => format!("{name} ({})", account.id),
        Some(_) | None => account.id.clone(),
    }
}
