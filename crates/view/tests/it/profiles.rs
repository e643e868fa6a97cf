//! What is told of what rows look like.

use std::sync::Arc;

use flowline_ledger::contract::samples::{at, dataset};
use flowline_model::{ColumnProfile, Profile, RecordedProfile};
use flowline_view::OfflineStatus;

use crate::support::{check, empty, session};

fn profile(name: &str, version: i64) -> RecordedProfile {
    let columns =
        ["id", "amount"].map(|name| ColumnProfile { column: name.to_owned(), ..Default::default() });
    let profile = Profile { partition: String::new(), rows: 1, columns: columns.to_vec() };
    RecordedProfile { dataset: dataset(name), version, profiled_at: at(version), profile }
}

#[tokio::test]
async fn every_profile_is_there_however_many_there_are() {
    let ledger = empty().await;
    let mut profiles: Vec<RecordedProfile> = (0..1_500).map(|version| profile("orders", version)).collect();
    profiles.push(profile("airports", 3));
    ledger.record_profiles(&profiles).await.unwrap();
    let session = session(&ledger, Arc::new(OfflineStatus));
    for (sql, expected) in [
        (
            "select count(*) as rows, count(distinct version) as versions, min(version) as first from system.profiles \
             where dataset = 'shop.orders'",
            vec!["| rows | versions | first |", "| 3000 | 1500 | 0 |"],
        ),
        ("select count(*) as rows from system.profiles", vec!["| rows |", "| 3002 |"]),
        (
            "select dataset, version, name from system.profiles where version = 3 order by dataset, name",
            vec![
                "| dataset | version | name |",
                "| shop.airports | 3 | amount |",
                "| shop.airports | 3 | id |",
                "| shop.orders | 3 | amount |",
                "| shop.orders | 3 | id |",
            ],
        ),
        (
            "select version from system.profiles where dataset = 'shop.orders' and version = 7 and name = 'id'",
            vec!["| version |", "| 7 |"],
        ),
        (
            "select version from system.profiles where dataset = 'shop.orders' order by profiled_at desc limit 1",
            vec!["| version |", "| 1499 |"],
        ),
    ] {
        check(&session, sql, &expected).await;
    }
}
