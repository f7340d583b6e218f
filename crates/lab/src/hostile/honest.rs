//! What an honest system of four servers in two clusters answers, in the servers' own format (2.15.1).
//!
//! Clients are in `us`. The stream ORDERS is there too; LEDGER, with one replica, is in `eu` and would have to move.
//! The numbers are constant, so that two looks at the system are equal.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::question::{Call, Question};

/// The account with the streams.
pub const ACCOUNT: &str = "APP";
/// The system account; its user is [`SYSTEM_USER`], and every other user belongs to [`ACCOUNT`].
pub const SYSTEM_ACCOUNT: &str = "SYS";
/// The user of the system account.
pub const SYSTEM_USER: &str = "sys";
/// The streams of [`ACCOUNT`], each with one consumer.
pub const STREAMS: [&str; 2] = ["ORDERS", "LEDGER"];
/// The server that listens.
pub const HERE: usize = 0;

const SERVERS: [(&str, &str, &str); 4] = [
    ("us-0", "us", "voZ3TT53"),
    ("us-1", "us", "A1dq6go2"),
    ("us-2", "us", "qbh82b20"),
    ("eu-0", "eu", "5e5I0gES"),
];
const VERSION: &str = "2.15.1";
const SINCE: &str = "2026-11-22T18:27:59.159420173Z";
/// Client connections of the account on each of the first two servers.
const CLIENTS: u64 = 6;
const META_LEADER: usize = 1;

/// A client that is connected here.
#[derive(Clone, Debug)]
pub struct Present {
    pub number: u64,
    pub user: String,
    pub name: String,
}

impl Present {
    fn account(&self) -> &'static str {
        account_of(&self.user)
    }
}

pub(crate) fn account_of(user: &str) -> &'static str {
    if user == SYSTEM_USER {
        SYSTEM_ACCOUNT
    } else {
        ACCOUNT
    }
}

pub fn servers() -> usize {
    SERVERS.len()
}

/// The id of a server, also beyond the existing ones.
pub fn server_id(number: usize) -> String {
    format!("N{number:0>55}")
}

pub(crate) fn server_of_id(id: &str) -> Option<usize> {
    (0..servers()).find(|number| server_id(*number) == id)
}

fn of(number: usize) -> (&'static str, &'static str, &'static str) {
    SERVERS.get(number % SERVERS.len()).copied().unwrap_or(SERVERS[0])
}

fn now() -> String {
    Timestamp::now().to_string()
}

fn server(number: usize) -> Value {
    let (name, cluster, _) = of(number);
    json!({"name": name, "id": server_id(number), "cluster": cluster, "ver": VERSION, "jetstream": true, "time": now()})
}

/// The server's first message.
pub(crate) fn info(port: u16, client: u64) -> Value {
    let (name, cluster, _) = of(HERE);
    json!({"server_id": server_id(HERE), "server_name": name, "version": VERSION, "proto": 1, "git_commit": "v", "go": "go1.26",
        "host": "127.0.0.1", "port": port, "headers": true, "auth_required": true, "max_payload": 1_048_576,
        "jetstream": true, "client_id": client, "client_ip": "127.0.0.1", "nonce": "WkDX7DJPLzZbR8Q", "cluster": cluster,
        "domain": "", "xkey": "XDQ"})
}

/// The answers to a question, in the order of the servers; `None` where nobody serves it.
pub fn answers(question: &Question, user: &str, present: &[Present]) -> Option<Vec<Value>> {
    if question.privileged && account_of(user) != SYSTEM_ACCOUNT {
        return None;
    }
    if question.call.is_monitoring() {
        let asked = question.server.map_or(0..servers(), |server| server..server + 1);
        return Some(
            asked
                .map(|number| monitoring(question, number, user, present))
                .collect(),
        );
    }
    let answer = match question.call {
        Call::UserInfo => {
            let account = account_of(user);
            json!({"server": server(HERE), "data": {"user": user, "account": account, "account_name": account}})
        }
        Call::StreamNames => page(
            question,
            "stream_names_response",
            "streams",
            STREAMS.map(Value::from).to_vec(),
        ),
        Call::StreamList => {
            let streams = STREAMS.iter().map(|name| stream(name, None));
            page(question, "stream_list_response", "streams", streams.collect())
        }
        Call::ConsumerList if STREAMS.contains(&question.stream.as_str()) => {
            let consumers = vec![consumer(&question.stream, None)];
            page(question, "consumer_list_response", "consumers", consumers)
        }
        Call::StreamInfo | Call::Update if STREAMS.contains(&question.stream.as_str()) => {
            let mut info = json!({"type": kind("stream_info_response"), "total": 0, "offset": 0, "limit": 0});
            merge(&mut info, stream(&question.stream, None));
            info
        }
        Call::ConsumerInfo if STREAMS.contains(&question.stream.as_str()) => {
            let mut info = json!({"type": kind("consumer_info_response")});
            merge(&mut info, consumer(&question.stream, None));
            info
        }
        Call::StepDown => json!({"type": kind("stream_leader_stepdown_response"), "success": true}),
        Call::CancelMove => json!({"type": kind("stream_move_response"), "success": true}),
        _ => {
            json!({"type": kind("error"), "error": {"code": 404, "err_code": 10_059, "description": "stream not found"}})
        }
    };
    Some(vec![answer])
}

