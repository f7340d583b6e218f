//! `leeward explain STREAM[/CONSUMER]`: where it is, who uses it, what was decided and why, what would change it.

mod answer;
mod changes;
mod near;
mod table;

use anyhow::anyhow;
use jiff::Timestamp;
use leeward_core::names::AssetName;

use self::near::near;
use crate::args::ExplainArgs;
use crate::commands::{looked, usage};
use crate::document::ExplainDocument;
use crate::exit::{LookOutcome, NotSeen};
use crate::judge::{Assessment, judge, samplings};
use crate::loaded_policy::LoadedPolicy;
use crate::look::Looked;
use crate::output;

/// Runs the command.
pub fn run(args: &ExplainArgs) -> anyhow::Result<LookOutcome> {
    let asset = parse(&args.asset)?;
    usage::refuse_unsampled(args.usage, &args.common.connection)?;
    let (policies, seen) = looked(&args.common, |policies, seen| {
        if args.usage && seen.usage.is_empty() {
            let stream = seen.view.stream(&asset.stream);
            let own = stream.and_then(|stream| usage::sampling(policies, &seen.view, stream));
            return own.into_iter().collect();
        }
        let due = samplings(policies, seen).into_iter();
        due.filter(|sampling| sampling.stream == asset.stream).collect()
    })?;
    let (document, found) = document(&policies, &seen, &asset, Timestamp::now())?;
    output::print(args.common.output.format, &document, table::render)?;
    Ok(found)
}

/// Names of streams and consumers hold no slash.
fn parse(text: &str) -> anyhow::Result<AssetName> {
    let (stream, consumer) = match text.split_once('/') {
        Some((stream, consumer)) => (stream, Some(consumer)),
        None => (text, None),
    };
    if stream.is_empty() || consumer.is_some_and(|name| name.is_empty() || name.contains('/')) {
        return Err(anyhow!(
            "{text:?} names no stream and no consumer: write STREAM or STREAM/CONSUMER"
        ));
    }
    Ok(AssetName::of(stream, consumer))
}

fn document(
    policies: &[LoadedPolicy],
    seen: &Looked,
    asset: &AssetName,
    now: Timestamp,
) -> anyhow::Result<(ExplainDocument, LookOutcome)> {
    let judged = judge(policies, seen, now);
    if seen.view.group(asset).is_none() {
        return Err(unknown(seen, &judged, asset));
    }
    let answered = answer::answer(&judged, asset);
    answered.ok_or_else(|| anyhow!("no policy to explain {asset} by was given"))
}

/// The asset was not seen: another one may be meant, or not everything was seen.
fn unknown(seen: &Looked, judged: &[Assessment<'_>], asset: &AssetName) -> anyhow::Error {
    let stream = seen.view.stream(&asset.stream);
    let (place, what, wanted, names) = if let (Some(stream), Some(consumer)) = (stream, &asset.consumer) {
        let names: Vec<&str> = stream.consumers.iter().map(|of| of.name.as_str()).collect();
        let place = format!("stream {} has no consumer {consumer}", stream.name);
        (place, "consumers", consumer.as_str(), names)
    } else {
        let names: Vec<&str> = seen.view.streams.iter().map(|of| of.name.as_str()).collect();
        let place = format!("account {} has no stream {}", seen.account.id, asset.stream);
        (place, "streams", asset.stream.as_str(), names)
    };
    let found = near(wanted, &names);
    let hint = match (found.as_slice(), names.len()) {
        (_, 0) => format!("it has no {what} at all"),
        ([], count) => format!("none of its {count} {what} has a name like it"),
        (found, _) => format!("did you mean {}?", found.join(", ")),
    };
    let incomplete = judged
        .first()
        .filter(|judged| !judged.decision.evaluation.conclusive());
    match incomplete {
        // Not seen does not mean absent.
        Some(judged) => {
            let missing = &judged.report.observed.1;
            let message = format!("{asset} was not seen, and not everything was: {missing}");
            NotSeen { message }.into()
        }
        None => anyhow!("{place}: {hint}"),
    }
}

#[cfg(test)]
mod tests;
