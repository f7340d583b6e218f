//! The stand-in: what NACK does to a stream that is there, when its object or the stream has changed.

use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use serde_json::{Map, Value, json};

use super::NackMode;
use crate::kube::{Kind, ObjectClient};
use crate::nats::jetstream;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What the servers stored after the last update, as JSON.
const STORED: &str = "jetstream.nats.io/stand-in-state";

pub(super) async fn keep(objects: ObjectClient, client: Client, namespace: String, mode: NackMode) {
    loop {
        // What fails is tried again.
        if let Ok(streams) = objects.list(&namespace, Kind::NackStream).await {
            for object in streams {
                let _ = keep_one(&objects, &client, &namespace, mode, &object).await;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn keep_one(
    objects: &ObjectClient,
    client: &Client,
    namespace: &str,
    mode: NackMode,
    object: &Value,
) -> anyhow::Result<()> {
    let name = object["metadata"]["name"].as_str().context("it has no name")?;
    let stream = object["spec"]["name"].as_str().context("it names no stream")?;
    let generation = &object["metadata"]["generation"];
    let stored = jetstream::stream_info(client, stream).await?["config"].take();
    let is_carried_out = object["status"]["observedGeneration"] == *generation;
    let is_kept = match mode {
        NackMode::Legacy => is_carried_out,
        NackMode::ControlLoop => {
            let last = object["metadata"]["annotations"][STORED].as_str();
            is_carried_out && last == Some(&stored.to_string())
        }
    };
    if is_kept {
        return Ok(());
    }
    let updated = jetstream::update_stream(client, stream, configured(&stored, &object["spec"], mode)).await;
    let ready = |status: &str, reason: &str, message: String| json!([{"type": "Ready", "status": status, "reason": reason, "message": message}]);
    let status = match &updated {
        Ok(_) => {
            let conditions = ready(
                "True",
                "Reconciled",
                "the stream is as the object says".to_owned(),
            );
            json!({"observedGeneration": generation, "conditions": conditions})
        }
        Err(error) => json!({"conditions": ready("False", "Errored", format!("{error:#}"))}),
    };
    if let Ok(answer) = updated {
        let annotations = json!({STORED: answer["config"].to_string()});
        let patch = json!({"metadata": {"annotations": annotations}});
        objects.patch(namespace, Kind::NackStream, name, &patch).await?;
    }
    objects
        .patch_status(namespace, Kind::NackStream, name, &json!({ "status": status }))
        .await
}

/// The configuration that the object asks for, as NACK makes it of the stored one.
fn configured(stored: &Value, spec: &Value, mode: NackMode) -> Value {
    let mut config = stored.clone();
    for (said, field) in [
        ("subjects", "subjects"),
        ("replicas", "num_replicas"),
        ("storage", "storage"),
        ("metadata", "metadata"),
    ] {
        if let Some(value) = spec.get(said) {
            config[field] = value.clone();
        }
    }
    let said = spec.get("placement").filter(|said| !said.is_null());
    let mut placement = match mode {
        NackMode::Legacy => Map::new(),
        NackMode::ControlLoop => stored["placement"].as_object().cloned().unwrap_or_default(),
    };
    match (said, mode) {
        (Some(said), _) => {
            let said = said.as_object().into_iter().flatten();
            placement.extend(
                said.filter(|(_, value)| !value.is_null() && **value != json!(""))
                    .map(|(field, value)| (field.clone(), value.clone())),
            );
        }
        // It clears a cluster and keeps tags.
        (None, NackMode::ControlLoop) => {
            placement.remove("cluster");
        }
        // It leaves what is there.
        (None, NackMode::Legacy) => return config,
    }
    config["placement"] = if placement.is_empty() {
        Value::Null
    } else {
        Value::Object(placement)
    };
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_makes_of_a_placement_what_nack_makes_of_it() {
        let of = |stored: Value, said: Value, mode| {
            let stored = json!({"name": "A", "max_age": 7, "placement": stored});
            let config = configured(&stored, &json!({"name": "A", "placement": said}), mode);
            assert_eq!(config["max_age"], 7);
            config["placement"].clone()
        };
        let both = json!({"cluster": "a", "tags": ["ssd"]});
        for mode in [NackMode::Legacy, NackMode::ControlLoop] {
            assert_eq!(
                of(Value::Null, json!({"cluster": "b"}), mode),
                json!({"cluster": "b"})
            );
        }
        assert_eq!(
            of(both.clone(), json!({"cluster": "b"}), NackMode::Legacy),
            json!({"cluster": "b"})
        );
        let kept = json!({"cluster": "b", "tags": ["ssd"]});
        assert_eq!(
            of(both.clone(), json!({"cluster": "b"}), NackMode::ControlLoop),
            kept
        );
        assert_eq!(of(both.clone(), Value::Null, NackMode::Legacy), both);
        assert_eq!(
            of(both, Value::Null, NackMode::ControlLoop),
            json!({"tags": ["ssd"]})
        );
    }
}
