//! Connections that begin, go on or end as none should.

use fastrand::Rng;
use serde_json::json;

use super::{ESCAPES, Scenario, delivery, wire};
use crate::hostile::script::{Delivery, Flow, Misbehaviour, Repeated, Wire};

const HUGE_MESSAGE: &str = "MSG a 1 18446744073709551615\r\n";
const MANY: usize = 100_000;

pub(super) fn all() -> Vec<Scenario> {
    [
        greetings(),
        errors(),
        messages(),
        floods(),
        answers(),
        elsewhere(),
    ]
    .concat()
}

fn greets(name: &'static str, says: &'static str, bytes: impl Into<Vec<u8>>) -> Scenario {
    wire(name, says, Wire::Greets(Flow::of(bytes)))
}

fn greetings() -> Vec<Scenario> {
    let nested = format!("INFO {{\"a\":{}{}}}\r\n", "[".repeat(MANY), "]".repeat(MANY));
    let alert = Flow::of([21, 3, 3, 0, 2, 2, 40]).closing();
    let endless = Flow::then("", Repeated::Endless);
    vec![
        wire("silent", "accepts, and says nothing", Wire::Silent),
        wire(
            "silent-after-info",
            "INFO, and then nothing, not even a PONG",
            Wire::SilentAfterInfo,
        ),
        greets(
            "greets-err-bare",
            "the first line is -ERR without words",
            "-ERR\r\n",
        ),
        greets(
            "greets-err",
            "the first line is -ERR with words",
            "-ERR 'maximum connections exceeded'\r\n",
        ),
        greets(
            "greets-err-auth",
            "the first line is an authorization violation",
            "-ERR 'Authorization Violation'\r\n",
        ),
        greets("greets-info-not-json", "INFO without JSON", "INFO hello\r\n"),
        greets(
            "greets-info-nested",
            "INFO with JSON that is nested 100 000 deep",
            nested,
        ),
        greets(
            "greets-info-invalid-utf8",
            "INFO that is not UTF-8",
            b"INFO {\"server_id\":\"\xff\"}\r\n".to_vec(),
        ),
        greets(
            "greets-msg-huge",
            "the first line announces a message of u64::MAX bytes",
            HUGE_MESSAGE,
        ),
        wire(
            "greets-tls-record",
            "a TLS alert instead of INFO",
            Wire::Greets(alert),
        ),
        greets(
            "greets-http",
            "another protocol answers",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
        ),
        wire(
            "greets-endless-line",
            "the first line never ends",
            Wire::Greets(endless),
        )
        .heavy(),
    ]
}

fn then(name: &'static str, says: &'static str, flow: Flow) -> Scenario {
    wire(name, says, Wire::Then(flow))
}

fn errors() -> Vec<Scenario> {
    vec![
        then(
            "then-err-bare",
            "-ERR without words after the handshake",
            Flow::of("-ERR\r\n"),
        ),
        then(
            "then-err-expired",
            "the authentication expires at once",
            Flow::of("-ERR 'User Authentication Expired'\r\n").closing(),
        ),
        then(
            "then-err-permissions-inbox",
            "the inbox is refused",
            Flow::of("-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'\r\n"),
        ),
        then(
            "then-err-permissions-flood",
            "100 000 permissions violations",
            Flow::then(
                "",
                Repeated::Times("-ERR 'Permissions Violation for Publish to \"s{n}\"'\r\n", MANY),
            ),
        ),
    ]
}

