//! `leeward report` and `leeward explain` against what the `nats` command says of the same system.

use std::collections::BTreeSet;

use anyhow::ensure;
use leeward_e2e::cli::CommandLine;
use leeward_e2e::{CONVERGED, assets};
use leeward_lab::nats::{
    AccountSpec, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, System, UserSpec, eventually, jetstream,
};
use serde_json::{Value, json};

use super::by_nats::Reported;
use super::{AWAY, HOME, PATIENT, assets_of, masked, policy, word};

const SHOP: &str = "SHOP";
const IDLE: &str = "IDLE";

/// Two accounts with clients and streams, of which one is led from the wrong side, and one account with nothing.
async fn system() -> (System, Vec<async_nats::Client>) {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let account = |name: &str, user: &str| AccountSpec::new(name).user(UserSpec::new(user));
    let system = System::builder(layout)
        .account(account(DEFAULT_ACCOUNT, DEFAULT_USER))
        .account(account(SHOP, "seller"))
        .account(account(IDLE, "nobody"))
        .start()
        .await
        .unwrap();
    let mut kept = assets::clients(&system, HOME, 8).await.unwrap();
    kept.extend(assets::clients(&system, AWAY, 2).await.unwrap());
    let admin = assets::client(&system, AWAY).await.unwrap();
    let placed = |cluster: &str| json!({"placement": {"cluster": cluster}});
    for (stream, replicas, cluster, consumers) in [
        ("orders", 3, AWAY, &["billing", "mail", "audit"][..]),
        ("archive", 1, AWAY, &["reader"]),
        ("prices", 3, HOME, &["ticker", "charts"]),
    ] {
        assets::stream(&admin, stream, replicas, placed(cluster))
            .await
            .unwrap();
        for consumer in consumers {
            assets::consumer(&admin, stream, consumer, json!({}))
                .await
                .unwrap();
        }
    }
    kept.push(admin);
    let seller = system.credentials(SHOP, "seller").unwrap();
    for _ in 0..6 {
        kept.push(system.connect(AWAY, seller).await.unwrap());
    }
    let seller = kept.last().unwrap();
    assets::stream(seller, "carts", 1, placed(HOME)).await.unwrap();
    (system, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn report_counts_what_the_nats_command_counts_for_each_account_and_explain_finds_the_same_peers() {
    let (system, clients) = system().await;
    let leeward = CommandLine::new(&system, HOME).await.unwrap().arguments(&PATIENT);

    let file = leeward.file("policy.yaml", &policy("orders", json!({}))).unwrap();
    let by_policy = ["--filename", &file];
    let report = same_as_nats(&leeward, &system, DEFAULT_ACCOUNT, DEFAULT_USER, &by_policy).await;
    let own = &report["reports"][0];
    assert_eq!(word(&own["home"]["location"]), HOME);
    assert_eq!(
        (
            &own["streams"]["total"],
            &own["streams"]["inPlace"],
            &own["streams"]["misplaced"]
        ),
        (&json!(3), &json!(1), &json!(2))
    );
    assert_eq!(own["consumers"]["total"], 6);
    let mut misplaced = assets_of(&own["findings"]);
    misplaced.retain(|asset| !asset.is_empty());
    misplaced.sort();
    assert_eq!(
        misplaced,
        [
            "archive",
            "archive/reader",
            "orders",
            "orders/audit",
            "orders/billing",
            "orders/mail"
        ]
    );
    assert_eq!(report["system"]["serversExpected"], 6);
    assert_eq!(report["system"]["serversAnswered"], 6);

    let shop = same_as_nats(&leeward, &system, SHOP, "seller", &["--account", SHOP]).await;
    assert_eq!(word(&shop["reports"][0]["home"]["location"]), AWAY);
    of_all_accounts(&leeward, &system).await;
    in_tenant_mode(&system).await;
    let leeward = leeward.arguments(&by_policy);
    shown(&leeward).await;
    explained(&leeward, clients.first().unwrap()).await;
}

/// Compares until both agree: an election in between would not be a difference.
async fn same_as_nats(
    leeward: &CommandLine,
    system: &System,
    account: &str,
    user: &str,
    args: &[&str],
) -> Value {
    let all: Vec<&str> = ["report", "-o", "json"].iter().chain(args).copied().collect();
    let what = format!("leeward report counts as the nats command for {account}");
    let compare = async || {
        let document = leeward.run(&all).await?.with_code(2)?.document("report")?;
        let said = Reported::of_leeward(&document["reports"][0]);
        let reported = Reported::read(system, account, user, HOME).await?;
        ensure!(said == reported, "{said:?}\nnats: {reported:?}");
        ensure!(reported.connections.len() + reported.stream_leaders.len() > 1);
        Ok(document)
    };
    eventually(CONVERGED, &what, compare).await.unwrap()
}

async fn of_all_accounts(leeward: &CommandLine, system: &System) {
    let ended = leeward.run(&["report", "-A", "-o", "json"]).await.unwrap();
    let document = ended.with_code(2).unwrap().document("report").unwrap();
    let reports = document["reports"].as_array().unwrap();
    let accounts: Vec<&str> = reports
        .iter()
        .map(|report| word(&report["account"]["name"]))
        .collect();
    assert_eq!(accounts, [DEFAULT_ACCOUNT, SHOP], "without streams: {IDLE}");
    for (report, (account, user)) in reports
        .iter()
        .zip([(DEFAULT_ACCOUNT, DEFAULT_USER), (SHOP, "seller")])
    {
        let reported = Reported::read(system, account, user, HOME).await.unwrap();
        assert_eq!(Reported::of_leeward(report), reported, "{account}");
    }
    let unknown = leeward.run(&["report", "--account", "SHOPP"]).await.unwrap();
    let unknown = unknown.with_code(1).unwrap();
    assert!(
        unknown.err.contains("SHOPP") && unknown.err.contains(SHOP),
        "{}",
        unknown.err
    );
}

/// Without the system account the account's own user sees the same, and only of its own account.
async fn in_tenant_mode(system: &System) {
    let tenant = CommandLine::tenant(system, SHOP, "seller", HOME)
        .await
        .unwrap()
        .arguments(&PATIENT);
    let report = same_as_nats(&tenant, system, SHOP, "seller", &[]).await;
    assert!(report["system"].is_null(), "{report:#}");
    let all = tenant.run(&["report", "--all-accounts"]).await.unwrap();
    let all = all.with_code(1).unwrap();
    assert!(all.err.contains("--system-context"), "{}", all.err);

    let by_environment = CommandLine::by_environment(system, HOME).await.unwrap();
    let ended = by_environment.run(&["report", "-o", "json"]).await.unwrap();
    let report = ended.with_code(2).unwrap().document("report").unwrap();
    assert_eq!(report["reports"][0]["account"]["id"], DEFAULT_ACCOUNT);
}

/// As a person sees it.
async fn shown(leeward: &CommandLine) {
    // No rates: how much was published meanwhile would be another each time.
    let quiet = leeward.clone().arguments(&["--sample", "0s"]);
    for (name, args) in [
        ("report", &["report"][..]),
        ("plan", &["plan"]),
        ("explain", &["explain", "orders/mail"]),
    ] {
        let ended = quiet.run(args).await.unwrap().with_code(2).unwrap();
        // Connections of all accounts include those of tests and of the commands themselves.
        let (about_account, _) = ended.out.split_once("\nSYSTEM ").unwrap_or((&ended.out, ""));
        masked(|| insta::assert_snapshot!(name, about_account));
        let widest = ended.out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{}", ended.out);
    }
}

async fn explained(leeward: &CommandLine, client: &async_nats::Client) {
    let explain = async |asset: &str| leeward.run(&["explain", asset, "-o", "json"]).await.unwrap();
    let info = jetstream::stream_info(client, "orders").await.unwrap();
    let document = explain("orders")
        .await
        .with_code(2)
        .unwrap()
        .document("explain")
        .unwrap();
    let peers: Vec<&str> = document["place"]["peers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| word(&peer["server"]))
        .collect();
    assert_eq!(
        peers[0],
        jetstream::leader_in(&info).unwrap(),
        "the leader is first"
    );
    let all: BTreeSet<String> = peers.iter().map(|peer| (*peer).to_owned()).collect();
    assert_eq!(all, jetstream::peers_in(&info).into_iter().collect());
    assert_eq!(document["decision"]["verdict"], "Misplaced");
    assert_eq!(
        document["usage"]["consumers"],
        json!(["audit", "billing", "mail"])
    );

    let fine = explain("prices/ticker").await.with_code(0).unwrap();
    let fine = fine.document("explain").unwrap();
    assert_eq!(fine["decision"]["verdict"], "InPlace");
    for (asset, near) in [("odrers", "orders"), ("orders/mai", "mail")] {
        let ended = explain(asset).await.with_code(1).unwrap();
        assert!(
            ended.err.contains(asset.rsplit('/').next().unwrap()) && ended.err.contains(near),
            "{}",
            ended.err
        );
    }
}
