//! Generated worlds: servers in three places, clients, streams with their consumers, limits and gates; all as text, so that
//! the order of its lines can be changed.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::worlds::World;

/// A world as blocks of lines, whose order must not matter.
#[derive(Clone, Debug)]
pub struct Sketch {
    head: Vec<String>,
    servers: Vec<String>,
    clients: Vec<String>,
    streams: Vec<Vec<String>>,
    samples: Vec<String>,
    policy: String,
}

impl Sketch {
    pub fn text(&self, order: impl Fn(usize) -> usize) -> String {
        let mut lines = self.head.clone();
        lines.extend(reordered(&self.servers, &order));
        lines.extend(reordered(&self.clients, &order));
        for stream in reordered(&self.streams, &order) {
            lines.push(stream[0].clone());
            lines.extend(reordered(&stream[1..], &order));
        }
        lines.extend(reordered(&self.samples, &order));
        format!("{}\n\npolicy:\n{}", lines.join("\n"), self.policy)
    }

    pub fn world(&self) -> World {
        World::parse(&self.text(|position| position))
    }
}

fn reordered<T: Clone>(items: &[T], order: impl Fn(usize) -> usize) -> Vec<T> {
    let mut keyed: Vec<(usize, T)> = items
        .iter()
        .enumerate()
        .map(|(position, item)| (order(position), item.clone()))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

const CLUSTERS: [&str; 3] = ["us-east", "eu-west", "ap-south"];

fn server_names(stretched: bool) -> Vec<String> {
    (0..9)
        .map(|number| {
            if stretched {
                format!("n-{number}")
            } else {
                format!("{}-{}", CLUSTERS[number / 3], number % 3)
            }
        })
        .collect()
}

fn peer_flaw() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(""), 1 => Just(":lag=5"), 1 => Just(":lag=90000"), 1 => Just(":behind"), 1 => Just(":offline")]
}

/// Mostly so long ago that it stands against nothing.
fn long_since(key: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![16 => Just("1h"), 1 => Just("5s"), 1 => Just("unknown")]
        .prop_map(move |ago| format!(" {key}={ago}"))
}

/// Bytes stored and allowed, kind of storage, and what the stream reads from.
fn contents() -> impl Strategy<Value = String> {
    let upstreams = prop_oneof![2 => Just(None), 1 => (0usize..7).prop_map(Some), 1 => Just(Some(0))];
    let max_bytes = prop_oneof![3 => Just(None), 1 => (1u64..600).prop_map(Some)];
    (0u64..700, max_bytes, prop::bool::weighted(0.2), upstreams).prop_map(
        |(bytes, most, memory, upstream)| {
            let mut text = format!(" bytes={bytes}");
            text.extend(most.map(|most| format!(" max-bytes={}", bytes + most)));
            text.extend(memory.then_some(" memory"));
            text.extend(upstream.map(|number| format!(" upstreams=S{number}")));
            text
        },
    )
}

/// What a consumer has in flight, and when its leader was elected.
fn in_flight() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        12 => Just(""),
        2 => Just(" ephemeral"),
        2 => Just(" ack-pending=7"),
        1 => Just(" ack-pending=5000"),
        1 => Just(" pinned"),
        1 => Just(" waiting=2"),
    ];
    (kind, long_since("led")).prop_map(|(kind, led)| format!("{kind}{led}"))
}

/// Servers with little room, some racks, or nothing to tell of either.
fn room() -> impl Strategy<Value = String> {
    let resource = || (300u64..1500, 0u64..300, 0u64..300);
    let told = (resource(), resource(), 0u64..12, prop::bool::weighted(0.3)).prop_map(
        |((limit, used, reserved), (most, held, kept), assets, limited)| {
            let ha = if limited {
                format!(" ha={assets}/14")
            } else {
                String::new()
            };
            format!(" room={limit}/{used}/{reserved} memory-room={most}/{held}/{kept}{ha}")
        },
    );
    prop_oneof![1 => Just(String::new()), 2 => told]
}

fn group(candidates: Vec<String>, sizes: Vec<usize>) -> impl Strategy<Value = (String, Vec<String>)> {
    let size = select(sizes);
    (size, prop::bool::weighted(0.95)).prop_flat_map(move |(size, led)| {
        let size = size.min(candidates.len());
        (
            subsequence(candidates.clone(), size).prop_shuffle(),
            prop::collection::vec(peer_flaw(), size),
        )
            .prop_map(move |(servers, flaws)| {
                let peers: Vec<String> = servers
                    .iter()
                    .zip(&flaws)
                    .enumerate()
                    .map(|(position, (server, flaw))| {
                        if position == 0 && led {
                            format!("*{server}")
                        } else {
                            format!("{server}{flaw}")
                        }
                    })
                    .collect();
                (peers.join(","), servers)
            })
    })
}

