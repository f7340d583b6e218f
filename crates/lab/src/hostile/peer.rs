//! One connection: the text protocol of NATS, as the script defines it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use super::honest::{self, HERE, Present};
use super::question::{Call, Question};
use super::reply::{self, Reply};
use super::script::{Delivery, Flow, Misbehaviour, Order, Repeated, Script, Wire};
use super::server::LiarState;
use crate::lock::lock;

/// More than any client of a test sends.
const MOST: usize = 8 << 20;
/// After the handshake, before unrequested messages: the client has subscribed by then.
const SETTLED: Duration = Duration::from_millis(50);
const NOBODY: &str = "503";

/// State shared by the tasks of one connection.
struct HostileConnection {
    /// One answer at a time: a large one must not be mixed with another.
    writer: Mutex<OwnedWriteHalf>,
    subscriptions: StdMutex<BTreeMap<String, String>>,
    user: StdMutex<String>,
    end: Notify,
}

impl HostileConnection {
    fn close(&self) {
        self.end.notify_one();
    }

    fn user(&self) -> String {
        lock(&self.user).clone()
    }

    /// The ids of subscriptions whose pattern is as wanted.
    fn subscriptions(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let subscriptions = lock(&self.subscriptions);
        let found = subscriptions.iter().filter(|(_, pattern)| wanted(pattern));
        found.map(|(id, _)| id.clone()).collect()
    }
}

fn matches_subject(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Serves a client until it disconnects, or until the script ends the connection.
pub(crate) async fn serve(stream: TcpStream, shared: &Arc<LiarState>, number: u64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let peer = Arc::new(HostileConnection {
        writer: Mutex::new(writer),
        subscriptions: StdMutex::default(),
        user: StdMutex::default(),
        end: Notify::new(),
    });
    tokio::select! {
        ended = follow(BufReader::new(reader), &peer, shared, number) => ended,
        () = peer.end.notified() => Ok(()),
    }
}

async fn follow(
    mut reader: impl AsyncBufRead + Unpin,
    peer: &Arc<HostileConnection>,
    shared: &Arc<LiarState>,
    number: u64,
) -> anyhow::Result<()> {
    let greeting = shared.script();
    match &greeting.wire {
        Wire::Silent => return std::future::pending().await,
        Wire::Greets(flow) => {
            send(peer, flow).await?;
            return if flow.closes {
                Ok(())
            } else {
                std::future::pending().await
            };
        }
        Wire::Open | Wire::SilentAfterInfo | Wire::Then(_) | Wire::Redirects(_) => {
            write(peer, &info(&greeting, shared, number)).await?;
        }
    }
    if matches!(greeting.wire, Wire::SilentAfterInfo) {
        return std::future::pending().await;
    }
    // They end with the connection.
    let mut tasks = JoinSet::new();
    let mut greeted = false;
    loop {
        let Some(line) = line(&mut reader).await? else {
            return Ok(());
        };
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            "CONNECT" => connected(peer, shared, number, rest)?,
            "PING" => {
                write(peer, b"PONG\r\n").await?;
                if !std::mem::replace(&mut greeted, true) {
                    tasks.spawn(after_handshake(Arc::clone(peer), Arc::clone(&greeting)));
                }
            }
            "SUB" => {
                let subject = rest.split(' ').next().unwrap_or_default();
                let id = rest.rsplit(' ').next().unwrap_or_default();
                lock(&peer.subscriptions).insert(id.to_owned(), subject.to_owned());
            }
            "UNSUB" => {
                let id = rest.split(' ').next().unwrap_or_default();
                lock(&peer.subscriptions).remove(id);
            }
            "PUB" | "HPUB" => {
                if let Some(asked) = published(&mut reader, word, rest).await? {
                    tasks.spawn(answer(Arc::clone(peer), Arc::clone(shared), asked));
                }
            }
            _ => {}
        }
        while tasks.try_join_next().is_some() {}
    }
}

fn info(script: &Script, shared: &LiarState, number: u64) -> Vec<u8> {
    let mut info = honest::info(shared.port, number);
    if let Wire::Redirects(scheme) = script.wire {
        info["connect_urls"] = serde_json::json!([format!("{scheme}127.0.0.1:{}", shared.elsewhere)]);
    }
    let asked = shared.count(Call::Info);
    let reply = reply::changed(script, Call::Info, HERE, asked, info);
    [b"INFO ".as_slice(), &reply.body, b"\r\n"].concat()
}