fn monitoring(question: &Question, number: usize, user: &str, present: &[Present]) -> Value {
    match question.call {
        Call::Statsz => json!({"server": server(number), "statsz": statsz(number)}),
        Call::Idz => json!({"name": of(number).0, "host": "127.0.0.1", "id": server_id(number)}),
        _ => {
            let mut data = json!({"server_id": server_id(number), "now": now()});
            let more = match question.call {
                Call::Gatewayz => gatewayz(number),
                Call::Connz => connz(question, number, user, present),
                Call::Statz => statz(number),
                Call::Jsz => jsz(number, true),
                _ => jsz(number, false),
            };
            merge(&mut data, more);
            json!({"server": server(number), "data": data})
        }
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn statsz(number: usize) -> Value {
    let counts = json!({"msgs": 741, "bytes": 863_273});
    let (name, _, peer) = of(META_LEADER);
    json!({"start": SINCE, "mem": 22_216_704, "cores": 2, "cpu": 1, "connections": connections_on(number), "total_connections": 8,
        "active_accounts": 2, "sent": counts, "sent_to_clients": counts, "received": counts, "received_from_clients": counts,
        "slow_consumers": 0, "active_servers": servers(), "gomaxprocs": 2,
        "jetstream": {
            "config": {"max_memory": 268_435_456, "max_storage": 8_589_934_592_u64, "sync_interval": 120_000_000_000_u64,
                "compress_ok": true, "strict": true},
            "stats": {"memory": 0, "storage": 870, "reserved_memory": 0, "reserved_storage": 0, "accounts": 1, "ha_assets": 3},
            "meta": {"name": "_meta_", "leader": name, "peer": peer, "cluster_size": servers(), "pending": 0}}})
}

fn gatewayz(number: usize) -> Value {
    let (_, cluster, _) = of(number);
    let (other, far) = if cluster == "us" { ("eu", 3) } else { ("us", 0) };
    json!({"name": cluster, "outbound_gateways": {other: {"configured": true, "connection": {
        "cid": 18, "kind": "Gateway", "start": SINCE, "rtt": "25.177542ms", "pending_bytes": 95, "in_msgs": 0, "out_msgs": 94,
        "in_bytes": 0, "out_bytes": 19_560, "name": server_id(far)}}}})
}

fn connections_on(number: usize) -> u64 {
    if number < 2 { CLIENTS } else { 0 }
}

fn connection(number: u64, user: &str, account: &str, name: &str) -> Value {
    json!({"cid": number, "kind": "Client", "type": "nats", "start": SINCE, "rtt": "467µs", "pending_bytes": 0, "in_msgs": 26,
        "out_msgs": 26, "in_bytes": 820, "out_bytes": 5727, "name": name, "authorized_user": user, "account": account,
        "name_tag": account})
}

fn connz(question: &Question, number: usize, user: &str, present: &[Present]) -> Value {
    let account = if question.privileged {
        question.options.get("acc").and_then(Value::as_str)
    } else {
        Some(account_of(user))
    };
    let offset = question.option("offset").unwrap_or(0);
    let limit = question
        .option("limit")
        .filter(|limit| *limit > 0)
        .unwrap_or(1024);
    let wanted = question.option("cid").filter(|number| *number > 0);
    let clients = (0..connections_on(number))
        .filter(|_| account.is_none_or(|account| account == ACCOUNT))
        .map(|client| {
            let id = 1_000_000 * (u64::try_from(number).unwrap_or(0) + 1) + client;
            (id, connection(id, "app", ACCOUNT, "shop"))
        });
    let here = present
        .iter()
        .filter(|one| number == HERE && account.is_none_or(|account| account == one.account()))
        .map(|one| {
            (
                one.number,
                connection(one.number, &one.user, one.account(), &one.name),
            )
        });
    let mut all: Vec<(u64, Value)> = clients.chain(here).collect();
    all.sort_by_key(|(id, _)| *id);
    all.retain(|(id, _)| wanted.is_none_or(|wanted| wanted == *id));
    let total = all.len();
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let listed: Vec<Value> = all
        .into_iter()
        .skip(skipped)
        .take(most)
        .map(|(_, one)| one)
        .collect();
    json!({"num_connections": listed.len(), "total": total, "offset": offset, "limit": limit, "connections": listed})
}

fn statz(number: usize) -> Value {
    let none = json!({"msgs": 0, "bytes": 0});
    let sent = json!({"msgs": 66, "bytes": 9467, "gateways": none, "leafs": none});
    let received = json!({"msgs": 26, "bytes": 820, "gateways": none, "leafs": none});
    json!({"account_statz": [{"acc": ACCOUNT, "name": ACCOUNT, "conns": connections_on(number), "leafnodes": 0,
        "total_conns": connections_on(number), "num_subscriptions": 24, "sent": sent, "received": received,
        "slow_consumers": 0}]})
}

fn jsz(number: usize, streams: bool) -> Value {
    let meta = group("us", META_LEADER, &[0, 1, 2, 3], number);
    let mut meta_cluster = json!({"name": "us", "leader": of(META_LEADER).0, "peer": of(META_LEADER).2,
        "cluster_size": servers(), "pending": 0});
    meta_cluster["replicas"] = meta["replicas"].clone();
    let mut detail = json!({"name": ACCOUNT, "id": ACCOUNT, "storage": 2610, "accounts": 0});
    if streams {
        let own = STREAMS.iter().filter(|name| members(name).contains(&number));
        let own: Vec<Value> = own.map(|name| own_copy(name, number)).collect();
        detail["stream_detail"] = Value::Array(own);
    }
    json!({"storage": 870, "accounts": 1, "streams": 1, "consumers": 1, "messages": 20, "bytes": 870,
        "meta_cluster": meta_cluster, "account_details": [detail], "total": 1})
}

fn own_copy(name: &str, number: usize) -> Value {
    let mut stream = stream(name, Some(number));
    stream["name"] = name.into();
    stream["consumer_detail"] = json!([consumer(name, Some(number))]);
    stream
}

fn members(stream: &str) -> &'static [usize] {
    if stream == "ORDERS" { &[0, 1, 2] } else { &[3] }
}

/// A Raft group as the server `speaker` sees it. Only the leader is right about the others and knows since when it
/// leads; a group of one has no replicas.
fn group(cluster: &str, leader: usize, members: &[usize], speaker: usize) -> Value {
    let mut group = json!({"name": cluster, "leader": of(leader).0});
    let leads = speaker == leader;
    if leads {
        group["leader_since"] = SINCE.into();
    }
    let replicas = members.iter().filter(|member| **member != speaker).map(|member| {
        let is_current = leads || *member == leader;
        let active = if is_current { 679_441_024 } else { 0 };
        json!({"name": of(*member).0, "current": is_current, "active": active, "peer": of(*member).2})
    });
    if members.len() > 1 {
        group["replicas"] = Value::Array(replicas.collect());
    }
    group
}

fn stream(name: &str, speaker: Option<usize>) -> Value {
    let members = members(name);
    let leader = members.first().copied().unwrap_or(0);
    let cluster = of(leader).1;
    let mut config = json!({"name": name, "subjects": [format!("{}.>", name.to_lowercase())], "max_age": 0, "max_bytes": -1,
        "storage": "file", "num_replicas": members.len(), "metadata": {"_nats.req.level": "0", "team": "a"}});
    if members.len() > 1 {
        config["placement"] = json!({"cluster": cluster});
    }
    json!({"config": config, "cluster": group(cluster, leader, members, speaker.unwrap_or(leader)), "state": {"messages": 20,
        "bytes": 870, "first_seq": 1, "last_seq": 20, "num_subjects": 20, "consumer_count": 1}})
}

fn consumer(of_stream: &str, speaker: Option<usize>) -> Value {
    let members = members(of_stream);
    let leader = members.last().copied().unwrap_or(0);
    json!({"stream_name": of_stream, "name": "dur", "config": {"durable_name": "dur", "name": "dur", "ack_policy": "explicit",
        "num_replicas": 0, "metadata": {"_nats.req.level": "0"}}, "delivered": {"consumer_seq": 5, "stream_seq": 5},
        "ack_floor": {"consumer_seq": 5, "stream_seq": 5}, "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": 1,
        "num_pending": 0, "cluster": group(of(leader).1, leader, members, speaker.unwrap_or(leader))})
}

fn kind(name: &str) -> String {
    format!("io.nats.jetstream.api.v1.{name}")
}

/// The requested page of a list.
fn page(question: &Question, name: &str, list: &str, all: Vec<Value>) -> Value {
    let offset = question.option("offset").unwrap_or(0);
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip(skipped).collect();
    json!({"type": kind(name), "total": total, "offset": offset, "limit": 256, list: items})
}
