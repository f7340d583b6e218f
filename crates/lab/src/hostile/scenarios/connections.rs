//! Connections that begin, continue or end as none should.

use fastrand::Rng;
use serde_json::json;

use super::{ESCAPES, Scenario, lie};
use crate::hostile::script::{Flow, Misbehaviour, Repeated, Wire};

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

impl Scenario {
    fn greets(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.wire(Wire::Greets(Flow::of(bytes)))
    }

    fn then(self, flow: Flow) -> Self {
        self.wire(Wire::Then(flow))
    }

    fn answers(mut self, manner: Misbehaviour) -> Self {
        self.script.delivery.manner = manner;
        self
    }
}

fn greetings() -> Vec<Scenario> {
    let nested = format!("INFO {{\"a\":{}{}}}\r\n", "[".repeat(MANY), "]".repeat(MANY));
    let alert = Flow::of([21, 3, 3, 0, 2, 2, 40]).closing();
    let endless = Flow::then("", Repeated::Endless);
    vec![
        lie("silent")
            .describes("accepts, and says nothing")
            .wire(Wire::Silent),
        lie("silent-after-info")
            .describes("INFO, and then nothing, not even a PONG")
            .wire(Wire::SilentAfterInfo),
        lie("greets-err-bare")
            .describes("the first line is -ERR without words")
            .greets("-ERR\r\n"),
        lie("greets-err")
            .describes("the first line is -ERR with words")
            .greets("-ERR 'maximum connections exceeded'\r\n"),
        lie("greets-err-auth")
            .describes("the first line is an authorization violation")
            .greets("-ERR 'Authorization Violation'\r\n"),
        lie("greets-info-not-json")
            .describes("INFO without JSON")
            .greets("INFO hello\r\n"),
        lie("greets-info-nested")
            .describes("INFO with JSON that is nested 100 000 deep")
            .greets(nested),
        lie("greets-info-invalid-utf8")
            .describes("INFO that is not UTF-8")
            .greets(b"INFO {\"server_id\":\"\xff\"}\r\n".to_vec()),
        lie("greets-msg-huge")
            .describes("the first line announces a message of u64::MAX bytes")
            .greets(HUGE_MESSAGE),
        lie("greets-tls-record")
            .describes("a TLS alert instead of INFO")
            .wire(Wire::Greets(alert)),
        lie("greets-http")
            .describes("another protocol answers")
            .greets("HTTP/1.1 400 Bad Request\r\n\r\n"),
        lie("greets-endless-line")
            .describes("the first line never ends")
            .wire(Wire::Greets(endless))
            .heavy(),
    ]
}

fn errors() -> Vec<Scenario> {
    vec![
        lie("then-err-bare")
            .describes("-ERR without words after the handshake")
            .then(Flow::of("-ERR\r\n")),
        lie("then-err-expired")
            .describes("the authentication expires at once")
            .then(Flow::of("-ERR 'User Authentication Expired'\r\n").closing()),
        lie("then-err-permissions-inbox")
            .describes("the inbox is refused")
            .then(Flow::of(
                "-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'\r\n",
            )),
        lie("then-err-permissions-flood")
            .describes("100 000 permissions violations")
            .then(Flow::then(
                "",
                Repeated::Times("-ERR 'Permissions Violation for Publish to \"s{n}\"'\r\n", MANY),
            )),
    ]
}

fn messages() -> Vec<Scenario> {
    let info = |fields: serde_json::Value| Flow::of(format!("INFO {fields}\r\n"));
    vec![
        lie("then-msg-huge")
.describes("a message of u64::MAX bytes is announced").then(Flow::of(HUGE_MESSAGE)),
        lie("then-hmsg-huge")
.describes("headers of u64::MAX bytes are announced").then(Flow::of("HMSG a 1 18446744073709551610 18446744073709551615\r\n")),
        lie("then-hmsg-backwards")
.describes("more headers than bytes").then(Flow::of("HMSG a 1 10 5\r\nNATS/1.0\r\n\r\n\r\n")),
        lie("then-hmsg-no-version")
.describes("headers without their first line").then(Flow::of("HMSG a 1 4 4\r\nabcd\r\n")),
        lie("then-garbage")
.describes("garbage after the handshake").then(Flow::of(garbage())),
        lie("then-info-escape")
.describes("another INFO, with names that steer a terminal").then(info(
                json!({"server_id": "x", "server_name": ESCAPES, "version": ESCAPES, "max_payload": 0, "headers": true}),
            )),
        lie("then-info-lame-duck")
.describes("the server is about to stop").then(info(
                json!({"server_id": "x", "server_name": "us-0", "version": "2.15.1", "max_payload": 1_048_576,
                "headers": true, "ldm": true}),
            )),
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
        lie("then-msg-unasked")
            .describes("100 000 messages that nobody asked for")
            .then(times("MSG a 1 0\r\n\r\n", MANY)),
        lie("then-msg-wrong-sid")
            .describes("messages for a subscription that does not exist")
            .then(times("MSG a 99999 3\r\nabc\r\n", 1000)),
        lie("then-ping-flood")
            .describes("a million PINGs")
            .then(times("PING\r\n", 10 * MANY)),
        lie("then-closes")
            .describes("the connection ends right after the handshake, again and again")
            .then(Flow::default().closing()),
        lie("then-endless-line")
            .describes("a line that never ends, after the handshake")
            .then(Flow::then("", Repeated::Endless))
            .heavy(),
        lie("then-endless-message")
            .describes("a message of 100 GB begins after the handshake")
            .then(Flow::then("MSG a 1 100000000000\r\n", Repeated::Endless))
            .heavy(),
        lie("events-flood")
            .describes("elections of ever new streams, as fast as they are read")
            .then(Flow::then("", Repeated::Elections))
            .heavy(),
    ]
}

fn answers() -> Vec<Scenario> {
    vec![
        lie("answers-half")
            .describes("the connection ends in the middle of each answer")
            .answers(Misbehaviour::Half),
        lie("answers-never")
            .describes("no request is answered")
            .answers(Misbehaviour::Never),
        lie("answers-nobody")
            .describes("nobody serves anything")
            .answers(Misbehaviour::Status("503")),
        lie("answers-odd-status")
            .describes("each answer has the status 99999")
            .answers(Misbehaviour::Status("99999 odd")),
        lie("answers-all-wrong-subject")
            .describes("each answer comes to another subject of the right subscription")
            .answers(Misbehaviour::WrongSubject),
        lie("answers-announced-longer")
            .describes("each answer is announced with more bytes than it has")
            .answers(Misbehaviour::Announced(7)),
        lie("answers-announced-shorter")
            .describes("each answer is announced with fewer bytes than it has")
            .answers(Misbehaviour::Announced(-7)),
    ]
}

fn elsewhere() -> Vec<Scenario> {
    vec![
        lie("redirects")
.describes("INFO names another port as a server of the cluster; the connection ends after each handshake").wire(Wire::Redirects("")),
        lie("redirects-ws")
.describes("the same with a URL of the scheme ws, which has no TLS").wire(Wire::Redirects("ws://")),
    ]
}