/// Who uses a stream, or its first consumer: nothing, or messages by server, of which some were not found.
fn sample(number: usize, stretched: bool) -> impl Strategy<Value = Vec<String>> {
    let names = server_names(stretched);
    let found = prop::collection::vec((0usize..9, 12u32..40), 0..3);
    let kinds = prop_oneof![
        12 => Just(" publish"),
        4 => Just("/C0 pull"),
        4 => Just(" direct-get"),
        1 => Just(" get"),
        1 => Just(" create"),
        1 => Just(" get denied"),
    ];
    let one = (
        kinds,
        found,
        prop_oneof![4 => Just(0u32), 1 => 1u32..30],
        1u32..120,
    )
        .prop_map(move |(kind, found, unseen, ago)| {
            let seen = found.iter().map(|(_, messages)| messages).sum::<u32>() + unseen;
            let by: Vec<String> = found
                .iter()
                .map(|(server, messages)| format!("{}:{messages}", names[*server]))
                .collect();
            let by = if by.is_empty() {
                String::new()
            } else {
                format!(" by={}", by.join(","))
            };
            format!("sample S{number}{kind} seen={seen}{by} span=5ms ago={ago}s")
        });
    prop::collection::vec(one, 0..4)
}

fn stream(number: usize, stretched: bool) -> impl Strategy<Value = Vec<String>> {
    let names = server_names(stretched);
    let candidates = if stretched {
        Just(names).boxed()
    } else {
        select(vec![0usize, 1, 2])
            .prop_map(move |cluster| names[cluster * 3..cluster * 3 + 3].to_vec())
            .boxed()
    };
    candidates
        .prop_flat_map(move |candidates| group(candidates, vec![1, 3, 3, 3]))
        .prop_flat_map(move |(peers, servers)| {
            let extra = prop_oneof![
                6 => Just(String::new()),
                1 => Just(" ignore".to_owned()),
                1 => Just(" moving".to_owned()),
                1 => Just(" cluster=eu-west".to_owned()),
                1 => Just(" tags=disk:ssd".to_owned()),
            ];
            let consumers = prop::collection::vec((group(servers, vec![1, 3]), 0u32..100, in_flight()), 0..4);
            (extra, contents(), long_since("led"), 0u32..1000, consumers).prop_map(
                move |(extra, contents, led, rate, consumers)| {
                    let mut lines = vec![format!(
                        "stream S{number} peers={peers} rate={rate}{extra}{contents}{led}"
                    )];
                    for (nth, ((peers, _), rate, in_flight)) in consumers.into_iter().enumerate() {
                        lines.push(format!("consumer C{nth} peers={peers} rate={rate}{in_flight}"));
                    }
                    lines
                },
            )
        })
}

prop_compose! {
    pub fn sketch()(stretched in any::<bool>())(
        old in prop::bool::weighted(0.2),
        crowd in 0u32..60,
        clients in prop::collection::vec((0usize..9, 1u32..12), 1..5),
        streams in (0usize..7).prop_flat_map(move |count| {
            (0..count).map(|number| stream(number, stretched)).collect::<Vec<_>>()
        }),
        window in select(vec!["0s", "0s", "0s", "10m"]),
        (moves, evacuations) in (prop::bool::weighted(0.8), any::<bool>()),
        settled in prop::option::of(select(CLUSTERS.to_vec())),
        (rooms, started) in (prop::collection::vec(room(), 9), prop::collection::vec(long_since("up"), 9)),
        racks in prop::option::weighted(0.2, 1usize..4),
        gates in select(vec!["", "maxReplicaLag: 0", "maxAckPending: 100", "quietAfterLeaderChange: 0s, quietAfterServerStart: 0s"]),
        samples in prop::option::weighted(0.5, (0usize..7).map(move |number| sample(number, stretched)).collect::<Vec<_>>()),
        stretched in Just(stretched),
    ) -> Sketch {
        let names = server_names(stretched);
        let version = if old { "2.10.29" } else { "2.15.1" };
        let server = |(number, name): (usize, &String)| {
            let place = if stretched { "c1" } else { CLUSTERS[number / 3] };
            let disk = if number % 3 == 0 { ",disk:ssd" } else { "" };
            let rack = racks.map_or_else(String::new, |count| format!(",rack:{}", number % count));
            let unique = if racks.is_some() { " unique-tag=rack:" } else { "" };
            let (room, up) = (&rooms[number], &started[number]);
            format!(
                "server {name} cluster={place} version={version} tags=region:{}{disk}{rack}{unique}{room}{up}",
                CLUSTERS[number / 3]
            )
        };
        let key = if stretched { "topology: {key: ServerTag, tagPrefix: \"region:\"}\n" } else { "" };
        let mut head = vec!["now 2026-01-01T12:00:00Z".to_owned(), "rtt us-east eu-west 40ms".to_owned()];
        if let Some(settled) = settled {
            head.push(format!("home {}{settled}", if stretched { "region:" } else { "" }));
        }
        Sketch {
            head,
            servers: names.iter().enumerate().map(server).collect(),
            clients: clients
                .iter()
                .enumerate()
                .map(|(nth, (server, count))| {
                    let crowd = if nth == 0 { crowd } else { 0 };
                    format!("clients {} {}", names[*server], count + crowd)
                })
                .collect(),
            samples: samples.map_or_else(Vec::new, |samples| {
                let mut lines = samples.concat();
                lines.push("sampling".to_owned());
                lines
            }),
            streams,
            policy: format!(
                "mode: Enforce\n{key}home: {{stabilizationWindow: {window}}}\nactions: {{streamPlacement: {{enabled: {moves}}}, consumerEvacuation: {{enabled: {evacuations}}}}}\ndisruption: {{gates: {{{gates}}}}}"
            ),
        }
    }
}
