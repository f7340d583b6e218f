//! What an operator costs while nothing happens, from the kernel's own count.

use std::time::Duration;

use anyhow::Context;

const WATCHED: Duration = Duration::from_secs(30);
/// Linux counts processor time in hundredths of a second for user programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU and memory of a process over half a minute.
pub(super) async fn measure(process: u32) -> anyhow::Result<String> {
    // Lets the aftermath of the convergence settle first.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = processor_seconds(process)?;
    tokio::time::sleep(WATCHED).await;
    let used = processor_seconds(process)? - before;
    let percent = used / WATCHED.as_secs_f64() * 100.0;
    Ok(format!(
        "operator at rest: {percent:.2} % of one core over {} s, {:.0} MB resident",
        WATCHED.as_secs(),
        resident_megabytes(process)?
    ))
}

pub(super) fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name may hold spaces; the fields are counted after its closing parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("too few fields")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn resident_megabytes(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
