use std::time::Duration;

use croner::Cron;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, Zoned};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Schedule, ScheduleError, SchedulePhase};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn schedule(cron: &str, zone: &str, duration: Duration) -> Schedule {
    Schedule::parse(cron, Some(zone), duration).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn phase(schedule: &Schedule, now: &str) -> (bool, Option<String>) {
    let SchedulePhase { open, changes } = schedule.at(time(now));
    (open, changes.map(|changes| changes.to_string()))
}

/// Every change from `from` on, the first one opening.
fn openings(schedule: &Schedule, from: &str, count: usize) -> Vec<(String, String)> {
    let mut now = time(from);
    (0..count)
        .map(|_| {
            assert!(!schedule.at(now).open);
            let opens = schedule.at(now).changes.unwrap();
            now = schedule.at(opens).changes.unwrap();
            (opens.to_string(), now.to_string())
        })
        .collect()
}

fn pair(opens: &str, closes: &str) -> (String, String) {
    (opens.to_owned(), closes.to_owned())
}

#[test]
fn without_a_zone_it_is_in_utc_and_open_from_the_occurrence_to_before_its_end() {
    let schedule = Schedule::parse("0 22 * * 5", None, 4 * HOUR).unwrap();
    // 2026-11-20 is a Friday.
    assert_eq!(
        phase(&schedule, "2026-11-20T21:59:59.999Z"),
        (false, Some("2026-11-20T22:00:00Z".into()))
    );
    assert_eq!(
        phase(&schedule, "2026-11-20T22:00:00Z"),
        (true, Some("2026-11-21T02:00:00Z".into()))
    );
    assert_eq!(
        phase(&schedule, "2026-11-21T01:59:59.999Z"),
        (true, Some("2026-11-21T02:00:00Z".into()))
    );
    assert_eq!(
        phase(&schedule, "2026-11-21T02:00:00Z"),
        (false, Some("2026-11-27T22:00:00Z".into()))
    );
}

#[test]
fn it_follows_the_wall_clock_of_its_zone_through_the_seasons() {
    let berlin = schedule("0 22 * * *", "Europe/Berlin", HOUR);
    assert_eq!(
        openings(&berlin, "2026-07-01T12:00:00Z", 1),
        [pair("2026-07-01T20:00:00Z", "2026-07-01T21:00:00Z")]
    );
    assert_eq!(
        openings(&berlin, "2026-12-01T12:00:00Z", 1),
        [pair("2026-12-01T21:00:00Z", "2026-12-01T22:00:00Z")]
    );
    let kolkata = schedule("15 0 * * *", "Asia/Kolkata", HOUR);
    assert_eq!(
        openings(&kolkata, "2026-07-01T12:00:00Z", 1),
        [pair("2026-07-01T18:45:00Z", "2026-07-01T19:45:00Z")]
    );
}

#[test]
fn what_would_be_in_a_skipped_hour_occurs_when_the_clock_has_jumped_over_it() {
    // Berlin jumps from 02:00 to 03:00 at 01:00Z on 2026-03-29.
    let berlin = schedule("30 2 * * *", "Europe/Berlin", HOUR);
    let expected = [
        pair("2026-03-28T01:30:00Z", "2026-03-28T02:30:00Z"),
        pair("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        pair("2026-03-30T00:30:00Z", "2026-03-30T01:30:00Z"),
    ];
    assert_eq!(openings(&berlin, "2026-03-28T00:00:00Z", 3), expected);
    // New York jumps from 02:00 to 03:00 at 07:00Z on 2026-03-08.
    let new_york = schedule("0 2 * * 0", "America/New_York", 2 * HOUR);
    assert_eq!(
        openings(&new_york, "2026-03-07T00:00:00Z", 1),
        [pair("2026-03-08T07:00:00Z", "2026-03-08T09:00:00Z")]
    );
}

#[test]
fn a_wall_time_that_exists_twice_is_an_occurrence_twice() {
    // Berlin goes back from 03:00 to 02:00 at 01:00Z on 2026-10-25.
    let short = schedule("30 2 * * *", "Europe/Berlin", 15 * MINUTE);
    let expected = [
        pair("2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z"),
        pair("2026-10-25T01:30:00Z", "2026-10-25T01:45:00Z"),
        pair("2026-10-26T01:30:00Z", "2026-10-26T01:45:00Z"),
    ];
    assert_eq!(openings(&short, "2026-10-25T00:00:00Z", 3), expected);
    let hour = schedule("30 2 * * *", "Europe/Berlin", HOUR);
    assert_eq!(
        openings(&hour, "2026-10-25T00:00:00Z", 1),
        [pair("2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z")]
    );
}

#[test]
fn hourly_windows_leave_no_hole_where_clocks_change() {
    let hour = |cron| {
        (
            cron,
            HOUR,
            ["Europe/Berlin", "America/St_Johns", "Africa/Casablanca"],
        )
    };
    // Lord Howe's clocks change by half an hour, so that one of its wall clock's hours takes 90 minutes.
    let quarters = ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"];
    let quarter = ("*/15 * * * *", 15 * MINUTE, quarters);
    for (cron, duration, zones) in [hour("0 * * * *"), hour("0 0-23 * * *"), quarter] {
        for zone in zones {
            let seen = schedule(cron, zone, duration).at(time("2026-01-07T00:00:00Z"));
            let always = SchedulePhase {
                open: true,
                changes: None,
            };
            assert_eq!(seen, always, "{cron} {zone}");
        }
    }
}

#[test]
fn the_duration_is_elapsed_time_even_when_the_clocks_change_meanwhile() {
    let night = schedule("0 22 * * 6", "Europe/Berlin", 8 * HOUR);
    assert_eq!(
        openings(&night, "2026-03-28T12:00:00Z", 1),
        [pair("2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z")]
    );
    assert_eq!(
        openings(&night, "2026-10-24T12:00:00Z", 1),
        [pair("2026-10-24T20:00:00Z", "2026-10-25T04:00:00Z")]
    );
}

#[test]
fn days_of_23_and_25_hours_are_covered_by_their_own_midnight() {
    let day = schedule("0 0 * * 0", "Europe/Berlin", DAY);
    let closes = |from| openings(&day, from, 1).remove(0);
    assert_eq!(
        closes("2026-03-28T00:00:00Z"),
        pair("2026-03-28T23:00:00Z", "2026-03-29T23:00:00Z")
    );
    assert_eq!(
        closes("2026-10-24T00:00:00Z"),
        pair("2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z")
    );
    // A day of 25 hours is longer than the duration: an hour stays closed.
    let daily = schedule("@daily", "Europe/Berlin", DAY);
    assert_eq!(
        phase(&daily, "2026-10-25T22:30:00Z"),
        (false, Some("2026-10-25T23:00:00Z".into()))
    );
    assert_eq!(
        phase(&daily, "2026-10-20T00:00:00Z"),
        (true, Some("2026-10-25T22:00:00Z".into()))
    );
}

#[test]
fn a_whole_day_that_a_zone_skipped_is_a_gap_like_any_other() {
    // Apia had no 2011-12-30: the clock went from the 29th, 24:00, at 10:00Z to the 31st.
    let apia = schedule("0 12 * * *", "Pacific/Apia", HOUR);
    let expected = [
        pair("2011-12-29T22:00:00Z", "2011-12-29T23:00:00Z"),
        pair("2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"),
        pair("2011-12-30T22:00:00Z", "2011-12-30T23:00:00Z"),
    ];
    assert_eq!(openings(&apia, "2011-12-29T12:00:00Z", 3), expected);
    // The skipped day was a Friday, and the occurrence in its place is on a Saturday, which has none of its own.
    let workdays = schedule("0 * * * 1-5", "Pacific/Apia", HOUR);
    let seen = phase(&workdays, "2011-12-29T12:00:00Z");
    assert_eq!(seen, (true, Some("2011-12-30T11:00:00Z".into())));
}

#[test]
fn a_day_that_begins_with_a_skipped_hour_has_its_midnight_occurrence() {
    // Beirut jumps from 00:00 to 01:00.
    let beirut = schedule("0 0 * * 0", "Asia/Beirut", HOUR);
    assert_eq!(
        openings(&beirut, "2026-03-28T00:00:00Z", 1),
        [pair("2026-03-28T22:00:00Z", "2026-03-28T23:00:00Z")]
    );
}

#[test]
fn leap_days_are_found_even_where_eight_years_lie_between_them() {
    let leap = schedule("0 0 29 2 *", "UTC", DAY);
    assert_eq!(
        openings(&leap, "2025-01-01T00:00:00Z", 1),
        [pair("2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z")]
    );
    assert_eq!(
        openings(&leap, "2096-03-02T00:00:00Z", 1),
        [pair("2104-02-29T00:00:00Z", "2104-03-01T00:00:00Z")]
    );
}

#[test]
fn a_day_that_never_comes_never_opens_it() {
    let never = schedule("0 0 30 2 *", "Europe/Berlin", DAY);
    assert_eq!(
        never.at(time("2026-01-01T00:00:00Z")),
        SchedulePhase {
            open: false,
            changes: None
        }
    );
}

#[test]
fn occurrences_that_overlap_keep_it_open_until_the_last_of_them_is_over() {
    let overlapping = schedule("*/10 8-9 * * 1", "UTC", 25 * MINUTE);
    assert_eq!(
        openings(&overlapping, "2026-11-22T00:00:00Z", 1),
        [pair("2026-11-23T08:00:00Z", "2026-11-23T10:15:00Z")]
    );
    let touching = schedule("0 0 * * 1-5", "UTC", DAY);
    assert_eq!(
        openings(&touching, "2026-11-22T00:00:00Z", 1),
        [pair("2026-11-23T00:00:00Z", "2026-11-28T00:00:00Z")]
    );
    let summer = schedule("* * * 6-8 *", "Europe/Berlin", MINUTE);
    assert_eq!(
        openings(&summer, "2026-01-01T00:00:00Z", 1),
        [pair("2026-05-31T22:00:00Z", "2026-08-31T22:00:00Z")]
    );
}

#[test]
fn what_is_open_always_never_changes_however_long_the_duration() {
    let always = SchedulePhase {
        open: true,
        changes: None,
    };
    let now = time("2026-11-22T21:00:30.5Z");
    for duration in [MINUTE, 30 * DAY, Duration::MAX] {
        assert_eq!(
            schedule("* * * * *", "America/New_York", duration).at(now),
            always,
            "{duration:?}"
        );
    }
    assert_eq!(schedule("@yearly", "UTC", 366 * DAY).at(now), always);
    let almost = schedule("@yearly", "UTC", 365 * DAY);
    assert_eq!(
        phase(&almost, "2026-11-22T00:00:00Z"),
        (true, Some("2028-12-31T00:00:00Z".into()))
    );
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let daily = schedule("@daily", "Europe/Berlin", HOUR);
    for now in [Timestamp::MIN, Timestamp::MAX] {
        let phase = daily.at(now);
        assert!(phase.changes.is_none_or(|changes| changes > now));
    }
}

#[test]
fn macros_are_their_five_fields() {
    let now = time("2026-11-18T10:20:30Z");
    let same = |name: &str, fields: &str| {
        let expected = schedule(fields, "UTC", MINUTE).at(now);
        assert_eq!(schedule(name, "UTC", MINUTE).at(now), expected, "{name}");
    };
    same("@hourly", "0 * * * *");
    same("@daily", "0 0 * * *");
    same("@midnight", "0 0 * * *");
    same("@weekly", "0 0 * * SUN");
    same("@monthly", "0 0 1 * *");
    same("@yearly", "0 0 1 JAN *");
    same(" @ANNUALLY ", "0 0 1 1 *");
}

#[test]
fn seven_is_sunday_and_a_day_of_month_or_of_week_is_enough() {
    let now = "2026-11-18T10:20:30Z";
    let opens = |cron: &str| phase(&schedule(cron, "UTC", MINUTE), now).1.unwrap();
    assert_eq!(opens("0 0 * * 7"), "2026-11-22T00:00:00Z");
    assert_eq!(opens("0 0 21 * 7"), "2026-11-21T00:00:00Z");
    assert_eq!(opens("0 0 * * MON#1"), "2026-12-07T00:00:00Z");
    assert_eq!(opens("0 0 L * *"), "2026-11-30T00:00:00Z");
}

#[test]
fn what_is_no_cron_expression_is_refused_with_the_cure() {
    for text in [
        "",
        "@",
        "@reboot",
        "@every 5m",
        "0 22 * *",
        "0 0 22 * * 5",
        "0 22 * * 5 2026",
        "60 0 * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 0 * * FRIDAY",
        "a b c d e",
        "*/0 * * * *",
        "5-1 * * * *",
        "ſ ſ ſ ſ ſ",
        "CRON_TZ=UTC 0 0 * * *",
    ] {
        let error = Schedule::parse(text, None, HOUR).unwrap_err();
        assert!(matches!(error, ScheduleError::Cron { .. }), "{text}: {error}");
        assert!(error.to_string().contains("give five fields"), "{error}");
    }
    let error = Schedule::parse("0 0 22 * * 5", None, HOUR).unwrap_err();
    assert!(
        error.to_string().contains("it has 6 fields, five are needed"),
        "{error}"
    );
}

#[test]
fn what_is_no_zone_is_refused_with_the_cure() {
    for name in ["", "Europe/Bärlin", "CEST+", "../etc/localtime", "Local"] {
        let error = Schedule::parse("@daily", Some(name), HOUR).unwrap_err();
        assert_eq!(error, ScheduleError::Zone { name: name.into() });
        assert!(error.to_string().contains("such as `Europe/Berlin`"), "{error}");
    }
    assert!(Schedule::parse("@daily", Some("Etc/UTC"), HOUR).is_ok());
}

#[test]
fn a_schedule_that_is_open_for_no_time_is_refused() {
    let text = "@daily".to_owned();
    let error = Schedule::parse("@daily", None, Duration::ZERO).unwrap_err();
    assert_eq!(error, ScheduleError::Duration { text });
}

#[test]
fn it_names_itself_as_it_was_given() {
    assert_eq!(
        schedule(" 0 22 * * FRI", "Europe/Berlin", HOUR).to_string(),
        "0 22 * * FRI, Europe/Berlin"
    );
    assert_eq!(
        Schedule::parse("@daily", None, HOUR).unwrap().to_string(),
        "@daily, UTC"
    );
}

#[test]
fn the_machine_has_no_say_in_what_a_zone_is() {
    // Were jiff built to read the machine's files, its default database would not be the bundled one.
    assert!(
        format!("{:?}", jiff::tz::db()).contains("Bundled"),
        "{:?}",
        jiff::tz::db()
    );
    assert!(!TimeZoneDatabase::bundled().is_definitively_empty());
}

/// When each minute from `from` on is open, by looking at the wall clock of every minute.
struct Minutes {
    from: Timestamp,
    open: Vec<bool>,
}

impl Minutes {
    fn new(cron: &str, zone: &TimeZone, duration: Duration, from: Timestamp, days: i64) -> Self {
        let cron: Cron = cron.parse().unwrap();
        let minutes = days * 24 * 60;
        let wall = |minute: i64| Zoned::new(from + SignedDuration::from_mins(minute), zone.clone());
        let occurs = |minute: i64| {
            let (last, now) = (wall(minute - 1).datetime(), wall(minute).datetime());
            let mut skipped = last + SignedDuration::from_mins(1);
            while skipped < now {
                if cron.is_time_matching(&skipped).unwrap() {
                    return true;
                }
                skipped += SignedDuration::from_mins(1);
            }
            cron.is_time_matching(&now).unwrap()
        };
        let long = i64::try_from(duration.as_secs() / 60).unwrap();
        let mut open_for = 0;
        let mut open = Vec::new();
        for minute in -long..minutes {
            open_for = if occurs(minute) { long } else { open_for - 1 };
            if minute >= 0 {
                open.push(open_for > 0);
            }
        }
        Self { from, open }
    }

    /// The phase in a minute; no change when none is seen.
    fn phase(&self, minute: usize) -> SchedulePhase {
        let open = self.open[minute];
        let until = self.open[minute..].iter().position(|other| *other != open);
        let changes =
            until.map(|count| self.from + SignedDuration::from_mins(i64::try_from(minute + count).unwrap()));
        SchedulePhase { open, changes }
    }
}

fn field(values: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(values)
}

fn cron() -> impl Strategy<Value = String> {
    (
        field(&["0", "30", "*/15", "59", "*", "5-20", "0,45"]),
        field(&["0", "1", "2", "3", "23", "*", "*/2", "1-3", "22-23"]),
        field(&["*", "*", "*", "29", "1-15", "L"]),
        field(&["*", "*", "3,10", "1-11"]),
        field(&["*", "*", "*", "0", "6,0", "1-5"]),
    )
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// Moments at which a zone's clocks change: by an hour and by half of one, at midnight, over midnight, by a whole day,
/// and never.
const CHANGES: [(&str, &str); 13] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Asia/Beirut", "2026-03-28T22:00:00Z"),
    ("America/Havana", "2026-11-01T05:00:00Z"),
    ("America/St_Johns", "2010-11-07T02:31:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
    ("Asia/Kolkata", "2026-03-01T00:00:00Z"),
    ("UTC", "2028-02-29T00:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn it_is_open_exactly_when_the_wall_clock_of_every_minute_says_so(
        cron in cron(),
        (zone, change) in select(CHANGES.to_vec()),
        minutes in prop_oneof![1_u64..120, 1_u64..4000],
        looks in proptest::collection::vec((0_u16..6 * 24 * 60, 0_i64..60_000), 20),
    ) {
        let duration = Duration::from_secs(minutes * 60);
        let schedule = schedule(&cron, zone, duration);
        let from = time(change) - SignedDuration::from_hours(3 * 24);
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let expected = Minutes::new(&cron, &zone, duration, from, 7);
        for (minute, milliseconds) in looks {
            let now = from + SignedDuration::from_mins(i64::from(minute)) + SignedDuration::from_millis(milliseconds);
            let seen = schedule.at(now);
            prop_assert_eq!(schedule.is_open(now), seen.open);
            let expected = expected.phase(usize::from(minute));
            prop_assert_eq!(seen.open, expected.open, "{} at {}", schedule, now);
            if expected.changes.is_some() {
                prop_assert_eq!(seen.changes, expected.changes, "{} at {}", schedule, now);
            }
            if let Some(changes) = seen.changes {
                prop_assert!(changes > now);
                prop_assert_ne!(schedule.at(changes).open, seen.open);
                prop_assert_eq!(schedule.at(changes - SignedDuration::from_millis(1)).open, seen.open);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(cron in "[0-9*/,#LW?@+ -]{0,20}|\\PC{0,20}", zone in "[A-Za-z_/+0-9-]{0,16}", now in any::<i32>()) {
        if let Ok(schedule) = Schedule::parse(&cron, None, HOUR) {
            let now = Timestamp::from_second(i64::from(now)).unwrap();
            prop_assert!(schedule.at(now).changes.is_none_or(|changes| changes > now));
        }
        _ = Schedule::parse("@daily", Some(&zone), HOUR);
    }
}
