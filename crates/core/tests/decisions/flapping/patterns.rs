//! Where clients are, look by look.

use std::time::Duration;

/// Locations of the model.
pub const LOCATIONS: usize = 3;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The clients at one look, and what is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Connections in each location.
    pub clients: [u32; LOCATIONS],
    /// The location whose servers are down.
    pub down: Option<usize>,
}

impl Weather {
    /// All is well.
    pub fn of(clients: [u32; LOCATIONS]) -> Self {
        Self { clients, down: None }
    }

    /// The location with the most clients, if it is one.
    pub fn most(&self) -> Option<usize> {
        let most = self.clients.iter().max().copied().filter(|most| *most > 0)?;
        let mut having = (0..LOCATIONS).filter(|number| self.clients[*number] == most);
        having.next().filter(|_| having.next().is_none())
    }
}

/// How clients behave.
#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    /// Nine in ten are in the first location for half of the period, and in the second for the other half.
    SquareWave { period: Duration },
    /// The share of the first location goes up and down by chance.
    RandomWalk { seed: u64 },
    /// The first location's servers are down for a while again and again; its clients are elsewhere meanwhile.
    RegionFails { every: Duration, lasts: Duration },
    /// Only the clients of the first location are sent elsewhere, and come back.
    ClientsFlee { every: Duration, lasts: Duration },
    /// All clients are restarted: they are few, then they are anywhere, then they are where they were.
    RollingDeploy { every: Duration },
}

impl Pattern {
    /// What it is called in the table.
    pub fn name(&self) -> String {
        match self {
            Self::SquareWave { period } => format!("square wave {}", text(*period)),
            Self::RandomWalk { seed } => format!("random walk {seed}"),
            Self::RegionFails { every, lasts } => {
                format!("region fails {} every {}", text(*lasts), text(*every))
            }
            Self::ClientsFlee { every, lasts } => {
                format!("clients flee {} every {}", text(*lasts), text(*every))
            }
            Self::RollingDeploy { every } => format!("rolling deploy every {}", text(*every)),
        }
    }

    /// Every look for as long as the pattern is watched.
    pub fn play(&self, lasts: Duration, look: Duration) -> Vec<Weather> {
        let mut dice = Dice::new(match self {
            Self::RandomWalk { seed } => *seed,
            Self::SquareWave { .. }
            | Self::RegionFails { .. }
            | Self::ClientsFlee { .. }
            | Self::RollingDeploy { .. } => 0,
        });
        let mut share = 60;
        let looks = lasts.as_secs() / look.as_secs();
        let at = |number: u64, share: &mut u32, dice: &mut Dice| {
            let second = number * look.as_secs();
            match self {
                Self::SquareWave { period } => {
                    let first = second % period.as_secs() < period.as_secs() / 2;
                    Weather::of(if first { [90, 6, 4] } else { [6, 90, 4] })
                }
                Self::RandomWalk { .. } => {
                    *share = (*share + dice.below(13)).clamp(6, 102) - 6;
                    Weather::of([*share, 96 - *share, 4])
                }
                Self::RegionFails { every, lasts } => Weather {
                    down: (phase(second, *every) < lasts.as_secs()).then_some(0),
                    clients: away(phase(second, *every), *lasts),
                },
                Self::ClientsFlee { every, lasts } => Weather::of(away(phase(second, *every), *lasts)),
                Self::RollingDeploy { every } => Weather::of(deploying(phase(second, *every))),
            }
        };
        (0..looks)
            .map(|number| at(number, &mut share, &mut dice))
            .collect()
    }
}

/// Seconds since it began last; it does so first after half of the time.
fn phase(second: u64, every: Duration) -> u64 {
    (second + every.as_secs() / 2) % every.as_secs()
}

/// Clients are gone for so long, and come back over two minutes.
fn away(phase: u64, lasts: Duration) -> [u32; LOCATIONS] {
    match phase.checked_sub(lasts.as_secs()) {
        None => [0, 75, 25],
        Some(since) if since < MINUTE => [30, 50, 20],
        Some(since) if since < 2 * MINUTE => [55, 30, 15],
        Some(_) => [80, 12, 8],
    }
}

fn deploying(phase: u64) -> [u32; LOCATIONS] {
    match phase / MINUTE {
        0 => [3, 1, 0],
        1..=4 => [10, 60, 10],
        5..=9 => [33, 33, 34],
        10..=11 => [50, 40, 10],
        _ => [80, 12, 8],
    }
}

fn text(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
        seconds => format!("{}m", seconds / MINUTE),
    }
}

/// Chance that repeats itself.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below another one (splitmix64).
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(end)).unwrap()
    }
}
