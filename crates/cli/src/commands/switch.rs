//! `leeward suspend` and `leeward resume`.

use crate::args::SwitchArgs;
use crate::{kubernetes, output, runtime};

/// Stops a policy from acting.
pub fn suspend(args: &SwitchArgs) -> anyhow::Result<()> {
    turn(args, true)
}

/// Lets a policy act again.
pub fn resume(args: &SwitchArgs) -> anyhow::Result<()> {
    turn(args, false)
}

fn turn(args: &SwitchArgs, to: bool) -> anyhow::Result<()> {
    runtime::block_on(async {
        let kubernetes = kubernetes::connect(&args.kubernetes).await?;
        let key = kubernetes.key(&args.policy)?;
        let changed = kubernetes::suspend(&kubernetes, &key, to).await?;
        output::write(&outcome(&key.1, to, changed))
    })
}

fn outcome(name: &str, to: bool, changed: bool) -> String {
    let word = match (changed, to) {
        (false, _) => "unchanged",
        (true, true) => "suspended",
        (true, false) => "resumed",
    };
    format!("placementpolicy.leeward.dev/{name} {word}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_said_as_kubectl_says_it() {
        let message = |to, changed| outcome("orders", to, changed);
        assert_eq!(
            message(true, true),
            "placementpolicy.leeward.dev/orders suspended\n"
        );
        assert_eq!(
            message(false, true),
            "placementpolicy.leeward.dev/orders resumed\n"
        );
        assert_eq!(
            message(true, false),
            "placementpolicy.leeward.dev/orders unchanged\n"
        );
    }
}
