//! Typed clients on a real cluster: each kind of type through a guest and back, each kind of failure.

use std::convert::Infallible;
use std::fmt::Debug;

use aspen_client::typed::{Change, CheckError, Component, FromPayload, KeyedCall, TypedCallError};
use aspen_client::{Consistency, Expectation, GuestFault, Key, Read, Refusal, RequestError};
use aspen_core::protocol::ErrorReply;
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;
use aspen_tests::guests::component;
use aspen_tests::typed::bank::{Bank, Receipt};
use aspen_tests::typed::echo::*;

#[tokio::test(flavor = "multi_thread")]
async fn cluster_typed_calls_of_a_bank() {
    let cluster = Cluster::with_shards(3, 2, Timing::default()).await;
    let client = cluster.client().await;
    client.upload("bank", component("bank")).await.unwrap();
    let bank = Bank::new(client.clone());
    bank.check().await.unwrap();
    for name in ["{t}ada", "{t}ben"] {
        bank.open(name, 100).key("{t}").await.unwrap();
    }

    let transfer = || bank.transfer("{t}ada", "{t}ben", 30).key("{t}");
    let tried = transfer().dry_run().await.unwrap();
    let want = Receipt { from_balance: 70, to_balance: 130 };
    assert_eq!((tried.did.reads.len(), &tried.reply.as_ref().unwrap().value), (2, &want));
    let reply = transfer().reply().await.unwrap();
    assert_eq!(reply, tried.reply.unwrap(), "it did what it would have done");
    assert_eq!((reply.value, reply.writes), (want, 2));
    let across = transfer().across().await.unwrap();
    assert_eq!(across.value, Receipt { from_balance: 40, to_balance: 160 });
    let balance = bank.balance("{t}ada").key("{t}").query(Consistency::Linearizable).await.unwrap();
    assert_eq!((balance.value, balance.writes), (40, 0));
    bank.touch().key("{t}").await.unwrap();

    // A call that depends on what was read: the account as it is, then as it was.
    let account = Key::try_from("account/{t}ada").unwrap();
    let version = client.get(account.as_bytes()).await.unwrap().unwrap().version;
    let unchanged = || {
        let expected = Expectation::Version(version);
        vec![Read::Key { key: account.clone(), expected }]
    };
    let small = || bank.transfer("{t}ada", "{t}ben", 1).key("{t}");
    let reply = small().call_if(unchanged()).await.unwrap();
    assert_eq!((reply.value.from_balance, reply.writes), (39, 2));
    let conflict = small().call_if(unchanged()).await.unwrap_err();
    let TypedCallError::Conflict { conflicts } = conflict else { panic!("{conflict}") };
    let found: Vec<_> = conflicts.iter().map(|it| (&it.key, it.actual.version.get())).collect();
    assert_eq!(found, [(&account, version.get() + 1)]);
    assert_eq!(bank.transfer("{t}ben", "{t}ada", 1).key("{t}").await.unwrap().to_balance, 40);
    let nameless = Bank::named(client.clone(), "no name").touch().key("{t}");
    let nameless = nameless.call_if(unchanged()).await.unwrap_err();
    assert!(matches!(nameless, TypedCallError::Request { source: RequestError::Invalid { .. } }));

    // The function's own error, and those of the system.
    let lean = bank.transfer("{t}ada", "{t}ben", 41).key("{t}").await.unwrap_err();
    assert_eq!(lean.to_string(), r#"the function returned an error: "account {t}ada has only 40""#);
    let TypedCallError::Returned { error, .. } = lean else { panic!("{lean}") };
    assert_eq!(error, "account {t}ada has only 40");
    let trial = bank.transfer("{t}ada", "{t}eve", 1).key("{t}").dry_run().await.unwrap();
    assert!(
        matches!(trial.reply, Err(TypedCallError::Returned { error, .. }) if error == "no account {t}eve")
    );
    let writes = transfer().query(Consistency::Linearizable).await.unwrap_err();
    let TypedCallError::Request { source: RequestError::Refused { refused } } = writes else {
        panic!("{writes}")
    };
    assert!(matches!(refused, ErrorReply::QueryWrites { .. }), "{refused}");
    let long = bank.balance("a").key("k".repeat(2000)).await.unwrap_err();
    assert!(matches!(long, TypedCallError::Request { source: RequestError::Invalid { .. } }));
    let nobody = Bank::named(client.clone(), "nobody").balance("a").key("a").await.unwrap_err();
    assert!(
        matches!(nobody, TypedCallError::Refused { refusal: Refusal::ComponentUnknown }),
        "{nobody}"
    );
    client.close().await;
    cluster.stop().await;
}

/// Returns the difference, and the whole message.
async fn change<T, E>(call: KeyedCall<T, E>) -> (Change, String)
where
    T: FromPayload + Debug + 'static,
    E: FromPayload + Debug + 'static,
{
    let error = call.await.unwrap_err();
    let message = error.to_string();
    let TypedCallError::Changed { change, .. } = error else { panic!("{message}") };
    (change, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_typed_call_of_a_changed_function_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open(dir.path()).await.unwrap();
    let client = store.client();
    let bank = Bank::new(client.clone());
    client.upload("bank", component("echo")).await.unwrap();
    let (gone, message) = change(bank.touch().key("k")).await;
    assert_eq!(gone, Change::NoFunction);
    assert_eq!(
        message,
        "touch of bank is not what this client was made for: there is no such function; make the \
         client again with `aspen client-gen`"
    );
    let CheckError::Different { missing, .. } = bank.check().await.unwrap_err() else { panic!() };
    assert_eq!(missing.len(), 4);
    assert_eq!(missing[3], "touch: func()");

    // The same functions as an older client might know them.
    client.upload("bank", component("bank")).await.unwrap();
    let old = Component::new(client.clone(), "bank");
    let mut open = old.call::<(), String>("open");
    open.arg("ada");
    assert_eq!(change(open.key("ada")).await.0, Change::Arguments);
    let mut open = old.call::<u64, String>("open");
    open.arg("ada");
    open.arg(100u64);
    let (result, message) = change(open.key("ada")).await;
    assert!(matches!(result, Change::Result { applied: Some(_), .. }), "{message}");
    assert!(message.contains("but it returned something else: expected a value, found none"));
    let balance = bank.balance("ada").key("ada");
    assert_eq!(balance.await.unwrap(), 100, "it was applied");
    let mut balance = old.call::<u64, u32>("balance");
    balance.arg("eve");
    let (error, message) = change(balance.key("eve")).await;
    assert!(matches!(error, Change::Error { .. }), "{message}");
    let mut balance = old.call::<u64, Infallible>("balance");
    balance.arg("eve");
    let (_, message) = change(balance.key("eve")).await;
    assert!(message.contains("expected no error, found string"), "{message}");
    let mut balance = old.call::<u32, String>("balance");
    balance.arg("ada");
    let query = balance.key("ada").query(Consistency::Linearizable).await.unwrap_err();
    assert!(
        matches!(
            query,
            TypedCallError::Changed { change: Change::Result { applied: None, .. }, .. }
        ),
        "a query applies nothing"
    );
}

fn others(text: &str) -> Others {
    let (single, double) = (-0.5, 1e300);
    Others { truth: true, letter: 'ß', text: text.into(), single, double, bytes: vec![0, 255] }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_typed_values_of_every_kind_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open(dir.path()).await.unwrap();
    let client = store.client();
    client.upload("echo", component("echo")).await.unwrap();
    let echo = Echo::new(client);
    echo.check().await.unwrap();
    const KEY: &str = "k";

    for (a, c, e, g) in [(0, 0, 0, 0), (i8::MIN, i16::MIN, i32::MIN, i64::MIN)] {
        let (b, d, f, h) = (u8::MAX, u16::MAX, u32::MAX, u64::MAX);
        let numbers = Numbers { a, b, c, d, e, f, g, h };
        assert_eq!(echo.numbers(numbers.clone()).key(KEY).await.unwrap(), numbers);
    }
    assert_eq!(echo.others(others("æ")).key(KEY).await.unwrap(), others("æ"));
    let colors = echo.colors(Color::Green, vec![Color::Blue]).key(KEY).await.unwrap();
    assert_eq!(colors, [Color::Blue, Color::Green]);
    for rights in [Rights::default(), Rights { read: true, grant_all: true, write: false }] {
        assert_eq!(echo.rights(rights).key(KEY).await.unwrap(), rights);
    }
    let points = vec![Point { x: 1.0, y: -0.0 }, Point { x: f64::INFINITY, y: 0.1 }];
    assert_eq!(echo.points(points.clone()).key(KEY).await.unwrap(), points);
    for figure in [
        Figure::Dot(points[0].clone()),
        Figure::Polygon(points.clone()),
        Figure::Painted((Color::Red, points)),
        Figure::Nothing,
    ] {
        assert_eq!(echo.figure(figure.clone()).key(KEY).await.unwrap(), figure);
    }
    for (case, async_) in [(Choice::Some(Color::Red), Some(Color::Red)), (Choice::None, None)] {
        let words = Keywords { type_: "t".into(), self_: true, async_ };
        let back = echo.keywords(words.clone(), case.clone()).key(KEY).await.unwrap();
        assert_eq!(back, (words, case));
    }
    for deep in [None, Some(None), Some(Some(vec![None, Some("x".into())]))] {
        assert_eq!(echo.nested(deep.clone()).key(KEY).await.unwrap(), deep);
    }
    let two = (-1, ("two".to_string(), true));
    assert_eq!(echo.tuples((1,), two.clone()).key(KEY).await.unwrap(), ((1,), two));
    let items = vec![Ok(1), Err(Ok(())), Err(Err(()))];
    for (bare, ok) in [(Ok(()), Ok(7)), (Err("no".to_string()), Err(()))] {
        let back = echo.results(items.clone(), bare.clone(), ok).key(KEY).await.unwrap();
        assert_eq!(back, (items.clone(), bare, ok));
    }
    let back = echo.optional(Some("t"), Some(b"b"), vec!["c".into()]).key(KEY).await.unwrap();
    assert_eq!(back, (Some("t".into()), Some(b"b".to_vec()), vec!["c".into()]));
    let back = echo.optional(None, None, vec![]).key(KEY).await.unwrap();
    assert_eq!(back, (None, None, vec![]));
    assert_eq!(echo.raw(&[0, 1, 255]).key(KEY).await.unwrap(), [0, 1, 255]);

    assert_eq!(echo.check_(7, None).key(KEY).await.unwrap(), 7);
    for problem in [Problem::Refused, Problem::TooMuch(9), Problem::Because(others("so"))] {
        let failed = echo.check_(7, Some(problem.clone())).key(KEY).await.unwrap_err();
        let TypedCallError::Returned { error, .. } = failed else { panic!("{failed}") };
        assert_eq!(error, problem);
    }
    echo.bare(true).key(KEY).await.unwrap();
    let bare = echo.bare(false).key(KEY).await.unwrap_err();
    assert!(matches!(bare, TypedCallError::Returned { error: (), .. }), "{bare}");
    let fault = echo.panic().key(KEY).await.unwrap_err();
    assert!(
        matches!(fault, TypedCallError::Faulted { fault: GuestFault::Unreachable, .. }),
        "{fault}"
    );
}
