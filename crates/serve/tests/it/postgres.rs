//! The Postgres wire as a driver speaks it.

use std::time::Duration;

use flowline_serve::Limits;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::support::{Node, Setup};

/// The rows of a text, as text.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

async fn value(client: &Client, sql: &str) -> String {
    rows(client, sql).await.remove(0).remove(0).unwrap()
}

fn code(error: &Error) -> &str {
    error.code().map_or("none", |code| code.code())
}

#[tokio::test]
async fn text_and_binary_say_the_same() {
    let node = Node::start().await;
    let client = node.connect().await;
    let sql = "select true as b, 2::smallint as s, 3::int as i, 4::bigint as l, 1.5::real as r, 2.5::double as d, 'ü' as t, \
               x'00ff' as y, null::int as n";
    let text = rows(&client, sql).await.remove(0);
    let text: Vec<Option<&str>> = text.iter().map(Option::as_deref).collect();
    assert_eq!(
        text,
        [
            Some("t"),
            Some("2"),
            Some("3"),
            Some("4"),
            Some("1.5"),
            Some("2.5"),
            Some("ü"),
            Some("\\x00ff"),
            None
        ]
    );
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, i16>(1), row.get::<_, i32>(2)), (true, 2, 3));
    assert_eq!((row.get::<_, i64>(3), row.get::<_, f32>(4), row.get::<_, f64>(5)), (4, 1.5, 2.5));
    assert_eq!(
        (row.get::<_, &str>(6), row.get::<_, &[u8]>(7), row.get::<_, Option<i32>>(8)),
        ("ü", &[0, 255][..], None)
    );
    let times =
        "select timestamp '2026-01-05 08:00:00' as t, date '2026-01-05' as d, 12.50::decimal(10,2) as n";
    let times = rows(&client, times).await.remove(0);
    assert_eq!(times[1].as_deref(), Some("2026-01-05"));
    assert!(times[0].as_deref().unwrap().starts_with("2026-01-05 08:00:00"), "{times:?}");
    assert_eq!(times[2].as_deref(), Some("12.50"));
}

#[tokio::test]
async fn statements_are_prepared_with_parameters() {
    let node = Node::start().await;
    let client = node.connect().await;
    let prepared = client
        .prepare("select letter from shop.letters where id = $1 or letter = $2 order by id")
        .await
        .unwrap();
    assert_eq!(prepared.params(), [Type::INT8, Type::TEXT]);
    assert_eq!(prepared.columns()[0].type_(), &Type::TEXT);
    for (id, letter, expected) in [(1_i64, "z", vec!["a"]), (9, "ü", vec!["ü"]), (1, "b", vec!["a", "b"])] {
        let found = client.query(&prepared, &[&id, &letter]).await.unwrap();
        assert_eq!(found.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>(), expected);
    }
    let found = client
        .query("select $1::int + 1, $2::text, $3::boolean, $4::double", &[&41_i32, &"x", &true, &0.5_f64])
        .await;
    let row = &found.unwrap()[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1), row.get::<_, bool>(2)), (42, "x", true));
    let none: Option<&str> = None;
    assert!(client.query("select * from shop.letters where letter = $1", &[&none]).await.unwrap().is_empty());
    assert!(client.query("", &[]).await.unwrap().is_empty());
    assert_eq!(code(&client.prepare("select 1; select 2").await.unwrap_err()), "42601");
}

#[tokio::test]
async fn rows_are_fetched_in_parts_and_streamed() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("select number from shop.numbers order by number", &[]).await.unwrap();
    let (first, second) = (
        transaction.query_portal(&portal, 3).await.unwrap(),
        transaction.query_portal(&portal, 2).await.unwrap(),
    );
    let numbers: Vec<i64> = first.iter().chain(&second).map(|row| row.get(0)).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!(rest.len(), 99_995);
    transaction.commit().await.unwrap();
    assert_eq!(client.query("select number from shop.numbers", &[]).await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn several_statements_in_one_text() {
    let node = Node::start().await;
    let client = node.connect().await;
    let found =
        rows(&client, "select 1; ; select 2, 3; set application_name = 'x'; show application_name").await;
    let found: Vec<Vec<&str>> =
        found.iter().map(|row| row.iter().flatten().map(String::as_str).collect()).collect();
    assert_eq!(found, [vec!["1"], vec!["2", "3"], vec!["x"]]);
    let error = client.simple_query("select 1; select nothing; select 3").await.unwrap_err();
    assert_eq!(code(&error), "42703");
    assert_eq!(value(&client, "select 4").await, "4");
}

#[tokio::test]
async fn errors_have_a_code_and_a_place() {
    let node = Node::start().await;
    let client = node.connect().await;
    for (sql, expected) in [
        ("selec 1", "42601"),
        ("select 1 +", "42601"),
        ("select * from shop.nothing", "42P01"),
        ("select nothing from shop.letters", "42703"),
        ("select nothing(1)", "42883"),
        ("select 1/0", "22012"),
        ("select 'x'::int", "22P02"),
        ("select letter, count(*) from shop.letters", "42803"),
        ("insert into shop.orders (order_id) values ('a')", "25006"),
        ("create table t as select 1", "25006"),
        ("drop table shop.orders", "25006"),
        ("select 1 into t", "25006"),
        ("set no_such_setting = 1", "42704"),
        ("set client_encoding = 'LATIN1'", "22023"),
        ("copy shop.orders to stdout", "0A000"),
        ("select id from shop.letters, shop.letters as other where id = 1", "42702"),
    ] {
        let error = client.simple_query(sql).await.expect_err(sql);
        assert_eq!(code(&error), expected, "{sql}: {error:?}");
        let error = client.query(sql, &[]).await.expect_err(sql);
        assert_eq!(code(&error), expected, "prepared {sql}: {error:?}");
    }
    let error = client.simple_query("select id,\n  nothing\nfrom shop.letters").await.unwrap_err();
    let position = error.as_db_error().unwrap().position();
    assert_eq!(position, Some(&tokio_postgres::error::ErrorPosition::Original(14)));
    let error = client.simple_query("select leter from shop.letters").await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().hint(), Some("did you mean `letter`?"));
    for deep in [
        format!("select 1{}", " + 1".repeat(20_000)),
        format!("select pg_backend_pid(){}", " + 1".repeat(10_000)),
        format!("select 1{}", " union all select 1".repeat(5_000)),
    ] {
        let error = client.simple_query(&deep).await.unwrap_err();
        assert!(code(&error).starts_with("54"), "{error:?}");
    }
    assert_eq!(value(&client, "select 1").await, "1");
}

