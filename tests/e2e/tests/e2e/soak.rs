//! The short form of the soak: everything fails once or twice under load, and no promise is broken.

use leeward_lab::demo::Shape;
use leeward_lab::soak::{self, Options};

/// Always the same disturbances: `leeward-lab soak --short` tries others.
const SEED: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn through_outages_of_servers_links_operator_and_apiserver_nothing_is_lost_and_every_promise_is_kept() {
    leeward_e2e::build().await.unwrap();
    let options = Options::short(SEED);
    let report = soak::soak(Shape::Supercluster, &options).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.disturbances.len(), 6, "each kind was tried: {report}");
}
