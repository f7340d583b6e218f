use super::*;

fn info(id: &str) -> AccountInfo {
    AccountInfo {
        id: AccountId::from(id),
        name: id.to_owned(),
    }
}

fn unanswered(error: fn(String) -> RequestError) -> Result<AccountInfo, Unknown> {
    Err(UserInfoError::Unanswered(error(USER_INFO.to_owned())).into())
}

#[test]
fn p8_a_user_that_comes_to_belong_to_another_account_acts_no_more() {
    let mut learnt = AccountTracker::default();
    assert_eq!(learnt.record(Ok(info("A"))), AccountUpdate::Confirmed(info("A")));
    let named = AccountInfo {
        name: "a".into(),
        ..info("A")
    };
    assert_eq!(learnt.record(Ok(named.clone())), AccountUpdate::Confirmed(named));
    let moved = learnt.record(Ok(info("B")));
    assert!(
        matches!(&moved, AccountUpdate::Moved(message) if message.contains("account A") && message.contains("account B")),
        "{moved:?}"
    );
}

#[test]
fn an_account_is_forgotten_when_servers_no_longer_say_it_and_kept_over_an_outage() {
    let mut learnt = AccountTracker::default();
    let forgets = |lesson: AccountUpdate| match lesson {
        AccountUpdate::Unknown {
            forget,
            again,
            problem,
        } => (forget, again, problem.is_some()),
        other => panic!("{other:?}"),
    };
    for _ in 0..3 {
        let lost = learnt.record(unanswered(|subject| RequestError::Interrupted { subject }));
        assert_eq!(forgets(lost), (false, RETRY_DELAY, false));
        let unseen = Unseen::NoServer { server: "n".into() };
        let unseen = learnt.record(Err(Unknown::Unseen(unseen)));
        assert_eq!(
            forgets(unseen),
            (false, RETRY_DELAY, true),
            "the system account is not there yet"
        );
    }
    let timeout = |subject| RequestError::Timeout { subject };
    let hiccup = learnt.record(unanswered(timeout));
    assert_eq!(forgets(hiccup), (false, RETRY_DELAY, true));
    assert_eq!(
        forgets(learnt.record(unanswered(timeout))),
        (true, RECHECK_INTERVAL, true)
    );
    assert_eq!(learnt.record(Ok(info("A"))), AccountUpdate::Confirmed(info("A")));
    let denied = learnt.record(unanswered(|subject| RequestError::Denied { subject }));
    assert_eq!(forgets(denied), (true, RECHECK_INTERVAL, true));
    assert_eq!(learnt.record(Ok(info("A"))), AccountUpdate::Confirmed(info("A")));
    let contradicted = learnt.record(issued(info("B"), Some("A")));
    assert_eq!(forgets(contradicted), (true, RECHECK_INTERVAL, true));
}

#[test]
fn only_a_refused_subject_asks_for_a_right() {
    let words = |error: Unknown| match error.problem() {
        AccountProblem::Unconfirmed { message } => message,
        other => panic!("{other:?}"),
    };
    let garbage = words(UserInfoError::NotUnderstood("expected value at line 1".into()).into());
    assert_eq!(
        garbage,
        "the answer to $SYS.REQ.USER.INFO cannot be used: expected value at line 1"
    );
    let refused = Unknown::from(UserInfoError::Unanswered(RequestError::Denied {
        subject: USER_INFO.into(),
    }));
    let subject = USER_INFO.to_owned();
    assert_eq!(refused.problem(), AccountProblem::Denied { subject });
}

#[test]
fn p11_an_account_that_the_jwt_contradicts_is_not_the_users() {
    let words = |told: Result<AccountInfo, Unknown>| told.unwrap_err().to_string();
    assert_eq!(issued(info("A"), Some("A")), Ok(info("A")));
    assert_eq!(issued(info("A"), None), Ok(info("A")));
    assert!(words(issued(info("VICTIM"), Some("A"))).contains("JWT is of account A"));
}

#[test]
fn p11_answers_that_differ_count_for_nothing() {
    let answers = |answers: &[Result<&str, &str>]| {
        let answers = answers.iter().enumerate();
        let replies = answers.map(|(number, answer)| {
            (
                vec![u8::try_from(number).unwrap()],
                answer.map(info).map_err(str::to_owned),
            )
        });
        only(Gathered {
            replies: replies.collect(),
            unreadable: Vec::new(),
        })
    };
    assert_eq!(answers(&[Ok("A")]), Ok(info("A")));
    assert_eq!(answers(&[Ok("A"), Ok("A")]), Ok(info("A")));
    for differing in [[Ok("A"), Ok("B")], [Ok("A"), Err("no JSON")]] {
        assert!(matches!(answers(&differing), Err(Unknown::Contradicted { .. })));
    }
    assert!(matches!(
        answers(&[Err("no JSON")]),
        Err(Unknown::UserInfo(UserInfoError::NotUnderstood(_)))
    ));
}

#[test]
fn the_account_of_a_jwt_is_its_issuer_or_whom_that_signs_for() {
    let of = |claims: &str| {
        let jwt = format!("eyJ0.{}.sig", BASE64URL_NOPAD.encode(claims.as_bytes()));
        let text = format!("-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n");
        issuer(&Credentials::CredsFile(text.into()))
    };
    assert_eq!(of(r#"{"iss":"A","nats":{}}"#).as_deref(), Some("A"));
    assert_eq!(
        of(r#"{"iss":"S","nats":{"issuer_account":"A"}}"#).as_deref(),
        Some("A")
    );
    assert_eq!(of("no JSON"), None);
    assert_eq!(
        issuer(&Credentials::Token("eyJ0.e30.sig".to_owned().into())),
        None
    );
}
