use super::*;

#[test]
fn gain_is_messages_a_second_times_milliseconds_saved() {
    let exactly = |rate, round_trip: Option<u64>, expected: f32| {
        let gained = gain(rate, round_trip.map(Duration::from_millis));
        assert!((gained - expected).abs() < 0.001, "{gained}");
    };
    exactly(Some(10.0), Some(40), 400.0);
    exactly(Some(10.0), None, 10.0);
    exactly(None, Some(40), 0.0);
    exactly(Some(0.0), Some(40), 0.0);
}

#[test]
fn every_move_costs_more_than_any_step_down_and_more_with_every_byte() {
    assert!(move_cost(0) > STEP_DOWN_COST);
    assert!(move_cost(1 << 30) > move_cost(1 << 20));
    assert!(move_cost(u64::MAX).is_finite());
}
