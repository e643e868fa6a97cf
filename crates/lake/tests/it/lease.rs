//! Who may do what only one may do.

use std::time::Duration;

use flowline_lake::{Lake, Lease, LeaseHolder, LeaseStanding};

use crate::support::{Place, time};

fn holder(id: &str) -> LeaseHolder {
    LeaseHolder {
        id: id.to_owned(),
        host: "here".to_owned(),
        process_id: 7,
        data_dir: format!("/{id}"),
        since: time(0),
    }
}

fn lease(lake: &Lake, id: &str) -> Lease {
    lake.lease("processor", holder(id)).expiring_after(EXPIRES)
}

/// Long enough that a slow machine does not miss it between two calls.
const EXPIRES: Duration = Duration::from_millis(800);

fn held(standing: &LeaseStanding) -> bool {
    matches!(standing, LeaseStanding::Held { .. })
}

fn before(standing: LeaseStanding) -> Option<String> {
    match standing {
        LeaseStanding::Held { before } => before.map(|holder| holder.id),
        LeaseStanding::Elsewhere { holder, .. } => panic!("`{}` has it", holder.id),
    }
}

#[tokio::test]
async fn one_holds_it_until_it_is_silent_for_too_long() {
    let place = Place::new().await;
    let (mut first, mut second) = (lease(&place.lake, "first"), lease(&place.again(None).await, "second"));
    assert_eq!(before(first.claim().await.unwrap()), None);
    let LeaseStanding::Elsewhere { holder, alive } = second.claim().await.unwrap() else {
        panic!("both have it")
    };
    assert_eq!((holder.id.as_str(), alive), ("first", false));
    // It beats, so it is alive, however long that goes on.
    for _ in 0..3 {
        tokio::time::sleep(EXPIRES / 2).await;
        assert!(held(&first.claim().await.unwrap()));
        let standing = second.claim().await.unwrap();
        assert!(matches!(standing, LeaseStanding::Elsewhere { alive: true, .. }), "{standing:?}");
    }
    assert!(!held(&second.claim().await.unwrap()));
    tokio::time::sleep(EXPIRES).await;
    assert_eq!(before(second.claim().await.unwrap()), Some("first".to_owned()));
    // The first one wakes up, and is told who has taken over.
    let LeaseStanding::Elsewhere { holder, .. } = first.claim().await.unwrap() else {
        panic!("both have it")
    };
    assert_eq!(holder.id, "second");
    assert!(held(&second.claim().await.unwrap()));
}

#[tokio::test]
async fn it_is_given_back_and_comes_back_to_the_same_holder_at_once() {
    let place = Place::new().await;
    let mut first = lease(&place.lake, "first");
    assert!(held(&first.claim().await.unwrap()));
    // Killed and started again: nobody waits.
    let mut again = lease(&place.lake, "first");
    assert_eq!(before(again.claim().await.unwrap()), None);
    again.give_back().await.unwrap();
    let mut second = lease(&place.lake, "second");
    assert_eq!(before(second.claim().await.unwrap()), Some("first".to_owned()));
}

#[tokio::test]
async fn a_holder_that_slept_through_several_terms_does_not_hold_it() {
    let place = Place::new().await;
    let mut first = lease(&place.lake, "first");
    assert!(held(&first.claim().await.unwrap()));
    for id in ["second", "third"] {
        let mut other = lease(&place.lake, id);
        assert!(!held(&other.claim().await.unwrap()));
        tokio::time::sleep(EXPIRES).await;
        assert!(held(&other.claim().await.unwrap()));
    }
    let standing = first.claim().await.unwrap();
    assert!(
        matches!(standing, LeaseStanding::Elsewhere { ref holder, .. } if holder.id == "third"),
        "{standing:?}"
    );
}

#[tokio::test]
async fn one_of_many_that_want_it_at_once_gets_it() {
    let place = Place::new().await;
    let claims = (0..8).map(|number| {
        let mut lease = lease(&place.lake, &format!("node-{number}"));
        async move { held(&lease.claim().await.unwrap()) }
    });
    let got = futures::future::join_all(claims).await;
    assert_eq!(got.iter().filter(|held| **held).count(), 1, "{got:?}");
}