#[tokio::test]
async fn transactions_hold_nothing_but_behave() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    let transaction = client.transaction().await.unwrap();
    assert!(transaction.query("select nothing", &[]).await.is_err());
    assert_eq!(code(&transaction.query("select 1", &[]).await.unwrap_err()), "25P02");
    transaction.rollback().await.unwrap();
    client
        .batch_execute(
            "begin; select 1; commit; start transaction read only; savepoint a; rollback to a; end",
        )
        .await
        .unwrap();
    assert_eq!(value(&client, "select 1").await, "1");
}

#[tokio::test]
async fn settings_are_set_and_shown() {
    let node = Node::start().await;
    let client =
        node.try_connect("application_name=grafana options='-c search_path=shop -c jit=off'").await.unwrap();
    assert_eq!(value(&client, "show application_name").await, "grafana");
    assert_eq!(value(&client, "select letter from letters where id = 1").await, "a");
    assert_eq!(value(&client, "show transaction isolation level").await, "read committed");
    assert_eq!(value(&client, "show server_version_num").await, "160006");
    assert!(rows(&client, "show all").await.len() > 20);
    client.batch_execute("set search_path to public; set time zone 'UTC'; set session characteristics as transaction read only; discard all").await.unwrap();
    assert_eq!(value(&client, "show search_path").await, "shop");
    let shown = client.query_one("show search_path", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "shop");
}

const SLOW: &str = "select sum(value) from generate_series(1, 1000000000000)";

/// A plan that never gives way while it computes must not make the server deaf.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stubborn_statement_times_out() {
    let node = Node::start().await;
    let client = node.connect().await;
    client.batch_execute("set statement_timeout = 200").await.unwrap();
    let stubborn = "select count(*) from shop.numbers a, (select * from shop.numbers limit 500) b where (a.number * b.number) % 7 = 3";
    assert_eq!(code(&client.simple_query(stubborn).await.unwrap_err()), "57014");
}

#[tokio::test]
async fn statements_are_cancelled_and_time_out() {
    let node = Node::start().await;
    let client = node.connect().await;
    client.batch_execute("set statement_timeout = 200").await.unwrap();
    for timed_out in [client.simple_query(SLOW).await.err(), client.query(SLOW, &[]).await.err()] {
        assert_eq!(code(&timed_out.unwrap()), "57014");
    }
    client.batch_execute("reset statement_timeout").await.unwrap();
    let cancel = client.cancel_token();
    let cancelling = async {
        // A cancel that comes before the statement reaches none: it is sent until one ends.
        loop {
            cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let cancelled = tokio::select! {
        ran = client.simple_query(SLOW) => ran.unwrap_err(),
        () = cancelling => unreachable!("it never ends"),
    };
    assert_eq!(code(&cancelled), "57014");
    assert_eq!(value(&client, "select 1").await, "1");
}

#[tokio::test]
async fn only_so_many_clients_are_served() {
    let limits = Limits { postgres_connections_max: 1, ..Limits::default() };
    let node = Node::start_with(Setup { limits, ..Setup::default() }).await;
    let first = node.connect().await;
    let refused = node.try_connect("").await.unwrap_err();
    assert_eq!(code(&refused), "53300");
    drop(first);
    let free = async { while node.try_connect("").await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), free).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let limits = Limits { postgres_message_bytes_max: 64 << 10, ..Limits::default() };
    let node = Node::start_with(Setup { limits, ..Setup::default() }).await;
    let client = node.connect().await;
    assert_eq!(value(&client, &format!("select length('{}')", "x".repeat(30_000))).await, "30000");
    assert!(client.simple_query(&format!("select '{}'", "x".repeat(1 << 20))).await.is_err());
    assert_eq!(value(&node.connect().await, "select 1").await, "1");
}

#[tokio::test]
async fn clients_are_told_when_the_node_stops() {
    let node = Node::start().await;
    let client = node.connect().await;
    assert_eq!(value(&client, "select 1").await, "1");
    tokio::time::timeout(Duration::from_secs(4), node.stop()).await.unwrap();
    assert!(client.simple_query("select 1").await.is_err());
}

/// Drivers send `1` as an integer, whatever the column that it is held against.
#[tokio::test]
async fn a_whole_number_is_held_against_a_decimal() {
    let node = Node::start().await;
    let client = node.connect().await;
    let sql = "select 12.50::decimal(10,2) > $1 as more";
    let statement = client.prepare_typed(sql, &[Type::INT4]).await.unwrap();
    let more =
        async |than: i32| client.query_one(&statement, &[&than]).await.map(|row| row.get::<_, bool>(0));
    assert_eq!((more(12).await.unwrap(), more(13).await.unwrap()), (true, false));
    let error = more(i32::MAX).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22003", "{error:?}");
}
