//! Changes of the schema registry.

use std::sync::Arc;

use flowline_base::ChangeId;
use flowline_model::RegistryChange;

use super::samples::at;
use crate::Ledger;

const FINE: &str = "the ledger answers";

fn change(revision: i64, document: &str) -> RegistryChange {
    RegistryChange {
        revision,
        id: ChangeId::generate(),
        changed_at: at(revision),
        actor: "ci".to_owned(),
        subject: ":.prod:orders-value".to_owned(),
        kind: "registered".to_owned(),
        document: document.to_owned(),
    }
}

pub async fn changes_of_the_registry_come_back_in_order(ledger: Arc<dyn Ledger>) {
    assert_eq!(ledger.registry_changes_after(0).await.expect(FINE), []);
    let changes = [change(1, "{}"), change(2, "{\"text\":\"\u{e9}'\\\"\"}"), change(3, "")];
    for change in &changes {
        assert!(ledger.append_registry_change(change).await.expect(FINE));
    }
    assert_eq!(ledger.registry_changes_after(0).await.expect(FINE), changes);
    assert_eq!(ledger.registry_changes_after(2).await.expect(FINE), changes[2..]);
    assert_eq!(ledger.registry_changes_after(3).await.expect(FINE), []);
}

pub async fn a_revision_of_the_registry_is_given_once(ledger: Arc<dyn Ledger>) {
    let (first, second) = (change(1, "first"), change(1, "second"));
    assert!(ledger.append_registry_change(&first).await.expect(FINE));
    assert!(ledger.append_registry_change(&first).await.expect(FINE), "the same change is stored already");
    assert!(!ledger.append_registry_change(&second).await.expect(FINE));
    assert_eq!(ledger.registry_changes_after(0).await.expect(FINE), [first]);
}

pub async fn changes_from_many_writers_leave_no_gap(ledger: Arc<dyn Ledger>) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let ledger = Arc::clone(&ledger);
        writers.spawn(async move {
            for number in 0..5 {
                let mut revision = 1;
                loop {
                    let change = change(revision, &format!("{writer}/{number}"));
                    if ledger.append_registry_change(&change).await.expect(FINE) {
                        break;
                    }
                    let known = ledger.registry_changes_after(revision - 1).await.expect(FINE);
                    revision = known.last().expect("the one that was faster").revision + 1;
                }
            }
        });
    }
    writers.join_all().await;
    let changes = ledger.registry_changes_after(0).await.expect(FINE);
    let revisions: Vec<i64> = changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (1..=40).collect::<Vec<i64>>());
    let mut documents: Vec<&str> = changes.iter().map(|change| change.document.as_str()).collect();
    documents.sort_unstable();
    documents.dedup();
    assert_eq!(documents.len(), 40);
}
