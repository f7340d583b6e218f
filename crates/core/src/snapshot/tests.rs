use super::*;
use crate::fixtures::{asset, clients, consumer, stream, stretched, view};

fn shuffled() -> AccountView {
    let topology = stretched();
    let mut one = stream(&topology, "B", &["n-2", "n-0", "n-1"]);
    one.consumers.push(consumer(&topology, "z", &["n-1", "n-0"]));
    one.consumers.push(consumer(&topology, "a", &["n-0"]));
    let other = stream(&topology, "A", &["n-3"]);
    let mut view = view(
        topology,
        vec![clients(ServerIx(3), 1), clients(ServerIx(0), 2)],
        vec![one, other],
    );
    let missing = |server: &str| Gap::ServerMissing {
        server: server.into(),
    };
    view.gaps = vec![missing("b"), Gap::WarmingUp, missing("a"), missing("b")];
    view
}

#[test]
fn p1_a_normalized_view_is_sorted_throughout() {
    let mut view = shuffled();
    view.normalize();
    assert_eq!(
        view.streams
            .iter()
            .map(|stream| stream.name.as_str())
            .collect::<Vec<_>>(),
        ["A", "B"]
    );
    let of_b = &view.streams[1];
    assert_eq!(
        of_b.consumers
            .iter()
            .map(|consumer| consumer.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "z"]
    );
    assert_eq!(
        of_b.group
            .peers
            .iter()
            .map(|peer| peer.server.0)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(of_b.group.leader, Some(ServerIx(2)), "the leader stays who it is");
    assert_eq!(of_b.consumers[1].group.peers[0].server, ServerIx(0));
    assert_eq!(view.clients[0].server, ServerIx(0));
    assert_eq!(view.gaps.len(), 3, "told once each");
    let mut again = view.clone();
    again.normalize();
    assert_eq!(again, view);
}

#[test]
fn assets_are_found_by_name_in_a_normalized_view() {
    let mut view = shuffled();
    view.normalize();
    assert_eq!(view.group(&asset("B")).unwrap().peers.len(), 3);
    assert_eq!(view.group(&asset("B/z")).unwrap().peers.len(), 2);
    for gone in ["C", "C/a", "A/a", "B/y"] {
        assert_eq!(view.group(&asset(gone)), None, "{gone}");
    }
}

#[test]
fn a_view_survives_being_written_and_read() {
    let view = shuffled();
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<AccountView>(&text).unwrap(), view);
}
