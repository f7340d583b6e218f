//! Answers that are no answers: not JSON, another shape, another encoding.

use serde_json::{Value, json};

use super::{ESCAPES, Scenario, edits, set};
use crate::hostile::question::Call::{self, Connz, Info, Jsz, Statsz, StreamList, UserInfo};
use crate::hostile::script::{Body, Change, Edit};

pub(super) fn all() -> Vec<Scenario> {
    [of_monitoring(), of_errors(), encoded(), of_info()].concat()
}

fn body(call: Call, body: Body) -> [Edit; 1] {
    [Edit::new(call, "", Change::Body(body))]
}

fn bytes(call: Call, bytes: &[u8]) -> [Edit; 1] {
    body(call, Body::Bytes(bytes.to_vec()))
}

fn of_monitoring() -> Vec<Scenario> {
    let names: Vec<String> = (0..100_000).map(|number| format!("stream-{number}")).collect();
    vec![
        edits(
            "connz-not-json",
            "CONNZ is a page of a proxy",
            bytes(Connz, b"<html>502 Bad Gateway</html>"),
        )
        .shown("CONNZ"),
        edits("connz-empty", "CONNZ is empty", bytes(Connz, b"")).shown("CONNZ"),
        edits("connz-null", "CONNZ is null", bytes(Connz, b"null")).shown("CONNZ"),
        edits("connz-array", "CONNZ is a list", bytes(Connz, b"[]")).shown("CONNZ"),
        edits(
            "connz-invalid-utf8",
            "CONNZ is not UTF-8",
            bytes(Connz, b"{\"server\":{\"name\":\"\xff\xfe\",\"id\":\"N1\",\"ver\":\"2.15.1\"},\"data\":{\"total\":0}}"),
        )
        .shown("CONNZ"),
        edits(
            "connz-nested-100k",
            "CONNZ is nested 100 000 deep",
            body(Connz, Body::Nested(100_000)),
        )
        .shown("CONNZ"),
        edits("jsz-null", "JSZ is null", bytes(Jsz, b"null")).shown("JSZ"),
        edits(
            "jsz-twice-the-key",
            "JSZ has its content twice",
            [Edit::new(Jsz, "/data", Change::Again("{}".to_owned()))],
        )
        .shown("JSZ"),
        edits("jsz-disabled", "JetStream is off", [set(Jsz, "/data", json!({"disabled": true}))]),
        edits("statsz-nothing", "STATSZ without content", [Edit::new(Statsz, "/statsz", Change::Remove)])
            .shown("without content"),
        edits(
            "statsz-null-server",
            "STATSZ of nobody",
            [set(Statsz, "/server", Value::Null), set(Statsz, "/statsz", json!({}))],
        )
        .shown("STATSZ"),
        edits("user-info-not-json", "USER.INFO is no text", bytes(UserInfo, b"\x00\x01\x02")),
        edits(
            "list-missing-100k",
            "100 000 streams did not answer",
            [set(
                StreamList,
                "",
                json!({"type": "t", "total": 1, "offset": 0, "limit": 256, "streams": [], "missing": names}),
            )],
        )
        ,
    ]
}

fn of_errors() -> Vec<Scenario> {
    let instead = |call, error: Value| {
        [
            Edit::new(call, "/data", Change::Remove),
            Edit::new(call, "", Change::Merge(json!({ "error": error }))),
        ]
    };
    let api = |code: u64, err_code: u64, words: &str| {
        let error = json!({"error": {"code": code, "err_code": err_code, "description": words}});
        [set(StreamList, "", error)]
    };
    let long = |letter: &str| format!("{ESCAPES}{}", letter.repeat(100_000));
    vec![
        edits(
            "jsz-error",
            "JSZ is an error of 100 000 letters",
            instead(
                Jsz,
                json!({"code": 500, "description": format!("x{}", long("y"))}),
            ),
        ),
        edits(
            "user-info-error",
            "USER.INFO is an error of 100 000 letters",
            instead(UserInfo, json!({"code": 1, "description": long("z")})),
        ),
        edits(
            "list-error",
            "the list of streams is an error",
            api(503, 10_008, &format!("{ESCAPES}no")),
        ),
        edits(
            "list-error-code-huge",
            "the list of streams is an error of no known code",
            api(70_000, u64::MAX, "no"),
        ),
    ]
}

fn encoded() -> Vec<Scenario> {
    vec![
        edits(
            "jsz-snappy-500MB",
            "JSZ unpacks to 500 MB of blanks, from each server",
            body(Jsz, Body::Packed(500)),
        )
        .heavy(),
        edits(
            "user-info-snappy-500MB",
            "USER.INFO unpacks to 500 MB",
            body(UserInfo, Body::Packed(500)),
        )
        .heavy(),
        edits(
            "connz-snappy-nonsense",
            "the encoding is snappy and the content is not",
            body(
                Connz,
                Body::Encoded {
                    encoding: "snappy",
                    bytes: b"not snappy".to_vec(),
                },
            ),
        )
        .shown("cannot be unpacked"),
        edits(
            "connz-encoding-unknown",
            "the encoding is br",
            body(
                Connz,
                Body::Encoded {
                    encoding: "br",
                    bytes: b"x".to_vec(),
                },
            ),
        )
        .shown("its encoding is br"),
        edits(
            "jsz-100MB",
            "JSZ of 100 MB, far above what a server sends",
            body(Jsz, Body::Blank(100)),
        )
        .heavy(),
    ]
}

fn of_info() -> Vec<Scenario> {
    let urls = |urls: Value| [set(Info, "/connect_urls", urls)];
    vec![
        edits(
            "info-url-nonsense",
            "INFO names a server by something that is no URL",
            urls(json!(["http://[::bad"])),
        ),
        edits(
            "info-urls-100k",
            "INFO names 100 000 servers",
            urls(
                (0..100_000)
                    .map(|number| format!("10.0.0.1:{}", number % 65_536))
                    .collect(),
            ),
        ),
        edits(
            "info-version-nonsense",
            "INFO with a version that is none",
            [set(Info, "/version", ESCAPES)],
        ),
        edits(
            "info-name-1MB",
            "INFO with a server's name of 1 MB",
            [Edit::new(Info, "/server_name", Change::Letters(1_000_000))],
        ),
        edits(
            "info-payload-0",
            "INFO says that no payload may be sent",
            [set(Info, "/max_payload", 0)],
        ),
        edits(
            "info-no-headers",
            "INFO says that headers may not be sent",
            [set(Info, "/headers", false)],
        ),
    ]
}
