//! The config file of one server. NATS reads JSON, so it is written as JSON.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::layout::ClusterMember;
use crate::ports::Port;

/// The addresses of one server. All stay the same for as long as the system exists, restarts included.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) client: Port,
    pub(crate) cluster: Port,
    pub(crate) gateway: Port,
    /// By calling location: the relay in front of the gateway port (supercluster) or the route port (stretched cluster).
    pub(crate) relays: BTreeMap<String, Port>,
    /// The address that the server advertises to other servers. Nobody listens there, so all know each other by their
    /// configs only: gossip has one address for all callers, but each location has to call through its own relay.
    pub(crate) nowhere: Port,
    pub(crate) leaf_nodes: Option<Port>,
    pub(crate) monitoring: Option<Port>,
}

/// One server as its neighbours see it.
#[derive(Debug)]
pub(crate) struct ServerNode {
    pub(crate) member: ClusterMember,
    pub(crate) ports: Ports,
}

impl ServerNode {
    /// Where servers of `location` reach this one. `direct` is its port for callers of the same location.
    fn address_for(&self, location: &str, direct: &Port) -> SocketAddr {
        self.ports.relays.get(location).unwrap_or(direct).address()
    }
}

/// What is the same for all servers of a system.
#[derive(Debug)]
pub(crate) struct SharedConfig {
    pub(crate) stretched: bool,
    /// `accounts`, `operator` and so on, at top level.
    pub(crate) accounts: Value,
    pub(crate) tls: Option<Value>,
    /// Settings of JetStream, where it runs.
    pub(crate) jetstream: Option<Map<String, Value>>,
    /// Top-level settings that replace what is generated.
    pub(crate) settings: Map<String, Value>,
}

/// The config text of `nodes[index]`, which keeps its streams below `store`.
pub(crate) fn text(shared: &SharedConfig, nodes: &[ServerNode], index: usize, store: &Path) -> String {
    let node = &nodes[index];
    let mut config = json!({
        "server_name": node.member.name,
        "listen": node.ports.client.address(),
        "server_tags": node.member.tags,
    });
    if let Some(settings) = &shared.jetstream {
        config["jetstream"] = json!(settings);
        config["jetstream"]["store_dir"] = json!(store);
        config["jetstream"]["max_memory_store"] = json!(256 << 20);
        config["jetstream"]["max_file_store"] = json!(8_i64 << 30);
    }
    if let Some(port) = &node.ports.leaf_nodes {
        config["leafnodes"] = json!({ "listen": port.address(), "no_advertise": true });
    }
    // JetStream in a cluster of one would wait for routes for ever.
    if nodes.len() > 1 {
        config["cluster"] = cluster(nodes, node);
        if shared.stretched {
            config["cluster"]["advertise"] = json!(node.ports.nowhere.address());
        } else {
            config["gateway"] = gateway(nodes, node);
        }
    }
    if let Some(port) = &node.ports.monitoring {
        config["http"] = json!(port.address());
    }
    if let Some(tls) = &shared.tls {
        config["tls"] = tls.clone();
    }
    if let (Value::Object(config), Value::Object(accounts)) = (&mut config, &shared.accounts) {
        config.extend(accounts.clone());
        config.extend(shared.settings.clone());
    }
    format!("{config:#}\n")
}

/// Routes to the servers of the same cluster, itself included; those to another region of a stretched cluster go
/// through relays. A server counts its configured routes and gateway URLs to know with how many peers the JetStream
/// meta group starts (`bootstrapRaftNode` in raft.go). If it counts too few, each cluster of a supercluster may elect
/// its own leader first, and up to 2.11 the two groups then stay separate in one start of four.
fn cluster(nodes: &[ServerNode], node: &ServerNode) -> Value {
    let routes: Vec<String> = nodes
        .iter()
        .filter(|other| other.member.cluster == node.member.cluster)
        .map(|other| other.address_for(&node.member.location, &other.ports.cluster))
        .map(|address| format!("nats-route://{address}"))
        .collect();
    json!({ "name": node.member.cluster, "listen": node.ports.cluster.address(), "routes": routes })
}

fn gateway(nodes: &[ServerNode], node: &ServerNode) -> Value {
    let mut remotes: Vec<&str> = nodes.iter().map(|other| other.member.cluster.as_str()).collect();
    remotes.dedup();
    let remotes: Vec<Value> = remotes
        .into_iter()
        .filter(|cluster| *cluster != node.member.cluster)
        .map(|cluster| {
            let urls: Vec<String> = nodes
                .iter()
                .filter(|other| other.member.cluster == cluster)
                .map(|other| other.address_for(&node.member.location, &other.ports.gateway))
                .map(|address| format!("nats://{address}"))
                .collect();
            json!({ "name": cluster, "urls": urls })
        })
        .collect();
    json!({
        "name": node.member.cluster,
        "listen": node.ports.gateway.address(),
        "advertise": node.ports.nowhere.address(),
        "gateways": remotes,
    })
}
