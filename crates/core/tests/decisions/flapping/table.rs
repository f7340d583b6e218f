//! Leeward and the naive rule side by side, in numbers.

use std::fmt::Write as _;

use super::{
    CONSUMERS, DAY, DEFAULTS, DEPLOYMENTS, Deployment, HOUR, LOOK, Leeward, MINUTE, Naive, Pattern, STREAMS,
    Weather, acts_per_asset, patterns, square_wave, why_broken,
};
use crate::flapping::estate::Estate;

/// Acts on every look: what is left when everything that damps is taken away.
const EAGER: &str = "home: {stabilizationWindow: 0s, hysteresisPercent: 0}\n\
    disruption: {cooldown: 0s, budgets: [], gates: {quietAfterLeaderChange: 0s}}";
const CAUTIOUS: &str = "home: {stabilizationWindow: 1h, hysteresisPercent: 30}\n\
    disruption: {cooldown: 6h, budgets: [{name: few, max: 1, per: 10m}]}";

/// Looks at which assets were led from where most clients were.
#[derive(Default)]
struct InPlace {
    there: usize,
    all: usize,
}

impl InPlace {
    fn count(&mut self, estate: &Estate, weather: &Weather) {
        if let Some(most) = weather.most() {
            let (there, all) = estate.led_from(most);
            self.there += there;
            self.all += all;
        }
    }

    fn percent(&self) -> usize {
        (self.there * 100 + self.all / 2) / self.all.max(1)
    }
}

pub fn of_all() -> String {
    let mut text = format!(
        "{STREAMS} streams with {CONSUMERS} consumers each, three locations, a look every {} s for {} h.\n\
        acts: all, and most on one stream or consumer. homes: how often home changed.\n\
        in place: share of streams and consumers, over time, that are led from where most clients are.\n\n",
        LOOK.as_secs(),
        DAY.as_secs() / HOUR.as_secs(),
    );
    let _ = writeln!(text, "{:<52}{:<36}naive rule", "", "Leeward");
    let _ = writeln!(
        text,
        "{:<26}{:<14}{:<12}{:>7}{:>10}{:>7}{:>10}{:>9}{:>10}",
        "clients", "deployment", "policy", "acts", "on one", "homes", "in place", "acts", "in place"
    );
    for deployment in DEPLOYMENTS {
        for pattern in patterns() {
            text += &row(deployment, &pattern, "defaults", DEFAULTS);
        }
        for pattern in [square_wave(5 * MINUTE), square_wave(6 * HOUR)] {
            text += &row(deployment, &pattern, "eager", EAGER);
            text += &row(deployment, &pattern, "cautious", CAUTIOUS);
        }
    }
    text
}

fn row(deployment: Deployment, pattern: &Pattern, named: &str, policy: &str) -> String {
    let world = deployment.world(STREAMS, CONSUMERS, policy);
    let mut naive = Naive::new(&world, LOOK);
    let mut leeward = Leeward::new(deployment, world, LOOK, 100);
    let (mut ours, mut theirs) = (InPlace::default(), InPlace::default());
    for weather in pattern.play(DAY, LOOK) {
        leeward.look(&weather);
        naive.look(&weather);
        ours.count(&leeward.estate, &weather);
        theirs.count(&naive.estate, &weather);
    }
    assert_eq!(
        why_broken(&leeward),
        None,
        "{deployment:?}, {}, {named}",
        pattern.name()
    );
    assert!(
        leeward.acts.len() <= naive.acts,
        "{deployment:?}, {}, {named}",
        pattern.name()
    );
    let mut row = String::new();
    let _ = writeln!(
        row,
        "{:<26}{:<14}{named:<12}{:>7}{:>10}{:>7}{:>8} %{:>9}{:>8} %",
        pattern.name(),
        format!("{deployment:?}").to_lowercase(),
        leeward.acts.len(),
        acts_per_asset(&leeward.acts).values().max().unwrap_or(&0),
        leeward.homes.len(),
        ours.percent(),
        naive.acts,
        theirs.percent(),
    );
    row
}
