//! Where the gateways between clusters lead.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::system::System;

/// How many gateways of the servers of `from` lead to each server of `to`.
pub async fn gateways_to(system: &System, from: &str, to: &str) -> anyhow::Result<BTreeMap<String, usize>> {
    let varz = system.ping("VARZ", &Value::Null).await?;
    let gatewayz = system.ping("GATEWAYZ", &Value::Null).await?;
    let none = |name| (name, 0);
    let mut leading: BTreeMap<String, usize> = system.servers_in(to).into_iter().map(none).collect();
    for server in system.servers_in(from) {
        let answer = gatewayz.get(&server);
        let answer = answer.with_context(|| format!("{server} does not answer"))?;
        let id = &answer["outbound_gateways"][to]["connection"]["name"];
        let target = varz.iter().find(|(_, data)| data["server_id"] == *id);
        let (target, _) = target.with_context(|| format!("{server} has no gateway to {to}: {id}"))?;
        *leading.entry(target.clone()).or_default() += 1;
    }
    Ok(leading)
}

/// The servers of `to` that may sleep while those of `from` go on reaching one: all but that to which most gateways lead. A
/// server that sleeps swallows what comes on its gateways for minutes: until they are taken for stale, and then until they
/// happen to be made to one that is awake.
pub async fn may_sleep(system: &System, from: &str, to: &str) -> anyhow::Result<Vec<String>> {
    let gateways = gateways_to(system, from, to).await?;
    let most = gateways.iter().max_by_key(|(_, count)| **count);
    let (awake, count) = most.context("there is no server")?;
    ensure!(*count > 0, "no gateway of {from} leads to {to}");
    let others = gateways.keys().filter(|name| *name != awake);
    Ok(others.cloned().collect())
}