fn connected(peer: &HostileConnection, shared: &LiarState, number: u64, connect: &str) -> anyhow::Result<()> {
    let connect: Value = serde_json::from_str(connect).context("CONNECT")?;
    let text = |name: &str| {
        connect
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    lock(&peer.user).clone_from(&text("user"));
    shared.enter(Present {
        number,
        user: text("user"),
        name: text("name"),
    });
    Ok(())
}

/// A line without its end; `None` at the end of the connection.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> anyhow::Result<Option<String>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MOST)?;
    if (&mut *reader).take(limit).read_until(b'\n', &mut bytes).await? == 0 {
        return Ok(None);
    }
    ensure!(bytes.ends_with(b"\n"), "a line without end");
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// A request: its subject, its reply subject, and its payload.
struct Asked {
    subject: String,
    inbox: String,
    payload: Vec<u8>,
}

async fn published(
    reader: &mut (impl AsyncBufRead + Unpin),
    word: &str,
    rest: &str,
) -> anyhow::Result<Option<Asked>> {
    let parts: Vec<&str> = rest.split(' ').collect();
    let sizes = if word.eq_ignore_ascii_case("HPUB") { 2 } else { 1 };
    ensure!(parts.len() > sizes, "{word} {rest}");
    let size = |back: usize| -> anyhow::Result<usize> {
        let size: usize = parts[parts.len() - back].parse().context("a size")?;
        ensure!(size < MOST, "{size} bytes");
        Ok(size)
    };
    let (total, headers) = (size(1)?, if sizes == 2 { size(2)? } else { 0 });
    let mut data = vec![0; total + 2];
    reader.read_exact(&mut data).await?;
    data.truncate(total);
    let inbox = (parts.len() == sizes + 2).then(|| parts[1].to_owned());
    Ok(inbox.map(|inbox| Asked {
        subject: parts[0].to_owned(),
        inbox,
        payload: data.split_off(headers.min(total)),
    }))
}

async fn after_handshake(peer: Arc<HostileConnection>, script: Arc<Script>) {
    match &script.wire {
        Wire::Then(flow) => {
            tokio::time::sleep(SETTLED).await;
            if send(&peer, flow).await.is_err() || flow.closes {
                peer.close();
            }
        }
        Wire::Redirects(_) => {
            tokio::time::sleep(SETTLED).await;
            peer.close();
        }
        Wire::Open | Wire::Silent | Wire::SilentAfterInfo | Wire::Greets(_) => {}
    }
}

async fn send(peer: &HostileConnection, flow: &Flow) -> anyhow::Result<()> {
    const AT_ONCE: usize = 64 << 10;
    write(peer, &flow.begins).await?;
    match flow.then {
        Repeated::Nothing => Ok(()),
        Repeated::Times(text, times) => {
            let mut buffer = Vec::new();
            for number in 0..times {
                buffer.extend_from_slice(text.replace("{n}", &number.to_string()).as_bytes());
                if buffer.len() > AT_ONCE {
                    write(peer, &std::mem::take(&mut buffer)).await?;
                }
            }
            write(peer, &buffer).await
        }
        Repeated::Endless => {
            // Nothing else may be written in between.
            let mut writer = peer.writer.lock().await;
            let letters = vec![b'A'; AT_ONCE];
            loop {
                writer.write_all(&letters).await?;
            }
        }
        Repeated::Elections => elections(peer).await,
    }
}

async fn elections(peer: &HostileConnection) -> anyhow::Result<()> {
    for number in 0_u64.. {
        let event = format!(
            r#"{{"account":"{}","stream":"S{number}","consumer":"{}","leader":"us-0"}}"#,
            honest::ACCOUNT,
            "c".repeat(200)
        );
        let ids = peer.subscriptions(|pattern| pattern.contains("LEADER_ELECTED"));
        if ids.is_empty() {
            tokio::time::sleep(SETTLED).await;
        }
        for id in ids {
            let subject = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.S";
            let message = format!("MSG {subject} {id} {}\r\n{event}\r\n", event.len());
            write(peer, message.as_bytes()).await?;
        }
    }
    Ok(())
}

async fn write(peer: &HostileConnection, bytes: &[u8]) -> anyhow::Result<()> {
    Ok(peer.writer.lock().await.write_all(bytes).await?)
}

async fn answer(peer: Arc<HostileConnection>, shared: Arc<LiarState>, asked: Asked) {
    let script = shared.script();
    if let Err(error) = try_to_answer(&peer, &shared, &script, &asked).await {
        tracing::debug!(%error, "an answer was not sent");
        peer.close();
    }
}

async fn try_to_answer(
    peer: &HostileConnection,
    shared: &LiarState,
    script: &Script,
    asked: &Asked,
) -> anyhow::Result<()> {
    let subscriptions = peer.subscriptions(|pattern| matches_subject(pattern, &asked.inbox));
    let Some(id) = subscriptions.first() else {
        return Ok(());
    };
    let user = peer.user();
    let question = Question::read(&asked.subject, &asked.payload);
    let honest = question.as_ref().and_then(|question| {
        honest::answers(question, &user, &shared.present()).map(|answers| (question, answers))
    });
    let mut writer = peer.writer.lock().await;
    let Some((question, answers)) = honest else {
        let frame = status_frame(&asked.inbox, id, NOBODY);
        return Ok(writer.write_all(&frame).await?);
    };
    let times = shared.count(question.call);
    let delivery = &script.delivery;
    let delivery = if delivery.of.is_none_or(|of| of == question.call) {
        delivery.clone()
    } else {
        Delivery::default()
    };
    let about = script.crowd.as_ref().filter(|crowd| {
        question.server.is_none() && crowd.calls.contains(&question.call) && answers.len() > 1
    });
    let number = |position: usize| question.server.unwrap_or(position);
    let honest: Box<dyn Iterator<Item = (usize, Value)> + Send> = if let Some(crowd) = about {
        Box::new(reply::crowd(crowd, times, move |server| {
            answers.get(server).cloned().unwrap_or_default()
        }))
    } else {
        let answers = answers.into_iter().enumerate();
        let mut all: Vec<(usize, Value)> = answers
            .map(|(position, answer)| (number(position), answer))
            .collect();
        put_in_order(&mut all, delivery.order);
        Box::new(all.into_iter())
    };
    for (server, answer) in honest {
        if delivery.lost == Some(server) {
            continue;
        }
        let reply = reply::changed(script, question.call, server, times, answer);
        for _ in 0..=delivery.again {
            deliver(&mut writer, &asked.inbox, id, &reply, &delivery).await?;
        }
    }
    Ok(())
}

fn put_in_order<T>(all: &mut [T], order: Order) {
    match order {
        Order::AsServers => {}
        Order::Reversed => all.reverse(),
        Order::Shuffled(seed) => fastrand::Rng::with_seed(seed).shuffle(all),
    }
}

async fn deliver(
    writer: &mut OwnedWriteHalf,
    inbox: &str,
    id: &str,
    reply: &Reply,
    delivery: &Delivery,
) -> anyhow::Result<()> {
    if !delivery.delay.is_zero() {
        tokio::time::sleep(delivery.delay).await;
    }
    let frame = match delivery.manner {
        Misbehaviour::Whole | Misbehaviour::Half => message_frame(inbox, id, reply, 0),
        Misbehaviour::Never => return Ok(()),
        Misbehaviour::Status(status) => status_frame(inbox, id, status),
        Misbehaviour::WrongSubject => message_frame("_INBOX.other.token", id, reply, 0),
        Misbehaviour::Announced(more) => message_frame(inbox, id, reply, more),
    };
    if delivery.manner == Misbehaviour::Half {
        writer
            .write_all(&frame[..frame.len() - reply.body.len() / 2])
            .await?;
        bail!("the script ends it");
    }
    let Some((size, pause)) = delivery.pieces else {
        return Ok(writer.write_all(&frame).await?);
    };
    for piece in frame.chunks(size.max(1)) {
        writer.write_all(piece).await?;
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

fn message_frame(subject: &str, id: &str, reply: &Reply, more: i64) -> Vec<u8> {
    let announced = |size: usize| {
        i64::try_from(size)
            .unwrap_or(i64::MAX)
            .saturating_add(more)
            .max(0)
    };
    let body = &reply.body;
    let mut frame = match reply.encoding {
        None => format!("MSG {subject} {id} {}\r\n", announced(body.len())),
        Some(encoding) => {
            let head = format!("NATS/1.0\r\nContent-Encoding: {encoding}\r\n\r\n");
            let total = announced(head.len() + body.len());
            format!("HMSG {subject} {id} {} {total}\r\n{head}", head.len())
        }
    }
    .into_bytes();
    frame.extend_from_slice(body);
    frame.extend_from_slice(b"\r\n");
    frame
}

fn status_frame(subject: &str, id: &str, status: &str) -> Vec<u8> {
    let head = format!("NATS/1.0 {status}\r\n\r\n");
    format!("HMSG {subject} {id} {0} {0}\r\n{head}\r\n", head.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inboxes_are_matched_as_servers_match_them() {
        assert!(matches_subject("_INBOX.a.*", "_INBOX.a.1"));
        assert!(matches_subject("_INBOX.>", "_INBOX.a.1"));
        assert!(matches_subject("_INBOX.a", "_INBOX.a"));
        for (pattern, subject) in [
            ("_INBOX.*", "_INBOX.a.1"),
            ("_INBOX.a", "_INBOX.b"),
            ("a.b", "a"),
            ("a.>", "a"),
        ] {
            assert!(!matches_subject(pattern, subject), "{pattern} {subject}");
        }
    }
}
