//! When a schedule is open: a cron expression in a time zone sets when it opens, a duration sets for how long.
//!
//! An occurrence is a minute whose local wall time matches the expression; the schedule is open for `duration` of
//! elapsed time after every occurrence. Where clocks change, no occurrence is lost, so that a window that forbids
//! something has no hole: a wall time that exists twice is an occurrence twice, and what would be in the gap of a
//! skipped hour occurs when the clock has jumped over it. Time zones come from the database that is built in; the
//! machine's is never read.

use std::fmt;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Weekday};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::time::later;

/// How far ahead the next opening is looked for: the next 29 February may be eight years away. A longer duration
/// counts as this one.
const HORIZON: Duration = Duration::from_hours(10 * 366 * 24);

/// A schedule that new occurrences keep open for this long is taken to be always open: what five fields leave out comes
/// within a year, except 29 February.
const ALWAYS: Duration = Duration::from_hours(2 * 366 * 24);

const MACROS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// When something is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    text: String,
    cron: Cron,
    /// The times of a day on which there are occurrences, in order.
    times: Vec<TimeOfDay>,
    zone: TimeZone,
    duration: Duration,
}

/// A time at which there is an occurrence on some days.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TimeOfDay {
    time: Time,
    /// The last time of this day that is reached from here without a break.
    unbroken_to: Time,
}

/// Why there is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression cannot be read.
    #[error(
        "schedule `{text}` is no cron expression: {message}; give five fields (minute, hour, day of month, month, \
         day of week) such as `0 22 * * 5`, or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"
    )]
    Cron {
        /// What was given.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// The zone is not in the database.
    #[error(
        "time zone `{name}` is not known; give a name of the IANA time zone database such as `Europe/Berlin`, or none for UTC"
    )]
    Zone {
        /// What was given.
        name: String,
    },
    /// It would never be open.
    #[error("the duration of schedule `{text}` is zero, so it would never be open; give one such as `4h`")]
    Duration {
        /// The expression.
        text: String,
    },
}

/// Whether a schedule is open at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulePhase {
    /// Whether it is.
    pub open: bool,
    /// When that becomes the opposite; none when it never does, as far as is looked ahead.
    pub changes: Option<Timestamp>,
}

impl Schedule {
    /// Reads a cron expression of five fields, or a macro such as `@daily`. Without a zone it is in UTC.
    pub fn parse(cron: &str, zone: Option<&str>, duration: Duration) -> Result<Self, ScheduleError> {
        let text = cron.trim().to_owned();
        if duration.is_zero() {
            return Err(ScheduleError::Duration { text });
        }
        let cron = parse_cron(&text)?;
        let zone = zone.map_or(Ok(TimeZone::UTC), parse_zone)?;
        let duration = duration.min(HORIZON);
        let times = times_of_day(&cron, duration);
        Ok(Self {
            text,
            cron,
            times,
            zone,
            duration,
        })
    }