fn messages() -> Vec<Scenario> {
    let info = |fields: serde_json::Value| Flow::of(format!("INFO {fields}\r\n"));
    vec![
        then(
            "then-msg-huge",
            "a message of u64::MAX bytes is announced",
            Flow::of(HUGE_MESSAGE),
        ),
        then(
            "then-hmsg-huge",
            "headers of u64::MAX bytes are announced",
            Flow::of("HMSG a 1 18446744073709551610 18446744073709551615\r\n"),
        ),
        then(
            "then-hmsg-backwards",
            "more headers than bytes",
            Flow::of("HMSG a 1 10 5\r\nNATS/1.0\r\n\r\n\r\n"),
        ),
        then(
            "then-hmsg-no-version",
            "headers without their first line",
            Flow::of("HMSG a 1 4 4\r\nabcd\r\n"),
        ),
        then("then-garbage", "garbage after the handshake", Flow::of(garbage())),
        then(
            "then-info-escape",
            "another INFO, with names that steer a terminal",
            info(
                json!({"server_id": "x", "server_name": ESCAPES, "version": ESCAPES, "max_payload": 0, "headers": true}),
            ),
        ),
        then(
            "then-info-lame-duck",
            "the server is about to stop",
            info(
                json!({"server_id": "x", "server_name": "us-0", "version": "2.15.1", "max_payload": 1_048_576,
                "headers": true, "ldm": true}),
            ),
        ),
    ]
}

/// One line of 4 KiB.
fn garbage() -> Vec<u8> {
    let mut chance = Rng::with_seed(4);
    let mut bytes: Vec<u8> = (0..4096)
        .map(|_| chance.u8(..))
        .map(|byte| if byte == b'\n' { b'x' } else { byte })
        .collect();
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn floods() -> Vec<Scenario> {
    let times = |text, times| Flow::then("", Repeated::Times(text, times));
    vec![
        then(
            "then-msg-unasked",
            "100 000 messages that nobody asked for",
            times("MSG a 1 0\r\n\r\n", MANY),
        ),
        then(
            "then-msg-wrong-sid",
            "messages for a subscription that does not exist",
            times("MSG a 99999 3\r\nabc\r\n", 1000),
        ),
        then("then-ping-flood", "a million PINGs", times("PING\r\n", 10 * MANY)),
        then(
            "then-closes",
            "the connection ends right after the handshake, again and again",
            Flow::default().closing(),
        ),
        then(
            "then-endless-line",
            "a line that never ends, after the handshake",
            Flow::then("", Repeated::Endless),
        )
        .heavy(),
        then(
            "then-endless-message",
            "a message of 100 GB begins after the handshake",
            Flow::then("MSG a 1 100000000000\r\n", Repeated::Endless),
        )
        .heavy(),
        then(
            "events-flood",
            "elections of ever new streams, as fast as they are read",
            Flow::then("", Repeated::Elections),
        )
        .heavy(),
    ]
}

fn answers() -> Vec<Scenario> {
    let manner = |manner| Delivery {
        manner,
        ..Delivery::default()
    };
    vec![
        delivery(
            "answers-half",
            "the connection ends in the middle of each answer",
            manner(Misbehaviour::Half),
        ),
        delivery(
            "answers-never",
            "no request is answered",
            manner(Misbehaviour::Never),
        ),
        delivery(
            "answers-nobody",
            "nobody serves anything",
            manner(Misbehaviour::Status("503")),
        ),
        delivery(
            "answers-odd-status",
            "each answer has the status 99999",
            manner(Misbehaviour::Status("99999 odd")),
        ),
        delivery(
            "answers-all-wrong-subject",
            "each answer comes to another subject of the right subscription",
            manner(Misbehaviour::WrongSubject),
        ),
        delivery(
            "answers-announced-longer",
            "each answer is announced with more bytes than it has",
            manner(Misbehaviour::Announced(7)),
        ),
        delivery(
            "answers-announced-shorter",
            "each answer is announced with fewer bytes than it has",
            manner(Misbehaviour::Announced(-7)),
        ),
    ]
}

fn elsewhere() -> Vec<Scenario> {
    vec![
        wire(
            "redirects",
            "INFO names another port as a server of the cluster; the connection ends after each handshake",
            Wire::Redirects(""),
        ),
        wire(
            "redirects-ws",
            "the same with a URL of the scheme ws, which has no TLS",
            Wire::Redirects("ws://"),
        ),
    ]
}
