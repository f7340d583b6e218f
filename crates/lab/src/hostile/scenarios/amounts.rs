//! More of everything than exists.

use serde_json::json;

use super::{Scenario, lie, set};
use crate::hostile::question::Call::{self, Connz, Gatewayz, Jsz, Statsz, Statz};
use crate::hostile::script::{Change, ClientLoad, Edit};

pub(super) fn all() -> Vec<Scenario> {
    let streams = Edit {
        only: Some(0),
        ..Edit::new(
            Jsz,
            "/data/account_details/0/stream_detail",
            Change::Copies {
                count: 100_000,
                numbered: "ORDERS",
            },
        )
    };
    vec![
        lie("connz-million")
.describes("every page of CONNZ is full, without end: 1024 connections with long names, a million in all").edits(clients(1024, 1_000_000, &"x".repeat(200)))
        .heavy(),
        lie("connz-page-too-large")
.describes("one page of CONNZ holds 300 000 connections, each with a name of its own").edits(clients(300_000, 300_000, ""))
        .heavy(),
        lie("statsz-5000-servers")
.describes("5000 servers answer STATSZ, each in a cluster of its own").crowd(5000, vec![Statsz])
        .in_clusters("c{n}"),
        lie("clusters-rotate")
.describes("300 servers in a cluster each, whose names are new at each look and have quotes and a line end").crowd(300, vec![Statsz, Connz, Statz, Gatewayz])
        .in_clusters("c{look}-{n}\"\n\\x{evil=\"1\"} 5"),
        lie("statsz-flood")
.describes("100 000 answers to one STATSZ, of ever new servers").crowd(100_000, vec![Statsz]),
        lie("jsz-100k-streams")
.describes("100 000 streams in one JSZ").edits([streams]).heavy(),
    ]
}

/// The number that differs in copies of a connection; digits follow it.
const NUMBERED: &str = "777000";

fn clients(on_a_page: usize, total: usize, more: &str) -> [Edit; 3] {
    let number: u64 = 777_000;
    let one = json!([{"cid": number, "kind": "Client", "type": "nats", "start": "2026-11-22T18:27:59Z", "in_msgs": 26,
        "out_msgs": 26, "in_bytes": 820, "out_bytes": 5727, "authorized_user": "app", "account": "APP",
        "name": format!("client-{NUMBERED}{more}")}]);
    [
        set(Connz, "/data/connections", one),
        set(Connz, "/data/total", total),
        Edit::new(
            Connz,
            "/data/connections",
            Change::Copies {
                count: on_a_page,
                numbered: NUMBERED,
            },
        ),
    ]
}

impl Scenario {
    fn crowd(mut self, servers: usize, calls: Vec<Call>) -> Self {
        self.script.crowd = Some(ClientLoad {
            servers,
            calls,
            cluster: None,
            counted: false,
        });
        self.heavy()
    }

    fn in_clusters(mut self, cluster: &'static str) -> Self {
        if let Some(crowd) = &mut self.script.crowd {
            crowd.cluster = Some(cluster);
            crowd.counted = true;
        }
        self
    }
}