    /// Whether it is open now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.open_by(now).is_some()
    }

    /// Whether it is open now, and until when that stays so.
    pub fn at(&self, now: Timestamp) -> SchedulePhase {
        match self.open_by(now) {
            Some(occurrence) => SchedulePhase {
                open: true,
                changes: self.closes(occurrence, now),
            },
            None => SchedulePhase {
                open: false,
                changes: after(now).and_then(|from| self.earliest(from, later(now, HORIZON))),
            },
        }
    }

    /// The latest occurrence up to now, if it still keeps the schedule open.
    fn open_by(&self, now: Timestamp) -> Option<Timestamp> {
        self.latest(after(before(now, self.duration)?)?, now, &mut None)
    }

    /// When it closes, if it is open since this occurrence, the latest up to now.
    fn closes(&self, occurrence: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let always = later(now, ALWAYS);
        let mut near = None;
        let mut last = self.unbroken(occurrence, &mut near);
        loop {
            let end = last.checked_add(self.duration).ok()?;
            match self.latest(after(last)?, end, &mut near) {
                None => return Some(end),
                Some(next) if next > always => return None,
                Some(next) => last = self.unbroken(next, &mut near),
            }
        }
    }

    /// The last occurrence of the same day that is reached from this one without a break, as far as the clocks do not
    /// change. Saves going through every minute of `* * * * *`.
    fn unbroken(&self, occurrence: Timestamp, near: &mut Option<Stretch>) -> Timestamp {
        let stretch = self.stretch_near(occurrence, near);
        let local = stretch.offset.to_datetime(occurrence);
        // After a gap, its wall time need not be one of the schedule.
        let matches = self.month_matches(local.date()) && self.day_matches(local.date());
        let known = self.times.binary_search_by(|entry| entry.time.cmp(&local.time()));
        let known = known.ok().filter(|_| matches);
        let reached = known.and_then(|index| self.times.get(index)).and_then(|entry| {
            let local = local.date().to_datetime(entry.unbroken_to);
            stretch.offset.to_timestamp(local).ok()
        });
        reached
            .filter(|reached| stretch.end.is_none_or(|end| *reached < end))
            .unwrap_or(occurrence)
    }

    /// The latest occurrence in a range, both ends included.
    fn latest(&self, from: Timestamp, mut to: Timestamp, near: &mut Option<Stretch>) -> Option<Timestamp> {
        while from <= to {
            let stretch = self.stretch_near(to, near);
            let begin = stretch.begin.map_or(from, |begin| begin.max(from));
            let found = self.latest_local(stretch.offset.to_datetime(begin), stretch.offset.to_datetime(to));
            if let Some(local) = found {
                return stretch.offset.to_timestamp(local).ok();
            }
            let begin = stretch.begin.filter(|begin| from <= *begin)?;
            if self.skipped(&stretch) {
                return Some(begin);
            }
            to = before(begin, Duration::from_nanos(1))?;
        }
        None
    }

    /// The earliest occurrence in a range, both ends included.
    fn earliest(&self, mut from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        while from <= to {
            let stretch = self.stretch(from);
            if stretch.begin == Some(from) && self.skipped(&stretch) {
                return Some(from);
            }
            let last = stretch.end.and_then(|end| before(end, Duration::from_nanos(1)));
            let last = last.map_or(to, |last| last.min(to));
            let found =
                self.earliest_local(stretch.offset.to_datetime(from), stretch.offset.to_datetime(last));
            if let Some(local) = found {
                return stretch.offset.to_timestamp(local).ok();
            }
            from = stretch.end?;
        }
        None
    }

    fn latest_local(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        let mut date = to.date();
        while from.date() <= date {
            if !self.month_matches(date) {
                date = date.first_of_month().yesterday().ok()?;
                continue;
            }
            if self.day_matches(date) {
                let until = self
                    .times
                    .partition_point(|entry| date.to_datetime(entry.time) <= to);
                if let Some(entry) = until.checked_sub(1).and_then(|index| self.times.get(index)) {
                    return Some(date.to_datetime(entry.time)).filter(|found| from <= *found);
                }
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    fn earliest_local(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        while date <= to.date() {
            if !self.month_matches(date) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if self.day_matches(date) {
                let first = self
                    .times
                    .partition_point(|entry| date.to_datetime(entry.time) < from);
                if let Some(entry) = self.times.get(first) {
                    return Some(date.to_datetime(entry.time)).filter(|found| *found <= to);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn month_matches(&self, date: Date) -> bool {
        let month = u32::from(date.month().unsigned_abs());
        self.cron.pattern.month_match(month).unwrap_or(false)
    }

    fn day_matches(&self, date: Date) -> bool {
        let (year, month, day) = (
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        );
        let weekday =
            Weekday::from_days_from_sunday(u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs()));
        let matches = self
            .cron
            .pattern
            .day_match(year, u32::from(month), u32::from(day), weekday);
        matches.unwrap_or(false)
    }

    /// Whether an occurrence would have been in the gap before this stretch.
    fn skipped(&self, stretch: &Stretch) -> bool {
        let Some((begin, offset)) = stretch.begin.zip(stretch.offset_before) else {
            return false;
        };
        let (first, next) = (offset.to_datetime(begin), stretch.offset.to_datetime(begin));
        first < next && self.earliest_local(first, next).is_some_and(|found| found < next)
    }

    /// The stretch around a moment, not computed again where it is the one before.
    fn stretch_near(&self, moment: Timestamp, near: &mut Option<Stretch>) -> Stretch {
        let known = near.filter(|known| {
            known.begin.is_none_or(|begin| begin <= moment) && known.end.is_none_or(|end| moment < end)
        });
        *near.insert(known.unwrap_or_else(|| self.stretch(moment)))
    }

    /// The stretch of time around a moment in which the zone's clocks do not change.
    fn stretch(&self, moment: Timestamp) -> Stretch {
        let inclusive = after(moment).unwrap_or(moment);
        let begin = self
            .zone
            .preceding(inclusive)
            .next()
            .map(|change| change.timestamp());
        let end = self
            .zone
            .following(moment)
            .next()
            .map(|change| change.timestamp());
        Stretch {
            begin,
            end,
            offset: self.zone.to_offset(moment),
            offset_before: begin
                .and_then(|begin| before(begin, Duration::from_nanos(1)))
                .map(|moment| self.zone.to_offset(moment)),
        }
    }
}

/// A stretch of time in which a zone's clocks do not change: from `begin` to before `end`, or for ever.
#[derive(Clone, Copy)]
struct Stretch {
    begin: Option<Timestamp>,
    end: Option<Timestamp>,
    offset: Offset,
    offset_before: Option<Offset>,
}

/// The expression and the zone.
impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}, {}",
            self.text,
            self.zone.iana_name().unwrap_or("UTC")
        )
    }
}

fn parse_cron(text: &str) -> Result<Cron, ScheduleError> {
    let failed = |message: String| ScheduleError::Cron {
        text: text.to_owned(),
        message,
    };
    let known = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let fields = known.map_or(text, |(_, fields)| fields);
    if fields.contains('@') {
        return Err(failed("there is no such macro".to_owned()));
    }
    let count = fields.split_whitespace().count();
    if count != 5 {
        return Err(failed(format!("it has {count} fields, five are needed")));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let parsed = parser.parse(fields);
    parsed.map_err(|error| failed(error.to_string().trim_end_matches('.').to_owned()))
}

fn parse_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let found = TimeZoneDatabase::bundled().get(name);
    found.map_err(|_| ScheduleError::Zone {
        name: name.to_owned(),
    })
}

fn times_of_day(cron: &Cron, duration: Duration) -> Vec<TimeOfDay> {
    let hours = (0_i8..24).filter(|hour| {
        cron.pattern
            .hour_match(u32::from(hour.unsigned_abs()))
            .unwrap_or(false)
    });
    let minutes: Vec<i8> = (0_i8..60)
        .filter(|minute| {
            cron.pattern
                .minute_match(u32::from(minute.unsigned_abs()))
                .unwrap_or(false)
        })
        .collect();
    let mut times: Vec<TimeOfDay> = hours
        .flat_map(|hour| {
            minutes
                .iter()
                .filter_map(move |minute| Time::new(hour, *minute, 0, 0).ok())
        })
        .map(|time| TimeOfDay {
            time,
            unbroken_to: time,
        })
        .collect();
    let mut next: Option<TimeOfDay> = None;
    for entry in times.iter_mut().rev() {
        let joined = next.filter(|next| next.time.duration_since(entry.time).unsigned_abs() <= duration);
        entry.unbroken_to = joined.map_or(entry.time, |next| next.unbroken_to);
        next = Some(*entry);
    }
    times
}

fn before(moment: Timestamp, span: Duration) -> Option<Timestamp> {
    moment.checked_sub(span).ok()
}

fn after(moment: Timestamp) -> Option<Timestamp> {
    moment.checked_add(Duration::from_nanos(1)).ok()
}

#[cfg(test)]
mod tests;
