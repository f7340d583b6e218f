//! Answers that are invalid: not JSON, another shape, another encoding.

use serde_json::{Value, json};

use super::{ESCAPES, Scenario, lie, set};
use crate::hostile::question::Call::{self, Connz, Info, Jsz, Statsz, StreamList, UserInfo};
use crate::hostile::script::{Body, Change, Edit};

pub(super) fn all() -> Vec<Scenario> {
    [of_monitoring(), of_errors(), encoded(), of_info()].concat()
}

impl Scenario {
    fn body(self, call: Call, body: Body) -> Self {
        self.edit(call, "", Change::Body(body))
    }

    fn bytes(self, call: Call, bytes: &[u8]) -> Self {
        self.body(call, Body::Bytes(bytes.to_vec()))
    }
}

fn of_monitoring() -> Vec<Scenario> {
    let invalid =
        b"{\"server\":{\"name\":\"\xff\xfe\",\"id\":\"N1\",\"ver\":\"2.15.1\"},\"data\":{\"total\":0}}";
    let names: Vec<String> = (0..100_000).map(|number| format!("stream-{number}")).collect();
    let incomplete =
        json!({"type": "t", "total": 1, "offset": 0, "limit": 256, "streams": [], "missing": names});
    vec![
        lie("connz-not-json")
            .describes("CONNZ is a page of a proxy")
            .bytes(Connz, b"<html>502 Bad Gateway</html>")
            .shown("CONNZ"),
        lie("connz-empty")
            .describes("CONNZ is empty")
            .bytes(Connz, b"")
            .shown("CONNZ"),
        lie("connz-null")
            .describes("CONNZ is null")
            .bytes(Connz, b"null")
            .shown("CONNZ"),
        lie("connz-array")
            .describes("CONNZ is a list")
            .bytes(Connz, b"[]")
            .shown("CONNZ"),
        lie("connz-invalid-utf8")
            .describes("CONNZ is not UTF-8")
            .bytes(Connz, invalid)
            .shown("CONNZ"),
        lie("connz-nested-100k")
            .describes("CONNZ is nested 100 000 deep")
            .body(Connz, Body::Nested(100_000))
            .shown("CONNZ"),
        lie("jsz-null")
            .describes("JSZ is null")
            .bytes(Jsz, b"null")
            .shown("JSZ"),
        lie("jsz-twice-the-key")
            .describes("JSZ has its content twice")
            .edit(Jsz, "/data", Change::Again("{}".to_owned()))
            .shown("JSZ"),
        lie("jsz-disabled")
            .describes("JetStream is off")
            .set(Jsz, "/data", json!({"disabled": true})),
        lie("statsz-nothing")
            .describes("STATSZ without content")
            .edit(Statsz, "/statsz", Change::Remove)
            .shown("without content"),
        lie("statsz-null-server")
            .describes("STATSZ of nobody")
            .set(Statsz, "/server", Value::Null)
            .set(Statsz, "/statsz", json!({}))
            .shown("STATSZ"),
        lie("user-info-not-json")
            .describes("USER.INFO is no text")
            .bytes(UserInfo, b"\x00\x01\x02"),
        lie("list-missing-100k")
            .describes("100 000 streams did not answer")
            .set(StreamList, "", incomplete),
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
        lie("jsz-error")
            .describes("JSZ is an error of 100 000 letters")
            .edits(instead(
                Jsz,
                json!({"code": 500, "description": format!("x{}", long("y"))}),
            )),
        lie("user-info-error")
            .describes("USER.INFO is an error of 100 000 letters")
            .edits(instead(UserInfo, json!({"code": 1, "description": long("z")}))),
        lie("list-error")
            .describes("the list of streams is an error")
            .edits(api(503, 10_008, &format!("{ESCAPES}no"))),
        lie("list-error-code-huge")
            .describes("the list of streams is an error of no known code")
            .edits(api(70_000, u64::MAX, "no")),
    ]
}

fn encoded() -> Vec<Scenario> {
    vec![
        lie("jsz-snappy-500MB")
            .describes("JSZ unpacks to 500 MB of blanks, from each server")
            .body(Jsz, Body::Packed(500))
            .heavy(),
        lie("user-info-snappy-500MB")
            .describes("USER.INFO unpacks to 500 MB")
            .body(UserInfo, Body::Packed(500))
            .heavy(),
        lie("connz-snappy-nonsense")
            .describes("the encoding is snappy and the content is not")
            .body(
                Connz,
                Body::Encoded {
                    encoding: "snappy",
                    bytes: b"not snappy".to_vec(),
                },
            )
            .shown("cannot be unpacked"),
        lie("connz-encoding-unknown")
            .describes("the encoding is br")
            .body(
                Connz,
                Body::Encoded {
                    encoding: "br",
                    bytes: b"x".to_vec(),
                },
            )
            .shown("its encoding is br"),
        lie("jsz-100MB")
            .describes("JSZ of 100 MB, far above what a server sends")
            .body(Jsz, Body::Blank(100))
            .heavy(),
    ]
}

fn of_info() -> Vec<Scenario> {
    let urls = |urls: Value| [set(Info, "/connect_urls", urls)];
    vec![
        lie("info-url-nonsense")
            .describes("INFO names a server by something that is no URL")
            .edits(urls(json!(["http://[::bad"]))),
        lie("info-urls-100k")
            .describes("INFO names 100 000 servers")
            .edits(urls(
                (0..100_000)
                    .map(|number| format!("10.0.0.1:{}", number % 65_536))
                    .collect(),
            )),
        lie("info-version-nonsense")
            .describes("INFO with a version that is none")
            .set(Info, "/version", ESCAPES),
        lie("info-name-1MB")
            .describes("INFO with a server's name of 1 MB")
            .edit(Info, "/server_name", Change::Letters(1_000_000)),
        lie("info-payload-0")
            .describes("INFO says that no payload may be sent")
            .set(Info, "/max_payload", 0),
        lie("info-no-headers")
            .describes("INFO says that headers may not be sent")
            .set(Info, "/headers", false),
    ]
}
